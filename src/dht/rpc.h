/* dht/rpc.h - queries in flight, by transaction id (BEP 5).
 *
 * Nobody waits for stragglers: a call is late at twice the round trip of its node (or the median), then its owner
 * asks somebody else; an answer still counts until the call is dead.
 *
 *   QUEUED ──its turn──▶ OPEN
 *   OPEN ──2 RTT──▶ LATE ──RPC_DEAD_NS──▶ closed
 *     └───answer──────┴──────────────────▶ closed by the owner
 *
 *   in     whom was asked what, when
 *   out    the call an answer belongs to; calls that became late or dead
 *   owner  the node
 *   trust  an answer must come from the address asked, with 32 random bits of the transaction id
 *   caps   RPC_MAX calls */
#ifndef ITO_DHT_RPC_H
#define ITO_DHT_RPC_H

#include "base/heap.h"
#include "dht/krpc.h"
#include "dht/table.h"

#define RPC_MAX         256
#define RPC_T_BYTES     6
#define RPC_DEAD_NS     (8 * NS_PER_S)
#define RPC_LATE_MIN_NS (20 * NS_PER_MS)

enum rpc_kind {
    RPC_PROBE,  /* does it live; do we want it in the table */
    RPC_HINT,   /* an address of which we do not know who is there */
    RPC_WALK,   /* a step of an operation's lookup */
    RPC_WIDEN,  /* mainline: who is beside the target, for a write that knows too few (extra: the bit) */
    RPC_STORE,  /* zones: a put that is a step of the lookup too, its answer names nodes */
    RPC_WRITE,  /* put, drop_put, advert_put, observe, route */
    RPC_FETCH,  /* one blob of a drop, one more page of adverts */
    RPC_NOTIFY, /* notify, and route towards the end of a flow */
};

struct rpc_call {
    struct heap_node timer; /* late_at, then dead_at */
    uint8_t t[RPC_T_BYTES];
    uint8_t kind; /* enum rpc_kind */
    uint8_t method;
    bool is_late, has_id, had_cookie;
    bool is_queued;  /* not sent yet: it leaves when the timer is up (mainline, pace.h) */
    bool is_counted; /* the operation waits for it: set and cleared by the owner */
    uint8_t tries;   /* the owner's */
    struct contact to;
    ns_t sent_at, late_after, dead_at;
    uint32_t op; /* the operation it belongs to, 0: none */
    /* RPC_FETCH: hash of the blob, or index of the page; RPC_PROBE: 1 asks for nodes too; RPC_WALK: 1 it was padded */
    uint8_t extra[8];
};

struct rpc {
    struct heap heap;
    uint16_t n, next, cap;   /* next: where to look for a free place */
    struct rpc_call **calls; /* cap places, NULL where none is open; given back when none is */
};

/* Each call that is open, in no order; nothing may be opened meanwhile. */
#define rpc_each(r, c)                                  \
    for (unsigned rpc_i = 0; rpc_i < (r)->cap; rpc_i++) \
        if (((c) = (r)->calls[rpc_i]) == NULL) {        \
        } else

void rpc_init(struct rpc *r);
void rpc_fini(struct rpc *r);
/* A new call, or NULL when RPC_MAX are open. rtt: what to expect. */
struct rpc_call *rpc_open(struct rpc *r, ns_t now, uint32_t random, const struct contact *to, bool has_id,
                          ns_t rtt);
/* It leaves at `at` only: rpc_due() names it then, with is_queued set. */
void rpc_queue(struct rpc *r, struct rpc_call *c, ns_t at);
/* The same call sent again (with a cookie), or at last: times start anew. */
void rpc_again(struct rpc *r, ns_t now, struct rpc_call *c);
struct rpc_call *rpc_find(struct rpc *r, struct slice t, const struct addr *from);
void rpc_close(struct rpc *r, struct rpc_call *c);
/* Close all of an operation. */
void rpc_close_op(struct rpc *r, uint32_t op);
/* The next call that became late (is_late was set just now) or dead (*is_dead; close it); NULL: none. */
struct rpc_call *rpc_due(struct rpc *r, ns_t now, bool *is_dead);
ns_t rpc_deadline(const struct rpc *r);

#endif
