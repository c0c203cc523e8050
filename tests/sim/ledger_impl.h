/* sim/ledger_impl.h - what the files of sim/ledger share. */
#ifndef ITO_SIM_LEDGER_IMPL_H
#define ITO_SIM_LEDGER_IMPL_H

#include "relay/audit.h"
#include "relay/clearing.h"
#include "relay/client.h"
#include "relay/flow.h"
#include "relay/select.h"
#include "sim/ledger.h"
#include "sim/prng.h"

#define DAY0           20000
#define NOBODY         UINT32_MAX
#define CANDIDATES     32
#define SAMPLED        96
#define GUARDS         8 /* favourites: those that served us well, the latest first (LEDGER.md §4) */
#define CONTACTS       8
#define FAKE_EDGE_S    1e9   /* what sybils and their attackers sign for each other */
#define STRANGERS_PCT  10.0  /* relay.strangers_pct */
#define SERVICE_STOP_S 150.0 /* relay/service.h: an unsigned call is stopped after 90 + 30 + 30 s */
#define GRACE_S        180.0

/* What few pairs have, apart: a pair is one line of the cache. */
struct pair_more {
    double risk_s; /* cheques of the peer that the holder took uncertified and still waits for */
    struct clearing_book book;
    struct clearing_state state;
    uint32_t n_told;               /* of the holder's proofs, those that the peer was told or need not be */
    struct ledger_quality quality; /* kept by callers in runs with bad relays */
    bool has_quality;
};

/* One side of a pair: the holder's account of `peer`. */
struct pair {
    uint32_t peer;
    struct ledger_account a;
    double gave_s;    /* not aged, for baselines */
    double pending_s; /* drawn on the holder by the peer, not presented yet: an honest drawer counts it */
    struct pair_more *more;
};
#define PAIR_ALIGN 64
_Static_assert(sizeof(struct pair) == PAIR_ALIGN, "a line of the cache");

struct pair_at { /* where the row of a peer is: 1 and up; 0: nowhere */
    uint32_t peer, row;
};

struct pairs {
    struct pair *rows;
    uint32_t n, max;
    struct pair_at *index;
    uint32_t size; /* of the index, a power of two */
};

/* A proof that an agent knows. */
struct known {
    uint32_t culprit, teller; /* NOBODY: its own */
    uint32_t told;
};

struct agent {
    enum econ_class class;
    bool is_relay, is_attacker, is_online, is_gone, is_defrauder, withholds, inflates, is_bad, lies;
    uint32_t alias; /* the name it goes by; whitewashers change it */
    float x, y;
    uint32_t slots;
    ns_t joined_at, first_service_at, first_creditor_at, up_since;
    double kappa;
    ns_t kappa_at;
    struct ledger_load *load;
    struct audit_plan *audits; /* of relays */
    struct pairs pairs;
    double gave_s, demand_s, got_creditor_s, used_s, online_s;
    double unsigned_s;
    uint32_t running; /* head of the list of calls on it */
    struct known *known;
    uint32_t n_known, max_known;
    uint32_t promised; /* head of the list of cheques that wait for it */
    uint32_t n_calls;
    uint32_t unsigned_stops; /* stopped for not signing, at anybody */
    struct econ_share share;
    uint32_t sponsors[2];
    uint32_t contacts[CONTACTS];
    struct ledger_credence credence[CONTACTS];
    uint32_t guards[GUARDS], n_guards;
    double trust; /* EigenTrust */
};

struct call {
    uint32_t caller, alias, relay, next, prev;
    uint32_t serial;
    enum ledger_class class;
    ns_t started_at, booked_at, ends_at;
    bool is_used, is_audit, is_counted, grace, is_creditor;
    uint8_t attempt;
};

enum event_type {
    EV_CALL,
    EV_RETRY,
    EV_UP,
    EV_DOWN,
    EV_TICK,
    EV_END,
    EV_GRACE,
    EV_AUDIT,
    EV_TRUST,
    EV_JOIN,
    EV_LEAVE
};

struct event {
    ns_t at;
    uint64_t order;
    enum event_type type;
    uint32_t who, serial;
    double s; /* seconds the call still wants */
};

/* A cheque taken at risk, to be presented when its drawee is back. */
struct promise {
    uint32_t drawer, drawee, payee, next;
    struct cheque cheque;
};

struct spot { /* one who is up, and where */
    uint32_t v;
    float x, y;
};

struct econ {
    struct econ_params p;
    struct econ_result *out;
    struct prng rng;
    ns_t now, end, count_from;
    int32_t today;
    struct agent *agents;
    uint32_t n_agents, next_alias;
    struct spot *online; /* side by side, as every call looks at many */
    uint32_t n_online, *online_at;
    struct event *events;
    uint32_t n_events, max_events;
    uint64_t order;
    struct call *calls;
    uint32_t n_calls, max_calls, free_call;
    struct promise *promises;
    uint32_t n_promises, max_promises, free_promise;
    double off_s; /* mean time down */
    uint64_t tranches[4], at_risk, decisions, tried;
    double stranger_s, all_s, fraud_s, inflated_s, inflated_of_s;
    uint64_t harmed[3], seen_calls[3], harmed_by_new[3], harmed_by_known[3];
    const struct receipt_crypto *crypto;
};

double econ_random(struct econ *e);
uint32_t econ_below(struct econ *e, uint32_t n);
struct pair *econ_pair(struct econ *e, uint32_t holder, uint32_t peer, bool make);
struct pair_more *econ_more(struct econ *e, uint32_t holder, uint32_t peer);
double econ_kappa(struct econ *e, uint32_t v);
double econ_avail(void *arg, uint32_t v, uint32_t alias);

/* ledger_report.c: what came of it, into e->out */
void econ_report(struct econ *e);

/* ledger_pay.c */
size_t pay_payable(struct econ *e, uint32_t payer, uint32_t out[static FLOW_NEIGHBOURS]);
enum flow_kind pay_find(struct econ *e, uint32_t relay, uint32_t payer, const uint32_t *payable, size_t n,
                        struct flow_path *path);
/* Use the path for one tranche: cheques are drawn, signed, verified and cleared. */
bool pay_use(struct econ *e, uint32_t relay, uint32_t payer, const struct flow_path *path);
/* The client asks the relay for its digest: it hears proofs, as relay/service_pay and relay/client do it. */
void pay_hear(struct econ *e, uint32_t client, uint32_t relay);
void pay_present(struct econ *e, uint32_t drawee);
const struct receipt_crypto *pay_mac(void);
void pay_key(uint32_t alias, uint8_t out[static 32]);

/* ledger_base.c: the class of a caller under a baseline */
enum ledger_class base_class(struct econ *e, uint32_t relay, uint32_t caller);
bool base_has_pool(enum econ_policy policy);
bool base_admits(struct econ *e, uint32_t relay, uint32_t caller);
void base_trust(struct econ *e);

#endif
