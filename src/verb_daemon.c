/* `ito daemon` and `ito relay`: a core without screens, its signals, and systemd (UX.md §7).
 *
 *   READY=1 after joining, or READY_NS after the start; STATUS= when it changes; WATCHDOG=1 at half of WATCHDOG_USEC */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "handover.h"
#include "io/confine.h"
#include "leaving.h"
#include "verb.h"

#define READY_NS   (20 * NS_PER_S)
#define STATUS_NS  (10 * NS_PER_S)
#define ANSWER_NS  (50 * NS_PER_MS) /* from the answer to `upgrade` to its beginning */
#define GOODBYE_NS (20 * NS_PER_MS) /* for the last words to leave */

struct daemon {
    struct cli *cli;
    struct ctl *ctl;
    bool is_relay, is_ready, is_joined, is_stopping;
    ns_t ready_at, watchdog_ns, watchdog_at, status_at;
    struct leaving leaving;
    char status[160];
    int parent_fd; /* of the process that waits for us to be ready, or -1 */
    /* A relay: what it would become by `upgrade`. */
    char *path, **argv;
    ns_t upgrade_at; /* NS_NEVER: not asked for */
    bool has_said_goodbye;
};

/* ---- systemd ---- */

/* One message over NOTIFY_SOCKET, a path or an abstract name with '@'; nothing when there is none. */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    size_t n = path != NULL ? strlen(path) : 0;
    int fd;

    if (n < 2 || n >= sizeof sun.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(sun.sun_path, path, n);
    if (path[0] == '@')
        sun.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sun,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

/* The parent, if there is one, may leave: what we say from now on goes to the log only. */
static void release_parent(struct daemon *d)
{
    int null;

    if (d->parent_fd < 0)
        return;
    (void)!write(d->parent_fd, "", 1);
    close(d->parent_fd);
    d->parent_fd = -1;
    setsid();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

static void become_ready(struct daemon *d)
{
    if (d->is_ready)
        return;
    d->is_ready = true;
    notify("READY=1");
}

/* ---- what it looks like ---- */

static cJSON *status_of(struct daemon *d)
{
    cJSON *answer = ctl_ask_take(d->ctl, ctl_request("status"));
    cJSON *status = cJSON_DetachItemFromObjectCaseSensitive(answer, "status");

    cJSON_Delete(answer);
    return status;
}

/* "joined, 148 peers, 3 of 20 relayed calls" */
static void tell_status(struct daemon *d)
{
    cJSON *status = status_of(d);
    const cJSON *w = cJSON_GetObjectItemCaseSensitive(status, "network");
    const cJSON *r = cJSON_GetObjectItemCaseSensitive(status, "relay");
    char text[160];
    int n = snprintf(text, sizeof text, "STATUS=%s, %.0f peers", json_str(w, "state", "offline"),
                     json_num(w, "peers", 0));

    if (json_bool(r, "on", false))
        snprintf(text + n, sizeof text - (size_t)n, ", %.0f of %.0f relayed calls", json_num(r, "calls", 0),
                 json_num(r, "max_calls", 0));
    d->is_joined = strcmp(json_str(w, "state", ""), "joined") == 0;
    cJSON_Delete(status);
    if (strcmp(text, d->status) != 0)
        notify(text);
    strcpy(d->status, text);
    if (d->is_joined)
        become_ready(d);
}

static void log_status(struct daemon *d)
{
    cJSON *status = status_of(d);
    char *text = json_print(status);

    core_log(ctl_core(d->ctl), LOG_INFO, text);
    mem_free(text);
    cJSON_Delete(status);
}

/* ---- signals ---- */

static void tell_reloading(void)
{
    char text[80];

    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(io_now() / 1000));
    notify(text);
}

static void reload(struct daemon *d)
{
    tell_reloading();
    core_reload(ctl_core(d->ctl));
    notify("READY=1");
}

static void stop(struct daemon *d)
{
    struct app *app = core_app(ctl_core(d->ctl));

    d->is_stopping = true;
    notify("STOPPING=1");
    leaving_begin(&d->leaving, app, io_now());
}

static void on_signal(void *arg, int signum)
{
    struct daemon *d = arg;

    switch (signum) {
    case SIGTERM:
    case SIGINT:
        if (d->is_stopping)
            _exit(EXIT_SIGNAL + signum);
        stop(d);
        break;
    case SIGHUP:
        reload(d);
        break;
    case SIGUSR1:
        log_status(d);
        break;
    case SIGUSR2:
        core_reopen_log(ctl_core(d->ctl));
        break;
    default:
        break;
    }
}

/* ---- upgrade ---- */

static enum err on_upgrade(void *arg, struct err_detail *detail)
{
    struct daemon *d = arg;

    if (d->is_stopping || d->path == NULL || d->argv == NULL)
        return err_set(detail, ERR_STATE, "This relay cannot be replaced now.");
    if (!handover_is_sound(d->path))
        return err_set(detail, ERR_IO, "%s does not run. Nothing was changed.", d->path);
    if (d->upgrade_at == NS_NEVER)
        d->upgrade_at = io_now() + ANSWER_NS;
    return ERR_OK;
}

/* Goodbye to those connected, then, when that has left, the program that lies under our path. */
static void upgrade(struct daemon *d, ns_t now)
{
    struct err_detail detail;

    if (!d->has_said_goodbye) {
        tell_reloading();
        core_say_goodbye(ctl_core(d->ctl));
        d->has_said_goodbye = true;
        d->upgrade_at = now + GOODBYE_NS;
        return;
    }
    core_log(ctl_core(d->ctl), LOG_INFO, "handing over to the program at our path");
    core_hand_over(ctl_core(d->ctl), d->path, d->argv, &detail);
    core_log(ctl_core(d->ctl), LOG_ERROR, detail.text); /* still here: it did not work, and all goes on */
    d->upgrade_at = NS_NEVER;
    d->has_said_goodbye = false;
    notify("READY=1");
}

static ns_t on_turn(void *arg, ns_t now)
{
    struct daemon *d = arg;
    ns_t at;

    if (d->is_stopping) {
        if (leaving_is_over(&d->leaving, core_app(ctl_core(d->ctl)), now))
            ctl_stop(d->ctl);
        return leaving_deadline(&d->leaving, now);
    }
    if (now >= d->ready_at)
        become_ready(d);
    if (d->watchdog_ns != 0 && now >= d->watchdog_at) {
        notify("WATCHDOG=1");
        d->watchdog_at = now + d->watchdog_ns;
    }
    if (now >= d->status_at) {
        d->status_at = now + (d->is_ready ? STATUS_NS : NS_PER_S);
        tell_status(d);
    }
    if (now >= d->upgrade_at)
        upgrade(d, now);
    at = ns_min(ns_min(d->status_at, d->upgrade_at), d->is_ready ? NS_NEVER : d->ready_at);
    return d->watchdog_ns != 0 ? ns_min(at, d->watchdog_at) : at;
}

/* ---- start ---- */

static ns_t watchdog_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    return strtoull(usec, NULL, 10) * 1000 / 2;
}

/* The folder a file lies in, for mem_free(). */
static char *folder_of(const char *path)
{
    char *folder = mem_str(path != NULL ? path : "");
    char *slash = strrchr(folder, '/');

    if (slash != NULL)
        slash[slash == folder] = '\0';
    else
        strcpy(folder, folder[0] != '\0' ? "." : "");
    return folder;
}

/* From here on only what is needed. A relay needs its own folders, and the one its program lies in, to become a newer
 * one; a daemon opens sound cards and files that people name, and runs notify.command. */
static void give_up_the_rest(struct daemon *d)
{
    const struct files *f = &d->cli->files;
    char *config = folder_of(f->config), *program = folder_of(d->path);
    const struct confine_place places[] = {
        {config, CONFINE_WRITE},       {f->config_dir, CONFINE_WRITE}, {f->data_dir, CONFINE_WRITE},
        {f->state_dir, CONFINE_WRITE}, {f->cache_dir, CONFINE_WRITE},  {f->run_dir, CONFINE_WRITE},
        {program, CONFINE_RUN},
    };
    struct app_confinement told = {.is_known = true};
    struct confine_result result;

    confine(d->is_relay ? places : NULL, sizeof places / sizeof *places, core_uses_bpf(ctl_core(d->ctl)),
            &result);
    told.no_new_privileges = result.no_new_privileges;
    told.has_filter = result.has_filter;
    told.landlock = result.landlock;
    app_set_confinement(core_app(ctl_core(d->ctl)), &told);
    mem_free(config);
    mem_free(program);
}

static int run(struct daemon *d, struct ctl_options *options)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    struct cli *cli = d->cli;
    struct ctl_ops ops = {.arg = d, .signal = on_signal, .turn = on_turn};
    bool is_new = !file_exists(cli->files.identity);
    int code = verb_open_with(cli, options);
    ns_t now = io_now();
    cJSON *status;

    if (code != EXIT_DONE)
        return code;
    d->ctl = cli->ctl;
    status = status_of(d);
    if (is_new)
        say(cli, "Made a new identity without a recovery phrase and a passphrase: %s",
            json_str(status, "id", ""));
    cJSON_Delete(status);
    d->ready_at = now + READY_NS;
    d->watchdog_ns = watchdog_ns();
    d->watchdog_at = d->status_at = now;
    d->upgrade_at = NS_NEVER;
    if (options->handover != NULL)
        become_ready(d);
    if (d->is_relay)
        core_on_upgrade(ctl_core(d->ctl), on_upgrade, d);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        io_on_signal(ctl_io(d->ctl), signals[i]);
    ctl_set_ops(d->ctl, &ops);
    release_parent(d);
    give_up_the_rest(d);
    ctl_run(d->ctl);
    ctl_set_ops(d->ctl, &(struct ctl_ops){0});
    return EXIT_DONE;
}

/* Go to the background; the parent leaves when the child listens, or with its exit code. True in the child. */
static bool go_to_background(struct daemon *d, int *code)
{
    int fds[2], status = 0;
    char byte;
    pid_t pid;

    *code = EXIT_FAILED;
    if (pipe(fds) != 0 || (pid = fork()) < 0) {
        complain("Cannot go to the background: %s", strerror(errno));
        return false;
    }
    if (pid == 0) {
        close(fds[0]);
        fcntl(fds[1], F_SETFD, FD_CLOEXEC);
        d->parent_fd = fds[1];
        return true;
    }
    close(fds[1]);
    if (read(fds[0], &byte, 1) == 1)
        *code = EXIT_DONE;
    else if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        *code = WEXITSTATUS(status);
    close(fds[0]);
    return false;
}

int verb_daemon(struct cli *cli, int argc, char **argv)
{
    bool is_foreground = false;
    const struct opt opts[] = {{"--foreground", NULL, &is_foreground}};
    struct ctl_options options = {.need = CTL_OWN, .mode = APP_DAEMON, .new_name = "", .has_control = true};
    struct daemon d = {.cli = cli, .parent_fd = -1};
    int code;

    if (!opt_take(cli, opts, 1, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito daemon takes no argument \"%s\".", argv[0]);
    options.logs_to_stderr = is_foreground && !cli->is_quiet;
    if (!is_foreground && !go_to_background(&d, &code))
        return code;
    return run(&d, &options);
}

/* `ito relay drain [on|off]`, `ito relay upgrade`: words to the relay that runs. */
static int tell_relay(struct cli *cli, int argc, char **argv)
{
    bool is_drain = strcmp(argv[0], "drain") == 0, is_on = argc < 2 || strcmp(argv[1], "on") == 0;
    cJSON *request;
    int code;

    if (argc > (is_drain ? 2 : 1) || (argc == 2 && !is_on && strcmp(argv[1], "off") != 0))
        return usage_error(cli, "ito relay %s takes %s.", argv[0], is_drain ? "on or off" : "no more words");
    code = verb_open(cli, CTL_DAEMON);
    if (code != EXIT_DONE)
        return code;
    request = ctl_request(argv[0]);
    if (is_drain)
        cJSON_AddBoolToObject(request, "on", is_on);
    code = verb_ask_take(cli, request, NULL);
    if (code != EXIT_DONE)
        return code;
    say(cli, !is_drain ? "The relay becomes the program at its path; its calls go on."
             : is_on   ? "The relay takes no new calls; those in progress finish."
                       : "The relay takes new calls again.");
    return EXIT_DONE;
}

static int run_relay(struct daemon *d, struct ctl_options *options)
{
    struct err_detail detail;
    int code;

    options->handover = handover_take(&detail);
    if (detail.text[0] != '\0')
        complain("%s", detail.text);
    d->path = handover_path();
    d->argv = handover_argv();
    code = run(d, options);
    handover_free(options->handover);
    mem_free(d->path);
    handover_argv_free(d->argv);
    return code;
}

int verb_relay(struct cli *cli, int argc, char **argv)
{
    const char *kbps = NULL, *calls = NULL, *port = NULL, *overrides[7] = {0};
    const struct opt opts[] = {
        {"--max-kbps", &kbps, NULL}, {"--max-calls", &calls, NULL}, {"--port", &port, NULL}};
    struct ctl_options options = {.need = CTL_OWN,
                                  .mode = APP_RELAY,
                                  .new_name = "",
                                  .has_control = true,
                                  .is_silent = true,
                                  .overrides = overrides};
    struct daemon d = {.cli = cli, .is_relay = true, .parent_fd = -1};
    size_t n = 0;
    long number;

    if (!opt_take(cli, opts, 3, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0 && (strcmp(argv[0], "drain") == 0 || strcmp(argv[0], "upgrade") == 0))
        return tell_relay(cli, argc, argv);
    if (argc > 0)
        return usage_error(cli, "ito relay takes no argument \"%s\".", argv[0]);
    if (kbps != NULL) {
        if (!opt_number(cli, "--max-kbps", kbps, 64, 10000000, &number))
            return EXIT_USAGE;
        overrides[n++] = "relay.max_kbps";
        overrides[n++] = kbps;
    }
    if (calls != NULL) {
        if (!opt_number(cli, "--max-calls", calls, 1, 10000, &number))
            return EXIT_USAGE;
        overrides[n++] = "relay.max_calls";
        overrides[n++] = calls;
    }
    if (port != NULL) {
        if (!opt_number(cli, "--port", port, 0, 65535, &number))
            return EXIT_USAGE;
        overrides[n++] = "relay.port";
        overrides[n++] = port;
    }
    options.logs_to_stderr = !cli->is_quiet;
    return run_relay(&d, &options);
}
