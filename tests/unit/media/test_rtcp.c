#include "unit/test.h"

#include "media/rtcp.h"

/* RFC 3550 §6.4.1: SR with one block, then SDES with a CNAME, then BYE. */
static const uint8_t compound[] = {
    0x81, 200, 0,    12,   0,    0,    0,    1,                  /* V RC PT length ssrc */
    0,    0,   0,    2,    0x80, 0,    0,    0,                  /* ntp */
    0,    0,   0x12, 0x34, 0,    0,    0,    5,    0, 0, 1,   0, /* ts, packets, bytes */
    0,    0,   0,    9,    0x40, 0xff, 0xff, 0xfe,               /* about 9: a quarter, -2 */
    0,    1,   0,    2,    0,    0,    0,    48,                 /* highest, jitter */
    0,    2,   0x80, 0,    0,    1,    0,    0,                  /* last SR, delay 1 s */
    0x81, 202, 0,    3,    0,    0,    0,    1,    1, 4, 'a', 'b', 'c', 'd', 0, 0, /* SDES */
    0x81, 203, 0,    1,    0,    0,    0,    1,                                    /* BYE */
};

static void layout(void **state)
{
    struct rtcp_report r;

    (void)state;
    assert_int_equal(rtcp_parse(slice_of(compound, sizeof compound), 9, &r), ERR_OK);
    assert_int_equal(r.ssrc, 1);
    assert_true(r.has_sr);
    assert_true(r.ntp == 0x0000000280000000ull);
    assert_int_equal(r.ts, 0x1234);
    assert_int_equal(r.n_packets, 5);
    assert_int_equal(r.n_bytes, 256);
    assert_true(r.has_block);
    assert_int_equal(r.block.fraction, 64);
    assert_int_equal(r.block.lost, -2);
    assert_int_equal(r.block.highest, 0x10002);
    assert_int_equal(r.block.jitter, 48);
    assert_int_equal(r.block.last_sr, 0x28000);
    assert_int_equal(r.block.delay_sr, 65536);
    assert_string_equal(r.cname, "abcd");
    assert_true(r.is_bye);
}

static void not_about_us(void **state)
{
    struct rtcp_report r;

    (void)state;
    assert_int_equal(rtcp_parse(slice_of(compound, sizeof compound), 8, &r), ERR_OK);
    assert_false(r.has_block);
}

static void written_is_read(void **state)
{
    struct rtcp_report p, q;
    uint8_t out[RTCP_PACKET_MAX];
    struct wr w;

    (void)state;
    assert_int_equal(rtcp_parse(slice_of(compound, sizeof compound), 9, &p), ERR_OK);
    wr_init(&w, out, sizeof out);
    rtcp_write(&w, &p);
    assert_true(wr_ok(&w));
    assert_int_equal(wr_len(&w), sizeof compound);
    assert_memory_equal(out, compound, sizeof compound);
    assert_int_equal(rtcp_parse(wr_done(&w), 9, &q), ERR_OK);
    assert_memory_equal(&p, &q, sizeof p);
}

static void a_line(void **state)
{
    static const uint8_t app[] = {0x80, 204, 0, 3, 0, 0, 0, 1, 'L', 'I', 'N', 'E', 51, 0, 0, 0};
    struct rtcp_report p = {.ssrc = 1, .has_line = true, .line_lost = 51}, q;
    uint8_t out[RTCP_PACKET_MAX];
    struct wr w;

    (void)state;
    wr_init(&w, out, sizeof out);
    rtcp_write(&w, &p);
    assert_int_equal(wr_len(&w), 8 + sizeof app);
    assert_memory_equal(out + 8, app, sizeof app);
    assert_int_equal(rtcp_parse(wr_done(&w), 9, &q), ERR_OK);
    assert_true(q.has_line);
    assert_int_equal(q.line_lost, 51);
    out[16] = 'F'; /* somebody else's */
    assert_int_equal(rtcp_parse(slice_of(out, 8 + sizeof app), 9, &q), ERR_OK);
    assert_false(q.has_line);
    out[16] = 'L';
    out[11] = 2; /* the name and nothing behind it */
    assert_int_equal(rtcp_parse(slice_of(out, 8 + 12), 9, &q), ERR_OK);
    assert_false(q.has_line);
    out[11] = 1; /* not even a name */
    assert_int_equal(rtcp_parse(slice_of(out, 8 + 8), 9, &q), ERR_PARSE);
}

static void bad_compounds(void **state)
{
    uint8_t b[sizeof compound];
    struct rtcp_report r;

    (void)state;
    assert_int_equal(rtcp_parse(slice_of(b, 0), 9, &r), ERR_PARSE);
    for (size_t n = 1; n < 52; n++)
        assert_int_not_equal(rtcp_parse(slice_of(compound, n), 9, &r), ERR_OK);
    assert_int_equal(rtcp_parse(slice_of(compound + 52, 16), 9, &r), ERR_PARSE); /* SDES first */
    memcpy(b, compound, sizeof b);
    b[0] = 0x82; /* more blocks than there is room for */
    assert_int_equal(rtcp_parse(slice_of(b, sizeof b), 9, &r), ERR_PARSE);
    b[0] = 0x41;
    assert_int_equal(rtcp_parse(slice_of(b, sizeof b), 9, &r), ERR_VERSION);
}

static void reception(void **state)
{
    struct rtcp_source s = {0};
    struct rtcp_block b;
    ns_t now = 5 * NS_PER_S;

    (void)state;
    for (unsigned i = 0; i < 100; i++, now += 20 * NS_PER_MS)
        if (i % 4 != 3) /* every fourth is lost; the number wraps on the way */
            rtcp_source_packet(&s, 77, (uint16_t)(65500 + i), 960 * i, now);
    assert_int_equal(rtcp_source_expected(&s), 99); /* the last one was lost and cannot be missed yet */
    rtcp_source_block(&s, now, &b);
    assert_int_equal(b.ssrc, 77);
    assert_int_equal(b.lost, 24);
    assert_int_equal(b.highest, 65500 + 98);
    assert_int_equal(b.fraction, 24 * 256 / 99);
    assert_int_equal(b.jitter, 0);
    rtcp_source_block(&s, now, &b);
    assert_int_equal(b.fraction, 0); /* nothing in this interval */
    assert_int_equal(b.lost, 24);
}

static void jitter_grows(void **state)
{
    struct rtcp_source s = {0};
    struct rtcp_block b;
    ns_t now = 5 * NS_PER_S;

    (void)state;
    for (unsigned i = 0; i < 400; i++, now += 20 * NS_PER_MS) /* late by 10 ms every other time */
        rtcp_source_packet(&s, 77, (uint16_t)i, 960 * i, now + (i & 1 ? 10 * NS_PER_MS : 0));
    rtcp_source_block(&s, now, &b);
    assert_in_range(b.jitter, 470, 490);
}

static void round_trip(void **state)
{
    struct rtcp_source s = {0};
    struct rtcp_block b;
    ns_t sent = 100 * NS_PER_S, rtt;

    (void)state;
    rtcp_source_packet(&s, 1, 1, 1, sent);
    rtcp_source_sr(&s, rtcp_ntp(sent), 7 * NS_PER_S); /* their clock is another one */
    rtcp_source_block(&s, 8 * NS_PER_S, &b);          /* answered a second later */
    rtt = rtcp_rtt(&b, sent + NS_PER_S + 48 * NS_PER_MS);
    assert_in_range(rtt, 47900 * NS_PER_US, 48100 * NS_PER_US);
    b.last_sr = 0;
    assert_int_equal(rtcp_rtt(&b, sent), 0);
    b.last_sr = (uint32_t)(rtcp_ntp(sent + NS_PER_S) >> 16); /* answered before it was asked */
    assert_int_equal(rtcp_rtt(&b, sent), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a compound of SR, SDES and BYE is read as RFC 3550 lays it out", layout),
        sentence("a block about another source is not ours", not_about_us),
        sentence("a report written is the report read, byte for byte", written_is_read),
        sentence("APP LINE tells what a line loses; other names are skipped", a_line),
        sentence("a compound that is cut, starts wrongly or counts wrongly is refused", bad_compounds),
        sentence("losses are counted over a wrap of the sequence number", reception),
        sentence("jitter settles at the alternating delay", jitter_grows),
        sentence("the round trip is what remains without the time the peer held the report", round_trip),
    };

    return run_sentences("rtcp", tests);
}
