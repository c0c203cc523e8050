/* media/voice.h - echo canceller and noise suppressor of the microphone, by speexdsp.
 *
 *   in     what is played and what is heard, in the order of the sound thread
 *   out    the microphone with echo (and noise) taken off
 *   owner  the caller of voice_create(); no allocation after it
 *   trust  none needed
 *   caps   VOICE_TAIL_MS of echo path, device delay included */
#ifndef ITO_MEDIA_VOICE_H
#define ITO_MEDIA_VOICE_H

#include "base/slice.h"

#define VOICE_TAIL_MS 200
#define VOICE_FRAME   480 /* samples of one step: 10 ms */

struct voice;

struct voice *voice_create(bool has_echo_cancel, bool has_noise_suppress);
void voice_destroy(struct voice *v); /* NULL is fine */
/* n samples that were given to the loudspeaker. */
void voice_played(struct voice *v, const int16_t *pcm, size_t n);
/* Clean n samples in place; n is a multiple of VOICE_FRAME. */
void voice_heard(struct voice *v, int16_t *pcm, size_t n);

#endif
