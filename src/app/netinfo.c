#include "app/netinfo.h"

#include "base/log.h"
#include "base/mem.h"
#include "nat/portmap.h"
#include "nat/stun_client.h"

#define LOCALS_MAX   16
#define LISTED_MAX   16
#define MIN_V4       2 /* servers of different addresses that tell a mapping */
#define ASK_SOON_NS  (2 * NS_PER_S)
#define ASK_LATE_NS  (64 * NS_PER_S)
#define LOOK_NS      NS_PER_S        /* is the overlay heard */
#define AGAIN_NS     (10 * NS_PER_S) /* netinfo_refresh() at most so often */
#define MAP_FIRST_NS (2 * NS_PER_S)
#define MAP_UPNP_NS  (30 * NS_PER_S) /* its answer comes in 5 s or so; never wait for ever */
#define FRESH_NS     (30 * NS_PER_S) /* older answers predict nothing */
#define PREDICT_MAX  3

struct question {
    struct addr server; /* family ADDR_NONE: free */
    struct addr mapped; /* family ADDR_NONE: not answered yet */
};

/* OFF ──begin──▶ FIRST ──2 s or refused──▶ UPNP ──none──▶ PATIENT ──refused──▶ WAITING ──10 min──▶ FIRST
 *                  └──────mapped───────▶ MAPPED ◀──────────┴─ and back to WAITING when it is lost */
enum map_phase { MAP_OFF, MAP_FIRST, MAP_UPNP, MAP_PATIENT, MAP_MAPPED, MAP_WAITING };

/* What ops.changed is about. */
struct known {
    enum netinfo_nat nat;
    size_t n_addrs;
    struct addr addrs[NETINFO_ADDRS];
    const char *by;
};

struct netinfo {
    struct netinfo_config config;
    struct netinfo_ops ops;
    const struct env *env;
    struct stun_client *stun[2]; /* IPv4, IPv6 */
    struct question asked[NETINFO_SERVERS];
    ns_t round_at, ask_at, backoff, answered_at;
    bool is_complete; /* the round has what it wanted */
    struct addr reflexive[2];
    enum netinfo_nat nat; /* without BLOCKED */
    bool is_by_servers;   /* nat: else by the overlay's votes */
    uint64_t in_before, out_before;
    ns_t look_at, silent_since; /* silent_since NS_NEVER: nothing was asked yet */
    bool is_heard, is_blocked;
    enum map_phase phase;
    ns_t map_at;
    struct portmap *portmap;
    bool is_upnp_on;
    struct netinfo_mapping mapping; /* outside.family ADDR_NONE: none */
    struct known told;
};

static int slot_of(const struct addr *a)
{
    return a->family == ADDR_V6;
}

static size_t locals(const struct netinfo *n, struct addr out[static LOCALS_MAX])
{
    return n->ops.local_addrs(n->ops.arg, out, LOCALS_MAX);
}

static bool is_own(const struct netinfo *n, const struct addr *a)
{
    struct addr own[LOCALS_MAX];
    size_t k = locals(n, own);

    for (size_t i = 0; i < k; i++)
        if (addr_equal(&own[i], a))
            return true;
    return false;
}

/* ---- what the outside sees ---- */

/* What the answers prove; each pair of servers says something. */
static enum netinfo_nat by_servers(const struct netinfo *n)
{
    bool is_one = false, varies = false, varies_by_port = false;

    for (int i = 0; i < NETINFO_SERVERS; i++) {
        const struct question *a = &n->asked[i];

        if (a->mapped.family != ADDR_V4)
            continue;
        if (is_own(n, &a->mapped))
            return NETINFO_NONE;
        for (int k = 0; k < i; k++) {
            const struct question *b = &n->asked[k];
            bool is_equal = addr_equal(&a->mapped, &b->mapped);

            if (b->mapped.family != ADDR_V4)
                continue;
            if (addr_equal_ip(&a->server, &b->server)) {
                varies_by_port = varies_by_port || !is_equal;
            } else {
                is_one = is_one || is_equal;
                varies = varies || !is_equal;
            }
        }
    }
    return varies_by_port ? NETINFO_ADDRESS_PORT
           : varies       ? NETINFO_ADDRESS
           : is_one       ? NETINFO_ENDPOINT
                          : NETINFO_UNKNOWN;
}

static enum netinfo_nat by_votes(const struct netinfo *n)
{
    struct addr seen;

    if (!n->ops.seen(n->ops.arg, ADDR_V4, &seen) || addr_class(&seen) != ADDR_GLOBAL)
        return NETINFO_UNKNOWN;
    if (seen.port == 0)
        return NETINFO_ADDRESS;
    return is_own(n, &seen) ? NETINFO_NONE : NETINFO_ENDPOINT;
}

/* A round that tells nothing does not unsay what an earlier one told. */
static void conclude(struct netinfo *n)
{
    enum netinfo_nat nat = by_servers(n);

    if (nat != NETINFO_UNKNOWN)
        n->is_by_servers = true;
    else if (!n->is_by_servers)
        nat = by_votes(n);
    if (nat != NETINFO_UNKNOWN)
        n->nat = nat;
}

static void look_around(struct netinfo *n, struct known *out)
{
    memset(out, 0, sizeof *out);
    out->nat = netinfo_nat(n);
    out->n_addrs = netinfo_addrs(n, NS_NEVER, out->addrs, NETINFO_ADDRS);
    out->by = n->mapping.outside.family != ADDR_NONE ? n->mapping.by : NULL;
}

static bool is_same(const struct known *a, const struct known *b)
{
    if (a->nat != b->nat || a->by != b->by || a->n_addrs != b->n_addrs)
        return false;
    for (size_t i = 0; i < a->n_addrs; i++)
        if (!addr_equal(&a->addrs[i], &b->addrs[i]))
            return false;
    return true;
}

/* The last act of whoever calls it. */
static void tell(struct netinfo *n, ns_t now)
{
    struct known k;

    look_around(n, &k);
    if (is_same(&k, &n->told))
        return;
    n->told = k;
    if (n->ops.changed != NULL)
        n->ops.changed(n->ops.arg, now);
}

/* ---- asking servers ---- */

static struct question *question_of(struct netinfo *n, const struct addr *server)
{
    for (int i = 0; i < NETINFO_SERVERS; i++)
        if (n->asked[i].server.family != ADDR_NONE && addr_equal(&n->asked[i].server, server))
            return &n->asked[i];
    return NULL;
}

/* Two addresses, a second port of one of them, and one server of IPv6. */
static bool is_wanted(const struct netinfo *n, const struct addr *server)
{
    unsigned n_ips = 0, n_siblings = 0, n_v6 = 0;
    bool is_sibling = false;

    if (addr_class(server) != ADDR_GLOBAL || server->port == 0)
        return false;
    for (int i = 0; i < NETINFO_SERVERS; i++) {
        const struct addr *a = &n->asked[i].server;
        bool has_sibling = false;

        if (a->family == ADDR_NONE)
            continue;
        if (addr_equal(a, server))
            return false;
        n_v6 += a->family == ADDR_V6;
        for (int k = 0; k < i; k++)
            has_sibling = has_sibling || addr_equal_ip(a, &n->asked[k].server);
        n_siblings += has_sibling;
        n_ips += a->family == ADDR_V4 && !has_sibling;
        is_sibling = is_sibling || addr_equal_ip(a, server);
    }
    if (server->family == ADDR_V6)
        return n_v6 == 0;
    return is_sibling ? n_siblings == 0 : n_ips < MIN_V4;
}

static void ask(struct netinfo *n, ns_t now)
{
    struct addr list[LISTED_MAX];
    size_t n_listed = n->ops.servers(n->ops.arg, list, LISTED_MAX);

    for (size_t i = 0; i < n_listed; i++) {
        static const struct addr none = {.family = ADDR_NONE};
        struct question *q = NULL;

        for (int k = 0; k < NETINFO_SERVERS && q == NULL; k++)
            if (n->asked[k].server.family == ADDR_NONE)
                q = &n->asked[k];
        if (q == NULL)
            return;
        if (!is_wanted(n, &list[i]) || is_own(n, &list[i]) ||
            stun_client_ask(n->stun[slot_of(&list[i])], now, &list[i]) != ERR_OK)
            continue;
        *q = (struct question){.server = list[i], .mapped = none};
    }
}

static void begin_round(struct netinfo *n, ns_t now)
{
    memset(n->asked, 0, sizeof n->asked);
    n->round_at = now;
    n->is_complete = false;
    n->backoff = ASK_SOON_NS;
    n->ask_at = now;
}

static void ask_on(struct netinfo *n, ns_t now)
{
    if (now >= n->round_at + NETINFO_REFRESH_NS)
        begin_round(n, now);
    ask(n, now);
    conclude(n);
    n->ask_at = n->round_at + NETINFO_REFRESH_NS;
    if (!n->is_complete) {
        n->ask_at = ns_min(n->ask_at, now + n->backoff);
        n->backoff = ns_min(2 * n->backoff, ASK_LATE_NS);
    }
}

static void stun_out(void *arg, const struct addr *to, struct slice bytes)
{
    struct netinfo *n = arg;

    n->ops.send(n->ops.arg, to, bytes);
}

static void stun_answer(void *arg, ns_t now, const struct addr *server, enum err result,
                        const struct addr *mapped)
{
    struct netinfo *n = arg;
    struct question *q = question_of(n, server);
    unsigned n_v4 = 0;

    if (q == NULL)
        return;
    if (result != ERR_OK || mapped->family != server->family || addr_class(mapped) != ADDR_GLOBAL) {
        memset(q, 0, sizeof *q); /* room for another server */
        return;
    }
    q->mapped = *mapped;
    n->reflexive[slot_of(mapped)] = *mapped;
    n->answered_at = now;
    for (int i = 0; i < NETINFO_SERVERS; i++) {
        bool is_sibling = false;

        for (int k = 0; k < i; k++)
            is_sibling = is_sibling || addr_equal_ip(&n->asked[i].server, &n->asked[k].server);
        n_v4 += n->asked[i].mapped.family == ADDR_V4 && !is_sibling;
    }
    n->is_complete = n_v4 >= MIN_V4;
    if (n->is_complete)
        n->ask_at = n->round_at + NETINFO_REFRESH_NS;
    conclude(n);
    tell(n, now);
}

static const struct stun_client_ops stun_callbacks = {.send = stun_out, .answer = stun_answer};

void netinfo_refresh(struct netinfo *n, ns_t now)
{
    if (now < n->round_at + AGAIN_NS || (n->nat != NETINFO_ADDRESS && n->nat != NETINFO_ADDRESS_PORT))
        return;
    begin_round(n, now);
}

/* ---- is UDP let through at all ---- */

static void look(struct netinfo *n, ns_t now)
{
    struct addr own[LOCALS_MAX];
    uint64_t out, in;

    n->ops.traffic(n->ops.arg, &out, &in);
    n->look_at = now + LOOK_NS;
    if (in != n->in_before) {
        n->is_heard = true;
        n->is_blocked = false;
        n->look_at = NS_NEVER;
        return;
    }
    if (out == n->out_before || locals(n, own) == 0) {
        n->silent_since = NS_NEVER;
        return;
    }
    n->silent_since = ns_min(n->silent_since, now);
    n->is_blocked = now >= n->silent_since + NETINFO_BLOCKED_NS;
}

/* ---- the router's port ---- */

static void map_out(void *arg, const struct addr *to, struct slice bytes)
{
    struct netinfo *n = arg;

    n->ops.send(n->ops.arg, to, bytes);
}

/* What follows is done by map_tick(): the port mapper is on the stack here. */
static void map_state(void *arg, ns_t now, enum portmap_state state, const struct addr *outside)
{
    struct netinfo *n = arg;

    (void)outside;
    if (state != PORTMAP_IDLE)
        n->map_at = now;
}

static const struct portmap_ops map_callbacks = {.send = map_out, .state = map_state};

static void unmap(struct netinfo *n, ns_t now)
{
    if (n->portmap != NULL) {
        portmap_stop(n->portmap, now);
        portmap_destroy(n->portmap);
    }
    n->portmap = NULL;
    if (n->is_upnp_on)
        n->ops.map_port(n->ops.arg, n->config.port, false);
    n->is_upnp_on = false;
    memset(&n->mapping, 0, sizeof n->mapping);
}

static void map_enter(struct netinfo *n, ns_t now, enum map_phase phase, ns_t span)
{
    n->phase = phase;
    n->map_at = span == NS_NEVER ? NS_NEVER : now + span;
}

static bool map_start(struct netinfo *n, ns_t now)
{
    struct portmap_config config = {0};

    if (!n->ops.gateway(n->ops.arg, &config.gateway, &config.inside) ||
        addr_class(&config.inside) == ADDR_GLOBAL)
        return false; /* nobody to ask, or nothing to ask for */
    config.inside.port = n->config.port;
    n->portmap = portmap_create(&config, &map_callbacks, n, n->env);
    portmap_start(n->portmap, now);
    return true;
}

/* One lifetime from a renewal that is due at half of it. */
static void map_until(struct netinfo *n, ns_t now)
{
    ns_t due = portmap_deadline(n->portmap);

    if (due != NS_NEVER && due > now)
        n->mapping.until = now + 2 * (due - now);
}

static void map_mapped(struct netinfo *n, ns_t now)
{
    const struct addr *outside = portmap_outside(n->portmap);
    char text[ADDR_TEXT_BYTES];

    if (addr_class(outside) != ADDR_GLOBAL) { /* a router behind a router */
        unmap(n, now);
        map_enter(n, now, MAP_WAITING, NETINFO_REFRESH_NS);
        return;
    }
    n->mapping.outside = *outside;
    n->mapping.by = portmap_protocol(n->portmap);
    map_until(n, now);
    map_enter(n, now, MAP_MAPPED, NS_NEVER);
    log_info(n->env, "router maps %s to us by %s", addr_print(outside, text), n->mapping.by);
}

static void map_ask_upnp(struct netinfo *n, ns_t now)
{
    if (n->ops.map_port == NULL) {
        map_enter(n, now, MAP_PATIENT, NS_NEVER);
        return;
    }
    unmap(n, now);
    map_enter(n, now, MAP_UPNP, MAP_UPNP_NS);
    n->is_upnp_on = true;
    n->ops.map_port(n->ops.arg, n->config.port, true);
}

static void map_tick(struct netinfo *n, ns_t now)
{
    bool is_mapped =
        n->portmap != NULL && portmap_outside(n->portmap)->family != ADDR_NONE && n->phase != MAP_UPNP;

    switch (n->phase) {
    case MAP_OFF:
    case MAP_WAITING:
        unmap(n, now);
        map_enter(n, now, MAP_FIRST, MAP_FIRST_NS);
        if (!map_start(n, now))
            map_enter(n, now, MAP_WAITING, NETINFO_REFRESH_NS);
        break;
    case MAP_FIRST:
        if (is_mapped)
            map_mapped(n, now);
        else
            map_ask_upnp(n, now);
        break;
    case MAP_UPNP: /* no, or no answer */
        unmap(n, now);
        map_enter(n, now, MAP_PATIENT, NS_NEVER);
        if (!map_start(n, now))
            map_enter(n, now, MAP_WAITING, NETINFO_REFRESH_NS);
        break;
    default: /* PATIENT, MAPPED: something came of it */
        if (is_mapped) {
            map_mapped(n, now);
        } else {
            unmap(n, now);
            map_enter(n, now, MAP_WAITING, NETINFO_REFRESH_NS);
        }
        break;
    }
    tell(n, now);
}

void netinfo_port_mapped(struct netinfo *n, ns_t now, const struct addr *outside, uint32_t lifetime_s)
{
    char text[ADDR_TEXT_BYTES];

    if (!n->is_upnp_on)
        return;
    if (addr_class(outside) == ADDR_GLOBAL) {
        n->mapping =
            (struct netinfo_mapping){.outside = *outside,
                                     .by = "upnp",
                                     .until = lifetime_s > 0 ? now + lifetime_s * NS_PER_S : NS_NEVER};
        map_enter(n, now, MAP_MAPPED, NS_NEVER);
        log_info(n->env, "router maps %s to us by upnp", addr_print(outside, text));
        tell(n, now);
        return;
    }
    memset(&n->mapping, 0, sizeof n->mapping);
    map_enter(n, now, MAP_UPNP, 0);
    tell(n, now);
}

/* ---- the whole ---- */

static void start(struct netinfo *n, ns_t now)
{
    begin_round(n, now);
    n->silent_since = NS_NEVER;
    n->look_at = now;
    n->is_heard = n->is_blocked = n->is_by_servers = false;
    n->nat = NETINFO_UNKNOWN;
    memset(n->reflexive, 0, sizeof n->reflexive);
    n->ops.traffic(n->ops.arg, &n->out_before, &n->in_before);
    map_enter(n, now, MAP_OFF, n->config.maps_ports && n->ops.gateway != NULL ? 0 : NS_NEVER);
    for (int i = 0; i < 2; i++) { /* what others answered elsewhere is no answer here */
        stun_client_destroy(n->stun[i]);
        n->stun[i] = stun_client_create(&stun_callbacks, n, n->env);
    }
}

struct netinfo *netinfo_create(const struct netinfo_config *config, const struct netinfo_ops *ops,
                               const struct env *env)
{
    struct netinfo *n = mem_alloc(sizeof *n);

    n->config = *config;
    n->ops = *ops;
    n->env = env;
    start(n, 0);
    return n;
}

void netinfo_destroy(struct netinfo *n, ns_t now)
{
    if (n == NULL)
        return;
    unmap(n, now);
    for (int i = 0; i < 2; i++)
        stun_client_destroy(n->stun[i]);
    env_defer(n->env, mem_free, n);
}

void netinfo_network_changed(struct netinfo *n, ns_t now)
{
    unmap(n, now);
    start(n, now);
    tell(n, now);
}

bool netinfo_input(struct netinfo *n, ns_t now, const struct addr *from, struct slice bytes)
{
    if (n->portmap != NULL && from->port == PORTMAP_PORT && portmap_input(n->portmap, now, from, bytes)) {
        if (n->phase == MAP_MAPPED && portmap_outside(n->portmap)->family != ADDR_NONE)
            map_until(n, now);
        return true;
    }
    return stun_is_message(bytes) && stun_client_input(n->stun[slot_of(from)], now, from, bytes);
}

void netinfo_tick(struct netinfo *n, ns_t now)
{
    if (n->portmap != NULL && portmap_deadline(n->portmap) <= now)
        portmap_tick(n->portmap, now);
    if (n->map_at <= now)
        map_tick(n, now);
    for (int i = 0; i < 2; i++)
        if (stun_client_deadline(n->stun[i]) <= now)
            stun_client_tick(n->stun[i], now);
    if (n->ask_at <= now)
        ask_on(n, now);
    if (n->look_at <= now)
        look(n, now);
    tell(n, now);
}

ns_t netinfo_deadline(const struct netinfo *n)
{
    ns_t at = ns_min(ns_min(n->ask_at, n->look_at), n->map_at);

    if (n->portmap != NULL)
        at = ns_min(at, portmap_deadline(n->portmap));
    return ns_min(at, ns_min(stun_client_deadline(n->stun[0]), stun_client_deadline(n->stun[1])));
}

enum netinfo_nat netinfo_nat(const struct netinfo *n)
{
    return n->is_blocked ? NETINFO_BLOCKED : n->nat;
}

const char *netinfo_nat_word(const struct netinfo *n)
{
    static const char *const words[] = {[NETINFO_UNKNOWN] = NULL,
                                        [NETINFO_NONE] = "none (public)",
                                        [NETINFO_ENDPOINT] = "endpoint-independent",
                                        [NETINFO_ADDRESS] = "address-dependent",
                                        [NETINFO_ADDRESS_PORT] = "address-and-port-dependent",
                                        [NETINFO_BLOCKED] = "blocked (no UDP)"};

    return words[netinfo_nat(n)];
}

const char *netinfo_ipv6_word(const struct netinfo *n)
{
    struct addr own[LOCALS_MAX], seen = n->reflexive[1];
    size_t k = locals(n, own);
    bool is_seen = seen.family == ADDR_V6 || n->ops.seen(n->ops.arg, ADDR_V6, &seen), has_global = false;

    for (size_t i = 0; i < k; i++) {
        if (own[i].family != ADDR_V6 || addr_class(&own[i]) != ADDR_GLOBAL)
            continue;
        has_global = true;
        if (is_seen && addr_equal(&own[i], &seen))
            return "public";
    }
    return has_global ? NULL : "none";
}

bool netinfo_mapping(const struct netinfo *n, struct netinfo_mapping *out)
{
    *out = n->mapping;
    return n->mapping.outside.family != ADDR_NONE;
}

size_t netinfo_addrs(const struct netinfo *n, ns_t now, struct addr *out, size_t max)
{
    struct addr all[2 + 1 + PREDICT_MAX];
    size_t n_all = 0, k = 0;

    if (n->mapping.outside.family != ADDR_NONE)
        all[n_all++] = n->mapping.outside;
    for (int i = 0; i < 2; i++)
        if (n->reflexive[i].family != ADDR_NONE)
            all[n_all++] = n->reflexive[i];
    if (n->is_complete && now < n->answered_at + FRESH_NS)
        n_all += stun_client_predict(n->stun[0], all + n_all, PREDICT_MAX);
    for (size_t i = 0; i < n_all && k < max; i++) {
        bool is_known = is_own(n, &all[i]);

        for (size_t j = 0; j < k; j++)
            is_known = is_known || addr_equal(&out[j], &all[i]);
        if (!is_known)
            out[k++] = all[i];
    }
    return k;
}

uint16_t netinfo_outside_port(const struct netinfo *n)
{
    struct addr seen;

    if (n->mapping.outside.family != ADDR_NONE)
        return n->mapping.outside.port;
    if (n->nat != NETINFO_NONE && n->nat != NETINFO_ENDPOINT)
        return 0;
    if (n->reflexive[0].family != ADDR_NONE)
        return n->reflexive[0].port;
    return n->ops.seen(n->ops.arg, ADDR_V4, &seen) ? seen.port : 0;
}
