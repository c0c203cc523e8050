#include "tests/sim/overlay_in.h"

#include <malloc.h>
#include <math.h>
#include <time.h>

#include "base/mem.h"
#include "dht/dht_node.h"

#define FIRST_NET  16 /* node i lives at 16.0.0.1 + 256 i */
#define OV_PORT    4000
#define GREET_NEAR 8 /* colluders that greet a newcomer: the nearest to it, and by chance */
#define GREET_MORE 8

static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct addr ov_addr(uint32_t index)
{
    uint32_t ip = ((uint32_t)FIRST_NET << 24) + (index << 8) + 1;

    return addr_v4((uint8_t[]){(uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip},
                   OV_PORT);
}

static uint32_t index_of(const struct overlay *o, const struct addr *a)
{
    uint32_t i = ((uint32_t)(a->ip[0] - FIRST_NET) << 16) | (uint32_t)a->ip[1] << 8 | a->ip[2];

    return a->family == ADDR_V4 && a->port == OV_PORT && i < o->config.n + OV_COLD_MAX ? i : UINT32_MAX;
}

uint32_t ov_pick(struct overlay *o, uint32_t n)
{
    return (uint32_t)((prng_next(&o->prng) >> 32) * n >> 32);
}

/* --- the world of one node */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

ns_t ov_latency(const struct overlay *o, uint32_t a, uint32_t b)
{
    uint64_t pair = a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;

    return o->latency[o->config.spread > 0 ? mix(pair ^ o->config.seed) % OV_LATENCIES : 0];
}

void ov_send(struct overlay *o, uint32_t from, const struct addr *to, struct slice bytes)
{
    uint32_t index = index_of(o, to);
    struct ov_packet *p;
    struct ov_event e = {.node = index, .kind = OV_PACKET};
    uint64_t last = 0;

    if (bytes.len < 9)
        return;
    o->bytes += bytes.len;
    memcpy(&last, bytes.data + bytes.len - 9, 8); /* the end of the packet depends on what went before */
    o->digest = mix(o->digest ^ o->now ^ (uint64_t)from << 32 ^ index ^ last ^ bytes.len << 48);
    if (index == UINT32_MAX || !o->nodes[index].is_up)
        return;
    if (o->config.loss_permille > 0 && ov_pick(o, 1000) < o->config.loss_permille)
        return;
    p = mem_resize(NULL, 1, sizeof *p + bytes.len);
    p->from = from;
    p->len = (uint16_t)bytes.len;
    memcpy(p->bytes, bytes.data, bytes.len);
    e.at = o->now + ov_latency(o, from, index);
    e.what = p;
    ov_push(&o->queue, &e);
}

static void env_send_cb(void *world, const struct addr *to, struct slice bytes)
{
    struct ov_node *n = world;

    ov_send(n->o, n->index, to, bytes);
}

static void env_random_cb(void *world, void *out, size_t n)
{
    struct ov_node *node = world;
    uint8_t *p = out;

    while (n > 0) {
        uint64_t v = prng_next(&node->o->prng);
        size_t m = n < sizeof v ? n : sizeof v;

        memcpy(p, &v, m);
        p += m;
        n -= m;
    }
}

static int64_t env_wall_cb(void *world)
{
    struct ov_node *n = world;

    return OV_WALL_MS + (int64_t)(n->o->now / NS_PER_MS);
}

static void env_defer_do(void *world, env_defer_cb cb, void *arg)
{
    struct overlay *o = ((struct ov_node *)world)->o;

    if (o->n_deferred < 64)
        o->deferred[o->n_deferred++] = (struct ov_deferred){cb, arg};
}

static void env_log_cb(void *world, enum log_level level, const char *line)
{
    (void)world, (void)level, (void)line;
}

static const struct env_ops env_ops = {.send = env_send_cb,
                                       .random = env_random_cb,
                                       .wall_ms = env_wall_cb,
                                       .defer = env_defer_do,
                                       .log = env_log_cb};

static void end_turn(struct overlay *o)
{
    while (o->n_deferred > 0) {
        struct ov_deferred d = o->deferred[--o->n_deferred];

        d.cb(d.arg);
    }
}

void ov_touch(struct overlay *o, uint32_t node)
{
    struct ov_node *n = &o->nodes[node];
    ns_t at;

    end_turn(o);
    if (n->dht == NULL)
        return;
    at = dht_deadline(n->dht);
    if (at == NS_NEVER || at >= n->queued_at)
        return;
    n->queued_at = at > o->now ? at : o->now;
    ov_push(&o->queue, &(struct ov_event){.at = n->queued_at, .node = node, .kind = OV_TIMER});
}

static void timer_due(struct overlay *o, const struct ov_event *e)
{
    struct ov_node *n = &o->nodes[e->node];

    if (n->dht == NULL || e->at != n->queued_at)
        return; /* another one was put before it */
    n->queued_at = NS_NEVER;
    if (dht_deadline(n->dht) <= o->now)
        dht_tick(n->dht, o->now);
    ov_touch(o, e->node);
}

static void packet_due(struct overlay *o, const struct ov_event *e)
{
    struct ov_packet *p = e->what;
    struct ov_node *n = &o->nodes[e->node];
    struct addr from = ov_addr(p->from);

    oracle_make(o, e->node);
    if (n->dht != NULL) {
        o->msgs++;
        dht_input(n->dht, o->now, &from, slice_of(p->bytes, p->len));
        ov_touch(o, e->node);
    } else if (n->foe != NULL && n->is_up) {
        o->msgs++;
        foe_input(n->foe, o->now, p->from, slice_of(p->bytes, p->len));
    }
    mem_free(p);
}

void ov_at(struct overlay *o, ns_t at, uint32_t node, ov_task_cb cb, void *arg)
{
    struct ov_task *t = mem_alloc(sizeof *t);

    t->cb = cb;
    t->arg = arg;
    ov_push(&o->queue, &(struct ov_event){.at = at, .node = node, .kind = OV_TASK, .what = t});
}

/* --- life and death */

void ov_set_known(struct overlay *o, uint32_t i, bool is_known)
{
    struct ov_node *n = &o->nodes[i];

    if (n->is_known == is_known)
        return;
    n->is_known = is_known;
    if (is_known) {
        o->up_at[i] = o->n_up;
        o->up[o->n_up++] = i;
    } else {
        uint32_t last = o->up[--o->n_up];

        o->up[o->up_at[i]] = last;
        o->up_at[last] = o->up_at[i];
    }
}

static void stop(struct overlay *o, uint32_t i)
{
    struct ov_node *n = &o->nodes[i];

    dht_destroy(n->dht);
    end_turn(o);
    n->dht = NULL;
    n->is_up = false;
    n->queued_at = NS_NEVER;
    ov_set_known(o, i, false);
}

/* Weibull of shape 0.5: many short sessions, a few very long ones. Its mean is twice its scale. */
static ns_t session(struct overlay *o)
{
    double u = ((double)(prng_next(&o->prng) >> 11) + 0.5) * 0x1p-53, root = log(u);

    return (ns_t)((double)o->mean_session / 2 * root * root);
}

static void plan_leave(struct overlay *o, uint32_t i)
{
    struct ov_event e = {.node = i, .kind = OV_LEAVE};

    if (o->mean_session == 0)
        return;
    e.at = o->now + session(o);
    e.what = (void *)(uintptr_t)o->nodes[i].generation;
    ov_push(&o->queue, &e);
}

struct dht *ov_create_dht(struct overlay *o, struct ov_node *n)
{
    const struct ov_config *c = &o->config;
    struct env env = {.ops = &env_ops, .world = n};
    struct dht_config config = {.profile = c->profile,
                                .n_paths = (uint8_t)c->n_paths,
                                .max_items = 64,
                                .max_blobs = 1,
                                .max_adverts = 1,
                                .book = o->book,
                                .ops = c->is_real || c->profile == DHT_MAINLINE ? NULL : &ov_ops};

    /* The first ones serve, so that there is somebody to join. */
    n->is_client = config.is_client = n->index > 50 && c->clients_pct > 0 && ov_pick(o, 100) < c->clients_pct;
    memcpy(config.zone_id, ov_zone, sizeof config.zone_id);
    env_random_cb(n, config.seed, sizeof config.seed);
    ov_solve(o, config.seed, config.nonce);
    n->dht = dht_create(&config, &env);
    n->is_up = true;
    n->generation++;
    n->queued_at = NS_NEVER;
    return n->dht;
}

static void be_greeted(struct overlay *o, uint32_t i, void *arg)
{
    uint32_t near[GREET_NEAR];
    size_t got;

    (void)arg;
    if (o->nodes[i].dht == NULL || o->config.foe == OV_DROPPER)
        return;
    got = foes_nearest(o, dht_id(o->nodes[i].dht), near, GREET_NEAR);
    for (size_t j = 0; j < got + GREET_MORE; j++) {
        uint32_t foe = j < got ? near[j] : o->foes[ov_pick(o, o->n_foes)];

        if (o->nodes[foe].is_up)
            foe_greet(o->nodes[foe].foe, o->now, i);
    }
}

void ov_start(struct overlay *o, uint32_t i, uint32_t n_intro)
{
    struct ov_node *n = &o->nodes[i];

    n_intro = o->n_up < n_intro ? o->n_up : n_intro;

    if (n->foe != NULL) {
        n->is_up = true;
        for (unsigned j = 0; j < 64 && o->n_up > 0; j++)
            foe_greet(n->foe, o->now, o->up[ov_pick(o, o->n_up)]);
    } else {
        ov_create_dht(o, n);
        for (uint32_t j = 0; j < n_intro; j++) {
            struct addr a = ov_addr(o->up[ov_pick(o, o->n_up)]);

            dht_add_address(n->dht, o->now, &a);
        }
        ov_touch(o, i);
        plan_leave(o, i);
        if (o->n_foes > 0)
            ov_at(o, o->now + NS_PER_S, i, be_greeted, NULL);
    }
    ov_set_known(o, i, !n->is_client);
}

static void leave(struct overlay *o, const struct ov_event *e)
{
    struct ov_node *n = &o->nodes[e->node];

    if (n->dht == NULL || n->generation != (uint32_t)(uintptr_t)e->what || o->mean_session == 0)
        return;
    stop(o, e->node);
    ov_start(o, e->node, OV_INTRO_MAX);
}

static void handle(struct overlay *o, const struct ov_event *e)
{
    struct ov_task task;

    switch ((enum ov_kind)e->kind) {
    case OV_PACKET:
        packet_due(o, e);
        break;
    case OV_TIMER:
        timer_due(o, e);
        break;
    case OV_BEGIN:
        ov_start(o, e->node, OV_INTRO_MAX);
        break;
    case OV_LEAVE:
        leave(o, e);
        break;
    case OV_TASK:
        task = *(struct ov_task *)e->what;
        mem_free(e->what);
        task.cb(o, e->node, task.arg);
        break;
    }
}

static void fetch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        __builtin_prefetch((const char *)p + i);
}

/* Most of the time goes by waiting for memory, as each event happens to another node: ask for it ahead. */
static void fetch_ahead(const struct overlay *o)
{
    const struct ov_event *e = ov_ahead(&o->queue, 3);
    const struct dht *d;

    if (e != NULL) {
        fetch(&o->nodes[e->node], sizeof o->nodes[0]);
        if (e->what != NULL && e->kind == OV_PACKET)
            fetch(e->what, 512);
    }
    e = ov_ahead(&o->queue, 1);
    if (e != NULL && o->nodes[e->node].dht != NULL)
        fetch(o->nodes[e->node].dht, sizeof *d);
    e = ov_ahead(&o->queue, 0);
    if (e == NULL || o->nodes[e->node].dht == NULL)
        return;
    d = o->nodes[e->node].dht;
    fetch(d->table.entries, 512);
    if (d->rpc.n > 0)
        fetch(d->rpc.calls, 64);
}

void ov_run(struct overlay *o, ns_t duration)
{
    ns_t until = o->now + duration;
    double began = cpu_now();
    struct ov_event e;

    while (ov_pop(&o->queue, until, &e)) {
        o->now = e.at;
        fetch_ahead(o);
        handle(o, &e);
    }
    o->now = until;
    o->cpu_s += cpu_now() - began;
}

/* --- the overlay */

static void set_latencies(struct overlay *o)
{
    unsigned n = 0;

    /* Quantiles of a lognormal, by bisection of the normal's distribution. */
    for (unsigned i = 0; i < OV_LATENCIES; i++) {
        double p = (i + 0.5) / OV_LATENCIES, low = -6, high = 6;

        for (unsigned j = 0; j < 50 && o->config.spread > 0; j++) {
            double mid = (low + high) / 2;

            if (0.5 * erfc(-mid / sqrt(2)) < p)
                low = mid;
            else
                high = mid;
        }
        o->latency[n++] = (ns_t)((double)o->config.rtt / 2 *
                                 (o->config.spread > 0 ? exp(o->config.spread * (low + high) / 2) : 1));
    }
}

static void make_foes(struct overlay *o)
{
    uint32_t want = (uint32_t)((uint64_t)o->config.n * o->config.foes_pct / 100);

    if (o->config.foe == OV_HONEST)
        return;
    o->foes = mem_array(want + 1, sizeof *o->foes);
    o->foe_ids = mem_array(want + 1, sizeof *o->foe_ids);
    while (o->n_foes < want) {
        uint32_t i = 1 + ov_pick(o, o->config.n - 1); /* the first node of all is honest */
        struct env env = {.ops = &env_ops, .world = &o->nodes[i]};

        if (o->nodes[i].foe != NULL)
            continue;
        o->nodes[i].foe = foe_create(o, i, &env);
        o->foes[o->n_foes++] = i;
    }
    foes_sort(o);
}

void ov_own_bytes(struct overlay *o)
{
    o->own_bytes = mallinfo2().uordblks + mallinfo2().hblkhd;
}

struct overlay *ov_create(const struct ov_config *config)
{
    struct overlay *o = mem_alloc(sizeof *o);

    o->config = *config;
    o->config.n = config->n < 2 ? 2 : config->n > OV_NODES_MAX ? OV_NODES_MAX : config->n;
    o->config.rtt = config->rtt > 0 ? config->rtt : 50 * NS_PER_MS;
    o->config.doubling = config->doubling > 0 ? config->doubling : 60 * NS_PER_S;
    prng_seed(&o->prng, config->seed);
    o->now = o->queue.last = OV_START_NS;
    o->nodes = mem_array(o->config.n + OV_COLD_MAX, sizeof *o->nodes);
    o->up = mem_array(o->config.n + OV_COLD_MAX, sizeof *o->up);
    o->up_at = mem_array(o->config.n + OV_COLD_MAX, sizeof *o->up_at);
    for (uint32_t i = 0; i < o->config.n + OV_COLD_MAX; i++)
        o->nodes[i] = (struct ov_node){.o = o, .index = i, .queued_at = NS_NEVER};
    o->book = book_create();
    set_latencies(o);
    make_foes(o);
    ov_own_bytes(o);
    return o;
}

void ov_destroy(struct overlay *o)
{
    struct ov_event e;

    for (uint32_t i = 0; i < o->config.n + OV_COLD_MAX; i++) {
        dht_destroy(o->nodes[i].dht);
        end_turn(o);
        foe_destroy(o->nodes[i].foe);
    }
    while (ov_pop(&o->queue, NS_NEVER, &e))
        if (e.kind == OV_PACKET || e.kind == OV_TASK)
            mem_free(e.what);
    ov_queue_fini(&o->queue);
    oracle_destroy(o);
    book_destroy(o->book);
    mem_free(o->nodes);
    mem_free(o->up);
    mem_free(o->up_at);
    mem_free(o->foes);
    mem_free(o->foe_ids);
    mem_free(o->records);
    mem_free(o);
}

void ov_join(struct overlay *o)
{
    double at = (double)o->now, step = (double)NS_PER_S / 4;

    /* Twenty at a quarter of a second each, then ever more, so that the overlay doubles in `doubling`. */
    for (uint32_t i = 0; i < o->config.n; i++) {
        double grown = (double)o->config.doubling / (i > 0 ? i : 1) / 0.7;

        ov_push(&o->queue, &(struct ov_event){.at = (ns_t)at, .node = i, .kind = OV_BEGIN});
        at += grown < step ? grown : step;
    }
    ov_run(o, (ns_t)at - o->now + 120 * NS_PER_S);
}

uint32_t ov_honest(struct overlay *o)
{
    for (unsigned tries = 0; tries < 100000; tries++) {
        uint32_t i = o->up[ov_pick(o, o->n_up)];

        if (ov_is_honest(&o->nodes[i]))
            return i;
    }
    return 0;
}

uint32_t ov_kill(struct overlay *o, double pct)
{
    for (uint32_t i = 0; i < o->config.n; i++)
        if (ov_is_honest(&o->nodes[i]) && prng_chance(&o->prng, pct))
            stop(o, i);
    return o->n_up;
}

void ov_churn(struct overlay *o, ns_t mean_session)
{
    o->mean_session = mean_session;
    for (uint32_t i = 0; i < o->config.n && mean_session > 0; i++)
        if (o->nodes[i].dht != NULL)
            plan_leave(o, i);
}

void ov_totals(const struct overlay *o, struct ov_totals *out)
{
    *out = (struct ov_totals){.msgs = o->msgs, .bytes = o->bytes, .cpu_s = o->cpu_s, .now = o->now};
}

double ov_node_bytes(const struct overlay *o)
{
    struct mallinfo2 m = mallinfo2();
    size_t all = m.uordblks + m.hblkhd, own = o->own_bytes + ov_queue_bytes(&o->queue), book = 0;
    uint32_t n = 0;

    if (o->oracle !=
        NULL) { /* few are made, but they know of all: an entry of the book each, as if all were */
        own += o->book->n_pages * (BOOK_PAGE * sizeof(struct book_entry) + sizeof(void *)) +
               o->book->n_heads * sizeof(uint32_t);
        book = sizeof(struct book_entry) + sizeof(uint32_t);
    }

    for (uint32_t i = 0; i < o->config.n; i++)
        n += o->nodes[i].dht != NULL;
    return n > 0 && all > own ? (double)(all - own) / n + (double)book : 0;
}

uint64_t ov_digest(const struct overlay *o)
{
    return o->digest;
}

uint32_t ov_up(const struct overlay *o)
{
    return o->n_up;
}

uint32_t ov_made(const struct overlay *o)
{
    return o->n_made;
}

struct dht *ov_dht(const struct overlay *o, uint32_t i)
{
    return o->nodes[i].dht;
}

void ov_tables(struct overlay *o, double *contacts, double *foes_pct)
{
    static struct dht_node nodes[600];
    uint64_t n = 0, n_foes = 0, n_nodes = 0;

    for (uint32_t i = 0; i < o->config.n; i += 1 + o->config.n / 2000) {
        size_t got;

        oracle_make(o, i);
        got = o->nodes[i].dht != NULL ? dht_nodes(o->nodes[i].dht, nodes, 600) : 0;

        n_nodes += o->nodes[i].dht != NULL;
        n += got;
        for (size_t j = 0; j < got; j++)
            n_foes += o->nodes[index_of(o, &nodes[j].addr)].foe != NULL;
    }
    *contacts = n_nodes > 0 ? (double)n / (double)n_nodes : 0;
    *foes_pct = n > 0 ? (double)n_foes * 100 / (double)n : 0;
}

void ov_sizes(const struct overlay *o, double *mean, double *deviation)
{
    double sum = 0, squares = 0, n = 0;
    struct dht_stats stats;

    for (uint32_t i = 0; i < o->config.n; i++)
        if (o->nodes[i].dht != NULL) {
            double share;

            dht_stats(o->nodes[i].dht, &stats);
            share = (double)stats.size / o->n_up;
            sum += share;
            squares += share * share;
            n++;
        }
    *mean = n > 0 ? sum / n : 0;
    *deviation = n > 0 ? sqrt(fmax(0, squares / n - *mean * *mean)) : 0;
}

void ov_idle(struct overlay *o, ns_t duration, struct ov_idle *out)
{
    double sums[2][4] = {{0}};
    double s = (double)duration / NS_PER_S;
    struct dht_stats stats;

    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < o->config.n; i++) {
            struct ov_node *n = &o->nodes[i];
            double *sum = sums[n->is_client];

            if (n->dht == NULL)
                continue;
            dht_stats(n->dht, &stats);
            if (round == 1) {
                sum[0] += 1;
                sum[1] += (double)(stats.msgs_out - n->idle[0]);
                sum[2] += (double)(stats.bytes_out - n->idle[1]);
                sum[3] += (double)(stats.bytes_in - n->idle[2]);
            }
            n->idle[0] = stats.msgs_out;
            n->idle[1] = stats.bytes_out;
            n->idle[2] = stats.bytes_in;
        }
        if (round == 0)
            ov_run(o, duration);
    }
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 1; j < 4 && sums[i][0] > 0; j++)
            sums[i][j] /= sums[i][0] * s;
    *out = (struct ov_idle){.out_msgs_per_min = sums[0][1] * 60,
                            .out_bytes_per_s = sums[0][2],
                            .in_bytes_per_s = sums[0][3],
                            .client_out_msgs_per_min = sums[1][1] * 60,
                            .client_out_bytes_per_s = sums[1][2],
                            .client_in_bytes_per_s = sums[1][3]};
}
