#include "media/media_thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "media/audio.h"

#define TURN_MAX_NS (100 * NS_PER_MS)
#define PRIORITY    10

struct media_thread {
    pthread_t thread;
    bool is_running;
    atomic_bool is_stopping;
    atomic_bool is_notified; /* a byte is in the pipe */
    int ends[2];
    struct media_turns turns;
    void *arg;
};

ns_t media_thread_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

enum err media_thread_create(struct media_thread **out, struct err_detail *detail)
{
    struct media_thread *t = mem_alloc(sizeof *t);

    *out = NULL;
    if (pipe2(t->ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        mem_free(t);
        return err_set(detail, ERR_IO, "Sound cannot be started: too many open files.");
    }
    atomic_init(&t->is_stopping, false);
    atomic_init(&t->is_notified, false);
    *out = t;
    return ERR_OK;
}

static void *run(void *arg)
{
    struct media_thread *t = arg;

    while (!atomic_load(&t->is_stopping)) {
        struct pollfd fds[AUDIO_FDS_MAX];
        int n = t->turns.poll_fds(t->arg, fds, AUDIO_FDS_MAX);
        ns_t now = media_thread_now();
        ns_t at = ns_min(t->turns.deadline(t->arg, now), now + TURN_MAX_NS);
        ns_t wait = at > now ? at - now : 0;
        struct timespec ts = {.tv_sec = (time_t)(wait / NS_PER_S), .tv_nsec = (long)(wait % NS_PER_S)};

        ppoll(fds, (nfds_t)n, &ts, NULL);
        t->turns.turn(t->arg, media_thread_now());
    }
    return NULL;
}

enum err media_thread_run(struct media_thread *t, const struct media_turns *turns, void *arg)
{
    struct sched_param prio = {.sched_priority = PRIORITY};
    sigset_t all, before;
    int failed;

    t->turns = *turns;
    t->arg = arg;
    atomic_store(&t->is_stopping, false);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    failed = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return ERR_IO;
    t->is_running = true;
    pthread_setschedparam(t->thread, SCHED_FIFO, &prio); /* refused for most users: fine */
    return ERR_OK;
}

void media_thread_stop(struct media_thread *t)
{
    if (!t->is_running)
        return;
    atomic_store(&t->is_stopping, true);
    pthread_join(t->thread, NULL);
    t->is_running = false;
}

void media_thread_destroy(struct media_thread *t)
{
    if (!t)
        return;
    media_thread_stop(t);
    close(t->ends[0]);
    close(t->ends[1]);
    mem_free(t);
}

void media_thread_notify(void *thread)
{
    struct media_thread *t = thread;

    if (atomic_exchange(&t->is_notified, true))
        return;
    if (write(t->ends[1], "", 1) != 1)
        atomic_store(&t->is_notified, false);
}

int media_thread_fd(const struct media_thread *t)
{
    return t->ends[0];
}

void media_thread_drain(struct media_thread *t)
{
    char bytes[16];

    while (read(t->ends[0], bytes, sizeof bytes) > 0)
        ;
    atomic_store(&t->is_notified, false); /* before the ring is read: what comes later notifies again */
}
