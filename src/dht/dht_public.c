#include "dht/dht_node.h"

#include "crypto/digest.h"
#include "dht/bep42.h"

#define ID_CHECK_NS  (60 * NS_PER_S)
#define PASS_BELOW   16 /* contacts of the other family we want before we stop asking for them */
#define PASS_AT_ONCE 4
#define FAMILY_READ  16

/* --- values */

/* Has the answer a value of this operation with a right signature or hash? */
static bool read_value(struct dht *d, const struct op *op, const struct krpc_msg *m, struct dht_value *v)
{
    uint8_t target[ID_BYTES];

    v->v = m->b.v;
    if (m->b.v.data == NULL || m->b.v.len > STORE_V_MAX)
        return false;
    v->is_mutable = m->b.k.data != NULL || m->b.sig.data != NULL;
    if (!v->is_mutable) {
        digest_sha1(m->b.v, target);
        return op->is_immutable && id_equal(target, op->target);
    }
    if (m->b.k.data == NULL || m->b.sig.data == NULL || !m->b.seq.is_set || m->b.seq.v <= op->seq)
        return false;
    v->seq = m->b.seq.v;
    v->salt = slice_of(op->salt, op->salt_len);
    memcpy(v->k, m->b.k.data, sizeof v->k);
    memcpy(v->sig, m->b.sig.data, sizeof v->sig);
    if (op->has_key ? memcmp(v->k, op->key, sizeof v->k) != 0
                    : dht_raw_target(v, target) != ERR_OK || !id_equal(target, op->target))
        return false;
    if (op->has_refused && memcmp(op->sig, v->sig, sizeof v->sig) == 0)
        return false;
    if (d->store.ops->item(v->k, v->salt, v->seq, v->v, v->sig) == ERR_OK)
        return true;
    d->count.bad_packets++;
    return false;
}

bool dht_take_raw(struct dht *d, ns_t now, struct op *op, const struct krpc_msg *m)
{
    struct dht_value v = {0};

    return !read_value(d, op, m, &v) || dht_give_value(d, now, op, &v);
}

/* --- peers of a hash */

void dht_serve_peers(struct dht *d, ns_t now, const uint8_t *hash, struct ben_wr *values)
{
    struct addr peers[PEERS_REPLY];
    size_t n = peers_get(&d->announced, now, hash, env_random_u32(&d->env), peers, PEERS_REPLY);

    ben_open_list(values);
    for (size_t i = 0; i < n; i++) {
        uint8_t compact[18];

        ben_put_str(values, slice_of(compact, krpc_write_compact(&peers[i], compact)));
    }
    ben_close(values);
}

const char *dht_take_announce(struct dht *d, ns_t now, const struct addr *from, const struct krpc_msg *m)
{
    struct addr a = *from;

    if (!store_token_ok(&d->store, now, from, m->b.info_hash.data, m->b.token))
        return "token";
    if (!m->b.implied_port.is_set || m->b.implied_port.v == 0) {
        if (!m->b.port.is_set || m->b.port.v < 1 || m->b.port.v > 65535)
            return "port";
        a.port = (uint16_t)m->b.port.v;
    }
    peers_put(&d->announced, now, m->b.info_hash.data, &a); /* a full table is no fault of theirs */
    return NULL;
}

/* --- enough nodes to write to */

#define WIDE_ROUNDS 3
#define WIDE_ASKED  8 /* a round; each node once, for it has a limit (pace.h) */
#define WIDE_BITS   4

/* The subtrees beside the nearest ones, each twice as large as the one before. */
bool dht_widen(struct dht *d, ns_t now, struct op *op, unsigned wanted)
{
    struct lookup_node *near[WIDE_ROUNDS * WIDE_ASKED];
    size_t n = lookup_closest(op->l, near, WIDE_ROUNDS * WIDE_ASKED), at = (size_t)op->n_wide * WIDE_ASKED;
    unsigned deepest;
    bool has_asked = false;
    uint8_t extra[8] = {0};

    if (d->is_zone || n == 0 || op->n_wide >= WIDE_ROUNDS || lookup_answers(op->l) >= wanted)
        return false;
    deepest = id_prefix(op->target, near[n < DHT_K_MAINLINE ? n - 1 : DHT_K_MAINLINE - 1]->c.id);
    op->n_wide++;
    for (size_t i = at; i < n && i < at + WIDE_ASKED; i++) {
        unsigned up = (unsigned)(i % WIDE_BITS);

        extra[0] = (uint8_t)(deepest > up ? deepest - up : 0);
        has_asked |= dht_ask(d, now, RPC_WIDEN, op, &near[i]->c, true, extra) != NULL;
    }
    return has_asked;
}

bool dht_knows_few(const struct dht *d, const struct op *op)
{
    return !d->is_zone && op->l->n < LOOKUP_CANDIDATES && lookup_answers(op->l) >= d->k;
}

bool dht_has_enough(const struct dht *d, const struct op *op, unsigned wanted)
{
    unsigned in_play = 0;

    if (d->is_zone || op->is_waiting || op->result.n_acks < wanted)
        return false;
    for (unsigned i = 0; i < op->l->n && in_play < d->k; i++) {
        const struct lookup_node *n = &op->l->nodes[i];

        if (n->state == LOOKUP_LATE || n->state == LOOKUP_FAILED || n->state == LOOKUP_SKIPPED)
            continue;
        if (!n->is_written)
            return false;
        in_play++;
    }
    return in_play == d->k;
}

/* --- our id */

static void set_id(struct dht *d, ns_t now, const uint8_t id[static ID_BYTES])
{
    struct table old = d->table;

    memcpy(d->id, id, ID_BYTES);
    memcpy(d->store.own, id, ID_BYTES);
    table_init(&d->table, d->book, d->id, d->k, d->config.max_contacts);
    for (unsigned i = 0; i < old.n; i++) {
        const struct table_entry *e = &old.entries[i];

        if (e->fails < TABLE_FAILS)
            table_seen(&d->table, table_seen_at(e, now), table_contact(&old, e), table_entry_rtt(e));
    }
    table_fini(&old);
    d->n_self_lookups = 0;
    d->refresh_at = now; /* our neighbours are others now */
}

void dht_check_id(struct dht *d, ns_t now)
{
    uint8_t family = d->config.families & DHT_V4 ? ADDR_V4 : ADDR_V6, id[ID_BYTES];
    struct addr seen;
    unsigned votes;

    if (now < d->id_at || !dht_own_address(d, family, &seen, &votes))
        return;
    d->id_at = now + ID_CHECK_NS;
    if (bep42_ok(&seen, d->id))
        return;
    env_random(&d->env, id, sizeof id);
    bep42_make(&seen, id);
    set_id(d, now, id);
}

/* --- two families (BEP 32) */

void dht_join_families(struct dht *v4, struct dht *v6)
{
    if (v4->is_zone || v6->is_zone || v4 == v6)
        return;
    v4->other_family = v6;
    v6->other_family = v4;
}

struct slice dht_want(const struct dht *d)
{
    if (d->other_family == NULL || d->other_family->table.n >= PASS_BELOW)
        return (struct slice){0};
    return slice_str("l2:n42:n6e");
}

void dht_pass_family(struct dht *d, ns_t now, const struct krpc_body *b)
{
    struct dht *other = d->other_family;
    struct contact near[FAMILY_READ];
    size_t n;

    if (other->table.n >= PASS_BELOW || other->is_dead)
        return;
    n = dht_read_nodes(other, b, (struct slice){0}, near, FAMILY_READ);
    for (size_t i = 0; i < n && i < PASS_AT_ONCE; i++)
        dht_add_address(other, now, &near[i].addr);
}
