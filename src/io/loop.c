#include "io/loop.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <uv.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/hook.h"
#include "io/tcp.h"
#include "io/udp.h"

#define DEFER_MAX   4096
#define LOUD_NS     (20 * NS_PER_MS)
#define SIGNALS_MAX 8
#define RESOLVE_MAX 8 /* addresses taken of one name */

struct deferred {
    env_defer_cb cb;
    void *arg;
};

struct watch {
    struct list node;
    uv_poll_t poll;
    struct io *io;
    int fd;
    io_fd_cb cb;
    void *arg;
};

struct io {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_check_t check;
    uv_async_t async;
    uv_signal_t signals[SIGNALS_MAX];
    unsigned n_signals;
    struct io_ops ops;
    struct env_ops env_ops;
    struct env env;
    struct udp *main_udp;
    struct tcp *tcp;
    io_detour_cb detour;
    void *detour_arg;
    struct udp_hub *hub;
    ns_t now;                    /* of this turn, once an event has come; 0: none yet */
    ns_t loud_at;                /* something else than packets to pass on came */
    ns_t turn_at, deadline;      /* the last turn; what it answered */
    bool is_quiet, is_all_quiet; /* the callback running; all since the last check, and there was one */
    bool is_loud, owes_turn;
    struct list watches;
    struct deferred *deferred;
    size_t n_deferred, cap_deferred;
    bool is_stopping, is_ending;
};

ns_t io_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (ns_t)ts.tv_sec * NS_PER_S + (ns_t)ts.tv_nsec;
}

static void world_send(void *world, const struct addr *to, struct slice bytes)
{
    struct io *io = world;

    if (addr_is_stream(to)) {
        if (io->tcp != NULL)
            tcp_send(io->tcp, to, bytes);
        return;
    }
    if (io->detour != NULL && io->detour(io->detour_arg, to, bytes))
        return;
    if (io->main_udp != NULL)
        udp_send(io->main_udp, to, bytes);
}

static void world_random(void *world, void *out, size_t n)
{
    uint8_t *p = out;

    (void)world;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0)
            continue;
        p += got;
        n -= (size_t)got;
    }
}

static int64_t world_wall_ms(void *world)
{
    struct timespec ts;

    (void)world;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void world_defer(void *world, env_defer_cb cb, void *arg)
{
    struct io *io = world;

    if (io->n_deferred == io->cap_deferred) {
        io->cap_deferred = io->cap_deferred > 0 ? io->cap_deferred * 2 : 64;
        io->deferred = mem_resize(io->deferred, io->cap_deferred, sizeof *io->deferred);
    }
    io->deferred[io->n_deferred++] = (struct deferred){cb, arg};
    uv_async_send(&io->async);
}

static void world_log(void *world, enum log_level level, const char *line)
{
    struct io *io = world;

    if (io->ops.log != NULL)
        io->ops.log(io->ops.arg, level, line);
}

/* What is deferred may defer again; bounded so that a turn ends, the rest is done in the next. */
static void run_deferred(struct io *io)
{
    size_t n = 0;

    while (n < io->n_deferred && n < DEFER_MAX) {
        struct deferred d = io->deferred[n++];

        d.cb(d.arg);
    }
    io->n_deferred -= n;
    if (io->n_deferred > 0)
        memmove(io->deferred, io->deferred + n, io->n_deferred * sizeof *io->deferred);
}

/* The check handle runs the turn; since libuv 1.45 timers run after it, so that the loop must go round once more. */
static void on_timer(uv_timer_t *timer)
{
    struct io *io = timer->data;

    uv_async_send(&io->async);
}

static void set_timer(struct io *io, ns_t now, ns_t at)
{
    uv_update_time(&io->loop);
    uv_timer_start(&io->timer, on_timer, at > now ? (at - now + NS_PER_MS - 1) / NS_PER_MS : 0, 0);
}

static void run_turn(struct io *io, ns_t now)
{
    io->owes_turn = false;
    io->turn_at = now;
    io->deadline = NS_NEVER;
    if (io->ops.turn != NULL)
        io->deadline = io->ops.turn(io->ops.arg, now);
    run_deferred(io);
    if (io->deadline == NS_NEVER)
        uv_timer_stop(&io->timer);
    else
        set_timer(io, now, io->deadline);
}

/* Only packets that were passed on: the turn can wait a little, so that many packets share one. */
static bool may_put_off(struct io *io, ns_t now)
{
    if (!io->is_all_quiet || io->is_loud || now >= io->deadline || now - io->turn_at >= IO_TURN_OFF_NS)
        return false;
    if (!io->owes_turn)
        set_timer(io, now, ns_min(io->deadline, io->turn_at + IO_TURN_OFF_NS));
    io->owes_turn = true;
    return true;
}

static void nap(void)
{
    static const struct timespec ts = {0, UDP_NAP_NS};

    nanosleep(&ts, NULL);
}

/* After a nap the loop need not be asked what there is, as long as only packets came of late, for a short while. */
static bool may_read_on(const struct io *io, ns_t now)
{
    return now < io->deadline && now - io->turn_at < IO_TURN_OFF_NS && now - io->loud_at > LOUD_NS &&
           udp_hub_can_read_on(io->hub, now);
}

static void on_check(uv_check_t *check)
{
    struct io *io = check->data;
    ns_t now = io_now();

    if (!may_put_off(io, now))
        run_turn(io, now);
    if (io->is_loud)
        io->loud_at = now;
    io->is_all_quiet = io->is_loud = false;
    io->now = 0;
    while (io->hub != NULL && udp_hub_end_turn(io->hub, now) && !io->is_stopping) {
        nap();
        now = io_now();
        if (!may_read_on(io, now))
            return;
        if (!udp_hub_read_on(io->hub, now)) {
            run_turn(io, now);
            udp_hub_end_turn(io->hub, now);
            return;
        }
    }
}

static void on_async(uv_async_t *async)
{
    struct io *io = async->data;

    io->is_loud = true;
}

struct io *io_create(void)
{
    struct io *io = mem_alloc(sizeof *io);

    if (uv_loop_init(&io->loop) != 0)
        abort();
    list_init(&io->watches);
    uv_timer_init(&io->loop, &io->timer);
    uv_check_init(&io->loop, &io->check);
    uv_async_init(&io->loop, &io->async, on_async);
    io->timer.data = io;
    io->check.data = io;
    io->async.data = io;
    uv_check_start(&io->check, on_check);
    uv_unref((uv_handle_t *)&io->check);
    io->env_ops = (struct env_ops){.send = world_send,
                                   .random = world_random,
                                   .wall_ms = world_wall_ms,
                                   .defer = world_defer,
                                   .log = world_log};
    io->env = (struct env){.ops = &io->env_ops, .world = io};
    return io;
}

void io_set_ops(struct io *io, const struct io_ops *ops)
{
    io->ops = *ops;
    io_wake(io);
}

void io_set_main_udp(struct io *io, struct udp *udp)
{
    io->main_udp = udp;
}

void io_set_tcp(struct io *io, struct tcp *tcp)
{
    io->tcp = tcp;
}

void io_set_detour(struct io *io, io_detour_cb cb, void *arg)
{
    io->detour = cb;
    io->detour_arg = arg;
}

void io_stay_loud(struct io *io)
{
    io->is_loud = true;
}

const struct env *io_env(struct io *io)
{
    return &io->env;
}

struct uv_loop_s *io_uv(struct io *io)
{
    return &io->loop;
}

void io_run(struct io *io)
{
    io->is_stopping = false;
    uv_async_send(&io->async); /* a first turn, to learn the first deadline */
    while (!io->is_stopping && uv_run(&io->loop, UV_RUN_ONCE) != 0)
        continue;
}

void io_stop(struct io *io)
{
    io->is_stopping = true;
    uv_async_send(&io->async);
}

void io_wake(struct io *io)
{
    uv_async_send(&io->async);
}

struct udp_hub *io_udp_hub(struct io *io)
{
    if (io->hub == NULL)
        io->hub = udp_hub_create();
    return io->hub;
}

void io_stay_quiet(struct io *io)
{
    io->is_quiet = true;
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct io *io = handle->data;

    io->is_loud = true;
    if (io->ops.signal != NULL)
        io->ops.signal(io->ops.arg, signum);
}

enum err io_on_signal(struct io *io, int signum)
{
    uv_signal_t *s = &io->signals[io->n_signals];

    if (io->n_signals == SIGNALS_MAX || uv_signal_init(&io->loop, s) != 0)
        return ERR_FULL;
    io->n_signals++;
    s->data = io;
    return uv_signal_start(s, on_signal, signum) == 0 ? ERR_OK : ERR_IO;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct io *io = w->io;

    (void)status;
    (void)events;
    io->is_quiet = false;
    if (io->now == 0)
        io->now = io_now();
    w->cb(w->arg, io->now);
    if (io->is_quiet)
        io->is_all_quiet = true;
    else
        io->is_loud = true;
}

enum err io_watch_fd(struct io *io, int fd, io_fd_cb cb, void *arg)
{
    struct watch *w = mem_alloc(sizeof *w);

    *w = (struct watch){.io = io, .fd = fd, .cb = cb, .arg = arg};
    if (uv_poll_init(&io->loop, &w->poll, fd) != 0) {
        mem_free(w);
        return ERR_IO;
    }
    w->poll.data = w;
    list_append(&io->watches, &w->node);
    return uv_poll_start(&w->poll, UV_READABLE, on_readable) == 0 ? ERR_OK : ERR_IO;
}

static void free_watch(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void io_unwatch_fd(struct io *io, int fd)
{
    list_each_safe(node, &io->watches)
    {
        struct watch *w = list_item(node, struct watch, node);

        if (w->fd == fd) {
            list_remove(&w->node);
            uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, free_watch);
            return;
        }
    }
}

struct resolve {
    struct io *io;
    uv_getaddrinfo_t req;
    io_resolved_cb cb;
    void *arg;
    uint16_t port;
    char host_port[256];
};

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct resolve *r = req->data;
    struct addr addrs[RESOLVE_MAX];
    size_t n = 0;

    for (struct addrinfo *it = status == 0 ? res : NULL; it != NULL && n < RESOLVE_MAX; it = it->ai_next) {
        if (addr_from_sockaddr(it->ai_addr, &addrs[n]) == ERR_OK)
            addrs[n++].port = r->port;
    }
    if (!r->io->is_ending) /* who asked is gone by then */
        r->cb(r->arg, r->host_port, addrs, n);
    uv_freeaddrinfo(res);
    mem_free(r);
}

void io_resolve(struct io *io, const char *host_port, io_resolved_cb cb, void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_family = AF_UNSPEC};
    struct resolve *r;
    struct addr literal;
    char host[256];
    char *colon;

    if (addr_parse(host_port, &literal) == ERR_OK) {
        cb(arg, host_port, &literal, 1);
        return;
    }
    r = mem_alloc(sizeof *r);
    r->req.data = r;
    r->io = io;
    r->cb = cb;
    r->arg = arg;
    snprintf(r->host_port, sizeof r->host_port, "%s", host_port);
    snprintf(host, sizeof host, "%s", host_port);
    colon = strrchr(host, ':');
    if (colon != NULL) {
        *colon = '\0';
        r->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    }
    if (colon == NULL || uv_getaddrinfo(&io->loop, &r->req, on_resolved, host, NULL, &hints) != 0) {
        cb(arg, host_port, NULL, 0);
        mem_free(r);
    }
}

size_t io_local_addrs(struct addr *out, size_t max)
{
    struct ifaddrs *all, *it;
    size_t n = 0;

    if (getifaddrs(&all) != 0)
        return 0;
    for (it = all; it != NULL && n < max; it = it->ifa_next) {
        if (it->ifa_addr == NULL || !(it->ifa_flags & IFF_UP) || (it->ifa_flags & IFF_LOOPBACK) ||
            addr_from_sockaddr(it->ifa_addr, &out[n]) != ERR_OK)
            continue;
        out[n].port = 0;
        n++;
    }
    freeifaddrs(all);
    return n;
}

static void close_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void io_destroy(struct io *io)
{
    if (io == NULL)
        return;
    io->ops = (struct io_ops){0};
    io->is_ending = true;
    list_each_safe(node, &io->watches)
    {
        io_unwatch_fd(io, list_item(node, struct watch, node)->fd);
    }
    hook_forget(io);
    uv_walk(&io->loop, close_any, NULL);
    uv_run(&io->loop, UV_RUN_DEFAULT);
    while (io->n_deferred > 0)
        run_deferred(io);
    uv_loop_close(&io->loop);
    udp_hub_destroy(io->hub);
    mem_free(io->deferred);
    mem_free(io);
}
