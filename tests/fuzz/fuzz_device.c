/* One message between devices of one identity: what parses can be written again, the same bytes. */
#include <assert.h>
#include <string.h>

#include "crypto/device_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t buf[DEVICE_MESSAGE_MAX];
    struct device_msg m;
    struct slice again;

    if (device_parse(slice_of(data, size), &m) != ERR_OK) {
        assert(m.type == 0 && m.list.len == 0 && m.name[0] == '\0');
        return 0;
    }
    again = device_write(buf, &m);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    return 0;
}
