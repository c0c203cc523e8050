/* Half a day of a small relay (`make sim-relay` has three days of a large one). */
#include "unit/test.h"

#include <stdio.h>

#include "crypto/identity.h"
#include "sim/soak.h"

static void half_a_day(void **state)
{
    struct soak_config config = {.hours = 13, .n_calls = 6, .pps = 1, .seed = 5};
    struct soak_result r;
    const char *verdict;

    (void)state;
    assert_int_equal(crypto_init(), ERR_OK);
    soak_run(&config, &r);
    verdict = soak_verdict(&r);
    if (verdict != NULL)
        fail_msg("%s", verdict);
    assert_true(r.n_calls > 1000);
    assert_true(r.stats.lost_rate > 0); /* the tight hour */
    assert_true(r.stats.hairpins > 0 && r.stats.hairpins < r.stats.packets);
    assert_true(r.stats.malformed > 0 && r.stats.unknown_channel > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("hours of calls: each byte is out or counted as lost, and nothing is left", half_a_day),
    };

    return run_sentences("soak", tests);
}
