/* Friends who call as soon as they are there, and again and again: no call may be missed. */
#include "scenario/homes.h"

static void befriend(struct homes *h)
{
    h->alice->is_quiet = h->bob->is_quiet = true;
    sim_befriend(h->alice, "Bob", h->bob, "Alice");
}

/* One call, answered, and its end; says which it was when it fails. */
static void call_once(struct homes *h, unsigned i, ns_t ring_within)
{
    assert_true(sim_ask(h->alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    if (!reach(h->bob, "incoming", NULL, ring_within)) {
        fprintf(stderr, "call %u: alice %s %s\n", i, h->alice->state, h->alice->cause);
        fail();
    }
    assert_true(sim_ask(h->bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(h->alice, "in_call", NULL, SECONDS(2)));
    wait_for(h, 2);
    assert_true(sim_ask(h->alice, "{\"id\":4,\"cmd\":\"hangup\"}"));
    assert_true(reach(h->alice, "ended", NULL, SECONDS(1)));
    assert_true(reach(h->bob, "ended", NULL, SECONDS(1)));
}

/* 24 calls in a minute, the first while neither has yet heard of the other. */
static void at_once(uint64_t seed, enum vnet_behaviour mapping)
{
    struct homes h = {.made = befriend, .is_early = true};

    build_homes(&h, seed, mapping, true);
    for (unsigned i = 0; i < 24; i++)
        call_once(&h, i, i == 0 ? SECONDS(8) : SECONDS(1));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two friends who have only just started call each other 24 times in a minute",
                 behind_symmetric_routers),
        sentence("and do so where holes can be punched", behind_port_restricted_routers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
