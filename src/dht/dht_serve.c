#include "dht/dht_node.h"

#include "crypto/secret.h"

#define PROBE_BYTES \
    300 /* at most, of a ping or find_node to somebody that is not proven; less its certificate */
#define OTHER_BYTES 420 /* at most, of an answer with a value and a token, less value and contacts */
#define ZN_KEYS     16  /* "2:zn" "752:" "2:zv" "128:" */
#define REPLY_ROOM  (DHT_REPLY_NODES * (KRPC_ZN_V4 + KRPC_ZV))

/* A query whose sender is proven (zones), or not (mainline). */
struct asker {
    const struct addr *addr;
    const struct krpc_msg *q;
    const uint8_t *target; /* what the query is about, or NULL */
    struct pair *pair;     /* NULL on mainline */
    struct contact c;
    struct addr by; /* where who vouches for its address lives, if that is not proven */
    size_t room;    /* then, bytes an answer may have; 0: any number */
};

/* Room for what an answer points to while it is written. */
struct answer_room {
    uint8_t ip[18], token[STORE_TOKEN_BYTES];
    uint8_t nodes[DHT_REPLY_BYTES], vouchers[DHT_REPLY_NODES][KRPC_ZV];
    uint8_t other[DHT_K_MAINLINE * (ID_BYTES + 18)];
    uint8_t values[PEERS_REPLY * 21 + 2];
    uint8_t hashes[DROP_PER_ID * DROP_HASH];
    uint8_t ads[DHT_REPLY_BYTES];
};

/* What a value or contacts leave of a datagram is less by what the certificate takes and a closed zone does not add. */
static size_t out_max(const struct dht *d)
{
    return dht_is_closed(d) ? KRPC_OUT_CLOSED - KRPC_MEMBER_PAIR : KRPC_OUT_MAX;
}

/* Contacts we may tell them: nothing private to somebody outside. */
static bool may_tell(const struct addr *to, const struct contact *c)
{
    return addr_class(to) != ADDR_GLOBAL || addr_class(&c->addr) == ADDR_GLOBAL;
}

/* Write the contacts nearest to target that fit, in the form of the profile; returns their bytes. A zone's askers get a
 * voucher with each, if there is room for them. */
static struct slice write_nodes(struct dht *d, const struct asker *a, const uint8_t target[static ID_BYTES],
                                uint8_t *buf, size_t size, uint8_t (*vouchers)[KRPC_ZV], size_t *n_out)
{
    const struct table_entry *near[DHT_REPLY_NODES];
    size_t n = table_closest(&d->table, target, near, d->is_zone ? DHT_REPLY_NODES : DHT_K_MAINLINE), got = 0;
    int64_t wall = vouchers != NULL ? dht_zone_time_ms(d, d->turned_at) : 0;
    struct wr w;

    wr_init(&w, buf, size);
    for (size_t i = 0; i < n; i++) {
        const struct contact *c = table_contact(&d->table, near[i]);
        size_t need = d->is_zone ? KRPC_ZN_V4 + (c->addr.family == ADDR_V6 ? 12u : 0u) : ID_BYTES + 18;
        uint8_t compact[18];

        if (!may_tell(a->addr, c) ||
            wr_len(&w) + need + (vouchers != NULL ? (got + 1) * KRPC_ZV : 0) > size ||
            id_equal(c->id, a->c.id))
            continue;
        if (d->is_zone) {
            wr_bytes(&w, c->key, sizeof c->key);
            wr_bytes(&w, c->nonce, sizeof c->nonce);
            addr_write(&w, &c->addr);
        } else {
            wr_bytes(&w, c->id, ID_BYTES);
            wr_bytes(&w, compact, krpc_write_compact(&c->addr, compact));
        }
        if (vouchers != NULL) {
            const struct pair *p = node_pair(&d->key, c->key);

            memset(vouchers[got], 0, KRPC_ZV);
            if (p != NULL && p->knows_us)
                node_vouch(&d->key, p, wall, a->c.key, a->addr, vouchers[got]);
        }
        got++;
    }
    if (n_out != NULL)
        *n_out = got;
    return slice_of(buf, wr_len(&w));
}

/* As many contacts of a zone, and vouchers, as fit into size. */
static void put_zone_nodes(struct dht *d, const struct asker *a, const uint8_t target[static ID_BYTES],
                           struct krpc_msg *m, struct answer_room *room, size_t size)
{
    size_t n = 0;
    bool is_vouching = a->q->method == KRPC_GET || a->q->method == KRPC_PUT || a->q->method == KRPC_FIND_NODE;

    size = size < sizeof room->nodes ? size : sizeof room->nodes;
    m->b.zn = write_nodes(d, a, target, room->nodes, size, is_vouching ? room->vouchers : NULL, &n);
    if (is_vouching)
        m->b.zv = slice_of(room->vouchers[0], n * KRPC_ZV);
}

static struct slice seal_reply(struct dht *d, const struct asker *a, struct krpc_msg *m, uint8_t *buf,
                               size_t size)
{
    return node_seal(&d->key, m, a->c.id, a->q->mac.data != NULL ? a->pair : NULL, buf, size);
}

/* Fewer contacts, so that the answer is no longer than the query of somebody who has not proven where it lives. Empty:
 * too long without any. */
static struct slice seal_short(struct dht *d, const struct asker *a, struct krpc_msg *m,
                               struct answer_room *room, uint8_t *buf, size_t size)
{
    struct slice packet;
    size_t bare, had = m->b.zn.len + m->b.zv.len;

    packet = seal_reply(d, a, m, buf, size);
    if (packet.len > 0 && packet.len <= a->room)
        return packet;
    m->b.zn = m->b.zv = (struct slice){0};
    packet = seal_reply(d, a, m, buf, size);
    bare = packet.len + ZN_KEYS;
    if (packet.len == 0 || packet.len > a->room || had == 0 || bare + KRPC_ZN_V4 + KRPC_ZV > a->room)
        return packet.len <= a->room ? packet : (struct slice){0};
    put_zone_nodes(d, a, a->target, m, room, a->room - bare < had ? a->room - bare : had);
    return seal_reply(d, a, m, buf, size);
}

static void send_cookie(struct dht *d, ns_t now, const struct addr *from, size_t room,
                        const struct krpc_msg *q);

static void send_reply(struct dht *d, const struct asker *a, struct krpc_msg *m, struct answer_room *room)
{
    uint8_t buf[KRPC_OUT_CLOSED];
    struct slice packet;

    m->t = a->q->t;
    m->b.id = slice_of(d->id, ID_BYTES);
    m->ip = slice_of(room->ip, krpc_write_compact(a->addr, room->ip));
    if (d->pace != NULL && !pace_now(d->pace, d->turned_at, a->addr)) {
        d->count.paced++;
        return;
    }
    if (a->room > 0)
        packet = seal_short(d, a, m, room, buf, sizeof buf);
    else if (d->is_zone)
        packet = seal_reply(d, a, m, buf, sizeof buf);
    else
        packet = krpc_write(m, buf, KRPC_OUT_MAX);
    if (packet.len == 0 && a->room > 0) {
        send_cookie(d, d->turned_at, a->addr, a->room, a->q);
        return;
    }
    dht_send(d, a->addr, packet);
    if (d->is_zone)
        a->pair->knows_us = true; /* our signature, or an answer it asked for, is on its way */
}

static void send_error(struct dht *d, const struct asker *a, int code, const char *text)
{
    struct krpc_msg m = {.type = KRPC_ERROR, .code = code, .text = slice_str(text)};
    struct answer_room room;

    send_reply(d, a, &m, &room);
}

/* BEP 32: does `want` name the family? Nothing wanted means the one that was asked. */
static bool is_wanted(const struct asker *a, const char *family, bool by_default)
{
    struct slice key, raw, text;
    struct ben_iter it;

    if (a->q->b.want.data == NULL || !ben_list(a->q->b.want, &it))
        return by_default;
    while (ben_next(&it, &key, &raw))
        if (ben_str(raw, &text) && slice_is(text, family))
            return true;
    return false;
}

struct slice dht_compact_nodes(struct dht *d, const struct addr *to, const uint8_t target[static ID_BYTES],
                               uint8_t *buf, size_t size)
{
    const struct table_entry *near[DHT_K_MAINLINE];
    size_t n = table_closest(&d->table, target, near, DHT_K_MAINLINE);
    struct wr w;

    wr_init(&w, buf, size);
    for (size_t i = 0; i < n; i++) {
        uint8_t compact[18];
        const struct contact *c = table_contact(&d->table, near[i]);
        size_t len = krpc_write_compact(&c->addr, compact);

        if (!may_tell(to, c) || wr_len(&w) + ID_BYTES + len > size)
            continue;
        wr_bytes(&w, c->id, ID_BYTES);
        wr_bytes(&w, compact, len);
    }
    return slice_of(buf, wr_len(&w));
}

static void put_nodes(struct dht *d, const struct asker *a, struct krpc_msg *m, struct answer_room *room,
                      size_t size)
{
    bool is_v4 = (d->config.families & DHT_V4) != 0;
    const uint8_t *target = a->q->b.target.data != NULL ? a->q->b.target.data : a->q->b.info_hash.data;
    struct slice own, other = {0};

    if (d->is_zone) {
        put_zone_nodes(d, a, target, m, room, size);
        return;
    }
    own = write_nodes(d, a, target, room->nodes, size, NULL, NULL);
    if (d->other_family != NULL && is_wanted(a, is_v4 ? "n6" : "n4", false) &&
        size >= own.len + sizeof room->other)
        other = dht_compact_nodes(d->other_family, a->addr, target, room->other, sizeof room->other);
    if (!is_wanted(a, is_v4 ? "n4" : "n6", true))
        own = (struct slice){0};
    m->b.nodes = is_v4 ? own : other;
    m->b.nodes6 = is_v4 ? other : own;
}

static void put_token(struct dht *d, ns_t now, const struct asker *a, const uint8_t *target,
                      struct krpc_msg *m, struct answer_room *room)
{
    store_token(&d->store, now, a->addr, target, room->token);
    m->b.token = slice_of(room->token, sizeof room->token);
}

static bool token_ok(struct dht *d, ns_t now, const struct asker *a)
{
    return a->q->b.target.data != NULL &&
           store_token_ok(&d->store, now, a->addr, a->q->b.target.data, a->q->b.token);
}

static void serve_get(struct dht *d, ns_t now, const struct asker *a, struct krpc_msg *m,
                      struct answer_room *room)
{
    const struct stored *s = store_get(&d->store, now, a->q->b.target.data);
    size_t left;

    put_token(d, now, a, a->q->b.target.data, m, room);
    if (s == NULL) {
        put_nodes(d, a, m, room, REPLY_ROOM);
        return;
    }
    if (s->is_mutable) {
        m->b.seq = (struct krpc_int){.v = s->seq, .is_set = true};
        if (a->q->b.seq.is_set && s->seq <= a->q->b.seq.v) {
            put_nodes(d, a, m, room, REPLY_ROOM);
            return;
        }
        m->b.k = slice_of(s->k, sizeof s->k);
        m->b.sig = slice_of(s->sig, sizeof s->sig);
    }
    m->b.v = slice_of(s->v, s->v_len);
    left = out_max(d) - OTHER_BYTES;
    if ((size_t)s->v_len + KRPC_ZN_V6 < left)
        put_nodes(d, a, m, room, left - s->v_len < sizeof room->nodes ? left - s->v_len : REPLY_ROOM);
}

static void serve_drop_get(struct dht *d, ns_t now, const struct asker *a, struct krpc_msg *m,
                           struct answer_room *room)
{
    const uint8_t *target = a->q->b.target.data;

    m->b.bits = (struct krpc_int){.v = drops_price(&d->drops, now, target), .is_set = true};
    if (a->q->b.h.len == DROP_HASH && token_ok(d, now, a)) {
        const struct blob *b = drops_get(&d->drops, now, target, a->q->b.h.data);

        if (b != NULL) {
            m->b.blob = slice_of(b->bytes, sizeof b->bytes);
            m->b.nonce = slice_of(b->nonce, sizeof b->nonce);
        }
        return;
    }
    m->b.h = slice_of(room->hashes, DROP_HASH * drops_list(&d->drops, now, target, room->hashes));
    put_token(d, now, a, target, m, room);
    put_nodes(d, a, m, room, DHT_REPLY_NODES * KRPC_ZN_V4);
}

static void serve_advert_get(struct dht *d, ns_t now, const struct asker *a, struct krpc_msg *m,
                             struct answer_room *room)
{
    const uint8_t *target = a->q->b.target.data;
    unsigned at = 0, n = 0;
    const struct advert *ad;
    struct ben_wr w;

    if (a->q->b.n.is_set && a->q->b.n.v > 0 && a->q->b.n.v < ADVERT_PER_KEY && token_ok(d, now, a))
        at = (unsigned)a->q->b.n.v;
    ben_wr_init(&w, room->ads, at > 0 ? DHT_REPLY_BYTES - 200 : DHT_REPLY_BYTES / 2 + 100);
    ben_open_list(&w);
    for (; (ad = adverts_get(&d->adverts, now, target, at, &n)) != NULL; at++) {
        uint8_t entry[32 + 19 + ADVERT_BYTES];
        struct wr e;

        wr_init(&e, entry, sizeof entry);
        wr_bytes(&e, ad->N, sizeof ad->N);
        addr_write(&e, &ad->seen);
        wr_bytes(&e, ad->bytes, ad->len);
        if (wr_len(&w.w) + wr_len(&e) + 6 > (size_t)(w.w.end - w.w.begin))
            break;
        ben_put_str(&w, wr_done(&e));
    }
    ben_close(&w);
    m->b.ads = ben_wr_done(&w);
    m->b.n = (struct krpc_int){.v = n, .is_set = true};
    put_token(d, now, a, target, m, room);
    if (!a->q->b.n.is_set)
        put_nodes(d, a, m, room, (dht_is_closed(d) ? 7 : 8) * KRPC_ZN_V4);
}

static void serve_get_peers(struct dht *d, ns_t now, const struct asker *a, struct krpc_msg *m,
                            struct answer_room *room)
{
    struct ben_wr w;

    ben_wr_init(&w, room->values, sizeof room->values);
    dht_serve_peers(d, now, a->q->b.info_hash.data, &w);
    if (ben_wr_done(&w).len > 2) /* not "le" */
        m->b.values = ben_wr_done(&w);
    put_token(d, now, a, a->q->b.info_hash.data, m, room);
    put_nodes(d, a, m, room, DHT_K_MAINLINE * (ID_BYTES + 18));
}

/* --- writes */

static bool serve_announce(struct dht *d, ns_t now, const struct asker *a)
{
    const char *why = dht_take_announce(d, now, a->addr, a->q);

    if (why != NULL)
        send_error(d, a, KRPC_E_PROTOCOL, why);
    return why == NULL;
}

/* The share of a network in the store is that of who vouches, when nothing else tells where the asker is. */
static bool serve_put(struct dht *d, ns_t now, const struct asker *a, struct krpc_msg *m,
                      struct answer_room *room)
{
    uint8_t target[ID_BYTES];
    int code =
        store_put(&d->store, now, a->room > 0 ? &a->by : a->addr, d->is_zone ? a->c.key : NULL, a->q, target);

    if (code != 0) {
        send_error(d, a, code, "put");
        return false;
    }
    if (d->is_zone)
        dht_notify(d, now, target);
    if (d->is_zone && a->q->b.token.data == NULL)
        put_zone_nodes(d, a, target, m, room, REPLY_ROOM);
    return true;
}

static bool serve_drop_put(struct dht *d, ns_t now, const struct asker *a, struct krpc_msg *m)
{
    bool is_new = false;
    uint8_t bits;
    enum err e;

    if (a->q->b.blob.data == NULL || a->q->b.nonce.data == NULL || !token_ok(d, now, a)) {
        send_error(d, a, KRPC_E_PROTOCOL, "token");
        return false;
    }
    e = drops_put(&d->drops, now, a->q->b.target.data, a->q->b.blob.data, a->q->b.nonce.data, &bits, &is_new);
    m->b.bits = (struct krpc_int){.v = bits, .is_set = true};
    m->b.n = (struct krpc_int){.v = e == ERR_OK, .is_set = true};
    if (is_new)
        dht_notify(d, now, a->q->b.target.data);
    return true;
}

static bool serve_advert_put(struct dht *d, ns_t now, const struct asker *a)
{
    if (a->q->b.ad.data == NULL || !token_ok(d, now, a)) {
        send_error(d, a, KRPC_E_PROTOCOL, "token");
        return false;
    }
    if (adverts_put(&d->adverts, now, a->q->b.target.data, a->c.key, a->addr, a->q->b.ad) != ERR_OK) {
        send_error(d, a, KRPC_E_FULL, "full");
        return false;
    }
    return true;
}

static bool serve_observe(struct dht *d, ns_t now, const struct asker *a)
{
    struct observer *place = NULL;
    unsigned n = 0;

    if (!token_ok(d, now, a)) {
        send_error(d, a, KRPC_E_PROTOCOL, "token");
        return false;
    }
    for (unsigned i = 0; i < d->n_observers; i++) {
        struct observer *o = &d->observers[i];
        bool is_live = o->expires_at > now, is_here = is_live && id_equal(o->target, a->q->b.target.data);

        if (is_here && id_equal(o->c.id, a->c.id)) {
            place = o;
            n = 0;
            break;
        }
        n += is_here;
        if (!is_live && place == NULL)
            place = o;
    }
    if (place == NULL && n < DHT_OBSERVERS_PER) {
        unsigned was = d->n_observers;
        struct observer *more = dht_grow(d->observers, &d->n_observers, DHT_OBSERVERS, sizeof *more);

        d->observers = more != NULL ? more : d->observers;
        place = more != NULL ? &more[was] : NULL;
    }
    if (place == NULL || n >= DHT_OBSERVERS_PER) {
        d->count.cap_drops++;
        send_error(d, a, KRPC_E_FULL, "full");
        return false;
    }
    memcpy(place->target, a->q->b.target.data, ID_BYTES);
    place->c = a->c;
    place->expires_at = now + DHT_OBSERVE_NS;
    return true;
}

static bool is_watched(const struct dht *d, ns_t now, const uint8_t target[static ID_BYTES])
{
    for (unsigned i = 0; i < d->n_watched; i++)
        if (d->watched[i].expires_at > now && id_equal(d->watched[i].target, target))
            return true;
    return false;
}

static void tell_owner(struct dht *d, ns_t now, const uint8_t target[static ID_BYTES])
{
    if (d->config.events.notify != NULL && is_watched(d, now, target))
        d->config.events.notify(d->config.events.arg, target);
}

/* Those who observe it from elsewhere, and our own owner, who does not ask us over the network. */
void dht_notify(struct dht *d, ns_t now, const uint8_t target[static ID_BYTES])
{
    for (unsigned i = 0; i < d->n_observers; i++) {
        struct observer *o = &d->observers[i];
        struct krpc_msg m = {.method = KRPC_NOTIFY};

        if (o->expires_at <= now || !id_equal(o->target, target))
            continue;
        m.b.target = slice_of(o->target, ID_BYTES);
        dht_tell(d, now, &o->c, &m);
    }
    tell_owner(d, now, target);
}

/* --- route */

static uint32_t read_flow(struct slice f)
{
    struct rd r;

    rd_init(&r, f);
    return rd_u32(&r);
}

static void pass_on(struct dht *d, ns_t now, struct flow *f, bool is_back, struct slice body)
{
    struct krpc_msg m = {.method = KRPC_ROUTE};
    uint32_t number = is_back ? f->flow_in : f->flow_out;
    uint8_t flow[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                       (uint8_t)number};

    if (++f->n_msgs > DHT_FLOW_MSGS || (f->n_bytes += (uint32_t)body.len) > DHT_FLOW_BYTES) {
        d->count.cap_drops++;
        return;
    }
    m.b.target = slice_of(f->target, ID_BYTES);
    m.b.f = slice_of(flow, sizeof flow);
    m.b.body = body;
    dht_tell(d, now, is_back ? &f->origin : &f->putter, &m);
}

/* The flow of an asker for a target, made if the caps allow; NULL: refused. */
static struct flow *open_flow(struct dht *d, ns_t now, const struct asker *a, const struct stored *s)
{
    struct flow *place = NULL;
    unsigned n_new = 0;
    uint32_t number = read_flow(a->q->b.f);

    for (unsigned i = 0; i < d->n_flows; i++) {
        struct flow *f = &d->flows[i];

        if (f->expires_at <= now) {
            place = place == NULL ? f : place;
            continue;
        }
        if (!id_equal(f->target, s->target))
            continue;
        if (f->flow_in == number && id_equal(f->origin.id, a->c.id))
            return f;
        n_new += now - f->started_at < 10 * NS_PER_S;
    }
    if (place == NULL && n_new < DHT_FLOWS_PER_10S) {
        unsigned was = d->n_flows;
        struct flow *more = dht_grow(d->flows, &d->n_flows, DHT_FLOWS, sizeof *more);

        d->flows = more != NULL ? more : d->flows;
        place = more != NULL ? &more[was] : NULL;
    }
    if (place == NULL || n_new >= DHT_FLOWS_PER_10S)
        return NULL;
    *place =
        (struct flow){.origin = a->c, .flow_in = number, .started_at = now, .expires_at = now + DHT_FLOW_NS};
    memcpy(place->target, s->target, ID_BYTES);
    place->putter.addr = s->put_from;
    memcpy(place->putter.key, s->put_by, sizeof s->put_by);
    place->flow_out = env_random_u32(&d->env) | 1;
    return place;
}

static bool serve_route(struct dht *d, ns_t now, const struct asker *a)
{
    const struct stored *s = store_get(&d->store, now, a->q->b.target.data);
    struct flow *f;
    struct pair *putter;

    if (!token_ok(d, now, a)) {
        send_error(d, a, KRPC_E_PROTOCOL, "token");
        return false;
    }
    putter = s != NULL ? node_pair(&d->key, s->put_by) : NULL;
    if (putter == NULL) {
        send_error(d, a, KRPC_E_SERVER, "nobody");
        return false;
    }
    f = open_flow(d, now, a, s);
    if (f == NULL) {
        d->count.cap_drops++;
        send_error(d, a, KRPC_E_FULL, "full");
        return false;
    }
    f->putter = *pair_contact(&d->key, putter);
    pass_on(d, now, f, false, a->q->b.body);
    return true;
}

/* A body that reached its end, or comes back through us. */
static void deliver_route(struct dht *d, ns_t now, const struct asker *a)
{
    struct dht_route r = {.from = *a->addr, .flow = read_flow(a->q->b.f), .body = a->q->b.body};

    for (unsigned i = 0; i < d->n_flows; i++) {
        struct flow *f = &d->flows[i];

        if (f->expires_at > now && f->flow_out == r.flow && id_equal(f->putter.id, a->c.id)) {
            pass_on(d, now, f, true, a->q->b.body);
            return;
        }
        if (f->expires_at > now && f->flow_in == r.flow && id_equal(f->origin.id, a->c.id)) {
            pass_on(d, now, f, false, a->q->b.body);
            return;
        }
    }
    memcpy(r.key, a->c.key, sizeof r.key);
    memcpy(r.target, a->q->b.target.data, ID_BYTES);
    if (d->config.events.route != NULL)
        d->config.events.route(d->config.events.arg, &r);
}

void dht_route_reply(struct dht *d, ns_t now, const struct dht_route *route, struct slice body)
{
    struct krpc_msg m = {.method = KRPC_ROUTE};
    struct pair *pair = d->is_zone && !d->is_dead ? node_pair(&d->key, route->key) : NULL;
    uint8_t flow[4] = {(uint8_t)(route->flow >> 24), (uint8_t)(route->flow >> 16),
                       (uint8_t)(route->flow >> 8), (uint8_t)route->flow};
    struct contact to = {.addr = route->from};

    if (pair == NULL || body.len == 0 || body.len > DHT_ROUTE_MAX)
        return;
    to = *pair_contact(&d->key, pair);
    to.addr = route->from;
    m.b.target = slice_of(route->target, ID_BYTES);
    m.b.f = slice_of(flow, sizeof flow);
    m.b.body = body;
    dht_tell(d, now, &to, &m);
}

/* --- who asks */

/* A value proves itself: it may go with the cookie to somebody who made room for it. If it is too long, its seq alone. */
static void put_early_value(struct dht *d, ns_t now, const struct krpc_msg *q, struct krpc_msg *m)
{
    const struct stored *s = q->method == KRPC_GET && q->b.pad.data != NULL && q->b.target.data != NULL
                                 ? store_get(&d->store, now, q->b.target.data)
                                 : NULL;

    if (s == NULL || !s->is_mutable || (q->b.seq.is_set && s->seq <= q->b.seq.v))
        return;
    m->b.k = slice_of(s->k, sizeof s->k);
    m->b.sig = slice_of(s->sig, sizeof s->sig);
    m->b.seq = (struct krpc_int){.v = s->seq, .is_set = true};
    m->b.v = slice_of(s->v, s->v_len);
}

/* Has the asker whom the query names a certificate? That it is that asker is not known yet, nor where it lives: so what
 * this costs is counted apart, and those who have been verified once do not wait for it. */
static bool is_of_member(struct dht *d, ns_t now, const struct krpc_msg *q)
{
    uint8_t id[ID_BYTES];

    if (!dht_is_closed(d) || node_member_known(&d->key, q))
        return true;
    if (q->member.data == NULL || d->key.ops->id(d->key.zone, q->k.data, q->p.data, id) != ERR_OK) {
        d->count.outsiders++;
        return false;
    }
    if (!dht_rate_ok(&d->members, now, DHT_MEMBERS_PER_S, DHT_MEMBERS_PER_S)) {
        d->count.rate_drops++;
        return false;
    }
    if (node_member(&d->key, q) == ERR_OK)
        return true;
    d->count.outsiders++;
    return false;
}

/* Unsigned, no longer than the query: a cookie, and a value or contacts on the way if there is room. In a closed zone
 * nothing but the cookie, and to members only: whoever has copied a certificate learns no more than that we are here. */
static void send_cookie(struct dht *d, ns_t now, const struct addr *from, size_t room,
                        const struct krpc_msg *q)
{
    struct krpc_msg m = {
        .type = KRPC_ERROR, .t = q->t, .code = KRPC_E_COOKIE, .text = slice_str("cookie"), .z = q->z};
    struct asker a = {.addr = from, .q = q};
    uint8_t cookie[KRPC_COOKIE], nodes[DHT_REPLY_BYTES], buf[KRPC_OUT_MAX];
    struct slice bare;

    if (!is_of_member(d, now, q))
        return;
    node_cookie(&d->key, now, from, cookie);
    m.cookie = slice_of(cookie, sizeof cookie);
    if (!dht_is_closed(d))
        put_early_value(d, now, q, &m);
    bare = krpc_write(&m, buf, sizeof buf);
    if (m.b.v.data != NULL && (bare.len == 0 || bare.len > room)) {
        m.b = (struct krpc_body){.seq = m.b.seq};
        bare = krpc_write(&m, buf, sizeof buf);
    }
    if (bare.len == 0 || bare.len > room)
        return;
    d->count.cookies_sent++;
    room -= bare.len;
    if (!dht_is_closed(d) && q->b.target.data != NULL && room >= KRPC_ZN_V4 + 9) { /* 9: "2:zn" and "1200:" */
        m.hint = write_nodes(d, &a, q->b.target.data, nodes,
                             room - 9 < sizeof nodes ? room - 9 : sizeof nodes, NULL, NULL);
        if (m.hint.len > 0)
            bare = krpc_write(&m, buf, sizeof buf);
    }
    dht_send(d, from, bare);
}

/* Will consider() perhaps ask it, too? */
static bool may_consider(const struct dht *d, const struct contact *c)
{
    return table_wants(&d->table, c->id) || table_find(&d->table, c->id) != NULL;
}

/* A stranger's signature, by a cookie that it got at its address, or for one who says that it lives there. */
static bool open_signed(struct dht *d, ns_t now, const struct addr *from, struct slice packet,
                        const struct krpc_msg *m, struct asker *a, struct pair **pair)
{
    size_t probe = PROBE_BYTES + (dht_is_closed(d) ? KRPC_MEMBER_PAIR : 0);
    bool has_cookie = node_cookie_ok(&d->key, now, from, m->cookie);
    const struct pair *by =
        has_cookie ? NULL : node_voucher(&d->key, dht_zone_time_ms(d, now), m->k.data, from, m->voucher);

    if (by != NULL)
        a->by = pair_contact(&d->key, by)->addr; /* the pair may move: its address is copied */
    if (!has_cookie && (by == NULL || !dht_asker_ok(d, now, &a->by))) {
        send_cookie(d, now, from, packet.len, m);
        return false;
    }
    if (!dht_rate_ok(&d->verifies, now, DHT_VERIFIES_PER_S, DHT_VERIFIES_PER_S)) {
        d->count.rate_drops++;
        return false;
    }
    if (node_open_any(&d->key, now, packet, m, pair) != ERR_OK) {
        d->count.bad_packets++;
        return false;
    }
    if (has_cookie) {
        pair_prove(&d->key, now, *pair, from);
        return true;
    }
    pair_believe(&d->key, *pair, from);
    if (!pair_is_proven(*pair, now, NODE_PROVEN_NS))
        a->room = may_consider(d, pair_contact(&d->key, *pair)) && packet.len > probe ? packet.len - probe
                                                                                      : packet.len;
    return true;
}

/* Has it a token that was sent to its address? */
static bool brings_token(struct dht *d, ns_t now, const struct addr *from, const struct krpc_msg *m,
                         const uint8_t *target)
{
    return target != NULL && m->b.token.data != NULL &&
           store_token_ok(&d->store, now, from, target, m->b.token);
}

/* Is the sender who it says, at an address that is its own? If not, all it gets is a cookie. */
static bool open_query(struct dht *d, ns_t now, const struct addr *from, struct slice packet,
                       const struct krpc_msg *m, struct asker *a)
{
    struct pair *pair = NULL;
    enum err e;

    if (!d->is_zone) {
        memcpy(a->c.id, m->b.id.data, ID_BYTES);
        return true;
    }
    if (m->mac.data != NULL) {
        e = node_open_mac(&d->key, now, packet, m, &pair);
        if (e == ERR_AUTH || e == ERR_LATE) {
            d->count.bad_packets++;
            return false;
        }
        if (e == ERR_OK && addr_equal(&pair_contact(&d->key, pair)->addr, from) &&
            !pair_is_proven(pair, now, NODE_PROVEN_NS) && brings_token(d, now, from, m, a->target))
            pair_prove(&d->key, now, pair, from);
        if (e != ERR_OK || !addr_equal(&pair_contact(&d->key, pair)->addr, from) ||
            !pair_is_proven(pair, now, NODE_PROVEN_NS)) {
            send_cookie(d, now, from, packet.len, m);
            return false;
        }
    } else if (!open_signed(d, now, from, packet, m, a, &pair)) {
        return false;
    }
    a->pair = pair;
    a->c = *pair_contact(&d->key, pair);
    return true;
}

/* A stranger that would fit into the table, or a contact that moved, is asked back: only an answer lets it in. */
static void consider(struct dht *d, ns_t now, const struct asker *a)
{
    const struct rpc_call *call;
    const struct table_entry *e = table_find(&d->table, a->c.id);
    bool has_moved = d->is_zone && e != NULL && !addr_equal(&table_contact(&d->table, e)->addr, a->addr);

    if (d->is_zone &&
        pair_is_proven(a->pair, now, NODE_PROVEN_NS / 2)) /* else a probe soon proves its address again */
        table_heard(&d->table, now, a->c.id, a->addr);
    if ((a->q->ro.is_set && a->q->ro.v == 1) || !dht_addr_ok(d, a->addr) ||
        (!has_moved && !table_wants(&d->table, a->c.id)))
        return;
    rpc_each(&d->rpc, call) if (addr_equal(&call->to.addr, a->addr)) return; /* asked already, whatever for */
    if (dht_rate_ok(&d->pings, now, DHT_PINGS_PER_S, DHT_PINGS_PER_S))
        dht_ask(d, now, RPC_PROBE, NULL, &a->c, true, NULL);
}

/* Fill in the answer; false when another one was sent. */
static bool serve_method(struct dht *d, ns_t now, const struct asker *a, struct krpc_msg *m,
                         struct answer_room *room)
{
    switch (a->q->method) {
    case KRPC_PING:
        return true;
    case KRPC_FIND_NODE:
        put_nodes(d, a, m, room, sizeof room->nodes - 200);
        return true;
    case KRPC_GET:
        serve_get(d, now, a, m, room);
        return true;
    case KRPC_PUT:
        return serve_put(d, now, a, m, room);
    case KRPC_GET_PEERS:
        serve_get_peers(d, now, a, m, room);
        return true;
    case KRPC_ANNOUNCE_PEER:
        return serve_announce(d, now, a);
    case KRPC_DROP_GET:
        serve_drop_get(d, now, a, m, room);
        return true;
    case KRPC_DROP_PUT:
        return serve_drop_put(d, now, a, m);
    case KRPC_ADVERT_GET:
        serve_advert_get(d, now, a, m, room);
        return true;
    case KRPC_ADVERT_PUT:
        return serve_advert_put(d, now, a);
    case KRPC_OBSERVE:
        return serve_observe(d, now, a);
    case KRPC_ROUTE:
        return serve_route(d, now, a);
    default:
        send_error(d, a, KRPC_E_METHOD, "method");
        return false;
    }
}

static bool is_public(enum krpc_method m)
{
    return m == KRPC_GET_PEERS || m == KRPC_ANNOUNCE_PEER;
}

/* BEP 5, BEP 44, and what zones add. */
static bool is_method(const struct dht *d, enum krpc_method m)
{
    return m != KRPC_UNKNOWN && (d->is_zone ? !is_public(m) : m <= KRPC_ANNOUNCE_PEER);
}

static bool has_arguments(const struct krpc_msg *m)
{
    if (is_public(m->method))
        return m->b.info_hash.data != NULL;
    if (m->method == KRPC_PING || m->method == KRPC_PUT)
        return true;
    return m->b.target.data != NULL &&
           (m->method != KRPC_ROUTE || (m->b.f.data != NULL && m->b.body.data != NULL));
}

/* What may come to everybody, also to a client: word of what was observed, and routed bodies. True: it was that. */
static bool serve_told(struct dht *d, ns_t now, const struct asker *a)
{
    struct krpc_msg m = {.type = KRPC_ANSWER};
    struct answer_room room;
    bool is_notify = a->q->method == KRPC_NOTIFY;

    if (!is_notify && (a->q->method != KRPC_ROUTE || a->q->b.token.data != NULL))
        return false;
    if (a->q->b.target.data == NULL ||
        (!is_notify && (a->q->b.f.data == NULL || a->q->b.body.data == NULL))) {
        send_error(d, a, KRPC_E_PROTOCOL, "arguments");
        return true;
    }
    send_reply(d, a, &m, &room);
    if (!is_notify)
        deliver_route(d, now, a);
    else
        tell_owner(d, now, a->q->b.target.data);
    return true;
}

void dht_serve(struct dht *d, ns_t now, const struct addr *from, struct slice packet,
               const struct krpc_msg *m)
{
    struct krpc_msg answer = {.type = KRPC_ANSWER};
    struct asker a = {.addr = from, .q = m, .c = {.addr = *from}};
    struct answer_room room;
    uint8_t target[ID_BYTES];
    bool is_told = m->method == KRPC_NOTIFY || m->method == KRPC_ROUTE;

    if (d->config.is_client && (!d->is_zone || !is_told))
        return;
    a.target = m->b.target.data;
    if (d->is_zone && m->method == KRPC_PUT && m->b.k.data != NULL && m->b.salt.len <= STORE_SALT_MAX) {
        store_target(m, target);
        a.target = target;
    }
    if (!open_query(d, now, from, packet, m, &a))
        return;
    if (d->is_zone && is_told && serve_told(d, now, &a))
        return;
    if (d->config.is_client)
        return;
    if (!is_method(d, m->method)) {
        send_error(d, &a, KRPC_E_METHOD, "method");
        return;
    }
    if (!has_arguments(m)) {
        send_error(d, &a, KRPC_E_PROTOCOL, "arguments");
        return;
    }
    if (serve_method(d, now, &a, &answer, &room))
        send_reply(d, &a, &answer, &room);
    if (!addr_is_stream(from)) /* nobody else reaches it there */
        consider(d, now, &a);
}
