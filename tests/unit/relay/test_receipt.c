#include "unit/test.h"

#include "crypto/identity.h"
#include "relay/receipt.h"

static const uint8_t net[4] = {1, 2, 3, 4};
static uint8_t seed_a[32], seed_b[32];
static struct sign_key a, b;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_init(), ERR_OK);
    memset(seed_a, 7, sizeof seed_a);
    memset(seed_b, 8, sizeof seed_b);
    sign_key_from_seed(seed_a, &a);
    sign_key_from_seed(seed_b, &b);
    return 0;
}

static struct statement first_statement(void)
{
    struct statement s, next;
    int side;

    statement_init(&s, net, a.pub, b.pub);
    statement_next(&s, 20780, &next);
    side = statement_side(&next, a.pub);
    next.served[side] = 60;
    return next;
}

static struct statement signed_statement(void)
{
    struct statement s = first_statement();

    assert_int_equal(statement_sign(&s, seed_b), ERR_OK);
    assert_int_equal(statement_sign(&s, seed_a), ERR_OK);
    return s;
}

static void layout(void **state)
{
    struct statement s = signed_statement();
    uint8_t bytes[RECEIPT_RLS1_BYTES];
    int side = statement_side(&s, a.pub);

    (void)state;
    statement_write(&s, bytes);
    assert_memory_equal(bytes, "RLS1\x01\x02\x03\x04", 8);
    assert_true(memcmp(bytes + 8, bytes + 40, 32) < 0);
    assert_memory_equal(bytes + 8 + 32 * side, a.pub, 32);
    assert_int_equal(bytes[76] << 8 | bytes[77], 20780);
    assert_int_equal(bytes[83], 1);                 /* seq */
    assert_int_equal(bytes[88 + 8 * side + 7], 60); /* ab or ba */
    assert_memory_equal(bytes + 128 + 64 * side, s.sig[side], 64);
}

static void round_trip(void **state)
{
    struct statement s = signed_statement(), t;
    uint8_t bytes[RECEIPT_RLS1_BYTES], again[RECEIPT_RLS1_BYTES];

    (void)state;
    statement_write(&s, bytes);
    assert_int_equal(statement_parse(slice_of(bytes, sizeof bytes), &t), ERR_OK);
    statement_write(&t, again);
    assert_memory_equal(bytes, again, sizeof bytes);
    assert_int_equal(statement_verify(&t), ERR_OK);
    assert_int_equal(statement_parse(slice_of(bytes, 255), &t), ERR_PARSE);
    bytes[79] = 1; /* reserved */
    assert_int_equal(statement_parse(slice_of(bytes, sizeof bytes), &t), ERR_PARSE);
}

static void changed_bits(void **state)
{
    struct statement s = signed_statement(), t;
    uint8_t bytes[RECEIPT_RLS1_BYTES];

    (void)state;
    statement_write(&s, bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        if (statement_parse(slice_of(bytes, sizeof bytes), &t) == ERR_OK && statement_verify(&t) == ERR_OK)
            fail_msg("a change of byte %zu was not seen", i);
        bytes[i] ^= 1;
    }
}

static void only_parties_sign(void **state)
{
    struct statement s = first_statement();
    uint8_t other[32] = {3};

    (void)state;
    assert_int_equal(statement_sign(&s, other), ERR_REFUSED);
    assert_int_equal(statement_verify(&s), ERR_AUTH);
    assert_int_equal(statement_sign(&s, seed_a), ERR_OK);
    assert_int_equal(statement_verify(&s), ERR_AUTH); /* one is not both */
}

static void chain(void **state)
{
    struct statement s = signed_statement(), t, u;

    (void)state;
    assert_int_equal(statement_follows(NULL, &s), ERR_OK);
    statement_next(&s, 20780, &t);
    t.served[0] += 30;
    assert_int_equal(statement_follows(&s, &t), ERR_OK);
    assert_int_equal(statement_follows(&s, &s), ERR_REPLAY);
    u = t;
    u.served[0] = s.served[0];
    u.served[1] = s.served[1] >= 30 ? s.served[1] - 30 : 0;
    if (u.served[1] == s.served[1])
        u.served[0] -= 30;
    assert_int_equal(statement_follows(&s, &u), ERR_REFUSED); /* a total falls */
    u = t;
    u.prev[3] ^= 1;
    assert_int_equal(statement_follows(&s, &u), ERR_REFUSED);
    u = t;
    u.seq++;
    assert_int_equal(statement_follows(&s, &u), ERR_REFUSED);
    u = t;
    u.net_id[0] ^= 1;
    assert_int_equal(statement_follows(&s, &u), ERR_REFUSED);
}

static void fork(void **state)
{
    struct statement s = signed_statement(), t = first_statement();
    int side = statement_side(&s, b.pub);

    (void)state;
    t.served[statement_side(&t, a.pub)] = 30;
    assert_int_equal(statement_sign(&t, seed_b), ERR_OK);
    assert_true(statement_is_fork(&s, &t, side));
    assert_false(statement_is_fork(&s, &t, 1 - side)); /* the other signed only one */
    assert_false(statement_is_fork(&s, &s, side));
}

static void debt(void **state)
{
    struct statement s = first_statement();
    int side = statement_side(&s, a.pub);

    (void)state;
    s.served[1 - side] = 30;
    s.claims[1 - side] = 10;
    assert_int_equal(statement_owed_to(&s, side), 20);
    assert_int_equal(statement_owed_to(&s, 1 - side), -20);
}

static void weak_keys(void **state)
{
    struct statement s = first_statement();
    uint8_t small_order[32] = {1}; /* the identity: it "verifies" anything */

    (void)state;
    statement_init(&s, net, small_order, b.pub);
    s.seq = 1;
    memset(s.sig[0], 0, sizeof s.sig[0]);
    s.sig[0][0] = s.sig[1][0] = 1;
    assert_int_equal(statement_verify_side(&s, statement_side(&s, small_order)), ERR_AUTH);
}

static void cheques(void **state)
{
    struct cheque c = {.amount = 300, .serial = 1, .cum = 300, .day = 20780, .ttl_days = 7}, d, parsed;
    uint8_t bytes[RECEIPT_RLC1_BYTES];

    (void)state;
    memcpy(c.drawer, a.pub, 32);
    memcpy(c.drawee, b.pub, 32);
    memset(c.payee, 5, 32);
    assert_int_equal(cheque_sign(&c, seed_b), ERR_REFUSED);
    assert_int_equal(cheque_sign(&c, seed_a), ERR_OK);
    cheque_write(&c, bytes);
    assert_int_equal(cheque_parse(slice_of(bytes, sizeof bytes), &parsed), ERR_OK);
    assert_int_equal(cheque_verify(&parsed), ERR_OK);
    d = c;
    memset(d.payee, 6, 32);
    d.cum = 500; /* 200..500 overlaps 0..300 */
    assert_int_equal(cheque_sign(&d, seed_a), ERR_OK);
    assert_true(cheque_is_overdraw(&c, &d));
    d.cum = 600; /* 300..600 does not */
    assert_int_equal(cheque_sign(&d, seed_a), ERR_OK);
    assert_false(cheque_is_overdraw(&c, &d));
    c.amount = 301; /* more than all together */
    cheque_write(&c, bytes);
    assert_int_equal(cheque_parse(slice_of(bytes, sizeof bytes), &parsed), ERR_PARSE);
}

static void small_papers(void **state)
{
    struct cleared c = {.result = 1}, c2;
    struct sponsor_line p = {.line_s = 1800, .per_days = 7, .expiry_day = 20900, .serial = 1}, p2;
    uint8_t cleared[RECEIPT_RLD1_BYTES], sponsor[RECEIPT_RLP1_BYTES];

    (void)state;
    memcpy(c.drawee, a.pub, 32);
    assert_int_equal(cleared_sign(&c, seed_a), ERR_OK);
    cleared_write(&c, cleared);
    assert_int_equal(cleared_parse(slice_of(cleared, sizeof cleared), &c2), ERR_OK);
    assert_int_equal(cleared_verify(&c2), ERR_OK);
    c2.result = 0;
    assert_int_equal(cleared_verify(&c2), ERR_AUTH);
    memcpy(p.sponsor, a.pub, 32);
    memcpy(p.beneficiary, b.pub, 32);
    assert_int_equal(sponsor_sign(&p, seed_a), ERR_OK);
    sponsor_write(&p, sponsor);
    assert_int_equal(sponsor_parse(slice_of(sponsor, sizeof sponsor), &p2), ERR_OK);
    assert_int_equal(sponsor_verify(&p2), ERR_OK);
    p2.line_s++;
    assert_int_equal(sponsor_verify(&p2), ERR_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a statement is laid out as LEDGER.md says", layout),
        sentence("a statement survives writing and parsing", round_trip),
        sentence("a statement with any byte changed is refused", changed_bits),
        sentence("only the two parties can sign, and both must", only_parties_sign),
        sentence("a successor continues seq and prev, and no total falls", chain),
        sentence("attack, fork of an account: two bodies of one seq under one signature prove a fork", fork),
        sentence("what one side is owed the other owes", debt),
        sentence("keys of small order sign nothing", weak_keys),
        sentence("overlapping cheques for two payees prove an overdraw", cheques),
        sentence("cleared cheques and sponsor lines are signed whole", small_papers),
    };
    return cmocka_run_group_tests_name("receipt", tests, set_up, NULL);
}
