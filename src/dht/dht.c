#include "dht/dht_node.h"

#include "base/mem.h"
#include "crypto/secret.h"

#define HINT_FIRST_NS NS_PER_S /* after a failure; doubles up to DHT_HINT_MAX_NS */

ns_t dht_rtt(struct dht *d, ns_t now)
{
    if (d->rtt_ns == 0 || now - d->rtt_at > NS_PER_S) {
        d->rtt_ns = table_rtt(&d->table, DHT_FIRST_RTT_NS);
        d->rtt_at = now;
    }
    return d->rtt_ns;
}

void dht_size(const struct dht *d, ns_t now, double *n, double *low, double *high)
{
    const struct table_entry *near[DHT_K_ZONE];
    size_t live = table_live(&d->table), got;

    *n = *low = *high = (double)live + 1; /* a zone smaller than a bucket is known whole */
    if (live < d->k)
        return;
    got = table_closest(&d->table, d->id, near, d->k);
    size_read(&d->size, now, d->k, size_sample((unsigned)got, id_distance(near[got - 1]->c.id, d->id)), n,
              low, high);
}

bool dht_addr_ok(const struct dht *d, const struct addr *a)
{
    unsigned family = a->family == ADDR_V4 ? DHT_V4 : a->family == ADDR_V6 ? DHT_V6 : 0;

    if (a->port == 0 || (d->config.families & family) == 0)
        return false;
    switch (addr_class(a)) {
    case ADDR_GLOBAL:
        return true;
    case ADDR_PRIVATE:
    case ADDR_LINK_LOCAL:
        return d->config.allow_private;
    case ADDR_LOOPBACK:
        return d->config.allow_loopback;
    default:
        return false;
    }
}

bool dht_rate_ok(struct rate_slot *s, ns_t now, uint32_t per_s, uint32_t burst)
{
    uint64_t more = (now - s->at) / NS_PER_MS * per_s, full = (uint64_t)burst * 1000;

    s->at = s->at + (now - s->at) / NS_PER_MS * NS_PER_MS;
    more += s->tokens;
    s->tokens = (uint32_t)(more < full ? more : full);
    if (s->tokens < 1000)
        return false;
    s->tokens -= 1000;
    return true;
}

/* Queries of one address; addresses that fall into one slot push each other out, and start with a full bucket. */
static bool asker_rate_ok(struct dht *d, ns_t now, const struct addr *from)
{
    uint64_t v = d->rate_secret ^ from->port;
    struct rate_slot *s;
    uint32_t tag;

    for (unsigned i = 0; i < sizeof from->ip; i++)
        v = (v ^ from->ip[i]) * 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio: spreads */
    tag = (uint32_t)v | 1;
    s = &d->rates[(v >> 40) % DHT_RATE_SLOTS];
    if (s->tag != tag)
        *s = (struct rate_slot){.tag = tag, .tokens = DHT_RATE_BURST * 1000, .at = now};
    return dht_rate_ok(s, now, DHT_RATE_PER_S, DHT_RATE_BURST);
}

void dht_send(struct dht *d, const struct addr *to, struct slice packet)
{
    if (packet.len == 0)
        return;
    d->count.msgs_out++;
    d->count.bytes_out += packet.len;
    env_send(&d->env, to, packet);
}

void dht_set_state(struct dht *d, enum dht_state state)
{
    if (d->state == state)
        return;
    d->state = state;
    if (d->config.events.state != NULL)
        d->config.events.state(d->config.events.arg, state);
}

static void init_parts(struct dht *d)
{
    const struct dht_config *c = &d->config;
    const struct node_ops *ops = c->ops != NULL ? c->ops : &node_ops_real;
    bool serves = !c->is_client;

    d->k = d->is_zone ? DHT_K_ZONE : DHT_K_MAINLINE;
    table_init(&d->table, d->id, d->k, c->max_contacts);
    rpc_init(&d->rpc);
    store_init(&d->store, d->id, !serves ? 0 : c->max_items > 0 ? c->max_items : STORE_MAX, ops, &d->env);
    drops_init(&d->drops, !serves || !d->is_zone ? 0 : c->max_blobs > 0 ? c->max_blobs : DROP_MAX);
    adverts_init(&d->adverts, !serves || !d->is_zone ? 0 : c->max_adverts > 0 ? c->max_adverts : ADVERT_MAX);
    peers_init(&d->announced, !serves || d->is_zone ? 0 : ANNOUNCED_MAX);
    d->pace = d->is_zone ? NULL : pace_create(&d->env);
    env_random(&d->env, &d->rate_secret, sizeof d->rate_secret);
    d->verifies.tokens = DHT_VERIFIES_PER_S * 1000;
    d->pings.tokens = DHT_PINGS_PER_S * 1000;
}

struct dht *dht_create(const struct dht_config *config, const struct env *env)
{
    struct dht *d = mem_alloc(sizeof *d);

    d->config = *config;
    d->env = *env;
    d->is_zone = config->profile == DHT_ZONE;
    d->state = DHT_JOINING;
    d->op_round = 1;
    if (d->config.families == 0)
        d->config.families = d->is_zone ? DHT_V4 | DHT_V6 : DHT_V4;
    if (d->is_zone) {
        uint32_t pairs = config->max_contacts;

        if (node_key_init(&d->key, config->zone_id, config->seed, config->nonce, config->ops, pairs,
                          &d->env) != ERR_OK) {
            secret_wipe(d, sizeof *d);
            mem_free(d);
            return NULL;
        }
        memcpy(d->id, d->key.id, ID_BYTES);
    } else {
        hash_once(ID_BYTES, NULL, 0, slice_of(config->seed, sizeof config->seed), d->id);
    }
    secret_wipe(d->config.seed, sizeof d->config.seed);
    init_parts(d);
    return d;
}

static void free_later(void *arg)
{
    struct dht *d = arg;

    for (unsigned i = 0; i < DHT_OPS_MAX; i++)
        if (d->ops[i].id != 0)
            dht_op_free(&d->ops[i]);
    table_fini(&d->table);
    rpc_fini(&d->rpc);
    store_fini(&d->store);
    drops_fini(&d->drops);
    adverts_fini(&d->adverts);
    peers_fini(&d->announced);
    pace_destroy(d->pace);
    if (d->is_zone)
        node_key_fini(&d->key);
    secret_wipe(d, sizeof *d);
    mem_free(d);
}

void dht_destroy(struct dht *d)
{
    if (d == NULL || d->is_dead)
        return;
    d->is_dead = true;
    if (d->other_family != NULL)
        d->other_family->other_family = NULL;
    env_defer(&d->env, free_later, d);
}

bool dht_input(struct dht *d, ns_t now, const struct addr *from, struct slice bytes)
{
    struct krpc_msg m;

    if (d->is_dead || bytes.len == 0 || bytes.data[0] != 'd')
        return false;
    if (krpc_parse(bytes, &m) != ERR_OK) {
        /* Whose it was cannot be told from bytes of no format; the first instance asked counts it. */
        d->count.bad_packets++;
        return false;
    }
    if (d->is_zone ? m.z.data == NULL || memcmp(m.z.data, d->key.zone, sizeof d->key.zone) != 0
                   : m.z.data != NULL)
        return false;
    if (!d->is_zone && (d->config.families & (from->family == ADDR_V4 ? DHT_V4 : DHT_V6)) == 0)
        return false;
    d->turned_at = now;
    d->count.msgs_in++;
    d->count.bytes_in += bytes.len;
    if (m.type != KRPC_QUERY)
        dht_answer(d, now, from, bytes, &m);
    else if (asker_rate_ok(d, now, from))
        dht_serve(d, now, from, bytes, &m);
    else
        d->count.rate_drops++;
    return true;
}

/* --- joining */

static struct hint *find_hint(struct dht *d, const struct addr *a)
{
    for (unsigned i = 0; i < DHT_HINTS_MAX; i++)
        if (d->hints[i].next_at > 0 && addr_equal(&d->hints[i].addr, a))
            return &d->hints[i];
    return NULL;
}

static void ask_hint(struct dht *d, ns_t now, struct hint *h)
{
    struct contact c = {.addr = h->addr};

    h->is_open = dht_ask(d, now, RPC_HINT, NULL, &c, false, NULL) != NULL;
    h->next_at = h->is_open ? NS_NEVER : now + HINT_FIRST_NS;
}

void dht_add_address(struct dht *d, ns_t now, const struct addr *a)
{
    struct hint *h = find_hint(d, a), *worst = &d->hints[0];

    if (d->is_dead || a->port == 0 || addr_class(a) == ADDR_UNUSABLE ||
        (!d->is_zone && (d->config.families & (a->family == ADDR_V4 ? DHT_V4 : DHT_V6)) == 0))
        return;
    for (unsigned i = 0; h == NULL && i < DHT_HINTS_MAX; i++) {
        struct hint *p = &d->hints[i];

        if (p->next_at == 0) {
            worst = p;
            break;
        }
        if (!p->is_open && !p->has_answered && (worst->has_answered || p->tries > worst->tries))
            worst = p;
    }
    if (h == NULL) {
        if (worst->is_open)
            return;
        h = worst;
        *h = (struct hint){.addr = *a};
    }
    if (h->is_open)
        return;
    h->tries = 0;
    ask_hint(d, now, h);
    if (d->table.n == 0)
        dht_set_state(d, DHT_JOINING);
}

void dht_hint_answered(struct dht *d, ns_t now, const struct addr *a, bool has_answered)
{
    struct hint *h = find_hint(d, a);
    ns_t wait = HINT_FIRST_NS;

    if (h == NULL)
        return;
    h->is_open = false;
    h->has_answered = has_answered;
    if (has_answered) {
        h->tries = 0;
        h->next_at = NS_NEVER;
        return;
    }
    for (unsigned i = 0; i < h->tries && wait < DHT_HINT_MAX_NS; i++)
        wait *= 2;
    h->tries += h->tries < 20;
    h->next_at = now + ns_min(wait, DHT_HINT_MAX_NS);
}

void dht_contact_answered(struct dht *d, ns_t now, const struct contact *c, ns_t rtt)
{
    bool was_empty = d->table.n == 0;

    table_seen(&d->table, now, c, rtt);
    if (!was_empty || d->table.n == 0)
        return;
    d->n_self_lookups = 0;
    d->rtt_ns = 0;
    dht_ops_seed(d, now);
    dht_op_start(d, now, OP_REFRESH, d->id);
}

/* After the first lookup of our neighbourhood: each bucket that has room. After the second: nothing for an hour. */
static void refresh_next(struct dht *d, ns_t now)
{
    uint8_t target[ID_BYTES];
    unsigned bucket = table_room_bucket(&d->table, d->refresh_bucket);

    /* Buckets near our own are filled by the lookups of ourselves. */
    if (d->n_self_lookups > 1 || d->config.is_client || bucket + 1 >= table_deepest(&d->table)) {
        d->refresh_at = now + (d->n_self_lookups < 2 ? 30 * NS_PER_S : DHT_REFRESH_NS);
        return;
    }
    d->refresh_bucket = bucket + 1;
    env_random(&d->env, target, sizeof target);
    id_set_prefix(target, d->id, bucket);
    dht_op_start(d, now, OP_REFRESH, target);
}

void dht_refresh_done(struct dht *d, ns_t now, const struct op *op)
{
    if (id_equal(op->target, d->id)) {
        d->n_self_lookups += d->n_self_lookups < 255;
        d->refresh_bucket = 0;
        if (d->table.n > 0)
            dht_set_state(d, DHT_JOINED);
    }
    if (!d->is_dead)
        refresh_next(d, now);
}

static void hints_tick(struct dht *d, ns_t now)
{
    bool is_lonely = table_live(&d->table) == 0, is_trying = false;

    for (unsigned i = 0; i < DHT_HINTS_MAX; i++) {
        struct hint *h = &d->hints[i];

        if (h->next_at == 0)
            continue;
        if (is_lonely && h->has_answered && !h->is_open && h->next_at == NS_NEVER)
            h->next_at = now;
        if (h->next_at <= now && (is_lonely || h->tries < 3))
            ask_hint(d, now, h);
        else if (h->next_at <= now)
            h->next_at = NS_NEVER; /* we have others: no need of it */
        is_trying = is_trying || (h->is_open && h->tries == 0);
    }
    if (!is_lonely || d->is_dead)
        return;
    d->n_self_lookups = 0;
    dht_set_state(d, is_trying ? DHT_JOINING : DHT_ALONE);
}

static void upkeep_tick(struct dht *d, ns_t now)
{
    ns_t every = d->config.is_client ? DHT_PROBE_CLIENT : DHT_PROBE_NS;

    if (now >= d->probe_at) {
        const struct table_entry *e =
            now > DHT_STALE_NS ? table_stalest(&d->table, now - DHT_STALE_NS) : NULL;

        if (e != NULL)
            dht_probe(d, now, &e->c);
        d->probe_at = now + every;
    }
    if (now >= d->refresh_at && d->table.n > 0) {
        d->refresh_at = now + DHT_REFRESH_NS;
        dht_op_start(d, now, OP_REFRESH, d->id);
    }
}

void dht_tick(struct dht *d, ns_t now)
{
    if (d->is_dead)
        return;
    if (!d->has_ticked) {
        d->has_ticked = true;
        d->probe_at = now + DHT_PROBE_NS;
        d->refresh_at = now + DHT_REFRESH_NS;
    }
    d->turned_at = now;
    dht_ask_tick(d, now);
    if (!d->is_dead)
        dht_ops_tick(d, now);
    if (!d->is_dead)
        hints_tick(d, now);
    if (d->is_dead)
        return;
    upkeep_tick(d, now);
    store_tick(&d->store, now);
    drops_tick(&d->drops, now);
}

ns_t dht_deadline(const struct dht *d)
{
    ns_t at = ns_min(rpc_deadline(&d->rpc), dht_ops_deadline(d));

    if (d->is_dead)
        return NS_NEVER;
    if (!d->has_ticked)
        return 0;
    for (unsigned i = 0; i < DHT_HINTS_MAX; i++)
        if (d->hints[i].next_at > 0)
            at = ns_min(at, d->hints[i].next_at);
    if (d->table.n > 0)
        at = ns_min(at, ns_min(d->probe_at, d->refresh_at));
    return ns_min(at, ns_min(store_deadline(&d->store), drops_deadline(&d->drops)));
}

void dht_network_changed(struct dht *d, ns_t now)
{
    memset(d->votes, 0, sizeof d->votes);
    memset(&d->clocks, 0, sizeof d->clocks);
    for (unsigned i = 0; i < d->key.n_sets * NODE_WAYS; i++)
        d->key.pairs[i].knows_us = false; /* our address is another: cookies first */
    for (unsigned i = 0; i < DHT_HINTS_MAX; i++)
        if (d->hints[i].next_at > 0 && !d->hints[i].is_open) {
            d->hints[i].tries = 0;
            d->hints[i].next_at = now;
        }
    d->n_self_lookups = 0;
    d->refresh_at = now;
}

/* --- what it knows */

static int compare_nodes(const struct dht_node *a, const struct dht_node *b, uint32_t answers_a,
                         uint32_t answers_b)
{
    if (answers_a != answers_b)
        return answers_a > answers_b ? -1 : 1;
    return a->seen_at > b->seen_at ? -1 : a->seen_at < b->seen_at;
}

size_t dht_nodes(const struct dht *d, struct dht_node *out, size_t max)
{
    uint32_t answers[TABLE_MAX];
    size_t n = 0;

    max = max < TABLE_MAX ? max : TABLE_MAX;
    for (unsigned i = 0; i < d->table.max; i++) {
        const struct table_entry *e = &d->table.pool[i];
        struct dht_node node = {.addr = e->c.addr, .seen_at = e->seen_at, .rtt_ns = e->rtt_us * NS_PER_US};
        size_t at;

        if (!e->is_used || e->fails >= TABLE_FAILS || max == 0)
            continue;
        memcpy(node.id, e->c.id, ID_BYTES);
        memcpy(node.key, e->c.key, sizeof node.key);
        for (at = n; at > 0 && compare_nodes(&node, &out[at - 1], e->answers, answers[at - 1]) < 0; at--)
            ;
        if (at >= max)
            continue;
        n += n < max;
        memmove(&out[at + 1], &out[at], (n - 1 - at) * sizeof *out);
        memmove(&answers[at + 1], &answers[at], (n - 1 - at) * sizeof *answers);
        out[at] = node;
        answers[at] = e->answers;
    }
    return n;
}

enum dht_state dht_state(const struct dht *d)
{
    return d->state;
}

const uint8_t *dht_id(const struct dht *d)
{
    return d->id;
}

const uint8_t *dht_key(const struct dht *d)
{
    return d->key.sign.pub;
}

void dht_stats(const struct dht *d, struct dht_stats *out)
{
    double n, low, high;

    *out = d->count;
    dht_size(d, d->turned_at, &n, &low, &high);
    out->peers = (uint32_t)table_live(&d->table);
    out->size = (uint32_t)n;
    out->size_low = (uint32_t)low;
    out->size_high = (uint32_t)high;
    out->lookup_ns = d->count.lookups_ok > 0 ? d->lookup_ns_sum / d->count.lookups_ok : 0;
    out->items = d->store.n;
    out->blobs = d->drops.n;
    out->adverts = adverts_live(&d->adverts, d->turned_at);
    out->announced = peers_live(&d->announced, d->turned_at);
    for (unsigned i = 0; i < DHT_OBSERVERS; i++)
        out->observers += d->observers[i].expires_at > d->turned_at;
    out->pairs = d->is_zone ? node_pairs(&d->key) : 0;
    out->cap_drops += d->store.cap_drops + d->drops.cap_drops + d->adverts.cap_drops;
    out->rtt_ns = table_rtt(&d->table, 0);
}

bool dht_own_address(const struct dht *d, uint8_t family, struct addr *out, unsigned *n_votes)
{
    const struct address_votes *v = &d->votes[family == ADDR_V6];

    return votes_majority(v, d->turned_at, 2, out, n_votes);
}

int64_t dht_zone_time_ms(const struct dht *d, ns_t now)
{
    return clocks_time_ms(&d->clocks, now, env_wall_ms(&d->env));
}

int64_t dht_clock_error_ms(const struct dht *d, ns_t now)
{
    return env_wall_ms(&d->env) - dht_zone_time_ms(d, now);
}
