#include "tests/sim/overlay_in.h"

#include <stdlib.h>

#include "base/mem.h"
#include "dht/dht_node.h"

#define AT_ONCE 8 /* operations begun in one round trip */

/* One operation. */
struct job {
    struct batch *batch;
    uint32_t node, record, generation;
    ns_t started_at, first_at;
    int64_t seq; /* of the newest value taken; 0: none */
    bool is_wrong;
};

struct batch {
    struct overlay *o;
    uint32_t n, n_started, n_done;
    bool is_put, is_cold, by_clients;
    struct job *jobs;
    uint32_t *rtts;
    struct ov_batch out;
};

static uint32_t in_rtts(const struct overlay *o, ns_t t)
{
    return (uint32_t)((t * 100 + o->config.rtt / 2) / o->config.rtt);
}

static bool on_value(void *arg, const struct item *item)
{
    struct job *j = arg;
    struct overlay *o = j->batch->o;
    struct item right;

    ov_make_item(o, o->records[j->record].number, item->seq, &right);
    if (memcmp(right.v, item->v, right.v_len) != 0 || item->v_len != right.v_len)
        j->is_wrong = true;
    if (j->first_at == 0)
        j->first_at = o->now;
    j->seq = item->seq;
    return true;
}

/* The OV_NEAREST honest full nodes nearest to a target. */
static size_t scan_nearest(const struct overlay *o, const uint8_t *target, uint32_t *near)
{
    size_t n = 0;

    for (uint32_t i = 0; i < o->config.n; i++) {
        const struct dht *d = o->nodes[i].dht;
        size_t at = n;

        if (d == NULL || o->nodes[i].is_client)
            continue;
        for (; at > 0 && id_compare(target, d->id, o->nodes[near[at - 1]].dht->id) < 0; at--)
            near[at] = near[at - 1];
        near[at] = i;
        n += n < OV_NEAREST;
    }
    return n;
}

/* How many of the nodes nearest to its target hold a record. */
static unsigned count_nearest(const struct overlay *o, const struct ov_record *record)
{
    uint8_t target[DHT_ID_BYTES];
    uint32_t near[OV_NEAREST + 1];
    unsigned holding = 0;
    struct item item;
    size_t n;

    ov_make_item(o, record->number, record->seq, &item);
    dht_target(item.k, target);
    n = o->oracle != NULL ? oracle_nearest(o, target, true, near, OV_NEAREST) : scan_nearest(o, target, near);
    for (size_t i = 0; i < n; i++) {
        struct dht *d = o->nodes[near[i]].dht; /* NULL: nobody ever asked it for anything */
        const struct stored *s = d != NULL ? store_get(&d->store, o->now, target) : NULL;

        holding += s != NULL && s->seq == record->seq;
    }
    return holding;
}

static void on_done(void *arg, enum err e, const struct dht_result *r)
{
    struct job *j = arg;
    struct batch *b = j->batch;
    const struct ov_record *record = &b->o->records[j->record];

    b->n_done++;
    b->out.queries += r->queries;
    b->out.acks += r->n_acks;
    if (b->is_put) {
        b->out.n_ok += e == ERR_OK && r->n_acks >= 10;
        b->out.nearest_pct += 100.0 / OV_NEAREST * count_nearest(b->o, record);
        b->rtts[b->out.n++] = in_rtts(b->o, r->took_ns);
        return;
    }
    b->out.n_forged += j->is_wrong;
    b->out.n_stale += j->seq > 0 && j->seq < record->seq;
    if (e == ERR_OK && j->seq == record->seq && !j->is_wrong)
        b->rtts[b->out.n_ok++] = in_rtts(b->o, j->first_at - j->started_at);
    b->out.n++;
}

/* A read-only member that is up; an honest one when none is found. */
static uint32_t a_client(struct overlay *o)
{
    uint32_t i = ov_honest(o);

    for (int tries = 0; tries < 10000 && !o->nodes[i].is_client; tries++)
        i = ov_honest(o);
    return i;
}

static void begin(struct overlay *o, uint32_t node, void *arg)
{
    struct job *j = arg;
    struct item item;
    uint32_t id;

    (void)node;
    j->node = j->batch->is_cold      ? o->config.n + o->n_cold++
              : j->batch->by_clients ? a_client(o)
                                     : ov_honest(o);
    j->started_at = o->now;
    ov_make_item(o, o->records[j->record].number, o->records[j->record].seq, &item);
    oracle_make(o, j->node);
    if (j->batch->is_cold)
        ov_start(o, j->node, 1);
    if (j->batch->is_put)
        id = dht_put(o->nodes[j->node].dht, o->now, &item, on_done, j);
    else
        id = dht_get(o->nodes[j->node].dht, o->now, item.k, 0, on_value, on_done, j);
    if (id == 0)
        on_done(j, ERR_FULL, &(struct dht_result){0});
    ov_touch(o, j->node);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void run(struct batch *b)
{
    struct overlay *o = b->o;
    uint64_t bytes = o->bytes;
    uint32_t n_rtts;

    b->jobs = mem_array(b->n, sizeof *b->jobs);
    b->rtts = mem_array(b->n, sizeof *b->rtts);
    for (uint32_t i = 0; i < b->n; i++) {
        b->jobs[i].batch = b;
        b->jobs[i].record = b->is_put ? i : ov_pick(o, o->n_records);
        ov_at(o, o->now + o->config.rtt * i / AT_ONCE, 0, begin, &b->jobs[i]);
    }
    ov_run(o, o->config.rtt * b->n / AT_ONCE + 65 * NS_PER_S);
    n_rtts = b->is_put ? b->out.n : b->out.n_ok;
    qsort(b->rtts, n_rtts, sizeof *b->rtts, compare);
    if (n_rtts > 0) {
        b->out.rtt_median = b->rtts[n_rtts / 2];
        b->out.rtt_p90 = b->rtts[(n_rtts - 1) * 9 / 10];
        b->out.rtt_p99 = b->rtts[(n_rtts - 1) * 99 / 100];
    }
    if (b->out.n > 0) {
        b->out.queries /= b->out.n;
        b->out.acks /= b->out.n;
        b->out.nearest_pct /= b->out.n;
    }
    b->out.bytes = o->bytes - bytes;
    mem_free(b->jobs);
    mem_free(b->rtts);
}

void ov_records(struct overlay *o, uint32_t n, struct ov_batch *out)
{
    struct batch b = {.o = o, .n = n, .is_put = true};

    if (o->n_records < n) {
        o->records = mem_resize(o->records, n, sizeof *o->records);
        for (uint32_t i = o->n_records; i < n; i++)
            o->records[i] = (struct ov_record){.number = (uint32_t)(prng_next(&o->prng) >> 32)};
        o->n_records = n;
    }
    for (uint32_t i = 0; i < n; i++)
        o->records[i].seq++;
    run(&b);
    *out = b.out;
}

void ov_lookups(struct overlay *o, uint32_t n, struct ov_batch *out)
{
    struct batch b = {.o = o, .n = n};

    run(&b);
    *out = b.out;
}

void ov_client_lookups(struct overlay *o, uint32_t n, struct ov_batch *out)
{
    struct batch b = {.o = o, .n = n, .by_clients = true};

    run(&b);
    *out = b.out;
}

void ov_forget(struct overlay *o)
{
    o->n_records = 0;
}

void ov_cold(struct overlay *o, uint32_t n, struct ov_batch *out)
{
    uint32_t left = OV_COLD_MAX - o->n_cold;
    struct batch b = {.o = o, .n = n < left ? n : left, .is_cold = true};

    run(&b);
    *out = b.out;
}
