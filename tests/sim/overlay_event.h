/* tests/sim/overlay_event.h - the queue of what will happen: a radix heap of moments.
 *
 * Time never runs back, so a push is never earlier than the last pop; push and pop cost a few moves along memory
 * instead of a walk through a tree. Events of one moment come in an order that depends on the pushes alone.
 *
 *   owner  the overlay */
#ifndef ITO_SIM_OVERLAY_EVENT_H
#define ITO_SIM_OVERLAY_EVENT_H

#include "base/env.h"

#define OV_BUCKETS 65

struct ov_event {
    ns_t at;
    void *what;    /* a packet, a task's argument, or NULL: the node's timer */
    uint32_t node; /* who it happens to */
    uint32_t kind; /* the owner's */
};

struct ov_bucket {
    struct ov_event *events;
    uint32_t n, cap;
};

struct ov_queue {
    ns_t last;
    struct ov_bucket buckets[OV_BUCKETS];
};

void ov_push(struct ov_queue *q, const struct ov_event *e);
/* False: nothing until then (inclusive). */
bool ov_pop(struct ov_queue *q, ns_t until, struct ov_event *out);
/* The event that comes so many after the next one, if that is known already; NULL. */
static inline const struct ov_event *ov_ahead(const struct ov_queue *q, uint32_t n)
{
    return q->buckets[0].n > n ? &q->buckets[0].events[q->buckets[0].n - 1 - n] : NULL;
}
size_t ov_queue_bytes(const struct ov_queue *q);
void ov_queue_fini(struct ov_queue *q);

#endif
