#include "sip/ua.h"

#include <osipparser2/osip_port.h>
#include <stdio.h>

#include "base/mem.h"
#include "sip/ua_call.h"

void ua_put_abilities(struct wr *w)
{
    sip_put(w, "Allow", UA_ALLOW);
    sip_put(w, "Supported", UA_SUPPORTED);
    sip_put(w, "Recv-Info", UA_SUPPORTED);
}

static void put_reply(struct ua *ua, struct wr *w, const osip_message_t *req, const struct reply *r)
{
    char tag[SIP_TOKEN_BYTES];

    sip_random_token(ua->env, tag);
    sip_put_response(w, req, r->code, r->reason, r->to_tag != NULL ? r->to_tag : tag);
    if (r->is_dialog) {
        wr_text(w, "Contact: <");
        wr_text(w, ua->contact);
        wr_text(w, ">\r\n");
        ua_put_abilities(w);
    }
    if (r->code == 405 || r->code == 501)
        sip_put(w, "Allow", UA_ALLOW);
    if (r->code == 415)
        sip_put(w, "Accept", UA_SDP_TYPE ", " UA_TRICKLE_TYPE);
    if (r->code == 469)
        sip_put(w, "Recv-Info", UA_SUPPORTED);
    if (r->code > 100)
        sip_put(w, "Server", ua->user_agent);
    sip_put_extra(w, r->extra, r->n_extra);
    sip_put_body(w, UA_SDP_TYPE, r->sdp);
}

osip_message_t *ua_reply(struct ua *ua, const osip_message_t *req, const struct reply *r)
{
    uint8_t text[SIP_MESSAGE_MAX_BYTES];
    struct wr w;

    wr_init(&w, text, sizeof text);
    put_reply(ua, &w, req, r);
    return sip_finish(&w);
}

enum err ua_respond(struct ua *ua, ns_t now, struct sip_txn *txn, const struct reply *r)
{
    return layer_respond(ua->layer, now, txn, ua_reply(ua, txn_request(txn), r));
}

void ua_respond_code(struct ua *ua, ns_t now, struct sip_txn *txn, int code, const char *to_tag)
{
    struct reply r = {.code = code, .to_tag = to_tag};

    (void)ua_respond(ua, now, txn, &r);
}

/* The transaction is about to be freed by the layer. */
static void on_gone(void *arg, struct sip_txn *txn)
{
    struct ua *ua = arg;

    list_each(node, &ua->calls)
    {
        struct ua_call *call = list_item(node, struct ua_call, link);

        if (call->invite == txn)
            call->invite = NULL;
    }
}

static void on_send(void *arg, void *flow, struct slice bytes)
{
    struct ua *ua = arg;

    ua->ops.send(ua->arg, flow, bytes);
}

/* Quotes and backslashes of a display name are escaped (RFC 3261 §25.1). */
static char *name_addr(const char *name, const char *uri)
{
    char quoted[2 * UA_TEXT_BYTES + 1];
    size_t n = 0;

    if (name == NULL || !sip_is_line(name, UA_TEXT_BYTES))
        return mem_printf("<%s>", uri);
    for (; *name != '\0' && n + 2 < sizeof quoted; name++) {
        if (*name == '"' || *name == '\\')
            quoted[n++] = '\\';
        quoted[n++] = *name;
    }
    quoted[n] = '\0';
    return mem_printf("\"%s\" <%s>", quoted, uri);
}

static bool read_uri(struct ua *ua, const char *text)
{
    osip_uri_t *uri = sip_uri_parse(text);

    if (uri == NULL)
        return false;
    ua->user_part = mem_str(uri->username != NULL ? uri->username : "");
    ua->sent_by = mem_printf("%s%s%s", uri->host, uri->port ? ":" : "", uri->port ? uri->port : "");
    osip_uri_free(uri);
    return true;
}

static void ua_free(void *arg)
{
    struct ua *ua = arg;

    mem_free(ua->uri);
    mem_free(ua->user_part);
    mem_free(ua->local);
    mem_free(ua->contact);
    mem_free(ua->user_agent);
    mem_free(ua->transport);
    mem_free(ua->sent_by);
    mem_free(ua);
}

struct ua *ua_create(const struct ua_cfg *cfg, const struct ua_ops *ops, void *arg, const struct env *env)
{
    static const struct sip_layer_ops layer_ops = {.send = on_send,
                                                   .request = ua_on_request,
                                                   .response = ua_on_response,
                                                   .timeout = ua_on_timeout,
                                                   .ack = ua_on_ack,
                                                   .stray = ua_on_stray,
                                                   .gone = on_gone};
    struct ua *ua;

    sip_msg_setup();
    ua = mem_alloc(sizeof *ua);
    list_init(&ua->calls);
    if (!read_uri(ua, cfg->uri)) {
        ua_free(ua);
        return NULL;
    }
    ua->env = env;
    ua->ops = *ops;
    ua->arg = arg;
    ua->uri = mem_str(cfg->uri);
    ua->local = name_addr(cfg->name, cfg->uri);
    ua->contact = mem_str(cfg->contact != NULL ? cfg->contact : cfg->uri);
    ua->user_agent = cfg->user_agent != NULL && sip_is_line(cfg->user_agent, UA_TEXT_BYTES)
                         ? mem_str(cfg->user_agent)
                         : NULL;
    ua->transport = mem_str(cfg->transport != NULL ? cfg->transport : "ITO");
    if (cfg->sent_by != NULL) {
        mem_free(ua->sent_by);
        ua->sent_by = mem_str(cfg->sent_by);
    }
    ua->accepts_any = cfg->accepts_any;
    ua->self = (struct dialog_self){.via_transport = ua->transport,
                                    .via_sent_by = ua->sent_by,
                                    .contact = ua->contact,
                                    .user_agent = ua->user_agent};
    ua->layer = layer_create(&layer_ops, ua, env);
    return ua;
}

void ua_destroy(struct ua *ua)
{
    if (ua == NULL || ua->is_dead)
        return;
    list_each_safe(node, &ua->calls) call_free(list_item(node, struct ua_call, link));
    ua->is_dead = true;
    layer_destroy(ua->layer);
    env_defer(ua->env, ua_free, ua);
}

enum err ua_input(struct ua *ua, ns_t now, void *flow, struct slice sip)
{
    return ua->is_dead ? ERR_STATE : layer_input(ua->layer, now, flow, sip);
}

void ua_tick(struct ua *ua, ns_t now)
{
    bool is_again = true;

    if (ua->is_dead)
        return;
    layer_tick(ua->layer, now);
    /* A callback may end any call: begin anew after each one that was due. */
    while (is_again && !ua->is_dead) {
        is_again = false;
        list_each(node, &ua->calls)
        {
            struct ua_call *call = list_item(node, struct ua_call, link);

            if (call_deadline(call) > now)
                continue;
            call_tick(call, now);
            is_again = true;
            break;
        }
    }
}

ns_t ua_deadline(const struct ua *ua)
{
    ns_t due = NS_NEVER;

    if (ua->is_dead)
        return due;
    due = layer_deadline(ua->layer);
    list_each(node, &ua->calls) due = ns_min(due, call_deadline(list_item(node, struct ua_call, link)));
    return due;
}

void ua_flow_gone(struct ua *ua, void *flow)
{
    if (ua->is_dead || flow == NULL)
        return;
    list_each(node, &ua->calls)
    {
        struct ua_call *call = list_item(node, struct ua_call, link);

        if (call->flow == flow)
            call->flow = NULL;
    }
    layer_move_flow(ua->layer, NULL, flow, NULL);
}

void ua_get_stats(const struct ua *ua, struct ua_stats *out)
{
    struct sip_layer_stats s;

    layer_get_stats(ua->layer, &s);
    *out = (struct ua_stats){.received = s.received,
                             .sent = s.sent,
                             .bad = s.bad,
                             .unmatched = s.unmatched + ua->n_unmatched,
                             .absorbed = s.absorbed,
                             .full = s.full + ua->n_full,
                             .timeouts = s.timeouts + ua->n_timeouts,
                             .calls = (uint32_t)ua_count_calls(ua, false),
                             .transactions = s.transactions};
}

const char *ua_msg_header(const struct ua_msg *msg, const char *name)
{
    return msg != NULL ? sip_msg_header(msg->sip, name) : NULL;
}

const char *ua_msg_content_type(const struct ua_msg *msg)
{
    static const char *const known[] = {UA_SDP_TYPE,        UA_TRICKLE_TYPE, "application/dtmf-relay",
                                        "application/dtmf", "text/plain",    "multipart/mixed"};
    const osip_content_type_t *ct = msg != NULL ? msg->sip->content_type : NULL;

    if (ct == NULL || osip_list_size(&msg->sip->bodies) == 0)
        return "";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(ct->type);

        if (osip_strncasecmp(known[i], ct->type, n) == 0 && known[i][n] == '/' &&
            osip_strcasecmp(known[i] + n + 1, ct->subtype) == 0)
            return known[i];
    }
    return "application/octet-stream";
}

struct slice ua_msg_body(const struct ua_msg *msg)
{
    const osip_body_t *b = msg != NULL ? osip_list_get(&msg->sip->bodies, 0) : NULL;

    return b != NULL ? slice_of(b->body, b->length) : slice_of(NULL, 0);
}

const char *ua_reason(int code)
{
    return sip_reason(code);
}
