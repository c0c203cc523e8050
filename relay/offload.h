/* relay/offload.h - which calls others may carry past us, on what terms, and what they did, sans I/O. Others are the
 * kernel (io/xdp.h) or threads of ours (io/workers.h).
 *
 * A pair is two allocations of this relay that have bound channels to each other's relayed addresses, or one and a
 * peer outside that it has bound a channel to. It is handed over at a packet that makes a second count (relay/second.h), so that checks and silence stay with us, and taken
 * back when nothing has come for OFFLOAD_IDLE_NS, when a channel, a permission or an allocation ends, and when our
 * address changes. Each side of it is lent for OFFLOAD_LEASE_NS at a time, never beyond what would end it, and for as
 * many bytes as all three rate caps on its way have been charged for beforehand; what is over that comes to us, who
 * decide as always. Every OFFLOAD_STEP_NS what was carried is booked as if it had passed here.
 *
 *   in     pairs by offload_consider(), from packets that we have just forwarded
 *   out    ops; counters of allocations and of struct turn_server_stats
 *   owner  the TURN server; an allocation names its pair by ->pair
 *   caps   one pair an allocation; those of ops->add */
#ifndef ITO_RELAY_OFFLOAD_H
#define ITO_RELAY_OFFLOAD_H

#include "base/env.h"

#define OFFLOAD_STEP_NS    (100 * NS_PER_MS)
#define OFFLOAD_LEASE_NS   (2 * NS_PER_S)
#define OFFLOAD_IDLE_NS    (5 * NS_PER_S)
#define OFFLOAD_CREDIT_MIN 1024 /* bytes charged for beforehand */

/* A client, and the channel it uses for the other; or a peer outside (channel 0), and the relayed port it uses. */
struct offload_end {
    struct addr client;
    uint16_t channel, port;
};

struct offload_count {
    uint64_t packets, bytes; /* payload, since the pair was added */
};

/* Since the beginning. */
struct offload_loss {
    struct offload_count unsent;  /* counted as carried, and lost on the way out */
    struct offload_count dropped; /* on the way to us; bytes of those that a pair let in */
};

/* Who carries: io/xdp.h, io/workers.h, or a test. Pairs are named by numbers > 0. */
struct offload_ops {
    uint32_t (*add)(void *arg, ns_t now, const struct offload_end ends[static 2]); /* 0: not this one */
    /* What comes from ends[from] may be carried until then, and so many bytes since it was added. */
    void (*renew)(void *arg, uint32_t pair, int from, ns_t until, uint64_t allowed_bytes);
    struct offload_count (*count)(void *arg, uint32_t pair, int from);
    void (*remove)(void *arg, ns_t now, uint32_t pair, struct offload_count out[static 2]);
    struct offload_loss (*lost)(void *arg); /* NULL: it loses nothing that it has counted */
};

struct forwarder;
struct allocation;
struct channel;

struct offload_pair;

struct offload {
    const struct offload_ops *ops; /* NULL: nobody carries */
    void *arg;
    struct offload_loss loss; /* booked */
    struct offload_pair *pairs;
    uint32_t n_pairs, cap_pairs;
    ns_t step_at; /* NS_NEVER: no pair */
    ns_t now;     /* of the last call that told */
};

void offload_init(struct offload *o, const struct offload_ops *ops, void *arg);
/* Takes all pairs back first. */
void offload_fini(struct forwarder *f);
/* A packet of `a` came by this channel, was forwarded, and made a second count: at most once a second. */
void offload_consider(struct forwarder *f, ns_t now, struct allocation *a, const struct channel *ch);
/* The allocation ends, or is about to change: take its pair back, with what it carried. */
void offload_drop(struct forwarder *f, ns_t now, struct allocation *a);
void offload_drop_all(struct forwarder *f);
/* Every OFFLOAD_STEP_NS, at o->step_at; without pairs at any time, for what was lost. */
void offload_step(struct forwarder *f, ns_t now);

#endif
