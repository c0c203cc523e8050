/* ui/ui.h - the screens: what is shown, which key does what. Knows the core only as JSON.
 *
 * The program owns the loop. It watches ui_fd() and calls ui_keys_ready(); hands every answer and event of the
 * core to ui_answer() and ui_event(); and calls ui_tick() when ui_deadline() has come. Drawing happens in
 * ui_tick() only, so a burst of events is one frame.
 *
 *   in     keys; answers {"id":1,"ok":true,...} and events {"v":1,"ev":"call",...} as text (UX §6, §7)
 *   out    requests {"id":1,"cmd":"call","to":"Kenji"} by ui_core.request, one object, no line end
 *   owner  the program; config and its strings are copied, env must outlive the ui
 *   trust  all texts from the core that name people are cleaned again here (base/utf8.h)
 *   caps   UI_PENDING_MAX requests without an answer, then the oldest is forgotten */
#ifndef ITO_UI_UI_H
#define ITO_UI_UI_H

#include "base/env.h"

#define UI_PENDING_MAX 64

struct ui;

/* The way to the core: in process or over the control socket, the same objects. */
struct ui_core {
    void *arg;
    /* json is borrowed for the call. The answer may come at any later time, or from within; but not from
     * within ui_create(), whose result the program does not hold yet. */
    void (*request)(void *arg, const char *json);
};

struct ui_config {
    struct ui_core core;
    bool is_ascii;          /* --ascii, ITO_ASCII=1, or a locale that is not UTF-8 */
    bool has_color;         /* --color and NO_COLOR decided already */
    bool is_ambiguous_wide; /* ui.ambiguous_wide */
    bool has_mouse;         /* ui.mouse */
    bool has_daemon;        /* the core lives on when the screens close: quitting needs no question */
    bool is_first_run;      /* no identity yet: start with the four steps */
    const char *bell;       /* ui.bell: "calls" (NULL too), "all", "off" */
    const char *keys_json;  /* config object `keys`: {"call":"C"}; NULL: none */
    /* Seconds east of UTC at that moment; NULL: UTC. ui/screen_curses.h has the system's. */
    int32_t (*utc_offset_s)(int64_t wall_s);
    /* File names that begin with this text, one a line, mem_alloc()ed; for Tab. NULL: none are offered. */
    char *(*list_files)(const char *prefix);
    /* For `:contacts import F` and `export F`: the text of a file, mem_alloc()ed, or NULL with the sentence;
     * and the other way. NULL: these two commands are refused. */
    char *(*read_file)(const char *path, struct err_detail *detail);
    enum err (*write_file)(const char *path, const char *text, struct err_detail *detail);
};

/* Never fails; asks the core for status, contacts, requests and the rest at once. */
struct ui *ui_create(const struct ui_config *config, const struct env *env, ns_t now);
/* Gives the terminal back as it was. NULL is fine. */
void ui_destroy(struct ui *ui);

/* Draw on the terminal of stdin and stdout. ERR_UNSUPPORTED when TERM is empty, unknown or dumb, with the
 * sentence for the person in detail. Installs the crash handlers of screen_curses. */
enum err ui_start_curses(struct ui *ui, struct err_detail *detail);
/* Draw into memory; see ui_text(). */
void ui_start_text(struct ui *ui, uint16_t rows, uint16_t cols);

int ui_fd(const struct ui *ui); /* readable when keys wait; -1 with a text screen */
void ui_keys_ready(struct ui *ui, ns_t now);
/* One key as of ui/keys.h, as if typed. */
void ui_key(struct ui *ui, uint32_t key, ns_t now);
/* A bracketed paste: one input, never keys. */
void ui_paste(struct ui *ui, const char *text, size_t len, ns_t now);
/* After SIGWINCH: asks the terminal for its size. A text screen takes the one given by ui_resize_to(). */
void ui_resize(struct ui *ui, ns_t now);
void ui_resize_to(struct ui *ui, uint16_t rows, uint16_t cols);

/* Timers, then one frame when something changed. */
void ui_tick(struct ui *ui, ns_t now);
/* When ui_tick() is due; 0 means at once. */
ns_t ui_deadline(const struct ui *ui);

/* One object from the core. Text that is not such an object is dropped. */
void ui_answer(struct ui *ui, const char *json, ns_t now);
void ui_event(struct ui *ui, const char *json, ns_t now);
/* One line for the log screen (in process; over the socket the screen asks for it). */
void ui_log(struct ui *ui, enum log_level level, const char *line);
/* The core is gone (socket closed): said in the notice row, everything shown becomes unknown. */
void ui_core_lost(struct ui *ui, const char *text, ns_t now);

bool ui_wants_quit(const struct ui *ui);
/* The last frame as lines of text, each ended by '\n', trailing blanks cut; free with mem_free(). */
char *ui_text(const struct ui *ui);
/* Where the hardware cursor was put in the last frame; false when it is hidden. */
bool ui_cursor(const struct ui *ui, uint16_t *row, uint16_t *col);

#endif
