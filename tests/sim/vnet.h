/* tests/sim/vnet.h - a deterministic network in virtual time: hosts, NATs of RFC 4787, bad links.
 *
 * Packets travel hop by hop: host link, NAT, NAT's uplink, the Internet, and down again; a NAT translates and
 * filters when the packet reaches it, so hole punching has its true races. The same seed and the same calls
 * give the same run. Private addresses go nowhere on the Internet. Public hosts live on 203.0.113.0/24 and
 * 198.51.100.0/24.
 *
 *   net = vnet_create(7);
 *   home = vnet_add_nat(net, NULL, "203.0.113.1", &(struct vnet_nat_config){.filtering = VNET_APD});
 *   alice = vnet_add_host(net, home, "alice", "192.168.1.2:4000");
 *   vnet_on_recv(alice, recv, phone);
 *   phone->ice = ice_create(&cfg, &ops, vnet_env(alice));
 *   vnet_drive(alice, &(struct clock_ops){ice_deadline_cb, ice_tick_cb}, phone->ice);
 *   vnet_run(net, vnet_now(net) + 5 * NS_PER_S, both_connected, &pair);
 *
 *   owner  the test owns the net; everything made from it dies with vnet_destroy()
 *   caps   VNET_PACKET_MAX bytes a packet; more is dropped and counted */
#ifndef ITO_SIM_VNET_H
#define ITO_SIM_VNET_H

#include "tests/sim/clock.h"
#include "tests/sim/nat.h"

#define VNET_PACKET_MAX 65535

struct vnet;
struct vnet_host;
struct vnet_nat;
struct vnet_socket;

/* One direction of a link. Percentages are of packets; a reordered packet overtakes none but is overtaken: it
 * is held back by up to 4 x jitter or 20 ms. */
struct vnet_link {
    ns_t delay_ns, jitter_ns;
    double loss_pct, dup_pct, reorder_pct;
};

struct vnet_stats {
    uint64_t sent, delivered, lost, filtered, unroutable, cut;
};

typedef void (*vnet_recv_cb)(void *arg, ns_t now, const struct addr *from, struct slice bytes);
/* Sees each datagram at a host's own socket; out: the host sends it. Addresses are as the host sees them. */
typedef void (*vnet_tap_cb)(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                            const struct addr *to, struct slice bytes);

struct vnet *vnet_create(uint64_t seed);
void vnet_destroy(struct vnet *net);
struct clock *vnet_clock(struct vnet *net);
ns_t vnet_now(const struct vnet *net);
bool vnet_run(struct vnet *net, ns_t until, clock_stop_cb stop, void *arg);
/* clock_at() and clock_run() for a delay from now. */
void vnet_after(struct vnet *net, ns_t delay, clock_cb cb, void *arg);
bool vnet_run_for(struct vnet *net, ns_t span, clock_stop_cb stop, void *arg);
const struct vnet_stats *vnet_get_stats(const struct vnet *net);
/* Log lines of all hosts at this level and above go to stderr; the default is LOG_ERROR. */
void vnet_log_level(struct vnet *net, enum log_level level);

/* A NAT whose outside address is wan_ip, on the Internet (parent NULL) or inside another NAT. */
struct vnet_nat *vnet_add_nat(struct vnet *net, struct vnet_nat *parent, const char *wan_ip,
                              const struct vnet_nat_config *config);
/* A host at "ip:port" behind a NAT, or on the Internet (nat NULL); the port is that of its main socket. */
struct vnet_host *vnet_add_host(struct vnet *net, struct vnet_nat *nat, const char *name,
                                const char *ip_port);

const char *vnet_name(const struct vnet_host *host);
const struct addr *vnet_addr(const struct vnet_host *host);
/* The world as this host sees it: send() leaves from its main socket. */
const struct env *vnet_env(struct vnet_host *host);
void vnet_on_recv(struct vnet_host *host, vnet_recv_cb recv, void *arg);
/* Deadline and tick of an object on this host. */
struct clock_driver *vnet_drive(struct vnet_host *host, const struct clock_ops *ops, void *arg);
void vnet_undrive(struct vnet_host *host, struct clock_driver *driver);
/* Another socket, for a relay's allocations; port 0 takes a free one. NULL: the port is in use. */
struct vnet_socket *vnet_open_port(struct vnet_host *host, uint16_t port, vnet_recv_cb recv, void *arg);
void vnet_close_port(struct vnet_socket *s);
const struct addr *vnet_socket_addr(const struct vnet_socket *s);
void vnet_send_from(struct vnet_socket *s, const struct addr *to, struct slice bytes);

/* This host's wall clock is wrong by so much. */
void vnet_set_wall_offset(struct vnet_host *host, int64_t offset_ms);
/* Both directions of a host's own link; up and down separately by vnet_link_up/_down. */
void vnet_set_link(struct vnet_host *host, const struct vnet_link *link);
void vnet_set_link_up(struct vnet_host *host, const struct vnet_link *link);
void vnet_set_link_down(struct vnet_host *host, const struct vnet_link *link);
void vnet_set_uplink(struct vnet_nat *nat, const struct vnet_link *link);
/* Pull and put back the cable. */
void vnet_cut(struct vnet_host *host, bool is_cut);
void vnet_cut_nat(struct vnet_nat *nat, bool is_cut);
/* Drop what passes the Internet between two addresses (ports are ignored), both ways; again to undo. */
void vnet_cut_between(struct vnet *net, const char *ip_a, const char *ip_b, bool is_cut);
/* Unplug the host and plug it in elsewhere, with another address: Wi-Fi to cable. Main port and sockets stay. */
void vnet_move(struct vnet_host *host, struct vnet_nat *nat, const char *ip);
/* Router reboot: all mappings are lost. */
void vnet_flush_nat(struct vnet_nat *nat);
const struct addr *vnet_nat_addr(const struct vnet_nat *nat); /* port 0 */
/* A static mapping, as a port mapping protocol would make it; the outside port equals the inside one or is
 * given. False: the port is in use. */
bool vnet_map_port(struct vnet_nat *nat, const struct addr *inside, uint16_t outside_port);
/* Watch one host's sockets, or all (host NULL). */
void vnet_tap(struct vnet *net, struct vnet_host *host, vnet_tap_cb tap, void *arg);

#endif
