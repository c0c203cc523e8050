#include "crypto/digest.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>

/* These cannot fail but for want of memory or of OpenSSL's default provider: nothing to go on with. */
static void must(bool ok)
{
    if (!ok) {
        fputs("ito: OpenSSL has no digests\n", stderr);
        abort();
    }
}

static void digest(const EVP_MD *md, struct slice data, uint8_t *out)
{
    must(EVP_Digest(data.data != NULL ? data.data : out, data.len, out, NULL, md, NULL) == 1);
}

void digest_md5(struct slice data, uint8_t out[static MD5_BYTES])
{
    digest(EVP_md5(), data, out);
}

void digest_sha1(struct slice data, uint8_t out[static SHA1_BYTES])
{
    digest(EVP_sha1(), data, out);
}

void digest_sha256(struct slice data, uint8_t out[static SHA256_BYTES])
{
    digest(EVP_sha256(), data, out);
}

static void hmac(char *md, struct slice key, const struct slice *parts, size_t n, uint8_t *out, size_t size)
{
    OSSL_PARAM params[] = {{"digest", OSSL_PARAM_UTF8_STRING, md, strlen(md), 0}, {NULL, 0, NULL, 0, 0}};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t len = 0;

    must(ctx != NULL);
    /* a NULL key would mean "the key of before" */
    must(EVP_MAC_init(ctx, key.len > 0 ? key.data : (const uint8_t *)"", key.len, params) == 1);
    for (size_t i = 0; i < n; i++)
        must(parts[i].len == 0 || EVP_MAC_update(ctx, parts[i].data, parts[i].len) == 1);
    must(EVP_MAC_final(ctx, out, &len, size) == 1 && len == size);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

void digest_hmac_sha1(struct slice key, const struct slice *parts, size_t n, uint8_t out[static SHA1_BYTES])
{
    char md[] = "SHA1";

    hmac(md, key, parts, n, out, SHA1_BYTES);
}

void digest_hmac_sha256(struct slice key, const struct slice *parts, size_t n,
                        uint8_t out[static SHA256_BYTES])
{
    char md[] = "SHA256";

    hmac(md, key, parts, n, out, SHA256_BYTES);
}
