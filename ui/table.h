/* ui/table.h - rows in columns with a selected one: the shape of most screens. */
#ifndef ITO_UI_TABLE_H
#define ITO_UI_TABLE_H

#include "ui/view.h"

#define TABLE_COLUMNS_MAX 8

struct column {
    const char *head;
    int width;  /* with the gap after it; 0: the rest of the line */
    bool grows; /* takes what is over 80 columns */
};

struct table {
    const struct column *columns;
    size_t n_columns;
    /* Write the texts of row i. */
    void (*cells)(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES]);
    /* The colour of its first column; NULL: plain. */
    enum role (*role)(struct ui *ui, size_t i);
    const char *empty; /* shown when there are no rows; may be NULL */
    bool has_head;
};

/* Draw into `rows` lines from `row` on; puts the cursor on the selected row. */
void table_draw(struct ui *ui, const struct frame *f, int row, int rows, const struct table *table);

#endif
