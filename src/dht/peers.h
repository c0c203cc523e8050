/* dht/peers.h - addresses announced under info-hashes (BEP 5), held by a node of mainline that serves.
 *
 *   in     announce_peer messages whose token was checked
 *   out    addresses under a hash, a random part of them when they are many
 *   owner  the node; the pool is allocated once
 *   trust  hearsay: anybody may announce any port of its own address
 *   caps   max in all, PEERS_PER_HASH a hash, PEERS_PER_NET from one /24 or /48; each gone after PEERS_LIFE_NS */
#ifndef ITO_DHT_PEERS_H
#define ITO_DHT_PEERS_H

#include "base/env.h"
#include "dht/id.h"

#define ANNOUNCED_MAX  1024
#define PEERS_PER_HASH 100
#define PEERS_PER_NET  64
#define PEERS_REPLY    30
#define PEERS_LIFE_NS  (45 * 60 * NS_PER_S)

struct announced {
    uint8_t hash[ID_BYTES];
    struct addr addr;
    ns_t expires_at; /* 0: empty */
};

struct peers {
    uint16_t max, cap;
    struct announced *pool; /* cap of them, growing to max */
    uint64_t cap_drops;
};

void peers_init(struct peers *p, unsigned max);
void peers_fini(struct peers *p);
/* ERR_OK, also when it was there; ERR_FULL. */
enum err peers_put(struct peers *p, ns_t now, const uint8_t hash[static ID_BYTES], const struct addr *a);
/* At most max; random chooses which. */
size_t peers_get(const struct peers *p, ns_t now, const uint8_t hash[static ID_BYTES], uint32_t random,
                 struct addr *out, size_t max);
/* Live ones. */
uint32_t peers_live(const struct peers *p, ns_t now);

#endif
