/* media/receiver.h - the receiving half of a stream: RTP packets → play-out buffer → decoder → samples.
 *
 * It follows jitter_error_us(): far off, by one pitch period more or less a frame (stretch.h); near, by bending
 * the sample clock at most 1000 ppm, which is also what makes two cards agree.
 *
 *   in     RTP packets, already authenticated, with their arrival; `now` at each pull
 *   out    as many samples as asked for, always
 *   owner  the caller of receiver_create(); no allocation after it
 *   trust  payloads may be garbage: concealed and counted
 *   caps   jitter.h; RED_COPIES_MAX copies a packet; RECEIVER_KEYS_MAX keys not fetched */
#ifndef ITO_MEDIA_RECEIVER_H
#define ITO_MEDIA_RECEIVER_H

#include "media/jitter.h"
#include "media/rtp.h"
#include "media/stream.h"

#define RECEIVER_KEYS_MAX 16

struct receiver_stats {
    struct jitter_stats jitter;
    uint64_t n_bad;       /* payloads that are none */
    uint64_t n_stretches; /* periods inserted or removed */
    uint64_t n_concealed; /* samples made up */
    int32_t error_us;     /* play-out against target, smoothed */
    int32_t drift_ppm;    /* clock correction in use */
    bool is_playing;
};

struct receiver;

struct receiver *receiver_create(const struct stream_cfg *cfg);
void receiver_destroy(struct receiver *r);
/* ERR_UNSUPPORTED for a payload type that was not negotiated; else as jitter_put(). */
enum err receiver_packet(struct receiver *r, ns_t now, const struct rtp_packet *p);
void receiver_playout(struct receiver *r, ns_t now, int16_t *out, size_t n);
/* Loss of the last seconds: above a trace the buffer waits for what can repair. */
void receiver_loss(struct receiver *r, double loss);
/* The sender starts anew (new SSRC): forget its packets and clock. */
void receiver_restart(struct receiver *r);
char receiver_key(struct receiver *r); /* next key pressed, 0: none */
void receiver_get_stats(const struct receiver *r, struct receiver_stats *out);

#endif
