#include "io/xdp.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/xdp_program.h"

#define BITS_MIN  6
#define BITS_MAX  16             /* 8 MB of slots */
#define PLAIN_MIN 0xc000         /* relayed ports: the program tells them from channels by their first bits */
#define REST_NS   (2 * NS_PER_S) /* before a slot is used again: nobody is about to read it any more */

/* What the program need not know of a slot. */
struct note {
    bool is_used;
    ns_t free_at; /* not used again before */
};

struct xdp {
    struct xdp_shape shape;
    uint8_t *table; /* shared with the program */
    struct note *notes;
    size_t max_pairs, n_pairs;
    struct xdp_link links[XDP_INTERFACES];
    int link_fds[XDP_INTERFACES];
    size_t n_links;
};

static int sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof *attr);
}

/* ---- the table ---- */

static struct xdp_slot *slot_at(const struct xdp *x, size_t i)
{
    return (struct xdp_slot *)(void *)(x->table + i * XDP_SLOT_BYTES);
}

static size_t back_of(const struct xdp *x, size_t i)
{
    return slot_at(x, i)->back / XDP_SLOT_BYTES;
}

/* A pair is named by the slot of its first flow. */
static struct xdp_slot *flow_of(const struct xdp *x, uint32_t pair, int from)
{
    return slot_at(x, from == 0 ? pair - 1 : back_of(x, pair - 1));
}

/* The address the system answers this client from. */
static bool find_local(const struct addr *client, struct addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(client, client->family == ADDR_V6, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) == 0;

    len = sizeof ss;
    ok = ok && getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
         addr_from_sockaddr((struct sockaddr *)&ss, out) == ERR_OK && out->family == client->family;
    if (fd >= 0)
        close(fd);
    return ok;
}

static uint32_t port_place(const struct xdp_end *e)
{
    return (uint32_t)htons(e->channel != 0 ? e->channel : e->port) << 16 | htons(e->client.port);
}

static void set_key(const struct xdp_end *e, struct xdp_slot *s)
{
    uint32_t v4;

    if (e->client.family == ADDR_V4) {
        memcpy(&v4, e->client.ip, 4);
        s->ip_high = 1;
        s->ip_low = v4;
    } else {
        memcpy(&s->ip_high, e->client.ip, 8);
        memcpy(&s->ip_low, e->client.ip + 8, 8);
    }
    s->port_place = port_place(e);
}

/* A slot for the key in s; SIZE_MAX: all that it may lie in are taken. taken: given out a moment ago. */
static size_t find_place(const struct xdp *x, ns_t now, const struct xdp_slot *s, size_t taken)
{
    size_t at = xdp_place(&x->shape, s->ip_high, s->ip_low, s->port_place), found = SIZE_MAX;

    for (size_t i = at; i < at + XDP_WAYS; i++) {
        const struct xdp_slot *other = slot_at(x, i);

        if (other->port_place == s->port_place && other->ip_high == s->ip_high && other->ip_low == s->ip_low)
            return SIZE_MAX;
        if (found == SIZE_MAX && i != taken && !x->notes[i].is_used && now >= x->notes[i].free_at)
            found = i;
    }
    return found;
}

static void fill(struct xdp *x, size_t at, const struct xdp_slot *values)
{
    struct xdp_slot *s = slot_at(x, at);
    uint32_t key = values->port_place;

    *s = *values;
    s->port_place = 0;
    __atomic_store_n(&s->port_place, key, __ATOMIC_RELEASE);
    x->notes[at].is_used = true;
}

uint32_t xdp_add(struct xdp *x, ns_t now, const struct xdp_end ends[static 2])
{
    struct xdp_slot s[2] = {{0}};
    size_t at[2] = {SIZE_MAX, SIZE_MAX};

    if (x->n_pairs >= x->max_pairs || ends[0].client.family != ends[1].client.family)
        return 0;
    for (int i = 0; i < 2; i++) {
        const struct xdp_end *e = &ends[i], *other = &ends[1 - i];
        struct addr local;

        if (e->client.family == ADDR_NONE || e->client.scope != 0 ||
            (e->channel == 0 && e->port < PLAIN_MIN) || !find_local(&e->client, &local))
            return 0;
        set_key(e, &s[i]);
        memcpy(s[i].local, local.ip, sizeof s[i].local);
        memcpy(s[i].to, other->client.ip, sizeof s[i].to);
        s[i].to_port = htons(other->client.port);
        s[i].to_channel = htons(other->channel);
        s[i].from_port = htons(other->channel != 0 ? x->shape.port : other->port);
        at[i] = find_place(x, now, &s[i], at[0]);
        if (at[i] == SIZE_MAX)
            return 0;
    }
    for (int i = 0; i < 2; i++)
        s[i].back = (uint32_t)(at[1 - i] * XDP_SLOT_BYTES);
    for (int i = 0; i < 2; i++)
        fill(x, at[i], &s[i]);
    x->n_pairs++;
    return (uint32_t)at[0] + 1;
}

void xdp_renew(struct xdp *x, uint32_t pair, int from, ns_t until, uint64_t allowed_bytes)
{
    struct xdp_slot *s = flow_of(x, pair, from);

    __atomic_store_n(&s->allowed_bytes, allowed_bytes, __ATOMIC_RELEASE);
    __atomic_store_n(&s->until, until, __ATOMIC_RELEASE);
}

struct xdp_count xdp_count(const struct xdp *x, uint32_t pair, int from)
{
    const struct xdp_slot *s = flow_of(x, pair, from);

    return (struct xdp_count){.packets = __atomic_load_n(&s->packets, __ATOMIC_ACQUIRE),
                              .bytes = __atomic_load_n(&s->bytes, __ATOMIC_ACQUIRE)};
}

void xdp_remove(struct xdp *x, ns_t now, uint32_t pair, struct xdp_count out[static 2])
{
    size_t at[2] = {pair - 1, back_of(x, pair - 1)};

    for (int i = 0; i < 2; i++) {
        __atomic_store_n(&slot_at(x, at[i])->until, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&slot_at(x, at[i])->port_place, 0, __ATOMIC_SEQ_CST);
    }
    for (int i = 0; i < 2; i++) {
        out[i] = xdp_count(x, pair, i);
        x->notes[at[i]] = (struct note){.free_at = now + REST_NS};
    }
    x->n_pairs--;
}

/* ---- loading ---- */

static enum err make_table(struct xdp *x, struct err_detail *detail)
{
    size_t bytes = xdp_table_bytes(x->shape.bits);
    union bpf_attr attr = {0};
    void *table;

    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = 4;
    attr.value_size = (uint32_t)bytes;
    attr.max_entries = 1;
    attr.map_flags = BPF_F_MMAPABLE;
    memcpy(attr.map_name, "ito_flows", 10);
    x->shape.map_fd = sys_bpf(BPF_MAP_CREATE, &attr);
    if (x->shape.map_fd < 0)
        return err_set(detail, ERR_IO, "bpf(2) is refused: %s", strerror(errno));
    table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, x->shape.map_fd, 0);
    if (table == MAP_FAILED)
        return err_set(detail, ERR_IO, "the table of flows cannot be mapped: %s", strerror(errno));
    x->table = table;
    return ERR_OK;
}

static int load(const struct xdp_shape *shape)
{
    static const char license[] = "GPL"; /* what the kernel asks of programs that call its helpers */
    struct bpf_insn *code = mem_array(XDP_INSNS_MAX, sizeof *code);
    union bpf_attr attr = {0};
    int fd;

    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = (uint64_t)(uintptr_t)code;
    attr.insn_cnt = (uint32_t)xdp_program(shape, code);
    attr.license = (uint64_t)(uintptr_t)license;
    attr.expected_attach_type = BPF_XDP;
    memcpy(attr.prog_name, "ito_relay", 10);
    fd = sys_bpf(BPF_PROG_LOAD, &attr);
    mem_free(code);
    return fd;
}

static int attach(int program, uint32_t interface, uint32_t mode)
{
    union bpf_attr attr = {0};

    attr.link_create.prog_fd = (uint32_t)program;
    attr.link_create.target_ifindex = interface;
    attr.link_create.attach_type = BPF_XDP;
    attr.link_create.flags = mode;
    return sys_bpf(BPF_LINK_CREATE, &attr);
}

/* veth takes a native program's packets only when the other end has one too, and loses them without a word. */
static bool loses_native(int fd, const char *name)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq r = {.ifr_data = (char *)&info};

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    return ioctl(fd, SIOCETHTOOL, &r) == 0 && strcmp(info.driver, "veth") == 0;
}

static enum err take_interface(struct xdp *x, int fd, const char *name, struct err_detail *detail)
{
    struct ifreq r = {0};
    struct xdp_shape shape = x->shape;
    struct xdp_link *link = &x->links[x->n_links];
    int program, link_fd = -1;

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    shape.interface = if_nametoindex(name);
    if (shape.interface == 0 || ioctl(fd, SIOCGIFHWADDR, &r) != 0 ||
        (r.ifr_hwaddr.sa_family != ARPHRD_ETHER && r.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK))
        return err_set(detail, ERR_UNSUPPORTED, "%s: no Ethernet", name);
    memcpy(shape.mac, r.ifr_hwaddr.sa_data, sizeof shape.mac);
    program = load(&shape);
    if (program < 0)
        return err_set(detail, ERR_IO, "the kernel does not take the program: %s", strerror(errno));
    if (!loses_native(fd, name))
        link_fd = attach(program, shape.interface, XDP_FLAGS_DRV_MODE);
    link->is_native = link_fd >= 0;
    if (link_fd < 0)
        link_fd = attach(program, shape.interface, XDP_FLAGS_SKB_MODE);
    if (link_fd < 0)
        err_set(detail, ERR_IO, "%s: %s", name, strerror(errno));
    close(program); /* the link holds it */
    if (link_fd < 0)
        return ERR_IO;
    snprintf(link->name, sizeof link->name, "%s", name);
    x->link_fds[x->n_links++] = link_fd;
    return ERR_OK;
}

static bool has_link(const struct xdp *x, const char *name)
{
    for (size_t i = 0; i < x->n_links; i++)
        if (strcmp(x->links[i].name, name) == 0)
            return true;
    return false;
}

/* All that have an address. ERR_OK when there is one at least that runs it. */
static enum err take_interfaces(struct xdp *x, int fd, bool with_loopback, struct err_detail *detail)
{
    struct ifaddrs *all = NULL;

    err_set(detail, ERR_NOT_FOUND, "no Ethernet interface has an address");
    if (getifaddrs(&all) != 0)
        return err_set(detail, ERR_IO, "interfaces cannot be listed: %s", strerror(errno));
    for (struct ifaddrs *i = all; i != NULL && x->n_links < XDP_INTERFACES; i = i->ifa_next) {
        bool is_usable = (i->ifa_flags & IFF_UP) && i->ifa_addr != NULL &&
                         (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6) &&
                         (with_loopback || !(i->ifa_flags & IFF_LOOPBACK));

        if (is_usable && !has_link(x, i->ifa_name))
            (void)take_interface(x, fd, i->ifa_name, detail);
    }
    freeifaddrs(all);
    return x->n_links > 0 ? ERR_OK : ERR_IO;
}

/* What the system puts into packets that say nothing else. */
static uint8_t hop_limit(int family, int level, int option)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), value = 64;
    socklen_t len = sizeof value;

    if (fd >= 0) {
        if (getsockopt(fd, level, option, &value, &len) != 0 || value < 1 || value > 255)
            value = 64;
        close(fd);
    }
    return (uint8_t)value;
}

static unsigned bits_for(size_t max_pairs)
{
    unsigned bits = BITS_MIN;

    while (bits < BITS_MAX && ((size_t)1 << bits) < max_pairs * 8) /* a quarter full at most */
        bits++;
    return bits;
}

enum err xdp_open(const struct xdp_config *config, struct xdp **out, struct err_detail *detail)
{
    struct xdp *x = mem_alloc(sizeof *x);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    enum err e;

    *out = NULL;
    x->max_pairs = config->max_pairs;
    x->shape.bits = bits_for(config->max_pairs);
    x->shape.port = config->port;
    x->shape.ttl = hop_limit(AF_INET, IPPROTO_IP, IP_TTL);
    x->shape.hops = hop_limit(AF_INET6, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
    x->notes = mem_array(xdp_n_slots(x->shape.bits), sizeof *x->notes);
    if (getrandom(x->shape.mix, sizeof x->shape.mix, 0) != (ssize_t)sizeof x->shape.mix || fd < 0)
        e = err_set(detail, ERR_IO, "no socket, or no random bytes");
    else
        e = make_table(x, detail);
    for (int i = 0; i < 3; i++)
        x->shape.mix[i] |= 1;
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        e = err_set(detail, ERR_UNSUPPORTED, "the program is written for little-endian machines");
    if (e == ERR_OK)
        e = take_interfaces(x, fd, config->with_loopback, detail);
    if (fd >= 0)
        close(fd);
    if (e == ERR_OK)
        *out = x;
    else
        xdp_close(x);
    return e;
}

size_t xdp_links(const struct xdp *x, struct xdp_link out[static XDP_INTERFACES])
{
    memcpy(out, x->links, x->n_links * sizeof *out);
    return x->n_links;
}

void xdp_close(struct xdp *x)
{
    if (x == NULL)
        return;
    for (size_t i = 0; i < x->n_links; i++)
        close(x->link_fds[i]);
    if (x->table != NULL)
        munmap(x->table, xdp_table_bytes(x->shape.bits));
    if (x->shape.map_fd > 0)
        close(x->shape.map_fd);
    mem_free(x->notes);
    mem_free(x);
}
