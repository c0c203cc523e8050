#include "io/lan.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"

#define VERSION   1
#define READS_MAX 32
#define FORGET_NS (600 * NS_PER_S)
#define MINUTE_NS (60 * NS_PER_S)
#define GROUP_V4  "239.192.105.116"
#define GROUP_V6  "ff02::6974:6f64"
#define BURST     4

static const uint8_t magic[4] = {'i', 't', 'o', 'L'};

/* When to speak after the start: others may be just starting, links just coming up. */
static const uint64_t burst_ms[BURST] = {100, 1000, 3000, 7000};

struct found {
    struct addr addr;
    ns_t at; /* told then; 0: free */
};

struct link {
    uint32_t index;
    bool has_v4, has_v6;
};

struct lan {
    struct io *io;
    struct lan_config config;
    int fds[2];        /* IPv4, IPv6; -1: none */
    uv_timer_t *timer; /* freed by its close callback */
    unsigned n_said;
    struct link links[LAN_LINKS];
    size_t n_links;
    struct found found[LAN_FOUND_MAX];
    ns_t minute_at;
    unsigned n_this_minute;
};

/* ---- the datagram ---- */

/* "itoL" hello, 16 bytes, big-endian:
 *
 *   offset size field
 *   0      4    magic    "itoL"
 *   4      1    version  1
 *   5      1    0
 *   6      2    port     of the sender's main UDP socket, not 0
 *   8      8    zone_id */
void lan_hello_write(const struct lan_hello *h, uint8_t out[static LAN_HELLO_BYTES])
{
    struct wr w;

    wr_init(&w, out, LAN_HELLO_BYTES);
    wr_bytes(&w, magic, sizeof magic);
    wr_u8(&w, VERSION);
    wr_u8(&w, 0);
    wr_u16(&w, h->port);
    wr_bytes(&w, h->zone_id, LAN_ZONE_BYTES);
}

enum err lan_hello_parse(struct slice bytes, struct lan_hello *out)
{
    struct rd r;
    struct slice m;
    uint8_t version, reserved;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    m = rd_bytes(&r, sizeof magic);
    version = rd_u8(&r);
    if (!rd_ok(&r) || !slice_equal(m, slice_of(magic, sizeof magic)))
        return ERR_PARSE;
    if (version != VERSION)
        return ERR_VERSION;
    reserved = rd_u8(&r);
    out->port = rd_u16(&r);
    rd_copy(&r, out->zone_id, LAN_ZONE_BYTES);
    return rd_done(&r) && reserved == 0 && out->port != 0 ? ERR_OK : ERR_PARSE;
}

/* ---- hearing ---- */

static bool is_own(const struct lan *l, const struct addr *a)
{
    struct addr own[32];
    size_t n = a->port == l->config.self.port ? io_local_addrs(own, 32) : 0;

    for (size_t i = 0; i < n; i++)
        if (addr_equal_ip(&own[i], a))
            return true;
    return false;
}

/* Not told within FORGET_NS, and there is room this minute; the oldest makes place. */
static bool is_news(struct lan *l, ns_t now, const struct addr *a)
{
    struct found *place = &l->found[0];

    for (int i = 0; i < LAN_FOUND_MAX; i++) {
        struct found *f = &l->found[i];

        if (f->at != 0 && addr_equal(&f->addr, a)) {
            if (now < f->at + FORGET_NS)
                return false;
            place = f;
            break;
        }
        if (f->at < place->at)
            place = f;
    }
    if (now >= l->minute_at + MINUTE_NS) {
        l->minute_at = now;
        l->n_this_minute = 0;
    }
    if (l->n_this_minute == LAN_FOUND_PER_MIN)
        return false;
    l->n_this_minute++;
    *place = (struct found){.addr = *a, .at = now};
    return true;
}

static void hear(struct lan *l, ns_t now, const struct addr *from, struct slice bytes)
{
    struct addr who = *from;
    enum addr_class class = addr_class(from);
    struct lan_hello h;

    if ((class != ADDR_PRIVATE && class != ADDR_LINK_LOCAL) || lan_hello_parse(bytes, &h) != ERR_OK ||
        memcmp(h.zone_id, l->config.self.zone_id, LAN_ZONE_BYTES) != 0)
        return;
    who.port = h.port;
    if (!is_own(l, &who) && is_news(l, now, &who))
        l->config.found(l->config.arg, now, &who);
}

static void on_readable(struct lan *l, int fd, ns_t now)
{
    for (int i = 0; i < READS_MAX; i++) {
        uint8_t buf[LAN_HELLO_BYTES + 1];
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        ssize_t got = recvfrom(fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&ss, &len);
        struct addr from;

        if (got < 0)
            return;
        if (addr_from_sockaddr((struct sockaddr *)&ss, &from) == ERR_OK)
            hear(l, now, &from, slice_of(buf, (size_t)got));
    }
}

static void on_v4(void *arg, ns_t now)
{
    struct lan *l = arg;

    on_readable(l, l->fds[0], now);
}

static void on_v6(void *arg, ns_t now)
{
    struct lan *l = arg;

    on_readable(l, l->fds[1], now);
}

/* ---- speaking ---- */

static void send_v4(const struct lan *l, const struct link *k, const uint8_t *hello)
{
    struct ip_mreqn out = {.imr_ifindex = (int)k->index};
    struct sockaddr_storage ss;
    struct addr group;
    unsigned len;

    addr_parse(GROUP_V4, &group);
    group.port = LAN_PORT;
    len = addr_to_sockaddr(&group, false, &ss);
    if (setsockopt(l->fds[0], IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) == 0)
        (void)!sendto(l->fds[0], hello, LAN_HELLO_BYTES, MSG_DONTWAIT, (struct sockaddr *)&ss, len);
}

static void send_v6(const struct lan *l, const struct link *k, const uint8_t *hello)
{
    struct sockaddr_storage ss;
    struct addr group;
    unsigned len;

    addr_parse(GROUP_V6, &group);
    group.port = LAN_PORT;
    group.scope = k->index;
    len = addr_to_sockaddr(&group, true, &ss);
    (void)!sendto(l->fds[1], hello, LAN_HELLO_BYTES, MSG_DONTWAIT, (struct sockaddr *)&ss, len);
}

static struct link *link_of(struct lan *l, uint32_t index)
{
    for (size_t i = 0; i < l->n_links; i++)
        if (l->links[i].index == index)
            return &l->links[i];
    if (l->n_links == LAN_LINKS)
        return NULL;
    l->links[l->n_links] = (struct link){.index = index};
    return &l->links[l->n_links++];
}

/* Interfaces that are up and can multicast, with what addresses they have. */
static void find_links(struct lan *l)
{
    const unsigned wanted = IFF_UP | IFF_MULTICAST;
    struct ifaddrs *all;

    l->n_links = 0;
    if (getifaddrs(&all) != 0)
        return;
    for (struct ifaddrs *it = all; it != NULL; it = it->ifa_next) {
        struct link *k;

        if (it->ifa_addr == NULL || (it->ifa_flags & wanted) != wanted || (it->ifa_flags & IFF_LOOPBACK) ||
            (it->ifa_addr->sa_family != AF_INET && it->ifa_addr->sa_family != AF_INET6))
            continue;
        k = link_of(l, if_nametoindex(it->ifa_name));
        if (k == NULL)
            continue;
        k->has_v4 = k->has_v4 || it->ifa_addr->sa_family == AF_INET;
        k->has_v6 = k->has_v6 || it->ifa_addr->sa_family == AF_INET6;
    }
    freeifaddrs(all);
}

/* Joining twice is an error that does no harm; a vanished interface leaves by itself. */
static void join(const struct lan *l, const struct link *k)
{
    struct ip_mreqn v4 = {.imr_ifindex = (int)k->index};
    struct ipv6_mreq v6 = {.ipv6mr_interface = k->index};
    struct addr group;

    addr_parse(GROUP_V4, &group);
    memcpy(&v4.imr_multiaddr, group.ip, 4);
    addr_parse(GROUP_V6, &group);
    memcpy(&v6.ipv6mr_multiaddr, group.ip, 16);
    if (l->fds[0] >= 0 && k->has_v4)
        setsockopt(l->fds[0], IPPROTO_IP, IP_ADD_MEMBERSHIP, &v4, sizeof v4);
    if (l->fds[1] >= 0 && k->has_v6)
        setsockopt(l->fds[1], IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &v6, sizeof v6);
}

static void on_timer(uv_timer_t *timer)
{
    struct lan *l = timer->data;
    uint8_t hello[LAN_HELLO_BYTES];
    uint64_t next_ms;

    if (l == NULL)
        return;
    lan_hello_write(&l->config.self, hello);
    find_links(l);
    for (size_t i = 0; i < l->n_links; i++) {
        const struct link *k = &l->links[i];

        join(l, k);
        if (l->fds[0] >= 0 && k->has_v4)
            send_v4(l, k, hello);
        if (l->fds[1] >= 0 && k->has_v6)
            send_v6(l, k, hello);
    }
    l->n_said++;
    next_ms = l->n_said < BURST ? burst_ms[l->n_said] - burst_ms[l->n_said - 1]
                                : LAN_EVERY_NS / NS_PER_MS + env_random_u32(io_env(l->io)) % 20000;
    uv_timer_start(l->timer, on_timer, next_ms, 0);
}

/* ---- open, close ---- */

static int open_socket(int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;
    struct addr any = {.family = family == AF_INET ? ADDR_V4 : ADDR_V6, .port = LAN_PORT};
    struct sockaddr_storage ss;
    unsigned len = addr_to_sockaddr(&any, family == AF_INET6, &ss);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* several phones on one machine */
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
    }
    if (bind(fd, (struct sockaddr *)&ss, len) == 0)
        return fd;
    close(fd);
    return -1;
}

struct lan *lan_open(struct io *io, const struct lan_config *config)
{
    struct lan *l = mem_alloc(sizeof *l);

    l->io = io;
    l->config = *config;
    l->fds[0] = config->v4 ? open_socket(AF_INET) : -1;
    l->fds[1] = config->v6 ? open_socket(AF_INET6) : -1;
    for (int i = 0; i < 2; i++)
        if (l->fds[i] >= 0)
            io_watch_fd(io, l->fds[i], i == 0 ? on_v4 : on_v6, l);
    l->timer = mem_alloc(sizeof *l->timer);
    uv_timer_init(io_uv(io), l->timer);
    l->timer->data = l;
    uv_timer_start(l->timer, on_timer, burst_ms[0], 0);
    return l;
}

static void free_timer(uv_handle_t *timer)
{
    mem_free(timer);
}

void lan_close(struct lan *l)
{
    if (l == NULL)
        return;
    l->timer->data = NULL;
    uv_close((uv_handle_t *)l->timer, free_timer);
    for (int i = 0; i < 2; i++) {
        if (l->fds[i] < 0)
            continue;
        io_unwatch_fd(l->io, l->fds[i]);
        close(l->fds[i]);
    }
    mem_free(l);
}

void lan_network_changed(struct lan *l, ns_t now)
{
    (void)now;
    memset(l->found, 0, sizeof l->found); /* the same address may be another phone here */
    l->n_said = 0;
    uv_timer_start(l->timer, on_timer, burst_ms[0], 0);
}
