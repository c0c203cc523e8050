/* The simulated overlay (tests/sim/overlay.h), small: floors of the table in README, and that it is repeatable. */
#include "unit/test.h"

#include "tests/sim/overlay.h"

static struct overlay *grown(uint32_t n, uint64_t seed, enum ov_foe foe, unsigned foes_pct)
{
    struct overlay *o =
        ov_create(&(struct ov_config){.n = n, .seed = seed, .foe = foe, .foes_pct = foes_pct});

    ov_join(o);
    return o;
}

/* What a whole run comes to. */
static uint64_t run_digest(uint64_t seed)
{
    struct overlay *o = grown(60, seed, OV_HONEST, 0);
    struct ov_batch b;
    uint64_t digest;

    ov_records(o, 20, &b);
    ov_lookups(o, 40, &b);
    ov_kill(o, 30);
    ov_lookups(o, 40, &b);
    digest = ov_digest(o);
    ov_destroy(o);
    return digest;
}

static void repeatable(void **state)
{
    (void)state;
    assert_int_equal(run_digest(7), run_digest(7));
    assert_int_not_equal(run_digest(7), run_digest(8));
}

static void half_dead(void **state)
{
    struct overlay *o = grown(120, 1, OV_HONEST, 0);
    struct ov_batch b;

    (void)state;
    ov_records(o, 60, &b);
    assert_int_equal(b.n_ok, 60);
    assert_true(b.rtt_median <= 500 && b.rtt_p99 <= 1200);
    assert_true(b.queries <= 40 && b.nearest_pct >= 90);
    ov_lookups(o, 120, &b);
    assert_int_equal(b.n_ok, 120);
    assert_true(b.rtt_median <= 200 && b.rtt_p99 <= 400);
    assert_true(b.queries <= 25);
    ov_kill(o, 50);
    ov_lookups(o, 120, &b);
    assert_int_equal(b.n_ok, 120);
    ov_records(o, 60, &b);
    assert_int_equal(b.n_ok, 60);
    ov_destroy(o);
}

static void colluders(void **state)
{
    struct overlay *o = grown(120, 2, OV_COLLUDER, 30);
    struct ov_batch b;

    (void)state;
    ov_records(o, 60, &b);
    assert_int_equal(b.n_ok, 60);
    ov_lookups(o, 120, &b);
    assert_int_equal(b.n_ok, 120);
    ov_destroy(o);
}

static void liars(void **state)
{
    struct overlay *o = grown(80, 3, OV_LIAR, 30);
    struct ov_batch b;

    (void)state;
    ov_records(o, 40, &b);
    ov_lookups(o, 100, &b);
    assert_int_equal(b.n_forged, 0);
    assert_int_equal(b.n_ok, 100);
    ov_destroy(o);
}

static void replayers(void **state)
{
    struct overlay *o = grown(120, 4, OV_REPLAYER, 30);
    struct ov_batch b;

    (void)state;
    ov_records(o, 40, &b);
    ov_records(o, 40, &b);
    ov_lookups(o, 100, &b);
    assert_int_equal(b.n_forged, 0);
    assert_true(b.n_ok >= 99);
    ov_destroy(o);
}

static void eclipse(void **state)
{
    struct overlay *o = ov_create(
        &(struct ov_config){.n = 150, .seed = 5, .profile = DHT_MAINLINE, .foe = OV_ECLIPSE, .foes_pct = 5});
    struct ov_batch b;

    (void)state;
    ov_join(o);
    ov_records(o, 40, &b);
    assert_true(b.n_ok >= 39);
    ov_lookups(o, 60, &b);
    assert_true(b.n_ok >= 59);
    ov_destroy(o);
}

/* Of a world whose tables an oracle filled: what a whole run comes to. */
static uint64_t oracle_digest(uint64_t seed, bool is_eager, uint32_t *n_made)
{
    struct overlay *o = ov_create(
        &(struct ov_config){.n = 3000, .seed = seed, .foe = OV_COLLUDER, .foes_pct = 20, .spread = 0.7});
    struct ov_batch b;
    uint64_t digest;

    ov_know(o, is_eager);
    ov_records(o, 10, &b);
    ov_lookups(o, 10, &b);
    ov_kill(o, 30);
    ov_lookups(o, 10, &b);
    ov_cold(o, 2, &b);
    digest = ov_digest(o);
    *n_made = ov_made(o);
    ov_destroy(o);
    return digest;
}

static void oracle_repeatable(void **state)
{
    uint32_t n_lazy, n_eager, n;
    uint64_t digest = oracle_digest(7, false, &n_lazy);

    (void)state;
    assert_int_equal(digest, oracle_digest(7, true, &n_eager));
    assert_int_not_equal(digest, oracle_digest(8, false, &n));
    assert_true(n_lazy < 1500);
    assert_int_equal(n_eager, 2400);
}

/* Means over a world of 1,000, its own joins' and an oracle's. */
static void measure(bool has_oracle, double *contacts, struct ov_batch *puts, struct ov_batch *gets)
{
    struct overlay *o = ov_create(&(struct ov_config){.n = 1000, .seed = 3});
    double foes;

    if (has_oracle)
        ov_know(o, false);
    else
        ov_join(o);
    ov_tables(o, contacts, &foes);
    ov_records(o, 100, puts);
    ov_lookups(o, 200, gets);
    ov_destroy(o);
}

static void oracle_like_joins(void **state)
{
    struct ov_batch puts[2], gets[2];
    double contacts[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        measure(i == 1, &contacts[i], &puts[i], &gets[i]);
        assert_int_equal(puts[i].n_ok, 100);
        assert_int_equal(gets[i].n_ok, 200);
    }
    assert_true(contacts[1] > 0.85 * contacts[0] && contacts[1] < 1.15 * contacts[0]);
    assert_true(gets[1].queries > 0.8 * gets[0].queries && gets[1].queries < 1.2 * gets[0].queries);
    assert_true(puts[1].queries > 0.8 * puts[0].queries && puts[1].queries < 1.2 * puts[0].queries);
    assert_int_equal(gets[1].rtt_median, gets[0].rtt_median);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the same seed gives the same run bit by bit", repeatable),
        sentence("records are put found and found again when half have died", half_dead),
        sentence("a third of colluders hides no record", colluders),
        sentence("forged values are never taken and hide nothing", liars),
        sentence("an old record replayed does not hide the new one", replayers),
        sentence("ids beside every target hide nothing on mainline", eclipse),
        sentence("with an oracle it does not matter when a node is made", oracle_repeatable),
        sentence("an oracle's tables serve as those of joins do", oracle_like_joins),
    };
    return run_sentences("the simulated overlay", tests);
}
