/* Promise (THREATS.md §5, "succession"): a thief's own `next` and a thief's own successor are refused by 100 % of contacts,
 * the phrase holder's successor is accepted by 100 %, in either order. */
#include "app/app_priv.h"
#include "scenario/homes.h"

#define FRIENDS 2

static const uint8_t phrase[KEY_BYTES] = {42}, thiefs_phrase[KEY_BYTES] = {66};

struct story {
    struct homes h;
    struct sim_phone *friends[FRIENDS];
    uint8_t old_id[KEY_BYTES], new_id[KEY_BYTES], next[KEY_BYTES];
    struct keyring stolen;         /* all that the old device held */
    struct contact known[FRIENDS]; /* and what it knew of each */
};

static struct contact *entry(const struct sim_phone *p, const uint8_t id[static KEY_BYTES])
{
    return contacts_by_id(p->app->contacts, id);
}

/* The program starts with these keys, its lists empty. */
static void start_with(struct story *s, struct sim_phone *p, const struct keyring *k)
{
    p->keys = *k;
    id_format(p->keys.identity.pub, p->id);
    sim_phone_restart(p);
    sim_bootstrap(p, s->h.relay);
    wait_for(&s->h, 20);
}

static void become(struct story *s, struct sim_phone *p, uint32_t number)
{
    struct keyring k;

    keyring_restore(vnet_env(p->host), &k, phrase, number);
    start_with(s, p, &k);
    keyring_wipe(&k);
}

/* alice has two friends; then what is on her device is stolen. */
static void build(struct story *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    build_homes(&s->h, seed, VNET_EI, true);
    s->friends[0] = s->h.bob;
    s->friends[1] = s->h.boot;
    become(s, s->h.alice, 0);
    memcpy(s->old_id, s->h.alice->keys.identity.pub, KEY_BYTES);
    memcpy(s->next, s->h.alice->keys.next, KEY_BYTES);
    for (int i = 0; i < FRIENDS; i++)
        sim_befriend(s->h.alice, i == 0 ? "Bob" : "Boot", s->friends[i], "Alice");
    wait_for(&s->h, 120);
    s->stolen = s->h.alice->keys;
    for (int i = 0; i < FRIENDS; i++) {
        s->known[i] = *entry(s->h.alice, s->friends[i]->keys.identity.pub);
        assert_true(s->known[i].has_S && s->known[i].has_devices);
        assert_memory_equal(entry(s->friends[i], s->old_id)->next, s->next, KEY_BYTES);
    }
}

static void tear(struct story *s)
{
    keyring_wipe(&s->stolen);
    tear_down(&s->h);
}

/* The phone has them on its list and knows of them what the stolen device knew. */
static void knows_them(struct story *s, struct sim_phone *p)
{
    for (int i = 0; i < FRIENDS; i++) {
        struct contact *who;

        assert_true(sim_ask(p, "{\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", s->friends[i]->id));
        who = entry(p, s->friends[i]->keys.identity.pub);
        who->has_S = true;
        who->S_gen = s->known[i].S_gen;
        memcpy(who->S, s->known[i].S, KEY_BYTES);
        who->has_devices = true;
        who->devices = s->known[i].devices;
        memcpy(who->next, s->known[i].next, KEY_BYTES);
    }
}

/* How many of them ring when it calls each. */
static int n_ringing(struct story *s, struct sim_phone *p)
{
    int n = 0;

    for (int i = 0; i < FRIENDS; i++) {
        unsigned before = s->friends[i]->n_calls;

        assert_true(sim_ask(p, "{\"cmd\":\"call\",\"to\":\"%s\"}", s->friends[i]->id));
        wait_for(&s->h, 15);
        sim_ask(p, "{\"cmd\":\"hangup\"}");
        wait_for(&s->h, 15);
        n += s->friends[i]->n_calls > before;
    }
    return n;
}

static int n_requests(const struct story *s)
{
    int n = 0;

    for (int i = 0; i < FRIENDS; i++)
        n += (int)inbox_count(s->friends[i]->app->inbox, false);
    return n;
}

/* Those whose "Alice" is that identity. */
static int n_following(const struct story *s, const uint8_t id[static KEY_BYTES])
{
    int n = 0;

    for (int i = 0; i < FRIENDS; i++) {
        const struct contact *who = entry(s->friends[i], id);

        n += who != NULL && who->list == CONTACT_ALLOWED && strcmp(who->name, "Alice") == 0;
    }
    return n;
}

/* The thief has a, and signs what he likes with it: a list of a higher gen with a `next` of his own. */
static void thief_changes_next(struct story *s)
{
    struct keyring k = s->stolen;

    memset(k.next, 7, sizeof k.next);
    k.gen += 1000;
    assert_int_equal(keyring_rotate_device(vnet_env(s->h.third->host), &k), ERR_OK);
    start_with(s, s->h.third, &k);
    knows_them(s, s->h.third);
    assert_int_equal(n_ringing(s, s->h.third), 0);
    keyring_wipe(&k);
}

/* An identity of his own that says it follows hers. */
static void thief_succeeds(struct story *s, bool by_request)
{
    struct keyring k;

    keyring_restore(vnet_env(s->h.third->host), &k, thiefs_phrase, 1);
    memcpy(k.old_identity, s->old_id, KEY_BYTES);
    assert_int_equal(succession_make(&k.identity, s->old_id, k.next, k.succession), ERR_OK);
    start_with(s, s->h.third, &k);
    if (by_request) /* its work is real: one of them will do */
        assert_true(sim_ask(s->h.third, "{\"cmd\":\"contacts_add\",\"contact\":\"%s\"}", s->friends[0]->id));
    wait_for(&s->h, 60);
    assert_int_equal(n_following(s, k.identity.pub), 0);
    assert_int_equal(n_requests(s), 0);
    knows_them(s, s->h.third);
    assert_int_equal(n_ringing(s, s->h.third), 0);
    assert_int_equal(n_following(s, k.identity.pub), 0);
    keyring_wipe(&k);
}

/* alice, on a new machine, has her 24 words and her friends' IDs. */
static void phrase_holder(struct story *s)
{
    become(s, s->h.alice, 1);
    memcpy(s->new_id, s->h.alice->keys.identity.pub, KEY_BYTES);
    for (int i = 0; i < FRIENDS; i++)
        assert_true(sim_ask(s->h.alice, "{\"cmd\":\"contacts_add\",\"contact\":\"%s\"}", s->friends[i]->id));
    wait_for(&s->h, 120);
    printf("followed by %d of %d\n", n_following(s, s->new_id), FRIENDS);
    assert_int_equal(n_following(s, s->new_id), FRIENDS);
    assert_int_equal(n_following(s, s->old_id), 0);
    assert_int_equal(n_requests(s), 0);
    assert_int_equal(n_ringing(s, s->h.alice), FRIENDS);
}

/* The stolen keys as they are. */
static void thief_calls(struct story *s, int expected)
{
    start_with(s, s->h.third, &s->stolen);
    knows_them(s, s->h.third);
    assert_int_equal(n_ringing(s, s->h.third), expected);
}

/* Somebody who never knew the old identity gets a request as from anybody. */
static void a_new_friend(struct story *s)
{
    struct keyring k;

    keyring_restore(vnet_env(s->h.third->host), &k, thiefs_phrase, 0);
    start_with(s, s->h.third, &k);
    assert_true(sim_ask(s->h.alice, "{\"cmd\":\"contacts_add\",\"contact\":\"%s\"}", s->h.third->id));
    wait_for(&s->h, 60);
    assert_int_equal(inbox_count(s->h.third->app->inbox, false), 1);
    assert_memory_equal(inbox_at(s->h.third->app->inbox, false, 0)->id, s->new_id, KEY_BYTES);
    keyring_wipe(&k);
}

static void thief_first(void **state)
{
    struct story s;

    (void)state;
    build(&s, 301);
    vnet_cut(s.h.alice->host, true);
    thief_changes_next(&s);
    thief_succeeds(&s, true);
    assert_int_equal(n_following(&s, s.old_id), FRIENDS);
    vnet_cut(s.h.alice->host, false);
    phrase_holder(&s);
    a_new_friend(&s);
    tear(&s);
}

/* What was on the old machine is still there, S of each among it: she needs no request. */
static void thief_last(void **state)
{
    struct story s;
    uint8_t S[KEY_BYTES];
    char old[ID_TEXT_BYTES];

    (void)state;
    build(&s, 302);
    thief_calls(&s, FRIENDS); /* nobody can know yet */
    memcpy(S, s.h.bob->keys.S, KEY_BYTES);
    become(&s, s.h.alice, 1);
    memcpy(s.new_id, s.h.alice->keys.identity.pub, KEY_BYTES);
    knows_them(&s, s.h.alice);
    assert_int_equal(n_ringing(&s, s.h.alice), FRIENDS);
    assert_int_equal(n_following(&s, s.new_id), FRIENDS);
    wait_for(&s.h, 60);
    assert_memory_not_equal(s.h.bob->keys.S, S, KEY_BYTES);                   /* the thief has that one */
    assert_null(heirs_proof_for(s.h.alice->app, s.h.bob->keys.identity.pub)); /* they know */

    thief_changes_next(&s);
    thief_succeeds(&s, false);
    thief_calls(&s, 0);
    assert_int_equal(n_following(&s, s.new_id), FRIENDS);
    assert_int_equal(n_requests(&s), 0);
    assert_false(sim_ask(s.h.bob, "{\"cmd\":\"contacts_add\",\"contact\":\"%s\"}", id_format(s.old_id, old)));
    assert_non_null(strstr(s.h.bob->answer, "gave this ID up"));
    tear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a thief who comes first is refused, and the phrase holder followed, by a request",
                 thief_first),
        sentence("with the old lists a call is enough; a thief who comes later is refused whatever he signs",
                 thief_last),
    };

    return run_sentences("succession", tests);
}
