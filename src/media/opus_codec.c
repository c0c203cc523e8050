#include "media/codec.h"

#include <opus/opus.h>

#include "base/mem.h"

struct codec {
    OpusEncoder *enc;
    OpusDecoder *dec;
};

static void tune(struct codec *c, const struct codec_cfg *cfg)
{
    opus_encoder_ctl(c->enc, OPUS_SET_BITRATE((opus_int32)cfg->bitrate));
    opus_encoder_ctl(c->enc, OPUS_SET_VBR(cfg->is_variable));
    opus_encoder_ctl(c->enc, OPUS_SET_DTX(cfg->is_variable));
    opus_encoder_ctl(c->enc, OPUS_SET_INBAND_FEC(cfg->loss_pct > 0));
    opus_encoder_ctl(c->enc, OPUS_SET_PACKET_LOSS_PERC((opus_int32)cfg->loss_pct));
    opus_encoder_ctl(c->enc, OPUS_SET_COMPLEXITY((opus_int32)cfg->complexity));
}

static void destroy(struct codec *c)
{
    if (!c)
        return;
    if (c->enc)
        opus_encoder_destroy(c->enc);
    if (c->dec)
        opus_decoder_destroy(c->dec);
    mem_free(c);
}

static struct codec *create(const struct codec_cfg *cfg)
{
    struct codec *c = mem_alloc(sizeof *c);
    int err;

    c->enc = opus_encoder_create(CODEC_RATE_HZ, 1, OPUS_APPLICATION_VOIP, &err);
    c->dec = opus_decoder_create(CODEC_RATE_HZ, 1, &err);
    if (!c->enc || !c->dec) {
        destroy(c);
        return NULL;
    }
    opus_encoder_ctl(c->enc, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
    tune(c, cfg);
    return c;
}

static size_t encode(struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t cap)
{
    opus_int32 len = opus_encode(c->enc, pcm, (int)n, out, (opus_int32)cap);

    return len > 0 ? (size_t)len : 0;
}

static int decode(struct codec *c, struct slice payload, int16_t *out, size_t cap)
{
    if (payload.len == 0) /* libopus would take it for a loss */
        return -1;
    return opus_decode(c->dec, payload.data, (opus_int32)payload.len, out, (int)cap, 0);
}

/* libopus makes concealment in multiples of 2.5 ms only; the rest is asked for in one more step and cut. */
#define OPUS_STEP 120

static int conceal(struct codec *c, int16_t *out, size_t n)
{
    int16_t tail[OPUS_STEP];
    size_t whole = n / OPUS_STEP * OPUS_STEP;

    for (size_t at = 0; at < whole;) {
        size_t part = whole - at < 960 ? whole - at : 960;
        int got = opus_decode(c->dec, NULL, 0, out + at, (int)part, 0);

        if (got <= 0)
            return -1;
        at += (size_t)got;
    }
    if (n > whole) {
        if (opus_decode(c->dec, NULL, 0, tail, OPUS_STEP, 0) != OPUS_STEP)
            return -1;
        memcpy(out + whole, tail, (n - whole) * sizeof *out);
    }
    return (int)n;
}

static int repair(struct codec *c, struct slice next, int16_t *out, size_t n)
{
    if (next.len == 0 || n % OPUS_STEP != 0 || n > CODEC_FRAME_MAX)
        return conceal(c, out, n);
    return opus_decode(c->dec, next.data, (opus_int32)next.len, out, (int)n, 1);
}

static unsigned duration(struct slice payload)
{
    int n;

    if (payload.len == 0)
        return 0;
    n = opus_packet_get_nb_samples(payload.data, (opus_int32)payload.len, CODEC_RATE_HZ);
    return n > 0 && n <= CODEC_FRAME_MAX ? (unsigned)n : 0;
}

/* A SILK frame begins with one voice activity bit for each 20 ms, then the LBRR bit (RFC 6716 §4.2.3, 4.2.4);
 * these bits have probability 1/2, so the range coder leaves them readable. Mono. */
static bool has_repair(struct slice payload)
{
    const unsigned char *frames[48];
    opus_int16 sizes[48];
    int n_silk;

    if (payload.len == 0 || payload.data[0] & 0x80) /* CELT only */
        return false;
    if (opus_packet_parse(payload.data, (opus_int32)payload.len, NULL, frames, sizes, NULL) <= 0 ||
        sizes[0] < 1)
        return false;
    n_silk = opus_packet_get_samples_per_frame(payload.data, CODEC_RATE_HZ) / 960;
    if (n_silk < 1)
        n_silk = 1;
    return frames[0][0] & (0x80 >> n_silk);
}

const struct codec_ops opus_codec = {
    .name = "opus",
    .create = create,
    .destroy = destroy,
    .tune = tune,
    .encode = encode,
    .decode = decode,
    .repair = repair,
    .conceal = conceal,
    .duration = duration,
    .has_repair = has_repair,
};
