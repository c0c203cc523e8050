#include "nat/turn_client.h"

#include "base/mem.h"
#include "crypto/secret.h"
#include "nat/stun_client.h"

#define LIFETIME_S       600
#define REFRESH_EARLY_S  60
#define PERMISSION_NS    (240 * NS_PER_S) /* lasts 300 s, RFC 8656 §9 */
#define CHANNEL_NS       (540 * NS_PER_S) /* lasts 600 s, RFC 8656 §12 */
#define RETRY_REFUSED_NS (30 * NS_PER_S)  /* before asking again for a peer the server refused */
#define CLOSE_WAIT_NS    (1500 * NS_PER_MS)
#define AUTH_RETRIES     2
#define REQUEST_BYTES    1024

/* One transaction under way; at most one for each purpose. */
struct request {
    uint16_t method;
    struct stun_retry retry;
    uint8_t id[STUN_ID_BYTES];
    bool was_signed;
    unsigned n_auth; /* 401 and 438 met */
    ns_t sent_at;
};

/* A peer address we send to. The permission is for its IP; a channel is for IP and port. */
struct peer {
    struct addr addr;
    uint16_t channel; /* 0: none asked for */
    bool is_bound;
    unsigned n_sent;
    ns_t permit_at, bind_at; /* when to ask (again); permit_at NS_NEVER: another peer of this IP does */
    struct request permit, bind;
};

struct turn {
    const struct turn_client_ops *ops;
    void *arg;
    const struct env *env;
    bool is_dead;
    enum turn_state state;
    struct addr server, relayed, mapped;
    char username[TURN_CLIENT_USERNAME_BYTES], realm[TURN_REALM_BYTES], nonce[TURN_NONCE_BYTES];
    char password[TURN_CLIENT_PASSWORD_BYTES];
    uint8_t key[STUN_SHA1_KEY_BYTES];
    bool has_key;
    uint32_t lifetime_s;
    uint8_t family;
    struct request main; /* Allocate, then Refresh */
    ns_t refresh_at, close_at;
    uint16_t next_channel, error_code;
    struct peer peers[TURN_PEERS_MAX];
    unsigned n_peers;
    struct turn_client_stats stats;
};

static bool copy_text(char *out, size_t size, struct slice text)
{
    if (text.len >= size)
        return false;
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static void make_key(struct turn *t)
{
    t->has_key = t->realm[0] != '\0' && t->nonce[0] != '\0';
    if (t->has_key)
        stun_long_term_key(slice_str(t->username), slice_str(t->realm), slice_str(t->password), t->key);
}

struct turn *turn_create(const struct turn_client_config *config, const struct turn_client_ops *ops,
                         void *arg, const struct env *env)
{
    struct turn *t = mem_alloc(sizeof *t);
    bool fits = copy_text(t->username, sizeof t->username, slice_str(config->username)) &&
                copy_text(t->password, sizeof t->password, slice_str(config->password));

    t->ops = ops;
    t->arg = arg;
    t->env = env;
    t->server = config->server;
    t->lifetime_s = config->lifetime_s > 0 ? config->lifetime_s : LIFETIME_S;
    t->family = config->family;
    t->next_channel = STUN_CHANNEL_MIN;
    t->refresh_at = t->close_at = NS_NEVER;
    stun_retry_stop(&t->main.retry);
    if (fits && config->realm != NULL && config->nonce != NULL &&
        copy_text(t->realm, sizeof t->realm, slice_str(config->realm)) &&
        copy_text(t->nonce, sizeof t->nonce, slice_str(config->nonce)))
        make_key(t);
    if (!fits)
        t->state = TURN_FAILED; /* credentials over their cap: no request can carry them */
    return t;
}

static void turn_free(void *arg)
{
    secret_wipe(arg, sizeof(struct turn));
    mem_free(arg);
}

void turn_destroy(struct turn *t)
{
    if (t == NULL || t->is_dead)
        return;
    t->is_dead = true;
    env_defer(t->env, turn_free, t);
}

static void set_state(struct turn *t, ns_t now, enum turn_state state)
{
    if (t->state == state)
        return;
    t->state = state;
    if (state == TURN_FAILED || state == TURN_CLOSED) {
        stun_retry_stop(&t->main.retry);
        t->refresh_at = t->close_at = NS_NEVER;
        t->relayed.family = ADDR_NONE;
        t->n_peers = 0;
    }
    if (state == TURN_READY || state == TURN_FAILED || state == TURN_CLOSED)
        t->ops->state(t->arg, now, state, &t->relayed, &t->mapped);
}

/* Write and send what the request stands for; peer is NULL for the allocation itself. */
static void transmit(struct turn *t, ns_t now, struct request *q, const struct peer *p)
{
    uint8_t buf[REQUEST_BYTES];
    struct stun_wr w;
    struct slice bytes;

    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, q->method, q->id);
    if (q->method == TURN_ALLOCATE) {
        stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
        if (t->family == ADDR_V6)
            stun_put_u8(&w, STUN_REQUESTED_FAMILY, STUN_FAMILY_V6);
    }
    if (q->method == TURN_ALLOCATE || q->method == TURN_REFRESH)
        stun_put_u32(&w, STUN_LIFETIME, t->state == TURN_CLOSING ? 0 : t->lifetime_s);
    if (q->method == TURN_CHANNEL_BIND)
        stun_put_u16(&w, STUN_CHANNEL_NUMBER, p->channel);
    if (p != NULL)
        stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &p->addr);
    if (t->has_key) {
        stun_put(&w, STUN_USERNAME, slice_str(t->username));
        stun_put(&w, STUN_REALM, slice_str(t->realm));
        stun_put(&w, STUN_NONCE, slice_str(t->nonce));
        stun_put_integrity(&w, slice_of(t->key, sizeof t->key));
    }
    stun_put_fingerprint(&w);
    bytes = stun_end(&w);
    q->was_signed = t->has_key;
    q->sent_at = now;
    if (bytes.len > 0)
        t->ops->send(t->arg, &t->server, bytes);
}

/* A new transaction, sent at once. */
static void begin(struct turn *t, ns_t now, struct request *q, uint16_t method, const struct peer *p)
{
    q->method = method;
    env_random(t->env, q->id, sizeof q->id);
    stun_retry_start(&q->retry, now);
    (void)stun_retry_due(&q->retry, now);
    transmit(t, now, q, p);
}

void turn_start(struct turn *t, ns_t now)
{
    if (t->state != TURN_IDLE) {
        if (t->state == TURN_FAILED)
            t->ops->state(t->arg, now, TURN_FAILED, &t->relayed, &t->mapped);
        return;
    }
    t->state = TURN_ASKING;
    t->main.n_auth = 0;
    begin(t, now, &t->main, TURN_ALLOCATE, NULL);
}

static struct peer *find_peer(struct turn *t, const struct addr *a)
{
    for (unsigned i = 0; i < t->n_peers; i++)
        if (addr_equal(&t->peers[i].addr, a))
            return &t->peers[i];
    return NULL;
}

/* We have asked for this IP's permission: for one peer of it. */
static bool is_asked_ip(const struct turn *t, const struct addr *a)
{
    for (unsigned i = 0; i < t->n_peers; i++)
        if (addr_equal_ip(&t->peers[i].addr, a))
            return true;
    return false;
}

static struct peer *get_peer(struct turn *t, const struct addr *a)
{
    struct peer *p = find_peer(t, a);

    if (p != NULL || t->n_peers == TURN_PEERS_MAX)
        return p;
    p = &t->peers[t->n_peers];
    memset(p, 0, sizeof *p);
    p->addr = *a;
    p->permit_at = is_asked_ip(t, a) ? NS_NEVER : 0;
    p->bind_at = NS_NEVER;
    stun_retry_stop(&p->permit.retry);
    stun_retry_stop(&p->bind.retry);
    t->n_peers++;
    return p;
}

static void ask_permission(struct turn *t, ns_t now, struct peer *p)
{
    if (t->state != TURN_READY || now < p->permit_at || p->permit.retry.at != NS_NEVER)
        return;
    p->permit.n_auth = 0;
    p->permit_at = NS_NEVER;
    begin(t, now, &p->permit, TURN_CREATE_PERMISSION, p);
}

static void ask_channel(struct turn *t, ns_t now, struct peer *p)
{
    if (t->state != TURN_READY || now < p->bind_at || p->bind.retry.at != NS_NEVER)
        return;
    if (p->channel == 0) {
        if (t->next_channel > STUN_CHANNEL_MAX) {
            p->bind_at = NS_NEVER; /* 4096 peers in one allocation: the rest goes by Send indication */
            return;
        }
        p->channel = t->next_channel++;
    }
    p->bind.n_auth = 0;
    p->bind_at = NS_NEVER;
    begin(t, now, &p->bind, TURN_CHANNEL_BIND, p);
}

static enum err peer_of(struct turn *t, const struct addr *a, struct peer **out)
{
    *out = NULL;
    if (t->state == TURN_FAILED || t->state == TURN_CLOSED || t->state == TURN_CLOSING)
        return ERR_STATE;
    if (addr_ip_bytes(a) == 0)
        return ERR_RANGE;
    *out = get_peer(t, a);
    return *out == NULL ? ERR_FULL : ERR_OK;
}

enum err turn_permit(struct turn *t, ns_t now, const struct addr *peer)
{
    struct peer *p;
    enum err e = peer_of(t, peer, &p);

    if (e == ERR_OK)
        ask_permission(t, now, p);
    return e;
}

enum err turn_bind(struct turn *t, ns_t now, const struct addr *peer)
{
    struct peer *p;
    enum err e = peer_of(t, peer, &p);

    if (e != ERR_OK || p->channel != 0)
        return e;
    p->bind_at = 0;
    ask_channel(t, now, p);
    return ERR_OK;
}

static void send_indication(struct turn *t, const struct peer *p, struct slice bytes)
{
    uint8_t buf[TURN_DATA_MAX + TURN_OVERHEAD_MAX], id[STUN_ID_BYTES];
    struct stun_wr w;

    env_random(t->env, id, sizeof id);
    stun_begin(&w, buf, sizeof buf, STUN_INDICATION, TURN_SEND, id);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &p->addr);
    stun_put(&w, STUN_DATA, bytes);
    t->ops->send(t->arg, &t->server, stun_end(&w));
}

enum err turn_send(struct turn *t, ns_t now, const struct addr *peer, struct slice bytes)
{
    uint8_t buf[TURN_DATA_MAX + STUN_CHANNEL_HEADER];
    struct peer *p = NULL;
    enum err e = t->state != TURN_READY ? ERR_STATE : peer_of(t, peer, &p);

    if (e == ERR_OK && bytes.len > TURN_DATA_MAX)
        e = ERR_RANGE;
    if (e != ERR_OK) {
        t->stats.dropped++;
        return e;
    }
    ask_permission(t, now, p);
    if (p->n_sent < TURN_BIND_AFTER && ++p->n_sent == TURN_BIND_AFTER && p->channel == 0)
        (void)turn_bind(t, now, peer);
    t->stats.bytes_out += bytes.len;
    if (p->is_bound)
        t->ops->send(t->arg, &t->server, stun_channel_write(buf, sizeof buf, p->channel, bytes));
    else
        send_indication(t, p, bytes);
    return ERR_OK;
}

static void allocated(struct turn *t, ns_t now, const struct stun_msg *m)
{
    uint32_t s = m->has_lifetime && m->lifetime_s > 0 ? m->lifetime_s : t->lifetime_s;

    t->refresh_at = now + (s > 2 * REFRESH_EARLY_S ? s - REFRESH_EARLY_S : s / 2 + 1) * NS_PER_S;
    if (t->state == TURN_READY)
        return;
    if (m->n_relayed == 0 || m->relayed[0].port == 0) {
        set_state(t, now, TURN_FAILED);
        return;
    }
    t->relayed = m->relayed[0];
    t->mapped = m->mapped;
    t->state = TURN_READY;
    for (unsigned i = 0; i < t->n_peers; i++) { /* permitted before the allocation was there */
        ask_permission(t, now, &t->peers[i]);
        ask_channel(t, now, &t->peers[i]);
    }
    t->ops->state(t->arg, now, TURN_READY, &t->relayed, &t->mapped);
}

static void succeeded(struct turn *t, ns_t now, struct request *q, struct peer *p, const struct stun_msg *m)
{
    if (q->retry.n_sent == 1)
        t->stats.rtt = now - q->sent_at;
    stun_retry_stop(&q->retry);
    q->n_auth = 0;
    if (p == NULL && t->state == TURN_CLOSING) {
        set_state(t, now, TURN_CLOSED);
    } else if (p == NULL) {
        allocated(t, now, m);
    } else if (q == &p->permit) {
        p->permit_at = now + PERMISSION_NS;
    } else {
        p->is_bound = true;
        p->bind_at = now + CHANNEL_NS;
    }
}

static void gave_up(struct turn *t, ns_t now, struct request *q, struct peer *p, uint16_t code)
{
    stun_retry_stop(&q->retry);
    if (p == NULL || code == STUN_ALLOCATION_MISMATCH) {
        t->error_code = code;
        set_state(t, now, t->state == TURN_CLOSING ? TURN_CLOSED : TURN_FAILED);
    } else if (q == &p->permit) {
        p->permit_at = now + RETRY_REFUSED_NS;
    } else {
        p->is_bound = false;
        p->bind_at = now + RETRY_REFUSED_NS;
    }
}

/* A 401 or 438 names realm and nonce to go on with. */
static bool take_challenge(struct turn *t, struct request *q, const struct stun_msg *m)
{
    bool is_challenge =
        (m->error_code == STUN_UNAUTHENTICATED && !(q->was_signed && m->realm.data == NULL)) ||
        m->error_code == STUN_STALE_NONCE;

    if (!is_challenge || m->nonce.len == 0 || q->n_auth == AUTH_RETRIES)
        return false;
    /* The same nonce refused under our key: the password is wrong. */
    if (m->error_code == STUN_UNAUTHENTICATED && q->was_signed && slice_is(m->nonce, t->nonce))
        return false;
    if (m->realm.len > 0 && !copy_text(t->realm, sizeof t->realm, m->realm))
        return false;
    if (!copy_text(t->nonce, sizeof t->nonce, m->nonce))
        return false;
    q->n_auth++;
    make_key(t);
    return t->has_key;
}

static void answered(struct turn *t, ns_t now, struct request *q, struct peer *p, const struct stun_msg *m)
{
    bool is_right = stun_check_integrity(m, slice_of(t->key, sizeof t->key)) == ERR_OK;

    if (m->cls == STUN_SUCCESS && (!q->was_signed || !is_right)) {
        t->stats.bad++; /* not from who has our password */
        return;
    }
    if (m->cls == STUN_SUCCESS)
        succeeded(t, now, q, p, m);
    else if (take_challenge(t, q, m))
        begin(t, now, q, q->method, p);
    else
        gave_up(t, now, q, p, m->error_code);
}

static bool is_answer_to(const struct request *q, const struct stun_msg *m)
{
    return q->retry.at != NS_NEVER && q->method == m->method && memcmp(q->id, m->id, sizeof q->id) == 0;
}

static bool input_response(struct turn *t, ns_t now, const struct stun_msg *m)
{
    if (is_answer_to(&t->main, m)) {
        answered(t, now, &t->main, NULL, m);
        return true;
    }
    for (unsigned i = 0; i < t->n_peers; i++) {
        struct peer *p = &t->peers[i];

        if (is_answer_to(&p->permit, m) || is_answer_to(&p->bind, m)) {
            answered(t, now, is_answer_to(&p->permit, m) ? &p->permit : &p->bind, p, m);
            return true;
        }
    }
    return false;
}

static void deliver(struct turn *t, ns_t now, const struct addr *from, struct slice data)
{
    t->stats.bytes_in += data.len;
    t->ops->data(t->arg, now, from, data);
}

static bool input_channel(struct turn *t, ns_t now, struct slice bytes)
{
    uint16_t channel;
    struct slice data;

    if (stun_channel_parse(bytes, &channel, &data) != ERR_OK)
        return false;
    for (unsigned i = 0; i < t->n_peers; i++) {
        if (t->peers[i].channel == channel) {
            struct addr from = t->peers[i].addr;

            deliver(t, now, &from, data);
            return true;
        }
    }
    t->stats.dropped++;
    return true;
}

bool turn_input(struct turn *t, ns_t now, struct slice bytes)
{
    struct stun_msg m;

    if (t->is_dead || bytes.len < STUN_CHANNEL_HEADER)
        return false;
    if (bytes.data[0] >= 64 && bytes.data[0] <= 79)
        return t->state == TURN_READY && input_channel(t, now, bytes);
    if (!stun_is_message(bytes))
        return false;
    if (stun_parse(bytes, &m) != ERR_OK) {
        t->stats.bad++;
        return false;
    }
    if (m.cls == STUN_SUCCESS || m.cls == STUN_ERROR)
        return input_response(t, now, &m);
    if (m.cls != STUN_INDICATION || m.method != TURN_DATA || m.n_peers != 1 || t->state != TURN_READY)
        return false;
    if (m.data.data == NULL || !is_asked_ip(t, &m.peers[0]))
        t->stats.dropped++;
    else
        deliver(t, now, &m.peers[0], m.data);
    return true;
}

static void tick_request(struct turn *t, ns_t now, struct request *q, struct peer *p)
{
    if (stun_retry_due(&q->retry, now))
        transmit(t, now, q, p);
    else if (stun_retry_is_over(&q->retry, now))
        gave_up(t, now, q, p, 0);
}

void turn_tick(struct turn *t, ns_t now)
{
    if (t->is_dead)
        return;
    if (now >= t->close_at) {
        set_state(t, now, TURN_CLOSED);
        return;
    }
    if (now >= t->refresh_at) {
        t->refresh_at = NS_NEVER;
        t->main.n_auth = 0;
        begin(t, now, &t->main, TURN_REFRESH, NULL);
    }
    tick_request(t, now, &t->main, NULL);
    for (unsigned i = 0; i < t->n_peers && !t->is_dead; i++) {
        struct peer *p = &t->peers[i];

        ask_permission(t, now, p);
        ask_channel(t, now, p);
        tick_request(t, now, &p->permit, p);
        if (i < t->n_peers)
            tick_request(t, now, &p->bind, p);
    }
}

ns_t turn_deadline(const struct turn *t)
{
    ns_t at = ns_min(ns_min(t->refresh_at, t->close_at), t->main.retry.at);

    if (t->is_dead)
        return NS_NEVER;
    for (unsigned i = 0; i < t->n_peers; i++) {
        const struct peer *p = &t->peers[i];

        at = ns_min(at, ns_min(p->permit.retry.at, p->bind.retry.at));
        if (t->state == TURN_READY)
            at = ns_min(at, ns_min(p->permit_at, p->bind_at));
    }
    return at;
}

void turn_close(struct turn *t, ns_t now)
{
    if (t->state == TURN_CLOSED || t->state == TURN_FAILED || t->state == TURN_CLOSING)
        return;
    if (t->state != TURN_READY) { /* an answer on its way makes an allocation that runs out by itself */
        set_state(t, now, TURN_CLOSED);
        return;
    }
    t->state = TURN_CLOSING;
    t->refresh_at = NS_NEVER;
    t->close_at = now + CLOSE_WAIT_NS;
    t->n_peers = 0;
    t->main.n_auth = 0;
    begin(t, now, &t->main, TURN_REFRESH, NULL);
}

enum turn_state turn_get_state(const struct turn *t)
{
    return t->state;
}

uint16_t turn_error_code(const struct turn *t)
{
    return t->error_code;
}

const struct addr *turn_server(const struct turn *t)
{
    return &t->server;
}

const struct addr *turn_relayed(const struct turn *t)
{
    return &t->relayed;
}

const struct addr *turn_mapped(const struct turn *t)
{
    return &t->mapped;
}

const struct turn_client_stats *turn_get_stats(const struct turn *t)
{
    return &t->stats;
}
