/* Promise (THREATS.md §4.11): all devices of a person ring, the first that answers has the call, the others say
 * `answered elsewhere`; a device struck off the list hears nothing any more. */
#include "app/app_priv.h"
#include "scenario/homes.h"

/* bob has two: the one at home, and `third`, which was linked. */
struct story {
    struct homes h;
    struct sim_phone *laptop;
};

static struct contact *entry(const struct sim_phone *p, const struct sim_phone *of)
{
    return contacts_by_id(p->app->contacts, of->keys.identity.pub);
}

static void start_with(struct story *s, struct sim_phone *p, const struct keyring *k)
{
    p->keys = *k;
    id_format(p->keys.identity.pub, p->id);
    sim_phone_restart(p);
    sim_bootstrap(p, s->h.relay);
}

static void link_by_hand(struct story *s)
{
    struct keyring k, *main = &s->h.bob->keys;
    uint8_t cert[CERT_BYTES], list[LIST_MAX_BYTES], slot;
    struct wr w;

    keyring_create_linked(vnet_env(s->laptop->host), &k);
    assert_int_equal(keyring_add_device(main, k.device.pub, k.publish.pub, &slot, cert), ERR_OK);
    wr_init(&w, list, sizeof list);
    device_list_write(&w, &main->list);
    assert_int_equal(keyring_adopt(vnet_env(s->laptop->host), &k, slice_of(cert, sizeof cert), wr_done(&w),
                                   main->S, main->S_gen),
                     ERR_OK);
    start_with(s, s->laptop, &k);
    start_with(s, s->h.bob, main);
}

static void build(struct story *s, uint64_t seed)
{
    struct contact *who;

    memset(s, 0, sizeof *s);
    build_homes(&s->h, seed, VNET_EI, true);
    s->laptop = s->h.third;
    link_by_hand(s);
    wait_for(&s->h, 20);
    sim_befriend(s->h.alice, "Bob", s->h.bob, "Alice");
    assert_true(sim_ask(s->laptop, "{\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", s->h.alice->id));
    who = entry(s->laptop, s->h.alice);
    memcpy(who->T, entry(s->h.bob, s->h.alice)->T, KEY_BYTES);
    who->has_T = true;
    wait_for(&s->h, 60);
}

static void call_both(struct story *s)
{
    assert_true(sim_ask(s->h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(s->h.alice, "ringing", NULL, SECONDS(5)));
    assert_true(reach(s->h.bob, "incoming", NULL, SECONDS(3)));
    assert_true(reach(s->laptop, "incoming", NULL, SECONDS(3)));
}

static void first_answer_wins(void **state)
{
    struct story s;
    uint32_t id;

    (void)state;
    build(&s, 301);
    call_both(&s);
    id = s.h.alice->call_id;
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"answer\"}"));
    assert_true(reach(s.h.alice, "in_call", NULL, SECONDS(2)));
    assert_true(reach(s.laptop, "in_call", NULL, SECONDS(2)));
    assert_true(reach(s.h.bob, "ended", NULL, SECONDS(2)));
    assert_string_equal(s.h.bob->cause, "answered_elsewhere");
    assert_int_equal(s.h.alice->call_id, id); /* the same call to the caller, whoever answered */
    wait_for(&s.h, 10);
    assert_true(s.h.alice->n_heard > 300 && s.laptop->n_heard > 300);
    assert_string_equal(s.h.alice->code, s.laptop->code);
    assert_int_equal(s.h.bob->app->missed, 0);
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"hangup\"}"));
    assert_true(reach(s.laptop, "ended", NULL, SECONDS(2)));
    call_both(&s);
    assert_true(sim_ask(s.h.bob, "{\"cmd\":\"answer\"}"));
    assert_true(reach(s.h.alice, "in_call", NULL, SECONDS(2)));
    assert_true(reach(s.laptop, "ended", NULL, SECONDS(2)));
    assert_string_equal(s.laptop->cause, "answered_elsewhere");
    tear_down(&s.h);
}

static void one_decline_ends_all(void **state)
{
    struct story s;

    (void)state;
    build(&s, 302);
    call_both(&s);
    assert_true(sim_ask(s.h.bob, "{\"cmd\":\"hangup\"}"));
    assert_true(reach(s.h.alice, "ended", NULL, SECONDS(2)));
    assert_string_equal(s.h.alice->cause, "declined");
    assert_true(reach(s.laptop, "ended", NULL, SECONDS(2)));
    assert_string_equal(s.laptop->cause, "declined");
    assert_int_equal(s.laptop->app->missed, 0);
    call_both(&s);
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"hangup\"}"));
    assert_true(reach(s.h.bob, "ended", NULL, SECONDS(2)));
    assert_true(reach(s.laptop, "ended", NULL, SECONDS(2)));
    assert_string_equal(s.h.bob->cause, "missed");
    assert_string_equal(s.laptop->cause, "missed");
    tear_down(&s.h);
}

static void who_is_away_does_not_matter(void **state)
{
    struct story s;

    (void)state;
    build(&s, 303);
    sim_phone_sleep(s.h.bob); /* its record stands for two hours */
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(s.h.alice, "ringing", NULL, SECONDS(5)));
    assert_true(reach(s.laptop, "incoming", NULL, SECONDS(1)));
    wait_for(&s.h, 20); /* the session that nobody answered is given up, and nobody sees it */
    assert_string_equal(s.h.alice->state, "ringing");
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"answer\"}"));
    assert_true(reach(s.h.alice, "in_call", NULL, SECONDS(2)));
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"hangup\"}"));
    wait_for(&s.h, 5);
    sim_phone_sleep(s.laptop);
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(s.h.alice, "ended", NULL, SECONDS(40)));
    assert_string_equal(s.h.alice->cause, "offline");
    sim_phone_wake(s.laptop);
    sim_phone_wake(s.h.bob);
    tear_down(&s.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("both ring, the first answer has the call and the other says so", first_answer_wins),
        sentence("a decline ends it everywhere; giving up is a missed call on each", one_decline_ends_all),
        sentence("a device that is away neither delays nor ends the call", who_is_away_does_not_matter),
    };

    return run_sentences("devices", tests);
}
