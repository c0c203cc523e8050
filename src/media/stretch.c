#include "media/stretch.h"

#include <math.h>

#define DECIMATE  6   /* search at 8 kHz */
#define COARSE    160 /* 20 ms of it */
#define LAG_MIN   20  /* 2.5 ms */
#define LAG_MAX   80  /* 10 ms */
#define FIT_MIN   0.6
#define QUIET_RMS 150.0 /* -47 dBFS: any cut is inaudible */

/* Normalised correlation of x[0..n) with x[lag..lag+n). */
static double fit(const double *x, size_t n, size_t lag)
{
    double xy = 0, xx = 1e-9, yy = 1e-9;

    for (size_t i = 0; i < n; i++) {
        xy += x[i] * x[i + lag];
        xx += x[i] * x[i];
        yy += x[i + lag] * x[i + lag];
    }
    return xy / sqrt(xx * yy);
}

static double fit_fine(const int16_t *x, size_t n, size_t lag)
{
    double xy = 0, xx = 1e-9, yy = 1e-9;

    for (size_t i = 0; i < n; i += 2) {
        double a = x[i], b = x[i + lag];

        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    return xy / sqrt(xx * yy);
}

/* The period in samples at 48 kHz by which x repeats itself at its beginning; 0: none that fits. */
static size_t period(const int16_t *x, size_t n, bool is_forced)
{
    double c[COARSE], best = -2, energy = 0;
    size_t m = n / DECIMATE < COARSE ? n / DECIMATE : COARSE;
    size_t lag_max = m / 2 < LAG_MAX ? m / 2 : LAG_MAX, lag = 0, fine, from;

    if (lag_max < LAG_MIN)
        return 0;
    for (size_t i = 0; i < m; i++) {
        double sum = 0;

        for (size_t k = 0; k < DECIMATE; k++)
            sum += x[i * DECIMATE + k];
        c[i] = sum / DECIMATE;
        energy += c[i] * c[i];
    }
    for (size_t l = LAG_MIN; l <= lag_max; l++) {
        double f = fit(c, m - lag_max, l);

        if (f > best) {
            best = f;
            lag = l;
        }
    }
    if (best < FIT_MIN && sqrt(energy / (double)m) > QUIET_RMS && !is_forced)
        return 0;
    from = lag * DECIMATE > DECIMATE ? lag * DECIMATE - DECIMATE : 1;
    fine = lag * DECIMATE;
    best = -2;
    for (size_t l = from; l <= lag * DECIMATE + DECIMATE && 2 * l <= n && l <= STRETCH_MAX; l++) {
        double f = fit_fine(x, n / 2, l);

        if (f > best) {
            best = f;
            fine = l;
        }
    }
    return 2 * fine <= n && fine <= STRETCH_MAX ? fine : 0;
}

static int16_t fade(int16_t from, int16_t to, size_t i, size_t n)
{
    return (int16_t)(((int32_t)from * (int32_t)(n - i) + (int32_t)to * (int32_t)i) / (int32_t)n);
}

size_t stretch_remove(int16_t *pcm, size_t n, bool is_forced)
{
    size_t l = period(pcm, n, is_forced);

    for (size_t i = 0; i < l; i++)
        pcm[i] = fade(pcm[i], pcm[i + l], i, l);
    if (l > 0)
        memmove(pcm + l, pcm + 2 * l, (n - 2 * l) * sizeof *pcm);
    return l;
}

size_t stretch_insert(int16_t *pcm, size_t n, bool is_forced)
{
    size_t l = period(pcm, n, is_forced);

    if (l == 0)
        return 0;
    memmove(pcm + 2 * l, pcm + l, (n - l) * sizeof *pcm); /* pcm[0..2l) still holds the first two periods */
    for (size_t i = 0; i < l; i++)
        pcm[l + i] = fade(pcm[l + i], pcm[i], i, l);
    return l;
}
