/* io/udp.h - one UDP socket on the loop, IPv6 with IPv4 inside where the system can, else IPv4.
 *
 * Reads in batches (recvmmsg), at most UDP_BATCH * UDP_ROUNDS datagrams a wake-up. Sends never block: what
 * the kernel refuses is lost, and counted. */
#ifndef ITO_IO_UDP_H
#define ITO_IO_UDP_H

#include "io/loop.h"

#define UDP_BATCH          32
#define UDP_ROUNDS         4
#define UDP_DATAGRAM_BYTES 2048

struct udp;

typedef void (*udp_recv_cb)(void *arg, ns_t now, const struct addr *from, struct slice bytes);

struct udp_config {
    uint16_t port;    /* 0: any */
    bool v4, v6;      /* families wanted */
    struct addr bind; /* a single address to bind to instead (its port counts), or family ADDR_NONE */
    udp_recv_cb recv;
    void *arg;
};

enum err udp_open(struct io *io, const struct udp_config *config, struct udp **out,
                  struct err_detail *detail);
void udp_close(struct udp *u); /* accepts NULL */
void udp_send(struct udp *u, const struct addr *to, struct slice bytes);
uint16_t udp_port(const struct udp *u);
bool udp_has_v6(const struct udp *u);
/* The interface link-local addresses without a scope are on: such addresses come from others' messages. */
void udp_set_link(struct udp *u, uint32_t index);

#endif
