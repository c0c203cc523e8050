/* A list of contacts from a file: all of it or nothing, errors name file and line, and what was printed is read back
 * as the same list. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "store/contacts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_names(const struct contacts *c)
{
    for (size_t i = 0; i < contacts_count(c); i++) {
        const struct contact *one = contacts_at(c, i);
        size_t n = strlen(one->name);

        assert(n <= 64 && utf8_valid(one->name, n) &&
               utf8_columns(one->name, n, false) <= CONTACT_NAME_COLUMNS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char kept[] = "{\"v\":1,\"contacts\":[{\"id\":"
                               "\"ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5\","
                               "\"name\":\"Hanako\",\"list\":\"allowed\"}]}";
    struct contacts *c = contacts_create(NULL, NULL), *again = contacts_create(NULL, NULL);
    struct contacts_import merged, copied;
    struct err_detail detail = {{0}};
    char *before, *after, *copy;

    contacts_import(c, NS_PER_S, "kept.json", slice_of(kept, sizeof kept - 1), &merged, &detail);
    before = contacts_print(c);
    if (contacts_import(c, NS_PER_S, "contacts.json", slice_of(data, len), &merged, &detail) == ERR_OK) {
        assert(merged.bad == 0);
        check_names(c);
        after = contacts_print(c);
        assert(contacts_import(again, NS_PER_S, "copy", slice_of(after, strlen(after)), &copied, &detail) ==
               ERR_OK);
        assert(copied.added == contacts_count(c));
        copy = contacts_print(again);
        assert(strcmp(after, copy) == 0);
        mem_free(copy);
    } else {
        assert(detail.text[0] != '\0');
        after = contacts_print(c);
        assert(strcmp(before, after) == 0);
    }
    mem_free(before);
    mem_free(after);
    contacts_destroy(c);
    contacts_destroy(again);
    return 0;
}
