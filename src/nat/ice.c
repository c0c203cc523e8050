#include "nat/ice.h"

#include "base/mem.h"
#include "crypto/secret.h"
#include "nat/checklist.h"
#include "nat/consent.h"
#include "nat/ice_message.h"

#define MS              NS_PER_MS
#define REVIVALS_MAX    3               /* of a failed pair, by requests of the peer's or a lost path */
#define WARM_NS         (10 * NS_PER_S) /* and up to half as much again: valid pairs not in use */
#define WARM_SOON_NS    (1 * NS_PER_S)  /* one that let us down is asked again so soon */
#define RETRY_NS        (20 * NS_PER_S) /* one that worked once, and is gone, while there is a path */
#define WARM_TRIES      5
#define WARM_GAP_NS     (500 * MS)
#define AVOID_NS        (5 * NS_PER_S) /* a pair that let us down, doubling */
#define AVOID_DOUBLINGS 4
#define POKES_MAX       8 /* valid pairs asked at once when the path comes into doubt */
#define LEAVE_GAP_NS \
    (250 * MS) /* how often the peer is told that a way ends: LEAVE_SOON times, then seldom */
#define LEAVE_SOON     8
#define LEAVE_LATER_NS (5 * NS_PER_S)

/* When an unanswered check is repeated; the last is waited for as long as itself. */
static const uint16_t check_gap_ms[ICE_CHECKS_MAX] = {250, 500, 1000, 1500, 2000, 2000, 2000};

struct ice {
    struct ice_config config;
    const struct ice_ops *ops;
    void *arg;
    const struct env *env;
    bool is_dead, has_path, path_is_old, local_ended, remote_ended, said_failed;
    struct checklist list;
    struct ice_credentials own, own_before, remote;
    ns_t started_at, pace_at; /* started_at: remote credentials came */
    struct ice_path path, standby;
    struct consent consent;
    ns_t path_heard_at, ticked_at;
    ns_t
        fallen_at; /* when the last path came into doubt that was left: who was not heard since may be dead too */
    bool has_poked; /* the other pairs were asked since the path came into doubt */
    ns_t leave_since,
        leave_say_at; /* a pair that leaves: only what was heard since takes its place; 0: none does */
    unsigned n_leave_said;
    /* Controlling: the number of our last nomination, and whether it was answered. Controlled: the highest met,
     * and for which pair. */
    uint32_t nomination;
    bool is_acked, has_nominated;
    uint8_t nominated_base;
    struct addr nominated_remote;
    struct ice_stats stats;
};

static ns_t random_up_to(const struct ice *i, ns_t span)
{
    return span * (env_random_u32(i->env) >> 8) >> 24;
}

struct ice *ice_create(const struct ice_config *config, const struct ice_ops *ops, void *arg,
                       const struct env *env)
{
    struct ice *i = mem_alloc(sizeof *i);

    i->config = *config;
    i->ops = ops;
    i->arg = arg;
    i->env = env;
    if (i->config.pace_ns == 0)
        i->config.pace_ns = ICE_PACE_NS;
    if (i->config.patience_ns == 0)
        i->config.patience_ns = ICE_PATIENCE_NS;
    if (i->config.tie_breaker == 0)
        env_random(env, &i->config.tie_breaker, sizeof i->config.tie_breaker);
    i->list.is_controlling = config->is_controlling;
    i->list.allow_loopback = config->allow_loopback;
    i->list.is_relay_only = config->is_relay_only;
    consent_init(&i->consent);
    ice_credentials_draw(&i->own, i->env);
    return i;
}

static void ice_free(void *arg)
{
    secret_wipe(arg, sizeof(struct ice));
    mem_free(arg);
}

void ice_destroy(struct ice *i)
{
    if (i == NULL || i->is_dead)
        return;
    i->is_dead = true;
    env_defer(i->env, ice_free, i);
}

/* The pair the path is on; NULL without a path, or when it is from before a restart. */
static struct pair *path_pair(struct ice *i)
{
    return i->has_path && !i->path_is_old ? checklist_find(&i->list, i->path.base, &i->path.remote) : NULL;
}

static bool has_remote(const struct ice *i)
{
    return i->remote.ufrag[0] != '\0';
}

static const struct addr *remote_of(const struct ice *i, const struct pair *p)
{
    return &i->list.remotes[p->remote].addr;
}

/* What the peer is to rank us by when it does not know this address (RFC 8445 §7.1.1). */
static uint32_t check_priority(const struct ice *i, uint8_t base)
{
    return candidate_priority(checklist_base_is_relayed(&i->list, base) ? CANDIDATE_RELAYED : CANDIDATE_PRFLX,
                              (uint16_t)(65535 - base));
}

static void send_check(struct ice *i, ns_t now, struct pair *p)
{
    uint8_t buf[ICE_MESSAGE_BYTES];
    struct ice_check check = {.own = &i->own, .remote = &i->remote, .id = p->id};
    unsigned slot;

    p->id[STUN_ID_BYTES - 1]++;
    slot = p->id[STUN_ID_BYTES - 1] % CHECK_SLOTS;
    p->slots[slot].sent_at = now;
    p->slots[slot].was_controlling = i->list.is_controlling;
    p->slots[slot].nomination = i->list.is_controlling && p == path_pair(i) ? i->nomination : 0;
    p->is_triggered = false;
    if (p->doubt_at == 0)
        p->doubt_at = now;
    if (p->state == PAIR_VALID)
        p->next_at = now + WARM_GAP_NS;
    else
        p->next_at = now + check_gap_ms[p->n_sent < ICE_CHECKS_MAX ? p->n_sent : ICE_CHECKS_MAX - 1] * MS;
    p->n_sent++;
    i->stats.checks_sent++;
    check.priority = check_priority(i, p->base);
    check.is_controlling = i->list.is_controlling;
    check.tie_breaker = i->config.tie_breaker;
    check.nomination = p->slots[slot].nomination;
    check.is_leaving = p->base < ICE_BASES_MAX && i->list.base_leaves[p->base];
    i->ops->send(i->arg, p->base, remote_of(i, p), ice_write_check(&check, buf));
}

/* Start checking p afresh; false when that was done too often. */
static bool revive(struct pair *p, ns_t now)
{
    if (p->n_revived == REVIVALS_MAX)
        return false;
    p->n_revived++;
    p->state = PAIR_CHECKING;
    p->n_sent = 0;
    p->doubt_at = 0;
    p->next_at = now;
    return true;
}

static bool is_spent(const struct pair *p)
{
    return p->n_sent >= (p->state == PAIR_VALID ? WARM_TRIES : ICE_CHECKS_MAX);
}

static bool is_nominated(const struct ice *i, const struct pair *p)
{
    return i->list.is_controlling ? i->is_acked
                                  : i->has_nominated && p->base == i->nominated_base &&
                                        addr_equal(remote_of(i, p), &i->nominated_remote);
}

static void fill_path(struct ice *i, const struct pair *p)
{
    i->path.base = p->base;
    i->path.remote = *remote_of(i, p);
    i->path.local_type = p->local_type;
    i->path.remote_type = i->list.remotes[p->remote].type;
    i->path.is_relayed = p->is_relayed;
    i->path.is_nominated = is_nominated(i, p);
    i->path.is_leaving = checklist_leaves(&i->list, p);
    i->path.rtt = p->rtt;
}

/* Send on p from now on; the controlling side says so to the other one. */
static void move_to(struct ice *i, ns_t now, struct pair *p)
{
    struct pair *old = path_pair(i);

    if (old != NULL) {
        old->next_at = now + (old->avoid_until > now ? WARM_SOON_NS : WARM_NS / 2);
        old->n_sent = 0;
        old->doubt_at = 0;
    }
    i->has_path = true;
    i->path_is_old = false;
    i->has_poked = false;
    i->is_acked = false;
    consent_moved(&i->consent, now);
    i->path_heard_at = p->heard_at = now;
    p->n_sent = 0;
    p->doubt_at = 0;
    if (i->list.is_controlling) {
        i->nomination++;
        i->stats.nominations++;
    }
    fill_path(i, p);
    i->stats.path_changes++;
    if (i->list.is_controlling)
        send_check(i, now, p);
    i->ops->path(i->arg, now, &i->path);
}

static void let_down(struct pair *p, ns_t now)
{
    p->avoid_until = now + (AVOID_NS << (p->n_let_down < AVOID_DOUBLINGS ? p->n_let_down : AVOID_DOUBLINGS));
    p->n_let_down++;
}

/* The pair to be on, or NULL for no change. */
static struct pair *choose(struct ice *i, ns_t now)
{
    struct pair *cur = path_pair(i), *best, *told = NULL;

    if (cur != NULL && consent_fails(&i->consent, cur, now)) {
        best = checklist_best(&i->list, now, cur->doubt_at, cur);
        if (best != NULL) {
            i->fallen_at = cur->doubt_at;
            let_down(cur, now);
        }
        return best;
    }
    if (cur != NULL && checklist_leaves(&i->list, cur)) {
        best = checklist_best(&i->list, now, i->leave_since, cur);
        if (best != NULL && !checklist_leaves(&i->list, best) && best->avoid_until <= now)
            return best;
    }
    if (!i->list.is_controlling && i->has_nominated)
        told = checklist_find(&i->list, i->nominated_base, &i->nominated_remote);
    if (told != NULL && told->state == PAIR_VALID && told->avoid_until <= now &&
        !checklist_leaves(&i->list, told))
        return told != cur ? told : NULL;
    if (told != NULL && cur != NULL)
        return NULL; /* what was nominated is not there (any more): stay */
    best = checklist_best(&i->list, now, i->fallen_at, NULL);
    if (best == NULL || best == cur)
        return NULL;
    if (cur == NULL || (best->avoid_until <= now && best->n_sent < 2 && pair_is_better(best, cur) &&
                        !checklist_leaves(&i->list, best)))
        return best;
    return NULL;
}

static void consider(struct ice *i, ns_t now)
{
    struct pair *next = choose(i, now);

    if (next != NULL)
        move_to(i, now, next);
}

/* The path is in doubt: ask the other pairs, so that it is known which of them is alive. Those that worked lately
 * have consented, and need no pace: first the ones that share no relay with the path. */
static void poke_others(struct ice *i, ns_t now, const struct pair *path)
{
    unsigned n_asked = 0;

    if (i->has_poked)
        return;
    i->has_poked = true;
    for (int round = 0; round < 2; round++) {
        for (unsigned k = 0; k < i->list.n_pairs && n_asked < POKES_MAX; k++) {
            struct pair *p = &i->list.pairs[k];

            if (p == path || p->state != PAIR_VALID || now >= p->answered_at + ICE_CONSENT_NS ||
                checklist_shares_relay(&i->list, p, path) != (round == 1))
                continue;
            send_check(i, now, p);
            n_asked++;
        }
    }
    for (unsigned k = 0; k < i->list.n_pairs; k++) {
        struct pair *p = &i->list.pairs[k];

        if (p == path)
            continue;
        if (p->state == PAIR_VALID && pair_sent_last_at(p) != now)
            p->next_at = now;
        else if (p->state == PAIR_FAILED && p->answered_at != 0)
            (void)revive(p, now);
    }
}

/* One end of the pair in use will be gone: see which of the others is alive. */
static void begin_leaving(struct ice *i, ns_t now)
{
    struct pair *path = path_pair(i);

    i->leave_since = now;
    if (path == NULL || !checklist_leaves(&i->list, path))
        return;
    i->path.is_leaving = true;
    i->has_poked = false;
    poke_others(i, now, path);
}

/* The peer sends by a way of ours that ends: it is told until it does not any more. */
static void say_leaving(struct ice *i, ns_t now)
{
    const struct pair *path = path_pair(i);
    bool was_said = false;

    if (i->leave_say_at == 0 || now < i->leave_say_at)
        return;
    for (unsigned k = 0; k < i->list.n_pairs; k++) {
        struct pair *p = &i->list.pairs[k];

        if (p->base >= ICE_BASES_MAX || !i->list.base_leaves[p->base] || p->state != PAIR_VALID ||
            (p != path && i->n_leave_said > 0 && now >= p->media_at + 2 * LEAVE_GAP_NS))
            continue;
        send_check(i, now, p);
        was_said = true;
    }
    i->n_leave_said++;
    i->leave_say_at = was_said ? now + (i->n_leave_said < LEAVE_SOON ? LEAVE_GAP_NS : LEAVE_LATER_NS) : 0;
}

void ice_leave_base(struct ice *i, ns_t now, uint8_t base)
{
    if (base >= ICE_BASES_MAX || i->list.base_leaves[base] || !checklist_has_base(&i->list, base))
        return;
    i->list.base_leaves[base] = true;
    i->leave_say_at = now;
    i->n_leave_said = 0;
    begin_leaving(i, now);
    say_leaving(i, now);
    consider(i, now);
}

static void lose_path(struct ice *i, ns_t now)
{
    struct pair *p = path_pair(i);

    if (p != NULL) {
        p->state = PAIR_FAILED;
        p->next_at = NS_NEVER;
    }
    i->has_path = false;
    i->has_nominated = false;
    i->ops->consent_lost(i->arg, now);
}

/* Consent is an answer to a check (RFC 7675); without a pair, after a restart, what is heard must do. */
static ns_t consent_until(const struct ice *i, const struct pair *p)
{
    return (p != NULL ? p->answered_at : i->path_heard_at) + ICE_CONSENT_NS;
}

static void watch_path(struct ice *i, ns_t now)
{
    struct pair *p = path_pair(i);

    if (!i->has_path)
        return;
    if (now >= consent_until(i, p)) {
        lose_path(i, now);
    } else if (p != NULL && now >= consent_probe_at(&i->consent, p)) {
        send_check(i, now, p);
        if (consent_expects_media(&i->consent, now) ? now >= p->heard_at + CONSENT_MEDIA_GAP_NS
                                                    : p->n_sent >= 2)
            poke_others(i, now, p);
    }
}

static void set_role(struct ice *i, ns_t now, bool is_controlling)
{
    i->stats.role_conflicts++;
    i->is_acked = false;
    if (is_controlling && path_pair(i) != NULL) {
        i->nomination++;
        path_pair(i)->next_at = now; /* carries it */
    }
    checklist_set_role(&i->list, is_controlling);
}

static enum candidate_type seen_as(const struct ice *i, const struct pair *p, const struct addr *mapped)
{
    for (unsigned k = 0; k < i->list.n_locals; k++)
        if (i->list.locals[k].base == p->base && addr_equal(&i->list.locals[k].addr, mapped))
            return i->list.locals[k].type;
    return checklist_base_is_relayed(&i->list, p->base) ? CANDIDATE_RELAYED : CANDIDATE_PRFLX;
}

static void check_succeeded(struct ice *i, ns_t now, struct pair *p, unsigned slot, const struct stun_msg *m)
{
    bool is_path = p == path_pair(i);

    i->stats.checks_answered++;
    p->rtt = now - p->slots[slot].sent_at;
    p->state = PAIR_VALID;
    p->local_type = seen_as(i, p, &m->mapped);
    p->n_sent = p->n_revived = 0;
    p->doubt_at = 0;
    p->answered_at = p->heard_at = now;
    p->next_at =
        is_path ? consent_answered(&i->consent, now, i->env) : now + WARM_NS + random_up_to(i, WARM_NS / 2);
    if (is_path) {
        i->path_heard_at = now;
        i->has_poked = false;
        if (i->list.is_controlling && p->slots[slot].nomination == i->nomination)
            i->is_acked = true;
        fill_path(i, p);
    }
    consider(i, now);
}

static void check_failed(struct ice *i, ns_t now, struct pair *p, unsigned slot, const struct stun_msg *m)
{
    if (m->error_code == STUN_ROLE_CONFLICT) {
        if (p->slots[slot].was_controlling == i->list.is_controlling)
            set_role(i, now, !i->list.is_controlling);
        p->is_triggered = true;
        p->next_at = now;
        return;
    }
    if (p->state != PAIR_VALID) {
        p->state = PAIR_FAILED;
        p->next_at = NS_NEVER;
    }
}

static bool input_answer(struct ice *i, ns_t now, uint8_t base, const struct addr *from,
                         const struct stun_msg *m)
{
    unsigned slot;
    struct pair *p = checklist_find_id(&i->list, m->id, &slot);

    if (p == NULL)
        return false;
    /* Another source than we asked is no two-way path (RFC 8445 §7.2.5.2.1). */
    if (p->base != base || !addr_equal(remote_of(i, p), from) ||
        stun_check_integrity(m, slice_str(i->remote.pwd)) != ERR_OK || m->n_unknown > 0 ||
        (m->cls == STUN_SUCCESS && m->mapped.family == ADDR_NONE)) {
        i->stats.bad++;
        return true;
    }
    if (m->cls == STUN_SUCCESS)
        check_succeeded(i, now, p, slot, m);
    else
        check_failed(i, now, p, slot, m);
    return true;
}

static void answer_request(struct ice *i, uint8_t base, const struct addr *to, const struct stun_msg *m,
                           uint16_t code, const char *pwd)
{
    uint8_t buf[ICE_MESSAGE_BYTES];

    i->ops->send(i->arg, base, to, ice_write_answer(m, to, code, pwd, buf));
}

/* 0, or the error that a request of the peer's deserves (RFC 8445 §7.3.1.1). */
static uint16_t judge_request(struct ice *i, ns_t now, const struct stun_msg *m)
{
    if (m->n_unknown > 0)
        return STUN_UNKNOWN_ATTRIBUTE;
    if (!m->has_priority || m->has_ice_controlling == m->has_ice_controlled)
        return STUN_BAD_REQUEST;
    if (m->has_ice_controlling && i->list.is_controlling) {
        if (i->config.tie_breaker >= m->ice_controlling)
            return STUN_ROLE_CONFLICT;
        set_role(i, now, false);
    } else if (m->has_ice_controlled && !i->list.is_controlling) {
        if (i->config.tie_breaker < m->ice_controlled)
            return STUN_ROLE_CONFLICT;
        set_role(i, now, true);
    }
    return 0;
}

static void pair_up(struct ice *i, ns_t now)
{
    unsigned from = i->list.n_pairs;

    checklist_pair_all(&i->list);
    for (unsigned k = from; k < i->list.n_pairs; k++) {
        env_random(i->env, i->list.pairs[k].id, STUN_ID_BYTES);
        i->list.pairs[k].next_at = now;
        i->said_failed = false;
    }
}

/* The pair a request came by; a new peer-reflexive candidate when its source is unknown. */
static struct pair *pair_of_request(struct ice *i, ns_t now, uint8_t base, const struct addr *from,
                                    uint32_t priority)
{
    struct pair *p = checklist_find(&i->list, base, from);
    struct candidate c;
    enum err e;

    if (p != NULL)
        return p;
    c = candidate_make(CANDIDATE_PRFLX, from, NULL, 0, 0);
    c.priority = priority;
    e = checklist_add_remote(&i->list, &c);
    if (e != ERR_OK && e != ERR_EXISTS) {
        i->stats.refused_candidates++;
        return NULL;
    }
    pair_up(i, now);
    return checklist_find(&i->list, base, from);
}

static void trigger(struct pair *p, ns_t now)
{
    if (p->state == PAIR_VALID)
        return;
    if (p->state == PAIR_FAILED && !revive(p, now))
        return;
    p->is_triggered = true;
    if (pair_sent_last_at(p) == 0 || p->next_at > pair_sent_last_at(p) + ICE_PACE_NS)
        p->next_at = pair_sent_last_at(p) == 0 ? now : pair_sent_last_at(p) + ICE_PACE_NS;
}

/* USE-CANDIDATE: the highest number wins; without numbers, the last one. */
static void take_nomination(struct ice *i, const struct pair *p, const struct stun_msg *m)
{
    bool is_same =
        i->has_nominated && p->base == i->nominated_base && addr_equal(remote_of(i, p), &i->nominated_remote);
    uint32_t number = m->has_nomination ? m->nomination : i->nomination + !is_same;

    if (number < i->nomination)
        return;
    i->nomination = number;
    if (!is_same)
        i->stats.nominations++;
    i->has_nominated = true;
    i->nominated_base = p->base;
    i->nominated_remote = *remote_of(i, p);
    if (p == path_pair(i))
        fill_path(i, p);
}

static void take_request(struct ice *i, ns_t now, uint8_t base, const struct addr *from,
                         const struct stun_msg *m)
{
    struct pair *p;
    uint16_t code = judge_request(i, now, m);

    if (code != 0) {
        i->stats.bad += code != STUN_ROLE_CONFLICT;
        i->stats.role_conflicts += code == STUN_ROLE_CONFLICT;
        answer_request(i, base, from, m, code, i->own.pwd);
        return;
    }
    p = pair_of_request(i, now, base, from, m->priority);
    if (p == NULL)
        return; /* no room, or an address we never talk to: silence */
    i->stats.requests_in++;
    p->heard_at = now;
    if (p == path_pair(i))
        i->path_heard_at = now;
    trigger(p, now);
    if (i->list.remote_leaves[p->remote] != m->has_leaving) {
        i->list.remote_leaves[p->remote] = m->has_leaving;
        begin_leaving(i, now);
    }
    if (m->has_use_candidate && !i->list.is_controlling)
        take_nomination(i, p, m);
    answer_request(i, base, from, m, 0, i->own.pwd);
    consider(i, now);
}

static bool input_request(struct ice *i, ns_t now, uint8_t base, const struct addr *from,
                          const struct stun_msg *m)
{
    bool is_now = ice_credentials_name(&i->own, m->username);
    bool is_before = !is_now && ice_credentials_name(&i->own_before, m->username);
    const char *pwd = is_now ? i->own.pwd : i->own_before.pwd;

    if (!is_now && !is_before)
        return false;
    if (!checklist_has_base(&i->list, base))
        return true; /* not offered here: an answer would give it away */
    if (stun_check_integrity(m, slice_str(pwd)) != ERR_OK ||
        (is_now && !ice_credentials_name_both(&i->own, &i->remote, m->username))) {
        i->stats.bad++;
        return true;
    }
    if (is_now)
        take_request(i, now, base, from, m);
    else if (i->has_path && i->path.base == base && addr_equal(&i->path.remote, from)) {
        i->path_heard_at = now; /* the peer does not know of our restart yet: keep its consent */
        answer_request(i, base, from, m, 0, pwd);
    }
    return true;
}

bool ice_input(struct ice *i, ns_t now, uint8_t base, const struct addr *from, struct slice bytes)
{
    struct stun_msg m;

    if (i->is_dead || stun_parse(bytes, &m) != ERR_OK || m.method != STUN_BINDING)
        return false;
    if (m.cls == STUN_REQUEST)
        return input_request(i, now, base, from, &m);
    if (m.cls == STUN_SUCCESS || m.cls == STUN_ERROR)
        return input_answer(i, now, base, from, &m);
    return false;
}

void ice_heard(struct ice *i, ns_t now, uint8_t base, const struct addr *from)
{
    struct pair *p = checklist_find(&i->list, base, from);

    if (p != NULL)
        p->heard_at = p->media_at = now;
    if (i->has_path && i->path.base == base && addr_equal(&i->path.remote, from)) {
        i->path_heard_at = now;
        consent_heard_media(&i->consent, now);
    }
}

/* The peer's candidates are of another generation: what works is found anew, the path is kept meanwhile. */
static void forget_remotes(struct ice *i)
{
    checklist_forget_remotes(&i->list);
    i->path_is_old = i->has_path;
    i->remote_ended = i->has_nominated = i->said_failed = false;
    i->nomination = 0;
}

enum err ice_set_remote(struct ice *i, ns_t now, const char *ufrag, const char *pwd)
{
    struct ice_credentials c;

    if (ice_credentials_set(&c, ufrag, pwd) != ERR_OK)
        return ERR_RANGE;
    if (strcmp(c.ufrag, i->remote.ufrag) == 0 && strcmp(c.pwd, i->remote.pwd) == 0)
        return ERR_OK;
    if (has_remote(i))
        forget_remotes(i);
    i->remote = c;
    i->started_at = now;
    i->said_failed = false;
    return ERR_OK;
}

/* A late candidate of ours makes the peer start checks that pass our NAT only while we send there as well. */
static void check_again(struct ice *i, ns_t now, uint8_t base)
{
    for (unsigned k = 0; k < i->list.n_pairs; k++) {
        struct pair *p = &i->list.pairs[k];

        if (p->base == base && (p->state == PAIR_FAILED || (p->state == PAIR_CHECKING && p->n_sent > 2)))
            (void)revive(p, now);
    }
}

enum err ice_add_local(struct ice *i, ns_t now, const struct candidate *c)
{
    enum err e = checklist_add_local(&i->list, c);

    if (e == ERR_OK) {
        check_again(i, now, c->base);
        pair_up(i, now);
    }
    return e;
}

void ice_remove_base(struct ice *i, ns_t now, uint8_t base)
{
    checklist_remove_base(&i->list, base);
    if (i->has_nominated && i->nominated_base == base)
        i->has_nominated = false;
    if (i->has_path && i->path.base == base)
        i->has_path = false;
    consider(i, now);
}

enum err ice_add_remote(struct ice *i, ns_t now, const struct candidate *c)
{
    enum err e = checklist_add_remote(&i->list, c);

    if (e == ERR_OK)
        pair_up(i, now);
    else if (e != ERR_EXISTS)
        i->stats.refused_candidates++;
    return e;
}

void ice_end_of_local(struct ice *i, ns_t now)
{
    (void)now;
    i->local_ended = true;
}

void ice_end_of_remote(struct ice *i, ns_t now)
{
    (void)now;
    i->remote_ended = true;
}

void ice_restart(struct ice *i, ns_t now)
{
    i->own_before = i->own;
    ice_credentials_draw(&i->own, i->env);
    forget_remotes(i);
    secret_wipe(&i->remote, sizeof i->remote);
    i->path_heard_at = now;
}

/* When "failed" may be said; twice as late while more candidates may come. */
static ns_t patience_end(const struct ice *i)
{
    return i->started_at + i->config.patience_ns * (i->local_ended && i->remote_ended ? 1 : 2);
}

static void check_failure(struct ice *i, ns_t now)
{
    if (!has_remote(i) || i->has_path || i->said_failed || now < patience_end(i))
        return;
    for (unsigned k = 0; k < i->list.n_pairs; k++)
        if (i->list.pairs[k].state != PAIR_FAILED)
            return;
    i->said_failed = true;
    i->ops->failed(i->arg, now);
}

/* No answer to its last check. One that has worked is asked again from time to time: a cable may be put back. */
static void give_up(const struct ice *i, ns_t now, struct pair *p)
{
    p->state = PAIR_FAILED;
    p->next_at = NS_NEVER;
    if (p->answered_at == 0 || !i->has_path)
        return;
    p->state = PAIR_CHECKING;
    p->n_sent = ICE_CHECKS_MAX - 2;
    p->next_at = now + RETRY_NS;
}

/* One check of the list, when its turn has come. */
static void pace(struct ice *i, ns_t now)
{
    struct pair *p, *path = path_pair(i);

    while (has_remote(i) && now >= i->pace_at && (p = checklist_next(&i->list, now, path)) != NULL) {
        if (is_spent(p)) {
            give_up(i, now, p);
            continue;
        }
        i->pace_at = now + i->config.pace_ns;
        send_check(i, now, p);
    }
}

void ice_tick(struct ice *i, ns_t now)
{
    if (i->is_dead)
        return;
    i->ticked_at = now;
    watch_path(i, now);
    if (!i->is_dead)
        say_leaving(i, now);
    if (!i->is_dead)
        consider(i, now);
    if (!i->is_dead)
        pace(i, now);
    if (!i->is_dead)
        check_failure(i, now);
}

ns_t ice_deadline(const struct ice *i)
{
    struct ice *me = (struct ice *)i; /* path_pair() only looks */
    struct pair *p = path_pair(me);
    ns_t at = NS_NEVER, list, limit;

    if (i->is_dead)
        return NS_NEVER;
    if (i->has_path)
        at = consent_until(i, p);
    if (i->leave_say_at != 0)
        at = ns_min(at, i->leave_say_at);
    if (p != NULL) {
        at = ns_min(at, consent_probe_at(&i->consent, p));
        limit = consent_fails_at(&i->consent, p, i->ticked_at);
        if (limit > i->ticked_at)
            at = ns_min(at, limit);
    }
    if (!has_remote(i))
        return at;
    list = checklist_deadline(&i->list, p);
    if (list != NS_NEVER)
        at = ns_min(at, list > i->pace_at ? list : i->pace_at);
    if (!i->has_path && !i->said_failed && list == NS_NEVER)
        at = ns_min(at, patience_end(i));
    return at;
}

const char *ice_ufrag(const struct ice *i)
{
    return i->own.ufrag;
}

const char *ice_pwd(const struct ice *i)
{
    return i->own.pwd;
}

bool ice_is_controlling(const struct ice *i)
{
    return i->list.is_controlling;
}

const struct ice_path *ice_path(const struct ice *i)
{
    return i->has_path ? &i->path : NULL;
}

/* a stands in for the path better than b. */
static bool is_better_standby(const struct ice *i, const struct pair *path, const struct pair *a,
                              const struct pair *b)
{
    bool a_apart = !checklist_shares_relay(&i->list, a, path),
         b_apart = !checklist_shares_relay(&i->list, b, path);
    bool a_lives = a->heard_at > path->heard_at, b_lives = b->heard_at > path->heard_at;

    if (a_lives != b_lives)
        return a_lives;
    return a_apart != b_apart ? a_apart : pair_is_better(a, b);
}

const struct ice_path *ice_standby(struct ice *i, ns_t now)
{
    struct pair *path = path_pair(i), *best = NULL;

    if (path == NULL || !consent_misses_media(&i->consent, path, now))
        return NULL;
    for (unsigned k = 0; k < i->list.n_pairs; k++) {
        struct pair *p = &i->list.pairs[k];

        if (p == path || p->state != PAIR_VALID || p->avoid_until > now ||
            now >= p->answered_at + ICE_CONSENT_NS)
            continue;
        if (best == NULL || is_better_standby(i, path, p, best))
            best = p;
    }
    if (best == NULL)
        return NULL;
    i->standby = (struct ice_path){.base = best->base,
                                   .remote = *remote_of(i, best),
                                   .local_type = best->local_type,
                                   .remote_type = i->list.remotes[best->remote].type,
                                   .is_relayed = best->is_relayed,
                                   .rtt = best->rtt};
    return &i->standby;
}

ns_t ice_silent_ns(const struct ice *i, ns_t now)
{
    return i->has_path ? now - i->path_heard_at : 0;
}

const struct ice_stats *ice_get_stats(const struct ice *i)
{
    return &i->stats;
}

size_t ice_locals(const struct ice *i, const struct candidate **out)
{
    *out = i->list.locals;
    return i->list.n_locals;
}
