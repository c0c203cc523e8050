/* Promise (THREATS.md §4.11): all devices of a person ring, the first that answers has the call, the others say
 * `answered elsewhere`; a device struck off the list hears nothing any more. */
#include "app/devices.h"
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
    build_homes(&s->h, seed, VNET_EI, true);
    s->laptop = s->h.third;
    link_by_hand(s);
    wait_for(&s->h, 20);
    sim_befriend(s->h.alice, "Bob", s->h.bob, "Alice");
    wait_for(&s->h, 60);
    assert_non_null(entry(s->laptop, s->h.alice)); /* nobody put her there */
}

static bool device_reached(void *arg)
{
    const struct sim_wait *w = arg;

    return strcmp(w->p->device_state, w->state) == 0;
}

static bool device_is(struct sim_phone *p, const char *state, ns_t span)
{
    struct sim_wait w = {.p = p, .state = state};

    if (device_reached(&w) || vnet_run_for(p->net, span, device_reached, &w))
        return true;
    fprintf(stderr, "%s: wanted device %s, is %s\n", vnet_name(p->host), state, p->device_state);
    return false;
}

/* The text bob's main device gives out. */
static void link_text(struct story *s, char out[static INVITE_TEXT_BYTES])
{
    cJSON *v;

    assert_true(sim_ask(s->h.bob, "{\"cmd\":\"devices_link\"}"));
    v = cJSON_Parse(s->h.bob->answer);
    snprintf(out, INVITE_TEXT_BYTES, "%s", json_str(v, "link", ""));
    cJSON_Delete(v);
}

static void begin_joining(struct story *s, struct sim_phone *p, const char *text)
{
    p->is_joining = true;
    sim_phone_restart(p);
    sim_bootstrap(p, s->h.relay);
    assert_true(sim_ask(p, "{\"cmd\":\"devices_join\",\"link\":\"%s\"}", text));
}

/* What `ito devices link TEXT` does when it heard that it is linked. */
static void begin_life(struct story *s, struct sim_phone *p)
{
    const char *name;
    const struct keyring *k = app_joined_keys(p->app, &name);

    assert_non_null(k);
    p->is_joining = false;
    assert_true(sim_ask(p, "{\"cmd\":\"devices_taken\"}"));
    wait_for(&s->h, 1);
    start_with(s, p, k);
}

static void link_laptop(struct story *s)
{
    char text[INVITE_TEXT_BYTES];

    link_text(s, text);
    begin_joining(s, s->laptop, text);
    assert_true(device_is(s->laptop, "compare", SECONDS(20)));
    assert_true(device_is(s->h.bob, "asks", SECONDS(5)));
    assert_string_equal(s->h.bob->device_code, s->laptop->device_code);
    assert_true(sim_ask(s->h.bob, "{\"cmd\":\"devices_accept\"}"));
    assert_true(device_is(s->laptop, "linked", SECONDS(5)));
    begin_life(s, s->laptop);
    assert_true(device_is(s->h.bob, "linked", SECONDS(5)));
    wait_for(&s->h, 30);
}

static void linked_by_a_text(void **state)
{
    struct story s = {0};

    (void)state;
    memset(&s, 0, sizeof s);
    build_homes(&s.h, 304, VNET_EI, true);
    s.laptop = s.h.third;
    link_laptop(&s);
    assert_string_equal(s.laptop->id, s.h.bob->id);
    assert_int_equal(s.h.bob->keys.list.n, 2);
    assert_false(keyring_is_main(&s.laptop->keys));
    assert_true(sim_ask(s.h.bob, "{\"cmd\":\"devices\"}"));
    assert_non_null(strstr(s.h.bob->answer, "{\"n\":2,\"main\":false,\"this\":false,\"online\":true}"));
    tear_down(&s.h);
}

/* More contacts wait to be told than there is room for cards. */
static void linked_beside_many(void **state)
{
    struct story s = {0};

    (void)state;
    build_homes(&s.h, 312, VNET_EI, true);
    s.laptop = s.h.third;
    for (int i = 0; i < PUBLISH_CARDS_MAX + 4; i++) {
        struct keyring k;
        uint8_t phrase[KEY_BYTES];
        char id[ID_TEXT_BYTES];

        keyring_create(vnet_env(s.laptop->host), &k, phrase);
        id_format(k.identity.pub, id);
        assert_true(
            sim_ask(s.h.bob, "{\"cmd\":\"contacts_add\",\"id\":\"%s\",\"name\":\"friend %d\"}", id, i));
    }
    wait_for(&s.h, 5);
    link_laptop(&s);
    assert_int_equal(s.h.bob->keys.list.n, 2);
    tear_down(&s.h);
}

static void call_both(struct story *s)
{
    assert_true(sim_ask(s->h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(s->h.alice, "ringing", NULL, SECONDS(5)));
    assert_true(reach(s->h.bob, "incoming", NULL, SECONDS(3)));
    assert_true(reach(s->laptop, "incoming", NULL, SECONDS(3)));
}

static bool contains(const void *where, size_t n, const uint8_t *what, size_t len)
{
    return memmem(where, n, what, len) != NULL;
}

/* Promise (THREATS.md §5, "device without `a`"). */
static void holds_no_identity_key(void **state)
{
    struct story s = {0};
    struct sign_key *a;
    uint8_t scalar[KEY_BYTES], card[CERT_BYTES];

    (void)state;
    memset(&s, 0, sizeof s);
    build_homes(&s.h, 305, VNET_EI, true);
    s.laptop = s.h.third;
    link_laptop(&s);
    a = &s.h.bob->keys.identity;
    ed_to_x_secret(a, scalar);
    assert_true(contains(&s.h.bob->keys, sizeof s.h.bob->keys, a->seed,
                         KEY_BYTES)); /* the search finds what is there */
    assert_false(contains(&s.laptop->keys, sizeof s.laptop->keys, a->seed, KEY_BYTES));
    assert_false(contains(&s.laptop->keys, sizeof s.laptop->keys, scalar, KEY_BYTES));
    assert_false(contains(s.laptop->app, sizeof *s.laptop->app, a->seed, KEY_BYTES));
    assert_int_equal(
        cert_make(&s.laptop->keys.identity, 9, &s.laptop->keys.list.devices[0], s.laptop->keys.next, card),
        ERR_STATE);
    assert_false(sim_ask(s.laptop, "{\"cmd\":\"devices_link\"}"));
    assert_false(sim_ask(s.laptop, "{\"cmd\":\"devices_remove\",\"n\":1}"));
    tear_down(&s.h);
}

/* Somebody else read the text too, and comes second; then the person says no. */
static void a_text_that_others_read(void **state)
{
    struct story s = {0};
    struct sim_phone *thief;
    char text[INVITE_TEXT_BYTES];
    uint32_t gen;

    (void)state;
    memset(&s, 0, sizeof s);
    build_homes(&s.h, 306, VNET_EI, true);
    s.laptop = s.h.third;
    thief = s.h.alice;
    gen = s.h.bob->keys.gen;
    link_text(&s, text);
    begin_joining(&s, s.laptop, text);
    assert_true(device_is(s.h.bob, "asks", SECONDS(20)));
    begin_joining(&s, thief, text);
    wait_for(&s.h, 30);
    assert_string_equal(thief->device_state, "looking"); /* it hears nothing */
    assert_string_equal(s.h.bob->device_code, s.laptop->device_code);
    assert_true(sim_ask(s.h.bob, "{\"cmd\":\"devices_refuse\"}"));
    assert_true(device_is(s.laptop, "refused", SECONDS(5)));
    wait_for(&s.h, 60);
    assert_string_equal(thief->device_state, "looking");
    assert_false(sim_ask(s.h.bob, "{\"cmd\":\"devices_accept\"}"));
    assert_int_equal(s.h.bob->keys.gen, gen);
    wait_for(&s.h, DEVICES_LINK_S);
    assert_string_equal(thief->device_state, "expired");
    assert_false(sim_ask(s.laptop, "{\"cmd\":\"devices_join\",\"link\":\"%s\"}", text)); /* expired */
    tear_down(&s.h);
}

static bool same_keys(const struct story *s)
{
    const struct keyring *a = &s->h.bob->keys, *b = &s->laptop->keys;

    return a->gen == b->gen && a->S_gen == b->S_gen && memcmp(a->S, b->S, KEY_BYTES) == 0;
}

static void secrets_stay_the_same(void **state)
{
    struct story s = {0};
    uint8_t D[KEY_BYTES];
    uint32_t gen;

    (void)state;
    build(&s, 307);
    assert_true(same_keys(&s));
    /* a new S, drawn on the linked device when somebody is blocked there */
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", s.h.boot->id));
    entry(s.laptop, s.h.boot)->has_S = true;
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"contacts_block\",\"contact\":\"%s\"}", s.h.boot->id));
    wait_for(&s.h, 60);
    assert_true(same_keys(&s));
    /* both at the same moment */
    assert_int_equal(
        keyring_set_s(vnet_env(s.laptop->host), &s.laptop->keys, (const uint8_t[KEY_BYTES]){1}, 90), ERR_OK);
    assert_int_equal(
        keyring_set_s(vnet_env(s.h.bob->host), &s.h.bob->keys, (const uint8_t[KEY_BYTES]){2}, 90), ERR_OK);
    secrets_tell(s.laptop->app, s.laptop->app->now);
    secrets_tell(s.h.bob->app, s.h.bob->app->now);
    wait_for(&s.h,
             90); /* a new S takes new tokens with it: the way of their session is lost, and found again */
    assert_true(same_keys(&s));
    assert_int_equal(s.h.bob->keys.S_gen,
                     91); /* the main device's, and newer to whoever heard of the other */
    assert_memory_equal(s.h.bob->keys.S, ((const uint8_t[KEY_BYTES]){2}), KEY_BYTES);
    assert_memory_equal(entry(s.h.alice, s.h.bob)->S, s.h.bob->keys.S, KEY_BYTES);
    /* the linked device's keys are 30 days old */
    memcpy(D, s.laptop->keys.device.pub, KEY_BYTES);
    gen = s.laptop->keys.gen;
    s.laptop->keys.device_made_s -= DEVICE_LIFE_S;
    sim_phone_restart(s.laptop); /* else it is looked at once an hour */
    sim_bootstrap(s.laptop, s.h.relay);
    wait_for(&s.h, 120);
    assert_memory_not_equal(s.laptop->keys.device.pub, D, KEY_BYTES);
    assert_int_equal(s.laptop->keys.gen, gen + 1);
    assert_true(same_keys(&s));
    wait_for(&s.h, 300);
    call_both(&s);
    tear_down(&s.h);
}

/* Asleep while S changes twice: neither its S nor the one before leads anywhere; a card of the main device does. */
static void found_again_by_a_card(void **state)
{
    struct story s = {0};

    (void)state;
    build(&s, 309);
    sim_phone_sleep(s.laptop);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(keyring_set_s(vnet_env(s.h.bob->host), &s.h.bob->keys,
                                       (const uint8_t[KEY_BYTES]){(uint8_t)i}, 50 + (uint32_t)i),
                         ERR_OK);
        secrets_tell(s.h.bob->app, s.h.bob->app->now);
        wait_for(&s.h, 600);
    }
    assert_false(same_keys(&s));
    sim_phone_wake(s.laptop);
    wait_for(&s.h, 240);
    assert_true(same_keys(&s));
    call_both(&s);
    tear_down(&s.h);
}

/* People who are added, named and removed on either device; the pair secret of a new one comes from the main device. */
static void lists_stay_the_same(void **state)
{
    struct story s = {0};
    struct contact *who;

    (void)state;
    build(&s, 310);
    who = entry(s.laptop, s.h.alice);
    assert_string_equal(who->name, "Alice");
    assert_true(who->has_T && who->has_S);
    assert_memory_equal(who->T, entry(s.h.bob, s.h.alice)->T, KEY_BYTES);
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", s.h.boot->id));
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"contacts_rename\",\"contact\":\"%s\",\"name\":\"Boot\"}",
                        s.h.boot->id));
    assert_true(sim_ask(s.h.boot, "{\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", s.h.bob->id));
    wait_for(&s.h, 60);
    assert_string_equal(entry(s.h.bob, s.h.boot)->name, "Boot");
    assert_true(entry(s.laptop, s.h.boot)->has_T);
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"call\",\"to\":\"Boot\"}"));
    assert_true(reach(s.h.boot, "incoming", NULL, SECONDS(5)));
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"hangup\"}"));
    assert_true(sim_ask(s.h.bob, "{\"cmd\":\"contacts_remove\",\"contact\":\"Boot\"}"));
    wait_for(&s.h, 30);
    assert_null(entry(s.laptop, s.h.boot));
    wait_for(&s.h, 60); /* and a new S, once the change can no more be taken back */
    assert_int_equal(s.h.bob->keys.S_gen, 2);
    assert_true(same_keys(&s));
    tear_down(&s.h);
}

static void removed_hears_nothing(void **state)
{
    struct story s = {0};
    unsigned n;

    (void)state;
    build(&s, 308);
    call_both(&s);
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"hangup\"}"));
    wait_for(&s.h, 5);
    assert_true(sim_ask(s.h.bob, "{\"cmd\":\"devices_remove\",\"n\":2}"));
    assert_false(keyring_is_struck(&s.laptop->keys));
    assert_true(device_is(s.laptop, "removed", SECONDS(2)));
    assert_true(keyring_is_struck(&s.laptop->keys)); /* also when it starts again: test_keystore */
    wait_for(&s.h, 60);
    assert_memory_not_equal(s.h.bob->keys.S, s.laptop->keys.S, KEY_BYTES);
    assert_memory_equal(entry(s.h.alice, s.h.bob)->S, s.h.bob->keys.S, KEY_BYTES);
    n = s.laptop->n_calls;
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(s.h.bob, "incoming", NULL, SECONDS(5)));
    wait_for(&s.h, 5);
    assert_int_equal(s.laptop->n_calls, n);
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"hangup\"}"));
    wait_for(&s.h, 5);
    n = s.h.alice->n_calls; /* and nobody hears it */
    assert_true(sim_ask(s.laptop, "{\"cmd\":\"call\",\"to\":\"%s\"}", s.h.alice->id));
    assert_true(reach(s.laptop, "ended", NULL, SECONDS(40)));
    assert_int_equal(s.h.alice->n_calls, n);
    assert_false(sim_ask(s.h.bob, "{\"cmd\":\"devices_remove\",\"n\":2}"));
    assert_false(sim_ask(s.h.bob, "{\"cmd\":\"devices_remove\",\"n\":1}"));
    tear_down(&s.h);
}

static void first_answer_wins(void **state)
{
    struct story s = {0};
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
    struct story s = {0};

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

/* The one that is in another call says so, which ends its branch only; with nobody else there it is what alice hears. */
static void one_is_busy(void **state)
{
    struct story s = {.h.settings =
                          "{\"call\": {\"waiting\": false}, \"audio\": {\"noise_suppress\": false}}"};

    (void)state;
    build(&s, 311);
    sim_befriend(s.h.boot, "Bob", s.h.bob, "Boot");
    wait_for(&s.h, 60);
    assert_true(sim_ask(s.h.bob, "{\"cmd\":\"call\",\"to\":\"Boot\"}"));
    assert_true(reach(s.h.boot, "incoming", NULL, SECONDS(5)));
    assert_true(sim_ask(s.h.boot, "{\"cmd\":\"answer\"}"));
    assert_true(reach(s.h.bob, "in_call", NULL, SECONDS(2)));
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(s.laptop, "incoming", NULL, SECONDS(5)));
    wait_for(&s.h, 5);
    assert_string_equal(s.h.alice->state, "ringing");
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"hangup\"}"));
    wait_for(&s.h, 5);
    sim_phone_sleep(s.laptop);
    assert_true(sim_ask(s.h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(s.h.alice, "ended", NULL, SECONDS(30)));
    assert_string_equal(s.h.alice->cause, "busy");
    sim_phone_wake(s.laptop);
    tear_down(&s.h);
}

static void who_is_away_does_not_matter(void **state)
{
    struct story s = {0};

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
        sentence("a text, two equal codes and a yes link a device", linked_by_a_text),
        sentence("a device is linked while many contacts wait to be told", linked_beside_many),
        sentence("a linked device holds no identity key and cannot act as if it did", holds_no_identity_key),
        sentence("who reads the text second hears nothing; a no leaves all as it was",
                 a_text_that_others_read),
        sentence("list, S and certificates stay the same on both, whoever changes them",
                 secrets_stay_the_same),
        sentence("a device that slept through two new S finds the main one by its card",
                 found_again_by_a_card),
        sentence("people are on both lists, whoever adds, names or removes them", lists_stay_the_same),
        sentence("a removed device rings no more and is not heard", removed_hears_nothing),
        sentence("a decline ends it everywhere; giving up is a missed call on each", one_decline_ends_all),
        sentence("a busy one ends its branch only, and is told when nobody else is there", one_is_busy),
        sentence("a device that is away neither delays nor ends the call", who_is_away_does_not_matter),
    };

    return run_sentences("devices", tests);
}
