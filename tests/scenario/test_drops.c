/* Where requests to a person lie is watched by the person's caretakers, and what is seen there does not tell whether the
 * person is connected (THREATS.md §4.5). For days on end: unit/relay/test_dropwatch. */
#include "scenario/homes.h"

#include "app/app_priv.h"
#include "crypto/zone.h"
#include "dht/krpc.h"

#define NODES      3
#define WEEKS      3
#define CLIENT     "{\"net\": {\"client\": true}}"
#define MINUTES(n) SECONDS(60 * (n))
#define HOURS(n)   MINUTES(60 * (n))

/* What the nodes hear about the callee's drops. */
struct seen {
    unsigned n_reads, n_observes, by_callee;
    ns_t last_read_at, last_observe_at, longest_gap;
};

static struct story {
    struct vnet *net;
    struct sim_phone *nodes[NODES], *callee, *stranger;
    uint8_t drops[WEEKS][DROP_ID_BYTES];
    struct seen seen;
    bool is_over;
} w;

static bool is_ours(const struct krpc_msg *m)
{
    for (int i = 0; i < WEEKS; i++)
        if (m->b.target.data != NULL && memcmp(m->b.target.data, w.drops[i], DROP_ID_BYTES) == 0)
            return true;
    return false;
}

static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    struct krpc_msg m;

    (void)arg, (void)host, (void)to;
    if (out || w.is_over || bytes.len == 0 || bytes.data[0] != 'd' || krpc_parse(bytes, &m) != ERR_OK ||
        m.type != KRPC_QUERY || !is_ours(&m))
        return;
    w.seen.by_callee += addr_equal(from, vnet_addr(w.callee->host));
    if (m.method == KRPC_DROP_GET) {
        w.seen.n_reads++;
        w.seen.last_read_at = now;
    } else if (m.method == KRPC_OBSERVE) {
        w.seen.n_observes++;
        if (w.seen.last_observe_at != 0 && now - w.seen.last_observe_at > w.seen.longest_gap)
            w.seen.longest_gap = now - w.seen.last_observe_at;
        w.seen.last_observe_at = now;
    }
}

static struct sim_phone *add(const char *name, const char *ip_port, enum app_mode mode, const char *settings)
{
    return add_in_the_open(w.net, w.nodes[0], name, ip_port, mode, settings);
}

static void pass(ns_t time)
{
    vnet_run_for(w.net, time, NULL, NULL);
}

static void build(uint64_t seed)
{
    uint32_t week;

    memset(&w, 0, sizeof w);
    w.net = new_net(seed);
    for (int i = 0; i < NODES; i++) {
        char ip_port[32];

        snprintf(ip_port, sizeof ip_port, "20.1.%d.1:4000", i);
        w.nodes[i] = add("node", ip_port, i < 2 ? APP_RELAY : APP_DAEMON, NULL);
    }
    w.callee = add("callee", "20.2.1.1:4000", APP_DAEMON, CLIENT);
    w.stranger = add("stranger", "20.3.1.1:4000", APP_DAEMON, CLIENT);
    week = drop_week(env_wall_ms(vnet_env(w.callee->host)) / 1000);
    for (uint32_t i = 0; i < WEEKS; i++)
        drop_id(app_zone_id(w.callee->app), w.callee->keys.identity.pub, week + i, w.drops[i]);
    vnet_tap(w.net, NULL, on_packet, NULL);
    pass(MINUTES(2));
}

static void tear(void)
{
    w.is_over = true;
    sim_phone_destroy(w.stranger);
    sim_phone_destroy(w.callee);
    for (int i = NODES - 1; i >= 0; i--)
        sim_phone_destroy(w.nodes[i]);
    vnet_destroy(w.net);
}

static void ask(void)
{
    assert_true(
        sim_ask(w.stranger, "{\"cmd\":\"requests_send\",\"to\":\"%s\",\"note\":\"it is me\"}", w.callee->id));
    pass(MINUTES(1));
}

/* What is seen in a time, from fresh. */
static struct seen watch_for(ns_t time)
{
    ns_t last = w.seen.last_observe_at;

    w.seen = (struct seen){.last_observe_at = last};
    pass(time);
    return w.seen;
}

static void here_or_away(void **state)
{
    struct seen here, away, back;

    (void)state;
    build(211);
    assert_true(w.seen.n_observes > 0);
    here = watch_for(HOURS(2));

    vnet_cut(w.callee->host, true);
    pass(MINUTES(30));
    away = watch_for(HOURS(2));
    printf("2 h here: %u observations, %u reads; away: %u and %u; longest time without: %.0f and %.0f min\n",
           here.n_observes, here.n_reads, away.n_observes, away.n_reads,
           (double)here.longest_gap / MINUTES(1.), (double)away.longest_gap / MINUTES(1.));
    assert_true(here.longest_gap <= MINUTES(41) && away.longest_gap <= MINUTES(41));
    /* Moments are random: two observations more or less of each caretaker, and one reading. */
    assert_true(abs((int)away.n_observes - (int)here.n_observes) <= 4 * NODES);
    assert_true(abs((int)away.n_reads - (int)here.n_reads) <= 2 * NODES);

    /* A request is read at once, though its owner is away; and handed over later, with no look at the overlay. */
    w.seen = (struct seen){0};
    ask();
    assert_true(w.seen.last_read_at > 0 && vnet_now(w.net) - w.seen.last_read_at < SECONDS(61));
    assert_int_equal(w.callee->n_requests, 0);
    pass(MINUTES(10));
    vnet_cut(w.callee->host, false);
    back = watch_for(MINUTES(3));
    printf("back: %u requests after 3 min, %u reads\n", w.callee->n_requests, back.n_reads);
    assert_int_equal(w.callee->n_requests, 1);
    assert_int_equal(back.n_reads, 0);

    assert_int_equal(w.seen.by_callee, 0);
    tear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("who looks at a drop sees the same whether its owner is connected or not", here_or_away),
    };

    return run_sentences("drops", tests);
}
