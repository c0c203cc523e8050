/* Who gets an allocation: classes, caps, queue, tickets (LEDGER.md §4, §7). */
#include "base/mem.h"
#include "relay/service_impl.h"

static void refuse(struct service *svc, struct client *c, const struct wire_msg *ask, enum wire_type type,
                   enum wire_why why, uint32_t retry_ms)
{
    struct wire_msg m = {.type = type, .req = ask->req, .why = (uint8_t)why, .retry_ms = retry_ms};
    double share = ledger_load_share(&svc->load, svc->now);

    m.load_pct = share < 2.55 ? (uint8_t)(100 * share) : 255;
    if (why == WIRE_WHY_NOT_ALLOWED)
        svc->refused_not_allowed++;
    else
        svc->refused_full++;
    service_say(svc, c, &m);
    service_note_change(svc);
}

/* --- class --- */

static bool has_pass(struct service *svc, const struct wire_msg *m)
{
    uint8_t pass[GUEST_PASS_BYTES];
    bool is_guest = false;

    if ((m->flags & WIRE_FLAG_PASS) == 0)
        return false;
    for (size_t i = 0; i < svc->n_guests && !is_guest; i++) {
        for (int last_week = 0; last_week < 2 && !is_guest; last_week++) {
            turn_server_guest_pass(svc->turn, last_week, svc->guests[i], pass);
            is_guest = secret_equal(pass, m->pass, sizeof pass);
        }
    }
    secret_wipe(pass, sizeof pass);
    return is_guest;
}

/* Identities are free, networks less so: one emergency a day for each. */
static bool may_be_emergency(struct service *svc, uint64_t net)
{
    size_t place = (size_t)((net * 0x9e3779b97f4a7c15u) >> 56) % EMERGENCY_PREFIXES;

    if (svc->emergencies[place].day == service_today(svc))
        return false;
    svc->emergencies[place].net = net;
    svc->emergencies[place].day = service_today(svc);
    return true;
}

static double credit_of(struct service *svc, const struct client *c)
{
    struct ledger_row row;

    if (ledger_db_get(svc->db, svc->node.pub, c->account, &row) != ERR_OK)
        return 0;
    ledger_age(&row.account, service_today(svc));
    return ledger_credit(ledger_avail(&row.account, ledger_load_kappa(&svc->load, svc->now)) - c->unbilled_s,
                         NULL, 0);
}

static enum ledger_class class_of(struct service *svc, const struct client *c, const struct wire_msg *m,
                                  double credit)
{
    if (has_pass(svc, m))
        return LEDGER_GUEST;
    if ((m->flags & WIRE_FLAG_AUDIT) != 0 && svc->serve == SERVICE_FOR_ANYONE && m->slots == 1 &&
        audit_may(&svc->audited, ledger_prefix_of(&c->peer), service_today(svc)))
        return LEDGER_AUDIT;
    if (svc->serve == SERVICE_FOR_ANYONE && (m->flags & WIRE_FLAG_EMERGENCY) != 0 &&
        may_be_emergency(svc, ledger_prefix_of(&c->peer)))
        return LEDGER_GUEST;
    return credit >= LEDGER_TRANCHE_S ? LEDGER_CREDITOR : LEDGER_STRANGER;
}

/* --- grants --- */

static void answer_ok(struct service *svc, struct client *c, struct grant *g, double credit)
{
    uint32_t expiry = (uint32_t)(env_wall_ms(svc->env) / 1000) + GRANT_LIFE_S;
    double share = ledger_load_share(&svc->load, svc->now);
    struct wire_msg m = {.type = WIRE_OK, .req = g->req, .slots = g->slots, .admission = (uint8_t)g->class};
    struct turn_ticket ticket;

    memcpy(m.alloc_id, &g->id, sizeof m.alloc_id);
    m.head_inc = c->head.seq > 0 ? c->head.inc : ledger_db_inc(svc->db);
    m.head_seq = c->head.seq;
    m.load_pct = share < 2.55 ? (uint8_t)(100 * share) : 255;
    m.funded_s = (uint32_t)(credit / g->slots);
    m.expiry_s = expiry;
    turn_server_ticket(svc->turn, svc->now, &c->peer, m.alloc_id, expiry, c->account, &ticket);
    memcpy(m.realm, ticket.realm, strlen(ticket.realm));
    memcpy(m.nonce, ticket.nonce, strlen(ticket.nonce));
    memcpy(m.username, ticket.username, strlen(ticket.username));
    memcpy(m.password, ticket.password, strlen(ticket.password));
    service_say(svc, c, &m);
    secret_wipe(&ticket, sizeof ticket);
    secret_wipe(&m, sizeof m);
}

static void grant(struct service *svc, struct client *c, const struct wire_msg *m, enum ledger_class class,
                  double credit)
{
    struct grant *g = mem_alloc(sizeof *g);

    do {
        env_random(svc->env, &g->id, sizeof g->id);
    } while (g->id == 0);
    g->client = c;
    g->req = m->req;
    g->slots = m->slots;
    g->class = class;
    g->prefix = ledger_prefix_of(&c->peer);
    g->created_at = g->last_at = svc->now;
    g->number = ++svc->next_number;
    g->holds_slots = true;
    list_append(&c->grants, &g->of_client);
    list_append(&svc->grants, &g->all);
    HASH_ADD(hh, svc->by_id, id, sizeof g->id, g);
    c->n_grants++;
    ledger_began(&svc->load, svc->now, class, g->slots, g->prefix);
    if (class == LEDGER_AUDIT)
        audit_note(&svc->audited, g->prefix, service_today(svc));
    answer_ok(svc, c, g, credit);
}

/* True when the request was answered; false: it waits. */
static bool decide(struct service *svc, struct client *c, const struct wire_msg *m)
{
    double credit = credit_of(svc, c);
    enum ledger_class class = class_of(svc, c, m, credit);
    uint32_t retry_ms;

    if (svc->serve == SERVICE_FOR_CONTACTS && class != LEDGER_GUEST) {
        refuse(svc, c, m, WIRE_BUSY, WIRE_WHY_NOT_ALLOWED, 600000);
        return true;
    }
    switch (ledger_admit(&svc->load, svc->now, class, m->slots, ledger_prefix_of(&c->peer), &retry_ms)) {
    case LEDGER_ADMIT:
        grant(svc, c, m, class, credit);
        return true;
    case LEDGER_QUEUE:
        return false;
    case LEDGER_POOL_EMPTY:
        refuse(svc, c, m, WIRE_POOL_EMPTY, WIRE_WHY_FULL, retry_ms);
        return true;
    default:
        refuse(svc, c, m, WIRE_BUSY, WIRE_WHY_FULL, retry_ms);
        return true;
    }
}

static struct grant *grant_of_request(struct client *c, uint32_t req)
{
    list_each(node, &c->grants)
    {
        struct grant *g = list_item(node, struct grant, of_client);

        if (g->req == req && !g->is_over)
            return g;
    }
    return NULL;
}

/* Both begin from the same statement; whoever has the newer one shows it. */
static void compare_heads(struct service *svc, struct client *c, const struct wire_msg *m)
{
    bool theirs_is_newer = m->head_inc != c->head.inc ? m->head_inc > c->head.inc : m->head_seq > c->head.seq;

    c->their_inc = m->head_inc;
    if (c->head.seq > 0 && !theirs_is_newer && (m->head_inc != c->head.inc || m->head_seq != c->head.seq))
        bill_send_head(svc, c);
}

void admit_on_allocate(struct service *svc, struct client *c, const struct wire_msg *m)
{
    struct grant *again = grant_of_request(c, m->req);

    if (again != NULL) { /* our OK was lost */
        answer_ok(svc, c, again, credit_of(svc, c));
        return;
    }
    if (c->is_queued && c->queued.req == m->req)
        return;
    bill_load(svc, c);
    compare_heads(svc, c, m);
    if ((m->flags & WIRE_FLAG_AUDIT) != 0 && svc->ops.is_auditing != NULL &&
        svc->ops.is_auditing(svc->arg, c->account))
        refuse(svc, c, m, WIRE_BUSY, WIRE_WHY_LATER, 60000);
    else if (svc->is_draining)
        refuse(svc, c, m, WIRE_BUSY, WIRE_WHY_DRAIN, 600000);
    else if (service_over_budget(svc))
        refuse(svc, c, m, WIRE_BUSY, WIRE_WHY_BUDGET, 600000);
    else if (c->n_grants >= SERVICE_GRANTS_PER_SESSION || c->is_queued)
        refuse(svc, c, m, WIRE_BUSY, WIRE_WHY_LATER, 15000);
    else if (!decide(svc, c, m)) {
        c->is_queued = true;
        c->queued = *m;
        c->queued_until = svc->now + LEDGER_QUEUE_S * NS_PER_S;
        list_append(&svc->queue, &c->queue);
    }
}

void admit_leave_queue(struct client *c)
{
    list_remove(&c->queue);
    c->is_queued = false;
    secret_wipe(&c->queued, sizeof c->queued);
}

void admit_step_queue(struct service *svc)
{
    bool was_served = true;

    list_each_safe(node, &svc->queue)
    {
        struct client *c = list_item(node, struct client, queue);
        struct wire_msg m = c->queued;

        if (svc->now >= c->queued_until) {
            admit_leave_queue(c);
            ledger_missed(&svc->load, svc->now, m.slots); /* only those with credit, and guests, wait here */
            refuse(svc, c, &m, WIRE_BUSY, WIRE_WHY_FULL, 15000);
        } else if (was_served) { /* first come, first served: nobody overtakes the one who waits */
            was_served = decide(svc, c, &m);
            if (was_served)
                admit_leave_queue(c);
        }
    }
}
