#include "dht/dht_node.h"

#include "base/mem.h"
#include "crypto/secret.h"
#include "dht/bep42.h"

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
    const struct table_entry *near[DHT_K_ZONE * 2];
    size_t live = table_live(&d->table), got = 0, all;

    *n = *low = *high = (double)live + 1; /* a zone smaller than a bucket is known whole */
    if (live < d->k)
        return;
    all = table_closest(&d->table, d->id, near, d->is_zone ? d->k : DHT_K_ZONE * 2);
    for (size_t i = 0; i < all && got < d->k; i++)
        if (d->is_zone ||
            bep42_ok(&table_contact(&d->table, near[i])->addr, table_contact(&d->table, near[i])->id))
            near[got++] = near[i];
    if (got == 0)
        return;
    size_read(&d->size, now, (unsigned)got, id_distance(table_contact(&d->table, near[got - 1])->id, d->id),
              n, low, high);
}

void dht_size_now(struct dht *d, ns_t now, double *n, double *low, double *high)
{
    if (d->size_at == 0 || now - d->size_at > NS_PER_S) {
        dht_size(d, now, &d->size_n[0], &d->size_n[1], &d->size_n[2]);
        d->size_at = now > 0 ? now : 1;
    }
    *n = d->size_n[0];
    *low = d->size_n[1];
    *high = d->size_n[2];
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

void *dht_grow(void *array, uint16_t *n, unsigned max, size_t size)
{
    unsigned cap = *n > 0 ? *n * 2u : 4, was = *n;

    cap = cap < max ? cap : max;
    if (cap == was)
        return NULL;
    array = mem_resize(array, cap, size);
    memset((char *)array + was * size, 0, (cap - was) * size);
    *n = (uint16_t)cap;
    return array;
}

/* A slot that says nothing more than an empty one. */
static bool is_full_again(const struct rate_slot *s, ns_t now)
{
    return s->tag == 0 || (now - s->at) / NS_PER_MS * DHT_RATE_PER_S + s->tokens >= DHT_RATE_BURST * 1000;
}

/* Twice as many slots, when two addresses need one: they tell apart by one more bit of the hash. */
static void spread_rates(struct dht *d, ns_t now)
{
    struct rate_slot *was = d->rates;
    unsigned n = d->n_rates;

    d->n_rates = (uint16_t)(n > 0 ? n * 2 : DHT_RATE_FIRST);
    d->rates = mem_array(d->n_rates, sizeof *d->rates);
    for (unsigned i = 0; i < n; i++)
        if (!is_full_again(&was[i], now))
            d->rates[was[i].tag % d->n_rates] = was[i];
    mem_free(was);
}

/* Queries of one address; addresses that fall into one slot push each other out, and start with a full bucket. */
bool dht_asker_ok(struct dht *d, ns_t now, const struct addr *from)
{
    uint64_t v = d->rate_secret ^ from->port, half[2];
    struct rate_slot *s;
    uint32_t tag;

    memcpy(half, from->ip, sizeof half);
    for (unsigned i = 0; i < 2; i++) {
        v = (v ^ half[i]) * 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio: spreads */
        v ^= v >> 29;
    }
    tag = (uint32_t)(v >> 32);
    tag = tag > 0 ? tag : 1;
    d->rates_at = now;
    while (d->rates == NULL || (d->rates[tag % d->n_rates].tag != tag && d->n_rates < DHT_RATE_SLOTS &&
                                !is_full_again(&d->rates[tag % d->n_rates], now)))
        spread_rates(d, now);
    s = &d->rates[tag % d->n_rates];
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
    table_init(&d->table, d->book, d->id, d->k, c->max_contacts);
    rpc_init(&d->rpc);
    store_init(&d->store, d->id, !serves ? 0 : c->max_items > 0 ? c->max_items : STORE_MAX, ops, &d->env);
    drops_init(&d->drops, !serves || !d->is_zone ? 0 : c->max_blobs > 0 ? c->max_blobs : DROP_MAX);
    adverts_init(&d->adverts, !serves || !d->is_zone ? 0 : c->max_adverts > 0 ? c->max_adverts : ADVERT_MAX);
    peers_init(&d->announced, !serves || d->is_zone ? 0 : ANNOUNCED_MAX);
    d->pace = d->is_zone ? NULL : pace_create(&d->env);
    env_random(&d->env, &d->rate_secret, sizeof d->rate_secret);
    d->verifies.tokens = DHT_VERIFIES_PER_S * 1000;
    d->pings.tokens = DHT_PINGS_PER_S * 1000;
    d->members.tokens = DHT_MEMBERS_PER_S * 1000;
}

struct dht *dht_create(const struct dht_config *config, const struct env *env)
{
    struct dht *d = mem_alloc(sizeof *d);

    d->config = *config;
    d->env = *env;
    d->is_zone = config->profile == DHT_ZONE;
    d->state = DHT_JOINING;
    d->op_round = 1;
    d->book = config->book != NULL ? config->book : book_create();
    if (d->config.families == 0)
        d->config.families = d->is_zone ? DHT_V4 | DHT_V6 : DHT_V4;
    if (d->is_zone) {
        unsigned pairs = config->max_pairs > 0 ? config->max_pairs : config->max_contacts;

        if (node_key_init(&d->key, config->zone_id, config->seed, config->nonce, config->ops, pairs, d->book,
                          &d->env) != ERR_OK) {
            if (config->book == NULL)
                book_destroy(d->book);
            secret_wipe(d, sizeof *d);
            mem_free(d);
            return NULL;
        }
        d->config.closed = NULL;
        if (config->closed != NULL &&
            node_key_close(&d->key, config->closed->zone_key, config->closed->cert) != ERR_OK) {
            node_key_fini(&d->key);
            if (config->book == NULL)
                book_destroy(d->book);
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

    for (unsigned i = 0; i < d->cap_ops; i++)
        if (d->ops[i] != NULL)
            dht_op_drop(d, d->ops[i]);
    table_fini(&d->table);
    rpc_fini(&d->rpc);
    store_fini(&d->store);
    drops_fini(&d->drops);
    adverts_fini(&d->adverts);
    peers_fini(&d->announced);
    pace_destroy(d->pace);
    if (d->is_zone)
        node_key_fini(&d->key);
    if (d->config.book == NULL)
        book_destroy(d->book);
    mem_free(d->votes[0]);
    mem_free(d->votes[1]);
    mem_free(d->clocks);
    mem_free(d->hints);
    mem_free(d->rates);
    mem_free(d->observers);
    mem_free(d->watched);
    mem_free(d->flows);
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
    if (dht_is_closed(d))
        node_key_date(&d->key, dht_zone_time_ms(d, now));
    if (m.type != KRPC_QUERY)
        dht_answer(d, now, from, bytes, &m);
    else if (dht_asker_ok(d, now, from))
        dht_serve(d, now, from, bytes, &m);
    else
        d->count.rate_drops++;
    return true;
}

/* --- joining */

static struct hint *find_hint(struct dht *d, const struct addr *a)
{
    for (unsigned i = 0; i < d->n_hints; i++)
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
    struct hint *h = find_hint(d, a), *worst = NULL;

    if (d->is_dead || a->port == 0 || addr_class(a) == ADDR_UNUSABLE ||
        (!d->is_zone && (d->config.families & (a->family == ADDR_V4 ? DHT_V4 : DHT_V6)) == 0))
        return;
    if (h == NULL && (d->n_hints == 0 || d->hints[d->n_hints - 1].next_at > 0)) {
        struct hint *more = dht_grow(d->hints, &d->n_hints, DHT_HINTS_MAX, sizeof *more);

        d->hints = more != NULL ? more : d->hints;
    }
    worst = d->hints;
    for (unsigned i = 0; h == NULL && i < d->n_hints; i++) {
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

static ns_t refresh_every(const struct dht *d)
{
    return d->config.is_client ? DHT_REFRESH_CLIENT : DHT_REFRESH_NS;
}

/* After the first lookup of our neighbourhood: each bucket that has room. After the second: nothing for an hour. */
static void refresh_next(struct dht *d, ns_t now)
{
    uint8_t target[ID_BYTES];
    unsigned bucket = table_room_bucket(&d->table, d->refresh_bucket);

    if (d->n_self_lookups > 1 && d->n_far_lookups < DHT_FAR_LOOKUPS && d->table.n >= d->k) {
        env_random(&d->env, target, sizeof target);
        id_set_prefix(target, d->id, d->n_far_lookups++);
        dht_op_start(d, now, OP_REFRESH, target);
        return;
    }
    /* Buckets near our own are filled by the lookups of ourselves. */
    if (d->n_self_lookups > 1 || d->config.is_client || bucket + 1 >= table_deepest(&d->table)) {
        d->refresh_at = now + (d->n_self_lookups < 2 ? 30 * NS_PER_S : refresh_every(d));
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

    for (unsigned i = 0; i < d->n_hints; i++) {
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
        const struct table_entry *e = table_stalest(&d->table, now, DHT_STALE_NS);

        if (e != NULL)
            dht_probe(d, now, table_contact(&d->table, e));
        d->probe_at = now + every;
    }
    if (now >= d->refresh_at && d->table.n > 0) {
        d->refresh_at = now + refresh_every(d);
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
    if (d->rates != NULL && now - d->rates_at > DHT_RATE_BURST / DHT_RATE_PER_S * NS_PER_S) {
        mem_free(d->rates); /* every bucket is full again */
        d->rates = NULL;
        d->n_rates = 0;
    }
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
    for (unsigned i = 0; i < d->n_hints; i++)
        if (d->hints[i].next_at > 0)
            at = ns_min(at, d->hints[i].next_at);
    if (d->table.n > 0)
        at = ns_min(at, ns_min(d->probe_at, d->refresh_at));
    return ns_min(at, ns_min(store_deadline(&d->store), drops_deadline(&d->drops)));
}

enum err dht_set_member(struct dht *d, const uint8_t cert[static DHT_CERT_BYTES])
{
    return dht_is_closed(d) ? node_key_close(&d->key, d->key.members->zone_key, cert) : ERR_REFUSED;
}

void dht_network_changed(struct dht *d, ns_t now)
{
    for (unsigned i = 0; i < 2; i++) {
        mem_free(d->votes[i]);
        d->votes[i] = NULL;
    }
    mem_free(d->clocks);
    d->clocks = NULL;
    for (unsigned i = 0; i < d->key.n_pairs; i++)
        d->key.pairs[i].knows_us = false; /* our address is another: cookies first */
    for (unsigned i = 0; i < d->n_hints; i++)
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
    for (unsigned i = 0; i < d->table.n; i++) {
        const struct table_entry *e = &d->table.entries[i];
        const struct contact *c = table_contact(&d->table, e);
        struct dht_node node = {
            .addr = c->addr, .seen_at = table_seen_at(e, d->turned_at), .rtt_ns = table_entry_rtt(e)};
        size_t at;

        if (e->fails >= TABLE_FAILS || max == 0)
            continue;
        memcpy(node.id, c->id, ID_BYTES);
        memcpy(node.key, c->key, sizeof node.key);
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
    for (unsigned i = 0; i < d->n_observers; i++)
        out->observers += d->observers[i].expires_at > d->turned_at;
    out->pairs = d->is_zone ? node_pairs(&d->key) : 0;
    out->cap_drops += d->store.cap_drops + d->drops.cap_drops + d->adverts.cap_drops;
    out->rtt_ns = table_rtt(&d->table, 0);
}

bool dht_own_address(const struct dht *d, uint8_t family, struct addr *out, unsigned *n_votes)
{
    const struct address_votes *v = d->votes[family == ADDR_V6];

    *n_votes = 0;
    return v != NULL && votes_majority(v, d->turned_at, 2, family, out, n_votes);
}

int64_t dht_zone_time_ms(const struct dht *d, ns_t now)
{
    int64_t own = env_wall_ms(&d->env);

    return d->clocks != NULL ? clocks_time_ms(d->clocks, now, own) : own;
}

int64_t dht_clock_error_ms(const struct dht *d, ns_t now)
{
    return env_wall_ms(&d->env) - dht_zone_time_ms(d, now);
}
