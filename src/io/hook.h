/* io/hook.h - a person's own program, run at an event (notify.command): never waited for, ended after 5 s.
 *
 *   in     an argument list, no shell; ITO_EVENT and ITO_NAME are added to the environment
 *   caps   HOOKS_MAX at once; more are not started */
#ifndef ITO_IO_HOOK_H
#define ITO_IO_HOOK_H

#include "io/loop.h"

#define HOOKS_MAX     4
#define HOOK_LIMIT_MS 5000
#define HOOK_ARGS_MAX 32

/* argv[n_args] need not be NULL. ERR_FULL, ERR_IO (it cannot be started). */
enum err hook_run(struct io *io, const char *const *argv, size_t n_args, const char *event, const char *name);
/* The loop ends: what still runs is left to itself. */
void hook_forget(struct io *io);

#endif
