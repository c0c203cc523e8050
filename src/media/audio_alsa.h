/* media/audio_alsa.h - sound cards by ALSA, 48 kHz, 5 ms periods, poll-driven; one or two channels.
 *
 *   owner  as audio.h
 *   trust  the card may vanish at any call: that is -1, and close stays clean
 *   caps   a buffer of ALSA_BUFFER_FRAMES; how much of it is kept full is the engine's choice */
#ifndef ITO_MEDIA_AUDIO_ALSA_H
#define ITO_MEDIA_AUDIO_ALSA_H

#include "media/audio.h"

#define ALSA_BUFFER_FRAMES 4800 /* 100 ms */

/* Errors are words: `Microphone cannot be opened: in use by another program.` */
enum err audio_alsa_open(const char *name, bool is_capture, struct audio **out, struct err_detail *detail);
void audio_alsa_list(bool is_capture, audio_name_cb cb, void *arg);

#endif
