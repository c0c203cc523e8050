#include "ui/screen_curses.h"

#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ui/keys.h"

#define CODE_PASTE_BEGIN 1001
#define CODE_PASTE_END   1002
#define SEQUENCE_MAX     16
#define RESTORE_BYTES    256

struct term {
    SCREEN *screen;
    bool has_color, is_pasting;
    char sequence[SEQUENCE_MAX]; /* bytes since an Esc, NUL-terminated */
    size_t n_sequence;
    ns_t sequence_until;
    char *paste;
    size_t n_paste;
};

/* What the crash handlers need. One terminal a process, and a handler gets no argument: hence a global. */
static struct {
    volatile sig_atomic_t is_armed;
    struct termios before;
    char restore[RESTORE_BYTES]; /* cursor on, keypad off, main screen, paste off */
    size_t n_restore;
} crash;

static void on_crash(int number)
{
    if (crash.is_armed) {
        ssize_t ignored = write(STDOUT_FILENO, crash.restore, crash.n_restore);

        (void)ignored;
        tcsetattr(STDIN_FILENO, TCSANOW, &crash.before);
    }
    raise(number); /* the handler was reset: this one kills */
}

static void add_restore(const char *text)
{
    size_t n = text != NULL && text != (char *)-1 ? strlen(text) : 0;

    if (crash.n_restore + n > RESTORE_BYTES)
        return;
    memcpy(crash.restore + crash.n_restore, text, n);
    crash.n_restore += n;
}

static void arm(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};

    crash.n_restore = 0;
    add_restore("\033[?2004l");
    add_restore(tigetstr("sgr0"));
    add_restore(tigetstr("rmkx"));
    add_restore(tigetstr("cnorm"));
    add_restore(tigetstr("rmcup"));
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
    crash.is_armed = 1;
}

static void send(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

/* Sequences curses may not know: cursor keys of terminals that ignore keypad mode, bracketed paste. */
static void define_keys(void)
{
    static const struct {
        const char *sequence;
        int code;
    } more[] = {
        {"\033[A", KEY_UP},
        {"\033[B", KEY_DOWN},
        {"\033[C", KEY_RIGHT},
        {"\033[D", KEY_LEFT},
        {"\033OA", KEY_UP},
        {"\033OB", KEY_DOWN},
        {"\033OC", KEY_RIGHT},
        {"\033OD", KEY_LEFT},
        {"\033[H", KEY_HOME},
        {"\033[F", KEY_END},
        {"\033[1~", KEY_HOME},
        {"\033[4~", KEY_END},
        {"\033[3~", KEY_DC},
        {"\033[5~", KEY_PPAGE},
        {"\033[6~", KEY_NPAGE},
        {"\033[Z", KEY_BTAB},
        {"\033OP", KEY_F(1)},
        {"\033[11~", KEY_F(1)},
        {"\033[200~", CODE_PASTE_BEGIN},
        {"\033[201~", CODE_PASTE_END},
    };

    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        define_key(more[i].sequence, more[i].code);
}

static void use_colors(struct term *t)
{
    t->has_color = t->has_color && has_colors();
    if (!t->has_color)
        return;
    start_color();
    use_default_colors();
    for (short i = 1; i <= 7; i++)
        init_pair(i, i, -1);
    init_pair(8, COLOR_BLACK, COLOR_WHITE);
}

enum err term_open(const struct term_config *config, struct term **out, struct err_detail *detail)
{
    const char *name = getenv("TERM");
    struct term *t;
    SCREEN *screen;

    *out = NULL;
    if (name == NULL || name[0] == '\0' || strcmp(name, "dumb") == 0)
        return err_set(detail, ERR_UNSUPPORTED,
                       "This terminal (TERM=%s) cannot show screens. Use ito --plain.",
                       name != NULL ? name : "");
    if (setlocale(LC_CTYPE, "") == NULL || (!config->is_ascii && strcmp(nl_langinfo(CODESET), "UTF-8") != 0))
        setlocale(LC_CTYPE, "C.UTF-8"); /* else curses prints wide characters as blanks */
    tcgetattr(STDIN_FILENO, &crash.before);
    screen = newterm(NULL, stdout, stdin);
    if (screen == NULL)
        return err_set(detail, ERR_UNSUPPORTED,
                       "Nothing is known about this terminal (TERM=%s). Use ito --plain.", name);
    t = mem_alloc(sizeof *t);
    t->screen = screen;
    t->has_color = config->has_color;
    t->sequence_until = NS_NEVER;
    t->paste = mem_alloc(TERM_PASTE_MAX);
    set_escdelay(0);
    raw();
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    define_keys();
    if (config->has_mouse)
        mousemask(BUTTON1_CLICKED | BUTTON1_DOUBLE_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL);
    use_colors(t);
    arm();
    send("\033[?2004h");
    *out = t;
    return ERR_OK;
}

void term_close(struct term *t)
{
    if (t == NULL)
        return;
    send("\033[?2004l");
    endwin();
    crash.is_armed = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &crash.before);
    delscreen(t->screen);
    mem_free(t->paste);
    mem_free(t);
}

int term_fd(const struct term *t)
{
    (void)t;
    return STDIN_FILENO;
}

void term_size(struct term *t, uint16_t *rows, uint16_t *cols)
{
    struct winsize size;

    (void)t;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0 &&
        (size.ws_row != LINES || size.ws_col != COLS))
        resizeterm(size.ws_row, size.ws_col);
    *rows = (uint16_t)LINES;
    *cols = (uint16_t)COLS;
}

/* ---- drawing ---- */

static void put_cell(const struct term *t, int row, int col, const struct cell *c)
{
    wchar_t text[2 + SCREEN_MARKS] = {(wchar_t)c->ch};
    attr_t attributes = A_NORMAL;
    short pair = 0;
    cchar_t wide;

    for (size_t i = 0; i < SCREEN_MARKS && c->marks[i] != 0; i++)
        text[i + 1] = (wchar_t)c->marks[i];
    if (c->style & STYLE_BOLD)
        attributes |= A_BOLD;
    if (c->style & STYLE_REVERSE)
        attributes |= A_REVERSE;
    if (c->style & STYLE_DIM)
        attributes |= A_DIM;
    if (t->has_color)
        pair = c->style & STYLE_INK ? 8 : (short)(c->style & STYLE_COLOR);
    setcchar(&wide, text, attributes, pair, NULL);
    mvadd_wch(row, col, &wide);
}

void term_draw(struct term *t, const struct screen *s)
{
    uint16_t row, col;

    for (uint16_t r = 0; r < screen_rows(s) && r < LINES; r++) {
        for (uint16_t c = 0; c < screen_cols(s) && c < COLS; c++) {
            const struct cell *cell = screen_cell(s, r, c);

            if (cell->width > 0)
                put_cell(t, r, c, cell);
        }
    }
    if (screen_cursor(s, &row, &col)) {
        curs_set(1);
        move(row, col);
    } else {
        curs_set(0);
    }
    refresh();
}

void term_redraw(struct term *t)
{
    (void)t;
    clearok(curscr, TRUE);
}

void term_bell(struct term *t)
{
    (void)t;
    beep();
}

void term_copy(struct term *t, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(text), at = 0;
    char *out = mem_alloc(n * 4 / 3 + 8);

    (void)t;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t three = (uint32_t)(uint8_t)text[i] << 16;

        if (i + 1 < n)
            three |= (uint32_t)(uint8_t)text[i + 1] << 8;
        if (i + 2 < n)
            three |= (uint8_t)text[i + 2];
        out[at++] = digits[three >> 18];
        out[at++] = digits[three >> 12 & 63];
        out[at++] = i + 1 < n ? digits[three >> 6 & 63] : '=';
        out[at++] = i + 2 < n ? digits[three & 63] : '=';
    }
    out[at] = '\0';
    send("\033]52;c;");
    send(out);
    send("\a");
    mem_free(out);
}

void term_suspend(struct term *t)
{
    (void)t;
    send("\033[?2004l");
    endwin();
    raise(SIGTSTP);
    send("\033[?2004h");
    clearok(curscr, TRUE);
    refresh();
}

/* ---- keys ---- */

static uint32_t key_of_code(int code)
{
    static const struct {
        int code;
        uint32_t key;
    } table[] = {
        {KEY_UP, K_UP},         {KEY_DOWN, K_DOWN},       {KEY_LEFT, K_LEFT},       {KEY_RIGHT, K_RIGHT},
        {KEY_PPAGE, K_PAGE_UP}, {KEY_NPAGE, K_PAGE_DOWN}, {KEY_HOME, K_TO_START},   {KEY_END, K_TO_END},
        {KEY_DC, K_DELETE},     {KEY_BTAB, K_BACKTAB},    {KEY_BACKSPACE, K_ERASE}, {KEY_ENTER, K_ENTER},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].code == code)
            return table[i].key;
    }
    if (code > KEY_F0 && code <= KEY_F(24))
        return K_FUNCTION((uint32_t)(code - KEY_F0));
    return K_NONE;
}

static uint32_t key_of_char(uint32_t c)
{
    return c == '\n' || c == '\r' ? K_ENTER : c == 8 ? K_ERASE : c;
}

static void paste_char(struct term *t, uint32_t c)
{
    if (t->n_paste + UTF8_MAX_BYTES < TERM_PASTE_MAX)
        t->n_paste += utf8_put(c == '\r' ? '\n' : c, t->paste + t->n_paste);
}

static bool take_mouse(struct term_input *out)
{
    static const struct {
        mmask_t mask;
        enum term_input_kind kind;
    } table[] = {
        {BUTTON1_DOUBLE_CLICKED, TERM_DOUBLE},
        {BUTTON1_CLICKED | BUTTON1_PRESSED, TERM_CLICK},
        {BUTTON4_PRESSED, TERM_WHEEL_UP},
        {BUTTON5_PRESSED, TERM_WHEEL_DOWN},
    };
    MEVENT event;

    if (getmouse(&event) != OK || event.x < 0 || event.y < 0)
        return false;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if ((event.bstate & table[i].mask) == 0)
            continue;
        *out = (struct term_input){.kind = table[i].kind, .row = (uint16_t)event.y, .col = (uint16_t)event.x};
        return true;
    }
    return false;
}

/* A code of curses, or of define_keys(). True when it makes an input. */
static bool take_code(struct term *t, int code, struct term_input *out)
{
    if (code == CODE_PASTE_BEGIN) {
        t->is_pasting = true;
        t->n_paste = 0;
        return false;
    }
    if (code == CODE_PASTE_END) {
        t->is_pasting = false;
        *out = (struct term_input){.kind = TERM_PASTE, .text = t->paste, .len = t->n_paste};
        return true;
    }
    if (t->is_pasting)
        return false;
    if (code == KEY_MOUSE)
        return take_mouse(out);
    *out = (struct term_input){.kind = TERM_KEY, .key = key_of_code(code)};
    return out->key != K_NONE;
}

/* One character after an Esc. The sequence ends when it is a known one, or can become none. */
static bool take_sequence(struct term *t, uint32_t c, ns_t now, struct term_input *out)
{
    int code;

    if (c >= 0x80 || t->n_sequence + 1 >= SEQUENCE_MAX) {
        t->n_sequence = 0;
        *out = (struct term_input){.kind = TERM_KEY, .key = c >= 0x80 ? K_ALT(c) : K_NONE};
        return c >= 0x80;
    }
    t->sequence[t->n_sequence++] = (char)c;
    t->sequence[t->n_sequence] = '\0';
    t->sequence_until = now + TERM_ESC_NS;
    code = key_defined(t->sequence);
    if (code < 0) /* the beginning of a longer one */
        return false;
    if (code == 0 && t->n_sequence > 2 && (c < 0x40 || c > 0x7E))
        return false; /* unknown, but not at its final byte yet (ECMA-48 §5.4) */
    if (code == 0 && t->n_sequence == 2 && (c == '[' || c == 'O'))
        return false;
    t->sequence_until = NS_NEVER;
    if (code == 0 && t->n_sequence == 2) {
        t->n_sequence = 0;
        *out = (struct term_input){.kind = TERM_KEY, .key = K_ALT(key_of_char(c))};
        return true;
    }
    t->n_sequence = 0;
    return code > 0 && take_code(t, code, out);
}

static bool take_char(struct term *t, uint32_t c, ns_t now, struct term_input *out)
{
    if (t->n_sequence == 1 && c == 27) { /* Esc twice: the first one is whole */
        *out = (struct term_input){.kind = TERM_KEY, .key = K_ESC};
        t->sequence_until = now + TERM_ESC_NS;
        return true;
    }
    if (t->n_sequence > 0)
        return take_sequence(t, c, now, out);
    if (c == 27) {
        t->sequence[0] = 27;
        t->sequence[1] = '\0';
        t->n_sequence = 1;
        t->sequence_until = now + TERM_ESC_NS;
        return false;
    }
    if (t->is_pasting) {
        paste_char(t, c);
        return false;
    }
    *out = (struct term_input){.kind = TERM_KEY, .key = key_of_char(c)};
    return out->key != K_NONE;
}

bool term_read(struct term *t, ns_t now, struct term_input *out)
{
    wint_t c;
    int kind;

    while ((kind = get_wch(&c)) != ERR) {
        if (kind == KEY_CODE_YES ? take_code(t, (int)c, out) : take_char(t, (uint32_t)c, now, out))
            return true;
    }
    if (!isatty(STDIN_FILENO)) {
        out->kind = TERM_GONE;
        return true;
    }
    return false;
}

bool term_expire(struct term *t, ns_t now, struct term_input *out)
{
    bool is_esc = t->n_sequence == 1, is_alt = t->n_sequence == 2;
    uint32_t second = (uint8_t)t->sequence[1];

    if (t->n_sequence == 0 || now < t->sequence_until)
        return false;
    t->n_sequence = 0;
    t->sequence_until = NS_NEVER;
    *out = (struct term_input){.kind = TERM_KEY, .key = is_esc ? K_ESC : is_alt ? K_ALT(second) : K_NONE};
    return true;
}

ns_t term_deadline(const struct term *t)
{
    return t->n_sequence > 0 ? t->sequence_until : NS_NEVER;
}

int32_t term_utc_offset_s(int64_t wall_s)
{
    time_t at = (time_t)wall_s;
    struct tm local;

    return localtime_r(&at, &local) != NULL ? (int32_t)local.tm_gmtoff : 0;
}
