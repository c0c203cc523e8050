/* The ledger in its simulated economy: rows of the attack table and targets, small and deterministic. */
#include "unit/test.h"

#include <stdio.h>

#include "relay/ledger.h"
#include "sim/ledger.h"

#define FLOOR_PCT 80.0 /* of contributors' calls, with whatever attack; without a ledger it is under 60 */

static struct econ_result run(struct econ_params p)
{
    struct econ_result r;

    p.n = p.n > 0 ? p.n : 300;
    p.days = p.days > 0 ? p.days : 3;
    p.seed = 1;
    econ_run(&p, &r);
    printf("    %s: contributors %.1f solvent %.1f free %.1f sybil %.1f gain %.2f cut %.2f %%\n",
           econ_policy_name(p.policy), econ_pct(&r.by[ECON_CONTRIBUTOR]), econ_pct(&r.solvent),
           econ_pct(&r.by[ECON_FREE]), econ_pct(&r.by[ECON_SYBIL]), r.sybil_gain,
           r.started > 0 ? 100 * (double)r.cut / (double)r.started : 0);
    return r;
}

/* What honest people get here, with 60 relays of which 12 are up: less than in a larger net (make sim-ledger). */
static int setup(void **state)
{
    static struct econ_result base;

    base = run((struct econ_params){0});
    *state = &base;
    return 0;
}

static double base_pct(void **state)
{
    const struct econ_result *base = *state;

    return econ_pct(&base->by[ECON_CONTRIBUTOR]);
}

static void free_rider(void **state)
{
    struct econ_result us = *(struct econ_result *)*state;
    struct econ_result oracle = run((struct econ_params){.policy = ECON_ORACLE});
    struct econ_result none = run((struct econ_params){.policy = ECON_NONE});

    assert_true(econ_pct(&us.by[ECON_CONTRIBUTOR]) >= FLOOR_PCT);
    assert_true(econ_pct(&us.by[ECON_FREE]) <= econ_pct(&oracle.by[ECON_FREE]) + 1);
    assert_int_equal(us.by[ECON_FREE].creditor, 0);
    assert_true(econ_pct(&none.by[ECON_CONTRIBUTOR]) < 60); /* there is a shortage to speak of */
    assert_true((double)us.cut <= 0.02 * (double)us.started);
    assert_true(us.accounts_max <= 4096);
}

static void same_again(void **state)
{
    struct econ_result a = run((struct econ_params){.n = 100}), b = run((struct econ_params){.n = 100});
    struct econ_result other;
    struct econ_params p = {.n = 100, .days = 3, .seed = 2};

    (void)state;
    assert_true(a.hash == b.hash && a.started == b.started);
    econ_run(&p, &other);
    assert_true(a.hash != other.hash);
}

static void no_shortage(void **state)
{
    struct econ_result r = run((struct econ_params){.free_pct = 50, .rho = 2});

    (void)state;
    assert_true(econ_pct(&r.by[ECON_CONTRIBUTOR]) >= 99);
    assert_true(econ_pct(&r.by[ECON_FREE]) >= 98.5);
}

static void strategic(void **state)
{
    struct econ_result few = run((struct econ_params){.stranger_tries = 2});

    assert_true(econ_pct(&few.by[ECON_FREE]) <= 35);
    assert_true(econ_pct(&few.by[ECON_CONTRIBUTOR]) >= base_pct(state) - 2);
    assert_int_equal(few.by[ECON_FREE].creditor, 0);
}

static void whitewasher(void **state)
{
    struct econ_result r = run((struct econ_params){.whitewash_pct = 30});
    double gain = econ_pct(&r.by[ECON_WHITEWASH]) - econ_pct(&r.by[ECON_FREE]);

    (void)state;
    assert_true(gain < 3 && gain > -3);
    assert_int_equal(r.by[ECON_WHITEWASH].creditor, 0);
}

static void sybils_without_work(void **state)
{
    struct econ_result r = run((struct econ_params){.free_pct = 70, .rho = 0.75, .sybils = 80});

    (void)state;
    assert_int_equal(r.by[ECON_SYBIL].creditor, 0);
    assert_true(r.sybil_gain == 0);
}

static void sybils_behind_work(void **state)
{
    struct econ_params p = {.free_pct = 70, .rho = 0.75, .attackers = 3};
    struct econ_result alone = run(p), many, eigentrust;

    (void)state;
    assert_true(alone.sybil_gain <= 1 + LEDGER_KAPPA_HI); /* collusion of real peers */
    p.sybils = 160;
    many = run(p);
    assert_true(many.sybil_gain <= 1 + LEDGER_KAPPA_HI);
    assert_true(econ_pct(&many.by[ECON_CONTRIBUTOR]) >= FLOOR_PCT);
    p.policy = ECON_EIGENTRUST;
    eigentrust = run(p);
    assert_true(eigentrust.sybil_gain > 2 * many.sybil_gain);
}

static void double_spending(void **state)
{
    struct econ_params p = {.fraud_pct = 5, .offline_pct = 20, .days = 10};
    struct econ_result told = run(p), kept;

    (void)state;
    p.keeps_proofs = true;
    kept = run(p);
    printf("    a double spender gets %.0f slot-s, %.0f when proofs stay where they are found; %u told\n",
           told.fraud_gain_s, kept.fraud_gain_s, (unsigned)told.heard);
    assert_true(kept.proofs > 0 && told.proofs > 0);
    assert_int_equal(kept.heard, 0);
    assert_true(told.heard > told.proofs);
    assert_true(2 * told.fraud_gain_s < kept.fraud_gain_s); /* the name is dead beyond those it cheated */
    assert_true(told.fraud_gain_s < 14400);
    assert_true(econ_pct(&told.by[ECON_CONTRIBUTOR]) >= FLOOR_PCT);
}

static void withheld(void **state)
{
    struct econ_result r = run((struct econ_params){.withhold_pct = 5});

    (void)state;
    assert_true(r.withheld_s > 0);
    assert_true(econ_pct(&r.by[ECON_CONTRIBUTOR]) >= FLOOR_PCT);
}

static void inflated(void **state)
{
    struct econ_result r = run((struct econ_params){.inflate_pct = 10});

    (void)state;
    assert_true(r.inflated_pct > 4.9 && r.inflated_pct <= 5.01);
}

static void droppers(void **state)
{
    struct econ_result r = run((struct econ_params){.bad_pct = 15, .free_pct = 50, .rho = 3});
    struct econ_result liars =
        run((struct econ_params){.bad_pct = 15, .liars_pct = 50, .free_pct = 50, .rho = 3});
    struct econ_result alone =
        run((struct econ_params){.bad_pct = 15, .no_hearsay = true, .free_pct = 50, .rho = 3});

    (void)state;
    assert_true(r.harmed_late_pct < r.harmed_early_pct);
    assert_true(r.harmed_new_pct[1] > 0 && r.harmed_known_pct[1] > 0);
    assert_true(r.harmed_new_pct[1] + r.harmed_known_pct[1] < r.harmed_late_pct); /* the rest is chance */
    assert_true(r.harmed_new_pct[1] < r.harmed_new_pct[0]);
    assert_true(liars.harmed_early_pct < alone.harmed_early_pct + 2); /* lies change nothing */
    assert_true(liars.harmed_late_pct < alone.harmed_late_pct + 2);
    printf(
        "    harmed, calls 1-5 / 21-40: %.1f / %.1f, liars %.1f / %.1f, own experience only %.1f / %.1f %%\n",
        r.harmed_early_pct, r.harmed_late_pct, liars.harmed_early_pct, liars.harmed_late_pct,
        alone.harmed_early_pct, alone.harmed_late_pct);
}

static void newcomers(void **state)
{
    struct econ_result r = run((struct econ_params){.newcomers = 20});

    (void)state;
    assert_true(r.first_median_min <= 4 * 60);
    assert_true(r.first_p90_min <= 24 * 60);
    assert_true(r.creditor_p90_min <= 24 * 60);
}

static void sponsored(void **state)
{
    struct econ_result r = run((struct econ_params){.sponsored_pct = 5});

    (void)state;
    assert_true(econ_pct(&r.by[ECON_SPONSORED]) >= 0.85 * econ_pct(&r.by[ECON_CONTRIBUTOR]));
}

static void real_signatures(void **state)
{
    struct econ_params p = {.n = 60, .days = 1, .seed = 1};
    struct econ_result mac, real;

    (void)state;
    econ_run(&p, &mac);
    assert_true(mac.pay_two > 0); /* cheques were drawn */
    p.real_crypto = true;
    econ_run(&p, &real);
    assert_true(mac.hash == real.hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("attack, free-riders: only leftovers, and contributors are served as by an oracle",
                 free_rider),
        sentence("the same seed gives the same economy, another seed another", same_again),
        sentence("without a shortage everybody is served", no_shortage),
        sentence("attack, few tries a call: more leftovers, contributors lose nothing", strategic),
        sentence("attack, whitewashers: a new name for each call gains nothing", whitewasher),
        sentence("attack, sybils without work: no creditor-class service at all", sybils_without_work),
        sentence("attack, sybils behind real work: at most 1 + kappa of it, whatever k is",
                 sybils_behind_work),
        sentence("attack, double spending with drawees away: bounded, proven, others keep their service",
                 double_spending),
        sentence("attack, withheld signatures: contributors keep their service", withheld),
        sentence("attack, inflated seconds: 5 % and no more", inflated),
        sentence("attack, droppers and lying contacts: callers learn who drops", droppers),
        sentence("newcomers who relay are served within a day, 9 of 10", newcomers),
        sentence("sponsored phones fare nearly as their sponsors", sponsored),
        sentence("real signatures change nothing", real_signatures),
    };
    return cmocka_run_group_tests_name("economy", tests, setup, NULL);
}
