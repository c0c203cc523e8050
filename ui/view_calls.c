/* 3 Calls: every attempt with its cause. */
#include <stdio.h>

#include "base/mem.h"
#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_CALL, CMD_NONE, "call back", "call", "call back"},
    {CMD_MESSAGE, CMD_NONE, "message", "msg", "write a message"},
    {CMD_DETAILS, CMD_NONE, "details", NULL, "cause and next step"},
    {CMD_FILTER, CMD_NONE, "filter", NULL, "filter by name or ID"},
    {CMD_DELETE, CMD_NONE, "delete", NULL, "delete from the list"},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
    {CMD_OPEN, CMD_NONE, NULL, NULL, "cause and next step"},
};

static const struct model_call *row(struct ui *ui, size_t i)
{
    size_t n;
    const struct model_call *calls = model_history(ui->model, &n);

    return i < n ? &calls[i] : NULL;
}

static size_t count(struct ui *ui)
{
    size_t n;

    model_history(ui->model, &n);
    return n;
}

static const char *key(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES])
{
    snprintf(out, LISTBOX_KEY_BYTES, "%lld %lld", (long long)row(ui, i)->id, (long long)row(ui, i)->since_ms);
    return out;
}

static bool matches(struct ui *ui, size_t i, const char *filter)
{
    return ui_contains(filter, row(ui, i)->name, row(ui, i)->peer);
}

static bool was_connected(const struct model_call *c)
{
    return c->length_s > 0;
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_call *c = row(ui, i);

    words_when(&f->time, c->since_ms, texts[0]);
    words_peer(c, texts[1]);
    snprintf(texts[2], WORDS_BYTES, "%s", c->is_outgoing ? "out" : "in");
    snprintf(texts[3], WORDS_BYTES, "%s", words_result(c));
    words_length_fine(was_connected(c) ? c->length_s : MODEL_UNKNOWN, texts[4]);
    snprintf(texts[5], WORDS_BYTES, "%s", was_connected(c) ? words_path_short(c->path) : "-");
    snprintf(texts[6], WORDS_BYTES, "%s", was_connected(c) && c->quality[0] != '\0' ? c->quality : "-");
}

static void cells_narrow(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    char all[TABLE_COLUMNS_MAX][WORDS_BYTES];
    const char *result = words_result(row(ui, i));

    cells(ui, f, i, all);
    words_day(&f->time, row(ui, i)->since_ms, texts[0]);
    memcpy(texts[1], all[1], WORDS_BYTES);
    snprintf(texts[2], WORDS_BYTES, "%s", strcmp(result, "answered") == 0 ? all[4] : result);
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column wide[] = {{"When", 13, false},   {"Who", 16, true},     {"Way", 5, false},
                                         {"Result", 17, false}, {"Length", 10, false}, {"Path", 9, false},
                                         {"Quality", 0, false}};
    struct column narrow[] = {{"", 7, false}, {"", f->cols - 3 - 7 - 16, false}, {"", 0, false}};
    struct table table = {
        .columns = wide, .n_columns = 7, .cells = cells, .empty = "No calls yet.", .has_head = true};

    screen_put(f->s, f->row, 1, 8, ui_style(ui, ROLE_TITLE), "Calls");
    screen_printf(f->s, f->row, 11, (size_t)f->cols - 11, 0, "missed %lld",
                  (long long)model_self(ui->model)->missed);
    if (f->is_narrow) {
        table.columns = narrow;
        table.n_columns = 3;
        table.cells = cells_narrow;
        table.has_head = false;
    }
    table_draw(ui, f, f->row + 1, f->rows - 1, &table);
}

static void show_details(struct ui *ui, const struct model_call *c)
{
    struct words_time time = ui_time(ui);
    char who[WORDS_BYTES], when[WORDS_BYTES], cause[WORDS_BYTES], length[WORDS_BYTES], path[WORDS_BYTES],
        *text;
    const char *next = words_next_step(c->cause);

    text = mem_printf(
        "Who       %s\nID        %s\nWhen      %s\nWay       %s\nEnded     %s\n%s%s%sLength    %s\n"
        "Path      %s\nQuality   %s\nCode      %s\n",
        words_peer(c, who), c->peer, words_when(&time, c->since_ms, when), c->is_outgoing ? "out" : "in",
        words_cause(c, model_contact_by_id(ui->model, c->peer), &time, cause),
        next[0] != '\0' ? "Next      " : "", next, next[0] != '\0' ? "\n" : "",
        words_length_fine(c->length_s, length), was_connected(c) ? words_path(c, path) : "-",
        c->quality[0] != '\0' ? c->quality : "-", c->code[0] != '\0' ? c->code : "-");
    ui_popup(ui, "Call", text);
    mem_free(text);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_call *c = row(ui, ui_selected(ui));
    char label[MODEL_TEXT_BYTES], who[WORDS_BYTES];

    if (command == CMD_HELP) {
        ui_popup_help(ui);
    } else if (c == NULL) {
        ui_notice(ui, now, "No call is selected.");
    } else if (command == CMD_CALL) {
        ui_call(ui, c->peer[0] != '\0' ? c->peer : c->name);
    } else if (command == CMD_MESSAGE) {
        snprintf(label, sizeof label, "Message to %.128s: ", words_peer(c, who));
        ui_prompt(ui, PROMPT_MESSAGE, label, c->peer, "");
    } else if (command == CMD_DELETE) {
        ui_ask_number(ui, "history_delete", "call", c->id);
    } else {
        show_details(ui, c);
    }
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "history");
    ui_ask(ui, "history_seen");
}

const struct view_ops view_calls = {
    .name = "Calls",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .matches = matches,
    .open = open_view,
};
