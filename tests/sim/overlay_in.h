/* tests/sim/overlay_in.h - inside of the simulated overlay, for overlay*.c only.
 *
 *   overlay.c      the world: time, packets, joining, dying
 *   overlay_foe.c  nodes that are not honest
 *   overlay_oracle.c  tables that nobody had to ask for
 *   overlay_op.c   records put and looked up, and what came of it
 *   overlay_key.c  keyed hashes in the place of signatures */
#ifndef ITO_SIM_OVERLAY_IN_H
#define ITO_SIM_OVERLAY_IN_H

#include "dht/node_key.h"
#include "tests/sim/overlay.h"
#include "tests/sim/overlay_event.h"

enum ov_kind { OV_PACKET, OV_TIMER, OV_BEGIN, OV_TASK, OV_LEAVE };

struct ov_packet {
    uint32_t from;
    uint16_t len;
    uint8_t bytes[];
};

struct foe;
struct oracle;

struct ov_node {
    struct overlay *o;
    struct dht *dht; /* honest, and up; with an oracle: and made already */
    struct foe *foe; /* of the other kind */
    ns_t queued_at;  /* of the earliest timer in the queue that is ours */
    uint32_t index, generation;
    uint64_t idle[3];                /* messages out, bytes out and in, when ov_idle() began */
    bool is_up, is_client, is_known; /* known: others may be told of it */
};

struct ov_record {
    uint32_t number;
    int64_t seq;
};

typedef void (*ov_task_cb)(struct overlay *o, uint32_t node, void *arg);
struct ov_task {
    ov_task_cb cb;
    void *arg;
};

struct ov_deferred {
    env_defer_cb cb;
    void *arg;
};

struct overlay {
    struct ov_config config;
    struct prng prng;
    ns_t now;
    struct ov_queue queue;
    struct book *book;     /* of all nodes */
    struct oracle *oracle; /* NULL: nodes join */
    uint32_t n_made;       /* by it */
    struct ov_node *nodes;
    uint32_t
        *up; /* indices of nodes that are up and known, adversaries too; their order is a matter of chance */
    uint32_t *up_at;
    uint32_t n_up;
    uint32_t *foes; /* up or not, sorted by id */
    uint8_t (*foe_ids)[DHT_ID_BYTES];
    uint32_t n_foes, n_cold;    /* places behind config.n, taken by ov_cold() */
    ns_t latency[OV_LATENCIES]; /* one way, by quantile */
    ns_t mean_session;
    uint64_t msgs, bytes, digest;
    double cpu_s;
    size_t own_bytes; /* of the heap, that are the simulator's */
    size_t packet_bytes;
    struct ov_record *records;
    uint32_t n_records;
    struct ov_deferred deferred[64];
    unsigned n_deferred;
};

extern const struct node_ops ov_ops;
/* Record `number` with that seq, signed by its own key. is_real: a real one. */
void ov_make_item(const struct overlay *o, uint32_t number, int64_t seq, struct item *out);

struct addr ov_addr(uint32_t index);
void ov_send(struct overlay *o, uint32_t from, const struct addr *to, struct slice bytes);
void ov_at(struct overlay *o, ns_t at, uint32_t node, ov_task_cb cb, void *arg);
/* After something was done to the node from outside. */
void ov_touch(struct overlay *o, uint32_t node);
/* A newcomer that knows of n_intro others. */
void ov_start(struct overlay *o, uint32_t node, uint32_t n_intro);
struct dht *ov_create_dht(struct overlay *o, struct ov_node *n);
void ov_set_known(struct overlay *o, uint32_t i, bool is_known);
/* One way, from a to b. */
ns_t ov_latency(const struct overlay *o, uint32_t a, uint32_t b);
/* What is allocated so far is the simulator's. */
void ov_own_bytes(struct overlay *o);
static inline bool ov_is_honest(const struct ov_node *n)
{
    return n->is_up && n->foe == NULL;
}
/* An honest node that is up. */
uint32_t ov_honest(struct overlay *o);
uint32_t ov_pick(struct overlay *o, uint32_t n);
/* Nonce of the puzzle when keys are real. */
void ov_solve(const struct overlay *o, const uint8_t seed[static 32], uint8_t nonce[static 8]);
extern const uint8_t ov_zone[DHT_ZONE_ID_BYTES];

/* --- overlay_foe.c */
struct foe *foe_create(struct overlay *o, uint32_t node, const struct env *env);
void foe_destroy(struct foe *f);
const uint8_t *foe_id(const struct foe *f);
const uint8_t *foe_key(const struct foe *f); /* 32 bytes */
void foe_input(struct foe *f, ns_t now, uint32_t from, struct slice bytes);
/* Make itself known to a node that is up. */
void foe_greet(struct foe *f, ns_t now, uint32_t node);
/* Sort those there are by id: called once, before any starts. */
void foes_sort(struct overlay *o);
/* The n colluders nearest to target; returns how many. */
size_t foes_nearest(const struct overlay *o, const uint8_t *target, uint32_t *out, size_t n);

/* --- overlay_oracle.c: they do nothing, or find nobody, without an oracle */
/* Node i, honest and up, gets its engine, if it has none. */
void oracle_make(struct overlay *o, uint32_t i);
/* The n nodes nearest to target; is_honest: of those that are honest and up. Returns how many. */
size_t oracle_nearest(const struct overlay *o, const uint8_t *target, bool is_honest, uint32_t *out,
                      size_t n);
void oracle_destroy(struct overlay *o);

#endif
