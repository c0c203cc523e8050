/* ui/ui_state.h - the inside of struct ui, shared by the files of ui/ and nobody else.
 *
 *   ui.c       life, keys → commands, requests, answers, events
 *   frame.c    one frame: title, tabs, body, notice, hints, command row, incoming box, too small
 *   prompt.c   input lines and questions, and what is done with them
 *   cmdline.c  `:` commands
 *   popup.c    help, details, QR code */
#ifndef ITO_UI_UI_STATE_H
#define ITO_UI_UI_STATE_H

#include "ui/lineedit.h"
#include "ui/ui.h"
#include "ui/view.h"

#define UI_COLS_MIN     40
#define UI_ROWS_MIN     12
#define UI_COLS_WIDE    80
#define UI_ROWS_WIDE    24
#define UI_FRAME_ROWS   5 /* title, tabs, notice, hints, command */
#define UI_NOTICE_NS    (20 * NS_PER_S)
#define UI_GUARD_NS     (500 * NS_PER_MS) /* a and d wait this long after another key */
#define UI_LOG_LINES    500
#define UI_FILTER_BYTES 128

struct term;

struct pending {
    int64_t id;
    char cmd[32];
    char text[MODEL_TEXT_BYTES]; /* the first text argument, for words about the answer */
};

struct prompt {
    enum prompt_kind kind;
    char label[MODEL_TEXT_BYTES];
    char subject[MODEL_TEXT_BYTES];
    struct lineedit edit;
    unsigned n_tabs;           /* Tab in a row */
    char kept[LINEEDIT_BYTES]; /* the ID of PROMPT_ADD_NAME */
};

enum popup_kind { POPUP_NONE, POPUP_TEXT, POPUP_HELP, POPUP_QR };

struct popup {
    enum popup_kind kind;
    char title[MODEL_TEXT_BYTES];
    char **lines;
    size_t n_lines, top, height;
    char find[UI_FILTER_BYTES];
};

struct call_clock {
    int64_t call_id;
    ns_t state_at;
};

struct log_line {
    int64_t at_ms;
    enum log_level level;
    char text[MODEL_TEXT_BYTES];
};

/* The four steps of the first run. */
struct firstrun {
    int step;  /* 1..4, 0: not running */
    int field; /* step 2: 0 passphrase, 1 again */
    bool has_no_phrase, is_touched, is_inited;
    struct lineedit name, pass, again;
    char words[24][16];
    size_t n_words;
    char mic[MODEL_NAME_BYTES], speaker[MODEL_NAME_BYTES], heard[MODEL_TEXT_BYTES];
    int64_t level_db;
    ns_t joining_since;
};

struct ui_views {
    bool requests_out;
    char chat_peer[MODEL_ID_BYTES];
    struct model_call shown; /* in-call numbers, changed once a second */
    ns_t shown_at;
    ns_t muted_talk_at;
    int64_t gain_db;
    int64_t volume_pct; /* asked for last; it counts until volume_until, for keys faster than the answer */
    ns_t volume_until;
    struct firstrun firstrun;
    struct log_line *log;
    size_t n_log;
    enum log_level log_level;
    bool log_stopped;
    size_t settings_changed;
};

struct ui {
    struct ui_config config;
    char bell[8];
    const struct env *env;
    struct model *model;
    struct screen *screen;
    struct term *term; /* NULL: text screen */
    struct keymap keymap;
    enum view_id view, view_before; /* view_before: where Esc leads from the in-call screen */
    struct listbox lists[VIEW_COUNT];
    char filters[VIEW_COUNT][UI_FILTER_BYTES];
    size_t *rows; /* of the list shown: index into the model's array */
    size_t n_rows;
    int list_row, list_rows; /* where the rows were drawn, for the mouse */
    struct prompt prompt;
    struct popup popup;
    char notice[1024];
    ns_t notice_until;
    ns_t end_told_until; /* the end of a call is on the notice row: presence does not replace it */
    struct pending pending[UI_PENDING_MAX];
    int64_t next_id;
    struct call_clock clocks[MODEL_CALLS_MAX];
    int64_t ended_id; /* the ended call still on the in-call screen, 0: none */
    int64_t silenced; /* incoming call whose ring is silenced */
    ns_t key_at;      /* deadline of the guard: last key + UI_GUARD_NS */
    ns_t undo_until;
    ns_t draw_at;     /* the next frame */
    unsigned n_shown; /* screens opened so far */
    bool is_dirty, wants_quit, is_core_lost;
    struct ui_views views;
};

const struct view_ops *ui_view_ops(enum view_id view);
struct words_time ui_time(const struct ui *ui);
/* Rebuild ->rows of the view by its filter and set its listbox. */
void ui_rows_update(struct ui *ui);
/* Select a row of the list, by its place. */
void ui_select(struct ui *ui, size_t row);
const struct model_call *ui_incoming(const struct ui *ui);
/* A call that is not incoming and has not ended. */
const struct model_call *ui_running_call(const struct ui *ui);
bool ui_is_too_small(const struct ui *ui);
bool ui_is_narrow(const struct ui *ui);
void ui_command(struct ui *ui, enum command command, ns_t now);
void ui_quit(struct ui *ui, ns_t now);

/* frame.c */
void frame_draw(struct ui *ui, ns_t now);
/* The tab at that column of row 1, -1: none. */
int frame_tab_at(struct ui *ui, int col);

/* prompt.c */
bool prompt_is_question(enum prompt_kind kind);
void prompt_key(struct ui *ui, uint32_t key, ns_t now);
void prompt_close(struct ui *ui);
/* The text of the command row, and the column of the caret. */
void prompt_draw(struct ui *ui, const struct frame *f, int row);

/* cmdline.c */
void cmdline_run(struct ui *ui, const char *line, ns_t now);
void cmdline_complete(struct ui *ui, ns_t now);
/* Every command with what it takes, a line each. */
void cmdline_list(void (*say)(void *arg, const char *line), void *arg);

/* popup.c */
void popup_draw(struct ui *ui, const struct frame *f);
void popup_key(struct ui *ui, uint32_t key, ns_t now);
void popup_close(struct ui *ui);

/* view_firstrun.c */
void firstrun_start(struct ui *ui);
void firstrun_key(struct ui *ui, uint32_t key, ns_t now);
void firstrun_paste(struct ui *ui, const char *text, size_t len);
void firstrun_answer(struct ui *ui, const char *cmd, const cJSON *answer, ns_t now);
void firstrun_fini(struct ui *ui);

/* view_log.c */
void log_add(struct ui *ui, enum log_level level, int64_t at_ms, const char *text);
/* Lines that came with the answer to `log`. */
void log_answer(struct ui *ui, const cJSON *answer);

#endif
