/* What contacts do for each other about relays: a pass for one's own, credit that is shared, what was met. */
#include "scenario/homes.h"

#define QUIET                                                                                               \
    "{\"audio\": {\"echo_cancel\": false, \"noise_suppress\": false, \"frame_ms\": 60, \"bitrate\": 6000, " \
    "\"fec\": false}}"
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

/* Two who added each other see each other, sooner or later: each looks at moments of its own. */
static void meet(struct homes *h, struct sim_phone *p, const char *other)
{
    for (int i = 0; i < 90; i++) {
        cJSON *row = row_of(p, "contacts", "contacts", "name", other);
        bool is_online = strcmp(json_str(row, "presence", ""), "online") == 0;

        cJSON_Delete(row);
        if (is_online)
            return;
        wait_for(h, 2);
    }
    fail_msg("%s does not see %s", vnet_name(p->host), other);
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
    meet(&h, olga, "Alice"); /* cards, a session, the pass */
    wait_for(&h, 20);
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

static struct sim_phone *add_phone(struct homes *h, struct vnet_nat *nat, const char *name,
                                   const char *ip_port, enum app_mode mode, const char *settings)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    struct vnet_host *host = vnet_add_host(h->net, nat, name, ip_port);
    struct sim_phone *p;

    vnet_set_link(host, &link);
    p = sim_phone_create(h->net, host, mode, settings);
    p->is_quiet = true;
    sim_bootstrap(p, h->boot);
    return p;
}

/* Behind a router of its own, where nothing goes straight. */
static struct sim_phone *add_symmetric(struct homes *h, const char *name, const char *wan)
{
    const struct vnet_nat_config nat = {
        .mapping = VNET_APD, .filtering = VNET_APD, .ports = VNET_PORTS_RANDOM};

    return add_phone(h, vnet_add_nat(h->net, NULL, wan, &nat), name, "192.168.1.2:4000", APP_DAEMON, QUIET);
}

static void never(struct sim_phone *p, const char *node)
{
    assert_true(sim_ask(p, "{\"id\":8,\"cmd\":\"relays_never\",\"relay\":\"%s\"}", node));
}

static double row_number(struct sim_phone *p, const char *cmd, const char *list, const char *key,
                         const char *text, const char *number)
{
    cJSON *row = row_of(p, cmd, list, key, text);
    double n = json_num(row, number, -1000);

    cJSON_Delete(row);
    return n;
}

static void start_call(struct sim_phone *from, struct sim_phone *to)
{
    assert_true(sim_ask(from, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    assert_true(reach(from, "ringing", NULL, SECONDS(15)));
    assert_true(sim_ask(to, "{\"id\":3,\"cmd\":\"answer\"}"));
    assert_true(reach(from, "in_call", "relayed", SECONDS(5)));
}

static void says(struct sim_phone *p, const char *wanted)
{
    cJSON *v = ask_json(p, "status");
    const char *text = json_str(
        cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(v, "status"), "calls"), 0), "text", "");

    if (strstr(text, wanted) == NULL)
        fail_msg("%s: says \"%s\", not \"%s\"", vnet_name(p->host), text, wanted);
    cJSON_Delete(v);
}

/* Olga shares what Dave owes her; by it Alice is a creditor at Carl, for as long as it lasts. */
static void sponsored(void **state)
{
    struct homes h = {.settings = QUIET};
    struct sim_phone *olga, *dave, *eve, *carl;
    char olga_node[NODE_TEXT_BYTES], carl_node[NODE_TEXT_BYTES];
    cJSON *row;

    (void)state;
    build_homes(&h, 72, VNET_APD, false);
    h.alice->is_quiet = h.bob->is_quiet = true;
    olga = add_olga(&h, 20, "");
    dave = add_symmetric(&h, "dave", "203.0.113.9");
    eve = add_symmetric(&h, "eve", "203.0.113.10");
    node_text(olga, olga_node);
    never(h.bob, olga_node);
    never(eve, olga_node);
    wait_for(&h, 20);
    sim_befriend(olga, "Alice", h.alice, "Olga");
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    sim_befriend(dave, "Bob", h.bob, "Dave");
    sim_befriend(eve, "Bob", h.bob, "Eve");
    meet(&h, olga, "Alice");
    meet(&h, h.bob, "Alice");
    meet(&h, h.bob, "Dave");
    meet(&h, h.bob, "Eve");
    assert_false(
        sim_ask(h.alice, "{\"id\":5,\"cmd\":\"sponsor\",\"contact\":\"Bob\"}")); /* has earned nothing */

    /* 1. Without a surplus a line covers nothing; with one it is covered so far. */
    assert_true(sim_ask(olga, "{\"id\":5,\"cmd\":\"sponsor\",\"contact\":\"Alice\"}"));
    wait_for(&h, 2);
    row = row_of(h.alice, "ledger", "sponsored_by", "sponsor", olga_node);
    assert_true(json_num(row, "minutes", 0) == 30 && json_num(row, "days", 0) == 7);
    cJSON_Delete(row);
    assert_true(row_number(olga, "ledger", "sponsors", "contact", h.alice->id, "covered_min") == 0);
    start_call(dave, h.bob);
    wait_for(&h, 300);
    assert_true(sim_ask(dave, "{\"id\":4,\"cmd\":\"hangup\"}"));
    wait_for(&h, 70);
    printf("covered: %.1f min\n",
           row_number(olga, "ledger", "sponsors", "contact", h.alice->id, "covered_min"));
    assert_true(row_number(olga, "ledger", "sponsors", "contact", h.alice->id, "covered_min") == 5);

    /* 2. Carl tries Olga out, and takes a cheque on her from Alice. */
    never(h.alice, olga_node);
    carl = add_phone(&h, NULL, "carl", "203.0.113.50:4000", APP_RELAY, "{\"relay\": {\"max_calls\": 1}}");
    node_text(carl, carl_node);
    never(h.bob, carl_node);
    never(dave, carl_node);
    wait_for(&h, 420);
    printf("alice drew %.1f min, olga counts %.1f\n",
           row_number(h.alice, "ledger", "sponsored_by", "sponsor", olga_node, "drawn_min"),
           row_number(olga, "ledger", "sponsors", "contact", h.alice->id, "used_min"));
    assert_true(row_number(h.alice, "ledger", "sponsored_by", "sponsor", olga_node, "drawn_min") == 5);
    assert_true(row_number(olga, "ledger", "sponsors", "contact", h.alice->id, "used_min") > 4.9);
    assert_true(row_number(h.bob, "relays", "relays", "id", carl_node, "heard") <= 0);
    for (int i = 0; i < 13; i++) { /* Eve fills Carl */
        assert_true(sim_ask(eve, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
        wait_for(&h, 3);
        sim_ask(eve, "{\"id\":4,\"cmd\":\"hangup\"}");
        wait_for(&h, 2);
    }
    row = row_of(eve, "relays", "relays", "id", carl_node);
    assert_true(json_bool(row, "refusing", false));
    cJSON_Delete(row);

    /* 3. Alice is a creditor for five minutes; then three of grace, and no other relay: both screens say why. */
    start_call(h.alice, h.bob);
    row = row_of(h.alice, "relays", "relays", "id", carl_node);
    assert_string_equal(json_str(row, "class", ""), "creditor");
    cJSON_Delete(row);
    wait_for(&h, 400);
    assert_string_equal(h.alice->state, "in_call");
    says(h.alice, "another is looked for");
    says(h.bob, "another is looked for");
    assert_true(reach(h.alice, "ended", NULL, SECONDS(200)));
    assert_true(reach(h.bob, "ended", NULL, SECONDS(2)));
    assert_string_equal(h.alice->cause, "no_path"); /* No direct path, and no relay would carry the call. */
    assert_string_equal(h.bob->cause, "no_path");

    /* 4. Who used Carl tells Bob how it was, at the next session: Alice. Eve has never heard a call by it. */
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    wait_for(&h, 5);
    sim_ask(h.alice, "{\"id\":4,\"cmd\":\"hangup\"}");
    wait_for(&h, 2);
    assert_int_equal(row_number(h.bob, "relays", "relays", "id", carl_node, "heard"), 1);

    /* 5. Taken back. */
    assert_true(sim_ask(olga, "{\"id\":5,\"cmd\":\"unsponsor\",\"contact\":\"Alice\"}"));
    assert_true(sim_ask(h.alice, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Olga\"}")); /* a session: she is told */
    wait_for(&h, 5);
    sim_ask(h.alice, "{\"id\":4,\"cmd\":\"hangup\"}");
    wait_for(&h, 2);
    assert_null(row_of(h.alice, "ledger", "sponsored_by", "sponsor", olga_node));
    assert_null(row_of(olga, "ledger", "sponsors", "contact", h.alice->id));
    sim_phone_destroy(olga);
    sim_phone_destroy(dave);
    sim_phone_destroy(eve);
    sim_phone_destroy(carl);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a relay for contacts serves those who show its owner's pass, and nobody else", guests_only),
        sentence("who is sponsored is a creditor elsewhere, and told when that ends", sponsored),
    };

    return run_sentences("favours", tests);
}
