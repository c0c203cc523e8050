#include "crypto/blind.h"

#include <sodium.h>

/* az = SHA-512(seed), its first half clamped (RFC 8032 §5.1.5). */
static void expand(const uint8_t seed[static KEY_BYTES], uint8_t az[static 64])
{
    crypto_hash_sha512(az, seed, KEY_BYTES);
    az[0] &= 248;
    az[31] = (uint8_t)((az[31] & 127) | 64);
}

enum err blind_public(const uint8_t h[static 64], const uint8_t P[static KEY_BYTES],
                      uint8_t out[static KEY_BYTES])
{
    uint8_t scalar[KEY_BYTES];
    enum err e = ERR_OK;

    crypto_core_ed25519_scalar_reduce(scalar, h);
    if (crypto_scalarmult_ed25519_noclamp(out, scalar, P) != 0) {
        memset(out, 0, KEY_BYTES);
        e = ERR_PARSE;
    }
    sodium_memzero(scalar, sizeof scalar);
    return e;
}

enum err blind_secret(const uint8_t h[static 64], const struct sign_key *key, struct blind_key *out)
{
    uint8_t az[64], scalar[KEY_BYTES];
    struct hasher hash;
    enum err e = ERR_OK;

    expand(key->seed, az);
    crypto_core_ed25519_scalar_reduce(scalar, h);
    crypto_core_ed25519_scalar_mul(out->scalar, scalar, az);
    if (crypto_scalarmult_ed25519_base_noclamp(out->pub, out->scalar) != 0) {
        sodium_memzero(out, sizeof *out);
        e = ERR_INTERNAL;
        goto out;
    }
    /* The nonce prefix depends on P': one prefix for two blindings would give the key away (libraries.md §1). */
    hash_begin(&hash, KEY_BYTES, az + 32, 32);
    hash_text(&hash, "itodenwa-blind-nonce-v1");
    hash_bytes(&hash, out->pub, KEY_BYTES);
    hash_end(&hash, out->prefix);
out:
    sodium_memzero(az, sizeof az);
    sodium_memzero(scalar, sizeof scalar);
    return e;
}

void blind_none(const struct sign_key *key, struct blind_key *out)
{
    uint8_t az[64];

    expand(key->seed, az);
    memcpy(out->scalar, az, KEY_BYTES);
    memcpy(out->prefix, az + 32, KEY_BYTES);
    memcpy(out->pub, key->pub, KEY_BYTES);
    sodium_memzero(az, sizeof az);
}

/* SHA-512 of the parts, mod the group order. */
static void hash_to_scalar(const struct slice *parts, size_t n, uint8_t out[static KEY_BYTES])
{
    crypto_hash_sha512_state state;
    uint8_t wide[64];

    crypto_hash_sha512_init(&state);
    for (size_t i = 0; i < n; i++)
        crypto_hash_sha512_update(&state, parts[i].data, parts[i].len);
    crypto_hash_sha512_final(&state, wide);
    crypto_core_ed25519_scalar_reduce(out, wide);
    sodium_memzero(&state, sizeof state);
    sodium_memzero(wide, sizeof wide);
}

void blind_sign(const struct blind_key *key, struct slice message, uint8_t sig[static SIG_BYTES])
{
    uint8_t r[KEY_BYTES], k[KEY_BYTES], *R = sig, *s = sig + KEY_BYTES;
    struct slice nonce[] = {slice_of(key->prefix, KEY_BYTES), message};
    struct slice challenge[] = {slice_of(R, KEY_BYTES), slice_of(key->pub, KEY_BYTES), message};

    hash_to_scalar(nonce, 2, r);
    if (crypto_scalarmult_ed25519_base_noclamp(R, r) != 0)
        sodium_misuse(); /* r = 0: one in 2^252 */
    hash_to_scalar(challenge, 3, k);
    crypto_core_ed25519_scalar_mul(k, k, key->scalar);
    crypto_core_ed25519_scalar_add(s, k, r);
    sodium_memzero(r, sizeof r);
    sodium_memzero(k, sizeof k);
}
