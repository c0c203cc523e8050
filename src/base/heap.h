/* base/heap.h - timer heap: the owner of many deadlines asks for the earliest.
 *
 * Intrusive: each item embeds a `struct heap_node`. Amortised O(log n). A node not in a heap has index 0. */
#ifndef ITO_BASE_HEAP_H
#define ITO_BASE_HEAP_H

#include "base/env.h"

struct heap_node {
    ns_t at;
    uint32_t index; /* 1-based place in the heap; 0: not in it */
};

struct heap {
    struct heap_node **nodes;
    uint32_t len, cap;
};

#define heap_item(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

void heap_fini(struct heap *h);
/* Put the node in, or move it, so that it is due at `at`. NS_NEVER takes it out. */
void heap_set(struct heap *h, struct heap_node *node, ns_t at);
void heap_remove(struct heap *h, struct heap_node *node);
ns_t heap_deadline(const struct heap *h);
/* The node that has been due longest at `now`, taken out; NULL when none is. */
struct heap_node *heap_pop_due(struct heap *h, ns_t now);

#endif
