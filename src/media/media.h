/* media/media.h - the sound of one call: devices, stream, and the thread between them.
 *
 * Threaded: a media thread owns devices, codec and play-out buffer; the loop thread owns SRTP and everything
 * below. Rings of plain RTP packets lie between them, so a stalled loop costs jitter, never an underrun, and the
 * sound thread does no malloc, lock or log. Inline: media_tick() does the same turn in the caller's thread and
 * time, for scenarios, the Echo contact and the answering machine (ALSA names are refused).
 *
 *   in     SRTP datagrams of the peer by media_packet_in()
 *   out    SRTP datagrams by media_pump() after media_fd() became readable (inline: after media_tick())
 *   owner  the caller of media_create(); all functions are for the loop thread
 *   trust  keys are wiped at destroy; unauthentic packets are counted by n_bad
 *   caps   RING_SLOTS packets each way */
#ifndef ITO_MEDIA_MEDIA_H
#define ITO_MEDIA_MEDIA_H

#include "media/audio.h"
#include "media/probe.h"
#include "media/stream.h"
#include "media/tone.h"

enum media_drive { MEDIA_THREADED, MEDIA_INLINE };

enum media_event_kind {
    MEDIA_DTMF,           /* key: the peer pressed it */
    MEDIA_DEVICE_LOST,    /* text: what, for the notice row; silence stands in */
    MEDIA_DEVICE_CHANGED, /* text: what is used now */
    MEDIA_PLAY_ENDED      /* the input file came to its end */
};

struct media_event {
    enum media_event_kind kind;
    char key;
    const char *text; /* borrowed, may be NULL */
};

typedef void (*media_event_cb)(void *arg, const struct media_event *ev);
typedef void (*media_send_cb)(void *arg, struct slice datagram);

struct media_cfg {
    enum media_drive drive;
    const char *input, *output; /* ALSA name, `wav:FILE`, `null`; NULL: `null` */
    const char *play_file;      /* WAV that stands in for the microphone, or NULL */
    const char *record_file;    /* WAV that gets what is played as well, or NULL; an output that cannot be
                                   opened is then no error */
    uint32_t loop_ms;           /* > 0: no devices, what was heard is said again that much later (Echo) */
    audio_source_cb source;     /* in place of input, or NULL */
    audio_sink_cb sink;         /* in place of output, or NULL */
    void *audio_arg;
    struct stream_cfg stream; /* with both keys; ssrc 0: ssrc, first_seq, first_ts are drawn */
    bool has_echo_cancel;
    bool has_noise_suppress;
    media_event_cb event; /* may be NULL */
    void *event_arg;
};

enum media_setting {
    MEDIA_MUTE,   /* 0, 1 */
    MEDIA_HOLD,   /* 0, 1 */
    MEDIA_VOLUME, /* 0..200 % */
    MEDIA_GAIN,   /* -20..20 dB, microphone */
    MEDIA_TONE,   /* enum tone_kind mixed into what is heard */
    MEDIA_LINE    /* 0..255: what our own line loses, /256, to be told to the peer */
};

struct media;

/* Opens the devices. ERR_IO or ERR_CONFIG with words in detail; nothing is left then. */
enum err media_create(const struct media_cfg *cfg, const struct env *env, struct media **out,
                      struct err_detail *detail);
/* Sound begins; packets may come before. The thread gets SCHED_FIFO if the system lets it. */
enum err media_start(struct media *m, ns_t now);
/* Sound ends; a BYE is left for a last media_pump(). */
void media_stop(struct media *m, ns_t now);
void media_destroy(struct media *m); /* stops first */

uint32_t media_ssrc(const struct media *m);

/* Readable when media_pump() has something; -1 when inline. */
int media_fd(const struct media *m);
/* Protect and hand out every packet that is ready, deliver events. */
void media_pump(struct media *m, ns_t now, media_send_cb send, void *arg);
/* One received datagram of the call: authenticated here. Its error is for counters. */
enum err media_packet_in(struct media *m, ns_t now, struct slice datagram);

/* Inline: one turn of the engine. Threaded: looks after lost devices. Both: at or after media_deadline(). */
void media_tick(struct media *m, ns_t now);
ns_t media_deadline(const struct media *m);

/* ERR_RANGE, ERR_FULL (too many at once). */
enum err media_set(struct media *m, enum media_setting what, int value);
enum err media_dtmf(struct media *m, const char *keys);
/* Generation n: new keys, tx with a new SSRC (0: kept); see stream_rekey(). */
enum err media_rekey(struct media *m, const uint8_t *tx_key, const uint8_t *rx_key, uint32_t new_ssrc,
                     ns_t now);
/* What the engine published last, at most 100 ms old. */
void media_stats(struct media *m, struct stream_stats *out);

#endif
