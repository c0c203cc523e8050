/* app/mainline.h - the public BitTorrent DHT beside our zone (DESIGN.md D2): a read-only client in each address family.
 *
 * It leads members of a zone to each other: those who can be reached announce their address there, and who knows few
 * members looks for more, both under a hash of the zone's id. And it keeps and finds items, for whoever may show our
 * address to the nodes there.
 *
 *   in     first addresses (the cache, net.routers), datagrams without a zone id
 *   out    addresses of likely members, items; through ops and callbacks
 *   owner  mainline_create(); config and ops are copied
 *   trust  anybody announces anything: an address is worth one question in the zone. An item has a right signature for
 *          the key asked for, nothing more; mainline may hide everything
 *   caps   MAINLINE_FOUND_MAX addresses of one look, MAINLINE_OPS items got or put at once */
#ifndef ITO_APP_MAINLINE_H
#define ITO_APP_MAINLINE_H

#include "dht/dht.h"

#define MAINLINE_FOUND_MAX   16
#define MAINLINE_OPS         64
#define MAINLINE_ENOUGH      8        /* members known: no need to look for more */
#define MAINLINE_LONELY_NS   NS_PER_S /* nobody answers: the routers are asked; doubles */
#define MAINLINE_LONELY_MAX  (600 * NS_PER_S)
#define MAINLINE_RETRY_NS    (20 * NS_PER_S) /* no member known at all: the next look; doubles */
#define MAINLINE_LOOK_NS     (30 * 60 * NS_PER_S)
#define MAINLINE_ANNOUNCE_NS (25 * 60 * NS_PER_S) /* announced addresses live 30 to 45 min there */

struct mainline;

struct mainline_config {
    uint8_t zone_id[DHT_ZONE_ID_BYTES];
    bool v4, v6;
    bool allow_local; /* loopback and private addresses are nodes: laboratories */
};

struct mainline_ops {
    void *arg;
    /* An address where a member of the zone may be. */
    void (*found)(void *arg, ns_t now, const struct addr *addr);
    /* Members of the zone we know to live. */
    size_t (*members)(void *arg);
    /* Can others reach us, and at which port (0: the one our packets come from)? Only then we announce ourselves. */
    bool (*reachable)(void *arg, uint16_t *port);
    /* Nobody we know of answers: give the routers' addresses to mainline_add_address(). */
    void (*lonely)(void *arg);
};

struct mainline_stats {
    bool is_joined;
    uint32_t peers, size, size_low, size_high; /* of both families */
    uint64_t n_looks, n_found, n_announced;    /* addresses found; nodes that took our announcement */
};

struct mainline *mainline_create(const struct mainline_config *config, const struct mainline_ops *ops,
                                 const struct env *env);
/* No callback any more. Accepts NULL. */
void mainline_destroy(struct mainline *m);
/* True when the datagram was for one of the instances. */
bool mainline_input(struct mainline *m, ns_t now, const struct addr *from, struct slice bytes);
void mainline_tick(struct mainline *m, ns_t now);
ns_t mainline_deadline(const struct mainline *m);
void mainline_add_address(struct mainline *m, ns_t now, const struct addr *a);
void mainline_network_changed(struct mainline *m, ns_t now);
/* For the cache file; returns how many. */
size_t mainline_nodes(const struct mainline *m, struct dht_node *out, size_t max);
void mainline_stats(const struct mainline *m, struct mainline_stats *out);
/* As dht_own_address(). */
bool mainline_own_address(const struct mainline *m, uint8_t family, struct addr *out);
/* Where members of a zone announce themselves: H(20, -; "itodenwa-members-v1" || zone_id8). */
void mainline_hash(const uint8_t zone_id[static DHT_ZONE_ID_BYTES], uint8_t out[static DHT_ID_BYTES]);

/* Somebody answers, in either family. */
bool mainline_is_joined(const struct mainline *m);
/* As dht_get(), in both families at once: values of either, done when both are, ERR_TIMEOUT when neither has a contact.
 * 0: all MAINLINE_OPS are taken. */
uint32_t mainline_get(struct mainline *m, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                      dht_value_cb value_cb, dht_done_cb done_cb, void *arg);
/* As dht_put(), in each family that is joined: ERR_OK when either took it, the acks of both. 0: none is joined, or as
 * above. */
uint32_t mainline_put(struct mainline *m, ns_t now, const struct item *item, dht_done_cb done_cb, void *arg);
/* As dht_cancel(). */
void mainline_cancel(struct mainline *m, uint32_t id);

#endif
