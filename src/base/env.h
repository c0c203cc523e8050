/* base/env.h - the world, handed in: time, packets, random bytes, the wall clock, deferral, the log.
 *
 * Protocol modules call nothing of the operating system. They get a `struct env` from their owner, who fills
 * it from src/io (sockets) or tests/sim (a virtual network). Time is not here: `ns_t now` is read once a turn
 * of the loop and passed down as a parameter.
 *
 *   owner  the creator of the world; it outlives everything that was given the env */
#ifndef ITO_BASE_ENV_H
#define ITO_BASE_ENV_H

#include "base/addr.h"

typedef uint64_t ns_t; /* monotonic nanoseconds */

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull
#define NS_NEVER  UINT64_MAX /* the deadline of something that waits for nothing */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

typedef void (*env_defer_cb)(void *arg);

struct env_ops {
    /* One datagram from our UDP port. Never fails from the caller's view: it may be lost. */
    void (*send)(void *world, const struct addr *to, struct slice bytes);
    void (*random)(void *world, void *out, size_t n);
    int64_t (*wall_ms)(void *world); /* ms since 1970 UTC: signed records, ledger rows, log lines only */
    /* Run cb(arg) at the end of this turn: for freeing objects whose callback is still on the stack. */
    void (*defer)(void *world, env_defer_cb cb, void *arg);
    /* One line for people, already formatted, without secrets. */
    void (*log)(void *world, enum log_level level, const char *line);
};

struct env {
    const struct env_ops *ops;
    void *world;
};

static inline void env_send(const struct env *env, const struct addr *to, struct slice bytes)
{
    env->ops->send(env->world, to, bytes);
}

static inline void env_random(const struct env *env, void *out, size_t n)
{
    env->ops->random(env->world, out, n);
}

static inline uint32_t env_random_u32(const struct env *env)
{
    uint32_t v;

    env->ops->random(env->world, &v, sizeof v);
    return v;
}

static inline int64_t env_wall_ms(const struct env *env)
{
    return env->ops->wall_ms(env->world);
}

static inline void env_defer(const struct env *env, env_defer_cb cb, void *arg)
{
    env->ops->defer(env->world, cb, arg);
}

static inline ns_t ns_min(ns_t a, ns_t b)
{
    return a < b ? a : b;
}

#endif
