/* core_net.h - the core's eyes and hands on the network under it: changes, the LAN, the router's port.
 *
 *   owner  core.c: created before the app, watching once the app is there, stopped before it goes
 *   trust  see io/netlink.h, io/lan.h, io/upnp.h */
#ifndef ITO_CORE_NET_H
#define ITO_CORE_NET_H

#include "app/app.h"
#include "core_detour.h"
#include "io/udp.h"

struct core_net;

struct core_net *core_net_create(struct io *io, struct udp *udp, struct detour *detour);
/* Word of changes, and LAN discovery as configured, for this app from now on. */
void core_net_watch(struct core_net *n, struct app *app, const struct config *settings);
/* Nothing more reaches the app. NULL is fine. */
void core_net_stop(struct core_net *n);
/* Gives the router's port back. NULL is fine. */
void core_net_destroy(struct core_net *n);
void core_net_turn(struct core_net *n, ns_t now); /* NULL is fine */
/* app_ops.gateway and .map_port. */
bool core_net_gateway(struct core_net *n, struct addr *gateway, struct addr *inside);
void core_net_map_port(struct core_net *n, uint16_t port, bool is_on);

#endif
