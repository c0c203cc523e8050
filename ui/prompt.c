/* Input lines and questions in the command row. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ui/ui_state.h"

#define MESSAGE_CHARS   1000
#define MESSAGE_WARN    900
#define PETNAME_BYTES   64
#define PETNAME_COLUMNS 32

bool prompt_is_question(enum prompt_kind kind)
{
    return kind >= PROMPT_ASK_VERIFY;
}

void ui_prompt(struct ui *ui, enum prompt_kind kind, const char *label, const char *subject, const char *text)
{
    struct prompt *p = &ui->prompt;

    p->kind = kind;
    snprintf(p->label, sizeof p->label, "%s", label);
    snprintf(p->subject, sizeof p->subject, "%s", subject);
    lineedit_set(&p->edit, text);
    p->n_tabs = 0;
    ui->is_dirty = true;
}

void prompt_close(struct ui *ui)
{
    ui->prompt.kind = PROMPT_NONE;
    lineedit_set(&ui->prompt.edit, "");
}

static size_t characters(const char *text)
{
    struct slice rest = slice_str(text);
    size_t n = 0;

    for (; rest.len > 0; n++)
        utf8_next(&rest);
    return n;
}

/* ---- what is done with a finished line ---- */

/* The claimed name of `ito:ID?name=Taro`, to begin the name with. */
static void claimed_name(const char *id, char out[static MODEL_NAME_BYTES])
{
    const char *at = strstr(id, "name=");
    size_t n = at != NULL ? strcspn(at + 5, "& ") : 0;

    utf8_clean(at != NULL ? at + 5 : "", n, out, MODEL_NAME_BYTES);
}

static void id_done(struct ui *ui, const char *text, ns_t now)
{
    char name[MODEL_NAME_BYTES];

    if (text[0] == '\0')
        return;
    (void)now;
    ui_ask_text(ui, "contacts_check", "contact", text); /* a no brings the line back */
    snprintf(ui->prompt.kept, sizeof ui->prompt.kept, "%s", text);
    claimed_name(text, name);
    ui_prompt(ui, PROMPT_ADD_NAME, "Name for this contact: ", "", name);
}

static bool is_petname(struct ui *ui, const char *name, ns_t now)
{
    if (strlen(name) <= PETNAME_BYTES && utf8_columns(name, strlen(name), false) <= PETNAME_COLUMNS)
        return true;
    ui_notice(ui, now, "A name has at most %d bytes and %d columns.", PETNAME_BYTES, PETNAME_COLUMNS);
    return false;
}

static void ask_two(struct ui *ui, const char *cmd, const char *key1, const char *text1, const char *key2,
                    const char *text2)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, key1, text1);
    cJSON_AddStringToObject(o, key2, text2);
    ui_ask_take(ui, cmd, o);
}

static void add_done(struct ui *ui, const char *name, ns_t now)
{
    if (!is_petname(ui, name, now))
        return;
    if (name[0] != '\0')
        ask_two(ui, "contacts_add", "id", ui->prompt.kept, "name", name);
    else
        ui_ask_text(ui, "contacts_add", "id", ui->prompt.kept);
}

static void message_done(struct ui *ui, const char *to, const char *text, ns_t now)
{
    if (text[0] == '\0')
        return;
    if (characters(text) > MESSAGE_CHARS) {
        ui_notice(ui, now, "A message has at most %d characters; this one has %zu.", MESSAGE_CHARS,
                  characters(text));
        return;
    }
    ask_two(ui, "message", "to", to, "text", text);
}

/* Calls, then kbit/s, then GB a month, each begun with what holds now. */
static void limit_done(struct ui *ui, enum prompt_kind kind, const char *text)
{
    const struct model_service *s = model_service(ui->model);
    char now[32] = "";

    if (text[0] == '\0')
        return;
    ask_two(ui, "config_set", "key",
            kind == PROMPT_LIMIT_CALLS  ? "relay.max_calls"
            : kind == PROMPT_LIMIT_KBPS ? "relay.max_kbps"
                                        : "relay.monthly_gb",
            "value", text);
    if (kind == PROMPT_LIMIT_CALLS) {
        if (s->max_kbps != MODEL_UNKNOWN)
            snprintf(now, sizeof now, "%lld", (long long)s->max_kbps);
        ui_prompt(ui, PROMPT_LIMIT_KBPS, "Limit, kbit/s: ", "", now);
    } else if (kind == PROMPT_LIMIT_KBPS) {
        if (s->month_max_bytes != MODEL_UNKNOWN)
            snprintf(now, sizeof now, "%lld", (long long)(s->month_max_bytes / 1000000000));
        ui_prompt(ui, PROMPT_LIMIT_GB, "Limit, GB a month (0 none): ", "", now);
    }
}

/* Act on the line; the prompt is closed already, and may be opened again. */
static void prompt_done(struct ui *ui, enum prompt_kind kind, const char *subject, const char *text, ns_t now)
{
    switch (kind) {
    case PROMPT_COMMAND:
        cmdline_run(ui, text, now);
        break;
    case PROMPT_ADD_ID:
        id_done(ui, text, now);
        break;
    case PROMPT_ADD_NAME:
        add_done(ui, text, now);
        break;
    case PROMPT_RENAME:
        if (text[0] != '\0' && is_petname(ui, text, now))
            ask_two(ui, "contacts_rename", "contact", subject, "name", text);
        break;
    case PROMPT_MESSAGE:
        message_done(ui, subject, text, now);
        break;
    case PROMPT_DECLINE_MESSAGE:
        ui_ask(ui, "decline");
        message_done(ui, subject, text, now);
        break;
    case PROMPT_SETTING:
        ask_two(ui, "config_set", "key", subject, "value", text);
        break;
    case PROMPT_LIMIT_CALLS:
    case PROMPT_LIMIT_KBPS:
    case PROMPT_LIMIT_GB:
        limit_done(ui, kind, text);
        break;
    default:
        break;
    }
}

static void answered_yes(struct ui *ui, enum prompt_kind kind, const char *subject)
{
    cJSON *o = cJSON_CreateObject();

    if (kind == PROMPT_ASK_VERIFY) {
        cJSON_AddStringToObject(o, "contact", subject);
        cJSON_AddBoolToObject(o, "on", true);
        ui_ask_take(ui, "verify", o);
        return;
    }
    cJSON_Delete(o);
    if (kind == PROMPT_ASK_NEVER)
        ui_ask_text(ui, "relays_never", "id", subject);
    if (kind == PROMPT_ASK_QUIT) {
        ui_ask(ui, "hangup");
        ui->wants_quit = true;
    }
}

static void question_key(struct ui *ui, uint32_t key)
{
    enum prompt_kind kind = ui->prompt.kind;
    char subject[MODEL_TEXT_BYTES];

    memcpy(subject, ui->prompt.subject, sizeof subject);
    if (key != 'y' && key != 'n' && key != K_ESC && key != K_ENTER && key != K_CTRL('C'))
        return;
    prompt_close(ui);
    if (key == 'y')
        answered_yes(ui, kind, subject);
}

/* `t`: digits go out as typed. */
static void tones_key(struct ui *ui, uint32_t key)
{
    char digit[2] = {(char)key, '\0'};

    if (key == K_ESC || key == K_ENTER || key == K_CTRL('C')) {
        prompt_close(ui);
    } else if (key < 0x80 && strchr("0123456789*#ABCDabcd", (int)key) != NULL && key != 0) {
        lineedit_key(&ui->prompt.edit, key);
        ui_ask_text(ui, "dtmf", "digits", digit);
    }
}

static void filter_changed(struct ui *ui)
{
    if (ui->prompt.kind == PROMPT_FILTER)
        utf8_clean(ui->prompt.edit.text, strlen(ui->prompt.edit.text), ui->filters[ui->view],
                   UI_FILTER_BYTES);
    if (ui->prompt.kind == PROMPT_HELP_FIND) {
        utf8_clean(ui->prompt.edit.text, strlen(ui->prompt.edit.text), ui->popup.find, sizeof ui->popup.find);
        ui->popup.top = 0;
    }
}

void prompt_key(struct ui *ui, uint32_t key, ns_t now)
{
    struct prompt *p = &ui->prompt;
    enum prompt_kind kind = p->kind;
    char text[LINEEDIT_BYTES], subject[MODEL_TEXT_BYTES];
    enum lineedit_result result;

    if (prompt_is_question(kind) || kind == PROMPT_TONES) {
        prompt_is_question(kind) ? question_key(ui, key) : tones_key(ui, key);
        return;
    }
    result = lineedit_key(&p->edit, key);
    if (result == LINEEDIT_COMPLETE) {
        p->n_tabs++;
        if (kind == PROMPT_COMMAND)
            cmdline_complete(ui, now);
        return;
    }
    p->n_tabs = 0;
    if (result == LINEEDIT_CANCEL) {
        lineedit_set(&p->edit, "");
        filter_changed(ui);
        prompt_close(ui);
        return;
    }
    filter_changed(ui);
    if (result != LINEEDIT_ENTER)
        return;
    memcpy(text, p->edit.text, p->edit.len + 1);
    memcpy(subject, p->subject, sizeof subject);
    if (kind == PROMPT_COMMAND && strstr(text, "phrase") == NULL)
        lineedit_remember(&p->edit);
    prompt_close(ui);
    prompt_done(ui, kind, subject, text, now);
    mem_wipe(text, sizeof text); /* it may have been a recovery phrase */
}

void prompt_draw(struct ui *ui, const struct frame *f, int row)
{
    const struct prompt *p = &ui->prompt;
    char label[MODEL_TEXT_BYTES + 32], head[LINEEDIT_BYTES];
    const char *text = p->edit.text;
    size_t n = characters(text), label_width, room, caret;

    snprintf(label, sizeof label, "%s", p->label);
    if ((p->kind == PROMPT_MESSAGE || p->kind == PROMPT_DECLINE_MESSAGE) && n >= MESSAGE_WARN)
        snprintf(label, sizeof label, "%zu of %d  %s", n, MESSAGE_CHARS, p->label);
    screen_fill(f->s, row, 0, (size_t)f->cols, 0);
    label_width = screen_put(f->s, row, 0, (size_t)f->cols, ui_style(ui, ROLE_TITLE), label);
    room = label_width + 2 < (size_t)f->cols ? (size_t)f->cols - label_width - 1 : 1;
    memcpy(head, text, p->edit.caret);
    head[p->edit.caret] = '\0';
    caret = utf8_columns(head, p->edit.caret, ui->config.is_ambiguous_wide);
    /* A line longer than the row: begin so that the caret is the last column. */
    while (caret > room) {
        struct slice rest = slice_str(text);

        caret -= utf8_width(utf8_next(&rest), ui->config.is_ambiguous_wide);
        text = (const char *)rest.data;
    }
    n = utf8_fit(text, strlen(text), room, ui->config.is_ambiguous_wide);
    memcpy(head, text, n);
    head[n] = '\0';
    screen_put(f->s, row, (int)label_width, room + 1, 0, head);
    screen_set_cursor(f->s, row, (int)(label_width + caret));
}
