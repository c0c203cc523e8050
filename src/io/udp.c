#include "io/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define BUFFER_BYTES       (1 << 20)
#define RELAY_BUFFER_BYTES (16 << 20)
#define QUEUE_BYTES        (UDP_DATAGRAM_BYTES * 8) /* of one batch to send */
#define WINDOW_NS          (100 * NS_PER_MS)
#define IN_BYTES           (UDP_HEADROOM + UDP_DATAGRAM_BYTES + UDP_HEADROOM)

/* What waits to leave by the main socket. */
struct queue {
    struct mmsghdr msgs[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    struct sockaddr_storage to[UDP_BATCH];
    unsigned n;
    size_t n_bytes;
    uint8_t data[QUEUE_BYTES];
};

struct udp_hub {
    struct udp *main; /* whose queue it is; NULL: none */
    unsigned depth;   /* datagrams are being handed out */
    bool was_short, has_read;
    ns_t window_at, other_at;    /* other_at: something came by another socket */
    uint32_t n_fast, per_window; /* in this window; in the last one */
    struct queue out;
    struct mmsghdr msgs[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    struct sockaddr_storage from[UDP_BATCH];
    uint8_t data[UDP_BATCH][IN_BYTES];
};

struct udp {
    struct io *io;
    struct udp_hub *hub;
    int fd;
    bool is_v6;
    uint16_t port;
    uint32_t link;
    uint64_t send_failures;
    udp_recv_cb recv;
    udp_fast_cb fast;
    void *arg;
};

/* ---- the hub ---- */

struct udp_hub *udp_hub_create(void)
{
    struct udp_hub *hub = mem_alloc(sizeof *hub);

    for (int i = 0; i < UDP_BATCH; i++) {
        hub->iov[i] = (struct iovec){.iov_base = hub->data[i] + UDP_HEADROOM, .iov_len = UDP_DATAGRAM_BYTES};
        hub->msgs[i].msg_hdr = (struct msghdr){.msg_name = &hub->from[i],
                                               .msg_namelen = sizeof hub->from[i],
                                               .msg_iov = &hub->iov[i],
                                               .msg_iovlen = 1};
        hub->out.msgs[i].msg_hdr =
            (struct msghdr){.msg_name = &hub->out.to[i], .msg_iov = &hub->out.iov[i], .msg_iovlen = 1};
    }
    return hub;
}

void udp_hub_destroy(struct udp_hub *hub)
{
    mem_free(hub);
}

/* A datagram the kernel refuses is skipped, the ones behind it go out; a full socket takes none: all are lost. */
static void flush(struct udp_hub *hub)
{
    struct queue *q = &hub->out;
    unsigned at = 0;

    while (at < q->n) {
        int sent = sendmmsg(hub->main->fd, q->msgs + at, q->n - at, MSG_DONTWAIT);

        if (sent > 0) {
            at += (unsigned)sent;
            continue;
        }
        if (errno == EINTR)
            continue;
        hub->main->send_failures += errno == EAGAIN ? q->n - at : 1;
        at = errno == EAGAIN ? q->n : at + 1;
    }
    q->n = 0;
    q->n_bytes = 0;
}

static void enqueue(struct udp_hub *hub, const struct sockaddr_storage *to, unsigned to_len,
                    struct slice bytes)
{
    struct queue *q = &hub->out;

    if (q->n == UDP_BATCH || q->n_bytes + bytes.len > sizeof q->data)
        flush(hub);
    memcpy(&q->to[q->n], to, to_len);
    q->msgs[q->n].msg_hdr.msg_namelen = to_len;
    if (bytes.len > 0)
        memcpy(q->data + q->n_bytes, bytes.data, bytes.len);
    q->iov[q->n] = (struct iovec){.iov_base = q->data + q->n_bytes, .iov_len = bytes.len};
    q->n_bytes += bytes.len;
    q->n++;
}

bool udp_hub_end_turn(struct udp_hub *hub, ns_t now)
{
    bool naps;

    if (hub->out.n > 0)
        flush(hub);
    if (now - hub->window_at >= WINDOW_NS) {
        hub->per_window = now - hub->window_at < 2 * WINDOW_NS ? hub->n_fast : 0;
        hub->n_fast = 0;
        hub->window_at = now;
    }
    naps = hub->has_read && hub->was_short && hub->per_window >= UDP_BUSY_PER_S * WINDOW_NS / NS_PER_S;
    hub->has_read = false;
    hub->was_short = true;
    return naps;
}

/* ---- in ---- */

/* True when it was done with on the fast way. */
static bool hand_out_one(struct udp *u, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    if (u->fast != NULL && u->fast(u->arg, now, from, bytes, len)) {
        u->hub->n_fast++;
        return true;
    }
    u->recv(u->arg, now, from, slice_of(bytes, len));
    return false;
}

/* The datagrams of one batch; true when each was done with on the fast way. */
static bool hand_out(struct udp *u, ns_t now, int n)
{
    struct udp_hub *hub = u->hub;
    bool is_quiet = true;

    for (int i = 0; i < n; i++) {
        uint8_t *bytes = hub->data[i] + UDP_HEADROOM;
        size_t len = hub->msgs[i].msg_len;
        struct addr from;

        hub->msgs[i].msg_hdr.msg_namelen = sizeof hub->from[i]; /* for the next batch */
        if ((hub->msgs[i].msg_hdr.msg_flags & MSG_TRUNC) ||
            addr_from_sockaddr((struct sockaddr *)&hub->from[i], &from) != ERR_OK || u->fd < 0)
            continue; /* the last: closed by a callback before */
        is_quiet = hand_out_one(u, now, &from, bytes, len) && is_quiet;
    }
    return is_quiet;
}

/* True when all was passed on. */
static bool read_batches(struct udp *u, ns_t now)
{
    struct udp_hub *hub = u->hub;
    bool is_quiet = true;
    int n = UDP_BATCH;

    hub->has_read = true;
    for (int round = 0; round < UDP_ROUNDS && n == UDP_BATCH && u->fd >= 0; round++) {
        n = recvmmsg(u->fd, hub->msgs, UDP_BATCH, MSG_DONTWAIT, NULL);
        hub->depth++;
        is_quiet = hand_out(u, now, n) && is_quiet;
        hub->depth--;
    }
    if (n == UDP_BATCH)
        hub->was_short = false;
    return is_quiet;
}

static void on_readable(void *arg, ns_t now)
{
    struct udp *u = arg;
    struct io *io = u->io;

    if (u != u->hub->main)
        u->hub->other_at = now;
    if (read_batches(u, now))
        io_stay_quiet(io);
}

bool udp_hand_in(struct udp *u, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct udp_hub *hub = u->hub;
    bool is_quiet;

    hub->other_at = now;
    hub->has_read = true;
    hub->depth++;
    is_quiet = hand_out_one(u, now, from, bytes, len);
    hub->depth--;
    return is_quiet;
}

bool udp_hub_can_read_on(const struct udp_hub *hub, ns_t now)
{
    return hub->main != NULL && now - hub->other_at > WINDOW_NS;
}

bool udp_hub_read_on(struct udp_hub *hub, ns_t now)
{
    return read_batches(hub->main, now);
}

/* ---- open, close, out ---- */

/* As large as we may: beyond the system's limit only with a capability. */
static void set_buffers(int fd, bool is_relay)
{
    int bytes = is_relay ? RELAY_BUFFER_BYTES : BUFFER_BYTES;

#ifdef SO_RCVBUFFORCE
    if (is_relay && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) == 0)
        return;
#endif
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (is_relay)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int bind_socket(int family, const struct udp_config *config)
{
    struct sockaddr_storage ss;
    struct addr any = {.family = family == AF_INET6 ? ADDR_V6 : ADDR_V4, .port = config->port};
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0;
    unsigned len;

    if (fd < 0)
        return -1;
    if (config->bind.family != ADDR_NONE)
        any = config->bind;
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    set_buffers(fd, config->is_relay);
    len = addr_to_sockaddr(&any, family == AF_INET6, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) != 0) {
        int e = errno;

        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

int udp_open_beside(struct udp *u)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int on = 1, off = 0, fd, e;

    /* The first one may set it late: it is asked for when the second is bound. */
    if (setsockopt(u->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        getsockname(u->fd, (struct sockaddr *)&ss, &len) != 0)
        return -1;
    fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (ss.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    set_buffers(fd, true);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        bind(fd, (struct sockaddr *)&ss, len) == 0)
        return fd;
    e = errno;
    close(fd);
    errno = e;
    return -1;
}

/* A socket somebody else has bound: of which family is it? */
static int adopt(int fd, bool *is_v6)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;

    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return -1;
    *is_v6 = ss.ss_family == AF_INET6;
    return fd;
}

enum err udp_open(struct io *io, const struct udp_config *config, struct udp **out, struct err_detail *detail)
{
    struct udp *u;
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr self;
    bool is_v6 = config->v6 && config->bind.family != ADDR_V4;
    int fd = -1;

    *out = NULL;
    if (config->fd > 0)
        fd = adopt(config->fd, &is_v6);
    else if (is_v6)
        fd = bind_socket(AF_INET6, config);
    if (fd < 0 && config->fd <= 0 && config->bind.family != ADDR_V6) {
        is_v6 = false;
        fd = bind_socket(AF_INET, config);
    }
    if (fd < 0)
        return err_set(detail, ERR_IO, "UDP port %u cannot be opened: %s",
                       config->bind.family != ADDR_NONE ? config->bind.port : config->port, strerror(errno));
    u = mem_alloc(sizeof *u);
    u->io = io;
    u->hub = io_udp_hub(io);
    u->fd = fd;
    u->is_v6 = is_v6;
    u->recv = config->recv;
    u->fast = config->fast;
    u->arg = config->arg;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&ss, &self) == ERR_OK)
        u->port = self.port;
    if (io_watch_fd(io, fd, on_readable, u) != ERR_OK) {
        close(fd);
        mem_free(u);
        return err_set(detail, ERR_IO, "UDP port %u cannot be watched", config->port);
    }
    if (config->is_main && u->hub->main == NULL)
        u->hub->main = u;
    *out = u;
    return ERR_OK;
}

void udp_close(struct udp *u)
{
    if (u == NULL)
        return;
    if (u->hub->main == u) {
        flush(u->hub);
        u->hub->main = NULL;
    }
    io_unwatch_fd(u->io, u->fd);
    close(u->fd);
    u->fd = -1;
    env_defer(io_env(u->io), mem_free, u); /* its own callback may be on the stack */
}

void udp_send(struct udp *u, const struct addr *to, struct slice bytes)
{
    struct udp_hub *hub = u->hub;
    struct addr with_link;
    struct sockaddr_storage ss;
    unsigned len;

    if (to->family == ADDR_NONE || (to->family == ADDR_V6 && !u->is_v6))
        return;
    if (to->family == ADDR_V6 && to->scope == 0 && u->link != 0 && addr_class(to) == ADDR_LINK_LOCAL) {
        with_link = *to;
        with_link.scope = u->link;
        to = &with_link;
    }
    len = addr_to_sockaddr(to, u->is_v6, &ss);
    /* Behind what waits already, so that nothing overtakes. */
    if (hub->main == u && (hub->depth > 0 || hub->out.n > 0) && bytes.len <= UDP_DATAGRAM_BYTES) {
        enqueue(hub, &ss, len, bytes);
        return;
    }
    if (sendto(u->fd, bytes.data, bytes.len, MSG_DONTWAIT, (struct sockaddr *)&ss, len) < 0)
        u->send_failures++;
}

uint16_t udp_port(const struct udp *u)
{
    return u->port;
}

int udp_fd(const struct udp *u)
{
    return u->fd;
}

bool udp_has_v6(const struct udp *u)
{
    return u->is_v6;
}

void udp_set_link(struct udp *u, uint32_t index)
{
    u->link = index;
}
