#include "dht/estimate.h"

#include <math.h>
#include <stdlib.h>

static bool same_voter(const struct voter *v, const struct addr *from, const uint8_t id[static ID_BYTES])
{
    if (addr_class(from) == ADDR_GLOBAL)
        return addr_same_net(&v->from, from);
    return id_equal(v->id, id);
}

/* The voter's old place, an empty or expired one, else the oldest if it has been there for 10 min. */
static int find_place(struct voter *voters, unsigned n, ns_t now, ns_t life, const struct addr *from,
                      const uint8_t id[static ID_BYTES])
{
    int oldest = 0, empty = -1;

    for (unsigned i = 0; i < n; i++) {
        struct voter *v = &voters[i];

        if (v->at > 0 && same_voter(v, from, id))
            return (int)i;
        if ((v->at == 0 || now - v->at > life) && empty < 0)
            empty = (int)i;
        if (v->at < voters[oldest].at)
            oldest = (int)i;
    }
    if (empty >= 0)
        return empty;
    return now - voters[oldest].at > 600 * NS_PER_S ? oldest : -1;
}

static void set_voter(struct voter *v, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES])
{
    v->from = *from;
    memcpy(v->id, id, ID_BYTES);
    v->at = now > 0 ? now : 1;
}

void votes_add(struct address_votes *v, ns_t now, const struct addr *from, const uint8_t id[static ID_BYTES],
               const struct addr *seen)
{
    int i = find_place(v->voters, ESTIMATE_VOTES, now, ESTIMATE_VOTE_NS, from, id);

    if (i < 0)
        return;
    set_voter(&v->voters[i], now, from, id);
    v->seen[i] = *seen;
}

bool votes_majority(const struct address_votes *v, ns_t now, unsigned at_least, struct addr *out, unsigned *n)
{
    unsigned total = 0, best = 0, best_port = 0;

    for (unsigned i = 0; i < ESTIMATE_VOTES; i++) {
        unsigned same = 0, same_port = 0;

        if (v->voters[i].at == 0 || now - v->voters[i].at > ESTIMATE_VOTE_NS)
            continue;
        total++;
        for (unsigned j = 0; j < ESTIMATE_VOTES; j++)
            if (v->voters[j].at > 0 && now - v->voters[j].at <= ESTIMATE_VOTE_NS) {
                same += addr_equal_ip(&v->seen[i], &v->seen[j]);
                same_port += addr_equal(&v->seen[i], &v->seen[j]);
            }
        if (same > best || (same == best && same_port > best_port)) {
            best = same;
            best_port = same_port;
            *out = v->seen[i];
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
    int i;

    if (ts_ms < 0 || ts_ms > INT64_MAX / 4)
        return;
    i = find_place(c->voters, ESTIMATE_CLOCKS, now, ESTIMATE_CLOCK_NS, from, id);
    if (i < 0)
        return;
    set_voter(&c->voters[i], now, from, id);
    c->base_ms[i] = ts_ms + (int64_t)(rtt / 2 / NS_PER_MS) - (int64_t)(now / NS_PER_MS);
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
        if (c->voters[i].at > 0 && now - c->voters[i].at <= ESTIMATE_CLOCK_NS)
            bases[n++] = c->base_ms[i];
    qsort(bases, n, sizeof bases[0], compare_i64);
    return bases[n / 2] + now_ms;
}

double size_sample(unsigned n, double distance)
{
    return n >= 2 && distance > 0 ? (n - 1) / distance : 0;
}

void size_add(struct size_estimate *s, ns_t now, double sample)
{
    unsigned oldest = 0;

    if (sample <= 0)
        return;
    for (unsigned i = 1; i < ESTIMATE_SIZES; i++)
        if (s->at[i] < s->at[oldest])
            oldest = i;
    s->n[oldest] = sample;
    s->at[oldest] = now > 0 ? now : 1;
}

/* Within a factor of two of our own neighbourhood: the zone may have grown since. */
static bool is_near(double sample, double own)
{
    return own <= 0 || (sample < 2 * own && own < 2 * sample);
}

void size_read(const struct size_estimate *s, ns_t now, unsigned k, double own, double *n, double *low,
               double *high)
{
    double sum = own, weight = own > 0, spread;

    *n = *low = *high = 1;
    for (unsigned i = 0; i < ESTIMATE_SIZES; i++)
        if (s->at[i] > 0 && now - s->at[i] <= ESTIMATE_SIZE_NS && is_near(s->n[i], own)) {
            sum += s->n[i];
            weight += 1;
        }
    if (weight <= 0)
        return;
    *n = sum / weight;
    spread = fmin(0.9, 2 / sqrt(k * weight)); /* each sample: k exponential gaps */
    *low = fmax(1, *n * (1 - spread));
    *high = *n * (1 + spread);
}
