/* nat/consent.h - watching the pair in use: when to probe it, when it has failed (RFC 7675, and sooner).
 *
 * Media at 50 packets a second is the best probe there is: five missing ones start checks every 50 ms, and when
 * those go unanswered for longer than an answer takes, the pair has failed. Without media a check every 1-2 s
 * does. Pure arithmetic on a struct pair; ice.c sends and decides.
 *
 *   in     moments: consent_heard_media(), struct pair's sent, answered and heard
 *   out    consent_probe_at(), consent_fails(), consent_until() */
#ifndef ITO_NAT_CONSENT_H
#define ITO_NAT_CONSENT_H

#include "nat/checklist.h"

#define CONSENT_MEDIA_GAP_NS (100 * NS_PER_MS) /* five packets of 20 ms missing */

struct consent {
    ns_t media_at;  /* last media on the path; 0: none yet */
    ns_t packet_ns; /* what lies between two of its packets, about */
    ns_t quiet_ns;  /* silence without media before a probe; drawn anew at each answer */
};

void consent_init(struct consent *c);
void consent_heard_media(struct consent *c, ns_t now);
/* The path moved: media is expected on the new one as it was on the old one. */
void consent_moved(struct consent *c, ns_t now);
/* A check was answered; returns when the next one for consent is due (4-6 s). */
ns_t consent_answered(struct consent *c, ns_t now, const struct env *env);
bool consent_expects_media(const struct consent *c, ns_t now);
/* Three packets that should have come did not: too early to ask, early enough to send by two ways. */
bool consent_misses_media(const struct consent *c, const struct pair *p, ns_t now);
ns_t consent_probe_at(const struct consent *c, const struct pair *p);
/* The moment consent_fails() may become true; NS_NEVER while nothing is unanswered. */
ns_t consent_fails_at(const struct consent *c, const struct pair *p, ns_t now);
bool consent_fails(const struct consent *c, const struct pair *p, ns_t now);

#endif
