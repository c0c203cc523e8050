/* relay/bucket.h - rate cap in kbit/s with a burst, one moment of state: the time at which all that was taken
 * will have been paid for. */
#ifndef ITO_RELAY_BUCKET_H
#define ITO_RELAY_BUCKET_H

#include "base/env.h"

#define BUCKET_BURST_NS (250 * NS_PER_MS)

struct bucket {
    uint64_t ns_per_kib; /* 0: no limit */
    ns_t paid_at;
    ns_t burst_ns; /* 0: BUCKET_BURST_NS */
};

static inline void bucket_set(struct bucket *b, uint32_t kbps)
{
    b->ns_per_kib = kbps == 0 ? 0 : 8192 * NS_PER_MS / kbps;
}

/* False when these bytes are over the rate: nothing is taken then. */
static inline bool bucket_take(struct bucket *b, ns_t now, size_t bytes)
{
    if (b->ns_per_kib == 0)
        return true;
    if (b->paid_at < now)
        b->paid_at = now;
    if (b->paid_at - now > (b->burst_ns > 0 ? b->burst_ns : BUCKET_BURST_NS))
        return false;
    b->paid_at += bytes * b->ns_per_kib >> 10;
    return true;
}

/* The earliest moment at which bucket_take() succeeds. */
static inline ns_t bucket_ready_at(const struct bucket *b, ns_t now)
{
    ns_t burst = b->burst_ns > 0 ? b->burst_ns : BUCKET_BURST_NS;

    return b->ns_per_kib == 0 || b->paid_at <= now + burst ? now : b->paid_at - burst;
}

/* So much of the burst is left that half of it stays for others: what is taken beforehand must not crowd them out. */
static inline bool bucket_has_room(const struct bucket *b, ns_t now)
{
    return b->ns_per_kib == 0 || b->paid_at <= now + (b->burst_ns > 0 ? b->burst_ns : BUCKET_BURST_NS) / 2;
}

/* What was taken and not used. */
static inline void bucket_give(struct bucket *b, size_t bytes)
{
    ns_t ns = bytes * b->ns_per_kib >> 10;

    b->paid_at -= ns < b->paid_at ? ns : b->paid_at;
}

#endif
