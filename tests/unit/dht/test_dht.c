#include "unit/dht/bed.h"

static void two_nodes(void **state)
{
    struct bed b;
    struct bed_result r;
    (void)state;

    bed_init(&b, 2, 1);
    bed_join_all(&b, NS_PER_S);
    assert_int_equal(dht_state(b.nodes[0].dht), DHT_JOINED);
    assert_int_equal(dht_state(b.nodes[1].dht), DHT_JOINED);
    r = bed_put(&b, 0, 7, 1, 400);
    printf("put: e %d acks %u refused %u err %d\n", r.e, r.r.n_acks, r.r.n_refused, r.r.last_error);
    r = bed_get(&b, 0, 7);
    printf("get: e %d values %u queries %u rtts %u\n", r.e, r.n_values, r.r.queries, r.r.rtts_x100);
    bed_fini(&b);
}

static void two_hundred(void **state)
{
    struct bed b;
    uint32_t rtts[200], queries[200], acks[200], prtts[200], pq[200];
    unsigned ok = 0;
    (void)state;

    bed_init(&b, 200, 2);
    bed_join_all(&b, NS_PER_S / 2);
    printf("packets %lu\n", (unsigned long)b.n_packets);
    for (unsigned i = 0; i < 100; i++) {
        struct bed_result r = bed_put(&b, (uint32_t)(bed_rand(&b) % 200), i, 1, 448);
        acks[i] = r.r.n_acks;
        prtts[i] = r.r.rtts_x100;
        pq[i] = r.r.queries;
    }
    for (unsigned i = 0; i < 100; i++) {
        struct bed_result r = bed_get(&b, (uint32_t)(bed_rand(&b) % 200), i);
        ok += r.e == ERR_OK;
        rtts[i] = r.r.rtts_x100;
        queries[i] = r.r.queries;
    }
    printf("put acks %u rtts %u queries %u; get ok %u rtts %u p90 %u queries %u\n",
           bed_percentile(acks, 100, 50), bed_percentile(prtts, 100, 50), bed_percentile(pq, 100, 50), ok,
           bed_percentile(rtts, 100, 50), bed_percentile(rtts, 100, 90), bed_percentile(queries, 100, 50));
    struct dht_stats s;
    dht_stats(b.nodes[5].dht, &s);
    printf("peers %u size %u (%u-%u) bad %lu late %lu timeouts %lu rtt %lu\n", s.peers, s.size, s.size_low,
           s.size_high, s.bad_packets, s.late, s.timeouts, s.rtt_ns / 1000000);
    bed_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two nodes", two_nodes),
        sentence("two hundred", two_hundred),
    };

    return run_sentences("dht", tests);
}
