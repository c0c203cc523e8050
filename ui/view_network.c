/* 6 Network: whether we are in, how we are reached, which relays carry for us, and what we owe. */
#include <stdio.h>

#include "base/mem.h"
#include "ui/table.h"
#include "ui/ui_state.h"

static const struct view_key keys[] = {
    {CMD_TEST, CMD_NONE, "test", "test", "test the network"},
    {CMD_DETAILS, CMD_NONE, "relay details", NULL, "what the score is made of"},
    {CMD_BLOCK, CMD_NONE, "never use this relay", NULL, "never use this relay"},
    {CMD_REJOIN, CMD_NONE, "rejoin", "rejoin", "leave and join again"},
    {CMD_HELP, CMD_NONE, "help", "help", NULL},
    {CMD_OPEN, CMD_NONE, NULL, NULL, "relay details"},
    {CMD_COPY, CMD_NONE, NULL, NULL, "copy the relay's ID"},
};

static const struct model_relay *row(struct ui *ui, size_t i)
{
    size_t n;
    const struct model_relay *relays = model_relays(ui->model, &n);

    return i < n ? &relays[i] : NULL;
}

static size_t count(struct ui *ui)
{
    size_t n;

    model_relays(ui->model, &n);
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

static void cells(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    const struct model_relay *r = row(ui, i);
    char id[WORDS_BYTES];

    (void)f;
    words_short_id(r->id, id);
    snprintf(texts[0], WORDS_BYTES, r->name[0] != '\0' ? "%.64s \"%s\"" : "%.64s", id, r->name);
    words_number(r->score, texts[1]);
    words_percent(r->answer, texts[2]);
    snprintf(texts[3], WORDS_BYTES, r->rtt_ms == MODEL_UNKNOWN ? "-" : "%lld ms", (long long)r->rtt_ms);
    words_size(r->bytes, texts[4]);
    snprintf(texts[5], WORDS_BYTES, "%s", strcmp(r->role, "active") == 0 ? "in use now" : r->role);
}

static void cells_narrow(struct ui *ui, const struct frame *f, size_t i, char texts[][WORDS_BYTES])
{
    char all[TABLE_COLUMNS_MAX][WORDS_BYTES];

    cells(ui, f, i, all);
    words_short_id(row(ui, i)->id, texts[0]);
    memcpy(texts[1], all[1], WORDS_BYTES);
    memcpy(texts[2], all[5], WORDS_BYTES);
}

static void label(struct ui *ui, const struct frame *f, int row_at, const char *text)
{
    screen_put(f->s, row_at, 1, 10, ui_style(ui, ROLE_HEAD), text);
}

/* "joined 2 h 11 min ago", "joining", "offline"; and while joining why, in words. */
static void state_words(const struct frame *f, const struct model_network *w, char out[static WORDS_BYTES])
{
    char length[WORDS_BYTES];
    int64_t s = w->since_ms != MODEL_UNKNOWN ? (f->time.now_ms - w->since_ms) / 1000 : -1;

    if (w->state[0] == '\0')
        snprintf(out, WORDS_BYTES, "starting");
    else if (s >= 0)
        snprintf(out, WORDS_BYTES, "%s %.64s ago", w->state, words_length(s, length));
    else if (w->tried != MODEL_UNKNOWN && w->to_try != MODEL_UNKNOWN && strcmp(w->state, "joined") != 0)
        snprintf(out, WORDS_BYTES, "%s   %lld of %lld peers tried", w->state, (long long)w->tried,
                 (long long)w->to_try);
    else
        snprintf(out, WORDS_BYTES, "%s", w->state);
}

static void overlay_words(const struct model_network *w, char out[static WORDS_BYTES])
{
    char a[WORDS_BYTES], b[WORDS_BYTES], c[WORDS_BYTES], ok[WORDS_BYTES];
    size_t n = 0;

    out[0] = '\0';
    if (w->size_est != MODEL_UNKNOWN) {
        n = (size_t)snprintf(out, WORDS_BYTES, "about %.32s nodes", words_number(w->size_est, a));
        if (w->size_low != MODEL_UNKNOWN && w->size_high != MODEL_UNKNOWN)
            n += (size_t)snprintf(out + n, WORDS_BYTES - n, " (%.32s to %.32s)", words_number(w->size_low, b),
                                  words_number(w->size_high, c));
        n += (size_t)snprintf(out + n, WORDS_BYTES - n, "  ");
    }
    n += (size_t)snprintf(out + n, WORDS_BYTES - n, "peers %.32s", words_number(w->peers, a));
    if (w->lookups_ok >= 0)
        n += (size_t)snprintf(out + n, WORDS_BYTES - n, "  lookups %.16s ok",
                              words_percent(w->lookups_ok, ok));
    if (w->lookup_s >= 0)
        snprintf(out + n, WORDS_BYTES - n, ", %.1f s", w->lookup_s);
}

static void address_words(const struct model_network *w, char out[static WORDS_BYTES])
{
    const char *nat = w->nat[0] != '\0' ? w->nat : "unknown";

    if (strncmp(nat, "none", 4) == 0)
        nat = "none (public)";
    if (strncmp(nat, "blocked", 7) == 0)
        nat = "blocked (no UDP)";
    snprintf(out, WORDS_BYTES, "IPv4 %sNAT type: %s   IPv6 %s",
             strncmp(nat, "none", 4) == 0 ? "" : "behind a router, ", nat,
             w->ipv6[0] != '\0' ? w->ipv6 : "-");
}

/* "upnp" as people write it. */
static const char *mapper(const char *by)
{
    return strcmp(by, "upnp") == 0     ? "UPnP"
           : strcmp(by, "pcp") == 0    ? "PCP"
           : strcmp(by, "natpmp") == 0 ? "NAT-PMP"
                                       : by;
}

static void port_words(const struct frame *f, const struct model_port *p, char out[static WORDS_BYTES])
{
    char proto[8], until[WORDS_BYTES];
    size_t n;

    for (size_t i = 0; i < sizeof proto; i++)
        proto[i] = (char)(p->proto[i] >= 'a' && p->proto[i] <= 'z' ? p->proto[i] - 32 : p->proto[i]);
    n = (size_t)snprintf(out, WORDS_BYTES, "%s %lld", proto, (long long)p->local);
    if (p->by[0] == '\0' || strcmp(p->by, "closed") == 0) {
        snprintf(out + n, WORDS_BYTES - n, p->external == MODEL_UNKNOWN ? " closed" : ", outside %lld",
                 (long long)p->external);
        return;
    }
    n += (size_t)snprintf(out + n, WORDS_BYTES - n, ", mapped by %s", mapper(p->by));
    if (p->external != MODEL_UNKNOWN && p->external != p->local)
        n += (size_t)snprintf(out + n, WORDS_BYTES - n, " as %lld", (long long)p->external);
    if (p->until_ms != MODEL_UNKNOWN)
        snprintf(out + n, WORDS_BYTES - n, " until %.32s", words_clock(&f->time, p->until_ms, false, until));
}

static void draw_ports(struct ui *ui, const struct frame *f, int row_at, const struct model_network *w)
{
    int col = 11;

    label(ui, f, row_at, "Ports");
    if (w->n_ports == 0)
        screen_put(f->s, row_at, col, 20, 0, "-");
    for (size_t i = 0; i < w->n_ports; i++) {
        char text[WORDS_BYTES];

        port_words(f, &w->ports[i], text);
        if (i > 0)
            col = col < 63 ? 63 : col + 3;
        if (col < f->cols)
            col += (int)screen_put(f->s, row_at, col, (size_t)(f->cols - col), 0, text);
    }
}

static void ledger_words(const struct model_totals *t, char out[static WORDS_BYTES])
{
    char given[WORDS_BYTES], used[WORDS_BYTES], balance[WORDS_BYTES];

    snprintf(out, WORDS_BYTES, "given %.64s   used %.64s   balance %.64s",
             words_megabytes(t->given, false, given), words_megabytes(t->used, false, used),
             words_megabytes(t->balance, true, balance));
}

static void draw_reach(struct ui *ui, const struct frame *f, const struct model_network *w)
{
    char text[WORDS_BYTES];

    (void)ui;
    snprintf(text, sizeof text, "you can be reached: %s%s%s",
             w->reachable[0] != '\0' ? w->reachable : "not known yet", w->reach_by[0] != '\0' ? ", " : "",
             w->reach_by);
    screen_put(f->s, f->row, 41, (size_t)f->cols - 41, 0, text);
}

static void draw_narrow(struct ui *ui, const struct frame *f, const struct model_network *w)
{
    struct column columns[] = {{"Relay", 18, false}, {"Score", 6, false}, {"Role", 0, false}};
    struct table table = {.columns = columns,
                          .n_columns = 3,
                          .cells = cells_narrow,
                          .empty = "No relays yet.",
                          .has_head = true};
    char text[WORDS_BYTES], number[WORDS_BYTES];
    size_t room = (size_t)f->cols - 1;

    state_words(f, w, text);
    screen_put(f->s, f->row, 1, room, ui_style(ui, ROLE_TITLE), text);
    screen_printf(f->s, f->row + 1, 1, room, 0, "peers %.32s   reached: %s", words_number(w->peers, number),
                  w->reachable[0] != '\0' ? w->reachable : "-");
    screen_printf(f->s, f->row + 2, 1, room, 0, "NAT %s", w->nat[0] != '\0' ? w->nat : "-");
    table_draw(ui, f, f->row + 3, f->rows - 3, &table);
}

static void draw(struct ui *ui, const struct frame *f)
{
    static const struct column columns[] = {{"", 25, true},    {"Score", 7, false},    {"Answer", 8, false},
                                            {"RTT", 8, false}, {"Carried", 10, false}, {"Role", 0, false}};
    const struct table table = {
        .columns = columns, .n_columns = 6, .cells = cells, .empty = "No relays yet.", .has_head = true};
    const struct model_network *w = model_network(ui->model);
    char text[WORDS_BYTES];
    size_t room = (size_t)f->cols - 11;
    int rows = f->rows - 6;

    if (f->is_narrow) {
        draw_narrow(ui, f, w);
        return;
    }
    label(ui, f, f->row, "Network");
    state_words(f, w, text);
    screen_put(f->s, f->row, 11, 29, 0, text);
    draw_reach(ui, f, w);
    label(ui, f, f->row + 1, "Overlay");
    overlay_words(w, text);
    screen_put(f->s, f->row + 1, 11, room, 0, text);
    label(ui, f, f->row + 2, "Address");
    address_words(w, text);
    screen_put(f->s, f->row + 2, 11, room, 0, text);
    draw_ports(ui, f, f->row + 3, w);
    if ((size_t)rows > ui->n_rows + 1 + (ui->n_rows == 0))
        rows = (int)ui->n_rows + 1 + (ui->n_rows == 0);
    table_draw(ui, f, f->row + 4, rows, &table);
    screen_put(f->s, f->row + 4, 1, 20, ui_style(ui, ROLE_HEAD), "Relays I use");
    label(ui, f, f->row + 4 + rows, "Ledger");
    ledger_words(model_totals(ui->model), text);
    screen_put(f->s, f->row + 4 + rows, 11, room, 0, text);
}

static void show_details(struct ui *ui, const struct model_relay *r)
{
    char score[WORDS_BYTES], answer[WORDS_BYTES], carried[WORDS_BYTES], *text;

    text = mem_printf(
        "ID        %s\nName      \"%s\" (what it calls itself)\nScore     %s of 100\nAnswered  %s\n"
        "Carried   %s\nRole      %s\n%s\n\nA score is made of what this phone saw itself: how often the "
        "relay "
        "answered, whether it stayed up, how much delay it added, and whether it kept its promises.\n"
        "It is shown from the third use on.\n",
        r->id, r->name, words_number(r->score, score), words_percent(r->answer, answer),
        words_size(r->bytes, carried), r->role, r->parts);
    ui_popup(ui, "Relay", text);
    mem_free(text);
}

static void act(struct ui *ui, enum command command, ns_t now)
{
    const struct model_relay *r = row(ui, ui_selected(ui));

    if (command == CMD_TEST) {
        ui_notice(ui, now, "Testing the network...");
        ui_ask_text(ui, "doctor", "part", "net");
    } else if (command == CMD_REJOIN) {
        ui_notice(ui, now, "Joining again...");
        ui_ask(ui, "rejoin");
    } else if (command == CMD_HELP) {
        ui_popup_help(ui);
    } else if (r == NULL) {
        ui_notice(ui, now, "No relay is selected.");
    } else if (command == CMD_BLOCK) {
        ui_prompt(ui, PROMPT_ASK_NEVER, "Never use this relay again? y/N ", r->id, "");
    } else if (command == CMD_COPY) {
        ui_copy(ui, r->id, now);
    } else {
        show_details(ui, r);
    }
}

static void open_view(struct ui *ui)
{
    ui_ask(ui, "status");
    ui_ask(ui, "relays");
    ui_ask(ui, "ledger");
}

const struct view_ops view_network = {
    .name = "Network",
    .keys = keys,
    .n_keys = sizeof keys / sizeof *keys,
    .draw = draw,
    .act = act,
    .count = count,
    .key = key,
    .matches = matches,
    .open = open_view,
};
