#include "unit/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/identity.h"
#include "relay/ledger_db.h"

#define TODAY 20780

static const uint8_t net[4] = {1, 2, 3, 4};
static uint8_t seed_a[32], seed_b[32];
static struct sign_key a, b;
static char dir[64], path[96];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_init(), ERR_OK);
    memset(seed_a, 7, sizeof seed_a);
    memset(seed_b, 8, sizeof seed_b);
    sign_key_from_seed(seed_a, &a);
    sign_key_from_seed(seed_b, &b);
    snprintf(dir, sizeof dir, "/tmp/ito-ledger-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct ledger_db *open_db(const char *name)
{
    struct err_detail detail;
    struct ledger_db *db;

    if (ledger_db_open(name, &db, &detail) != ERR_OK)
        fail_msg("%s", detail.text);
    assert_string_equal(detail.text, "");
    return db;
}

/* The successor in which a served b so much more. */
static struct statement next_of(const struct statement *last, uint64_t more)
{
    struct statement s, none;

    if (last == NULL)
        statement_init(&none, net, a.pub, b.pub);
    statement_next(last == NULL ? &none : last, TODAY, &s);
    s.served[statement_side(&s, a.pub)] += more;
    assert_int_equal(statement_sign(&s, seed_a), ERR_OK);
    assert_int_equal(statement_sign(&s, seed_b), ERR_OK);
    return s;
}

static void rows(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    struct statement s = next_of(NULL, 60), t = next_of(&s, 30);
    struct ledger_row row;

    (void)state;
    assert_int_equal(ledger_db_get(db, a.pub, b.pub, &row), ERR_NOT_FOUND);
    assert_int_equal(ledger_db_put_statement(db, a.pub, &s, TODAY), ERR_OK);
    assert_int_equal(ledger_db_put_statement(db, b.pub, &s, TODAY), ERR_OK);
    assert_int_equal(ledger_db_put_statement(db, a.pub, &t, TODAY), ERR_OK);
    assert_int_equal(ledger_db_get(db, a.pub, b.pub, &row), ERR_OK);
    assert_true(row.account.debt_s == 90 && row.account.got_s == 0 && row.gave_s == 90);
    assert_int_equal(row.head.seq, 2);
    assert_int_equal(ledger_db_get(db, b.pub, a.pub, &row), ERR_OK);
    assert_true(row.account.debt_s == -60 && row.account.got_s == 60);
    ledger_db_close(db);
}

static void replays(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    struct statement s = next_of(NULL, 60), t = next_of(&s, 30);
    struct ledger_row row;
    uint8_t stranger[32] = {1};

    (void)state;
    assert_int_equal(ledger_db_put_statement(db, a.pub, &t, TODAY), ERR_OK);
    assert_int_equal(ledger_db_put_statement(db, a.pub, &t, TODAY), ERR_REPLAY);
    assert_int_equal(ledger_db_put_statement(db, a.pub, &s, TODAY), ERR_REPLAY);
    assert_int_equal(ledger_db_put_statement(db, stranger, &t, TODAY), ERR_REFUSED);
    ledger_db_get(db, a.pub, b.pub, &row);
    assert_true(row.account.debt_s == 90);
    ledger_db_close(db);
}

static void halves(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    struct statement s = next_of(NULL, 60), got;

    (void)state;
    assert_int_equal(ledger_db_get_pending(db, b.pub, a.pub, &got), ERR_NOT_FOUND);
    assert_int_equal(ledger_db_put_pending(db, b.pub, &s), ERR_OK);
    assert_int_equal(ledger_db_get_pending(db, b.pub, a.pub, &got), ERR_OK);
    assert_memory_equal(&got, &s, sizeof s);
    assert_int_equal(ledger_db_put_statement(db, b.pub, &s, TODAY), ERR_OK);
    assert_int_equal(ledger_db_get_pending(db, b.pub, a.pub, &got), ERR_NOT_FOUND);
    ledger_db_close(db);
}

static void proofs(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    struct ledger_row row;

    (void)state;
    assert_false(ledger_db_has_proof(db, b.pub));
    assert_int_equal(ledger_db_put_proof(db, b.pub, 1, slice_str("proof")), ERR_OK);
    assert_true(ledger_db_has_proof(db, b.pub));
    ledger_db_get(db, a.pub, b.pub, &row);
    assert_true(row.account.is_void);
    for (int i = 0; i < 100; i++) /* more of the same culprit take no room: the cap is for others */
        ledger_db_put_proof(db, b.pub, i % 3, slice_str("again"));
    for (uint32_t i = 0; i < LEDGER_DB_PROOFS + 10; i++) {
        uint8_t key[32] = {(uint8_t)i, (uint8_t)(i >> 8), 1};

        ledger_db_put_proof(db, key, 1, slice_str("x"));
    }
    assert_true(ledger_db_has_proof(db, (uint8_t[32]){(uint8_t)(LEDGER_DB_PROOFS - 2), 3, 1}));
    assert_false(ledger_db_has_proof(db, (uint8_t[32]){(uint8_t)(LEDGER_DB_PROOFS + 9), 4, 1}));
    ledger_db_close(db);
}

static void number(uint32_t i, uint8_t mark, uint8_t out[static 32])
{
    memset(out, mark, 32);
    memcpy(out, &i, sizeof i);
}

/* What others tell has room of its own: 16 a teller, 512 in all, the oldest goes; ours stays. */
static void heard(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    uint8_t proof[CLEARING_PROOF_BYTES] = {1}, culprit[32], teller[32];
    uint32_t n_known = 0;

    (void)state;
    number(0, 1, culprit);
    ledger_db_put_heard(db, culprit, a.pub, proof);
    ledger_db_put_proof(db, culprit, CLEARING_OVERDRAW, slice_of(proof, sizeof proof)); /* ours from now on */
    for (uint32_t i = 1; i <= 1000; i++) {
        number(i, 1, culprit);
        assert_int_equal(ledger_db_put_heard(db, culprit, a.pub, proof), ERR_OK);
    }
    for (uint32_t i = 1; i <= 1000; i++) {
        number(i, 1, culprit);
        n_known += ledger_db_has_proof(db, culprit);
        assert_int_equal(ledger_db_has_proof(db, culprit), i > 1000 - LEDGER_DB_HEARD_OF);
    }
    assert_int_equal(n_known, LEDGER_DB_HEARD_OF);
    number(1000, 1, culprit); /* the same from somebody else: once, and as it was */
    ledger_db_put_heard(db, culprit, b.pub, proof);
    for (uint32_t i = 0; i < 2000; i++) {
        number(i, 2, culprit);
        number(i / 4, 3, teller);
        ledger_db_put_heard(db, culprit, teller, proof);
    }
    n_known = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        number(i, 2, culprit);
        n_known += ledger_db_has_proof(db, culprit);
    }
    assert_int_equal(n_known, LEDGER_DB_HEARD);
    number(0, 1, culprit);
    assert_true(ledger_db_has_proof(db, culprit));
    for (uint32_t i = 0; i < LEDGER_DB_PROOFS - LEDGER_DB_HEARD - 1; i++) { /* and ours find their room */
        number(i, 4, culprit);
        ledger_db_put_proof(db, culprit, CLEARING_FORK, slice_str("x"));
        assert_true(ledger_db_has_proof(db, culprit));
    }
    ledger_db_close(db);
}

/* To 16 peers, each once, never to the culprit nor back to who told it; forks stay between the two. */
static void passed_on(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    uint8_t proof[CLEARING_PROOF_BYTES] = {7}, got[CLEARING_PROOF_BYTES], peer[32], forker[32];
    uint32_t n_told = 0;
    int64_t no = 0;

    (void)state;
    number(5, 9, forker);
    ledger_db_put_proof(db, forker, CLEARING_FORK, slice_str("x"));
    ledger_db_put_heard(db, b.pub, a.pub, proof);
    assert_int_equal(ledger_db_tell(db, b.pub, &no, got), ERR_NOT_FOUND);
    assert_int_equal(ledger_db_tell(db, a.pub, &no, got), ERR_NOT_FOUND);
    for (uint32_t i = 0; i < 100; i++) {
        number(i, 1, peer);
        no = 0;
        if (ledger_db_tell(db, peer, &no, got) != ERR_OK)
            continue;
        n_told++;
        assert_memory_equal(got, proof, sizeof got);
        assert_int_equal(ledger_db_tell(db, peer, &no, got), ERR_NOT_FOUND);
    }
    assert_int_equal(n_told, LEDGER_DB_TELL);
    ledger_db_close(db);
}

/* Who lost the database draws no range a second time: nobody honest is a double spender. */
static void books_begin_anew(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    struct cheque c = {.amount = 1200, .day = TODAY};
    struct clearing_book book;

    (void)state;
    assert_int_equal(ledger_db_book(db, b.pub, &book), ERR_OK);
    assert_true(book.cum == (uint64_t)ledger_db_inc(db) << 32);
    assert_int_equal(book.serial, 0);
    memcpy(c.drawee, b.pub, 32);
    clearing_draw(&book, 1200, TODAY, &c);
    assert_int_equal(ledger_db_put_drawn(db, &c), ERR_OK);
    assert_int_equal(ledger_db_book(db, b.pub, &book), ERR_OK);
    assert_true(book.cum == ((uint64_t)ledger_db_inc(db) << 32) + 1200);
    assert_true(book.cum < (uint64_t)(ledger_db_inc(db) + 1) << 32); /* where tomorrow's would begin */
    ledger_db_close(db);
}

/* Losing the database again and again gives no new incarnation on the same day. */
static void one_incarnation_a_day(void **state)
{
    struct ledger_db *first = open_db(":memory:"), *second = open_db(":memory:");
    int apart = ledger_db_inc(second) - ledger_db_inc(first);

    (void)state;
    assert_in_range(apart, 0, 1); /* 1: the test ran over midnight */
    ledger_db_close(first);
    ledger_db_close(second);
}

static void settings(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    struct ledger_quality q = {.good = 3, .bad = 1, .day = TODAY, .uses = 4, .asked = 5, .added_ms = 12}, got;

    (void)state;
    assert_int_equal(ledger_db_get_cfg(db, "x", 7), 7);
    assert_int_equal(ledger_db_set_cfg(db, "x", -1), ERR_OK);
    assert_int_equal(ledger_db_get_cfg(db, "x", 7), -1);
    assert_int_equal(ledger_db_get_quality(db, a.pub, &got), ERR_NOT_FOUND);
    assert_int_equal(ledger_db_put_quality(db, a.pub, &q), ERR_OK);
    assert_int_equal(ledger_db_get_quality(db, a.pub, &got), ERR_OK);
    assert_memory_equal(&got, &q, sizeof q);
    ledger_db_close(db);
}

static void eviction(void **state)
{
    struct ledger_db *db = open_db(":memory:");
    struct ledger_totals totals;
    uint8_t key[32] = {0};

    (void)state;
    ledger_db_begin(db);
    for (uint32_t i = 0; i < LEDGER_DB_ACCOUNTS + 100; i++) {
        memcpy(key, &i, sizeof i);
        key[31] = 1;
        assert_int_equal(ledger_db_add_bytes(db, a.pub, key, i, 0), ERR_OK);
    }
    assert_int_equal(ledger_db_commit(db), ERR_OK);
    assert_int_equal(ledger_db_evict(db, 0), ERR_OK);
    ledger_db_totals(db, &totals);
    assert_int_equal(totals.accounts, LEDGER_DB_ACCOUNTS);
    assert_int_equal(ledger_db_evict(db, INT32_MAX), ERR_OK);
    ledger_db_totals(db, &totals);
    assert_int_equal(totals.accounts, 0);
    ledger_db_close(db);
}

static void reopened(void **state)
{
    struct ledger_db *db = open_db(path);
    struct statement s = next_of(NULL, 60);
    struct ledger_row row;
    uint16_t inc = ledger_db_inc(db);
    struct stat st;

    (void)state;
    assert_int_equal(ledger_db_put_statement(db, a.pub, &s, TODAY), ERR_OK);
    ledger_db_close(db);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    db = open_db(path);
    assert_int_equal(ledger_db_get(db, a.pub, b.pub, &row), ERR_OK);
    assert_memory_equal(&row.head, &s, sizeof s);
    assert_int_equal(ledger_db_inc(db), inc);
    ledger_db_close(db);
}

/* The child says by a pipe what is durable, and is killed in the middle of its next writes. */
static void killed(void **state)
{
    char name[112];

    (void)state;
    snprintf(name, sizeof name, "%s/killed.db", dir);
    for (int round = 0; round < 20; round++) {
        uint32_t promised = 0, seq;
        struct ledger_row row;
        struct ledger_db *db;
        int pipes[2], status;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
            struct err_detail detail;

            if (ledger_db_open(name, &db, &detail) != ERR_OK)
                _exit(2);
            ledger_db_get(db, a.pub, b.pub, &row);
            for (struct statement s = row.head;;) {
                s = next_of(row.has_head || s.seq > 0 ? &s : NULL, 30);
                if (ledger_db_put_statement(db, a.pub, &s, TODAY) != ERR_OK ||
                    write(pipes[1], &s.seq, sizeof s.seq) != sizeof s.seq)
                    _exit(3);
            }
        }
        close(pipes[1]);
        for (int i = 0; i <= round; i++)
            assert_int_equal(read(pipes[0], &promised, sizeof promised), sizeof promised);
        kill(child, SIGKILL);
        while (read(pipes[0], &seq, sizeof seq) == sizeof seq)
            promised = seq;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        close(pipes[0]);
        db = open_db(name);
        assert_int_equal(ledger_db_get(db, a.pub, b.pub, &row), ERR_OK);
        assert_true(row.head.seq >= promised && row.head.seq <= promised + 1);
        assert_int_equal(statement_verify(&row.head), ERR_OK);
        assert_true(row.account.debt_s == 30.0 * row.head.seq);
        ledger_db_close(db);
    }
}

static void corrupt(void **state)
{
    static const char rubbish[] = "this is no database, but it has a size, and it goes on for some time";
    char name[112], aside[128], kept[sizeof rubbish];
    struct err_detail detail;
    struct ledger_db *db;
    FILE *f;

    (void)state;
    snprintf(name, sizeof name, "%s/corrupt.db", dir);
    snprintf(aside, sizeof aside, "%s.corrupt-1", name);
    f = fopen(name, "w");
    assert_non_null(f);
    for (int i = 0; i < 100; i++)
        fwrite(rubbish, 1, sizeof rubbish, f);
    fclose(f);
    assert_int_equal(ledger_db_open(name, &db, &detail), ERR_OK);
    assert_non_null(strstr(detail.text, aside));
    ledger_db_close(db);
    f = fopen(aside, "r");
    assert_non_null(f);
    assert_int_equal(fread(kept, 1, sizeof kept, f), sizeof kept);
    fclose(f);
    assert_memory_equal(kept, rubbish, sizeof kept);
}

static void not_a_file(void **state)
{
    struct err_detail detail;
    struct ledger_db *db;

    (void)state;
    assert_int_equal(ledger_db_open(dir, &db, &detail), ERR_IO);
    assert_non_null(strstr(detail.text, "not a regular file"));
    assert_null(db);
    assert_int_equal(ledger_db_open("/dev/null/ledger.db", &db, &detail), ERR_IO);
    assert_true(detail.text[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a statement moves both sides' rows by what is new in it", rows),
        sentence("attack, replay: an older or repeated statement is refused and changes nothing", replays),
        sentence("a half is kept until its statement is whole", halves),
        sentence("attack, poisoning by gossip: one proof voids an account, and at most 1024 are kept",
                 proofs),
        sentence("attack, poisoning by gossip: proofs that others tell have 16 places a teller, 512 in all",
                 heard),
        sentence("a proof is told to 16 peers, to each once, not to the culprit and not back", passed_on),
        sentence("the cheques of a new database overlap with none of a lost one", books_begin_anew),
        sentence("attack, fork of an account: one incarnation a day", one_incarnation_a_day),
        sentence("settings and quality are read back as written", settings),
        sentence("the smallest accounts go over the cap, empty ones with age", eviction),
        sentence("a closed ledger is opened with everything in it, readable by its owner only", reopened),
        sentence("attack, power loss: a ledger killed in the middle of writing keeps all that was promised",
                 killed),
        sentence("attack, corruption: a damaged file is kept aside and named", corrupt),
        sentence("a path that is no file is refused with a reason", not_a_file),
    };
    return cmocka_run_group_tests_name("ledger_db", tests, set_up, tear_down);
}
