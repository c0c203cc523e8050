/* tests/unit/nat/ice_phone.h - a phone that is nothing but an ICE agent, a TURN client and a stream of packets.
 *
 * Candidates and credentials reach the other phone by a signalling channel of SIGNAL_NS that cannot fail. Once
 * there is a path, a packet goes out every 20 ms; arrivals give the longest gap. */
#ifndef ITO_TESTS_ICE_PHONE_H
#define ITO_TESTS_ICE_PHONE_H

#include "base/mem.h"
#include "nat/ice.h"
#include "nat/stun_client.h"
#include "nat/turn_client.h"
#include "unit/nat/fake_turn.h"

#define MS              NS_PER_MS
#define SIGNAL_NS       (30 * MS)
#define PHONE_TURN      2
#define PHONE_PREDICTED 8

struct phone {
    struct vnet *net;
    struct vnet_host *host;
    struct phone *peer;
    struct ice *ice;
    struct stun_client *stun;
    struct turn *turns[PHONE_TURN];
    unsigned n_turns;
    size_t n_predicted; /* ports of a counting NAT to offer; 0..PHONE_PREDICTED */
    bool hides_direct;  /* tells relayed candidates only */
    unsigned n_paths, n_failed, n_lost;
    ns_t path_at, failed_at;
    uint64_t n_media_in, n_media_out;
    ns_t media_at, longest_gap, next_media_at;
    uint8_t media_base; /* of the last packet in */
};

struct signal {
    struct phone *to;
    struct candidate candidate;
    char ufrag[ICE_CRED_MAX + 1], pwd[ICE_CRED_MAX + 1];
    bool is_end;
};

static inline void signal_arrives(void *arg, ns_t now)
{
    struct signal *s = arg;

    if (s->is_end)
        ice_end_of_remote(s->to->ice, now);
    else if (s->ufrag[0] != '\0')
        (void)ice_set_remote(s->to->ice, now, s->ufrag, s->pwd);
    else
        (void)ice_add_remote(s->to->ice, now, &s->candidate);
    mem_free(s);
}

static inline void phone_tell_credentials(struct phone *p)
{
    struct signal *s = mem_alloc(sizeof *s);

    s->to = p->peer;
    strcpy(s->ufrag, ice_ufrag(p->ice));
    strcpy(s->pwd, ice_pwd(p->ice));
    vnet_after(p->net, SIGNAL_NS, signal_arrives, s);
}

static inline void phone_tell_candidate(struct phone *p, const struct candidate *c)
{
    struct signal *s = mem_alloc(sizeof *s);

    s->to = p->peer;
    s->candidate = *c;
    vnet_after(p->net, SIGNAL_NS, signal_arrives, s);
}

/* Add a candidate of ours and tell it. */
static inline void phone_offer(struct phone *p, enum candidate_type type, const struct addr *addr,
                               const struct addr *related, uint8_t base)
{
    struct candidate c = candidate_make(type, addr, related, base, (uint16_t)(65535 - base));

    if (p->hides_direct && type != CANDIDATE_RELAYED)
        return;
    if (ice_add_local(p->ice, vnet_now(p->net), &c) == ERR_OK)
        phone_tell_candidate(p, &c);
}

static inline void phone_ice_send(void *arg, uint8_t base, const struct addr *to, struct slice bytes)
{
    struct phone *p = arg;

    if (base == 0)
        env_send(vnet_env(p->host), to, bytes);
    else
        (void)turn_send(p->turns[base - 1], vnet_now(p->net), to, bytes);
}

static inline void phone_path(void *arg, ns_t now, const struct ice_path *path)
{
    struct phone *p = arg;

    (void)path;
    p->n_paths++;
    p->path_at = now;
    if (p->next_media_at == NS_NEVER)
        p->next_media_at = now;
}

static inline void phone_failed(void *arg, ns_t now)
{
    struct phone *p = arg;

    p->n_failed++;
    p->failed_at = now;
}

static inline void phone_lost(void *arg, ns_t now)
{
    struct phone *p = arg;

    (void)now;
    p->n_lost++;
}

/* What came from `from` by this base: STUN of the agent, or media. */
static inline void phone_take(struct phone *p, ns_t now, uint8_t base, const struct addr *from,
                              struct slice bytes)
{
    if (ice_input(p->ice, now, base, from, bytes) || bytes.len < 12 || bytes.data[0] != 0x80)
        return;
    if (p->media_at != 0 && now - p->media_at > p->longest_gap)
        p->longest_gap = now - p->media_at;
    p->media_at = now;
    p->n_media_in++;
    p->media_base = base;
    ice_heard(p->ice, now, base, from);
}

static inline void phone_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct phone *p = arg;

    for (unsigned i = 0; i < p->n_turns; i++)
        if (addr_equal(from, turn_server(p->turns[i])) && turn_input(p->turns[i], now, bytes))
            return;
    if (p->stun != NULL && stun_client_input(p->stun, now, from, bytes))
        return;
    phone_take(p, now, 0, from, bytes);
}

static inline void phone_turn_data(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct phone *p = arg;

    phone_take(p, now, 1, from, bytes);
}

static inline void phone_turn2_data(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    phone_take(arg, now, 2, from, bytes);
}

static inline void phone_send_plain(void *arg, const struct addr *to, struct slice bytes)
{
    env_send(vnet_env(((struct phone *)arg)->host), to, bytes);
}

static inline void phone_turn_state(void *arg, ns_t now, enum turn_state state, const struct addr *relayed,
                                    const struct addr *mapped)
{
    struct phone *p = arg;

    (void)now;
    if (state == TURN_READY)
        phone_offer(p, CANDIDATE_RELAYED, relayed, mapped, 1);
}

static inline void phone_turn2_state(void *arg, ns_t now, enum turn_state state, const struct addr *relayed,
                                     const struct addr *mapped)
{
    struct phone *p = arg;

    (void)now;
    if (state == TURN_READY)
        phone_offer(p, CANDIDATE_RELAYED, relayed, mapped, 2);
}

static inline void phone_stun_answer(void *arg, ns_t now, const struct addr *server, enum err result,
                                     const struct addr *mapped)
{
    struct phone *p = arg;
    struct addr next[PHONE_PREDICTED];

    (void)now;
    (void)server;
    if (result == ERR_OK)
        phone_offer(p, CANDIDATE_SRFLX, mapped, vnet_addr(p->host), 0);
    for (size_t n = stun_client_predict(p->stun, next, p->n_predicted); n > 0; n--)
        phone_offer(p, CANDIDATE_SRFLX, &next[n - 1], vnet_addr(p->host), 0);
}

static inline ns_t phone_deadline(void *arg)
{
    struct phone *p = arg;
    ns_t at = ns_min(p->next_media_at, ice_deadline(p->ice));

    for (unsigned i = 0; i < p->n_turns; i++)
        at = ns_min(at, turn_deadline(p->turns[i]));
    return p->stun != NULL ? ns_min(at, stun_client_deadline(p->stun)) : at;
}

static inline void phone_tick(void *arg, ns_t now)
{
    struct phone *p = arg;
    uint8_t media[80] = {0x80};
    const struct ice_path *path;

    ice_tick(p->ice, now);
    for (unsigned i = 0; i < p->n_turns; i++)
        turn_tick(p->turns[i], now);
    if (p->stun != NULL)
        stun_client_tick(p->stun, now);
    path = ice_path(p->ice);
    if (now >= p->next_media_at) {
        p->next_media_at = path != NULL ? now + 20 * MS : NS_NEVER;
        if (path != NULL) {
            p->n_media_out++;
            phone_ice_send(p, path->base, &path->remote, slice_of(media, sizeof media));
            path = ice_standby(p->ice, now);
            if (path != NULL)
                phone_ice_send(p, path->base, &path->remote, slice_of(media, sizeof media));
        }
    }
}

static inline void phone_init(struct phone *p, struct vnet *net, struct vnet_nat *nat, const char *name,
                              const char *ip_port, bool is_controlling)
{
    static const struct ice_ops ops = {phone_ice_send, phone_path, phone_failed, phone_lost};
    static const struct clock_ops driver = {phone_deadline, phone_tick};
    struct ice_config config = {.is_controlling = is_controlling};

    memset(p, 0, sizeof *p);
    p->net = net;
    p->next_media_at = NS_NEVER;
    p->host = vnet_add_host(net, nat, name, ip_port);
    p->ice = ice_create(&config, &ops, p, vnet_env(p->host));
    vnet_on_recv(p->host, phone_recv, p);
    vnet_drive(p->host, &driver, p);
}

static inline void phone_fini(struct phone *p)
{
    ice_destroy(p->ice);
    stun_client_destroy(p->stun);
    for (unsigned i = 0; i < p->n_turns; i++)
        turn_destroy(p->turns[i]);
}

static inline void phone_use_stun(struct phone *p, const struct fake_turn *server)
{
    static const struct stun_client_ops ops = {phone_send_plain, phone_stun_answer};

    p->stun = stun_client_create(&ops, p, vnet_env(p->host));
    (void)stun_client_ask(p->stun, vnet_now(p->net), vnet_addr(server->host));
}

static inline void phone_use_turn(struct phone *p, const struct fake_turn *server)
{
    static const struct turn_client_ops ops[PHONE_TURN] = {
        {phone_send_plain, phone_turn_data, phone_turn_state},
        {phone_send_plain, phone_turn2_data, phone_turn2_state}};
    struct turn_client_config c = {.server = *vnet_addr(server->host), .username = "u", .password = "p"};

    p->turns[p->n_turns] = turn_create(&c, &ops[p->n_turns], p, vnet_env(p->host));
    p->n_turns++;
    turn_start(p->turns[p->n_turns - 1], vnet_now(p->net));
}

/* Exchange credentials and host candidates. */
static inline void phones_meet(struct phone *a, struct phone *b)
{
    a->peer = b;
    b->peer = a;
    phone_tell_credentials(a);
    phone_tell_credentials(b);
    phone_offer(a, CANDIDATE_HOST, vnet_addr(a->host), NULL, 0);
    phone_offer(b, CANDIDATE_HOST, vnet_addr(b->host), NULL, 0);
}

static inline bool is_direct(const struct phone *p)
{
    return ice_path(p->ice) != NULL && !ice_path(p->ice)->is_relayed;
}

#endif
