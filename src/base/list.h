/* base/list.h - intrusive doubly linked list: a `struct list` head, and a `struct list` member in each item.
 *
 * A node that is not in a list points to itself (list_init), so list_remove() may be called twice. */
#ifndef ITO_BASE_LIST_H
#define ITO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define list_item(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define list_each(node, head)         for (struct list *node = (head)->next; node != (head); node = node->next)
/* The same, when the body may remove (and free) the item it stands on, and no other. */
#define list_each_safe(node, head)                                                    \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
         node = node##_next, node##_next = node->next)

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_prepend(struct list *head, struct list *node)
{
    list_append(head->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#endif
