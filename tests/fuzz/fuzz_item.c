/* Records inside items, and sealed values: what parses is written and parsed again the same; a foreign value
 * neither opens nor verifies; any plain text up to the cap seals and opens. */
#include <assert.h>

#include "crypto/item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void records(struct slice bytes)
{
    struct dev_record dev, dev2;
    struct card_record card, card2;
    uint8_t out[ITEM_PLAIN_MAX], out2[ITEM_PLAIN_MAX];
    size_t len, len2;

    if (dev_record_parse(bytes, &dev) != ERR_OK) {
        assert(secret_is_zero(&dev, sizeof dev));
    } else if (dev_record_write(&dev, out, &len) == ERR_OK) {
        assert(dev_record_parse(slice_of(out, len), &dev2) == ERR_OK);
        assert(dev_record_write(&dev2, out2, &len2) == ERR_OK);
        assert(len == len2 && memcmp(out, out2, len) == 0);
    }
    if (card_record_parse(bytes, &card) != ERR_OK) {
        assert(secret_is_zero(&card, sizeof card));
    } else if (card_record_write(&card, out, &len) == ERR_OK) {
        assert(card_record_parse(slice_of(out, len), &card2) == ERR_OK);
        assert(card_record_write(&card2, out2, &len2) == ERR_OK);
        assert(len == len2 && memcmp(out, out2, len) == 0);
    }
}

static void no_random(void *world, void *out, size_t n)
{
    (void)world;
    memset(out, 0x5a, n);
}

static void values(struct slice bytes)
{
    static const struct env_ops ops = {.random = no_random};
    const struct env env = {.ops = &ops};
    uint8_t X[KEY_BYTES] = {1}, P[KEY_BYTES] = {2}, v[ITEM_SEALED_MAX], plain[ITEM_PLAIN_MAX];
    struct item item = {0};
    uint16_t v_len;
    size_t len;

    assert(item_open(X, P, bytes, plain, &len) != ERR_OK);
    assert(len == 0);
    item.v_len = (uint16_t)(bytes.len < ITEM_V_MAX ? bytes.len : ITEM_V_MAX);
    if (item.v_len > 0)
        memcpy(item.v, bytes.data, item.v_len);
    assert(item_verify(&item) == ERR_AUTH);
    if (item_seal(&env, X, P, bytes, v, &v_len) != ERR_OK) {
        assert(bytes.len > ITEM_PLAIN_MAX);
        return;
    }
    assert(item_open(X, P, slice_of(v, v_len), plain, &len) == ERR_OK);
    assert(len == bytes.len && (len == 0 || memcmp(plain, bytes.data, len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    assert(crypto_init() == ERR_OK);
    records(slice_of(data, size));
    values(slice_of(data, size));
    return 0;
}
