#include "unit/test.h"

#include "nat/portmap.h"
#include "tests/sim/vnet.h"

/* A gateway that is a host of its own: it answers what it is told to answer. */
enum gateway_kind { GATEWAY_PCP, GATEWAY_PMP, GATEWAY_PMP_SILENT, GATEWAY_DEAF, GATEWAY_REFUSES };

struct scene {
    struct vnet *net;
    struct vnet_host *phone, *gateway;
    enum gateway_kind kind;
    struct portmap *map;
    unsigned n_requests, n_states, n_deleted;
    enum portmap_state state;
    struct addr outside;
    uint32_t epoch_s;
    uint16_t outside_port;
    ns_t stated_at;
};

static void gateway_pcp(struct scene *s, const struct addr *from, struct slice q)
{
    uint8_t a[60];
    struct wr w;

    s->n_deleted += q.data[4] == 0 && q.data[5] == 0 && q.data[6] == 0 && q.data[7] == 0;
    memcpy(a, q.data, sizeof a);
    a[1] |= 0x80;
    a[3] = s->kind == GATEWAY_REFUSES ? 2 : 0; /* NOT_AUTHORIZED */
    wr_init(&w, a + 8, 16);
    wr_u32(&w, s->epoch_s);
    wr_zeros(&w, 12);
    wr_init(&w, a + 42, 18);
    wr_u16(&w, s->outside_port);
    wr_zeros(&w, 10);
    wr_u16(&w, 0xffff);
    wr_bytes(&w, "\xcb\x00\x71\x01", 4); /* 203.0.113.1 */
    env_send(vnet_env(s->gateway), from, slice_of(a, sizeof a));
}

static void gateway_pmp(struct scene *s, const struct addr *from, struct slice q)
{
    uint8_t a[16];
    struct wr w;

    wr_init(&w, a, sizeof a);
    wr_u8(&w, 0);
    wr_u8(&w, 0x80 | q.data[1]);
    wr_u16(&w, q.data[0] == 0 ? 0 : 1); /* "unsupported version" to a PCP request */
    wr_u32(&w, s->epoch_s);
    if (q.data[0] == 0 && q.data[1] == 0) {
        wr_bytes(&w, "\xcb\x00\x71\x01", 4);
    } else if (q.data[0] == 0) {
        s->n_deleted += q.data[11] == 0 && q.data[10] == 0;
        wr_bytes(&w, q.data + 4, 2);
        wr_u16(&w, s->outside_port);
        wr_bytes(&w, q.data + 8, 4);
    }
    env_send(vnet_env(s->gateway), from, wr_done(&w));
}

static void gateway_recv(void *arg, ns_t now, const struct addr *from, struct slice q)
{
    struct scene *s = arg;

    (void)now;
    s->n_requests++;
    if (s->kind == GATEWAY_DEAF || (s->kind == GATEWAY_PMP_SILENT && q.data[0] != 0))
        return;
    if (s->kind == GATEWAY_PCP || s->kind == GATEWAY_REFUSES) {
        if (q.data[0] == 2)
            gateway_pcp(s, from, q);
    } else {
        gateway_pmp(s, from, q);
    }
}

static void map_send(void *arg, const struct addr *to, struct slice bytes)
{
    env_send(vnet_env(((struct scene *)arg)->phone), to, bytes);
}

static void map_state(void *arg, ns_t now, enum portmap_state state, const struct addr *outside)
{
    struct scene *s = arg;

    s->n_states++;
    s->state = state;
    s->outside = *outside;
    s->stated_at = now;
}

static void map_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    (void)portmap_input(((struct scene *)arg)->map, now, from, bytes);
}

static ns_t map_deadline(void *arg)
{
    return portmap_deadline(arg);
}

static void map_tick(void *arg, ns_t now)
{
    portmap_tick(arg, now);
}

static void begin(struct scene *s, enum gateway_kind kind)
{
    static const struct portmap_ops ops = {map_send, map_state};
    static const struct clock_ops driver = {map_deadline, map_tick};
    struct portmap_config c;

    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->epoch_s = 1000;
    s->outside_port = 4001;
    s->net = vnet_create(1);
    s->phone = vnet_add_host(s->net, NULL, "phone", "192.168.1.2:4000");
    s->gateway = vnet_add_host(s->net, NULL, "gateway", "192.168.1.1:5351");
    vnet_on_recv(s->phone, map_recv, s);
    vnet_on_recv(s->gateway, gateway_recv, s);
    c = (struct portmap_config){.gateway = *vnet_addr(s->gateway), .inside = *vnet_addr(s->phone)};
    s->map = portmap_create(&c, &ops, s, vnet_env(s->phone));
    vnet_drive(s->phone, &driver, s->map);
    portmap_start(s->map, vnet_now(s->net));
}

static void end(struct scene *s)
{
    portmap_destroy(s->map);
    vnet_destroy(s->net);
}

static void maps(enum gateway_kind kind, const char *protocol, ns_t within)
{
    struct scene s;
    char text[ADDR_TEXT_BYTES];

    begin(&s, kind);
    vnet_run_for(s.net, within, NULL, NULL);
    assert_int_equal(s.state, PORTMAP_MAPPED);
    assert_string_equal(addr_print(&s.outside, text), "203.0.113.1:4001");
    assert_string_equal(portmap_protocol(s.map), protocol);
    s.n_requests = 0;
    vnet_run_for(s.net, 24 * 3600 * NS_PER_S, NULL, NULL); /* renewed each hour, nothing said about it */
    assert_in_range(s.n_requests, 23, 48);
    assert_int_equal(s.n_states, 1);
    s.outside_port = 4999; /* the next renewal brings another port */
    vnet_run_for(s.net, 3700 * NS_PER_S, NULL, NULL);
    assert_int_equal(s.n_states, 2);
    assert_int_equal(s.outside.port, 4999);
    portmap_stop(s.map, vnet_now(s.net));
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.n_deleted, 1);
    assert_int_equal(s.state, PORTMAP_IDLE);
    assert_true(portmap_deadline(s.map) == NS_NEVER);
    end(&s);
}

static void pcp(void **state)
{
    (void)state;
    maps(GATEWAY_PCP, "pcp", NS_PER_S);
}

static void nat_pmp(void **state)
{
    (void)state;
    maps(GATEWAY_PMP, "nat-pmp", NS_PER_S);
    maps(GATEWAY_PMP_SILENT, "nat-pmp", 8 * NS_PER_S);
}

static void no_gateway(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, GATEWAY_DEAF);
    vnet_run_for(s.net, 60 * NS_PER_S, NULL, NULL);
    assert_int_equal(s.state, PORTMAP_FAILED);
    assert_int_equal(s.n_requests, 3 + 5);
    s.kind = GATEWAY_PCP; /* asked again ten minutes later */
    vnet_run_for(s.net, 620 * NS_PER_S, NULL, NULL);
    assert_int_equal(s.state, PORTMAP_MAPPED);
    end(&s);
    begin(&s, GATEWAY_REFUSES);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.state, PORTMAP_FAILED);
    end(&s);
}

static void gateway_restarts(void **state)
{
    struct scene s;
    uint8_t announcement[12] = {0, 0x80, 0, 0, 0, 0, 0, 5, 203, 0, 113, 1};

    (void)state;
    begin(&s, GATEWAY_PMP);
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    s.n_requests = 0;
    vnet_run_for(s.net, 60 * NS_PER_S, NULL, NULL);
    assert_int_equal(s.n_requests, 0);
    s.epoch_s = 5; /* its clock went back */
    env_send(vnet_env(s.gateway), vnet_addr(s.phone), slice_of(announcement, sizeof announcement));
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_int_equal(s.n_requests, 2);
    assert_int_equal(s.state, PORTMAP_MAPPED);
    end(&s);
}

static void strangers(void **state)
{
    struct scene s;
    struct vnet_host *stranger;
    uint8_t forged[60] = {2, 0x81};

    (void)state;
    begin(&s, GATEWAY_DEAF);
    stranger = vnet_add_host(s.net, NULL, "stranger", "192.168.1.3:5351");
    env_send(vnet_env(stranger), vnet_addr(s.phone), slice_of(forged, sizeof forged));
    env_send(vnet_env(s.gateway), vnet_addr(s.phone),
             slice_of(forged, sizeof forged)); /* without our nonce */
    for (size_t n = 0; n < sizeof forged; n++)
        env_send(vnet_env(s.gateway), vnet_addr(s.phone), slice_of(forged, n));
    vnet_run_for(s.net, NS_PER_S / 2, NULL, NULL);
    assert_int_equal(s.n_states, 0);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a PCP router maps the port, keeps it for a day, moves it, gives it up", pcp),
        sentence("a NAT-PMP router is spoken to in its own language, also when it ignores PCP", nat_pmp),
        sentence("without a gateway, or a willing one, it fails and tries later", no_gateway),
        sentence("a router that restarted is asked again at once", gateway_restarts),
        sentence("answers of strangers or without our nonce change nothing", strangers),
    };

    return run_sentences("portmap", tests);
}
