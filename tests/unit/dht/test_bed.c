/* Two hundred nodes in virtual time. Figures are printed as `name value unit`. */
#include "unit/dht/bed.h"

#define NODES 200

struct figures {
    unsigned n, found;
    uint32_t rtts[256], queries[256];
};

static void get_many(struct bed *b, unsigned n, struct figures *f)
{
    memset(f, 0, sizeof *f);
    for (unsigned i = 0; i < n; i++) {
        struct bed_result r;
        uint32_t who;

        do
            who = (uint32_t)(bed_rand(b) % b->n);
        while (b->nodes[who].is_dead);
        r = bed_get(b, who, i);
        if (r.e == ERR_OK) {
            assert_int_equal(r.seq, 1);
            assert_int_equal(r.item.v_len, 448);
            f->rtts[f->found] = r.r.rtts_x100;
            f->queries[f->found++] = r.r.queries;
        }
    }
    f->n = n;
}

static void print_figures(const char *name, struct figures *f)
{
    uint32_t p50 = bed_percentile(f->rtts, f->found, 50), p90 = bed_percentile(f->rtts, f->found, 90);

    print_message("%s_found %u of_%u\n", name, f->found, f->n);
    print_message("%s_first_value_p50 %u.%02u rtt\n%s_first_value_p90 %u.%02u rtt\n", name, p50 / 100,
                  p50 % 100, name, p90 / 100, p90 % 100);
    print_message("%s_queries_p50 %u queries\n", name, bed_percentile(f->queries, f->found, 50));
}

static void put_many(struct bed *b, unsigned n, uint32_t *acks_p50, uint32_t *rtts_p50, uint32_t *queries_p50)
{
    uint32_t acks[256], rtts[256], queries[256];

    for (unsigned i = 0; i < n; i++) {
        struct bed_result r = bed_put(b, (uint32_t)(bed_rand(b) % b->n), i, 1, 448);

        assert_int_equal(r.e, ERR_OK);
        acks[i] = r.r.n_acks;
        rtts[i] = r.r.rtts_x100;
        queries[i] = r.r.queries;
    }
    *acks_p50 = bed_percentile(acks, n, 50);
    *rtts_p50 = bed_percentile(rtts, n, 50);
    *queries_p50 = bed_percentile(queries, n, 50);
}

static void lookups(void **state)
{
    struct bed b;
    struct figures f;
    uint32_t acks, rtts, queries, sizes[NODES];
    (void)state;

    bed_init(&b, NODES, 101);
    bed_join_all(&b, NS_PER_S / 2);
    for (uint32_t i = 0; i < NODES; i++)
        assert_int_equal(dht_state(b.nodes[i].dht), DHT_JOINED);
    print_message("join_messages %llu per_node\n", (unsigned long long)(b.n_packets / NODES));
    put_many(&b, 100, &acks, &rtts, &queries);
    print_message("put_acks_p50 %u nodes\nput_p50 %u.%02u rtt\nput_queries_p50 %u queries\n", acks,
                  rtts / 100, rtts % 100, queries);
    assert_true(acks >= 20 && rtts <= 800);
    get_many(&b, 100, &f);
    print_figures("get", &f);
    assert_int_equal(f.found, 100);
    assert_true(bed_percentile(f.rtts, f.found, 50) <= 300);
    for (uint32_t i = 0; i < NODES; i++) {
        struct dht_stats s;

        dht_stats(b.nodes[i].dht, &s);
        sizes[i] = s.size;
        assert_int_equal(s.bad_packets, 0);
    }
    print_message("size_estimate_p50 %u nodes\n", bed_percentile(sizes, NODES, 50));
    assert_in_range(bed_percentile(sizes, NODES, 50), 150, 260);

    for (uint32_t i = 0, dead = 0; dead < NODES * 30 / 100; i = (uint32_t)(bed_rand(&b) % NODES))
        if (!b.nodes[i].is_dead && i != 0) {
            bed_kill(&b, i);
            dead++;
        }
    get_many(&b, 100, &f);
    print_figures("get_after_30_pct_died", &f);
    assert_int_equal(f.found, 100);
    for (uint32_t i = 0, dead = 0; dead < NODES * 20 / 100; i = (uint32_t)(bed_rand(&b) % NODES))
        if (!b.nodes[i].is_dead) {
            bed_kill(&b, i);
            dead++;
        }
    get_many(&b, 100, &f);
    print_figures("get_after_50_pct_died", &f);
    assert_true(f.found >= 99);
    bed_fini(&b);
}

static void bad_weather(void **state)
{
    struct bed b;
    struct figures f;
    uint32_t acks, rtts, queries;
    (void)state;

    bed_init(&b, NODES, 102);
    b.loss_permille = 50;
    b.spread = 0.7;
    bed_join_all(&b, NS_PER_S / 2);
    put_many(&b, 50, &acks, &rtts, &queries);
    print_message("put_5_pct_loss_acks_p50 %u nodes\nput_5_pct_loss_p50 %u.%02u rtt\n", acks, rtts / 100,
                  rtts % 100);
    assert_true(acks >= 17);
    get_many(&b, 50, &f);
    print_figures("get_5_pct_loss", &f);
    assert_int_equal(f.found, 50);
    bed_fini(&b);
}

static void idle(void **state)
{
    struct bed b;
    uint64_t sent[3], bytes[3];
    (void)state;

    bed_init(&b, 100, 103);
    b.nodes[99].config.is_client = true;
    bed_join_all(&b, NS_PER_S / 2);
    bed_run(&b, 1800 * NS_PER_S);
    for (unsigned i = 0; i < 3; i++) {
        struct bed_node *n = &b.nodes[i == 2 ? 99 : i * 50];

        sent[i] = n->sent;
        bytes[i] = n->sent_bytes;
    }
    bed_run(&b, 7200 * NS_PER_S);
    for (unsigned i = 0; i < 3; i++) {
        struct bed_node *n = &b.nodes[i == 2 ? 99 : i * 50];
        uint64_t rate = (n->sent_bytes - bytes[i]) / 720; /* tenths of a byte a second */

        print_message("idle_%s_out %llu.%llu B/s\n", i == 2 ? "client" : "full",
                      (unsigned long long)(rate / 10), (unsigned long long)(rate % 10));
        print_message("idle_%s_messages %.1f /min\n", i == 2 ? "client" : "full",
                      (double)(n->sent - sent[i]) / 120.0);
        assert_true(rate <= (i == 2 ? 100 : 300));
    }
    bed_fini(&b);
}

static uint64_t one_run(uint64_t seed)
{
    struct bed b;
    struct figures f;
    uint32_t acks, rtts, queries;
    uint64_t digest;

    bed_init(&b, 60, seed);
    b.loss_permille = 20;
    b.spread = 0.5;
    bed_join_all(&b, NS_PER_S / 4);
    put_many(&b, 10, &acks, &rtts, &queries);
    bed_kill(&b, 7);
    get_many(&b, 10, &f);
    digest = b.digest;
    bed_fini(&b);
    return digest;
}

static void rerun(void **state)
{
    (void)state;
    assert_true(one_run(5) == one_run(5));
    assert_true(one_run(5) != one_run(6));
}

/* A new zone forgets nobody: all first members die, the rest go on; then one comes with an old address only. */
static void founders(void **state)
{
    struct bed b;
    struct bed_result r;
    (void)state;

    bed_init(&b, 40, 104);
    for (uint32_t i = 0; i < 39; i++) {
        bed_start(&b, i);
        if (i > 0)
            bed_introduce(&b, i, 0);
        bed_run(&b, NS_PER_S);
    }
    bed_run(&b, 60 * NS_PER_S);
    bed_put(&b, 20, 1, 1, 448);
    for (uint32_t i = 0; i < 10; i++)
        bed_kill(&b, i);
    bed_start(&b, 39);
    for (uint32_t i = 5; i < 12; i++)
        bed_introduce(&b, 39, i); /* a cache file: most are gone */
    r = bed_get(&b, 39, 1);
    assert_int_equal(r.e, ERR_OK);
    bed_run(&b, 60 * NS_PER_S);
    assert_int_equal(dht_state(b.nodes[39].dht), DHT_JOINED);
    bed_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("200 nodes join through one address; all values are found, also after 30 and 50 % died",
                 lookups),
        sentence("with 5 % loss and very different round trips all values are found", bad_weather),
        sentence("an idle node is quiet", idle),
        sentence("the same seed gives the same bytes in the same order", rerun),
        sentence("the founders die and the zone goes on", founders),
    };

    return run_sentences("bed", tests);
}
