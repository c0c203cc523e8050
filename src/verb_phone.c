/* `ito`: the screens, on a core inside or, when one runs already, on that one by its control socket (UX.md §6).
 *
 * What the core says while the screens are asking it something is kept until the end of the turn: so an answer
 * never comes from within, and a view finds its lists as it left them. While the screens are up stderr goes to
 * the log file, because libraries write there. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "first_run.h"
#include "leaving.h"
#include "local.h"
#include "ui/plain.h"
#include "ui/screen_curses.h"
#include "ui/ui.h"
#include "verb.h"

#define FILE_MAX   (4u << 20)
#define FILES_MAX  200
#define LINE_BYTES 4096
#define LOST_WORDS "The ito behind these screens ended. q quits; ito starts again."

enum news_kind { NEWS_ANSWER, NEWS_EVENT, NEWS_LOST };

struct news {
    struct list node;
    enum news_kind kind;
    char *json;
};

/* Lines of stdin, as they come. */
struct typed {
    char text[LINE_BYTES];
    size_t len;
    bool is_long, has_prompt;
};

struct phone {
    struct cli *cli;
    struct ui *ui;       /* either the screens, */
    struct plain *plain; /* or the dialogue of lines */
    struct typed typed;
    struct first_run *first_run; /* NULL: there was an identity */
    struct list news;
    bool is_plain, is_leaving, is_over;
    int signum, stderr_fd;
    bool is_unwatched; /* stdin has ended */
    struct leaving leaving;
};

/* ---- news for the screens ---- */

static void put_news(struct phone *p, enum news_kind kind, const char *json)
{
    struct news *n = mem_alloc(sizeof *n);

    n->kind = kind;
    n->json = json != NULL ? mem_str(json) : NULL;
    list_append(&p->news, &n->node);
    io_wake(ctl_io(p->cli->ctl));
}

static void drop_news(struct news *n)
{
    list_remove(&n->node);
    if (n->json != NULL)
        mem_wipe(n->json, strlen(n->json)); /* the phrase comes this way */
    mem_free(n->json);
    mem_free(n);
}

static void tell_news(struct phone *p, ns_t now)
{
    while (!list_is_empty(&p->news)) {
        struct news *n = list_item(p->news.next, struct news, node);

        if (n->kind == NEWS_ANSWER)
            p->plain != NULL ? plain_answer(p->plain, n->json, now) : ui_answer(p->ui, n->json, now);
        else if (n->kind == NEWS_EVENT)
            p->plain != NULL ? plain_event(p->plain, n->json, now) : ui_event(p->ui, n->json, now);
        else
            p->plain != NULL ? plain_core_lost(p->plain, LOST_WORDS, now)
                             : ui_core_lost(p->ui, LOST_WORDS, now);
        drop_news(n);
    }
}

static void on_answer(void *arg, const char *json)
{
    put_news(arg, NEWS_ANSWER, json);
}

static void on_event(void *arg, const char *json)
{
    put_news(arg, json != NULL ? NEWS_EVENT : NEWS_LOST, json);
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    struct phone *p = arg;

    if (p->ui != NULL)
        ui_log(p->ui, level, line);
}

static void on_request(void *arg, const char *json)
{
    struct phone *p = arg;

    if ((p->first_run == NULL || !first_run_request(p->first_run, json)) &&
        !local_request(p->cli, json, on_answer, p))
        ctl_send(p->cli->ctl, json);
}

/* ---- leaving ---- */

/* Calls of a core inside end politely, and those it relays are asked to move; those of another process go on. */
static void leave(struct phone *p, int signum)
{
    struct core *core = ctl_core(p->cli->ctl);

    p->is_leaving = true;
    p->signum = signum;
    if (core != NULL)
        leaving_begin(&p->leaving, core_app(core), io_now());
    io_wake(ctl_io(p->cli->ctl));
}

static bool may_leave(struct phone *p, ns_t now)
{
    struct core *core = ctl_core(p->cli->ctl);

    return core == NULL || leaving_is_over(&p->leaving, core_app(core), now);
}

static void take_down(struct phone *p);

static void on_signal(void *arg, int signum)
{
    struct phone *p = arg;

    if (signum == SIGWINCH && p->plain != NULL)
        return;
    if (signum == SIGWINCH) {
        ui_resize(p->ui, io_now());
        return;
    }
    if (!p->is_leaving) {
        leave(p, signum);
        return;
    }
    take_down(p);
    _exit(EXIT_SIGNAL + signum);
}

static void prompt_again(struct phone *p);

static ns_t screens_turn(struct phone *p, ns_t now)
{
    if (p->plain != NULL)
        return NS_NEVER;
    if (ui_deadline(p->ui) <= now)
        ui_tick(p->ui, now);
    return ui_deadline(p->ui);
}

static bool wants_quit(const struct phone *p)
{
    return p->plain != NULL ? plain_wants_quit(p->plain) : ui_wants_quit(p->ui);
}

static ns_t on_turn(void *arg, ns_t now)
{
    struct phone *p = arg;
    ns_t at;

    tell_news(p, now);
    at = screens_turn(p, now);
    if (wants_quit(p) && !p->is_leaving)
        leave(p, 0);
    if (p->plain != NULL)
        prompt_again(p);
    if (p->is_leaving && may_leave(p, now)) {
        p->is_over = true;
        ctl_stop(p->cli->ctl);
    }
    if (!p->is_leaving)
        return at;
    return ns_min(at, leaving_deadline(&p->leaving, now));
}

static void on_keys(void *arg, ns_t now)
{
    struct phone *p = arg;

    ui_keys_ready(p->ui, now);
}

/* ---- lines, in place of screens ---- */

/* What is said begins a line of its own; the prompt comes again below. */
static void on_say(void *arg, const char *line)
{
    struct phone *p = arg;

    if (p->typed.has_prompt)
        putchar('\n');
    p->typed.has_prompt = false;
    puts(line);
    fflush(stdout);
}

static void prompt_again(struct phone *p)
{
    if (p->typed.has_prompt || p->is_leaving)
        return;
    fputs(PLAIN_PROMPT, stdout);
    fflush(stdout);
    p->typed.has_prompt = true;
}

static void take_typed(struct phone *p, char c, ns_t now)
{
    struct typed *t = &p->typed;

    if (c != '\n' && t->len + 1 < sizeof t->text) {
        t->text[t->len++] = c;
        return;
    }
    if (c != '\n') {
        t->is_long = true;
        return;
    }
    t->text[t->len > 0 && t->text[t->len - 1] == '\r' ? t->len - 1 : t->len] = '\0';
    t->has_prompt = t->has_prompt && !isatty(STDIN_FILENO); /* a terminal has gone to the next line itself */
    if (t->is_long)
        on_say(p, "ERROR This line is too long.");
    else if (!utf8_valid(t->text, strlen(t->text)))
        on_say(p, "ERROR This line is not UTF-8.");
    else
        plain_line(p->plain, t->text, now);
    mem_wipe(t->text, sizeof t->text); /* it may have been a recovery phrase */
    t->len = 0;
    t->is_long = false;
}

static void on_typed(void *arg, ns_t now)
{
    struct phone *p = arg;
    char buf[1024];
    ssize_t n = read(STDIN_FILENO, buf, sizeof buf);

    for (ssize_t i = 0; i < n; i++)
        take_typed(p, buf[i], now);
    mem_wipe(buf, sizeof buf);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        io_unwatch_fd(ctl_io(p->cli->ctl), STDIN_FILENO);
        p->is_unwatched = true;
        plain_end(p->plain);
    }
    io_wake(ctl_io(p->cli->ctl));
}

/* ---- files, for `:contacts import` and Tab ---- */

static char *list_files(const char *prefix)
{
    char *pattern = mem_alloc(2 * strlen(prefix) + 2), *out, *at = pattern;
    glob_t found;
    size_t size = 1;

    for (const char *c = prefix; *c != '\0'; c++) {
        if (strchr("*?[\\", *c) != NULL)
            *at++ = '\\';
        *at++ = *c;
    }
    *at = '*';
    if (glob(pattern, GLOB_MARK | GLOB_TILDE, NULL, &found) != 0) {
        mem_free(pattern);
        return mem_str("");
    }
    mem_free(pattern);
    for (size_t i = 0; i < found.gl_pathc && i < FILES_MAX; i++)
        size += strlen(found.gl_pathv[i]) + 1;
    out = at = mem_alloc(size);
    for (size_t i = 0; i < found.gl_pathc && i < FILES_MAX; i++)
        at += sprintf(at, "%s\n", found.gl_pathv[i]);
    globfree(&found);
    return out;
}

static char *read_file(const char *path, struct err_detail *detail)
{
    uint8_t *bytes;
    size_t len;

    return file_read(path, FILE_MAX, &bytes, &len, detail) == ERR_OK ? (char *)bytes : NULL;
}

static enum err write_file(const char *path, const char *text, struct err_detail *detail)
{
    return file_replace(path, slice_str(text), 0600, detail);
}

/* ---- settings ---- */

/* UX.md §8: the command line, then the settings, then NO_COLOR. */
static bool wants_color(const struct cli *cli, const struct config *settings)
{
    const char *word = config_str(settings, CFG_UI_COLOR), *no_color = getenv("NO_COLOR");

    if (cli->color != COLOR_AUTO)
        return cli->color == COLOR_ALWAYS;
    if (no_color != NULL && no_color[0] != '\0')
        return false;
    return strcmp(word, "never") != 0;
}

/* Those of the core inside; a file of our own reading when the core is elsewhere or not there yet. */
static void make_ui(struct phone *p, bool is_first_run)
{
    struct ctl *ctl = p->cli->ctl;
    struct config *own = config_create();
    struct config_errors errors = {0};
    const struct config *settings = ctl_core(ctl) != NULL ? core_settings(ctl_core(ctl)) : own;
    struct ui_config config = {.core = {p, on_request},
                               .is_ascii = p->cli->is_ascii,
                               .has_daemon = ctl_has_link(ctl),
                               .is_first_run = is_first_run,
                               .utc_offset_s = term_utc_offset_s,
                               .list_files = list_files,
                               .read_file = read_file,
                               .write_file = write_file};
    char *keys;

    config_load(own, p->cli->files.config, "config.json", &errors);
    config_errors_fini(&errors);
    config.has_color = wants_color(p->cli, settings);
    config.is_ambiguous_wide = config_bool(settings, CFG_UI_AMBIGUOUS_WIDE);
    config.has_mouse = config_bool(settings, CFG_UI_MOUSE);
    config.bell = config_str(settings, CFG_UI_BELL);
    config.keys_json = keys = config_json(settings, CFG_KEYS);
    if (p->is_plain)
        p->plain = plain_create(&config, io_env(ctl_io(ctl)), io_now(), on_say, p);
    else
        p->ui = ui_create(&config, io_env(ctl_io(ctl)), io_now());
    mem_free(keys);
    config_destroy(own);
}

/* ---- the core ---- */

static enum err start_core(void *arg, const char *passphrase, struct err_detail *detail)
{
    struct phone *p = arg;
    struct ctl_options options = {.need = CTL_NETWORK,
                                  .mode = APP_PHONE,
                                  .has_control = true,
                                  .passphrase = passphrase,
                                  .files = &p->cli->files};

    return ctl_start(p->cli->ctl, &options, detail);
}

static void set_setting(void *arg, const char *key, const char *value)
{
    struct phone *p = arg;
    cJSON *request = ctl_request("config_set");
    char *text;

    cJSON_AddStringToObject(request, "key", key);
    cJSON_AddStringToObject(request, "value", value);
    text = json_print(request);
    ctl_send(p->cli->ctl, text);
    mem_free(text);
    cJSON_Delete(request);
}

/* A running core, one inside, or, with *is_first_run, none yet. */
static int open_core(struct phone *p, bool *is_first_run)
{
    struct cli *cli = p->cli;
    struct ctl_options options = {.need = CTL_LOOP};
    struct err_detail detail = {{0}};
    int code = verb_open_with(cli, &options);
    enum err e;

    *is_first_run = false;
    if (code != EXIT_DONE)
        return code;
    if (ctl_has_link(cli->ctl)) {
        if (ctl_watch(cli->ctl))
            return EXIT_DONE;
        complain("The running ito did not answer within 5 s.");
        return EXIT_NO_DAEMON;
    }
    if (!file_exists(cli->files.identity)) {
        *is_first_run = true;
        return EXIT_DONE;
    }
    e = start_core(p, NULL, &detail);
    if (e == ERR_OK && ctl_has_link(cli->ctl) && !ctl_watch(cli->ctl))
        e = err_set(&detail, ERR_TIMEOUT, "The running ito did not answer within 5 s.");
    return e != ERR_OK ? verb_cannot_open(p->cli, e, &detail) : EXIT_DONE;
}

/* ---- the terminal ---- */

/* What libraries print must not land between the cells. */
static void hide_stderr(struct phone *p)
{
    int log;

    if (!isatty(STDERR_FILENO))
        return;
    log = open(p->cli->files.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log < 0)
        log = open("/dev/null", O_WRONLY | O_CLOEXEC);
    p->stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (log >= 0)
        dup2(log, STDERR_FILENO);
    close(log);
}

static void take_down(struct phone *p)
{
    plain_destroy(p->plain);
    p->plain = NULL;
    ui_destroy(p->ui);
    p->ui = NULL;
    if (p->stderr_fd >= 0) {
        dup2(p->stderr_fd, STDERR_FILENO);
        close(p->stderr_fd);
        p->stderr_fd = -1;
    }
}

static void run_lines(struct phone *p)
{
    struct io *io = ctl_io(p->cli->ctl);

    io_watch_fd(io, STDIN_FILENO, on_typed, p);
    while (!p->is_over)
        ctl_run(p->cli->ctl);
    if (!p->is_unwatched)
        io_unwatch_fd(io, STDIN_FILENO);
}

static int run(struct phone *p)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGWINCH};
    struct io *io = ctl_io(p->cli->ctl);
    struct err_detail detail = {{0}};
    enum err e;

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        io_on_signal(io, signals[i]);
    if (p->plain != NULL) {
        run_lines(p);
        return p->signum != 0 ? EXIT_SIGNAL + p->signum : EXIT_DONE;
    }
    e = ui_start_curses(p->ui, &detail);
    if (e != ERR_OK) {
        complain("%s", detail.text);
        return EXIT_USAGE;
    }
    hide_stderr(p);
    io_watch_fd(io, ui_fd(p->ui), on_keys, p);
    while (!p->is_over) /* ends early when the running core does: its words stay on the screen */
        ctl_run(p->cli->ctl);
    io_unwatch_fd(io, ui_fd(p->ui));
    return p->signum != 0 ? EXIT_SIGNAL + p->signum : EXIT_DONE;
}

int verb_phone(struct cli *cli, int argc, char **argv)
{
    struct phone p = {.cli = cli, .stderr_fd = -1};
    const struct ctl_ops ops = {.arg = &p,
                                .event = on_event,
                                .answer = on_answer,
                                .signal = on_signal,
                                .turn = on_turn,
                                .log = on_log};
    struct first_run_ops first = {.arg = &p, .answer = on_answer, .start = start_core, .set = set_setting};
    const char *term = getenv("TERM");
    bool is_first_run;
    int code;

    (void)argc;
    (void)argv;
    p.is_plain = cli->is_plain || (term != NULL && strcmp(term, "dumb") == 0);
    if (!cli->is_plain && (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))) {
        complain("ito needs a terminal; see ito help");
        return EXIT_USAGE;
    }
    if (p.is_plain && !file_exists(cli->files.identity)) {
        complain("There is no identity here yet (%s). Make one: ito init", cli->files.identity);
        return EXIT_FAILED;
    }
    list_init(&p.news);
    code = open_core(&p, &is_first_run);
    if (code != EXIT_DONE)
        return code;
    if (is_first_run)
        p.first_run = first_run_create(cli, io_env(ctl_io(cli->ctl)), &first);
    ctl_set_ops(cli->ctl, &ops); /* a core inside answers what the screens ask first before they exist */
    make_ui(&p, is_first_run);
    code = run(&p);
    ctl_set_ops(cli->ctl, &(struct ctl_ops){0});
    take_down(&p);
    first_run_destroy(p.first_run);
    list_each_safe(node, &p.news)
    {
        drop_news(list_item(node, struct news, node));
    }
    return code;
}
