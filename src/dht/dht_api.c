#include "dht/dht_node.h"

#include "base/mem.h"
#include "crypto/digest.h"
#include "crypto/item.h"

/* The owner's part of it is filled in: begin. */
static uint32_t begin(struct dht *d, ns_t now, struct op *op)
{
    dht_op_send(d, now, op);
    return op->id;
}

void dht_cancel(struct dht *d, uint32_t id)
{
    struct op *op = dht_op(d, id);

    if (op == NULL)
        return;
    rpc_close_op(&d->rpc, id);
    dht_op_drop(d, op);
}

void dht_target(const uint8_t key[static DHT_KEY_BYTES], uint8_t target[static DHT_ID_BYTES])
{
    digest_sha1(slice_of(key, DHT_KEY_BYTES), target);
}

enum err dht_raw_target(const struct dht_value *v, uint8_t target[static DHT_ID_BYTES])
{
    uint8_t text[DHT_KEY_BYTES + STORE_SALT_MAX];

    if (v->salt.len > STORE_SALT_MAX || v->v.len > STORE_V_MAX)
        return ERR_RANGE;
    memcpy(text, v->k, DHT_KEY_BYTES);
    if (v->salt.len > 0)
        memcpy(text + DHT_KEY_BYTES, v->salt.data, v->salt.len);
    digest_sha1(v->is_mutable ? slice_of(text, DHT_KEY_BYTES + v->salt.len) : v->v, target);
    return ERR_OK;
}

static void set_salt(struct op *op, struct slice salt)
{
    op->salt_len = (uint8_t)salt.len;
    if (salt.len > 0)
        memcpy(op->salt, salt.data, salt.len);
}

static struct op *start_get(struct dht *d, ns_t now, const uint8_t target[static ID_BYTES],
                            const uint8_t *key, struct slice salt, int64_t min_seq, dht_done_cb done_cb,
                            void *arg)
{
    struct op *op = dht_op_start(d, now, OP_GET, target);

    if (op == NULL)
        return NULL;
    op->has_key = key != NULL;
    if (key != NULL)
        memcpy(op->key, key, sizeof op->key);
    set_salt(op, salt);
    op->seq = min_seq > 0 ? min_seq - 1 : -1;
    op->done = done_cb;
    op->arg = arg;
    return op;
}

uint32_t dht_get_salted(struct dht *d, ns_t now, const uint8_t key[static DHT_KEY_BYTES], struct slice salt,
                        int64_t min_seq, dht_value_cb value_cb, dht_done_cb done_cb, void *arg)
{
    struct dht_value v = {.is_mutable = true, .salt = salt};
    uint8_t target[ID_BYTES];
    struct op *op;

    memcpy(v.k, key, sizeof v.k);
    if (dht_raw_target(&v, target) != ERR_OK)
        return 0;
    op = start_get(d, now, target, key, salt, min_seq, done_cb, arg);
    if (op == NULL)
        return 0;
    op->cb.value = value_cb;
    return begin(d, now, op);
}

uint32_t dht_get_raw(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], const uint8_t *key,
                     struct slice salt, int64_t min_seq, dht_raw_cb raw_cb, dht_done_cb done_cb, void *arg)
{
    struct op *op =
        salt.len > STORE_SALT_MAX ? NULL : start_get(d, now, target, key, salt, min_seq, done_cb, arg);

    if (op == NULL)
        return 0;
    op->is_immutable = key == NULL && !d->is_zone;
    op->is_raw = true;
    op->cb.raw = raw_cb;
    return begin(d, now, op);
}

uint32_t dht_get(struct dht *d, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                 dht_value_cb value_cb, dht_done_cb done_cb, void *arg)
{
    return dht_get_salted(d, now, key, (struct slice){0}, min_seq, value_cb, done_cb, arg);
}

/* A copy of a and b, one after the other. */
static void set_payload(struct op *op, struct slice a, struct slice b)
{
    op->payload_len = a.len + b.len;
    op->payload = mem_alloc(op->payload_len);
    memcpy(op->payload, a.data, a.len);
    if (b.len > 0)
        memcpy(op->payload + a.len, b.data, b.len);
}

static struct op *start_write(struct dht *d, ns_t now, enum op_kind kind,
                              const uint8_t target[static ID_BYTES], struct slice a, struct slice b,
                              dht_done_cb done_cb, void *arg)
{
    struct op *op = dht_op_start(d, now, kind, target);

    if (op == NULL)
        return NULL;
    if (a.len > 0)
        set_payload(op, a, b);
    op->done = done_cb;
    op->arg = arg;
    return op;
}

uint32_t dht_put_salted(struct dht *d, ns_t now, const struct item *item, struct slice salt,
                        dht_done_cb done_cb, void *arg)
{
    struct dht_value v = {.is_mutable = true, .seq = item->seq, .salt = salt};
    uint8_t bytes[STORE_V_MAX];
    struct ben_wr w;

    if (item->v_len > ITEM_V_MAX)
        return 0;
    ben_wr_init(&w, bytes, sizeof bytes);
    ben_put_str(&w, slice_of(item->v, item->v_len));
    v.v = ben_wr_done(&w);
    memcpy(v.k, item->k, sizeof v.k);
    memcpy(v.sig, item->sig, sizeof v.sig);
    return dht_put_raw(d, now, &v, NULL, done_cb, arg);
}

uint32_t dht_put_raw(struct dht *d, ns_t now, const struct dht_value *v, const int64_t *cas,
                     dht_done_cb done_cb, void *arg)
{
    uint8_t target[ID_BYTES];
    struct op *op;

    if (dht_raw_target(v, target) != ERR_OK || v->v.len == 0 || (d->is_zone && !v->is_mutable))
        return 0;
    op = start_write(d, now, OP_PUT, target, v->v, (struct slice){0}, done_cb, arg);
    if (op == NULL)
        return 0;
    op->is_immutable = !v->is_mutable;
    op->seq = v->is_mutable ? v->seq : -1;
    memcpy(op->key, v->k, sizeof op->key);
    memcpy(op->sig, v->sig, sizeof op->sig);
    set_salt(op, v->salt);
    if (cas != NULL)
        op->cas = (struct krpc_int){.v = *cas, .is_set = true};
    return begin(d, now, op);
}

uint32_t dht_put(struct dht *d, ns_t now, const struct item *item, dht_done_cb done_cb, void *arg)
{
    return dht_put_salted(d, now, item, (struct slice){0}, done_cb, arg);
}

uint32_t dht_peers(struct dht *d, ns_t now, const uint8_t info_hash[static DHT_ID_BYTES], dht_peer_cb peer_cb,
                   dht_done_cb done_cb, void *arg)
{
    struct op *op = d->is_zone ? NULL : dht_op_start(d, now, OP_PEERS, info_hash);

    if (op == NULL)
        return 0;
    op->seen = mem_array(DHT_SEEN_MAX, DROP_HASH);
    op->cb.peer = peer_cb;
    op->done = done_cb;
    op->arg = arg;
    return begin(d, now, op);
}

uint32_t dht_announce(struct dht *d, ns_t now, const uint8_t info_hash[static DHT_ID_BYTES], uint16_t port,
                      dht_done_cb done_cb, void *arg)
{
    struct op *op = d->is_zone ? NULL
                               : start_write(d, now, OP_ANNOUNCE, info_hash, (struct slice){0},
                                             (struct slice){0}, done_cb, arg);

    if (op == NULL)
        return 0;
    op->flow = port;
    return begin(d, now, op);
}

uint32_t dht_find(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], dht_find_cb cb,
                  void *arg)
{
    struct op *op = dht_op_start(d, now, OP_FIND, target);

    if (op == NULL)
        return 0;
    op->cb.find = cb;
    op->arg = arg;
    return begin(d, now, op);
}

uint32_t dht_drop_put(struct dht *d, ns_t now, const uint8_t drop_id[static DHT_ID_BYTES],
                      const uint8_t blob[static DHT_BLOB_BYTES], const uint8_t nonce[static DHT_NONCE_BYTES],
                      dht_done_cb done_cb, void *arg)
{
    struct op *op = start_write(d, now, OP_DROP_PUT, drop_id, slice_of(blob, DHT_BLOB_BYTES),
                                slice_of(nonce, DHT_NONCE_BYTES), done_cb, arg);

    return op != NULL ? begin(d, now, op) : 0;
}

uint32_t dht_drop_get(struct dht *d, ns_t now, const uint8_t drop_id[static DHT_ID_BYTES],
                      dht_blob_cb blob_cb, dht_done_cb done_cb, void *arg)
{
    struct op *op = dht_op_start(d, now, OP_DROP_GET, drop_id);

    if (op == NULL)
        return 0;
    op->seen = mem_array(DHT_SEEN_MAX, DROP_HASH);
    op->cb.blob = blob_cb;
    op->done = done_cb;
    op->arg = arg;
    return begin(d, now, op);
}

uint32_t dht_advert_put(struct dht *d, ns_t now, const uint8_t key[static DHT_ID_BYTES], struct slice advert,
                        dht_done_cb done_cb, void *arg)
{
    struct op *op = advert.len == 0 || advert.len > DHT_ADVERT_MAX
                        ? NULL
                        : start_write(d, now, OP_ADVERT_PUT, key, advert, (struct slice){0}, done_cb, arg);

    return op != NULL ? begin(d, now, op) : 0;
}

uint32_t dht_advert_get(struct dht *d, ns_t now, const uint8_t key[static DHT_ID_BYTES],
                        dht_advert_cb advert_cb, dht_done_cb done_cb, void *arg)
{
    struct op *op = dht_op_start(d, now, OP_ADVERT_GET, key);

    if (op == NULL)
        return 0;
    op->seen = mem_array(DHT_SEEN_MAX, DROP_HASH);
    op->cb.advert = advert_cb;
    op->done = done_cb;
    op->arg = arg;
    return begin(d, now, op);
}

static void watch(struct dht *d, ns_t now, const uint8_t target[static ID_BYTES])
{
    struct watched *place, *more = NULL;

    if (d->n_watched == 0 || d->watched[d->n_watched - 1].expires_at > 0)
        more = dht_grow(d->watched, &d->n_watched, DHT_WATCHED, sizeof *more);
    d->watched = more != NULL ? more : d->watched;
    place = d->watched;
    for (unsigned i = 0; i < d->n_watched; i++) {
        struct watched *w = &d->watched[i];

        if (id_equal(w->target, target)) {
            place = w;
            break;
        }
        if (w->expires_at < place->expires_at)
            place = w;
    }
    memcpy(place->target, target, ID_BYTES);
    place->expires_at = now + DHT_OBSERVE_NS;
}

uint32_t dht_observe(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], dht_done_cb done_cb,
                     void *arg)
{
    struct op *op =
        start_write(d, now, OP_OBSERVE, target, (struct slice){0}, (struct slice){0}, done_cb, arg);

    if (op == NULL)
        return 0;
    watch(d, now, target);
    return begin(d, now, op);
}

uint32_t dht_route_send(struct dht *d, ns_t now, const uint8_t target[static DHT_ID_BYTES], uint32_t flow,
                        struct slice body, dht_done_cb done_cb, void *arg)
{
    struct op *op = flow == 0 || body.len == 0 || body.len > DHT_ROUTE_MAX
                        ? NULL
                        : start_write(d, now, OP_ROUTE, target, body, (struct slice){0}, done_cb, arg);

    if (op == NULL)
        return 0;
    op->flow = flow;
    return begin(d, now, op);
}
