#include "nat/consent.h"

#define MS               NS_PER_MS
#define CHECK_NS         (4 * NS_PER_S) /* and up to half as much again, RFC 7675 §5.1 */
#define QUIET_NS         (1000 * MS)    /* and up to twice that */
#define MEDIA_RECENT_NS  (2 * NS_PER_S) /* media is expected to go on */
#define PACKET_NS        (20 * MS)
#define PACKETS_APART_NS (500 * MS)  /* more is no distance of two packets, but a hole */
#define TRIES_MIN        3           /* unanswered, before a pair can fail: loss alone is no reason */
#define BLIND_NS         (2500 * MS) /* we hear them, they do not answer: they do not hear us */

static ns_t random_up_to(const struct env *env, ns_t span)
{
    return span * (env_random_u32(env) >> 8) >> 24;
}

void consent_init(struct consent *c)
{
    c->media_at = 0;
    c->packet_ns = PACKET_NS;
    c->quiet_ns = QUIET_NS;
}

void consent_heard_media(struct consent *c, ns_t now)
{
    ns_t gap = c->media_at != 0 ? now - c->media_at : PACKET_NS;

    if (gap < PACKETS_APART_NS)
        c->packet_ns += (gap > c->packet_ns ? gap - c->packet_ns : 0) / 8 -
                        (gap < c->packet_ns ? c->packet_ns - gap : 0) / 8;
    c->media_at = now;
}

void consent_moved(struct consent *c, ns_t now)
{
    if (c->media_at != 0)
        c->media_at = now;
}

ns_t consent_answered(struct consent *c, ns_t now, const struct env *env)
{
    c->quiet_ns = QUIET_NS + random_up_to(env, QUIET_NS);
    return now + CHECK_NS + random_up_to(env, CHECK_NS / 2);
}

bool consent_expects_media(const struct consent *c, ns_t now)
{
    return c->media_at != 0 && now < c->media_at + MEDIA_RECENT_NS;
}

bool consent_misses_media(const struct consent *c, const struct pair *p, ns_t now)
{
    return consent_expects_media(c, now) && now >= p->heard_at + 3 * c->packet_ns;
}

static ns_t probe_at(const struct consent *c, const struct pair *p, bool media)
{
    ns_t gap = media ? 50 * MS : 200 * MS;

    if (p->n_sent == 0)
        return ns_min(p->next_at, p->heard_at + (media ? CONSENT_MEDIA_GAP_NS : c->quiet_ns));
    if (gap < p->rtt / 2)
        gap = p->rtt / 2;
    return pair_sent_last_at(p) + (p->n_sent < 6 ? gap : p->n_sent < 16 ? 500 * MS : NS_PER_S);
}

ns_t consent_probe_at(const struct consent *c, const struct pair *p)
{
    ns_t at = probe_at(c, p, true);

    return consent_expects_media(c, at) ? at : probe_at(c, p, false);
}

/* How long an answer to a probe may take: long enough for jitter, and for a second try. */
static ns_t answer_limit(const struct consent *c, const struct pair *p, ns_t now)
{
    ns_t limit = consent_expects_media(c, now) ? 120 * MS : 500 * MS, by_rtt = p->rtt + p->rtt / 4 + 50 * MS;

    return limit > by_rtt ? limit : by_rtt;
}

ns_t consent_fails_at(const struct consent *c, const struct pair *p, ns_t now)
{
    return p->doubt_at == 0 ? NS_NEVER : p->doubt_at + answer_limit(c, p, now);
}

bool consent_fails(const struct consent *c, const struct pair *p, ns_t now)
{
    if (p->n_sent < TRIES_MIN || now < consent_fails_at(c, p, now))
        return false;
    return now >= p->heard_at + answer_limit(c, p, now) || now >= p->doubt_at + BLIND_NS;
}
