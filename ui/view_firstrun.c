/* First run: four steps to an own ID. Enter takes the default, Esc goes back.
 *
 *   1 name                  Enter → asks for the phrase ("phrase_new")
 *   2 phrase, passphrase    Enter → makes the identity ("init")
 *   3 sound test            Enter
 *   4 joining, ID, QR       Enter → the contacts
 *
 * The words and the passphrase are wiped as soon as step 2 is left. */
#include <stdio.h>

#include "ui/meter.h"
#include "ui/qr.h"
#include "ui/ui_state.h"

#include "base/mem.h"

#define STEPS            4
#define JOIN_PATIENCE_NS (20 * NS_PER_S)

static void forget_secrets(struct firstrun *r)
{
    lineedit_fini(&r->pass);
    lineedit_fini(&r->again);
    mem_wipe(r->words, sizeof r->words);
    r->n_words = 0;
}

void firstrun_start(struct ui *ui)
{
    struct firstrun *r = &ui->views.firstrun;

    r->step = 1;
    r->level_db = MODEL_UNKNOWN;
    ui->view = VIEW_FIRSTRUN;
}

void firstrun_fini(struct ui *ui)
{
    forget_secrets(&ui->views.firstrun);
    lineedit_fini(&ui->views.firstrun.name);
}

/* ---- answers ---- */

static void take_words(struct firstrun *r, const cJSON *answer)
{
    const cJSON *word;

    r->n_words = 0;
    cJSON_ArrayForEach(word, cJSON_GetObjectItemCaseSensitive(answer, "words"))
    {
        if (cJSON_IsString(word) && r->n_words < 24)
            snprintf(r->words[r->n_words++], sizeof r->words[0], "%s", word->valuestring);
    }
}

void firstrun_answer(struct ui *ui, const char *cmd, const cJSON *answer, ns_t now)
{
    struct firstrun *r = &ui->views.firstrun;

    if (!json_bool(answer, "ok", false))
        return;
    if (strcmp(cmd, "phrase_new") == 0) {
        take_words(r, answer);
    } else if (strcmp(cmd, "init") == 0) {
        forget_secrets(r);
        r->is_inited = true;
        r->step = 3;
        ui_ask(ui, "status");
        ui_ask_text(ui, "audio_test", "do", "level");
    } else if (strcmp(cmd, "audio_test") == 0) {
        r->level_db = (int64_t)json_num(answer, "level_db", (double)r->level_db);
        snprintf(r->mic, sizeof r->mic, "%s", json_str(answer, "mic", r->mic));
        snprintf(r->speaker, sizeof r->speaker, "%s", json_str(answer, "speaker", r->speaker));
        snprintf(r->heard, sizeof r->heard, "%s", json_str(answer, "heard", r->heard));
    }
    (void)now;
}

/* ---- keys ---- */

static void enter_phrase(struct ui *ui, ns_t now)
{
    struct firstrun *r = &ui->views.firstrun;
    cJSON *o;

    if (r->field == 0 && r->pass.len > 0) {
        r->field = 1;
        return;
    }
    if (strcmp(r->pass.text, r->again.text) != 0) {
        ui_notice(ui, now, "The two passphrases differ.");
        lineedit_set(&r->again, "");
        r->field = 1;
        return;
    }
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", r->name.text);
    cJSON_AddStringToObject(o, "passphrase", r->pass.text);
    cJSON_AddBoolToObject(o, "words_wanted", !r->has_no_phrase);
    ui_ask_take(ui, "init", o);
}

static void finish(struct ui *ui, ns_t now)
{
    ui->views.firstrun.step = 0;
    ui_show(ui, VIEW_CONTACTS, now);
    ui_ask(ui, "status");
    ui_ask(ui, "requests");
    ui_ask(ui, "history");
}

static void enter(struct ui *ui, ns_t now)
{
    struct firstrun *r = &ui->views.firstrun;

    switch (r->step) {
    case 1:
        r->step = 2;
        if (r->n_words == 0)
            ui_ask(ui, "phrase_new");
        break;
    case 2:
        enter_phrase(ui, now);
        break;
    case 3:
        r->step = 4;
        r->joining_since = now;
        ui_ask_text(ui, "audio_test", "do", "stop");
        ui_ask(ui, "status");
        break;
    default:
        finish(ui, now);
        break;
    }
}

/* The identity exists from step 3 on: there is no way back before it. */
static void escape(struct firstrun *r)
{
    if (r->step == 2 && r->field == 1)
        r->field = 0;
    else if (r->step == 2 || r->step == 4)
        r->step--;
}

static void key_phrase(struct ui *ui, uint32_t key)
{
    struct firstrun *r = &ui->views.firstrun;

    if (key == 'S' && !r->is_touched && r->pass.len == 0) {
        r->has_no_phrase = !r->has_no_phrase;
        return;
    }
    r->is_touched = true;
    if (key == K_TAB || key == K_DOWN || key == K_UP || key == K_BACKTAB)
        r->field = 1 - r->field;
    else
        lineedit_key(r->field == 0 ? &r->pass : &r->again, key);
    (void)ui;
}

static void key_sound(struct ui *ui, uint32_t key, ns_t now)
{
    switch (key) {
    case 'p':
        ui_ask_text(ui, "audio_test", "do", "tone");
        break;
    case ' ':
        ui_ask_text(ui, "audio_test", "do", "record");
        break;
    case '<':
    case '>':
        ui_ask_text(ui, "audio_test", "do", key == '>' ? "next" : "previous");
        break;
    case 'y':
    case 'n':
        ui_notice(ui, now, "%s", key == 'y' ? "Good." : "Try > for another device, or :doctor audio later.");
        break;
    case 'S':
        enter(ui, now);
        break;
    default:
        ui_notice(ui, now, "Enter goes on.");
    }
}

static void key_joining(struct ui *ui, uint32_t key, ns_t now)
{
    if (key == 'T') {
        ui_ask_text(ui, "doctor", "part", "net");
    } else if (key == ':') {
        ui_prompt(ui, PROMPT_COMMAND, ":", "", "");
    } else if (key == 'n') {
        finish(ui, now);
        ui_prompt(ui, PROMPT_ADD_ID, "ID: ", "", "");
    } else if (key == 'Q') {
        ui_popup_qr(ui, model_self(ui->model)->id, now);
    }
}

void firstrun_key(struct ui *ui, uint32_t key, ns_t now)
{
    struct firstrun *r = &ui->views.firstrun;

    if (ui->popup.kind != POPUP_NONE)
        popup_key(ui, key, now);
    else if (key == K_ENTER)
        enter(ui, now);
    else if (key == K_ESC)
        escape(r);
    else if (key == K_CTRL('C'))
        ui->wants_quit = true;
    else if (r->step == 1)
        lineedit_key(&r->name, key);
    else if (r->step == 2)
        key_phrase(ui, key);
    else if (r->step == 3)
        key_sound(ui, key, now);
    else
        key_joining(ui, key, now);
}

void firstrun_paste(struct ui *ui, const char *text, size_t len)
{
    struct firstrun *r = &ui->views.firstrun;

    if (r->step == 1)
        lineedit_paste(&r->name, text, len);
    else if (r->step == 2)
        lineedit_paste(r->field == 0 ? &r->pass : &r->again, text, len);
}

/* ---- drawing ---- */

static void line(struct ui *ui, const struct frame *f, int row, const char *text)
{
    (void)ui;
    screen_put(f->s, f->row + row, 3, (size_t)f->cols - 3, 0, text);
}

static void draw_name(struct ui *ui, const struct frame *f)
{
    struct firstrun *r = &ui->views.firstrun;
    int col;

    screen_put(f->s, f->row, 1, (size_t)f->cols - 1, ui_style(ui, ROLE_TITLE), "Your name");
    line(ui, f, 1, "Shown to people you call or ask. It may stay empty; it proves nothing.");
    col = 3 + (int)screen_put(f->s, f->row + 2, 3, 8, 0, "Name: ");
    col += (int)screen_put(f->s, f->row + 2, col, (size_t)(f->cols - col), ui_style(ui, ROLE_TITLE),
                           r->name.text);
    screen_set_cursor(f->s, f->row + 2, col);
}

/* Four words a line: "   1 wool     2 anchor   3 fade     4 ...". Returns the row after. */
static int draw_words(struct ui *ui, const struct frame *f, int row)
{
    struct firstrun *r = &ui->views.firstrun;
    int per_line = f->is_narrow ? 3 : 6, width = f->is_narrow ? 12 : 12;

    if (r->n_words == 0) {
        screen_put(f->s, row, 6, (size_t)f->cols - 6, 0, "(being made)");
        return row + 1;
    }
    for (size_t i = 0; i < r->n_words; i++)
        screen_printf(f->s, row + (int)i / per_line, 3 + (int)(i % (size_t)per_line) * width, (size_t)width,
                      0, "%2zu %s", i + 1, r->words[i]);
    return row + (int)(r->n_words + (size_t)per_line - 1) / per_line;
}

/* One star a byte: nothing but "something was typed" may be seen. */
static int draw_stars(const struct frame *f, int row, int col, const struct lineedit *e)
{
    char stars[32];
    size_t n = e->len < sizeof stars - 1 ? e->len : sizeof stars - 1;

    memset(stars, '*', n);
    stars[n] = '\0';
    return col + (int)screen_put(f->s, row, col, n, 0, stars);
}

static void draw_protect(struct ui *ui, const struct frame *f)
{
    struct firstrun *r = &ui->views.firstrun;
    int row = f->row + 2, first, second, again_row;

    screen_put(f->s, f->row, 1, (size_t)f->cols - 1, ui_style(ui, ROLE_TITLE), "Protect your identity");
    line(ui, f, 1, "Your ID is a key on this computer. If you lose it, nobody can restore it.");
    if (r->has_no_phrase) {
        screen_put(f->s, row++, 3, (size_t)f->cols - 3, ui_style(ui, ROLE_WARN),
                   "No recovery phrase: no backup. S shows it.");
    } else {
        screen_put(f->s, row++, 3, (size_t)f->cols - 3, 0,
                   "Recovery phrase (24 words, write them down; shown only now):");
        row = draw_words(ui, f, row);
    }
    again_row = f->is_narrow ? row + 1 : row;
    first =
        3 + (int)screen_put(f->s, row, 3, (size_t)f->cols - 3, 0,
                            f->is_narrow ? "Passphrase: " : "Passphrase for the key file (empty = none): ");
    first = draw_stars(f, row, first, &r->pass);
    second = f->is_narrow ? 3 : first < 57 ? 57 : first + 2;
    second += (int)screen_put(f->s, again_row, second, 8, 0, "again: ");
    second = draw_stars(f, again_row, second, &r->again);
    screen_set_cursor(f->s, r->field == 0 ? row : again_row, r->field == 0 ? first : second);
}

static void draw_sound(struct ui *ui, const struct frame *f)
{
    struct firstrun *r = &ui->views.firstrun;
    char bar[METER_BYTES], text[WORDS_BYTES];

    screen_put(f->s, f->row, 1, (size_t)f->cols - 1, ui_style(ui, ROLE_TITLE), "Sound test");
    if (r->level_db == MODEL_UNKNOWN)
        snprintf(text, sizeof text, "Microphone  %-19s %s", r->mic[0] ? r->mic : "default", r->heard);
    else
        snprintf(text, sizeof text, "Microphone  %-19s %s  %lld dB  %s", r->mic[0] ? r->mic : "default",
                 meter_level(r->level_db, f->is_narrow ? 8 : 20, bar), (long long)r->level_db, r->heard);
    line(ui, f, 1, text);
    snprintf(text, sizeof text, "Speaker     %-19s p plays a tone: did you hear it?  y / n",
             r->speaker[0] ? r->speaker : "default");
    line(ui, f, 2, text);
    line(ui, f, 3, "Space records 3 s and plays it   < > other device   S skip (no sound here)");
    screen_set_cursor(f->s, f->row + 1, 3);
}

/* Your ID as a QR code where it fits below `row`; by text in any case. */
static void draw_id(struct ui *ui, const struct frame *f, int row)
{
    const char *id = model_self(ui->model)->id;
    char upper[MODEL_ID_BYTES], *qr;
    struct qr_options options = {.is_ascii = ui->config.is_ascii, .is_inverted = ui->config.has_color};
    int last = f->row + f->rows;

    screen_put(f->s, row++, 3, (size_t)f->cols - 3, ui_style(ui, ROLE_TITLE), id);
    if (id[0] == '\0' || options.is_ascii || last - row < 17 || f->cols < QR_COLUMNS_MIN + 3) {
        screen_put(f->s, row, 3, (size_t)f->cols - 3, 0, "Q shows it as a QR code.");
        return;
    }
    snprintf(upper, sizeof upper, "%s", id);
    for (size_t i = 0; upper[i] != '\0'; i++)
        upper[i] = (char)(upper[i] >= 'a' && upper[i] <= 'z' ? upper[i] - 32 : upper[i]);
    qr = qr_text(upper, &options);
    for (const char *at = qr; at != NULL && *at != '\0' && row < last; row++) {
        size_t n = strcspn(at, "\n");

        screen_printf(f->s, row, 3, (size_t)f->cols - 3, ui->config.has_color ? STYLE_INK : 0, "%.*s", (int)n,
                      at);
        at += n + (at[n] == '\n');
    }
    mem_free(qr);
}

static void draw_joining(struct ui *ui, const struct frame *f)
{
    struct firstrun *r = &ui->views.firstrun;
    const struct model_network *w = model_network(ui->model);
    bool is_joined = strcmp(w->state, "joined") == 0;
    char text[WORDS_BYTES], number[WORDS_BYTES];
    int row = f->row + 1;

    screen_put(f->s, f->row, 1, (size_t)f->cols - 1, ui_style(ui, ROLE_TITLE), "Joining the network");
    if (w->tried != MODEL_UNKNOWN && w->to_try != MODEL_UNKNOWN)
        screen_printf(f->s, row++, 3, (size_t)f->cols - 3, 0, "Looking for peers   %lld of %lld tried",
                      (long long)w->tried, (long long)w->to_try);
    else
        screen_put(f->s, row++, 3, (size_t)f->cols - 3, 0,
                   is_joined ? "Looking for peers   found" : "Looking for peers   ...");
    if (w->nat[0] != '\0') {
        bool is_public = strncmp(w->nat, "none", 4) == 0;

        snprintf(text, sizeof text, "%s%s", is_public ? "public" : "behind a router",
                 w->n_ports > 0 && w->ports[0].by[0] != '\0' ? ", port mapped" : "");
        screen_printf(f->s, row++, 3, (size_t)f->cols - 3, 0, "Your address   %s", text);
    }
    if (is_joined)
        screen_printf(f->s, row++, 3, (size_t)f->cols - 3, ui_style(ui, ROLE_GOOD), "Joined   %s peers",
                      words_number(w->peers, number));
    else if (f->now >= r->joining_since + JOIN_PATIENCE_NS && ui->notice[0] == '\0')
        ui_notice(
            ui, f->now,
            "No peer answered. Check the network, add one with :peer add HOST:PORT, or press T to test.");
    draw_id(ui, f, row);
    screen_set_cursor(f->s, row, 3);
}

static void draw(struct ui *ui, const struct frame *f)
{
    static void (*const steps[])(struct ui *, const struct frame *) = {draw_name, draw_protect, draw_sound,
                                                                       draw_joining};
    static const char *const hints[] = {
        " Enter continue", " Enter continue   S skip the phrase (title shows \"no backup\")   Esc back",
        " Enter continue", " Enter continue   n adds your first contact   T test   Esc back"};
    struct firstrun *r = &ui->views.firstrun;
    int step = r->step < 1 ? 1 : r->step;
    char right[64];

    screen_fill(f->s, 0, 0, (size_t)f->cols, ui_style(ui, ROLE_TITLE));
    screen_put(f->s, 0, 0, (size_t)f->cols, ui_style(ui, ROLE_TITLE), "ito  first run");
    snprintf(right, sizeof right, "%sStep %d of %d", r->has_no_phrase ? "no backup  " : "", step, STEPS);
    screen_put_right(f->s, 0, f->cols, 32, ui_style(ui, ROLE_TITLE), right);
    steps[step - 1](ui, f);
    screen_put(f->s, f->row + f->rows + 1, 0, (size_t)f->cols, ui_style(ui, ROLE_HINT), hints[step - 1]);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    (void)ui;
    (void)command;
    (void)now;
}

const struct view_ops view_firstrun = {.name = "First run", .draw = draw, .act = act};
