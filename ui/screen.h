/* ui/screen.h - the grid of cells that views write to. Knows no terminal: screen_curses.h and screen_text.h
 * turn it into something to look at.
 *
 * Texts are UTF-8 of any quality; columns are counted by utf8_width(), a wide character is never cut in half,
 * and cut text ends in "…". With is_ascii every character that is not ASCII becomes its stand-in ("●" "*",
 * box lines "+-|", "…" ".."), or "?".
 *
 *   owner  the ui; writes outside the grid are cut off silently, so views need no bounds checks */
#ifndef ITO_UI_SCREEN_H
#define ITO_UI_SCREEN_H

#include "base/slice.h"

#define SCREEN_MARKS 2   /* combining marks kept on one cell */
#define SCREEN_MAX   512 /* rows and columns at most */

/* A style is a foreground colour (0: the terminal's own, 1..7 as in ECMA-48) and these bits. */
#define STYLE_COLOR   0x07u
#define STYLE_BOLD    0x08u
#define STYLE_REVERSE 0x10u
#define STYLE_DIM     0x20u
#define STYLE_INK     0x40u /* explicit black on white, for QR codes */

struct cell {
    uint32_t ch; /* code point; a cell never written is a space */
    uint32_t marks[SCREEN_MARKS];
    uint8_t width; /* 1, 2, or 0 for the right half of a wide character */
    uint8_t style;
};

struct screen;

struct screen *screen_create(uint16_t rows, uint16_t cols, bool is_ascii, bool is_ambiguous_wide);
void screen_destroy(struct screen *s);
/* Contents are lost. */
void screen_resize(struct screen *s, uint16_t rows, uint16_t cols);
/* All cells blank, cursor hidden. */
void screen_clear(struct screen *s);

uint16_t screen_rows(const struct screen *s);
uint16_t screen_cols(const struct screen *s);
bool screen_is_ascii(const struct screen *s);
/* A cell inside the grid. */
const struct cell *screen_cell(const struct screen *s, uint16_t row, uint16_t col);

/* Columns the text takes on this screen. */
size_t screen_columns(const struct screen *s, const char *text);
/* Write text at row, col into at most `columns` columns; negative places are outside. Returns the columns used. */
size_t screen_put(struct screen *s, int row, int col, size_t columns, uint8_t style, const char *text);
/* The same, ending at column `end` (exclusive): for texts on the right. Returns where it begins. */
int screen_put_right(struct screen *s, int row, int end, size_t columns, uint8_t style, const char *text);
/* Formatted; the text is cut at 1 KiB. */
size_t screen_printf(struct screen *s, int row, int col, size_t columns, uint8_t style, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* Blank `columns` cells in a style. */
void screen_fill(struct screen *s, int row, int col, size_t columns, uint8_t style);
/* Change the style of cells already written. */
void screen_restyle(struct screen *s, int row, int col, size_t columns, uint8_t style);
/* A frame around blank cells; the titles (may be NULL) stand in its upper line, left and right. */
void screen_box(struct screen *s, int row, int col, size_t rows, size_t columns, uint8_t style,
                const char *left, const char *right);

/* Where the hardware cursor goes: the selected row or the input caret. */
void screen_set_cursor(struct screen *s, int row, int col);
bool screen_cursor(const struct screen *s, uint16_t *row, uint16_t *col);

#endif
