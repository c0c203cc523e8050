/* Where records lie, who put them there, who looks them up (THREATS.md §4.3). */
#include <unistd.h>

#include "scenario/homes.h"

#include "crypto/item.h"
#include "crypto/zone.h"
#include "dht/dht.h"
#include "dht/krpc.h"

#define KEYS_MAX 64
/* These two do nothing for others, so what comes from their addresses is their own. */
#define CLIENT "{\"net\": {\"client\": true}, \"audio\": {\"echo_cancel\": false, \"noise_suppress\": false}}"

/* The keys of one phone's items, and what was seen of them on the wire. */
struct watch {
    uint8_t keys[KEYS_MAX][KEY_BYTES], targets[KEYS_MAX][DHT_ID_BYTES];
    size_t n_keys, n_dev; /* the first n_dev are of the `dev` record */
    const char *owner_ip, *seeker_ip;
    uint8_t drop[DROP_ID_BYTES]; /* where requests to the owner lie */
    unsigned puts, owner_puts, dev_puts, gets, seeker_gets, drop_reads, owner_reads;
    ns_t last_dev_put;
};

static void add_key(struct watch *w, enum item_kind kind, const uint8_t P[static 32],
                    const uint8_t X[static 32], uint64_t epoch)
{
    assert_true(w->n_keys < KEYS_MAX);
    assert_int_equal(item_blind_public(kind, P, X, epoch, w->keys[w->n_keys]), ERR_OK);
    dht_target(w->keys[w->n_keys], w->targets[w->n_keys]);
    w->n_keys++;
}

/* All keys `owner` may put under these days: its record, and its card for `friend`. */
static void add_keys(struct watch *w, struct sim_phone *owner, struct sim_phone *friend)
{
    const struct keyring *k = &owner->keys;
    int64_t t_s = env_wall_ms(vnet_env(owner->host)) / 1000;
    uint64_t e = item_epoch(k->publish.pub, k->S, t_s);
    uint8_t T[32];

    for (uint64_t i = 0; i < 3; i++)
        add_key(w, ITEM_DEV, k->publish.pub, k->S, e - 1 + i);
    w->n_dev = w->n_keys;
    assert_int_equal(identity_pair_secret(&k->identity, friend->keys.identity.pub, T), ERR_OK);
    e = item_epoch(k->identity.pub, T, t_s);
    for (uint64_t i = 0; i < 10; i++)
        add_key(w, ITEM_CARD, k->identity.pub, T, e - 1 + i);
}

static bool is_ip(const struct addr *a, const char *ip)
{
    char text[ADDR_TEXT_BYTES];

    addr_print(a, text);
    return strncmp(text, ip, strlen(ip)) == 0 && text[strlen(ip)] == ':';
}

/* What each node receives, from whom. */
static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    struct watch *w = arg;
    struct krpc_msg m;

    (void)host;
    (void)to;
    if (out || bytes.len == 0 || bytes.data[0] != 'd' || krpc_parse(bytes, &m) != ERR_OK ||
        m.type != KRPC_QUERY)
        return;
    if ((m.method == KRPC_DROP_GET || m.method == KRPC_OBSERVE) && m.b.target.data != NULL &&
        memcmp(m.b.target.data, w->drop, DROP_ID_BYTES) == 0) {
        w->drop_reads++;
        w->owner_reads += is_ip(from, w->owner_ip);
    }
    for (size_t i = 0; i < w->n_keys; i++) {
        if (m.method == KRPC_PUT && m.b.k.data != NULL && memcmp(m.b.k.data, w->keys[i], 32) == 0) {
            w->puts++;
            w->dev_puts += i < w->n_dev;
            w->owner_puts += is_ip(from, w->owner_ip);
            if (i < w->n_dev)
                w->last_dev_put = now;
        }
        if (m.method == KRPC_GET && m.b.target.data != NULL &&
            memcmp(m.b.target.data, w->targets[i], DHT_ID_BYTES) == 0) {
            w->gets++;
            w->seeker_gets += is_ip(from, w->seeker_ip);
        }
    }
}

static struct watch *const watch = &(struct watch){.owner_ip = "203.0.113.2", .seeker_ip = "203.0.113.1"};

static void watch_bob(struct homes *h)
{
    add_keys(watch, h->bob, h->alice);
    drop_id(app_zone_id(h->bob->app), h->bob->keys.identity.pub,
            drop_week(env_wall_ms(vnet_env(h->bob->host)) / 1000), watch->drop);
    vnet_tap(h->net, NULL, on_packet, watch);
}

/* bob's items come from others, alice's look-ups go by others, and his record outlives his cable. */
static void by_others(void **state)
{
    struct homes h = {.settings = CLIENT, .made = watch_bob};
    struct watch *w = watch;

    (void)state;
    build_homes(&h, 51, VNET_EI, true);
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 40);
    talk(&h);
    assert_true(sim_ask(h.alice, "{\"cmd\":\"hangup\"}"));
    wait_for(&h, 5);
    printf("bob's items: %u puts of which %u of the record, %u by bob; looked up %u times, %u by alice\n",
           w->puts, w->dev_puts, w->owner_puts, w->gets, w->seeker_gets);
    assert_true(w->dev_puts > 0);
    assert_true(w->puts > w->dev_puts);
    assert_int_equal(w->owner_puts, 0);
    assert_true(w->gets > 0);
    assert_int_equal(w->seeker_gets, 0);

    assert_true(
        sim_ask(h.third, "{\"cmd\":\"requests_send\",\"to\":\"%s\",\"note\":\"it is me\"}", h.bob->id));
    wait_for(&h, 30);
    assert_int_equal(h.bob->n_requests, 1);
    printf("his drop: %u readings and observations, %u by bob\n", w->drop_reads, w->owner_reads);
    assert_true(w->drop_reads > 0);
    assert_int_equal(w->owner_reads, 0);

    vnet_cut(h.bob->host, true);
    w->gets = 0;
    wait_for(&h, 3600);
    assert_true(w->last_dev_put + SECONDS(3600) > vnet_now(h.net));
    assert_true(sim_ask(h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h.alice, "connecting", NULL, SECONDS(5))); /* so there is a record */
    assert_true(reach(h.alice, "ended", NULL, SECONDS(30)));
    assert_string_equal(h.alice->cause, "offline");
    wait_for(&h, 3600 + 1800);
    w->dev_puts = 0;
    wait_for(&h, 3600);
    assert_int_equal(w->dev_puts, 0); /* two hours, and no more */
    assert_int_equal(w->owner_puts, 0);
    assert_int_equal(w->seeker_gets, 0);
    tear_down(&h);
}

static char care_paths[3][64];

static void keep_on_disk(struct homes *h)
{
    struct sim_phone *nodes[] = {h->relay, h->boot, h->third};

    for (int i = 0; i < 3; i++) {
        snprintf(care_paths[i], sizeof care_paths[i], "/tmp/ito-care-%d-%d", (int)getpid(), i);
        nodes[i]->care_path = care_paths[i];
        sim_phone_restart(nodes[i]);
    }
}

static void start_again(struct homes *h, bool forgets)
{
    struct sim_phone *nodes[] = {h->relay, h->boot, h->third};

    for (int i = 0; i < 3; i++) {
        if (forgets)
            nodes[i]->care_path = NULL;
        vnet_run_for(h->net, SECONDS(30), NULL, NULL);
        sim_phone_restart(nodes[i]);
        sim_bootstrap(nodes[i], nodes[(i + 1) % 3]);
    }
}

/* Bob puts alice on his list and goes; every other node starts again; four hours later, when no node that stores it has it any more, she comes, and finds his card: he is
 * away, and not one who does not know her. */
static const char *hours_later(bool forgets)
{
    struct homes h = {.made = keep_on_disk};
    static char cause[24];

    build_homes(&h, 81, VNET_APD, true);
    vnet_cut(h.alice->host, true);
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 60);
    vnet_cut(h.bob->host, true);
    wait_for(&h, 60);
    start_again(&h, forgets);
    wait_for(&h, 3 * 3600);
    if (!forgets)
        start_again(&h, false); /* once more: what was read is written again */
    wait_for(&h, 3600);
    vnet_cut(h.alice->host, false);
    app_network_changed(h.alice->app, vnet_now(h.net));
    wait_for(&h, 120);
    sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}");
    assert_true(reach(h.alice, "ended", NULL, SECONDS(30)));
    snprintf(cause, sizeof cause, "%s", h.alice->cause);
    for (int i = 0; i < 3; i++)
        unlink(care_paths[i]);
    tear_down(&h);
    return cause;
}

static void over_restarts(void **state)
{
    (void)state;
    assert_string_equal(hours_later(false), "offline");
    assert_string_equal(hours_later(true), "not_allowed"); /* nobody else had it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence(
            "no storing node sees the address of who owns, seeks or reads, and it is found an hour after "
            "its owner's cable was pulled",
            by_others),
        sentence("a card of one who is away outlives the restart of all who keep it", over_restarts),
    };

    return run_sentences("records", tests);
}
