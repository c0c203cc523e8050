/* What there is, as tables or as JSON: contacts, requests, history, status, relays, ledger (UX.md §6). */
#include <stdio.h>
#include <string.h>

#include "app/model.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "ui/screen_curses.h"
#include "ui/words.h"
#include "verb.h"

/* ---- tables: columns by width, two blanks between ---- */

#define COLUMNS_MAX 8

struct grid {
    char **cells; /* n_rows * n_columns, row by row; the first row is the heading */
    size_t n_columns, n_rows;
};

static void grid_row(struct grid *g, const char *const cells[])
{
    g->cells = mem_resize(g->cells, (g->n_rows + 1) * g->n_columns, sizeof *g->cells);
    for (size_t i = 0; i < g->n_columns; i++)
        g->cells[g->n_rows * g->n_columns + i] = mem_str(cells[i]);
    g->n_rows++;
}

static void put_cell(const struct cli *cli, const char *text)
{
    struct slice rest = slice_str(text);

    if (!cli->is_ascii) {
        fputs(text, stdout);
        return;
    }
    while (rest.len > 0) {
        uint32_t ch = utf8_next(&rest);

        if (ch == 0x2026)
            fputs("..", stdout);
        else
            putchar(ch < 0x80 ? (int)ch : '?');
    }
}

static void grid_print(const struct cli *cli, struct grid *g)
{
    size_t widths[COLUMNS_MAX] = {0};

    for (size_t i = 0; i < g->n_rows * g->n_columns; i++) {
        size_t w = utf8_columns(g->cells[i], strlen(g->cells[i]), false);

        if (w > widths[i % g->n_columns])
            widths[i % g->n_columns] = w;
    }
    for (size_t i = 0; i < g->n_rows * g->n_columns; i++) {
        size_t w = utf8_columns(g->cells[i], strlen(g->cells[i]), false), col = i % g->n_columns;

        put_cell(cli, g->cells[i]);
        if (col + 1 == g->n_columns)
            putchar('\n');
        else
            printf("%*s", (int)(widths[col] - w) + 2, "");
        mem_free(g->cells[i]);
    }
    mem_free(g->cells);
    *g = (struct grid){0};
}

/* ---- asking for a list ---- */

struct look {
    struct cli *cli;
    struct model *model;
    cJSON *answer;
    struct words_time time;
};

/* The answer to cmd, and a model that knows it and the contacts. EXIT_DONE: end with look_fini(). */
static int look_init(struct look *l, struct cli *cli, const char *cmd)
{
    cJSON *contacts = NULL;
    int code = verb_open(cli, CTL_LISTS);

    *l = (struct look){.cli = cli};
    if (code == EXIT_DONE)
        code = verb_ask_take(cli, ctl_request("contacts"), &contacts);
    if (code == EXIT_DONE)
        code = verb_ask_take(cli, ctl_request(cmd), &l->answer);
    if (code == EXIT_DONE) {
        l->model = model_create();
        l->time = (struct words_time){env_wall_ms(io_env(ctl_io(cli->ctl))), term_utc_offset_s};
        model_answer(l->model, "contacts", contacts);
        model_answer(l->model, cmd, l->answer);
    }
    cJSON_Delete(contacts);
    return code;
}

static void look_fini(struct look *l)
{
    model_destroy(l->model);
    cJSON_Delete(l->answer);
}

static int no_arguments(struct cli *cli, int *argc, char **argv)
{
    if (!opt_take(cli, NULL, 0, argc, argv))
        return EXIT_USAGE;
    return *argc > 0 ? usage_error(cli, "ito %s takes no argument \"%s\".", cli->verb, argv[0]) : EXIT_DONE;
}

/* ---- contacts ---- */

static void print_contacts(struct look *l)
{
    static const char *const heading[] = {"State", "Name", "List", "Verified", "Last call", "Seen", "ID"};
    struct grid g = {.n_columns = 7};
    const struct model_contact *c;
    size_t n;

    c = model_contacts(l->model, &n);
    grid_row(&g, heading);
    for (size_t i = 0; i < n; i++) {
        char name[WORDS_BYTES], when[WORDS_BYTES], seen[WORDS_BYTES];
        const char *const row[] = {
            words_presence(&c[i]),
            words_contact(&c[i], name),
            words_list(c[i].list),
            c[i].list == LIST_BLOCKED ? "-"
            : c[i].is_verified        ? "yes"
                                      : "no",
            c[i].last_call_ms != MODEL_UNKNOWN ? words_when(&l->time, c[i].last_call_ms, when) : "-",
            words_ago(&l->time, c[i].seen_ms, seen),
            c[i].id[0] != '\0' ? c[i].id : "-"};

        grid_row(&g, row);
    }
    grid_print(l->cli, &g);
}

static int contacts_list(struct cli *cli)
{
    struct look l;
    int code = look_init(&l, cli, "contacts");

    if (code != EXIT_DONE)
        return code;
    if (cli->is_json)
        print_json(l.answer);
    else
        print_contacts(&l);
    look_fini(&l);
    return EXIT_DONE;
}

/* One request with up to two text members. */
static int change(struct cli *cli, const char *cmd, const char *key1, const char *value1, const char *key2,
                  const char *value2)
{
    cJSON *request, *answer;
    int code = verb_open(cli, CTL_LISTS);

    if (code != EXIT_DONE)
        return code;
    request = ctl_request(cmd);
    cJSON_AddStringToObject(request, key1, value1);
    if (key2 != NULL)
        cJSON_AddStringToObject(request, key2, value2 != NULL ? value2 : "");
    code = verb_ask_take(cli, request, &answer);
    cJSON_Delete(answer);
    return code;
}

static int contacts_import_file(struct cli *cli, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct err_detail detail;
    cJSON *request, *answer;
    uint8_t *text;
    size_t len;
    int code;
    enum err e = file_read(path, JSON_FILE_MAX, &text, &len, &detail);

    if (e != ERR_OK) {
        complain("%s", detail.text);
        return EXIT_FAILED;
    }
    code = verb_open(cli, CTL_LISTS);
    if (code == EXIT_DONE) {
        request = ctl_request("contacts_import");
        cJSON_AddStringToObject(request, "file", slash != NULL ? slash + 1 : path);
        cJSON_AddStringToObject(request, "text", (const char *)text);
        answer = ctl_ask_take(cli->ctl, request);
        if (json_num(answer, "bad", 0) > 0 || json_bool(answer, "ok", false)) {
            if (cli->is_json)
                print_json(answer);
            else
                printf("added %.0f, changed %.0f, same %.0f, bad %.0f\n", json_num(answer, "added", 0),
                       json_num(answer, "changed", 0), json_num(answer, "same", 0),
                       json_num(answer, "bad", 0));
        }
        if (!json_bool(answer, "ok", false)) {
            complain("%s", json_str(answer, "text", "The running ito did not answer within 5 s."));
            code = answer == NULL ? EXIT_NO_DAEMON : EXIT_FAILED;
        }
        cJSON_Delete(answer);
    }
    mem_free(text);
    return code;
}

static int contacts_export_file(struct cli *cli, const char *path)
{
    struct err_detail detail;
    cJSON *answer;
    const char *text;
    enum err e;
    int code = verb_open(cli, CTL_LISTS);

    if (code == EXIT_DONE)
        code = verb_ask_take(cli, ctl_request("contacts_export"), &answer);
    if (code != EXIT_DONE)
        return code;
    text = json_str(answer, "text", "");
    if (path == NULL || strcmp(path, "-") == 0) {
        fputs(text, stdout);
    } else if (file_exists(path) && !cli->says_yes) {
        complain("%s: is there already. Give -y to replace it.", path);
        code = EXIT_REFUSED;
    } else if ((e = file_replace(path, slice_str(text), 0600, &detail)) != ERR_OK) {
        complain("%s", detail.text);
        code = e == ERR_REFUSED ? EXIT_REFUSED : EXIT_FAILED;
    }
    cJSON_Delete(answer);
    return code;
}

/* "missing" or "too many", when the count is not within bounds. */
static bool has_arguments(struct cli *cli, const char *sub, int argc, int min, int max)
{
    if (argc >= min && argc <= max)
        return true;
    usage_error(cli,
                argc < min ? "ito %s %s: something is missing."
                           : "ito %s %s: too many words; put a name of several words in quotes.",
                cli->verb, sub);
    return false;
}

int verb_contacts(struct cli *cli, int argc, char **argv)
{
    const char *sub;

    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    sub = argc > 0 ? argv[0] : "list";
    argc -= argc > 0;
    argv++;
    if (strcmp(sub, "list") == 0)
        return has_arguments(cli, sub, argc, 0, 0) ? contacts_list(cli) : EXIT_USAGE;
    if (strcmp(sub, "add") == 0)
        return has_arguments(cli, sub, argc, 1, 2)
                   ? change(cli, "contacts_add", "contact", argv[0], "name", argv[1])
                   : EXIT_USAGE;
    if (strcmp(sub, "allow") == 0 || strcmp(sub, "block") == 0 || strcmp(sub, "remove") == 0) {
        char cmd[32];

        snprintf(cmd, sizeof cmd, "contacts_%s", sub);
        return has_arguments(cli, sub, argc, 1, 1) ? change(cli, cmd, "contact", argv[0], NULL, NULL)
                                                   : EXIT_USAGE;
    }
    if (strcmp(sub, "rename") == 0)
        return has_arguments(cli, sub, argc, 2, 2)
                   ? change(cli, "contacts_rename", "contact", argv[0], "name", argv[1])
                   : EXIT_USAGE;
    if (strcmp(sub, "import") == 0)
        return has_arguments(cli, sub, argc, 1, 1) ? contacts_import_file(cli, argv[0]) : EXIT_USAGE;
    if (strcmp(sub, "export") == 0)
        return has_arguments(cli, sub, argc, 0, 1) ? contacts_export_file(cli, argc > 0 ? argv[0] : NULL)
                                                   : EXIT_USAGE;
    return unknown_sub(cli, sub);
}

/* ---- requests ---- */

static void print_requests(struct look *l, bool is_out)
{
    static const char *const heading[] = {"N", "When", "Claimed name", "ID", "Wants", "Tries", "Note"};
    struct grid g = {.n_columns = 7};
    const struct model_request *r;
    size_t n;

    r = model_requests(l->model, is_out, &n);
    if (n > 0)
        grid_row(&g, heading);
    for (size_t i = 0; i < n; i++) {
        char number[24], when[WORDS_BYTES], name[WORDS_BYTES], tries[24];
        const char *const row[] = {
            number, words_when(&l->time, r[i].when_ms, when), name, r[i].id, r[i].wants, tries, r[i].note};

        snprintf(number, sizeof number, "%lld", (long long)r[i].n);
        snprintf(tries, sizeof tries, "%lld", (long long)r[i].tries);
        snprintf(name, sizeof name, r[i].name[0] == '\0' ? "-" : is_out ? "%s" : "\"%s\"", r[i].name);
        grid_row(&g, row);
    }
    if (n > 0)
        grid_print(l->cli, &g);
}

static int requests_list(struct cli *cli)
{
    struct look l;
    size_t n_in, n_out;
    int code = look_init(&l, cli, "requests");

    if (code != EXIT_DONE)
        return code;
    if (cli->is_json) {
        print_json(l.answer);
    } else {
        model_requests(l.model, false, &n_in);
        model_requests(l.model, true, &n_out);
        printf("In %zu, out %zu. These people cannot ring you. Dropped today: %lld\n", n_in, n_out,
               (long long)model_requests_dropped(l.model));
        print_requests(&l, false);
        if (n_out > 0)
            puts("Out:");
        print_requests(&l, true);
    }
    look_fini(&l);
    return EXIT_DONE;
}

static int decide(struct cli *cli, const char *sub, const char *number)
{
    char cmd[32];
    cJSON *request;
    long n;
    int code;

    if (!opt_number(cli, sub, number, 1, 1000, &n))
        return EXIT_USAGE;
    code = verb_open(cli, CTL_LISTS);
    if (code != EXIT_DONE)
        return code;
    snprintf(cmd, sizeof cmd, "requests_%s", sub);
    request = ctl_request(cmd);
    cJSON_AddNumberToObject(request, "n", (double)n);
    return verb_ask_take(cli, request, NULL);
}

static int send_request(struct cli *cli, const char *id, const char *note)
{
    cJSON *request;
    int code = verb_open(cli, CTL_DAEMON);

    if (code != EXIT_DONE)
        return code;
    request = ctl_request("requests_send");
    cJSON_AddStringToObject(request, "to", id);
    cJSON_AddStringToObject(request, "note", note);
    code = verb_ask_take(cli, request, NULL);
    if (code == EXIT_DONE)
        say(cli, "Request sent. You can call once they allow you.");
    return code;
}

int verb_requests(struct cli *cli, int argc, char **argv)
{
    const char *sub;

    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    sub = argc > 0 ? argv[0] : "list";
    argc -= argc > 0;
    argv++;
    if (strcmp(sub, "list") == 0)
        return has_arguments(cli, sub, argc, 0, 0) ? requests_list(cli) : EXIT_USAGE;
    if (strcmp(sub, "allow") == 0 || strcmp(sub, "block") == 0 || strcmp(sub, "delete") == 0)
        return has_arguments(cli, sub, argc, 1, 1) ? decide(cli, sub, argv[0]) : EXIT_USAGE;
    if (strcmp(sub, "send") == 0)
        return has_arguments(cli, sub, argc, 2, 2) ? send_request(cli, argv[0], argv[1]) : EXIT_USAGE;
    return unknown_sub(cli, sub);
}

/* ---- history ---- */

static void print_history(struct look *l)
{
    static const char *const heading[] = {"When", "Who", "Way", "Result", "Length", "Path", "Quality"};
    struct grid g = {.n_columns = 7};
    const struct model_call *c;
    size_t n;

    c = model_history(l->model, &n);
    grid_row(&g, heading);
    for (size_t i = 0; i < n; i++) {
        char when[WORDS_BYTES], who[WORDS_BYTES], length[WORDS_BYTES], quality[WORDS_BYTES];
        bool was_up = c[i].length_s > 0;
        const char *const row[] = {words_when(&l->time, c[i].since_ms, when),
                                   words_peer(&c[i], who),
                                   c[i].is_outgoing ? "out" : "in",
                                   words_result(&c[i]),
                                   was_up ? words_length_fine(c[i].length_s, length) : "-",
                                   words_path_short(c[i].path),
                                   was_up ? words_quality(&c[i], quality) : "-"};

        grid_row(&g, row);
    }
    grid_print(l->cli, &g);
}

int verb_history(struct cli *cli, int argc, char **argv)
{
    struct look l;
    int code = no_arguments(cli, &argc, argv);

    if (code == EXIT_DONE)
        code = look_init(&l, cli, "history");
    if (code != EXIT_DONE)
        return code;
    if (cli->is_json)
        print_json(l.answer);
    else
        print_history(&l);
    look_fini(&l);
    return EXIT_DONE;
}

/* ---- status ---- */

static void print_calls(struct look *l)
{
    const struct model_call *c;
    size_t n;

    c = model_calls(l->model, &n);
    for (size_t i = 0; i < n; i++) {
        char who[WORDS_BYTES], state[WORDS_BYTES], path[WORDS_BYTES];

        printf("Call      %lld %s, %s, %s\n", (long long)c[i].id, words_peer(&c[i], who),
               words_state(&c[i], 0, state), words_path(&c[i], path));
    }
}

static void print_status(struct look *l)
{
    const struct model_self *self = model_self(l->model);
    const struct model_network *w = model_network(l->model);
    char number[WORDS_BYTES], low[WORDS_BYTES], high[WORDS_BYTES];

    printf("ID        %s\nName      %s\nMode      %s\n", self->id, self->name[0] != '\0' ? self->name : "-",
           self->mode);
    printf("Network   %s, peers %s, NAT type: %s\n", w->state, words_number(w->peers, number),
           w->nat[0] != '\0' ? w->nat : "-");
    if (w->size_est != MODEL_UNKNOWN)
        printf("Overlay   about %s nodes (%s to %s)\n", words_number(w->size_est, number),
               words_number(w->size_low, low), words_number(w->size_high, high));
    for (size_t i = 0; i < w->n_ports; i++)
        printf("Port      %s %lld\n", w->ports[i].proto, (long long)w->ports[i].local);
    print_calls(l);
    printf("Requests  %lld\nMissed    %lld\nVoicemail %lld\nRelay     %s\n", (long long)self->requests,
           (long long)self->missed, (long long)self->voicemail,
           model_service(l->model)->is_on ? "on" : "off");
}

int verb_status(struct cli *cli, int argc, char **argv)
{
    struct look l;
    int code = no_arguments(cli, &argc, argv);

    if (code == EXIT_DONE)
        code = look_init(&l, cli, "status");
    if (code != EXIT_DONE)
        return code;
    if (cli->is_json) {
        char *text = json_print(cJSON_GetObjectItemCaseSensitive(l.answer, "status"));

        puts(text);
        mem_free(text);
    } else {
        print_status(&l);
    }
    look_fini(&l);
    return EXIT_DONE;
}

/* ---- relays, ledger ---- */

static void print_relays(struct look *l)
{
    static const char *const heading[] = {"Relay", "Score",  "Answer", "RTT",     "Carried",
                                          "Role",  "Serves", "Load",   "Owes you"};
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(l->answer, "relays");
    struct grid g = {.n_columns = 9};
    const struct model_relay *r;
    size_t n;

    r = model_relays(l->model, &n);
    grid_row(&g, heading);
    for (size_t i = 0; i < n; i++) {
        char score[WORDS_BYTES], answer[WORDS_BYTES], rtt[WORDS_BYTES], size[WORDS_BYTES], load[WORDS_BYTES],
            credit[WORDS_BYTES], serves[WORDS_BYTES];
        const cJSON *raw = cJSON_GetArrayItem(rows, (int)i);
        const char *const row[] = {r[i].name[0] != '\0' ? r[i].name : r[i].id,
                                   words_number(r[i].score, score),
                                   words_percent(r[i].answer, answer),
                                   rtt,
                                   words_size(r[i].bytes, size),
                                   r[i].role,
                                   serves,
                                   load,
                                   credit};

        snprintf(serves, sizeof serves, "%s",
                 json_bool(raw, "refusing", false) ? "not now" : json_str(raw, "class", "-"));
        if (json_num(raw, "load", -1) >= 0)
            snprintf(load, sizeof load, "%.0f%%", 100 * json_num(raw, "load", 0));
        else
            strcpy(load, "-");
        snprintf(credit, sizeof credit, "%.1f min", json_num(raw, "credit_min", 0));
        if (r[i].rtt_ms != MODEL_UNKNOWN)
            snprintf(rtt, sizeof rtt, "%lld ms", (long long)r[i].rtt_ms);
        else
            strcpy(rtt, "-");
        grid_row(&g, row);
    }
    grid_print(l->cli, &g);
}

int verb_relays(struct cli *cli, int argc, char **argv)
{
    struct look l;
    int code = no_arguments(cli, &argc, argv);

    if (code == EXIT_DONE)
        code = look_init(&l, cli, "relays");
    if (code != EXIT_DONE)
        return code;
    if (cli->is_json)
        print_json(l.answer);
    else
        print_relays(&l);
    look_fini(&l);
    return EXIT_DONE;
}

/* Who draws on us, and on whom we may draw. */
static void print_favours(const cJSON *answer)
{
    const cJSON *row;

    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(answer, "sponsors"))
    {
        printf("you sponsor %s: %.0f min in %.0f days, used %.1f, covered %.1f%s\n",
               json_str(row, "contact", "-"), json_num(row, "minutes", 0), json_num(row, "days", 0),
               json_num(row, "used_min", 0), json_num(row, "covered_min", 0),
               json_bool(row, "taken", false) ? "" : " (not taken yet)");
    }
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(answer, "sponsored_by"))
    {
        printf("sponsored by %s: %.0f min in %.0f days, drawn %.1f\n", json_str(row, "sponsor", "-"),
               json_num(row, "minutes", 0), json_num(row, "days", 0), json_num(row, "drawn_min", 0));
    }
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(answer, "passes"))
    {
        printf("guest at %s, by %s\n", json_str(row, "relay", "-"), json_str(row, "contact", "-"));
    }
}

/* `ito ledger sponsor CONTACT [MINUTES]`, `ito ledger unsponsor CONTACT` */
static int tell_sponsor(struct cli *cli, int argc, char **argv)
{
    bool is_on = strcmp(argv[0], "sponsor") == 0;
    cJSON *request;
    long minutes = 30;
    int code;

    if (argc < 2 || argc > (is_on ? 3 : 2))
        return usage_error(cli, "ito ledger %s takes a contact%s.", argv[0], is_on ? " and minutes" : "");
    if (argc == 3 && !opt_number(cli, "MINUTES", argv[2], 5, 1440, &minutes))
        return EXIT_USAGE;
    code = verb_open(cli, CTL_DAEMON);
    if (code != EXIT_DONE)
        return code;
    request = ctl_request(argv[0]);
    cJSON_AddStringToObject(request, "contact", argv[1]);
    if (is_on)
        cJSON_AddNumberToObject(request, "minutes", (double)minutes);
    code = verb_ask_take(cli, request, NULL);
    if (code == EXIT_DONE && is_on)
        say(cli, "%s may use %ld minutes a week of what your relay earned.", argv[1], minutes);
    else if (code == EXIT_DONE)
        say(cli, "%s uses no more of what your relay earned.", argv[1]);
    return code;
}

int verb_ledger(struct cli *cli, int argc, char **argv)
{
    struct look l;
    const struct model_totals *t;
    char given[WORDS_BYTES], used[WORDS_BYTES], balance[WORDS_BYTES];
    const cJSON *row;
    int code;

    if (argc > 0 && (strcmp(argv[0], "sponsor") == 0 || strcmp(argv[0], "unsponsor") == 0))
        return tell_sponsor(cli, argc, argv);
    code = no_arguments(cli, &argc, argv);
    if (code == EXIT_DONE)
        code = look_init(&l, cli, "ledger");
    if (code != EXIT_DONE)
        return code;
    if (cli->is_json) {
        print_json(l.answer);
    } else {
        t = model_totals(l.model);
        printf("given %s   used %s   balance %s\n", words_megabytes(t->given, false, given),
               words_megabytes(t->used, false, used), words_megabytes(t->balance, true, balance));
        cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(l.answer, "peers"))
        {
            double owes = json_num(row, "owes_us_min", 0);

            printf("%s  given %s  used %s  %s %.1f min  %s here\n", json_str(row, "id", "-"),
                   words_size((int64_t)json_num(row, "given", 0), given),
                   words_size((int64_t)json_num(row, "used", 0), used), owes >= 0 ? "owes you" : "you owe",
                   owes >= 0 ? owes : -owes, json_str(row, "class", "stranger"));
        }
        print_favours(l.answer);
    }
    look_fini(&l);
    return EXIT_DONE;
}
