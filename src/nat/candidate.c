#include "nat/candidate.h"

#include <stdio.h>
#include <strings.h>

#define TOKEN_BYTES 64 /* longest token we look into; RFC 8839 bounds only the foundation */

static const struct {
    const char *name;
    uint8_t preference; /* RFC 8445 §5.1.2.2 */
} types[] = {
    [CANDIDATE_HOST] = {"host", 126},
    [CANDIDATE_SRFLX] = {"srflx", 100},
    [CANDIDATE_PRFLX] = {"prflx", 110},
    [CANDIDATE_RELAYED] = {"relay", 0},
};

const char *candidate_type_name(enum candidate_type type)
{
    return types[type].name;
}

uint32_t candidate_priority(enum candidate_type type, uint16_t preference)
{
    return (uint32_t)types[type].preference << 24 | (uint32_t)preference << 8 | 255;
}

uint64_t candidate_pair_priority(uint32_t controlling, uint32_t controlled)
{
    uint64_t g = controlling, d = controlled;

    return (g < d ? g : d) << 32 | (2 * (g > d ? g : d) + (g > d));
}

/* Equal for candidates of one type from one base (RFC 8445 §5.1.1.3): FNV-1a over both, as a number. */
static void set_foundation(struct candidate *c)
{
    const struct addr *base =
        c->type == CANDIDATE_SRFLX || c->type == CANDIDATE_PRFLX ? &c->related : &c->addr;
    uint32_t hash = 2166136261u ^ (uint32_t)c->type;

    for (size_t i = 0; i < sizeof base->ip; i++)
        hash = (hash ^ base->ip[i]) * 16777619u;
    snprintf(c->foundation, sizeof c->foundation, "%u", (unsigned)hash);
}

struct candidate candidate_make(enum candidate_type type, const struct addr *addr, const struct addr *related,
                                uint8_t base, uint16_t preference)
{
    struct candidate c = {.type = type, .addr = *addr, .base = base};

    if (related != NULL)
        c.related = *related;
    c.priority = candidate_priority(type, preference);
    set_foundation(&c);
    return c;
}

/* The next word, of 1..size-1 characters; false at the end or when it is too long. */
static bool next(struct slice *rest, char *out, size_t size)
{
    size_t n = 0;

    while (rest->len > 0 && rest->data[0] == ' ')
        *rest = slice_of(rest->data + 1, rest->len - 1);
    while (n < rest->len && rest->data[n] > ' ' && rest->data[n] < 0x7f)
        n++;
    if (n == 0 || n >= size || (n < rest->len && rest->data[n] != ' '))
        return false;
    memcpy(out, rest->data, n);
    out[n] = '\0';
    *rest = slice_of(rest->data + n, rest->len - n);
    return true;
}

static bool next_number(struct slice *rest, uint64_t max, uint64_t *out)
{
    char text[TOKEN_BYTES];

    *out = 0;
    if (!next(rest, text, sizeof text) || strlen(text) > 10)
        return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9')
            return false;
        *out = *out * 10 + (uint64_t)(*p - '0');
    }
    return *out <= max;
}

static bool is_foundation(const char *text)
{
    for (; *text != '\0'; text++)
        if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
              (*text >= '0' && *text <= '9') || *text == '+' || *text == '/'))
            return false;
    return true;
}

/* IP without brackets and port. ERR_UNSUPPORTED: a name, perhaps. */
static enum err parse_ip(const char *text, struct addr *out)
{
    const char *colon = strchr(text, ':');

    if (colon != NULL && strchr(colon + 1, ':') == NULL)
        return ERR_PARSE;
    if (text[0] == '[')
        return ERR_PARSE;
    return addr_parse(text, out) == ERR_OK ? ERR_OK : ERR_UNSUPPORTED;
}

static enum err parse_type(const char *text, enum candidate_type *out)
{
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(text, types[i].name) == 0) {
            *out = (enum candidate_type)i;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED;
}

static bool is_unspecified(const struct addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->ip, zero, sizeof zero) == 0;
}

/* Names and values to the end; raddr and rport are the ones we know. */
static enum err parse_rest(struct slice *rest, struct candidate *out)
{
    char name[CANDIDATE_TEXT_BYTES], value[CANDIDATE_TEXT_BYTES];
    struct addr related = {.family = ADDR_NONE};
    uint64_t port = 0;

    while (next(rest, name, sizeof name)) {
        if (strcmp(name, "rport") == 0) {
            if (!next_number(rest, 65535, &port))
                return ERR_PARSE;
        } else if (!next(rest, value, sizeof value)) {
            return ERR_PARSE;
        } else if (strcmp(name, "raddr") == 0 && parse_ip(value, &related) == ERR_PARSE) {
            return ERR_PARSE;
        }
    }
    for (size_t i = 0; i < rest->len; i++)
        if (rest->data[i] != ' ')
            return ERR_PARSE;
    if (out->type != CANDIDATE_HOST && related.family != ADDR_NONE && !is_unspecified(&related)) {
        out->related = related;
        out->related.port = (uint16_t)port;
    }
    return ERR_OK;
}

enum err candidate_parse(struct slice text, struct candidate *out)
{
    static const char prefix[] = "candidate:";
    char transport[TOKEN_BYTES], ip[TOKEN_BYTES], word[TOKEN_BYTES], type[TOKEN_BYTES];
    uint64_t component, priority, port;
    enum err e;

    memset(out, 0, sizeof *out);
    if (text.len >= sizeof prefix - 1 && memcmp(text.data, prefix, sizeof prefix - 1) == 0)
        text = slice_of(text.data + sizeof prefix - 1, text.len - (sizeof prefix - 1));
    if (text.len >= 2 * CANDIDATE_TEXT_BYTES || !next(&text, out->foundation, sizeof out->foundation) ||
        !is_foundation(out->foundation) || !next_number(&text, 256, &component) ||
        !next(&text, transport, sizeof transport) || !next_number(&text, 0x7fffffff, &priority) ||
        priority == 0 || !next(&text, ip, sizeof ip) || !next_number(&text, 65535, &port) ||
        !next(&text, word, sizeof word) || strcmp(word, "typ") != 0 || !next(&text, type, sizeof type))
        return ERR_PARSE;
    if (component != 1 || strcasecmp(transport, "udp") != 0)
        return ERR_UNSUPPORTED;
    e = parse_ip(ip, &out->addr);
    if (e == ERR_OK)
        e = parse_type(type, &out->type);
    if (e != ERR_OK)
        return e;
    if (port == 0)
        return ERR_PARSE;
    out->addr.port = (uint16_t)port;
    out->priority = (uint32_t)priority;
    return parse_rest(&text, out);
}

const char *candidate_print(const struct candidate *c, char out[static CANDIDATE_TEXT_BYTES])
{
    char ip[ADDR_TEXT_BYTES], raddr[ADDR_TEXT_BYTES];
    int n = snprintf(out, CANDIDATE_TEXT_BYTES, "candidate:%s 1 udp %u %s %u typ %s", c->foundation,
                     (unsigned)c->priority, addr_print_ip(&c->addr, ip), c->addr.port, types[c->type].name);

    if (c->type == CANDIDATE_HOST)
        return out;
    if (c->related.family == ADDR_NONE)
        snprintf(out + n, (size_t)(CANDIDATE_TEXT_BYTES - n), " raddr %s rport 9",
                 c->addr.family == ADDR_V6 ? "::" : "0.0.0.0");
    else
        snprintf(out + n, (size_t)(CANDIDATE_TEXT_BYTES - n), " raddr %s rport %u",
                 addr_print_ip(&c->related, raddr), c->related.port);
    return out;
}
