#include "sip/sdp.h"

#include <stdio.h>
#include <strings.h>

static const char *const profile_names[] = {"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"};
static const char *const direction_names[] = {"sendrecv", "sendonly", "recvonly", "inactive"};

static const struct {
    const char *name;
    enum sdp_codec codec;
    uint32_t rate_hz;
    uint8_t channels;
    int static_type; /* RFC 3551 §6, or -1 */
} codecs[] = {
    {"opus", SDP_OPUS, 48000, 2, -1},
    {"PCMU", SDP_PCMU, 8000, 1, 0},
    {"PCMA", SDP_PCMA, 8000, 1, 8},
    {"CN", SDP_CN, 8000, 1, 13},
    {"red", SDP_RED, 48000, 2, -1},
    {"telephone-event", SDP_DTMF, 8000, 1, -1},
    {"telephone-event", SDP_DTMF, 48000, 1, -1},
};

/* ---- words ---- */

static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.data[i] < 0x20 && s.data[i] != '\t') || s.data[i] == 0x7f)
            return false;
    return true;
}

/* The next line that is not empty, as "x=value"; false at the end or when it is none (then *is_bad). */
static bool next_line(struct slice *rest, char *type, struct slice *value, bool *is_bad)
{
    do {
        const uint8_t *nl;
        size_t len;

        if (rest->len == 0)
            return false;
        nl = memchr(rest->data, '\n', rest->len);
        len = nl != NULL ? (size_t)(nl - rest->data) : rest->len;
        *value = slice_of(rest->data, len);
        *rest = nl != NULL ? slice_of(nl + 1, rest->len - len - 1) : slice_of(NULL, 0);
        if (value->len > 0 && value->data[value->len - 1] == '\r')
            value->len--;
    } while (value->len == 0);
    if (value->len < 2 || value->data[0] < 'a' || value->data[0] > 'z' || value->data[1] != '=' ||
        !is_printable(*value)) {
        *is_bad = true;
        return false;
    }
    *type = (char)value->data[0];
    *value = slice_of(value->data + 2, value->len - 2);
    return true;
}

/* The next word up to a blank (or `stop`), taken off. */
static struct slice word(struct slice *s, char stop)
{
    struct slice w;
    size_t i = 0, n;

    if (s->len == 0)
        return *s;
    while (i < s->len && s->data[i] == ' ')
        i++;
    *s = slice_of(s->data + i, s->len - i);
    for (n = 0; n < s->len && s->data[n] != ' ' && s->data[n] != (uint8_t)stop; n++)
        ;
    w = slice_of(s->data, n);
    *s = slice_of(s->data + n, s->len - n);
    if (s->len > 0 && stop != ' ' && s->data[0] == (uint8_t)stop)
        *s = slice_of(s->data + 1, s->len - 1);
    return w;
}

static bool number(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint64_t digit = (uint64_t)s.data[i] - '0';

        if (s.data[i] < '0' || s.data[i] > '9' || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return v <= max;
}

/* Copy as text; false when it does not fit. */
static bool text(struct slice s, char *out, size_t size)
{
    if (s.len >= size)
        return false;
    if (s.len > 0)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return true;
}

static bool is_word(struct slice s, const char *w)
{
    return s.len == strlen(w) && strncasecmp((const char *)s.data, w, s.len) == 0;
}

/* The value of "name:value" when s is that attribute. */
static bool attribute(struct slice s, const char *name, struct slice *value)
{
    size_t n = strlen(name);

    if (s.len < n || memcmp(s.data, name, n) != 0)
        return false;
    if (s.len == n) {
        *value = slice_of(NULL, 0);
        return true;
    }
    if (s.data[n] != ':')
        return false;
    *value = slice_of(s.data + n + 1, s.len - n - 1);
    return true;
}

/* ---- ICE lines, shared by descriptions and fragments ---- */

/* ice-char: letters, digits, + and / (RFC 8839 §5.1). */
static bool is_ice_text(struct slice s, size_t min)
{
    if (s.len < min || s.len > 256)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];

        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' ||
              c == '/'))
            return false;
    }
    return true;
}

enum err sdp_add_candidate(struct sdp_ice *ice, const char *line)
{
    struct slice s = slice_str(strncmp(line, "a=", 2) == 0 ? line + 2 : line);

    if (s.len < 12 || memcmp(s.data, "candidate:", 10) != 0 || !is_printable(s))
        return ERR_PARSE;
    if (s.len >= SDP_CANDIDATE_BYTES)
        return ERR_RANGE;
    if (ice->n_candidates == SDP_CANDIDATES)
        return ERR_FULL;
    (void)text(s, ice->candidates[ice->n_candidates++], SDP_CANDIDATE_BYTES);
    return ERR_OK;
}

/* True when the attribute was one of ICE; *is_bad when its value cannot be. */
static bool ice_attribute(struct sdp_ice *ice, struct slice a, bool *is_bad)
{
    struct slice v;

    if (attribute(a, "ice-ufrag", &v)) {
        *is_bad |= !is_ice_text(v, 4) || !text(v, ice->ufrag, sizeof ice->ufrag);
    } else if (attribute(a, "ice-pwd", &v)) {
        *is_bad |= !is_ice_text(v, 22) || !text(v, ice->pwd, sizeof ice->pwd);
    } else if (attribute(a, "ice-options", &v)) {
        while (v.len > 0) {
            struct slice w = word(&v, ' ');

            ice->is_trickle |= is_word(w, "trickle");
            ice->is_ice2 |= is_word(w, "ice2");
        }
    } else if (attribute(a, "candidate", &v)) {
        char line[SDP_CANDIDATE_BYTES];

        /* One too long or too many is left out: the others may do. */
        if (v.len > 0 && text(a, line, sizeof line))
            (void)sdp_add_candidate(ice, line);
    } else if (is_word(a, "ice-lite")) {
        ice->is_lite = true;
    } else if (is_word(a, "end-of-candidates")) {
        ice->is_end = true;
    } else {
        return false;
    }
    return true;
}

static void put(struct wr *w, const char *name, const char *value)
{
    wr_text(w, name);
    wr_text(w, value);
    wr_text(w, "\r\n");
}

static void put_number(struct wr *w, const char *name, uint64_t n)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    put(w, name, digits);
}

static void put_ice_head(struct wr *w, const struct sdp_ice *ice)
{
    if (ice->ufrag[0] != '\0')
        put(w, "a=ice-ufrag:", ice->ufrag);
    if (ice->pwd[0] != '\0')
        put(w, "a=ice-pwd:", ice->pwd);
}

static void put_candidates(struct wr *w, const struct sdp_ice *ice)
{
    for (size_t i = 0; i < ice->n_candidates; i++)
        put(w, "a=", ice->candidates[i]);
    if (ice->is_end)
        put(w, "a=end-of-candidates", "");
}

/* ---- parse ---- */

enum where { IN_SESSION, IN_AUDIO, IN_OTHER };

struct parser {
    struct sdp *out;
    enum where where;
    struct addr session_addr;
    bool is_bad, has_audio, has_origin, has_version, has_rtcp;
    uint8_t n_media;
};

static struct addr connection(struct slice v)
{
    struct slice net = word(&v, ' '), family = word(&v, ' '), host = word(&v, ' ');
    struct addr a = {0};
    char ip[64], bracketed[70];

    if (!is_word(net, "IN") || !text(host, ip, sizeof ip))
        return a;
    snprintf(bracketed, sizeof bracketed, "[%s]", ip);
    if (addr_parse(is_word(family, "IP6") ? bracketed : ip, &a) != ERR_OK || a.port != 0)
        memset(&a, 0, sizeof a);
    return a;
}

static void parse_origin(struct parser *p, struct slice v)
{
    (void)word(&v, ' ');
    p->is_bad |= p->has_origin || !number(word(&v, ' '), UINT64_MAX, &p->out->session_id) ||
                 !number(word(&v, ' '), UINT64_MAX, &p->out->version);
    p->has_origin = true;
}

static enum sdp_profile profile_of(struct slice s)
{
    for (int i = 0; i < SDP_PROFILE_OTHER; i++)
        if (is_word(s, profile_names[i]))
            return (enum sdp_profile)i;
    return SDP_PROFILE_OTHER;
}

static void add_payload(struct sdp *s, uint8_t type)
{
    struct sdp_payload *p;

    for (size_t i = 0; i < s->n_payloads; i++)
        if (s->payloads[i].type == type)
            return;
    if (s->n_payloads == SDP_PAYLOADS)
        return;
    p = &s->payloads[s->n_payloads++];
    p->type = type;
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        if (codecs[i].static_type != type)
            continue;
        p->codec = codecs[i].codec;
        p->rate_hz = codecs[i].rate_hz;
        p->channels = codecs[i].channels;
        snprintf(p->name, sizeof p->name, "%s", codecs[i].name);
    }
}

static void parse_audio(struct parser *p, uint16_t port, struct slice proto, struct slice fmts)
{
    struct sdp *s = p->out;

    p->where = IN_AUDIO;
    p->has_audio = true;
    s->audio_index = s->n_others;
    s->profile = profile_of(proto);
    s->is_refused = port == 0;
    s->media = p->session_addr;
    s->media.port = port;
    while (fmts.len > 0) {
        struct slice w = word(&fmts, ' ');
        uint64_t type;

        if (w.len == 0)
            break;
        /* With a transport we do not speak the formats are not numbers: it will be refused anyway. */
        if (number(w, 127, &type))
            add_payload(s, (uint8_t)type);
        else
            p->is_bad |= s->profile != SDP_PROFILE_OTHER;
    }
}

static void parse_media(struct parser *p, struct slice v)
{
    struct slice media = word(&v, ' '), port_text = word(&v, ' '), proto = word(&v, ' ');
    struct slice port_only = word(&port_text, '/');
    struct sdp_media *m;
    uint64_t port;

    while (v.len > 0 && v.data[0] == ' ')
        v = slice_of(v.data + 1, v.len - 1);
    if (!number(port_only, 65535, &port) || proto.len == 0 || v.len == 0 || ++p->n_media > SDP_MEDIA) {
        p->is_bad = true;
        return;
    }
    if (is_word(media, "audio") && !p->has_audio) {
        parse_audio(p, (uint16_t)port, proto, v);
        return;
    }
    p->where = IN_OTHER;
    if (p->out->n_others == SDP_MEDIA - 1) {
        p->is_bad = true;
        return;
    }
    m = &p->out->others[p->out->n_others++];
    p->is_bad |=
        media.len == 0 || !text(media, m->media, sizeof m->media) || !text(proto, m->proto, sizeof m->proto);
    /* Its formats are only echoed in a refusal: the first one does. */
    p->is_bad |= !text(word(&v, ' '), m->fmt, sizeof m->fmt);
}

static struct sdp_payload *payload_of(struct sdp *s, struct slice *v)
{
    uint64_t type;

    if (!number(word(v, ' '), 127, &type))
        return NULL;
    for (size_t i = 0; i < s->n_payloads; i++)
        if (s->payloads[i].type == type)
            return &s->payloads[i];
    return NULL;
}

static void parse_rtpmap(struct sdp *s, struct slice v)
{
    struct sdp_payload *p = payload_of(s, &v);
    struct slice name = word(&v, '/'), rate = word(&v, '/'), channels = word(&v, '/');
    uint64_t hz, n = 1;

    if (p == NULL || name.len == 0 || !number(rate, 768000, &hz) || hz == 0 ||
        (channels.len > 0 && (!number(channels, 8, &n) || n == 0)) || !text(name, p->name, sizeof p->name))
        return;
    p->rate_hz = (uint32_t)hz;
    p->channels = (uint8_t)n;
    p->codec = SDP_OTHER;
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (is_word(name, codecs[i].name) && hz == codecs[i].rate_hz && n == codecs[i].channels)
            p->codec = codecs[i].codec;
}

static void parse_fmtp(struct sdp *s, struct slice v)
{
    struct sdp_payload *p = payload_of(s, &v);

    while (v.len > 0 && v.data[0] == ' ')
        v = slice_of(v.data + 1, v.len - 1);
    if (p != NULL)
        (void)text(v, p->fmtp, sizeof p->fmtp);
}

static void parse_rtcp(struct parser *p, struct slice v)
{
    uint64_t port;

    if (!number(word(&v, ' '), 65535, &port) || port == 0)
        return;
    p->has_rtcp = true;
    p->out->rtcp = v.len > 0 ? connection(v) : (struct addr){0};
    p->out->rtcp.port = (uint16_t)port;
}

static bool parse_direction(struct sdp *s, struct slice a)
{
    for (int i = 0; i < 4; i++)
        if (is_word(a, direction_names[i])) {
            s->direction = (enum sdp_direction)i;
            return true;
        }
    return false;
}

static void parse_audio_attribute(struct parser *p, struct slice a)
{
    struct sdp *s = p->out;
    struct slice v;
    uint64_t n;

    if (attribute(a, "rtpmap", &v))
        parse_rtpmap(s, v);
    else if (attribute(a, "fmtp", &v))
        parse_fmtp(s, v);
    else if (attribute(a, "rtcp-mux", &v))
        s->has_rtcp_mux = true;
    else if (attribute(a, "rtcp", &v))
        parse_rtcp(p, v);
    else if (attribute(a, "ptime", &v) && number(v, 1000, &n))
        s->ptime_ms = (uint16_t)n;
    else if (attribute(a, "maxptime", &v) && number(v, 1000, &n))
        s->maxptime_ms = (uint16_t)n;
    else if (attribute(a, "mid", &v))
        p->is_bad |= v.len == 0 || !text(v, s->mid, sizeof s->mid);
}

static void parse_attribute(struct parser *p, struct slice a)
{
    struct sdp *s = p->out;
    struct slice v;
    uint64_t n;

    if (p->where == IN_OTHER) {
        if (attribute(a, "mid", &v) && s->n_others > 0)
            p->is_bad |= !text(v, s->others[s->n_others - 1].mid, sizeof s->others[0].mid);
        return;
    }
    if (ice_attribute(&s->ice, a, &p->is_bad) || parse_direction(s, a))
        return;
    if (attribute(a, "x-ito-key", &v)) {
        p->is_bad |= !number(v, 65535, &n);
        s->has_key = !p->is_bad;
        s->key_n = s->has_key ? (uint16_t)n : 0;
    } else if (p->where == IN_AUDIO) {
        parse_audio_attribute(p, a);
    }
}

static void parse_line(struct parser *p, char type, struct slice v)
{
    switch (type) {
    case 'v':
        p->is_bad |= p->has_version || !is_word(v, "0");
        p->has_version = true;
        break;
    case 'o':
        parse_origin(p, v);
        break;
    case 'c':
        if (p->where == IN_SESSION) {
            p->session_addr = connection(v);
        } else if (p->where == IN_AUDIO) {
            uint16_t port = p->out->media.port;

            p->out->media = connection(v);
            p->out->media.port = port;
        }
        break;
    case 'm':
        parse_media(p, v);
        break;
    case 'a':
        parse_attribute(p, v);
        break;
    default:
        break; /* s, t, b, k, i, u, e, p, r, z: nothing a call needs */
    }
}

enum err sdp_parse(struct slice bytes, struct sdp *out)
{
    struct parser p = {.out = out};
    struct slice value;
    char type;

    memset(out, 0, sizeof *out);
    if (bytes.len > SDP_MAX_BYTES)
        return ERR_RANGE;
    while (!p.is_bad && next_line(&bytes, &type, &value, &p.is_bad)) {
        if (!p.has_version && type != 'v')
            p.is_bad = true;
        parse_line(&p, type, value);
    }
    if (p.is_bad || !p.has_version || !p.has_origin) {
        memset(out, 0, sizeof *out);
        return ERR_PARSE;
    }
    if (!p.has_audio)
        return ERR_UNSUPPORTED;
    if (!p.has_rtcp) {
        out->rtcp = out->media;
        out->rtcp.port =
            out->has_rtcp_mux || out->media.port == 65535 ? out->media.port : (uint16_t)(out->media.port + 1);
    } else if (out->rtcp.family == ADDR_NONE) {
        uint16_t port = out->rtcp.port;

        out->rtcp = out->media;
        out->rtcp.port = port;
    }
    return ERR_OK;
}

enum err sdp_frag_parse(struct slice bytes, struct sdp_frag *out)
{
    struct slice value, v;
    bool is_bad = false;
    char type;

    memset(out, 0, sizeof *out);
    if (bytes.len > SDP_MAX_BYTES)
        return ERR_RANGE;
    while (!is_bad && next_line(&bytes, &type, &value, &is_bad)) {
        if (type != 'a' || ice_attribute(&out->ice, value, &is_bad))
            continue;
        if (attribute(value, "mid", &v))
            is_bad |= v.len == 0 || !text(v, out->mid, sizeof out->mid);
    }
    if (!is_bad)
        return ERR_OK;
    memset(out, 0, sizeof *out);
    return ERR_PARSE;
}

/* ---- write ---- */

static void put_connection(struct wr *w, const char *name, const struct addr *a)
{
    char ip[ADDR_TEXT_BYTES];
    bool is_v6 = a->family == ADDR_V6;

    wr_text(w, name);
    wr_text(w, is_v6 ? "IN IP6 " : "IN IP4 ");
    put(w, a->family == ADDR_NONE ? "0.0.0.0" : addr_print_ip(a, ip), "");
}

static void put_payload(struct wr *w, const struct sdp_payload *p)
{
    char line[64 + SDP_FMTP_BYTES];

    if (p->name[0] != '\0') {
        snprintf(line, sizeof line, "a=rtpmap:%u %s/%u", p->type, p->name, p->rate_hz);
        wr_text(w, line);
        snprintf(line, sizeof line, "/%u", p->channels);
        put(w, p->channels > 1 ? line : "", "");
    }
    if (p->fmtp[0] != '\0') {
        snprintf(line, sizeof line, "a=fmtp:%u %s", p->type, p->fmtp);
        put(w, line, "");
    }
}

static void put_audio_head(struct wr *w, const struct sdp *s)
{
    char line[64];
    bool is_other = s->profile == SDP_PROFILE_OTHER;

    snprintf(line, sizeof line, "m=audio %u %s", s->is_refused || is_other ? 0 : s->media.port,
             is_other ? "RTP/AVP" : profile_names[s->profile]);
    wr_text(w, line);
    for (size_t i = 0; i < s->n_payloads; i++) {
        snprintf(line, sizeof line, " %u", s->payloads[i].type);
        wr_text(w, line);
    }
    put(w, s->n_payloads == 0 ? " 0" : "", "");
}

static void put_audio(struct wr *w, const struct sdp *s)
{
    uint16_t usual =
        s->has_rtcp_mux || s->media.port == 65535 ? s->media.port : (uint16_t)(s->media.port + 1);

    put_audio_head(w, s);
    if (s->mid[0] != '\0')
        put(w, "a=mid:", s->mid);
    if (s->is_refused || s->profile == SDP_PROFILE_OTHER)
        return; /* a transport we do not speak can only be refused */
    put_connection(w, "c=", &s->media);
    for (size_t i = 0; i < s->n_payloads; i++)
        put_payload(w, &s->payloads[i]);
    if (s->ptime_ms > 0)
        put_number(w, "a=ptime:", s->ptime_ms);
    if (s->maxptime_ms > 0)
        put_number(w, "a=maxptime:", s->maxptime_ms);
    put(w, "a=", direction_names[s->direction]);
    if (s->rtcp.port != 0 && (s->rtcp.port != usual || !addr_equal_ip(&s->rtcp, &s->media))) {
        char line[32];

        snprintf(line, sizeof line, "a=rtcp:%u ", s->rtcp.port);
        put_connection(w, line, &s->rtcp);
    }
    if (s->has_rtcp_mux)
        put(w, "a=rtcp-mux", "");
    if (s->has_key)
        put_number(w, "a=x-ito-key:", s->key_n);
    put_ice_head(w, &s->ice);
    put_candidates(w, &s->ice);
}

static void put_other(struct wr *w, const struct sdp_media *m)
{
    wr_text(w, "m=");
    wr_text(w, m->media);
    wr_text(w, " 0 ");
    wr_text(w, m->proto);
    wr_text(w, " ");
    put(w, m->fmt, "");
    if (m->mid[0] != '\0')
        put(w, "a=mid:", m->mid);
}

void sdp_write(const struct sdp *s, struct wr *w)
{
    char origin[64];

    put(w, "v=0", "");
    snprintf(origin, sizeof origin, "o=- %llu %llu ", (unsigned long long)s->session_id,
             (unsigned long long)s->version);
    put_connection(w, origin, &s->media);
    put(w, "s=-", "");
    put_connection(w, "c=", &s->media);
    put(w, "t=0 0", "");
    if (s->ice.is_lite)
        put(w, "a=ice-lite", "");
    if (s->ice.is_trickle || s->ice.is_ice2) {
        wr_text(w, "a=ice-options:");
        wr_text(w, s->ice.is_trickle ? "trickle" : "");
        wr_text(w, s->ice.is_trickle && s->ice.is_ice2 ? " " : "");
        put(w, s->ice.is_ice2 ? "ice2" : "", "");
    }
    for (size_t i = 0; i <= s->n_others; i++) {
        if (i == s->audio_index)
            put_audio(w, s);
        if (i < s->n_others)
            put_other(w, &s->others[i]);
    }
}

void sdp_frag_write(const struct sdp_frag *f, struct wr *w)
{
    put_ice_head(w, &f->ice);
    /* The m-line is a place holder that anchors a=mid (RFC 8840 §9). */
    put(w, "m=audio 9 RTP/AVP 0", "");
    if (f->mid[0] != '\0')
        put(w, "a=mid:", f->mid);
    put_candidates(w, &f->ice);
}

void sdp_opus_params(const struct sdp_payload *p, struct sdp_opus *out)
{
    struct slice rest = slice_str(p->fmtp);

    *out = (struct sdp_opus){.maxplaybackrate_hz = 48000};
    while (rest.len > 0) {
        struct slice one = word(&rest, ';'), name = word(&one, '=');
        uint64_t n;

        if (!number(one, UINT32_MAX, &n))
            continue;
        if (is_word(name, "maxplaybackrate"))
            out->maxplaybackrate_hz = (uint32_t)n;
        else if (is_word(name, "maxaveragebitrate"))
            out->maxaveragebitrate = (uint32_t)n;
        else if (is_word(name, "useinbandfec"))
            out->useinbandfec = n == 1;
        else if (is_word(name, "cbr"))
            out->cbr = n == 1;
        else if (is_word(name, "usedtx"))
            out->usedtx = n == 1;
        else if (is_word(name, "stereo"))
            out->stereo = n == 1;
        else if (is_word(name, "sprop-stereo"))
            out->sprop_stereo = n == 1;
    }
}
