#include "dht/estimate.h"

#include <math.h>
#include <stdlib.h>

/* One vote a /24 or /48 of global addresses, an id elsewhere. */
static uint64_t who_is(const struct addr *from, const uint8_t id[static ID_BYTES])
{
    uint64_t who = 0;
    const uint8_t *bytes = addr_class(from) == ADDR_GLOBAL ? from->ip : id;
    size_t n = bytes == id ? 7 : from->family == ADDR_V4 ? 3 : 6;

    for (size_t i = 0; i < n; i++)
        who = who << 8 | bytes[i];
    return who << 4 | (bytes == id ? 0 : from->family);
}

static uint32_t seconds(ns_t now)
{
    return (uint32_t)(now / NS_PER_S) + 1;
}

static bool is_live(const struct voter *v, ns_t now, ns_t life)
{
    return v->at_s > 0 && seconds(now) - v->at_s <= life / NS_PER_S;
}

/* The voter's old place, an empty or expired one, else the oldest if it has been there for 10 min; NULL: none. */
static void *find_place(void *votes, unsigned n, size_t size, ns_t now, ns_t life, uint64_t who)
{
    struct voter *oldest = votes, *empty = NULL;

    for (unsigned i = 0; i < n; i++) {
        struct voter *v = (void *)((char *)votes + i * size);

        if (v->at_s > 0 && v->who == who)
            return v;
        if (!is_live(v, now, life) && empty == NULL)
            empty = v;
        if (v->at_s < oldest->at_s)
            oldest = v;
    }
    if (empty != NULL)
        return empty;
    return is_live(oldest, now, 600 * NS_PER_S) ? NULL : oldest;
}

void votes_add(struct address_votes *v, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES],
               const struct addr *seen)
{
    uint64_t who = who_is(from, id);
    struct vote *vote = find_place(v->votes, ESTIMATE_VOTES, sizeof v->votes[0], now, ESTIMATE_VOTE_NS, who);

    if (vote == NULL)
        return;
    vote->voter = (struct voter){.who = who, .at_s = seconds(now)};
    vote->port = seen->port;
    memcpy(vote->ip, seen->ip, sizeof vote->ip);
}

bool votes_majority(const struct address_votes *v, ns_t now, unsigned at_least, uint8_t family,
                    struct addr *out, unsigned *n)
{
    unsigned total = 0, best = 0, best_port = 0;

    for (unsigned i = 0; i < ESTIMATE_VOTES; i++) {
        const struct vote *a = &v->votes[i];
        unsigned same = 0, same_port = 0;

        if (!is_live(&a->voter, now, ESTIMATE_VOTE_NS))
            continue;
        total++;
        for (unsigned j = 0; j < ESTIMATE_VOTES; j++) {
            const struct vote *b = &v->votes[j];

            if (!is_live(&b->voter, now, ESTIMATE_VOTE_NS) || memcmp(a->ip, b->ip, sizeof a->ip) != 0)
                continue;
            same++;
            same_port += a->port == b->port;
        }
        if (same > best || (same == best && same_port > best_port)) {
            best = same;
            best_port = same_port;
            *out = family == ADDR_V4 ? addr_v4(a->ip, a->port) : addr_v6(a->ip, a->port);
        }
    }
    *n = best;
    if (best < at_least || best * 2 <= total)
        return false;
    if (best_port * 2 <= best)
        out->port = 0;
    return true;
}

void clocks_add(struct clocks *c, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES],
                int64_t ts_ms, ns_t rtt)
{
    uint64_t who = who_is(from, id);
    struct clock_vote *vote;

    if (ts_ms < 0 || ts_ms > INT64_MAX / 4)
        return;
    vote = find_place(c->votes, ESTIMATE_CLOCKS, sizeof c->votes[0], now, ESTIMATE_CLOCK_NS, who);
    if (vote == NULL)
        return;
    vote->voter = (struct voter){.who = who, .at_s = seconds(now)};
    vote->base_ms = ts_ms + (int64_t)(rtt / 2 / NS_PER_MS) - (int64_t)(now / NS_PER_MS);
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int64_t clocks_time_ms(const struct clocks *c, ns_t now, int64_t own_ms)
{
    int64_t now_ms = (int64_t)(now / NS_PER_MS), bases[ESTIMATE_CLOCKS + 1] = {own_ms - now_ms};
    size_t n = 1;

    for (unsigned i = 0; i < ESTIMATE_CLOCKS; i++)
        if (is_live(&c->votes[i].voter, now, ESTIMATE_CLOCK_NS))
            bases[n++] = c->votes[i].base_ms;
    qsort(bases, n, sizeof bases[0], compare_i64);
    return bases[n / 2] + now_ms;
}

void size_add(struct size_estimate *s, ns_t now, unsigned n, double distance)
{
    struct size_sample *oldest = s->samples;

    if (n < 2 || distance <= 0)
        return;
    for (unsigned i = 1; i < ESTIMATE_SIZES; i++)
        if (s->samples[i].at_s < oldest->at_s)
            oldest = &s->samples[i];
    *oldest = (struct size_sample){
        .distance = (float)distance, .at_s = seconds(now), .n = (uint8_t)(n < UINT8_MAX ? n : UINT8_MAX)};
}

/* The zone may have grown since. */
static bool is_like(const struct size_sample *s, unsigned own_n, double own_distance)
{
    double here, own;

    if (own_n < 2 || own_distance <= 0)
        return true;
    here = (s->n - 1) / (double)s->distance;
    own = (own_n - 1) / own_distance;
    return here < ESTIMATE_FACTOR * own && own < ESTIMATE_FACTOR * here;
}

void size_read(const struct size_estimate *s, ns_t now, unsigned own_n, double own_distance, double *n,
               double *low, double *high)
{
    double sum = 0, distance = 0, spread;

    *n = *low = *high = 1;
    if (own_n >= 2 && own_distance > 0) {
        sum = own_n;
        distance = own_distance;
    }
    for (unsigned i = 0; i < ESTIMATE_SIZES; i++) {
        const struct size_sample *p = &s->samples[i];

        if (p->at_s > 0 && seconds(now) - p->at_s <= ESTIMATE_SIZE_NS / NS_PER_S &&
            is_like(p, own_n, own_distance)) {
            sum += p->n;
            distance += (double)p->distance;
        }
    }
    if (sum <= 0)
        return;
    *n = (sum - 1) / distance; /* the sum of exponential gaps: a gamma distribution */
    spread = fmin(0.9, 2 / sqrt(sum));
    *low = fmax(1, *n * (1 - spread));
    *high = *n * (1 + spread);
}
