/* The call: what it is doing, how it sounds, how it travels, and that it is secure. Meters are drawn with every
 * frame, numbers change once a second. An ended call stays until Esc when there is a next step to take. */
#include <stdio.h>

#include "base/mem.h"
#include "ui/meter.h"
#include "ui/ui_state.h"

#define LABEL_COL 1
#define VALUE_COL 11
#define LOUD_DB   (-30)

static const struct view_key keys[] = {
    {CMD_MUTE, CMD_NONE, "mute", "mute", "mute the microphone"},
    {CMD_HOLD, CMD_NONE, "hold", "hold", "hold"},
    {CMD_TONES, CMD_NONE, "tones", NULL, "send tones"},
    {CMD_LOUDER, CMD_SOFTER, "volume", NULL, "volume"},
    {CMD_GAIN_DOWN, CMD_GAIN_UP, "mic", NULL, "microphone"},
    {CMD_DETAILS, CMD_NONE, "details", NULL, "all numbers"},
    {CMD_VERIFY, CMD_NONE, "verify", NULL, "the code matched: verified"},
    {CMD_HANGUP, CMD_NONE, "hang up", "hang up", "hang up"},
    {CMD_HELP, CMD_NONE, NULL, "", NULL},
    {CMD_BACK, CMD_NONE, NULL, NULL, "leave it running; 0 comes back"},
    {CMD_LESS, CMD_MORE, NULL, NULL, "other sound device"},
    {CMD_MESSAGE, CMD_NONE, NULL, NULL, "write a message"},
};

static bool is_talking(const struct model_call *c)
{
    return c->state == STATE_IN_CALL || c->state == STATE_HELD_LOCAL || c->state == STATE_HELD_REMOTE ||
           c->state == STATE_RECONNECTING;
}

static int64_t call_seconds(struct ui *ui, const struct frame *f, const struct model_call *c)
{
    if (c->state == STATE_ENDED)
        return c->length_s;
    if (!is_talking(c) || c->since_ms == MODEL_UNKNOWN)
        return ui_state_seconds(ui, c->id, f->now);
    return (f->time.now_ms - c->since_ms) / 1000;
}

/* The numbers of the last full second. */
static const struct model_call *numbers(struct ui *ui, const struct frame *f, const struct model_call *c)
{
    struct ui_views *v = &ui->views;

    if (v->shown.id != c->id || v->shown.state != c->state || f->now >= v->shown_at ||
        strcmp(v->shown.path, c->path) != 0) {
        v->shown = *c;
        v->shown_at = f->now + NS_PER_S;
    }
    return &v->shown;
}

static void draw_head(struct ui *ui, const struct frame *f, const struct model_call *c)
{
    char state[WORDS_BYTES], who[WORDS_BYTES], time[WORDS_BYTES], text[3 * WORDS_BYTES];
    int64_t lost_s = c->lost_s != MODEL_UNKNOWN ? c->lost_s : ui_state_seconds(ui, c->id, f->now);
    uint8_t style = ui_style(ui, ROLE_TITLE);
    const char *gap = f->is_narrow ? " " : "   ";

    words_state(c, lost_s, state);
    words_running_long(call_seconds(ui, f, c), time);
    if (c->state == STATE_HELD_REMOTE)
        snprintf(text, sizeof text, "%s", state);
    else
        snprintf(text, sizeof text, "%s%s%s", state, gap, words_peer(c, who));
    if (!f->is_narrow)
        snprintf(text + strlen(text), sizeof text - strlen(text), "   %s",
                 c->is_verified ? "verified" : "not verified");
    if (f->is_narrow) {
        int col = 1 + (int)screen_put(f->s, f->row, 1, (size_t)f->cols - 12, style, text);

        screen_put(f->s, f->row, col + 2, 8, style, time);
    } else {
        screen_put(f->s, f->row, 1, (size_t)f->cols - 12, style, text);
        screen_put_right(f->s, f->row, f->cols, 10, style, time);
    }
    screen_set_cursor(f->s, f->row, 1);
}

static void label(struct ui *ui, const struct frame *f, int row, const char *text)
{
    screen_put(f->s, row, LABEL_COL, 10, ui_style(ui, ROLE_HEAD), text);
}

/* One meter with its level; a muted microphone shows the word in place of the bar. */
static void draw_meter(struct ui *ui, const struct frame *f, int row, bool is_mine,
                       const struct model_call *c)
{
    int64_t db = is_mine ? c->level_out_db : c->level_in_db;
    const char *device = is_mine ? c->mic : c->speaker;
    char bar[METER_BYTES], number[32] = "", state[48];

    label(ui, f, row, is_mine ? "You" : "Them");
    if (is_mine && c->is_muted) {
        screen_put(f->s, row, VALUE_COL, 22, ui_style(ui, ROLE_WARN), "muted");
    } else {
        if (db != MODEL_UNKNOWN)
            snprintf(number, sizeof number, "%3lld dB", (long long)db);
        screen_put(f->s, row, VALUE_COL, 22, ui_style(ui, ROLE_GOOD),
                   meter_level(db == MODEL_UNKNOWN ? -100 : db, 20, bar));
        screen_put(f->s, row, 35, 8, 0, number);
    }
    if (is_mine)
        snprintf(state, sizeof state, "mic %s", c->is_muted ? "off" : "on");
    else if (c->volume_pct != MODEL_UNKNOWN)
        snprintf(state, sizeof state, "volume %lld%%", (long long)c->volume_pct);
    else
        snprintf(state, sizeof state, "volume -");
    screen_put(f->s, row, 44, 12, 0, state);
    screen_put(f->s, row, 57, (size_t)f->cols - 57, 0, device);
}

static void value_ms(int64_t ms, const char *name, const char *before, char *out, size_t size)
{
    size_t at = strlen(out);

    if (ms == MODEL_UNKNOWN)
        snprintf(out + at, size - at, "%s%s -", before, name);
    else
        snprintf(out + at, size - at, "%s%s %lld ms", before, name, (long long)ms);
}

static void draw_numbers(struct ui *ui, const struct frame *f, int row, const struct model_call *c)
{
    char text[3 * WORDS_BYTES], in[WORDS_BYTES], out[WORDS_BYTES], quality[WORDS_BYTES];
    size_t room = (size_t)f->cols - VALUE_COL;
    uint8_t style = strcmp(c->quality, "poor") == 0 ? ui_style(ui, ROLE_WARN) : 0;

    label(ui, f, row, "Quality");
    snprintf(text, sizeof text, "%-7s loss in %s out %s", words_quality(c, quality),
             words_percent(c->loss_in, in), words_percent(c->loss_out, out));
    value_ms(c->jitter_ms, "jitter", "   ", text, sizeof text);
    value_ms(c->rtt_ms, "RTT", "   ", text, sizeof text);
    value_ms(c->delay_ms, "delay", "   ", text, sizeof text);
    screen_put(f->s, row, VALUE_COL, room, style, text);
    label(ui, f, row + 1, "Codec");
    snprintf(text, sizeof text, "%s", words_codec(c->codec));
    if (c->kbps_out >= 0)
        snprintf(text + strlen(text), sizeof text - strlen(text), "   out %.1f kbit/s", c->kbps_out);
    if (c->kbps_in >= 0)
        snprintf(text + strlen(text), sizeof text - strlen(text), "   in %.1f kbit/s", c->kbps_in);
    snprintf(text + strlen(text), sizeof text - strlen(text), "   FEC %s", c->has_fec ? "on" : "off");
    screen_put(f->s, row + 1, VALUE_COL, room, 0, text);
}

static void draw_path(struct ui *ui, const struct frame *f, int row, const struct model_call *c)
{
    char text[3 * WORDS_BYTES], path[WORDS_BYTES];

    label(ui, f, row, "Path");
    snprintf(text, sizeof text, "%s", words_path(c, path));
    if (c->direct_failed[0] != '\0')
        snprintf(text + strlen(text), sizeof text - strlen(text), "   (direct failed: %s)", c->direct_failed);
    screen_put(f->s, row, VALUE_COL, (size_t)f->cols - VALUE_COL, 0, text);
}

static void draw_secure(struct ui *ui, const struct frame *f, int row, const struct model_call *c)
{
    char text[2 * WORDS_BYTES], code[WORDS_BYTES];

    label(ui, f, row, "Secure");
    snprintf(text, sizeof text, "end-to-end encrypted");
    if (c->code[0] != '\0')
        snprintf(text + strlen(text), sizeof text - strlen(text), "   call code %s   press v after comparing",
                 words_code(c->code, code));
    screen_put(f->s, row, VALUE_COL, (size_t)f->cols - VALUE_COL, ui_style(ui, ROLE_GOOD), text);
}

static void draw_narrow(const struct frame *f, const struct model_call *c, const struct model_call *n)
{
    char bar[METER_BYTES], a[WORDS_BYTES], b[WORDS_BYTES], text[3 * WORDS_BYTES];
    int row = f->row + 1;
    size_t room = (size_t)f->cols - 1;

    snprintf(text, sizeof text, "You  %-12s mic %s",
             c->is_muted ? "muted"
                         : meter_level(c->level_out_db == MODEL_UNKNOWN ? -100 : c->level_out_db, 10, bar),
             c->is_muted ? "off" : "on");
    screen_put(f->s, row++, 1, room, 0, text);
    snprintf(text, sizeof text, "Them %s vol ",
             meter_level(c->level_in_db == MODEL_UNKNOWN ? -100 : c->level_in_db, 10, bar));
    snprintf(text + strlen(text), 16, c->volume_pct == MODEL_UNKNOWN ? "-" : "%lld%%",
             (long long)c->volume_pct);
    screen_put(f->s, row++, 1, room, 0, text);
    snprintf(text, sizeof text, "%s  loss %s", words_quality(n, a), words_percent(n->loss_in, b));
    value_ms(n->rtt_ms, "RTT", "  ", text, sizeof text);
    screen_put(f->s, row++, 1, room, 0, text);
    words_path(n, a);
    if (strstr(a, ", score ") != NULL) { /* "relayed via iton1qnex…jttf 93" */
        char *at = strstr(a, ", score ");

        memmove(at + 1, at + 8, strlen(at + 8) + 1);
        *at = ' ';
    }
    screen_put(f->s, row++, 1, room, 0, a);
    if (c->code[0] != '\0')
        screen_printf(f->s, row, 1, room, 0, "code %s  encrypted", words_code(c->code, b));
    else
        screen_put(f->s, row, 1, room, 0, "encrypted");
}

/* Said once in 20 s while a muted microphone hears speech. */
static void watch_muted(struct ui *ui, const struct frame *f, const struct model_call *c)
{
    if (!c->is_muted || c->level_out_db == MODEL_UNKNOWN || c->level_out_db < LOUD_DB ||
        f->now < ui->views.muted_talk_at)
        return;
    ui_notice(ui, f->now, "You are muted but talking.");
    ui->views.muted_talk_at = f->now + 20 * NS_PER_S;
}

static void draw(struct ui *ui, const struct frame *f)
{
    const struct model_call *c = ui_running_call(ui), *n;

    if (c == NULL) {
        screen_put(f->s, f->row, 1, (size_t)f->cols - 1, 0, "There is no call.");
        screen_set_cursor(f->s, f->row, 1);
        return;
    }
    draw_head(ui, f, c);
    if (!is_talking(c)) {
        ui_put_wrapped(f, f->row + 2, 1, 0, c->text);
        return;
    }
    n = numbers(ui, f, c);
    watch_muted(ui, f, c);
    if (f->is_narrow) {
        draw_narrow(f, c, n);
        return;
    }
    draw_meter(ui, f, f->row + 1, true, c);
    draw_meter(ui, f, f->row + 2, false, c);
    draw_numbers(ui, f, f->row + 3, n);
    draw_path(ui, f, f->row + 5, n);
    draw_secure(ui, f, f->row + 6, c);
}

static void show_details(struct ui *ui, const struct model_call *c)
{
    char path[WORDS_BYTES], quality[WORDS_BYTES], in[WORDS_BYTES], out[WORDS_BYTES], code[WORDS_BYTES], *text;

    text = mem_printf(
        "Peer      %s\nPath      %s\nRelay     %s\nQuality   %s\nLoss      in %s, out %s\nCodec     %s\n"
        "Call code %s\nMic       %s\nSpeaker   %s\n%s%s\n",
        c->peer, words_path(c, path), c->relay[0] != '\0' ? c->relay : "-", words_quality(c, quality),
        words_percent(c->loss_in, in), words_percent(c->loss_out, out), words_codec(c->codec),
        c->code[0] != '\0' ? words_code(c->code, code) : "not shown", c->mic, c->speaker,
        c->text[0] != '\0' ? "Note      " : "", c->text);
    ui_popup(ui, "Call", text);
    mem_free(text);
}

static void change_volume(struct ui *ui, const struct model_call *c, bool up, ns_t now)
{
    struct ui_views *v = &ui->views;
    int64_t from = now < v->volume_until            ? v->volume_pct
                   : c->volume_pct != MODEL_UNKNOWN ? c->volume_pct
                                                    : 100;
    int64_t to = from + (up ? 5 : -5);

    v->volume_pct = to < 0 ? 0 : to > 150 ? 150 : to;
    v->volume_until = now + NS_PER_S;
    ui_ask_number(ui, "volume", "pct", v->volume_pct);
}

/* The core takes decibels and does not tell them back: what was asked last is kept here. */
static void change_gain(struct ui *ui, bool up, ns_t now)
{
    int64_t db = ui->views.gain_db + (up ? 3 : -3);

    db = db < -20 ? -20 : db > 20 ? 20 : db;
    ui->views.gain_db = db;
    ui_ask_number(ui, "gain", "db", db);
    ui_notice(ui, now, "Microphone %+lld dB", (long long)db);
}

static void ask_verify(struct ui *ui, const struct model_call *c, ns_t now)
{
    char question[MODEL_TEXT_BYTES], code[WORDS_BYTES];

    if (c->code[0] == '\0') {
        ui_notice(ui, now, "This call has no code to compare.");
        return;
    }
    snprintf(question, sizeof question, "Did they read the same code %.16s? y/N ", words_code(c->code, code));
    ui_prompt(ui, PROMPT_ASK_VERIFY, question, c->peer, "");
}

static void write_to(struct ui *ui, const struct model_call *c)
{
    char prompt[MODEL_TEXT_BYTES], who[WORDS_BYTES];

    snprintf(prompt, sizeof prompt, "Message to %.128s: ", words_peer(c, who));
    ui_prompt(ui, PROMPT_MESSAGE, prompt, c->peer, "");
}

static void act_talking(struct ui *ui, const struct model_call *c, enum command command, ns_t now)
{
    if (command == CMD_MUTE)
        ui_ask_bool(ui, "mute", "on", !c->is_muted);
    else if (command == CMD_HOLD)
        ui_ask_bool(ui, "hold", "on", c->state != STATE_HELD_LOCAL);
    else if (command == CMD_TONES)
        ui_prompt(ui, PROMPT_TONES, "Tones: ", "", "");
    else if (command == CMD_LOUDER || command == CMD_SOFTER)
        change_volume(ui, c, command == CMD_LOUDER, now);
    else if (command == CMD_GAIN_UP || command == CMD_GAIN_DOWN)
        change_gain(ui, command == CMD_GAIN_UP, now);
    else if (command == CMD_VERIFY)
        ask_verify(ui, c, now);
    else if (command == CMD_LESS || command == CMD_MORE)
        ui_ask_number(ui, "audio_device", "step", command == CMD_MORE ? 1 : -1);
    else
        ui_notice(ui, now, "The call is running. x hangs up.");
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_call *c = ui_running_call(ui);

    if (command == CMD_HELP)
        ui_popup_help(ui);
    else if (command == CMD_BACK || c == NULL)
        ui_show(ui, ui->view_before, now);
    else if (command == CMD_DETAILS)
        show_details(ui, c);
    else if (command == CMD_HANGUP)
        ui_ask_number(ui, "hangup", "call", c->id);
    else if (command == CMD_MESSAGE)
        write_to(ui, c);
    else
        act_talking(ui, c, command, now);
}

const struct view_ops view_call = {
    .name = "Call",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
};

/* ---- the call that ended ---- */

static const struct view_key ended_keys[] = {
    {CMD_RENAME, CMD_NONE, "call again", "again", "call again"},
    {CMD_MESSAGE, CMD_NONE, "message", "msg", "write a message"},
    {CMD_VOICEMAIL, CMD_NONE, "voicemail", NULL, "leave voicemail"},
    {CMD_NOTIFY, CMD_NONE, "tell me when free", NULL, "tell me when free or online"},
    {CMD_DETAILS, CMD_NONE, "details", NULL, "all that is known about it"},
    {CMD_BACK, CMD_NONE, "close", "close", "back to the screen before"},
    {CMD_HELP, CMD_NONE, NULL, "", NULL},
    {CMD_CALL, CMD_NONE, NULL, NULL, "call again"},
    {CMD_LESS, CMD_MORE, NULL, NULL, "other sound device"},
};

static void draw_ended(struct ui *ui, const struct frame *f)
{
    const struct model_call *c = ui_current_call(ui);
    const struct model_contact *contact;
    char cause[WORDS_BYTES];
    int row = f->row + 2;

    if (c == NULL || c->state != STATE_ENDED) {
        screen_put(f->s, f->row, 1, (size_t)f->cols - 1, 0, "There is no call.");
        return;
    }
    draw_head(ui, f, c);
    contact = model_contact_by_id(ui->model, c->peer);
    row = ui_put_wrapped(f, row, 1, ui_style(ui, ROLE_BAD), words_cause(c, contact, &f->time, cause));
    ui_put_wrapped(f, row, 1, 0, words_next_step(c->cause));
}

static void act_ended(struct ui *ui, enum command command, ns_t now)
{
    const struct model_call *c = ui_current_call(ui);

    if (command == CMD_HELP) {
        ui_popup_help(ui);
    } else if (command == CMD_BACK || c == NULL) {
        ui->ended_id = 0;
        ui_show(ui, ui->view_before, now);
    } else if (command == CMD_RENAME || command == CMD_CALL) {
        ui_call(ui, c->peer[0] != '\0' ? c->peer : c->name);
    } else if (command == CMD_NOTIFY) {
        ui_ask_text(ui, "notify", "contact", c->peer);
    } else if (command == CMD_VOICEMAIL) {
        ui_ask_text(ui, "voicemail_leave", "to", c->peer);
    } else if (command == CMD_MESSAGE) {
        write_to(ui, c);
    } else if (command == CMD_DETAILS) {
        show_details(ui, c);
    } else {
        ui_ask_number(ui, "audio_device", "step", command == CMD_MORE ? 1 : -1);
    }
}

const struct view_ops view_ended = {
    .name = "Call ended",
    .keys = ended_keys,
    .n_keys = sizeof ended_keys / sizeof *ended_keys,
    .draw = draw_ended,
    .act = act_ended,
};
