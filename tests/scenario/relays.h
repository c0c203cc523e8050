/* tests/scenario/relays.h - the homes of homes.h with up to three relays in other networks. */
#ifndef ITO_SCENARIO_RELAYS_H
#define ITO_SCENARIO_RELAYS_H

#include "scenario/homes.h"

struct warm {
    struct homes h;
    struct sim_phone *relay[3]; /* relay[0] is h.relay */
    unsigned n_relays;
};

static inline void add_relay(struct warm *w, const char *name, const char *ip_port)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    struct vnet_host *host = vnet_add_host(w->h.net, NULL, name, ip_port);

    vnet_set_link(host, &link);
    w->relay[w->n_relays] = sim_phone_create(w->h.net, host, APP_RELAY, NULL);
    sim_bootstrap(w->relay[w->n_relays++], w->h.boot);
}

/* alice and bob, contacts, behind routers of that kind, with n relays in other networks. */
static inline void build_warm(struct warm *w, uint64_t seed, enum vnet_behaviour mapping, unsigned n,
                              const char *settings)
{
    memset(w, 0, sizeof *w);
    build_homes_with(&w->h, seed, mapping, true, settings);
    w->relay[0] = w->h.relay;
    w->n_relays = 1;
    if (n > 1)
        add_relay(w, "relay2", "203.0.113.50:4000");
    if (n > 2)
        add_relay(w, "relay3", "192.0.2.60:4000");
    wait_for(&w->h, 20);
    sim_befriend(w->h.alice, "Bob", w->h.bob, "Alice");
    wait_for(&w->h, 20);
}

static inline void tear_down_warm(struct warm *w)
{
    for (unsigned i = 1; i < w->n_relays; i++)
        sim_phone_destroy(w->relay[i]);
    tear_down(&w->h);
}

static inline cJSON *ask_json(struct sim_phone *p, const char *cmd)
{
    assert_true(sim_ask(p, "{\"id\":9,\"cmd\":\"%s\"}", cmd));
    return cJSON_Parse(p->answer);
}

static inline double relay_number(struct sim_phone *p, const char *key)
{
    cJSON *v = ask_json(p, "status");
    double n = json_num(cJSON_GetObjectItem(cJSON_GetObjectItem(v, "status"), "relay"), key, -1);

    cJSON_Delete(v);
    return n;
}

/* Which relay carries: the one that counts a running call. */
static inline struct sim_phone *carrier(struct warm *w)
{
    struct sim_phone *best = NULL;
    double most = 0;

    for (unsigned i = 0; i < w->n_relays; i++) {
        double kbps = relay_number(w->relay[i], "kbps_in");

        if (kbps > most) {
            most = kbps;
            best = w->relay[i];
        }
    }
    assert_non_null(best);
    return best;
}

#endif
