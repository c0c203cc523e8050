/* base/ring.h - ring between exactly two threads: one writes, one reads, nobody waits.
 *
 * Fixed slots of RING_SLOT_BYTES, each with its length and a 64-bit stamp (arrival time, or whatever the two
 * ends agreed on). The writer's failure (ring full) and the reader's (ring empty) are return values.
 *
 *   owner   whoever embeds it; ring_init() before either thread starts
 *   caps    RING_SLOTS packets */
#ifndef ITO_BASE_RING_H
#define ITO_BASE_RING_H

#include <stdatomic.h>

#include "base/slice.h"

#define RING_SLOTS      64 /* a power of two */
#define RING_SLOT_BYTES 1500

struct ring_slot {
    uint64_t stamp;
    uint32_t len;
    uint8_t data[RING_SLOT_BYTES];
};

struct ring {
    _Atomic uint32_t head; /* next to write; only the writer stores */
    _Atomic uint32_t tail; /* next to read; only the reader stores */
    struct ring_slot slots[RING_SLOTS];
};

static inline void ring_init(struct ring *r)
{
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
}

/* Copy one packet in; false when full or too long. Writer's thread only. */
static inline bool ring_put(struct ring *r, uint64_t stamp, struct slice bytes)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    struct ring_slot *s = &r->slots[head % RING_SLOTS];

    if (bytes.len > RING_SLOT_BYTES ||
        head - atomic_load_explicit(&r->tail, memory_order_acquire) >= RING_SLOTS)
        return false;
    s->stamp = stamp;
    s->len = (uint32_t)bytes.len;
    if (bytes.len > 0)
        memcpy(s->data, bytes.data, bytes.len);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return true;
}

/* The oldest packet, or NULL. It stays valid until ring_pop(). Reader's thread only. */
static inline const struct ring_slot *ring_peek(struct ring *r)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    if (atomic_load_explicit(&r->head, memory_order_acquire) == tail)
        return NULL;
    return &r->slots[tail % RING_SLOTS];
}

static inline void ring_pop(struct ring *r)
{
    atomic_fetch_add_explicit(&r->tail, 1, memory_order_release);
}

#endif
