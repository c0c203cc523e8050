/* 5 Voice: messages left on the answering machine. */
#include <stdio.h>

#include "ui/meter.h"
#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_PLAY, CMD_NONE, "play/pause", "play", "play or pause"},
    {CMD_LESS, CMD_MORE, "5 s back/on", NULL, "5 s back, on"},
    {CMD_CALL, CMD_NONE, "call back", "call", "call back"},
    {CMD_DELETE, CMD_NONE, "delete", "delete", "delete"},
    {CMD_LINE, CMD_NONE, "export", NULL, NULL},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
    {CMD_OPEN, CMD_NONE, NULL, NULL, "play or pause"},
};

static const struct model_voicemail *row(struct ui *ui, size_t i)
{
    size_t n;
    const struct model_voicemail *v = model_voicemails(ui->model, &n);

    return i < n ? &v[i] : NULL;
}

static size_t count(struct ui *ui)
{
    size_t n;

    model_voicemails(ui->model, &n);
    return n;
}

static const char *key(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES])
{
    snprintf(out, LISTBOX_KEY_BYTES, "%lld", (long long)row(ui, i)->n);
    return out;
}

static bool matches(struct ui *ui, size_t i, const char *filter)
{
    return ui_contains(filter, row(ui, i)->name, row(ui, i)->id);
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_voicemail *v = row(ui, i);
    char bar[METER_BYTES];

    words_when(&f->time, v->when_ms, texts[0]);
    if (v->name[0] != '\0')
        snprintf(texts[1], WORDS_BYTES, "%s", v->name);
    else
        words_short_id(v->id, texts[1]);
    snprintf(texts[2], WORDS_BYTES, v->length_s < 0 ? "-" : "%lld:%02lld", (long long)(v->length_s / 60),
             (long long)(v->length_s % 60));
    snprintf(texts[3], WORDS_BYTES, "%s", v->is_new ? "new" : "heard");
    if (v->position_s > 0 || v->is_playing)
        snprintf(texts[4], WORDS_BYTES, "%s  %lld:%02lld", meter_bar(v->position_s, v->length_s, 10, bar),
                 (long long)(v->position_s / 60), (long long)(v->position_s % 60));
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column wide[] = {
        {"When", 13, false}, {"From", 16, true}, {"Length", 8, false}, {"State", 9, false}, {"", 0, false}};
    static const struct column narrow[] = {{"", 13, false}, {"", 14, false}, {"", 0, false}};
    struct table table = {.columns = f->is_narrow ? narrow : wide,
                          .n_columns = f->is_narrow ? 3 : 5,
                          .cells = cells,
                          .empty = "No voicemail.",
                          .has_head = !f->is_narrow};
    size_t n, fresh = 0;
    const struct model_voicemail *v = model_voicemails(ui->model, &n);

    for (size_t i = 0; i < n; i++)
        fresh += v[i].is_new;
    screen_put(f->s, f->row, 1, 10, ui_style(ui, ROLE_TITLE), "Voicemail");
    screen_printf(f->s, f->row, 13, (size_t)f->cols - 13, 0, "%zu new of %zu%s", fresh, n,
                  f->is_narrow ? "" : "        greeting: - (:greeting record)");
    table_draw(ui, f, f->row + 1, f->rows - 1, &table);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_voicemail *v = row(ui, ui_selected(ui));
    cJSON *o;

    if (command == CMD_HELP) {
        ui_popup_help(ui);
    } else if (command == CMD_LINE) {
        ui_prompt(ui, PROMPT_COMMAND, ":", "", "");
    } else if (v == NULL) {
        ui_notice(ui, now, "No voicemail is selected.");
    } else if (command == CMD_PLAY || command == CMD_OPEN) {
        ui_ask_number(ui, "voicemail_play", "n", v->n);
        ui_ask(ui, "voicemail");
    } else if (command == CMD_CALL) {
        ui_call(ui, v->id);
    } else if (command == CMD_DELETE) {
        ui_ask_number(ui, "voicemail_delete", "n", v->n);
    } else {
        o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "n", (double)v->n);
        cJSON_AddNumberToObject(o, "seconds", command == CMD_MORE ? 5 : -5);
        ui_ask_take(ui, "voicemail_seek", o);
    }
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "voicemail");
}

const struct view_ops view_voicemail = {
    .name = "Voice",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .matches = matches,
    .open = open_view,
};
