#include "io/frame.h"

#include <string.h>

#define STUN_HEADER   20
#define HEADER        4
#define FIRST_WRAPPED 192

enum kind { STUN, CHANNEL, WRAPPED, NONE };

static enum kind kind_of(uint8_t first)
{
    if (first <= 3)
        return STUN;
    if (first >= 64 && first <= 127)
        return CHANNEL;
    return first == 0xff ? WRAPPED : NONE;
}

/* KRPC begins with `d`, as do some channels: which it is, the length tells when it is written. */
static bool is_wrapped(uint8_t first)
{
    return first >= FIRST_WRAPPED || first == 'd';
}

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

/* Does this datagram say of itself how long it is, rightly? */
static bool tells_its_length(struct slice d, enum kind kind)
{
    size_t len = d.len < HEADER ? 0 : (size_t)(d.data[2] << 8 | d.data[3]);

    return d.len >= HEADER && d.len == len + (kind == STUN ? STUN_HEADER : HEADER);
}

static bool is_channel(struct slice d)
{
    return kind_of(d.data[0]) == CHANNEL && tells_its_length(d, CHANNEL);
}

enum err frame_read(struct slice stream, struct frame *out)
{
    enum kind kind = stream.len == 0 ? STUN : kind_of(stream.data[0]);
    size_t len, datagram;

    if (kind == NONE || (kind == WRAPPED && stream.len > 1 && stream.data[1] != 0))
        return ERR_PARSE;
    if (stream.len < HEADER)
        return ERR_AGAIN;
    len = (size_t)(stream.data[2] << 8 | stream.data[3]);
    datagram = kind == STUN ? STUN_HEADER + len : kind == CHANNEL ? HEADER + len : len;
    if (datagram > FRAME_DATAGRAM_MAX || datagram == 0)
        return ERR_PARSE;
    out->bytes = kind == CHANNEL ? padded(datagram) : kind == WRAPPED ? HEADER + datagram : datagram;
    if (stream.len < out->bytes)
        return ERR_AGAIN;
    if (kind == WRAPPED) {
        out->datagram = slice_of(stream.data + HEADER, datagram);
        if (!is_wrapped(out->datagram.data[0]) || is_channel(out->datagram))
            return ERR_PARSE;
    } else {
        out->datagram = slice_of(stream.data, datagram);
    }
    return ERR_OK;
}

struct slice frame_write(uint8_t buf[static FRAME_BYTES_MAX], struct slice datagram)
{
    enum kind kind = datagram.len == 0 ? NONE : kind_of(datagram.data[0]);
    size_t n = datagram.len;

    if (n == 0 || n > FRAME_DATAGRAM_MAX)
        return slice_of(buf, 0);
    if (is_wrapped(datagram.data[0]) && !is_channel(datagram)) {
        buf[0] = 0xff;
        buf[1] = 0;
        buf[2] = (uint8_t)(n >> 8);
        buf[3] = (uint8_t)n;
        memcpy(buf + HEADER, datagram.data, n);
        return slice_of(buf, HEADER + n);
    }
    if (kind == NONE || !tells_its_length(datagram, kind))
        return slice_of(buf, 0);
    memcpy(buf, datagram.data, n);
    if (kind == CHANNEL) {
        memset(buf + n, 0, padded(n) - n);
        n = padded(n);
    }
    return slice_of(buf, n);
}
