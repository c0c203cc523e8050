#include "relay/flow.h"

#include "base/slice.h"

static bool may_clear(const struct flow_edges *e, uint32_t who)
{
    return e->can_clear == NULL || e->can_clear(e->arg, who);
}

static double narrower(double a, double b)
{
    return a < b ? a : b;
}

static void two_hops(const struct flow_edges *e, uint32_t relay, uint32_t payer, const uint32_t *payable,
                     size_t n, double want_s, struct flow_path *out)
{
    size_t common = 0;

    for (size_t i = 0; i < n && common < FLOW_TRIED; i++) {
        uint32_t b = payable[i];
        double room;

        if (b == relay || b == payer)
            continue;
        room = e->avail(e->arg, relay, b);
        if (room < want_s || !may_clear(e, b))
            continue;
        room = narrower(room, e->avail(e->arg, b, payer));
        if (room < want_s)
            continue;
        common++;
        if (room > out->room_s)
            *out = (struct flow_path){.kind = FLOW_TWO_HOPS, .via = {b, 0}, .room_s = room};
    }
}

/* Payer to B1, B1 to B2, B2 to the relay: the first way found will do. */
static void three_hops(const struct flow_edges *e, uint32_t relay, uint32_t payer, const uint32_t *payable,
                       size_t n, double want_s, struct flow_path *out)
{
    uint32_t near[FLOW_NEIGHBOURS];
    size_t n_near = e->collectable(e->arg, relay, near), tried = 0;

    for (size_t i = 0; i < n && tried < FLOW_TRIED; i++) {
        uint32_t b1 = payable[i];
        double first;

        if (b1 == relay || b1 == payer || !may_clear(e, b1))
            continue;
        first = e->avail(e->arg, b1, payer);
        if (first < want_s)
            continue;
        tried++;
        for (size_t j = 0; j < n_near; j++) {
            uint32_t b2 = near[j];
            double room;

            if (b2 == relay || b2 == payer || b2 == b1 || !may_clear(e, b2))
                continue;
            room = narrower(first, narrower(e->avail(e->arg, b2, b1), e->avail(e->arg, relay, b2)));
            if (room >= want_s) {
                *out = (struct flow_path){.kind = FLOW_THREE_HOPS, .via = {b1, b2}, .room_s = room};
                return;
            }
        }
    }
}

enum flow_kind flow_find(const struct flow_edges *edges, uint32_t relay, uint32_t payer,
                         const uint32_t *payable, size_t n_payable, double want_s, struct flow_path *out)
{
    double direct = edges->avail(edges->arg, relay, payer);

    *out = (struct flow_path){.kind = FLOW_NONE};
    if (n_payable > FLOW_NEIGHBOURS)
        n_payable = FLOW_NEIGHBOURS;
    if (direct >= want_s) {
        out->kind = FLOW_DIRECT;
        out->room_s = direct;
        return out->kind;
    }
    two_hops(edges, relay, payer, payable, n_payable, want_s, out);
    if (out->kind == FLOW_NONE && edges->collectable != NULL && n_payable > 0)
        three_hops(edges, relay, payer, payable, n_payable, want_s, out);
    return out->kind;
}
