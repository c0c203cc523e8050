/* sim/soak.h - a relay under calls for hours of virtual time: the shipped relay/service, every packet counted by who
 * sent it and who got it.
 *
 * n_calls run at any time, each some minutes long: most between two TURN clients by channels, some by indications,
 * some to a peer without TURN, over a second. They end by a Refresh or by going silent. Meanwhile strangers send
 * broken and unanswerable packets, and one hour in twelve the relay's limit is too small for all.
 *
 *   out    struct soak_result; the same seed gives the same result, heap apart */
#ifndef ITO_SIM_SOAK_H
#define ITO_SIM_SOAK_H

#include "relay/service.h"

struct soak_config {
    uint32_t hours, n_calls, pps; /* pps: packets a second and direction of a call */
    uint64_t seed;
};

struct soak_result {
    uint64_t n_calls, n_failed;            /* calls begun; of them not set up */
    uint64_t sent_packets, sent_bytes;     /* payload that the relay had to take: by its rules */
    uint64_t got_packets, got_bytes;       /* payload that reached the other end */
    uint64_t misrouted;                    /* reached another end, or changed */
    struct turn_server_stats stats;        /* at the end, all calls over */
    uint32_t allocations_left, ports_left; /* at the end, all lifetimes over */
    size_t heap_early, heap_late,
        heap_peak; /* bytes in use: most in the first quarter after filling, in the last */
    double real_s;
};

void soak_run(const struct soak_config *config, struct soak_result *out);
/* What has to hold; a text for the first thing that does not, or NULL. */
const char *soak_verdict(const struct soak_result *r);

#endif
