/* Credit among whole phones: relays try each other out, one earns by carrying, and is served by a cheque where others
 * are refused. */
#include "app/app_priv.h"
#include "scenario/homes.h"

#define QUIET                                                                                              \
    "\"audio\": {\"echo_cancel\": false, \"noise_suppress\": false, \"frame_ms\": 60, \"bitrate\": 6000, " \
    "\"fec\": false}"

struct stage {
    struct homes h;
    struct sim_phone *olga, *bea, *dave, *carl; /* phones that relay; a phone; the relay C */
    char olga_node[NODE_TEXT_BYTES], bea_node[NODE_TEXT_BYTES], carl_node[NODE_TEXT_BYTES];
};

static struct sim_phone *add(struct stage *s, struct vnet_nat *nat, const char *name, const char *ip_port,
                             enum app_mode mode, const char *settings, char *node)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    struct vnet_host *host = vnet_add_host(s->h.net, nat, name, ip_port);
    struct sim_phone *p;

    vnet_set_link(host, &link);
    p = sim_phone_create(s->h.net, host, mode, settings);
    sim_bootstrap(p, s->h.boot);
    p->is_quiet = true;
    if (node != NULL)
        node_format(app_node_key(p->app), node);
    return p;
}

static void never(struct sim_phone *p, const char *node)
{
    assert_true(sim_ask(p, "{\"id\":8,\"cmd\":\"relays_never\",\"relay\":\"%s\"}", node));
}

/* A member of a list in an answer, by the node it is about; a copy. */
static cJSON *row_of(struct sim_phone *p, const char *cmd, const char *list, const char *node)
{
    cJSON *v, *row, *found = NULL;

    assert_true(sim_ask(p, "{\"id\":9,\"cmd\":\"%s\"}", cmd));
    v = cJSON_Parse(p->answer);
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(v, list))
    {
        if (found == NULL && strcmp(json_str(row, "id", ""), node) == 0)
            found = cJSON_Duplicate(row, true);
    }
    cJSON_Delete(v);
    return found;
}

static double number_of(struct sim_phone *p, const char *node, const char *key)
{
    cJSON *row = row_of(p, "ledger", "peers", node);
    double n = json_num(row, key, -1000);

    cJSON_Delete(row);
    return n;
}

static bool is_class(struct sim_phone *p, const char *cmd, const char *list, const char *node,
                     const char *class)
{
    cJSON *row = row_of(p, cmd, list, node);
    bool is = strcmp(json_str(row, "class", ""), class) == 0;

    cJSON_Delete(row);
    return is;
}

/* A newcomer carries a minute for a relay that is there already, and may draw on it at once. */
static void audited(void **state)
{
    struct stage s = {0};
    struct sim_phone *bob_relay;
    double one, other;

    (void)state;
    build_homes(&s.h, 81, VNET_EI, true);
    node_format(app_node_key(s.h.relay->app), s.bea_node);
    wait_for(&s.h, 10);
    bob_relay = add(&s, NULL, "newcomer", "192.0.2.60:4000", APP_RELAY, NULL, s.carl_node);
    wait_for(&s.h, 240);
    /* one of the two tried the other out: a pair has one statement at a time */
    one = number_of(s.h.relay, s.carl_node, "owes_us_min");
    other = number_of(bob_relay, s.bea_node, "owes_us_min");
    printf("owed after the audit: %.1f min here, %.1f there\n", one, other);
    assert_true(one == -other);
    assert_true(one == 1 || one == -1);
    if (one < 0)
        assert_true(is_class(s.h.relay, "ledger", "peers", s.carl_node, "creditor"));
    else
        assert_true(is_class(bob_relay, "ledger", "peers", s.bea_node, "creditor"));
    sim_phone_destroy(bob_relay);
    tear_down(&s.h);
}

static void short_call(struct stage *s, struct sim_phone *p, unsigned seconds)
{
    assert_true(sim_ask(p, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    wait_for(&s->h, seconds);
    sim_ask(p, "{\"id\":4,\"cmd\":\"hangup\"}");
    wait_for(&s->h, 2);
}

/* Bob lets it ring and answers; true when they hear each other. */
static bool answered_call(struct stage *s, struct sim_phone *p)
{
    assert_true(sim_ask(p, "{\"id\":2,\"cmd\":\"call\",\"to\":\"Bob\"}"));
    if (!reach(p, "ringing", NULL, SECONDS(15)))
        return false;
    assert_true(sim_ask(s->h.bob, "{\"id\":3,\"cmd\":\"answer\"}"));
    return reach(p, "in_call", "relayed", SECONDS(5));
}

/* Two cheques over one range, as a drawer with this seed signs them for two payees. */
static void spent_twice(const uint8_t net_id[static 4], uint8_t fill, uint8_t drawer[static 32],
                        uint8_t proof[static CLEARING_PROOF_BYTES])
{
    struct cheque a = {.amount = 300, .serial = 1, .cum = 300, .day = 20000, .ttl_days = 7}, b;
    uint8_t seed[32];
    struct sign_key key;

    memset(seed, fill, sizeof seed);
    sign_key_from_seed(seed, &key);
    memcpy(drawer, key.pub, 32);
    memcpy(a.net_id, net_id, sizeof a.net_id);
    memcpy(a.drawer, key.pub, 32);
    memset(seed, fill + 1, sizeof seed);
    sign_key_from_seed(seed, &key);
    memcpy(a.drawee, key.pub, 32);
    memcpy(a.payee, drawer, 32);
    b = a;
    memcpy(b.payee, key.pub, 32);
    memset(seed, fill, sizeof seed);
    assert_int_equal(cheque_sign(&a, seed), ERR_OK);
    assert_int_equal(cheque_sign(&b, seed), ERR_OK);
    clearing_proof_write(&a, &b, proof);
}

/* Carl was cheated elsewhere: Olga, whom he owes, hears of it when she asks him next, Dave does not. */
static void hears_of_it(struct stage *s)
{
    uint8_t net_id[4], drawer[32], proof[CLEARING_PROOF_BYTES];

    zone_net_id(s->carl->app->zones[0].id, net_id);
    spent_twice(net_id, 61, drawer, proof);
    assert_int_equal(
        ledger_db_put_proof(s->carl->app->ledger, drawer, CLEARING_OVERDRAW, slice_of(proof, sizeof proof)),
        ERR_OK);
    wait_for(&s->h, 310);
    assert_true(ledger_db_has_proof(s->olga->app->ledger, drawer));
    assert_false(ledger_db_has_proof(s->dave->app->ledger, drawer));
}

static void paid_by_cheque(void **state)
{
    struct stage s = {0};
    cJSON *row;

    (void)state;
    s.h.settings = "{" QUIET "}";
    build_homes(&s.h, 82, VNET_APD, false);
    s.h.bob->is_quiet = true;
    s.olga = add(&s, NULL, "olga", "192.0.2.60:4000", APP_DAEMON, "{\"relay\": {\"on\": true}, " QUIET "}",
                 s.olga_node);
    s.bea = add(&s, NULL, "bea", "192.0.2.70:4000", APP_DAEMON, "{\"relay\": {\"on\": true}, " QUIET "}",
                s.bea_node);
    s.dave = add(&s,
                 vnet_add_nat(s.h.net, NULL, "203.0.113.9",
                              &(struct vnet_nat_config){
                                  .mapping = VNET_APD, .filtering = VNET_APD, .ports = VNET_PORTS_RANDOM}),
                 "dave", "192.168.1.2:4000", APP_DAEMON, "{" QUIET "}", NULL);
    for (int i = 0; i < 2; i++) { /* bob has no relay of his own: callers bring theirs */
        never(s.h.bob, i == 0 ? s.olga_node : s.bea_node);
        never(s.dave, i == 0 ? s.olga_node : s.bea_node);
        never(s.h.alice, i == 0 ? s.olga_node : s.bea_node);
    }
    vnet_cut_between(s.h.net, "192.0.2.70", "203.0.113.2", true); /* from bea no direct path to bob */
    wait_for(&s.h, 20);
    sim_befriend(s.olga, "Bob", s.h.bob, "Olga");
    sim_befriend(s.bea, "Bob", s.h.bob, "Bea");
    sim_befriend(s.dave, "Bob", s.h.bob, "Dave");
    wait_for(&s.h, 30);

    /* 1. Olga earns from Bea, who talks over her relay for five minutes. */
    assert_true(answered_call(&s, s.bea));
    wait_for(&s.h, 300);
    assert_true(sim_ask(s.bea, "{\"id\":4,\"cmd\":\"hangup\"}"));
    wait_for(&s.h, 10);
    printf("bea owes olga %.1f min\n", number_of(s.olga, s.bea_node, "owes_us_min"));
    assert_true(number_of(s.olga, s.bea_node, "owes_us_min") >= 5);

    /* 2. Carl comes, a relay with one slot. He tries Bea out, so that he can collect from her. */
    vnet_cut_between(s.h.net, "192.0.2.60", "203.0.113.2", true); /* nor from olga, from now on */
    s.carl =
        add(&s, NULL, "carl", "203.0.113.50:4000", APP_RELAY, "{\"relay\": {\"max_calls\": 1}}", s.carl_node);
    never(s.bea, s.carl_node);
    never(s.h.bob, s.carl_node);
    never(s.olga, s.bea_node);
    wait_for(&s.h, 120);
    printf("bea is owed %.1f min by carl\n", number_of(s.bea, s.carl_node, "owes_us_min"));
    assert_true(number_of(s.bea, s.carl_node, "owes_us_min") == 1);
    assert_true(number_of(s.olga, s.carl_node, "owes_us_min") == -1000); /* one in a network and day */
    wait_for(&s.h, 300); /* Olga looks again whom she may draw on, and pays Carl with what Bea owes her */
    printf("olga: carl owes %.1f min, bea %.1f\n", number_of(s.olga, s.carl_node, "owes_us_min"),
           number_of(s.olga, s.bea_node, "owes_us_min"));
    assert_true(number_of(s.olga, s.carl_node, "owes_us_min") == 5);
    assert_true(number_of(s.bea, s.olga_node, "owes_us_min") >
                -1); /* and Carl had it paid: a relay without links */
    assert_true(number_of(s.bea, s.carl_node, "owes_us_min") == -4);
    assert_true(number_of(s.carl, s.bea_node, "owes_us_min") == 4);
    hears_of_it(&s);

    /* 3. Dave takes only. When he has filled Carl for a while, he is one of many strangers. */
    for (int i = 0; i < 13; i++)
        short_call(&s, s.dave, 3);
    row = row_of(s.dave, "relays", "relays", s.carl_node);
    printf("dave after 13 calls: class %s, refusing %d, load %.2f\n", json_str(row, "class", "-"),
           json_bool(row, "refusing", false), json_num(row, "load", -1));
    assert_true(json_bool(row, "refusing", false));
    assert_true(json_num(row, "load", 0) > 0.8);
    assert_string_equal(json_str(row, "class", ""), "stranger");
    cJSON_Delete(row);
    answered_call(&s, s.dave);
    assert_true(reach(s.dave, "ended", NULL, SECONDS(40)));
    assert_string_equal(s.dave->cause, "no_path"); /* No direct path, and no relay would carry the call. */

    /* 4. Olga is served meanwhile, as a creditor. */
    assert_true(answered_call(&s, s.olga));
    wait_for(&s.h, 5);
    assert_string_equal(s.olga->state, "in_call");
    assert_true(is_class(s.olga, "relays", "relays", s.carl_node, "creditor"));
    sim_phone_destroy(s.olga);
    sim_phone_destroy(s.bea);
    sim_phone_destroy(s.dave);
    sim_phone_destroy(s.carl);
    tear_down(&s.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a newcomer carries a minute for another relay, and is a creditor there", audited),
        sentence(
            "who earned at one relay is served at another by a cheque and hears of double spenders there, "
            "where a free-rider is refused",
            paid_by_cheque),
    };

    return run_sentences("credit", tests);
}
