#include "unit/dht/bed.h"

#include "crypto/digest.h"
#include "dht/advert.h"
#include "dht/drop.h"
#include "dht/store.h"

static struct bed world; /* random bytes for tokens */
static const uint8_t own[ID_BYTES];

static struct env env_of_world(void)
{
    static struct bed_node node;

    node.bed = &world;
    return (struct env){.ops = &bed_env_ops, .world = &node};
}

static void unhex(const char *text, uint8_t *out)
{
    for (size_t i = 0; text[2 * i] != '\0'; i++) {
        unsigned v;

        assert_int_equal(sscanf(text + 2 * i, "%2x", &v), 1);
        out[i] = (uint8_t)v;
    }
}

/* A put and what it points to. */
struct put {
    struct krpc_msg m;
    uint8_t k[32], sig[64], token[STORE_TOKEN_BYTES], v[1200];
    struct slice salt;
};

static const struct addr somebody = {.family = ADDR_V4, .ip = {45, 1, 1, 1}, .port = 4000};

static void set_value(struct put *p, size_t len)
{
    int head = snprintf((char *)p->v, sizeof p->v, "%zu:", len);

    for (size_t i = 0; i < len; i++)
        p->v[(size_t)head + i] = (uint8_t)i;
    p->m.b.v = slice_of(p->v, (size_t)head + len);
}

static void set_token(struct store *s, ns_t now, const struct addr *from, struct put *p)
{
    uint8_t text[32 + 64], target[20];

    memcpy(text, p->k, 32);
    if (p->m.b.salt.len > 0 && p->m.b.salt.len <= 64)
        memcpy(text + 32, p->m.b.salt.data, p->m.b.salt.len);
    digest_sha1(slice_of(text, 32 + (p->m.b.salt.len <= 64 ? p->m.b.salt.len : 0)), target);
    store_token(s, now, from, target, p->token);
    p->m.b.token = slice_of(p->token, sizeof p->token);
}

static void make_put(struct store *s, ns_t now, uint32_t number, int64_t seq, size_t len, struct put *p)
{
    memset(p, 0, sizeof *p);
    hash_once(32, "key", 3, slice_of(&number, sizeof number), p->k);
    set_value(p, len);
    bed_item_mark(p->k, (struct slice){0}, seq, p->m.b.v, p->sig);
    p->m.b.k = slice_of(p->k, 32);
    p->m.b.sig = slice_of(p->sig, 64);
    p->m.b.seq = (struct krpc_int){.v = seq, .is_set = true};
    set_token(s, now, &somebody, p);
}

static int do_put(struct store *s, ns_t now, struct put *p)
{
    uint8_t target[ID_BYTES];

    return store_put(s, now, &somebody, NULL, &p->m, target);
}

/* Test vectors 1 and 2 of BEP 44, with real signatures. */
static void bep44(void **state)
{
    static const struct {
        const char *salt, *target, *sig;
    } v[] = {
        {"", "4a533d47ec9c7d95b1ad75f576cffc641853b750",
         "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4"
         "f3ecbfda0ce53a"
         "1608ecd7ae21f01"},
        {"foobar", "411eba73b6f087ca51a3795d9c8c938d365e32c1",
         "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca"
         "78c58f8e03b5f1"
         "8f14951a87d9a08"},
    };
    struct env env = env_of_world();
    struct store s;
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    assert_int_equal(crypto_init(), ERR_OK);
    store_init(&s, own, 8, &node_ops_real, &env);
    for (unsigned i = 0; i < 2; i++) {
        struct put p = {.m.b.v = slice_str("12:Hello World!")};
        uint8_t target[20], right[20];

        unhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548", p.k);
        unhex(v[i].sig, p.sig);
        unhex(v[i].target, right);
        p.m.b.k = slice_of(p.k, 32);
        p.m.b.sig = slice_of(p.sig, 64);
        p.m.b.seq = (struct krpc_int){.v = 1, .is_set = true};
        if (v[i].salt[0] != '\0')
            p.m.b.salt = slice_str(v[i].salt);
        set_token(&s, now, &somebody, &p);
        assert_int_equal(store_put(&s, now, &somebody, NULL, &p.m, target), 0);
        assert_memory_equal(target, right, 20);
        assert_int_equal(store_get(&s, now, right)->v_len, 15);
        assert_memory_equal(store_get(&s, now, right)->v, "12:Hello World!", 15);
        p.sig[0] ^= 1;
        assert_int_equal(do_put(&s, now, &p), KRPC_E_SIGNATURE);
    }
    store_fini(&s);
}

static void sizes(void **state)
{
    struct env env = env_of_world();
    struct store s;
    struct put p;
    uint8_t salt[65] = {0};
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    store_init(&s, own, 8, &bed_ops, &env);
    make_put(&s, now, 1, 1, 996, &p);
    assert_int_equal(do_put(&s, now, &p), 0);
    make_put(&s, now, 2, 1, 997, &p);
    assert_int_equal(do_put(&s, now, &p), KRPC_E_TOO_BIG);
    make_put(&s, now, 3, 1, 10, &p);
    p.m.b.salt = slice_of(salt, 65);
    assert_int_equal(do_put(&s, now, &p), KRPC_E_SALT);
    make_put(&s, now, 3, 1, 10, &p);
    p.m.b.v = slice_str("i7e"); /* in a zone */
    assert_int_equal(store_put(&s, now, &somebody, own, &p.m, salt), KRPC_E_PROTOCOL);
    make_put(&s, now, 3, -1, 10, &p);
    assert_int_equal(do_put(&s, now, &p), KRPC_E_PROTOCOL);
    assert_int_equal(s.n, 1);
    store_fini(&s);
}

/* What mainline holds beside byte strings under keys; test vector 3 of BEP 44. */
static void any_value(void **state)
{
    struct env env = env_of_world();
    struct store s;
    struct put p = {.m.b.v = slice_str("12:Hello World!")};
    uint8_t target[20], right[20];
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    store_init(&s, own, 8, &bed_ops, &env);
    unhex("e5f96f6f38320f0f33959cb4d3d656452117aadb", right);
    store_token(&s, now, &somebody, right, p.token);
    assert_int_equal(do_put(&s, now, &p), KRPC_E_PROTOCOL); /* without the token */
    p.m.b.token = slice_of(p.token, sizeof p.token);
    assert_int_equal(store_put(&s, now, &somebody, NULL, &p.m, target), 0);
    assert_memory_equal(target, right, 20);
    assert_false(store_get(&s, now, right)->is_mutable);
    assert_int_equal(do_put(&s, now + 7000 * NS_PER_S, &p), KRPC_E_PROTOCOL); /* a token of that age */
    assert_int_equal(store_put(&s, now, &somebody, own, &p.m, target), KRPC_E_PROTOCOL); /* in a zone */
    make_put(&s, now, 3, 1, 10, &p);
    p.m.b.v = slice_str("d1:ai1e1:bl1:xee");
    bed_item_mark(p.k, (struct slice){0}, 1, p.m.b.v, p.sig);
    assert_int_equal(store_put(&s, now, &somebody, NULL, &p.m, target), 0);
    assert_int_equal(store_get(&s, now, target)->v_len, 16);
    assert_memory_equal(store_get(&s, now, target)->v, "d1:ai1e1:bl1:xee", 16);
    p.m.b.sig = (struct slice){0}; /* a key without a signature */
    assert_int_equal(do_put(&s, now, &p), KRPC_E_PROTOCOL);
    store_fini(&s);
}

static void sequence(void **state)
{
    struct env env = env_of_world();
    struct store s;
    struct put p;
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    store_init(&s, own, 8, &bed_ops, &env);
    make_put(&s, now, 1, 5, 10, &p);
    assert_int_equal(do_put(&s, now, &p), 0);
    assert_int_equal(do_put(&s, now, &p), 0); /* the same again: a refresh */
    make_put(&s, now, 1, 5, 11, &p);
    assert_int_equal(do_put(&s, now, &p), KRPC_E_SEQ); /* another value at the same seq */
    make_put(&s, now, 1, 4, 10, &p);
    assert_int_equal(do_put(&s, now, &p), KRPC_E_SEQ);
    make_put(&s, now, 1, 6, 12, &p);
    p.m.b.cas = (struct krpc_int){.v = 4, .is_set = true};
    assert_int_equal(do_put(&s, now, &p), KRPC_E_CAS);
    p.m.b.cas.v = 5;
    assert_int_equal(do_put(&s, now, &p), 0);
    assert_int_equal(s.n, 1);
    store_fini(&s);
}

static void tokens(void **state)
{
    struct env env = env_of_world();
    struct store s;
    struct put p, q;
    struct addr port = somebody, other = somebody;
    uint8_t target[20], N[32] = {1};
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    port.port = 5;
    other.ip[3] = 9;
    store_init(&s, own, 8, &bed_ops, &env);
    make_put(&s, now, 1, 1, 10, &p);
    assert_int_equal(store_put(&s, now, &other, NULL, &p.m, target), KRPC_E_PROTOCOL); /* another address */
    assert_int_equal(store_put(&s, now, &port, NULL, &p.m, target), 0); /* the port does not matter */
    q = p;
    q.m.b.token = (struct slice){0};
    assert_int_equal(store_put(&s, now, &somebody, NULL, &q.m, target), KRPC_E_PROTOCOL);
    assert_int_equal(store_put(&s, now, &somebody, N, &q.m, target),
                     0); /* a zone's node has proven its address */
    assert_int_equal(store_put(&s, now, &other, N, &p.m, target),
                     KRPC_E_PROTOCOL); /* but a wrong one is wrong */
    make_put(&s, now, 2, 1, 10, &q);
    q.m.b.token = p.m.b.token;
    assert_int_equal(do_put(&s, now, &q), KRPC_E_PROTOCOL); /* another target */
    p.m.b.token.len = 7;
    assert_int_equal(do_put(&s, now, &p), KRPC_E_PROTOCOL);
    make_put(&s, now, 1, 2, 10, &p);
    assert_int_equal(do_put(&s, now + 299 * NS_PER_S, &p), 0); /* usable for 5 min at least */
    make_put(&s, now + 299 * NS_PER_S, 1, 3, 10, &p);
    assert_int_equal(do_put(&s, now + 910 * NS_PER_S, &p), KRPC_E_PROTOCOL); /* and for 10 at most */
    store_fini(&s);
}

static void expiry(void **state)
{
    struct env env = env_of_world();
    struct store s;
    struct put p;
    uint8_t target[20];
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    store_init(&s, own, 8, &bed_ops, &env);
    make_put(&s, now, 1, 1, 10, &p);
    assert_int_equal(store_put(&s, now, &somebody, NULL, &p.m, target), 0);
    assert_int_equal(store_deadline(&s), now + STORE_LIFE_NS);
    assert_non_null(store_get(&s, now + STORE_LIFE_NS - 1, target));
    assert_null(store_get(&s, now + STORE_LIFE_NS, target));
    store_tick(&s, now + STORE_LIFE_NS);
    assert_int_equal(s.n, 0);
    assert_int_equal(store_deadline(&s), NS_NEVER);
    store_fini(&s);
}

static void caps(void **state)
{
    struct env env = env_of_world();
    struct store s;
    struct put p;
    uint8_t target[20], farthest[20] = {0};
    unsigned n_ok = 0;
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    store_init(&s, own, 8, &bed_ops, &env);
    for (uint32_t i = 0; i < 64; i++) {
        make_put(&s, now, i, 1, 10, &p);
        n_ok += store_put(&s, now, &somebody, NULL, &p.m, target) == 0;
        assert_true(s.n <= 8);
    }
    assert_true(n_ok < 64 && s.cap_drops > 0);
    for (unsigned i = 0; i < s.cap; i++)
        if (id_compare(own, s.pool[i]->target, farthest) > 0)
            memcpy(farthest, s.pool[i]->target, 20);
    for (uint32_t i = 0; i < 64; i++) { /* the nearest 8 of the 64 are there */
        make_put(&s, now, i, 1, 10, &p);
        digest_sha1(slice_of(p.k, 32), target);
        assert_true(store_get(&s, now, target) != NULL || id_compare(own, target, farthest) > 0);
    }
    store_fini(&s);
    store_init(&s, own, 400, &bed_ops, &env);
    for (uint32_t i = 0; i < 300; i++) {
        make_put(&s, now, i, 1, 10, &p);
        do_put(&s, now, &p);
    }
    assert_int_equal(s.n, STORE_PER_NET);
    store_fini(&s);
}

/* --- drops */

static void search(const uint8_t *id, const uint8_t *blob, unsigned bits, uint8_t nonce[8])
{
    struct env env = env_of_world();
    struct pow p;

    pow_init(&p, id, slice_of(blob, DROP_BLOB_BYTES), bits, &env);
    while (pow_search(&p, 1u << 20, nonce) != ERR_OK)
        ;
}

/* n blobs of so many bits, put in by hand: the work would take a minute. */
static void fill(struct drops *d, ns_t now, const uint8_t *id, unsigned n, unsigned bits)
{
    if (d->cap < d->max) {
        d->pool = mem_resize(d->pool, d->max, sizeof *d->pool);
        memset(d->pool + d->cap, 0, (d->max - d->cap) * sizeof *d->pool);
        d->cap = d->max;
    }
    for (unsigned i = 0; i < n; i++) {
        struct blob *b = &d->pool[d->n++];

        memcpy(b->drop_id, id, ID_BYTES);
        b->hash[0] = (uint8_t)(i + 1);
        b->bits = (uint8_t)bits;
        b->put_at = now;
        b->expires_at = now + DROP_LIFE_NS;
        d->next_expiry = b->expires_at;
    }
}

static void work(void **state)
{
    struct drops d;
    uint8_t id[20] = {1}, blob[DROP_BLOB_BYTES] = {2}, nonce[8] = {0}, hashes[DROP_PER_ID * DROP_HASH], bits;
    bool is_new;
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    drops_init(&d, 64);
    while (pow_bits(id, slice_of(blob, sizeof blob), nonce) >= DROP_BITS_MIN)
        nonce[0]++;
    assert_int_equal(drops_put(&d, now, id, blob, nonce, &bits, &is_new), ERR_REFUSED);
    assert_int_equal(bits, DROP_BITS_MIN);
    search(id, blob, DROP_BITS_MIN, nonce);
    assert_int_equal(drops_put(&d, now, id, blob, nonce, &bits, &is_new), ERR_OK);
    assert_true(is_new);
    assert_int_equal(drops_put(&d, now, id, blob, nonce, &bits, &is_new), ERR_OK);
    assert_false(is_new);
    assert_int_equal(d.n, 1);
    assert_int_equal(drops_list(&d, now, id, hashes), 1);
    assert_memory_equal(drops_get(&d, now, id, hashes)->bytes, blob, sizeof blob);
    id[0] = 9; /* the work was for another drop */
    assert_int_equal(drops_put(&d, now, id, blob, nonce, &bits, &is_new), ERR_REFUSED);
    id[0] = 1;
    drops_tick(&d, now + DROP_LIFE_NS);
    assert_int_equal(d.n, 0);
    drops_fini(&d);
}

static void price(void **state)
{
    struct drops d;
    uint8_t id[20] = {1}, other[20] = {7}, blob[DROP_BLOB_BYTES] = {3}, nonce[8], bits;
    bool is_new;
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    drops_init(&d, 64);
    fill(&d, now, id, DROP_PER_ID, 18);
    search(id, blob, 18, nonce);
    while (pow_bits(id, slice_of(blob, sizeof blob), nonce) != 18) {
        blob[1]++;
        search(id, blob, 18, nonce);
    }
    assert_int_equal(drops_price(&d, now, id), 19);
    assert_int_equal(drops_price(&d, now, other), 18);
    assert_int_equal(drops_put(&d, now, id, blob, nonce, &bits, &is_new), ERR_FULL);
    assert_int_equal(bits, 19);
    /* a day later the old ones yield to as many bits */
    assert_int_equal(drops_price(&d, now + DROP_YIELD_NS + 1, id), 18);
    assert_int_equal(drops_put(&d, now + DROP_YIELD_NS + 1, id, blob, nonce, &bits, &is_new), ERR_OK);
    assert_int_equal(d.n, DROP_PER_ID);
    /* and with more bits at once */
    blob[2] = 5;
    search(id, blob, 19, nonce);
    assert_int_equal(drops_put(&d, now, id, blob, nonce, &bits, &is_new), ERR_OK);
    assert_int_equal(d.n, DROP_PER_ID);
    drops_fini(&d);
}

static void all_full(void **state)
{
    struct drops d;
    uint8_t id[20] = {1}, other[20] = {7};
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    drops_init(&d, 40);
    fill(&d, now, id, 20, 25);
    fill(&d, now, other, 20, 22);
    assert_int_equal(drops_price(&d, now, id), 23); /* the weakest of all must be beaten */
    drops_fini(&d);
}

/* --- adverts */

static void advert_caps(void **state)
{
    struct adverts a;
    uint8_t key[20] = {1}, N[32] = {0};
    struct addr from = somebody;
    unsigned n;
    ns_t now = 1000 * NS_PER_S;
    (void)state;

    adverts_init(&a, 100);
    for (unsigned i = 0; i < 10; i++) {
        N[0] = (uint8_t)i;
        assert_int_equal(adverts_put(&a, now, key, N, &from, slice_str("x")),
                         i < ADVERT_PER_NET ? ERR_OK : ERR_FULL);
    }
    N[0] = 2; /* renewing stands in nobody's way */
    assert_int_equal(adverts_put(&a, now, key, N, &from, slice_str("yy")), ERR_OK);
    for (unsigned i = 0; i < 100; i++) {
        from.ip[2] = (uint8_t)(i + 2);
        N[0] = (uint8_t)(i + 100);
        adverts_put(&a, now, key, N, &from, slice_str("z"));
    }
    adverts_get(&a, now, key, 0, &n);
    assert_int_equal(n, ADVERT_PER_KEY);
    assert_null(adverts_get(&a, now, key, ADVERT_PER_KEY, NULL));
    assert_null(adverts_get(&a, now + ADVERT_LIFE_NS, key, 0, NULL));
    assert_int_equal(adverts_put(&a, now, key, N, &from, (struct slice){0}), ERR_RANGE);
    adverts_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the mutable items of BEP 44 are stored where it says, and not with a changed signature",
                 bep44),
        sentence("996 bytes are stored and 997 refused, salts end at 64", sizes),
        sentence("immutable values and values of any type are kept as they came, on mainline", any_value),
        sentence("a lower seq is refused, the same once more is a refresh, cas must match", sequence),
        sentence("a token is good for one address and one target, 5 to 10 minutes", tokens),
        sentence("an item is gone two hours after its last put", expiry),
        sentence("a full store keeps the nearest, and one network gets a share", caps),
        sentence("a blob without its work is refused", work),
        sentence("a full drop asks for more, and a day later for less", price),
        sentence("a full store of blobs asks more than the weakest of all", all_full),
        sentence("adverts are capped by key and by network, and expire", advert_caps),
    };

    return run_sentences("store", tests);
}
