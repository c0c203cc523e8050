/* io/upnp.h - a UDP port of the router's by UPnP IGD (miniupnpc), off the loop.
 *
 * upnp_map() looks for an Internet gateway device (at most UPNP_DISCOVERY_MS), asks it for the port (the same
 * outside, else another), and renews the mapping at half its lease until upnp_unmap() or upnp_close(), which give
 * it back. Each step runs on a uv worker with a copy of what it needs; its results come back by value.
 *
 *   out    upnp_cb at each news: mapped, or not (family ADDR_NONE)
 *   owner  upnp_open()/upnp_close(); the io outlives it and waits in io_destroy() for the last step
 *   trust  any host on the LAN can claim to be the router: only descriptions at a literal private or link-local
 *          address are fetched. What it says is a candidate, no more
 *   caps   one mapping, one step at a time */
#ifndef ITO_IO_UPNP_H
#define ITO_IO_UPNP_H

#include "io/loop.h"

#define UPNP_DISCOVERY_MS 3000
#define UPNP_LEASE_S      7200

/* outside: where the Internet reaches us; lifetime_s 0: until given back. */
typedef void (*upnp_cb)(void *arg, ns_t now, const struct addr *outside, uint32_t lifetime_s);

struct upnp;

struct upnp *upnp_open(struct io *io, upnp_cb cb, void *arg);
void upnp_close(struct upnp *u); /* NULL is fine */
void upnp_map(struct upnp *u, uint16_t port);
void upnp_unmap(struct upnp *u);

#endif
