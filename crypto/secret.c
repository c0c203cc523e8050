#include "crypto/secret.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_generichash_blake2b_state) <= sizeof((struct hasher *)0)->state,
               "struct hasher has room for libsodium's state");
_Static_assert(KEY_BYTES == crypto_sign_PUBLICKEYBYTES && KEY_BYTES == crypto_scalarmult_BYTES, "keys");
_Static_assert(SIG_BYTES == crypto_sign_BYTES && HASH_MAX_BYTES == crypto_generichash_BYTES_MAX, "sizes");

enum err crypto_init(void)
{
    return sodium_init() >= 0 ? ERR_OK : ERR_INTERNAL;
}

/* libsodium documents 16 bytes as the least output, and its BLAKE2b takes 1 and up, as the standard does
 * (RFC 7693 §2.1: 1..64); H(4), H(8) of §4 need that. */
void hash_begin(struct hasher *h, size_t n, const void *key, size_t key_len)
{
    h->n = n;
    if (crypto_generichash_blake2b_init((void *)h->state, key, key_len, n) != 0)
        sodium_misuse();
}

void hash_bytes(struct hasher *h, const void *data, size_t len)
{
    if (len > 0)
        crypto_generichash_blake2b_update((void *)h->state, data, len);
}

void hash_text(struct hasher *h, const char *text)
{
    hash_bytes(h, text, strlen(text) + 1);
}

static void hash_uint(struct hasher *h, uint64_t v, size_t n)
{
    uint8_t b[8];

    for (size_t i = n; i > 0; i--, v >>= 8)
        b[i - 1] = (uint8_t)v;
    hash_bytes(h, b, n);
}

void hash_u8(struct hasher *h, uint8_t v)
{
    hash_uint(h, v, 1);
}

void hash_u16(struct hasher *h, uint16_t v)
{
    hash_uint(h, v, 2);
}

void hash_u32(struct hasher *h, uint32_t v)
{
    hash_uint(h, v, 4);
}

void hash_u64(struct hasher *h, uint64_t v)
{
    hash_uint(h, v, 8);
}

void hash_end(struct hasher *h, void *out)
{
    crypto_generichash_blake2b_final((void *)h->state, out, h->n);
    sodium_memzero(h, sizeof *h);
}

void hash_once(size_t n, const void *key, size_t key_len, struct slice data, void *out)
{
    struct hasher h;

    hash_begin(&h, n, key, key_len);
    hash_bytes(&h, data.data, data.len);
    hash_end(&h, out);
}

void secret_wipe(void *p, size_t n)
{
    if (n > 0)
        sodium_memzero(p, n);
}

bool secret_equal(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}

bool secret_is_zero(const void *p, size_t n)
{
    return sodium_is_zero(p, n) == 1;
}

void base64url_write(struct slice bytes, char *out, size_t size)
{
    sodium_bin2base64(out, size, bytes.data, bytes.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool base64url_read(struct slice text, void *out, size_t size, size_t *len)
{
    return sodium_base642bin(out, size, (const char *)text.data, text.len, NULL, len, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}
