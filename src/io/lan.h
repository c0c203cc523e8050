/* io/lan.h - phones on this network, found by multicast of our own (in the manner of BEP 14).
 *
 * Says "a node of this zone listens at this port" to 239.192.105.116 and ff02::6974:6f64, port LAN_PORT, on every
 * interface: a few times after the start and after each change of the network, then every LAN_EVERY_NS. Works without
 * a default route, and with IPv6 link-local addresses only (the scope is in struct addr).
 *
 *   in     datagrams of the group
 *   out    found() for each new address of our zone
 *   owner  lan_open()/lan_close(); the io outlives it
 *   trust  hearsay of anybody on the link: zone and port only, no identity. Senders that are not private or
 *          link-local are ignored; an address is worth one question by the overlay
 *   caps   LAN_FOUND_MAX addresses remembered, LAN_FOUND_PER_MIN told in a minute, LAN_LINKS interfaces */
#ifndef ITO_IO_LAN_H
#define ITO_IO_LAN_H

#include "io/loop.h"

#define LAN_PORT          17640
#define LAN_HELLO_BYTES   16
#define LAN_ZONE_BYTES    8
#define LAN_FOUND_MAX     64
#define LAN_FOUND_PER_MIN 32
#define LAN_LINKS         16
#define LAN_EVERY_NS      (120 * NS_PER_S)

/* What one datagram says. */
struct lan_hello {
    uint16_t port; /* never 0 */
    uint8_t zone_id[LAN_ZONE_BYTES];
};

void lan_hello_write(const struct lan_hello *h, uint8_t out[static LAN_HELLO_BYTES]);
/* ERR_PARSE: not of the format; ERR_VERSION. */
enum err lan_hello_parse(struct slice bytes, struct lan_hello *out);

typedef void (*lan_found_cb)(void *arg, ns_t now, const struct addr *addr);

struct lan_config {
    struct lan_hello self;
    bool v4, v6; /* families of the main socket */
    lan_found_cb found;
    void *arg;
};

struct lan;

/* Never fails for want of a network: interfaces may come later. */
struct lan *lan_open(struct io *io, const struct lan_config *config);
void lan_close(struct lan *l); /* NULL is fine */
void lan_network_changed(struct lan *l, ns_t now);

#endif
