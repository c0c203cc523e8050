/* media/codec.h - encoder and decoder of one direction pair, 48 kHz mono, whatever the bits look like.
 *
 *   in     frames of int16_t at 48 kHz; payloads of a peer
 *   out    payloads; frames
 *   owner  the caller of create()
 *   trust  decode() takes any bytes: a bad payload is a negative result and plays as concealment
 *   caps   a decoded payload yields at most CODEC_FRAME_MAX samples; no allocation after create() */
#ifndef ITO_MEDIA_CODEC_H
#define ITO_MEDIA_CODEC_H

#include "base/slice.h"

#define CODEC_RATE_HZ     48000
#define CODEC_FRAME_MAX   5760 /* 120 ms, the longest Opus packet */
#define CODEC_PAYLOAD_MAX 1000

struct codec_cfg {
    uint32_t bitrate;    /* bit/s, 6000..128000 */
    unsigned frame_ms;   /* 10, 20, 40, 60 */
    unsigned loss_pct;   /* > 0: in-band repair data for that loss (Opus LBRR; at least 10 to have effect) */
    bool is_variable;    /* VBR and DTX: leaks speech through sizes, only on explicit wish */
    unsigned complexity; /* 0..10 */
};

struct codec; /* one encoder, one decoder */

struct codec_ops {
    const char *name;
    struct codec *(*create)(const struct codec_cfg *cfg);
    void (*destroy)(struct codec *c);
    void (*tune)(struct codec *c, const struct codec_cfg *cfg); /* bitrate, loss, variable */
    /* Bytes written, 0 on failure. n is frame_ms * 48. */
    size_t (*encode)(struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t cap);
    /* Samples written, at most cap; negative for a bad payload. */
    int (*decode)(struct codec *c, struct slice payload, int16_t *out, size_t cap);
    /* The n samples before `next`, by its in-band repair data (concealed where it has none). */
    int (*repair)(struct codec *c, struct slice next, int16_t *out, size_t n);
    /* n samples of concealment. */
    int (*conceal)(struct codec *c, int16_t *out, size_t n);
    /* Samples a payload lasts, 0 if it is not one. */
    unsigned (*duration)(struct slice payload);
    /* Whether a payload carries repair data for the frame before it. */
    bool (*has_repair)(struct slice payload);
};

extern const struct codec_ops opus_codec;

#endif
