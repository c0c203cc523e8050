#include "media/tone.h"

#include <math.h>

#define RATE      48000
#define AMPLITUDE 6000.0
#define RAMP      240 /* 5 ms, so that nothing clicks */
#define PI        3.14159265358979323846

/* One stretch of a cadence: two frequencies (0: none) for some ms; frequency 0, 0 is a pause. */
struct note {
    unsigned ms, hz1, hz2;
    unsigned beat_hz; /* amplitude modulation */
};

struct cadence {
    const struct note *notes;
    unsigned n;
    unsigned repeat; /* 0: for ever */
};

static const struct note ringback[] = {{1000, 400, 0, 16}, {2000, 0, 0, 0}};
static const struct note busy[] = {{500, 425, 0, 0}, {500, 0, 0, 0}};
static const struct note waiting[] = {{150, 440, 0, 0}, {100, 0, 0, 0}, {150, 440, 0, 0}, {9600, 0, 0, 0}};
static const struct note ring[] = {{240, 660, 0, 0}, {240, 880, 0, 0}, {240, 660, 0, 0}, {240, 880, 0, 0},
                                   {240, 660, 0, 0}, {480, 880, 0, 0}, {2000, 0, 0, 0}};
static const struct note test[] = {{1000, 440, 0, 0}};

static const unsigned dtmf_low[] = {697, 770, 852, 941};
static const unsigned dtmf_high[] = {1209, 1336, 1477, 1633};
/* Row and column of event 0..15 (ITU-T Q.23). */
static const uint8_t dtmf_place[16] = {0x31, 0x00, 0x01, 0x02, 0x10, 0x11, 0x12, 0x20,
                                       0x21, 0x22, 0x30, 0x32, 0x03, 0x13, 0x23, 0x33};

static struct cadence cadence_of(enum tone_kind kind, struct note *room)
{
    if (kind >= TONE_DTMF_0 && kind < TONE_DTMF_0 + 16) {
        uint8_t at = dtmf_place[kind - TONE_DTMF_0];

        *room = (struct note){120, dtmf_low[at >> 4], dtmf_high[at & 15], 0};
        return (struct cadence){room, 1, 1};
    }
    switch (kind) {
    case TONE_RINGBACK:
        return (struct cadence){ringback, 2, 0};
    case TONE_BUSY:
        return (struct cadence){busy, 2, 5};
    case TONE_CALL_WAITING:
        return (struct cadence){waiting, 4, 0};
    case TONE_RING:
        return (struct cadence){ring, 7, 0};
    case TONE_TEST:
        return (struct cadence){test, 1, 1};
    default:
        return (struct cadence){NULL, 0, 1};
    }
}

static uint64_t length_of(struct cadence c)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < c.n; i++)
        n += (uint64_t)c.notes[i].ms * (RATE / 1000);
    return n;
}

static bool is_over(struct cadence c, uint64_t at)
{
    uint64_t n = length_of(c);

    return n == 0 || (c.repeat > 0 && at >= c.repeat * n);
}

static double sample(const struct note *note, uint64_t at, uint64_t len)
{
    double t = (double)at / RATE, v;

    if (note->hz1 == 0)
        return 0;
    v = sin(2 * PI * note->hz1 * t);
    if (note->hz2 > 0)
        v = (v + sin(2 * PI * note->hz2 * t)) / 2;
    if (note->beat_hz > 0)
        v *= 0.5 - 0.5 * cos(2 * PI * note->beat_hz * t);
    if (at < RAMP)
        v *= (double)at / RAMP;
    if (len - at < RAMP)
        v *= (double)(len - at) / RAMP;
    return v * AMPLITUDE;
}

static double value(struct cadence c, uint64_t at)
{
    if (is_over(c, at))
        return 0;
    at %= length_of(c);
    for (unsigned i = 0; i < c.n; i++) {
        uint64_t len = (uint64_t)c.notes[i].ms * (RATE / 1000);

        if (at < len)
            return sample(&c.notes[i], at, len);
        at -= len;
    }
    return 0;
}

void tone_init(struct tone *t, enum tone_kind kind)
{
    *t = (struct tone){.kind = kind};
}

void tone_mix(struct tone *t, int16_t *pcm, size_t n)
{
    struct note room;
    struct cadence c = cadence_of(t->kind, &room);

    for (size_t i = 0; i < n; i++) {
        double v = pcm[i] + value(c, t->at++);

        pcm[i] = (int16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
    }
}

void tone_render(struct tone *t, int16_t *out, size_t n)
{
    memset(out, 0, n * sizeof *out);
    tone_mix(t, out, n);
}

bool tone_is_done(const struct tone *t)
{
    struct note room;

    return is_over(cadence_of(t->kind, &room), t->at);
}
