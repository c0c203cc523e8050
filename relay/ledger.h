/* relay/ledger.h - the arithmetic of the ledger (LEDGER.md §6, §7), pure: rows and time in, numbers out.
 *
 * Amounts are slot-seconds. S is what the peer gave us, D what it owes us net; both age by half in 30 days, by
 * the day, on our own clock. No global score exists: every number here is one account's view. */
#ifndef ITO_RELAY_LEDGER_H
#define ITO_RELAY_LEDGER_H

#include "base/env.h"

#define LEDGER_HALF_LIFE_DAYS 30
#define LEDGER_BOOST          5.0
#define LEDGER_L0_S           600.0   /* newcomers' allowance: the most that boost gives */
#define LEDGER_LINE_MAX_S     14400.0 /* 4 h */
#define LEDGER_KAPPA_HI       1.5
#define LEDGER_KAPPA_LO       0.25
#define LEDGER_KAPPA_LOAD     0.75 /* creditors' share of the slots, EWMA 4 h, from which credit is tight */
#define LEDGER_TRANCHE_S      300.0
#define LEDGER_HOPS_TRIED     8 /* common neighbours looked at for two hops */
#define LEDGER_QUAL_HALF_DAYS 14
#define LEDGER_SLOT_KBPS      128

/* One account as its holder sees it. Aged to `day`. */
struct ledger_account {
    double got_s;     /* S: service the peer gave us */
    double debt_s;    /* D: what the peer owes us, net; negative: we owe it */
    double sponsor_s; /* line granted by a sponsor, or by us as a sponsor */
    int32_t day;      /* days since 1970 of the last ageing */
    bool is_void;     /* a proof exists against it */
};

void ledger_age(struct ledger_account *a, int32_t today);
/* The peer served us for so long (got), or we it (gave). */
void ledger_got(struct ledger_account *a, double slot_s, int32_t today);
void ledger_gave(struct ledger_account *a, double slot_s, int32_t today);
/* A cheque moved what the peer owes us: up when it drew, down when it was paid. No service was given. */
void ledger_owe(struct ledger_account *a, double slot_s, int32_t today);
/* A sponsor forgives what its line refills: line_s in per_days, never below what is owed. Call before ledger_age(). */
void ledger_forgive(struct ledger_account *a, uint32_t line_s, uint16_t per_days, int32_t today);
double ledger_line(const struct ledger_account *a, double kappa);
/* What we can still collect for serving the peer; never below 0 for a void account. */
double ledger_avail(const struct ledger_account *a, double kappa);
double ledger_kappa(double creditor_share);

/* One common neighbour of relay and client: what each hop could carry. */
struct ledger_hop {
    double relay_avail;     /* avail_R(B): what R can collect from B */
    double neighbour_avail; /* avail_B(P), as B's digest or a cheque shows it */
};
/* Credit of P at R: direct, else the best of at most LEDGER_HOPS_TRIED hops. */
double ledger_credit(double direct_avail, const struct ledger_hop *hops, size_t n_hops);

/* First-hand quality of a relay (Beta mean, prior 1.5 good, 0.5 bad; half-life 14 d). */
struct ledger_quality {
    double good, bad;
    int32_t day;
    uint32_t uses;            /* score is shown from 3 on */
    uint32_t asked, answered; /* ALLOCATE sent, answered */
    uint32_t broke;           /* allocations that died under us */
    uint32_t unkept;          /* OK given, TURN refused; statements that claimed too much */
    double added_ms;          /* EWMA of delay and jitter it added */
};
void ledger_quality_age(struct ledger_quality *q, int32_t today);
void ledger_quality_note(struct ledger_quality *q, bool is_good, int32_t today);
double ledger_quality_mean(const struct ledger_quality *q); /* 0..1 */
/* How often what a contact said of a relay was what we then found there ourselves. */
struct ledger_credence {
    uint32_t right, wrong;
};
/* What one contact says of a relay. */
struct ledger_hearsay {
    double good, bad;
    int32_t day;
    struct ledger_credence credence; /* ours in that contact */
};
#define LEDGER_HEARSAY_MAX   2.0 /* observations, all contacts together */
#define LEDGER_HEARSAY_ROWS  16
#define LEDGER_HEARSAY_WORTH 0.5 /* of one's own */
/* We used a relay of which a contact had spoken. */
void ledger_credence_note(struct ledger_credence *c, const struct ledger_hearsay *said, bool was_good);
/* 0..1; 0 until it was right more often than wrong: so hearsay is never worse than none. */
double ledger_credence(const struct ledger_credence *c);
/* With hearsay of contacts: at most one observation each, half its worth times our credence in them,
 * LEDGER_HEARSAY_MAX in all. */
double ledger_quality_heard(const struct ledger_quality *q, const struct ledger_hearsay *heard, size_t n,
                            int32_t today);
/* Parts of the score in words' order: answered, stayed up, added delay, kept promises; each 0..1. */
struct ledger_score {
    double answered, stayed_up, added_delay, kept_promises;
    int score;     /* 0..100 */
    bool is_shown; /* false until 3 uses: print "-" */
};
struct ledger_score ledger_score(const struct ledger_quality *q);

/* Admission at a relay (LEDGER.md §7). */
enum ledger_class {
    LEDGER_GUEST = 0,
    LEDGER_CREDITOR = 1,
    LEDGER_STRANGER = 2,
    LEDGER_AUDIT = 3 /* a minute that another relay will owe us: one at a time, in no estimate */
};
enum ledger_verdict { LEDGER_ADMIT, LEDGER_QUEUE, LEDGER_BUSY, LEDGER_POOL_EMPTY };

#define LEDGER_LOAD_TAU_S       7200.0 /* EWMA 2 h */
#define LEDGER_KAPPA_TAU_S      14400.0
#define LEDGER_REQUEST_WEIGHT   32.0 /* relays that an honest client may ask within the minute it counts for */
#define LEDGER_MISSED_WEIGHT    8.0  /* relays that a creditor may have asked besides us */
#define LEDGER_CONTENDED        0.8  /* of the slots */
#define LEDGER_QUEUE_S          10
#define LEDGER_PREFIXES_MAX     256
#define LEDGER_PREFIX_WAYS      8  /* rows that one network may have: a request looks at no more */
#define LEDGER_REQUEST_GAP_S    60 /* one counted request per identity and prefix */
#define LEDGER_MEAN_CALL_S      600.0
#define LEDGER_GUEST_RESERVE_AT 4 /* slots from which the last one is kept for guests */

struct ledger_prefix { /* one /24 or /48 of strangers */
    uint64_t net;
    ns_t counted_at; /* last counted request */
    ns_t admitted_at;
};

struct ledger_load {
    uint32_t slots;                                         /* S */
    uint32_t used;                                          /* slots in use now */
    double strangers_pct;                                   /* phi, 0..100 */
    double creditor_load, stranger_load, stranger_requests; /* EWMA, erlang */
    double creditor_missed;                                 /* creditors who found no slot, EWMA, erlang */
    double creditor_used_ewma;                              /* of slots used by creditors, for kappa */
    uint32_t creditor_used;
    double pool_s;          /* strangers' bucket, slot-seconds */
    double mean_call_s;     /* of strangers: what the pool pays for one */
    double creditor_call_s; /* of creditors, whose calls move from relay to relay */
    uint32_t audits;        /* running */
    ns_t at;                /* of the last decay */
    struct ledger_prefix prefixes[LEDGER_PREFIXES_MAX];
};

void ledger_load_init(struct ledger_load *l, ns_t now, uint32_t slots, double strangers_pct);
/* We were offline since the last call: nothing of the load decayed meanwhile, nothing was in use. */
void ledger_load_resume(struct ledger_load *l, ns_t now);
/* A number for the /24 or /48 of an address; strangers are counted and served fairly by it. */
uint64_t ledger_prefix_of(const struct addr *a);
/* Decide on one request and count it (each identity and prefix once a minute). */
enum ledger_verdict ledger_admit(struct ledger_load *l, ns_t now, enum ledger_class cls, uint32_t slots,
                                 uint64_t prefix, uint32_t *retry_ms);
/* A creditor went away unserved. It could have been here: strangers who filled the relay did crowd it out, which no
 * count of theirs shows when each asks few relays. */
void ledger_missed(struct ledger_load *l, ns_t now, uint32_t slots);
/* A grant began to use slots; its end, after so many seconds of them. */
void ledger_began(struct ledger_load *l, ns_t now, enum ledger_class cls, uint32_t slots, uint64_t prefix);
void ledger_ended(struct ledger_load *l, ns_t now, enum ledger_class cls, uint32_t slots, double seconds);
/* o / S, 0..: above LEDGER_CONTENDED strangers share the pool. */
double ledger_load_share(struct ledger_load *l, ns_t now);
double ledger_load_kappa(struct ledger_load *l, ns_t now);

#endif
