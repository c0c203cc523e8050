/* The hot path against the ordinary one: two servers with the same random bytes get the same packets, one by
 * turn_server_input(), the other by turn_server_fast() first, as the socket does it. */
#include "rig.h"

#define N_CLIENTS 6
#define N_PACKETS 20000

struct pair {
    struct rig *plain, *fast;
    struct turner t[2][N_CLIENTS];
    uint64_t seed;
    unsigned n_fast;
};

static uint32_t draw(struct pair *p, uint32_t n)
{
    p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(p->seed >> 33) % n;
}

static void assert_same_packets(const struct pair *p, size_t since)
{
    assert_int_equal(p->plain->w.n_packets, p->fast->w.n_packets);
    for (size_t i = since; i < p->plain->w.n_packets; i++) {
        const struct packet *a = &p->plain->w.packets[i % WORLD_PACKETS];
        const struct packet *b = &p->fast->w.packets[i % WORLD_PACKETS];

        assert_true(addr_equal(&a->to, &b->to));
        assert_int_equal(a->handle, b->handle);
        assert_int_equal(a->len, b->len);
        assert_memory_equal(a->bytes, b->bytes, a->len);
    }
}

static void both(struct pair *p, const struct addr *from, struct slice bytes)
{
    uint8_t buf[FORWARD_HEAD + 2048 + FORWARD_TAIL];
    size_t since = p->plain->w.n_packets;

    turn_server_input(p->plain->ts, p->plain->w.now, from, bytes);
    memcpy(buf + FORWARD_HEAD, bytes.data, bytes.len);
    if (turn_server_fast(p->fast->ts, p->fast->w.now, from, buf + FORWARD_HEAD, bytes.len)) {
        p->n_fast++;
    } else {
        assert_memory_equal(buf + FORWARD_HEAD, bytes.data, bytes.len); /* untouched */
        turn_server_input(p->fast->ts, p->fast->w.now, from, bytes);
    }
    assert_same_packets(p, since);
}

static void both_at_port(struct pair *p, const struct addr *relayed, const struct addr *from,
                         struct slice bytes)
{
    uint8_t buf[FORWARD_HEAD + 2048 + FORWARD_TAIL];
    uint32_t handle = forward_handle(family_index(relayed), relayed->port);
    size_t since = p->plain->w.n_packets;

    turn_server_port_input(p->plain->ts, p->plain->w.now, handle, from, bytes);
    memcpy(buf + FORWARD_HEAD, bytes.data, bytes.len);
    turn_server_port_fast(p->fast->ts, p->fast->w.now, handle, from, buf + FORWARD_HEAD, bytes.len);
    assert_same_packets(p, since);
}

static struct pair *make_pair(void)
{
    struct turn_server_config config = default_config();
    struct pair *p = mem_alloc(sizeof *p);

    config.max_kbps = 4000;
    p->seed = 7;
    p->plain = rig_with(&config);
    p->fast = rig_with(&config);
    for (int side = 0; side < 2; side++) {
        struct rig *r = side == 0 ? p->plain : p->fast;

        for (int i = 0; i < N_CLIENTS; i++) {
            char text[48];

            snprintf(text, sizeof text, "203.0.113.%d:%d", i + 1, 1000 + i);
            p->t[side][i].from = at(text);
            set_up(r, &p->t[side][i]);
        }
    }
    return p;
}

static void requests_of(struct pair *p, int side)
{
    struct rig *r = side == 0 ? p->plain : p->fast;
    struct turner *t = p->t[side];
    struct addr outside = at("192.0.2.77:7777");

    for (int i = 0; i < N_CLIENTS; i += 2) {
        bind_channel(r, &t[i], (uint16_t)(0x4000 + i), &t[i + 1].relayed);
        if (i < 4) /* the last one gets indications */
            bind_channel(r, &t[i + 1], (uint16_t)(0x6400 + i), &t[i].relayed);
        else
            permit(r, &t[i + 1], &t[i].relayed);
    }
    bind_channel(r, &t[0], 0x4abc, &outside);
}

/* A datagram of any kind, mostly good ChannelData. */
static struct slice draw_datagram(struct pair *p, uint8_t buf[static 2048], int who)
{
    size_t data = draw(p, 8) == 0 ? draw(p, 1700) : 88, at = 4;
    uint16_t number = (uint16_t)(who % 2 == 0 ? 0x4000 + who : 0x6400 + who - 1);

    if (draw(p, 6) == 0)
        number = draw(p, 3) == 0 ? (uint16_t)(draw(p, 0x4000) + 0x4000) : 0x4abc;
    stun_channel_header(buf, number, (uint16_t)(draw(p, 20) == 0 ? draw(p, 2000) : data));
    for (; at < data + 4; at++)
        buf[at] = (uint8_t)draw(p, 256);
    if (draw(p, 20) == 0) /* cut, or not ChannelData at all */
        at = draw(p, 6);
    if (draw(p, 50) == 0)
        buf[0] = (uint8_t)draw(p, 256);
    return slice_of(buf, at);
}

static void same_on_the_wire(void **state)
{
    struct pair *p = make_pair();
    uint8_t buf[2048];

    (void)state;
    for (int n = 0; n < N_PACKETS; n++) {
        int who = (int)draw(p, N_CLIENTS);

        if (n % 5000 == 0) { /* also after permissions and channels ran out */
            requests_of(p, 0);
            requests_of(p, 1);
        }
        if (draw(p, 4) == 0) {
            struct addr peer = draw(p, 2) == 0 ? at("192.0.2.77:7777") : at("192.0.2.78:7777");

            both_at_port(p, &p->t[0][0].relayed, &peer, draw_datagram(p, buf, who));
        } else {
            struct addr from = draw(p, 30) == 0 ? at("203.0.113.200:9") : p->t[0][who].from;

            both(p, &from, draw_datagram(p, buf, who));
        }
        world_pass(&p->plain->w, 100 * NS_PER_MS);
        world_pass(&p->fast->w, 100 * NS_PER_MS);
    }
    assert_memory_equal(turn_server_stats(p->plain->ts), turn_server_stats(p->fast->ts),
                        sizeof(struct turn_server_stats));
    assert_true(p->n_fast > N_PACKETS / 3);
    assert_true(turn_server_stats(p->fast->ts)->hairpins > N_PACKETS / 4);
    rig_free(p->plain);
    rig_free(p->fast);
    mem_free(p);
}

static void for_ourselves(void **state)
{
    struct rig *r = rig_new();
    struct addr own = at("198.51.100.7:3478");
    uint8_t buf[FORWARD_HEAD + 64], datagram[64];
    struct slice bytes;

    (void)state;
    set_up(r, &r->a);
    assert_int_equal(bind_channel(r, &r->a, 0x4001, &own).cls, STUN_SUCCESS);
    bytes = stun_channel_write(datagram, sizeof datagram, 0x4001, HELLO);
    memcpy(buf + FORWARD_HEAD, bytes.data, bytes.len);
    assert_false(turn_server_fast(r->ts, r->w.now, &r->a.from, buf + FORWARD_HEAD, bytes.len));
    assert_int_equal(turn_server_stats(r->ts)->packets, 0);
    turn_server_input(r->ts, r->w.now, &r->a.from, bytes);
    assert_true(slice_is(slice_of(r->own.bytes, r->own.len), "hello"));
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the hot path sends the same bytes and counts the same as the ordinary one",
                 same_on_the_wire),
        sentence("what is for the relay itself does not take the hot path", for_ourselves),
    };

    return run_sentences("fast", tests);
}
