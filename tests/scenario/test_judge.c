/* Relays are judged by what is heard through them, and not by what our own line loses. */
#include "scenario/relays.h"

#define LOSS_PCT 6

static const struct vnet_link lossy = {.delay_ns = 15 * NS_PER_MS, .loss_pct = LOSS_PCT};

static double score(struct sim_phone *p, const struct sim_phone *relay)
{
    char node[NODE_TEXT_BYTES];
    cJSON *v = ask_json(p, "relays"), *row;
    double found = -2;

    node_format(app_node_key(relay->app), node);
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(v, "relays"))
    {
        if (strcmp(json_str(row, "id", ""), node) == 0)
            found = json_num(row, "score", -1);
    }
    cJSON_Delete(v);
    return found;
}

/* Of the two: one of them has the allocation that carries, and judges. */
static double lowest(const struct warm *w, const struct sim_phone *relay)
{
    double a = score(w->h.alice, relay), b = score(w->h.bob, relay);

    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* A call of so many seconds; by which relay. Once it is up the relay, or alice's line, begins to lose. */
static struct sim_phone *talk_for(struct warm *w, unsigned seconds, bool relay_loses, bool line_loses)
{
    struct sim_phone *by;

    talk(&w->h);
    wait_for(&w->h, 2);
    by = carrier(w);
    if (relay_loses)
        vnet_set_link(by->host, &lossy);
    if (line_loses)
        vnet_set_link(w->h.alice->host, &lossy);
    wait_for(&w->h, seconds);
    assert_true(sim_ask(w->h.alice, "{\"id\":4,\"cmd\":\"hangup\"}"));
    assert_true(reach(w->h.alice, "ended", NULL, SECONDS(2)));
    assert_true(reach(w->h.bob, "ended", NULL, SECONDS(5)));
    wait_for(&w->h, 5);
    return by;
}

/* As many calls as it takes until a score is shown; nothing speaks against the relay they all go by. */
static struct sim_phone *know_it(struct warm *w)
{
    struct sim_phone *first = talk_for(w, 2, false, false);

    for (int i = 0; i < 3; i++)
        assert_ptr_equal(talk_for(w, 2, false, false), first);
    assert_true(lowest(w, first) > 0);
    return first;
}

static void a_relay_that_loses(void **state)
{
    struct sim_phone *first, *second;
    double before, after;
    struct warm w;

    (void)state;
    build_warm(&w, 71, VNET_APD, 2, NULL);
    w.h.alice->is_quiet = w.h.bob->is_quiet = true;
    first = know_it(&w);
    before = lowest(&w, first);
    assert_ptr_equal(talk_for(&w, 70, true, false), first);
    after = lowest(&w, first);
    second = talk_for(&w, 2, false, false);
    printf("a relay that loses %d %%: score %.0f, then %.0f; the next call goes by another one\n", LOSS_PCT,
           before, after);
    assert_true(after <= before - 5);
    assert_ptr_not_equal(second, first);
    tear_down_warm(&w);
}

static void a_line_that_loses(void **state)
{
    struct sim_phone *first;
    double before, after;
    struct warm w;

    (void)state;
    build_warm(&w, 71, VNET_APD, 2, NULL);
    w.h.alice->is_quiet = w.h.bob->is_quiet = true;
    first = know_it(&w);
    before = lowest(&w, first);
    assert_ptr_equal(talk_for(&w, 70, false, true), first);
    vnet_set_link(w.h.alice->host, &(struct vnet_link){.delay_ns = 15 * NS_PER_MS});
    after = lowest(&w, first);
    printf("our own line loses %d %%: score %.0f, then %.0f\n", LOSS_PCT, before, after);
    assert_true(after >= before - 3);
    assert_ptr_equal(talk_for(&w, 2, false, false), first);
    tear_down_warm(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("attack, dropping relay: who loses sound is avoided by the next call", a_relay_that_loses),
        sentence("attack, dropping relay: what our own line loses is not held against it", a_line_that_loses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
