#include <stdio.h>

#include "world.h"

#include "base/mem.h"
#include "relay/client.h"
#include "relay/select.h"
#include "relay/service.h"

#define MAIN_V4 "198.51.100.7:41641"

struct rig;

/* One phone at this relay: its account, and a TURN client. */
struct phone {
    struct rig *rig;
    uint64_t session;
    uint8_t seed[32];
    struct sign_key key;
    struct relay_client *rc;
    struct ledger_db *db;
    struct turner t;
    uint8_t alloc_id[8], admission;
    uint32_t n_allocated, n_refused, n_migrate, n_settled, n_registered, n_knocks, retry_ms, funded_s;
    enum client_refusal why;
    uint8_t migrate_why, knock[2048];
    uint32_t migrate_s;
    size_t knock_len;
    uint32_t flow;
    struct knock_tokens tokens;
    bool is_deaf; /* loses all that the relay says */
    bool is_mute; /* says nothing on the ledger channel */
    bool does_not_sign, loses_done;
    double count_factor; /* of its packets it counts so many */
    double count_debt;
};

struct rig {
    struct world w;
    struct service *svc;
    struct ledger_db *db;
    struct phone phones[3];
    uint8_t node_seed[32];
    struct sign_key node;
};

static const uint8_t zone[8] = {1, 2, 3, 4, 5, 6, 7, 8};

static void on_send(void *arg, const struct addr *to, struct slice bytes)
{
    world_keep(&((struct rig *)arg)->w, 0, to, bytes);
}

static void to_phone(void *arg, uint64_t session_ref, uint8_t chan, struct slice bytes)
{
    struct rig *r = arg;
    struct phone *p = &r->phones[session_ref - 1];
    uint8_t copy[2048];
    struct wire_msg m;

    if (p->is_deaf || p->rc == NULL)
        return;
    if (chan == WIRE_CHAN_LEDGER && wire_parse(bytes, &m) == ERR_OK &&
        ((p->does_not_sign && m.type == WIRE_PROPOSE) || (p->loses_done && m.type == WIRE_DONE)))
        return;
    memcpy(copy, bytes.data, bytes.len);
    relay_client_message(p->rc, r->w.now, chan, slice_of(copy, bytes.len));
}

static void to_relay(void *arg, uint8_t chan, struct slice bytes)
{
    struct phone *p = arg;
    uint8_t copy[2048];

    if (p->is_mute)
        return;
    memcpy(copy, bytes.data, bytes.len);
    service_session_message(p->rig->svc, p->rig->w.now, p->session, chan, slice_of(copy, bytes.len));
}

static void on_allocated(void *arg, ns_t now, const struct client_credentials *c)
{
    struct phone *p = arg;

    (void)now;
    p->n_allocated++;
    p->admission = c->admission;
    p->funded_s = c->funded_s;
    memcpy(p->alloc_id, c->alloc_id, sizeof p->alloc_id);
    snprintf(p->t.realm, sizeof p->t.realm, "%s", c->realm);
    snprintf(p->t.nonce, sizeof p->t.nonce, "%s", c->nonce);
    snprintf(p->t.username, sizeof p->t.username, "%s", c->username);
    snprintf(p->t.password, sizeof p->t.password, "%s", c->password);
}

static void on_refused(void *arg, ns_t now, uint32_t request, enum client_refusal why, uint32_t retry_ms)
{
    struct phone *p = arg;

    (void)now;
    (void)request;
    p->n_refused++;
    p->why = why;
    p->retry_ms = retry_ms;
}

static void on_migrate(void *arg, ns_t now, const uint8_t alloc_id[static 8], uint8_t why, uint32_t within_s)
{
    struct phone *p = arg;

    (void)now;
    (void)alloc_id;
    p->migrate_s = within_s;
    p->n_migrate++;
    p->migrate_why = why;
}

static void on_registered(void *arg, ns_t now, const struct knock_tokens *tokens)
{
    struct phone *p = arg;

    (void)now;
    p->n_registered++;
    p->tokens = *tokens;
}

static void on_knock(void *arg, ns_t now, uint32_t flow, struct slice body)
{
    struct phone *p = arg;

    (void)now;
    p->n_knocks++;
    p->flow = flow;
    p->knock_len = body.len;
    memcpy(p->knock, body.data, body.len);
}

static void on_settled(void *arg, const struct statement *s)
{
    struct phone *p = arg;

    assert_int_equal(statement_verify(s), ERR_OK);
    p->n_settled++;
}

static struct ledger_db *open_db(void)
{
    struct err_detail detail;
    struct ledger_db *db;

    if (ledger_db_open(":memory:", &db, &detail) != ERR_OK)
        fail_msg("%s", detail.text);
    return db;
}

static void make_service(struct rig *r, const struct service_config *template)
{
    static const struct service_ops ops = {.send = on_send, .session_send = to_phone};
    struct service_config config = *template;

    config.node_seed = r->node_seed;
    memcpy(config.zone_id, zone, sizeof zone);
    config.external[0] = at(MAIN_V4);
    config.port_min = 50000;
    config.port_max = 50999;
    config.db = r->db;
    r->svc = service_create(&config, &ops, r, &r->w.env, r->w.now);
}

static void make_client(struct rig *r, struct phone *p)
{
    static const struct relay_client_ops ops = {.session_send = to_relay,
                                                .allocated = on_allocated,
                                                .refused = on_refused,
                                                .migrate = on_migrate,
                                                .registered = on_registered,
                                                .knock = on_knock,
                                                .settled = on_settled};
    struct relay_client_config config = {.db = p->db};

    memcpy(config.relay, r->node.pub, 32);
    memcpy(config.account_seed, p->seed, 32);
    memcpy(config.net_id, zone, 4);
    p->rc = relay_client_create(&config, &ops, p, &r->w.env);
}

static void connect_phone(struct rig *r, struct phone *p)
{
    assert_int_equal(service_session_open(r->svc, r->w.now, p->session, p->key.pub, &p->t.from), ERR_OK);
}

static struct service_config calls(uint32_t max_calls)
{
    return (struct service_config){.max_calls = max_calls, .max_kbps = 100000, .strangers_pct = 10};
}

static struct rig *rig_with(const struct service_config *config)
{
    static const char *const from[] = {"203.0.113.5:1111", "192.0.2.9:2222", "198.18.7.7:3333"};
    struct rig *r = mem_alloc(sizeof *r);

    world_init(&r->w);
    memset(r->node_seed, 42, sizeof r->node_seed);
    sign_key_from_seed(r->node_seed, &r->node);
    r->db = open_db();
    make_service(r, config);
    for (int i = 0; i < 3; i++) {
        struct phone *p = &r->phones[i];

        p->rig = r;
        p->session = (uint64_t)i + 1;
        p->count_factor = 1;
        memset(p->seed, 50 + i, sizeof p->seed);
        sign_key_from_seed(p->seed, &p->key);
        p->t.from = at(from[i]);
        p->t.id[0] = (uint8_t)i;
        p->db = open_db();
        make_client(r, p);
        connect_phone(r, p);
    }
    return r;
}

static void rig_free(struct rig *r)
{
    service_destroy(r->svc);
    for (int i = 0; i < 3; i++) {
        relay_client_destroy(r->phones[i].rc);
        ledger_db_close(r->phones[i].db);
    }
    ledger_db_close(r->db);
    mem_free(r);
}

static void pass(struct rig *r, ns_t dt)
{
    world_pass(&r->w, dt);
    service_tick(r->svc, r->w.now);
    for (int i = 0; i < 3; i++) {
        if (r->phones[i].rc != NULL)
            relay_client_tick(r->phones[i].rc, r->w.now);
    }
}

static struct stun_msg turn(struct rig *r, struct phone *p, struct slice bytes)
{
    size_t before = r->w.n_packets;
    struct stun_msg m;

    assert_true(service_input(r->svc, r->w.now, &p->t.from, bytes));
    assert_int_equal(r->w.n_packets, before + 1);
    assert_int_equal(stun_parse(slice_of(world_last(&r->w)->bytes, world_last(&r->w)->len), &m), ERR_OK);
    return m;
}

static uint16_t turn_allocate(struct rig *r, struct phone *p)
{
    uint8_t buf[512];
    struct stun_wr w;
    struct stun_msg m;

    turner_begin(&p->t, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    m = turn(r, p, turner_end(&p->t, &w));
    if (m.cls == STUN_SUCCESS)
        p->t.relayed = m.relayed[0];
    return m.cls == STUN_SUCCESS ? 0 : m.error_code;
}

static void turn_bind(struct rig *r, struct phone *p, const struct addr *peer)
{
    uint8_t buf[512];
    struct stun_wr w;

    turner_begin(&p->t, &w, buf, sizeof buf, TURN_CHANNEL_BIND);
    stun_put_u16(&w, STUN_CHANNEL_NUMBER, 0x4001);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, peer);
    assert_int_equal(turn(r, p, turner_end(&p->t, &w)).cls, STUN_SUCCESS);
}

static void turn_refresh(struct rig *r, struct phone *p, uint32_t lifetime_s)
{
    uint8_t buf[512];
    struct stun_wr w;
    struct stun_msg m;

    turner_begin(&p->t, &w, buf, sizeof buf, TURN_REFRESH);
    stun_put_u32(&w, STUN_LIFETIME, lifetime_s);
    m = turn(r, p, turner_end(&p->t, &w));
    assert_int_equal(m.cls, STUN_SUCCESS);
}

/* Ask, get a ticket, allocate. */
static void get_allocation(struct rig *r, struct phone *p)
{
    uint32_t n = p->n_allocated;

    assert_int_not_equal(relay_client_allocate(p->rc, r->w.now, 1, 600, NULL), 0);
    assert_int_equal(p->n_allocated, n + 1);
    assert_int_equal(turn_allocate(r, p), 0);
}

static void count(struct phone *p, ns_t now)
{
    p->count_debt += p->count_factor;
    if (p->count_debt >= 1) {
        p->count_debt -= 1;
        relay_client_account(p->rc, now, p->alloc_id, 160);
    }
}

static void refresh_both(struct rig *r)
{
    turn_refresh(r, &r->phones[0], 600);
    turn_refresh(r, &r->phones[1], 600);
    turn_bind(r, &r->phones[0], &r->phones[1].t.relayed);
    turn_bind(r, &r->phones[1], &r->phones[0].t.relayed);
}

/* So many seconds of sound between the first two phones, 10 packets a second each way. */
static void talk(struct rig *r, uint32_t seconds)
{
    static const uint8_t sound[160];
    uint8_t buf[256];

    for (uint32_t i = 0; i < seconds * 10; i++) {
        for (int who = 0; who < 2; who++) {
            service_input(r->svc, r->w.now, &r->phones[who].t.from,
                          stun_channel_write(buf, sizeof buf, 0x4001, slice_of(sound, sizeof sound)));
            count(&r->phones[0], r->w.now);
            count(&r->phones[1], r->w.now);
        }
        pass(r, 100 * NS_PER_MS);
        if (i % 2000 == 1999)
            refresh_both(r);
    }
}

static void begin_call(struct rig *r)
{
    get_allocation(r, &r->phones[0]);
    get_allocation(r, &r->phones[1]);
    turn_bind(r, &r->phones[0], &r->phones[1].t.relayed);
    turn_bind(r, &r->phones[1], &r->phones[0].t.relayed);
}

static void end_call(struct rig *r)
{
    turn_refresh(r, &r->phones[0], 0);
    turn_refresh(r, &r->phones[1], 0);
    for (int i = 0; i < 5; i++)
        pass(r, NS_PER_S);
}

static uint64_t billed(struct rig *r, const struct phone *p)
{
    struct ledger_row ours, theirs;

    if (ledger_db_get(r->db, r->node.pub, p->key.pub, &ours) != ERR_OK)
        return 0;
    assert_int_equal(ledger_db_get(p->db, p->key.pub, r->node.pub, &theirs), ERR_OK);
    /* The very same statement on both sides. */
    assert_memory_equal(&ours.head, &theirs.head, sizeof ours.head);
    assert_int_equal(statement_verify(&ours.head), ERR_OK);
    return ours.head.served[statement_side(&ours.head, r->node.pub)];
}

/* Both books show the relay's count, though the phone's own differs a little. */
static bool bytes_agree(struct rig *r, const struct phone *p)
{
    struct ledger_row ours, theirs;

    return ledger_db_get(r->db, r->node.pub, p->key.pub, &ours) == ERR_OK &&
           ledger_db_get(p->db, p->key.pub, r->node.pub, &theirs) == ERR_OK && ours.given_bytes > 0 &&
           ours.given_bytes == theirs.used_bytes;
}

/* --- tests --- */

static void whole_call(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct service_stats stats;
    struct service_call rows[4];

    (void)state;
    begin_call(r);
    talk(r, 200);
    service_stats(r->svc, r->w.now, &stats);
    assert_int_equal(stats.calls, 2);
    assert_in_range(stats.out_kbps, 20, 30); /* 2 x 10 x 160 bytes = 25.6 kbit/s */
    assert_int_equal(service_calls(r->svc, r->w.now, rows, 4), 2);
    assert_in_range(rows[0].packets, 3900, 4010);
    assert_in_range(rows[0].kbps, 20, 30);
    end_call(r);
    assert_int_equal(billed(r, &r->phones[0]), 210); /* 200 to the nearest 30 */
    assert_int_equal(billed(r, &r->phones[1]), 210);
    assert_true(bytes_agree(r, &r->phones[0]));
    assert_true(bytes_agree(r, &r->phones[1]));
    assert_int_equal(r->phones[0].n_settled, 5); /* at 10, 70, 130, 190 s and at the end */
    assert_int_equal(r->phones[0].n_migrate + r->phones[1].n_migrate, 0);
    service_stats(r->svc, r->w.now, &stats);
    assert_int_equal(stats.calls, 0);
    assert_int_equal(stats.calls_today, 2);
    assert_int_equal(stats.bytes_today, 200 * 20 * 160);
    assert_int_equal(stats.ledger.given_s, 420);
    assert_int_equal(stats.ledger.given_bytes, 2 * 200 * 20 * 160);
    assert_int_equal(stats.my_score, 100);
    rig_free(r);
}

static void short_counts(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);

    (void)state;
    begin_call(r);
    for (int i = 0; i < 20; i++) {
        talk(r, 5);
        /* Kenji's side lost half of the sound for half the time, hanako's a tenth: the relay's fault. */
        assert_int_equal(i % 2 == 0, relay_client_quality(r->phones[1].rc, r->w.now, r->phones[1].alloc_id,
                                                          i % 2 ? 0.5 : 0, 5));
        assert_false(relay_client_quality(r->phones[0].rc, r->w.now, r->phones[0].alloc_id, 0.1, 5));
    }
    talk(r, 5);
    assert_in_range(billed(r, &r->phones[0]), 60, 90);
    assert_in_range(billed(r, &r->phones[1]), 30, 60);
    assert_true(relay_client_stats(r->phones[1].rc)->signed_less > 0);
    assert_true(relay_client_quality_mean(r->phones[0].rc) <
                SELECT_QUALITY_FLOOR); /* who is signed for and not liked */
    assert_int_equal(relay_client_stats(r->phones[1].rc)->overcharged, 0);
    rig_free(r);
}

static void overcharged(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];

    (void)state;
    begin_call(r);
    p->count_factor = 0.01; /* as if the relay claimed far more than it carried */
    talk(r, 175);
    assert_int_equal(relay_client_stats(p->rc)->overcharged, 2);
    assert_int_equal(p->why, CLIENT_OVERCHARGED);
    assert_false(bytes_agree(r, p));
    assert_in_range(billed(r, p), 0, 60);
    assert_int_equal(p->n_migrate > 0, 1); /* and the relay does not go on for nothing */
    rig_free(r);
}

static void lost_answers(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];

    (void)state;
    begin_call(r);
    p->loses_done = true;
    talk(r, 80);
    assert_int_equal(p->n_settled, 0);
    p->loses_done = false;
    talk(r, 60);
    end_call(r);
    assert_in_range(billed(r, p), 120, 150);
    rig_free(r);
}

/* The client crashes between signing and hearing: it signs the very same half again. */
static void crashed_client(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    struct statement before, after;

    (void)state;
    begin_call(r);
    p->is_mute = true; /* its signature is on disk, and did not get out */
    talk(r, 12);
    assert_int_equal(ledger_db_get_pending(p->db, p->key.pub, r->node.pub, &before), ERR_OK);
    relay_client_destroy(p->rc);
    make_client(r, p);
    p->is_mute = false;
    service_session_closed(r->svc, r->w.now, p->session);
    connect_phone(r, p);
    talk(r, 120);
    assert_true(p->n_settled >= 1);
    assert_int_equal(ledger_db_get_pending(p->db, p->key.pub, r->node.pub, &after), ERR_NOT_FOUND);
    rig_free(r);
}

static void lost_database(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    uint64_t first;

    (void)state;
    begin_call(r);
    talk(r, 100);
    end_call(r);
    first = billed(r, p);
    assert_true(first >= 90);
    /* The client's is gone: the relay shows its statement. */
    relay_client_destroy(p->rc);
    ledger_db_close(p->db);
    p->db = open_db();
    make_client(r, p);
    get_allocation(r, p);
    assert_int_equal(billed(r, p), first);
    turn_refresh(r, p, 0);
    /* The relay's is gone: the client shows its own when a proposal does not continue it. */
    service_destroy(r->svc);
    ledger_db_close(r->db);
    r->db = open_db();
    make_service(r, &config);
    for (int i = 0; i < 3; i++)
        connect_phone(r, &r->phones[i]);
    begin_call(r);
    talk(r, 100);
    end_call(r);
    assert_int_equal(billed(r, p), first + 90);
    rig_free(r);
}

/* A SIGN of phone p for this body, by this key. */
static void say_sign(struct rig *r, struct phone *p, struct statement *s, const uint8_t seed[static 32])
{
    struct wire_msg m = {.type = WIRE_SIGN};
    uint8_t buf[WIRE_MESSAGE_MAX], whole[RECEIPT_RLS1_BYTES];
    int side;

    memset(s->sig, 0, sizeof s->sig);
    assert_int_equal(statement_sign(s, seed), ERR_OK);
    statement_write(s, whole);
    side = memcmp(whole + RECEIPT_BODY_BYTES, (uint8_t[RECEIPT_SIG_BYTES]){0}, RECEIPT_SIG_BYTES) == 0;
    memcpy(m.alloc_id, p->alloc_id, sizeof m.alloc_id);
    statement_body(s, m.body);
    memcpy(m.sig, s->sig[side], sizeof m.sig);
    service_session_message(r->svc, r->w.now, p->session, WIRE_CHAN_LEDGER, wire_write(buf, sizeof buf, &m));
}

/* After a call the client signs another statement of the seq that both signed. */
static void forks(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    struct statement less;
    struct ledger_row row;

    (void)state;
    begin_call(r);
    talk(r, 100);
    end_call(r);
    assert_int_equal(ledger_db_get(r->db, r->node.pub, p->key.pub, &row), ERR_OK);
    less = row.head;
    say_sign(r, p, &less, p->seed); /* the same again is none */
    assert_false(ledger_db_has_proof(r->db, p->key.pub));
    less.served[statement_side(&less, r->node.pub)] -= 30;
    say_sign(r, p, &less, p->seed);
    assert_true(ledger_db_has_proof(r->db, p->key.pub));
    ledger_db_get(r->db, r->node.pub, p->key.pub, &row);
    assert_true(row.account.is_void);
    assert_true(ledger_avail(&row.account, LEDGER_KAPPA_HI) <= 0);
    assert_true(row.head.served[statement_side(&row.head, r->node.pub)] >= 90); /* what it owes stays */
    assert_false(ledger_db_has_proof(r->db, r->phones[1].key.pub));
    rig_free(r);
}

/* Phone 2 brings what phone 0 and the relay, or phones 0 and 1, have signed: it is none of its business. */
static void receipts_of_others(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0], *thief = &r->phones[2];
    struct wire_msg m = {.type = WIRE_SYNC};
    struct service_stats before, after;
    uint8_t buf[WIRE_MESSAGE_MAX];
    struct ledger_row row, same;
    struct statement s;

    (void)state;
    begin_call(r);
    talk(r, 100);
    assert_int_equal(ledger_db_get(r->db, r->node.pub, p->key.pub, &row), ERR_OK);
    service_stats(r->svc, r->w.now, &before);
    statement_next(&row.head, row.head.day, &s);
    s.served[statement_side(&s, p->key.pub)] = 3600; /* "the relay owes phone 0 an hour" */
    say_sign(r, thief, &s, p->seed);                 /* even with its signature */
    statement_sign(&s, r->node_seed);
    statement_write(&s, m.statement);
    service_session_message(r->svc, r->w.now, thief->session, WIRE_CHAN_LEDGER,
                            wire_write(buf, sizeof buf, &m));
    statement_init(&s, zone, p->key.pub, r->phones[1].key.pub);
    statement_next(&s, row.head.day, &s);
    s.served[0] = 3600;
    say_sign(r, p, &s, p->seed); /* of a pair in which the relay has no part */
    statement_sign(&s, r->phones[1].seed);
    statement_write(&s, m.statement);
    service_session_message(r->svc, r->w.now, p->session, WIRE_CHAN_LEDGER, wire_write(buf, sizeof buf, &m));
    service_stats(r->svc, r->w.now, &after);
    assert_int_equal(after.malformed - before.malformed, 4);
    assert_int_equal(after.ledger.accounts, before.ledger.accounts);
    ledger_db_get(r->db, r->node.pub, p->key.pub, &same);
    assert_memory_equal(&same.head, &row.head, sizeof row.head);
    assert_int_equal(ledger_db_get(r->db, r->node.pub, thief->key.pub, &same), ERR_NOT_FOUND);
    assert_false(ledger_db_has_proof(r->db, p->key.pub) || ledger_db_has_proof(r->db, thief->key.pub));
    talk(r, 100); /* and the call is signed for as before */
    assert_true(billed(r, p) >= 180);
    rig_free(r);
}

static void does_not_sign(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    struct service_stats stats;
    uint32_t seconds = 0;

    (void)state;
    begin_call(r);
    p->does_not_sign = true;
    for (; service_turn_stats(r->svc)->allocations == 2 && seconds < 300; seconds++)
        talk(r, 1);
    assert_in_range(seconds, 90, 160); /* a stranger: 10 s and 30 + 30 + 30 */
    assert_int_equal(p->n_migrate, 1);
    assert_int_equal(p->migrate_why, WIRE_WHY_UNSIGNED);
    service_stats(r->svc, r->w.now, &stats);
    assert_int_equal(stats.unsigned_stops, 1);
    assert_int_equal(r->phones[1].n_migrate, 0);
    rig_free(r);
}

/* It served the relay's owner for so long. */
static void make_creditor(struct rig *r, struct phone *p, uint32_t served_s)
{
    struct statement s, next;

    statement_init(&s, zone, r->node.pub, p->key.pub);
    s.inc = ledger_db_inc(r->db);
    statement_next(&s, (uint16_t)(WORLD_WALL_S / 86400), &next);
    next.served[statement_side(&next, p->key.pub)] = served_s;
    assert_int_equal(statement_sign(&next, p->seed), ERR_OK);
    assert_int_equal(statement_sign(&next, r->node_seed), ERR_OK);
    assert_int_equal(ledger_db_put_statement(r->db, r->node.pub, &next, WORLD_WALL_S / 86400), ERR_OK);
    assert_int_equal(ledger_db_put_statement(p->db, p->key.pub, &next, WORLD_WALL_S / 86400), ERR_OK);
    service_session_closed(r->svc, r->w.now, p->session);
    connect_phone(r, p);
}

/* Each stop costs at most 150 slot-s, and is owed: so a creditor's credit is all that it can take this way. */
static void creditor_does_not_sign(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    uint32_t stops = 0, taken = 0, credit;

    (void)state;
    make_creditor(r, p, 60);
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    credit = p->funded_s;
    relay_client_release(p->rc, r->w.now, p->alloc_id);
    assert_int_equal(p->admission, LEDGER_CREDITOR);
    p->does_not_sign = true;
    for (; p->admission == LEDGER_CREDITOR && stops < 10; stops++) {
        uint32_t seconds = 0;

        begin_call(r);
        if (p->admission != LEDGER_CREDITOR)
            break;
        while (service_turn_stats(r->svc)->allocations == 2 && seconds < 300) {
            talk(r, 1);
            seconds++;
        }
        assert_in_range(seconds, 140, 152);
        taken += seconds;
        turn_refresh(r, &r->phones[1], 0);
        pass(r, NS_PER_S);
    }
    assert_int_equal(p->admission, LEDGER_STRANGER);
    assert_in_range(taken, 140, credit);
    rig_free(r);
}

static void leaves_with_the_ticket(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    uint32_t seconds = 0;

    (void)state;
    begin_call(r);
    service_session_closed(r->svc, r->w.now, r->phones[0].session);
    for (; service_turn_stats(r->svc)->allocations == 2 && seconds < 300; seconds++)
        talk(r, 1);
    assert_in_range(seconds, 80, 160);
    rig_free(r);
}

static void caps(void **state)
{
    struct service_config config = calls(2);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[2];

    (void)state;
    begin_call(r);
    talk(r, 12);
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    assert_int_equal(p->n_refused, 1);
    assert_int_equal(p->why == CLIENT_BUSY || p->why == CLIENT_POOL_EMPTY, 1);
    assert_true(p->retry_ms > 0);
    /* A silent allocation holds no slot. */
    for (int i = 0; i < 40; i++)
        pass(r, NS_PER_S);
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    assert_int_equal(p->n_allocated, 1);
    rig_free(r);
}

static void monthly_budget(void **state)
{
    struct service_config config = calls(20);
    struct rig *r;
    struct phone *p;
    struct service_stats stats;

    (void)state;
    config.monthly_bytes = 100000;
    r = rig_with(&config);
    p = &r->phones[2];
    begin_call(r);
    talk(r, 60); /* goes on over the cap */
    service_stats(r->svc, r->w.now, &stats);
    assert_true(stats.is_over_budget);
    assert_true(stats.bytes_month > 200000);
    assert_int_equal(service_turn_stats(r->svc)->allocations, 2);
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    assert_int_equal(p->why, CLIENT_BUSY);
    assert_int_equal(p->n_refused, 1);
    /* The count survives a restart, and a month ends. */
    service_destroy(r->svc);
    make_service(r, &config);
    service_stats(r->svc, r->w.now, &stats);
    assert_true(stats.is_over_budget);
    r->w.wall_ms += (int64_t)40 * 86400 * 1000;
    pass(r, 2 * NS_PER_S);
    service_stats(r->svc, r->w.now, &stats);
    assert_false(stats.is_over_budget);
    assert_int_equal(stats.bytes_month, 0);
    rig_free(r);
}

static void contacts_only(void **state)
{
    struct service_config config = calls(20);
    static const uint8_t pair_secrets[1][32] = {{9, 9, 9}}, other[32] = {1};
    uint8_t guest[GUEST_PASS_BYTES];
    struct rig *r;
    struct phone *p;

    (void)state;
    config.serve = SERVICE_FOR_CONTACTS;
    r = rig_with(&config);
    p = &r->phones[0];
    service_set_guests(r->svc, pair_secrets, 1);
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    assert_int_equal(p->why, CLIENT_NOT_ALLOWED);
    service_guest_pass(r->svc, other, guest);
    relay_client_allocate(p->rc, r->w.now, 1, 600, guest);
    assert_int_equal(p->n_allocated, 0);
    service_guest_pass(r->svc, pair_secrets[0], guest);
    relay_client_allocate(p->rc, r->w.now, 1, 600, guest);
    assert_int_equal(p->n_allocated, 1);
    assert_int_equal(p->admission, LEDGER_GUEST);
    rig_free(r);
}

static void creditors(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];

    (void)state;
    make_creditor(r, p, 600);
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    assert_int_equal(p->admission, LEDGER_CREDITOR);
    assert_in_range(p->funded_s, 600, 3000);
    relay_client_allocate(r->phones[1].rc, r->w.now, 1, 600, NULL);
    assert_int_equal(r->phones[1].admission, LEDGER_STRANGER);
    rig_free(r);
}

/* So many who may collect came that it stays contended for an hour. */
static void contend(struct rig *r)
{
    struct phone *p = &r->phones[2];

    assert_int_equal(ledger_db_set_sponsor(r->db, r->node.pub, p->key.pub, 10000), ERR_OK);
    for (int i = 0; i < 60; i++) {
        relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
        relay_client_release(p->rc, r->w.now, p->alloc_id);
        pass(r, NS_PER_S);
    }
    assert_int_equal(p->n_allocated, 60);
}

/* A creditor's 300 s are used up: it has 180 s of grace, is told once more, and stopped. */
static void funding_ends(void **state)
{
    struct service_config config = calls(4);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    uint32_t seconds = 0, told_at = 0, last_at = 0;

    (void)state;
    assert_int_equal(ledger_db_set_sponsor(r->db, r->node.pub, p->key.pub, 300), ERR_OK);
    begin_call(r);
    assert_int_equal(p->admission, LEDGER_CREDITOR);
    assert_int_equal(r->phones[1].admission, LEDGER_STRANGER);
    contend(r);
    for (; service_turn_stats(r->svc)->allocations == 2 && seconds < 900; seconds++) {
        talk(r, 1);
        if (seconds % 100 == 99)
            refresh_both(r);
        if (told_at == 0 && p->n_migrate > 0) {
            told_at = seconds;
            assert_int_equal(p->migrate_s, SERVICE_GRACE_S);
        }
        if (last_at == 0 && p->n_migrate > 0 && p->migrate_s <= SERVICE_LAST_WORD_S)
            last_at = seconds;
    }
    assert_int_equal(p->migrate_why, WIRE_WHY_FUNDS);
    assert_in_range(told_at, 200, 380); /* at the statement after the last second that was covered */
    assert_in_range(last_at - told_at, SERVICE_GRACE_S - 2, SERVICE_GRACE_S + 2);
    assert_in_range(seconds - last_at, SERVICE_LAST_WORD_S - 1, SERVICE_LAST_WORD_S + 2);
    assert_int_equal(r->phones[1].n_migrate, 0); /* a stranger was let in for the whole call */
    rig_free(r);
}

/* Credit that comes in time: nothing is stopped. */
static void funding_comes(void **state)
{
    struct service_config config = calls(4);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];

    (void)state;
    assert_int_equal(ledger_db_set_sponsor(r->db, r->node.pub, p->key.pub, 300), ERR_OK);
    begin_call(r);
    contend(r);
    for (int i = 0; p->n_migrate == 0 && i < 5; i++)
        talk(r, 100), refresh_both(r);
    assert_int_equal(p->migrate_why, WIRE_WHY_FUNDS);
    assert_int_equal(ledger_db_set_sponsor(r->db, r->node.pub, p->key.pub, 3000), ERR_OK);
    talk(r, 70);
    refresh_both(r);
    p->n_migrate = 0;
    talk(r, 200);
    assert_int_equal(p->n_migrate, 0);
    assert_int_equal(service_turn_stats(r->svc)->allocations, 2);
    rig_free(r);
}

/* Both limits, lowered under what runs: the newest is asked to go, then all; nobody is stopped. */
static void caps_ask_to_move(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);

    (void)state;
    begin_call(r);
    talk(r, 20);
    service_set_limits(r->svc, r->w.now, 1, 100000, 0, 10, SERVICE_FOR_ANYONE);
    talk(r, 12);
    assert_int_equal(r->phones[0].n_migrate, 0);
    assert_in_range(r->phones[1].n_migrate, 1, 3); /* said again every 10 s */
    assert_int_equal(r->phones[1].migrate_why, WIRE_WHY_FULL);
    assert_int_equal(r->phones[1].migrate_s, SERVICE_GRACE_S);
    service_set_limits(r->svc, r->w.now, 1, 100000, 1000, 10, SERVICE_FOR_ANYONE);
    talk(r, 12);
    assert_int_equal(r->phones[0].migrate_why, WIRE_WHY_BUDGET);
    talk(r, 200);
    assert_int_equal(service_turn_stats(r->svc)->allocations, 2);
    rig_free(r);
}

static void draining(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);

    (void)state;
    begin_call(r);
    talk(r, 5);
    service_drain(r->svc, r->w.now, true);
    relay_client_allocate(r->phones[2].rc, r->w.now, 1, 600, NULL);
    assert_int_equal(r->phones[2].n_refused, 1);
    assert_int_equal(r->phones[0].n_migrate, 1); /* at once */
    assert_int_equal(r->phones[1].migrate_why, WIRE_WHY_DRAIN);
    talk(r, 5);
    assert_false(service_is_drained(r->svc));
    assert_true(service_is_carrying(r->svc, r->w.now));
    service_drain(r->svc, r->w.now, false);
    talk(r, 20);
    assert_int_equal(r->phones[0].n_migrate, 1);
    service_leave(r->svc, r->w.now, 2);
    assert_int_equal(r->phones[0].n_migrate, 2);
    assert_int_equal(r->phones[0].migrate_s, 2);
    pass(r, SERVICE_QUIET_MS * NS_PER_MS);
    pass(r, NS_PER_MS);
    assert_false(service_is_carrying(r->svc, r->w.now));
    end_call(r);
    assert_true(service_is_drained(r->svc));
    rig_free(r);
}

static void tickets_are_personal(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];

    (void)state;
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    for (int i = 0; i < 2; i++, p->t.from.port++) { /* two at most, one a family or after a restart */
        p->t.id[5]++;
        if (turn_allocate(r, p) == STUN_STALE_NONCE) {
            struct stun_msg m;

            stun_parse(slice_of(world_last(&r->w)->bytes, world_last(&r->w)->len), &m);
            copy_text(p->t.nonce, sizeof p->t.nonce, m.nonce);
            assert_int_equal(turn_allocate(r, p), 0);
        }
    }
    turn_allocate(r, p); /* for the nonce */
    {
        struct stun_msg m;

        stun_parse(slice_of(world_last(&r->w)->bytes, world_last(&r->w)->len), &m);
        copy_text(p->t.nonce, sizeof p->t.nonce, m.nonce);
    }
    assert_int_equal(turn_allocate(r, p), STUN_QUOTA_REACHED);
    /* A ticket that nobody used is void after a minute. */
    relay_client_allocate(r->phones[1].rc, r->w.now, 1, 600, NULL);
    for (int i = 0; i < 61; i++)
        pass(r, NS_PER_S);
    assert_int_equal(turn_allocate(r, &r->phones[1]), STUN_QUOTA_REACHED);
    rig_free(r);
}

static void lost_ok(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    struct service_stats stats;

    (void)state;
    p->is_deaf = true;
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    p->is_deaf = false;
    for (int i = 0; i < 6; i++)
        pass(r, 100 * NS_PER_MS);
    assert_int_equal(p->n_allocated, 1);
    assert_int_equal(turn_allocate(r, p), 0);
    service_stats(r->svc, r->w.now, &stats);
    assert_int_equal(service_turn_stats(r->svc)->allocations, 1);
    /* No answer at all: said after some tries. */
    p->is_deaf = true;
    relay_client_allocate(p->rc, r->w.now, 1, 600, NULL);
    for (int i = 0; i < 300; i++)
        pass(r, 100 * NS_PER_MS);
    assert_int_equal(p->why, CLIENT_NO_ANSWER);
    assert_int_equal(relay_client_deadline(p->rc), NS_NEVER);
    rig_free(r);
}

static void knocks(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *p = &r->phones[0];
    struct addr caller = at("203.0.113.77:5555");
    uint8_t buf[KNOCK_FRAME_MAX];
    struct slice body;
    uint32_t flow;

    (void)state;
    relay_client_register(p->rc, r->w.now, 3);
    assert_int_equal(p->n_registered, 1);
    assert_true(
        service_input(r->svc, r->w.now, &caller,
                      knock_build_c8(buf, sizeof buf, p->tokens.token, 0, slice_str("C0 message one"))));
    assert_int_equal(p->n_knocks, 1);
    assert_memory_equal(p->knock, "C0 message one", 14);
    relay_client_knock_reply(p->rc, p->flow, slice_str("C1"));
    assert_int_equal(knock_parse_c9(slice_of(world_last(&r->w)->bytes, world_last(&r->w)->len), &flow, &body),
                     ERR_OK);
    assert_int_equal(flow, p->flow);
    service_session_closed(r->svc, r->w.now, p->session);
    service_input(r->svc, r->w.now, &caller,
                  knock_build_c8(buf, sizeof buf, p->tokens.token, 0, slice_str("again")));
    assert_int_equal(p->n_knocks, 1);
    rig_free(r);
}

/* Caller and callee at the same relay: the knock goes out of the caller's allocation and stays inside. */
static void knock_by_allocation(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct phone *callee = &r->phones[0], *caller = &r->phones[1];
    struct addr relay = at(MAIN_V4);
    uint8_t buf[KNOCK_FRAME_MAX], channel[KNOCK_FRAME_MAX + 4];
    struct slice data, body;
    uint16_t number;
    uint32_t flow;

    (void)state;
    relay_client_register(callee->rc, r->w.now, 0);
    get_allocation(r, caller);
    turn_bind(r, caller, &relay);
    service_input(r->svc, r->w.now, &caller->t.from,
                  stun_channel_write(
                      channel, sizeof channel, 0x4001,
                      knock_build_c8(buf, sizeof buf, callee->tokens.token, 0, slice_str("from inside"))));
    assert_int_equal(callee->n_knocks, 1);
    relay_client_knock_reply(callee->rc, callee->flow, slice_str("answer"));
    assert_true(addr_equal(&world_last(&r->w)->to, &caller->t.from));
    assert_int_equal(
        stun_channel_parse(slice_of(world_last(&r->w)->bytes, world_last(&r->w)->len), &number, &data),
        ERR_OK);
    assert_int_equal(knock_parse_c9(data, &flow, &body), ERR_OK);
    assert_true(slice_is(body, "answer"));
    rig_free(r);
}

static void unwelcome(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct addr from = at("203.0.113.77:5555");
    struct service_stats stats;

    (void)state;
    assert_int_equal(service_session_open(r->svc, r->w.now, 9, r->node.pub, &from), ERR_REFUSED);
    service_session_message(r->svc, r->w.now, 1, WIRE_CHAN_LEDGER, slice_str("\x02\x00"));
    service_session_message(r->svc, r->w.now, 1, 7, slice_str("x"));
    service_session_message(r->svc, r->w.now, 99, WIRE_CHAN_LEDGER, slice_str("x"));
    service_stats(r->svc, r->w.now, &stats);
    assert_int_equal(stats.malformed, 2);
    assert_false(service_input(r->svc, r->w.now, &from, slice_of(NULL, 0)));
    assert_false(service_input(r->svc, r->w.now, &from, slice_of("d1:", 3)));
    assert_false(service_input(r->svc, r->w.now, &from, slice_of("\xc0\x00", 2)));
    rig_free(r);
}

static void bindings(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    struct addr unknown = at("203.0.113.77:5555");
    uint8_t buf[64];
    struct stun_wr w;
    struct slice bytes;

    (void)state;
    turner_begin(&r->phones[0].t, &w, buf, sizeof buf, STUN_BINDING);
    bytes = stun_end(&w); /* 20 bytes, the answer has 32 */
    assert_true(service_input(r->svc, r->w.now, &unknown, bytes));
    assert_int_equal(r->w.n_packets, 0);
    assert_int_equal(turn(r, &r->phones[0], bytes).cls, STUN_SUCCESS);
    service_session_closed(r->svc, r->w.now, r->phones[0].session);
    assert_true(service_input(r->svc, r->w.now, &r->phones[0].t.from, bytes));
    assert_int_equal(r->w.n_packets, 1);
    rig_free(r);
}

static void adverts(void **state)
{
    struct service_config config = calls(20);
    struct rig *r = rig_with(&config);
    uint8_t buf[ADVERT_BYTES_MAX];
    struct addr none[2] = {{.family = ADDR_NONE}, {.family = ADDR_NONE}};
    struct advert ad;

    (void)state;
    assert_int_equal(advert_parse(service_advert(r->svc, r->w.now, buf), &ad), ERR_OK);
    assert_int_equal(advert_verify(&ad, zone, WORLD_WALL_S / 86400), ERR_OK);
    assert_int_equal(ad.slots, 20);
    assert_memory_equal(ad.node, r->node.pub, 32);
    service_set_external(r->svc, none);
    assert_int_equal(service_advert(r->svc, r->w.now, buf).len, 0);
    rig_free(r);
}

static void ordinary_users(void **state)
{
    static const struct turn_user users[] = {{"ito", "secret"}};
    struct service_config config = calls(1);
    struct rig *r;
    struct service_stats stats;

    (void)state;
    config.turn_users = users;
    config.n_turn_users = 1;
    r = rig_with(&config);
    for (int i = 0; i < 3; i++) {
        struct phone *p = &r->phones[i];
        struct stun_msg m;

        p->t.nonce[0] = '\0';
        assert_int_equal(turn_allocate(r, p), STUN_UNAUTHENTICATED);
        stun_parse(slice_of(world_last(&r->w)->bytes, world_last(&r->w)->len), &m);
        copy_text(p->t.realm, sizeof p->t.realm, m.realm);
        copy_text(p->t.nonce, sizeof p->t.nonce, m.nonce);
        snprintf(p->t.username, sizeof p->t.username, "ito");
        snprintf(p->t.password, sizeof p->t.password, "secret");
        assert_int_equal(turn_allocate(r, p), i < 2 ? 0 : STUN_QUOTA_REACHED); /* one call has two ends */
    }
    turn_bind(r, &r->phones[0], &r->phones[1].t.relayed);
    turn_bind(r, &r->phones[1], &r->phones[0].t.relayed);
    talk(r, 20);
    service_stats(r->svc, r->w.now, &stats);
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.statements, 0);
    end_call(r);
    service_stats(r->svc, r->w.now, &stats);
    assert_int_equal(stats.calls, 0);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("after a call both databases hold the same statement, signed by both", whole_call),
        sentence("attack, dropping relay: bad intervals are not signed", short_counts),
        sentence("attack, inflated seconds: a relay that claims too much is not paid and not used",
                 overcharged),
        sentence("lost answers change nothing in the end", lost_answers),
        sentence("a client that crashed signs the same half again", crashed_client),
        sentence("a lost database comes back from the other side", lost_database),
        sentence("attack, fork of an account: who signs a seq twice is void at once, and owes what it owed",
                 forks),
        sentence("attack, replay: receipts for others' traffic are counted and change nothing",
                 receipts_of_others),
        sentence("attack, withheld signatures: a stranger is told, told to move, and stopped", does_not_sign),
        sentence("attack, withheld signatures: 150 slot-s a stop, then the creditor is a stranger",
                 creditor_does_not_sign),
        sentence("who leaves the session with the ticket is not carried for nothing", leaves_with_the_ticket),
        sentence("calls are capped, silent allocations are not calls", caps),
        sentence("the month's bytes cap new calls and let running ones finish", monthly_budget),
        sentence("a relay for contacts asks for a guest pass", contacts_only),
        sentence("who served the relay's owner is a creditor", creditors),
        sentence("a creditor whose funds end under contention is told, has its grace, and is stopped",
                 funding_ends),
        sentence("credit that comes within the grace stops nothing", funding_comes),
        sentence("over a lowered cap the newest calls are asked to go, and none is stopped",
                 caps_ask_to_move),
        sentence("a draining relay takes no calls and finishes those it has", draining),
        sentence("a ticket is good for two allocations, and for a minute when unused", tickets_are_personal),
        sentence("a lost OK is given again, no answer is said", lost_ok),
        sentence("a knock reaches the registered client and comes back", knocks),
        sentence("a knock from an allocation on the same relay stays inside", knock_by_allocation),
        sentence("what is not for a relay is counted or left to others", unwelcome),
        sentence("a bare Binding is answered to those who have a session, not to a spoofed address",
                 bindings),
        sentence("the advert says what the relay is", adverts),
        sentence("ordinary TURN users have no account, and their cap", ordinary_users),
    };
    return run_sentences("service", tests);
}
