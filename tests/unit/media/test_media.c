#include "unit/test.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "media/audio_wav.h"
#include "media/media.h"
#include "media/media_thread.h"
#include "unit/media/call.h"

#define S     48000u
#define START (1000 * NS_PER_S)

static int16_t speech[12 * S];

/* Two engines and the wire between them, driven in virtual time. */
struct wire {
    struct media *to;
    ns_t now;
    unsigned n;
};

struct pair {
    struct env env;
    uint64_t seed;
    struct media *a, *b;
    struct wire ab, ba;
    size_t said, n_heard, n_heard_a;
    int16_t heard[12 * S], heard_a[12 * S];
    char keys[16];
    unsigned n_keys, n_ended, n_lost, n_changed;
};

static void carry(void *arg, struct slice datagram)
{
    struct wire *w = arg;

    w->n++;
    if (w->to)
        media_packet_in(w->to, w->now, datagram);
}

static void say(void *arg, ns_t at, int16_t *out, size_t n)
{
    struct pair *p = arg;

    (void)at;
    for (size_t i = 0; i < n; i++, p->said++)
        out[i] = p->said < 12 * S ? speech[p->said] : 0;
}

static void hear_b(void *arg, ns_t at, const int16_t *pcm, size_t n)
{
    struct pair *p = arg;

    (void)at;
    for (size_t i = 0; i < n && p->n_heard < 12 * S; i++)
        p->heard[p->n_heard++] = pcm[i];
}

static void hear_a(void *arg, ns_t at, const int16_t *pcm, size_t n)
{
    struct pair *p = arg;

    (void)at;
    for (size_t i = 0; i < n && p->n_heard_a < 12 * S; i++)
        p->heard_a[p->n_heard_a++] = pcm[i];
}

static void on_event(void *arg, const struct media_event *ev)
{
    struct pair *p = arg;

    if (ev->kind == MEDIA_DTMF && p->n_keys < sizeof p->keys - 1)
        p->keys[p->n_keys++] = ev->key;
    p->n_ended += ev->kind == MEDIA_PLAY_ENDED;
    p->n_lost += ev->kind == MEDIA_DEVICE_LOST;
    p->n_changed += ev->kind == MEDIA_DEVICE_CHANGED;
}

static struct media_cfg config(struct pair *p, bool is_a)
{
    struct media_cfg cfg = {.drive = MEDIA_INLINE, .event = on_event, .event_arg = p, .audio_arg = p};

    cfg.stream = (struct stream_cfg){.payload_type = 96, .red_type = 97, .event_type = 101, .has_fec = true};
    cfg.stream.tx_key = is_a ? test_key_a : test_key_b;
    cfg.stream.rx_key = is_a ? test_key_b : test_key_a;
    if (is_a) {
        cfg.source = say;
        cfg.sink = hear_a;
    } else {
        cfg.sink = hear_b;
    }
    return cfg;
}

static struct pair *pair_create(uint32_t b_loop_ms)
{
    struct pair *p = mem_alloc(sizeof *p);
    struct media_cfg cfg;

    p->seed = 99;
    p->env = (struct env){&test_env_ops, &p->seed};
    cfg = config(p, true);
    assert_int_equal(media_create(&cfg, &p->env, &p->a, NULL), ERR_OK);
    cfg = config(p, false);
    cfg.loop_ms = b_loop_ms;
    assert_int_equal(media_create(&cfg, &p->env, &p->b, NULL), ERR_OK);
    p->ab = (struct wire){.to = p->b, .now = START};
    p->ba = (struct wire){.to = p->a, .now = START};
    assert_int_equal(media_start(p->a, START), ERR_OK);
    assert_int_equal(media_start(p->b, START), ERR_OK);
    return p;
}

static void pair_run(struct pair *p, ns_t until)
{
    for (;;) {
        ns_t now = ns_min(media_deadline(p->a), media_deadline(p->b));

        if (now > until)
            return;
        if (now > p->ab.now)
            p->ab.now = p->ba.now = now;
        media_tick(p->a, p->ab.now);
        media_tick(p->b, p->ab.now);
        media_pump(p->a, p->ab.now, carry, &p->ab);
        media_pump(p->b, p->ab.now, carry, &p->ba);
    }
}

static void pair_destroy(struct pair *p)
{
    media_destroy(p->a);
    media_destroy(p->b);
    mem_free(p);
}

static void inline_call(void **state)
{
    struct pair *p = pair_create(0);
    struct stream_stats s;
    long lag;

    (void)state;
    pair_run(p, START + 10 * NS_PER_S);
    lag = lag_of(speech, p->heard, 8 * S, S, S / 4);
    assert_in_range(lag, 30 * 48, 65 * 48); /* mouth to ear, devices included */
    media_stats(p->b, &s);
    assert_int_equal(s.quality, STREAM_GOOD);
    assert_int_equal(s.n_bad + s.n_lost + s.n_late, 0);
    assert_true(fabs(s.delay_ms - (double)lag / 48) < 15);
    assert_int_equal(media_fd(p->a), -1);
    assert_in_range(p->ab.n, 500, 515); /* 50 packets and a report a second */
    pair_destroy(p);
}

static void echo_contact(void **state)
{
    struct pair *p = pair_create(1000);
    long lag;

    (void)state;
    pair_run(p, START + 10 * NS_PER_S);
    lag = lag_of(speech, p->heard_a, 8 * S, S, 2 * S);
    assert_in_range(lag, 1060 * 48, 1140 * 48);
    pair_destroy(p);
}

static void settings(void **state)
{
    struct pair *p = pair_create(0);
    struct stream_stats s;

    (void)state;
    pair_run(p, START + 2 * NS_PER_S);
    assert_int_equal(media_set(p->a, MEDIA_VOLUME, 201), ERR_RANGE);
    assert_int_equal(media_set(p->a, MEDIA_GAIN, -21), ERR_RANGE);
    assert_int_equal(media_set(p->a, MEDIA_MUTE, 1), ERR_OK);
    assert_int_equal(media_dtmf(p->a, "5x"), ERR_PARSE);
    assert_int_equal(media_dtmf(p->a, "5*"), ERR_OK);
    pair_run(p, START + 4 * NS_PER_S);
    media_stats(p->a, &s);
    assert_true(s.is_muted);
    assert_string_equal(p->keys, "5*");
    assert_true(audio_level_db(p->heard + 3 * S, S / 2) < -60);
    assert_int_equal(media_set(p->b, MEDIA_TONE, TONE_CALL_WAITING), ERR_OK);
    pair_run(p, START + 4 * NS_PER_S + 500 * NS_PER_MS);
    assert_true(audio_level_db(p->heard + 4 * S, S / 4) > -40);
    pair_destroy(p);
}

static void rekeyed(void **state)
{
    static const uint8_t next[SRTP_KEY_BYTES] = "nextnextnextnextNEXTNEXTNEX";
    struct pair *p = pair_create(0);
    struct stream_stats s;

    (void)state;
    pair_run(p, START + 4 * NS_PER_S);
    assert_int_equal(media_rekey(p->a, next, NULL, 0x1234, p->ab.now), ERR_OK);
    assert_int_equal(media_rekey(p->b, NULL, next, 0, p->ab.now), ERR_OK);
    assert_int_equal(media_ssrc(p->a), 0x1234);
    pair_run(p, START + 10 * NS_PER_S);
    media_stats(p->b, &s);
    assert_int_equal(s.n_bad, 0);
    assert_in_range(lag_of(speech, p->heard, 8 * S, S, S / 4), 30 * 48, 70 * 48);
    pair_destroy(p);
}

static void numbers_drawn(void **state)
{
    struct pair *p = pair_create(0);

    (void)state;
    assert_int_not_equal(media_ssrc(p->a), 0);
    assert_int_not_equal(media_ssrc(p->a), media_ssrc(p->b));
    assert_int_equal(media_start(p->a, START), ERR_STATE);
    media_stop(p->a, START);
    p->ab.n = 0;
    media_pump(p->a, START, carry, &p->ab);
    assert_int_equal(p->ab.n, 1); /* the farewell */
    pair_destroy(p);
}

static void no_devices(void **state)
{
    struct pair *p = pair_create(0);
    struct media_cfg cfg = config(p, true);
    struct err_detail d;
    struct media *m;

    (void)state;
    cfg.source = NULL;
    cfg.sink = NULL;
    cfg.input = "default";
    assert_int_equal(media_create(&cfg, &p->env, &m, &d), ERR_UNSUPPORTED);
    cfg.drive = MEDIA_THREADED;
    cfg.input = "no_such_card";
    assert_int_equal(media_create(&cfg, &p->env, &m, &d), ERR_IO);
    assert_string_equal(d.text, "Microphone cannot be opened: no such device.");
    assert_null(m);
    pair_destroy(p);
}

/* One side of a threaded call: what the loop of a program does. */
struct side {
    struct media *m;
    struct side *peer;
};

static void carry_threaded(void *arg, struct slice datagram)
{
    struct side *s = arg;

    media_packet_in(s->peer->m, media_thread_now(), datagram);
}

static void write_speech(const char *path)
{
    struct wav_writer *w;

    assert_int_equal(wav_writer_open(path, &w, NULL), ERR_OK);
    wav_writer_put(w, speech, S);
    wav_writer_close(w);
}

static void threaded_call(void **state)
{
    static int16_t rec[3 * S];
    struct pair *p = pair_create(0);
    char in[64], out[64], in_name[80], out_name[80];
    struct side a = {0}, b = {.peer = &a};
    struct media_cfg cfg;
    struct stream_stats s;
    struct wav_reader *r;
    ns_t until;

    (void)state;
    a.peer = &b;
    sprintf(in, "/tmp/ito-media-%ld-in.wav", (long)getpid());
    sprintf(out, "/tmp/ito-media-%ld-out.wav", (long)getpid());
    sprintf(in_name, "wav:%s", in);
    sprintf(out_name, "wav:%s", out);
    write_speech(in);
    cfg = config(p, true);
    cfg.drive = MEDIA_THREADED;
    cfg.source = NULL;
    cfg.sink = NULL;
    cfg.input = in_name;
    assert_int_equal(media_create(&cfg, &p->env, &a.m, NULL), ERR_OK);
    cfg = config(p, false);
    cfg.drive = MEDIA_THREADED;
    cfg.sink = NULL;
    cfg.output = out_name;
    assert_int_equal(media_create(&cfg, &p->env, &b.m, NULL), ERR_OK);
    until = media_thread_now() + 1800 * NS_PER_MS;
    assert_int_equal(media_start(a.m, media_thread_now()), ERR_OK);
    assert_int_equal(media_start(b.m, media_thread_now()), ERR_OK);
    media_dtmf(a.m, "42");
    for (ns_t now = 0; now < until; now = media_thread_now()) {
        struct pollfd fds[2] = {{media_fd(a.m), POLLIN, 0}, {media_fd(b.m), POLLIN, 0}};

        poll(fds, 2, 100);
        if (fds[0].revents)
            media_pump(a.m, now, carry_threaded, &a);
        if (fds[1].revents)
            media_pump(b.m, now, carry_threaded, &b);
        media_set(b.m, MEDIA_VOLUME, 100);
        media_stats(b.m, &s);
    }
    assert_string_equal(p->keys, "42");
    assert_int_equal(p->n_ended, 1);
    assert_true(s.n_in > 50);
    assert_int_equal(s.n_bad, 0);
    media_destroy(a.m);
    media_destroy(b.m);
    assert_int_equal(wav_reader_open(out, &r, NULL), ERR_OK);
    assert_true(wav_reader_get(r, rec, 3 * S) > S);
    wav_reader_close(r);
    assert_true(audio_level_db(rec, S) > -50);
    unlink(in);
    unlink(out);
    pair_destroy(p);
}

static void sound_test(void **state)
{
    enum media_probe_word word;
    struct media_probe *p;
    struct media_tone *t;
    struct pollfd none = {-1, 0, 0};
    char in[64], name[80];
    double level = -99;

    (void)state;
    sprintf(in, "/tmp/ito-probe-%ld.wav", (long)getpid());
    sprintf(name, "wav:%s", in);
    write_speech(in);
    assert_int_equal(media_probe_start(name, "null", &p, NULL), ERR_OK);
    for (int i = 0; i < 200 && level < -50; i++) {
        poll(&none, 1, 10); /* wait for the thread to hear something */
        level = media_probe_level(p, &word);
    }
    assert_true(level > -50);
    media_probe_play(p, TONE_TEST);
    assert_true(media_probe_is_busy(p));
    media_probe_stop(p);
    assert_string_equal(media_probe_text(MEDIA_PROBE_SILENT), "silent (is it muted?)");
    assert_int_equal(media_tone_start("null", TONE_RING, &t, NULL), ERR_OK);
    media_tone_stop(t);
    media_tone_stop(NULL);
    unlink(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two engines in virtual time hear each other within 65 ms", inline_call),
        sentence("the Echo contact says again what it heard a second later", echo_contact),
        sentence("settings, keys and tones reach the engine", settings),
        sentence("a new key in mid-call is not heard", rekeyed),
        sentence("numbers are drawn, a second start is refused, a stop says farewell", numbers_drawn),
        sentence("a device that cannot be had is said in words and nothing is left", no_devices),
        sentence("two engines on threads carry a file across", threaded_call),
        sentence("the sound test hears a voice and plays tones", sound_test),
    };

    speak(speech, sizeof speech / sizeof *speech, 21);
    return run_sentences("media", tests);
}
