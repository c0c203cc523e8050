/* What phones know of their networks, and what they survive when these change. */
#include "scenario/homes.h"

static const char *nat_of(struct sim_phone *p, char out[static 64])
{
    cJSON *v;

    assert_true(sim_ask(p, "{\"id\":9,\"cmd\":\"status\"}"));
    v = cJSON_Parse(p->answer);
    snprintf(out, 64, "%s",
             json_str(cJSON_GetObjectItem(cJSON_GetObjectItem(v, "status"), "network"), "nat", "null"));
    cJSON_Delete(v);
    return out;
}

static void words(void **state)
{
    struct homes h = {0};
    char word[64];

    (void)state;
    build_homes(&h, 31, VNET_EI, true);
    assert_string_equal(nat_of(h.alice, word), "endpoint-independent");
    assert_string_equal(nat_of(h.relay, word), "none (public)");
    assert_string_equal(nat_of(h.third, word), "none (public)");
    tear_down(&h);
    memset(&h, 0, sizeof h);
    build_homes(&h, 32, VNET_APD, true);
    printf("%s\n", nat_of(h.alice, word));
    assert_string_equal(nat_of(h.alice, word), "address-dependent");
    tear_down(&h);
}

/* Unplugged here, plugged in there: what the system tells a second later. */
static void move(struct homes *h, struct sim_phone *p, struct vnet_nat *nat, const char *ip)
{
    vnet_move(p->host, nat, ip);
    wait_for(h, 1);
    app_network_changed(p->app, vnet_now(h->net));
}

static void wifi_to_cable(void **state)
{
    const struct vnet_nat_config config = {.filtering = VNET_APD};
    struct homes h = {0};
    struct vnet_nat *office;
    uint32_t call;
    ns_t moved_at;

    (void)state;
    build_friends(&h, 33, VNET_EI);
    office = vnet_add_nat(h.net, NULL, "203.0.113.9", &config);
    talk(&h);
    assert_true(reach(h.alice, "in_call", "direct_punched", SECONDS(5)));
    wait_for(&h, 5);
    call = h.alice->call_id;
    h.alice->longest_without = h.bob->longest_without = 0;
    moved_at = vnet_now(h.net);
    move(&h, h.alice, office, "10.1.1.7");
    wait_for(&h, 25);
    printf("gaps %u %u frames, paths %s/ %s state %s %s\n", h.alice->longest_without, h.bob->longest_without,
           h.alice->paths_seen, h.bob->paths_seen, h.alice->state, h.bob->state);
    assert_string_equal(h.alice->state, "in_call");
    assert_string_equal(h.bob->state, "in_call");
    assert_int_equal(h.alice->call_id, call);
    (void)moved_at;
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a phone tells what its router does", words),
        sentence("a call survives the move from Wi-Fi to cable", wifi_to_cable),
    };

    return run_sentences("network", tests);
}
