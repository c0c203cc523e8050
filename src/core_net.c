#include "core_net.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/lan.h"
#include "io/netlink.h"
#include "io/upnp.h"

struct core_net {
    struct io *io;
    struct udp *udp;
    struct detour *detour;
    struct app *app; /* NULL: not yet, or no longer */
    struct netlink *netlink;
    struct lan *lan;
    struct upnp *upnp;
};

static void on_mapped(void *arg, ns_t now, const struct addr *outside, uint32_t lifetime_s)
{
    struct core_net *n = arg;

    if (n->app != NULL)
        app_port_mapped(n->app, now, outside, lifetime_s);
}

static void on_changed(void *arg, ns_t now)
{
    struct core_net *n = arg;

    log_info(io_env(n->io), "the network changed");
    udp_set_link(n->udp, netlink_first_link());
    detour_forget(n->detour);
    app_network_changed(n->app, now);
    if (n->lan != NULL)
        lan_network_changed(n->lan, now);
}

static void on_found(void *arg, ns_t now, const struct addr *addr)
{
    struct core_net *n = arg;
    char text[ADDR_TEXT_BYTES];

    log_debug(io_env(n->io), "found on this network: %s", addr_print(addr, text));
    app_add_address(n->app, now, addr);
}

struct core_net *core_net_create(struct io *io, struct udp *udp, struct detour *detour)
{
    struct core_net *n = mem_alloc(sizeof *n);

    n->io = io;
    n->udp = udp;
    n->detour = detour;
    n->upnp = upnp_open(io, on_mapped, n);
    udp_set_link(udp, netlink_first_link());
    return n;
}

void core_net_watch(struct core_net *n, struct app *app, const struct config *settings)
{
    struct lan_config lan = {.self.port = udp_port(n->udp),
                             .v4 = config_bool(settings, CFG_NET_IPV4),
                             .v6 = udp_has_v6(n->udp),
                             .found = on_found,
                             .arg = n};

    n->app = app;
    if (netlink_open(n->io, on_changed, n, &n->netlink) != ERR_OK)
        log_warn(io_env(n->io), "changes of the network are not seen: no netlink socket");
    memcpy(lan.self.zone_id, app_zone_id(app), sizeof lan.self.zone_id);
    if (config_bool(settings, CFG_NET_LAN_DISCOVERY))
        n->lan = lan_open(n->io, &lan);
}

void core_net_stop(struct core_net *n)
{
    if (n == NULL)
        return;
    lan_close(n->lan);
    netlink_close(n->netlink);
    n->lan = NULL;
    n->netlink = NULL;
}

void core_net_destroy(struct core_net *n)
{
    if (n == NULL)
        return;
    core_net_stop(n);
    upnp_close(n->upnp);
    mem_free(n);
}

void core_net_turn(struct core_net *n, ns_t now)
{
    if (n != NULL && n->netlink != NULL)
        netlink_turn(n->netlink, now);
}

bool core_net_gateway(struct core_net *n, struct addr *gateway, struct addr *inside)
{
    (void)n;
    return netlink_gateway(gateway, inside);
}

void core_net_map_port(struct core_net *n, uint16_t port, bool is_on)
{
    if (is_on)
        upnp_map(n->upnp, port);
    else
        upnp_unmap(n->upnp);
}
