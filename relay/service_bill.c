/* Statements for seconds forwarded (LEDGER.md §3, §4). The client signs first and the relay last, so that
 * neither ever signs two statements of one seq. */
#include "relay/service_impl.h"

#define ASK_AGAIN_S 3

void bill_load(struct service *svc, struct client *c)
{
    struct ledger_row row;

    if (ledger_db_get(svc->db, svc->node.pub, c->account, &row) == ERR_OK && row.has_head)
        c->head = row.head;
}

void bill_send_head(struct service *svc, struct client *c)
{
    struct wire_msg m = {.type = WIRE_SYNC};

    if (c->head.seq == 0)
        return;
    statement_write(&c->head, m.statement);
    service_say(svc, c, &m);
}

/* --- measure --- */

static void hold_slots(struct service *svc, struct grant *g, bool wanted)
{
    if (g->client == NULL || g->holds_slots == wanted)
        return;
    g->holds_slots = wanted;
    if (wanted)
        ledger_began(&svc->load, svc->now, g->class, g->slots, g->prefix);
    else
        ledger_ended(&svc->load, svc->now, g->class, g->slots, g->seconds);
}

/* Bring the grant's counters up to date; what is new becomes the client's to sign. */
void bill_measure(struct service *svc, struct grant *g)
{
    uint64_t packets = g->past_packets, bytes = g->past_bytes, lost = g->past_lost;
    uint32_t seconds = g->past_seconds;
    struct turn_usage u;

    for (uint8_t i = 0; i < GRANT_TURNS; i++) {
        if (g->turns[i] == 0 || turn_server_usage(svc->turn, g->turns[i], &u) != ERR_OK)
            continue;
        packets += u.up_packets + u.down_packets;
        bytes += u.up_bytes + u.down_bytes;
        lost += u.lost;
        seconds += u.seconds;
        if (u.seconds > 0 && u.last_at > g->last_at)
            g->last_at = u.last_at;
    }
    if (seconds > g->seconds && g->first_at == 0)
        g->first_at = svc->now;
    if (g->client != NULL && seconds > g->seconds) {
        struct client *c = g->client;

        if (c->unsigned_since == 0)
            c->unsigned_since = svc->now;
        if (c->next_propose_at == NS_NEVER)
            c->next_propose_at = svc->now + SERVICE_FIRST_S * NS_PER_S;
        c->unbilled_s += (double)(seconds - g->seconds) * g->slots;
        c->unbilled_bytes += bytes - g->bytes;
    }
    g->seconds = seconds;
    g->packets = packets;
    g->bytes = bytes;
    g->lost = lost;
    hold_slots(svc, g,
               !g->is_over &&
                   svc->now < g->last_at + (g->was_used ? GRANT_IDLE_S : SERVICE_GRANT_UNUSED_S) * NS_PER_S);
}

/* --- propose --- */

static uint64_t round_to_unit(double s)
{
    return s <= 0 ? 0 : (uint64_t)((s + RECEIPT_UNIT_S / 2.0) / RECEIPT_UNIT_S) * RECEIPT_UNIT_S;
}

static struct grant *any_grant(const struct client *c)
{
    return list_is_empty(&c->grants) ? NULL : list_item(c->grants.next, struct grant, of_client);
}

static void send_proposal(struct service *svc, struct client *c)
{
    struct wire_msg m = {.type = WIRE_PROPOSE, .flags = c->last_wanted ? WIRE_FLAG_LAST : 0};

    memcpy(m.alloc_id, c->proposal_alloc, sizeof m.alloc_id);
    statement_body(&c->proposal, m.body);
    c->asked_at = svc->now;
    service_say(svc, c, &m);
}

/* As its client we signed a statement of this pair that it has not answered: no other one of that seq. */
static bool is_bound(struct service *svc, const struct client *c)
{
    struct statement half;

    return ledger_db_get_pending(svc->db, svc->node.pub, c->account, &half) == ERR_OK &&
           (c->head.seq == 0 || statement_newer(&half, &c->head));
}

static void propose(struct service *svc, struct client *c)
{
    const struct grant *g = any_grant(c);
    struct statement s;
    int side;

    bill_load(svc, c); /* over the same pair we may be its client, too */
    if (is_bound(svc, c)) {
        c->next_propose_at = svc->now + ASK_AGAIN_S * NS_PER_S;
        return;
    }

    if (c->head.seq > 0) {
        s = c->head;
    } else {
        statement_init(&s, svc->zone_id, svc->node.pub, c->account);
        s.inc = ledger_db_inc(svc->db) > c->their_inc ? ledger_db_inc(svc->db) : c->their_inc;
    }
    statement_next(&s, (uint16_t)service_today(svc), &s);
    side = statement_side(&s, svc->node.pub);
    s.served[side] += round_to_unit(c->unbilled_s);
    if (c->proposal.seq == 0)
        c->proposed_at = svc->now;
    c->proposal = s;
    if (g != NULL)
        memcpy(c->proposal_alloc, &g->id, sizeof c->proposal_alloc);
    svc->proposed_s += 1;
    send_proposal(svc, c);
}

/* --- those who do not sign --- */

static void tell(struct service *svc, struct client *c, enum wire_type type, enum wire_why why,
                 uint32_t within_s)
{
    list_each(node, &c->grants)
    {
        struct grant *g = list_item(node, struct grant, of_client);
        struct wire_msg m = {.type = type, .why = type == WIRE_MIGRATE ? (uint8_t)why : 0};

        memcpy(m.alloc_id, &g->id, sizeof m.alloc_id);
        m.unsigned_s = (uint32_t)c->unbilled_s;
        m.within_s = within_s;
        service_say(svc, c, &m);
    }
}

static bool is_stranger(const struct client *c)
{
    const struct grant *g = any_grant(c);

    return g == NULL || g->class == LEDGER_STRANGER;
}

/* A creditor owes us in our own rows what it would not sign: else it could come back for as much, again and again.
 * Of a stranger, whose key is worth nothing, no row is kept. */
static void stop_unsigned(struct service *svc, struct client *c)
{
    if (!is_stranger(c))
        ledger_db_owe(svc->db, svc->node.pub, c->account, c->unbilled_s, service_today(svc));
    svc->unsigned_stops++;
    svc->failed++;
    list_each_safe(node, &c->grants)
    {
        service_stop_grant(svc, list_item(node, struct grant, of_client));
    }
    c->proposal.seq = 0;
    c->unbilled_s = 0;
    c->unsigned_since = 0;
    c->was_told_to_move = false;
    c->next_propose_at = NS_NEVER;
}

/* Since when we wait for a signature: contributors from the first second that is in no statement, strangers, whose
 * key is worth nothing, from an unanswered proposal. 0: we do not. */
static ns_t waits_since(const struct client *c)
{
    if (c->unsigned_since == 0 || c->unbilled_s < RECEIPT_UNIT_S)
        return 0;
    if (!is_stranger(c) || !c->is_connected)
        return c->unsigned_since;
    return c->proposal.seq > 0 ? c->proposed_at : 0;
}

/* The 90 + 30 + 30 s rule (strangers 30 + 30 + 30); signing a little of much does not help. */
static void watch_unsigned(struct service *svc, struct client *c)
{
    const struct grant *g = any_grant(c);
    ns_t first = (is_stranger(c) ? SERVICE_UNSIGNED_STRANGER_S : SERVICE_UNSIGNED_S) * NS_PER_S;
    ns_t since = waits_since(c), age = since == 0 ? 0 : svc->now - since;
    bool is_much = g != NULL && c->unbilled_s > (double)SERVICE_UNSIGNED_MAX * g->slots;

    if (since == 0 && !is_much)
        return;
    if (c->was_told_to_move && svc->now >= c->stop_at) {
        stop_unsigned(svc, c);
    } else if ((is_much || age >= first + SERVICE_MIGRATE_S * NS_PER_S) && !c->was_told_to_move) {
        c->was_told_to_move = true;
        c->stop_at = svc->now + SERVICE_MIGRATE_S * NS_PER_S;
        tell(svc, c, WIRE_MIGRATE, WIRE_WHY_UNSIGNED, SERVICE_MIGRATE_S);
    } else if (age >= first + (ns_t)c->reminders * SERVICE_REMIND_S * NS_PER_S && c->reminders < 2) {
        c->reminders++;
        tell(svc, c, WIRE_SIGN_REQUIRED, 0, 0);
    }
}

/* --- moving calls elsewhere --- */

/* Is there contention, and does the client's credit not cover what it uses? */
static bool lacks_funds(struct service *svc, struct client *c)
{
    struct ledger_row row;

    if (ledger_load_share(&svc->load, svc->now) <= LEDGER_CONTENDED ||
        ledger_db_get(svc->db, svc->node.pub, c->account, &row) != ERR_OK)
        return false;
    ledger_age(&row.account, service_today(svc));
    return ledger_avail(&row.account, ledger_load_kappa(&svc->load, svc->now)) - c->unbilled_s <= 0;
}

/* Credit ended while others wait: a creditor's call is asked to move, and has the grace to do so. */
static void watch_funds(struct service *svc, struct client *c)
{
    bool is_lacking = lacks_funds(svc, c);

    list_each(node, &c->grants)
    {
        struct grant *g = list_item(node, struct grant, of_client);

        if (!is_lacking && g->move_why == WIRE_WHY_FUNDS) { /* paid meanwhile, or nobody waits any more */
            g->move_why = 0;
            g->was_warned = false;
            g->moved_say = 0;
        }
        if (!is_lacking || g->class != LEDGER_CREDITOR || g->was_warned || g->first_at == 0)
            continue;
        g->was_warned = true;
        g->move_why = WIRE_WHY_FUNDS;
        g->move_by = svc->now + SERVICE_GRACE_S * NS_PER_S;
        g->moved_say = 0;
    }
}

static void say_migrate(struct service *svc, struct grant *g, enum wire_why why, ns_t by)
{
    ns_t left = by == NS_NEVER ? SERVICE_GRACE_S * NS_PER_S : by > svc->now ? by - svc->now : 0;
    struct wire_msg m = {.type = WIRE_MIGRATE, .why = (uint8_t)why};

    m.within_s = (uint32_t)((left + NS_PER_S - 1) / NS_PER_S);
    memcpy(m.alloc_id, &g->id, sizeof m.alloc_id);
    service_say(svc, g->client, &m);
    g->moved_say = svc->now + (m.within_s <= SERVICE_LAST_WORD_S ? 1 : (ns_t)SERVICE_MOVE_AGAIN_S) * NS_PER_S;
}

/* Why this call is to go, and when it is stopped if it does not; 0: it is not. */
static enum wire_why why_move(struct service *svc, const struct grant *g, ns_t *by)
{
    *by = NS_NEVER;
    if (svc->is_draining) {
        *by = svc->leave_by != 0 ? svc->leave_by : NS_NEVER;
        return WIRE_WHY_DRAIN;
    }
    if (g->move_why == WIRE_WHY_FUNDS)
        *by = g->move_by;
    if (g->move_why != 0)
        return g->move_why;
    return service_over_budget(svc) ? WIRE_WHY_BUDGET : 0;
}

void bill_step_moves(struct service *svc)
{
    list_each_safe(node, &svc->grants)
    {
        struct grant *g = list_item(node, struct grant, all);
        enum wire_why why;
        ns_t by;

        if (g->client == NULL || g->n_turns == 0 || g->is_over)
            continue;
        if (g->class == LEDGER_AUDIT && svc->now >= g->created_at + AUDIT_MAX_S * NS_PER_S) {
            service_stop_grant(svc, g);
            continue;
        }
        why = why_move(svc, g, &by);
        if (why == 0) {
            g->moved_say = 0;
            continue;
        }
        if (why == WIRE_WHY_FUNDS && by + SERVICE_LAST_WORD_S * NS_PER_S <= svc->now) {
            service_stop_grant(svc, g);
            continue;
        }
        if (why == WIRE_WHY_FUNDS && by <= svc->now) { /* the grace is over; is there still no way? */
            watch_funds(svc, g->client);
            if (g->move_why == 0)
                continue;
            by += SERVICE_LAST_WORD_S * NS_PER_S;
        } else if (why == WIRE_WHY_FUNDS) { /* the last word is kept for when it is meant */
            ns_t soonest = svc->now + (SERVICE_LAST_WORD_S + 1) * NS_PER_S;

            by = by > soonest ? by : soonest;
        }
        if (svc->now >= g->moved_say)
            say_migrate(svc, g, why, by);
    }
}

void bill_step(struct service *svc, struct client *c)
{
    if (svc->now >= c->next_propose_at && c->unbilled_s <= 0) {
        c->next_propose_at = NS_NEVER; /* silent since the last one */
    } else if (svc->now >= c->next_propose_at && c->is_connected) {
        c->next_propose_at = svc->now + SERVICE_TICK_S * NS_PER_S;
        propose(svc, c);
        watch_funds(svc, c);
    } else if (c->proposal.seq > 0 && c->is_connected && svc->now >= c->asked_at + ASK_AGAIN_S * NS_PER_S &&
               svc->now < c->proposed_at + 4 * ASK_AGAIN_S * NS_PER_S) {
        send_proposal(svc, c); /* it was lost, or the answer was */
    }
    if (c->last_wanted && c->proposal.seq == 0 && c->unbilled_s < RECEIPT_UNIT_S / 2.0)
        c->next_propose_at = NS_NEVER;
    watch_unsigned(svc, c);
}

/* --- sign --- */

static void send_done(struct service *svc, struct client *c, const struct wire_msg *asked)
{
    struct wire_msg m = {.type = WIRE_DONE, .seq = c->head.seq};
    struct ledger_row row;

    memcpy(m.alloc_id, asked->alloc_id, sizeof m.alloc_id);
    memcpy(m.sig, c->head.sig[statement_side(&c->head, svc->node.pub)], sizeof m.sig);
    if (ledger_db_get(svc->db, svc->node.pub, c->account, &row) == ERR_OK)
        m.total_bytes = row.given_bytes;
    service_say(svc, c, &m);
}

/* Is it what we proposed, or less? */
static bool is_acceptable(const struct service *svc, const struct client *c, const struct statement *s)
{
    int me = statement_side(s, svc->node.pub);
    const struct statement *p = &c->proposal;
    struct statement zero = {0};
    const struct statement *last = c->head.seq > 0 ? &c->head : &zero;

    return c->proposal.seq == s->seq && p->inc == s->inc && statement_follows(last, s) == ERR_OK &&
           s->served[me] <= p->served[me] && s->served[1 - me] == p->served[1 - me] &&
           s->claims[0] == p->claims[0] && s->claims[1] == p->claims[1] &&
           memcmp(s->net_id, p->net_id, sizeof s->net_id) == 0;
}

static void settle(struct service *svc, struct client *c, struct statement *s, const struct wire_msg *asked)
{
    int me = statement_side(s, svc->node.pub);
    double before = c->head.seq > 0 ? (double)c->head.served[me] : 0;
    double gained = (double)s->served[me] - before;
    double wanted = (double)c->proposal.served[me] - before;
    enum err e = is_bound(svc, c) ? ERR_STATE : statement_sign(s, svc->node.seed);

    if (e == ERR_OK)
        e = ledger_db_put_statement(svc->db, svc->node.pub, s, service_today(svc));
    if (e != ERR_OK) /* a full disk: nothing was promised, the client asks again */
        return;
    ledger_db_add_bytes(svc->db, svc->node.pub, c->account, c->unbilled_bytes, 0);
    c->unbilled_bytes = 0;
    c->head = *s;
    c->unbilled_s -= gained; /* what it did not sign is asked for again */
    svc->signed_s += wanted > 0 ? gained / wanted : 1;
    svc->statements++;
    c->proposal.seq = 0;
    c->reminders = 0;
    c->was_told_to_move = false;
    c->unsigned_since = 0;
    send_done(svc, c, asked);
}

void bill_on_sign(struct service *svc, struct client *c, const struct wire_msg *m)
{
    uint8_t proof[CLEARING_FORK_BYTES];
    struct statement s;
    int side;

    if (statement_parse_body(slice_of(m->body, sizeof m->body), &s) != ERR_OK ||
        statement_side(&s, svc->node.pub) < 0 || (side = statement_side(&s, c->account)) < 0) {
        svc->malformed++;
        return;
    }
    memcpy(s.sig[side], m->sig, sizeof s.sig[side]);
    if (statement_verify_side(&s, side) != ERR_OK) {
        svc->malformed++;
        return;
    }
    if (c->head.seq > 0 && s.seq == c->head.seq && s.inc == c->head.inc) {
        uint8_t ours[RECEIPT_BODY_BYTES];

        statement_body(&c->head, ours);
        if (memcmp(ours, m->body, sizeof ours) == 0) {
            send_done(svc, c, m); /* our answer was lost */
        } else if (statement_is_fork(&c->head, &s, side)) {
            clearing_fork_write(&c->head, &s, proof);
            ledger_db_put_proof(svc->db, c->account, CLEARING_FORK, slice_of(proof, sizeof proof));
        }
        return;
    }
    if (is_acceptable(svc, c, &s))
        settle(svc, c, &s, m);
    else if (c->head.seq > 0 && !statement_newer(&s, &c->head))
        bill_send_head(svc, c);
}

/* A statement that carries both signatures: newer than ours means that our database lost it. */
void bill_on_sync(struct service *svc, struct client *c, const struct wire_msg *m)
{
    struct statement s;

    if (statement_parse(slice_of(m->statement, sizeof m->statement), &s) != ERR_OK ||
        statement_side(&s, svc->node.pub) < 0 || statement_side(&s, c->account) < 0 ||
        memcmp(s.net_id, svc->zone_id, sizeof s.net_id) != 0 || statement_verify(&s) != ERR_OK) {
        svc->malformed++;
        return;
    }
    if (c->head.seq > 0 && !statement_newer(&s, &c->head)) {
        if (statement_newer(&c->head, &s))
            bill_send_head(svc, c);
        return;
    }
    if (ledger_db_put_statement(svc->db, svc->node.pub, &s, service_today(svc)) != ERR_OK)
        return;
    c->head = s;
    if (c->proposal.seq > 0) { /* it was built on the older one */
        c->proposal.seq = 0;
        c->next_propose_at = svc->now;
    }
}
