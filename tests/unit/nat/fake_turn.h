/* tests/unit/nat/fake_turn.h - a small TURN and STUN server on a vnet host, for tests of the clients.
 *
 * Long-term credentials user "u", password "p", realm "r"; it keeps no expiry but counts what it was asked, so
 * that a test can see refreshes. One allocation per 5-tuple. */
#ifndef ITO_TESTS_FAKE_TURN_H
#define ITO_TESTS_FAKE_TURN_H

#include "nat/stun.h"
#include "tests/sim/vnet.h"

#define FAKE_ALLOCATIONS 8
#define FAKE_PEERS       64

struct fake_turn;

struct fake_allocation {
    struct fake_turn *server;
    struct addr client;
    struct vnet_socket *socket; /* NULL: free */
    struct addr permitted[FAKE_PEERS];
    unsigned n_permitted;
    struct addr channels[FAKE_PEERS]; /* number 0x4000 + index */
};

struct fake_turn {
    struct vnet_host *host;
    struct fake_allocation allocations[FAKE_ALLOCATIONS];
    char nonce[16];
    unsigned n_challenges, n_allocates, n_refreshes, n_permissions, n_binds, n_sends, n_channel_data;
    bool is_deaf;
    uint16_t refuse_with; /* answer every signed request by this code; 0: do not */
};

static inline void fake_answer(struct fake_turn *s, const struct addr *to, struct stun_wr *w, bool is_signed)
{
    uint8_t key[STUN_SHA1_KEY_BYTES];

    if (is_signed) {
        stun_long_term_key(slice_str("u"), slice_str("r"), slice_str("p"), key);
        stun_put_integrity(w, slice_of(key, sizeof key));
    }
    stun_put_fingerprint(w);
    env_send(vnet_env(s->host), to, stun_end(w));
}

static inline void fake_error(struct fake_turn *s, const struct addr *to, const struct stun_msg *m,
                              uint16_t code, bool is_signed)
{
    uint8_t buf[512];
    struct stun_wr w;

    stun_begin_answer(&w, buf, sizeof buf, STUN_ERROR, m);
    stun_put_error(&w, code, stun_code_text(code));
    if (code == STUN_UNAUTHENTICATED || code == STUN_STALE_NONCE) {
        stun_put(&w, STUN_REALM, slice_str("r"));
        stun_put(&w, STUN_NONCE, slice_str(s->nonce));
    }
    fake_answer(s, to, &w, is_signed);
}

static inline void fake_from_peer(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct fake_allocation *a = arg;
    uint8_t buf[2048], id[STUN_ID_BYTES];
    struct stun_wr w;
    bool may = false;

    (void)now;
    for (unsigned i = 0; i < a->n_permitted; i++)
        may = may || addr_equal_ip(&a->permitted[i], from);
    if (!may)
        return;
    for (unsigned i = 0; i < FAKE_PEERS; i++) {
        if (addr_equal(&a->channels[i], from)) {
            env_send(vnet_env(a->server->host), &a->client,
                     stun_channel_write(buf, sizeof buf, (uint16_t)(STUN_CHANNEL_MIN + i), bytes));
            return;
        }
    }
    env_random(vnet_env(a->server->host), id, sizeof id);
    stun_begin(&w, buf, sizeof buf, STUN_INDICATION, TURN_DATA, id);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, from);
    stun_put(&w, STUN_DATA, bytes);
    env_send(vnet_env(a->server->host), &a->client, stun_end(&w));
}

static inline struct fake_allocation *fake_find(struct fake_turn *s, const struct addr *client)
{
    for (int i = 0; i < FAKE_ALLOCATIONS; i++)
        if (s->allocations[i].socket != NULL && addr_equal(&s->allocations[i].client, client))
            return &s->allocations[i];
    return NULL;
}

static inline struct fake_allocation *fake_allocate(struct fake_turn *s, const struct addr *client)
{
    struct fake_allocation *a = fake_find(s, client);

    for (int i = 0; a == NULL && i < FAKE_ALLOCATIONS; i++)
        if (s->allocations[i].socket == NULL)
            a = &s->allocations[i];
    if (a != NULL && a->socket == NULL) {
        memset(a, 0, sizeof *a);
        a->server = s;
        a->client = *client;
        a->socket = vnet_open_port(s->host, 0, fake_from_peer, a);
    }
    return a;
}

/* A signed request with right credentials. */
static inline void fake_serve(struct fake_turn *s, const struct addr *from, const struct stun_msg *m)
{
    struct fake_allocation *a = m->method == TURN_ALLOCATE ? fake_allocate(s, from) : fake_find(s, from);
    uint8_t buf[512];
    struct stun_wr w;

    if (a == NULL || s->refuse_with != 0) {
        fake_error(s, from, m, s->refuse_with != 0 ? s->refuse_with : STUN_ALLOCATION_MISMATCH, true);
        return;
    }
    stun_begin_answer(&w, buf, sizeof buf, STUN_SUCCESS, m);
    switch (m->method) {
    case TURN_ALLOCATE:
        s->n_allocates++;
        stun_put_addr(&w, STUN_XOR_RELAYED_ADDRESS, vnet_socket_addr(a->socket));
        stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, from);
        stun_put_u32(&w, STUN_LIFETIME, m->lifetime_s);
        break;
    case TURN_REFRESH:
        s->n_refreshes++;
        stun_put_u32(&w, STUN_LIFETIME, m->lifetime_s);
        if (m->lifetime_s == 0) {
            vnet_close_port(a->socket);
            a->socket = NULL;
        }
        break;
    case TURN_CREATE_PERMISSION:
        s->n_permissions++;
        if (a->n_permitted < FAKE_PEERS)
            a->permitted[a->n_permitted++] = m->peers[0];
        break;
    case TURN_CHANNEL_BIND:
        s->n_binds++;
        if (m->channel - STUN_CHANNEL_MIN < FAKE_PEERS)
            a->channels[m->channel - STUN_CHANNEL_MIN] = m->peers[0];
        if (a->n_permitted < FAKE_PEERS)
            a->permitted[a->n_permitted++] = m->peers[0];
        break;
    }
    fake_answer(s, from, &w, true);
}

static inline void fake_indication(struct fake_turn *s, const struct addr *from, const struct addr *to,
                                   struct slice data)
{
    struct fake_allocation *a = fake_find(s, from);

    for (unsigned i = 0; a != NULL && i < a->n_permitted; i++) {
        if (addr_equal_ip(&a->permitted[i], to)) {
            vnet_send_from(a->socket, to, data);
            return;
        }
    }
}

static inline void fake_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct fake_turn *s = arg;
    struct fake_allocation *a;
    uint8_t key[STUN_SHA1_KEY_BYTES], buf[128];
    struct stun_wr w;
    struct stun_msg m;
    uint16_t channel;
    struct slice data;

    (void)now;
    if (s->is_deaf)
        return;
    if (stun_channel_parse(bytes, &channel, &data) == ERR_OK) {
        s->n_channel_data++;
        a = fake_find(s, from);
        if (a != NULL && channel - STUN_CHANNEL_MIN < FAKE_PEERS)
            fake_indication(s, from, &a->channels[channel - STUN_CHANNEL_MIN], data);
        return;
    }
    if (stun_parse(bytes, &m) != ERR_OK)
        return;
    if (m.cls == STUN_INDICATION && m.method == TURN_SEND && m.n_peers == 1) {
        s->n_sends++;
        fake_indication(s, from, &m.peers[0], m.data);
    } else if (m.cls == STUN_REQUEST && m.method == STUN_BINDING) {
        stun_begin_answer(&w, buf, sizeof buf, STUN_SUCCESS, &m);
        stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, from);
        fake_answer(s, from, &w, false);
    } else if (m.cls == STUN_REQUEST) {
        stun_long_term_key(slice_str("u"), slice_str("r"), slice_str("p"), key);
        if (stun_check_integrity(&m, slice_of(key, sizeof key)) != ERR_OK) {
            s->n_challenges++;
            fake_error(s, from, &m, STUN_UNAUTHENTICATED, false);
        } else if (!slice_is(m.nonce, s->nonce)) {
            s->n_challenges++;
            fake_error(s, from, &m, STUN_STALE_NONCE, true);
        } else {
            fake_serve(s, from, &m);
        }
    }
}

static inline void fake_turn_init(struct fake_turn *s, struct vnet *net, const char *ip_port)
{
    memset(s, 0, sizeof *s);
    s->host = vnet_add_host(net, NULL, "relay", ip_port);
    strcpy(s->nonce, "nonce-1");
    vnet_on_recv(s->host, fake_recv, s);
}

#endif
