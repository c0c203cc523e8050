/* relay/ledger_db.h - the ledger's rows in SQLite (LEDGER.md §5).
 *
 * WAL, synchronous=FULL: what a call returned ERR_OK for (outside a batch), or ledger_db_commit() did, survives
 * kill -9 and power loss. The newest doubly signed statement of a pair wins; an older one is never written over
 * it. A corrupt file is renamed to FILE.corrupt-N and named in the detail; a new one begins with a higher
 * incarnation. Signatures are the caller's business: only verified statements come here.
 *
 *   owner  ledger_db_open(); one writer, this thread
 *   caps   LEDGER_DB_ACCOUNTS rows (the smallest by value goes), LEDGER_DB_QUALS; LEDGER_DB_PROOFS, of them
 *          LEDGER_DB_HEARD that others told, LEDGER_DB_HEARD_OF of one teller (the oldest of those goes) */
#ifndef ITO_RELAY_LEDGER_DB_H
#define ITO_RELAY_LEDGER_DB_H

#include "relay/clearing.h"
#include "relay/receipt.h"

#define LEDGER_DB_ACCOUNTS  4096
#define LEDGER_DB_PROOFS    1024
#define LEDGER_DB_HEARD     512
#define LEDGER_DB_HEARD_OF  16
#define LEDGER_DB_TELL      16 /* peers to whom one proof is passed on */
#define LEDGER_DB_QUALS     1024
#define LEDGER_DB_CHEQUES   4096 /* in, and as many out */
#define LEDGER_DB_KEEP_DAYS 60   /* a zero balance is forgotten after that */

struct ledger_db;

struct ledger_row {
    uint8_t peer[32], me[32]; /* me: which of our keys the account is under */
    struct ledger_account account;
    double gave_s;         /* service we gave the peer, never aged */
    struct statement head; /* newest doubly signed; seq 0: none */
    bool has_head;
    uint64_t given_bytes, used_bytes; /* our own count, for the screens; in no statement */
};

/* path: a file, or ":memory:". On ERR_OK, detail is empty unless a corrupt file was put aside: then it says so. */
enum err ledger_db_open(const char *path, struct ledger_db **out, struct err_detail *detail);
void ledger_db_close(struct ledger_db *db); /* accepts NULL */

/* Writes between begin and commit become durable together (one tick). Not nested. */
enum err ledger_db_begin(struct ledger_db *db);
enum err ledger_db_commit(struct ledger_db *db);
void ledger_db_abort(struct ledger_db *db); /* nothing since begin happened */

/* The account of peer under our key me. ERR_NOT_FOUND: *out is an empty row with its keys set. */
enum err ledger_db_get(struct ledger_db *db, const uint8_t me[static 32], const uint8_t peer[static 32],
                       struct ledger_row *out);
/* Take a doubly signed statement of which `me` is one side: totals, S, D and head move. ERR_REPLAY: not newer. */
enum err ledger_db_put_statement(struct ledger_db *db, const uint8_t me[static 32], const struct statement *s,
                                 int32_t today);
enum err ledger_db_add_bytes(struct ledger_db *db, const uint8_t me[static 32], const uint8_t peer[static 32],
                             uint64_t given, uint64_t used);
enum err ledger_db_set_sponsor(struct ledger_db *db, const uint8_t me[static 32],
                               const uint8_t peer[static 32], double line_s);

/* The half that we signed and the other side has not answered: never sign another with its seq. */
enum err ledger_db_put_pending(struct ledger_db *db, const uint8_t me[static 32],
                               const struct statement *half);
enum err ledger_db_get_pending(struct ledger_db *db, const uint8_t me[static 32],
                               const uint8_t peer[static 32], struct statement *out);
/* Dropped by ledger_db_put_statement() when its seq is reached. */

enum err ledger_db_put_proof(struct ledger_db *db, const uint8_t culprit[static 32], int kind,
                             struct slice blob);
/* The same for one that `teller` showed. Checked, as it must be (clearing_proof_check), it still may be of no use:
 * anybody can make two cheques of a name that nobody knows. So it never takes the room of those we found ourselves. */
enum err ledger_db_put_heard(struct ledger_db *db, const uint8_t culprit[static 32],
                             const uint8_t teller[static 32],
                             const uint8_t proof[static CLEARING_PROOF_BYTES]);
/* The next overdraw proof to tell `peer`, after number *no, which moves: never one against it, or of its own telling,
 * nor one that LEDGER_DB_TELL peers were told. It counts as told. ERR_NOT_FOUND: none. */
enum err ledger_db_tell(struct ledger_db *db, const uint8_t peer[static 32], int64_t *no,
                        uint8_t out[static CLEARING_PROOF_BYTES]);
bool ledger_db_has_proof(struct ledger_db *db, const uint8_t culprit[static 32]);

/* A cheque moved what the peer owes us (clearing_book_*): no statement, no service. */
enum err ledger_db_owe(struct ledger_db *db, const uint8_t me[static 32], const uint8_t peer[static 32],
                       double slot_s, int32_t today);

/* Cheques we drew: the next range on a drawee, and the cheque that took it, on disk before it leaves. The ranges of a
 * database begin above all that one lost before its day can have drawn: no honest drawer draws a range twice. */
enum err ledger_db_book(struct ledger_db *db, const uint8_t drawee[static 32], struct clearing_book *out);
enum err ledger_db_put_drawn(struct ledger_db *db, const struct cheque *c);
/* Cheques that came to us. ERR_FULL: LEDGER_DB_CHEQUES are there. */
enum ledger_cheque_state {
    LEDGER_CHEQUE_WAITS,   /* we are the payee and took it at risk */
    LEDGER_CHEQUE_CLEARED, /* the drawee paid */
    LEDGER_CHEQUE_BOUNCED, /* or would not */
    LEDGER_CHEQUE_PAID     /* we are the drawee and paid */
};
enum err ledger_db_put_cheque(struct ledger_db *db, const struct cheque *c, enum ledger_cheque_state state);
enum err ledger_db_get_cheque(struct ledger_db *db, const uint8_t hash[static 16], struct cheque *out,
                              enum ledger_cheque_state *state);
/* A paid cheque of the same drawer over part of the same range. ERR_NOT_FOUND: none. */
enum err ledger_db_overlap(struct ledger_db *db, const struct cheque *c, struct cheque *out);
/* What waits of a drawer, or of a drawee, in slot-seconds. */
double ledger_db_waits_of_drawer(struct ledger_db *db, const uint8_t key[static 32]);
double ledger_db_waits_of_drawee(struct ledger_db *db, const uint8_t key[static 32]);
/* The oldest that waits for this drawee. ERR_NOT_FOUND: none. */
enum err ledger_db_next_waiting(struct ledger_db *db, const uint8_t drawee[static 32], struct cheque *out);

enum err ledger_db_get_quality(struct ledger_db *db, const uint8_t relay[static 32],
                               struct ledger_quality *out);
enum err ledger_db_put_quality(struct ledger_db *db, const uint8_t relay[static 32],
                               const struct ledger_quality *q);

/* Small settings and counters ("inc", "month-2026-11"); a missing key gives `otherwise`. */
int64_t ledger_db_get_cfg(struct ledger_db *db, const char *key, int64_t otherwise);
enum err ledger_db_set_cfg(struct ledger_db *db, const char *key, int64_t value);
/* The incarnation for statements of pairs we know nothing of. */
uint16_t ledger_db_inc(struct ledger_db *db);

typedef void (*ledger_row_cb)(void *arg, const struct ledger_row *row);
void ledger_db_each(struct ledger_db *db, ledger_row_cb cb, void *arg);
struct ledger_totals {
    uint64_t given_bytes, used_bytes;
    uint64_t given_s, got_s; /* slot-seconds, from statements */
    uint32_t accounts;
};
void ledger_db_totals(struct ledger_db *db, struct ledger_totals *out);
/* Forget old empty accounts and what is over the caps; once a day. */
enum err ledger_db_evict(struct ledger_db *db, int32_t today);

#endif
