/* crypto/item.h - BEP 44 mutable items without salt: keys blinded per epoch, values sealed, and what is in
 * them: the record of a device (`dev`) and the card for one contact (THREATS.md §4.3).
 *
 *   in     values found in the overlay: hearsay until item_verify() and item_open()
 *   owner  the caller; plain structs, nothing allocates. struct slice in a parsed record points into the
 *          bytes it was parsed from
 *   caps   ITEM_V_MAX bytes of value, RECORD_RELAYS_MAX, CARD_RELAYS_MAX, RECORD_ADDRS_MAX entries */
#ifndef ITO_CRYPTO_ITEM_H
#define ITO_CRYPTO_ITEM_H

#include "base/env.h"
#include "crypto/blind.h"
#include "crypto/cert.h"

#define ITEM_V_MAX        996 /* BEP 44: 1000 bytes bencoded, "996:" in front */
#define ITEM_EPOCH_S      86400
#define ITEM_OVERLAP_S    7200 /* e + 1 is put too in the last two hours of e */
#define ITEM_SEALED_MAX   960
#define ITEM_PLAIN_MAX    (ITEM_SEALED_MAX - 1 - 24 - AEAD_TAG_BYTES - 2)
#define RECORD_RELAYS_MAX 4
#define CARD_RELAYS_MAX   2
#define RECORD_ADDRS_MAX  8

enum item_kind {
    ITEM_DEV = 1, /* base P = Q of a device, secret X = S */
    ITEM_CARD = 2 /* base P = A, secret X = T (to a contact) or X_I (invite) */
};

/* One item as it is put and got. */
struct item {
    uint8_t k[KEY_BYTES];
    int64_t seq;
    uint8_t sig[SIG_BYTES];
    uint16_t v_len; /* the byte string's own bytes, without the bencoded length */
    uint8_t v[ITEM_V_MAX];
};

/* --- keys --- */
/* Epoch of P under X at zone time t_s (seconds). Readers try it, then its neighbours. */
uint64_t item_epoch(const uint8_t P[static KEY_BYTES], const uint8_t X[static KEY_BYTES], int64_t t_s);
/* Seconds until that epoch ends, 1..ITEM_EPOCH_S. */
int64_t item_epoch_left_s(const uint8_t P[static KEY_BYTES], const uint8_t X[static KEY_BYTES], int64_t t_s);
/* P' of that epoch. ERR_PARSE when P is no valid point. 136 us: keep it for the day. */
enum err item_blind_public(enum item_kind kind, const uint8_t P[static KEY_BYTES],
                           const uint8_t X[static KEY_BYTES], uint64_t epoch, uint8_t out[static KEY_BYTES]);
/* p' for base key pair `key` (P = key->pub); see the trap in crypto/blind.h. */
enum err item_blind_secret(enum item_kind kind, const struct sign_key *key, const uint8_t X[static KEY_BYTES],
                           uint64_t epoch, struct blind_key *out);

/* --- BEP 44 signatures --- */
/* Over "4:salt<n>:<salt>" (when salt is not empty), "3:seqi<seq>e1:v", and the bencoded value. ERR_RANGE when
 * salt is above 64 or value above 1000 bytes. */
enum err bep44_sign(const struct blind_key *key, struct slice salt, int64_t seq, struct slice v_bencoded,
                    uint8_t sig[static SIG_BYTES]);
enum err bep44_verify(const uint8_t k[static KEY_BYTES], struct slice salt, int64_t seq,
                      struct slice v_bencoded, const uint8_t sig[static SIG_BYTES]);
/* The same for a value that is a byte string, no salt: "3:seqi<seq>e1:v<len>:<v>". */
enum err item_sign_bep44(const struct blind_key *key, int64_t seq, struct slice v,
                         uint8_t sig[static SIG_BYTES]);
/* The signature of item->k holds. ERR_OK, ERR_AUTH, ERR_RANGE. */
enum err item_verify(const struct item *item);

/* --- sealing --- */
/* v of 448, 704 or 960 bytes, the smallest that fits; ERR_FULL above ITEM_PLAIN_MAX. */
enum err item_seal(const struct env *env, const uint8_t X[static KEY_BYTES],
                   const uint8_t P_blind[static KEY_BYTES], struct slice plain,
                   uint8_t v[static ITEM_SEALED_MAX], uint16_t *v_len);
/* ERR_PARSE or ERR_AUTH: a squatter's value, keep searching. */
enum err item_open(const uint8_t X[static KEY_BYTES], const uint8_t P_blind[static KEY_BYTES], struct slice v,
                   uint8_t plain[static ITEM_PLAIN_MAX], size_t *len);
/* All of it: blind `key` for the epoch, seal, sign with seq. */
enum err item_build(const struct env *env, enum item_kind kind, const struct sign_key *key,
                    const uint8_t X[static KEY_BYTES], uint64_t epoch, int64_t seq, struct slice plain,
                    struct item *out);

/* --- what is inside --- */
struct relay_entry {
    uint8_t node[KEY_BYTES]; /* N of the proxy */
    struct addr addr;
    uint8_t token[8]; /* knock token (§4.8) */
};

/* dev plain: ver1 flags1 issued8 D32 n1 n x (N32 addr token8) n1 n x addr, then the signed device list. */
struct dev_record {
    uint8_t flags;
    int64_t issued_s; /* zone time, s */
    uint8_t D[KEY_BYTES];
    uint8_t n_relays, n_addrs;
    struct relay_entry relays[RECORD_RELAYS_MAX];
    struct addr addrs[RECORD_ADDRS_MAX]; /* only under policy `direct` */
    struct slice list;                   /* for device_list_open() */
};

/* card plain: ver1 flags1 S_gen4 S32, the signed list, n1 n x (N32 addr token8). */
struct card_record {
    uint8_t flags;
    uint32_t S_gen;
    uint8_t S[KEY_BYTES]; /* secret: wipe */
    struct slice list;
    uint8_t n_relays; /* 0 when not online */
    struct relay_entry relays[CARD_RELAYS_MAX];
};

/* ERR_FULL when it does not fit; *len is what was written to out. */
enum err dev_record_write(const struct dev_record *r, uint8_t out[static ITEM_PLAIN_MAX], size_t *len);
/* ERR_PARSE, ERR_VERSION. The N of relays are valid points only after ed_key_valid(). */
enum err dev_record_parse(struct slice plain, struct dev_record *out);
enum err card_record_write(const struct card_record *r, uint8_t out[static ITEM_PLAIN_MAX], size_t *len);
enum err card_record_parse(struct slice plain, struct card_record *out);

#endif
