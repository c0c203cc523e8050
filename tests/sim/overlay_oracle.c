#include "tests/sim/overlay_in.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "dht/dht_node.h"

#define NEAR_MAX 512 /* nodes around a target that are sorted by distance */
#define SIZE_FEW \
    8 /* nodes of a sample of the zone's size: DHT_REFRESH_WIDTH, and DHT_FAR_LOOKUPS of a full k */
#define SIZE_FEWS 10
#define MET_MAX   400
#define FULLER    1.1 /* chance leaves places empty in buckets that are full else */

/* Where all nodes are, by id. */
struct place {
    uint8_t N[32]; /* with keyed hashes the id is its beginning */
    uint32_t node;
};

struct oracle {
    struct place *places;
    uint32_t *at;  /* of a node, in places */
    uint32_t *who; /* of a node, in the book, + 1; 0: not yet */
    uint32_t n;
    ns_t made_at; /* all tables are of this moment */
};

/* --- who is where */

static int compare_places(const void *a, const void *b)
{
    return memcmp(((const struct place *)a)->N, ((const struct place *)b)->N, DHT_ID_BYTES);
}

static unsigned bit(const uint8_t *id, unsigned i)
{
    return id[i / 8] >> (7 - i % 8) & 1;
}

/* Places that lie in [low, high) and share their first `depth` bits: the first whose next bit is set. */
static uint32_t split(const struct oracle *r, uint32_t low, uint32_t high, unsigned depth)
{
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (bit(r->places[mid].N, depth) == 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_up(const struct overlay *o, const struct place *p)
{
    return o->nodes[p->node].is_up && o->nodes[p->node].foe == NULL;
}

size_t oracle_nearest(const struct overlay *o, const uint8_t *target, bool is_honest, uint32_t *out, size_t n)
{
    const struct oracle *r = o->oracle;
    uint32_t low = 0, high = r->n, lows[ID_BITS + 1], highs[ID_BITS + 1], best[NEAR_MAX];
    unsigned depth = 0;
    size_t got = 0;

    while (high - low > n && depth < ID_BITS) {
        uint32_t mid = split(r, low, high, depth);

        lows[depth] = low;
        highs[depth++] = high;
        if (bit(target, depth - 1) == 0)
            high = mid;
        else
            low = mid;
    }
    for (;;) {
        got = 0;
        for (uint32_t i = low; i < high && got < NEAR_MAX; i++)
            if (!is_honest || is_up(o, &r->places[i]))
                best[got++] = i;
        if (got >= n || depth == 0)
            break;
        low = lows[--depth];
        high = highs[depth];
    }
    for (size_t i = 1; i < got; i++) {
        uint32_t p = best[i];
        size_t at = i;

        for (; at > 0 && id_compare(target, r->places[p].N, r->places[best[at - 1]].N) < 0; at--)
            best[at] = best[at - 1];
        best[at] = p;
    }
    got = got < n ? got : n;
    for (size_t i = 0; i < got; i++)
        out[i] = r->places[best[i]].node;
    return got;
}

/* --- who knows whom */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A permutation of 0..n-1 that a key chooses, and its inverse: four rounds of Feistel, walked until inside. */
struct shuffle {
    uint64_t key;
    uint32_t n;
    unsigned half; /* bits */
};

static struct shuffle shuffle_of(uint64_t key, uint32_t n)
{
    struct shuffle s = {.key = key, .n = n, .half = 1};

    while (1ull << 2 * s.half < n)
        s.half++;
    return s;
}

static uint32_t turn(const struct shuffle *s, uint32_t v, bool is_inverse)
{
    uint32_t mask = (1u << s->half) - 1;

    do {
        uint32_t a = v >> s->half, b = v & mask;

        for (unsigned i = 0; i < 4; i++) {
            unsigned round = is_inverse ? 3 - i : i;
            uint32_t was = is_inverse ? a : b;
            uint32_t mixed = (uint32_t)(mix(s->key ^ (uint64_t)round << 40 ^ was) >> 20) & mask;

            if (is_inverse) {
                a = b ^ mixed;
                b = was;
            } else {
                b = a ^ mixed;
                a = was;
            }
        }
        v = a << s->half | b;
    } while (v >= s->n);
    return v;
}

/* What nodes' own joins come to, by bucket: how many contacts a node keeps, and of a hundred of these, how many keep it
 * too. Who was asked by many, as the first ones of a zone, has no room for all of them, and asks them for a cookie. As
 * measured on joins of 10,000 to 100,000 nodes; smaller and larger zones are extrapolated. */
struct habit {
    double kept, both;
};

/* Buckets of k places: by how many nodes belong there, 20, 40, 80 and so on. */
static const struct habit narrow[] = {{14.8, .97}, {15.4, .895}, {16.2, .83}, {17.2, .755},
                                      {18.0, .66}, {18.6, .55},  {19.1, .44}, {19.4, .33},
                                      {19.6, .28}, {19.7, .25},  {19.8, .23}, {19.8, .22}};
/* The wide ones, for 10,000, 100,000 and 1,000,000 nodes. */
static const struct habit wide[][3] = {{{76, .97}, {87, .70}, {96, .45}},
                                       {{58.5, .76}, {62, .40}, {63.5, .25}},
                                       {{25, .82}, {28, .44}, {31, .28}}};

static struct habit habit_of(const struct oracle *r, unsigned bucket)
{
    double at = bucket < 3 ? log10(r->n) - 4 : log2(r->n / 40.0) - bucket;
    const struct habit *habits = bucket < 3 ? wide[bucket] : narrow;
    unsigned n = bucket < 3 ? 3 : sizeof narrow / sizeof *narrow, low;

    at = fmin(fmax(at, bucket < 3 ? -1 : 0), n - 1.001);
    low = at > 0 ? (unsigned)at : 0;
    at -= low;
    return (struct habit){habits[low].kept * (1 - at) + habits[low + 1].kept * at,
                          fmin(1, habits[low].both * (1 - at) + habits[low + 1].both * at)};
}

/* Colluders name only each other, so that fewer of those there are become known. */
static unsigned lost_pct(const struct overlay *o)
{
    return o->config.foe == OV_COLLUDER || o->config.foe == OV_REPLAYER ? o->config.foes_pct * 4 / 10 : 0;
}

struct met {
    uint32_t place;
    bool is_kept;
};

/* Whom the node at place `at` has met in one bucket. Between the two halves of a prefix, each node of one has met so many
 * of the other, by chance, as often having asked as been asked. Which these are follows from the seed alone, so that a
 * node may be made whenever it is needed. */
static size_t bucket_contacts(const struct overlay *o, uint32_t at, unsigned depth, uint32_t low,
                              uint32_t mid, uint32_t high, struct met *out)
{
    struct habit habit = habit_of(o->oracle, depth);
    uint32_t met = (uint32_t)(habit.kept / habit.both * (habit.kept > 17 ? FULLER : 1) + 0.5);
    uint32_t left = mid - low, right = high - mid, n = left > right ? left : right;
    uint64_t key = mix(mix(o->config.seed + 0x7461626c65) ^ (uint64_t)depth << 32 ^ low);
    struct shuffle of_left = shuffle_of(key, n), of_right = shuffle_of(mix(key + 1), n);
    bool is_left = at < mid;
    uint32_t x;
    size_t got = 0;

    if (left == 0 || right == 0)
        return 0;
    x = is_left ? turn(&of_left, at - low, false) : turn(&of_right, at - mid, false);
    if (n <= DHT_K_ZONE) { /* all know all */
        met = n;
        habit.both = 1;
    }
    for (uint32_t j = 0; j < n && j < met && j < MET_MAX; j++) {
        uint32_t other = is_left ? (x + j) % n : (x + n - j) % n;
        uint32_t rank = turn(is_left ? &of_right : &of_left, other, true);
        uint64_t dice = mix(key ^ (uint64_t)(is_left ? x : other) << 20 ^ j);

        if (rank >= (is_left ? right : left) || dice % 100 < lost_pct(o))
            continue;
        out[got++] = (struct met){.place = (is_left ? mid : low) + rank,
                                  .is_kept = (double)(mix(dice ^ is_left) >> 11) * 0x1p-53 < habit.both};
    }
    return got;
}

static uint32_t hold(struct overlay *o, uint32_t place, struct contact *c)
{
    const struct place *p = &o->oracle->places[place];
    uint32_t *who = &o->oracle->who[p->node];

    *c = (struct contact){.addr = ov_addr(p->node)};
    memcpy(c->key, p->N, sizeof c->key);
    memcpy(c->id, p->N, ID_BYTES);
    if (*who == 0)
        *who = book_keep(o->book, c) + 1;
    return *who;
}

/* One that was not kept is known by its key only, as long as there is room for that. */
static void meet(struct overlay *o, struct dht *d, uint32_t i, const struct met *m)
{
    const struct oracle *r = o->oracle;
    struct contact c;
    struct pair *p;

    if (!m->is_kept && node_pairs(&d->key) >= d->key.max_pairs)
        return;
    hold(o, m->place, &c);
    p = pair_keep(&d->key, r->made_at, &c);
    p->knows_us = true;
    if (!m->is_kept)
        return;
    pair_prove(&d->key, r->made_at, p, &c.addr);
    table_seen(&d->table, r->made_at, &c, 2 * ov_latency(o, i, r->places[m->place].node));
}

/* Those it has kept, or the others. */
static void fill_table(struct overlay *o, struct dht *d, uint32_t i, bool is_kept)
{
    const struct oracle *r = o->oracle;
    uint32_t low = 0, high = r->n, at = r->at[i];
    struct met near[MET_MAX];

    for (unsigned depth = 0; high - low > 1 && depth < ID_BITS; depth++) {
        uint32_t mid = split(r, low, high, depth);
        size_t n = bucket_contacts(o, at, depth, low, mid, high, near);

        for (size_t j = 0; j < n; j++)
            if (near[j].is_kept == is_kept)
                meet(o, d, i, &near[j]);
        if (at < mid)
            high = mid;
        else
            low = mid;
    }
}

/* As lookups of its join would have told it: how near the nearest were to some targets, when so many had joined as have
 * a lower number; half a minute later, those of the second round, half of a doubling more. */
static void fill_sizes(struct overlay *o, struct dht *d, uint32_t number)
{
    double all = o->config.n, first = all / (number + 1), second = fmax(1, first / sqrt(2));
    uint8_t target[ID_BYTES];
    uint32_t near[DHT_K_ZONE];

    for (unsigned i = 0; i < SIZE_FEWS + DHT_FAR_LOOKUPS; i++) {
        size_t want = i < SIZE_FEWS ? SIZE_FEW : DHT_K_ZONE, n;

        env_random(&d->env, target, sizeof target);
        id_set_prefix(target, d->id, i < SIZE_FEWS ? i : i - SIZE_FEWS);
        n = oracle_nearest(o, target, false, near, want);
        if (n == want)
            size_add(&d->size, o->oracle->made_at, (unsigned)n,
                     id_distance(o->oracle->places[o->oracle->at[near[n - 1]]].N, target) *
                         (i < SIZE_FEWS ? first : second));
    }
}

/* Numbers of its own, so that it does not matter when a node is made. */
static void own_numbers(struct overlay *o, uint32_t i)
{
    prng_seed(&o->prng, mix(o->config.seed ^ (uint64_t)(i + 1) << 32));
}

void oracle_make(struct overlay *o, uint32_t i)
{
    struct ov_node *n = &o->nodes[i];
    struct prng prng = o->prng;
    ns_t at;

    if (n->dht != NULL || n->foe != NULL || !n->is_up || o->oracle == NULL)
        return;
    own_numbers(o, i);
    ov_create_dht(o, n);
    fill_table(o, n->dht, i, true);
    fill_table(o, n->dht, i, false);
    fill_sizes(o, n->dht, i);
    n->dht->n_self_lookups = 2;
    n->dht->n_far_lookups = DHT_FAR_LOOKUPS;
    dht_set_state(n->dht, DHT_JOINED);
    dht_tick(n->dht, o->oracle->made_at);
    while ((at = dht_deadline(n->dht)) <=
           o->now) /* what it has done since: nothing, but it looked whether to */
        dht_tick(n->dht, at);
    o->n_made++;
    ov_touch(o, i);
    o->prng = prng;
}

void ov_know(struct overlay *o, bool is_eager)
{
    struct oracle *r = o->oracle = mem_alloc(sizeof *r);
    struct prng prng = o->prng;

    r->n = o->config.n;
    r->made_at = o->now;
    r->places = mem_array(r->n, sizeof *r->places);
    r->at = mem_array(r->n, sizeof *r->at);
    r->who = mem_array(r->n + OV_COLD_MAX, sizeof *r->who);
    for (uint32_t i = 0; i < r->n; i++) {
        struct sign_key key;
        uint8_t seed[32];

        r->places[i].node = i;
        if (o->nodes[i].foe != NULL) {
            memcpy(r->places[i].N, foe_key(o->nodes[i].foe), 32);
        } else {
            own_numbers(o, i);
            for (unsigned j = 0; j < sizeof seed; j += 8)
                memcpy(seed + j, &(uint64_t){prng_next(&o->prng)}, 8);
            sign_key_from_seed(seed, &key);
            memcpy(r->places[i].N, key.pub, 32);
        }
        o->nodes[i].is_up = true;
        ov_set_known(o, i, true);
    }
    o->prng = prng;
    qsort(r->places, r->n, sizeof *r->places, compare_places);
    for (uint32_t i = 0; i < r->n; i++)
        r->at[r->places[i].node] = i;
    ov_own_bytes(o);
    for (uint32_t i = 0; i < r->n && is_eager; i++)
        oracle_make(o, i);
}

void oracle_destroy(struct overlay *o)
{
    struct oracle *r = o->oracle;

    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->n; i++)
        if (r->who[i] != 0)
            book_drop(o->book, r->who[i] - 1);
    mem_free(r->places);
    mem_free(r->at);
    mem_free(r->who);
    mem_free(r);
    o->oracle = NULL;
}
