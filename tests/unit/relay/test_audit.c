#include "unit/test.h"

#include "relay/audit.h"
#include "relay/ledger.h"

static void rhythm(void **state)
{
    struct audit_plan p = {0};
    unsigned n = 0;

    (void)state;
    audit_start(&p, 0);
    for (ns_t now = 0; now < 10 * NS_PER_S; now += NS_PER_S)
        n += audit_due(&p, now);
    assert_int_equal(n, AUDIT_AT_START);
    for (ns_t now = 10 * NS_PER_S; now < 86400 * NS_PER_S; now += 10 * NS_PER_S)
        n += audit_due(&p, now);
    assert_in_range(n, 47 + AUDIT_AT_START - 1, 48 + AUDIT_AT_START);
}

/* Acting as a relay for auditors only: one a day and network at each auditor, l0 at most. */
static void farming(void **state)
{
    struct audit_plan p = {0};
    struct ledger_account farm = {.day = 100};
    unsigned n = 0;

    (void)state;
    for (int32_t day = 100; day < 130; day++) {
        for (int id = 0; id < 50; id++) { /* identities are free, the network is one */
            if (!audit_may(&p, 7, day))
                continue;
            audit_note(&p, 7, day);
            ledger_got(&farm, AUDIT_S, day);
            n++;
        }
    }
    assert_int_equal(n, 30);
    assert_true(LEDGER_BOOST * AUDIT_S <= LEDGER_L0_S);
    /* 30 minutes carried are worth those, kappa of them, and 10 min more. */
    assert_true(ledger_avail(&farm, LEDGER_KAPPA_HI) <= LEDGER_L0_S + (1 + LEDGER_KAPPA_HI) * 30 * AUDIT_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("four audits when coming up, then one in half an hour", rhythm),
        sentence("attack, audit farming: it gives 10 minutes an auditor and what was really carried",
                 farming),
    };
    return run_sentences("audit", tests);
}
