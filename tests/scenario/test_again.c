/* Friends who call as soon as they are there, again and again, and right after anything that happened: no call may be
 * missed. */
#include "scenario/homes.h"

static void befriend(struct homes *h)
{
    h->alice->is_quiet = h->bob->is_quiet = true;
    sim_befriend(h->alice, "Bob", h->bob, "Alice");
}

/* One call, answered, and its end; says which it was when it fails. */
static void call_once(struct homes *h, struct sim_phone *from, const char *what, ns_t ring_within)
{
    struct sim_phone *to = from == h->alice ? h->bob : h->alice;
    ns_t began = vnet_now(h->net);

    assert_true(sim_ask(from, "{\"id\":2,\"cmd\":\"call\",\"to\":\"%s\"}", to == h->bob ? "Bob" : "Alice"));
    if (!reach(to, "incoming", NULL, ring_within)) {
        fprintf(stderr, "%s: %s %s\n", what, from->state, from->cause);
        fail();
    }
    if (ring_within > SECONDS(1))
        printf("%s: rings after %.2f s\n", what, (double)(vnet_now(h->net) - began) / NS_PER_S);
    assert_true(sim_ask(to, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(from, "in_call", NULL, SECONDS(2)));
    wait_for(h, 2);
    assert_true(sim_ask(from, "{\"id\":4,\"cmd\":\"hangup\"}"));
    assert_true(reach(from, "ended", NULL, SECONDS(1)));
    assert_true(reach(to, "ended", NULL, SECONDS(1)));
}

/* 24 calls in a minute, the first while neither has yet heard of the other. */
static void at_once(uint64_t seed, enum vnet_behaviour mapping)
{
    struct homes h = {.made = befriend, .is_early = true};

    build_homes(&h, seed, mapping, true);
    for (unsigned i = 0; i < 24; i++)
        call_once(&h, h.alice, "one of 24", i == 0 ? SECONDS(8) : SECONDS(1));
    tear_down(&h);
}

static void behind_symmetric_routers(void **state)
{
    (void)state;
    for (uint64_t seed = 40; seed < 49; seed += 8)
        at_once(seed, VNET_APD);
}

static void behind_port_restricted_routers(void **state)
{
    (void)state;
    for (uint64_t seed = 50; seed < 51; seed++)
        at_once(seed, VNET_EI);
}

static void start_again(struct homes *h, struct sim_phone *p)
{
    wait_for(h, 60);
    sim_phone_restart(p);
    sim_bootstrap(p, h->boot);
    if (p != h->relay)
        befriend(h);
    wait_for(h, 1);
}

static void sleep_an_hour(struct homes *h, struct sim_phone *p)
{
    wait_for(h, 60);
    sim_phone_sleep(p);
    wait_for(h, 3600);
    sim_phone_wake(p);
    wait_for(h, 1);
}

static void move(struct homes *h, struct sim_phone *p, const char *ip)
{
    wait_for(h, 60);
    vnet_move(p->host, NULL, ip);
    app_network_changed(p->app, vnet_now(h->net));
    wait_for(h, 1);
}

/* A second after each of these; the first call at once. */
static void after_anything(void **state)
{
    const ns_t within = SECONDS(4);
    struct homes h = {0};

    (void)state;
    build_homes(&h, 60, VNET_APD, true);
    befriend(&h);
    call_once(&h, h.alice, "each has just put the other on the list", within);
    start_again(&h, h.bob);
    call_once(&h, h.alice, "the callee has just started", within);
    start_again(&h, h.bob);
    call_once(&h, h.bob, "the caller has just started", within);
    start_again(&h, h.relay);
    call_once(&h, h.bob, "the relay has just started", within);
    sleep_an_hour(&h, h.bob);
    call_once(&h, h.alice, "the callee has just woken", within);
    sleep_an_hour(&h, h.bob);
    call_once(&h, h.bob, "the caller has just woken", within);
    move(&h, h.bob, "198.51.100.77");
    call_once(&h, h.alice, "the callee is on another network", within);
    move(&h, h.bob, "198.51.100.78");
    call_once(&h, h.bob, "the caller is on another network", within);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two friends who have only just started call each other 24 times in a minute",
                 behind_symmetric_routers),
        sentence("and do so where holes can be punched", behind_port_restricted_routers),
        sentence("after a start, a sleep, a move, a new entry on both lists the next call rings",
                 after_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
