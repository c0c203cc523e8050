#include "dht/bencode.h"

/* "<digits>:" at the start, without leading zeros; *body is where the string's bytes start. */
static bool read_str(struct slice in, size_t *body, size_t *len)
{
    size_t i = 0, v = 0;

    while (i < in.len && in.data[i] >= '0' && in.data[i] <= '9') {
        v = v * 10 + (size_t)(in.data[i] - '0');
        if (v > in.len || (i > 0 && in.data[0] == '0'))
            return false;
        i++;
    }
    if (i == 0 || i >= in.len || in.data[i] != ':' || in.len - i - 1 < v)
        return false;
    *body = i + 1;
    *len = v;
    return true;
}

/* "i<int64>e" at the start; returns its length, 0 when it is not one. */
static size_t read_int(struct slice in, int64_t *out)
{
    size_t i = 1, first;
    uint64_t v = 0, limit = INT64_MAX;
    bool is_negative;

    if (in.len < 3 || in.data[0] != 'i')
        return 0;
    is_negative = in.data[1] == '-';
    if (is_negative) {
        limit = (uint64_t)INT64_MAX + 1;
        i = 2;
    }
    for (first = i; i < in.len && in.data[i] >= '0' && in.data[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(in.data[i] - '0');

        if (v > (limit - digit) / 10)
            return 0;
        v = v * 10 + digit;
    }
    if (i == first || i >= in.len || in.data[i] != 'e')
        return 0;
    if (in.data[first] == '0' && (i - first > 1 || is_negative))
        return 0;
    *out = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return i + 1;
}

static bool key_is_after(struct slice key, struct slice last)
{
    size_t n = key.len < last.len ? key.len : last.len;
    int c = n > 0 ? memcmp(key.data, last.data, n) : 0;

    return c > 0 || (c == 0 && key.len > last.len);
}

/* Length of one canonical value at the start of in, 0 when there is none. */
static size_t span(struct slice in, unsigned depth)
{
    size_t at = 1, body, len, n;
    struct slice last = {0};
    bool is_dict, has_last = false;
    int64_t v;

    if (in.len == 0)
        return 0;
    if (in.data[0] == 'i')
        return read_int(in, &v);
    if (in.data[0] != 'l' && in.data[0] != 'd')
        return read_str(in, &body, &len) ? body + len : 0;
    if (depth >= BEN_DEPTH)
        return 0;
    is_dict = in.data[0] == 'd';
    while (at < in.len && in.data[at] != 'e') {
        struct slice rest = slice_of(in.data + at, in.len - at);

        if (is_dict) {
            struct slice key;

            if (!read_str(rest, &body, &len))
                return 0;
            key = slice_of(rest.data + body, len);
            if (has_last && !key_is_after(key, last))
                return 0;
            last = key;
            has_last = true;
            at += body + len;
            rest = slice_of(in.data + at, in.len - at);
        }
        n = span(rest, depth + 1);
        if (n == 0)
            return 0;
        at += n;
    }
    return at < in.len ? at + 1 : 0;
}

enum err ben_check(struct slice bytes)
{
    size_t n = span(bytes, 0);

    return n > 0 && n == bytes.len ? ERR_OK : ERR_PARSE;
}

bool ben_int(struct slice raw, int64_t *out)
{
    int64_t v;
    size_t n = read_int(raw, &v);

    if (n == 0 || n != raw.len)
        return false;
    *out = v;
    return true;
}

bool ben_str(struct slice raw, struct slice *out)
{
    size_t body, len;

    if (!read_str(raw, &body, &len) || body + len != raw.len)
        return false;
    *out = slice_of(raw.data + body, len);
    return true;
}

static bool iter_begin(struct slice raw, struct ben_iter *it, uint8_t type)
{
    if (raw.len < 2 || raw.data[0] != type)
        return false;
    it->left = slice_of(raw.data + 1, raw.len - 2);
    it->is_dict = type == 'd';
    return true;
}

bool ben_list(struct slice raw, struct ben_iter *it)
{
    return iter_begin(raw, it, 'l');
}

bool ben_dict(struct slice raw, struct ben_iter *it)
{
    return iter_begin(raw, it, 'd');
}

bool ben_next(struct ben_iter *it, struct slice *key, struct slice *value)
{
    size_t body, len, n;

    *key = (struct slice){0};
    if (it->is_dict) {
        if (!read_str(it->left, &body, &len))
            return false;
        *key = slice_of(it->left.data + body, len);
        it->left = slice_of(it->left.data + body + len, it->left.len - body - len);
    }
    n = span(it->left, 1);
    if (n == 0)
        return false;
    *value = slice_of(it->left.data, n);
    it->left = slice_of(it->left.data + n, it->left.len - n);
    return true;
}

void ben_wr_init(struct ben_wr *b, void *buf, size_t size)
{
    memset(b, 0, sizeof *b);
    wr_init(&b->w, buf, size);
}

static void open_one(struct ben_wr *b, uint8_t type)
{
    if (b->depth >= BEN_DEPTH) {
        b->w.failed = true;
        return;
    }
    b->last[b->depth++] = (struct slice){0};
    wr_u8(&b->w, type);
}

void ben_open_dict(struct ben_wr *b)
{
    open_one(b, 'd');
}

void ben_open_list(struct ben_wr *b)
{
    open_one(b, 'l');
}

void ben_close(struct ben_wr *b)
{
    if (b->depth == 0) {
        b->w.failed = true;
        return;
    }
    b->depth--;
    wr_u8(&b->w, 'e');
}

/* Decimal digits of v, at the end of text: printf() took a fifth of a node's time. */
#define DIGITS_MAX 20
static size_t digits(uint64_t v, char text[static DIGITS_MAX])
{
    size_t n = 0;

    do {
        text[DIGITS_MAX - ++n] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return n;
}

uint8_t *ben_put_room(struct ben_wr *b, size_t len)
{
    char text[DIGITS_MAX + 1];
    size_t n = digits(len, text);

    text[DIGITS_MAX] = ':';
    wr_bytes(&b->w, text + DIGITS_MAX - n, n + 1);
    return wr_room(&b->w, len);
}

void ben_put_str(struct ben_wr *b, struct slice s)
{
    uint8_t *room = ben_put_room(b, s.len);

    if (room != NULL && s.len > 0)
        memcpy(room, s.data, s.len);
}

void ben_put_key(struct ben_wr *b, const char *key)
{
    struct slice k = slice_str(key), *last;
    uint8_t *room;

    if (b->depth == 0) {
        b->w.failed = true;
        return;
    }
    last = &b->last[b->depth - 1];
    if (last->data != NULL && !key_is_after(k, *last))
        b->w.failed = true;
    room = ben_put_room(b, k.len);
    if (room != NULL) {
        memcpy(room, key, k.len);
        *last = slice_of(room, k.len);
    }
}

void ben_put_int(struct ben_wr *b, int64_t v)
{
    char text[DIGITS_MAX];
    size_t n = digits(v < 0 ? -(uint64_t)v : (uint64_t)v, text);

    wr_bytes(&b->w, "i-", v < 0 ? 2 : 1);
    wr_bytes(&b->w, text + DIGITS_MAX - n, n);
    wr_bytes(&b->w, "e", 1);
}

void ben_put_raw(struct ben_wr *b, struct slice raw)
{
    wr_slice(&b->w, raw);
}

struct slice ben_wr_done(const struct ben_wr *b)
{
    return b->depth > 0 ? (struct slice){0} : wr_done(&b->w);
}
