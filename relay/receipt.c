#include "relay/receipt.h"

#include "base/cursor.h"
#include "crypto/identity.h"

static const uint8_t zero_sig[RECEIPT_SIG_BYTES];

static bool sign_raw(const uint8_t seed[static 32], struct slice document, const uint8_t must_be[static 32],
                     uint8_t sig[static RECEIPT_SIG_BYTES])
{
    struct sign_key key;
    bool done;

    sign_key_from_seed(seed, &key);
    done = memcmp(key.pub, must_be, sizeof key.pub) == 0 && account_sign(&key, document, sig) == ERR_OK;
    secret_wipe(&key, sizeof key);
    return done;
}

static enum err verify_raw(const uint8_t key[static 32], struct slice document,
                           const uint8_t sig[static RECEIPT_SIG_BYTES])
{
    return ed_key_valid(key) ? account_verify(key, document, sig) : ERR_AUTH;
}

const struct receipt_crypto receipt_ed25519 = {.sign = sign_raw, .verify = verify_raw};

/* --- statements --- */

int statement_side(const struct statement *s, const uint8_t key[static RECEIPT_KEY_BYTES])
{
    for (int side = 0; side < 2; side++) {
        if (memcmp(s->pk[side], key, RECEIPT_KEY_BYTES) == 0)
            return side;
    }
    return -1;
}

void statement_init(struct statement *s, const uint8_t net_id[static 4],
                    const uint8_t one[static RECEIPT_KEY_BYTES],
                    const uint8_t other[static RECEIPT_KEY_BYTES])
{
    bool in_order = memcmp(one, other, RECEIPT_KEY_BYTES) < 0;

    memset(s, 0, sizeof *s);
    memcpy(s->net_id, net_id, sizeof s->net_id);
    memcpy(s->pk[0], in_order ? one : other, RECEIPT_KEY_BYTES);
    memcpy(s->pk[1], in_order ? other : one, RECEIPT_KEY_BYTES);
}

void statement_next(const struct statement *last, uint16_t day, struct statement *out)
{
    struct statement next = *last;

    memset(next.sig, 0, sizeof next.sig);
    memset(next.prev, 0, sizeof next.prev);
    if (last->seq > 0)
        statement_hash(last, next.prev);
    next.seq++;
    next.day = day;
    *out = next;
}

/* The part of RLS1 that both sign.
 *
 *   offset size field    notes
 *   0      4    "RLS1"
 *   4      4    net_id
 *   8      32   pkA      pkA < pkB
 *   40     32   pkB
 *   72     2    inc
 *   74     2    flags    0
 *   76     2    day
 *   78     2    rsv      0
 *   80     4    seq      from 1
 *   84     4    rsv      0
 *   88     8    ab       slot-seconds, multiple of RECEIPT_UNIT_S
 *   96     8    ba
 *   104    8    cab
 *   112    8    cba
 *   120    8    prev
 *   128    64   sigA     in the whole statement only
 *   192    64   sigB */
void statement_body(const struct statement *s, uint8_t out[static RECEIPT_BODY_BYTES])
{
    struct wr w;

    wr_init(&w, out, RECEIPT_BODY_BYTES);
    wr_text(&w, "RLS1");
    wr_bytes(&w, s->net_id, sizeof s->net_id);
    wr_bytes(&w, s->pk, sizeof s->pk);
    wr_u16(&w, s->inc);
    wr_u16(&w, s->flags);
    wr_u16(&w, s->day);
    wr_u16(&w, 0);
    wr_u32(&w, s->seq);
    wr_u32(&w, 0);
    wr_u64(&w, s->served[0]);
    wr_u64(&w, s->served[1]);
    wr_u64(&w, s->claims[0]);
    wr_u64(&w, s->claims[1]);
    wr_bytes(&w, s->prev, sizeof s->prev);
}

void statement_write(const struct statement *s, uint8_t out[static RECEIPT_RLS1_BYTES])
{
    statement_body(s, out);
    memcpy(out + RECEIPT_BODY_BYTES, s->sig, sizeof s->sig);
}

/* Totals above this would let sums of ours overflow; 2^48 slot-seconds are 9 million years. */
#define TOTAL_MAX (1ull << 48)

static enum err read_body(struct rd *r, struct statement *s)
{
    memset(s, 0, sizeof *s);
    if (!slice_is(rd_bytes(r, 4), "RLS1"))
        return ERR_PARSE;
    rd_copy(r, s->net_id, sizeof s->net_id);
    rd_copy(r, s->pk, sizeof s->pk);
    s->inc = rd_u16(r);
    s->flags = rd_u16(r);
    s->day = rd_u16(r);
    if (rd_u16(r) != 0)
        rd_fail(r);
    s->seq = rd_u32(r);
    if (rd_u32(r) != 0)
        rd_fail(r);
    s->served[0] = rd_u64(r);
    s->served[1] = rd_u64(r);
    s->claims[0] = rd_u64(r);
    s->claims[1] = rd_u64(r);
    rd_copy(r, s->prev, sizeof s->prev);
    if (!rd_ok(r) || memcmp(s->pk[0], s->pk[1], RECEIPT_KEY_BYTES) >= 0 || s->flags != 0 || s->seq == 0)
        return ERR_PARSE;
    for (int i = 0; i < 2; i++) {
        if (s->served[i] % RECEIPT_UNIT_S != 0 || s->served[i] > TOTAL_MAX || s->claims[i] > TOTAL_MAX)
            return ERR_PARSE;
    }
    return ERR_OK;
}

static enum err clear_unless(enum err e, void *out, size_t n)
{
    if (e != ERR_OK)
        memset(out, 0, n);
    return e;
}

enum err statement_parse_body(struct slice bytes, struct statement *out)
{
    struct rd r;
    enum err e;

    rd_init(&r, bytes);
    e = read_body(&r, out);
    if (e == ERR_OK && !rd_done(&r))
        e = ERR_PARSE;
    return clear_unless(e, out, sizeof *out);
}

enum err statement_parse(struct slice bytes, struct statement *out)
{
    struct rd r;
    enum err e;

    rd_init(&r, bytes);
    e = read_body(&r, out);
    rd_copy(&r, out->sig, sizeof out->sig);
    if (e == ERR_OK && !rd_done(&r))
        e = ERR_PARSE;
    return clear_unless(e, out, sizeof *out);
}

enum err statement_sign(struct statement *s, const uint8_t seed[static 32])
{
    uint8_t body[RECEIPT_BODY_BYTES];

    statement_body(s, body);
    for (int side = 0; side < 2; side++) {
        if (sign_raw(seed, slice_of(body, sizeof body), s->pk[side], s->sig[side]))
            return ERR_OK;
    }
    return ERR_REFUSED;
}

enum err statement_verify_side(const struct statement *s, int side)
{
    uint8_t body[RECEIPT_BODY_BYTES];

    if (memcmp(s->sig[side], zero_sig, sizeof zero_sig) == 0 || !ed_key_valid(s->pk[side]))
        return ERR_AUTH;
    statement_body(s, body);
    return account_verify(s->pk[side], slice_of(body, sizeof body), s->sig[side]);
}

enum err statement_verify(const struct statement *s)
{
    enum err e = statement_verify_side(s, 0);

    return e == ERR_OK ? statement_verify_side(s, 1) : e;
}

void statement_hash(const struct statement *s, uint8_t out[static 8])
{
    uint8_t bytes[RECEIPT_RLS1_BYTES], hash[32];

    statement_write(s, bytes);
    hash_once(sizeof hash, NULL, 0, slice_of(bytes, sizeof bytes), hash);
    memcpy(out, hash, 8);
}

bool statement_newer(const struct statement *a, const struct statement *b)
{
    return a->inc != b->inc ? a->inc > b->inc : a->seq > b->seq;
}

static bool same_pair(const struct statement *a, const struct statement *b)
{
    return memcmp(a->pk, b->pk, sizeof a->pk) == 0 && memcmp(a->net_id, b->net_id, sizeof a->net_id) == 0;
}

enum err statement_follows(const struct statement *last, const struct statement *next)
{
    static const uint8_t none[8];
    uint8_t hash[8];

    if (last == NULL || last->seq == 0)
        return next->seq == 1 && memcmp(next->prev, none, sizeof none) == 0 ? ERR_OK : ERR_REFUSED;
    if (!same_pair(last, next))
        return ERR_REFUSED;
    if (!statement_newer(next, last))
        return ERR_REPLAY;
    if (next->inc > last->inc)
        return next->seq == 1 ? ERR_OK : ERR_REFUSED;
    statement_hash(last, hash);
    if (next->seq != last->seq + 1 || memcmp(hash, next->prev, sizeof hash) != 0)
        return ERR_REFUSED;
    for (int i = 0; i < 2; i++) {
        if (next->served[i] < last->served[i] || next->claims[i] < last->claims[i])
            return ERR_REFUSED;
    }
    return ERR_OK;
}

bool statement_is_fork(const struct statement *a, const struct statement *b, int side)
{
    uint8_t body_a[RECEIPT_BODY_BYTES], body_b[RECEIPT_BODY_BYTES];

    if (!same_pair(a, b) || a->inc != b->inc || a->seq != b->seq)
        return false;
    statement_body(a, body_a);
    statement_body(b, body_b);
    return memcmp(body_a, body_b, sizeof body_a) != 0 && statement_verify_side(a, side) == ERR_OK &&
           statement_verify_side(b, side) == ERR_OK;
}

int64_t statement_owed_to(const struct statement *s, int side)
{
    int other = 1 - side;

    return (int64_t)s->served[side] - (int64_t)s->served[other] + (int64_t)s->claims[side] -
           (int64_t)s->claims[other];
}

/* --- cheques --- */

/* RLC1, 188 bytes.
 *
 *   offset size field    notes
 *   0      4    "RLC1"
 *   4      4    net_id
 *   8      32   drawer
 *   40     32   drawee
 *   72     32   payee
 *   104    4    amount   slot-seconds, <= cum
 *   108    4    serial
 *   112    8    cum
 *   120    2    day
 *   122    2    ttl      days
 *   124    64   sig      of the drawer over bytes 0..123 */
void cheque_write(const struct cheque *c, uint8_t out[static RECEIPT_RLC1_BYTES])
{
    struct wr w;

    wr_init(&w, out, RECEIPT_RLC1_BYTES);
    wr_text(&w, "RLC1");
    wr_bytes(&w, c->net_id, sizeof c->net_id);
    wr_bytes(&w, c->drawer, RECEIPT_KEY_BYTES);
    wr_bytes(&w, c->drawee, RECEIPT_KEY_BYTES);
    wr_bytes(&w, c->payee, RECEIPT_KEY_BYTES);
    wr_u32(&w, c->amount);
    wr_u32(&w, c->serial);
    wr_u64(&w, c->cum);
    wr_u16(&w, c->day);
    wr_u16(&w, c->ttl_days);
    wr_bytes(&w, c->sig, sizeof c->sig);
}

enum err cheque_parse(struct slice bytes, struct cheque *out)
{
    struct rd r;
    bool is_cheque;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    is_cheque = slice_is(rd_bytes(&r, 4), "RLC1");
    rd_copy(&r, out->net_id, sizeof out->net_id);
    rd_copy(&r, out->drawer, RECEIPT_KEY_BYTES);
    rd_copy(&r, out->drawee, RECEIPT_KEY_BYTES);
    rd_copy(&r, out->payee, RECEIPT_KEY_BYTES);
    out->amount = rd_u32(&r);
    out->serial = rd_u32(&r);
    out->cum = rd_u64(&r);
    out->day = rd_u16(&r);
    out->ttl_days = rd_u16(&r);
    rd_copy(&r, out->sig, sizeof out->sig);
    return clear_unless(
        is_cheque && rd_done(&r) && out->amount <= out->cum && out->cum <= TOTAL_MAX ? ERR_OK : ERR_PARSE,
        out, sizeof *out);
}

enum err cheque_sign_by(const struct receipt_crypto *by, struct cheque *c,
                        const uint8_t drawer_seed[static 32])
{
    uint8_t bytes[RECEIPT_RLC1_BYTES];

    cheque_write(c, bytes);
    return by->sign(drawer_seed, slice_of(bytes, sizeof bytes - RECEIPT_SIG_BYTES), c->drawer, c->sig)
               ? ERR_OK
               : ERR_REFUSED;
}

enum err cheque_sign(struct cheque *c, const uint8_t drawer_seed[static 32])
{
    return cheque_sign_by(&receipt_ed25519, c, drawer_seed);
}

static enum err verify_tail(const uint8_t key[static 32], const uint8_t *bytes, size_t n)
{
    n -= RECEIPT_SIG_BYTES;
    return verify_raw(key, slice_of(bytes, n), bytes + n);
}

enum err cheque_verify_by(const struct receipt_crypto *by, const struct cheque *c)
{
    uint8_t bytes[RECEIPT_RLC1_BYTES];

    cheque_write(c, bytes);
    return by->verify(c->drawer, slice_of(bytes, sizeof bytes - RECEIPT_SIG_BYTES), c->sig);
}

enum err cheque_verify(const struct cheque *c)
{
    return cheque_verify_by(&receipt_ed25519, c);
}

void cheque_hash(const struct cheque *c, uint8_t out[static 16])
{
    uint8_t bytes[RECEIPT_RLC1_BYTES];

    cheque_write(c, bytes);
    hash_once(16, NULL, 0, slice_of(bytes, sizeof bytes), out);
}

bool cheque_is_overdraw(const struct cheque *a, const struct cheque *b)
{
    if (memcmp(a->drawer, b->drawer, RECEIPT_KEY_BYTES) != 0 ||
        memcmp(a->drawee, b->drawee, RECEIPT_KEY_BYTES) != 0 ||
        memcmp(a->payee, b->payee, RECEIPT_KEY_BYTES) == 0 ||
        memcmp(a->net_id, b->net_id, sizeof a->net_id) != 0)
        return false;
    if (a->cum - a->amount >= b->cum || b->cum - b->amount >= a->cum)
        return false;
    return cheque_verify(a) == ERR_OK && cheque_verify(b) == ERR_OK;
}

/* --- cleared --- */

/* RLD1, 124 bytes.
 *
 *   offset size field        notes
 *   0      4    "RLD1"
 *   4      4    net_id
 *   8      32   drawee
 *   40     16   cheque_hash
 *   56     1    result       0 refused, 1 cleared
 *   57     3    rsv          0
 *   60     64   sig          of the drawee over bytes 0..59 */
void cleared_write(const struct cleared *c, uint8_t out[static RECEIPT_RLD1_BYTES])
{
    struct wr w;

    wr_init(&w, out, RECEIPT_RLD1_BYTES);
    wr_text(&w, "RLD1");
    wr_bytes(&w, c->net_id, sizeof c->net_id);
    wr_bytes(&w, c->drawee, RECEIPT_KEY_BYTES);
    wr_bytes(&w, c->cheque_hash, sizeof c->cheque_hash);
    wr_u8(&w, c->result);
    wr_zeros(&w, 3);
    wr_bytes(&w, c->sig, sizeof c->sig);
}

enum err cleared_parse(struct slice bytes, struct cleared *out)
{
    struct rd r;
    bool is_right;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    is_right = slice_is(rd_bytes(&r, 4), "RLD1");
    rd_copy(&r, out->net_id, sizeof out->net_id);
    rd_copy(&r, out->drawee, RECEIPT_KEY_BYTES);
    rd_copy(&r, out->cheque_hash, sizeof out->cheque_hash);
    out->result = rd_u8(&r);
    if (rd_u8(&r) != 0 || rd_u16(&r) != 0)
        rd_fail(&r);
    rd_copy(&r, out->sig, sizeof out->sig);
    return clear_unless(is_right && rd_done(&r) && out->result <= 1 ? ERR_OK : ERR_PARSE, out, sizeof *out);
}

enum err cleared_sign(struct cleared *c, const uint8_t drawee_seed[static 32])
{
    uint8_t bytes[RECEIPT_RLD1_BYTES];

    cleared_write(c, bytes);
    return sign_raw(drawee_seed, slice_of(bytes, sizeof bytes - RECEIPT_SIG_BYTES), c->drawee, c->sig)
               ? ERR_OK
               : ERR_REFUSED;
}

enum err cleared_verify(const struct cleared *c)
{
    uint8_t bytes[RECEIPT_RLD1_BYTES];

    cleared_write(c, bytes);
    return verify_tail(c->drawee, bytes, sizeof bytes);
}

/* --- sponsor lines --- */

/* RLP1, 148 bytes.
 *
 *   offset size field        notes
 *   0      4    "RLP1"
 *   4      4    net_id
 *   8      32   sponsor
 *   40     32   beneficiary
 *   72     4    line         slot-seconds ...
 *   76     2    per_days     ... in so many days
 *   78     2    expiry       UTC day
 *   80     4    serial
 *   84     64   sig          of the sponsor over bytes 0..83 */
void sponsor_write(const struct sponsor_line *p, uint8_t out[static RECEIPT_RLP1_BYTES])
{
    struct wr w;

    wr_init(&w, out, RECEIPT_RLP1_BYTES);
    wr_text(&w, "RLP1");
    wr_bytes(&w, p->net_id, sizeof p->net_id);
    wr_bytes(&w, p->sponsor, RECEIPT_KEY_BYTES);
    wr_bytes(&w, p->beneficiary, RECEIPT_KEY_BYTES);
    wr_u32(&w, p->line_s);
    wr_u16(&w, p->per_days);
    wr_u16(&w, p->expiry_day);
    wr_u32(&w, p->serial);
    wr_bytes(&w, p->sig, sizeof p->sig);
}

enum err sponsor_parse(struct slice bytes, struct sponsor_line *out)
{
    struct rd r;
    bool is_right;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    is_right = slice_is(rd_bytes(&r, 4), "RLP1");
    rd_copy(&r, out->net_id, sizeof out->net_id);
    rd_copy(&r, out->sponsor, RECEIPT_KEY_BYTES);
    rd_copy(&r, out->beneficiary, RECEIPT_KEY_BYTES);
    out->line_s = rd_u32(&r);
    out->per_days = rd_u16(&r);
    out->expiry_day = rd_u16(&r);
    out->serial = rd_u32(&r);
    rd_copy(&r, out->sig, sizeof out->sig);
    return clear_unless(is_right && rd_done(&r) && out->per_days > 0 ? ERR_OK : ERR_PARSE, out, sizeof *out);
}

enum err sponsor_sign(struct sponsor_line *p, const uint8_t sponsor_seed[static 32])
{
    uint8_t bytes[RECEIPT_RLP1_BYTES];

    sponsor_write(p, bytes);
    return sign_raw(sponsor_seed, slice_of(bytes, sizeof bytes - RECEIPT_SIG_BYTES), p->sponsor, p->sig)
               ? ERR_OK
               : ERR_REFUSED;
}

enum err sponsor_verify(const struct sponsor_line *p)
{
    uint8_t bytes[RECEIPT_RLP1_BYTES];

    sponsor_write(p, bytes);
    return verify_tail(p->sponsor, bytes, sizeof bytes);
}
