/* A LAN and nothing else: no Internet, no clock server, clocks that are decades apart (THREATS.md §4.2, §5). */
#include "scenario/homes.h"

#define PHONES_MAX 3

struct lan {
    struct vnet *net;
    struct vnet_nat *router; /* its uplink is cut */
    struct sim_phone *phones[PHONES_MAX];
    int n;
};

static const int64_t year_1970 = 3600 * 1000, year_2038 = 2147483640000;

/* wall_ms: what each one's clock says at the start; 0: the right time. */
static void build(struct lan *l, uint64_t seed, int n, const int64_t *wall_ms)
{
    static const struct vnet_nat_config config = {.filtering = VNET_APD};
    static const struct vnet_link link = {.delay_ns = NS_PER_MS};

    *l = (struct lan){.net = new_net(seed), .n = n};
    l->router = vnet_add_nat(l->net, NULL, "203.0.113.1", &config);
    vnet_cut_nat(l->router, true);
    for (int i = 0; i < n; i++) {
        char name[24], ip_port[32];
        struct vnet_host *host;

        snprintf(name, sizeof name, "phone %d", i);
        snprintf(ip_port, sizeof ip_port, "192.168.1.%d:4000", i + 2);
        host = vnet_add_host(l->net, l->router, name, ip_port);
        vnet_set_link(host, &link);
        if (wall_ms[i] != 0)
            vnet_set_wall_offset(host, wall_ms[i] - env_wall_ms(vnet_env(host)));
        l->phones[i] = sim_phone_create(l->net, host, APP_DAEMON, NULL);
    }
    for (int i = 0; i < n; i++) /* as multicast on the cable tells them */
        for (int k = 0; k < n; k++)
            if (k != i)
                sim_bootstrap(l->phones[i], l->phones[k]);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) {
            char a[24], b[24];

            snprintf(a, sizeof a, "phone %d", i);
            snprintf(b, sizeof b, "phone %d", k);
            sim_befriend(l->phones[k], a, l->phones[i], b);
        }
}

static void tear(struct lan *l)
{
    for (int i = 0; i < l->n; i++)
        sim_phone_destroy(l->phones[i]);
    vnet_destroy(l->net);
}

/* One rings the other; the milliseconds from the key to the ring-back. */
static unsigned call(struct lan *l, int from, int to)
{
    ns_t began = vnet_now(l->net);
    unsigned ms;

    assert_true(sim_ask(l->phones[from], "{\"cmd\":\"call\",\"to\":\"phone %d\"}", to));
    assert_true(reach(l->phones[from], "ringing", NULL, SECONDS(10)));
    assert_true(reach(l->phones[to], "incoming", NULL, SECONDS(1)));
    ms = (unsigned)((vnet_now(l->net) - began) / NS_PER_MS);
    assert_true(sim_ask(l->phones[to], "{\"cmd\":\"answer\"}"));
    assert_true(reach(l->phones[from], "in_call", NULL, SECONDS(5)));
    vnet_run_for(l->net, SECONDS(3), NULL, NULL);
    assert_true(l->phones[from]->n_heard > 100);
    assert_true(l->phones[to]->n_heard > 100);
    assert_true(sim_ask(l->phones[from], "{\"cmd\":\"hangup\"}"));
    assert_true(reach(l->phones[to], "ended", NULL, SECONDS(5)));
    l->phones[from]->n_heard = l->phones[to]->n_heard = 0;
    vnet_run_for(l->net, SECONDS(12), NULL, NULL); /* four new knocks in ten seconds */
    return ms;
}

static void all_call_all(struct lan *l)
{
    vnet_run_for(l->net, SECONDS(20), NULL, NULL);
    for (int i = 0; i < l->n; i++)
        for (int k = 0; k < l->n; k++)
            if (k != i)
                printf("phone %d rings phone %d after %u ms\n", i, k, call(l, i, k));
}

static void from_the_start(void **state)
{
    const int64_t now[2] = {0, 0};
    struct lan l;
    ns_t began;

    (void)state;
    build(&l, 71, 2, now);
    began = vnet_now(l.net);
    assert_true(sim_ask(l.phones[0], "{\"cmd\":\"call\",\"to\":\"phone 1\"}"));
    assert_true(reach(l.phones[0], "ringing", NULL, SECONDS(10)));
    printf("rings %.1f s after both were started\n", (double)(vnet_now(l.net) - began) / NS_PER_S);
    tear(&l);
}

static void two_clocks(void **state)
{
    const int64_t walls[2] = {year_1970, 0};
    struct lan l;

    (void)state;
    build(&l, 72, 2, walls);
    all_call_all(&l);
    tear(&l);
}

static void three_clocks(void **state)
{
    const int64_t walls[3] = {year_1970, 0, year_2038};
    struct lan l;

    (void)state;
    build(&l, 73, 3, walls);
    all_call_all(&l);
    tear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two phones that were only just started ring on a LAN without Internet", from_the_start),
        sentence("two phones of 1970 and of today call each other on a LAN", two_clocks),
        sentence("three phones of 1970, of today and of 2038 call each other on a LAN", three_clocks),
    };

    return run_sentences("lan", tests);
}
