#include "dht/rpc.h"

#include "base/mem.h"

void rpc_init(struct rpc *r)
{
    memset(r, 0, sizeof *r);
}

void rpc_fini(struct rpc *r)
{
    for (unsigned i = 0; i < r->cap; i++)
        mem_free(r->calls[i]);
    mem_free(r->calls);
    heap_fini(&r->heap);
    memset(r, 0, sizeof *r);
}

static void grow(struct rpc *r)
{
    unsigned cap = r->cap > 0 ? r->cap * 2u : 8;

    r->calls = mem_resize(r->calls, cap, sizeof *r->calls);
    memset(r->calls + r->cap, 0, (cap - r->cap) * sizeof *r->calls);
    r->next = r->cap;
    r->cap = (uint16_t)cap;
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
    struct rpc_call *c;
    uint32_t i;

    if (r->n == RPC_MAX)
        return NULL;
    if (r->n == r->cap)
        grow(r);
    for (i = r->next; r->calls[i] != NULL; i = (i + 1) % r->cap)
        ;
    r->next = (uint16_t)((i + 1) % r->cap);
    r->n++;
    c = r->calls[i] = mem_alloc(sizeof *c);
    c->to = *to;
    c->has_id = has_id;
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
    if (i >= r->cap || r->calls[i] == NULL || memcmp(r->calls[i]->t, t.data, RPC_T_BYTES) != 0)
        return NULL;
    return addr_equal(&r->calls[i]->to.addr, from) ? r->calls[i] : NULL;
}

void rpc_close(struct rpc *r, struct rpc_call *c)
{
    heap_remove(&r->heap, &c->timer);
    r->calls[(unsigned)c->t[0] << 8 | c->t[1]] = NULL;
    mem_free(c);
    if (--r->n == 0)
        rpc_fini(r);
}

void rpc_close_op(struct rpc *r, uint32_t op)
{
    for (unsigned i = 0; i < r->cap; i++)
        if (r->calls[i] != NULL && r->calls[i]->op == op)
            rpc_close(r, r->calls[i]);
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
