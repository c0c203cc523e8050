/* nat/portmap.h - ask the router for a port: PCP (RFC 6887), and NAT-PMP (RFC 6886) when it knows only that.
 *
 * portmap_start() asks the gateway to map our UDP port; the mapping is renewed at half its lifetime until
 * portmap_stop(), which gives it back. A PCP request comes first; a NAT-PMP router answers it by "unsupported
 * version", or not at all, and is asked again in its own language. UPnP IGD needs HTTP and is not here.
 *
 *   IDLE ──start──▶ ASKING ──mapped──▶ MAPPED ──stop──▶ IDLE
 *                   ▲    │               │
 *                   │    └──▶ FAILED ◀───┘ refused, or no answer
 *                   └── the router restarted (its epoch went back), or a renewal is due
 *
 *   in     config; portmap_input(): datagrams from port 5351 of the gateway
 *   out    ops.send; ops.state at each change of state or of the outside address
 *   owner  the caller of portmap_create(); ops and env are borrowed
 *   trust  answers count from the gateway's address, with our nonce (PCP) or inside port (NAT-PMP). Whoever can
 *          forge the gateway's address on the LAN can lie about the outside one: it is a candidate, no more
 *   caps   one mapping; 5 requests each, 1 s doubling (PCP: 3 while nobody answered), then quiet for
 *          PORTMAP_RETRY_NS */
#ifndef ITO_NAT_PORTMAP_H
#define ITO_NAT_PORTMAP_H

#include "base/env.h"

#define PORTMAP_PORT        5351
#define PORTMAP_NONCE_BYTES 12
#define PORTMAP_LIFETIME_S  7200
#define PORTMAP_RETRY_NS    (600 * NS_PER_S)

enum portmap_state { PORTMAP_IDLE, PORTMAP_ASKING, PORTMAP_MAPPED, PORTMAP_FAILED };

struct portmap_config {
    struct addr gateway; /* its IP; the port is ours to know */
    struct addr inside;  /* our address as the gateway sees it, with the UDP port */
    uint32_t lifetime_s; /* 0: PORTMAP_LIFETIME_S */
};

struct portmap_ops {
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    /* MAPPED: outside is where the Internet reaches us. Else its family is ADDR_NONE. */
    void (*state)(void *arg, ns_t now, enum portmap_state state, const struct addr *outside);
};

struct portmap;

struct portmap *portmap_create(const struct portmap_config *config, const struct portmap_ops *ops, void *arg,
                               const struct env *env);
void portmap_destroy(struct portmap *p); /* without giving back */
void portmap_start(struct portmap *p, ns_t now);
void portmap_stop(struct portmap *p, ns_t now);
/* True when the datagram was an answer of the gateway's. */
bool portmap_input(struct portmap *p, ns_t now, const struct addr *from, struct slice bytes);
void portmap_tick(struct portmap *p, ns_t now);
ns_t portmap_deadline(const struct portmap *p);
const struct addr *portmap_outside(const struct portmap *p);
/* "pcp", "nat-pmp", or "none" before the first answer. */
const char *portmap_protocol(const struct portmap *p);

#endif
