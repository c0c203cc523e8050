#include "unit/test.h"

#include <string.h>

#include "sim/vnet.h"

#define MS NS_PER_MS

struct box { /* what a host received */
    unsigned n;
    ns_t at;
    struct addr from;
    char text[64];
};

static void keep(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct box *b = arg;

    b->n++;
    b->at = now;
    b->from = *from;
    memset(b->text, 0, sizeof b->text);
    memcpy(b->text, bytes.data, bytes.len < 63 ? bytes.len : 63);
}

static struct vnet_host *host(struct vnet *net, struct vnet_nat *nat, const char *ip_port, struct box *box)
{
    struct vnet_host *h = vnet_add_host(net, nat, ip_port, ip_port);

    vnet_on_recv(h, keep, box);
    return h;
}

static struct addr at(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), ERR_OK);
    return a;
}

static void packets_take_their_time(void **state)
{
    struct vnet *net = vnet_create(1);
    struct box a_box = {0}, b_box = {0};
    struct vnet_host *a = host(net, NULL, "203.0.113.10:1000", &a_box);
    struct vnet_host *b = host(net, NULL, "198.51.100.20:2000", &b_box);
    ns_t start = vnet_now(net);

    (void)state;
    vnet_set_link(a, &(struct vnet_link){.delay_ns = 20 * MS});
    vnet_set_link(b, &(struct vnet_link){.delay_ns = 30 * MS});
    env_send(vnet_env(a), vnet_addr(b), slice_str("hello"));
    vnet_run_for(net, 49 * MS, NULL, NULL);
    assert_int_equal(b_box.n, 0);
    vnet_run_for(net, 2 * MS, NULL, NULL);
    assert_int_equal(b_box.n, 1);
    assert_true(b_box.at == start + 50 * MS);
    assert_string_equal(b_box.text, "hello");
    assert_true(addr_equal(&b_box.from, vnet_addr(a)));
    assert_int_equal(env_wall_ms(vnet_env(a)) - env_wall_ms(vnet_env(b)), 0);
    vnet_set_wall_offset(a, -5000);
    assert_int_equal(env_wall_ms(vnet_env(a)) - env_wall_ms(vnet_env(b)), -5000);
    vnet_destroy(net);
}

/* One run over bad links: which of 1000 packets came, in what order. */
static uint64_t bad_links(uint64_t seed, unsigned *n_got)
{
    struct vnet *net = vnet_create(seed);
    struct box a_box = {0}, b_box = {0};
    struct vnet_host *a = host(net, NULL, "203.0.113.10:1000", &a_box);
    struct vnet_host *b = host(net, NULL, "198.51.100.20:2000", &b_box);
    uint64_t hash = 0;

    vnet_set_link(
        a, &(struct vnet_link){
               .delay_ns = 10 * MS, .jitter_ns = 5 * MS, .loss_pct = 10, .dup_pct = 5, .reorder_pct = 5});
    for (int i = 0; i < 1000; i++) {
        env_send(vnet_env(a), vnet_addr(b), slice_str("x"));
        vnet_run_for(net, MS, NULL, NULL);
        hash = hash * 31 + b_box.n;
    }
    vnet_run_for(net, 1000 * MS, NULL, NULL);
    *n_got = b_box.n;
    vnet_destroy(net);
    return hash;
}

static void same_seed_same_run(void **state)
{
    unsigned n1, n2, n3;
    uint64_t run1 = bad_links(5, &n1), run2 = bad_links(5, &n2), run3 = bad_links(6, &n3);

    (void)state;
    assert_true(run1 == run2 && n1 == n2);
    assert_true(run1 != run3);
    assert_in_range(n1, 880, 1010); /* 900 * 1.05 = 945 */
}

/* Does a packet pass from outside to the port that a first packet of `inside` opened? */
static bool passes(const struct vnet_nat_config *config, const char *from)
{
    struct vnet *net = vnet_create(3);
    struct vnet_nat *nat = vnet_add_nat(net, NULL, "203.0.113.1", config);
    struct box in = {0}, out = {0};
    struct vnet_host *inside = host(net, nat, "192.168.1.2:4000", &in);
    struct vnet_host *known = host(net, NULL, "198.51.100.1:5000", &out);
    struct vnet_host *other = host(net, NULL, "198.51.100.2:5000", &out);
    struct vnet_host *sender = strstr(from, "100.1") != NULL ? known : other;
    struct addr port = at(from);
    bool did_pass;

    env_send(vnet_env(inside), vnet_addr(known), slice_str("open"));
    vnet_run_for(net, MS, NULL, NULL);
    assert_int_equal(out.n, 1);
    if (port.port == 5000)
        env_send(vnet_env(sender), &out.from, slice_str("in"));
    else
        vnet_send_from(vnet_open_port(sender, port.port, keep, &out), &out.from, slice_str("in"));
    vnet_run_for(net, MS, NULL, NULL);
    did_pass = in.n == 1;
    vnet_destroy(net);
    return did_pass;
}

static void filtering(void **state)
{
    const char *same = "198.51.100.1:5000", *port = "198.51.100.1:5001", *ip = "198.51.100.2:5000";

    (void)state;
    for (enum vnet_behaviour f = VNET_EI; f <= VNET_APD; f++) {
        struct vnet_nat_config c = {.filtering = f};

        assert_true(passes(&c, same));
        assert_int_equal(passes(&c, port), f != VNET_APD);
        assert_int_equal(passes(&c, ip), f == VNET_EI);
    }
}

static void mapping(void **state)
{
    (void)state;
    for (enum vnet_behaviour m = VNET_EI; m <= VNET_APD; m++) {
        struct vnet *net = vnet_create(4);
        struct vnet_nat *nat =
            vnet_add_nat(net, NULL, "203.0.113.1",
                         &(struct vnet_nat_config){.mapping = m, .ports = VNET_PORTS_SEQUENTIAL});
        struct box in = {0}, x = {0}, y = {0}, z = {0};
        struct vnet_host *inside = host(net, nat, "192.168.1.2:4000", &in);
        struct vnet_host *hx = host(net, NULL, "198.51.100.1:5000", &x);
        struct vnet_socket *y_port = vnet_open_port(hx, 5001, keep, &y);
        struct vnet_host *hz = host(net, NULL, "198.51.100.2:5000", &z);

        env_send(vnet_env(inside), vnet_addr(hx), slice_str("1"));
        env_send(vnet_env(inside), vnet_socket_addr(y_port), slice_str("2"));
        env_send(vnet_env(inside), vnet_addr(hz), slice_str("3"));
        vnet_run_for(net, MS, NULL, NULL);
        assert_int_equal(y.from.port - x.from.port, m == VNET_APD ? 1 : 0);
        assert_int_equal(z.from.port - y.from.port, m == VNET_EI ? 0 : 1);
        vnet_destroy(net);
    }
}

static void mappings_end(void **state)
{
    struct vnet *net = vnet_create(4);
    struct vnet_nat *nat =
        vnet_add_nat(net, NULL, "203.0.113.1", &(struct vnet_nat_config){.timeout_ns = 30 * NS_PER_S});
    struct box in = {0}, out = {0};
    struct vnet_host *inside = host(net, nat, "192.168.1.2:4000", &in);
    struct vnet_host *outside = host(net, NULL, "198.51.100.1:5000", &out);

    (void)state;
    env_send(vnet_env(inside), vnet_addr(outside), slice_str("open"));
    vnet_run_for(net, 29 * NS_PER_S, NULL, NULL);
    env_send(vnet_env(outside), &out.from, slice_str("in"));
    vnet_run_for(net, 29 * NS_PER_S, NULL, NULL);
    assert_int_equal(in.n, 1);
    env_send(vnet_env(outside), &out.from, slice_str("refreshed by the one before"));
    vnet_run_for(net, 31 * NS_PER_S, NULL, NULL);
    assert_int_equal(in.n, 2);
    env_send(vnet_env(outside), &out.from, slice_str("too late"));
    vnet_run_for(net, NS_PER_S, NULL, NULL);
    assert_int_equal(in.n, 2);
    assert_int_equal(vnet_get_stats(net)->filtered, 1);
    env_send(vnet_env(inside), vnet_addr(outside), slice_str("open"));
    vnet_run_for(net, NS_PER_S, NULL, NULL);
    vnet_flush_nat(nat);
    env_send(vnet_env(outside), &out.from, slice_str("the router restarted"));
    vnet_run_for(net, NS_PER_S, NULL, NULL);
    assert_int_equal(in.n, 2);
    vnet_destroy(net);
}

static void nested_and_hairpin(void **state)
{
    struct vnet *net = vnet_create(4);
    struct vnet_nat *isp = vnet_add_nat(net, NULL, "203.0.113.1", &(struct vnet_nat_config){.hairpin = true});
    struct vnet_nat *home = vnet_add_nat(net, isp, "100.64.0.2", &(struct vnet_nat_config){0});
    struct box deep = {0}, flat = {0}, out = {0};
    struct vnet_host *a = host(net, home, "192.168.1.2:4000", &deep);
    struct vnet_host *b = host(net, isp, "100.64.0.3:4001", &flat);
    struct vnet_host *server = host(net, NULL, "198.51.100.1:5000", &out);
    struct addr a_outside;

    (void)state;
    env_send(vnet_env(a), vnet_addr(server), slice_str("through two"));
    vnet_run_for(net, MS, NULL, NULL);
    assert_true(addr_equal_ip(&out.from, vnet_nat_addr(isp)));
    a_outside = out.from;
    env_send(vnet_env(server), &a_outside, slice_str("back"));
    vnet_run_for(net, MS, NULL, NULL);
    env_send(vnet_env(b), &a_outside, slice_str("round the corner"));
    vnet_run_for(net, MS, NULL, NULL);
    assert_int_equal(deep.n, 2); /* both NATs filter by nothing */
    assert_true(addr_equal_ip(&deep.from, vnet_nat_addr(isp)));
    vnet_destroy(net);
}

static void cut_mend_move(void **state)
{
    struct vnet *net = vnet_create(4);
    struct vnet_nat *lan = vnet_add_nat(net, NULL, "203.0.113.1", &(struct vnet_nat_config){0});
    struct box x = {0}, y = {0};
    struct vnet_host *a = host(net, lan, "192.168.1.2:4000", &x);
    struct vnet_host *b = host(net, NULL, "198.51.100.1:5000", &y);
    struct addr group = at("224.0.0.251:4000");
    struct box z = {0};

    (void)state;
    (void)host(net, lan, "192.168.1.3:4000", &z);
    vnet_cut(a, true);
    env_send(vnet_env(a), vnet_addr(b), slice_str("1"));
    vnet_run_for(net, MS, NULL, NULL);
    vnet_cut(a, false);
    vnet_cut_between(net, "203.0.113.1", "198.51.100.1", true);
    env_send(vnet_env(a), vnet_addr(b), slice_str("2"));
    vnet_run_for(net, MS, NULL, NULL);
    assert_int_equal(y.n, 0);
    vnet_cut_between(net, "198.51.100.1", "203.0.113.1", false);
    env_send(vnet_env(a), vnet_addr(b), slice_str("3"));
    env_send(vnet_env(a), &group, slice_str("all on the LAN"));
    vnet_run_for(net, MS, NULL, NULL);
    assert_int_equal(y.n, 1);
    assert_int_equal(z.n, 1);
    vnet_move(a, NULL, "198.51.100.77");
    env_send(vnet_env(a), vnet_addr(b), slice_str("4"));
    vnet_run_for(net, MS, NULL, NULL);
    assert_true(addr_equal(&y.from, vnet_addr(a)));
    env_send(vnet_env(b), &y.from, slice_str("5"));
    vnet_run_for(net, MS, NULL, NULL);
    assert_int_equal(x.n, 1);
    vnet_destroy(net);
}

static ns_t every_second(void *arg)
{
    return *(ns_t *)arg;
}

static void count_second(void *arg, ns_t now)
{
    assert_true(now == *(ns_t *)arg);
    *(ns_t *)arg += NS_PER_S;
}

static void drivers(void **state)
{
    struct vnet *net = vnet_create(4);
    struct box x = {0};
    struct vnet_host *a = host(net, NULL, "198.51.100.1:5000", &x);
    ns_t next = CLOCK_START_NS + NS_PER_S;
    struct clock_driver *d = vnet_drive(a, &(struct clock_ops){every_second, count_second}, &next);

    (void)state;
    vnet_run_for(net, 100 * NS_PER_S, NULL, NULL);
    assert_true(next == CLOCK_START_NS + 101 * NS_PER_S);
    vnet_undrive(a, d);
    vnet_run_for(net, 100 * NS_PER_S, NULL, NULL);
    assert_true(next == CLOCK_START_NS + 101 * NS_PER_S);
    assert_true(vnet_now(net) == CLOCK_START_NS + 200 * NS_PER_S);
    vnet_destroy(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a packet takes as long as the links it passes", packets_take_their_time),
        sentence("the same seed gives the same run over bad links", same_seed_same_run),
        sentence("each filtering behaviour lets in what RFC 4787 says", filtering),
        sentence("each mapping behaviour takes a new port when RFC 4787 says", mapping),
        sentence("idle and flushed mappings let nothing in", mappings_end),
        sentence("two NATs in a row, and a hairpin at the outer one", nested_and_hairpin),
        sentence("cables are cut, mended and moved", cut_mend_move),
        sentence("a driver is ticked at its deadlines until it is taken out", drivers),
    };

    return run_sentences("vnet", tests);
}
