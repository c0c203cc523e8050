#include "unit/test.h"

#include "nat/stun_client.h"
#include "nat/turn_client.h"
#include "unit/nat/fake_turn.h"

#define MS NS_PER_MS

/* A phone with both clients on one socket. */
struct phone {
    struct vnet_host *host;
    struct stun_client *stun;
    struct turn *turn;
    struct addr mapped[4];
    enum err results[4];
    unsigned n_answers, n_states, n_data;
    ns_t answered_at;
    enum turn_state state;
    struct addr relayed, from;
    char data[64];
    uint64_t n_sent;
};

static void stun_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct phone *p = arg;

    p->n_sent++;
    env_send(vnet_env(p->host), to, bytes);
}

static void stun_answer(void *arg, ns_t now, const struct addr *server, enum err result,
                        const struct addr *mapped)
{
    struct phone *p = arg;

    (void)server;
    p->results[p->n_answers] = result;
    p->mapped[p->n_answers++] = *mapped;
    p->answered_at = now;
}

static void turn_data(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct phone *p = arg;

    (void)now;
    p->n_data++;
    p->from = *from;
    memset(p->data, 0, sizeof p->data);
    memcpy(p->data, bytes.data, bytes.len < 63 ? bytes.len : 63);
}

static void turn_changed(void *arg, ns_t now, enum turn_state state, const struct addr *relayed,
                         const struct addr *mapped)
{
    struct phone *p = arg;

    p->n_states++;
    p->state = state;
    p->relayed = *relayed;
    p->answered_at = now;
    if (state == TURN_READY)
        p->mapped[0] = *mapped;
}

static const struct stun_client_ops stun_ops = {stun_send, stun_answer};
static const struct turn_client_ops turn_cbs = {stun_send, turn_data, turn_changed};

static void phone_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct phone *p = arg;

    if (p->turn != NULL && addr_equal(from, turn_server(p->turn)) && turn_input(p->turn, now, bytes))
        return;
    if (p->stun != NULL && stun_client_input(p->stun, now, from, bytes))
        return;
    turn_data(p, now, from, bytes);
}

static ns_t stun_deadline_cb(void *arg)
{
    return stun_client_deadline(arg);
}

static void stun_tick_cb(void *arg, ns_t now)
{
    stun_client_tick(arg, now);
}

static ns_t turn_deadline_cb(void *arg)
{
    return turn_deadline(arg);
}

static void turn_tick_cb(void *arg, ns_t now)
{
    turn_tick(arg, now);
}

static const struct clock_ops stun_driver = {stun_deadline_cb, stun_tick_cb};
static const struct clock_ops turn_driver = {turn_deadline_cb, turn_tick_cb};

static void phone_init(struct phone *p, struct vnet *net, struct vnet_nat *nat, const char *ip_port)
{
    memset(p, 0, sizeof *p);
    p->host = vnet_add_host(net, nat, "phone", ip_port);
    vnet_on_recv(p->host, phone_recv, p);
}

static void phone_stun(struct phone *p)
{
    p->stun = stun_client_create(&stun_ops, p, vnet_env(p->host));
    vnet_drive(p->host, &stun_driver, p->stun);
}

static void phone_turn(struct phone *p, const struct fake_turn *relay, const char *password,
                       const char *nonce)
{
    struct turn_client_config c = {.server = *vnet_addr(relay->host),
                                   .username = "u",
                                   .password = password,
                                   .realm = nonce ? "r" : NULL};

    c.nonce = nonce;
    p->turn = turn_create(&c, &turn_cbs, p, vnet_env(p->host));
    vnet_drive(p->host, &turn_driver, p->turn);
    turn_start(p->turn, CLOCK_START_NS);
}

static void reflexive_address(void **state)
{
    struct vnet *net = vnet_create(1);
    struct vnet_nat *nat = vnet_add_nat(net, NULL, "203.0.113.1", &(struct vnet_nat_config){0});
    struct fake_turn server;
    struct phone p;

    (void)state;
    fake_turn_init(&server, net, "198.51.100.1:3478");
    phone_init(&p, net, nat, "192.168.1.2:4000");
    phone_stun(&p);
    vnet_set_link(p.host, &(struct vnet_link){.delay_ns = 20 * MS});
    assert_int_equal(stun_client_ask(p.stun, vnet_now(net), vnet_addr(server.host)), ERR_OK);
    assert_int_equal(stun_client_ask(p.stun, vnet_now(net), vnet_addr(server.host)), ERR_EXISTS);
    vnet_run_for(net, NS_PER_S, NULL, NULL);
    assert_int_equal(p.n_answers, 1);
    assert_int_equal(p.results[0], ERR_OK);
    assert_true(addr_equal_ip(&p.mapped[0], vnet_nat_addr(nat)));
    assert_true(p.answered_at == CLOCK_START_NS + 40 * MS);
    assert_int_equal(p.n_sent, 1);
    stun_client_destroy(p.stun);
    vnet_destroy(net);
}

static void deaf_server(void **state)
{
    struct vnet *net = vnet_create(1);
    struct fake_turn server;
    struct phone p;

    (void)state;
    fake_turn_init(&server, net, "198.51.100.1:3478");
    server.is_deaf = true;
    phone_init(&p, net, NULL, "203.0.113.2:4000");
    phone_stun(&p);
    stun_client_ask(p.stun, vnet_now(net), vnet_addr(server.host));
    vnet_run_for(net, 100 * NS_PER_S, NULL, NULL);
    assert_int_equal(p.n_sent, 7);
    assert_int_equal(p.results[0], ERR_TIMEOUT);
    assert_true(p.answered_at == CLOCK_START_NS + 39500 * MS); /* RFC 8489 §6.2.1 */
    stun_client_destroy(p.stun);
    vnet_destroy(net);
}

static void nat_mapping(void **state)
{
    (void)state;
    for (enum vnet_behaviour m = VNET_EI; m <= VNET_APD; m++) {
        struct vnet *net = vnet_create(1);
        struct vnet_nat *nat =
            vnet_add_nat(net, NULL, "203.0.113.1",
                         &(struct vnet_nat_config){.mapping = m, .ports = VNET_PORTS_SEQUENTIAL});
        struct fake_turn a, b;
        struct phone p;
        int step;

        fake_turn_init(&a, net, "198.51.100.1:3478");
        fake_turn_init(&b, net, "198.51.100.2:3478");
        phone_init(&p, net, nat, "192.168.1.2:4000");
        phone_stun(&p);
        assert_int_equal(stun_client_mapping(p.stun, vnet_addr(p.host), &step), STUN_MAPPING_UNKNOWN);
        stun_client_ask(p.stun, vnet_now(net), vnet_addr(a.host));
        vnet_run_for(net, NS_PER_S, NULL, NULL);
        stun_client_ask(p.stun, vnet_now(net), vnet_addr(b.host));
        vnet_run_for(net, NS_PER_S, NULL, NULL);
        assert_int_equal(stun_client_mapping(p.stun, vnet_addr(p.host), &step),
                         m == VNET_EI ? STUN_MAPPING_SAME : STUN_MAPPING_VARIES);
        assert_int_equal(step, m == VNET_EI ? 0 : 1);
        stun_client_destroy(p.stun);
        vnet_destroy(net);
    }
}

/* A relay, a phone behind a NAT that filters by address and port, a peer on the Internet. */
struct scene {
    struct vnet *net;
    struct vnet_nat *nat;
    struct fake_turn relay;
    struct phone phone, peer;
};

static void scene_init(struct scene *s, const char *password, const char *nonce)
{
    s->net = vnet_create(1);
    s->nat = vnet_add_nat(s->net, NULL, "203.0.113.1", &(struct vnet_nat_config){.filtering = VNET_APD});
    fake_turn_init(&s->relay, s->net, "198.51.100.1:3478");
    phone_init(&s->phone, s->net, s->nat, "192.168.1.2:4000");
    phone_init(&s->peer, s->net, NULL, "198.51.100.9:9000");
    vnet_set_link(s->phone.host, &(struct vnet_link){.delay_ns = 20 * MS});
    phone_turn(&s->phone, &s->relay, password, nonce);
}

static void scene_fini(struct scene *s)
{
    turn_destroy(s->phone.turn);
    vnet_destroy(s->net);
}

static void allocate_with_challenge(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "p", NULL);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_READY);
    assert_true(s.phone.answered_at == CLOCK_START_NS + 80 * MS); /* two round trips */
    assert_true(addr_equal_ip(&s.phone.relayed, vnet_addr(s.relay.host)));
    assert_true(addr_equal_ip(&s.phone.mapped[0], vnet_nat_addr(s.nat)));
    assert_int_equal(s.relay.n_challenges, 1);
    scene_fini(&s);
}

static void allocate_at_once(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "p", "nonce-1");
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_READY);
    assert_true(s.phone.answered_at == CLOCK_START_NS + 40 * MS); /* one round trip */
    assert_int_equal(s.relay.n_challenges, 0);
    scene_fini(&s);
    scene_init(&s, "p", "an old nonce"); /* 438 brings the new one */
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_READY);
    assert_int_equal(s.relay.n_challenges, 1);
    scene_fini(&s);
}

static void refusals(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "wrong", NULL);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_FAILED);
    assert_int_equal(turn_error_code(s.phone.turn), STUN_UNAUTHENTICATED);
    assert_true(s.relay.n_challenges <= 3);
    assert_true(turn_deadline(s.phone.turn) == NS_NEVER);
    scene_fini(&s);
    scene_init(&s, "p", NULL);
    s.relay.refuse_with = STUN_QUOTA_REACHED;
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(turn_error_code(s.phone.turn), STUN_QUOTA_REACHED);
    scene_fini(&s);
    scene_init(&s, "p", NULL);
    s.relay.is_deaf = true;
    vnet_run_for(s.net, 60 * NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_FAILED);
    assert_int_equal(turn_error_code(s.phone.turn), 0);
    assert_int_equal(s.phone.n_states, 1);
    scene_fini(&s);
}

static void data_both_ways(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "p", NULL);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    env_send(vnet_env(s.peer.host), &s.phone.relayed, slice_str("uninvited"));
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.n_data, 0);
    for (unsigned i = 1; i <= 10; i++) { /* first as indications, then by channel */
        assert_int_equal(turn_send(s.phone.turn, vnet_now(s.net), vnet_addr(s.peer.host), slice_str("ping")),
                         ERR_OK);
        vnet_run_for(s.net, NS_PER_S, NULL, NULL);
        assert_int_equal(s.peer.n_data, i);
        assert_true(addr_equal(&s.peer.from, &s.phone.relayed));
        env_send(vnet_env(s.peer.host), &s.peer.from, slice_str("pong"));
        vnet_run_for(s.net, NS_PER_S, NULL, NULL);
        assert_int_equal(s.phone.n_data, i);
        assert_true(addr_equal(&s.phone.from, vnet_addr(s.peer.host)));
        assert_string_equal(s.phone.data, "pong");
    }
    assert_int_equal(s.relay.n_sends, TURN_BIND_AFTER);
    assert_int_equal(s.relay.n_channel_data, 10 - TURN_BIND_AFTER);
    assert_int_equal(s.relay.n_binds, 1);
    assert_int_equal(turn_get_stats(s.phone.turn)->bytes_out, 40);
    assert_int_equal(turn_get_stats(s.phone.turn)->bytes_in, 40);
    scene_fini(&s);
}

static void refreshes(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "p", NULL);
    turn_permit(s.phone.turn, vnet_now(s.net),
                vnet_addr(s.peer.host)); /* kept until there is an allocation */
    turn_bind(s.phone.turn, vnet_now(s.net), vnet_addr(s.peer.host));
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.relay.n_permissions, 1);
    assert_int_equal(s.relay.n_binds, 1);
    strcpy(s.relay.nonce, "nonce-2"); /* each transaction meets the new nonce by itself */
    vnet_run_for(s.net, 3600 * NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_READY);
    assert_in_range(s.relay.n_refreshes, 6, 7);     /* 600 s */
    assert_in_range(s.relay.n_permissions, 15, 17); /* 300 s */
    assert_in_range(s.relay.n_binds, 7, 8);         /* 600 s */
    turn_close(s.phone.turn, vnet_now(s.net));
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_CLOSED);
    assert_null(s.relay.allocations[0].socket);
    assert_int_equal(s.phone.n_states, 2);
    assert_int_equal(turn_send(s.phone.turn, vnet_now(s.net), vnet_addr(s.peer.host), slice_str("x")),
                     ERR_STATE);
    scene_fini(&s);
}

static void relay_that_forgot(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "p", NULL);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    vnet_close_port(s.relay.allocations[0].socket); /* a restart */
    s.relay.allocations[0].socket = NULL;
    turn_permit(s.phone.turn, vnet_now(s.net), vnet_addr(s.peer.host));
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.phone.state, TURN_FAILED);
    assert_int_equal(turn_error_code(s.phone.turn), STUN_ALLOCATION_MISMATCH);
    scene_fini(&s);
}

static void forged_answers(void **state)
{
    struct scene s;
    uint8_t buf[256], id[STUN_ID_BYTES] = {0};
    struct stun_wr w;

    (void)state;
    scene_init(&s, "p", NULL);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    stun_begin(&w, buf, sizeof buf, STUN_SUCCESS, TURN_REFRESH, id);
    assert_false(turn_input(s.phone.turn, vnet_now(s.net), stun_end(&w)));
    stun_begin(&w, buf, sizeof buf, STUN_INDICATION, TURN_DATA, id);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, vnet_addr(s.peer.host));
    stun_put(&w, STUN_DATA, slice_str("never permitted"));
    assert_true(turn_input(s.phone.turn, vnet_now(s.net), stun_end(&w)));
    assert_int_equal(s.phone.n_data, 0);
    assert_int_equal(turn_get_stats(s.phone.turn)->dropped, 1);
    scene_fini(&s);
}

static void peers_are_capped(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "p", NULL);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    for (unsigned i = 0; i < TURN_PEERS_MAX + 3; i++) {
        struct addr a = *vnet_addr(s.peer.host);

        a.port = (uint16_t)(5000 + i);
        assert_int_equal(turn_send(s.phone.turn, vnet_now(s.net), &a, slice_str("x")),
                         i < TURN_PEERS_MAX ? ERR_OK : ERR_FULL);
    }
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.relay.n_permissions, 1); /* one IP, one permission */
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a STUN server tells our reflexive address in one round trip", reflexive_address),
        sentence("a deaf server is asked 7 times in 39.5 s", deaf_server),
        sentence("two servers tell how the NAT maps, and by what step", nat_mapping),
        sentence("an allocation takes two round trips when realm and nonce are unknown",
                 allocate_with_challenge),
        sentence("an allocation takes one round trip when they are known", allocate_at_once),
        sentence("a wrong password, a full relay and a deaf one fail, each by its code", refusals),
        sentence("data goes both ways, first by indication, then by channel", data_both_ways),
        sentence("allocation, permission and channel live for an hour over a new nonce, then close",
                 refreshes),
        sentence("a relay that forgot the allocation fails it", relay_that_forgot),
        sentence("forged answers and uninvited data change nothing", forged_answers),
        sentence("peers are capped, and one IP needs one permission", peers_are_capped),
    };

    return run_sentences("clients", tests);
}
