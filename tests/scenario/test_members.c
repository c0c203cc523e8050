/* A zone that takes members only: three certified phones find and call each other; somebody who has the zone's key from
 * one of them, and all their addresses, finds nothing (THREATS.md §4.13). */
#include "scenario/homes.h"

#include <unistd.h>

#include "app/app_priv.h"
#include "app/node_file.h"
#include "base/mem.h"

#define PHONES 3

/* A node of the overlay, made by somebody who leaves out what he has not got. */
struct outsider {
    struct vnet_host *host;
    struct clock_driver *driver;
    struct dht *dht;
    unsigned n_in; /* datagrams that reached him */
};

struct office {
    struct vnet *net;
    struct sign_key Z;
    struct sim_phone *members[PHONES];
    struct outsider outsider;
    char paths[PHONES][48];
};

static void outsider_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct outsider *o = arg;

    o->n_in++;
    dht_input(o->dht, now, from, bytes);
}

static ns_t outsider_deadline(void *arg)
{
    return dht_deadline(((struct outsider *)arg)->dht);
}

static void outsider_tick(void *arg, ns_t now)
{
    dht_tick(((struct outsider *)arg)->dht, now);
}

static void outsider_init(struct office *f)
{
    static const struct clock_ops drive = {.deadline = outsider_deadline, .tick = outsider_tick};
    struct dht_config config = {.profile = DHT_ZONE, .allow_private = true, .seed = {0x77}};
    struct outsider *o = &f->outsider;
    struct sign_key key;

    o->host = vnet_add_host(f->net, NULL, "outsider", "198.51.100.99:4000");
    zone_id("office", f->Z.pub, config.zone_id);
    sign_key_from_seed(config.seed, &key);
    assert_int_equal(zone_puzzle_search(config.zone_id, key.pub, config.nonce, 1u << 22), ERR_OK);
    o->dht = dht_create(&config, vnet_env(o->host));
    assert_non_null(o->dht);
    vnet_on_recv(o->host, outsider_recv, o);
    o->driver = vnet_drive(o->host, &drive, o);
}

static struct sim_phone *member(struct office *f, int i)
{
    static const struct vnet_link link = {.delay_ns = 15 * NS_PER_MS};
    uint8_t seed[KEY_BYTES], nonce[PUZZLE_NONCE_BYTES] = {0}, zone[ZONE_ID_BYTES], cert[MEMBER_CERT_BYTES];
    char name[24], ip_port[32], zone_key[ZONE_TEXT_BYTES], certificate[MEMBER_TEXT_BYTES], *settings;
    struct vnet_host *host;
    struct sign_key node;
    struct sim_phone *p;

    snprintf(name, sizeof name, "phone %d", i);
    snprintf(ip_port, sizeof ip_port, "198.51.100.%d:4000", i + 1);
    host = vnet_add_host(f->net, NULL, name, ip_port);
    vnet_set_link(host, &link);
    snprintf(f->paths[i], sizeof f->paths[i], "/tmp/ito-member-%d-%d", (int)getpid(), i);
    memset(seed, i + 1, sizeof seed);
    assert_int_equal(node_file_write(f->paths[i], seed, nonce, NULL), ERR_OK); /* as `ito zone node` does */
    sign_key_from_seed(seed, &node);
    zone_id("office", f->Z.pub, zone);
    zone_member_make(&f->Z, zone, node.pub, (uint32_t)(env_wall_ms(vnet_env(host)) / 86400000 + 30), cert);
    settings =
        mem_printf("{\"audio\": {\"echo_cancel\": false, \"noise_suppress\": false}, \"net\": {\"zone\": "
                   "\"office\", \"zone_key\": \"%s\", \"zone_cert\": \"%s\"}}",
                   zone_key_format(f->Z.pub, zone_key), member_format(cert, certificate));
    p = sim_phone_create_member(f->net, host, APP_DAEMON, settings, f->paths[i]);
    mem_free(settings);
    assert_memory_equal(app_node_key(p->app), node.pub, KEY_BYTES);
    return p;
}

static void build(struct office *f, uint64_t seed)
{
    *f = (struct office){.net = new_net(seed)};
    crypto_init();
    sign_key_from_seed((uint8_t[32]){'Z'}, &f->Z);
    for (int i = 0; i < PHONES; i++)
        f->members[i] = member(f, i);
    for (int i = 1; i < PHONES; i++)
        sim_bootstrap(f->members[i], f->members[0]);
    outsider_init(f);
    for (int i = 0; i < PHONES; i++)
        dht_add_address(f->outsider.dht, vnet_now(f->net), vnet_addr(f->members[i]->host));
    for (int i = 0; i < PHONES; i++)
        for (int k = 0; k < i; k++) {
            char a[24], b[24];

            snprintf(a, sizeof a, "phone %d", i);
            snprintf(b, sizeof b, "phone %d", k);
            sim_befriend(f->members[k], a, f->members[i], b);
        }
    vnet_run_for(f->net, SECONDS(20), NULL, NULL);
}

static void tear(struct office *f)
{
    vnet_undrive(f->outsider.host, f->outsider.driver);
    vnet_on_recv(f->outsider.host, NULL, NULL);
    dht_destroy(f->outsider.dht);
    for (int i = 0; i < PHONES; i++) {
        sim_phone_destroy(f->members[i]);
        unlink(f->paths[i]);
    }
    vnet_destroy(f->net);
}

static void call(struct office *f, int from, int to)
{
    ns_t began = vnet_now(f->net);

    assert_true(sim_ask(f->members[from], "{\"cmd\":\"call\",\"to\":\"phone %d\"}", to));
    assert_true(reach(f->members[from], "ringing", NULL, SECONDS(5)));
    assert_true(reach(f->members[to], "incoming", NULL, SECONDS(1)));
    printf("phone %d rings phone %d after %u ms\n", from, to,
           (unsigned)((vnet_now(f->net) - began) / NS_PER_MS));
    assert_true(sim_ask(f->members[to], "{\"cmd\":\"answer\"}"));
    assert_true(reach(f->members[from], "in_call", NULL, SECONDS(5)));
    vnet_run_for(f->net, SECONDS(3), NULL, NULL);
    assert_true(f->members[from]->n_heard > 100 && f->members[to]->n_heard > 100);
    assert_true(sim_ask(f->members[from], "{\"cmd\":\"hangup\"}"));
    assert_true(reach(f->members[to], "ended", NULL, SECONDS(5)));
    f->members[from]->n_heard = f->members[to]->n_heard = 0;
    vnet_run_for(f->net, SECONDS(12), NULL, NULL);
}

static void among_members(void **state)
{
    struct office f;
    struct dht_stats s;

    (void)state;
    build(&f, 81);
    call(&f, 1, 2);
    call(&f, 2, 0);
    call(&f, 0, 1);
    for (int i = 0; i < PHONES; i++) {
        struct dht_node nodes[8];
        size_t n = dht_nodes(f.members[i]->app->zones[0].dht, nodes, 8);

        assert_int_equal(n, PHONES - 1);
        for (size_t k = 0; k < n; k++)
            assert_memory_not_equal(nodes[k].key, dht_key(f.outsider.dht), KEY_BYTES);
        dht_stats(f.members[i]->app->zones[0].dht, &s);
        assert_true(s.outsiders > 0); /* he has asked */
    }
    dht_stats(f.outsider.dht, &s);
    printf("the outsider sent %u datagrams and got %u\n", (unsigned)s.msgs_out, f.outsider.n_in);
    assert_true(s.msgs_out >= PHONES);
    assert_int_equal(f.outsider.n_in, 0);
    assert_int_equal(s.peers, 0);
    assert_int_equal(dht_state(f.outsider.dht), DHT_ALONE);
    tear(&f);
}

/* The certificate names the node, so the node has to be the same after a start; and an invite says what it leaves out. */
static void restarts_and_invites(void **state)
{
    struct office f;
    uint8_t before[KEY_BYTES];
    char zone_key[ZONE_TEXT_BYTES];
    cJSON *v;

    (void)state;
    build(&f, 82);
    memcpy(before, app_node_key(f.members[1]->app), KEY_BYTES);
    sim_phone_restart(f.members[1]);
    assert_memory_equal(app_node_key(f.members[1]->app), before, KEY_BYTES);
    sim_bootstrap(f.members[1], f.members[0]);
    vnet_run_for(f.net, SECONDS(10), NULL, NULL);
    assert_int_equal(dht_state(f.members[1]->app->zones[0].dht), DHT_JOINED);
    assert_true(sim_ask(f.members[1], "{\"cmd\":\"invite\"}"));
    v = cJSON_Parse(f.members[1]->answer);
    assert_string_equal(json_str(v, "zone", ""), "office");
    assert_string_equal(json_str(v, "zone_key", ""), zone_key_format(f.Z.pub, zone_key));
    cJSON_Delete(v);
    tear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("members of a closed zone call each other; an outsider with its key gets not one datagram",
                 among_members),
        sentence("a member keeps its node over a restart, and its invites name the zone's key",
                 restarts_and_invites),
    };

    return run_sentences("members", tests);
}
