/* Names of other people: a cleaned text is valid, stays the same when cleaned again, and a clipped one fits. */
#include <assert.h>

#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char once[256], twice[256], clipped[256];
    size_t n = utf8_clean((const char *)data, len, once, sizeof once);
    size_t columns = len > 0 ? data[0] % 40 : 0, wide;

    assert(utf8_valid(once, n));
    assert(utf8_clean(once, n, twice, sizeof twice) == n && memcmp(once, twice, n) == 0);
    for (int ambiguous = 0; ambiguous < 2; ambiguous++) {
        wide = utf8_clip((const char *)data, len, columns, ambiguous, clipped, sizeof clipped);
        assert(wide <= columns);
        assert(wide == utf8_columns(clipped, strlen(clipped), ambiguous) || memchr(data, 0, len) != NULL);
        assert(utf8_fit(once, n, columns, ambiguous) <= n);
    }
    return 0;
}
