/* sim-ledger - the ledger's figures from its simulator, as `name value unit`, and the table of policies.
 *
 *   sim-ledger [n=1000] [seed=1] [seeds=5] [days=10] [jobs=2] [what=all|headline|table|core|bad] [json=0] [real=0]
 *
 * core: without attackers, ledger and oracle, for large n; headline: the ledger in all configurations; table: all
 * policies in five of them; bad: relays that harm calls. Each configuration runs with `seeds` seeds from `seed` on; a
 * value is their mean, and +- the half width of its 95 % interval (Student). The same arguments print the same bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/ledger.h"

#define SEEDS_MAX 32
#define JOBS_MAX  64

struct column {
    const char *name, *title;
    struct econ_params p;
};

/* The columns of LEDGER.md §11's table. */
static const struct column columns[] = {
    {"fr80", "FR 80 %, rho .5", {.free_pct = 80, .rho = 0.5}},
    {"fr90", "FR 90 %, rho .25", {.free_pct = 90, .rho = 0.25}},
    {"audio", "audio: FR 97 %, rho .3, 2 slots", {.free_pct = 97, .rho = 0.3, .slots = 2}},
    {"sybil70",
     "FR 70 %, rho .75, 5 attackers, 70 sybils",
     {.free_pct = 70, .rho = 0.75, .attackers = 5, .sybils = 70}},
    {"sybil280", "the same, 280 sybils", {.free_pct = 70, .rho = 0.75, .attackers = 5, .sybils = 280}},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

enum extra {
    X_NO_SHORTAGE,
    X_NO_SHORTAGE_70,
    X_SYBIL0,
    X_NO_WORK,
    X_WHITEWASH,
    X_STRATEGIC_4,
    X_STRATEGIC_1,
    X_NEWCOMERS,
    X_SPONSORED,
    X_FRAUD,
    X_FRAUD_KEPT,
    X_WITHHOLD,
    X_INFLATE,
    X_BAD,
    X_BAD_LIARS,
    X_BAD_ALONE,
    X_MIXED,
    X_OFFLINE,
    X_DEPARTURE,
    X_THREE_HOPS,
    EXTRAS
};

static const struct econ_params extras[EXTRAS] = {
    [X_NO_SHORTAGE] = {.free_pct = 50, .rho = 1.5},
    [X_NO_SHORTAGE_70] = {.free_pct = 70, .rho = 2},
    [X_SYBIL0] = {.free_pct = 70, .rho = 0.75, .attackers = 5},
    [X_NO_WORK] = {.free_pct = 70, .rho = 0.75, .sybils = 140},
    [X_WHITEWASH] = {.whitewash_pct = 30},
    [X_STRATEGIC_4] = {.stranger_tries = 4},
    [X_STRATEGIC_1] = {.stranger_tries = 1},
    [X_NEWCOMERS] = {.newcomers = 30},
    [X_SPONSORED] = {.sponsored_pct = 5},
    [X_FRAUD] = {.fraud_pct = 5, .offline_pct = 20},
    [X_FRAUD_KEPT] = {.fraud_pct = 5, .offline_pct = 20, .keeps_proofs = true},
    [X_WITHHOLD] = {.withhold_pct = 5},
    [X_INFLATE] = {.inflate_pct = 10},
    [X_BAD] = {.bad_pct = 15, .free_pct = 50, .rho = 3},
    [X_BAD_LIARS] = {.bad_pct = 15, .liars_pct = 50, .free_pct = 50, .rho = 3},
    [X_BAD_ALONE] = {.bad_pct = 15, .no_hearsay = true, .free_pct = 50, .rho = 3},
    [X_MIXED] = {.heterogeneous = true, .diurnal = true},
    [X_OFFLINE] = {.offline_pct = 50},
    [X_DEPARTURE] = {.departure = true},
    [X_THREE_HOPS] = {.hops = 3},
};

struct job {
    struct econ_params p;
    struct econ_result r[SEEDS_MAX];
    bool is_wanted;
};

struct plan {
    struct job table[ECON_POLICIES][COLUMNS];
    struct job extra[EXTRAS];
    uint32_t seeds, workers;
    bool json;
    bool is_first;
};

/* --- running: one process a run, so that both cores work and nothing is shared --- */

struct running {
    pid_t pid;
    int fd;
    struct econ_result *to;
};

static void collect(struct running *all, uint32_t *n)
{
    pid_t pid = waitpid(-1, NULL, 0);

    for (uint32_t i = 0; i < *n; i++) {
        if (all[i].pid != pid)
            continue;
        if (read(all[i].fd, all[i].to, sizeof *all[i].to) != (ssize_t)sizeof *all[i].to) {
            fprintf(stderr, "sim-ledger: a run died\n");
            exit(1);
        }
        close(all[i].fd);
        all[i] = all[--*n];
        return;
    }
}

static void launch(const struct econ_params *p, struct econ_result *to, struct running *all, uint32_t *n)
{
    int fds[2];

    if (pipe(fds) != 0)
        exit(1);
    all[*n] = (struct running){.pid = fork(), .fd = fds[0], .to = to};
    if (all[*n].pid == 0) {
        struct econ_result r;

        econ_run(p, &r);
        _exit(write(fds[1], &r, sizeof r) == (ssize_t)sizeof r ? 0 : 1);
    }
    close(fds[1]);
    ++*n;
}

static void run_all(struct job *const *jobs, size_t n_jobs, uint32_t seeds, uint32_t workers)
{
    struct running all[JOBS_MAX];
    uint32_t n = 0;

    for (size_t i = 0; i < n_jobs; i++) {
        for (uint32_t s = 0; s < seeds; s++) {
            struct econ_params p = jobs[i]->p;

            p.seed += s;
            if (n >= workers)
                collect(all, &n);
            launch(&p, &jobs[i]->r[s], all, &n);
        }
    }
    while (n > 0)
        collect(all, &n);
}

/* --- values --- */

typedef double (*value_fn)(const struct econ_result *r);

#define VALUE(name, expression)                     \
    static double name(const struct econ_result *r) \
    {                                               \
        return expression;                          \
    }
VALUE(contributors, econ_pct(&r->by[ECON_CONTRIBUTOR]))
VALUE(solvent, econ_pct(&r->solvent))
VALUE(free_riders, econ_pct(&r->by[ECON_FREE]))
VALUE(sybils, econ_pct(&r->by[ECON_SYBIL]))
VALUE(whitewashers, econ_pct(&r->by[ECON_WHITEWASH]))
VALUE(sponsored, econ_pct(&r->by[ECON_SPONSORED]))
VALUE(gain, r->sybil_gain)
VALUE(gini, r->gini)
VALUE(cut, r->started > 0 ? 100 * (double)r->cut / (double)r->started : 0)
VALUE(migrated, r->started > 0 ? 100 * (double)r->migrated / (double)r->started : 0)
VALUE(first_median, r->first_median_min)
VALUE(first_p90, r->first_p90_min)
VALUE(creditor_p90, r->creditor_p90_min)
VALUE(fraud, r->fraud_gain_s)
VALUE(proofs, (double)r->proofs)
VALUE(withheld, r->withheld_s)
VALUE(inflated, r->inflated_pct)
VALUE(harmed_early, r->harmed_early_pct)
VALUE(harmed_late, r->harmed_late_pct)
VALUE(harmed_last, r->harmed_last_pct)
VALUE(harmed_late_new, r->harmed_new_pct[1])
VALUE(harmed_late_known, r->harmed_known_pct[1])
VALUE(harmed_last_new, r->harmed_new_pct[2])
VALUE(harmed_last_known, r->harmed_known_pct[2])
VALUE(strangers_capacity, r->stranger_capacity_pct)
VALUE(supply_low, econ_pct(&r->supply[1]))
VALUE(pay_direct, 100 * r->pay_direct)
VALUE(pay_two, 100 * r->pay_two)
VALUE(pay_at_risk, 100 * r->pay_at_risk)
VALUE(accounts, r->accounts_max)
VALUE(sybil_creditor, r->by[ECON_SYBIL].calls > 0
                          ? 100 * (double)r->by[ECON_SYBIL].creditor / (double)r->by[ECON_SYBIL].calls
                          : 0)

static double all_classes(const struct econ_result *r)
{
    struct econ_share sum = {0};

    for (int i = 0; i < ECON_CLASSES; i++) {
        sum.calls += r->by[i].calls;
        sum.served += r->by[i].served;
    }
    return econ_pct(&sum);
}

struct estimate {
    double mean, half;
};

static double student(uint32_t n)
{
    static const double t[] = {0, 0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262};

    return n < sizeof t / sizeof t[0] ? t[n] : 2;
}

static struct estimate of(const struct job *j, uint32_t seeds, value_fn f)
{
    struct estimate e = {0, 0};
    double squares = 0;

    for (uint32_t s = 0; s < seeds; s++)
        e.mean += f(&j->r[s]) / seeds;
    for (uint32_t s = 0; s < seeds; s++)
        squares += (f(&j->r[s]) - e.mean) * (f(&j->r[s]) - e.mean);
    if (seeds > 1)
        e.half = student(seeds) * sqrt(squares / (seeds - 1) / seeds);
    return e;
}

static void print(struct plan *p, const char *name, struct estimate e, const char *unit)
{
    if (p->json)
        printf("%s{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"ci95\":%.3f}", p->is_first ? "" : "\n",
               name, e.mean, unit, e.half);
    else
        printf("%s %.2f %s +-%.2f\n", name, e.mean, unit, e.half);
    p->is_first = false;
}

static void say(struct plan *p, const char *name, const struct job *j, value_fn f, const char *unit)
{
    if (j->is_wanted)
        print(p, name, of(j, p->seeds, f), unit);
}

/* What one has less than the other, in points. */
static void say_difference(struct plan *p, const char *name, const struct job *a, const struct job *b,
                           value_fn f, value_fn g)
{
    struct estimate x = of(a, p->seeds, f), y = of(b, p->seeds, g);

    if (a->is_wanted && b->is_wanted)
        print(p, name, (struct estimate){x.mean - y.mean, sqrt(x.half * x.half + y.half * y.half)}, "points");
}

/* --- what is printed --- */

static void headline(struct plan *p)
{
    struct job *fr80 = &p->table[ECON_LEDGER][0], *fr90 = &p->table[ECON_LEDGER][1], *x = p->extra;
    struct job *audio = &p->table[ECON_LEDGER][2];
    struct job *sybil70 = &p->table[ECON_LEDGER][3], *sybil280 = &p->table[ECON_LEDGER][4];

    say(p, "fr80_rho50_contributors_pct", fr80, contributors, "pct");
    say(p, "fr80_rho50_solvent_pct", fr80, solvent, "pct");
    say(p, "fr80_rho50_unlucky_pct", fr80, supply_low, "pct");
    say(p, "fr80_rho50_freeriders_pct", fr80, free_riders, "pct");
    say(p, "fr80_rho50_oracle_contributors_pct", &p->table[ECON_ORACLE][0], contributors, "pct");
    say(p, "fr80_rho50_oracle_freeriders_pct", &p->table[ECON_ORACLE][0], free_riders, "pct");
    say(p, "fr90_rho25_contributors_pct", fr90, contributors, "pct");
    say(p, "fr90_rho25_solvent_pct", fr90, solvent, "pct");
    say(p, "fr90_rho25_unlucky_pct", fr90, supply_low, "pct");
    say(p, "fr90_rho25_freeriders_pct", fr90, free_riders, "pct");
    say(p, "fr90_rho25_oracle_contributors_pct", &p->table[ECON_ORACLE][1], contributors, "pct");
    say(p, "fr90_rho25_oracle_freeriders_pct", &p->table[ECON_ORACLE][1], free_riders, "pct");
    say(p, "audio_contributors_pct", audio, contributors, "pct");
    say(p, "audio_solvent_pct", audio, solvent, "pct");
    say(p, "audio_freeriders_pct", audio, free_riders, "pct");
    say(p, "sybil_gain_0", &x[X_SYBIL0], gain, "x");
    say(p, "sybil_gain_70", sybil70, gain, "x");
    say(p, "sybil_gain_280", sybil280, gain, "x");
    say(p, "sybil_no_work_creditor_pct", &x[X_NO_WORK], sybil_creditor, "pct");
    say_difference(p, "sybil_280_contributors_loss_points", &x[X_SYBIL0], sybil280, contributors,
                   contributors);
    say(p, "sybil_70_cut_calls_pct", sybil70, cut, "pct");
    say(p, "no_contention_all_pct", &x[X_NO_SHORTAGE], all_classes, "pct");
    say(p, "no_contention_freeriders_pct", &x[X_NO_SHORTAGE], free_riders, "pct");
    say(p, "no_contention_fr70_rho200_freeriders_pct", &x[X_NO_SHORTAGE_70], free_riders, "pct");
    say_difference(p, "whitewash_gain_points", &x[X_WHITEWASH], &x[X_WHITEWASH], whitewashers, free_riders);
    say_difference(p, "strategic_contributors_loss_points", fr80, &x[X_STRATEGIC_4], contributors,
                   contributors);
    say_difference(p, "strategic_1_contributors_loss_points", fr80, &x[X_STRATEGIC_1], contributors,
                   contributors);
    say(p, "strategic_freeriders_pct", &x[X_STRATEGIC_4], free_riders, "pct");
    say(p, "strategic_1_freeriders_pct", &x[X_STRATEGIC_1], free_riders, "pct");
    say(p, "newcomer_first_service_median_min", &x[X_NEWCOMERS], first_median, "min");
    say(p, "newcomer_first_service_p90_min", &x[X_NEWCOMERS], first_p90, "min");
    say(p, "newcomer_creditor_p90_min", &x[X_NEWCOMERS], creditor_p90, "min");
    say(p, "sponsored_pct", &x[X_SPONSORED], sponsored, "pct");
    say(p, "sponsored_contributors_pct", &x[X_SPONSORED], contributors, "pct");
    say(p, "cut_calls_pct", fr80, cut, "pct");
    say(p, "cut_calls_fr90_pct", fr90, cut, "pct");
    say(p, "migrated_calls_pct", fr80, migrated, "pct");
    say(p, "load_gini", fr80, gini, "1");
    say(p, "load_gini_oracle", &p->table[ECON_ORACLE][0], gini, "1");
    say(p, "strangers_capacity_pct", fr80, strangers_capacity, "pct");
    say(p, "paid_direct_pct", fr80, pay_direct, "pct");
    say(p, "paid_two_hops_pct", fr80, pay_two, "pct");
    say(p, "paid_at_risk_pct", fr80, pay_at_risk, "pct");
    say(p, "accounts_at_a_relay_max", fr80, accounts, "1");
    say(p, "three_hops_contributors_pct", &x[X_THREE_HOPS], contributors, "pct");
    say(p, "fraud_contributors_pct", &x[X_FRAUD], contributors, "pct");
    say(p, "fraud_gain_slot_s", &x[X_FRAUD], fraud, "slot_s");
    say(p, "fraud_proofs", &x[X_FRAUD], proofs, "1");
    say(p, "fraud_proofs_kept_contributors_pct", &x[X_FRAUD_KEPT], contributors, "pct");
    say(p, "fraud_proofs_kept_gain_slot_s", &x[X_FRAUD_KEPT], fraud, "slot_s");
    say(p, "withheld_slot_s", &x[X_WITHHOLD], withheld, "slot_s");
    say(p, "withhold_contributors_pct", &x[X_WITHHOLD], contributors, "pct");
    say(p, "inflated_pct", &x[X_INFLATE], inflated, "pct");
    say(p, "bad_relays_harmed_early_pct", &x[X_BAD], harmed_early, "pct");
    say(p, "bad_relays_harmed_late_pct", &x[X_BAD], harmed_late, "pct");
    say(p, "bad_relays_harmed_last_pct", &x[X_BAD], harmed_last, "pct");
    say(p, "bad_relays_harmed_late_by_new_pct", &x[X_BAD], harmed_late_new, "pct");
    say(p, "bad_relays_harmed_late_by_known_pct", &x[X_BAD], harmed_late_known, "pct");
    say(p, "bad_relays_harmed_last_by_new_pct", &x[X_BAD], harmed_last_new, "pct");
    say(p, "bad_relays_harmed_last_by_known_pct", &x[X_BAD], harmed_last_known, "pct");
    say(p, "bad_relays_liars50_harmed_early_pct", &x[X_BAD_LIARS], harmed_early, "pct");
    say(p, "bad_relays_liars50_harmed_late_pct", &x[X_BAD_LIARS], harmed_late, "pct");
    say(p, "bad_relays_liars50_harmed_last_pct", &x[X_BAD_LIARS], harmed_last, "pct");
    say(p, "bad_relays_own_only_harmed_early_pct", &x[X_BAD_ALONE], harmed_early, "pct");
    say(p, "bad_relays_own_only_harmed_late_pct", &x[X_BAD_ALONE], harmed_late, "pct");
    say(p, "bad_relays_own_only_harmed_last_pct", &x[X_BAD_ALONE], harmed_last, "pct");
    say(p, "diurnal_mixed_contributors_pct", &x[X_MIXED], contributors, "pct");
    say(p, "diurnal_mixed_freeriders_pct", &x[X_MIXED], free_riders, "pct");
    say(p, "drawees_offline_50_contributors_pct", &x[X_OFFLINE], contributors, "pct");
    say(p, "departure_contributors_pct", &x[X_DEPARTURE], contributors, "pct");
    say(p, "departure_cut_calls_pct", &x[X_DEPARTURE], cut, "pct");
}

static void table(struct plan *p)
{
    static const enum econ_policy order[] = {ECON_NONE,       ECON_TIT_FOR_TAT,   ECON_BITSWAP,
                                             ECON_BARTER_BAN, ECON_BARTER_STRICT, ECON_EIGENTRUST,
                                             ECON_LEDGER,     ECON_ORACLE};

    printf("\n| policy |");
    for (size_t c = 0; c < COLUMNS; c++)
        printf(" %s |", columns[c].title);
    printf("\n|---|");
    for (size_t c = 0; c < COLUMNS; c++)
        printf("---|");
    printf("\n");
    for (size_t i = 0; i < ECON_POLICIES; i++) {
        printf("| %s |", econ_policy_name(order[i]));
        for (size_t c = 0; c < COLUMNS; c++) {
            const struct job *j = &p->table[order[i]][c];
            bool is_sybil = j->p.sybils > 0;
            struct estimate a = of(j, p->seeds, contributors);

            printf(" %.1f ±%.1f / %.1f", a.mean, a.half,
                   of(j, p->seeds, is_sybil ? sybils : free_riders).mean);
            if (is_sybil)
                printf(", %.2f", of(j, p->seeds, gain).mean);
            printf(" |");
        }
        printf("\n");
    }
}

static void configure(struct plan *p, const char *what)
{
    bool all = strcmp(what, "all") == 0, core = strcmp(what, "core") == 0;
    bool bad = strcmp(what, "bad") == 0; /* relays that harm: S7 alone */

    for (int policy = 0; policy < ECON_POLICIES; policy++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            struct job *j = &p->table[policy][c];

            j->p = columns[c].p;
            j->p.policy = (enum econ_policy)policy;
            j->is_wanted = all || strcmp(what, "table") == 0 ||
                           (!bad && (policy == ECON_LEDGER || policy == ECON_ORACLE) && (c < 2 || !core));
        }
    }
    for (int i = 0; i < EXTRAS; i++) {
        p->extra[i].p = extras[i];
        p->extra[i].is_wanted = all || strcmp(what, "headline") == 0 || (bad && extras[i].bad_pct > 0);
    }
}

static size_t wanted(struct plan *p, const struct econ_params *base, struct job **out)
{
    size_t n = 0;

    for (int policy = 0; policy < ECON_POLICIES; policy++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            if (p->table[policy][c].is_wanted)
                out[n++] = &p->table[policy][c];
        }
    }
    for (int i = 0; i < EXTRAS; i++) {
        if (p->extra[i].is_wanted)
            out[n++] = &p->extra[i];
    }
    for (size_t i = 0; i < n; i++) {
        out[i]->p.n = base->n;
        out[i]->p.days = base->days;
        out[i]->p.seed = base->seed;
        out[i]->p.real_crypto = base->real_crypto;
    }
    return n;
}

int main(int argc, char **argv)
{
    struct plan *p = calloc(1, sizeof *p);
    struct econ_params base = {.n = 1000, .seed = 1, .days = 10};
    struct job *jobs[ECON_POLICIES * COLUMNS + EXTRAS];
    const char *what = "all";

    p->seeds = 5;
    p->workers = 2;
    p->is_first = true;
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        size_t len = value != NULL ? (size_t)(value - argv[i]) : 0;
        double v = value != NULL ? atof(value + 1) : 0;

        if (value == NULL) {
            fprintf(stderr, "sim-ledger: %s: not KEY=VALUE\n", argv[i]);
            free(p);
            return 2;
        }
        if (strncmp(argv[i], "n", len) == 0)
            base.n = v >= 50 ? (uint32_t)v : 50;
        else if (strncmp(argv[i], "seeds", len) == 0 && len == 5)
            p->seeds = v >= 1 && v <= SEEDS_MAX ? (uint32_t)v : 1;
        else if (strncmp(argv[i], "seed", len) == 0)
            base.seed = v >= 1 ? (uint64_t)v : 1;
        else if (strncmp(argv[i], "days", len) == 0)
            base.days = v > 0 ? v : 1;
        else if (strncmp(argv[i], "jobs", len) == 0)
            p->workers = v >= 1 && v <= JOBS_MAX ? (uint32_t)v : 1;
        else if (strncmp(argv[i], "json", len) == 0)
            p->json = v > 0;
        else if (strncmp(argv[i], "real", len) == 0)
            base.real_crypto = v > 0;
        else if (strncmp(argv[i], "what", len) == 0)
            what = value + 1;
        else {
            fprintf(stderr, "sim-ledger: %s: no such setting\n", argv[i]);
            free(p);
            return 2;
        }
    }
    configure(p, what);
    run_all(jobs, wanted(p, &base, jobs), p->seeds, p->workers);
    headline(p);
    if ((strcmp(what, "all") == 0 || strcmp(what, "table") == 0) && !p->json)
        table(p);
    free(p);
    return 0;
}
