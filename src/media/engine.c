#include "media/engine.h"

#include "base/mem.h"
#include "media/audio_paced.h"

#define PERIOD          AUDIO_PERIOD_FRAMES
#define FILL_START      (2 * PERIOD)
#define FILL_SLACK      (PERIOD / 2)
#define WAKE_UP_STEP_US 3000 /* the estimate of the 99.9th percentile of late wake-ups: this much up ... */
#define WAKE_DOWN_US    3    /* ... and a thousandth of it down, so that one in a thousand is above */
#define PERIOD_US       5000
#define PUBLISH_NS      (100 * NS_PER_MS)
#define TURN_CAPTURE    (4 * CODEC_FRAME_MAX) /* frames read at most in one turn */
#define TURN_PLAYOUT    (2 * ENGINE_FILL_MAX)

/* Three copies, handed over by exchanging the middle one: nobody waits, the reader sees a whole one. */
#define BOX_FRESH 4u

struct stats_box {
    struct stream_stats copies[3];
    _Atomic unsigned middle; /* index, with BOX_FRESH when the writer put it there */
    unsigned back, front;    /* the writer's, the reader's */
};

struct engine {
    struct engine_cfg cfg;
    struct stream *stream;
    struct audio *in, *out;
    struct audio *spare_in, *spare_out; /* stand in when a device is lost; NULL while they do */
    struct voice *voice;
    int16_t capture[CODEC_FRAME_MAX + PERIOD];
    size_t n_capture;
    int fill;       /* frames the loudspeaker is kept ahead */
    double late_us; /* estimate of how late we are woken */
    ns_t deadline;  /* what was asked for last; NS_NEVER: nothing */
    ns_t published_at;
    bool has_ended; /* the input file is over, and it was told */
    struct tone tone;
    struct stats_box box;
    struct ring to_net, from_net, commands;
};

struct engine *engine_create(const struct engine_cfg *cfg, const struct env *env, ns_t now)
{
    struct engine *e = mem_alloc(sizeof *e);
    struct audio_spec silent = {.is_capture = true};

    e->cfg = *cfg;
    e->in = cfg->in;
    e->out = cfg->out;
    e->stream = stream_create(&cfg->stream, env, now);
    e->spare_in = audio_paced_create(&silent, NULL);
    silent.is_capture = false;
    e->spare_out = audio_paced_create(&silent, NULL);
    if (cfg->has_echo_cancel || cfg->has_noise_suppress)
        e->voice = voice_create(cfg->has_echo_cancel, cfg->has_noise_suppress);
    e->fill = FILL_START;
    e->deadline = NS_NEVER;
    ring_init(&e->to_net);
    ring_init(&e->from_net);
    ring_init(&e->commands);
    e->box.front = 0;
    atomic_init(&e->box.middle, 1);
    e->box.back = 2;
    stream_get_stats(e->stream, &e->box.copies[0]);
    return e;
}

void engine_destroy(struct engine *e)
{
    const struct ring_slot *s;

    if (!e)
        return;
    for (; (s = ring_peek(&e->commands)); ring_pop(&e->commands)) { /* a device nobody took */
        struct engine_command c;

        memcpy(&c, s->data, sizeof c);
        if (c.kind == ENGINE_DEVICE)
            audio_close(c.device);
    }
    for (; (s = ring_peek(&e->to_net)); ring_pop(&e->to_net)) { /* and those nobody took back */
        struct audio *a;

        if (s->stamp != ENGINE_LOST && s->stamp != ENGINE_RETURNED)
            continue;
        memcpy(&a, s->data, sizeof a);
        audio_close(a);
    }
    stream_destroy(e->stream);
    audio_close(e->in);
    audio_close(e->out);
    audio_close(e->spare_in);
    audio_close(e->spare_out);
    wav_writer_close(e->cfg.record);
    voice_destroy(e->voice);
    mem_free(e);
}

static void publish(struct engine *e)
{
    stream_get_stats(e->stream, &e->box.copies[e->box.back]);
    e->box.back =
        atomic_exchange_explicit(&e->box.middle, e->box.back | BOX_FRESH, memory_order_acq_rel) & ~BOX_FRESH;
}

void engine_stats(struct engine *e, struct stream_stats *out)
{
    if (atomic_load_explicit(&e->box.middle, memory_order_relaxed) & BOX_FRESH)
        e->box.front =
            atomic_exchange_explicit(&e->box.middle, e->box.front, memory_order_acq_rel) & ~BOX_FRESH;
    *out = e->box.copies[e->box.front];
}

bool engine_put(struct engine *e, ns_t now, struct slice plain)
{
    return ring_put(&e->from_net, now, plain);
}

bool engine_command(struct engine *e, const struct engine_command *c)
{
    return ring_put(&e->commands, 0, slice_of(c, sizeof *c));
}

struct ring *engine_out(struct engine *e)
{
    return &e->to_net;
}

/* False when the ring is full: the loop stands still, and the packet is lost. */
static bool tell(struct engine *e, enum engine_slot kind, const void *data, size_t len)
{
    bool ok = ring_put(&e->to_net, kind, slice_of(data, len));

    if (e->cfg.notify)
        e->cfg.notify(e->cfg.notify_arg);
    return ok;
}

static void hand_back(struct engine *e, enum engine_slot kind, struct audio *device)
{
    if (!tell(e, kind, &device, sizeof device))
        audio_close(device);
}

enum err engine_start(struct engine *e, ns_t now)
{
    enum err r = e->out->ops->start(e->out, now);

    stream_start(e->stream, now);
    return r == ERR_OK ? e->in->ops->start(e->in, now) : r;
}

/* The device failed: go on with silence, hand it to the loop side. */
static void lose(struct engine *e, bool is_capture, ns_t now)
{
    struct audio **at = is_capture ? &e->in : &e->out;
    struct audio **spare = is_capture ? &e->spare_in : &e->spare_out;
    struct audio *gone = *at;

    if (!*spare)
        return;
    *at = *spare;
    *spare = NULL;
    (*at)->ops->start(*at, now);
    hand_back(e, ENGINE_LOST, gone);
}

static void use_device(struct engine *e, struct audio *device, ns_t now)
{
    struct audio **at = device->is_capture ? &e->in : &e->out;
    struct audio **spare = device->is_capture ? &e->spare_in : &e->spare_out;

    if (!*spare) {
        *spare = *at;
    } else {
        hand_back(e, ENGINE_RETURNED, *at);
    }
    *at = device;
    device->ops->start(device, now);
}

static void obey(struct engine *e, const struct engine_command *c, ns_t now)
{
    switch (c->kind) {
    case ENGINE_MUTE:
        stream_mute(e->stream, c->value != 0);
        break;
    case ENGINE_HOLD:
        stream_hold(e->stream, c->value != 0);
        break;
    case ENGINE_VOLUME:
        stream_volume(e->stream, (unsigned)c->value);
        break;
    case ENGINE_GAIN:
        stream_gain(e->stream, c->value);
        break;
    case ENGINE_LINE:
        stream_set_line_loss(e->stream, (uint8_t)c->value);
        break;
    case ENGINE_TONE:
        tone_init(&e->tone, (enum tone_kind)c->value);
        break;
    case ENGINE_DTMF:
        stream_dtmf(e->stream, c->keys);
        break;
    case ENGINE_SSRC:
        stream_rekey(e->stream, NULL, NULL, c->ssrc, now);
        break;
    case ENGINE_DEVICE:
        use_device(e, c->device, now);
        break;
    }
}

static void take_input(struct engine *e, ns_t now)
{
    const struct ring_slot *s;
    char key;

    for (; (s = ring_peek(&e->commands)); ring_pop(&e->commands)) {
        struct engine_command c;

        memcpy(&c, s->data, sizeof c);
        obey(e, &c, now);
    }
    for (; (s = ring_peek(&e->from_net)); ring_pop(&e->from_net))
        stream_receive(e->stream, s->stamp, slice_of(s->data, s->len));
    while ((key = stream_dtmf_received(e->stream)) != 0)
        tell(e, ENGINE_KEY, &key, 1);
}

static void send_frame(struct engine *e, ns_t now, int16_t *frame, size_t n)
{
    uint8_t packet[STREAM_PACKET_MAX];
    size_t len;

    if (e->voice)
        voice_heard(e->voice, frame, n);
    stream_capture(e->stream, now, frame, packet, &len);
    if (len > 0)
        tell(e, ENGINE_PACKET, packet, len);
    stream_event(e->stream, now, packet, &len);
    if (len > 0)
        tell(e, ENGINE_PACKET, packet, len);
}

static void run_capture(struct engine *e, ns_t now)
{
    size_t frame = stream_frame_samples(e->stream);

    for (size_t total = 0; total < TURN_CAPTURE;) {
        int n = e->in->ops->read(e->in, now, e->capture + e->n_capture, PERIOD);

        if (n < 0) {
            lose(e, true, now);
            return;
        }
        if (n == 0)
            break;
        total += (size_t)n;
        e->n_capture += (size_t)n;
        if (e->n_capture >= frame) {
            send_frame(e, now, e->capture, frame);
            e->n_capture -= frame;
            memmove(e->capture, e->capture + frame, e->n_capture * sizeof *e->capture);
        }
    }
    if (e->in->is_ended && !e->has_ended) {
        e->has_ended = true;
        tell(e, ENGINE_PLAY_ENDED, NULL, 0);
    }
}

static void run_playout(struct engine *e, ns_t now)
{
    int16_t pcm[PERIOD];

    for (int total = 0; total < TURN_PLAYOUT;) {
        int queued = e->out->ops->delay(e->out, now), n, done;
        int64_t ahead = queued - (e->fill - PERIOD); /* of a turn that was woken in time */

        if (queued < 0) {
            lose(e, false, now);
            return;
        }
        n = e->fill - queued < PERIOD ? e->fill - queued : PERIOD;
        if (n < FILL_SLACK && queued > 0)
            return;
        if (n <= 0)
            return;
        stream_playout(e->stream, (ns_t)((int64_t)now + ahead * (int64_t)NS_PER_S / AUDIO_RATE_HZ), pcm,
                       (size_t)n);
        tone_mix(&e->tone, pcm, (size_t)n);
        if (e->voice)
            voice_played(e->voice, pcm, (size_t)n);
        if (e->cfg.record)
            wav_writer_put(e->cfg.record, pcm, (size_t)n);
        done = e->out->ops->write(e->out, now, pcm, (size_t)n);
        if (done < 0) {
            lose(e, false, now);
            return;
        }
        if (done == 0)
            return;
        total += done;
    }
}

/* How far ahead the loudspeaker must be kept: two periods and what wake-ups are late, in whole periods so that
 * it moves seldom. */
static void learn_wake_up(struct engine *e, ns_t now)
{
    double late = e->deadline != NS_NEVER && now > e->deadline ? (double)(now - e->deadline) / NS_PER_US : 0;
    int level = (e->fill - FILL_START) / PERIOD, want;

    if (late > e->late_us)
        e->late_us += WAKE_UP_STEP_US < late - e->late_us ? WAKE_UP_STEP_US : late - e->late_us;
    else if (e->late_us > WAKE_DOWN_US)
        e->late_us -= WAKE_DOWN_US;
    want = (int)(e->late_us / PERIOD_US);
    if (want > level || e->late_us < (level - 1) * PERIOD_US + PERIOD_US / 2)
        e->fill = FILL_START + want * PERIOD;
    if (e->fill > ENGINE_FILL_MAX)
        e->fill = ENGINE_FILL_MAX;
}

void engine_turn(struct engine *e, ns_t now)
{
    uint8_t packet[STREAM_PACKET_MAX];
    size_t len;
    int d;

    learn_wake_up(e, now);
    take_input(e, now);
    run_capture(e, now);
    run_playout(e, now);
    d = e->out->ops->delay(e->out, now);
    stream_set_device_delay(e->stream, PERIOD / 2, d > 0 ? (unsigned)d : 0);
    stream_tick(e->stream, now, packet, &len);
    if (len > 0)
        tell(e, ENGINE_PACKET, packet, len);
    if (now >= e->published_at + PUBLISH_NS) {
        e->published_at = now;
        publish(e);
    }
}

ns_t engine_deadline(struct engine *e, ns_t now)
{
    ns_t at = ns_min(e->in->ops->deadline(e->in), stream_deadline(e->stream));
    int queued = e->out->ops->delay(e->out, now);
    int spare = queued - (e->fill - PERIOD - FILL_SLACK);
    ns_t play = spare > 0 ? now + (uint64_t)spare * NS_PER_S / AUDIO_RATE_HZ : now + NS_PER_MS;

    e->deadline = ns_min(at, play);
    return e->deadline;
}

int engine_poll_fds(struct engine *e, struct pollfd *out, int max)
{
    return e->in->ops->poll_fds(e->in, out, max);
}

void engine_bye(struct engine *e, ns_t now)
{
    uint8_t packet[STREAM_PACKET_MAX];
    size_t len;

    stream_bye(e->stream, now, packet, &len);
    if (len > 0)
        tell(e, ENGINE_PACKET, packet, len);
    publish(e);
}
