#include <osipparser2/osip_port.h>

#include "base/mem.h"
#include "sip/ua_call.h"

/* A message of ours inside or at the start of a call; NULL when something given does not fit in one. */
static osip_message_t *compose(struct ua_call *call, const char *method, const struct ua_header *extra,
                               size_t n, bool is_offer, const char *type, struct slice body)
{
    uint8_t text[SIP_MESSAGE_MAX_BYTES];
    struct ua *ua = call->ua;
    struct wr w;

    wr_init(&w, text, sizeof text);
    dialog_put_request(&call->dialog, &w, ua->env, &ua->self, method, 0);
    if (is_offer)
        ua_put_abilities(&w);
    sip_put_extra(&w, extra, n);
    sip_put_body(&w, type, body);
    return sip_finish(&w);
}

static bool is_sip_uri(const char *text)
{
    osip_uri_t *uri = sip_uri_parse(text);

    osip_uri_free(uri);
    return uri != NULL;
}

struct ua_call *ua_invite(struct ua *ua, ns_t now, void *flow, const char *to_uri, struct slice sdp,
                          const struct ua_header *extra, size_t n_extra)
{
    struct ua_call *call;
    osip_message_t *msg;
    char *to;

    if (ua->is_dead || flow == NULL || !is_sip_uri(to_uri))
        return NULL;
    if (ua_count_calls(ua, false) >= UA_CALLS) {
        ua->n_full++;
        return NULL;
    }
    call = call_create(ua, flow, CALL_OUT);
    call->is_out = true;
    call->remote_uri = mem_str(to_uri);
    call->remote_name = mem_str("");
    to = mem_printf("<%s>", to_uri);
    dialog_init_caller(&call->dialog, ua->env, ua->local, to, to_uri);
    mem_free(to);
    msg = compose(call, "INVITE", extra, n_extra, true, UA_SDP_TYPE, sdp);
    if (msg != NULL)
        call->invite = layer_request(ua->layer, now, flow, msg, call);
    if (call->invite == NULL) {
        call_free(call);
        return NULL;
    }
    call->is_invite_ours = true;
    call->invite_cseq = call->dialog.local_cseq;
    call->timers[TIMER_GIVE_UP] = now + UA_RING_MAX_NS;
    return call;
}

/* ---- giving up ---- */

void call_send_cancel(struct ua_call *call, ns_t now)
{
    uint8_t text[SIP_MESSAGE_MAX_BYTES];
    osip_message_t *msg;
    struct wr w;

    if (call->invite == NULL || !call->is_invite_ours)
        return;
    wr_init(&w, text, sizeof text);
    dialog_put_cancel(&w, txn_request(call->invite), call->cancel_reason);
    msg = sip_finish(&w);
    if (msg != NULL)
        (void)layer_request(call->ua->layer, now, call->flow, msg, call);
}

void call_cancel(struct ua_call *call, ns_t now, int end_code)
{
    call_set_state(call, CALL_CANCELLED);
    call->end_code = end_code;
    call->timers[TIMER_GIVE_UP] = now + UA_CONFIRM_MAX_NS;
    if (call->has_provisional) {
        call_send_cancel(call, now);
        return;
    }
    /* A CANCEL must wait for a provisional response (RFC 3261 §9.1), the owner need not: no more copies of the
     * INVITE leave, and whatever it brought about is undone when it shows. */
    if (call->invite != NULL)
        layer_mute(call->invite);
    call->timers[TIMER_TELL] = now;
}

enum err ua_cancel(struct ua_call *call, ns_t now, const char *reason)
{
    if (call->is_gone || call->state != CALL_OUT)
        return ERR_STATE;
    if (reason != NULL && sip_is_line(reason, UA_TEXT_BYTES))
        call->cancel_reason = mem_str(reason);
    call_cancel(call, now, 487);
    return ERR_OK;
}

enum err ua_bye(struct ua_call *call, ns_t now, const char *reason)
{
    if (call->is_gone || call->state != CALL_UP)
        return ERR_STATE;
    if (call->invite != NULL && !call->is_invite_ours)
        ua_respond_code(call->ua, now, call->invite, 487, call->dialog.local_tag);
    else if (call->invite != NULL)
        layer_abandon(call->invite);
    call->invite = NULL;
    /* The callee's BYE waits for the ACK of the first 2xx (RFC 3261 §15): then the caller knows the dialog. */
    if (call->ok != NULL && !call->is_first_acked)
        call->is_bye_owed = true;
    else
        call_send_bye(call, now, reason);
    if (!call->is_bye_owed)
        call_stop_ok(call);
    call_over(call, now);
    return ERR_OK;
}

/* ---- inside a call ---- */

enum err ua_info(struct ua_call *call, ns_t now, const char *content_type, struct slice body)
{
    static const struct ua_header package = {"Info-Package", "trickle-ice"};
    bool is_trickle = osip_strcasecmp(content_type, UA_TRICKLE_TYPE) == 0;
    osip_message_t *msg;

    if (call->is_gone || call->state == CALL_CANCELLED || !dialog_is_up(&call->dialog))
        return ERR_STATE;
    if (!sip_is_line(content_type, UA_TEXT_BYTES))
        return ERR_RANGE;
    call_send_ack(call, now);
    msg = compose(call, "INFO", &package, is_trickle, false, content_type, body);
    if (msg == NULL)
        return ERR_RANGE;
    return layer_request(call->ua->layer, now, call->flow, msg, call) != NULL ? ERR_OK : ERR_FULL;
}

void call_send_reinvite(struct ua_call *call, ns_t now)
{
    osip_message_t *msg;

    if (call->state != CALL_UP || call->offer == NULL)
        return;
    if (call->invite != NULL || call->ok != NULL) { /* theirs came first: ours waits */
        call->timers[TIMER_RETRY] = now + LAYER_T1_NS;
        return;
    }
    msg = compose(call, "INVITE", NULL, 0, true, UA_SDP_TYPE, slice_str(call->offer));
    if (msg == NULL)
        return;
    call->invite = layer_request(call->ua->layer, now, call->flow, msg, call);
    call->is_invite_ours = true;
    if (call->invite == NULL)
        call->timers[TIMER_RETRY] = now + LAYER_T2_NS;
}

enum err ua_reinvite(struct ua_call *call, ns_t now, struct slice sdp)
{
    if (call->is_gone || call->state != CALL_UP)
        return ERR_STATE;
    if (sdp.len > SIP_MESSAGE_MAX_BYTES - 2048)
        return ERR_RANGE;
    if (call->invite != NULL || call->ok != NULL || call->ack_owed_cseq != 0 || call->offer != NULL)
        return ERR_AGAIN;
    call->offer = mem_str_slice(sdp);
    call->n_glares = 0;
    call_send_reinvite(call, now);
    return ERR_OK;
}

/* ---- what comes back ---- */

static struct slice sdp_of(const osip_message_t *msg)
{
    return sip_msg_body(msg, "application", "sdp");
}

/* 2xx for an INVITE nobody wants any more: acknowledged, then hung up. */
static void undo_answer(struct ua_call *call, ns_t now, const osip_message_t *msg)
{
    call->invite = NULL;
    dialog_set_remote(&call->dialog, msg);
    call->ack_owed_cseq = sip_msg_cseq(msg);
    call_send_bye(call, now, call->cancel_reason);
    if (call->state == CALL_CANCELLED)
        call_fail(call, now, call->end_code, NULL, NULL);
    else
        call_over(call, now);
}

static void on_answer(struct ua_call *call, ns_t now, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct ua_msg m = {.sip = msg};

    if (call->state != CALL_OUT) {
        undo_answer(call, now, msg);
        return;
    }
    call->invite = NULL;
    dialog_set_remote(&call->dialog, msg);
    call->ack_owed_cseq = sip_msg_cseq(msg);
    call->is_first_acked = true;
    call->timers[TIMER_GIVE_UP] = NS_NEVER;
    call_set_state(call, CALL_UP);
    if (ua->ops.answered != NULL)
        ua->ops.answered(ua->arg, call, sdp_of(msg), &m);
    if (!ua->is_dead && !call->is_gone)
        call_send_ack(call, now);
}

static void on_provisional(struct ua_call *call, ns_t now, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct ua_msg m = {.sip = msg};
    bool is_first = !call->has_provisional;

    call->has_provisional = true;
    if (call->state != CALL_OUT) {
        if (is_first)
            call_send_cancel(call, now);
        return;
    }
    if (msg->status_code == 100)
        return;
    if (sip_tag(msg->to)[0] != '\0')
        dialog_set_remote(&call->dialog, msg);
    if (ua->ops.provisional != NULL)
        ua->ops.provisional(ua->arg, call, msg->status_code, sdp_of(msg), &m);
}

static void on_invite_response(struct ua_call *call, ns_t now, const osip_message_t *msg)
{
    int code = msg->status_code;

    if (code < 200) {
        on_provisional(call, now, msg);
    } else if (code < 300) {
        on_answer(call, now, msg);
    } else {
        call->invite = NULL; /* osip acknowledges it and ends by timer D */
        if (call->state == CALL_CANCELLED)
            call_fail(call, now, call->end_code, NULL, msg);
        else
            call_fail(call, now, code, msg->reason_phrase, msg);
    }
}

static void tell_reinvited(struct ua_call *call, int code, struct slice sdp, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct ua_msg m = {.sip = msg};

    mem_free(call->offer);
    call->offer = NULL;
    if (!call->is_gone && ua->ops.reinvited != NULL)
        ua->ops.reinvited(ua->arg, call, code, sdp, &m);
}

/* Glare: each side waits a different time, in units of 10 ms (RFC 3261 §14.1). */
static void retry_later(struct ua_call *call, ns_t now)
{
    uint32_t r = env_random_u32(call->ua->env);

    call->n_glares++;
    call->timers[TIMER_RETRY] = now + 10 * NS_PER_MS * (call->is_out ? 210 + r % 191 : r % 201);
}

static void on_reinvite_response(struct ua_call *call, ns_t now, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    int code = msg->status_code;

    if (code < 200)
        return;
    call->invite = NULL;
    if (code < 300) {
        dialog_refresh_target(&call->dialog, msg);
        call->ack_owed_cseq = sip_msg_cseq(msg);
        tell_reinvited(call, code, sdp_of(msg), msg);
        if (!ua->is_dead && !call->is_gone)
            call_send_ack(call, now);
    } else if ((code == 491 || (code == 500 && sip_msg_header(msg, "retry-after") != NULL)) &&
               call->n_glares < UA_GLARE_TRIES) {
        retry_later(call, now);
    } else if (code == 481 || code == 408) {
        call_send_bye(call, now, NULL);
        call_fail(call, now, code, msg->reason_phrase, msg);
    } else {
        tell_reinvited(call, code, slice_of(NULL, 0), msg);
    }
}

static void on_info_response(struct ua_call *call, ns_t now, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    int code = msg->status_code;

    if (code < 200 || call->is_gone)
        return;
    if (code == 481 && call->state == CALL_UP) {
        call_fail(call, now, code, msg->reason_phrase, msg);
        return;
    }
    if (ua->ops.info_done != NULL)
        ua->ops.info_done(ua->arg, call, code);
}

void ua_on_response(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct ua_call *call = txn_user(txn);

    (void)arg;
    if (call == NULL)
        return;
    if (strcmp(msg->cseq->method, "INFO") == 0)
        on_info_response(call, now, msg);
    else if (txn != call->invite)
        return;
    else if (call->state == CALL_UP)
        on_reinvite_response(call, now, msg);
    else
        on_invite_response(call, now, msg);
}

void ua_on_timeout(void *arg, ns_t now, struct sip_txn *txn)
{
    struct ua *ua = arg;
    struct ua_call *call = txn_user(txn);

    if (call == NULL)
        return;
    if (txn == call->invite) {
        bool is_up = call->state == CALL_UP;

        call->invite = NULL;
        if (is_up)
            call_send_bye(call, now, NULL);
        call_fail(call, now, call->state == CALL_CANCELLED ? call->end_code : 408, NULL, NULL);
    } else if (strcmp(txn_request(txn)->sip_method, "INFO") == 0 && !call->is_gone &&
               ua->ops.info_done != NULL) {
        ua->ops.info_done(ua->arg, call, 408);
    }
}

/* Another branch of a fork answered too: it is thanked and hung up. */
static void end_fork(struct ua_call *call, ns_t now, void *flow, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct dialog d;

    dialog_init_fork(&d, &call->dialog, msg);
    for (int i = 0; i < 2; i++) {
        uint8_t text[SIP_MESSAGE_MAX_BYTES];
        osip_message_t *out;
        struct wr w;

        wr_init(&w, text, sizeof text);
        dialog_put_request(&d, &w, ua->env, &ua->self, i == 0 ? "ACK" : "BYE",
                           i == 0 ? sip_msg_cseq(msg) : 0);
        sip_put_body(&w, NULL, slice_of(NULL, 0));
        out = sip_finish(&w);
        if (out == NULL)
            break;
        if (i == 0) {
            layer_send(ua->layer, flow, out);
            osip_message_free(out);
        } else {
            (void)layer_request(ua->layer, now, flow, out, NULL);
        }
    }
    dialog_fini(&d);
}

void ua_on_stray(void *arg, ns_t now, void *flow, const osip_message_t *msg)
{
    struct ua *ua = arg;

    list_each(node, &ua->calls)
    {
        struct ua_call *call = list_item(node, struct ua_call, link);
        bool is_same_end;

        if (call->flow != flow || !dialog_matches_response(&call->dialog, msg))
            continue;
        is_same_end = dialog_is_up(&call->dialog) && strcmp(call->dialog.remote_tag, sip_tag(msg->to)) == 0;
        if (is_same_end && call->ack != NULL && sip_msg_cseq(msg) == call->ack_cseq) {
            layer_send(ua->layer, flow, call->ack);
            return;
        }
        if (call->is_out && sip_msg_cseq(msg) == call->invite_cseq && !is_same_end) {
            end_fork(call, now, flow, msg);
            return;
        }
    }
    ua->n_unmatched++;
}
