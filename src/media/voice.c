#include "media/voice.h"

#include <speex/speex_echo.h>
#include <speex/speex_preprocess.h>

#include "base/mem.h"

#define RATE            48000
#define REFERENCE_MAX   (RATE / 2) /* what was played and not yet compared */
#define REFERENCE_SLACK (3 * VOICE_FRAME)
#define SUPPRESS_DB     (-40)
#define SUPPRESS_TALK   (-15)
#define NOISE_DB        (-15)

struct voice {
    SpeexEchoState *echo;
    SpeexPreprocessState *pre;
    int16_t reference[REFERENCE_MAX];
    size_t n_reference;
};

struct voice *voice_create(bool has_echo_cancel, bool has_noise_suppress)
{
    struct voice *v = mem_alloc(sizeof *v);
    int rate = RATE, off = 0, on = 1, level = SUPPRESS_DB, talk = SUPPRESS_TALK, noise = NOISE_DB;

    if (has_echo_cancel) {
        v->echo = speex_echo_state_init(VOICE_FRAME, RATE / 1000 * VOICE_TAIL_MS);
        speex_echo_ctl(v->echo, SPEEX_ECHO_SET_SAMPLING_RATE, &rate);
    }
    if (!has_echo_cancel && !has_noise_suppress)
        return v;
    v->pre = speex_preprocess_state_init(VOICE_FRAME, RATE);
    speex_preprocess_ctl(v->pre, SPEEX_PREPROCESS_SET_DENOISE, has_noise_suppress ? &on : &off);
    speex_preprocess_ctl(v->pre, SPEEX_PREPROCESS_SET_NOISE_SUPPRESS, &noise);
    if (v->echo) {
        speex_preprocess_ctl(v->pre, SPEEX_PREPROCESS_SET_ECHO_STATE, v->echo);
        speex_preprocess_ctl(v->pre, SPEEX_PREPROCESS_SET_ECHO_SUPPRESS, &level);
        speex_preprocess_ctl(v->pre, SPEEX_PREPROCESS_SET_ECHO_SUPPRESS_ACTIVE, &talk);
    }
    return v;
}

void voice_destroy(struct voice *v)
{
    if (!v)
        return;
    if (v->pre)
        speex_preprocess_state_destroy(v->pre);
    if (v->echo)
        speex_echo_state_destroy(v->echo);
    mem_free(v);
}

static void forget(struct voice *v, size_t n)
{
    v->n_reference -= n;
    memmove(v->reference, v->reference + n, v->n_reference * sizeof *v->reference);
}

void voice_played(struct voice *v, const int16_t *pcm, size_t n)
{
    if (!v->echo || n > REFERENCE_MAX)
        return;
    if (v->n_reference + n > REFERENCE_MAX)
        forget(v, v->n_reference + n - REFERENCE_MAX);
    memcpy(v->reference + v->n_reference, pcm, n * sizeof *pcm);
    v->n_reference += n;
}

/* One step: the reference runs beside the microphone, sample for sample; both come from one thread, so that a
 * surplus or a lack means that a device stumbled, and is evened out. */
static void step(struct voice *v, int16_t *pcm)
{
    int16_t out[VOICE_FRAME];

    if (v->echo && v->n_reference >= VOICE_FRAME) {
        if (v->n_reference > RATE / 1000 * VOICE_TAIL_MS / 2)
            forget(v, v->n_reference - REFERENCE_SLACK);
        speex_echo_cancellation(v->echo, pcm, v->reference, out);
        forget(v, VOICE_FRAME);
        memcpy(pcm, out, sizeof out);
    }
    if (v->pre)
        speex_preprocess_run(v->pre, pcm);
}

void voice_heard(struct voice *v, int16_t *pcm, size_t n)
{
    for (size_t at = 0; at + VOICE_FRAME <= n; at += VOICE_FRAME)
        step(v, pcm + at);
}
