/* Promise (THREATS.md §1, "Storing DHT node", and §4.3): a forged, replayed, expired, oversize, wrong-key or squatting
 * record is never used and never stops a search.
 *
 * Real blinded keys, real sealing, real signatures of items; only what signs messages is the bed's. All nodes but
 * the reader and the one farthest from the record store it as they should and lie when they are asked. */
#include "unit/dht/bed.h"

#include "dht/dht_node.h"

#define NODES  20
#define READER 0
#ifdef __SANITIZE_ADDRESS__
#define TRIES 15000
#else
#define TRIES 100000
#endif
#define PUT_EACH 600 /* look-ups: items live two hours */
#define SEQ      1790000000
#define EPOCH    20779

enum lie {
    LIE_VALUE,     /* one bit of the value */
    LIE_SIGNATURE, /* one bit of the signature */
    LIE_SEQ,       /* newer than it is */
    LIE_KEY,       /* another's item, rightly signed */
    LIE_YESTERDAY, /* the same person's item of another day, rightly signed */
    LIE_OLD,       /* today's, rightly signed, below the seq asked for */
    LIE_OVERSIZE,  /* more than 996 bytes, rightly signed */
    LIE_TYPE,      /* not a byte string, rightly signed */
    LIE_SQUAT,     /* newer, rightly signed, opens to nobody */
    LIE_SEALED,    /* newer, rightly signed, sealed for another day */
    LIE_PLAIN,     /* newer, rightly signed, opens, and is no record */
    LIE_SHORT,     /* a signature of 63 bytes */
    LIE_COOKIE,    /* LIE_SEQ, with an unsigned error 210 */
    LIES
};

static struct world {
    struct bed b;
    struct sign_key owner, other;
    uint8_t X[KEY_BYTES];
    struct blind_key today, yesterday;
    struct item truth;
    struct item old, before; /* signed once */
    uint8_t plain[64];
    size_t plain_len;
    unsigned lies[LIES], n_lies, n_accepted, n_false;
    bool is_lying;
    uint32_t honest;
} w;

/* --- what they say */

static void sign(const struct blind_key *key, int64_t seq, struct slice v, uint8_t sig[static SIG_BYTES])
{
    assert_int_equal(bep44_sign(key, (struct slice){0}, seq, v, sig), ERR_OK);
}

static struct slice bencode(const void *bytes, size_t len, uint8_t *buf)
{
    int head = sprintf((char *)buf, "%zu:", len);

    memcpy(buf + head, bytes, len);
    return slice_of(buf, (size_t)head + len);
}

struct words {
    uint8_t v[1100], k[KEY_BYTES], sig[SIG_BYTES], raw[1100];
};

/* What stands in the place of the record, into m, which points into `o`. */
static void lie(enum lie kind, struct krpc_msg *m, struct words *o, struct env *env)
{
    struct item item = w.truth;
    uint32_t dice = env_random_u32(env);
    uint16_t len;

    memcpy(o->k, w.today.pub, KEY_BYTES);
    m->b.k = slice_of(o->k, KEY_BYTES);
    m->b.sig = slice_of(o->sig, SIG_BYTES);
    switch (kind) {
    case LIE_VALUE:
        item.v[dice % item.v_len] ^= (uint8_t)(1u << (dice >> 29));
        break;
    case LIE_SIGNATURE:
        item.sig[dice % SIG_BYTES] ^= (uint8_t)(1u << (dice >> 29));
        break;
    case LIE_SEQ:
    case LIE_COOKIE:
        item.seq += 1 + dice % 100000;
        break;
    case LIE_KEY: {
        struct blind_key key;

        blind_none(&w.other, &key);
        memcpy(o->k, key.pub, KEY_BYTES);
        item.seq++;
        sign(&key, item.seq, bencode(item.v, item.v_len, o->raw), item.sig);
        break;
    }
    case LIE_YESTERDAY:
        item = w.before;
        memcpy(o->k, dice & 1 ? item.k : w.today.pub, KEY_BYTES); /* as it is, or under today's name */
        break;
    case LIE_OLD:
        item = w.old;
        break;
    case LIE_OVERSIZE:
        env_random(env, o->raw, 1000);
        m->b.v = bencode(o->raw, 997 + dice % 4, o->v);
        item.seq++;
        assert_int_equal(bep44_sign(&w.today, (struct slice){0}, item.seq, m->b.v, item.sig), ERR_RANGE);
        break;
    case LIE_TYPE:
        m->b.v = slice_of(memcpy(o->v, "l1:ae", 5), 5);
        if (dice & 1)
            m->b.v = slice_of(memcpy(o->v, "i7e", 3), 3);
        item.seq++;
        sign(&w.today, item.seq, m->b.v, item.sig);
        break;
    case LIE_SQUAT:
        env_random(env, item.v + 1, item.v_len - 1u);
        item.seq++;
        sign(&w.today, item.seq, bencode(item.v, item.v_len, o->raw), item.sig);
        break;
    case LIE_SEALED:
        item_seal(env, w.X, w.yesterday.pub, slice_of(w.plain, w.plain_len), item.v, &len);
        item.seq++;
        sign(&w.today, item.seq, bencode(item.v, len, o->raw), item.sig);
        break;
    case LIE_PLAIN:
        item_seal(env, w.X, w.today.pub, slice_of(w.plain, w.plain_len - 1), item.v, &len);
        item.seq++;
        sign(&w.today, item.seq, bencode(item.v, len, o->raw), item.sig);
        break;
    case LIE_SHORT:
        m->b.sig.len = SIG_BYTES - 1;
        item.seq++;
        break;
    case LIES:
        break;
    }
    if (m->b.v.data == NULL)
        m->b.v = bencode(item.v, item.v_len, o->v);
    m->b.seq = (struct krpc_int){.v = item.seq, .is_set = true};
    memcpy(o->sig, item.sig, SIG_BYTES);
}

/* Everything a liar's honest engine sends goes out by here. */
static void liar_send(void *world, const struct addr *to, struct slice bytes)
{
    struct bed_node *n = world, *reader = bed_find(n->bed, to);
    struct env env = {.ops = &bed_env_ops, .world = n};
    uint8_t buf[KRPC_OUT_MAX], cookie[KRPC_COOKIE] = {1};
    struct pair *pair;
    struct words o;
    struct krpc_msg m;
    enum lie kind;
    bool has_mac;

    if (!w.is_lying || n->index == w.honest || reader == NULL || krpc_parse(bytes, &m) != ERR_OK ||
        m.b.v.data == NULL || m.type == KRPC_QUERY) {
        bed_send(world, to, bytes);
        return;
    }
    kind = (enum lie)(w.n_lies % LIES);
    m.b.v = (struct slice){0};
    w.n_lies++;
    w.lies[kind]++;
    lie(kind, &m, &o, &env);
    has_mac = m.mac.data != NULL;
    pair = node_pair(&n->dht->key, dht_key(reader->dht));
    if (kind == LIE_COOKIE || m.type == KRPC_ERROR) {
        struct krpc_msg bare = {.type = KRPC_ERROR,
                                .t = m.t,
                                .code = KRPC_E_COOKIE,
                                .text = slice_str("cookie"),
                                .z = slice_of(n->config.zone_id, 8)};

        node_cookie(&n->dht->key, n->bed->now, to, cookie);
        bare.cookie = slice_of(cookie, sizeof cookie);
        bare.b.v = m.b.v, bare.b.k = m.b.k, bare.b.sig = m.b.sig, bare.b.seq = m.b.seq;
        bed_send(world, to, krpc_write(&bare, buf, sizeof buf));
        return;
    }
    if (m.b.v.len > 400 && m.b.zn.len > KRPC_ZN_V4) {
        m.b.zn.len = KRPC_ZN_V4; /* so that it fits */
        m.b.zv = (struct slice){0};
    }
    bytes = node_seal(&n->dht->key, &m, reader->dht->id, has_mac ? pair : NULL, buf, sizeof buf);
    assert_true(bytes.len > 0);
    bed_send(world, to, bytes);
}

/* --- the world */

static enum err real_item(const uint8_t k[32], struct slice salt, int64_t seq, struct slice v,
                          const uint8_t sig[64])
{
    return bep44_verify(k, salt, seq, v, sig);
}

static void start_node(uint32_t i)
{
    static struct env_ops liar_ops;
    struct bed_node *n = &w.b.nodes[i];
    struct env env = {.ops = &bed_env_ops, .world = n};
    static struct node_ops ops;

    liar_ops = bed_env_ops;
    liar_ops.send = liar_send;
    ops = bed_ops;
    ops.item = real_item;
    if (i != READER)
        env.ops = &liar_ops;
    n->config.ops = &ops;
    n->dht = dht_create(&n->config, &env);
    assert_non_null(n->dht);
    bed_end_turn(&w.b, n);
    if (i > 0)
        bed_introduce(&w.b, i, 0);
    bed_run(&w.b, NS_PER_S);
}

static void set_up(uint64_t seed)
{
    struct env env = {.ops = &bed_env_ops, .world = NULL};
    uint8_t key_seed[32];
    struct slice plain;

    memset(&w, 0, sizeof w);
    bed_init(&w.b, NODES, seed);
    for (uint32_t i = 0; i < NODES; i++)
        start_node(i);
    bed_run(&w.b, 120 * NS_PER_S);
    env.world = &w.b.nodes[READER];
    env_random(&env, key_seed, sizeof key_seed);
    sign_key_from_seed(key_seed, &w.owner);
    env_random(&env, key_seed, sizeof key_seed);
    sign_key_from_seed(key_seed, &w.other);
    env_random(&env, w.X, sizeof w.X);
    assert_int_equal(item_blind_secret(ITEM_DEV, &w.owner, w.X, EPOCH, &w.today), ERR_OK);
    assert_int_equal(item_blind_secret(ITEM_DEV, &w.owner, w.X, EPOCH - 1, &w.yesterday), ERR_OK);
    w.plain_len = 64;
    env_random(&env, w.plain, w.plain_len);
    plain = slice_of(w.plain, w.plain_len);
    assert_int_equal(item_build(&env, ITEM_DEV, &w.owner, w.X, EPOCH, SEQ, plain, &w.truth), ERR_OK);
    assert_int_equal(item_build(&env, ITEM_DEV, &w.owner, w.X, EPOCH, SEQ - 3600, plain, &w.old), ERR_OK);
    assert_int_equal(item_build(&env, ITEM_DEV, &w.owner, w.X, EPOCH - 1, SEQ + 5, plain, &w.before), ERR_OK);
}

static bool on_value(void *arg, const struct item *item)
{
    uint8_t plain[ITEM_PLAIN_MAX];
    size_t len;

    (void)arg;
    if (item_open(w.X, w.today.pub, slice_of(item->v, item->v_len), plain, &len) != ERR_OK ||
        len != w.plain_len) /* as locate.c: no record */
        return false;
    w.n_accepted++;
    w.n_false += item->seq != w.truth.seq || memcmp(item->sig, w.truth.sig, SIG_BYTES) != 0 ||
                 memcmp(plain, w.plain, len) != 0;
    return true;
}

static void choose_honest(void)
{
    uint8_t target[DHT_ID_BYTES];

    dht_target(w.today.pub, target);
    w.honest = READER + 1;
    for (uint32_t i = READER + 1; i < NODES; i++)
        if (id_compare(target, dht_id(w.b.nodes[i].dht), dht_id(w.b.nodes[w.honest].dht)) > 0)
            w.honest = i;
}

static void put_truth(void)
{
    w.is_lying = false;
    for (uint32_t by = 1; by <= 2; by++) { /* whoever puts does not store */
        struct bed_result r = {0};

        dht_put(w.b.nodes[by].dht, w.b.now, &w.truth, bed_on_done, &r);
        bed_end_turn(&w.b, &w.b.nodes[by]);
        bed_run_until(&w.b, &r.is_done, 60 * NS_PER_S);
        assert_int_equal(r.e, ERR_OK);
    }
    w.is_lying = true;
}

static void forged_records(void **state)
{
    unsigned n = 0, n_found = 0;

    (void)state;
    crypto_init();
    set_up(71);
    choose_honest();
    for (; w.n_lies < TRIES; n++) {
        struct bed_result r = {0};

        if (n % PUT_EACH == 0)
            put_truth();
        assert_true(dht_get(w.b.nodes[READER].dht, w.b.now, w.today.pub, SEQ, on_value, bed_on_done, &r) !=
                    0);
        bed_end_turn(&w.b, &w.b.nodes[READER]);
        bed_run_until(&w.b, &r.is_done, 60 * NS_PER_S);
        assert_true(r.is_done);
        n_found += r.e == ERR_OK;
    }
    printf("%u lies in %u look-ups: %u accepted, %u found the true one\n", w.n_lies, n, w.n_false, n_found);
    for (int i = 0; i < LIES; i++)
        assert_true(w.lies[i] > TRIES / (2 * LIES));
    assert_int_equal(w.n_false, 0);
    assert_int_equal(n_found, n);
    assert_true(w.n_accepted >= n);
    bed_fini(&w.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence(
            "a forged, replayed, old, oversize, wrong-key or squatting record is never used and stops no "
            "search",
            forged_records),
    };

    return run_sentences("forged", tests);
}
