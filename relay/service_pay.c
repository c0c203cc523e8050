/* Cheques at a relay: as payee it takes them, as drawee it clears them (LEDGER.md §3, §4; relay/clearing). */
#include "relay/favour_db.h"
#include "relay/service_impl.h"

static bool is_of_net(const struct service *svc, const struct cheque *c)
{
    return memcmp(c->net_id, svc->zone_id, sizeof c->net_id) == 0;
}

static double avail_of(struct service *svc, const uint8_t peer[static 32], struct ledger_account *account)
{
    struct ledger_row row;

    ledger_db_get(svc->db, svc->node.pub, peer, &row);
    ledger_age(&row.account, service_today(svc));
    *account = row.account;
    return ledger_avail(&row.account, ledger_load_kappa(&svc->load, svc->now));
}

static bool is_too_often(struct service *svc, struct client *c)
{
    if (c->papers_since == 0 || svc->now >= c->papers_since + 60 * NS_PER_S) {
        c->papers_since = svc->now > 0 ? svc->now : 1;
        c->n_papers = 0;
    }
    if (++c->n_papers <= PAPERS_MAX)
        return false;
    svc->malformed++;
    return true;
}

/* --- payee --- */

static void say_credited(struct service *svc, struct client *c, uint32_t req, enum clearing_verdict verdict)
{
    struct wire_msg m = {.type = WIRE_CREDITED, .req = req, .verdict = (uint8_t)verdict};
    struct ledger_account account;
    double credit = avail_of(svc, c->account, &account) - c->unbilled_s;

    m.credit_s = credit > 0 ? (uint32_t)credit : 0;
    service_say(svc, c, &m);
}

/* payer: the account it is credited to; the drawer itself, or whom a sponsor's line lets draw by another key. */
static enum err take(struct service *svc, const struct cheque *q, const uint8_t payer[static 32])
{
    int32_t today = service_today(svc);
    enum err e = ledger_db_begin(svc->db), committed;
    uint8_t hash[16];

    if (e != ERR_OK)
        return e;
    e = ledger_db_put_cheque(svc->db, q, LEDGER_CHEQUE_WAITS);
    if (e == ERR_OK && memcmp(payer, q->drawer, 32) != 0) {
        cheque_hash(q, hash);
        e = favour_db_put_payer(svc->db, hash, payer, today);
    }
    if (e == ERR_OK)
        e = ledger_db_owe(svc->db, svc->node.pub, payer, -(double)q->amount, today);
    if (e == ERR_OK)
        e = ledger_db_owe(svc->db, svc->node.pub, q->drawee, q->amount, today);
    if (e != ERR_OK) {
        ledger_db_abort(svc->db);
        return e;
    }
    committed = ledger_db_commit(svc->db);
    return committed;
}

/* The line by which the drawee answers for a drawer that is not this session's account. */
static bool is_sponsored(struct service *svc, const struct wire_msg *m, const struct cheque *q)
{
    struct sponsor_line line;

    return (m->flags & WIRE_FLAG_LINE) != 0 &&
           sponsor_parse(slice_of(m->line, sizeof m->line), &line) == ERR_OK &&
           memcmp(line.net_id, svc->zone_id, sizeof line.net_id) == 0 &&
           memcmp(line.sponsor, q->drawee, 32) == 0 && memcmp(line.beneficiary, q->drawer, 32) == 0 &&
           line.expiry_day + CLEARING_SKEW_DAYS >= service_today(svc) && line.line_s >= q->amount &&
           sponsor_verify(&line) == ERR_OK;
}

/* A client pays with a cheque on somebody whom we can collect from. Its drawer is the client: its open account, or, with
 * a sponsor's line, its account at the sponsor. */
void pay_on_cheque(struct service *svc, struct client *c, const struct wire_msg *m)
{
    enum ledger_cheque_state state;
    enum clearing_verdict verdict;
    struct ledger_account drawee;
    struct cheque q, known;
    uint8_t hash[16];
    double waits;

    if (is_too_often(svc, c))
        return;
    if (cheque_parse(slice_of(m->cheque, sizeof m->cheque), &q) != ERR_OK || !is_of_net(svc, &q) ||
        memcmp(q.payee, svc->node.pub, 32) != 0 ||
        (memcmp(q.drawer, c->account, 32) != 0 && !is_sponsored(svc, m, &q)) ||
        memcmp(q.drawee, svc->node.pub, 32) == 0 || memcmp(q.drawee, q.drawer, 32) == 0 ||
        cheque_verify(&q) != ERR_OK) {
        svc->malformed++;
        return;
    }
    cheque_hash(&q, hash);
    if (ledger_db_get_cheque(svc->db, hash, &known, &state) == ERR_OK) { /* our answer was lost */
        say_credited(svc, c, m->req, state == LEDGER_CHEQUE_BOUNCED ? CLEARING_NO_FUND : CLEARING_OK);
        return;
    }
    waits = ledger_db_waits_of_drawee(svc->db, q.drawee);
    verdict = clearing_may_take(&q, ledger_db_waits_of_drawer(svc->db, q.drawer), waits,
                                avail_of(svc, q.drawee, &drawee) + waits, (m->flags & WIRE_FLAG_LINE) != 0,
                                service_today(svc));
    if (drawee.is_void || ledger_db_has_proof(svc->db, q.drawer))
        verdict = CLEARING_VOID;
    if (verdict == CLEARING_OK && take(svc, &q, c->account) != ERR_OK)
        verdict = CLEARING_AT_RISK; /* a full disk: nothing was taken */
    say_credited(svc, c, m->req, verdict);
    if (verdict == CLEARING_OK && svc->ops.present != NULL)
        svc->ops.present(svc->arg, &q);
}

enum err service_waiting(struct service *svc, const uint8_t drawee[static 32], struct cheque *out)
{
    return ledger_db_next_waiting(svc->db, drawee, out);
}

void service_cleared(struct service *svc, ns_t now, const struct cleared *answer, const struct cheque *other)
{
    enum ledger_cheque_state state;
    uint8_t proof[CLEARING_PROOF_BYTES], culprit[32], payer[32];
    struct cheque q;

    svc->now = now;
    if (cleared_verify(answer) != ERR_OK ||
        ledger_db_get_cheque(svc->db, answer->cheque_hash, &q, &state) != ERR_OK ||
        state != LEDGER_CHEQUE_WAITS || memcmp(q.drawee, answer->drawee, 32) != 0)
        return;
    if (answer->result == 1) {
        ledger_db_put_cheque(svc->db, &q, LEDGER_CHEQUE_CLEARED);
        return;
    }
    /* Who paid with it owes it again; what the drawee refused stays taken from its room with us. */
    if (favour_db_get_payer(svc->db, answer->cheque_hash, payer) != ERR_OK)
        memcpy(payer, q.drawer, 32);
    if (ledger_db_put_cheque(svc->db, &q, LEDGER_CHEQUE_BOUNCED) == ERR_OK)
        ledger_db_owe(svc->db, svc->node.pub, payer, q.amount, service_today(svc));
    if (other == NULL)
        return;
    clearing_proof_write(&q, other, proof);
    if (clearing_proof_check(slice_of(proof, sizeof proof), culprit) == ERR_OK)
        ledger_db_put_proof(svc->db, culprit, CLEARING_OVERDRAW, slice_of(proof, sizeof proof));
}

/* --- drawee --- */

static enum err pay_out(struct service *svc, const struct cheque *q)
{
    int32_t today = service_today(svc);
    enum err e = ledger_db_begin(svc->db);

    if (e != ERR_OK)
        return e;
    e = ledger_db_put_cheque(svc->db, q, LEDGER_CHEQUE_PAID);
    if (e == ERR_OK)
        e = ledger_db_owe(svc->db, svc->node.pub, q->drawer, q->amount, today);
    if (e == ERR_OK)
        e = ledger_db_owe(svc->db, svc->node.pub, q->payee, -(double)q->amount, today);
    if (e == ERR_OK)
        return ledger_db_commit(svc->db);
    ledger_db_abort(svc->db);
    return e;
}

static enum clearing_verdict judge(struct service *svc, const struct cheque *q, struct cheque *other,
                                   bool *has_other)
{
    enum clearing_verdict verdict = clearing_check_day(q, service_today(svc));
    struct ledger_account drawer;
    double avail = avail_of(svc, q->drawer, &drawer);

    *has_other = false;
    if (verdict != CLEARING_OK)
        return verdict;
    if (ledger_db_overlap(svc->db, q, other) == ERR_OK) {
        *has_other = true;
        return CLEARING_TWICE;
    }
    if (drawer.is_void)
        return CLEARING_VOID;
    return avail < q->amount ? CLEARING_NO_FUND : CLEARING_OK;
}

void pay_on_clear(struct service *svc, struct client *c, const struct wire_msg *m)
{
    struct wire_msg answer = {.type = WIRE_CLEARED, .req = m->req};
    uint8_t proof[CLEARING_PROOF_BYTES];
    enum ledger_cheque_state state;
    struct cleared paper = {0};
    struct cheque q, other;
    bool has_other = false;

    if (is_too_often(svc, c))
        return;
    if (cheque_parse(slice_of(m->cheque, sizeof m->cheque), &q) != ERR_OK || !is_of_net(svc, &q) ||
        memcmp(q.drawee, svc->node.pub, 32) != 0 || memcmp(q.payee, c->account, 32) != 0 ||
        cheque_verify(&q) != ERR_OK) {
        svc->malformed++;
        return;
    }
    cheque_hash(&q, paper.cheque_hash);
    if (ledger_db_get_cheque(svc->db, paper.cheque_hash, &other, &state) == ERR_OK) {
        answer.verdict = CLEARING_OK; /* our answer was lost */
    } else {
        answer.verdict = (uint8_t)judge(svc, &q, &other, &has_other);
        if (answer.verdict == CLEARING_OK && pay_out(svc, &q) != ERR_OK)
            return; /* a full disk: nothing was promised, the payee asks again */
    }
    if (has_other) {
        clearing_proof_write(&q, &other, proof);
        if (cheque_is_overdraw(&q, &other))
            ledger_db_put_proof(svc->db, q.drawer, CLEARING_OVERDRAW, slice_of(proof, sizeof proof));
        answer.flags = WIRE_FLAG_OTHER;
        cheque_write(&other, answer.cheque);
    }
    memcpy(paper.net_id, svc->zone_id, sizeof paper.net_id);
    memcpy(paper.drawee, svc->node.pub, 32);
    paper.result = answer.verdict == CLEARING_OK;
    if (cleared_sign(&paper, svc->node.seed) != ERR_OK)
        return;
    cleared_write(&paper, answer.cleared);
    service_say(svc, c, &answer);
}

/* --- whom we can collect from --- */

struct digesting {
    struct service *svc;
    struct digest d;
    double kappa;
};

static void add_row(void *arg, const struct ledger_row *row)
{
    struct digesting *g = arg;
    struct ledger_account a = row->account;

    if (memcmp(row->me, g->svc->node.pub, 32) != 0)
        return;
    ledger_age(&a, service_today(g->svc));
    digest_add(&g->d, row->peer, ledger_avail(&a, g->kappa));
}

/* Claims spent twice, for one who may take the next cheque of that name: a peer that served us, or that we owe since
 * it paid with a cheque: names are free, and each proof is told to LEDGER_DB_TELL of them. */
static void tell_proofs(struct service *svc, struct client *c, uint32_t req)
{
    struct wire_msg m = {.type = WIRE_PROOF, .req = req};
    struct ledger_row row;
    bool is_batch;

    ledger_db_get(svc->db, svc->node.pub, c->account, &row);
    if ((row.account.got_s < RECEIPT_UNIT_S && row.account.debt_s > -RECEIPT_UNIT_S) || row.account.is_void)
        return;
    is_batch = ledger_db_begin(svc->db) == ERR_OK;
    for (int i = 0; i < PROOFS_PER_DIGEST; i++) {
        if (ledger_db_tell(svc->db, c->account, &c->proof_no, m.proof) != ERR_OK)
            break;
        service_say(svc, c, &m);
    }
    if (is_batch)
        ledger_db_commit(svc->db);
}

void pay_on_digest_ask(struct service *svc, struct client *c, const struct wire_msg *m)
{
    struct wire_msg answer = {.type = WIRE_DIGEST, .req = m->req};
    struct digesting g = {.svc = svc, .kappa = ledger_load_kappa(&svc->load, svc->now)};
    uint8_t nonce[8];

    if (c->digest_at != 0 && svc->now < c->digest_at + DIGEST_GAP_S * NS_PER_S)
        return;
    c->digest_at = svc->now > 0 ? svc->now : 1;
    env_random(svc->env, nonce, sizeof nonce);
    digest_begin(&g.d, svc->zone_id, (uint16_t)service_today(svc), nonce);
    ledger_db_each(svc->db, add_row, &g);
    tell_proofs(svc, c, m->req);
    answer.digest_len = (uint16_t)digest_write(&g.d, answer.digest).len;
    service_say(svc, c, &answer);
}
