#include "relay/turn_server.h"

#include "base/mem.h"
#include "relay/turn_impl.h"

/* --- life --- */

struct turn_server *turn_server_create(const struct turn_server_config *config,
                                       const struct turn_server_ops *ops, void *arg, const struct env *env)
{
    struct turn_server *ts = mem_alloc(sizeof *ts);
    uint64_t seeds[2];

    env_random(env, seeds, sizeof seeds);
    ts->ops = *ops;
    ts->arg = arg;
    ts->env = env;
    ts->is_ordinary = config->is_ordinary;
    ts->max_allocations = config->max_allocations;
    ts->max_per_user = config->max_per_user;
    alloc_table_init(&ts->f.table, TURN_ALLOCATIONS_MAX, config->port_min, config->port_max, seeds[0]);
    ts->f.ids = seeds[1];
    ts->f.allow_local = config->allow_local;
    ts->f.hairpin_only = config->hairpin_only || ops->open_port == NULL;
    ts->f.takes_own = ops->own_input != NULL;
    offload_init(&ts->f.offload, config->offload, config->offload_arg);
    turn_server_set_external(ts, config->external);
    turn_server_set_limits(ts, config->max_allocations, config->max_kbps);
    turn_auth_init(&ts->auth, config);
    return ts;
}

struct turn_usage turn_usage_of(const struct turn_server *ts, const struct allocation *a)
{
    struct turn_usage u = {
        .id = allocation_id(a),
        .ref = a->ref,
        .up_packets = a->up_packets,
        .up_bytes = a->up_bytes,
        .down_packets = a->down_packets,
        .down_bytes = a->down_bytes,
        .lost = a->lost,
        .seconds = a->seconds,
        .created_at = a->created_at,
        .last_at = a->last_at,
        .client = a->client,
    };

    for (int f = 0; f < N_FAMILIES; f++)
        u.relayed[f] = forward_relayed(&ts->f, a, f);
    return u;
}

static void close_family(struct turn_server *ts, ns_t now, struct allocation *a, int family)
{
    offload_drop(&ts->f, now, a);
    if (a->is_open[family]) {
        ts->ops.close_port(ts->arg, forward_handle(family, a->port[family]));
        ts->f.stats.ports_open--;
        a->is_open[family] = false;
    }
    alloc_table_clear_port(&ts->f.table, a, family);
}

static void end_allocation(struct turn_server *ts, ns_t now, struct allocation *a)
{
    struct turn_usage usage;

    offload_drop(&ts->f, now, a);
    usage = turn_usage_of(ts, a);
    for (int f = 0; f < N_FAMILIES; f++)
        close_family(ts, now, a, f);
    if (a->user >= 0)
        ts->auth.users[a->user].n_allocations--;
    alloc_table_remove(&ts->f.table, a);
    ts->f.stats.allocations--;
    if (ts->ops.ended != NULL)
        ts->ops.ended(ts->arg, now, &usage);
}

void turn_server_destroy(struct turn_server *ts)
{
    if (ts == NULL)
        return;
    offload_fini(&ts->f);
    for (uint32_t i = 0; i < ts->f.table.n_rows; i++) {
        if (ts->f.table.rows[i] != NULL)
            end_allocation(ts, ts->f.table.rows[i]->last_at, ts->f.table.rows[i]);
    }
    alloc_table_fini(&ts->f.table);
    turn_auth_fini(&ts->auth);
    mem_free(ts);
}

void turn_server_tick(struct turn_server *ts, ns_t now)
{
    struct heap_node *node;

    while ((node = heap_pop_due(&ts->f.table.timers, now)) != NULL)
        end_allocation(ts, now, heap_item(node, struct allocation, timer));
    offload_step(&ts->f, now);
}

ns_t turn_server_deadline(const struct turn_server *ts)
{
    return ns_min(heap_deadline(&ts->f.table.timers), ts->f.offload.step_at);
}

/* --- answers --- */

int64_t turn_wall_s(const struct turn_server *ts)
{
    return env_wall_ms(ts->env) / 1000;
}

/* Integrity (when the asker is known), fingerprint (when it sent one), and off: unless an unproven address would
 * get more than it gave. */
static bool is_proven(const struct turn_server *ts, const struct request *q)
{
    return q->is_known || ts->is_ordinary || q->a != NULL || addr_is_stream(q->from) ||
           (ts->ops.is_proven != NULL && ts->ops.is_proven(ts->arg, q->from));
}

bool turn_finish(struct turn_server *ts, const struct request *q, struct stun_wr *w)
{
    struct slice key = slice_of(q->who.key, sizeof q->who.key), bytes;

    if (q->is_known) {
        if (q->msg->integrity256_at != 0)
            stun_put_integrity_sha256(w, key);
        else
            stun_put_integrity(w, key);
    }
    if (q->msg->has_fingerprint)
        stun_put_fingerprint(w);
    bytes = stun_end(w);
    if (bytes.len > q->msg->bytes.len && !is_proven(ts, q))
        return false;
    if (bytes.len > 0)
        ts->ops.send(ts->arg, q->from, bytes);
    return true;
}

static void count_error(struct turn_server_stats *s, uint16_t code)
{
    switch (code) {
    case STUN_UNAUTHENTICATED:
        s->errors_401++;
        break;
    case STUN_FORBIDDEN:
        s->errors_403++;
        break;
    case STUN_ALLOCATION_MISMATCH:
        s->errors_437++;
        break;
    case STUN_STALE_NONCE:
        s->errors_438++;
        break;
    case STUN_WRONG_CREDENTIALS:
        s->errors_441++;
        break;
    case STUN_QUOTA_REACHED:
        s->errors_486++;
        break;
    case STUN_INSUFFICIENT_CAPACITY:
        s->errors_508++;
        break;
    default:
        break;
    }
}

void turn_refuse(struct turn_server *ts, const struct request *q, uint16_t code)
{
    static const uint16_t cannot_fragment = STUN_DONT_FRAGMENT;
    uint8_t buf[ANSWER_MAX];
    char nonce[TURN_TICKET_NONCE_BYTES];

    count_error(&ts->f.stats, code);
    /* With the reason's words, and without when they would make it larger than the request; ordinary clients of whom
     * nothing is proven get the least there is. */
    for (int with_reason = !ts->is_ordinary || q->is_known || q->a != NULL; with_reason >= 0; with_reason--) {
        struct stun_wr w;

        stun_begin_answer(&w, buf, sizeof buf, STUN_ERROR, q->msg);
        stun_put_error(&w, code, with_reason ? stun_code_text(code) : "");
        if (code == STUN_UNAUTHENTICATED || code == STUN_STALE_NONCE) {
            turn_auth_nonce(&ts->auth, q->now, q->from, nonce);
            stun_put(&w, STUN_REALM, slice_str(ts->auth.realm));
            stun_put(&w, STUN_NONCE, slice_str(nonce));
        }
        if (code == STUN_UNKNOWN_ATTRIBUTE && q->msg->n_unknown > 0)
            stun_put_unknown(&w, q->msg->unknown, q->msg->n_unknown);
        else if (code == STUN_UNKNOWN_ATTRIBUTE)
            stun_put_unknown(&w, &cannot_fragment, 1);
        if (turn_finish(ts, q, &w))
            return;
    }
    ts->f.stats.unamplified++;
}

static void accept_plain(struct turn_server *ts, const struct request *q)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_wr w;

    stun_begin_answer(&w, buf, sizeof buf, STUN_SUCCESS, q->msg);
    turn_finish(ts, q, &w);
}

static void on_binding(struct turn_server *ts, const struct request *q)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_wr w;

    if (q->msg->change_request != 0 || q->msg->has_response_port) {
        turn_refuse(ts, q, STUN_UNKNOWN_ATTRIBUTE);
        return;
    }
    stun_begin_answer(&w, buf, sizeof buf, STUN_SUCCESS, q->msg);
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, q->from);
    if (!turn_finish(ts, q, &w))
        ts->f.stats.unamplified++;
}

/* --- Refresh, CreatePermission, ChannelBind --- */

static void on_refresh(struct turn_server *ts, const struct request *q)
{
    const struct stun_msg *m = q->msg;
    uint32_t lifetime = m->has_lifetime && m->lifetime_s == 0 ? 0 : turn_lifetime_of(m);
    int family = m->has_family && m->family == STUN_FAMILY_V6 ? IP6 : IP4;
    uint8_t buf[ANSWER_MAX];
    struct stun_wr w;

    if (m->has_family && q->a->port[family] == 0) {
        turn_refuse(ts, q, STUN_FAMILY_MISMATCH);
        return;
    }
    stun_begin_answer(&w, buf, sizeof buf, STUN_SUCCESS, m);
    stun_put_u32(&w, STUN_LIFETIME, lifetime);
    turn_finish(ts, q, &w);
    if (lifetime > 0) {
        heap_set(&ts->f.table.timers, &q->a->timer, q->now + lifetime * NS_PER_S);
    } else if (m->has_family && q->a->port[1 - family] != 0) {
        close_family(ts, q->now, q->a, family);
    } else {
        end_allocation(ts, q->now, q->a);
    }
}

static enum err open_family(struct turn_server *ts, struct allocation *a, int family)
{
    enum err e;

    if (a->is_open[family])
        return ERR_OK;
    e = ts->ops.open_port(ts->arg, family == IP6 ? ADDR_V6 : ADDR_V4, a->port[family],
                          forward_handle(family, a->port[family]));
    if (e == ERR_OK) {
        a->is_open[family] = true;
        ts->f.stats.ports_open++;
    }
    return e;
}

/* 0, or why this address may not be a peer of a; a socket is opened for one outside. */
static uint16_t check_peer(struct turn_server *ts, struct allocation *a, const struct addr *peer, bool by_ip)
{
    int family = family_index(peer);
    enum peer_kind kind;

    if (a->port[family] == 0)
        return STUN_FAMILY_MISMATCH;
    kind = forward_peer_kind(&ts->f, peer, by_ip);
    if (kind == PEER_REFUSED)
        return STUN_FORBIDDEN;
    if (kind == PEER_OUTSIDE && open_family(ts, a, family) != ERR_OK)
        return STUN_INSUFFICIENT_CAPACITY;
    return 0;
}

static void on_create_permission(struct turn_server *ts, const struct request *q)
{
    const struct stun_msg *m = q->msg;
    uint16_t code = m->n_peers == 0 ? STUN_BAD_REQUEST : 0;
    size_t fresh = 0;

    for (uint8_t i = 0; i < m->n_peers && code == 0; i++) {
        code = check_peer(ts, q->a, &m->peers[i], true);
        fresh += !allocation_permits(q->a, &m->peers[i], q->now);
        if (code == 0 && !allocation_has_room(q->a, &m->peers[i], q->now))
            code = STUN_INSUFFICIENT_CAPACITY;
    }
    /* All or nothing: several new ones have to fit together. */
    if (code == 0 && fresh > 1) {
        size_t live = 0;

        for (uint8_t i = 0; i < q->a->n_permissions; i++)
            live += q->now < q->a->permissions[i].expires_at;
        if (live + fresh > TURN_PERMISSIONS_MAX)
            code = STUN_INSUFFICIENT_CAPACITY;
    }
    if (code != 0) {
        turn_refuse(ts, q, code);
        return;
    }
    for (uint8_t i = 0; i < m->n_peers; i++)
        allocation_permit(q->a, &m->peers[i], q->now);
    accept_plain(ts, q);
}

static void on_channel_bind(struct turn_server *ts, const struct request *q)
{
    const struct stun_msg *m = q->msg;
    uint16_t code;
    enum err e;

    if (!m->has_channel || m->n_peers != 1 || m->channel < TURN_CHANNEL_FIRST ||
        m->channel > TURN_CHANNEL_LAST) {
        turn_refuse(ts, q, STUN_BAD_REQUEST);
        return;
    }
    code = check_peer(ts, q->a, &m->peers[0], false);
    /* The other side's allocation may come a moment later: its port is one of ours already. */
    if (code == STUN_FORBIDDEN && forward_peer_kind(&ts->f, &m->peers[0], true) == PEER_INSIDE &&
        m->peers[0].port >= ts->f.table.port_min && m->peers[0].port <= ts->f.table.port_max)
        code = 0;
    if (code == 0 && !allocation_has_room(q->a, &m->peers[0], q->now))
        code = STUN_INSUFFICIENT_CAPACITY;
    if (code != 0) {
        turn_refuse(ts, q, code);
        return;
    }
    e = allocation_bind(q->a, m->channel, &m->peers[0], q->now);
    if (e != ERR_OK) {
        turn_refuse(ts, q, e == ERR_FULL ? STUN_INSUFFICIENT_CAPACITY : STUN_BAD_REQUEST);
        return;
    }
    allocation_permit(q->a, &m->peers[0], q->now);
    accept_plain(ts, q);
}

/* --- input --- */

static void on_request(struct turn_server *ts, struct request *q)
{
    uint16_t code;

    ts->f.stats.requests++;
    if (q->msg->n_unknown > 0) {
        turn_refuse(ts, q, STUN_UNKNOWN_ATTRIBUTE);
        return;
    }
    if (q->msg->method == STUN_BINDING) {
        on_binding(ts, q);
        return;
    }
    if (q->msg->method != TURN_ALLOCATE && q->msg->method != TURN_REFRESH &&
        q->msg->method != TURN_CREATE_PERMISSION && q->msg->method != TURN_CHANNEL_BIND) {
        turn_refuse(ts, q, STUN_BAD_REQUEST);
        return;
    }
    code = turn_auth_check(&ts->auth, q->now, turn_wall_s(ts), q->from, q->msg, &q->who);
    q->is_known = code == 0;
    if (code == 0 && q->a != NULL && !secret_equal(q->a->key, q->who.key, sizeof q->a->key))
        code = STUN_WRONG_CREDENTIALS;
    if (code == 0 && q->a == NULL && q->msg->method != TURN_ALLOCATE)
        code = STUN_ALLOCATION_MISMATCH;
    if (code != 0)
        turn_refuse(ts, q, code);
    else if (q->msg->method == TURN_ALLOCATE)
        turn_on_allocate(ts, q);
    else if (q->msg->method == TURN_REFRESH)
        on_refresh(ts, q);
    else if (q->msg->method == TURN_CREATE_PERMISSION)
        on_create_permission(ts, q);
    else
        on_channel_bind(ts, q);
}

static void carry_out(struct turn_server *ts, ns_t now, struct forward *out)
{
    switch (out->how) {
    case FORWARD_DROP:
        return;
    case FORWARD_MAIN:
        ts->ops.send(ts->arg, &out->to, out->bytes);
        return;
    case FORWARD_OPEN:
        if (open_family(ts, out->by, family_index(&out->to)) != ERR_OK) {
            forward_unsent(&ts->f, out);
            return;
        }
        ts->ops.port_send(ts->arg, out->handle, &out->to, out->bytes);
        return;
    case FORWARD_PORT:
        ts->ops.port_send(ts->arg, out->handle, &out->to, out->bytes);
        return;
    case FORWARD_OWN:
        ts->ops.own_input(ts->arg, now, &out->from, out->bytes);
        return;
    }
}

/* bytes into the scratch buffer, where headers can be written before them. */
static uint8_t *with_headroom(struct turn_server *ts, struct slice bytes)
{
    uint8_t *at = ts->scratch + FORWARD_HEAD;

    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at;
}

static void on_send(struct turn_server *ts, ns_t now, const struct addr *from, const struct stun_msg *m)
{
    struct allocation *a = alloc_table_find(&ts->f.table, from);
    struct forward out = {.how = FORWARD_DROP};

    if (a == NULL || m->n_peers != 1 || m->data.data == NULL || m->n_unknown > 0 || m->has_dont_fragment) {
        ts->f.stats.malformed++;
        return;
    }
    forward_to_peer(&ts->f, now, a, &m->peers[0], with_headroom(ts, m->data), m->data.len, &out);
    carry_out(ts, now, &out);
}

void turn_server_input(struct turn_server *ts, ns_t now, const struct addr *from, struct slice bytes)
{
    struct forward out = {.how = FORWARD_DROP};
    struct stun_msg msg;

    if (bytes.len > TURN_DATAGRAM_MAX) {
        ts->f.stats.too_large++;
        return;
    }
    if (bytes.len > 0 && bytes.data[0] >= 64 && bytes.data[0] <= 127) {
        forward_channel(&ts->f, now, from, with_headroom(ts, bytes), bytes.len, &out);
        carry_out(ts, now, &out);
        return;
    }
    if (!stun_is_message(bytes) || stun_parse(bytes, &msg) != ERR_OK) {
        ts->f.stats.malformed++;
        return;
    }
    if (msg.cls == STUN_REQUEST) {
        struct request q = {.now = now, .from = from, .msg = &msg, .a = alloc_table_find(&ts->f.table, from)};

        on_request(ts, &q);
        secret_wipe(&q.who, sizeof q.who);
    } else if (msg.cls == STUN_INDICATION && msg.method == TURN_SEND) {
        on_send(ts, now, from, &msg);
    }
}

bool turn_server_fast(struct turn_server *ts, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct forward out = {.how = FORWARD_DROP};
    struct allocation *a;
    const struct channel *ch;

    if (len < STUN_CHANNEL_HEADER || len > TURN_DATAGRAM_MAX || bytes[0] < 64 || bytes[0] > 127)
        return false;
    a = alloc_table_find(&ts->f.table, from);
    ch = a == NULL ? NULL : allocation_channel(a, (uint16_t)(bytes[0] << 8 | bytes[1]), now);
    if (ch == NULL || addr_equal(&ts->f.external[family_index(&ch->peer)], &ch->peer))
        return false; /* the second: for ourselves, which is more than forwarding */
    forward_on_channel(&ts->f, now, a, ch, bytes, len, &out);
    carry_out(ts, now, &out);
    return true;
}

bool turn_server_has_channel(const struct turn_server *ts, ns_t now, const struct addr *from,
                             struct slice bytes)
{
    const struct allocation *a =
        bytes.len < STUN_CHANNEL_HEADER ? NULL : alloc_table_find(&ts->f.table, from);

    return a != NULL && allocation_channel(a, (uint16_t)(bytes.data[0] << 8 | bytes.data[1]), now) != NULL;
}

static void deliver(struct turn_server *ts, ns_t now, struct allocation *a, const struct addr *from,
                    struct slice bytes)
{
    struct forward out = {.how = FORWARD_DROP};

    if (bytes.len > TURN_DATAGRAM_MAX) {
        ts->f.stats.too_large++;
        return;
    }
    forward_to_client(&ts->f, now, a, from, with_headroom(ts, bytes), bytes.len, &out);
    carry_out(ts, now, &out);
}

static struct allocation *of_handle(const struct turn_server *ts, uint32_t handle)
{
    return alloc_table_by_port(&ts->f.table, handle >> 16 != 0 ? IP6 : IP4, (uint16_t)handle);
}

void turn_server_port_input(struct turn_server *ts, ns_t now, uint32_t handle, const struct addr *from,
                            struct slice bytes)
{
    struct allocation *a = of_handle(ts, handle);

    if (a != NULL)
        deliver(ts, now, a, from, bytes);
}

void turn_server_client_gone(struct turn_server *ts, ns_t now, const struct addr *client)
{
    struct allocation *a = alloc_table_find(&ts->f.table, client);

    if (a != NULL)
        end_allocation(ts, now, a);
}

void turn_server_port_fast(struct turn_server *ts, ns_t now, uint32_t handle, const struct addr *from,
                           uint8_t *bytes, size_t len)
{
    struct allocation *a = of_handle(ts, handle);
    struct forward out = {.how = FORWARD_DROP};

    if (a == NULL)
        return;
    if (len > TURN_DATAGRAM_MAX) {
        ts->f.stats.too_large++;
        return;
    }
    forward_to_client(&ts->f, now, a, from, bytes, len, &out);
    carry_out(ts, now, &out);
}

bool turn_server_inside(struct turn_server *ts, ns_t now, const struct addr *from, const struct addr *to,
                        struct slice bytes)
{
    int family = family_index(to);
    struct allocation *a;

    if (!addr_equal_ip(&ts->f.external[family], to))
        return false;
    a = alloc_table_by_port(&ts->f.table, family, to->port);
    if (a == NULL)
        return false;
    deliver(ts, now, a, from, bytes);
    return true;
}

/* --- the rest of the contract --- */

void turn_server_ticket(struct turn_server *ts, ns_t now, const struct addr *client,
                        const uint8_t alloc_id[static TURN_ID_BYTES], uint32_t expiry_s,
                        const uint8_t account[static 32], struct turn_ticket *out)
{
    turn_auth_ticket(&ts->auth, now, turn_wall_s(ts), client, alloc_id, expiry_s, account, out);
}

void turn_server_guest_pass(struct turn_server *ts, bool is_last_week, const uint8_t pair_secret[static 32],
                            uint8_t out[static GUEST_PASS_BYTES])
{
    guest_pass(turn_auth_key(&ts->auth, turn_wall_s(ts), is_last_week), pair_secret, out);
}

enum err turn_server_usage(const struct turn_server *ts, uint64_t id, struct turn_usage *out)
{
    const struct allocation *a = alloc_table_at(&ts->f.table, id);

    if (a == NULL)
        return ERR_NOT_FOUND;
    *out = turn_usage_of(ts, a);
    return ERR_OK;
}

void turn_server_close(struct turn_server *ts, ns_t now, uint64_t id)
{
    struct allocation *a = alloc_table_at(&ts->f.table, id);

    if (a != NULL)
        end_allocation(ts, now, a);
}

void turn_server_set_limits(struct turn_server *ts, uint32_t max_allocations, uint32_t max_kbps)
{
    ts->max_allocations = max_allocations < TURN_ALLOCATIONS_MAX ? max_allocations : TURN_ALLOCATIONS_MAX;
    bucket_set(&ts->f.rate, max_kbps);
}

void turn_server_set_scope(struct turn_server *ts, bool allow_local, bool hairpin_only)
{
    ts->f.allow_local = allow_local;
    ts->f.hairpin_only = hairpin_only || ts->ops.open_port == NULL;
}

void turn_server_set_external(struct turn_server *ts, const struct addr external[static 2])
{
    offload_drop_all(&ts->f);
    for (int f = 0; f < N_FAMILIES; f++) {
        ts->f.external[f] = external[f];
        if (external[f].family != ADDR_NONE && !ts->f.allow_local)
            turn_server_add_own(ts, &external[f]);
    }
}

enum err turn_server_add_own(struct turn_server *ts, const struct addr *own)
{
    for (uint8_t i = 0; i < ts->f.n_own; i++) {
        if (addr_equal_ip(&ts->f.own[i], own))
            return ERR_OK;
    }
    if (ts->f.n_own == sizeof ts->f.own / sizeof ts->f.own[0])
        return ERR_FULL;
    ts->f.own[ts->f.n_own++] = *own;
    return ERR_OK;
}

const struct turn_server_stats *turn_server_stats(const struct turn_server *ts)
{
    return &ts->f.stats;
}
