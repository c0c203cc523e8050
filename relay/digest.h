/* relay/digest.h - RLG1: whom a relay can collect from, told to its clients (LEDGER.md §3).
 *
 *   offset size field     notes
 *   0      4    "RLG1"
 *   4      4    net_id
 *   8      2    day       UTC
 *   10     1    n         0..DIGEST_ENTRIES
 *   11     1    rsv       0
 *   12     8    nonce
 *   20     n x  h8        BLAKE2b-256(pk || nonce)[0..8], rising; bucket1: floor(log2 of the slot-seconds), 1..47
 *
 * Not signed: it is said inside the relay's own session, and only steers on whom cheques are drawn. The nonce hides
 * keys from those who do not know them already.
 *
 *   caps   DIGEST_ENTRIES; nothing unsolicited is kept: one digest a relay we have an account with */
#ifndef ITO_RELAY_DIGEST_H
#define ITO_RELAY_DIGEST_H

#include "base/err.h"
#include "base/slice.h"

#define DIGEST_ENTRIES   64
#define DIGEST_HEAD      20
#define DIGEST_BYTES_MAX (DIGEST_HEAD + DIGEST_ENTRIES * 9)

struct digest {
    uint8_t net_id[4], nonce[8];
    uint16_t day;
    uint8_t n;
    struct {
        uint8_t h8[8];
        uint8_t bucket;
    } entries[DIGEST_ENTRIES];
};

void digest_begin(struct digest *d, const uint8_t net_id[static 4], uint16_t day,
                  const uint8_t nonce[static 8]);
/* Add whom we can collect so much from. The smallest makes room when it is full; under a tranche is not told. */
void digest_add(struct digest *d, const uint8_t key[static 32], double avail_s);
/* What the relay can collect from that key at least, in slot-seconds; 0: not in it. */
double digest_find(const struct digest *d, const uint8_t key[static 32]);
struct slice digest_write(const struct digest *d, uint8_t buf[static DIGEST_BYTES_MAX]);
enum err digest_parse(struct slice bytes, struct digest *out);

#endif
