#include "tests/sim/overlay_in.h"

#include <stdlib.h>

#include "base/mem.h"

#define FOE_NODES  16 /* contacts it names */
#define FOE_WINDOW 48 /* neighbours in the order of ids that are looked at */
#define FOE_T      "foe0"

struct foe {
    struct overlay *o;
    struct node_key key;
    uint32_t index;
    struct env env;
};

struct foe *foe_create(struct overlay *o, uint32_t node, const struct env *env)
{
    struct foe *f = mem_alloc(sizeof *f);
    uint8_t seed[32], nonce[8] = {0};

    f->o = o;
    f->index = node;
    f->env = *env;
    env_random(&f->env, seed, sizeof seed);
    ov_solve(o, seed, nonce);
    node_key_init(&f->key, ov_zone, seed, nonce, o->config.is_real ? NULL : &ov_ops, 128, o->book, &f->env);
    return f;
}

void foe_destroy(struct foe *f)
{
    if (f == NULL)
        return;
    node_key_fini(&f->key);
    mem_free(f);
}

const uint8_t *foe_id(const struct foe *f)
{
    return f->key.id;
}

const uint8_t *foe_key(const struct foe *f)
{
    return f->key.sign.pub;
}

static const struct overlay *sorting; /* qsort brings no argument */

static int compare_foes(const void *a, const void *b)
{
    return memcmp(foe_id(sorting->nodes[*(const uint32_t *)a].foe),
                  foe_id(sorting->nodes[*(const uint32_t *)b].foe), DHT_ID_BYTES);
}

void foes_sort(struct overlay *o)
{
    sorting = o;
    qsort(o->foes, o->n_foes, sizeof *o->foes, compare_foes);
    for (uint32_t i = 0; i < o->n_foes; i++)
        memcpy(o->foe_ids[i], foe_id(o->nodes[o->foes[i]].foe), DHT_ID_BYTES);
}

/* The nearest by XOR share the longest prefixes, so they lie around the target's place in the order of ids. */
size_t foes_nearest(const struct overlay *o, const uint8_t *target, uint32_t *out, size_t n)
{
    uint32_t low = 0, high = o->n_foes, best[FOE_WINDOW * 2];
    size_t got = 0;

    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (memcmp(o->foe_ids[mid], target, DHT_ID_BYTES) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    high = low + FOE_WINDOW < o->n_foes ? low + FOE_WINDOW : o->n_foes;
    low = low > FOE_WINDOW ? low - FOE_WINDOW : 0;
    for (uint32_t i = low; i < high; i++) {
        size_t at = got;

        while (at > 0 && id_compare(target, o->foe_ids[i], o->foe_ids[best[at - 1]]) < 0)
            at--;
        memmove(&best[at + 1], &best[at], (got - at) * sizeof best[0]);
        best[at] = i;
        got += got + 1 < FOE_WINDOW * 2;
    }
    got = got < n ? got : n;
    for (size_t i = 0; i < got; i++)
        out[i] = o->foes[best[i]];
    return got;
}

static void write_contact(struct wr *w, const struct foe *f)
{
    struct addr a = ov_addr(f->index);

    wr_bytes(w, f->key.sign.pub, 32);
    wr_bytes(w, f->key.nonce, 8);
    addr_write(w, &a);
}

/* Names for an answer. */
static struct slice name_nodes(struct foe *f, const uint8_t *target, uint8_t *buf, size_t size)
{
    uint32_t near[FOE_NODES];
    struct wr w;
    size_t n;

    wr_init(&w, buf, size);
    if (f->o->config.foe == OV_LIAR) {
        for (unsigned i = 0; i < FOE_NODES / 2; i++) {
            struct addr a = ov_addr(ov_pick(f->o, f->o->config.n));
            uint8_t bytes[40];

            env_random(&f->env, bytes, sizeof bytes);
            memcpy(bytes, target,
                   1); /* a puzzle an id: near ones are too dear to make up for each question */
            wr_bytes(&w, bytes, sizeof bytes);
            addr_write(&w, &a);
        }
        return slice_of(buf, wr_len(&w));
    }
    n = foes_nearest(f->o, target, near, FOE_NODES);
    for (size_t i = 0; i < n && wr_len(&w) + KRPC_ZN_V4 <= size; i++)
        if (near[i] != f->index)
            write_contact(&w, f->o->nodes[near[i]].foe);
    return slice_of(buf, wr_len(&w));
}

/* The record at target as it was first put, or with bytes nobody signed. */
static bool give_value(struct foe *f, const uint8_t *target, struct item *item)
{
    for (uint32_t i = 0; i < f->o->n_records; i++) {
        const struct ov_record *r = &f->o->records[i];
        uint8_t at[DHT_ID_BYTES];

        ov_make_item(f->o, r->number, 1, item);
        dht_target(item->k, at);
        if (!id_equal(at, target))
            continue;
        if (f->o->config.foe == OV_LIAR) {
            item->seq = r->seq + 1000;
            item->v[0] ^= 1;
        }
        return true;
    }
    return false;
}

static void put_value(struct krpc_msg *m, const struct item *item, uint8_t *room, size_t size)
{
    struct ben_wr w;

    ben_wr_init(&w, room, size);
    ben_put_str(&w, slice_of(item->v, item->v_len));
    m->b.v = ben_wr_done(&w);
    m->b.k = slice_of(item->k, sizeof item->k);
    m->b.sig = slice_of(item->sig, sizeof item->sig);
    m->b.seq = (struct krpc_int){.v = item->seq, .is_set = true};
}

static void answer(struct foe *f, ns_t now, uint32_t from, const struct krpc_msg *q, struct slice bytes)
{
    struct krpc_msg m = {.type = KRPC_ANSWER, .t = q->t};
    uint8_t buf[KRPC_OUT_MAX], nodes[1200], v[1010], ip[18], target[DHT_ID_BYTES];
    struct addr to = ov_addr(from);
    struct pair *pair;
    struct item item;
    bool has_value = (f->o->config.foe == OV_LIAR || f->o->config.foe == OV_REPLAYER) &&
                     q->method == KRPC_GET && !(q->b.seq.is_set && q->b.seq.v == INT64_MAX);

    if (node_open_any(&f->key, now, bytes, q, &pair) != ERR_OK)
        return;
    m.b.id = slice_of(f->key.id, DHT_ID_BYTES);
    m.ip = slice_of(ip, krpc_write_compact(&to, ip));
    if (q->method == KRPC_PUT && q->b.k.data != NULL) {
        dht_target(q->b.k.data, target);
        m.b.zn = name_nodes(f, target, nodes, 752);
    } else if (q->b.target.data != NULL) {
        m.b.token = slice_str(FOE_T);
        if (has_value && give_value(f, q->b.target.data, &item))
            put_value(&m, &item, v, sizeof v);
        m.b.zn = name_nodes(f, q->b.target.data, nodes, m.b.v.data != NULL ? 400 : 752);
    }
    if (f->o->config.foe == OV_DROPPER && q->method != KRPC_PING && q->method != KRPC_FIND_NODE)
        return;
    ov_send(f->o, f->index, &to,
            node_seal(&f->key, &m, pair_contact(&f->key, pair)->id, q->mac.data != NULL ? pair : NULL, buf,
                      sizeof buf));
}

/* On mainline ids cost nothing: that of foe `index` beside a target. */
static void id_beside(const uint8_t *target, uint32_t index, uint8_t id[static DHT_ID_BYTES])
{
    memcpy(id, target, DHT_ID_BYTES);
    for (unsigned i = 0; i < 4; i++)
        id[16 + i] = (uint8_t)(target[16 + i] ^ index >> (24 - 8 * i));
}

static void answer_bare(struct foe *f, uint32_t from, const struct krpc_msg *q)
{
    const uint8_t *target = q->b.target.data != NULL      ? q->b.target.data
                            : q->b.info_hash.data != NULL ? q->b.info_hash.data
                                                          : q->b.id.data;
    struct krpc_msg m = {.type = KRPC_ANSWER, .t = q->t};
    uint8_t id[DHT_ID_BYTES], nodes[8 * 26], buf[KRPC_OUT_MAX], ip[18];
    struct addr to = ov_addr(from);
    struct wr w;

    id_beside(target, f->index, id);
    wr_init(&w, nodes, sizeof nodes);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t other = f->o->foes[ov_pick(f->o, f->o->n_foes)];
        struct addr a = ov_addr(other);
        uint8_t compact[18], beside[DHT_ID_BYTES];

        id_beside(target, other, beside);
        wr_bytes(&w, beside, sizeof beside);
        wr_bytes(&w, compact, krpc_write_compact(&a, compact));
    }
    m.b.id = slice_of(id, sizeof id);
    m.ip = slice_of(ip, krpc_write_compact(&to, ip));
    m.b.token = slice_str(FOE_T);
    m.b.nodes = slice_of(nodes, wr_len(&w));
    ov_send(f->o, f->index, &to, krpc_write(&m, buf, sizeof buf));
}

static void ask_bare(struct foe *f, uint32_t node)
{
    struct krpc_msg m = {.type = KRPC_QUERY, .method = KRPC_FIND_NODE, .t = slice_str(FOE_T)};
    uint8_t id[DHT_ID_BYTES], buf[KRPC_OUT_MAX];
    struct addr to = ov_addr(node);

    if (f->o->nodes[node].dht == NULL)
        return;
    id_beside(dht_id(f->o->nodes[node].dht), f->index, id);
    m.b.id = m.b.target = slice_of(id, sizeof id);
    ov_send(f->o, f->index, &to, krpc_write(&m, buf, sizeof buf));
}

static void ask(struct foe *f, uint32_t node, struct slice cookie)
{
    struct krpc_msg m = {
        .type = KRPC_QUERY, .method = KRPC_FIND_NODE, .t = slice_str(FOE_T), .cookie = cookie};
    struct addr to = ov_addr(node);
    uint8_t buf[KRPC_OUT_MAX];

    m.b.id = m.b.target = slice_of(f->key.id, DHT_ID_BYTES);
    ov_send(f->o, f->index, &to, node_seal(&f->key, &m, NULL, NULL, buf, sizeof buf));
}

void foe_greet(struct foe *f, ns_t now, uint32_t node)
{
    (void)now;
    if (f->o->config.profile == DHT_MAINLINE)
        ask_bare(f, node);
    else if (f->o->nodes[node].foe == NULL)
        ask(f, node, (struct slice){0});
}

void foe_input(struct foe *f, ns_t now, uint32_t from, struct slice bytes)
{
    struct krpc_msg m;

    if (krpc_parse(bytes, &m) != ERR_OK)
        return;
    if (f->o->config.profile == DHT_MAINLINE) {
        if (m.type == KRPC_QUERY)
            answer_bare(f, from, &m);
        return;
    }
    if (m.type == KRPC_QUERY)
        answer(f, now, from, &m, bytes);
    else if (m.type == KRPC_ERROR && m.code == KRPC_E_COOKIE)
        ask(f, from, m.cookie);
}
