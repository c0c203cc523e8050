#include "unit/test.h"

#include "media/audio.h"
#include "unit/media/call.h"

#define FRAMES 100

static struct codec_cfg cfg(uint32_t bitrate, unsigned loss_pct)
{
    return (struct codec_cfg){.bitrate = bitrate, .frame_ms = 20, .loss_pct = loss_pct, .complexity = 5};
}

static void one_size(void **state)
{
    static const struct {
        uint32_t bitrate;
        size_t bytes;
    } rows[] = {{32000, 80}, {24000, 60}, {12000, 30}};
    int16_t pcm[960 * FRAMES];
    uint8_t out[CODEC_PAYLOAD_MAX];

    (void)state;
    speak(pcm, 960 * FRAMES, 1);
    memset(pcm + 960 * 50, 0, 960 * 20 * sizeof *pcm); /* silence is of the same size */
    for (size_t r = 0; r < 3; r++) {
        struct codec_cfg c = cfg(rows[r].bitrate, 10);
        struct codec *k = opus_codec.create(&c);

        for (size_t i = 0; i < FRAMES; i++)
            assert_int_equal(opus_codec.encode(k, pcm + 960 * i, 960, out, sizeof out), rows[r].bytes);
        opus_codec.destroy(k);
    }
}

static void speech_survives(void **state)
{
    static int16_t pcm[960 * FRAMES], back[960 * FRAMES];
    struct codec_cfg c = cfg(24000, 0);
    struct codec *k = opus_codec.create(&c);
    uint8_t out[CODEC_PAYLOAD_MAX];

    (void)state;
    speak(pcm, 960 * FRAMES, 1);
    for (size_t i = 0; i < FRAMES; i++) {
        size_t n = opus_codec.encode(k, pcm + 960 * i, 960, out, sizeof out);

        assert_int_equal(opus_codec.duration(slice_of(out, n)), 960);
        assert_int_equal(opus_codec.decode(k, slice_of(out, n), back + 960 * i, 960), 960);
    }
    assert_in_range(lag_of(pcm, back, 24000, 48000, 960), 100, 400); /* 6.5 ms of look-ahead and less */
    opus_codec.destroy(k);
}

/* Energy of what is made for a lost frame, relative to what was lost. */
static double lost_frame(unsigned loss_pct, bool by_repair, size_t *n_repairs)
{
    static int16_t pcm[960 * FRAMES], truth[960], made[960];
    struct codec_cfg c = cfg(32000, loss_pct);
    struct codec *k = opus_codec.create(&c), *whole = opus_codec.create(&c);
    uint8_t out[CODEC_PAYLOAD_MAX];
    double error = 0, energy = 1;

    speak(pcm, 960 * FRAMES, 1);
    *n_repairs = 0;
    for (size_t i = 0; i + 1 < FRAMES; i++) {
        size_t n = opus_codec.encode(k, pcm + 960 * i, 960, out, sizeof out);

        if (opus_codec.has_repair(slice_of(out, n)))
            ++*n_repairs;
        if (i % 5 == 4 && i > 10) { /* frame i-1 was lost */
            if (by_repair)
                assert_int_equal(opus_codec.repair(k, slice_of(out, n), made, 960), 960);
            else
                assert_int_equal(opus_codec.conceal(k, made, 960), 960);
            for (size_t s = 0; s < 960; s++) {
                double d = made[s] - truth[s];

                error += d * d;
                energy += (double)truth[s] * truth[s];
            }
        }
        opus_codec.decode(whole, slice_of(out, n), truth, 960);
        if (i % 5 != 3)
            opus_codec.decode(k, slice_of(out, n), made, 960);
    }
    opus_codec.destroy(k);
    opus_codec.destroy(whole);
    return error / energy;
}

static void repair_beats_concealment(void **state)
{
    size_t with, without;
    double repaired = lost_frame(20, true, &with), concealed = lost_frame(0, false, &without);

    (void)state;
    assert_true(repaired < concealed / 2);
    assert_true(with > FRAMES / 2);
    assert_int_equal(without, 0);
}

static void any_length_concealed(void **state)
{
    struct codec_cfg c = cfg(24000, 0);
    struct codec *k = opus_codec.create(&c);
    static int16_t pcm[CODEC_FRAME_MAX];

    (void)state;
    for (size_t n = 1; n <= CODEC_FRAME_MAX; n += 179)
        assert_int_equal(opus_codec.conceal(k, pcm, n), n);
    assert_int_equal(opus_codec.repair(k, slice_of("\x08", 1), pcm, 17), 17);
    opus_codec.destroy(k);
}

static void garbage(void **state)
{
    struct codec_cfg c = cfg(24000, 0);
    struct codec *k = opus_codec.create(&c);
    static int16_t pcm[CODEC_FRAME_MAX];
    uint64_t seed = 5;
    uint8_t junk[200];

    (void)state;
    assert_true(opus_codec.decode(k, slice_of(NULL, 0), pcm, CODEC_FRAME_MAX) < 0);
    assert_int_equal(opus_codec.duration(slice_of(NULL, 0)), 0);
    for (unsigned i = 0; i < 2000; i++) {
        int n;

        test_random(&seed, junk, sizeof junk);
        opus_codec.has_repair(slice_of(junk, junk[0] % sizeof junk));
        n = opus_codec.decode(k, slice_of(junk + 1, junk[0] % (sizeof junk - 1)), pcm, CODEC_FRAME_MAX);
        assert_true(n <= CODEC_FRAME_MAX);
    }
    opus_codec.destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("every frame of a bitrate has one size, speech or silence", one_size),
        sentence("speech comes back within the codec's look-ahead", speech_survives),
        sentence("a lost frame made from its repair data is nearer than concealment",
                 repair_beats_concealment),
        sentence("any number of samples can be concealed", any_length_concealed),
        sentence("garbage decodes to an error or to at most 120 ms", garbage),
    };

    return run_sentences("codec", tests);
}
