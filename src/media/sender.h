/* media/sender.h - the sending half of a stream: frames → Opus, redundancy by reported loss → RTP packets.
 *
 *   PLAIN ──loss ≥ 1 %──▶ LBRR ──≥ 2 %──▶ RED1 ──≥ 15 %──▶ RED2      (without RED: PLAIN, LBRR only)
 *     ▲                                                     │
 *     └────────── 5 s below seven tenths of the bound ──────┘        steps STREAM_STEP_NS apart
 *
 * RED1 and RED2 repeat the one or two frames before, whole. Every packet of a state has one size. A call begins in RED1 (or LBRR): the first seconds are repaired before
 * the first report is there.
 *
 *   in     frames of the microphone, loss as the peer reports it
 *   out    plain RTP packets
 *   owner  the caller of sender_create(); no allocation after it
 *   trust  the reported loss moves us between the four states, no further
 *   caps   max_bitrate; SENDER_KEYS_MAX keys waiting */
#ifndef ITO_MEDIA_SENDER_H
#define ITO_MEDIA_SENDER_H

#include "media/rtp.h"
#include "media/stream.h"

#define SENDER_KEYS_MAX 32

enum sender_state { SENDER_PLAIN, SENDER_LBRR, SENDER_RED1, SENDER_RED2 };

struct sender_stats {
    enum sender_state state;
    uint32_t n_packets, n_bytes; /* as RTCP counts: payload without header and padding */
    uint64_t n_wire_bytes;       /* RTP packets whole */
    uint32_t ts;                 /* of the next frame */
};

struct sender;

struct sender *sender_create(const struct stream_cfg *cfg, ns_t now);
void sender_start(struct sender *s, ns_t now); /* the first frame is about to come */
void sender_destroy(struct sender *s);
/* Encode a frame of cfg->frame_ms; false: nothing to send (DTX, encoder failure). */
bool sender_frame(struct sender *s, const int16_t *pcm, struct wr *w);
/* The telephone-event packet that belongs beside the frame just sent, if one is due. */
bool sender_event(struct sender *s, struct wr *w);
enum err sender_dtmf(struct sender *s, const char *keys);
/* The peer lost this share (0..1) of the last second's packets. */
void sender_loss(struct sender *s, double loss, ns_t now);
void sender_set_ssrc(struct sender *s, uint32_t ssrc);
void sender_get_stats(const struct sender *s, struct sender_stats *out);

#endif
