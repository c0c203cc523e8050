#include "ui/screen.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"

#define TEXT_MAX 1024

struct screen {
    uint16_t rows, cols, cursor_row, cursor_col;
    bool is_ascii, is_ambiguous_wide, has_cursor;
    struct cell *cells;
};

/* What stands for a character on a terminal without UTF-8. */
static const char *ascii_of(uint32_t c)
{
    switch (c) {
    case 0x25CF: /* ● online */
        return "*";
    case 0x25D0: /* ◐ busy */
        return "~";
    case 0x25CB: /* ○ offline */
    case 0x2500: /* ─ */
    case 0x2013:
    case 0x2014:
        return "-";
    case 0x2502: /* │ */
        return "|";
    case 0x250C: /* ┌ ┐ └ ┘ */
    case 0x2510:
    case 0x2514:
    case 0x2518:
        return "+";
    case 0x2026: /* … */
        return "..";
    case 0x2018:
    case 0x2019:
        return "'";
    case 0x201C:
    case 0x201D:
        return "\"";
    default:
        return "?";
    }
}

static bool is_line(uint32_t c)
{
    return c >= 0x2500 && c <= 0x257F;
}

/* The text as this screen can show it. Ambiguous-wide terminals draw box lines two columns wide: there the
 * ASCII ones are used. */
static size_t to_screen(const struct screen *s, const char *text, char out[static TEXT_MAX])
{
    struct slice rest = slice_str(text);
    size_t n = 0;

    while (rest.len > 0 && n + UTF8_MAX_BYTES < TEXT_MAX) {
        uint32_t c = utf8_next(&rest);

        if (c < 0x20 || (c >= 0x7F && c < 0xA0))
            continue;
        if (c >= 0x80 && (s->is_ascii || (s->is_ambiguous_wide && is_line(c)))) {
            const char *stand_in = utf8_width(c, false) > 0 ? ascii_of(c) : "";

            memcpy(out + n, stand_in, strlen(stand_in));
            n += strlen(stand_in);
        } else {
            n += utf8_put(c, out + n);
        }
    }
    out[n] = '\0';
    return n;
}

struct screen *screen_create(uint16_t rows, uint16_t cols, bool is_ascii, bool is_ambiguous_wide)
{
    struct screen *s = mem_alloc(sizeof *s);

    s->is_ascii = is_ascii;
    s->is_ambiguous_wide = is_ambiguous_wide;
    screen_resize(s, rows, cols);
    return s;
}

void screen_destroy(struct screen *s)
{
    if (s == NULL)
        return;
    mem_free(s->cells);
    mem_free(s);
}

void screen_resize(struct screen *s, uint16_t rows, uint16_t cols)
{
    s->rows = rows < 1 ? 1 : rows > SCREEN_MAX ? SCREEN_MAX : rows;
    s->cols = cols < 1 ? 1 : cols > SCREEN_MAX ? SCREEN_MAX : cols;
    mem_free(s->cells);
    s->cells = mem_array((size_t)s->rows * s->cols, sizeof *s->cells);
    screen_clear(s);
}

void screen_clear(struct screen *s)
{
    for (int row = 0; row < s->rows; row++)
        screen_fill(s, row, 0, s->cols, 0);
    s->has_cursor = false;
}

uint16_t screen_rows(const struct screen *s)
{
    return s->rows;
}

uint16_t screen_cols(const struct screen *s)
{
    return s->cols;
}

bool screen_is_ascii(const struct screen *s)
{
    return s->is_ascii;
}

const struct cell *screen_cell(const struct screen *s, uint16_t row, uint16_t col)
{
    return &s->cells[(size_t)row * s->cols + col];
}

static struct cell *cell_at(struct screen *s, int row, int col)
{
    if (row < 0 || row >= s->rows || col < 0 || col >= s->cols)
        return NULL;
    return &s->cells[(size_t)row * s->cols + (size_t)col];
}

/* A cell about to be overwritten may be half of a wide character: blank the other half. */
static void break_wide(struct screen *s, int row, int col)
{
    struct cell *c = cell_at(s, row, col), *other;

    if (c == NULL || c->width == 1)
        return;
    other = cell_at(s, row, c->width == 2 ? col + 1 : col - 1);
    if (other != NULL)
        *other = (struct cell){.ch = ' ', .width = 1, .style = other->style};
}

static void put_cell(struct screen *s, int row, int col, uint32_t ch, unsigned width, uint8_t style)
{
    struct cell *c = cell_at(s, row, col), *half = width == 2 ? cell_at(s, row, col + 1) : NULL;

    if (c == NULL || (width == 2 && half == NULL))
        return;
    break_wide(s, row, col);
    *c = (struct cell){.ch = ch == UTF8_BAD ? 0xFFFD : ch, .width = (uint8_t)width, .style = style};
    if (half != NULL) {
        break_wide(s, row, col + 1);
        *half = (struct cell){.ch = ' ', .width = 0, .style = style};
    }
}

static void put_mark(struct screen *s, int row, int col, uint32_t mark)
{
    struct cell *c = cell_at(s, row, col);

    if (c != NULL && c->width == 0)
        c = cell_at(s, row, col - 1);
    for (size_t i = 0; c != NULL && i < SCREEN_MARKS; i++) {
        if (c->marks[i] == 0) {
            c->marks[i] = mark;
            return;
        }
    }
}

size_t screen_columns(const struct screen *s, const char *text)
{
    char shown[TEXT_MAX];
    size_t n = to_screen(s, text, shown);

    return utf8_columns(shown, n, s->is_ambiguous_wide);
}

/* Cut a text that to_screen() made to `columns`, ending in the ellipsis of this screen. */
static void clip(const struct screen *s, const char *text, size_t n, size_t columns,
                 char out[static TEXT_MAX])
{
    size_t fits;

    if (!s->is_ascii) {
        utf8_clip(text, n, columns, s->is_ambiguous_wide, out, TEXT_MAX);
        return;
    }
    fits = n <= columns ? n : columns;
    memcpy(out, text, fits);
    if (n > columns && columns >= 2)
        memcpy(out + columns - 2, "..", 2);
    out[fits] = '\0';
}

size_t screen_put(struct screen *s, int row, int col, size_t columns, uint8_t style, const char *text)
{
    char shown[TEXT_MAX], cut[TEXT_MAX];
    struct slice rest;
    size_t used = 0;

    clip(s, shown, to_screen(s, text, shown), columns, cut);
    rest = slice_str(cut);
    while (rest.len > 0) {
        uint32_t c = utf8_next(&rest);
        unsigned width = utf8_width(c, s->is_ambiguous_wide);

        if (width == 0) {
            put_mark(s, row, col + (int)used - 1, c);
            continue;
        }
        put_cell(s, row, col + (int)used, c, width, style);
        used += width;
    }
    return used;
}

int screen_put_right(struct screen *s, int row, int end, size_t columns, uint8_t style, const char *text)
{
    size_t wide = screen_columns(s, text);
    int col = end - (int)(wide < columns ? wide : columns);

    screen_put(s, row, col, columns, style, text);
    return col;
}

size_t screen_printf(struct screen *s, int row, int col, size_t columns, uint8_t style, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return screen_put(s, row, col, columns, style, text);
}

void screen_fill(struct screen *s, int row, int col, size_t columns, uint8_t style)
{
    for (size_t i = 0; i < columns; i++)
        put_cell(s, row, col + (int)i, ' ', 1, style);
}

void screen_restyle(struct screen *s, int row, int col, size_t columns, uint8_t style)
{
    for (size_t i = 0; i < columns; i++) {
        struct cell *c = cell_at(s, row, col + (int)i);

        if (c != NULL)
            c->style = style;
    }
}

/* One line of a box from corner to corner. */
static void box_line(struct screen *s, int row, int col, size_t columns, uint8_t style, const char *ends[2])
{
    screen_put(s, row, col, 2, style, ends[0]);
    for (size_t i = 1; i + 1 < columns; i++)
        screen_put(s, row, col + (int)i, 2, style, "─");
    screen_put(s, row, col + (int)columns - 1, 2, style, ends[1]);
}

void screen_box(struct screen *s, int row, int col, size_t rows, size_t columns, uint8_t style,
                const char *left, const char *right)
{
    int last = row + (int)rows - 1, end = col + (int)columns;

    if (rows < 2 || columns < 2)
        return;
    box_line(s, row, col, columns, style, (const char *[2]){"┌", "┐"});
    for (int r = row + 1; r < last; r++) {
        screen_fill(s, r, col, columns, 0);
        screen_put(s, r, col, 2, style, "│");
        screen_put(s, r, end - 1, 2, style, "│");
    }
    box_line(s, last, col, columns, style, (const char *[2]){"└", "┘"});
    if (left != NULL && columns > 8)
        screen_printf(s, row, col + 1, columns - 4, style | STYLE_BOLD, " %s ", left);
    if (right != NULL && columns > 8)
        screen_put_right(s, row, end - 2, columns / 2, style, right);
    if (right != NULL && columns > 8) {
        int begin = end - 2 - (int)screen_columns(s, right);

        screen_put(s, row, begin - 1, 1, style, " ");
        screen_put(s, row, end - 2, 1, style, " ");
    }
}

void screen_set_cursor(struct screen *s, int row, int col)
{
    if (cell_at(s, row, col) == NULL)
        return;
    s->cursor_row = (uint16_t)row;
    s->cursor_col = (uint16_t)col;
    s->has_cursor = true;
}

bool screen_cursor(const struct screen *s, uint16_t *row, uint16_t *col)
{
    *row = s->cursor_row;
    *col = s->cursor_col;
    return s->has_cursor;
}
