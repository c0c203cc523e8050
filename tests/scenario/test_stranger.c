/* Promise (THREATS.md §5, "a stranger never rings, learns no presence"): the same request to somebody online, offline,
 * blocking, and to a key nobody has, is the same packets of the same sizes, and takes as long: Kolmogorov-Smirnov on 200
 * timings each, p > .01. Who stores nothing for the zone sends the stranger 0 bytes. */
#include "scenario/homes.h"

#include <math.h>

#include "app/app_priv.h"
#include "crypto/item.h"
#include "crypto/request.h"
#include "dht/dht.h"
#include "dht/krpc.h"

#define NODES   6 /* full nodes of the zone: all of them are asked for whatever key */
#define TIMINGS 200
#define FATES   4
#define CLIENT  "{\"net\": {\"client\": true}}"

enum fate { ONLINE, OFFLINE, BLOCKING, NOBODY };

static const char *const fates[FATES] = {"online", "offline", "blocking", "nobody"};

struct view { /* what the stranger's cable shows */
    unsigned n_out, n_in;
    uint64_t out_bytes, in_bytes;
    unsigned puts[KRPC_OUT_MAX]; /* drop_puts of each size */
    unsigned n_stored;           /* and nodes that said yes */
};

static struct zone_of {
    struct vnet *net;
    struct sim_phone *nodes[NODES], *callee, *stranger;
    struct view view;
    unsigned from_callee, to_callee;
    bool is_done, is_over;
} w;

static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    struct krpc_msg m;

    (void)arg, (void)now;
    if (w.is_over)
        return;
    if (host == w.callee->host) {
        w.from_callee += out && addr_equal(to, vnet_addr(w.stranger->host));
        w.to_callee += !out && addr_equal(from, vnet_addr(w.stranger->host));
    }
    if (host != w.stranger->host)
        return;
    w.view.n_out += out;
    w.view.n_in += !out;
    w.view.out_bytes += out ? bytes.len : 0;
    w.view.in_bytes += out ? 0 : bytes.len;
    if (bytes.len == 0 || bytes.data[0] != 'd' || krpc_parse(bytes, &m) != ERR_OK)
        return;
    if (out && m.type == KRPC_QUERY && m.method == KRPC_DROP_PUT)
        w.view.puts[bytes.len]++;
    w.view.n_stored += !out && m.type == KRPC_ANSWER && m.b.n.is_set && m.b.n.v == 1 && m.b.bits.is_set;
}

static struct sim_phone *add(const char *name, const char *ip_port, enum app_mode mode, const char *settings)
{
    return add_in_the_open(w.net, w.nodes[0], name, ip_port, mode, settings);
}

static void build(uint64_t seed)
{
    memset(&w, 0, sizeof w);
    w.net = new_net(seed);
    for (int i = 0; i < NODES; i++) {
        char ip_port[32];

        snprintf(ip_port, sizeof ip_port, "20.1.%d.1:4000", i);
        w.nodes[i] = add("node", ip_port, i < 2 ? APP_RELAY : APP_DAEMON, NULL);
    }
    w.callee = add("callee", "20.2.1.1:4000", APP_DAEMON, CLIENT);
    w.stranger = add("stranger", "20.3.1.1:4000", APP_DAEMON, CLIENT);
    vnet_run_for(w.net, SECONDS(60), NULL, NULL);
    vnet_tap(w.net, NULL, on_packet, NULL);
}

static void tear(void)
{
    w.is_over = true;
    sim_phone_destroy(w.stranger);
    sim_phone_destroy(w.callee);
    for (int i = NODES - 1; i >= 0; i--)
        sim_phone_destroy(w.nodes[i]);
    vnet_destroy(w.net);
}

static void set_fate(enum fate fate)
{
    vnet_cut(w.callee->host, fate == OFFLINE);
    if (fate == BLOCKING)
        assert_true(sim_ask(w.callee, "{\"cmd\":\"contacts_block\",\"contact\":\"%s\"}", w.stranger->id));
    vnet_run_for(w.net, SECONDS(fate == OFFLINE ? 600 : 60), NULL, NULL);
}

/* --- a look-up of a card that is not there, and of the drop: what a request consists of but for its work */

static bool on_value(void *arg, const struct item *item)
{
    (void)arg, (void)item;
    return true;
}

static void on_blob(void *arg, const uint8_t blob[DHT_BLOB_BYTES], const uint8_t nonce[DHT_NONCE_BYTES],
                    uint8_t bits)
{
    (void)arg, (void)blob, (void)nonce, (void)bits;
}

static void on_done(void *arg, enum err e, const struct dht_result *result)
{
    (void)arg, (void)e, (void)result;
    w.is_done = true;
}

static bool is_done(void *arg)
{
    (void)arg;
    return w.is_done;
}

static double timing_ms(const uint8_t A[static KEY_BYTES])
{
    struct dht *dht = w.stranger->app->zones[0].dht;
    int64_t t_s = env_wall_ms(vnet_env(w.stranger->host)) / 1000;
    uint8_t T[KEY_BYTES], P[KEY_BYTES], drop[DROP_ID_BYTES];
    ns_t began = vnet_now(w.net);

    assert_int_equal(identity_pair_secret(&w.stranger->keys.identity, A, T), ERR_OK);
    assert_int_equal(item_blind_public(ITEM_CARD, A, T, item_epoch(A, T, t_s), P), ERR_OK);
    drop_id(app_zone_id(w.stranger->app), A, drop_week(t_s), drop);
    w.is_done = false;
    assert_true(dht_get(dht, began, P, 0, on_value, on_done, NULL) != 0);
    vnet_run_for(w.net, SECONDS(30), is_done, NULL);
    w.is_done = false;
    assert_true(dht_drop_get(dht, vnet_now(w.net), drop, on_blob, on_done, NULL) != 0);
    vnet_run_for(w.net, SECONDS(30), is_done, NULL);
    assert_true(w.is_done);
    return (double)(vnet_now(w.net) - began) / 1e6;
}

/* --- Kolmogorov-Smirnov, two samples */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double ks_p(double *a, double *b, int n)
{
    double d = 0, lambda, p = 0;

    qsort(a, (size_t)n, sizeof *a, compare);
    qsort(b, (size_t)n, sizeof *b, compare);
    for (int i = 0, k = 0; i < n && k < n;) {
        double x = a[i] < b[k] ? a[i] : b[k];

        while (i < n && a[i] <= x)
            i++;
        while (k < n && b[k] <= x)
            k++;
        d = fmax(d, fabs((double)(i - k)) / n);
    }
    lambda = (sqrt(n / 2.0) + 0.12 + 0.11 / sqrt(n / 2.0)) * d;
    if (lambda < 0.3)
        return 1; /* the series does not converge there */
    for (int j = 1; j <= 100; j++)
        p += (j % 2 == 1 ? 2 : -2) * exp(-2.0 * j * j * lambda * lambda);
    return fmin(fmax(p, 0), 1);
}

/* A key that is nobody's. */
static void draw_key(uint8_t out[static KEY_BYTES])
{
    uint8_t seed[32];
    struct sign_key key;

    env_random(vnet_env(w.nodes[0]->host), seed, sizeof seed);
    sign_key_from_seed(seed, &key);
    memcpy(out, key.pub, KEY_BYTES);
}

static void as_long(void **state)
{
    static double ms[FATES][TIMINGS];
    struct view views[FATES];

    (void)state;
    build(86);
    for (int fate = 0; fate < FATES; fate++) {
        set_fate((enum fate)fate);
        memset(&w.view, 0, sizeof w.view);
        for (int i = 0; i < TIMINGS; i++) {
            uint8_t A[KEY_BYTES];

            draw_key(A);
            if (fate != NOBODY)
                memcpy(A, w.callee->keys.identity.pub, KEY_BYTES);
            ms[fate][i] = timing_ms(A);
        }
        views[fate] = w.view;
    }
    for (int fate = 0; fate < FATES; fate++) {
        printf("%s: %u out, %u in, %llu and %llu bytes\n", fates[fate], views[fate].n_out, views[fate].n_in,
               (unsigned long long)views[fate].out_bytes, (unsigned long long)views[fate].in_bytes);
        for (int other = 0; other < fate; other++) {
            double p = ks_p(ms[fate], ms[other], TIMINGS);

            printf("  as long as %s: p = %.3f\n", fates[other], p);
            assert_true(p > .01);
        }
    }
    assert_int_equal(w.from_callee, 0);
    tear();
}

/* The request itself, sealed and worked for by the shipped phone. */
static void as_many(void **state)
{
    static struct view views[FATES];

    (void)state;
    build(87);
    for (int fate = 0; fate < FATES; fate++) {
        char id[ID_TEXT_BYTES];
        uint8_t A[KEY_BYTES];

        set_fate((enum fate)fate);
        draw_key(A);
        id_format(fate != NOBODY ? w.callee->keys.identity.pub : A, id);
        memset(&w.view, 0, sizeof w.view);
        assert_true(
            sim_ask(w.stranger, "{\"cmd\":\"requests_send\",\"to\":\"%s\",\"note\":\"it is me\"}", id));
        vnet_run_for(w.net, SECONDS(60), NULL, NULL);
        views[fate] = w.view;
        assert_true(fate != ONLINE || w.callee->n_requests == 1);
    }
    for (int fate = 0; fate < FATES; fate++) {
        assert_true(views[fate].n_stored > 0);
        assert_int_equal(views[fate].n_stored, views[ONLINE].n_stored);
        assert_memory_equal(views[fate].puts, views[ONLINE].puts, sizeof views[fate].puts);
    }
    printf("stored by %u nodes, whatever the fate; %u packets from the callee\n", views[ONLINE].n_stored,
           w.from_callee);
    assert_int_equal(w.from_callee + w.to_callee, 0);
    assert_int_equal(w.callee->n_calls, 0);
    tear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a request takes as long to somebody online, offline, blocking, and to nobody", as_long),
        sentence("a request is the same packets to each of them, and the callee sends not one", as_many),
    };

    return run_sentences("stranger", tests);
}
