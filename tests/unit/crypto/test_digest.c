#include "crypto/digest.h"

#include "unit/crypto/world.h"

static void md5(void **state)
{
    uint8_t out[MD5_BYTES];

    (void)state;
    digest_md5(slice_str(""), out);
    assert_hex(out, "d41d8cd98f00b204e9800998ecf8427e");
    digest_md5(slice_str("message digest"), out);
    assert_hex(out, "f96b697d7cb7938d525a2f31aaf161d0");
    /* RFC 8489 §9.2.2: the key of user "user", realm "realm", password "pass" */
    digest_md5(slice_str("user:realm:pass"), out);
    assert_hex(out, "8493fbc53ba582fb4c044c456bdc40eb");
}

static void sha(void **state)
{
    uint8_t out[SHA256_BYTES];

    (void)state;
    digest_sha1(slice_str("abc"), out);
    assert_hex(out, "a9993e364706816aba3e25717850c26c9cd0d89d");
    digest_sha1(slice_of(NULL, 0), out);
    assert_hex(out, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    digest_sha256(slice_str("abc"), out);
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* RFC 2202 cases 1, 2, 6; RFC 4231 cases 1, 2. */
static void hmac(void **state)
{
    struct slice jefe[] = {
        {(const uint8_t *)"what do ya ", 11}, {NULL, 0}, {(const uint8_t *)"want for nothing?", 17}};
    struct slice hi = slice_str("Hi There"),
                 large = slice_str("Test Using Larger Than Block-Size Key - Hash Key First");
    uint8_t key[131], out[SHA256_BYTES];

    (void)state;
    memset(key, 0x0b, 20);
    digest_hmac_sha1(slice_of(key, 20), &hi, 1, out);
    assert_hex(out, "b617318655057264e28bc0b6fb378c8ef146be00");
    digest_hmac_sha256(slice_of(key, 20), &hi, 1, out);
    assert_hex(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    digest_hmac_sha1(slice_str("Jefe"), jefe, 3, out);
    assert_hex(out, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    digest_hmac_sha256(slice_str("Jefe"), jefe, 3, out);
    assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    digest_hmac_sha1(slice_of(key, 80), &large, 1, out);
    assert_hex(out, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    digest_hmac_sha1(slice_of(NULL, 0), NULL, 0, out);
    assert_hex(out, "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("MD5 is that of RFC 1321 and RFC 8489", md5),
        sentence("SHA-1 and SHA-256 are those of RFC 3174 and FIPS 180", sha),
        sentence("HMAC over parts is that of RFC 2202 and RFC 4231", hmac),
    };

    return run_sentences("digest", tests);
}
