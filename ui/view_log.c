/* 9 Log: the last UI_LOG_LINES lines. In process they come by ui_log(), from a daemon by the request `log`. */
#include <stdio.h>

#include "base/mem.h"
#include "base/log.h"
#include "base/utf8.h"
#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_LEVEL, CMD_NONE, "level", "level", "show more or less"},
    {CMD_FOLLOW, CMD_NONE, "follow", "follow", "stay at the end"},
    {CMD_FILTER, CMD_NONE, "search", "search", "show lines with a text"},
    {CMD_COPY, CMD_NONE, "copy line", NULL, "copy the line"},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
};

void log_add(struct ui *ui, enum log_level level, int64_t at_ms, const char *text)
{
    struct ui_views *v = &ui->views;
    struct log_line *line;

    if (v->log == NULL)
        v->log = mem_array(UI_LOG_LINES, sizeof *v->log);
    if (v->n_log == UI_LOG_LINES)
        memmove(v->log, v->log + 1, --v->n_log * sizeof *v->log);
    line = &v->log[v->n_log++];
    line->at_ms = at_ms;
    line->level = level;
    utf8_clean(text, strlen(text), line->text, sizeof line->text);
}

static enum log_level level_of(const char *name)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(log_level_name((enum log_level)i), name) == 0)
            return (enum log_level)i;
    }
    return LOG_INFO;
}

void log_answer(struct ui *ui, const cJSON *answer)
{
    const cJSON *line;

    ui->views.n_log = 0;
    cJSON_ArrayForEach(line, cJSON_GetObjectItemCaseSensitive(answer, "lines"))
    {
        if (cJSON_IsObject(line))
            log_add(ui, level_of(json_str(line, "level", "info")), model_time_ms(json_str(line, "at", "")),
                    json_str(line, "text", ""));
    }
}

static size_t count(struct ui *ui)
{
    return ui->views.n_log;
}

/* The level hides lines in the same way as the search. */
static bool matches(struct ui *ui, size_t i, const char *filter)
{
    return ui->views.log[i].level <= ui->views.log_level && strstr(ui->views.log[i].text, filter) != NULL;
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct log_line *line = &ui->views.log[i];
    char clock[WORDS_BYTES];

    snprintf(texts[0], WORDS_BYTES, "%.8s %-5s %s", words_clock(&f->time, line->at_ms, true, clock),
             log_level_name(line->level), line->text);
}

static enum role role(struct ui *ui, size_t i)
{
    static const enum role roles[] = {ROLE_BAD, ROLE_WARN, ROLE_TEXT, ROLE_FAINT};

    return roles[ui->views.log[i].level];
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column columns[] = {{"", 0, false}};
    const struct table table = {
        .columns = columns, .n_columns = 1, .cells = cells, .role = role, .empty = "Nothing was logged yet."};

    screen_put(f->s, f->row, 1, 4, ui_style(ui, ROLE_TITLE), "Log");
    screen_printf(f->s, f->row, 7, (size_t)f->cols - 7, 0, "level %s   follow %s",
                  log_level_name(ui->views.log_level), ui->views.log_stopped ? "off" : "on");
    if (!ui->views.log_stopped)
        listbox_to(&ui->lists[VIEW_LOG], ui->n_rows);
    table_draw(ui, f, f->row + 1, f->rows - 1, &table);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    size_t i = ui_selected(ui);

    if (command == CMD_LEVEL)
        ui->views.log_level = (ui->views.log_level + 1) % (LOG_DEBUG + 1);
    else if (command == CMD_FOLLOW)
        ui->views.log_stopped = !ui->views.log_stopped;
    else if (command == CMD_HELP)
        ui_popup_help(ui);
    else if (i != SIZE_MAX)
        ui_copy(ui, ui->views.log[i].text, now);
}

static void open_view(struct ui *ui)
{
    if (ui->config.has_daemon)
        ui_ask(ui, "log");
}

const struct view_ops view_log = {
    .name = "Log",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .matches = matches,
    .open = open_view,
};
