#include "media/sender.h"

#include "base/mem.h"
#include "crypto/secret.h"

#define COPIES_MAX      2
#define COPY_BYTES_MAX  400
#define COPY_BPS_MIN    8000 /* below that another copy helps nobody */
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
    struct codec *codec;
    enum sender_state state;
    uint32_t frame_samples;
    uint16_t seq;
    uint32_t ts;
    bool has_sent;
    struct sender_stats stats;
    struct {
        size_t len; /* 0: none */
        uint32_t ts;
        uint8_t data[COPY_BYTES_MAX];
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

/* Bytes of one frame's encoding. The copies are whole ones: their price is that all of them, each 1/(k+1) of what
 * max_bitrate leaves, get smaller with the number of copies. It beats copies of a lesser encoding, which would
 * move the decoder between modes at every loss. */
static size_t frame_bytes(const struct sender *s, enum sender_state st)
{
    size_t n = (size_t)s->cfg.bitrate * s->cfg.frame_ms / 8000;
    size_t room = (size_t)s->cfg.max_bitrate * s->cfg.frame_ms / 8000;
    unsigned k = copies_of(st);

    if (k == 0)
        return n;
    room = room > 1 + 4 * k ? (room - 1 - 4 * k) / (k + 1) : 0;
    if (room > COPY_BYTES_MAX)
        room = COPY_BYTES_MAX;
    return n < room ? n : room;
}

/* Payload bytes of a state under CBR. */
static size_t payload_bytes(const struct sender *s, enum sender_state st)
{
    unsigned k = copies_of(st);

    return k == 0 ? frame_bytes(s, st) : 1 + 4 * k + (k + 1) * frame_bytes(s, st);
}

static bool is_allowed(const struct sender *s, enum sender_state st)
{
    if (st == SENDER_PLAIN)
        return true;
    if (!s->cfg.has_fec || (copies_of(st) > 0 && s->cfg.red_type == 0))
        return false;
    return frame_bytes(s, st) * 8000 / s->cfg.frame_ms >= COPY_BPS_MIN || copies_of(st) == 0;
}

static enum sender_state state_for(const struct sender *s, double loss)
{
    enum sender_state st = loss >= 0.15   ? SENDER_RED2
                           : loss >= 0.02 ? SENDER_RED1
                           : loss >= 0.01 ? SENDER_LBRR
                                          : SENDER_PLAIN;

    while (!is_allowed(s, st))
        st--;
    return st;
}

static void enter(struct sender *s, enum sender_state st, ns_t now)
{
    struct codec_cfg c = {.bitrate = (uint32_t)(frame_bytes(s, st) * 8000 / s->cfg.frame_ms),
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
    s->frame_samples = cfg->frame_ms * (RTP_CLOCK_HZ / 1000);
    s->seq = cfg->first_seq;
    s->ts = cfg->first_ts;
    s->loss = LOSS_AT_START;
    s->high_at = now;
    enter(s, state_for(s, s->loss), now);
    return s;
}

void sender_start(struct sender *s, ns_t now)
{
    s->stepped_at = s->high_at = now;
}

void sender_destroy(struct sender *s)
{
    if (!s)
        return;
    s->ops->destroy(s->codec);
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
static struct slice with_copies(struct sender *s, struct slice primary, struct wr *w)
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
    s->copies[0].len = primary.len <= COPY_BYTES_MAX ? primary.len : 0;
    if (s->copies[0].len > 0)
        memcpy(s->copies[0].data, primary.data, primary.len);
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
            p.payload = with_copies(s, p.payload, &in);
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
