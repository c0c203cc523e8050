#include "unit/io/bench.h"

#include "io/udp.h"

struct ends {
    struct bench b;
    struct udp *a, *z;
    unsigned n_in, wanted;
    size_t len;
    struct addr from;
    uint8_t first;
    bool closes;
};

static void on_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct ends *e = arg;

    (void)now;
    e->n_in++;
    e->len = bytes.len;
    e->first = bytes.len > 0 ? bytes.data[0] : 0;
    e->from = *from;
    if (e->closes) {
        udp_close(e->z);
        e->z = NULL;
    }
}

static bool has_all(void *arg)
{
    const struct ends *e = arg;

    return e->n_in >= e->wanted;
}

static struct udp *open_end(struct ends *e, const char *bind_to, bool v6)
{
    struct udp_config config = {.v4 = true, .v6 = v6, .recv = on_recv, .arg = e};
    struct err_detail detail;
    struct udp *u;

    if (bind_to != NULL)
        assert_int_equal(addr_parse(bind_to, &config.bind), ERR_OK);
    config.bind.port = 0;
    assert_int_equal(udp_open(e->b.io, &config, &u, &detail), ERR_OK);
    assert_int_not_equal(udp_port(u), 0);
    return u;
}

static struct addr loopback(const struct udp *u)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};

    return addr_v4(ip, udp_port(u));
}

static void begin(struct ends *e)
{
    *e = (struct ends){.wanted = 1};
    bench_make(&e->b, "-");
    e->a = open_end(e, "127.0.0.1:1", false);
    e->z = open_end(e, "127.0.0.1:1", false);
}

static void end(struct ends *e)
{
    udp_close(e->a);
    udp_close(e->z);
    bench_end(&e->b);
}

static void there_and_from_whom(void **state)
{
    struct ends e;
    struct addr to, from;

    (void)state;
    begin(&e);
    to = loopback(e.z);
    from = loopback(e.a);
    udp_send(e.a, &to, slice_str("hello"));
    assert_true(bench_run(&e.b, has_all, &e));
    assert_int_equal(e.len, 5);
    assert_true(addr_equal(&e.from, &from));
    end(&e);
}

/* More than one batch; empty ones, and one that is longer than any of ours. */
static void many(void **state)
{
    struct ends e;
    struct addr to;
    uint8_t big[UDP_DATAGRAM_BYTES + 1];

    (void)state;
    begin(&e);
    memset(big, 7, sizeof big);
    to = loopback(e.z);
    e.wanted = 3 * UDP_BATCH;
    udp_send(e.a, &to, slice_of(big, sizeof big)); /* cut ones are dropped */
    for (unsigned i = 1; i < e.wanted; i++)
        udp_send(e.a, &to, slice_of(big, i % 3 == 0 ? 0 : 100));
    udp_send(e.a, &to, slice_of(big, UDP_DATAGRAM_BYTES));
    assert_true(bench_run(&e.b, has_all, &e));
    assert_int_equal(e.n_in, e.wanted);
    assert_int_equal(e.len, UDP_DATAGRAM_BYTES);
    end(&e);
}

static void closed_in_its_callback(void **state)
{
    struct ends e;
    struct addr to;

    (void)state;
    begin(&e);
    to = loopback(e.z);
    e.closes = true;
    for (int i = 0; i < 3; i++)
        udp_send(e.a, &to, slice_str("x"));
    assert_true(bench_run(&e.b, has_all, &e));
    assert_int_equal(e.n_in, 1);
    udp_close(e.a);
    bench_end(&e.b);
}

static void a_port_in_use(void **state)
{
    struct ends e;
    struct udp_config config = {.v4 = true, .recv = on_recv};
    struct err_detail detail;
    struct udp *u;
    char text[128];

    (void)state;
    begin(&e);
    config.bind = loopback(e.a);
    assert_int_equal(udp_open(e.b.io, &config, &u, &detail), ERR_IO);
    assert_null(u);
    snprintf(text, sizeof text, "UDP port %u cannot be opened: Address already in use", udp_port(e.a));
    assert_string_equal(detail.text, text);
    end(&e);
}

static void both_families(void **state)
{
    struct ends e = {.wanted = 1};
    struct addr to, v6 = {.family = ADDR_V6};
    struct udp *both;

    (void)state;
    bench_make(&e.b, "-");
    both = open_end(&e, NULL, true);
    to = loopback(both);
    udp_send(both, &to, slice_str("4")); /* IPv4 through the socket of both */
    assert_true(bench_run(&e.b, has_all, &e));
    assert_int_equal(e.from.family, ADDR_V4);
    if (udp_has_v6(both)) {
        v6.ip[15] = 1;
        v6.port = udp_port(both);
        e.n_in = 0;
        udp_send(both, &v6, slice_str("6"));
        assert_true(bench_run(&e.b, has_all, &e));
        assert_int_equal(e.from.family, ADDR_V6);
    }
    udp_close(both);
    bench_end(&e.b);
}

/* ---- the fast way ---- */

#define N_PASSED 300

struct relay {
    struct ends ends;
    struct udp *main;
    struct addr sink;
    unsigned n_fast, n_slow, n_turns, n_in;
    bool is_in_order;
    ns_t began;
    uint32_t next;
};

/* Numbers are passed on, four bytes longer to the front; texts are not ours. */
static bool on_fast(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct relay *r = arg;

    (void)now;
    (void)from;
    if (len != sizeof r->next)
        return false;
    r->n_fast++;
    memset(bytes - UDP_HEADROOM, 5, UDP_HEADROOM);
    udp_send(r->main, &r->sink, slice_of(bytes - 4, len + 4));
    memset(bytes, 0, len + UDP_HEADROOM); /* it was copied */
    return true;
}

static void on_slow(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct relay *r = arg;

    (void)now;
    (void)from;
    r->n_slow++;
    udp_send(r->main, &r->sink, bytes);
}

static void on_sink(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct relay *r = arg;
    uint32_t number;

    (void)now;
    (void)from;
    r->n_in++;
    if (bytes.len != 8) /* the text, after number 99 */
        r->is_in_order = r->is_in_order && slice_is(bytes, "a text") && r->next == 100;
    else if (memcpy(&number, bytes.data + 4, sizeof number) != NULL)
        r->is_in_order = r->is_in_order && number == r->next++ && bytes.data[3] == 5;
}

static bool all_passed(void *arg)
{
    struct relay *r = arg;

    r->n_turns++;
    return r->n_in > N_PASSED;
}

static void passed_in_order(void **state)
{
    struct relay r = {.is_in_order = true};
    struct udp_config config = {.v4 = true, .is_main = true, .fast = on_fast, .recv = on_slow, .arg = &r};
    struct udp_config sink = {.v4 = true, .recv = on_sink, .arg = &r};
    struct udp *z;
    struct addr to;

    (void)state;
    begin(&r.ends);
    assert_int_equal(udp_open(r.ends.b.io, &config, &r.main, NULL), ERR_OK);
    assert_int_equal(udp_open(r.ends.b.io, &sink, &z, NULL), ERR_OK);
    r.sink = loopback(z);
    to = loopback(r.main);
    for (uint32_t i = 0; i < N_PASSED; i++) {
        udp_send(r.ends.a, &to, slice_of((uint8_t *)&i, sizeof i));
        if (i == 99)
            udp_send(r.ends.a, &to, slice_str("a text"));
    }
    assert_true(bench_run(&r.ends.b, all_passed, &r));
    assert_int_equal(r.n_fast, N_PASSED);
    assert_int_equal(r.n_slow, 1);
    assert_true(r.is_in_order);
    udp_close(r.main);
    udp_close(z);
    end(&r.ends);
}

static bool on_counted(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct relay *r = arg;

    (void)now;
    (void)from;
    (void)bytes;
    (void)len;
    r->n_fast++;
    if (r->n_fast < N_PASSED) /* one at a time, so that each is a wake-up of its own */
        udp_send(r->ends.a, &r->sink, slice_str("next"));
    return true;
}

static bool all_counted(void *arg)
{
    struct relay *r = arg;

    r->n_turns++;
    return r->n_fast >= N_PASSED;
}

static void turns_are_shared(void **state)
{
    struct relay r = {0};
    struct udp_config config = {.v4 = true, .fast = on_counted, .recv = on_slow, .arg = &r};
    ns_t began;
    unsigned most;

    (void)state;
    begin(&r.ends);
    assert_int_equal(udp_open(r.ends.b.io, &config, &r.main, NULL), ERR_OK);
    r.sink = loopback(r.main);
    udp_send(r.ends.a, &r.sink, slice_str("first"));
    began = io_now();
    assert_true(bench_run(&r.ends.b, all_counted, &r));
    /* The last of them brings a turn by itself, though nothing else happens. */
    most = (unsigned)((io_now() - began) / IO_TURN_OFF_NS) * 2 + 4;
    assert_int_equal(r.n_fast, N_PASSED);
    assert_true(r.n_turns <= most);
    udp_close(r.main);
    end(&r.ends);
}

/* One packet at a time for so long that the loop begins to nap, then something that is not to be passed on. */
#define BUSY_NS (350 * NS_PER_MS)

static bool on_busy(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct relay *r = arg;

    (void)from;
    (void)bytes;
    if (len == 1)
        return false;
    r->n_fast++;
    if (r->began == 0)
        r->began = now;
    udp_send(r->ends.a, &r->sink, now - r->began < BUSY_NS ? slice_str("next") : slice_str("!"));
    return true;
}

static bool has_slow(void *arg)
{
    struct relay *r = arg;

    r->n_turns++;
    return r->n_slow > 0;
}

static void naps_end(void **state)
{
    struct relay r = {0};
    struct udp_config config = {.v4 = true, .is_main = true, .fast = on_busy, .recv = on_slow, .arg = &r};

    (void)state;
    begin(&r.ends);
    assert_int_equal(udp_open(r.ends.b.io, &config, &r.main, NULL), ERR_OK);
    r.sink = loopback(r.main);
    udp_send(r.ends.a, &r.sink, slice_str("first"));
    assert_true(bench_run(&r.ends.b, has_slow, &r));
    assert_true(r.n_fast > 100);
    assert_int_equal(r.n_slow, 1);
    assert_true(r.n_turns < r.n_fast);
    udp_close(r.main);
    end(&r.ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a datagram arrives, and names its sender", there_and_from_whom),
        sentence("batches are emptied, a datagram that was cut is dropped", many),
        sentence("a socket may be closed by its own callback", closed_in_its_callback),
        sentence("a port in use is an error in words", a_port_in_use),
        sentence("one socket serves both families", both_families),
        sentence("what is sent from callbacks leaves in batches, in order, from buffers of its own",
                 passed_in_order),
        sentence("between naps packets are passed on, and what is not to be passed on is heard", naps_end),
        sentence("packets that are only passed on share a turn, and the last ones get theirs",
                 turns_are_shared),
    };

    return run_sentences("udp", tests);
}
