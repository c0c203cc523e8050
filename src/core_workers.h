/* core_workers.h - `relay.workers`: calls of the relay carried on more cores than the loop's (io/workers.h,
 * relay/offload.h).
 *
 * A worker carries a pair of clients of one address family that have bound channels to each other; the loop does all
 * else, and its own share of the channel data.
 *
 *   owner  core.c; it outlives the app, whose TURN server uses it
 *   caps   2 * relay.max_calls pairs; relay.workers - 1 threads */
#ifndef ITO_CORE_WORKERS_H
#define ITO_CORE_WORKERS_H

#include "app/config.h"
#include "handover.h"
#include "io/workers.h"
#include "relay/offload.h"

struct core_workers;

/* carries: nobody else does (relay.xdp). NULL when the settings do not ask for it and the process before us left nothing, or when it cannot be had: then `say`
 * got a line that tells why, and calls are carried as without it. */
struct core_workers *core_workers_create(const struct config *settings, bool carries, struct io *io,
                                         struct udp *main, struct handover *handover,
                                         void (*say)(void *arg, enum log_level level, const char *line),
                                         void *arg);
void core_workers_destroy(struct core_workers *cw); /* accepts NULL, as do those below */
bool core_workers_carry(const struct core_workers *cw);
/* Each turn: the threads begin at the first, when what is not needed has been given up (io/confine.h). */
void core_workers_turn(struct core_workers *cw);
/* Before the app's state is taken: no thread runs on, and the loop has all that they had. */
void core_workers_stop(struct core_workers *cw);
size_t core_workers_fds(const struct core_workers *cw, int out[static FLOW_LOOKERS_MAX]);
/* With a struct core_workers as arg. */
extern const struct offload_ops core_workers_ops;

#endif
