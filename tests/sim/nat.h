/* tests/sim/nat.h - the mapping table of one NAT: mapping and filtering behaviour of RFC 4787.
 *
 * A mapping is (inside address, destination as far as the mapping behaviour looks) → outside port; it remembers
 * where the inside host has sent through it, and that is what the filter goes by.
 *
 *   owner  the caller of nat_create(); vnet.h forwards the packets
 *   caps   NAT_FILTERS_MAX destinations a mapping, the oldest is forgotten */
#ifndef ITO_SIM_NAT_H
#define ITO_SIM_NAT_H

#include "base/env.h"

#define NAT_FILTERS_MAX 64

/* Mapping and filtering behaviour (RFC 4787 §4.1, §5). */
enum vnet_behaviour {
    VNET_EI, /* endpoint-independent */
    VNET_AD, /* address-dependent */
    VNET_APD /* address- and port-dependent */
};

enum vnet_ports {
    VNET_PORTS_KEEP,      /* the inside port, or the next free one of the same parity */
    VNET_PORTS_RANDOM,    /* 1024..65535 */
    VNET_PORTS_SEQUENTIAL /* the one after the last given */
};

struct vnet_nat_config {
    enum vnet_behaviour mapping, filtering;
    enum vnet_ports ports;
    bool hairpin;            /* inside hosts reach each other by outside addresses */
    bool no_inbound_refresh; /* only outbound packets keep a mapping alive */
    bool udp_blocked;        /* nothing passes: an office */
    ns_t timeout_ns;         /* of an idle mapping; 0: 120 s */
};

struct nat;

struct nat *nat_create(const struct vnet_nat_config *config, uint64_t seed);
void nat_destroy(struct nat *n);
/* The outside port of a packet from inside to `to`; makes the mapping. */
uint16_t nat_outbound(struct nat *n, ns_t now, const struct addr *inside, const struct addr *to);
/* Whom a packet from outside to this port is for; NULL: nobody, or the filter says no. */
const struct addr *nat_inbound(struct nat *n, ns_t now, uint16_t port, const struct addr *from);
/* A static mapping, open to all; false: the port is in use. */
bool nat_map(struct nat *n, ns_t now, const struct addr *inside, uint16_t port);
void nat_flush(struct nat *n);

#endif
