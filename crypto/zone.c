#include "crypto/zone.h"

#include <sodium.h>

#include "base/cursor.h"

/* --- the zone --- */

void zone_id(const char *name, const uint8_t *zone_key, uint8_t out[static ZONE_ID_BYTES])
{
    struct hasher h;

    hash_begin(&h, ZONE_ID_BYTES, NULL, 0);
    hash_text(&h, "itodenwa-zone-v1");
    hash_text(&h, name);
    if (zone_key != NULL)
        hash_bytes(&h, zone_key, KEY_BYTES);
    hash_end(&h, out);
}

void zone_net_id(const uint8_t id[static ZONE_ID_BYTES], uint8_t out[static NET_ID_BYTES])
{
    memcpy(out, id, NET_ID_BYTES);
}

/* All of a puzzle but its nonce. */
static void puzzle_begin(struct hasher *h, const uint8_t zone[static ZONE_ID_BYTES],
                         const uint8_t N[static KEY_BYTES])
{
    hash_begin(h, 64, NULL, 0);
    hash_text(h, "itodenwa-puzzle-v1");
    hash_bytes(h, zone, ZONE_ID_BYTES);
    hash_bytes(h, N, KEY_BYTES);
}

_Static_assert(PUZZLE_BITS == 16, "is_solved() looks at two bytes");

static bool is_solved(const uint8_t p[static 64])
{
    return p[0] == 0 && p[1] == 0;
}

enum err zone_node_id(const uint8_t zone[static ZONE_ID_BYTES], const uint8_t N[static KEY_BYTES],
                      const uint8_t nonce[static PUZZLE_NONCE_BYTES], uint8_t id[static NODE_ID_BYTES])
{
    struct hasher h;
    uint8_t p[64];

    puzzle_begin(&h, zone, N);
    hash_bytes(&h, nonce, PUZZLE_NONCE_BYTES);
    hash_end(&h, p);
    memcpy(id, p + sizeof p - NODE_ID_BYTES, NODE_ID_BYTES);
    return is_solved(p) ? ERR_OK : ERR_AUTH;
}

enum err zone_puzzle_search(const uint8_t zone[static ZONE_ID_BYTES], const uint8_t N[static KEY_BYTES],
                            uint8_t nonce[static PUZZLE_NONCE_BYTES], uint32_t tries)
{
    struct hasher begun, h;
    uint8_t p[64];

    puzzle_begin(&begun, zone, N);
    for (uint32_t i = 0; i < tries; i++) {
        h = begun;
        hash_bytes(&h, nonce, PUZZLE_NONCE_BYTES);
        hash_end(&h, p);
        if (is_solved(p))
            return ERR_OK;
        for (size_t at = PUZZLE_NONCE_BYTES; at > 0 && ++nonce[at - 1] == 0; at--)
            ;
    }
    return ERR_AGAIN;
}

enum err zone_member_make(const struct sign_key *zone_key, const uint8_t zone[static ZONE_ID_BYTES],
                          const uint8_t N[static KEY_BYTES], uint32_t until_day,
                          uint8_t out[static MEMBER_CERT_BYTES])
{
    struct slice parts[] = {slice_of(zone, ZONE_ID_BYTES), slice_of(N, KEY_BYTES), slice_of(out, 4)};
    struct wr w;

    wr_init(&w, out, MEMBER_CERT_BYTES);
    wr_u32(&w, until_day);
    return sign_parts(zone_key, SIGN_MEMBER, parts, 3, out + 4);
}

enum err zone_member_verify(const uint8_t zone[static ZONE_ID_BYTES],
                            const uint8_t zone_key[static KEY_BYTES], const uint8_t N[static KEY_BYTES],
                            struct slice cert, uint32_t day)
{
    struct slice parts[] = {slice_of(zone, ZONE_ID_BYTES), slice_of(N, KEY_BYTES), slice_of(cert.data, 4)};
    struct rd r;
    uint32_t until_day;

    if (cert.len != MEMBER_CERT_BYTES)
        return ERR_PARSE;
    rd_init(&r, cert);
    until_day = rd_u32(&r);
    if (verify_parts(zone_key, SIGN_MEMBER, parts, 3, cert.data + 4) != ERR_OK)
        return ERR_AUTH;
    return day <= until_day ? ERR_OK : ERR_LATE;
}

enum err zone_pairmac_key(const struct sign_key *own, const uint8_t N[static KEY_BYTES],
                          uint8_t out[static KEY_BYTES])
{
    bool own_first = memcmp(own->pub, N, KEY_BYTES) < 0;
    uint8_t secret[KEY_BYTES], x_N[KEY_BYTES], shared[KEY_BYTES];
    struct hasher h;
    enum err e;

    memset(out, 0, KEY_BYTES);
    e = ed_to_x_public(N, x_N);
    if (e != ERR_OK)
        return e;
    ed_to_x_secret(own, secret);
    e = dh_shared(secret, x_N, shared);
    if (e == ERR_OK) {
        hash_begin(&h, KEY_BYTES, shared, sizeof shared);
        hash_text(&h, "itodenwa-pairmac-v1");
        hash_bytes(&h, own_first ? own->pub : N, KEY_BYTES);
        hash_bytes(&h, own_first ? N : own->pub, KEY_BYTES);
        hash_end(&h, out);
    }
    secret_wipe(secret, sizeof secret);
    secret_wipe(shared, sizeof shared);
    return e;
}

void zone_pairmac(const uint8_t key[static KEY_BYTES], const uint8_t zone[static ZONE_ID_BYTES],
                  const uint8_t receiver[static NODE_ID_BYTES], struct slice message,
                  uint8_t out[static PAIRMAC_BYTES])
{
    struct hasher h;

    hash_begin(&h, PAIRMAC_BYTES, key, KEY_BYTES);
    hash_bytes(&h, zone, ZONE_ID_BYTES);
    hash_bytes(&h, receiver, NODE_ID_BYTES);
    hash_bytes(&h, message.data, message.len);
    hash_end(&h, out);
}

/* --- drops --- */

uint32_t drop_week(int64_t t_s)
{
    return (uint32_t)((t_s > 0 ? t_s : 0) / WEEK_S);
}

void drop_id(const uint8_t zone[static ZONE_ID_BYTES], const uint8_t A[static KEY_BYTES], uint32_t week,
             uint8_t out[static DROP_ID_BYTES])
{
    struct hasher h;

    hash_begin(&h, DROP_ID_BYTES, NULL, 0);
    hash_text(&h, "itodenwa-drop-v1");
    hash_bytes(&h, zone, ZONE_ID_BYTES);
    hash_bytes(&h, A, KEY_BYTES);
    hash_u32(&h, week);
    hash_end(&h, out);
}

void pairdrop_id(const uint8_t T[static KEY_BYTES], const uint8_t receiver[static KEY_BYTES], uint32_t week,
                 uint8_t out[static DROP_ID_BYTES])
{
    struct hasher h;

    hash_begin(&h, DROP_ID_BYTES, T, KEY_BYTES);
    hash_text(&h, "itodenwa-pairdrop-v1");
    hash_bytes(&h, receiver, KEY_BYTES);
    hash_u32(&h, week);
    hash_end(&h, out);
}

/* --- relays --- */

void knock_token_new(const struct env *env, uint8_t out[static KNOCK_TOKEN_BYTES])
{
    env_random(env, out, KNOCK_TOKEN_BYTES);
}

void account_derive(const uint8_t acct_seed[static KEY_BYTES], const uint8_t net_id[static NET_ID_BYTES],
                    const uint8_t relay[static KEY_BYTES], uint16_t gen, struct sign_key *out)
{
    uint8_t seed[KEY_BYTES];
    struct hasher h;

    hash_begin(&h, sizeof seed, acct_seed, KEY_BYTES);
    hash_text(&h, "itodenwa-acct-v1");
    hash_bytes(&h, net_id, NET_ID_BYTES);
    hash_bytes(&h, relay, KEY_BYTES);
    hash_u16(&h, gen);
    hash_end(&h, seed);
    sign_key_from_seed(seed, out);
    secret_wipe(seed, sizeof seed);
}

void turn_account_tag(const uint8_t K[static KEY_BYTES], const uint8_t account[static KEY_BYTES],
                      uint8_t out[static 8])
{
    hash_once(8, K, KEY_BYTES, slice_of(account, KEY_BYTES), out);
}

/* TURN user name: "1" and base64url (RFC 4648 §5, no padding) of 20 bytes.
 *
 *   offset size field
 *   0      8    alloc_id  random
 *   8      4    expiry    s since 1970 UTC
 *   12     8    tag       H(8, K; account key) */
#define TURN_USERNAME_RAW 20

void turn_username(const uint8_t K[static KEY_BYTES], const uint8_t alloc_id[static TURN_ID_BYTES],
                   uint32_t expiry_s, const uint8_t account[static KEY_BYTES],
                   char out[static TURN_USERNAME_BYTES])
{
    uint8_t raw[TURN_USERNAME_RAW], tag[8];
    struct wr w;

    turn_account_tag(K, account, tag);
    wr_init(&w, raw, sizeof raw);
    wr_bytes(&w, alloc_id, TURN_ID_BYTES);
    wr_u32(&w, expiry_s);
    wr_bytes(&w, tag, sizeof tag);
    out[0] = '1';
    sodium_bin2base64(out + 1, TURN_USERNAME_BYTES - 1, raw, sizeof raw,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

enum err turn_username_parse(struct slice username, uint8_t alloc_id[static TURN_ID_BYTES],
                             uint32_t *expiry_s, uint8_t tag[static 8])
{
    uint8_t raw[TURN_USERNAME_RAW];
    const char *text = (const char *)username.data;
    size_t len = 0;
    struct rd r;

    if (username.len != TURN_USERNAME_BYTES - 1 || text[0] != '1' ||
        sodium_base642bin(raw, sizeof raw, text + 1, username.len - 1, NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        len != sizeof raw)
        return ERR_PARSE;
    rd_init(&r, slice_of(raw, sizeof raw));
    rd_copy(&r, alloc_id, TURN_ID_BYTES);
    *expiry_s = rd_u32(&r);
    rd_copy(&r, tag, 8);
    return rd_done(&r) ? ERR_OK : ERR_PARSE;
}

void turn_password(const uint8_t K[static KEY_BYTES], struct slice username,
                   char out[static TURN_PASSWORD_BYTES])
{
    uint8_t b[32];
    struct hasher h;

    hash_begin(&h, sizeof b, K, KEY_BYTES);
    hash_text(&h, "itodenwa-turn-v1");
    hash_bytes(&h, username.data, username.len);
    hash_end(&h, b);
    sodium_bin2base64(out, TURN_PASSWORD_BYTES, b, sizeof b, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    secret_wipe(b, sizeof b);
}

void guest_pass(const uint8_t K[static KEY_BYTES], const uint8_t T[static KEY_BYTES],
                uint8_t out[static GUEST_PASS_BYTES])
{
    struct hasher h;

    hash_begin(&h, GUEST_PASS_BYTES, K, KEY_BYTES);
    hash_text(&h, "itodenwa-guest-v1");
    hash_bytes(&h, T, KEY_BYTES);
    hash_end(&h, out);
}
