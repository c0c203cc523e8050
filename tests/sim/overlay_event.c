#include "tests/sim/overlay_event.h"

#include "base/mem.h"

static unsigned bucket_of(const struct ov_queue *q, ns_t at)
{
    return at == q->last ? 0 : 64 - (unsigned)__builtin_clzll(at ^ q->last);
}

static void append(struct ov_bucket *b, const struct ov_event *e)
{
    if (b->n == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : 16;
        b->events = mem_resize(b->events, b->cap, sizeof *b->events);
    }
    b->events[b->n++] = *e;
}

void ov_push(struct ov_queue *q, const struct ov_event *e)
{
    struct ov_event late = *e;

    if (late.at < q->last)
        late.at = q->last;
    append(&q->buckets[bucket_of(q, late.at)], &late);
}

/* Spread the first bucket that holds something over those before it. */
static bool refill(struct ov_queue *q, ns_t until)
{
    struct ov_bucket b;
    unsigned i = 1;
    ns_t first = NS_NEVER;

    while (i < OV_BUCKETS && q->buckets[i].n == 0)
        i++;
    if (i == OV_BUCKETS)
        return false;
    b = q->buckets[i];
    for (uint32_t j = 0; j < b.n; j++)
        first = ns_min(first, b.events[j].at);
    if (first > until)
        return false;
    q->last = first;
    memset(&q->buckets[i], 0, sizeof q->buckets[i]);
    for (uint32_t j = 0; j < b.n; j++)
        append(&q->buckets[bucket_of(q, b.events[j].at)], &b.events[j]);
    if (q->buckets[i].events == NULL && b.cap <= 4096) {
        b.n = 0;
        q->buckets[i] = b;
    } else {
        mem_free(b.events);
    }
    return true;
}

bool ov_pop(struct ov_queue *q, ns_t until, struct ov_event *out)
{
    if (q->buckets[0].n == 0 && !refill(q, until))
        return false;
    if (q->last > until)
        return false;
    *out = q->buckets[0].events[--q->buckets[0].n];
    return true;
}

size_t ov_queue_bytes(const struct ov_queue *q)
{
    size_t n = 0;

    for (unsigned i = 0; i < OV_BUCKETS; i++)
        n += q->buckets[i].cap * sizeof(struct ov_event);
    return n;
}

void ov_queue_fini(struct ov_queue *q)
{
    for (unsigned i = 0; i < OV_BUCKETS; i++)
        mem_free(q->buckets[i].events);
}
