#include "media/audio_alsa.h"

#include <alsa/asoundlib.h>
#include <pthread.h>

#include "base/mem.h"

#define CHANNELS_MAX 2
#define CHUNK        960 /* frames moved at a time */
#define START_FRAMES 240 /* playback begins when that much is written */

struct alsa {
    struct audio base;
    snd_pcm_t *pcm;
    unsigned channels;
    snd_pcm_uframes_t period, buffer;
    bool is_started;
};

static const char *reason(int code)
{
    switch (-code) {
    case EBUSY:
        return "in use by another program";
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return "no such device";
    case EACCES:
    case EPERM:
        return "no permission (is your user in the group audio?)";
    case EINVAL:
        return "it does not take 48 kHz sound";
    default:
        return "the sound system refused";
    }
}

/* alsa-lib writes to stderr, which is a screen of ours; its table of handlers is a global of its own. */
static void be_silent(const char *file, int line, const char *function, int err, const char *fmt, ...)
{
    (void)file;
    (void)line;
    (void)function;
    (void)err;
    (void)fmt;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void silence_library(void)
{
    snd_lib_error_set_handler(be_silent);
}

static int set_hardware(struct alsa *a)
{
    snd_pcm_hw_params_t *hw;
    unsigned rate = AUDIO_RATE_HZ;
    int e;

    snd_pcm_hw_params_alloca(&hw);
    a->period = AUDIO_PERIOD_FRAMES;
    a->buffer = ALSA_BUFFER_FRAMES;
    if ((e = snd_pcm_hw_params_any(a->pcm, hw)) < 0 ||
        (e = snd_pcm_hw_params_set_access(a->pcm, hw, SND_PCM_ACCESS_RW_INTERLEAVED)) < 0 ||
        (e = snd_pcm_hw_params_set_format(a->pcm, hw, SND_PCM_FORMAT_S16)) < 0)
        return e;
    for (a->channels = 1; (e = snd_pcm_hw_params_set_channels(a->pcm, hw, a->channels)) < 0; a->channels++)
        if (a->channels == CHANNELS_MAX)
            return e;
    if ((e = snd_pcm_hw_params_set_rate(a->pcm, hw, rate, 0)) < 0 ||
        (e = snd_pcm_hw_params_set_period_size_near(a->pcm, hw, &a->period, NULL)) < 0 ||
        (e = snd_pcm_hw_params_set_buffer_size_near(a->pcm, hw, &a->buffer)) < 0)
        return e;
    return snd_pcm_hw_params(a->pcm, hw);
}

static int set_software(struct alsa *a)
{
    snd_pcm_sw_params_t *sw;
    int e;

    snd_pcm_sw_params_alloca(&sw);
    if ((e = snd_pcm_sw_params_current(a->pcm, sw)) < 0 ||
        (e = snd_pcm_sw_params_set_avail_min(a->pcm, sw, a->period)) < 0 ||
        (e = snd_pcm_sw_params_set_start_threshold(a->pcm, sw, START_FRAMES)) < 0)
        return e;
    return snd_pcm_sw_params(a->pcm, sw);
}

/* After an under- or overrun: ready again; false when the device is gone. */
static bool recover(struct alsa *a, int e)
{
    if (e != -EPIPE && e != -ESTRPIPE && e != -EINTR)
        return false;
    a->base.n_xruns++;
    if (snd_pcm_prepare(a->pcm) < 0)
        return false;
    return !a->base.is_capture || snd_pcm_start(a->pcm) >= 0;
}

static enum err start(struct audio *base, ns_t now)
{
    struct alsa *a = (struct alsa *)base;

    (void)now;
    a->is_started = true;
    if (base->is_capture && snd_pcm_start(a->pcm) < 0)
        return ERR_IO;
    return ERR_OK; /* playback begins by itself at START_FRAMES */
}

static int poll_fds(struct audio *base, struct pollfd *out, int max)
{
    struct alsa *a = (struct alsa *)base;
    int n;

    if (!base->is_capture || max <= 0)
        return 0;
    n = snd_pcm_poll_descriptors(a->pcm, out, (unsigned)max);
    return n > 0 ? n : 0;
}

/* Plugins want their descriptors looked at by them; also tells whether the card is still there. */
static bool is_there(struct alsa *a)
{
    struct pollfd fds[AUDIO_FDS_MAX];
    unsigned short revents;
    int n = snd_pcm_poll_descriptors(a->pcm, fds, AUDIO_FDS_MAX);

    if (n > 0 && poll(fds, (nfds_t)n, 0) > 0)
        snd_pcm_poll_descriptors_revents(a->pcm, fds, (unsigned)n, &revents);
    return snd_pcm_state(a->pcm) != SND_PCM_STATE_DISCONNECTED;
}

static int take(struct audio *base, ns_t now, int16_t *out, size_t n)
{
    struct alsa *a = (struct alsa *)base;
    int16_t both[CHUNK * CHANNELS_MAX];
    snd_pcm_sframes_t avail, got;

    (void)now;
    if (!is_there(a))
        return -1;
    avail = snd_pcm_avail_update(a->pcm);
    if (avail < 0)
        return recover(a, (int)avail) ? 0 : -1;
    /* Reading more than whole periods makes poll skip the next wake-up. */
    avail = avail / (snd_pcm_sframes_t)a->period * (snd_pcm_sframes_t)a->period;
    if ((size_t)avail > n)
        avail = (snd_pcm_sframes_t)n;
    if (avail > CHUNK)
        avail = CHUNK;
    if (avail == 0)
        return 0;
    got = snd_pcm_readi(a->pcm, a->channels == 1 ? out : both, (snd_pcm_uframes_t)avail);
    if (got == -EAGAIN)
        return 0;
    if (got < 0)
        return recover(a, (int)got) ? 0 : -1;
    for (snd_pcm_sframes_t i = 0; a->channels == 2 && i < got; i++)
        out[i] = (int16_t)((both[2 * i] + both[2 * i + 1]) / 2);
    return (int)got;
}

static int give(struct audio *base, ns_t now, const int16_t *pcm, size_t n)
{
    struct alsa *a = (struct alsa *)base;
    int16_t both[CHUNK * CHANNELS_MAX];
    snd_pcm_sframes_t put;

    (void)now;
    if (n > CHUNK)
        n = CHUNK;
    for (size_t i = 0; a->channels == 2 && i < n; i++)
        both[2 * i] = both[2 * i + 1] = pcm[i];
    put = snd_pcm_writei(a->pcm, a->channels == 1 ? pcm : both, n);
    if (put == -EAGAIN)
        return 0;
    if (put < 0) {
        if (!recover(a, (int)put))
            return -1;
        put = snd_pcm_writei(a->pcm, a->channels == 1 ? pcm : both, n);
    }
    return put < 0 ? 0 : (int)put;
}

static int delay(struct audio *base, ns_t now)
{
    struct alsa *a = (struct alsa *)base;
    snd_pcm_sframes_t avail, d;

    (void)now;
    avail = snd_pcm_avail_update(a->pcm);
    if (avail < 0) {
        if (!recover(a, (int)avail))
            return -1;
        return 0;
    }
    if (base->is_capture)
        return (int)avail;
    if (snd_pcm_state(a->pcm) == SND_PCM_STATE_RUNNING && snd_pcm_delay(a->pcm, &d) == 0 && d >= 0)
        return (int)d;
    return avail < (snd_pcm_sframes_t)a->buffer ? (int)(a->buffer - (snd_pcm_uframes_t)avail) : 0;
}

static ns_t deadline(struct audio *base)
{
    (void)base;
    return NS_NEVER;
}

static void close_alsa(struct audio *base)
{
    struct alsa *a = (struct alsa *)base;

    snd_pcm_close(a->pcm);
    mem_free(a);
}

static const struct audio_ops alsa_ops = {
    .start = start,
    .read = take,
    .write = give,
    .delay = delay,
    .poll_fds = poll_fds,
    .deadline = deadline,
    .close = close_alsa,
};

enum err audio_alsa_open(const char *name, bool is_capture, struct audio **out, struct err_detail *detail)
{
    struct alsa *a = mem_alloc(sizeof *a);
    int e;

    *out = NULL;
    pthread_once(&once, silence_library);
    a->base.ops = &alsa_ops;
    a->base.is_capture = is_capture;
    e = snd_pcm_open(&a->pcm, name, is_capture ? SND_PCM_STREAM_CAPTURE : SND_PCM_STREAM_PLAYBACK,
                     SND_PCM_NONBLOCK);
    if (e < 0) {
        mem_free(a);
    } else if ((e = set_hardware(a)) < 0 || (e = set_software(a)) < 0 || (e = snd_pcm_prepare(a->pcm)) < 0) {
        close_alsa(&a->base);
    }
    if (e < 0)
        return err_set(detail, ERR_IO, "%s cannot be opened: %s.", is_capture ? "Microphone" : "Speaker",
                       reason(e));
    *out = &a->base;
    return ERR_OK;
}

void audio_alsa_list(bool is_capture, audio_name_cb cb, void *arg)
{
    void **hints;

    pthread_once(&once, silence_library);
    if (snd_device_name_hint(-1, "pcm", &hints) < 0)
        return;
    for (void **h = hints; *h; h++) {
        char *name = snd_device_name_get_hint(*h, "NAME");
        char *text = snd_device_name_get_hint(*h, "DESC");
        char *way = snd_device_name_get_hint(*h, "IOID"); /* NULL: both */

        if (name && strcmp(name, "null") != 0 && (!way || strcmp(way, is_capture ? "Input" : "Output") == 0))
            cb(arg, name, text ? text : "");
        free(name);
        free(text);
        free(way);
    }
    snd_device_name_free_hint(hints);
}
