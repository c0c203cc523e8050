#include "rig.h"

#include "relay/second.h"

/* --- tests --- */

static void binding(void **state)
{
    struct rig *r = rig_new();
    uint8_t buf[64];
    struct stun_wr w;
    struct stun_msg m;

    (void)state;
    turner_begin(&r->a, &w, buf, sizeof buf, STUN_BINDING);
    m = ask(r, &r->a, stun_end(&w));
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_true(addr_equal(&m.mapped, &r->a.from));
    rig_free(r);
}

/* With names and passwords it answers as RFC 8489 asks; then this is what it costs. */
static void ordinary_answer(void **state)
{
    struct turn_server_config config = default_config();
    struct rig *r;
    uint8_t buf[256];
    struct stun_wr w;
    struct slice request;

    (void)state;
    config.is_ordinary = true;
    r = rig_with(&config);
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    request = stun_end(&w);
    assert_int_equal(request.len, 28);
    assert_int_equal(ask(r, &r->a, request).error_code, STUN_UNAUTHENTICATED);
    assert_int_equal(world_last(&r->w)->len, 56);
    rig_free(r);
}

static void unamplified(void **state)
{
    struct turn_server_config config = default_config();
    static const uint8_t padding[32];
    struct rig *r;
    uint8_t buf[256];
    struct stun_wr w;
    struct stun_msg m;

    (void)state;
    config.is_ordinary = false;
    r = rig_with(&config);
    turner_begin(&r->a, &w, buf, sizeof buf, STUN_BINDING);
    turn_server_input(r->ts, r->w.now, &r->a.from, stun_end(&w));
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    turn_server_input(r->ts, r->w.now, &r->a.from, stun_end(&w));
    assert_int_equal(r->w.n_packets, 0);
    assert_int_equal(turn_server_stats(r->ts)->unamplified, 2);
    turner_begin(&r->a, &w, buf, sizeof buf, STUN_BINDING);
    stun_put(&w, STUN_PADDING, slice_of(padding, sizeof padding));
    m = ask(r, &r->a, stun_end(&w));
    assert_true(addr_equal(&m.mapped, &r->a.from));
    rig_free(r);
}

static void hairpin_call(void **state)
{
    struct rig *r = rig_new();
    const struct packet *p;
    struct stun_msg m;
    uint16_t number;
    struct slice data;

    (void)state;
    set_up(r, &r->a);
    set_up(r, &r->b);
    assert_int_equal(bind_channel(r, &r->a, 0x4001, &r->b.relayed).cls, STUN_SUCCESS);
    assert_int_equal(bind_channel(r, &r->b, 0x4fff, &r->a.relayed).cls, STUN_SUCCESS);
    send_channel(r, &r->a, 0x4001, HELLO);
    p = world_last(&r->w);
    assert_true(addr_equal(&p->to, &r->b.from));
    assert_int_equal(p->handle, 0);
    assert_int_equal(stun_channel_parse(slice_of(p->bytes, p->len), &number, &data), ERR_OK);
    assert_int_equal(number, 0x4fff);
    assert_true(slice_is(data, "hello"));
    /* The other way as a Send indication, which arrives on the channel bound to its source. */
    send_indication(r, &r->b, &r->a.relayed, slice_str("there"));
    p = world_last(&r->w);
    assert_true(addr_equal(&p->to, &r->a.from));
    assert_int_equal(stun_channel_parse(slice_of(p->bytes, p->len), &number, &data), ERR_OK);
    assert_int_equal(number, 0x4001);
    assert_int_equal(turn_server_stats(r->ts)->hairpins, 2);
    assert_int_equal(turn_server_stats(r->ts)->ports_open, 0);
    assert_int_equal(r->n_open, 0);
    m = refresh(r, &r->a, 0);
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(r->ended.up_packets, 1);
    assert_int_equal(r->ended.down_packets, 1);
    assert_int_equal(r->ended.up_bytes, 5);
    assert_int_equal(r->ended.seconds, 0); /* two packets: as little as a check and its answer */
    rig_free(r);
}

static void hairpin_indication(void **state)
{
    struct rig *r = rig_new();
    const struct packet *p;
    struct stun_msg m;

    (void)state;
    set_up(r, &r->a);
    set_up(r, &r->b);
    assert_int_equal(permit(r, &r->a, &r->b.relayed).cls, STUN_SUCCESS);
    send_indication(r, &r->a, &r->b.relayed, HELLO);
    assert_int_equal(turn_server_stats(r->ts)->no_permission, 1); /* the other side has not permitted */
    assert_int_equal(permit(r, &r->b, &r->a.relayed).cls, STUN_SUCCESS);
    send_indication(r, &r->a, &r->b.relayed, HELLO);
    p = world_last(&r->w);
    assert_true(addr_equal(&p->to, &r->b.from));
    assert_int_equal(stun_parse(slice_of(p->bytes, p->len), &m), ERR_OK);
    assert_int_equal(m.cls, STUN_INDICATION);
    assert_int_equal(m.method, TURN_DATA);
    assert_true(addr_equal(&m.peers[0], &r->a.relayed));
    assert_true(slice_is(m.data, "hello"));
    rig_free(r);
}

static void outside_peer(void **state)
{
    struct rig *r = rig_new();
    struct addr peer = at("198.51.100.200:7000");
    const struct packet *p;
    struct stun_msg m;
    uint32_t handle;

    (void)state;
    set_up(r, &r->a);
    assert_int_equal(r->n_open, 0);
    assert_int_equal(permit(r, &r->a, &peer).cls, STUN_SUCCESS);
    assert_int_equal(r->n_open, 1);
    send_indication(r, &r->a, &peer, HELLO);
    p = world_last(&r->w);
    handle = p->handle;
    assert_int_equal((uint16_t)handle, r->a.relayed.port);
    assert_true(addr_equal(&p->to, &peer));
    assert_int_equal(p->len, 5);
    turn_server_port_input(r->ts, r->w.now, handle, &peer, slice_str("back"));
    p = world_last(&r->w);
    assert_int_equal(stun_parse(slice_of(p->bytes, p->len), &m), ERR_OK);
    assert_true(slice_is(m.data, "back"));
    assert_true(addr_equal(&m.peers[0], &peer));
    /* Permission is by address: another port may answer, another host may not. */
    peer.port = 1;
    turn_server_port_input(r->ts, r->w.now, handle, &peer, slice_str("back"));
    assert_int_equal(turn_server_stats(r->ts)->no_permission, 0);
    peer = at("198.51.100.201:7000");
    turn_server_port_input(r->ts, r->w.now, handle, &peer, slice_str("back"));
    assert_int_equal(turn_server_stats(r->ts)->no_permission, 1);
    rig_free(r);
}

static void v6_indication(void **state)
{
    struct rig *r = rig_new();
    struct addr peer = at("[2001:db8:5::1]:7000");
    const struct packet *p;
    struct stun_msg m;
    struct stun_wr w;
    uint8_t buf[512];

    (void)state;
    log_in(r, &r->a, "ito", "secret");
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put_u8(&w, STUN_REQUESTED_FAMILY, STUN_FAMILY_V6);
    m = ask(r, &r->a, turner_end(&r->a, &w));
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(m.relayed[0].family, ADDR_V6);
    assert_int_equal(permit(r, &r->a, &peer).cls, STUN_SUCCESS);
    turn_server_port_input(r->ts, r->w.now, forward_handle(IP6, m.relayed[0].port), &peer, slice_str("six"));
    p = world_last(&r->w);
    assert_int_equal(stun_parse(slice_of(p->bytes, p->len), &m), ERR_OK);
    assert_true(addr_equal(&m.peers[0], &peer));
    assert_true(slice_is(m.data, "six"));
    peer = at("198.51.100.200:7000");
    assert_int_equal(permit(r, &r->a, &peer).error_code, STUN_FAMILY_MISMATCH);
    rig_free(r);
}

static void both_families(void **state)
{
    struct rig *r = rig_new();
    struct stun_msg m;
    struct stun_wr w;
    uint8_t buf[512];

    (void)state;
    log_in(r, &r->a, "ito", "secret");
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put_u8(&w, STUN_ADDITIONAL_FAMILY, STUN_FAMILY_V6);
    m = ask(r, &r->a, turner_end(&r->a, &w));
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(m.n_relayed, 2);
    rig_free(r);
}

static void family_not_offered(void **state)
{
    struct turn_server_config config = default_config();
    struct rig *r;
    struct stun_wr w;
    uint8_t buf[512];

    (void)state;
    config.external[1] = (struct addr){.family = ADDR_NONE};
    r = rig_with(&config);
    log_in(r, &r->a, "ito", "secret");
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put_u8(&w, STUN_REQUESTED_FAMILY, STUN_FAMILY_V6);
    assert_int_equal(ask(r, &r->a, turner_end(&r->a, &w)).error_code, STUN_FAMILY_UNSUPPORTED);
    rig_free(r);
}

static void transports(void **state)
{
    struct rig *r = rig_new();
    struct stun_wr w;
    uint8_t buf[512];

    (void)state;
    log_in(r, &r->a, "ito", "secret");
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, 6);
    assert_int_equal(ask(r, &r->a, turner_end(&r->a, &w)).error_code, STUN_TRANSPORT_UNSUPPORTED);
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    assert_int_equal(ask(r, &r->a, turner_end(&r->a, &w)).error_code, STUN_BAD_REQUEST);
    rig_free(r);
}

static void wrong_password(void **state)
{
    struct rig *r = rig_new();

    (void)state;
    log_in(r, &r->a, "ito", "wrong");
    assert_int_equal(allocate_as(r, &r->a).error_code, STUN_UNAUTHENTICATED);
    snprintf(r->a.username, sizeof r->a.username, "nobody");
    assert_int_equal(allocate_as(r, &r->a).error_code, STUN_UNAUTHENTICATED);
    assert_int_equal(turn_server_stats(r->ts)->allocations, 0);
    rig_free(r);
}

static void stale_nonce(void **state)
{
    struct rig *r = rig_new();
    struct stun_msg m;

    (void)state;
    set_up(r, &r->a);
    turn_server_tick(r->ts, r->w.now);
    world_pass(&r->w, TURN_NONCE_S * NS_PER_S);
    m = refresh(r, &r->a, 600);
    assert_int_equal(m.error_code, STUN_STALE_NONCE);
    copy_text(r->a.nonce, sizeof r->a.nonce, m.nonce);
    assert_int_equal(refresh(r, &r->a, 600).cls, STUN_SUCCESS);
    /* A nonce is good for one address only. */
    r->b = r->a;
    r->b.from = at("192.0.2.9:2222");
    assert_int_equal(allocate_as(r, &r->b).error_code, STUN_STALE_NONCE);
    rig_free(r);
}

static void mismatches(void **state)
{
    struct rig *r = rig_new();
    struct stun_msg m;

    (void)state;
    set_up(r, &r->a);
    assert_int_equal(allocate_as(r, &r->a).error_code, STUN_ALLOCATION_MISMATCH);
    snprintf(r->a.username, sizeof r->a.username, "other");
    snprintf(r->a.password, sizeof r->a.password, "word");
    assert_int_equal(refresh(r, &r->a, 600).error_code, STUN_WRONG_CREDENTIALS);
    log_in(r, &r->b, "ito", "secret");
    m = refresh(r, &r->b, 600);
    assert_int_equal(m.error_code, STUN_ALLOCATION_MISMATCH);
    rig_free(r);
}

static void repeated_allocate(void **state)
{
    struct rig *r = rig_new();
    struct addr first;
    struct stun_msg m;

    (void)state;
    set_up(r, &r->a);
    first = r->a.relayed;
    r->a.id[11]--; /* the same transaction once more */
    m = allocate_as(r, &r->a);
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_true(addr_equal(&m.relayed[0], &first));
    assert_int_equal(turn_server_stats(r->ts)->allocations, 1);
    rig_free(r);
}

static void quotas(void **state)
{
    struct turn_server_config config = default_config();
    struct rig *r;

    (void)state;
    config.max_per_user = 1;
    config.max_allocations = 2;
    r = rig_with(&config);
    set_up(r, &r->a);
    log_in(r, &r->b, "ito", "secret");
    assert_int_equal(allocate_as(r, &r->b).error_code, STUN_QUOTA_REACHED);
    snprintf(r->b.username, sizeof r->b.username, "other");
    snprintf(r->b.password, sizeof r->b.password, "word");
    assert_int_equal(allocate_as(r, &r->b).cls, STUN_SUCCESS);
    turn_server_set_limits(r->ts, 2, 0);
    r->a.from.port++;
    r->a.nonce[0] = '\0';
    log_in(r, &r->a, "other", "word");
    assert_int_equal(allocate_as(r, &r->a).error_code, STUN_QUOTA_REACHED);
    rig_free(r);
}

static void capacity(void **state)
{
    struct turn_server_config config = default_config();
    struct rig *r;

    (void)state;
    config.max_allocations = 1;
    r = rig_with(&config);
    set_up(r, &r->a);
    log_in(r, &r->b, "ito", "secret");
    assert_int_equal(allocate_as(r, &r->b).error_code, STUN_INSUFFICIENT_CAPACITY);
    rig_free(r);
    config.max_allocations = 10;
    config.port_max = config.port_min; /* a single port */
    r = rig_with(&config);
    set_up(r, &r->a);
    log_in(r, &r->b, "ito", "secret");
    assert_int_equal(allocate_as(r, &r->b).error_code, STUN_INSUFFICIENT_CAPACITY);
    assert_int_equal(turn_server_stats(r->ts)->allocations, 1);
    rig_free(r);
}

static void forbidden_peers(void **state)
{
    static const char *const peers[] = {
        "127.0.0.1:5000",      "10.0.0.1:5000",        "192.168.1.1:5000",       "172.16.3.4:5000",
        "169.254.1.1:5000",    "100.64.0.1:5000",      "224.0.0.1:5000",         "0.0.0.0:5000",
        "255.255.255.255:500", "198.51.100.7:22",      "198.51.100.99:22",       "[::1]:5000",
        "[fe80::1]:5000",      "[fc00::1]:5000",       "[ff02::1]:5000",         "[2002:7f00:1::]:5000",
        "[64:ff9b::a00:1]:53", "[2002:c0a8:101::]:53", "[64:ff9b::7f00:1]:5000",
    };
    struct addr own = at("198.51.100.99:0");
    struct rig *r = rig_new();
    struct stun_wr w;
    uint8_t buf[512];

    (void)state;
    assert_int_equal(turn_server_add_own(r->ts, &own), ERR_OK);
    log_in(r, &r->a, "ito", "secret");
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put_u8(&w, STUN_ADDITIONAL_FAMILY, STUN_FAMILY_V6);
    assert_int_equal(ask(r, &r->a, turner_end(&r->a, &w)).cls, STUN_SUCCESS);
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        struct addr peer = at(peers[i]);
        size_t before = r->w.n_packets;

        if (bind_channel(r, &r->a, 0x4000, &peer).error_code != STUN_FORBIDDEN)
            fail_msg("%s may be bound", peers[i]);
        if (permit(r, &r->a, &peer).cls == STUN_SUCCESS) {
            /* Its address is that of relayed ports: a packet to any other port goes nowhere. */
            send_indication(r, &r->a, &peer, HELLO);
            assert_int_equal(r->w.n_packets, before + 2);
        }
    }
    assert_int_equal(r->n_open, 0);
    rig_free(r);
}

static void local_allowed(void **state)
{
    struct turn_server_config config = default_config();
    struct addr peer = at("127.0.0.1:5000");
    struct rig *r;

    (void)state;
    config.allow_local = true;
    config.external[0] = at("127.0.0.1:3478");
    r = rig_with(&config);
    set_up(r, &r->a);
    assert_int_equal(permit(r, &r->a, &peer).cls, STUN_SUCCESS);
    assert_int_equal(r->n_open, 1);
    peer = at("224.0.0.1:5000");
    assert_int_equal(permit(r, &r->a, &peer).error_code, STUN_FORBIDDEN);
    rig_free(r);
}

static void hairpin_only(void **state)
{
    struct turn_server_config config = default_config();
    struct addr peer = at("203.0.113.200:7000");
    struct rig *r;

    (void)state;
    config.hairpin_only = true;
    r = rig_with(&config);
    set_up(r, &r->a);
    set_up(r, &r->b);
    assert_int_equal(permit(r, &r->a, &peer).error_code, STUN_FORBIDDEN);
    assert_int_equal(permit(r, &r->a, &r->b.relayed).cls, STUN_SUCCESS);
    rig_free(r);
}

static void own_port(void **state)
{
    struct rig *r = rig_new();
    struct addr relay = at("198.51.100.7:3478"), other = at("198.51.100.7:22");
    const struct packet *p;

    (void)state;
    set_up(r, &r->a);
    assert_int_equal(permit(r, &r->a, &relay).cls, STUN_SUCCESS);
    send_indication(r, &r->a, &relay, HELLO);
    assert_true(addr_equal(&r->own.to, &r->a.relayed));
    assert_memory_equal(r->own.bytes, "hello", 5);
    assert_true(turn_server_inside(r->ts, r->w.now, &relay, &r->a.relayed, slice_str("answer")));
    p = world_last(&r->w);
    assert_true(addr_equal(&p->to, &r->a.from));
    assert_false(turn_server_inside(r->ts, r->w.now, &relay, &other, slice_str("answer")));
    rig_free(r);
}

static void permission_cap(void **state)
{
    struct rig *r = rig_new();
    struct addr peer = at("203.0.113.1:7000");

    (void)state;
    set_up(r, &r->a);
    for (int i = 0; i < TURN_PERMISSIONS_MAX; i++, peer.ip[3]++)
        assert_int_equal(permit(r, &r->a, &peer).cls, STUN_SUCCESS);
    assert_int_equal(permit(r, &r->a, &peer).error_code, STUN_INSUFFICIENT_CAPACITY);
    world_pass(&r->w, TURN_PERMISSION_S * NS_PER_S);
    assert_int_equal(permit(r, &r->a, &peer).cls, STUN_SUCCESS);
    rig_free(r);
}

static void channel_cap(void **state)
{
    struct rig *r = rig_new();
    struct addr peer = at("203.0.113.1:7000");

    (void)state;
    set_up(r, &r->a);
    for (uint16_t i = 0; i < TURN_CHANNELS_MAX; i++, peer.port++)
        assert_int_equal(bind_channel(r, &r->a, 0x4000 + i, &peer).cls, STUN_SUCCESS);
    assert_int_equal(bind_channel(r, &r->a, 0x4100, &peer).error_code, STUN_INSUFFICIENT_CAPACITY);
    peer.port--;
    assert_int_equal(bind_channel(r, &r->a, 0x4100, &peer).error_code, STUN_BAD_REQUEST); /* peer has one */
    peer.port = 1;
    assert_int_equal(bind_channel(r, &r->a, 0x4000, &peer).error_code, STUN_BAD_REQUEST); /* number is used */
    assert_int_equal(bind_channel(r, &r->a, 0x3fff, &peer).error_code, STUN_BAD_REQUEST);
    assert_int_equal(bind_channel(r, &r->a, 0x8000, &peer).error_code, STUN_BAD_REQUEST);
    rig_free(r);
}

static void old_channels(void **state)
{
    struct rig *r = rig_new();
    struct addr peer = at("203.0.113.1:7000");
    static const uint8_t data[] = {0x7f, 0xff, 0, 2, 'h', 'i'};

    (void)state;
    set_up(r, &r->a);
    assert_int_equal(bind_channel(r, &r->a, 0x7fff, &peer).cls, STUN_SUCCESS);
    turn_server_input(r->ts, r->w.now, &r->a.from, slice_of(data, sizeof data));
    assert_true(addr_equal(&world_last(&r->w)->to, &peer));
    assert_int_equal(world_last(&r->w)->len, 2);
    /* A channel that looks like KRPC is one only for who bound it. */
    peer.port++;
    assert_false(turn_server_has_channel(r->ts, r->w.now, &r->a.from, slice_str("d1:ad2:id20:")));
    assert_int_equal(bind_channel(r, &r->a, 'd' << 8 | '1', &peer).cls, STUN_SUCCESS);
    assert_true(turn_server_has_channel(r->ts, r->w.now, &r->a.from, slice_str("d1:ad2:id20:")));
    assert_false(turn_server_has_channel(r->ts, r->w.now, &r->b.from, slice_str("d1:ad2:id20:")));
    rig_free(r);
}

static void expiry(void **state)
{
    struct rig *r = rig_new();
    struct addr peer = at("203.0.113.1:7000");
    size_t n;

    (void)state;
    set_up(r, &r->a);
    assert_int_equal(bind_channel(r, &r->a, 0x4000, &peer).cls, STUN_SUCCESS);
    world_pass(&r->w, (TURN_PERMISSION_S - 1) * NS_PER_S);
    send_channel(r, &r->a, 0x4000, HELLO);
    n = r->w.n_packets;
    world_pass(&r->w, NS_PER_S);
    send_channel(r, &r->a, 0x4000, HELLO);
    assert_int_equal(r->w.n_packets, n);
    assert_int_equal(turn_server_stats(r->ts)->no_permission, 1);
    assert_int_equal(turn_server_deadline(r->ts),
                     r->w.now + (TURN_LIFETIME_S - TURN_PERMISSION_S) * NS_PER_S);
    world_pass(&r->w, (TURN_LIFETIME_S - TURN_PERMISSION_S) * NS_PER_S);
    turn_server_tick(r->ts, r->w.now);
    assert_int_equal(r->n_ended, 1);
    assert_int_equal(r->n_open, 0);
    assert_int_equal(turn_server_stats(r->ts)->allocations, 0);
    rig_free(r);
}

static void rate_caps(void **state)
{
    struct turn_server_config config = default_config();
    static const uint8_t data[1000];
    struct rig *r;
    uint64_t through;

    (void)state;
    config.max_kbps = 80; /* 10 packets of 1000 bytes a second, and a burst of 2 */
    r = rig_with(&config);
    set_up(r, &r->a);
    set_up(r, &r->b);
    assert_int_equal(bind_channel(r, &r->a, 0x4001, &r->b.relayed).cls, STUN_SUCCESS);
    assert_int_equal(bind_channel(r, &r->b, 0x4001, &r->a.relayed).cls, STUN_SUCCESS);
    for (int i = 0; i < 1000; i++) {
        send_channel(r, &r->a, 0x4001, slice_of(data, sizeof data));
        world_pass(&r->w, 10 * NS_PER_MS);
    }
    through = turn_server_stats(r->ts)->packets;
    assert_in_range(through, 99, 103);
    assert_int_equal(turn_server_stats(r->ts)->lost_rate, 1000 - through);
    rig_free(r);
}

static void seconds_counted(void **state)
{
    struct rig *r = rig_new();

    (void)state;
    set_up(r, &r->a);
    set_up(r, &r->b);
    bind_channel(r, &r->a, 0x4001, &r->b.relayed);
    bind_channel(r, &r->b, 0x4001, &r->a.relayed);
    for (int i = 0; i < 60 * 50; i++) { /* one minute at 50 packets a second */
        send_channel(r, &r->a, 0x4001, HELLO);
        world_pass(&r->w, 20 * NS_PER_MS);
    }
    world_pass(&r->w, 100 * NS_PER_S); /* silence is not charged */
    send_channel(r, &r->a, 0x4001, HELLO);
    refresh(r, &r->a, 0);
    assert_in_range(r->ended.seconds, 60, 62);
    assert_int_equal(r->ended.up_packets, 3001);
    rig_free(r);
}

static void probes_are_free(void **state)
{
    struct rig *r = rig_new();

    (void)state;
    set_up(r, &r->a);
    set_up(r, &r->b);
    bind_channel(r, &r->a, 0x4001, &r->b.relayed);
    bind_channel(r, &r->b, 0x4001, &r->a.relayed);
    for (int i = 0; i < 60 * SECOND_PROBES; i++) { /* kept warm, and no more */
        send_channel(r, &r->a, 0x4001, HELLO);
        world_pass(&r->w, NS_PER_S / SECOND_PROBES + NS_PER_MS);
    }
    refresh(r, &r->a, 0);
    assert_int_equal(r->ended.seconds, 0);
    assert_int_equal(r->ended.up_packets, 60 * SECOND_PROBES);
    rig_free(r);
}

static void tickets(void **state)
{
    struct turn_server_config config = default_config();
    static const uint8_t alloc_id[8] = {1, 2, 3, 4, 5, 6, 7, 8}, account[32] = {9};
    struct turn_ticket ticket;
    struct rig *r;
    struct stun_msg m;

    (void)state;
    config.is_ordinary = false;
    config.n_users = 0;
    r = rig_with(&config);
    turn_server_ticket(r->ts, r->w.now, &r->a.from, alloc_id, WORLD_WALL_S + 100, account, &ticket);
    memcpy(r->a.realm, ticket.realm, sizeof ticket.realm);
    memcpy(r->a.nonce, ticket.nonce, sizeof ticket.nonce);
    memcpy(r->a.username, ticket.username, sizeof ticket.username);
    memcpy(r->a.password, ticket.password, sizeof ticket.password);
    /* No 401 round: the ticket brought realm and nonce. */
    assert_int_equal(allocate_as(r, &r->a).cls, STUN_SUCCESS);
    assert_int_equal(r->n_began, 1);
    /* Another's name, a changed bit, an end: 401. */
    r->b = r->a;
    r->b.username[5] ^= 1;
    assert_int_equal(refresh(r, &r->b, 600).error_code, STUN_UNAUTHENTICATED);
    r->b = r->a;
    r->b.password[5] ^= 1;
    assert_int_equal(refresh(r, &r->b, 600).error_code, STUN_UNAUTHENTICATED);
    assert_int_equal(refresh(r, &r->a, 0).cls, STUN_SUCCESS);
    world_pass(&r->w, 101 * NS_PER_S);
    assert_int_equal(allocate_as(r, &r->a).error_code, STUN_UNAUTHENTICATED);
    /* Refused by whoever gave it out. */
    turn_server_ticket(r->ts, r->w.now, &r->a.from, alloc_id, WORLD_WALL_S + 9999999, account, &ticket);
    memcpy(r->a.username, ticket.username, sizeof ticket.username);
    memcpy(r->a.password, ticket.password, sizeof ticket.password);
    r->refuse_tickets = true;
    assert_int_equal(allocate_as(r, &r->a).error_code, STUN_QUOTA_REACHED);
    r->refuse_tickets = false;
    /* K turns weekly: last week's is heard, the one before is not. */
    r->w.wall_ms += (int64_t)WEEK_S * 1000;
    m = allocate_as(r, &r->a);
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(refresh(r, &r->a, 0).cls, STUN_SUCCESS);
    r->w.wall_ms += (int64_t)WEEK_S * 1000;
    assert_int_equal(allocate_as(r, &r->a).error_code, STUN_UNAUTHENTICATED);
    rig_free(r);
}

static void even_ports(void **state)
{
    struct rig *r = rig_new();
    struct stun_msg m;
    struct stun_wr w;
    uint8_t buf[512], token[8];
    uint16_t port;

    (void)state;
    log_in(r, &r->a, "ito", "secret");
    turner_begin(&r->a, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put_even_port(&w, true);
    m = ask(r, &r->a, turner_end(&r->a, &w));
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(m.relayed[0].port % 2, 0);
    assert_int_equal(m.reservation_token.len, 8);
    port = m.relayed[0].port;
    memcpy(token, m.reservation_token.data, sizeof token);
    log_in(r, &r->b, "ito", "secret");
    turner_begin(&r->b, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put(&w, STUN_RESERVATION_TOKEN, slice_of(token, sizeof token));
    m = ask(r, &r->b, turner_end(&r->b, &w));
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(m.relayed[0].port, port + 1);
    rig_free(r);
}

static void port_in_use(void **state)
{
    struct rig *r = rig_new();
    struct addr peer = at("203.0.113.1:7000");

    (void)state;
    r->open_result = ERR_IO; /* another program has the port */
    set_up(r, &r->a);
    assert_int_equal(permit(r, &r->a, &peer).error_code, STUN_INSUFFICIENT_CAPACITY);
    rig_free(r);
}

static void malformed(void **state)
{
    struct rig *r = rig_new();
    uint8_t bytes[64] = {0};
    struct addr peer = at("203.0.113.1:7000");

    (void)state;
    set_up(r, &r->a);
    bind_channel(r, &r->a, 0x4000, &peer);
    r->w.n_packets = 0;
    for (size_t n = 0; n < sizeof bytes; n++)
        turn_server_input(r->ts, r->w.now, &r->a.from, slice_of(bytes, n));
    bytes[0] = 0x40;
    bytes[3] = 62; /* says more than there is */
    turn_server_input(r->ts, r->w.now, &r->a.from, slice_of(bytes, 64));
    turn_server_input(r->ts, r->w.now, &r->a.from, slice_of(bytes, 2));
    turn_server_input(r->ts, r->w.now, &r->b.from, slice_of("\x40\x00\x00\x01x", 5)); /* no allocation */
    assert_int_equal(r->w.n_packets, 0);
    assert_int_equal(turn_server_stats(r->ts)->malformed, 66);
    assert_int_equal(turn_server_stats(r->ts)->unknown_channel, 1);
    rig_free(r);
}

static void many_allocations(void **state)
{
    struct turn_server_config config = default_config();
    struct rig *r;

    (void)state;
    config.port_max = config.port_min + 999;
    config.max_allocations = config.max_per_user = 1000;
    r = rig_with(&config);
    for (int round = 0; round < 2; round++) {
        for (uint16_t i = 0; i < 1000; i++) {
            r->a.from.port = (uint16_t)(1000 + i);
            r->a.nonce[0] = '\0';
            set_up(r, &r->a);
        }
        assert_int_equal(turn_server_stats(r->ts)->allocations, 1000);
        world_pass(&r->w, 601 * NS_PER_S);
        turn_server_tick(r->ts, r->w.now);
        assert_int_equal(turn_server_stats(r->ts)->allocations, 0);
        assert_int_equal(turn_server_deadline(r->ts), NS_NEVER);
    }
    rig_free(r);
}

/* A connection is a client of its own, though its address and port are those of another. */
static void by_stream(void **state)
{
    struct turn_server_config config = default_config();
    struct turner stream = {.id = {3}};
    struct rig *r;

    (void)state;
    config.is_ordinary = false;
    r = rig_with(&config);
    stream.from = r->a.from;
    stream.from.scope = ADDR_STREAM | 7;
    /* its address is proven: an answer larger than the request may come */
    assert_int_equal(allocate_as(r, &stream).error_code, STUN_UNAUTHENTICATED);
    rig_free(r);
    r = rig_new();
    set_up(r, &r->a);
    set_up(r, &stream);
    assert_int_not_equal(r->a.relayed.port, stream.relayed.port);
    assert_int_equal(turn_server_stats(r->ts)->allocations, 2);
    assert_int_equal(bind_channel(r, &r->a, 0x4001, &stream.relayed).cls, STUN_SUCCESS);
    assert_int_equal(bind_channel(r, &stream, 0x4002, &r->a.relayed).cls, STUN_SUCCESS);
    send_channel(r, &r->a, 0x4001, HELLO);
    assert_int_equal(world_last(&r->w)->to.scope, stream.from.scope);
    send_channel(r, &stream, 0x4002, HELLO);
    assert_int_equal(world_last(&r->w)->to.scope, 0);
    turn_server_client_gone(r->ts, r->w.now, &stream.from);
    assert_int_equal(turn_server_stats(r->ts)->allocations, 1);
    assert_int_equal(r->ended.client.scope, stream.from.scope);
    assert_int_equal(refresh(r, &r->a, 600).cls, STUN_SUCCESS);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a Binding request is answered with the sender's address", binding),
        sentence("an unproven address never gets more bytes than it sent", unamplified),
        sentence("an ordinary 401 has 56 bytes, to an Allocate of 28", ordinary_answer),
        sentence("two clients of one relay hear each other without a socket", hairpin_call),
        sentence("the inner path needs the permission of both sides", hairpin_indication),
        sentence("a peer outside gets a socket when it is permitted, not before", outside_peer),
        sentence("an IPv6 allocation carries IPv6 peers only", v6_indication),
        sentence("one allocation can have an address of each family", both_families),
        sentence("a family that is not offered is refused with 440", family_not_offered),
        sentence("a transport other than UDP is refused with 442", transports),
        sentence("a wrong password or user is refused with 401", wrong_password),
        sentence("an old nonce, or one of another address, is refused with 438", stale_nonce),
        sentence("a second allocation gets 437, another user 441", mismatches),
        sentence("a repeated Allocate gets the same answer", repeated_allocate),
        sentence("a user over the quota is refused with 486", quotas),
        sentence("a full server is refused with 508", capacity),
        sentence("local, private, multicast and own addresses are no peers, in any disguise",
                 forbidden_peers),
        sentence("allow_local opens loopback, never multicast", local_allowed),
        sentence("hairpin_only refuses every peer outside", hairpin_only),
        sentence("a knock from an allocation reaches the relay's own port, and nothing else of it", own_port),
        sentence("an allocation has at most 16 permissions", permission_cap),
        sentence("an allocation has at most 16 channels, each to one peer", channel_cap),
        sentence("channels of RFC 5766 clients are taken too", old_channels),
        sentence("permission, channel and allocation end at their times", expiry),
        sentence("the relay's rate cap holds", rate_caps),
        sentence("a minute of packets counts as a minute, silence as nothing", seconds_counted),
        sentence("eight packets a second, as checks make, count as nothing", probes_are_free),
        sentence("a ticket opens an allocation without a 401 round, until its end or two weeks", tickets),
        sentence("an even port reserves the next one", even_ports),
        sentence("a port that cannot be opened is refused with 508", port_in_use),
        sentence("a client by TCP is another one than by UDP, and ends with its connection", by_stream),
        sentence("malformed packets are counted and not answered", malformed),
        sentence("a thousand allocations come and go twice", many_allocations),
    };
    return run_sentences("turn_server", tests);
}
