#include "nat/ice_message.h"

/* n characters of ice-char (RFC 8839 §5.4), 6 bits each. */
static void random_text(const struct env *env, char *out, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    env_random(env, out, n);
    for (size_t k = 0; k < n; k++)
        out[k] = alphabet[(uint8_t)out[k] & 63];
    out[n] = '\0';
}

void ice_credentials_draw(struct ice_credentials *c, const struct env *env)
{
    random_text(env, c->ufrag, ICE_UFRAG_CHARS);
    random_text(env, c->pwd, ICE_PWD_CHARS);
}

static bool is_ice_text(const char *text, size_t min)
{
    size_t n = strlen(text);

    for (const char *p = text; *p != '\0'; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '+' ||
              *p == '/'))
            return false;
    return n >= min && n <= ICE_CRED_MAX;
}

enum err ice_credentials_set(struct ice_credentials *c, const char *ufrag, const char *pwd)
{
    if (!is_ice_text(ufrag, 4) || !is_ice_text(pwd, 22))
        return ERR_RANGE;
    memcpy(c->ufrag, ufrag, strlen(ufrag) + 1);
    memcpy(c->pwd, pwd, strlen(pwd) + 1);
    return ERR_OK;
}

bool ice_credentials_name(const struct ice_credentials *c, struct slice username)
{
    size_t n = strlen(c->ufrag);

    return n > 0 && username.len > n && username.data[n] == ':' && memcmp(username.data, c->ufrag, n) == 0;
}

bool ice_credentials_name_both(const struct ice_credentials *own, const struct ice_credentials *remote,
                               struct slice username)
{
    size_t n = strlen(own->ufrag) + 1;

    return ice_credentials_name(own, username) &&
           (remote->ufrag[0] == '\0' ||
            slice_is(slice_of(username.data + n, username.len - n), remote->ufrag));
}

struct slice ice_write_check(const struct ice_check *check, uint8_t buf[static ICE_MESSAGE_BYTES])
{
    char username[2 * ICE_CRED_MAX + 2];
    struct stun_wr w;
    struct wr name;

    wr_init(&name, username, sizeof username);
    wr_text(&name, check->remote->ufrag);
    wr_u8(&name, ':');
    wr_text(&name, check->own->ufrag);
    stun_begin(&w, buf, ICE_MESSAGE_BYTES, STUN_REQUEST, STUN_BINDING, check->id);
    stun_put(&w, STUN_USERNAME, wr_done(&name));
    stun_put_u32(&w, STUN_PRIORITY, check->priority);
    stun_put_u64(&w, check->is_controlling ? STUN_ICE_CONTROLLING : STUN_ICE_CONTROLLED, check->tie_breaker);
    if (check->nomination != 0) {
        stun_put_flag(&w, STUN_USE_CANDIDATE);
        stun_put_u32(&w, STUN_NOMINATION, check->nomination);
    }
    if (check->is_leaving)
        stun_put_flag(&w, STUN_LEAVING);
    stun_put_integrity(&w, slice_str(check->remote->pwd));
    stun_put_fingerprint(&w);
    return stun_end(&w);
}

struct slice ice_write_answer(const struct stun_msg *request, const struct addr *mapped, uint16_t code,
                              const char *pwd, uint8_t buf[static ICE_MESSAGE_BYTES])
{
    struct stun_wr w;

    stun_begin_answer(&w, buf, ICE_MESSAGE_BYTES, code == 0 ? STUN_SUCCESS : STUN_ERROR, request);
    if (code == 0)
        stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, mapped);
    else
        stun_put_error(&w, code, stun_code_text(code));
    if (code == STUN_UNKNOWN_ATTRIBUTE)
        stun_put_unknown(&w, request->unknown, request->n_unknown);
    stun_put_integrity(&w, slice_str(pwd));
    stun_put_fingerprint(&w);
    return stun_end(&w);
}
