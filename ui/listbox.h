/* ui/listbox.h - a scrolling list: which row is selected, and which part of it is on the screen.
 *
 * The rows belong to the view. Between two frames rows come, go and change places; the selection stays on the
 * same thing by its key (an ID, a number), and only when that is gone on the same place. */
#ifndef ITO_UI_LISTBOX_H
#define ITO_UI_LISTBOX_H

#include <stdbool.h>
#include <stddef.h>

#define LISTBOX_KEY_BYTES 80

struct listbox {
    size_t n, selected, top;
    size_t height; /* rows on the screen at the last frame */
    char key[LISTBOX_KEY_BYTES];
};

/* The key of row i, borrowed for the call. */
typedef const char *(*listbox_key_cb)(void *arg, size_t i);

/* Take in the new number of rows and find the selected thing again. key may be NULL: the place is kept. */
void listbox_set(struct listbox *l, size_t n, listbox_key_cb key, void *arg);
/* Remember what is selected now; after every move. */
void listbox_keep(struct listbox *l, listbox_key_cb key, void *arg);
/* Move by rows; stops at the ends. */
void listbox_move(struct listbox *l, long rows);
void listbox_to(struct listbox *l, size_t row);
/* Scroll so that the selection is among `height` rows; returns the first row to draw. */
size_t listbox_scroll(struct listbox *l, size_t height);

#endif
