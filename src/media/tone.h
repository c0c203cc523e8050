/* media/tone.h - call progress tones and DTMF as samples: ring-back, busy, call waiting, ring, test.
 *
 *   owner  the embedder of struct tone; no allocation, no end but tone_is_done()
 *   trust  none needed */
#ifndef ITO_MEDIA_TONE_H
#define ITO_MEDIA_TONE_H

#include "base/slice.h"

enum tone_kind {
    TONE_NONE,
    TONE_RINGBACK,     /* 400 Hz in 16 Hz beats, 1 s on, 2 s off (Japan; ITU-T E.180 Suppl. 2) */
    TONE_BUSY,         /* 425 Hz, 0.5 s on, 0.5 s off, for 5 s */
    TONE_CALL_WAITING, /* two short beeps every 10 s */
    TONE_RING,         /* somebody calls: two notes, 2 s, pause 2 s */
    TONE_TEST,         /* 1 s of 440 Hz, for the sound test */
    TONE_DTMF_0 = 16   /* + event number 0..15: 120 ms of that key */
};

struct tone {
    enum tone_kind kind;
    uint64_t at; /* samples since the start, 48 kHz */
};

void tone_init(struct tone *t, enum tone_kind kind);
/* n samples of it (silence after its end). */
void tone_render(struct tone *t, int16_t *out, size_t n);
/* The same, added to what is there, saturating. */
void tone_mix(struct tone *t, int16_t *pcm, size_t n);
bool tone_is_done(const struct tone *t);

#endif
