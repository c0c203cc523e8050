/* app/reach_path.c - how what sessions say leaves and arrives: straight, by our allocation, by knock flows (THREATS.md §4.8). */
#include "app/app_priv.h"

#define FLOW_AGE_NS (80 * NS_PER_S) /* a flow ends at the proxy after 90 s */

static const struct addr self_addr = {.family = ADDR_V4, .ip = {127, 0, 0, 1}, .port = 0};

bool reach_is_self(const struct addr *a)
{
    return addr_equal(a, &self_addr);
}

static void run_later(void *arg)
{
    struct app *a = arg;
    unsigned n = a->n_later;

    a->is_later_deferred = false;
    if (a->sessions == NULL)
        return;
    for (unsigned i = 0; i < n; i++) {
        struct slice bytes = slice_of(a->later[i].data, a->later[i].len);
        struct path via = a->later[i].via;

        if (via.kind == PATH_KNOCK)
            sessions_input(a->sessions, a->now, &via, bytes);
        else if (bytes.len > 0 && bytes.data[0] == KNOCK_C8 && a->service != NULL)
            service_input(a->service, a->now, &self_addr, bytes);
        else
            app_self_input(a, a->now, &via, bytes);
    }
    memmove(a->later, a->later + n, (a->n_later - n) * sizeof a->later[0]);
    a->n_later -= n;
}

/* Take bytes in as if they had come by `via`, when this turn is over: they lie in a buffer of the layer that
 * would be entered again. */
static void take_later(struct app *a, const struct path *via, struct slice bytes)
{
    if (a->n_later == LATER_MAX || bytes.len > sizeof a->later[0].data)
        return;
    a->later[a->n_later].via = *via;
    memcpy(a->later[a->n_later].data, bytes.data, bytes.len);
    a->later[a->n_later++].len = (uint16_t)bytes.len;
    if (!a->is_later_deferred) {
        a->is_later_deferred = true;
        env_defer(a->env, run_later, a);
    }
}

/* To our own node: we are our own proxy in a zone of two. */
static void send_to_self(struct app *a, struct slice bytes)
{
    struct path via = path_udp(&self_addr);

    take_later(a, &via, bytes);
}

/* Our index in a C0 datagram, or that which an answer to us names; 0: neither. */
static uint32_t sender_index(struct slice body)
{
    struct rd r;

    rd_init(&r, body);
    return rd_u32(&r) == (uint32_t)HANDSHAKE_MSG1 << 24 ? rd_u32(&r) : 0;
}

static uint32_t receiver_index(struct slice body)
{
    struct rd r;

    rd_init(&r, body);
    if (rd_u32(&r) >> 24 == HANDSHAKE_MSG2)
        rd_skip(&r, 4);
    return rd_u32(&r);
}

static void send_knock(struct app *a, uint16_t slot, struct slice body)
{
    struct knock_flow *k = &a->knocks[slot];
    uint8_t frame[KNOCK_FRAME_MAX];
    struct slice bytes;

    if (slot >= APP_KNOCKS || !k->is_used)
        return;
    if (a->now > k->used_at + FLOW_AGE_NS)
        k->flow = 0; /* the old one is gone: the proxy names a new one */
    if (k->flow == 0)
        k->used_at = a->now;
    if (sender_index(body) != 0)
        k->index = sender_index(body);
    bytes = knock_build_c8(frame, sizeof frame, k->token, k->flow, body);
    if (bytes.len == 0)
        return;
    if (reach_is_self(&k->proxy))
        send_to_self(a, bytes);
    else if (k->alloc_slot < 0 ||
             relays_alloc_send(a->relays, a->now, (uint16_t)k->alloc_slot, &k->proxy, bytes) != ERR_OK)
        env_send(a->env, &k->proxy, bytes);
}

void reach_path_send(struct app *a, const struct path *via, struct slice bytes)
{
    switch (via->kind) {
    case PATH_UDP:
        if (reach_is_self(&via->addr))
            send_to_self(a, bytes);
        else
            env_send(a->env, &via->addr, bytes);
        break;
    case PATH_TURN:
        if (a->relays != NULL)
            relays_alloc_send(a->relays, a->now, via->slot, &via->addr, bytes);
        break;
    case PATH_KNOCK:
        if (!via->is_inbound)
            send_knock(a, via->slot, bytes);
        else if (a->relays != NULL)
            relays_knock_reply(a->relays, a->now, via->slot, via->flow, bytes);
        break;
    default:
        break;
    }
}

struct path reach_knock_path(uint16_t slot)
{
    return (struct path){.kind = PATH_KNOCK, .slot = slot};
}

/* A knock frame for us, from one of our proxies. */
void reach_knock_in(void *arg, ns_t now, uint16_t slot, uint32_t flow, struct slice body)
{
    struct app *a = arg;
    struct path via = {.kind = PATH_KNOCK, .is_inbound = true, .slot = slot, .flow = flow};

    a->now = now;
    take_later(a, &via, body);
}

/* What a proxy gives back for a flow of ours. */
void reach_c9(struct app *a, ns_t now, const struct addr *from, struct slice bytes)
{
    struct knock_flow *pending = NULL, *answered = NULL;
    struct slice body;
    uint32_t flow, index;

    if (knock_parse_c9(bytes, &flow, &body) != ERR_OK)
        return;
    index = receiver_index(body);
    for (uint16_t i = 0; i < APP_KNOCKS; i++) {
        struct knock_flow *k = &a->knocks[i];

        if (!k->is_used || !addr_equal(&k->proxy, from))
            continue;
        if (k->flow == flow) {
            struct path via = reach_knock_path(i);

            sessions_input(a->sessions, now, &via, body);
            return;
        }
        /* a first answer: to what we said there, or else to what we began last */
        if (k->flow != 0 || now > k->used_at + FLOW_AGE_NS)
            continue;
        if (k->index == index)
            answered = k;
        if (pending == NULL || k->used_at >= pending->used_at)
            pending = k;
    }
    pending = answered != NULL ? answered : pending;
    if (pending != NULL) {
        struct path via = reach_knock_path((uint16_t)(pending - a->knocks));

        pending->flow = flow;
        sessions_input(a->sessions, now, &via, body);
    }
}

uint16_t reach_knock_open(struct app *a, const struct relay_entry *proxy, int alloc_slot)
{
    struct knock_flow *k = &a->knocks[0];

    for (int i = 0; i < APP_KNOCKS; i++) {
        if (!a->knocks[i].is_used) {
            k = &a->knocks[i];
            break;
        }
        if (a->knocks[i].used_at < k->used_at)
            k = &a->knocks[i];
    }
    *k = (struct knock_flow){
        .is_used = true, .proxy = proxy->addr, .alloc_slot = alloc_slot, .used_at = a->now};
    memcpy(k->token, proxy->token, sizeof k->token);
    if (memcmp(proxy->node, dht_key(a->zones[0].dht), 32) == 0)
        k->proxy = self_addr;
    else if (a->relays != NULL && relays_is_linked(a->relays, &proxy->addr))
        k->alloc_slot = -1; /* it knows our address already, and forwards nothing to itself */
    return (uint16_t)(k - a->knocks);
}
