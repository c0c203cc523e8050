/* What contacts do for each other about relays: a pass for one's own, credit that is shared, what was met. */
#include "scenario/homes.h"

#define RELAY_ON                                                                            \
    "{\"relay\": {\"on\": true, \"max_calls\": %u%s}, \"audio\": {\"echo_cancel\": false, " \
    "\"noise_suppress\": false}}"

/* Olga relays, with an address the world reaches. */
static struct sim_phone *add_olga(struct homes *h, unsigned max_calls, const char *more)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    struct vnet_host *host = vnet_add_host(h->net, NULL, "olga", "192.0.2.60:4000");
    struct sim_phone *olga;
    char settings[256];

    snprintf(settings, sizeof settings, RELAY_ON, max_calls, more);
    vnet_set_link(host, &link);
    olga = sim_phone_create(h->net, host, APP_DAEMON, settings);
    sim_bootstrap(olga, h->boot);
    return olga;
}

static cJSON *ask_json(struct sim_phone *p, const char *cmd)
{
    assert_true(sim_ask(p, "{\"id\":9,\"cmd\":\"%s\"}", cmd));
    return cJSON_Parse(p->answer);
}

static void node_text(struct sim_phone *p, char out[static NODE_TEXT_BYTES])
{
    node_format(app_node_key(p->app), out);
}

/* The member of a list in an answer whose key is that text; a copy. */
static cJSON *row_of(struct sim_phone *p, const char *cmd, const char *list, const char *key,
                     const char *text)
{
    cJSON *v = ask_json(p, cmd), *row, *found = NULL;

    cJSON_ArrayForEach(row, cJSON_GetObjectItem(v, list))
    {
        if (found == NULL && strcmp(json_str(row, key, ""), text) == 0)
            found = cJSON_Duplicate(row, true);
    }
    cJSON_Delete(v);
    return found;
}

/* relay.for contacts: Olga's contacts call by her relay, as guests; nobody else does, and no relay knows who they are. */
static void guests_only(void **state)
{
    struct homes h = {0};
    struct sim_phone *olga;
    char node[NODE_TEXT_BYTES];
    cJSON *row;

    (void)state;
    build_homes(&h, 71, VNET_APD, false);
    olga = add_olga(&h, 4, ", \"for\": \"contacts\"");
    wait_for(&h, 20);
    node_text(olga, node);
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 20);
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}")); /* nobody carries it */
    if (reach(h.alice, "ringing", NULL, SECONDS(10)))
        assert_true(sim_ask(h.bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(40)));
    assert_string_equal(h.alice->cause, "no_path");
    row = row_of(h.alice, "relays", "relays", "id", node);
    assert_true(json_bool(row, "refusing", false));
    cJSON_Delete(row);

    sim_befriend(olga, "Alice", h.alice, "Olga");
    wait_for(&h, 40); /* cards, a session, the pass */
    row = row_of(h.alice, "ledger", "passes", "relay", node);
    assert_non_null(row);
    assert_string_equal(json_str(row, "contact", ""), olga->id);
    cJSON_Delete(row);
    talk(&h);
    assert_true(reach(h.alice, "in_call", "relayed", SECONDS(3)));
    row = row_of(h.alice, "relays", "relays", "id", node);
    assert_string_equal(json_str(row, "class", ""), "guest");
    cJSON_Delete(row);
    assert_true(sim_ask(h.alice, "{\"id\":4,\"cmd\":\"hangup\"}"));
    wait_for(&h, 3);
    /* no contact any more: the pass is worth nothing */
    assert_true(sim_ask(olga, "{\"id\":5,\"cmd\":\"contacts_remove\",\"contact\":\"Alice\"}"));
    wait_for(&h, 5);
    assert_true(sim_ask(h.alice, "{\"id\":6,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    if (reach(h.alice, "ringing", NULL, SECONDS(10)))
        assert_true(sim_ask(h.bob, "{\"id\":7,\"cmd\":\"answer\"}"));
    assert_true(reach(h.alice, "ended", NULL, SECONDS(40)));
    assert_string_equal(h.alice->cause, "no_path");
    sim_phone_destroy(olga);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a relay for contacts serves those who show its owner's pass, and nobody else", guests_only),
    };

    return run_sentences("favours", tests);
}
