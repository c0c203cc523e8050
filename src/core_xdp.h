/* core_xdp.h - `relay.xdp`: the kernel carries the relay's calls where it can (io/xdp.h, relay/offload.h).
 *
 *   owner  core.c; it outlives the app, whose TURN server uses it
 *   caps   2 * relay.max_calls pairs */
#ifndef ITO_CORE_XDP_H
#define ITO_CORE_XDP_H

#include "app/config.h"
#include "io/xdp.h"
#include "relay/offload.h"

/* NULL when the settings do not ask for it, or it cannot be had: then `say` got a line that tells why, and calls are
 * carried as without it. */
struct xdp *core_xdp_create(const struct config *settings, uint16_t port,
                            void (*say)(void *arg, enum log_level level, const char *line), void *arg);
/* With a struct xdp as arg. */
extern const struct offload_ops core_xdp_ops;

#endif
