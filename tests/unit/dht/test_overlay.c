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

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the same seed gives the same run bit by bit", repeatable),
        sentence("records are put found and found again when half have died", half_dead),
        sentence("a third of colluders hides no record", colluders),
        sentence("forged values are never taken and hide nothing", liars),
        sentence("an old record replayed does not hide the new one", replayers),
        sentence("ids beside every target hide nothing on mainline", eclipse),
    };
    return run_sentences("the simulated overlay", tests);
}
