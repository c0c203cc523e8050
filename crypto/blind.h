/* crypto/blind.h - Ed25519 keys blinded for one day, and signing with an expanded key (THREATS.md §4.3).
 *
 * TRAP: h is known to contacts, so a'/h = a: whoever holds one blinded scalar of the identity holds the
 * identity. A struct blind_key of an identity never leaves the device that holds `a`; others get signed items.
 *
 *   owner  the caller; wipe struct blind_key with secret_wipe() */
#ifndef ITO_CRYPTO_BLIND_H
#define ITO_CRYPTO_BLIND_H

#include "crypto/identity.h"

/* An expanded, blinded secret key: signs, cannot do DH (X25519 would clamp it). */
struct blind_key {
    uint8_t scalar[KEY_BYTES]; /* p' */
    uint8_t prefix[KEY_BYTES]; /* pre, of this blinding only */
    uint8_t pub[KEY_BYTES];    /* P' */
};

/* P' = h * P for a 64-byte hash h, reduced mod the group order. ERR_PARSE when P is no valid point. */
enum err blind_public(const uint8_t h[static 64], const uint8_t P[static KEY_BYTES],
                      uint8_t out[static KEY_BYTES]);
/* p' = h * p, and the nonce prefix. ERR_INTERNAL never happens with a hash. */
enum err blind_secret(const uint8_t h[static 64], const struct sign_key *key, struct blind_key *out);
/* Ed25519 signature of the message by scalar, prefix, pub: with those of a plain key, byte for byte
 * crypto_sign_detached(). */
void blind_sign(const struct blind_key *key, struct slice message, uint8_t sig[static SIG_BYTES]);
/* The unblinded key in expanded form, for BEP 44 items under one's own key. */
void blind_none(const struct sign_key *key, struct blind_key *out);

#endif
