/* 4 Chat: messages with one person; without a person, those with anybody. */
#include <stdio.h>

#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_OPEN, CMD_NONE, "write", "write", "write a message"},
    {CMD_CALL, CMD_NONE, "call", "call", "call"},
    {CMD_PAGE_UP, CMD_NONE, NULL, NULL, "older"},
    {CMD_FILTER, CMD_NONE, "search", "search", "search"},
    {CMD_BACK, CMD_NONE, "back", NULL, "back to the contacts"},
    {CMD_RENAME, CMD_NONE, NULL, NULL, "retry a failed message"},
    {CMD_MESSAGE, CMD_NONE, NULL, NULL, "write a message"},
    {CMD_HELP, CMD_NONE, NULL, "help", NULL},
};

static const struct model_message *row(struct ui *ui, size_t i)
{
    size_t n;
    const struct model_message *messages = model_messages(ui->model, &n);

    return i < n ? &messages[i] : NULL;
}

static size_t count(struct ui *ui)
{
    size_t n;

    model_messages(ui->model, &n);
    return n;
}

static const char *key(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES])
{
    snprintf(out, LISTBOX_KEY_BYTES, "%lld", (long long)row(ui, i)->n);
    return out;
}

/* Only the person of this chat; the filter is a text to search. */
static bool matches(struct ui *ui, size_t i, const char *filter)
{
    const struct model_message *m = row(ui, i);

    return (ui->views.chat_peer[0] == '\0' || strcmp(m->peer, ui->views.chat_peer) == 0) &&
           strstr(m->text, filter) != NULL;
}

static void peer_name(struct ui *ui, const char *id, char out[static WORDS_BYTES])
{
    const struct model_contact *c = model_contact_by_id(ui->model, id);

    if (c != NULL)
        words_contact(c, out);
    else
        words_short_id(id, out);
}

/* "waiting (offline)", "failed: offline"; nothing for what has arrived. */
static void state_words(const struct model_message *m, char out[static WORDS_BYTES])
{
    out[0] = '\0';
    if (!m->is_outgoing)
        return;
    if (strcmp(m->state, "waiting") == 0)
        snprintf(out, WORDS_BYTES, "waiting (offline)");
    else if (strcmp(m->state, "failed") == 0)
        snprintf(out, WORDS_BYTES, "failed: %s", m->cause);
    else
        snprintf(out, WORDS_BYTES, "%s", m->state);
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_message *m = row(ui, i);
    char day[WORDS_BYTES], clock[WORDS_BYTES];

    words_day(&f->time, m->when_ms, day);
    snprintf(texts[0], WORDS_BYTES, "%.16s%s%.8s", strcmp(day, "today") == 0 ? "" : day,
             strcmp(day, "today") == 0 ? "" : " ", words_clock(&f->time, m->when_ms, false, clock));
    if (m->is_outgoing)
        snprintf(texts[1], WORDS_BYTES, "%s",
                 model_self(ui->model)->name[0] ? model_self(ui->model)->name : "you");
    else
        peer_name(ui, m->peer, texts[1]);
    snprintf(texts[2], WORDS_BYTES, "%.500s", m->text);
    state_words(m, texts[3]);
}

static void draw(struct ui *ui, const struct frame *f)
{
    const struct column wide[] = {
        {"", 11, false}, {"", 12, false}, {"", f->cols - 3 - 23 - 18, false}, {"", 0, false}};
    const struct column narrow[] = {{"", 10, false}, {"", 8, false}, {"", 0, false}};
    const struct model_contact *c = model_contact_by_id(ui->model, ui->views.chat_peer);
    struct table table = {.columns = f->is_narrow ? narrow : wide,
                          .n_columns = f->is_narrow ? 3 : 4,
                          .cells = cells,
                          .empty = "No messages yet."};
    char who[WORDS_BYTES];
    int col = 1;

    if (ui->views.chat_peer[0] == '\0') {
        screen_put(f->s, f->row, 1, (size_t)f->cols - 1, ui_style(ui, ROLE_TITLE), "Chat");
    } else {
        peer_name(ui, ui->views.chat_peer, who);
        col += (int)screen_printf(f->s, f->row, 1, (size_t)f->cols - 14, ui_style(ui, ROLE_TITLE),
                                  "Chat with %s", who);
        if (c != NULL && c->is_verified)
            screen_put(f->s, f->row, col + 3, 8, 0, "verified");
    }
    table_draw(ui, f, f->row + 1, f->rows - 1, &table);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    size_t i = ui_selected(ui);
    const struct model_message *m = i != SIZE_MAX ? row(ui, i) : NULL;
    const char *peer = ui->views.chat_peer[0] != '\0' ? ui->views.chat_peer : m != NULL ? m->peer : "";
    char label[MODEL_TEXT_BYTES], who[WORDS_BYTES];

    if (command == CMD_HELP) {
        ui_popup_help(ui);
    } else if (command == CMD_BACK) {
        ui->views.chat_peer[0] = '\0';
        ui_show(ui, VIEW_CONTACTS, now);
    } else if (peer[0] == '\0') {
        ui_notice(ui, now, "Choose a contact first: 1, then Enter.");
    } else if (command == CMD_CALL) {
        ui_call(ui, peer);
    } else if (command == CMD_RENAME) {
        if (m != NULL && strcmp(m->state, "failed") == 0)
            ui_ask_number(ui, "message_retry", "n", m->n);
        else
            ui_notice(ui, now, "Only a failed message can be sent again.");
    } else {
        peer_name(ui, peer, who);
        snprintf(label, sizeof label, "Message to %.128s: ", who);
        ui_prompt(ui, PROMPT_MESSAGE, label, peer, "");
    }
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "messages");
}

const struct view_ops view_chat = {
    .name = "Chat",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .matches = matches,
    .open = open_view,
};
