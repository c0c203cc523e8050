/* RTP, RED, telephone-event and RTCP: whatever comes in; what was read and is written again reads the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "media/rtcp.h"
#include "media/rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_red(struct slice payload)
{
    uint8_t out[4096];
    struct red r, again;
    struct wr w;

    if (red_parse(payload, &r) != ERR_OK) {
        assert(r.n == 0 && r.primary.data.len == 0);
        return;
    }
    if (payload.len > sizeof out)
        return;
    wr_init(&w, out, sizeof out);
    red_write(&w, &r);
    assert(wr_ok(&w));
    assert(red_parse(wr_done(&w), &again) == ERR_OK);
    assert(again.n == r.n && slice_equal(again.primary.data, r.primary.data));
    for (unsigned i = 0; i < r.n; i++)
        assert(again.copy[i].offset == r.copy[i].offset && slice_equal(again.copy[i].data, r.copy[i].data));
}

static void same_rtp(struct slice bytes)
{
    uint8_t out[4096];
    struct rtp_packet p, again;
    struct dtmf d;
    struct wr w;

    if (rtp_parse(bytes, &p) != ERR_OK) {
        assert(p.payload.data == NULL && p.ssrc == 0);
        return;
    }
    assert(p.payload.len + RTP_HEADER_BYTES <= bytes.len);
    same_red(p.payload);
    dtmf_parse(p.payload, &d);
    if (p.payload.len + 300 > sizeof out)
        return;
    wr_init(&w, out, sizeof out);
    rtp_write(&w, &p, bytes.len);
    assert(rtp_parse(wr_done(&w), &again) == ERR_OK);
    assert(again.seq == p.seq && again.ts == p.ts && again.ssrc == p.ssrc && again.type == p.type);
    assert(again.has_marker == p.has_marker && slice_equal(again.payload, p.payload));
}

static void same_rtcp(struct slice bytes)
{
    uint8_t out[RTCP_PACKET_MAX];
    struct rtcp_report r, again;
    struct wr w;

    if (rtcp_parse(bytes, 9, &r) != ERR_OK)
        return;
    wr_init(&w, out, sizeof out);
    rtcp_write(&w, &r);
    assert(wr_ok(&w));
    assert(rtcp_parse(wr_done(&w), 9, &again) == ERR_OK);
    assert(again.ssrc == r.ssrc && again.has_sr == r.has_sr && again.ntp == r.ntp &&
           again.is_bye == r.is_bye);
    assert(again.has_block == r.has_block && again.block.lost == r.block.lost);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);

    same_rtp(bytes);
    same_rtcp(bytes);
    same_red(bytes);
    return 0;
}
