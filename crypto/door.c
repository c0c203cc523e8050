#include "crypto/door.h"

#include "base/cursor.h"
#include "crypto/secret.h"

void door_init(struct door *d, uint32_t load_per_s, const struct env *env)
{
    *d = (struct door){.env = env, .load_per_s = load_per_s};
    env_random(env, d->hash_key, sizeof d->hash_key);
    for (size_t i = 0; i < DOOR_PAYERS; i++)
        d->payers[i].paid_at = NS_NEVER;
}

void door_fini(struct door *d)
{
    secret_wipe(d, sizeof *d);
}

/* --- load --- */

static void turn_second(struct door *d, ns_t now)
{
    if (now - d->second_at < NS_PER_S)
        return;
    d->n_before = now - d->second_at < 2 * NS_PER_S ? d->n_now : 0;
    d->n_now = 0;
    d->second_at = now;
}

void door_count(struct door *d, ns_t now)
{
    turn_second(d, now);
    d->n_now++;
}

bool door_is_loaded(struct door *d, ns_t now)
{
    turn_second(d, now);
    return d->n_now > d->load_per_s || d->n_before > d->load_per_s;
}

/* --- one a second --- */

bool door_pay(struct door *d, ns_t now, const uint8_t static_key[static 32])
{
    uint8_t hash[16];
    struct door_payer *set, *victim;

    hash_once(sizeof hash, d->hash_key, sizeof d->hash_key, slice_of(static_key, 32), hash);
    set = &d->payers[((size_t)hash[0] << 8 | hash[1]) % (DOOR_PAYERS / DOOR_PAYER_WAYS) * DOOR_PAYER_WAYS];
    victim = set;
    for (size_t i = 0; i < DOOR_PAYER_WAYS; i++) {
        if (set[i].paid_at != NS_NEVER && memcmp(set[i].key, static_key, 32) == 0) {
            if (now - set[i].paid_at < DOOR_PAY_NS)
                return false;
            set[i].paid_at = now;
            return true;
        }
        if (victim->paid_at != NS_NEVER && (set[i].paid_at == NS_NEVER || set[i].paid_at < victim->paid_at))
            victim = &set[i];
    }
    memcpy(victim->key, static_key, 32);
    victim->paid_at = now;
    return true;
}

/* --- cookies --- */

static void turn_secret(struct door *d, ns_t now)
{
    if (d->secret_at != 0 && now - d->secret_at < DOOR_COOKIE_NS)
        return;
    if (d->secret_at != 0 && now - d->secret_at < 2 * DOOR_COOKIE_NS)
        memcpy(d->secrets[1], d->secrets[0], sizeof d->secrets[1]);
    else
        env_random(d->env, d->secrets[1], sizeof d->secrets[1]);
    env_random(d->env, d->secrets[0], sizeof d->secrets[0]);
    d->secret_at = now == 0 ? 1 : now;
}

static void cookie_of(const uint8_t secret[static 32], const struct path *via, uint8_t cookie[static 16])
{
    uint8_t source[32];
    struct wr w;

    wr_init(&w, source, sizeof source);
    wr_u8(&w, via->kind);
    wr_u8(&w, via->is_inbound);
    wr_u16(&w, via->slot);
    wr_u32(&w, via->flow);
    wr_u8(&w, via->addr.family);
    wr_u16(&w, via->addr.port);
    wr_bytes(&w, via->addr.ip, sizeof via->addr.ip);
    cookie_make(secret, wr_done(&w), cookie);
}

void door_cookie(struct door *d, ns_t now, const struct path *via, uint8_t cookie[static 16])
{
    turn_secret(d, now);
    cookie_of(d->secrets[0], via, cookie);
}

bool door_mac2_is_right(struct door *d, ns_t now, const struct path *via, struct slice msg1)
{
    uint8_t cookie[16];

    if (msg1.len != HANDSHAKE_MSG1_BYTES ||
        secret_is_zero(msg1.data + HANDSHAKE_MSG1_BYTES - HANDSHAKE_MAC_BYTES, HANDSHAKE_MAC_BYTES))
        return false;
    turn_secret(d, now);
    for (size_t i = 0; i < 2; i++) {
        cookie_of(d->secrets[i], via, cookie);
        if (handshake_mac2_is_right(cookie, msg1))
            return true;
    }
    return false;
}

/* --- old messages and stamps --- */

static uint64_t short_of(const uint8_t digest[static 32])
{
    uint64_t v;

    memcpy(&v, digest, sizeof v);
    return v;
}

bool door_is_stale(const struct door *d, const uint8_t digest[static 32])
{
    for (size_t i = 0; i < DOOR_STALE; i++)
        if (d->stale[i] == short_of(digest))
            return true;
    return false;
}

void door_set_stale(struct door *d, const uint8_t digest[static 32])
{
    if (!door_is_stale(d, digest))
        d->stale[d->n_stale++ % DOOR_STALE] = short_of(digest);
}

uint64_t door_stamp(const struct door *d, const uint8_t device[static 32])
{
    for (size_t i = 0; i < DOOR_STAMPS; i++)
        if (memcmp(d->stamps[i].device, device, 32) == 0)
            return d->stamps[i].stamp;
    return 0;
}

void door_set_stamp(struct door *d, ns_t now, const uint8_t device[static 32], uint64_t stamp)
{
    struct door_stamp *victim = &d->stamps[0];

    for (size_t i = 0; i < DOOR_STAMPS; i++) {
        struct door_stamp *s = &d->stamps[i];

        if (memcmp(s->device, device, 32) == 0) {
            victim = s;
            break;
        }
        if (s->at < victim->at)
            victim = s;
    }
    memcpy(victim->device, device, 32);
    victim->at = now;
    victim->stamp = stamp;
}
