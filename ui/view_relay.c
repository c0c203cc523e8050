/* 7 Relay: what this machine carries for others. No names and no IDs of the people relayed. */
#include <stdio.h>

#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_ONOFF, CMD_NONE, "on/off", "on/off", "relay on or off"},
    {CMD_LIMITS, CMD_NONE, "limits", "limits", "calls, kbit/s and GB a month at most"},
    {CMD_DRAIN, CMD_NONE, "drain: finish calls, take no new", "drain", "finish calls, take no new"},
    {CMD_DETAILS, CMD_NONE, "details", NULL, "what is seen, and what is not"},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
};

static size_t count(struct ui *ui)
{
    return model_service(ui->model)->n_forwards;
}

static const char *key(struct ui *ui, size_t i, char out[static LISTBOX_KEY_BYTES])
{
    snprintf(out, LISTBOX_KEY_BYTES, "%lld", (long long)model_service(ui->model)->forwards[i].n);
    return out;
}

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_forward *w = &model_service(ui->model)->forwards[i];
    int64_t age = w->since_ms != MODEL_UNKNOWN ? (f->time.now_ms - w->since_ms) / 1000 : 0;

    snprintf(texts[0], WORDS_BYTES, "%lld", (long long)w->n);
    snprintf(texts[1], WORDS_BYTES, "hidden");
    words_running_long(age, texts[2]);
    snprintf(texts[3], WORDS_BYTES, w->kbps < 0 ? "-" : "%.0f kbit/s", w->kbps);
    words_number(w->packets, texts[4]);
    words_number(w->lost, texts[5]);
}

static void cells_narrow(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    char all[TABLE_COLUMNS_MAX][WORDS_BYTES];

    cells(ui, f, i, all);
    memcpy(texts[0], all[0], WORDS_BYTES);
    memcpy(texts[1], all[2], WORDS_BYTES);
    memcpy(texts[2], all[3], WORDS_BYTES);
}

static void since_words(const struct frame *f, const struct model_service *s, char out[static WORDS_BYTES])
{
    char day[WORDS_BYTES], clock[WORDS_BYTES];

    if (!s->is_on)
        snprintf(out, WORDS_BYTES, "off");
    else if (s->since_ms == MODEL_UNKNOWN)
        snprintf(out, WORDS_BYTES, "on");
    else
        snprintf(out, WORDS_BYTES, "on since %.16s %.16s", words_day(&f->time, s->since_ms, day),
                 words_clock(&f->time, s->since_ms, false, clock));
    if (s->is_draining)
        snprintf(out + strlen(out), 16, ", draining");
}

static void line(struct ui *ui, const struct frame *f, int row, const char *name, const char *text)
{
    screen_put(f->s, row, 1, 10, ui_style(ui, ROLE_HEAD), name);
    screen_put(f->s, row, 11, (size_t)f->cols - 11, 0, text);
}

static void now_words(const struct model_service *s, char out[static WORDS_BYTES])
{
    char calls[WORDS_BYTES], most[WORDS_BYTES], limit[WORDS_BYTES];

    snprintf(out, WORDS_BYTES,
             "calls %.16s of %.16s   in %.0f kbit/s   out %.0f kbit/s    limit %.16s kbit/s",
             words_number(s->calls, calls), words_number(s->max_calls, most), s->kbps_in < 0 ? 0 : s->kbps_in,
             s->kbps_out < 0 ? 0 : s->kbps_out, words_number(s->max_kbps, limit));
}

static void today_words(const struct model_service *s, char out[static WORDS_BYTES])
{
    char calls[WORDS_BYTES], size[WORDS_BYTES];

    snprintf(out, WORDS_BYTES,
             "calls %.16s   %.16s   refused %lld (full %lld, not allowed %lld)   failed %lld",
             words_number(s->today_calls, calls), words_megabytes(s->today_bytes, false, size),
             (long long)s->refused, (long long)s->refused_full, (long long)s->refused_not_allowed,
             (long long)s->failed);
}

static void draw_narrow(struct ui *ui, const struct frame *f, const struct model_service *s)
{
    static const struct column columns[] = {{"Call", 6, false}, {"Age", 10, false}, {"Rate", 0, false}};
    const struct table table = {.columns = columns, .n_columns = 3, .cells = cells_narrow, .has_head = true};
    char text[WORDS_BYTES];
    size_t room = (size_t)f->cols - 1;

    since_words(f, s, text);
    screen_put(f->s, f->row, 1, room, ui_style(ui, ROLE_TITLE), text);
    screen_printf(f->s, f->row + 1, 1, room, 0, "calls %lld of %lld   reachable: %s", (long long)s->calls,
                  (long long)(s->max_calls == MODEL_UNKNOWN ? 0 : s->max_calls),
                  s->reachable[0] ? s->reachable : "-");
    table_draw(ui, f, f->row + 2, f->rows - 2, &table);
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column columns[] = {{"Call", 6, false},    {"For", 17, true},
                                            {"Age", 11, false},    {"Rate", 14, false},
                                            {"Packets", 9, false}, {"Lost here", 0, false}};
    const struct table table = {.columns = columns,
                                .n_columns = 6,
                                .cells = cells,
                                .empty = "Nothing is relayed now.",
                                .has_head = true};
    const struct model_service *s = model_service(ui->model);
    const struct model_totals *t = model_totals(ui->model);
    char text[3 * WORDS_BYTES], a[WORDS_BYTES], b[WORDS_BYTES], c[WORDS_BYTES];

    if (f->is_narrow) {
        draw_narrow(ui, f, s);
        return;
    }
    since_words(f, s, a);
    screen_put(f->s, f->row, 1, 6, ui_style(ui, ROLE_TITLE), "Relay");
    screen_put(f->s, f->row, 9, 21, 0, a);
    snprintf(text, sizeof text, "reachable: %s    my score, as others see it: %s",
             s->reachable[0] ? s->reachable : "-", words_number(s->score, a));
    screen_put(f->s, f->row, 31, (size_t)f->cols - 31, 0, text);
    now_words(s, text);
    line(ui, f, f->row + 1, "Now", text);
    today_words(s, text);
    line(ui, f, f->row + 2, "Today", text);
    snprintf(text, sizeof text, "given %.64s   used %.64s   balance %.64s",
             words_megabytes(t->given, false, a), words_megabytes(t->used, false, b),
             words_megabytes(t->balance, true, c));
    line(ui, f, f->row + 3, "Ledger", text);
    table_draw(ui, f, f->row + 4, f->rows - 4, &table);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_service *s = model_service(ui->model);
    char most[32] = "";

    (void)now;
    if (command == CMD_ONOFF) {
        ui_ask_bool(ui, "relay", "on", !s->is_on);
    } else if (command == CMD_DRAIN) {
        ui_ask_bool(ui, "drain", "on", !s->is_draining);
    } else if (command == CMD_LIMITS) {
        if (s->max_calls != MODEL_UNKNOWN)
            snprintf(most, sizeof most, "%lld", (long long)s->max_calls);
        ui_prompt(ui, PROMPT_LIMIT_CALLS, "Limit, calls: ", "", most);
    } else if (command == CMD_HELP) {
        ui_popup_help(ui);
    } else {
        ui_popup(
            ui, "Relay",
            "This relay forwards sealed packets between two addresses. The audio stays encrypted end to end: "
            "it cannot be heard or changed here.\nThis screen shows no names and no IDs of the people "
            "relayed, "
            "because this program does not know them.\nLimits (E) are hard: over them new work is refused "
            "and "
            "calls in progress finish.\n");
    }
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "status");
    ui_ask(ui, "ledger");
}

const struct view_ops view_relay = {
    .name = "Relay",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .open = open_view,
};
