#include "dht/advert.h"

#include "base/mem.h"

void adverts_init(struct adverts *a, unsigned max)
{
    memset(a, 0, sizeof *a);
    a->max = (uint16_t)max;
}

/* More places, when the cap allows; the first of them, or NULL. */
static struct advert *grow(struct adverts *a)
{
    unsigned cap = a->cap > 0 ? a->cap * 2u : 4, was = a->cap;

    cap = cap < a->max ? cap : a->max;
    if (cap == was)
        return NULL;
    a->pool = mem_resize(a->pool, cap, sizeof *a->pool);
    memset(a->pool + was, 0, (cap - was) * sizeof *a->pool);
    a->cap = (uint16_t)cap;
    return &a->pool[was];
}

void adverts_fini(struct adverts *a)
{
    mem_free(a->pool);
    memset(a, 0, sizeof *a);
}

enum err adverts_put(struct adverts *a, ns_t now, const uint8_t key[static ID_BYTES],
                     const uint8_t N[static 32], const struct addr *from, struct slice bytes)
{
    struct advert *place = NULL, *same = NULL;
    unsigned n_key = 0, n_net = 0;
    bool is_global = addr_class(from) == ADDR_GLOBAL;

    if (bytes.len == 0 || bytes.len > ADVERT_BYTES)
        return ERR_RANGE;
    for (unsigned i = 0; i < a->cap; i++) {
        struct advert *p = &a->pool[i];

        if (p->expires_at <= now) {
            place = place == NULL ? p : place;
        } else if (id_equal(p->key, key)) {
            if (memcmp(p->N, N, sizeof p->N) == 0) {
                same = p; /* it does not stand in its own way */
                continue;
            }
            n_key++;
            n_net += is_global && addr_same_net(&p->seen, from);
        }
    }
    if (same != NULL)
        place = same;
    if (place == NULL)
        place = grow(a);
    if (place == NULL || n_key >= ADVERT_PER_KEY || n_net >= ADVERT_PER_NET) {
        a->cap_drops++;
        return ERR_FULL;
    }
    memcpy(place->key, key, ID_BYTES);
    memcpy(place->N, N, sizeof place->N);
    place->seen = *from;
    place->len = (uint16_t)bytes.len;
    memcpy(place->bytes, bytes.data, bytes.len);
    place->expires_at = now + ADVERT_LIFE_NS;
    return ERR_OK;
}

const struct advert *adverts_get(const struct adverts *a, ns_t now, const uint8_t key[static ID_BYTES],
                                 unsigned index, unsigned *n)
{
    const struct advert *found = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < a->cap; i++)
        if (a->pool[i].expires_at > now && id_equal(a->pool[i].key, key) && count++ == index)
            found = &a->pool[i];
    if (n != NULL)
        *n = count;
    return found;
}

unsigned adverts_live(const struct adverts *a, ns_t now)
{
    unsigned n = 0;

    for (unsigned i = 0; i < a->cap; i++)
        n += a->pool[i].expires_at > now;
    return n;
}
