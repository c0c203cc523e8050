#include "sim/ledger.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "relay/client.h"
#include "sim/ledger_impl.h"

#define RETRIES      2
#define KAPPA_NS     (600 * NS_PER_S)
#define TRUST_NS     (6 * 3600 * NS_PER_S)
#define DAY_NS       (86400 * NS_PER_S)
#define HARM_PCT     60.0  /* of calls over a bad relay */
#define FLOOR_PCT    3.0   /* of calls harmed by what is no relay's fault */
#define SPONSOR_S    10800 /* in SPONSOR_DAYS, of each of two sponsors: 90 min a day, and a day in hand */
#define SPONSOR_DAYS 2
#define NEVER_ENDS   1e18

/* --- chance --- */

double econ_random(struct econ *e)
{
    return (double)(prng_next(&e->rng) >> 11) * 0x1p-53;
}

uint32_t econ_below(struct econ *e, uint32_t n)
{
    return n == 0 ? 0 : (uint32_t)((prng_next(&e->rng) >> 32) * (uint64_t)n >> 32);
}

static double exponential(struct econ *e, double mean)
{
    return -mean * log(1 - econ_random(e));
}

static ns_t ns_of(double s)
{
    return (ns_t)(s * (double)NS_PER_S);
}

static void note(struct econ *e, uint64_t what)
{
    e->out->hash = (e->out->hash ^ what ^ (uint64_t)e->now) * 0x100000001b3ull;
}

/* --- accounts --- */

static uint32_t pair_place(const struct pairs *p, uint32_t peer)
{
    uint32_t at = (peer * 0x9e3779b1u) >> 7 & (p->size - 1);

    while (p->index[at].row != 0 && p->index[at].peer != peer)
        at = (at + 1) & (p->size - 1);
    return at;
}

static void grow(struct pairs *p)
{
    p->size = p->size > 0 ? 2 * p->size : 8;
    free(p->index);
    p->index = calloc(p->size, sizeof *p->index);
    for (uint32_t i = 0; i < p->n; i++)
        p->index[pair_place(p, p->rows[i].peer)] = (struct pair_at){p->rows[i].peer, i + 1};
}

static void more_rows(struct pairs *p)
{
    struct pair *old = p->rows;

    p->max = p->max > 0 ? 2 * p->max : 4;
    p->rows = aligned_alloc(PAIR_ALIGN, p->max * sizeof *p->rows);
    if (p->n > 0)
        memcpy(p->rows, old, p->n * sizeof *p->rows);
    free(old);
}

struct pair *econ_pair(struct econ *e, uint32_t holder, uint32_t peer, bool make)
{
    struct pairs *p = &e->agents[holder].pairs;
    uint32_t at;

    if (p->size > 0) {
        at = pair_place(p, peer);
        if (p->index[at].row != 0)
            return &p->rows[p->index[at].row - 1];
    }
    if (!make)
        return NULL;
    if (2 * (p->n + 1) > p->size)
        grow(p);
    if (p->n == p->max)
        more_rows(p);
    p->rows[p->n] = (struct pair){.peer = peer, .a = {.day = e->today}};
    p->index[pair_place(p, peer)] = (struct pair_at){peer, ++p->n};
    return &p->rows[p->n - 1];
}

struct pair_more *econ_more(struct econ *e, uint32_t holder, uint32_t peer)
{
    struct pair *p = econ_pair(e, holder, peer, true);

    if (p->more == NULL)
        p->more = calloc(1, sizeof *p->more);
    return p->more;
}

double econ_kappa(struct econ *e, uint32_t v)
{
    struct agent *a = &e->agents[v];

    if (a->load == NULL)
        return LEDGER_KAPPA_LO;
    if (a->kappa == 0 || e->now >= a->kappa_at + KAPPA_NS) {
        if (a->is_online)
            a->kappa = ledger_load_kappa(a->load, e->now);
        else if (a->kappa == 0)
            a->kappa = LEDGER_KAPPA_HI;
        a->kappa_at = e->now;
    }
    return a->kappa;
}

double econ_avail(void *arg, uint32_t v, uint32_t alias)
{
    struct econ *e = arg;
    struct pair *p;

    if (e->agents[v].is_attacker && alias < e->n_agents && e->agents[alias].class == ECON_SYBIL)
        return FAKE_EDGE_S;
    p = econ_pair(e, v, alias, false);
    if (p == NULL)
        return 0;
    if (p->a.sponsor_s > 0)
        ledger_forgive(&p->a, SPONSOR_S, SPONSOR_DAYS, e->today);
    ledger_age(&p->a, e->today);
    return ledger_avail(&p->a, econ_kappa(e, v)) - p->pending_s;
}

/* --- events --- */

static bool sooner(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void plan(struct econ *e, ns_t at, enum event_type type, uint32_t who, uint32_t serial, double s)
{
    struct event ev = {.at = at, .order = e->order++, .type = type, .who = who, .serial = serial, .s = s};
    uint32_t i;

    if (at >= e->end)
        return;
    if (e->n_events == e->max_events) {
        e->max_events = e->max_events > 0 ? 2 * e->max_events : 4096;
        e->events = realloc(e->events, e->max_events * sizeof *e->events);
    }
    for (i = e->n_events++; i > 0 && sooner(&ev, &e->events[(i - 1) / 2]); i = (i - 1) / 2)
        e->events[i] = e->events[(i - 1) / 2];
    e->events[i] = ev;
}

static struct event next_event(struct econ *e)
{
    struct event first = e->events[0], last = e->events[--e->n_events];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= e->n_events)
            break;
        if (child + 1 < e->n_events && sooner(&e->events[child + 1], &e->events[child]))
            child++;
        if (!sooner(&e->events[child], &last))
            break;
        e->events[i] = e->events[child];
        i = child;
    }
    e->events[i] = last;
    return first;
}

/* --- who is up --- */

static void set_online(struct econ *e, uint32_t v, bool on)
{
    struct agent *a = &e->agents[v];

    if (a->is_online == on)
        return;
    a->is_online = on;
    if (on) {
        e->online_at[v] = e->n_online;
        e->online[e->n_online++] = (struct spot){v, a->x, a->y};
        a->up_since = e->now;
        ledger_load_resume(a->load, e->now);
        audit_start(a->audits, e->now);
    } else {
        struct spot last = e->online[--e->n_online];

        e->online[e->online_at[v]] = last;
        e->online_at[last.v] = e->online_at[v];
        a->online_s += (double)(e->now - a->up_since) / NS_PER_S;
    }
}

/* --- calls --- */

static uint32_t new_call(struct econ *e)
{
    uint32_t i = e->free_call;

    if (i != NOBODY) {
        e->free_call = e->calls[i].next;
    } else {
        if (e->n_calls == e->max_calls) {
            e->max_calls = e->max_calls > 0 ? 2 * e->max_calls : 1024;
            e->calls = realloc(e->calls, e->max_calls * sizeof *e->calls);
            memset(e->calls + e->n_calls, 0, (e->max_calls - e->n_calls) * sizeof *e->calls);
        }
        i = e->n_calls++;
    }
    e->calls[i] = (struct call){.is_used = true, .serial = e->calls[i].serial + 1};
    return i;
}

static void drop_call(struct econ *e, uint32_t i)
{
    struct call *c = &e->calls[i];

    if (c->prev != NOBODY)
        e->calls[c->prev].next = c->next;
    else
        e->agents[c->relay].running = c->next;
    if (c->next != NOBODY)
        e->calls[c->next].prev = c->prev;
    c->is_used = false;
    c->serial++;
    c->next = e->free_call;
    e->free_call = i;
}

/* The seconds since the last statement become the pair's. */
static void book(struct econ *e, struct call *c)
{
    double s = (double)(e->now - c->booked_at) / NS_PER_S, claimed = s;
    struct agent *relay = &e->agents[c->relay], *caller = &e->agents[c->caller];
    struct pair *at_relay;

    c->booked_at = e->now;
    if (s <= 0)
        return;
    relay->gave_s += s;
    relay->used_s += s;
    if (e->now >= e->count_from) {
        e->all_s += s;
        e->stranger_s += c->class == LEDGER_STRANGER ? s : 0;
        if (c->is_creditor)
            caller->got_creditor_s += s;
    }
    if (relay->inflates) { /* the client signs its own count and 5 % */
        claimed = s * (1 + CLIENT_TOLERANCE);
        e->inflated_s += claimed - s;
        e->inflated_of_s += s;
    }
    at_relay = econ_pair(e, c->relay, c->alias, true);
    at_relay->gave_s += s;
    ledger_gave(&at_relay->a, claimed, e->today);
    if (caller->withholds) { /* nothing signed: only the relay remembers */
        caller->unsigned_s += s;
        return;
    }
    ledger_got(&econ_pair(e, c->caller, c->relay, true)->a, claimed, e->today);
}

static void finish(struct econ *e, uint32_t i)
{
    struct call *c = &e->calls[i];
    struct agent *relay = &e->agents[c->relay];

    book(e, c);
    ledger_ended(relay->load, e->now, c->class, 1, (double)(e->now - c->started_at) / NS_PER_S);
    drop_call(e, i);
}

/* --- choosing --- */

struct choice {
    uint32_t relay[CANDIDATES];
    uint8_t order[SELECT_MAX];
    size_t n, n_guards; /* the guards first */
    struct flow_path path[CANDIDATES];
    float how_far2[CANDIDATES]; /* squared */
};

/* Sampling without putting back: who was picked goes to the front. */
static void bring_forward(struct econ *e, uint32_t to, uint32_t pick)
{
    struct spot s = e->online[pick];

    e->online[pick] = e->online[to];
    e->online[to] = s;
    e->online_at[e->online[pick].v] = pick;
    e->online_at[s.v] = to;
}

static bool is_guard(const struct agent *me, uint32_t v)
{
    for (uint32_t i = 0; i < me->n_guards; i++) {
        if (me->guards[i] == v)
            return true;
    }
    return false;
}

static size_t add_guards(const struct econ *e, const struct agent *me, struct choice *ch)
{
    size_t n = 0;

    for (uint32_t i = 0; i < me->n_guards; i++) {
        const struct agent *g = &e->agents[me->guards[i]];

        if (!g->is_online)
            continue;
        ch->relay[n] = me->guards[i];
        ch->how_far2[n++] = (me->x - g->x) * (me->x - g->x) + (me->y - g->y) * (me->y - g->y);
    }
    return n;
}

/* It served us: it is the first of our guards, or none any more. */
static void note_guard(struct agent *me, uint32_t v, bool is_good)
{
    uint32_t at = 0;

    while (at < me->n_guards && me->guards[at] != v)
        at++;
    if (at < me->n_guards)
        memmove(&me->guards[at], &me->guards[at + 1], (--me->n_guards - at) * sizeof me->guards[0]);
    if (!is_good)
        return;
    me->n_guards -= me->n_guards == GUARDS;
    memmove(&me->guards[1], &me->guards[0], me->n_guards * sizeof me->guards[0]);
    me->guards[0] = v;
    me->n_guards++;
}

/* The nearest of those sampled, at most `max`, guards among them. */
static void look_around(struct econ *e, uint32_t caller, uint32_t max, struct choice *ch)
{
    const struct agent *me = &e->agents[caller];
    uint32_t n = e->n_online < SAMPLED ? e->n_online : SAMPLED;

    ch->n = ch->n_guards = add_guards(e, me, ch);
    for (uint32_t i = 0; i < n; i++) {
        struct spot s;
        float d2;
        size_t at;

        if (n < e->n_online)
            bring_forward(e, i, i + econ_below(e, e->n_online - i));
        s = e->online[i];
        d2 = (me->x - s.x) * (me->x - s.x) + (me->y - s.y) * (me->y - s.y);
        if (s.v == caller || (ch->n == max && d2 >= ch->how_far2[ch->n - 1]) || is_guard(me, s.v))
            continue;
        at = ch->n < max ? ch->n++ : ch->n - 1;
        for (; at > ch->n_guards && ch->how_far2[at - 1] > d2; at--) {
            ch->relay[at] = ch->relay[at - 1];
            ch->how_far2[at] = ch->how_far2[at - 1];
        }
        ch->relay[at] = s.v;
        ch->how_far2[at] = d2;
    }
}

/* NULL: it never used that relay. */
static struct ledger_quality *quality_of(struct econ *e, uint32_t caller, uint32_t relay)
{
    struct pair *p = econ_pair(e, caller, relay, false);

    return p != NULL && p->more != NULL && p->more->has_quality ? &p->more->quality : NULL;
}

/* What a contact tells of a relay. A liar has something to say of each, and turns it round. */
static bool says(struct econ *e, uint32_t contact, uint32_t relay, struct ledger_hearsay *out)
{
    bool is_bad = e->agents[relay].is_bad, lies = e->agents[contact].lies;
    const struct ledger_quality *q = lies ? NULL : quality_of(e, contact, relay);

    *out = (struct ledger_hearsay){.good = lies && is_bad, .bad = lies && !is_bad, .day = e->today};
    if (q != NULL)
        *out = (struct ledger_hearsay){.good = q->good, .bad = q->bad, .day = q->day};
    return lies || q != NULL;
}

static double heard_quality(struct econ *e, uint32_t caller, uint32_t relay)
{
    const struct agent *me = &e->agents[caller];
    struct ledger_quality none = {.day = e->today}, *own = quality_of(e, caller, relay);
    struct ledger_hearsay heard[CONTACTS];
    size_t n = 0;

    for (size_t i = 0; i < CONTACTS && !e->p.no_hearsay; i++) {
        if (says(e, me->contacts[i], relay, &heard[n]))
            heard[n++].credence = me->credence[i];
    }
    return ledger_quality_heard(own != NULL ? own : &none, heard, n, e->today);
}

static enum ledger_class class_at(struct econ *e, uint32_t relay, uint32_t caller, const uint32_t *payable,
                                  size_t n_payable, struct flow_path *path)
{
    *path = (struct flow_path){.kind = FLOW_NONE};
    if (e->p.policy != ECON_LEDGER)
        return base_class(e, relay, caller);
    if (e->agents[caller].unsigned_stops > 0 && e->agents[caller].withholds)
        return LEDGER_STRANGER; /* whoever did not sign owes it: see book() */
    return pay_find(e, relay, caller, payable, n_payable, path) != FLOW_NONE ? LEDGER_CREDITOR
                                                                             : LEDGER_STRANGER;
}

static void choose(struct econ *e, uint32_t caller, struct choice *ch)
{
    struct select_candidate c[CANDIDATES];
    struct select_policy policy = {.noise_seed = (uint32_t)prng_next(&e->rng)};
    uint32_t payable[FLOW_NEIGHBOURS];
    size_t n_payable = e->p.policy == ECON_LEDGER ? pay_payable(e, caller, payable) : 0;
    static const enum select_pay pays[] = {SELECT_REST, SELECT_DIRECT, SELECT_TWO_HOPS, SELECT_SLACK};

    look_around(e, caller, e->p.bad_pct > 0 ? CANDIDATES / 2 : CANDIDATES, ch);
    memset(c, 0, sizeof c);
    for (size_t i = 0; i < ch->n; i++) {
        uint32_t relay = ch->relay[i];
        const struct pair *mine = e->agents[caller].gave_s > 0 ? econ_pair(e, caller, relay, false) : NULL;
        enum ledger_class class = class_at(e, relay, caller, payable, n_payable, &ch->path[i]);
        enum flow_kind kind = ch->path[i].kind;

        pay_key(relay, c[i].id);
        c[i].addr = (struct addr){.family = ADDR_V4, .port = 1};
        memcpy(c[i].addr.ip, &relay, 4);
        c[i].rtt_us_ms = 10 + 200 * sqrt(ch->how_far2[i]);
        c[i].quality = e->p.bad_pct > 0 ? heard_quality(e, caller, relay) : 0.75;
        c[i].score = -1;
        c[i].is_guard = i < ch->n_guards;
        c[i].pay = class == LEDGER_STRANGER ? SELECT_REST : kind == FLOW_NONE ? SELECT_DIRECT : pays[kind];
        if (kind != FLOW_NONE && ch->path[i].room_s < 2 * LEDGER_TRANCHE_S)
            c[i].pay = SELECT_SLACK; /* it would have to move after five minutes */
        c[i].owes_us = mine != NULL && mine->a.debt_s > 0 ? fmin(mine->a.debt_s / 3600, 1) : 0;
    }
    ch->n = select_rank(c, ch->n, &policy, ch->order);
}

/* --- admission --- */

static bool is_admitted(struct econ *e, uint32_t relay, uint32_t caller, enum ledger_class class)
{
    struct ledger_load *load = e->agents[relay].load;
    uint32_t retry_ms, prefix = e->agents[caller].alias + 1;

    e->decisions++;
    if (!base_admits(e, relay, caller))
        return false;
    if (!base_has_pool(e->p.policy))
        return load->used < load->slots;
    if (ledger_admit(load, e->now, class, 1, prefix, &retry_ms) == LEDGER_ADMIT)
        return true;
    if (class == LEDGER_CREDITOR)
        ledger_missed(load, e->now, 1);
    return false;
}

static void begin(struct econ *e, uint32_t caller, uint32_t relay, enum ledger_class class, double wants_s,
                  bool is_audit)
{
    uint32_t i = new_call(e);
    struct call *c = &e->calls[i];
    struct agent *r = &e->agents[relay], *p = &e->agents[caller];
    double stop_s = p->withholds ? SERVICE_STOP_S : NEVER_ENDS;

    c->caller = caller;
    c->alias = p->alias;
    c->relay = relay;
    c->class = class;
    c->is_audit = is_audit;
    c->is_creditor = class == LEDGER_CREDITOR;
    c->started_at = c->booked_at = e->now;
    c->ends_at = e->now + ns_of(wants_s);
    c->prev = NOBODY;
    c->next = r->running;
    if (r->running != NOBODY)
        e->calls[r->running].prev = i;
    r->running = i;
    ledger_began(r->load, e->now, class, 1, p->alias + 1);
    plan(e, e->now + ns_of(fmin(wants_s, stop_s)), EV_END, i, c->serial, wants_s - stop_s);
    if (class == LEDGER_CREDITOR && e->p.policy == ECON_LEDGER && wants_s > LEDGER_TRANCHE_S)
        plan(e, e->now + ns_of(LEDGER_TRANCHE_S), EV_TICK, i, c->serial, 0);
    note(e, (uint64_t)caller << 32 | relay);
}

static void judge(struct econ *e, uint32_t caller, uint32_t relay, double wants_s)
{
    struct agent *p = &e->agents[caller];
    bool by_relay = e->agents[relay].is_bad && econ_random(e) * 100 < HARM_PCT;
    bool by_chance = econ_random(e) * 100 < FLOOR_PCT;
    struct pair_more *m;
    struct ledger_hearsay heard;
    int intervals = (int)fmin(fmax(wants_s / 30, 1), 20);
    int when = p->n_calls <= 5 ? 0 : p->n_calls > 20 && p->n_calls <= 40 ? 1 : p->n_calls > 60 ? 2 : -1;
    bool is_new = quality_of(e, caller, relay) == NULL;

    note_guard(p, relay, !by_relay);
    if (e->p.bad_pct <= 0)
        return;
    for (size_t i = 0; i < CONTACTS; i++) {
        if (says(e, p->contacts[i], relay, &heard))
            ledger_credence_note(&p->credence[i], &heard, !by_relay);
    }
    m = econ_more(e, caller, relay);
    if (!m->has_quality)
        m->quality.day = e->today;
    m->has_quality = true;
    for (int i = 0; i < intervals; i++)
        ledger_quality_note(&m->quality, !by_relay, e->today);
    if (when < 0)
        return;
    e->seen_calls[when]++;
    e->harmed[when] += by_relay || by_chance;
    e->harmed_by_new[when] += by_relay && is_new;
    e->harmed_by_known[when] += by_relay && !is_new;
}

static bool is_honest(const struct agent *a)
{
    return !a->is_attacker && a->class != ECON_SYBIL && !a->withholds;
}

/* One round over the candidates; true when somebody took the call. as_creditor: only where we can pay. */
static bool attempt(struct econ *e, uint32_t caller, double wants_s, bool as_creditor, bool is_counted)
{
    struct agent *p = &e->agents[caller];
    uint32_t tries = p->is_relay || p->class == ECON_SPONSORED ? e->p.tries : e->p.stranger_tries;
    struct choice ch;

    choose(e, caller, &ch);
    for (size_t i = 0; i < ch.n && i < tries; i++) {
        size_t at = ch.order[i];
        uint32_t relay = ch.relay[at];
        struct flow_path path = ch.path[at];
        enum ledger_class class = e->p.policy != ECON_LEDGER ? base_class(e, relay, caller)
                                  : path.kind != FLOW_NONE   ? LEDGER_CREDITOR
                                                             : LEDGER_STRANGER;

        if (as_creditor && class != LEDGER_CREDITOR)
            continue;
        e->tried++;
        pay_hear(e, caller, relay);
        if (!is_admitted(e, relay, caller, class))
            continue;
        if (path.kind != FLOW_NONE && !pay_use(e, relay, caller, &path)) {
            if (as_creditor || !is_admitted(e, relay, caller, LEDGER_STRANGER))
                continue;
            class = LEDGER_STRANGER;
        }
        begin(e, caller, relay, class, wants_s, false);
        judge(e, caller, relay, wants_s);
        if (p->first_service_at == 0)
            p->first_service_at = e->now;
        if (class == LEDGER_CREDITOR && p->first_creditor_at == 0)
            p->first_creditor_at = e->now;
        if (is_counted) {
            p->share.served++;
            p->share.creditor += class == LEDGER_CREDITOR;
            e->out->started += is_honest(p);
        }
        return true;
    }
    return false;
}

/* --- what happens --- */

static double rate_at(const struct econ *e)
{
    double hour = (double)(e->now % DAY_NS) / NS_PER_S / 3600;

    /* Evenings see three times the calls of nights; the mean stays. */
    return e->p.diurnal ? 1 + 0.5 * sin((hour - 13) / 24 * 2 * M_PI) : 1;
}

static void plan_call(struct econ *e, uint32_t who)
{
    plan(e, e->now + ns_of(exponential(e, 86400 / e->p.calls_per_day / rate_at(e))), EV_CALL, who, 0, 0);
}

static void on_call(struct econ *e, uint32_t who)
{
    struct agent *p = &e->agents[who];
    double wants_s = exponential(e, e->p.call_s);
    bool is_counted = e->now >= e->count_from;

    if (p->is_gone)
        return;
    plan_call(e, who);
    if (p->class == ECON_WHITEWASH)
        p->alias = e->next_alias++;
    p->demand_s += wants_s;
    p->n_calls++;
    if (is_counted)
        p->share.calls++;
    if (!attempt(e, who, wants_s, false, is_counted))
        plan(e, e->now + ns_of(SELECT_RETRY_S), EV_RETRY, who, (is_counted ? 0x100 : 0) + 1, wants_s);
}

static void on_retry(struct econ *e, uint32_t who, uint32_t round, double wants_s)
{
    bool is_counted = (round & 0x100) != 0;

    if (!attempt(e, who, wants_s, false, is_counted) && (round & 0xff) < RETRIES)
        plan(e, e->now + ns_of(SELECT_RETRY_S), EV_RETRY, who, round + 1, wants_s);
}

static void count_cut(struct econ *e, uint32_t i)
{
    e->out->cut += e->now >= e->count_from && is_honest(&e->agents[e->calls[i].caller]);
}

/* Make before break: the call is up at another relay before it leaves this one. */
static bool migrate(struct econ *e, uint32_t i, bool as_creditor)
{
    struct call *c = &e->calls[i];
    uint32_t caller = c->caller;
    double left = (double)(c->ends_at - e->now) / NS_PER_S;

    if (!attempt(e, caller, left, as_creditor, false))
        return false;
    e->out->migrated += e->now >= e->count_from;
    return true;
}

/* Is the next tranche funded? If not, and others wait, the caller moves on. */
static void on_tick(struct econ *e, uint32_t i)
{
    struct call *c = &e->calls[i];
    uint32_t payable[FLOW_NEIGHBOURS], serial = c->serial;
    struct flow_path path;
    bool is_contended;

    book(e, c);
    pay_find(e, c->relay, c->caller, payable, pay_payable(e, c->caller, payable), &path);
    if (path.kind != FLOW_NONE && pay_use(e, c->relay, c->caller, &path)) {
        c->grace = false;
        plan(e, e->now + ns_of(LEDGER_TRANCHE_S), EV_TICK, i, serial, 0);
        return;
    }
    is_contended = ledger_load_share(e->agents[c->relay].load, e->now) > LEDGER_CONTENDED;
    if (is_contended && migrate(e, i, true)) {
        finish(e, i);
        return;
    }
    c = &e->calls[i];
    e->out->overrun += is_contended && e->now >= e->count_from;
    c->grace = is_contended;
    if (is_contended)
        plan(e, e->now + ns_of(GRACE_S), EV_GRACE, i, serial, 0);
    else
        plan(e, e->now + ns_of(60), EV_TICK, i, serial, 0);
}

static void on_grace(struct econ *e, uint32_t i)
{
    uint32_t serial = e->calls[i].serial;

    if (migrate(e, i, false)) {
        finish(e, i);
        return;
    }
    if (ledger_load_share(e->agents[e->calls[i].relay].load, e->now) <= LEDGER_CONTENDED) {
        plan(e, e->now + ns_of(60), EV_TICK, i, serial, 0);
        return;
    }
    count_cut(e, i);
    finish(e, i);
}

static void on_end(struct econ *e, uint32_t i, double left)
{
    uint32_t caller = e->calls[i].caller;

    finish(e, i);
    if (left > 0 && left < NEVER_ENDS / 2) { /* stopped for not signing: somewhere else now */
        e->agents[caller].unsigned_stops++;
        attempt(e, caller, left, false, false);
    }
}

static void on_down(struct econ *e, uint32_t v)
{
    struct agent *a = &e->agents[v];
    bool crashes = econ_random(e) * 100 < e->p.crash_pct;

    if (!a->is_gone)
        plan(e, e->now + ns_of(exponential(e, e->off_s)), EV_UP, v, 0, 0);
    set_online(e, v, false);
    if (!crashes && !a->is_gone)
        return; /* drains: what runs may finish */
    while (a->running != NOBODY) {
        uint32_t i = a->running;
        bool is_audit = e->calls[i].is_audit;

        if (!is_audit && !migrate(e, i, false))
            count_cut(e, i);
        finish(e, i);
    }
}

static void on_up(struct econ *e, uint32_t v)
{
    if (e->agents[v].is_gone)
        return;
    set_online(e, v, true);
    pay_present(e, v);
    plan(e, e->now + ns_of(exponential(e, e->p.uptime_s)), EV_DOWN, v, 0, 0);
    plan(e, e->now + NS_PER_S, EV_AUDIT, v, 0, 0);
}

/* A minute at a near relay without an account, and a day for its network. */
static void on_audit(struct econ *e, uint32_t v)
{
    struct agent *a = &e->agents[v];
    uint32_t retry_ms;
    struct choice ch;

    if (!a->is_online || e->p.policy != ECON_LEDGER || a->is_attacker)
        return;
    if (audit_due(a->audits, e->now)) {
        look_around(e, v, CANDIDATES, &ch);
        for (size_t i = 0; i < ch.n; i++) {
            uint32_t relay = ch.relay[i];

            if (econ_pair(e, v, relay, false) != NULL || !audit_may(a->audits, relay + 1, e->today))
                continue;
            if (ledger_admit(e->agents[relay].load, e->now, LEDGER_AUDIT, 1, v + 1, &retry_ms) !=
                LEDGER_ADMIT)
                continue;
            audit_note(a->audits, relay + 1, e->today);
            begin(e, v, relay, LEDGER_AUDIT, AUDIT_S, true);
            break;
        }
    }
    plan(e, a->audits->next_at, EV_AUDIT, v, 0, 0);
}

static void on_leave(struct econ *e)
{
    for (uint32_t v = 0; v < e->n_agents; v++) {
        if (!e->agents[v].is_relay || econ_random(e) >= 0.3)
            continue;
        e->agents[v].is_gone = true;
        if (e->agents[v].is_online)
            on_down(e, v);
    }
}

static void join(struct econ *e, uint32_t v)
{
    struct agent *a = &e->agents[v];

    a->joined_at = e->now;
    plan_call(e, v);
    if (!a->is_relay)
        return;
    if (econ_random(e) * (e->p.uptime_s + e->off_s) < e->p.uptime_s || a->class == ECON_NEWCOMER)
        plan(e, e->now, EV_UP, v, 0, 0);
    else
        plan(e, e->now + ns_of(exponential(e, e->off_s)), EV_UP, v, 0, 0);
}

static void step(struct econ *e, const struct event *ev)
{
    bool is_of_call = ev->type == EV_TICK || ev->type == EV_END || ev->type == EV_GRACE;

    if (is_of_call && e->calls[ev->who].serial != ev->serial)
        return;
    switch (ev->type) {
    case EV_CALL:
        on_call(e, ev->who);
        break;
    case EV_RETRY:
        on_retry(e, ev->who, ev->serial, ev->s);
        break;
    case EV_UP:
        on_up(e, ev->who);
        break;
    case EV_DOWN:
        on_down(e, ev->who);
        break;
    case EV_TICK:
        on_tick(e, ev->who);
        break;
    case EV_GRACE:
        on_grace(e, ev->who);
        break;
    case EV_END:
        on_end(e, ev->who, ev->s);
        break;
    case EV_AUDIT:
        on_audit(e, ev->who);
        break;
    case EV_TRUST:
        base_trust(e);
        plan(e, e->now + TRUST_NS, EV_TRUST, 0, 0, 0);
        break;
    case EV_JOIN:
        join(e, ev->who);
        break;
    case EV_LEAVE:
        on_leave(e);
        break;
    }
}

/* --- the world --- */

static void defaults(struct econ_params *p)
{
#define OR(field, value) p->field = p->field != 0 ? p->field : (value)
    OR(seed, 1);
    OR(n, 1000);
    OR(days, 10);
    OR(free_pct, 80);
    OR(rho, 0.5);
    OR(slots, 1);
    OR(calls_per_day, 12);
    OR(call_s, 600);
    OR(uptime_s, 10800);
    OR(hops, 2);
    OR(tries, SELECT_TRIES);
    OR(stranger_tries, SELECT_TRIES);
    OR(crash_pct, 2);
#undef OR
}

static void make_relay(struct econ *e, uint32_t v)
{
    static const uint32_t sizes[] = {1, 1, 2, 4};
    struct agent *a = &e->agents[v];

    a->is_relay = true;
    a->slots = e->p.heterogeneous ? e->p.slots * sizes[v % 4] : e->p.slots;
    a->load = calloc(1, sizeof *a->load);
    a->audits = calloc(1, sizeof *a->audits);
    ledger_load_init(a->load, 1, a->slots, STRANGERS_PCT);
}

static bool share_of(double pct, uint32_t i, uint32_t n)
{
    return (double)i < pct / 100 * n;
}

static void people(struct econ *e)
{
    struct econ_params *p = &e->p;
    uint32_t relays = (uint32_t)(p->n * (1 - p->free_pct / 100) + 0.5), others = p->n - relays;
    uint32_t first_attacker = relays > p->attackers ? relays - p->attackers : 0;
    double slots = 0, duty, erlang = p->n * p->calls_per_day * p->call_s / 86400;

    for (uint32_t v = 0; v < e->n_agents; v++) {
        struct agent *a = &e->agents[v];
        uint32_t i = v - relays;

        a->alias = v;
        a->x = (float)econ_random(e);
        a->y = (float)econ_random(e);
        a->running = a->promised = NOBODY;
        for (size_t c = 0; c < CONTACTS; c++)
            a->contacts[c] = econ_below(e, p->n);
        a->lies = econ_random(e) * 100 < p->liars_pct;
        a->class = ECON_FREE;
        if (v < relays) {
            a->class = ECON_CONTRIBUTOR;
            make_relay(e, v);
            a->is_attacker = v >= first_attacker;
            a->is_bad = econ_random(e) * 100 < p->bad_pct;
            a->is_defrauder = v > 0 && share_of(p->fraud_pct, (37 * v + 1) % 100, 100);
            a->withholds = share_of(p->withhold_pct, (37 * v + 34) % 100, 100);
            a->inflates = v > 0 && share_of(p->inflate_pct, (37 * v + 67) % 100, 100);
            slots += a->slots;
            if (a->is_attacker)
                a->class = ECON_SYBIL;
        } else if (v >= p->n + p->newcomers) {
            a->class = ECON_SYBIL;
        } else if (v >= p->n) {
            a->class = ECON_NEWCOMER;
            make_relay(e, v);
        } else if (share_of(p->whitewash_pct * p->n / (others > 0 ? others : 1), i, others)) {
            a->class = ECON_WHITEWASH;
        } else if (share_of(p->sponsored_pct * p->n / (others > 0 ? others : 1), others - 1 - i, others)) {
            a->class = ECON_SPONSORED;
            for (int s = 0; s < 2; s++) {
                a->sponsors[s] = econ_below(e, first_attacker);
                econ_pair(e, a->sponsors[s], v, true)->a.sponsor_s = SPONSOR_S;
            }
        }
    }
    duty = slots > 0 ? p->rho * erlang / slots : 1;
    duty = duty > 0.98 ? 0.98 : duty;
    e->off_s = p->uptime_s * (1 - duty) / duty;
}

static void start(struct econ *e)
{
    for (uint32_t v = 0; v < e->n_agents; v++) {
        if (e->agents[v].class == ECON_NEWCOMER)
            plan(e, e->end / 2, EV_JOIN, v, 0, 0);
        else
            join(e, v);
    }
    if (e->p.policy == ECON_EIGENTRUST)
        plan(e, 3600 * NS_PER_S, EV_TRUST, 0, 0, 0);
    if (e->p.departure)
        plan(e, e->end / 2, EV_LEAVE, 0, 0, 0);
}

void econ_run(const struct econ_params *params, struct econ_result *out)
{
    struct econ e = {.p = *params, .out = out, .free_call = NOBODY, .free_promise = NOBODY, .now = NS_PER_S};

    memset(out, 0, sizeof *out);
    defaults(&e.p);
    prng_seed(&e.rng, e.p.seed);
    e.crypto = e.p.real_crypto ? &receipt_ed25519 : pay_mac();
    e.end = ns_of(e.p.days * 86400);
    e.count_from = ns_of(e.p.days * 86400 * 0.4);
    e.today = DAY0;
    e.n_agents = e.p.n + e.p.newcomers + e.p.sybils;
    e.next_alias = e.n_agents;
    e.agents = calloc(e.n_agents, sizeof *e.agents);
    e.online = calloc(e.n_agents, sizeof *e.online);
    e.online_at = calloc(e.n_agents, sizeof *e.online_at);
    people(&e);
    start(&e);
    while (e.n_events > 0) {
        struct event ev = next_event(&e);

        e.now = ev.at;
        e.today = DAY0 + (int32_t)(ev.at / DAY_NS);
        step(&e, &ev);
    }
    econ_report(&e);
    for (uint32_t v = 0; v < e.n_agents; v++) {
        for (uint32_t i = 0; i < e.agents[v].pairs.n; i++)
            free(e.agents[v].pairs.rows[i].more);
        free(e.agents[v].pairs.rows);
        free(e.agents[v].pairs.index);
        free(e.agents[v].known);
        free(e.agents[v].load);
        free(e.agents[v].audits);
    }
    free(e.agents);
    free(e.online);
    free(e.online_at);
    free(e.events);
    free(e.calls);
    free(e.promises);
}
