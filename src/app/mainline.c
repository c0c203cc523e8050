#include "app/mainline.h"

#include "base/mem.h"
#include "crypto/secret.h"

#define FAMILIES      2
#define CONTACTS      200
#define JITTER_NS     (5 * 60 * NS_PER_S)
#define UNREACHED_NS  (60 * NS_PER_S)   /* we cannot be reached: asked again so often */
#define FIRST_LOOK_NS (200 * NS_PER_MS) /* after joining */

/* One item got or put, in each family. */
struct op {
    struct mainline *owner;
    uint32_t id; /* 0: free */
    uint32_t ids[FAMILIES];
    unsigned n_open;
    enum err e;
    struct dht_result result;
    dht_value_cb value_cb;
    dht_done_cb done_cb;
    void *arg;
};

struct mainline {
    struct mainline_config config;
    struct mainline_ops ops;
    struct env env;
    struct dht *dhts[FAMILIES];
    uint8_t hash[DHT_ID_BYTES];
    ns_t now;
    ns_t lonely_at, lonely_wait;
    ns_t look_at, look_wait, announce_at; /* NS_NEVER: not before we joined */
    unsigned n_looking, n_found;
    uint32_t round;
    bool is_dead;
    struct op item_ops[MAINLINE_OPS];
    struct mainline_stats count;
};

void mainline_hash(const uint8_t zone_id[static DHT_ZONE_ID_BYTES], uint8_t out[static DHT_ID_BYTES])
{
    struct hasher h;

    hash_begin(&h, DHT_ID_BYTES, NULL, 0);
    hash_text(&h, "itodenwa-members-v1");
    hash_bytes(&h, zone_id, DHT_ZONE_ID_BYTES);
    hash_end(&h, out);
}

static bool is_joined(const struct mainline *m)
{
    for (unsigned i = 0; i < FAMILIES; i++)
        if (m->dhts[i] != NULL && dht_state(m->dhts[i]) == DHT_JOINED)
            return true;
    return false;
}

static void on_state(void *arg, enum dht_state state)
{
    struct mainline *m = arg;

    if (state != DHT_JOINED || m->look_at != NS_NEVER)
        return;
    m->look_at = m->now + FIRST_LOOK_NS;
    m->announce_at = m->now + FIRST_LOOK_NS;
}

struct mainline *mainline_create(const struct mainline_config *config, const struct mainline_ops *ops,
                                 const struct env *env)
{
    struct mainline *m = mem_alloc(sizeof *m);
    const bool wanted[FAMILIES] = {config->v4, config->v6};

    m->config = *config;
    m->ops = *ops;
    m->env = *env;
    m->look_at = m->announce_at = NS_NEVER;
    m->look_wait = MAINLINE_RETRY_NS;
    m->lonely_wait = MAINLINE_LONELY_NS;
    mainline_hash(config->zone_id, m->hash);
    for (unsigned i = 0; i < FAMILIES; i++) {
        struct dht_config d = {.profile = DHT_MAINLINE,
                               .is_client = true,
                               .allow_loopback = config->allow_local,
                               .allow_private = config->allow_local,
                               .families = i == 0 ? DHT_V4 : DHT_V6,
                               .max_contacts = CONTACTS,
                               .events = {.arg = m, .state = on_state}};

        if (!wanted[i])
            continue;
        env_random(env, d.seed, sizeof d.seed);
        m->dhts[i] = dht_create(&d, env);
    }
    if (m->dhts[0] != NULL && m->dhts[1] != NULL)
        dht_join_families(m->dhts[0], m->dhts[1]);
    return m;
}

void mainline_destroy(struct mainline *m)
{
    if (m == NULL || m->is_dead)
        return;
    m->is_dead = true;
    for (unsigned i = 0; i < FAMILIES; i++)
        dht_destroy(m->dhts[i]);
    env_defer(&m->env, mem_free, m);
}

bool mainline_input(struct mainline *m, ns_t now, const struct addr *from, struct slice bytes)
{
    m->now = now;
    for (unsigned i = 0; i < FAMILIES && !m->is_dead; i++)
        if (m->dhts[i] != NULL && dht_input(m->dhts[i], now, from, bytes))
            return true;
    return false;
}

void mainline_add_address(struct mainline *m, ns_t now, const struct addr *a)
{
    m->now = now;
    for (unsigned i = 0; i < FAMILIES; i++)
        if (m->dhts[i] != NULL)
            dht_add_address(m->dhts[i], now, a); /* takes its own family only */
}

void mainline_network_changed(struct mainline *m, ns_t now)
{
    m->now = now;
    for (unsigned i = 0; i < FAMILIES; i++)
        if (m->dhts[i] != NULL)
            dht_network_changed(m->dhts[i], now);
    m->lonely_wait = MAINLINE_LONELY_NS;
    m->look_wait = MAINLINE_RETRY_NS;
    if (m->look_at == NS_NEVER)
        return;
    m->look_at = now + FIRST_LOOK_NS;
    m->announce_at = now + FIRST_LOOK_NS;
}

/* --- members of the zone */

static void on_peer(void *arg, const struct addr *peer)
{
    struct mainline *m = arg;

    if (m->n_found++ >= MAINLINE_FOUND_MAX)
        return;
    m->count.n_found++;
    m->ops.found(m->ops.arg, m->now, peer);
}

static void on_looked(void *arg, enum err e, const struct dht_result *result)
{
    struct mainline *m = arg;

    (void)e;
    (void)result;
    m->n_looking--;
}

/* Whoever knows nobody looks often at first; whoever knows enough does not look. */
static void look(struct mainline *m, ns_t now)
{
    size_t n = m->ops.members(m->ops.arg);

    if (n > 0) {
        m->look_at = now + MAINLINE_LOOK_NS;
        m->look_wait = MAINLINE_RETRY_NS;
    } else {
        m->look_at = now + m->look_wait;
        m->look_wait = ns_min(2 * m->look_wait, MAINLINE_LOOK_NS);
    }
    if (n >= MAINLINE_ENOUGH || m->n_looking > 0)
        return;
    m->n_found = 0;
    m->count.n_looks++;
    for (unsigned i = 0; i < FAMILIES; i++)
        if (m->dhts[i] != NULL && dht_state(m->dhts[i]) == DHT_JOINED &&
            dht_peers(m->dhts[i], now, m->hash, on_peer, on_looked, m) != 0)
            m->n_looking++;
}

static void on_announced(void *arg, enum err e, const struct dht_result *result)
{
    struct mainline *m = arg;

    (void)e;
    m->count.n_announced += result->n_acks;
}

static void announce(struct mainline *m, ns_t now)
{
    uint16_t port = 0;

    if (!m->ops.reachable(m->ops.arg, &port)) {
        m->announce_at = now + UNREACHED_NS;
        return;
    }
    m->announce_at =
        now + MAINLINE_ANNOUNCE_NS + env_random_u32(&m->env) % (JITTER_NS / NS_PER_MS) * NS_PER_MS;
    for (unsigned i = 0; i < FAMILIES; i++)
        if (m->dhts[i] != NULL && dht_state(m->dhts[i]) == DHT_JOINED)
            dht_announce(m->dhts[i], now, m->hash, port, on_announced, m);
}

static void lonely(struct mainline *m, ns_t now)
{
    if (is_joined(m)) {
        m->lonely_wait = MAINLINE_LONELY_NS;
        m->lonely_at = now + MAINLINE_LONELY_MAX;
        return;
    }
    if (m->lonely_at == 0) { /* the first turn: the cache has a second */
        m->lonely_at = now + m->lonely_wait;
        return;
    }
    m->lonely_wait = ns_min(2 * m->lonely_wait, MAINLINE_LONELY_MAX);
    m->lonely_at = now + m->lonely_wait + 4 * NS_PER_S; /* a name takes its time */
    m->ops.lonely(m->ops.arg);
}

void mainline_tick(struct mainline *m, ns_t now)
{
    m->now = now;
    for (unsigned i = 0; i < FAMILIES && !m->is_dead; i++)
        if (m->dhts[i] != NULL && dht_deadline(m->dhts[i]) <= now)
            dht_tick(m->dhts[i], now);
    if (!m->is_dead && now >= m->lonely_at)
        lonely(m, now);
    if (!m->is_dead && now >= m->look_at)
        look(m, now);
    if (!m->is_dead && now >= m->announce_at)
        announce(m, now);
}

ns_t mainline_deadline(const struct mainline *m)
{
    ns_t at = ns_min(m->lonely_at, ns_min(m->look_at, m->announce_at));

    for (unsigned i = 0; i < FAMILIES; i++)
        if (m->dhts[i] != NULL)
            at = ns_min(at, dht_deadline(m->dhts[i]));
    return at;
}

/* --- items */

static struct op *find_op(struct mainline *m, uint32_t id)
{
    struct op *o = &m->item_ops[id % MAINLINE_OPS];

    return id != 0 && o->id == id ? o : NULL;
}

static bool on_value(void *arg, const struct item *item)
{
    struct op *o = arg;

    return o->value_cb == NULL || o->value_cb(o->arg, item);
}

static void on_done(void *arg, enum err e, const struct dht_result *result)
{
    struct op *o = arg, was;
    uint32_t n_acks = o->result.n_acks + result->n_acks;

    if (e == ERR_OK || o->e == ERR_TIMEOUT) {
        o->e = o->e == ERR_OK ? ERR_OK : e;
        o->result = *result;
    }
    o->result.n_acks = n_acks;
    if (--o->n_open > 0)
        return;
    was = *o;
    memset(o, 0, sizeof *o);
    if (was.done_cb != NULL)
        was.done_cb(was.arg, was.e, &was.result);
}

static struct op *new_op(struct mainline *m)
{
    for (unsigned i = 0; i < MAINLINE_OPS; i++) {
        struct op *o = &m->item_ops[i];

        if (o->id != 0)
            continue;
        m->round = m->round >= UINT32_MAX / MAINLINE_OPS - 1 ? 1 : m->round + 1;
        *o = (struct op){.owner = m, .id = m->round * MAINLINE_OPS + i, .e = ERR_TIMEOUT};
        return o;
    }
    return NULL;
}

/* A family that is not there delays nobody. */
static bool takes_part(const struct mainline *m, unsigned family)
{
    return m->dhts[family] != NULL && (dht_state(m->dhts[family]) == DHT_JOINED || !is_joined(m));
}

static uint32_t started(struct op *o)
{
    if (o->n_open == 0)
        o->id = 0;
    return o->id;
}

uint32_t mainline_get(struct mainline *m, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                      dht_value_cb value_cb, dht_done_cb done_cb, void *arg)
{
    struct op *o = new_op(m);

    if (o == NULL)
        return 0;
    o->value_cb = value_cb;
    o->done_cb = done_cb;
    o->arg = arg;
    for (unsigned i = 0; i < FAMILIES; i++) {
        o->ids[i] = takes_part(m, i) ? dht_get(m->dhts[i], now, key, min_seq, on_value, on_done, o) : 0;
        o->n_open += o->ids[i] != 0;
    }
    return started(o);
}

uint32_t mainline_put(struct mainline *m, ns_t now, const struct item *item, dht_done_cb done_cb, void *arg)
{
    struct op *o = is_joined(m) ? new_op(m) : NULL;

    if (o == NULL)
        return 0;
    o->done_cb = done_cb;
    o->arg = arg;
    for (unsigned i = 0; i < FAMILIES; i++) {
        o->ids[i] = takes_part(m, i) ? dht_put(m->dhts[i], now, item, on_done, o) : 0;
        o->n_open += o->ids[i] != 0;
    }
    return started(o);
}

void mainline_cancel(struct mainline *m, uint32_t id)
{
    struct op *o = find_op(m, id);

    if (o == NULL)
        return;
    for (unsigned i = 0; i < FAMILIES; i++)
        if (o->ids[i] != 0)
            dht_cancel(m->dhts[i], o->ids[i]);
    memset(o, 0, sizeof *o);
}

bool mainline_is_joined(const struct mainline *m)
{
    return is_joined(m);
}

/* --- what it knows */

size_t mainline_nodes(const struct mainline *m, struct dht_node *out, size_t max)
{
    size_t n = 0;

    for (unsigned i = 0; i < FAMILIES; i++)
        if (m->dhts[i] != NULL)
            n += dht_nodes(m->dhts[i], out + n, max - n);
    return n;
}

bool mainline_own_address(const struct mainline *m, uint8_t family, struct addr *out)
{
    const struct dht *d = m->dhts[family == ADDR_V6];
    unsigned votes;

    return d != NULL && dht_own_address(d, family, out, &votes);
}

void mainline_stats(const struct mainline *m, struct mainline_stats *out)
{
    *out = m->count;
    out->is_joined = is_joined(m);
    for (unsigned i = 0; i < FAMILIES; i++) {
        struct dht_stats s;

        if (m->dhts[i] == NULL)
            continue;
        dht_stats(m->dhts[i], &s);
        out->peers += s.peers;
        out->size += s.peers > 0 ? s.size : 0;
        out->size_low += s.peers > 0 ? s.size_low : 0;
        out->size_high += s.peers > 0 ? s.size_high : 0;
    }
}
