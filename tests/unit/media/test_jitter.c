#include "unit/test.h"

#include "media/jitter.h"

#define MS       NS_PER_MS
#define FRAME    960
#define FRAME_MS 20
#define START    (1000 * NS_PER_S)
#define FIRST_TS 0xfffff000u /* wraps after four frames */

static struct jitter *make(uint32_t min_ms, uint32_t max_ms)
{
    struct jitter_cfg cfg = {.min_ms = min_ms, .max_ms = max_ms};

    return jitter_create(&cfg);
}

/* Packet i holds its number and was sent at START + 20 i ms. */
static enum err put(struct jitter *j, unsigned i, ns_t delay)
{
    return jitter_put(j, (uint16_t)(65530 + i), FIRST_TS + FRAME * i, slice_of(&i, sizeof i), FRAME,
                      START + i * FRAME_MS * MS + delay);
}

static unsigned number(const struct jitter_frame *f)
{
    unsigned i;

    assert_int_equal(f->payload.len, sizeof i);
    memcpy(&i, f->payload.data, sizeof i);
    return i;
}

/* Take a step at `now` and expect packet i. */
static void expect(struct jitter *j, ns_t now, unsigned i)
{
    struct jitter_frame f;

    jitter_get(j, now, FRAME, &f);
    assert_int_equal(f.kind, JITTER_PACKET);
    assert_int_equal(number(&f), i);
}

static void in_order(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_frame f;

    (void)state;
    put(j, 0, 0);
    put(j, 2, 0);
    put(j, 1, 25 * MS);
    jitter_get(j, START + 39 * MS, FRAME, &f);
    assert_int_equal(f.kind, JITTER_WAIT); /* 40 ms until arrivals were measured */
    expect(j, START + 65 * MS, 0);
    expect(j, START + 85 * MS, 1);
    expect(j, START + 105 * MS, 2);
    jitter_destroy(j);
}

static void refusals(void **state)
{
    static uint8_t big[JITTER_PAYLOAD_MAX + 1];
    struct jitter *j = make(20, 200);
    struct jitter_stats s;

    (void)state;
    assert_int_equal(put(j, 0, 0), ERR_OK);
    assert_int_equal(put(j, 0, 1 * MS), ERR_DUPLICATE);
    assert_int_equal(put(j, 1, 0), ERR_OK);
    expect(j, START + 60 * MS, 0);
    assert_int_equal(put(j, 0, 70 * MS), ERR_LATE);
    assert_int_equal(jitter_put(j, 9, FIRST_TS + 9 * FRAME, slice_of(big, sizeof big), FRAME, START),
                     ERR_RANGE);
    for (unsigned i = 2; i < JITTER_PACKETS + 1; i++)
        assert_int_equal(put(j, i, 0), ERR_OK);
    assert_int_equal(put(j, JITTER_PACKETS + 1, 0), ERR_FULL);
    jitter_get_stats(j, &s);
    assert_int_equal(s.n_duplicate, 1);
    assert_int_equal(s.n_late, 1);
    assert_int_equal(s.n_full, 1);
    assert_int_equal(s.level, JITTER_PACKETS);
    jitter_destroy(j);
}

static void holes(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_frame f;

    (void)state;
    put(j, 0, 0);
    put(j, 3, 0);
    expect(j, START + 40 * MS, 0);
    jitter_get(j, START + 60 * MS, FRAME, &f);
    assert_int_equal(f.kind, JITTER_LOST);
    assert_int_equal(f.samples, FRAME);
    jitter_get(j, START + 80 * MS, FRAME, &f);
    assert_int_equal(f.kind, JITTER_REPAIR); /* the packet after this hole is here */
    assert_int_equal(number(&f), 3);
    expect(j, START + 100 * MS, 3);
    jitter_get(j, START + 120 * MS, FRAME, &f);
    assert_int_equal(f.kind, JITTER_LOST); /* nothing at all */
    assert_int_equal(put(j, 4, 50 * MS), ERR_LATE);
    jitter_destroy(j);
}

static void copies(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_frame f;
    struct jitter_stats s;
    unsigned one = 1001, two = 1002;

    (void)state;
    put(j, 0, 0);
    put(j, 2, 0);
    assert_int_equal(jitter_put_copy(j, FIRST_TS + FRAME, slice_of(&one, sizeof one), FRAME), ERR_OK);
    assert_int_equal(jitter_put_copy(j, FIRST_TS + 2 * FRAME, slice_of(&two, sizeof two), FRAME),
                     ERR_DUPLICATE);
    expect(j, START + 40 * MS, 0);
    assert_int_equal(jitter_put_copy(j, FIRST_TS, slice_of(&one, sizeof one), FRAME), ERR_LATE);
    jitter_get(j, START + 60 * MS, FRAME, &f);
    assert_int_equal(f.kind, JITTER_PACKET);
    assert_true(f.is_copy);
    assert_int_equal(number(&f), 1001);
    expect(j, START + 80 * MS, 2);
    jitter_put_copy(j, FIRST_TS + 3 * FRAME, slice_of(&one, sizeof one), FRAME);
    assert_int_equal(put(j, 3, 25 * MS), ERR_OK); /* the original takes the copy's place */
    expect(j, START + 100 * MS, 3);
    jitter_get_stats(j, &s);
    assert_int_equal(s.n_lost, 0);
    assert_int_equal(s.level, 0);
    jitter_destroy(j);
}

static void pause_is_no_loss(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_frame f;
    struct jitter_stats s;
    unsigned x = 5;

    (void)state;
    put(j, 0, 0);
    /* DTX: the next number, five frames later. */
    jitter_put(j, 65531, FIRST_TS + 5 * FRAME, slice_of(&x, sizeof x), FRAME, START + 100 * MS);
    expect(j, START + 40 * MS, 0);
    jitter_get(j, START + 60 * MS, FRAME, &f);
    assert_int_equal(f.kind, JITTER_LOST);
    assert_true(f.is_pause);
    jitter_get_stats(j, &s);
    assert_int_equal(s.n_lost, 0);
    jitter_destroy(j);
}

/* Feed n packets late by a sawtooth of `spread`, and play them as the target says. */
static unsigned feed(struct jitter *j, unsigned from, unsigned n, ns_t spread)
{
    for (unsigned i = from; i < from + n; i++) {
        struct jitter_frame f;
        ns_t t = START + i * FRAME_MS * MS;

        put(j, i, i * 7 % 20 * spread / 19);
        while (jitter_error_us(j, t) >= 0)
            jitter_get(j, t, FRAME, &f);
    }
    return from + n;
}

static void target_follows(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_stats s;
    unsigned at;

    (void)state;
    jitter_get_stats(j, &s);
    assert_int_equal(s.target_us, 40000);
    at = feed(j, 0, 100, 0);
    jitter_get_stats(j, &s);
    assert_int_equal(s.target_us, 20000);
    at = feed(j, at, 200, 60 * MS);
    jitter_get_stats(j, &s);
    assert_in_range(s.target_us, 55000, 68000);
    at = feed(j, at, 220, 0); /* and is forgotten after 4 s */
    jitter_get_stats(j, &s);
    assert_int_equal(s.target_us, 20000);
    jitter_set_extra(j, 20000);
    jitter_get_stats(j, &s);
    assert_int_equal(s.target_us, 40000);
    feed(j, at, 200, 900 * MS);
    jitter_get_stats(j, &s);
    assert_int_equal(s.target_us, 200000); /* the person's bound */
    jitter_destroy(j);
}

static void one_straggler(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_stats s;
    unsigned at = feed(j, 0, 200, 0);

    (void)state;
    for (unsigned k = 0; k < 3; k++)
        put(j, at++, 150 * MS);
    at = feed(j, at, 10, 0);
    jitter_get_stats(j, &s);
    assert_int_equal(s.target_us, 20000); /* 3 of 200 lie beyond the percentile */
    jitter_destroy(j);
}

static void error_tells(void **state)
{
    struct jitter *j = make(20, 200);

    (void)state;
    assert_int_equal(jitter_error_us(j, START), 0);
    put(j, 0, 0);
    assert_int_equal(jitter_error_us(j, START + 40 * MS), 0);
    assert_int_equal(jitter_error_us(j, START + 50 * MS), 10000);
    assert_int_equal(jitter_error_us(j, START + 30 * MS), -10000);
    jitter_destroy(j);
}

static void long_stall(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_frame f;
    unsigned at = feed(j, 0, 100, 0);
    struct jitter_stats s;

    (void)state;
    for (unsigned i = 0; i < 20; i++) /* nobody plays for 400 ms */
        put(j, at++, 0);
    jitter_get(j, START + at * FRAME_MS * MS, FRAME, &f);
    assert_int_equal(f.kind, JITTER_PACKET);
    jitter_get_stats(j, &s);
    assert_in_range(s.level, 9, 11); /* at most 200 ms over the target are kept */
    jitter_destroy(j);
}

static void clock_stood_still(void **state)
{
    struct jitter *j = make(20, 200);
    struct jitter_frame f;
    unsigned at = feed(j, 0, 100, 0), i;
    ns_t now = START + at * FRAME_MS * MS;

    (void)state;
    for (i = 0; i < 150; i++, now += FRAME_MS * MS) /* 3 s of nothing; the sender's timestamps stand still */
        jitter_get(j, now, FRAME, &f);
    for (i = 0; i < 20; i++)
        put(j, at + i, 3000 * MS);
    for (i = 0; f.kind != JITTER_PACKET && i < 50; i++, now += 5 * MS)
        jitter_get(j, now, 240, &f);
    assert_int_equal(f.kind, JITTER_PACKET);
    assert_true(number(&f) < at + 10);
    jitter_destroy(j);
}

static void far_jump(void **state)
{
    struct jitter *j = make(20, 200);
    unsigned x = 4711;
    ns_t now = START + 2100 * MS;

    (void)state;
    feed(j, 0, 100, 0);
    assert_int_equal(jitter_put(j, 3, 0x40000077, slice_of(&x, sizeof x), FRAME, now), ERR_OK);
    expect(j, now + 40 * MS, 4711);
    jitter_destroy(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("packets come out in the order of their timestamps, over a wrap, when their time has come",
                 in_order),
        sentence("a repeated, a late, a long packet and one too many are refused and counted", refusals),
        sentence("a hole is named lost, and repairable when the next packet is there", holes),
        sentence("a copy stands in for a missing packet only, and yields to the original", copies),
        sentence("what the sender left out by design is no loss", pause_is_no_loss),
        sentence("the target follows the 97th percentile of relative delay within its bounds",
                 target_follows),
        sentence("three late packets in four seconds move nothing", one_straggler),
        sentence("the error is how late play-out is against the target", error_tells),
        sentence("after a stall of play-out at most 200 ms more than the target are kept", long_stall),
        sentence("a sender whose timestamps stood still is heard again", clock_stood_still),
        sentence("timestamps that jump far start over", far_jump),
    };

    return run_sentences("jitter", tests);
}
