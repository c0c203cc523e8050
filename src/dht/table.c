#include "dht/table.h"

#include <stdlib.h>

#include "base/mem.h"

#define GONE_AFTER 5 /* failures in a row of a contact nobody replaces */
#define GROW_BY    24

static uint32_t head_of(const uint8_t id[static ID_BYTES])
{
    return (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
}

static uint16_t ticks(ns_t at)
{
    return (uint16_t)(at / TABLE_TICK_NS);
}

static ns_t age_of(uint16_t at, ns_t now)
{
    return (uint16_t)(ticks(now) - at) * TABLE_TICK_NS;
}

ns_t table_seen_at(const struct table_entry *e, ns_t now)
{
    ns_t age = age_of(e->seen_at, now);

    return age < now ? now - age : 1;
}

static uint16_t rtt_units(ns_t rtt)
{
    ns_t units = (rtt + 50 * NS_PER_US) / (100 * NS_PER_US);

    return (uint16_t)(units > UINT16_MAX ? UINT16_MAX : units > 0 ? units : 1);
}

void table_init(struct table *t, struct book *book, const uint8_t *own, unsigned k, unsigned max)
{
    memset(t, 0, sizeof *t);
    t->book = book;
    t->own = own;
    t->k = (uint8_t)k;
    t->max = (uint16_t)(max > 0 && max < UINT16_MAX ? max : TABLE_MAX);
}

void table_fini(struct table *t)
{
    for (unsigned i = 0; i < t->n; i++)
        book_drop(t->book, t->entries[i].who);
    for (unsigned i = 0; i < t->n_spares; i++)
        book_drop(t->book, t->spares[i].who);
    mem_free(t->entries);
    mem_free(t->spares);
    memset(t, 0, sizeof *t);
}

static unsigned bucket_cap(const struct table *t, unsigned bucket)
{
    unsigned wide = bucket < 8 ? TABLE_WIDE_MAX >> bucket : 0;

    return wide > t->k ? wide : t->k;
}

/* Where the entries of a bucket begin. */
static unsigned start_of(const struct table *t, unsigned bucket)
{
    unsigned at = 0;

    if (bucket > t->deepest)
        return t->n;
    for (unsigned i = 0; i < bucket; i++)
        at += t->count[i];
    return at;
}

static struct table_entry *find(const struct table *t, const uint8_t id[static ID_BYTES])
{
    unsigned bucket = id_prefix(t->own, id);
    uint32_t head = head_of(id);

    if (bucket >= ID_BITS || t->count[bucket] == 0)
        return NULL;
    for (unsigned i = start_of(t, bucket), end = i + t->count[bucket]; i < end; i++)
        if (t->entries[i].head == head && id_equal(table_contact(t, &t->entries[i])->id, id))
            return &t->entries[i];
    return NULL;
}

const struct table_entry *table_find(const struct table *t, const uint8_t id[static ID_BYTES])
{
    return find(t, id);
}

static unsigned bucket_of(const struct table *t, const struct table_entry *e)
{
    return id_prefix(t->own, table_contact(t, e)->id);
}

/* Takes its place out; the contact is still held. */
static void take_out(struct table *t, struct table_entry *e, unsigned bucket)
{
    unsigned at = (unsigned)(e - t->entries);

    t->n--;
    t->count[bucket]--;
    memmove(e, e + 1, (t->n - at) * sizeof *e);
    while (t->deepest > 0 && t->count[t->deepest] == 0)
        t->deepest--;
}

static void remove_entry(struct table *t, struct table_entry *e)
{
    uint32_t who = e->who;

    take_out(t, e, bucket_of(t, e));
    book_drop(t->book, who);
}

/* The entry's contact is held already. */
static void place(struct table *t, unsigned bucket, const struct table_entry *e)
{
    unsigned at;

    if (t->n == t->cap) {
        t->cap = (uint16_t)(t->cap + GROW_BY < t->max ? t->cap + GROW_BY : t->max);
        t->entries = mem_resize(t->entries, t->cap, sizeof *t->entries);
    }
    if (bucket > t->deepest)
        t->deepest = (uint8_t)bucket;
    at = start_of(t, bucket) + t->count[bucket];
    memmove(&t->entries[at + 1], &t->entries[at], (t->n - at) * sizeof *t->entries);
    t->entries[at] = *e;
    t->count[bucket]++;
    t->n++;
}

/* Contacts of the bucket in the network of a; 0 unless a is global. */
static unsigned count_net(const struct table *t, unsigned bucket, const struct addr *a)
{
    unsigned n = 0;

    if (addr_class(a) != ADDR_GLOBAL)
        return 0;
    for (unsigned i = start_of(t, bucket), end = i + t->count[bucket]; i < end; i++)
        n += addr_same_net(&table_contact(t, &t->entries[i])->addr, a);
    return n;
}

/* Whom a newcomer may push out of a full bucket. */
static struct table_entry *find_victim(const struct table *t, unsigned bucket, const struct addr *newcomer)
{
    unsigned first = start_of(t, bucket), end = first + t->count[bucket];
    unsigned worst = TABLE_PER_NET, mine;
    struct table_entry *victim = NULL;

    for (unsigned i = first; i < end; i++)
        if (t->entries[i].fails >= TABLE_FAILS)
            return &t->entries[i];
    mine = count_net(t, bucket, newcomer);
    for (unsigned i = first; i < end; i++) {
        unsigned n = count_net(t, bucket, &table_contact(t, &t->entries[i])->addr);

        if (n > worst && n > mine + 1) {
            worst = n;
            victim = &t->entries[i];
        }
    }
    return victim;
}

/* Another id at an address we have: that node is gone. */
static void drop_address(struct table *t, const struct contact *c)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct contact *has = table_contact(t, &t->entries[i]);

        if (has->addr.port == c->addr.port && addr_equal(&has->addr, &c->addr) && !id_equal(has->id, c->id)) {
            remove_entry(t, &t->entries[i]);
            return;
        }
    }
}

static void drop_spare(struct table *t, unsigned i)
{
    t->n_spares--;
    memmove(&t->spares[i], &t->spares[i + 1], (t->n_spares - i) * sizeof *t->spares);
}

static void add_spare(struct table *t, const struct table_entry *e)
{
    const struct contact *c = book_at(t->book, e->who);

    for (unsigned i = 0; i < t->n_spares; i++) {
        const struct contact *has = book_at(t->book, t->spares[i].who);

        if (id_equal(has->id, c->id) || addr_equal(&has->addr, &c->addr)) {
            book_drop(t->book, t->spares[i].who);
            drop_spare(t, i);
            break;
        }
    }
    if (t->n_spares == TABLE_SPARES) {
        book_drop(t->book, t->spares[0].who);
        drop_spare(t, 0);
    }
    if (t->n_spares == t->cap_spares) {
        t->cap_spares = (uint16_t)(t->cap_spares > 0 ? t->cap_spares * 2 : 4);
        t->spares = mem_resize(t->spares, t->cap_spares, sizeof *t->spares);
    }
    t->spares[t->n_spares++] = *e;
}

static void refresh(struct table *t, ns_t now, struct table_entry *e, const struct contact *c, uint16_t rtt)
{
    const struct contact *has = table_contact(t, e);

    e->rtt = e->rtt == 0 ? rtt : (uint16_t)((e->rtt * 7u + rtt) / 8);
    e->seen_at = e->probed_at = ticks(now);
    e->fails = 0;
    e->answers += e->answers < UINT8_MAX;
    if (!contact_equal(has, c)) {
        uint32_t was = e->who;
        bool has_moved = !addr_equal(&has->addr, &c->addr);

        e->who = book_keep(t->book, c);
        book_drop(t->book, was);
        if (has_moved)
            drop_address(t, c);
    }
}

enum err table_seen(struct table *t, ns_t now, const struct contact *c, ns_t rtt)
{
    unsigned bucket = id_prefix(t->own, c->id);
    struct table_entry *e, fresh;

    if (bucket >= ID_BITS)
        return ERR_REFUSED;
    e = find(t, c->id);
    if (e != NULL) {
        refresh(t, now, e, c, rtt_units(rtt));
        return ERR_OK;
    }
    drop_address(t, c);
    fresh = (struct table_entry){.who = book_keep(t->book, c),
                                 .head = head_of(c->id),
                                 .rtt = rtt_units(rtt),
                                 .answers = 1,
                                 .seen_at = ticks(now),
                                 .probed_at = ticks(now)};
    if (t->count[bucket] >= bucket_cap(t, bucket) || t->n >= t->max) {
        struct table_entry *victim = find_victim(t, bucket, &c->addr);

        if (victim == NULL) {
            add_spare(t, &fresh);
            return ERR_FULL;
        }
        remove_entry(t, victim);
    }
    place(t, bucket, &fresh);
    return ERR_OK;
}

void table_probed(struct table *t, ns_t now, const uint8_t id[static ID_BYTES])
{
    struct table_entry *e = find(t, id);

    if (e != NULL)
        e->probed_at = ticks(now);
}

void table_heard(struct table *t, ns_t now, const uint8_t id[static ID_BYTES], const struct addr *from)
{
    struct table_entry *e = find(t, id);

    if (e != NULL && e->fails == 0 && addr_equal(&table_contact(t, e)->addr, from))
        e->probed_at = ticks(now);
}

/* The freshest spare for a bucket, taken out but still held. */
static bool take_spare(struct table *t, unsigned bucket, struct table_entry *out)
{
    for (unsigned i = t->n_spares; i > 0; i--)
        if (bucket_of(t, &t->spares[i - 1]) == bucket) {
            *out = t->spares[i - 1];
            drop_spare(t, i - 1);
            return true;
        }
    return false;
}

void table_failed(struct table *t, ns_t now, const uint8_t id[static ID_BYTES])
{
    struct table_entry *e = find(t, id), spare;
    unsigned bucket;

    if (e == NULL)
        return;
    bucket = id_prefix(t->own, id);
    e->probed_at = ticks(now);
    if (++e->fails < TABLE_FAILS)
        return;
    if (take_spare(t, bucket, &spare)) {
        remove_entry(t, e);
        place(t, bucket, &spare);
    } else if (e->fails >= GONE_AFTER) {
        remove_entry(t, e);
    }
}

void table_forget(struct table *t, const uint8_t id[static ID_BYTES])
{
    struct table_entry *e = find(t, id);

    if (e != NULL)
        remove_entry(t, e);
}

bool table_wants(const struct table *t, const uint8_t id[static ID_BYTES])
{
    unsigned bucket = id_prefix(t->own, id), first;

    if (bucket >= ID_BITS || find(t, id) != NULL)
        return false;
    if (t->count[bucket] < bucket_cap(t, bucket) && t->n < t->max)
        return true;
    first = start_of(t, bucket);
    for (unsigned i = first; i < first + t->count[bucket]; i++)
        if (t->entries[i].fails >= TABLE_FAILS)
            return true;
    return false;
}

struct picker {
    const uint8_t *target;
    uint32_t head;
    const struct table_entry **out;
    size_t n, max, from; /* out[from..n) is the group being sorted */
};

static bool is_nearer(const struct table *t, const struct picker *p, const struct table_entry *a,
                      const struct table_entry *b)
{
    if (a->head != b->head)
        return (a->head ^ p->head) < (b->head ^ p->head);
    return id_compare(p->target, table_contact(t, a)->id, table_contact(t, b)->id) < 0;
}

static void pick(const struct table *t, unsigned first, unsigned count, struct picker *p)
{
    for (unsigned i = first; i < first + count; i++) {
        const struct table_entry *e = &t->entries[i];
        size_t at = p->n;

        if (e->fails >= TABLE_FAILS)
            continue;
        if (p->n == p->max && (p->n == p->from || !is_nearer(t, p, e, p->out[p->n - 1])))
            continue;
        while (at > p->from && is_nearer(t, p, e, p->out[at - 1]))
            at--;
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
    struct picker p = {.target = target, .head = head_of(target), .out = out, .max = n};
    unsigned prefix = id_prefix(t->own, target);
    unsigned at, deeper;

    if (n == 0)
        return 0;
    prefix = prefix <= t->deepest ? prefix : t->deepest + 1u;
    at = start_of(t, prefix);
    deeper = at;
    if (prefix <= t->deepest) {
        pick(t, at, t->count[prefix], &p);
        deeper += t->count[prefix];
    }
    p.from = p.n;
    pick(t, deeper, t->n - deeper, &p);
    p.from = p.n;
    for (unsigned i = prefix; i > 0 && p.n < n; i--) {
        at -= t->count[i - 1];
        pick(t, at, t->count[i - 1], &p);
        p.from = p.n;
    }
    return p.n;
}

const struct table_entry *table_stalest(const struct table *t, ns_t now, ns_t age)
{
    const struct table_entry *best = NULL;

    for (unsigned i = 0; i < t->n; i++) {
        const struct table_entry *e = &t->entries[i];
        ns_t old = age_of(e->probed_at, now);

        if (old > age && (best == NULL || old > age_of(best->probed_at, now)))
            best = e;
    }
    return best;
}

const struct table_entry *table_random(const struct table *t, uint32_t random)
{
    return t->n > 0 ? &t->entries[random % t->n] : NULL;
}

unsigned table_deepest(const struct table *t)
{
    return t->deepest;
}

unsigned table_room_bucket(const struct table *t, unsigned from)
{
    for (unsigned i = from; i <= t->deepest; i++)
        if (t->count[i] < (bucket_cap(t, i) * 3 / 8 > t->k ? bucket_cap(t, i) * 3 / 8 : t->k))
            return i;
    return ID_BITS;
}

size_t table_live(const struct table *t)
{
    size_t n = 0;

    for (unsigned i = 0; i < t->n; i++)
        n += t->entries[i].fails < TABLE_FAILS;
    return n;
}

static int compare_u16(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

ns_t table_rtt(const struct table *t, ns_t otherwise)
{
    uint16_t rtts[64];
    size_t n = 0, step = 1 + t->n / 64u;

    for (size_t i = 0; i < t->n && n < 64; i += step)
        if (t->entries[i].rtt > 0)
            rtts[n++] = t->entries[i].rtt;
    if (n == 0)
        return otherwise;
    qsort(rtts, n, sizeof *rtts, compare_u16);
    return rtts[n / 2] * 100 * NS_PER_US;
}
