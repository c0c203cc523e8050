/* 2 Requests: people who cannot ring, and whom we asked. */
#include <stdio.h>

#include "base/mem.h"
#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_ALLOW, CMD_NONE, "allow", "allow", "allow: becomes a contact who may ring"},
    {CMD_BLOCK, CMD_NONE, "block", "block", "block"},
    {CMD_DELETE, CMD_NONE, "delete", "delete", "delete"},
    {CMD_DETAILS, CMD_NONE, "full ID and note", NULL, "full ID and note"},
    {CMD_VERIFY, CMD_NONE, "compare", NULL, "compare the safety number"},
    {CMD_LESS, CMD_MORE, "in/out", NULL, "received or sent"},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
    {CMD_COPY, CMD_NONE, NULL, NULL, "copy the ID"},
};

static const struct model_request *row(struct ui *ui, size_t i)
{
    size_t n;
    const struct model_request *requests = model_requests(ui->model, ui->views.requests_out, &n);

    return i < n ? &requests[i] : NULL;
}

static size_t count(struct ui *ui)
{
    size_t n;

    model_requests(ui->model, ui->views.requests_out, &n);
    return n;
}

static const char *key(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES])
{
    snprintf(out, LISTBOX_KEY_BYTES, "%s", row(ui, i)->id);
    return out;
}

static bool matches(struct ui *ui, size_t i, const char *filter)
{
    return ui_contains(filter, row(ui, i)->name, row(ui, i)->id);
}

/* Today's by the clock, older ones by the day. */
static void when(const struct frame *f, int64_t at_ms, char out[static WORDS_BYTES])
{
    words_day(&f->time, at_ms, out);
    if (strcmp(out, "today") == 0)
        words_clock(&f->time, at_ms, false, out);
}

/* A claimed name stands in quotes; one that equals a petname of mine says whose it is not. */
static void claimed(struct ui *ui, const struct model_request *r, char out[static WORDS_BYTES])
{
    size_t n;
    const struct model_contact *contacts = model_contacts(ui->model, &n);

    snprintf(out, WORDS_BYTES, r->name[0] != '\0' ? "\"%s\"" : "-", r->name);
    for (size_t i = 0; i < n && r->name[0] != '\0'; i++) {
        if (strcmp(contacts[i].name, r->name) == 0 && strcmp(contacts[i].id, r->id) != 0)
            snprintf(out, WORDS_BYTES, "\"%s\" (not your %s)", r->name, r->name);
    }
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_request *r = row(ui, i);

    when(f, r->when_ms, texts[0]);
    if (ui->views.requests_out)
        snprintf(texts[1], WORDS_BYTES, "%s", r->name[0] != '\0' ? r->name : "-");
    else
        claimed(ui, r, texts[1]);
    words_short_id(r->id, texts[2]);
    snprintf(texts[3], WORDS_BYTES, "%s", r->wants);
    words_number(r->tries, texts[4]);
    snprintf(texts[5], WORDS_BYTES, r->note[0] != '\0' ? "\"%.300s\"" : "%s", r->note);
}

static void cells_narrow(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    char all[TABLE_COLUMNS_MAX][WORDS_BYTES];

    cells(ui, f, i, all);
    memcpy(texts[0], all[0], WORDS_BYTES);
    memcpy(texts[1], all[1], WORDS_BYTES);
    memcpy(texts[2], all[3], WORDS_BYTES);
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column wide[] = {{"When", 7, false},  {"Claimed name", 17, true}, {"ID", 15, false},
                                         {"Wants", 9, false}, {"Tries", 7, false},        {"Note", 0, false}};
    static const struct column sent[] = {{"When", 7, false},  {"Name", 17, true},  {"ID", 15, false},
                                         {"Wants", 9, false}, {"Tries", 7, false}, {"Note", 0, false}};
    struct column narrow[] = {{"", 7, false}, {"", f->cols - 3 - 7 - 8, false}, {"", 0, false}};
    bool is_out = ui->views.requests_out;
    struct table table = {.columns = is_out ? sent : wide,
                          .n_columns = 6,
                          .cells = cells,
                          .empty = is_out ? "You have asked nobody." : "No requests.",
                          .has_head = true};
    size_t n_in, n_out;
    char dropped[WORDS_BYTES];
    int col;

    model_requests(ui->model, false, &n_in);
    model_requests(ui->model, true, &n_out);
    col = 1 + (int)screen_printf(f->s, f->row, 1, 8, ui_style(ui, is_out ? ROLE_TEXT : ROLE_TITLE), "In %zu",
                                 n_in);
    col += 3;
    col += (int)screen_printf(f->s, f->row, col, 8, ui_style(ui, is_out ? ROLE_TITLE : ROLE_TEXT), "Out %zu",
                              n_out);
    screen_put(f->s, f->row, f->is_narrow ? col + 2 : 21, (size_t)(f->cols - col - 2), 0,
               is_out         ? "These people have not answered yet."
               : f->is_narrow ? "cannot ring you"
                              : "These people cannot ring you.");
    if (!f->is_narrow && model_requests_dropped(ui->model) > 0) {
        char text[WORDS_BYTES + 32];

        snprintf(text, sizeof text, "dropped today: %s",
                 words_number(model_requests_dropped(ui->model), dropped));
        screen_put_right(f->s, f->row, f->cols - 1, 30, 0, text);
    }
    if (f->is_narrow) {
        table.columns = narrow;
        table.n_columns = 3;
        table.cells = cells_narrow;
        table.has_head = false;
    }
    table_draw(ui, f, f->row + 1, f->rows - 1, &table);
}

static void show_details(struct ui *ui, const struct model_request *r)
{
    char name[WORDS_BYTES], *text;

    claimed(ui, r, name);
    text =
        mem_printf("Claimed name  %s\nID            %s\nWants         %s\nNote          %s\n\n"
                   "A claimed name proves nothing. Compare the ID with the person before you allow them.\n",
                   name, r->id, r->wants, r->note[0] != '\0' ? r->note : "-");
    ui_popup(ui, "Request", text);
    mem_free(text);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_request *r = row(ui, ui_selected(ui));

    if (command == CMD_LESS || command == CMD_MORE) {
        ui->views.requests_out = !ui->views.requests_out;
        return;
    }
    if (command == CMD_HELP) {
        ui_popup_help(ui);
        return;
    }
    if (r == NULL) {
        ui_notice(ui, now, "No request is selected.");
        return;
    }
    if (command == CMD_ALLOW && !ui->views.requests_out)
        ui_ask_number(ui, "requests_allow", "n", r->n);
    else if (command == CMD_BLOCK && !ui->views.requests_out)
        ui_ask_number(ui, "requests_block", "n", r->n);
    else if (command == CMD_DELETE)
        ui_ask_number(ui, "requests_delete", "n", r->n);
    else if (command == CMD_DETAILS)
        show_details(ui, r);
    else if (command == CMD_VERIFY)
        ui_prompt(ui, PROMPT_ASK_VERIFY, "Did you compare the full ID with them (i shows it)? y/N ", r->id,
                  "");
    else if (command == CMD_COPY)
        ui_copy(ui, r->id, now);
    else
        ui_notice(ui, now, "Only for requests you received.");
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "requests");
}

const struct view_ops view_requests = {
    .name = "Requests",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .matches = matches,
    .open = open_view,
};
