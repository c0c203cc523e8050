/* What an admission costs a relay whose ledger is full, as `name value unit`.
 *
 *   ledger_admit FILE
 *
 * LEDGER_DB_ACCOUNTS accounts in FILE, which is made; each then asks for an allocation over a session of its own:
 * from the message to the answer, class by its credit, load, ticket. Half of them are creditors. And the bytes that
 * the ledger adds to a call, a minute. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/env.h"
#include "base/mem.h"
#include "crypto/identity.h"
#include "relay/service.h"
#include "relay/wire.h"

#define ROUNDS  4
#define WALL_S  1795000000 /* some day in 2026 */
#define SAMPLES (ROUNDS * LEDGER_DB_ACCOUNTS)

struct bench {
    uint64_t seed;
    struct wire_msg answer;
    uint32_t ok, creditors;
};

static void bench_random(void *arg, void *out, size_t n)
{
    struct bench *b = arg;
    uint8_t *at = out;

    for (; n > 0; n--) {
        b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
        *at++ = (uint8_t)(b->seed >> 33);
    }
}

static int64_t bench_wall(void *arg)
{
    (void)arg;
    return (int64_t)WALL_S * 1000;
}

static void bench_defer(void *arg, env_defer_cb cb, void *cb_arg)
{
    (void)arg;
    cb(cb_arg);
}

static void bench_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void bench_send(void *arg, const struct addr *to, struct slice bytes)
{
    (void)arg;
    (void)to;
    (void)bytes;
}

static void session_send(void *arg, uint64_t session, uint8_t chan, struct slice bytes)
{
    struct bench *b = arg;

    (void)session;
    (void)chan;
    if (wire_parse(bytes, &b->answer) != ERR_OK)
        exit(1);
}

static const struct env_ops env_ops = {.send = bench_send,
                                       .random = bench_random,
                                       .wall_ms = bench_wall,
                                       .defer = bench_defer,
                                       .log = bench_log};
static const struct service_ops service_ops = {.send = bench_send, .session_send = session_send};
static const uint8_t zone[8] = {1, 2, 3, 4, 5, 6, 7, 8};

static void die(const char *what)
{
    fprintf(stderr, "ledger_admit: %s\n", what);
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void account_key(uint32_t i, struct sign_key *out)
{
    uint8_t seed[32] = {0};

    memcpy(seed, &i, sizeof i);
    seed[31] = 7;
    sign_key_from_seed(seed, out);
}

/* Everybody has a statement; every second one served the relay's owner for ten minutes, the others the reverse. */
static void fill(struct ledger_db *db, const struct sign_key *node, struct sign_key *accounts)
{
    if (ledger_db_begin(db) != ERR_OK)
        die("no batch");
    for (uint32_t i = 0; i < LEDGER_DB_ACCOUNTS; i++) {
        struct statement s;

        account_key(i, &accounts[i]);
        statement_init(&s, zone, node->pub, accounts[i].pub);
        statement_next(&s, WALL_S / 86400, &s);
        s.served[statement_side(&s, i % 2 ? accounts[i].pub : node->pub)] = 600;
        if (statement_sign(&s, node->seed) != ERR_OK || statement_sign(&s, accounts[i].seed) != ERR_OK ||
            ledger_db_put_statement(db, node->pub, &s, WALL_S / 86400) != ERR_OK)
            die("an account was not written");
    }
    if (ledger_db_commit(db) != ERR_OK)
        die("nothing was written");
}

/* One comes, asks, and gives back what it got. */
static uint64_t ask(struct service *svc, struct bench *b, ns_t now, uint32_t i,
                    const struct sign_key *account)
{
    struct addr from = {.family = ADDR_V4, .port = 1111, .ip = {203, (uint8_t)(i >> 8), (uint8_t)i, 5}};
    struct wire_msg m = {.type = WIRE_ALLOCATE, .req = i + 1, .slots = 1, .wish_s = 600};
    uint8_t buf[WIRE_MESSAGE_MAX];
    struct slice bytes;
    uint64_t began, took;

    if (service_session_open(svc, now, i + 1, account->pub, &from) != ERR_OK)
        die("no session");
    bytes = wire_write(buf, sizeof buf, &m);
    b->answer = (struct wire_msg){0};
    began = clock_ns();
    service_session_message(svc, now, i + 1, WIRE_CHAN_LEDGER, bytes);
    took = clock_ns() - began;
    if (b->answer.type == WIRE_OK) {
        b->ok++;
        b->creditors += b->answer.admission == LEDGER_CREDITOR;
        m = (struct wire_msg){.type = WIRE_RELEASE};
        memcpy(m.alloc_id, b->answer.alloc_id, sizeof m.alloc_id);
        service_session_message(svc, now, i + 1, WIRE_CHAN_LEDGER, wire_write(buf, sizeof buf, &m));
    }
    service_tick(svc, now); /* what was given back is free */
    service_session_closed(svc, now, i + 1);
    return took;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static size_t bytes_of(enum wire_type type)
{
    struct wire_msg m = {.type = type};
    uint8_t buf[WIRE_MESSAGE_MAX];

    return wire_write(buf, sizeof buf, &m).len;
}

int main(int argc, char **argv)
{
    struct bench b = {.seed = 1};
    struct env env = {.ops = &env_ops, .world = &b};
    struct service_config config = {.max_calls = 20, .max_kbps = 100000, .strangers_pct = 10};
    uint8_t seed[32] = {9};
    struct sign_key node, *accounts = mem_alloc(LEDGER_DB_ACCOUNTS * sizeof *accounts);
    uint64_t *took = mem_alloc(SAMPLES * sizeof *took);
    ns_t now = 1000 * NS_PER_S;
    struct err_detail detail;
    struct service *svc;

    if (argc != 2 || crypto_init() != ERR_OK || ledger_db_open(argv[1], &config.db, &detail) != ERR_OK)
        die("usage: ledger_admit FILE");
    sign_key_from_seed(seed, &node);
    fill(config.db, &node, accounts);
    config.node_seed = seed;
    memcpy(config.zone_id, zone, sizeof zone);
    config.external[0] = (struct addr){.family = ADDR_V4, .port = 41641, .ip = {198, 51, 100, 7}};
    config.port_min = 50000;
    config.port_max = 50999;
    svc = service_create(&config, &service_ops, &b, &env, now);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint32_t who = (i * 2654435761u) % LEDGER_DB_ACCOUNTS;

        now += 100 * NS_PER_MS;
        took[i] = ask(svc, &b, now, i, &accounts[who]);
    }
    qsort(took, SAMPLES, sizeof *took, by_value);
    printf("ledger_admit_accounts %d 1\n", LEDGER_DB_ACCOUNTS);
    printf("ledger_admit_granted %.1f pct\n", 100.0 * b.ok / SAMPLES);
    printf("ledger_admit_creditors %.1f pct\n", 100.0 * b.creditors / SAMPLES);
    printf("ledger_admit_median %.1f us\n", (double)took[SAMPLES / 2] / 1000);
    printf("ledger_admit_p99 %.1f us\n", (double)took[SAMPLES * 99 / 100] / 1000);
    if (took[SAMPLES * 99 / 100] > 200000)
        printf("# ledger_admit_p99 is over its target: 200 us\n");
    printf("ledger_call_overhead %zu bytes_a_minute\n",
           bytes_of(WIRE_PROPOSE) + bytes_of(WIRE_SIGN) + bytes_of(WIRE_DONE));
    service_destroy(svc);
    ledger_db_close(config.db);
    mem_free(took);
    mem_free(accounts);
    return 0;
}
