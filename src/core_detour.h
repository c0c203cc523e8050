/* core_detour.h - ways around a network that lets no UDP out: TCP, then TLS, to addresses that UDP does not reach.
 *
 * While nothing global was heard by UDP for DETOUR_AFTER_NS after the first packet went out, the addresses that packets
 * went to are tried one after the other on the same port, by TCP and by TLS in turn; what is sent to one under trial
 * goes both ways. The first datagram from there makes it a detour: packets to that address go by the connection, and
 * what comes by it seems to come from the address, so that overlay, sessions and TURN notice nothing. Relays listen
 * there (io/tcp.h); other nodes are not reached.
 *
 *   owner  core.c
 *   caps   DETOURS connections, DETOUR_CANDIDATES addresses remembered */
#ifndef ITO_CORE_DETOUR_H
#define ITO_CORE_DETOUR_H

#include "io/tcp.h"

#define DETOURS           2
#define DETOUR_CANDIDATES 16
#define DETOUR_AFTER_NS   (3 * NS_PER_S)
#define DETOUR_TRIAL_NS   (4 * NS_PER_S)

struct detour;

struct detour *detour_create(struct io *io, struct tcp *tcp);
void detour_destroy(struct detour *d); /* accepts NULL */
/* A datagram by UDP from there. */
void detour_heard(struct detour *d, const struct addr *from);
/* A datagram by a stream: the address it stands for, or NULL when it is no detour of ours. */
const struct addr *detour_from(struct detour *d, const struct addr *stream);
/* That stream is gone: true when it was ours. */
bool detour_gone(struct detour *d, ns_t now, const struct addr *stream);
/* The network is another one: begin anew. */
void detour_forget(struct detour *d);
/* The next deadline. */
ns_t detour_turn(struct detour *d, ns_t now);

#endif
