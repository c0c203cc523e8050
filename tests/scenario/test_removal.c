/* Somebody is removed: what they knew opens nothing, and nobody else has to do anything (THREATS.md §4.4).
 *
 * FRIENDS=100 in the environment for the number of the promise; fewer by default, under the sanitizers. */
#include "scenario/prowler.h"

#include "crypto/item.h"
#include "dht/dht.h"
#include "dht/krpc.h"

#define FRIENDS_MAX 100
#define KEYS        4
/* All the friends of one man at two relays: these have what it takes. */
#define CLIENT "{\"net\": {\"client\": true}}"
#define DIRECT "{\"net\": {\"client\": true, \"path\": \"direct\"}}"
#define RELAY  "{\"relay\": {\"max_kbps\": 50000}}"

struct party {
    struct vnet *net;
    struct sim_phone *boot, *relays[2], *taro, *eve, *friends[FRIENDS_MAX];
    const char *taro_says; /* his settings */
    int n;
    /* the keys of Taro's record under the S that Eve knows */
    uint8_t old_keys[KEYS][KEY_BYTES];
    unsigned old_puts;
};

static struct sim_phone *phone(struct party *p, const char *name, const char *ip_port, enum app_mode mode,
                               bool is_client)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    struct vnet_host *host = vnet_add_host(p->net, NULL, name, ip_port);
    struct sim_phone *phone = sim_phone_create(p->net, host, mode,
                                               !is_client                  ? RELAY
                                               : strcmp(name, "taro") == 0 ? p->taro_says
                                                                           : CLIENT);

    vnet_set_link(host, &link);
    if (p->boot != NULL)
        sim_bootstrap(phone, p->boot);
    return phone;
}

static void build(struct party *p, uint64_t seed, const char *taro_says, int n_friends)
{
    *p = (struct party){.net = new_net(seed), .n = n_friends, .taro_says = taro_says};
    assert_in_range(p->n, 2, FRIENDS_MAX);
    p->boot = phone(p, "boot", "198.51.100.30:4000", APP_DAEMON, false);
    p->relays[0] = phone(p, "relay", "198.51.100.20:4000", APP_RELAY, false);
    p->relays[1] = phone(p, "relay2", "203.0.113.20:4000", APP_RELAY, false);
    p->taro = phone(p, "taro", "203.0.113.50:4000", APP_DAEMON, true);
    p->eve = phone(p, "eve", "20.9.9.9:4000", APP_DAEMON, true);
    for (int i = 0; i < p->n; i++) {
        char name[24], ip_port[32];

        snprintf(name, sizeof name, "friend %d", i);
        snprintf(ip_port, sizeof ip_port, "20.0.%d.1:4000", i);
        p->friends[i] = phone(p, name, ip_port, APP_DAEMON, true);
    }
    vnet_run_for(p->net, SECONDS(20), NULL, NULL);
    sim_befriend(p->taro, "Eve", p->eve, "Taro");
    for (int i = 0; i < p->n; i++) {
        char name[24];

        snprintf(name, sizeof name, "friend %d", i);
        sim_befriend(p->taro, name, p->friends[i], "Taro");
    }
}

static void tear(struct party *p)
{
    sim_phone_destroy(p->taro);
    sim_phone_destroy(p->eve);
    for (int i = 0; i < p->n; i++)
        sim_phone_destroy(p->friends[i]);
    sim_phone_destroy(p->relays[0]);
    sim_phone_destroy(p->relays[1]);
    sim_phone_destroy(p->boot);
    vnet_destroy(p->net);
}

/* Does the phone know Taro's present S? */
static bool knows_him(struct party *p, struct sim_phone *f)
{
    const struct contact *who = contacts_by_id(f->app->contacts, p->taro->keys.identity.pub);

    return who->has_S && memcmp(who->S, p->taro->keys.S, KEY_BYTES) == 0;
}

static int n_knowing(struct party *p, int from, int to)
{
    int n = 0;

    for (int i = from; i < to; i++)
        n += knows_him(p, p->friends[i]);
    return n;
}

/* Until all of them know Taro's S, at most so long; the seconds it took. */
static unsigned wait_knowing(struct party *p, int from, int to, unsigned max_s)
{
    unsigned s = 0;

    for (; s < max_s && n_knowing(p, from, to) < to - from; s += 10)
        vnet_run_for(p->net, SECONDS(10), NULL, NULL);
    return s;
}

static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    struct party *p = arg;
    struct krpc_msg m;

    (void)now;
    (void)host;
    (void)from;
    (void)to;
    if (out || bytes.len == 0 || bytes.data[0] != 'd' || krpc_parse(bytes, &m) != ERR_OK ||
        m.type != KRPC_QUERY || m.method != KRPC_PUT || m.b.k.data == NULL)
        return;
    for (int i = 0; i < KEYS; i++)
        p->old_puts += memcmp(m.b.k.data, p->old_keys[i], KEY_BYTES) == 0;
}

static void set_old_keys(struct party *p)
{
    const struct keyring *k = &p->taro->keys;
    uint64_t e = item_epoch(k->publish.pub, k->S, env_wall_ms(vnet_env(p->taro->host)) / 1000);

    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(item_blind_public(ITEM_DEV, k->publish.pub, k->S, e + i, p->old_keys[i]), ERR_OK);
}

static unsigned call_him(struct party *p, struct sim_phone *f)
{
    unsigned before = p->taro->n_calls;

    assert_true(sim_ask(f, "{\"cmd\":\"call\",\"to\":\"Taro\"}"));
    if (reach(f, "ringing", NULL, SECONDS(30)))
        assert_true(sim_ask(f, "{\"cmd\":\"hangup\"}"));
    vnet_run_for(p->net, SECONDS(3), NULL, NULL);
    return p->taro->n_calls - before;
}

static void all_but_one(void **state)
{
    struct party p;
    const char *n = getenv("FRIENDS");
    uint8_t old_S[KEY_BYTES];
    unsigned s;
    int half;

    (void)state;
    build(&p, 61, CLIENT, n != NULL ? atoi(n) : 8);
    half = p.n / 2;
    s = wait_knowing(&p, 0, p.n, 3600);
    printf("%d friends know Taro's S after %u s\n", n_knowing(&p, 0, p.n), s);
    assert_int_equal(n_knowing(&p, 0, p.n), p.n);
    assert_true(knows_him(&p, p.eve));
    set_old_keys(&p);
    memcpy(old_S, p.taro->keys.S, KEY_BYTES);
    for (int i = half; i < p.n; i++)
        vnet_cut(p.friends[i]->host, true);
    vnet_run_for(p.net, SECONDS(120), NULL, NULL);

    assert_true(sim_ask(p.taro, "{\"cmd\":\"contacts_remove\",\"contact\":\"Eve\"}"));
    vnet_run_for(p.net, SECONDS(15), NULL, NULL);
    assert_memory_not_equal(p.taro->keys.S, old_S, KEY_BYTES);
    vnet_tap(p.net, NULL, on_packet, &p);
    vnet_run_for(p.net, SECONDS(7500), NULL, NULL); /* what lay at nodes is gone by now */
    for (int i = half; i < p.n; i++) {
        vnet_cut(p.friends[i]->host, false);
        app_network_changed(p.friends[i]->app, vnet_now(p.net));
    }
    s = wait_knowing(&p, 0, p.n, 3600);
    printf("%d friends know the new S after %u s\n", n_knowing(&p, 0, p.n), s);
    vnet_run_for(p.net, SECONDS(12), NULL,
                 NULL); /* a proxy takes four new knocks for one phone in ten seconds */
    for (int i = 0; i < p.n; i++)
        assert_int_equal(call_him(&p, p.friends[i]), 1);
    assert_int_equal(p.old_puts, 0);

    assert_true(sim_ask(p.eve, "{\"cmd\":\"call\",\"to\":\"Taro\"}"));
    assert_true(reach(p.eve, "ended", NULL, SECONDS(60)));
    printf("Eve: %s\n", p.eve->cause);
    assert_int_equal(p.taro->n_calls, p.n);
    assert_string_equal(p.eve->cause, "offline");
    tear(&p);
}

/* --- what Eve has left: S of then, her keys, and where he lives */

struct finder {
    bool is_done;
    unsigned n_found;
};

static bool on_value(void *arg, const struct item *item)
{
    (void)item;
    ((struct finder *)arg)->n_found++;
    return true;
}

static void on_done(void *arg, enum err e, const struct dht_result *result)
{
    (void)e, (void)result;
    ((struct finder *)arg)->is_done = true;
}

static bool is_found_out(void *arg)
{
    return ((struct finder *)arg)->is_done;
}

/* Items under the S she knows, looked for by a full node. */
static unsigned n_items(struct party *p)
{
    unsigned n = 0;

    for (int i = 0; i < KEYS; i++) {
        struct finder f = {0};

        assert_true(dht_get(p->boot->app->zones[0].dht, vnet_now(p->net), p->old_keys[i], 0, on_value,
                            on_done, &f) != 0);
        vnet_run_for(p->net, SECONDS(30), is_found_out, &f);
        assert_true(f.is_done);
        n += f.n_found;
    }
    return n;
}

static void her_old_secret(void **state)
{
    struct prowler *eve, *friend;
    struct sim_phone *taro;
    uint8_t old_S[KEY_BYTES];
    struct party p;
    uint64_t dh;

    (void)state;
    build(&p, 62, DIRECT, 2); /* his address is no secret: nothing but keys keeps her out */
    wait_knowing(&p, 0, p.n, 600);
    taro = p.taro;
    memcpy(old_S, taro->keys.S, KEY_BYTES);
    set_old_keys(&p);
    eve = prowler_create(p.net, "20.9.9.8:4000", &p.eve->keys);
    friend = prowler_create(p.net, "20.0.0.8:4000", &p.friends[0]->keys);
    assert_true(prowler_try(eve, taro, SESSION_CONTACT, old_S) > 0); /* it is she, and it opens */
    assert_true(n_items(&p) > 0);

    assert_true(sim_ask(taro, "{\"cmd\":\"contacts_remove\",\"contact\":\"Eve\"}"));
    vnet_run_for(p.net, SECONDS(15), NULL, NULL);
    dh = dh_of(taro);
    for (int i = 0; i < 20;
         i++) { /* her words are understood, so that friends with the old S are heard: silence */
        assert_int_equal(prowler_try(eve, taro, SESSION_CONTACT, old_S), 0);
    }
    printf("Eve with the old S, 10 tries: 0 answers, %llu DH\n", (unsigned long long)(dh_of(taro) - dh));
    assert_true(prowler_try(friend, taro, SESSION_CONTACT, old_S) > 0);
    vnet_run_for(p.net, SECONDS(7500), NULL, NULL); /* what lay at nodes is gone by now */
    assert_int_equal(n_items(&p), 0);

    vnet_set_wall_offset(taro->host, 31 * 86400000ll); /* the old S is kept for thirty days */
    vnet_run_for(p.net, SECONDS(1300), NULL, NULL);
    assert_true(secret_is_zero(taro->keys.old_S, KEY_BYTES));
    dh = dh_of(taro);
    assert_int_equal(prowler_try(eve, taro, SESSION_CONTACT, old_S), 0);
    assert_int_equal(prowler_try(eve, taro, SESSION_INVITE, old_S), 0);
    assert_int_equal(dh_of(taro), dh);
    prowler_destroy(eve);
    prowler_destroy(friend);
    tear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence(
            "one is removed, half of the others away: her secret finds nothing, and all others call again "
            "without a hand",
            all_but_one),
        sentence("who was removed finds 0 items by the secret of then, gets 0 answers, and costs 0 DH after "
                 "thirty "
                 "days",
                 her_old_secret),
    };

    return run_sentences("removal", tests);
}
