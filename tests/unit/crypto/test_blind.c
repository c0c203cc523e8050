#include "crypto/blind.h"

#include <sodium.h>

#include "unit/crypto/world.h"

static void plain_key(void **state)
{
    struct sign_key k;
    struct blind_key b;
    uint8_t sk[64], pk[32], ours[64], theirs[64], message[200];
    WORLD(env);

    (void)state;
    for (int i = 0; i < 50; i++) {
        env_random(&env, k.seed, 32);
        env_random(&env, message, sizeof message);
        sign_key_from_seed(k.seed, &k);
        blind_none(&k, &b);
        blind_sign(&b, slice_of(message, (size_t)i * 4), ours);
        crypto_sign_seed_keypair(pk, sk, k.seed);
        crypto_sign_detached(theirs, NULL, message, (size_t)i * 4, sk);
        assert_memory_equal(ours, theirs, 64);
    }
}

static void both_sides_agree(void **state)
{
    struct sign_key k;
    struct blind_key b;
    uint8_t h[64], pub[32], sig[64];
    WORLD(env);

    (void)state;
    for (int i = 0; i < 50; i++) {
        env_random(&env, k.seed, 32);
        env_random(&env, h, 64);
        sign_key_from_seed(k.seed, &k);
        assert_int_equal(blind_public(h, k.pub, pub), ERR_OK);
        assert_int_equal(blind_secret(h, &k, &b), ERR_OK);
        assert_memory_equal(pub, b.pub, 32);
        blind_sign(&b, slice_of(h, 64), sig);
        assert_int_equal(crypto_sign_verify_detached(sig, h, 64, pub), 0);
    }
}

static void nonce_differs(void **state)
{
    uint8_t seed[32], h1[64], h2[64], s1[64], s2[64];
    struct blind_key a, b;
    struct sign_key k;

    (void)state;
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &k);
    memset(h1, 1, 64);
    memset(h2, 2, 64);
    assert_int_equal(blind_secret(h1, &k, &a), ERR_OK);
    assert_int_equal(blind_secret(h2, &k, &b), ERR_OK);
    blind_sign(&a, slice_str("same"), s1);
    blind_sign(&b, slice_str("same"), s2);
    assert_memory_not_equal(a.prefix, b.prefix, 32);
    assert_memory_not_equal(s1, s2, 32); /* R */
}

static void not_points(void **state)
{
    uint8_t h[64], bad[32], out[32];

    (void)state;
    memset(h, 5, 64);
    for (size_t i = 0; i < N_BAD_POINTS; i++) {
        unhex(bad_points[i], bad);
        assert_int_equal(blind_public(h, bad, out), ERR_PARSE);
        assert_true(secret_is_zero(out, 32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("with a plain key the signature is libsodium's, byte for byte", plain_key),
        sentence("owner and reader blind to the same key, and its signatures verify", both_sides_agree),
        sentence("one message under two blindings has two nonces", nonce_differs),
        sentence("what is no key is not blinded", not_points),
    };

    return crypto_init() == ERR_OK ? run_sentences("blind", tests) : 1;
}
