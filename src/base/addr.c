#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct addr addr_v4(const uint8_t ip[static 4], uint16_t port)
{
    struct addr a = {.family = ADDR_V4, .port = port};

    memcpy(a.ip, ip, 4);
    return a;
}

struct addr addr_v6(const uint8_t ip[static 16], uint16_t port)
{
    struct addr a = {.family = ADDR_V6, .port = port};

    if (memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0)
        return addr_v4(ip + 12, port);
    memcpy(a.ip, ip, 16);
    return a;
}

/* A decimal port, 0..65535, the whole of text. */
static bool parse_port(const char *text, uint16_t *out)
{
    unsigned long v;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    v = strtoul(text, &end, 10);
    if (*end != '\0' || v > 65535)
        return false;
    *out = (uint16_t)v;
    return true;
}

enum err addr_parse(const char *text, struct addr *out)
{
    char host[INET6_ADDRSTRLEN];
    const char *first = text, *end, *port = NULL;
    uint8_t ip[16];
    uint16_t number = 0;

    memset(out, 0, sizeof *out);
    if (text[0] == '[') {
        first = text + 1;
        end = strchr(first, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return ERR_PARSE;
        if (end[1] == ':')
            port = end + 2;
    } else {
        const char *colon = strchr(text, ':');

        end = text + strlen(text);
        if (colon != NULL && strchr(colon + 1, ':') == NULL) {
            end = colon;
            port = colon + 1;
        }
    }
    if ((size_t)(end - first) >= sizeof host)
        return ERR_PARSE;
    memcpy(host, first, (size_t)(end - first));
    host[end - first] = '\0';
    if (port != NULL && !parse_port(port, &number))
        return ERR_PARSE;
    if (inet_pton(AF_INET, host, ip) == 1)
        *out = addr_v4(ip, number);
    else if (inet_pton(AF_INET6, host, ip) == 1)
        *out = addr_v6(ip, number);
    else
        return ERR_PARSE;
    return ERR_OK;
}

const char *addr_print_ip(const struct addr *a, char out[static ADDR_TEXT_BYTES])
{
    if (a->family == ADDR_NONE ||
        inet_ntop(a->family == ADDR_V4 ? AF_INET : AF_INET6, a->ip, out, ADDR_TEXT_BYTES) == NULL)
        snprintf(out, ADDR_TEXT_BYTES, "none");
    return out;
}

const char *addr_print(const struct addr *a, char out[static ADDR_TEXT_BYTES])
{
    char ip[ADDR_TEXT_BYTES];

    addr_print_ip(a, ip);
    if (a->port == 0)
        snprintf(out, ADDR_TEXT_BYTES, "%s", ip);
    else if (a->family == ADDR_V6)
        snprintf(out, ADDR_TEXT_BYTES, "[%.46s]:%u", ip, a->port);
    else
        snprintf(out, ADDR_TEXT_BYTES, "%.46s:%u", ip, a->port);
    return out;
}

bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && addr_equal_ip(a, b);
}

bool addr_same_net(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == ADDR_V4 ? 3 : 6) == 0;
}

static enum addr_class class_v4(const uint8_t ip[static 4])
{
    if (ip[0] == 127)
        return ADDR_LOOPBACK;
    if (ip[0] == 169 && ip[1] == 254)
        return ADDR_LINK_LOCAL;
    if (ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168) ||
        (ip[0] == 100 && (ip[1] & 0xc0) == 64))
        return ADDR_PRIVATE;
    if (ip[0] == 0 || ip[0] >= 224)
        return ADDR_UNUSABLE;
    return ADDR_GLOBAL;
}

static enum addr_class class_v6(const uint8_t ip[static 16])
{
    static const uint8_t zero[16], nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t teredo[4] = {0x20, 0x01, 0, 0};

    if (memcmp(ip, zero, 15) == 0)
        return ip[15] == 1 ? ADDR_LOOPBACK : ADDR_UNUSABLE;
    if (memcmp(ip, mapped_prefix, 12) == 0 || memcmp(ip, nat64, 12) == 0 || memcmp(ip, zero, 12) == 0)
        return class_v4(ip + 12);
    if (ip[0] == 0x20 && ip[1] == 0x02)
        return class_v4(ip + 2);
    if (memcmp(ip, teredo, 4) == 0) {
        uint8_t client[4];

        for (int i = 0; i < 4; i++)
            client[i] = ip[12 + i] ^ 0xff; /* RFC 4380 §4: the client's address, inverted */
        return class_v4(client);
    }
    if (ip[0] == 0xff)
        return ADDR_UNUSABLE;
    if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
        return ADDR_LINK_LOCAL;
    if ((ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0xc0))
        return ADDR_PRIVATE;
    return ADDR_GLOBAL;
}

enum addr_class addr_class(const struct addr *a)
{
    if (a->family == ADDR_V4)
        return class_v4(a->ip);
    return a->family == ADDR_V6 ? class_v6(a->ip) : ADDR_UNUSABLE;
}

size_t addr_ip_bytes(const struct addr *a)
{
    return a->family == ADDR_V4 ? 4 : a->family == ADDR_V6 ? 16 : 0;
}

enum err addr_from_sockaddr(const struct sockaddr *sa, struct addr *out)
{
    memset(out, 0, sizeof *out);
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof in);
        *out = addr_v4((const uint8_t *)&in.sin_addr, ntohs(in.sin_port));
        return ERR_OK;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in;

        memcpy(&in, sa, sizeof in);
        *out = addr_v6(in.sin6_addr.s6_addr, ntohs(in.sin6_port));
        if (addr_class(out) == ADDR_LINK_LOCAL)
            out->scope = in.sin6_scope_id;
        return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

unsigned addr_to_sockaddr(const struct addr *a, bool want_v6, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (a->family == ADDR_V4 && !want_v6) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};

        memcpy(&in.sin_addr, a->ip, 4);
        memcpy(ss, &in, sizeof in);
        return sizeof in;
    } else {
        struct sockaddr_in6 in = {.sin6_family = AF_INET6,
                                  .sin6_port = htons(a->port),
                                  .sin6_scope_id = addr_is_stream(a) ? 0 : a->scope};

        if (a->family == ADDR_V4) {
            memcpy(in.sin6_addr.s6_addr, mapped_prefix, 12);
            memcpy(in.sin6_addr.s6_addr + 12, a->ip, 4);
        } else {
            memcpy(in.sin6_addr.s6_addr, a->ip, 16);
        }
        memcpy(ss, &in, sizeof in);
        return sizeof in;
    }
}

void addr_write(struct wr *w, const struct addr *a)
{
    wr_u8(w, a->family);
    wr_u16(w, a->port);
    wr_bytes(w, a->ip, addr_ip_bytes(a));
}

void addr_read(struct rd *r, struct addr *out)
{
    uint8_t ip[16], family = rd_u8(r);
    uint16_t port = rd_u16(r);

    memset(out, 0, sizeof *out);
    if (family == ADDR_V4) {
        rd_copy(r, ip, 4);
        *out = addr_v4(ip, port);
    } else if (family == ADDR_V6) {
        rd_copy(r, ip, 16);
        *out = addr_v6(ip, port);
    } else {
        rd_fail(r);
    }
}
