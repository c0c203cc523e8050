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

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a datagram arrives, and names its sender", there_and_from_whom),
        sentence("batches are emptied, a datagram that was cut is dropped", many),
        sentence("a socket may be closed by its own callback", closed_in_its_callback),
        sentence("a port in use is an error in words", a_port_in_use),
        sentence("one socket serves both families", both_families),
    };

    return run_sentences("udp", tests);
}
