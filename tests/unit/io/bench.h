/* tests/unit/io/bench.h - a loop that runs until something is true, and a folder in /tmp.
 *
 * Nothing sleeps: the loop wakes by what happens on it; BENCH_MAX_NS ends a test that waits in vain. */
#ifndef ITO_TESTS_IO_BENCH_H
#define ITO_TESTS_IO_BENCH_H

#include "unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/loop.h"

#define BENCH_MAX_NS (20 * NS_PER_S)

struct bench {
    struct io *io;
    char dir[32], path[64];
    bool (*until)(void *arg);
    void *arg;
    ns_t give_up_at;
    bool is_reached;
};

static inline ns_t bench_turn(void *arg, ns_t now)
{
    struct bench *b = arg;

    b->is_reached = b->until != NULL && b->until(b->arg);
    if (b->is_reached || now >= b->give_up_at)
        io_stop(b->io);
    return b->give_up_at;
}

static inline void bench_make(struct bench *b, const char *name)
{
    struct io_ops ops = {.turn = bench_turn, .arg = b};

    *b = (struct bench){.dir = "/tmp/ito-io-XXXXXX"};
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof b->path, "%s/%s", b->dir, name);
    b->io = io_create();
    io_set_ops(b->io, &ops);
}

static inline bool bench_run(struct bench *b, bool (*until)(void *arg), void *arg)
{
    b->until = until;
    b->arg = arg;
    b->give_up_at = io_now() + BENCH_MAX_NS;
    io_run(b->io);
    b->until = NULL;
    return b->is_reached;
}

static inline void bench_end(struct bench *b)
{
    io_destroy(b->io);
    unlink(b->path);
    assert_int_equal(rmdir(b->dir), 0);
}

#endif
