#include "sip/ua_call.h"

#include "base/mem.h"

static void clear_timers(struct ua_call *call)
{
    for (int i = 0; i < CALL_TIMERS; i++)
        call->timers[i] = NS_NEVER;
}

struct ua_call *call_create(struct ua *ua, void *flow, enum call_state state)
{
    struct ua_call *call = mem_alloc(sizeof *call);

    call->ua = ua;
    call->flow = flow;
    call->state = state;
    clear_timers(call);
    list_append(&ua->calls, &call->link);
    return call;
}

void call_set_state(struct ua_call *call, enum call_state state)
{
    call->state = state;
}

static void free_ack_extra(struct ua_call *call)
{
    for (size_t i = 0; i < call->n_ack_extra; i++) {
        mem_free((char *)call->ack_extra[i].name);
        mem_free((char *)call->ack_extra[i].value);
    }
    call->n_ack_extra = 0;
    mem_free(call->ack_sdp);
    call->ack_sdp = NULL;
}

static void call_fini(void *arg)
{
    struct ua_call *call = arg;

    dialog_fini(&call->dialog);
    osip_message_free(call->ok);
    osip_message_free(call->ack);
    free_ack_extra(call);
    mem_free(call->cancel_reason);
    mem_free(call->offer);
    mem_free(call->remote_uri);
    mem_free(call->remote_name);
    mem_free(call);
}

void call_free(struct ua_call *call)
{
    struct ua *ua = call->ua;

    call->is_gone = true;
    call_set_state(call, CALL_OVER);
    clear_timers(call);
    list_remove(&call->link);
    /* Their INVITE without a final answer, or ours: it would never end by itself. */
    if (call->invite != NULL && !txn_has_final(call->invite))
        layer_abandon(call->invite);
    call->invite = NULL;
    layer_forget(ua->layer, call);
    env_defer(ua->env, call_fini, call);
}

size_t ua_count_calls(const struct ua *ua, bool is_gone)
{
    size_t n = 0;

    list_each(node, &ua->calls) n += list_item(node, struct ua_call, link)->is_gone == is_gone;
    return n;
}

void call_over(struct ua_call *call, ns_t now)
{
    struct ua *ua = call->ua;
    bool is_waiting = call->invite != NULL || call->ok != NULL;
    ns_t ok_again = call->timers[TIMER_OK_AGAIN], ok_end = call->timers[TIMER_OK_END];

    call->is_gone = true;
    call_set_state(call, CALL_OVER);
    clear_timers(call);
    if (!is_waiting && call->ack == NULL) {
        call_free(call);
        return;
    }
    if (call->ok != NULL) {
        call->timers[TIMER_OK_AGAIN] = ok_again;
        call->timers[TIMER_OK_END] = ok_end;
    }
    call->timers[TIMER_FREE] = now + UA_CONFIRM_MAX_NS + LAYER_T2_NS;
    if (ua_count_calls(ua, true) <= UA_LINGERING)
        return;
    list_each(node, &ua->calls)
    {
        struct ua_call *oldest = list_item(node, struct ua_call, link);

        if (!oldest->is_gone)
            continue;
        call_free(oldest);
        return;
    }
}

void call_fail(struct ua_call *call, ns_t now, int code, const char *reason, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct ua_msg m = {.sip = msg};
    bool is_told = call->is_gone;

    call->is_gone = true;
    call_set_state(call, CALL_OVER);
    call->timers[TIMER_TELL] = NS_NEVER;
    if (!is_told && ua->ops.failed != NULL)
        ua->ops.failed(ua->arg, call, code, reason != NULL ? reason : sip_reason(code),
                       msg != NULL ? &m : NULL);
    if (!ua->is_dead)
        call_over(call, now);
}

ns_t call_deadline(const struct ua_call *call)
{
    ns_t due = NS_NEVER;

    for (int i = 0; i < CALL_TIMERS; i++)
        due = ns_min(due, call->timers[i]);
    return due;
}

/* Waited long enough: for an answer, for a 487, for the owner. */
static void give_up(struct ua_call *call, ns_t now)
{
    struct ua *ua = call->ua;

    ua->n_timeouts++;
    switch (call->state) {
    case CALL_OUT:
        call_cancel(call, now, 408);
        break;
    case CALL_CANCELLED:
        if (call->invite != NULL)
            layer_abandon(call->invite);
        call->invite = NULL;
        call_fail(call, now, call->end_code, NULL, NULL);
        break;
    case CALL_IN:
        ua_respond_code(ua, now, call->invite, 480, call->dialog.local_tag);
        call->invite = NULL;
        call_fail(call, now, 480, NULL, NULL);
        break;
    case CALL_UP:
        if (call->invite != NULL && !call->is_invite_ours)
            (void)ua_reinvite_reject(call, now, 500);
        break;
    case CALL_OVER:
        break;
    }
}

static void ok_again(struct ua_call *call, ns_t now)
{
    call->ok_interval = ns_min(2 * call->ok_interval, LAYER_T2_NS);
    call->timers[TIMER_OK_AGAIN] = now + call->ok_interval;
    layer_send(call->ua->layer, call->flow, call->ok);
}

/* Nobody acknowledged our 2xx: the call is hung up (RFC 3261 §13.3.1.4). */
static void ok_end(struct ua_call *call, ns_t now)
{
    call->ua->n_timeouts++;
    call_stop_ok(call);
    call_send_bye(call, now, NULL);
    call_fail(call, now, 408, NULL, NULL);
}

void call_tick(struct ua_call *call, ns_t now)
{
    for (int i = 0; i < CALL_TIMERS; i++) {
        if (call->timers[i] > now)
            continue;
        call->timers[i] = NS_NEVER;
        switch ((enum call_timer)i) {
        case TIMER_TELL:
            call_fail(call, now, call->end_code, NULL, NULL);
            break;
        case TIMER_GIVE_UP:
            give_up(call, now);
            break;
        case TIMER_OK_AGAIN:
            ok_again(call, now);
            break;
        case TIMER_OK_END:
            ok_end(call, now);
            break;
        case TIMER_RETRY:
            call_send_reinvite(call, now);
            break;
        case TIMER_FREE:
            call_free(call);
            break;
        case CALL_TIMERS:
            break;
        }
        return; /* the call may be gone */
    }
}

/* ---- 2xx, ACK, BYE ---- */

enum err call_send_ok(struct ua_call *call, ns_t now, struct slice sdp, const struct ua_header *extra,
                      size_t n)
{
    struct reply r = {.code = 200,
                      .to_tag = call->dialog.local_tag,
                      .is_dialog = true,
                      .extra = extra,
                      .n_extra = n,
                      .sdp = sdp};
    const osip_message_t *req = txn_request(call->invite);
    osip_message_t *msg = ua_reply(call->ua, req, &r), *copy = NULL;

    if (msg == NULL)
        return ERR_RANGE;
    if (osip_message_clone(msg, &copy) != 0) {
        osip_message_free(msg);
        return ERR_INTERNAL;
    }
    osip_message_free(call->ok);
    call->ok = copy;
    call->ok_cseq = sip_msg_cseq(req);
    call->ok_interval = LAYER_T1_NS;
    call->timers[TIMER_OK_AGAIN] = now + call->ok_interval;
    call->timers[TIMER_OK_END] = now + LAYER_64_T1_NS;
    call->timers[TIMER_GIVE_UP] = NS_NEVER;
    (void)layer_respond(call->ua->layer, now, call->invite, msg);
    call->invite = NULL; /* osip ends it with the 2xx */
    return ERR_OK;
}

void call_stop_ok(struct ua_call *call)
{
    osip_message_free(call->ok);
    call->ok = NULL;
    call->timers[TIMER_OK_AGAIN] = NS_NEVER;
    call->timers[TIMER_OK_END] = NS_NEVER;
}

void call_send_ack(struct ua_call *call, ns_t now)
{
    uint8_t text[SIP_MESSAGE_MAX_BYTES];
    struct ua *ua = call->ua;
    osip_message_t *msg;
    struct wr w;

    (void)now;
    if (call->ack_owed_cseq == 0)
        return;
    wr_init(&w, text, sizeof text);
    dialog_put_request(&call->dialog, &w, ua->env, &ua->self, "ACK", call->ack_owed_cseq);
    sip_put_extra(&w, call->ack_extra, call->n_ack_extra);
    sip_put_body(&w, UA_SDP_TYPE, slice_str(call->ack_sdp != NULL ? call->ack_sdp : ""));
    msg = sip_finish(&w);
    free_ack_extra(call);
    if (msg == NULL)
        return;
    osip_message_free(call->ack);
    call->ack = msg;
    call->ack_cseq = call->ack_owed_cseq;
    call->ack_owed_cseq = 0;
    layer_send(ua->layer, call->flow, msg);
}

void call_send_bye(struct ua_call *call, ns_t now, const char *reason)
{
    uint8_t text[SIP_MESSAGE_MAX_BYTES];
    struct ua *ua = call->ua;
    osip_message_t *msg;
    struct wr w;

    call_send_ack(call, now);
    wr_init(&w, text, sizeof text);
    dialog_put_request(&call->dialog, &w, ua->env, &ua->self, "BYE", 0);
    if (reason != NULL && sip_is_line(reason, UA_TEXT_BYTES))
        sip_put(&w, "Reason", reason);
    sip_put_body(&w, NULL, slice_of(NULL, 0));
    msg = sip_finish(&w);
    if (msg != NULL)
        (void)layer_request(ua->layer, now, call->flow, msg, NULL);
}

enum err ua_set_ack(struct ua_call *call, struct slice sdp, const struct ua_header *extra, size_t n_extra)
{
    if (n_extra > UA_HEADERS)
        return ERR_FULL;
    for (size_t i = 0; i < n_extra; i++)
        if (!sip_is_token(extra[i].name) || !sip_is_line(extra[i].value, UA_TEXT_BYTES))
            return ERR_RANGE;
    if (call->is_gone)
        return ERR_STATE;
    free_ack_extra(call);
    for (size_t i = 0; i < n_extra; i++)
        call->ack_extra[i] = (struct ua_header){mem_str(extra[i].name), mem_str(extra[i].value)};
    call->n_ack_extra = n_extra;
    call->ack_sdp = sdp.len > 0 ? mem_str_slice(sdp) : NULL;
    return ERR_OK;
}

/* ---- what the owner keeps with a call ---- */

void ua_call_set_user(struct ua_call *call, void *user)
{
    call->user = user;
}

void *ua_call_user(const struct ua_call *call)
{
    return call->user;
}

struct ua *ua_call_ua(const struct ua_call *call)
{
    return call->ua;
}

void ua_call_set_flow(struct ua_call *call, void *flow)
{
    layer_move_flow(call->ua->layer, call, call->flow, flow);
    call->flow = flow;
}

void *ua_call_flow(const struct ua_call *call)
{
    return call->flow;
}

const char *ua_call_remote_uri(const struct ua_call *call)
{
    return call->remote_uri;
}

const char *ua_call_remote_name(const struct ua_call *call)
{
    return call->remote_name;
}

const char *ua_call_id(const struct ua_call *call)
{
    return call->dialog.call_id;
}

void ua_drop(struct ua_call *call)
{
    if (!call->is_gone)
        call_free(call);
}
