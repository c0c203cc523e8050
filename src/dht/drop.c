#include "dht/drop.h"

#include "base/mem.h"
#include "crypto/request.h"
#include "crypto/secret.h"

void drops_init(struct drops *d, unsigned max)
{
    memset(d, 0, sizeof *d);
    d->max = (uint16_t)max;
    d->next_expiry = NS_NEVER;
}

/* More places, when the cap allows; the first of them, or NULL. */
static struct blob *grow(struct drops *d)
{
    unsigned cap = d->cap > 0 ? d->cap * 2u : 4, was = d->cap;

    cap = cap < d->max ? cap : d->max;
    if (cap == was)
        return NULL;
    d->pool = mem_resize(d->pool, cap, sizeof *d->pool);
    memset(d->pool + was, 0, (cap - was) * sizeof *d->pool);
    d->cap = (uint16_t)cap;
    return &d->pool[was];
}

void drops_fini(struct drops *d)
{
    mem_free(d->pool);
    memset(d, 0, sizeof *d);
}

void drop_hash(const uint8_t blob[static DROP_BLOB_BYTES], uint8_t out[static DROP_HASH])
{
    uint8_t h[32];

    hash_once(sizeof h, NULL, 0, slice_of(blob, DROP_BLOB_BYTES), h);
    memcpy(out, h, DROP_HASH);
}

static bool is_live(const struct blob *b, ns_t now)
{
    return b->expires_at > now;
}

/* a gives way before b: fewer bits, or as many and older. */
static bool is_weaker(const struct blob *a, const struct blob *b)
{
    return b == NULL || a->bits < b->bits || (a->bits == b->bits && a->put_at < b->put_at);
}

/* What there is for one drop, and in all. */
struct scan {
    struct blob *empty, *weakest_here, *weakest, *same;
    unsigned n_here;
    bool can_grow;
};

static struct scan scan(const struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES],
                        const uint8_t *hash)
{
    struct scan s = {.can_grow = d->cap < d->max};

    for (unsigned i = 0; i < d->cap; i++) {
        struct blob *b = &d->pool[i];

        if (!is_live(b, now)) {
            s.empty = s.empty == NULL ? b : s.empty;
            continue;
        }
        if (is_weaker(b, s.weakest))
            s.weakest = b;
        if (!id_equal(b->drop_id, drop_id))
            continue;
        s.n_here++;
        if (is_weaker(b, s.weakest_here))
            s.weakest_here = b;
        if (hash != NULL && memcmp(b->hash, hash, DROP_HASH) == 0)
            s.same = b;
    }
    return s;
}

/* Whom a newcomer must beat, NULL when there is room. */
static struct blob *rival_of(const struct scan *s)
{
    if (s->n_here >= DROP_PER_ID)
        return s->weakest_here;
    return s->empty == NULL && !s->can_grow ? s->weakest : NULL;
}

static uint8_t price_against(const struct blob *rival, ns_t now)
{
    unsigned bits = DROP_BITS_MIN;

    if (rival != NULL)
        bits = now - rival->put_at > DROP_YIELD_NS ? rival->bits : rival->bits + 1u;
    return (uint8_t)(bits < DROP_BITS_MIN ? DROP_BITS_MIN : bits);
}

uint8_t drops_price(const struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES])
{
    struct scan s = scan(d, now, drop_id, NULL);

    return price_against(rival_of(&s), now);
}

enum err drops_put(struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES],
                   const uint8_t blob[static DROP_BLOB_BYTES], const uint8_t nonce[static DROP_NONCE],
                   uint8_t *bits, bool *is_new)
{
    unsigned has = pow_bits(drop_id, slice_of(blob, DROP_BLOB_BYTES), nonce);
    uint8_t hash[DROP_HASH];
    struct blob *rival, *b;
    struct scan s;

    *is_new = false;
    drop_hash(blob, hash);
    s = scan(d, now, drop_id, hash);
    rival = rival_of(&s);
    *bits = price_against(rival, now);
    if (s.same != NULL)
        return ERR_OK;
    has = has > DROP_BITS_MAX ? DROP_BITS_MAX : has;
    if (has < *bits || d->max == 0) {
        d->cap_drops += rival != NULL;
        return rival != NULL ? ERR_FULL : ERR_REFUSED;
    }
    b = rival != NULL ? rival : s.empty != NULL ? s.empty : grow(d);
    d->n =
        (uint16_t)(d->n + (b->expires_at == 0)); /* one that expired and was not cleared yet still counts */
    memcpy(b->drop_id, drop_id, ID_BYTES);
    memcpy(b->hash, hash, DROP_HASH);
    memcpy(b->nonce, nonce, DROP_NONCE);
    memcpy(b->bytes, blob, DROP_BLOB_BYTES);
    b->bits = (uint8_t)has;
    b->put_at = now;
    b->expires_at = now + DROP_LIFE_NS;
    d->next_expiry = ns_min(d->next_expiry, b->expires_at);
    *bits = drops_price(d, now, drop_id);
    *is_new = true;
    return ERR_OK;
}

size_t drops_list(const struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES],
                  uint8_t out[static DROP_PER_ID * DROP_HASH])
{
    size_t n = 0;

    for (unsigned i = 0; i < d->cap && n < DROP_PER_ID; i++)
        if (is_live(&d->pool[i], now) && id_equal(d->pool[i].drop_id, drop_id))
            memcpy(out + DROP_HASH * n++, d->pool[i].hash, DROP_HASH);
    return n;
}

const struct blob *drops_get(const struct drops *d, ns_t now, const uint8_t drop_id[static ID_BYTES],
                             const uint8_t hash[static DROP_HASH])
{
    for (unsigned i = 0; i < d->cap; i++)
        if (is_live(&d->pool[i], now) && id_equal(d->pool[i].drop_id, drop_id) &&
            memcmp(d->pool[i].hash, hash, DROP_HASH) == 0)
            return &d->pool[i];
    return NULL;
}

void drops_tick(struct drops *d, ns_t now)
{
    if (now < d->next_expiry)
        return;
    d->next_expiry = NS_NEVER;
    for (unsigned i = 0; i < d->cap; i++) {
        struct blob *b = &d->pool[i];

        if (b->expires_at > 0 && b->expires_at <= now) {
            b->expires_at = 0;
            d->n--;
        } else if (b->expires_at > 0) {
            d->next_expiry = ns_min(d->next_expiry, b->expires_at);
        }
    }
}

ns_t drops_deadline(const struct drops *d)
{
    return d->next_expiry;
}
