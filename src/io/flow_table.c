#include "io/flow_table.h"

#include <sched.h>
#include <stdatomic.h>

#include "base/mem.h"

#define WAYS       8 /* slots a name may lie in; as many as a cache line holds */
#define LINE_BYTES 64

struct flow {
    /* Written before it can be found. */
    struct addr from;
    uint16_t channel;
    struct flow_way way;
    size_t slot;
    uint32_t next_free;
    /* Shared while it can. */
    _Atomic uint64_t until, allowed_bytes;
    _Atomic uint64_t packets, bytes;
};

struct looker {
    _Atomic uint64_t epoch; /* odd: looking */
    uint8_t apart[LINE_BYTES - sizeof(uint64_t)];
};

struct flow_table {
    struct looker lookers[FLOW_LOOKERS_MAX];
    uint64_t mix[3];
    unsigned bits;
    _Atomic uint64_t
        *slots;         /* part of the name's hash in the upper half, number of the flow below; 0: empty */
    struct flow *flows; /* number 1 first */
    size_t max_flows;
    uint32_t free; /* number; 0: none */
};

struct flow_table *flow_table_create(size_t max_flows, const uint64_t mix[static 3])
{
    struct flow_table *t = mem_alloc(sizeof *t);

    t->max_flows = max_flows;
    t->bits = 3;
    while (((size_t)1 << t->bits) < 4 * max_flows) /* a quarter full at most */
        t->bits++;
    for (int i = 0; i < 3; i++)
        t->mix[i] = mix[i] | 1;
    t->slots = mem_array((size_t)1 << t->bits, sizeof *t->slots);
    t->flows = mem_array(max_flows, sizeof *t->flows);
    for (size_t i = max_flows; i > 0; i--) {
        t->flows[i - 1].next_free = t->free;
        t->free = (uint32_t)i;
    }
    return t;
}

void flow_table_destroy(struct flow_table *t)
{
    if (t == NULL)
        return;
    mem_free(t->slots);
    mem_free(t->flows);
    mem_free(t);
}

/* ---- names ---- */

static uint64_t hash_of(const struct flow_table *t, const struct addr *from, uint16_t channel)
{
    uint64_t high, low, h;

    memcpy(&high, from->ip, 8);
    memcpy(&low, from->ip + 8, 8);
    h = (high ^ t->mix[0]) * t->mix[1];
    h = (h ^ h >> 29 ^ low) * t->mix[2];
    h = (h ^ h >> 31 ^ ((uint64_t)from->scope << 32 | (uint64_t)from->port << 16 | channel)) * t->mix[1];
    return h ^ h >> 32;
}

static _Atomic uint64_t *ways_of(const struct flow_table *t, uint64_t hash)
{
    size_t mask = ((size_t)1 << t->bits) - 1;

    return &t->slots[hash & mask & ~(size_t)(WAYS - 1)];
}

static uint64_t tag_of(uint64_t hash)
{
    return hash >> 32 << 32;
}

static struct flow *flow_at(const struct flow_table *t, uint32_t number)
{
    return &t->flows[number - 1];
}

static struct flow *find(const struct flow_table *t, uint64_t hash, const struct addr *from, uint16_t channel)
{
    _Atomic uint64_t *ways = ways_of(t, hash);

    for (int i = 0; i < WAYS; i++) {
        uint64_t slot = atomic_load(&ways[i]);
        struct flow *f;

        if (slot == 0 || tag_of(slot) != tag_of(hash))
            continue;
        f = flow_at(t, (uint32_t)slot);
        if (f->channel == channel && addr_equal(&f->from, from))
            return f;
    }
    return NULL;
}

/* ---- the decider ---- */

uint32_t flow_table_add(struct flow_table *t, const struct addr *from, uint16_t channel,
                        const struct flow_way *way)
{
    uint64_t hash = hash_of(t, from, channel);
    _Atomic uint64_t *ways = ways_of(t, hash);
    uint32_t number = t->free;
    struct flow *f;
    int i = 0;

    while (i < WAYS && atomic_load(&ways[i]) != 0)
        i++;
    if (number == 0 || i == WAYS || find(t, hash, from, channel) != NULL)
        return 0;
    f = flow_at(t, number);
    t->free = f->next_free;
    f->from = *from;
    f->channel = channel;
    f->way = *way;
    f->slot = (size_t)(&ways[i] - t->slots);
    atomic_store(&f->until, 0);
    atomic_store(&f->allowed_bytes, 0);
    atomic_store(&f->packets, 0);
    atomic_store(&f->bytes, 0);
    atomic_store(&ways[i], tag_of(hash) | number);
    return number;
}

void flow_table_lend(struct flow_table *t, uint32_t flow, ns_t until, uint64_t allowed_bytes)
{
    struct flow *f = flow_at(t, flow);

    atomic_store(&f->allowed_bytes, allowed_bytes);
    atomic_store(&f->until, until);
}

struct flow_count flow_table_count(const struct flow_table *t, uint32_t flow)
{
    const struct flow *f = flow_at(t, flow);

    return (struct flow_count){.packets = atomic_load(&f->packets), .bytes = atomic_load(&f->bytes)};
}

/* Until all who are looking have left off once; a looker has no more than one batch in hand. */
static void wait_for_lookers(struct flow_table *t)
{
    for (int i = 0; i < FLOW_LOOKERS_MAX; i++) {
        uint64_t epoch = atomic_load(&t->lookers[i].epoch);

        while (epoch % 2 == 1 && atomic_load(&t->lookers[i].epoch) == epoch)
            sched_yield(); /* it may need our core */
    }
}

struct flow_count flow_table_remove(struct flow_table *t, uint32_t flow)
{
    struct flow *f = flow_at(t, flow);
    struct flow_count c;

    atomic_store(&t->slots[f->slot], 0);
    wait_for_lookers(t);
    c = flow_table_count(t, flow);
    f->next_free = t->free;
    t->free = flow;
    return c;
}

/* ---- a looker ---- */

void flow_table_begin(struct flow_table *t, unsigned looker)
{
    atomic_fetch_add(&t->lookers[looker].epoch, 1);
}

void flow_table_end(struct flow_table *t, unsigned looker)
{
    atomic_fetch_add(&t->lookers[looker].epoch, 1);
}

/* Bytes are claimed before they count as carried: over all lookers never more than are allowed. */
static bool claim(struct flow *f, size_t bytes)
{
    uint64_t had = atomic_load(&f->bytes), allowed = atomic_load(&f->allowed_bytes);

    do {
        if (had > allowed || allowed - had < bytes)
            return false;
    } while (!atomic_compare_exchange_weak(&f->bytes, &had, had + bytes));
    return true;
}

enum flow_answer flow_table_take(struct flow_table *t, ns_t now, const struct addr *from, uint16_t channel,
                                 size_t bytes, struct flow_way *way)
{
    struct flow *f = find(t, hash_of(t, from, channel), from, channel);

    if (f == NULL)
        return FLOW_UNKNOWN;
    if (now >= atomic_load(&f->until) || !claim(f, bytes))
        return FLOW_REFUSED;
    atomic_fetch_add(&f->packets, 1);
    *way = f->way;
    return FLOW_TAKEN;
}
