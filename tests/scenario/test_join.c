/* Promise (THREATS.md §4.12, §5): relays cannot join closed accounts. What two relays' databases say of twenty phones that
 * called each other through both has no string of eight bytes in common that is of one phone. */
#include "scenario/homes.h"

#include <sqlite3.h>
#include <unistd.h>

#include "base/mem.h"

#ifdef __SANITIZE_ADDRESS__
#define PHONES 6
#else
#define PHONES 20
#endif
#define WINDOW  8
#define CONST   5 /* so many bytes that stand in the rows of several accounts are the format's, not one's */
#define STRINGS (1u << 17)
#define SETTINGS                                                                                   \
    "{\"net\": {\"client\": true, \"path\": \"relay-only\"}, \"audio\": {\"echo_cancel\": false, " \
    "\"noise_suppress\": false}}"

/* Eight bytes that stand in the rows of one account of a relay, or in those of several. */
struct string {
    uint64_t bytes;
    uint32_t of; /* number of the account, from 1; 0: free; UINT32_MAX: of several, or of the relay itself */
};

struct base {
    uint8_t other[32];          /* the other relay's node key: theirs are open accounts, known to both */
    struct string *all, *parts; /* of WINDOW, and of CONST bytes */
    unsigned n_accounts, n_rows;
};

static struct string *find(struct string *all, uint64_t bytes)
{
    uint32_t at = (uint32_t)(bytes * 0x9e3779b97f4a7c15u >> 40) % STRINGS;

    while (all[at].of != 0 && all[at].bytes != bytes)
        at = (at + 1) % STRINGS;
    return &all[at];
}

static void note(struct string *all, size_t width, const uint8_t *bytes, size_t len, uint32_t of)
{
    for (size_t i = 0; i + width <= len; i++) {
        struct string *s;
        uint64_t v = 0;

        memcpy(&v, bytes + i, width);
        s = find(all, v);
        s->bytes = v;
        s->of = s->of == 0 || s->of == of ? of : UINT32_MAX;
    }
}

/* Part of it stands with several accounts, or is zeros: the rest is there by chance. */
static bool is_format(const struct base *b, uint64_t bytes)
{
    for (size_t i = 0; i + CONST <= WINDOW; i++) {
        uint64_t v = 0;

        memcpy(&v, (const uint8_t *)&bytes + i, CONST);
        if (v == 0 || find(b->parts, v)->of == UINT32_MAX)
            return true;
    }
    return false;
}

/* Every blob and text of every row of a table, as of the account in its column `peer`. */
static void read_table(struct base *b, sqlite3 *db, const char *table, const char *peer)
{
    static uint8_t accounts[256][32];
    sqlite3_stmt *q;
    char sql[128];

    snprintf(sql, sizeof sql, "SELECT %s, * FROM %s", peer, table);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    if (b->n_rows == 0)
        memset(accounts, 0, sizeof accounts);
    while (sqlite3_step(q) == SQLITE_ROW) {
        uint32_t of = 0;

        assert_int_equal(sqlite3_column_bytes(q, 0), 32);
        if (memcmp(sqlite3_column_blob(q, 0), b->other, 32) == 0)
            continue;
        while (of < b->n_accounts && memcmp(accounts[of], sqlite3_column_blob(q, 0), 32) != 0)
            of++;
        assert_true(of < 255);
        if (of == b->n_accounts)
            memcpy(accounts[b->n_accounts++], sqlite3_column_blob(q, 0), 32);
        b->n_rows++;
        for (int i = 1; i < sqlite3_column_count(q); i++)
            if (sqlite3_column_type(q, i) == SQLITE_BLOB || sqlite3_column_type(q, i) == SQLITE_TEXT) {
                note(b->all, WINDOW, sqlite3_column_blob(q, i), (size_t)sqlite3_column_bytes(q, i), of + 1);
                note(b->parts, CONST, sqlite3_column_blob(q, i), (size_t)sqlite3_column_bytes(q, i), of + 1);
            }
    }
    sqlite3_finalize(q);
}

static void read_base(struct base *b, const char *path, const uint8_t other[static 32])
{
    sqlite3 *db;

    *b = (struct base){.all = mem_array(STRINGS, sizeof *b->all),
                       .parts = mem_array(STRINGS, sizeof *b->parts)};
    memcpy(b->other, other, sizeof b->other);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    read_table(b, db, "acct", "peer");
    read_table(b, db, "pending", "peer");
    sqlite3_close(db);
}

static void two_relays(void **state)
{
    static const char *const relays_at[] = {"198.51.100.20:4000", "203.0.113.20:4000"};
    char folder[] = "/tmp/itodenwa-join-XXXXXX", paths[2][48];
    struct vnet *net = new_net(90);
    struct sim_phone *boot, *relays[2], *phones[PHONES];
    struct base bases[2];
    uint8_t nodes[2][32];
    unsigned n_common = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    boot = sim_phone_create(net, vnet_add_host(net, NULL, "boot", "198.51.100.30:4000"), APP_DAEMON, NULL);
    for (int i = 0; i < 2; i++) {
        relays[i] = sim_phone_create(net, vnet_add_host(net, NULL, "relay", relays_at[i]), APP_RELAY,
                                     "{\"relay\": {\"max_kbps\": 50000}}");
        snprintf(paths[i], sizeof paths[i], "%s/%d.db", folder, i);
        sim_phone_keep_ledger(relays[i], paths[i]);
        sim_bootstrap(relays[i], boot);
    }
    for (int i = 0; i < PHONES; i++) {
        char ip_port[32];

        snprintf(ip_port, sizeof ip_port, "20.0.%d.1:4000", i);
        phones[i] = sim_phone_create(net, vnet_add_host(net, NULL, "phone", ip_port), APP_DAEMON, SETTINGS);
        sim_bootstrap(phones[i], boot);
    }
    vnet_run_for(net, SECONDS(20), NULL, NULL);
    for (int i = 0; i < PHONES; i += 2)
        sim_befriend(phones[i], "you", phones[i + 1], "me");
    vnet_run_for(net, SECONDS(60), NULL, NULL);
    for (int i = 0; i < PHONES; i += 2) { /* one call after the other, long enough to be signed for */
        assert_true(sim_ask(phones[i], "{\"cmd\":\"call\",\"to\":\"you\"}"));
        assert_true(reach(phones[i], "ringing", NULL, SECONDS(10)));
        assert_true(sim_ask(phones[i + 1], "{\"cmd\":\"answer\"}"));
        assert_true(reach(phones[i], "in_call", NULL, SECONDS(5)));
        vnet_run_for(net, SECONDS(13), NULL, NULL);
        assert_true(sim_ask(phones[i], "{\"cmd\":\"hangup\"}"));
        vnet_run_for(net, SECONDS(3), NULL, NULL);
    }
    for (int i = PHONES - 1; i >= 0; i--)
        sim_phone_destroy(phones[i]);
    for (int i = 0; i < 2; i++)
        memcpy(nodes[i], app_node_key(relays[i]->app), sizeof nodes[i]);
    for (int i = 0; i < 2; i++)
        sim_phone_destroy(relays[i]);
    for (int i = 0; i < 2; i++)
        read_base(&bases[i], paths[i], nodes[1 - i]);
    sim_phone_destroy(boot);
    vnet_destroy(net);
    for (unsigned i = 0; i < STRINGS; i++) {
        const struct string *s = &bases[0].all[i], *t = find(bases[1].all, s->bytes);

        if (s->of == 0 || s->of == UINT32_MAX || t->of == 0 || t->of == UINT32_MAX ||
            is_format(&bases[0], s->bytes) || is_format(&bases[1], s->bytes))
            continue;
        n_common++;
        if (n_common < 10) {
            for (int k = 0; k < WINDOW; k++)
                printf("%02x", ((const uint8_t *)&s->bytes)[k]);
            printf(" of account %u there, %u here\n", s->of, t->of);
        }
    }
    printf("%u accounts in %u rows there, %u in %u here: %u strings in common\n", bases[0].n_accounts,
           bases[0].n_rows, bases[1].n_accounts, bases[1].n_rows, n_common);
    for (int i = 0; i < 2; i++) {
        char side[128];

        assert_true(bases[i].n_accounts >= PHONES / 2);
        mem_free(bases[i].all);
        mem_free(bases[i].parts);
        unlink(paths[i]);
        snprintf(side, sizeof side, "%s-wal", paths[i]);
        unlink(side);
        snprintf(side, sizeof side, "%s-shm", paths[i]);
        unlink(side);
    }
    rmdir(folder);
    assert_int_equal(n_common, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two relays' databases have nothing in common that is of one phone", two_relays),
    };

    return run_sentences("join", tests);
}
