/* 1 Contacts: who they are, whether they are there, who may ring. */
#include <stdio.h>

#include "base/mem.h"
#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_CALL, CMD_NONE, "call", "call", "call the selected contact"},
    {CMD_MESSAGE, CMD_NONE, "message", "msg", "write a message"},
    {CMD_DETAILS, CMD_NONE, "details", NULL, "full ID, safety number"},
    {CMD_NEW, CMD_NONE, "add", "add", "add a contact by ID"},
    {CMD_RENAME, CMD_NONE, "rename", NULL, "rename"},
    {CMD_BLOCK, CMD_NONE, "block", NULL, "block"},
    {CMD_FILTER, CMD_NONE, "filter", NULL, "filter by name or ID"},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
    {CMD_QUIT, CMD_NONE, "quit", NULL, NULL},
    {CMD_ALLOW, CMD_NONE, NULL, NULL, "allow: may ring me"},
    {CMD_NOTIFY, CMD_NONE, NULL, NULL, "tell me when online"},
    {CMD_VOICEMAIL, CMD_NONE, NULL, NULL, "leave voicemail"},
    {CMD_VERIFY, CMD_NONE, NULL, NULL, "compare the safety number"},
    {CMD_DELETE, CMD_NONE, NULL, NULL, "remove"},
    {CMD_UNDO, CMD_NONE, NULL, NULL, "undo (10 s)"},
    {CMD_COPY, CMD_NONE, NULL, NULL, "copy the ID"},
    {CMD_OPEN, CMD_NONE, NULL, NULL, "open the chat"},
};

static const struct model_contact *row(struct ui *ui, size_t i)
{
    size_t n;
    const struct model_contact *contacts = model_contacts(ui->model, &n);

    return i < n ? &contacts[i] : NULL;
}

static size_t count(struct ui *ui)
{
    size_t n;

    model_contacts(ui->model, &n);
    return n;
}

static const char *key(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES])
{
    const struct model_contact *c = row(ui, i);

    snprintf(out, LISTBOX_KEY_BYTES, "%s", c->id[0] != '\0' ? c->id : c->name);
    return out;
}

static bool matches(struct ui *ui, size_t i, const char *filter)
{
    const struct model_contact *c = row(ui, i);

    return ui_contains(filter, c->name[0] != '\0' ? c->name : c->claimed, c->id);
}

static enum role role(struct ui *ui, size_t i)
{
    static const enum role roles[] = {ROLE_TEXT, ROLE_ONLINE, ROLE_BUSY, ROLE_BUSY, ROLE_TEXT};

    return roles[row(ui, i)->presence];
}

/* "today 09:12  8 min", "Sat  missed", "12 Nov  1 h 02 min". */
static void last_call(const struct frame *f, const struct model_contact *c, char out[static WORDS_BYTES])
{
    char day[WORDS_BYTES], clock[WORDS_BYTES], length[WORDS_BYTES];
    const char *result = c->last_missed ? "missed" : words_length(c->last_length_s, length);

    words_day(&f->time, c->last_call_ms, out);
    if (c->last_call_ms == MODEL_UNKNOWN)
        return;
    memcpy(day, out, WORDS_BYTES);
    snprintf(out, WORDS_BYTES, "%.32s%s%.8s  %.32s", day, strcmp(day, "today") == 0 ? " " : "",
             strcmp(day, "today") == 0 ? words_clock(&f->time, c->last_call_ms, false, clock) : "",
             strcmp(result, "-") == 0 ? "" : result);
}

static void seen(const struct frame *f, const struct model_contact *c, char out[static WORDS_BYTES])
{
    if (c->list == LIST_BLOCKED)
        snprintf(out, WORDS_BYTES, "-");
    else if (c->presence == PRESENCE_ONLINE || c->presence == PRESENCE_AWAY || c->presence == PRESENCE_BUSY)
        snprintf(out, WORDS_BYTES, "now");
    else
        words_ago(&f->time, c->seen_ms, out);
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_contact *c = row(ui, i);

    snprintf(texts[0], WORDS_BYTES, "%s %s", words_presence_mark(c), words_presence(c));
    words_contact(c, texts[1]);
    snprintf(texts[2], WORDS_BYTES, "%s", words_list(c->list));
    snprintf(texts[3], WORDS_BYTES, "%s", c->list == LIST_BLOCKED ? "-" : c->is_verified ? "yes" : "no");
    last_call(f, c, texts[4]);
    seen(f, c, texts[5]);
}

static void cells_narrow(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_contact *c = row(ui, i);
    char *ago;

    snprintf(texts[0], WORDS_BYTES, "%s", words_presence_mark(c));
    words_contact(c, texts[1]);
    seen(f, c, texts[2]);
    ago = strstr(texts[2], " ago");
    if (ago != NULL)
        *ago = '\0';
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column wide[] = {{"State", 10, false},     {"Name", 19, true},
                                         {"List", 9, false},       {"Verified", 10, false},
                                         {"Last call", 21, false}, {"Seen", 0, false}};
    struct column narrow[] = {{"", 2, false}, {"", f->cols - 3 - 2 - 9, false}, {"", 0, false}};
    struct table table = {.columns = wide,
                          .n_columns = 6,
                          .cells = cells,
                          .role = role,
                          .empty = "Nobody yet. n adds your first contact, Q shows your own ID.",
                          .has_head = true};

    if (f->is_narrow) {
        table.columns = narrow;
        table.n_columns = 3;
        table.cells = cells_narrow;
        table.has_head = false;
        table.empty = "Nobody yet. n adds a contact.";
    }
    table_draw(ui, f, f->row, f->rows, &table);
}

static void show_details(struct ui *ui, const struct frame *f, const struct model_contact *c)
{
    char seen_text[WORDS_BYTES], last[WORDS_BYTES], *text;

    seen(f, c, seen_text);
    last_call(f, c, last);
    text = mem_printf(
        "Name       %s\nID         %s\n%s%s%sThey say   \"%s\"\nList       %s\nState      %s\nSeen       %s\n"
        "Last call  %s\nVerified   %s\nSafety number (the same on both sides):\n%s\n",
        c->name[0] != '\0' ? c->name : "-", c->id, c->former[0] != '\0' ? "Before     " : "", c->former,
        c->former[0] != '\0' ? "  (refused now)\n" : "", c->claimed, words_list(c->list), words_presence(c),
        seen_text, last, c->is_verified ? "yes" : "no", c->safety[0] != '\0' ? c->safety : "  not known yet");
    ui_popup(ui, "Contact", text);
    mem_free(text);
}

static void ask_verify(struct ui *ui, const struct model_contact *c, ns_t now)
{
    if (c->safety[0] != '\0')
        ui_notice(ui, now, "%s", c->safety);
    ui_prompt(ui, PROMPT_ASK_VERIFY, "Does the safety number match theirs? y/N ", c->id, "");
}

static void write_to(struct ui *ui, const struct model_contact *c)
{
    char label[MODEL_TEXT_BYTES], who[WORDS_BYTES];

    snprintf(label, sizeof label, "Message to %.128s: ", words_contact(c, who));
    ui_prompt(ui, PROMPT_MESSAGE, label, c->id, "");
}

/* Commands on the selected contact. */
static void act_on(struct ui *ui, const struct model_contact *c, enum command command, ns_t now)
{
    const char *ref = c->id[0] != '\0' ? c->id : c->name; /* the echo of this computer may have no ID */
    struct frame f = {.time = ui_time(ui), .now = now};

    if (command == CMD_CALL)
        ui_call(ui, ref);
    else if (command == CMD_MESSAGE)
        write_to(ui, c);
    else if (command == CMD_DETAILS)
        show_details(ui, &f, c);
    else if (command == CMD_RENAME)
        ui_prompt(ui, PROMPT_RENAME, "New name: ", c->id, c->name);
    else if (command == CMD_BLOCK)
        ui_ask_text(ui, "contacts_block", "contact", ref);
    else if (command == CMD_ALLOW)
        ui_ask_text(ui, "contacts_allow", "contact", ref);
    else if (command == CMD_DELETE)
        ui_ask_text(ui, "contacts_remove", "contact", ref);
    else if (command == CMD_NOTIFY)
        ui_ask_text(ui, "notify", "contact", ref);
    else if (command == CMD_VOICEMAIL)
        ui_ask_text(ui, "voicemail_leave", "to", ref);
    else if (command == CMD_VERIFY)
        ask_verify(ui, c, now);
    else if (command == CMD_COPY)
        ui_copy(ui, c->id, now);
    else if (command == CMD_OPEN) {
        snprintf(ui->views.chat_peer, sizeof ui->views.chat_peer, "%s", c->id);
        ui_show(ui, VIEW_CHAT, now);
    }
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_contact *c = row(ui, ui_selected(ui));

    if (command == CMD_NEW)
        ui_prompt(ui, PROMPT_ADD_ID, "ID: ", "", "");
    else if (command == CMD_UNDO && now >= ui->undo_until)
        ui_notice(ui, now, "Nothing to undo: a change can be undone for 10 s.");
    else if (command == CMD_UNDO)
        ui_ask(ui, "contacts_undo");
    else if (command == CMD_HELP)
        ui_popup_help(ui);
    else if (command == CMD_QUIT)
        ui_quit(ui, now);
    else if (c == NULL)
        ui_notice(ui, now, "No contact is selected. n adds one.");
    else
        act_on(ui, c, command, now);
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "contacts");
}

const struct view_ops view_contacts = {
    .name = "Contacts",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .matches = matches,
    .open = open_view,
};
