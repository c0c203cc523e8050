/* Allocate: families, ports, quotas (RFC 8656 §7). */
#include "relay/turn_impl.h"

static bool is_reserved(const struct turn_server *ts, int family, uint16_t port, ns_t now)
{
    for (size_t i = 0; i < TURN_RESERVATIONS_MAX; i++) {
        const struct reservation *r = &ts->reservations[i];

        if (now < r->expires_at && r->port == port && r->family == family)
            return true;
    }
    return false;
}

static bool is_free_port(const struct turn_server *ts, int family, uint32_t port, ns_t now)
{
    return port >= ts->f.table.port_min && port <= ts->f.table.port_max &&
           port != ts->f.external[family].port &&
           alloc_table_by_port(&ts->f.table, family, (uint16_t)port) == NULL &&
           !is_reserved(ts, family, (uint16_t)port, now);
}

/* A free port from a random place on, 0 when there is none. Even, and with the next one free, on request. */
static uint16_t pick_port(struct turn_server *ts, int family, bool even, bool with_next, ns_t now)
{
    uint32_t n = (uint32_t)(ts->f.table.port_max - ts->f.table.port_min) + 1;
    uint32_t start = env_random_u32(ts->env) % n;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t port = ts->f.table.port_min + (start + i) % n;

        if ((even && port % 2 != 0) || !is_free_port(ts, family, port, now) ||
            (with_next && !is_free_port(ts, family, port + 1, now)))
            continue;
        return (uint16_t)port;
    }
    return 0;
}

static bool reserve(struct turn_server *ts, struct allocation *a, int family, uint16_t port, ns_t now)
{
    for (size_t i = 0; i < TURN_RESERVATIONS_MAX; i++) {
        struct reservation *r = &ts->reservations[i];

        if (now < r->expires_at)
            continue;
        *r = (struct reservation){.port = port, .family = (uint8_t)family, .expires_at = now + 30 * NS_PER_S};
        env_random(ts->env, r->token, sizeof r->token);
        memcpy(a->reservation, r->token, sizeof r->token);
        return true;
    }
    return false;
}

static struct reservation *find_reservation(struct turn_server *ts, struct slice token, ns_t now)
{
    for (size_t i = 0; i < TURN_RESERVATIONS_MAX; i++) {
        struct reservation *r = &ts->reservations[i];

        if (now < r->expires_at && slice_equal(token, slice_of(r->token, sizeof r->token)))
            return r;
    }
    return NULL;
}

/* Which families are asked for; 0 or an error code (RFC 8656 §7.2). */
static uint16_t wanted_families(const struct turn_server *ts, const struct stun_msg *m,
                                bool want[static N_FAMILIES])
{
    if (m->has_family && (m->has_additional_family || m->reservation_token.data != NULL))
        return STUN_BAD_REQUEST;
    if (m->has_additional_family &&
        (m->additional_family != STUN_FAMILY_V6 || m->reservation_token.data != NULL || m->wants_next_port))
        return STUN_BAD_REQUEST;
    if (m->reservation_token.data != NULL && m->has_even_port)
        return STUN_BAD_REQUEST;
    if (m->has_family && m->family != STUN_FAMILY_V4 && m->family != STUN_FAMILY_V6)
        return STUN_FAMILY_UNSUPPORTED;
    want[IP6] = m->has_additional_family || (m->has_family && m->family == STUN_FAMILY_V6);
    want[IP4] = !m->has_family || m->family == STUN_FAMILY_V4;
    if (m->has_additional_family && ts->f.external[IP4].family != ADDR_NONE)
        want[IP6] = ts->f.external[IP6].family != ADDR_NONE; /* the answer says what there is */
    for (int f = 0; f < N_FAMILIES; f++) {
        if (want[f] && ts->f.external[f].family == ADDR_NONE)
            return STUN_FAMILY_UNSUPPORTED;
    }
    return 0;
}

static uint16_t give_ports(struct turn_server *ts, const struct request *q, struct allocation *a,
                           const bool want[static N_FAMILIES])
{
    const struct stun_msg *m = q->msg;
    struct reservation *r;
    uint16_t port;

    if (m->reservation_token.data != NULL) {
        r = find_reservation(ts, m->reservation_token, q->now);
        if (r == NULL)
            return STUN_INSUFFICIENT_CAPACITY;
        r->expires_at = 0;
        return alloc_table_set_port(&ts->f.table, a, r->family, r->port) == ERR_OK
                   ? 0
                   : STUN_INSUFFICIENT_CAPACITY;
    }
    for (int f = 0; f < N_FAMILIES; f++) {
        if (!want[f])
            continue;
        port = pick_port(ts, f, m->has_even_port, m->wants_next_port, q->now);
        if (port == 0 || alloc_table_set_port(&ts->f.table, a, f, port) != ERR_OK)
            return STUN_INSUFFICIENT_CAPACITY;
        if (m->wants_next_port && !reserve(ts, a, f, (uint16_t)(port + 1), q->now))
            return STUN_INSUFFICIENT_CAPACITY;
    }
    return 0;
}

uint32_t turn_lifetime_of(const struct stun_msg *m)
{
    if (!m->has_lifetime || m->lifetime_s < TURN_LIFETIME_S)
        return TURN_LIFETIME_S;
    return m->lifetime_s < TURN_LIFETIME_MAX_S ? m->lifetime_s : TURN_LIFETIME_MAX_S;
}

static void answer_allocate(struct turn_server *ts, const struct request *q, const struct allocation *a)
{
    static const uint8_t none[8];
    uint8_t buf[ANSWER_MAX];
    struct stun_wr w;

    stun_begin_answer(&w, buf, sizeof buf, STUN_SUCCESS, q->msg);
    for (int f = 0; f < N_FAMILIES; f++) {
        struct addr relayed = forward_relayed(&ts->f, a, f);

        if (relayed.family != ADDR_NONE)
            stun_put_addr(&w, STUN_XOR_RELAYED_ADDRESS, &relayed);
    }
    stun_put_u32(&w, STUN_LIFETIME, (uint32_t)((a->timer.at - q->now + NS_PER_S / 2) / NS_PER_S));
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, q->from);
    if (memcmp(a->reservation, none, sizeof none) != 0)
        stun_put(&w, STUN_RESERVATION_TOKEN, slice_of(a->reservation, sizeof a->reservation));
    if (q->msg->has_additional_family && a->port[IP6] == 0) { /* ADDRESS-ERROR-CODE, RFC 8656 §18.12 */
        static const uint8_t no_v6[4] = {STUN_FAMILY_V6, 0, 4, 40};

        stun_put(&w, STUN_ADDRESS_ERROR, slice_of(no_v6, sizeof no_v6));
    }
    turn_finish(ts, q, &w);
}

/* 0, or why there can be no allocation before one is looked for. */
static uint16_t check_allocate(struct turn_server *ts, const struct request *q, struct turn_grant *grant)
{
    const struct stun_msg *m = q->msg;
    bool is_ticket = q->who.user < 0;

    if (!m->has_transport)
        return STUN_BAD_REQUEST;
    if (m->transport != STUN_TRANSPORT_UDP)
        return STUN_TRANSPORT_UNSUPPORTED;
    if (m->has_dont_fragment)
        return STUN_UNKNOWN_ATTRIBUTE;
    if (is_ticket && turn_wall_s(ts) > (int64_t)q->who.expiry_s)
        return STUN_UNAUTHENTICATED;
    if (!is_ticket && ts->auth.users[q->who.user].n_allocations >= ts->max_per_user)
        return STUN_QUOTA_REACHED;
    if (ts->f.stats.allocations >= ts->max_allocations)
        return STUN_INSUFFICIENT_CAPACITY;
    if (ts->ops.admit != NULL && !ts->ops.admit(ts->arg, q->now, is_ticket ? q->who.alloc_id : NULL, grant))
        return STUN_QUOTA_REACHED;
    return 0;
}

static void set_up(struct turn_server *ts, const struct request *q, struct allocation *a,
                   const struct turn_grant *grant)
{
    a->user = q->who.user;
    memcpy(a->alloc_id, q->who.alloc_id, sizeof a->alloc_id);
    memcpy(a->key, q->who.key, sizeof a->key);
    memcpy(a->request_id, q->msg->id, sizeof a->request_id);
    a->ref = grant->ref;
    a->created_at = a->last_at = q->now;
    for (int i = 0; i < 2; i++)
        bucket_set(&a->rate[i], grant->max_kbps);
    if (a->user >= 0)
        ts->auth.users[a->user].n_allocations++;
    ts->f.stats.allocations++;
    heap_set(&ts->f.table.timers, &a->timer, q->now + turn_lifetime_of(q->msg) * NS_PER_S);
}

void turn_on_allocate(struct turn_server *ts, const struct request *q)
{
    struct turn_grant grant = {0};
    bool want[N_FAMILIES] = {false};
    struct allocation *a = q->a;
    struct turn_usage usage;
    uint16_t code;

    if (a != NULL) { /* the answer was lost, or another allocation is there */
        if (memcmp(a->request_id, q->msg->id, sizeof a->request_id) == 0)
            answer_allocate(ts, q, a);
        else
            turn_refuse(ts, q, STUN_ALLOCATION_MISMATCH);
        return;
    }
    code = wanted_families(ts, q->msg, want);
    if (code == 0)
        code = check_allocate(ts, q, &grant);
    if (code != 0) {
        turn_refuse(ts, q, code);
        return;
    }
    a = alloc_table_add(&ts->f.table, q->from);
    code = a == NULL ? STUN_INSUFFICIENT_CAPACITY : give_ports(ts, q, a, want);
    if (code != 0) {
        if (a != NULL)
            alloc_table_remove(&ts->f.table, a);
        turn_refuse(ts, q, code);
        return;
    }
    set_up(ts, q, a, &grant);
    answer_allocate(ts, q, a);
    usage = turn_usage_of(ts, a);
    if (ts->ops.began != NULL)
        ts->ops.began(ts->arg, q->now, &usage);
}
