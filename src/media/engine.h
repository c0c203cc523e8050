/* media/engine.h - one turn of a call's sound: devices ↔ stream ↔ rings. Sans thread; media.h chooses the drive.
 *
 * engine_turn() and what it calls run on one thread (the sound thread, or the caller's). The loop side reaches
 * it only through the rings, the commands and the published statistics below, each written by one side.
 *
 *   in     `from_net`: plain RTP and RTCP with arrival stamps; commands
 *   out    `to_net`: plain packets and events, told apart by their stamp (enum engine_slot)
 *   owner  the caller of engine_create(); devices are the engine's until closed or handed back as lost
 *   trust  packets were authenticated by the loop side
 *   caps   RING_SLOTS each way; fill of the loudspeaker at most ENGINE_FILL_MAX */
#ifndef ITO_MEDIA_ENGINE_H
#define ITO_MEDIA_ENGINE_H

#include "base/ring.h"
#include "media/audio.h"
#include "media/audio_wav.h"
#include "media/stream.h"
#include "media/tone.h"
#include "media/voice.h"

#define ENGINE_FILL_MAX 2880 /* 60 ms */

/* What a slot of to_net holds. */
enum engine_slot {
    ENGINE_PACKET,
    ENGINE_KEY,      /* one byte: a DTMF key of the peer */
    ENGINE_LOST,     /* struct audio *: the device that is gone; the receiver closes it */
    ENGINE_RETURNED, /* struct audio *: a stand-in no longer needed */
    ENGINE_PLAY_ENDED
};

enum engine_command_kind {
    ENGINE_MUTE,
    ENGINE_HOLD,
    ENGINE_VOLUME,
    ENGINE_GAIN,
    ENGINE_TONE,
    ENGINE_LINE,
    ENGINE_DTMF,
    ENGINE_SSRC,  /* a new one for what is sent */
    ENGINE_DEVICE /* use this device, start it now */
};

struct engine_command {
    enum engine_command_kind kind;
    int value;
    uint32_t ssrc;
    char keys[33];
    struct audio *device;
};

struct engine_cfg {
    struct stream_cfg stream;  /* without keys */
    struct audio *in, *out;    /* taken */
    struct wav_writer *record; /* taken; NULL: none */
    bool has_echo_cancel, has_noise_suppress;
    void (*notify)(void *arg); /* something is in to_net; any thread; may be NULL */
    void *notify_arg;
};

struct engine;

struct engine *engine_create(const struct engine_cfg *cfg, const struct env *env, ns_t now);
void engine_destroy(struct engine *e);

/* Sound thread. */
enum err engine_start(struct engine *e, ns_t now);
void engine_turn(struct engine *e, ns_t now);
ns_t engine_deadline(struct engine *e, ns_t now);
int engine_poll_fds(struct engine *e, struct pollfd *out, int max);
void engine_bye(struct engine *e, ns_t now); /* leaves a last RTCP packet in to_net */

/* Loop side. */
bool engine_put(struct engine *e, ns_t now, struct slice plain);
bool engine_command(struct engine *e, const struct engine_command *c);
struct ring *engine_out(struct engine *e); /* to read to_net */
void engine_stats(struct engine *e, struct stream_stats *out);

#endif
