/* Promises (THREATS.md §5, "stranger flood is cheap", and "a node under 50k garbage packets a second from one address
 * still answers others and grows by 0 bytes"): a million datagrams through the real input path, with a call and look-ups
 * of others in between. */
#include "scenario/prowler.h"

#include <malloc.h>

#include "dht/krpc.h"

#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void); /* <sanitizer/allocator_interface.h> */
#define DATAGRAMS 150000
#define FIRSTS    20000
#else
#define DATAGRAMS 1000000
#define FIRSTS    100000
#endif
#define PER_MS      50
#define NOISE_BYTES 16384 /* five phones go about their business */

static size_t heap_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

/* One of each kind that somebody without keys can make; the bytes that can be anything change each time. */
static struct slice garbage(const struct env *env, const struct sim_phone *to, unsigned i,
                            uint8_t buf[static KRPC_OUT_MAX])
{
    static const uint8_t firsts[] = {'d',
                                     HANDSHAKE_MSG1,
                                     HANDSHAKE_MSG2,
                                     HANDSHAKE_COOKIE,
                                     HANDSHAKE_DATA,
                                     0xc8,
                                     0xc9,
                                     0x00,
                                     0x01,
                                     0x40,
                                     0x80,
                                     0xff};
    static const uint16_t sizes[] = {488, 156, 64, 100, 1200, 20, 16, 900};
    struct krpc_msg m = {.type = KRPC_QUERY, .t = slice_str("tt")};
    size_t len = sizes[i / 3 % 8];

    if (i % 4 == 0) { /* queries of a node that proves neither its key nor its address */
        static const uint8_t zeros[64];

        m.method = (enum krpc_method)(KRPC_PING + i / 4 % (KRPC_METHODS - KRPC_PING));
        m.b.id = slice_of(zeros, 20);
        m.b.target = slice_of(to->keys.identity.pub, m.method != KRPC_PING ? 20 : 0);
        m.z = slice_of(app_zone_id(to->app), 8);
        m.k = slice_of(to->keys.identity.pub, KEY_BYTES);
        m.p = slice_of(zeros, 8);
        m.ts = (struct krpc_int){.v = env_wall_ms(env), .is_set = true};
        m.sig = slice_of(zeros, 64);
        return krpc_write(&m, buf, KRPC_OUT_MAX);
    }
    env_random(env, buf, len < 64 ? len : 64);
    memset(buf + (len < 64 ? len : 64), (int)i, len > 64 ? len - 64 : 0);
    buf[0] = firsts[i % sizeof firsts];
    if (buf[0] == HANDSHAKE_MSG1 && len == 488)
        memset(buf + 1, 0, 3);
    if (buf[0] < 2) { /* STUN: Binding, Allocate, Refresh and others, well formed */
        static const uint8_t methods[] = {1, 3, 4, 8, 9};

        memcpy(buf, (uint8_t[]){0, methods[i / 5 % 5], 0, 0, 0x21, 0x12, 0xa4, 0x42}, 8);
        len = 20;
    }
    return slice_of(buf, len);
}

static const struct addr flooder = {.family = ADDR_V4, .ip = {20, 66, 6, 6}, .port = 6666};

/* What all hosts sent to an address from which everything may be spoofed. */
static uint64_t bytes_in, bytes_out;

static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    (void)arg, (void)now, (void)host, (void)from;
    bytes_out += out && addr_equal(to, &flooder) ? bytes.len : 0;
}

struct finder {
    unsigned n_done, n_ok;
    bool is_open;
};

static void on_found(void *arg, const struct dht_node *nodes, size_t n, const struct dht_result *result)
{
    struct finder *f = arg;

    (void)nodes, (void)n;
    f->is_open = false;
    f->n_done++;
    f->n_ok += result->n_nodes > 0;
}

/* At the first node, by one address; the third one looks up things at it meanwhile. */
static void flood(struct homes *h, const struct env *env, unsigned n, struct finder *finder)
{
    uint8_t buf[KRPC_OUT_MAX];

    for (unsigned i = 0; i < n; i++) {
        struct slice bytes = garbage(env, h->boot, i, buf);

        bytes_in += bytes.len;
        app_input(h->boot->app, vnet_now(h->net), &flooder, bytes);
        if (i % PER_MS == 0)
            vnet_run_for(h->net, NS_PER_MS, NULL, NULL);
        if (!finder->is_open && i % 5000 == 0)
            finder->is_open = dht_find(h->third->app->zones[0].dht, vnet_now(h->net),
                                       dht_id(h->boot->app->zones[0].dht), on_found, finder) != 0;
    }
}

static void one_address(void **state)
{
    struct finder finder = {0};
    struct homes h = {0};
    size_t before, after;
    const struct env *env;

    (void)state;
    build_friends(&h, 84, VNET_EI);
    env = vnet_env(h.boot->host);
    bytes_in = bytes_out = 0;
    vnet_tap(h.net, NULL, on_packet, NULL);
    flood(&h, env, DATAGRAMS / 10, &finder); /* whatever there is to fill is full by now */
    wait_for(&h, 30);
    before = heap_bytes();
    flood(&h, env, DATAGRAMS - DATAGRAMS / 10, &finder);
    wait_for(&h, 30);
    after = heap_bytes();
    printf("%d datagrams: heap %zu before the last nine of ten, %zu after; %u of %u look-ups answered\n",
           DATAGRAMS, before, after, finder.n_ok, finder.n_done);
    printf("%llu bytes in, %llu out to that address\n", (unsigned long long)bytes_in,
           (unsigned long long)bytes_out);
    assert_true(bytes_out <= bytes_in);
    assert_true(after <= before + NOISE_BYTES);
    assert_true(finder.n_done > 0 && finder.n_ok == finder.n_done);
    tear_down(&h);
}

/* First messages of people who have neither S nor an invite: by the shipped session layer to make them, and then over
 * and over with other bytes where only they are looked at. */
static void without_a_secret(void **state)
{
    static const enum session_class classes[] = {SESSION_CONTACT, SESSION_INVITE, SESSION_NODE};
    const struct addr from = addr_v4((uint8_t[]){20, 66, 6, 6}, 6666);
    struct homes h = {.settings = "{\"net\": {\"client\": true}}"};
    const struct sessions_stats *stats;
    struct prowler *stranger;
    uint8_t msg1[HANDSHAKE_MSG1_BYTES] = {HANDSHAKE_MSG1}, secret[KEY_BYTES] = {3};
    uint64_t answers, dh, heard;
    ns_t began;

    (void)state;
    build_friends(&h, 85, VNET_EI);
    stranger = prowler_create(h.net, "20.66.6.6:4000", NULL);
    stats = sessions_stats(h.bob->app->sessions);
    answers = stats->answers;
    dh = stats->dh;
    heard = stats->msg1_in;
    for (unsigned i = 0; i < FIRSTS; i++) {
        env_random(vnet_env(h.boot->host), msg1 + 4, 64); /* in all of it: what is not looked at may stay */
        app_input(h.bob->app, vnet_now(h.net), &from, slice_of(msg1, sizeof msg1));
        if (i % 100 == 0)
            vnet_run_for(h.net, 2 * NS_PER_MS, NULL, NULL);
    }
    for (int i = 0; i < 3; i++) {
        struct session_peer peer = {.class = classes[i]};
        struct path via = path_udp(vnet_addr(h.bob->host));
        struct session *s;

        memcpy(peer.responder, h.bob->keys.identity.pub, KEY_BYTES);
        memcpy(peer.responder_static, h.bob->keys.device.pub, KEY_BYTES);
        memcpy(peer.secret, secret, KEY_BYTES);
        if (classes[i] == SESSION_NODE)
            memcpy(peer.responder, app_node_key(h.bob->app), KEY_BYTES);
        if (classes[i] == SESSION_NODE)
            assert_int_equal(
                sessions_open_account(stranger->sessions, vnet_now(h.net), &peer, secret, &via, 1, &s),
                ERR_OK);
        else
            assert_int_equal(sessions_open(stranger->sessions, vnet_now(h.net), &peer, &via, 1, &s), ERR_OK);
    }
    began = vnet_now(h.net);
    assert_true(sim_ask(h.alice, "{\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_int_equal(stats->msg1_in - heard, FIRSTS);
    assert_int_equal(stats->answers - answers, 0);
    assert_int_equal(stats->dh - dh, 0);
    assert_true(reach(h.alice, "ringing", NULL, SECONDS(3)));
    printf("%d first messages without S: 0 answers, 0 DH; a call rings after %llu ms\n", FIRSTS,
           (unsigned long long)((vnet_now(h.net) - began) / NS_PER_MS));
    assert_int_equal(stranger->n_answers, 0);
    prowler_destroy(stranger);
    tear_down(&h);
}

/* One datagram of every kind at a node and at a relay, from an address that proved nothing: no answer is larger. */
static void no_amplification(void **state)
{
    struct homes h = {0};
    unsigned n_answers = 0;

    (void)state;
    build_homes(&h, 86, VNET_EI, true);
    vnet_tap(h.net, NULL, on_packet, NULL);
    for (unsigned i = 0; i < 4000; i++) {
        struct sim_phone *p = i % 2 == 0 ? h.boot : h.relay;
        uint8_t buf[KRPC_OUT_MAX];
        struct slice bytes = garbage(vnet_env(p->host), p, i / 2, buf);

        bytes_out = 0;
        app_input(p->app, vnet_now(h.net), &flooder, bytes);
        vnet_run_for(h.net, 20 * NS_PER_MS, NULL, NULL);
        n_answers += bytes_out > 0;
        if (bytes_out > bytes.len)
            fail_msg("%zu bytes that begin with %02x %02x brought %llu", bytes.len, bytes.data[0],
                     bytes.data[1], (unsigned long long)bytes_out);
    }
    vnet_run_for(h.net, SECONDS(20), NULL, NULL);
    printf("4000 datagrams of all kinds, %u answers, none larger than what it answers\n", n_answers);
    assert_true(n_answers > 0);
    assert_true(bytes_out <= KRPC_OUT_MAX);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("no kind of packet from an address that proved nothing brings more bytes than it has",
                 no_amplification),
        sentence("a node that one address floods answers the others and grows by nothing", one_address),
        sentence(
            "first messages of strangers: no answer, no DH, and a friend's call rings within three seconds",
            without_a_secret),
    };

    return run_sentences("flood", tests);
}
