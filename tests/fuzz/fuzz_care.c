/* One message between a caretaker and its client: what parses can be written again, the same bytes. */
#include <assert.h>
#include <string.h>

#include "relay/care_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t buf[CARE_MESSAGE_MAX];
    struct care_msg m;
    struct slice again;

    if (care_parse(slice_of(data, size), &m) != ERR_OK) {
        assert(m.type == 0 && m.item.v_len == 0 && m.req == 0);
        return 0;
    }
    again = care_write(buf, sizeof buf, &m);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    return 0;
}
