/* tests/unit/media/call.h - for tests: speech that needs no file, and a call of two streams over a lossy pipe,
 * all in virtual time. */
#ifndef ITO_TESTS_MEDIA_CALL_H
#define ITO_TESTS_MEDIA_CALL_H

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "media/stream.h"

static void test_random(void *world, void *out, size_t n)
{
    uint64_t *state = world;

    for (size_t i = 0; i < n; i++) {
        *state = *state * 6364136223846793005ull + 1442695040888963407ull;
        ((uint8_t *)out)[i] = (uint8_t)(*state >> 56);
    }
}

static const struct env_ops test_env_ops = {.random = test_random};

static inline double chance(const struct env *env)
{
    return env_random_u32(env) / 4294967296.0;
}

/* Syllables of a buzz through three resonances, hisses and pauses: enough like speech for codec, pitch search
 * and correlation. */
static inline void speak(int16_t *out, size_t n, uint64_t seed)
{
    struct env env = {&test_env_ops, &seed};
    double y[3][2] = {{0}}, phase = 0, f0 = 120, level = 0, want = 0, formant[3] = {500, 1500, 2500};
    bool is_hiss = false;
    size_t left = 0;

    for (size_t i = 0; i < n; i++) {
        double x, sum = 0;

        if (left-- == 0) {
            left = 4800 + (size_t)(chance(&env) * 9600);
            want = chance(&env) < 0.25 ? 0 : 0.5 + chance(&env) / 2;
            is_hiss = chance(&env) < 0.2;
            f0 = 110 + chance(&env) * 90;
            formant[0] = 300 + chance(&env) * 500;
            formant[1] = 900 + chance(&env) * 1200;
            formant[2] = 2300 + chance(&env) * 800;
        }
        level += (want - level) / 480;
        phase += f0 / 48000;
        if (phase >= 1)
            phase -= 1;
        x = is_hiss ? (chance(&env) - 0.5) * 0.4 : (phase < 0.05 ? 1 : 0) - 0.05;
        for (int k = 0; k < 3; k++) {
            double r = 0.99, c = 2 * r * cos(2 * M_PI * formant[k] / 48000);
            double v = x + c * y[k][0] - r * r * y[k][1];

            y[k][1] = y[k][0];
            y[k][0] = v;
            sum += v * (1 - 0.3 * k);
        }
        sum *= level * 300;
        out[i] = (int16_t)fmax(-30000, fmin(30000, sum));
    }
}

/* The lag, in samples, at which rec[at..at+n) best repeats ref; searched from 0 to max before `at`. */
static inline long lag_of(const int16_t *ref, const int16_t *rec, size_t at, size_t n, size_t max)
{
    double best = -1;
    long best_lag = -1;

    for (size_t lag = 0; lag <= max && lag <= at; lag += 8) {
        double xy = 0, xx = 1, yy = 1;

        for (size_t i = 0; i < n; i += 5) {
            double a = ref[at + i - lag], b = rec[at + i];

            xy += a * b;
            xx += a * a;
            yy += b * b;
        }
        if (xy / sqrt(xx * yy) > best) {
            best = xy / sqrt(xx * yy);
            best_lag = (long)lag;
        }
    }
    return best > 0.5 ? best_lag : -1;
}

#define PIPE_PACKETS 256

struct pipe_packet {
    ns_t at; /* 0: free */
    size_t len;
    uint8_t data[STREAM_PACKET_MAX];
};

struct pipe {
    double loss;
    ns_t delay, jitter;
    unsigned n_sent, n_lost;
    size_t sizes[16]; /* distinct RTP sizes met, RTCP apart */
    unsigned n_sizes;
    struct pipe_packet packets[PIPE_PACKETS];
};

static inline void pipe_send(struct pipe *p, const struct env *env, ns_t now, const uint8_t *data, size_t len)
{
    unsigned k = 0;

    if (len == 0)
        return;
    while (k < p->n_sizes && p->sizes[k] != len)
        k++;
    if ((data[1] < 192 || data[1] > 223) && k == p->n_sizes && p->n_sizes < 16)
        p->sizes[p->n_sizes++] = len;
    p->n_sent++;
    if (chance(env) < p->loss) {
        p->n_lost++;
        return;
    }
    for (unsigned i = 0; i < PIPE_PACKETS; i++)
        if (p->packets[i].at == 0) {
            p->packets[i].at = now + p->delay + (ns_t)(chance(env) * (double)p->jitter) + 1;
            p->packets[i].len = len;
            memcpy(p->packets[i].data, data, len);
            return;
        }
}

static inline void pipe_deliver(struct pipe *p, ns_t now, struct stream *to)
{
    for (;;) {
        struct pipe_packet *first = NULL;

        for (unsigned i = 0; i < PIPE_PACKETS; i++)
            if (p->packets[i].at != 0 && p->packets[i].at <= now && (!first || p->packets[i].at < first->at))
                first = &p->packets[i];
        if (!first)
            return;
        stream_receive(to, first->at, slice_of(first->data, first->len));
        first->at = 0;
    }
}

/* A call: a speaks ref to b, who hears rec; the other direction carries silence. */
struct call {
    struct env env;
    uint64_t seed;
    ns_t now;
    struct stream *a, *b;
    struct pipe ab, ba;
    const int16_t *ref;
    int16_t *rec;
    size_t n, captured, played;
    double b_ppm; /* b's card runs that much fast */
    double b_owed;
};

static const uint8_t test_key_a[SRTP_KEY_BYTES] = "0123456789abcdefSALTSALTSAL";
static const uint8_t test_key_b[SRTP_KEY_BYTES] = "fedcba9876543210saltsaltsal";

static inline struct call *call_create(const struct stream_cfg *base, const int16_t *ref, size_t n,
                                       uint64_t seed)
{
    struct call *c = mem_alloc(sizeof *c);
    struct stream_cfg cfg = *base;

    c->seed = seed;
    c->env = (struct env){&test_env_ops, &c->seed};
    c->now = 1000 * NS_PER_S;
    cfg.ssrc = 1;
    cfg.tx_key = test_key_a;
    cfg.rx_key = test_key_b;
    c->a = stream_create(&cfg, &c->env, c->now);
    cfg.ssrc = 2;
    cfg.tx_key = test_key_b;
    cfg.rx_key = test_key_a;
    c->b = stream_create(&cfg, &c->env, c->now);
    c->ref = ref;
    c->n = n;
    c->rec = mem_array(n + 4800, sizeof *c->rec);
    return c;
}

static inline void call_capture(struct call *c, struct stream *s, struct pipe *p, const int16_t *frame)
{
    uint8_t out[STREAM_PACKET_MAX];
    size_t len;

    stream_capture(s, c->now, frame, out, &len);
    pipe_send(p, &c->env, c->now, out, len);
    for (;;) {
        stream_event(s, c->now, out, &len);
        if (len == 0)
            break;
        pipe_send(p, &c->env, c->now, out, len);
    }
    stream_tick(s, c->now, out, &len);
    pipe_send(p, &c->env, c->now, out, len);
}

/* Run until `until` samples were captured. */
static inline void call_run(struct call *c, size_t until)
{
    static const int16_t silence[2880];
    size_t frame = stream_frame_samples(c->a);
    int16_t drop[240];

    for (; c->captured < until && c->captured + 240 <= c->n; c->captured += 240) {
        size_t owed;

        c->now += 5 * NS_PER_MS;
        if ((c->captured + 240) % frame == 0) { /* a frame is complete */
            call_capture(c, c->a, &c->ab, c->ref + c->captured + 240 - frame);
            call_capture(c, c->b, &c->ba, silence);
        }
        pipe_deliver(&c->ab, c->now, c->b);
        pipe_deliver(&c->ba, c->now, c->a);
        c->b_owed += 240 * (1 + c->b_ppm / 1e6);
        owed = (size_t)c->b_owed;
        c->b_owed -= (double)owed;
        if (c->played + owed < c->n + 4800)
            stream_playout(c->b, c->now, c->rec + c->played, owed);
        c->played += owed;
        stream_playout(c->a, c->now, drop, 240);
    }
}

static inline void call_destroy(struct call *c)
{
    stream_destroy(c->a);
    stream_destroy(c->b);
    mem_free(c->rec);
    mem_free(c);
}

#endif
