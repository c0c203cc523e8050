/* io/xdp.h - packets of running calls passed on in the kernel: loads io/xdp_program on the network interfaces by
 * bpf(2), and keeps its table. Linux only.
 *
 * Without the privileges, the kernel or an interface for it, xdp_open() says so and all goes on as before. The
 * programs leave with this process, however it ends: each hangs on a link whose descriptor is ours. A flow that is
 * not renewed ends by itself.
 *
 *   in     pairs of flows that the owner has decided on, how long and how much they may carry
 *   out    their counters
 *   owner  xdp_open(); all of it may be called by its thread only
 *   caps   max_pairs; XDP_INTERFACES */
#ifndef ITO_IO_XDP_H
#define ITO_IO_XDP_H

#include "base/env.h"
#include "base/err.h"

#define XDP_INTERFACES 16

struct xdp;

struct xdp_config {
    uint16_t port; /* main port */
    size_t max_pairs;
    bool with_loopback; /* laboratories */
};

/* One end of a call: a client with the channel it uses for the other, which sends to our main port; or somebody
 * without an allocation here, who sends to this relayed port of the other (channel 0). */
struct xdp_end {
    struct addr client;
    uint16_t channel, port;
};

struct xdp_count {
    uint64_t packets, bytes; /* payload */
};

/* How an interface runs the program. */
struct xdp_link {
    char name[16];
    bool is_native;
};

enum err xdp_open(const struct xdp_config *config, struct xdp **out, struct err_detail *detail);
void xdp_close(struct xdp *x); /* accepts NULL */
size_t xdp_links(const struct xdp *x, struct xdp_link out[static XDP_INTERFACES]);
/* The flows ends[0] to ends[1] and back; they carry nothing before xdp_renew(). 0: no place, or not of one family. */
uint32_t xdp_add(struct xdp *x, ns_t now, const struct xdp_end ends[static 2]);
/* The flow from ends[from] may go on until `until`, and carry so many bytes since its beginning. */
void xdp_renew(struct xdp *x, uint32_t pair, int from, ns_t until, uint64_t allowed_bytes);
struct xdp_count xdp_count(const struct xdp *x, uint32_t pair, int from);
/* Stop both flows, and tell what they carried in all. */
void xdp_remove(struct xdp *x, ns_t now, uint32_t pair, struct xdp_count out[static 2]);

#endif
