/* `:` commands: the words of the command line (UX §6), each one request to the core or one screen. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ui/ui_state.h"

#define WORDS_MAX   16
#define USAGE_BYTES 128

struct line {
    char *copy;
    char *words[WORDS_MAX];
    const char *rests[WORDS_MAX]; /* the original text from that word on */
    size_t n;
};

enum shape {
    NO_ARGS,
    REST,   /* one argument: all that is left */
    TWO,    /* one word, then all that is left */
    MAYBE,  /* as REST, but may be missing */
    ON_OFF, /* on | off */
    NUMBER,
    NUMBER_TWO, /* a number, then a word */
    SCREEN,     /* shows view */
    SPECIAL
};

struct verb {
    const char *word, *sub; /* sub NULL: takes no second word */
    enum shape shape;
    const char *cmd, *key1, *key2;
    enum view_id view;
};

static const struct verb verbs[] = {
    {"call", NULL, REST, "call", "to", NULL, 0},
    {"answer", NULL, NO_ARGS, "answer", NULL, NULL, 0},
    {"decline", NULL, NO_ARGS, "decline", NULL, NULL, 0},
    {"hangup", NULL, NO_ARGS, "hangup", NULL, NULL, 0},
    {"silence", NULL, NO_ARGS, "silence", NULL, NULL, 0},
    {"mute", NULL, ON_OFF, "mute", "on", NULL, 0},
    {"hold", NULL, ON_OFF, "hold", "on", NULL, 0},
    {"dtmf", NULL, REST, "dtmf", "digits", NULL, 0},
    {"volume", NULL, NUMBER, "volume", "pct", NULL, 0},
    {"gain", NULL, NUMBER, "gain", "db", NULL, 0},
    {"id", NULL, SPECIAL, "id", NULL, NULL, 0},
    {"contacts", "list", SCREEN, NULL, NULL, NULL, VIEW_CONTACTS},
    {"contacts", "add", TWO, "contacts_add", "id", "name", 0},
    {"contacts", "allow", REST, "contacts_allow", "contact", NULL, 0},
    {"contacts", "block", REST, "contacts_block", "contact", NULL, 0},
    {"contacts", "remove", REST, "contacts_remove", "contact", NULL, 0},
    {"contacts", "rename", TWO, "contacts_rename", "contact", "name", 0},
    {"contacts", "undo", NO_ARGS, "contacts_undo", NULL, NULL, 0},
    {"contacts", "import", SPECIAL, "contacts_import", "file", NULL, 0},
    {"contacts", "export", MAYBE, "contacts_export", "file", NULL, 0},
    {"requests", "list", SCREEN, NULL, NULL, NULL, VIEW_REQUESTS},
    {"requests", "allow", NUMBER, "requests_allow", "n", NULL, 0},
    {"requests", "block", NUMBER, "requests_block", "n", NULL, 0},
    {"requests", "delete", NUMBER, "requests_delete", "n", NULL, 0},
    {"requests", "send", TWO, "requests_send", "id", "note", 0},
    {"invite", NULL, SPECIAL, "invite", NULL, NULL, 0},
    {"history", NULL, SCREEN, NULL, NULL, NULL, VIEW_CALLS},
    {"voicemail", "list", SCREEN, NULL, NULL, NULL, VIEW_VOICE},
    {"voicemail", "play", NUMBER, "voicemail_play", "n", NULL, 0},
    {"voicemail", "save", NUMBER_TWO, "voicemail_save", "n", "file", 0},
    {"voicemail", "delete", NUMBER, "voicemail_delete", "n", NULL, 0},
    {"greeting", "record", NO_ARGS, "greeting_record", NULL, NULL, 0},
    {"message", NULL, TWO, "message", "to", "text", 0},
    {"status", NULL, SPECIAL, "status", NULL, NULL, 0},
    {"relays", NULL, SCREEN, NULL, NULL, NULL, VIEW_NETWORK},
    {"relays", "never", REST, "relays_never", "id", NULL, 0},
    {"ledger", NULL, SCREEN, NULL, NULL, NULL, VIEW_NETWORK},
    {"ledger", "sponsor", REST, "sponsor", "contact", NULL, 0},
    {"ledger", "unsponsor", REST, "unsponsor", "contact", NULL, 0},
    {"log", NULL, SCREEN, NULL, NULL, NULL, VIEW_LOG},
    {"doctor", NULL, MAYBE, "doctor", "part", NULL, 0},
    {"config", "show", SCREEN, NULL, NULL, NULL, VIEW_SETUP},
    {"config", "check", MAYBE, "config_check", "file", NULL, 0},
    {"config", "get", REST, "config_get", "key", NULL, 0},
    {"config", "set", TWO, "config_set", "key", "value", 0},
    {"keys", "export", REST, "keys_export", "file", NULL, 0},
    {"keys", "import", REST, "keys_import", "file", NULL, 0},
    {"keys", "phrase", REST, "keys_phrase", "phrase", NULL, 0},
    {"devices", "list", NO_ARGS, "devices", NULL, NULL, 0},
    {"devices", "link", NO_ARGS, "devices_link", NULL, NULL, 0},
    {"devices", "remove", NUMBER, "devices_remove", "n", NULL, 0},
    {"peer", "add", REST, "peer_add", "addr", NULL, 0},
    {"relay", "on", SPECIAL, "relay", NULL, NULL, 0},
    {"relay", "off", SPECIAL, "relay", NULL, NULL, 0},
    {"verify", NULL, REST, "verify", "contact", NULL, 0},
    {"sort", NULL, SPECIAL, "sort", NULL, NULL, 0},
    {"export", NULL, SPECIAL, "export", NULL, NULL, 0},
    {"rejoin", NULL, NO_ARGS, "rejoin", NULL, NULL, 0},
    {"qr", NULL, SPECIAL, "qr", NULL, NULL, 0},
    {"help", NULL, SPECIAL, "help", NULL, NULL, 0},
    {"quit", NULL, SPECIAL, "quit", NULL, NULL, 0},
    {"init", NULL, SPECIAL, "outside", NULL, NULL, 0},
    {"daemon", NULL, SPECIAL, "outside", NULL, NULL, 0},
    {"watch", NULL, SPECIAL, "outside", NULL, NULL, 0},
    {"completion", NULL, SPECIAL, "outside", NULL, NULL, 0},
    {"dht", NULL, SPECIAL, "outside", NULL, NULL, 0},
};

#define N_VERBS (sizeof verbs / sizeof *verbs)

/* ---- words ---- */

/* Split at blanks; "quoted words" stay together. */
static void split(struct line *l, const char *text)
{
    char *at = l->copy = mem_str(text), *out;

    l->n = 0;
    while (l->n < WORDS_MAX) {
        bool is_quoted = false;

        at += strspn(at, " ");
        if (*at == '\0')
            break;
        l->rests[l->n] = text + (at - l->copy);
        l->words[l->n++] = out = at;
        while (*at != '\0' && (is_quoted || *at != ' ')) {
            if (*at == '"')
                is_quoted = !is_quoted;
            else
                *out++ = *at;
            at++;
        }
        if (*at != '\0')
            at++;
        *out = '\0';
    }
}

/* All from word i on; a quoted text loses its quotes when it is the last word. */
static const char *rest_from(const struct line *l, size_t i)
{
    return i + 1 == l->n ? l->words[i] : l->rests[i];
}

static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[32];

    if (n >= 32)
        return 32;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t swap = corner + (a[i - 1] != b[j - 1]), least = row[j] < row[j - 1] ? row[j] : row[j - 1];

            corner = row[j];
            row[j] = swap < least + 1 ? swap : least + 1;
        }
    }
    return row[n];
}

static void unknown(struct ui *ui, const char *word, const char *before, ns_t now)
{
    const char *best = NULL;
    size_t least = 3;

    for (size_t i = 0; i < N_VERBS; i++) {
        const char *candidate = before == NULL ? verbs[i].word : verbs[i].sub;
        size_t d;

        if (candidate == NULL || (before != NULL && strcmp(verbs[i].word, before) != 0))
            continue;
        d = distance(word, candidate);
        if (d < least) {
            least = d;
            best = candidate;
        }
    }
    if (best != NULL)
        ui_notice(ui, now, "Unknown command \"%s%s%s\". Did you mean \"%s%s%s\"?", before ? before : "",
                  before ? " " : "", word, before ? before : "", before ? " " : "", best);
    else
        ui_notice(ui, now, "Unknown command \"%s%s%s\". ? shows the keys.", before ? before : "",
                  before ? " " : "", word);
}

/* ---- commands with a body of their own ---- */

static void show_status(struct ui *ui)
{
    const struct model_self *self = model_self(ui->model);
    const struct model_network *w = model_network(ui->model);
    size_t n_calls, n_contacts;
    char *text, number[WORDS_BYTES];

    model_calls(ui->model, &n_calls);
    model_contacts(ui->model, &n_contacts);
    text = mem_printf(
        "ID        %s\nName      %s\nMode      %s\nNetwork   %s, %s peers, NAT type: %s\nContacts  %zu\n"
        "Calls     %zu\nRequests  %lld\nMissed    %lld\nVoicemail %lld\nRelay     %s\n",
        self->id, self->name, self->mode, w->state[0] != '\0' ? w->state : "unknown",
        words_number(w->peers, number), w->nat, n_contacts, n_calls, (long long)self->requests,
        (long long)self->missed, (long long)self->voicemail, model_service(ui->model)->is_on ? "on" : "off");
    ui_popup(ui, "Status", text);
    mem_free(text);
}

/* invite [--expires 7d] [--uses 1] */
static void run_invite(struct ui *ui, const struct line *l)
{
    cJSON *o = cJSON_CreateObject();

    for (size_t i = 1; i + 1 < l->n; i += 2) {
        if (strcmp(l->words[i], "--expires") == 0)
            cJSON_AddStringToObject(o, "expires", l->words[i + 1]);
        else if (strcmp(l->words[i], "--uses") == 0)
            cJSON_AddNumberToObject(o, "uses", atoi(l->words[i + 1]));
    }
    ui_ask_take(ui, "invite", o);
}

/* :export FILE saves the voicemail that is selected. */
static void run_export(struct ui *ui, const struct line *l, ns_t now)
{
    size_t n, i = ui->view == VIEW_VOICE ? ui_selected(ui) : SIZE_MAX;
    const struct model_voicemail *v = model_voicemails(ui->model, &n);
    cJSON *o;

    if (i >= n || l->n < 2) {
        ui_notice(ui, now, i >= n ? "Select a voicemail first (5)." : "usage: export FILE");
        return;
    }
    o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "n", (double)v[i].n);
    cJSON_AddStringToObject(o, "file", rest_from(l, 1));
    ui_ask_take(ui, "voicemail_save", o);
}

/* :contacts import FILE: the core takes the text, so that a daemon need not find the file. */
static void run_import(struct ui *ui, const struct line *l, ns_t now)
{
    struct err_detail detail = {{0}};
    char *text;
    cJSON *o;

    if (l->n < 3 || ui->config.read_file == NULL) {
        ui_notice(ui, now,
                  l->n < 3 ? "usage: contacts import FILE" : "Use the shell: ito contacts import FILE");
        return;
    }
    text = ui->config.read_file(rest_from(l, 2), &detail);
    if (text == NULL) {
        ui_notice(ui, now, "%s", detail.text);
        return;
    }
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", rest_from(l, 2));
    cJSON_AddStringToObject(o, "text", text);
    mem_free(text);
    ui_ask_take(ui, "contacts_import", o);
}

static void run_sort(struct ui *ui, const struct line *l, ns_t now)
{
    const char *by = l->n > 1 ? l->words[1] : "state";

    if (l->n > 2 || (strcmp(by, "name") != 0 && strcmp(by, "seen") != 0 && strcmp(by, "state") != 0))
        ui_notice(ui, now, "usage: sort name|seen|state");
    else
        model_sort_contacts(ui->model, by);
}

static void run_special(struct ui *ui, const struct verb *v, const struct line *l, ns_t now)
{
    const struct model_self *self = model_self(ui->model);

    if (strcmp(v->cmd, "id") == 0)
        ui_popup(ui, "Your ID", self->id);
    else if (strcmp(v->cmd, "qr") == 0)
        ui_popup_qr(ui, self->id, now);
    else if (strcmp(v->cmd, "status") == 0)
        show_status(ui);
    else if (strcmp(v->cmd, "contacts_import") == 0)
        run_import(ui, l, now);
    else if (strcmp(v->cmd, "invite") == 0)
        run_invite(ui, l);
    else if (strcmp(v->cmd, "relay") == 0)
        ui_ask_bool(ui, "relay", "on", strcmp(v->sub, "on") == 0);
    else if (strcmp(v->cmd, "sort") == 0)
        run_sort(ui, l, now);
    else if (strcmp(v->cmd, "export") == 0)
        run_export(ui, l, now);
    else if (strcmp(v->cmd, "help") == 0)
        ui_popup_help(ui);
    else if (strcmp(v->cmd, "quit") == 0)
        ui_quit(ui, now);
    else
        ui_notice(ui, now, "\"%s\" is for the shell: ito %s", v->word, v->word);
}

/* ---- run ---- */

/* "contacts rename CONTACT NAME" */
static void usage_text(const struct verb *v, char out[static USAGE_BYTES])
{
    char args[USAGE_BYTES / 2] = "";

    if (v->shape == ON_OFF)
        snprintf(args, sizeof args, " on|off");
    else if (v->shape != NO_ARGS && v->shape != SCREEN && v->key1 != NULL)
        snprintf(args, sizeof args, " %s%s%s%s%s", v->shape == MAYBE ? "[" : "", v->key1,
                 v->key2 != NULL ? " " : "", v->key2 != NULL ? v->key2 : "", v->shape == MAYBE ? "]" : "");
    for (size_t i = 0; args[i] != '\0' && v->shape != ON_OFF; i++)
        args[i] = (char)(args[i] >= 'a' && args[i] <= 'z' ? args[i] - 32 : args[i]);
    snprintf(out, USAGE_BYTES, "%s%s%s%s", v->word, v->sub != NULL ? " " : "", v->sub != NULL ? v->sub : "",
             args);
}

static void usage(struct ui *ui, const struct verb *v, ns_t now)
{
    char text[USAGE_BYTES];

    usage_text(v, text);
    ui_notice(ui, now, "usage: %s", text);
}

void cmdline_list(void (*say)(void *arg, const char *line), void *arg)
{
    for (size_t i = 0; i < N_VERBS; i++) {
        char text[USAGE_BYTES];

        if (verbs[i].cmd != NULL && strcmp(verbs[i].cmd, "outside") == 0)
            continue;
        usage_text(&verbs[i], text);
        say(arg, text);
    }
}

/* Send the request of a verb whose arguments begin at word `at`; false when they are not what it takes. */
static bool send_verb(struct ui *ui, const struct verb *v, const struct line *l, size_t at)
{
    cJSON *o = cJSON_CreateObject();
    char *end = NULL;
    bool has_one = l->n > at, is_good = true;
    double number = has_one ? strtod(l->words[at], &end) : 0;

    if (v->shape == NUMBER || v->shape == NUMBER_TWO) {
        is_good = has_one && *end == '\0' && (v->shape == NUMBER || l->n > at + 1);
        cJSON_AddNumberToObject(o, v->key1, number);
        if (is_good && v->shape == NUMBER_TWO)
            cJSON_AddStringToObject(o, v->key2, rest_from(l, at + 1));
    } else if (v->shape == ON_OFF) {
        is_good = has_one && (strcmp(l->words[at], "on") == 0 || strcmp(l->words[at], "off") == 0);
        cJSON_AddBoolToObject(o, v->key1, is_good && strcmp(l->words[at], "on") == 0);
    } else if (v->shape == TWO) {
        is_good = l->n > at + 1 || (has_one && strcmp(v->cmd, "contacts_add") == 0);
        if (has_one)
            cJSON_AddStringToObject(o, v->key1, l->words[at]);
        if (l->n > at + 1)
            cJSON_AddStringToObject(o, v->key2, rest_from(l, at + 1));
    } else if (v->shape == REST || v->shape == MAYBE) {
        is_good = has_one || v->shape == MAYBE;
        if (has_one)
            cJSON_AddStringToObject(o, v->key1, rest_from(l, at));
        if (strcmp(v->cmd, "verify") == 0)
            cJSON_AddBoolToObject(o, "on", true);
    }
    if (is_good)
        ui_ask_take(ui, v->cmd, o);
    else
        cJSON_Delete(o);
    return is_good;
}

/* A word behind a command that takes none; false: there is none. */
static bool has_extra(struct ui *ui, const struct verb *v, const struct line *l, ns_t now)
{
    size_t n = v->sub != NULL && l->n > 1 ? 2 : 1;

    if ((v->shape != NO_ARGS && v->shape != SCREEN) || l->n <= n)
        return false;
    ui_notice(ui, now, "%s%s%s takes no argument \"%s\".", v->word, n == 2 ? " " : "", n == 2 ? v->sub : "",
              l->words[n]);
    return true;
}

static void run_verb(struct ui *ui, const struct verb *v, const struct line *l, ns_t now)
{
    if (has_extra(ui, v, l, now))
        return;
    if (v->shape == SCREEN)
        ui_show(ui, v->view, now);
    else if (v->shape == SPECIAL)
        run_special(ui, v, l, now);
    else if (!send_verb(ui, v, l, v->sub != NULL ? 2 : 1))
        usage(ui, v, now);
}

/* The verb of a line: with its second word when it has such, without when it takes none or has "list". */
static const struct verb *find_verb(const struct line *l, bool *has_word)
{
    const struct verb *bare = NULL;

    *has_word = false;
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(verbs[i].word, l->words[0]) != 0)
            continue;
        *has_word = true;
        if (verbs[i].sub != NULL && l->n > 1 && strcmp(verbs[i].sub, l->words[1]) == 0)
            return &verbs[i];
        if (verbs[i].sub == NULL ||
            (l->n == 1 && (strcmp(verbs[i].sub, "list") == 0 || strcmp(verbs[i].sub, "show") == 0)))
            bare = bare == NULL ? &verbs[i] : bare;
    }
    return bare;
}

void cmdline_run(struct ui *ui, const char *text, ns_t now)
{
    struct line l;
    bool has_word;
    const struct verb *v;

    split(&l, text);
    if (l.n > 0) {
        v = find_verb(&l, &has_word);
        if (v != NULL)
            run_verb(ui, v, &l, now);
        else if (has_word && l.n > 1)
            unknown(ui, l.words[1], l.words[0], now);
        else if (has_word)
            ui_notice(ui, now, "%s what? Tab shows the words.", l.words[0]);
        else
            unknown(ui, l.words[0], NULL, now);
    }
    mem_wipe(l.copy, strlen(text));
    mem_free(l.copy);
}

/* ---- completion ---- */

struct choices {
    const char *prefix;
    char common[256]; /* what all have in common */
    char list[1024];
    size_t n;
};

static void choice(struct choices *c, const char *word)
{
    size_t n = strlen(c->prefix), same = 0;

    if (word == NULL || word[0] == '\0' || strncmp(word, c->prefix, n) != 0)
        return;
    if (c->n > 0 && strstr(c->list, word) != NULL && strlen(c->list) > 0) {
        char padded[300];

        snprintf(padded, sizeof padded, "  %.256s  ", word);
        if (strstr(c->list, padded) != NULL)
            return;
    }
    if (c->n++ == 0)
        snprintf(c->common, sizeof c->common, "%s", word);
    while (c->common[same] != '\0' && c->common[same] == word[same])
        same++;
    c->common[same] = '\0';
    snprintf(c->list + strlen(c->list), sizeof c->list - strlen(c->list), "%s%s  ", c->n == 1 ? "  " : "",
             word);
}

/* What may stand at word i of the line. */
static void offer(struct ui *ui, const struct line *l, size_t i, struct choices *c)
{
    const char *key = NULL;
    size_t n;

    if (i == 0) {
        for (size_t k = 0; k < N_VERBS; k++)
            choice(c, verbs[k].word);
        return;
    }
    for (size_t k = 0; k < N_VERBS; k++) {
        if (strcmp(verbs[k].word, l->words[0]) != 0)
            continue;
        if (i == 1 && verbs[k].sub != NULL)
            choice(c, verbs[k].sub);
        else if (verbs[k].sub == NULL ? i == 1 : i == 2 && strcmp(verbs[k].sub, l->words[1]) == 0)
            key = verbs[k].key1;
    }
    if (key != NULL && (strcmp(key, "to") == 0 || strcmp(key, "contact") == 0)) {
        const struct model_contact *contacts = model_contacts(ui->model, &n);

        for (size_t k = 0; k < n; k++) {
            choice(c, contacts[k].name);
            if (c->prefix[0] != '\0')
                choice(c, contacts[k].id);
        }
    }
    if (key != NULL && strcmp(key, "key") == 0) {
        const struct model_setting *settings = model_settings(ui->model, &n);

        for (size_t k = 0; k < n; k++)
            choice(c, settings[k].key);
    }
    if (key != NULL && strcmp(key, "file") == 0 && ui->config.list_files != NULL) {
        char *names = ui->config.list_files(c->prefix), *save = NULL;

        for (char *name = names != NULL ? strtok_r(names, "\n", &save) : NULL; name != NULL;
             name = strtok_r(NULL, "\n", &save))
            choice(c, name);
        mem_free(names);
    }
}

void cmdline_complete(struct ui *ui, ns_t now)
{
    struct prompt *p = &ui->prompt;
    struct choices c = {0};
    struct line l;
    char head[LINEEDIT_BYTES];
    bool is_new_word;
    size_t i, from;

    memcpy(head, p->edit.text, p->edit.caret);
    head[p->edit.caret] = '\0';
    is_new_word = p->edit.caret == 0 || head[p->edit.caret - 1] == ' ';
    split(&l, head);
    i = is_new_word ? l.n : l.n - 1;
    from = is_new_word ? p->edit.caret : (size_t)(l.rests[i] - head);
    c.prefix = is_new_word ? "" : head + from;
    if (i < WORDS_MAX)
        offer(ui, &l, i, &c);
    if (c.n > 0 && strlen(c.common) > strlen(c.prefix)) {
        lineedit_replace(&p->edit, from, c.common);
        if (c.n == 1)
            lineedit_key(&p->edit, ' ');
        p->n_tabs = 0;
    } else if (c.n > 1 && p->n_tabs >= 2) {
        ui_notice(ui, now, "%s", c.list + 2);
    } else if (c.n == 1) {
        lineedit_key(&p->edit, ' ');
    }
    mem_free(l.copy);
}
