#include "unit/test.h"

#include <string.h>

#include "io/frame.h"

static void put_length(uint8_t *at, size_t n)
{
    at[2] = (uint8_t)(n >> 8);
    at[3] = (uint8_t)n;
}

static void there_and_back(void **state)
{
    static const struct {
        uint8_t first;
        size_t bytes, on_stream;
    } cases[] = {{0, 20, 20},        {1, 108, 108},      {0x40, 4, 4},       {0x40, 5, 8},
                 {0x4f, 92, 92},     {0x7f, 91, 92},     {0xc0, 488, 492},   {0xc3, 1, 5},
                 {0xff, 1200, 1204}, {'d', 300, 304},    {0x40, 1600, 1600}, {1, 2048, 2048},
                 {0x40, 2048, 2048}, {0x40, 2045, 2048}, {0xc0, 2048, 2052}}; /* the longest of each kind */
    uint8_t datagram[FRAME_DATAGRAM_MAX], buf[FRAME_BYTES_MAX];
    struct frame f;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice frame;

        memset(datagram, 0xa5, sizeof datagram);
        datagram[0] = cases[i].first;
        if (cases[i].first < 192 && cases[i].first != 'd')
            put_length(datagram, cases[i].bytes - (cases[i].first < 4 ? 20 : 4));
        frame = frame_write(buf, slice_of(datagram, cases[i].bytes));
        assert_int_equal(frame.len, cases[i].on_stream);
        for (size_t n = 0; n < frame.len; n++)
            assert_int_equal(frame_read(slice_of(buf, n), &f), ERR_AGAIN);
        assert_int_equal(frame_read(frame, &f), ERR_OK);
        assert_int_equal(f.bytes, frame.len);
        assert_int_equal(f.datagram.len, cases[i].bytes);
        assert_memory_equal(f.datagram.data, datagram, cases[i].bytes);
    }
}

static void no_frames(void **state)
{
    static const uint8_t first[] = {4, 22, 'G', 63, 128, 191, 192, 254};
    uint8_t bytes[64] = {0}, buf[FRAME_BYTES_MAX];
    struct frame f;

    (void)state;
    for (size_t i = 0; i < sizeof first; i++) {
        bytes[0] = first[i];
        if (first[i] != 'G') /* 71 is ChannelData to some */
            assert_int_equal(frame_read(slice_of(bytes, sizeof bytes), &f), ERR_PARSE);
    }
    bytes[0] = 0xff;
    assert_int_equal(frame_read(slice_of(bytes, sizeof bytes), &f), ERR_PARSE); /* an empty one */
    bytes[1] = 1;
    assert_int_equal(frame_read(slice_of(bytes, 2), &f), ERR_PARSE);
    bytes[0] = 0;
    put_length(bytes, FRAME_DATAGRAM_MAX - 19);
    assert_int_equal(frame_read(slice_of(bytes, 4), &f), ERR_PARSE); /* no waiting for what is too long */
    bytes[0] = 0x40;
    put_length(bytes, FRAME_DATAGRAM_MAX - 3);
    assert_int_equal(frame_read(slice_of(bytes, 4), &f), ERR_PARSE);
    bytes[0] = 0xff;
    bytes[1] = 0;
    put_length(bytes, FRAME_DATAGRAM_MAX + 1);
    assert_int_equal(frame_read(slice_of(bytes, 4), &f), ERR_PARSE);
    bytes[0] = 0;
    put_length(bytes, 11);
    assert_int_equal(frame_write(buf, slice_of(bytes, 30)).len, 0); /* would end elsewhere on a stream */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a datagram is the same after a stream, and none comes early", there_and_back),
        sentence("what is no frame is told at once", no_frames),
    };

    return run_sentences("frame", tests);
}
