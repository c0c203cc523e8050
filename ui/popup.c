/* Boxes over the screen: help, details, the QR code of the own ID. */
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ui/qr.h"
#include "ui/ui_state.h"

#define HELP_LEFT 41 /* columns of "This screen", with the frame */
#define HELP_ITEM 17 /* half a line of "Everywhere" */
#define TEXT_MAX  512

void popup_close(struct ui *ui)
{
    for (size_t i = 0; i < ui->popup.n_lines; i++)
        mem_free(ui->popup.lines[i]);
    mem_free(ui->popup.lines);
    memset(&ui->popup, 0, sizeof ui->popup);
    ui->is_dirty = true;
}

static void add_line(struct popup *p, const char *text, size_t n)
{
    p->lines = mem_resize(p->lines, p->n_lines + 1, sizeof *p->lines);
    p->lines[p->n_lines++] = mem_str_slice(slice_of(text, n));
}

/* Lines longer than the box go on in the next one. */
static void add_wrapped(struct ui *ui, const char *line, size_t n)
{
    size_t room = screen_cols(ui->screen) > 8 ? (size_t)screen_cols(ui->screen) - 4 : 4;

    do {
        size_t fits = utf8_fit(line, n, room, ui->config.is_ambiguous_wide), cut = fits;

        while (fits < n && cut > 0 && line[cut] != ' ')
            cut--;
        if (fits < n && cut > 0)
            fits = cut;
        if (fits == 0 && n > 0)
            fits = n;
        add_line(&ui->popup, line, fits);
        line += fits;
        n -= fits;
        while (n > 0 && *line == ' ') {
            line++;
            n--;
        }
    } while (n > 0);
}

void ui_popup(struct ui *ui, const char *title, const char *text)
{
    popup_close(ui);
    ui->popup.kind = POPUP_TEXT;
    snprintf(ui->popup.title, sizeof ui->popup.title, "%s", title);
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");

        add_wrapped(ui, text, n);
        text += n + (text[n] == '\n');
    }
}

/* ---- QR code ---- */

void ui_popup_qr(struct ui *ui, const char *id, ns_t now)
{
    char upper[MODEL_ID_BYTES], *text;
    struct qr_options options = {
        .is_ascii = ui->config.is_ascii, .has_color = false, .is_inverted = ui->config.has_color};

    if (id[0] == '\0') {
        ui_notice(ui, now, "There is no ID yet.");
        return;
    }
    if (screen_cols(ui->screen) < QR_COLUMNS_MIN) {
        ui_notice(ui, now, "Window too narrow for the QR code (33 columns). %s", id);
        return;
    }
    snprintf(upper, sizeof upper, "%s", id);
    for (size_t i = 0; upper[i] != '\0'; i++)
        upper[i] = (char)(upper[i] >= 'a' && upper[i] <= 'z' ? upper[i] - 32 : upper[i]);
    text = qr_text(upper, &options);
    popup_close(ui);
    ui->popup.kind = POPUP_QR;
    snprintf(ui->popup.title, sizeof ui->popup.title, "Your ID");
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, "\n");

        add_line(&ui->popup, at, n);
        at += n + (at[n] == '\n');
    }
    add_line(&ui->popup, id, strlen(id));
    mem_free(text);
}

static void draw_qr(struct ui *ui, const struct frame *f)
{
    const struct popup *p = &ui->popup;
    int row = 0;

    for (int r = 0; r < f->row + f->rows; r++)
        screen_fill(f->s, r, 0, (size_t)f->cols, 0);
    for (size_t i = p->top; i < p->n_lines && row < f->row + f->rows; i++, row++) {
        bool is_code = i + 1 < p->n_lines;

        screen_put(f->s, row, 1, (size_t)f->cols - 1, is_code && ui->config.has_color ? STYLE_INK : 0,
                   p->lines[i]);
    }
    screen_set_cursor(f->s, row - 1, 1);
}

/* ---- help ---- */

/* Everywhere: what every screen takes, in the order it is shown. */
static const struct view_key everywhere[] = {
    {CMD_ALT_ANSWER, CMD_NONE, NULL, NULL, "answer"},
    {CMD_ALT_DECLINE, CMD_NONE, NULL, NULL, "decline"},
    {CMD_SCREEN_1, CMD_SCREEN_9, NULL, NULL, "screens"},
    {CMD_CURRENT, CMD_NONE, NULL, NULL, "the call"},
    {CMD_LINE, CMD_NONE, NULL, NULL, "command"},
    {CMD_QUIT, CMD_NONE, NULL, NULL, "quit"},
    {CMD_ALT_HANGUP, CMD_NONE, NULL, NULL, "hang up"},
    {CMD_HELP, CMD_NONE, NULL, NULL, "help"},
    {CMD_DOWN, CMD_UP, NULL, NULL, "move"},
    {CMD_TOP, CMD_BOTTOM, NULL, NULL, "ends"},
    {CMD_PAGE_DOWN, CMD_NONE, NULL, NULL, "half a page down"},
    {CMD_PAGE_UP, CMD_NONE, NULL, NULL, "half a page up"},
    {CMD_NEXT_SCREEN, CMD_NONE, NULL, NULL, "next"},
    {CMD_LAST_SCREEN, CMD_NONE, NULL, NULL, "screen before"},
    {CMD_OPEN, CMD_NONE, NULL, NULL, "open"},
    {CMD_BACK, CMD_NONE, NULL, NULL, "back"},
    {CMD_HANGUP, CMD_NONE, NULL, NULL, "hang up"},
    {CMD_MUTE, CMD_NONE, NULL, NULL, "mute"},
    {CMD_QR, CMD_NONE, NULL, NULL, "your QR"},
    {CMD_REDRAW, CMD_NONE, NULL, NULL, "redraw"},
    {CMD_SUSPEND, CMD_NONE, NULL, NULL, "suspend"},
};

static void help_item(struct ui *ui, const struct view_key *k, const char *words, char out[static TEXT_MAX])
{
    char first[KEY_TEXT_BYTES], second[KEY_TEXT_BYTES], keys[2 * KEY_TEXT_BYTES + 2];

    key_print(keymap_key(&ui->keymap, k->command), first);
    snprintf(keys, sizeof keys, "%s", first);
    if (k->second != CMD_NONE) {
        key_print(keymap_key(&ui->keymap, k->second), second);
        snprintf(keys, sizeof keys, "%s%s%s", first, k->command == CMD_SCREEN_1 ? "-" : " ", second);
    }
    snprintf(out, TEXT_MAX, "%-6s %s", keys, words);
}

/* The two columns as lines; with a find text only what contains it. */
static size_t help_column(struct ui *ui, const struct view_key *keys, size_t n, bool is_packed,
                          char (*lines)[TEXT_MAX])
{
    size_t n_lines = 0;
    bool is_half = false;

    for (size_t i = 0; i < n; i++) {
        char item[TEXT_MAX];
        size_t wide;

        if (keys[i].help == NULL || keys[i].help[0] == '\0')
            continue;
        help_item(ui, &keys[i], keys[i].help, item);
        if (ui->popup.find[0] != '\0' && strstr(item, ui->popup.find) == NULL)
            continue;
        wide = strlen(item);
        if (is_packed && is_half && wide < HELP_ITEM + 3) {
            size_t at = strlen(lines[n_lines - 1]);

            snprintf(lines[n_lines - 1] + at, TEXT_MAX - at, "%*s%s", (int)(HELP_ITEM - at), "", item);
            is_half = false;
            continue;
        }
        memcpy(lines[n_lines++], item, sizeof item);
        is_half = wide < HELP_ITEM;
    }
    return n_lines;
}

void ui_popup_help(struct ui *ui)
{
    popup_close(ui);
    ui->popup.kind = POPUP_HELP;
    snprintf(ui->popup.title, sizeof ui->popup.title, "Help: %s", ui_view_ops(ui->view)->name);
}

#define HELP_LINES 64

/* Rebuild the lines for this width: side by side when there is room, else one below the other. */
static void help_lines(struct ui *ui, const struct frame *f)
{
    static const size_t n_everywhere = sizeof everywhere / sizeof *everywhere;
    const struct view_ops *ops = ui_view_ops(ui->view);
    char(*left)[TEXT_MAX] = mem_array(HELP_LINES, TEXT_MAX),
    (*right)[TEXT_MAX] = mem_array(HELP_LINES, TEXT_MAX);
    size_t n_left = help_column(ui, ops->keys, ops->n_keys, false, left), n_right;
    struct popup *p = &ui->popup;
    char line[2 * TEXT_MAX];

    n_right = help_column(ui, everywhere, n_everywhere, true, right);
    for (size_t i = 0; i < p->n_lines; i++)
        mem_free(p->lines[i]);
    p->n_lines = 0;
    if (f->is_narrow) {
        for (size_t i = 0; i < n_left; i++)
            add_line(p, left[i], strlen(left[i]));
        for (size_t i = 0; i < n_right; i++)
            add_line(p, right[i], strlen(right[i]));
    } else {
        snprintf(line, sizeof line, "%-*s%s", HELP_LEFT, "This screen", "Everywhere");
        add_line(p, line, strlen(line));
        for (size_t i = 0; i < n_left || i < n_right; i++) {
            snprintf(line, sizeof line, "%-*s%s", i < n_right ? HELP_LEFT : 0, i < n_left ? left[i] : "",
                     i < n_right ? right[i] : "");
            add_line(p, line, strlen(line));
        }
    }
    mem_free(left);
    mem_free(right);
}

/* ---- drawing and keys ---- */

void popup_draw(struct ui *ui, const struct frame *f)
{
    struct popup *p = &ui->popup;
    char right[64];
    int row = f->row, rows;
    size_t last;

    if (p->kind == POPUP_QR) {
        draw_qr(ui, f);
        return;
    }
    if (p->kind == POPUP_HELP)
        help_lines(ui, f);
    rows = (int)p->n_lines + 2 < f->rows ? (int)p->n_lines + 2 : f->rows;
    p->height = (size_t)rows - 2;
    if (p->top + p->height > p->n_lines)
        p->top = p->n_lines > p->height ? p->n_lines - p->height : 0;
    last = p->top + p->height < p->n_lines ? p->top + p->height : p->n_lines;
    snprintf(right, sizeof right, "%zu to %zu of %zu", p->n_lines > 0 ? p->top + 1 : 0, last, p->n_lines);
    screen_box(f->s, row, 0, (size_t)rows, (size_t)f->cols, ui_style(ui, ROLE_BOX), p->title, right);
    for (size_t i = p->top; i < last; i++)
        screen_put(f->s, row + 1 + (int)(i - p->top), 2, (size_t)f->cols - 4,
                   ui_style(ui, p->kind == POPUP_HELP && i == 0 && !f->is_narrow ? ROLE_HEAD : ROLE_TEXT),
                   p->lines[i]);
    screen_put(f->s, row + rows - 1, 1, (size_t)f->cols - 2, ui_style(ui, ROLE_BOX),
               p->kind == POPUP_HELP ? " j k scroll   / find a key   Esc close "
                                     : " j k scroll   y copy   Esc close ");
    screen_set_cursor(f->s, row + 1, 2);
}

static void copy_lines(struct ui *ui, ns_t now)
{
    char *all = mem_str("");

    for (size_t i = 0; i < ui->popup.n_lines; i++) {
        char *longer = mem_printf("%s%s\n", all, ui->popup.lines[i]);

        mem_free(all);
        all = longer;
    }
    ui_copy(ui, all, now);
    mem_free(all);
}

void popup_key(struct ui *ui, uint32_t key, ns_t now)
{
    struct popup *p = &ui->popup;
    enum command command = keymap_command(&ui->keymap, key);
    size_t step = command == CMD_PAGE_UP || command == CMD_PAGE_DOWN ? p->height / 2 + 1 : 1;

    if (command == CMD_BACK || command == CMD_QUIT || command == CMD_HELP || command == CMD_OPEN ||
        (p->kind == POPUP_QR && command == CMD_QR)) {
        popup_close(ui);
    } else if (command == CMD_DOWN || command == CMD_PAGE_DOWN) {
        p->top = p->top + step + p->height <= p->n_lines ? p->top + step
                 : p->n_lines > p->height                ? p->n_lines - p->height
                                                         : 0;
    } else if (command == CMD_UP || command == CMD_PAGE_UP) {
        p->top = p->top > step ? p->top - step : 0;
    } else if (command == CMD_FILTER && p->kind == POPUP_HELP) {
        ui_prompt(ui, PROMPT_HELP_FIND, "Find: ", "", "");
    } else if (command == CMD_COPY && p->kind != POPUP_HELP) {
        copy_lines(ui, now);
    }
}
