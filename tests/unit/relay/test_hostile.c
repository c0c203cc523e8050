/* Clients that mean harm, in numbers: what they get, what they take, and the call beside them that must not notice. */
#include "rig.h"

#define MANY 1000000

/* A running call between r->a and r->b, and a packet each way that must come through. */
static void start_call(struct rig *r)
{
    set_up(r, &r->a);
    set_up(r, &r->b);
    assert_int_equal(bind_channel(r, &r->a, 0x4001, &r->b.relayed).cls, STUN_SUCCESS);
    assert_int_equal(bind_channel(r, &r->b, 0x4002, &r->a.relayed).cls, STUN_SUCCESS);
}

static void passes(struct rig *r)
{
    send_channel(r, &r->a, 0x4001, HELLO);
    assert_true(addr_equal(&world_last(&r->w)->to, &r->b.from));
    send_channel(r, &r->b, 0x4002, HELLO);
    assert_true(addr_equal(&world_last(&r->w)->to, &r->a.from));
}

static struct addr spoofed(uint32_t i)
{
    uint8_t ip[4] = {(uint8_t)(11 + i % 100), (uint8_t)(i >> 8), (uint8_t)(i >> 16), (uint8_t)i};

    return addr_v4(ip, (uint16_t)(1024 + i % 60000));
}

/* The kinds of request that need no password, of every size up to what a client sends. */
static struct slice draw_request(uint32_t i, uint8_t buf[static 512], struct turner *t)
{
    static const uint16_t methods[] = {TURN_ALLOCATE,
                                       TURN_REFRESH,
                                       TURN_CREATE_PERMISSION,
                                       TURN_CHANNEL_BIND,
                                       STUN_BINDING,
                                       TURN_SEND /* as a request */,
                                       0xfff};
    static const uint8_t zeros[64];
    struct stun_wr w;

    turner_begin(t, &w, buf, 512, methods[i % 7]);
    if (i % 3 != 0)
        stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    if (i % 11 == 0)
        stun_put(&w, STUN_SOFTWARE, slice_of(zeros, i % 64));
    if (i % 13 == 0)
        stun_put(&w, STUN_USERNAME, slice_str("ito"));
    if (i % 17 == 0)
        stun_put(&w, 0x7f01, slice_of(zeros, 4)); /* an attribute that has to be understood */
    if (i % 19 == 0)
        stun_put_fingerprint(&w);
    return stun_end(&w);
}

static void allocation_flood(void **state)
{
    struct turn_server_config config = default_config();
    struct turner stranger = {0};
    uint64_t bytes_in = 0, bytes_out = 0;
    struct rig *r;

    (void)state;
    config.is_ordinary = false;
    r = rig_with(&config);
    for (uint32_t i = 0; i < MANY; i++) {
        uint8_t buf[512];
        struct slice bytes = draw_request(i, buf, &stranger);
        struct addr from = spoofed(i);
        size_t before = r->w.n_packets;

        turn_server_input(r->ts, r->w.now, &from, bytes);
        bytes_in += bytes.len;
        assert_true(r->w.n_packets <= before + 1);
        if (r->w.n_packets > before) {
            assert_true(world_last(&r->w)->len <= bytes.len);
            assert_true(addr_equal(&world_last(&r->w)->to, &from));
            bytes_out += world_last(&r->w)->len;
        }
        if (i % 1000 == 0)
            world_pass(&r->w, NS_PER_MS);
    }
    assert_true(bytes_out <= bytes_in);
    assert_int_equal(turn_server_stats(r->ts)->allocations, 0);
    assert_int_equal(r->n_began + r->n_open, 0);
    assert_int_equal(turn_server_deadline(r->ts), NS_NEVER); /* it holds nothing to be forgotten later */
    rig_free(r);
}

/* The same beside a running call of 50 packets a second each way: 0.1 % of them might be lost, and none is. */
static void call_beside_the_flood(void **state)
{
    struct rig *r = rig_new();
    struct turner stranger = {0};
    uint32_t allocations, n_sent = 0, n_lost = 0;

    (void)state;
    start_call(r);
    allocations = turn_server_stats(r->ts)->allocations;
    for (uint32_t i = 0; i < MANY; i++) {
        uint8_t buf[512];
        struct slice bytes = draw_request(i, buf, &stranger);
        struct addr from = spoofed(i);

        turn_server_input(r->ts, r->w.now, &from, bytes);
        if (i % 50 != 0)
            continue;
        world_pass(&r->w, 10 * NS_PER_MS);
        n_sent++;
        send_channel(r, i % 100 == 0 ? &r->a : &r->b, i % 100 == 0 ? 0x4001 : 0x4002, HELLO);
        n_lost += !addr_equal(&world_last(&r->w)->to, i % 100 == 0 ? &r->b.from : &r->a.from);
    }
    assert_int_equal(n_sent, MANY / 50);
    assert_true(n_lost * 1000 <= n_sent);
    assert_int_equal(turn_server_stats(r->ts)->allocations, allocations);
    rig_free(r);
}

static void broken_packets(void **state)
{
    struct rig *r = rig_new();
    struct turner stranger = {0};
    uint32_t allocations;

    (void)state;
    start_call(r);
    allocations = turn_server_stats(r->ts)->allocations;
    for (uint32_t i = 0; i < MANY / 4; i++) {
        uint8_t buf[512];
        struct slice bytes = draw_request(i, buf, &stranger);
        struct addr from = i % 5 == 0 ? r->a.from : spoofed(i); /* also in the name of the caller */
        uint32_t bit;

        env_random(&r->w.env, &bit, sizeof bit);
        buf[bit / 8 % bytes.len] ^= (uint8_t)(1u << (bit >> 29)); /* one bit of it */
        bytes.len -= i % 4 == 0 ? bit % bytes.len : 0;
        if (i % 6 == 0)
            stun_channel_header(buf, (uint16_t)(bit >> 8), (uint16_t)(bit % 64));
        turn_server_input(r->ts, r->w.now, &from, bytes);
        if (i % 500 == 0) {
            world_pass(&r->w, 20 * NS_PER_MS);
            passes(r);
        }
    }
    assert_int_equal(turn_server_stats(r->ts)->allocations, allocations);
    rig_free(r);
}

/* Whoever has a password: others' calls and the caps stay. */
static void quota(void **state)
{
    struct turn_server_config config = default_config();
    unsigned n_given = 0, n_refused = 0;
    struct rig *r;

    (void)state;
    config.max_per_user = 20;
    r = rig_with(&config);
    start_call(r); /* two of the twenty */
    for (uint32_t i = 0; i < 1000; i++) {
        struct turner t = {.from = spoofed(i)};
        struct stun_msg m;

        log_in(r, &t, "ito", "secret");
        m = allocate_as(r, &t);
        n_given += m.cls == STUN_SUCCESS;
        n_refused += m.error_code == STUN_QUOTA_REACHED;
    }
    assert_int_equal(n_given, 18);
    assert_int_equal(n_refused, 982);
    passes(r);
    /* Another user is not hurt by it. */
    {
        struct turner t = {.from = spoofed(5000)};

        log_in(r, &t, "other", "word");
        assert_int_equal(allocate_as(r, &t).cls, STUN_SUCCESS);
    }
    rig_free(r);
}

static void permission_flood(void **state)
{
    struct rig *r = rig_new();
    unsigned n_given = 0;

    (void)state;
    start_call(r);
    for (uint32_t i = 0; i < 10000; i++) {
        struct addr peer = spoofed(i);

        n_given += permit(r, &r->a, &peer).cls == STUN_SUCCESS;
        if (i % 100 == 0)
            passes(r);
    }
    assert_int_equal(n_given, TURN_PERMISSIONS_MAX - 1); /* one is the call's */
    assert_int_equal(turn_server_stats(r->ts)->errors_508, 10000 - n_given);
    assert_int_equal(r->n_open, 1); /* one port however many peers */
    passes(r);
    /* They lapse, and others may come. */
    world_pass(&r->w, (TURN_PERMISSION_S + 1) * NS_PER_S);
    assert_int_equal(permit(r, &r->a, &(struct addr){.family = ADDR_V4, .ip = {99, 1, 2, 3}}).cls,
                     STUN_SUCCESS);
    rig_free(r);
}

static void channel_exhaustion(void **state)
{
    struct rig *r = rig_new();
    unsigned n_given = 0;

    (void)state;
    start_call(r);
    for (uint32_t i = 0; i < 4000; i++) {
        struct addr peer = spoofed(i % 10); /* few addresses, many ports */

        peer.port = (uint16_t)(2000 + i);
        n_given += bind_channel(r, &r->a, (uint16_t)(0x4100 + i % 0xe00), &peer).cls == STUN_SUCCESS;
        if (i % 100 == 0)
            passes(r);
    }
    assert_int_equal(n_given, TURN_CHANNELS_MAX - 1);
    passes(r);
    rig_free(r);
}

static void ports_run_out(void **state)
{
    struct turn_server_config config = default_config();
    unsigned n_given = 0;
    struct rig *r;

    (void)state;
    config.max_per_user = config.max_allocations = 1000; /* more than the 200 ports there are */
    r = rig_with(&config);
    start_call(r);
    for (uint32_t i = 0; i < 400; i++) {
        struct turner t = {.from = spoofed(i)};
        struct stun_msg m;

        log_in(r, &t, "other", "word");
        m = allocate_as(r, &t);
        n_given += m.cls == STUN_SUCCESS;
        assert_true(m.cls == STUN_SUCCESS || m.error_code == STUN_INSUFFICIENT_CAPACITY);
    }
    assert_int_equal(n_given, 198);
    passes(r);
    world_pass(&r->w, (TURN_LIFETIME_S + 1) * NS_PER_S);
    turn_server_tick(r->ts, r->w.now);
    assert_int_equal(turn_server_stats(r->ts)->allocations, 0);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a million requests from spoofed sources: no state, no answer larger than its request",
                 allocation_flood),
        sentence("beside a million requests a call loses nothing, and nobody gets an allocation",
                 call_beside_the_flood),
        sentence("broken packets, some in a caller's name, do not disturb a call", broken_packets),
        sentence("a greedy user meets the quota, others do not", quota),
        sentence("a flood of permissions ends at the cap and opens one port", permission_flood),
        sentence("a flood of channels ends at the cap", channel_exhaustion),
        sentence("when ports run out, calls go on and the ports come back", ports_run_out),
    };

    return run_sentences("hostile", tests);
}
