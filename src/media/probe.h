/* media/probe.h - sound without a call: tones on a device (ring, ring-back), and the sound test of the first run.
 *
 *   in     names of devices as audio.h takes them
 *   out    sound; a level and a word for what the microphone hears
 *   owner  the caller of *_start(); *_stop() ends it; each runs a thread of its own
 *   trust  a device that fails while running is silence
 *   caps   3 s recorded */
#ifndef ITO_MEDIA_PROBE_H
#define ITO_MEDIA_PROBE_H

#include "media/audio.h"
#include "media/tone.h"

struct media_tone;
/* Until stopped; a tone with an end is followed by silence. An exclusive device is held: stop it before a call
 * opens that device. */
enum err media_tone_start(const char *device, enum tone_kind kind, struct media_tone **out,
                          struct err_detail *detail);
void media_tone_stop(struct media_tone *t); /* NULL is fine */

struct media_probe;
enum media_probe_word { MEDIA_PROBE_SILENT, MEDIA_PROBE_HEARD, MEDIA_PROBE_LOUD };

/* Either name may be NULL: that half is silent. */
enum err media_probe_start(const char *input, const char *output, struct media_probe **out,
                           struct err_detail *detail);
/* Level of the microphone now in dBFS, and what was heard since the start amounts to. */
double media_probe_level(struct media_probe *p, enum media_probe_word *word);
/* `heard you`, `silent (is it muted?)`, `too loud`. */
const char *media_probe_text(enum media_probe_word word);
void media_probe_record(struct media_probe *p); /* 3 s, then plays them */
void media_probe_play(struct media_probe *p, enum tone_kind kind);
bool media_probe_is_busy(struct media_probe *p); /* recording or playing */
void media_probe_stop(struct media_probe *p);    /* NULL is fine */

#endif
