/* Vouchers (krpc.h): who names a node tells it where the asker lives; and what they spare a put. */
#include "unit/dht/bed.h"

#include "dht/dht_node.h"

static void start_all(struct bed *b, uint32_t n, uint64_t seed)
{
    bed_init(b, n, seed);
    bed_join_all(b, NS_PER_S);
}

struct heard {
    struct addr at;
    unsigned n;
    size_t bytes;
    bool is_cookie;
    struct krpc_msg m;
    uint8_t packet[KRPC_OUT_MAX];
};

static void listen_at(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct heard *h = b->tap_arg;
    (void)from;

    if (!addr_equal(to, &h->at))
        return;
    memcpy(h->packet, bytes.data, bytes.len);
    assert_int_equal(krpc_parse(slice_of(h->packet, bytes.len), &h->m), ERR_OK);
    h->is_cookie = h->m.type == KRPC_ERROR && h->m.code == KRPC_E_COOKIE;
    h->n++;
    h->bytes += bytes.len;
}

/* Two nodes of which each holds the pair of the other. */
static const struct pair *find_friends(struct bed *b, uint32_t *giver, uint32_t taker)
{
    const struct pair *p;

    for (*giver = 0; *giver < b->n; ++*giver) {
        p = node_pair(&b->nodes[*giver].dht->key, b->nodes[taker].dht->key.sign.pub);
        if (p != NULL && node_pair(&b->nodes[taker].dht->key, b->nodes[*giver].dht->key.sign.pub) != NULL)
            return p;
    }
    return NULL;
}

/* A put, or a get (item NULL), of a stranger that shows a voucher. */
static size_t vouched_query(struct bed *b, const struct node_key *stranger, uint32_t i,
                            const struct item *item, size_t pad, const uint8_t *voucher)
{
    struct krpc_msg m = {.type = KRPC_QUERY, .method = KRPC_GET, .t = slice_str("t")};
    struct heard *h = b->tap_arg;
    uint8_t zeros[KRPC_PAD_MAX] = {0}, v[1010], buf[KRPC_OUT_MAX];
    struct slice packet;
    struct ben_wr w;

    m.b.id = slice_of(stranger->id, 20);
    m.b.target = slice_of(b->nodes[i].dht->id, 20);
    if (pad > 0)
        m.b.pad = slice_of(zeros, pad);
    if (item != NULL) {
        m.method = KRPC_PUT;
        m.b.target = (struct slice){0};
        ben_wr_init(&w, v, sizeof v);
        ben_put_str(&w, slice_of(item->v, item->v_len));
        m.b.v = ben_wr_done(&w);
        m.b.k = slice_of(item->k, 32);
        m.b.sig = slice_of(item->sig, 64);
        m.b.seq = (struct krpc_int){.v = item->seq, .is_set = true};
    }
    m.voucher = slice_of(voucher, KRPC_VOUCHER);
    packet = node_seal(stranger, &m, b->nodes[i].dht->id, NULL, buf, sizeof buf);
    assert_true(packet.len > 0);
    h->n = 0;
    h->bytes = 0;
    dht_input(b->nodes[i].dht, b->now, &h->at, packet);
    bed_end_turn(b, &b->nodes[i]);
    bed_run(b, 20 * NS_PER_S);
    assert_true(h->n > 0 && h->bytes <= packet.len);
    return packet.len;
}

static void vouched(void **state)
{
    struct bed b;
    struct heard h = {.at = {.family = ADDR_V4, .ip = {99, 9, 9, 9}, .port = 9}};
    struct node_key stranger, other;
    const uint32_t taker = 3;
    const struct pair *p;
    const struct stored *s;
    struct dht *g;
    struct env env;
    struct item item;
    uint8_t seed[32] = {5}, nonce[8] = {0}, good[KRPC_VOUCHER], bad[KRPC_VOUCHER], at[ID_BYTES];
    int64_t wall;
    uint32_t giver;
    (void)state;

    start_all(&b, 30, 23);
    p = find_friends(&b, &giver, taker);
    assert_non_null(p);
    g = b.nodes[giver].dht;
    env = (struct env){.ops = &bed_env_ops, .world = &b.nodes[taker]};
    assert_int_equal(
        node_key_init(&stranger, b.nodes[taker].config.zone_id, seed, nonce, &bed_ops, 8, g->book, &env),
        ERR_OK);
    seed[0] = 6;
    assert_int_equal(
        node_key_init(&other, b.nodes[taker].config.zone_id, seed, nonce, &bed_ops, 8, g->book, &env),
        ERR_OK);
    b.tap = listen_at;
    b.tap_arg = &h;
    wall = dht_zone_time_ms(g, b.now);
    memcpy(good, g->key.sign.pub, 32);

    /* for another address, another node, of long ago, by nobody: a cookie */
    memcpy(bad, good, 32);
    node_vouch(&g->key, p, wall, stranger.sign.pub, &b.nodes[9].addr, bad + 32);
    vouched_query(&b, &stranger, taker, NULL, 900, bad);
    assert_true(h.n == 1 && h.is_cookie);
    node_vouch(&g->key, p, wall, other.sign.pub, &h.at, bad + 32);
    vouched_query(&b, &stranger, taker, NULL, 900, bad);
    assert_true(h.n == 1 && h.is_cookie);
    node_vouch(&g->key, p, wall - 3 * KRPC_SLOT_MS, stranger.sign.pub, &h.at, bad + 32);
    vouched_query(&b, &stranger, taker, NULL, 900, bad);
    assert_true(h.n == 1 && h.is_cookie);
    node_vouch(&g->key, p, wall, stranger.sign.pub, &h.at, bad + 32);
    memset(bad, 7, 32);
    vouched_query(&b, &stranger, taker, NULL, 900, bad);
    assert_true(h.n == 1 && h.is_cookie);
    assert_null(node_pair(&b.nodes[taker].dht->key, stranger.sign.pub)); /* no signature was looked at */

    /* a right one: an answer, no longer than the query, but nothing that needs a proven address */
    wall = dht_zone_time_ms(g, b.now);
    node_vouch(&g->key, p, wall, stranger.sign.pub, &h.at, good + 32);
    for (size_t pad = 100; pad <= 1000; pad += 150)
        vouched_query(&b, &stranger, taker, NULL, pad, good);
    p = node_pair(&b.nodes[taker].dht->key, stranger.sign.pub);
    assert_non_null(p);
    assert_int_equal(p->proven_s, 0);
    assert_null(table_find(&b.nodes[taker].dht->table, stranger.id));

    /* and a put, which counts for who vouches */
    node_vouch(&g->key, find_friends(&b, &giver, taker), dht_zone_time_ms(g, b.now), stranger.sign.pub, &h.at,
               good + 32);
    bed_make_item(9, 1, 448, &item);
    dht_target(item.k, at);
    vouched_query(&b, &stranger, taker, &item, 0, good);
    s = store_get(&b.nodes[taker].dht->store, b.now, at);
    assert_non_null(s);
    assert_true(addr_equal(&s->put_from, &b.nodes[giver].addr));
    assert_memory_equal(s->put_by, stranger.sign.pub, 32);
    node_key_fini(&stranger);
    node_key_fini(&other);
    bed_fini(&b);
}

/* Somebody new puts: most whom it meets have been told of it, and few messages are spent. */
static void few_queries(void **state)
{
    struct bed b;
    struct bed_result r;
    uint64_t cookies = 0, queries = 0, rtts = 0;
    (void)state;

    start_all(&b, 120, 24);
    for (uint32_t i = 0; i < b.n; i++)
        cookies += b.nodes[i].dht->count.cookies_sent;
    for (uint32_t i = 0; i < 20; i++) {
        r = bed_put(&b, 100 + i, 500 + i, 1, 448);
        assert_int_equal(r.e, ERR_OK);
        assert_true(r.r.n_acks >= 20);
        queries += r.r.queries;
        rtts += r.r.took_ns / b.rtt;
    }
    for (uint32_t i = 0; i < b.n; i++)
        cookies -= b.nodes[i].dht->count.cookies_sent;
    assert_true(queries <= 40 * 20 && rtts <= 6 * 20);
    assert_true(0 - cookies <= 20 * 5);
    bed_fini(&b);
}

/* What one node asks with a cookie in hand. */
struct asking {
    struct addr from;
    unsigned n;
    ns_t last_at;
};

static void listen_again(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct asking *a = b->tap_arg;
    struct krpc_msg m;
    (void)to;

    assert_int_equal(krpc_parse(bytes, &m), ERR_OK);
    if (!addr_equal(from, &a->from) || m.type != KRPC_QUERY || m.method != KRPC_GET || m.cookie.data == NULL)
        return;
    a->n++;
    a->last_at = b->now;
}

/* Where all have forgotten where the others live. */
static void no_vain_query(void **state)
{
    struct asking a;
    struct bed b;
    unsigned n = 0;
    (void)state;

    start_all(&b, 120, 25);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(bed_put(&b, 100 + i, 500 + i, 1, 448).e, ERR_OK);
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < b.n; j++)
            for (unsigned p = 0; p < b.nodes[j].dht->key.n_pairs; p++)
                b.nodes[j].dht->key.pairs[p].proven_s = 0;
        a = (struct asking){.from = b.nodes[20 + i].addr};
        b.tap = listen_again;
        b.tap_arg = &a;
        assert_int_equal(bed_get(&b, 20 + i, 500 + i).e, ERR_OK);
        assert_true(a.n == 0 || a.last_at + b.rtt <= b.now);
        n += a.n;
        b.tap = NULL;
    }
    assert_true(n > 20);
    bed_fini(&b);
}

/* Counts what is asked with a cookie by a get that has its value. */
static void listen_sated(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    unsigned *counts = b->tap_arg;
    struct krpc_msg m;
    (void)to;

    assert_int_equal(krpc_parse(bytes, &m), ERR_OK);
    if (m.type != KRPC_QUERY || m.method != KRPC_GET || m.cookie.data == NULL)
        return;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct dht *d = b->nodes[i].dht;

        for (unsigned j = 0; j < d->cap_ops && addr_equal(from, &b->nodes[i].addr); j++)
            if (d->ops[j] != NULL && d->ops[j]->kind == OP_GET)
                counts[d->ops[j]->finish_at > 0]++;
    }
}

/* Where nobody knows anybody's key any more, each query makes room for what is newer, and its cookie tells. */
static void sated(void **state)
{
    unsigned counts[2] = {0};
    struct bed b;
    (void)state;

    start_all(&b, 120, 26);
    b.spread = 0.3;
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(bed_put(&b, 100 + i, 500 + i, 1, 448).e, ERR_OK);
    b.tap = listen_sated;
    b.tap_arg = counts;
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < b.n; j++)
            b.nodes[j].dht->key.n_pairs = 0;
        assert_int_equal(bed_get(&b, 20 + i, 500 + i).e, ERR_OK);
    }
    assert_int_equal(counts[true], 0);
    bed_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a get that has its value asks again only where a newer one lies", sated),
        sentence("who is vouched for gets an answer no longer than its query, and no more trust", vouched),
        sentence("a put costs few messages, and meets few strangers", few_queries),
        sentence("a get asks nobody again in vain once it has its value", no_vain_query),
    };

    return run_sentences("vouchers", tests);
}
