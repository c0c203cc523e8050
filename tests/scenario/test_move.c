/* Relays that ask a call to go elsewhere: drained, stopped, over a cap. What is heard meanwhile, and what is said. */
#include "scenario/homes.h"

#define FRAME_MS   20
#define GAP_MAX_MS 60

struct move {
    struct homes h;
    struct sim_phone *relay[3]; /* relay[0] is h.relay */
    unsigned n_relays;
};

static void add_relay(struct move *m, const char *name, const char *ip_port)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    struct vnet_host *host = vnet_add_host(m->h.net, NULL, name, ip_port);

    vnet_set_link(host, &link);
    m->relay[m->n_relays] = sim_phone_create(m->h.net, host, APP_RELAY, NULL);
    sim_bootstrap(m->relay[m->n_relays++], m->h.boot);
}

/* alice and bob behind routers of that kind, in a call for some seconds, with n relays in other networks. */
static void build(struct move *m, uint64_t seed, enum vnet_behaviour mapping, unsigned n)
{
    memset(m, 0, sizeof *m);
    build_homes(&m->h, seed, mapping, true);
    m->relay[0] = m->h.relay;
    m->n_relays = 1;
    if (n > 1)
        add_relay(m, "relay2", "203.0.113.50:4000");
    if (n > 2)
        add_relay(m, "relay3", "192.0.2.60:4000");
    wait_for(&m->h, 20);
    sim_befriend(m->h.alice, "Bob", m->h.bob, "Alice");
    wait_for(&m->h, 20);
    talk(&m->h);
    wait_for(&m->h, 6);
}

static void tear_down_move(struct move *m)
{
    for (unsigned i = 1; i < m->n_relays; i++)
        sim_phone_destroy(m->relay[i]);
    tear_down(&m->h);
}

static cJSON *ask_json(struct sim_phone *p, const char *cmd)
{
    assert_true(sim_ask(p, "{\"id\":9,\"cmd\":\"%s\"}", cmd));
    return cJSON_Parse(p->answer);
}

static double relay_number(struct sim_phone *p, const char *key)
{
    cJSON *v = ask_json(p, "status");
    double n = json_num(cJSON_GetObjectItem(cJSON_GetObjectItem(v, "status"), "relay"), key, -1);

    cJSON_Delete(v);
    return n;
}

/* Which relay carries; the others are silent. */
static unsigned carrier(struct move *m)
{
    unsigned best = m->n_relays;
    double most = 0;

    for (unsigned i = 0; i < m->n_relays; i++) {
        double kbps = m->relay[i] != NULL ? relay_number(m->relay[i], "kbps_in") : 0;

        if (kbps > most) {
            most = kbps;
            best = i;
        }
    }
    assert_true(best < m->n_relays);
    return best;
}

static void forget_gaps(struct move *m)
{
    m->h.alice->longest_without = m->h.bob->longest_without = 0;
    m->h.alice->run_without = m->h.bob->run_without = 0;
}

static void no_gap(struct move *m, const char *what)
{
    unsigned a = m->h.alice->longest_without * FRAME_MS, b = m->h.bob->longest_without * FRAME_MS;

    printf("%s: silent for %u ms here, %u ms there\n", what, a, b);
    assert_string_equal(m->h.alice->state, "in_call");
    assert_string_equal(m->h.bob->state, "in_call");
    assert_true(a <= GAP_MAX_MS);
    assert_true(b <= GAP_MAX_MS);
}

static void says(struct sim_phone *p, const char *wanted)
{
    cJSON *v = ask_json(p, "status");
    const char *text = json_str(
        cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(v, "status"), "calls"), 0), "text", "");

    if (strstr(text, wanted) == NULL || (wanted[0] == '\0' && text[0] != '\0'))
        fail_msg("%s: says \"%s\", not \"%s\"", vnet_name(p->host), text, wanted);
    cJSON_Delete(v);
}

static void drained(void **state)
{
    struct move m;
    unsigned from;

    (void)state;
    build(&m, 61, VNET_APD, 2);
    from = carrier(&m);
    forget_gaps(&m);
    assert_true(sim_ask(m.relay[from], "{\"id\":4,\"cmd\":\"drain\",\"on\":true}"));
    wait_for(&m.h, 5);
    no_gap(&m, "drained, both symmetric");
    assert_int_equal(carrier(&m), 1 - from);
    assert_true(relay_number(m.relay[from], "calls") == 0);
    says(m.h.alice, "");
    says(m.h.bob, "");
    wait_for(&m.h, 5);
    no_gap(&m, "and 5 s later");
    assert_string_equal(m.h.alice->path, "relayed");
    assert_int_equal(m.h.bob->n_calls, 1);
    tear_down_move(&m);
}

/* TERM: two seconds, and the call is elsewhere before they are over. */
static void stopped(void **state)
{
    struct move m;
    struct sim_phone *p;
    unsigned gone;
    ns_t began;

    (void)state;
    build(&m, 62, VNET_APD, 2);
    gone = carrier(&m);
    p = m.relay[gone];
    began = vnet_now(m.h.net);
    forget_gaps(&m);
    app_leave(p->app, began, 2);
    while (app_is_carrying(p->app, vnet_now(m.h.net)) && vnet_now(m.h.net) < began + SECONDS(2))
        vnet_run_for(m.h.net, 50 * NS_PER_MS, NULL, NULL);
    printf("moved after %u ms\n", (unsigned)((vnet_now(m.h.net) - began) / NS_PER_MS));
    assert_true(vnet_now(m.h.net) < began + SECONDS(2));
    vnet_cut(p->host, true); /* its process is gone */
    wait_for(&m.h, 8);
    no_gap(&m, "stopped by TERM, both symmetric");
    assert_true(carrier(&m) != gone);
    tear_down_move(&m);
}

/* A direct path is none of the relay's business: only what stands by is found elsewhere. */
static void warm_one_drained(void **state)
{
    struct move m;

    (void)state;
    build(&m, 63, VNET_EI, 3);
    assert_string_equal(m.h.alice->path, "direct_punched");
    forget_gaps(&m);
    for (unsigned i = 0; i < 2; i++)
        assert_true(sim_ask(m.relay[i], "{\"id\":4,\"cmd\":\"drain\",\"on\":true}"));
    wait_for(&m.h, 10);
    no_gap(&m, "direct, two of three drained");
    assert_true(relay_number(m.relay[0], "calls") == 0 && relay_number(m.relay[1], "calls") == 0);
    vnet_cut_between(m.h.net, "203.0.113.1", "203.0.113.2", true);
    wait_for(&m.h, 5);
    assert_string_equal(m.h.alice->state, "in_call");
    assert_string_equal(m.h.alice->path, "relayed");
    assert_int_equal(carrier(&m), 2);
    tear_down_move(&m);
}

/* The only relay is drained: nobody is cut off, and both screens say so; then another one turns up. */
static void no_other(void **state)
{
    struct move m;

    (void)state;
    build(&m, 64, VNET_APD, 1);
    forget_gaps(&m);
    assert_true(sim_ask(m.relay[0], "{\"id\":4,\"cmd\":\"drain\",\"on\":true}"));
    wait_for(&m.h, 5);
    says(m.h.alice, "another is looked for");
    says(m.h.bob, "another is looked for");
    wait_for(&m.h, 5);
    no_gap(&m, "drained, no other relay, 10 s");
    add_relay(&m, "relay2", "203.0.113.50:4000");
    wait_for(&m.h, 15);
    no_gap(&m, "another one turned up");
    assert_int_equal(carrier(&m), 1);
    says(m.h.alice, "");
    says(m.h.bob, "");
    assert_true(relay_number(m.relay[0], "calls") == 0);
    tear_down_move(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the relay in use is drained: the call moves, and at most 60 ms are lost", drained),
        sentence("the relay in use is stopped by TERM: the call is elsewhere within two seconds", stopped),
        sentence("under a direct path what stands by moves when its relay is drained", warm_one_drained),
        sentence("the only relay is drained: the call goes on, says so, and moves when another one is there",
                 no_other),
    };

    return run_sentences("move", tests);
}
