#include "relay/digest.h"

#include "base/cursor.h"
#include "crypto/identity.h"
#include "relay/ledger.h"

#define BUCKET_MAX 47

static void hide(const struct digest *d, const uint8_t key[static 32], uint8_t h8[static 8])
{
    uint8_t both[40], hash[32];

    memcpy(both, key, 32);
    memcpy(both + 32, d->nonce, 8);
    hash_once(sizeof hash, NULL, 0, slice_of(both, sizeof both), hash);
    memcpy(h8, hash, 8);
}

void digest_begin(struct digest *d, const uint8_t net_id[static 4], uint16_t day,
                  const uint8_t nonce[static 8])
{
    memset(d, 0, sizeof *d);
    memcpy(d->net_id, net_id, sizeof d->net_id);
    memcpy(d->nonce, nonce, sizeof d->nonce);
    d->day = day;
}

static void take_out(struct digest *d, size_t at)
{
    d->n--;
    memmove(&d->entries[at], &d->entries[at + 1], (d->n - at) * sizeof d->entries[0]);
}

void digest_add(struct digest *d, const uint8_t key[static 32], double avail_s)
{
    uint8_t h8[8], bucket = 0;
    size_t smallest = 0, at = 0;

    if (!(avail_s >= LEDGER_TRANCHE_S))
        return;
    while (bucket < BUCKET_MAX && (double)(1ull << (bucket + 1)) <= avail_s)
        bucket++;
    hide(d, key, h8);
    for (size_t i = 0; i < d->n; i++) {
        if (d->entries[i].bucket < d->entries[smallest].bucket)
            smallest = i;
        if (memcmp(d->entries[i].h8, h8, sizeof h8) == 0)
            return;
    }
    if (d->n == DIGEST_ENTRIES) {
        if (d->entries[smallest].bucket >= bucket)
            return;
        take_out(d, smallest);
    }
    while (at < d->n && memcmp(d->entries[at].h8, h8, sizeof h8) < 0)
        at++;
    memmove(&d->entries[at + 1], &d->entries[at], (d->n - at) * sizeof d->entries[0]);
    memcpy(d->entries[at].h8, h8, sizeof h8);
    d->entries[at].bucket = bucket;
    d->n++;
}

double digest_find(const struct digest *d, const uint8_t key[static 32])
{
    uint8_t h8[8];

    hide(d, key, h8);
    for (size_t i = 0; i < d->n; i++) {
        if (memcmp(d->entries[i].h8, h8, sizeof h8) == 0)
            return (double)(1ull << d->entries[i].bucket);
    }
    return 0;
}

struct slice digest_write(const struct digest *d, uint8_t buf[static DIGEST_BYTES_MAX])
{
    struct wr w;

    wr_init(&w, buf, DIGEST_BYTES_MAX);
    wr_text(&w, "RLG1");
    wr_bytes(&w, d->net_id, sizeof d->net_id);
    wr_u16(&w, d->day);
    wr_u8(&w, d->n);
    wr_u8(&w, 0);
    wr_bytes(&w, d->nonce, sizeof d->nonce);
    for (size_t i = 0; i < d->n; i++) {
        wr_bytes(&w, d->entries[i].h8, sizeof d->entries[i].h8);
        wr_u8(&w, d->entries[i].bucket);
    }
    return wr_done(&w);
}

enum err digest_parse(struct slice bytes, struct digest *out)
{
    struct rd r;
    bool is_digest;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    is_digest = slice_is(rd_bytes(&r, 4), "RLG1");
    rd_copy(&r, out->net_id, sizeof out->net_id);
    out->day = rd_u16(&r);
    out->n = rd_u8(&r);
    if (rd_u8(&r) != 0 || out->n > DIGEST_ENTRIES)
        rd_fail(&r);
    rd_copy(&r, out->nonce, sizeof out->nonce);
    for (size_t i = 0; i < out->n && rd_ok(&r); i++) {
        rd_copy(&r, out->entries[i].h8, sizeof out->entries[i].h8);
        out->entries[i].bucket = rd_u8(&r);
        if (out->entries[i].bucket < 1 || out->entries[i].bucket > BUCKET_MAX ||
            (i > 0 && memcmp(out->entries[i - 1].h8, out->entries[i].h8, 8) >= 0))
            rd_fail(&r);
    }
    if (is_digest && rd_done(&r))
        return ERR_OK;
    memset(out, 0, sizeof *out);
    return ERR_PARSE;
}
