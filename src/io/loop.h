/* io/loop.h - the real world on libuv: one loop, its clock, random bytes, deferral, the log.
 *
 * A program makes one `struct io`, opens its sockets on it, and gives io_env() to the core. After every event
 * the loop calls the owner's turn() with one reading of the clock; turn() runs what is due and says when it
 * wants to be called again at the latest.
 *
 *   owner    the program; everything opened on it is closed by io_destroy()
 *   threads  all callbacks run on the thread of io_run(); io_wake() may be called from any */
#ifndef ITO_IO_LOOP_H
#define ITO_IO_LOOP_H

#include "base/env.h"

struct io;
struct uv_loop_s;

struct io_ops {
    /* Something may have happened: do what is due at `now`, return the next deadline (NS_NEVER: none). */
    ns_t (*turn)(void *arg, ns_t now);
    /* One log line, already formatted; NULL drops all. */
    void (*log)(void *arg, enum log_level level, const char *line);
    /* A signal of those asked for with io_on_signal(). */
    void (*signal)(void *arg, int signum);
    void *arg;
};

typedef void (*io_fd_cb)(void *arg, ns_t now);
typedef void (*io_resolved_cb)(void *arg, const char *host, const struct addr *addrs, size_t n);

struct io *io_create(void);
void io_set_ops(struct io *io, const struct io_ops *ops);
void io_destroy(struct io *io);
/* The env of this world; its send() uses the socket given to io_set_main_udp(). */
const struct env *io_env(struct io *io);
ns_t io_now(void);
/* Run until io_stop(). */
void io_run(struct io *io);
void io_stop(struct io *io);
/* Make turn() happen soon; from any thread. */
void io_wake(struct io *io);
enum err io_on_signal(struct io *io, int signum);
/* Call cb whenever fd is readable. At most one registration for each fd. */
enum err io_watch_fd(struct io *io, int fd, io_fd_cb cb, void *arg);
void io_unwatch_fd(struct io *io, int fd);
/* Look a host name up off the loop; "host:port" as a person writes it. cb gets n = 0 when it failed. */
void io_resolve(struct io *io, const char *host_port, io_resolved_cb cb, void *arg);
/* Addresses of this machine's interfaces that are up, without loopback; returns how many, at most max. */
size_t io_local_addrs(struct addr *out, size_t max);
struct uv_loop_s *io_uv(struct io *io);

/* For io/udp: what its sockets share; and the callback now running changed nothing that turn() would see. The next
 * turn may then come IO_TURN_OFF_NS later, unless a deadline is due. */
#define IO_TURN_OFF_NS (5 * NS_PER_MS)
struct udp_hub;
struct udp_hub *io_udp_hub(struct io *io);
void io_stay_quiet(struct io *io);

struct udp;
void io_set_main_udp(struct io *io, struct udp *udp);
/* Where datagrams to addresses of streams go; NULL: nowhere. */
struct tcp;
void io_set_tcp(struct io *io, struct tcp *tcp);
/* Asked before a datagram leaves by UDP: true when it went another way (core_detour.h). NULL: none. */
typedef bool (*io_detour_cb)(void *arg, const struct addr *to, struct slice bytes);
void io_set_detour(struct io *io, io_detour_cb cb, void *arg);
/* The callback now running is of a libuv handle of its owner's, and its turn is due. */
void io_stay_loud(struct io *io);

#endif
