#include "dht/store.h"

#include "base/mem.h"
#include "crypto/digest.h"

#define NONE 0xffff

void store_init(struct store *s, const uint8_t own[static ID_BYTES], unsigned max, const struct node_ops *ops,
                const struct env *env)
{
    memset(s, 0, sizeof *s);
    s->env = env;
    s->ops = ops;
    memcpy(s->own, own, ID_BYTES);
    s->max = (uint16_t)(max < NONE ? max : NONE - 1);
    s->n_heads = s->max > 0 ? s->max : 1;
    s->pool = mem_array(s->n_heads, sizeof *s->pool);
    s->heads = mem_array(s->n_heads, sizeof *s->heads);
    s->next_expiry = NS_NEVER;
    memset(s->heads, 0xff, s->n_heads * sizeof *s->heads);
    env_random(env, s->secret, sizeof s->secret);
}

void store_fini(struct store *s)
{
    mem_free(s->pool);
    mem_free(s->heads);
    secret_wipe(s->secret, sizeof s->secret);
    memset(s, 0, sizeof *s);
}

static void secret_turn(struct store *s, ns_t now)
{
    if (now - s->secret_at < STORE_TOKEN_NS)
        return;
    if (now - s->secret_at < 2 * STORE_TOKEN_NS)
        memcpy(s->secret[1], s->secret[0], 32);
    else
        env_random(s->env, s->secret[1], 32);
    env_random(s->env, s->secret[0], 32);
    s->secret_at = now;
}

static void token_of(const struct store *s, unsigned age, const struct addr *a,
                     const uint8_t target[static ID_BYTES], uint8_t out[static STORE_TOKEN_BYTES])
{
    struct hasher h;

    hash_begin(&h, STORE_TOKEN_BYTES, s->secret[age], 32);
    hash_text(&h, "itodenwa-krpc-token-v1");
    hash_u8(&h, a->family);
    hash_bytes(&h, a->ip, sizeof a->ip);
    hash_bytes(&h, target, ID_BYTES);
    hash_end(&h, out);
}

void store_token(struct store *s, ns_t now, const struct addr *a, const uint8_t target[static ID_BYTES],
                 uint8_t out[static STORE_TOKEN_BYTES])
{
    secret_turn(s, now);
    token_of(s, 0, a, target, out);
}

bool store_token_ok(struct store *s, ns_t now, const struct addr *a, const uint8_t target[static ID_BYTES],
                    struct slice token)
{
    uint8_t right[STORE_TOKEN_BYTES];

    secret_turn(s, now);
    for (unsigned age = 0; age < 2 && token.len == sizeof right; age++) {
        token_of(s, age, a, target, right);
        if (secret_equal(right, token.data, sizeof right))
            return true;
    }
    return false;
}

static uint16_t *head_of(const struct store *s, const uint8_t target[static ID_BYTES])
{
    uint32_t v;

    memcpy(&v, target + 12,
           sizeof v); /* a hash's bytes; not the first ones, which we share with all we hold */
    return &s->heads[v % s->n_heads];
}

static struct stored *find(const struct store *s, const uint8_t target[static ID_BYTES])
{
    for (uint16_t i = *head_of(s, target); i != NONE; i = s->pool[i].next)
        if (id_equal(s->pool[i].target, target))
            return &s->pool[i];
    return NULL;
}

const struct stored *store_get(const struct store *s, ns_t now, const uint8_t target[static ID_BYTES])
{
    const struct stored *i = find(s, target);

    return i != NULL && i->expires_at > now ? i : NULL;
}

static void remove_item(struct store *s, struct stored *item)
{
    uint16_t index = (uint16_t)(item - s->pool), *link = head_of(s, item->target);

    while (*link != index)
        link = &s->pool[*link].next;
    *link = item->next;
    item->expires_at = 0;
    s->n--;
}

/* A place for a new item, or NULL. */
static struct stored *make_room(struct store *s, ns_t now, const struct addr *from,
                                const uint8_t target[static ID_BYTES])
{
    struct stored *farthest = NULL, *empty = NULL;
    bool is_global = addr_class(from) == ADDR_GLOBAL;
    unsigned n_net = 0;

    for (unsigned i = 0; i < s->max; i++) {
        struct stored *p = &s->pool[i];

        if (p->expires_at > 0 && p->expires_at <= now)
            remove_item(s, p);
        if (p->expires_at == 0) {
            empty = empty == NULL ? p : empty;
            continue;
        }
        n_net += is_global && addr_same_net(&p->put_from, from);
        if (farthest == NULL || id_compare(s->own, p->target, farthest->target) > 0)
            farthest = p;
    }
    if (n_net >= STORE_PER_NET)
        return NULL;
    if (empty != NULL)
        return empty;
    if (farthest == NULL || id_compare(s->own, target, farthest->target) >= 0)
        return NULL;
    s->cap_drops++;
    remove_item(s, farthest);
    return farthest;
}

static bool is_mutable(const struct krpc_msg *m)
{
    return m->b.k.data != NULL || m->b.sig.data != NULL;
}

/* What a zone holds. */
static bool is_ours(const struct krpc_msg *m)
{
    struct slice v;

    return is_mutable(m) && krpc_v_string(m, &v);
}

/* target = SHA-1(k salt), immutable: SHA-1(v). */
static void target_of(const struct krpc_msg *m, uint8_t target[static ID_BYTES])
{
    uint8_t text[32 + STORE_SALT_MAX];

    if (!is_mutable(m)) {
        digest_sha1(m->b.v, target);
        return;
    }
    memcpy(text, m->b.k.data, 32);
    if (m->b.salt.len > 0)
        memcpy(text + 32, m->b.salt.data, m->b.salt.len);
    digest_sha1(slice_of(text, 32 + m->b.salt.len), target);
}

static int check_put(struct store *s, ns_t now, const struct addr *from, bool is_zone,
                     const struct krpc_msg *m, uint8_t target[static ID_BYTES])
{
    if (m->b.v.len > KRPC_V_MAX)
        return KRPC_E_TOO_BIG;
    if (m->b.salt.len > STORE_SALT_MAX)
        return KRPC_E_SALT;
    if (m->b.v.data == NULL || (is_zone && !is_ours(m)) ||
        (is_mutable(m) &&
         (m->b.k.data == NULL || m->b.sig.data == NULL || !m->b.seq.is_set || m->b.seq.v < 0)))
        return KRPC_E_PROTOCOL;
    target_of(m, target);
    if (!store_token_ok(s, now, from, target, m->b.token))
        return KRPC_E_PROTOCOL;
    if (is_mutable(m) && s->ops->item(m->b.k.data, m->b.salt, m->b.seq.v, m->b.v, m->b.sig.data) != ERR_OK)
        return KRPC_E_SIGNATURE;
    return 0;
}

int store_put(struct store *s, ns_t now, const struct addr *from, const uint8_t *N, const struct krpc_msg *m,
              uint8_t target[static ID_BYTES])
{
    int code = check_put(s, now, from, N != NULL, m, target);
    struct stored *p;

    if (code != 0)
        return code;
    p = find(s, target);
    if (p != NULL && p->expires_at > now && !p->is_mutable) {
        p->expires_at = now + STORE_LIFE_NS; /* the same value: that is what its target says */
        return 0;
    }
    if (p != NULL && p->expires_at > now) {
        if (m->b.cas.is_set && m->b.cas.v != p->seq)
            return KRPC_E_CAS;
        if (m->b.seq.v < p->seq ||
            (m->b.seq.v == p->seq && memcmp(p->sig, m->b.sig.data, sizeof p->sig) != 0))
            return KRPC_E_SEQ;
    } else {
        uint16_t *head = head_of(s, target);

        if (p != NULL)
            remove_item(s, p);
        p = make_room(s, now, from, target);
        if (p == NULL) {
            s->cap_drops++;
            return N != NULL ? KRPC_E_FULL : KRPC_E_SERVER;
        }
        memcpy(p->target, target, ID_BYTES);
        p->next = *head;
        *head = (uint16_t)(p - s->pool);
        s->n++;
    }
    p->is_mutable = is_mutable(m);
    if (p->is_mutable) {
        memcpy(p->k, m->b.k.data, sizeof p->k);
        memcpy(p->sig, m->b.sig.data, sizeof p->sig);
        p->seq = m->b.seq.v;
    }
    p->put_from = *from;
    memset(p->put_by, 0, sizeof p->put_by);
    if (N != NULL)
        memcpy(p->put_by, N, sizeof p->put_by);
    p->salt_len = (uint8_t)(p->is_mutable ? m->b.salt.len : 0);
    if (p->salt_len > 0)
        memcpy(p->salt, m->b.salt.data, p->salt_len);
    p->v_len = (uint16_t)m->b.v.len;
    memcpy(p->v, m->b.v.data, m->b.v.len);
    p->expires_at = now + STORE_LIFE_NS;
    s->next_expiry = ns_min(s->next_expiry, p->expires_at);
    return 0;
}

void store_tick(struct store *s, ns_t now)
{
    if (now < s->next_expiry)
        return;
    s->next_expiry = NS_NEVER;
    for (unsigned i = 0; i < s->max; i++) {
        struct stored *p = &s->pool[i];

        if (p->expires_at > 0 && p->expires_at <= now)
            remove_item(s, p);
        else if (p->expires_at > 0)
            s->next_expiry = ns_min(s->next_expiry, p->expires_at);
    }
}

ns_t store_deadline(const struct store *s)
{
    return s->next_expiry;
}
