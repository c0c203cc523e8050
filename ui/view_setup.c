/* 8 Setup: the settings, with their defaults. The core checks; a bad value leaves the old one. */
#include <stdio.h>

#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_OPEN, CMD_NONE, "edit", "edit", "edit the value"},
    {CMD_UNDO, CMD_NONE, "undo", NULL, "undo the last change"},
    {CMD_FILTER, CMD_NONE, "find", "find", "find a key"},
    {CMD_DEFAULT, CMD_NONE, "back to default", "default", "back to the default"},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
};

static const struct model_setting *row(struct ui *ui, size_t i)
{
    size_t n;
    const struct model_setting *settings = model_settings(ui->model, &n);

    return i < n ? &settings[i] : NULL;
}

static size_t count(struct ui *ui)
{
    size_t n;

    model_settings(ui->model, &n);
    return n;
}

static const char *key(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES])
{
    snprintf(out, LISTBOX_KEY_BYTES, "%s", row(ui, i)->key);
    return out;
}

static bool matches(struct ui *ui, size_t i, const char *filter)
{
    return ui_contains(filter, row(ui, i)->key, row(ui, i)->meaning);
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_setting *s = row(ui, i);

    (void)f;
    if (s == NULL)
        return;
    snprintf(texts[0], WORDS_BYTES, "%s", s->key);
    snprintf(texts[1], WORDS_BYTES, "%s", s->value[0] != '\0' ? s->value : "\"\"");
    snprintf(texts[2], WORDS_BYTES, "%s", s->standard[0] != '\0' ? s->standard : "\"\"");
    snprintf(texts[3], WORDS_BYTES, "%s", s->meaning);
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column wide[] = {
        {"Key", 23, false}, {"Value", 12, false}, {"Default", 11, false}, {"Meaning", 0, true}};
    struct column narrow[] = {{"Key", 23, false}, {"Value", 0, false}};
    struct table table = {.columns = wide, .n_columns = 4, .cells = cells, .has_head = true};
    char text[2 * MODEL_TEXT_BYTES];

    screen_put(f->s, f->row, 1, 6, ui_style(ui, ROLE_TITLE), "Setup");
    snprintf(text, sizeof text, "changed %zu   file: %s   saved", ui->views.settings_changed,
             model_settings_file(ui->model));
    if (f->is_narrow) {
        table.columns = narrow;
        table.n_columns = 2;
        screen_put(f->s, f->row, 8, (size_t)f->cols - 8, 0, text);
    } else {
        screen_put(f->s, f->row, 43, (size_t)f->cols - 43, 0, text);
    }
    table_draw(ui, f, f->row + 1, f->rows - 1, &table);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_setting *s = row(ui, ui_selected(ui));
    char label[MODEL_TEXT_BYTES];
    cJSON *o;

    if (command == CMD_HELP) {
        ui_popup_help(ui);
    } else if (command == CMD_UNDO) {
        ui_ask(ui, "config_undo");
        ui_ask(ui, "config_show");
    } else if (s == NULL) {
        ui_notice(ui, now, "No key is selected.");
    } else if (command == CMD_OPEN) {
        snprintf(label, sizeof label, "%s = ", s->key);
        ui_prompt(ui, PROMPT_SETTING, label, s->key, s->value);
    } else {
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "key", s->key);
        cJSON_AddStringToObject(o, "value", s->standard);
        ui_ask_take(ui, "config_set", o);
    }
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "config_show");
}

const struct view_ops view_setup = {
    .name = "Setup",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .matches = matches,
    .open = open_view,
};
