/* dht/drop.h - sealed blobs held for people who are not there (THREATS.md §4.5, §4.8).
 *
 * A blob costs proof of work. Each drop holds DROP_PER_ID; when it is full a newcomer must carry more bits than the
 * weakest, which it replaces; at equal bits a blob older than DROP_YIELD_NS yields. So the price rises under attack
 * and falls by itself, and the answer to every writer names it.
 *
 *   in     blobs with nonces (token checked before)
 *   out    blobs by the first 8 bytes of their hash
 *   owner  the node; the pool is allocated once
 *   trust  the work was done; what is inside only the receiver can tell
 *   caps   max blobs in all (when full, the weakest of all must be beaten), DROP_PER_ID a drop, DROP_LIFE_NS */
#ifndef ITO_DHT_DROP_H
#define ITO_DHT_DROP_H

#include "base/env.h"
#include "dht/id.h"

#define DROP_MAX        1024
#define DROP_PER_ID     32
#define DROP_BLOB_BYTES 960
#define DROP_NONCE      8
#define DROP_HASH       8
#define DROP_BITS_MIN   18 /* notes; a reader of requests ignores what has less than 22 */
#define DROP_BITS_MAX   30 /* more is not asked for, and counts as this */
#define DROP_LIFE_NS    (14 * 86400 * NS_PER_S)
#define DROP_YIELD_NS   (86400 * NS_PER_S)

struct blob {
    uint8_t drop_id[ID_BYTES];
    uint8_t hash[DROP_HASH];
    uint8_t nonce[DROP_NONCE];
    uint8_t bytes[DROP_BLOB_BYTES];
    uint8_t bits;
    ns_t put_at, expires_at; /* expires_at 0: the place is empty */
};

struct drops {
    uint16_t max, cap, n;
    ns_t next_expiry;
    struct blob *pool; /* cap of them, growing to max */
    uint64_t cap_drops;
};

void drops_init(struct drops *d, unsigned max);
void drops_fini(struct drops *d);
/* First bytes of H(32; blob): its name among those of one drop. */
void drop_hash(const uint8_t blob[static DROP_BLOB_BYTES], uint8_t out[static DROP_HASH]);
/* ERR_OK: stored (or there already); ERR_REFUSED: not enough work, or ERR_FULL: not enough to push out another. *bits
 * is what the next one needs, in every case; *is_new tells observers. */
enum err drops_put(struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES],
                   const uint8_t blob[static DROP_BLOB_BYTES], const uint8_t nonce[static DROP_NONCE],
                   uint8_t *bits, bool *is_new);
/* Bits a new blob needs here. */
uint8_t drops_price(const struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES]);
/* Hashes of all blobs of a drop, DROP_HASH each; returns how many. */
size_t drops_list(const struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES],
                  uint8_t out[static DROP_PER_ID * DROP_HASH]);
const struct blob *drops_get(const struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES],
                             const uint8_t hash[static DROP_HASH]);
void drops_tick(struct drops *d, ns_t now);
ns_t drops_deadline(const struct drops *d);

#endif
