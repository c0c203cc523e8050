/* base/path.h - a way by which a datagram reaches the other side, and by which the answer goes back.
 *
 * The session layer treats it as a name it can compare; src/app turns it into a real send.
 *
 *   PATH_UDP    straight from our port to addr
 *   PATH_TURN   from our allocation number `slot` to addr
 *   PATH_KNOCK  as a knock frame (THREATS.md §4.8): outgoing flow `slot` of ours, or, as a proxy's client,
 *               flow `flow` that came by way of proxy registration `slot` (is_inbound) */
#ifndef ITO_BASE_PATH_H
#define ITO_BASE_PATH_H

#include "base/addr.h"

enum path_kind { PATH_NONE, PATH_UDP, PATH_TURN, PATH_KNOCK };

struct path {
    uint8_t kind; /* enum path_kind */
    bool is_inbound;
    uint16_t slot;
    uint32_t flow;
    struct addr addr; /* unused fields are zero, so that path_equal() is well defined */
};

static inline struct path path_udp(const struct addr *a)
{
    struct path p = {.kind = PATH_UDP};

    p.addr = *a;
    return p;
}

static inline bool path_equal(const struct path *a, const struct path *b)
{
    return a->kind == b->kind && a->is_inbound == b->is_inbound && a->slot == b->slot && a->flow == b->flow &&
           addr_equal(&a->addr, &b->addr);
}

#endif
