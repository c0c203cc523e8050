/* Members of a zone who know nobody of it: the public BitTorrent DHT leads them to each other. */
#include "scenario/homes.h"

#include "app/mainline.h"
#include "crypto/item.h"

#define N_NODES 12
#define ROUTERS "{\"net\": {\"routers\": [\"198.51.100.100:6881\", \"198.51.100.101:6881\"]}}"

/* A node of the public DHT that serves. */
struct node {
    struct vnet_host *host;
    struct dht *dht;
    uint64_t n_in; /* packets of phones and their routers: those have low numbers here */
    unsigned n_puts_of_phones, n_puts_of_relay;
};

static void node_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct node *n = arg;

    n->n_in += from->ip[3] < 100;
    if (memmem(bytes.data, bytes.len, "1:q3:put", 8) != NULL) {
        n->n_puts_of_phones += from->ip[3] < 20;
        n->n_puts_of_relay += from->ip[3] == 20;
    }
    dht_input(n->dht, now, from, bytes);
}

static ns_t node_deadline(void *arg)
{
    return dht_deadline(((struct node *)arg)->dht);
}

static void node_tick(void *arg, ns_t now)
{
    dht_tick(((struct node *)arg)->dht, now);
}

static void start_nodes(struct vnet *net, struct node *nodes)
{
    static const struct clock_ops ops = {.deadline = node_deadline, .tick = node_tick};
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};

    for (unsigned i = 0; i < N_NODES; i++) {
        struct dht_config config = {.profile = DHT_MAINLINE, .seed = {(uint8_t)(i + 1)}};
        char name[16], at[32];

        snprintf(name, sizeof name, "node%u", i);
        snprintf(at, sizeof at, "%s.%u:6881", i % 2 == 0 ? "198.51.100" : "203.0.113",
                 100 + i / 2 * (i % 2) + i);
        nodes[i].host = vnet_add_host(net, NULL, name, at);
        vnet_set_link(nodes[i].host, &link);
        nodes[i].dht = dht_create(&config, vnet_env(nodes[i].host));
        vnet_on_recv(nodes[i].host, node_recv, &nodes[i]);
        vnet_drive(nodes[i].host, &ops, &nodes[i]);
        if (i > 0)
            dht_add_address(nodes[i].dht, vnet_now(net), vnet_addr(nodes[0].host));
    }
}

static double network_number(struct sim_phone *p, const char *part, const char *key)
{
    const cJSON *network;
    double n;
    cJSON *v;

    assert_true(sim_ask(p, "{\"id\":9,\"cmd\":\"status\"}"));
    v = cJSON_Parse(p->answer);
    network = cJSON_GetObjectItem(cJSON_GetObjectItem(v, "status"), "network");
    n = json_num(part != NULL ? cJSON_GetObjectItem(network, part) : network, key, -1);
    cJSON_Delete(v);
    return n;
}

/* Nobody names anybody: relay, alice and bob only know where the public DHT begins. */
static void build(struct homes *h, struct node *nodes, uint64_t seed, const char *settings)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    const struct vnet_nat_config nat = {.mapping = VNET_EI, .filtering = VNET_APD, .ports = VNET_PORTS_KEEP};
    struct vnet_host *hosts[3];

    h->net = new_net(seed);
    start_nodes(h->net, nodes);
    wait_for(h, 20);
    h->nat_a = vnet_add_nat(h->net, NULL, "203.0.113.1", &nat);
    h->nat_b = vnet_add_nat(h->net, NULL, "203.0.113.2", &nat);
    hosts[0] = vnet_add_host(h->net, h->nat_a, "alice", "192.168.1.2:4000");
    hosts[1] = vnet_add_host(h->net, h->nat_b, "bob", "192.168.1.2:4000");
    hosts[2] = vnet_add_host(h->net, NULL, "relay", "198.51.100.20:4000");
    for (int i = 0; i < 3; i++)
        vnet_set_link(hosts[i], &link);
    h->relay = sim_phone_create(h->net, hosts[2], APP_RELAY, settings);
    wait_for(h, 10);
    h->alice = sim_phone_create(h->net, hosts[0], APP_DAEMON, settings);
    h->bob = sim_phone_create(h->net, hosts[1], APP_DAEMON, settings);
}

static void end(struct homes *h, struct node *nodes)
{
    for (unsigned i = 0; i < N_NODES; i++)
        dht_destroy(nodes[i].dht);
    tear_down(h);
}

static void found(void **state)
{
    struct node nodes[N_NODES] = {{0}};
    struct homes h = {0};

    (void)state;
    build(&h, nodes, 51, ROUTERS);
    wait_for(
        &h,
        60); /* the relay learns that it is public, and announces itself; who looked too early looks again */
    assert_true(network_number(h.relay, "mainline", "announced") >= 8);
    assert_true(network_number(h.alice, "mainline", "found") >= 1);
    assert_true(network_number(h.alice, NULL, "peers") >= 1);
    assert_true(network_number(h.bob, NULL, "peers") >= 1);
    assert_int_equal((int)network_number(h.alice, "mainline", "announced"),
                     0); /* behind a router: nothing to tell */
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 20);
    talk(&h);
    assert_true(reach(h.alice, "in_call", "direct_punched", SECONDS(5)));
    end(&h, nodes);
}

static void off(void **state)
{
    struct node nodes[N_NODES] = {{0}};
    struct homes h = {0};
    uint64_t before = 0, after = 0;

    (void)state;
    build(&h, nodes, 52,
          "{\"net\": {\"mainline\": \"off\", \"routers\": [\"198.51.100.100:6881\", "
          "\"198.51.100.101:6881\"]}}");
    for (unsigned i = 0; i < N_NODES; i++)
        before += nodes[i].n_in;
    wait_for(&h, 40);
    assert_int_equal((int)network_number(h.alice, NULL, "peers"), 0);
    assert_int_equal((int)network_number(h.alice, "mainline", "peers"), -1); /* null */
    for (unsigned i = 0; i < N_NODES; i++)
        after += nodes[i].n_in;
    assert_int_equal(before + after, 0);
    end(&h, nodes);
}

/* What a phone that has found its place costs itself and others in an hour. */
static void idle(void **state)
{
    struct node nodes[N_NODES] = {{0}};
    struct homes h = {0};
    uint64_t before = 0, after = 0;

    (void)state;
    build(&h, nodes, 53, ROUTERS);
    wait_for(&h, 120);
    for (unsigned i = 0; i < N_NODES; i++)
        before += nodes[i].n_in;
    wait_for(&h, 3600);
    for (unsigned i = 0; i < N_NODES; i++)
        after += nodes[i].n_in;
    print_message("packets of two phones and a relay to the public DHT in an hour: %llu\n",
                  (unsigned long long)(after - before));
    assert_true(after - before < 400);
    end(&h, nodes);
}

/* The object alone, on a host of its own. */
struct alone {
    struct vnet_host *host;
    struct mainline *m;
    const struct addr *router;
    unsigned n_lonely, n_values, n_done;
    int64_t seq, refuse_seq;
    enum err e;
};

static void alone_found(void *arg, ns_t now, const struct addr *addr)
{
    (void)arg, (void)now, (void)addr;
}

static size_t alone_members(void *arg)
{
    (void)arg;
    return MAINLINE_ENOUGH;
}

static bool alone_reachable(void *arg, uint16_t *port)
{
    (void)arg, (void)port;
    return false;
}

static void alone_lonely(void *arg)
{
    struct alone *a = arg;

    if (++a->n_lonely >= 2) /* the first time nobody has an answer */
        mainline_add_address(a->m, 0, a->router);
}

static void alone_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    mainline_input(((struct alone *)arg)->m, now, from, bytes);
}

static ns_t alone_deadline(void *arg)
{
    return mainline_deadline(((struct alone *)arg)->m);
}

static void alone_tick(void *arg, ns_t now)
{
    mainline_tick(((struct alone *)arg)->m, now);
}

static bool alone_value(void *arg, const struct item *item)
{
    struct alone *a = arg;

    if (item->seq == a->refuse_seq)
        return false;
    a->n_values++;
    a->seq = item->seq;
    return true;
}

static void alone_done(void *arg, enum err e, const struct dht_result *result)
{
    struct alone *a = arg;

    (void)result;
    a->n_done++;
    a->e = e;
}

static void start_alone(struct alone *a, struct vnet *net, const char *at, const struct addr *router)
{
    static const struct clock_ops ops = {.deadline = alone_deadline, .tick = alone_tick};
    const struct mainline_config config = {.v4 = true, .v6 = true};
    const struct mainline_ops mainline = {.arg = a,
                                          .found = alone_found,
                                          .members = alone_members,
                                          .reachable = alone_reachable,
                                          .lonely = alone_lonely};

    a->router = router;
    a->host = vnet_add_host(net, NULL, at, at);
    a->m = mainline_create(&config, &mainline, vnet_env(a->host));
    vnet_on_recv(a->host, alone_recv, a);
    vnet_drive(a->host, &ops, a);
}

/* A family without a node delays nothing, a value that is refused is not the last word, cancelled is silent. */
static void items(void **state)
{
    struct node nodes[N_NODES] = {{0}};
    struct alone a = {0}, b = {0};
    struct vnet *net = new_net(54);
    uint8_t seed[32] = {7}, X[KEY_BYTES] = {8};
    struct mainline_stats s;
    struct sign_key key;
    struct item item;

    (void)state;
    start_nodes(net, nodes);
    start_alone(&a, net, "203.0.113.50:7000", vnet_addr(nodes[0].host));
    start_alone(&b, net, "203.0.113.51:7000", vnet_addr(nodes[1].host));
    vnet_run_for(net, SECONDS(30), NULL, NULL);
    mainline_stats(a.m, &s);
    assert_true(s.is_joined && s.peers >= 8 && a.n_lonely >= 2);
    sign_key_from_seed(seed, &key);
    assert_int_equal(item_build(vnet_env(a.host), ITEM_DEV, &key, X, 20779, 5, slice_str("hello"), &item),
                     ERR_OK);
    assert_true(mainline_put(a.m, vnet_now(net), &item, alone_done, &a) != 0); /* one family is joined */
    vnet_run_for(net, SECONDS(5), NULL, NULL);
    assert_int_equal(a.n_done, 1);
    assert_int_equal(a.e, ERR_OK);
    assert_true(mainline_get(b.m, vnet_now(net), item.k, 0, alone_value, alone_done, &b) != 0);
    vnet_run_for(net, SECONDS(2), NULL, NULL);
    assert_int_equal(b.n_values, 1);
    assert_int_equal(b.seq, 5);
    assert_int_equal(b.n_done, 1);
    assert_int_equal(b.e, ERR_OK);
    b.refuse_seq = 5;
    mainline_get(b.m, vnet_now(net), item.k, 0, alone_value, alone_done, &b);
    vnet_run_for(net, SECONDS(5), NULL, NULL);
    assert_int_equal(b.n_values, 1);
    assert_int_equal(b.e, ERR_NOT_FOUND);
    mainline_cancel(b.m, mainline_get(b.m, vnet_now(net), item.k, 0, alone_value, alone_done, &b));
    vnet_run_for(net, SECONDS(5), NULL, NULL);
    assert_int_equal(b.n_done, 2);
    for (unsigned i = 0; i < N_NODES; i++)
        dht_destroy(nodes[i].dht);
    mainline_destroy(a.m);
    mainline_destroy(b.m);
    vnet_destroy(net);
}

static unsigned items_at(const struct node *nodes)
{
    struct dht_stats s;
    unsigned n = 0;

    for (unsigned i = 0; i < N_NODES; i++) {
        dht_stats(nodes[i].dht, &s);
        n += s.items;
    }
    return n;
}

/* The relay puts bob's record there too, in its own name. */
static void carried(void **state)
{
    struct node nodes[N_NODES] = {{0}};
    struct homes h = {0};
    unsigned n_puts = 0;

    (void)state;
    build(&h, nodes, 55, ROUTERS);
    wait_for(&h, 90);
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 20);
    print_message("items at the nodes of the public DHT: %u\n", items_at(nodes));
    assert_true(items_at(nodes) >= 2 * 8); /* two records at least, at most of the nodes */
    for (unsigned i = 0; i < N_NODES; i++) {
        assert_int_equal(nodes[i].n_puts_of_phones, 0);
        n_puts += nodes[i].n_puts_of_relay;
    }
    assert_true(n_puts >= 2 * 8);
    end(&h, nodes);
}

/* Two phones that know nobody of the zone, and announce nothing: what their records say about addresses is enough. */
static void alone_together(void **state)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    const char *settings = "{\"net\": {\"client\": true, \"path\": \"direct\", \"routers\": "
                           "[\"198.51.100.100:6881\", \"198.51.100.101:6881\"]}}";
    struct node nodes[N_NODES] = {{0}};
    struct vnet_host *hosts[2];
    struct homes h = {0};

    (void)state;
    h.net = new_net(56);
    start_nodes(h.net, nodes);
    wait_for(&h, 20);
    hosts[0] = vnet_add_host(h.net, NULL, "alice", "203.0.113.40:4000");
    hosts[1] = vnet_add_host(h.net, NULL, "bob", "198.51.100.41:4000");
    for (int i = 0; i < 2; i++)
        vnet_set_link(hosts[i], &link);
    h.alice = sim_phone_create(h.net, hosts[0], APP_DAEMON, settings);
    h.bob = sim_phone_create(h.net, hosts[1], APP_DAEMON, settings);
    wait_for(&h, 40);
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 60);
    assert_int_equal((int)network_number(h.alice, NULL, "peers"), 0); /* of the zone */
    assert_true(items_at(nodes) >= 8);
    talk(&h);
    end(&h, nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("who knows nobody of the zone finds it by the public DHT, and calls", found),
        sentence("with net.mainline off nobody there hears of us", off),
        sentence("items are put and found in the families that are there", items),
        sentence("a relay puts its clients' records on the public DHT too, in its own name", carried),
        sentence("two phones without a zone find each other by the public DHT alone", alone_together),
        sentence("an hour of idling asks little of the public DHT", idle),
    };

    return run_sentences("mainline", tests);
}
