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
#define ESTIMATE_SIZES    16
#define ESTIMATE_VOTE_NS  (3600 * NS_PER_S) /* older votes do not count */
#define ESTIMATE_CLOCK_NS (6 * 3600 * NS_PER_S)
#define ESTIMATE_SIZE_NS  (12 * 3600 * NS_PER_S)
#define ESTIMATE_FACTOR   2.0 /* a sample that differs more from our own neighbourhood is of another time */

struct voter {
    uint64_t who;  /* its network, or the first bytes of its id */
    uint32_t at_s; /* monotonic seconds + 1; 0: empty */
};

struct vote {
    struct voter voter;
    uint16_t port;
    uint8_t ip[16];
};

/* Of one family. */
struct address_votes {
    struct vote votes[ESTIMATE_VOTES];
};

void votes_add(struct address_votes *v, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES],
               const struct addr *seen);
/* The address more than half of the live votes (>= 2; >= 1 when alone is fine with at_least 1) agree on; its port is 0
 * when more than half do not agree on that too. *n: votes for it. */
bool votes_majority(const struct address_votes *v, ns_t now, unsigned at_least, uint8_t family,
                    struct addr *out, unsigned *n);

/* Clocks are kept as the moment "monotonic 0" of each node's wall clock, so that a step of our own changes nothing. */
struct clock_vote {
    struct voter voter;
    int64_t base_ms;
};

struct clocks {
    struct clock_vote votes[ESTIMATE_CLOCKS];
};

/* ts: its wall clock when it answered; half a round trip has passed since. */
void clocks_add(struct clocks *c, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES],
                int64_t ts_ms, ns_t rtt);
/* Upper median over our own clock and the samples. */
int64_t clocks_time_ms(const struct clocks *c, ns_t now, int64_t own_ms);

/* n nodes reach to distance (share of the id space) from a target. */
struct size_sample {
    float distance;
    uint32_t at_s; /* monotonic seconds + 1; 0: empty */
    uint8_t n;
};

/* Number of nodes, from how near the nearest are to some targets. */
struct size_estimate {
    struct size_sample samples[ESTIMATE_SIZES];
};

void size_add(struct size_estimate *s, ns_t now, unsigned n, double distance);
/* From our own neighbourhood, the freshest there is (n 0: none), and the samples not older than ESTIMATE_SIZE_NS that do
 * not differ from it by more than ESTIMATE_FACTOR, all together, with a 95 % interval; 1, 1, 1 when nothing is known. */
void size_read(const struct size_estimate *s, ns_t now, unsigned own_n, double own_distance, double *n,
               double *low, double *high);

#endif
