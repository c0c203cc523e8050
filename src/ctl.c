#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "crypto/secret.h"
#include "io/control.h"
#include "tty.h"
#include "verb.h"

#define RETRY_NS (20 * NS_PER_MS)

struct ctl {
    struct io *io;
    struct core *core;
    struct control_link *link;
    struct ctl_ops ops;
    bool is_lost, is_asking;
    ns_t deadline; /* of ctl_run_until() */
    double waiting;
    cJSON *answer;
    double next_id;
};

/* ---- the loop ---- */

static ns_t on_turn(void *arg, ns_t now)
{
    struct ctl *c = arg;
    ns_t at = c->deadline;

    if (c->core != NULL)
        at = ns_min(at, core_turn(c->core, now));
    if (c->ops.turn != NULL)
        at = ns_min(at, c->ops.turn(c->ops.arg, now));
    if (now >= c->deadline)
        io_stop(c->io);
    return at;
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    struct ctl *c = arg;

    if (c->core != NULL)
        core_log(c->core, level, line);
}

static void on_core_log(void *arg, enum log_level level, const char *line)
{
    struct ctl *c = arg;

    if (c->ops.log != NULL)
        c->ops.log(c->ops.arg, level, line);
}

static void on_signal(void *arg, int signum)
{
    struct ctl *c = arg;

    if (c->ops.signal != NULL)
        c->ops.signal(c->ops.arg, signum);
}

static void on_answer(void *arg, const char *json)
{
    struct ctl *c = arg;
    cJSON *answer = c->waiting != 0 ? cJSON_Parse(json) : NULL;

    if (answer != NULL && json_num(answer, "id", 0) == c->waiting) {
        c->answer = answer;
        c->waiting = 0;
        if (c->is_asking)
            io_stop(c->io);
        return;
    }
    cJSON_Delete(answer);
    if (c->ops.answer != NULL)
        c->ops.answer(c->ops.arg, json);
}

static void on_event(void *arg, const char *json)
{
    struct ctl *c = arg;

    if (c->ops.event != NULL)
        c->ops.event(c->ops.arg, json);
}

/* A line of a running core: an answer has "ok", an event has "ev". */
static void on_line(void *arg, const char *line)
{
    struct ctl *c = arg;
    cJSON *o;
    bool is_event;

    if (line == NULL) {
        c->is_lost = true;
        on_event(c, NULL);
        io_stop(c->io);
        return;
    }
    o = cJSON_Parse(line);
    is_event = cJSON_GetObjectItemCaseSensitive(o, "ev") != NULL;
    if (o != NULL && is_event)
        on_event(c, line);
    else if (o != NULL)
        on_answer(c, line);
    cJSON_Delete(o);
}

/* ---- opening ---- */

/* The passphrase, when the file needs one: from a file, the environment, or the person. */
static enum err find_passphrase(const struct ctl_options *o, char out[static PASSPHRASE_BYTES], bool *has,
                                struct err_detail *detail)
{
    const char *path = o->passphrase_file != NULL ? o->passphrase_file : getenv("ITO_PASSPHRASE_FILE");
    bool needs;
    enum err e = keystore_needs_passphrase(o->files->identity, &needs, detail);

    *has = false;
    if (e == ERR_NOT_FOUND && (o->new_name != NULL || o->is_joining))
        return ERR_OK;
    if (e == ERR_NOT_FOUND)
        return err_set(detail, e, "There is no identity here yet (%s). Make one: ito init",
                       o->files->identity);
    if (e != ERR_OK || !needs)
        return e;
    *has = true;
    if (o->passphrase != NULL) {
        snprintf(out, PASSPHRASE_BYTES, "%s", o->passphrase);
        return ERR_OK;
    }
    if (path != NULL)
        return read_passphrase(path, out, PASSPHRASE_BYTES, detail) ? ERR_OK : ERR_AUTH;
    if (tty_ask("Passphrase: ", true, out, PASSPHRASE_BYTES))
        return ERR_OK;
    return err_set(detail, ERR_AUTH,
                   "%s: protected by a passphrase. Set ITO_PASSPHRASE_FILE to a file that holds it.",
                   o->files->identity);
}

static enum err make_core(struct ctl *c, const struct ctl_options *o, const char *passphrase, long *pid,
                          struct err_detail *detail)
{
    struct core_config config = {.mode = o->mode,
                                 .is_offline = o->need == CTL_LISTS,
                                 .has_control = o->has_control,
                                 .logs_to_stderr = o->logs_to_stderr,
                                 .is_silent = o->is_silent,
                                 .is_joining = o->is_joining,
                                 .passphrase = passphrase,
                                 .name = o->new_name,
                                 .port = o->port,
                                 .overrides = o->overrides,
                                 .files = o->files,
                                 .handover = o->handover};
    enum err e = core_create(&config, c->io, &c->core, pid, detail);

    if (e != ERR_OK)
        return e == ERR_LOCKED && *pid == 0 ? ERR_AUTH : e;
    core_on_event(c->core, on_event, c);
    core_on_log(c->core, on_core_log, c);
    return ERR_OK;
}

static void wait_a_little(void)
{
    struct timespec ts = {.tv_nsec = (long)RETRY_NS};

    nanosleep(&ts, NULL);
}

/* Whoever holds the lock is no command that will soon be done. */
static bool is_listening(struct ctl *c, const struct ctl_options *o)
{
    if (control_connect(c->io, o->files->socket, on_line, c, &c->link) != ERR_OK)
        return false;
    control_disconnect(c->link);
    c->link = NULL;
    return true;
}

/* A running core, else one of our own; again while somebody holds the lock and does not listen (yet). */
static enum err reach_core(struct ctl *c, const struct ctl_options *o, struct err_detail *detail)
{
    char passphrase[PASSPHRASE_BYTES] = "";
    bool has_passphrase = false, is_asked = false;
    ns_t until = io_now() + CTL_LOCK_NS;
    long pid = 0;
    enum err e;

    do {
        if (o->need != CTL_OWN && control_connect(c->io, o->files->socket, on_line, c, &c->link) == ERR_OK)
            return ERR_OK;
        if (o->need == CTL_LOOP)
            return ERR_OK;
        if (o->need == CTL_DAEMON)
            return err_set(detail, ERR_STATE, "No ito is running. Start one: ito daemon");
        e = is_asked ? ERR_OK : find_passphrase(o, passphrase, &has_passphrase, detail);
        is_asked = true;
        if (e == ERR_OK)
            e = make_core(c, o, has_passphrase ? passphrase : NULL, &pid, detail);
        if (e != ERR_LOCKED || pid == 0 || (o->need == CTL_OWN && is_listening(c, o)))
            break;
        wait_a_little();
    } while (io_now() < until);
    secret_wipe(passphrase, sizeof passphrase);
    return e;
}

enum err ctl_open(const struct ctl_options *options, struct ctl **out, struct err_detail *detail)
{
    struct ctl *c = mem_alloc(sizeof *c);
    struct io_ops ops = {.turn = on_turn, .log = on_log, .signal = on_signal, .arg = c};
    enum err e;

    *out = NULL;
    detail->text[0] = '\0';
    c->io = io_create();
    c->deadline = NS_NEVER;
    c->next_id = 1;
    e = reach_core(c, options, detail);
    if (e != ERR_OK) {
        ctl_close(c);
        return e;
    }
    io_set_ops(c->io, &ops);
    *out = c;
    return ERR_OK;
}

enum err ctl_start(struct ctl *c, const struct ctl_options *options, struct err_detail *detail)
{
    detail->text[0] = '\0';
    return reach_core(c, options, detail);
}

void ctl_close(struct ctl *c)
{
    if (c == NULL)
        return;
    c->ops = (struct ctl_ops){0};
    io_set_ops(c->io, &(struct io_ops){0});
    control_disconnect(c->link);
    core_destroy(c->core);
    io_destroy(c->io);
    cJSON_Delete(c->answer);
    mem_free(c);
}

void ctl_set_ops(struct ctl *c, const struct ctl_ops *ops)
{
    c->ops = *ops;
    io_wake(c->io);
}

struct io *ctl_io(struct ctl *c)
{
    return c->io;
}

struct core *ctl_core(struct ctl *c)
{
    return c->core;
}

bool ctl_has_link(const struct ctl *c)
{
    return c->link != NULL;
}

bool ctl_is_lost(const struct ctl *c)
{
    return c->is_lost;
}

/* ---- asking ---- */

cJSON *ctl_request(const char *cmd)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "cmd", cmd);
    return o;
}

void ctl_send(struct ctl *c, const char *json)
{
    if (c->core != NULL)
        app_request(core_app(c->core), io_now(), json, on_answer, c);
    else if (c->link != NULL && !c->is_lost)
        control_send(c->link, json);
}

cJSON *ctl_ask_take(struct ctl *c, cJSON *request)
{
    cJSON *answer;
    char *text;

    c->waiting = c->next_id++;
    cJSON_AddNumberToObject(request, "id", c->waiting);
    text = json_print(request);
    cJSON_Delete(request);
    ctl_send(c, text);
    mem_free(text);
    if (c->answer == NULL && !c->is_lost) {
        c->is_asking = true;
        ctl_run_until(c, io_now() + CTL_ANSWER_NS);
        c->is_asking = false;
    }
    c->waiting = 0;
    answer = c->answer;
    c->answer = NULL;
    return answer;
}

bool ctl_watch(struct ctl *c)
{
    cJSON *answer;
    bool ok;

    if (c->core != NULL)
        return true;
    answer = ctl_ask_take(c, ctl_request("watch"));
    ok = json_bool(answer, "ok", false);
    cJSON_Delete(answer);
    return ok;
}

void ctl_run(struct ctl *c)
{
    io_run(c->io);
}

void ctl_stop(struct ctl *c)
{
    io_stop(c->io);
}

void ctl_run_until(struct ctl *c, ns_t deadline)
{
    c->deadline = deadline;
    io_run(c->io);
    c->deadline = NS_NEVER;
}
