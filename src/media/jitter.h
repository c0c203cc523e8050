/* media/jitter.h - adaptive play-out buffer: packets in as they come, out in order, decoded just in time.
 *
 * It keeps packets by timestamp and estimates how late they come: the relative arrival delay is arrival minus
 * timestamp, less the smallest of the last JITTER_HISTORY packets; the 97th percentile plus a margin is the
 * target. Play-out of timestamp t is due at smallest + t + target. jitter_error_us() tells how far the play-out
 * is from that: the owner then stretches, shortens, or bends the clock (drift comes out the same way).
 *
 *   in     packets with arrival times; the play-out position moves by jitter_get()
 *   out    one packet, or the news that it is missing and what can stand in for it
 *   owner  the caller of jitter_create(); payloads are copied; no allocation after that
 *   trust  timestamps are the peer's (authenticated): a jump of more than JITTER_JUMP_S starts over
 *   caps   JITTER_PACKETS packets of JITTER_PAYLOAD_MAX bytes, max_ms of delay */
#ifndef ITO_MEDIA_JITTER_H
#define ITO_MEDIA_JITTER_H

#include "base/env.h"
#include "base/err.h"

#define JITTER_PACKETS     64
#define JITTER_PAYLOAD_MAX 1000
#define JITTER_HISTORY     200 /* packets: 4 s of 20 ms */
#define JITTER_JUMP_S      5

struct jitter;

struct jitter_cfg {
    uint32_t min_ms, max_ms; /* bounds of the target, as audio.jitter_*_ms */
    uint32_t start_ms;       /* until arrivals were measured; 0 means 40 */
};

struct jitter_stats {
    uint32_t n_put, n_late, n_duplicate, n_full, n_copies; /* copies: put by jitter_put_copy() and kept */
    uint32_t n_played, n_repaired, n_lost, n_resets;
    uint32_t target_us;
    uint32_t level; /* packets held */
};

/* What to play for one step. */
enum jitter_kind {
    JITTER_WAIT,   /* nothing has come yet, or the first packet's time has not come: play silence */
    JITTER_PACKET, /* decode payload; the position moved by its duration */
    JITTER_REPAIR, /* missing, but payload is the packet after it: its in-band copy may help */
    JITTER_LOST    /* missing: conceal `samples` */
};

struct jitter_frame {
    enum jitter_kind kind;
    struct slice payload; /* valid until the next call */
    uint32_t samples;     /* to make: duration of the packet or of the hole */
    bool is_copy;         /* a redundant, lesser encoding */
    bool is_pause;        /* LOST, but the sender left it out (DTX) */
};

struct jitter *jitter_create(const struct jitter_cfg *cfg);
void jitter_destroy(struct jitter *j);
/* Forget all packets and the position; keeps the statistics. */
void jitter_reset(struct jitter *j);

/* Put one received packet into the play-out buffer.
 *
 *   seq      RTP sequence number, wraps (RFC 3550 §5.1)
 *   ts       48 kHz units whatever the audio bandwidth (RFC 7587 §4.1)
 *   payload  one Opus packet, copied
 *   samples  its duration
 *   now      arrival, monotonic ns; feeds the delay estimate
 *
 * ERR_OK, ERR_DUPLICATE, ERR_LATE (its turn has passed), ERR_FULL or ERR_RANGE (too long): counted in
 * jitter_stats, not logged. A late packet still feeds the estimate. */
enum err jitter_put(struct jitter *j, uint16_t seq, uint32_t ts, struct slice payload, uint32_t samples,
                    ns_t now);
/* A redundant copy of an older packet (RFC 2198): kept only where the original is missing, measures nothing. */
enum err jitter_put_copy(struct jitter *j, uint32_t ts, struct slice payload, uint32_t samples);

/* Take the next step at `now`; holes are reported in steps of at most `step` samples. */
void jitter_get(struct jitter *j, ns_t now, uint32_t step, struct jitter_frame *out);

/* How late play-out is against the target, microseconds: positive, the buffer is too long; negative, too
 * short. now is when the next sample of the position would be taken. 0 before play-out began. */
int32_t jitter_error_us(const struct jitter *j, ns_t now);
/* Extra target while repair needs the packets that follow (redundancy in use); 0 by default. */
void jitter_set_extra(struct jitter *j, uint32_t extra_us);
void jitter_get_stats(const struct jitter *j, struct jitter_stats *out);

#endif
