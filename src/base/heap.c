#include "base/heap.h"

#include "base/mem.h"

static void place(struct heap *h, struct heap_node *node, uint32_t index)
{
    h->nodes[index - 1] = node;
    node->index = index;
}

static void sift_up(struct heap *h, struct heap_node *node)
{
    uint32_t i = node->index;

    for (; i > 1 && h->nodes[i / 2 - 1]->at > node->at; i /= 2)
        place(h, h->nodes[i / 2 - 1], i);
    place(h, node, i);
}

static void sift_down(struct heap *h, struct heap_node *node)
{
    uint32_t i = node->index, child;

    for (; (child = i * 2) <= h->len; i = child) {
        if (child < h->len && h->nodes[child]->at < h->nodes[child - 1]->at)
            child++;
        if (h->nodes[child - 1]->at >= node->at)
            break;
        place(h, h->nodes[child - 1], i);
    }
    place(h, node, i);
}

void heap_fini(struct heap *h)
{
    mem_free(h->nodes);
    *h = (struct heap){0};
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    struct heap_node *last;
    uint32_t index = node->index;

    if (index == 0)
        return;
    last = h->nodes[--h->len];
    node->index = 0;
    if (last != node) {
        place(h, last, index);
        sift_down(h, last);
        sift_up(h, last);
    }
}

void heap_set(struct heap *h, struct heap_node *node, ns_t at)
{
    if (at == NS_NEVER) {
        heap_remove(h, node);
        return;
    }
    node->at = at;
    if (node->index == 0) {
        if (h->len == h->cap) {
            h->cap = h->cap > 0 ? h->cap * 2 : 16;
            h->nodes = mem_resize(h->nodes, h->cap, sizeof *h->nodes);
        }
        h->len++;
        place(h, node, h->len);
    }
    sift_down(h, node);
    sift_up(h, node);
}

ns_t heap_deadline(const struct heap *h)
{
    return h->len > 0 ? h->nodes[0]->at : NS_NEVER;
}

struct heap_node *heap_pop_due(struct heap *h, ns_t now)
{
    struct heap_node *node = h->len > 0 ? h->nodes[0] : NULL;

    if (node == NULL || node->at > now)
        return NULL;
    heap_remove(h, node);
    return node;
}
