/* crypto/digest.h - digests that STUN, SIP and BEP 5 demand, by OpenSSL. Nothing of ours rests on them. */
#ifndef ITO_CRYPTO_DIGEST_H
#define ITO_CRYPTO_DIGEST_H

#include "base/slice.h"

#define MD5_BYTES    16
#define SHA1_BYTES   20
#define SHA256_BYTES 32

void digest_md5(struct slice data, uint8_t out[static MD5_BYTES]);
void digest_sha1(struct slice data, uint8_t out[static SHA1_BYTES]);
void digest_sha256(struct slice data, uint8_t out[static SHA256_BYTES]);
/* Over the parts joined: STUN signs a header with another length than the one it sends. */
void digest_hmac_sha1(struct slice key, const struct slice *parts, size_t n, uint8_t out[static SHA1_BYTES]);
void digest_hmac_sha256(struct slice key, const struct slice *parts, size_t n,
                        uint8_t out[static SHA256_BYTES]);

#endif
