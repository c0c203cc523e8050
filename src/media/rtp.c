#include "media/rtp.h"

/* RTP header (RFC 3550 §5.1), big-endian.
 *
 *   offset size field     notes
 *   0      1    V P X CC  version 2; padding, extension, number of CSRCs
 *   1      1    M PT      marker, payload type
 *   2      2    seq
 *   4      4    ts
 *   8      4    ssrc
 *   12     4CC  csrc      skipped
 *   …      4+4n extension when X: profile 2, length 2 in words, words: skipped
 *   …           payload
 *   end    p    padding   when P: the last byte counts all of it, itself included */

bool rtp_is_rtcp(struct slice bytes)
{
    return bytes.len >= 2 && bytes.data[1] >= 192 && bytes.data[1] <= 223;
}

enum err rtp_parse(struct slice bytes, struct rtp_packet *out)
{
    struct rd r;
    uint8_t first, second;
    struct slice rest;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    first = rd_u8(&r);
    second = rd_u8(&r);
    if (rd_ok(&r) && first >> 6 != 2)
        return ERR_VERSION;
    struct rtp_packet p = {.type = second & 0x7f, .has_marker = second >> 7};
    p.seq = rd_u16(&r);
    p.ts = rd_u32(&r);
    p.ssrc = rd_u32(&r);
    rd_skip(&r, 4 * (size_t)(first & 15));
    if (first & 0x10) {
        rd_skip(&r, 2);
        rd_skip(&r, 4 * (size_t)rd_u16(&r));
    }
    rest = rd_rest(&r);
    if (!rd_ok(&r))
        return ERR_PARSE;
    if (first & 0x20) {
        if (rest.len == 0 || rest.data[rest.len - 1] == 0 || rest.data[rest.len - 1] > rest.len)
            return ERR_PARSE;
        rest.len -= rest.data[rest.len - 1];
    }
    p.payload = rest;
    *out = p;
    return ERR_OK;
}

void rtp_write(struct wr *w, const struct rtp_packet *p, size_t total_bytes)
{
    size_t n = RTP_HEADER_BYTES + p->payload.len;
    size_t pad = total_bytes > n ? total_bytes - n : 0;

    if (pad > 255)
        pad = 255; /* its count is one byte */
    wr_u8(w, (uint8_t)(0x80 | (pad > 0 ? 0x20 : 0)));
    wr_u8(w, (uint8_t)((p->has_marker ? 0x80 : 0) | (p->type & 0x7f)));
    wr_u16(w, p->seq);
    wr_u32(w, p->ts);
    wr_u32(w, p->ssrc);
    wr_slice(w, p->payload);
    if (pad > 0) {
        wr_zeros(w, pad - 1);
        wr_u8(w, (uint8_t)pad);
    }
}

/* RED payload (RFC 2198 §3): a header for each copy, one for the primary, then the data in the same order.
 *
 *   copy header, 4 bytes:     F=1 (1 bit), type (7), timestamp offset (14), length (10)
 *   primary header, 1 byte:   F=0 (1 bit), type (7); its data is all that is left */
#define RED_BLOCKS_MAX 16 /* headers looked at: more is refused */

enum err red_parse(struct slice payload, struct red *out)
{
    struct red_block all[RED_BLOCKS_MAX];
    size_t length[RED_BLOCKS_MAX];
    unsigned n = 0, from;
    struct rd r;
    uint8_t type;

    memset(out, 0, sizeof *out);
    rd_init(&r, payload);
    for (;;) {
        uint32_t rest;

        type = rd_u8(&r);
        if (!(type & 0x80))
            break;
        if (n == RED_BLOCKS_MAX)
            return ERR_PARSE;
        rest = (uint32_t)rd_u8(&r) << 16;
        rest |= rd_u16(&r);
        all[n] = (struct red_block){.type = type & 0x7f, .offset = rest >> 10};
        length[n++] = rest & RED_LENGTH_MAX;
    }
    for (unsigned i = 0; i < n; i++)
        all[i].data = rd_bytes(&r, length[i]);
    if (!rd_ok(&r))
        return ERR_PARSE;
    from = n > RED_COPIES_MAX ? n - RED_COPIES_MAX : 0;
    out->n = n - from;
    for (unsigned i = from; i < n; i++)
        out->copy[i - from] = all[i];
    out->primary = (struct red_block){.type = type, .data = rd_rest(&r)};
    return ERR_OK;
}

void red_write(struct wr *w, const struct red *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        const struct red_block *c = &r->copy[i];

        if (c->data.len > RED_LENGTH_MAX || c->offset > RED_OFFSET_MAX) {
            w->failed = true;
            return;
        }
        wr_u8(w, c->type | 0x80);
        wr_u8(w, (uint8_t)(c->offset >> 6));
        wr_u16(w, (uint16_t)(c->offset << 10 | c->data.len));
    }
    wr_u8(w, r->primary.type & 0x7f);
    for (unsigned i = 0; i < r->n; i++)
        wr_slice(w, r->copy[i].data);
    wr_slice(w, r->primary.data);
}

/* Telephone event (RFC 4733 §2.3): event 1, E (1 bit) R (1) volume (6), duration 2. */
enum err dtmf_parse(struct slice payload, struct dtmf *out)
{
    struct rd r;
    uint8_t bits;
    struct dtmf d = {0};

    memset(out, 0, sizeof *out);
    rd_init(&r, payload);
    d.event = rd_u8(&r);
    bits = rd_u8(&r);
    d.is_end = bits >> 7;
    d.volume = bits & 63;
    d.duration = rd_u16(&r);
    if (!rd_done(&r))
        return ERR_PARSE;
    if (d.event > 15)
        return ERR_RANGE;
    *out = d;
    return ERR_OK;
}

void dtmf_write(struct wr *w, const struct dtmf *d)
{
    wr_u8(w, d->event);
    wr_u8(w, (uint8_t)((d->is_end ? 0x80 : 0) | (d->volume & 63)));
    wr_u16(w, d->duration);
}

static const char dtmf_keys[] = "0123456789*#ABCD";

int dtmf_event(char key)
{
    const char *at;

    if (key >= 'a' && key <= 'd')
        key = (char)(key - 'a' + 'A');
    at = key ? strchr(dtmf_keys, key) : NULL;
    return at ? (int)(at - dtmf_keys) : -1;
}

char dtmf_key(uint8_t event)
{
    return event < 16 ? dtmf_keys[event] : 0;
}
