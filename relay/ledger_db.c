#include "relay/ledger_db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "relay/favour_db.h"

#define SCHEMA_VERSION 1
#define BUSY_MS        2000
#define CORRUPT_MAX    100 /* FILE.corrupt-1 .. */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS acct(me BLOB NOT NULL, peer BLOB NOT NULL, inc INT NOT NULL, seq INT NOT "
    "NULL,"
    " ab INT NOT NULL, ba INT NOT NULL, cab INT NOT NULL, cba INT NOT NULL, stmt BLOB,"
    " s_recv REAL NOT NULL, s_given REAL NOT NULL, debt REAL NOT NULL, upd_day INT NOT NULL,"
    " line_sponsor REAL NOT NULL, flags INT NOT NULL, given_bytes INT NOT NULL, used_bytes INT NOT NULL,"
    " PRIMARY KEY(me, peer)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS pending(me BLOB NOT NULL, peer BLOB NOT NULL, inc INT NOT NULL,"
    " seq INT NOT NULL, stmt_half BLOB NOT NULL, ts INT NOT NULL, PRIMARY KEY(me, peer)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS cheque_in(hash BLOB PRIMARY KEY, drawer BLOB, drawee BLOB, amount INT,"
    " cum INT, day INT, state INT, blob BLOB) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS drawn(drawee BLOB NOT NULL, serial INT NOT NULL, cum INT NOT NULL, payee BLOB"
    " NOT NULL, amount INT NOT NULL, blob BLOB NOT NULL, day INT NOT NULL, PRIMARY KEY(drawee, serial))"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS proof(culprit BLOB PRIMARY KEY, kind INT NOT NULL, blob BLOB NOT NULL)"
    " WITHOUT ROWID;"
    /* Where a proof came from (empty: ours), in which order, and how many were told. */
    "CREATE TABLE IF NOT EXISTS route(culprit BLOB PRIMARY KEY, teller BLOB NOT NULL, no INT NOT NULL,"
    " told INT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS sponsor(peer BLOB PRIMARY KEY, line INT, per_days INT, expiry INT,"
    " blob BLOB) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS qual(relay BLOB PRIMARY KEY, good REAL, bad REAL, added_ms REAL,"
    " uses INT, asked INT, answered INT, broke INT, unkept INT, upd_day INT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS pass(relay BLOB PRIMARY KEY, contact BLOB NOT NULL, pass BLOB NOT NULL,"
    " addr BLOB NOT NULL, day INT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS given(contact BLOB PRIMARY KEY, account BLOB, line INT NOT NULL,"
    " per_days INT NOT NULL, serial INT NOT NULL, day INT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS payer(hash BLOB PRIMARY KEY, account BLOB NOT NULL, day INT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS hearsay(relay BLOB NOT NULL, contact BLOB NOT NULL, good REAL NOT NULL,"
    " bad REAL NOT NULL, day INT NOT NULL, PRIMARY KEY(relay, contact)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS credence(contact BLOB PRIMARY KEY, n_right INT NOT NULL, n_wrong INT NOT "
    "NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS audit(relay BLOB PRIMARY KEY, day INT NOT NULL, ok INT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS cfg(k TEXT PRIMARY KEY, v INT NOT NULL) WITHOUT ROWID;";

enum query {
    Q_BEGIN,
    Q_COMMIT,
    Q_GET,
    Q_PUT,
    Q_PENDING_PUT,
    Q_PENDING_GET,
    Q_PENDING_DROP,
    Q_PROOF_PUT,
    Q_PROOF_HAS,
    Q_ROUTE_PUT,
    Q_HEARD_OF,
    Q_HEARD_ALL,
    Q_ROUTE_TRIM,
    Q_TELL,
    Q_TOLD,
    Q_QUAL_GET,
    Q_QUAL_PUT,
    Q_CFG_GET,
    Q_CFG_SET,
    Q_EACH,
    Q_EVICT_OLD,
    Q_EVICT_MANY,
    Q_EVICT_QUAL,
    Q_EVICT_IN,
    Q_EVICT_OUT,
    Q_BOOK,
    Q_DRAWN_PUT,
    Q_CHEQUE_PUT,
    Q_CHEQUE_GET,
    Q_CHEQUE_OVERLAP,
    Q_WAITS_DRAWER,
    Q_WAITS_DRAWEE,
    Q_NEXT_WAITING,
    Q_COUNT
};

#define ACCT_COLUMNS "me, peer, stmt, s_recv, debt, line_sponsor, upd_day, flags, given_bytes, used_bytes"

static const char *const query_sql[Q_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_GET] = "SELECT " ACCT_COLUMNS ", s_given FROM acct WHERE me=?1 AND peer=?2",
    [Q_PUT] = "INSERT OR REPLACE INTO acct(" ACCT_COLUMNS ", s_given, inc, seq, ab, ba, cab, cba)"
              " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
    [Q_PENDING_PUT] = "INSERT OR REPLACE INTO pending VALUES(?1,?2,?3,?4,?5,?6)",
    [Q_PENDING_GET] = "SELECT stmt_half FROM pending WHERE me=?1 AND peer=?2",
    [Q_PENDING_DROP] = "DELETE FROM pending WHERE me=?1 AND peer=?2 AND (inc<?3 OR (inc=?3 AND seq<=?4))",
    [Q_PROOF_PUT] = "INSERT OR IGNORE INTO proof SELECT ?1,?2,?3 WHERE (SELECT count(*) FROM proof) < ?4",
    [Q_PROOF_HAS] = "SELECT 1 FROM proof WHERE culprit=?1",
    [Q_ROUTE_PUT] =
        "INSERT INTO route SELECT ?1,?2,(SELECT coalesce(max(no),0)+1 FROM route),0"
        " WHERE EXISTS(SELECT 1 FROM proof WHERE culprit=?1)"
        " ON CONFLICT(culprit) DO UPDATE SET teller=excluded.teller WHERE length(excluded.teller)=0",
    [Q_HEARD_OF] = "DELETE FROM proof WHERE culprit IN (SELECT culprit FROM route WHERE teller=?1"
                   " ORDER BY no DESC LIMIT -1 OFFSET ?2)",
    [Q_HEARD_ALL] = "DELETE FROM proof WHERE culprit IN (SELECT culprit FROM route WHERE length(teller)>0"
                    " ORDER BY no DESC LIMIT -1 OFFSET ?1)",
    [Q_ROUTE_TRIM] = "DELETE FROM route WHERE culprit NOT IN (SELECT culprit FROM proof)",
    [Q_TELL] = "SELECT route.culprit, no, blob FROM route JOIN proof ON proof.culprit = route.culprit"
               " WHERE no > ?1 AND told < ?2 AND kind = ?3 AND length(blob) = ?4 AND teller <> ?5"
               " AND route.culprit <> ?5 ORDER BY no LIMIT 1",
    [Q_TOLD] = "UPDATE route SET told = told + 1 WHERE culprit=?1",
    [Q_QUAL_GET] = "SELECT good, bad, added_ms, uses, asked, answered, broke, unkept, upd_day FROM qual"
                   " WHERE relay=?1",
    [Q_QUAL_PUT] = "INSERT OR REPLACE INTO qual VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [Q_CFG_GET] = "SELECT v FROM cfg WHERE k=?1",
    [Q_CFG_SET] = "INSERT OR REPLACE INTO cfg VALUES(?1,?2)",
    [Q_EACH] = "SELECT " ACCT_COLUMNS ", s_given FROM acct ORDER BY given_bytes+used_bytes DESC, peer",
    [Q_EVICT_OLD] = "DELETE FROM acct WHERE upd_day < ?1 AND abs(debt) < 1 AND s_recv < 1"
                    " AND line_sponsor < 1",
    [Q_EVICT_MANY] = "DELETE FROM acct WHERE (me, peer) IN (SELECT me, peer FROM acct"
                     " ORDER BY abs(debt)+s_recv DESC LIMIT -1 OFFSET ?1)",
    [Q_EVICT_QUAL] = "DELETE FROM qual WHERE relay IN (SELECT relay FROM qual ORDER BY upd_day DESC"
                     " LIMIT -1 OFFSET ?1)",
    /* Not the last of a drawee: it holds where the next range begins. */
    [Q_EVICT_IN] = "DELETE FROM cheque_in WHERE day < ?1",
    [Q_EVICT_OUT] = "DELETE FROM drawn WHERE day < ?1 AND serial < (SELECT max(serial) FROM drawn"
                    " AS o WHERE o.drawee = drawn.drawee)",
    [Q_BOOK] = "SELECT max(cum), max(serial) FROM drawn WHERE drawee=?1",
    [Q_DRAWN_PUT] = "INSERT INTO drawn(drawee, serial, cum, payee, amount, blob, day)"
                    " VALUES(?1,?2,?3,?4,?5,?6,?7)",
    [Q_CHEQUE_PUT] = "INSERT OR REPLACE INTO cheque_in SELECT ?1,?2,?3,?4,?5,?6,?7,?8"
                     " WHERE (SELECT count(*) FROM cheque_in) < ?9 OR EXISTS(SELECT 1 FROM cheque_in WHERE"
                     " hash=?1)",
    [Q_CHEQUE_GET] = "SELECT blob, state FROM cheque_in WHERE hash=?1",
    [Q_CHEQUE_OVERLAP] = "SELECT blob FROM cheque_in WHERE drawer=?1 AND drawee=?2 AND state=?3"
                         " AND cum-amount < ?5 AND cum > ?4 LIMIT 1",
    [Q_WAITS_DRAWER] = "SELECT total(amount) FROM cheque_in WHERE drawer=?1 AND state=0",
    [Q_WAITS_DRAWEE] = "SELECT total(amount) FROM cheque_in WHERE drawee=?1 AND state=0",
    [Q_NEXT_WAITING] = "SELECT blob FROM cheque_in WHERE drawee=?1 AND state=0 ORDER BY day, cum LIMIT 1",
};

struct ledger_db {
    sqlite3 *sql;
    sqlite3_stmt *queries[Q_COUNT];
    bool in_batch;
    uint16_t inc;
};

/* --- small helpers --- */

static enum err result(int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
        return ERR_OK;
    return rc == SQLITE_FULL ? ERR_FULL : rc == SQLITE_BUSY ? ERR_LOCKED : ERR_IO;
}

static void bind_blob(sqlite3_stmt *q, int at, const void *data, size_t n)
{
    sqlite3_bind_blob(q, at, data, (int)n, SQLITE_TRANSIENT);
}

static enum err run(sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);

    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return result(rc);
}

static bool column_key(sqlite3_stmt *q, int at, uint8_t out[static 32])
{
    if (sqlite3_column_bytes(q, at) != 32)
        return false;
    memcpy(out, sqlite3_column_blob(q, at), 32);
    return true;
}

static enum err column_statement(sqlite3_stmt *q, int at, struct statement *out)
{
    return statement_parse(slice_of(sqlite3_column_blob(q, at), (size_t)sqlite3_column_bytes(q, at)), out);
}

struct sqlite3 *ledger_db_sql(struct ledger_db *db)
{
    return db->sql;
}

/* --- opening --- */

static bool passes_check(sqlite3 *sql)
{
    sqlite3_stmt *q = NULL;
    bool ok = false;

    if (sqlite3_prepare_v2(sql, "PRAGMA quick_check(1)", -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW)
        ok = strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0;
    sqlite3_finalize(q);
    return ok;
}

static bool has_file(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* Rename the file and its WAL; name becomes where it went. */
static bool put_aside(const char *path, char *name, size_t size)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char from[4096], to[4096];

    for (int n = 1; n <= CORRUPT_MAX; n++) {
        snprintf(name, size, "%s.corrupt-%d", path, n);
        if (has_file(name))
            continue;
        for (size_t i = 0; i < 3; i++) {
            snprintf(from, sizeof from, "%s%s", path, suffixes[i]);
            snprintf(to, sizeof to, "%s%s", name, suffixes[i]);
            if (rename(from, to) != 0 && i == 0)
                return false;
        }
        return true;
    }
    return false;
}

/* Ours alone before SQLite opens it: it gives its own files beside it the same mode. */
static void keep_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

    if (fd < 0)
        return; /* SQLite will say why */
    (void)fchmod(fd, 0600);
    close(fd);
}

static enum err open_file(const char *path, sqlite3 **out)
{
    static const char setup[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                                "PRAGMA trusted_schema=OFF;";
    int rc;

    if (strcmp(path, ":memory:") != 0)
        keep_private(path);
    rc = sqlite3_open_v2(path, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(*out, BUSY_MS);
        rc = sqlite3_exec(*out, setup, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK && !passes_check(*out))
        rc = SQLITE_CORRUPT;
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*out, schema, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return ERR_OK;
    sqlite3_close(*out);
    *out = NULL;
    return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? ERR_PARSE : result(rc);
}

static enum err check_kind(const char *path, struct err_detail *detail)
{
    struct stat st;

    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(detail, ERR_IO, "%s: is not a regular file, so the ledger is not kept there", path);
    return ERR_OK;
}

static enum err prepare_all(struct ledger_db *db)
{
    for (int i = 0; i < Q_COUNT; i++) {
        if (sqlite3_prepare_v3(db->sql, query_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &db->queries[i], NULL) !=
            SQLITE_OK)
            return ERR_IO;
    }
    return ERR_OK;
}

/* A new database signs under the incarnation of its first day: higher than any it may have lost, unless that
 * was the same day. */
static enum err load_inc(struct ledger_db *db)
{
    int64_t inc = ledger_db_get_cfg(db, "inc", -1);

    if (inc < 0) {
        inc = (int64_t)(time(NULL) / 86400) & 0xffff;
        if (ledger_db_set_cfg(db, "inc", inc) != ERR_OK)
            return ERR_IO;
    }
    db->inc = (uint16_t)inc;
    return ERR_OK;
}

enum err ledger_db_open(const char *path, struct ledger_db **out, struct err_detail *detail)
{
    bool in_memory = strcmp(path, ":memory:") == 0;
    char aside[4096];
    struct ledger_db *db;
    enum err e;

    *out = NULL;
    if (detail != NULL)
        detail->text[0] = '\0';
    if (!in_memory && check_kind(path, detail) != ERR_OK)
        return ERR_IO;
    db = mem_alloc(sizeof *db);
    e = open_file(path, &db->sql);
    if (e == ERR_PARSE && !in_memory) {
        if (!put_aside(path, aside, sizeof aside)) {
            mem_free(db);
            return err_set(detail, ERR_IO, "%s: is damaged and cannot be renamed; move it away by hand",
                           path);
        }
        err_set(detail, ERR_OK, "%s: was damaged and is kept as %s; a new ledger was begun", path, aside);
        e = open_file(path, &db->sql);
    }
    if (e == ERR_OK)
        e = prepare_all(db);
    if (e == ERR_OK)
        e = load_inc(db);
    if (e != ERR_OK) {
        err_set(detail, e, "%s: cannot be opened as a ledger: %s", path,
                db->sql != NULL ? sqlite3_errmsg(db->sql) : err_name(e));
        ledger_db_close(db);
        return e;
    }
    *out = db;
    return ERR_OK;
}

void ledger_db_close(struct ledger_db *db)
{
    if (db == NULL)
        return;
    if (db->in_batch)
        ledger_db_commit(db);
    for (int i = 0; i < Q_COUNT; i++)
        sqlite3_finalize(db->queries[i]);
    sqlite3_close(db->sql);
    mem_free(db);
}

enum err ledger_db_begin(struct ledger_db *db)
{
    enum err e = db->in_batch ? ERR_STATE : run(db->queries[Q_BEGIN]);

    db->in_batch = db->in_batch || e == ERR_OK;
    return e;
}

enum err ledger_db_commit(struct ledger_db *db)
{
    enum err e;

    if (!db->in_batch)
        return ERR_STATE;
    db->in_batch = false;
    e = run(db->queries[Q_COMMIT]);
    if (e != ERR_OK)
        sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
    return e;
}

void ledger_db_abort(struct ledger_db *db)
{
    db->in_batch = false;
    sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
}

/* --- accounts --- */

static void read_row(sqlite3_stmt *q, struct ledger_row *row)
{
    column_key(q, 0, row->me);
    column_key(q, 1, row->peer);
    row->has_head = sqlite3_column_type(q, 2) == SQLITE_BLOB && column_statement(q, 2, &row->head) == ERR_OK;
    row->account.got_s = sqlite3_column_double(q, 3);
    row->account.debt_s = sqlite3_column_double(q, 4);
    row->account.sponsor_s = sqlite3_column_double(q, 5);
    row->account.day = sqlite3_column_int(q, 6);
    row->given_bytes = (uint64_t)sqlite3_column_int64(q, 8);
    row->used_bytes = (uint64_t)sqlite3_column_int64(q, 9);
    row->gave_s = sqlite3_column_double(q, 10);
}

enum err ledger_db_get(struct ledger_db *db, const uint8_t me[static 32], const uint8_t peer[static 32],
                       struct ledger_row *out)
{
    sqlite3_stmt *q = db->queries[Q_GET];
    int rc;

    memset(out, 0, sizeof *out);
    memcpy(out->me, me, 32);
    memcpy(out->peer, peer, 32);
    bind_blob(q, 1, me, 32);
    bind_blob(q, 2, peer, 32);
    rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        read_row(q, out);
    sqlite3_reset(q);
    out->account.is_void = ledger_db_has_proof(db, peer);
    return rc == SQLITE_ROW ? ERR_OK : rc == SQLITE_DONE ? ERR_NOT_FOUND : result(rc);
}

static enum err put_row(struct ledger_db *db, const struct ledger_row *row)
{
    sqlite3_stmt *q = db->queries[Q_PUT];
    const struct statement *head = &row->head;
    uint8_t bytes[RECEIPT_RLS1_BYTES];

    bind_blob(q, 1, row->me, 32);
    bind_blob(q, 2, row->peer, 32);
    if (row->has_head) {
        statement_write(head, bytes);
        bind_blob(q, 3, bytes, sizeof bytes);
    }
    sqlite3_bind_double(q, 4, row->account.got_s);
    sqlite3_bind_double(q, 5, row->account.debt_s);
    sqlite3_bind_double(q, 6, row->account.sponsor_s);
    sqlite3_bind_int(q, 7, row->account.day);
    sqlite3_bind_int(q, 8, 0);
    sqlite3_bind_int64(q, 9, (int64_t)row->given_bytes);
    sqlite3_bind_int64(q, 10, (int64_t)row->used_bytes);
    sqlite3_bind_double(q, 11, row->gave_s);
    sqlite3_bind_int(q, 12, head->inc);
    sqlite3_bind_int64(q, 13, head->seq);
    for (int i = 0; i < 2; i++) {
        sqlite3_bind_int64(q, 14 + i, (int64_t)head->served[i]);
        sqlite3_bind_int64(q, 16 + i, (int64_t)head->claims[i]);
    }
    return run(q);
}

/* What changed from the old head to the new, as seen by `side`. A new incarnation counts from zero. */
static void apply(struct ledger_row *row, const struct statement *s, int side, int32_t today)
{
    struct statement zero = {0};
    const struct statement *old = row->has_head && row->head.inc == s->inc ? &row->head : &zero;
    int other = 1 - side;
    double gave = (double)s->served[side] - (double)old->served[side];
    double got = (double)s->served[other] - (double)old->served[other];
    double cleared =
        (double)(s->claims[side] - old->claims[side]) - (double)(s->claims[other] - old->claims[other]);

    ledger_got(&row->account, got, today);
    ledger_gave(&row->account, gave + cleared, today);
    row->gave_s += gave;
    row->head = *s;
    row->has_head = true;
}

static enum err drop_pending(struct ledger_db *db, const uint8_t *me, const uint8_t *peer,
                             const struct statement *s)
{
    sqlite3_stmt *q = db->queries[Q_PENDING_DROP];

    bind_blob(q, 1, me, 32);
    bind_blob(q, 2, peer, 32);
    sqlite3_bind_int(q, 3, s->inc);
    sqlite3_bind_int64(q, 4, s->seq);
    return run(q);
}

enum err ledger_db_put_statement(struct ledger_db *db, const uint8_t me[static 32], const struct statement *s,
                                 int32_t today)
{
    int side = statement_side(s, me);
    bool own_batch = !db->in_batch;
    struct ledger_row row;
    enum err e;

    if (side < 0)
        return ERR_REFUSED;
    e = ledger_db_get(db, me, s->pk[1 - side], &row);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (row.has_head && !statement_newer(s, &row.head))
        return ERR_REPLAY;
    if (row.account.day == 0)
        row.account.day = today;
    apply(&row, s, side, today);
    if (own_batch && (e = ledger_db_begin(db)) != ERR_OK)
        return e;
    e = put_row(db, &row);
    if (e == ERR_OK)
        e = drop_pending(db, me, row.peer, s);
    if (own_batch) {
        enum err committed = ledger_db_commit(db);

        e = e == ERR_OK ? committed : e;
    }
    return e;
}

enum err ledger_db_add_bytes(struct ledger_db *db, const uint8_t me[static 32], const uint8_t peer[static 32],
                             uint64_t given, uint64_t used)
{
    struct ledger_row row;
    enum err e = ledger_db_get(db, me, peer, &row);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (row.account.day == 0)
        row.account.day = (int32_t)(time(NULL) / 86400);
    row.given_bytes += given;
    row.used_bytes += used;
    return put_row(db, &row);
}

enum err ledger_db_set_sponsor(struct ledger_db *db, const uint8_t me[static 32],
                               const uint8_t peer[static 32], double line_s)
{
    struct ledger_row row;
    enum err e = ledger_db_get(db, me, peer, &row);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (row.account.day == 0)
        row.account.day = (int32_t)(time(NULL) / 86400);
    row.account.sponsor_s = line_s;
    return put_row(db, &row);
}

/* --- halves, proofs --- */

enum err ledger_db_put_pending(struct ledger_db *db, const uint8_t me[static 32],
                               const struct statement *half)
{
    sqlite3_stmt *q = db->queries[Q_PENDING_PUT];
    int side = statement_side(half, me);
    uint8_t bytes[RECEIPT_RLS1_BYTES];

    if (side < 0)
        return ERR_REFUSED;
    statement_write(half, bytes);
    bind_blob(q, 1, me, 32);
    bind_blob(q, 2, half->pk[1 - side], 32);
    sqlite3_bind_int(q, 3, half->inc);
    sqlite3_bind_int64(q, 4, half->seq);
    bind_blob(q, 5, bytes, sizeof bytes);
    sqlite3_bind_int64(q, 6, (int64_t)time(NULL));
    return run(q);
}

enum err ledger_db_get_pending(struct ledger_db *db, const uint8_t me[static 32],
                               const uint8_t peer[static 32], struct statement *out)
{
    sqlite3_stmt *q = db->queries[Q_PENDING_GET];
    enum err e = ERR_NOT_FOUND;

    memset(out, 0, sizeof *out);
    bind_blob(q, 1, me, 32);
    bind_blob(q, 2, peer, 32);
    if (sqlite3_step(q) == SQLITE_ROW)
        e = column_statement(q, 0, out);
    sqlite3_reset(q);
    return e;
}

static enum err put_proof(struct ledger_db *db, const uint8_t culprit[static 32], int kind, struct slice blob,
                          struct slice teller)
{
    sqlite3_stmt *q = db->queries[Q_PROOF_PUT];
    enum err e;

    bind_blob(q, 1, culprit, 32);
    sqlite3_bind_int(q, 2, kind);
    bind_blob(q, 3, blob.len > 0 ? blob.data : (const uint8_t *)"", blob.len);
    sqlite3_bind_int(q, 4, LEDGER_DB_PROOFS);
    e = run(q);
    if (e != ERR_OK)
        return e;
    q = db->queries[Q_ROUTE_PUT];
    bind_blob(q, 1, culprit, 32);
    bind_blob(q, 2, teller.len > 0 ? teller.data : (const uint8_t *)"", teller.len);
    return run(q);
}

static enum err trim_heard(struct ledger_db *db, const uint8_t teller[static 32])
{
    sqlite3_stmt *q = db->queries[Q_HEARD_OF];
    enum err e;

    bind_blob(q, 1, teller, 32);
    sqlite3_bind_int(q, 2, LEDGER_DB_HEARD_OF);
    e = run(q);
    if (e == ERR_OK) {
        sqlite3_bind_int(db->queries[Q_HEARD_ALL], 1, LEDGER_DB_HEARD);
        e = run(db->queries[Q_HEARD_ALL]);
    }
    return e == ERR_OK ? run(db->queries[Q_ROUTE_TRIM]) : e;
}

/* In one transaction, in that of the caller when there is one. */
static enum err begin_part(struct ledger_db *db, bool *is_own)
{
    *is_own = !db->in_batch;
    return *is_own ? ledger_db_begin(db) : ERR_OK;
}

static enum err end_part(struct ledger_db *db, bool is_own, enum err e)
{
    if (!is_own)
        return e;
    if (e == ERR_OK)
        return ledger_db_commit(db);
    ledger_db_abort(db);
    return e;
}

enum err ledger_db_put_proof(struct ledger_db *db, const uint8_t culprit[static 32], int kind,
                             struct slice blob)
{
    bool is_own;
    enum err e = begin_part(db, &is_own);

    return e == ERR_OK ? end_part(db, is_own, put_proof(db, culprit, kind, blob, slice_of(NULL, 0))) : e;
}

enum err ledger_db_put_heard(struct ledger_db *db, const uint8_t culprit[static 32],
                             const uint8_t teller[static 32],
                             const uint8_t proof[static CLEARING_PROOF_BYTES])
{
    bool is_own;
    enum err e = begin_part(db, &is_own);

    if (e != ERR_OK)
        return e;
    e = put_proof(db, culprit, CLEARING_OVERDRAW, slice_of(proof, CLEARING_PROOF_BYTES),
                  slice_of(teller, 32));
    if (e == ERR_OK)
        e = trim_heard(db, teller);
    return end_part(db, is_own, e);
}

enum err ledger_db_tell(struct ledger_db *db, const uint8_t peer[static 32], int64_t *no,
                        uint8_t out[static CLEARING_PROOF_BYTES])
{
    sqlite3_stmt *q = db->queries[Q_TELL];
    uint8_t culprit[32];
    bool has;

    sqlite3_bind_int64(q, 1, *no);
    sqlite3_bind_int(q, 2, LEDGER_DB_TELL);
    sqlite3_bind_int(q, 3, CLEARING_OVERDRAW);
    sqlite3_bind_int(q, 4, CLEARING_PROOF_BYTES);
    bind_blob(q, 5, peer, 32);
    has = sqlite3_step(q) == SQLITE_ROW && column_key(q, 0, culprit);
    if (has) {
        *no = sqlite3_column_int64(q, 1);
        memcpy(out, sqlite3_column_blob(q, 2), CLEARING_PROOF_BYTES);
    }
    sqlite3_reset(q);
    if (!has)
        return ERR_NOT_FOUND;
    bind_blob(db->queries[Q_TOLD], 1, culprit, 32);
    return run(db->queries[Q_TOLD]);
}

bool ledger_db_has_proof(struct ledger_db *db, const uint8_t culprit[static 32])
{
    sqlite3_stmt *q = db->queries[Q_PROOF_HAS];
    bool has;

    bind_blob(q, 1, culprit, 32);
    has = sqlite3_step(q) == SQLITE_ROW;
    sqlite3_reset(q);
    return has;
}

/* --- cheques --- */

enum err ledger_db_owe(struct ledger_db *db, const uint8_t me[static 32], const uint8_t peer[static 32],
                       double slot_s, int32_t today)
{
    struct ledger_row row;
    enum err e = ledger_db_get(db, me, peer, &row);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (row.account.day == 0)
        row.account.day = today;
    ledger_owe(&row.account, slot_s, today);
    return put_row(db, &row);
}

enum err ledger_db_book(struct ledger_db *db, const uint8_t drawee[static 32], struct clearing_book *out)
{
    sqlite3_stmt *q = db->queries[Q_BOOK];
    int rc;

    memset(out, 0, sizeof *out);
    bind_blob(q, 1, drawee, 32);
    rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        bool is_new = sqlite3_column_type(q, 0) == SQLITE_NULL;

        out->cum = is_new ? (uint64_t)db->inc << 32 : (uint64_t)sqlite3_column_int64(q, 0);
        out->serial = (uint32_t)sqlite3_column_int64(q, 1);
    }
    sqlite3_reset(q);
    return rc == SQLITE_ROW ? ERR_OK : result(rc);
}

enum err ledger_db_put_drawn(struct ledger_db *db, const struct cheque *c)
{
    sqlite3_stmt *q = db->queries[Q_DRAWN_PUT];
    uint8_t bytes[RECEIPT_RLC1_BYTES];

    cheque_write(c, bytes);
    bind_blob(q, 1, c->drawee, 32);
    sqlite3_bind_int64(q, 2, c->serial);
    sqlite3_bind_int64(q, 3, (int64_t)c->cum);
    bind_blob(q, 4, c->payee, 32);
    sqlite3_bind_int64(q, 5, c->amount);
    bind_blob(q, 6, bytes, sizeof bytes);
    sqlite3_bind_int(q, 7, c->day);
    return run(q);
}

enum err ledger_db_put_cheque(struct ledger_db *db, const struct cheque *c, enum ledger_cheque_state state)
{
    sqlite3_stmt *q = db->queries[Q_CHEQUE_PUT];
    uint8_t bytes[RECEIPT_RLC1_BYTES], hash[16];
    enum err e;

    cheque_write(c, bytes);
    cheque_hash(c, hash);
    bind_blob(q, 1, hash, sizeof hash);
    bind_blob(q, 2, c->drawer, 32);
    bind_blob(q, 3, c->drawee, 32);
    sqlite3_bind_int64(q, 4, c->amount);
    sqlite3_bind_int64(q, 5, (int64_t)c->cum);
    sqlite3_bind_int(q, 6, c->day);
    sqlite3_bind_int(q, 7, (int)state);
    bind_blob(q, 8, bytes, sizeof bytes);
    sqlite3_bind_int(q, 9, LEDGER_DB_CHEQUES);
    e = run(q);
    return e == ERR_OK && sqlite3_changes(db->sql) == 0 ? ERR_FULL : e;
}

static enum err one_cheque(sqlite3_stmt *q, struct cheque *out, int *state)
{
    enum err e = ERR_NOT_FOUND;

    memset(out, 0, sizeof *out);
    if (sqlite3_step(q) == SQLITE_ROW) {
        e = cheque_parse(slice_of(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0)), out);
        if (state != NULL)
            *state = sqlite3_column_int(q, 1);
    }
    sqlite3_reset(q);
    return e;
}

enum err ledger_db_get_cheque(struct ledger_db *db, const uint8_t hash[static 16], struct cheque *out,
                              enum ledger_cheque_state *state)
{
    sqlite3_stmt *q = db->queries[Q_CHEQUE_GET];
    int number = 0;
    enum err e;

    bind_blob(q, 1, hash, 16);
    e = one_cheque(q, out, &number);
    *state = (enum ledger_cheque_state)number;
    return e;
}

enum err ledger_db_overlap(struct ledger_db *db, const struct cheque *c, struct cheque *out)
{
    sqlite3_stmt *q = db->queries[Q_CHEQUE_OVERLAP];

    bind_blob(q, 1, c->drawer, 32);
    bind_blob(q, 2, c->drawee, 32);
    sqlite3_bind_int(q, 3, LEDGER_CHEQUE_PAID);
    sqlite3_bind_int64(q, 4, (int64_t)(c->cum - c->amount));
    sqlite3_bind_int64(q, 5, (int64_t)c->cum);
    return one_cheque(q, out, NULL);
}

static double total_of(sqlite3_stmt *q, const uint8_t *key)
{
    double sum = 0;

    bind_blob(q, 1, key, 32);
    if (sqlite3_step(q) == SQLITE_ROW)
        sum = sqlite3_column_double(q, 0);
    sqlite3_reset(q);
    return sum;
}

double ledger_db_waits_of_drawer(struct ledger_db *db, const uint8_t key[static 32])
{
    return total_of(db->queries[Q_WAITS_DRAWER], key);
}

double ledger_db_waits_of_drawee(struct ledger_db *db, const uint8_t key[static 32])
{
    return total_of(db->queries[Q_WAITS_DRAWEE], key);
}

enum err ledger_db_next_waiting(struct ledger_db *db, const uint8_t drawee[static 32], struct cheque *out)
{
    sqlite3_stmt *q = db->queries[Q_NEXT_WAITING];

    bind_blob(q, 1, drawee, 32);
    return one_cheque(q, out, NULL);
}

/* --- quality, settings --- */

enum err ledger_db_get_quality(struct ledger_db *db, const uint8_t relay[static 32],
                               struct ledger_quality *out)
{
    sqlite3_stmt *q = db->queries[Q_QUAL_GET];
    enum err e = ERR_NOT_FOUND;

    memset(out, 0, sizeof *out);
    bind_blob(q, 1, relay, 32);
    if (sqlite3_step(q) == SQLITE_ROW) {
        out->good = sqlite3_column_double(q, 0);
        out->bad = sqlite3_column_double(q, 1);
        out->added_ms = sqlite3_column_double(q, 2);
        out->uses = (uint32_t)sqlite3_column_int64(q, 3);
        out->asked = (uint32_t)sqlite3_column_int64(q, 4);
        out->answered = (uint32_t)sqlite3_column_int64(q, 5);
        out->broke = (uint32_t)sqlite3_column_int64(q, 6);
        out->unkept = (uint32_t)sqlite3_column_int64(q, 7);
        out->day = sqlite3_column_int(q, 8);
        e = ERR_OK;
    }
    sqlite3_reset(q);
    return e;
}

enum err ledger_db_put_quality(struct ledger_db *db, const uint8_t relay[static 32],
                               const struct ledger_quality *v)
{
    sqlite3_stmt *q = db->queries[Q_QUAL_PUT];

    bind_blob(q, 1, relay, 32);
    sqlite3_bind_double(q, 2, v->good);
    sqlite3_bind_double(q, 3, v->bad);
    sqlite3_bind_double(q, 4, v->added_ms);
    sqlite3_bind_int64(q, 5, v->uses);
    sqlite3_bind_int64(q, 6, v->asked);
    sqlite3_bind_int64(q, 7, v->answered);
    sqlite3_bind_int64(q, 8, v->broke);
    sqlite3_bind_int64(q, 9, v->unkept);
    sqlite3_bind_int(q, 10, v->day);
    return run(q);
}

int64_t ledger_db_get_cfg(struct ledger_db *db, const char *key, int64_t otherwise)
{
    sqlite3_stmt *q = db->queries[Q_CFG_GET];
    int64_t value = otherwise;

    sqlite3_bind_text(q, 1, key, -1, SQLITE_TRANSIENT);
    if (sqlite3_step(q) == SQLITE_ROW)
        value = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return value;
}

enum err ledger_db_set_cfg(struct ledger_db *db, const char *key, int64_t value)
{
    sqlite3_stmt *q = db->queries[Q_CFG_SET];

    sqlite3_bind_text(q, 1, key, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(q, 2, value);
    return run(q);
}

uint16_t ledger_db_inc(struct ledger_db *db)
{
    return db->inc;
}

/* --- sweeps --- */

void ledger_db_each(struct ledger_db *db, ledger_row_cb cb, void *arg)
{
    sqlite3_stmt *q = db->queries[Q_EACH];

    while (sqlite3_step(q) == SQLITE_ROW) {
        struct ledger_row row = {0};

        read_row(q, &row);
        cb(arg, &row);
    }
    sqlite3_reset(q);
}

static void add_totals(void *arg, const struct ledger_row *row)
{
    struct ledger_totals *t = arg;
    int side = row->has_head ? statement_side(&row->head, row->me) : -1;

    t->accounts++;
    t->given_bytes += row->given_bytes;
    t->used_bytes += row->used_bytes;
    if (side >= 0) {
        t->given_s += row->head.served[side];
        t->got_s += row->head.served[1 - side];
    }
}

void ledger_db_totals(struct ledger_db *db, struct ledger_totals *out)
{
    memset(out, 0, sizeof *out);
    ledger_db_each(db, add_totals, out);
}

enum err ledger_db_evict(struct ledger_db *db, int32_t today)
{
    enum err e;

    sqlite3_bind_int(db->queries[Q_EVICT_OLD], 1, today - LEDGER_DB_KEEP_DAYS);
    e = run(db->queries[Q_EVICT_OLD]);
    sqlite3_bind_int(db->queries[Q_EVICT_MANY], 1, LEDGER_DB_ACCOUNTS);
    if (e == ERR_OK)
        e = run(db->queries[Q_EVICT_MANY]);
    /* A cheque that old is not taken any more, so nobody needs to know that it was. */
    for (int i = Q_EVICT_IN; i <= Q_EVICT_OUT && e == ERR_OK; i++) {
        sqlite3_bind_int(db->queries[i], 1, today - CLEARING_TTL_DAYS - 2 * CLEARING_SKEW_DAYS);
        e = run(db->queries[i]);
    }
    favour_db_evict(db, today);
    sqlite3_bind_int(db->queries[Q_EVICT_QUAL], 1, LEDGER_DB_QUALS);
    return e == ERR_OK ? run(db->queries[Q_EVICT_QUAL]) : e;
}
