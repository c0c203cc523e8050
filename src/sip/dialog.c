#include "sip/dialog.h"

#include <osipparser2/osip_parser.h>
#include <osipparser2/osip_port.h>

#include "base/mem.h"

static void replace(char **slot, char *text)
{
    if (text == NULL)
        return;
    mem_free(*slot);
    *slot = text;
}

/* "\"Taro\" <sip:ID@ito.alt>": the header without its parameters. */
static char *party_text(const osip_from_t *party)
{
    char *uri = sip_uri_text(party->url);
    char *text = mem_printf("%s%s<%s>", party->displayname ? party->displayname : "",
                            party->displayname ? " " : "", uri ? uri : "sip:unknown@invalid");

    mem_free(uri);
    return text;
}

static char *call_id_text(const osip_message_t *msg)
{
    return mem_printf("%s%s%s", msg->call_id->number, msg->call_id->host ? "@" : "",
                      msg->call_id->host ? msg->call_id->host : "");
}

static bool has_lr(const osip_uri_t *uri)
{
    osip_uri_param_t *lr = NULL;

    if (uri != NULL)
        osip_uri_param_get_byname((osip_list_t *)&uri->url_params, (char *)"lr", &lr);
    return lr != NULL;
}

/* The route set: Record-Route as it stands for a callee, turned round for a caller (§12.1). */
static void set_routes(struct dialog *d, const osip_message_t *msg, bool is_reversed)
{
    int n = osip_list_size(&msg->record_routes);
    char *all = NULL;

    for (int i = 0; i < n; i++) {
        const osip_from_t *r = osip_list_get(&msg->record_routes, is_reversed ? n - 1 - i : i);
        char *one = NULL, *joined;

        if (osip_from_to_str(r, &one) != 0)
            continue;
        if (all == NULL)
            d->is_strict = !has_lr(r->url);
        joined = mem_printf("%s%s%s", all ? all : "", all ? ", " : "", one);
        mem_free(all);
        mem_free(one);
        all = joined;
    }
    mem_free(d->routes);
    d->routes = all;
}

void dialog_refresh_target(struct dialog *d, const osip_message_t *msg)
{
    const osip_contact_t *c = osip_list_get(&msg->contacts, 0);

    if (c != NULL && c->url != NULL)
        replace(&d->remote_target, sip_uri_text(c->url));
}

void dialog_init_caller(struct dialog *d, const struct env *env, const char *local, const char *remote,
                        const char *target)
{
    char id[SIP_TOKEN_BYTES];

    memset(d, 0, sizeof *d);
    sip_random_token(env, id);
    sip_random_token(env, d->local_tag);
    d->call_id = mem_str(id);
    d->local = mem_str(local);
    d->remote = mem_str(remote);
    d->remote_target = mem_str(target);
    d->local_cseq = 0;
}

void dialog_init_callee(struct dialog *d, const struct env *env, const osip_message_t *invite)
{
    memset(d, 0, sizeof *d);
    sip_random_token(env, d->local_tag);
    d->call_id = call_id_text(invite);
    d->local = party_text(invite->to);
    d->remote = party_text(invite->from);
    d->remote_tag = mem_str(sip_tag(invite->from));
    d->remote_target = mem_str("sip:unknown@invalid");
    replace(&d->remote_target, sip_uri_text(invite->from->url));
    dialog_refresh_target(d, invite);
    set_routes(d, invite, false);
    d->remote_cseq = sip_msg_cseq(invite);
    d->has_remote_cseq = true;
}

void dialog_init_fork(struct dialog *d, const struct dialog *from, const osip_message_t *response)
{
    memset(d, 0, sizeof *d);
    d->call_id = mem_str(from->call_id);
    memcpy(d->local_tag, from->local_tag, sizeof d->local_tag);
    d->local = mem_str(from->local);
    d->remote = mem_str(from->remote);
    d->remote_target = mem_str(from->remote_target);
    d->local_cseq = sip_msg_cseq(response);
    dialog_set_remote(d, response);
}

void dialog_fini(struct dialog *d)
{
    mem_free(d->call_id);
    mem_free(d->remote_tag);
    mem_free(d->local);
    mem_free(d->remote);
    mem_free(d->remote_target);
    mem_free(d->routes);
    memset(d, 0, sizeof *d);
}

void dialog_set_remote(struct dialog *d, const osip_message_t *response)
{
    replace(&d->remote_tag, mem_str(sip_tag(response->to)));
    dialog_refresh_target(d, response);
    set_routes(d, response, true);
}

bool dialog_is_up(const struct dialog *d)
{
    return d->remote_tag != NULL;
}

static bool has_call_id(const struct dialog *d, const osip_message_t *msg)
{
    char *id = call_id_text(msg);
    bool is_same = d->call_id != NULL && strcmp(d->call_id, id) == 0;

    mem_free(id);
    return is_same;
}

bool dialog_matches(const struct dialog *d, const osip_message_t *request)
{
    return d->remote_tag != NULL && has_call_id(d, request) &&
           strcmp(d->local_tag, sip_tag(request->to)) == 0 &&
           strcmp(d->remote_tag, sip_tag(request->from)) == 0;
}

bool dialog_matches_response(const struct dialog *d, const osip_message_t *response)
{
    return has_call_id(d, response) && strcmp(d->local_tag, sip_tag(response->from)) == 0;
}

bool dialog_take_cseq(struct dialog *d, uint32_t cseq)
{
    if (d->has_remote_cseq && cseq <= d->remote_cseq)
        return false;
    d->has_remote_cseq = true;
    d->remote_cseq = cseq;
    return true;
}

/* The first URI of the route set, without angle brackets. */
static char *first_route(const struct dialog *d)
{
    const char *begin = strchr(d->routes, '<'), *end = begin ? strchr(begin, '>') : NULL;

    return end != NULL ? mem_str_slice(slice_of(begin + 1, (size_t)(end - begin - 1))) : NULL;
}

static void put_routes(const struct dialog *d, struct wr *w)
{
    const char *rest;

    if (d->routes == NULL)
        return;
    if (!d->is_strict) {
        sip_put(w, "Route", d->routes);
        return;
    }
    /* A strict router is addressed itself; the target goes last (§12.2.1.1). */
    rest = strchr(d->routes, '>');
    rest = rest != NULL ? strchr(rest, ',') : NULL;
    wr_text(w, "Route: ");
    if (rest != NULL) {
        wr_text(w, rest + 1);
        wr_text(w, ", ");
    }
    wr_text(w, "<");
    wr_text(w, d->remote_target);
    wr_text(w, ">\r\n");
}

static void put_party(struct wr *w, const char *name, const char *party, const char *tag)
{
    wr_text(w, name);
    wr_text(w, ": ");
    wr_text(w, party);
    if (tag != NULL && tag[0] != '\0') {
        wr_text(w, ";tag=");
        wr_text(w, tag);
    }
    wr_text(w, "\r\n");
}

void dialog_put_request(struct dialog *d, struct wr *w, const struct env *env, const struct dialog_self *self,
                        const char *method, uint32_t cseq)
{
    char branch[SIP_TOKEN_BYTES];
    char *strict = d->is_strict && d->routes != NULL ? first_route(d) : NULL;

    sip_random_token(env, branch);
    wr_text(w, method);
    wr_text(w, " ");
    wr_text(w, strict != NULL ? strict : d->remote_target);
    wr_text(w, " SIP/2.0\r\nVia: SIP/2.0/");
    wr_text(w, self->via_transport);
    wr_text(w, " ");
    wr_text(w, self->via_sent_by);
    wr_text(w, ";branch=z9hG4bK");
    wr_text(w, branch);
    wr_text(w, strcmp(self->via_transport, "UDP") == 0 ? ";rport\r\n" : "\r\n");
    put_routes(d, w);
    sip_put(w, "Max-Forwards", "70");
    put_party(w, "From", d->local, d->local_tag);
    put_party(w, "To", d->remote, d->remote_tag);
    sip_put(w, "Call-ID", d->call_id);
    wr_text(w, "CSeq: ");
    sip_put_u32(w, cseq != 0 ? cseq : ++d->local_cseq);
    wr_text(w, " ");
    wr_text(w, method);
    wr_text(w, "\r\nContact: <");
    wr_text(w, self->contact);
    wr_text(w, ">\r\n");
    sip_put(w, "User-Agent", self->user_agent);
    mem_free(strict);
}

static int route_text(const void *route, char **out)
{
    return osip_from_to_str(route, out);
}

void dialog_put_cancel(struct wr *w, const osip_message_t *invite, const char *reason)
{
    char *uri = sip_uri_text(invite->req_uri), *via = NULL, *from = NULL, *to = NULL,
         *id = call_id_text(invite);

    if (uri == NULL || osip_via_to_str(osip_list_get(&invite->vias, 0), &via) != 0 ||
        osip_from_to_str(invite->from, &from) != 0 || osip_from_to_str(invite->to, &to) != 0) {
        w->failed = true;
    } else {
        wr_text(w, "CANCEL ");
        wr_text(w, uri);
        wr_text(w, " SIP/2.0\r\n");
        sip_put(w, "Via", via);
        sip_put_list(w, "Route", &invite->routes, route_text);
        sip_put(w, "Max-Forwards", "70");
        sip_put(w, "From", from);
        sip_put(w, "To", to);
        sip_put(w, "Call-ID", id);
        wr_text(w, "CSeq: ");
        sip_put_u32(w, sip_msg_cseq(invite));
        wr_text(w, " CANCEL\r\n");
        sip_put(w, "Reason", reason);
        sip_put_body(w, NULL, slice_of(NULL, 0));
    }
    mem_free(uri);
    mem_free(via);
    mem_free(from);
    mem_free(to);
    mem_free(id);
}
