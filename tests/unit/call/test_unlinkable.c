/* Promise (THREATS.md §5, "storing nodes cannot link days or find the owner"): all items of three days at all nodes of a
 * zone have distinct keys, none of them A, N or Q; who guesses by sizes, numbers and times which two are of one person
 * is right for at most 5 % more than by chance, among 100 people.
 *
 * The tables that the shipped publisher offers its caretakers, watched for three days. The guesser is told more than
 * nodes see: the exact moments from which and until which an item is put. */
#include "call/publish.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crypto/secret.h"
#include "crypto/zone.h"
#include "dht/dht.h"
#include "sim/prng.h"
#include "unit/test.h"

#define PEOPLE    100
#define DAYS      3
#define STEP_NS   (300 * NS_PER_S)
#define START_MS  1790000000000ll
#define ITEMS_MAX 4096
#define SEQS_MAX  12

/* One key, as it lay at nodes. */
struct seen {
    uint8_t k[KEY_BYTES];
    unsigned who;
    int64_t first_s, last_s; /* put from, put until */
    int64_t seqs[SEQS_MAX];
    unsigned n_seqs;
    uint16_t v_len;
};

static struct world {
    ns_t now;
    struct prng rng;
    struct env env;
    struct dht *dht;
    struct keyring keys[PEOPLE];
    struct publish *publish[PEOPLE];
    uint8_t T[PEOPLE][KEY_BYTES]; /* one contact of each has not confirmed: a card */
    ns_t moves_at[PEOPLE];        /* another proxy */
    struct seen *items;
    unsigned n_items;
} w;

static void world_random(void *world, void *out, size_t n)
{
    (void)world;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)prng_next(&w.rng);
}

static int64_t world_wall_ms(void *world)
{
    (void)world;
    return START_MS + (int64_t)(w.now / NS_PER_MS);
}

static void world_send(void *world, const struct addr *to, struct slice bytes)
{
    (void)world, (void)to, (void)bytes;
}

static void world_defer(void *world, env_defer_cb cb, void *arg)
{
    (void)world;
    cb(arg);
}

static void world_log(void *world, enum log_level level, const char *line)
{
    (void)world, (void)level, (void)line;
}

static const struct env_ops ops = {.send = world_send,
                                   .random = world_random,
                                   .wall_ms = world_wall_ms,
                                   .defer = world_defer,
                                   .log = world_log};

static int64_t t_s(void)
{
    return world_wall_ms(NULL) / 1000;
}

static void move(unsigned i)
{
    struct publish_place place;
    uint32_t day_ms = 86400000;

    memset(&place, 0, sizeof place);
    place.n_relays = 2;
    for (int r = 0; r < 2; r++) {
        world_random(NULL, place.relays[r].node, KEY_BYTES);
        world_random(NULL, place.relays[r].token, sizeof place.relays[r].token);
        place.relays[r].addr = addr_v4((uint8_t[]){198, 51, 100, (uint8_t)r}, 4000);
    }
    publish_set_place(w.publish[i], w.now, &place);
    w.moves_at[i] = w.now + (ns_t)(prng_next(&w.rng) % (2 * day_ms)) * NS_PER_MS; /* about once a day */
}

static void set_up(uint64_t seed)
{
    struct dht_config config = {.profile = DHT_ZONE};
    struct sign_key node;

    memset(&w, 0, sizeof w);
    prng_seed(&w.rng, seed);
    w.env = (struct env){.ops = &ops};
    w.now = 1000 * NS_PER_S;
    w.items = mem_array(ITEMS_MAX, sizeof *w.items);
    zone_id("public", NULL, config.zone_id);
    world_random(NULL, config.seed, sizeof config.seed);
    sign_key_from_seed(config.seed, &node);
    assert_int_equal(zone_puzzle_search(config.zone_id, node.pub, config.nonce, 1u << 22), ERR_OK);
    w.dht = dht_create(&config, &w.env);
    for (unsigned i = 0; i < PEOPLE; i++) {
        uint8_t phrase[KEY_BYTES];

        keyring_create(&w.env, &w.keys[i], phrase);
        world_random(NULL, w.T[i], KEY_BYTES);
        w.publish[i] = publish_create(w.dht, &w.keys[i], &w.env);
        publish_set_ways(w.publish[i], w.now, true, false);
        publish_set_cards(w.publish[i], w.now, (const uint8_t(*)[KEY_BYTES])w.T[i], 1);
        move(i);
    }
}

static void tear_down(void)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        publish_destroy(w.publish[i]);
        keyring_wipe(&w.keys[i]);
    }
    dht_destroy(w.dht);
    mem_free(w.items);
}

/* A caretaker puts it now. */
static void put(unsigned who, const struct publish_kept *kept)
{
    struct seen *s = NULL;

    for (unsigned i = w.n_items; i > 0 && s == NULL; i--)
        if (memcmp(w.items[i - 1].k, kept->item.k, KEY_BYTES) == 0)
            s = &w.items[i - 1];
    if (s == NULL) {
        assert_true(w.n_items < ITEMS_MAX);
        s = &w.items[w.n_items++];
        memcpy(s->k, kept->item.k, KEY_BYTES);
        s->who = who;
        s->first_s = kept->from_s > t_s() - 600 ? kept->from_s : t_s();
        s->v_len = kept->item.v_len;
    }
    assert_int_equal(s->who, who); /* keys are distinct */
    s->last_s = kept->until_s;
    if (s->n_seqs > 0 && s->seqs[s->n_seqs - 1] == kept->item.seq)
        return;
    assert_true(s->n_seqs == 0 || s->seqs[s->n_seqs - 1] < kept->item.seq);
    if (s->n_seqs < SEQS_MAX)
        s->seqs[s->n_seqs++] = kept->item.seq;
}

static void watch(void)
{
    ns_t end = w.now + DAYS * 86400 * NS_PER_S;

    for (; w.now < end; w.now += STEP_NS)
        for (unsigned i = 0; i < PEOPLE; i++) {
            if (w.moves_at[i] <= w.now)
                move(i);
            if (publish_deadline(w.publish[i]) <= w.now)
                publish_tick(w.publish[i], w.now);
            for (size_t slot = 0; slot < CARE_SLOTS; slot++) {
                const struct publish_kept *kept = publish_kept(w.publish[i], slot);

                if (kept->version != 0 && kept->from_s <= t_s() && t_s() < kept->until_s)
                    put(i, kept);
            }
        }
}

/* --- guessers: how well do a and then b look like two days of one record; 0: impossible */

typedef double (*guess_cb)(const struct seen *a, const struct seen *b);

static double nearness(int64_t d)
{
    return 1.0 / (1.0 + fabs((double)d));
}

/* The number of one follows that of the other. */
static double by_seq(const struct seen *a, const struct seen *b)
{
    double best = 0;

    for (unsigned i = 0; i < a->n_seqs; i++)
        for (unsigned k = 0; k < b->n_seqs; k++)
            best = fmax(best, nearness(b->seqs[k] - a->seqs[i]));
    return best;
}

/* It is a day later, to the second. */
static double by_day(const struct seen *a, const struct seen *b)
{
    return fmax(nearness(b->seqs[0] - a->seqs[0] - 86400), nearness(b->first_s - a->first_s - 86400));
}

/* One comes as the other goes. */
static double by_end(const struct seen *a, const struct seen *b)
{
    return nearness(a->last_s - b->first_s - ITEM_OVERLAP_S - PUBLISH_SPREAD_S);
}

/* The width of the borders between the two days that would explain all four moments: all that times can tell. */
static double by_border(const struct seen *a, const struct seen *b)
{
    const double day = ITEM_EPOCH_S, early = ITEM_OVERLAP_S, spread = PUBLISH_SPREAD_S;
    double low = fmax(fmax((double)a->first_s + early + day, (double)a->last_s - spread),
                      fmax((double)b->first_s + early, (double)b->last_s - spread - day));
    double high = fmin(fmin((double)a->first_s + early + day + spread, (double)a->last_s),
                       fmin((double)b->first_s + early + spread, (double)b->last_s - day));

    return high > low ? high - low : 0;
}

/* Both changed within so short a time of each other; else as above. */
static double by_change(const struct seen *a, const struct seen *b)
{
    double best = 0, width = by_border(a, b);

    for (unsigned i = 1; i < a->n_seqs && width > 0; i++)
        for (unsigned k = 1; k < b->n_seqs; k++)
            best = fmax(best, 1e6 * nearness(b->seqs[k] - a->seqs[i]));
    return width > 0 ? best + width / 1e6 : 0;
}

/* Of the items that begin on the last two days: how many are given to one of the same person; chance: out of those
 * that were there the day before. */
static double guessed_pct(guess_cb guess, double *chance_pct)
{
    unsigned n = 0, n_right = 0;
    double chance = 0;

    for (unsigned i = 0; i < w.n_items; i++) {
        const struct seen *b = &w.items[i], *best = NULL;
        double score = 0;
        unsigned n_candidates = 0, n_same = 0;

        if (b->first_s < START_MS / 1000 + 86400)
            continue;
        for (unsigned k = 0; k < w.n_items; k++) {
            const struct seen *a = &w.items[k];
            double s;

            if (a->first_s >= b->first_s || a->last_s < b->first_s || a->v_len != b->v_len)
                continue;
            n_candidates++;
            n_same += a->who == b->who;
            s = guess(a, b);
            if (s > score) {
                score = s;
                best = a;
            }
        }
        if (n_candidates == 0)
            continue;
        n++;
        n_right += best != NULL && best->who == b->who;
        chance += (double)n_same / n_candidates;
    }
    *chance_pct = 100.0 * chance / n;
    return 100.0 * n_right / n;
}

static void three_days(void **state)
{
    static const struct {
        const char *name;
        guess_cb guess;
    } guessers[] = {{"numbers", by_seq},
                    {"a day later", by_day},
                    {"end and begin", by_end},
                    {"borders", by_border},
                    {"changes", by_change}};
    bool is_linked = false;

    (void)state;
    crypto_init();
    set_up(101);
    watch();
    printf("%u items of %d people in %d days\n", w.n_items, PEOPLE, DAYS);
    assert_true(w.n_items > DAYS * 2 * PEOPLE);
    for (unsigned i = 0; i < w.n_items; i++)
        for (unsigned k = 0; k < PEOPLE; k++) {
            assert_memory_not_equal(w.items[i].k, w.keys[k].identity.pub, KEY_BYTES);
            assert_memory_not_equal(w.items[i].k, w.keys[k].publish.pub, KEY_BYTES);
            assert_memory_not_equal(w.items[i].k, w.keys[k].device.pub, KEY_BYTES);
            assert_memory_not_equal(w.items[i].k, dht_key(w.dht), KEY_BYTES);
        }
    for (unsigned g = 0; g < sizeof guessers / sizeof guessers[0]; g++) {
        double chance, right = guessed_pct(guessers[g].guess, &chance);

        printf("by %s: %.1f %% right, by chance %.1f %%\n", guessers[g].name, right, chance);
        is_linked = is_linked || right > chance + 5;
    }
    assert_false(is_linked);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("nobody links the items of three days by their keys, sizes, numbers and times", three_days),
    };

    return run_sentences("unlinkable", tests);
}
