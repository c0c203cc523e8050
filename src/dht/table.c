#include "dht/table.h"

#include <stdlib.h>

#include "base/mem.h"

#define GONE_AFTER 5 /* failures in a row of a contact nobody replaces */

void table_init(struct table *t, const uint8_t own[static ID_BYTES], unsigned k, unsigned max)
{
    memset(t, 0, sizeof *t);
    memcpy(t->own, own, ID_BYTES);
    t->k = (uint8_t)k;
    t->max = (uint16_t)(max > 0 && max < TABLE_NONE ? max : TABLE_MAX);
    t->pool = mem_array(t->max, sizeof *t->pool);
    for (unsigned i = 0; i < ID_BITS; i++)
        t->head[i] = TABLE_NONE;
    for (unsigned i = 0; i < t->max; i++)
        t->pool[i].next = (uint16_t)(i + 1 < t->max ? i + 1 : TABLE_NONE);
}

void table_fini(struct table *t)
{
    mem_free(t->pool);
    memset(t, 0, sizeof *t);
}

static unsigned bucket_cap(const struct table *t, unsigned bucket)
{
    unsigned wide = bucket < 8 ? TABLE_WIDE_MAX >> bucket : 0;

    return wide > t->k ? wide : t->k;
}

static uint16_t find_index(const struct table *t, const uint8_t id[static ID_BYTES])
{
    unsigned bucket = id_prefix(t->own, id);

    if (bucket >= ID_BITS)
        return TABLE_NONE;
    for (uint16_t i = t->head[bucket]; i != TABLE_NONE; i = t->pool[i].next)
        if (id_equal(t->pool[i].c.id, id))
            return i;
    return TABLE_NONE;
}

const struct table_entry *table_find(const struct table *t, const uint8_t id[static ID_BYTES])
{
    uint16_t i = find_index(t, id);

    return i == TABLE_NONE ? NULL : &t->pool[i];
}

static void remove_index(struct table *t, uint16_t index)
{
    struct table_entry *e = &t->pool[index];
    uint16_t *link = &t->head[e->bucket];

    while (*link != index)
        link = &t->pool[*link].next;
    *link = e->next;
    t->count[e->bucket]--;
    t->n--;
    memset(e, 0, sizeof *e);
    e->next = t->free;
    t->free = index;
}

static void place(struct table *t, uint16_t index, unsigned bucket, const struct contact *c, ns_t seen_at,
                  uint32_t rtt_us)
{
    struct table_entry *e = &t->pool[index];

    *e = (struct table_entry){.c = *c,
                              .rtt_us = rtt_us,
                              .answers = 1,
                              .seen_at = seen_at,
                              .probed_at = seen_at,
                              .bucket = (uint8_t)bucket,
                              .is_used = true,
                              .next = t->head[bucket]};
    t->head[bucket] = index;
    t->count[bucket]++;
    t->n++;
}

/* Contacts of the bucket in the network of a; 0 unless a is global. */
static unsigned count_net(const struct table *t, unsigned bucket, const struct addr *a)
{
    unsigned n = 0;

    if (addr_class(a) != ADDR_GLOBAL)
        return 0;
    for (uint16_t i = t->head[bucket]; i != TABLE_NONE; i = t->pool[i].next)
        n += addr_same_net(&t->pool[i].c.addr, a);
    return n;
}

/* Whom a newcomer may push out of a full bucket. */
static uint16_t find_victim(const struct table *t, unsigned bucket, const struct addr *newcomer)
{
    uint16_t victim = TABLE_NONE;
    unsigned worst = TABLE_PER_NET, mine = count_net(t, bucket, newcomer);

    for (uint16_t i = t->head[bucket]; i != TABLE_NONE; i = t->pool[i].next)
        if (t->pool[i].fails >= TABLE_FAILS)
            return i;
    for (uint16_t i = t->head[bucket]; i != TABLE_NONE; i = t->pool[i].next) {
        unsigned n = count_net(t, bucket, &t->pool[i].c.addr);

        if (n > worst && n > mine + 1) {
            worst = n;
            victim = i;
        }
    }
    return victim;
}

/* Another id at an address we have: that node is gone. */
static void drop_address(struct table *t, const struct contact *c)
{
    for (unsigned i = 0; i < t->max; i++)
        if (t->pool[i].is_used && addr_equal(&t->pool[i].c.addr, &c->addr) &&
            !id_equal(t->pool[i].c.id, c->id)) {
            remove_index(t, (uint16_t)i);
            return;
        }
}

static void add_spare(struct table *t, ns_t now, const struct contact *c, uint32_t rtt_us)
{
    struct table_spare *oldest = &t->spares[0];

    for (unsigned i = 0; i < TABLE_SPARES; i++) {
        struct table_spare *s = &t->spares[i];

        if (s->seen_at > 0 && (id_equal(s->c.id, c->id) || addr_equal(&s->c.addr, &c->addr))) {
            oldest = s;
            break;
        }
        if (s->seen_at < oldest->seen_at)
            oldest = s;
    }
    *oldest = (struct table_spare){.c = *c, .seen_at = now > 0 ? now : 1, .rtt_us = rtt_us};
}

enum err table_seen(struct table *t, ns_t now, const struct contact *c, ns_t rtt)
{
    unsigned bucket = id_prefix(t->own, c->id);
    uint32_t rtt_us = rtt / NS_PER_US > 60000000 ? 60000000 : (uint32_t)(rtt / NS_PER_US);
    uint16_t index;

    if (bucket >= ID_BITS)
        return ERR_REFUSED;
    index = find_index(t, c->id);
    if (index != TABLE_NONE) {
        struct table_entry *e = &t->pool[index];

        if (!addr_equal(&e->c.addr, &c->addr))
            drop_address(t, c);
        e->c = *c;
        e->rtt_us = e->rtt_us == 0 ? rtt_us : (e->rtt_us * 7 + rtt_us) / 8;
        e->seen_at = e->probed_at = now;
        e->fails = 0;
        e->answers++;
        return ERR_OK;
    }
    drop_address(t, c);
    if (t->count[bucket] >= bucket_cap(t, bucket) || t->free == TABLE_NONE) {
        uint16_t victim = find_victim(t, bucket, &c->addr);

        if (victim == TABLE_NONE) {
            add_spare(t, now, c, rtt_us);
            return ERR_FULL;
        }
        remove_index(t, victim);
    }
    index = t->free;
    t->free = t->pool[index].next;
    place(t, index, bucket, c, now, rtt_us);
    return ERR_OK;
}

void table_probed(struct table *t, ns_t now, const uint8_t id[static ID_BYTES])
{
    uint16_t i = find_index(t, id);

    if (i != TABLE_NONE)
        t->pool[i].probed_at = now;
}

void table_heard(struct table *t, ns_t now, const uint8_t id[static ID_BYTES], const struct addr *from)
{
    uint16_t i = find_index(t, id);

    if (i != TABLE_NONE && t->pool[i].fails == 0 && addr_equal(&t->pool[i].c.addr, from))
        t->pool[i].probed_at = now;
}

/* The freshest spare for a bucket, taken out. */
static bool take_spare(struct table *t, unsigned bucket, struct table_spare *out)
{
    struct table_spare *best = NULL;

    for (unsigned i = 0; i < TABLE_SPARES; i++) {
        struct table_spare *s = &t->spares[i];

        if (s->seen_at > 0 && id_prefix(t->own, s->c.id) == bucket &&
            (best == NULL || s->seen_at > best->seen_at))
            best = s;
    }
    if (best == NULL)
        return false;
    *out = *best;
    best->seen_at = 0;
    return true;
}

void table_failed(struct table *t, ns_t now, const uint8_t id[static ID_BYTES])
{
    uint16_t i = find_index(t, id);
    struct table_spare s;
    unsigned bucket;

    if (i == TABLE_NONE)
        return;
    bucket = t->pool[i].bucket;
    t->pool[i].probed_at = now;
    if (++t->pool[i].fails < TABLE_FAILS)
        return;
    if (take_spare(t, bucket, &s)) {
        remove_index(t, i);
        i = t->free;
        t->free = t->pool[i].next;
        place(t, i, bucket, &s.c, s.seen_at, s.rtt_us);
    } else if (t->pool[i].fails >= GONE_AFTER) {
        remove_index(t, i);
    }
}

void table_forget(struct table *t, const uint8_t id[static ID_BYTES])
{
    uint16_t i = find_index(t, id);

    if (i != TABLE_NONE)
        remove_index(t, i);
}

bool table_wants(const struct table *t, const uint8_t id[static ID_BYTES])
{
    unsigned bucket = id_prefix(t->own, id);

    if (bucket >= ID_BITS || find_index(t, id) != TABLE_NONE)
        return false;
    if (t->count[bucket] < bucket_cap(t, bucket) && t->free != TABLE_NONE)
        return true;
    for (uint16_t i = t->head[bucket]; i != TABLE_NONE; i = t->pool[i].next)
        if (t->pool[i].fails >= TABLE_FAILS)
            return true;
    return false;
}

struct picker {
    const uint8_t *target;
    const struct table_entry **out;
    size_t n, max, from; /* out[from..n) is the group being sorted */
};

static void pick_bucket(const struct table *t, unsigned bucket, struct picker *p)
{
    for (uint16_t i = t->head[bucket]; i != TABLE_NONE; i = t->pool[i].next) {
        const struct table_entry *e = &t->pool[i];
        size_t at = p->n;

        if (e->fails >= TABLE_FAILS)
            continue;
        while (at > p->from && id_compare(p->target, e->c.id, p->out[at - 1]->c.id) < 0)
            at--;
        if (at >= p->max)
            continue;
        if (p->n < p->max)
            p->n++;
        memmove(&p->out[at + 1], &p->out[at], (p->n - 1 - at) * sizeof *p->out);
        p->out[at] = e;
    }
}

/* Distances come in groups: the bucket the target falls into is nearest, then all deeper ones together, then the
 * shallower ones, deepest first. Each group needs sorting only in itself. */
size_t table_closest(const struct table *t, const uint8_t target[static ID_BYTES],
                     const struct table_entry **out, size_t n)
{
    struct picker p = {.target = target, .out = out, .max = n};
    unsigned prefix = id_prefix(t->own, target);

    if (prefix < ID_BITS) {
        pick_bucket(t, prefix, &p);
        p.from = p.n;
    }
    for (unsigned i = prefix + 1; i < ID_BITS; i++)
        pick_bucket(t, i, &p);
    p.from = p.n;
    for (unsigned i = prefix < ID_BITS ? prefix : ID_BITS; i > 0 && p.n < n; i--) {
        pick_bucket(t, i - 1, &p);
        p.from = p.n;
    }
    return p.n;
}

const struct table_entry *table_stalest(const struct table *t, ns_t before)
{
    const struct table_entry *best = NULL;

    for (unsigned i = 0; i < t->max; i++) {
        const struct table_entry *e = &t->pool[i];

        if (e->is_used && e->probed_at < before && (best == NULL || e->probed_at < best->probed_at))
            best = e;
    }
    return best;
}

const struct table_entry *table_random(const struct table *t, uint32_t random)
{
    unsigned at = t->n > 0 ? random % t->n : 0;

    for (unsigned i = 0; i < t->max; i++)
        if (t->pool[i].is_used && at-- == 0)
            return &t->pool[i];
    return NULL;
}

unsigned table_deepest(const struct table *t)
{
    for (unsigned i = ID_BITS; i > 0; i--)
        if (t->count[i - 1] > 0)
            return i - 1;
    return 0;
}

unsigned table_room_bucket(const struct table *t, unsigned from)
{
    unsigned deepest = table_deepest(t);

    for (unsigned i = from; i <= deepest; i++)
        if (t->count[i] < bucket_cap(t, i))
            return i;
    return ID_BITS;
}

size_t table_live(const struct table *t)
{
    size_t n = 0;

    for (unsigned i = 0; i < t->max; i++)
        n += t->pool[i].is_used && t->pool[i].fails < TABLE_FAILS;
    return n;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

ns_t table_rtt(const struct table *t, ns_t otherwise)
{
    uint32_t rtts[64];
    size_t n = 0;

    for (unsigned i = 0; i < t->max && n < 64; i++)
        if (t->pool[i].is_used && t->pool[i].rtt_us > 0)
            rtts[n++] = t->pool[i].rtt_us;
    if (n == 0)
        return otherwise;
    qsort(rtts, n, sizeof *rtts, compare_u32);
    return rtts[n / 2] * NS_PER_US;
}
