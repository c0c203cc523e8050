/* dht/dht.h - one overlay node: packets in, lookups and values out (KRPC: BEP 5, 32, 42, 43, 44; THREATS.md §4.13).
 *
 * Sans I/O, no globals; a process may hold many, and two or more on one UDP port: dht_input() says whether a
 * packet was of this instance. Profile DHT_ZONE authenticates every message, and a closed zone hears its members only,
 * each by a certificate of the zone's key: to others it says nothing. DHT_MAINLINE speaks to the public
 * BitTorrent DHT. An instance of the mainline profile serves one address family (BEP 32: create one for each, and
 * dht_join_families() them). Its id follows the address that others see (BEP 42), and it never sends so much to one
 * address that a default libtorrent node would go deaf to it (pace.h): what would is sent a little later.
 *
 *   in     datagrams that start with 'd', addresses to try, keys to get, items to put
 *   out    datagrams through env_send(); values, blobs and adverts through callbacks
 *   owner  the creator; everything given is copied. Callbacks may get, put, cancel and destroy. A done callback
 *          runs exactly once, never inside the call that started it, and never after dht_cancel(), dht_destroy()
 *   trust  an item handed out has a right signature and the key asked for, nothing more; blobs have the proof of
 *          work they claim, nothing more; adverts, addresses and times are hearsay of the nodes that sent them
 *   caps   DHT_OPS_MAX operations, DHT_HINTS_MAX addresses to try, RPC_MAX queries in flight, TABLE_MAX contacts,
 *          the store's caps (store.h, drop.h, advert.h, peers.h), DHT_RATE_* queries from one address */
#ifndef ITO_DHT_DHT_H
#define ITO_DHT_DHT_H

#include "base/env.h"

struct dht;
struct item;     /* crypto/item.h */
struct node_ops; /* dht/node_key.h */
struct book;     /* dht/book.h */

#define DHT_ID_BYTES       20
#define DHT_KEY_BYTES      32
#define DHT_NONCE_BYTES    8
#define DHT_ZONE_ID_BYTES  8
#define DHT_CERT_BYTES     68
#define DHT_BLOB_BYTES     960
#define DHT_ADVERT_MAX     512
#define DHT_ROUTE_MAX      1024
#define DHT_OPS_MAX        64   /* lookups of all kinds at one time, our own refreshes included */
#define DHT_HINTS_MAX      64   /* addresses to try, remembered until they answer or others crowd them out */
#define DHT_RATE_BURST     200  /* queries from one address at once */
#define DHT_RATE_PER_S     50   /* and a second from then on */
#define DHT_VERIFIES_PER_S 1000 /* signatures of strangers checked in a second, all addresses together */
#define DHT_MEMBERS_PER_S  200  /* closed zone: certificates of strangers checked before they get a cookie */
#define DHT_OP_MAX_NS      (60 * NS_PER_S) /* an operation ends after this, whatever happened */
#define DHT_JOIN_WAIT_NS   (10 * NS_PER_S) /* an operation started before the first contact waits this long */

enum dht_profile { DHT_ZONE, DHT_MAINLINE };

/* JOINING: looking for a first contact, or for our neighbours. JOINED: at least one contact, neighbours known.
 * ALONE: every address known was tried and none answers; they are tried again, ever more slowly. */
enum dht_state { DHT_JOINING, DHT_JOINED, DHT_ALONE };

enum dht_families { DHT_V4 = 1, DHT_V6 = 2 };

/* A body of C0-C3 datagrams handed along by `route` (THREATS.md §4.8): to the node that put the item at target,
 * and back. flow names the exchange; an answer goes to `from` with the same flow. */
struct dht_route {
    struct addr from;
    uint8_t key[DHT_KEY_BYTES]; /* N of the node that handed it to us, proven */
    uint8_t target[DHT_ID_BYTES];
    uint32_t flow;
    struct slice body; /* 1..DHT_ROUTE_MAX bytes, borrowed */
};

/* Any member may be NULL. */
struct dht_events {
    void *arg;
    void (*state)(void *arg, enum dht_state state);
    /* Something new lies at a target that was observed (dht_observe). */
    void (*notify)(void *arg, const uint8_t target[DHT_ID_BYTES]);
    void (*route)(void *arg, const struct dht_route *route);
};

struct dht_membership {
    uint8_t zone_key[DHT_KEY_BYTES]; /* Z, whose hash is in zone_id */
    uint8_t cert[DHT_CERT_BYTES];    /* by Z, for our N */
};

struct dht_config {
    enum dht_profile profile;
    uint8_t zone_id[DHT_ZONE_ID_BYTES];
    uint8_t seed[32];                    /* of the Ed25519 node key; mainline: any random bytes */
    uint8_t nonce[DHT_NONCE_BYTES];      /* puzzle solution for (zone_id, N); unused on mainline */
    const struct dht_membership *closed; /* the zone takes members only; copied. NULL: an open zone */
    bool
        is_client; /* BEP 43: takes, stores nothing and answers nobody. The phone's setting on mainline, always */
    bool allow_loopback; /* a zone inside one computer */
    bool allow_private;  /* a zone on a LAN: private and link-local addresses are contacts */
    uint8_t families;    /* DHT_V4 | DHT_V6, 0: both; a mainline instance takes exactly one (0: DHT_V4) */
    uint8_t n_paths;     /* disjoint paths a lookup begins with, 1..8; 0: 1 */
    uint16_t max_items, max_blobs, max_adverts; /* 0: STORE_MAX, DROP_MAX, ADVERT_MAX */
    uint16_t max_contacts;                      /* 0: TABLE_MAX */
    uint16_t max_pairs;         /* nodes whose mac key is kept; 0: as max_contacts, at least NODE_PAIRS */
    struct book *book;          /* shared by the nodes of one process; NULL: one of its own */
    const struct node_ops *ops; /* NULL: real signatures; the simulator puts keyed hashes here */
    struct dht_events events;
};

struct dht_node {
    struct addr addr;
    uint8_t id[DHT_ID_BYTES];
    uint8_t key[DHT_KEY_BYTES]; /* N; zeros on mainline */
    ns_t seen_at;
    ns_t rtt_ns;
};

struct dht_stats {
    uint32_t peers;               /* contacts in the table */
    uint32_t size_low, size_high; /* 95 % interval of the number of nodes in the zone, ourselves included */
    uint32_t size;                /* the estimate itself */
    uint64_t lookups, lookups_ok; /* started by dht_get, dht_put, drop and advert calls */
    uint64_t lookup_ns;           /* mean time of a successful one to its first result */
    uint64_t msgs_in, msgs_out, bytes_in, bytes_out;
    uint32_t items, blobs, adverts, announced; /* held for others */
    uint32_t observers, pairs;
    uint64_t
        bad_packets; /* ours by zone id, and not as it should be: format, signature, puzzle, sender's id */
    uint64_t rate_drops;   /* over DHT_RATE_* or DHT_VERIFIES_PER_S */
    uint64_t cap_drops;    /* refused by a cap of the store, the table or the operations */
    uint64_t paced;        /* mainline: packets that left later, or never, for the sake of a node's limits */
    uint64_t outsiders;    /* closed zone: queries of whom no certificate says that it is a member */
    uint64_t cookies_sent; /* unproven askers sent away with a cookie */
    uint64_t timeouts, late;
    ns_t rtt_ns; /* median of the contacts */
};

/* How an operation went. rtts_x100: time to the first result (put: to the end) in hundredths of the median RTT. */
struct dht_result {
    uint32_t queries;
    uint32_t rtts_x100;
    ns_t took_ns;
    uint32_t n_found; /* distinct values, blobs or adverts handed out */
    uint32_t n_nodes; /* nodes that answered */
    uint32_t n_acks;  /* put: nodes that stored it (an answer 302 at our own seq counts) */
    uint32_t
        n_inferred;     /* of these, that answer: another value of the same seq may lie there, so read back */
    uint32_t n_refused; /* put: nodes that said no; mainline: or nothing, as some do at a wrong signature */
    uint32_t n_stale;   /* of these, 302: a higher seq, or another value of the same, lies there */
    uint32_t n_cas;     /* and 301: what lies there is not what cas named */
    int32_t last_error; /* KRPC code of the last refusal, 0 when none */
    uint8_t
        bits_needed; /* drop put: the highest number of zero bits any node asked for, 0 when all took it */
    uint8_t
        n_launches; /* how often it was begun anew over more paths, as what it found was not to be trusted */
    bool is_sparse; /* the nodes found lie too far apart for the zone's size: sign of a captured lookup */
};

/* A value with a right signature and a higher seq than every one accepted before. Return false to say "not what
 * I need" (it did not open): the lookup then goes on as if it had not been seen. */
typedef bool (*dht_value_cb)(void *arg, const struct item *item);
/* One blob of a drop whose proof of work was checked. */
typedef void (*dht_blob_cb)(void *arg, const uint8_t blob[DHT_BLOB_BYTES],
                            const uint8_t nonce[DHT_NONCE_BYTES], uint8_t bits);
/* One relay's advert. seen: the address the storing node had it from. All hearsay: only a handshake with N proves. */
typedef void (*dht_advert_cb)(void *arg, const uint8_t key[DHT_KEY_BYTES], const struct addr *seen,
                              struct slice advert);
/* ERR_OK; ERR_NOT_FOUND: asked, and nobody has it, or (put) nobody took it; ERR_REFUSED: put refused by all that
 * answered (see last_error); ERR_TIMEOUT: no contact at all. */
typedef void (*dht_done_cb)(void *arg, enum err e, const struct dht_result *result);

/* NULL when the nonce does not solve the puzzle of the zone for this key, or Z has not signed our certificate for it. Sends nothing; the first dht_tick() is
 * due at once. */
struct dht *dht_create(const struct dht_config *config, const struct env *env);
/* Accepts NULL. Memory is freed at the end of the turn. */
void dht_destroy(struct dht *d);
/* True when the datagram belongs to this instance (its zone id; mainline: none), even if it was bad. */
bool dht_input(struct dht *d, ns_t now, const struct addr *from, struct slice bytes);
void dht_tick(struct dht *d, ns_t now);
/* Two mainline instances, one of each family, that tell each other contacts (BEP 32); until either is destroyed. */
void dht_join_families(struct dht *v4, struct dht *v6);
ns_t dht_deadline(const struct dht *d);

/* An address where a node of this zone may be: net.peers, a cached node, an invite, the LAN. Asked at once. */
void dht_add_address(struct dht *d, ns_t now, const struct addr *a);
/* A new member certificate in the place of ours. ERR_AUTH: it is not for us; ERR_REFUSED: the zone is open. */
enum err dht_set_member(struct dht *d, const uint8_t cert[static DHT_CERT_BYTES]);
/* The network under us changed: addresses and times we learned are forgotten, contacts are asked again. */
void dht_network_changed(struct dht *d, ns_t now);
/* At most max contacts for the cache file, those longest known to live first; returns how many. */
size_t dht_nodes(const struct dht *d, struct dht_node *out, size_t max);
enum dht_state dht_state(const struct dht *d);
void dht_stats(const struct dht *d, struct dht_stats *out);
const uint8_t *dht_id(const struct dht *d);  /* DHT_ID_BYTES */
const uint8_t *dht_key(const struct dht *d); /* N, DHT_KEY_BYTES; zeros on mainline */
/* Our address of that family (ADDR_V4, ADDR_V6) as a majority of ≥ 2 networks that answered sees it (BEP 42);
 * port 0 when they see different ports (a NAT that maps by destination). False when there is no majority.
 * On a zone of private or loopback addresses, voters count by key. */
bool dht_own_address(const struct dht *d, uint8_t family, struct addr *out, unsigned *n_votes);
/* T_z of THREATS.md §4.2, ms since 1970 UTC; our own clock while nobody answered. */
int64_t dht_zone_time_ms(const struct dht *d, ns_t now);
/* How far our own clock is from T_z, ms; > 10 min is worth showing. */
int64_t dht_clock_error_ms(const struct dht *d, ns_t now);

/* --- Values (BEP 44, mutable, no salt). All return an id for dht_cancel(), or 0 when DHT_OPS_MAX is reached:
 * then no callback comes. */

/* Where the item of a key lies: its SHA-1. */
void dht_target(const uint8_t key[static DHT_KEY_BYTES], uint8_t target[static DHT_ID_BYTES]);
/* The item under key (target = SHA-1 of it) with seq >= min_seq. value_cb for each better one; done one RTT after
 * the first that was accepted, or when the closest nodes have answered. */
uint32_t dht_get(struct dht *d, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                 dht_value_cb value_cb, dht_done_cb done_cb, void *arg);
/* Store at the closest nodes; they are put to while the lookup still runs. */
uint32_t dht_put(struct dht *d, ns_t now, const struct item *item, dht_done_cb done_cb, void *arg);
/* The same with a salt of at most 64 bytes (BEP 44: target = SHA-1(key salt), signed over it). For `ito dht`; zones
 * and contact records use none. */
uint32_t dht_get_salted(struct dht *d, ns_t now, const uint8_t key[static DHT_KEY_BYTES], struct slice salt,
                        int64_t min_seq, dht_value_cb value_cb, dht_done_cb done_cb, void *arg);
uint32_t dht_put_salted(struct dht *d, ns_t now, const struct item *item, struct slice salt,
                        dht_done_cb done_cb, void *arg);

/* A value in full (BEP 44). v is borrowed, bencoded as it came and as it goes: never encoded anew. */
struct dht_value {
    bool is_mutable;
    uint8_t k[DHT_KEY_BYTES]; /* and seq, sig, salt: of mutable ones */
    int64_t seq;
    uint8_t sig[64];
    struct slice salt; /* at most 64 bytes */
    struct slice v;    /* one bencoded value, at most 1000 bytes: a byte string of 996 */
};
/* Like dht_value_cb, for values in full. */
typedef bool (*dht_raw_cb)(void *arg, const struct dht_value *v);
/* What lies at target: under key and salt; key NULL: an immutable value, or a mutable one of whatever key has this
 * target. Zones hold no immutable ones. */
uint32_t dht_get_raw(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], const uint8_t *key,
                     struct slice salt, int64_t min_seq, dht_raw_cb raw_cb, dht_done_cb done_cb, void *arg);
/* Store it; cas (BEP 44, may be NULL): only over what has this seq. 0 also when it is too long. */
uint32_t dht_put_raw(struct dht *d, ns_t now, const struct dht_value *v, const int64_t *cas,
                     dht_done_cb done_cb, void *arg);
/* Where it lies: SHA-1 of v, or of k and salt. ERR_RANGE: too long. */
enum err dht_raw_target(const struct dht_value *v, uint8_t target[static DHT_ID_BYTES]);
/* No callback of that operation from now on. Unknown ids are fine. */
void dht_cancel(struct dht *d, uint32_t id);
/* A lookup for its own sake: who is near target. result->n_nodes tells how many answered; nodes (may be NULL) gets
 * at most max of them when done, nearest first. */
typedef void (*dht_find_cb)(void *arg, const struct dht_node *nodes, size_t n,
                            const struct dht_result *result);
uint32_t dht_find(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], dht_find_cb cb,
                  void *arg);

/* --- Drops: sealed blobs of strangers, and notes (THREATS.md §4.5, §4.8). The nonce must give the blob at least
 * DROP_BITS_MIN zero bits; which of 18 or 22 a drop needs, its reader knows and the nodes do not. */
uint32_t dht_drop_put(struct dht *d, ns_t now, const uint8_t drop_id[static DHT_ID_BYTES],
                      const uint8_t blob[static DHT_BLOB_BYTES], const uint8_t nonce[static DHT_NONCE_BYTES],
                      dht_done_cb done_cb, void *arg);
uint32_t dht_drop_get(struct dht *d, ns_t now, const uint8_t drop_id[static DHT_ID_BYTES],
                      dht_blob_cb blob_cb, dht_done_cb done_cb, void *arg);

/* --- Relay adverts: under (shard key, our N) at the closest nodes, for 30 min. */
uint32_t dht_advert_put(struct dht *d, ns_t now, const uint8_t key[static DHT_ID_BYTES], struct slice advert,
                        dht_done_cb done_cb, void *arg);
uint32_t dht_advert_get(struct dht *d, ns_t now, const uint8_t key[static DHT_ID_BYTES],
                        dht_advert_cb advert_cb, dht_done_cb done_cb, void *arg);

/* --- Peers of an info-hash (BEP 5), mainline only; 0 elsewhere. This is how members of a zone find first addresses:
 * anybody can announce anything, so an address is worth one dht_add_address() and nothing more. */
typedef void (*dht_peer_cb)(void *arg, const struct addr *peer); /* each address once */
uint32_t dht_peers(struct dht *d, ns_t now, const uint8_t info_hash[static DHT_ID_BYTES], dht_peer_cb peer_cb,
                   dht_done_cb done_cb, void *arg);
/* Announce our address with that port; 0: the port our packets come from. Gone after some 30 min. */
uint32_t dht_announce(struct dht *d, ns_t now, const uint8_t info_hash[static DHT_ID_BYTES], uint16_t port,
                      dht_done_cb done_cb, void *arg);

/* --- observe and route. */

/* Ask the nodes near target to tell us (events.notify) when something new is put there; lasts 45 min, so repeat
 * it every 30 ± 10. n_acks of the result: how many will. */
uint32_t dht_observe(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], dht_done_cb done_cb,
                     void *arg);
/* Hand body (1..DHT_ROUTE_MAX bytes) to whoever put the item at target, through the nodes that store it. flow is
 * ours, not 0; answers come by events.route with it. n_acks: nodes that passed it on. */
uint32_t dht_route_send(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], uint32_t flow,
                        struct slice body, dht_done_cb done_cb, void *arg);
/* Answer (or go on with) a flow that came by events.route: to the node that handed it to us. Not acknowledged. */
void dht_route_reply(struct dht *d, ns_t now, const struct dht_route *route, struct slice body);

#endif
