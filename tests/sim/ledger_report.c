/* What came of a simulated economy. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/ledger_impl.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(double *v, size_t n, double q)
{
    size_t at;

    if (n == 0)
        return 0;
    qsort(v, n, sizeof *v, by_value);
    at = (size_t)(q * (double)(n - 1) + 0.5);
    return v[at];
}

static void add(struct econ_share *to, const struct econ_share *s)
{
    to->calls += s->calls;
    to->served += s->served;
    to->creditor += s->creditor;
}

static void classes(struct econ *e)
{
    double region_got = 0, region_gave = 0;

    for (uint32_t v = 0; v < e->n_agents; v++) {
        const struct agent *a = &e->agents[v];
        double ratio = a->demand_s > 0 ? a->gave_s / a->demand_s : 9;

        if (a->is_attacker || a->class == ECON_SYBIL) {
            region_got += a->got_creditor_s;
            region_gave += a->gave_s * 0.6; /* of the counted time, as is what it got */
        }
        if (a->is_attacker || a->is_defrauder || a->withholds || a->inflates)
            continue; /* the attackers' own calls are no measure of how others fare */
        add(&e->out->by[a->class], &a->share);
        if (a->class != ECON_CONTRIBUTOR)
            continue;
        add(&e->out->supply[ratio < 0.5 ? 0 : ratio < 1 ? 1 : ratio < 1.5 ? 2 : 3], &a->share);
        if (ratio >= 1)
            add(&e->out->solvent, &a->share);
    }
    e->out->sybil_gain = region_gave > 0 ? region_got / region_gave : region_got > 0 ? INFINITY : 0;
}

static void newcomers(struct econ *e)
{
    double *first = calloc(e->p.newcomers + 1, sizeof *first);
    double *creditor = calloc(e->p.newcomers + 1, sizeof *creditor);
    size_t n = 0;

    for (uint32_t v = 0; v < e->n_agents; v++) {
        const struct agent *a = &e->agents[v];

        if (a->class != ECON_NEWCOMER)
            continue;
        first[n] = (double)((a->first_service_at != 0 ? a->first_service_at : e->end) - a->joined_at) /
                   NS_PER_S / 60;
        creditor[n] = (double)((a->first_creditor_at != 0 ? a->first_creditor_at : e->end) - a->joined_at) /
                      NS_PER_S / 60;
        n++;
    }
    e->out->first_median_min = quantile(first, n, 0.5);
    e->out->first_p90_min = quantile(first, n, 0.9);
    e->out->creditor_p90_min = quantile(creditor, n, 0.9);
    free(first);
    free(creditor);
}

static void relays(struct econ *e)
{
    double *use = calloc(e->n_agents, sizeof *use), sum = 0, weighted = 0, accounts = 0;
    size_t n = 0;

    for (uint32_t v = 0; v < e->n_agents; v++) {
        struct agent *a = &e->agents[v];

        if (!a->is_relay)
            continue;
        accounts += a->pairs.n;
        e->out->accounts_max = fmax(e->out->accounts_max, a->pairs.n);
        if (a->is_online)
            a->online_s += (double)(e->now - a->up_since) / NS_PER_S;
        if (a->online_s > 36000)
            use[n++] = a->used_s / a->online_s / a->slots;
    }
    qsort(use, n, sizeof *use, by_value);
    for (size_t i = 0; i < n; i++) {
        sum += use[i];
        weighted += (double)(i + 1) * use[i];
    }
    e->out->gini = n > 0 && sum > 0 ? 2 * weighted / ((double)n * sum) - ((double)n + 1) / (double)n : 0;
    e->out->accounts_mean = n > 0 ? accounts / (double)n : 0;
    free(use);
}

static void frauds(struct econ *e)
{
    double defrauders = 0, withholders = 0, withheld = 0;

    for (uint32_t v = 0; v < e->n_agents; v++) {
        defrauders += e->agents[v].is_defrauder;
        withholders += e->agents[v].withholds;
        withheld += e->agents[v].unsigned_s;
    }
    e->out->fraud_gain_s = defrauders > 0 ? e->fraud_s / defrauders : 0;
    e->out->withheld_s = withholders > 0 ? withheld / withholders : 0;
    e->out->inflated_pct = e->inflated_of_s > 0 ? 100 * e->inflated_s / e->inflated_of_s : 0;
}

static double seen_pct(const struct econ *e, uint64_t n, size_t when)
{
    return e->seen_calls[when] > 0 ? 100 * (double)n / (double)e->seen_calls[when] : 0;
}

void econ_report(struct econ *e)
{
    double tranches = (double)(e->tranches[1] + e->tranches[2] + e->tranches[3]);

    classes(e);
    newcomers(e);
    relays(e);
    frauds(e);
    e->out->stranger_capacity_pct = e->all_s > 0 ? 100 * e->stranger_s / e->all_s : 0;
    if (tranches > 0) {
        e->out->pay_direct = (double)e->tranches[FLOW_DIRECT] / tranches;
        e->out->pay_two = (double)e->tranches[FLOW_TWO_HOPS] / tranches;
        e->out->pay_three = (double)e->tranches[FLOW_THREE_HOPS] / tranches;
        e->out->pay_at_risk = (double)e->at_risk / tranches;
    }
    e->out->harmed_early_pct = seen_pct(e, e->harmed[0], 0);
    e->out->harmed_late_pct = seen_pct(e, e->harmed[1], 1);
    e->out->harmed_last_pct = seen_pct(e, e->harmed[2], 2);
    for (size_t when = 0; when < 3; when++) {
        e->out->harmed_new_pct[when] = seen_pct(e, e->harmed_by_new[when], when);
        e->out->harmed_known_pct[when] = seen_pct(e, e->harmed_by_known[when], when);
    }
    e->out->tries_mean = e->out->started > 0 ? (double)e->tried / (double)e->out->started : 0;
}

const char *econ_policy_name(enum econ_policy policy)
{
    static const char *const names[ECON_POLICIES] = {
        [ECON_LEDGER] = "ledger",
        [ECON_NONE] = "none",
        [ECON_ORACLE] = "oracle",
        [ECON_TIT_FOR_TAT] = "tit-for-tat",
        [ECON_BITSWAP] = "bitswap",
        [ECON_BARTER_BAN] = "bartercast-ban",
        [ECON_BARTER_STRICT] = "bartercast-strict",
        [ECON_EIGENTRUST] = "eigentrust",
    };

    return names[policy];
}

double econ_pct(const struct econ_share *s)
{
    return s->calls > 0 ? 100 * (double)s->served / (double)s->calls : 0;
}
