/* Promise (THREATS.md §5, "address hidden until answer"): a contact tries first messages on every address, also in the
 * name of a session that stands, and gets no answer from the phone's own address under policy `private`. */
#include "scenario/homes.h"

#include "app/app_priv.h"

#define CLIENT "{\"net\": {\"client\": true}}"

struct ear {
    struct vnet_host *of;
    const struct addr *to;
    unsigned tried, firsts,
        answers; /* of sessions: what reached the host from there, first messages, what left it */
};

static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    struct ear *e = arg;

    (void)now;
    if (host != e->of || bytes.len == 0 || bytes.data[0] < 192)
        return;
    if (out) {
        e->answers += addr_equal(to, e->to);
    } else if (addr_equal(from, e->to)) {
        e->tried++;
        e->firsts += bytes.data[0] == HANDSHAKE_MSG1;
    }
}

static struct session *session_with(struct sim_phone *p, const struct sim_phone *with)
{
    struct session *s = sessions_find(p->app->sessions, SESSION_CONTACT, with->keys.device.pub);

    assert_non_null(s);
    return s;
}

static void by_a_standing_session(void **state)
{
    static const char *const names[] = {"boot", "relay", "relay2", "alice", "bob"};
    static const char *const places[] = {"198.51.100.30:4000", "198.51.100.20:4000", "203.0.113.20:4000",
                                         "20.0.1.1:4000", "20.0.2.1:4000"};
    struct vnet *net = new_net(82);
    struct sim_phone *p[5];
    struct path direct;
    struct ear ear = {0};
    struct sim_phone *nosy, *target;

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct vnet_host *host = vnet_add_host(net, NULL, names[i], places[i]);

        p[i] = sim_phone_create(net, host, i == 1 || i == 2 ? APP_RELAY : APP_DAEMON, i > 2 ? CLIENT : NULL);
        if (i > 0)
            sim_bootstrap(p[i], p[0]);
    }
    vnet_run_for(net, SECONDS(20), NULL, NULL);
    sim_befriend(p[3], "Bob", p[4], "Alice");
    vnet_run_for(net, SECONDS(60), NULL, NULL);
    nosy =
        session_is_initiator(session_with(p[3], p[4])) ? p[3] : p[4]; /* who makes new keys after an hour */
    target = nosy == p[3] ? p[4] : p[3];
    ear = (struct ear){.of = target->host, .to = vnet_addr(nosy->host)};
    vnet_tap(net, NULL, on_packet, &ear);
    direct = path_udp(vnet_addr(target->host));
    for (int i = 0; i < 100; i++) {
        vnet_run_for(net, SECONDS(40), NULL, NULL);
        if (vnet_now(net) > CLOCK_START_NS + SECONDS(3590) && ear.firsts == 0)
            session_set_path(session_with(nosy, target), &direct);
    }
    printf("%u datagrams to the other's address, %u of them first messages; %u answers from there\n",
           ear.tried, ear.firsts, ear.answers);
    assert_true(ear.firsts > 0);
    assert_int_equal(ear.answers, 0);
    for (int i = 4; i >= 0; i--)
        sim_phone_destroy(p[i]);
    vnet_destroy(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a contact who speaks to a phone's own address gets no answer from there, not even new keys",
                 by_a_standing_session),
    };

    return run_sentences("address", tests);
}
