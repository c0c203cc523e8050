/* app/relays_alloc.c - allocations at relays: where, what goes through them, and how good they are. */
#include <math.h>

#include "app/relays_priv.h"
#include "relay/favour_db.h"

#define ALLOC_WISH_S 600
#define PROBE_NS     (2 * NS_PER_S)
#define PROBE_WEIGHT 16 /* a line is known by half a minute of it */

static bool is_avoided(const struct link *l, const struct addr *avoid, size_t n_avoid)
{
    for (size_t i = 0; i < n_avoid; i++)
        if (addr_equal_ip(&avoid[i], &l->known->addr))
            return true;
    return false;
}

static struct link *best_link(struct relays *r, int other, const struct addr *avoid, size_t n_avoid)
{
    const struct link *taken = other >= 0 ? r->allocs[other].link : NULL;
    struct link *best = NULL;
    unsigned best_rank = 0;

    for (int i = 0; i < RELAYS_LINKS; i++) {
        struct link *l = &r->links[i];
        unsigned rank;

        if (l->known == NULL || !l->is_up || l->known->is_node || l == taken || l->doubt_at != 0 ||
            link_is_away(l, r->now))
            continue;
        rank = 2 * is_avoided(l, avoid, n_avoid) + link_is_poor(l);
        if (best != NULL && (rank > best_rank || (rank == best_rank && l->known->rtt >= best->known->rtt)))
            continue;
        best = l;
        best_rank = rank;
    }
    return best;
}

void relays_doubt(struct relays *r, ns_t now)
{
    r->now = now;
    for (int i = 0; i < RELAYS_ALLOCS; i++) {
        struct link *l = r->allocs[i].link;

        if (l == NULL || !l->is_up || l->doubt_at != 0)
            continue;
        l->doubt_at = now;
        session_ping(l->session, now);
    }
}

int relays_allocate(struct relays *r, ns_t now, int other, const struct addr *avoid, size_t n_avoid,
                    bool must_avoid)
{
    struct favour_pass pass;
    struct link *l;
    bool has_pass;

    r->now = now;
    l = best_link(r, other, avoid, n_avoid);
    if (l != NULL && must_avoid && is_avoided(l, avoid, n_avoid))
        return -1;
    for (int i = 0; l != NULL && i < RELAYS_ALLOCS; i++) {
        struct alloc *a = &r->allocs[i];

        if (a->link != NULL)
            continue;
        *a = (struct alloc){.owner = r, .slot = (uint16_t)i, .link = l};
        has_pass = favour_db_get_pass(r->config.db, l->known->node, &pass) == ERR_OK;
        a->request = relay_client_allocate(l->client, now, 1, ALLOC_WISH_S, has_pass ? pass.pass : NULL);
        secret_wipe(&pass, sizeof pass);
        if (a->request != 0)
            return i;
        a->link = NULL;
        return -1;
    }
    return -1;
}

static void close_turn(void *arg)
{
    turn_destroy(arg);
}

void relays_release(struct relays *r, ns_t now, uint16_t slot)
{
    struct alloc *a = &r->allocs[slot];

    r->now = now;
    if (slot >= RELAYS_ALLOCS || a->link == NULL)
        return;
    if (a->has_ticket && a->link->client != NULL)
        relay_client_release(a->link->client, now, a->alloc_id);
    if (a->turn != NULL) {
        turn_close(a->turn, now); /* says Refresh 0 once; lost, it ends by its lifetime */
        env_defer(r->env, close_turn, a->turn);
    }
    *a = (struct alloc){.owner = r, .slot = slot};
}

enum err relays_alloc_send(struct relays *r, ns_t now, uint16_t slot, const struct addr *to,
                           struct slice bytes)
{
    struct alloc *a = &r->allocs[slot];

    if (slot >= RELAYS_ALLOCS || a->turn == NULL || !a->is_up)
        return ERR_STATE;
    r->now = now;
    a->link->known->bytes += bytes.len;
    relay_client_account(a->link->client, now, a->alloc_id, bytes.len);
    return turn_send(a->turn, now, to, bytes);
}

/* ---- how good they are ---- */

static bool is_in_use(const struct relays *r)
{
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (r->allocs[i].is_up)
            return true;
    return false;
}

void link_probe(struct link *l, ns_t now)
{
    if (l->known->is_node || now < l->probe_at)
        return;
    if (l->probe_at != 0)
        l->unheard += ((session_heard_at(l->session) < l->probe_at - PROBE_NS) - l->unheard) / PROBE_WEIGHT;
    l->probe_at = is_in_use(l->owner) ? now + PROBE_NS : 0;
    if (l->probe_at != 0)
        session_ping(l->session, now);
}

double relays_line_loss(const struct relays *r)
{
    double least = 1;
    unsigned n = 0;

    for (int i = 0; i < RELAYS_LINKS; i++) {
        const struct link *l = &r->links[i];

        if (l->known == NULL || !l->is_up || l->known->is_node)
            continue;
        least = fmin(least, l->unheard);
        n++;
    }
    return n >= 2 ? least : 0;
}

/* What our own line lost meanwhile, by the other relays: the most of them, since who was unlucky there may have been here. */
static double own_loss(const struct relays *r, const struct link *at)
{
    double worst = 0;

    for (int i = 0; i < RELAYS_LINKS; i++)
        if (&r->links[i] != at && r->links[i].known != NULL)
            worst = fmax(worst, r->links[i].unheard);
    return worst;
}

void relays_judge(struct relays *r, ns_t now, uint16_t slot, double loss, double jitter_ms)
{
    struct alloc *a = slot < RELAYS_ALLOCS ? &r->allocs[slot] : NULL;
    double own;

    if (a == NULL || a->link == NULL || a->link->client == NULL || !a->has_ticket)
        return;
    own = own_loss(r, a->link);
    favour_db_judge(
        r->config.db, a->link->known->node,
        relay_client_quality(a->link->client, now, a->alloc_id, loss > own ? loss - own : 0, jitter_ms));
}

/* ---- asked about them ---- */

const uint8_t *relays_alloc_node(const struct relays *r, uint16_t slot)
{
    return slot < RELAYS_ALLOCS && r->allocs[slot].link != NULL ? r->allocs[slot].link->known->node : NULL;
}

const uint8_t *relays_at(const struct relays *r, const struct addr *ip)
{
    for (int i = 0; i < RELAYS_KNOWN; i++)
        if (r->known[i].is_used && !r->known[i].is_node && addr_equal_ip(&r->known[i].addr, ip))
            return r->known[i].node;
    return NULL;
}

bool relays_alloc_is_up(const struct relays *r, uint16_t slot, struct addr *relayed, struct addr *mapped)
{
    if (slot >= RELAYS_ALLOCS || !r->allocs[slot].is_up)
        return false;
    *relayed = *turn_relayed(r->allocs[slot].turn);
    *mapped = *turn_mapped(r->allocs[slot].turn);
    return true;
}

bool relays_is_server(const struct relays *r, const struct addr *from)
{
    for (int i = 0; i < RELAYS_ALLOCS; i++) {
        if (r->allocs[i].turn != NULL && addr_equal(turn_server(r->allocs[i].turn), from))
            return true;
    }
    return false;
}

bool relays_input(struct relays *r, ns_t now, const struct addr *from, struct slice bytes)
{
    r->now = now;
    for (int i = 0; i < RELAYS_ALLOCS; i++) {
        struct alloc *a = &r->allocs[i];

        if (a->turn != NULL && addr_equal(turn_server(a->turn), from) && turn_input(a->turn, now, bytes))
            return true;
    }
    return false;
}
