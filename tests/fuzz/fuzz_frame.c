/* A stream cut anywhere gives the same datagrams, and each of them written again is what was read. */
#include <stdlib.h>
#include <string.h>

#include "io/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0;
    struct frame f, again;

    while (at < size && frame_read(slice_of(data + at, size - at), &f) == ERR_OK) {
        uint8_t buf[FRAME_BYTES_MAX];
        struct slice written = frame_write(buf, f.datagram);

        if (f.bytes == 0 || f.bytes > size - at || f.datagram.len > f.bytes ||
            f.datagram.len > FRAME_DATAGRAM_MAX)
            abort();
        for (size_t n = 0; n < f.bytes && n < 64; n++)
            if (frame_read(slice_of(data + at, n), &again) != ERR_AGAIN)
                abort();
        /* Padding may hold anything; it is written as zeros. */
        if (written.len != f.bytes || frame_read(written, &again) != ERR_OK || again.bytes != f.bytes ||
            !slice_equal(again.datagram, f.datagram))
            abort();
        at += f.bytes;
    }
    return 0;
}
