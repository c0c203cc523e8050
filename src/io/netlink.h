/* io/netlink.h - the machine's network under us: the default gateway, and word when it changes.
 *
 * Listens to address, link and route events of the kernel; NETLINK_CALM_NS after the first it looks whether our
 * addresses or default routes are others than before, and only then calls. The same after the machine slept, or the
 * process stood still, for more than NETLINK_SLEPT_NS.
 *
 *   owner  netlink_open()/netlink_close(); the io outlives it
 *   trust  the kernel's messages only (sender pid 0)
 *   caps   one call each NETLINK_CALM_NS */
#ifndef ITO_IO_NETLINK_H
#define ITO_IO_NETLINK_H

#include "io/loop.h"

#define NETLINK_CALM_NS  NS_PER_S
#define NETLINK_SLEPT_NS (30 * NS_PER_S)

typedef void (*netlink_cb)(void *arg, ns_t now);

struct netlink;

enum err netlink_open(struct io *io, netlink_cb changed, void *arg, struct netlink **out);
void netlink_close(struct netlink *n); /* NULL is fine */
/* Once a turn of the loop: notices sleep. */
void netlink_turn(struct netlink *n, ns_t now);

/* The IPv4 default gateway of the lowest metric, and our address towards it; ports 0. False: there is none. */
bool netlink_gateway(struct addr *gateway, struct addr *inside);
/* Interface index of a link that is up and has an IPv6 link-local address, not loopback; 0: none. */
uint32_t netlink_first_link(void);

#endif
