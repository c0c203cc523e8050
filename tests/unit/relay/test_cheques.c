/* Cheques over the wire: a payer, the relay it pays, and the drawee who clears; the shipped service and client. */
#include "world.h"

#include "base/mem.h"
#include "relay/client.h"
#include "relay/service.h"

#define TODAY (WORLD_WALL_S / 86400)

static const uint8_t zone[8] = {1, 2, 3, 4, 5, 6, 7, 8};

struct town;

struct shop { /* a relay with its ledger */
    struct town *town;
    struct service *svc;
    struct ledger_db *db;
    uint8_t seed[32];
    struct sign_key key;
    struct relay_client *guests[3]; /* by session number */
};

struct visitor { /* a client of one shop */
    struct town *town;
    struct shop *at;
    uint64_t session;
    struct relay_client *rc;
    uint32_t n_paid, n_cleared, n_allocated, n_refused, n_proofs, credit_s, asked;
    enum clearing_verdict verdict;
    enum client_refusal why;
    uint8_t admission, alloc_id[8];
    struct cleared answer;
    struct cheque other;
    bool has_other, loses_answers;
};

struct town {
    struct world w;
    struct shop relay, drawee;  /* R, B */
    struct shop far;            /* F: served R, has room at B, and saw nothing of what P did elsewhere */
    struct ledger_db *payer_db; /* P's */
    struct sign_key payer, stranger, other;
    struct visitor payer_at_relay, stranger_at_relay, relay_at_drawee, other_at_drawee;
    struct visitor far_at_relay, payer_at_far, other_at_far;
    struct cheque presented;
    uint32_t n_presented;
};

static void shop_send(void *arg, const struct addr *to, struct slice bytes)
{
    world_keep(&((struct shop *)arg)->town->w, 0, to, bytes);
}

static void shop_says(void *arg, uint64_t session, uint8_t chan, struct slice bytes)
{
    struct shop *s = arg;
    struct town *t = s->town;
    struct visitor *all[] = {&t->payer_at_relay,  &t->stranger_at_relay, &t->relay_at_drawee,
                             &t->other_at_drawee, &t->far_at_relay,      &t->payer_at_far,
                             &t->other_at_far};
    uint8_t copy[2048];

    memcpy(copy, bytes.data, bytes.len);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->at != s || all[i]->session != session || all[i]->rc == NULL)
            continue;
        all[i]->n_proofs += copy[0] == WIRE_PROOF;
        if (!all[i]->loses_answers)
            relay_client_message(all[i]->rc, t->w.now, chan, slice_of(copy, bytes.len));
    }
}

static void visitor_says(void *arg, uint8_t chan, struct slice bytes)
{
    struct visitor *v = arg;
    uint8_t copy[2048];

    memcpy(copy, bytes.data, bytes.len);
    if (copy[0] == WIRE_DIGEST_ASK)
        v->asked = (uint32_t)copy[4] << 24 | copy[5] << 16 | copy[6] << 8 | copy[7];
    service_session_message(v->at->svc, v->town->w.now, v->session, chan, slice_of(copy, bytes.len));
}

static void on_present(void *arg, const struct cheque *c)
{
    struct town *t = ((struct shop *)arg)->town;

    t->presented = *c;
    t->n_presented++;
}

static void on_paid(void *arg, ns_t now, enum clearing_verdict verdict, uint32_t credit_s)
{
    struct visitor *v = arg;

    (void)now;
    v->n_paid++;
    v->verdict = verdict;
    v->credit_s = credit_s;
}

static void on_cleared(void *arg, ns_t now, const struct cleared *answer, const struct cheque *other)
{
    struct visitor *v = arg;

    (void)now;
    v->n_cleared++;
    v->answer = *answer;
    v->has_other = other != NULL;
    if (other != NULL)
        v->other = *other;
}

static void on_allocated(void *arg, ns_t now, const struct client_credentials *c)
{
    struct visitor *v = arg;

    (void)now;
    v->n_allocated++;
    v->admission = c->admission;
    memcpy(v->alloc_id, c->alloc_id, sizeof v->alloc_id);
}

static void on_refused(void *arg, ns_t now, uint32_t request, enum client_refusal why, uint32_t retry_ms)
{
    struct visitor *v = arg;

    (void)now;
    (void)request;
    (void)retry_ms;
    v->n_refused++;
    v->why = why;
}

static struct ledger_db *open_db(void)
{
    struct err_detail detail;
    struct ledger_db *db;

    assert_int_equal(ledger_db_open(":memory:", &db, &detail), ERR_OK);
    return db;
}

static void key(uint8_t fill, uint8_t seed[static 32], struct sign_key *out)
{
    memset(seed, fill, 32);
    sign_key_from_seed(seed, out);
}

static void open_shop(struct town *t, struct shop *s, uint8_t fill)
{
    static const struct service_ops ops = {
        .send = shop_send, .session_send = shop_says, .present = on_present};
    struct service_config config = {.max_calls = 1, .max_kbps = 100000, .strangers_pct = 0};

    s->town = t;
    key(fill, s->seed, &s->key);
    s->db = open_db();
    config.node_seed = s->seed;
    memcpy(config.zone_id, zone, sizeof zone);
    config.external[0] = at("198.51.100.7:41641");
    config.port_min = 50000;
    config.port_max = 50999;
    config.db = s->db;
    s->svc = service_create(&config, &ops, s, &t->w.env, t->w.now);
}

static void visit(struct town *t, struct visitor *v, struct shop *s, uint64_t session,
                  const struct sign_key *who, struct ledger_db *db, const char *from)
{
    static const struct relay_client_ops ops = {.session_send = visitor_says,
                                                .allocated = on_allocated,
                                                .refused = on_refused,
                                                .paid = on_paid,
                                                .cleared = on_cleared};
    struct relay_client_config config = {.db = db, .is_open = true};
    struct addr peer = at(from);

    v->town = t;
    v->at = s;
    v->session = session;
    memcpy(config.relay, s->key.pub, 32);
    memcpy(config.account_seed, who->seed, 32);
    memcpy(config.net_id, zone, 4);
    v->rc = relay_client_create(&config, &ops, v, &t->w.env);
    assert_int_equal(service_session_open(s->svc, t->w.now, session, who->pub, &peer), ERR_OK);
}

/* `server` served `client` so long: what both of them keep. */
static void served(const struct sign_key *server, struct ledger_db *server_db, const struct sign_key *client,
                   struct ledger_db *client_db, uint64_t seconds)
{
    struct statement s;

    statement_init(&s, zone, server->pub, client->pub);
    statement_next(&s, TODAY, &s);
    s.served[statement_side(&s, server->pub)] = seconds;
    assert_int_equal(statement_sign(&s, server->seed), ERR_OK);
    assert_int_equal(statement_sign(&s, client->seed), ERR_OK);
    assert_int_equal(ledger_db_put_statement(server_db, server->pub, &s, TODAY), ERR_OK);
    assert_int_equal(ledger_db_put_statement(client_db, client->pub, &s, TODAY), ERR_OK);
}

/* P carried an hour for B's people, B half an hour for R's: so P can pay R. */
static struct town *town_with(void)
{
    struct town *t = mem_alloc(sizeof *t);
    uint8_t seed[32];

    world_init(&t->w);
    open_shop(t, &t->relay, 42);
    open_shop(t, &t->drawee, 43);
    key(50, seed, &t->payer);
    key(51, seed, &t->stranger);
    key(52, seed, &t->other);
    t->payer_db = open_db();
    served(&t->payer, t->payer_db, &t->drawee.key, t->drawee.db, 3600);
    served(&t->drawee.key, t->drawee.db, &t->relay.key, t->relay.db, 1800);
    visit(t, &t->payer_at_relay, &t->relay, 1, &t->payer, t->payer_db, "203.0.113.5:1111");
    visit(t, &t->stranger_at_relay, &t->relay, 2, &t->stranger, t->payer_db, "192.0.2.9:2222");
    visit(t, &t->relay_at_drawee, &t->drawee, 1, &t->relay.key, t->relay.db, "198.18.1.1:1");
    visit(t, &t->other_at_drawee, &t->drawee, 2, &t->other, t->payer_db, "198.18.2.2:2");
    return t;
}

static void town_free(struct town *t)
{
    relay_client_destroy(t->payer_at_relay.rc);
    relay_client_destroy(t->stranger_at_relay.rc);
    relay_client_destroy(t->relay_at_drawee.rc);
    relay_client_destroy(t->other_at_drawee.rc);
    service_destroy(t->relay.svc);
    service_destroy(t->drawee.svc);
    ledger_db_close(t->relay.db);
    ledger_db_close(t->drawee.db);
    ledger_db_close(t->payer_db);
    mem_free(t);
}

static double owed(struct ledger_db *db, const struct sign_key *me, const struct sign_key *peer)
{
    struct ledger_row row;

    ledger_db_get(db, me->pub, peer->pub, &row);
    return row.account.debt_s;
}

/* R presents what it holds, and hears the answer. */
static void present(struct town *t)
{
    struct visitor *v = &t->relay_at_drawee;

    assert_int_equal(relay_client_clear(v->rc, t->w.now, &t->presented), ERR_OK);
    assert_true(v->n_cleared > 0);
    service_cleared(t->relay.svc, t->w.now, &v->answer, v->has_other ? &v->other : NULL);
}

static void paid_in_the_background(void **state)
{
    struct town *t = town_with();
    struct cheque waiting;

    (void)state;
    relay_client_fund(t->payer_at_relay.rc, t->w.now);
    assert_int_equal(t->payer_at_relay.n_paid, 1);
    assert_int_equal(t->payer_at_relay.verdict, CLEARING_OK);
    assert_in_range(t->payer_at_relay.credit_s, 300, 310);
    assert_int_equal(service_waiting(t->relay.svc, t->drawee.key.pub, &waiting), ERR_OK);
    present(t);
    assert_int_equal(service_waiting(t->relay.svc, t->drawee.key.pub, &waiting), ERR_NOT_FOUND);
    /* Three pairs moved by one tranche; each side of a pair says the same. */
    assert_true(owed(t->relay.db, &t->relay.key, &t->payer) == -300);
    assert_true(owed(t->payer_db, &t->payer, &t->relay.key) == 300);
    assert_true(owed(t->relay.db, &t->relay.key, &t->drawee.key) == -1500);
    assert_true(owed(t->drawee.db, &t->drawee.key, &t->relay.key) == 1500);
    assert_true(owed(t->drawee.db, &t->drawee.key, &t->payer) == -3300);
    assert_true(owed(t->payer_db, &t->payer, &t->drawee.key) == 3300);
    town_free(t);
}

static void served_under_contention(void **state)
{
    struct town *t = town_with();
    struct visitor *p = &t->payer_at_relay, *s = &t->stranger_at_relay;

    (void)state;
    relay_client_fund(p->rc, t->w.now);
    for (int i = 0; i < 12; i++) { /* creditors keep the one slot busy for hours */
        relay_client_allocate(p->rc, t->w.now, 1, 600, NULL);
        relay_client_release(p->rc, t->w.now, p->alloc_id);
        world_pass(&t->w, 2 * NS_PER_S);
        service_tick(t->relay.svc, t->w.now);
    }
    assert_int_equal(p->n_allocated, 12);
    relay_client_allocate(s->rc, t->w.now, 1, 600, NULL);
    assert_int_equal(s->n_allocated, 0);
    assert_int_equal(s->why, CLIENT_POOL_EMPTY);
    relay_client_allocate(p->rc, t->w.now, 1, 600, NULL);
    assert_int_equal(p->n_allocated, 13);
    assert_int_equal(p->admission, LEDGER_CREDITOR);
    town_free(t);
}

static void lost_answers(void **state)
{
    struct town *t = town_with();
    struct visitor *p = &t->payer_at_relay, *r = &t->relay_at_drawee;

    (void)state;
    p->loses_answers = true;
    assert_int_equal(relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300), ERR_OK);
    assert_int_equal(relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300), ERR_STATE);
    p->loses_answers = false;
    world_pass(&t->w, NS_PER_S);
    relay_client_tick(p->rc, t->w.now);
    assert_int_equal(p->n_paid, 1);
    assert_int_equal(p->verdict, CLEARING_OK);
    assert_true(owed(t->relay.db, &t->relay.key, &t->payer) == -300);
    present(t);
    assert_int_equal(relay_client_clear(r->rc, t->w.now, &t->presented), ERR_OK); /* once more */
    assert_int_equal(r->n_cleared, 2);
    assert_int_equal(r->answer.result, 1);
    assert_true(owed(t->drawee.db, &t->drawee.key, &t->payer) == -3300);
    town_free(t);
}

static void at_risk(void **state)
{
    struct town *t = town_with();
    struct visitor *p = &t->payer_at_relay;

    (void)state;
    relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300);
    assert_int_equal(p->verdict, CLEARING_OK);
    relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300);
    assert_int_equal(p->verdict, CLEARING_AT_RISK); /* until the first is cleared */
    present(t);
    relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300);
    assert_int_equal(p->verdict, CLEARING_OK);
    town_free(t);
}

static void drawn_twice(void **state)
{
    struct town *t = town_with();
    struct visitor *p = &t->payer_at_relay, *o = &t->other_at_drawee;
    struct cheque again;

    (void)state;
    relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300);
    present(t);
    again = t->presented; /* the same range, for somebody else */
    memcpy(again.payee, t->other.pub, 32);
    assert_int_equal(cheque_sign(&again, t->payer.seed), ERR_OK);
    assert_int_equal(relay_client_clear(o->rc, t->w.now, &again), ERR_OK);
    assert_int_equal(o->answer.result, 0);
    assert_true(o->has_other);
    assert_true(cheque_is_overdraw(&again, &o->other));
    assert_true(ledger_db_has_proof(t->drawee.db, t->payer.pub)); /* its name is dead here */
    assert_true(owed(t->drawee.db, &t->drawee.key, &t->payer) == -3300);
    relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300);
    present(t);
    assert_int_equal(t->relay_at_drawee.answer.result, 0);
    town_free(t);
}

/* The third relay and who visits it. Without service from F, R tells it nothing. */
static void open_far(struct town *t, uint64_t served_s)
{
    open_shop(t, &t->far, 44);
    if (served_s > 0)
        served(&t->far.key, t->far.db, &t->relay.key, t->relay.db, served_s);
    served(&t->drawee.key, t->drawee.db, &t->far.key, t->far.db, 1800);
    visit(t, &t->far_at_relay, &t->relay, 3, &t->far.key, t->far.db, "198.18.3.3:3");
    visit(t, &t->payer_at_far, &t->far, 1, &t->payer, t->payer_db, "203.0.113.5:1112");
}

static void close_far(struct town *t)
{
    relay_client_destroy(t->far_at_relay.rc);
    relay_client_destroy(t->payer_at_far.rc);
    relay_client_destroy(t->other_at_far.rc);
    service_destroy(t->far.svc);
    ledger_db_close(t->far.db);
}

/* While B is away P pays R and another with the same range; B comes back, the other was first, R learns it. */
static void spend_twice(struct town *t)
{
    struct cheque again;

    relay_client_pay(t->payer_at_relay.rc, t->w.now, t->drawee.key.pub, 300);
    assert_int_equal(t->payer_at_relay.verdict, CLEARING_OK); /* at R's risk */
    again = t->presented;
    memcpy(again.payee, t->other.pub, 32);
    assert_int_equal(cheque_sign(&again, t->payer.seed), ERR_OK);
    assert_int_equal(relay_client_clear(t->other_at_drawee.rc, t->w.now, &again), ERR_OK);
    assert_int_equal(t->other_at_drawee.answer.result, 1);
    present(t);
    assert_int_equal(t->relay_at_drawee.answer.result, 0);
    assert_true(ledger_db_has_proof(t->relay.db, t->payer.pub));
}

static void convicted_elsewhere(void **state)
{
    struct town *t = town_with();
    struct ledger_db *other_db = open_db();

    (void)state;
    open_far(t, 300);
    spend_twice(t);
    assert_false(ledger_db_has_proof(t->far.db, t->payer.pub));
    relay_client_fund(t->far_at_relay.rc, t->w.now); /* as every 5 minutes: the question for the digest */
    assert_true(ledger_db_has_proof(t->far.db, t->payer.pub));
    assert_int_equal(relay_client_stats(t->far_at_relay.rc)->proofs, 1);
    relay_client_pay(t->payer_at_far.rc, t->w.now, t->drawee.key.pub, 300);
    assert_int_equal(t->payer_at_far.verdict, CLEARING_VOID);
    assert_true(owed(t->far.db, &t->far.key, &t->payer) == 0);
    /* F tells the next one; R is told once, F not again. */
    served(&t->other, other_db, &t->far.key, t->far.db, 300);
    visit(t, &t->other_at_far, &t->far, 2, &t->other, other_db, "198.18.2.2:3");
    relay_client_fund(t->other_at_far.rc, t->w.now);
    assert_true(ledger_db_has_proof(other_db, t->payer.pub));
    world_pass(&t->w, 600 * NS_PER_S);
    relay_client_fund(t->far_at_relay.rc, t->w.now);
    assert_int_equal(t->far_at_relay.n_proofs, 1);
    close_far(t);
    ledger_db_close(other_db);
    town_free(t);
}

/* Names are free: one that never served R is told nothing, so a crowd of them cannot use up the tellings. */
static void told_to_peers_only(void **state)
{
    struct town *t = town_with();

    (void)state;
    open_far(t, 0);
    spend_twice(t);
    relay_client_fund(t->far_at_relay.rc, t->w.now);
    assert_int_equal(t->far_at_relay.n_proofs, 0);
    relay_client_pay(t->payer_at_far.rc, t->w.now, t->drawee.key.pub, 300);
    assert_int_equal(t->payer_at_far.verdict, CLEARING_OK); /* it knows nothing, and risks one tranche */
    close_far(t);
    town_free(t);
}

/* What a relay that lies may say while F waits for its digest. */
static void hear(struct town *t, uint32_t after, const struct cheque *a, const struct cheque *b)
{
    struct wire_msg m = {.type = WIRE_PROOF, .req = t->far_at_relay.asked + after};
    uint8_t buf[WIRE_MESSAGE_MAX];

    clearing_proof_write(a, b, m.proof);
    relay_client_message(t->far_at_relay.rc, t->w.now, WIRE_CHAN_LEDGER, wire_write(buf, sizeof buf, &m));
}

static void forged_proofs(void **state)
{
    static const uint64_t n_bad[] = {0, 2, 4, 5, 7, 7};
    struct cheque a, b, c;
    struct town *t = town_with();
    struct relay_client *rc;

    (void)state;
    open_far(t, 300);
    rc = t->far_at_relay.rc;
    relay_client_pay(t->payer_at_relay.rc, t->w.now, t->drawee.key.pub, 300);
    a = b = c = t->presented;
    memcpy(b.payee, t->other.pub, 32);
    c.cum += 300, c.serial++; /* the next range, for somebody else: as an honest drawer does */
    memcpy(c.payee, t->other.pub, 32);
    cheque_sign(&c, t->payer.seed);
    t->far_at_relay.loses_answers = true; /* the question stays open */
    for (uint32_t round = 1; round <= 5; round++) {
        relay_client_fund(rc, t->w.now);
        if (round == 1) {
            hear(t, 0, &a, &b); /* b has the signature of a */
            cheque_sign(&b, t->stranger.seed);
            hear(t, 0, &a, &b); /* or another's */
        } else if (round == 2) {
            hear(t, 0, &a, &a);
            hear(t, 0, &a, &c);
        } else if (round == 3) {
            cheque_sign(&b, t->payer.seed);
            hear(t, 1, &a, &b); /* true, but nobody asked for it */
            a.net_id[0] ^= 1, b.net_id[0] ^= 1;
            cheque_sign(&a, t->payer.seed);
            cheque_sign(&b, t->payer.seed);
            hear(t, 0, &a, &b); /* true, in another zone */
        } else if (round == 4) {
            a.net_id[0] ^= 1, b.net_id[0] ^= 1;
            cheque_sign(&a, t->payer.seed);
            cheque_sign(&b, t->payer.seed);
            for (int i = 0; i < 1000; i++)
                hear(t, 0, &a, &a); /* two are looked at */
            hear(t, 0, &a, &b);
        } else {
            hear(t, 0, &a, &b);
        }
        assert_int_equal(ledger_db_has_proof(t->far.db, t->payer.pub), round == 5);
        assert_int_equal(relay_client_stats(rc)->malformed, n_bad[round]);
        assert_false(ledger_db_has_proof(t->far.db, t->other.pub));
        for (int i = 0; i < CLIENT_TRIES; i++) {
            world_pass(&t->w, 10 * NS_PER_S);
            relay_client_tick(rc, t->w.now);
        }
    }
    close_far(t);
    town_free(t);
}

static void bounced(void **state)
{
    struct town *t = town_with();
    struct visitor *p = &t->payer_at_relay;

    (void)state;
    ledger_db_owe(t->drawee.db, t->drawee.key.pub, t->payer.pub, 20000, TODAY); /* spent elsewhere */
    relay_client_pay(p->rc, t->w.now, t->drawee.key.pub, 300);
    assert_int_equal(p->verdict, CLEARING_OK);
    present(t);
    assert_int_equal(t->relay_at_drawee.answer.result, 0);
    assert_true(owed(t->relay.db, &t->relay.key, &t->payer) == 0);          /* owed again */
    assert_true(owed(t->relay.db, &t->relay.key, &t->drawee.key) == -1500); /* and the room stays taken */
    present(t);                                                             /* heard twice: nothing more */
    assert_true(owed(t->relay.db, &t->relay.key, &t->payer) == 0);
    town_free(t);
}

static void nobody_elses(void **state)
{
    struct town *t = town_with();
    struct service_stats stats;
    struct wire_msg m = {.type = WIRE_CHEQUE, .req = 1};
    struct cheque c = {.amount = 300, .cum = 300, .serial = 1, .day = TODAY, .ttl_days = 7};
    uint8_t buf[WIRE_MESSAGE_MAX];
    struct slice bytes;

    (void)state;
    memcpy(c.net_id, zone, 4);
    memcpy(c.drawer, t->payer.pub, 32);
    memcpy(c.drawee, t->drawee.key.pub, 32);
    memcpy(c.payee, t->relay.key.pub, 32);
    assert_int_equal(cheque_sign(&c, t->payer.seed), ERR_OK);
    cheque_write(&c, m.cheque);
    bytes = wire_write(buf, sizeof buf, &m);
    service_session_message(t->relay.svc, t->w.now, 2, WIRE_CHAN_LEDGER, bytes); /* the stranger brings it */
    m.cheque[RECEIPT_RLC1_BYTES - 1] ^= 1;
    bytes = wire_write(buf, sizeof buf, &m);
    service_session_message(t->relay.svc, t->w.now, 1, WIRE_CHAN_LEDGER, bytes); /* a forged one */
    service_stats(t->relay.svc, t->w.now, &stats);
    assert_int_equal(stats.malformed, 2);
    assert_true(owed(t->relay.db, &t->relay.key, &t->payer) == 0);
    town_free(t);
}

static void flood(void **state)
{
    struct town *t = town_with();
    struct wire_msg m = {.type = WIRE_CHEQUE, .req = 1};
    struct service_stats stats;
    uint8_t buf[WIRE_MESSAGE_MAX];
    struct slice bytes = wire_write(buf, sizeof buf, &m);

    (void)state;
    for (int i = 0; i < 1000; i++)
        service_session_message(t->relay.svc, t->w.now, 2, WIRE_CHAN_LEDGER, bytes);
    service_stats(t->relay.svc, t->w.now, &stats);
    assert_int_equal(stats.malformed, 1000);
    relay_client_pay(t->payer_at_relay.rc, t->w.now, t->drawee.key.pub, 300); /* others are heard */
    assert_int_equal(t->payer_at_relay.verdict, CLEARING_OK);
    relay_client_pay(t->payer_at_relay.rc, t->w.now, t->drawee.key.pub, 30); /* and crumbs are not taken */
    assert_int_equal(t->payer_at_relay.verdict, CLEARING_AMOUNT);
    town_free(t);
}

/* A digest that nobody asked for, naming the drawee: nothing is drawn, nothing is kept. The same in answer to a
 * question draws. */
static void unasked_digest(void **state)
{
    struct town *t = town_with();
    struct relay_client *rc = t->payer_at_relay.rc;
    static const uint8_t nonce[8] = {1};
    uint8_t net[4], buf[WIRE_MESSAGE_MAX];
    struct digest d;
    struct wire_msg m = {.type = WIRE_DIGEST};

    (void)state;
    memcpy(net, zone, sizeof net);
    digest_begin(&d, net, TODAY, nonce);
    digest_add(&d, t->drawee.key.pub, 14400);
    m.digest_len = (uint16_t)digest_write(&d, m.digest).len;
    for (m.req = 0; m.req < 1000; m.req++)
        relay_client_message(rc, t->w.now, WIRE_CHAN_LEDGER, wire_write(buf, sizeof buf, &m));
    assert_int_equal(t->payer_at_relay.n_paid, 0);
    assert_int_equal(relay_client_stats(rc)->malformed, 0);
    relay_client_fund(rc, t->w.now);
    assert_int_equal(t->payer_at_relay.n_paid, 1);
    town_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a client funds itself before any call: digest, cheque, clearing; three pairs move alike",
                 paid_in_the_background),
        sentence("under contention who paid by cheque is served, a free-rider is refused",
                 served_under_contention),
        sentence("lost answers and repeats move nothing twice", lost_answers),
        sentence("one tranche a drawer waits, no more", at_risk),
        sentence("attack, a claim spent twice: paid once, proven, the name is dead", drawn_twice),
        sentence(
            "attack, a claim spent twice while its drawee is away: a third relay hears the proof and refuses",
            convicted_elsewhere),
        sentence("proofs are told to those who served us, not to free names", told_to_peers_only),
        sentence("attack, poisoning by gossip: a proof that is forged, of one cheque, or not asked for "
                 "convicts nobody",
                 forged_proofs),
        sentence("a cheque that bounces is owed again, and the drawee's room stays taken", bounced),
        sentence("sixteen cheques a minute are looked at, crumbs are refused", flood),
        sentence("attack, poisoning by gossip: a digest that nobody asked for draws nothing", unasked_digest),
        sentence("cheques of others and forged ones are counted and dropped", nobody_elses),
    };
    return run_sentences("cheques", tests);
}
