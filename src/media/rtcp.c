#include "media/rtcp.h"

#include <math.h>

#define RTCP_SR   200
#define RTCP_RR   201
#define RTCP_SDES 202
#define RTCP_BYE  203
#define RTCP_APP  204

#define SDES_CNAME  1
#define LINE_NAME   "LINE" /* of our APP packet (RFC 3550 §6.7) */
#define BLOCK_BYTES 24

/* A compound is a row of packets, each with this header (RFC 3550 §6.4), big-endian.
 *
 *   offset size field    notes
 *   0      1    V P RC   version 2; padding (last packet only); report or source count
 *   1      1    PT       200 SR, 201 RR first; 202 SDES, 203 BYE, 204 APP
 *   2      2    length   32-bit words after the first
 *   4      4    ssrc     of the sender
 *   SR: 8  20   ntp 8, rtp ts 4, packets 4, bytes 4
 *   then   24   per block: ssrc 4, fraction 1, lost 3 (signed), highest 4, jitter 4, last SR 4, delay 4 */

static struct rtcp_block read_block(struct rd *r)
{
    struct rtcp_block b = {.ssrc = rd_u32(r)};
    uint32_t word = rd_u32(r);

    b.fraction = (uint8_t)(word >> 24);
    b.lost = (int32_t)(word & 0xffffff);
    if (b.lost & 0x800000)
        b.lost -= 0x1000000;
    b.highest = rd_u32(r);
    b.jitter = rd_u32(r);
    b.last_sr = rd_u32(r);
    b.delay_sr = rd_u32(r);
    return b;
}

static void read_report(struct rd *r, bool is_sr, unsigned n_blocks, uint32_t about, struct rtcp_report *out)
{
    out->ssrc = rd_u32(r);
    if (is_sr) {
        out->has_sr = true;
        out->ntp = rd_u64(r);
        out->ts = rd_u32(r);
        out->n_packets = rd_u32(r);
        out->n_bytes = rd_u32(r);
    }
    for (unsigned i = 0; i < n_blocks; i++) {
        struct rtcp_block b = read_block(r);

        if (b.ssrc == about && rd_ok(r)) {
            out->has_block = true;
            out->block = b;
        }
    }
}

/* Chunks of ssrc and items (type 1, length 1, text), ended by a zero and padded to words; the first CNAME. */
static void read_sdes(struct rd *r, unsigned n_chunks, struct rtcp_report *out)
{
    if (n_chunks == 0)
        return;
    rd_skip(r, 4);
    while (rd_ok(r) && rd_left(r) > 0) {
        uint8_t type = rd_u8(r);
        struct slice text;

        if (type == 0)
            return; /* further chunks are of other sources */
        text = rd_bytes(r, rd_u8(r));
        if (type == SDES_CNAME && rd_ok(r)) {
            size_t n = text.len < RTCP_CNAME_MAX ? text.len : RTCP_CNAME_MAX;

            if (n > 0)
                memcpy(out->cname, text.data, n);
            out->cname[n] = '\0';
        }
    }
}

/* Other names are other people's. */
static void read_app(struct rd *r, struct rtcp_report *out)
{
    struct slice name;

    rd_u32(r);
    name = rd_bytes(r, 4);
    if (!rd_ok(r) || memcmp(name.data, LINE_NAME, 4) != 0 || rd_left(r) < 4)
        return;
    out->has_line = true;
    out->line_lost = rd_u8(r);
}

enum err rtcp_parse(struct slice bytes, uint32_t about, struct rtcp_report *out)
{
    struct rtcp_report rep = {0};
    bool is_first = true;
    struct rd r;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    while (rd_left(&r) > 0) {
        uint8_t first = rd_u8(&r);
        uint8_t type = rd_u8(&r);
        struct slice body = rd_bytes(&r, 4 * (size_t)rd_u16(&r));
        struct rd in;

        if (!rd_ok(&r))
            return ERR_PARSE;
        if (first >> 6 != 2)
            return ERR_VERSION;
        if (is_first && type != RTCP_SR && type != RTCP_RR)
            return ERR_PARSE;
        rd_init(&in, body);
        if (is_first)
            read_report(&in, type == RTCP_SR, first & 31, about, &rep);
        else if (type == RTCP_SDES)
            read_sdes(&in, first & 31, &rep);
        else if (type == RTCP_BYE)
            rep.is_bye = true;
        else if (type == RTCP_APP)
            read_app(&in, &rep);
        if (!rd_ok(&in))
            return ERR_PARSE;
        is_first = false;
    }
    if (is_first)
        return ERR_PARSE;
    *out = rep;
    return ERR_OK;
}

/* ssrc 4, name 4, then for "LINE": lost 1 (/256), zeros 3. */
static void write_line(struct wr *w, const struct rtcp_report *p)
{
    wr_u8(w, 0x80);
    wr_u8(w, RTCP_APP);
    wr_u16(w, 3);
    wr_u32(w, p->ssrc);
    wr_bytes(w, LINE_NAME, 4);
    wr_u8(w, p->line_lost);
    wr_zeros(w, 3);
}

static void write_block(struct wr *w, const struct rtcp_block *b)
{
    wr_u32(w, b->ssrc);
    wr_u32(w, (uint32_t)b->fraction << 24 | ((uint32_t)b->lost & 0xffffff));
    wr_u32(w, b->highest);
    wr_u32(w, b->jitter);
    wr_u32(w, b->last_sr);
    wr_u32(w, b->delay_sr);
}

void rtcp_write(struct wr *w, const struct rtcp_report *p)
{
    size_t n = strnlen(p->cname, RTCP_CNAME_MAX);
    size_t words = 1 + (p->has_sr ? 5 : 0) + (p->has_block ? BLOCK_BYTES / 4 : 0);

    wr_u8(w, (uint8_t)(0x80 | p->has_block));
    wr_u8(w, p->has_sr ? RTCP_SR : RTCP_RR);
    wr_u16(w, (uint16_t)words);
    wr_u32(w, p->ssrc);
    if (p->has_sr) {
        wr_u64(w, p->ntp);
        wr_u32(w, p->ts);
        wr_u32(w, p->n_packets);
        wr_u32(w, p->n_bytes);
    }
    if (p->has_block)
        write_block(w, &p->block);
    if (n > 0) {
        size_t chunk = (4 + 2 + n + 1 + 3) / 4 * 4; /* at least one zero ends the items */

        wr_u8(w, 0x81);
        wr_u8(w, RTCP_SDES);
        wr_u16(w, (uint16_t)(chunk / 4));
        wr_u32(w, p->ssrc);
        wr_u8(w, SDES_CNAME);
        wr_u8(w, (uint8_t)n);
        wr_bytes(w, p->cname, n);
        wr_zeros(w, chunk - 6 - n);
    }
    if (p->has_line)
        write_line(w, p);
    if (p->is_bye) {
        wr_u8(w, 0x81);
        wr_u8(w, RTCP_BYE);
        wr_u16(w, 1);
        wr_u32(w, p->ssrc);
    }
}

#define CLOCK_HZ 48000.0

void rtcp_source_packet(struct rtcp_source *s, uint32_t ssrc, uint16_t seq, uint32_t ts, ns_t now)
{
    uint32_t arrival = (uint32_t)(uint64_t)((double)(now / NS_PER_US) * (CLOCK_HZ / 1e6));
    int32_t transit = (int32_t)(arrival - ts);

    if (!s->is_started || ssrc != s->ssrc) {
        *s = (struct rtcp_source){.is_started = true, .ssrc = ssrc, .max_seq = seq, .base_seq = seq};
        s->transit = transit;
    }
    if ((int16_t)(seq - s->max_seq) > 0) {
        if (seq < s->max_seq)
            s->cycles += 0x10000;
        s->max_seq = seq;
    }
    s->n_received++;
    double d = fabs((double)(int32_t)((uint32_t)transit - (uint32_t)s->transit));

    s->transit = transit;
    if (d < 5 * CLOCK_HZ) /* a jump of the timestamps is no jitter */
        s->jitter += (d - s->jitter) / 16;
}

void rtcp_source_sr(struct rtcp_source *s, uint64_t ntp, ns_t now)
{
    s->last_sr = (uint32_t)(ntp >> 16);
    s->last_sr_at = now;
}

uint32_t rtcp_source_expected(const struct rtcp_source *s)
{
    return s->is_started ? s->cycles + s->max_seq - s->base_seq + 1 : 0;
}

void rtcp_source_block(struct rtcp_source *s, ns_t now, struct rtcp_block *out)
{
    uint32_t expected = rtcp_source_expected(s);
    int64_t lost = (int64_t)expected - s->n_received;
    int64_t expected_now = (int64_t)expected - s->expected_prior;
    int64_t lost_now = expected_now - ((int64_t)s->n_received - s->received_prior);

    s->expected_prior = expected;
    s->received_prior = s->n_received;
    if (lost > 0x7fffff)
        lost = 0x7fffff;
    if (lost < -0x800000)
        lost = -0x800000;
    *out = (struct rtcp_block){
        .ssrc = s->ssrc,
        .lost = (int32_t)lost,
        .highest = s->cycles + s->max_seq,
        .jitter = (uint32_t)s->jitter,
        .last_sr = s->last_sr,
    };
    if (expected_now > 0 && lost_now > 0)
        out->fraction = (uint8_t)(lost_now >= expected_now ? 255 : lost_now * 256 / expected_now);
    if (s->last_sr)
        out->delay_sr = (uint32_t)((now - s->last_sr_at) / NS_PER_US * 65536 / 1000000);
}

uint64_t rtcp_ntp(ns_t now)
{
    uint64_t s = now / NS_PER_S + 1; /* never 0: that means "no SR" */
    uint64_t f = now % NS_PER_S;

    return s << 32 | (f << 32) / NS_PER_S;
}

ns_t rtcp_rtt(const struct rtcp_block *b, ns_t now)
{
    uint32_t mid = (uint32_t)(rtcp_ntp(now) >> 16);
    uint32_t rtt = mid - b->last_sr - b->delay_sr;

    if (b->last_sr == 0 || rtt > 60 * 65536)
        return 0;
    return (uint64_t)rtt * NS_PER_S / 65536;
}
