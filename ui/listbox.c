#include "ui/listbox.h"

#include <stdio.h>
#include <string.h>

void listbox_set(struct listbox *l, size_t n, listbox_key_cb key, void *arg)
{
    l->n = n;
    if (l->selected >= n)
        l->selected = n > 0 ? n - 1 : 0;
    if (key == NULL || n == 0)
        return;
    if (l->key[0] != '\0' && strcmp(key(arg, l->selected), l->key) != 0) {
        for (size_t i = 0; i < n; i++) {
            if (strcmp(key(arg, i), l->key) == 0) {
                l->selected = i;
                return;
            }
        }
    }
    listbox_keep(l, key, arg);
}

void listbox_keep(struct listbox *l, listbox_key_cb key, void *arg)
{
    if (key != NULL && l->n > 0)
        snprintf(l->key, sizeof l->key, "%s", key(arg, l->selected));
}

void listbox_move(struct listbox *l, long rows)
{
    long to = (long)l->selected + rows;

    if (l->n == 0)
        return;
    if (to < 0)
        to = 0;
    if (to >= (long)l->n)
        to = (long)l->n - 1;
    l->selected = (size_t)to;
}

void listbox_to(struct listbox *l, size_t row)
{
    l->selected = row < l->n ? row : l->n > 0 ? l->n - 1 : 0;
}

size_t listbox_scroll(struct listbox *l, size_t height)
{
    l->height = height;
    if (l->selected < l->top)
        l->top = l->selected;
    if (height > 0 && l->selected >= l->top + height)
        l->top = l->selected - height + 1;
    if (l->top + height > l->n)
        l->top = l->n > height ? l->n - height : 0;
    return l->top;
}
