/* tests/unit/crypto/world.h - an env whose random bytes and clock a test decides. */
#ifndef ITO_TESTS_UNIT_CRYPTO_WORLD_H
#define ITO_TESTS_UNIT_CRYPTO_WORLD_H

#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "unit/test.h"

struct test_world {
    uint64_t state; /* of the random bytes: xorshift64*, from a seed, so that a failure can be repeated */
    int64_t wall_ms;
};

static inline void world_random(void *world, void *out, size_t n)
{
    struct test_world *w = world;
    uint8_t *p = out;

    for (size_t i = 0; i < n; i++) {
        w->state ^= w->state >> 12;
        w->state ^= w->state << 25;
        w->state ^= w->state >> 27;
        p[i] = (uint8_t)((w->state * 0x2545F4914F6CDD1Dull) >> 56);
    }
}

static inline int64_t world_wall_ms(void *world)
{
    return ((struct test_world *)world)->wall_ms;
}

static inline void world_log(void *world, enum log_level level, const char *line)
{
    (void)world;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static const struct env_ops world_ops = {.random = world_random, .wall_ms = world_wall_ms, .log = world_log};

static inline struct env world_env(struct test_world *w)
{
    return (struct env){.ops = &world_ops, .world = w};
}

#define WORLD(name)                                                                             \
    struct test_world name##_state = {.state = 88172645463325252ull, .wall_ms = 1795305600000}; \
    struct env name = world_env(&name##_state)

/* Hex text to bytes; the number of bytes. */
static inline size_t unhex(const char *hex, void *out)
{
    size_t n = strlen(hex) / 2;
    unsigned v;

    for (size_t i = 0; i < n; i++) {
        if (sscanf(hex + 2 * i, "%2x", &v) != 1)
            return 0;
        ((uint8_t *)out)[i] = (uint8_t)v;
    }
    return n;
}

/* bytes are those of the hex text. */
#define assert_hex(bytes, hex)                     \
    do {                                           \
        uint8_t expected_[1024];                   \
        size_t n_ = unhex(hex, expected_);         \
        assert_memory_equal(bytes, expected_, n_); \
    } while (0)

/* seed 00 01 .. 1f, whose ID UX.md and THREATS.md print. */
static inline void seed_of_the_pages(uint8_t seed[static 32])
{
    for (int i = 0; i < 32; i++)
        seed[i] = (uint8_t)i;
}

/* A point of small order times nothing: the canonical encodings that must never count as keys. */
static const char *const bad_points[] = {
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", /* THREATS.md §3 */
    "0100000000000000000000000000000000000000000000000000000000000000", /* the identity */
    "0000000000000000000000000000000000000000000000000000000000000000", /* order 4 */
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* order 2 */
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", /* order 8 */
};
#define N_BAD_POINTS (sizeof bad_points / sizeof bad_points[0])

#endif
