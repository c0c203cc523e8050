#include "crypto/cert.h"

/* Signed device list, LIST_BYTES(n) bytes.
 *
 *   offset   size  field   notes
 *   0        4     gen     rises with every change
 *   4        32    next    identity_next() of the successor
 *   36       1     n       1..8
 *   37       65·n  devices slot1 D32 Q32; slots all different
 *   37+65·n  64    sig     identity, over "itodenwa-list-v1" and all before
 *
 * Certificate, 165 bytes.
 *
 *   0        32    A       identity key
 *   32       4     gen
 *   36       1     slot
 *   37       32    Q
 *   69       32    next
 *   101      64    sig     A, over "itodenwa-device-v1" || gen4 || slot1 || D32 || Q32 || next32 */

#define LIST_BODY_MAX (LIST_MAX_BYTES - SIG_BYTES)

static void write_body(struct wr *w, const struct device_list *list)
{
    wr_u32(w, list->gen);
    wr_bytes(w, list->next, KEY_BYTES);
    wr_u8(w, list->n);
    for (size_t i = 0; i < list->n; i++) {
        wr_u8(w, list->devices[i].slot);
        wr_bytes(w, list->devices[i].D, KEY_BYTES);
        wr_bytes(w, list->devices[i].Q, KEY_BYTES);
    }
}

static bool has_repeated_slot(const struct device_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        for (size_t j = 0; j < i; j++)
            if (list->devices[i].slot == list->devices[j].slot)
                return true;
    return false;
}

enum err device_list_sign(const struct sign_key *identity, struct device_list *list)
{
    uint8_t body[LIST_BODY_MAX];
    struct slice bytes;
    struct wr w;

    if (list->n < 1 || list->n > DEVICES_MAX || has_repeated_slot(list))
        return ERR_RANGE;
    wr_init(&w, body, sizeof body);
    write_body(&w, list);
    bytes = wr_done(&w);
    return sign_parts(identity, SIGN_LIST, &bytes, 1, list->sig);
}

void device_list_write(struct wr *w, const struct device_list *list)
{
    write_body(w, list);
    wr_bytes(w, list->sig, SIG_BYTES);
}

struct slice device_list_slice(struct rd *r)
{
    struct rd peek = *r;
    uint8_t n;

    rd_skip(&peek, 4 + KEY_BYTES);
    n = rd_u8(&peek);
    if (!rd_ok(&peek) || n < 1 || n > DEVICES_MAX) {
        rd_fail(r);
        return (struct slice){0};
    }
    return rd_bytes(r, (size_t)LIST_BYTES(n));
}

static void read_list(struct rd *r, struct device_list *out)
{
    out->gen = rd_u32(r);
    rd_copy(r, out->next, KEY_BYTES);
    out->n = rd_u8(r);
    if (out->n < 1 || out->n > DEVICES_MAX) {
        rd_fail(r);
        return;
    }
    for (size_t i = 0; i < out->n; i++) {
        out->devices[i].slot = rd_u8(r);
        rd_copy(r, out->devices[i].D, KEY_BYTES);
        rd_copy(r, out->devices[i].Q, KEY_BYTES);
    }
    rd_copy(r, out->sig, SIG_BYTES);
}

static bool has_valid_keys(const struct device_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (!ed_key_valid(list->devices[i].Q))
            return false;
    return true;
}

enum err device_list_open(struct slice bytes, const uint8_t A[static KEY_BYTES], struct device_list *out)
{
    struct slice body;
    struct rd r;
    enum err e = ERR_PARSE;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    read_list(&r, out);
    if (!rd_done(&r) || has_repeated_slot(out) || !ed_key_valid(A))
        goto out;
    body = slice_of(bytes.data, bytes.len - SIG_BYTES);
    e = verify_parts(A, SIGN_LIST, &body, 1, out->sig);
    if (e == ERR_OK && !has_valid_keys(out))
        e = ERR_PARSE;
out:
    if (e != ERR_OK)
        memset(out, 0, sizeof *out);
    return e;
}

const struct device_entry *device_list_find(const struct device_list *list, uint8_t slot)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->devices[i].slot == slot)
            return &list->devices[i];
    return NULL;
}

/* What a certificate's signature covers, but for the context. */
static struct slice cert_body(const struct device_cert *c, uint8_t buf[static CERT_BYTES])
{
    struct wr w;

    wr_init(&w, buf, CERT_BYTES);
    wr_u32(&w, c->gen);
    wr_u8(&w, c->slot);
    wr_bytes(&w, c->D, KEY_BYTES);
    wr_bytes(&w, c->Q, KEY_BYTES);
    wr_bytes(&w, c->next, KEY_BYTES);
    return wr_done(&w);
}

enum err cert_make(const struct sign_key *identity, uint32_t gen, const struct device_entry *device,
                   const uint8_t next[static KEY_BYTES], uint8_t out[static CERT_BYTES])
{
    struct device_cert c = {.gen = gen, .slot = device->slot};
    uint8_t buf[CERT_BYTES], sig[SIG_BYTES];
    struct slice body;
    struct wr w;
    enum err e;

    memset(out, 0, CERT_BYTES);
    memcpy(c.D, device->D, KEY_BYTES);
    memcpy(c.Q, device->Q, KEY_BYTES);
    memcpy(c.next, next, KEY_BYTES);
    body = cert_body(&c, buf);
    e = sign_parts(identity, SIGN_DEVICE, &body, 1, sig);
    if (e != ERR_OK)
        return e;
    wr_init(&w, out, CERT_BYTES);
    wr_bytes(&w, identity->pub, KEY_BYTES);
    wr_u32(&w, gen);
    wr_u8(&w, device->slot);
    wr_bytes(&w, device->Q, KEY_BYTES);
    wr_bytes(&w, next, KEY_BYTES);
    wr_bytes(&w, sig, SIG_BYTES);
    return wr_ok(&w) ? ERR_OK : ERR_INTERNAL;
}

enum err cert_open(struct slice bytes, const uint8_t D[static KEY_BYTES], struct device_cert *out)
{
    uint8_t buf[CERT_BYTES], sig[SIG_BYTES];
    struct slice body;
    struct rd r;
    enum err e = ERR_PARSE;

    rd_init(&r, bytes);
    rd_copy(&r, out->A, KEY_BYTES);
    out->gen = rd_u32(&r);
    out->slot = rd_u8(&r);
    rd_copy(&r, out->Q, KEY_BYTES);
    rd_copy(&r, out->next, KEY_BYTES);
    rd_copy(&r, sig, SIG_BYTES);
    memcpy(out->D, D, KEY_BYTES);
    if (!rd_done(&r) || !ed_key_valid(out->A))
        goto out;
    body = cert_body(out, buf);
    e = verify_parts(out->A, SIGN_DEVICE, &body, 1, sig);
    if (e == ERR_OK && !ed_key_valid(out->Q))
        e = ERR_PARSE;
out:
    if (e != ERR_OK)
        memset(out, 0, sizeof *out);
    return e;
}

enum cert_standing cert_check(const struct device_cert *cert, const struct device_list *list)
{
    const struct device_entry *d = device_list_find(list, cert->slot);

    if (d != NULL && memcmp(d->D, cert->D, KEY_BYTES) == 0 && memcmp(d->Q, cert->Q, KEY_BYTES) == 0)
        return CERT_LISTED;
    return cert->gen > list->gen ? CERT_NEWER : CERT_REMOVED;
}

enum err succession_make(const struct sign_key *successor, const uint8_t old_A[static KEY_BYTES],
                         const uint8_t next[static KEY_BYTES], uint8_t out[static SUCCESSION_BYTES])
{
    struct slice parts[] = {slice_of(old_A, KEY_BYTES), slice_of(successor->pub, KEY_BYTES),
                            slice_of(next, KEY_BYTES)};

    memcpy(out, next, KEY_BYTES);
    return sign_parts(successor, SIGN_SUCCESSION, parts, 3, out + KEY_BYTES);
}

enum err succession_verify(const uint8_t old_A[static KEY_BYTES], const uint8_t pinned_next[static KEY_BYTES],
                           const uint8_t new_A[static KEY_BYTES],
                           const uint8_t proof[static SUCCESSION_BYTES])
{
    struct slice parts[] = {slice_of(old_A, KEY_BYTES), slice_of(new_A, KEY_BYTES),
                            slice_of(proof, KEY_BYTES)};
    uint8_t next[KEY_BYTES];

    identity_next(new_A, next);
    if (memcmp(next, pinned_next, KEY_BYTES) != 0 || !ed_key_valid(new_A))
        return ERR_AUTH;
    return verify_parts(new_A, SIGN_SUCCESSION, parts, 3, proof + KEY_BYTES);
}
