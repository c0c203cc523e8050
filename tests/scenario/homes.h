/* tests/scenario/homes.h - the stage of most stories: two homes, a volunteer's relay, two more nodes. */
#ifndef ITO_SCENARIO_HOMES_H
#define ITO_SCENARIO_HOMES_H

#include <stdio.h>
#include <stdlib.h>

#include "sim/phone.h"
#include "unit/test.h"

#define SECONDS(n) ((n)*NS_PER_S)

struct homes {
    struct vnet *net;
    struct vnet_nat *nat_a, *nat_b;
    struct sim_phone *alice, *bob, *relay, *boot, *third;
    const char *settings;          /* of alice and bob, or NULL */
    bool is_early;                 /* the story begins 2 s after they start, not 20 */
    void (*made)(struct homes *h); /* called when they are, before anything is sent; or NULL */
};

static inline struct vnet *new_net(uint64_t seed)
{
    struct vnet *net = vnet_create(seed);

    if (getenv("SIM_LOG") != NULL)
        vnet_log_level(net, LOG_DEBUG);
    printf("seed %llu\n", (unsigned long long)seed);
    return net;
}

/* A phone, relay or node without a router, 15 to 25 ms from everybody; it begins with `first`, unless that is NULL. */
static inline struct sim_phone *add_in_the_open(struct vnet *net, struct sim_phone *first, const char *name,
                                                const char *ip_port, enum app_mode mode, const char *settings)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS, .jitter_ns = 10 * NS_PER_MS};
    struct vnet_host *host = vnet_add_host(net, NULL, name, ip_port);
    struct sim_phone *p = sim_phone_create(net, host, mode, settings);

    vnet_set_link(host, &link);
    if (first != NULL)
        sim_bootstrap(p, first);
    return p;
}

/* Wait for a state (and path) of the newest call; says what there is instead when it does not come. */
static inline bool reach(struct sim_phone *p, const char *state, const char *path, ns_t span)
{
    struct sim_wait w = {.p = p, .state = state, .path = path};

    if (sim_reached(&w) || vnet_run_for(p->net, span, sim_reached, &w))
        return true;
    fprintf(stderr, "%s: wanted %s, is %s, cause %s, path %s (seen %s)\n", vnet_name(p->host), state,
            p->state, p->cause, p->path, p->paths_seen);
    return false;
}

static inline void wait_for(struct homes *h, unsigned seconds)
{
    vnet_run_for(h->net, SECONDS(seconds), NULL, NULL);
}

/* settings: of alice and bob, NULL: those of every phone here. */
static inline void build_homes_with(struct homes *h, uint64_t seed, enum vnet_behaviour mapping,
                                    bool has_relay, const char *settings)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    const struct vnet_nat_config nat = {.mapping = mapping,
                                        .filtering = VNET_APD,
                                        .ports = mapping == VNET_EI ? VNET_PORTS_KEEP : VNET_PORTS_RANDOM};
    struct vnet_host *hosts[5];

    h->net = new_net(seed);
    h->nat_a = vnet_add_nat(h->net, NULL, "203.0.113.1", &nat);
    h->nat_b = vnet_add_nat(h->net, NULL, "203.0.113.2", &nat);
    hosts[0] = vnet_add_host(h->net, h->nat_a, "alice", "192.168.1.2:4000");
    hosts[1] = vnet_add_host(h->net, h->nat_b, "bob", "192.168.1.2:4000");
    hosts[2] = vnet_add_host(h->net, NULL, "relay", "198.51.100.20:4000");
    hosts[3] = vnet_add_host(h->net, NULL, "boot", "198.51.100.30:4000");
    hosts[4] = vnet_add_host(h->net, NULL, "third", "203.0.113.40:4000");
    for (int i = 0; i < 5; i++)
        vnet_set_link(hosts[i], &link);
    h->boot = sim_phone_create(h->net, hosts[3], APP_DAEMON, NULL);
    h->relay = sim_phone_create(h->net, hosts[2], has_relay ? APP_RELAY : APP_DAEMON, NULL);
    h->third = sim_phone_create(h->net, hosts[4], APP_DAEMON, NULL);
    h->alice = sim_phone_create(h->net, hosts[0], APP_DAEMON, settings);
    h->bob = sim_phone_create(h->net, hosts[1], APP_DAEMON, settings);
    if (h->made != NULL)
        h->made(h);
    sim_bootstrap(h->relay, h->boot);
    sim_bootstrap(h->third, h->boot);
    sim_bootstrap(h->alice, h->boot);
    sim_bootstrap(h->bob, h->boot);
    wait_for(h, h->is_early ? 2 : 20);
}

static inline void build_homes(struct homes *h, uint64_t seed, enum vnet_behaviour mapping, bool has_relay)
{
    build_homes_with(h, seed, mapping, has_relay, h->settings);
}

/* The same, and alice and bob are contacts who know each other's records. */
static inline void build_friends(struct homes *h, uint64_t seed, enum vnet_behaviour mapping)
{
    build_homes(h, seed, mapping, true);
    sim_befriend(h->alice, "Bob", h->bob, "Alice");
    wait_for(h, 20);
}

/* alice calls, bob answers. */
static inline void talk(struct homes *h)
{
    assert_true(sim_ask(h->alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(h->alice, "ringing", NULL, SECONDS(5)));
    assert_true(reach(h->bob, "incoming", NULL, SECONDS(1)));
    assert_true(sim_ask(h->bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(h->alice, "in_call", NULL, SECONDS(2)));
    assert_true(reach(h->bob, "in_call", NULL, SECONDS(2)));
}

static inline void tear_down(struct homes *h)
{
    sim_phone_destroy(h->alice);
    sim_phone_destroy(h->bob);
    sim_phone_destroy(h->relay);
    sim_phone_destroy(h->boot);
    sim_phone_destroy(h->third);
    vnet_destroy(h->net);
}

#endif
