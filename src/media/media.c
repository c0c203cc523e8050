#include "media/media.h"

#include <stdio.h>

#include "base/mem.h"
#include "media/engine.h"
#include "media/media_thread.h"
#include "media/rtp.h"
#include "media/srtp.h"

#define REOPEN_NS    NS_PER_S
#define LOOP_MS_MAX  10000
#define NAME_DEFAULT "default"

/* The Echo contact: a delay line between loudspeaker and microphone. */
struct loop {
    size_t delay, size; /* samples */
    uint64_t written, read;
    int16_t *pcm;
};

struct media {
    struct env env;
    enum media_drive drive;
    struct engine *engine;
    struct media_thread *thread;
    struct srtp_pair *srtp;
    struct loop loop;
    char *input, *output; /* names, to open again */
    uint32_t ssrc;
    bool has_events;
    bool is_started, is_pumping, is_dead;
    bool lost_in, lost_out;
    ns_t reopen_at, turn_at; /* turn_at: inline */
    uint64_t n_bad;
    media_event_cb event;
    void *event_arg;
};

static void loop_hear(void *arg, ns_t at, const int16_t *pcm, size_t n)
{
    struct loop *l = arg;

    (void)at;
    for (size_t i = 0; i < n; i++)
        l->pcm[l->written++ % l->size] = pcm[i];
}

static void loop_say(void *arg, ns_t at, int16_t *out, size_t n)
{
    struct loop *l = arg;

    (void)at;
    for (size_t i = 0; i < n; i++, l->read++) {
        bool has = l->read >= l->delay && l->read - l->delay < l->written;

        out[i] = has ? l->pcm[(l->read - l->delay) % l->size] : 0;
    }
}

static enum err open_one(struct media *m, const struct media_cfg *cfg, bool is_capture, struct audio **out,
                         struct err_detail *detail)
{
    struct audio_spec spec = {.name = is_capture ? m->input : m->output, .is_capture = is_capture};
    bool is_file = is_capture && cfg->play_file != NULL;
    char *name = is_file ? mem_printf("wav:%s", cfg->play_file) : NULL;
    enum err e;

    if (cfg->loop_ms > 0) {
        spec.source = loop_say;
        spec.sink = loop_hear;
        spec.arg = &m->loop;
    } else if (is_file) {
        spec.name = name;
    } else {
        spec.source = cfg->source;
        spec.sink = cfg->sink;
        spec.arg = cfg->audio_arg;
    }
    if (cfg->drive == MEDIA_INLINE && !spec.source && !spec.sink && strcmp(spec.name, "null") != 0 &&
        strncmp(spec.name, "wav:", 4) != 0)
        e = err_set(detail, ERR_UNSUPPORTED, "%s is a sound card; this call runs without.", spec.name);
    else
        e = audio_open(&spec, out, detail);
    mem_free(name);
    return e;
}

static enum err open_devices(struct media *m, const struct media_cfg *cfg, struct engine_cfg *ec,
                             struct err_detail *detail)
{
    struct audio_spec silent = {.name = "null"};
    enum err e = ERR_OK;

    if (cfg->record_file)
        e = wav_writer_open(cfg->record_file, &ec->record, detail);
    if (e == ERR_OK)
        e = open_one(m, cfg, true, &ec->in, detail);
    if (e == ERR_OK)
        e = open_one(m, cfg, false, &ec->out, detail);
    if (e != ERR_OK && ec->in && cfg->record_file) /* the record is what matters */
        e = audio_open(&silent, &ec->out, detail);
    if (e == ERR_OK)
        return ERR_OK;
    audio_close(ec->in);
    wav_writer_close(ec->record);
    return e;
}

static void draw_numbers(const struct env *env, struct stream_cfg *s)
{
    uint16_t seq;

    if (s->ssrc != 0)
        return;
    do
        s->ssrc = env_random_u32(env);
    while (s->ssrc == 0);
    env_random(env, &seq, sizeof seq);
    s->first_seq = seq & 0x7fff;
    s->first_ts = env_random_u32(env);
}

static void free_media(struct media *m)
{
    media_thread_destroy(m->thread);
    engine_destroy(m->engine);
    srtp_pair_destroy(m->srtp);
    mem_free(m->loop.pcm);
    mem_free(m->input);
    mem_free(m->output);
    mem_free(m);
}

enum err media_create(const struct media_cfg *cfg, const struct env *env, struct media **out,
                      struct err_detail *detail)
{
    struct media *m = mem_alloc(sizeof *m);
    struct engine_cfg ec = {.stream = cfg->stream,
                            .has_echo_cancel = cfg->has_echo_cancel,
                            .has_noise_suppress = cfg->has_noise_suppress};
    enum err e = ERR_OK;

    *out = NULL;
    m->env = *env;
    m->drive = cfg->drive;
    m->input = mem_str(cfg->input ? cfg->input : "null");
    m->output = mem_str(cfg->output ? cfg->output : "null");
    m->event = cfg->event;
    m->event_arg = cfg->event_arg;
    m->reopen_at = m->turn_at = NS_NEVER;
    m->has_events = cfg->stream.event_type != 0;
    if (!cfg->stream.tx_key || !cfg->stream.rx_key)
        e = err_set(detail, ERR_INTERNAL, "A call without media keys.");
    if (cfg->loop_ms > 0) {
        m->loop.delay =
            (size_t)(cfg->loop_ms < LOOP_MS_MAX ? cfg->loop_ms : LOOP_MS_MAX) * (AUDIO_RATE_HZ / 1000);
        m->loop.size = m->loop.delay + AUDIO_RATE_HZ;
        m->loop.pcm = mem_array(m->loop.size, sizeof *m->loop.pcm);
    }
    if (e == ERR_OK && cfg->drive == MEDIA_THREADED)
        e = media_thread_create(&m->thread, detail);
    if (e == ERR_OK)
        e = open_devices(m, cfg, &ec, detail);
    if (e != ERR_OK) {
        free_media(m);
        return e;
    }
    m->srtp = srtp_pair_create(cfg->stream.tx_key, cfg->stream.rx_key);
    ec.stream.tx_key = ec.stream.rx_key = NULL;
    draw_numbers(env, &ec.stream);
    m->ssrc = ec.stream.ssrc;
    if (m->thread) {
        ec.notify = media_thread_notify;
        ec.notify_arg = m->thread;
    }
    m->engine = engine_create(&ec, env, 0);
    *out = m;
    return ERR_OK;
}

static void turn(void *arg, ns_t now)
{
    engine_turn(arg, now);
}

static ns_t deadline(void *arg, ns_t now)
{
    return engine_deadline(arg, now);
}

static int poll_fds(void *arg, struct pollfd *out, int max)
{
    return engine_poll_fds(arg, out, max);
}

enum err media_start(struct media *m, ns_t now)
{
    static const struct media_turns turns = {turn, deadline, poll_fds};
    enum err e;

    if (m->is_started)
        return ERR_STATE;
    e = engine_start(m->engine, now);
    if (e == ERR_OK && m->thread)
        e = media_thread_run(m->thread, &turns, m->engine);
    m->is_started = e == ERR_OK;
    if (e == ERR_OK && m->drive == MEDIA_INLINE)
        m->turn_at = now;
    return e;
}

void media_stop(struct media *m, ns_t now)
{
    if (!m->is_started)
        return;
    m->is_started = false;
    m->turn_at = NS_NEVER;
    if (m->thread)
        media_thread_stop(m->thread);
    engine_bye(m->engine, now);
}

void media_destroy(struct media *m)
{
    if (!m)
        return;
    if (m->thread)
        media_thread_stop(m->thread);
    m->is_dead = true;
    if (!m->is_pumping) /* else media_pump() ends it */
        free_media(m);
}

uint32_t media_ssrc(const struct media *m)
{
    return m->ssrc;
}

int media_fd(const struct media *m)
{
    return m->thread ? media_thread_fd(m->thread) : -1;
}

static void say(struct media *m, enum media_event_kind kind, char key, const char *text)
{
    struct media_event ev = {.kind = kind, .key = key, .text = text};

    if (m->event && !m->is_dead)
        m->event(m->event_arg, &ev);
}

static void device_back(struct media *m, const struct ring_slot *s, bool is_lost, ns_t now)
{
    struct audio *a;
    bool is_capture;

    memcpy(&a, s->data, sizeof a);
    is_capture = a->is_capture;
    audio_close(a);
    if (!is_lost)
        return;
    *(is_capture ? &m->lost_in : &m->lost_out) = true;
    m->reopen_at = now;
    say(m, MEDIA_DEVICE_LOST, 0, is_capture ? "Microphone is gone." : "Speaker is gone.");
}

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void send_packet(struct media *m, const struct ring_slot *s, media_send_cb send, void *arg)
{
    uint8_t buf[RING_SLOT_BYTES + 160]; /* room for libsrtp's longest trailer */
    size_t len = s->len;

    memcpy(buf, s->data, len);
    /* Made before a rekey: under the new key it would pin the old SSRC at the peer. */
    if (be32(buf + (rtp_is_rtcp(slice_of(buf, len)) ? 4 : 8)) != m->ssrc)
        return;
    if (srtp_pair_protect(m->srtp, buf, &len, sizeof buf) == ERR_OK)
        send(arg, slice_of(buf, len));
}

void media_pump(struct media *m, ns_t now, media_send_cb send, void *arg)
{
    struct ring *ring = engine_out(m->engine);
    const struct ring_slot *s;

    if (m->is_pumping)
        return;
    m->is_pumping = true;
    if (m->thread)
        media_thread_drain(m->thread);
    for (; !m->is_dead && (s = ring_peek(ring)); ring_pop(ring)) {
        switch ((enum engine_slot)s->stamp) {
        case ENGINE_PACKET:
            send_packet(m, s, send, arg);
            break;
        case ENGINE_KEY:
            say(m, MEDIA_DTMF, (char)s->data[0], NULL);
            break;
        case ENGINE_LOST:
        case ENGINE_RETURNED:
            device_back(m, s, s->stamp == ENGINE_LOST, now);
            break;
        case ENGINE_PLAY_ENDED:
            say(m, MEDIA_PLAY_ENDED, 0, NULL);
            break;
        }
    }
    m->is_pumping = false;
    if (m->is_dead)
        free_media(m);
}

enum err media_packet_in(struct media *m, ns_t now, struct slice datagram)
{
    uint8_t buf[RING_SLOT_BYTES];
    size_t len = datagram.len;
    enum err e = len <= sizeof buf ? ERR_OK : ERR_PARSE;

    if (e == ERR_OK) {
        memcpy(buf, datagram.data, len);
        e = srtp_pair_unprotect(m->srtp, buf, &len, now);
    }
    if (e == ERR_OK && !engine_put(m->engine, now, slice_of(buf, len)))
        e = ERR_FULL;
    m->n_bad += e != ERR_OK;
    return e;
}

/* The name that was lost, else the system's default one. */
static bool reopen(struct media *m, bool is_capture)
{
    struct engine_command c = {.kind = ENGINE_DEVICE};
    struct audio_spec spec = {.name = is_capture ? m->input : m->output, .is_capture = is_capture};
    char text[160];

    if (audio_open(&spec, &c.device, NULL) != ERR_OK) {
        spec.name = NAME_DEFAULT;
        if (audio_open(&spec, &c.device, NULL) != ERR_OK)
            return false;
    }
    if (!engine_command(m->engine, &c)) {
        audio_close(c.device);
        return false;
    }
    snprintf(text, sizeof text, "%s is now %s.", is_capture ? "Microphone" : "Speaker", spec.name);
    say(m, MEDIA_DEVICE_CHANGED, 0, text);
    return true;
}

void media_tick(struct media *m, ns_t now)
{
    if (now >= m->turn_at) {
        engine_turn(m->engine, now);
        m->turn_at = engine_deadline(m->engine, now);
    }
    if (now < m->reopen_at)
        return;
    m->is_pumping = true; /* an event may destroy us */
    if (m->lost_in)
        m->lost_in = !reopen(m, true);
    if (m->lost_out && !m->is_dead)
        m->lost_out = !reopen(m, false);
    m->reopen_at = m->lost_in || m->lost_out ? now + REOPEN_NS : NS_NEVER;
    m->is_pumping = false;
    if (m->is_dead)
        free_media(m);
}

ns_t media_deadline(const struct media *m)
{
    return ns_min(m->reopen_at, m->turn_at);
}

enum err media_set(struct media *m, enum media_setting what, int value)
{
    static const struct {
        enum engine_command_kind kind;
        int min, max;
    } rows[] = {
        [MEDIA_MUTE] = {ENGINE_MUTE, 0, 1},
        [MEDIA_HOLD] = {ENGINE_HOLD, 0, 1},
        [MEDIA_VOLUME] = {ENGINE_VOLUME, 0, 200},
        [MEDIA_GAIN] = {ENGINE_GAIN, -20, 20},
        [MEDIA_TONE] = {ENGINE_TONE, TONE_NONE, TONE_DTMF_0 + 15},
        [MEDIA_LINE] = {ENGINE_LINE, 0, 255},
    };
    struct engine_command c = {.kind = rows[what].kind, .value = value};

    if (value < rows[what].min || value > rows[what].max)
        return ERR_RANGE;
    return engine_command(m->engine, &c) ? ERR_OK : ERR_FULL;
}

enum err media_dtmf(struct media *m, const char *keys)
{
    struct engine_command c = {.kind = ENGINE_DTMF};
    size_t n = strlen(keys);

    if (!m->has_events)
        return ERR_UNSUPPORTED;
    if (n >= sizeof c.keys)
        return ERR_FULL;
    for (size_t i = 0; i < n; i++)
        if (dtmf_event(keys[i]) < 0)
            return ERR_PARSE;
    memcpy(c.keys, keys, n);
    return engine_command(m->engine, &c) ? ERR_OK : ERR_FULL;
}

enum err media_rekey(struct media *m, const uint8_t *tx_key, const uint8_t *rx_key, uint32_t new_ssrc,
                     ns_t now)
{
    struct engine_command c = {.kind = ENGINE_SSRC, .ssrc = new_ssrc};

    if (new_ssrc != 0 && !engine_command(m->engine, &c))
        return ERR_FULL;
    srtp_pair_rekey(m->srtp, tx_key, rx_key, now);
    if (new_ssrc != 0)
        m->ssrc = new_ssrc;
    return ERR_OK;
}

void media_stats(struct media *m, struct stream_stats *out)
{
    engine_stats(m->engine, out);
    out->n_bad += m->n_bad;
}
