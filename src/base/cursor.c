#include "base/cursor.h"

void rd_init(struct rd *r, struct slice bytes)
{
    static const uint8_t none[1];

    r->at = bytes.data != NULL ? bytes.data : none;
    r->end = r->at + bytes.len;
    r->failed = false;
}

struct slice rd_bytes(struct rd *r, size_t n)
{
    struct slice s = {0};

    if (r->failed || (size_t)(r->end - r->at) < n) {
        r->failed = true;
        return s;
    }
    s = slice_of(r->at, n);
    r->at += n;
    return s;
}

static uint64_t rd_uint(struct rd *r, size_t n)
{
    struct slice s = rd_bytes(r, n);
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++)
        v = v << 8 | s.data[i];
    return v;
}

uint8_t rd_u8(struct rd *r)
{
    return (uint8_t)rd_uint(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
    return (uint16_t)rd_uint(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
    return (uint32_t)rd_uint(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
    return rd_uint(r, 8);
}

void rd_copy(struct rd *r, void *out, size_t n)
{
    struct slice s = rd_bytes(r, n);

    if (s.len == n && n > 0)
        memcpy(out, s.data, n);
    else if (n > 0)
        memset(out, 0, n);
}

void rd_skip(struct rd *r, size_t n)
{
    (void)rd_bytes(r, n);
}

void rd_fail(struct rd *r)
{
    r->failed = true;
}

size_t rd_left(const struct rd *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}

struct slice rd_rest(struct rd *r)
{
    return rd_bytes(r, rd_left(r));
}

bool rd_ok(const struct rd *r)
{
    return !r->failed;
}

bool rd_done(const struct rd *r)
{
    return !r->failed && r->at == r->end;
}

bool rd_zeros(struct rd *r)
{
    struct slice s = rd_rest(r);
    uint8_t any = 0;

    for (size_t i = 0; i < s.len; i++)
        any |= s.data[i];
    return rd_ok(r) && any == 0;
}

void wr_init(struct wr *w, void *buf, size_t size)
{
    w->begin = w->at = buf;
    w->end = w->begin + size;
    w->failed = false;
}

uint8_t *wr_room(struct wr *w, size_t n)
{
    uint8_t *p = w->at;

    if (w->failed || (size_t)(w->end - w->at) < n) {
        w->failed = true;
        return NULL;
    }
    w->at += n;
    return p;
}

static void wr_uint(struct wr *w, uint64_t v, size_t n)
{
    uint8_t *p = wr_room(w, n);

    if (p == NULL)
        return;
    for (size_t i = n; i > 0; i--, v >>= 8)
        p[i - 1] = (uint8_t)v;
}

void wr_u8(struct wr *w, uint8_t v)
{
    wr_uint(w, v, 1);
}

void wr_u16(struct wr *w, uint16_t v)
{
    wr_uint(w, v, 2);
}

void wr_u32(struct wr *w, uint32_t v)
{
    wr_uint(w, v, 4);
}

void wr_u64(struct wr *w, uint64_t v)
{
    wr_uint(w, v, 8);
}

void wr_bytes(struct wr *w, const void *data, size_t n)
{
    uint8_t *p = wr_room(w, n);

    if (p != NULL && n > 0)
        memcpy(p, data, n);
}

void wr_slice(struct wr *w, struct slice s)
{
    wr_bytes(w, s.data, s.len);
}

void wr_text(struct wr *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

void wr_zeros(struct wr *w, size_t n)
{
    uint8_t *p = wr_room(w, n);

    if (p != NULL && n > 0)
        memset(p, 0, n);
}

bool wr_ok(const struct wr *w)
{
    return !w->failed;
}

size_t wr_len(const struct wr *w)
{
    return (size_t)(w->at - w->begin);
}

struct slice wr_done(const struct wr *w)
{
    return w->failed ? (struct slice){0} : slice_of(w->begin, wr_len(w));
}
