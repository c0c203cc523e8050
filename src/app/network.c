/* app/network.c - the app's side of netinfo and mainline: whom they ask, and what follows from their news. */
#include "app/app_priv.h"

#include <stdio.h>

#include "base/file.h"
#include "base/log.h"

static void on_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct app *a = arg;

    env_send(a->env, to, bytes);
}

static size_t on_local_addrs(void *arg, struct addr *out, size_t max)
{
    struct app *a = arg;

    return a->config.ops.local_addrs(a->config.ops.arg, out, max);
}

/* Relays first, then full nodes of the zone: all of them answer Binding requests. */
static size_t on_servers(void *arg, struct addr *out, size_t max)
{
    struct app *a = arg;
    struct relays_row rows[RELAYS_KNOWN];
    struct dht_node nodes[RELAYS_KNOWN];
    size_t n_rows = a->relays != NULL ? relays_rows(a->relays, rows, RELAYS_KNOWN) : 0;
    size_t n_nodes = dht_nodes(a->zones[0].dht, nodes, RELAYS_KNOWN), n = 0;

    for (size_t i = 0; i < n_rows && n < max; i++)
        out[n++] = rows[i].addr;
    for (size_t i = 0; i < n_nodes && n < max; i++)
        out[n++] = nodes[i].addr;
    return n;
}

static bool on_seen(void *arg, uint8_t family, struct addr *out)
{
    struct app *a = arg;
    unsigned votes;

    return dht_own_address(a->zones[0].dht, family, out, &votes) ||
           (a->mainline != NULL && mainline_own_address(a->mainline, family, out));
}

static void on_traffic(void *arg, uint64_t *out, uint64_t *in)
{
    struct app *a = arg;
    struct dht_stats s = {0};

    dht_stats(a->zones[0].dht, &s);
    *out = s.msgs_out;
    *in = s.msgs_in;
}

static bool on_gateway(void *arg, struct addr *gateway, struct addr *inside)
{
    struct app *a = arg;

    return a->config.ops.gateway(a->config.ops.arg, gateway, inside);
}

static void on_map_port(void *arg, uint16_t port, bool is_on)
{
    struct app *a = arg;

    a->config.ops.map_port(a->config.ops.arg, port, is_on);
}

static void on_changed(void *arg, ns_t now)
{
    struct app *a = arg;

    a->now = now;
    a->advert_at = a->service_is_relay ? now : a->advert_at;
    a->lookup_due = a->network_at = now; /* tell whoever watches */
    app_publish(a, now);
    if (a->calls != NULL)
        calls_addrs_changed(a->calls, now);
}

/* ---- mainline ---- */

static void on_member(void *arg, ns_t now, const struct addr *addr)
{
    struct app *a = arg;
    char text[ADDR_TEXT_BYTES];

    log_debug(a->env, "mainline names a member of the zone: %s", addr_print(addr, text));
    app_add_address(a, now, addr);
}

static size_t on_members(void *arg)
{
    struct app *a = arg;
    struct dht_stats s = {0};

    dht_stats(a->zones[0].dht, &s);
    return s.peers;
}

/* Only who serves, and whom a stranger's packet reaches, has anything to announce. */
static bool on_reachable(void *arg, uint16_t *port)
{
    struct app *a = arg;
    struct addr own[APP_LOCAL_ADDRS], seen;
    struct netinfo_mapping m;
    size_t n;

    if (config_bool(a->settings, CFG_NET_CLIENT) || a->netinfo == NULL)
        return false;
    if (netinfo_mapping(a->netinfo, &m)) {
        *port = m.outside.port;
        return true;
    }
    n = on_local_addrs(a, own, APP_LOCAL_ADDRS);
    for (size_t i = 0; i < n; i++)
        if (mainline_own_address(a->mainline, own[i].family, &seen) && addr_equal_ip(&seen, &own[i]))
            return true;
    return false;
}

static void on_lonely(void *arg)
{
    struct app *a = arg;

    for (size_t i = 0; i < config_len(a->settings, CFG_NET_ROUTERS); i++) {
        const char *router = config_item(a->settings, CFG_NET_ROUTERS, i);
        struct addr addr;

        if (addr_parse(router, &addr) == ERR_OK)
            mainline_add_address(a->mainline, a->now, &addr);
        else if (a->config.ops.resolve_router != NULL)
            a->config.ops.resolve_router(a->config.ops.arg, router);
    }
}

void app_add_router(struct app *a, ns_t now, const struct addr *addr)
{
    a->now = now;
    if (a->mainline != NULL)
        mainline_add_address(a->mainline, now, addr);
}

static void mainline_start(struct app *a)
{
    struct mainline_config config = {.v4 = config_bool(a->settings, CFG_NET_IPV4),
                                     .v6 = config_bool(a->settings, CFG_NET_IPV6),
                                     .allow_local = config_bool(a->settings, CFG_RELAY_ALLOW_LOCAL)};
    struct mainline_ops ops = {
        .arg = a, .found = on_member, .members = on_members, .reachable = on_reachable, .lonely = on_lonely};

    if (strcmp(config_str(a->settings, CFG_NET_MAINLINE), "client") != 0 || a->zones[0].is_closed)
        return; /* who knows the zone's id would find there where its members are */
    memcpy(config.zone_id, a->zones[0].id, sizeof config.zone_id);
    a->mainline = mainline_create(&config, &ops, a->env);
    bridge_set_mainline(a->bridge, a->mainline);
}

/* Nodes that answered, for the next start: then nobody asks the routers. */
static void mainline_save(struct app *a)
{
    struct dht_node nodes[200];
    char text[200 * ADDR_TEXT_BYTES] = "", one[ADDR_TEXT_BYTES];
    size_t n, len = 0;

    if (a->config.paths.mainline == NULL)
        return;
    n = mainline_nodes(a->mainline, nodes, 200);
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", addr_print(&nodes[i].addr, one));
    if (n > 0)
        file_replace(a->config.paths.mainline, slice_of(text, len), 0600, NULL);
}

static void json_mainline(struct app *a, cJSON *v)
{
    struct mainline_stats s;
    cJSON *m;

    if (a->mainline == NULL) {
        cJSON_AddNullToObject(v, "mainline");
        return;
    }
    mainline_stats(a->mainline, &s);
    m = cJSON_AddObjectToObject(v, "mainline");
    json_add_str(m, "state", s.is_joined ? "joined" : "joining");
    cJSON_AddNumberToObject(m, "peers", s.peers);
    cJSON_AddNumberToObject(m, "found", (double)s.n_found);
    cJSON_AddNumberToObject(m, "announced", (double)s.n_announced);
}

/* ---- both ---- */

void network_create(struct app *a)
{
    struct netinfo_config config = {.port = a->config.port,
                                    .maps_ports = config_bool(a->settings, CFG_NET_PORT_MAPPING) &&
                                                  config_bool(a->settings, CFG_NET_IPV4)};
    struct netinfo_ops ops = {.arg = a,
                              .send = on_send,
                              .local_addrs = on_local_addrs,
                              .servers = on_servers,
                              .seen = on_seen,
                              .traffic = on_traffic,
                              .gateway = a->config.ops.gateway != NULL ? on_gateway : NULL,
                              .map_port = a->config.ops.map_port != NULL ? on_map_port : NULL,
                              .changed = on_changed};

    if (a->config.mode == APP_ECHO)
        return;
    a->netinfo = netinfo_create(&config, &ops, a->env);
    mainline_start(a);
}

void network_destroy(struct app *a, ns_t now)
{
    netinfo_destroy(a->netinfo, now);
    a->netinfo = NULL;
    if (a->mainline == NULL)
        return;
    mainline_save(a);
    bridge_set_mainline(a->bridge, NULL);
    mainline_destroy(a->mainline);
    a->mainline = NULL;
}

ns_t network_deadline(const struct app *a)
{
    ns_t at = a->netinfo != NULL ? netinfo_deadline(a->netinfo) : NS_NEVER;

    return a->mainline != NULL ? ns_min(at, mainline_deadline(a->mainline)) : at;
}

void network_changed(struct app *a, ns_t now)
{
    if (a->netinfo != NULL)
        netinfo_network_changed(a->netinfo, now);
    if (a->mainline != NULL)
        mainline_network_changed(a->mainline, now);
}

void network_tick(struct app *a, ns_t now)
{
    bool has_calls = app_has_calls(a);

    if (a->mainline != NULL && mainline_deadline(a->mainline) <= now)
        mainline_tick(a->mainline, now);
    if (a->netinfo == NULL)
        return;
    if (has_calls && !a->had_calls)
        netinfo_refresh(a->netinfo, now);
    if (has_calls != a->had_calls)
        reach_tell_all(a, now); /* busy, or free again */
    a->had_calls = has_calls;
    if (netinfo_deadline(a->netinfo) <= now)
        netinfo_tick(a->netinfo, now);
}

void app_port_mapped(struct app *a, ns_t now, const struct addr *outside, uint32_t lifetime_s)
{
    a->now = now;
    if (a->netinfo != NULL)
        netinfo_port_mapped(a->netinfo, now, outside, lifetime_s);
}

static void add_port(struct app *a, cJSON *ports)
{
    cJSON *port = cJSON_CreateObject();
    struct netinfo_mapping m;
    bool is_mapped = a->netinfo != NULL && netinfo_mapping(a->netinfo, &m);
    uint16_t outside = a->netinfo != NULL ? netinfo_outside_port(a->netinfo) : 0;

    json_add_str(port, "proto", "udp");
    cJSON_AddNumberToObject(port, "local", a->config.port);
    if (outside != 0)
        cJSON_AddNumberToObject(port, "external", outside);
    else
        cJSON_AddNullToObject(port, "external");
    json_add_str(port, "by", is_mapped ? m.by : NULL);
    json_time(port, "until",
              is_mapped && m.until != NS_NEVER && m.until > a->now
                  ? env_wall_ms(a->env) + (int64_t)((m.until - a->now) / NS_PER_MS)
                  : 0);
    cJSON_AddItemToArray(ports, port);
}

/* Can a packet from anybody reach us: a mapped port or no NAT, yes; else nobody can know without being asked. */
static void add_reach(struct app *a, cJSON *v)
{
    struct netinfo_mapping m;
    enum netinfo_nat nat = a->netinfo != NULL ? netinfo_nat(a->netinfo) : NETINFO_UNKNOWN;
    bool is_mapped = a->netinfo != NULL && netinfo_mapping(a->netinfo, &m);

    if (is_mapped || nat == NETINFO_NONE)
        cJSON_AddBoolToObject(v, "reachable", true);
    else if (nat == NETINFO_BLOCKED)
        cJSON_AddBoolToObject(v, "reachable", false);
    else
        cJSON_AddNullToObject(v, "reachable");
    json_add_str(v, "reach_by", is_mapped ? "mapped port" : nat == NETINFO_NONE ? "public address" : NULL);
}

void json_network_path(struct app *a, cJSON *v)
{
    json_add_str(v, "nat", a->netinfo != NULL ? netinfo_nat_word(a->netinfo) : NULL);
    add_port(a, cJSON_AddArrayToObject(v, "ports"));
    json_add_str(v, "ipv6", a->netinfo != NULL ? netinfo_ipv6_word(a->netinfo) : NULL);
    add_reach(a, v);
    json_mainline(a, v);
}
