#include "relay/ledger.h"

#include <math.h>

static double at_most(double v, double max)
{
    return v < max ? v : max;
}

static double at_least(double v, double min)
{
    return v > min ? v : min;
}

/* --- accounts --- */

void ledger_age(struct ledger_account *a, int32_t today)
{
    double factor;

    if (today <= a->day) /* a clock set back ages nothing, twice */
        return;
    factor = exp2(-(double)(today - a->day) / LEDGER_HALF_LIFE_DAYS);
    a->got_s *= factor;
    a->debt_s *= factor;
    a->day = today;
}

void ledger_got(struct ledger_account *a, double slot_s, int32_t today)
{
    ledger_age(a, today);
    a->got_s += slot_s;
    a->debt_s -= slot_s;
}

void ledger_gave(struct ledger_account *a, double slot_s, int32_t today)
{
    ledger_age(a, today);
    a->debt_s += slot_s;
}

void ledger_owe(struct ledger_account *a, double slot_s, int32_t today)
{
    ledger_age(a, today);
    a->debt_s += slot_s;
}

void ledger_forgive(struct ledger_account *a, uint32_t line_s, uint16_t per_days, int32_t today)
{
    double refill;

    if (today <= a->day || per_days == 0 || a->debt_s <= 0)
        return;
    refill = (double)line_s * (double)(today - a->day) / per_days;
    a->debt_s = at_least(a->debt_s - refill, 0);
}

double ledger_line(const struct ledger_account *a, double kappa)
{
    double earned = at_least(a->got_s, 0);
    double line = at_most(LEDGER_BOOST * earned, LEDGER_L0_S) + kappa * earned;

    return a->is_void ? 0 : at_most(line, LEDGER_LINE_MAX_S) + at_least(a->sponsor_s, 0);
}

double ledger_avail(const struct ledger_account *a, double kappa)
{
    return a->is_void ? 0 : ledger_line(a, kappa) - a->debt_s;
}

double ledger_kappa(double creditor_share)
{
    return creditor_share < LEDGER_KAPPA_LOAD ? LEDGER_KAPPA_HI : LEDGER_KAPPA_LO;
}

double ledger_credit(double direct_avail, const struct ledger_hop *hops, size_t n_hops)
{
    double credit = at_least(direct_avail, 0), best = 0;

    if (credit >= LEDGER_TRANCHE_S)
        return credit;
    for (size_t i = 0; i < n_hops && i < LEDGER_HOPS_TRIED; i++)
        best = at_least(best, at_most(hops[i].relay_avail, hops[i].neighbour_avail));
    /* Whole tranches only: a cheque is drawn for one. */
    return credit + floor(best / LEDGER_TRANCHE_S) * LEDGER_TRANCHE_S;
}

/* --- quality --- */

#define PRIOR_GOOD 1.5
#define PRIOR_BAD  0.5

void ledger_quality_age(struct ledger_quality *q, int32_t today)
{
    double factor;

    if (today <= q->day)
        return;
    factor = exp2(-(double)(today - q->day) / LEDGER_QUAL_HALF_DAYS);
    q->good *= factor;
    q->bad *= factor;
    q->day = today;
}

void ledger_quality_note(struct ledger_quality *q, bool is_good, int32_t today)
{
    ledger_quality_age(q, today);
    if (is_good)
        q->good += 1;
    else
        q->bad += 1;
}

static double beta_mean(double good, double bad)
{
    return (good + PRIOR_GOOD) / (good + bad + PRIOR_GOOD + PRIOR_BAD);
}

double ledger_quality_mean(const struct ledger_quality *q)
{
    return beta_mean(q->good, q->bad);
}

void ledger_credence_note(struct ledger_credence *c, const struct ledger_hearsay *said, bool was_good)
{
    if (said->good == said->bad)
        return;
    if ((said->good > said->bad) == was_good)
        c->right++;
    else
        c->wrong++;
}

double ledger_credence(const struct ledger_credence *c)
{
    /* Beta mean, prior (1, 1), of which what a coin would reach is nothing. */
    return at_least(2 * (c->right + 1.0) / (c->right + c->wrong + 2.0) - 1, 0);
}

double ledger_quality_heard(const struct ledger_quality *q, const struct ledger_hearsay *heard, size_t n,
                            int32_t today)
{
    double good = 0, bad = 0, all;

    for (size_t i = 0; i < n && i < LEDGER_HEARSAY_ROWS; i++) {
        const struct ledger_hearsay *h = &heard[i];
        double sum = at_least(h->good, 0) + at_least(h->bad, 0), weight;

        if (sum <= 0)
            continue;
        weight = ledger_credence(&h->credence) * LEDGER_HEARSAY_WORTH * at_most(sum, 1) / sum;
        weight *= exp2(-at_least(today - h->day, 0) / LEDGER_QUAL_HALF_DAYS);
        good += weight * at_least(h->good, 0);
        bad += weight * at_least(h->bad, 0);
    }
    all = good + bad;
    if (all > LEDGER_HEARSAY_MAX) {
        good *= LEDGER_HEARSAY_MAX / all;
        bad *= LEDGER_HEARSAY_MAX / all;
    }
    return beta_mean(q->good + good, q->bad + bad);
}

struct ledger_score ledger_score(const struct ledger_quality *q)
{
    double missed = q->asked > q->answered ? q->asked - q->answered : 0;
    double whole = q->uses > q->broke ? q->uses - q->broke : 0;
    double kept = q->uses > q->unkept ? q->uses - q->unkept : 0;
    struct ledger_score s;

    s.answered = beta_mean(q->answered, missed);
    s.stayed_up = beta_mean(whole, q->broke);
    s.kept_promises = beta_mean(kept, q->unkept);
    /* Nobody hears 20 ms; 270 ms more make a conversation hard (ITU-T G.114). */
    s.added_delay = 1 - at_most(at_least(q->added_ms - 20, 0) / 250, 1);
    s.added_delay *= ledger_quality_mean(q) / beta_mean(q->good + q->bad, 0);
    s.score = (int)lround(
        100 * (0.25 * s.answered + 0.3 * s.stayed_up + 0.25 * s.added_delay + 0.2 * s.kept_promises));
    s.is_shown = q->uses >= 3;
    return s;
}

/* --- admission --- */

void ledger_load_init(struct ledger_load *l, ns_t now, uint32_t slots, double strangers_pct)
{
    memset(l, 0, sizeof *l);
    l->slots = slots;
    l->strangers_pct = strangers_pct;
    l->mean_call_s = l->creditor_call_s = LEDGER_MEAN_CALL_S;
    l->at = now;
    l->pool_s = strangers_pct > 0 ? 2 * LEDGER_MEAN_CALL_S : 0; /* full */
}

void ledger_load_resume(struct ledger_load *l, ns_t now)
{
    l->at = now;
}

uint64_t ledger_prefix_of(const struct addr *a)
{
    uint64_t net = a->family;

    for (size_t i = 0; i < (a->family == ADDR_V4 ? 3u : 6u); i++)
        net = net << 8 | a->ip[i];
    return net;
}

static void decay(struct ledger_load *l, ns_t now)
{
    double dt, slow, pool_max = 2 * l->mean_call_s;

    if (now <= l->at)
        return;
    dt = (double)(now - l->at) / (double)NS_PER_S;
    l->at = now;
    slow = exp(-dt / LEDGER_LOAD_TAU_S);
    l->creditor_load *= slow;
    l->creditor_missed *= slow;
    l->stranger_load *= slow;
    l->stranger_requests *= slow;
    slow = exp(-dt / LEDGER_KAPPA_TAU_S);
    l->creditor_used_ewma = l->creditor_used_ewma * slow + l->creditor_used * (1 - slow);
    l->pool_s =
        at_most(l->pool_s + dt * l->slots * l->strangers_pct / 100, l->strangers_pct > 0 ? pool_max : 0);
}

double ledger_load_share(struct ledger_load *l, ns_t now)
{
    decay(l, now);
    if (l->slots == 0)
        return 1;
    return (l->creditor_load + l->creditor_missed / LEDGER_MISSED_WEIGHT +
            at_least(l->stranger_load, l->stranger_requests / LEDGER_REQUEST_WEIGHT)) /
           l->slots;
}

double ledger_load_kappa(struct ledger_load *l, ns_t now)
{
    decay(l, now);
    return ledger_kappa(l->slots > 0 ? l->creditor_used_ewma / l->slots : 1);
}

/* The row of a network; of those it may have, the one counted longest ago makes room. */
static struct ledger_prefix *prefix_row(struct ledger_load *l, uint64_t net)
{
    size_t set = (size_t)((net * 0x9e3779b97f4a7c15u) >> 32) % (LEDGER_PREFIXES_MAX / LEDGER_PREFIX_WAYS);
    struct ledger_prefix *rows = &l->prefixes[set * LEDGER_PREFIX_WAYS], *oldest = rows;

    for (size_t i = 0; i < LEDGER_PREFIX_WAYS; i++) {
        struct ledger_prefix *p = &rows[i];

        if (p->net == net)
            return p;
        if (p->counted_at < oldest->counted_at)
            oldest = p;
    }
    *oldest = (struct ledger_prefix){.net = net};
    return oldest;
}

/* What one request adds to a load: a mean call, seen over the time constant. */
static double worth(double mean_s, uint32_t slots)
{
    return slots * mean_s / LEDGER_LOAD_TAU_S;
}

static uint32_t retry_for(double seconds)
{
    return (uint32_t)(1000 * at_least(at_most(seconds, 600), 1));
}

static enum ledger_verdict admit_stranger(struct ledger_load *l, ns_t now, uint32_t slots, uint64_t prefix,
                                          uint32_t *retry_ms)
{
    struct ledger_prefix *row = prefix_row(l, prefix);
    double rate = l->slots * l->strangers_pct / 100;
    bool contended = ledger_load_share(l, now) > LEDGER_CONTENDED;

    if (row->counted_at == 0 || now >= row->counted_at + LEDGER_REQUEST_GAP_S * NS_PER_S) {
        row->counted_at = now > 0 ? now : 1;
        l->stranger_requests += worth(l->mean_call_s, slots);
    }
    if (!contended)
        return LEDGER_ADMIT;
    if (l->pool_s <= 0) {
        *retry_ms = retry_for(rate > 0 ? -l->pool_s / rate : 600);
        return LEDGER_POOL_EMPTY;
    }
    /* Fair by network: who had a turn waits a mean call, unless nobody else took what gathered meanwhile. */
    if (row->admitted_at != 0 && now < row->admitted_at + (ns_t)(l->mean_call_s * (double)NS_PER_S) &&
        l->pool_s < 2 * l->mean_call_s) {
        *retry_ms = retry_for(60);
        return LEDGER_POOL_EMPTY;
    }
    return LEDGER_ADMIT;
}

enum ledger_verdict ledger_admit(struct ledger_load *l, ns_t now, enum ledger_class cls, uint32_t slots,
                                 uint64_t prefix, uint32_t *retry_ms)
{
    uint32_t reserved = l->slots >= LEDGER_GUEST_RESERVE_AT && cls != LEDGER_GUEST ? 1 : 0;
    enum ledger_verdict verdict = LEDGER_ADMIT;

    *retry_ms = 0;
    decay(l, now);
    if (cls == LEDGER_STRANGER)
        verdict = admit_stranger(l, now, slots, prefix, retry_ms);
    if (verdict != LEDGER_ADMIT)
        return verdict;
    if (l->used + slots + reserved <= l->slots && (cls != LEDGER_AUDIT || l->audits == 0))
        return LEDGER_ADMIT;
    *retry_ms = retry_for(15);
    return cls == LEDGER_GUEST || cls == LEDGER_CREDITOR ? LEDGER_QUEUE : LEDGER_BUSY;
}

void ledger_missed(struct ledger_load *l, ns_t now, uint32_t slots)
{
    decay(l, now);
    l->creditor_missed += worth(l->creditor_call_s, slots);
}

void ledger_began(struct ledger_load *l, ns_t now, enum ledger_class cls, uint32_t slots, uint64_t prefix)
{
    bool contended = ledger_load_share(l, now) > LEDGER_CONTENDED;

    l->used += slots;
    if (cls == LEDGER_AUDIT) {
        l->audits++;
        return;
    }
    if (cls != LEDGER_STRANGER) {
        l->creditor_used += slots;
        l->creditor_load += worth(l->creditor_call_s, slots);
        return;
    }
    l->stranger_load += worth(l->mean_call_s, slots);
    prefix_row(l, prefix)->admitted_at = now > 0 ? now : 1;
    if (contended)
        l->pool_s -= slots * l->mean_call_s;
}

/* One in 32 calls' worth of memory. */
static void learn(double *mean_s, double seconds)
{
    if (seconds > 0)
        *mean_s = at_least(at_most(*mean_s + (seconds - *mean_s) / 32, 3600), 60);
}

void ledger_ended(struct ledger_load *l, ns_t now, enum ledger_class cls, uint32_t slots, double seconds)
{
    decay(l, now);
    l->used -= l->used < slots ? l->used : slots;
    if (cls == LEDGER_AUDIT) {
        l->audits -= l->audits > 0;
    } else if (cls == LEDGER_STRANGER) {
        learn(&l->mean_call_s, seconds);
    } else {
        l->creditor_used -= l->creditor_used < slots ? l->creditor_used : slots;
        learn(&l->creditor_call_s, seconds);
    }
}
