#include "relay/wire.h"

/* All messages begin with type1 flags1; rsv are zero.
 *
 *   ALLOCATE       slots1 rsv1 req4 wish_s4 head_inc2 rsv2 head_seq4 [pass16 with WIRE_FLAG_PASS]
 *   OK             slots1 class1 req4 alloc_id8 head_inc2 load1 rsv1 head_seq4 funded_s4 expiry_s4
 *                  realm nonce username password, each len1 text
 *   BUSY           why1 load1 req4 retry_ms4
 *   POOL_EMPTY     the same
 *   PROPOSE        rsv2 alloc_id8 body128
 *   SIGN           rsv2 alloc_id8 body128 sig64
 *   DONE           rsv2 alloc_id8 seq4 sig64
 *   SIGN_REQUIRED  rsv2 alloc_id8 unsigned_s4
 *   MIGRATE        why1 rsv1 alloc_id8 within_s4
 *   SYNC           rsv2 statement256
 *   RELEASE        rsv2 alloc_id8
 *   REGISTER       rsv2 req4 generation4
 *   REGISTERED     rsv2 req4 generation4 token8 token_old8 valid_s4
 *   CHEQUE         rsv2 req4 cheque188 [rlp1_148 with WIRE_FLAG_LINE]
 *   CREDITED       verdict1 rsv1 req4 credit_s4
 *   CLEAR          rsv2 req4 cheque188
 *   CLEARED        verdict1 rsv1 req4 cleared124 [cheque188 with WIRE_FLAG_OTHER]
 *   DIGEST_ASK     rsv2 req4
 *   DIGEST         rsv2 req4 digest, to the end
 *   PROOF          rsv2 req4 proof376 */

static void rsv(struct rd *r, size_t n)
{
    for (; n > 0; n--) {
        if (rd_u8(r) != 0)
            rd_fail(r);
    }
}

static void read_text(struct rd *r, char out[static WIRE_TEXT_MAX + 1])
{
    size_t n = rd_u8(r);
    struct slice s;

    if (n > WIRE_TEXT_MAX) {
        rd_fail(r);
        return;
    }
    s = rd_bytes(r, n);
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] > 0x7e)
            rd_fail(r);
    }
    if (rd_ok(r) && s.len > 0)
        memcpy(out, s.data, s.len);
}

static void read_allocate(struct rd *r, struct wire_msg *m)
{
    m->slots = rd_u8(r);
    rsv(r, 1);
    m->req = rd_u32(r);
    m->wish_s = rd_u32(r);
    m->head_inc = rd_u16(r);
    rsv(r, 2);
    m->head_seq = rd_u32(r);
    if ((m->flags & ~(WIRE_FLAG_PASS | WIRE_FLAG_EMERGENCY | WIRE_FLAG_AUDIT)) != 0 || m->slots == 0)
        rd_fail(r);
    if ((m->flags & WIRE_FLAG_PASS) != 0)
        rd_copy(r, m->pass, sizeof m->pass);
}

static void read_ok(struct rd *r, struct wire_msg *m)
{
    m->slots = rd_u8(r);
    m->admission = rd_u8(r);
    m->req = rd_u32(r);
    rd_copy(r, m->alloc_id, sizeof m->alloc_id);
    m->head_inc = rd_u16(r);
    m->load_pct = rd_u8(r);
    rsv(r, 1);
    m->head_seq = rd_u32(r);
    m->funded_s = rd_u32(r);
    m->expiry_s = rd_u32(r);
    read_text(r, m->realm);
    read_text(r, m->nonce);
    read_text(r, m->username);
    read_text(r, m->password);
    if (m->flags != 0 || m->admission > 3 || m->slots == 0)
        rd_fail(r);
}

static void read_refusal(struct rd *r, struct wire_msg *m)
{
    m->why = rd_u8(r);
    m->load_pct = rd_u8(r);
    m->req = rd_u32(r);
    m->retry_ms = rd_u32(r);
    if (m->flags != 0)
        rd_fail(r);
}

static void read_receipt(struct rd *r, struct wire_msg *m)
{
    if (m->type == WIRE_MIGRATE) {
        m->why = rd_u8(r);
        rsv(r, 1);
    } else {
        rsv(r, 2);
    }
    rd_copy(r, m->alloc_id, sizeof m->alloc_id);
    switch (m->type) {
    case WIRE_PROPOSE:
        rd_copy(r, m->body, sizeof m->body);
        break;
    case WIRE_SIGN:
        rd_copy(r, m->body, sizeof m->body);
        rd_copy(r, m->sig, sizeof m->sig);
        break;
    case WIRE_DONE:
        m->seq = rd_u32(r);
        rd_copy(r, m->sig, sizeof m->sig);
        m->total_bytes = rd_u64(r);
        break;
    case WIRE_SIGN_REQUIRED:
        m->unsigned_s = rd_u32(r);
        break;
    case WIRE_MIGRATE:
        m->within_s = rd_u32(r);
        break;
    default: /* RELEASE: no more */
        break;
    }
    if ((m->flags & ~(m->type == WIRE_PROPOSE ? WIRE_FLAG_LAST : 0)) != 0)
        rd_fail(r);
}

static void read_register(struct rd *r, struct wire_msg *m)
{
    rsv(r, 2);
    m->req = rd_u32(r);
    m->generation = rd_u32(r);
    if (m->type == WIRE_REGISTERED) {
        rd_copy(r, m->token, sizeof m->token);
        rd_copy(r, m->token_old, sizeof m->token_old);
        m->valid_s = rd_u32(r);
    }
    if (m->flags != 0)
        rd_fail(r);
}

static void read_paper(struct rd *r, struct wire_msg *m)
{
    uint8_t flags = m->type == WIRE_CLEARED ? WIRE_FLAG_OTHER : m->type == WIRE_CHEQUE ? WIRE_FLAG_LINE : 0;
    bool has_verdict = m->type == WIRE_CREDITED || m->type == WIRE_CLEARED;
    struct slice rest;

    m->verdict = has_verdict ? rd_u8(r) : 0;
    rsv(r, has_verdict ? 1 : 2);
    m->req = rd_u32(r);
    if (m->type == WIRE_CREDITED)
        m->credit_s = rd_u32(r);
    if (m->type == WIRE_CLEARED)
        rd_copy(r, m->cleared, sizeof m->cleared);
    if (m->type == WIRE_CHEQUE || m->type == WIRE_CLEAR || (m->flags & WIRE_FLAG_OTHER) != 0)
        rd_copy(r, m->cheque, sizeof m->cheque);
    if (m->type == WIRE_CHEQUE && (m->flags & WIRE_FLAG_LINE) != 0)
        rd_copy(r, m->line, sizeof m->line);
    if (m->type == WIRE_PROOF)
        rd_copy(r, m->proof, sizeof m->proof);
    if (m->type == WIRE_DIGEST) {
        rest = rd_rest(r);
        if (rest.len == 0 || rest.len > sizeof m->digest) {
            rd_fail(r);
        } else {
            memcpy(m->digest, rest.data, rest.len);
            m->digest_len = (uint16_t)rest.len;
        }
    }
    if ((m->flags & ~flags) != 0)
        rd_fail(r);
}

bool wire_is_of_client(uint8_t type)
{
    return type == WIRE_ALLOCATE || type == WIRE_SIGN || type == WIRE_RELEASE || type == WIRE_REGISTER ||
           type == WIRE_CHEQUE || type == WIRE_CLEAR || type == WIRE_DIGEST_ASK;
}

enum err wire_parse(struct slice bytes, struct wire_msg *m)
{
    struct rd r;

    memset(m, 0, sizeof *m);
    rd_init(&r, bytes);
    m->type = rd_u8(&r);
    m->flags = rd_u8(&r);
    switch (m->type) {
    case WIRE_ALLOCATE:
        read_allocate(&r, m);
        break;
    case WIRE_OK:
        read_ok(&r, m);
        break;
    case WIRE_BUSY:
    case WIRE_POOL_EMPTY:
        read_refusal(&r, m);
        break;
    case WIRE_PROPOSE:
    case WIRE_SIGN:
    case WIRE_DONE:
    case WIRE_SIGN_REQUIRED:
    case WIRE_MIGRATE:
    case WIRE_RELEASE:
        read_receipt(&r, m);
        break;
    case WIRE_SYNC:
        rsv(&r, 2);
        rd_copy(&r, m->statement, sizeof m->statement);
        if (m->flags != 0)
            rd_fail(&r);
        break;
    case WIRE_REGISTER:
    case WIRE_REGISTERED:
        read_register(&r, m);
        break;
    case WIRE_CHEQUE:
    case WIRE_CREDITED:
    case WIRE_CLEAR:
    case WIRE_CLEARED:
    case WIRE_DIGEST_ASK:
    case WIRE_DIGEST:
    case WIRE_PROOF:
        read_paper(&r, m);
        break;
    default:
        memset(m, 0, sizeof *m);
        return bytes.len >= 2 ? ERR_VERSION : ERR_PARSE;
    }
    if (rd_done(&r))
        return ERR_OK;
    memset(m, 0, sizeof *m);
    return ERR_PARSE;
}

static void put_text(struct wr *w, const char *text)
{
    size_t n = strnlen(text, WIRE_TEXT_MAX + 1);

    wr_u8(w, (uint8_t)n);
    wr_bytes(w, text, n);
    if (n > WIRE_TEXT_MAX)
        w->failed = true;
}

static void put_ok(struct wr *w, const struct wire_msg *m)
{
    wr_u8(w, m->slots);
    wr_u8(w, m->admission);
    wr_u32(w, m->req);
    wr_bytes(w, m->alloc_id, sizeof m->alloc_id);
    wr_u16(w, m->head_inc);
    wr_u8(w, m->load_pct);
    wr_u8(w, 0);
    wr_u32(w, m->head_seq);
    wr_u32(w, m->funded_s);
    wr_u32(w, m->expiry_s);
    put_text(w, m->realm);
    put_text(w, m->nonce);
    put_text(w, m->username);
    put_text(w, m->password);
}

static void put_allocate(struct wr *w, const struct wire_msg *m)
{
    wr_u8(w, m->slots);
    wr_u8(w, 0);
    wr_u32(w, m->req);
    wr_u32(w, m->wish_s);
    wr_u16(w, m->head_inc);
    wr_u16(w, 0);
    wr_u32(w, m->head_seq);
    if ((m->flags & WIRE_FLAG_PASS) != 0)
        wr_bytes(w, m->pass, sizeof m->pass);
}

static void put_receipt(struct wr *w, const struct wire_msg *m)
{
    wr_u8(w, m->type == WIRE_MIGRATE ? m->why : 0);
    wr_u8(w, 0);
    wr_bytes(w, m->alloc_id, sizeof m->alloc_id);
    if (m->type == WIRE_PROPOSE || m->type == WIRE_SIGN)
        wr_bytes(w, m->body, sizeof m->body);
    if (m->type == WIRE_DONE)
        wr_u32(w, m->seq);
    if (m->type == WIRE_SIGN || m->type == WIRE_DONE)
        wr_bytes(w, m->sig, sizeof m->sig);
    if (m->type == WIRE_DONE)
        wr_u64(w, m->total_bytes);
    if (m->type == WIRE_SIGN_REQUIRED)
        wr_u32(w, m->unsigned_s);
    if (m->type == WIRE_MIGRATE)
        wr_u32(w, m->within_s);
}

static void put_paper(struct wr *w, const struct wire_msg *m)
{
    bool has_verdict = m->type == WIRE_CREDITED || m->type == WIRE_CLEARED;

    wr_u8(w, has_verdict ? m->verdict : 0);
    wr_u8(w, 0);
    wr_u32(w, m->req);
    if (m->type == WIRE_CREDITED)
        wr_u32(w, m->credit_s);
    if (m->type == WIRE_CLEARED)
        wr_bytes(w, m->cleared, sizeof m->cleared);
    if (m->type == WIRE_CHEQUE || m->type == WIRE_CLEAR || (m->flags & WIRE_FLAG_OTHER) != 0)
        wr_bytes(w, m->cheque, sizeof m->cheque);
    if (m->type == WIRE_CHEQUE && (m->flags & WIRE_FLAG_LINE) != 0)
        wr_bytes(w, m->line, sizeof m->line);
    if (m->type == WIRE_PROOF)
        wr_bytes(w, m->proof, sizeof m->proof);
    if (m->type == WIRE_DIGEST)
        wr_bytes(w, m->digest, m->digest_len);
}

struct slice wire_write(void *buf, size_t size, const struct wire_msg *m)
{
    struct wr w;

    wr_init(&w, buf, size);
    wr_u8(&w, (uint8_t)m->type);
    wr_u8(&w, m->flags);
    switch (m->type) {
    case WIRE_ALLOCATE:
        put_allocate(&w, m);
        break;
    case WIRE_OK:
        put_ok(&w, m);
        break;
    case WIRE_BUSY:
    case WIRE_POOL_EMPTY:
        wr_u8(&w, m->why);
        wr_u8(&w, m->load_pct);
        wr_u32(&w, m->req);
        wr_u32(&w, m->retry_ms);
        break;
    case WIRE_SYNC:
        wr_u16(&w, 0);
        wr_bytes(&w, m->statement, sizeof m->statement);
        break;
    case WIRE_REGISTER:
    case WIRE_REGISTERED:
        wr_u16(&w, 0);
        wr_u32(&w, m->req);
        wr_u32(&w, m->generation);
        if (m->type == WIRE_REGISTERED) {
            wr_bytes(&w, m->token, sizeof m->token);
            wr_bytes(&w, m->token_old, sizeof m->token_old);
            wr_u32(&w, m->valid_s);
        }
        break;
    case WIRE_CHEQUE:
    case WIRE_CREDITED:
    case WIRE_CLEAR:
    case WIRE_CLEARED:
    case WIRE_DIGEST_ASK:
    case WIRE_DIGEST:
    case WIRE_PROOF:
        put_paper(&w, m);
        break;
    default:
        put_receipt(&w, m);
        break;
    }
    return wr_done(&w);
}
