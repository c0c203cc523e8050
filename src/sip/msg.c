#include "sip/msg.h"

#include <osipparser2/osip_parser.h>
#include <osipparser2/osip_port.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/mem.h"

static void be_quiet(const char *file, int line, osip_trace_level_t level, const char *fmt, va_list args)
{
    (void)file, (void)line, (void)level, (void)fmt, (void)args;
}

static void *grow(void *p, size_t n)
{
    return mem_resize(p, n, 1);
}

void sip_msg_setup(void)
{
    /* The library's own pointer tells whether this was done: no global of ours is needed. */
    if (osip_free_func == mem_free)
        return;
    osip_set_allocators(mem_alloc, grow, mem_free);
    osip_trace_initialize_func(END_TRACE_LEVEL, be_quiet);
    parser_init();
}

/* Where the body starts, or 0 when the header part is not one: no blank line, control characters, a CR on its
 * own, too many lines. */
static size_t find_body(struct slice bytes)
{
    size_t line = 0, n_lines = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];

        if (c == '\n') {
            size_t len = i - line - (i > line && bytes.data[i - 1] == '\r');

            if (len == 0)
                return n_lines > 0 ? i + 1 : 0;
            if (++n_lines > SIP_HEADERS_MAX + 1)
                return 0;
            line = i + 1;
        } else if (c == '\r') {
            if (i + 1 >= bytes.len || bytes.data[i + 1] != '\n')
                return 0;
        } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return 0;
        }
    }
    return 0;
}

static bool is_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    const char *p = text;

    if (p == NULL)
        return false;
    while (*p == ' ' || *p == '\t')
        p++;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > max)
            return false;
    }
    while (*p == ' ' || *p == '\t')
        p++;
    *out = v;
    return *p == '\0';
}

static bool is_method(const char *text)
{
    return text != NULL && strlen(text) <= 64 && sip_is_token(text);
}

/* What an answer needs: without these a message is dropped. */
static bool is_answerable(const osip_message_t *m)
{
    const osip_via_t *via = osip_list_get(&m->vias, 0);
    uint64_t n;

    return via != NULL && via->host != NULL && via->protocol != NULL && m->from != NULL &&
           m->from->url != NULL && m->to != NULL && m->to->url != NULL && m->call_id != NULL &&
           m->call_id->number != NULL && m->call_id->number[0] != '\0' && m->cseq != NULL &&
           is_method(m->cseq->method) && is_number(m->cseq->number, 0x7fffffff, &n);
}

static bool is_uri(const osip_uri_t *u)
{
    uint64_t port;

    /* libosip takes an empty port and cannot read what it writes of it. */
    return u != NULL && u->scheme != NULL && (u->host != NULL || u->string != NULL) &&
           (u->port == NULL || is_number(u->port, UINT16_MAX, &port));
}

enum err sip_message_check(const osip_message_t *m, size_t body_bytes, int *code)
{
    uint64_t length = 0;

    *code = 0;
    if (!is_answerable(m) || !is_uri(m->from->url) || !is_uri(m->to->url) || m->sip_version == NULL)
        return ERR_PARSE;
    if (osip_list_size(&m->vias) > SIP_HOPS_MAX || osip_list_size(&m->routes) > SIP_HOPS_MAX ||
        osip_list_size(&m->record_routes) > SIP_HOPS_MAX)
        return ERR_PARSE;
    if (strcasecmp(m->sip_version, "SIP/2.0") != 0)
        *code = 505;
    else if (m->content_length != NULL && !is_number(m->content_length->value, UINT32_MAX, &length))
        *code = 400;
    else if (length > body_bytes)
        *code = 400;
    else if (length > 0 && m->content_type == NULL)
        *code = 400;
    else if (m->content_type != NULL && (m->content_type->type == NULL || m->content_type->subtype == NULL))
        *code = 400;
    if (MSG_IS_RESPONSE(m))
        return *code != 0 || m->status_code < 100 || m->status_code > 699 ? ERR_PARSE : ERR_OK;
    if (!is_method(m->sip_method) || !is_uri(m->req_uri))
        return ERR_PARSE;
    if (*code == 0 && strcmp(m->sip_method, m->cseq->method) != 0)
        *code = 400;
    /* Nothing answers an ACK. */
    return *code == 0 ? ERR_OK : MSG_IS_ACK(m) ? ERR_PARSE : ERR_REFUSED;
}

static bool begins_with(struct slice text, const char *what)
{
    size_t n = strlen(what);

    return text.len >= n && strncasecmp((const char *)text.data, what, n) == 0;
}

/* A part of a multipart body with two Content-Type: libosip 5.3 loses the memory of the first. Parts begin with a line
 * that begins with two hyphens. */
static bool has_part_of_two_types(struct slice body)
{
    unsigned n = 0;

    for (size_t i = 0, line = 0; i <= body.len; i++) {
        struct slice text = slice_of(body.data + line, body.len - line);

        if (i < body.len && body.data[i] != '\n' && body.data[i] != '\r')
            continue;
        if (begins_with(text, "--"))
            n = 0;
        else if (begins_with(text, "content-type") && ++n > 1)
            return true;
        line = i + 1;
    }
    return false;
}

enum err sip_msg_parse(struct slice bytes, osip_message_t **out, int *code)
{
    size_t body;
    enum err e;

    *out = NULL;
    *code = 0;
    if (bytes.len > SIP_MESSAGE_MAX_BYTES)
        return ERR_RANGE;
    /* Empty lines before the start line are allowed (RFC 3261 §7.5). */
    while (bytes.len >= 2 && bytes.data[0] == '\r' && bytes.data[1] == '\n')
        bytes = slice_of(bytes.data + 2, bytes.len - 2);
    body = find_body(bytes);
    if (body == 0 || has_part_of_two_types(slice_of(bytes.data + body, bytes.len - body)))
        return ERR_PARSE;
    sip_msg_setup();
    if (osip_message_init(out) != 0)
        return ERR_PARSE;
    e = osip_message_parse(*out, (const char *)bytes.data, bytes.len) == 0
            ? sip_message_check(*out, bytes.len - body, code)
            : ERR_PARSE;
    if (e == ERR_PARSE) {
        osip_message_free(*out);
        *out = NULL;
    }
    return e;
}

uint32_t sip_msg_cseq(const osip_message_t *msg)
{
    uint64_t n = 0;

    (void)is_number(msg->cseq->number, 0x7fffffff, &n);
    return (uint32_t)n;
}

const char *sip_tag(const osip_from_t *from)
{
    osip_generic_param_t *tag = NULL;

    if (from != NULL)
        osip_uri_param_get_byname((osip_list_t *)&from->gen_params, (char *)"tag", &tag);
    return tag != NULL && tag->gvalue != NULL ? tag->gvalue : "";
}

const char *sip_branch(const osip_message_t *msg)
{
    osip_via_t *via = osip_list_get(&msg->vias, 0);
    osip_generic_param_t *branch = NULL;

    if (via != NULL)
        osip_uri_param_get_byname(&via->via_params, (char *)"branch", &branch);
    return branch != NULL && branch->gvalue != NULL ? branch->gvalue : "";
}

char *sip_msg_key(const osip_message_t *msg)
{
    const osip_via_t *via = osip_list_get(&msg->vias, 0);

    return mem_printf("%s %s:%s %s@%s %s %u", sip_branch(msg), via->host, via->port ? via->port : "5060",
                      msg->call_id->number, msg->call_id->host ? msg->call_id->host : "", sip_tag(msg->from),
                      sip_msg_cseq(msg));
}

static bool is_type(const osip_content_type_t *ct, const char *type, const char *subtype)
{
    return ct != NULL && ct->type != NULL && ct->subtype != NULL && strcasecmp(ct->type, type) == 0 &&
           strcasecmp(ct->subtype, subtype) == 0;
}

bool sip_uri_is_sip(const osip_uri_t *uri)
{
    return uri->scheme != NULL && uri->host != NULL && uri->string == NULL &&
           (strcasecmp(uri->scheme, "sip") == 0 || strcasecmp(uri->scheme, "sips") == 0);
}

char *sip_uri_text(const osip_uri_t *uri)
{
    char *text = NULL;

    if (uri == NULL || osip_uri_to_str(uri, &text) != 0)
        return NULL;
    if (sip_is_line(text, SIP_MESSAGE_MAX_BYTES) && strpbrk(text, " <>\"") == NULL)
        return text;
    mem_free(text);
    return NULL;
}

osip_uri_t *sip_uri_parse(const char *text)
{
    osip_uri_t *uri = NULL;

    sip_msg_setup();
    if (!sip_is_line(text, UA_TEXT_BYTES) || strpbrk(text, " <>\"") != NULL || osip_uri_init(&uri) != 0)
        return NULL;
    if (osip_uri_parse(uri, text) == 0 && sip_uri_is_sip(uri))
        return uri;
    osip_uri_free(uri);
    return NULL;
}

struct slice sip_msg_body(const osip_message_t *msg, const char *type, const char *subtype)
{
    for (int i = 0; i < osip_list_size(&msg->bodies); i++) {
        const osip_body_t *b = osip_list_get(&msg->bodies, i);
        /* The parts of a multipart have a type of their own. */
        const osip_content_type_t *ct = b->content_type != NULL ? b->content_type : msg->content_type;

        if (b->body != NULL && is_type(ct, type, subtype))
            return slice_of(b->body, b->length);
    }
    return slice_of(NULL, 0);
}

const char *sip_msg_header(const osip_message_t *msg, const char *name)
{
    osip_header_t *h = NULL;

    if (osip_message_header_get_byname(msg, name, 0, &h) < 0 || h == NULL)
        return NULL;
    return h->hvalue != NULL ? h->hvalue : "";
}

const char *sip_reason(int code)
{
    static const struct {
        int code;
        const char *text;
    } table[] = {
        {100, "Trying"},
        {180, "Ringing"},
        {183, "Session Progress"},
        {200, "OK"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {410, "Gone"},
        {415, "Unsupported Media Type"},
        {416, "Unsupported URI Scheme"},
        {420, "Bad Extension"},
        {469, "Bad Info Package"},
        {480, "Temporarily Unavailable"},
        {481, "Call/Transaction Does Not Exist"},
        {482, "Loop Detected"},
        {486, "Busy Here"},
        {487, "Request Terminated"},
        {488, "Not Acceptable Here"},
        {491, "Request Pending"},
        {500, "Server Internal Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "Version Not Supported"},
        {513, "Message Too Large"},
        {600, "Busy Everywhere"},
        {603, "Decline"},
        {604, "Does Not Exist Anywhere"},
        {606, "Not Acceptable"},
    };
    static const char *const classes[] = {"Progress", "OK",           "Redirection",
                                          "Refused",  "Server Error", "Global Failure"};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code)
            return table[i].text;
    return code >= 100 && code < 700 ? classes[code / 100 - 1] : "Unknown";
}

bool sip_is_line(const char *text, size_t max_bytes)
{
    size_t n = 0;

    for (; text[n] != '\0'; n++)
        if (n >= max_bytes || (uint8_t)text[n] < 0x20 || text[n] == 0x7f)
            return false;
    return n > 0;
}

bool sip_is_token(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (!((*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'Z') ||
              (*text >= 'a' && *text <= 'z') || strchr("-.!%*_+`'~", *text) != NULL))
            return false;
    return true;
}

void sip_random_token(const struct env *env, char out[static SIP_TOKEN_BYTES])
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32: five bits each, nothing alike */
    uint8_t bits[20];

    env_random(env, bits, sizeof bits);
    for (size_t i = 0; i < sizeof bits; i++)
        out[i] = digits[bits[i] & 31];
    out[sizeof bits] = '\0';
}

void sip_put(struct wr *w, const char *name, const char *value)
{
    if (value == NULL)
        return;
    wr_text(w, name);
    wr_text(w, ": ");
    wr_text(w, value);
    wr_text(w, "\r\n");
}

void sip_put_u32(struct wr *w, uint32_t v)
{
    char text[16];

    snprintf(text, sizeof text, "%u", v);
    wr_text(w, text);
}

void sip_put_list(struct wr *w, const char *name, const osip_list_t *list,
                  int (*to_str)(const void *, char **))
{
    for (int i = 0; i < osip_list_size(list); i++) {
        char *text = NULL;

        if (to_str(osip_list_get(list, i), &text) == 0)
            sip_put(w, name, text);
        mem_free(text);
    }
}

void sip_put_extra(struct wr *w, const struct ua_header *extra, size_t n_extra)
{
    if (n_extra > UA_HEADERS)
        w->failed = true;
    for (size_t i = 0; i < n_extra && !w->failed; i++) {
        if (!sip_is_token(extra[i].name) || !sip_is_line(extra[i].value, UA_TEXT_BYTES))
            w->failed = true;
        sip_put(w, extra[i].name, extra[i].value);
    }
}

void sip_put_body(struct wr *w, const char *type, struct slice body)
{
    if (body.len > 0)
        sip_put(w, "Content-Type", type);
    wr_text(w, "Content-Length: ");
    sip_put_u32(w, (uint32_t)body.len);
    wr_text(w, "\r\n\r\n");
    wr_slice(w, body);
}

static int via_text(const void *via, char **out)
{
    return osip_via_to_str(via, out);
}

static int route_text(const void *route, char **out)
{
    return osip_from_to_str(route, out);
}

static void put_party(struct wr *w, const char *name, const osip_from_t *party, const char *tag)
{
    char *text = NULL;

    if (osip_from_to_str(party, &text) != 0) {
        w->failed = true;
        return;
    }
    wr_text(w, name);
    wr_text(w, ": ");
    wr_text(w, text);
    if (tag != NULL && sip_tag(party)[0] == '\0') {
        wr_text(w, ";tag=");
        wr_text(w, tag);
    }
    wr_text(w, "\r\n");
    mem_free(text);
}

void sip_put_response(struct wr *w, const osip_message_t *req, int code, const char *reason,
                      const char *to_tag)
{
    char *call_id = NULL;

    wr_text(w, "SIP/2.0 ");
    sip_put_u32(w, (uint32_t)code);
    wr_text(w, " ");
    wr_text(w, reason != NULL && sip_is_line(reason, UA_TEXT_BYTES) ? reason : sip_reason(code));
    wr_text(w, "\r\n");
    sip_put_list(w, "Via", &req->vias, via_text);
    put_party(w, "From", req->from, NULL);
    put_party(w, "To", req->to, code == 100 ? NULL : to_tag);
    if (osip_call_id_to_str(req->call_id, &call_id) != 0)
        w->failed = true;
    sip_put(w, "Call-ID", call_id);
    mem_free(call_id);
    wr_text(w, "CSeq: ");
    sip_put_u32(w, sip_msg_cseq(req));
    wr_text(w, " ");
    wr_text(w, req->cseq->method);
    wr_text(w, "\r\n");
    if (code > 100 && code < 300 && strcmp(req->cseq->method, "INVITE") == 0)
        sip_put_list(w, "Record-Route", &req->record_routes, route_text);
}

/* osip prints a message anew (each method of Allow on a line of its own) unless it has the text at hand. Its
 * clone copies that text as a string, so one with a NUL in the body is left to it. */
static void keep_text(osip_message_t *msg, struct slice text)
{
    if (memchr(text.data, 0, text.len) != NULL)
        return;
    mem_free(msg->message);
    msg->message = mem_str_slice(text);
    msg->message_length = text.len;
    msg->message_property = 1;
}

osip_message_t *sip_finish(const struct wr *w)
{
    osip_message_t *msg = NULL;
    int code;

    if (!wr_ok(w))
        return NULL;
    if (sip_msg_parse(wr_done(w), &msg, &code) == ERR_OK) {
        keep_text(msg, wr_done(w));
        return msg;
    }
    osip_message_free(msg);
    return NULL;
}
