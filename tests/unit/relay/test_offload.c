/* What the kernel is asked to carry, on what terms, and how that is booked; the kernel is a few lines here. */
#include "rig.h"

#define DATA 88

struct carrier {
    bool is_full;
    uint32_t n_added, n_removed;
    bool is_on;
    struct offload_end ends[2];
    ns_t until[2];
    uint64_t allowed[2];
    struct offload_count count[2];
    struct offload_loss loss;
};

struct desk {
    struct rig *r;
    struct carrier c;
    bool is_outside; /* b has no allocation: it is a peer at its own address */
};

static uint32_t on_add(void *arg, ns_t now, const struct offload_end ends[static 2])
{
    struct carrier *c = arg;

    (void)now;
    if (c->is_full)
        return 0;
    assert_false(c->is_on); /* one call in these tests */
    c->n_added++;
    c->is_on = true;
    for (int i = 0; i < 2; i++) {
        c->ends[i] = ends[i];
        c->until[i] = c->allowed[i] = 0;
        c->count[i] = (struct offload_count){0};
    }
    return c->n_added;
}

static void on_renew(void *arg, uint32_t pair, int from, ns_t until, uint64_t allowed)
{
    struct carrier *c = arg;

    assert_true(c->is_on && pair == c->n_added);
    assert_true(allowed >= c->allowed[from]); /* what was lent stays lent */
    c->until[from] = until;
    c->allowed[from] = allowed;
}

static struct offload_count on_count(void *arg, uint32_t pair, int from)
{
    struct carrier *c = arg;

    assert_true(c->is_on && pair == c->n_added);
    return c->count[from];
}

static void on_remove(void *arg, ns_t now, uint32_t pair, struct offload_count out[static 2])
{
    struct carrier *c = arg;

    (void)now;
    assert_true(c->is_on && pair == c->n_added);
    memcpy(out, c->count, sizeof c->count);
    c->is_on = false;
    c->n_removed++;
}

static struct offload_loss on_lost(void *arg)
{
    struct carrier *c = arg;

    return c->loss;
}

static const struct offload_ops carrier_ops = {
    .add = on_add, .renew = on_renew, .count = on_count, .remove = on_remove, .lost = on_lost};

/* ---- desk ---- */

static void open_desk_with(struct desk *d, bool is_outside, uint32_t max_kbps, uint32_t grant_kbps)
{
    struct turn_server_config config = default_config();

    *d = (struct desk){.is_outside = is_outside};
    config.offload = &carrier_ops;
    config.offload_arg = &d->c;
    config.max_kbps = max_kbps;
    d->r = rig_with(&config);
    d->r->grant_kbps = grant_kbps;
    set_up(d->r, &d->r->a);
    if (is_outside) {
        bind_channel(d->r, &d->r->a, 0x4001, &d->r->b.from);
        return;
    }
    set_up(d->r, &d->r->b);
    bind_channel(d->r, &d->r->a, 0x4001, &d->r->b.relayed);
    bind_channel(d->r, &d->r->b, 0x6402, &d->r->a.relayed);
}

static void open_desk(struct desk *d, uint32_t max_kbps, uint32_t grant_kbps)
{
    open_desk_with(d, false, max_kbps, grant_kbps);
}

static void close_desk(struct desk *d)
{
    rig_free(d->r);
    assert_false(d->c.is_on);
    assert_int_equal(d->c.n_added, d->c.n_removed);
}

static bool is_a(const struct desk *d, const struct turner *t)
{
    return t == &d->r->a;
}

/* By user space. True when it came out at the other end. */
static bool send_one(struct desk *d, const struct turner *t)
{
    uint8_t buf[FORWARD_HEAD + 4 + DATA + FORWARD_TAIL] = {0};
    size_t before = d->r->w.n_packets;

    if (d->is_outside && !is_a(d, t)) {
        turn_server_port_fast(d->r->ts, d->r->w.now, forward_handle(IP4, d->r->a.relayed.port), &t->from,
                              buf + FORWARD_HEAD, DATA);
        return d->r->w.n_packets > before;
    }
    stun_channel_header(buf + FORWARD_HEAD, is_a(d, t) ? 0x4001 : 0x6402, DATA);
    assert_true(turn_server_fast(d->r->ts, d->r->w.now, &t->from, buf + FORWARD_HEAD, 4 + DATA));
    return d->r->w.n_packets > before;
}

/* By the kernel, if it may; else it comes to user space. True when it came out. */
static bool carry_one(struct desk *d, const struct turner *t)
{
    struct carrier *c = &d->c;
    int from = c->is_on && addr_equal(&c->ends[1].client, &t->from) ? 1 : 0;

    if (!c->is_on || d->r->w.now >= c->until[from] || c->count[from].bytes + DATA > c->allowed[from])
        return send_one(d, t);
    c->count[from].packets++;
    c->count[from].bytes += DATA;
    return true;
}

static void pass(struct desk *d, ns_t dt)
{
    ns_t end = d->r->w.now + dt;

    while (turn_server_deadline(d->r->ts) <= end) {
        ns_t at = turn_server_deadline(d->r->ts);

        world_pass(&d->r->w, at > d->r->w.now ? at - d->r->w.now : 0);
        turn_server_tick(d->r->ts, d->r->w.now);
    }
    world_pass(&d->r->w, end - d->r->w.now);
}

static void hand_over(struct desk *d)
{
    for (int i = 0; i <= SECOND_PROBES; i++)
        assert_true(send_one(d, &d->r->a));
    assert_true(d->c.is_on);
    pass(d, OFFLOAD_STEP_NS);
}

/* ---- sentences ---- */

static void busy_call(void **state)
{
    struct desk d;

    (void)state;
    open_desk(&d, 0, 0);
    for (int i = 0; i < SECOND_PROBES; i++)
        send_one(&d, &d.r->a);
    assert_false(d.c.is_on); /* these may be checks of a path */
    send_one(&d, &d.r->a);
    assert_true(d.c.is_on);
    assert_true(addr_equal(&d.c.ends[0].client, &d.r->a.from));
    assert_true(addr_equal(&d.c.ends[1].client, &d.r->b.from));
    assert_int_equal(d.c.ends[0].channel, 0x4001);
    assert_int_equal(d.c.ends[1].channel, 0x6402);
    assert_int_equal(d.c.until[0], 0); /* what lies in the table is seen by all before it counts */
    assert_true(turn_server_deadline(d.r->ts) <= d.r->w.now + OFFLOAD_STEP_NS);
    pass(&d, OFFLOAD_STEP_NS);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(d.c.until[i], d.r->w.now + OFFLOAD_LEASE_NS);
        assert_true(d.c.allowed[i] == UINT64_MAX); /* no cap at all */
    }
    for (int i = 0; i < 40; i++) /* those that come to us are forwarded all the same */
        assert_true(send_one(&d, i % 2 == 0 ? &d.r->a : &d.r->b));
    assert_int_equal(d.c.n_added, 1);
    close_desk(&d);
}

static void quiet_paths(void **state)
{
    struct desk d;

    (void)state;
    open_desk(&d, 0, 0);
    for (int s = 0; s < 20; s++) { /* checks: 6 a second */
        for (int i = 0; i < 6; i++)
            send_one(&d, &d.r->a);
        pass(&d, NS_PER_S);
    }
    assert_int_equal(d.c.n_added, 0);
    hand_over(&d);
    pass(&d, OFFLOAD_IDLE_NS - 2 * OFFLOAD_STEP_NS);
    assert_true(d.c.is_on);
    pass(&d, OFFLOAD_STEP_NS);
    assert_false(d.c.is_on);                                            /* nothing came */
    assert_true(turn_server_deadline(d.r->ts) > d.r->w.now + NS_PER_S); /* and nobody counts any more */
    hand_over(&d);                                                      /* it is back at once */
    assert_int_equal(d.c.n_added, 2);
    close_desk(&d);
}

static void compare_books(bool is_outside)
{
    struct desk with, without;
    struct desk *d[2] = {&with, &without};
    const struct turn_server_stats *s[2];
    struct turn_usage u[2][2];

    for (int k = 0; k < 2; k++) {
        open_desk_with(d[k], is_outside, 0, 0);
        d[k]->c.is_full = k == 1;
        for (int n = 0; n < 50 * 30; n++) { /* 30 s at 50 a second from a, 20 s of these from b as well */
            assert_true(carry_one(d[k], &d[k]->r->a));
            if (n < 50 * 20)
                assert_true(carry_one(d[k], &d[k]->r->b));
            pass(d[k], NS_PER_S / 50);
        }
        pass(d[k], OFFLOAD_IDLE_NS + NS_PER_S);
        s[k] = turn_server_stats(d[k]->r->ts);
        for (int i = 0; i < (is_outside ? 1 : 2); i++)
            assert_int_equal(turn_server_usage(d[k]->r->ts, (uint64_t)(i + 1) << 32 | (uint64_t)i, &u[k][i]),
                             ERR_OK);
    }
    assert_true(s[0]->offloaded > 50 * 49 && s[1]->offloaded == 0);
    assert_int_equal(s[0]->packets, 50 * 50);
    assert_int_equal(s[0]->packets, s[1]->packets);
    assert_int_equal(s[0]->bytes, s[1]->bytes);
    assert_int_equal(s[0]->bytes_in, s[1]->bytes_in);
    assert_int_equal(s[0]->wire_bytes, s[1]->wire_bytes);
    assert_int_equal(s[0]->hairpins, s[1]->hairpins);
    for (int i = 0; i < (is_outside ? 1 : 2); i++) {
        assert_int_equal(u[0][i].up_packets, u[1][i].up_packets);
        assert_int_equal(u[0][i].up_bytes, u[1][i].up_bytes);
        assert_int_equal(u[0][i].down_packets, u[1][i].down_packets);
        assert_int_equal(u[0][i].down_bytes, u[1][i].down_bytes);
        assert_int_equal(u[0][i].seconds, 30);
        assert_int_equal(u[1][i].seconds, 30);
    }
    close_desk(&with);
    close_desk(&without);
}

static void same_books(void **state)
{
    (void)state;
    compare_books(false);
    compare_books(true);
}

/* A call that goes on; true when the kernel carries it. */
static bool still_carried(struct desk *d)
{
    carry_one(d, &d->r->a);
    carry_one(d, &d->r->b);
    pass(d, OFFLOAD_STEP_NS);
    return d->c.is_on;
}

static void last_counters(void **state)
{
    struct desk d;
    uint8_t buf[512];
    struct stun_wr w;

    (void)state;
    open_desk(&d, 0, 0);
    hand_over(&d);
    for (int i = 0; i < 7; i++)
        carry_one(&d, &d.r->a);
    turner_begin(&d.r->b, &w, buf, sizeof buf, TURN_REFRESH); /* the other one leaves, between two steps */
    stun_put_u32(&w, STUN_LIFETIME, 0);
    assert_int_equal(ask(d.r, &d.r->b, turner_end(&d.r->b, &w)).cls, STUN_SUCCESS);
    assert_false(d.c.is_on);
    assert_int_equal(d.r->n_ended, 1);
    assert_int_equal(d.r->ended.down_packets, SECOND_PROBES + 1 + 7); /* its last counters have them */
    assert_int_equal(d.r->ended.down_bytes, (SECOND_PROBES + 1 + 7) * DATA);
    assert_false(send_one(&d, &d.r->a));
    assert_false(d.c.is_on);
    close_desk(&d);
}

static void ends_in_time(void **state)
{
    struct desk d;
    ns_t ends_at;

    (void)state;
    open_desk(&d, 0, 0);
    ends_at = d.r->w.now + TURN_PERMISSION_S * NS_PER_S; /* nobody renews anything */
    hand_over(&d);
    while (d.r->w.now + OFFLOAD_LEASE_NS + NS_PER_S < ends_at)
        assert_true(still_carried(&d));
    while (still_carried(&d)) {
        for (int i = 0; i < 2; i++)
            assert_true(d.c.until[i] <= ends_at); /* lent no longer than it may go on */
        assert_true(d.r->w.now < ends_at + OFFLOAD_STEP_NS);
    }
    assert_true(d.r->w.now >= ends_at);
    assert_false(send_one(&d, &d.r->a)); /* and user space says the same */
    assert_int_equal(d.c.n_added, 1);
    permit(d.r, &d.r->a, &d.r->b.relayed);
    permit(d.r, &d.r->b, &d.r->a.relayed);
    hand_over(&d); /* channels are good for longer */
    close_desk(&d);
}

static void renewed(void **state)
{
    struct desk d;

    (void)state;
    open_desk(&d, 0, 0);
    hand_over(&d);
    for (int minute = 0; minute < 9; minute++) { /* of the 600 s an allocation lasts */
        permit(d.r, &d.r->a, &d.r->b.relayed);
        permit(d.r, &d.r->b, &d.r->a.relayed);
        for (int i = 0; i < 600; i++)
            assert_true(still_carried(&d));
    }
    assert_int_equal(d.c.n_added, 1);
    while (d.r->n_ended < 2) /* then the allocations end, and with them all */
        still_carried(&d);
    assert_false(d.c.is_on);
    close_desk(&d);
}

static void new_address(void **state)
{
    struct addr external[2] = {at("198.51.100.8:3478"), {.family = ADDR_NONE}};
    struct desk d;

    (void)state;
    open_desk(&d, 0, 0);
    hand_over(&d);
    turn_server_set_external(d.r->ts, external);
    assert_false(d.c.is_on); /* the channels lead nowhere now */
    for (int i = 0; i < 20; i++)
        assert_false(send_one(&d, &d.r->a));
    assert_int_equal(d.c.n_added, 1);
    close_desk(&d);
}

static void handed_on(void **state)
{
    struct desk d;
    uint8_t *buf;
    struct wr w;
    size_t max;

    (void)state;
    open_desk(&d, 0, 0);
    hand_over(&d);
    carry_one(&d, &d.r->b);
    max = turn_server_state_max(d.r->ts);
    buf = mem_alloc(max);
    wr_init(&w, buf, max);
    turn_server_save(d.r->ts, d.r->w.now, &w);
    assert_false(d.c.is_on); /* the process that takes our place counts by itself */
    assert_int_equal(turn_server_stats(d.r->ts)->packets, SECOND_PROBES + 2);
    mem_free(buf);
    close_desk(&d);
}

/* A call of 2 x 35 kbit/s; false when a packet of it was lost. */
static bool call_for(struct desk *d, unsigned seconds)
{
    bool is_whole = true;

    for (unsigned n = 0; n < 50 * seconds; n++) {
        is_whole = carry_one(d, &d->r->a) && is_whole;
        is_whole = carry_one(d, &d->r->b) && is_whole;
        pass(d, NS_PER_S / 50);
    }
    return is_whole;
}

/* Both ends of a call send ten times what the cap lets through; all that comes out within `seconds`, in kbit/s. */
static double flooded_kbps(struct desk *d, unsigned seconds, unsigned kbps)
{
    uint64_t out = 0, wanted = (uint64_t)seconds * kbps * 1000 / 8 * 10 / DATA / 2;

    for (uint64_t n = 0; n < wanted; n++) {
        out += carry_one(d, &d->r->a);
        out += carry_one(d, &d->r->b);
        pass(d, seconds * NS_PER_S / wanted);
    }
    return (double)out * DATA * 8 / 1000 / seconds;
}

static void cap_of_all(void **state)
{
    struct desk d;
    double kbps;

    (void)state;
    open_desk(&d, 500, 0);
    assert_true(call_for(&d, 3));
    kbps = flooded_kbps(&d, 20, 500);
    assert_true(kbps > 490 && kbps < 500 * 20.5 / 20); /* the burst of 250 ms comes on top, once */
    assert_true(turn_server_stats(d.r->ts)->offloaded > 0);
    assert_true(turn_server_stats(d.r->ts)->lost_rate > 0);
    close_desk(&d);
}

static void cap_of_grant(void **state)
{
    struct desk d;
    double kbps;

    (void)state;
    open_desk_with(&d, true, 0, 128);
    assert_true(call_for(&d, 3));
    kbps = flooded_kbps(&d, 20, 256); /* each way */
    assert_true(kbps > 250 && kbps < 256 * 20.5 / 20);
    close_desk(&d);
}

static void within_cap(void **state)
{
    struct desk d;
    const struct turn_server_stats *s;

    (void)state;
    open_desk(&d, 100, 128);
    assert_true(call_for(&d, 60));
    s = turn_server_stats(d.r->ts);
    assert_int_equal(s->lost_rate, 0);
    assert_true(s->offloaded > 2 * 50 * 60 * 9 / 10);
    turn_server_set_limits(d.r->ts, 100, 35); /* half of it, from now on */
    call_for(&d, 20);
    assert_true(s->lost_rate > 50 * 20 * 8 / 10);
    close_desk(&d);
}

static void others(void **state)
{
    struct desk d;

    (void)state;
    open_desk(&d, 0, 0);
    d.c.is_full = true; /* no room: all is as without */
    for (int i = 0; i < 200; i++) {
        assert_true(send_one(&d, &d.r->a));
        pass(&d, 20 * NS_PER_MS);
    }
    d.c.is_full = false;
    close_desk(&d);

    open_desk_with(&d, true, 0, 0);
    d.r->open_result = ERR_IO; /* a peer outside whose port could not be opened */
    refresh(d.r, &d.r->a, 0);
    d.r->a.nonce[0] = '\0';
    set_up(d.r, &d.r->a);
    bind_channel(d.r, &d.r->a, 0x4001, &d.r->b.from);
    for (int i = 0; i < 50; i++)
        turn_server_port_fast(d.r->ts, d.r->w.now, forward_handle(IP4, d.r->a.relayed.port), &d.r->b.from,
                              (uint8_t[FORWARD_HEAD + DATA + FORWARD_TAIL]){0} + FORWARD_HEAD, DATA);
    assert_int_equal(d.c.n_added, 0);
    close_desk(&d);
}

static void peer_outside(void **state)
{
    struct desk d;

    (void)state;
    open_desk_with(&d, true, 0, 0);
    for (int i = 0; i <= SECOND_PROBES; i++) /* whoever of them is busy */
        assert_true(send_one(&d, &d.r->b));
    assert_true(d.c.is_on);
    assert_true(addr_equal(&d.c.ends[0].client, &d.r->a.from));
    assert_true(addr_equal(&d.c.ends[1].client, &d.r->b.from));
    assert_int_equal(d.c.ends[0].channel, 0x4001);
    assert_int_equal(d.c.ends[1].channel, 0);
    assert_int_equal(d.c.ends[1].port, d.r->a.relayed.port);
    for (int i = 0; i < 30; i++)
        assert_true(still_carried(&d));
    turn_server_set_scope(d.r->ts, false, true); /* relay.hairpin_only: nobody outside any more */
    still_carried(&d);
    assert_false(d.c.is_on);
    assert_false(send_one(&d, &d.r->a));
    turn_server_set_scope(d.r->ts, false, false);
    for (int i = 0; i <= 2 * SECOND_PROBES; i++)
        send_one(&d, &d.r->a);
    pass(&d, NS_PER_S);
    for (int i = 0; i <= SECOND_PROBES; i++)
        send_one(&d, &d.r->a);
    assert_true(d.c.is_on);
    refresh(d.r, &d.r->a, 0);
    assert_false(d.c.is_on);
    close_desk(&d);
}

static void half_bound(void **state)
{
    struct turn_server_config config = default_config();
    struct desk d = {.r = NULL};

    (void)state;
    config.offload = &carrier_ops;
    config.offload_arg = &d.c;
    d.r = rig_with(&config);
    set_up(d.r, &d.r->a);
    set_up(d.r, &d.r->b);
    bind_channel(d.r, &d.r->a, 0x4001, &d.r->b.relayed);
    permit(d.r, &d.r->b, &d.r->a.relayed); /* gets indications, which only we can write */
    for (int i = 0; i < 100; i++) {
        assert_true(send_one(&d, &d.r->a));
        pass(&d, 10 * NS_PER_MS);
    }
    assert_int_equal(d.c.n_added, 0);
    bind_channel(d.r, &d.r->b, 0x6402, &d.r->a.relayed);
    for (int i = 0; i < 101; i++) { /* from the next second that counts */
        send_one(&d, &d.r->a);
        pass(&d, 10 * NS_PER_MS);
    }
    assert_int_equal(d.c.n_added, 1);
    close_desk(&d);
}

/* Of what it carried it lost two on the way out, of what was over the terms three on the way here. */
static void losses(void **state)
{
    const struct turn_server_stats *s;
    struct turn_server_stats was;
    struct desk d;

    (void)state;
    open_desk(&d, 0, 0);
    s = turn_server_stats(d.r->ts);
    for (int i = 0; i < 50; i++) {
        carry_one(&d, &d.r->a);
        pass(&d, 20 * NS_PER_MS);
    }
    assert_true(d.c.is_on && d.c.count[0].packets > 2);
    pass(&d, OFFLOAD_STEP_NS);
    was = *s;
    assert_int_equal(s->bytes_in, s->bytes + s->bytes_lost);
    d.c.loss = (struct offload_loss){.unsent = {2, 2 * DATA}, .dropped = {3, 3 * DATA}};
    pass(&d, OFFLOAD_STEP_NS);
    assert_int_equal(s->packets, was.packets - 2);
    assert_int_equal(s->offloaded, was.offloaded - 2);
    assert_int_equal(s->bytes_lost, was.bytes_lost + 5 * DATA);
    assert_int_equal(s->lost_queue, 5);
    assert_int_equal(s->bytes_in, s->bytes + s->bytes_lost);
    pass(&d, OFFLOAD_STEP_NS);
    assert_int_equal(s->lost_queue, 5); /* once */
    close_desk(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("what the carrier lost is counted once, and bytes in are bytes out and bytes lost", losses),
        sentence("a call goes to the kernel with the packet that makes a second count", busy_call),
        sentence("paths that are kept warm stay with us, and a silent call comes back", quiet_paths),
        sentence("the books are the same whoever carried", same_books),
        sentence("an allocation that ends takes its call back, and has it in its last counters",
                 last_counters),
        sentence("nothing is lent beyond the end of a permission", ends_in_time),
        sentence("a call whose permissions are renewed is carried to the end", renewed),
        sentence("a new outside address takes all calls back", new_address),
        sentence("a process that hands over takes all calls back first", handed_on),
        sentence("the cap of all holds against two floods, carried or not", cap_of_all),
        sentence("the rate of a grant holds against a flood, carried or not", cap_of_grant),
        sentence("within the caps nothing is lost, and a lower cap is obeyed at once", within_cap),
        sentence("without room, or without a port, all is as without a kernel", others),
        sentence("a client and its peer outside are a pair, too, while such peers are allowed", peer_outside),
        sentence("a peer without a channel of its own is not the kernel's", half_bound),
    };

    return run_sentences("offload", tests);
}
