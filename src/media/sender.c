#include "media/sender.h"

#include "base/mem.h"
#include "crypto/secret.h"

#define COPIES_MAX      2
#define RED1_COPY_BPS   12000
#define RED2_COPY_BPS   10000 /* two of them and 24k of speech stay below 48 kbit/s */
#define COPY_COMPLEXITY 5
#define COMPLEXITY      9
#define LBRR_PCT_MIN    10 /* libopus adds nothing below that at 24 kbit/s */
#define LBRR_PCT_MAX    30
#define LOSS_AT_START   0.02
#define LOSS_WEIGHT     0.25
#define STEP_DOWN_NS    (5 * NS_PER_S)
#define STEP_DOWN_SHARE 0.7

#define EVENT_FRAMES     5 /* of sound; 100 ms with frames of 20 ms */
#define EVENT_END_REPEAT 3 /* RFC 4733 §2.5.1.4 */
#define EVENT_PAUSE      3
#define EVENT_VOLUME     10

struct sender {
    struct stream_cfg cfg;
    const struct codec_ops *ops;
    struct codec *codec, *copy_codec;
    enum sender_state state;
    uint32_t frame_samples;
    uint16_t seq;
    uint32_t ts;
    bool has_sent;
    struct sender_stats stats;
    struct {
        size_t len; /* 0: none */
        uint32_t ts;
        uint8_t data[RED_LENGTH_MAX];
    } copies[COPIES_MAX]; /* newest first */
    double loss;
    ns_t stepped_at, high_at;
    char keys[SENDER_KEYS_MAX];
    unsigned n_keys, event_step; /* steps of the first key */
    uint32_t event_ts;
};

static unsigned copies_of(enum sender_state st)
{
    return st == SENDER_RED2 ? 2 : st == SENDER_RED1 ? 1 : 0;
}

static size_t cbr_bytes(uint32_t bps, unsigned frame_ms)
{
    return (size_t)bps * frame_ms / 8000;
}

static uint32_t copy_bps(enum sender_state st)
{
    return st == SENDER_RED2 ? RED2_COPY_BPS : RED1_COPY_BPS;
}

/* Payload bytes of a state under CBR. */
static size_t payload_bytes(const struct sender *s, enum sender_state st)
{
    unsigned k = copies_of(st);
    size_t n = cbr_bytes(s->cfg.bitrate, s->cfg.frame_ms);

    return k == 0 ? n : n + 1 + k * (4 + cbr_bytes(copy_bps(st), s->cfg.frame_ms));
}

static bool is_allowed(const struct sender *s, enum sender_state st)
{
    if (st == SENDER_PLAIN)
        return true;
    if (!s->cfg.has_fec || (copies_of(st) > 0 && s->cfg.red_type == 0))
        return false;
    return payload_bytes(s, st) * 8000 / s->cfg.frame_ms <= s->cfg.max_bitrate;
}

static enum sender_state state_for(const struct sender *s, double loss)
{
    enum sender_state st = loss >= 0.12   ? SENDER_RED2
                           : loss >= 0.02 ? SENDER_RED1
                           : loss >= 0.01 ? SENDER_LBRR
                                          : SENDER_PLAIN;

    while (!is_allowed(s, st))
        st--;
    return st;
}

static void enter(struct sender *s, enum sender_state st, ns_t now)
{
    struct codec_cfg c = {.bitrate = s->cfg.bitrate,
                          .frame_ms = s->cfg.frame_ms,
                          .is_variable = s->cfg.is_variable,
                          .complexity = COMPLEXITY};

    if (st == SENDER_LBRR) {
        c.loss_pct = (unsigned)(s->loss * 150);
        if (c.loss_pct < LBRR_PCT_MIN)
            c.loss_pct = LBRR_PCT_MIN;
        if (c.loss_pct > LBRR_PCT_MAX)
            c.loss_pct = LBRR_PCT_MAX;
    }
    s->ops->tune(s->codec, &c);
    if (copies_of(st) > 0) {
        c.bitrate = copy_bps(st);
        c.complexity = COPY_COMPLEXITY;
        s->ops->tune(s->copy_codec, &c);
    }
    for (unsigned i = 0; i < COPIES_MAX; i++)
        s->copies[i].len = 0;
    s->state = st;
    s->stepped_at = now;
}

struct sender *sender_create(const struct stream_cfg *cfg, ns_t now)
{
    struct sender *s = mem_alloc(sizeof *s);
    struct codec_cfg c = {.bitrate = cfg->bitrate, .frame_ms = cfg->frame_ms, .complexity = COMPLEXITY};

    s->cfg = *cfg;
    s->cfg.tx_key = s->cfg.rx_key = NULL;
    s->ops = cfg->codec;
    s->codec = s->ops->create(&c);
    if (cfg->red_type != 0)
        s->copy_codec = s->ops->create(&c);
    s->frame_samples = cfg->frame_ms * (RTP_CLOCK_HZ / 1000);
    s->seq = cfg->first_seq;
    s->ts = cfg->first_ts;
    s->loss = LOSS_AT_START;
    s->high_at = now;
    enter(s, state_for(s, s->loss), now);
    return s;
}

void sender_destroy(struct sender *s)
{
    if (!s)
        return;
    s->ops->destroy(s->codec);
    if (s->copy_codec)
        s->ops->destroy(s->copy_codec);
    secret_wipe(s, sizeof *s);
    mem_free(s);
}

static void put(struct sender *s, struct rtp_packet *p, size_t total, struct wr *w)
{
    size_t before = wr_len(w);

    p->seq = s->seq++;
    p->ssrc = s->cfg.ssrc;
    rtp_write(w, p, total);
    s->stats.n_packets++;
    s->stats.n_bytes += (uint32_t)p->payload.len;
    s->stats.n_wire_bytes += wr_len(w) - before;
}

/* Wrap the primary in RED with the copies that are there, then move the copies on. */
static struct slice with_copies(struct sender *s, const int16_t *pcm, struct slice primary, struct wr *w)
{
    struct red red = {.primary = {.type = s->cfg.payload_type, .data = primary}};
    unsigned k = copies_of(s->state);

    for (unsigned i = k; i-- > 0;) {
        if (s->copies[i].len == 0)
            continue;
        red.copy[red.n++] = (struct red_block){.type = s->cfg.payload_type,
                                               .offset = s->ts - s->copies[i].ts,
                                               .data = slice_of(s->copies[i].data, s->copies[i].len)};
    }
    red_write(w, &red);
    for (unsigned i = k - 1; i > 0; i--)
        s->copies[i] = s->copies[i - 1];
    s->copies[0].ts = s->ts;
    s->copies[0].len =
        s->ops->encode(s->copy_codec, pcm, s->frame_samples, s->copies[0].data, sizeof s->copies[0].data);
    return wr_done(w);
}

bool sender_frame(struct sender *s, const int16_t *pcm, struct wr *w)
{
    uint8_t primary[CODEC_PAYLOAD_MAX], payload[RTP_PACKET_MAX];
    struct rtp_packet p = {.type = s->cfg.payload_type, .ts = s->ts};
    size_t n = s->ops->encode(s->codec, pcm, s->frame_samples, primary, sizeof primary);
    size_t total = s->cfg.is_variable ? 0 : RTP_HEADER_BYTES + payload_bytes(s, s->state);
    bool is_sent = n > (s->cfg.is_variable ? 2u : 0u); /* DTX: two bytes and less need not be sent */

    if (is_sent) {
        p.payload = slice_of(primary, n);
        if (copies_of(s->state) > 0) {
            struct wr in;

            wr_init(&in, payload, sizeof payload);
            p.type = s->cfg.red_type;
            p.payload = with_copies(s, pcm, p.payload, &in);
        }
        p.has_marker = !s->has_sent;
        put(s, &p, total, w);
    }
    s->has_sent = is_sent;
    s->ts += s->frame_samples;
    return is_sent;
}

bool sender_event(struct sender *s, struct wr *w)
{
    uint8_t payload[DTMF_BYTES];
    struct dtmf d = {.volume = EVENT_VOLUME};
    struct rtp_packet p = {.type = s->cfg.event_type};
    unsigned step;
    struct wr in;

    if (s->n_keys == 0)
        return false;
    step = s->event_step++;
    if (step == 0)
        s->event_ts = s->ts - s->frame_samples; /* of the frame just sent */
    if (step >= EVENT_FRAMES + EVENT_END_REPEAT) {
        if (step + 1 >= EVENT_FRAMES + EVENT_END_REPEAT + EVENT_PAUSE) {
            memmove(s->keys, s->keys + 1, --s->n_keys);
            s->event_step = 0;
        }
        return false;
    }
    d.event = (uint8_t)dtmf_event(s->keys[0]);
    d.is_end = step >= EVENT_FRAMES;
    d.duration = (uint16_t)((d.is_end ? EVENT_FRAMES : step + 1) * s->frame_samples);
    wr_init(&in, payload, sizeof payload);
    dtmf_write(&in, &d);
    p.ts = s->event_ts;
    p.has_marker = step == 0;
    p.payload = wr_done(&in);
    put(s, &p, s->cfg.is_variable ? 0 : RTP_HEADER_BYTES + payload_bytes(s, s->state), w);
    return true;
}

enum err sender_dtmf(struct sender *s, const char *keys)
{
    size_t n = strlen(keys);

    if (s->cfg.event_type == 0)
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < n; i++)
        if (dtmf_event(keys[i]) < 0)
            return ERR_PARSE;
    if (n > SENDER_KEYS_MAX - s->n_keys)
        return ERR_FULL;
    memcpy(s->keys + s->n_keys, keys, n);
    s->n_keys += (unsigned)n;
    return ERR_OK;
}

void sender_loss(struct sender *s, double loss, ns_t now)
{
    enum sender_state want;

    s->loss += (loss - s->loss) * LOSS_WEIGHT;
    want = state_for(s, s->loss);
    if (state_for(s, s->loss / STEP_DOWN_SHARE) >= s->state)
        s->high_at = now;
    if (now - s->stepped_at < STREAM_STEP_NS)
        return;
    if (want > s->state || (want < s->state && now - s->high_at >= STEP_DOWN_NS))
        enter(s, want, now);
}

void sender_set_ssrc(struct sender *s, uint32_t ssrc)
{
    s->cfg.ssrc = ssrc;
    s->seq &= 0x7fff; /* the roll-over counter of the new stream starts at 0 on both ends */
    s->stats.n_packets = s->stats.n_bytes = 0;
}

void sender_get_stats(const struct sender *s, struct sender_stats *out)
{
    *out = s->stats;
    out->state = s->state;
    out->ts = s->ts;
}
