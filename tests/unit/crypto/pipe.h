/* tests/unit/crypto/pipe.h - phones with a session table each, on a pipe in virtual time that can lose, delay,
 * reorder, record and repeat datagrams. */
#ifndef ITO_TESTS_UNIT_CRYPTO_PIPE_H
#define ITO_TESTS_UNIT_CRYPTO_PIPE_H

#include <stdlib.h>

#include "crypto/session.h"
#include "unit/crypto/world.h"

#define PHONES_MAX 64
#define WIRE_MAX   4096
#define ONE_WAY_NS (50 * NS_PER_MS)

struct defer {
    env_defer_cb cb;
    void *arg;
};

struct phone {
    struct pipe *pipe;
    struct sessions *x;
    struct test_world world;
    struct env env;
    struct defer defers[1024];
    unsigned n_defers;
    struct addr addr;
    struct sign_key identity;
    struct sessions_self self;
    /* What the owner says. */
    bool refuses, refuses_new_path;
    unsigned refused_port; /* paths with this port are not admitted */
    uint64_t heard_stamp;
    bool keeps_stamp, destroys_in_established, says_hello;
    /* What happened. */
    unsigned n_admit, n_established, n_closed, n_messages;
    enum err last_why;
    struct session *last;
    struct session_hello admitted;
    uint8_t last_chan;
    uint8_t last_msg[SESSION_MESSAGE_MAX];
    size_t last_len;
    ns_t established_at, closed_at, message_at;
    uint8_t exporter[32];
    unsigned n_sent, bytes_sent;
};

struct datagram {
    ns_t due;
    uint64_t order;
    struct addr from, to;
    size_t len;
    uint8_t bytes[1500];
};

struct pipe {
    ns_t now;
    struct phone phones[PHONES_MAX];
    unsigned n_phones;
    struct datagram *wire; /* unordered */
    unsigned n_wire;
    uint64_t order;
    unsigned loss_pct, jitter_ms;
    uint8_t drop_type; /* datagrams of this first byte are lost */
    struct datagram *record;
    unsigned n_record;
    struct test_world dice;
};

static inline void pipe_push(struct pipe *p, const struct datagram *d)
{
    assert_true(p->n_wire < WIRE_MAX);
    p->wire[p->n_wire] = *d;
    p->wire[p->n_wire++].order = p->order++;
}

static inline void phone_send(void *arg, const struct path *via, struct slice bytes)
{
    struct phone *ph = arg;
    struct pipe *p = ph->pipe;
    struct datagram d = {.due = p->now + ONE_WAY_NS, .from = ph->addr, .to = via->addr, .len = bytes.len};
    uint8_t dice[2];

    assert_int_equal(via->kind, PATH_UDP);
    assert_true(bytes.len <= SESSION_DATAGRAM_MAX);
    ph->n_sent++;
    ph->bytes_sent += (unsigned)bytes.len;
    memcpy(d.bytes, bytes.data, bytes.len);
    if (p->n_record < WIRE_MAX)
        p->record[p->n_record++] = d;
    world_random(&p->dice, dice, 2);
    if (dice[0] * 100u < p->loss_pct * 256u || (p->drop_type != 0 && bytes.data[0] == p->drop_type))
        return;
    if (p->jitter_ms > 0)
        d.due += dice[1] * p->jitter_ms / 256 * NS_PER_MS;
    pipe_push(p, &d);
}

static inline bool phone_admit(void *arg, const struct session_hello *hello, const struct path *via)
{
    struct phone *ph = arg;

    ph->n_admit++;
    ph->admitted = *hello;
    return !ph->refuses && (ph->refused_port == 0 || via->addr.port != ph->refused_port);
}

static inline void phone_established(void *arg, struct session *s, ns_t now)
{
    struct phone *ph = arg;

    ph->n_established++;
    ph->last = s;
    ph->established_at = now;
    assert_int_equal(session_exporter(s, ph->exporter), ERR_OK);
    if (ph->says_hello)
        assert_int_equal(session_send(s, now, SESSION_SIP, slice_str("INVITE")), ERR_OK);
    if (ph->destroys_in_established) {
        sessions_destroy(ph->x);
        ph->x = NULL;
    }
}

static inline void phone_message(void *arg, struct session *s, uint8_t chan, struct slice msg, ns_t now)
{
    struct phone *ph = arg;

    ph->n_messages++;
    ph->last_chan = chan;
    ph->last_len = msg.len;
    ph->message_at = now;
    if (msg.len > 0)
        memcpy(ph->last_msg, msg.data, msg.len);
    assert_int_equal(session_exporter(s, ph->exporter), ERR_OK);
}

static inline void phone_closed(void *arg, struct session *s, enum err why, ns_t now)
{
    struct phone *ph = arg;

    ph->n_closed++;
    ph->last_why = why;
    ph->closed_at = now;
    if (ph->last == s)
        ph->last = NULL;
}

static inline bool phone_path_allowed(void *arg, const struct session *s, const struct path *via)
{
    (void)s;
    (void)via;
    return !((struct phone *)arg)->refuses_new_path;
}

static inline uint64_t phone_stamp_get(void *arg, const uint8_t device[static 32])
{
    (void)device;
    return ((struct phone *)arg)->heard_stamp;
}

static inline void phone_stamp_set(void *arg, const uint8_t device[static 32], uint64_t stamp)
{
    (void)device;
    ((struct phone *)arg)->heard_stamp = stamp;
}

static const struct session_ops phone_ops = {.send = phone_send,
                                             .admit = phone_admit,
                                             .established = phone_established,
                                             .message = phone_message,
                                             .closed = phone_closed,
                                             .path_allowed = phone_path_allowed};
static const struct session_ops phone_ops_stamps = {.send = phone_send,
                                                    .admit = phone_admit,
                                                    .established = phone_established,
                                                    .message = phone_message,
                                                    .closed = phone_closed,
                                                    .path_allowed = phone_path_allowed,
                                                    .stamp_get = phone_stamp_get,
                                                    .stamp_set = phone_stamp_set};

/* The env's world is the phone. */
static inline void phone_random(void *world, void *out, size_t n)
{
    world_random(&((struct phone *)world)->world, out, n);
}

static inline int64_t phone_wall_ms(void *world)
{
    struct phone *ph = world;

    return ph->world.wall_ms + (int64_t)(ph->pipe->now / NS_PER_MS);
}

static inline void phone_defer(void *world, env_defer_cb cb, void *arg)
{
    struct phone *ph = world;

    assert_true(ph->n_defers < 1024);
    ph->defers[ph->n_defers++] = (struct defer){cb, arg};
}

static const struct env_ops phone_env_ops = {
    .random = phone_random, .wall_ms = phone_wall_ms, .defer = phone_defer, .log = world_log};

static inline void phone_end_turn(struct phone *ph)
{
    for (unsigned i = 0; i < ph->n_defers; i++)
        ph->defers[i].cb(ph->defers[i].arg);
    ph->n_defers = 0;
}

static inline void phone_start(struct phone *ph, uint64_t rekey_count)
{
    struct sessions_config c = {.ops = ph->keeps_stamp ? &phone_ops_stamps : &phone_ops, .arg = ph};

    c.rekey_count = rekey_count;
    ph->x = sessions_create(&c, &ph->env);
    assert_int_equal(sessions_set_self(ph->x, &ph->self), ERR_OK);
}

/* A phone with its own identity, one device and S; number n gives its keys and address 10.0.0.n. */
static inline struct phone *pipe_phone(struct pipe *p)
{
    unsigned n = ++p->n_phones;
    struct phone *ph = &p->phones[n - 1];
    struct device_entry device = {.slot = 1};
    struct session_device *d = &ph->self.devices[0];
    uint8_t seed[32];
    struct dh_key dh;

    assert_true(n < PHONES_MAX);
    ph->pipe = p;
    ph->world = (struct test_world){.state = 1000 + n, .wall_ms = 1795305600000};
    ph->env = (struct env){.ops = &phone_env_ops, .world = ph};
    ph->addr = addr_v4((const uint8_t[]){10, 0, 0, (uint8_t)n}, 4000);
    memset(seed, (int)n, sizeof seed);
    sign_key_from_seed(seed, &ph->identity);
    memset(seed, 0x80 + (int)n, sizeof seed);
    dh_key_from_secret(seed, &dh);
    memcpy(d->secret, dh.secret, 32);
    memcpy(d->public, dh.pub, 32);
    memcpy(device.D, dh.pub, 32);
    memcpy(device.Q, ph->identity.pub, 32);
    assert_int_equal(cert_make(&ph->identity, 1, &device, seed, d->certificate), ERR_OK);
    memcpy(ph->self.identity, ph->identity.pub, 32);
    ph->self.n_devices = 1;
    ph->self.n_secrets = 1;
    ph->self.secrets[0] = (struct session_secret){.class = SESSION_CONTACT, .id = 1};
    memset(ph->self.secrets[0].secret, 0x40 + (int)n, 32);
    ph->self.reply = (struct hello_reply){.gen = 1, .s_gen = n};
    phone_start(ph, 0);
    return ph;
}

static inline struct pipe *pipe_new(void)
{
    struct pipe *p = calloc(1, sizeof *p);

    p->wire = calloc(WIRE_MAX, sizeof *p->wire);
    p->record = calloc(WIRE_MAX, sizeof *p->record);
    p->dice.state = 4711;
    p->now = 1000 * NS_PER_S;
    return p;
}

static inline void phone_stop(struct phone *ph)
{
    sessions_destroy(ph->x);
    ph->x = NULL;
    phone_end_turn(ph);
}

static inline void pipe_free(struct pipe *p)
{
    for (unsigned i = 0; i < p->n_phones; i++)
        phone_stop(&p->phones[i]);
    free(p->wire);
    free(p->record);
    free(p);
}

static inline void pipe_deliver(struct pipe *p, const struct datagram *d)
{
    for (unsigned i = 0; i < p->n_phones; i++) {
        struct phone *ph = &p->phones[i];

        if (ph->x != NULL && addr_equal(&ph->addr, &d->to)) {
            struct path via = path_udp(&d->from);

            sessions_input(ph->x, p->now, &via, slice_of(d->bytes, d->len));
            phone_end_turn(ph);
        }
    }
}

/* Let everything happen that happens until `until`. */
static inline void pipe_run(struct pipe *p, ns_t until)
{
    for (;;) {
        ns_t next = NS_NEVER;
        unsigned first = 0;

        for (unsigned i = 0; i < p->n_wire; i++)
            if (p->wire[i].due < next ||
                (p->wire[i].due == next && p->wire[i].order < p->wire[first].order)) {
                next = p->wire[i].due;
                first = i;
            }
        ns_t due = next;
        for (unsigned i = 0; i < p->n_phones; i++)
            if (p->phones[i].x != NULL)
                next = ns_min(next, sessions_deadline(p->phones[i].x));
        if (next > until)
            break;
        if (next > p->now)
            p->now = next;
        if (due <= p->now) {
            struct datagram d = p->wire[first];

            p->wire[first] = p->wire[--p->n_wire];
            pipe_deliver(p, &d);
        }
        for (unsigned i = 0; i < p->n_phones; i++) {
            if (p->phones[i].x != NULL)
                sessions_tick(p->phones[i].x, p->now);
            phone_end_turn(&p->phones[i]);
        }
    }
    p->now = until;
}

static inline void pipe_run_ms(struct pipe *p, uint64_t ms)
{
    pipe_run(p, p->now + ms * NS_PER_MS);
}

/* How `a` would open to `b`, knowing its S. */
static inline struct session_peer peer_of(const struct phone *b)
{
    struct session_peer peer = {.class = SESSION_CONTACT, .kind = HELLO_CALL};

    memcpy(peer.responder, b->identity.pub, 32);
    memcpy(peer.responder_static, b->self.devices[0].public, 32);
    memcpy(peer.secret, b->self.secrets[0].secret, 32);
    memset(peer.call_id, 0xca, sizeof peer.call_id);
    return peer;
}

static inline struct session *phone_open_peer(struct phone *a, const struct phone *b,
                                              const struct session_peer *peer)
{
    struct path via = path_udp(&b->addr);
    struct session *s = NULL;

    assert_int_equal(sessions_open(a->x, a->pipe->now, peer, &via, 1, &s), ERR_OK);
    return s;
}

static inline struct session *phone_open(struct phone *a, const struct phone *b)
{
    struct session_peer peer = peer_of(b);

    return phone_open_peer(a, b, &peer);
}

static inline bool got(const struct phone *ph, const char *text)
{
    return ph->last_len == strlen(text) && memcmp(ph->last_msg, text, ph->last_len) == 0;
}

#endif
