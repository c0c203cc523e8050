/* tests/unit/relay/rig.h - a TURN server in a world of its own, and two clients who log in, permit, bind and send. */
#ifndef ITO_TESTS_RELAY_RIG_H
#define ITO_TESTS_RELAY_RIG_H

#include <stdio.h>

#include "world.h"

#include "base/mem.h"
#include "relay/forward.h"

struct rig {
    struct world w;
    struct turn_server *ts;
    struct turner a, b;
    uint32_t n_open, n_began, n_ended;
    enum err open_result;
    bool refuse_tickets;
    struct turn_usage ended;
    uint32_t grant_kbps;
    struct packet own;
};

static inline void on_send(void *arg, const struct addr *to, struct slice bytes)
{
    world_keep(&((struct rig *)arg)->w, 0, to, bytes);
}

static inline enum err on_open(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    struct rig *r = arg;

    (void)family;
    assert_int_equal((uint16_t)handle, port);
    if (r->open_result == ERR_OK)
        r->n_open++;
    return r->open_result;
}

static inline void on_port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    world_keep(&((struct rig *)arg)->w, handle, to, bytes);
}

static inline void on_close(void *arg, uint32_t handle)
{
    (void)handle;
    ((struct rig *)arg)->n_open--;
}

static inline bool on_admit(void *arg, ns_t now, const uint8_t *alloc_id, struct turn_grant *grant)
{
    struct rig *r = arg;

    (void)now;
    grant->max_kbps = r->grant_kbps;
    return alloc_id == NULL || !r->refuse_tickets;
}

static inline void on_began(void *arg, ns_t now, const struct turn_usage *usage)
{
    (void)now;
    (void)usage;
    ((struct rig *)arg)->n_began++;
}

static inline void on_ended(void *arg, ns_t now, const struct turn_usage *usage)
{
    struct rig *r = arg;

    (void)now;
    r->n_ended++;
    r->ended = *usage;
}

static inline void on_own(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct rig *r = arg;

    (void)now;
    r->own.to = *from;
    r->own.len = bytes.len;
    memcpy(r->own.bytes, bytes.data, bytes.len);
}

static const struct turn_user users[] = {{"ito", "secret"}, {"other", "word"}};
static uint8_t server_secret[32] = {1, 2, 3};

static inline struct turn_server_config default_config(void)
{
    return (struct turn_server_config){
        .external = {at("198.51.100.7:3478"), at("[2001:db8::7]:3478")},
        .port_min = 50000,
        .port_max = 50199,
        .users = users,
        .n_users = 2,
        .secret = server_secret,
        .is_ordinary = true,
        .max_allocations = 100,
        .max_per_user = 50,
    };
}

static inline struct rig *rig_with(const struct turn_server_config *config)
{
    static const struct turn_server_ops ops = {on_send, on_open,  on_port_send, on_close, on_admit,
                                               NULL,    on_began, on_ended,     on_own};
    struct rig *r = mem_alloc(sizeof *r);

    world_init(&r->w);
    r->a.from = at("203.0.113.5:1111");
    r->b.from = at("192.0.2.9:2222");
    r->b.id[0] = 9;
    r->ts = turn_server_create(config, &ops, r, &r->w.env);
    return r;
}

static inline struct rig *rig_new(void)
{
    struct turn_server_config config = default_config();

    return rig_with(&config);
}

static inline void rig_free(struct rig *r)
{
    turn_server_destroy(r->ts);
    assert_int_equal(r->n_open, 0);
    mem_free(r);
}

/* Send, and parse the answer, which must be one packet to the client. */
static inline struct stun_msg ask(struct rig *r, const struct turner *t, struct slice bytes)
{
    size_t before = r->w.n_packets;
    const struct packet *p;
    struct stun_msg m;

    turn_server_input(r->ts, r->w.now, &t->from, bytes);
    assert_int_equal(r->w.n_packets, before + 1);
    p = world_last(&r->w);
    assert_true(addr_equal(&p->to, &t->from));
    assert_int_equal(stun_parse(slice_of(p->bytes, p->len), &m), ERR_OK);
    assert_memory_equal(m.id, t->id, sizeof m.id);
    return m;
}

static inline struct stun_msg allocate_as(struct rig *r, struct turner *t)
{
    uint8_t buf[512];
    struct stun_wr w;
    struct stun_msg m;

    turner_begin(t, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    m = ask(r, t, turner_end(t, &w));
    if (m.cls == STUN_SUCCESS)
        t->relayed = m.relayed[0];
    return m;
}

static inline void log_in(struct rig *r, struct turner *t, const char *user, const char *password)
{
    struct stun_msg m;

    m = allocate_as(r, t);
    assert_int_equal(m.error_code, STUN_UNAUTHENTICATED);
    copy_text(t->realm, sizeof t->realm, m.realm);
    copy_text(t->nonce, sizeof t->nonce, m.nonce);
    snprintf(t->username, sizeof t->username, "%s", user);
    snprintf(t->password, sizeof t->password, "%s", password);
}

static inline void set_up(struct rig *r, struct turner *t)
{
    struct stun_msg m;

    log_in(r, t, "ito", "secret");
    m = allocate_as(r, t);
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(m.lifetime_s, 600);
    assert_true(addr_equal(&m.mapped, &t->from));
}

static inline struct stun_msg permit(struct rig *r, struct turner *t, const struct addr *peer)
{
    uint8_t buf[512];
    struct stun_wr w;

    turner_begin(t, &w, buf, sizeof buf, TURN_CREATE_PERMISSION);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, peer);
    return ask(r, t, turner_end(t, &w));
}

static inline struct stun_msg bind_channel(struct rig *r, struct turner *t, uint16_t number,
                                           const struct addr *peer)
{
    uint8_t buf[512];
    struct stun_wr w;

    turner_begin(t, &w, buf, sizeof buf, TURN_CHANNEL_BIND);
    stun_put_u16(&w, STUN_CHANNEL_NUMBER, number);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, peer);
    return ask(r, t, turner_end(t, &w));
}

static inline struct stun_msg refresh(struct rig *r, struct turner *t, uint32_t lifetime_s)
{
    uint8_t buf[512];
    struct stun_wr w;

    turner_begin(t, &w, buf, sizeof buf, TURN_REFRESH);
    stun_put_u32(&w, STUN_LIFETIME, lifetime_s);
    return ask(r, t, turner_end(t, &w));
}

static inline void send_channel(struct rig *r, const struct turner *t, uint16_t number, struct slice data)
{
    uint8_t buf[2048];

    turn_server_input(r->ts, r->w.now, &t->from, stun_channel_write(buf, sizeof buf, number, data));
}

static inline void send_indication(struct rig *r, const struct turner *t, const struct addr *peer,
                                   struct slice data)
{
    uint8_t buf[2048];
    struct stun_wr w;

    stun_begin(&w, buf, sizeof buf, STUN_INDICATION, TURN_SEND, t->id);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, peer);
    stun_put(&w, STUN_DATA, data);
    turn_server_input(r->ts, r->w.now, &t->from, stun_end(&w));
}

#define HELLO slice_str("hello")

#endif
