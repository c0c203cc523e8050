/* Relays that die under a call: what is heard, and what is said, when the warm one takes over and when it cannot. */
#include "scenario/relays.h"

#define FRAME_MS 20
#define RELAY_ONLY \
    "{\"net\": {\"path\": \"relay-only\"}, \"audio\": {\"echo_cancel\": false, \"noise_suppress\": false}}"

static bool is_relay(const struct warm *w, const char *id)
{
    char node[NODE_TEXT_BYTES];

    for (unsigned i = 0; i < w->n_relays; i++)
        if (strcmp(node_format(app_node_key(w->relay[i]->app), node), id) == 0)
            return true;
    return false;
}

/* Slot-seconds for which phones signed; relays try each other out meanwhile. */
static double given_seconds(const struct warm *w, struct sim_phone *p)
{
    cJSON *v = ask_json(p, "ledger"), *row;
    double sum = 0;

    cJSON_ArrayForEach(row, cJSON_GetObjectItem(v, "peers"))
    {
        if (!is_relay(w, json_str(row, "id", "")))
            sum += json_num(row, "given_s", 0);
    }
    cJSON_Delete(v);
    return sum;
}

static void forget_gaps(struct warm *w)
{
    w->h.alice->longest_without = w->h.bob->longest_without = 0;
    w->h.alice->run_without = w->h.bob->run_without = 0;
}

static void the_one_in_use_dies(void **state)
{
    struct warm w = {0};
    struct sim_phone *dead;
    uint32_t call;

    (void)state;
    build_warm(&w, 41, VNET_APD, 2, NULL);
    talk(&w.h);
    assert_true(reach(w.h.alice, "in_call", "relayed", SECONDS(3)));
    wait_for(&w.h, 20);
    call = w.h.alice->call_id;
    dead = carrier(&w);
    forget_gaps(&w);
    vnet_cut(dead->host, true);
    wait_for(&w.h, 20);
    printf("relay killed, both symmetric: silent for %u ms here, %u ms there\n",
           w.h.alice->longest_without * FRAME_MS, w.h.bob->longest_without * FRAME_MS);
    assert_string_equal(w.h.alice->state, "in_call");
    assert_string_equal(w.h.bob->state, "in_call");
    assert_int_equal(w.h.alice->call_id, call);
    assert_int_equal(w.h.bob->n_calls, 1);
    assert_true(w.h.alice->longest_without * FRAME_MS < 300);
    assert_true(w.h.bob->longest_without * FRAME_MS < 300);
    /* and nobody to stand by: the second one takes the call with it */
    dead = carrier(&w);
    vnet_cut(dead->host, true);
    assert_true(reach(w.h.alice, "reconnecting", NULL, SECONDS(3)));
    assert_true(reach(w.h.bob, "reconnecting", NULL, SECONDS(3)));
    assert_true(reach(w.h.alice, "ended", NULL, SECONDS(31)));
    assert_true(reach(w.h.bob, "ended", NULL, SECONDS(5)));
    assert_string_equal(w.h.alice->cause, "lost");
    assert_string_equal(w.h.bob->cause, "lost");
    tear_down_warm(&w);
}

/* One after the other, and each time another one steps behind. */
static void a_third_steps_in(void **state)
{
    struct warm w = {0};

    (void)state;
    build_warm(&w, 42, VNET_APD, 3, NULL);
    talk(&w.h);
    wait_for(&w.h, 20);
    for (int round = 0; round < 2; round++) {
        struct sim_phone *dead = carrier(&w);

        forget_gaps(&w);
        vnet_cut(dead->host, true);
        wait_for(&w.h, 25);
        printf("death %d: silent for %u and %u ms\n", round + 1, w.h.alice->longest_without * FRAME_MS,
               w.h.bob->longest_without * FRAME_MS);
        assert_string_equal(w.h.alice->state, "in_call");
        assert_true(w.h.alice->longest_without * FRAME_MS < 300);
        assert_true(w.h.bob->longest_without * FRAME_MS < 300);
    }
    tear_down_warm(&w);
}

/* Warm is silent and unpaid: what stands by signs for next to nothing, whatever path is in use. */
static void it_costs_nothing(void **state)
{
    static const enum vnet_behaviour kinds[] = {VNET_EI, VNET_APD};

    (void)state;
    for (int k = 0; k < 2; k++) {
        struct warm w = {0};
        double carried[2];
        unsigned idle;

        build_warm(&w, 43 + (unsigned)k, kinds[k], 2, NULL);
        talk(&w.h);
        wait_for(&w.h, 130);
        assert_string_equal(w.h.alice->path, k == 0 ? "direct_punched" : "relayed");
        for (unsigned i = 0; i < 2; i++) {
            carried[i] = given_seconds(&w, w.relay[i]);
            printf("%s: relay %u was given %.0f slot-seconds in 130 s\n", k == 0 ? "direct" : "relayed", i,
                   carried[i]);
        }
        idle = carried[0] > carried[1];
        assert_true(carried[idle] <= 30);
        if (k == 0)
            assert_true(carried[1 - idle] <= 30);
        else
            assert_true(carried[1 - idle] >= 60); /* signed at 10 s and 70 s */
        tear_down_warm(&w);
    }
}

/* Behind a direct path both relays are warm: a router that forgets costs no more than a relay that dies. */
static void the_direct_path_ends(void **state)
{
    struct warm w = {0};

    (void)state;
    build_warm(&w, 45, VNET_EI, 2, NULL);
    talk(&w.h);
    assert_true(reach(w.h.alice, "in_call", "direct_punched", SECONDS(5)));
    wait_for(&w.h, 20);
    forget_gaps(&w);
    vnet_cut_between(w.h.net, "203.0.113.1", "203.0.113.2", true);
    wait_for(&w.h, 20);
    printf("direct path cut: silent for %u and %u ms\n", w.h.alice->longest_without * FRAME_MS,
           w.h.bob->longest_without * FRAME_MS);
    assert_string_equal(w.h.alice->state, "in_call");
    assert_string_equal(w.h.alice->path, "relayed");
    assert_true(w.h.alice->longest_without * FRAME_MS < 300);
    assert_true(w.h.bob->longest_without * FRAME_MS < 300);
    tear_down_warm(&w);
}

struct spy {
    struct warm *w;
    unsigned n_direct;      /* packets between the homes */
    unsigned n_media[3][2]; /* sound at each relay, from alice's and from bob's router */
};

static void look(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                 const struct addr *to, struct slice bytes)
{
    struct spy *spy = arg;
    const struct addr *a, *b;

    (void)now;
    if (spy->w == NULL || bytes.data[0] == 'd')
        return; /* both are nodes of the overlay as well, and as such know each other */
    a = vnet_nat_addr(spy->w->h.nat_a);
    b = vnet_nat_addr(spy->w->h.nat_b);
    if ((host == spy->w->h.alice->host && addr_equal_ip(out ? to : from, b)) ||
        (host == spy->w->h.bob->host && addr_equal_ip(out ? to : from, a)))
        spy->n_direct++;
    for (unsigned i = 0; i < spy->w->n_relays; i++)
        if (!out && host == spy->w->relay[i]->host && bytes.len > 60 &&
            (bytes.data[0] >= 64 || bytes.data[0] < 4)) /* in a channel, or in a Send indication */
            spy->n_media[i][addr_equal_ip(from, b)] += addr_equal_ip(from, a) || addr_equal_ip(from, b);
}

/* Neither sees the other's address, and no relay sees both. */
static void relay_only_with_seed(uint64_t seed)
{
    struct warm w = {0};
    struct spy spy = {.w = &w};

    build_warm(&w, seed, VNET_EI, 3, RELAY_ONLY);
    vnet_tap(w.h.net, NULL, look, &spy);
    talk(&w.h);
    wait_for(&w.h, 5);
    memset(spy.n_media, 0, sizeof spy.n_media);
    w.h.alice->n_heard = w.h.bob->n_heard = 0;
    wait_for(&w.h, 30);
    assert_string_equal(w.h.alice->path, "relayed");
    assert_true(w.h.alice->n_heard > 1450 && w.h.bob->n_heard > 1450);
    assert_int_equal(spy.n_direct, 0);
    for (unsigned i = 0; i < 3; i++) {
        printf("relay %u: %u packets from alice's router, %u from bob's\n", i, spy.n_media[i][0],
               spy.n_media[i][1]);
        assert_false(spy.n_media[i][0] > 500 && spy.n_media[i][1] > 500);
    }
    /* one leg's relay dies: another pair of two takes over */
    forget_gaps(&w);
    vnet_cut(carrier(&w)->host, true);
    wait_for(&w.h, 20);
    printf("relay-only, one killed: silent for %u and %u ms\n", w.h.alice->longest_without * FRAME_MS,
           w.h.bob->longest_without * FRAME_MS);
    assert_string_equal(w.h.alice->state, "in_call");
    assert_true(w.h.alice->longest_without * FRAME_MS < 300);
    assert_true(w.h.bob->longest_without * FRAME_MS < 300);
    spy.w = NULL;
    tear_down_warm(&w);
}

/* With seed 60 both begin at the same two relays, and spread over three. */
static void relay_only_takes_two(void **state)
{
    (void)state;
    relay_only_with_seed(46);
    relay_only_with_seed(60);
}

/* With one relay in the world, a call that wants two is not made over one. */
static void relay_only_refuses_one(void **state)
{
    struct warm w = {0};

    (void)state;
    build_warm(&w, 47, VNET_EI, 1, RELAY_ONLY);
    assert_true(sim_ask(w.h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    if (reach(w.h.alice, "ringing", NULL, SECONDS(10)))
        assert_true(sim_ask(w.h.bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(w.h.alice, "ended", NULL, SECONDS(40)));
    assert_string_equal(w.h.alice->cause, "no_path");
    assert_int_equal(w.h.alice->n_heard, 0);
    tear_down_warm(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the relay in use dies and less than 300 ms are lost; then the other, and the call is lost",
                 the_one_in_use_dies),
        sentence("when one relay has died another steps behind", a_third_steps_in),
        sentence("what stands by is silent and unpaid", it_costs_nothing),
        sentence("behind a direct path a relay stands by", the_direct_path_ends),
        sentence("relay-only goes by two relays, and no one sees both ends", relay_only_takes_two),
        sentence("relay-only with one relay is no call", relay_only_refuses_one),
    };

    return run_sentences("warm", tests);
}
