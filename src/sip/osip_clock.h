/* sip/osip_clock.h - our time for libosip2.
 *
 * libosip2 reads a clock of its own, osip_gettimeofday(). osip_clock.c defines that symbol, and because the
 * library is linked shared, ours is the one it finds: its timers A to K run in whatever time was set last.
 * The time is the one mutable global of the program (per thread, so two loops in two threads do not meet).
 *
 *   in     the ns_t of this turn, before every call into osip; sip/layer does it, nobody else needs to
 *   out    osip sees it as seconds and microseconds
 *   trust  never steps back on its own; two simulated phones may set different times in turn */
#ifndef ITO_SIP_OSIP_CLOCK_H
#define ITO_SIP_OSIP_CLOCK_H

#include "base/env.h"

/* What osip_gettimeofday() returns from now on. */
void osip_clock_set(ns_t now);

#endif
