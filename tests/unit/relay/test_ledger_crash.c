/* Real files, real kills: CRASHES=1000 in the environment runs as many as T10 asks for (make crash). */
#include "unit/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/identity.h"
#include "relay/ledger_db.h"
#include "sim/prng.h"

#define PAIRS         4
#define CRASHES_SMALL 20
#define WRITES_MAX    5
#define AFTER_MAX_US  4000 /* into the next write */
#define TODAY         20000

static const uint8_t net_id[4] = {1, 2, 3, 4};

/* What the writer has been told is on disk, seen by whoever killed it. */
struct acknowledged {
    uint32_t seq[PAIRS];
    uint32_t refused;
};

struct crash_world {
    char dir[64], path[96];
    struct sign_key me, peers[PAIRS];
    struct acknowledged *acked;
};

static int setup(void **state)
{
    struct crash_world *w = calloc(1, sizeof *w);
    uint8_t seed[32];

    snprintf(w->dir, sizeof w->dir, "/tmp/ito-crash-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/ledger.db", w->dir);
    memset(seed, 1, sizeof seed);
    sign_key_from_seed(seed, &w->me);
    for (int i = 0; i < PAIRS; i++) {
        memset(seed, 10 + i, sizeof seed);
        sign_key_from_seed(seed, &w->peers[i]);
    }
    w->acked = mmap(NULL, sizeof *w->acked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(w->acked != MAP_FAILED);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct crash_world *w = *state;
    static const char *const names[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", w->dir, names[i]);
        unlink(path);
    }
    rmdir(w->dir);
    munmap(w->acked, sizeof *w->acked);
    free(w);
    return 0;
}

static void next_statement(const struct crash_world *w, int pair, struct ledger_db *db, struct statement *s)
{
    struct ledger_row row;

    if (ledger_db_get(db, w->me.pub, w->peers[pair].pub, &row) == ERR_OK && row.has_head)
        *s = row.head;
    else
        statement_init(s, net_id, w->me.pub, w->peers[pair].pub);
    statement_next(s, TODAY, s);
    s->served[statement_side(s, w->me.pub)] += RECEIPT_UNIT_S;
}

/* Sign and store, and say so only when the ledger did. Ends when told to, or by a signal. */
static void write_until_killed(const struct crash_world *w, struct prng *rng, unsigned errors_max,
                               int started_fd)
{
    struct ledger_db *db;
    struct err_detail detail;
    unsigned errors = 0;

    if (ledger_db_open(w->path, &db, &detail) != ERR_OK)
        _exit(3);
    if (started_fd >= 0 && write(started_fd, "", 1) != 1)
        _exit(4);
    while (errors < errors_max) {
        int pair = (int)(prng_next(rng) % PAIRS);
        struct statement s;

        next_statement(w, pair, db, &s);
        statement_sign(&s, w->me.seed);
        if (ledger_db_put_pending(db, w->me.pub, &s) != ERR_OK) {
            errors++;
            continue;
        }
        statement_sign(&s, w->peers[pair].seed);
        if (ledger_db_put_statement(db, w->me.pub, &s, TODAY) == ERR_OK)
            w->acked->seq[pair] = s.seq;
        else
            errors++;
    }
    w->acked->refused = errors;
    _exit(0);
}

/* Nothing that was acknowledged is missing, nothing half written is there, nothing was put aside. */
static void check_all_there(const struct crash_world *w)
{
    struct ledger_db *db;
    struct err_detail detail;

    assert_int_equal(ledger_db_open(w->path, &db, &detail), ERR_OK);
    assert_string_equal(detail.text, "");
    for (int i = 0; i < PAIRS; i++) {
        struct ledger_row row;
        enum err e = ledger_db_get(db, w->me.pub, w->peers[i].pub, &row);

        if (w->acked->seq[i] == 0 && e == ERR_NOT_FOUND)
            continue;
        assert_int_equal(e, ERR_OK);
        assert_true(row.has_head && row.head.seq >= w->acked->seq[i]);
        assert_int_equal(statement_verify(&row.head), ERR_OK);
        assert_int_equal(row.head.served[statement_side(&row.head, w->me.pub)],
                         (uint64_t)RECEIPT_UNIT_S * row.head.seq);
        assert_true(row.account.debt_s == (double)RECEIPT_UNIT_S * row.head.seq);
        w->acked->seq[i] = row.head.seq;
    }
    ledger_db_close(db);
}

static uint32_t total(const struct crash_world *w)
{
    const volatile uint32_t *seq = w->acked->seq; /* another process counts */
    uint32_t sum = 0;

    for (int i = 0; i < PAIRS; i++)
        sum += seq[i];
    return sum;
}

static void killed(void **state)
{
    struct crash_world *w = *state;
    const char *wanted = getenv("CRASHES");
    int crashes = wanted != NULL ? atoi(wanted) : CRASHES_SMALL, in_writes = 0;
    struct prng rng;

    prng_seed(&rng, 1);
    for (int i = 0; i < crashes; i++) {
        struct timespec into = {0, (long)(prng_next(&rng) % AFTER_MAX_US) * 1000};
        uint32_t before = total(w), writes = (uint32_t)(prng_next(&rng) % WRITES_MAX);
        int status, fds[2];
        bool in_opening = prng_next(&rng) % 8 == 0;
        char byte;
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0)
            write_until_killed(w, &rng, UINT32_MAX, fds[1]);
        close(fds[1]);
        if (!in_opening)
            assert_int_equal(read(fds[0], &byte, 1), 1);
        close(fds[0]);
        for (int wait = 0; !in_opening && wait < 50000 && total(w) < before + writes; wait++)
            nanosleep(&(struct timespec){0, 100000}, NULL);
        nanosleep(&into, NULL); /* the moment of death */
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        in_writes += total(w) > before;
        check_all_there(w);
    }
    printf("    crashes %d, %d of them after writes, statements %u, lost 0, corrupt starts 0\n", crashes,
           in_writes, total(w));
}

static void disk_full(void **state)
{
    struct crash_world *w = *state;
    struct stat st;
    struct prng rng;
    int status;
    pid_t pid;

    prng_seed(&rng, 2);
    pid = fork();
    if (pid == 0) {
        struct rlimit limit;

        stat(w->path, &st);
        limit.rlim_cur = limit.rlim_max = 192 * 1024; /* of each file; the log reaches it soon */
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        write_until_killed(w, &rng, 20, -1);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(w->acked->refused, 20); /* it was really full */
    check_all_there(w);
}

/* A month: every pair's live row rewritten once a day. */
static void a_month_fits(void **state)
{
    struct crash_world *w = *state;
    struct ledger_db *db;
    struct err_detail detail;
    struct stat st;
    struct prng rng;

    unlink(w->path);
    assert_int_equal(ledger_db_open(w->path, &db, &detail), ERR_OK);
    for (uint16_t day = 0; day < 30; day += 10) {
        prng_seed(&rng, 3);
        assert_int_equal(ledger_db_begin(db), ERR_OK);
        for (int i = 0; i < LEDGER_DB_ACCOUNTS; i++) {
            struct statement s;
            struct ledger_row row;
            uint8_t peer[32];

            for (size_t j = 0; j < sizeof peer; j += 8) {
                uint64_t r = prng_next(&rng);

                memcpy(peer + j, &r, 8);
            }
            statement_init(&s, net_id, w->me.pub, peer);
            if (ledger_db_get(db, w->me.pub, peer, &row) == ERR_OK)
                s = row.head;
            statement_next(&s, (uint16_t)(TODAY + day), &s);
            s.served[0] += 90000;
            memset(s.sig, 0xa5, sizeof s.sig);
            assert_int_equal(ledger_db_put_statement(db, w->me.pub, &s, TODAY + day), ERR_OK);
        }
        assert_int_equal(ledger_db_commit(db), ERR_OK);
    }
    assert_int_equal(ledger_db_evict(db, TODAY + 30), ERR_OK);
    ledger_db_close(db); /* the log goes into the file */
    assert_int_equal(stat(w->path, &st), 0);
    printf("    4096 peers: %.2f MiB\n", (double)st.st_size / (1 << 20));
    assert_true(st.st_size <= 2 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("attack, power loss: after kill -9 at any moment every doubly signed statement is there, "
                 "every start is clean",
                 killed),
        sentence("a full disk refuses, and what was acknowledged before is there", disk_full),
        sentence("a month of receipts of 4096 peers fits 2 MiB", a_month_fits),
    };

    return cmocka_run_group_tests_name("ledger_crash", tests, setup, teardown);
}
