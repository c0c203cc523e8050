#include "media/receiver.h"

#include <math.h>
#include <speex/speex_resampler.h>

#include "base/mem.h"
#include "media/audio.h"
#include "media/stretch.h"

#define FIFO_SAMPLES   (4 * CODEC_FRAME_MAX)
#define WAIT_STEP      240 /* 5 ms of silence at a time until the first packet is due */
#define SMOOTH_WEIGHT  0.1
#define GROW_AT_US     (-4000) /* stretch when play-out is that much too early */
#define SHRINK_AT_US   5000    /* shorten when it is that much too late */
#define NEAR_US        2500    /* good enough when late: neither stretched nor bent */
#define EARLY_US       0       /* and when early, which costs late packets */
#define FORCE_US       30000   /* then take a bad fit, too */
#define SHRINK_REST_NS (100 * NS_PER_MS)
#define QUIET_DB       (-45.0)

#define DRIFT_PPM_MAX  1000
#define DRIFT_P        150.0 /* ppm for each ms of error: 7 s to settle */
#define DRIFT_I        12.0  /* ppm for each ms and second: damping 0.7 */
#define DRIFT_LEAK_S   60.0  /* what was learnt from a move of the network is forgotten */
#define DRIFT_EVERY_NS (200 * NS_PER_MS)
#define DRIFT_DEN      65521 /* prime: the fraction never reduces, so the phase never jumps */
#define RESAMPLE_Q     3

#define LOSS_TRACE   0.005
#define FADE_AFTER   5760 /* 120 ms of concealment, then comfort noise */
#define FADE_SAMPLES 1920
#define NOISE_MAX    100.0 /* RMS of comfort noise, -50 dBFS */

struct receiver {
    struct stream_cfg cfg;
    const struct codec_ops *ops;
    struct codec *codec;
    struct jitter *jitter;
    SpeexResamplerState *resampler;
    uint32_t step; /* samples of the last packet: what a hole is filled in */
    int16_t fifo[FIFO_SAMPLES];
    size_t n_fifo, at_fifo;
    int16_t work[CODEC_FRAME_MAX + STRETCH_MAX];
    double late_us;  /* play-out after the fastest packet's earliest time, smoothed; aims at the target */
    double error_us; /* late_us less the target */
    double drift_ppm, drift_sum;
    bool has_error, is_playing, is_moving; /* is_moving: stretching until NEAR_US */
    ns_t shrunk_at, bent_at;
    uint32_t bend_num;
    unsigned copy_depth; /* samples back that copies reach, of late */
    bool has_lbrr;
    size_t n_conceal_run;
    double noise_rms;
    uint32_t noise_state;
    struct receiver_stats stats;
    char keys[RECEIVER_KEYS_MAX];
    unsigned n_keys;
    bool has_event;
    uint32_t event_ts;
};

struct receiver *receiver_create(const struct stream_cfg *cfg)
{
    struct receiver *r = mem_alloc(sizeof *r);
    struct codec_cfg c = {.bitrate = cfg->bitrate, .frame_ms = cfg->frame_ms};
    struct jitter_cfg jc = {.min_ms = cfg->jitter_min_ms, .max_ms = cfg->jitter_max_ms};
    int err;

    r->cfg = *cfg;
    r->cfg.tx_key = r->cfg.rx_key = NULL;
    r->ops = cfg->codec;
    r->codec = r->ops->create(&c);
    r->jitter = jitter_create(&jc);
    r->resampler = speex_resampler_init(1, CODEC_RATE_HZ, CODEC_RATE_HZ, RESAMPLE_Q, &err);
    r->step = cfg->frame_ms * (CODEC_RATE_HZ / 1000);
    r->bend_num = DRIFT_DEN + 1;
    speex_resampler_set_rate_frac(r->resampler, r->bend_num, DRIFT_DEN, CODEC_RATE_HZ, CODEC_RATE_HZ);
    r->noise_rms = NOISE_MAX / 4;
    r->noise_state = 1;
    return r;
}

void receiver_destroy(struct receiver *r)
{
    if (!r)
        return;
    r->ops->destroy(r->codec);
    jitter_destroy(r->jitter);
    speex_resampler_destroy(r->resampler);
    mem_free(r);
}

static void event_packet(struct receiver *r, const struct rtp_packet *p)
{
    struct dtmf d;

    if (dtmf_parse(p->payload, &d) != ERR_OK) {
        r->stats.n_bad++;
        return;
    }
    if (r->has_event && p->ts == r->event_ts)
        return; /* the same key, still */
    r->has_event = true;
    r->event_ts = p->ts;
    if (r->n_keys < RECEIVER_KEYS_MAX)
        r->keys[r->n_keys++] = dtmf_key(d.event);
}

char receiver_key(struct receiver *r)
{
    char key;

    if (r->n_keys == 0)
        return 0;
    key = r->keys[0];
    memmove(r->keys, r->keys + 1, --r->n_keys);
    return key;
}

static enum err speech_packet(struct receiver *r, ns_t now, const struct rtp_packet *p, struct slice payload)
{
    unsigned samples = r->ops->duration(payload);

    if (samples == 0) {
        r->stats.n_bad++;
        return ERR_PARSE;
    }
    r->step = samples;
    r->has_lbrr = r->ops->has_repair(payload);
    return jitter_put(r->jitter, p->seq, p->ts, payload, samples, now);
}

static enum err red_packet(struct receiver *r, ns_t now, const struct rtp_packet *p)
{
    struct red red;
    enum err e;

    if (red_parse(p->payload, &red) != ERR_OK || red.primary.type != r->cfg.payload_type) {
        r->stats.n_bad++;
        return ERR_PARSE;
    }
    e = speech_packet(r, now, p, red.primary.data);
    r->copy_depth = 0;
    for (unsigned i = 0; i < red.n; i++) {
        const struct red_block *c = &red.copy[i];
        unsigned samples = c->type == r->cfg.payload_type ? r->ops->duration(c->data) : 0;

        if (samples == 0 || c->offset == 0)
            continue;
        jitter_put_copy(r->jitter, p->ts - c->offset, c->data, samples);
        if (c->offset > r->copy_depth)
            r->copy_depth = c->offset;
    }
    return e;
}

enum err receiver_packet(struct receiver *r, ns_t now, const struct rtp_packet *p)
{
    if (p->type == r->cfg.payload_type) {
        r->copy_depth = 0;
        return speech_packet(r, now, p, p->payload);
    }
    if (r->cfg.red_type != 0 && p->type == r->cfg.red_type)
        return red_packet(r, now, p);
    if (r->cfg.event_type != 0 && p->type == r->cfg.event_type) {
        event_packet(r, p);
        return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

void receiver_loss(struct receiver *r, double loss)
{
    uint32_t samples = r->copy_depth > 0 ? r->copy_depth : r->has_lbrr ? r->step : 0;

    jitter_set_extra(r->jitter, loss > LOSS_TRACE ? samples * 1000 / (CODEC_RATE_HZ / 1000) : 0);
}

/* White noise of the level heard between words. */
static int16_t noise(struct receiver *r)
{
    r->noise_state = r->noise_state * 1664525u + 1013904223u;
    return (int16_t)((double)(int32_t)r->noise_state / 2147483648.0 * 1.73 * r->noise_rms);
}

/* Long concealment sounds like a robot: fade it to noise. */
static void fade_to_noise(struct receiver *r, int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++, r->n_conceal_run++) {
        double g = 1;

        if (r->n_conceal_run > FADE_AFTER)
            g = 1 - (double)(r->n_conceal_run - FADE_AFTER) / FADE_SAMPLES;
        if (g < 0)
            g = 0;
        pcm[i] = (int16_t)(pcm[i] * g + noise(r) * (1 - g));
    }
}

/* The quietest frames tell the background level. */
static void learn_noise(struct receiver *r, const int16_t *pcm, size_t n)
{
    double rms = 32768 * pow(10, audio_level_db(pcm, n) / 20);

    r->noise_rms = rms < r->noise_rms ? rms : r->noise_rms * 1.002 + 0.001;
    if (r->noise_rms > NOISE_MAX)
        r->noise_rms = NOISE_MAX;
}

static size_t render(struct receiver *r, const struct jitter_frame *f)
{
    int n = -1;

    if (f->kind == JITTER_WAIT) {
        memset(r->work, 0, f->samples * sizeof *r->work);
        return f->samples;
    }
    if (f->kind == JITTER_PACKET) {
        n = r->ops->decode(r->codec, f->payload, r->work, CODEC_FRAME_MAX);
        if (n > 0) {
            r->n_conceal_run = 0;
            learn_noise(r, r->work, (size_t)n);
            return (size_t)n;
        }
        r->stats.n_bad++;
    } else if (f->kind == JITTER_REPAIR) {
        n = r->ops->repair(r->codec, f->payload, r->work, f->samples);
    }
    if (n <= 0)
        n = r->ops->conceal(r->codec, r->work, f->samples);
    if (n <= 0) {
        n = (int)f->samples;
        memset(r->work, 0, f->samples * sizeof *r->work);
    }
    r->stats.n_concealed += (uint64_t)n;
    if (f->kind != JITTER_REPAIR)
        fade_to_noise(r, r->work, (size_t)n);
    return (size_t)n;
}

static size_t stretch(struct receiver *r, size_t n, ns_t now)
{
    bool is_quiet;
    size_t l;

    if (r->error_us < GROW_AT_US || r->error_us > SHRINK_AT_US)
        r->is_moving = true;
    else if (r->error_us > -EARLY_US && r->error_us < NEAR_US)
        r->is_moving = false;
    if (!r->is_moving)
        return n;
    is_quiet = audio_level_db(r->work, n) < QUIET_DB;
    if (r->error_us < 0) {
        l = stretch_insert(r->work, n, is_quiet || r->error_us < -FORCE_US);
        r->late_us += (double)l * 1e6 / CODEC_RATE_HZ;
        r->stats.n_stretches += l > 0;
        return n + l;
    }
    if (!is_quiet && now - r->shrunk_at < SHRINK_REST_NS)
        return n;
    l = stretch_remove(r->work, n, is_quiet || r->error_us > FORCE_US);
    r->late_us -= (double)l * 1e6 / CODEC_RATE_HZ;
    r->stats.n_stretches += l > 0;
    if (l > 0)
        r->shrunk_at = now;
    return n - l;
}

/* The loop that makes the two clocks agree: late (positive error) means to take input faster. */
static void bend(struct receiver *r, ns_t now)
{
    double ms = (fmax(r->error_us - NEAR_US, 0) + fmin(r->error_us + EARLY_US, 0)) / 1000, ppm;
    uint32_t num;

    if (r->is_moving || now - r->bent_at < DRIFT_EVERY_NS)
        return;
    r->bent_at = now;
    if (ms > 10)
        ms = 10;
    if (ms < -10)
        ms = -10;
    r->drift_sum += (ms * DRIFT_I - r->drift_sum / DRIFT_LEAK_S) * (double)DRIFT_EVERY_NS / (double)NS_PER_S;
    r->drift_sum = fmin(fmax(r->drift_sum, -DRIFT_PPM_MAX), DRIFT_PPM_MAX);
    ppm = fmin(fmax(ms * DRIFT_P + r->drift_sum, -DRIFT_PPM_MAX), DRIFT_PPM_MAX);
    r->drift_ppm = ppm;
    num = (uint32_t)lround(DRIFT_DEN * (1 + ppm / 1e6));
    if (num == DRIFT_DEN)
        num++;
    if (num == r->bend_num)
        return;
    if (speex_resampler_set_rate_frac(r->resampler, num, DRIFT_DEN, CODEC_RATE_HZ, CODEC_RATE_HZ) == 0)
        r->bend_num = num;
}

/* Append n samples of work to the fifo through the bent clock. */
static void push(struct receiver *r, size_t n)
{
    size_t at = 0;

    memmove(r->fifo, r->fifo + r->at_fifo, r->n_fifo * sizeof *r->fifo);
    r->at_fifo = 0;
    while (at < n && r->n_fifo < FIFO_SAMPLES) {
        spx_uint32_t in = (spx_uint32_t)(n - at), out = (spx_uint32_t)(FIFO_SAMPLES - r->n_fifo);

        speex_resampler_process_int(r->resampler, 0, r->work + at, &in, r->fifo + r->n_fifo, &out);
        if (in == 0 && out == 0)
            break;
        at += in;
        r->n_fifo += out;
    }
}

/* Measure once a step; next is when the position, already moved on, will be played. A new target counts at
 * once, noise of arrivals and pulls is smoothed. */
static void follow(struct receiver *r, ns_t next)
{
    struct jitter_stats st;
    double late;

    jitter_get_stats(r->jitter, &st);
    late = (double)jitter_error_us(r->jitter, next) + st.target_us;
    r->late_us = r->has_error ? r->late_us + (late - r->late_us) * SMOOTH_WEIGHT : late;
    r->has_error = true;
    r->error_us = r->late_us - st.target_us;
}

static void step(struct receiver *r, ns_t now)
{
    struct jitter_frame f;
    size_t n;

    jitter_get(r->jitter, now, r->is_playing ? r->step : WAIT_STEP, &f);
    n = render(r, &f);
    r->is_playing = f.kind != JITTER_WAIT;
    r->has_error = r->has_error && r->is_playing;
    if (r->is_playing) {
        follow(r, now + (uint64_t)f.samples * NS_PER_S / CODEC_RATE_HZ);
        n = stretch(r, n, now);
        bend(r, now);
    }
    push(r, n);
}

void receiver_playout(struct receiver *r, ns_t now, int16_t *out, size_t n)
{
    size_t done = 0;

    while (done < n) {
        size_t part;

        while (r->n_fifo == 0)
            step(r, now + (uint64_t)done * NS_PER_S / CODEC_RATE_HZ);
        part = r->n_fifo < n - done ? r->n_fifo : n - done;
        memcpy(out + done, r->fifo + r->at_fifo, part * sizeof *out);
        r->at_fifo += part;
        r->n_fifo -= part;
        done += part;
    }
}

void receiver_restart(struct receiver *r)
{
    jitter_reset(r->jitter);
    r->has_error = r->is_playing = r->has_event = false;
    r->error_us = 0;
}

void receiver_get_stats(const struct receiver *r, struct receiver_stats *out)
{
    *out = r->stats;
    jitter_get_stats(r->jitter, &out->jitter);
    out->error_us = (int32_t)r->error_us;
    out->drift_ppm = (int32_t)r->drift_ppm;
    out->is_playing = r->is_playing;
}
