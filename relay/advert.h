/* relay/advert.h - the relay's descriptor in the overlay, and the keys under which it is found.
 *
 * Signed by the node key in the one text it may sign, "itodenwa-krpc-v1", as a message to the shard's key; the
 * puzzle nonce lets a reader check the zone id without asking.
 *
 *   trust  advert_parse() gives hearsay; advert_verify() checks the key, the puzzle's claim is the caller's
 *   caps   ADVERT_BYTES_MAX, ADVERT_ADDRS_MAX */
#ifndef ITO_RELAY_ADVERT_H
#define ITO_RELAY_ADVERT_H

#include "base/addr.h"
#include "base/err.h"

#define ADVERT_BYTES_MAX 300
#define ADVERT_ADDRS_MAX 4
#define ADVERT_SHARDS    4
#define ADVERT_KEY_BYTES 20
#define ADVERT_DAYS      2 /* older or newer by more days: not believed */

#define ADVERT_FLAG_STRANGERS 1 /* relay.for anyone */
#define ADVERT_FLAG_DRAINING  2
#define ADVERT_FLAG_TCP       4
#define ADVERT_FLAG_TLS       8
#define ADVERT_FLAG_CARETAKER 16
#define ADVERT_FLAG_ORDINARY  32 /* answers plain STUN Binding of any size */

struct advert {
    uint8_t zone_id[8];
    uint8_t node[32];
    uint8_t nonce[8]; /* puzzle, THREATS.md §4.13 */
    uint16_t day;     /* UTC day since 1970 */
    uint16_t minute;  /* of that day: the newer of two wins */
    uint8_t flags, load_pct;
    uint16_t slots;
    uint32_t max_kbps;
    uint8_t n_addrs;
    struct addr addrs[ADVERT_ADDRS_MAX];
    uint8_t sig[64];
};

/* Sign with the node's seed and write; empty when an address is unusable or out of room. */
struct slice advert_write(struct advert *ad, const uint8_t node_seed[static 32],
                          uint8_t buf[static ADVERT_BYTES_MAX]);
enum err advert_parse(struct slice bytes, struct advert *out);
/* ERR_AUTH: signature; ERR_LATE: not of these days. */
enum err advert_verify(const struct advert *ad, const uint8_t zone_id[static 8], uint16_t today);
/* Key of shard 0..ADVERT_SHARDS-1; a relay puts itself under the shard of its key's first byte mod 4. */
void advert_shard_key(const uint8_t zone_id[static 8], uint8_t shard, uint8_t out[static ADVERT_KEY_BYTES]);
uint8_t advert_shard_of(const uint8_t node[static 32]);

#endif
