/* dht/advert.h - relays' adverts held for others, under (shard key, N of the relay).
 *
 *   in     adverts in authentic messages of N (token checked before)
 *   out    adverts of a key, one after the other
 *   owner  the node; the pool is allocated once
 *   trust  N said it, from that address; whether it is true a handshake with N tells
 *   caps   max in all, ADVERT_PER_KEY a key, ADVERT_PER_NET a key from one /24 or /48 of global addresses;
 *          ADVERT_LIFE_NS each. What is full refuses: adverts are renewed, so places fall free */
#ifndef ITO_DHT_ADVERT_H
#define ITO_DHT_ADVERT_H

#include "base/env.h"
#include "dht/id.h"

#define ADVERT_MAX     512
#define ADVERT_BYTES   512
#define ADVERT_PER_KEY 64
#define ADVERT_PER_NET 4
#define ADVERT_LIFE_NS (30 * 60 * NS_PER_S)

struct advert {
    uint8_t key[ID_BYTES];
    uint8_t N[32];
    struct addr seen;
    ns_t expires_at; /* 0: the place is empty */
    uint16_t len;
    uint8_t bytes[ADVERT_BYTES];
};

struct adverts {
    uint16_t max, cap;
    struct advert *pool; /* cap of them, growing to max */
    uint64_t cap_drops;
};

void adverts_init(struct adverts *a, unsigned max);
void adverts_fini(struct adverts *a);
/* ERR_OK; ERR_FULL by one of the caps; ERR_RANGE: empty or above ADVERT_BYTES. */
enum err adverts_put(struct adverts *a, ns_t now, const uint8_t key[static ID_BYTES],
                     const uint8_t N[static 32], const struct addr *from, struct slice bytes);
/* The live advert number `index` of a key, NULL after the last; *n (may be NULL) counts them. */
const struct advert *adverts_get(const struct adverts *a, ns_t now, const uint8_t key[static ID_BYTES],
                                 unsigned index, unsigned *n);
unsigned adverts_live(const struct adverts *a, ns_t now);

#endif
