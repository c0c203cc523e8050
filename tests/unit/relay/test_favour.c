#include "unit/test.h"

#include "crypto/identity.h"
#include "relay/favour_db.h"
#include "relay/favour_wire.h"

static struct favour_msg full(enum favour_type type)
{
    struct favour_msg m = {.type = type};
    struct sponsor_line line = {.line_s = 1800, .per_days = 7, .expiry_day = 21000, .serial = 3};
    uint8_t seed[32] = {7};
    struct sign_key sponsor;

    sign_key_from_seed(seed, &sponsor);
    memcpy(line.sponsor, sponsor.pub, 32);
    memset(line.beneficiary, 2, 32);
    if (type == FAVOUR_PASS || type == FAVOUR_OFFER || type == FAVOUR_ACCEPT)
        memset(m.relay, 1, sizeof m.relay);
    if (type == FAVOUR_PASS || type == FAVOUR_OFFER)
        addr_parse(type == FAVOUR_PASS ? "192.0.2.1:4000" : "[2001:db8::1]:4001", &m.addr);
    if (type == FAVOUR_PASS)
        memset(m.pass, 5, sizeof m.pass);
    if (type == FAVOUR_OFFER)
        m.line_s = 1800, m.per_days = 7;
    if (type == FAVOUR_ACCEPT)
        memset(m.account, 4, sizeof m.account);
    if (type == FAVOUR_LINE) {
        assert_int_equal(sponsor_sign(&line, seed), ERR_OK);
        sponsor_write(&line, m.paper);
    }
    for (int i = 0; type == FAVOUR_MET && i < FAVOUR_MET_MAX; i++) {
        memset(m.met[i].relay, i, 32);
        m.met[i].good = (uint16_t)(10 * i);
        m.met[m.n_met++].bad = 5;
    }
    return m;
}

static void round_trip(void **state)
{
    (void)state;
    for (int type = FAVOUR_FIRST; type <= FAVOUR_LAST; type++) {
        uint8_t buf[FAVOUR_MESSAGE_MAX], more[FAVOUR_MESSAGE_MAX + 1];
        struct favour_msg m = full((enum favour_type)type), back;
        struct slice bytes = favour_write(buf, &m);

        assert_true(bytes.len > 4);
        assert_int_equal(favour_parse(bytes, &back), ERR_OK);
        assert_memory_equal(&m, &back, sizeof m);
        for (size_t n = 0; n < bytes.len; n++)
            assert_int_equal(favour_parse(slice_of(bytes.data, n), &back), ERR_PARSE);
        memcpy(more, bytes.data, bytes.len);
        more[bytes.len] = 0;
        assert_int_equal(favour_parse(slice_of(more, bytes.len + 1), &back), ERR_PARSE);
        more[1] = 1;
        assert_int_equal(favour_parse(slice_of(more, bytes.len), &back), ERR_PARSE);
        more[0] = FAVOUR_LAST + 1;
        assert_int_equal(favour_parse(slice_of(more, bytes.len), &back), ERR_VERSION);
    }
}

static struct ledger_db *open_db(void)
{
    struct ledger_db *db;

    assert_int_equal(ledger_db_open(":memory:", &db, NULL), ERR_OK);
    return db;
}

static void key(uint8_t out[static 32], int n)
{
    memset(out, 0, 32);
    out[0] = (uint8_t)n;
    out[1] = (uint8_t)(n >> 8);
}

static void count_pass(void *arg, const struct favour_pass *p)
{
    (void)p;
    ++*(int *)arg;
}

static void passes_are_capped(void **state)
{
    struct ledger_db *db = open_db();
    struct favour_pass p, back;
    int n = 0;

    (void)state;
    for (int i = 0; i < FAVOUR_PASSES + 10; i++) {
        p = (struct favour_pass){.day = 20000 + i};
        key(p.relay, i);
        key(p.contact, i / 2);
        addr_parse("192.0.2.1:4000", &p.addr);
        assert_int_equal(favour_db_put_pass(db, &p), ERR_OK);
    }
    favour_db_each_pass(db, count_pass, &n);
    assert_int_equal(n, FAVOUR_PASSES);
    assert_int_equal(favour_db_get_pass(db, p.relay, &back), ERR_OK);
    assert_memory_equal(&p, &back, sizeof p);
    favour_db_forget(db, p.contact);
    assert_int_equal(favour_db_get_pass(db, p.relay, &back), ERR_NOT_FOUND);
    ledger_db_close(db);
}

/* A contact is heard once it was right more often than wrong, and no longer when it is removed. */
static void hearsay_is_earned(void **state)
{
    struct ledger_db *db = open_db();
    struct ledger_hearsay good = {.good = 5, .day = 20000}, heard[LEDGER_HEARSAY_ROWS];
    struct ledger_quality none = {.day = 20000};
    uint8_t contact[32], liar[32], relay[32];

    (void)state;
    key(contact, 1);
    key(liar, 2);
    key(relay, 3);
    assert_int_equal(favour_db_judge(db, relay, true), ERR_OK); /* nobody had said anything */
    assert_int_equal(favour_db_put_heard(db, contact, relay, &good), ERR_OK);
    assert_int_equal(favour_db_put_heard(db, liar, relay, &(struct ledger_hearsay){.bad = 5, .day = 19999}),
                     ERR_OK);
    assert_int_equal(favour_db_heard(db, relay, heard), 2);
    assert_true(ledger_quality_heard(&none, heard, 2, 20000) == ledger_quality_mean(&none));
    for (int i = 0; i < 5; i++)
        assert_int_equal(favour_db_judge(db, relay, true), ERR_OK);
    key(relay, 4); /* what they say of another one now weighs, or does not */
    assert_int_equal(favour_db_put_heard(db, contact, relay, &good), ERR_OK);
    assert_int_equal(favour_db_put_heard(db, liar, relay, &(struct ledger_hearsay){.bad = 5, .day = 19999}),
                     ERR_OK);
    assert_int_equal(favour_db_heard(db, relay, heard), 2);
    assert_int_equal(heard[0].credence.right, 5);
    assert_int_equal(heard[1].credence.wrong, 5);
    assert_true(ledger_quality_heard(&none, heard, 2, 20000) > ledger_quality_mean(&none));
    assert_int_equal(favour_db_forget(db, contact), ERR_OK);
    assert_int_equal(favour_db_put_heard(db, contact, relay, &good), ERR_OK);
    favour_db_heard(db, relay, heard);
    assert_int_equal(heard[0].credence.right, 0);
    ledger_db_close(db);
}

/* Sixteen rows a contact, however much it says; and the word of sixteen weighs as two observations. */
static void hearsay_is_capped(void **state)
{
    struct ledger_db *db = open_db();
    struct ledger_hearsay bad = {.bad = 1000, .day = 20000}, heard[LEDGER_HEARSAY_ROWS];
    struct ledger_quality own = {.good = 11.5, .bad = 0.5, .day = 20000, .uses = 11};
    uint8_t contact[32], relay[32];
    unsigned n = 0;

    (void)state;
    key(contact, 1);
    for (int i = 0; i < 40; i++) {
        key(relay, i);
        n += favour_db_put_heard(db, contact, relay, &bad) == ERR_OK;
    }
    assert_int_equal(n, FAVOUR_HEARD_OF_ONE);
    key(relay, 0);
    assert_int_equal(favour_db_put_heard(db, contact, relay, &bad), ERR_OK); /* news of the same relay */
    for (int i = 2; i < 40; i++) {
        key(contact, i);
        assert_int_equal(favour_db_put_heard(db, contact, relay, &bad), ERR_OK);
    }
    for (int i = 0; i < 100; i++) /* all of them were right so far */
        assert_int_equal(favour_db_judge(db, relay, false), ERR_OK);
    assert_int_equal(favour_db_heard(db, relay, heard), LEDGER_HEARSAY_ROWS);
    assert_true(ledger_quality_heard(&own, heard, LEDGER_HEARSAY_ROWS, 20000) < ledger_quality_mean(&own));
    assert_true(ledger_quality_heard(&own, heard, LEDGER_HEARSAY_ROWS, 20000) >
                0.8 * ledger_quality_mean(&own));
    favour_db_evict(db, 20000 + FAVOUR_HEARD_DAYS + 1);
    assert_int_equal(favour_db_heard(db, relay, heard), 0);
    ledger_db_close(db);
}

static void lines_only_grow_newer(void **state)
{
    struct ledger_db *db = open_db();
    struct sponsor_line line = {.line_s = 1800, .per_days = 7, .expiry_day = 20030, .serial = 2}, back;
    struct favour_given g = {.line_s = 1800, .per_days = 7, .serial = 1}, given;

    (void)state;
    key(line.sponsor, 9);
    assert_int_equal(favour_db_put_line(db, &line), ERR_OK);
    line.line_s = 90000;
    line.serial = 1;
    assert_int_equal(favour_db_put_line(db, &line), ERR_REPLAY);
    assert_int_equal(favour_db_get_line(db, line.sponsor, &back), ERR_OK);
    assert_int_equal(back.line_s, 1800);
    favour_db_evict(db, 20031);
    assert_int_equal(favour_db_get_line(db, line.sponsor, &back), ERR_NOT_FOUND);
    for (int i = 0; i < FAVOUR_GIVEN; i++) {
        key(g.contact, i);
        assert_int_equal(favour_db_put_given(db, &g), ERR_OK);
    }
    g.line_s = 0; /* taking back is always possible */
    assert_int_equal(favour_db_put_given(db, &g), ERR_OK);
    key(g.contact, FAVOUR_GIVEN);
    assert_int_equal(favour_db_put_given(db, &g), ERR_FULL);
    key(g.contact, 3);
    assert_int_equal(favour_db_get_given(db, g.contact, &given), ERR_OK);
    assert_false(given.has_account);
    ledger_db_close(db);
}

static void audits_are_kept(void **state)
{
    struct ledger_db *db = open_db();
    uint8_t relay[32];
    int32_t day;
    bool ok;

    (void)state;
    for (int i = 0; i < FAVOUR_AUDITS + 5; i++) {
        key(relay, i);
        assert_int_equal(favour_db_put_audit(db, relay, 20000 + i, i % 2 == 0), ERR_OK);
    }
    assert_int_equal(favour_db_get_audit(db, relay, &day, &ok), ERR_OK);
    assert_int_equal(day, 20000 + FAVOUR_AUDITS + 4);
    assert_true(ok);
    key(relay, 0);
    assert_int_equal(favour_db_get_audit(db, relay, &day, &ok), ERR_NOT_FOUND);
    ledger_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("each message is read as it was written, and no part of it is", round_trip),
        sentence("passes are capped, and go with the contact who gave them", passes_are_capped),
        sentence("attack, defamation: a contact is heard when it was right", hearsay_is_earned),
        sentence("hearsay is capped for each contact, and weighs little", hearsay_is_capped),
        sentence("a line gives way to a newer one only, and ends", lines_only_grow_newer),
        sentence("audits are kept, the oldest makes room", audits_are_kept),
    };

    crypto_init();
    return run_sentences("favour", tests);
}
