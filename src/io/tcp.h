/* io/tcp.h - datagrams over TCP and TLS connections, for networks that let no UDP out (THREATS.md §4.14).
 *
 * A listening port takes both: a connection whose first byte is that of a TLS handshake (22) is TLS. Frames are those
 * of io/frame.h. Each connection has an address, its IP and port with ADDR_STREAM and a number in scope, by which
 * datagrams come in and go out; numbers are not used again soon. A datagram that does not fit the queue of a slow
 * connection is lost, as on UDP.
 *
 *   in     tcp_listen(), tcp_connect(); bytes of the other sides
 *   out    ops.recv for each datagram; ops.gone once for each connection that had a datagram or was asked for
 *   owner  tcp_create(); io outlives it. tcp_close() is legal in a callback
 *   trust  nobody: a stream that is not made of frames, or not of what may come this way, is closed
 *   caps   TCP_CONNECTIONS, TCP_PER_SOURCE for each /32 or /64, TCP_QUEUE_MAX waiting bytes each, TCP_QUEUES
 *          connections that have any, TCP_FIRST_NS to a first
 *          datagram, TCP_IDLE_NS between datagrams */
#ifndef ITO_IO_TCP_H
#define ITO_IO_TCP_H

#include "io/loop.h"

#define TCP_CONNECTIONS 2048
#define TCP_PER_SOURCE  64
#define TCP_QUEUE_MAX   (64 * 1024)
#define TCP_QUEUES      256
#define TCP_FIRST_NS    (10 * NS_PER_S)
#define TCP_IDLE_NS     (900 * NS_PER_S) /* a TURN client refreshes sooner */

struct tcp;

struct tcp_ops {
    void (*recv)(void *arg, ns_t now, const struct addr *from, struct slice bytes);
    void (*gone)(void *arg, ns_t now, const struct addr *who);
    void *arg;
};

struct tcp_stats {
    uint32_t connections, tls;
    uint64_t accepted, accepted_tls, refused; /* refused: over a cap */
    uint64_t broken;                          /* closed since their bytes were no frames or no TLS */
    uint64_t lost;                            /* datagrams that found the queue full or no connection */
};

struct tcp *tcp_create(struct io *io, const struct tcp_ops *ops);
void tcp_destroy(struct tcp *t); /* accepts NULL; without gone */
enum err tcp_listen(struct tcp *t, uint16_t port, bool v4, bool v6, struct err_detail *detail);
uint16_t tcp_port(const struct tcp *t); /* of the listening socket */
/* Open a connection; what is sent to *out waits until it is up. gone tells when it never comes. ERR_FULL. */
enum err tcp_connect(struct tcp *t, const struct addr *to, bool is_tls, struct addr *out);
void tcp_send(struct tcp *t, const struct addr *to, struct slice datagram);
void tcp_close(struct tcp *t, const struct addr *who);
const struct tcp_stats *tcp_stats(const struct tcp *t);

#endif
