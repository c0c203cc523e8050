#include "relay/turn_auth.h"

#include "base/mem.h"

void turn_auth_init(struct turn_auth *auth, const struct turn_server_config *config)
{
    const char *realm = config->realm != NULL ? config->realm : "ito";

    memset(auth, 0, sizeof *auth);
    memcpy(auth->realm, realm, strnlen(realm, TURN_REALM_MAX));
    memcpy(auth->secret, config->secret, sizeof auth->secret);
    auth->week = UINT32_MAX;
    auth->n_users = config->n_users;
    auth->users = mem_array(config->n_users, sizeof *auth->users);
    for (size_t i = 0; i < config->n_users; i++) {
        auth->users[i].name = mem_str(config->users[i].name);
        stun_long_term_key(slice_str(config->users[i].name), slice_str(auth->realm),
                           slice_str(config->users[i].password), auth->users[i].key);
    }
}

void turn_auth_fini(struct turn_auth *auth)
{
    for (size_t i = 0; i < auth->n_users; i++) {
        mem_free(auth->users[i].name);
        secret_wipe(auth->users[i].key, sizeof auth->users[i].key);
    }
    mem_free(auth->users);
    secret_wipe(auth, sizeof *auth);
}

const uint8_t *turn_auth_key(struct turn_auth *auth, int64_t wall_s, bool is_last_week)
{
    uint32_t week = (uint32_t)(wall_s / WEEK_S);

    if (week != auth->week) {
        for (uint32_t i = 0; i < 2; i++) {
            struct hasher h;

            hash_begin(&h, 32, auth->secret, sizeof auth->secret);
            hash_text(&h, "itodenwa-relay-week-v1");
            hash_u32(&h, week - i);
            hash_end(&h, auth->week_key[i]);
        }
        auth->week = week;
    }
    return auth->week_key[is_last_week ? 1 : 0];
}

/* --- nonces --- */

static void nonce_bytes(const struct turn_auth *auth, uint32_t made_s, const uint8_t *place, size_t n,
                        uint8_t out[static 12])
{
    struct hasher h;
    struct wr w;

    wr_init(&w, out, 12);
    wr_u32(&w, made_s);
    hash_begin(&h, 8, auth->secret, sizeof auth->secret);
    hash_text(&h, "itodenwa-nonce-v1");
    hash_u32(&h, made_s);
    hash_bytes(&h, place, n);
    hash_end(&h, out + 4);
}

static size_t place_of(const struct addr *from, uint8_t out[static 19])
{
    struct wr w;

    wr_init(&w, out, 19);
    addr_write(&w, from);
    return wr_len(&w);
}

static void nonce_text(const uint8_t bytes[static 12], char out[static TURN_TICKET_NONCE_BYTES])
{
    base64url_write(slice_of(bytes, 12), out, TURN_TICKET_NONCE_BYTES);
}

void turn_auth_nonce(struct turn_auth *auth, ns_t now, const struct addr *from,
                     char out[static TURN_TICKET_NONCE_BYTES])
{
    uint8_t place[19], bytes[12];

    nonce_bytes(auth, (uint32_t)(now / NS_PER_S), place, place_of(from, place), bytes);
    nonce_text(bytes, out);
}

static bool nonce_is_good(const struct turn_auth *auth, ns_t now, const struct addr *from, struct slice nonce)
{
    uint8_t place[19], want[12], got[12];
    uint32_t made_s, now_s = (uint32_t)(now / NS_PER_S);
    size_t n;

    if (!base64url_read(nonce, got, sizeof got, &n) || n != sizeof got)
        return false;
    made_s = (uint32_t)got[0] << 24 | (uint32_t)got[1] << 16 | (uint32_t)got[2] << 8 | got[3];
    if (now_s - made_s >= TURN_NONCE_S)
        return false;
    nonce_bytes(auth, made_s, place, place_of(from, place), want);
    return secret_equal(want, got, sizeof want);
}

/* --- who --- */

static bool check_user(struct turn_auth *auth, const struct stun_msg *msg, struct turn_who *who)
{
    for (size_t i = 0; i < auth->n_users; i++) {
        if (!slice_is(msg->username, auth->users[i].name))
            continue;
        memcpy(who->key, auth->users[i].key, sizeof who->key);
        who->user = (int32_t)i;
        return stun_check_integrity(msg, slice_of(who->key, sizeof who->key)) == ERR_OK;
    }
    return false;
}

static bool check_ticket(struct turn_auth *auth, int64_t wall_s, const struct stun_msg *msg,
                         struct turn_who *who)
{
    char password[TURN_PASSWORD_BYTES];
    uint8_t tag[8];
    bool is_right = false;

    if (turn_username_parse(msg->username, who->alloc_id, &who->expiry_s, tag) != ERR_OK)
        return false;
    who->user = -1;
    for (int last_week = 0; last_week < 2 && !is_right; last_week++) {
        turn_password(turn_auth_key(auth, wall_s, last_week), msg->username, password);
        stun_long_term_key(msg->username, slice_str(auth->realm), slice_str(password), who->key);
        is_right = stun_check_integrity(msg, slice_of(who->key, sizeof who->key)) == ERR_OK;
    }
    secret_wipe(password, sizeof password);
    return is_right;
}

uint16_t turn_auth_check(struct turn_auth *auth, ns_t now, int64_t wall_s, const struct addr *from,
                         const struct stun_msg *msg, struct turn_who *who)
{
    memset(who, 0, sizeof *who);
    if (msg->integrity_at == 0 && msg->integrity256_at == 0)
        return STUN_UNAUTHENTICATED;
    if (msg->username.data == NULL || msg->realm.data == NULL || msg->nonce.data == NULL)
        return STUN_BAD_REQUEST;
    if (!slice_is(msg->realm, auth->realm))
        return STUN_UNAUTHENTICATED;
    if (!nonce_is_good(auth, now, from, msg->nonce))
        return STUN_STALE_NONCE;
    return check_user(auth, msg, who) || check_ticket(auth, wall_s, msg, who) ? 0 : STUN_UNAUTHENTICATED;
}

void turn_auth_ticket(struct turn_auth *auth, ns_t now, int64_t wall_s, const struct addr *client,
                      const uint8_t alloc_id[static TURN_ID_BYTES], uint32_t expiry_s,
                      const uint8_t account[static 32], struct turn_ticket *out)
{
    const uint8_t *k = turn_auth_key(auth, wall_s, false);

    memset(out, 0, sizeof *out);
    memcpy(out->realm, auth->realm, sizeof out->realm);
    turn_auth_nonce(auth, now, client, out->nonce);
    turn_username(k, alloc_id, expiry_s, account, out->username);
    turn_password(k, slice_str(out->username), out->password);
}
