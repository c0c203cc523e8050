#include "app/bridge.h"

#include "base/mem.h"
#include "crypto/item.h"

struct op {
    struct bridge *owner;
    uint32_t id;                /* 0: free */
    uint32_t zone, beyond;      /* what runs there; 0: nothing, any more */
    bool is_get, is_told;       /* told: not to be cancelled any more */
    enum err zone_error, error; /* of the zone; of both */
    int64_t best_seq;
    dht_value_cb value_cb;
    dht_done_cb done_cb;
    void *arg;
    struct dht_result result;
};

struct bridge {
    struct dht *zone;
    struct mainline *mainline;
    bool puts_beyond;
    uint32_t round;
    struct op ops[BRIDGE_OPS];
    struct bridge_stats stats;
};

struct bridge *bridge_create(struct dht *zone)
{
    struct bridge *b = mem_alloc(sizeof *b);

    b->zone = zone;
    return b;
}

static void stop_beyond(struct op *o)
{
    if (o->beyond != 0)
        mainline_cancel(o->owner->mainline, o->beyond);
    o->beyond = 0;
}

static void stop(struct op *o)
{
    if (o->zone != 0)
        dht_cancel(o->owner->zone, o->zone);
    stop_beyond(o);
    memset(o, 0, sizeof *o);
}

void bridge_destroy(struct bridge *b)
{
    if (b == NULL)
        return;
    for (int i = 0; i < BRIDGE_OPS; i++)
        if (b->ops[i].id != 0)
            stop(&b->ops[i]);
    mem_free(b);
}

static void end(struct op *o)
{
    struct op was = *o;

    memset(o, 0, sizeof *o);
    if (was.done_cb != NULL)
        was.done_cb(was.arg, was.is_get ? was.error : was.zone_error, &was.result);
}

static void add(struct op *o, enum err e, const struct dht_result *r)
{
    if (e == ERR_OK || o->error == ERR_TIMEOUT)
        o->error = o->error == ERR_OK ? ERR_OK : e;
    o->result.queries += r->queries;
    o->result.n_nodes += r->n_nodes;
    o->result.n_acks += r->n_acks;
    o->result.n_refused += r->n_refused;
    o->result.n_stale += r->n_stale;
    if (r->took_ns > o->result.took_ns)
        o->result.took_ns = r->took_ns;
    if (r->rtts_x100 > o->result.rtts_x100)
        o->result.rtts_x100 = r->rtts_x100;
}

/* The zone holds it; mainline takes its time, and nobody waits for that. */
static void tell_early(struct op *o)
{
    dht_done_cb done_cb = o->done_cb;

    o->done_cb = NULL;
    o->is_told = true;
    if (done_cb != NULL)
        done_cb(o->arg, ERR_OK, &o->result);
}

/* A value of either: only better ones go on. */
static bool on_value(void *arg, const struct item *item)
{
    struct op *o = arg;
    uint32_t id = o->id;

    if (item->seq <= o->best_seq)
        return true;
    if (o->value_cb != NULL && !o->value_cb(o->arg, item))
        return false;
    if (o->id != id) /* cancelled by what it brought */
        return true;
    o->best_seq = item->seq;
    o->result.n_found++;
    return true;
}

static void on_zone_done(void *arg, enum err e, const struct dht_result *r)
{
    struct op *o = arg;

    o->zone = 0;
    o->zone_error = e;
    add(o, e, r);
    if (o->is_get && e == ERR_OK)
        stop_beyond(o);
    if (o->beyond == 0)
        end(o);
    else if (!o->is_get && e == ERR_OK)
        tell_early(o);
}

static void on_beyond_done(void *arg, enum err e, const struct dht_result *r)
{
    struct op *o = arg;

    o->beyond = 0;
    add(o, e, r);
    if (!o->is_get)
        o->owner->stats.n_put_beyond += e == ERR_OK;
    else if (o->zone == 0)
        o->owner->stats.n_found_beyond += e == ERR_OK;
    if (o->zone == 0)
        end(o);
}

void bridge_set_mainline(struct bridge *b, struct mainline *m)
{
    struct dht_result none = {0};
    struct mainline *was = b->mainline;

    b->mainline = m;
    for (int i = 0; i < BRIDGE_OPS; i++) {
        struct op *o = &b->ops[i];

        if (o->id == 0 || o->beyond == 0)
            continue;
        mainline_cancel(was, o->beyond);
        on_beyond_done(o, ERR_TIMEOUT, &none);
    }
}

static struct op *new_op(struct bridge *b, dht_done_cb done_cb, void *arg)
{
    for (unsigned i = 0; i < BRIDGE_OPS; i++) {
        struct op *o = &b->ops[i];

        if (o->id != 0)
            continue;
        b->round = b->round >= UINT32_MAX / BRIDGE_OPS - 1 ? 1 : b->round + 1;
        *o = (struct op){.owner = b,
                         .id = b->round * BRIDGE_OPS + i,
                         .zone_error = ERR_TIMEOUT,
                         .error = ERR_TIMEOUT,
                         .best_seq = -1,
                         .done_cb = done_cb,
                         .arg = arg};
        return o;
    }
    return NULL;
}

static uint32_t started(struct op *o)
{
    if (o->zone == 0 && o->beyond == 0)
        o->id = 0;
    return o->id;
}

static bool has_beyond(const struct bridge *b)
{
    return b->mainline != NULL && mainline_is_joined(b->mainline);
}

static uint32_t get(void *arg, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                    dht_value_cb value_cb, dht_done_cb done_cb, void *cb_arg)
{
    struct bridge *b = arg;
    struct op *o = new_op(b, done_cb, cb_arg);

    if (o == NULL)
        return 0;
    o->is_get = true;
    o->value_cb = value_cb;
    o->zone = dht_get(b->zone, now, key, min_seq, on_value, on_zone_done, o);
    if (has_beyond(b))
        o->beyond = mainline_get(b->mainline, now, key, min_seq, on_value, on_beyond_done, o);
    b->stats.n_gets += o->beyond != 0;
    return started(o);
}

static uint32_t put_where(struct bridge *b, ns_t now, const struct item *item, bool goes_beyond,
                          dht_done_cb done_cb, void *cb_arg)
{
    struct op *o = new_op(b, done_cb, cb_arg);

    if (o == NULL)
        return 0;
    o->zone = dht_put(b->zone, now, item, on_zone_done, o);
    if (goes_beyond && has_beyond(b))
        o->beyond = mainline_put(b->mainline, now, item, on_beyond_done, o);
    b->stats.n_puts += o->beyond != 0;
    return started(o);
}

static uint32_t put(void *arg, ns_t now, const struct item *item, dht_done_cb done_cb, void *cb_arg)
{
    return put_where(arg, now, item, true, done_cb, cb_arg);
}

static uint32_t put_own(void *arg, ns_t now, const struct item *item, dht_done_cb done_cb, void *cb_arg)
{
    struct bridge *b = arg;

    return put_where(b, now, item, b->puts_beyond, done_cb, cb_arg);
}

static void cancel(void *arg, uint32_t id)
{
    struct bridge *b = arg;
    struct op *o = &b->ops[id % BRIDGE_OPS];

    if (id != 0 && o->id == id && !o->is_told)
        stop(o);
}

void bridge_items(struct bridge *b, struct items_ops *out)
{
    *out = (struct items_ops){.arg = b, .get = get, .put = put, .cancel = cancel};
}

void bridge_own_items(struct bridge *b, struct items_ops *out)
{
    *out = (struct items_ops){.arg = b, .get = get, .put = put_own, .cancel = cancel};
}

void bridge_set_puts_beyond(struct bridge *b, bool puts_beyond)
{
    b->puts_beyond = puts_beyond;
}

bool bridge_is_joined(const struct bridge *b)
{
    return dht_state(b->zone) == DHT_JOINED || has_beyond(b);
}

void bridge_stats(const struct bridge *b, struct bridge_stats *out)
{
    *out = b->stats;
}
