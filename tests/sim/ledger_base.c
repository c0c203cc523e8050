/* The policies that the ledger is compared with, as LEDGER.md §10 and §11 have them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/ledger_impl.h"

bool base_has_pool(enum econ_policy policy)
{
    return policy != ECON_NONE && policy != ECON_BITSWAP && policy != ECON_BARTER_BAN;
}

static bool is_region(const struct agent *a)
{
    return a->is_attacker || a->class == ECON_SYBIL;
}

/* Service that `from` gave `to`, as `to` reports it to everybody. */
static double reported(struct econ *e, uint32_t to, uint32_t from)
{
    const struct pair *p;

    if (is_region(&e->agents[to]) && from < e->n_agents && is_region(&e->agents[from]))
        return FAKE_EDGE_S;
    p = econ_pair(e, to, from, false);
    return p != NULL ? p->a.got_s : 0;
}

static double two_hop_flow(struct econ *e, uint32_t from, uint32_t to)
{
    const struct pairs *near = &e->agents[to].pairs;
    const struct pair *direct = econ_pair(e, to, from, false);
    double flow = direct != NULL ? direct->a.got_s : 0;

    if (e->agents[from].gave_s == 0 && !is_region(&e->agents[from]))
        return 0; /* nobody reports anything */
    for (uint32_t i = 0; i < near->n; i++) {
        const struct pair *p = &near->rows[i];
        double second;

        if (p->peer >= e->n_agents || p->peer == from || p->a.got_s <= 0)
            continue;
        second = reported(e, p->peer, from);
        flow += second < p->a.got_s ? second : p->a.got_s;
    }
    return flow;
}

/* A value of at most floor_s need not be exact: it is one of at most floor_s anyway. */
static double net_flow(struct econ *e, uint32_t relay, uint32_t caller, double floor_s)
{
    uint32_t alias = e->agents[caller].alias;
    double in;

    if (alias >= e->n_agents) { /* a name nobody has heard of, but for what it took here */
        const struct pair *p = econ_pair(e, relay, alias, false);

        return p != NULL ? -p->gave_s : 0;
    }
    in = two_hop_flow(e, caller, relay);
    return in <= floor_s ? in : in - two_hop_flow(e, relay, caller);
}

static bool bitswap(struct econ *e, uint32_t relay, uint32_t alias)
{
    const struct pair *p = econ_pair(e, relay, alias, false);
    double sent = p != NULL ? p->gave_s / 60 : 0, received = p != NULL ? p->a.got_s / 60 : 0;
    double r = sent / (received + 1);

    return econ_random(e) < 1 - 1 / (1 + exp(6 - 3 * r));
}

bool base_admits(struct econ *e, uint32_t relay, uint32_t caller)
{
    switch (e->p.policy) {
    case ECON_BITSWAP:
        return bitswap(e, relay, e->agents[caller].alias);
    case ECON_BARTER_BAN:
        return atan(net_flow(e, relay, caller, -INFINITY) / 3600) / (M_PI / 2) >= -0.5;
    default:
        return true;
    }
}

enum ledger_class base_class(struct econ *e, uint32_t relay, uint32_t caller)
{
    const struct agent *c = &e->agents[caller];
    const struct pair *p;
    bool is_creditor = false;

    switch (e->p.policy) {
    case ECON_ORACLE:
        is_creditor = (c->is_relay && !c->is_attacker) || c->class == ECON_SPONSORED;
        break;
    case ECON_TIT_FOR_TAT:
        p = econ_pair(e, relay, c->alias, false);
        is_creditor = p != NULL && p->a.got_s > 0 && p->a.debt_s <= 0;
        break;
    case ECON_BARTER_STRICT:
        is_creditor = net_flow(e, relay, caller, 0) > 0;
        break;
    case ECON_EIGENTRUST:
        is_creditor = c->trust > 0 && c->alias < e->n_agents;
        break;
    default:
        break;
    }
    return is_creditor ? LEDGER_CREDITOR : LEDGER_STRANGER;
}

/* --- EigenTrust: all trust of all, by power iteration; 2 % pre-trusted relays --- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double row_sum(const struct econ *e, uint32_t i)
{
    const struct pairs *p = &e->agents[i].pairs;
    double sum = 0;

    for (uint32_t j = 0; j < p->n; j++) {
        if (p->rows[j].peer < e->n_agents)
            sum += p->rows[j].a.got_s;
    }
    return sum;
}

/* Attackers give all their trust to the sybils, and those give it back. */
static void spread_region(const struct econ *e, uint32_t i, double t, double *next)
{
    bool to_sybils = e->agents[i].is_attacker && e->p.sybils > 0;
    double n = to_sybils ? e->p.sybils : e->p.attackers;

    for (uint32_t j = 0; j < e->n_agents && n > 0; j++) {
        const struct agent *a = &e->agents[j];

        if (to_sybils ? a->class == ECON_SYBIL : a->is_attacker)
            next[j] += t / n;
    }
}

static void iterate(struct econ *e, const double *t, double *next, uint32_t n_trusted)
{
    for (uint32_t i = 0; i < e->n_agents; i++)
        next[i] = 0;
    for (uint32_t i = 0; i < e->n_agents; i++) {
        const struct pairs *p = &e->agents[i].pairs;
        double sum = row_sum(e, i);

        if (t[i] <= 0)
            continue;
        if (is_region(&e->agents[i])) {
            spread_region(e, i, t[i], next);
            continue;
        }
        for (uint32_t j = 0; j < p->n && sum > 0; j++) {
            if (p->rows[j].peer < e->n_agents)
                next[p->rows[j].peer] += t[i] * p->rows[j].a.got_s / sum;
        }
        for (uint32_t j = 0; j < n_trusted && sum <= 0; j++)
            next[j] += t[i] / n_trusted;
    }
    for (uint32_t i = 0; i < e->n_agents; i++)
        next[i] = 0.9 * next[i] + (i < n_trusted ? 0.1 / n_trusted : 0);
}

void base_trust(struct econ *e)
{
    double *t = calloc(e->n_agents, sizeof *t), *next = calloc(e->n_agents, sizeof *next), *swap;
    uint32_t n_trusted = e->p.n / 50 > 0 ? e->p.n / 50 : 1, positive = 0;
    double threshold;

    for (uint32_t i = 0; i < n_trusted; i++)
        t[i] = 1.0 / n_trusted; /* the first agents are relays */
    for (int round = 0; round < 12; round++) {
        iterate(e, t, next, n_trusted);
        swap = t;
        t = next;
        next = swap;
    }
    for (uint32_t i = 0; i < e->n_agents; i++) {
        if (t[i] > 1e-12)
            next[positive++] = t[i];
    }
    qsort(next, positive, sizeof *next, by_value);
    threshold = positive > 0 ? 0.1 * next[positive / 2] : 0;
    for (uint32_t i = 0; i < e->n_agents; i++)
        e->agents[i].trust = t[i] > 1e-12 && t[i] >= threshold ? t[i] : 0;
    free(t);
    free(next);
}
