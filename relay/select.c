#include "relay/select.h"

#include <math.h>

#define UNKNOWN_RTT_MS 150 /* what we believe of a relay nobody measured */
#define NOISE_POINTS   4.0
#define FAILURE_POINTS 15.0
#define REFUSALS       2   /* in a row: it only pretends to relay */
#define GUARD_POINTS   3.0 /* eight stable guards see us, not everybody */

double select_r_factor(double rtt_ms, double loss, double jitter_ms)
{
    /* One way: half the round trip, play-out for the jitter, and 50 ms of our own (frame, codec, buffer). */
    double d = rtt_ms / 2 + 2 * jitter_ms + 50;
    double delay = 0.024 * d + (d > 177.3 ? 0.11 * (d - 177.3) : 0);
    double r = 93.2 - delay - (loss > 0 ? 30 * log(1 + 15 * loss) : 0);

    return r < 0 ? 0 : r;
}

static bool is_never(const struct select_candidate *c, const struct select_policy *p)
{
    for (size_t i = 0; i < p->n_never; i++) {
        if (memcmp(p->never[i], c->id, sizeof c->id) == 0)
            return true;
    }
    return p->not_this != NULL && memcmp(p->not_this, c->id, sizeof c->id) == 0;
}

static bool may_be_used(const struct select_candidate *c, const struct select_policy *p)
{
    return !is_never(c, p) && (c->score < 0 || c->score >= p->min_score);
}

/* -1..1, the same for the same relay and seed. */
static double noise(const struct select_candidate *c, uint32_t seed)
{
    uint64_t h = seed, word;

    for (size_t i = 0; i < sizeof c->id; i += sizeof word) {
        memcpy(&word, c->id + i, sizeof word);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 33;
    }
    h *= 0xff51afd7ed558ccdu;
    return (double)(h >> 40) / (double)(1u << 23) - 1;
}

static double utility(const struct select_candidate *c, const struct select_policy *p)
{
    double rtt = (c->rtt_us_ms < 0 ? UNKNOWN_RTT_MS : c->rtt_us_ms) +
                 (c->rtt_peer_ms < 0 ? UNKNOWN_RTT_MS : c->rtt_peer_ms);
    double u = select_r_factor(rtt, c->loss, c->jitter_ms);

    u -= 25 * (1 - c->quality) + 10 * c->load_pct / 100.0;
    u += 3 * c->owes_us + (c->is_guard ? GUARD_POINTS : 0) + NOISE_POINTS * noise(c, p->noise_seed);
    return u - FAILURE_POINTS * c->failures;
}

struct key {
    int pay; /* enum select_pay, or after all of them */
    double u;
    uint8_t at;
};

static bool is_better(const struct key *a, const struct key *b)
{
    return a->pay != b->pay ? a->pay < b->pay : a->u > b->u;
}

/* Of the first SELECT_PARALLEL no two of one network, nor of the net to keep apart from, while others are left. */
static void spread(const struct select_candidate *c, size_t n, const struct addr *apart,
                   uint8_t order[static SELECT_MAX])
{
    for (size_t at = 0; at < n && at < SELECT_PARALLEL; at++) {
        for (size_t i = at; i < n; i++) {
            const struct addr *mine = &c[order[i]].addr;
            bool clashes = apart != NULL && addr_same_net(mine, apart);
            uint8_t chosen = order[i];

            for (size_t j = 0; j < at; j++)
                clashes = clashes || addr_same_net(mine, &c[order[j]].addr);
            if (clashes)
                continue;
            memmove(order + at + 1, order + at, i - at);
            order[at] = chosen;
            break;
        }
    }
}

size_t select_rank(const struct select_candidate *candidates, size_t n, const struct select_policy *policy,
                   uint8_t order[static SELECT_MAX])
{
    struct key keys[SELECT_MAX];
    size_t found = 0;

    if (n > SELECT_MAX)
        n = SELECT_MAX;
    for (size_t i = 0; i < n; i++) {
        struct key key = {.pay = (int)candidates[i].pay, .at = (uint8_t)i};
        size_t at = found;

        if (!may_be_used(&candidates[i], policy))
            continue;
        if (candidates[i].quality < SELECT_QUALITY_FLOOR || candidates[i].failures >= REFUSALS)
            key.pay += SELECT_REST + 1; /* that we could pay there is no reason to be heard badly */
        key.u = utility(&candidates[i], policy);
        for (; at > 0 && is_better(&key, &keys[at - 1]); at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
        found++;
    }
    for (size_t i = 0; i < found; i++)
        order[i] = keys[i].at;
    spread(candidates, found, policy->apart, order);
    return found;
}
