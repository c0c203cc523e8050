/* config.json as somebody may have edited it: taken whole or not at all, each error names the file, and what was
 * printed is read back as the same. */
#include <assert.h>
#include <string.h>

#include "app/config.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct config *c = config_create(), *again = config_create();
    struct config_errors errors = {0}, none = {0};
    struct err_detail detail;
    char *before, *after, *copy;

    assert(config_set(c, NULL, "relay.max_calls", "7", &detail) == ERR_OK);
    before = config_print(c);
    if (config_parse(c, "config.json", slice_of(data, len), &errors) == ERR_OK) {
        assert(errors.n == 0);
        after = config_print(c);
        assert(config_parse(again, "copy", slice_of(after, strlen(after)), &none) == ERR_OK);
        copy = config_print(again);
        assert(strcmp(after, copy) == 0);
        mem_free(copy);
    } else {
        assert(errors.n > 0 && errors.n <= CONFIG_ERRORS_MAX);
        for (unsigned i = 0; i < errors.n; i++)
            assert(strncmp(errors.lines[i], "config.json:", 12) == 0);
        after = config_print(c);
        assert(strcmp(before, after) == 0);
    }
    mem_free(before);
    mem_free(after);
    config_errors_fini(&errors);
    config_errors_fini(&none);
    config_destroy(c);
    config_destroy(again);
    return 0;
}
