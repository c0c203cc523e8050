#include "core.h"
#include "core_metrics.h"
#include "core_net.h"
#include "core_workers.h"
#include "core_xdp.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/idtext.h"
#include "crypto/keystore.h"
#include "handover.h"
#include "io/control.h"
#include "io/hook.h"
#include "io/tcp.h"
#include "io/udp.h"

#define PORTS_MAX      16384
#define LOG_FILE_MAX   (5 << 20)
#define LOG_KEEP       3
#define LOG_LINES      500
#define PEERS_FILE_MAX 65536

/* A relayed port. */
struct port {
    struct core *core;
    uint32_t handle;
    struct udp *udp;
    UT_hash_handle hh;
};

/* The Echo contact: a second phone in this process. */
struct echo {
    struct core *core;
    struct udp *udp;
    struct keyring keys;
    struct config *settings;
    struct env_ops env_ops;
    struct env env;
    struct app *app;
};

struct core {
    struct io *io;
    struct core_config config;
    struct files files; /* borrowed strings */
    struct config *settings;
    struct keyring keys;
    struct app *app;
    struct udp *udp;
    struct tcp *tcp; /* a relay's, and our detours */
    struct detour *detour;
    struct control *control;
    struct core_net *net; /* NULL: offline */
    struct core_metrics *metrics;
    struct xdp *xdp;              /* NULL: calls are carried by us alone */
    struct core_workers *workers; /* the same */
    struct echo *echo;
    struct port *ports; /* by handle */
    struct {
        int fd;
        uint32_t call;
    } media[8];
    struct {
        int64_t at_ms;
        enum log_level level;
        char *text;
    } lines[LOG_LINES]; /* the last ones, for the log screens; a ring */
    size_t n_lines;     /* ever */
    int lock_fd, log_fd;
    enum log_level level;
    core_event_cb event;
    void *event_arg;
    core_upgrade_cb upgrade;
    void *upgrade_arg;
    core_log_cb log;
    void *log_arg;
};

/* ---- log ---- */

static void rotate_log(struct core *c)
{
    struct stat st;

    if (c->log_fd < 0 || fstat(c->log_fd, &st) != 0 || st.st_size < LOG_FILE_MAX)
        return;
    for (int i = LOG_KEEP - 1; i >= 0; i--) {
        char *from = i == 0 ? mem_str(c->files.log) : mem_printf("%s.%d", c->files.log, i);
        char *to = mem_printf("%s.%d", c->files.log, i + 1);

        rename(from, to);
        mem_free(from);
        mem_free(to);
    }
    core_reopen_log(c);
}

void core_reopen_log(struct core *c)
{
    if (c->log_fd >= 0)
        close(c->log_fd);
    c->log_fd = open(c->files.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void keep_line(struct core *c, enum log_level level, const char *line)
{
    size_t i = c->n_lines++ % LOG_LINES;

    mem_free(c->lines[i].text);
    c->lines[i].text = mem_str(line);
    c->lines[i].level = level;
    c->lines[i].at_ms = env_wall_ms(io_env(c->io));
}

static cJSON *on_log_lines(void *arg)
{
    struct core *c = arg;
    cJSON *list = cJSON_CreateArray();
    size_t i = c->n_lines > LOG_LINES ? c->n_lines - LOG_LINES : 0;

    for (; i < c->n_lines; i++) {
        cJSON *line = cJSON_CreateObject();
        time_t at = (time_t)(c->lines[i % LOG_LINES].at_ms / 1000);
        char stamp[32];
        struct tm tm;

        gmtime_r(&at, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &tm);
        cJSON_AddStringToObject(line, "at", stamp);
        cJSON_AddStringToObject(line, "level", log_level_name(c->lines[i % LOG_LINES].level));
        json_add_str(line, "text", c->lines[i % LOG_LINES].text);
        cJSON_AddItemToArray(list, line);
    }
    return list;
}

/* "2026-11-22T12:04:02Z info call 7 ringing" to the file; stderr gets <N> levels when it is a journal. */
static void log_one(struct core *c, enum log_level level, const char *line)
{
    static const int priorities[] = {3, 4, 6, 7};
    char stamp[32], *text;
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &tm);
    text = mem_printf("%s %s %s\n", stamp, log_level_name(level), line);
    if (c->log_fd >= 0 && write(c->log_fd, text, strlen(text)) < 0)
        c->log_fd = -1;
    if (c->config.logs_to_stderr) {
        if (getenv("JOURNAL_STREAM") != NULL)
            fprintf(stderr, "<%d>%s\n", priorities[level], line);
        else
            fputs(text, stderr);
    }
    keep_line(c, level, line);
    if (c->log != NULL)
        c->log(c->log_arg, level, line);
    mem_free(text);
    rotate_log(c);
}

void core_log(struct core *c, enum log_level level, const char *line)
{
    char *copy, *save = NULL;

    if (level > c->level)
        return;
    copy = mem_str(line);
    for (char *one = strtok_r(copy, "\n", &save); one != NULL; one = strtok_r(NULL, "\n", &save))
        log_one(c, level, one);
    mem_free(copy);
}

void core_on_log(struct core *c, core_log_cb log, void *arg)
{
    c->log = log;
    c->log_arg = arg;
}

/* ---- the app's doors ---- */

static void on_event(void *arg, const char *json)
{
    struct core *c = arg;

    if (c->control != NULL)
        control_broadcast(c->control, json);
    if (c->event != NULL)
        c->event(c->event_arg, json);
}

static size_t on_local_addrs(void *arg, struct addr *out, size_t max)
{
    struct core *c = arg;
    size_t n = io_local_addrs(out, max);

    for (size_t i = 0; i < n; i++)
        out[i].port = udp_port(c->udp);
    return n;
}

static void on_port_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct port *p = arg;

    app_port_input(p->core->app, now, p->handle, from, bytes);
}

static bool on_port_fast(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct port *p = arg;

    return app_port_fast(p->core->app, now, p->handle, from, bytes, len);
}

static struct port *port_of(struct core *c, uint32_t handle)
{
    struct port *p;

    HASH_FIND(hh, c->ports, &handle, sizeof handle, p);
    return p;
}

static enum err on_open_port(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    struct core *c = arg;
    struct port *p;
    struct udp_config config = {.port = port,
                                .v4 = family == ADDR_V4,
                                .v6 = family == ADDR_V6,
                                .recv = on_port_recv,
                                .fast = on_port_fast};
    enum err e;

    if (HASH_COUNT(c->ports) >= PORTS_MAX)
        return ERR_FULL;
    p = mem_alloc(sizeof *p);
    p->core = c;
    p->handle = handle;
    config.arg = p;
    config.fd = handover_port(c->config.handover, handle);
    e = udp_open(c->io, &config, &p->udp, NULL);
    if (e != ERR_OK) {
        mem_free(p);
        return e;
    }
    HASH_ADD(hh, c->ports, handle, sizeof p->handle, p);
    return ERR_OK;
}

static void on_port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    struct port *p = port_of(arg, handle);

    if (p != NULL)
        udp_send(p->udp, to, bytes);
}

static void close_port(struct core *c, struct port *p)
{
    HASH_DEL(c->ports, p);
    udp_close(p->udp);
    env_defer(io_env(c->io), mem_free, p);
}

static void on_close_port(void *arg, uint32_t handle)
{
    struct port *p = port_of(arg, handle);

    if (p != NULL)
        close_port(arg, p);
}

static void on_media_readable(void *arg, ns_t now)
{
    struct core *c = arg;

    for (size_t i = 0; i < sizeof c->media / sizeof c->media[0]; i++)
        if (c->media[i].call != 0)
            app_media_ready(c->app, now, c->media[i].call);
}

static void on_media_fd(void *arg, uint32_t call_id, int fd, bool is_on)
{
    struct core *c = arg;

    for (size_t i = 0; i < sizeof c->media / sizeof c->media[0]; i++) {
        if (is_on ? c->media[i].call != 0 : c->media[i].call != call_id)
            continue;
        c->media[i].call = is_on ? call_id : 0;
        c->media[i].fd = fd;
        if (is_on)
            io_watch_fd(c->io, fd, on_media_readable, c);
        else
            io_unwatch_fd(c->io, fd);
        return;
    }
}

static void on_resolved(void *arg, const char *host, const struct addr *addrs, size_t n)
{
    struct core *c = arg;

    if (n == 0)
        log_warn(io_env(c->io), "%s: cannot be resolved", host);
    for (size_t i = 0; c->app != NULL && i < n; i++)
        app_add_address(c->app, io_now(), &addrs[i]);
}

static void on_resolve(void *arg, const char *host_port)
{
    struct core *c = arg;

    io_resolve(c->io, host_port, on_resolved, c);
}

static void on_router_resolved(void *arg, const char *host, const struct addr *addrs, size_t n)
{
    struct core *c = arg;

    (void)host; /* one of several, and no reason to worry anybody */
    for (size_t i = 0; c->app != NULL && i < n; i++)
        app_add_router(c->app, io_now(), &addrs[i]);
}

static void on_resolve_router(void *arg, const char *host_port)
{
    struct core *c = arg;

    io_resolve(c->io, host_port, on_router_resolved, c);
}

static bool on_gateway(void *arg, struct addr *gateway, struct addr *inside)
{
    struct core *c = arg;

    return core_net_gateway(c->net, gateway, inside);
}

static void on_map_port(void *arg, uint16_t port, bool is_on)
{
    struct core *c = arg;

    core_net_map_port(c->net, port, is_on);
}

static enum err on_upgrade(void *arg, struct err_detail *detail)
{
    struct core *c = arg;

    if (c->upgrade == NULL)
        return err_set(detail, ERR_STATE, "This is no relay.");
    return c->upgrade(c->upgrade_arg, detail);
}

static void on_notify(void *arg, const char *event, const char *name)
{
    struct core *c = arg;
    const char *argv[HOOK_ARGS_MAX];
    size_t n = config_len(c->settings, CFG_NOTIFY_COMMAND);

    if (n == 0 || n > HOOK_ARGS_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        argv[i] = config_item(c->settings, CFG_NOTIFY_COMMAND, i);
    if (hook_run(c->io, argv, n, event, name) != ERR_OK)
        log_warn(io_env(c->io), "notify.command cannot be run");
}

/* ---- Echo ---- */

static void echo_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct echo *e = arg;

    if (e->app != NULL)
        app_input(e->app, now, from, bytes);
}

static void echo_send(void *world, const struct addr *to, struct slice bytes)
{
    struct echo *e = world;

    udp_send(e->udp, to, bytes);
}

static void echo_random(void *world, void *out, size_t n)
{
    struct echo *e = world;

    env_random(io_env(e->core->io), out, n);
}

static int64_t echo_wall(void *world)
{
    struct echo *e = world;

    return env_wall_ms(io_env(e->core->io));
}

static void echo_defer(void *world, env_defer_cb cb, void *arg)
{
    struct echo *e = world;

    env_defer(io_env(e->core->io), cb, arg);
}

static void echo_log(void *world, enum log_level level, const char *line)
{
    struct echo *e = world;
    char *text = mem_printf("echo: %s", line);

    if (level < LOG_INFO || e->core->level >= LOG_DEBUG)
        core_log(e->core, level, text);
    mem_free(text);
}

static size_t echo_addrs(void *arg, struct addr *out, size_t max)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    struct echo *e = arg;

    if (max == 0)
        return 0;
    out[0] = addr_v4(loopback, udp_port(e->udp));
    return 1;
}

static enum err start_echo(void *arg, const uint8_t caller[static 32], uint8_t identity[static 32],
                           uint8_t pair_secret[static 32], struct addr *addr)
{
    struct core *c = arg;
    struct echo *e = mem_alloc(sizeof *e);
    struct udp_config udp = {.v4 = true, .recv = echo_recv, .arg = e};
    struct app_config config = {.mode = APP_ECHO, .drive = MEDIA_INLINE, .is_silent = true};
    uint8_t phrase[KEY_BYTES];
    enum err err;

    e->core = c;
    addr_parse("127.0.0.1:0", &udp.bind);
    udp.bind.port = 0;
    err = udp_open(c->io, &udp, &e->udp, NULL);
    if (err != ERR_OK) {
        mem_free(e);
        return err;
    }
    e->env_ops = (struct env_ops){
        .send = echo_send, .random = echo_random, .wall_ms = echo_wall, .defer = echo_defer, .log = echo_log};
    e->env = (struct env){.ops = &e->env_ops, .world = e};
    keyring_create(&e->env, &e->keys, phrase);
    secret_wipe(phrase, sizeof phrase);
    e->settings = config_create();
    config.settings = e->settings;
    config.keys = &e->keys;
    config.port = udp_port(e->udp);
    config.ops = (struct app_ops){.arg = e, .local_addrs = echo_addrs};
    memcpy(config.auto_answer, caller, 32);
    err = app_create(&config, &e->env, io_now(), &e->app, NULL);
    echo_addrs(e, addr, 1);
    memcpy(identity, e->keys.identity.pub, 32);
    if (err == ERR_OK)
        err = identity_pair_secret(&e->keys.identity, caller, pair_secret);
    c->echo = e;
    return err;
}

static void stop_echo(struct echo *e)
{
    if (e == NULL)
        return;
    app_destroy(e->app, io_now());
    config_destroy(e->settings);
    udp_close(e->udp);
    keyring_wipe(&e->keys);
    mem_free(e);
}

/* ---- control socket ---- */

struct pending {
    struct core *core;
    struct control_client *client;
};

static void on_reply(void *arg, const char *json)
{
    control_answer(arg, json);
}

static void on_control(void *arg, struct control_client *client, const char *line)
{
    struct core *c = arg;
    cJSON *request = NULL;

    if (json_parse(slice_str(line), NULL, NULL, &request, NULL) == ERR_OK &&
        strcmp(json_str(request, "cmd", ""), "watch") == 0)
        control_set_watching(client, true);
    cJSON_Delete(request);
    app_request(c->app, io_now(), line, on_reply, client);
}

/* ---- create ---- */

static enum err load_identity(struct core *c, struct err_detail *detail)
{
    uint8_t phrase[KEY_BYTES];
    enum err e = keystore_load(c->files.identity, c->config.passphrase, &c->keys, detail);

    if (e == ERR_OK && c->config.is_joining)
        return err_set(detail, ERR_EXISTS, "%s: is there already, and was not touched", c->files.identity);
    if (e != ERR_NOT_FOUND || (c->config.name == NULL && !c->config.is_joining))
        return e;
    keyring_create(io_env(c->io), &c->keys, phrase);
    secret_wipe(phrase, sizeof phrase);
    if (c->config.is_joining)
        return ERR_OK;
    return keystore_save_new(io_env(c->io), c->files.identity, &c->keys, detail);
}

static void on_udp(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct core *c = arg;

    if (c->detour != NULL)
        detour_heard(c->detour, from);
    if (c->app != NULL)
        app_input(c->app, now, from, bytes);
}

static bool on_udp_fast(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct core *c = arg;

    return c->app != NULL && app_fast_input(c->app, now, from, bytes, len);
}

static bool is_relay(const struct core *c)
{
    return c->config.mode == APP_RELAY || config_bool(c->settings, CFG_RELAY_ON);
}

static enum err open_socket(struct core *c, struct err_detail *detail)
{
    struct udp_config udp = {.v4 = config_bool(c->settings, CFG_NET_IPV4),
                             .v6 = config_bool(c->settings, CFG_NET_IPV6),
                             .is_main = true,
                             .recv = on_udp,
                             .fast = on_udp_fast,
                             .arg = c};
    enum err e;

    udp.port = (uint16_t)config_int(c->settings, CFG_NET_PORT);
    udp.is_relay = is_relay(c);
    if (c->config.mode == APP_RELAY && config_int(c->settings, CFG_RELAY_PORT) != 0)
        udp.port = (uint16_t)config_int(c->settings, CFG_RELAY_PORT);
    if (c->config.port != 0)
        udp.port = c->config.port;
    if (c->config.handover != NULL && c->config.handover->main_fd > 0) {
        udp.fd = c->config.handover->main_fd;
        c->config.handover->main_fd = -1;
    }
    e = udp_open(c->io, &udp, &c->udp, detail);
    if (e == ERR_OK)
        io_set_main_udp(c->io, c->udp);
    return e;
}

static void on_stream(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct core *c = arg;
    const struct addr *stands_for = detour_from(c->detour, from);

    if (c->app != NULL)
        app_input(c->app, now, stands_for != NULL ? stands_for : from, bytes);
}

static void on_stream_gone(void *arg, ns_t now, const struct addr *who)
{
    struct core *c = arg;

    if (!detour_gone(c->detour, now, who) && c->app != NULL)
        app_stream_gone(c->app, now, who);
}

static void say(void *arg, enum log_level level, const char *line)
{
    core_log(arg, level, line);
}

/* The relay's port for clients without UDP. A taken one is no reason not to relay. */
static void open_streams(struct core *c)
{
    struct tcp_ops ops = {.recv = on_stream, .gone = on_stream_gone, .arg = c};
    struct err_detail detail;

    c->tcp = tcp_create(c->io, &ops);
    io_set_tcp(c->io, c->tcp);
    c->detour = detour_create(c->io, c->tcp);
    if (is_relay(c) && tcp_listen(c->tcp, udp_port(c->udp), config_bool(c->settings, CFG_NET_IPV4),
                                  config_bool(c->settings, CFG_NET_IPV6), &detail) != ERR_OK)
        core_log(c, LOG_WARN, detail.text);
}

/* Nodes that answered last time. */
static void add_cached(struct core *c, const char *path,
                       void (*add)(struct app *a, ns_t now, const struct addr *addr))
{
    uint8_t *text;
    size_t len;
    char *save = NULL;

    if (file_read(path, PEERS_FILE_MAX, &text, &len, NULL) != ERR_OK)
        return;
    for (char *line = strtok_r((char *)text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        struct addr a;

        if (addr_parse(line, &a) == ERR_OK && a.port != 0)
            add(c->app, io_now(), &a);
    }
    mem_free(text);
}

static enum err load_settings(struct core *c, struct err_detail *detail)
{
    struct config_errors errors = {0};
    const char *slash = strrchr(c->files.config, '/');
    enum err e =
        config_load(c->settings, c->files.config, slash != NULL ? slash + 1 : c->files.config, &errors);
    const char *level = getenv("ITO_LOG");
    char *text;

    if (e != ERR_OK) {
        text = config_errors_text(&errors);
        err_set(detail, e, "%s", text);
        mem_free(text);
    }
    config_errors_fini(&errors);
    for (const char *const *o = c->config.overrides; e == ERR_OK && o != NULL && *o != NULL; o += 2)
        e = config_set(c->settings, NULL, o[0], o[1], detail);
    if (level == NULL || level[0] == '\0')
        level = config_str(c->settings, CFG_LOG_LEVEL);
    c->level = LOG_INFO;
    for (int l = LOG_ERROR; l <= LOG_DEBUG; l++)
        if (strcmp(level, log_level_name((enum log_level)l)) == 0)
            c->level = (enum log_level)l;
    return e;
}

static enum err start_app(struct core *c, struct err_detail *detail)
{
    struct app_config config = {.mode = c->config.mode,
                                .settings = c->settings,
                                .keys = &c->keys,
                                .drive = MEDIA_THREADED,
                                .is_offline = c->config.is_offline,
                                .is_silent = c->config.is_silent,
                                .is_joining = c->config.is_joining,
                                .has_streams = c->tcp != NULL && tcp_port(c->tcp) != 0,
                                .port = c->udp != NULL ? udp_port(c->udp) : 0};
    const struct files *f = &c->files;

    config.paths = (struct app_paths){.identity = c->config.is_joining ? NULL : f->identity,
                                      .config = f->config,
                                      .contacts = f->contacts,
                                      .contacts_state = f->contacts_state,
                                      .requests = f->requests,
                                      .invites = f->invites,
                                      .history = f->history,
                                      .ledger = f->ledger,
                                      .peers = f->peers,
                                      .mainline = f->mainline,
                                      .care = f->care,
                                      .mirror = f->mirror,
                                      .node_key = f->node_key};
    config.ops = (struct app_ops){.arg = c,
                                  .event = on_event,
                                  .local_addrs = on_local_addrs,
                                  .open_port = on_open_port,
                                  .port_send = on_port_send,
                                  .close_port = on_close_port,
                                  .media_fd = on_media_fd,
                                  .resolve = on_resolve,
                                  .resolve_router = on_resolve_router,
                                  .gateway = on_gateway,
                                  .map_port = on_map_port,
                                  .start_echo = c->config.mode == APP_RELAY ? NULL : start_echo,
                                  .log_lines = on_log_lines,
                                  .notify = on_notify,
                                  .upgrade = on_upgrade};
    if (c->xdp != NULL) {
        config.offload = &core_xdp_ops;
        config.offload_arg = c->xdp;
    } else if (core_workers_carry(c->workers)) {
        config.offload = &core_workers_ops;
        config.offload_arg = c->workers;
    }
    if (c->config.handover != NULL)
        config.resume = c->config.handover->state;
    return app_create(&config, io_env(c->io), io_now(), &c->app, detail);
}

enum err core_create(const struct core_config *config, struct io *io, struct core **out, long *pid,
                     struct err_detail *detail)
{
    struct core *c = mem_alloc(sizeof *c);
    enum err e;

    *out = NULL;
    *pid = 0;
    c->io = io;
    c->config = *config;
    c->files = *config->files;
    c->lock_fd = c->log_fd = -1;
    c->level = LOG_INFO;
    c->settings = config_create();
    e = crypto_init();
    if (e == ERR_OK)
        e = load_settings(c, detail);
    if (e == ERR_OK)
        e = files_make(&c->files, detail);
    if (e == ERR_OK)
        e = files_lock(&c->files, &c->lock_fd, pid, detail);
    if (e == ERR_OK)
        e = load_identity(c, detail);
    if (e == ERR_OK && !config->is_offline) {
        core_reopen_log(c);
        e = open_socket(c, detail);
        if (e == ERR_OK) {
            open_streams(c);
            if (is_relay(c))
                c->xdp = core_xdp_create(c->settings, udp_port(c->udp), say, c);
            if (is_relay(c))
                c->workers =
                    core_workers_create(c->settings, c->xdp == NULL, io, c->udp, c->config.handover, say, c);
            c->net = core_net_create(io, c->udp, c->detour);
        }
    }
    if (e == ERR_OK && config->has_control)
        e = control_listen(io, c->files.socket, on_control, NULL, c, &c->control, detail);
    if (e == ERR_OK)
        e = start_app(c, detail);
    if (e != ERR_OK) {
        core_destroy(c);
        return e;
    }
    if (!config->is_offline) {
        core_net_watch(c->net, c->app, c->settings);
        add_cached(c, c->files.peers, app_add_address);
        add_cached(c, c->files.mainline, app_add_router);
        c->metrics = core_metrics_create(io, c->app);
    }
    *out = c;
    return ERR_OK;
}

void core_destroy(struct core *c)
{
    if (c == NULL)
        return;
    control_close(c->control);
    core_metrics_destroy(c->metrics);
    core_net_stop(c->net);
    app_destroy(c->app, io_now());
    c->app = NULL;
    xdp_close(c->xdp);
    core_workers_destroy(c->workers);
    core_net_destroy(c->net);
    stop_echo(c->echo);
    while (c->ports != NULL)
        close_port(c, c->ports);
    io_set_tcp(c->io, NULL);
    detour_destroy(c->detour);
    tcp_destroy(c->tcp);
    udp_close(c->udp);
    io_set_main_udp(c->io, NULL);
    config_destroy(c->settings);
    keyring_wipe(&c->keys);
    for (size_t i = 0; i < LOG_LINES; i++)
        mem_free(c->lines[i].text);
    if (c->log_fd >= 0)
        close(c->log_fd);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    mem_free(c);
}

struct app *core_app(struct core *c)
{
    return c->app;
}

bool core_uses_bpf(const struct core *c)
{
    return c->xdp != NULL;
}

struct config *core_settings(struct core *c)
{
    return c->settings;
}

void core_on_event(struct core *c, core_event_cb event, void *arg)
{
    c->event = event;
    c->event_arg = arg;
}

ns_t core_turn(struct core *c, ns_t now)
{
    ns_t at;

    core_workers_turn(c->workers);
    core_net_turn(c->net, now);
    if (c->metrics != NULL)
        core_metrics_turn(c->metrics, c->settings);
    app_tick(c->app, now);
    at = app_deadline(c->app);
    if (c->detour != NULL)
        at = ns_min(at, detour_turn(c->detour, now));
    if (c->echo != NULL && c->echo->app != NULL) {
        app_tick(c->echo->app, now);
        at = ns_min(at, app_deadline(c->echo->app));
    }
    return at;
}

void core_on_upgrade(struct core *c, core_upgrade_cb upgrade, void *arg)
{
    c->upgrade = upgrade;
    c->upgrade_arg = arg;
}

void core_say_goodbye(struct core *c)
{
    app_say_goodbye(c->app, io_now());
}

enum err core_hand_over(struct core *c, const char *path, char *const argv[], struct err_detail *detail)
{
    struct handover h = {.main_fd = udp_fd(c->udp)};
    int fds[FLOW_LOOKERS_MAX];
    size_t len, i = 0, n_fds = core_workers_fds(c->workers, fds);
    uint8_t *state;
    enum err e;

    core_workers_stop(c->workers); /* they begin again at the next turn, if there is one */
    state = app_hand_over(c->app, io_now(), &len);
    h.n_ports = HASH_COUNT(c->ports) + n_fds;
    h.ports = mem_array(h.n_ports, sizeof *h.ports);
    for (struct port *p = c->ports; p != NULL; p = p->hh.next)
        h.ports[i++] = (struct handover_port){.handle = p->handle, .fd = udp_fd(p->udp)};
    for (size_t k = 0; k < n_fds; k++)
        h.ports[i++] = (struct handover_port){.handle = HANDOVER_WORKER + (uint32_t)k, .fd = fds[k]};
    h.state = slice_of(state, len);
    (void)udp_hub_end_turn(io_udp_hub(c->io), io_now()); /* what waits to leave would be forgotten */
    e = handover_exec(path, argv, &h, detail);
    secret_wipe(state, len);
    mem_free(state);
    mem_free(h.ports);
    return e;
}

void core_reload(struct core *c)
{
    struct err_detail detail;

    if (load_settings(c, &detail) != ERR_OK)
        core_log(c, LOG_ERROR, detail.text);
    app_reload(c->app, io_now(), &detail);
}
