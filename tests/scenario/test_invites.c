/* Promise (THREATS.md §5, "invites"): one that is used up, expired, or leaked after use changes no byte of contacts.json
 * and gets no answer. */
#include "scenario/prowler.h"

#include "crypto/invite.h"

/* Bob tells everybody his address, so that nothing but his keys keeps anybody out. */
#define DIRECT                                                                                 \
    "{\"net\": {\"client\": true, \"path\": \"direct\"}, \"audio\": {\"echo_cancel\": false, " \
    "\"noise_suppress\": false}}"

struct town {
    struct vnet *net;
    struct sim_phone *boot, *relay, *bob, *alice, *carol;
    struct prowler *prowler;
};

static struct sim_phone *add(struct town *t, const char *name, const char *ip_port, enum app_mode mode,
                             const char *settings)
{
    struct vnet_host *host = vnet_add_host(t->net, NULL, name, ip_port);
    struct sim_phone *p = sim_phone_create(t->net, host, mode, settings);

    if (t->boot != NULL)
        sim_bootstrap(p, t->boot);
    return p;
}

static void build(struct town *t, uint64_t seed)
{
    *t = (struct town){.net = new_net(seed)};
    t->boot = add(t, "boot", "198.51.100.30:4000", APP_DAEMON, NULL);
    t->relay = add(t, "relay", "198.51.100.20:4000", APP_RELAY, NULL);
    t->bob = add(t, "bob", "20.0.2.1:4000", APP_DAEMON, DIRECT);
    t->alice = add(t, "alice", "20.0.1.1:4000", APP_DAEMON, NULL);
    t->carol = add(t, "carol", "20.0.3.1:4000", APP_DAEMON, NULL);
    t->prowler = prowler_create(t->net, "20.0.9.1:4000", NULL);
    vnet_run_for(t->net, SECONDS(20), NULL, NULL);
}

static void tear(struct town *t)
{
    prowler_destroy(t->prowler);
    sim_phone_destroy(t->carol);
    sim_phone_destroy(t->alice);
    sim_phone_destroy(t->bob);
    sim_phone_destroy(t->relay);
    sim_phone_destroy(t->boot);
    vnet_destroy(t->net);
}

/* The text of a new invite of Bob's, and its secret. */
static void invite(struct town *t, const char *expires, char text[static INVITE_TEXT_BYTES],
                   uint8_t X[static KEY_BYTES])
{
    struct invite inv;
    cJSON *v;

    assert_true(sim_ask(t->bob, "{\"cmd\":\"invite\",\"expires\":\"%s\"}", expires));
    v = cJSON_Parse(t->bob->answer);
    snprintf(text, INVITE_TEXT_BYTES, "%s", json_str(v, "invite", ""));
    cJSON_Delete(v);
    assert_int_equal(invite_parse(text, &inv, NULL), ERR_OK);
    invite_secret(inv.A, inv.I, X);
}

/* Tried by the shipped phone, and by somebody who speaks straight to him: nothing changes, nothing is said. */
static void opens_nothing(struct town *t, const char *text, const uint8_t X[static KEY_BYTES])
{
    char *before = contacts_print(t->bob->app->contacts), *after;
    uint64_t dh, answers;

    sim_ask(t->carol, "{\"cmd\":\"contacts_add\",\"id\":\"%s\",\"name\":\"Bob\"}", text);
    if (sim_ask(t->carol, "{\"cmd\":\"call\",\"to\":\"Bob\"}"))
        assert_true(reach(t->carol, "ended", NULL, SECONDS(60)));
    dh = dh_of(t->bob);
    answers = answers_of(t->bob);
    assert_int_equal(prowler_try(t->prowler, t->bob, SESSION_INVITE, X), 0);
    assert_int_equal(dh_of(t->bob), dh);
    assert_int_equal(answers_of(t->bob), answers);
    after = contacts_print(t->bob->app->contacts);
    assert_string_equal(before, after);
    assert_int_equal(t->bob->n_calls, 0);
    mem_free(before);
    mem_free(after);
}

static void used_up(void **state)
{
    char text[INVITE_TEXT_BYTES];
    uint8_t X[KEY_BYTES];
    struct town t;

    (void)state;
    build(&t, 91);
    invite(&t, "7d", text, X);
    assert_int_equal(contacts_count(t.bob->app->contacts), 0);
    assert_true(sim_ask(t.alice, "{\"cmd\":\"contacts_add\",\"id\":\"%s\",\"name\":\"Bob\"}", text));
    vnet_run_for(t.net, SECONDS(40), NULL, NULL);
    assert_int_equal(contacts_count(t.bob->app->contacts), 1); /* it opened, once */
    opens_nothing(&t, text, X);
    /* and when its reader leaks it after she was removed again */
    assert_true(sim_ask(t.bob, "{\"cmd\":\"contacts_remove\",\"contact\":\"%s\"}", t.alice->id));
    vnet_run_for(t.net, SECONDS(20), NULL, NULL);
    opens_nothing(&t, text, X);
    tear(&t);
}

static void expired(void **state)
{
    char text[INVITE_TEXT_BYTES];
    uint8_t X[KEY_BYTES];
    struct town t;

    (void)state;
    build(&t, 92);
    invite(&t, "30m", text, X);
    vnet_run_for(t.net, SECONDS(1790), NULL, NULL);
    assert_true(sim_ask(t.carol, "{\"cmd\":\"contacts_add\",\"id\":\"%s\",\"name\":\"Bob\"}", text));
    vnet_cut(t.carol->host, true); /* she holds it and cannot use it in time */
    vnet_run_for(t.net, SECONDS(16), NULL, NULL);
    vnet_cut(t.carol->host, false);
    opens_nothing(&t, text, X);
    tear(&t);
}

/* So that silence says something: the same words are heard while it is good. */
static void heard_while_good(void **state)
{
    char text[INVITE_TEXT_BYTES];
    uint8_t X[KEY_BYTES];
    struct town t;

    (void)state;
    build(&t, 93);
    invite(&t, "30m", text, X);
    assert_true(prowler_try(t.prowler, t.bob, SESSION_INVITE, X) > 0);
    assert_int_equal(t.prowler->n_up, 1);
    assert_int_equal(contacts_count(t.bob->app->contacts), 1);
    opens_nothing(&t, text, X);
    tear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("an invite is heard while it is good, by the first who brings it", heard_while_good),
        sentence(
            "an invite that is used up, or leaked by who was removed, changes no byte and gets no answer",
            used_up),
        sentence("an invite that expired changes no byte and gets no answer", expired),
    };

    return run_sentences("invites", tests);
}
