/* tests/sim/overlay.h - many overlay nodes in one process: the shipped engine, virtual time, loss, adversaries.
 *
 * Each honest node is a struct dht like the program's; packets are encoded, sealed and parsed. Tables come from the
 * nodes' own joins: node i asks a few of those that are up for their neighbours, as after finding addresses on
 * mainline or in a cache. With ov_know() they come from an oracle. Keys are keyed hashes unless is_real. The same configuration gives the same run, bit by
 * bit: ov_digest() of everything sent tells.
 *
 *   ov = ov_create(&(struct ov_config){.n = 1000, .seed = 1});
 *   ov_join(ov);
 *   ov_records(ov, 100, &puts);
 *   ov_lookups(ov, 500, &gets);
 *
 *   owner  the test or the program; all dies with ov_destroy()
 *   caps   OV_NODES_MAX nodes, each in a /24 of its own */
#ifndef ITO_SIM_OVERLAY_H
#define ITO_SIM_OVERLAY_H

#include "crypto/item.h"
#include "dht/dht.h"
#include "tests/sim/prng.h"

#define OV_NODES_MAX (1u << 23)
#define OV_INTRO_MAX 8 /* addresses a newcomer knows */
#define OV_START_NS  (1000 * NS_PER_S)
#define OV_WALL_MS   1790000000000ll /* wall clock at virtual 0 */
#define OV_LATENCIES 4096
#define OV_COLD_MAX  64
#define OV_NEAREST   20

/* What a node that is not honest does with queries. All of them answer pings, prove their keys, and take tokens' puts
 * without storing. */
enum ov_foe {
    OV_HONEST,
    OV_COLLUDER, /* names only other colluders, the nearest to what was asked; has no values; seeks out tables */
    OV_LIAR,     /* names nodes that do not exist, and gives values with wrong signatures */
    OV_DROPPER,  /* answers only pings and find_node, with the nearest it knows of everybody */
    OV_REPLAYER, /* like a colluder, and gives the oldest record ever put */
    OV_ECLIPSE,  /* mainline only: whatever is asked for, it has the id beside it, and names others that do */
    OV_FOES
};

struct ov_config {
    uint32_t n;
    uint64_t seed;
    ns_t rtt;               /* median round trip; 0: 50 ms */
    double spread;          /* sigma of the lognormal factor of a pair of nodes; 0: constant */
    unsigned loss_permille; /* of packets */
    unsigned foes_pct;
    enum ov_foe foe;
    enum dht_profile profile;
    bool is_real;         /* real keys, puzzles and signatures: 5k nodes at most are sensible */
    unsigned clients_pct; /* read-only members */
    unsigned n_paths;     /* of every honest node; 0: the engine's own choice */
    ns_t doubling;        /* time in which the overlay doubles while it grows; 0: 60 s */
};

struct overlay;

struct overlay *ov_create(const struct ov_config *config);
void ov_destroy(struct overlay *o);
/* All nodes start, each through OV_INTRO_MAX of those that are up; then time for their neighbourhoods. */
void ov_join(struct overlay *o);
/* In place of ov_join(): an oracle knows all ids and gives each node the table its own joins would have given, that is
 * as many nodes of each bucket, chosen by chance among those that belong there, each of which knows it too; all have
 * met (pairs), and have an idea of the zone's size. Nobody sends anything for it. A node is made when it first has
 * something to do, unless is_eager: the run is the same, bit by bit, as it does not matter when it is made. Holds for
 * half an hour; then nodes at rest would ask their contacts. Zones, keyed hashes, nobody a client. */
void ov_know(struct overlay *o, bool is_eager);
/* Nodes made so far. */
uint32_t ov_made(const struct overlay *o);
void ov_run(struct overlay *o, ns_t duration);
/* Honest nodes that are up die at once, so many of a hundred. Answers how many are left. */
uint32_t ov_kill(struct overlay *o, double pct);
/* From now on nodes leave and others (new keys, new tables) join in their places: sessions of Weibull shape 0.5 around
 * the mean, as measured on Mainline. 0: it stops. */
void ov_churn(struct overlay *o, ns_t mean_session);

/* What a batch of operations gave. Round trips in hundredths of the median one. */
struct ov_batch {
    uint32_t n, n_ok;  /* n_ok: the right record, newest seq (put: at least half of the copies) */
    uint32_t n_forged; /* a value was accepted that its owner never signed */
    uint32_t n_stale;  /* the newest value accepted was an older record */
    uint32_t rtt_median, rtt_p90, rtt_p99;
    double queries, acks; /* means */
    double nearest_pct; /* put: of the OV_NEAREST honest full nodes nearest to the target, how many hold it */
    uint64_t bytes;     /* sent by everybody while they ran */
};

/* n records by n honest nodes; again: a higher seq for those there are. */
void ov_records(struct overlay *o, uint32_t n, struct ov_batch *out);
/* Gets of random records by random honest nodes, eight starts a round trip. */
void ov_lookups(struct overlay *o, uint32_t n, struct ov_batch *out);
/* The same, asked by read-only members. */
void ov_client_lookups(struct overlay *o, uint32_t n, struct ov_batch *out);
/* Forget the records (the copies stay): the next batch makes others. */
void ov_forget(struct overlay *o);
/* n new nodes (OV_COLD_MAX), each with one address and one get of a record: first value from its very start. */
void ov_cold(struct overlay *o, uint32_t n, struct ov_batch *out);
/* What nodes send and get while nobody does anything, each, over so long. */
struct ov_idle {
    double out_bytes_per_s, in_bytes_per_s, out_msgs_per_min;                      /* of full nodes */
    double client_out_bytes_per_s, client_in_bytes_per_s, client_out_msgs_per_min; /* of read-only ones */
};
void ov_idle(struct overlay *o, ns_t duration, struct ov_idle *out);

/* Totals since the start. */
struct ov_totals {
    uint64_t msgs, bytes; /* delivered, sent */
    double cpu_s;
    ns_t now;
};
void ov_totals(const struct overlay *o, struct ov_totals *out);
/* Bytes of memory of the honest nodes' engines, each, without the simulator's own. */
double ov_node_bytes(const struct overlay *o);
uint64_t ov_digest(const struct overlay *o);
uint32_t ov_up(const struct overlay *o);
/* Mean number of contacts, and how many of a hundred of them are adversaries. */
void ov_tables(struct overlay *o, double *contacts, double *foes_pct);
/* What nodes think of the number of them: its mean and standard deviation, as shares of the right one. */
void ov_sizes(const struct overlay *o, double *mean, double *deviation);
/* The engine of node i; NULL: it is down, or an adversary. */
struct dht *ov_dht(const struct overlay *o, uint32_t i);

#endif
