/* crypto/identity.h - Ed25519 and X25519 keys: made from the phrase, converted, agreed on, and what each
 * of them may sign (THREATS.md §3, §4.1).
 *
 *   in     seeds from struct env or the phrase; foreign public keys
 *   owner  the caller of every struct; wipe with secret_wipe()
 *   trust  a foreign Ed25519 key counts only after ed_key_valid(): libsodium's own check lets keys with a
 *          torsion part pass (reference/libraries.md). 73 us: check once, then keep the result
 *   caps   SIGN_MESSAGE_MAX bytes under one signature */
#ifndef ITO_CRYPTO_IDENTITY_H
#define ITO_CRYPTO_IDENTITY_H

#include "crypto/secret.h"

#define SIGN_MESSAGE_MAX 4096

/* An Ed25519 key pair. */
struct sign_key {
    uint8_t seed[KEY_BYTES]; /* secret; all zero when only the public half is ours (a linked device) */
    uint8_t pub[KEY_BYTES];
};

/* An X25519 key pair. */
struct dh_key {
    uint8_t secret[KEY_BYTES];
    uint8_t pub[KEY_BYTES];
};

/* Texts an identity, zone or member key may sign under; nothing else, ever. */
enum sign_context {
    SIGN_LIST,       /* "itodenwa-list-v1": device list */
    SIGN_DEVICE,     /* "itodenwa-device-v1": certificate of one device */
    SIGN_SUCCESSION, /* "itodenwa-succession-v1" */
    SIGN_MEMBER,     /* "itodenwa-member-v1": a closed zone's member certificate */
    SIGN_KRPC        /* "itodenwa-krpc-v1": node keys only, by node_sign_krpc() */
};

/* --- key pairs --- */
void sign_key_from_seed(const uint8_t seed[static KEY_BYTES], struct sign_key *out);
void dh_key_from_secret(const uint8_t secret[static KEY_BYTES], struct dh_key *out);
/* A canonical point of the main subgroup, not the identity: the only Ed25519 keys we deal with. */
bool ed_key_valid(const uint8_t pub[static KEY_BYTES]);
/* ~K: the X25519 forms of an Ed25519 key. Public: ERR_PARSE when it is no such point (71 us: keep it). */
enum err ed_to_x_public(const uint8_t pub[static KEY_BYTES], uint8_t out[static KEY_BYTES]);
void ed_to_x_secret(const struct sign_key *key, uint8_t out[static KEY_BYTES]);
/* X(s, P). ERR_AUTH when the result is all zero (P of small order); out is then zeroed. */
enum err dh_shared(const uint8_t secret[static KEY_BYTES], const uint8_t pub[static KEY_BYTES],
                   uint8_t out[static KEY_BYTES]);

/* --- the identity --- */
/* Identity number i of phrase m: seed = H(32, m; "itodenwa-identity-v1" || i4). */
void identity_derive(const uint8_t m[static KEY_BYTES], uint32_t number, struct sign_key *out);
/* next_i = H(32, -; "itodenwa-next-v1" || A of number i+1): what contacts pin for the successor. */
void identity_next(const uint8_t successor[static KEY_BYTES], uint8_t out[static KEY_BYTES]);
/* Pair secret T of our identity and theirs, the same on both sides. ERR_PARSE or ERR_AUTH: not a key; ERR_STATE when
 * our seed is not here. */
enum err identity_pair_secret(const struct sign_key *own, const uint8_t theirs[static KEY_BYTES],
                              uint8_t out[static KEY_BYTES]);

/* --- signatures --- */
/* Sign the context's text with its NUL, then the n parts joined. ERR_RANGE above SIGN_MESSAGE_MAX,
 * ERR_STATE when the seed is not here. */
enum err sign_parts(const struct sign_key *key, enum sign_context context, const struct slice *parts,
                    size_t n, uint8_t sig[static SIG_BYTES]);
/* ERR_OK or ERR_AUTH. Does not check the point: ed_key_valid() of pub came before. */
enum err verify_parts(const uint8_t pub[static KEY_BYTES], enum sign_context context,
                      const struct slice *parts, size_t n, const uint8_t sig[static SIG_BYTES]);
/* KRPC of a zone (§4.13): "itodenwa-krpc-v1" || zone_id8 || receiver id20 (zeros if unknown) || message. */
enum err node_sign_krpc(const struct sign_key *node, const uint8_t zone_id[static 8],
                        const uint8_t receiver[static 20], struct slice message,
                        uint8_t sig[static SIG_BYTES]);
enum err node_verify_krpc(const uint8_t node[static KEY_BYTES], const uint8_t zone_id[static 8],
                          const uint8_t receiver[static 20], struct slice message,
                          const uint8_t sig[static SIG_BYTES]);
/* Ledger documents (LEDGER.md §3): the raw bytes, which start with "RLS1", "RLC1", "RLD1" or "RLP1",
 * else ERR_REFUSED. For account keys, and node keys as open accounts. */
enum err account_sign(const struct sign_key *account, struct slice document, uint8_t sig[static SIG_BYTES]);
enum err account_verify(const uint8_t account[static KEY_BYTES], struct slice document,
                        const uint8_t sig[static SIG_BYTES]);

#endif
