#include "crypto/keyring.h"

static int64_t now_s(const struct env *env)
{
    return env_wall_ms(env) / 1000;
}

static void draw_pair(const struct env *env, struct dh_key *D, struct sign_key *Q)
{
    uint8_t fresh[KEY_BYTES];

    env_random(env, fresh, sizeof fresh);
    dh_key_from_secret(fresh, D);
    env_random(env, fresh, sizeof fresh);
    sign_key_from_seed(fresh, Q);
    secret_wipe(fresh, sizeof fresh);
}

static void new_device(const struct env *env, struct keyring *k)
{
    draw_pair(env, &k->device, &k->publish);
    k->device_made_s = now_s(env);
}

/* The present D is heard a while longer. */
static void retire_device(const struct env *env, struct keyring *k)
{
    k->old_device = k->device;
    k->old_device_until_s = now_s(env) + OLD_DEVICE_S;
}

/* This device's entry in the list becomes what its keys are now. */
static void list_own(struct keyring *k)
{
    for (size_t i = 0; i < k->list.n; i++) {
        struct device_entry *d = &k->list.devices[i];

        if (d->slot != k->slot)
            continue;
        memcpy(d->D, k->device.pub, KEY_BYTES);
        memcpy(d->Q, k->publish.pub, KEY_BYTES);
    }
}

/* Sign list and own certificate for the generation k->gen. Main device only, list in its bounds. */
static enum err sign_all(struct keyring *k)
{
    const struct device_entry *own = device_list_find(&k->list, k->slot);
    enum err e;

    if (own == NULL)
        return ERR_INTERNAL;
    k->list.gen = k->gen;
    memcpy(k->list.next, k->next, KEY_BYTES);
    e = device_list_sign(&k->identity, &k->list);
    if (e == ERR_OK)
        e = cert_make(&k->identity, k->gen, own, k->next, k->cert);
    return e;
}

/* The proof that this identity follows the one before it. */
static void prove_succession(struct keyring *k, const uint8_t m[static KEY_BYTES])
{
    struct sign_key before;

    identity_derive(m, k->number - 1, &before);
    memcpy(k->old_identity, before.pub, KEY_BYTES);
    secret_wipe(&before, sizeof before);
    (void)succession_make(&k->identity, k->old_identity, k->next, k->succession); /* the seed is here */
    k->first_gen = k->gen;
}

/* All of a main device's keyring but the phrase. gen: first generation, of the list and of S. */
static void make(const struct env *env, struct keyring *k, const uint8_t m[static KEY_BYTES], uint32_t number,
                 uint32_t gen)
{
    struct sign_key successor;

    memset(k, 0, sizeof *k);
    k->number = number;
    k->gen = k->S_gen = gen;
    identity_derive(m, number, &k->identity);
    identity_derive(m, number + 1, &successor);
    identity_next(successor.pub, k->next);
    secret_wipe(&successor, sizeof successor);
    new_device(env, k);
    env_random(env, k->S, KEY_BYTES);
    env_random(env, k->acct_seed, KEY_BYTES);
    k->S_made_s = k->device_made_s;
    k->list.n = 1;
    list_own(k);
    (void)sign_all(k); /* the seed is here and the list has one device: cannot fail */
    if (number > 0)
        prove_succession(k, m);
}

void keyring_create(const struct env *env, struct keyring *k, uint8_t phrase_m[static KEY_BYTES])
{
    env_random(env, phrase_m, KEY_BYTES);
    make(env, k, phrase_m, 0, 1);
}

void keyring_restore(const struct env *env, struct keyring *k, const uint8_t phrase_m[static KEY_BYTES],
                     uint32_t number)
{
    int64_t s = now_s(env);

    make(env, k, phrase_m, number, s < 2 ? 2 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s);
}

bool keyring_is_successor_to(const struct keyring *k, uint32_t told_gen)
{
    return !secret_is_zero(k->old_identity, KEY_BYTES) && told_gen < k->first_gen;
}

bool keyring_is_main(const struct keyring *k)
{
    return !secret_is_zero(k->identity.seed, KEY_BYTES);
}

/* S becomes the previous one. */
static void take_s(const struct env *env, struct keyring *k, const uint8_t S[static KEY_BYTES],
                   uint32_t S_gen)
{
    if (!secret_is_zero(k->S, KEY_BYTES)) {
        memcpy(k->old_S, k->S, KEY_BYTES);
        k->old_S_until_s = now_s(env) + OLD_S_S;
    }
    memcpy(k->S, S, KEY_BYTES);
    k->S_gen = S_gen;
    k->S_made_s = now_s(env);
}

static void new_s(const struct env *env, struct keyring *k)
{
    uint8_t fresh[KEY_BYTES];

    env_random(env, fresh, sizeof fresh);
    take_s(env, k, fresh, k->S_gen + 1);
    secret_wipe(fresh, sizeof fresh);
}

enum err keyring_rotate_s(const struct env *env, struct keyring *k)
{
    int64_t age = now_s(env) - k->S_made_s;

    if (!secret_is_zero(k->old_S, KEY_BYTES) && age >= 0 && age < S_ROTATE_MIN_S)
        return ERR_AGAIN;
    new_s(env, k);
    return ERR_OK;
}

enum err keyring_set_s(const struct env *env, struct keyring *k, const uint8_t S[static KEY_BYTES],
                       uint32_t S_gen)
{
    if (S_gen == k->S_gen && secret_equal(S, k->S, KEY_BYTES))
        return ERR_OK;
    if (S_gen <= k->S_gen)
        return ERR_LATE;
    take_s(env, k, S, S_gen);
    return ERR_OK;
}

void keyring_confirm_s(struct keyring *k)
{
    k->S_gen++;
}

enum err keyring_rotate_device(const struct env *env, struct keyring *k)
{
    if (!keyring_is_main(k))
        return ERR_STATE;
    retire_device(env, k);
    new_device(env, k);
    k->gen++;
    list_own(k);
    return sign_all(k);
}

bool keyring_device_is_due(const struct keyring *k, int64_t wall_s)
{
    return wall_s - k->device_made_s >= DEVICE_LIFE_S;
}

bool keyring_expire(struct keyring *k, int64_t wall_s)
{
    bool changed = false;

    if (!secret_is_zero(k->old_device.secret, KEY_BYTES) && wall_s >= k->old_device_until_s) {
        secret_wipe(&k->old_device, sizeof k->old_device);
        k->old_device_until_s = 0;
        changed = true;
    }
    if (!secret_is_zero(k->old_S, KEY_BYTES) && wall_s >= k->old_S_until_s) {
        secret_wipe(k->old_S, sizeof k->old_S);
        k->old_S_until_s = 0;
        changed = true;
    }
    return changed;
}

/* Keys that a further device may have. */
static enum err check_keys(const struct keyring *k, const uint8_t D[static KEY_BYTES],
                           const uint8_t Q[static KEY_BYTES])
{
    if (!ed_key_valid(Q) || secret_is_zero(D, KEY_BYTES))
        return ERR_PARSE;
    for (size_t i = 0; i < k->list.n; i++)
        if (memcmp(k->list.devices[i].D, D, KEY_BYTES) == 0)
            return ERR_EXISTS;
    return ERR_OK;
}

enum err keyring_add_device(struct keyring *k, const uint8_t D[static KEY_BYTES],
                            const uint8_t Q[static KEY_BYTES], uint8_t *slot, uint8_t cert[static CERT_BYTES])
{
    struct device_entry *d = &k->list.devices[k->list.n < DEVICES_MAX ? k->list.n : 0];
    enum err e;

    if (!keyring_is_main(k))
        return ERR_STATE;
    if (k->list.n == DEVICES_MAX)
        return ERR_FULL;
    e = check_keys(k, D, Q);
    if (e != ERR_OK)
        return e;
    for (*slot = 0; device_list_find(&k->list, *slot) != NULL;)
        ++*slot;
    d->slot = *slot;
    memcpy(d->D, D, KEY_BYTES);
    memcpy(d->Q, Q, KEY_BYTES);
    k->list.n++;
    k->gen++;
    e = sign_all(k);
    return e == ERR_OK ? cert_make(&k->identity, k->gen, d, k->next, cert) : e;
}

enum err keyring_renew_device(struct keyring *k, uint8_t slot, const uint8_t D[static KEY_BYTES],
                              const uint8_t Q[static KEY_BYTES], uint8_t cert[static CERT_BYTES])
{
    const struct device_entry *found = device_list_find(&k->list, slot);
    struct device_entry *d;
    enum err e;

    if (!keyring_is_main(k))
        return ERR_STATE;
    if (found == NULL)
        return ERR_NOT_FOUND;
    if (slot == k->slot)
        return ERR_REFUSED;
    e = check_keys(k, D, Q);
    if (e != ERR_OK)
        return e;
    d = &k->list.devices[found - k->list.devices];
    memcpy(d->D, D, KEY_BYTES);
    memcpy(d->Q, Q, KEY_BYTES);
    k->gen++;
    e = sign_all(k);
    return e == ERR_OK ? cert_make(&k->identity, k->gen, d, k->next, cert) : e;
}

enum err keyring_remove_device(const struct env *env, struct keyring *k, uint8_t slot)
{
    const struct device_entry *d = device_list_find(&k->list, slot);
    size_t at;

    if (!keyring_is_main(k))
        return ERR_STATE;
    if (d == NULL)
        return ERR_NOT_FOUND;
    if (slot == k->slot)
        return ERR_REFUSED;
    at = (size_t)(d - k->list.devices);
    k->list.n--;
    memmove(&k->list.devices[at], &k->list.devices[at + 1], (k->list.n - at) * sizeof *d);
    memset(&k->list.devices[k->list.n], 0, sizeof *d);
    k->gen++;
    new_s(env, k);
    return sign_all(k);
}

void keyring_create_linked(const struct env *env, struct keyring *k)
{
    memset(k, 0, sizeof *k);
    new_device(env, k);
    env_random(env, k->acct_seed, KEY_BYTES);
}

enum err keyring_offer_device(const struct env *env, struct keyring *k)
{
    if (keyring_is_main(k))
        return ERR_STATE;
    if (secret_is_zero(k->pending_device.secret, KEY_BYTES))
        draw_pair(env, &k->pending_device, &k->pending_publish);
    return ERR_OK;
}

/* Which of our pairs a certificate is for: the present, or, *is_pending, the one offered. */
static enum err open_own_cert(const struct keyring *k, struct slice cert, struct device_cert *out,
                              bool *is_pending)
{
    const struct sign_key *Q = &k->publish;
    enum err e = cert_open(cert, k->device.pub, out);

    *is_pending = e != ERR_OK && !secret_is_zero(k->pending_device.secret, KEY_BYTES);
    if (*is_pending) {
        e = cert_open(cert, k->pending_device.pub, out);
        Q = &k->pending_publish;
    }
    if (e == ERR_OK && memcmp(out->Q, Q->pub, KEY_BYTES) != 0)
        e = ERR_AUTH;
    return e;
}

static void use_pending(const struct env *env, struct keyring *k)
{
    retire_device(env, k);
    k->device = k->pending_device;
    k->publish = k->pending_publish;
    k->device_made_s = now_s(env);
    secret_wipe(&k->pending_device, sizeof k->pending_device);
    secret_wipe(&k->pending_publish, sizeof k->pending_publish);
}

enum err keyring_adopt(const struct env *env, struct keyring *k, struct slice cert, struct slice list,
                       const uint8_t S[static KEY_BYTES], uint32_t S_gen)
{
    struct device_cert c;
    struct device_list l;
    bool is_pending;
    enum err e;

    if (keyring_is_main(k))
        return ERR_STATE;
    e = open_own_cert(k, cert, &c, &is_pending);
    if (e == ERR_OK)
        e = device_list_open(list, c.A, &l);
    if (e != ERR_OK)
        return e;
    if (cert_check(&c, &l) != CERT_LISTED)
        return ERR_AUTH;
    if (!secret_is_zero(k->identity.pub, KEY_BYTES) && memcmp(k->identity.pub, c.A, KEY_BYTES) != 0)
        return ERR_AUTH;
    if (l.gen < k->gen)
        return ERR_LATE;
    if (is_pending)
        use_pending(env, k);
    memcpy(k->identity.pub, c.A, KEY_BYTES);
    memcpy(k->next, c.next, KEY_BYTES);
    memcpy(k->cert, cert.data, CERT_BYTES);
    k->list = l;
    k->slot = c.slot;
    k->gen = l.gen;
    (void)keyring_set_s(env, k, S, S_gen); /* an older S than ours: ours stays */
    return ERR_OK;
}

static bool holds_us(const struct keyring *k, const struct device_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (memcmp(list->devices[i].D, k->device.pub, KEY_BYTES) == 0 ||
            (!secret_is_zero(k->pending_device.secret, KEY_BYTES) &&
             memcmp(list->devices[i].D, k->pending_device.pub, KEY_BYTES) == 0))
            return true;
    return false;
}

enum err keyring_strike(struct keyring *k, struct slice list)
{
    struct device_list l;
    enum err e;

    if (keyring_is_main(k))
        return ERR_STATE;
    e = device_list_open(list, k->identity.pub, &l);
    if (e != ERR_OK)
        return e;
    if (l.gen <= k->gen)
        return ERR_LATE;
    if (holds_us(k, &l))
        return ERR_EXISTS;
    k->list = l;
    return ERR_OK;
}

bool keyring_is_struck(const struct keyring *k)
{
    return !keyring_is_main(k) && k->list.n > 0 && !holds_us(k, &k->list);
}

void keyring_wipe(struct keyring *k)
{
    secret_wipe(k, sizeof *k);
}
