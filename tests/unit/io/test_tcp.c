#include "unit/io/bench.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "io/tcp.h"

#define PACKETS 200

struct ends {
    struct bench b;
    struct tcp *server, *client;
    struct addr at, from; /* the client's connection; as the server sees it */
    unsigned n_server, n_client, wanted, n_gone_server, n_gone_client;
    bool is_echo, is_same, closes;
    uint8_t kinds[256];
};

/* A datagram of each kind that may come, of a length that follows from its number. */
static struct slice make(uint8_t buf[static 2048], unsigned i)
{
    static const uint8_t first[] = {0, 0x40, 0xc0, 0xff, 0x7f};
    size_t n = 24 + i * 7 % 1500;

    for (size_t k = 0; k < n; k++)
        buf[k] = (uint8_t)(i + k);
    buf[0] = first[i % sizeof first];
    if (buf[0] < 192) {
        size_t len = n - (buf[0] == 0 ? 20 : 4);

        buf[2] = (uint8_t)(len >> 8);
        buf[3] = (uint8_t)len;
    }
    return slice_of(buf, n);
}

static void server_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct ends *e = arg;

    (void)now;
    e->from = *from;
    e->n_server++;
    if (e->closes)
        tcp_close(e->server, from);
    else if (e->is_echo)
        tcp_send(e->server, from, bytes);
}

static void client_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct ends *e = arg;
    uint8_t buf[2048];
    struct slice want = make(buf, e->n_client++);

    (void)now;
    e->is_same = e->is_same && slice_equal(bytes, want) && from->scope == e->at.scope;
}

static void server_gone(void *arg, ns_t now, const struct addr *who)
{
    struct ends *e = arg;

    (void)now;
    assert_int_equal(who->scope, e->from.scope);
    e->n_gone_server++;
}

static void client_gone(void *arg, ns_t now, const struct addr *who)
{
    struct ends *e = arg;

    (void)now;
    assert_int_equal(who->scope, e->at.scope);
    e->n_gone_client++;
}

static void begin(struct ends *e)
{
    struct tcp_ops server = {server_recv, server_gone, e}, client = {client_recv, client_gone, e};

    *e = (struct ends){.is_echo = true, .is_same = true};
    bench_make(&e->b, "x");
    e->server = tcp_create(e->b.io, &server);
    e->client = tcp_create(e->b.io, &client);
    assert_int_equal(tcp_listen(e->server, 0, true, false, NULL), ERR_OK);
    assert_int_not_equal(tcp_port(e->server), 0);
}

static void end(struct ends *e)
{
    tcp_destroy(e->server);
    tcp_destroy(e->client);
    bench_end(&e->b);
}

static void connect_client(struct ends *e, bool is_tls)
{
    struct addr to;

    assert_int_equal(addr_parse("127.0.0.1", &to), ERR_OK);
    to.port = tcp_port(e->server);
    assert_int_equal(tcp_connect(e->client, &to, is_tls, &e->at), ERR_OK);
    assert_true(addr_is_stream(&e->at));
    assert_int_equal(e->at.port, to.port);
}

static bool all_back(void *arg)
{
    struct ends *e = arg;

    return e->n_client >= e->wanted;
}

static void echo(bool is_tls)
{
    struct ends e;
    uint8_t buf[2048];
    unsigned given = 0;

    begin(&e);
    connect_client(&e, is_tls);
    while (given < PACKETS) { /* the first ones before the connection is there */
        for (int i = 0; i < 5; i++)
            tcp_send(e.client, &e.at, make(buf, given++));
        e.wanted = given;
        assert_true(bench_run(&e.b, all_back, &e));
    }
    assert_true(e.is_same);
    assert_int_equal(e.n_server, PACKETS);
    assert_int_equal(tcp_stats(e.server)->tls, is_tls ? 1 : 0);
    assert_int_equal(tcp_stats(e.server)->lost + tcp_stats(e.client)->lost, 0);
    tcp_close(e.client, &e.at);
    tcp_send(e.client, &e.at, make(buf, 0)); /* to nobody */
    assert_int_equal(tcp_stats(e.client)->lost, 1);
    end(&e);
    assert_int_equal(e.n_gone_client, 0);
}

static void over_tcp(void **state)
{
    (void)state;
    echo(false);
}

static void over_tls(void **state)
{
    (void)state;
    echo(true);
}

static bool is_gone(void *arg)
{
    struct ends *e = arg;

    return e->n_gone_server + e->n_gone_client >= e->wanted;
}

static void other_side_closes(void **state)
{
    struct ends e;
    uint8_t buf[2048];

    (void)state;
    begin(&e);
    e.closes = true;
    e.wanted = 1;
    connect_client(&e, false);
    tcp_send(e.client, &e.at, make(buf, 0));
    assert_true(bench_run(&e.b, is_gone, &e));
    assert_int_equal(e.n_gone_client, 1);
    assert_int_equal(e.n_gone_server, 0); /* it did it itself */
    assert_int_equal(tcp_stats(e.server)->connections, 0);
    end(&e);
}

static void nobody_listens(void **state)
{
    struct ends e;
    struct addr to;

    (void)state;
    begin(&e);
    e.wanted = 1;
    addr_parse("127.0.0.1:1", &to);
    if (tcp_connect(e.client, &to, true, &e.at) == ERR_OK) {
        assert_true(bench_run(&e.b, is_gone, &e));
        assert_int_equal(e.n_gone_client, 1);
    }
    end(&e);
}

/* ---- a stranger with a plain socket ---- */

static bool has_broken(void *arg)
{
    struct ends *e = arg;

    return tcp_stats(e->server)->broken + tcp_stats(e->server)->refused >= e->wanted;
}

static int stranger(struct ends *e, const void *bytes, size_t n)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(tcp_port(e->server))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    return fd;
}

static void garbage(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } texts[] = {{"GET / HTTP/1.1\r\n\r\n", 18},
                 {"\x16\x03\x01\0\x05hello, no TLS", 18},
                 {"d1:ad2:id20:", 12},
                 {"\x80\x6f\0\1....", 8},
                 {"\xff\0\0\x05"
                  "x1:ad",
                  9}};
    struct ends e;
    int fds[5];

    (void)state;
    begin(&e);
    e.wanted = 5;
    for (int i = 0; i < 5; i++)
        fds[i] = stranger(&e, texts[i].bytes, texts[i].n);
    assert_true(bench_run(&e.b, has_broken, &e));
    assert_int_equal(e.n_server, 0);
    assert_int_equal(e.n_gone_server, 0);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    end(&e);
}

static void too_many(void **state)
{
    struct ends e;
    int fds[TCP_PER_SOURCE + 3];

    (void)state;
    begin(&e);
    e.wanted = 3;
    for (int i = 0; i < TCP_PER_SOURCE + 3; i++)
        fds[i] = stranger(&e, "\x00", 1);
    assert_true(bench_run(&e.b, has_broken, &e));
    assert_int_equal(tcp_stats(e.server)->connections, TCP_PER_SOURCE);
    for (int i = 0; i < TCP_PER_SOURCE + 3; i++)
        close(fds[i]);
    end(&e);
}

static bool is_full(void *arg)
{
    struct ends *e = arg;

    return e->n_server >= e->wanted;
}

static void slow_reader(void **state)
{
    struct ends e;
    uint8_t buf[2048], *bytes;
    size_t n = 0;
    int fd;

    (void)state;
    begin(&e);
    bytes = mem_alloc(1 << 20);
    while (n < (1 << 20) - 2048) {
        struct slice d = make(buf, 4); /* ChannelData, 52 bytes */

        memcpy(bytes + n, d.data, d.len);
        n += d.len;
        e.wanted++;
    }
    fd = stranger(&e, "", 0);
    for (int i = 0; i < 40; i++) { /* asks for 40 MB in answers and reads none */
        size_t at = 0;

        while (at < n) {
            ssize_t sent = send(fd, bytes + at, n - at, MSG_DONTWAIT);
            unsigned before = e.n_server;

            at += sent > 0 ? (size_t)sent : 0;
            e.wanted = before + 1;
            if (sent <= 0 && !bench_run(&e.b, is_full, &e))
                fail_msg("the server no longer reads");
        }
    }
    assert_true(tcp_stats(e.server)->lost > 0);
    assert_int_equal(tcp_stats(e.server)->broken, 0);
    close(fd);
    mem_free(bytes);
    end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("datagrams of all kinds come back over TCP, the first from before it is up", over_tcp),
        sentence("the same over TLS, with a certificate that nobody checks", over_tls),
        sentence("the other side closes: gone is told once", other_side_closes),
        sentence("a connection that never comes about is told as gone", nobody_listens),
        sentence("streams that are no frames, or no TLS, are closed unheard", garbage),
        sentence("one source has so many connections and no more", too_many),
        sentence("who does not read loses datagrams, and takes no memory", slow_reader),
    };

    return run_sentences("tcp", tests);
}
