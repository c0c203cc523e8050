#include "dht/dht_node.h"

#include "base/mem.h"

#define HINT_NODES_MAX   16 /* contacts taken from a cookie's hint */
#define ANSWER_NODES_MAX 64
#define HINT_TRIES       4

/* --- queries out */

static struct slice bytes_of(const void *data, size_t n)
{
    return slice_of(data, n);
}

static void build_walk(const struct op *op, struct krpc_msg *m)
{
    m->b.target = bytes_of(op->target, ID_BYTES);
    switch ((enum op_kind)op->kind) {
    case OP_REFRESH:
    case OP_FIND:
        m->method = KRPC_FIND_NODE;
        break;
    case OP_GET:
        m->method = KRPC_GET;
        if (op->seq >= 0)
            m->b.seq = (struct krpc_int){.v = op->seq, .is_set = true};
        break;
    case OP_PUT:
    case OP_OBSERVE:
    case OP_ROUTE: /* only a token is wanted, no value */
        m->method = KRPC_GET;
        m->b.seq = (struct krpc_int){.v = INT64_MAX, .is_set = true};
        break;
    case OP_DROP_PUT:
    case OP_DROP_GET:
        m->method = KRPC_DROP_GET;
        break;
    case OP_ADVERT_PUT:
    case OP_ADVERT_GET:
        m->method = KRPC_ADVERT_GET;
        break;
    case OP_PEERS:
    case OP_ANNOUNCE:
        m->method = KRPC_GET_PEERS;
        m->b.info_hash = m->b.target;
        m->b.target = (struct slice){0};
        break;
    }
}

/* What a write needs that does not lie in the operation itself. */
struct write_room {
    uint8_t flow[4];
};

static void build_put(const struct op *op, struct krpc_msg *m)
{
    m->method = KRPC_PUT;
    m->b.target = (struct slice){0};
    m->b.v = bytes_of(op->payload, op->payload_len);
    if (op->is_immutable)
        return;
    m->b.k = bytes_of(op->key, sizeof op->key);
    m->b.seq = (struct krpc_int){.v = op->seq, .is_set = true};
    m->b.sig = bytes_of(op->sig, sizeof op->sig);
    m->b.cas = op->cas;
    if (op->salt_len > 0)
        m->b.salt = bytes_of(op->salt, op->salt_len);
}

static void build_write(const struct op *op, struct krpc_msg *m, const struct lookup_node *n,
                        struct write_room *room)
{
    m->b.target = bytes_of(op->target, ID_BYTES);
    m->b.token = bytes_of(n->token, n->token_len);
    switch ((enum op_kind)op->kind) {
    case OP_PUT:
        build_put(op, m);
        break;
    case OP_DROP_PUT:
        m->method = KRPC_DROP_PUT;
        m->b.blob = bytes_of(op->payload, DROP_BLOB_BYTES);
        m->b.nonce = bytes_of(op->payload + DROP_BLOB_BYTES, DROP_NONCE);
        break;
    case OP_ADVERT_PUT:
        m->method = KRPC_ADVERT_PUT;
        m->b.ad = bytes_of(op->payload, op->payload_len);
        break;
    case OP_OBSERVE:
        m->method = KRPC_OBSERVE;
        break;
    case OP_ROUTE:
        for (unsigned i = 0; i < 4; i++)
            room->flow[i] = (uint8_t)(op->flow >> (24 - 8 * i));
        m->method = KRPC_ROUTE;
        m->b.f = bytes_of(room->flow, sizeof room->flow);
        m->b.body = bytes_of(op->payload, op->payload_len);
        break;
    case OP_ANNOUNCE:
        m->method = KRPC_ANNOUNCE_PEER;
        m->b.info_hash = m->b.target;
        m->b.target = (struct slice){0};
        m->b.implied_port = (struct krpc_int){.v = op->flow == 0, .is_set = true};
        m->b.port = (struct krpc_int){.v = op->flow, .is_set = true};
        break;
    default:
        break;
    }
}

static void build_fetch(const struct op *op, struct krpc_msg *m, const struct lookup_node *n,
                        const struct rpc_call *call)
{
    m->b.target = bytes_of(op->target, ID_BYTES);
    m->b.token = bytes_of(n->token, n->token_len);
    if (op->kind == OP_DROP_GET) {
        m->method = KRPC_DROP_GET;
        m->b.h = bytes_of(call->extra, DROP_HASH);
    } else {
        m->method = KRPC_ADVERT_GET;
        m->b.n = (struct krpc_int){.v = call->extra[0] | call->extra[1] << 8, .is_set = true};
    }
}

/* A probe of a bucket that has room asks for more of its nodes. */
static void build_probe(struct dht *d, const struct rpc_call *call, struct krpc_msg *m,
                        uint8_t target[static ID_BYTES])
{
    unsigned bucket = id_prefix(d->id, call->to.id);

    m->method = KRPC_PING;
    if (call->extra[0] == 0 || bucket >= ID_BITS)
        return;
    env_random(&d->env, target, ID_BYTES);
    id_set_prefix(target, d->id, bucket);
    m->method = KRPC_FIND_NODE;
    m->b.target = bytes_of(target, ID_BYTES);
}

/* A stranger answers with a cookie first, in no more bytes than it was asked with. A get leaves room for the contacts
 * that bring it on, and near the target for the value. */
static struct slice padding(struct dht *d, ns_t now, const struct op *op, const uint8_t id[static ID_BYTES])
{
    static const uint8_t zeros[DHT_PAD_NEAR];
    double n, low, high;

    dht_size_now(d, now, &n, &low, &high);
    if (op->kind == OP_REFRESH && d->n_self_lookups > 1 && id_equal(op->target, d->id))
        return (struct slice){0}; /* each hour, and in no haste: fewer bytes matter more */
    if (op->kind != OP_GET)
        return bytes_of(zeros, DHT_PAD_NODES);
    return bytes_of(zeros, id_distance(id, op->target) <= 2 * DHT_K_ZONE / n ? DHT_PAD_NEAR : DHT_PAD_FAR);
}

/* In a closed zone nothing comes along with a cookie: room is for an answer to who is vouched for. */
static bool may_pad(const struct dht *d, const struct lookup_node *n)
{
    return !dht_is_closed(d) || (n != NULL && n->is_vouched);
}

/* Write and send the query of a call; false when it cannot be made (any more). */
static bool send_call(struct dht *d, ns_t now, struct rpc_call *call, struct slice cookie)
{
    struct krpc_msg m = {.type = KRPC_QUERY, .t = bytes_of(call->t, RPC_T_BYTES), .cookie = cookie};
    uint8_t target[ID_BYTES], buf[KRPC_OUT_CLOSED];
    struct op *op = dht_op(d, call->op);
    struct lookup_node *n = op != NULL && op->l != NULL ? lookup_find(op->l, call->to.id) : NULL;
    struct write_room room;
    struct pair *pair = NULL;
    struct slice packet;

    m.b.id = bytes_of(d->id, ID_BYTES);
    if (d->config.is_client)
        m.ro = (struct krpc_int){.v = 1, .is_set = true};
    switch ((enum rpc_kind)call->kind) {
    case RPC_PROBE:
        build_probe(d, call, &m, target);
        break;
    case RPC_HINT:
        m.method = KRPC_FIND_NODE;
        m.b.target = bytes_of(d->id, ID_BYTES);
        m.b.want = dht_want(d);
        break;
    case RPC_WALK:
        if (op == NULL)
            return false;
        build_walk(op, &m);
        m.b.want = dht_want(d);
        break;
    case RPC_WIDEN:
        if (op == NULL)
            return false;
        memcpy(target, op->target, ID_BYTES);
        target[call->extra[0] / 8] ^= (uint8_t)(0x80u >> call->extra[0] % 8);
        m.method = KRPC_FIND_NODE;
        m.b.target = bytes_of(target, ID_BYTES);
        break;
    case RPC_STORE:
        if (op == NULL)
            return false;
        build_put(op, &m);
        break;
    case RPC_WRITE:
        if (n == NULL)
            return false;
        build_write(op, &m, n, &room);
        break;
    case RPC_FETCH:
        if (n == NULL)
            return false;
        build_fetch(op, &m, n, call);
        break;
    case RPC_NOTIFY:
        return false; /* dht_tell() has sent it, and it is not sent again */
    }
    call->method = (uint8_t)m.method;
    if (d->is_zone) {
        if (call->has_id && cookie.data == NULL)
            pair = node_pair(&d->key, call->to.key);
        if (pair != NULL &&
            (!pair->knows_us || !addr_equal(&pair_contact(&d->key, pair)->addr, &call->to.addr)))
            pair = NULL;
        if (pair == NULL && cookie.data == NULL && call->kind == RPC_WALK && may_pad(d, n) &&
            (m.method == KRPC_GET || m.method == KRPC_FIND_NODE))
            m.b.pad = padding(d, now, op, call->to.id);
        if (cookie.data == NULL && call->kind == RPC_WALK)
            call->extra[0] = m.b.pad.data != NULL;
        if (pair == NULL && cookie.data == NULL && n != NULL && n->is_vouched &&
            (m.b.pad.data != NULL || call->kind == RPC_STORE))
            m.voucher = slice_of(n->voucher, sizeof n->voucher);
        packet = node_seal(&d->key, &m, call->has_id ? call->to.id : NULL, pair, buf, sizeof buf);
        if (packet.len == 0 && m.voucher.data != NULL) { /* a large value leaves no room for it */
            m.voucher = (struct slice){0};
            packet = node_seal(&d->key, &m, call->has_id ? call->to.id : NULL, pair, buf, sizeof buf);
        }
    } else {
        packet = krpc_write(&m, buf, KRPC_OUT_MAX);
    }
    if (call->has_id)
        table_probed(&d->table, now, call->to.id);
    dht_send(d, &call->to.addr, packet);
    return packet.len > 0;
}

struct rpc_call *dht_ask(struct dht *d, ns_t now, enum rpc_kind kind, struct op *op, const struct contact *to,
                         bool has_id, const uint8_t *extra)
{
    const struct table_entry *e = has_id ? table_find(&d->table, to->id) : NULL;
    ns_t rtt = e != NULL && e->rtt > 0 ? table_entry_rtt(e) : dht_rtt(d, now);
    struct rpc_call *call = rpc_open(&d->rpc, now, env_random_u32(&d->env), to, has_id, rtt);
    ns_t at = call != NULL && d->pace != NULL ? pace_reserve(d->pace, now, &to->addr) : now;

    if (call == NULL) {
        d->count.cap_drops++;
        return NULL;
    }
    if (at == NS_NEVER) {
        d->count.paced++;
        rpc_close(&d->rpc, call);
        return NULL;
    }
    call->kind = (uint8_t)kind;
    if (extra != NULL)
        memcpy(call->extra, extra, sizeof call->extra);
    call->op = op != NULL ? op->id : 0;
    if (at > now) {
        rpc_queue(&d->rpc, call, at);
        d->count.paced++;
    } else if (!send_call(d, now, call, (struct slice){0})) {
        rpc_close(&d->rpc, call);
        return NULL;
    }
    if (op == NULL)
        return call;
    op->result.queries++;
    call->is_counted = kind == RPC_WRITE || kind == RPC_FETCH || kind == RPC_WIDEN;
    op->n_open = (uint16_t)(op->n_open + call->is_counted);
    op->n_wide_open = (uint8_t)(op->n_wide_open + (kind == RPC_WIDEN));
    return call;
}

void dht_probe(struct dht *d, ns_t now, const struct contact *c)
{
    uint8_t extra[8] = {0};

    extra[0] = table_room_bucket(&d->table, id_prefix(d->id, c->id)) == id_prefix(d->id, c->id) &&
               env_random_u32(&d->env) % 4 == 0;
    dht_ask(d, now, RPC_PROBE, NULL, c, true, extra);
}

void dht_tell(struct dht *d, ns_t now, const struct contact *to, struct krpc_msg *m)
{
    struct rpc_call *call = rpc_open(&d->rpc, now, env_random_u32(&d->env), to, true, dht_rtt(d, now));
    uint8_t buf[KRPC_OUT_CLOSED];
    struct pair *pair = node_pair(&d->key, to->key);

    if (call == NULL) {
        d->count.cap_drops++;
        return;
    }
    call->kind = RPC_NOTIFY;
    call->method = (uint8_t)m->method;
    m->type = KRPC_QUERY;
    m->t = bytes_of(call->t, RPC_T_BYTES);
    m->b.id = bytes_of(d->id, ID_BYTES);
    if (pair != NULL && !pair->knows_us)
        pair = NULL;
    dht_send(d, &to->addr, node_seal(&d->key, m, to->id, pair, buf, sizeof buf));
}

/* --- answers */

static bool add_contact(struct dht *d, const struct contact *c, struct contact *out, size_t *n, size_t max)
{
    if (*n >= max)
        return false;
    if (dht_addr_ok(d, &c->addr) && !id_equal(c->id, d->id))
        out[(*n)++] = *c;
    return true;
}

/* at: of each contact taken, its place in zn; or NULL. */
static void read_zn(struct dht *d, struct slice zn, struct contact *out, size_t *n, size_t max, unsigned *at)
{
    struct rd r;

    rd_init(&r, zn);
    for (unsigned i = 0; rd_left(&r) > 0 && *n < max; i++) {
        struct contact c = {0};

        rd_copy(&r, c.key, sizeof c.key);
        rd_copy(&r, c.nonce, sizeof c.nonce);
        addr_read(&r, &c.addr);
        if (!rd_ok(&r))
            return;
        if (at != NULL)
            at[*n] = i;
        if (d->key.ops->id(d->key.zone, c.key, c.nonce, c.id) == ERR_OK)
            add_contact(d, &c, out, n, max);
    }
}

static void read_compact(struct dht *d, struct slice nodes, size_t addr_bytes, struct contact *out, size_t *n,
                         size_t max)
{
    for (size_t at = 0; at + ID_BYTES + addr_bytes <= nodes.len; at += ID_BYTES + addr_bytes) {
        struct contact c = {0};

        memcpy(c.id, nodes.data + at, ID_BYTES);
        if (krpc_read_compact(slice_of(nodes.data + at + ID_BYTES, addr_bytes), &c.addr) &&
            !add_contact(d, &c, out, n, max))
            return;
    }
}

size_t dht_read_nodes(struct dht *d, const struct krpc_body *b, struct slice zn, struct contact *out,
                      size_t max)
{
    size_t n = 0;

    if (d->is_zone) {
        read_zn(d, b != NULL ? b->zn : zn, out, &n, max, NULL);
    } else {
        read_compact(d, b->nodes, 6, out, &n, max);
        read_compact(d, b->nodes6, 18, out, &n, max);
    }
    return n;
}

void dht_take_nodes(struct dht *d, struct op *op, const struct contact *by, const struct krpc_body *b,
                    unsigned path)
{
    struct contact near[ANSWER_NODES_MAX];
    unsigned at[ANSWER_NODES_MAX];
    size_t n = 0;

    if (d->is_zone)
        read_zn(d, b->zn, near, &n, ANSWER_NODES_MAX, at);
    else
        n = dht_read_nodes(d, b, b->zn, near, ANSWER_NODES_MAX);
    for (size_t i = 0; i < n; i++) {
        bool is_new = lookup_add(op->l, &near[i], path);
        struct lookup_node *named = lookup_find(op->l, near[i].id);

        if (named == NULL)
            continue;
        if (is_new)
            lookup_name(named, by->id);
        if (d->is_zone && b->zv.len / KRPC_ZV > at[i])
            lookup_vouch(named, by->key, b->zv.data + (size_t)at[i] * KRPC_ZV);
    }
}

/* A get that has a value ends soon: would an answer come later, if it takes as long as the cookie took? And there was room
 * for a newer value, or at least for its seq: nothing newer lies there. */
static bool is_vain(const struct dht *d, ns_t now, const struct op *op, const struct rpc_call *call,
                    const struct krpc_msg *m)
{
    bool tells = call->extra[0] != 0 && !dht_is_closed(d);

    if (op == NULL || op->kind != OP_GET || op->finish_at == 0 || call->kind != RPC_WALK)
        return false;
    return now + (now - call->sent_at) > op->finish_at ||
           (tells && !(m->b.seq.is_set && m->b.seq.v > op->seq));
}

/* Error 210: ask again, signed, with the cookie. What it hints at is taken for the lookup, as hearsay; a value that came
 * along proves itself. In a closed zone neither is taken: no member sends them. */
static void take_cookie(struct dht *d, ns_t now, const struct addr *from, const struct krpc_msg *m)
{
    struct rpc_call *call = rpc_find(&d->rpc, m->t, from);
    struct contact near[HINT_NODES_MAX];
    struct op *op = dht_op(d, call->op);
    size_t n;

    if (call->had_cookie)
        return;
    call->had_cookie = true;
    if (op != NULL && !dht_is_closed(d) && call->kind == RPC_WALK && op->kind == OP_GET &&
        m->b.v.data != NULL) {
        uint32_t id = op->id;

        if (!dht_take_raw(d, now, op, m) || (op = dht_op(d, id)) == NULL ||
            (call = rpc_find(&d->rpc, m->t, from)) == NULL)
            return;
    }
    if (is_vain(d, now, op, call, m)) {
        rpc_close(&d->rpc, call);
        return;
    }
    if (op != NULL && call->is_late && (call->kind == RPC_WRITE || call->kind == RPC_FETCH)) {
        call->is_counted = true;
        op->n_open++;
    }
    rpc_again(&d->rpc, now, call);
    if (!send_call(d, now, call, m->cookie)) {
        struct rpc_call was = *call;

        rpc_close(&d->rpc, call);
        if (op != NULL)
            dht_op_late(d, now, op, &was, true);
        return;
    }
    if (op == NULL || op->l == NULL)
        return;
    op->result.queries++;
    if ((call->kind != RPC_WALK && call->kind != RPC_STORE) || dht_is_closed(d))
        return;
    n = dht_read_nodes(d, NULL, m->hint, near, HINT_NODES_MAX);
    for (size_t i = 0; i < n; i++) {
        struct lookup_node *by = lookup_find(op->l, call->to.id);

        lookup_add(op->l, &near[i], by != NULL ? by->path : 0);
    }
    dht_op_send(d, now, op);
}

/* Who answered; false when it is not proven. */
static bool open_answer(struct dht *d, ns_t now, const struct addr *from, struct slice packet,
                        const struct krpc_msg *m, const struct rpc_call *call, struct contact *out)
{
    struct pair *pair;

    *out = (struct contact){.addr = *from};
    if (!d->is_zone) {
        if (m->b.id.data != NULL)
            memcpy(out->id, m->b.id.data, ID_BYTES);
        else
            memcpy(out->id, call->to.id, ID_BYTES); /* an error names nobody */
        return true;
    }
    if (node_open_any(&d->key, now, packet, m, &pair) != ERR_OK)
        return false;
    pair_prove(&d->key, now, pair, from);
    pair->knows_us = true;
    *out = *pair_contact(&d->key, pair);
    return true;
}

static struct address_votes *votes_of(struct dht *d, uint8_t family)
{
    struct address_votes **v = &d->votes[family == ADDR_V6];

    if (*v == NULL)
        *v = mem_alloc(sizeof **v);
    return *v;
}

static void learn(struct dht *d, ns_t now, const struct contact *c, const struct krpc_msg *m, ns_t rtt)
{
    struct addr seen;

    if (m->ip.data != NULL && krpc_read_compact(m->ip, &seen) && seen.port != 0)
        votes_add(votes_of(d, seen.family), now, &c->addr, c->id, &seen);
    if (d->is_zone && m->ts.is_set) {
        if (d->clocks == NULL)
            d->clocks = mem_alloc(sizeof *d->clocks);
        clocks_add(d->clocks, now, &c->addr, c->id, m->ts.v, rtt);
    }
    if (!d->is_zone)
        dht_check_id(d, now);
    if (m->type != KRPC_ANSWER)
        return;
    dht_contact_answered(d, now, c, rtt);
    if (d->other_family != NULL)
        dht_pass_family(d, now, &m->b);
}

/* The node asked is not there; somebody else is. On mainline it may be the same one: ids follow addresses (BEP 42). */
static void replace_node(struct dht *d, ns_t now, const struct rpc_call *call, const struct contact *who)
{
    struct op *op = dht_op(d, call->op);
    struct lookup_node *n = op != NULL ? lookup_find(op->l, call->to.id) : NULL;

    table_forget(&d->table, call->to.id);
    if (op == NULL)
        return;
    if (!d->is_zone && call->kind == RPC_WALK && n != NULL)
        lookup_add(op->l, who, n->path);
    dht_op_late(d, now, op, call, true);
}

/* Nodes near us that the first address named: the first lookup starts from all of them. */
static void hint_answered(struct dht *d, ns_t now, const struct contact *from, const struct krpc_msg *m)
{
    struct contact near[ANSWER_NODES_MAX];
    size_t n = dht_read_nodes(d, &m->b, m->b.zn, near, ANSWER_NODES_MAX);

    dht_hint_answered(d, now, &from->addr, true);
    for (unsigned i = 0; i < d->cap_ops; i++) {
        struct op *op = d->ops[i];

        if (op == NULL || op->is_walked)
            continue;
        for (size_t j = 0; j < n; j++)
            lookup_add(op->l, &near[j], (unsigned)j);
        dht_op_send(d, now, op);
    }
}

void dht_answer(struct dht *d, ns_t now, const struct addr *from, struct slice packet,
                const struct krpc_msg *m)
{
    struct rpc_call *call = rpc_find(&d->rpc, m->t, from), was;
    struct contact c;
    struct op *op;

    if (call == NULL)
        return;
    if (m->type == KRPC_ERROR && m->code == KRPC_E_COOKIE && d->is_zone) {
        take_cookie(d, now, from, m);
        return;
    }
    if (!open_answer(d, now, from, packet, m, call, &c)) {
        d->count.bad_packets++;
        return;
    }
    was = *call;
    rpc_close(&d->rpc, call);
    if (was.kind == RPC_NOTIFY)
        return; /* a client hears these too: it is no node for others to ask */
    learn(d, now, &c, m, now - was.sent_at);
    if (was.kind == RPC_HINT) {
        if (m->type == KRPC_ANSWER)
            hint_answered(d, now, &c, m);
        else
            dht_hint_answered(d, now, from, false);
        return;
    }
    if (was.has_id && !id_equal(c.id, was.to.id)) {
        replace_node(d, now, &was, &c);
        return;
    }
    op = dht_op(d, was.op);
    if (op == NULL)
        return;
    if (m->type == KRPC_ERROR)
        dht_op_error(d, now, op, &was, m->code);
    else
        dht_op_answer(d, now, op, &was, &c, m);
}

/* A first address is asked HINT_TRIES times, ever more patiently, before it counts as silent. */
static bool ask_hint_again(struct dht *d, ns_t now, struct rpc_call *call)
{
    if (call->kind != RPC_HINT || ++call->tries >= HINT_TRIES)
        return false;
    if (d->pace != NULL && !pace_now(d->pace, now, &call->to.addr))
        return false;
    call->late_after *= 2;
    call->had_cookie = false;
    rpc_again(&d->rpc, now, call);
    return send_call(d, now, call, (struct slice){0});
}

void dht_ask_tick(struct dht *d, ns_t now)
{
    struct rpc_call *call;
    bool is_dead;

    while (!d->is_dead && (call = rpc_due(&d->rpc, now, &is_dead)) != NULL) {
        struct rpc_call was = *call;
        struct op *op = dht_op(d, was.op);

        if (call->is_queued) {
            rpc_again(&d->rpc, now, call);
            if (!send_call(d, now, call, (struct slice){0})) {
                rpc_close(&d->rpc, call);
                if (op != NULL)
                    dht_op_late(d, now, op, &was, true);
            }
            continue;
        }
        call->is_counted = false;
        if (!is_dead && ask_hint_again(d, now, call))
            continue;
        if (is_dead || was.kind == RPC_HINT)
            rpc_close(&d->rpc, call);
        d->count.late += !is_dead;
        d->count.timeouts += is_dead;
        if (is_dead && was.has_id)
            table_failed(&d->table, now, was.to.id);
        if (was.kind == RPC_HINT)
            dht_hint_answered(d, now, &was.to.addr, false);
        else if (op != NULL)
            dht_op_late(d, now, op, &was, is_dead);
    }
}
