#include "unit/test.h"

#include <stdio.h>

#include "relay/select.h"

static struct select_candidate relay(uint8_t n, double rtt)
{
    struct select_candidate c = {
        .id = {n}, .rtt_us_ms = rtt / 2, .rtt_peer_ms = rtt / 2, .quality = 0.9, .score = 80};
    char text[32];

    snprintf(text, sizeof text, "198.51.%d.1:41641", n);
    assert_int_equal(addr_parse(text, &c.addr), ERR_OK);
    c.pay = SELECT_REST;
    return c;
}

static void nearer_is_better(void **state)
{
    struct select_candidate c[3] = {relay(1, 600), relay(2, 30), relay(3, 300)};
    struct select_policy p = {.min_score = 50};
    uint8_t order[SELECT_MAX];

    (void)state;
    assert_int_equal(select_rank(c, 3, &p, order), 3);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 0);
}

static void payable_first(void **state)
{
    struct select_candidate c[2] = {relay(1, 30), relay(2, 200)};
    struct select_policy p = {.min_score = 50};
    uint8_t order[SELECT_MAX];

    (void)state;
    c[1].pay = SELECT_DIRECT;
    select_rank(c, 2, &p, order);
    assert_int_equal(order[0], 1);
}

static void bad_ones_last(void **state)
{
    struct select_candidate c[2] = {relay(1, 30), relay(2, 200)};
    struct select_policy p = {.min_score = 50};
    uint8_t order[SELECT_MAX];

    (void)state;
    c[0].pay = SELECT_DIRECT;
    c[0].quality = 0.5;
    assert_int_equal(select_rank(c, 2, &p, order), 2);
    assert_int_equal(order[0], 1);
    c[1].quality = 0.4; /* all are bad: then pay counts again */
    select_rank(c, 2, &p, order);
    assert_int_equal(order[0], 0);
}

/* It advertises, owes us, and says no: after two refusals in a row it is asked last. */
static void pretends(void **state)
{
    struct select_candidate c[2] = {relay(1, 30), relay(2, 200)};
    struct select_policy p = {.min_score = 50};
    uint8_t order[SELECT_MAX];

    (void)state;
    c[0].pay = SELECT_DIRECT;
    for (c[0].failures = 0; c[0].failures < 4; c[0].failures++) {
        select_rank(c, 2, &p, order);
        assert_int_equal(order[0], c[0].failures >= 2);
    }
}

static void excluded(void **state)
{
    struct select_candidate c[4] = {relay(1, 30), relay(2, 30), relay(3, 30), relay(4, 30)};
    const uint8_t never[1][32] = {{2}};
    struct select_policy p = {.min_score = 50, .never = never, .n_never = 1, .not_this = c[3].id};
    uint8_t order[SELECT_MAX];

    (void)state;
    c[0].score = 49;
    c[2].score = -1; /* new: it gets its chance */
    assert_int_equal(select_rank(c, 4, &p, order), 1);
    assert_int_equal(order[0], 2);
}

static void apart(void **state)
{
    struct select_candidate c[3] = {relay(1, 20), relay(2, 20), relay(3, 400)};
    struct select_policy p = {.min_score = 50};
    uint8_t order[SELECT_MAX];

    (void)state;
    c[1].addr = c[0].addr; /* one operator */
    select_rank(c, 3, &p, order);
    assert_int_equal(order[1], 2);
    p.apart = &c[0].addr;
    select_rank(c, 3, &p, order);
    assert_int_equal(order[0], 2);
}

static void no_herd(void **state)
{
    struct select_candidate c[8];
    struct select_policy p = {.min_score = 50};
    uint8_t order[SELECT_MAX];
    unsigned first[8] = {0};

    (void)state;
    for (uint8_t i = 0; i < 8; i++)
        c[i] = relay(i, 50);
    for (p.noise_seed = 0; p.noise_seed < 800; p.noise_seed++) {
        select_rank(c, 8, &p, order);
        first[order[0]]++;
    }
    for (int i = 0; i < 8; i++)
        assert_in_range(first[i], 50, 200);
}

static void quality_words(void **state)
{
    (void)state;
    assert_true(select_r_factor(40, 0, 2) > 88);
    assert_true(select_r_factor(800, 0, 20) < 60);
    assert_true(select_r_factor(40, 0.1, 2) < 70);
    assert_true(select_r_factor(1e6, 1, 1000) >= 0);
}

static void capped(void **state)
{
    struct select_candidate c[SELECT_MAX + 8];
    struct select_policy p = {.min_score = 0};
    uint8_t order[SELECT_MAX];

    (void)state;
    for (uint8_t i = 0; i < SELECT_MAX + 8; i++)
        c[i] = relay(i, 50);
    assert_int_equal(select_rank(c, SELECT_MAX + 8, &p, order), SELECT_MAX);
    assert_int_equal(select_rank(c, 0, &p, order), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the relay with the shorter way is asked first", nearer_is_better),
        sentence("a relay that owes us is asked before a nearer one", payable_first),
        sentence("attack, dropping relay: one that was bad is asked last, whatever it owes us",
                 bad_ones_last),
        sentence("attack, pretend relay: dropped after two refusals, whatever it owes us", pretends),
        sentence("relays below the score, on the never-list or of the other side are out", excluded),
        sentence("the first choices are of different networks", apart),
        sentence("equals are chosen equally often", no_herd),
        sentence("the E-model falls with delay and loss", quality_words),
        sentence("at most 32 are looked at", capped),
    };
    return run_sentences("select", tests);
}
