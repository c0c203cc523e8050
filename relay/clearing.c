#include "relay/clearing.h"

void clearing_draw(struct clearing_book *book, uint32_t amount, uint16_t day, struct cheque *out)
{
    book->cum += amount;
    book->serial++;
    out->amount = amount;
    out->cum = book->cum;
    out->serial = book->serial;
    out->day = day;
    out->ttl_days = CLEARING_TTL_DAYS;
}

enum clearing_verdict clearing_check_day(const struct cheque *c, int32_t today)
{
    int32_t ttl = c->ttl_days < CLEARING_TTL_DAYS ? c->ttl_days : CLEARING_TTL_DAYS;

    if (c->amount < LEDGER_TRANCHE_S || c->amount > CLEARING_AMOUNT_MAX_S)
        return CLEARING_AMOUNT;
    if (today > c->day + ttl + CLEARING_SKEW_DAYS || today < c->day - CLEARING_SKEW_DAYS)
        return CLEARING_EXPIRED;
    return CLEARING_OK;
}

static void remove_gap(struct clearing_state *s, uint8_t at)
{
    s->n_gaps--;
    memmove(&s->gaps[at], &s->gaps[at + 1], (size_t)(s->n_gaps - at) * sizeof s->gaps[0]);
}

/* With all places taken the lowest gap is given up: what was never presented of it no longer can be. */
static void insert_gap(struct clearing_state *s, uint64_t from, uint64_t to)
{
    uint8_t at;

    if (s->n_gaps == CLEARING_GAPS) {
        if (s->gaps[0].from > from)
            return;
        remove_gap(s, 0);
    }
    for (at = s->n_gaps; at > 0 && s->gaps[at - 1].from > from; at--)
        s->gaps[at] = s->gaps[at - 1];
    s->gaps[at].from = from;
    s->gaps[at].to = to;
    s->n_gaps++;
}

/* True when all of (from, to] was free; it no longer is. */
static bool take_range(struct clearing_state *s, uint64_t from, uint64_t to)
{
    if (from >= s->top) {
        uint64_t old_top = s->top;

        s->top = to;
        if (from > old_top)
            insert_gap(s, old_top, from);
        return true;
    }
    for (uint8_t i = 0; i < s->n_gaps; i++) {
        uint64_t low = s->gaps[i].from, high = s->gaps[i].to;

        if (from < low || to > high)
            continue;
        remove_gap(s, i);
        if (to < high)
            insert_gap(s, to, high);
        if (from > low)
            insert_gap(s, low, from);
        return true;
    }
    return false;
}

enum clearing_verdict clearing_clear(struct clearing_state *state, const struct cheque *c,
                                     const struct ledger_account *drawer, double avail_s, int32_t today)
{
    enum clearing_verdict v = clearing_check_day(c, today);

    if (v != CLEARING_OK)
        return v;
    if (drawer->is_void)
        return CLEARING_VOID;
    if (avail_s < c->amount) {
        struct clearing_state probe = *state;

        return take_range(&probe, c->cum - c->amount, c->cum) ? CLEARING_NO_FUND : CLEARING_TWICE;
    }
    return take_range(state, c->cum - c->amount, c->cum) ? CLEARING_OK : CLEARING_TWICE;
}

enum clearing_verdict clearing_may_take(const struct cheque *c, double waits_of_drawer_s,
                                        double waits_of_drawee_s, double room_s, bool is_sponsored,
                                        int32_t today)
{
    double per_drawer_s = is_sponsored ? CLEARING_PER_DRAWEE_S : CLEARING_PER_DRAWER_S;
    enum clearing_verdict v = clearing_check_day(c, today);

    if (v != CLEARING_OK)
        return v;
    if (waits_of_drawer_s + c->amount > per_drawer_s || waits_of_drawee_s + c->amount > CLEARING_PER_DRAWEE_S)
        return CLEARING_AT_RISK;
    return room_s - waits_of_drawee_s < c->amount ? CLEARING_NO_FUND : CLEARING_OK;
}

void clearing_book_drawee(struct ledger_account *drawer, struct ledger_account *payee, double amount_s,
                          int32_t today)
{
    ledger_owe(drawer, amount_s, today);
    ledger_owe(payee, -amount_s, today);
}

void clearing_book_payee(struct ledger_account *drawer, struct ledger_account *drawee, double amount_s,
                         int32_t today)
{
    ledger_owe(drawer, -amount_s, today);
    ledger_owe(drawee, amount_s, today);
}

void clearing_book_drawer(struct ledger_account *drawee, struct ledger_account *payee, double amount_s,
                          int32_t today)
{
    ledger_owe(drawee, -amount_s, today);
    ledger_owe(payee, amount_s, today);
}

void clearing_proof_write(const struct cheque *a, const struct cheque *b,
                          uint8_t out[static CLEARING_PROOF_BYTES])
{
    cheque_write(a, out);
    cheque_write(b, out + RECEIPT_RLC1_BYTES);
}

enum err clearing_proof_check(struct slice bytes, uint8_t culprit[static RECEIPT_KEY_BYTES])
{
    struct cheque a, b;

    memset(culprit, 0, RECEIPT_KEY_BYTES);
    if (bytes.len != CLEARING_PROOF_BYTES ||
        cheque_parse(slice_of(bytes.data, RECEIPT_RLC1_BYTES), &a) != ERR_OK ||
        cheque_parse(slice_of(bytes.data + RECEIPT_RLC1_BYTES, RECEIPT_RLC1_BYTES), &b) != ERR_OK)
        return ERR_PARSE;
    if (!cheque_is_overdraw(&a, &b))
        return ERR_AUTH;
    memcpy(culprit, a.drawer, RECEIPT_KEY_BYTES);
    return ERR_OK;
}

void clearing_fork_write(const struct statement *a, const struct statement *b,
                         uint8_t out[static CLEARING_FORK_BYTES])
{
    statement_write(a, out);
    statement_write(b, out + RECEIPT_RLS1_BYTES);
}

enum err clearing_fork_check(struct slice bytes, uint8_t culprit[static RECEIPT_KEY_BYTES])
{
    struct statement a, b;

    memset(culprit, 0, RECEIPT_KEY_BYTES);
    if (bytes.len != CLEARING_FORK_BYTES ||
        statement_parse(slice_of(bytes.data, RECEIPT_RLS1_BYTES), &a) != ERR_OK ||
        statement_parse(slice_of(bytes.data + RECEIPT_RLS1_BYTES, RECEIPT_RLS1_BYTES), &b) != ERR_OK)
        return ERR_PARSE;
    for (int side = 0; side < 2; side++) {
        if (!statement_is_fork(&a, &b, side))
            continue;
        memcpy(culprit, a.pk[side], RECEIPT_KEY_BYTES);
        return ERR_OK;
    }
    return ERR_AUTH;
}
