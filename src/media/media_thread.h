/* media/media_thread.h - a thread that takes turns by sound devices: poll, turn, poll; and a pipe to wake the
 * loop.
 *
 *   owner  the caller of media_thread_create(); what it runs must outlive media_thread_stop()
 *   trust  none needed
 *   caps   a turn at least every 100 ms, so that stopping takes no longer
 *
 * The thread has every signal blocked, and SCHED_FIFO if the system lets it. */
#ifndef ITO_MEDIA_MEDIA_THREAD_H
#define ITO_MEDIA_MEDIA_THREAD_H

#include <poll.h>

#include "base/env.h"
#include "base/err.h"

struct media_turns {
    void (*turn)(void *arg, ns_t now);
    ns_t (*deadline)(void *arg, ns_t now);
    int (*poll_fds)(void *arg, struct pollfd *out, int max);
};

struct media_thread;

enum err media_thread_create(struct media_thread **out, struct err_detail *detail);
enum err media_thread_run(struct media_thread *t, const struct media_turns *turns, void *arg);
void media_thread_stop(struct media_thread *t); /* waits for the turn under way */
void media_thread_destroy(struct media_thread *t);

/* From any thread: make media_thread_fd() readable. */
void media_thread_notify(void *thread);
int media_thread_fd(const struct media_thread *t);
void media_thread_drain(struct media_thread *t);
ns_t media_thread_now(void); /* the monotonic clock */

#endif
