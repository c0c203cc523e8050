#include "base/json.h"

#include <stdio.h>

#include "base/mem.h"

#define KEYS_MAX 65536 /* members in one file */

struct seen {
    char *path;
    unsigned line;
    struct seen *next;
};

struct scan {
    const char *begin, *at, *end, *prev, *prev_end; /* prev: the token read last, for "after ..." */
    unsigned line;
    int depth;
    char path[JSON_PATH_MAX];
    json_key_cb each;
    void *arg;
    struct seen **buckets; /* by hash of path */
    unsigned n_keys;
    struct err_detail *detail;
};

#define BUCKETS 1024

static bool scan_value(struct scan *s, size_t path_len);

static bool fail(struct scan *s, const char *expected)
{
    char after[48] = "the beginning";

    if (s->prev != NULL)
        snprintf(after, sizeof after, "%.*s%s",
                 (int)(s->prev_end - s->prev > 24 ? 24 : s->prev_end - s->prev), s->prev,
                 s->prev_end - s->prev > 24 ? "..." : "");
    err_set(s->detail, ERR_PARSE, "%u: not JSON: expected %s after %s", s->line, expected, after);
    return false;
}

static void skip_space(struct scan *s)
{
    for (; s->at < s->end && strchr(" \t\r\n", *s->at) != NULL && *s->at != '\0'; s->at++)
        s->line += *s->at == '\n';
}

static void token(struct scan *s, const char *begin)
{
    s->prev = begin;
    s->prev_end = s->at;
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->at >= s->end || *s->at != c)
        return false;
    s->at++;
    token(s, s->at - 1);
    return true;
}

static bool is_hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (strchr("0123456789abcdefABCDEF", p[i]) == NULL || p[i] == '\0')
            return false;
    return true;
}

/* Bytes of one well-formed UTF-8 sequence at p, or 0 (RFC 3629). */
static int utf8_sequence(const uint8_t *p, const uint8_t *end)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int n = p[0] < 0x80             ? 1
            : (p[0] & 0xe0) == 0xc0 ? 2
            : (p[0] & 0xf0) == 0xe0 ? 3
            : (p[0] & 0xf8) == 0xf0 ? 4
                                    : 0;
    uint32_t c;

    if (n < 2)
        return n;
    if (end - p < n)
        return 0;
    c = p[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

static bool scan_string(struct scan *s)
{
    const char *begin;

    skip_space(s);
    begin = s->at;
    if (s->at >= s->end || *s->at != '"')
        return false;
    for (s->at++; s->at < s->end && *s->at != '"';) {
        int n = utf8_sequence((const uint8_t *)s->at, (const uint8_t *)s->end);

        if (n == 0 || (uint8_t)*s->at < 0x20)
            return fail(s, n == 0 ? "UTF-8 text" : "a closing quote");
        if (*s->at == '\\') {
            if (s->end - s->at < 2 || strchr("\"\\/bfnrtu", s->at[1]) == NULL || s->at[1] == '\0' ||
                (s->at[1] == 'u' && !is_hex4(s->at + 2, s->end)))
                return fail(s, "a known escape");
            n = s->at[1] == 'u' ? 6 : 2;
        }
        s->at += n;
    }
    if (s->at >= s->end)
        return fail(s, "a closing quote");
    s->at++;
    token(s, begin);
    return true;
}

static bool digits(struct scan *s)
{
    const char *begin = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > begin;
}

/* RFC 8259 §6: no leading zeroes, digits on both sides of the point. */
static bool scan_number(struct scan *s)
{
    const char *begin = s->at;

    if (s->at < s->end && *s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (!digits(s))
        return fail(s, "a value");
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!digits(s))
            return fail(s, "digits");
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!digits(s))
            return fail(s, "digits");
    }
    token(s, begin);
    return true;
}

static unsigned hash(const char *text)
{
    unsigned h = 5381;

    for (; *text != '\0'; text++)
        h = h * 33 ^ (uint8_t)*text;
    return h % BUCKETS;
}

/* Remember the member s->path that stands on `line`, and report it. */
static void note_key(struct scan *s, unsigned line, const char *at)
{
    struct json_key key = {.path = s->path, .at = (size_t)(at - s->begin), .line = line};
    struct seen **bucket = &s->buckets[hash(s->path)], *it;

    for (it = *bucket; it != NULL && strcmp(it->path, s->path) != 0; it = it->next)
        continue;
    if (it != NULL) {
        key.first_line = it->line;
    } else {
        it = mem_alloc(sizeof *it);
        *it = (struct seen){.path = mem_str(s->path), .line = line, .next = *bucket};
        *bucket = it;
    }
    if (s->each != NULL)
        s->each(s->arg, &key);
}

static bool scan_object(struct scan *s, size_t path_len)
{
    if (take(s, '}'))
        return true;
    do {
        const char *name;
        size_t n, len = path_len;
        unsigned line;

        skip_space(s);
        line = s->line;
        name = s->at + 1;
        if (s->at >= s->end || *s->at != '"')
            return fail(s, s->prev != NULL && *s->prev == ',' ? "a key" : "a key or }");
        if (!scan_string(s))
            return false;
        n = (size_t)(s->at - 1 - name);
        if (len + n + 2 > sizeof s->path || ++s->n_keys > KEYS_MAX)
            return fail(s, "a shorter file or key");
        if (len > 0)
            s->path[len++] = '.';
        memcpy(s->path + len, name, n);
        s->path[len + n] = '\0';
        note_key(s, line, name - 1);
        if (!take(s, ':'))
            return fail(s, ":");
        if (!scan_value(s, len + n))
            return false;
        s->path[path_len] = '\0';
    } while (take(s, ','));
    return take(s, '}') || fail(s, ", or }");
}

static bool scan_array(struct scan *s, size_t path_len)
{
    unsigned i = 0;

    if (take(s, ']'))
        return true;
    do {
        int n = snprintf(s->path + path_len, sizeof s->path - path_len, "[%u]", i++);

        if (n < 0 || (size_t)n >= sizeof s->path - path_len)
            return fail(s, "less depth");
        if (!scan_value(s, path_len + (size_t)n))
            return false;
        s->path[path_len] = '\0';
    } while (take(s, ','));
    return take(s, ']') || fail(s, ", or ]");
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return false;
    s->at += n;
    token(s, s->at - n);
    return true;
}

static bool scan_value(struct scan *s, size_t path_len)
{
    bool is_ok;

    skip_space(s);
    if (s->at >= s->end)
        return fail(s, "a value");
    if (*s->at == '"')
        return scan_string(s);
    if (*s->at == '-' || (*s->at >= '0' && *s->at <= '9'))
        return scan_number(s);
    if (*s->at != '{' && *s->at != '[')
        return scan_word(s, "true") || scan_word(s, "false") || scan_word(s, "null") || fail(s, "a value");
    if (++s->depth > JSON_DEPTH_MAX)
        return fail(s, "less depth");
    if (*s->at == '{')
        is_ok = take(s, '{') && scan_object(s, path_len);
    else
        is_ok = take(s, '[') && scan_array(s, path_len);
    s->depth--;
    return is_ok;
}

static void free_seen(struct scan *s)
{
    for (int i = 0; i < BUCKETS; i++) {
        for (struct seen *it = s->buckets[i], *next; it != NULL; it = next) {
            next = it->next;
            mem_free(it->path);
            mem_free(it);
        }
    }
    mem_free(s->buckets);
}

enum err json_parse(struct slice text, json_key_cb each, void *arg, cJSON **out, struct err_detail *detail)
{
    struct scan s = {.begin = (const char *)text.data,
                     .at = (const char *)text.data,
                     .line = 1,
                     .each = each,
                     .arg = arg,
                     .detail = detail};
    bool is_ok;

    *out = NULL;
    if (text.len > JSON_FILE_MAX)
        return err_set(detail, ERR_RANGE, "1: not JSON: larger than %u bytes", JSON_FILE_MAX);
    if (text.len == 0)
        return err_set(detail, ERR_PARSE, "1: not JSON: the file is empty");
    s.end = s.at + text.len;
    if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        return err_set(detail, ERR_PARSE,
                       "1: not JSON: expected no byte order mark; save it as UTF-8 without BOM");
    s.buckets = mem_array(BUCKETS, sizeof(struct seen *));
    is_ok = scan_value(&s, 0);
    if (is_ok) {
        skip_space(&s);
        is_ok = s.at == s.end || fail(&s, "the end");
    }
    free_seen(&s);
    if (!is_ok)
        return ERR_PARSE;
    *out = cJSON_ParseWithLength((const char *)text.data, text.len);
    return *out != NULL ? ERR_OK : err_set(detail, ERR_PARSE, "1: not JSON");
}

struct slice json_value_at(struct slice text, size_t key_at)
{
    struct scan s = {.begin = (const char *)text.data, .at = (const char *)text.data + key_at, .line = 1};
    const char *begin;

    s.end = s.begin + text.len;
    s.buckets = mem_array(BUCKETS, sizeof(struct seen *));
    if (!scan_string(&s) || !take(&s, ':'))
        s.at = s.end;
    skip_space(&s);
    begin = s.at;
    if (!scan_value(&s, 0))
        s.at = begin;
    free_seen(&s);
    return slice_of(begin, (size_t)(s.at - begin));
}

const char *json_str(const cJSON *object, const char *key, const char *otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(v) ? v->valuestring : otherwise;
}

double json_num(const cJSON *object, const char *key, double otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

bool json_bool(const cJSON *object, const char *key, bool otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsBool(v) ? cJSON_IsTrue(v) : otherwise;
}

void json_add_str(cJSON *object, const char *key, const char *text)
{
    if (text != NULL)
        cJSON_AddStringToObject(object, key, text);
    else
        cJSON_AddNullToObject(object, key);
}

char *json_print(const cJSON *tree)
{
    char *text = cJSON_PrintUnformatted(tree), *copy = mem_str(text != NULL ? text : "null");

    cJSON_free(text);
    return copy;
}
