#include "ui/table.h"

#include "ui/ui_state.h"

#define MARGIN 3 /* " > " */

/* Widths for this screen: one column grows, the last takes the rest. */
static void layout(const struct table *t, int cols, int widths[static TABLE_COLUMNS_MAX])
{
    int used = MARGIN, spare = cols > UI_COLS_WIDE ? cols - UI_COLS_WIDE : 0;

    for (size_t i = 0; i < t->n_columns; i++) {
        widths[i] = t->columns[i].width + (t->columns[i].grows ? spare : 0);
        if (t->columns[i].width == 0)
            widths[i] = cols - used;
        if (used + widths[i] > cols)
            widths[i] = cols > used ? cols - used : 0;
        used += widths[i];
    }
}

static void draw_line(const struct frame *f, int row, const int *widths, size_t n, const char *const *texts,
                      uint8_t style, uint8_t first_style)
{
    int col = MARGIN;

    for (size_t i = 0; i < n; i++) {
        int room = widths[i] - (i + 1 < n ? 1 : 0);

        if (room > 0)
            screen_put(f->s, row, col, (size_t)room, i == 0 ? first_style : style, texts[i]);
        col += widths[i];
    }
}

static void draw_row(struct ui *ui, const struct frame *f, int row, const struct table *t, const int *widths,
                     size_t i, bool is_selected)
{
    char texts[TABLE_COLUMNS_MAX][WORDS_BYTES];
    const char *borrowed[TABLE_COLUMNS_MAX];
    uint8_t style = ui_style(ui, is_selected ? ROLE_SELECTED : ROLE_TEXT), first = style;

    for (size_t k = 0; k < t->n_columns; k++) {
        texts[k][0] = '\0';
        borrowed[k] = texts[k];
    }
    t->cells(ui, f, i, texts);
    if (is_selected)
        screen_fill(f->s, row, 0, (size_t)f->cols, style);
    else if (t->role != NULL)
        first = ui_style(ui, t->role(ui, i));
    draw_line(f, row, widths, t->n_columns, borrowed, style, first);
    if (is_selected) {
        screen_put(f->s, row, 1, 1, style, ">");
        screen_set_cursor(f->s, row, 1);
    }
}

void table_draw(struct ui *ui, const struct frame *f, int row, int rows, const struct table *t)
{
    struct listbox *list = &ui->lists[ui->view];
    int widths[TABLE_COLUMNS_MAX];
    const char *heads[TABLE_COLUMNS_MAX];
    size_t top;

    layout(t, f->cols, widths);
    if (t->has_head) {
        uint8_t style = ui_style(ui, ROLE_HEAD);

        for (size_t i = 0; i < t->n_columns; i++)
            heads[i] = t->columns[i].head;
        draw_line(f, row++, widths, t->n_columns, heads, style, style);
        rows--;
    }
    if (rows <= 0)
        return;
    top = listbox_scroll(list, (size_t)rows);
    ui->list_row = row;
    ui->list_rows = rows;
    for (size_t i = 0; i < (size_t)rows && top + i < ui->n_rows; i++)
        draw_row(ui, f, row + (int)i, t, widths, ui->rows[top + i], top + i == list->selected);
    if (ui->n_rows == 0) {
        if (t->empty != NULL)
            screen_put(f->s, row, MARGIN, (size_t)f->cols - MARGIN, 0, t->empty);
        screen_set_cursor(f->s, row, 1);
    }
}
