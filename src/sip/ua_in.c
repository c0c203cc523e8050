#include <osipparser2/osip_port.h>
#include <stdio.h>

#include "base/mem.h"
#include "sip/ua_call.h"

static struct slice sdp_of(const osip_message_t *msg)
{
    return sip_msg_body(msg, "application", "sdp");
}

static struct ua_call *find_dialog(struct ua *ua, const void *flow, const osip_message_t *msg)
{
    list_each(node, &ua->calls)
    {
        struct ua_call *call = list_item(node, struct ua_call, link);

        if (call->flow == flow && dialog_matches(&call->dialog, msg))
            return call;
    }
    return NULL;
}

/* ---- what any request must be (RFC 3261 §8.2) ---- */

static bool is_among(const char *word, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/* 0, 405 or 501. */
static int check_method(const char *method)
{
    static const char *const ours[] = {"INVITE", "CANCEL", "BYE", "OPTIONS", "INFO", NULL};
    static const char *const known[] = {"REGISTER", "SUBSCRIBE", "NOTIFY",  "MESSAGE", "REFER",
                                        "UPDATE",   "PRACK",     "PUBLISH", NULL};

    return is_among(method, ours) ? 0 : is_among(method, known) ? 405 : 501;
}

/* 0, 404 or 416. */
static int check_uri(const struct ua *ua, const osip_uri_t *uri)
{
    if (!sip_uri_is_sip(uri))
        return 416;
    if (ua->accepts_any || (uri->username != NULL && strcmp(uri->username, ua->user_part) == 0))
        return 0;
    return 404;
}

/* The option tags of Require we do not know, joined by commas; "" when we know all. */
static void unknown_options(const osip_message_t *msg, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (int i = 0; i < osip_list_size(&msg->headers); i++) {
        const osip_header_t *h = osip_list_get(&msg->headers, i);
        const char *p = h->hvalue;

        if (p == NULL || osip_strcasecmp(h->hname, "require") != 0)
            continue;
        while (*p != '\0') {
            size_t skip = strspn(p, " \t,"), len = strcspn(p + skip, " \t,");
            bool is_known = len == strlen(UA_SUPPORTED) && strncmp(p + skip, UA_SUPPORTED, len) == 0;

            if (len > 0 && !is_known && n + len + 3 < size)
                n += (size_t)snprintf(out + n, size - n, "%s%.*s", n > 0 ? ", " : "", (int)len, p + skip);
            p += skip + len;
        }
    }
}

/* 0 or 415: a body we cannot read. */
static int check_body(const osip_message_t *msg, bool is_invite)
{
    for (int i = 0; i < osip_list_size(&msg->content_encodings); i++) {
        const osip_content_encoding_t *e = osip_list_get(&msg->content_encodings, i);

        if (e->value != NULL && osip_strcasecmp(e->value, "identity") != 0)
            return 415;
    }
    if (is_invite && osip_list_size(&msg->bodies) > 0 && sdp_of(msg).len == 0)
        return 415;
    return 0;
}

/* Answers and says false when the request goes no further. */
static bool is_acceptable(struct ua *ua, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    char unknown[UA_TEXT_BYTES];
    bool is_inside = sip_tag(msg->to)[0] != '\0', is_cancel = MSG_IS_CANCEL(msg);
    int code = check_method(msg->sip_method);

    if (code == 0 && !is_inside && !is_cancel)
        code = check_uri(ua, msg->req_uri);
    if (code == 0 && !is_cancel) {
        unknown_options(msg, unknown, sizeof unknown);
        if (unknown[0] != '\0') {
            struct ua_header h = {"Unsupported", unknown};
            struct reply r = {.code = 420, .extra = &h, .n_extra = 1};

            (void)ua_respond(ua, now, txn, &r);
            return false;
        }
        code = check_body(msg, MSG_IS_INVITE(msg));
    }
    if (code != 0)
        ua_respond_code(ua, now, txn, code, NULL);
    return code == 0;
}

/* ---- a new call ---- */

/* The same request by another way (RFC 3261 §8.2.2.2). */
static bool is_merged(const struct ua *ua, const osip_message_t *msg)
{
    list_each(node, &ua->calls)
    {
        const struct ua_call *call = list_item(node, struct ua_call, link);
        const char *id = call->dialog.call_id;
        size_t n = strlen(msg->call_id->number);

        if (!call->is_out && call->dialog.remote_tag != NULL && call->invite_cseq == sip_msg_cseq(msg) &&
            strcmp(call->dialog.remote_tag, sip_tag(msg->from)) == 0 &&
            strncmp(id, msg->call_id->number, n) == 0 && (id[n] == '\0' || id[n] == '@'))
            return true;
    }
    return false;
}

static char *display_name(const osip_from_t *from)
{
    char text[UA_TEXT_BYTES];
    size_t n = 0;
    const char *p = from->displayname;

    if (p == NULL)
        return mem_str("");
    for (; *p != '\0' && n + 1 < sizeof text; p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        else if (*p == '"')
            continue;
        text[n++] = *p;
    }
    if (*p != '\0')
        while (n > 0 && ((uint8_t)text[n - 1] & 0xc0) == 0x80)
            n--; /* not in the middle of a character */
    if (*p != '\0' && n > 0 && ((uint8_t)text[n - 1] & 0xc0) == 0xc0)
        n--;
    text[n] = '\0';
    return mem_str(text);
}

static void on_new_invite(struct ua *ua, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct ua_msg m = {.sip = msg};
    struct ua_call *call;
    char *uri;

    if (is_merged(ua, msg)) {
        ua_respond_code(ua, now, txn, 482, NULL);
        return;
    }
    if (ua_count_calls(ua, false) >= UA_CALLS) {
        ua->n_full++;
        ua_respond_code(ua, now, txn, 486, NULL);
        return;
    }
    ua_respond_code(ua, now, txn, 100, NULL);
    call = call_create(ua, txn_flow(txn), CALL_IN);
    call->invite = txn;
    call->invite_cseq = sip_msg_cseq(msg);
    dialog_init_callee(&call->dialog, ua->env, msg);
    uri = sip_uri_text(msg->from->url);
    call->remote_uri = uri != NULL ? uri : mem_str("sip:unknown@invalid");
    call->remote_name = display_name(msg->from);
    call->timers[TIMER_GIVE_UP] = now + UA_RING_MAX_NS;
    txn_set_user(txn, call);
    ua->ops.incoming(ua->arg, call, sdp_of(msg), &m);
}

enum err ua_ring(struct ua_call *call, ns_t now, const struct ua_header *extra, size_t n_extra)
{
    struct reply r = {
        .code = 180, .to_tag = call->dialog.local_tag, .is_dialog = true, .extra = extra, .n_extra = n_extra};

    if (call->is_gone || call->state != CALL_IN || call->invite == NULL)
        return ERR_STATE;
    return ua_respond(call->ua, now, call->invite, &r);
}

enum err ua_answer(struct ua_call *call, ns_t now, struct slice sdp, const struct ua_header *extra,
                   size_t n_extra)
{
    enum err e;

    if (call->is_gone || call->state != CALL_IN || call->invite == NULL)
        return ERR_STATE;
    e = call_send_ok(call, now, sdp, extra, n_extra);
    if (e == ERR_OK)
        call_set_state(call, CALL_UP);
    return e;
}

enum err ua_reject(struct ua_call *call, ns_t now, int code, const char *reason)
{
    struct reply r = {.code = code, .reason = reason, .to_tag = call->dialog.local_tag};
    enum err e;

    if (call->is_gone || call->state != CALL_IN || call->invite == NULL)
        return ERR_STATE;
    if (code < 300 || code > 699)
        return ERR_RANGE;
    e = ua_respond(call->ua, now, call->invite, &r);
    if (e != ERR_OK)
        return e;
    call->invite = NULL; /* lives on until its ACK, by timers of its own */
    call_free(call);
    return ERR_OK;
}

/* ---- inside a call ---- */

static void on_reinvite(struct ua_call *call, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct ua_msg m = {.sip = msg};
    const char *tag = call->dialog.local_tag;

    if (call->invite != NULL && call->is_invite_ours) {
        ua_respond_code(ua, now, txn, 491, tag);
    } else if (call->state != CALL_UP || call->invite != NULL || call->ok != NULL) {
        char seconds[8];
        struct ua_header h = {"Retry-After", seconds};
        struct reply r = {.code = 500, .to_tag = tag, .extra = &h, .n_extra = 1};

        snprintf(seconds, sizeof seconds, "%u", env_random_u32(ua->env) % 10);
        (void)ua_respond(ua, now, txn, &r);
    } else if (ua->ops.reinvite == NULL) {
        ua_respond_code(ua, now, txn, 488, tag);
    } else {
        ua_respond_code(ua, now, txn, 100, tag);
        call->invite = txn;
        call->is_invite_ours = false;
        call->timers[TIMER_GIVE_UP] = now + UA_ANSWER_MAX_NS;
        ua->ops.reinvite(ua->arg, call, sdp_of(msg), &m);
    }
}

static bool has_open_offer(const struct ua_call *call)
{
    return !call->is_gone && call->state == CALL_UP && call->invite != NULL && !call->is_invite_ours;
}

enum err ua_reinvite_answer(struct ua_call *call, ns_t now, struct slice sdp)
{
    if (!has_open_offer(call))
        return ERR_STATE;
    dialog_refresh_target(&call->dialog, txn_request(call->invite));
    return call_send_ok(call, now, sdp, NULL, 0);
}

enum err ua_reinvite_reject(struct ua_call *call, ns_t now, int code)
{
    if (!has_open_offer(call))
        return ERR_STATE;
    if (code < 300 || code > 699)
        return ERR_RANGE;
    ua_respond_code(call->ua, now, call->invite, code, call->dialog.local_tag);
    call->invite = NULL;
    call->timers[TIMER_GIVE_UP] = NS_NEVER;
    return ERR_OK;
}

static void on_bye(struct ua_call *call, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct ua_msg m = {.sip = msg};
    bool is_ringing = call->state == CALL_IN, is_told = call->is_gone;
    void (*tell)(void *, struct ua_call *, const struct ua_msg *) =
        is_ringing ? ua->ops.cancelled : ua->ops.bye;

    ua_respond_code(ua, now, txn, 200, call->dialog.local_tag);
    if (call->invite != NULL && !call->is_invite_ours) {
        ua_respond_code(ua, now, call->invite, 487, call->dialog.local_tag);
        call->invite = NULL;
    } else if (call->invite != NULL) {
        layer_abandon(call->invite);
        call->invite = NULL;
    }
    call_stop_ok(call);
    call->is_bye_owed = false;
    call->is_gone = true;
    call_set_state(call, CALL_OVER);
    if (!is_told && tell != NULL)
        tell(ua->arg, call, &m);
    if (!ua->is_dead)
        call_over(call, now);
}

static void on_info(struct ua_call *call, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct ua *ua = call->ua;
    struct ua_msg m = {.sip = msg};
    const char *package = sip_msg_header(msg, "info-package");
    const char *type = ua_msg_content_type(&m);
    int code = 200;

    if (package != NULL && strncmp(package, "trickle-ice", 11) != 0)
        code = 469;
    else if (ua->ops.info == NULL)
        code = 415;
    else if (type[0] != '\0')
        code = ua->ops.info(ua->arg, call, type, ua_msg_body(&m), &m);
    if (!ua->is_dead)
        ua_respond_code(ua, now, txn, code >= 200 && code <= 699 ? code : 500, call->dialog.local_tag);
}

static void on_options(struct ua *ua, ns_t now, struct sip_txn *txn, const char *to_tag)
{
    static const struct ua_header accept = {"Accept", UA_SDP_TYPE ", " UA_TRICKLE_TYPE};
    struct reply r = {.code = 200, .to_tag = to_tag, .is_dialog = true, .extra = &accept, .n_extra = 1};

    (void)ua_respond(ua, now, txn, &r);
}

static void on_inside(struct ua *ua, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct ua_call *call = find_dialog(ua, txn_flow(txn), msg);

    if (call == NULL || (call->state == CALL_OVER && !MSG_IS_BYE(msg))) {
        ua_respond_code(ua, now, txn, 481, NULL);
        return;
    }
    txn_set_user(txn, call);
    if (!dialog_take_cseq(&call->dialog, sip_msg_cseq(msg)))
        ua_respond_code(ua, now, txn, 500, call->dialog.local_tag);
    else if (MSG_IS_INVITE(msg))
        on_reinvite(call, now, txn, msg);
    else if (MSG_IS_BYE(msg) && (call->state == CALL_OUT || call->state == CALL_CANCELLED))
        ua_respond_code(ua, now, txn, 481,
                        call->dialog.local_tag); /* a callee refuses, it does not hang up */
    else if (MSG_IS_BYE(msg))
        on_bye(call, now, txn, msg);
    else if (MSG_IS_INFO(msg))
        on_info(call, now, txn, msg);
    else
        on_options(ua, now, txn, call->dialog.local_tag);
}

/* ---- CANCEL, ACK ---- */

static void on_cancel(struct ua *ua, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct sip_txn *invite = layer_find_invite(ua->layer, txn_flow(txn), msg);
    struct ua_call *call = invite != NULL ? txn_user(invite) : NULL;
    struct ua_msg m = {.sip = msg};

    if (invite == NULL) {
        ua_respond_code(ua, now, txn, 481, NULL);
        return;
    }
    ua_respond_code(ua, now, txn, 200, call != NULL ? call->dialog.local_tag : NULL);
    if (call == NULL || call->invite != invite || txn_has_final(invite))
        return;
    ua_respond_code(ua, now, invite, 487, call->dialog.local_tag);
    call->invite = NULL;
    call->timers[TIMER_GIVE_UP] = NS_NEVER;
    if (call->state != CALL_IN)
        return; /* a re-INVITE taken back: the call stays as it was */
    call->is_gone = true;
    call_set_state(call, CALL_OVER);
    if (ua->ops.cancelled != NULL)
        ua->ops.cancelled(ua->arg, call, &m);
    if (!ua->is_dead)
        call_over(call, now);
}

void ua_on_ack(void *arg, ns_t now, void *flow, const osip_message_t *msg)
{
    struct ua *ua = arg;
    struct ua_call *call = find_dialog(ua, flow, msg);
    struct ua_msg m = {.sip = msg};
    bool is_first;

    if (call == NULL || call->ok == NULL || call->ok_cseq != sip_msg_cseq(msg)) {
        ua->n_unmatched += call == NULL;
        return;
    }
    is_first = !call->is_first_acked;
    call_stop_ok(call);
    call->is_first_acked = true;
    if (call->is_bye_owed) {
        call->is_bye_owed = false;
        call_send_bye(call, now, NULL);
        call_free(call);
    } else if (!call->is_gone && ua->ops.acked != NULL && (is_first || sdp_of(msg).len > 0)) {
        ua->ops.acked(ua->arg, call, sdp_of(msg), &m);
    }
}

void ua_on_request(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct ua *ua = arg;

    if (!is_acceptable(ua, now, txn, msg))
        return;
    if (MSG_IS_CANCEL(msg))
        on_cancel(ua, now, txn, msg);
    else if (sip_tag(msg->to)[0] != '\0')
        on_inside(ua, now, txn, msg);
    else if (MSG_IS_INVITE(msg))
        on_new_invite(ua, now, txn, msg);
    else if (MSG_IS_OPTIONS(msg))
        on_options(ua, now, txn, NULL);
    else
        ua_respond_code(ua, now, txn, 481, NULL);
}
