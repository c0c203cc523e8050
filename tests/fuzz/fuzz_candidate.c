/* A candidate line that parses is printed, and the print parses to the same print. */
#include <stdlib.h>

#include "nat/candidate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[CANDIDATE_TEXT_BYTES], again[CANDIDATE_TEXT_BYTES];
    struct candidate a, b;

    if (candidate_parse(slice_of(data, size), &a) != ERR_OK)
        return 0;
    candidate_print(&a, text);
    if (candidate_parse(slice_str(text), &b) != ERR_OK || strcmp(candidate_print(&b, again), text) != 0)
        abort();
    if (a.priority != b.priority || a.type != b.type || !addr_equal(&a.addr, &b.addr))
        abort();
    return 0;
}
