#include "dht/peers.h"

#include "base/mem.h"

void peers_init(struct peers *p, unsigned max)
{
    memset(p, 0, sizeof *p);
    p->max = (uint16_t)max;
}

/* More places, when the cap allows; the first of them, or NULL. */
static struct announced *grow(struct peers *p)
{
    unsigned cap = p->cap > 0 ? p->cap * 2u : 4, was = p->cap;

    cap = cap < p->max ? cap : p->max;
    if (cap == was)
        return NULL;
    p->pool = mem_resize(p->pool, cap, sizeof *p->pool);
    memset(p->pool + was, 0, (cap - was) * sizeof *p->pool);
    p->cap = (uint16_t)cap;
    return &p->pool[was];
}

void peers_fini(struct peers *p)
{
    mem_free(p->pool);
    memset(p, 0, sizeof *p);
}

enum err peers_put(struct peers *p, ns_t now, const uint8_t hash[static ID_BYTES], const struct addr *a)
{
    struct announced *place = NULL;
    unsigned n_hash = 0, n_net = 0;
    bool is_global = addr_class(a) == ADDR_GLOBAL;

    for (unsigned i = 0; i < p->cap; i++) {
        struct announced *e = &p->pool[i];

        if (e->expires_at <= now) {
            place = place == NULL ? e : place;
            continue;
        }
        n_net += is_global && addr_same_net(&e->addr, a);
        if (!id_equal(e->hash, hash))
            continue;
        n_hash++;
        if (addr_equal(&e->addr, a)) {
            e->expires_at = now + PEERS_LIFE_NS;
            return ERR_OK;
        }
    }
    if (place == NULL)
        place = grow(p);
    if (place == NULL || n_hash >= PEERS_PER_HASH || n_net >= PEERS_PER_NET) {
        p->cap_drops++;
        return ERR_FULL;
    }
    *place = (struct announced){.addr = *a, .expires_at = now + PEERS_LIFE_NS};
    memcpy(place->hash, hash, ID_BYTES);
    return ERR_OK;
}

size_t peers_get(const struct peers *p, ns_t now, const uint8_t hash[static ID_BYTES], uint32_t random,
                 struct addr *out, size_t max)
{
    size_t n = 0;

    for (unsigned i = 0; i < p->cap && n < max; i++) {
        const struct announced *e = &p->pool[(random + i) % p->cap];

        if (e->expires_at > now && id_equal(e->hash, hash))
            out[n++] = e->addr;
    }
    return n;
}

uint32_t peers_live(const struct peers *p, ns_t now)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < p->cap; i++)
        n += p->pool[i].expires_at > now;
    return n;
}
