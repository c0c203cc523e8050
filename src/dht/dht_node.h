/* dht/dht_node.h - inside of struct dht, for dht*.c only.
 *
 *   dht.c        life, packets in, tick, joining, upkeep
 *   dht_ask.c    queries out; what answers to them mean
 *   dht_op.c     operations: lookups with something to find or to write
 *   dht_api.c    the calls that start them
 *   dht_serve.c  queries of others
 *   dht_public.c what only mainline does: values in full, peers, ids by address, two families
 *
 * Callbacks may destroy the node: whoever called something that may run one looks at is_dead before going on. */
#ifndef ITO_DHT_DHT_NODE_H
#define ITO_DHT_DHT_NODE_H

#include "dht/advert.h"
#include "dht/dht.h"
#include "dht/drop.h"
#include "dht/estimate.h"
#include "dht/lookup.h"
#include "dht/node_key.h"
#include "dht/pace.h"
#include "dht/peers.h"
#include "dht/rpc.h"
#include "dht/store.h"

#define DHT_K_ZONE         20
#define DHT_K_MAINLINE     8
#define DHT_PUT_MAINLINE   20 /* copies: items there are easily lost (reference/overlay.md §2) */
#define DHT_SPARE_MAINLINE 4  /* more are asked, so that a dead one among the nearest is not waited for */
#define DHT_FREE_GET       4  /* nodes whose id does not follow from their address, among the k nearest */
#define DHT_LAUNCHES       2  /* times a lookup is begun anew */
#define DHT_LAUNCH_RTTS    8  /* how long it may take each time */
#define DHT_SEEDS_PATH     3  /* first contacts of each path then */
#define DHT_REFRESH_WIDTH  8  /* nodes asked to fill a bucket */
#define DHT_FAR_LOOKUPS    2  /* elsewhere, to know how many nodes there are */
#define DHT_PAD_NEAR \
    900 /* bytes of padding towards strangers, so that a value, or contacts, may come with the cookie */
#define DHT_PAD_FAR        260
#define DHT_PAD_NODES      700 /* towards those of whom no value is wanted */
#define DHT_REPLY_NODES    16  /* contacts in an answer of a zone */
#define DHT_REPLY_BYTES    1200
#define DHT_SEEN_MAX       256               /* distinct blobs or adverts one operation hands out */
#define DHT_FIRST_RTT_NS   (250 * NS_PER_MS) /* expected while nobody answered */
#define DHT_PROBE_NS       (44 * NS_PER_S)   /* upkeep: one contact is asked this often */
#define DHT_PROBE_CLIENT   (300 * NS_PER_S)
#define DHT_STALE_NS       (1800 * NS_PER_S) /* and not one that answered this recently */
#define DHT_REFRESH_NS     (3600 * NS_PER_S)
#define DHT_REFRESH_CLIENT (6 * 3600 * NS_PER_S) /* it has no neighbourhood to know */
#define DHT_HINT_MAX_NS    (60 * NS_PER_S)
#define DHT_RATE_SLOTS     512
#define DHT_RATE_FIRST     8  /* slots to begin with */
#define DHT_PINGS_PER_S    20 /* of askers that would fit into the table */
#define DHT_OBSERVERS      256
#define DHT_OBSERVERS_PER  8 /* a target */
#define DHT_OBSERVE_NS     (45 * 60 * NS_PER_S)
#define DHT_WATCHED        64
#define DHT_FLOWS          64
#define DHT_FLOW_NS        (90 * NS_PER_S)
#define DHT_FLOW_MSGS      64
#define DHT_FLOW_BYTES     65536
#define DHT_FLOWS_PER_10S  4 /* new ones for one target */

enum op_kind {
    OP_REFRESH,
    OP_FIND,
    OP_GET,
    OP_PUT,
    OP_DROP_PUT,
    OP_DROP_GET,
    OP_ADVERT_PUT,
    OP_ADVERT_GET,
    OP_OBSERVE,
    OP_ROUTE,
    OP_PEERS,
    OP_ANNOUNCE
};

struct op {
    uint32_t id; /* 0: free */
    uint8_t kind;
    bool is_waiting; /* for a first contact */
    bool has_looked; /* at our own store */
    bool is_walked;
    uint8_t target[ID_BYTES];
    struct lookup *l;
    ns_t started_at, first_at, ends_at;
    ns_t finish_at;  /* enough was found: end then */
    ns_t look_until; /* after that nobody is asked any more */
    ns_t walk_until; /* paths begun anew have so long; 0: as long as it takes */
    uint16_t n_open; /* writes and fetches neither answered nor late */
    uint16_t n_writes;
    uint8_t n_wide, n_wide_open; /* rounds of RPC_WIDEN, and their calls neither answered nor late */
    struct dht_result result;
    /* get and put */
    bool is_immutable; /* get: may be */
    bool is_raw;       /* cb.raw, not cb.value */
    bool has_key;      /* else any key whose item lies at the target */
    bool has_refused;
    uint8_t key[32];
    int64_t seq;     /* get: highest accepted, or min_seq - 1 */
    uint8_t sig[64]; /* put: its own; get: of a value the owner did not want, if has_refused */
    struct krpc_int cas;
    /* what is written: bencoded value, blob nonce, advert, body */
    uint8_t *payload;
    size_t payload_len;
    uint32_t flow; /* announce: the port */
    uint8_t salt[STORE_SALT_MAX], salt_len;
    /* blobs and adverts handed out already, DROP_HASH each */
    uint8_t *seen;
    uint16_t n_seen;
    union {
        dht_value_cb value;
        dht_raw_cb raw;
        dht_blob_cb blob;
        dht_advert_cb advert;
        dht_find_cb find;
        dht_peer_cb peer;
    } cb;
    dht_done_cb done;
    void *arg;
};

struct hint {
    struct addr addr;
    ns_t next_at; /* 0: empty; NS_NEVER: in flight, or it answered */
    uint8_t tries;
    bool is_open, has_answered;
};

struct rate_slot {
    uint32_t tag;
    uint32_t tokens; /* thousandths */
    ns_t at;
};

struct observer {
    uint8_t target[ID_BYTES];
    struct contact c;
    ns_t expires_at; /* 0: empty */
};

struct watched {
    uint8_t target[ID_BYTES];
    ns_t expires_at;
};

/* One `route` exchange we carry. */
struct flow {
    uint8_t target[ID_BYTES];
    struct contact origin, putter;
    uint32_t flow_in, flow_out;  /* the origin's number, ours */
    ns_t started_at, expires_at; /* 0: empty */
    uint16_t n_msgs;
    uint32_t n_bytes;
};

struct dht {
    struct dht_config config;
    struct env env;
    bool is_zone, is_dead, has_ticked;
    uint8_t k;
    enum dht_state state;
    struct book *book;   /* ours unless the config brought one */
    struct node_key key; /* zones; on mainline only the id is used */
    uint8_t id[ID_BYTES];
    struct table table;
    struct rpc rpc;
    struct store store;
    struct drops drops;
    struct adverts adverts;
    struct peers announced;         /* mainline that serves */
    struct pace *pace;              /* mainline */
    struct dht *other_family;       /* mainline: see dht_join_families() */
    ns_t id_at;                     /* mainline: not before this is our id compared with our address again */
    struct address_votes *votes[2]; /* IPv4, IPv6; NULL while there is none */
    struct clocks *clocks;          /* NULL while there is none */
    struct size_estimate size;
    double size_n[3]; /* the estimate and its interval, kept for a second */
    ns_t size_at;     /* 0: not */
    struct op **ops;  /* cap_ops places, NULL where none runs; given back when none does */
    uint8_t cap_ops, n_ops;
    uint32_t op_round;
    ns_t kick_at; /* operations want a turn */
    struct hint *hints;
    uint16_t n_hints;
    uint8_t n_self_lookups; /* of our own neighbourhood since we joined */
    uint8_t n_far_lookups;  /* and of others after that */
    unsigned refresh_bucket;
    ns_t probe_at, refresh_at;
    ns_t rtt_ns, rtt_at; /* median, kept for a second */
    ns_t turned_at;      /* the last input or tick: for questions that bring no time of their own */
    uint64_t rate_secret;
    struct rate_slot *rates; /* n_rates; NULL while nobody asks */
    uint16_t n_rates;
    ns_t rates_at; /* last query of anybody */
    struct rate_slot verifies, pings, members;
    struct observer *observers; /* these grow as they are needed, to DHT_OBSERVERS and so on */
    struct watched *watched;
    struct flow *flows;
    uint16_t n_observers, n_watched, n_flows;
    struct dht_stats count; /* the counters; the rest is filled in by dht_stats() */
    uint64_t lookup_ns_sum;
};

/* --- dht.c */
ns_t dht_rtt(struct dht *d, ns_t now);
bool dht_addr_ok(const struct dht *d, const struct addr *a);
/* Estimated number of nodes in the zone, ourselves included. */
void dht_size(const struct dht *d, ns_t now, double *n, double *low, double *high);
/* The same, of at most a second ago. */
void dht_size_now(struct dht *d, ns_t now, double *n, double *low, double *high);
/* True when a token of the bucket is left. */
bool dht_rate_ok(struct rate_slot *s, ns_t now, uint32_t per_s, uint32_t burst);
/* Is the zone closed? */
static inline bool dht_is_closed(const struct dht *d)
{
    return d->key.members != NULL;
}
/* Queries from one address, or vouched for by it: are they few enough? */
bool dht_asker_ok(struct dht *d, ns_t now, const struct addr *from);
void dht_send(struct dht *d, const struct addr *to, struct slice packet);
void dht_set_state(struct dht *d, enum dht_state state);
/* A contact answered: it may be the first. */
void dht_contact_answered(struct dht *d, ns_t now, const struct contact *c, ns_t rtt);
void dht_hint_answered(struct dht *d, ns_t now, const struct addr *a, bool has_answered);
/* One neighbourhood lookup ended. */
void dht_refresh_done(struct dht *d, ns_t now, const struct op *op);

/* An array that is full: twice as long, the new half zeroed; *n tells. NULL and unchanged when it has max already. */
void *dht_grow(void *array, uint16_t *n, unsigned max, size_t size);

/* --- dht_ask.c */
/* Send a query; NULL when none can be open. extra: 8 bytes for rpc_call, or NULL. */
struct rpc_call *dht_ask(struct dht *d, ns_t now, enum rpc_kind kind, struct op *op, const struct contact *to,
                         bool has_id, const uint8_t *extra);
/* Ask, if it lives, a node that may belong into the table. */
void dht_probe(struct dht *d, ns_t now, const struct contact *c);
/* A query without a call to wait for that is not rebuilt: notify and route. */
void dht_tell(struct dht *d, ns_t now, const struct contact *to, struct krpc_msg *m);
void dht_answer(struct dht *d, ns_t now, const struct addr *from, struct slice packet,
                const struct krpc_msg *m);
/* Calls that became late or dead. */
void dht_ask_tick(struct dht *d, ns_t now);
/* Contacts of zn, nodes or nodes6, each with its id checked; returns how many (at most max). */
size_t dht_read_nodes(struct dht *d, const struct krpc_body *b, struct slice zn, struct contact *out,
                      size_t max);
/* Contacts that an answer of `by` names, and its vouchers for them, become candidates of a lookup. */
void dht_take_nodes(struct dht *d, struct op *op, const struct contact *by, const struct krpc_body *b,
                    unsigned path);

/* --- dht_op.c */
struct op *dht_op(struct dht *d, uint32_t id);
/* Start an operation that owns nobody's callback; NULL when all are taken. */
struct op *dht_op_start(struct dht *d, ns_t now, enum op_kind kind, const uint8_t target[static ID_BYTES]);
/* Send what there is to send; runs no callback. */
void dht_op_send(struct dht *d, ns_t now, struct op *op);
/* The same, and end it when it is done: runs callbacks. */
void dht_op_turn(struct dht *d, ns_t now, struct op *op);
/* An answer for an operation; runs callbacks. */
void dht_op_answer(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call,
                   const struct contact *from, const struct krpc_msg *m);
void dht_op_error(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call, int code);
void dht_op_late(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call, bool is_dead);
/* Give waiting operations their first contacts. */
void dht_ops_seed(struct dht *d, ns_t now);
void dht_ops_tick(struct dht *d, ns_t now);
ns_t dht_ops_deadline(const struct dht *d);
/* Without a word to its owner. */
void dht_op_drop(struct dht *d, struct op *op);

/* --- dht_public.c */
/* Does the answer hold the value the operation is about? Then it is handed out: false, the operation is gone. */
bool dht_take_raw(struct dht *d, ns_t now, struct op *op, const struct krpc_msg *m);
/* A write that found too few nodes asks who is beside the target, as answers name eight only. True: it goes on. */
bool dht_widen(struct dht *d, ns_t now, struct op *op, unsigned wanted);
/* Several have answered and few are known: the network is small, what is near is known. */
bool dht_knows_few(const struct dht *d, const struct op *op);
/* Enough copies, the nearest nodes among them, have been acknowledged: whoever is silent is not waited for. */
bool dht_has_enough(const struct dht *d, const struct op *op, unsigned wanted);
/* BEP 42: a new id when ours does not suit our address. */
void dht_check_id(struct dht *d, ns_t now);
/* What to say in `want`; an absent slice: nothing. */
struct slice dht_want(const struct dht *d);
/* Contacts of the other family that an answer names. */
void dht_pass_family(struct dht *d, ns_t now, const struct krpc_body *b);
/* Answer get_peers, take announce_peer: false, with the reason: refused. values: room for the list. */
void dht_serve_peers(struct dht *d, ns_t now, const uint8_t *hash, struct ben_wr *values);
const char *dht_take_announce(struct dht *d, ns_t now, const struct addr *from, const struct krpc_msg *m);

/* --- dht_op.c, for dht_public.c */
/* Hand out a value whose signature or hash was checked. False: the operation is gone. */
bool dht_give_value(struct dht *d, ns_t now, struct op *op, const struct dht_value *v);

/* --- dht_serve.c */
/* The contacts nearest to target that may be told to somebody at `to`, as compact bytes of this mainline instance. */
struct slice dht_compact_nodes(struct dht *d, const struct addr *to, const uint8_t target[static ID_BYTES],
                               uint8_t *buf, size_t size);
void dht_serve(struct dht *d, ns_t now, const struct addr *from, struct slice packet,
               const struct krpc_msg *m);
/* Tell those who observe target. */
void dht_notify(struct dht *d, ns_t now, const uint8_t target[static ID_BYTES]);

#endif
