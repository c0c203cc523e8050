/* A head that parses is the same with whatever follows it, and every shorter one is not whole or as bad. */
#include <stdlib.h>
#include <string.h>

#include "io/http_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void holds(bool is_true)
{
    if (!is_true)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request r, again;
    enum err e = http_request_parse(slice_of(data, size), &r);

    holds(memchr(r.path, '\0', sizeof r.path) != NULL);
    holds(e == ERR_OK || e == ERR_AGAIN || e == ERR_PARSE || e == ERR_FULL || e == ERR_REFUSED);
    if (e == ERR_AGAIN)
        holds(size < HTTP_HEAD_MAX);
    if (e != ERR_OK)
        return 0;
    holds(r.path[0] == '/' && strchr(r.path, '?') == NULL && strchr(r.path, ' ') == NULL);
    for (size_t n = size; n > 0; n--) {
        e = http_request_parse(slice_of(data, n - 1), &again);
        if (e == ERR_AGAIN)
            break;
        holds(e == ERR_OK && again.method == r.method && strcmp(again.path, r.path) == 0);
    }
    return 0;
}
