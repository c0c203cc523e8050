#include "sip/osip_clock.h"

#include <sys/time.h>
#include <time.h>
#include <osip2/osip_time.h>

/* The one permitted mutable global: osip's clock takes no context argument. */
static _Thread_local ns_t osip_now;

void osip_clock_set(ns_t now)
{
    osip_now = now;
}

/* Takes the place of the function of the same name in the shared libosip2. */
int osip_gettimeofday(struct timeval *tp, void *tz)
{
    (void)tz;
    tp->tv_sec = (time_t)(osip_now / NS_PER_S);
    tp->tv_usec = (suseconds_t)(osip_now % NS_PER_S / NS_PER_US);
    return 0;
}
