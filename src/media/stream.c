#include "media/stream.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "media/audio.h"
#include "media/receiver.h"
#include "media/rtcp.h"
#include "media/sender.h"

#define WINDOW_S        10 /* of the quality words */
#define MEASURING_NS    (3 * NS_PER_S)
#define FIRST_REPORT_NS (500 * NS_PER_MS)
#define REPORT_NS       NS_PER_S
#define LOOKAHEAD_MS    6.5  /* of Opus in its voice mode */
#define LEVEL_DECAY_DB  50.0 /* per second */
#define RTT_WEIGHT      0.25
#define DEFAULT_BITRATE 24000
#define DEFAULT_MAX_BPS 48000
#define DEFAULT_MIN_MS  20
#define DEFAULT_MAX_MS  200

/* What one second counted. */
struct second {
    uint32_t expected, received, out_expected, out_lost;
};

struct stream {
    struct stream_cfg cfg;
    struct srtp_pair *srtp; /* NULL: plain */
    struct sender *sender;
    struct receiver *receiver;
    struct rtcp_source source;
    char cname[17];
    bool is_muted, is_held;
    uint8_t line_lost; /* by our own line, /256 */
    bool has_told_line;
    double volume, gain;
    double level_in, level_out;
    ns_t report_at, first_in_at;
    struct second window[WINDOW_S];
    unsigned at_window, n_window;
    uint32_t prior_expected, prior_received;
    uint64_t prior_in_bytes, prior_out_bytes, n_in_bytes;
    bool has_block;
    struct rtcp_block block; /* the peer's last about us */
    double rtt_ms;
    unsigned in_frames, out_frames; /* device delays */
    struct stream_stats stats;
};

const char *stream_quality_name(enum stream_quality q)
{
    static const char *const names[] = {"measuring", "good", "fair", "poor"};

    return names[q];
}

void stream_quality_words(const struct stream_stats *s, char *out, size_t size)
{
    const char *name = stream_quality_name(s->quality);

    if (s->quality != STREAM_POOR)
        snprintf(out, size, "%s", name);
    else if (s->worst == STREAM_WORST_LOSS_IN)
        snprintf(out, size, "%s (loss in %.1f%%)", name, s->loss_in * 100);
    else if (s->worst == STREAM_WORST_LOSS_OUT)
        snprintf(out, size, "%s (loss out %.1f%%)", name, s->loss_out * 100);
    else if (s->worst == STREAM_WORST_RTT)
        snprintf(out, size, "%s (RTT %.0f ms)", name, s->rtt_ms);
    else
        snprintf(out, size, "%s (jitter %.0f ms)", name, s->jitter_ms);
}

/* A name that says nothing (RFC 7022 §4.2). */
static void draw_cname(struct stream *s, const struct env *env)
{
    uint8_t raw[8];

    env_random(env, raw, sizeof raw);
    for (unsigned i = 0; i < sizeof raw; i++)
        snprintf(s->cname + 2 * i, 3, "%02x", raw[i]);
}

struct stream *stream_create(const struct stream_cfg *cfg, const struct env *env, ns_t now)
{
    struct stream *s = mem_alloc(sizeof *s);

    s->cfg = *cfg;
    if (!s->cfg.codec)
        s->cfg.codec = &opus_codec;
    if (s->cfg.bitrate == 0)
        s->cfg.bitrate = DEFAULT_BITRATE;
    if (s->cfg.max_bitrate == 0)
        s->cfg.max_bitrate = s->cfg.bitrate <= DEFAULT_BITRATE ? DEFAULT_MAX_BPS : 2 * s->cfg.bitrate;
    if (s->cfg.frame_ms == 0)
        s->cfg.frame_ms = 20;
    if (s->cfg.jitter_max_ms == 0) {
        s->cfg.jitter_min_ms = DEFAULT_MIN_MS;
        s->cfg.jitter_max_ms = DEFAULT_MAX_MS;
    }
    if (cfg->tx_key && cfg->rx_key)
        s->srtp = srtp_pair_create(cfg->tx_key, cfg->rx_key);
    s->cfg.tx_key = s->cfg.rx_key = NULL;
    s->sender = sender_create(&s->cfg, now);
    s->receiver = receiver_create(&s->cfg);
    draw_cname(s, env);
    s->volume = s->gain = 1;
    s->level_in = s->level_out = -99;
    s->rtt_ms = -1;
    stream_start(s, now);
    s->stats.rtt_ms = s->stats.delay_ms = -1;
    s->stats.level_in_db = s->stats.level_out_db = -99;
    return s;
}

void stream_start(struct stream *s, ns_t now)
{
    s->report_at = now + FIRST_REPORT_NS;
    sender_start(s->sender, now);
}

void stream_destroy(struct stream *s)
{
    if (!s)
        return;
    srtp_pair_destroy(s->srtp);
    sender_destroy(s->sender);
    receiver_destroy(s->receiver);
    mem_free(s);
}

size_t stream_frame_samples(const struct stream *s)
{
    return (size_t)s->cfg.frame_ms * (CODEC_RATE_HZ / 1000);
}

/* Rise at once, fall slowly: as a meter is read. */
static void meter(double *level, const int16_t *pcm, size_t n)
{
    double db = audio_level_db(pcm, n);

    *level = fmax(db, *level - LEVEL_DECAY_DB * (double)n / CODEC_RATE_HZ);
}

static void scale(int16_t *out, const int16_t *pcm, size_t n, double g)
{
    for (size_t i = 0; i < n; i++) {
        double v = pcm[i] * g;

        out[i] = (int16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
    }
}

static enum err seal(struct stream *s, uint8_t *out, size_t *len)
{
    enum err e;

    if (!s->srtp)
        return ERR_OK;
    e = srtp_pair_protect(s->srtp, out, len, STREAM_PACKET_MAX);
    if (e != ERR_OK)
        *len = 0;
    return e;
}

enum err stream_capture(struct stream *s, ns_t now, const int16_t *frame,
                        uint8_t out[static STREAM_PACKET_MAX], size_t *len)
{
    int16_t pcm[CODEC_FRAME_MAX];
    size_t n = stream_frame_samples(s);
    struct wr w;

    (void)now;
    scale(pcm, frame, n, s->gain);
    meter(&s->level_out, pcm, n);
    if (s->is_muted || s->is_held)
        memset(pcm, 0, n * sizeof *pcm);
    wr_init(&w, out, STREAM_PACKET_MAX);
    *len = 0;
    if (!sender_frame(s->sender, pcm, &w))
        return ERR_OK;
    if (!wr_ok(&w))
        return ERR_INTERNAL;
    *len = wr_len(&w);
    return seal(s, out, len);
}

enum err stream_event(struct stream *s, ns_t now, uint8_t out[static STREAM_PACKET_MAX], size_t *len)
{
    struct wr w;

    (void)now;
    *len = 0;
    wr_init(&w, out, STREAM_PACKET_MAX);
    if (!sender_event(s->sender, &w) || !wr_ok(&w))
        return ERR_OK;
    *len = wr_len(&w);
    return seal(s, out, len);
}

static void report_in(struct stream *s, const struct rtcp_report *r, ns_t now)
{
    const struct rtcp_block *b = &r->block;
    struct second *sec = &s->window[s->at_window];
    ns_t rtt;

    if (r->has_sr)
        rtcp_source_sr(&s->source, r->ntp, now);
    if (r->has_line)
        s->stats.peer_line_loss = r->line_lost / 256.0;
    if (!r->has_block)
        return;
    rtt = rtcp_rtt(b, now);
    if (rtt > 0) {
        double ms = (double)rtt / NS_PER_MS;

        s->rtt_ms = s->rtt_ms < 0 ? ms : s->rtt_ms + (ms - s->rtt_ms) * RTT_WEIGHT;
    }
    if (s->has_block && b->highest - s->block.highest < 1u << 20) {
        uint32_t expected = b->highest - s->block.highest;
        int32_t lost = b->lost - s->block.lost;

        if (lost < 0)
            lost = 0;
        if ((uint32_t)lost > expected)
            lost = (int32_t)expected;
        sec->out_expected += expected;
        sec->out_lost += (uint32_t)lost;
        if (expected > 0)
            sender_loss(s->sender, (double)lost / expected, now);
    }
    s->block = *b;
    s->has_block = true;
}

static enum err rtp_in(struct stream *s, ns_t now, struct slice bytes)
{
    struct rtp_packet p;
    enum err e = rtp_parse(bytes, &p);

    if (e != ERR_OK)
        return e;
    if (s->source.is_started && s->source.ssrc != p.ssrc) {
        receiver_restart(s->receiver);
        s->prior_expected = s->prior_received = 0;
    }
    rtcp_source_packet(&s->source, p.ssrc, p.seq, p.ts, now);
    s->n_in_bytes += RTP_HEADER_BYTES + p.payload.len;
    s->stats.n_in++;
    return receiver_packet(s->receiver, now, &p);
}

enum err stream_receive(struct stream *s, ns_t now, struct slice datagram)
{
    uint8_t buf[STREAM_PACKET_MAX + 256];
    size_t len = datagram.len;
    struct rtcp_report rep;
    enum err e = ERR_OK;
    struct slice plain = datagram;

    if (s->srtp) {
        if (len > sizeof buf)
            return ERR_PARSE;
        memcpy(buf, datagram.data, len);
        e = srtp_pair_unprotect(s->srtp, buf, &len, now);
        plain = slice_of(buf, len);
    }
    if (e == ERR_OK) {
        s->stats.last_in_at = now;
        if (s->first_in_at == 0)
            s->first_in_at = now;
        if (rtp_is_rtcp(plain)) {
            e = rtcp_parse(plain, s->cfg.ssrc, &rep);
            if (e == ERR_OK)
                report_in(s, &rep, now);
        } else {
            e = rtp_in(s, now, plain);
        }
    }
    if (e != ERR_OK && e != ERR_LATE && e != ERR_DUPLICATE)
        s->stats.n_bad++;
    return e;
}

void stream_playout(struct stream *s, ns_t now, int16_t *out, size_t n)
{
    receiver_playout(s->receiver, now, out, n);
    if (s->is_held)
        memset(out, 0, n * sizeof *out);
    meter(&s->level_in, out, n);
    if (s->volume != 1)
        scale(out, out, n, s->volume);
}

static struct second sum_window(const struct stream *s)
{
    struct second sum = {0};

    for (unsigned i = 0; i < WINDOW_S; i++) {
        sum.expected += s->window[i].expected;
        sum.received += s->window[i].received;
        sum.out_expected += s->window[i].out_expected;
        sum.out_lost += s->window[i].out_lost;
    }
    return sum;
}

/* One number against its bounds (UX.md §3): 0 good, 1 fair, 2 poor; and how far it is out. */
static unsigned grade(double v, double good, double fair, double *badness)
{
    *badness = v / fair;
    return v <= good ? 0 : v <= fair ? 1 : 2;
}

static void judge(struct stream *s, ns_t now)
{
    struct stream_stats *t = &s->stats;
    const struct {
        enum stream_worst what;
        double value, good, fair;
    } rows[] = {
        {STREAM_WORST_LOSS_IN, t->loss_in, .02, .06},
        {STREAM_WORST_LOSS_OUT, t->loss_out, .02, .06},
        {STREAM_WORST_RTT, t->rtt_ms, 250, 500},
        {STREAM_WORST_JITTER, t->jitter_ms, 30, 60},
    };
    double worst = 0;
    unsigned overall = 0;

    t->worst = STREAM_WORST_NONE;
    if (s->first_in_at == 0 || now - s->first_in_at < MEASURING_NS) {
        t->quality = STREAM_MEASURING;
        return;
    }
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double badness;
        unsigned g = grade(rows[i].value, rows[i].good, rows[i].fair, &badness);

        if (g > 0 && badness > worst) {
            worst = badness;
            t->worst = rows[i].what;
        }
        overall = g > overall ? g : overall;
    }
    t->quality = overall == 0 ? STREAM_GOOD : overall == 1 ? STREAM_FAIR : STREAM_POOR;
}

/* Close the second that ends now and derive the shown figures. */
static void roll(struct stream *s, ns_t now)
{
    struct second *sec = &s->window[s->at_window];
    uint32_t expected = rtcp_source_expected(&s->source);
    struct sender_stats tx;
    struct second sum;

    sec->expected = expected - s->prior_expected;
    sec->received = s->source.n_received - s->prior_received;
    s->prior_expected = expected;
    s->prior_received = s->source.n_received;
    sender_get_stats(s->sender, &tx);
    s->stats.kbps_in = (double)(s->n_in_bytes - s->prior_in_bytes) * 8 / 1000;
    s->stats.kbps_out = (double)(tx.n_wire_bytes - s->prior_out_bytes) * 8 / 1000;
    s->prior_in_bytes = s->n_in_bytes;
    s->prior_out_bytes = tx.n_wire_bytes;
    sum = sum_window(s);
    s->stats.loss_in = sum.expected > sum.received ? (double)(sum.expected - sum.received) / sum.expected : 0;
    s->stats.loss_out = sum.out_expected > 0 ? (double)sum.out_lost / sum.out_expected : 0;
    s->stats.jitter_ms = s->source.jitter * 1000 / CODEC_RATE_HZ;
    s->stats.rtt_ms = s->rtt_ms;
    s->stats.has_fec = tx.state != SENDER_PLAIN;
    s->stats.n_out = tx.n_packets;
    receiver_loss(s->receiver, s->stats.loss_in);
    judge(s, now);
    s->at_window = (s->at_window + 1) % WINDOW_S;
    s->window[s->at_window] = (struct second){0};
}

static void report_out(struct stream *s, ns_t now, bool is_bye, uint8_t *out, size_t *len)
{
    struct rtcp_report r = {.ssrc = s->cfg.ssrc, .is_bye = is_bye};
    struct sender_stats tx;
    struct wr w;

    sender_get_stats(s->sender, &tx);
    if (tx.n_packets > 0) {
        r.has_sr = true;
        r.ntp = rtcp_ntp(now);
        r.ts = tx.ts;
        r.n_packets = tx.n_packets;
        r.n_bytes = tx.n_bytes;
    }
    if (s->source.is_started) {
        r.has_block = true;
        rtcp_source_block(&s->source, now, &r.block);
    }
    memcpy(r.cname, s->cname, sizeof s->cname);
    r.has_line = s->line_lost > 0 || s->has_told_line;
    r.line_lost = s->line_lost;
    s->has_told_line = r.has_line;
    wr_init(&w, out, STREAM_PACKET_MAX);
    rtcp_write(&w, &r);
    *len = wr_ok(&w) ? wr_len(&w) : 0;
    if (*len > 0)
        seal(s, out, len);
}

void stream_tick(struct stream *s, ns_t now, uint8_t out[static STREAM_PACKET_MAX], size_t *len)
{
    *len = 0;
    if (now < s->report_at)
        return;
    s->report_at += REPORT_NS;
    if (s->report_at <= now) /* we were not called for long */
        s->report_at = now + REPORT_NS;
    roll(s, now);
    report_out(s, now, false, out, len);
}

ns_t stream_deadline(const struct stream *s)
{
    return s->report_at;
}

void stream_bye(struct stream *s, ns_t now, uint8_t out[static STREAM_PACKET_MAX], size_t *len)
{
    report_out(s, now, true, out, len);
}

void stream_mute(struct stream *s, bool is_on)
{
    s->is_muted = is_on;
}

void stream_hold(struct stream *s, bool is_on)
{
    s->is_held = is_on;
}

void stream_volume(struct stream *s, unsigned pct)
{
    s->volume = (pct > 200 ? 200 : pct) / 100.0;
}

void stream_gain(struct stream *s, int db)
{
    s->gain = pow(10, (db > 20 ? 20 : db < -20 ? -20 : db) / 20.0);
}

enum err stream_dtmf(struct stream *s, const char *keys)
{
    return sender_dtmf(s->sender, keys);
}

char stream_dtmf_received(struct stream *s)
{
    return receiver_key(s->receiver);
}

void stream_rekey(struct stream *s, const uint8_t *tx_key, const uint8_t *rx_key, uint32_t new_ssrc, ns_t now)
{
    if (s->srtp)
        srtp_pair_rekey(s->srtp, tx_key, rx_key, now);
    if (new_ssrc == 0)
        return;
    s->cfg.ssrc = new_ssrc;
    sender_set_ssrc(s->sender, new_ssrc);
    s->has_block = false;
}

void stream_set_line_loss(struct stream *s, uint8_t lost)
{
    s->line_lost = lost;
}

void stream_set_device_delay(struct stream *s, unsigned in_frames, unsigned out_frames)
{
    s->in_frames = in_frames;
    s->out_frames = out_frames;
}

void stream_get_stats(const struct stream *s, struct stream_stats *out)
{
    struct receiver_stats rx;

    receiver_get_stats(s->receiver, &rx);
    *out = s->stats;
    out->level_in_db = s->level_in;
    out->level_out_db = s->level_out;
    out->is_muted = s->is_muted;
    out->is_held = s->is_held;
    out->target_ms = rx.jitter.target_us / 1000.0;
    out->buffer_ms = (rx.jitter.target_us + rx.error_us) / 1000.0;
    out->concealed_ms = (double)rx.n_concealed * 1000 / CODEC_RATE_HZ;
    out->n_lost = rx.jitter.n_lost + rx.jitter.n_repaired;
    out->n_repaired = rx.jitter.n_repaired + rx.jitter.n_copies;
    out->n_late = rx.jitter.n_late;
    out->n_bad += rx.n_bad;
    out->n_stretches = rx.n_stretches;
    if (rx.is_playing)
        out->delay_ms = s->cfg.frame_ms + LOOKAHEAD_MS + (s->rtt_ms > 0 ? s->rtt_ms / 2 : 0) +
                        out->buffer_ms + (s->in_frames + s->out_frames) * 1000.0 / CODEC_RATE_HZ;
}
