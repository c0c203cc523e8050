#include "unit/test.h"

#include <math.h>

#include "media/audio.h"
#include "media/tone.h"

#define S 48000

/* Power of one frequency (Goertzel by its definition), as a share of all. */
static double share(const int16_t *pcm, size_t n, double hz)
{
    double re = 0, im = 0, all = 1;

    for (size_t i = 0; i < n; i++) {
        re += pcm[i] * cos(2 * M_PI * hz * (double)i / S);
        im += pcm[i] * sin(2 * M_PI * hz * (double)i / S);
        all += (double)pcm[i] * pcm[i];
    }
    return 2 * (re * re + im * im) / ((double)n * all);
}

static void dtmf_pairs(void **state)
{
    static const double low[] = {941, 697, 697, 697, 770, 770, 770, 852,
                                 852, 852, 941, 941, 697, 770, 852, 941};
    static const double high[] = {1336, 1209, 1336, 1477, 1209, 1336, 1477, 1209,
                                  1336, 1477, 1209, 1477, 1633, 1633, 1633, 1633};
    int16_t pcm[5280];

    (void)state;
    for (int k = 0; k < 16; k++) {
        struct tone t;

        tone_init(&t, (enum tone_kind)(TONE_DTMF_0 + k));
        tone_render(&t, pcm, 5280);
        assert_true(share(pcm, 5280, low[k]) > 0.45);
        assert_true(share(pcm, 5280, high[k]) > 0.45);
        assert_false(tone_is_done(&t));
        tone_render(&t, pcm, 5280);
        assert_true(tone_is_done(&t));
    }
}

static void cadences(void **state)
{
    static int16_t pcm[9 * S];
    struct tone t;

    (void)state;
    tone_init(&t, TONE_RINGBACK);
    tone_render(&t, pcm, 9 * S);
    for (int i = 0; i < 9; i++)
        assert_true((audio_level_db(pcm + i * S, S) > -40) == (i % 3 == 0));
    assert_false(tone_is_done(&t));
    tone_init(&t, TONE_BUSY);
    tone_render(&t, pcm, 5 * S);
    assert_true(tone_is_done(&t));
    for (int i = 0; i < 10; i++)
        assert_true((audio_level_db(pcm + i * S / 2, S / 2) > -40) == (i % 2 == 0));
    tone_init(&t, TONE_RING);
    tone_render(&t, pcm, S);
    assert_true(audio_level_db(pcm, S) > -30);
}

static void no_tone(void **state)
{
    int16_t pcm[480];
    struct tone t;

    (void)state;
    for (int i = 0; i < 480; i++)
        pcm[i] = (int16_t)i;
    tone_init(&t, TONE_NONE);
    tone_mix(&t, pcm, 480);
    for (int i = 0; i < 480; i++)
        assert_int_equal(pcm[i], i);
    assert_true(tone_is_done(&t));
    tone_init(&t, TONE_TEST);
    for (int i = 0; i < 480; i++)
        pcm[i] = 32767;
    tone_mix(&t, pcm, 480);
    for (int i = 0; i < 480; i++)
        assert_true(pcm[i] > 20000); /* saturates, never wraps */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("every key sounds its two frequencies for 120 ms", dtmf_pairs),
        sentence("ring-back, busy and ring keep their cadences", cadences),
        sentence("no tone adds nothing, a tone on a loud signal saturates", no_tone),
    };

    return run_sentences("tone", tests);
}
