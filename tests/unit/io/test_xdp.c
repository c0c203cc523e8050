/* The table and its loader on a network interface of our own (a tap device in a namespace), whose driver runs the
 * program natively: frames go in and come out by a descriptor. Needs root, /dev/net/tun and bpf(2). */
#include "unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io/xdp.h"

#define PORT       3478
#define DATA       60
#define FRAME      (14 + 20 + 8 + 4 + DATA)
#define MAX_PAIRS  3
#define PATIENT_MS 2000

struct cable {
    int tap, udp; /* udp: what came up to the relay's socket */
    uint8_t mac[6];
    struct xdp *x;
    struct xdp_end ends[2];
};

static ns_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (ns_t)ts.tv_sec * NS_PER_S + (ns_t)ts.tv_nsec;
}

static struct addr at(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), ERR_OK);
    return a;
}

static bool make_tap(struct cable *c)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    struct sockaddr_in *sin = (struct sockaddr_in *)(void *)&r.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    c->tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    strcpy(r.ifr_name, "tap0");
    if (c->tap < 0 || ioctl(c->tap, TUNSETIFF, &r) != 0) {
        close(fd);
        return false;
    }
    *sin = (struct sockaddr_in){.sin_family = AF_INET};
    inet_pton(AF_INET, "10.9.0.1", &sin->sin_addr);
    assert_int_equal(ioctl(fd, SIOCSIFADDR, &r), 0);
    inet_pton(AF_INET, "255.255.255.0", &sin->sin_addr);
    assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &r), 0);
    assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &r), 0);
    memcpy(c->mac, r.ifr_hwaddr.sa_data, 6);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
    close(fd);
    return true;
}

/* All of it, or the test is left out, which is said aloud. */
static void begin(struct cable *c)
{
    struct xdp_config config = {.port = PORT, .max_pairs = MAX_PAIRS};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct xdp_link links[XDP_INTERFACES];
    struct err_detail detail = {.text = ""};

    *c = (struct cable){.tap = -1, .udp = -1};
    if (unshare(CLONE_NEWNET) != 0 || !make_tap(c)) {
        printf("  SKIP  XDP on a real interface: no namespace or tap device: %s\n", strerror(errno));
        skip();
    }
    c->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(c->udp, (struct sockaddr *)&any, sizeof any), 0);
    if (xdp_open(&config, &c->x, &detail) != ERR_OK) {
        close(c->udp);
        close(c->tap);
        printf("  SKIP  XDP on a real interface: %s\n", detail.text);
        skip();
    }
    assert_int_equal(xdp_links(c->x, links), 1);
    assert_string_equal(links[0].name, "tap0");
    assert_true(links[0].is_native);
    c->ends[0] = (struct xdp_end){at("10.9.0.5:1111"), 0x4001, 0};
    c->ends[1] = (struct xdp_end){at("10.9.0.6:2222"), 0x4abc, 0};
}

static void end(struct cable *c)
{
    xdp_close(c->x);
    close(c->udp);
    close(c->tap);
}

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* A peer outside has no ChannelData header, and goes by a port of its own. */
static size_t frame_len(const struct xdp_end *e)
{
    return e->channel != 0 ? FRAME : FRAME - 4;
}

static uint16_t port_for(const struct xdp_end *e)
{
    return e->channel != 0 ? PORT : e->port;
}

/* ChannelData of ends[who], from a MAC that tells who. */
static void send_from(struct cable *c, int who)
{
    const struct xdp_end *e = &c->ends[who];
    const struct addr us = at("10.9.0.1:3478");
    size_t len = frame_len(e), udp = len - 34;
    uint8_t f[FRAME] = {0};

    memcpy(f, c->mac, 6);
    f[6] = 2;
    f[11] = (uint8_t)(0x50 + who);
    put16(f + 12, 0x0800);
    f[14] = 0x45;
    put16(f + 16, (uint32_t)len - 14);
    f[22] = 50;
    f[23] = 17;
    memcpy(f + 26, e->client.ip, 4);
    memcpy(f + 30, us.ip, 4);
    put16(f + 24, ~sum16(0, f + 14, 20));
    put16(f + 34, e->client.port);
    put16(f + 36, port_for(e));
    put16(f + 38, (uint32_t)udp);
    put16(f + 42, e->channel);
    put16(f + 44, DATA);
    memset(f + len - DATA, 0x80 + who, DATA);
    put16(f + 40, ~sum16(sum16(17 + (uint32_t)udp, f + 26, 8), f + 34, udp));
    assert_int_equal(write(c->tap, f, len), len);
}

static bool is_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

/* The frame that comes out next, for ends[to]: the interface may say other things, too. */
static void expect_frame(struct cable *c, int to)
{
    const struct xdp_end *e = &c->ends[to];
    size_t len = frame_len(e), udp = len - 34;
    uint8_t f[2048];
    ssize_t n = 0;

    while (is_readable(c->tap, PATIENT_MS)) {
        n = read(c->tap, f, sizeof f);
        if (n == (ssize_t)len && f[23] == 17)
            break;
    }
    assert_int_equal(n, len);
    assert_int_equal(f[5], 0x50 + to); /* to the MAC it was heard from */
    assert_memory_equal(f + 6, c->mac, 6);
    assert_memory_equal(f + 30, e->client.ip, 4);
    assert_int_equal(f[36] << 8 | f[37], e->client.port);
    assert_int_equal(f[34] << 8 | f[35], port_for(e));
    assert_int_equal(f[38] << 8 | f[39], udp);
    if (e->channel != 0)
        assert_int_equal((f[42] << 24 | f[43] << 16 | f[44] << 8 | f[45]), e->channel << 16 | DATA);
    for (size_t i = len - DATA; i < len; i++)
        assert_int_equal(f[i], 0x80 + (1 - to));
    assert_int_equal(sum16(0, f + 14, 20), 0xffff);
    assert_int_equal(sum16(sum16(17 + (uint32_t)udp, f + 26, 8), f + 34, udp), 0xffff);
}

static void expect_at_socket(struct cable *c)
{
    uint8_t data[2048];

    assert_true(is_readable(c->udp, PATIENT_MS));
    assert_int_equal(recv(c->udp, data, sizeof data, 0), 4 + DATA);
}

static void round_trip(struct cable *c)
{
    send_from(c, 0);
    expect_frame(c, 1);
    send_from(c, 1);
    expect_frame(c, 0);
}

static void carried(void **state)
{
    struct cable c;
    struct xdp_count count[2];
    ns_t now = now_ns();
    uint32_t pair;

    (void)state;
    begin(&c);
    send_from(&c, 0);
    expect_at_socket(&c); /* nobody has asked for anything */
    pair = xdp_add(c.x, now, c.ends);
    assert_true(pair != 0);
    send_from(&c, 0);
    expect_at_socket(&c); /* not lent yet */
    for (int i = 0; i < 2; i++)
        xdp_renew(c.x, pair, i, now + 60 * NS_PER_S, UINT64_MAX);
    send_from(&c, 0);
    expect_at_socket(&c); /* where the other one is was not heard yet */
    send_from(&c, 1);
    expect_frame(&c, 0);
    for (int i = 0; i < 100; i++)
        round_trip(&c);
    assert_int_equal(xdp_count(c.x, pair, 0).packets, 100);
    assert_int_equal(xdp_count(c.x, pair, 1).packets, 101);
    assert_int_equal(xdp_count(c.x, pair, 1).bytes, 101 * DATA);
    xdp_renew(c.x, pair, 0, now, UINT64_MAX);
    send_from(&c, 0);
    expect_at_socket(&c); /* its time is over, that of the other direction is not */
    send_from(&c, 1);
    expect_frame(&c, 0);
    xdp_remove(c.x, now, pair, count);
    assert_int_equal(count[0].packets, 100);
    assert_int_equal(count[1].bytes, 102 * DATA);
    send_from(&c, 1);
    expect_at_socket(&c);
    end(&c);
}

static void peer_outside(void **state)
{
    struct cable c;
    struct xdp_count count[2];
    ns_t now = now_ns();
    uint32_t pair;

    (void)state;
    begin(&c);
    c.ends[1].channel = 0;
    c.ends[1].port = 40000; /* no relayed port is so low */
    assert_int_equal(xdp_add(c.x, now, c.ends), 0);
    c.ends[1].port = 50000;
    pair = xdp_add(c.x, now, c.ends);
    assert_true(pair != 0);
    for (int i = 0; i < 2; i++)
        xdp_renew(c.x, pair, i, now + 60 * NS_PER_S, UINT64_MAX);
    send_from(&c, 0);
    expect_at_socket(&c);
    send_from(&c, 1);
    expect_frame(&c, 0);
    for (int i = 0; i < 100; i++)
        round_trip(&c);
    xdp_remove(c.x, now, pair, count);
    assert_int_equal(count[0].bytes, 100 * DATA);
    assert_int_equal(count[1].bytes, 101 * DATA);
    end(&c);
}

static void again(void **state)
{
    struct cable c;
    struct xdp_count count[2];
    ns_t now = now_ns();
    uint32_t pair = 0;

    (void)state;
    begin(&c);
    for (int i = 0; i < 2; i++) { /* a call that comes back while the places of the first one rest */
        pair = xdp_add(c.x, now, c.ends);
        assert_true(pair != 0);
        for (int k = 0; k < 2; k++)
            xdp_renew(c.x, pair, k, now + 60 * NS_PER_S, UINT64_MAX);
        send_from(&c, 0);
        expect_at_socket(&c);
        send_from(&c, 1);
        expect_frame(&c, 0);
        round_trip(&c);
        assert_int_equal(xdp_count(c.x, pair, 0).packets, 1); /* from its own beginning */
        if (i == 0)
            xdp_remove(c.x, now, pair, count);
    }
    xdp_close(c.x); /* with the call in it */
    c.x = NULL;
    send_from(&c, 0);
    expect_at_socket(&c); /* the program is gone */
    end(&c);
}

static void caps(void **state)
{
    struct cable c;
    struct xdp_count count[2];
    ns_t now = now_ns();
    uint32_t pairs[MAX_PAIRS];

    (void)state;
    begin(&c);
    for (int i = 0; i < MAX_PAIRS; i++) {
        pairs[i] = xdp_add(c.x, now, c.ends);
        assert_true(pairs[i] != 0);
        if (i == 0)
            assert_int_equal(xdp_add(c.x, now, c.ends), 0); /* that client and channel is there already */
        c.ends[0].client.port++;
        c.ends[1].client.port++;
    }
    assert_int_equal(xdp_add(c.x, now, c.ends), 0);
    xdp_remove(c.x, now, pairs[1], count);
    c.ends[0].client = at("[2001:db8::5]:1111"); /* of one family only */
    assert_int_equal(xdp_add(c.x, now, c.ends), 0);
    c.ends[1].client = at("[2001:db8::6]:2222"); /* no way there */
    assert_int_equal(xdp_add(c.x, now, c.ends), 0);
    c.ends[0].client = at("10.9.0.5:7");
    c.ends[1].client = at("10.9.0.6:7");
    c.ends[1].client.scope = ADDR_STREAM | 1; /* by TCP */
    assert_int_equal(xdp_add(c.x, now, c.ends), 0);
    c.ends[1].client.scope = 0;
    assert_true(xdp_add(c.x, now, c.ends) != 0);
    end(&c);
}

static void refused(void **state)
{
    struct xdp_config config = {.port = PORT, .max_pairs = MAX_PAIRS};
    struct err_detail detail = {.text = ""};
    struct xdp *x = NULL;

    (void)state;
    if (unshare(CLONE_NEWNET) != 0) {
        printf("  SKIP  XDP without an interface: no namespace: %s\n", strerror(errno));
        skip();
    }
    assert_int_not_equal(xdp_open(&config, &x, &detail), ERR_OK); /* loopback only, which nobody asked for */
    assert_null(x);
    assert_true(detail.text[0] != '\0');
    xdp_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a call that was lent turns round in the driver, and is counted", carried),
        sentence("a peer outside gets and sends no ChannelData header", peer_outside),
        sentence("a call comes back at once, and leaves with the program", again),
        sentence("pairs have a cap, a key is there once, and both ends are of one family", caps),
        sentence("without an interface there is no program, and a reason", refused),
    };

    return run_sentences("xdp", tests);
}
