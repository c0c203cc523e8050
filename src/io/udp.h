/* io/udp.h - one UDP socket on the loop, IPv6 with IPv4 inside where the system can, else IPv4.
 *
 * Reads in batches (recvmmsg), at most UDP_BATCH * UDP_ROUNDS datagrams a wake-up. Sends never block: what
 * the kernel refuses is lost, and counted. What is sent while datagrams are handed out leaves in batches too
 * (sendmmsg), at the latest at the end of the turn of the loop, in the order it was given.
 *
 * A relay's packets may take the way of `fast`: it is shown each datagram first, in a buffer where it may write,
 * and says whether that was all. Such datagrams do not make a turn of the owner due, and while there are more
 * than UDP_BUSY_PER_S of them the loop naps up to UDP_NAP_NS between short batches: a wake-up costs as much as
 * several packets. A socket without `fast`, or with little to forward, never waits.
 *
 *   owner  udp_open(); the buffers are shared by all sockets of one io */
#ifndef ITO_IO_UDP_H
#define ITO_IO_UDP_H

#include "io/loop.h"

#define UDP_BATCH          64
#define UDP_ROUNDS         4
#define UDP_DATAGRAM_BYTES 2048
#define UDP_HEADROOM       64 /* writable before and behind a datagram shown to `fast` */
#define UDP_BUSY_PER_S     1000
#define UDP_NAP_NS         NS_PER_MS

struct udp;

typedef void (*udp_recv_cb)(void *arg, ns_t now, const struct addr *from, struct slice bytes);
/* True: done with this datagram, whose bytes may be overwritten by now; false: untouched, it goes to recv. */
typedef bool (*udp_fast_cb)(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len);

struct udp_config {
    uint16_t port;    /* 0: any */
    bool v4, v6;      /* families wanted */
    struct addr bind; /* a single address to bind to instead (its port counts), or family ADDR_NONE */
    bool is_main;     /* what it sends is batched; one a loop */
    bool is_relay;    /* kernel buffers for many calls */
    int fd; /* > 0: a socket that is bound already, ours from now on; port and bind are as it has them */
    udp_recv_cb recv;
    udp_fast_cb fast; /* may be NULL */
    void *arg;
};

enum err udp_open(struct io *io, const struct udp_config *config, struct udp **out,
                  struct err_detail *detail);
void udp_close(struct udp *u); /* accepts NULL */
void udp_send(struct udp *u, const struct addr *to, struct slice bytes);
uint16_t udp_port(const struct udp *u);
int udp_fd(const struct udp *u);
bool udp_has_v6(const struct udp *u);
/* One more socket at the same address (SO_REUSEPORT), the caller's; -1 and errno: it cannot be. */
int udp_open_beside(struct udp *u);
/* A datagram that came by such a socket: as if this one had received it. bytes as `fast` wants them. True: `fast` was
 * done with it. */
bool udp_hand_in(struct udp *u, ns_t now, const struct addr *from, uint8_t *bytes, size_t len);
/* The interface link-local addresses without a scope are on: such addresses come from others' messages. */
void udp_set_link(struct udp *u, uint32_t index);

/* For io/loop. What all sockets of one loop share. */
struct udp_hub;
struct udp_hub *udp_hub_create(void);
void udp_hub_destroy(struct udp_hub *hub);
/* The end of a turn: send what waits; true when the loop should nap before it looks again. */
bool udp_hub_end_turn(struct udp_hub *hub, ns_t now);
/* Read the main socket without asking the loop first, which is cheaper while it alone has packets (can). False:
 * there was more than packets to pass on. */
bool udp_hub_can_read_on(const struct udp_hub *hub, ns_t now);
bool udp_hub_read_on(struct udp_hub *hub, ns_t now);

#endif
