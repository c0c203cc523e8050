/* What people paste as an ID: no text crashes, what parses comes out and in again the same, what does not
 * leaves no key and a sentence. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/idtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ids(const char *text)
{
    char name[ID_NAME_BYTES], out[ID_TEXT_BYTES], again_name[ID_NAME_BYTES];
    uint8_t A[KEY_BYTES], again[KEY_BYTES];
    struct err_detail d = {0};

    if (id_parse(text, A, name, &d) == ERR_OK) {
        assert(id_parse(id_format(A, out), again, again_name, NULL) == ERR_OK);
        assert(memcmp(A, again, KEY_BYTES) == 0);
        assert(strlen(name) < ID_NAME_BYTES);
    } else {
        assert(secret_is_zero(A, KEY_BYTES));
        assert(name[0] == '\0' && d.text[0] != '\0');
        for (const char *p = d.text; *p != '\0'; p++)
            assert(*p == '\n' || (*p >= ' ' && *p < 127));
    }
}

static void nodes(const char *text)
{
    uint8_t N[KEY_BYTES], again[KEY_BYTES];
    char out[NODE_TEXT_BYTES];
    struct err_detail d = {0};

    if (node_parse(text, N, &d) == ERR_OK) {
        assert(node_parse(node_format(N, out), again, NULL) == ERR_OK);
        assert(memcmp(N, again, KEY_BYTES) == 0);
    } else {
        assert(secret_is_zero(N, KEY_BYTES) && d.text[0] != '\0');
    }
}

static void bech32m(const char *text)
{
    char hrp[BECH32M_HRP_MAX + 1], out[128];
    uint8_t symbols[90], bytes[60], again[97];
    size_t n, len;

    if (bech32m_decode(text, 90, hrp, symbols, sizeof symbols, &n) != ERR_OK)
        return;
    assert(bech32m_encode(hrp, symbols, n, out, sizeof out) == ERR_OK);
    assert(strlen(out) == strlen(text));
    if (bech32m_to_bytes(symbols, n, bytes, sizeof bytes, &len)) {
        assert(bech32m_from_bytes(slice_of(bytes, len), again) == n);
        assert(memcmp(again, symbols, n) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    assert(text != NULL && crypto_init() == ERR_OK);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    ids(text);
    nodes(text);
    bech32m(text);
    free(text);
    return 0;
}
