/* Paying in the simulated economy: the shipped paths, cheques and clearing; the world only says who is up. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/identity.h"
#include "sim/ledger_impl.h"

/* --- signatures: a keyed 64-bit MAC behind the same verify --- */

static uint64_t mac_of(const uint8_t key[static 32], struct slice document)
{
    uint64_t h = 0x6c656467657231ull;

    for (size_t i = 0; i < 32; i++)
        h = (h ^ key[i]) * 0x100000001b3ull;
    for (size_t i = 0; i < document.len; i++)
        h = (h ^ document.data[i]) * 0x100000001b3ull;
    return h ^ h >> 29;
}

static bool mac_sign(const uint8_t seed[static 32], struct slice document, const uint8_t must_be[static 32],
                     uint8_t sig[static RECEIPT_SIG_BYTES])
{
    uint64_t mac = mac_of(must_be, document);

    memset(sig, 0, RECEIPT_SIG_BYTES);
    memcpy(sig, &mac, sizeof mac);
    return memcmp(seed, must_be, 32) == 0; /* a key is its own seed here */
}

static enum err mac_verify(const uint8_t key[static 32], struct slice document,
                           const uint8_t sig[static RECEIPT_SIG_BYTES])
{
    uint64_t mac = mac_of(key, document);

    return memcmp(sig, &mac, sizeof mac) == 0 ? ERR_OK : ERR_AUTH;
}

const struct receipt_crypto *pay_mac(void)
{
    static const struct receipt_crypto mac = {.sign = mac_sign, .verify = mac_verify};

    return &mac;
}

void pay_key(uint32_t alias, uint8_t out[static 32])
{
    memset(out, 0, 32);
    memcpy(out, &alias, sizeof alias);
    out[31] = 1;
}

/* --- paths --- */

static bool is_up(const struct econ *e, uint32_t v)
{
    return e->p.drawees_always_up || (e->agents[v].is_online && !e->agents[v].is_gone);
}

size_t pay_payable(struct econ *e, uint32_t payer, uint32_t out[static FLOW_NEIGHBOURS])
{
    struct agent *p = &e->agents[payer];
    size_t n = 0;
    uint32_t start;

    for (int i = 0; i < 2 && p->class == ECON_SPONSORED; i++) {
        if (econ_avail(e, p->sponsors[i], p->alias) >= LEDGER_TRANCHE_S)
            out[n++] = p->sponsors[i];
    }
    if (p->class == ECON_SYBIL) { /* its attackers sign whatever it needs */
        for (uint32_t v = 0; v < e->n_agents && n < FLOW_NEIGHBOURS; v++) {
            if (e->agents[v].is_attacker)
                out[n++] = v;
        }
        return n;
    }
    if (p->pairs.n == 0 || !p->is_relay)
        return n;
    start = econ_below(e, p->pairs.n);
    for (uint32_t i = 0; i < p->pairs.n && n < FLOW_NEIGHBOURS; i++) {
        uint32_t at = start + i < p->pairs.n ? start + i : start + i - p->pairs.n;
        const struct pair *pair = &p->pairs.rows[at];

        if (pair->peer >= e->n_agents || !e->agents[pair->peer].is_relay)
            continue;
        if (econ_avail(e, pair->peer, p->alias) >= LEDGER_TRANCHE_S)
            out[n++] = pair->peer;
    }
    return n;
}

static bool can_clear_now(void *arg, uint32_t v)
{
    struct econ *e = arg;

    return is_up(e, v) && !(e->p.offline_pct > 0 && econ_random(e) * 100 < e->p.offline_pct);
}

static size_t collectable(void *arg, uint32_t v, uint32_t out[static FLOW_NEIGHBOURS])
{
    struct econ *e = arg;
    const struct pairs *p = &e->agents[v].pairs;
    size_t n = 0;

    for (uint32_t i = 0; i < p->n && n < FLOW_NEIGHBOURS; i++) {
        uint32_t peer = p->rows[i].peer;

        if (peer < e->n_agents && e->agents[peer].is_relay && econ_avail(e, v, peer) >= LEDGER_TRANCHE_S)
            out[n++] = peer;
    }
    return n;
}

enum flow_kind pay_find(struct econ *e, uint32_t relay, uint32_t payer, const uint32_t *payable, size_t n,
                        struct flow_path *path)
{
    uint32_t alias = e->agents[payer].alias;
    struct flow_edges edges = {.arg = e, .avail = econ_avail, .can_clear = can_clear_now};
    enum flow_kind kind;

    if (e->p.hops >= 3)
        edges.collectable = collectable;
    if (e->p.hops < 2)
        n = 0;
    if (e->agents[payer].is_defrauder) { /* it goes where its drawees are away */
        edges.can_clear = NULL;
        edges.collectable = NULL;
    }
    kind = flow_find(&edges, relay, alias, payable, n, LEDGER_TRANCHE_S, path);
    if (kind != FLOW_NONE || n == 0)
        return kind;
    edges.can_clear = NULL; /* nobody there who could certify: a cheque at the payee's risk */
    edges.collectable = NULL;
    return flow_find(&edges, relay, alias, payable, n, LEDGER_TRANCHE_S, path);
}

/* --- cheques --- */

/* The name of a member; with real signatures a key pair of its own. */
static void keys_of(struct econ *e, uint32_t alias, uint8_t seed[static 32], uint8_t pub[static 32])
{
    struct sign_key key;

    pay_key(alias, seed);
    memcpy(pub, seed, 32);
    if (!e->p.real_crypto)
        return;
    sign_key_from_seed(seed, &key);
    memcpy(pub, key.pub, 32);
}

static void write_cheque(struct econ *e, uint32_t drawer, uint32_t drawee, uint32_t payee,
                         struct clearing_book *book, struct cheque *c)
{
    uint8_t seed[32], other[32];

    memset(c, 0, sizeof *c);
    keys_of(e, drawee, other, c->drawee);
    keys_of(e, payee, other, c->payee);
    keys_of(e, drawer, seed, c->drawer);
    clearing_draw(book, (uint32_t)LEDGER_TRANCHE_S, (uint16_t)e->today, c);
    cheque_sign_by(e->crypto, c, seed);
}

/* The drawee is asked; its two accounts and the payee's two move. */
static enum clearing_verdict present(struct econ *e, uint32_t drawer, uint32_t drawee, uint32_t payee,
                                     const struct cheque *c)
{
    struct clearing_state *state = &econ_more(e, drawee, drawer)->state;
    struct pair *of_drawer = econ_pair(e, drawee, drawer, true);
    double avail = econ_avail(e, drawee, drawer) + of_drawer->pending_s;
    enum clearing_verdict v;

    econ_pair(e, drawee, payee, true); /* may move the others: before any pointer is taken */
    if (cheque_verify_by(e->crypto, c) != ERR_OK)
        return CLEARING_VOID;
    v = clearing_clear(state, c, &econ_pair(e, drawee, drawer, true)->a, avail, e->today);
    if (v == CLEARING_OK)
        clearing_book_drawee(&econ_pair(e, drawee, drawer, true)->a, &econ_pair(e, drawee, payee, true)->a,
                             c->amount, e->today);
    return v;
}

static void credit_payee(struct econ *e, uint32_t drawer, uint32_t drawee, uint32_t payee, double amount)
{
    econ_pair(e, payee, drawer, true);
    econ_pair(e, payee, drawee, true);
    clearing_book_payee(&econ_pair(e, payee, drawer, true)->a, &econ_pair(e, payee, drawee, true)->a, amount,
                        e->today);
}

static void charge_drawer(struct econ *e, uint32_t drawer_agent, uint32_t drawee, uint32_t payee,
                          double amount)
{
    econ_pair(e, drawer_agent, drawee, true);
    econ_pair(e, drawer_agent, payee, true);
    clearing_book_drawer(&econ_pair(e, drawer_agent, drawee, true)->a,
                         &econ_pair(e, drawer_agent, payee, true)->a, amount, e->today);
}

static void keep_promise(struct econ *e, const struct promise *p)
{
    uint32_t at = e->free_promise;

    if (at != NOBODY) {
        e->free_promise = e->promises[at].next;
    } else {
        if (e->n_promises == e->max_promises) {
            e->max_promises = e->max_promises > 0 ? 2 * e->max_promises : 256;
            e->promises = realloc(e->promises, e->max_promises * sizeof *e->promises);
        }
        at = e->n_promises++;
    }
    e->promises[at] = *p;
    e->promises[at].next = e->agents[p->drawee].promised;
    e->agents[p->drawee].promised = at;
    econ_more(e, p->payee, p->drawer)->risk_s += p->cheque.amount;
    if (p->drawer >= e->n_agents || !e->agents[p->drawer].is_defrauder)
        econ_pair(e, p->drawee, p->drawer, true)->pending_s += p->cheque.amount;
}

/* --- proofs --- */

static void learn(struct econ *e, uint32_t at, uint32_t culprit, uint32_t teller)
{
    struct agent *a = &e->agents[at];
    struct pair *p = econ_pair(e, at, culprit, true);

    if (p->a.is_void)
        return;
    p->a.is_void = true;
    if (a->n_known == a->max_known) {
        a->max_known = a->max_known > 0 ? 2 * a->max_known : 8;
        a->known = realloc(a->known, a->max_known * sizeof *a->known);
    }
    a->known[a->n_known++] = (struct known){.culprit = culprit, .teller = teller};
    e->out->heard += teller != NOBODY;
}

static void convict(struct econ *e, uint32_t at, uint32_t culprit)
{
    e->out->proofs++;
    learn(e, at, culprit, NOBODY);
}

void pay_hear(struct econ *e, uint32_t client, uint32_t relay)
{
    struct agent *r = &e->agents[relay];
    struct pair *p;
    uint32_t *n_told, n = 0;

    if (r->n_known == 0 || e->p.keeps_proofs || !e->agents[client].is_relay ||
        (p = econ_pair(e, relay, client, false)) == NULL ||
        (p->a.got_s < RECEIPT_UNIT_S && p->a.debt_s > -RECEIPT_UNIT_S) || p->a.is_void)
        return;
    for (n_told = &econ_more(e, relay, client)->n_told; *n_told < r->n_known && n < CLIENT_PROOFS;
         ++*n_told) {
        struct known *k = &r->known[*n_told];

        if (k->told == LEDGER_DB_TELL || k->teller == client || k->culprit == client)
            continue;
        k->told++;
        n++;
        learn(e, client, k->culprit, relay);
    }
}

/* --- settling --- */

static bool settle(struct econ *e, uint32_t payer, uint32_t drawer, uint32_t drawee, uint32_t payee)
{
    struct agent *p = &e->agents[payer];
    struct clearing_book *book = &econ_more(e, payer, drawee)->book, again = *book;
    double waits_drawee = 0, waits_drawer = econ_more(e, payee, drawer)->risk_s;
    const struct pair *known = econ_pair(e, payee, drawer, false);
    struct promise promise = {.drawer = drawer, .drawee = drawee, .payee = payee};

    if (known != NULL && known->a.is_void) /* the payee has a proof */
        return false;
    if (p->is_defrauder && !is_up(e, drawee)) /* the same range for everybody */
        write_cheque(e, drawer, drawee, payee, &again, &promise.cheque);
    else
        write_cheque(e, drawer, drawee, payee, book, &promise.cheque);
    if (is_up(e, drawee)) {
        enum clearing_verdict v = present(e, drawer, drawee, payee, &promise.cheque);

        if (v == CLEARING_TWICE) {
            convict(e, drawee, drawer);
            convict(e, payee, drawer);
        }
        if (v != CLEARING_OK)
            return false;
    } else {
        for (uint32_t i = e->agents[drawee].promised; i != NOBODY; i = e->promises[i].next)
            waits_drawee += e->promises[i].payee == payee ? e->promises[i].cheque.amount : 0;
        /* What waits is already off the account here: it counts once. */
        if (cheque_verify_by(e->crypto, &promise.cheque) != ERR_OK ||
            clearing_may_take(&promise.cheque, waits_drawer, waits_drawee,
                              econ_avail(e, payee, drawee) + waits_drawee, p->class == ECON_SPONSORED,
                              e->today) != CLEARING_OK)
            return false;
        e->at_risk++;
        keep_promise(e, &promise);
    }
    credit_payee(e, drawer, drawee, payee, promise.cheque.amount);
    charge_drawer(e, payer, drawee, payee, promise.cheque.amount);
    return true;
}

bool pay_use(struct econ *e, uint32_t relay, uint32_t payer, const struct flow_path *path)
{
    uint32_t alias = e->agents[payer].alias;

    e->tranches[path->kind]++;
    switch (path->kind) {
    case FLOW_DIRECT:
        return true; /* the service itself moves the account */
    case FLOW_TWO_HOPS:
        return settle(e, payer, alias, path->via[0], relay);
    case FLOW_THREE_HOPS: /* the drawee pays the relay with a cheque of its own */
        return settle(e, path->via[0], path->via[0], path->via[1], relay) &&
               settle(e, payer, alias, path->via[0], relay);
    default:
        return false;
    }
}

/* What came of one cheque that waited. */
static void honour(struct econ *e, const struct promise *p)
{
    enum clearing_verdict v = present(e, p->drawer, p->drawee, p->payee, &p->cheque);
    struct pair *at_drawee = econ_pair(e, p->drawee, p->drawer, true);
    struct pair_more *at_payee;

    at_drawee->pending_s = fmax(at_drawee->pending_s - p->cheque.amount, 0);
    at_payee = econ_more(e, p->payee, p->drawer);
    at_payee->risk_s = fmax(at_payee->risk_s - p->cheque.amount, 0);
    if (v == CLEARING_OK)
        return;
    e->out->bounced++;
    if (v == CLEARING_TWICE) {
        convict(e, p->drawee, p->drawer);
        convict(e, p->payee, p->drawer);
    }
    /* The drawer owes it again. What the drawee refused stays off its room with the payee: a drawee that refuses
     * for its friends gains nothing by it. */
    ledger_owe(&econ_pair(e, p->payee, p->drawer, true)->a, p->cheque.amount, e->today);
    if (p->drawer < e->n_agents && e->agents[p->drawer].is_defrauder)
        e->fraud_s += p->cheque.amount;
}

/* The drawee is up again: all that waited for it is presented. */
void pay_present(struct econ *e, uint32_t drawee)
{
    uint32_t at = e->agents[drawee].promised;

    e->agents[drawee].promised = NOBODY;
    while (at != NOBODY) {
        struct promise p = e->promises[at];

        e->promises[at].next = e->free_promise;
        e->free_promise = at;
        honour(e, &p);
        at = p.next;
    }
}
