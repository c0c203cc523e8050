/* io/frame.h - datagrams on a byte stream (THREATS.md §4.14), told apart by their first byte.
 *
 *   0-3      STUN: its own length field tells where it ends (RFC 8489 §6.2.2)
 *   64-127   ChannelData: channel2 len2 data, padded to 4 bytes on a stream (RFC 8656 §12.5)
 *   FF 00    len2 datagram: sessions and knocks, which begin with 192-255; KRPC
 *
 *   trust  anything else (RTP among it), or more than FRAME_DATAGRAM_MAX bytes, is no frame: the stream cannot be followed on */
#ifndef ITO_IO_FRAME_H
#define ITO_IO_FRAME_H

#include "base/err.h"
#include "base/slice.h"

#define FRAME_DATAGRAM_MAX 2048
#define FRAME_BYTES_MAX    (FRAME_DATAGRAM_MAX + 4)

struct frame {
    size_t bytes;          /* on the stream, padding included */
    struct slice datagram; /* inside the stream's bytes */
};

/* The frame that begins the stream. ERR_AGAIN: the rest has not come yet; ERR_PARSE: no frame. */
enum err frame_read(struct slice stream, struct frame *out);
/* The datagram as a frame into buf; empty when it cannot be one. */
struct slice frame_write(uint8_t buf[static FRAME_BYTES_MAX], struct slice datagram);

#endif
