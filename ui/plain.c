#include "ui/plain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ui/ui_state.h"

/* A call as it was told last. */
struct told {
    int64_t id;
    enum model_state state;
};

struct plain {
    struct ui *ui;
    plain_say_cb say;
    void *arg;
    struct told calls[MODEL_CALLS_MAX];
    size_t n_requests;
    bool wants_list, has_pick, is_asking;
};

static void say(struct plain *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct plain *p, const char *fmt, ...)
{
    char line[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    p->say(p->arg, line);
}

/* Each line of a text of several. */
static void say_lines(struct plain *p, const char *text)
{
    while (*text != '\0') {
        int n = (int)strcspn(text, "\n");

        say(p, "%.*s", n, text);
        text += n + (text[n] == '\n');
    }
}

/* ---- what a screen would show ---- */

/* The view as it would be drawn on a screen that is high enough, without frame; rows of its list are numbered. */
static void say_view(struct plain *p)
{
    struct ui *ui = p->ui;
    int row = 0, rows, first, last;
    size_t n;
    char *text, *end;

    ui_rows_update(ui);
    n = ui->n_rows < PLAIN_LIST_ROWS ? ui->n_rows : PLAIN_LIST_ROWS;
    rows = n + 20 > UI_ROWS_WIDE ? (int)n + 20 : UI_ROWS_WIDE;
    ui_resize_to(ui, (uint16_t)rows, PLAIN_COLS);
    frame_draw(ui, 0);
    first = ui->list_row;
    last = ui->list_row + ((int)n < ui->list_rows ? (int)n : ui->list_rows);
    text = ui_text(ui);
    for (char *line = text; (end = strchr(line, '\n')) != NULL; line = end + 1, row++) {
        *end = '\0';
        if (row < 2 || row >= rows - 3 || line[0] == '\0')
            continue; /* title, tabs, the frame below */
        if (row >= first && row < last && strlen(line) > 3)
            say(p, "%3d %s", row - first + 1, line + 3);
        else
            say(p, "%s", line);
    }
    mem_free(text);
}

static void flush_popup(struct plain *p)
{
    struct popup *box = &p->ui->popup;

    if (box->kind == POPUP_NONE)
        return;
    for (size_t i = 0; i < box->n_lines && box->kind != POPUP_HELP; i++)
        say(p, "%s", box->lines[i]);
    popup_close(p->ui);
}

static void flush_notice(struct plain *p, const char *kind)
{
    if (p->ui->notice[0] != '\0')
        say(p, "%s %s", kind, p->ui->notice);
    p->ui->notice[0] = '\0';
}

static bool is_waiting(const struct plain *p)
{
    for (size_t i = 0; i < UI_PENDING_MAX; i++)
        if (p->ui->pending[i].id != 0)
            return true;
    return false;
}

/* All that the last line, answer or event has put on the screen that nobody sees. */
static void flush(struct plain *p, const char *kind)
{
    struct prompt *prompt = &p->ui->prompt;

    flush_notice(p, kind);
    flush_popup(p);
    if (prompt_is_question(prompt->kind)) {
        if (!p->is_asking)
            say(p, "ASK %s", prompt->label);
        p->is_asking = true;
    } else if (prompt->kind != PROMPT_NONE) {
        prompt_close(p->ui); /* a line to be mended: it is typed anew */
    }
    if (p->wants_list && !is_waiting(p)) {
        p->wants_list = false;
        say_view(p);
    }
}

/* ---- calls ---- */

static void say_call(struct plain *p, const struct model_call *c)
{
    char who[WORDS_BYTES], state[WORDS_BYTES], path[WORDS_BYTES], code[WORDS_BYTES], length[WORDS_BYTES];
    struct words_time time = ui_time(p->ui);

    words_peer(c, who);
    if (c->state == STATE_LOOKING_UP) {
        say(p, "CALL Looking up %s", who);
    } else if (c->state == STATE_INCOMING) {
        say(p, "CALL Incoming call from %s, %s%s: answer, decline or silence", who,
            words_list(c->list != LIST_NONE ? c->list : LIST_ALLOWED), c->is_verified ? ", verified" : "");
    } else if (c->state == STATE_IN_CALL) {
        say(p, "CALL In call with %s, %s%s%s", who, words_path(c, path),
            c->code[0] != '\0' ? ", call code " : "", c->code[0] != '\0' ? words_code(c->code, code) : "");
    } else if (c->state == STATE_ENDED) {
        words_cause(c, model_contact_by_id(p->ui->model, c->peer), &time, state);
        say(p, "CALL Ended: %s%s%s", state, c->length_s > 0 ? " " : "",
            c->length_s > 0 ? words_length_fine(c->length_s, length) : "");
    } else {
        say(p, "CALL %s", words_state(c, 2, state));
    }
}

/* A change of state is told once; the numbers in between are for the screens. */
static void tell_call(struct plain *p, const struct model_call *c)
{
    struct told *slot = NULL;

    for (size_t i = 0; i < MODEL_CALLS_MAX; i++) {
        if (p->calls[i].id == c->id)
            slot = &p->calls[i];
        else if (slot == NULL && (p->calls[i].id == 0 || p->calls[i].state == STATE_ENDED))
            slot = &p->calls[i];
    }
    if (c->state == STATE_IN_CALL && (c->path[0] == '\0' || strcmp(c->path, "checking") == 0))
        return; /* told with its path, a moment later */
    if (slot == NULL || (slot->id == c->id && slot->state == c->state))
        return;
    *slot = (struct told){c->id, c->state};
    say_call(p, c);
}

static void say_levels(struct plain *p)
{
    const struct model_call *c = ui_running_call(p->ui);
    char you[32] = "-", them[32] = "-";

    if (c == NULL) {
        say(p, "ERROR There is no call.");
        return;
    }
    if (c->is_muted)
        snprintf(you, sizeof you, "muted");
    else if (c->level_out_db != MODEL_UNKNOWN)
        snprintf(you, sizeof you, "%lld dB", (long long)c->level_out_db);
    if (c->level_in_db != MODEL_UNKNOWN)
        snprintf(them, sizeof them, "%lld dB", (long long)c->level_in_db);
    say(p, "You %s, them %s", you, them);
}

/* ---- requests ---- */

static void tell_requests(struct plain *p)
{
    const struct model_request *r;
    size_t n;

    r = model_requests(p->ui->model, false, &n);
    for (size_t i = p->n_requests; i < n; i++)
        say(p, "REQUEST %zu from \"%s\" %s, wants %s%s%s%s: requests allow %zu, requests block %zu", i + 1,
            r[i].name, r[i].id, r[i].wants, r[i].note[0] != '\0' ? ", \"" : "", r[i].note,
            r[i].note[0] != '\0' ? "\"" : "", i + 1, i + 1);
    p->n_requests = n;
}

/* ---- life ---- */

struct plain *plain_create(const struct ui_config *config, const struct env *env, ns_t now,
                           plain_say_cb say_cb, void *arg)
{
    struct plain *p = mem_alloc(sizeof *p);

    p->say = say_cb;
    p->arg = arg;
    p->ui = ui_create(config, env, now);
    ui_start_text(p->ui, UI_ROWS_WIDE, PLAIN_COLS);
    say(p, "ito, plain. help lists the commands, quit ends.");
    return p;
}

void plain_destroy(struct plain *p)
{
    if (p == NULL)
        return;
    ui_destroy(p->ui);
    mem_free(p);
}

bool plain_wants_quit(const struct plain *p)
{
    return ui_wants_quit(p->ui);
}

void plain_end(struct plain *p)
{
    p->ui->wants_quit = true;
}

/* ---- in ---- */

/* A number picks; false: it is none. */
static bool pick(struct plain *p, const char *text, ns_t now)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    const struct view_ops *ops = ui_view_ops(p->ui->view);

    if (text[0] < '0' || text[0] > '9' || *end != '\0')
        return false;
    ui_rows_update(p->ui);
    if (ops->count == NULL || n < 1 || n > p->ui->n_rows) {
        say(p, "ERROR There is no row %lu. contacts, requests and history list rows.", n);
        return true;
    }
    ui_select(p->ui, n - 1);
    p->has_pick = true;
    ui_command(p->ui, CMD_DETAILS, now);
    return true;
}

/* A word that means the picked row; false: it is none, or nothing was picked. */
static bool act_on_pick(struct plain *p, const char *text, ns_t now)
{
    static const struct {
        const char *word;
        enum command command;
    } words[] = {{"call", CMD_CALL},     {"allow", CMD_ALLOW},     {"block", CMD_BLOCK},
                 {"delete", CMD_DELETE}, {"details", CMD_DETAILS}, {"verify", CMD_VERIFY}};

    for (size_t i = 0; i < sizeof words / sizeof *words && p->has_pick; i++) {
        if (strcmp(text, words[i].word) == 0) {
            ui_command(p->ui, words[i].command, now);
            return true;
        }
    }
    return false;
}

void plain_line(struct plain *p, const char *text, ns_t now)
{
    unsigned n_shown = p->ui->n_shown;
    enum view_id before = p->ui->view;

    if (p->is_asking) {
        p->is_asking = false;
        ui_key(p->ui, text[0] == 'y' || text[0] == 'Y' ? 'y' : 'n', now);
    } else if (strcmp(text, "level") == 0) {
        say_levels(p);
    } else if (strcmp(text, "help") == 0) {
        cmdline_list(p->say, p->arg);
        say(p, "level");
        say(p, "A number picks a row of the last list: then call, allow, block, delete, details mean it.");
    } else if (!pick(p, text, now) && !act_on_pick(p, text, now)) {
        cmdline_run(p->ui, text, now);
    }
    if (p->ui->n_shown != n_shown && p->ui->view < VIEW_TABS) {
        p->wants_list = true;
        p->has_pick = p->has_pick && p->ui->view == before;
    }
    flush(p, "ERROR");
}

void plain_answer(struct plain *p, const char *json, ns_t now)
{
    cJSON *answer = cJSON_Parse(json);
    const char *text = json_str(answer, "text", "");
    bool is_ok = json_bool(answer, "ok", false), has_requests;

    has_requests = cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(answer, "in"));
    ui_answer(p->ui, json, now);
    if (!is_ok && p->ui->notice[0] != '\0' && strchr(text, '\n') != NULL) {
        p->ui->notice[0] = '\0'; /* the lines of a typing error, one below the other */
        say(p, "ERROR %.*s", (int)strcspn(text, "\n"), text);
        say_lines(p, strchr(text, '\n') + 1);
    }
    flush(p, is_ok ? "NOTICE" : "ERROR");
    if (has_requests && is_ok)
        tell_requests(p);
    cJSON_Delete(answer);
}

void plain_event(struct plain *p, const char *json, ns_t now)
{
    cJSON *event = cJSON_Parse(json);
    const cJSON *call = cJSON_GetObjectItemCaseSensitive(event, "call");
    const struct model_call *c;

    ui_event(p->ui, json, now);
    c = cJSON_IsObject(call) ? model_call_by_id(p->ui->model, (int64_t)json_num(call, "id", 0)) : NULL;
    if (c != NULL) {
        if (c->state == STATE_ENDED && strncmp(p->ui->notice, "Missed", 6) != 0)
            p->ui->notice[0] = '\0'; /* the line of the call says it */
        tell_call(p, c);
    }
    flush(p, "NOTICE");
    cJSON_Delete(event);
}

void plain_core_lost(struct plain *p, const char *text, ns_t now)
{
    ui_core_lost(p->ui, text, now);
    flush(p, "ERROR");
}
