/* media/audio_paced.h - a sound device without a card: paced by the `now` it is given, fed by callbacks.
 *
 * It behaves as a card does whose clock is `now`: capture frame i was heard at start + i / 48000 and can be read
 * a whole period later; playback frame i sounds at start + i / 48000, and when nothing was written in time,
 * silence sounds in its place and counts as one underrun.
 *
 *   owner  as audio.h; the spec's callbacks and arg must outlive it
 *   caps   PACED_BACKLOG_FRAMES of capture wait; older ones are skipped, as a card overruns */
#ifndef ITO_MEDIA_AUDIO_PACED_H
#define ITO_MEDIA_AUDIO_PACED_H

#include "media/audio.h"

#define PACED_BACKLOG_FRAMES 9600 /* 200 ms */
#define PACED_QUEUE_FRAMES   9600 /* playback takes at most that far ahead */

/* source or sink NULL: silence, or swallowed. on_close(arg) runs when it is closed, may be NULL. Never fails. */
struct audio *audio_paced_create(const struct audio_spec *spec, void (*on_close)(void *arg));

#endif
