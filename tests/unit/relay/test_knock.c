#include <stdio.h>

#include "world.h"

#include "base/mem.h"
#include "relay/knock.h"

struct rig {
    struct world w;
    struct knock_proxy *kp;
    uint8_t delivered[2048];
    size_t n_delivered, len;
    uint64_t to;
    uint32_t n_renewed;
};

static void on_send(void *arg, const struct addr *to, struct slice bytes)
{
    world_keep(&((struct rig *)arg)->w, 0, to, bytes);
}

static void on_deliver(void *arg, uint64_t session_ref, struct slice bytes)
{
    struct rig *r = arg;

    r->n_delivered++;
    r->to = session_ref;
    r->len = bytes.len;
    memcpy(r->delivered, bytes.data, bytes.len);
}

static void on_renewed(void *arg, uint64_t session_ref, uint32_t generation)
{
    (void)session_ref;
    (void)generation;
    ((struct rig *)arg)->n_renewed++;
}

static const uint8_t secret[32] = {5}, hanako[32] = {1}, kenji[32] = {2};

static struct rig *rig_new(uint32_t max_registrations, uint32_t max_kbps)
{
    static const struct knock_ops ops = {on_send, on_deliver, on_renewed};
    struct knock_config config = {secret, max_registrations, max_kbps};
    struct rig *r = mem_alloc(sizeof *r);

    world_init(&r->w);
    r->kp = knock_proxy_create(&config, &ops, r, &r->w.env);
    return r;
}

static void rig_free(struct rig *r)
{
    knock_proxy_destroy(r->kp);
    mem_free(r);
}

static void knock(struct rig *r, const char *from, const uint8_t *token, uint32_t flow, struct slice body)
{
    struct addr a = at(from);
    uint8_t buf[KNOCK_FRAME_MAX];

    knock_input(r->kp, r->w.now, &a, knock_build_c8(buf, sizeof buf, token, flow, body));
}

static uint32_t last_flow(const struct rig *r)
{
    return (uint32_t)r->delivered[0] << 24 | (uint32_t)r->delivered[1] << 16 |
           (uint32_t)r->delivered[2] << 8 | r->delivered[3];
}

static void reply(struct rig *r, uint64_t session, uint32_t flow, struct slice body)
{
    uint8_t buf[2048];
    struct wr w;

    wr_init(&w, buf, sizeof buf);
    wr_u32(&w, flow);
    wr_slice(&w, body);
    knock_reply(r->kp, r->w.now, session, wr_done(&w));
}

#define KNOCK slice_str("message 1, of some length")

static void there_and_back(void **state)
{
    struct rig *r = rig_new(16, 0);
    struct knock_tokens t;
    const struct packet *p;
    struct slice body;
    uint32_t flow, got;

    (void)state;
    assert_int_equal(knock_register(r->kp, r->w.now, 77, hanako, 0, &t), ERR_OK);
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
    assert_int_equal(r->n_delivered, 1);
    assert_int_equal(r->to, 77);
    assert_memory_equal(r->delivered + 4, KNOCK.data, KNOCK.len);
    flow = last_flow(r);
    assert_int_not_equal(flow, 0);
    reply(r, 77, flow, slice_str("message 2"));
    p = world_last(&r->w);
    assert_true(addr_equal(&p->to, &(struct addr){.family = ADDR_V4, .ip = {203, 0, 113, 5}, .port = 1000}));
    assert_int_equal(knock_parse_c9(slice_of(p->bytes, p->len), &got, &body), ERR_OK);
    assert_int_equal(got, flow);
    assert_true(slice_is(body, "message 2"));
    knock(r, "203.0.113.5:1000", t.token, flow, slice_str("x")); /* proves the address */
    reply(r, 77, flow, slice_of(r->delivered, 1000));
    assert_int_equal(knock_stats(r->kp)->returned, 2);
    rig_free(r);
}

static void silence(void **state)
{
    struct rig *r = rig_new(16, 0);
    uint8_t wrong[8] = {1};
    struct knock_tokens t;
    struct addr from = at("203.0.113.5:1000");

    (void)state;
    assert_int_equal(knock_register(r->kp, r->w.now, 77, hanako, 0, &t), ERR_OK);
    knock(r, "203.0.113.5:1000", wrong, 0, KNOCK);
    knock(r, "203.0.113.5:1000", t.token, 12345, KNOCK);
    knock_input(r->kp, r->w.now, &from, slice_of("\xc8\x00", 2));
    knock_input(r->kp, r->w.now, &from, slice_of(NULL, 0));
    assert_int_equal(r->n_delivered, 0);
    assert_int_equal(r->w.n_packets, 0);
    assert_int_equal(knock_stats(r->kp)->unknown_token, 1);
    assert_int_equal(knock_stats(r->kp)->unknown_flow, 1);
    assert_int_equal(knock_stats(r->kp)->malformed, 2);
    rig_free(r);
}

static void not_amplified(void **state)
{
    struct rig *r = rig_new(16, 0);
    struct knock_tokens t;
    static const uint8_t big[600];
    uint32_t flow;

    (void)state;
    knock_register(r->kp, r->w.now, 77, hanako, 0, &t);
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK); /* 41 bytes */
    flow = last_flow(r);
    reply(r, 77, flow, slice_of(big, 34)); /* 42 */
    assert_int_equal(r->w.n_packets, 0);
    reply(r, 77, flow, slice_of(big, 33));
    assert_int_equal(r->w.n_packets, 1);
    reply(r, 77, flow, slice_of(big, 1));
    assert_int_equal(r->w.n_packets, 1);
    /* The flow from somewhere else proves nothing about the caller. */
    knock(r, "198.51.100.5:1000", t.token, flow, KNOCK);
    reply(r, 77, flow, slice_of(big, 600));
    assert_int_equal(r->w.n_packets, 1);
    knock(r, "203.0.113.5:1000", t.token, flow, slice_str("x"));
    reply(r, 77, flow, slice_of(big, 600));
    assert_int_equal(r->w.n_packets, 2);
    rig_free(r);
}

static void repeated_first(void **state)
{
    struct rig *r = rig_new(16, 0);
    struct knock_tokens t;
    uint32_t flow;

    (void)state;
    knock_register(r->kp, r->w.now, 77, hanako, 0, &t);
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
    flow = last_flow(r);
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
    assert_int_equal(last_flow(r), flow);
    assert_int_equal(knock_stats(r->kp)->flows, 1);
    rig_free(r);
}

/* A knock that the client answers and the caller goes on with. */
static void knock_proven(struct rig *r, const char *from, const uint8_t *token)
{
    size_t n = r->n_delivered;

    knock(r, from, token, 0, KNOCK);
    if (r->n_delivered == n)
        return; /* over a cap */
    reply(r, r->to, last_flow(r), slice_str("message 2"));
    knock(r, from, token, last_flow(r), slice_str("message 3"));
}

/* What nobody answers: little from one network, not much from all of them, and no more by being patient. */
static void caps_of_the_unproven(void **state)
{
    struct rig *r = rig_new(16, 0);
    struct knock_tokens t, other;
    char from[32];

    (void)state;
    knock_register(r->kp, r->w.now, 77, hanako, 0, &t);
    knock_register(r->kp, r->w.now, 78, kenji, 0, &other);
    for (int i = 0; i < 20; i++) {
        snprintf(from, sizeof from, "198.51.100.%d:1000", i);
        knock(r, from, t.token, 0, KNOCK);
        world_pass(&r->w, 4 * NS_PER_S);
    }
    assert_int_equal(knock_stats(r->kp)->flows, KNOCK_UNPROVEN_PER_NET);
    knock(r, "198.51.100.99:1000", other.token, 0, KNOCK); /* somebody else there calls somebody else */
    assert_int_equal(knock_stats(r->kp)->flows, KNOCK_UNPROVEN_PER_NET + 1);
    for (int i = 0; i < 100; i++) {
        snprintf(from, sizeof from, "203.0.%d.5:1000", i);
        knock(r, from, t.token, 0, KNOCK);
        world_pass(&r->w, NS_PER_S / 10);
    }
    assert_int_equal(knock_stats(r->kp)->flows, KNOCK_UNPROVEN_PER_TOKEN + 1);
    assert_int_equal(knock_stats(r->kp)->over_cap,
                     16 + 100 - (KNOCK_UNPROVEN_PER_TOKEN - KNOCK_UNPROVEN_PER_NET));
    world_pass(&r->w, KNOCK_FLOW_S * NS_PER_S);
    knock_tick(r->kp, r->w.now);
    knock(r, "198.51.100.1:1000", t.token, 0, KNOCK);
    assert_int_equal(knock_stats(r->kp)->flows, 1);
    rig_free(r);
}

/* Friends who call again and again, all of them from the address of one relay, are always heard. */
static void the_proven_make_room(void **state)
{
    struct rig *r = rig_new(16, 0);
    struct knock_tokens t, other;
    char from[32];

    (void)state;
    knock_register(r->kp, r->w.now, 77, hanako, 0, &t);
    knock_register(r->kp, r->w.now, 78, kenji, 0, &other);
    knock_proven(r, "198.51.100.20:900", other.token);
    for (int i = 0; i < 100; i++) {
        snprintf(from, sizeof from, "198.51.100.20:%d", 1000 + i);
        knock_proven(r, from, t.token);
        assert_int_equal(r->n_delivered, 2 * (i + 2));
        world_pass(&r->w, NS_PER_S / KNOCK_NEW_PER_S);
    }
    assert_int_equal(knock_stats(r->kp)->flows, KNOCK_PROVEN_PER_NET + 1);
    assert_int_equal(knock_stats(r->kp)->over_cap, 0);
    reply(r, 77, last_flow(r), slice_str("x")); /* the newest lives */
    assert_int_equal(knock_stats(r->kp)->unknown_flow, 0);
    rig_free(r);
}

/* One who may knock and never ends: his network fills its share, and the client hears a few a second. */
static void caps_of_the_proven(void **state)
{
    struct rig *r = rig_new(64, 0);
    struct knock_tokens t[64];
    char from[32];

    (void)state;
    for (uint8_t i = 0; i < 64; i++)
        knock_register(r->kp, r->w.now, 100 + i, (uint8_t[32]){i, 9}, 0, &t[i]);
    for (int i = 0; i < 1000; i++) {
        snprintf(from, sizeof from, "198.51.100.20:%d", 1000 + i);
        knock_proven(r, from, t[i % 32].token);
    }
    assert_int_equal(knock_stats(r->kp)->flows, KNOCK_FLOWS_PER_NET);
    knock(r, "203.0.113.5:1000", t[40].token, 0, KNOCK); /* the others are not hurt */
    assert_int_equal(knock_stats(r->kp)->flows, KNOCK_FLOWS_PER_NET + 1);
    for (int i = 0, n = (int)r->n_delivered; i < 1000; i++) {
        snprintf(from, sizeof from, "192.0.2.%d:1000", i % 4);
        knock_proven(r, from, t[50].token);
        assert_in_range(r->n_delivered - (size_t)n, 1, 2 * KNOCK_NEW_BURST);
    }
    rig_free(r);
}

static void size_caps(void **state)
{
    struct rig *r = rig_new(16, 0);
    static const uint8_t big[1200];
    struct knock_tokens t;
    uint32_t flow;

    (void)state;
    knock_register(r->kp, r->w.now, 77, hanako, 0, &t);
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
    flow = last_flow(r);
    for (int i = 0; i < 100; i++)
        knock(r, "203.0.113.5:1000", t.token, flow, slice_str("x"));
    assert_int_equal(knock_stats(r->kp)->delivered, KNOCK_FLOW_DATAGRAMS);
    knock(r, "203.0.114.5:1000", t.token, 0, KNOCK);
    flow = last_flow(r);
    for (int i = 0; i < 100; i++)
        knock(r, "203.0.114.5:1000", t.token, flow, slice_of(big, sizeof big));
    assert_in_range(knock_stats(r->kp)->delivered, KNOCK_FLOW_DATAGRAMS + 50, KNOCK_FLOW_DATAGRAMS + 55);
    world_pass(&r->w, KNOCK_FLOW_S * NS_PER_S);
    knock_tick(r->kp, r->w.now);
    assert_int_equal(knock_stats(r->kp)->flows, 0);
    assert_int_equal(knock_deadline(r->kp), NS_NEVER);
    rig_free(r);
}

static void rate_cap(void **state)
{
    struct rig *r = rig_new(16, 64);
    static const uint8_t big[1000];
    struct knock_tokens t;

    (void)state;
    knock_register(r->kp, r->w.now, 77, hanako, 0, &t);
    for (int flow = 0; flow < 3; flow++) { /* each within its own cap: 189 KB together */
        char from[32];

        snprintf(from, sizeof from, "203.0.%d.5:1000", flow);
        knock(r, from, t.token, 0, slice_of(big, 1));
        for (int i = 0; i < 62; i++)
            knock(r, from, t.token, last_flow(r), slice_of(big, sizeof big));
    }
    assert_in_range(knock_stats(r->kp)->delivered, KNOCK_BURST_KIB, KNOCK_BURST_KIB + 8);
    assert_true(knock_stats(r->kp)->over_rate > 40);
    world_pass(&r->w, 60 * NS_PER_S); /* 64 kbit/s: the burst is there again */
    knock(r, "203.0.2.5:1000", t.token, last_flow(r), slice_of(big, 1));
    assert_in_range(knock_stats(r->kp)->delivered, KNOCK_BURST_KIB + 1, KNOCK_BURST_KIB + 9);
    rig_free(r);
}

static void tokens(void **state)
{
    struct rig *r = rig_new(16, 0), *again = rig_new(16, 0);
    struct knock_tokens t, u;

    (void)state;
    knock_register(r->kp, r->w.now, 77, hanako, 0, &t);
    knock_register(again->kp, again->w.now, 78, hanako, 0, &u);
    assert_memory_equal(&t, &u, sizeof t); /* after a restart */
    knock_register(again->kp, again->w.now, 79, kenji, 0, &u);
    assert_memory_not_equal(t.token, u.token, 8);
    knock_register(r->kp, r->w.now, 77, hanako, 1, &u); /* a contact was removed */
    assert_memory_not_equal(t.token, u.token, 8);
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
    assert_int_equal(r->n_delivered, 0);
    /* Epochs: the token of the one before is still heard, the one before that is not. */
    t = u;
    for (int day = 1; day <= 2; day++) {
        world_pass(&r->w, KNOCK_EPOCH_S * NS_PER_S);
        knock_tick(r->kp, r->w.now);
        assert_int_equal(r->n_renewed, day);
        knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
        assert_int_equal(r->n_delivered, 1);
    }
    rig_free(r);
    rig_free(again);
}

static void registrations(void **state)
{
    struct rig *r = rig_new(2, 0);
    struct knock_tokens t;
    uint8_t third[32] = {3};

    (void)state;
    assert_int_equal(knock_register(r->kp, r->w.now, 1, hanako, 0, &t), ERR_OK);
    assert_int_equal(knock_register(r->kp, r->w.now, 2, kenji, 0, &t), ERR_OK);
    assert_int_equal(knock_register(r->kp, r->w.now, 3, third, 0, &t), ERR_FULL);
    assert_int_equal(knock_register(r->kp, r->w.now, 4, hanako, 0, &t), ERR_OK); /* moves */
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
    assert_int_equal(r->to, 4);
    reply(r, 2, last_flow(r), slice_str("not mine")); /* another client's flow */
    assert_int_equal(r->w.n_packets, 0);
    knock_unregister(r->kp, 4);
    knock(r, "203.0.113.5:1000", t.token, 0, KNOCK);
    assert_int_equal(r->n_delivered, 1);
    assert_int_equal(knock_stats(r->kp)->flows, 0);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a knock reaches the client, and its answer the caller", there_and_back),
        sentence("unknown tokens, unknown flows and rubbish are met with silence", silence),
        sentence("an unproven caller gets no more bytes than it sent", not_amplified),
        sentence("a first frame that comes again opens no second flow", repeated_first),
        sentence("knocks that nobody answers are few, by network and by token", caps_of_the_unproven),
        sentence("friends behind one address call as often as they like", the_proven_make_room),
        sentence("one who never ends has his share and no more", caps_of_the_proven),
        sentence("a flow is capped in datagrams, bytes and time", size_caps),
        sentence("all knocks together keep to their rate", rate_cap),
        sentence("tokens last two epochs and a restart, and change with the generation", tokens),
        sentence("registrations are capped, move with their account, and end with the session",
                 registrations),
    };
    return run_sentences("knock", tests);
}
