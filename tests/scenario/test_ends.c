/* How calls end, and what they survive. */
#include "scenario/homes.h"

static void declined(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 11, VNET_EI);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(5)));
    assert_true(sim_ask(h.bob, "{\"id\":3,\"cmd\":\"decline\"}"));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(2)));
    assert_string_equal(h.alice->cause, "declined");
    /* and cancelled, in the next call */
    assert_true(sim_ask(h.alice, "{\"id\":4,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(5)));
    assert_true(sim_ask(h.alice, "{\"id\":5,\"cmd\":\"hangup\"}"));
    assert_true(reach(h.bob, "ended", NULL, SECONDS(2)));
    assert_string_equal(h.alice->cause, "cancelled");
    assert_string_equal(h.bob->cause, "missed");
    tear_down(&h);
}

static void unanswered(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 12, VNET_EI);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(5)));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(65)));
    assert_string_equal(h.alice->cause, "no_answer");
    assert_true(reach(h.bob, "ended", NULL, SECONDS(5)));
    assert_string_equal(h.bob->cause, "missed");
    tear_down(&h);
}

/* The caller is told at once, and not kept ringing, when the sound of who answers fails. */
static void no_microphone(void **state)
{
    struct homes h = {.settings = "{\"audio\": {\"input\": \"wav:/nowhere/at/all.wav\"}}"};

    (void)state;
    build_friends(&h, 19, VNET_EI);
    h.bob->audio.source = NULL;
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(5)));
    sim_ask(h.bob, "{\"id\":3,\"cmd\":\"answer\"}");
    assert_true(reach(h.alice, "ended", NULL, SECONDS(2)));
    assert_string_equal(h.bob->cause, "audio");
    assert_string_equal(h.alice->cause, "no_answer");
    tear_down(&h);
}

/* Alice calls Bob: 10 s, and no second look-up after them. */
static void look_up_in_vain(struct homes *h)
{
    ns_t began = vnet_now(h->net);

    assert_true(sim_ask(h->alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h->alice, "ended", NULL, SECONDS(30)));
    printf("%s after %.1f s\n", h->alice->cause, (double)(vnet_now(h->net) - began) / NS_PER_S);
    assert_true(vnet_now(h->net) - began <= SECONDS(10) + NS_PER_S);
}

/* All that could answer is silent, though it was there a moment ago. */
static void no_answer_to_look_ups(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 20, VNET_EI);
    vnet_cut(h.bob->host, true);
    wait_for(&h, 120);
    vnet_cut(h.relay->host, true);
    vnet_cut(h.boot->host, true);
    look_up_in_vain(&h);
    tear_down(&h);
}

/* Our own line is dead, and nobody has noticed yet: that is not said of Bob. */
static void dead_line(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 21, VNET_EI);
    vnet_cut(h.bob->host, true);
    wait_for(&h, 120);
    vnet_cut(h.alice->host, true);
    look_up_in_vain(&h);
    assert_string_equal(h.alice->cause, "no_network");
    tear_down(&h);
}

static void gone(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 13, VNET_EI);
    vnet_cut(h.bob->host, true);
    wait_for(&h, 1);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(30)));
    assert_string_equal(h.alice->cause, "offline");
    tear_down(&h);
}

static void cut_while_talking(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 14, VNET_EI);
    talk(&h);
    wait_for(&h, 5);
    vnet_cut(h.bob->host, true);
    assert_true(reach(h.alice, "reconnecting", NULL, SECONDS(4)));
    vnet_cut(h.bob->host, false);
    assert_true(reach(h.alice, "in_call", NULL, SECONDS(10)));
    vnet_cut(h.bob->host, true);
    assert_true(reach(h.alice, "ended", NULL, SECONDS(40)));
    assert_string_equal(h.alice->cause, "lost");
    assert_true(reach(h.bob, "ended", NULL, SECONDS(5)));
    assert_string_equal(h.bob->cause, "lost");
    tear_down(&h);
}

static void without_the_first_node(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 15, VNET_EI);
    vnet_cut(h.boot->host, true);
    wait_for(&h, 5);
    talk(&h);
    wait_for(&h, 5);
    assert_true(h.alice->n_heard > 150);
    assert_true(h.bob->n_heard > 150);
    tear_down(&h);
}

/* The direct path carries on when the relay that began the call dies. */
static void relay_dies(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 16, VNET_EI);
    talk(&h);
    assert_true(reach(h.alice, "in_call", "direct_punched", SECONDS(5)));
    wait_for(&h, 2);
    vnet_cut(h.relay->host, true);
    wait_for(&h, 20);
    assert_string_equal(h.alice->state, "in_call");
    assert_true(h.alice->longest_without <= 3);
    assert_true(sim_ask(h.alice, "{\"id\":4,\"cmd\":\"hangup\"}"));
    assert_true(reach(h.bob, "ended", NULL, SECONDS(5)));
    assert_string_equal(h.bob->cause, "hangup_remote");
    tear_down(&h);
}

/* No relay anywhere: knocks go through nodes of the zone, sound goes direct after the answer. */
static void no_relay_in_the_zone(void **state)
{
    struct homes h = {0};

    (void)state;
    build_homes(&h, 17, VNET_EI, false);
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 30);
    talk(&h);
    assert_true(reach(h.alice, "in_call", "direct_punched", SECONDS(5)));
    wait_for(&h, 5);
    assert_true(h.alice->n_heard > 150);
    tear_down(&h);
}

static void blocked(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 18, VNET_EI);
    assert_true(sim_ask(h.bob, "{\"id\":2,\"cmd\":\"contacts_block\",\"contact\":\"Alice\"}"));
    wait_for(&h, 2);
    assert_true(sim_ask(h.alice, "{\"id\":3,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(60)));
    assert_int_equal(h.bob->n_calls, 0);
    assert_string_equal(h.alice->cause, "offline");
    tear_down(&h);
}

static void held(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 19, VNET_EI);
    talk(&h);
    wait_for(&h, 3);
    assert_true(sim_ask(h.alice, "{\"id\":4,\"cmd\":\"hold\",\"on\":true}"));
    assert_true(reach(h.bob, "held_remote", NULL, SECONDS(2)));
    assert_string_equal(h.alice->state, "held_local");
    assert_true(sim_ask(h.alice, "{\"id\":5,\"cmd\":\"hold\",\"on\":false}"));
    assert_true(reach(h.bob, "in_call", NULL, SECONDS(2)));
    tear_down(&h);
}

/* Two who call each other at the same moment. */
static void both_call(void **state)
{
    struct homes h = {0};

    (void)state;
    build_friends(&h, 20, VNET_EI);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(sim_ask(h.bob, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Alice\"}"));
    wait_for(&h, 5);
    assert_true(h.alice->n_calls + h.bob->n_calls >= 1);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("declined and cancelled are told as such", declined),
        sentence("a call nobody answers ends after 60 s, and is missed over there", unanswered),
        sentence("who answers and has no microphone leaves nobody ringing", no_microphone),
        sentence("a look-up that nobody answers ends after 10 s", no_answer_to_look_ups),
        sentence("a call by a dead line ends for want of a network", dead_line),
        sentence("a contact that is gone is offline, not declined", gone),
        sentence("a cut shows reconnecting, heals, and ends as lost after 30 s", cut_while_talking),
        sentence("calls work when the first node is gone", without_the_first_node),
        sentence("a direct call survives the death of its relay", relay_dies),
        sentence("without any relay, nodes carry knocks and sound goes direct", no_relay_in_the_zone),
        sentence("who is blocked rings nobody and sees offline", blocked),
        sentence("hold is seen on both sides", held),
        sentence("two who call each other at once get through", both_call),
    };

    return run_sentences("ends", tests);
}
