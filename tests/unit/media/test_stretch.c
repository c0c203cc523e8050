#include "unit/test.h"

#include "media/stretch.h"
#include "unit/media/call.h"

static void buzz(int16_t *pcm, size_t n, double hz)
{
    for (size_t i = 0; i < n; i++) {
        double t = (double)i * hz / 48000;

        pcm[i] =
            (int16_t)(6000 * sin(2 * M_PI * t) + 3000 * sin(4 * M_PI * t + 1) + 1500 * sin(6 * M_PI * t + 2));
    }
}

/* The largest step between neighbours, which a click would raise. */
static int steepest(const int16_t *pcm, size_t n)
{
    int most = 0;

    for (size_t i = 1; i < n; i++)
        most = abs(pcm[i] - pcm[i - 1]) > most ? abs(pcm[i] - pcm[i - 1]) : most;
    return most;
}

static void one_period(void **state)
{
    int16_t pcm[960 + STRETCH_MAX], whole[960];

    (void)state;
    for (double hz = 110; hz <= 380; hz += 30) {
        double period = 48000 / hz;
        size_t l;
        double periods;

        buzz(whole, 960, hz);
        memcpy(pcm, whole, sizeof whole);
        l = stretch_insert(pcm, 960, false);
        periods = (double)l / period;
        assert_true(l > 0);
        assert_true(fabs(periods - round(periods)) < 0.03);
        assert_true(steepest(pcm, 960 + l) <= steepest(whole, 960) * 1.05 + 2);
        memcpy(pcm, whole, sizeof whole);
        l = stretch_remove(pcm, 960, false);
        periods = (double)l / period;
        assert_true(l > 0);
        assert_true(fabs(periods - round(periods)) < 0.03);
        assert_true(steepest(pcm, 960 - l) <= steepest(whole, 960) * 1.05 + 2);
        assert_int_equal(pcm[960 - l - 1], whole[959]); /* what follows joins on */
    }
}

static void noise_refused(void **state)
{
    int16_t pcm[960 + STRETCH_MAX];
    uint64_t seed = 3;
    struct env env = {&test_env_ops, &seed};

    (void)state;
    for (size_t i = 0; i < 960; i++)
        pcm[i] = (int16_t)((chance(&env) - 0.5) * 20000);
    assert_int_equal(stretch_insert(pcm, 960, false), 0);
    assert_int_equal(stretch_remove(pcm, 960, false), 0);
    assert_true(stretch_insert(pcm, 960, true) > 0);
}

static void silence_any(void **state)
{
    int16_t pcm[960 + STRETCH_MAX] = {0};

    (void)state;
    assert_true(stretch_insert(pcm, 960, false) > 0);
    assert_true(stretch_remove(pcm, 960, false) > 0);
    assert_int_equal(stretch_remove(pcm, 100, true), 0); /* too short to hold a period */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a voice is changed by whole pitch periods without a click", one_period),
        sentence("noise is left alone unless forced", noise_refused),
        sentence("silence gives and takes freely", silence_any),
    };

    return run_sentences("stretch", tests);
}
