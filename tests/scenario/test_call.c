/* Calls between whole phones in virtual time. */
#include "scenario/homes.h"

/* Two phones on one wire, no relay, no Internet. */
static void on_one_lan(void **state)
{
    struct vnet *net = new_net(1);
    struct vnet_host *ha = vnet_add_host(net, NULL, "alice", "198.51.100.10:4000");
    struct vnet_host *hb = vnet_add_host(net, NULL, "bob", "198.51.100.11:4000");
    struct sim_phone *alice = sim_phone_create(net, ha, APP_DAEMON, NULL);
    struct sim_phone *bob = sim_phone_create(net, hb, APP_DAEMON, NULL);

    (void)state;
    sim_bootstrap(alice, bob);
    sim_befriend(alice, "Bob", bob, "Alice");
    vnet_run_for(net, SECONDS(15), NULL, NULL);
    assert_true(sim_ask(alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(alice, "ringing", NULL, SECONDS(10)));
    assert_true(reach(bob, "incoming", NULL, SECONDS(1)));
    assert_true(sim_ask(bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(alice, "in_call", NULL, SECONDS(5)));
    vnet_run_for(net, SECONDS(10), NULL, NULL);
    printf("heard %u of %u, %u of %u, longest gap %u, path %s\n", alice->n_heard, alice->n_frames,
           bob->n_heard, bob->n_frames, alice->longest_without, alice->paths_seen);
    assert_true(alice->n_heard > 400);
    assert_true(bob->n_heard > 400);
    assert_string_equal(alice->code, bob->code);
    assert_int_equal(strlen(alice->code), 6);
    assert_true(sim_ask(alice, "{\"id\":4,\"cmd\":\"hangup\"}"));
    assert_true(reach(bob, "ended", NULL, SECONDS(5)));
    assert_string_equal(bob->cause, "hangup_remote");
    assert_string_equal(alice->cause, "hangup_local");
    sim_phone_destroy(alice);
    sim_phone_destroy(bob);
    vnet_destroy(net);
}

/* The story of the skeleton: two homes, one volunteer. */
static void through_a_relay(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 2, VNET_EI);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(5)));
    assert_string_equal(h.bob->state, "incoming");
    assert_true(sim_ask(h.bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(h.alice, "in_call", "relayed", SECONDS(2)));
    assert_true(reach(h.alice, "in_call", "direct_punched", SECONDS(5)));
    assert_true(reach(h.bob, "in_call", "direct_punched", SECONDS(5)));
    vnet_run_for(h.net, SECONDS(10), NULL, NULL);
    assert_true(h.alice->n_heard > 400);
    assert_true(h.bob->n_heard > 400);
    /* no gap longer than 60 ms at the move */
    assert_true(h.alice->longest_without <= 3);
    assert_true(h.bob->longest_without <= 3);
    assert_true(sim_ask(h.bob, "{\"id\":4,\"cmd\":\"hangup\"}"));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(5)));
    assert_string_equal(h.alice->cause, "hangup_remote");
    tear_down(&h);
}

/* Where theory allows no direct path the call stays on the relay, and both sides sign for it. */
static void both_symmetric(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 3, VNET_APD);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(5)));
    assert_true(sim_ask(h.bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(h.alice, "in_call", "relayed", SECONDS(2)));
    vnet_run_for(h.net, SECONDS(80), NULL, NULL);
    assert_string_equal(h.alice->state, "in_call");
    assert_string_equal(h.alice->paths_seen, "checking relayed ");
    assert_true(h.alice->n_heard > 3900);
    assert_true(h.bob->n_heard > 3900);
    assert_true(sim_ask(h.alice, "{\"id\":4,\"cmd\":\"hangup\"}"));
    vnet_run_for(h.net, SECONDS(5), NULL, NULL);
    assert_true(sim_ask(h.alice, "{\"id\":5,\"cmd\":\"ledger\"}"));
    printf("alice %s\n", h.alice->answer);
    assert_true(sim_ask(h.relay, "{\"id\":5,\"cmd\":\"ledger\"}"));
    printf("relay %s\n", h.relay->answer);
    tear_down(&h);
}

/* carol is not on bob's list: nothing rings, a request is left, and once allowed she gets through. */
static void a_stranger_asks_first(void **state)
{
    struct homes h = {0};

    (void)state;
    build_homes(&h, 4, VNET_EI, true);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"%s\"}", h.bob->id));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(60)));
    assert_string_equal(h.alice->cause, "not_allowed");
    vnet_run_for(h.net, SECONDS(30), NULL, NULL);
    assert_int_equal(h.bob->n_calls, 0);
    assert_int_equal(h.bob->n_requests, 1);
    assert_true(sim_ask(h.bob, "{\"id\":3,\"cmd\":\"requests_allow\",\"n\":1}"));
    vnet_run_for(h.net, SECONDS(20), NULL, NULL);
    assert_true(sim_ask(h.alice, "{\"id\":4,\"cmd\":\"call\",\"to\":\"%s\"}", h.bob->id));
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(10)));
    assert_int_equal(h.bob->n_calls, 1);
    tear_down(&h);
}

/* bob hands alice a text; she is allowed without a request, and it opens nothing a second time. */
static void an_invite_opens_once(void **state)
{
    struct homes h = {0};
    cJSON *answer;
    char *invite;

    (void)state;
    build_homes(&h, 5, VNET_EI, true);
    assert_true(sim_ask(h.bob, "{\"id\":1,\"cmd\":\"invite\"}"));
    answer = cJSON_Parse(h.bob->answer);
    invite = strdup(json_str(answer, "invite", ""));
    cJSON_Delete(answer);
    wait_for(&h, 5);
    assert_true(sim_ask(h.alice, "{\"cmd\":\"contacts_add\",\"id\":\"%s\",\"name\":\"Bob\"}", invite));
    wait_for(&h, 20);
    talk(&h);
    assert_true(sim_ask(h.alice, "{\"id\":3,\"cmd\":\"hangup\"}"));
    wait_for(&h, 2);
    /* used up: the next one who reads it is a stranger */
    assert_true(sim_ask(h.third, "{\"cmd\":\"contacts_add\",\"id\":\"%s\",\"name\":\"Bob\"}", invite));
    wait_for(&h, 20);
    assert_true(sim_ask(h.third, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.third, "ended", NULL, SECONDS(60)));
    assert_int_equal(h.bob->n_calls, 1);
    free(invite);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two phones on one wire talk without a relay", on_one_lan),
        sentence("alice calls bob, both behind port-restricted routers, through a volunteer's relay",
                 through_a_relay),
        sentence("both behind symmetric routers the call stays relayed and is signed for", both_symmetric),
        sentence("a stranger rings nobody, leaves a request, and rings once allowed", a_stranger_asks_first),
        sentence("an invite allows its first reader, and nobody after", an_invite_opens_once),
    };

    return run_sentences("call", tests);
}
