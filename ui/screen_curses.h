/* ui/screen_curses.h - the terminal by ncursesw: the grid out, keys in. The only file that knows curses.
 *
 * Keys are read without blocking. A lone Esc is told from the beginning of a sequence by TERM_ESC_NS of
 * silence (term_expire). Bracketed paste comes as one piece. Signals SEGV, BUS, FPE, ILL and ABRT give the
 * terminal back before they kill; term_close() does it in order.
 *
 *   owner  one terminal a process: the crash handlers need its settings in a global of this file
 *   caps   TERM_PASTE_MAX bytes of one paste; what is over is dropped */
#ifndef ITO_UI_SCREEN_CURSES_H
#define ITO_UI_SCREEN_CURSES_H

#include "base/env.h"
#include "ui/screen.h"

#define TERM_ESC_NS    (25 * NS_PER_MS)
#define TERM_PASTE_MAX 65536

struct term;

struct term_config {
    bool is_ascii, has_color, has_mouse;
};

enum term_input_kind {
    TERM_KEY,
    TERM_PASTE,
    TERM_CLICK,
    TERM_DOUBLE,
    TERM_WHEEL_UP,
    TERM_WHEEL_DOWN,
    TERM_GONE
};

struct term_input {
    enum term_input_kind kind;
    uint32_t key; /* ui/keys.h */
    const char *text;
    size_t len;        /* paste, borrowed until the next term_read() */
    uint16_t row, col; /* of the mouse */
};

/* Take over the terminal. ERR_UNSUPPORTED with a sentence when TERM is empty, unknown or dumb. */
enum err term_open(const struct term_config *config, struct term **out, struct err_detail *detail);
/* Give it back. NULL is fine. */
void term_close(struct term *t);
int term_fd(const struct term *t);
/* Ask the terminal for its size; follows a resize. */
void term_size(struct term *t, uint16_t *rows, uint16_t *cols);
void term_draw(struct term *t, const struct screen *s);
/* Send everything again at the next term_draw(). */
void term_redraw(struct term *t);
/* The next key or paste; false when there is none yet. */
bool term_read(struct term *t, ns_t now, struct term_input *out);
/* Keys that only silence completes, as Esc alone. */
bool term_expire(struct term *t, ns_t now, struct term_input *out);
ns_t term_deadline(const struct term *t);
void term_bell(struct term *t);
/* To the clipboard by OSC 52. */
void term_copy(struct term *t, const char *text);
/* Stop as by Ctrl-Z; returns when continued. */
void term_suspend(struct term *t);

/* Seconds east of UTC, by the system's time zone: for ui_config.utc_offset_s. */
int32_t term_utc_offset_s(int64_t wall_s);

#endif
