#include "crypto/item.h"

#include <sodium.h>

#include "unit/crypto/world.h"

static void setup_key(struct sign_key *k, uint8_t X[static 32])
{
    uint8_t seed[32];

    seed_of_the_pages(seed);
    sign_key_from_seed(seed, k);
    memset(X, 0x55, 32);
}

static void page_vector(void **state)
{
    struct sign_key k;
    struct blind_key b;
    uint8_t X[32], pub[32], sig[64];

    (void)state;
    setup_key(&k, X);
    assert_int_equal(item_blind_public(ITEM_DEV, k.pub, X, 20779, pub), ERR_OK);
    assert_hex(pub, "7f9dcaadbab11652c8944433a9cce04ed2c2af0db2b8b804e4d6ac5cb3c454e5");
    assert_int_equal(item_blind_secret(ITEM_DEV, &k, X, 20779, &b), ERR_OK);
    assert_memory_equal(b.pub, pub, 32);
    blind_sign(&b, slice_str("3:seqi1e1:v5:hello"), sig);
    assert_hex(sig, "c497b721ca3e4e6d06b75c99998fc2a5b9b6531144c60042f75069a3ac9eb320"
                    "3a807ef3aee2c31ea3e307a1c592d0ef5091173dd7af94c864adebb8a7ae6a09");
}

/* h of the page, from P' = h·P and p' = h·p: p' / p = h mod the group order. */
static void page_h(void **state)
{
    struct sign_key k;
    struct blind_key plain, b;
    uint8_t X[32], inverse[32], h[32], az[64] = {0}, reduced[32];

    (void)state;
    setup_key(&k, X);
    assert_int_equal(item_blind_secret(ITEM_DEV, &k, X, 20779, &b), ERR_OK);
    blind_none(&k, &plain);
    memcpy(az, plain.scalar, 32);
    crypto_core_ed25519_scalar_reduce(reduced, az);
    assert_int_equal(crypto_core_ed25519_scalar_invert(inverse, reduced), 0);
    crypto_core_ed25519_scalar_mul(h, b.scalar, inverse);
    assert_hex(h, "139e1cd109aa61629561c87eb687d94960426cba604be63db6ff0b2d5f516406");
}

/* BEP 44, test vectors 1 and 2: the private key is given in expanded form. */
static void bep44_vectors(void **state)
{
    struct blind_key k;
    uint8_t expanded[64], sig[64];

    (void)state;
    unhex("e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d"
          "b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d",
          expanded);
    memcpy(k.scalar, expanded, 32);
    memcpy(k.prefix, expanded + 32, 32);
    unhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548", k.pub);
    assert_int_equal(bep44_sign(&k, slice_str(""), 1, slice_str("12:Hello World!"), sig), ERR_OK);
    assert_hex(sig, "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff"
                    "1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01");
    assert_int_equal(bep44_verify(k.pub, slice_str(""), 1, slice_str("12:Hello World!"), sig), ERR_OK);
    assert_int_equal(bep44_sign(&k, slice_str("foobar"), 1, slice_str("12:Hello World!"), sig), ERR_OK);
    assert_hex(sig, "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d"
                    "df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08");
    assert_int_equal(bep44_verify(k.pub, slice_str("foobar"), 1, slice_str("12:Hello World!"), sig), ERR_OK);
    assert_int_equal(bep44_verify(k.pub, slice_str("fooba"), 1, slice_str("12:Hello World!"), sig), ERR_AUTH);
    assert_int_equal(bep44_verify(k.pub, slice_str("foobar"), 2, slice_str("12:Hello World!"), sig),
                     ERR_AUTH);
}

static void bep44_caps(void **state)
{
    static uint8_t v[1001];
    struct sign_key k;
    struct blind_key b;
    uint8_t X[32], sig[64];

    (void)state;
    setup_key(&k, X);
    blind_none(&k, &b);
    assert_int_equal(bep44_sign(&b, slice_of(v, 64), 1, slice_of(v, 1000), sig), ERR_OK);
    assert_int_equal(bep44_sign(&b, slice_of(v, 65), 1, slice_of(v, 1000), sig), ERR_RANGE);
    assert_int_equal(bep44_sign(&b, slice_of(v, 64), 1, slice_of(v, 1001), sig), ERR_RANGE);
    assert_int_equal(item_sign_bep44(&b, 1, slice_of(v, ITEM_V_MAX), sig), ERR_OK);
    assert_int_equal(item_sign_bep44(&b, 1, slice_of(v, ITEM_V_MAX + 1), sig), ERR_RANGE);
}

static void epochs(void **state)
{
    struct sign_key k;
    uint8_t X[32];
    int64_t t = 1795305600, left;
    uint64_t e;

    (void)state;
    setup_key(&k, X);
    e = item_epoch(k.pub, X, t);
    left = item_epoch_left_s(k.pub, X, t);
    assert_true(e == (uint64_t)t / 86400 || e == (uint64_t)t / 86400 + 1);
    assert_in_range(left, 1, 86400);
    assert_int_equal(item_epoch(k.pub, X, t + left - 1), e);
    assert_int_equal(item_epoch(k.pub, X, t + left), e + 1);
    assert_int_equal(item_epoch_left_s(k.pub, X, t + left), 86400);
    /* off by CPython's hashlib.blake2b */
    assert_int_equal(item_epoch_left_s(k.pub, X, 0), 86400 - 41630);
    X[0] ^= 1;
    assert_int_not_equal(item_epoch_left_s(k.pub, X, t), left);
    assert_int_equal(item_epoch(k.pub, X, -5), item_epoch(k.pub, X, 0));
}

static void sealed(void **state)
{
    static const struct {
        size_t plain;
        uint16_t v;
    } sizes[] = {{0, 448}, {405, 448}, {406, 704}, {661, 704}, {662, 960}, {917, 960}};
    uint8_t plain[ITEM_PLAIN_MAX + 1], v[ITEM_SEALED_MAX], out[ITEM_PLAIN_MAX], X[32];
    struct sign_key k;
    uint16_t v_len;
    size_t len;
    WORLD(env);

    (void)state;
    setup_key(&k, X);
    env_random(&env, plain, sizeof plain);
    assert_int_equal(ITEM_PLAIN_MAX, 917);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(item_seal(&env, X, k.pub, slice_of(plain, sizes[i].plain), v, &v_len), ERR_OK);
        assert_int_equal(v_len, sizes[i].v);
        assert_int_equal(item_open(X, k.pub, slice_of(v, v_len), out, &len), ERR_OK);
        assert_int_equal(len, sizes[i].plain);
        assert_memory_equal(out, plain, len);
    }
    assert_int_equal(item_seal(&env, X, k.pub, slice_of(plain, 918), v, &v_len), ERR_FULL);
    assert_int_equal(v_len, 0);
}

static void squatter(void **state)
{
    uint8_t v[ITEM_SEALED_MAX], out[ITEM_PLAIN_MAX], X[32], other[32];
    struct sign_key k;
    uint16_t v_len;
    size_t len;
    WORLD(env);

    (void)state;
    setup_key(&k, X);
    assert_int_equal(item_seal(&env, X, k.pub, slice_str("x"), v, &v_len), ERR_OK);
    memcpy(other, X, 32);
    other[31] ^= 1;
    assert_int_equal(item_open(other, k.pub, slice_of(v, v_len), out, &len), ERR_AUTH);
    assert_int_equal(item_open(X, other, slice_of(v, v_len), out, &len), ERR_AUTH);
    assert_int_equal(item_open(X, k.pub, slice_of(v, v_len - 1u), out, &len), ERR_PARSE);
    assert_int_equal(item_open(X, k.pub, slice_of(v, 0), out, &len), ERR_PARSE);
    for (size_t i = 1; i < v_len; i += 41) {
        v[i] ^= 0x10;
        assert_int_equal(item_open(X, k.pub, slice_of(v, v_len), out, &len), ERR_AUTH);
        v[i] ^= 0x10;
    }
    v[0] = 2;
    assert_int_equal(item_open(X, k.pub, slice_of(v, v_len), out, &len), ERR_PARSE);
}

static void built(void **state)
{
    uint8_t out[ITEM_PLAIN_MAX], X[32];
    struct sign_key k;
    struct item item;
    size_t len;
    WORLD(env);

    (void)state;
    setup_key(&k, X);
    assert_int_equal(item_build(&env, ITEM_CARD, &k, X, 20779, 1795305600, slice_str("card"), &item), ERR_OK);
    assert_int_equal(item_verify(&item), ERR_OK);
    assert_int_equal(item_open(X, item.k, slice_of(item.v, item.v_len), out, &len), ERR_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(out, "card", 4);
    item.seq++;
    assert_int_equal(item_verify(&item), ERR_AUTH);
    item.seq--;
    item.v[100] ^= 1;
    assert_int_equal(item_verify(&item), ERR_AUTH);
    item.v_len = ITEM_V_MAX + 1;
    assert_int_equal(item_verify(&item), ERR_RANGE);
}

static void unlinkable(void **state)
{
    uint8_t a[32], b[32], X[32];
    struct sign_key k;

    (void)state;
    setup_key(&k, X);
    assert_int_equal(item_blind_public(ITEM_DEV, k.pub, X, 7, a), ERR_OK);
    assert_int_equal(item_blind_public(ITEM_CARD, k.pub, X, 7, b), ERR_OK);
    assert_memory_not_equal(a, b, 32);
    assert_int_equal(item_blind_public(ITEM_DEV, k.pub, X, 8, b), ERR_OK);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, k.pub, 32);
}

static void public_half_only(void **state)
{
    uint8_t X[32];
    struct sign_key k;
    struct blind_key b;

    (void)state;
    setup_key(&k, X);
    memset(k.seed, 0, 32);
    assert_int_equal(item_blind_secret(ITEM_CARD, &k, X, 7, &b), ERR_STATE);
    assert_true(secret_is_zero(&b, sizeof b));
}

static size_t make_list(const struct env *env, struct sign_key *k, uint8_t n, uint8_t *out)
{
    struct device_list list = {.gen = 3, .n = n};
    struct wr w;

    for (uint8_t i = 0; i < n; i++) {
        struct sign_key q;

        env_random(env, q.seed, 32);
        sign_key_from_seed(q.seed, &q);
        list.devices[i].slot = i;
        env_random(env, list.devices[i].D, 32);
        memcpy(list.devices[i].Q, q.pub, 32);
    }
    assert_int_equal(device_list_sign(k, &list), ERR_OK);
    wr_init(&w, out, LIST_MAX_BYTES);
    device_list_write(&w, &list);
    assert_true(wr_ok(&w));
    return wr_len(&w);
}

static void dev_round(void **state)
{
    uint8_t bytes[LIST_MAX_BYTES], out[ITEM_PLAIN_MAX], again[ITEM_PLAIN_MAX], X[32];
    struct dev_record rec = {.flags = 1, .issued_s = 1795305600, .n_relays = 2, .n_addrs = 2}, got;
    struct sign_key k;
    struct device_list list;
    size_t len, len2;
    WORLD(env);

    (void)state;
    setup_key(&k, X);
    rec.list = slice_of(bytes, make_list(&env, &k, 2, bytes));
    memset(rec.D, 9, 32);
    assert_int_equal(addr_parse("192.0.2.1:41641", &rec.relays[0].addr), ERR_OK);
    assert_int_equal(addr_parse("[2001:db8::1]:443", &rec.relays[1].addr), ERR_OK);
    memset(rec.relays[1].token, 7, 8);
    rec.addrs[0] = rec.relays[0].addr;
    rec.addrs[1] = rec.relays[1].addr;
    assert_int_equal(dev_record_write(&rec, out, &len), ERR_OK);
    assert_int_equal(len, 43 + 32 + 7 + 8 + 32 + 19 + 8 + 1 + 7 + 19 + LIST_BYTES(2));
    assert_int_equal(dev_record_parse(slice_of(out, len), &got), ERR_OK);
    assert_int_equal(got.issued_s, rec.issued_s);
    assert_true(addr_equal(&got.addrs[1], &rec.addrs[1]));
    assert_int_equal(device_list_open(got.list, k.pub, &list), ERR_OK);
    assert_int_equal(list.n, 2);
    assert_int_equal(dev_record_write(&got, again, &len2), ERR_OK);
    assert_int_equal(len, len2);
    assert_memory_equal(out, again, len);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(dev_record_parse(slice_of(out, cut), &got), ERR_OK);
    out[0] = 2;
    assert_int_equal(dev_record_parse(slice_of(out, len), &got), ERR_VERSION);
}

static void card_round(void **state)
{
    uint8_t bytes[LIST_MAX_BYTES], out[ITEM_PLAIN_MAX], again[ITEM_PLAIN_MAX], X[32];
    struct card_record rec = {.S_gen = 77, .n_relays = 2}, got;
    struct sign_key k;
    size_t len, len2;
    WORLD(env);

    (void)state;
    setup_key(&k, X);
    rec.list = slice_of(bytes, make_list(&env, &k, 8, bytes));
    memset(rec.S, 3, 32);
    assert_int_equal(addr_parse("[2001:db8::1]:443", &rec.relays[0].addr), ERR_OK);
    rec.relays[1].addr = rec.relays[0].addr;
    assert_int_equal(card_record_write(&rec, out, &len), ERR_OK);
    assert_int_equal(card_record_parse(slice_of(out, len), &got), ERR_OK);
    assert_int_equal(got.S_gen, 77);
    assert_memory_equal(got.S, rec.S, 32);
    assert_int_equal(card_record_write(&got, again, &len2), ERR_OK);
    assert_int_equal(len, len2);
    assert_memory_equal(out, again, len);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(card_record_parse(slice_of(out, cut), &got), ERR_OK);
}

static void too_much(void **state)
{
    uint8_t bytes[LIST_MAX_BYTES], out[ITEM_PLAIN_MAX], X[32];
    struct dev_record rec = {.n_relays = 4, .n_addrs = 8};
    struct sign_key k;
    size_t len;
    WORLD(env);

    (void)state;
    setup_key(&k, X);
    rec.list = slice_of(bytes, make_list(&env, &k, 8, bytes));
    for (int i = 0; i < 8; i++)
        assert_int_equal(addr_parse("[2001:db8::1]:443", &rec.addrs[i]), ERR_OK);
    for (int i = 0; i < 4; i++)
        rec.relays[i].addr = rec.addrs[0];
    assert_int_equal(dev_record_write(&rec, out, &len), ERR_FULL);
    rec.n_addrs = 0;
    assert_int_equal(dev_record_write(&rec, out, &len), ERR_OK);
    rec.n_relays = 5;
    assert_int_equal(dev_record_write(&rec, out, &len), ERR_FULL);
    assert_int_equal(len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("P' and the signature are the vector of THREATS.md", page_vector),
        sentence("h is the vector of THREATS.md", page_h),
        sentence("signatures are those of BEP 44, without and with salt", bep44_vectors),
        sentence("salt above 64 and values above 1000 bytes are refused", bep44_caps),
        sentence("an epoch lasts a day and starts at its own second", epochs),
        sentence("a value has one of three sizes and opens to what was sealed", sealed),
        sentence("a value of another secret, key, size or version does not open", squatter),
        sentence("a built item verifies, and no more after any change", built),
        sentence("keys of two kinds or two days have nothing in common", unlinkable),
        sentence("a device without the secret half cannot blind it", public_half_only),
        sentence("a device record survives the wire, and no part of it passes for one", dev_round),
        sentence("a card survives the wire with eight devices, and no part of it passes for one", card_round),
        sentence("what does not fit is refused, not cut", too_much),
    };

    return crypto_init() == ERR_OK ? run_sentences("item", tests) : 1;
}
