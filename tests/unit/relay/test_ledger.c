#include "unit/test.h"

#include <math.h>

#include "relay/ledger.h"

#define NEAR(a, b) assert_true(fabs((double)(a) - (double)(b)) < 1e-6 * (1 + fabs((double)(b))))

static void ageing(void **state)
{
    struct ledger_account a = {.got_s = 1000, .debt_s = -400, .day = 100};

    (void)state;
    ledger_age(&a, 130);
    NEAR(a.got_s, 500);
    NEAR(a.debt_s, -200);
    ledger_age(&a, 100); /* a clock set back */
    NEAR(a.got_s, 500);
    assert_int_equal(a.day, 130);
}

static void lines(void **state)
{
    struct ledger_account a = {.day = 1};

    (void)state;
    NEAR(ledger_line(&a, LEDGER_KAPPA_HI), 0); /* strangers and sybils have none */
    ledger_got(&a, 60, 1);                     /* one audited minute: 5 min and a bit */
    NEAR(ledger_line(&a, LEDGER_KAPPA_LO), 300 + 15);
    NEAR(ledger_avail(&a, LEDGER_KAPPA_LO), 300 + 15 + 60);
    a.got_s = 1e9;
    NEAR(ledger_line(&a, LEDGER_KAPPA_HI), LEDGER_LINE_MAX_S);
    a.sponsor_s = 1800;
    NEAR(ledger_line(&a, LEDGER_KAPPA_HI), LEDGER_LINE_MAX_S + 1800);
    a.is_void = true;
    NEAR(ledger_avail(&a, LEDGER_KAPPA_HI), 0);
}

static void gain_is_bounded(void **state)
{
    struct ledger_account a = {.day = 1};
    double taken = 0, work = 3600;

    (void)state;
    ledger_got(&a, work, 1);
    while (ledger_avail(&a, LEDGER_KAPPA_HI) >= 60) {
        ledger_gave(&a, 60, 1);
        taken += 60;
    }
    /* 1 + kappa and the constant l0 */
    assert_true(taken <= (1 + LEDGER_KAPPA_HI) * work + LEDGER_L0_S);
    assert_true(taken >= (1 + LEDGER_KAPPA_HI) * work);
}

static void hops(void **state)
{
    struct ledger_hop h[10] = {{900, 0}, {0, 900}, {700, 650}, {100, 900}};

    (void)state;
    NEAR(ledger_credit(400, h, 4), 400); /* direct is enough */
    NEAR(ledger_credit(-50, h, 4), 600); /* the narrower of two edges, in whole tranches */
    NEAR(ledger_credit(100, h, 2), 100); /* a region without edges adds nothing */
    h[2] = (struct ledger_hop){0, 0};
    h[9] = (struct ledger_hop){9000, 9000};
    NEAR(ledger_credit(0, h, 10), 0); /* only 8 are looked at */
}

static void scores(void **state)
{
    struct ledger_quality q = {.day = 1};
    struct ledger_score fresh = ledger_score(&q), s;

    (void)state;
    assert_false(fresh.is_shown);
    assert_in_range(fresh.score, 50, 90); /* above relays.min_score: a new relay gets its chance */
    for (int i = 0; i < 40; i++) {
        ledger_quality_note(&q, true, 1);
        q.uses++, q.asked++, q.answered++;
    }
    s = ledger_score(&q);
    assert_true(s.is_shown);
    assert_in_range(s.score, 95, 100);
    q.broke = 20;
    q.unkept = 10;
    q.added_ms = 200;
    for (int i = 0; i < 40; i++)
        ledger_quality_note(&q, false, 1);
    assert_in_range(ledger_score(&q).score, 0, 60);
    NEAR(ledger_quality_mean(&(struct ledger_quality){0}), 0.75);
}

static void idle_serves_all(void **state)
{
    struct ledger_load l;
    uint32_t retry;

    (void)state;
    ledger_load_init(&l, 1, 8, 10);
    for (uint64_t i = 0; i < 7; i++) {
        assert_int_equal(ledger_admit(&l, 1, LEDGER_STRANGER, 1, i, &retry), LEDGER_ADMIT);
        ledger_began(&l, 1, LEDGER_STRANGER, 1, i);
    }
    /* The last of 8 slots is for guests. */
    assert_int_equal(ledger_admit(&l, 1, LEDGER_STRANGER, 1, 99, &retry), LEDGER_BUSY);
    assert_int_equal(ledger_admit(&l, 1, LEDGER_CREDITOR, 1, 99, &retry), LEDGER_QUEUE);
    assert_int_equal(ledger_admit(&l, 1, LEDGER_GUEST, 1, 99, &retry), LEDGER_ADMIT);
}

/* Creditors fill the relay for hours; what strangers get then is phi of it, whoever they say they are. */
static void strangers_share_the_pool(void **state)
{
    struct ledger_load l;
    uint32_t retry, served = 0, ending[64] = {0};
    ns_t now = NS_PER_S;

    (void)state;
    ledger_load_init(&l, now, 10, 10);
    for (uint32_t minute = 0; minute < 24 * 60; minute++) {
        now += 60 * NS_PER_S;
        for (uint32_t i = 0; i < ending[minute % 64]; i++)
            ledger_ended(&l, now, LEDGER_STRANGER, 1, 600);
        ending[minute % 64] = 0;
        if (minute % 10 == 0) { /* 8 creditors all the time */
            for (int i = 0; i < 8; i++) {
                if (minute > 0)
                    ledger_ended(&l, now, LEDGER_CREDITOR, 1, 600);
                ledger_began(&l, now, LEDGER_CREDITOR, 1, 0);
            }
        }
        for (uint64_t id = 0; id < 50; id++) { /* always another identity, another network */
            uint64_t net = (uint64_t)minute * 50 + id + 1;

            if (ledger_admit(&l, now, LEDGER_STRANGER, 1, net, &retry) != LEDGER_ADMIT)
                continue;
            ledger_began(&l, now, LEDGER_STRANGER, 1, net);
            ending[(minute + 10) % 64]++;
            served += minute > 6 * 60;
        }
    }
    /* 18 h x 10 slots x 10 % / 10 min = 108 calls, and the bucket's depth */
    assert_in_range(served, 60, 115);
}

/* One network is counted once a minute. A shortage has to be asked for by 32 times the calls it is the size of, from
 * as many networks, and then only strangers feel it. */
static void flood_of_requests(void **state)
{
    struct ledger_load l;
    uint32_t retry;
    ns_t now = NS_PER_S;

    (void)state;
    ledger_load_init(&l, now, 10, 10);
    for (int i = 0; i < 100000; i++)
        ledger_admit(&l, now, LEDGER_STRANGER, 1, 7, &retry);
    assert_true(ledger_load_share(&l, now) < 0.01);
    for (uint64_t net = 0; net < 3000; net++) /* 96 calls of 10 min would fill 80 % for two hours */
        ledger_admit(&l, now, LEDGER_STRANGER, 1, 1000 + net, &retry);
    assert_true(ledger_load_share(&l, now) < LEDGER_CONTENDED);
    for (uint64_t net = 0; net < 3000; net++)
        ledger_admit(&l, now, LEDGER_STRANGER, 1, 9000 + net, &retry);
    assert_true(ledger_load_share(&l, now) > LEDGER_CONTENDED);
    l.pool_s = 0;
    assert_int_equal(ledger_admit(&l, now, LEDGER_STRANGER, 1, 7, &retry), LEDGER_POOL_EMPTY);
    assert_int_equal(ledger_admit(&l, now, LEDGER_CREDITOR, 1, 7, &retry), LEDGER_ADMIT);
    now += 7200 * NS_PER_S;
    assert_true(ledger_load_share(&l, now) < LEDGER_CONTENDED); /* and it is forgotten */
}

/* Each stranger asks one relay only, so requests show nothing: what was admitted does. */
static void few_tries(void **state)
{
    struct ledger_load l;
    uint32_t retry, admitted = 0, late = 0;
    ns_t now = NS_PER_S;

    (void)state;
    ledger_load_init(&l, now, 10, 10);
    for (uint64_t minute = 0; minute < 1440; minute++, now += 60 * NS_PER_S) {
        for (uint64_t i = 0; i < 2; i++) {
            uint64_t net = 2 * minute + i + 1;

            if (ledger_admit(&l, now, LEDGER_STRANGER, 1, net, &retry) != LEDGER_ADMIT)
                continue;
            ledger_began(&l, now, LEDGER_STRANGER, 1, net);
            ledger_ended(&l, now, LEDGER_STRANGER, 1, 600);
            admitted++;
            late += minute >= 720;
        }
    }
    /* 80 % of 10 slots are 48 calls an hour, and the pool's 6: not the 120 that were asked for. */
    assert_in_range(late, 12 * 40, 12 * 56);
    assert_true(admitted > late);
}

/* Two days of a wrong clock change what anybody owes by less than 5 %, and back nothing comes. */
static void clock_skew(void **state)
{
    struct ledger_account a = {.got_s = 1000, .debt_s = 400, .day = 100};
    double before = ledger_avail(&a, LEDGER_KAPPA_HI);

    (void)state;
    ledger_age(&a, 102);
    assert_true(ledger_avail(&a, LEDGER_KAPPA_HI) > 0.95 * before);
    assert_true(ledger_avail(&a, LEDGER_KAPPA_HI) < 1.05 * before);
    before = ledger_avail(&a, LEDGER_KAPPA_HI);
    ledger_age(&a, 98);
    NEAR(ledger_avail(&a, LEDGER_KAPPA_HI), before);
    ledger_age(&a, 102);
    NEAR(ledger_avail(&a, LEDGER_KAPPA_HI), before);
}

/* A sponsored phone that takes whatever it can: the line, and what refills of it, and nothing once it is taken back. */
static void sponsor_abuse(void **state)
{
    struct ledger_account a = {.sponsor_s = 1800, .day = 100};
    double taken = 0;

    (void)state;
    for (int32_t day = 100; day < 128; day++) {
        ledger_forgive(&a, 1800, 7, day);
        ledger_age(&a, day);
        for (; ledger_avail(&a, LEDGER_KAPPA_HI) >= LEDGER_TRANCHE_S; taken += LEDGER_TRANCHE_S)
            ledger_owe(&a, LEDGER_TRANCHE_S, day);
        if (day == 100)
            NEAR(taken, 1800);
    }
    assert_true(taken <= 1800 + 27 * (1800.0 / 7 + 1800 * (1 - exp2(-1.0 / LEDGER_HALF_LIFE_DAYS))));
    a.sponsor_s = 0;
    a.debt_s = 0;
    assert_true(ledger_avail(&a, LEDGER_KAPPA_HI) < LEDGER_TRANCHE_S);
}

static void kappa(void **state)
{
    struct ledger_load l;
    ns_t now = NS_PER_S;

    (void)state;
    ledger_load_init(&l, now, 4, 10);
    NEAR(ledger_load_kappa(&l, now), LEDGER_KAPPA_HI);
    for (int i = 0; i < 4; i++)
        ledger_began(&l, now, LEDGER_CREDITOR, 1, 1);
    now += 24 * 3600 * NS_PER_S;
    NEAR(ledger_load_kappa(&l, now), LEDGER_KAPPA_LO);
}

static void no_strangers(void **state)
{
    struct ledger_load l;
    uint32_t retry;

    (void)state;
    ledger_load_init(&l, 1, 2, 0);
    for (int i = 0; i < 60; i++)
        ledger_began(&l, 1, LEDGER_CREDITOR, 1, 1);
    l.used = 0;
    assert_int_equal(ledger_admit(&l, 1, LEDGER_STRANGER, 1, 7, &retry), LEDGER_POOL_EMPTY);
    assert_true(retry > 0);
}

static void forgiveness(void **state)
{
    struct ledger_account a = {.sponsor_s = 5400, .debt_s = 5400, .day = 10};

    (void)state;
    NEAR(ledger_avail(&a, LEDGER_KAPPA_LO), 0);
    ledger_forgive(&a, 5400, 7, 10); /* the same day: nothing */
    NEAR(a.debt_s, 5400);
    ledger_forgive(&a, 5400, 7, 17); /* a week: all of the line */
    ledger_age(&a, 17);
    NEAR(a.debt_s, 0);
    a.debt_s = -100; /* what we owe is not forgiven */
    ledger_forgive(&a, 5400, 7, 18);
    NEAR(a.debt_s, -100);
}

/* Contacts are heard, but all of them together weigh two observations. */
static void hearsay_is_capped(void **state)
{
    struct ledger_quality own = {.good = 20, .day = 1}, none = {.day = 1};
    struct ledger_credence full = {.right = 1000000000};
    struct ledger_hearsay liars[LEDGER_HEARSAY_ROWS + 50], one = {.bad = 1000, .day = 1, .credence = full};

    (void)state;
    for (size_t i = 0; i < sizeof liars / sizeof liars[0]; i++)
        liars[i] = (struct ledger_hearsay){.bad = 1e6, .day = 1, .credence = full};
    NEAR(ledger_quality_heard(&own, NULL, 0, 1), ledger_quality_mean(&own));
    /* One contact: half an observation, whatever it claims to have seen. */
    NEAR(ledger_quality_heard(&none, &one, 1, 1), 1.5 / 2.5);
    /* Sixty-six liars: two. Own experience of 20 good ones stays above .85. */
    NEAR(ledger_quality_heard(&none, liars, sizeof liars / sizeof liars[0], 1), 1.5 / 4);
    assert_true(ledger_quality_heard(&own, liars, sizeof liars / sizeof liars[0], 1) > 0.85);
    NEAR(ledger_quality_heard(&none, &one, 1, 1 + LEDGER_QUAL_HALF_DAYS), 1.5 / 2.25); /* it ages */
}

/* Who says of relays the opposite of what we find there is not heard, and nobody is before he was right once. */
static void hearsay_must_be_earned(void **state)
{
    struct ledger_quality none = {.day = 1};
    struct ledger_hearsay said = {.good = 1, .day = 1};
    struct ledger_credence *c = &said.credence;

    (void)state;
    NEAR(ledger_quality_heard(&none, &said, 1, 1), 0.75);
    for (int i = 0; i < 5; i++)
        ledger_credence_note(c, &said, true);
    NEAR(ledger_credence(c), 5.0 / 7);
    assert_true(ledger_quality_heard(&none, &said, 1, 1) > 0.75);
    for (int i = 0; i < 6; i++)
        ledger_credence_note(c, &said, false);
    NEAR(ledger_credence(c), 0);
    NEAR(ledger_quality_heard(&none, &said, 1, 1), 0.75);
    said.bad = said.good; /* said nothing */
    ledger_credence_note(c, &said, false);
    assert_int_equal(c->wrong, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("service and debt halve in 30 days, and never by a clock set back", ageing),
        sentence("a line grows with service, to 4 hours, and ends with a proof", lines),
        sentence("nobody takes more than 1 + kappa of the work and the newcomers' allowance",
                 gain_is_bounded),
        sentence("two hops carry what the narrower one can, in whole tranches", hops),
        sentence("a score starts above the threshold and follows what happened", scores),
        sentence("a sponsor's line refills by its days and forgives no more than is owed", forgiveness),
        sentence("attack, defamation: half weight, one observation a contact, two in all", hearsay_is_capped),
        sentence("attack, defamation: lying contacts weigh nothing", hearsay_must_be_earned),
        sentence("an idle relay serves everybody, the last slot is for guests", idle_serves_all),
        sentence(
            "attack, free-riders and whitewashers: under contention all strangers together get their share",
            strangers_share_the_pool),
        sentence("attack, request flood: a shortage costs 32 times the calls, and hits strangers only",
                 flood_of_requests),
        sentence("attack, few tries: what was admitted counts, not what was asked", few_tries),
        sentence("attack, clock skew: two days change under 5 %, set back nothing", clock_skew),
        sentence("attack, sponsor abuse: no more than the line and what refills", sponsor_abuse),
        sentence("credit is tight when creditors fill the relay", kappa),
        sentence("with 0 % strangers get nothing under contention", no_strangers),
    };
    return run_sentences("ledger", tests);
}
