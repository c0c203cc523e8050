#include "relay/favour_db.h"

#include <sqlite3.h>

#include "base/cursor.h"

#define ADDR_BYTES 19 /* as addr_write() makes it, at most */

/* --- statements, made for one use: these rows are seldom touched --- */

static sqlite3_stmt *query(struct ledger_db *db, const char *sql)
{
    sqlite3_stmt *q = NULL;

    if (sqlite3_prepare_v2(ledger_db_sql(db), sql, -1, &q, NULL) != SQLITE_OK)
        return NULL;
    return q;
}

static void put_blob(sqlite3_stmt *q, int at, const void *data, size_t n)
{
    sqlite3_bind_blob(q, at, data, (int)n, SQLITE_TRANSIENT);
}

static enum err finish(sqlite3_stmt *q)
{
    int rc = q != NULL ? sqlite3_step(q) : SQLITE_ERROR;

    sqlite3_finalize(q);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? ERR_OK : rc == SQLITE_FULL ? ERR_FULL : ERR_IO;
}

/* False when the column holds something else: a file somebody else wrote into. */
static bool get_blob(sqlite3_stmt *q, int at, void *out, size_t n)
{
    if ((size_t)sqlite3_column_bytes(q, at) != n)
        return false;
    memcpy(out, sqlite3_column_blob(q, at), n);
    return true;
}

static void delete_by(struct ledger_db *db, const char *sql, int64_t number)
{
    sqlite3_stmt *q = query(db, sql);

    sqlite3_bind_int64(q, 1, number);
    (void)finish(q);
}

/* --- passes --- */

enum err favour_db_put_pass(struct ledger_db *db, const struct favour_pass *p)
{
    sqlite3_stmt *q = query(db, "INSERT OR REPLACE INTO pass(relay, contact, pass, addr, day)"
                                " VALUES(?1,?2,?3,?4,?5)");
    uint8_t addr[ADDR_BYTES];
    struct wr w;
    enum err e;

    wr_init(&w, addr, sizeof addr);
    addr_write(&w, &p->addr);
    put_blob(q, 1, p->relay, 32);
    put_blob(q, 2, p->contact, 32);
    put_blob(q, 3, p->pass, sizeof p->pass);
    put_blob(q, 4, addr, wr_done(&w).len);
    sqlite3_bind_int(q, 5, p->day);
    e = finish(q);
    delete_by(db,
              "DELETE FROM pass WHERE relay IN (SELECT relay FROM pass ORDER BY day DESC LIMIT -1 OFFSET ?1)",
              FAVOUR_PASSES);
    return e;
}

static bool read_pass(sqlite3_stmt *q, struct favour_pass *out)
{
    struct rd r;

    memset(out, 0, sizeof *out);
    rd_init(&r, slice_of(sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3)));
    addr_read(&r, &out->addr);
    out->day = sqlite3_column_int(q, 4);
    return rd_ok(&r) && get_blob(q, 0, out->relay, 32) && get_blob(q, 1, out->contact, 32) &&
           get_blob(q, 2, out->pass, sizeof out->pass);
}

enum err favour_db_get_pass(struct ledger_db *db, const uint8_t relay[static 32], struct favour_pass *out)
{
    sqlite3_stmt *q = query(db, "SELECT relay, contact, pass, addr, day FROM pass WHERE relay=?1");
    bool has;

    put_blob(q, 1, relay, 32);
    has = sqlite3_step(q) == SQLITE_ROW && read_pass(q, out);
    sqlite3_finalize(q);
    return has ? ERR_OK : ERR_NOT_FOUND;
}

void favour_db_each_pass(struct ledger_db *db, void (*cb)(void *arg, const struct favour_pass *p), void *arg)
{
    sqlite3_stmt *q = query(db, "SELECT relay, contact, pass, addr, day FROM pass ORDER BY day DESC");
    struct favour_pass p;

    while (sqlite3_step(q) == SQLITE_ROW)
        if (read_pass(q, &p))
            cb(arg, &p);
    sqlite3_finalize(q);
}

enum err favour_db_forget(struct ledger_db *db, const uint8_t contact[static 32])
{
    static const char *const sql[] = {
        "DELETE FROM sponsor WHERE peer IN (SELECT relay FROM pass WHERE contact=?1)",
        "DELETE FROM pass WHERE contact=?1", "DELETE FROM hearsay WHERE contact=?1",
        "DELETE FROM credence WHERE contact=?1"};
    enum err e = ERR_OK;

    for (size_t i = 0; i < sizeof sql / sizeof sql[0] && e == ERR_OK; i++) {
        sqlite3_stmt *q = query(db, sql[i]);

        put_blob(q, 1, contact, 32);
        e = finish(q);
    }
    return e;
}

/* --- sponsor lines --- */

enum err favour_db_put_given(struct ledger_db *db, const struct favour_given *g)
{
    sqlite3_stmt *q = query(db, "INSERT OR REPLACE INTO given(contact, account, line, per_days, serial, day)"
                                " SELECT ?1,?2,?3,?4,?5,?6 WHERE (SELECT count(*) FROM given) < ?7"
                                " OR EXISTS(SELECT 1 FROM given WHERE contact=?1)");
    enum err e;

    put_blob(q, 1, g->contact, 32);
    put_blob(q, 2, g->account, g->has_account ? 32 : 0);
    sqlite3_bind_int64(q, 3, g->line_s);
    sqlite3_bind_int(q, 4, g->per_days);
    sqlite3_bind_int64(q, 5, g->serial);
    sqlite3_bind_int(q, 6, g->day);
    sqlite3_bind_int(q, 7, FAVOUR_GIVEN);
    e = finish(q);
    return e == ERR_OK && sqlite3_changes(ledger_db_sql(db)) == 0 ? ERR_FULL : e;
}

static bool read_given(sqlite3_stmt *q, struct favour_given *out)
{
    memset(out, 0, sizeof *out);
    out->has_account = get_blob(q, 1, out->account, 32);
    out->line_s = (uint32_t)sqlite3_column_int64(q, 2);
    out->per_days = (uint16_t)sqlite3_column_int(q, 3);
    out->serial = (uint32_t)sqlite3_column_int64(q, 4);
    out->day = sqlite3_column_int(q, 5);
    return get_blob(q, 0, out->contact, 32);
}

enum err favour_db_get_given(struct ledger_db *db, const uint8_t contact[static 32], struct favour_given *out)
{
    sqlite3_stmt *q =
        query(db, "SELECT contact, account, line, per_days, serial, day FROM given WHERE contact=?1");
    bool has;

    memset(out, 0, sizeof *out);
    memcpy(out->contact, contact, 32);
    put_blob(q, 1, contact, 32);
    has = sqlite3_step(q) == SQLITE_ROW && read_given(q, out);
    sqlite3_finalize(q);
    return has ? ERR_OK : ERR_NOT_FOUND;
}

void favour_db_each_given(struct ledger_db *db, void (*cb)(void *arg, const struct favour_given *g),
                          void *arg)
{
    sqlite3_stmt *q = query(db, "SELECT contact, account, line, per_days, serial, day FROM given");
    struct favour_given rows[FAVOUR_GIVEN];
    size_t n = 0;

    while (n < FAVOUR_GIVEN && sqlite3_step(q) == SQLITE_ROW)
        n += read_given(q, &rows[n]);
    sqlite3_finalize(q);
    for (size_t i = 0; i < n; i++) /* the callback may write */
        cb(arg, &rows[i]);
}

enum err favour_db_put_line(struct ledger_db *db, const struct sponsor_line *line)
{
    sqlite3_stmt *q;
    uint8_t paper[RECEIPT_RLP1_BYTES];
    struct sponsor_line old;
    enum err e;

    if (favour_db_get_line(db, line->sponsor, &old) == ERR_OK && old.serial >= line->serial)
        return ERR_REPLAY;
    q = query(db,
              "INSERT OR REPLACE INTO sponsor(peer, line, per_days, expiry, blob) SELECT ?1,?2,?3,?4,?5"
              " WHERE (SELECT count(*) FROM sponsor) < ?6 OR EXISTS(SELECT 1 FROM sponsor WHERE peer=?1)");
    sponsor_write(line, paper);
    put_blob(q, 1, line->sponsor, 32);
    sqlite3_bind_int64(q, 2, line->line_s);
    sqlite3_bind_int(q, 3, line->per_days);
    sqlite3_bind_int(q, 4, line->expiry_day);
    put_blob(q, 5, paper, sizeof paper);
    sqlite3_bind_int(q, 6, FAVOUR_LINES);
    e = finish(q);
    return e == ERR_OK && sqlite3_changes(ledger_db_sql(db)) == 0 ? ERR_FULL : e;
}

static bool read_line(sqlite3_stmt *q, struct sponsor_line *out)
{
    return sponsor_parse(slice_of(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0)), out) ==
           ERR_OK;
}

enum err favour_db_get_line(struct ledger_db *db, const uint8_t sponsor[static 32], struct sponsor_line *out)
{
    sqlite3_stmt *q = query(db, "SELECT blob FROM sponsor WHERE peer=?1");
    bool has;

    put_blob(q, 1, sponsor, 32);
    has = sqlite3_step(q) == SQLITE_ROW && read_line(q, out);
    sqlite3_finalize(q);
    return has ? ERR_OK : ERR_NOT_FOUND;
}

enum err favour_db_drop_line(struct ledger_db *db, const uint8_t sponsor[static 32])
{
    sqlite3_stmt *q = query(db, "DELETE FROM sponsor WHERE peer=?1");

    put_blob(q, 1, sponsor, 32);
    return finish(q);
}

void favour_db_each_line(struct ledger_db *db, void (*cb)(void *arg, const struct sponsor_line *line),
                         void *arg)
{
    sqlite3_stmt *q = query(db, "SELECT blob FROM sponsor");
    struct sponsor_line line;

    while (sqlite3_step(q) == SQLITE_ROW)
        if (read_line(q, &line))
            cb(arg, &line);
    sqlite3_finalize(q);
}

double favour_db_drawn(struct ledger_db *db, const uint8_t drawee[static 32], int32_t day)
{
    sqlite3_stmt *q = query(db, "SELECT total(amount) FROM drawn WHERE drawee=?1 AND day>?2");
    double sum;

    put_blob(q, 1, drawee, 32);
    sqlite3_bind_int(q, 2, day);
    sum = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_double(q, 0) : 0;
    sqlite3_finalize(q);
    return sum;
}

enum err favour_db_put_payer(struct ledger_db *db, const uint8_t hash[static 16],
                             const uint8_t account[static 32], int32_t day)
{
    sqlite3_stmt *q = query(db, "INSERT OR REPLACE INTO payer(hash, account, day) VALUES(?1,?2,?3)");

    put_blob(q, 1, hash, 16);
    put_blob(q, 2, account, 32);
    sqlite3_bind_int(q, 3, day);
    return finish(q);
}

enum err favour_db_get_payer(struct ledger_db *db, const uint8_t hash[static 16], uint8_t account[static 32])
{
    sqlite3_stmt *q = query(db, "SELECT account FROM payer WHERE hash=?1");
    bool has;

    put_blob(q, 1, hash, 16);
    has = sqlite3_step(q) == SQLITE_ROW && get_blob(q, 0, account, 32);
    sqlite3_finalize(q);
    return has ? ERR_OK : ERR_NOT_FOUND;
}

size_t favour_db_drawees(struct ledger_db *db, uint8_t (*out)[32], size_t max)
{
    sqlite3_stmt *q =
        query(db, "SELECT drawee FROM cheque_in WHERE state=0 GROUP BY drawee ORDER BY min(day), min(cum)");
    size_t n = 0;

    while (n < max && sqlite3_step(q) == SQLITE_ROW)
        n += get_blob(q, 0, out[n], 32);
    sqlite3_finalize(q);
    return n;
}

/* --- hearsay --- */

enum err favour_db_put_heard(struct ledger_db *db, const uint8_t contact[static 32],
                             const uint8_t relay[static 32], const struct ledger_hearsay *h)
{
    sqlite3_stmt *q =
        query(db, "INSERT OR REPLACE INTO hearsay(relay, contact, good, bad, day) SELECT ?1,?2,?3,?4,?5"
                  " WHERE EXISTS(SELECT 1 FROM hearsay WHERE relay=?1 AND contact=?2) OR"
                  " ((SELECT count(*) FROM hearsay WHERE contact=?2) < ?6 AND"
                  " (SELECT count(*) FROM hearsay) < ?7)");
    enum err e;

    put_blob(q, 1, relay, 32);
    put_blob(q, 2, contact, 32);
    sqlite3_bind_double(q, 3, h->good);
    sqlite3_bind_double(q, 4, h->bad);
    sqlite3_bind_int(q, 5, h->day);
    sqlite3_bind_int(q, 6, FAVOUR_HEARD_OF_ONE);
    sqlite3_bind_int(q, 7, FAVOUR_HEARD);
    e = finish(q);
    return e == ERR_OK && sqlite3_changes(ledger_db_sql(db)) == 0 ? ERR_FULL : e;
}

/* contacts: who said it; NULL when nobody asks. */
static size_t heard_of(struct ledger_db *db, const uint8_t relay[static 32], struct ledger_hearsay *out,
                       uint8_t (*contacts)[32])
{
    sqlite3_stmt *q = query(db, "SELECT good, bad, day, n_right, n_wrong, contact FROM hearsay"
                                " LEFT JOIN credence USING(contact) WHERE relay=?1 ORDER BY day DESC");
    size_t n = 0;

    put_blob(q, 1, relay, 32);
    while (n < LEDGER_HEARSAY_ROWS && sqlite3_step(q) == SQLITE_ROW) {
        out[n] = (struct ledger_hearsay){
            .good = sqlite3_column_double(q, 0),
            .bad = sqlite3_column_double(q, 1),
            .day = sqlite3_column_int(q, 2),
            .credence = {(uint32_t)sqlite3_column_int64(q, 3), (uint32_t)sqlite3_column_int64(q, 4)}};
        n += contacts == NULL || get_blob(q, 5, contacts[n], 32);
    }
    sqlite3_finalize(q);
    return n;
}

size_t favour_db_heard(struct ledger_db *db, const uint8_t relay[static 32],
                       struct ledger_hearsay out[static LEDGER_HEARSAY_ROWS])
{
    return heard_of(db, relay, out, NULL);
}

static enum err put_credence(struct ledger_db *db, const uint8_t contact[static 32],
                             const struct ledger_credence *c)
{
    sqlite3_stmt *q =
        query(db, "INSERT OR REPLACE INTO credence(contact, n_right, n_wrong) VALUES(?1,?2,?3)");

    put_blob(q, 1, contact, 32);
    sqlite3_bind_int64(q, 2, c->right);
    sqlite3_bind_int64(q, 3, c->wrong);
    return finish(q);
}

enum err favour_db_judge(struct ledger_db *db, const uint8_t relay[static 32], bool was_good)
{
    struct ledger_hearsay said[LEDGER_HEARSAY_ROWS];
    uint8_t contacts[LEDGER_HEARSAY_ROWS][32];
    size_t n = heard_of(db, relay, said, contacts);
    enum err e = n > 0 ? ledger_db_begin(db) : ERR_OK;

    if (n == 0 || e != ERR_OK)
        return e;
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        ledger_credence_note(&said[i].credence, &said[i], was_good);
        e = put_credence(db, contacts[i], &said[i].credence);
    }
    if (e == ERR_OK)
        return ledger_db_commit(db);
    ledger_db_abort(db);
    return e;
}

size_t favour_db_met(struct ledger_db *db, uint8_t (*relays)[32], struct ledger_quality *out, size_t max)
{
    sqlite3_stmt *q = query(db, "SELECT relay FROM qual WHERE uses > 0 ORDER BY good+bad DESC");
    size_t n = 0;

    while (n < max && sqlite3_step(q) == SQLITE_ROW)
        n += get_blob(q, 0, relays[n], 32);
    sqlite3_finalize(q);
    for (size_t i = 0; i < n; i++)
        ledger_db_get_quality(db, relays[i], &out[i]);
    return n;
}

/* --- audits --- */

enum err favour_db_put_audit(struct ledger_db *db, const uint8_t relay[static 32], int32_t day, bool ok)
{
    sqlite3_stmt *q = query(db, "INSERT OR REPLACE INTO audit(relay, day, ok) VALUES(?1,?2,?3)");
    enum err e;

    put_blob(q, 1, relay, 32);
    sqlite3_bind_int(q, 2, day);
    sqlite3_bind_int(q, 3, ok);
    e = finish(q);
    delete_by(
        db, "DELETE FROM audit WHERE relay IN (SELECT relay FROM audit ORDER BY day DESC LIMIT -1 OFFSET ?1)",
        FAVOUR_AUDITS);
    return e;
}

enum err favour_db_get_audit(struct ledger_db *db, const uint8_t relay[static 32], int32_t *day, bool *ok)
{
    sqlite3_stmt *q = query(db, "SELECT day, ok FROM audit WHERE relay=?1");
    bool has;

    put_blob(q, 1, relay, 32);
    has = sqlite3_step(q) == SQLITE_ROW;
    *day = has ? sqlite3_column_int(q, 0) : 0;
    *ok = has && sqlite3_column_int(q, 1) != 0;
    sqlite3_finalize(q);
    return has ? ERR_OK : ERR_NOT_FOUND;
}

void favour_db_evict(struct ledger_db *db, int32_t today)
{
    delete_by(db, "DELETE FROM hearsay WHERE day < ?1", today - FAVOUR_HEARD_DAYS);
    (void)finish(query(db, "DELETE FROM credence WHERE contact NOT IN (SELECT contact FROM hearsay)"));
    delete_by(db, "DELETE FROM pass WHERE day < ?1", today - FAVOUR_PASS_DAYS);
    delete_by(db, "DELETE FROM sponsor WHERE expiry < ?1", today);
    delete_by(db, "DELETE FROM payer WHERE day < ?1", today - CLEARING_TTL_DAYS - 2 * CLEARING_SKEW_DAYS);
}
