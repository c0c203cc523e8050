#include "io/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct udp {
    struct io *io;
    int fd;
    bool is_v6;
    uint16_t port;
    uint32_t link;
    uint64_t send_failures;
    udp_recv_cb recv;
    void *arg;
    struct mmsghdr msgs[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    struct sockaddr_storage from[UDP_BATCH];
    uint8_t data[UDP_BATCH][UDP_DATAGRAM_BYTES];
};

static void on_readable(void *arg, ns_t now)
{
    struct udp *u = arg;

    for (int round = 0; round < UDP_ROUNDS; round++) {
        int n;

        for (int i = 0; i < UDP_BATCH; i++)
            u->msgs[i].msg_hdr.msg_namelen = sizeof u->from[i];
        n = recvmmsg(u->fd, u->msgs, UDP_BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++) {
            struct addr from;

            if (u->fd < 0)
                return; /* closed by the callback before */
            if (!(u->msgs[i].msg_hdr.msg_flags & MSG_TRUNC) &&
                addr_from_sockaddr((struct sockaddr *)&u->from[i], &from) == ERR_OK)
                u->recv(u->arg, now, &from, slice_of(u->data[i], u->msgs[i].msg_len));
        }
        if (n < UDP_BATCH || u->fd < 0)
            return;
    }
}

static int bind_socket(int family, const struct addr *bind_to, uint16_t port)
{
    struct sockaddr_storage ss;
    struct addr any = {.family = family == AF_INET6 ? ADDR_V6 : ADDR_V4, .port = port};
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0;
    int buffer = 1 << 20;
    unsigned len;

    if (fd < 0)
        return -1;
    if (bind_to->family != ADDR_NONE)
        any = *bind_to;
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    len = addr_to_sockaddr(&any, family == AF_INET6, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) != 0) {
        int e = errno;

        close(fd);
        errno = e;
        return -1;
    }
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
    if (is_v6)
        fd = bind_socket(AF_INET6, &config->bind, config->port);
    if (fd < 0 && config->bind.family != ADDR_V6) {
        is_v6 = false;
        fd = bind_socket(AF_INET, &config->bind, config->port);
    }
    if (fd < 0)
        return err_set(detail, ERR_IO, "UDP port %u cannot be opened: %s",
                       config->bind.family != ADDR_NONE ? config->bind.port : config->port, strerror(errno));
    u = mem_alloc(sizeof *u);
    u->io = io;
    u->fd = fd;
    u->is_v6 = is_v6;
    u->recv = config->recv;
    u->arg = config->arg;
    for (int i = 0; i < UDP_BATCH; i++) {
        u->iov[i] = (struct iovec){.iov_base = u->data[i], .iov_len = UDP_DATAGRAM_BYTES};
        u->msgs[i].msg_hdr = (struct msghdr){.msg_name = &u->from[i], .msg_iov = &u->iov[i], .msg_iovlen = 1};
    }
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
        addr_from_sockaddr((struct sockaddr *)&ss, &self) == ERR_OK)
        u->port = self.port;
    if (io_watch_fd(io, fd, on_readable, u) != ERR_OK) {
        close(fd);
        mem_free(u);
        return err_set(detail, ERR_IO, "UDP port %u cannot be watched", config->port);
    }
    *out = u;
    return ERR_OK;
}

void udp_close(struct udp *u)
{
    if (u == NULL)
        return;
    io_unwatch_fd(u->io, u->fd);
    close(u->fd);
    u->fd = -1;
    env_defer(io_env(u->io), mem_free, u); /* its own callback may be on the stack */
}

void udp_send(struct udp *u, const struct addr *to, struct slice bytes)
{
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
    if (sendto(u->fd, bytes.data, bytes.len, MSG_DONTWAIT, (struct sockaddr *)&ss, len) < 0)
        u->send_failures++;
}

uint16_t udp_port(const struct udp *u)
{
    return u->port;
}

bool udp_has_v6(const struct udp *u)
{
    return u->is_v6;
}

void udp_set_link(struct udp *u, uint32_t index)
{
    u->link = index;
}
