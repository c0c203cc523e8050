#include "dht/dht_node.h"

#include "base/mem.h"
#include "crypto/item.h"
#include "crypto/request.h"
#include "crypto/secret.h"
#include "dht/bep42.h"

#define FETCH_TRIES 3
#define SEED_NODES  20
#define SEED_ROUNDS 5
#define WRITE_SLACK 1.1 /* the density check is a false alarm for one put in ten while a zone grows */
#define CHECK_WIDE  1.5 /* times as far as the last copy should lie, a newer value is looked for */
#define STORE_SURE  5   /* acks that make the neighbourhood known */
#define STORE_MORE  20  /* puts that may fail, or go to nodes that others turn out to be nearer than */

struct op *dht_op(struct dht *d, uint32_t id)
{
    unsigned i = id % DHT_OPS_MAX;

    return id != 0 && i < d->cap_ops && d->ops[i] != NULL && d->ops[i]->id == id ? d->ops[i] : NULL;
}

static void free_op(struct op *op)
{
    lookup_destroy(op->l);
    if (op->payload != NULL)
        secret_wipe(op->payload, op->payload_len);
    mem_free(op->payload);
    mem_free(op->seen);
    mem_free(op);
}

/* Its place is free for another one; it still lives. */
static void take_out(struct dht *d, struct op *op)
{
    d->ops[op->id % DHT_OPS_MAX] = NULL;
    if (--d->n_ops > 0)
        return;
    mem_free(d->ops);
    d->ops = NULL;
    d->cap_ops = 0;
}

void dht_op_drop(struct dht *d, struct op *op)
{
    take_out(d, op);
    free_op(op);
}

/* Where a new one goes. */
static unsigned make_place(struct dht *d)
{
    unsigned cap = d->cap_ops;

    for (unsigned i = 0; i < cap; i++)
        if (d->ops[i] == NULL)
            return i;
    d->cap_ops = (uint8_t)(cap > 0 ? cap * 2 : 2);
    d->ops = mem_resize(d->ops, d->cap_ops, sizeof *d->ops);
    memset(d->ops + cap, 0, (d->cap_ops - cap) * sizeof *d->ops);
    return cap;
}

static bool is_write(const struct op *op)
{
    return op->kind == OP_PUT || op->kind == OP_DROP_PUT || op->kind == OP_ADVERT_PUT ||
           op->kind == OP_OBSERVE || op->kind == OP_ROUTE || op->kind == OP_ANNOUNCE;
}

static unsigned copies(const struct dht *d)
{
    return d->is_zone ? DHT_K_ZONE : DHT_PUT_MAINLINE;
}

/* How many nearest nodes a lookup wants. To fill a bucket, or to hear each hour who is new beside us, a few will do. */
static unsigned width(const struct dht *d, const struct op *op)
{
    if (op->kind == OP_REFRESH && (d->n_self_lookups > 1) == id_equal(op->target, d->id))
        return DHT_REFRESH_WIDTH;
    return !is_write(op) ? d->k : copies(d) + (d->is_zone ? 0 : DHT_SPARE_MAINLINE);
}

static void seed(struct dht *d, struct op *op)
{
    const struct table_entry *near[SEED_NODES];
    size_t n = table_closest(&d->table, op->target, near, SEED_NODES);

    for (size_t i = 0; i < n; i++)
        lookup_add(op->l, table_contact(&d->table, near[i]), (unsigned)i);
    op->is_waiting = n == 0;
}

/* Too few of those known live, where many have died: more of our own table. False: there are none. */
static bool seed_more(struct dht *d, ns_t now, struct op *op)
{
    const struct table_entry *near[SEED_NODES * SEED_ROUNDS];
    unsigned added = 0;
    size_t n;

    if (!is_write(op) || op->l->first_path > 0 || lookup_answers(op->l) >= op->l->k)
        return false;
    n = table_closest(&d->table, op->target, near, SEED_NODES * SEED_ROUNDS);
    for (size_t i = SEED_NODES; i < n && added < SEED_NODES; i++)
        added += lookup_add(op->l, table_contact(&d->table, near[i]), (unsigned)i);
    if (added > 0)
        dht_op_send(d, now, op);
    return added > 0 && !lookup_is_done(op->l);
}

struct op *dht_op_start(struct dht *d, ns_t now, enum op_kind kind, const uint8_t target[static ID_BYTES])
{
    struct op *op;
    unsigned place;

    if (d->n_ops == DHT_OPS_MAX || d->is_dead) {
        d->count.cap_drops++;
        return NULL;
    }
    place = make_place(d);
    op = d->ops[place] = mem_alloc(sizeof *op);
    d->n_ops++;
    op->id = d->op_round * DHT_OPS_MAX + place;
    d->op_round = d->op_round >= UINT32_MAX / DHT_OPS_MAX - 1 ? 1 : d->op_round + 1;
    op->kind = (uint8_t)kind;
    memcpy(op->target, target, ID_BYTES);
    op->l = lookup_create(target, d->id, width(d, op), d->config.n_paths,
                          is_write(op) && !(d->is_zone && kind == OP_PUT) ? 2 * LOOKUP_ALPHA : LOOKUP_ALPHA);
    if (!d->is_zone)
        op->l->free_max = is_write(op) ? DHT_K_MAINLINE : DHT_FREE_GET;
    op->started_at = now;
    op->ends_at = now + DHT_OP_MAX_NS;
    op->seq = -1;
    d->count.lookups += kind != OP_REFRESH;
    seed(d, op);
    if (kind == OP_REFRESH)
        dht_op_send(d, now, op);
    d->kick_at = now;
    return op;
}

/* --- the walk */

/* How far from the target a node may lie that is put to unasked: where the last copy should be by the size of the zone;
 * once some of those nearest have taken theirs, and named who is beside them, twice that. */
static double store_reach(struct dht *d, ns_t now, const struct op *op)
{
    double n, low, high;

    dht_size_now(d, now, &n, &low, &high);
    return copies(d) / n * (op->result.n_acks >= STORE_SURE ? 2 : 1);
}

/* In a zone a put needs no token (krpc.h): those that should surely hold a copy are put to in the place of being asked. */
static void send_stores(struct dht *d, ns_t now, struct op *op)
{
    double reach = store_reach(d, now, op);
    struct lookup_node *n;

    while (op->n_writes < copies(d) + STORE_MORE && (n = lookup_next_near(op->l, reach)) != NULL) {
        if (!dht_ask(d, now, RPC_STORE, op, &n->c, true, NULL))
            return;
        lookup_asked(n);
        n->is_written = true;
        op->n_writes++;
    }
}

void dht_op_send(struct dht *d, ns_t now, struct op *op)
{
    struct lookup_node *n;

    if (op->is_waiting || op->is_walked || (op->finish_at > 0 && now > op->look_until))
        return;
    if (d->is_zone && op->kind == OP_PUT)
        send_stores(d, now, op);
    while ((n = lookup_next(op->l)) != NULL) {
        if (!dht_ask(d, now, RPC_WALK, op, &n->c, true, NULL)) {
            d->kick_at = now + 50 * NS_PER_MS;
            return;
        }
        lookup_asked(n);
    }
}

static void write_to(struct dht *d, ns_t now, struct op *op, struct lookup_node *n)
{
    if (n->is_written || n->token_len == 0)
        return;
    if (dht_ask(d, now, RPC_WRITE, op, &n->c, true, NULL)) {
        n->is_written = true;
        op->n_writes++;
    }
}

/* Surely nearer than where the last copy should lie: it can be written to before the lookup has ended. At most as many
 * as there are copies, so that a wrong estimate of the zone's size costs no more than that again. */
static bool is_inside_radius(struct dht *d, ns_t now, const struct op *op, const uint8_t id[static ID_BYTES])
{
    double n, low, high;

    dht_size_now(d, now, &n, &low, &high);
    if (!d->is_zone && !bep42_ok(&lookup_find(op->l, id)->c.addr, id))
        return false; /* whoever likes may be there */
    return op->n_writes < copies(d) && (n <= copies(d) || id_distance(id, op->target) <= copies(d) / high);
}

static void learn_size(struct dht *d, ns_t now, struct op *op)
{
    struct lookup_node *near[DHT_K_ZONE + DHT_PUT_MAINLINE];
    size_t all = lookup_closest(op->l, near, sizeof near / sizeof *near), n = 0;
    size_t k = op->l->k < DHT_K_ZONE ? op->l->k : DHT_K_ZONE;
    double size, low, high;

    dht_size(d, now, &size, &low, &high);
    op->result.is_sparse = lookup_is_sparse(op->l, size);
    for (size_t i = 0; i < all && n < k; i++) /* ids chosen at will say nothing */
        if (!near[i]->is_free)
            near[n++] = near[i];
    if (n == k && !op->result.is_sparse && !id_equal(op->target, d->id)) {
        size_add(&d->size, now, (unsigned)n, id_distance(near[n - 1]->c.id, op->target));
        d->size_at = 0;
    }
}

/* Those that should hold what we write come first: all in a zone; on mainline the k nearest, and of the others those
 * whose id was not chosen at will (BEP 42). The others make up what is missing. */
static bool is_trusty(const struct dht *d, const struct lookup_node *n, size_t rank)
{
    return d->is_zone || rank < d->k || bep42_ok(&n->c.addr, n->c.id);
}

/* To the nearest that answered. */
static void write_all(struct dht *d, ns_t now, struct op *op)
{
    struct lookup_node *near[DHT_K_ZONE + DHT_PUT_MAINLINE];
    unsigned n_written = 0;
    size_t n;

    n = lookup_closest(op->l, near, sizeof near / sizeof *near);
    for (unsigned round = 0; round < 2 && n_written < copies(d); round++)
        for (size_t i = 0, left = copies(d); i < n && left > 0; i++)
            if (near[i]->is_written || (round == 0 ? is_trusty(d, near[i], i) : i < copies(d))) {
                write_to(d, now, op, near[i]);
                left -= round > 0 || !near[i]->is_free; /* those may be anybody's */
                n_written++;
            }
}

/* Captured, or so it looks: the nearest found lie too far apart for the size of the zone, or a value is missing. Then
 * from other first contacts, over 4 paths that share no node, then over 8. False: it stays as it is. */
static bool relaunch(struct dht *d, ns_t now, struct op *op)
{
    static const uint8_t paths[DHT_LAUNCHES] = {4, 8};
    double size, low, high;
    unsigned want, n = 0;
    bool is_missing = op->kind == OP_GET && op->result.n_found == 0 && op->result.n_launches == 0;

    if (!d->is_zone || op->kind == OP_REFRESH || op->result.n_launches >= DHT_LAUNCHES)
        return false;
    dht_size(d, now, &size, &low, &high);
    if (is_write(op))
        size = size * lookup_alive_pct(op->l) / 100 /* where many have died, the living lie far apart */
               / WRITE_SLACK;
    if (!is_missing && !lookup_is_sparse(op->l, size))
        return false;
    if (is_write(op))
        write_all(d, now, op); /* what follows may only add to it */
    op->walk_until = now + DHT_LAUNCH_RTTS * dht_rtt(d, now);
    want = paths[op->result.n_launches++];
    lookup_relaunch(op->l, want);
    for (unsigned tries = 0; n < DHT_SEEDS_PATH * want && tries < 8 * DHT_SEEDS_PATH * want; tries++) {
        const struct table_entry *e = table_random(&d->table, env_random_u32(&d->env));

        if (e != NULL && e->fails == 0)
            n += lookup_add(op->l, table_contact(&d->table, e), op->l->first_path + n);
    }
    dht_op_send(d, now, op);
    return !lookup_is_done(op->l);
}

static void walked(struct dht *d, ns_t now, struct op *op)
{
    op->is_walked = true;
    learn_size(d, now, op);
    if (is_write(op))
        write_all(d, now, op);
}

/* --- the end */

static enum err verdict(const struct op *op)
{
    if (op->result.n_found > 0 || op->result.n_acks > 0)
        return ERR_OK;
    if (op->result.n_nodes == 0)
        return ERR_TIMEOUT;
    if (op->kind == OP_FIND || op->kind == OP_REFRESH)
        return ERR_OK;
    return op->result.n_refused > 0 ? ERR_REFUSED : ERR_NOT_FOUND;
}

static void tell_find(struct op *op)
{
    struct dht_node nodes[DHT_K_ZONE];
    struct lookup_node *near[DHT_K_ZONE];
    size_t n = lookup_closest(op->l, near, op->l->k);

    for (size_t i = 0; i < n; i++) {
        nodes[i] = (struct dht_node){.addr = near[i]->c.addr};
        memcpy(nodes[i].id, near[i]->c.id, ID_BYTES);
        memcpy(nodes[i].key, near[i]->c.key, sizeof nodes[i].key);
    }
    op->cb.find(op->arg, nodes, n, &op->result);
}

static void finish(struct dht *d, ns_t now, struct op *op)
{
    ns_t first = op->first_at > 0 ? op->first_at : now, rtt = dht_rtt(d, now);
    enum err e;

    take_out(d, op); /* its place is free for what the callback starts */
    op->result.n_nodes = lookup_answers(op->l);
    if (!d->is_zone && is_write(op))
        op->result.n_refused = /* silence too; not what is still on its way */
            op->n_writes - op->result.n_acks - (op->n_open - op->n_wide_open);
    op->result.took_ns = now - op->started_at;
    op->result.rtts_x100 = (uint32_t)((first - op->started_at) * 100 / (rtt > 0 ? rtt : 1));
    e = verdict(op);
    if (e == ERR_OK && op->kind != OP_REFRESH) {
        d->count.lookups_ok++;
        d->lookup_ns_sum += first - op->started_at;
    }
    if (op->kind == OP_REFRESH)
        dht_refresh_done(d, now, op);
    else if (op->kind == OP_FIND && op->cb.find != NULL)
        tell_find(op);
    else if (op->kind != OP_FIND && op->done != NULL)
        op->done(op->arg, e, &op->result);
    free_op(op);
}

static bool is_done(const struct op *op, ns_t now)
{
    if (now >= op->ends_at || (op->is_waiting && now >= op->started_at + DHT_JOIN_WAIT_NS))
        return true;
    if (op->finish_at > 0 && now >= op->finish_at)
        return true;
    return !op->is_waiting && op->is_walked && op->n_open == 0;
}

/* --- what is found */

/* Add to what was handed out; false when it was, or there is too much. */
static bool note_seen(struct op *op, const uint8_t hash[static DROP_HASH])
{
    for (unsigned i = 0; i < op->n_seen; i++)
        if (memcmp(op->seen + DROP_HASH * i, hash, DROP_HASH) == 0)
            return false;
    if (op->seen == NULL || op->n_seen >= DHT_SEEN_MAX)
        return false;
    memcpy(op->seen + DROP_HASH * op->n_seen++, hash, DROP_HASH);
    return true;
}

static bool is_seen(const struct op *op, const uint8_t hash[static DROP_HASH])
{
    for (unsigned i = 0; i < op->n_seen; i++)
        if (memcmp(op->seen + DROP_HASH * i, hash, DROP_HASH) == 0)
            return true;
    return op->n_seen >= DHT_SEEN_MAX;
}

static void count_found(struct op *op, ns_t now)
{
    op->result.n_found++;
    if (op->first_at == 0)
        op->first_at = now;
}

/* A callback ran: is the operation still there? */
static bool lives(struct dht *d, const struct op *op, uint32_t id)
{
    return !d->is_dead && dht_op(d, id) == op;
}

/* As an item; what is no byte string was not meant for us. */
static bool give_item(const struct op *op, const struct dht_value *v)
{
    struct item item = {.seq = v->seq};
    struct slice s;

    if (op->cb.value == NULL)
        return true;
    if (!ben_str(v->v, &s) || s.len > ITEM_V_MAX)
        return false;
    memcpy(item.k, v->k, sizeof item.k);
    memcpy(item.sig, v->sig, sizeof item.sig);
    item.v_len = (uint16_t)s.len;
    memcpy(item.v, s.data, s.len);
    return op->cb.value(op->arg, &item);
}

/* How far from the target a newer value may lie: on mainline anywhere. */
static double check_reach(struct dht *d, ns_t now)
{
    double n, low, high;

    if (!d->is_zone)
        return 1;
    dht_size_now(d, now, &n, &low, &high);
    return CHECK_WIDE * copies(d) / n;
}

bool dht_give_value(struct dht *d, ns_t now, struct op *op, const struct dht_value *v)
{
    uint32_t id = op->id;
    bool is_wanted = op->is_raw ? op->cb.raw == NULL || op->cb.raw(op->arg, v) : give_item(op, v);

    if (!lives(d, op, id))
        return false;
    if (!is_wanted) {
        memcpy(op->sig, v->sig, sizeof op->sig);
        op->has_refused = true;
        return true;
    }
    op->seq = v->seq;
    count_found(op, now);
    if (!v->is_mutable) {
        op->finish_at = now; /* there is no other */
        d->kick_at = now;
        return true;
    }
    if (op->finish_at == 0) { /* one more round trip's worth of nodes, then no more */
        op->look_until = now + dht_rtt(d, now) * 3 / 8;
        op->finish_at = op->look_until + dht_rtt(d, now) * 5 / 4;
        lookup_check(op->l, check_reach(d, now));
    }
    dht_op_send(d, now, op);
    return true;
}

static bool give_blob(struct dht *d, ns_t now, struct op *op, const uint8_t *bytes, const uint8_t *nonce)
{
    unsigned bits = pow_bits(op->target, slice_of(bytes, DROP_BLOB_BYTES), nonce);
    uint8_t hash[DROP_HASH];
    uint32_t id = op->id;

    drop_hash(bytes, hash);
    if (bits < DROP_BITS_MIN || !note_seen(op, hash))
        return true;
    count_found(op, now);
    if (op->cb.blob != NULL)
        op->cb.blob(op->arg, bytes, nonce, (uint8_t)(bits > 255 ? 255 : bits));
    return lives(d, op, id);
}

static bool give_advert(struct dht *d, ns_t now, struct op *op, const uint8_t *N, const struct addr *seen,
                        struct slice advert)
{
    uint8_t hash[DROP_HASH];
    uint32_t id = op->id;
    struct hasher h;

    hash_begin(&h, sizeof hash, NULL, 0);
    hash_bytes(&h, N, 32);
    hash_bytes(&h, advert.data, advert.len);
    hash_end(&h, hash);
    if (!note_seen(op, hash))
        return true;
    count_found(op, now);
    if (op->cb.advert != NULL)
        op->cb.advert(op->arg, N, seen, advert);
    return lives(d, op, id);
}

/* Addresses of get_peers, 6 or 18 bytes each. */
static bool take_peers(struct dht *d, ns_t now, struct op *op, const struct krpc_msg *m)
{
    struct slice key, raw, compact;
    struct ben_iter it;
    struct addr peer;
    uint32_t id = op->id;

    if (m->b.values.data == NULL || !ben_list(m->b.values, &it))
        return true;
    while (ben_next(&it, &key, &raw) && ben_str(raw, &compact)) {
        uint8_t hash[DROP_HASH];

        hash_once(sizeof hash, NULL, 0, compact, hash);
        if (!krpc_read_compact(compact, &peer) || !dht_addr_ok(d, &peer) || !note_seen(op, hash))
            continue;
        count_found(op, now);
        if (op->cb.peer != NULL)
            op->cb.peer(op->arg, &peer);
        if (!lives(d, op, id))
            return false;
    }
    return true;
}

/* What others put here counts like an answer of a node no round trip away. */
static bool look_here(struct dht *d, ns_t now, struct op *op)
{
    uint8_t hashes[DROP_PER_ID * DROP_HASH];
    const struct stored *s;
    const struct advert *a;
    size_t n;

    op->has_looked = true;
    if (op->kind == OP_GET && (s = store_get(&d->store, now, op->target)) != NULL &&
        (s->is_mutable ? s->seq > op->seq : op->is_immutable)) {
        struct dht_value v = {.is_mutable = s->is_mutable,
                              .seq = s->is_mutable ? s->seq : 0,
                              .salt = slice_of(s->salt, s->salt_len),
                              .v = slice_of(s->v, s->v_len)};

        memcpy(v.k, s->k, sizeof v.k);
        memcpy(v.sig, s->sig, sizeof v.sig);
        return dht_give_value(d, now, op, &v);
    }
    if (op->kind == OP_DROP_GET) {
        n = drops_list(&d->drops, now, op->target, hashes);
        for (size_t i = 0; i < n; i++) {
            const struct blob *b = drops_get(&d->drops, now, op->target, hashes + DROP_HASH * i);

            if (b != NULL && !give_blob(d, now, op, b->bytes, b->nonce))
                return false;
        }
    }
    if (op->kind == OP_ADVERT_GET)
        for (unsigned i = 0; (a = adverts_get(&d->adverts, now, op->target, i, NULL)) != NULL; i++)
            if (!give_advert(d, now, op, a->N, &a->seen, slice_of(a->bytes, a->len)))
                return false;
    return true;
}

/* When paths begun anew have had their time; once something was found finish_at counts alone. */
static ns_t walk_end(const struct op *op)
{
    return op->walk_until > 0 && !op->is_walked && op->finish_at == 0 ? op->walk_until : NS_NEVER;
}

void dht_op_turn(struct dht *d, ns_t now, struct op *op)
{
    if (!op->has_looked && !look_here(d, now, op))
        return;
    dht_op_send(d, now, op);
    if (is_write(op) && !op->is_walked && op->n_wide == 0 && op->l->n < 2 * copies(d) &&
        lookup_answers(op->l) >= d->k)
        dht_widen(d, now, op, copies(d)); /* few are known: no need to wait for the end of the walk */
    if (!op->is_waiting && !op->is_walked && op->finish_at == 0 && op->n_wide_open == 0 &&
        (lookup_is_done(op->l) || walk_end(op) <= now) &&
        !(is_write(op) && dht_widen(d, now, op, copies(d))) && !seed_more(d, now, op) &&
        !relaunch(d, now, op))
        walked(d, now, op);
    if (is_write(op) && op->finish_at == 0 && dht_has_enough(d, op, copies(d)))
        op->finish_at = now;
    if (is_done(op, now))
        finish(d, now, op);
}

/* --- answers */

static bool is_being_fetched(const struct dht *d, const struct op *op, const uint8_t hash[static DROP_HASH])
{
    const struct rpc_call *c;

    rpc_each(&d->rpc, c) if (c->op == op->id && c->kind == RPC_FETCH && c->is_counted &&
                             memcmp(c->extra, hash, DROP_HASH) == 0) return true;
    return false;
}

static void fetch_blobs(struct dht *d, ns_t now, struct op *op, const struct contact *from,
                        struct slice hashes)
{
    for (size_t at = 0; at + DROP_HASH <= hashes.len; at += DROP_HASH)
        if (!is_seen(op, hashes.data + at) && !is_being_fetched(d, op, hashes.data + at))
            dht_ask(d, now, RPC_FETCH, op, from, true, hashes.data + at);
}

/* The node did not give it: ask the next one that may have it. */
static void fetch_elsewhere(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call)
{
    struct lookup_node *near[DHT_K_ZONE];
    size_t n = lookup_closest(op->l, near, DHT_K_ZONE), at = 0;
    struct rpc_call *again;

    if (op->kind != OP_DROP_GET || call->tries + 1 >= FETCH_TRIES || is_seen(op, call->extra) ||
        is_being_fetched(d, op, call->extra))
        return;
    while (at < n && !id_equal(near[at]->c.id, call->to.id))
        at++;
    for (size_t i = 1; i < n; i++) {
        const struct lookup_node *other = near[(at + i) % n];

        if (other->token_len == 0)
            continue;
        again = dht_ask(d, now, RPC_FETCH, op, &other->c, true, call->extra);
        if (again != NULL)
            again->tries = (uint8_t)(call->tries + 1);
        return;
    }
}

/* One page of adverts, and the next one of that node if there is more. False: the operation is gone. */
static bool take_adverts(struct dht *d, ns_t now, struct op *op, const struct contact *from, unsigned first,
                         const struct krpc_msg *m)
{
    struct slice key, raw, entry;
    struct ben_iter it;
    unsigned n = first;
    uint8_t extra[8] = {0};

    if (m->b.ads.data == NULL || !ben_list(m->b.ads, &it))
        return true;
    while (ben_next(&it, &key, &raw) && ben_str(raw, &entry)) {
        uint8_t N[32];
        struct addr seen;
        struct slice advert;
        struct rd r;

        rd_init(&r, entry);
        rd_copy(&r, N, sizeof N);
        addr_read(&r, &seen);
        advert = rd_rest(&r);
        n++;
        if (!rd_ok(&r) || advert.len == 0 || advert.len > DHT_ADVERT_MAX)
            continue;
        if (!give_advert(d, now, op, N, &seen, advert))
            return false;
    }
    if (n == first || !m->b.n.is_set || (int64_t)n >= m->b.n.v || n >= ADVERT_PER_KEY ||
        op->n_seen >= DHT_SEEN_MAX)
        return true;
    extra[0] = (uint8_t)n;
    dht_ask(d, now, RPC_FETCH, op, from, true, extra);
    return true;
}

/* Those that answered and are among the nearest of all we know. */
static void write_nearest(struct dht *d, ns_t now, struct op *op)
{
    unsigned rank = 0;

    for (unsigned i = 0; i < op->l->n && rank < op->l->k; i++) {
        struct lookup_node *n = &op->l->nodes[i];

        rank += n->state != LOOKUP_LATE && n->state != LOOKUP_FAILED;
        if (n->state == LOOKUP_ANSWERED && op->n_writes < op->l->k)
            write_to(d, now, op, n);
    }
}

static bool take_walk(struct dht *d, ns_t now, struct op *op, const struct contact *from,
                      const struct krpc_msg *m)
{
    struct lookup_node *n = lookup_find(op->l, from->id);

    if (n == NULL)
        return true;
    lookup_answered(n, m->b.token);
    n->has_ours = op->kind == OP_PUT && m->b.seq.is_set && m->b.seq.v == op->seq &&
                  (m->b.sig.data == NULL || memcmp(m->b.sig.data, op->sig, sizeof op->sig) == 0);
    dht_take_nodes(d, op, from, &m->b, n->path);
    if (is_write(op) && !op->is_walked && is_inside_radius(d, now, op, from->id))
        write_to(d, now, op, lookup_find(op->l, from->id));
    if (is_write(op) && !op->is_walked && dht_knows_few(d, op))
        write_nearest(d, now, op);
    if (op->kind == OP_GET)
        return dht_take_raw(d, now, op, m);
    if (op->kind == OP_DROP_GET)
        fetch_blobs(d, now, op, from, m->b.h);
    if (op->kind == OP_ADVERT_GET)
        return take_adverts(d, now, op, from, 0, m);
    return op->kind != OP_PEERS || take_peers(d, now, op, m);
}

static void take_nodes(struct dht *d, struct op *op, const struct rpc_call *call, const struct krpc_msg *m)
{
    const struct lookup_node *from = lookup_find(op->l, call->to.id);

    dht_take_nodes(d, op, &call->to, &m->b, from != NULL ? from->path : 0);
}

static void take_ack(struct op *op, const struct krpc_msg *m)
{
    bool is_stored = op->kind != OP_DROP_PUT || (m->b.n.is_set && m->b.n.v == 1);

    if (is_stored) {
        op->result.n_acks++;
        return;
    }
    op->result.n_refused++;
    if (m->b.bits.is_set && m->b.bits.v > op->result.bits_needed && m->b.bits.v <= DROP_BITS_MAX)
        op->result.bits_needed = (uint8_t)m->b.bits.v;
}

static bool take_fetch(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call,
                       const struct contact *from, const struct krpc_msg *m)
{
    uint8_t hash[DROP_HASH];

    if (op->kind == OP_ADVERT_GET)
        return take_adverts(d, now, op, from, call->extra[0], m);
    if (m->b.blob.data != NULL && m->b.nonce.data != NULL) {
        drop_hash(m->b.blob.data, hash);
        if (memcmp(hash, call->extra, DROP_HASH) == 0)
            return give_blob(d, now, op, m->b.blob.data, m->b.nonce.data);
    }
    fetch_elsewhere(d, now, op, call);
    return true;
}

/* What the operation waited for came, or is late. */
static void uncount(struct op *op, const struct rpc_call *call)
{
    op->n_open = (uint16_t)(op->n_open - call->is_counted);
    op->n_wide_open = (uint8_t)(op->n_wide_open - (call->is_counted && call->kind == RPC_WIDEN));
}

void dht_op_answer(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call,
                   const struct contact *from, const struct krpc_msg *m)
{
    bool is_there = true;

    uncount(op, call);
    if (call->kind == RPC_STORE)
        take_ack(op, m);
    if (call->kind == RPC_WALK || call->kind == RPC_STORE)
        is_there = take_walk(d, now, op, from, m);
    else if (call->kind == RPC_WIDEN)
        take_nodes(d, op, call, m);
    else if (call->kind == RPC_WRITE)
        take_ack(op, m);
    else if (call->kind == RPC_FETCH)
        is_there = take_fetch(d, now, op, call, from, m);
    if (is_there)
        dht_op_turn(d, now, op);
}

void dht_op_error(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call, int code)
{
    struct lookup_node *n = lookup_find(op->l, call->to.id);

    uncount(op, call);
    if (call->kind == RPC_STORE && n != NULL)
        lookup_answered(n, (struct slice){0});
    if (call->kind == RPC_WALK && n != NULL) {
        lookup_failed(n);
    } else if (call->kind == RPC_WRITE && code == KRPC_E_SEQ && n != NULL && n->has_ours) {
        op->result.n_inferred++;
        op->result.n_acks++; /* bittorrent-dht refuses the same seq once more: it is there */
    } else if (call->kind == RPC_WRITE || call->kind == RPC_STORE) {
        op->result.n_refused++;
        op->result.n_stale += code == KRPC_E_SEQ;
        op->result.n_cas += code == KRPC_E_CAS;
        op->result.last_error = code;
    } else if (call->kind == RPC_FETCH) {
        fetch_elsewhere(d, now, op, call);
    }
    dht_op_turn(d, now, op);
}

/* A second query to that node is in flight: that one decides. */
static bool is_asked_again(const struct dht *d, const struct op *op, const struct rpc_call *call)
{
    const struct rpc_call *c;

    rpc_each(&d->rpc, c) if (c->op == op->id && (c->kind == RPC_WALK || c->kind == RPC_STORE) &&
                             id_equal(c->to.id, call->to.id)) return true;
    return false;
}

void dht_op_late(struct dht *d, ns_t now, struct op *op, const struct rpc_call *call, bool is_dead)
{
    struct lookup_node *n = lookup_find(op->l, call->to.id);

    uncount(op, call);
    if ((call->kind == RPC_WALK || call->kind == RPC_STORE) && n != NULL) {
        if (!is_dead)
            lookup_late(n);
        else if (!is_asked_again(d, op, call))
            lookup_failed(n);
    } else if (call->kind == RPC_FETCH && call->is_counted) {
        fetch_elsewhere(d, now, op, call);
    }
    dht_op_turn(d, now, op);
}

/* --- turns */

void dht_ops_seed(struct dht *d, ns_t now)
{
    for (unsigned i = 0; i < d->cap_ops; i++) {
        struct op *op = d->ops[i];

        if (op == NULL || !op->is_waiting)
            continue;
        seed(d, op);
        dht_op_send(d, now, op);
    }
}

void dht_ops_tick(struct dht *d, ns_t now)
{
    bool is_kicked = d->kick_at > 0 && d->kick_at <= now;

    if (is_kicked)
        d->kick_at = 0;
    for (unsigned i = 0; i < d->cap_ops && !d->is_dead; i++) {
        struct op *op = d->ops[i];

        if (op != NULL && (is_kicked || is_done(op, now) || walk_end(op) <= now))
            dht_op_turn(d, now, op);
    }
}

ns_t dht_ops_deadline(const struct dht *d)
{
    ns_t at = d->kick_at > 0 ? d->kick_at : NS_NEVER;

    for (unsigned i = 0; i < d->cap_ops; i++) {
        const struct op *op = d->ops[i];

        if (op == NULL)
            continue;
        at = ns_min(at, op->ends_at);
        if (op->finish_at > 0)
            at = ns_min(at, op->finish_at);
        at = ns_min(at, walk_end(op));
        if (op->is_waiting)
            at = ns_min(at, op->started_at + DHT_JOIN_WAIT_NS);
    }
    return at;
}
