/* dht/pace.h - how often anybody hears from us on mainline: nobody may take us for a flood.
 *
 * Default libtorrent nodes are deaf for 5 min to an address that sent 50 packets in 10 s (reference/overlay.md §2), and
 * an office shares one. So: at most PACE_NODE_PER_S packets in any second (PACE_WINDOW_NS, as what leaves evenly does
 * not arrive so) to one address and port, and at most PACE_HOST_10S in any 10 s to one address, all that we send to it
 * together.
 *
 *   in     where a packet is to go, and when
 *   out    when it may go
 *   owner  the node; one allocation
 *   trust  none needed: only what we send is counted
 *   caps   PACE_SLOTS addresses and as many nodes in memory; when all are busy nothing new is sent */
#ifndef ITO_DHT_PACE_H
#define ITO_DHT_PACE_H

#include "base/env.h"

#define PACE_NODE_PER_S 4
#define PACE_WINDOW_NS  (1150 * NS_PER_MS)
#define PACE_HOST_BURST 16
#define PACE_HOST_PER_S 3
#define PACE_HOST_10S   (PACE_HOST_BURST + 10 * PACE_HOST_PER_S)
#define PACE_WAIT_NS    (4 * NS_PER_S) /* a packet that would have to wait longer is not sent */
#define PACE_SLOTS      512

struct pace_node {
    uint64_t tag;               /* 0: empty */
    ns_t sent[PACE_NODE_PER_S]; /* the last ones, oldest first; some may still be to come */
};

struct pace_host {
    uint64_t tag;
    ns_t full_at; /* when its bucket is whole again */
};

struct pace {
    uint64_t secret;
    struct pace_node nodes[PACE_SLOTS];
    struct pace_host hosts[PACE_SLOTS];
};

struct pace *pace_create(const struct env *env);
void pace_destroy(struct pace *p); /* accepts NULL */
/* Reserve one packet: the moment it may leave, now or within PACE_WAIT_NS; NS_NEVER: not at all, nothing reserved. */
ns_t pace_reserve(struct pace *p, ns_t now, const struct addr *to);
/* The same for a packet that leaves now or never: an answer. */
bool pace_now(struct pace *p, ns_t now, const struct addr *to);

#endif
