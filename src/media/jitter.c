#include "media/jitter.h"

#include "base/mem.h"

#define START_MS      40
#define MEASURED_MIN  50     /* packets before the target may fall below the start value */
#define MARGIN_US     5000   /* over the percentile: one device period of pulling */
#define STEP_US       5000   /* of the target */
#define LATE_OF_100   3      /* 97th percentile */
#define SKIP_OVER_US  200000 /* whole packets are dropped when play-out is that late against the target */
#define LATE_IN_A_ROW 8      /* with an empty buffer: the sender's clock stood still, start over */
#define RATE_HZ       48000
#define TOP_MAX       (JITTER_HISTORY * LATE_OF_100 / 100 + 1)

struct packet {
    bool is_used, is_copy;
    uint16_t seq;
    uint32_t samples;
    int64_t ts; /* unwrapped */
    size_t len;
    uint8_t data[JITTER_PAYLOAD_MAX];
};

struct jitter {
    struct jitter_cfg cfg;
    struct jitter_stats stats;
    bool has_ts, is_playing;
    int64_t last_ts;  /* unwrapped, of the last packet put */
    int64_t position; /* next sample to decode */
    bool has_played;  /* last_seq is valid */
    uint16_t last_seq;
    unsigned n_late_row;
    int64_t history[JITTER_HISTORY]; /* arrival less timestamp, us */
    unsigned n_history, at_history;
    int64_t smallest; /* of history */
    int64_t step_us;  /* target without extra_us */
    uint32_t extra_us;
    struct packet packets[JITTER_PACKETS];
};

struct jitter *jitter_create(const struct jitter_cfg *cfg)
{
    struct jitter *j = mem_alloc(sizeof *j);

    j->cfg = *cfg;
    if (j->cfg.start_ms == 0)
        j->cfg.start_ms = START_MS;
    if (j->cfg.start_ms < cfg->min_ms)
        j->cfg.start_ms = cfg->min_ms;
    if (j->cfg.start_ms > cfg->max_ms)
        j->cfg.start_ms = cfg->max_ms;
    j->stats.target_us = j->cfg.start_ms * 1000;
    return j;
}

void jitter_destroy(struct jitter *j)
{
    mem_free(j);
}

void jitter_reset(struct jitter *j)
{
    for (unsigned i = 0; i < JITTER_PACKETS; i++)
        j->packets[i].is_used = false;
    j->has_ts = j->is_playing = j->has_played = false;
    j->n_history = j->at_history = 0;
    j->n_late_row = 0;
    j->stats.level = 0;
    j->stats.n_resets++;
}

static int64_t samples_to_us(int64_t samples)
{
    return samples * 1000000 / RATE_HZ;
}

/* In steps, up at once and down only by two of them, so that its noise does not become motion of the play-out. */
static void set_target(struct jitter *j, int64_t late_us)
{
    int64_t least = (int64_t)(j->n_history < MEASURED_MIN ? j->cfg.start_ms : j->cfg.min_ms) * 1000;
    int64_t most = (int64_t)j->cfg.max_ms * 1000;
    int64_t want = (late_us + MARGIN_US + STEP_US - 1) / STEP_US * STEP_US;

    if (want < least)
        want = least;
    if (want > j->step_us || want == least || want <= j->step_us - 2 * STEP_US)
        j->step_us = want;
    j->stats.target_us = (uint32_t)(j->step_us + j->extra_us < most ? j->step_us + j->extra_us : most);
}

/* The smallest offset of the history, and the largest after leaving out LATE_OF_100 percent. */
static void measure(struct jitter *j)
{
    unsigned n_top = j->n_history * LATE_OF_100 / 100 + 1;
    int64_t top[TOP_MAX];
    unsigned n = 0;

    j->smallest = INT64_MAX;
    for (unsigned i = 0; i < j->n_history; i++) {
        int64_t v = j->history[i];
        unsigned at;

        if (v < j->smallest)
            j->smallest = v;
        if (n == n_top && v <= top[n - 1])
            continue;
        at = n < n_top ? n++ : n - 1; /* top[] falls; insert in place */
        for (; at > 0 && top[at - 1] < v; at--)
            top[at] = top[at - 1];
        top[at] = v;
    }
    set_target(j, top[n - 1] - j->smallest);
}

static void arrived(struct jitter *j, int64_t ts, ns_t now)
{
    j->history[j->at_history] = (int64_t)(now / NS_PER_US) - samples_to_us(ts);
    j->at_history = (j->at_history + 1) % JITTER_HISTORY;
    if (j->n_history < JITTER_HISTORY)
        j->n_history++;
    measure(j);
}

/* The slot of ts, else a free one, else NULL. */
static struct packet *slot_for(struct jitter *j, int64_t ts)
{
    struct packet *unused = NULL;

    for (unsigned i = 0; i < JITTER_PACKETS; i++) {
        struct packet *p = &j->packets[i];

        if (p->is_used && p->ts == ts)
            return p;
        if (!p->is_used && !unused)
            unused = p;
    }
    return unused;
}

static void fill(struct jitter *j, struct packet *p, int64_t ts, struct slice payload, uint32_t samples)
{
    if (!p->is_used)
        j->stats.level++;
    p->is_used = true;
    p->is_copy = false;
    p->ts = ts;
    p->samples = samples;
    p->len = payload.len;
    if (payload.len > 0)
        memcpy(p->data, payload.data, payload.len);
}

static int64_t unwrap(const struct jitter *j, uint32_t ts)
{
    return j->has_ts ? j->last_ts + (int32_t)(ts - (uint32_t)j->last_ts) : ts;
}

static bool is_jump(const struct jitter *j, int64_t ts)
{
    int64_t d = ts - j->position;

    return d > JITTER_JUMP_S * RATE_HZ || d < -JITTER_JUMP_S * RATE_HZ;
}

static enum err late(struct jitter *j, uint32_t ts, struct slice payload, uint32_t samples, uint16_t seq,
                     ns_t now)
{
    if (j->stats.level > 0 || ++j->n_late_row < LATE_IN_A_ROW) {
        j->stats.n_late++;
        return ERR_LATE;
    }
    jitter_reset(j);
    return jitter_put(j, seq, ts, payload, samples, now);
}

enum err jitter_put(struct jitter *j, uint16_t seq, uint32_t ts32, struct slice payload, uint32_t samples,
                    ns_t now)
{
    int64_t ts = unwrap(j, ts32);
    struct packet *p;

    if (payload.len > JITTER_PAYLOAD_MAX || samples == 0)
        return ERR_RANGE;
    if (j->has_ts && is_jump(j, ts)) {
        jitter_reset(j);
        ts = ts32;
    }
    p = slot_for(j, ts);
    if (p && p->is_used && !p->is_copy) {
        j->stats.n_duplicate++;
        return ERR_DUPLICATE;
    }
    if (!j->has_ts)
        j->position = ts;
    else if (!j->is_playing && ts < j->position)
        j->position = ts; /* overtaken before play-out began */
    j->has_ts = true;
    j->last_ts = ts;
    arrived(j, ts, now);
    if (ts < j->position)
        return late(j, ts32, payload, samples, seq, now);
    j->n_late_row = 0;
    if (!p) {
        j->stats.n_full++;
        return ERR_FULL;
    }
    fill(j, p, ts, payload, samples);
    p->seq = seq;
    j->stats.n_put++;
    return ERR_OK;
}

enum err jitter_put_copy(struct jitter *j, uint32_t ts32, struct slice payload, uint32_t samples)
{
    int64_t ts = unwrap(j, ts32);
    struct packet *p;

    if (payload.len > JITTER_PAYLOAD_MAX || samples == 0)
        return ERR_RANGE;
    if (!j->has_ts || is_jump(j, ts) || ts < j->position)
        return ERR_LATE;
    p = slot_for(j, ts);
    if (!p)
        return ERR_FULL;
    if (p->is_used)
        return ERR_DUPLICATE;
    fill(j, p, ts, payload, samples);
    p->is_copy = true;
    j->stats.n_copies++;
    return ERR_OK;
}

int32_t jitter_error_us(const struct jitter *j, ns_t now)
{
    int64_t e;

    if (!j->has_ts || j->n_history == 0)
        return 0;
    e = (int64_t)(now / NS_PER_US) - (j->smallest + samples_to_us(j->position) + j->stats.target_us);
    if (e > INT32_MAX)
        return INT32_MAX;
    return e < INT32_MIN ? INT32_MIN : (int32_t)e;
}

/* The packet at the position or the first one after it; forgets what lies before. */
static struct packet *earliest(struct jitter *j)
{
    struct packet *best = NULL;

    for (unsigned i = 0; i < JITTER_PACKETS; i++) {
        struct packet *p = &j->packets[i];

        if (!p->is_used)
            continue;
        if (p->ts < j->position) {
            p->is_used = false; /* overlaps what was played */
            j->stats.level--;
        } else if (!best || p->ts < best->ts) {
            best = p;
        }
    }
    return best;
}

static void take(struct jitter *j, struct packet *p, struct jitter_frame *out)
{
    out->kind = JITTER_PACKET;
    out->payload = slice_of(p->data, p->len);
    out->samples = p->samples;
    out->is_copy = p->is_copy;
    p->is_used = false; /* its bytes stay until the next put */
    j->stats.level--;
    j->stats.n_played++;
    j->position = p->ts + p->samples;
    j->has_played = !p->is_copy;
    j->last_seq = p->seq;
}

static void hole(struct jitter *j, const struct packet *next, uint32_t step, struct jitter_frame *out)
{
    int64_t gap = next ? next->ts - j->position : step;

    out->kind = JITTER_LOST;
    out->samples = gap < step ? (uint32_t)gap : step;
    out->is_pause = next && !next->is_copy && j->has_played &&
                    (uint16_t)(j->last_seq + 1) == next->seq; /* DTX, no loss */
    if (next && !next->is_copy && gap <= step && !out->is_pause) {
        out->kind = JITTER_REPAIR;
        out->payload = slice_of(next->data, next->len);
        j->stats.n_repaired++;
    } else if (!out->is_pause) {
        j->stats.n_lost++;
    }
    j->position += out->samples;
}

void jitter_get(struct jitter *j, ns_t now, uint32_t step, struct jitter_frame *out)
{
    struct packet *p;

    memset(out, 0, sizeof *out);
    out->samples = step;
    if (!j->has_ts || (!j->is_playing && jitter_error_us(j, now) < 0)) {
        out->kind = JITTER_WAIT;
        return;
    }
    p = earliest(j);
    j->is_playing = true;
    while (p && jitter_error_us(j, now) > SKIP_OVER_US) {
        p->is_used = false;
        j->stats.level--;
        j->position = p->ts + p->samples;
        p = earliest(j);
    }
    if (p && p->ts == j->position)
        take(j, p, out);
    else
        hole(j, p, step, out);
}

void jitter_set_extra(struct jitter *j, uint32_t extra_us)
{
    if (extra_us == j->extra_us)
        return;
    j->extra_us = extra_us;
    if (j->n_history > 0)
        measure(j);
}

void jitter_get_stats(const struct jitter *j, struct jitter_stats *out)
{
    *out = j->stats;
}
