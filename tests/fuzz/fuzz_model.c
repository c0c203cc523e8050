/* What a screen keeps of the core's JSON: any text is taken or refused, every shown text is valid UTF-8 without
 * control characters, lists stay within their caps, and the same event twice gives the same model. */
#include <assert.h>
#include <stdlib.h>

#include "app/model.h"
#include "base/mem.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_text(const char *text)
{
    assert(utf8_valid(text, strlen(text)));
    for (; *text != '\0'; text++)
        assert((uint8_t)*text >= 0x20 && *text != 0x7F);
}

static void check(const struct model *m)
{
    size_t n;
    const struct model_contact *c = model_contacts(m, &n);
    const struct model_call *calls;
    const struct model_request *r;

    assert(n <= MODEL_ROWS_MAX);
    for (size_t i = 0; i < n; i++) {
        check_text(c[i].name);
        check_text(c[i].claimed);
        assert(model_contact_by_id(m, c[i].id) != NULL || c[i].id[0] == '\0');
    }
    calls = model_calls(m, &n);
    assert(n <= MODEL_CALLS_MAX);
    for (size_t i = 0; i < n; i++)
        check_text(calls[i].name);
    r = model_requests(m, false, &n);
    for (size_t i = 0; i < n; i++)
        check_text(r[i].note);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const cmds[] = {"status", "contacts",  "requests", "history",    "relays",
                                       "ledger", "voicemail", "messages", "config_show"};
    struct model *m = model_create();
    struct model_change change;
    cJSON *o = cJSON_ParseWithLength((const char *)data, len);
    size_t once, twice;

    for (size_t i = 0; i < sizeof cmds / sizeof *cmds && o != NULL; i++)
        model_answer(m, cmds[i], o);
    check(m);
    if (o != NULL) {
        model_event(m, o, &change);
        model_calls(m, &once);
        model_event(m, o, &change);
        model_calls(m, &twice);
        assert(once == twice);
    }
    check(m);
    cJSON_Delete(o);
    model_destroy(m);
    return 0;
}
