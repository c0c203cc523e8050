/* unit/dht/bed.h - N overlay nodes in one process: virtual clock, latency, loss, death. Deterministic by its seed.
 *
 * Signatures are keyed hashes (bed_ops) unless a test asks for real ones, so that hundreds of nodes join in a second
 * of real time. Each node lives in a /24 of its own. Nothing of this is linked into the program. */
#ifndef ITO_TESTS_UNIT_DHT_BED_H
#define ITO_TESTS_UNIT_DHT_BED_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/test.h"

#include "base/heap.h"
#include "base/mem.h"
#include "crypto/item.h"
#include "crypto/request.h"
#include "crypto/secret.h"
#include "crypto/zone.h"
#include "dht/dht.h"
#include "dht/node_key.h"

#define BED_WALL_MS 1790000000000ll /* wall clock at virtual 0 */

struct bed;

struct bed_node {
    struct bed *bed;
    uint32_t index;
    struct addr addr;
    struct dht *dht;
    struct dht_config config;
    bool is_dead;
    int64_t clock_error_ms;
    struct heap_node timer;
    uint64_t sent, sent_bytes;
};

struct bed_packet {
    struct heap_node timer;
    struct addr from, to;
    size_t len;
    uint8_t bytes[];
};

struct bed_deferred {
    env_defer_cb cb;
    void *arg;
};

struct bed {
    ns_t now;
    uint64_t random;
    uint32_t n;
    struct bed_node *nodes;
    struct heap packets, timers;
    ns_t rtt;      /* between any two */
    double spread; /* sigma of a lognormal factor; 0: constant */
    unsigned loss_permille;
    struct bed_deferred deferred[256];
    unsigned n_deferred;
    uint64_t n_packets;
    uint64_t digest; /* of everything sent, in order: two runs are the same when it is */
    void (*tap)(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes);
    void *tap_arg;
};

static uint64_t bed_rand(struct bed *b)
{
    uint64_t z = (b->random += 0x9e3779b97f4a7c15u); /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double bed_unit(struct bed *b)
{
    return ((double)(bed_rand(b) >> 11) + 0.5) / 9007199254740992.0;
}

static void bed_random(struct bed *b, void *out, size_t n)
{
    uint8_t *p = out;

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)bed_rand(b);
}

/* --- keyed hashes in the place of signatures */

static enum err bed_id(const uint8_t zone[8], const uint8_t N[32], const uint8_t nonce[8], uint8_t id[20])
{
    struct hasher h;

    hash_begin(&h, 20, NULL, 0);
    hash_bytes(&h, zone, 8);
    hash_bytes(&h, N, 32);
    hash_bytes(&h, nonce, 8);
    hash_end(&h, id);
    return ERR_OK;
}

static void bed_mark(const uint8_t N[32], const uint8_t zone[8], const uint8_t receiver[20],
                     struct slice message, uint8_t sig[64])
{
    struct hasher h;

    hash_begin(&h, 64, "bed", 3);
    hash_bytes(&h, N, 32);
    hash_bytes(&h, zone, 8);
    hash_bytes(&h, receiver, 20);
    hash_bytes(&h, message.data, message.len);
    hash_end(&h, sig);
}

static void bed_sign(const struct sign_key *own, const uint8_t zone[8], const uint8_t receiver[20],
                     struct slice message, uint8_t sig[64])
{
    bed_mark(own->pub, zone, receiver, message, sig);
}

static enum err bed_verify(const uint8_t N[32], const uint8_t zone[8], const uint8_t receiver[20],
                           struct slice message, const uint8_t sig[64])
{
    uint8_t right[64];

    bed_mark(N, zone, receiver, message, right);
    return memcmp(right, sig, sizeof right) == 0 ? ERR_OK : ERR_AUTH;
}

static enum err bed_pair(const struct sign_key *own, const uint8_t N[32], uint8_t key[32])
{
    bool is_first = memcmp(own->pub, N, 32) < 0;
    struct hasher h;

    hash_begin(&h, 32, NULL, 0);
    hash_bytes(&h, is_first ? own->pub : N, 32);
    hash_bytes(&h, is_first ? N : own->pub, 32);
    hash_end(&h, key);
    return ERR_OK;
}

static void bed_item_mark(const uint8_t k[32], struct slice salt, int64_t seq, struct slice v,
                          uint8_t sig[64])
{
    struct hasher h;

    hash_begin(&h, 64, "item", 4);
    hash_bytes(&h, k, 32);
    hash_bytes(&h, salt.data, salt.len);
    hash_u64(&h, (uint64_t)seq);
    hash_bytes(&h, v.data, v.len);
    hash_end(&h, sig);
}

static enum err bed_item(const uint8_t k[32], struct slice salt, int64_t seq, struct slice v,
                         const uint8_t sig[64])
{
    uint8_t right[64];

    bed_item_mark(k, salt, seq, v, right);
    return memcmp(right, sig, sizeof right) == 0 ? ERR_OK : ERR_AUTH;
}

static void bed_mac(const uint8_t key[32], const uint8_t zone[8], const uint8_t receiver[20],
                    struct slice message, uint8_t mac[16])
{
    zone_pairmac(key, zone, receiver, message, mac);
}

static const struct node_ops bed_ops = {
    .id = bed_id, .sign = bed_sign, .verify = bed_verify, .pair = bed_pair, .mac = bed_mac, .item = bed_item};

/* An item under a key made from number, its value made of number and seq. */
static inline void bed_make_item(uint32_t number, int64_t seq, size_t len, struct item *out)
{
    uint8_t v[ITEM_V_MAX + 8];
    int head;

    memset(out, 0, sizeof *out);
    hash_once(32, "key", 3, slice_of(&number, sizeof number), out->k);
    out->seq = seq;
    out->v_len = (uint16_t)len;
    for (size_t i = 0; i < len; i++)
        out->v[i] = (uint8_t)(number + (uint64_t)seq + i);
    head = snprintf((char *)v, sizeof v, "%zu:", len);
    memcpy(v + head, out->v, len);
    bed_item_mark(out->k, (struct slice){0}, seq, slice_of(v, (size_t)head + len), out->sig);
}

/* --- the world of one node */

static struct bed_node *bed_find(struct bed *b, const struct addr *a)
{
    uint32_t i = (uint32_t)a->ip[1] << 8 | a->ip[2];

    return i < b->n && addr_equal(&b->nodes[i].addr, a) ? &b->nodes[i] : NULL;
}

static void bed_put_packet(struct bed *b, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct bed_packet *p;
    double factor = 1;

    b->n_packets++;
    for (size_t i = 0; i < bytes.len; i++)
        b->digest = (b->digest ^ bytes.data[i]) * 0x100000001b3u; /* FNV-1a */
    b->digest ^= b->now;
    if (b->tap != NULL)
        b->tap(b, from, to, bytes);
    if (b->loss_permille > 0 && bed_rand(b) % 1000 < b->loss_permille)
        return;
    if (b->spread > 0)
        factor = exp(b->spread * sqrt(-2 * log(bed_unit(b))) * cos(6.283185307179586 * bed_unit(b)));
    p = mem_alloc(sizeof *p + bytes.len);
    p->from = *from;
    p->to = *to;
    p->len = bytes.len;
    memcpy(p->bytes, bytes.data, bytes.len);
    heap_set(&b->packets, &p->timer, b->now + (ns_t)((double)b->rtt / 2 * factor));
}

static void bed_send(void *world, const struct addr *to, struct slice bytes)
{
    struct bed_node *n = world;

    assert_true(bytes.len <= (n->config.closed != NULL ? KRPC_OUT_CLOSED : KRPC_OUT_MAX));
    n->sent++;
    n->sent_bytes += bytes.len;
    if (!n->is_dead)
        bed_put_packet(n->bed, &n->addr, to, bytes);
}

static void bed_env_random(void *world, void *out, size_t n)
{
    bed_random(((struct bed_node *)world)->bed, out, n);
}

static int64_t bed_wall_ms(void *world)
{
    struct bed_node *n = world;

    return BED_WALL_MS + (int64_t)(n->bed->now / NS_PER_MS) + n->clock_error_ms;
}

static void bed_defer(void *world, env_defer_cb cb, void *arg)
{
    struct bed *b = ((struct bed_node *)world)->bed;

    assert_true(b->n_deferred < 256);
    b->deferred[b->n_deferred++] = (struct bed_deferred){cb, arg};
}

static void bed_log(void *world, enum log_level level, const char *line)
{
    (void)world, (void)level, (void)line;
}

static const struct env_ops bed_env_ops = {
    .send = bed_send, .random = bed_env_random, .wall_ms = bed_wall_ms, .defer = bed_defer, .log = bed_log};

static void bed_end_turn(struct bed *b, struct bed_node *n)
{
    while (b->n_deferred > 0) {
        struct bed_deferred d = b->deferred[--b->n_deferred];

        d.cb(d.arg);
    }
    if (n != NULL && n->dht != NULL && !n->is_dead)
        heap_set(&b->timers, &n->timer, dht_deadline(n->dht));
}

/* --- the bed */

static inline void bed_init(struct bed *b, uint32_t n, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    b->now = 1000 * NS_PER_S;
    b->random = seed;
    b->rtt = 50 * NS_PER_MS;
    b->n = n;
    b->nodes = mem_array(n, sizeof *b->nodes);
    for (uint32_t i = 0; i < n; i++) {
        struct bed_node *node = &b->nodes[i];

        node->bed = b;
        node->index = i;
        node->addr = addr_v4((uint8_t[]){45, (uint8_t)(i >> 8), (uint8_t)i, 1}, 4000);
        node->config.ops = &bed_ops;
        memset(node->config.zone_id, 'z', sizeof node->config.zone_id);
        bed_random(b, node->config.seed, sizeof node->config.seed);
        bed_random(b, node->config.nonce, sizeof node->config.nonce);
        node->config.max_blobs = 128;
        node->config.max_items = 256;
        node->config.max_adverts = 64;
    }
}

static inline void bed_start(struct bed *b, uint32_t i)
{
    struct bed_node *n = &b->nodes[i];
    struct env env = {.ops = &bed_env_ops, .world = n};

    n->is_dead = false;
    n->dht = dht_create(&n->config, &env);
    assert_non_null(n->dht);
    bed_end_turn(b, n);
}

/* Node i learns the address of node j. */
static inline void bed_introduce(struct bed *b, uint32_t i, uint32_t j)
{
    dht_add_address(b->nodes[i].dht, b->now, &b->nodes[j].addr);
    bed_end_turn(b, &b->nodes[i]);
}

/* From now on nothing reaches it and nothing comes from it. */
static inline void bed_kill(struct bed *b, uint32_t i)
{
    b->nodes[i].is_dead = true;
    heap_set(&b->timers, &b->nodes[i].timer, NS_NEVER);
}

static inline void bed_fini(struct bed *b)
{
    struct heap_node *h;

    for (uint32_t i = 0; i < b->n; i++)
        dht_destroy(b->nodes[i].dht);
    bed_end_turn(b, NULL);
    while ((h = heap_pop_due(&b->packets, NS_NEVER)) != NULL)
        mem_free(heap_item(h, struct bed_packet, timer));
    heap_fini(&b->packets);
    heap_fini(&b->timers);
    mem_free(b->nodes);
}

/* One event; false when nothing happens until `until`. */
static bool bed_step(struct bed *b, ns_t until)
{
    ns_t packet = heap_deadline(&b->packets), timer = heap_deadline(&b->timers), at = ns_min(packet, timer);
    struct bed_node *n;

    if (at > until)
        return false;
    b->now = at > b->now ? at : b->now;
    if (packet <= timer) {
        struct bed_packet *p = heap_item(heap_pop_due(&b->packets, b->now), struct bed_packet, timer);

        n = bed_find(b, &p->to);
        if (n != NULL && !n->is_dead && n->dht != NULL)
            dht_input(n->dht, b->now, &p->from, slice_of(p->bytes, p->len));
        mem_free(p);
    } else {
        n = heap_item(heap_pop_due(&b->timers, b->now), struct bed_node, timer);
        dht_tick(n->dht, b->now);
    }
    bed_end_turn(b, n);
    return true;
}

static inline void bed_run(struct bed *b, ns_t duration)
{
    ns_t until = b->now + duration;

    while (bed_step(b, until))
        ;
    b->now = until;
}

/* Until *flag, at most so long. */
static inline bool bed_run_until(struct bed *b, const bool *flag, ns_t duration)
{
    ns_t until = b->now + duration;

    while (!*flag && bed_step(b, until))
        ;
    return *flag;
}

/* --- operations whose end one waits for */

struct bed_result {
    bool is_done;
    enum err e;
    struct dht_result r;
    unsigned n_values;
    int64_t seq;
    struct item item;   /* the last one */
    int64_t refuse_seq; /* a value to be called useless; 0: none */
};

static inline bool bed_on_value(void *arg, const struct item *item)
{
    struct bed_result *r = arg;

    if (r->refuse_seq != 0 && item->seq == r->refuse_seq)
        return false;
    r->n_values++;
    r->seq = item->seq;
    r->item = *item;
    return true;
}

static inline void bed_on_done(void *arg, enum err e, const struct dht_result *result)
{
    struct bed_result *r = arg;

    assert_false(r->is_done);
    r->is_done = true;
    r->e = e;
    r->r = *result;
}

static inline struct bed_result bed_get(struct bed *b, uint32_t i, uint32_t number)
{
    struct bed_result r = {0};
    struct item item;

    bed_make_item(number, 1, 0, &item);
    assert_true(dht_get(b->nodes[i].dht, b->now, item.k, 0, bed_on_value, bed_on_done, &r) != 0);
    bed_end_turn(b, &b->nodes[i]);
    bed_run_until(b, &r.is_done, 120 * NS_PER_S);
    assert_true(r.is_done);
    return r;
}

static inline struct bed_result bed_put(struct bed *b, uint32_t i, uint32_t number, int64_t seq, size_t len)
{
    struct bed_result r = {0};
    struct item item;

    bed_make_item(number, seq, len, &item);
    assert_true(dht_put(b->nodes[i].dht, b->now, &item, bed_on_done, &r) != 0);
    bed_end_turn(b, &b->nodes[i]);
    bed_run_until(b, &r.is_done, 120 * NS_PER_S);
    assert_true(r.is_done);
    return r;
}

/* All nodes, each `every` after the one before, joining through node 0; then two minutes of quiet. */
static inline void bed_join_all(struct bed *b, ns_t every)
{
    for (uint32_t i = 0; i < b->n; i++) {
        bed_start(b, i);
        if (i > 0)
            bed_introduce(b, i, 0);
        bed_run(b, every);
    }
    bed_run(b, 120 * NS_PER_S);
}

static inline int bed_compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static inline uint32_t bed_percentile(uint32_t *values, size_t n, unsigned pct)
{
    qsort(values, n, sizeof *values, bed_compare_u32);
    return n > 0 ? values[(n - 1) * pct / 100] : 0;
}

#endif
