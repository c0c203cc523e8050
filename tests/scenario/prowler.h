/* scenario/prowler.h - somebody with keys of their own, a session table and no manners: opens sessions to whatever
 * address, under whatever secret, and counts what comes back. Everything is the shipped session layer's. */
#ifndef ITO_SCENARIO_PROWLER_H
#define ITO_SCENARIO_PROWLER_H

#include "scenario/homes.h"

#include "app/app_priv.h"
#include "base/mem.h"

struct prowler {
    struct vnet *net;
    struct vnet_host *host;
    struct clock_driver *driver;
    struct keyring keys;
    struct sessions *sessions;
    unsigned n_answers, n_up; /* datagrams that came back; sessions that came up */
};

static inline void prowler_send(void *arg, const struct path *via, struct slice bytes)
{
    env_send(vnet_env(((struct prowler *)arg)->host), &via->addr, bytes);
}

static inline bool prowler_admit(void *arg, const struct session_hello *hello, const struct path *via)
{
    (void)arg, (void)hello, (void)via;
    return false;
}

static inline void prowler_up(void *arg, struct session *s, ns_t now)
{
    ((struct prowler *)arg)->n_up++;
    session_send(s, now, SESSION_SIP, slice_str("OPTIONS sip:you SIP/2.0\r\n\r\n"));
}

static inline void prowler_message(void *arg, struct session *s, uint8_t chan, struct slice msg, ns_t now)
{
    (void)arg, (void)s, (void)chan, (void)msg, (void)now;
}

static inline void prowler_closed(void *arg, struct session *s, enum err why, ns_t now)
{
    (void)arg, (void)s, (void)why, (void)now;
}

static inline void prowler_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct prowler *p = arg;
    struct path via = path_udp(from);

    p->n_answers++;
    if (bytes.len > 0 && bytes.data[0] >= 192)
        sessions_input(p->sessions, now, &via, bytes);
}

static inline ns_t prowler_deadline(void *arg)
{
    return sessions_deadline(((struct prowler *)arg)->sessions);
}

static inline void prowler_tick(void *arg, ns_t now)
{
    sessions_tick(((struct prowler *)arg)->sessions, now);
}

/* keys NULL: new ones; else those of somebody, borrowed from his phone. */
static inline struct prowler *prowler_create(struct vnet *net, const char *ip_port,
                                             const struct keyring *keys)
{
    static const struct session_ops ops = {.send = prowler_send,
                                           .admit = prowler_admit,
                                           .established = prowler_up,
                                           .message = prowler_message,
                                           .closed = prowler_closed};
    static const struct clock_ops drive = {.deadline = prowler_deadline, .tick = prowler_tick};
    struct prowler *p = mem_alloc(sizeof *p);
    struct sessions_config config = {.ops = &ops, .arg = p};
    struct sessions_self self = {.n_devices = 1};
    uint8_t phrase[KEY_BYTES];

    p->net = net;
    p->host = vnet_add_host(net, NULL, "prowler", ip_port);
    if (keys != NULL)
        p->keys = *keys;
    else
        keyring_create(vnet_env(p->host), &p->keys, phrase);
    memcpy(self.identity, p->keys.identity.pub, KEY_BYTES);
    memcpy(self.devices[0].secret, p->keys.device.secret, KEY_BYTES);
    memcpy(self.devices[0].public, p->keys.device.pub, KEY_BYTES);
    memcpy(self.devices[0].certificate, p->keys.cert, CERT_BYTES);
    p->sessions = sessions_create(&config, vnet_env(p->host));
    assert_int_equal(sessions_set_self(p->sessions, &self), ERR_OK);
    vnet_on_recv(p->host, prowler_recv, p);
    p->driver = vnet_drive(p->host, &drive, p);
    return p;
}

static inline void prowler_destroy(struct prowler *p)
{
    vnet_undrive(p->host, p->driver);
    vnet_on_recv(p->host, NULL, NULL);
    sessions_destroy(p->sessions);
    keyring_wipe(&p->keys);
    mem_free(p);
}

/* Open to `who` at its own address, and wait until that has come to an end; answers that came. */
static inline unsigned prowler_try(struct prowler *p, const struct sim_phone *who, enum session_class class,
                                   const uint8_t *secret)
{
    struct session_peer peer = {.class = class, .kind = HELLO_CALL};
    struct path via = path_udp(vnet_addr(who->host));
    unsigned before = p->n_answers;
    struct session *s;
    uint8_t seed[32] = {7};

    if (class == SESSION_NODE) {
        memcpy(peer.responder, app_node_key(who->app), KEY_BYTES);
    } else {
        memcpy(peer.responder, who->keys.identity.pub, KEY_BYTES);
        memcpy(peer.responder_static, who->keys.device.pub, KEY_BYTES);
        memcpy(peer.secret, secret, KEY_BYTES);
    }
    if (class == SESSION_NODE)
        assert_int_equal(sessions_open_account(p->sessions, vnet_now(p->net), &peer, seed, &via, 1, &s),
                         ERR_OK);
    else
        assert_int_equal(sessions_open(p->sessions, vnet_now(p->net), &peer, &via, 1, &s), ERR_OK);
    vnet_run_for(p->net, SECONDS(12), NULL, NULL);
    return p->n_answers - before;
}

/* What costs a phone something: X25519 computed, and what it said to first messages. */
static inline uint64_t dh_of(const struct sim_phone *p)
{
    return sessions_stats(p->app->sessions)->dh;
}

static inline uint64_t answers_of(const struct sim_phone *p)
{
    return sessions_stats(p->app->sessions)->answers;
}

#endif
