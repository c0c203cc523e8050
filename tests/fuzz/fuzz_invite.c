/* An invite as text, and (first byte even) as the bytes behind itoi1: what parses comes out and in again the
 * same, what does not leaves nothing. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/invite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text)
{
    struct invite inv, again;
    struct err_detail d = {0};
    char out[INVITE_TEXT_BYTES];

    if (invite_parse(text, &inv, &d) != ERR_OK) {
        assert(secret_is_zero(&inv, sizeof inv) && d.text[0] != '\0');
        return;
    }
    assert(invite_is(text));
    assert(invite_format(&inv, out) == ERR_OK);
    assert(invite_parse(out, &again, NULL) == ERR_OK);
    memset(inv.name, 0, sizeof inv.name); /* not written */
    assert(memcmp(&inv, &again, sizeof inv) == 0);
}

/* With a right checksum, so that the fuzzer need not find one. */
static void check_bytes(struct slice raw)
{
    uint8_t symbols[400];
    char code[500], text[700];

    if (raw.len > 200)
        return;
    if (bech32m_encode("itoi", symbols, bech32m_from_bytes(raw, symbols), code, sizeof code) != ERR_OK)
        return;
    snprintf(text, sizeof text, "ito:ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5?i=%s",
             code);
    check(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    assert(text != NULL && crypto_init() == ERR_OK);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (size > 0 && data[0] % 2 == 0)
        check_bytes(slice_of(data + 1, size - 1));
    check(text);
    free(text);
    return 0;
}
