/* ui/view.h - what a screen (a "view") is to the ui, and what the ui is to a view.
 *
 * A view is one file with one `const struct view_ops`. It draws from the model into its part of the grid and
 * says which commands it takes; that one table gives the hints row, the help and "Nothing bound to". It asks
 * the core by ui_ask_*(), never waits, and changes nothing of the model: the answer or event will.
 *
 *   owner  the ui; a view keeps its state in struct ui_views (ui/ui_state.h) */
#ifndef ITO_UI_VIEW_H
#define ITO_UI_VIEW_H

#include "app/model.h"
#include "ui/keymap.h"
#include "ui/listbox.h"
#include "ui/screen.h"
#include "ui/theme.h"
#include "ui/words.h"

struct ui;

enum view_id {
    VIEW_CONTACTS,
    VIEW_REQUESTS,
    VIEW_CALLS,
    VIEW_CHAT,
    VIEW_VOICE,
    VIEW_NETWORK,
    VIEW_RELAY,
    VIEW_SETUP,
    VIEW_LOG,
    VIEW_TABS, /* the nine above have a tab */
    VIEW_CALL = VIEW_TABS,
    VIEW_ENDED, /* the call that ended last, and what can be done now */
    VIEW_FIRSTRUN,
    VIEW_COUNT
};

/* One command a view takes. `second` (or CMD_NONE) shares the hint: "+/- volume". */
struct view_key {
    enum command command, second;
    const char *hint;       /* for the hints row; NULL: only in the help */
    const char *short_hint; /* for narrow screens; NULL: left out there */
    const char *help;
};

/* The part of the grid a view draws, and the moment it draws. */
struct frame {
    struct screen *s;
    int row, rows, cols;
    bool is_narrow;
    struct words_time time;
    ns_t now;
};

struct view_ops {
    const char *name;
    const struct view_key *keys;
    size_t n_keys;
    void (*draw)(struct ui *ui, const struct frame *f);
    /* Only commands of `keys`, moves in the list excepted: those are done already. */
    void (*act)(struct ui *ui, enum command command, ns_t now);
    /* The rows of its list, before the filter; NULL: no list. */
    size_t (*count)(struct ui *ui);
    /* What makes row i the same thing again after a change, in a buffer of LISTBOX_KEY_BYTES. */
    const char *(*key)(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES]);
    /* Does row i contain the filter text? NULL: no filter. */
    bool (*matches)(struct ui *ui, size_t i, const char *filter);
    /* The screen has been opened: ask the core for what it shows. May be NULL. */
    void (*open)(struct ui *ui);
};

extern const struct view_ops view_contacts, view_requests, view_calls, view_chat, view_voicemail,
    view_network, view_relay, view_setup, view_log, view_call, view_ended, view_firstrun;

/* ---- asking the core: each sends one request and remembers what it was ---- */

void ui_ask(struct ui *ui, const char *cmd);
void ui_ask_text(struct ui *ui, const char *cmd, const char *key, const char *text);
void ui_ask_number(struct ui *ui, const char *cmd, const char *key, int64_t n);
void ui_ask_bool(struct ui *ui, const char *cmd, const char *key, bool on);
/* Takes the object; "id" and "cmd" are added. */
void ui_ask_take(struct ui *ui, const char *cmd, cJSON *request_take);

/* ---- what a view may do ---- */

const struct model *ui_model(const struct ui *ui);
uint8_t ui_style(const struct ui *ui, enum role role);
void ui_notice(struct ui *ui, ns_t now, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ui_show(struct ui *ui, enum view_id view, ns_t now);
/* Call a person by ID; opens the call screen when the first event of the call comes. */
void ui_call(struct ui *ui, const char *id);
/* A box of text over the screen; lines are separated by '\n'. */
void ui_popup(struct ui *ui, const char *title, const char *text);
void ui_popup_help(struct ui *ui);
void ui_popup_qr(struct ui *ui, const char *id, ns_t now);
/* Copy to the terminal's clipboard (OSC 52). */
void ui_copy(struct ui *ui, const char *text, ns_t now);

/* Input lines and questions; `subject` comes back to prompt_done() in ui/prompt.c. */
enum prompt_kind {
    PROMPT_NONE,
    PROMPT_COMMAND,
    PROMPT_FILTER,
    PROMPT_ADD_ID,
    PROMPT_ADD_NAME,
    PROMPT_RENAME,
    PROMPT_MESSAGE,
    PROMPT_DECLINE_MESSAGE,
    PROMPT_TONES,
    PROMPT_SETTING,
    PROMPT_LIMIT_CALLS,
    PROMPT_LIMIT_KBPS,
    PROMPT_LIMIT_GB,
    PROMPT_HELP_FIND,
    PROMPT_ASK_VERIFY, /* the questions: only y, n, Esc */
    PROMPT_ASK_QUIT,
    PROMPT_ASK_NEVER
};
void ui_prompt(struct ui *ui, enum prompt_kind kind, const char *label, const char *subject,
               const char *text);

/* ---- lists ---- */

/* The index of the selected row in the model's array, SIZE_MAX when the list is empty. */
size_t ui_selected(struct ui *ui);
/* Does any of the texts contain the filter? NULL texts are skipped. */
bool ui_contains(const char *filter, const char *a, const char *b);

/* Words from row, col on, broken at blanks; returns the row after. */
int ui_put_wrapped(const struct frame *f, int row, int col, uint8_t style, const char *text);

/* ---- seconds since the call entered its state ---- */
int64_t ui_state_seconds(const struct ui *ui, int64_t call_id, ns_t now);
/* The call on the in-call screen: a running one first, else the one that ended last; NULL: none. */
const struct model_call *ui_current_call(const struct ui *ui);

#endif
