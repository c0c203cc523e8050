/* crypto/zone.h - ids and keys of a zone and of its relays: zone and node id, pair macs, drops, accounts,
 * TURN credentials (THREATS.md §4.5, §4.8, §4.12, §4.13).
 *
 *   owner  the caller; nothing allocates or keeps state */
#ifndef ITO_CRYPTO_ZONE_H
#define ITO_CRYPTO_ZONE_H

#include "base/env.h"
#include "crypto/identity.h"

#define ZONE_ID_BYTES       8
#define NET_ID_BYTES        4
#define NODE_ID_BYTES       20
#define PUZZLE_NONCE_BYTES  8
#define PUZZLE_BITS         16
#define MEMBER_CERT_BYTES   (4 + SIG_BYTES)
#define PAIRMAC_BYTES       16
#define DROP_ID_BYTES       20
#define KNOCK_TOKEN_BYTES   8
#define WEEK_S              604800
#define GUEST_PASS_BYTES    16
#define TURN_ID_BYTES       8
#define TURN_USERNAME_BYTES 29 /* "1", 27 of base64url, NUL */
#define TURN_PASSWORD_BYTES 44 /* 43 of base64url, NUL */

/* --- the zone --- */
/* zone_key (Z, 32 bytes) is NULL in an open zone. */
void zone_id(const char *name, const uint8_t *zone_key, uint8_t out[static ZONE_ID_BYTES]);
/* net_id of the ledger: the first 4 bytes. */
void zone_net_id(const uint8_t id[static ZONE_ID_BYTES], uint8_t out[static NET_ID_BYTES]);

/* Node id of key N with a nonce. ERR_AUTH when the puzzle is not solved (PUZZLE_BITS leading zeros). */
enum err zone_node_id(const uint8_t zone[static ZONE_ID_BYTES], const uint8_t N[static KEY_BYTES],
                      const uint8_t nonce[static PUZZLE_NONCE_BYTES], uint8_t id[static NODE_ID_BYTES]);
/* Try at most `tries` nonces from *nonce on, counting it up. ERR_OK (nonce solves), ERR_AGAIN: call again
 * later. 2^16 tries on average, ~25 ms in all. */
enum err zone_puzzle_search(const uint8_t zone[static ZONE_ID_BYTES], const uint8_t N[static KEY_BYTES],
                            uint8_t nonce[static PUZZLE_NONCE_BYTES], uint32_t tries);

/* Member certificate of a closed zone: until_day4 sig64 by Z over "itodenwa-member-v1" || zone_id8 || N32 ||
 * until_day4. ERR_PARSE, ERR_AUTH, ERR_LATE after until_day (day = T_z / 86400). */
enum err zone_member_verify(const uint8_t zone[static ZONE_ID_BYTES],
                            const uint8_t zone_key[static KEY_BYTES], const uint8_t N[static KEY_BYTES],
                            struct slice cert, uint32_t day);
enum err zone_member_make(const struct sign_key *zone_key, const uint8_t zone[static ZONE_ID_BYTES],
                          const uint8_t N[static KEY_BYTES], uint32_t until_day,
                          uint8_t out[static MEMBER_CERT_BYTES]);

/* Key of `mac` between two nodes, the same on both sides. ERR_PARSE, ERR_AUTH: N is no key. */
enum err zone_pairmac_key(const struct sign_key *own, const uint8_t N[static KEY_BYTES],
                          uint8_t out[static KEY_BYTES]);
/* mac over zone_id8 || receiver id20 || canonical message, as for the signature. */
void zone_pairmac(const uint8_t key[static KEY_BYTES], const uint8_t zone[static ZONE_ID_BYTES],
                  const uint8_t receiver[static NODE_ID_BYTES], struct slice message,
                  uint8_t out[static PAIRMAC_BYTES]);

/* --- drops --- */
/* w = floor(T_z / WEEK_S) */
uint32_t drop_week(int64_t t_s);
/* Where strangers leave requests for A. */
void drop_id(const uint8_t zone[static ZONE_ID_BYTES], const uint8_t A[static KEY_BYTES], uint32_t week,
             uint8_t out[static DROP_ID_BYTES]);
/* Where a contact leaves notes for `receiver`; T is their pair secret. */
void pairdrop_id(const uint8_t T[static KEY_BYTES], const uint8_t receiver[static KEY_BYTES], uint32_t week,
                 uint8_t out[static DROP_ID_BYTES]);

/* --- relays --- */
/* A fresh knock token: 8 random bytes per registration and epoch. */
void knock_token_new(const struct env *env, uint8_t out[static KNOCK_TOKEN_BYTES]);
/* Closed account at relay R: a key nobody can join with the one at another relay. */
void account_derive(const uint8_t acct_seed[static KEY_BYTES], const uint8_t net_id[static NET_ID_BYTES],
                    const uint8_t relay[static KEY_BYTES], uint16_t gen, struct sign_key *out);
/* "1" || base64url(alloc_id8 || expiry4 || H(8, K; account32)), K being the relay's weekly key. */
void turn_username(const uint8_t K[static KEY_BYTES], const uint8_t alloc_id[static TURN_ID_BYTES],
                   uint32_t expiry_s, const uint8_t account[static KEY_BYTES],
                   char out[static TURN_USERNAME_BYTES]);
/* Take apart; proves nothing: the password does. tag is H(8, K; account32). ERR_PARSE. */
enum err turn_username_parse(struct slice username, uint8_t alloc_id[static TURN_ID_BYTES],
                             uint32_t *expiry_s, uint8_t tag[static 8]);
/* H(8, K; account32) */
void turn_account_tag(const uint8_t K[static KEY_BYTES], const uint8_t account[static KEY_BYTES],
                      uint8_t out[static 8]);
/* base64url(H(32, K; "itodenwa-turn-v1" || username)) */
void turn_password(const uint8_t K[static KEY_BYTES], struct slice username,
                   char out[static TURN_PASSWORD_BYTES]);
/* Guest pass: H(16, K; "itodenwa-guest-v1" || T). */
void guest_pass(const uint8_t K[static KEY_BYTES], const uint8_t T[static KEY_BYTES],
                uint8_t out[static GUEST_PASS_BYTES]);

#endif
