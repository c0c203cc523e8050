#include "tests/sim/vnet.h"

#include <stdio.h>
#include <stdlib.h>

#include <uthash.h>

#include "base/list.h"
#include "base/mem.h"
#include "tests/sim/prng.h"

#define WALL_START_MS 1767225600000 /* 2026-01-01 UTC */
#define REORDER_NS    (20 * NS_PER_MS)

/* Where an IP address leads within one place: to a host, or to the outside of a NAT. */
struct stop {
    uint8_t ip[16];
    struct vnet_host *host;
    struct vnet_nat *nat;
    UT_hash_handle hh;
};

/* The Internet (nat NULL), or the LAN behind a NAT. */
struct place {
    struct vnet_nat *nat;
    struct stop *stops;
};

struct wire { /* one direction of a link */
    struct vnet_link link;
    ns_t last_at; /* arrival of the last packet: later ones do not overtake it */
};

struct vnet_nat {
    struct vnet *net;
    struct list link; /* in net->nats */
    struct vnet_nat_config config;
    struct place *outside, lan;
    struct addr addr;
    struct wire up, down;
    struct nat *table;
    bool is_cut;
};

struct vnet_socket {
    struct vnet_host *host;
    struct addr addr;
    vnet_recv_cb recv;
    void *arg;
    UT_hash_handle hh; /* by addr.port */
};

struct tap {
    struct list link;
    struct vnet_host *host;
    vnet_tap_cb cb;
    void *arg;
};

struct vnet_host {
    struct vnet *net;
    struct list link; /* in net->hosts */
    char *name;
    struct env env;
    struct prng prng;
    struct place *place;
    struct vnet_socket *sockets, *main;
    struct wire up, down;
    struct clock_driver **drivers;
    size_t n_drivers;
    int64_t wall_offset_ms;
    uint16_t next_port;
    bool is_cut;
};

enum stage { AT_PLACE, AT_NAT, AT_HOST };

struct packet {
    struct list link; /* in net->packets, while under way */
    struct vnet *net;
    enum stage stage;
    struct place *place;
    struct vnet_nat *nat;
    struct vnet_host *host;
    struct addr from, to;
    size_t len;
    uint8_t data[];
};

struct cut {
    struct list link;
    struct addr a, b;
};

struct vnet {
    struct clock *clock;
    struct prng prng;
    uint64_t seed, n_seeded;
    struct place internet;
    struct list hosts, nats, packets, taps, cuts;
    struct vnet_stats stats;
    enum log_level log_level;
};

static struct addr parse(const char *text)
{
    struct addr a;

    if (addr_parse(text, &a) != ERR_OK) {
        fprintf(stderr, "vnet: \"%s\" is no address\n", text);
        abort();
    }
    return a;
}

static struct stop *find_stop(const struct place *place, const struct addr *a)
{
    struct stop *s = NULL;

    HASH_FIND(hh, place->stops, a->ip, sizeof s->ip, s);
    return s;
}

static void add_stop(struct place *place, const struct addr *a, struct vnet_host *host, struct vnet_nat *nat)
{
    struct stop *s;

    if (find_stop(place, a) != NULL) {
        char text[ADDR_TEXT_BYTES];

        fprintf(stderr, "vnet: %s is there twice\n", addr_print_ip(a, text));
        abort();
    }
    s = mem_alloc(sizeof *s);
    memcpy(s->ip, a->ip, sizeof s->ip);
    s->host = host;
    s->nat = nat;
    HASH_ADD(hh, place->stops, ip, sizeof s->ip, s);
}

static void remove_stop(struct place *place, const struct addr *a)
{
    struct stop *s = find_stop(place, a);

    if (s != NULL) {
        HASH_DEL(place->stops, s);
        mem_free(s);
    }
}

static void clear_stops(struct place *place)
{
    struct stop *s, *next;

    HASH_ITER(hh, place->stops, s, next)
    {
        HASH_DEL(place->stops, s);
        mem_free(s);
    }
}

static void arrive(void *arg, ns_t now);

static void packet_free(struct packet *p)
{
    list_remove(&p->link);
    mem_free(p);
}

static struct packet *packet_copy(const struct packet *p)
{
    struct packet *copy = mem_dup(p, sizeof *p + p->len);

    list_init(&copy->link);
    return copy;
}

/* When a packet that enters the wire now comes out. */
static ns_t wire_exit(struct vnet *net, struct wire *w)
{
    ns_t at = vnet_now(net) + w->link.delay_ns;

    if (w->link.jitter_ns > 0)
        at += prng_next(&net->prng) % (w->link.jitter_ns + 1);
    if (prng_chance(&net->prng, w->link.reorder_pct))
        return at + 1 + prng_next(&net->prng) % (w->link.jitter_ns > 0 ? 4 * w->link.jitter_ns : REORDER_NS);
    if (at < w->last_at)
        at = w->last_at;
    w->last_at = at;
    return at;
}

static void schedule(struct packet *p, ns_t at)
{
    list_append(&p->net->packets, &p->link);
    clock_at(p->net->clock, at, arrive, p);
}

/* Send p, whose stage and goal are set, over a wire. */
static void cross(struct packet *p, struct wire *w, bool is_cut)
{
    struct vnet *net = p->net;

    if (is_cut || prng_chance(&net->prng, w->link.loss_pct)) {
        *(is_cut ? &net->stats.cut : &net->stats.lost) += 1;
        packet_free(p);
        return;
    }
    if (prng_chance(&net->prng, w->link.dup_pct))
        schedule(packet_copy(p), wire_exit(net, w));
    schedule(p, wire_exit(net, w));
}

static void drop(struct packet *p, uint64_t *counter)
{
    *counter += 1;
    packet_free(p);
}

static void route(struct packet *p, struct place *place);

/* From the outside (or back from the inside, by a hairpin): p->to is the NAT's own address. */
static void pass_in(struct vnet_nat *nat, struct packet *p)
{
    const struct addr *inside = nat_inbound(nat->table, vnet_now(nat->net), p->to.port, &p->from);

    if (inside == NULL || nat->config.udp_blocked) {
        drop(p, &nat->net->stats.filtered);
        return;
    }
    p->to = *inside;
    route(p, &nat->lan);
}

static void pass_out(struct vnet_nat *nat, struct packet *p)
{
    bool is_hairpin = addr_equal_ip(&p->to, &nat->addr);
    uint16_t port;

    if (nat->config.udp_blocked || p->to.family != ADDR_V4 || (is_hairpin && !nat->config.hairpin)) {
        drop(p, &nat->net->stats.filtered);
        return;
    }
    port = nat_outbound(nat->table, vnet_now(nat->net), &p->from, &p->to);
    p->from = nat->addr;
    p->from.port = port;
    if (is_hairpin) {
        pass_in(nat, p);
        return;
    }
    p->stage = AT_PLACE;
    p->place = nat->outside;
    cross(p, &nat->up, nat->is_cut);
}

static bool is_cut_between(struct vnet *net, const struct packet *p)
{
    list_each(l, &net->cuts)
    {
        struct cut *c = list_item(l, struct cut, link);

        if ((addr_equal_ip(&c->a, &p->from) && addr_equal_ip(&c->b, &p->to)) ||
            (addr_equal_ip(&c->b, &p->from) && addr_equal_ip(&c->a, &p->to)))
            return true;
    }
    return false;
}

static void to_host(struct packet *p, struct vnet_host *host)
{
    p->stage = AT_HOST;
    p->host = host;
    cross(p, &host->down, host->is_cut);
}

/* One copy for each other host of this LAN; the Internet carries no multicast. */
static void multicast(struct packet *p, struct place *place)
{
    struct stop *s, *next;

    HASH_ITER(hh, place->stops, s, next)
    {
        if (place->nat != NULL && s->host != NULL && !addr_equal_ip(vnet_addr(s->host), &p->from))
            to_host(packet_copy(p), s->host);
    }
    packet_free(p);
}

static void route(struct packet *p, struct place *place)
{
    struct stop *s = find_stop(place, &p->to);

    if (place->nat == NULL && is_cut_between(p->net, p)) {
        drop(p, &p->net->stats.cut);
    } else if (s != NULL && s->host != NULL) {
        to_host(p, s->host);
    } else if (s != NULL) {
        p->stage = AT_NAT;
        p->nat = s->nat;
        cross(p, &s->nat->down, s->nat->is_cut);
    } else if (p->to.family == ADDR_V4 && p->to.ip[0] >= 224) {
        multicast(p, place);
    } else if (place->nat != NULL) {
        pass_out(place->nat, p);
    } else {
        drop(p, &p->net->stats.unroutable);
    }
}

static void tell_taps(struct vnet_host *host, bool out, const struct addr *from, const struct addr *to,
                      struct slice bytes)
{
    list_each_safe(l, &host->net->taps)
    {
        struct tap *t = list_item(l, struct tap, link);

        if (t->host == NULL || t->host == host)
            t->cb(t->arg, vnet_now(host->net), host, out, from, to, bytes);
    }
}

static void touch_drivers(struct vnet_host *host)
{
    for (size_t i = 0; i < host->n_drivers; i++)
        clock_touch(host->net->clock, host->drivers[i]);
}

static struct vnet_socket *find_socket(struct vnet_host *host, uint16_t port)
{
    struct vnet_socket *s = NULL;

    HASH_FIND(hh, host->sockets, &port, sizeof port, s);
    return s;
}

static void deliver(struct packet *p)
{
    struct vnet_host *host = p->host;
    struct vnet_socket *s = find_socket(host, p->to.port);
    bool is_here = addr_equal_ip(&p->to, vnet_addr(host)) || p->to.ip[0] >= 224;

    if (host->is_cut || s == NULL || !is_here || s->recv == NULL) {
        drop(p, host->is_cut ? &host->net->stats.cut : &host->net->stats.unroutable);
        return;
    }
    host->net->stats.delivered++;
    tell_taps(host, false, &p->from, &p->to, slice_of(p->data, p->len));
    s->recv(s->arg, vnet_now(host->net), &p->from, slice_of(p->data, p->len));
    touch_drivers(host);
    packet_free(p);
}

static void arrive(void *arg, ns_t now)
{
    struct packet *p = arg;

    (void)now;
    list_remove(&p->link);
    switch (p->stage) {
    case AT_PLACE:
        route(p, p->place);
        break;
    case AT_NAT:
        pass_in(p->nat, p);
        break;
    case AT_HOST:
        deliver(p);
        break;
    }
}

void vnet_send_from(struct vnet_socket *s, const struct addr *to, struct slice bytes)
{
    struct vnet_host *host = s->host;
    struct packet *p;

    host->net->stats.sent++;
    tell_taps(host, true, &s->addr, to, bytes);
    if (bytes.len > VNET_PACKET_MAX) {
        host->net->stats.lost++;
        return;
    }
    p = mem_alloc(sizeof *p + bytes.len);
    list_init(&p->link);
    p->net = host->net;
    p->from = s->addr;
    p->to = *to;
    p->to.scope = 0;
    p->len = bytes.len;
    if (bytes.len > 0)
        memcpy(p->data, bytes.data, bytes.len);
    p->stage = AT_PLACE;
    p->place = host->place;
    if (addr_equal_ip(to, &s->addr) || addr_class(to) == ADDR_LOOPBACK) { /* to itself: no wire, no loss */
        if (addr_class(to) == ADDR_LOOPBACK)
            memcpy(p->to.ip, s->addr.ip, sizeof p->to.ip);
        p->stage = AT_HOST;
        p->host = host;
        schedule(p, vnet_now(host->net));
        return;
    }
    cross(p, &host->up, host->is_cut);
}

static void host_send(void *world, const struct addr *to, struct slice bytes)
{
    vnet_send_from(((struct vnet_host *)world)->main, to, bytes);
}

static void host_random(void *world, void *out, size_t n)
{
    struct vnet_host *host = world;
    uint8_t *at = out;

    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(prng_next(&host->prng) >> 32);
}

static int64_t host_wall_ms(void *world)
{
    struct vnet_host *host = world;

    return WALL_START_MS + host->wall_offset_ms +
           (int64_t)((vnet_now(host->net) - CLOCK_START_NS) / NS_PER_MS);
}

static void host_defer(void *world, env_defer_cb cb, void *arg)
{
    clock_defer(((struct vnet_host *)world)->net->clock, cb, arg);
}

static void host_log(void *world, enum log_level level, const char *line)
{
    struct vnet_host *host = world;

    if (level <= host->net->log_level)
        fprintf(stderr, "%10.6f %s: %s\n", (double)(vnet_now(host->net) - CLOCK_START_NS) / 1e9, host->name,
                line);
}

static const struct env_ops host_env_ops = {host_send, host_random, host_wall_ms, host_defer, host_log};

struct vnet *vnet_create(uint64_t seed)
{
    struct vnet *net = mem_alloc(sizeof *net);

    net->clock = clock_create();
    net->seed = seed;
    prng_seed(&net->prng, seed);
    list_init(&net->hosts);
    list_init(&net->nats);
    list_init(&net->packets);
    list_init(&net->taps);
    list_init(&net->cuts);
    return net;
}

static void free_list(struct list *head, size_t offset)
{
    list_each_safe(l, head)
    {
        list_remove(l);
        mem_free((char *)l - offset);
    }
}

static void host_free(struct vnet_host *host)
{
    struct vnet_socket *s, *next;

    HASH_ITER(hh, host->sockets, s, next)
    {
        HASH_DEL(host->sockets, s);
        mem_free(s);
    }
    list_remove(&host->link);
    mem_free(host->drivers);
    mem_free(host->name);
    mem_free(host);
}

void vnet_destroy(struct vnet *net)
{
    if (net == NULL)
        return;
    clock_destroy(net->clock);
    free_list(&net->packets, offsetof(struct packet, link));
    free_list(&net->taps, offsetof(struct tap, link));
    free_list(&net->cuts, offsetof(struct cut, link));
    list_each_safe(l, &net->hosts) host_free(list_item(l, struct vnet_host, link));
    list_each_safe(l, &net->nats)
    {
        struct vnet_nat *nat = list_item(l, struct vnet_nat, link);

        nat_destroy(nat->table);
        clear_stops(&nat->lan);
        list_remove(l);
        mem_free(nat);
    }
    clear_stops(&net->internet);
    mem_free(net);
}

struct vnet_nat *vnet_add_nat(struct vnet *net, struct vnet_nat *parent, const char *wan_ip,
                              const struct vnet_nat_config *config)
{
    struct vnet_nat *nat = mem_alloc(sizeof *nat);

    nat->net = net;
    nat->config = *config;
    nat->outside = parent != NULL ? &parent->lan : &net->internet;
    nat->lan.nat = nat;
    nat->addr = parse(wan_ip);
    nat->addr.port = 0;
    nat->table = nat_create(config, prng_next(&net->prng));
    list_append(&net->nats, &nat->link);
    add_stop(nat->outside, &nat->addr, NULL, nat);
    return nat;
}

struct vnet_host *vnet_add_host(struct vnet *net, struct vnet_nat *nat, const char *name, const char *ip_port)
{
    struct vnet_host *host = mem_alloc(sizeof *host);
    struct addr addr = parse(ip_port);
    struct vnet_socket *s = mem_alloc(sizeof *s);

    host->net = net;
    host->name = mem_str(name);
    host->env = (struct env){&host_env_ops, host};
    prng_seed(&host->prng, net->seed * 0x9e3779b97f4a7c15 + ++net->n_seeded);
    host->place = nat != NULL ? &nat->lan : &net->internet;
    host->next_port = 49152;
    s->host = host;
    s->addr = addr;
    HASH_ADD(hh, host->sockets, addr.port, sizeof s->addr.port, s);
    host->main = s;
    list_append(&net->hosts, &host->link);
    add_stop(host->place, &addr, host, NULL);
    return host;
}

struct vnet_socket *vnet_open_port(struct vnet_host *host, uint16_t port, vnet_recv_cb recv, void *arg)
{
    struct vnet_socket *s;

    if (port == 0) {
        while (find_socket(host, host->next_port) != NULL)
            host->next_port = host->next_port == 65535 ? 49152 : host->next_port + 1;
        port = host->next_port;
        host->next_port = host->next_port == 65535 ? 49152 : host->next_port + 1;
    } else if (find_socket(host, port) != NULL) {
        return NULL;
    }
    s = mem_alloc(sizeof *s);
    s->host = host;
    s->addr = host->main->addr;
    s->addr.port = port;
    s->recv = recv;
    s->arg = arg;
    HASH_ADD(hh, host->sockets, addr.port, sizeof s->addr.port, s);
    return s;
}

void vnet_close_port(struct vnet_socket *s)
{
    if (s == NULL || s == s->host->main)
        return;
    HASH_DEL(s->host->sockets, s);
    mem_free(s);
}

struct clock_driver *vnet_drive(struct vnet_host *host, const struct clock_ops *ops, void *arg)
{
    struct clock_driver *d = clock_drive(host->net->clock, ops, arg);

    host->drivers = mem_resize(host->drivers, host->n_drivers + 1, sizeof *host->drivers);
    host->drivers[host->n_drivers++] = d;
    return d;
}

void vnet_undrive(struct vnet_host *host, struct clock_driver *driver)
{
    for (size_t i = 0; i < host->n_drivers; i++) {
        if (host->drivers[i] == driver) {
            host->drivers[i] = host->drivers[--host->n_drivers];
            clock_undrive(host->net->clock, driver);
            return;
        }
    }
}

void vnet_on_recv(struct vnet_host *host, vnet_recv_cb recv, void *arg)
{
    host->main->recv = recv;
    host->main->arg = arg;
}

void vnet_tap(struct vnet *net, struct vnet_host *host, vnet_tap_cb tap, void *arg)
{
    struct tap *t = mem_alloc(sizeof *t);

    t->host = host;
    t->cb = tap;
    t->arg = arg;
    list_append(&net->taps, &t->link);
}

void vnet_set_link_up(struct vnet_host *host, const struct vnet_link *link)
{
    host->up.link = *link;
}

void vnet_set_link_down(struct vnet_host *host, const struct vnet_link *link)
{
    host->down.link = *link;
}

void vnet_set_link(struct vnet_host *host, const struct vnet_link *link)
{
    vnet_set_link_up(host, link);
    vnet_set_link_down(host, link);
}

void vnet_set_uplink(struct vnet_nat *nat, const struct vnet_link *link)
{
    nat->up.link = *link;
    nat->down.link = *link;
}

void vnet_cut(struct vnet_host *host, bool is_cut)
{
    host->is_cut = is_cut;
}

void vnet_cut_nat(struct vnet_nat *nat, bool is_cut)
{
    nat->is_cut = is_cut;
}

void vnet_cut_between(struct vnet *net, const char *ip_a, const char *ip_b, bool is_cut)
{
    struct addr a = parse(ip_a), b = parse(ip_b);

    list_each_safe(l, &net->cuts)
    {
        struct cut *c = list_item(l, struct cut, link);

        if ((addr_equal_ip(&c->a, &a) && addr_equal_ip(&c->b, &b)) ||
            (addr_equal_ip(&c->a, &b) && addr_equal_ip(&c->b, &a))) {
            list_remove(l);
            mem_free(c);
        }
    }
    if (is_cut) {
        struct cut *c = mem_alloc(sizeof *c);

        c->a = a;
        c->b = b;
        list_append(&net->cuts, &c->link);
    }
}

void vnet_move(struct vnet_host *host, struct vnet_nat *nat, const char *ip)
{
    struct addr a = parse(ip);

    remove_stop(host->place, &host->main->addr);
    host->place = nat != NULL ? &nat->lan : &host->net->internet;
    for (struct vnet_socket *s = host->sockets; s != NULL; s = s->hh.next) {
        uint16_t port = s->addr.port;

        s->addr = a;
        s->addr.port = port;
    }
    add_stop(host->place, &host->main->addr, host, NULL);
}

void vnet_flush_nat(struct vnet_nat *nat)
{
    nat_flush(nat->table);
}

bool vnet_map_port(struct vnet_nat *nat, const struct addr *inside, uint16_t outside_port)
{
    return nat_map(nat->table, vnet_now(nat->net), inside, outside_port != 0 ? outside_port : inside->port);
}

void vnet_set_wall_offset(struct vnet_host *host, int64_t offset_ms)
{
    host->wall_offset_ms = offset_ms;
}

void vnet_log_level(struct vnet *net, enum log_level level)
{
    net->log_level = level;
}

struct clock *vnet_clock(struct vnet *net)
{
    return net->clock;
}

ns_t vnet_now(const struct vnet *net)
{
    return clock_now(net->clock);
}

bool vnet_run(struct vnet *net, ns_t until, clock_stop_cb stop, void *arg)
{
    return clock_run(net->clock, until, stop, arg);
}

bool vnet_run_for(struct vnet *net, ns_t span, clock_stop_cb stop, void *arg)
{
    return clock_run(net->clock, vnet_now(net) + span, stop, arg);
}

void vnet_after(struct vnet *net, ns_t delay, clock_cb cb, void *arg)
{
    clock_at(net->clock, vnet_now(net) + delay, cb, arg);
}

const struct vnet_stats *vnet_get_stats(const struct vnet *net)
{
    return &net->stats;
}

const char *vnet_name(const struct vnet_host *host)
{
    return host->name;
}

const struct addr *vnet_addr(const struct vnet_host *host)
{
    return &host->main->addr;
}

const struct env *vnet_env(struct vnet_host *host)
{
    return &host->env;
}

const struct addr *vnet_socket_addr(const struct vnet_socket *s)
{
    return &s->addr;
}

const struct addr *vnet_nat_addr(const struct vnet_nat *nat)
{
    return &nat->addr;
}
