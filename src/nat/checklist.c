#include "nat/checklist.h"

bool checklist_has_base(const struct checklist *l, uint8_t base)
{
    for (unsigned i = 0; i < l->n_locals; i++)
        if (l->locals[i].base == base)
            return true;
    return false;
}

bool checklist_base_is_relayed(const struct checklist *l, uint8_t base)
{
    for (unsigned i = 0; i < l->n_locals; i++)
        if (l->locals[i].base == base && l->locals[i].type != CANDIDATE_RELAYED)
            return false;
    return true;
}

static bool is_own(const struct checklist *l, const struct addr *a)
{
    for (unsigned i = 0; i < l->n_locals; i++)
        if (addr_equal(&l->locals[i].addr, a))
            return true;
    return false;
}

/* May this base ask this address (THREATS.md §4.9)? Global ones, and others when it has one of the same class:
 * a host candidate, or for a relay of a private network the relayed one. */
static bool may_pair(const struct checklist *l, uint8_t base, const struct addr *remote)
{
    enum addr_class cls = addr_class(remote);
    bool has_family = false, has_class = false;

    for (unsigned i = 0; i < l->n_locals; i++) {
        const struct candidate *c = &l->locals[i];

        if (c->base != base || c->addr.family != remote->family)
            continue;
        if (l->is_relay_only && addr_equal_ip(&c->addr, remote))
            return false; /* one relay for both legs would see both ends */
        has_family = true;
        if ((c->type == CANDIDATE_HOST || c->type == CANDIDATE_RELAYED) && addr_class(&c->addr) == cls)
            has_class = true;
    }
    if (!has_family || is_own(l, remote) || cls == ADDR_UNUSABLE)
        return false;
    if (cls == ADDR_LOOPBACK)
        return l->allow_loopback;
    return cls == ADDR_GLOBAL || has_class;
}

enum err checklist_add_local(struct checklist *l, const struct candidate *c)
{
    unsigned n_bases = 0;
    bool is_new = !checklist_has_base(l, c->base);

    for (unsigned b = 0; b < 256; b++)
        n_bases += checklist_has_base(l, (uint8_t)b);
    if (addr_ip_bytes(&c->addr) == 0 || c->addr.port == 0)
        return ERR_RANGE;
    for (unsigned i = 0; i < l->n_locals; i++)
        if (l->locals[i].base == c->base && addr_equal(&l->locals[i].addr, &c->addr))
            return ERR_EXISTS;
    if (l->n_locals == ICE_LOCALS_MAX || (is_new && n_bases == ICE_BASES_MAX))
        return ERR_FULL;
    l->locals[l->n_locals++] = *c;
    return ERR_OK;
}

/* Theirs is a relay: also a peer-reflexive one whose type preference is 0. */
static bool is_relay(const struct candidate *r)
{
    return r->type == CANDIDATE_RELAYED || r->priority >> 24 == 0;
}

/* A relay somewhere on the way: ours, or theirs. */
static bool is_relayed(const struct checklist *l, const struct pair *p)
{
    return checklist_base_is_relayed(l, p->base) || is_relay(&l->remotes[p->remote]);
}

/* Does p go through a relay at this IP address? */
static bool goes_by(const struct checklist *l, const struct pair *p, const struct addr *ip)
{
    const struct candidate *r = &l->remotes[p->remote];

    if (is_relay(r) && addr_equal_ip(&r->addr, ip))
        return true;
    for (unsigned i = 0; i < l->n_locals; i++)
        if (l->locals[i].base == p->base && l->locals[i].type == CANDIDATE_RELAYED &&
            addr_equal_ip(&l->locals[i].addr, ip))
            return true;
    return false;
}

bool checklist_shares_relay(const struct checklist *l, const struct pair *a, const struct pair *b)
{
    const struct candidate *r = &l->remotes[a->remote];

    if (is_relay(r) && goes_by(l, b, &r->addr))
        return true;
    for (unsigned i = 0; i < l->n_locals; i++)
        if (l->locals[i].base == a->base && l->locals[i].type == CANDIDATE_RELAYED &&
            goes_by(l, b, &l->locals[i].addr))
            return true;
    return false;
}

static void rank(struct checklist *l, struct pair *p)
{
    uint32_t ours = 0, theirs = l->remotes[p->remote].priority;

    for (unsigned i = 0; i < l->n_locals; i++)
        if (l->locals[i].base == p->base && l->locals[i].priority > ours)
            ours = l->locals[i].priority;
    p->priority =
        l->is_controlling ? candidate_pair_priority(ours, theirs) : candidate_pair_priority(theirs, ours);
    p->is_relayed = is_relayed(l, p);
}

static void rank_all(struct checklist *l)
{
    for (unsigned i = 0; i < l->n_pairs; i++)
        rank(l, &l->pairs[i]);
}

enum err checklist_add_remote(struct checklist *l, const struct candidate *c)
{
    enum addr_class cls = addr_class(&c->addr);
    unsigned n_prflx = 0;

    if (cls == ADDR_UNUSABLE || (cls == ADDR_LOOPBACK && !l->allow_loopback) || c->addr.port == 0 ||
        is_own(l, &c->addr) || (l->is_relay_only && !is_relay(c)))
        return ERR_REFUSED;
    for (unsigned i = 0; i < l->n_remotes; i++) {
        if (!addr_equal(&l->remotes[i].addr, &c->addr))
            continue;
        if (l->remotes[i].type == CANDIDATE_PRFLX && c->type != CANDIDATE_PRFLX) {
            l->remotes[i] = *c; /* signalling was slower than the packet (RFC 8445 §7.3.1.3) */
            rank_all(l);
        }
        return ERR_EXISTS;
    }
    for (unsigned i = 0; i < l->n_remotes; i++)
        n_prflx += l->remotes[i].type == CANDIDATE_PRFLX;
    if (l->n_remotes == ICE_REMOTES_MAX || (c->type == CANDIDATE_PRFLX && n_prflx == ICE_PRFLX_MAX))
        return ERR_FULL;
    l->remotes[l->n_remotes++] = *c;
    return ERR_OK;
}

static void pair_one(struct checklist *l, uint8_t base, unsigned remote)
{
    struct pair *p;

    if (l->n_pairs == CHECK_PAIRS_MAX || !may_pair(l, base, &l->remotes[remote].addr) ||
        checklist_find(l, base, &l->remotes[remote].addr) != NULL)
        return;
    p = &l->pairs[l->n_pairs++];
    memset(p, 0, sizeof *p);
    p->base = base;
    p->remote = (uint8_t)remote;
}

void checklist_pair_all(struct checklist *l)
{
    for (unsigned i = 0; i < l->n_locals; i++)
        for (unsigned r = 0; r < l->n_remotes; r++)
            pair_one(l, l->locals[i].base, r);
    rank_all(l);
}

bool checklist_leaves(const struct checklist *l, const struct pair *p)
{
    return (p->base < ICE_BASES_MAX && l->base_leaves[p->base]) || l->remote_leaves[p->remote];
}

void checklist_remove_base(struct checklist *l, uint8_t base)
{
    unsigned n = 0;

    if (base < ICE_BASES_MAX)
        l->base_leaves[base] = false;

    for (unsigned i = 0; i < l->n_locals; i++)
        if (l->locals[i].base != base)
            l->locals[n++] = l->locals[i];
    l->n_locals = n;
    n = 0;
    for (unsigned i = 0; i < l->n_pairs; i++)
        if (l->pairs[i].base != base)
            l->pairs[n++] = l->pairs[i];
    l->n_pairs = n;
}

void checklist_forget_remotes(struct checklist *l)
{
    l->n_remotes = 0;
    l->n_pairs = 0;
    memset(l->remote_leaves, 0, sizeof l->remote_leaves);
}

void checklist_set_role(struct checklist *l, bool is_controlling)
{
    l->is_controlling = is_controlling;
    rank_all(l);
}

struct pair *checklist_find(struct checklist *l, uint8_t base, const struct addr *remote)
{
    for (unsigned i = 0; i < l->n_pairs; i++)
        if (l->pairs[i].base == base && addr_equal(&l->remotes[l->pairs[i].remote].addr, remote))
            return &l->pairs[i];
    return NULL;
}

struct pair *checklist_find_id(struct checklist *l, const uint8_t id[static STUN_ID_BYTES], unsigned *slot)
{
    for (unsigned i = 0; i < l->n_pairs; i++) {
        struct pair *p = &l->pairs[i];
        uint8_t back = (uint8_t)(p->id[STUN_ID_BYTES - 1] - id[STUN_ID_BYTES - 1]);

        if (memcmp(p->id, id, STUN_ID_BYTES - 1) != 0)
            continue;
        *slot = id[STUN_ID_BYTES - 1] % CHECK_SLOTS;
        return back < CHECK_SLOTS && p->slots[*slot].sent_at != 0 ? p : NULL;
    }
    return NULL;
}

ns_t pair_sent_last_at(const struct pair *p)
{
    return p->slots[p->id[STUN_ID_BYTES - 1] % CHECK_SLOTS].sent_at;
}

bool pair_is_better(const struct pair *a, const struct pair *b)
{
    return a->is_relayed != b->is_relayed ? b->is_relayed : a->priority > b->priority;
}

/* a is checked before b. Triggered ones go first in three turns of four, so that a flood of them does not hold
 * up the rest; direct and relayed ones go in turn; then by priority. */
static bool is_before(const struct checklist *l, const struct pair *a, const struct pair *b)
{
    if (a->is_triggered != b->is_triggered)
        return a->is_triggered == (l->turn % 4 != 3);
    if (a->is_relayed != b->is_relayed)
        return a->is_relayed == (l->turn / (l->turn % 4 == 3 ? 4 : 1) % 2);
    return a->priority > b->priority;
}

struct pair *checklist_next(struct checklist *l, ns_t now, const struct pair *but)
{
    struct pair *best = NULL;

    for (unsigned i = 0; i < l->n_pairs; i++) {
        struct pair *p = &l->pairs[i];

        if (p != but && p->next_at <= now && (best == NULL || is_before(l, p, best)))
            best = p;
    }
    l->turn += best != NULL;
    return best;
}

ns_t checklist_deadline(const struct checklist *l, const struct pair *but)
{
    ns_t at = NS_NEVER;

    for (unsigned i = 0; i < l->n_pairs; i++)
        if (&l->pairs[i] != but)
            at = ns_min(at, l->pairs[i].next_at);
    return at;
}

/* 0: none; the more, the less it is to be chosen. */
static int doubts(const struct checklist *l, const struct pair *p, ns_t now)
{
    return checklist_leaves(l, p) + 2 * (p->avoid_until > now);
}

struct pair *checklist_best(struct checklist *l, ns_t now, ns_t fresh, const struct pair *but)
{
    struct pair *best = NULL;

    for (unsigned i = 0; i < l->n_pairs; i++) {
        struct pair *p = &l->pairs[i];

        if (p == but || p->state != PAIR_VALID || p->heard_at < fresh)
            continue;
        if (best == NULL || doubts(l, best, now) > doubts(l, p, now) ||
            (doubts(l, best, now) == doubts(l, p, now) && pair_is_better(p, best)))
            best = p;
    }
    return best;
}
