#include "tests/sim/nat.h"

#include "base/list.h"
#include "base/mem.h"
#include "tests/sim/prng.h"

#define TIMEOUT_NS (120 * NS_PER_S)

struct mapping {
    struct list link;
    struct addr inside, toward; /* toward: none, an IP, or IP and port, as the mapping behaviour is */
    uint16_t port;
    bool is_static;
    ns_t used_at;
    struct addr filters[NAT_FILTERS_MAX]; /* where the inside host has sent through it */
    unsigned n_filters, next_filter;
};

struct nat {
    struct vnet_nat_config config;
    struct prng prng;
    struct list mappings;
    uint16_t last_port;
};

struct nat *nat_create(const struct vnet_nat_config *config, uint64_t seed)
{
    struct nat *n = mem_alloc(sizeof *n);

    n->config = *config;
    if (n->config.timeout_ns == 0)
        n->config.timeout_ns = TIMEOUT_NS;
    prng_seed(&n->prng, seed);
    n->last_port = (uint16_t)(20000 + prng_next(&n->prng) % 20000);
    list_init(&n->mappings);
    return n;
}

void nat_flush(struct nat *n)
{
    list_each_safe(l, &n->mappings)
    {
        list_remove(l);
        mem_free(list_item(l, struct mapping, link));
    }
}

void nat_destroy(struct nat *n)
{
    if (n == NULL)
        return;
    nat_flush(n);
    mem_free(n);
}

static void forget_idle(struct nat *n, ns_t now)
{
    list_each_safe(l, &n->mappings)
    {
        struct mapping *m = list_item(l, struct mapping, link);

        if (!m->is_static && m->used_at + n->config.timeout_ns <= now) {
            list_remove(l);
            mem_free(m);
        }
    }
}

static struct mapping *by_port(struct nat *n, unsigned port)
{
    list_each(l, &n->mappings)
    {
        struct mapping *m = list_item(l, struct mapping, link);

        if (m->port == port)
            return m;
    }
    return NULL;
}

static uint16_t free_port(struct nat *n, uint16_t inside)
{
    unsigned port = inside;

    switch (n->config.ports) {
    case VNET_PORTS_KEEP:
        while (port < 1024 || by_port(n, port) != NULL)
            port = port + 2 > 65535 ? 1024 + (port & 1) : port + 2;
        break;
    case VNET_PORTS_RANDOM:
        do
            port = 1024 + (unsigned)(prng_next(&n->prng) % (65536 - 1024));
        while (by_port(n, port) != NULL);
        break;
    case VNET_PORTS_SEQUENTIAL:
        do
            n->last_port = n->last_port == 65535 ? 1024 : n->last_port + 1;
        while (by_port(n, n->last_port) != NULL);
        port = n->last_port;
        break;
    }
    return (uint16_t)port;
}

static struct mapping *add(struct nat *n, ns_t now, const struct addr *inside, uint16_t port)
{
    struct mapping *m = mem_alloc(sizeof *m);

    m->inside = *inside;
    m->port = port;
    m->used_at = now;
    list_append(&n->mappings, &m->link);
    return m;
}

static struct mapping *toward(struct nat *n, ns_t now, const struct addr *inside, const struct addr *to)
{
    struct addr key = {.family = ADDR_NONE};
    struct mapping *m;

    if (n->config.mapping != VNET_EI)
        key = *to;
    if (n->config.mapping == VNET_AD)
        key.port = 0;
    list_each(l, &n->mappings)
    {
        m = list_item(l, struct mapping, link);
        if (addr_equal(&m->inside, inside) && (m->is_static || addr_equal(&m->toward, &key)))
            return m;
    }
    m = add(n, now, inside, free_port(n, inside->port));
    m->toward = key;
    return m;
}

uint16_t nat_outbound(struct nat *n, ns_t now, const struct addr *inside, const struct addr *to)
{
    struct mapping *m;

    forget_idle(n, now);
    m = toward(n, now, inside, to);
    m->used_at = now;
    for (unsigned i = 0; i < m->n_filters; i++)
        if (addr_equal(&m->filters[i], to))
            return m->port;
    m->filters[m->next_filter] = *to;
    m->next_filter = (m->next_filter + 1) % NAT_FILTERS_MAX;
    if (m->n_filters < NAT_FILTERS_MAX)
        m->n_filters++;
    return m->port;
}

static bool lets_in(const struct nat *n, const struct mapping *m, const struct addr *from)
{
    bool by_ip = n->config.filtering == VNET_AD;

    if (n->config.filtering == VNET_EI || m->is_static)
        return true;
    for (unsigned i = 0; i < m->n_filters; i++)
        if (by_ip ? addr_equal_ip(&m->filters[i], from) : addr_equal(&m->filters[i], from))
            return true;
    return false;
}

const struct addr *nat_inbound(struct nat *n, ns_t now, uint16_t port, const struct addr *from)
{
    struct mapping *m;

    forget_idle(n, now);
    m = by_port(n, port);
    if (m == NULL || !lets_in(n, m, from))
        return NULL;
    if (!n->config.no_inbound_refresh)
        m->used_at = now;
    return &m->inside;
}

bool nat_map(struct nat *n, ns_t now, const struct addr *inside, uint16_t port)
{
    forget_idle(n, now);
    if (by_port(n, port) != NULL)
        return false;
    add(n, now, inside, port)->is_static = true;
    return true;
}
