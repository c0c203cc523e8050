#include "io/http_request.h"

#include <string.h>
#include <strings.h>

/* Where the head ends: behind its empty line; 0: not yet. A line ends in CR LF, or LF alone (RFC 9112 §2.2). */
static size_t head_end(struct slice bytes)
{
    size_t line = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] != '\n') {
            line += bytes.data[i] != '\r' || line > 0;
            continue;
        }
        if (line == 0 && i > 1)
            return i + 1;
        line = 0;
    }
    return 0;
}

/* The next line of the head, without its end; false when there is none. */
static bool next_line(struct slice *rest, struct slice *line)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t n = end != NULL ? (size_t)(end - rest->data) : 0;

    if (end == NULL)
        return false;
    *line = slice_of(rest->data, n > 0 && rest->data[n - 1] == '\r' ? n - 1 : n);
    *rest = slice_of(end + 1, rest->len - n - 1);
    return true;
}

/* tchar of RFC 9110 §5.6.2 */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        bool is_word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        if (c == 0 || (!is_word && strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return s.len > 0;
}

static bool is_same(struct slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp((const char *)s.data, text, s.len) == 0;
}

static bool is_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] != '0' && s.data[i] != ' ' && s.data[i] != '\t')
            return false;
    return true;
}

/* METHOD SP TARGET SP HTTP/1.x */
static enum err parse_first(struct slice line, struct http_request *out)
{
    const uint8_t *space = memchr(line.data, ' ', line.len), *second;
    struct slice method, target, version;

    if (space == NULL)
        return ERR_PARSE;
    method = slice_of(line.data, (size_t)(space - line.data));
    target = slice_of(space + 1, line.len - method.len - 1);
    second = memchr(target.data, ' ', target.len);
    if (second == NULL)
        return ERR_PARSE;
    version = slice_of(second + 1, target.len - (size_t)(second - target.data) - 1);
    target = slice_of(target.data, (size_t)(second - target.data));
    if (!is_token(method) || target.len == 0 || target.data[0] != '/' ||
        (!slice_is(version, "HTTP/1.1") && !slice_is(version, "HTTP/1.0")))
        return ERR_PARSE;
    out->method = slice_is(method, "GET") ? HTTP_GET : slice_is(method, "HEAD") ? HTTP_HEAD : HTTP_OTHER;
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= ' ' || target.data[i] >= 0x7f)
            return ERR_PARSE;
        if (target.data[i] == '?') {
            target = slice_of(target.data, i);
            break;
        }
    }
    if (target.len >= sizeof out->path)
        return ERR_FULL;
    memcpy(out->path, target.data, target.len);
    out->path[target.len] = '\0';
    return ERR_OK;
}

/* NAME: VALUE. Only what announces a body is of interest. */
static enum err parse_field(struct slice line)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    struct slice name, value;

    if (colon == NULL)
        return ERR_PARSE;
    name = slice_of(line.data, (size_t)(colon - line.data));
    value = slice_of(colon + 1, line.len - name.len - 1);
    if (!is_token(name) || memchr(value.data, '\0', value.len) != NULL)
        return ERR_PARSE;
    if (is_same(name, "transfer-encoding") || (is_same(name, "content-length") && !is_zero(value)))
        return ERR_REFUSED;
    return ERR_OK;
}

enum err http_request_parse(struct slice bytes, struct http_request *out)
{
    size_t end = head_end(slice_of(bytes.data, bytes.len < HTTP_HEAD_MAX ? bytes.len : HTTP_HEAD_MAX));
    struct slice rest, line;
    enum err e;

    memset(out, 0, sizeof *out);
    if (end == 0)
        return bytes.len < HTTP_HEAD_MAX ? ERR_AGAIN : ERR_FULL;
    rest = slice_of(bytes.data, end);
    if (!next_line(&rest, &line) || line.len == 0)
        return ERR_PARSE;
    e = parse_first(line, out);
    while (e == ERR_OK && next_line(&rest, &line) && line.len > 0)
        e = parse_field(line);
    return e;
}
