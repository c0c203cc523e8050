/* app/netinfo.h - what this phone knows of its network: addresses, NAT behaviour, the port its router maps.
 *
 * Asks two servers of different networks what address they see us at (RFC 8489; every relay and full zone node
 * answers), again every NETINFO_REFRESH_NS and when the network changed. The NAT word says no more than was seen:
 * two addresses from two servers prove a mapping that depends on the address; that it depends on the port too is
 * only proven by two ports of one server. Where no server answers, the overlay's votes stand in.
 *
 * With maps_ports the gateway is asked for our UDP port: PCP and NAT-PMP for MAP_FIRST_NS, then UPnP IGD by
 * ops.map_port, then PCP and NAT-PMP with all their patience; begun anew every NETINFO_REFRESH_NS until one works.
 *
 *   in     ops; netinfo_input(): datagrams that may be STUN or the gateway's; netinfo_port_mapped(): UPnP's answer
 *   out    ops.send, ops.map_port; ops.changed when an address or a word is another
 *   owner  netinfo_create(); config and ops are copied, what they point to outlives it
 *   trust  answers count by transaction and source; a server can lie about our address, which then is one candidate
 *          that fails. An outside address that is not global (a router behind a router) is no mapping
 *   caps   NETINFO_SERVERS questions a round, NETINFO_ADDRS addresses */
#ifndef ITO_APP_NETINFO_H
#define ITO_APP_NETINFO_H

#include "base/env.h"

#define NETINFO_SERVERS    4
#define NETINFO_ADDRS      6
#define NETINFO_REFRESH_NS (600 * NS_PER_S)
#define NETINFO_BLOCKED_NS (20 * NS_PER_S) /* asked, and nothing heard for so long */

enum netinfo_nat {
    NETINFO_UNKNOWN,
    NETINFO_NONE,         /* we are seen at an address of our own */
    NETINFO_ENDPOINT,     /* one outside address for all destinations */
    NETINFO_ADDRESS,      /* another one for another address, at least */
    NETINFO_ADDRESS_PORT, /* another one for another port of one address */
    NETINFO_BLOCKED       /* the overlay was asked and nothing at all came back, an interface is up */
};

struct netinfo_config {
    uint16_t port;   /* of the main UDP socket */
    bool maps_ports; /* net.port_mapping */
};

struct netinfo_ops {
    void *arg;
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    /* Addresses of this machine with the main port; returns how many. */
    size_t (*local_addrs)(void *arg, struct addr *out, size_t max);
    /* Who answers Binding requests, best first; returns how many. */
    size_t (*servers)(void *arg, struct addr *out, size_t max);
    /* Where the overlay's nodes see us (dht_own_address): port 0 when each sees another; false: no majority. */
    bool (*seen)(void *arg, uint8_t family, struct addr *out);
    /* Overlay messages since the start: asked, heard. */
    void (*traffic)(void *arg, uint64_t *out, uint64_t *in);
    /* The default gateway, and our address towards it (port unset). False: there is none. NULL: no port mapping. */
    bool (*gateway)(void *arg, struct addr *gateway, struct addr *inside);
    /* Ask by UPnP IGD for the port, and keep it; is_on false: give it back. NULL: not built in. */
    void (*map_port)(void *arg, uint16_t port, bool is_on);
    /* Our addresses, the NAT word or the mapping are others than before. */
    void (*changed)(void *arg, ns_t now);
};

/* What the router maps to us. */
struct netinfo_mapping {
    struct addr outside;
    const char *by; /* "upnp", "pcp", "nat-pmp" */
    ns_t until;     /* NS_NEVER: until it is given back */
};

struct netinfo;

/* Sends nothing; the first tick is due at once. */
struct netinfo *netinfo_create(const struct netinfo_config *config, const struct netinfo_ops *ops,
                               const struct env *env);
/* Gives the mapping back. NULL is fine. */
void netinfo_destroy(struct netinfo *n, ns_t now);
/* True when the datagram was an answer to a question of ours. */
bool netinfo_input(struct netinfo *n, ns_t now, const struct addr *from, struct slice bytes);
/* UPnP's answer to map_port(on), also later when it changes. outside's family ADDR_NONE: there is none (any more).
 * lifetime_s 0: until given back. */
void netinfo_port_mapped(struct netinfo *n, ns_t now, const struct addr *outside, uint32_t lifetime_s);
/* All that was learned is forgotten and asked anew. */
void netinfo_network_changed(struct netinfo *n, ns_t now);
/* Ask again soon: a call begins, and a NAT that counts its ports is predicted best by fresh answers. */
void netinfo_refresh(struct netinfo *n, ns_t now);
void netinfo_tick(struct netinfo *n, ns_t now);
ns_t netinfo_deadline(const struct netinfo *n);

enum netinfo_nat netinfo_nat(const struct netinfo *n);
/* The word of UX.md §3; NULL while nothing honest can be said. */
const char *netinfo_nat_word(const struct netinfo *n);
/* "public": seen at our own address; "none": no global address; NULL: not known. */
const char *netinfo_ipv6_word(const struct netinfo *n);
/* False when the router maps nothing to us. */
bool netinfo_mapping(const struct netinfo *n, struct netinfo_mapping *out);
/* Where others may reach us besides our host addresses: the mapped one, server-reflexive ones, and, while the answers
 * are fresh, what a counting NAT will show next. Returns how many. */
size_t netinfo_addrs(const struct netinfo *n, ns_t now, struct addr *out, size_t max);
/* Our port as the outside sees it; 0: not known, or another for each. */
uint16_t netinfo_outside_port(const struct netinfo *n);

#endif
