#include "io/http.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/mem.h"
#include "io/http_request.h"

struct client {
    struct http *owner; /* NULL: closing */
    uv_tcp_t tcp;
    uv_timer_t timer;
    unsigned n_handles;
    uv_write_t write;
    char *answer;
    size_t len;
    uint8_t head[HTTP_HEAD_MAX];
};

struct http {
    struct http_config config;
    uv_tcp_t tcp;
    struct client *clients[HTTP_CLIENTS];
};

static void free_client(uv_handle_t *handle)
{
    struct client *c = handle->data;

    if (--c->n_handles > 0)
        return;
    mem_free(c->answer);
    mem_free(c);
}

static void drop(struct client *c)
{
    if (c->owner == NULL)
        return;
    for (int i = 0; i < HTTP_CLIENTS; i++)
        if (c->owner->clients[i] == c)
            c->owner->clients[i] = NULL;
    c->owner = NULL;
    uv_close((uv_handle_t *)&c->tcp, free_client);
    uv_close((uv_handle_t *)&c->timer, free_client);
}

static void on_timeout(uv_timer_t *timer)
{
    drop(timer->data);
}

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    drop(req->data);
}

/* The status line and fields, then the body unless only the head was asked for. */
static void answer(struct client *c, const char *status, const char *more, const char *type, const char *body,
                   bool has_body)
{
    uv_buf_t buf;

    c->answer =
        mem_printf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%s",
                   status, type, strlen(body), more, has_body ? body : "");
    buf = uv_buf_init(c->answer, (unsigned)strlen(c->answer));
    uv_read_stop((uv_stream_t *)&c->tcp);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0)
        drop(c);
}

static void serve(struct client *c, const struct http_request *r)
{
    const struct http_config *config = &c->owner->config;
    char *page;

    if (strcmp(r->path, config->path) != 0) {
        answer(c, "404 Not Found", "", "text/plain", "not found\n", r->method != HTTP_HEAD);
    } else if (r->method == HTTP_OTHER) {
        answer(c, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", "text/plain", "GET or HEAD\n", true);
    } else {
        page = config->page(config->arg);
        answer(c, "200 OK", "", config->type, page, r->method == HTTP_GET);
        mem_free(page);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *c = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)c->head + c->len, (unsigned)(sizeof c->head - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    struct http_request r;

    (void)buf;
    if (n < 0) {
        drop(c);
        return;
    }
    c->len += (size_t)n;
    switch (http_request_parse(slice_of(c->head, c->len), &r)) {
    case ERR_AGAIN:
        break;
    case ERR_OK:
        serve(c, &r);
        break;
    case ERR_FULL:
        answer(c, "431 Request Header Fields Too Large", "", "text/plain", "too long\n", true);
        break;
    default:
        answer(c, "400 Bad Request", "", "text/plain", "bad request\n", true);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct http *h = server->data;
    struct client *c;
    int slot = 0;

    if (status != 0)
        return;
    c = mem_alloc(sizeof *c);
    c->owner = h;
    c->n_handles = 2;
    uv_tcp_init(server->loop, &c->tcp);
    uv_timer_init(server->loop, &c->timer);
    c->tcp.data = c->timer.data = c;
    while (slot < HTTP_CLIENTS && h->clients[slot] != NULL)
        slot++;
    if (uv_accept(server, (uv_stream_t *)&c->tcp) != 0 || slot == HTTP_CLIENTS) {
        drop(c);
        return;
    }
    h->clients[slot] = c;
    uv_timer_start(&c->timer, on_timeout, HTTP_IDLE_MS, 0);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

static void free_http(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void fill_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (a->family == ADDR_V4) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
        memcpy(&v4->sin_addr, a->ip, 4);
    } else {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(a->port);
        memcpy(&v6->sin6_addr, a->ip, 16);
    }
}

enum err http_listen(struct io *io, const struct http_config *config, struct http **out,
                     struct err_detail *detail)
{
    char text[ADDR_TEXT_BYTES];
    struct sockaddr_storage ss;
    struct http *h;
    int r;

    *out = NULL;
    if (addr_class(&config->bind) != ADDR_LOOPBACK)
        return err_set(detail, ERR_REFUSED, "%s: not a loopback address", addr_print(&config->bind, text));
    h = mem_alloc(sizeof *h);
    h->config = *config;
    fill_sockaddr(&config->bind, &ss);
    uv_tcp_init(io_uv(io), &h->tcp);
    h->tcp.data = h;
    r = uv_tcp_bind(&h->tcp, (struct sockaddr *)&ss, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&h->tcp, HTTP_CLIENTS, on_connection);
    if (r != 0) {
        uv_close((uv_handle_t *)&h->tcp, free_http);
        return err_set(detail, ERR_IO, "%s: cannot listen: %s", addr_print(&config->bind, text),
                       uv_strerror(r));
    }
    *out = h;
    return ERR_OK;
}

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    for (int i = 0; i < HTTP_CLIENTS; i++)
        if (h->clients[i] != NULL)
            drop(h->clients[i]);
    uv_close((uv_handle_t *)&h->tcp, free_http);
}

uint16_t http_port(const struct http *h)
{
    struct sockaddr_storage ss;
    int len = sizeof ss;

    if (uv_tcp_getsockname(&h->tcp, (struct sockaddr *)&ss, &len) != 0)
        return 0;
    return ss.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&ss)->sin_port)
                                   : ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
}
