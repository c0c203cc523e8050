/* relay/select.h - which relays to ask, in which order: pure.
 *
 * Relays that were bad or refused twice come last. Rank first by how we can pay, then by utility: estimated voice quality (E-model)
 * over both legs, less what first-hand quality, load and a little noise take away (LEDGER.md §7). Candidates below
 * min_score or on the never-list are out; two of one /24, /48 do not stand next to each other among the first.
 *
 *   out    order: indices into candidates, best first; returns how many
 *   caps   SELECT_MAX candidates are looked at */
#ifndef ITO_RELAY_SELECT_H
#define ITO_RELAY_SELECT_H

#include "base/addr.h"

#define SELECT_MAX           32
#define SELECT_PARALLEL      3   /* ask so many at once */
#define SELECT_TRIES         16  /* and so many in all */
#define SELECT_RETRY_S       15  /* twice */
#define SELECT_QUALITY_FLOOR 0.6 /* below: more often bad than a new one is believed to be */

enum select_pay { SELECT_DIRECT, SELECT_TWO_HOPS, SELECT_SLACK, SELECT_REST };

struct select_candidate {
    uint8_t id[32];
    struct addr addr;
    double rtt_us_ms;   /* to us; negative: unknown */
    double rtt_peer_ms; /* from the relay to their proxy; negative: unknown; 0 when it is the same relay */
    double loss;        /* 0..1 */
    double jitter_ms;
    double quality; /* ledger_quality_mean() */
    int score;      /* 0..100, or -1: not yet shown (fewer than 3 uses) */
    uint8_t load_pct;
    enum select_pay pay;
    double owes_us; /* 0..1: how much of it is our claim; the soft preference for relays in debt */
    bool is_guard;
    uint32_t failures; /* in a row, recent */
};

struct select_policy {
    int min_score;
    const uint8_t (*never)[32]; /* relays.never */
    size_t n_never;
    const uint8_t *not_this;  /* relay-only: never the other side's relay; NULL: may be */
    const struct addr *apart; /* the relay in use, when a standby is chosen: another net first; NULL */
    uint32_t noise_seed;      /* herding is worse than chance; the same seed gives the same order */
};

size_t select_rank(const struct select_candidate *candidates, size_t n, const struct select_policy *policy,
                   uint8_t order[static SELECT_MAX]);
/* E-model R factor, 0..93, for a round trip, loss and jitter (ITU-T G.107, reduced). */
double select_r_factor(double rtt_ms, double loss, double jitter_ms);

#endif
