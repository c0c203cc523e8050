/* Closed zones: who has no certificate of the zone's key is not heard, and hears nothing (THREATS.md §4.13). */
#include "dht/dht_node.h"
#include "unit/dht/bed.h"

#define MEMBERS 12
#define DAY     ((uint32_t)(BED_WALL_MS / 86400000))

/* MEMBERS members and one more node, which has no certificate. */
struct club {
    struct bed b;
    struct sign_key Z;
    struct dht_membership of[MEMBERS];
    struct addr stranger;
    unsigned n_back;    /* packets to `stranger` or the node without a certificate */
    uint8_t back[1500]; /* the last of them */
    size_t back_len;
};

static void watch(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct club *c = b->tap_arg;
    (void)from;

    if (!addr_equal(to, &c->stranger) && !addr_equal(to, &b->nodes[MEMBERS].addr))
        return;
    c->n_back++;
    c->back_len = bytes.len;
    memcpy(c->back, bytes.data, bytes.len);
}

static void certify(const struct sign_key *Z, const struct bed_node *n, uint32_t until_day, uint8_t *out)
{
    struct sign_key key;

    sign_key_from_seed(n->config.seed, &key);
    assert_int_equal(zone_member_make(Z, n->config.zone_id, key.pub, until_day, out), ERR_OK);
}

/* last_day: of node 2; the others' is a year ahead. */
static void found(struct club *c, uint64_t seed, uint32_t last_day)
{
    memset(c, 0, sizeof *c);
    sign_key_from_seed((uint8_t[32]){'Z'}, &c->Z);
    c->stranger = (struct addr){.family = ADDR_V4, .ip = {99, 9, 9, 9}, .port = 9};
    bed_init(&c->b, MEMBERS + 1, seed);
    c->b.tap = watch;
    c->b.tap_arg = c;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        memcpy(c->of[i].zone_key, c->Z.pub, KEY_BYTES);
        certify(&c->Z, &c->b.nodes[i], i == 2 ? last_day : DAY + 365, c->of[i].cert);
        c->b.nodes[i].config.closed = &c->of[i];
        bed_start(&c->b, i);
        if (i > 0)
            bed_introduce(&c->b, i, 0);
    }
    bed_run(&c->b, 60 * NS_PER_S);
}

static bool knows(struct club *c, uint32_t i, uint32_t j)
{
    const struct table_entry *e = table_find(&c->b.nodes[i].dht->table, dht_id(c->b.nodes[j].dht));

    return e != NULL && e->fails < TABLE_FAILS;
}

static void stranger_init(struct club *c, struct node_key *nk, struct env *env, uint8_t seed)
{
    *env = (struct env){.ops = &bed_env_ops, .world = &c->b.nodes[0]};
    assert_int_equal(node_key_init(nk, c->b.nodes[0].config.zone_id, (uint8_t[32]){seed}, (uint8_t[8]){0},
                                   &bed_ops, 8, c->b.nodes[0].dht->book, env),
                     ERR_OK);
}

/* A padded get from `from`, signed by nk with that certificate; true: something came back. */
static bool ask(struct club *c, const struct node_key *nk, const struct addr *from, struct slice cert,
                struct slice cookie)
{
    static const uint8_t zeros[900];
    struct krpc_msg m = {.type = KRPC_QUERY, .method = KRPC_GET, .t = slice_str("tttttt")};
    struct dht *d = c->b.nodes[0].dht;
    uint8_t buf[KRPC_OUT_CLOSED];
    struct slice packet;
    unsigned before = c->n_back;

    m.b.id = slice_of(nk->id, ID_BYTES);
    m.b.target = slice_of(d->id, ID_BYTES);
    m.b.pad = slice_of(zeros, sizeof zeros);
    m.member = cert;
    m.cookie = cookie;
    packet = node_seal(nk, &m, d->id, NULL, buf, sizeof buf);
    assert_true(packet.len > 0);
    dht_input(d, c->b.now, from, packet);
    bed_end_turn(&c->b, &c->b.nodes[0]);
    return c->n_back > before;
}

static void outsider(void **state)
{
    struct club c;
    struct dht_stats s;
    (void)state;

    found(&c, 31, DAY + 365);
    bed_start(&c.b, MEMBERS); /* knows the zone's id, and has no certificate */
    for (uint32_t i = 0; i < MEMBERS; i++)
        bed_introduce(&c.b, MEMBERS, i);
    bed_run(&c.b, 120 * NS_PER_S);
    dht_stats(c.b.nodes[MEMBERS].dht, &s);
    assert_true(c.b.nodes[MEMBERS].sent >= MEMBERS);
    assert_int_equal(c.n_back, 0);
    assert_int_equal(s.peers, 0);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        dht_stats(c.b.nodes[i].dht, &s);
        assert_int_equal(s.peers, MEMBERS - 1);
        assert_true(s.outsiders > 0);
        assert_false(knows(&c, i, MEMBERS));
    }
    bed_introduce(&c.b, 0, MEMBERS); /* a member asks it, by mistake, and does not believe its answer */
    bed_run(&c.b, 60 * NS_PER_S);
    assert_false(knows(&c, 0, MEMBERS));
    bed_fini(&c.b);
}

static void certificates(void **state)
{
    struct club c;
    struct node_key nk, thief;
    struct env env, thief_env;
    struct sign_key other;
    uint8_t good[MEMBER_CERT_BYTES], bad[MEMBER_CERT_BYTES], elsewhere[8] = {'y'};
    struct krpc_msg m;
    (void)state;

    found(&c, 32, DAY + 365);
    stranger_init(&c, &nk, &env, 5);
    stranger_init(&c, &thief, &thief_env, 6);
    zone_member_make(&c.Z, nk.zone, nk.sign.pub, DAY, good);
    assert_false(ask(&c, &nk, &c.stranger, (struct slice){0}, (struct slice){0}));
    zone_member_make(&c.Z, nk.zone, nk.sign.pub, DAY - 1, bad); /* expired */
    assert_false(ask(&c, &nk, &c.stranger, slice_of(bad, sizeof bad), (struct slice){0}));
    zone_member_make(&c.Z, elsewhere, nk.sign.pub, DAY, bad); /* of another zone of the same key */
    assert_false(ask(&c, &nk, &c.stranger, slice_of(bad, sizeof bad), (struct slice){0}));
    sign_key_from_seed((uint8_t[32]){'O'}, &other);
    zone_member_make(&other, nk.zone, nk.sign.pub, DAY, bad); /* by another key */
    assert_false(ask(&c, &nk, &c.stranger, slice_of(bad, sizeof bad), (struct slice){0}));
    memcpy(bad, good, sizeof bad);
    bad[3]++; /* one day longer than was signed */
    assert_false(ask(&c, &nk, &c.stranger, slice_of(bad, sizeof bad), (struct slice){0}));
    assert_false(ask(&c, &thief, &c.stranger, slice_of(good, sizeof good), (struct slice){0}));

    assert_true(ask(&c, &nk, &c.stranger, slice_of(good, sizeof good), (struct slice){0}));
    assert_int_equal(krpc_parse(slice_of(c.back, c.back_len), &m), ERR_OK);
    assert_int_equal(m.code, KRPC_E_COOKIE);
    assert_true(m.hint.data == NULL && m.b.v.data == NULL && c.back_len <= 64); /* though there was room */
    assert_null(node_pair(&c.b.nodes[0].dht->key, nk.sign.pub));
    assert_false(
        ask(&c, &thief, &c.stranger, slice_of(good, sizeof good), m.cookie)); /* its address is right */
    assert_true(ask(&c, &nk, &c.stranger, slice_of(good, sizeof good), m.cookie));
    assert_int_equal(krpc_parse(slice_of(c.back, c.back_len), &m), ERR_OK);
    assert_true(m.type != KRPC_ERROR || m.code != KRPC_E_COOKIE);
    assert_non_null(node_pair(&c.b.nodes[0].dht->key, nk.sign.pub));
    node_key_fini(&nk);
    node_key_fini(&thief);
    bed_fini(&c.b);
}

static void renewed(void **state)
{
    struct club c;
    uint8_t cert[MEMBER_CERT_BYTES];
    (void)state;

    found(&c, 33, DAY); /* the day ends in ten hours */
    assert_true(knows(&c, 0, 2) && knows(&c, 2, 0));
    bed_run(&c.b, 24 * 3600 * NS_PER_S);
    assert_false(knows(&c, 0, 2));
    assert_true(knows(&c, 0, 1));
    certify(&c.Z, &c.b.nodes[1], DAY + 30, cert); /* that of somebody else is no help */
    assert_int_equal(dht_set_member(c.b.nodes[2].dht, cert), ERR_AUTH);
    certify(&c.Z, &c.b.nodes[2], DAY + 30, cert);
    assert_int_equal(dht_set_member(c.b.nodes[2].dht, cert), ERR_OK);
    bed_introduce(&c.b, 2, 0);
    bed_run(&c.b, 120 * NS_PER_S);
    assert_true(knows(&c, 0, 2) && knows(&c, 2, 0));
    bed_fini(&c.b);
}

static void refused_at_start(void **state)
{
    struct bed b;
    struct sign_key Z;
    struct dht_membership of;
    struct env env;
    (void)state;

    bed_init(&b, 2, 34);
    env = (struct env){.ops = &bed_env_ops, .world = &b.nodes[0]};
    sign_key_from_seed((uint8_t[32]){'Z'}, &Z);
    memcpy(of.zone_key, Z.pub, KEY_BYTES);
    certify(&Z, &b.nodes[1], DAY, of.cert);
    b.nodes[0].config.closed = &of;
    assert_null(dht_create(&b.nodes[0].config, &env));
    bed_fini(&b);
}

/* Its clock says 2038, when its own certificate is long over: it takes the others' word for the day. */
static void wrong_clock(void **state)
{
    struct club c;
    (void)state;

    found(&c, 35, DAY + 365);
    dht_destroy(c.b.nodes[3].dht);
    bed_end_turn(&c.b, NULL);
    c.b.nodes[3].clock_error_ms = 2147483640000 - BED_WALL_MS;
    bed_start(&c.b, 3);
    bed_introduce(&c.b, 3, 0);
    bed_run(&c.b, 120 * NS_PER_S);
    assert_true(knows(&c, 3, 0));
    assert_true(llabs(dht_zone_time_ms(c.b.nodes[3].dht, c.b.now) -
                      (BED_WALL_MS + (int64_t)(c.b.now / NS_PER_MS))) < 60000);
    bed_fini(&c.b);
}

/* Certificates that have to be looked at before anything is known of who sends them cost no more than a share. */
static void flood(void **state)
{
    struct club c;
    struct node_key nk;
    struct env env;
    struct dht_stats s;
    uint8_t bad[MEMBER_CERT_BYTES] = {0x7f};
    (void)state;

    found(&c, 36, DAY + 365);
    stranger_init(&c, &nk, &env, 5);
    for (uint32_t i = 0; i < 1000; i++) {
        struct addr from = addr_v4((uint8_t[]){99, 1, (uint8_t)(i >> 8), (uint8_t)i}, 9);

        ask(&c, &nk, &from, slice_of(bad, sizeof bad), (struct slice){0});
    }
    dht_stats(c.b.nodes[0].dht, &s);
    assert_true(s.rate_drops >= 1000 - DHT_MEMBERS_PER_S);
    assert_int_equal(c.n_back, 0);
    assert_int_equal(bed_put(&c.b, 1, 9, 1, 448).e, ERR_OK); /* the members do not notice */
    node_key_fini(&nk);
    bed_fini(&c.b);
}

/* The largest value a phone puts, first contact or not, with the certificate in the same datagram. */
static void sizes(void **state)
{
    struct club c;
    struct bed_result r;
    (void)state;

    found(&c, 37, DAY + 365);
    for (uint32_t i = 0; i < MEMBERS; i++) { /* nobody has a pair: each put meets strangers, with cookies */
        struct bed_node *n = &c.b.nodes[i];

        dht_destroy(n->dht);
        bed_end_turn(&c.b, NULL);
        n->config.is_client = i == 5;
        bed_start(&c.b, i);
        if (i > 0)
            bed_introduce(&c.b, i, 0);
    }
    bed_run(&c.b, 5 * NS_PER_S);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        r = bed_put(&c.b, i, 100 + i, 1, 960);
        assert_int_equal(r.e, ERR_OK);
        assert_true(r.r.n_acks >= MEMBERS - 2);
        assert_int_equal(bed_get(&c.b, (i + 1) % MEMBERS, 100 + i).n_values, 1);
    }
    bed_fini(&c.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("who knows the zone's key and has no certificate gets no byte, and is in nobody's table",
                 outsider),
        sentence("a certificate that is expired, of another zone, key or node is met with silence; a good "
                 "one with a "
                 "cookie alone",
                 certificates),
        sentence("a member whose certificate is over is forgotten, and known again with a new one", renewed),
        sentence("a node does not start with the certificate of another", refused_at_start),
        sentence("a member with a clock of 2038 is a member, and learns the time", wrong_clock),
        sentence("a thousand certificates that nobody signed get no answer, and members notice nothing",
                 flood),
        sentence("values of 960 bytes go with the certificate in one datagram", sizes),
    };

    return run_sentences("members", tests);
}
