/* dht/estimate.h - what the answers of others say about us and the zone: our address (BEP 42), the time
 * (THREATS.md §4.2), the number of nodes.
 *
 *   in     one sample an answer, from authentic nodes
 *   out    majorities and medians
 *   owner  the node
 *   trust  each voter may lie: one vote a /24 or /48 of global addresses, a key elsewhere
 *   caps   ESTIMATE_VOTES votes a family, ESTIMATE_CLOCKS clocks */
#ifndef ITO_DHT_ESTIMATE_H
#define ITO_DHT_ESTIMATE_H

#include "base/env.h"
#include "dht/id.h"

#define ESTIMATE_VOTES    16
#define ESTIMATE_CLOCKS   15
#define ESTIMATE_VOTE_NS  (3600 * NS_PER_S) /* older votes do not count */
#define ESTIMATE_CLOCK_NS (6 * 3600 * NS_PER_S)

struct voter {
    struct addr from;
    uint8_t id[ID_BYTES];
    ns_t at; /* 0: empty */
};

struct address_votes {
    struct voter voters[ESTIMATE_VOTES];
    struct addr seen[ESTIMATE_VOTES];
};

void votes_add(struct address_votes *v, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES],
               const struct addr *seen);
/* The address more than half of the live votes (>= 2; >= 1 when alone is fine with at_least 1) agree on; its port is 0
 * when more than half do not agree on that too. *n: votes for it. */
bool votes_majority(const struct address_votes *v, ns_t now, unsigned at_least, struct addr *out,
                    unsigned *n);

/* Clocks are kept as the moment "monotonic 0" of each node's wall clock, so that a step of our own changes nothing. */
struct clocks {
    struct voter voters[ESTIMATE_CLOCKS];
    int64_t base_ms[ESTIMATE_CLOCKS];
};

/* ts: its wall clock when it answered; half a round trip has passed since. */
void clocks_add(struct clocks *c, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES],
                int64_t ts_ms, ns_t rtt);
/* Upper median over our own clock and the samples. */
int64_t clocks_time_ms(const struct clocks *c, ns_t now, int64_t own_ms);

/* Number of nodes, from how near the nearest are to random targets. */
struct size_estimate {
    double sum;    /* of k - 1 over the distance of the k-th, the newest samples weighing most */
    double weight; /* how many samples that is */
    double exact;  /* > 0: a lookup saw every node, so many */
};

/* The n nearest nodes known reach to distance (share of the id space) from the target. */
void size_add(struct size_estimate *s, unsigned n, double distance);
/* A whole zone smaller than a bucket: n nodes in all. */
void size_set_exact(struct size_estimate *s, unsigned n);
/* Estimate with a 95 % interval; 1, 1, 1 when nothing is known. */
void size_read(const struct size_estimate *s, unsigned k, double *n, double *low, double *high);

#endif
