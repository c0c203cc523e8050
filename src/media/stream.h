/* media/stream.h - one call's sound: capture → encode → protect; receive → jitter → decode → play. No I/O, no
 * thread: the owner brings frames, packets and `now`.
 *
 *   in     frames of frame_ms from the microphone; SRTP and SRTCP datagrams of the peer
 *   out    protected datagrams through out buffers; samples for the loudspeaker in any amount
 *   owner  the caller of stream_create(); keys are copied and wiped with it; one thread at a time; no
 *          allocation after stream_create()
 *   trust  only authenticated packets count; payloads may still be garbage and then play as concealment
 *   caps   those of jitter.h; bitrate with all redundancy stays below max_bitrate; one packet size per step,
 *          steps at least STREAM_STEP_NS apart
 *
 * With tx_key and rx_key NULL the packets are plain: then the owner holds the srtp_pair (as media.h does, to
 * keep cryptography off the sound thread). */
#ifndef ITO_MEDIA_STREAM_H
#define ITO_MEDIA_STREAM_H

#include "base/env.h"
#include "base/err.h"
#include "media/codec.h"
#include "media/srtp.h"

#define STREAM_PACKET_MAX 1400 /* protected */
#define STREAM_STEP_NS    (2 * NS_PER_S)

struct stream;

struct stream_cfg {
    const struct codec_ops *codec; /* NULL: opus_codec */
    uint8_t payload_type;          /* of Opus, as negotiated */
    uint8_t red_type;              /* RFC 2198 around it; 0: not negotiated */
    uint8_t event_type;            /* telephone-event/48000; 0: not negotiated */
    uint32_t ssrc;
    uint16_t first_seq; /* below 2^15, so that the roll-over counter starts at 0 on both ends */
    uint32_t first_ts;
    uint32_t bitrate; /* of speech, bit/s; 0: 24000 */
    uint32_t
        max_bitrate;   /* payload with redundancy; 0: 48000, or twice a bitrate above 24000; a relay's cap */
    unsigned frame_ms; /* 10, 20, 40, 60; 0: 20 */
    bool has_fec;      /* react to loss with in-band FEC and, if negotiated, RED */
    bool is_variable;  /* VBR and DTX, on explicit wish only */
    unsigned jitter_min_ms, jitter_max_ms; /* 0, 0: 20, 200 */
    const uint8_t *tx_key, *rx_key;        /* SRTP_KEY_BYTES each, or both NULL */
};

enum stream_quality { STREAM_MEASURING, STREAM_GOOD, STREAM_FAIR, STREAM_POOR };
enum stream_worst {
    STREAM_WORST_NONE,
    STREAM_WORST_LOSS_IN,
    STREAM_WORST_LOSS_OUT,
    STREAM_WORST_RTT,
    STREAM_WORST_JITTER
};

struct stream_stats {
    double loss_in, loss_out;         /* 0..1 over the last 10 s, after the network, before repair */
    double jitter_ms;                 /* RFC 3550 */
    double peer_line_loss;            /* 0..1: what the peer says its own line loses */
    double rtt_ms;                    /* negative: unknown yet */
    double delay_ms;                  /* mouth to ear, estimated; negative: unknown yet */
    double level_in_db, level_out_db; /* what is heard; what the microphone hears (even when muted) */
    double kbps_in, kbps_out;         /* payload and RTP header, last second */
    enum stream_quality quality;      /* over the last 10 s, UX.md §3 */
    enum stream_worst worst;          /* the number that made it so, when fair or poor */
    bool is_muted, is_held, has_fec;  /* has_fec: redundancy is being sent now */
    double target_ms, buffer_ms;      /* play-out delay wanted and present */
    double concealed_ms;              /* total made up */
    uint64_t n_in, n_out, n_lost, n_late, n_bad, n_repaired, n_stretches;
    ns_t last_in_at; /* last authentic packet; 0: none */
};

/* "good", "fair", "poor", "measuring". */
const char *stream_quality_name(enum stream_quality q);
/* The words of the quality row: `good`, `poor (loss out 9.1%)`. */
void stream_quality_words(const struct stream_stats *s, char *out, size_t size);

struct stream *stream_create(const struct stream_cfg *cfg, const struct env *env, ns_t now);
/* Sound begins now, when that was later than stream_create(): reports and steps count from here. */
void stream_start(struct stream *s, ns_t now);
void stream_destroy(struct stream *s);

size_t stream_frame_samples(const struct stream *s); /* frame_ms * 48 */

/* Encode one frame of stream_frame_samples(). out receives the protected packet of *len bytes (0: nothing to
 * send, as under DTX). While a tone is sent, call stream_event() after it for the packet that goes beside. */
enum err stream_capture(struct stream *s, ns_t now, const int16_t *frame,
                        uint8_t out[static STREAM_PACKET_MAX], size_t *len);
/* A telephone-event packet that is due; *len 0: none. Call until it says so. */
enum err stream_event(struct stream *s, ns_t now, uint8_t out[static STREAM_PACKET_MAX], size_t *len);

/* One SRTP or SRTCP datagram that came at `now`. ERR_AUTH, ERR_REPLAY, ERR_LATE, …: counted, not logged. */
enum err stream_receive(struct stream *s, ns_t now, struct slice datagram);

/* The next n samples for the loudspeaker, to be taken at `now`. Always fills out. */
void stream_playout(struct stream *s, ns_t now, int16_t *out, size_t n);

/* RTCP and statistics: call at or after stream_deadline(). *len 0: no packet this time. */
void stream_tick(struct stream *s, ns_t now, uint8_t out[static STREAM_PACKET_MAX], size_t *len);
ns_t stream_deadline(const struct stream *s);
/* A last report with BYE. */
void stream_bye(struct stream *s, ns_t now, uint8_t out[static STREAM_PACKET_MAX], size_t *len);

void stream_mute(struct stream *s, bool is_on);
void stream_hold(struct stream *s, bool is_on);     /* sends silence, plays silence */
void stream_volume(struct stream *s, unsigned pct); /* 0..200 */
void stream_gain(struct stream *s, int db);         /* -20..20, microphone */
/* Send keys as they are typed: 0-9 * # A-D, queued up to 32; ERR_PARSE for others, ERR_FULL, ERR_UNSUPPORTED
 * when not negotiated. Nothing is queued unless all is. */
enum err stream_dtmf(struct stream *s, const char *keys);
/* The next key the peer pressed, 0: none. */
char stream_dtmf_received(struct stream *s);

/* New keys for generation n (THREATS.md §4.10); NULL keeps one. tx goes with a new SSRC from the caller
 * (0: kept). */
void stream_rekey(struct stream *s, const uint8_t *tx_key, const uint8_t *rx_key, uint32_t new_ssrc,
                  ns_t now);

/* Delays of the devices, frames, for delay_ms. */
/* What our own line loses, /256: told to the peer with each report. */
void stream_set_line_loss(struct stream *s, uint8_t lost);
void stream_set_device_delay(struct stream *s, unsigned in_frames, unsigned out_frames);
void stream_get_stats(const struct stream *s, struct stream_stats *out);

#endif
