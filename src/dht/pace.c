#include "dht/pace.h"

#include "base/mem.h"

#define PROBES      8 /* places an address may lie in */
#define HOST_GAP_NS (NS_PER_S / PACE_HOST_PER_S + 1)
#define HOST_LEAD   ((PACE_HOST_BURST - 1) * HOST_GAP_NS)

struct pace *pace_create(const struct env *env)
{
    struct pace *p = mem_alloc(sizeof *p);

    env_random(env, &p->secret, sizeof p->secret);
    return p;
}

void pace_destroy(struct pace *p)
{
    mem_free(p);
}

static uint64_t mix(uint64_t v, uint64_t more)
{
    v = (v ^ more) * 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio: spreads */
    return v ^ v >> 29;
}

static uint64_t tag_of(const struct pace *p, const struct addr *a, uint16_t port)
{
    uint64_t v = mix(p->secret, (uint64_t)a->family << 16 | port);

    for (unsigned i = 0; i < sizeof a->ip; i++)
        v = mix(v, a->ip[i]);
    return v | 1;
}

/* The place of a tag, or one that has nothing to remember any more. */
static struct pace_node *node_slot(struct pace *p, ns_t now, uint64_t tag)
{
    struct pace_node *empty = NULL;

    for (unsigned i = 0; i < PROBES; i++) {
        struct pace_node *n = &p->nodes[((tag >> 20) + i) & (PACE_SLOTS - 1)];

        if (n->tag == tag)
            return n;
        if (empty == NULL && (n->tag == 0 || n->sent[PACE_NODE_PER_S - 1] + PACE_WINDOW_NS <= now))
            empty = n;
    }
    if (empty != NULL)
        *empty = (struct pace_node){.tag = tag};
    return empty;
}

static struct pace_host *host_slot(struct pace *p, ns_t now, uint64_t tag)
{
    struct pace_host *empty = NULL;

    for (unsigned i = 0; i < PROBES; i++) {
        struct pace_host *h = &p->hosts[((tag >> 20) + i) & (PACE_SLOTS - 1)];

        if (h->tag == tag)
            return h;
        if (empty == NULL && (h->tag == 0 || h->full_at <= now))
            empty = h;
    }
    if (empty != NULL)
        *empty = (struct pace_host){.tag = tag};
    return empty;
}

/* Packets to one place leave in the order they were reserved, so the later of both limits holds for what follows. */
static ns_t reserve(struct pace *p, ns_t now, const struct addr *to, ns_t until)
{
    struct pace_host *h = host_slot(p, now, tag_of(p, to, 0));
    struct pace_node *n = node_slot(p, now, tag_of(p, to, to->port));
    ns_t at = now, full;

    if (h == NULL || n == NULL)
        return NS_NEVER;
    if (n->sent[0] > 0 && n->sent[0] + PACE_WINDOW_NS > at)
        at = n->sent[0] + PACE_WINDOW_NS;
    if (n->sent[PACE_NODE_PER_S - 1] > at)
        at = n->sent[PACE_NODE_PER_S - 1];
    if (h->full_at > at + HOST_LEAD)
        at = h->full_at - HOST_LEAD;
    if (at > until)
        return NS_NEVER;
    full = h->full_at > at ? h->full_at : at;
    h->full_at = full + HOST_GAP_NS;
    memmove(n->sent, n->sent + 1, sizeof n->sent - sizeof n->sent[0]);
    n->sent[PACE_NODE_PER_S - 1] = at;
    return at;
}

ns_t pace_reserve(struct pace *p, ns_t now, const struct addr *to)
{
    return reserve(p, now, to, now + PACE_WAIT_NS);
}

bool pace_now(struct pace *p, ns_t now, const struct addr *to)
{
    return reserve(p, now, to, now) != NS_NEVER;
}
