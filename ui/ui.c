#include "ui/ui.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ui/screen_curses.h"
#include "ui/screen_text.h"
#include "ui/ui_state.h"

static const struct view_ops *const views[VIEW_COUNT] = {
    [VIEW_CONTACTS] = &view_contacts, [VIEW_REQUESTS] = &view_requests, [VIEW_CALLS] = &view_calls,
    [VIEW_CHAT] = &view_chat,         [VIEW_VOICE] = &view_voicemail,   [VIEW_NETWORK] = &view_network,
    [VIEW_RELAY] = &view_relay,       [VIEW_SETUP] = &view_setup,       [VIEW_LOG] = &view_log,
    [VIEW_CALL] = &view_call,         [VIEW_ENDED] = &view_ended,       [VIEW_FIRSTRUN] = &view_firstrun,
};

const struct view_ops *ui_view_ops(enum view_id view)
{
    return views[view];
}

/* ---- life ---- */

struct ui *ui_create(const struct ui_config *config, const struct env *env, ns_t now)
{
    struct ui *ui = mem_alloc(sizeof *ui);
    struct err_detail detail = {{0}};

    ui->config = *config;
    ui->config.keys_json = NULL; /* borrowed for this call only */
    snprintf(ui->bell, sizeof ui->bell, "%s", config->bell != NULL ? config->bell : "calls");
    ui->config.bell = ui->bell;
    ui->env = env;
    ui->model = model_create();
    ui->screen = screen_create(UI_ROWS_WIDE, UI_COLS_WIDE, config->is_ascii, config->is_ambiguous_wide);
    ui->next_id = 1;
    ui->is_dirty = true;
    ui->views.log_level = LOG_INFO;
    keymap_init(&ui->keymap);
    if (keymap_remap(&ui->keymap, config->keys_json, &detail) != ERR_OK)
        ui_notice(ui, now, "%s", detail.text);
    if (config->is_first_run) {
        firstrun_start(ui);
        return ui;
    }
    ui_ask(ui, "status");
    ui_ask(ui, "contacts");
    ui_ask(ui, "requests");
    ui_ask(ui, "history");
    return ui;
}

void ui_destroy(struct ui *ui)
{
    if (ui == NULL)
        return;
    term_close(ui->term);
    popup_close(ui);
    firstrun_fini(ui);
    lineedit_fini(&ui->prompt.edit);
    screen_destroy(ui->screen);
    model_destroy(ui->model);
    mem_free(ui->views.log);
    mem_free(ui->rows);
    mem_free(ui);
}

enum err ui_start_curses(struct ui *ui, struct err_detail *detail)
{
    struct term_config config = {ui->config.is_ascii, ui->config.has_color, ui->config.has_mouse};
    enum err e = term_open(&config, &ui->term, detail);
    uint16_t rows, cols;

    if (e == ERR_OK) {
        term_size(ui->term, &rows, &cols);
        ui_resize_to(ui, rows, cols);
    }
    return e;
}

void ui_start_text(struct ui *ui, uint16_t rows, uint16_t cols)
{
    ui_resize_to(ui, rows, cols);
}

int ui_fd(const struct ui *ui)
{
    return ui->term != NULL ? term_fd(ui->term) : -1;
}

void ui_resize_to(struct ui *ui, uint16_t rows, uint16_t cols)
{
    screen_resize(ui->screen, rows, cols);
    ui->is_dirty = true;
}

void ui_resize(struct ui *ui, ns_t now)
{
    uint16_t rows, cols;

    if (ui->term == NULL)
        return;
    term_size(ui->term, &rows, &cols);
    ui_resize_to(ui, rows, cols);
    ui_tick(ui, now);
}

bool ui_wants_quit(const struct ui *ui)
{
    return ui->wants_quit;
}

char *ui_text(const struct ui *ui)
{
    return screen_text(ui->screen);
}

bool ui_cursor(const struct ui *ui, uint16_t *row, uint16_t *col)
{
    return screen_cursor(ui->screen, row, col);
}

/* ---- what views and frame ask ---- */

const struct model *ui_model(const struct ui *ui)
{
    return ui->model;
}

uint8_t ui_style(const struct ui *ui, enum role role)
{
    return theme_style(role, ui->config.has_color);
}

struct words_time ui_time(const struct ui *ui)
{
    return (struct words_time){env_wall_ms(ui->env), ui->config.utc_offset_s};
}

bool ui_is_too_small(const struct ui *ui)
{
    return screen_cols(ui->screen) < UI_COLS_MIN || screen_rows(ui->screen) < UI_ROWS_MIN;
}

bool ui_is_narrow(const struct ui *ui)
{
    return screen_cols(ui->screen) < UI_COLS_WIDE || screen_rows(ui->screen) < UI_ROWS_WIDE;
}

void ui_notice(struct ui *ui, ns_t now, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(ui->notice, sizeof ui->notice, fmt, args);
    va_end(args);
    ui->notice_until = now + UI_NOTICE_NS;
    ui->is_dirty = true;
}

void ui_show(struct ui *ui, enum view_id view, ns_t now)
{
    (void)now;
    if (view >= VIEW_TABS && ui->view < VIEW_TABS)
        ui->view_before = ui->view;
    ui->view = view;
    ui->n_shown++;
    ui->is_dirty = true;
    if (views[view]->open != NULL)
        views[view]->open(ui);
}

void ui_copy(struct ui *ui, const char *text, ns_t now)
{
    if (ui->term != NULL)
        term_copy(ui->term, text);
    ui_notice(ui, now, "Copied.");
}

bool ui_contains(const char *filter, const char *a, const char *b)
{
    return (a != NULL && strstr(a, filter) != NULL) || (b != NULL && strstr(b, filter) != NULL);
}

struct key_arg {
    struct ui *ui;
    char text[LISTBOX_KEY_BYTES];
};

static const char *row_key(void *arg, size_t i)
{
    struct key_arg *a = arg;

    return ui_view_ops(a->ui->view)->key(a->ui, a->ui->rows[i], a->text);
}

void ui_rows_update(struct ui *ui)
{
    const struct view_ops *ops = views[ui->view];
    const char *filter = ui->filters[ui->view];
    struct key_arg arg = {.ui = ui};
    size_t n = ops->count != NULL ? ops->count(ui) : 0;

    ui->n_rows = 0;
    if (n > 0)
        ui->rows = mem_resize(ui->rows, n, sizeof *ui->rows);
    for (size_t i = 0; i < n; i++) {
        if (ops->matches == NULL || ops->matches(ui, i, filter))
            ui->rows[ui->n_rows++] = i;
    }
    listbox_set(&ui->lists[ui->view], ui->n_rows, ops->key != NULL ? row_key : NULL, &arg);
}

size_t ui_selected(struct ui *ui)
{
    ui_rows_update(ui);
    return ui->n_rows > 0 ? ui->rows[ui->lists[ui->view].selected] : SIZE_MAX;
}

const struct model_call *ui_incoming(const struct ui *ui)
{
    size_t n;
    const struct model_call *calls = model_calls(ui->model, &n);

    for (size_t i = 0; i < n; i++) {
        if (calls[i].state == STATE_INCOMING)
            return &calls[i];
    }
    return NULL;
}

const struct model_call *ui_running_call(const struct ui *ui)
{
    size_t n;
    const struct model_call *calls = model_calls(ui->model, &n), *held = NULL;

    for (size_t i = 0; i < n; i++) {
        if (calls[i].state == STATE_HELD_LOCAL && held == NULL)
            held = &calls[i];
        else if (calls[i].state != STATE_INCOMING && calls[i].state != STATE_HELD_LOCAL)
            return &calls[i];
    }
    return held;
}

const struct model_call *ui_current_call(const struct ui *ui)
{
    const struct model_call *c = ui_running_call(ui);

    return c != NULL || ui->ended_id == 0 ? c : model_call_by_id(ui->model, ui->ended_id);
}

int64_t ui_state_seconds(const struct ui *ui, int64_t call_id, ns_t now)
{
    for (size_t i = 0; i < MODEL_CALLS_MAX; i++) {
        if (ui->clocks[i].call_id == call_id && now >= ui->clocks[i].state_at)
            return (int64_t)((now - ui->clocks[i].state_at) / NS_PER_S);
    }
    return 0;
}

void ui_select(struct ui *ui, size_t row)
{
    struct listbox *list = &ui->lists[ui->view];
    struct key_arg arg = {.ui = ui};

    listbox_to(list, row);
    if (views[ui->view]->key != NULL)
        listbox_keep(list, row_key, &arg);
}

/* ---- time ---- */

/* The next moment when something on the screen changes by itself: running seconds, or the clock's minute. */
static ns_t next_frame(const struct ui *ui, ns_t now)
{
    int64_t wall = env_wall_ms(ui->env);
    size_t n;
    bool is_running = ui->view == VIEW_FIRSTRUN;
    ns_t at;

    model_calls(ui->model, &n);
    is_running = is_running || n > 0;
    at = now + (ns_t)(is_running ? 1000 - wall % 1000 : 60000 - wall % 60000) * NS_PER_MS;
    return ui->notice[0] != '\0' ? ns_min(at, ui->notice_until) : at;
}

void ui_tick(struct ui *ui, ns_t now)
{
    struct term_input input;

    while (ui->term != NULL && term_expire(ui->term, now, &input))
        ui_key(ui, input.key, now);
    if (ui->notice[0] != '\0' && now >= ui->notice_until) {
        ui->notice[0] = '\0';
        ui->is_dirty = true;
    }
    if (!ui->is_dirty && now < ui->draw_at)
        return;
    ui->is_dirty = false;
    frame_draw(ui, now);
    if (ui->term != NULL)
        term_draw(ui->term, ui->screen);
    ui->draw_at = next_frame(ui, now);
}

ns_t ui_deadline(const struct ui *ui)
{
    if (ui->is_dirty)
        return 0;
    return ui->term != NULL ? ns_min(ui->draw_at, term_deadline(ui->term)) : ui->draw_at;
}

/* ---- keys ---- */

static bool is_bound(struct ui *ui, enum command command);

/* Click selects a row or a tab, double click opens, the wheel scrolls; nothing needs it. */
static void mouse(struct ui *ui, const struct term_input *input, ns_t now)
{
    struct listbox *list = &ui->lists[ui->view];
    int row = (int)input->row - ui->list_row;

    if (ui->prompt.kind != PROMPT_NONE || ui->popup.kind != POPUP_NONE || ui->view == VIEW_FIRSTRUN)
        return;
    if (input->kind == TERM_WHEEL_UP || input->kind == TERM_WHEEL_DOWN) {
        ui_command(ui, input->kind == TERM_WHEEL_UP ? CMD_UP : CMD_DOWN, now);
    } else if (input->row == 1 && frame_tab_at(ui, input->col) >= 0) {
        ui_show(ui, (enum view_id)frame_tab_at(ui, input->col), now);
    } else if (row >= 0 && row < ui->list_rows && list->top + (size_t)row < list->n) {
        struct key_arg arg = {.ui = ui};

        listbox_to(list, list->top + (size_t)row);
        if (views[ui->view]->key != NULL)
            listbox_keep(list, row_key, &arg);
        if (input->kind == TERM_DOUBLE && is_bound(ui, CMD_OPEN))
            ui_command(ui, CMD_OPEN, now);
        ui->is_dirty = true;
    }
}

void ui_keys_ready(struct ui *ui, ns_t now)
{
    struct term_input input;

    while (ui->term != NULL && term_read(ui->term, now, &input)) {
        if (input.kind == TERM_PASTE)
            ui_paste(ui, input.text, input.len, now);
        else if (input.kind == TERM_GONE)
            ui->wants_quit = true;
        else if (input.kind != TERM_KEY)
            mouse(ui, &input, now);
        else
            ui_key(ui, input.key, now);
        if (input.kind == TERM_GONE)
            return;
    }
}

void ui_paste(struct ui *ui, const char *text, size_t len, ns_t now)
{
    ui->is_dirty = true;
    if (ui->view == VIEW_FIRSTRUN) {
        firstrun_paste(ui, text, len);
        return;
    }
    if (ui->popup.kind != POPUP_NONE)
        return;
    if (ui->prompt.kind == PROMPT_NONE) {
        size_t at = 0;

        while (at < len && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t'))
            at++;
        if (len - at < 4 || strncmp(text + at, "ito", 3) != 0) {
            ui_notice(ui, now, "Nothing to paste into. n adds a contact, : opens the command line.");
            return;
        }
        ui_prompt(ui, PROMPT_ADD_ID, "ID: ", "", "");
    }
    if (!prompt_is_question(ui->prompt.kind))
        lineedit_paste(&ui->prompt.edit, text, len);
}

static void ask_call(struct ui *ui, const char *cmd, const struct model_call *c)
{
    ui_ask_number(ui, cmd, "call", c->id);
}

void ui_call(struct ui *ui, const char *id)
{
    ui_ask_text(ui, "call", "to", id);
}

/* Alt-a, Alt-d, Alt-x: they work on every screen and while typing. */
static bool always_key(struct ui *ui, enum command command, ns_t now)
{
    const struct model_call *in = ui_incoming(ui), *on = ui_running_call(ui);

    if (command != CMD_ALT_ANSWER && command != CMD_ALT_DECLINE && command != CMD_ALT_HANGUP)
        return false;
    if (command == CMD_ALT_HANGUP && on != NULL)
        ask_call(ui, "hangup", on);
    else if (command != CMD_ALT_HANGUP && in != NULL)
        ask_call(ui, command == CMD_ALT_ANSWER ? "answer" : "decline", in);
    else
        ui_notice(ui, now, command == CMD_ALT_HANGUP ? "There is no call." : "Nobody is calling.");
    return true;
}

/* The box of an incoming call takes a, d, s, z; nothing else. */
static bool incoming_key(struct ui *ui, enum command command, bool is_guarded)
{
    const struct model_call *in = ui_incoming(ui);

    if (in == NULL ||
        (command != CMD_ALLOW && command != CMD_DECLINE && command != CMD_MESSAGE && command != CMD_SILENCE))
        return false;
    if (is_guarded)
        return true; /* typed into something that the box just covered */
    if (command == CMD_ALLOW) {
        ask_call(ui, "answer", in);
    } else if (command == CMD_DECLINE) {
        ask_call(ui, "decline", in);
    } else if (command == CMD_MESSAGE) {
        char label[MODEL_TEXT_BYTES], who[WORDS_BYTES];

        snprintf(label, sizeof label, "Decline and tell %.80s: ", words_peer(in, who));
        ui_prompt(ui, PROMPT_DECLINE_MESSAGE, label, in->peer, "");
    } else {
        ui->silenced = in->id;
        ui_ask(ui, "silence");
    }
    return true;
}

/* Moves in the list of the view. */
static bool move_key(struct ui *ui, enum command command)
{
    struct listbox *list = &ui->lists[ui->view];
    struct key_arg arg = {.ui = ui};
    long half;

    if (views[ui->view]->count == NULL || command < CMD_UP || command > CMD_PAGE_UP)
        return false;
    ui_rows_update(ui);
    half = list->height > 2 ? (long)list->height / 2 : 1;
    if (command == CMD_UP || command == CMD_DOWN)
        listbox_move(list, command == CMD_UP ? -1 : 1);
    else if (command == CMD_PAGE_UP || command == CMD_PAGE_DOWN)
        listbox_move(list, command == CMD_PAGE_UP ? -half : half);
    else
        listbox_to(list, command == CMD_TOP ? 0 : list->n);
    if (ui->n_rows > 0 && views[ui->view]->key != NULL)
        listbox_keep(list, row_key, &arg);
    return true;
}

void ui_quit(struct ui *ui, ns_t now)
{
    (void)now;
    if (ui_running_call(ui) != NULL && !ui->config.has_daemon) {
        ui_prompt(ui, PROMPT_ASK_QUIT, "Hang up and quit? y/N ", "", "");
        return;
    }
    ui->wants_quit = true;
}

static void suspend(struct ui *ui, ns_t now)
{
    if (ui_running_call(ui) != NULL && !ui->config.has_daemon) {
        ui_notice(ui, now, "Not while in a call: it would stop. x hangs up.");
        return;
    }
    if (ui->term != NULL)
        term_suspend(ui->term);
    ui_resize(ui, now);
}

/* Commands of every screen. */
static bool global_key(struct ui *ui, enum command command, ns_t now)
{
    enum view_id here = ui->view < VIEW_TABS ? ui->view : ui->view_before;

    if (command >= CMD_SCREEN_1 && command <= CMD_SCREEN_9) {
        ui_show(ui, (enum view_id)(command - CMD_SCREEN_1), now);
        return true;
    }
    switch (command) {
    case CMD_NEXT_SCREEN:
        ui_show(ui, (here + 1) % VIEW_TABS, now);
        return true;
    case CMD_LAST_SCREEN:
        ui_show(ui, (here + VIEW_TABS - 1) % VIEW_TABS, now);
        return true;
    case CMD_CURRENT:
        if (ui_current_call(ui) != NULL)
            ui_show(ui, ui_running_call(ui) != NULL ? VIEW_CALL : VIEW_ENDED, now);
        else
            ui_notice(ui, now, "There is no call.");
        return true;
    case CMD_LINE:
        ui_prompt(ui, PROMPT_COMMAND, ":", "", "");
        return true;
    case CMD_HELP:
        ui_popup_help(ui);
        return true;
    case CMD_QUIT:
        ui_quit(ui, now);
        return true;
    case CMD_REDRAW:
        if (ui->term != NULL)
            term_redraw(ui->term);
        return true;
    case CMD_SUSPEND:
        suspend(ui, now);
        return true;
    case CMD_HANGUP:
        if (ui_running_call(ui) == NULL)
            return false;
        ask_call(ui, "hangup", ui_running_call(ui));
        return true;
    case CMD_MUTE:
        if (ui_running_call(ui) == NULL)
            return false;
        ui_ask_bool(ui, "mute", "on", !ui_running_call(ui)->is_muted);
        return true;
    case CMD_QR:
        ui_popup_qr(ui, model_self(ui->model)->id, now);
        return true;
    default:
        return false;
    }
}

void ui_command(struct ui *ui, enum command command, ns_t now)
{
    const struct view_ops *ops = views[ui->view];

    ui->is_dirty = true;
    if (move_key(ui, command))
        return;
    if (command == CMD_FILTER && ops->matches != NULL) {
        ui_prompt(ui, PROMPT_FILTER, "/", "", ui->filters[ui->view]);
        return;
    }
    for (size_t i = 0; i < ops->n_keys && command != CMD_NONE; i++) {
        if (ops->keys[i].command == command || ops->keys[i].second == command) {
            ops->act(ui, command, now);
            return;
        }
    }
    if (command == CMD_BACK && ui->filters[ui->view][0] != '\0') {
        ui->filters[ui->view][0] = '\0';
        return;
    }
    if (global_key(ui, command, now) || command == CMD_BACK)
        return;
    ui_notice(ui, now, "Nothing bound here. ? shows the keys.");
}

/* Keys while the window is too small to show what they do: those of a call, and quit. */
static void small_key(struct ui *ui, enum command command, bool is_guarded, ns_t now)
{
    if (incoming_key(ui, command, is_guarded))
        return;
    if (command == CMD_HANGUP || command == CMD_MUTE || command == CMD_QUIT)
        global_key(ui, command, now);
}

static bool is_bound(struct ui *ui, enum command command)
{
    const struct view_ops *ops = views[ui->view];

    for (size_t i = 0; i < ops->n_keys && command != CMD_NONE; i++) {
        if (ops->keys[i].command == command || ops->keys[i].second == command)
            return true;
    }
    if (command == CMD_HANGUP || command == CMD_MUTE)
        return ui_running_call(ui) != NULL;
    if (command >= CMD_UP && command <= CMD_PAGE_UP)
        return ops->count != NULL;
    if (command == CMD_FILTER)
        return ops->matches != NULL;
    return command == CMD_BACK || (command >= CMD_SCREEN_1 && command <= CMD_HELP) || command == CMD_QUIT ||
           command == CMD_REDRAW || command == CMD_SUSPEND || command == CMD_QR;
}

void ui_key(struct ui *ui, uint32_t key, ns_t now)
{
    enum command command = keymap_command(&ui->keymap, key);
    bool is_guarded = now < ui->key_at;
    char name[KEY_TEXT_BYTES];

    ui->key_at = now + UI_GUARD_NS;
    ui->is_dirty = true;
    if (always_key(ui, command, now))
        return;
    if (ui->prompt.kind != PROMPT_NONE && !ui_is_too_small(ui)) {
        prompt_key(ui, key, now);
    } else if (ui->view == VIEW_FIRSTRUN) {
        firstrun_key(ui, key, now);
    } else if (ui_is_too_small(ui)) {
        small_key(ui, command, is_guarded, now);
    } else if (ui->popup.kind != POPUP_NONE) {
        popup_key(ui, key, now);
    } else if (!incoming_key(ui, command, is_guarded)) {
        if (is_bound(ui, command))
            ui_command(ui, command, now);
        else
            ui_notice(ui, now, "Nothing bound to \"%s\". ? shows the keys.", key_print(key, name));
    }
}
