/* Two phones in one process and virtual time: the flows of RFC 3665, and what goes wrong with them. */
#include "unit/sip/phones.h"

static void plain_call(void **state)
{
    struct pair p = pair_create(1);

    (void)state;
    dial(&p);
    world_run_for(p.w, 3 * S);
    assert_string_equal(p.bob->events, "incoming");
    assert_string_equal(p.bob->header, "cccc");
    assert_string_equal(p.bob->sdp, SDP_OFFER);
    assert_string_equal(p.alice->events, "provisional 180");
    assert_string_equal(p.alice->header, "bbbb");
    assert_string_equal(ua_call_remote_uri(p.bob->call), "sip:alice@ito.alt");
    assert_string_equal(ua_call_remote_name(p.bob->call), "alice");
    assert_string_equal(ua_call_id(p.bob->call), ua_call_id(p.alice->call));

    const struct ua_header nonce = {"X-Ito-Nonce", "aaaa"};

    assert_int_equal(ua_set_ack(p.alice->call, slice_of(NULL, 0), &nonce, 1), ERR_OK);
    assert_int_equal(ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_OK);
    world_run_for(p.w, 3 * S);
    assert_string_equal(p.alice->events, "provisional 180, answered");
    assert_string_equal(p.alice->sdp, SDP_ANSWER);
    assert_string_equal(p.bob->events, "incoming, acked");
    assert_string_equal(p.bob->header, "aaaa");

    assert_int_equal(ua_bye(p.bob->call, p.w->now, NULL), ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "provisional 180, answered, bye");
    assert_string_equal(p.w->log, "alice > INVITE, bob > 100 INVITE, bob > 180 INVITE, bob > 200 INVITE, "
                                  "alice > ACK, bob > BYE, alice > 200 BYE");
    assert_int_equal(calls(p.alice), 0);
    assert_int_equal(calls(p.bob), 0);
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice), 0);
    assert_int_equal(transactions(p.bob), 0);
    assert_int_equal(ua_deadline(p.alice->ua), NS_NEVER);
    assert_int_equal(ua_deadline(p.bob->ua), NS_NEVER);
    world_destroy(p.w);
}

static void the_caller_hangs_up(void **state)
{
    struct pair p = pair_in_call(2);

    (void)state;
    assert_int_equal(ua_bye(p.alice->call, p.w->now, "SIP;cause=200"), ERR_OK);
    world_run_for(p.w, 60 * S);
    assert_string_equal(p.bob->events, "bye");
    assert_string_equal(p.bob->header, "SIP;cause=200");
    assert_string_equal(p.alice->events, "");
    assert_string_equal(p.w->log, "alice > BYE, bob > 200 BYE");
    assert_int_equal(ua_deadline(p.alice->ua), NS_NEVER);
    world_destroy(p.w);
}

static void both_hang_up_at_once(void **state)
{
    struct pair p = pair_in_call(3);

    (void)state;
    assert_int_equal(ua_bye(p.alice->call, p.w->now, NULL), ERR_OK);
    assert_int_equal(ua_bye(p.bob->call, p.w->now, NULL), ERR_OK);
    world_run_for(p.w, 60 * S);
    assert_string_equal(p.alice->events, "");
    assert_string_equal(p.bob->events, "");
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static void refuse_with(uint64_t seed, int code, const char *reason, const char *expect)
{
    struct pair p = pair_create(seed);

    dial(&p);
    world_run_for(p.w, 1 * S);
    assert_int_equal(ua_reject(p.bob->call, p.w->now, code, reason), ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_int_equal(p.alice->code, code);
    assert_string_equal(p.alice->reason, expect);
    assert_non_null(strstr(p.w->log, "alice > ACK"));
    assert_int_equal(calls(p.alice) + calls(p.bob), 0);
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static void busy_and_declined(void **state)
{
    (void)state;
    refuse_with(4, 486, NULL, "Busy Here");
    refuse_with(5, 603, NULL, "Decline");
    refuse_with(6, 480, "No answer after 60 s", "No answer after 60 s");
    refuse_with(7, 488, "evil\r\nX: y", "Not Acceptable Here");
}

static void cancel_while_ringing(void **state)
{
    struct pair p = pair_create(8);

    (void)state;
    dial(&p);
    world_run_for(p.w, 1 * S);
    assert_int_equal(ua_cancel(p.alice->call, p.w->now, "SIP;cause=200;text=\"Call completed elsewhere\""),
                     ERR_OK);
    assert_int_equal(ua_cancel(p.alice->call, p.w->now, NULL), ERR_STATE);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.bob->events, "incoming, cancelled");
    assert_string_equal(p.bob->header, "SIP;cause=200;text=\"Call completed elsewhere\"");
    assert_string_equal(p.alice->events, "provisional 180, failed 487");
    assert_string_equal(p.w->log, "alice > INVITE, bob > 100 INVITE, bob > 180 INVITE, alice > CANCEL, "
                                  "bob > 200 CANCEL, bob > 487 INVITE, alice > ACK");
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static void cancel_crosses_answer(void **state)
{
    struct pair p = pair_create(9);

    (void)state;
    dial(&p);
    world_run_for(p.w, 1 * S);
    assert_int_equal(ua_cancel(p.alice->call, p.w->now, NULL), ERR_OK);
    assert_int_equal(ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "provisional 180, failed 487");
    assert_string_equal(p.bob->events, "incoming, acked, bye");
    assert_non_null(strstr(p.w->log, "bob > 481 CANCEL"));
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static bool lose_responses(struct world *w, struct phone *from, const char *text)
{
    (void)w, (void)from;
    return strncmp(text, "SIP/2.0", 7) == 0;
}

static bool lose_all(struct world *w, struct phone *from, const char *text)
{
    (void)w, (void)from, (void)text;
    return true;
}

static void cancel_before_any_answer(void **state)
{
    struct pair p = pair_create(10);
    unsigned n_sent;

    (void)state;
    p.w->is_lost = lose_responses;
    dial(&p);
    world_run_for(p.w, 600 * MS);
    assert_string_equal(p.bob->events, "incoming");
    assert_int_equal(ua_cancel(p.alice->call, p.w->now, NULL), ERR_OK);
    assert_string_equal(p.alice->events, ""); /* never from within */
    n_sent = p.w->n_sent;
    world_run_for(p.w, 1 * MS);
    assert_string_equal(p.alice->events, "failed 487");
    world_run_for(p.w, 5 * S);
    assert_int_equal(p.w->n_sent, n_sent); /* the INVITE is not sent again */
    /* Now the line works, and the callee's late 180 comes: it is cancelled there too. */
    p.w->is_lost = NULL;
    assert_int_equal(ua_ring(p.bob->call, p.w->now, NULL, 0), ERR_OK);
    world_run_for(p.w, 2 * S);
    assert_string_equal(p.bob->events, "incoming, cancelled");
    assert_string_equal(p.alice->events, "failed 487");
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static void cancel_then_late_200(void **state)
{
    struct pair p = pair_create(11);

    (void)state;
    p.w->is_lost = lose_responses;
    dial(&p);
    world_run_for(p.w, 600 * MS);
    assert_int_equal(ua_cancel(p.alice->call, p.w->now, NULL), ERR_OK);
    world_run_for(p.w, 1 * S);
    p.w->is_lost = NULL;
    assert_int_equal(ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_OK);
    world_run_for(p.w, 2 * S);
    assert_string_equal(p.bob->events, "incoming, acked, bye");
    assert_string_equal(p.alice->events, "failed 487");
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static void nobody_there(void **state)
{
    struct pair p = pair_create(12);

    (void)state;
    p.w->is_lost = lose_all;
    dial(&p);
    world_run_for(p.w, 31900 * MS);
    assert_string_equal(p.alice->events, "");
    world_run_for(p.w, 200 * MS);
    assert_string_equal(p.alice->events, "failed 408"); /* timer B, 64 * T1 = 32 s */
    /* 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s */
    assert_int_equal(p.w->n_sent, 7);
    assert_int_equal(ua_deadline(p.alice->ua), NS_NEVER);
    world_destroy(p.w);
}

static void ringing_forever(void **state)
{
    struct pair p = pair_create(13);

    (void)state;
    dial(&p);
    world_run_for(p.w, 179 * S);
    assert_string_equal(p.alice->events, "provisional 180");
    world_run_for(p.w, 3 * S);
    assert_string_equal(p.alice->events, "provisional 180, failed 408");
    assert_int_equal(calls(p.bob), 0);
    world_run_for(p.w, 60 * S);
    assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
    world_destroy(p.w);
}

static bool lose_acks(struct world *w, struct phone *from, const char *text)
{
    (void)w, (void)from;
    return strncmp(text, "ACK", 3) == 0;
}

static void ack_never_comes(void **state)
{
    struct pair p = pair_create(14);

    (void)state;
    p.w->is_lost = lose_acks;
    p.bob->answers = true;
    dial(&p);
    world_run_for(p.w, 31 * S);
    assert_string_equal(p.bob->events, "incoming");
    world_run_for(p.w, 2 * S);
    assert_string_equal(p.bob->events, "incoming, failed 408");
    assert_string_equal(p.alice->events, "provisional 180, answered, bye");
    /* Each repeated 200 was acknowledged once more. */
    unsigned n_ok = 0, n_ack = 0;

    for (const char *s = p.w->log; (s = strstr(s, "200 INVITE")) != NULL; s++)
        n_ok++;
    for (const char *s = p.w->log; (s = strstr(s, "> ACK")) != NULL; s++)
        n_ack++;
    assert_int_equal(n_ok, 11); /* 0 .5 1.5 3.5 7.5 11.5 ... 31.5: T1 doubling up to T2 */
    assert_int_equal(n_ack, n_ok);
    world_destroy(p.w);
}

static bool lose_first_ack(struct world *w, struct phone *from, const char *text)
{
    (void)from;
    if (strncmp(text, "ACK", 3) != 0)
        return false;
    w->is_lost = NULL;
    return true;
}

static void a_lost_ack_is_repaired(void **state)
{
    struct pair p = pair_create(15);

    (void)state;
    p.w->is_lost = lose_first_ack;
    p.bob->answers = true;
    dial(&p);
    world_run_for(p.w, 5 * S);
    assert_string_equal(p.alice->events, "provisional 180, answered");
    assert_string_equal(p.bob->events, "incoming, acked");
    assert_string_equal(p.w->log, "alice > INVITE, bob > 100 INVITE, bob > 180 INVITE, bob > 200 INVITE, "
                                  "alice > ACK, bob > 200 INVITE, alice > ACK");
    world_destroy(p.w);
}

static void bye_of_the_callee_waits_for_ack(void **state)
{
    struct pair p = pair_create(16);

    (void)state;
    p.w->is_lost = lose_first_ack;
    p.bob->answers = true;
    dial(&p);
    world_run_for(p.w, 30 * MS);
    assert_int_equal(ua_bye(p.bob->call, p.w->now, NULL), ERR_OK);
    world_run_for(p.w, 5 * S);
    assert_string_equal(p.alice->events, "provisional 180, answered, bye");
    assert_string_equal(p.w->log, "alice > INVITE, bob > 100 INVITE, bob > 180 INVITE, bob > 200 INVITE, "
                                  "alice > ACK, bob > 200 INVITE, alice > ACK, bob > BYE, alice > 200 BYE");
    world_run_for(p.w, 60 * S);
    assert_int_equal(ua_deadline(p.bob->ua), NS_NEVER);
    world_destroy(p.w);
}

static void late_offer(void **state)
{
    struct pair p = pair_create(17);

    (void)state;
    p.alice->call =
        ua_invite(p.alice->ua, p.w->now, &p.alice->line, "sip:bob@ito.alt", slice_of(NULL, 0), NULL, 0);
    assert_int_equal(ua_set_ack(p.alice->call, slice_str(SDP_ANSWER), NULL, 0), ERR_OK);
    p.bob->answers = true;
    p.bob->answer_sdp = SDP_OFFER;
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->sdp, SDP_OFFER);
    assert_string_equal(p.bob->events, "incoming, acked");
    assert_string_equal(p.bob->sdp, SDP_ANSWER);
    world_destroy(p.w);
}

static void hold_by_reinvite(void **state)
{
    struct pair p = pair_in_call(18);

    (void)state;
    assert_int_equal(ua_reinvite(p.alice->call, p.w->now, slice_str(SDP_OFFER "a=sendonly\r\n")), ERR_OK);
    assert_int_equal(ua_reinvite(p.alice->call, p.w->now, slice_str(SDP_OFFER)), ERR_AGAIN);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.bob->events, "reinvite");
    assert_string_equal(p.bob->sdp, SDP_OFFER "a=sendonly\r\n");
    assert_string_equal(p.alice->events, "reinvited 200");
    assert_string_equal(p.w->log, "alice > INVITE, bob > 100 INVITE, bob > 200 INVITE, alice > ACK");
    /* And back, by the other side. */
    assert_int_equal(ua_reinvite(p.bob->call, p.w->now, slice_str(SDP_OFFER)), ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "reinvited 200, reinvite");
    assert_string_equal(p.bob->events, "reinvite, reinvited 200");
    world_destroy(p.w);
}

static void glare(void **state)
{
    struct pair p = pair_in_call(19);

    (void)state;
    assert_int_equal(ua_reinvite(p.alice->call, p.w->now, slice_str(SDP_OFFER)), ERR_OK);
    assert_int_equal(ua_reinvite(p.bob->call, p.w->now, slice_str(SDP_OFFER)), ERR_OK);
    world_run_for(p.w, 1 * MS + 100 * MS);
    assert_non_null(strstr(p.w->log, "bob > 491 INVITE"));
    assert_non_null(strstr(p.w->log, "alice > 491 INVITE"));
    world_run_for(p.w, 6 * S);
    assert_non_null(strstr(p.alice->events, "reinvited 200"));
    assert_non_null(strstr(p.bob->events, "reinvited 200"));
    assert_null(strstr(p.bob->events, "491"));
    world_destroy(p.w);
}

static void reinvite_refused_or_forgotten(void **state)
{
    struct pair p = pair_in_call(20);

    (void)state;
    p.bob->holds_answer = true;
    assert_int_equal(ua_reinvite(p.alice->call, p.w->now, slice_str(SDP_OFFER)), ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_int_equal(ua_reinvite_reject(p.bob->call, p.w->now, 488), ERR_OK);
    assert_int_equal(ua_reinvite_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER)), ERR_STATE);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "reinvited 488");
    assert_int_equal(ua_reinvite(p.alice->call, p.w->now, slice_str(SDP_OFFER)), ERR_OK);
    world_run_for(p.w, 19 * S);
    assert_string_equal(p.alice->events, "reinvited 488");
    world_run_for(p.w, 2 * S);
    assert_string_equal(p.alice->events, "reinvited 488, reinvited 500");
    assert_int_equal(calls(p.alice), 1);
    world_destroy(p.w);
}

static void trickle_by_info(void **state)
{
    struct pair p = pair_create(21);

    (void)state;
    dial(&p);
    assert_int_equal(ua_info(p.alice->call, p.w->now, "application/trickle-ice-sdpfrag", slice_str("a=x")),
                     ERR_STATE);
    world_run_for(p.w, 1 * S);
    /* In the early dialog, both ways. */
    assert_int_equal(
        ua_info(p.alice->call, p.w->now, "application/trickle-ice-sdpfrag", slice_str("a=mid:0\r\n")),
        ERR_OK);
    assert_int_equal(ua_info(p.bob->call, p.w->now, "application/dtmf-relay", slice_str("Signal=1\r\n")),
                     ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.bob->info, "application/trickle-ice-sdpfrag|a=mid:0\r\n");
    assert_string_equal(p.bob->header, "trickle-ice");
    assert_string_equal(p.alice->info, "application/dtmf-relay|Signal=1\r\n");
    assert_string_equal(p.alice->events, "provisional 180, info, info_done 200");
    p.bob->info_code = 415;
    assert_int_equal(ua_info(p.alice->call, p.w->now, "text/plain", slice_str("hello")), ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "provisional 180, info, info_done 200, info_done 415");
    world_destroy(p.w);
}

static void info_into_silence(void **state)
{
    struct pair p = pair_in_call(22);

    (void)state;
    p.w->is_lost = lose_all;
    assert_int_equal(ua_info(p.alice->call, p.w->now, "text/plain", slice_str("?")), ERR_OK);
    world_run_for(p.w, 33 * S);
    assert_string_equal(p.alice->events, "info_done 408"); /* the call itself is judged by its media */
    assert_int_equal(calls(p.alice), 1);
    world_destroy(p.w);
}

static void the_flow_moves(void **state)
{
    struct pair p = pair_in_call(23);
    struct line a2 = {.owner = p.alice}, b2 = {.owner = p.bob};

    (void)state;
    join(&a2, &b2);
    /* An INFO is under way when the old path dies: its copies go by the new one. */
    p.alice->line.far = NULL;
    assert_int_equal(ua_info(p.alice->call, p.w->now, "text/plain", slice_str("x")), ERR_OK);
    ua_flow_gone(p.alice->ua, &p.alice->line);
    ua_flow_gone(p.bob->ua, &p.bob->line);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.bob->events, "");
    ua_call_set_flow(p.alice->call, &a2);
    ua_call_set_flow(p.bob->call, &b2);
    world_run_for(p.w, 5 * S);
    assert_string_equal(p.alice->events, "info_done 200");
    assert_ptr_equal(ua_call_flow(p.bob->call), &b2);
    assert_int_equal(ua_bye(p.bob->call, p.w->now, NULL), ERR_OK);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "info_done 200, bye");
    world_destroy(p.w);
}

static void a_stranger_cannot_hang_up(void **state)
{
    struct pair p = pair_in_call(24);
    struct phone *eve = phone_create(p.w, "eve");
    struct line to_bob = {.owner = eve}, from_eve = {.owner = p.bob};
    char bye[9000];

    (void)state;
    join(&to_bob, &from_eve);
    /* Eve sends alice's own BYE, byte for byte, by a flow of hers. */
    p.alice->line.far = NULL;
    assert_int_equal(ua_bye(p.alice->call, p.w->now, NULL), ERR_OK);
    memcpy(bye, p.w->last, sizeof bye);
    world_put(p.w, &from_eve, slice_str(bye));
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.bob->events, "");
    assert_non_null(strstr(p.w->log, "bob > 481 BYE"));
    assert_int_equal(calls(p.bob), 1);
    world_destroy(p.w);
}

static void sixteen_calls(void **state)
{
    struct pair p = pair_create(25);
    struct ua_call *c[UA_CALLS];

    (void)state;
    p.bob->rings = false;
    for (size_t i = 0; i < UA_CALLS; i++)
        c[i] = dial(&p);
    assert_null(
        ua_invite(p.alice->ua, p.w->now, &p.alice->line, "sip:bob@ito.alt", slice_of(NULL, 0), NULL, 0));
    world_run_for(p.w, 1 * S);
    assert_int_equal(calls(p.bob), UA_CALLS);
    ua_drop(c[0]);
    dial(&p);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "failed 486"); /* bob still has his sixteen */
    world_destroy(p.w);
}

static void destroy_on_event(struct phone *p, const char *what)
{
    (void)what;
    if (p->ua == NULL)
        return;
    ua_destroy(p->ua);
    p->ua = NULL;
    p->call = NULL;
}

static void destroy_in_every_callback(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++)
        for (int step = 0; step < 5; step++) {
            struct pair p = pair_create(100 + (uint64_t)step);
            struct phone *victim = who == 0 ? p.alice : p.bob;

            p.bob->answers = step != 0;
            if (step == 0 || step == 1)
                victim->on_event = destroy_on_event;
            dial(&p);
            world_run_for(p.w, 1 * S);
            if (p.alice->ua != NULL && p.bob->ua != NULL) {
                victim->on_event = destroy_on_event;
                if (step == 2)
                    (void)ua_bye(who == 0 ? p.bob->call : p.alice->call, p.w->now, NULL);
                else if (step == 3)
                    (void)ua_info(who == 0 ? p.bob->call : p.alice->call, p.w->now, "text/plain",
                                  slice_str("x"));
                else
                    (void)ua_reinvite(who == 0 ? p.bob->call : p.alice->call, p.w->now, slice_str(SDP_OFFER));
            }
            if (step == 3 || step == 4)
                victim->holds_answer = true;
            victim->rings = victim->answers = false;
            world_run_for(p.w, 300 * S);
            world_destroy(p.w);
        }
}

static void drop_in_every_callback_event(struct phone *p, const char *what)
{
    (void)what;
    if (p->call == NULL)
        return;
    ua_drop(p->call);
    p->call = NULL;
}

static void drop_in_callbacks(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        struct pair p = pair_create(200 + (uint64_t)who);

        (who == 0 ? p.alice : p.bob)->on_event = drop_in_every_callback_event;
        p.bob->answers = who == 0;
        dial(&p);
        world_run_for(p.w, 300 * S);
        assert_int_equal(calls(p.alice) + calls(p.bob), 0);
        assert_int_equal(transactions(p.alice) + transactions(p.bob), 0);
        world_destroy(p.w);
    }
}

static void wrong_states(void **state)
{
    struct pair p = pair_create(26);
    const struct ua_header bad = {"X-Bad", "a\r\nEvil: yes"}, bad_name = {"X Bad", "a"};

    (void)state;
    assert_null(
        ua_invite(p.alice->ua, p.w->now, &p.alice->line, "sip:bob@ito.alt", slice_of(NULL, 0), &bad, 1));
    assert_null(
        ua_invite(p.alice->ua, p.w->now, &p.alice->line, "sip:bob@ito.alt", slice_of(NULL, 0), &bad_name, 1));
    assert_null(ua_invite(p.alice->ua, p.w->now, &p.alice->line, "tel:+1", slice_of(NULL, 0), NULL, 0));
    assert_null(
        ua_invite(p.alice->ua, p.w->now, &p.alice->line, "sip:a@b>\r\nX: y", slice_of(NULL, 0), NULL, 0));
    assert_null(ua_invite(p.alice->ua, p.w->now, NULL, "sip:bob@ito.alt", slice_of(NULL, 0), NULL, 0));
    dial(&p);
    assert_int_equal(ua_bye(p.alice->call, p.w->now, NULL), ERR_STATE);
    assert_int_equal(ua_answer(p.alice->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_STATE);
    assert_int_equal(ua_reinvite(p.alice->call, p.w->now, slice_str(SDP_OFFER)), ERR_STATE);
    world_run_for(p.w, 1 * S);
    assert_int_equal(ua_cancel(p.bob->call, p.w->now, NULL), ERR_STATE);
    assert_int_equal(ua_reject(p.bob->call, p.w->now, 200, NULL), ERR_RANGE);
    assert_int_equal(ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), &bad, 1), ERR_RANGE);
    assert_int_equal(ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_OK);
    assert_int_equal(ua_answer(p.bob->call, p.w->now, slice_str(SDP_ANSWER), NULL, 0), ERR_STATE);
    assert_int_equal(ua_ring(p.bob->call, p.w->now, NULL, 0), ERR_STATE);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "provisional 180, answered");
    world_destroy(p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("INVITE, 180, 200, ACK, BYE: a plain call, with its headers (RFC 3665 3.1)", plain_call),
        sentence("the caller hangs up, with a reason", the_caller_hangs_up),
        sentence("both hang up at once and both are done", both_hang_up_at_once),
        sentence("486, 603, 480, 488 end the call with their words (RFC 3665 3.9)", busy_and_declined),
        sentence("a ringing call is cancelled, with its Reason (RFC 3665 3.8)", cancel_while_ringing),
        sentence("a CANCEL that crosses the 200 ends in ACK and BYE", cancel_crosses_answer),
        sentence("cancelled before any response: told at once, undone when the callee shows",
                 cancel_before_any_answer),
        sentence("cancelled before any response, then a 200: ACK and BYE", cancel_then_late_200),
        sentence("no response at all: failed 408 after 32 s and 7 copies", nobody_there),
        sentence("ringing for 180 s is enough", ringing_forever),
        sentence("a 2xx without ACK is repeated for 32 s, then hung up", ack_never_comes),
        sentence("a lost ACK is repaired by the next 200", a_lost_ack_is_repaired),
        sentence("the callee's BYE waits for the ACK (RFC 3261 15)", bye_of_the_callee_waits_for_ack),
        sentence("an INVITE without offer is answered in the ACK", late_offer),
        sentence("hold and back by re-INVITE (RFC 3264 8.4)", hold_by_reinvite),
        sentence("two offers at once: 491 both ways, then both are taken in turn", glare),
        sentence("a refused re-INVITE changes nothing; a forgotten one gets 500",
                 reinvite_refused_or_forgotten),
        sentence("INFO carries candidates in the early dialog, both ways (RFC 8840)", trickle_by_info),
        sentence("an INFO into silence is told and does not end the call", info_into_silence),
        sentence("a call moves to another flow, with what is under way", the_flow_moves),
        sentence("a copied BYE by another flow hangs up nothing", a_stranger_cannot_hang_up),
        sentence("sixteen calls at once, the next is busy", sixteen_calls),
        sentence("the user agent may be destroyed in any callback", destroy_in_every_callback),
        sentence("a call may be dropped in any callback", drop_in_callbacks),
        sentence("what cannot be done is refused and changes nothing", wrong_states),
    };

    return run_sentences("sip/ua", tests);
}
