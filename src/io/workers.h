/* io/workers.h - more sockets at a relay's port, each with a thread that passes on packets of flows in its table.
 *
 * The sockets share the port by SO_REUSEPORT: the kernel gives each sender's channel data to one of them, and all else
 * to the main socket (a filter of six instructions; where the kernel does not take it, all is shared out). A thread
 * looks each datagram up (io/flow_table.h): a lent flow's goes out by the thread's own socket with another channel
 * number, everything else to the loop by a queue, whose reader hands it in as if the main socket had received it. A
 * thread reads and sends in batches, and naps as the loop does (io/udp.h). It has no files, and blocks all signals.
 *
 *   in     flows of the table; sockets of a process before us
 *   out    packets; what was lost between socket and loop
 *   owner  workers_open(); all but the threads' own work by the loop's thread
 *   caps   FLOW_LOOKERS_MAX threads, WORKERS_QUEUE datagrams between each and the loop */
#ifndef ITO_IO_WORKERS_H
#define ITO_IO_WORKERS_H

#include "io/flow_table.h"
#include "io/udp.h"

#define WORKERS_QUEUE 256 /* a power of two */

struct workers;

struct workers_config {
    struct io *io;
    struct udp *main; /* outlives them */
    unsigned n_threads;
    size_t max_flows;
    const int *fds; /* sockets of the group that are open already, ours from now on */
    size_t n_fds; /* at most FLOW_LOOKERS_MAX; those beyond n_threads are read out and closed at the start */
};

/* Cumulative. */
struct workers_stats {
    uint64_t packets; /* passed on */
    uint64_t handed;  /* given to the loop */
    uint64_t unsent_packets,
        unsent_bytes;         /* counted as carried by their flows; then the kernel took them not */
    uint64_t dropped_packets; /* the queue to the loop was full */
    uint64_t dropped_bytes;   /* payload of these, where the flow was known */
};

enum err workers_open(const struct workers_config *config, struct workers **out, struct err_detail *detail);
void workers_close(struct workers *w); /* stops; accepts NULL */
struct flow_table *workers_table(struct workers *w);
/* To this client, on this channel of its, as our sockets want it. */
struct flow_way workers_way(const struct workers *w, const struct addr *to, uint16_t channel);
/* Start the threads; nothing when they run. ERR_IO: it cannot be, and the main
 * socket has all packets from now on. */
enum err workers_start(struct workers *w);
/* Stop and join them, and hand in what waits for the loop: then only the sockets hold packets. */
void workers_stop(struct workers *w, ns_t now);
/* The sockets, which stay ours. */
size_t workers_fds(const struct workers *w, int out[static FLOW_LOOKERS_MAX]);
struct workers_stats workers_stats(const struct workers *w);

#endif
