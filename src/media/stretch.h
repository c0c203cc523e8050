/* media/stretch.h - make a frame one pitch period longer or shorter, so that delay can change unheard.
 *
 *   in     one decoded frame, 48 kHz
 *   out    the same with one period of 2.5..10 ms repeated or left out, cross-faded over that period
 *   owner  nobody: works in the caller's buffer
 *   caps   refuses where no period fits well, unless forced */
#ifndef ITO_MEDIA_STRETCH_H
#define ITO_MEDIA_STRETCH_H

#include "base/slice.h"

#define STRETCH_MAX 480 /* samples a frame may grow by */

/* Samples added (the buffer has room for n + STRETCH_MAX) or removed; 0: refused. */
size_t stretch_insert(int16_t *pcm, size_t n, bool is_forced);
size_t stretch_remove(int16_t *pcm, size_t n, bool is_forced);

#endif
