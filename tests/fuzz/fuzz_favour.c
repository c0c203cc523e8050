/* One message between contacts about relays: what parses can be written again, the same bytes. */
#include <assert.h>
#include <string.h>

#include "relay/favour_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t buf[FAVOUR_MESSAGE_MAX];
    struct favour_msg m;
    struct slice again;

    if (favour_parse(slice_of(data, size), &m) != ERR_OK) {
        assert(m.type == 0 && m.n_met == 0 && m.line_s == 0);
        return 0;
    }
    again = favour_write(buf, &m);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    return 0;
}
