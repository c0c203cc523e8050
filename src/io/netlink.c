#include "io/netlink.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"

#define GROUPS      (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)
#define READS_MAX   32
#define BUFFER      16384
#define VIEW_ADDRS  32
#define DUMP_WAIT_S 1

/* What a change is judged by. Addresses are in the kernel's order, which stays. */
struct view {
    size_t n;
    struct addr addrs[VIEW_ADDRS];
    struct addr gateways[2]; /* IPv4, IPv6; scope: the interface */
};

struct netlink {
    struct io *io;
    int fd;
    uv_timer_t *calm; /* freed by its close callback */
    netlink_cb changed;
    void *arg;
    struct view seen;
    ns_t turn_at;
    int64_t asleep; /* asleep: how long the machine slept since it started */
    bool is_awake;  /* turn_at and asleep are set */
};

/* ---- routes ---- */

struct route_request {
    struct nlmsghdr head;
    struct rtmsg body;
};

/* A default route of the main table; its gateway may be missing (point to point). True when it is the best so far. */
static bool take_route(const struct nlmsghdr *h, int family, uint32_t *best, struct addr *gateway)
{
    const struct rtmsg *r = NLMSG_DATA(h);
    int left = (int)RTM_PAYLOAD(h);
    uint32_t metric = 0, link = 0;
    struct addr via = {.family = ADDR_NONE};

    if (h->nlmsg_type != RTM_NEWROUTE || r->rtm_family != family || r->rtm_dst_len != 0 ||
        r->rtm_table != RT_TABLE_MAIN || r->rtm_type != RTN_UNICAST)
        return false;
    for (const struct rtattr *a = RTM_RTA(r); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == RTA_GATEWAY && RTA_PAYLOAD(a) == (family == AF_INET ? 4 : 16))
            via = family == AF_INET ? addr_v4(RTA_DATA(a), 0) : addr_v6(RTA_DATA(a), 0);
        else if (a->rta_type == RTA_PRIORITY && RTA_PAYLOAD(a) == sizeof metric)
            memcpy(&metric, RTA_DATA(a), sizeof metric);
        else if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) == sizeof link)
            memcpy(&link, RTA_DATA(a), sizeof link);
    }
    if (metric >= *best)
        return false;
    *best = metric;
    *gateway = via;
    gateway->scope = link;
    return true;
}

/* Read one answer of the kernel whole. */
static bool read_dump(int fd, int family, struct addr *gateway)
{
    union {
        struct nlmsghdr align;
        uint8_t bytes[BUFFER];
    } buf;
    uint32_t best = UINT32_MAX;
    bool is_found = false;

    for (int i = 0; i < READS_MAX; i++) {
        ssize_t got = recv(fd, &buf, sizeof buf, 0);
        unsigned left = (unsigned)got;

        if (got <= 0)
            return is_found;
        for (const struct nlmsghdr *h = &buf.align; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
                return is_found;
            is_found = take_route(h, family, &best, gateway) || is_found;
        }
    }
    return is_found;
}

static bool default_route(int family, struct addr *gateway)
{
    struct route_request q = {.head = {.nlmsg_len = sizeof q,
                                       .nlmsg_type = RTM_GETROUTE,
                                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                              .body = {.rtm_family = (unsigned char)family}};
    struct timeval patience = {.tv_sec = DUMP_WAIT_S};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool is_found;

    memset(gateway, 0, sizeof *gateway);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    is_found = send(fd, &q, sizeof q, 0) == (ssize_t)sizeof q && read_dump(fd, family, gateway);
    close(fd);
    return is_found;
}

/* The address we would send from. */
static bool source_towards(const struct addr *to, struct addr *out)
{
    struct addr target = *to;
    struct sockaddr_storage ss;
    socklen_t len;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    if (fd < 0)
        return false;
    target.port = 9; /* nothing is sent */
    len = addr_to_sockaddr(&target, false, &ss);
    ok = connect(fd, (struct sockaddr *)&ss, len) == 0;
    len = sizeof ss;
    ok = ok && getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
         addr_from_sockaddr((struct sockaddr *)&ss, out) == ERR_OK;
    close(fd);
    out->port = 0;
    return ok;
}

bool netlink_gateway(struct addr *gateway, struct addr *inside)
{
    if (!default_route(AF_INET, gateway) || gateway->family != ADDR_V4)
        return false;
    gateway->scope = 0;
    return source_towards(gateway, inside);
}

uint32_t netlink_first_link(void)
{
    struct ifaddrs *all;
    uint32_t link = 0;

    if (getifaddrs(&all) != 0)
        return 0;
    for (struct ifaddrs *it = all; it != NULL && link == 0; it = it->ifa_next) {
        struct addr a;

        if (it->ifa_addr != NULL && (it->ifa_flags & IFF_UP) && !(it->ifa_flags & IFF_LOOPBACK) &&
            addr_from_sockaddr(it->ifa_addr, &a) == ERR_OK && a.family == ADDR_V6 &&
            addr_class(&a) == ADDR_LINK_LOCAL)
            link = a.scope;
    }
    freeifaddrs(all);
    return link;
}

/* ---- changes ---- */

static void look(struct view *v)
{
    memset(v, 0, sizeof *v);
    v->n = io_local_addrs(v->addrs, VIEW_ADDRS);
    default_route(AF_INET, &v->gateways[0]);
    default_route(AF_INET6, &v->gateways[1]);
}

static bool is_same(const struct view *a, const struct view *b)
{
    for (int i = 0; i < 2; i++)
        if (!addr_equal(&a->gateways[i], &b->gateways[i]) || a->gateways[i].scope != b->gateways[i].scope)
            return false;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!addr_equal(&a->addrs[i], &b->addrs[i]) || a->addrs[i].scope != b->addrs[i].scope)
            return false;
    return true;
}

static void on_calm(uv_timer_t *timer)
{
    struct netlink *n = timer->data;
    struct view now;

    if (n == NULL)
        return;
    look(&now);
    if (is_same(&now, &n->seen))
        return; /* a lifetime was renewed, a host route came */
    n->seen = now;
    n->changed(n->arg, io_now());
}

static void on_events(void *arg, ns_t now)
{
    struct netlink *n = arg;
    uint8_t buf[BUFFER];
    bool is_any = false;

    (void)now;
    for (int i = 0; i < READS_MAX; i++) {
        struct sockaddr_nl from = {0};
        socklen_t len = sizeof from;
        ssize_t got = recvfrom(n->fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&from, &len);

        if (got < 0 && errno != ENOBUFS) /* lost some: there were some */
            break;
        is_any = is_any || from.nl_pid == 0;
    }
    if (is_any && !uv_is_active((uv_handle_t *)n->calm))
        uv_timer_start(n->calm, on_calm, NETLINK_CALM_NS / NS_PER_MS, 0);
}

enum err netlink_open(struct io *io, netlink_cb changed, void *arg, struct netlink **out)
{
    struct sockaddr_nl self = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
    struct netlink *n = mem_alloc(sizeof *n);

    *out = NULL;
    *n = (struct netlink){.io = io, .changed = changed, .arg = arg};
    n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (n->fd < 0 || bind(n->fd, (struct sockaddr *)&self, sizeof self) != 0 ||
        io_watch_fd(io, n->fd, on_events, n) != ERR_OK) {
        if (n->fd >= 0)
            close(n->fd);
        mem_free(n);
        return ERR_IO;
    }
    n->calm = mem_alloc(sizeof *n->calm);
    uv_timer_init(io_uv(io), n->calm);
    n->calm->data = n;
    look(&n->seen);
    *out = n;
    return ERR_OK;
}

static void free_timer(uv_handle_t *timer)
{
    mem_free(timer);
}

void netlink_close(struct netlink *n)
{
    if (n == NULL)
        return;
    n->calm->data = NULL;
    uv_close((uv_handle_t *)n->calm, free_timer);
    io_unwatch_fd(n->io, n->fd);
    close(n->fd);
    mem_free(n);
}

static ns_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (ns_t)ts.tv_sec * NS_PER_S + (ns_t)ts.tv_nsec;
}

void netlink_turn(struct netlink *n, ns_t now)
{
    /* the first counts sleep, the other not; signed, for without sleep the second reading is the later one */
    int64_t asleep = (int64_t)clock_ns(CLOCK_BOOTTIME) - (int64_t)clock_ns(CLOCK_MONOTONIC);
    bool has_slept = n->is_awake &&
                     (asleep > n->asleep + (int64_t)NETLINK_SLEPT_NS || now > n->turn_at + NETLINK_SLEPT_NS);

    n->is_awake = true;
    n->asleep = asleep;
    n->turn_at = now;
    if (!has_slept)
        return;
    look(&n->seen);
    n->changed(n->arg, now);
}
