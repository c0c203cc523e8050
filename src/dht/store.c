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
    s->next_expiry = NS_NEVER;
    env_random(env, s->secret, sizeof s->secret);
}

void store_fini(struct store *s)
{
    for (unsigned i = 0; i < s->cap; i++)
        mem_free(s->pool[i]);
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
    return &s->heads[v % s->cap];
}

static void grow(struct store *s)
{
    unsigned cap = s->cap > 0 ? s->cap * 2u : 4;

    cap = cap < s->max ? cap : s->max;
    s->pool = mem_resize(s->pool, cap, sizeof *s->pool);
    memset(s->pool + s->cap, 0, (cap - s->cap) * sizeof *s->pool);
    s->heads = mem_resize(s->heads, cap, sizeof *s->heads);
    memset(s->heads, 0xff, cap * sizeof *s->heads);
    s->cap = (uint16_t)cap;
    for (unsigned i = 0; i < cap; i++)
        if (s->pool[i] != NULL) {
            uint16_t *head = head_of(s, s->pool[i]->target);

            s->pool[i]->next = *head;
            *head = (uint16_t)i;
        }
}

static struct stored *find(const struct store *s, const uint8_t target[static ID_BYTES])
{
    for (uint16_t i = s->cap > 0 ? *head_of(s, target) : NONE; i != NONE; i = s->pool[i]->next)
        if (id_equal(s->pool[i]->target, target))
            return s->pool[i];
    return NULL;
}

const struct stored *store_get(const struct store *s, ns_t now, const uint8_t target[static ID_BYTES])
{
    const struct stored *i = find(s, target);

    return i != NULL && i->expires_at > now ? i : NULL;
}

static void remove_item(struct store *s, struct stored *item)
{
    uint16_t *link = head_of(s, item->target), index;

    while (s->pool[*link] != item)
        link = &s->pool[*link]->next;
    index = *link;
    *link = item->next;
    s->pool[index] = NULL;
    mem_free(item);
    s->n--;
}

/* A place for a new item, or NONE. */
static uint16_t make_room(struct store *s, ns_t now, const struct addr *from,
                          const uint8_t target[static ID_BYTES])
{
    uint16_t farthest = NONE, empty = NONE;
    bool is_global = addr_class(from) == ADDR_GLOBAL;
    unsigned n_net = 0;

    for (uint16_t i = 0; i < s->cap; i++) {
        if (s->pool[i] != NULL && s->pool[i]->expires_at <= now)
            remove_item(s, s->pool[i]);
        if (s->pool[i] == NULL) {
            empty = empty == NONE ? i : empty;
            continue;
        }
        n_net += is_global && addr_same_net(&s->pool[i]->put_from, from);
        if (farthest == NONE || id_compare(s->own, s->pool[i]->target, s->pool[farthest]->target) > 0)
            farthest = i;
    }
    if (n_net >= STORE_PER_NET)
        return NONE;
    if (empty != NONE)
        return empty;
    if (s->cap < s->max) {
        empty = s->cap;
        grow(s);
        return empty;
    }
    if (farthest == NONE || id_compare(s->own, target, s->pool[farthest]->target) >= 0)
        return NONE;
    s->cap_drops++;
    remove_item(s, s->pool[farthest]);
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

void store_target(const struct krpc_msg *m, uint8_t target[static ID_BYTES])
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
    store_target(m, target);
    if (!(is_zone && m->b.token.data == NULL) && !store_token_ok(s, now, from, target, m->b.token))
        return KRPC_E_PROTOCOL;
    if (is_mutable(m) && s->ops->item(m->b.k.data, m->b.salt, m->b.seq.v, m->b.v, m->b.sig.data) != ERR_OK)
        return KRPC_E_SIGNATURE;
    return 0;
}

/* Room for another value. */
static struct stored *resize_item(struct store *s, struct stored *item, size_t v_len)
{
    uint16_t i = *head_of(s, item->target);

    while (s->pool[i] != item)
        i = s->pool[i]->next;
    return s->pool[i] = mem_resize(item, 1, sizeof *item + v_len);
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
        uint16_t place;

        if (p != NULL)
            remove_item(s, p);
        place = make_room(s, now, from, target);
        if (place == NONE) {
            s->cap_drops++;
            return N != NULL ? KRPC_E_FULL : KRPC_E_SERVER;
        }
        p = s->pool[place] = mem_alloc(sizeof *p);
        memcpy(p->target, target, ID_BYTES);
        p->next = *head_of(s, target);
        *head_of(s, target) = place;
        s->n++;
    }
    if (p->v_len != m->b.v.len)
        p = resize_item(s, p, m->b.v.len);
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
    for (unsigned i = 0; i < s->cap; i++) {
        struct stored *p = s->pool[i];

        if (p != NULL && p->expires_at <= now)
            remove_item(s, p);
        else if (p != NULL)
            s->next_expiry = ns_min(s->next_expiry, p->expires_at);
    }
}

ns_t store_deadline(const struct store *s)
{
    return s->next_expiry;
}
