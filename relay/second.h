/* relay/second.h - which seconds of an allocation count: the one rule for the relay and its client.
 *
 * A second counts from its packet number SECOND_PROBES + 1 on, so a call counts every second once, and a path that
 * is kept warm by checks (RFC 8445 §11, RFC 7675) counts none. Seconds of a stream join without gaps: 60 s of
 * packets are 60.
 *
 *   owner  whoever holds the struct; all zeros is the beginning */
#ifndef ITO_RELAY_SECOND_H
#define ITO_RELAY_SECOND_H

#include <stdbool.h>

#include "base/env.h"

#define SECOND_PROBES 8

struct second {
    ns_t ends_at;       /* of the newest that counts */
    ns_t probes_end_at; /* of the packets that may become one */
    uint8_t n_probes;
};

enum second_kind { SECOND_PROBE, SECOND_SAME, SECOND_NEW };

/* A packet passed now: one of a few that cost nothing, one of a second already counted, or the one that makes
 * another second count. */
static inline enum second_kind second_note(struct second *s, ns_t now)
{
    if (now < s->ends_at)
        return SECOND_SAME;
    if (now >= s->probes_end_at) {
        s->probes_end_at = now + NS_PER_S;
        s->n_probes = 0;
    }
    if (++s->n_probes <= SECOND_PROBES)
        return SECOND_PROBE;
    s->n_probes = 0;
    s->ends_at = now - s->ends_at < NS_PER_S ? s->ends_at + NS_PER_S : now + NS_PER_S;
    return SECOND_NEW;
}

#endif
