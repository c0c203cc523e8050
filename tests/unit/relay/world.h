/* tests/unit/relay/world.h - a world for the relay's tests: random bytes from a counter, a clock of one's own, and
 * the last packets that went out. */
#ifndef ITO_TESTS_RELAY_WORLD_H
#define ITO_TESTS_RELAY_WORLD_H

#include "unit/test.h"

#include "base/env.h"
#include "crypto/identity.h"
#include "nat/stun.h"
#include "relay/turn_server.h"

#define WORLD_PACKETS 64
#define WORLD_WALL_S  1795000000 /* some day in 2026 */

struct packet {
    struct addr to;
    uint32_t handle; /* 0: from the main port */
    size_t len;
    uint8_t bytes[2048];
};

struct world {
    struct env env;
    uint64_t seed;
    int64_t wall_ms;
    ns_t now;
    struct packet packets[WORLD_PACKETS];
    size_t n_packets;
};

static void world_random(void *arg, void *out, size_t n)
{
    struct world *w = arg;
    uint8_t *at = out;

    for (; n > 0; n--) {
        w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
        *at++ = (uint8_t)(w->seed >> 33);
    }
}

static int64_t world_wall(void *arg)
{
    return ((struct world *)arg)->wall_ms;
}

static void world_defer(void *arg, env_defer_cb cb, void *cb_arg)
{
    (void)arg;
    cb(cb_arg);
}

static void world_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void world_env_send(void *arg, const struct addr *to, struct slice bytes)
{
    (void)arg;
    (void)to;
    (void)bytes;
    fail_msg("nothing of the relay sends by itself");
}

static const struct env_ops world_ops = {
    .send = world_env_send,
    .random = world_random,
    .wall_ms = world_wall,
    .defer = world_defer,
    .log = world_log,
};

static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    assert_int_equal(crypto_init(), ERR_OK);
    w->env = (struct env){.ops = &world_ops, .world = w};
    w->seed = 1;
    w->now = 1000 * NS_PER_S;
    w->wall_ms = (int64_t)WORLD_WALL_S * 1000;
}

static inline void world_pass(struct world *w, ns_t dt)
{
    w->now += dt;
    w->wall_ms += (int64_t)(dt / NS_PER_MS);
}

static inline void world_keep(struct world *w, uint32_t handle, const struct addr *to, struct slice bytes)
{
    struct packet *p = &w->packets[w->n_packets % WORLD_PACKETS];

    assert_true(bytes.len <= sizeof p->bytes);
    p->to = *to;
    p->handle = handle;
    p->len = bytes.len;
    memcpy(p->bytes, bytes.data, bytes.len);
    w->n_packets++;
}

static inline const struct packet *world_last(const struct world *w)
{
    assert_true(w->n_packets > 0);
    return &w->packets[(w->n_packets - 1) % WORLD_PACKETS];
}

static inline struct addr at(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), ERR_OK);
    return a;
}

/* A TURN client of a few lines: it builds requests and reads answers. */
struct turner {
    struct addr from;
    char realm[80], nonce[80], username[80], password[80];
    uint8_t id[STUN_ID_BYTES];
    struct addr relayed;
};

static inline void turner_begin(struct turner *t, struct stun_wr *w, void *buf, size_t size, uint16_t method)
{
    t->id[11]++;
    if (t->id[11] == 0)
        t->id[10]++;
    stun_begin(w, buf, size, STUN_REQUEST, method, t->id);
}

static inline struct slice turner_end(const struct turner *t, struct stun_wr *w)
{
    uint8_t key[STUN_SHA1_KEY_BYTES];

    if (t->nonce[0] != '\0') {
        stun_put(w, STUN_USERNAME, slice_str(t->username));
        stun_put(w, STUN_REALM, slice_str(t->realm));
        stun_put(w, STUN_NONCE, slice_str(t->nonce));
        stun_long_term_key(slice_str(t->username), slice_str(t->realm), slice_str(t->password), key);
        stun_put_integrity(w, slice_of(key, sizeof key));
    }
    return stun_end(w);
}

static inline void copy_text(char *out, size_t size, struct slice s)
{
    assert_true(s.len < size);
    memcpy(out, s.data, s.len);
    out[s.len] = '\0';
}

#endif
