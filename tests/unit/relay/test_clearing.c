#include "unit/test.h"

#include "crypto/identity.h"
#include "relay/clearing.h"

#define TODAY 20000

static const uint8_t net_id[4] = {1, 2, 3, 4};

struct world {
    struct sign_key drawer, drawee, payee, other;
    struct clearing_book book;
    struct clearing_state state;
    struct ledger_account drawer_at_drawee;
};

static void key(uint8_t fill, struct sign_key *out)
{
    uint8_t seed[32];

    memset(seed, fill, sizeof seed);
    sign_key_from_seed(seed, out);
}

static void setup(struct world *w)
{
    memset(w, 0, sizeof *w);
    key(1, &w->drawer);
    key(2, &w->drawee);
    key(3, &w->payee);
    key(4, &w->other);
    w->drawer_at_drawee = (struct ledger_account){.got_s = 3600, .debt_s = -3600, .day = TODAY};
}

static struct cheque draw(struct world *w, struct clearing_book *book, uint32_t amount,
                          const struct sign_key *payee)
{
    struct cheque c = {0};

    memcpy(c.net_id, net_id, sizeof c.net_id);
    memcpy(c.drawer, w->drawer.pub, 32);
    memcpy(c.drawee, w->drawee.pub, 32);
    memcpy(c.payee, payee->pub, 32);
    clearing_draw(book, amount, TODAY, &c);
    assert_int_equal(cheque_sign(&c, w->drawer.seed), ERR_OK);
    assert_int_equal(cheque_verify(&c), ERR_OK);
    return c;
}

static enum clearing_verdict clear(struct world *w, const struct cheque *c)
{
    double avail = ledger_avail(&w->drawer_at_drawee, LEDGER_KAPPA_HI);
    enum clearing_verdict v = clearing_clear(&w->state, c, &w->drawer_at_drawee, avail, TODAY);

    if (v == CLEARING_OK)
        ledger_owe(&w->drawer_at_drawee, c->amount, TODAY);
    return v;
}

static void in_any_order(void **state)
{
    struct world w;
    struct cheque c[5];

    (void)state;
    setup(&w);
    for (int i = 0; i < 5; i++)
        c[i] = draw(&w, &w.book, 300, i % 2 == 0 ? &w.payee : &w.other);
    assert_int_equal(w.book.cum, 1500);
    assert_int_equal(w.book.serial, 5);
    assert_int_equal(clear(&w, &c[3]), CLEARING_OK);
    assert_int_equal(clear(&w, &c[1]), CLEARING_OK);
    assert_int_equal(clear(&w, &c[0]), CLEARING_OK);
    assert_int_equal(clear(&w, &c[4]), CLEARING_OK);
    assert_int_equal(clear(&w, &c[2]), CLEARING_OK);
    assert_int_equal(w.state.n_gaps, 0);
    assert_int_equal(w.state.top, 1500);
    for (int i = 0; i < 5; i++)
        assert_int_equal(clear(&w, &c[i]), CLEARING_TWICE); /* replay adds nothing */
}

static void double_spending(void **state)
{
    struct world w;
    struct clearing_book twice;
    struct cheque a, b;
    uint8_t proof[CLEARING_PROOF_BYTES], culprit[32];

    (void)state;
    setup(&w);
    draw(&w, &w.book, 300, &w.payee);
    twice = w.book;
    a = draw(&w, &w.book, 300, &w.payee);
    b = draw(&w, &twice, 450, &w.other); /* the same range, in part */
    assert_int_equal(clear(&w, &a), CLEARING_OK);
    assert_int_equal(clear(&w, &b), CLEARING_TWICE);
    clearing_proof_write(&a, &b, proof);
    assert_int_equal(clearing_proof_check(slice_of(proof, sizeof proof), culprit), ERR_OK);
    assert_memory_equal(culprit, w.drawer.pub, 32);
    proof[CLEARING_PROOF_BYTES - 1] ^= 1;
    assert_int_equal(clearing_proof_check(slice_of(proof, sizeof proof), culprit), ERR_AUTH);
    assert_int_equal(clearing_proof_check(slice_of(proof, 100), culprit), ERR_PARSE);
}

static void honest_are_no_culprits(void **state)
{
    struct world w;
    struct cheque a, b;
    uint8_t proof[CLEARING_PROOF_BYTES], culprit[32];

    (void)state;
    setup(&w);
    a = draw(&w, &w.book, 300, &w.payee);
    b = draw(&w, &w.book, 300, &w.other); /* the next range */
    clearing_proof_write(&a, &b, proof);
    assert_int_equal(clearing_proof_check(slice_of(proof, sizeof proof), culprit), ERR_AUTH);
    clearing_proof_write(&a, &a, proof); /* the same, presented twice */
    assert_int_equal(clearing_proof_check(slice_of(proof, sizeof proof), culprit), ERR_AUTH);
}

static void not_covered(void **state)
{
    struct world w;
    struct cheque c;

    (void)state;
    setup(&w);
    w.drawer_at_drawee = (struct ledger_account){.day = TODAY};
    c = draw(&w, &w.book, 300, &w.payee);
    assert_int_equal(clear(&w, &c), CLEARING_NO_FUND);
    ledger_got(&w.drawer_at_drawee, 3600, TODAY); /* it earned since: the same cheque is good */
    assert_int_equal(clear(&w, &c), CLEARING_OK);
    w.drawer_at_drawee.is_void = true;
    c = draw(&w, &w.book, 300, &w.payee);
    assert_int_equal(clear(&w, &c), CLEARING_VOID);
}

static void gaps_are_capped(void **state)
{
    struct world w;
    struct cheque held[CLEARING_GAPS + 1];

    (void)state;
    setup(&w);
    w.drawer_at_drawee.debt_s = -1e6;
    for (int i = 0; i < CLEARING_GAPS + 1; i++) {
        struct cheque c;

        held[i] = draw(&w, &w.book, 300, &w.payee); /* kept back */
        c = draw(&w, &w.book, 300, &w.other);
        assert_int_equal(clear(&w, &c), CLEARING_OK);
    }
    assert_int_equal(w.state.n_gaps, CLEARING_GAPS);
    assert_int_equal(clear(&w, &held[0]), CLEARING_TWICE); /* the oldest was given up */
    for (int i = 1; i < CLEARING_GAPS + 1; i++)
        assert_int_equal(clear(&w, &held[i]), CLEARING_OK);
    assert_int_equal(w.state.n_gaps, 0);
}

static void days(void **state)
{
    struct cheque c = {.amount = 300, .cum = 300, .day = TODAY, .ttl_days = 60};

    (void)state;
    assert_int_equal(clearing_check_day(&c, TODAY - CLEARING_SKEW_DAYS), CLEARING_OK);
    assert_int_equal(clearing_check_day(&c, TODAY - CLEARING_SKEW_DAYS - 1), CLEARING_EXPIRED);
    assert_int_equal(clearing_check_day(&c, TODAY + CLEARING_TTL_DAYS + CLEARING_SKEW_DAYS), CLEARING_OK);
    assert_int_equal(clearing_check_day(&c, TODAY + CLEARING_TTL_DAYS + CLEARING_SKEW_DAYS + 1),
                     CLEARING_EXPIRED);
    c.amount = (uint32_t)CLEARING_AMOUNT_MAX_S + 1;
    assert_int_equal(clearing_check_day(&c, TODAY), CLEARING_AMOUNT);
    c.amount = (uint32_t)LEDGER_TRANCHE_S - 1;
    assert_int_equal(clearing_check_day(&c, TODAY), CLEARING_AMOUNT);
}

static void at_risk(void **state)
{
    struct cheque c = {.amount = 300, .cum = 300, .day = TODAY, .ttl_days = 7};

    (void)state;
    assert_int_equal(clearing_may_take(&c, 0, 0, 9000, false, TODAY), CLEARING_OK);
    assert_int_equal(clearing_may_take(&c, 30, 0, 9000, false, TODAY), CLEARING_AT_RISK); /* 1 a drawer */
    assert_int_equal(clearing_may_take(&c, 0, 900, 9000, false, TODAY), CLEARING_OK);     /* 4 a drawee */
    assert_int_equal(clearing_may_take(&c, 0, 1200, 9000, false, TODAY), CLEARING_AT_RISK);
    assert_int_equal(clearing_may_take(&c, 0, 900, 1100, false, TODAY),
                     CLEARING_NO_FUND); /* of what we can collect */
    assert_int_equal(clearing_may_take(&c, 900, 900, 9000, true, TODAY),
                     CLEARING_OK); /* its sponsor signed */
    assert_int_equal(clearing_may_take(&c, 1200, 1200, 9000, true, TODAY), CLEARING_AT_RISK);
}

static void sum_is_kept(void **state)
{
    struct ledger_account bp = {.debt_s = -900, .day = 1}, br = {.debt_s = 400, .day = 1}; /* at B */
    struct ledger_account rp = {.day = 1}, rb = {.debt_s = -400, .day = 1};                /* at R */
    struct ledger_account pb = {.debt_s = 900, .day = 1}, pr = {.day = 1};                 /* at P */

    (void)state;
    clearing_book_drawee(&bp, &br, 300, 1);
    clearing_book_payee(&rp, &rb, 300, 1);
    clearing_book_drawer(&pb, &pr, 300, 1);
    assert_true(bp.debt_s == -600 && pb.debt_s == 600);
    assert_true(br.debt_s == 100 && rb.debt_s == -100);
    assert_true(rp.debt_s == -300 && pr.debt_s == 300);
    assert_true(bp.got_s == 0 && rp.got_s == 0 && pr.got_s == 0); /* nobody served anybody */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("cheques clear in any order, each once", in_any_order),
        sentence("attack, a claim spent twice: it clears once and is a proof that anyone can check",
                 double_spending),
        sentence("cheques of an honest drawer prove nothing", honest_are_no_culprits),
        sentence("a cheque that is not covered, or of a void account, is refused and takes no range",
                 not_covered),
        sentence("eight ranges may wait, then the oldest is given up", gaps_are_capped),
        sentence("attack, clock skew: a cheque lives seven days, give or take a calendar", days),
        sentence("attack, a claim spent twice offline: one tranche a drawer, four a drawee, never more than "
                 "we can collect",
                 at_risk),
        sentence("clearing moves three accounts and creates nothing", sum_is_kept),
    };
    return run_sentences("clearing", tests);
}
