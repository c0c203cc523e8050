/* base/addr.h - transport address and its class.
 *
 * IPv4-mapped IPv6 addresses become IPv4 on the way in (addr_v6, addr_from_sockaddr), so that one host has
 * one form. The documentation prefixes (RFC 5737, RFC 3849) count as ordinary public ones: laboratories
 * are built on them. */
#ifndef ITO_BASE_ADDR_H
#define ITO_BASE_ADDR_H

#include "base/cursor.h"
#include "base/err.h"

struct sockaddr;
struct sockaddr_storage;

enum addr_family { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };

struct addr {
    uint8_t family; /* enum addr_family */
    uint8_t ip[16]; /* network order; the first 4 for IPv4, the rest zero */
    uint16_t port;  /* host order */
    uint32_t scope; /* interface index of a link-local IPv6 address; ADDR_STREAM and a number; else 0 */
};

/* In scope: not by UDP but by the TCP or TLS connection of that number (io/tcp.h). Such an address is a name inside
 * this process; on the wire and in files it is its IP and port. */
#define ADDR_STREAM 0x80000000u
static inline bool addr_is_stream(const struct addr *a)
{
    return (a->scope & ADDR_STREAM) != 0;
}

/* What an address is good for (RFC 6890). */
enum addr_class {
    ADDR_UNUSABLE, /* unspecified, multicast, broadcast, reserved */
    ADDR_LOOPBACK,
    ADDR_LINK_LOCAL,
    ADDR_PRIVATE, /* RFC 1918, RFC 6598 shared, RFC 4193 unique local */
    ADDR_GLOBAL
};

#define ADDR_TEXT_BYTES 64

struct addr addr_v4(const uint8_t ip[static 4], uint16_t port);
struct addr addr_v6(const uint8_t ip[static 16], uint16_t port);
/* "1.2.3.4:5", "[2001:db8::1]:5", and the same without a port (port 0); no names. */
enum err addr_parse(const char *text, struct addr *out);
/* Writes "1.2.3.4:5" or "[2001:db8::1]:5" (without the port when it is 0) and returns out. */
const char *addr_print(const struct addr *a, char out[static ADDR_TEXT_BYTES]);
/* The address alone, without port and brackets. */
const char *addr_print_ip(const struct addr *a, char out[static ADDR_TEXT_BYTES]);
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_equal_ip(const struct addr *a, const struct addr *b);
/* Same /24 (IPv4) or /48 (IPv6): taken as one operator. */
bool addr_same_net(const struct addr *a, const struct addr *b);
/* The class, looking through v4-mapped, 6to4, Teredo and 64:ff9b::/96 forms at the IPv4 address inside. */
enum addr_class addr_class(const struct addr *a);
size_t addr_ip_bytes(const struct addr *a); /* 4, 16, or 0 */
enum err addr_from_sockaddr(const struct sockaddr *sa, struct addr *out);
/* Fills ss; IPv4 becomes v4-mapped IPv6 when want_v6 is set. Returns its length. */
unsigned addr_to_sockaddr(const struct addr *a, bool want_v6, struct sockaddr_storage *ss);

/* "addr" of the wire formats: family1 (4 or 6) port2 ip4/ip16; 7 or 19 bytes. */
void addr_write(struct wr *w, const struct addr *a);
void addr_read(struct rd *r, struct addr *out);

#endif
