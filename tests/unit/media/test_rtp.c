#include "unit/test.h"

#include "media/rtp.h"

/* RFC 3550 §5.1: V=2, X, CC=2, M, PT 96, seq 0x1234, ts, ssrc, two CSRCs, an extension of one word. */
static const uint8_t full[] = {0xb2, 0xe0, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xaa, 0xbb, 0xcc,
                               0xdd, 1,    1,    1,    1,    2,    2,    2,    2,    0xbe, 0xde,
                               0,    1,    9,    9,    9,    9,    'h',  'i',  0,    2};

static void layout(void **state)
{
    struct rtp_packet p;

    (void)state;
    assert_int_equal(rtp_parse(slice_of(full, sizeof full), &p), ERR_OK);
    assert_int_equal(p.type, 96);
    assert_true(p.has_marker);
    assert_int_equal(p.seq, 0x1234);
    assert_int_equal(p.ts, 0x01020304);
    assert_int_equal(p.ssrc, 0xaabbccdd);
    assert_true(slice_is(p.payload, "hi"));
}

static void written_is_read(void **state)
{
    struct rtp_packet p = {.type = 111, .seq = 65535, .ts = 0xfffffff0, .ssrc = 7}, q;
    uint8_t buf[64];
    struct wr w;

    (void)state;
    p.payload = slice_str("opus");
    wr_init(&w, buf, sizeof buf);
    rtp_write(&w, &p, 0);
    assert_int_equal(wr_len(&w), RTP_HEADER_BYTES + 4);
    assert_int_equal(buf[0], 0x80);
    assert_int_equal(buf[1], 111);
    assert_int_equal(rtp_parse(wr_done(&w), &q), ERR_OK);
    assert_int_equal(q.seq, 65535);
    assert_int_equal(q.ts, 0xfffffff0);
    assert_true(slice_is(q.payload, "opus"));
}

static void padding_fills_up(void **state)
{
    struct rtp_packet p = {.type = 1}, q;
    uint8_t buf[64];
    struct wr w;

    (void)state;
    p.payload = slice_str("ab");
    wr_init(&w, buf, sizeof buf);
    rtp_write(&w, &p, 40);
    assert_int_equal(wr_len(&w), 40);
    assert_int_equal(rtp_parse(wr_done(&w), &q), ERR_OK);
    assert_true(slice_is(q.payload, "ab"));
}

static void bad_packets(void **state)
{
    uint8_t b[sizeof full];
    struct rtp_packet p;

    (void)state;
    for (size_t n = 0; n < 28; n++)
        assert_int_not_equal(rtp_parse(slice_of(full, n), &p), ERR_OK);
    memcpy(b, full, sizeof b);
    b[0] = 0x72;
    assert_int_equal(rtp_parse(slice_of(b, sizeof b), &p), ERR_VERSION);
    b[0] = full[0];
    b[sizeof b - 1] = 0;
    assert_int_equal(rtp_parse(slice_of(b, sizeof b), &p), ERR_PARSE);
    b[sizeof b - 1] = 5;
    assert_int_equal(rtp_parse(slice_of(b, sizeof b), &p), ERR_PARSE);
}

static void rtcp_by_second_byte(void **state)
{
    uint8_t b[2] = {0x80, 191};

    (void)state;
    assert_false(rtp_is_rtcp(slice_of(b, 2)));
    b[1] = 200;
    assert_true(rtp_is_rtcp(slice_of(b, 2)));
    assert_false(rtp_is_rtcp(slice_of(b, 1)));
    b[1] = 224;
    assert_false(rtp_is_rtcp(slice_of(b, 2)));
}

/* RFC 2198 §3: F, type, 14 bits of offset, 10 of length. */
static void red_layout(void **state)
{
    static const uint8_t bytes[] = {0x80 | 111, 0x0f, 0x00, 0x03, 111, 'o', 'l', 'd', 'n', 'e', 'w'};
    struct red r;
    uint8_t out[32];
    struct wr w;

    (void)state;
    assert_int_equal(red_parse(slice_of(bytes, sizeof bytes), &r), ERR_OK);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.copy[0].type, 111);
    assert_int_equal(r.copy[0].offset, 960);
    assert_true(slice_is(r.copy[0].data, "old"));
    assert_int_equal(r.primary.type, 111);
    assert_true(slice_is(r.primary.data, "new"));
    wr_init(&w, out, sizeof out);
    red_write(&w, &r);
    assert_true(slice_equal(wr_done(&w), slice_of(bytes, sizeof bytes)));
}

static void red_too_long(void **state)
{
    static const uint8_t beyond[] = {0x80 | 111, 0x0f, 0x00, 0x09, 111, 'o', 'l', 'd'};
    uint8_t many[17 * 4 + 1];
    struct red r;

    (void)state;
    assert_int_equal(red_parse(slice_of(beyond, sizeof beyond), &r), ERR_PARSE);
    assert_int_equal(r.n, 0);
    assert_int_equal(red_parse(slice_of("", 0), &r), ERR_PARSE);
    memset(many, 0, sizeof many);
    for (unsigned i = 0; i < 17; i++)
        many[4 * i] = 0xef;
    assert_int_equal(red_parse(slice_of(many, sizeof many), &r), ERR_PARSE);
    many[6 * 4] = 0x6f; /* six copies of nothing: the newest RED_COPIES_MAX count */
    for (unsigned i = 0; i < 6; i++)
        many[4 * i + 1] = (uint8_t)(10 - i);
    assert_int_equal(red_parse(slice_of(many, 6 * 4 + 1), &r), ERR_OK);
    assert_int_equal(r.n, RED_COPIES_MAX);
    assert_int_equal(r.copy[RED_COPIES_MAX - 1].offset, 5 << 6);
}

/* RFC 4733 §2.3: event 11 is #, end, volume 10, duration 2400. */
static void event_layout(void **state)
{
    static const uint8_t bytes[] = {11, 0x8a, 0x09, 0x60};
    struct dtmf d;
    uint8_t out[4];
    struct wr w;

    (void)state;
    assert_int_equal(dtmf_parse(slice_of(bytes, 4), &d), ERR_OK);
    assert_int_equal(dtmf_key(d.event), '#');
    assert_true(d.is_end);
    assert_int_equal(d.volume, 10);
    assert_int_equal(d.duration, 2400);
    wr_init(&w, out, sizeof out);
    dtmf_write(&w, &d);
    assert_memory_equal(out, bytes, 4);
    assert_int_equal(dtmf_parse(slice_of(bytes, 3), &d), ERR_PARSE);
    assert_int_equal(dtmf_parse(slice_of("\x10\0\0\0", 4), &d), ERR_RANGE);
}

static void keys(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++)
        assert_int_equal(dtmf_event(dtmf_key((uint8_t)i)), i);
    assert_int_equal(dtmf_event('a'), 12);
    assert_int_equal(dtmf_event('x'), -1);
    assert_int_equal(dtmf_event('\0'), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a header with CSRCs, extension and padding is read as RFC 3550 lays it out", layout),
        sentence("a packet written is the packet read", written_is_read),
        sentence("padding brings a packet to the size asked for and is not payload", padding_fills_up),
        sentence("a packet cut anywhere in its header, of another version or badly padded is refused",
                 bad_packets),
        sentence("RTCP is told from RTP by its second byte", rtcp_by_second_byte),
        sentence("a redundant payload is laid out as RFC 2198 says", red_layout),
        sentence("a redundant payload that points outside or never ends is refused", red_too_long),
        sentence("a telephone event is laid out as RFC 4733 says", event_layout),
        sentence("every key has its event number", keys),
    };

    return run_sentences("rtp", tests);
}
