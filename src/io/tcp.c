#include "io/tcp.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/mem.h"
#include "io/frame.h"
#include "io/tls.h"

#define TLS_HANDSHAKE  22 /* RFC 8446 §5.1 */
#define READ_BYTES     65536
#define BACKLOG        128
#define SWEEP_MS       2000
#define EARLY_BYTES    8192
#define GENERATION_MAX 0xfffff /* with the slot, 31 bits of scope */

enum link_state { CONNECTING, OPEN, CLOSED };

struct connection {
    uv_tcp_t handle;
    struct tcp *owner;
    struct addr addr;
    enum link_state state;
    bool knows_kind, has_received, was_asked_for, is_writing;
    struct tls *tls; /* NULL: plain TCP */
    ns_t opened_at, heard_at;
    uint8_t *rest; /* of a frame that has not come whole; FRAME_BYTES_MAX */
    size_t n_rest;
    uint8_t *early; /* frames given before TLS was up; EARLY_BYTES */
    size_t n_early;
    uint8_t *queue; /* to be written when the socket takes more; TCP_QUEUE_MAX */
    size_t n_queue;
    uv_connect_t connect;
    uv_write_t write;
    size_t n_writing;
};

struct tcp {
    struct io *io;
    struct tcp_ops ops;
    uv_tcp_t listener;
    uv_timer_t sweep;
    bool is_listening, has_no_tls; /* has_no_tls: the library failed once */
    uint16_t port;
    struct connection *slots[TCP_CONNECTIONS];
    uint32_t generation;
    unsigned n_queues;
    unsigned n_open; /* handles that libuv still holds */
    bool is_dead;
    struct tls_context *server, *client;
    struct tcp_stats stats;
    uint8_t data[READ_BYTES], clear[READ_BYTES];
};

static void write_queue(struct connection *c);

/* ---- slots ---- */

static struct connection *find(const struct tcp *t, const struct addr *a)
{
    struct connection *c = addr_is_stream(a) ? t->slots[a->scope & (TCP_CONNECTIONS - 1)] : NULL;

    return c != NULL && c->addr.scope == a->scope ? c : NULL;
}

static bool same_source(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == ADDR_V4 ? 4 : 8) == 0;
}

/* A slot for one more from there; -1 over a cap. */
static int free_slot(const struct tcp *t, const struct addr *from)
{
    int slot = -1;
    unsigned n_same = 0;

    for (int i = 0; i < TCP_CONNECTIONS; i++) {
        if (t->slots[i] == NULL)
            slot = slot < 0 ? i : slot;
        else
            n_same += same_source(&t->slots[i]->addr, from);
    }
    return n_same < TCP_PER_SOURCE ? slot : -1;
}

static void maybe_free(struct tcp *t)
{
    if (!t->is_dead || t->n_open > 0)
        return;
    tls_context_destroy(t->server);
    tls_context_destroy(t->client);
    mem_free(t);
}

static void free_queue(struct connection *c)
{
    c->owner->n_queues -= c->queue != NULL;
    mem_free(c->queue);
    c->queue = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct tcp *t = c->owner;

    tls_destroy(c->tls);
    mem_free(c->rest);
    free_queue(c);
    mem_free(c->early);
    mem_free(c);
    t->n_open--;
    maybe_free(t);
}

static void close_connection(struct connection *c, bool tells)
{
    struct tcp *t = c->owner;
    struct addr who = c->addr;

    if (c->state == CLOSED)
        return;
    c->state = CLOSED;
    t->slots[who.scope & (TCP_CONNECTIONS - 1)] = NULL;
    t->stats.connections--;
    t->stats.tls -= c->tls != NULL;
    uv_close((uv_handle_t *)&c->handle, on_closed);
    if (tells && (c->has_received || c->was_asked_for) && !t->is_dead)
        t->ops.gone(t->ops.arg, io_now(), &who);
}

/* ---- in ---- */

static struct slice after(struct slice s, size_t n)
{
    return slice_of(s.data + n, s.len - n);
}

/* Frames of these bytes, as many as are whole; how many bytes they were. False: the stream is broken. */
static bool take_frames(struct connection *c, ns_t now, struct slice bytes, size_t *taken)
{
    struct frame f;
    enum err e;

    *taken = 0;
    while ((e = frame_read(after(bytes, *taken), &f)) == ERR_OK) {
        *taken += f.bytes;
        c->has_received = true;
        c->heard_at = now;
        c->owner->ops.recv(c->owner->ops.arg, now, &c->addr, f.datagram);
        if (c->state == CLOSED)
            return true;
    }
    return e == ERR_AGAIN;
}

/* Clear bytes of the stream: whole frames are taken where they lie, what is left waits in rest. */
static bool take_clear(struct connection *c, ns_t now, struct slice bytes)
{
    size_t taken, n;

    while (bytes.len > 0 && c->n_rest > 0) {
        n = FRAME_BYTES_MAX - c->n_rest < bytes.len ? FRAME_BYTES_MAX - c->n_rest : bytes.len;
        memcpy(c->rest + c->n_rest, bytes.data, n);
        c->n_rest += n;
        bytes = after(bytes, n);
        if (!take_frames(c, now, slice_of(c->rest, c->n_rest), &taken))
            return false;
        if (c->state == CLOSED)
            return true;
        if (taken == 0 && c->n_rest == FRAME_BYTES_MAX)
            return false;
        c->n_rest -= taken;
        memmove(c->rest, c->rest + taken, c->n_rest);
    }
    if (bytes.len == 0)
        return true;
    if (!take_frames(c, now, bytes, &taken))
        return false;
    if (c->state == CLOSED || taken == bytes.len)
        return true;
    bytes = after(bytes, taken);
    if (bytes.len >= FRAME_BYTES_MAX)
        return false;
    if (c->rest == NULL)
        c->rest = mem_alloc(FRAME_BYTES_MAX);
    memcpy(c->rest, bytes.data, bytes.len);
    c->n_rest = bytes.len;
    return true;
}

static void send_tls_output(struct connection *c);

/* Made for the first who speaks TLS: a relay that nobody has asked for it keeps 2.6 MB less of the library. */
static struct tls_context *server_context(struct tcp *t)
{
    if (t->server == NULL && !t->has_no_tls) {
        t->server = tls_context_create(true);
        t->has_no_tls = t->server == NULL;
    }
    return t->server;
}

static bool take_bytes(struct connection *c, ns_t now, struct slice bytes)
{
    struct tcp *t = c->owner;
    size_t n;

    if (!c->knows_kind) {
        c->knows_kind = true;
        if (bytes.data[0] == TLS_HANDSHAKE && server_context(t) != NULL) {
            c->tls = tls_create(t->server);
            t->stats.tls += c->tls != NULL;
            t->stats.accepted_tls += c->tls != NULL;
        }
    }
    if (c->tls == NULL)
        return take_clear(c, now, bytes);
    if (tls_input(c->tls, bytes) != ERR_OK) {
        send_tls_output(c); /* an alert says why */
        return false;
    }
    send_tls_output(c);
    if (tls_is_ready(c->tls) && c->n_early > 0) {
        tls_write(c->tls, slice_of(c->early, c->n_early));
        c->n_early = 0;
        send_tls_output(c);
    }
    while (c->state == OPEN && (n = tls_read(c->tls, t->clear, sizeof t->clear)) > 0) {
        if (!take_clear(c, now, slice_of(t->clear, n)))
            return false;
    }
    return true;
}

static void on_alloc(uv_handle_t *handle, size_t wish, uv_buf_t *buf)
{
    struct connection *c = handle->data;

    (void)wish;
    *buf = uv_buf_init((char *)c->owner->data, sizeof c->owner->data);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;

    io_stay_loud(c->owner->io);
    if (n == 0 || c->state == CLOSED)
        return;
    if (n < 0) {
        close_connection(c, true);
    } else if (!take_bytes(c, io_now(), slice_of(buf->base, (size_t)n)) && c->state != CLOSED) {
        c->owner->stats.broken++;
        close_connection(c, true);
    }
}

/* ---- out ---- */

static void on_written(uv_write_t *req, int status)
{
    struct connection *c = req->data;

    c->is_writing = false;
    if (c->state == CLOSED)
        return;
    if (status < 0) {
        close_connection(c, true);
        return;
    }
    memmove(c->queue, c->queue + c->n_writing, c->n_queue - c->n_writing);
    c->n_queue -= c->n_writing;
    if (c->n_queue > 0)
        write_queue(c);
    else
        free_queue(c);
}

/* Bytes of the stream as they go on the wire: at once when the socket takes them, else behind what waits. */
static bool put_raw(struct connection *c, struct slice bytes)
{
    bool is_cut = false;

    if (c->n_queue == 0 && c->state == OPEN) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.len);
        int n = uv_try_write((uv_stream_t *)&c->handle, &buf, 1);

        if (n == (int)bytes.len)
            return true;
        if (n > 0)
            bytes = after(bytes, (size_t)n);
        is_cut = n > 0;
    }
    if (c->n_queue + bytes.len > TCP_QUEUE_MAX)
        return false;
    if (c->queue == NULL) {
        if (c->owner->n_queues >= TCP_QUEUES) {
            if (is_cut)
                close_connection(c, true); /* nobody can follow the stream on */
            return false;
        }
        c->owner->n_queues++;
        c->queue = mem_alloc(TCP_QUEUE_MAX);
    }
    memcpy(c->queue + c->n_queue, bytes.data, bytes.len);
    c->n_queue += bytes.len;
    if (c->state == OPEN)
        write_queue(c);
    return true;
}

static void send_tls_output(struct connection *c)
{
    uint8_t buf[4096];
    size_t n;

    while (c->state != CLOSED && (n = tls_output(c->tls, buf, sizeof buf)) > 0) {
        if (!put_raw(c, slice_of(buf, n))) { /* a record cut short: the stream is lost */
            close_connection(c, true);
            return;
        }
    }
}

static void write_queue(struct connection *c)
{
    uv_buf_t buf = uv_buf_init((char *)c->queue, (unsigned)c->n_queue);

    if (c->is_writing)
        return;
    c->is_writing = true;
    c->n_writing = c->n_queue;
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->handle, &buf, 1, on_written) != 0) {
        c->is_writing = false;
        close_connection(c, true);
    }
}

void tcp_send(struct tcp *t, const struct addr *to, struct slice datagram)
{
    struct connection *c = find(t, to);
    uint8_t buf[FRAME_BYTES_MAX];
    struct slice frame = frame_write(buf, datagram);
    bool is_sent = false;

    if (c == NULL || frame.len == 0) {
        t->stats.lost++;
        return;
    }
    if (c->tls == NULL) {
        is_sent = put_raw(c, frame);
    } else if (!tls_is_ready(c->tls)) {
        if (c->early == NULL)
            c->early = mem_alloc(EARLY_BYTES);
        is_sent = c->n_early + frame.len <= EARLY_BYTES;
        if (is_sent) {
            memcpy(c->early + c->n_early, frame.data, frame.len);
            c->n_early += frame.len;
        }
    } else if (c->n_queue < TCP_QUEUE_MAX / 2) { /* a sealed record has to go out whole */
        is_sent = tls_write(c->tls, frame) == ERR_OK;
        send_tls_output(c);
    }
    t->stats.lost += !is_sent;
}

/* ---- connections ---- */

static void on_sweep(uv_timer_t *timer)
{
    struct tcp *t = timer->data;
    ns_t now = io_now();

    io_stay_loud(t->io);
    for (int i = 0; i < TCP_CONNECTIONS; i++) {
        struct connection *c = t->slots[i];

        if (c != NULL &&
            (c->has_received ? now - c->heard_at > TCP_IDLE_NS : now - c->opened_at > TCP_FIRST_NS))
            close_connection(c, true);
    }
    if (t->stats.connections == 0)
        uv_timer_stop(&t->sweep);
}

static struct connection *make_connection(struct tcp *t)
{
    struct connection *c = mem_alloc(sizeof *c);

    c->owner = t;
    uv_tcp_init(io_uv(t->io), &c->handle);
    c->handle.data = c;
    t->n_open++;
    return c;
}

static void drop_connection(struct connection *c)
{
    c->state = CLOSED;
    uv_close((uv_handle_t *)&c->handle, on_closed);
}

/* Into a slot, under a number that was not used for long. */
static void take_slot(struct connection *c, int slot, const struct addr *addr)
{
    struct tcp *t = c->owner;

    t->generation = t->generation >= GENERATION_MAX ? 1 : t->generation + 1;
    c->addr = *addr;
    c->addr.scope = ADDR_STREAM | t->generation * TCP_CONNECTIONS | (uint32_t)slot;
    c->opened_at = c->heard_at = io_now();
    t->slots[slot] = c;
    if (t->stats.connections++ == 0)
        uv_timer_start(&t->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_tcp_nodelay(&c->handle, 1);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct tcp *t = listener->data;
    struct sockaddr_storage ss;
    int len = sizeof ss, slot = -1;
    struct connection *c;
    struct addr from;

    io_stay_loud(t->io);
    if (status < 0)
        return;
    c = make_connection(t);
    if (uv_accept(listener, (uv_stream_t *)&c->handle) == 0 &&
        uv_tcp_getpeername(&c->handle, (struct sockaddr *)&ss, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&ss, &from) == ERR_OK)
        slot = free_slot(t, &from);
    if (slot < 0) {
        t->stats.refused++;
        drop_connection(c);
        return;
    }
    c->state = OPEN;
    take_slot(c, slot, &from);
    t->stats.accepted++;
    uv_read_start((uv_stream_t *)&c->handle, on_alloc, on_read);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct connection *c = req->data;

    io_stay_loud(c->owner->io);
    if (c->state == CLOSED)
        return;
    if (status < 0) {
        close_connection(c, true);
        return;
    }
    c->state = OPEN;
    uv_read_start((uv_stream_t *)&c->handle, on_alloc, on_read);
    if (c->n_queue > 0)
        write_queue(c);
}

enum err tcp_connect(struct tcp *t, const struct addr *to, bool is_tls, struct addr *out)
{
    int slot = free_slot(t, to);
    struct sockaddr_storage ss;
    struct connection *c;

    if (slot < 0)
        return ERR_FULL;
    if (is_tls && t->client == NULL && (t->client = tls_context_create(false)) == NULL)
        return ERR_IO;
    addr_to_sockaddr(to, false, &ss);
    c = make_connection(t);
    c->knows_kind = c->was_asked_for = true;
    c->tls = is_tls ? tls_create(t->client) : NULL;
    c->connect.data = c;
    if ((is_tls && c->tls == NULL) ||
        uv_tcp_connect(&c->connect, &c->handle, (struct sockaddr *)&ss, on_connected) != 0) {
        drop_connection(c);
        return ERR_IO;
    }
    take_slot(c, slot, to);
    if (is_tls) {
        t->stats.tls++;
        send_tls_output(c); /* waits for the connection */
    }
    *out = c->addr;
    return ERR_OK;
}

void tcp_close(struct tcp *t, const struct addr *who)
{
    struct connection *c = find(t, who);

    if (c != NULL)
        close_connection(c, false);
}

/* ---- the whole ---- */

struct tcp *tcp_create(struct io *io, const struct tcp_ops *ops)
{
    struct tcp *t = mem_alloc(sizeof *t);

    t->io = io;
    t->ops = *ops;
    uv_timer_init(io_uv(io), &t->sweep);
    t->sweep.data = t;
    t->n_open = 1;
    return t;
}

enum err tcp_listen(struct tcp *t, uint16_t port, bool v4, bool v6, struct err_detail *detail)
{
    struct sockaddr_storage ss;
    struct addr any = {.family = v6 ? ADDR_V6 : ADDR_V4, .port = port}, self;
    int e = 0, len = sizeof ss;

    addr_to_sockaddr(&any, v6, &ss);
    uv_tcp_init(io_uv(t->io), &t->listener);
    t->listener.data = t;
    t->is_listening = true;
    t->n_open++;
    e = uv_tcp_bind(&t->listener, (struct sockaddr *)&ss, v6 && !v4 ? UV_TCP_IPV6ONLY : 0);
    if (e == 0)
        e = uv_listen((uv_stream_t *)&t->listener, BACKLOG, on_connection);
    if (e != 0)
        return err_set(detail, ERR_IO, "TCP port %u cannot be opened: %s", port, uv_strerror(e));
    if (uv_tcp_getsockname(&t->listener, (struct sockaddr *)&ss, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&ss, &self) == ERR_OK)
        t->port = self.port;
    return ERR_OK;
}

uint16_t tcp_port(const struct tcp *t)
{
    return t->port;
}

static void on_own_closed(uv_handle_t *handle)
{
    struct tcp *t = handle->data;

    t->n_open--;
    maybe_free(t);
}

void tcp_destroy(struct tcp *t)
{
    if (t == NULL)
        return;
    t->is_dead = true;
    for (int i = 0; i < TCP_CONNECTIONS; i++) {
        if (t->slots[i] != NULL)
            close_connection(t->slots[i], false);
    }
    uv_close((uv_handle_t *)&t->sweep, on_own_closed);
    if (t->is_listening)
        uv_close((uv_handle_t *)&t->listener, on_own_closed);
}

const struct tcp_stats *tcp_stats(const struct tcp *t)
{
    return &t->stats;
}
