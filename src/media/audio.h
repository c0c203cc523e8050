/* media/audio.h - a sound device: 48 kHz mono int16_t frames in or out, never blocking.
 *
 * Names: an ALSA name (`default`, `hw:1`, …), `wav:FILE` (input: plays the file, then silence; output: a tape
 * of what a card would have played), `null` (silence; swallows). wav, null and callback devices are paced by
 * `now`, so they run in virtual time as well. One device is used by one thread at a time.
 *
 *   owner  the caller of audio_open(); closed by audio_close()
 *   trust  files are a person's: a bad one is an err_detail
 *   caps   AUDIO_FDS_MAX descriptors a device */
#ifndef ITO_MEDIA_AUDIO_H
#define ITO_MEDIA_AUDIO_H

#include <poll.h>

#include "base/env.h"
#include "base/err.h"

#define AUDIO_RATE_HZ       48000
#define AUDIO_PERIOD_FRAMES 240 /* 5 ms */
#define AUDIO_FDS_MAX       8

struct audio;

/* Callback devices: fill, or take, n frames whose first one sounds at `at`. */
typedef void (*audio_source_cb)(void *arg, ns_t at, int16_t *out, size_t n);
typedef void (*audio_sink_cb)(void *arg, ns_t at, const int16_t *pcm, size_t n);

struct audio_spec {
    const char *name; /* ignored when source or sink is set */
    bool is_capture;
    audio_source_cb source; /* capture */
    audio_sink_cb sink;     /* playback */
    void *arg;
};

struct audio_ops {
    /* Begin: capture starts to fill, playback's clock starts at `now` (ALSA: with the first write). */
    enum err (*start)(struct audio *a, ns_t now);
    /* Frames read (whole periods), 0: none yet, -1: the device is gone. */
    int (*read)(struct audio *a, ns_t now, int16_t *out, size_t n);
    /* Frames taken, 0..n, or -1: gone. */
    int (*write)(struct audio *a, ns_t now, const int16_t *pcm, size_t n);
    /* Frames between a frame written now and the loudspeaker; capture: waiting to be read. -1: gone. */
    int (*delay)(struct audio *a, ns_t now);
    /* Descriptors to poll for capture, at most max; 0: paced by audio_deadline(). */
    int (*poll_fds)(struct audio *a, struct pollfd *out, int max);
    /* When the next capture period is complete; NS_NEVER for devices with descriptors, and for playback. */
    ns_t (*deadline)(struct audio *a);
    void (*close)(struct audio *a);
};

struct audio {
    const struct audio_ops *ops; /* first member of every device */
    bool is_capture;
    bool is_ended;    /* capture from a file that is over: silence from here on */
    uint32_t n_xruns; /* under- and overruns survived */
};

/* Open by name or callback. Errors are words for a person, as `Microphone cannot be opened: in use by another
 * program.` (UX.md §5); `silent` details of the library go to nobody. */
enum err audio_open(const struct audio_spec *spec, struct audio **out, struct err_detail *detail);
void audio_close(struct audio *a);

/* Names that can be opened, for a choice on screen. Loads the ALSA configuration (3 MB that are not given
 * back): only when a person looks. `text` is a description, may be empty. */
typedef void (*audio_name_cb)(void *arg, const char *name, const char *text);
void audio_list(bool is_capture, audio_name_cb cb, void *arg);

/* RMS of n samples in dBFS (a full-scale square is 0), at least -99. */
double audio_level_db(const int16_t *pcm, size_t n);

#endif
