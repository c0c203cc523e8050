#include "relay/client.h"

#include "base/log.h"
#include "base/mem.h"
#include "crypto/identity.h"
#include "relay/audit.h"
#include "relay/favour_db.h"
#include "relay/second.h"

#define OVERCHARGES_MAX 2 /* then we do not use it any more */
#define DAYS_APART      2 /* of the two sides' calendars */

enum lease_state { LEASE_FREE, LEASE_ASKING, LEASE_HELD };

/* One request and what came of it. */
struct lease {
    enum lease_state state;
    uint32_t request;
    uint8_t slots;
    uint32_t wish_s;
    bool has_pass, is_audit, was_used;
    uint8_t pass[GUEST_PASS_BYTES];
    uint8_t alloc_id[8];
    uint8_t tries;
    ns_t ask_at;
    struct second second;
    double since_report_s; /* slot-seconds not yet judged good or bad */
};

/* One paper under way: a cheque we pay with, or present, or a question. type 0: none. */
struct errand {
    enum wire_type type;
    uint32_t req;
    uint8_t tries;
    ns_t at;
    struct cheque cheque;
    const struct client_line *line; /* it is drawn on a sponsor; else NULL */
    uint8_t n_proofs;               /* that came before the answer */
};

struct relay_client {
    struct relay_client_config config;
    struct relay_client_ops ops;
    void *arg;
    const struct env *env;
    struct sign_key account;
    struct lease leases[CLIENT_ALLOCATIONS];
    uint32_t next_request;
    struct statement head; /* seq 0: none */
    double good_s;         /* counted, not signed yet; may be a little below zero by rounding */
    double bad_s;          /* counted in bad intervals: not signed */
    uint64_t used_bytes;
    uint32_t overcharges;
    struct ledger_quality quality;
    bool wants_registration, is_registered;
    uint32_t generation, register_req;
    uint8_t register_tries;
    ns_t register_at;
    struct errand paying, clearing;
    uint8_t load_pct;
    struct relay_client_stats stats;
};

static int32_t today(const struct relay_client *rc)
{
    return (int32_t)(env_wall_ms(rc->env) / 86400000);
}

static void say(struct relay_client *rc, const struct wire_msg *m)
{
    uint8_t buf[WIRE_MESSAGE_MAX];
    struct slice bytes = wire_write(buf, sizeof buf, m);

    if (bytes.len > 0)
        rc->ops.session_send(rc->arg, WIRE_CHAN_LEDGER, bytes);
}

/* --- life --- */

struct relay_client *relay_client_create(const struct relay_client_config *config,
                                         const struct relay_client_ops *ops, void *arg, const struct env *env)
{
    struct relay_client *rc = mem_alloc(sizeof *rc);
    struct ledger_row row;

    rc->config = *config;
    rc->ops = *ops;
    rc->arg = arg;
    rc->env = env;
    rc->next_request = env_random_u32(env) >> 1;
    rc->register_at = NS_NEVER;
    sign_key_from_seed(config->account_seed, &rc->account);
    if (ledger_db_get(config->db, rc->account.pub, config->relay, &row) == ERR_OK && row.has_head)
        rc->head = row.head;
    ledger_db_get_quality(config->db, config->relay, &rc->quality);
    if (rc->quality.day == 0)
        rc->quality.day = today(rc);
    return rc;
}

void relay_client_destroy(struct relay_client *rc)
{
    if (rc == NULL)
        return;
    ledger_db_put_quality(rc->config.db, rc->config.relay, &rc->quality);
    secret_wipe(rc, sizeof *rc);
    mem_free(rc);
}

const struct relay_client_stats *relay_client_stats(const struct relay_client *rc)
{
    return &rc->stats;
}

uint8_t relay_client_load(const struct relay_client *rc)
{
    return rc->load_pct;
}

/* --- leases --- */

static struct lease *lease_of(struct relay_client *rc, const uint8_t alloc_id[static 8])
{
    for (size_t i = 0; i < CLIENT_ALLOCATIONS; i++) {
        if (rc->leases[i].state == LEASE_HELD && memcmp(rc->leases[i].alloc_id, alloc_id, 8) == 0)
            return &rc->leases[i];
    }
    return NULL;
}

static struct lease *lease_of_request(struct relay_client *rc, uint32_t request)
{
    for (size_t i = 0; i < CLIENT_ALLOCATIONS; i++) {
        if (rc->leases[i].state == LEASE_ASKING && rc->leases[i].request == request)
            return &rc->leases[i];
    }
    return NULL;
}

static void free_lease(struct lease *l)
{
    secret_wipe(l, sizeof *l);
}

static void ask(struct relay_client *rc, ns_t now, struct lease *l)
{
    struct wire_msg m = {.type = WIRE_ALLOCATE, .req = l->request, .slots = l->slots, .wish_s = l->wish_s};

    m.head_inc = rc->head.seq > 0 ? rc->head.inc : ledger_db_inc(rc->config.db);
    m.head_seq = rc->head.seq;
    if (l->has_pass) {
        m.flags = WIRE_FLAG_PASS;
        memcpy(m.pass, l->pass, sizeof m.pass);
    }
    if (l->is_audit)
        m.flags |= WIRE_FLAG_AUDIT;
    l->ask_at = now + ((ns_t)CLIENT_RTO_MS * NS_PER_MS << l->tries);
    l->tries++;
    say(rc, &m);
}

static uint32_t begin_lease(struct relay_client *rc, ns_t now, uint8_t slots, uint32_t wish_s,
                            const uint8_t *guest_pass, bool is_audit)
{
    for (size_t i = 0; i < CLIENT_ALLOCATIONS; i++) {
        struct lease *l = &rc->leases[i];

        if (l->state != LEASE_FREE)
            continue;
        *l = (struct lease){.state = LEASE_ASKING, .slots = slots, .wish_s = wish_s, .is_audit = is_audit};
        l->request = ++rc->next_request;
        l->has_pass = guest_pass != NULL;
        if (guest_pass != NULL)
            memcpy(l->pass, guest_pass, sizeof l->pass);
        rc->quality.asked++;
        ask(rc, now, l);
        return l->request;
    }
    return 0;
}

uint32_t relay_client_allocate(struct relay_client *rc, ns_t now, uint8_t slots, uint32_t wish_s,
                               const uint8_t *guest_pass)
{
    return begin_lease(rc, now, slots, wish_s, guest_pass, false);
}

uint32_t relay_client_audit(struct relay_client *rc, ns_t now)
{
    return begin_lease(rc, now, 1, AUDIT_S, NULL, true);
}

void relay_client_release(struct relay_client *rc, ns_t now, const uint8_t alloc_id[static 8])
{
    struct lease *l = lease_of(rc, alloc_id);
    struct wire_msg m = {.type = WIRE_RELEASE};

    (void)now;
    if (l == NULL)
        return;
    memcpy(m.alloc_id, alloc_id, sizeof m.alloc_id);
    free_lease(l);
    say(rc, &m);
}

static void refused(struct relay_client *rc, ns_t now, uint32_t request, enum client_refusal why,
                    uint32_t retry_ms)
{
    if (rc->ops.refused != NULL)
        rc->ops.refused(rc->arg, now, request, why, retry_ms);
}

static void on_ok(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct lease *l = lease_of_request(rc, m->req);
    struct client_credentials c = {
        .request = m->req,
        .admission = m->admission,
        .funded_s = m->funded_s,
        .expiry_s = m->expiry_s,
        .realm = m->realm,
        .nonce = m->nonce,
        .username = m->username,
        .password = m->password,
    };

    if (l == NULL)
        return;
    l->state = LEASE_HELD;
    memcpy(l->alloc_id, m->alloc_id, sizeof l->alloc_id);
    memcpy(c.alloc_id, m->alloc_id, sizeof c.alloc_id);
    rc->load_pct = m->load_pct;
    rc->quality.answered++;
    if (rc->ops.allocated != NULL)
        rc->ops.allocated(rc->arg, now, &c);
}

static void on_refusal(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct lease *l = lease_of_request(rc, m->req);
    enum client_refusal why = m->type == WIRE_POOL_EMPTY       ? CLIENT_POOL_EMPTY
                              : m->why == WIRE_WHY_NOT_ALLOWED ? CLIENT_NOT_ALLOWED
                                                               : CLIENT_BUSY;

    if (rc->wants_registration && !rc->is_registered && m->req == rc->register_req) {
        rc->register_at = now + (ns_t)m->retry_ms * NS_PER_MS;
        rc->register_tries = 0;
        return;
    }
    if (l == NULL)
        return;
    rc->load_pct = m->load_pct;
    rc->quality.answered++; /* a "no" is an answer */
    free_lease(l);
    refused(rc, now, m->req, why, m->retry_ms);
}

/* --- counting --- */

void relay_client_account(struct relay_client *rc, ns_t now, const uint8_t alloc_id[static 8], size_t bytes)
{
    struct lease *l = lease_of(rc, alloc_id);

    if (l == NULL)
        return;
    rc->used_bytes += bytes;
    if (!l->was_used) {
        l->was_used = true;
        rc->quality.uses++;
    }
    if (second_note(&l->second, now) != SECOND_NEW)
        return;
    rc->good_s += l->slots;
    l->since_report_s += l->slots;
}

bool relay_client_quality(struct relay_client *rc, ns_t now, const uint8_t alloc_id[static 8], double loss,
                          double jitter_ms)
{
    struct lease *l = lease_of(rc, alloc_id);
    bool is_good = loss < CLIENT_LOSS_BAD && jitter_ms < CLIENT_JITTER_BAD_MS;

    (void)now;
    if (l == NULL)
        return is_good;
    if (loss >= CLIENT_LOSS_USELESS) {
        rc->good_s -= l->since_report_s;
        rc->bad_s += l->since_report_s;
    }
    l->since_report_s = 0;
    ledger_quality_note(&rc->quality, is_good, today(rc));
    rc->quality.added_ms += (jitter_ms - rc->quality.added_ms) / 8;
    return is_good;
}

void relay_client_judge(struct relay_client *rc, bool is_good)
{
    ledger_quality_note(&rc->quality, is_good, today(rc));
    ledger_db_put_quality(rc->config.db, rc->config.relay, &rc->quality);
}

double relay_client_quality_mean(const struct relay_client *rc)
{
    return ledger_quality_mean(&rc->quality);
}

void relay_client_broke(struct relay_client *rc, const uint8_t alloc_id[static 8])
{
    struct lease *l = lease_of(rc, alloc_id);

    if (l == NULL)
        return;
    rc->quality.broke++;
    ledger_quality_note(&rc->quality, false, today(rc));
    ledger_db_put_quality(rc->config.db, rc->config.relay, &rc->quality);
    free_lease(l);
}

/* --- statements --- */

static bool is_our_pair(const struct relay_client *rc, const struct statement *s)
{
    return statement_side(s, rc->account.pub) >= 0 && statement_side(s, rc->config.relay) >= 0 &&
           memcmp(s->net_id, rc->config.net_id, sizeof s->net_id) == 0;
}

static void send_head(struct relay_client *rc)
{
    struct wire_msg m = {.type = WIRE_SYNC};

    if (rc->head.seq == 0)
        return;
    statement_write(&rc->head, m.statement);
    say(rc, &m);
}

/* Over the same pair it may be our client, too: the newest statement is the one on disk. */
static void refresh_head(struct relay_client *rc)
{
    struct ledger_row row;

    if (ledger_db_get(rc->config.db, rc->account.pub, rc->config.relay, &row) == ERR_OK && row.has_head &&
        (rc->head.seq == 0 || statement_newer(&row.head, &rc->head)))
        rc->head = row.head;
}

static void send_half(struct relay_client *rc, const struct statement *half, const uint8_t alloc_id[static 8])
{
    struct wire_msg m = {.type = WIRE_SIGN};

    memcpy(m.alloc_id, alloc_id, sizeof m.alloc_id);
    statement_body(half, m.body);
    memcpy(m.sig, half->sig[statement_side(half, rc->account.pub)], sizeof m.sig);
    say(rc, &m);
}

/* A half of ours that was not answered; nothing else may be signed under its seq. */
static bool has_pending(struct relay_client *rc, struct statement *half)
{
    return ledger_db_get_pending(rc->config.db, rc->account.pub, rc->config.relay, half) == ERR_OK &&
           (rc->head.seq == 0 || statement_newer(half, &rc->head));
}

/* Only the seconds the relay served us may grow; the rest is as it was. */
static bool is_honest_shape(const struct relay_client *rc, const struct statement *s)
{
    struct statement zero = {0};
    const struct statement *last = rc->head.seq > 0 ? &rc->head : &zero;
    int us = statement_side(s, rc->account.pub), days = (int)s->day - (int)(uint16_t)today(rc);

    return statement_follows(last, s) == ERR_OK && s->served[us] == last->served[us] &&
           s->claims[0] == last->claims[0] && s->claims[1] == last->claims[1] && days <= DAYS_APART &&
           days >= -DAYS_APART;
}

/* How much of the asked slot-seconds we sign: all within 5 %, else what we counted. */
static uint64_t honest_part(struct relay_client *rc, uint64_t asked)
{
    double counted = rc->good_s > 0 ? rc->good_s : 0, all = counted + rc->bad_s;

    if ((double)asked <= counted * (1 + CLIENT_TOLERANCE) + RECEIPT_UNIT_S / 2.0 + 2) {
        rc->stats.signed_full++;
        return asked;
    }
    rc->stats.signed_less++;
    if ((double)asked > all * (1 + CLIENT_TOLERANCE) + RECEIPT_UNIT_S) {
        rc->stats.overcharged++;
        rc->overcharges++;
        rc->quality.unkept++;
    }
    return (uint64_t)(counted / RECEIPT_UNIT_S) * RECEIPT_UNIT_S;
}

static void on_propose(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct statement s, pending;
    uint64_t asked, before;
    int relay;

    rc->stats.proposals++;
    refresh_head(rc);
    if (statement_parse_body(slice_of(m->body, sizeof m->body), &s) != ERR_OK || !is_our_pair(rc, &s)) {
        rc->stats.malformed++;
        return;
    }
    if (has_pending(rc, &pending)) {
        send_half(rc, &pending, m->alloc_id);
        return;
    }
    if (!is_honest_shape(rc, &s)) {
        send_head(rc);
        return;
    }
    relay = statement_side(&s, rc->config.relay);
    before = rc->head.seq > 0 ? rc->head.served[relay] : 0;
    asked = s.served[relay] - before;
    s.served[relay] = before + honest_part(rc, asked);
    if (statement_sign(&s, rc->account.seed) != ERR_OK ||
        ledger_db_put_pending(rc->config.db, rc->account.pub, &s) != ERR_OK)
        return; /* a full disk: what is not kept is not signed */
    send_half(rc, &s, m->alloc_id);
    if (rc->overcharges == OVERCHARGES_MAX)
        refused(rc, now, 0, CLIENT_OVERCHARGED, 0);
}

/* Bytes are for the screens and in no statement. So that both ledgers show one figure the relay's count is taken,
 * unless it is more than ours and the tolerance. */
static void count_bytes(struct relay_client *rc, uint64_t relays_total)
{
    uint64_t most = (uint64_t)((double)rc->used_bytes * (1 + CLIENT_TOLERANCE)) + CLIENT_SLACK_BYTES;
    uint64_t used = rc->used_bytes;
    struct ledger_row row;

    if (ledger_db_get(rc->config.db, rc->account.pub, rc->config.relay, &row) == ERR_OK &&
        relays_total >= row.used_bytes && relays_total - row.used_bytes <= most)
        used = relays_total - row.used_bytes;
    ledger_db_add_bytes(rc->config.db, rc->account.pub, rc->config.relay, 0, used);
    rc->used_bytes = 0;
}

/* seconds: how much of our count it settles; none when it is from before we counted. relays_total: 0 when not told. */
static void settle(struct relay_client *rc, const struct statement *s, double seconds, uint64_t relays_total)
{
    if (ledger_db_put_statement(rc->config.db, rc->account.pub, s, today(rc)) != ERR_OK)
        return;
    count_bytes(rc, relays_total);
    ledger_db_put_quality(rc->config.db, rc->config.relay, &rc->quality);
    rc->good_s -= seconds;
    if (seconds > 0)
        rc->bad_s = 0;
    rc->head = *s;
    if (rc->ops.settled != NULL)
        rc->ops.settled(rc->arg, s);
}

static void on_done(struct relay_client *rc, const struct wire_msg *m)
{
    struct statement s;
    int relay;

    if (!has_pending(rc, &s) || s.seq != m->seq)
        return;
    relay = statement_side(&s, rc->config.relay);
    memcpy(s.sig[relay], m->sig, sizeof s.sig[relay]);
    if (statement_verify_side(&s, relay) != ERR_OK) {
        rc->stats.bad_signature++;
        return;
    }
    settle(rc, &s, (double)s.served[relay] - (rc->head.seq > 0 ? (double)rc->head.served[relay] : 0),
           m->total_bytes);
}

/* The relay shows a newer statement with our signature: our database lost it, and it binds us. */
static void on_sync(struct relay_client *rc, const struct wire_msg *m)
{
    struct statement s, pending;
    double seconds = 0;

    if (statement_parse(slice_of(m->statement, sizeof m->statement), &s) != ERR_OK || !is_our_pair(rc, &s)) {
        rc->stats.malformed++;
        return;
    }
    if (statement_verify(&s) != ERR_OK) {
        rc->stats.bad_signature++;
        return;
    }
    if (rc->head.seq > 0 && !statement_newer(&s, &rc->head))
        return;
    if (has_pending(rc, &pending) && pending.inc == s.inc && pending.seq == s.seq) {
        int relay = statement_side(&s, rc->config.relay);

        seconds = (double)s.served[relay] - (rc->head.seq > 0 ? (double)rc->head.served[relay] : 0);
    }
    settle(rc, &s, seconds, 0);
}

/* --- cheques --- */

static void run_errand(struct relay_client *rc, ns_t now, struct errand *e)
{
    struct wire_msg m = {.type = e->type, .req = e->req};

    if (e->tries >= CLIENT_TRIES) {
        *e = (struct errand){0};
        return;
    }
    if (e->type != WIRE_DIGEST_ASK)
        cheque_write(&e->cheque, m.cheque);
    if (e->line != NULL) {
        m.flags = WIRE_FLAG_LINE;
        sponsor_write(&e->line->line, m.line);
    }
    e->at = now + ((ns_t)CLIENT_RTO_MS * NS_PER_MS << e->tries);
    e->tries++;
    say(rc, &m);
}

static void begin_errand(struct relay_client *rc, ns_t now, struct errand *e, enum wire_type type,
                         const struct cheque *c, const struct client_line *line)
{
    *e = (struct errand){.type = type, .req = ++rc->next_request, .line = line};
    if (c != NULL)
        e->cheque = *c;
    run_errand(rc, now, e);
}

/* line: our account there is the drawer; NULL: our open account is. */
static enum err pay(struct relay_client *rc, ns_t now, const uint8_t drawee[static 32], uint32_t amount_s,
                    const struct client_line *line)
{
    struct clearing_book book;
    struct cheque c = {0};
    enum err e;

    if ((!rc->config.is_open && line == NULL) || rc->paying.type != 0)
        return ERR_STATE;
    e = ledger_db_book(rc->config.db, drawee, &book);
    if (e != ERR_OK)
        return e;
    memcpy(c.net_id, rc->config.net_id, sizeof c.net_id);
    memcpy(c.drawer, line != NULL ? line->line.beneficiary : rc->account.pub, 32);
    memcpy(c.drawee, drawee, 32);
    memcpy(c.payee, rc->config.relay, 32);
    clearing_draw(&book, amount_s, (uint16_t)today(rc), &c);
    e = cheque_sign(&c, line != NULL ? line->seed : rc->account.seed);
    if (e == ERR_OK)
        e = ledger_db_put_drawn(rc->config.db, &c);
    if (e == ERR_OK)
        begin_errand(rc, now, &rc->paying, WIRE_CHEQUE, &c, line);
    return e;
}

enum err relay_client_pay(struct relay_client *rc, ns_t now, const uint8_t drawee[static 32],
                          uint32_t amount_s)
{
    return pay(rc, now, drawee, amount_s, NULL);
}

enum err relay_client_clear(struct relay_client *rc, ns_t now, const struct cheque *c)
{
    if (rc->clearing.type != 0)
        return ERR_STATE;
    begin_errand(rc, now, &rc->clearing, WIRE_CLEAR, c, NULL);
    return ERR_OK;
}

void relay_client_fund(struct relay_client *rc, ns_t now)
{
    struct ledger_row row;

    if ((!rc->config.is_open && rc->config.n_lines == 0) || rc->paying.type != 0)
        return;
    ledger_db_get(rc->config.db, rc->account.pub, rc->config.relay, &row);
    ledger_age(&row.account, today(rc));
    if (row.account.debt_s < CLIENT_FUNDS_S) /* what the relay owes us */
        begin_errand(rc, now, &rc->paying, WIRE_DIGEST_ASK, NULL, NULL);
}

static void on_credited(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct cheque c = rc->paying.cheque;
    bool is_of_line = rc->paying.line != NULL;

    if (rc->paying.type != WIRE_CHEQUE || rc->paying.req != m->req)
        return;
    rc->paying = (struct errand){0};
    if (m->verdict == CLEARING_OK && ledger_db_begin(rc->config.db) == ERR_OK) {
        ledger_db_owe(rc->config.db, is_of_line ? c.drawer : rc->account.pub, c.drawee, -(double)c.amount,
                      today(rc));
        ledger_db_owe(rc->config.db, rc->account.pub, c.payee, c.amount, today(rc));
        ledger_db_commit(rc->config.db);
    }
    if (rc->ops.paid != NULL)
        rc->ops.paid(rc->arg, now, (enum clearing_verdict)m->verdict, m->credit_s);
}

static void on_cleared(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct cleared answer;
    struct cheque other;
    bool has_other = (m->flags & WIRE_FLAG_OTHER) != 0;

    if (rc->clearing.type != WIRE_CLEAR || rc->clearing.req != m->req)
        return;
    if (cleared_parse(slice_of(m->cleared, sizeof m->cleared), &answer) != ERR_OK ||
        memcmp(answer.drawee, rc->config.relay, 32) != 0 ||
        (has_other && cheque_parse(slice_of(m->cheque, sizeof m->cheque), &other) != ERR_OK)) {
        rc->stats.malformed++;
        return;
    }
    rc->clearing = (struct errand){0};
    if (rc->ops.cleared != NULL)
        rc->ops.cleared(rc->arg, now, &answer, has_other ? &other : NULL);
}

struct richest {
    struct relay_client *rc;
    struct digest digest;
    double owes_s;
    uint8_t who[32];
};

static void weigh_row(void *arg, const struct ledger_row *row)
{
    struct richest *r = arg;
    struct ledger_account a = row->account;

    if (memcmp(row->me, r->rc->account.pub, 32) != 0)
        return;
    ledger_age(&a, today(r->rc));
    if (a.debt_s <= r->owes_s || digest_find(&r->digest, row->peer) <= 0)
        return; /* less than a tranche is not told: its bucket may begin below one */
    r->owes_s = a.debt_s;
    memcpy(r->who, row->peer, 32);
}

/* What we have not drawn on the sponsor in the time that its line is for. */
static double line_left(const struct relay_client *rc, const struct client_line *l)
{
    return l->line.line_s - favour_db_drawn(rc->config.db, l->line.sponsor, today(rc) - l->line.per_days);
}

static void on_digest(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct richest best = {.rc = rc, .owes_s = LEDGER_TRANCHE_S - 1};

    if (rc->paying.type != WIRE_DIGEST_ASK || rc->paying.req != m->req)
        return;
    rc->paying = (struct errand){0};
    if (digest_parse(slice_of(m->digest, m->digest_len), &best.digest) != ERR_OK ||
        memcmp(best.digest.net_id, rc->config.net_id, sizeof rc->config.net_id) != 0) {
        rc->stats.malformed++;
        return;
    }
    if (rc->config.is_open)
        ledger_db_each(rc->config.db, weigh_row, &best);
    if (best.owes_s >= LEDGER_TRANCHE_S) {
        relay_client_pay(rc, now, best.who, (uint32_t)LEDGER_TRANCHE_S);
        return;
    }
    for (size_t i = 0; i < rc->config.n_lines && rc->paying.type == 0; i++) {
        const struct client_line *l = &rc->config.lines[i];

        if (digest_find(&best.digest, l->line.sponsor) > 0 && line_left(rc, l) >= LEDGER_TRANCHE_S)
            pay(rc, now, l->line.sponsor, (uint32_t)LEDGER_TRANCHE_S, l);
    }
}

/* Only before the digest that we asked for: what nobody asked for is not looked at. */
static void on_proof(struct relay_client *rc, const struct wire_msg *m)
{
    struct cheque first;
    uint8_t culprit[32];

    if (rc->paying.type != WIRE_DIGEST_ASK || rc->paying.req != m->req || !rc->config.is_open ||
        rc->paying.n_proofs == CLIENT_PROOFS)
        return;
    rc->paying.n_proofs++;
    if (cheque_parse(slice_of(m->proof, RECEIPT_RLC1_BYTES), &first) != ERR_OK ||
        memcmp(first.net_id, rc->config.net_id, sizeof first.net_id) != 0 ||
        clearing_proof_check(slice_of(m->proof, sizeof m->proof), culprit) != ERR_OK) {
        rc->stats.malformed++;
        return;
    }
    if (memcmp(culprit, rc->account.pub, 32) == 0 || ledger_db_has_proof(rc->config.db, culprit))
        return;
    if (ledger_db_put_heard(rc->config.db, culprit, rc->config.relay, m->proof) == ERR_OK)
        rc->stats.proofs++;
}

/* --- knocks --- */

static void ask_registration(struct relay_client *rc, ns_t now)
{
    struct wire_msg m = {.type = WIRE_REGISTER, .req = rc->register_req, .generation = rc->generation};

    rc->register_at =
        now + ((ns_t)CLIENT_RTO_MS * NS_PER_MS << (rc->register_tries < 6 ? rc->register_tries : 6));
    rc->register_tries++;
    say(rc, &m);
}

void relay_client_register(struct relay_client *rc, ns_t now, uint32_t generation)
{
    rc->wants_registration = true;
    rc->is_registered = false;
    rc->generation = generation;
    rc->register_req = ++rc->next_request;
    rc->register_tries = 0;
    ask_registration(rc, now);
}

static void on_registered(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct knock_tokens tokens;

    if (!rc->wants_registration || m->generation != rc->generation)
        return;
    rc->is_registered = true;
    rc->register_at = NS_NEVER;
    memcpy(tokens.token, m->token, sizeof tokens.token);
    memcpy(tokens.old, m->token_old, sizeof tokens.old);
    tokens.valid_s = m->valid_s;
    if (rc->ops.registered != NULL)
        rc->ops.registered(rc->arg, now, &tokens);
}

void relay_client_knock_reply(struct relay_client *rc, uint32_t flow, struct slice body)
{
    uint8_t buf[4 + KNOCK_BODY_MAX];
    struct wr w;

    wr_init(&w, buf, sizeof buf);
    wr_u32(&w, flow);
    wr_slice(&w, body);
    if (wr_ok(&w))
        rc->ops.session_send(rc->arg, WIRE_CHAN_KNOCK, wr_done(&w));
}

/* --- messages and time --- */

static void on_move(struct relay_client *rc, ns_t now, const struct wire_msg *m)
{
    struct statement pending;

    if (m->type == WIRE_SIGN_REQUIRED) {
        if (has_pending(rc, &pending))
            send_half(rc, &pending, m->alloc_id);
        return;
    }
    if (rc->ops.migrate != NULL && lease_of(rc, m->alloc_id) != NULL)
        rc->ops.migrate(rc->arg, now, m->alloc_id, m->why, m->within_s);
}

static void on_knock(struct relay_client *rc, ns_t now, struct slice bytes)
{
    struct rd r;
    uint32_t flow;

    rd_init(&r, bytes);
    flow = rd_u32(&r);
    if (!rd_ok(&r) || rd_left(&r) == 0)
        rc->stats.malformed++;
    else if (rc->ops.knock != NULL)
        rc->ops.knock(rc->arg, now, flow, rd_rest(&r));
}

void relay_client_message(struct relay_client *rc, ns_t now, uint8_t chan, struct slice bytes)
{
    struct wire_msg m;

    if (chan == WIRE_CHAN_KNOCK) {
        on_knock(rc, now, bytes);
        return;
    }
    if (chan != WIRE_CHAN_LEDGER || wire_parse(bytes, &m) != ERR_OK) {
        rc->stats.malformed++;
        return;
    }
    switch (m.type) {
    case WIRE_OK:
        on_ok(rc, now, &m);
        break;
    case WIRE_BUSY:
    case WIRE_POOL_EMPTY:
        on_refusal(rc, now, &m);
        break;
    case WIRE_PROPOSE:
        on_propose(rc, now, &m);
        break;
    case WIRE_DONE:
        on_done(rc, &m);
        break;
    case WIRE_SYNC:
        on_sync(rc, &m);
        break;
    case WIRE_SIGN_REQUIRED:
    case WIRE_MIGRATE:
        on_move(rc, now, &m);
        break;
    case WIRE_REGISTERED:
        on_registered(rc, now, &m);
        break;
    case WIRE_CREDITED:
        on_credited(rc, now, &m);
        break;
    case WIRE_CLEARED:
        on_cleared(rc, now, &m);
        break;
    case WIRE_DIGEST:
        on_digest(rc, now, &m);
        break;
    case WIRE_PROOF:
        on_proof(rc, &m);
        break;
    default: /* what only clients say */
        rc->stats.malformed++;
        break;
    }
    secret_wipe(&m, sizeof m);
}

void relay_client_session_renewed(struct relay_client *rc, ns_t now)
{
    for (size_t i = 0; i < CLIENT_ALLOCATIONS; i++) {
        if (rc->leases[i].state != LEASE_ASKING)
            continue;
        rc->leases[i].tries = 0;
        ask(rc, now, &rc->leases[i]);
    }
    if (rc->wants_registration)
        relay_client_register(rc, now, rc->generation);
}

void relay_client_tick(struct relay_client *rc, ns_t now)
{
    if (rc->wants_registration && !rc->is_registered && now >= rc->register_at)
        ask_registration(rc, now);
    if (rc->paying.type != 0 && now >= rc->paying.at)
        run_errand(rc, now, &rc->paying);
    if (rc->clearing.type != 0 && now >= rc->clearing.at)
        run_errand(rc, now, &rc->clearing);
    for (size_t i = 0; i < CLIENT_ALLOCATIONS; i++) {
        struct lease *l = &rc->leases[i];
        uint32_t request = l->request;

        if (l->state != LEASE_ASKING || now < l->ask_at)
            continue;
        /* A relay may let us wait in its queue: the last try outlasts that. */
        if (l->tries < CLIENT_TRIES) {
            ask(rc, now, l);
        } else if (l->tries == CLIENT_TRIES) {
            l->tries++;
            l->ask_at = now + LEDGER_QUEUE_S * NS_PER_S;
        } else {
            free_lease(l);
            refused(rc, now, request, CLIENT_NO_ANSWER, 0);
        }
    }
}

ns_t relay_client_deadline(const struct relay_client *rc)
{
    ns_t at = rc->wants_registration && !rc->is_registered ? rc->register_at : NS_NEVER;

    at = rc->paying.type != 0 ? ns_min(at, rc->paying.at) : at;
    at = rc->clearing.type != 0 ? ns_min(at, rc->clearing.at) : at;
    for (size_t i = 0; i < CLIENT_ALLOCATIONS; i++) {
        if (rc->leases[i].state == LEASE_ASKING)
            at = ns_min(at, rc->leases[i].ask_at);
    }
    return at;
}
