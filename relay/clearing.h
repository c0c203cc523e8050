/* relay/clearing.h - cheques: what each of the three parties may do with one, pure (LEDGER.md §3, §4).
 *
 * A cheque takes the range (cum - amount, cum] of what its drawer ever drew on the drawee, and no part of a range
 * twice: two cheques over the same part, for different payees, are a proof against the drawer.
 *
 *   drawer   clearing_draw(): the next range
 *   payee    clearing_may_take(): certified by the drawee, or at its own risk within two caps
 *   drawee   clearing_clear(): exact, by gaps in what was presented; both accounts then move by the amount
 *
 *   trust    cheques here are verified (cheque_verify)
 *   caps     CLEARING_GAPS ranges not yet presented a drawer (the oldest is given up), CLEARING_PER_DRAWER_S and
 *            CLEARING_PER_DRAWEE_S at risk, ttl at most CLEARING_TTL_DAYS */
#ifndef ITO_RELAY_CLEARING_H
#define ITO_RELAY_CLEARING_H

#include "relay/ledger.h"
#include "relay/receipt.h"

#define CLEARING_TTL_DAYS     7
#define CLEARING_SKEW_DAYS    1 /* of calendars */
#define CLEARING_GAPS         8
#define CLEARING_PER_DRAWER_S LEDGER_TRANCHE_S
#define CLEARING_PER_DRAWEE_S (4 * LEDGER_TRANCHE_S)
#define CLEARING_AMOUNT_MAX_S (4 * LEDGER_TRANCHE_S) /* of one cheque */
#define CLEARING_PROOF_BYTES  (2 * RECEIPT_RLC1_BYTES)
#define CLEARING_FORK_BYTES   (2 * RECEIPT_RLS1_BYTES)

/* The drawer's side of one drawee. */
struct clearing_book {
    uint64_t cum;
    uint32_t serial;
};

/* The drawee's side of one drawer: all up to `top` was presented, but for the gaps. */
struct clearing_state {
    uint64_t top;
    struct {
        uint64_t from, to; /* (from, to] */
    } gaps[CLEARING_GAPS]; /* in rising order */
    uint8_t n_gaps;
};

enum clearing_verdict {
    CLEARING_OK,
    CLEARING_TWICE, /* part of the range was presented before: look for the other cheque, it may be a proof */
    CLEARING_NO_FUND, /* the drawer's account does not cover it */
    CLEARING_EXPIRED,
    CLEARING_AMOUNT,  /* under a tranche, so that few rows hold much, or over CLEARING_AMOUNT_MAX_S */
    CLEARING_AT_RISK, /* the payee already waits for as much as it may */
    CLEARING_VOID     /* a proof exists against one of them */
};

enum clearing_proof { CLEARING_FORK = 1, CLEARING_OVERDRAW };

/* Take the next range of the book. Unsigned; the book must be on disk before the cheque leaves. */
void clearing_draw(struct clearing_book *book, uint32_t amount, uint16_t day, struct cheque *out);
/* Is it of these days, by our calendar? */
enum clearing_verdict clearing_check_day(const struct cheque *c, int32_t today);
/* At the drawee: may this one be paid from an account with so much left? The state moves on CLEARING_OK alone. */
enum clearing_verdict clearing_clear(struct clearing_state *state, const struct cheque *c,
                                     const struct ledger_account *drawer, double avail_s, int32_t today);
/* At the payee, without asking the drawee: what waits already, of this drawer and of this drawee. `room_s` is what we
 * can collect from the drawee; is_sponsored: the drawee's sponsor line for the drawer was shown, it answers for it. */
enum clearing_verdict clearing_may_take(const struct cheque *c, double waits_of_drawer_s,
                                        double waits_of_drawee_s, double room_s, bool is_sponsored,
                                        int32_t today);
/* The three accounts of one cleared cheque, each at its holder: what the peer owes us moves. */
void clearing_book_drawee(struct ledger_account *drawer, struct ledger_account *payee, double amount_s,
                          int32_t today);
void clearing_book_payee(struct ledger_account *drawer, struct ledger_account *drawee, double amount_s,
                         int32_t today);
void clearing_book_drawer(struct ledger_account *drawee, struct ledger_account *payee, double amount_s,
                          int32_t today);
/* Overdraw proof: two cheques, 376 bytes. Anyone can check it; the culprit is the drawer. */
void clearing_proof_write(const struct cheque *a, const struct cheque *b,
                          uint8_t out[static CLEARING_PROOF_BYTES]);
enum err clearing_proof_check(struct slice bytes, uint8_t culprit[static RECEIPT_KEY_BYTES]);
/* Fork proof: two statements of one pair, inc and seq, signed by `culprit`, 512 bytes. */
void clearing_fork_write(const struct statement *a, const struct statement *b,
                         uint8_t out[static CLEARING_FORK_BYTES]);
enum err clearing_fork_check(struct slice bytes, uint8_t culprit[static RECEIPT_KEY_BYTES]);

#endif
