#include "media/probe.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "media/media_thread.h"

#define PERIOD       AUDIO_PERIOD_FRAMES
#define FILL         (4 * PERIOD)
#define RECORD       (3 * AUDIO_RATE_HZ)
#define HEARD_DB     (-45.0)
#define LOUD_SAMPLE  32700
#define LEVEL_DECAY  0.25 /* dB a period: 50 a second */
#define TURN_IDLE_NS (5 * NS_PER_MS)

/* Keep a device FILL ahead with what `render` makes; false when it is gone. */
static bool play(struct audio *out, ns_t now, void (*render)(void *arg, int16_t *pcm), void *arg)
{
    int16_t pcm[PERIOD];

    for (unsigned i = 0; i < 2 * FILL / PERIOD; i++) {
        int queued = out->ops->delay(out, now);

        if (queued < 0)
            return false;
        if (queued + PERIOD > FILL)
            return true;
        render(arg, pcm);
        if (out->ops->write(out, now, pcm, PERIOD) < 0)
            return false;
    }
    return true;
}

static ns_t soon(void *arg, ns_t now)
{
    (void)arg;
    return now + TURN_IDLE_NS;
}

static int no_fds(void *arg, struct pollfd *out, int max)
{
    (void)arg;
    (void)out;
    (void)max;
    return 0;
}

struct media_tone {
    struct audio *out;
    struct media_thread *thread;
    struct tone tone;
    bool is_gone;
};

static void tone_period(void *arg, int16_t *pcm)
{
    struct media_tone *t = arg;

    tone_render(&t->tone, pcm, PERIOD);
}

static void tone_turn(void *arg, ns_t now)
{
    struct media_tone *t = arg;

    if (!t->is_gone)
        t->is_gone = !play(t->out, now, tone_period, t);
}

enum err media_tone_start(const char *device, enum tone_kind kind, struct media_tone **out,
                          struct err_detail *detail)
{
    static const struct media_turns turns = {tone_turn, soon, no_fds};
    struct audio_spec spec = {.name = device};
    struct media_tone *t = mem_alloc(sizeof *t);
    enum err e = audio_open(&spec, &t->out, detail);

    *out = NULL;
    tone_init(&t->tone, kind);
    if (e == ERR_OK)
        e = media_thread_create(&t->thread, detail);
    if (e == ERR_OK)
        e = t->out->ops->start(t->out, media_thread_now());
    if (e == ERR_OK)
        e = media_thread_run(t->thread, &turns, t);
    if (e != ERR_OK) {
        media_tone_stop(t);
        return e;
    }
    *out = t;
    return ERR_OK;
}

void media_tone_stop(struct media_tone *t)
{
    if (!t)
        return;
    media_thread_destroy(t->thread);
    audio_close(t->out);
    mem_free(t);
}

enum probe_state { PROBE_IDLE, PROBE_RECORD, PROBE_PLAY_BACK, PROBE_TONE };

struct media_probe {
    struct audio *in, *out;
    struct media_thread *thread;
    atomic_int asked; /* 1 + enum probe_state, 0: nothing new; asked_tone goes with it */
    atomic_int asked_tone;
    atomic_int state; /* as the thread has it */
    atomic_int level_mdb;
    atomic_int word;
    /* the thread's own */
    struct tone tone;
    double level;
    bool is_in_gone, is_out_gone;
    size_t n_record, at_record;
    int16_t record[RECORD];
};

static void probe_period(void *arg, int16_t *pcm)
{
    struct media_probe *p = arg;
    int state = atomic_load(&p->state);

    memset(pcm, 0, PERIOD * sizeof *pcm);
    if (state == PROBE_TONE) {
        tone_render(&p->tone, pcm, PERIOD);
        if (tone_is_done(&p->tone))
            atomic_store(&p->state, PROBE_IDLE);
    } else if (state == PROBE_PLAY_BACK) {
        size_t left = p->n_record - p->at_record, n = left < PERIOD ? left : PERIOD;

        memcpy(pcm, p->record + p->at_record, n * sizeof *pcm);
        p->at_record += n;
        if (p->at_record == p->n_record)
            atomic_store(&p->state, PROBE_IDLE);
    }
}

static void probe_hear(struct media_probe *p, const int16_t *pcm, size_t n)
{
    double db = audio_level_db(pcm, n);
    int word = atomic_load(&p->word);

    p->level = db > p->level - LEVEL_DECAY ? db : p->level - LEVEL_DECAY;
    atomic_store(&p->level_mdb, (int)(p->level * 1000));
    if (word == MEDIA_PROBE_SILENT && db > HEARD_DB)
        word = MEDIA_PROBE_HEARD;
    for (size_t i = 0; i < n; i++)
        if (pcm[i] > LOUD_SAMPLE || pcm[i] < -LOUD_SAMPLE)
            word = MEDIA_PROBE_LOUD;
    atomic_store(&p->word, word);
    if (atomic_load(&p->state) != PROBE_RECORD)
        return;
    if (n > RECORD - p->n_record)
        n = RECORD - p->n_record;
    memcpy(p->record + p->n_record, pcm, n * sizeof *pcm);
    p->n_record += n;
    if (p->n_record == RECORD) {
        p->at_record = 0;
        atomic_store(&p->state, PROBE_PLAY_BACK);
    }
}

static void probe_turn(void *arg, ns_t now)
{
    struct media_probe *p = arg;
    int asked = atomic_exchange(&p->asked, 0), n = 1;
    int16_t pcm[PERIOD];

    if (asked) {
        p->n_record = p->at_record = 0;
        tone_init(&p->tone, (enum tone_kind)atomic_load(&p->asked_tone));
        atomic_store(&p->state, asked - 1);
    }
    while (!p->is_in_gone && n > 0) {
        n = p->in->ops->read(p->in, now, pcm, PERIOD);
        if (n > 0)
            probe_hear(p, pcm, (size_t)n);
        p->is_in_gone = n < 0;
    }
    if (!p->is_out_gone)
        p->is_out_gone = !play(p->out, now, probe_period, p);
}

enum err media_probe_start(const char *input, const char *output, struct media_probe **out,
                           struct err_detail *detail)
{
    static const struct media_turns turns = {probe_turn, soon, no_fds};
    struct audio_spec in = {.name = input, .is_capture = true}, sp = {.name = output};
    struct media_probe *p = mem_alloc(sizeof *p);
    enum err e = audio_open(&in, &p->in, detail);

    *out = NULL;
    p->level = -99;
    atomic_init(&p->level_mdb, -99000);
    if (e == ERR_OK)
        e = audio_open(&sp, &p->out, detail);
    if (e == ERR_OK)
        e = media_thread_create(&p->thread, detail);
    if (e == ERR_OK)
        e = p->in->ops->start(p->in, media_thread_now());
    if (e == ERR_OK)
        e = p->out->ops->start(p->out, media_thread_now());
    if (e == ERR_OK)
        e = media_thread_run(p->thread, &turns, p);
    if (e != ERR_OK) {
        media_probe_stop(p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

double media_probe_level(struct media_probe *p, enum media_probe_word *word)
{
    *word = (enum media_probe_word)atomic_load(&p->word);
    return atomic_load(&p->level_mdb) / 1000.0;
}

const char *media_probe_text(enum media_probe_word word)
{
    return word == MEDIA_PROBE_HEARD  ? "heard you"
           : word == MEDIA_PROBE_LOUD ? "too loud"
                                      : "silent (is it muted?)";
}

static void ask(struct media_probe *p, enum probe_state state, enum tone_kind kind)
{
    atomic_store(&p->asked_tone, (int)kind);
    atomic_store(&p->asked, 1 + (int)state);
}

void media_probe_record(struct media_probe *p)
{
    ask(p, PROBE_RECORD, TONE_NONE);
}

void media_probe_play(struct media_probe *p, enum tone_kind kind)
{
    ask(p, PROBE_TONE, kind);
}

bool media_probe_is_busy(struct media_probe *p)
{
    return atomic_load(&p->asked) != 0 || atomic_load(&p->state) != PROBE_IDLE;
}

void media_probe_stop(struct media_probe *p)
{
    if (!p)
        return;
    media_thread_destroy(p->thread);
    audio_close(p->in);
    audio_close(p->out);
    mem_free(p);
}
