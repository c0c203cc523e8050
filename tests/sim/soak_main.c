/* `make sim-relay HOURS=72 CALLS=500 PPS=1 SEED=1`: a relay's days in minutes; prints `name value unit`. */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/identity.h"
#include "sim/soak.h"

static uint32_t number(int argc, char **argv, int i, uint32_t otherwise)
{
    return argc > i ? (uint32_t)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct soak_config config = {.hours = number(argc, argv, 1, 72),
                                 .n_calls = number(argc, argv, 2, 500),
                                 .pps = number(argc, argv, 3, 1),
                                 .seed = number(argc, argv, 4, 1)};
    const struct turn_server_stats *t;
    const char *verdict;
    struct soak_result r;

    if (crypto_init() != ERR_OK || config.hours == 0 || config.n_calls == 0 || config.pps == 0)
        return 2;
    soak_run(&config, &r);
    t = &r.stats;
    verdict = soak_verdict(&r);
    printf(
        "soak_hours %u h\nsoak_calls_at_once %u calls\nsoak_calls %llu calls\nsoak_calls_failed %llu calls\n",
        config.hours, config.n_calls, (unsigned long long)r.n_calls, (unsigned long long)r.n_failed);
    printf(
        "soak_requests %llu requests\nsoak_refused %llu requests\n", (unsigned long long)t->requests,
        (unsigned long long)(t->errors_401 + t->errors_403 + t->errors_437 + t->errors_438 + t->errors_441));
    printf("soak_packets_sent %llu packets\nsoak_packets_arrived %llu packets\nsoak_packets_lost_counted "
           "%llu packets\n",
           (unsigned long long)r.sent_packets, (unsigned long long)r.got_packets,
           (unsigned long long)(t->lost_rate + t->lost_port));
    printf("soak_bytes_in %llu bytes\nsoak_bytes_out %llu bytes\nsoak_bytes_lost %llu "
           "bytes\nsoak_bytes_missing %lld bytes\n",
           (unsigned long long)t->bytes_in, (unsigned long long)t->bytes, (unsigned long long)t->bytes_lost,
           (long long)(t->bytes_in - t->bytes - t->bytes_lost));
    printf(
        "soak_hostile_dropped %llu packets\nsoak_allocations_left %u allocations\nsoak_ports_left %u ports\n",
        (unsigned long long)(t->malformed + t->unknown_channel + t->too_large), r.allocations_left,
        r.ports_left);
    printf("soak_heap_first_quarter %zu bytes\nsoak_heap_last_quarter %zu bytes\nsoak_real_time %.1f s\n",
           r.heap_early, r.heap_late, r.real_s);
    printf("soak_verdict %s\n", verdict == NULL ? "good" : verdict);
    return verdict != NULL;
}
