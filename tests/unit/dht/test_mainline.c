/* The mainline profile among its own kind, and against nodes that behave as others were seen to. */
#include "bed.h"

#include "dht/bep42.h"
#include "dht/dht_node.h"

static void start(struct bed *b, uint32_t n, uint32_t n_clients, uint64_t seed)
{
    bed_init(b, n, seed);
    for (uint32_t i = 0; i < n; i++) {
        b->nodes[i].config.profile = DHT_MAINLINE;
        b->nodes[i].config.is_client = i >= n - n_clients;
    }
    bed_join_all(b, NS_PER_S);
}

struct got {
    unsigned n;
    bool is_mutable;
    int64_t seq;
    size_t len;
    uint8_t v[1000];
};

static bool on_raw(void *arg, const struct dht_value *v)
{
    struct got *g = arg;

    g->n++;
    g->is_mutable = v->is_mutable;
    g->seq = v->seq;
    g->len = v->v.len;
    memcpy(g->v, v->v.data, v->v.len);
    return true;
}

static void make_value(uint32_t number, int64_t seq, struct slice salt, const char *v, struct dht_value *out)
{
    *out = (struct dht_value){.is_mutable = true, .seq = seq, .salt = salt, .v = slice_str(v)};
    hash_once(32, "key", 3, slice_of(&number, sizeof number), out->k);
    bed_item_mark(out->k, salt, seq, out->v, out->sig);
}

static struct bed_result put_raw(struct bed *b, uint32_t i, const struct dht_value *v, const int64_t *cas)
{
    struct bed_result r = {0};

    assert_true(dht_put_raw(b->nodes[i].dht, b->now, v, cas, bed_on_done, &r) != 0);
    bed_end_turn(b, &b->nodes[i]);
    assert_true(bed_run_until(b, &r.is_done, 120 * NS_PER_S));
    return r;
}

/* As bed_on_done(), with two results. */
struct both {
    struct got g;
    struct bed_result r;
};

static bool on_both_raw(void *arg, const struct dht_value *v)
{
    return on_raw(&((struct both *)arg)->g, v);
}

static void on_both_done(void *arg, enum err e, const struct dht_result *result)
{
    bed_on_done(&((struct both *)arg)->r, e, result);
}

static struct both look(struct bed *b, uint32_t i, const struct dht_value *v, bool by_key)
{
    struct both both = {0};
    uint8_t target[20];

    assert_int_equal(dht_raw_target(v, target), ERR_OK);
    assert_true(dht_get_raw(b->nodes[i].dht, b->now, target, by_key ? v->k : NULL, v->salt, 0, on_both_raw,
                            on_both_done, &both) != 0);
    bed_end_turn(b, &b->nodes[i]);
    assert_true(bed_run_until(b, &both.r.is_done, 120 * NS_PER_S));
    return both;
}

static void values(void **state)
{
    struct dht_value v, immutable = {.v = slice_str("d1:ai1e1:bl1:xee")};
    struct both g;
    struct bed b;
    (void)state;

    start(&b, 30, 2, 41);
    assert_true(put_raw(&b, 28, &immutable, NULL).r.n_acks >= 20);
    g = look(&b, 29, &immutable, false);
    assert_int_equal(g.r.e, ERR_OK);
    assert_false(g.g.is_mutable);
    assert_int_equal(g.g.len, 16);
    assert_memory_equal(g.g.v, immutable.v.data, 16);
    make_value(1, 7, slice_str("foobar"), "l1:x2:yye", &v);
    assert_true(put_raw(&b, 28, &v, NULL).r.n_acks >= 20);
    for (unsigned by_key = 0; by_key < 2; by_key++) {
        g = look(&b, 29, &v, by_key != 0);
        assert_int_equal(g.r.e, ERR_OK);
        assert_int_equal(g.g.seq, 7);
        assert_memory_equal(g.g.v, "l1:x2:yye", 9);
    }
    v.salt = (struct slice){0};
    assert_int_equal(look(&b, 29, &v, true).r.e, ERR_NOT_FOUND);
    bed_fini(&b);
}

/* A node that holds a later seq, one that holds what cas does not name: both are told apart from silence. */
static void conflicts(void **state)
{
    struct dht_value v1, v2, other;
    struct bed_result r;
    int64_t cas = 1;
    struct bed b;
    (void)state;

    start(&b, 12, 2, 42);
    make_value(1, 1, (struct slice){0}, "1:a", &v1);
    make_value(1, 2, (struct slice){0}, "1:b", &v2);
    make_value(1, 1, (struct slice){0}, "1:c", &other);
    assert_int_equal(put_raw(&b, 10, &v1, NULL).r.n_acks, 10);
    assert_int_equal(put_raw(&b, 10, &v1, NULL).r.n_acks, 10); /* refreshed */
    r = put_raw(&b, 11, &other, NULL); /* the same seq, another value: only reading back tells */
    assert_int_equal(r.r.n_acks, 10);
    assert_int_equal(r.r.n_inferred, 10);
    assert_memory_equal(look(&b, 11, &other, true).g.v, "1:a", 3);
    for (unsigned i = 0; i < 4; i++)
        bed_kill(&b, i);
    assert_int_equal(put_raw(&b, 10, &v2, &cas).r.n_acks, 6);
    for (unsigned i = 0; i < 4; i++)
        b.nodes[i].is_dead = false;
    make_value(1, 3, (struct slice){0}, "1:d", &other);
    r = put_raw(&b, 11, &other, &cas); /* four still hold seq 1 */
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.r.n_acks, 4);
    assert_int_equal(r.r.n_cas, 6);
    assert_int_equal(r.r.last_error, KRPC_E_CAS);
    r = put_raw(&b, 10, &v1, NULL);
    assert_int_equal(r.e, ERR_REFUSED);
    assert_int_equal(r.r.n_stale, 10);
    bed_fini(&b);
}

static unsigned n_told;

static void on_told(void *arg, const struct addr *peer)
{
    (void)arg;
    n_told++;
    assert_true(peer->port == 6881 || peer->port == 4000);
}

static void announce(void **state)
{
    uint8_t hash[20] = {0x5a, 1, 2};
    struct bed_result r = {0};
    struct dht_stats s;
    struct bed b;
    (void)state;

    start(&b, 30, 3, 43);
    dht_announce(b.nodes[28].dht, b.now, hash, 6881, bed_on_done, &r);
    bed_end_turn(&b, &b.nodes[28]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    assert_true(r.r.n_acks >= 20);
    r = (struct bed_result){0};
    dht_announce(b.nodes[27].dht, b.now, hash, 0, bed_on_done, &r);
    bed_end_turn(&b, &b.nodes[27]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    r = (struct bed_result){0};
    n_told = 0;
    dht_peers(b.nodes[29].dht, b.now, hash, on_told, bed_on_done, &r);
    bed_end_turn(&b, &b.nodes[29]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    assert_int_equal(n_told, 2);
    dht_stats(b.nodes[3].dht, &s);
    assert_true(s.announced <= 2);
    r = (struct bed_result){0};
    hash[19] = 1;
    dht_peers(b.nodes[29].dht, b.now, hash, on_told, bed_on_done, &r);
    bed_end_turn(&b, &b.nodes[29]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    assert_int_equal(r.e, ERR_NOT_FOUND);
    bed_fini(&b);
}

/* Every packet of one sender, by when and where to. */
static struct {
    struct addr from;
    unsigned n;
    struct {
        ns_t at;
        struct addr to;
    } p[20000];
} sent;

static void note_sent(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    (void)bytes;
    if (!addr_equal(from, &sent.from))
        return;
    assert_true(sent.n < sizeof sent.p / sizeof *sent.p);
    sent.p[sent.n].at = b->now;
    sent.p[sent.n++].to = *to;
}

static unsigned densest(ns_t span, bool by_ip)
{
    unsigned most = 0;

    for (unsigned i = 0; i < sent.n; i++) {
        unsigned count = 0;

        for (unsigned j = i; j < sent.n && sent.p[j].at - sent.p[i].at < span; j++)
            count += by_ip ? addr_equal_ip(&sent.p[j].to, &sent.p[i].to)
                           : addr_equal(&sent.p[j].to, &sent.p[i].to);
        most = count > most ? count : most;
    }
    return most;
}

/* Thirty puts at once to a network so small that all of them go to the same nodes. */
static void patience(void **state)
{
    struct bed_result r[30] = {{0}};
    struct dht_stats s;
    struct bed b;
    (void)state;

    start(&b, 11, 1, 44);
    sent.from = b.nodes[10].addr;
    sent.n = 0;
    b.tap = note_sent;
    for (unsigned i = 0; i < 30; i++) {
        struct dht_value v;

        make_value(i, 1, (struct slice){0}, "1:a", &v);
        assert_true(dht_put_raw(b.nodes[10].dht, b.now, &v, NULL, bed_on_done, &r[i]) != 0);
    }
    bed_end_turn(&b, &b.nodes[10]);
    bed_run(&b, 90 * NS_PER_S);
    for (unsigned i = 0; i < 30; i++)
        assert_true(r[i].is_done);
    dht_stats(b.nodes[10].dht, &s);
    print_message("30 puts to 10 nodes: %u packets, %u in a second to one, %u in ten, %llu paced\n", sent.n,
                  densest(NS_PER_S, false), densest(10 * NS_PER_S, true), (unsigned long long)s.paced);
    assert_true(densest(NS_PER_S, false) <= PACE_NODE_PER_S);
    assert_true(densest(10 * NS_PER_S, true) < 50);
    assert_true(s.paced > 0);
    bed_fini(&b);
}

/* A quarter of the network died unnoticed: whoever is silent is passed by. */
static void not_waiting(void **state)
{
    struct bed b;
    unsigned worst = 0;
    (void)state;

    bed_init(&b, 56, 101);
    b.rtt = 100 * NS_PER_MS;
    for (uint32_t i = 0; i < b.n; i++) {
        b.nodes[i].config.profile = DHT_MAINLINE;
        b.nodes[i].config.is_client = i == 55;
    }
    bed_join_all(&b, NS_PER_S);
    for (unsigned i = 0; i < 13; i++)
        bed_kill(&b, 4 * i + 1);
    for (unsigned i = 0; i < 8; i++) {
        struct bed_result r;

        bed_run(&b, 3 * NS_PER_S);
        r = bed_put(&b, 55, i, 1, 100);
        assert_true(r.r.n_acks >= 20);
        worst = r.r.took_ns > worst * b.rtt / 100 ? (unsigned)(r.r.took_ns * 100 / b.rtt) : worst;
        assert_int_equal(bed_get(&b, 55, i).e, ERR_OK);
    }
    print_message("put with 13 of 56 nodes dead: at most %u.%02u RTT\n", worst / 100, worst % 100);
    assert_true(worst <= 800);
    bed_fini(&b);
}

/* Nodes that take writes in silence, as bittorrent-dht takes a wrong signature: their puts are refusals. */
static void silence(void **state)
{
    struct bed_result r;
    struct dht_value v;
    struct bed b;
    (void)state;

    start(&b, 6, 1, 45);
    make_value(1, 1, (struct slice){0}, "1:a", &v);
    v.sig[0] ^= 1;
    r = put_raw(&b, 5, &v, NULL);
    assert_int_equal(r.e, ERR_REFUSED);
    assert_int_equal(r.r.last_error, KRPC_E_SIGNATURE);
    assert_int_equal(r.r.n_refused, 5);
    bed_fini(&b);
}

/* A script in the place of a node: answers as libtorrent or bittorrent-dht would. */
static struct {
    struct addr addr;
    struct dht_value v;
    bool is_silent_at_put;
    unsigned n_puts;
    int put_error;
} script;

static void play(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct krpc_msg m, r = {.type = KRPC_ANSWER};
    uint8_t buf[1400];

    if (!addr_equal(to, &script.addr) || krpc_parse(bytes, &m) != ERR_OK || m.type != KRPC_QUERY)
        return;
    r.t = m.t;
    r.b.id = slice_str("mnopqrstuvwxyz123456");
    r.b.nodes = slice_of("", 0);
    if (m.method == KRPC_GET) { /* a hit, and no nodes; seq in the query means nothing */
        r.b.token = slice_str("tok");
        r.b.nodes = (struct slice){0};
        if (script.v.v.len > 0) {
            r.b.k = slice_of(script.v.k, 32);
            r.b.sig = slice_of(script.v.sig, 64);
            r.b.seq = (struct krpc_int){.v = script.v.seq, .is_set = true};
            r.b.v = script.v.v;
        }
    }
    if (m.method == KRPC_PUT) {
        script.n_puts++;
        if (script.is_silent_at_put)
            return;
        if (script.put_error != 0) {
            r = (struct krpc_msg){
                .type = KRPC_ERROR, .t = m.t, .code = script.put_error, .text = slice_str("no")};
        }
    }
    bed_put_packet(b, &script.addr, from, krpc_write(&r, buf, sizeof buf));
}

static void foreign(void **state)
{
    struct dht_value other;
    struct bed_result r;
    struct both g;
    struct bed b;
    (void)state;

    memset(&script, 0, sizeof script);
    script.addr = addr_v4((uint8_t[]){45, 200, 7, 7}, 6881);
    bed_init(&b, 1, 46);
    b.nodes[0].config.profile = DHT_MAINLINE;
    b.nodes[0].config.is_client = true;
    b.tap = play;
    bed_start(&b, 0);
    dht_add_address(b.nodes[0].dht, b.now, &script.addr);
    bed_end_turn(&b, &b.nodes[0]);
    bed_run(&b, 5 * NS_PER_S);
    make_value(1, 5, (struct slice){0}, "1:a", &script.v);
    g = look(&b, 0, &script.v, true);
    assert_int_equal(g.r.e, ERR_OK);
    script.put_error = KRPC_E_SEQ; /* at our own seq: it is there */
    r = put_raw(&b, 0, &script.v, NULL);
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.r.n_acks, 1);
    make_value(1, 5, (struct slice){0}, "1:b", &other); /* at the same seq, but not ours */
    r = put_raw(&b, 0, &other, NULL);
    assert_int_equal(r.e, ERR_REFUSED);
    assert_int_equal(r.r.n_stale, 1);
    bed_run(&b, 3 * NS_PER_S); /* else it had heard enough of us for a while */
    script.is_silent_at_put = true;
    make_value(1, 6, (struct slice){0}, "1:b", &other);
    script.n_puts = 0;
    r = put_raw(&b, 0, &other, NULL);
    assert_int_equal(script.n_puts, 1);
    assert_int_equal(r.e, ERR_REFUSED);
    assert_int_equal(r.r.n_refused, 1);
    assert_true(r.r.took_ns < NS_PER_S);
    bed_fini(&b);
}

/* BEP 42: once two networks said where we are, our id is one for that address, and we are still found. */
static void ids(void **state)
{
    struct bed b;
    (void)state;

    start(&b, 12, 2, 47);
    for (uint32_t i = 0; i < b.n; i++)
        assert_true(bep42_ok(&b.nodes[i].addr, dht_id(b.nodes[i].dht)));
    assert_int_equal(bed_put(&b, 10, 1, 1, 100).r.n_acks, 10);
    assert_int_equal(bed_get(&b, 11, 1).e, ERR_OK);
    bed_fini(&b);
}

/* Two instances of one process: what IPv4 nodes know of IPv6 leads the other instance in, asked by `want`. */
static void families(void **state)
{
    struct krpc_msg m;
    struct dht_stats s;
    struct slice want;
    struct bed b;
    (void)state;

    bed_init(&b, 10, 48);
    for (uint32_t i = 0; i < 10; i++) {
        b.nodes[i].config.profile = DHT_MAINLINE;
        b.nodes[i].config.families = i % 2 == 0 ? DHT_V6 : DHT_V4;
        if (i % 2 == 0)
            b.nodes[i].addr = addr_v6((uint8_t[16]){0x2a, 0, (uint8_t)i, 1}, 4000);
    }
    for (uint32_t i = 0; i < 10; i++) {
        bed_start(&b, i);
        if (i % 2 == 1)
            dht_join_families(b.nodes[i].dht, b.nodes[i - 1].dht);
        if (i > 1)
            bed_introduce(&b, i, i % 2);
        if (i == 8)
            dht_destroy(b.nodes[8].dht), b.nodes[8].dht = NULL, bed_start(&b, 8); /* it knows nobody */
        bed_run(&b, NS_PER_S);
    }
    dht_join_families(b.nodes[9].dht, b.nodes[8].dht);
    bed_run(&b, 10 * NS_PER_S);
    dht_network_changed(b.nodes[9].dht, b.now); /* asks around again */
    bed_end_turn(&b, &b.nodes[9]);
    bed_run(&b, 30 * NS_PER_S);
    dht_stats(b.nodes[8].dht, &s);
    assert_true(s.peers >= 3);
    want = dht_want(b.nodes[9].dht);
    assert_true(slice_is(want, "l2:n42:n6e"));
    dht_destroy(b.nodes[8].dht);
    b.nodes[8].dht = NULL;
    assert_null(dht_want(b.nodes[9].dht).data);
    (void)m;
    bed_fini(&b);
}

/* libtorrent's announce carries its name as `n`; somebody's `p` and `ip` of four bytes are not ours either. */
static void strangers_keys(void **state)
{
    struct krpc_msg m;
    (void)state;

    assert_int_equal(
        krpc_parse(slice_str("d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234561:n4:test4:"
                             "porti6881e4:seedi0e5:token4:aoeue1:q13:announce_peer1:t2:aa1:v4:LT\x02\x01"
                             "1:y1:qe"),
                   &m),
        ERR_OK);
    assert_int_equal(m.method, KRPC_ANNOUNCE_PEER);
    assert_false(m.b.n.is_set);
    assert_int_equal(
        krpc_parse(slice_str("d2:ip4:abcd1:pi1e1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re"), &m), ERR_OK);
    assert_null(m.ip.data);
    assert_null(m.p.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("immutable values, salts, and values of any type are put and found", values),
        sentence("seq and cas conflicts reach the caller, also when only some nodes have them", conflicts),
        sentence("an announced address is found by all who ask", announce),
        sentence("no node hears more from us than a default libtorrent stands", patience),
        sentence("a write is done in 8 round trips with a quarter of the nodes dead", not_waiting),
        sentence("a signature that nobody accepts is a refused put", silence),
        sentence("hits without nodes, 302 at our own seq, and silence mean what they mean", foreign),
        sentence("our id follows the address that others see", ids),
        sentence("a node of one family leads the other one in", families),
        sentence("keys that others use otherwise are no reason to drop a message", strangers_keys),
    };

    return run_sentences("mainline", tests);
}
