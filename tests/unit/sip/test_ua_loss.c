/* Calls over a bad network: whatever is lost, doubled or late, both ends come to the same end and forget it. */
#include "unit/sip/phones.h"

#include "sip/ua_call.h"

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void bad_network(struct world *w, unsigned loss, unsigned twice)
{
    w->loss_pct = loss;
    w->twice_pct = twice;
    w->jitter_ns = 300 * MS; /* overtakes itself */
}

/* One call, answered by the callee and hung up by the caller. */
static void one_call(uint64_t seed, unsigned loss, unsigned twice)
{
    struct pair p = pair_create(seed);

    bad_network(p.w, loss, twice);
    p.bob->answers = true;
    dial(&p);
    world_run_for(p.w, 40 * S);
    if (p.alice->call != NULL && strstr(p.alice->events, "answered") != NULL)
        assert_int_equal(ua_bye(p.alice->call, p.w->now, NULL), ERR_OK);
    world_run_for(p.w, 200 * S);
    /* Each fact is told once, however many copies came. */
    assert_true(count(p.bob->events, "incoming") <= 1);
    assert_true(count(p.alice->events, "answered") <= 1);
    assert_true(count(p.bob->events, "acked") <= 1);
    assert_true(count(p.bob->events, "bye") + count(p.bob->events, "failed") <= 1);
    if (loss <= 30) {
        assert_int_equal(count(p.alice->events, "answered"), 1);
        assert_int_equal(count(p.bob->events, "acked"), 1);
        assert_int_equal(count(p.bob->events, "bye"), 1);
        assert_int_equal(calls(p.bob), 0);
    }
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    assert_int_equal(calls(p.alice), 0);
    world_destroy(p.w);
}

static void answered_calls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        one_call(seed, 0, 100);
        one_call(seed, 20, 30);
        one_call(seed, 60, 50);
    }
}

static void cancelled_calls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        struct pair p = pair_create(seed);

        bad_network(p.w, 25, 30);
        dial(&p);
        world_run_for(p.w, seed * 40 * MS);
        (void)ua_cancel(p.alice->call, p.w->now, NULL);
        world_run_for(p.w, seed * 7 * MS);
        if (p.bob->call != NULL && seed % 2 == 0)
            (void)ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0);
        world_run_for(p.w, 300 * S);
        assert_int_equal(count(p.alice->events, "failed 487"), 1);
        assert_int_equal(count(p.alice->events, "failed"), 1);
        assert_int_equal(count(p.alice->events, "answered"), 0);
        assert_true(count(p.bob->events, "incoming") <= 1);
        assert_int_equal(calls(p.alice) + calls(p.bob), 0);
        assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
        world_destroy(p.w);
    }
}

static void refused_calls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct pair p = pair_create(seed);

        bad_network(p.w, 25, 30);
        dial(&p);
        world_run_for(p.w, 20 * S);
        if (p.bob->call != NULL)
            assert_int_equal(ua_reject(p.bob->call, p.w->now, 486, NULL), ERR_OK);
        world_run_for(p.w, 100 * S);
        assert_string_equal(strstr(p.alice->events, "failed"), "failed 486");
        assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
        world_destroy(p.w);
    }
}

static void glare_on_a_bad_network(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct pair p = pair_in_call(seed);

        bad_network(p.w, 20, 30);
        assert_int_equal(ua_reinvite(p.alice->call, p.w->now, slice_str(SDP_OFFER)), ERR_OK);
        world_run_for(p.w, seed * 5 * MS);
        (void)ua_reinvite(p.bob->call, p.w->now, slice_str(SDP_OFFER));
        world_run_for(p.w, 120 * S);
        assert_int_equal(count(p.alice->events, "reinvited"), 1);
        assert_int_equal(calls(p.alice), 1);
        assert_int_equal(calls(p.bob), 1);
        assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
        world_destroy(p.w);
    }
}

/* A fork: two phones behind one line answer the same INVITE. */
static void the_second_answer_of_a_fork(void **state)
{
    struct pair p = pair_create(7);
    struct phone *bob2 = phone_create(p.w, "bob");
    struct line far2 = {.owner = bob2, .far = &p.alice->line};

    (void)state;
    dial(&p);
    world_put(p.w, &far2, slice_str(p.w->last));
    world_run_for(p.w, 1 * S);
    assert_string_equal(bob2->events, "incoming");
    assert_int_equal(ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_OK);
    world_run_for(p.w, 1 * S);
    p.w->log[0] = '\0';
    assert_int_equal(ua_answer(bob2->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_OK);
    world_run_for(p.w, 100 * MS);
    /* alice's ACK and BYE go back by the one line: what matters is that she sends them, and keeps her call. */
    assert_non_null(strstr(p.w->log, "bob > 200 INVITE, alice > ACK, alice > BYE"));
    assert_int_equal(calls(p.alice), 1);
    assert_string_equal(p.bob->events, "incoming, acked");
    world_destroy(p.w);
}

static void many_rejected_calls_leave_nothing(void **state)
{
    struct pair p = pair_create(8);

    (void)state;
    for (int i = 0; i < 200; i++) {
        dial(&p);
        world_run_for(p.w, 50 * MS);
        if (p.bob->call != NULL)
            assert_int_equal(ua_reject(p.bob->call, p.w->now, 603, NULL), ERR_OK);
        p.bob->call = NULL;
        world_run_for(p.w, 2 * S);
    }
    assert_int_equal(count(p.alice->events, "failed 603") > 50, 1); /* as many as the event log holds */
    assert_int_equal(calls(p.alice), 0);
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static void short_calls_without_end(void **state)
{
    struct pair p = pair_create(9);

    (void)state;
    p.bob->answers = true;
    for (int i = 0; i < 100; i++) {
        dial(&p);
        world_run_for(p.w, 100 * MS);
        assert_non_null(p.alice->call);
        assert_int_equal(ua_bye(p.alice->call, p.w->now, NULL), ERR_OK);
        world_run_for(p.w, 5 * S);
    }
    /* What lingers for repeats is capped. */
    assert_true(ua_count_calls(p.alice->ua, true) <= UA_LINGERING);
    assert_int_equal(calls(p.bob), 0);
    world_run_for(p.w, 60 * S);
    assert_int_equal(ua_count_calls(p.alice->ua, true), 0);
    world_destroy(p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("180 answered calls with 0 to 60 % loss and copies: every fact once, nothing left",
                 answered_calls),
        sentence("80 cancelled calls with 25 % loss: always 487, never a call", cancelled_calls),
        sentence("60 refused calls with 25 % loss: always 486", refused_calls),
        sentence("60 glares with 20 % loss: both calls stay up", glare_on_a_bad_network),
        sentence("the second 200 of a fork gets ACK and BYE", the_second_answer_of_a_fork),
        sentence("200 declined calls leave nothing", many_rejected_calls_leave_nothing),
        sentence("100 short calls linger within their cap", short_calls_without_end),
    };

    return run_sentences("sip/ua_loss", tests);
}
