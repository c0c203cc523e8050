#include "media/audio_paced.h"

#include "base/mem.h"

struct paced {
    struct audio base;
    struct audio_spec spec;
    void (*on_close)(void *arg);
    bool is_started;
    ns_t started_at;
    uint64_t done; /* frames read, or written and sounding so far */
};

static uint64_t clock_frames(const struct paced *p, ns_t now)
{
    return now > p->started_at ? (now - p->started_at) * AUDIO_RATE_HZ / NS_PER_S : 0;
}

static ns_t time_of(const struct paced *p, uint64_t frame)
{
    return p->started_at + (frame * NS_PER_S + AUDIO_RATE_HZ - 1) / AUDIO_RATE_HZ;
}

static enum err start(struct audio *a, ns_t now)
{
    struct paced *p = (struct paced *)a;

    p->is_started = true;
    p->started_at = now;
    p->done = 0;
    return ERR_OK;
}

static int take(struct audio *a, ns_t now, int16_t *out, size_t n)
{
    struct paced *p = (struct paced *)a;
    uint64_t heard = clock_frames(p, now), ready;

    if (!p->is_started)
        return 0;
    if (heard > p->done + PACED_BACKLOG_FRAMES) { /* overrun: what was not read in time is gone */
        p->base.n_xruns++;
        p->done = heard - PACED_BACKLOG_FRAMES / 2;
        p->done -= p->done % AUDIO_PERIOD_FRAMES;
    }
    ready = (heard - p->done) / AUDIO_PERIOD_FRAMES * AUDIO_PERIOD_FRAMES;
    if (n > ready)
        n = (size_t)ready;
    if (n == 0)
        return 0;
    if (p->spec.source)
        p->spec.source(p->spec.arg, time_of(p, p->done), out, n);
    else
        memset(out, 0, n * sizeof *out);
    p->done += n;
    return (int)n;
}

/* Silence sounded where nothing was written in time. */
static void catch_up(struct paced *p, ns_t now)
{
    static const int16_t silence[AUDIO_PERIOD_FRAMES];
    uint64_t heard = clock_frames(p, now);

    if (heard <= p->done)
        return;
    if (p->done > 0)
        p->base.n_xruns++;
    if (!p->spec.sink || heard - p->done > 60ull * AUDIO_RATE_HZ)
        p->done = heard;
    while (p->done < heard) {
        size_t n = heard - p->done < AUDIO_PERIOD_FRAMES ? (size_t)(heard - p->done) : AUDIO_PERIOD_FRAMES;

        p->spec.sink(p->spec.arg, time_of(p, p->done), silence, n);
        p->done += n;
    }
}

static int give(struct audio *a, ns_t now, const int16_t *pcm, size_t n)
{
    struct paced *p = (struct paced *)a;
    uint64_t queued;

    if (!p->is_started)
        start(a, now);
    catch_up(p, now);
    queued = p->done - clock_frames(p, now);
    if (queued >= PACED_QUEUE_FRAMES)
        return 0;
    if (n > PACED_QUEUE_FRAMES - queued)
        n = (size_t)(PACED_QUEUE_FRAMES - queued);
    if (p->spec.sink)
        p->spec.sink(p->spec.arg, time_of(p, p->done), pcm, n);
    p->done += n;
    return (int)n;
}

static int delay(struct audio *a, ns_t now)
{
    struct paced *p = (struct paced *)a;
    uint64_t heard = p->is_started ? clock_frames(p, now) : 0;

    if (p->base.is_capture)
        return heard > p->done ? (int)(heard - p->done) : 0;
    return p->done > heard ? (int)(p->done - heard) : 0;
}

static int poll_fds(struct audio *a, struct pollfd *out, int max)
{
    (void)a;
    (void)out;
    (void)max;
    return 0;
}

static ns_t deadline(struct audio *a)
{
    struct paced *p = (struct paced *)a;

    if (!p->is_started || !p->base.is_capture)
        return NS_NEVER;
    return time_of(p, p->done + AUDIO_PERIOD_FRAMES);
}

static void close_paced(struct audio *a)
{
    struct paced *p = (struct paced *)a;

    if (p->on_close)
        p->on_close(p->spec.arg);
    mem_free(p);
}

static const struct audio_ops paced_ops = {
    .start = start,
    .read = take,
    .write = give,
    .delay = delay,
    .poll_fds = poll_fds,
    .deadline = deadline,
    .close = close_paced,
};

struct audio *audio_paced_create(const struct audio_spec *spec, void (*on_close)(void *arg))
{
    struct paced *p = mem_alloc(sizeof *p);

    p->base.ops = &paced_ops;
    p->base.is_capture = spec->is_capture;
    p->spec = *spec;
    p->on_close = on_close;
    return &p->base;
}
