/* Device lists and certificates: foreign bytes leave no trace when refused; any list and certificate that the
 * identity signs over these bytes opens again to the same, if its keys are keys. */
#include <assert.h>

#include "crypto/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void foreign(struct slice bytes, const struct sign_key *a)
{
    struct device_cert cert;
    struct device_list list;
    struct slice part;
    struct rd r;

    if (device_list_open(bytes, a->pub, &list) != ERR_OK)
        assert(secret_is_zero(&list, sizeof list));
    if (cert_open(bytes, a->pub, &cert) != ERR_OK)
        assert(secret_is_zero(&cert, sizeof cert));
    rd_init(&r, bytes);
    part = device_list_slice(&r);
    assert(rd_ok(&r) == (part.len > 0));
    assert(part.len <= bytes.len && part.len <= (size_t)LIST_MAX_BYTES);
}

/* A list whose fields are the input's; n and slots too. */
static void own(struct slice bytes, const struct sign_key *a)
{
    struct device_list list = {0}, again;
    uint8_t out[LIST_MAX_BYTES], cert[CERT_BYTES];
    struct device_cert c;
    bool is_good = true;
    struct wr w;
    struct rd r;
    enum err e;

    rd_init(&r, bytes);
    list.gen = rd_u32(&r);
    list.n = rd_u8(&r) % (DEVICES_MAX + 2);
    rd_copy(&r, list.next, KEY_BYTES);
    for (size_t i = 0; i < list.n && i < DEVICES_MAX; i++) {
        list.devices[i].slot = rd_u8(&r);
        rd_copy(&r, list.devices[i].D, KEY_BYTES);
        rd_copy(&r, list.devices[i].Q, KEY_BYTES);
        if (rd_u8(&r) % 4 != 0) /* mostly real keys */
            memcpy(list.devices[i].Q, a->pub, KEY_BYTES);
        is_good &= ed_key_valid(list.devices[i].Q);
    }
    if (device_list_sign(a, &list) != ERR_OK)
        return;
    wr_init(&w, out, sizeof out);
    device_list_write(&w, &list);
    e = device_list_open(wr_done(&w), a->pub, &again);
    assert(e == (is_good ? ERR_OK : ERR_PARSE));
    assert(!is_good || memcmp(&list, &again, sizeof list) == 0);
    assert(cert_make(a, list.gen, &list.devices[0], list.next, cert) == ERR_OK);
    e = cert_open(slice_of(cert, CERT_BYTES), list.devices[0].D, &c);
    assert(e == (ed_key_valid(list.devices[0].Q) ? ERR_OK : ERR_PARSE));
    assert(e != ERR_OK || cert_check(&c, &list) == CERT_LISTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t seed[KEY_BYTES] = {1};
    struct sign_key a;

    assert(crypto_init() == ERR_OK);
    sign_key_from_seed(seed, &a);
    foreign(slice_of(data, size), &a);
    own(slice_of(data, size), &a);
    return 0;
}
