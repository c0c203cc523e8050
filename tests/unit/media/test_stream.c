#include "unit/test.h"

#include "media/audio.h"
#include "media/receiver.h"
#include "unit/media/call.h"

#define S 48000u

static int16_t speech[40 * S];

static struct stream_cfg cfg(void)
{
    return (struct stream_cfg){.payload_type = 96, .red_type = 97, .event_type = 101, .has_fec = true};
}

static struct call *start(const struct stream_cfg *c, double loss, unsigned jitter_ms, uint64_t seed)
{
    struct call *k = call_create(c, speech, sizeof speech / sizeof *speech, seed);

    k->ab.loss = k->ba.loss = loss;
    k->ab.jitter = k->ba.jitter = jitter_ms * NS_PER_MS;
    k->ab.delay = k->ba.delay = NS_PER_MS;
    return k;
}

static double lag_ms(const struct call *c, unsigned second)
{
    return lag_of(speech, c->rec, second * S, S, S / 4) / 48.0;
}

/* How alike what was heard is, in bands of envelope: correlation of 20 ms energies over the whole recording. */
static double likeness(const struct call *c, unsigned from, unsigned to, double lag)
{
    double xy = 0, xx = 0, yy = 0, mx = 0, my = 0;
    size_t n = (to - from) * 50, shift = (size_t)(lag * 48);
    double *a = mem_array(n, sizeof *a), *b = mem_array(n, sizeof *b);

    for (size_t i = 0; i < n; i++) {
        size_t at = from * S + i * 960;

        a[i] = fmax(audio_level_db(speech + at - shift, 960), -60);
        b[i] = fmax(audio_level_db(c->rec + at, 960), -60);
        mx += a[i] / (double)n;
        my += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xy += (a[i] - mx) * (b[i] - my);
        xx += (a[i] - mx) * (a[i] - mx);
        yy += (b[i] - my) * (b[i] - my);
    }
    mem_free(a);
    mem_free(b);
    return xy / sqrt(xx * yy);
}

static void clean(void **state)
{
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0, 0, 1);
    struct stream_stats s;
    double first, last;

    (void)state;
    call_run(c, 40 * S);
    first = lag_ms(c, 5);
    last = lag_ms(c, 38);
    assert_true(first > 30 && first < 50); /* 20 frame (of it 5 by the pulls), 6.5 codec, 20 target, 1 pipe */
    assert_true(fabs(last - first) < 2);
    stream_get_stats(c->b, &s);
    assert_int_equal(s.quality, STREAM_GOOD);
    assert_int_equal(s.n_lost, 0);
    assert_int_equal(s.n_bad, 0);
    assert_true(s.concealed_ms == 0);
    assert_true(fabs(s.rtt_ms - 2) < 1);
    assert_true(s.delay_ms > 30 && s.delay_ms < 60);
    assert_true(s.kbps_in > 25 && s.kbps_in < 32);
    assert_true(likeness(c, 5, 35, last) > 0.97);
    call_destroy(c);
}

static void one_size_per_step(void **state)
{
    struct stream_cfg k = cfg();
    struct call *c;

    (void)state;
    k.red_type = 0;
    c = start(&k, 0, 0, 1);
    stream_dtmf(c->a, "17#");
    call_run(c, 20 * S);
    assert_int_equal(c->ab.n_sizes, 1); /* speech, silence, key presses, with in-band repair and without */
    assert_int_equal(c->ab.sizes[0], 12 + 60 + SRTP_GROWTH_BYTES);
    call_destroy(c);
    k = cfg();
    c = start(&k, 0.2, 0, 1);
    call_run(c, 20 * S);
    assert_in_range(c->ab.n_sizes, 1, 2); /* RED with one copy, with two */
    for (unsigned i = 0; i < c->ab.n_sizes; i++)
        assert_true(c->ab.sizes[i] - 12 - SRTP_GROWTH_BYTES <= 48000 / 400);
    call_destroy(c);
}

static void lossy(void **state)
{
    static const struct {
        double loss, likeness;
    } rows[] = {{0.05, 0.95}, {0.1, 0.93}, {0.2, 0.9}, {0.3, 0.85}};

    (void)state;
    for (size_t r = 0; r < 4; r++) {
        struct stream_cfg k = cfg();
        struct call *c = start(&k, rows[r].loss, 0, 7 + r);
        struct stream_stats a, b;

        call_run(c, 40 * S);
        stream_get_stats(c->a, &a);
        stream_get_stats(c->b, &b);
        assert_true(fabs(b.loss_in - rows[r].loss) < 0.05);
        assert_true(fabs(a.loss_out - rows[r].loss) < 0.06);
        assert_int_equal(b.quality, rows[r].loss < 0.06 ? b.quality : STREAM_POOR);
        assert_true(a.has_fec);
        assert_true(likeness(c, 5, 35, lag_ms(c, 30)) > rows[r].likeness);
        /* Repair leaves little to conceal: one copy leaves p², two leave p³, and bounds of the switching. */
        assert_true(b.concealed_ms < 40000 * rows[r].loss / 3);
        call_destroy(c);
    }
}

static void jittery(void **state)
{
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0, 60, 3);
    struct stream_stats s;

    (void)state;
    call_run(c, 20 * S);
    assert_true(lag_ms(c, 15) < 110);
    stream_get_stats(c->b, &s);
    assert_true(s.n_late < 20);
    c->ab.jitter = 0; /* calm again: within 5 s as if nothing had been */
    call_run(c, 40 * S);
    assert_true(lag_ms(c, 26) < 60);
    assert_true(lag_ms(c, 38) < 50);
    call_destroy(c);
}

static void clocks_differ(void **state)
{
    static const double ppm[] = {500, -500};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct stream_cfg k = cfg();
        struct call *c = start(&k, 0, 0, 5);
        double first, last;

        c->b_ppm = ppm[i];
        call_run(c, 39 * S);
        /* Lags are of sample numbers; b's run away from a's by ppm. */
        first = lag_ms(c, 5) - 5 * ppm[i] / 1000;
        last = lag_ms(c, 37) - 37 * ppm[i] / 1000;
        assert_true(first > 30 && fabs(last - first) < 8);
        call_destroy(c);
    }
}

static void stall(void **state)
{
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0, 0, 5);

    (void)state;
    call_run(c, 10 * S);
    c->ab.delay = 150 * NS_PER_MS; /* a bad second of radio */
    call_run(c, 11 * S);
    c->ab.delay = NS_PER_MS;
    call_run(c, 25 * S);
    assert_true(lag_ms(c, 22) < 50);
    call_destroy(c);
}

static void mute_and_hold(void **state)
{
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0, 0, 5);
    struct stream_stats s;

    (void)state;
    call_run(c, 5 * S);
    stream_mute(c->a, true);
    call_run(c, 7 * S);
    assert_true(audio_level_db(c->rec + 6 * S, S / 2) < -70);
    stream_get_stats(c->a, &s);
    assert_true(s.is_muted && s.level_out_db > -50); /* the meter still moves: "you are muted but talking" */
    stream_mute(c->a, false);
    stream_hold(c->b, true);
    call_run(c, 9 * S);
    assert_true(audio_level_db(c->rec + 8 * S, S / 2) < -95);
    stream_hold(c->b, false);
    call_run(c, 11 * S);
    assert_true(audio_level_db(c->rec + 10 * S, S / 2) > -50);
    stream_volume(c->b, 0);
    call_run(c, 13 * S);
    assert_true(audio_level_db(c->rec + 12 * S, S / 2) < -95);
    call_destroy(c);
}

static void keys_arrive(void **state)
{
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0.1, 20, 9);
    const char *typed = "1159*#D";

    (void)state;
    call_run(c, 2 * S);
    assert_int_equal(stream_dtmf(c->a, "12x"), ERR_PARSE);
    assert_int_equal(stream_dtmf(c->a, "000000000000000000000000000000000"), ERR_FULL);
    assert_int_equal(stream_dtmf(c->a, typed), ERR_OK);
    call_run(c, 6 * S);
    for (const char *t = typed; *t; t++)
        assert_int_equal(stream_dtmf_received(c->b), *t);
    assert_int_equal(stream_dtmf_received(c->b), 0);
    call_destroy(c);
    k.event_type = 0;
    c = start(&k, 0, 0, 9);
    assert_int_equal(stream_dtmf(c->a, "1"), ERR_UNSUPPORTED);
    call_destroy(c);
}

static void strangers(void **state)
{
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0, 0, 5);
    uint8_t junk[120] = {0x80, 96};
    struct stream_stats s;

    (void)state;
    call_run(c, 3 * S);
    for (unsigned i = 0; i < 100; i++) {
        test_random(&c->seed, junk + 2, sizeof junk - 2);
        assert_int_not_equal(stream_receive(c->b, c->now, slice_of(junk, 2 + i)), ERR_OK);
    }
    call_run(c, 10 * S);
    stream_get_stats(c->b, &s);
    assert_int_equal(s.n_bad, 100);
    assert_int_equal(s.quality, STREAM_GOOD);
    assert_true(likeness(c, 5, 9, lag_ms(c, 8)) > 0.95);
    call_destroy(c);
}

static void new_keys(void **state)
{
    static const uint8_t next[SRTP_KEY_BYTES] = "nextnextnextnextNEXTNEXTNEX";
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0, 0, 5);
    struct stream_stats s;

    (void)state;
    call_run(c, 10 * S);
    stream_rekey(c->a, next, NULL, 0x5555, c->now);
    stream_rekey(c->b, NULL, next, 0, c->now);
    call_run(c, 20 * S);
    stream_get_stats(c->b, &s);
    assert_int_equal(s.n_bad, 0);
    assert_true(likeness(c, 12, 19, lag_ms(c, 18)) > 0.95);
    assert_true(lag_ms(c, 18) < 50);
    call_destroy(c);
}

static void words(void **state)
{
    struct stream_stats s = {.quality = STREAM_POOR, .worst = STREAM_WORST_LOSS_OUT, .loss_out = 0.091};
    struct stream_cfg k = cfg();
    struct call *c = start(&k, 0, 0, 5);
    char text[64];

    (void)state;
    stream_quality_words(&s, text, sizeof text);
    assert_string_equal(text, "poor (loss out 9.1%)");
    call_run(c, 2 * S);
    stream_get_stats(c->b, &s);
    assert_string_equal(stream_quality_name(s.quality), "measuring");
    c->ab.loss = 0.04;
    call_run(c, 16 * S);
    stream_get_stats(c->b, &s);
    assert_string_equal(stream_quality_name(s.quality), "fair");
    assert_int_equal(s.worst, STREAM_WORST_LOSS_IN);
    stream_get_stats(c->a, &s);
    assert_int_equal(s.worst, STREAM_WORST_LOSS_OUT);
    call_destroy(c);
}

static void frame_lengths(void **state)
{
    static const unsigned ms[] = {10, 40, 60};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct stream_cfg k = cfg();
        struct call *c;
        struct stream_stats s;

        k.frame_ms = ms[i];
        c = start(&k, 0.05, 10, 5);
        assert_int_equal(stream_frame_samples(c->a), ms[i] * 48);
        call_run(c, 12 * S);
        stream_get_stats(c->b, &s);
        assert_int_equal(s.n_bad, 0);
        assert_true(lag_ms(c, 9) > 0 && lag_ms(c, 9) < 100 + 4.0 * ms[i]);
        assert_true(likeness(c, 5, 10, lag_ms(c, 9)) > 0.9);
        call_destroy(c);
    }
}

static void garbage_inside(void **state)
{
    struct stream_cfg k = cfg();
    uint8_t packet[200], plain[200];
    struct env env;
    uint64_t seed = 77;
    struct stream *s;
    int16_t pcm[960];

    (void)state;
    env = (struct env){&test_env_ops, &seed};
    s = stream_create(&k, &env, 0); /* without keys: as an authenticated but mad peer */
    for (unsigned i = 0; i < 3000; i++) {
        size_t n;

        test_random(&seed, packet, sizeof packet);
        n = 12 + packet[0] % 180;
        memcpy(plain, packet, n);
        plain[0] = 0x80;
        plain[1] = i % 4 == 0 ? 200 : i % 4 == 1 ? 97 : i % 4 == 2 ? 101 : 96;
        if (i % 3) {
            memset(plain + 8, 0, 4);
            plain[4] = plain[5] = 0;
        }
        stream_receive(s, i * 5 * NS_PER_MS, slice_of(plain, n));
        stream_playout(s, i * 5 * NS_PER_MS, pcm, 240);
    }
    stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a clean call loses nothing, is heard within 50 ms and does not move", clean),
        sentence("a call has one packet size per step, speech, silence or keys", one_size_per_step),
        sentence("under loss redundancy comes up within 48 kbit/s and little is left to conceal", lossy),
        sentence("jitter is waited for, and five seconds after it the delay is back", jittery),
        sentence("clocks 500 ppm apart move the delay by less than 8 ms", clocks_differ),
        sentence("a stall of the network leaves no delay behind", stall),
        sentence("muted and held are silent, and the meter of the microphone moves on", mute_and_hold),
        sentence("keys arrive once each and in order through loss and jitter", keys_arrive),
        sentence("packets of strangers are counted and change nothing", strangers),
        sentence("new keys and a new source in mid-call are not heard", new_keys),
        sentence("frames of 10, 40 and 60 ms work as well", frame_lengths),
        sentence("an authentic peer's garbage is played as concealment, not read out of bounds",
                 garbage_inside),
        sentence("quality is said in the words of the screen", words),
    };

    speak(speech, sizeof speech / sizeof *speech, 11);
    return run_sentences("stream", tests);
}
