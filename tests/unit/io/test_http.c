#include "unit/io/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "io/http.h"
#include "io/http_request.h"

#define ANSWER_BYTES (2u << 20)

struct desk {
    struct bench b;
    struct http *http;
    int fd;
    char *answer;
    size_t len, page_bytes;
    bool is_over;
    unsigned n_pages;
};

static char *on_page(void *arg)
{
    struct desk *d = arg;
    char *text = mem_alloc(d->page_bytes + 1);

    d->n_pages++;
    memset(text, 'x', d->page_bytes);
    return text;
}

static void begin(struct desk *d)
{
    struct http_config config = {.path = "/metrics", .type = "text/plain", .page = on_page, .arg = d};
    struct err_detail detail;

    memset(d, 0, sizeof *d);
    d->fd = -1;
    d->page_bytes = 10;
    bench_make(&d->b, "unused");
    d->answer = mem_alloc(ANSWER_BYTES);
    assert_int_equal(addr_parse("127.0.0.1:1", &config.bind), ERR_OK);
    config.bind.port = 0;
    assert_int_equal(http_listen(d->b.io, &config, &d->http, &detail), ERR_OK);
}

static void end(struct desk *d)
{
    http_close(d->http);
    mem_free(d->answer);
    bench_end(&d->b);
}

static int connect_to(const struct desk *d)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons(http_port(d->http)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    return fd;
}

static void on_readable(void *arg, ns_t now)
{
    struct desk *d = arg;
    ssize_t n = recv(d->fd, d->answer + d->len, ANSWER_BYTES - 1 - d->len, MSG_DONTWAIT);

    (void)now;
    if (n > 0)
        d->len += (size_t)n;
    d->is_over = n == 0 || (n < 0 && errno != EAGAIN);
}

static bool is_over(void *arg)
{
    return ((struct desk *)arg)->is_over;
}

/* What comes back for these bytes, until the other end closes. */
static const char *ask(struct desk *d, const char *text, size_t len)
{
    d->fd = connect_to(d);
    d->len = 0;
    d->is_over = false;
    assert_int_equal(send(d->fd, text, len, 0), (ssize_t)len);
    assert_int_equal(io_watch_fd(d->b.io, d->fd, on_readable, d), ERR_OK);
    assert_true(bench_run(&d->b, is_over, d));
    io_unwatch_fd(d->b.io, d->fd);
    close(d->fd);
    d->answer[d->len] = '\0';
    return d->answer;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static const char *asked(struct desk *d, const char *text)
{
    return ask(d, text, strlen(text));
}

static void a_page(void **state)
{
    struct desk d;
    const char *text;

    (void)state;
    begin(&d);
    text = asked(&d, "GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    assert_true(begins(text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n"));
    assert_non_null(strstr(text, "\r\n\r\nxxxxxxxxxx"));
    text = asked(&d, "HEAD /metrics HTTP/1.0\n\n");
    assert_true(begins(text, "HTTP/1.1 200 OK\r\n"));
    assert_string_equal(text + d.len - 4, "\r\n\r\n");
    d.page_bytes = 1u << 20;
    text = asked(&d, "GET /metrics HTTP/1.1\r\n\r\n");
    assert_true(d.len > d.page_bytes);
    end(&d);
}

static void the_rest(void **state)
{
    static const struct {
        const char *request, *answer;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 "},
        {"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 400 "},
        {"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /metrics HTTP/2.0\r\n\r\n", "HTTP/1.1 400 "},
        {"GET metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET  HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", "HTTP/1.1 400 "},
        {"\r\n\r\n", "HTTP/1.1 400 "},
        {"\x16\x03\x01\x02\n\n", "HTTP/1.1 400 "},
    };
    struct desk d;

    (void)state;
    begin(&d);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!begins(asked(&d, rows[i].request), rows[i].answer))
            fail_msg("%s: %.40s", rows[i].request, d.answer);
    assert_int_equal(d.n_pages, 0);
    end(&d);
}

static void too_long(void **state)
{
    char text[HTTP_HEAD_MAX + 1] = "GET /metrics HTTP/1.1\r\nA: ";
    struct http_request r;
    struct desk d;

    (void)state;
    begin(&d);
    memset(text + strlen(text), 'a', sizeof text - 1 - strlen(text));
    assert_int_equal(http_request_parse(slice_of(text, HTTP_HEAD_MAX - 1), &r), ERR_AGAIN);
    assert_true(begins(ask(&d, text, HTTP_HEAD_MAX), "HTTP/1.1 431 "));
    snprintf(text, sizeof text, "GET /%070d HTTP/1.1\r\n\r\n", 0);
    assert_true(begins(asked(&d, text), "HTTP/1.1 431 "));
    end(&d);
}

/* Those who connect and say nothing hold all places, until their time is up. */
static void silence_ends(void **state)
{
    struct desk d;
    int fds[HTTP_CLIENTS];
    ns_t began = io_now();

    (void)state;
    begin(&d);
    for (int i = 0; i < HTTP_CLIENTS; i++)
        fds[i] = connect_to(&d);
    d.fd = fds[0];
    assert_int_equal(io_watch_fd(d.b.io, d.fd, on_readable, &d), ERR_OK);
    assert_true(bench_run(&d.b, is_over, &d));
    io_unwatch_fd(d.b.io, d.fd);
    assert_in_range((io_now() - began) / NS_PER_MS, HTTP_IDLE_MS - 100, HTTP_IDLE_MS + 5000);
    for (int i = 0; i < HTTP_CLIENTS; i++)
        close(fds[i]);
    assert_true(begins(asked(&d, "GET /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 "));
    end(&d);
}

static void loopback_only(void **state)
{
    static const char *const bad[] = {"0.0.0.0:9100", "192.168.1.2:9100", "203.0.113.5:9100", "[::]:9100",
                                      "[2001:db8::1]:9100"};
    struct desk d;

    (void)state;
    begin(&d);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http_config config = {.path = "/", .type = "", .page = on_page, .arg = &d};
        struct err_detail detail;
        struct http *h;

        assert_int_equal(addr_parse(bad[i], &config.bind), ERR_OK);
        assert_int_equal(http_listen(d.b.io, &config, &h, &detail), ERR_REFUSED);
        assert_non_null(strstr(detail.text, "not a loopback address"));
    }
    end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a page for GET, its head for HEAD, a big one whole", a_page),
        sentence("everything else gets a short no, and makes no page", the_rest),
        sentence("a head or path over its cap is 431", too_long),
        sentence("who says nothing is cut off, and others get their turn", silence_ends),
        sentence("no address but loopback", loopback_only),
    };

    return run_sentences("http", tests);
}
