#include "crypto/secret.h"

#include "unit/crypto/world.h"

/* RFC 7693 appendix A: BLAKE2b-512("abc"). */
static void published(void **state)
{
    uint8_t out[64];

    (void)state;
    hash_once(64, NULL, 0, slice_str("abc"), out);
    assert_hex(out, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                    "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
}

/* blake2-kat: blake2b keyed with 00..3f, input 00 01 02. */
static void published_keyed(void **state)
{
    uint8_t key[64], out[64];

    (void)state;
    for (int i = 0; i < 64; i++)
        key[i] = (uint8_t)i;
    hash_once(64, key, 64, slice_of("\0\1\2", 3), out);
    assert_hex(out, "33d0825dddf7ada99b0e7e307104ad07ca9cfd9692214f1561356315e784f3e5"
                    "a17e364ae9dbb14cb2036df932b77f4b292761365fb328de7afdc6d8998f5fc1");
}

static void parts(void **state)
{
    uint8_t one[32], steps[32];
    struct hasher h;

    (void)state;
    hash_once(32, "key", 3, slice_of("ctx\0\x01\x02\x03\x04\x05\x06\x07", 11), one);
    hash_begin(&h, 32, "key", 3);
    hash_text(&h, "ctx");
    hash_u8(&h, 1);
    hash_u16(&h, 0x0203);
    hash_u32(&h, 0x04050607);
    hash_end(&h, steps);
    assert_memory_equal(one, steps, 32);
}

static void lengths(void **state)
{
    uint8_t four[4], eight[8], full[64];

    (void)state;
    hash_once(4, NULL, 0, slice_str("x"), four);
    hash_once(8, NULL, 0, slice_str("x"), eight);
    hash_once(64, NULL, 0, slice_str("x"), full);
    assert_memory_not_equal(four, eight, 4);
    assert_memory_not_equal(eight, full, 8);
    /* blake2b("x", digest_size=4) and 8 of another implementation, CPython's hashlib */
    assert_hex(four, "b1ba07e5");
    assert_hex(eight, "4adf4367f96e584f");
}

static void wiped(void **state)
{
    uint8_t a[32], b[32];

    (void)state;
    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    assert_true(secret_equal(a, b, 32));
    b[31] ^= 1;
    assert_false(secret_equal(a, b, 32));
    assert_false(secret_is_zero(a, 32));
    secret_wipe(a, 32);
    assert_true(secret_is_zero(a, 32));
    secret_wipe(NULL, 0);
}

static void state_is_gone(void **state)
{
    struct hasher h;
    uint8_t out[32];

    (void)state;
    hash_begin(&h, 32, "key", 3);
    hash_text(&h, "secret");
    hash_end(&h, out);
    assert_true(secret_is_zero(&h, sizeof h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("BLAKE2b of abc is that of RFC 7693", published),
        sentence("a keyed BLAKE2b is that of the reference vectors", published_keyed),
        sentence("hashing in parts, context with its NUL, integers big-endian, equals hashing at once",
                 parts),
        sentence("the output length is part of the hash, down to 4 bytes", lengths),
        sentence("secrets are compared whole and wiped", wiped),
        sentence("a finished hash leaves no state behind", state_is_gone),
    };

    return crypto_init() == ERR_OK ? run_sentences("secret", tests) : 1;
}
