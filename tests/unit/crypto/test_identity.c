#include "crypto/identity.h"

#include <sodium.h>

#include "unit/crypto/world.h"

static void from_seed(void **state)
{
    uint8_t seed[32];
    struct sign_key k;

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &k);
    assert_hex(k.pub, "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
    assert_memory_equal(k.seed, seed, 32);
}

static void pair_vector(void **state)
{
    struct sign_key a, b;
    uint8_t seed[32], ab[32], ba[32];

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &a);
    memset(seed, 7, 32);
    sign_key_from_seed(seed, &b);
    assert_hex(b.pub, "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
    assert_int_equal(identity_pair_secret(&a, b.pub, ab), ERR_OK);
    assert_int_equal(identity_pair_secret(&b, a.pub, ba), ERR_OK);
    assert_hex(ab, "f7ce77276cd8ddfb30bd85e43d3d1e93ab793d09c2f5e21b9bb90686b98753bb");
    assert_memory_equal(ab, ba, 32);
}

static void not_keys(void **state)
{
    struct sign_key a;
    uint8_t seed[32], bad[32], out[32];

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &a);
    assert_true(ed_key_valid(a.pub));
    for (size_t i = 0; i < N_BAD_POINTS; i++) {
        unhex(bad_points[i], bad);
        assert_false(ed_key_valid(bad));
    }
    /* a key plus a point of order 8: right for libsodium's signatures, wrong for us */
    unhex(bad_points[4], bad);
    assert_int_equal(crypto_core_ed25519_add(out, a.pub, bad), 0);
    assert_false(ed_key_valid(out));
    for (size_t i = 0; i < N_BAD_POINTS; i++) {
        unhex(bad_points[i], bad);
        assert_int_not_equal(identity_pair_secret(&a, bad, out), ERR_OK);
        assert_true(secret_is_zero(out, 32));
    }
}

/* RFC 7748 §5.2 (first vector) and §6.1 (Bob's key pair). */
static void dh_vector(void **state)
{
    uint8_t secret[32], u[32], out[32], zero[32] = {0};
    struct dh_key bob;

    (void)state;
    unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", secret);
    unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", u);
    assert_int_equal(dh_shared(secret, u, out), ERR_OK);
    assert_hex(out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", secret);
    dh_key_from_secret(secret, &bob);
    assert_hex(bob.pub, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_int_equal(dh_shared(secret, zero, out), ERR_AUTH);
    assert_true(secret_is_zero(out, 32));
}

static void conversions_agree(void **state)
{
    uint8_t seed[32], secret[32], pub[32];
    struct sign_key k;
    struct dh_key x;

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &k);
    ed_to_x_secret(&k, secret);
    assert_int_equal(ed_to_x_public(k.pub, pub), ERR_OK);
    dh_key_from_secret(secret, &x);
    assert_memory_equal(x.pub, pub, 32);
}

static void phrase_derives(void **state)
{
    uint8_t m[32], next[32], again[32];
    struct sign_key zero, one;

    (void)state;
    memset(m, 0x42, 32);
    identity_derive(m, 0, &zero);
    identity_derive(m, 1, &one);
    /* both hashes by CPython's hashlib.blake2b */
    assert_hex(zero.seed, "3b96a12a24d51af814e8658077865f40865d8c88b93dcc6b7d7a870fff43eca6");
    assert_hex(one.seed, "46634edd966065a547ddba93620ec9017440ed72632770db1a04e09247e55917");
    assert_memory_not_equal(zero.pub, one.pub, 32);
    identity_next(one.pub, next);
    identity_next(zero.pub, again);
    assert_memory_not_equal(next, again, 32);
}

static void signs_in_context(void **state)
{
    struct slice parts[] = {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"c", 1}};
    struct slice other[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"bc", 2}};
    uint8_t seed[32], sig[64], plain[64];
    unsigned char sk[64], pk[32];
    struct sign_key k;

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &k);
    assert_int_equal(sign_parts(&k, SIGN_DEVICE, parts, 2, sig), ERR_OK);
    crypto_sign_seed_keypair(pk, sk, seed);
    crypto_sign_detached(plain, NULL, (const uint8_t *)"itodenwa-device-v1\0abc", 22, sk);
    assert_memory_equal(sig, plain, 64);
    assert_int_equal(verify_parts(k.pub, SIGN_DEVICE, other, 2, sig), ERR_OK);
    assert_int_equal(verify_parts(k.pub, SIGN_LIST, parts, 2, sig), ERR_AUTH);
    assert_int_equal(verify_parts(k.pub, SIGN_DEVICE, parts, 1, sig), ERR_AUTH);
    sig[3] ^= 1;
    assert_int_equal(verify_parts(k.pub, SIGN_DEVICE, parts, 2, sig), ERR_AUTH);
}

static void krpc(void **state)
{
    uint8_t seed[32], sig[64], zone[8] = {1}, id[20] = {2}, other[20] = {3};
    struct slice message = slice_str("d1:q4:pinge");
    struct sign_key k;

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &k);
    assert_int_equal(node_sign_krpc(&k, zone, id, message, sig), ERR_OK);
    assert_int_equal(node_verify_krpc(k.pub, zone, id, message, sig), ERR_OK);
    assert_int_equal(node_verify_krpc(k.pub, zone, other, message, sig), ERR_AUTH);
    zone[7] = 1;
    assert_int_equal(node_verify_krpc(k.pub, zone, id, message, sig), ERR_AUTH);
}

static void ledger_only(void **state)
{
    static const char *const magics[] = {"RLS1", "RLC1", "RLD1", "RLP1"};
    uint8_t seed[32], sig[64];
    struct sign_key k;

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &k);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(account_sign(&k, slice_str(magics[i]), sig), ERR_OK);
        assert_int_equal(account_verify(k.pub, slice_str(magics[i]), sig), ERR_OK);
        assert_int_equal(account_verify(k.pub, slice_str(magics[(i + 1) % 4]), sig), ERR_AUTH);
    }
    assert_int_equal(account_sign(&k, slice_str("3:seqi1e1:v0:"), sig), ERR_REFUSED);
    assert_int_equal(account_sign(&k, slice_str("itodenwa-list-v1"), sig), ERR_REFUSED);
    assert_int_equal(account_sign(&k, slice_str("RLS"), sig), ERR_REFUSED);
    assert_true(secret_is_zero(sig, 64));
}

static void no_seed(void **state)
{
    struct sign_key k = {.pub = {1}};
    struct slice part = slice_str("x");
    uint8_t sig[64];

    (void)state;
    assert_int_equal(sign_parts(&k, SIGN_LIST, &part, 1, sig), ERR_STATE);
    assert_true(secret_is_zero(sig, 64));
}

static void too_long(void **state)
{
    static uint8_t big[SIGN_MESSAGE_MAX];
    struct slice part = slice_of(big, sizeof big);
    uint8_t seed[32], sig[64] = {0};
    struct sign_key k;

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &k);
    assert_int_equal(sign_parts(&k, SIGN_LIST, &part, 1, sig), ERR_RANGE);
    part.len -= sizeof "itodenwa-list-v1";
    assert_int_equal(sign_parts(&k, SIGN_LIST, &part, 1, sig), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("seed 00..1f gives the key printed in THREATS.md", from_seed),
        sentence("the pair secret is the vector of THREATS.md, the same on both sides", pair_vector),
        sentence("small order, torsion and unclear points are no keys", not_keys),
        sentence("X25519 is that of RFC 7748, an all-zero result is an error", dh_vector),
        sentence("converted secret and public key belong together", conversions_agree),
        sentence("each number of a phrase is its own identity", phrase_derives),
        sentence("a signature holds in its context only, over the parts joined", signs_in_context),
        sentence("a zone message is bound to zone and receiver", krpc),
        sentence("an account signs ledger documents and nothing else", ledger_only),
        sentence("without the seed nothing is signed", no_seed),
        sentence("a message above the cap is refused, at the cap signed", too_long),
    };

    return crypto_init() == ERR_OK ? run_sentences("identity", tests) : 1;
}
