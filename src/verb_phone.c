/* `ito` alone: the screens on a running core, or on one inside (UX.md §2, §6).
 *
 * Requests of the screens go to the core; a few are answered here, because they need no core or come before
 * there is one: phrase_new, init, audio_test, doctor. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "crypto/phrase.h"
#include "media/probe.h"
#include "tty.h"
#include "ui/screen_curses.h"
#include "ui/ui.h"
#include "verb.h"

#define LINGER_NS   (300 * NS_PER_MS)
#define WAITING_MAX 64

struct phone {
    struct cli *cli;
    struct ctl *ctl;
    struct ui *ui;
    struct config *settings;
    char *waiting[WAITING_MAX]; /* requests from within ui_create() */
    size_t n_waiting;
    struct keyring *keys; /* first run: made, not written yet */
    struct media_probe *probe;
    bool is_interrupted;
};

static void on_request(void *arg, const char *json);

static struct ctl_options core_options(struct phone *p, const char *passphrase)
{
    return (struct ctl_options){.need = CTL_NETWORK,
                                .mode = APP_PHONE,
                                .passphrase = passphrase,
                                .has_control = true,
                                .files = &p->cli->files};
}

/* ---- requests answered here ---- */

static void reply_take(struct phone *p, const cJSON *request, cJSON *answer, const char *error,
                       const char *text)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(request, "id");
    char *out;

    if (answer == NULL)
        answer = cJSON_CreateObject();
    cJSON_AddItemToObject(answer, "id", cJSON_Duplicate(id, true));
    cJSON_AddBoolToObject(answer, "ok", error == NULL);
    if (error != NULL)
        cJSON_AddStringToObject(answer, "error", error);
    if (text != NULL)
        cJSON_AddStringToObject(answer, "text", text);
    out = json_print(answer);
    cJSON_Delete(answer);
    ui_answer(p->ui, out, io_now());
    secret_wipe(out, strlen(out));
    mem_free(out);
}

static void drop_keys(struct phone *p)
{
    if (p->keys == NULL)
        return;
    keyring_wipe(p->keys);
    mem_free(p->keys);
    p->keys = NULL;
}

static void phrase_new(struct phone *p, const cJSON *request)
{
    uint8_t phrase[KEY_BYTES];
    char text[PHRASE_TEXT_BYTES], *save = NULL;
    cJSON *answer = cJSON_CreateObject(), *words = cJSON_AddArrayToObject(answer, "words");

    drop_keys(p);
    p->keys = mem_alloc(sizeof *p->keys);
    keyring_create(io_env(ctl_io(p->ctl)), p->keys, phrase);
    phrase_encode(phrase, text);
    for (char *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
        cJSON_AddItemToArray(words, cJSON_CreateString(w));
    secret_wipe(phrase, sizeof phrase);
    secret_wipe(text, sizeof text);
    reply_take(p, request, answer, NULL, NULL);
}

static void init(struct phone *p, const cJSON *request)
{
    const char *name = json_str(request, "name", ""), *passphrase = json_str(request, "passphrase", "");
    struct ctl_options options = core_options(p, passphrase);
    struct err_detail detail = {""};
    uint8_t phrase[KEY_BYTES];
    enum err e;

    if (p->keys == NULL) {
        p->keys = mem_alloc(sizeof *p->keys);
        keyring_create(io_env(ctl_io(p->ctl)), p->keys, phrase);
        secret_wipe(phrase, sizeof phrase);
    }
    e = identity_save(p->cli, io_env(ctl_io(p->ctl)), p->keys, name[0] != '\0' ? name : NULL, passphrase,
                      &detail);
    if (e == ERR_OK) {
        drop_keys(p);
        e = ctl_start(p->ctl, &options, &detail);
    }
    if (e == ERR_OK)
        reply_take(p, request, NULL, NULL, NULL);
    else
        reply_take(p, request, NULL, err_name(e), detail.text);
}

/* The sound test of the first run; the devices of the configuration. */
static void audio_test(struct phone *p, const cJSON *request)
{
    const char *what = json_str(request, "do", "level"), *input = config_str(p->settings, CFG_AUDIO_INPUT),
               *output = config_str(p->settings, CFG_AUDIO_OUTPUT);
    enum media_probe_word word = MEDIA_PROBE_SILENT;
    struct err_detail detail = {""};
    cJSON *answer;

    if (strcmp(what, "stop") == 0) {
        media_probe_stop(p->probe);
        p->probe = NULL;
        reply_take(p, request, NULL, NULL, NULL);
        return;
    }
    if (p->probe == NULL && media_probe_start(input, output, &p->probe, &detail) != ERR_OK)
        p->probe = NULL;
    answer = cJSON_CreateObject();
    cJSON_AddStringToObject(answer, "mic", input);
    cJSON_AddStringToObject(answer, "speaker", output);
    if (p->probe == NULL) {
        cJSON_AddStringToObject(answer, "heard", detail.text);
        reply_take(p, request, answer, NULL, NULL);
        return;
    }
    if (strcmp(what, "tone") == 0)
        media_probe_play(p->probe, TONE_TEST);
    else if (strcmp(what, "record") == 0)
        media_probe_record(p->probe);
    cJSON_AddNumberToObject(answer, "level_db", media_probe_level(p->probe, &word));
    cJSON_AddStringToObject(answer, "heard", media_probe_text(word));
    reply_take(p, request, answer, NULL, NULL);
}

static void doctor(struct phone *p, const cJSON *request)
{
    cJSON *report = doctor_checks(p->cli, json_str(request, "part", NULL));

    if (report == NULL)
        reply_take(p, request, NULL, "range", "Parts are audio, net and files.");
    else
        reply_take(p, request, report, NULL, NULL);
}

static const struct {
    const char *cmd;
    void (*run)(struct phone *p, const cJSON *request);
} locals[] = {{"phrase_new", phrase_new}, {"init", init}, {"audio_test", audio_test}, {"doctor", doctor}};

static void take_request(struct phone *p, const char *json)
{
    cJSON *request = cJSON_Parse(json);
    const char *cmd = json_str(request, "cmd", "");
    bool is_local = false;

    for (size_t i = 0; i < sizeof locals / sizeof *locals && !is_local; i++) {
        if (strcmp(locals[i].cmd, cmd) != 0)
            continue;
        is_local = true;
        locals[i].run(p, request);
    }
    if (!is_local && ctl_core(p->ctl) == NULL && !ctl_has_link(p->ctl))
        reply_take(p, request, NULL, "state", "There is no identity yet.");
    else if (!is_local)
        ctl_send(p->ctl, json);
    cJSON_Delete(request);
}

static void on_request(void *arg, const char *json)
{
    struct phone *p = arg;

    if (p->ui != NULL)
        take_request(p, json);
    else if (p->n_waiting < WAITING_MAX)
        p->waiting[p->n_waiting++] = mem_str(json);
}

/* ---- what the core says, and the world ---- */

static void on_answer(void *arg, const char *json)
{
    struct phone *p = arg;

    if (p->ui != NULL)
        ui_answer(p->ui, json, io_now());
}

static void on_event(void *arg, const char *json)
{
    struct phone *p = arg;

    if (p->ui == NULL)
        return;
    if (json != NULL)
        ui_event(p->ui, json, io_now());
    else
        ui_core_lost(p->ui, "The running ito ended. q quits; start again with: ito", io_now());
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    struct phone *p = arg;

    if (p->ui != NULL)
        ui_log(p->ui, level, line);
}

static void on_signal(void *arg, int signum)
{
    struct phone *p = arg;

    if (signum == SIGWINCH) {
        ui_resize(p->ui, io_now());
        return;
    }
    if (p->is_interrupted) {
        ui_destroy(p->ui);
        _exit(EXIT_SIGNAL + signum);
    }
    p->is_interrupted = true;
    ctl_stop(p->ctl);
}

static ns_t on_turn(void *arg, ns_t now)
{
    struct phone *p = arg;

    if (ui_deadline(p->ui) <= now)
        ui_tick(p->ui, now);
    if (ui_wants_quit(p->ui))
        ctl_stop(p->ctl);
    return ui_deadline(p->ui);
}

static void on_keys(void *arg, ns_t now)
{
    struct phone *p = arg;

    ui_keys_ready(p->ui, now);
}

/* File names that begin with prefix, one a line. */
static char *list_files(const char *prefix)
{
    const char *slash = strrchr(prefix, '/');
    char *folder = slash == NULL ? mem_str(".") : mem_printf("%.*s", (int)(slash - prefix + 1), prefix);
    const char *leaf = slash == NULL ? prefix : slash + 1;
    DIR *dir = opendir(folder);
    char *out = mem_str("");

    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        char *longer;

        if (strncmp(e->d_name, leaf, strlen(leaf)) != 0 || (e->d_name[0] == '.' && leaf[0] != '.'))
            continue;
        longer = mem_printf("%s%.*s%s%s\n", out, (int)(leaf - prefix), prefix, e->d_name,
                            e->d_type == DT_DIR ? "/" : "");
        mem_free(out);
        out = longer;
    }
    if (dir != NULL)
        closedir(dir);
    mem_free(folder);
    return out;
}

/* ---- start and end ---- */

static bool has_color(const struct cli *cli, const struct config *c)
{
    const char *no_color = getenv("NO_COLOR"), *word = config_str(c, CFG_UI_COLOR);

    if (cli->color != COLOR_AUTO)
        return cli->color == COLOR_ALWAYS;
    if (strcmp(word, "auto") != 0)
        return strcmp(word, "always") == 0;
    return no_color == NULL || no_color[0] == '\0';
}

static int run_screens(struct phone *p, bool is_first_run)
{
    char *keys = config_json(p->settings, CFG_KEYS);
    struct ui_config config = {.core = {p, on_request},
                               .is_ascii = p->cli->is_ascii,
                               .has_color = has_color(p->cli, p->settings),
                               .is_ambiguous_wide = config_bool(p->settings, CFG_UI_AMBIGUOUS_WIDE),
                               .has_mouse = config_bool(p->settings, CFG_UI_MOUSE),
                               .has_daemon = ctl_has_link(p->ctl),
                               .is_first_run = is_first_run,
                               .bell = config_str(p->settings, CFG_UI_BELL),
                               .keys_json = keys,
                               .utc_offset_s = term_utc_offset_s,
                               .list_files = list_files};
    static const int signals[] = {SIGWINCH, SIGTERM, SIGINT, SIGHUP};
    struct ctl_ops ops = {.arg = p,
                          .event = on_event,
                          .answer = on_answer,
                          .signal = on_signal,
                          .turn = on_turn,
                          .log = on_log};
    struct err_detail detail;

    p->ui = ui_create(&config, io_env(ctl_io(p->ctl)), io_now());
    mem_free(keys);
    if (ui_start_curses(p->ui, &detail) != ERR_OK) {
        complain("%s", detail.text);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        io_on_signal(ctl_io(p->ctl), signals[i]);
    io_watch_fd(ctl_io(p->ctl), ui_fd(p->ui), on_keys, p);
    ctl_set_ops(p->ctl, &ops);
    for (size_t i = 0; i < p->n_waiting; i++)
        take_request(p, p->waiting[i]);
    if (ctl_has_link(p->ctl))
        ctl_send(p->ctl, "{\"id\":0,\"cmd\":\"watch\"}");
    ctl_run(p->ctl);
    io_unwatch_fd(ctl_io(p->ctl), ui_fd(p->ui));
    return EXIT_DONE;
}

/* End what runs inside, politely. */
static void goodbye(struct phone *p)
{
    struct core *core = ctl_core(p->ctl);

    ctl_set_ops(p->ctl, &(struct ctl_ops){0});
    ui_destroy(p->ui);
    if (core != NULL && app_has_calls(core_app(core))) {
        app_hangup_all(core_app(core), io_now());
        ctl_run_until(p->ctl, io_now() + LINGER_NS);
    }
    media_probe_stop(p->probe);
    drop_keys(p);
    for (size_t i = 0; i < p->n_waiting; i++)
        mem_free(p->waiting[i]);
    config_destroy(p->settings);
}

int verb_phone(struct cli *cli, int argc, char **argv)
{
    struct phone p = {.cli = cli};
    struct ctl_options options = {.need = CTL_LOOP};
    struct config_errors errors = {0};
    struct err_detail detail;
    bool is_first_run;
    int code = EXIT_DONE;

    (void)argc;
    (void)argv;
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
        complain("ito needs a terminal; see ito help");
        return EXIT_USAGE;
    }
    p.settings = config_create();
    if (crypto_init() != ERR_OK ||
        config_load(p.settings, cli->files.config, "config.json", &errors) != ERR_OK) {
        for (unsigned i = 0; i < errors.n; i++)
            complain("%s", errors.lines[i]);
        config_errors_fini(&errors);
        config_destroy(p.settings);
        return EXIT_CONFIG;
    }
    code = verb_open_with(cli, &options);
    p.ctl = cli->ctl;
    is_first_run = code == EXIT_DONE && !ctl_has_link(p.ctl) && !file_exists(cli->files.identity);
    if (code == EXIT_DONE && !ctl_has_link(p.ctl) && !is_first_run) {
        struct ctl_options core = core_options(&p, NULL);
        enum err e = ctl_start(p.ctl, &core, &detail);

        if (e != ERR_OK)
            complain("%s", detail.text);
        code = exit_of(e);
    }
    if (code == EXIT_DONE)
        code = run_screens(&p, is_first_run);
    if (p.ctl != NULL)
        goodbye(&p);
    else
        config_destroy(p.settings);
    return p.is_interrupted && code == EXIT_DONE ? EXIT_SIGNAL + SIGTERM : code;
}
