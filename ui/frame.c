/* One frame: title, tabs, body, notice, hints, command row; the incoming box; the window that is too small. */
#include <stdio.h>

#include "ui/ui_state.h"

#define TEXT_MAX 1024

/* ---- title and tabs ---- */

static const char *nat_word(const struct model_network *w)
{
    if (w->nat[0] == '\0')
        return "-";
    if (strncmp(w->nat, "none", 4) == 0)
        return "none";
    if (strncmp(w->nat, "blocked", 7) == 0)
        return "blocked";
    for (size_t i = 0; i < w->n_ports; i++) {
        if (w->ports[i].by[0] != '\0' && strcmp(w->ports[i].by, "closed") != 0)
            return "mapped";
    }
    return strcmp(w->nat, "address-and-port-dependent") == 0 ? "port-dependent" : w->nat;
}

/* Left part of the title: who we are, or the call that goes on while another screen is shown. */
static void title_left(struct ui *ui, const struct frame *f, char out[static TEXT_MAX])
{
    const struct model_self *self = model_self(ui->model);
    const struct model_call *c = ui_running_call(ui);
    char who[WORDS_BYTES], running[WORDS_BYTES];

    if (c != NULL && ui->view != VIEW_CALL) {
        int64_t s = c->since_ms != MODEL_UNKNOWN ? (f->time.now_ms - c->since_ms) / 1000
                                                 : ui_state_seconds(ui, c->id, f->now);

        snprintf(out, TEXT_MAX, "ito%s call %s %s", f->is_narrow ? "" : " ", words_running(s, running),
                 words_peer(c, who));
    } else if (f->is_narrow) {
        snprintf(out, TEXT_MAX, "ito %s", self->name);
    } else {
        snprintf(out, TEXT_MAX, "ito  %s%s%s", self->name, self->name[0] != '\0' ? "  " : "",
                 words_short_id(self->id, who));
    }
}

static void draw_title(struct ui *ui, const struct frame *f)
{
    const struct model_network *w = model_network(ui->model);
    const char *state = ui->is_core_lost ? "no core" : w->state[0] != '\0' ? w->state : "starting";
    uint8_t style = ui_style(ui, ROLE_TITLE);
    char left[TEXT_MAX], right[TEXT_MAX], clock[WORDS_BYTES];
    int col;

    title_left(ui, f, left);
    words_clock(&f->time, f->time.now_ms, false, clock);
    if (f->is_narrow)
        snprintf(right, sizeof right, "%s  %s", state, clock);
    else
        snprintf(right, sizeof right, "%s  NAT: %s  relay: %s  %s", state, nat_word(w),
                 model_service(ui->model)->is_on ? "on" : "off", clock);
    screen_fill(f->s, 0, 0, (size_t)f->cols, style);
    col = screen_put_right(f->s, 0, f->cols, (size_t)f->cols, style, right);
    if (col > 2)
        screen_put(f->s, 0, 0, (size_t)col - 2, style, left);
}

/* "3Calls(1)": the number is left out when it is 0. */
static void tab_text(struct ui *ui, int i, char out[static 64])
{
    static const char *const names[VIEW_TABS] = {"Contacts", "Requests", "Calls", "Chat", "Voice",
                                                 "Network",  "Relay",    "Setup", "Log"};
    const struct model_self *self = model_self(ui->model);
    int64_t n = i == VIEW_REQUESTS ? self->requests
                : i == VIEW_CALLS  ? self->missed
                : i == VIEW_VOICE  ? self->voicemail
                                   : 0;

    if (n > 0)
        snprintf(out, 64, "%d%s(%lld)", i + 1, names[i], (long long)n);
    else
        snprintf(out, 64, "%d%s", i + 1, names[i]);
}

static void draw_tabs_narrow(struct ui *ui, const struct frame *f)
{
    const struct model_self *self = model_self(ui->model);
    const struct {
        const char *word;
        int64_t n;
    } counters[] = {{"req", self->requests}, {"missed", self->missed}, {"vm", self->voicemail}};
    enum view_id here = ui->view < VIEW_TABS ? ui->view : ui->view_before;
    char text[64];
    int col;

    snprintf(text, sizeof text, "%d%s", here + 1, ui_view_ops(here)->name);
    col = (int)screen_put(f->s, 1, 0, (size_t)f->cols, ui_style(ui, ROLE_TITLE), text);
    for (size_t i = 0; i < 3; i++) {
        if (counters[i].n > 0)
            col += (int)screen_printf(f->s, 1, col, (size_t)(f->cols - col), 0, "  %s %lld", counters[i].word,
                                      (long long)counters[i].n);
    }
    snprintf(text, sizeof text, "%d/%d", here + 1, VIEW_TABS);
    screen_put_right(f->s, 1, f->cols, 4, 0, text);
}

int frame_tab_at(struct ui *ui, int col)
{
    int at = 0;

    for (int i = 0; i < VIEW_TABS && !ui_is_narrow(ui); i++) {
        char text[64];

        tab_text(ui, i, text);
        if (col >= at && col < at + (int)strlen(text))
            return i;
        at += (int)strlen(text) + 1;
    }
    return -1;
}

static void draw_tabs(struct ui *ui, const struct frame *f)
{
    int col = 0;

    if (f->is_narrow) {
        draw_tabs_narrow(ui, f);
        return;
    }
    for (int i = 0; i < VIEW_TABS; i++) {
        char text[64];
        uint8_t style = ui_style(ui, i == (int)ui->view ? ROLE_TAB_HERE : ROLE_TAB);

        tab_text(ui, i, text);
        col += (int)screen_put(f->s, 1, col, (size_t)(f->cols - col), style, text) + 1;
    }
}

/* ---- hints ---- */

static void hint_text(struct ui *ui, const struct view_key *k, const char *word, char out[static 128])
{
    char first[KEY_TEXT_BYTES], second[KEY_TEXT_BYTES];

    key_print(keymap_key(&ui->keymap, k->command), first);
    if (k->second == CMD_NONE) {
        snprintf(out, 128, "%s%s%s", first, word[0] != '\0' && k->command != CMD_LINE ? " " : "", word);
        return;
    }
    key_print(keymap_key(&ui->keymap, k->second), second);
    snprintf(out, 128, "%s%s%s %s", first, strchr("<>jk", first[0]) != NULL ? " " : "/", second, word);
}

/* All hints on one line with `gap` blanks between; those that do not fit are left out, help and quit stay.
 * Returns whether everything fitted. */
static bool hints_line(struct ui *ui, const struct frame *f, size_t gap, char line[static TEXT_MAX])
{
    const struct view_ops *ops = ui_view_ops(ui->view);
    size_t at = 0, width = 1;
    bool is_whole = true;

    line[at++] = ' ';
    for (size_t i = 0; i < ops->n_keys; i++) {
        const char *word = f->is_narrow ? ops->keys[i].short_hint : ops->keys[i].hint;
        char one[128];
        size_t wide, blanks = i == 0 || width == 1 ? 0 : gap;

        if (word == NULL)
            continue;
        hint_text(ui, &ops->keys[i], word, one);
        wide = screen_columns(f->s, one);
        if (blanks > 1 && width + blanks + wide == (size_t)f->cols + 1)
            blanks--; /* the last one may stand closer */
        if (width + blanks + wide > (size_t)f->cols || at + blanks + strlen(one) >= TEXT_MAX) {
            is_whole = false;
            continue;
        }
        memset(line + at, ' ', blanks);
        memcpy(line + at + blanks, one, strlen(one));
        at += blanks + strlen(one);
        width += blanks + wide;
    }
    line[at] = '\0';
    return is_whole;
}

static void draw_hints(struct ui *ui, const struct frame *f, int row)
{
    char line[TEXT_MAX];

    if (f->is_narrow || !hints_line(ui, f, 3, line))
        hints_line(ui, f, 2, line);
    screen_put(f->s, row, 0, (size_t)f->cols, ui_style(ui, ROLE_HINT), line);
}

/* ---- incoming call ---- */

static void draw_incoming_line(struct ui *ui, const struct frame *f, int row, const struct model_call *c)
{
    char who[WORDS_BYTES], id[WORDS_BYTES], text[TEXT_MAX];
    size_t room = (size_t)f->cols - 4, n;

    n = (size_t)snprintf(text, sizeof text, "%s   %s%s", words_peer(c, who),
                         words_list(c->list != LIST_NONE ? c->list : LIST_ALLOWED),
                         c->is_verified ? ", verified" : "");
    words_short_id(c->peer, id);
    if (n < sizeof text && screen_columns(f->s, text) + screen_columns(f->s, id) + 3 <= room)
        snprintf(text + n, sizeof text - n, "   %s", id);
    screen_put(f->s, row, 2, room, ui_style(ui, ROLE_TITLE), text);
}

static void draw_incoming(struct ui *ui, const struct frame *f)
{
    const struct model_call *c = ui_incoming(ui);
    static const struct view_key keys[] = {
        {CMD_ALLOW, CMD_NONE, "answer", "answer", ""},
        {CMD_DECLINE, CMD_NONE, "decline", "decline", ""},
        {CMD_MESSAGE, CMD_NONE, "decline with a message", NULL, ""},
        {CMD_SILENCE, CMD_NONE, "silence the ring", "silence", ""},
    };
    char right[TEXT_MAX], line[TEXT_MAX], one[128];
    int row = f->is_narrow ? f->row : f->row + (f->rows - 4) / 2;
    int64_t s;

    if (c == NULL)
        return;
    s = c->since_ms != MODEL_UNKNOWN ? (f->time.now_ms - c->since_ms) / 1000
                                     : ui_state_seconds(ui, c->id, f->now);
    snprintf(right, sizeof right, "%s%lld s of %lld s", ui->silenced == c->id ? "silenced  " : "",
             (long long)(s < 0 ? 0 : s), (long long)(c->ring_s > 0 ? c->ring_s : 60));
    screen_box(f->s, row, 0, 4, (size_t)f->cols, ui_style(ui, ROLE_CALL_BOX), "Incoming call", right);
    draw_incoming_line(ui, f, row + 1, c);
    line[0] = '\0';
    for (size_t i = 0; i < 4; i++) {
        const char *word = f->is_narrow ? keys[i].short_hint : keys[i].hint;

        if (word == NULL)
            continue;
        hint_text(ui, &keys[i], word, one);
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s",
                 line[0] == '\0' ? ""
                 : f->is_narrow  ? "  "
                                 : "    ",
                 one);
    }
    screen_put(f->s, row + 2, 2, (size_t)f->cols - 4, ui_style(ui, ROLE_TEXT), line);
    if (ui->prompt.kind == PROMPT_NONE)
        screen_set_cursor(f->s, row + 2, 2);
}

/* ---- the window is too small ---- */

/* Bytes of the longest part that ends at a blank and fits in the columns; at least one word. */
static size_t row_bytes(const struct frame *f, size_t columns, const char *text)
{
    char line[TEXT_MAX];
    size_t best = 0;

    for (size_t n = 1; n < sizeof line; n++) {
        if (text[n] != ' ' && text[n] != '\0')
            continue;
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        if (best > 0 && screen_columns(f->s, line) > columns)
            break;
        best = n;
        if (text[n] == '\0')
            break;
    }
    return best;
}

int ui_put_wrapped(const struct frame *f, int row, int col, uint8_t style, const char *text)
{
    size_t columns = f->cols > col ? (size_t)(f->cols - col) : 1;

    while (*text != '\0' && row < f->row + f->rows) {
        size_t n = row_bytes(f, columns, text);

        screen_printf(f->s, row++, col, columns, style, "%.*s", (int)n, text);
        text += n;
        while (*text == ' ')
            text++;
    }
    return row;
}

static void draw_too_small(struct ui *ui, const struct frame *f)
{
    const struct model_call *in = ui_incoming(ui), *c = ui_running_call(ui);
    char text[TEXT_MAX], who[WORDS_BYTES], running[WORDS_BYTES];
    int row;

    snprintf(text, sizeof text, "ito: window too small (%dx%d needed, now %dx%d)", UI_COLS_MIN, UI_ROWS_MIN,
             f->cols, f->rows);
    row = ui_put_wrapped(f, 0, 0, 0, text);
    if (in != NULL) {
        snprintf(text, sizeof text, "incoming call %s  a answers  d declines", words_peer(in, who));
        row = ui_put_wrapped(f, row, 0, 0, text);
    }
    if (c != NULL) {
        int64_t s = c->since_ms != MODEL_UNKNOWN ? (f->time.now_ms - c->since_ms) / 1000 : 0;

        snprintf(text, sizeof text, "in call %s %s  x hangs up", words_peer(c, who),
                 words_running(s, running));
        ui_put_wrapped(f, row, 0, 0, text);
    }
    screen_set_cursor(f->s, 0, 0);
}

/* ---- all of it ---- */

static void draw_body(struct ui *ui, const struct frame *f)
{
    int notice_row = f->row + f->rows;

    ui->list_rows = 0;
    ui_rows_update(ui);
    ui_view_ops(ui->view)->draw(ui, f);
    screen_put(f->s, notice_row, 0, (size_t)f->cols, ui_style(ui, ROLE_NOTICE), ui->notice);
    draw_hints(ui, f, notice_row + 1);
    if (ui->view != VIEW_FIRSTRUN)
        screen_put(f->s, notice_row + 2, 0, 1, ui_style(ui, ROLE_HINT), ":");
    if (ui->popup.kind != POPUP_NONE)
        popup_draw(ui, f);
    draw_incoming(ui, f);
    if (ui->prompt.kind != PROMPT_NONE)
        prompt_draw(ui, f, notice_row + 2);
}

void frame_draw(struct ui *ui, ns_t now)
{
    struct frame f = {
        .s = ui->screen,
        .rows = screen_rows(ui->screen),
        .cols = screen_cols(ui->screen),
        .is_narrow = ui_is_narrow(ui),
        .time = ui_time(ui),
        .now = now,
    };

    screen_clear(f.s);
    if (ui_is_too_small(ui)) {
        draw_too_small(ui, &f);
        return;
    }
    f.row = 2;
    f.rows -= UI_FRAME_ROWS;
    if (ui->view == VIEW_FIRSTRUN) {
        f.row = 1;
        f.rows++;
    } else {
        draw_title(ui, &f);
        draw_tabs(ui, &f);
    }
    draw_body(ui, &f);
}
