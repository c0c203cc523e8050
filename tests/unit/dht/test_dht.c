/* Contracts of the node, on beds of a few nodes. */
#include "unit/dht/bed.h"

#include "dht/dht_node.h"

static void start_all(struct bed *b, uint32_t n, uint64_t seed)
{
    bed_init(b, n, seed);
    bed_join_all(b, NS_PER_S);
}

static void alone(void **state)
{
    struct bed b;
    struct bed_result r;
    (void)state;

    bed_init(&b, 2, 1);
    bed_start(&b, 0);
    bed_run(&b, NS_PER_S);
    assert_int_equal(dht_state(b.nodes[0].dht), DHT_ALONE);
    bed_introduce(&b, 0, 1); /* nobody there yet */
    assert_int_equal(dht_state(b.nodes[0].dht), DHT_JOINING);
    bed_run(&b, 20 * NS_PER_S);
    assert_int_equal(dht_state(b.nodes[0].dht), DHT_ALONE);
    r = bed_get(&b, 0, 1);
    assert_int_equal(r.e, ERR_TIMEOUT);
    assert_true(r.r.took_ns <= DHT_JOIN_WAIT_NS);
    bed_start(&b, 1); /* it came late: tried again by itself */
    bed_run(&b, 70 * NS_PER_S);
    assert_int_equal(dht_state(b.nodes[0].dht), DHT_JOINED);
    assert_int_equal(dht_state(b.nodes[1].dht), DHT_JOINED);
    bed_fini(&b);
}

static void zone_of_two(void **state)
{
    struct bed b;
    struct bed_result r;
    struct dht_stats s;
    (void)state;

    start_all(&b, 2, 2);
    r = bed_put(&b, 0, 7, 1, 400);
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.r.n_acks, 1);
    dht_stats(b.nodes[0].dht, &s);
    assert_int_equal(s.items, 0); /* nobody stores its own */
    assert_int_equal(s.size, 2);
    dht_stats(b.nodes[1].dht, &s);
    assert_int_equal(s.items, 1);
    r = bed_get(&b, 0, 7);
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.item.v_len, 400);
    assert_int_equal(r.r.rtts_x100, 100);
    r = bed_get(&b, 1, 7); /* the one that holds it */
    assert_int_equal(r.e, ERR_OK);
    r = bed_get(&b, 0, 8);
    assert_int_equal(r.e, ERR_NOT_FOUND);
    bed_fini(&b);
}

static void before_joining(void **state)
{
    struct bed b;
    struct bed_result r = {0};
    struct item item;
    (void)state;

    bed_init(&b, 9, 3);
    for (uint32_t i = 0; i < 8; i++) {
        bed_start(&b, i);
        if (i > 0)
            bed_introduce(&b, i, 0);
        bed_run(&b, NS_PER_S);
    }
    bed_put(&b, 3, 5, 1, 100);
    bed_start(&b, 8);
    bed_make_item(5, 1, 100, &item);
    dht_get(b.nodes[8].dht, b.now, item.k, 0, bed_on_value, bed_on_done, &r);
    bed_introduce(&b, 8, 0);
    bed_run_until(&b, &r.is_done, 20 * NS_PER_S);
    assert_int_equal(r.e, ERR_OK);
    print_message("cold join of 9, first value after %u.%02u RTT\n", r.r.rtts_x100 / 100,
                  r.r.rtts_x100 % 100);
    assert_true(r.r.rtts_x100 <= 600);
    bed_fini(&b);
}

static void real_keys(void **state)
{
    struct bed b;
    struct bed_result r = {0};
    struct item item;
    struct blind_key key;
    uint8_t X[32] = {1}, plain[] = "hello", seed[32] = {9};
    struct sign_key base;
    struct env env;
    (void)state;

    assert_int_equal(crypto_init(), ERR_OK);
    bed_init(&b, 6, 4);
    for (uint32_t i = 0; i < b.n; i++) {
        struct dht_config *c = &b.nodes[i].config;
        struct sign_key n;

        c->ops = NULL;
        sign_key_from_seed(c->seed, &n);
        while (zone_puzzle_search(c->zone_id, n.pub, c->nonce, 1u << 16) != ERR_OK)
            ;
    }
    bed_join_all(&b, NS_PER_S);
    (void)key;
    env = (struct env){.ops = &bed_env_ops, .world = &b.nodes[0]};
    sign_key_from_seed(seed, &base);
    assert_int_equal(item_build(&env, ITEM_CARD, &base, X, 20779, 1, slice_of(plain, sizeof plain), &item),
                     ERR_OK);
    dht_put(b.nodes[1].dht, b.now, &item, bed_on_done, &r);
    bed_run_until(&b, &r.is_done, 20 * NS_PER_S);
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.r.n_acks, 5);
    r = (struct bed_result){0};
    dht_get(b.nodes[4].dht, b.now, item.k, 0, bed_on_value, bed_on_done, &r);
    bed_run_until(&b, &r.is_done, 20 * NS_PER_S);
    assert_int_equal(r.e, ERR_OK);
    assert_memory_equal(&r.item, &item, sizeof item);
    bed_fini(&b);
}

static void wrong_puzzle(void **state)
{
    struct bed b;
    struct env env;
    (void)state;

    bed_init(&b, 1, 5);
    env = (struct env){.ops = &bed_env_ops, .world = &b.nodes[0]};
    b.nodes[0].config.ops = NULL; /* a random nonce is right once in 65536 */
    assert_null(dht_create(&b.nodes[0].config, &env));
    bed_fini(&b);
}

/* --- values */

static void better_value(void **state)
{
    struct bed b;
    struct bed_result r;
    (void)state;

    start_all(&b, 12, 6);
    bed_put(&b, 1, 1, 10, 50);
    for (uint32_t i = 6; i < 12; i++) /* half of them never hear of the newer one */
        b.nodes[i].is_dead = true;
    r = bed_put(&b, 1, 1, 11, 60);
    assert_int_equal(r.r.n_acks, 5);
    for (uint32_t i = 6; i < 12; i++)
        b.nodes[i].is_dead = false;
    for (uint32_t i = 0; i < 12; i++) {
        r = bed_get(&b, i, 1);
        assert_int_equal(r.e, ERR_OK);
        assert_int_equal(r.seq, 11);
        assert_true(r.n_values <= 2);
    }
    bed_fini(&b);
}

static void minimum(void **state)
{
    struct bed b;
    struct bed_result r = {0};
    struct item item;
    (void)state;

    start_all(&b, 4, 7);
    bed_put(&b, 1, 1, 10, 50);
    bed_make_item(1, 1, 0, &item);
    dht_get(b.nodes[0].dht, b.now, item.k, 11, bed_on_value, bed_on_done, &r);
    bed_run_until(&b, &r.is_done, 20 * NS_PER_S);
    assert_int_equal(r.e, ERR_NOT_FOUND);
    assert_int_equal(r.n_values, 0);
    r = (struct bed_result){0};
    dht_get(b.nodes[0].dht, b.now, item.k, 10, bed_on_value, bed_on_done, &r);
    bed_run_until(&b, &r.is_done, 20 * NS_PER_S);
    assert_int_equal(r.n_values, 1);
    bed_fini(&b);
}

/* What a node says it holds, changed behind its back. */
static void tamper(struct bed *b, uint32_t i, void (*change)(struct stored *))
{
    struct store *s = &b->nodes[i].dht->store;

    for (unsigned j = 0; j < s->cap; j++)
        if (s->pool[j] != NULL)
            change(s->pool[j]);
}

static void forge_value(struct stored *s)
{
    s->v[3] ^= 1;
}

static void forge_seq(struct stored *s)
{
    s->seq += 5;
}

static void forge_key(struct stored *s)
{
    struct slice v;
    uint8_t buf[16];
    struct ben_wr w;

    s->k[0] ^= 1; /* a right signature of another key */
    s->v_len = 3;
    ben_wr_init(&w, buf, sizeof buf);
    ben_put_str(&w, slice_of(s->v, 3));
    v = ben_wr_done(&w);
    bed_item_mark(s->k, (struct slice){0}, s->seq, v, s->sig);
}

static void forgers(void **state)
{
    void (*const changes[])(struct stored *) = {forge_value, forge_seq, forge_key};
    struct bed b;
    struct bed_result r;
    (void)state;

    for (unsigned c = 0; c < 3; c++) {
        start_all(&b, 12, 8 + c);
        bed_put(&b, 1, 1, 10, 50);
        for (uint32_t i = 2; i < 11; i++)
            tamper(&b, i, changes[c]);
        r = bed_get(&b, 1, 1); /* only nodes 0 and 11 tell the truth */
        assert_int_equal(r.e, ERR_OK);
        assert_int_equal(r.seq, 10);
        assert_int_equal(r.item.v_len, 50);
        assert_int_equal(r.n_values, 1);
        for (uint32_t i = 0; i < 12; i++)
            tamper(&b, i, changes[c]); /* now nobody does, or some of them twice: never a false one */
        if (c == 1) {
            r = bed_get(&b, 1, 1);
            assert_true(r.e == ERR_NOT_FOUND && r.n_values == 0);
        }
        bed_fini(&b);
    }
}

static void squatter(void **state)
{
    struct bed b;
    struct bed_result r = {.refuse_seq = 20};
    struct item item;
    (void)state;

    start_all(&b, 12, 9);
    bed_put(&b, 1, 1, 10, 50);
    for (uint32_t i = 6; i < 12; i++)
        b.nodes[i].is_dead = true;
    bed_put(&b, 1, 1, 20, 60); /* signed well, and not what the reader can open */
    for (uint32_t i = 6; i < 12; i++)
        b.nodes[i].is_dead = false;
    bed_make_item(1, 1, 0, &item);
    dht_get(b.nodes[1].dht, b.now, item.k, 0, bed_on_value, bed_on_done, &r);
    bed_run_until(&b, &r.is_done, 20 * NS_PER_S);
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.seq, 10);
    bed_fini(&b);
}

/* --- who is tabled */

static void asker(void **state)
{
    struct bed b;
    (void)state;

    bed_init(&b, 2, 10);
    bed_start(&b, 0);
    bed_start(&b, 1);
    bed_introduce(&b, 1, 0);
    while (b.nodes[0].dht->key.pairs == NULL || node_pairs(&b.nodes[0].dht->key) == 0)
        assert_true(bed_step(&b, NS_NEVER)); /* until node 0 has verified its signature */
    b.nodes[1].is_dead = true;               /* it asked, and cannot answer */
    bed_run(&b, 60 * NS_PER_S);
    assert_int_equal(b.nodes[0].dht->table.n, 0);
    bed_fini(&b);
}

static void client(void **state)
{
    struct bed b;
    struct bed_result r;
    struct dht_stats s;
    (void)state;

    bed_init(&b, 6, 11);
    b.nodes[5].config.is_client = true;
    bed_join_all(&b, NS_PER_S);
    r = bed_put(&b, 5, 1, 1, 100);
    assert_int_equal(r.r.n_acks, 5);
    r = bed_get(&b, 5, 1);
    assert_int_equal(r.e, ERR_OK);
    r = bed_put(&b, 2, 2, 1, 100);
    assert_int_equal(r.r.n_acks, 4);
    for (uint32_t i = 0; i < 5; i++)
        assert_null(table_find(&b.nodes[i].dht->table, b.nodes[5].dht->id));
    dht_stats(b.nodes[5].dht, &s);
    assert_int_equal(s.items, 0);
    assert_int_equal(s.peers, 5);
    bed_fini(&b);
}

static void loopback(void **state)
{
    struct bed b;
    struct addr a = addr_v4((uint8_t[]){127, 0, 0, 1}, 4000),
                lan = addr_v4((uint8_t[]){192, 168, 1, 1}, 4000);
    struct addr outside = addr_v4((uint8_t[]){45, 0, 0, 1}, 4000),
                none = addr_v4((uint8_t[]){45, 0, 0, 1}, 0);
    (void)state;

    bed_init(&b, 3, 12);
    b.nodes[1].config.allow_loopback = true;
    b.nodes[2].config.allow_private = true;
    for (uint32_t i = 0; i < 3; i++) {
        bed_start(&b, i);
        assert_true(dht_addr_ok(b.nodes[i].dht, &outside));
        assert_false(dht_addr_ok(b.nodes[i].dht, &none));
        assert_int_equal(dht_addr_ok(b.nodes[i].dht, &a), i == 1);
        assert_int_equal(dht_addr_ok(b.nodes[i].dht, &lan), i == 2);
    }
    bed_fini(&b);
}

/* --- proof before answers */

struct tally {
    struct addr victim;
    uint64_t to_victim, n;
};

static void count_to_victim(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct tally *t = b->tap_arg;

    (void)from;
    if (!addr_equal(to, &t->victim))
        return;
    t->to_victim += bytes.len;
    t->n++;
}

struct early {
    struct addr stranger;
    size_t len, v_len, n_contacts, seq; /* seq 0: none told */
};

static void read_early(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct early *e = b->tap_arg;
    struct krpc_msg m;
    (void)from;

    if (!addr_equal(to, &e->stranger))
        return;
    assert_int_equal(krpc_parse(bytes, &m), ERR_OK);
    assert_int_equal(m.code, KRPC_E_COOKIE);
    e->len = bytes.len;
    e->v_len = m.b.v.len;
    e->seq = m.b.seq.is_set ? (size_t)m.b.seq.v : 0;
    e->n_contacts = m.hint.len / KRPC_ZN_V4;
}

/* A get by somebody whose address is not proven, with so much padding. */
static size_t early_get(struct bed *b, struct node_key *stranger, uint32_t i, const uint8_t *at, size_t pad,
                        int64_t seq)
{
    struct krpc_msg m = {.type = KRPC_QUERY, .method = KRPC_GET, .t = slice_str("t")};
    struct early *e = b->tap_arg;
    uint8_t zeros[KRPC_PAD_MAX] = {0}, buf[KRPC_OUT_MAX];
    struct slice packet;

    m.b.id = slice_of(stranger->id, 20);
    m.b.target = slice_of(at, 20);
    if (pad > 0)
        m.b.pad = slice_of(zeros, pad);
    if (seq > 0)
        m.b.seq = (struct krpc_int){.v = seq, .is_set = true};
    packet = node_seal(stranger, &m, NULL, NULL, buf, sizeof buf);
    e->len = e->v_len = e->n_contacts = 0;
    dht_input(b->nodes[i].dht, b->now, &e->stranger, packet);
    bed_end_turn(b, &b->nodes[i]);
    assert_true(e->len > 0 && e->len <= packet.len);
    return packet.len;
}

static void value_with_cookie(void **state)
{
    struct bed b;
    struct early e = {.stranger = {.family = ADDR_V4, .ip = {99, 9, 9, 9}, .port = 9}};
    struct node_key stranger;
    struct env env;
    struct item item;
    uint8_t seed[32] = {5}, nonce[8] = {0}, at[ID_BYTES];
    uint32_t holder = 0;
    (void)state;

    start_all(&b, 30, 21);
    assert_int_equal(bed_put(&b, 4, 77, 5, 448).e, ERR_OK);
    bed_make_item(77, 5, 448, &item);
    dht_target(item.k, at);
    while (store_get(&b.nodes[holder].dht->store, b.now, at) == NULL)
        holder++;
    env = (struct env){.ops = &bed_env_ops, .world = &b.nodes[holder]};
    assert_int_equal(node_key_init(&stranger, b.nodes[holder].config.zone_id, seed, nonce, &bed_ops, 8,
                                   b.nodes[holder].dht->book, &env),
                     ERR_OK);
    b.tap = read_early;
    b.tap_arg = &e;
    early_get(&b, &stranger, holder, at, 0, 0);
    assert_true(e.v_len == 0 && e.seq == 0); /* no room was made */
    early_get(&b, &stranger, holder, at, 260, 0);
    assert_true(e.v_len == 0 && e.seq == 5); /* word of it has room */
    assert_true(e.n_contacts >= 4);
    early_get(&b, &stranger, holder, at, 900, 0);
    assert_int_equal(e.v_len, 452);
    early_get(&b, &stranger, holder, at, 900, 5);
    assert_true(e.v_len == 0 && e.seq == 0); /* not newer than what the asker has */
    assert_null(node_pair(&b.nodes[holder].dht->key, stranger.sign.pub)); /* no signature was looked at */
    node_key_fini(&stranger);
    bed_fini(&b);
}

/* A value found shortly before its new paths' time is up: the operation waits for finish_at, and wakes nobody before. */
static void found_late(void **state)
{
    struct bed b;
    struct bed_result r = {0};
    struct item item;
    struct dht *d;
    struct op *op;
    (void)state;

    start_all(&b, 30, 22);
    d = b.nodes[2].dht;
    bed_make_item(5, 1, 0, &item);
    op = dht_op(d, dht_get(d, b.now, item.k, 0, bed_on_value, bed_on_done, &r));
    assert_non_null(op);
    op->walk_until = b.now;
    op->finish_at = b.now + NS_PER_S;
    dht_tick(d, b.now);
    assert_true(dht_ops_deadline(d) > b.now);
    bed_end_turn(&b, &b.nodes[2]);
    bed_run_until(&b, &r.is_done, 2 * NS_PER_S);
    assert_true(r.is_done);
    bed_fini(&b);
}

/* Every query of a stranger with a right signature, from an address that never answers. */
static void amplification(void **state)
{
    struct bed b;
    struct tally t = {.victim = {.family = ADDR_V4, .ip = {99, 9, 9, 9}, .port = 9}};
    struct node_key stranger;
    struct bed_node *n;
    struct env env;
    uint8_t seed[32] = {5}, nonce[8] = {0}, blob[960] = {0}, body[1024] = {0}, buf[KRPC_OUT_MAX];
    (void)state;

    start_all(&b, 30, 13);
    n = &b.nodes[3];
    env = (struct env){.ops = &bed_env_ops, .world = n};
    assert_int_equal(
        node_key_init(&stranger, n->config.zone_id, seed, nonce, &bed_ops, 8, n->dht->book, &env), ERR_OK);
    b.tap = count_to_victim;
    b.tap_arg = &t;
    for (unsigned method = KRPC_UNKNOWN; method < KRPC_METHODS; method++)
        for (unsigned variant = 0; variant < 3; variant++) {
            struct krpc_msg m = {.type = KRPC_QUERY, .method = (enum krpc_method)method, .t = slice_str("t")};
            struct slice packet;
            uint64_t before = t.to_victim;

            m.b.id = slice_of(stranger.id, 20);
            if (method != KRPC_PING)
                m.b.target = slice_of(n->dht->id, 20);
            if (method == KRPC_DROP_PUT) {
                m.b.blob = slice_of(blob, sizeof blob);
                m.b.nonce = slice_of(nonce, 8);
            }
            if (method == KRPC_ROUTE) {
                m.b.body = slice_of(body, sizeof body);
                m.b.f = slice_str("ffff");
            }
            if (variant == 2)
                m.cookie = slice_str("12345678");
            packet = node_seal(&stranger, &m, variant == 0 ? NULL : n->dht->id, NULL, buf, sizeof buf);
            assert_true(packet.len > 0);
            dht_input(n->dht, b.now, &t.victim, packet);
            bed_end_turn(&b, n);
            bed_run(&b, 20 * NS_PER_S);
            assert_true(t.to_victim - before <= packet.len);
        }
    assert_true(t.n > 0); /* cookies */
    assert_null(table_find(&n->dht->table, stranger.id));
    assert_null(node_pair(&n->dht->key, stranger.sign.pub)); /* and no signature was looked at */
    node_key_fini(&stranger);
    bed_fini(&b);
}

/* A captured query, sent again from elsewhere. */
static struct {
    uint8_t bytes[1500];
    size_t len;
    struct addr to;
    bool wants_mac, has;
} captured;

static void capture(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct krpc_msg m;

    (void)b, (void)from;
    if (captured.has || krpc_parse(bytes, &m) != ERR_OK || m.type != KRPC_QUERY || m.method == KRPC_PING ||
        (m.mac.data != NULL) != captured.wants_mac)
        return;
    memcpy(captured.bytes, bytes.data, bytes.len);
    captured.len = bytes.len;
    captured.to = *to;
    captured.has = true;
}

static void replay(void **state)
{
    struct bed b;
    struct tally t = {.victim = {.family = ADDR_V4, .ip = {99, 9, 9, 9}, .port = 9}};
    struct bed_node *n;
    (void)state;

    start_all(&b, 10, 14);
    captured.has = false;
    captured.wants_mac = true;
    b.tap = capture;
    bed_get(&b, 4, 77);
    assert_true(captured.has);
    b.tap = count_to_victim;
    b.tap_arg = &t;
    n = bed_find(&b, &captured.to);
    assert_true(dht_input(n->dht, b.now, &t.victim, slice_of(captured.bytes, captured.len)));
    bed_end_turn(&b, n);
    bed_run(&b, NS_PER_S);
    assert_int_equal(t.n, 1); /* a cookie, and nothing else */
    assert_true(t.to_victim <= captured.len);
    for (size_t i = 0; i < captured.len; i++) { /* and every changed byte makes it worthless */
        uint64_t out = n->sent;

        captured.bytes[i] ^= 1;
        dht_input(n->dht, b.now, &b.nodes[4].addr, slice_of(captured.bytes, captured.len));
        captured.bytes[i] ^= 1;
        if (n->sent != out)
            assert_true(n->dht->count.cookies_sent > 0); /* the sender's key changed: a stranger again */
    }
    bed_fini(&b);
}

static void garbage(void **state)
{
    struct bed b;
    struct bed_result r;
    struct bed_node *n;
    uint64_t sent;
    uint8_t junk[1500];
    (void)state;

    start_all(&b, 10, 15);
    bed_put(&b, 1, 1, 1, 100);
    captured.has = false;
    captured.wants_mac = true;
    b.tap = capture;
    bed_get(&b, 4, 77);
    b.tap = NULL;
    n = bed_find(&b, &captured.to);
    sent = n->sent_bytes;
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = bed_rand(&b) % sizeof junk;
        struct addr from = addr_v4((uint8_t[]){77, (uint8_t)bed_rand(&b), 1, 1}, (uint16_t)(i + 1));

        if (i % 2 == 0) {
            bed_random(&b, junk, len);
            if (len > 0)
                junk[0] = 'd';
        } else {
            len = captured.len;
            memcpy(junk, captured.bytes, len);
            for (unsigned j = 0; j < 1 + i % 5; j++)
                junk[bed_rand(&b) % len] ^= (uint8_t)(1u << bed_rand(&b) % 8);
        }
        dht_input(n->dht, b.now, &from, slice_of(junk, len));
    }
    bed_end_turn(&b, n);
    assert_true(n->sent_bytes - sent <= 20000 * 64 * 6); /* cookies at most */
    assert_true(n->dht->count.bad_packets > 0);
    assert_true(n->dht->table.n <= 9);
    r = bed_get(&b, 2, 1);
    assert_int_equal(r.e, ERR_OK);
    bed_fini(&b);
}

static void flood(void **state)
{
    struct bed b;
    struct bed_node *n;
    uint64_t sent;
    (void)state;

    start_all(&b, 6, 16);
    captured.has = false;
    captured.wants_mac = true;
    b.tap = capture;
    bed_get(&b, 4, 77);
    b.tap = NULL;
    n = bed_find(&b, &captured.to);
    sent = n->sent;
    for (unsigned i = 0; i < 5000; i++)
        dht_input(n->dht, b.now, &b.nodes[4].addr, slice_of(captured.bytes, captured.len));
    assert_in_range(n->sent - sent, 1, DHT_RATE_BURST);
    assert_true(n->dht->count.rate_drops >= 5000 - DHT_RATE_BURST);
    bed_run(&b, 10 * NS_PER_S); /* and it is heard again */
    sent = n->sent;
    dht_input(n->dht, b.now, &b.nodes[4].addr, slice_of(captured.bytes, captured.len));
    assert_int_equal(n->sent - sent, 1);
    bed_fini(&b);
}

/* --- drops, adverts, observe, route */

struct blobs {
    unsigned n;
    uint8_t last[DHT_BLOB_BYTES];
    uint8_t bits;
};

static struct {
    struct bed_result r; /* first: the callbacks of bed.h take it */
    struct blobs blobs;
    unsigned n_adverts, n_notified;
    uint8_t N[32];
    struct addr seen;
    size_t advert_len;
} got;

static void on_blob(void *arg, const uint8_t blob[DHT_BLOB_BYTES], const uint8_t nonce[DHT_NONCE_BYTES],
                    uint8_t bits)
{
    (void)arg, (void)nonce;
    got.blobs.n++;
    got.blobs.bits = bits;
    memcpy(got.blobs.last, blob, DHT_BLOB_BYTES);
}

static void on_advert(void *arg, const uint8_t key[DHT_KEY_BYTES], const struct addr *seen,
                      struct slice advert)
{
    (void)arg;
    got.n_adverts++;
    memcpy(got.N, key, 32);
    got.seen = *seen;
    got.advert_len = advert.len;
}

static void on_notify(void *arg, const uint8_t target[DHT_ID_BYTES])
{
    (void)arg, (void)target;
    got.n_notified++;
}

static void wait_done(struct bed *b, uint32_t i)
{
    bed_end_turn(b, &b->nodes[i]);
    assert_true(bed_run_until(b, &got.r.is_done, 90 * NS_PER_S));
}

static void drops(void **state)
{
    struct bed b;
    uint8_t id[20] = {3}, blob[DHT_BLOB_BYTES], nonce[8];
    struct pow p;
    struct env env;
    struct dht_stats s;
    (void)state;

    bed_init(&b, 8, 17);
    b.nodes[7].config.events = (struct dht_events){.notify = on_notify};
    bed_join_all(&b, NS_PER_S);
    memset(&got, 0, sizeof got);
    env = (struct env){.ops = &bed_env_ops, .world = &b.nodes[0]};
    dht_observe(b.nodes[7].dht, b.now, id, bed_on_done, &got.r);
    wait_done(&b, 7);
    assert_int_equal(got.r.r.n_acks, 7);
    for (unsigned i = 0; i < 3; i++) {
        memset(blob, (int)i, sizeof blob);
        pow_init(&p, id, slice_of(blob, sizeof blob), DROP_BITS_MIN, &env);
        while (pow_search(&p, 1u << 20, nonce) != ERR_OK)
            ;
        got.r = (struct bed_result){0};
        dht_drop_put(b.nodes[1].dht, b.now, id, blob, nonce, bed_on_done, &got.r);
        wait_done(&b, 1);
        assert_int_equal(got.r.e, ERR_OK);
        assert_int_equal(got.r.r.n_acks, 7);
    }
    bed_run(&b, NS_PER_S);
    assert_int_equal(got.n_notified,
                     3 * 7); /* by each node it asked and that is not the writer, and by itself */
    dht_stats(b.nodes[2].dht, &s);
    assert_int_equal(s.blobs, 3);
    got.r = (struct bed_result){0};
    dht_drop_get(b.nodes[1].dht, b.now, id, on_blob, bed_on_done, &got.r); /* the writer holds none */
    wait_done(&b, 1);
    assert_int_equal(got.r.e, ERR_OK);
    assert_int_equal(got.blobs.n, 3); /* each once, though seven nodes hold it */
    assert_true(got.blobs.bits >= DROP_BITS_MIN);
    nonce[0] ^= 1; /* work not done */
    memset(blob, 9, sizeof blob);
    got.r = (struct bed_result){0};
    dht_drop_put(b.nodes[1].dht, b.now, id, blob, nonce, bed_on_done, &got.r);
    wait_done(&b, 1);
    assert_int_equal(got.r.e, ERR_REFUSED);
    assert_int_equal(got.r.r.bits_needed, DROP_BITS_MIN);
    bed_fini(&b);
}

static void adverts(void **state)
{
    struct bed b;
    uint8_t key[20] = {4}, text[DHT_ADVERT_MAX];
    (void)state;

    start_all(&b, 30, 18);
    memset(&got, 0, sizeof got);
    memset(text, 'r', sizeof text);
    for (uint32_t i = 1; i < 21; i++) {
        got.r = (struct bed_result){0};
        dht_advert_put(b.nodes[i].dht, b.now, key, slice_of(text, i % 2 ? sizeof text : 100), bed_on_done,
                       &got.r);
        wait_done(&b, i);
        assert_int_equal(got.r.e, ERR_OK);
        assert_true(got.r.r.n_acks >= 20);
    }
    got.r = (struct bed_result){0};
    dht_advert_get(b.nodes[25].dht, b.now, key, on_advert, bed_on_done, &got.r);
    wait_done(&b, 25);
    assert_int_equal(got.r.e, ERR_OK);
    assert_int_equal(got.n_adverts, 20);
    assert_int_equal(got.r.r.n_found, 20);
    assert_int_equal(got.seen.ip[0], 45);
    bed_run(&b, ADVERT_LIFE_NS);
    got.r = (struct bed_result){0};
    dht_advert_get(b.nodes[25].dht, b.now, key, on_advert, bed_on_done, &got.r);
    wait_done(&b, 25);
    assert_int_equal(got.r.e, ERR_NOT_FOUND);
    assert_int_equal(dht_advert_get(b.nodes[25].dht, b.now, key, NULL, NULL, NULL) == 0, false);
    assert_int_equal(dht_advert_put(b.nodes[25].dht, b.now, key, slice_of(text, 0), NULL, NULL), 0);
    bed_fini(&b);
}

static struct {
    struct dht *dht;
    struct bed *bed;
    unsigned n_knocks, n_answers;
    uint32_t flow_back;
} routed;

static void on_knock(void *arg, const struct dht_route *r)
{
    (void)arg;
    routed.n_knocks++;
    assert_int_equal(r->body.len, 488);
    dht_route_reply(routed.dht, routed.bed->now, r, slice_str("msg2"));
}

static void on_route_answer(void *arg, const struct dht_route *r)
{
    (void)arg;
    routed.n_answers++;
    routed.flow_back = r->flow;
    assert_true(slice_is(r->body, "msg2"));
}

static void route(void **state)
{
    struct bed b;
    struct item item;
    uint8_t target[20], body[488] = {0xc0};
    (void)state;

    bed_init(&b, 8, 19);
    b.nodes[2].config.events = (struct dht_events){.route = on_knock};
    b.nodes[5].config.events = (struct dht_events){.route = on_route_answer};
    bed_join_all(&b, NS_PER_S);
    memset(&got, 0, sizeof got);
    memset(&routed, 0, sizeof routed);
    routed.dht = b.nodes[2].dht;
    routed.bed = &b;
    bed_put(&b, 2, 1, 1, 448);
    bed_make_item(1, 1, 0, &item);
    dht_target(item.k, target);
    dht_route_send(b.nodes[5].dht, b.now, target, 0xabcd, slice_of(body, sizeof body), bed_on_done, &got.r);
    wait_done(&b, 5);
    bed_run(&b, NS_PER_S);
    /* Nodes 0 1 3 4 6 7 hold it and pass it on; 5 holds it too and does not ask itself; 2 has put it. */
    assert_int_equal(got.r.r.n_acks, 6);
    assert_int_equal(routed.n_knocks, 6);
    assert_int_equal(routed.n_answers, 6);
    assert_int_equal(routed.flow_back, 0xabcd);
    for (unsigned i = 0; i < 20; i++) /* new flows for one target: a few in ten seconds */
        dht_route_send(b.nodes[5].dht, b.now, target, 100 + i, slice_of(body, sizeof body), NULL, NULL);
    bed_end_turn(&b, &b.nodes[5]);
    bed_run(&b, 5 * NS_PER_S);
    assert_true(routed.n_knocks <= 6 * DHT_FLOWS_PER_10S);
    bed_fini(&b);
}

/* --- what others tell us */

static void address_and_time(void **state)
{
    struct bed b;
    struct addr a;
    unsigned n;
    (void)state;

    bed_init(&b, 8, 20);
    b.nodes[3].clock_error_ms = -BED_WALL_MS; /* 1970 */
    b.nodes[4].clock_error_ms = 400000000000ll;
    bed_join_all(&b, NS_PER_S);
    for (uint32_t i = 0; i < 8; i++) {
        int64_t right = BED_WALL_MS + (int64_t)(b.now / NS_PER_MS);

        assert_true(dht_own_address(b.nodes[i].dht, ADDR_V4, &a, &n));
        assert_true(addr_equal(&a, &b.nodes[i].addr) && n == 7);
        assert_false(dht_own_address(b.nodes[i].dht, ADDR_V6, &a, &n));
        assert_in_range(dht_zone_time_ms(b.nodes[i].dht, b.now), right - 100, right + 100);
    }
    assert_true(dht_clock_error_ms(b.nodes[3].dht, b.now) < -1000000);
    bed_fini(&b);
}

static void cache(void **state)
{
    struct bed b;
    struct dht_node nodes[8];
    size_t n;
    (void)state;

    start_all(&b, 12, 21);
    n = dht_nodes(b.nodes[0].dht, nodes, 8);
    assert_int_equal(n, 8);
    for (size_t i = 0; i < n; i++) {
        struct bed_node *node = bed_find(&b, &nodes[i].addr);

        assert_memory_equal(nodes[i].id, dht_id(node->dht), 20);
        assert_memory_equal(nodes[i].key, dht_key(node->dht), 32);
        assert_int_equal(nodes[i].rtt_ns, b.rtt);
    }
    assert_int_equal(dht_nodes(b.nodes[0].dht, nodes, 0), 0);
    bed_fini(&b);
}

static void other_zone(void **state)
{
    struct bed b;
    struct dht_stats s;
    (void)state;

    bed_init(&b, 3, 22);
    memset(b.nodes[2].config.zone_id, 'y', 8);
    bed_join_all(&b, NS_PER_S);
    assert_int_equal(dht_state(b.nodes[1].dht), DHT_JOINED);
    assert_int_equal(dht_state(b.nodes[2].dht), DHT_ALONE);
    dht_stats(b.nodes[0].dht, &s);
    assert_int_equal(s.peers, 1);
    bed_fini(&b);
}

/* --- owners */

static bool destroy_in_value(void *arg, const struct item *item)
{
    (void)item;
    dht_destroy(((struct bed_node *)arg)->dht);
    ((struct bed_node *)arg)->dht = NULL;
    return true;
}

static void destroy_in_done(void *arg, enum err e, const struct dht_result *r)
{
    (void)e, (void)r;
    dht_destroy(((struct bed_node *)arg)->dht);
    ((struct bed_node *)arg)->dht = NULL;
}

static void destroyed_inside(void **state)
{
    struct bed b;
    struct item item;
    (void)state;

    start_all(&b, 6, 23);
    bed_put(&b, 0, 1, 1, 100);
    bed_make_item(1, 1, 0, &item);
    dht_get(b.nodes[1].dht, b.now, item.k, 0, destroy_in_value, NULL, &b.nodes[1]);
    dht_get(b.nodes[2].dht, b.now, item.k, 0, NULL, destroy_in_done, &b.nodes[2]);
    bed_make_item(2, 1, 10, &item);
    dht_put(b.nodes[3].dht, b.now, &item, destroy_in_done, &b.nodes[3]);
    for (uint32_t i = 1; i < 4; i++)
        bed_end_turn(&b, &b.nodes[i]);
    bed_run(&b, 20 * NS_PER_S);
    for (uint32_t i = 1; i < 4; i++)
        assert_null(b.nodes[i].dht);
    assert_int_equal(bed_get(&b, 4, 1).e, ERR_OK);
    bed_fini(&b);
}

static void cancelled(void **state)
{
    struct bed b;
    struct bed_result r = {0};
    struct item item;
    uint32_t id;
    (void)state;

    start_all(&b, 6, 24);
    bed_put(&b, 0, 1, 1, 100);
    bed_make_item(1, 1, 0, &item);
    id = dht_get(b.nodes[1].dht, b.now, item.k, 0, bed_on_value, bed_on_done, &r);
    dht_cancel(b.nodes[1].dht, id);
    dht_cancel(b.nodes[1].dht, id);
    dht_cancel(b.nodes[1].dht, 0);
    bed_end_turn(&b, &b.nodes[1]);
    bed_run(&b, 20 * NS_PER_S);
    assert_false(r.is_done);
    assert_int_equal(r.n_values, 0);
    bed_fini(&b);
}

static void operations_cap(void **state)
{
    struct bed b;
    struct item item;
    unsigned n = 0;
    (void)state;

    start_all(&b, 6, 25);
    bed_make_item(1, 1, 0, &item);
    while (dht_get(b.nodes[1].dht, b.now, item.k, 0, NULL, NULL, NULL) != 0)
        n++;
    assert_int_equal(n, DHT_OPS_MAX);
    bed_end_turn(&b, &b.nodes[1]);
    bed_run(&b, 20 * NS_PER_S);
    assert_int_equal(bed_get(&b, 1, 9).e, ERR_NOT_FOUND);
    bed_fini(&b);
}

static void not_waiting(void **state)
{
    struct bed b;
    struct bed_result r;
    (void)state;

    start_all(&b, 25, 26);
    bed_kill(&b, 7);
    bed_kill(&b, 11);
    r = bed_put(&b, 1, 1, 1, 100); /* everybody is near in a zone of 25: the dead too */
    assert_int_equal(r.e, ERR_OK);
    assert_true(r.r.n_acks >= 18);
    print_message("put beside two dead nodes: %u.%02u RTT\n", r.r.rtts_x100 / 100, r.r.rtts_x100 % 100);
    assert_true(r.r.rtts_x100 <= 800);
    bed_fini(&b);
}

/* The mainline profile, both ways: what we say is BEP 5 and BEP 44, and clients keep silent. */
static void mainline(void **state)
{
    struct bed b;
    struct bed_result r;
    uint64_t sent;
    (void)state;

    bed_init(&b, 12, 27);
    for (uint32_t i = 0; i < b.n; i++) {
        b.nodes[i].config.profile = DHT_MAINLINE;
        b.nodes[i].config.is_client = i >= 10;
    }
    bed_join_all(&b, NS_PER_S);
    r = bed_put(&b, 10, 1, 1, 500);
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.r.n_acks, 10);
    r = bed_get(&b, 11, 1);
    assert_int_equal(r.e, ERR_OK);
    r = bed_put(&b, 10, 1, 1, 500); /* the same once more */
    assert_int_equal(r.r.n_acks, 10);
    sent = b.nodes[11].sent;
    dht_input(b.nodes[11].dht, b.now, &b.nodes[0].addr,
              slice_str("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"));
    assert_int_equal(b.nodes[11].sent, sent);
    dht_input(b.nodes[3].dht, b.now, &b.nodes[0].addr,
              slice_str("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"));
    assert_true(b.nodes[3].sent > 0);
    bed_fini(&b);
}

/* A mainline node that is only a script: answers find_node with nobody, get_peers with two peers (one of them on a
 * LAN), announce_peer with thanks. */
static struct {
    struct addr addr;
    unsigned n_announced, n_peers;
    int64_t port, implied;
    struct addr peer;
} script;

static void play_script(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct krpc_msg m, r = {.type = KRPC_ANSWER};
    uint8_t buf[512];

    if (!addr_equal(to, &script.addr) || krpc_parse(bytes, &m) != ERR_OK || m.type != KRPC_QUERY)
        return;
    assert_null(m.z.data);
    assert_true(m.ro.is_set && m.ro.v == 1);
    r.t = m.t;
    r.b.id = slice_str("mnopqrstuvwxyz123456");
    if (m.method == KRPC_FIND_NODE)
        r.b.nodes = slice_of("", 0);
    if (m.method == KRPC_GET_PEERS) {
        r.b.token = slice_str("tok");
        r.b.values = slice_str("l6:\x2d\x01\x02\x03\x1a\xe1"
                               "6:\xc0\xa8\x01\x01\x1a\xe1"
                               "e");
    }
    if (m.method == KRPC_ANNOUNCE_PEER) {
        assert_true(slice_is(m.b.token, "tok") && m.b.info_hash.len == 20);
        script.n_announced++;
        script.port = m.b.port.v;
        script.implied = m.b.implied_port.v;
    }
    bed_put_packet(b, &script.addr, from, krpc_write(&r, buf, sizeof buf));
}

static void on_peer(void *arg, const struct addr *peer)
{
    (void)arg;
    script.n_peers++;
    script.peer = *peer;
}

static void peers(void **state)
{
    struct bed b;
    struct bed_result r = {0};
    uint8_t hash[20] = {6};
    (void)state;

    memset(&script, 0, sizeof script);
    script.addr = addr_v4((uint8_t[]){45, 200, 7, 7}, 6881);
    bed_init(&b, 1, 28);
    b.nodes[0].config.profile = DHT_MAINLINE;
    b.nodes[0].config.is_client = true;
    b.tap = play_script;
    bed_start(&b, 0);
    dht_add_address(b.nodes[0].dht, b.now, &script.addr);
    bed_end_turn(&b, &b.nodes[0]);
    bed_run(&b, 5 * NS_PER_S);
    assert_int_equal(dht_state(b.nodes[0].dht), DHT_JOINED);
    assert_true(dht_peers(b.nodes[0].dht, b.now, hash, on_peer, bed_on_done, &r) != 0);
    bed_end_turn(&b, &b.nodes[0]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(script.n_peers, 1); /* the private one is nobody's business */
    assert_memory_equal(script.peer.ip, "\x2d\x01\x02\x03", 4);
    assert_int_equal(script.peer.port, 6881);
    r = (struct bed_result){0};
    dht_announce(b.nodes[0].dht, b.now, hash, 0, bed_on_done, &r);
    bed_end_turn(&b, &b.nodes[0]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    assert_int_equal(r.r.n_acks, 1);
    assert_int_equal(script.n_announced, 1);
    assert_int_equal(script.implied, 1);
    bed_fini(&b);
}

static void salted(void **state)
{
    struct bed b;
    struct bed_result r = {0};
    struct item item;
    uint8_t v[8] = "3:abc";
    (void)state;

    start_all(&b, 6, 29);
    bed_make_item(1, 1, 3, &item);
    memcpy(item.v, "abc", 3);
    bed_item_mark(item.k, slice_str("foobar"), 1, slice_of(v, 5), item.sig);
    dht_put_salted(b.nodes[1].dht, b.now, &item, slice_str("foobar"), bed_on_done, &r);
    bed_end_turn(&b, &b.nodes[1]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    assert_int_equal(r.r.n_acks, 5);
    r = (struct bed_result){0};
    dht_get_salted(b.nodes[2].dht, b.now, item.k, slice_str("foobar"), 0, bed_on_value, bed_on_done, &r);
    bed_end_turn(&b, &b.nodes[2]);
    assert_true(bed_run_until(&b, &r.is_done, 20 * NS_PER_S));
    assert_int_equal(r.e, ERR_OK);
    assert_memory_equal(&r.item, &item, sizeof item);
    assert_int_equal(bed_get(&b, 2, 1).e, ERR_NOT_FOUND); /* without the salt it is another target */
    bed_fini(&b);
}

static void two_families(void **state)
{
    struct bed b;
    struct dht_stats s;
    (void)state;

    bed_init(&b, 10, 30);
    for (uint32_t i = 0; i < 10; i += 2) {
        uint8_t ip[16] = {0x2a, 0, (uint8_t)i, 1};

        b.nodes[i].addr = addr_v6(ip, 4000);
    }
    b.nodes[9].config.families = DHT_V4;
    bed_join_all(&b, NS_PER_S);
    dht_stats(b.nodes[1].dht, &s);
    assert_int_equal(s.peers, 9);
    assert_int_equal(bed_put(&b, 1, 1, 1, 100).r.n_acks, 9);
    assert_int_equal(bed_get(&b, 8, 1).e, ERR_OK);
    bed_fini(&b);
}

static void moved(void **state)
{
    struct bed b;
    (void)state;

    start_all(&b, 8, 31);
    b.nodes[3].addr.port = 4321; /* its NAT gave it another port */
    dht_network_changed(b.nodes[3].dht, b.now);
    bed_end_turn(&b, &b.nodes[3]);
    bed_run(&b, 10 * NS_PER_S);
    assert_int_equal(bed_put(&b, 3, 1, 1, 100).r.n_acks, 7);
    assert_int_equal(bed_get(&b, 3, 1).e, ERR_OK);
    for (uint32_t i = 0; i < 8; i++) /* and those it asked have asked it back at the new address */
        if (i != 3)
            assert_int_equal(
                table_contact(&b.nodes[i].dht->table, table_find(&b.nodes[i].dht->table, b.nodes[3].dht->id))
                    ->addr.port,
                4321);
    bed_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a node alone says so, and finds the other when it comes", alone),
        sentence("in a zone of two the other one stores", zone_of_two),
        sentence("a get started before joining is answered after it", before_joining),
        sentence("with real signatures, puzzles and blinded items", real_keys),
        sentence("a key whose puzzle is not solved makes no node", wrong_puzzle),
        sentence("the highest seq wins within one round trip", better_value),
        sentence("nothing below the least seq asked for is handed out", minimum),
        sentence("a changed value, a changed seq and another's key are never accepted", forgers),
        sentence("a value the owner cannot use does not end the search", squatter),
        sentence("an asker is not tabled before it answered", asker),
        sentence("a client takes and gives nothing", client),
        sentence("loopback and private addresses are contacts only where allowed", loopback),
        sentence("an unproven address never gets more bytes than it sent", amplification),
        sentence("a value comes with the cookie, to who made room for it and in no more bytes",
                 value_with_cookie),
        sentence("a value found late in a look-up begun anew spins nobody", found_late),
        sentence("a captured query from elsewhere gets a cookie, a changed one nothing", replay),
        sentence("garbage changes nothing", garbage),
        sentence("one address is heard so often and no more", flood),
        sentence("blobs are stored, found once each, observed, and refused without work", drops),
        sentence("adverts are found page by page and expire", adverts),
        sentence("a knock is handed to whoever put the item, and the answer back", route),
        sentence("our address and the time are what most others see", address_and_time),
        sentence("the cache names nodes with their keys", cache),
        sentence("another zone is another world", other_zone),
        sentence("a callback may destroy the node", destroyed_inside),
        sentence("a cancelled operation calls nobody", cancelled),
        sentence("operations have a cap", operations_cap),
        sentence("dead nodes near the target delay nobody", not_waiting),
        sentence("the mainline profile stores and finds, and a client keeps silent", mainline),
        sentence("mainline names peers of an info-hash, and hears where we are", peers),
        sentence("a salt makes another target", salted),
        sentence("IPv4 and IPv6 nodes are one zone", two_families),
        sentence("a node that moved goes on", moved),
    };

    return run_sentences("dht", tests);
}
