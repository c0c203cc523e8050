/* sim/ledger.h - an economy of callers and relays in virtual time, on the shipped ledger (LEDGER.md §10).
 *
 * Accounts, lines, payment paths, cheques and their clearing, admission, audits and the caller's choice are the
 * objects of relay/; only signatures are keyed 64-bit MACs behind receipt's verify. What is modelled here is the
 * world: who calls, who is up, who lies.
 *
 *   in     struct econ_params: the same seed and parameters give the same result, bit for bit
 *   out    struct econ_result
 *   caps   memory is O(callers + pairs that met) */
#ifndef ITO_SIM_LEDGER_H
#define ITO_SIM_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum econ_policy {
    ECON_LEDGER,
    ECON_NONE,
    ECON_ORACLE,
    ECON_TIT_FOR_TAT,
    ECON_BITSWAP,
    ECON_BARTER_BAN,
    ECON_BARTER_STRICT,
    ECON_EIGENTRUST,
    ECON_POLICIES
};

/* Zero means the default of LEDGER.md §10, given behind. */
struct econ_params {
    uint64_t seed;
    enum econ_policy policy;
    uint32_t n;      /* 1000 peers, sybils apart */
    double days;     /* 10; the first 40 % are not counted */
    double free_pct; /* 80: never relay */
    double rho;      /* 0.5: online slots per offered erlang */
    uint32_t slots;  /* 1 of each relay; heterogeneous: 1, 2, 4, 8 around it */
    bool heterogeneous, diurnal;
    double calls_per_day;    /* 12 */
    double call_s;           /* 600, exponential */
    double uptime_s;         /* 10800, exponential; the duty follows from rho */
    uint32_t hops;           /* 2 */
    uint32_t tries;          /* 16 relays a call of honest clients */
    uint32_t stranger_tries; /* 16; strategic strangers ask fewer */
    double crash_pct;        /* 2 % of going down are crashes; -1: none */
    double offline_pct;      /* drawees that cannot be reached though up */
    bool drawees_always_up;  /* the prototype's simplification */
    uint32_t attackers, sybils;
    double whitewash_pct;      /* of all peers, out of the free-riders */
    uint32_t newcomers;        /* relays that join at half time */
    double sponsored_pct;      /* phones with two sponsors, out of the free-riders */
    double fraud_pct;          /* relays that draw twice when the drawee is away */
    bool keeps_proofs;         /* nobody tells others of them */
    double withhold_pct;       /* clients that sign nothing, out of the relays */
    double inflate_pct;        /* relays that claim 50 % more */
    double bad_pct, liars_pct; /* relays that drop; contacts that lie about them */
    bool no_hearsay;           /* nobody asks contacts */
    bool departure;            /* 30 % of the relays leave at half time */
    bool real_crypto;
};

enum econ_class {
    ECON_CONTRIBUTOR,
    ECON_FREE,
    ECON_SYBIL,
    ECON_WHITEWASH,
    ECON_NEWCOMER,
    ECON_SPONSORED,
    ECON_CLASSES
};

struct econ_share {
    uint64_t calls, served, creditor; /* in the counted time */
};

struct econ_result {
    struct econ_share by[ECON_CLASSES];
    struct econ_share solvent;   /* contributors that gave at least their own demand */
    struct econ_share supply[4]; /* contributors by gave / demand: <.5, <1, <1.5, more */
    double sybil_gain;           /* creditor-class service of the region / service it gave */
    uint64_t started, cut;       /* of honest callers: attackers who ran out of credit are cut rightly */
    uint64_t migrated, overrun;
    double first_median_min, first_p90_min;             /* newcomer relays: joining to first service */
    double creditor_p90_min;                            /* and to creditor class */
    double stranger_capacity_pct;                       /* of all slot-seconds used */
    double gini;                                        /* of relay load: used / online */
    double pay_direct, pay_two, pay_three, pay_at_risk; /* shares of tranches */
    uint64_t heard;                                     /* proofs that others told */
    uint64_t bounced, proofs;                           /* cheques refused after they were taken at risk */
    double fraud_gain_s;                                /* a defrauder, mean */
    double withheld_s;   /* a withholder, mean: service got and never signed for */
    double inflated_pct; /* of what inflaters gave that was claimed and signed too much */
    double harmed_early_pct, harmed_late_pct, harmed_last_pct; /* calls 1-5, 21-40, from 61 on of a caller */
    double harmed_new_pct[3],
        harmed_known_pct[3];            /* of these by a relay not used before, used before; rest: chance */
    double accounts_max, accounts_mean; /* a relay */
    double tries_mean;
    uint64_t hash; /* of all that happened */
};

void econ_run(const struct econ_params *params, struct econ_result *out);
const char *econ_policy_name(enum econ_policy policy);
double econ_pct(const struct econ_share *s); /* served of calls; 0 when there were none */

#endif
