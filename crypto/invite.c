#include "crypto/invite.h"

#include <stdio.h>

#include "crypto/secret.h"

/* Bytes of "itoi1..." and "itol1..." (Bech32m without the limit of 90 characters).
 *
 *   offset size field
 *   0      1    version   1, else ERR_VERSION
 *   1      4    expires   s since 1970 UTC
 *   5      16   I         random
 *   21     8    zone_id
 *   29     1    n         0..8
 *   30          n x addr  family1 port2 ip4 or ip16 */
#define INVITE_VERSION  1
#define INVITE_RAW_MAX  (30 + INVITE_ADDRS_MAX * 19)
#define INVITE_SYMBOLS  ((INVITE_RAW_MAX * 8 + 4) / 5)
#define INVITE_CODE_MAX (5 + INVITE_SYMBOLS + 6 + 1)

_Static_assert(4 + ID_TEXT_CHARS + 3 + INVITE_CODE_MAX <= INVITE_TEXT_BYTES, "the longest invite fits");

bool invite_is(const char *text)
{
    struct slice value;

    return id_param(text, "i", &value);
}

bool invite_is_link(const char *text)
{
    struct slice value;

    return id_param(text, "l", &value);
}

enum err invite_format(const struct invite *inv, char out[static INVITE_TEXT_BYTES])
{
    uint8_t raw[INVITE_RAW_MAX], symbols[INVITE_SYMBOLS];
    char id[ID_TEXT_BYTES], code[INVITE_CODE_MAX];
    struct wr w;
    enum err e;

    out[0] = '\0';
    if (inv->n_addrs > INVITE_ADDRS_MAX)
        return ERR_RANGE;
    wr_init(&w, raw, sizeof raw);
    wr_u8(&w, INVITE_VERSION);
    wr_u32(&w, inv->expires_s);
    wr_bytes(&w, inv->I, sizeof inv->I);
    wr_bytes(&w, inv->zone_id, sizeof inv->zone_id);
    wr_u8(&w, inv->n_addrs);
    for (size_t i = 0; i < inv->n_addrs; i++)
        addr_write(&w, &inv->addrs[i]);
    e = bech32m_encode(inv->is_link ? "itol" : "itoi", symbols, bech32m_from_bytes(wr_done(&w), symbols),
                       code, sizeof code);
    if (e == ERR_OK)
        snprintf(out, INVITE_TEXT_BYTES, "ito:%s?%c=%s", id_format(inv->A, id), inv->is_link ? 'l' : 'i',
                 code);
    secret_wipe(raw, sizeof raw);
    secret_wipe(symbols, sizeof symbols);
    secret_wipe(code, sizeof code);
    return e;
}

static const char *what(const struct invite *inv)
{
    return inv->is_link ? "Link text" : "Invite";
}

static enum err read_raw(struct slice raw, struct invite *out, struct err_detail *detail)
{
    struct rd r;
    uint8_t version;

    rd_init(&r, raw);
    version = rd_u8(&r);
    if (rd_ok(&r) && version != INVITE_VERSION)
        return err_set(detail, ERR_VERSION, "%s is version %u; this ito knows version %d. Update ito.",
                       what(out), version, INVITE_VERSION);
    out->expires_s = rd_u32(&r);
    rd_copy(&r, out->I, sizeof out->I);
    rd_copy(&r, out->zone_id, sizeof out->zone_id);
    out->n_addrs = rd_u8(&r);
    if (out->n_addrs > INVITE_ADDRS_MAX)
        rd_fail(&r);
    for (size_t i = 0; rd_ok(&r) && i < out->n_addrs; i++)
        addr_read(&r, &out->addrs[i]);
    return rd_done(&r) ? ERR_OK
                       : err_set(detail, ERR_PARSE, "%s is well written but makes no sense. Ask for another.",
                                 what(out));
}

enum err invite_parse(const char *text, struct invite *out, struct err_detail *detail)
{
    uint8_t raw[INVITE_RAW_MAX], symbols[INVITE_SYMBOLS];
    char code[INVITE_CODE_MAX + 1], hrp[BECH32M_HRP_MAX + 1];
    struct slice value;
    size_t n = 0, len = 0;
    enum err e;

    memset(out, 0, sizeof *out);
    out->is_link = invite_is_link(text);
    if (!id_param(text, out->is_link ? "l" : "i", &value))
        return err_set(detail, ERR_PARSE, "That is no invite: it has no i= part.");
    e = id_parse(text, out->A, out->name, detail);
    if (e != ERR_OK)
        goto out;
    id_clean(value, code, sizeof code);
    e = bech32m_decode(code, sizeof code, hrp, symbols, sizeof symbols, &n);
    if (e == ERR_OK && strcmp(hrp, out->is_link ? "itol" : "itoi") == 0 &&
        bech32m_to_bytes(symbols, n, raw, sizeof raw, &len))
        e = read_raw(slice_of(raw, len), out, detail);
    else
        e = err_set(detail, ERR_PARSE, "%s is cut off or has a typing error. Copy all of it again.",
                    what(out));
out:
    secret_wipe(raw, sizeof raw);
    secret_wipe(symbols, sizeof symbols);
    secret_wipe(code, sizeof code);
    if (e != ERR_OK)
        secret_wipe(out, sizeof *out);
    return e;
}

static void derive(const char *context, const uint8_t A[static KEY_BYTES],
                   const uint8_t secret[static INVITE_SECRET_BYTES], uint8_t out[static KEY_BYTES])
{
    struct hasher h;

    hash_begin(&h, KEY_BYTES, NULL, 0);
    hash_text(&h, context);
    hash_bytes(&h, A, KEY_BYTES);
    hash_bytes(&h, secret, INVITE_SECRET_BYTES);
    hash_end(&h, out);
}

void invite_secret(const uint8_t A[static KEY_BYTES], const uint8_t I[static INVITE_SECRET_BYTES],
                   uint8_t out[static KEY_BYTES])
{
    derive("itodenwa-invite-v1", A, I, out);
}

void invite_link_secret(const uint8_t A[static KEY_BYTES], const uint8_t L[static INVITE_SECRET_BYTES],
                        uint8_t out[static KEY_BYTES])
{
    derive("itodenwa-link-v1", A, L, out);
}
