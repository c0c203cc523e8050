#include "dht/rpc.h"

void rpc_init(struct rpc *r)
{
    memset(r, 0, sizeof *r);
}

void rpc_fini(struct rpc *r)
{
    heap_fini(&r->heap);
}

static void set_times(struct rpc *r, ns_t now, struct rpc_call *c)
{
    c->sent_at = now;
    c->is_late = false;
    c->dead_at = now + (c->late_after > RPC_DEAD_NS ? c->late_after : RPC_DEAD_NS);
    heap_set(&r->heap, &c->timer, now + c->late_after);
}

struct rpc_call *rpc_open(struct rpc *r, ns_t now, uint32_t random, const struct contact *to, bool has_id,
                          ns_t rtt)
{
    struct rpc_call *c = NULL;
    uint32_t i = r->next;

    for (uint32_t tries = 0; tries < RPC_MAX; tries++, i = (i + 1) % RPC_MAX)
        if (!r->calls[i].is_used) {
            c = &r->calls[i];
            break;
        }
    if (c == NULL)
        return NULL;
    r->next = (i + 1) % RPC_MAX;
    r->n++;
    *c = (struct rpc_call){.is_used = true, .to = *to, .has_id = has_id};
    c->t[0] = (uint8_t)(i >> 8);
    c->t[1] = (uint8_t)i;
    memcpy(c->t + 2, &random, sizeof random);
    c->late_after = 2 * rtt > RPC_LATE_MIN_NS ? 2 * rtt : RPC_LATE_MIN_NS;
    set_times(r, now, c);
    return c;
}

void rpc_queue(struct rpc *r, struct rpc_call *c, ns_t at)
{
    c->is_queued = true;
    heap_set(&r->heap, &c->timer, at);
}

void rpc_again(struct rpc *r, ns_t now, struct rpc_call *c)
{
    c->is_queued = false;
    set_times(r, now, c);
}

struct rpc_call *rpc_find(struct rpc *r, struct slice t, const struct addr *from)
{
    unsigned i;

    if (t.len != RPC_T_BYTES)
        return NULL;
    i = (unsigned)t.data[0] << 8 | t.data[1];
    if (i >= RPC_MAX || !r->calls[i].is_used || memcmp(r->calls[i].t, t.data, RPC_T_BYTES) != 0)
        return NULL;
    return addr_equal(&r->calls[i].to.addr, from) ? &r->calls[i] : NULL;
}

void rpc_close(struct rpc *r, struct rpc_call *c)
{
    if (!c->is_used)
        return;
    heap_remove(&r->heap, &c->timer);
    c->is_used = false;
    r->n--;
}

void rpc_close_op(struct rpc *r, uint32_t op)
{
    for (unsigned i = 0; i < RPC_MAX && r->n > 0; i++)
        if (r->calls[i].is_used && r->calls[i].op == op)
            rpc_close(r, &r->calls[i]);
}

struct rpc_call *rpc_due(struct rpc *r, ns_t now, bool *is_dead)
{
    struct heap_node *node = heap_pop_due(&r->heap, now);
    struct rpc_call *c;

    if (node == NULL)
        return NULL;
    c = heap_item(node, struct rpc_call, timer);
    *is_dead = false;
    if (c->is_queued)
        return c;
    *is_dead = c->is_late || c->dead_at <= now;
    c->is_late = true;
    if (!*is_dead)
        heap_set(&r->heap, &c->timer, c->dead_at);
    return c;
}

ns_t rpc_deadline(const struct rpc *r)
{
    return heap_deadline(&r->heap);
}
