/* relay/receipt.h - the signed papers of the ledger (LEDGER.md §3): statement, cheque, cleared, sponsor line.
 *
 * A statement is the one live row of a pair of accounts, with totals that only grow; both sign its first 128
 * bytes. receipt_parse_*() gives hearsay (struct *_wire would be a copy of the same fields, so trust is told by
 * the function that was passed): only what receipt_verify_*() accepted may reach the ledger.
 *
 *   in     exactly RECEIPT_*_BYTES bytes; reserved bytes must be zero
 *   trust  keys that are no valid Ed25519 points are refused (THREATS.md §3) */
#ifndef ITO_RELAY_RECEIPT_H
#define ITO_RELAY_RECEIPT_H

#include "base/err.h"
#include "base/slice.h"

#define RECEIPT_KEY_BYTES  32
#define RECEIPT_SIG_BYTES  64
#define RECEIPT_BODY_BYTES 128 /* of a statement: what both sign */
#define RECEIPT_RLS1_BYTES 256
#define RECEIPT_RLC1_BYTES 188
#define RECEIPT_RLD1_BYTES 124
#define RECEIPT_RLP1_BYTES 148
#define RECEIPT_UNIT_S     30 /* totals are multiples of it */

/* RLS1. pk[0] < pk[1] as byte strings; side 0 is A. */
struct statement {
    uint8_t net_id[4];
    uint8_t pk[2][RECEIPT_KEY_BYTES];
    uint16_t inc;       /* incarnation: rises after a lost database */
    uint16_t flags;     /* 0 */
    uint16_t day;       /* UTC day since 1970 */
    uint32_t seq;       /* strictly up within an incarnation, from 1 */
    uint64_t served[2]; /* [0] = ab: slot-seconds A ever served B; [1] = ba */
    uint64_t claims[2]; /* [0] = cab: claims on B ever credited to A by cheques; [1] = cba */
    uint8_t prev[8];    /* first bytes of BLAKE2b-256 of the last doubly signed statement; zeros: the first */
    uint8_t sig[2][RECEIPT_SIG_BYTES]; /* zeros: not signed by that side */
};

struct cheque {
    uint8_t net_id[4];
    uint8_t drawer[RECEIPT_KEY_BYTES], drawee[RECEIPT_KEY_BYTES], payee[RECEIPT_KEY_BYTES];
    uint32_t amount, serial;
    uint64_t cum; /* all the drawer ever drew on this drawee, this one included */
    uint16_t day, ttl_days;
    uint8_t sig[RECEIPT_SIG_BYTES]; /* the drawer's */
};

struct cleared {
    uint8_t net_id[4];
    uint8_t drawee[RECEIPT_KEY_BYTES];
    uint8_t cheque_hash[16];
    uint8_t result;                 /* 0 refused, 1 cleared */
    uint8_t sig[RECEIPT_SIG_BYTES]; /* the drawee's */
};

struct sponsor_line {
    uint8_t net_id[4];
    uint8_t sponsor[RECEIPT_KEY_BYTES], beneficiary[RECEIPT_KEY_BYTES];
    uint32_t line_s;
    uint16_t per_days, expiry_day;
    uint32_t serial;
    uint8_t sig[RECEIPT_SIG_BYTES]; /* the sponsor's */
};

/* Who signs and checks: Ed25519, or what a simulation of thousands puts in its place. */
struct receipt_crypto {
    bool (*sign)(const uint8_t seed[static 32], struct slice document, const uint8_t must_be[static 32],
                 uint8_t sig[static RECEIPT_SIG_BYTES]);
    enum err (*verify)(const uint8_t key[static 32], struct slice document,
                       const uint8_t sig[static RECEIPT_SIG_BYTES]);
};
extern const struct receipt_crypto receipt_ed25519;

/* Which side `key` is: 0, 1, or -1 when it is none. */
int statement_side(const struct statement *s, const uint8_t key[static RECEIPT_KEY_BYTES]);
/* Start the pair's row: keys in order, all totals zero, seq 0. */
void statement_init(struct statement *s, const uint8_t net_id[static 4],
                    const uint8_t one[static RECEIPT_KEY_BYTES],
                    const uint8_t other[static RECEIPT_KEY_BYTES]);
/* The successor of a doubly signed statement, unsigned: seq + 1, prev, day, the same totals. */
void statement_next(const struct statement *last, uint16_t day, struct statement *out);
void statement_body(const struct statement *s, uint8_t out[static RECEIPT_BODY_BYTES]);
void statement_write(const struct statement *s, uint8_t out[static RECEIPT_RLS1_BYTES]);
/* The first 128 bytes alone, signatures zero. */
enum err statement_parse_body(struct slice bytes, struct statement *out);
enum err statement_parse(struct slice bytes, struct statement *out);
/* Sign as the side whose key belongs to this seed. ERR_REFUSED when neither does. */
enum err statement_sign(struct statement *s, const uint8_t seed[static 32]);
/* ERR_AUTH unless that side's signature is right. */
enum err statement_verify_side(const struct statement *s, int side);
/* ERR_AUTH unless both are. */
enum err statement_verify(const struct statement *s);
/* First 8 bytes of BLAKE2b-256 over all 256 bytes. */
void statement_hash(const struct statement *s, uint8_t out[static 8]);
/* May `next` follow `last` (NULL: nothing yet)? Same pair and network, seq and prev continue, no total falls. A
 * higher incarnation may follow anything of a lower one. ERR_REPLAY, ERR_REFUSED. */
enum err statement_follows(const struct statement *last, const struct statement *next);
/* Newer by (inc, seq). */
bool statement_newer(const struct statement *a, const struct statement *b);
/* Both signed by `side`, same pair, inc and seq, but different bodies: a fork proof against that side. */
bool statement_is_fork(const struct statement *a, const struct statement *b, int side);
/* What the other side owes `side` in slot-seconds (may be negative). */
int64_t statement_owed_to(const struct statement *s, int side);

void cheque_write(const struct cheque *c, uint8_t out[static RECEIPT_RLC1_BYTES]);
enum err cheque_parse(struct slice bytes, struct cheque *out);
enum err cheque_sign(struct cheque *c, const uint8_t drawer_seed[static 32]);
enum err cheque_verify(const struct cheque *c);
enum err cheque_sign_by(const struct receipt_crypto *by, struct cheque *c,
                        const uint8_t drawer_seed[static 32]);
enum err cheque_verify_by(const struct receipt_crypto *by, const struct cheque *c);
void cheque_hash(const struct cheque *c, uint8_t out[static 16]);
/* Overlapping (cum - amount, cum] for different payees: an overdraw proof against the drawer. */
bool cheque_is_overdraw(const struct cheque *a, const struct cheque *b);

void cleared_write(const struct cleared *c, uint8_t out[static RECEIPT_RLD1_BYTES]);
enum err cleared_parse(struct slice bytes, struct cleared *out);
enum err cleared_sign(struct cleared *c, const uint8_t drawee_seed[static 32]);
enum err cleared_verify(const struct cleared *c);

void sponsor_write(const struct sponsor_line *p, uint8_t out[static RECEIPT_RLP1_BYTES]);
enum err sponsor_parse(struct slice bytes, struct sponsor_line *out);
enum err sponsor_sign(struct sponsor_line *p, const uint8_t sponsor_seed[static 32]);
enum err sponsor_verify(const struct sponsor_line *p);

#endif
