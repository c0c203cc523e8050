/* relay/favour_db.h - rows of ledger.db about what contacts do for each other, and whom we tried out.
 *
 *   owner  the ledger_db they lie in; each call is durable when it returns ERR_OK, or part of its batch
 *   trust  papers were verified before they come here; hearsay is what a contact said
 *   caps   FAVOUR_PASSES, FAVOUR_GIVEN, FAVOUR_LINES, FAVOUR_HEARD rows, of one contact FAVOUR_HEARD_OF_ONE;
 *          FAVOUR_AUDITS: the oldest makes room */
#ifndef ITO_RELAY_FAVOUR_DB_H
#define ITO_RELAY_FAVOUR_DB_H

#include "base/addr.h"
#include "crypto/zone.h"
#include "relay/ledger_db.h"

#define FAVOUR_PASSES       64
#define FAVOUR_GIVEN        256
#define FAVOUR_LINES        64
#define FAVOUR_HEARD        4096
#define FAVOUR_HEARD_OF_ONE LEDGER_HEARSAY_ROWS
#define FAVOUR_HEARD_DAYS   60 /* older hearsay is forgotten */
#define FAVOUR_PASS_DAYS    14 /* two weeks of the relay's key */
#define FAVOUR_AUDITS       1024

/* A guest pass that we hold. */
struct favour_pass {
    uint8_t relay[32], contact[32], pass[GUEST_PASS_BYTES];
    struct addr addr;
    int32_t day;
};
enum err favour_db_put_pass(struct ledger_db *db, const struct favour_pass *p);
enum err favour_db_get_pass(struct ledger_db *db, const uint8_t relay[static 32], struct favour_pass *out);
void favour_db_each_pass(struct ledger_db *db, void (*cb)(void *arg, const struct favour_pass *p), void *arg);
/* All that came from that contact: passes, lines, hearsay. */
enum err favour_db_forget(struct ledger_db *db, const uint8_t contact[static 32]);

/* A sponsor line that we give. */
struct favour_given {
    uint8_t contact[32], account[32]; /* the account it is for, once they told it */
    bool has_account;
    uint32_t line_s, serial; /* line_s 0: taken back, and to be said so */
    uint16_t per_days;
    int32_t day; /* of the last refill */
};
enum err favour_db_put_given(struct ledger_db *db, const struct favour_given *g);
enum err favour_db_get_given(struct ledger_db *db, const uint8_t contact[static 32],
                             struct favour_given *out);
void favour_db_each_given(struct ledger_db *db, void (*cb)(void *arg, const struct favour_given *g),
                          void *arg);

/* Sponsor lines that we hold, by sponsor; contact: who gave it. The one with the higher serial stays. */
enum err favour_db_put_line(struct ledger_db *db, const struct sponsor_line *line);
enum err favour_db_get_line(struct ledger_db *db, const uint8_t sponsor[static 32], struct sponsor_line *out);
enum err favour_db_drop_line(struct ledger_db *db, const uint8_t sponsor[static 32]);
void favour_db_each_line(struct ledger_db *db, void (*cb)(void *arg, const struct sponsor_line *line),
                         void *arg);

/* Slot-seconds that we drew on a sponsor after that day. */
double favour_db_drawn(struct ledger_db *db, const uint8_t drawee[static 32], int32_t day);

/* Who pays with a cheque drawn by another key, its sponsored one: owes it again when it bounces. */
enum err favour_db_put_payer(struct ledger_db *db, const uint8_t hash[static 16],
                             const uint8_t account[static 32], int32_t day);
enum err favour_db_get_payer(struct ledger_db *db, const uint8_t hash[static 16], uint8_t account[static 32]);

/* Those on whom cheques wait, the longest waiting first. */
size_t favour_db_drawees(struct ledger_db *db, uint8_t (*out)[32], size_t max);

/* What a contact says of a relay. ERR_FULL: it said enough. */
enum err favour_db_put_heard(struct ledger_db *db, const uint8_t contact[static 32],
                             const uint8_t relay[static 32], const struct ledger_hearsay *h);
/* With our credence in each contact. */
size_t favour_db_heard(struct ledger_db *db, const uint8_t relay[static 32],
                       struct ledger_hearsay out[static LEDGER_HEARSAY_ROWS]);
/* We used a relay: those who had spoken of it were right or wrong. */
enum err favour_db_judge(struct ledger_db *db, const uint8_t relay[static 32], bool was_good);
/* The relays we know best, to be told to contacts: the most observed first. */
size_t favour_db_met(struct ledger_db *db, uint8_t (*relays)[32], struct ledger_quality *out, size_t max);

/* An audit of ours ended. day: of the newest one; ERR_NOT_FOUND. */
enum err favour_db_put_audit(struct ledger_db *db, const uint8_t relay[static 32], int32_t day, bool ok);
enum err favour_db_get_audit(struct ledger_db *db, const uint8_t relay[static 32], int32_t *day, bool *ok);

/* Called by ledger_db_evict(). */
void favour_db_evict(struct ledger_db *db, int32_t today);

struct sqlite3;
struct sqlite3 *ledger_db_sql(struct ledger_db *db); /* for favour_db.c alone */

#endif
