#include "dht/krpc.h"

enum kind { KIND_STR, KIND_INT, KIND_RAW, KIND_BODY };

/* One key of a dictionary: where it goes, and what sizes it may have. */
struct field {
    const char *key;
    enum kind kind;
    uint16_t offset; /* of a struct slice or a struct krpc_int */
    uint16_t min, max, step;
    bool is_zone; /* ours alone: on mainline the same key is somebody else's, and ignored */
};

#define FIELD(key, kind, member, min, max, step, is_zone)                      \
    {                                                                          \
        key, kind, offsetof(struct FIELDS_OF, member), min, max, step, is_zone \
    }
#define STR(key, member, min, max, step)  FIELD(key, KIND_STR, member, min, max, step, false)
#define INT(key, member)                  FIELD(key, KIND_INT, member, 0, 0, 0, false)
#define RAW(key, member, max)             FIELD(key, KIND_RAW, member, 2, max, 1, false)
#define ZSTR(key, member, min, max, step) FIELD(key, KIND_STR, member, min, max, step, true)
#define ZINT(key, member)                 FIELD(key, KIND_INT, member, 0, 0, 0, true)
#define ZRAW(key, member, max)            FIELD(key, KIND_RAW, member, 2, max, 1, true)

/* Sorted by key, as they are written. */
#define FIELDS_OF krpc_body
static const struct field body_fields[] = {
    ZSTR("ad", ad, 1, KRPC_ADVERT_MAX, 1),
    ZRAW("ads", ads, KRPC_IN_MAX),
    ZINT("bits", bits),
    ZSTR("blob", blob, KRPC_BLOB_BYTES, KRPC_BLOB_BYTES, 1),
    ZSTR("body", body, 1, KRPC_ROUTE_MAX, 1),
    INT("cas", cas),
    ZSTR("f", f, 4, 4, 1),
    ZSTR("h", h, 0, KRPC_BLOB_HASHES * 8, 8),
    STR("id", id, 20, 20, 1),
    INT("implied_port", implied_port),
    STR("info_hash", info_hash, 20, 20, 1),
    STR("k", k, 32, 32, 1),
    ZINT("n", n),
    STR("nodes", nodes, 0, KRPC_IN_MAX, 26),
    STR("nodes6", nodes6, 0, KRPC_IN_MAX, 38),
    ZSTR("nonce", nonce, 8, 8, 1),
    INT("port", port),
    STR("salt", salt, 0, KRPC_IN_MAX, 1), /* over 64 bytes is error 207, not silence */
    INT("seq", seq),
    STR("sig", sig, 64, 64, 1),
    STR("target", target, 20, 20, 1),
    STR("token", token, 1, KRPC_TOKEN_MAX, 1),
    RAW("v", v, KRPC_IN_MAX), /* over 1000 bytes is error 205, not silence */
    RAW("values", values, KRPC_IN_MAX),
    RAW("want", want, 64),
    ZSTR("x", pad, 1, KRPC_PAD_MAX, 1),
    ZSTR("zn", zn, 0, KRPC_IN_MAX, 1),
    ZSTR("zv", zv, 0, KRPC_IN_MAX, KRPC_ZV),
};
#undef FIELDS_OF

/* What the two-step parse of the top level needs beside struct krpc_msg. */
struct top {
    struct krpc_msg *m;
    struct slice a, r, e, q, y;
    bool is_zone;
};

#define FIELDS_OF krpc_msg
static const struct field top_fields[] = {
    {"a", KIND_BODY, 0, 0, 0, 0, false},
    ZSTR("c", cookie, KRPC_COOKIE, KRPC_COOKIE, 1),
    {"e", KIND_BODY, 0, 0, 0, 0, false},
    STR("ip", ip, 6, 18, 6),
    ZSTR("k", k, 32, 32, 1),
    ZSTR("m", member, KRPC_MEMBER, KRPC_MEMBER, 1),
    ZSTR("mac", mac, 16, 16, 1),
    ZSTR("p", p, 8, 8, 1),
    {"q", KIND_BODY, 0, 0, 0, 0, false},
    {"r", KIND_BODY, 0, 0, 0, 0, false},
    INT("ro", ro),
    ZSTR("sig", sig, 64, 64, 1),
    STR("t", t, 1, KRPC_T_MAX, 1),
    ZINT("ts", ts),
    STR("v", version, 0, 64, 1),
    ZSTR("w", voucher, KRPC_VOUCHER, KRPC_VOUCHER, 1),
    {"y", KIND_BODY, 0, 0, 0, 0, false},
    STR("z", z, 8, 8, 1),
    ZSTR("zn", hint, 0, KRPC_IN_MAX, 1),
};
#undef FIELDS_OF

static const char *const method_names[KRPC_METHODS] = {
    "",         "ping",     "find_node",  "get",        "put",     "get_peers", "announce_peer",
    "drop_put", "drop_get", "advert_put", "advert_get", "observe", "notify",    "route",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *krpc_method_name(enum krpc_method m)
{
    return m < KRPC_METHODS ? method_names[m] : "";
}

static enum krpc_method method_of(struct slice name)
{
    for (unsigned i = KRPC_UNKNOWN + 1; i < KRPC_METHODS; i++)
        if (name.len > 0 && method_names[i][0] == (char)name.data[0] && slice_is(name, method_names[i]))
            return (enum krpc_method)i;
    return KRPC_UNKNOWN;
}

static const struct field *find_field(const struct field *fields, size_t n, struct slice key, bool is_zone)
{
    for (size_t i = 0; i < n; i++)
        if (key.len > 0 && fields[i].key[0] == (char)key.data[0] && slice_is(key, fields[i].key))
            return fields[i].is_zone && !is_zone ? NULL : &fields[i];
    return NULL;
}

static bool read_field(const struct field *f, void *base, struct slice raw)
{
    void *at = (char *)base + f->offset;
    struct slice s = raw;
    int64_t v;

    if (f->kind == KIND_INT) {
        if (!ben_int(raw, &v))
            return false;
        *(struct krpc_int *)at = (struct krpc_int){.v = v, .is_set = true};
        return true;
    }
    if (f->kind == KIND_STR && !ben_str(raw, &s))
        return false;
    if (s.len < f->min || s.len > f->max || (f->step > 1 && s.len % f->step != 0))
        return false;
    *(struct slice *)at = s;
    return true;
}

static bool read_body(struct slice raw, struct krpc_body *b, bool is_zone)
{
    struct slice key, value;
    struct ben_iter it;

    if (!ben_dict(raw, &it))
        return false;
    while (ben_next(&it, &key, &value)) {
        const struct field *f = find_field(body_fields, COUNT(body_fields), key, is_zone);

        if (f != NULL && !read_field(f, b, value))
            return false;
    }
    return true;
}

static bool read_error(struct slice raw, struct krpc_msg *m)
{
    struct slice key, code, text;
    struct ben_iter it;
    int64_t v;

    if (!ben_list(raw, &it) || !ben_next(&it, &key, &code) || !ben_next(&it, &key, &text))
        return false;
    if (!ben_int(code, &v) || v < 0 || v > 99999 || !ben_str(text, &m->text))
        return false;
    m->code = (int32_t)v;
    return true;
}

static bool read_special(struct top *top, struct slice key, struct slice value)
{
    switch (key.data[0]) {
    case 'a':
        top->a = value;
        return true;
    case 'e':
        top->e = value;
        return true;
    case 'r':
        top->r = value;
        return true;
    case 'q':
        return ben_str(value, &top->q);
    default:
        return ben_str(value, &top->y);
    }
}

/* Has it a zone id? */
static bool is_of_zone(struct slice packet)
{
    struct slice key, value;
    struct ben_iter it;

    if (!ben_dict(packet, &it))
        return false;
    while (ben_next(&it, &key, &value))
        if (slice_is(key, "z"))
            return true;
    return false;
}

/* BEP 42's `ip` in the forms old clients send it is worth nothing, and no reason to drop an answer. */
static bool is_odd_ip(const struct field *f, struct slice raw)
{
    struct slice s;

    return f->offset == offsetof(struct krpc_msg, ip) && f->kind == KIND_STR &&
           (!ben_str(raw, &s) || (s.len != 6 && s.len != 18));
}

static bool read_top(struct slice packet, struct top *top)
{
    struct slice key, value;
    struct ben_iter it;

    top->is_zone = is_of_zone(packet);
    if (!ben_dict(packet, &it))
        return false;
    while (ben_next(&it, &key, &value)) {
        const struct field *f = find_field(top_fields, COUNT(top_fields), key, top->is_zone);

        if (f == NULL || (!top->is_zone && is_odd_ip(f, value)))
            continue;
        if (f->kind == KIND_BODY ? !read_special(top, key, value) : !read_field(f, top->m, value))
            return false;
        if (f->is_zone && (slice_is(key, "sig") || slice_is(key, "mac"))) {
            top->m->cut_at = (uint16_t)(key.data - 2 - packet.data);
            top->m->cut_len = (uint16_t)(value.data + value.len - (key.data - 2));
        }
    }
    return true;
}

/* What a message of a zone must carry. */
static bool zone_is_whole(const struct krpc_msg *m)
{
    if (m->z.data == NULL)
        return m->sig.data == NULL && m->mac.data == NULL;
    if (m->type == KRPC_ERROR && m->code == KRPC_E_COOKIE)
        return m->cookie.data != NULL && m->sig.data == NULL && m->mac.data == NULL && m->member.data == NULL;
    return m->k.data != NULL && m->p.data != NULL && m->ts.is_set &&
           (m->sig.data == NULL) != (m->mac.data == NULL);
}

enum err krpc_parse(struct slice packet, struct krpc_msg *out)
{
    struct top top = {.m = out};
    bool ok = false;

    memset(out, 0, sizeof *out);
    if (packet.len > KRPC_IN_MAX || ben_check(packet) != ERR_OK || !read_top(packet, &top))
        return ERR_PARSE;
    if (slice_is(top.y, "q") && top.a.data != NULL && top.q.data != NULL) {
        out->type = KRPC_QUERY;
        out->method = method_of(top.q);
        ok = read_body(top.a, &out->b, top.is_zone) && out->b.id.data != NULL;
    } else if (slice_is(top.y, "r") && top.r.data != NULL) {
        out->type = KRPC_ANSWER;
        ok = read_body(top.r, &out->b, top.is_zone) && out->b.id.data != NULL;
    } else if (slice_is(top.y, "e") && top.e.data != NULL) {
        out->type = KRPC_ERROR;
        ok = read_error(top.e, out);
        if (ok && top.is_zone && out->code == KRPC_E_COOKIE && top.r.data != NULL)
            ok = read_body(top.r, &out->b, true);
    }
    return ok && out->t.data != NULL && zone_is_whole(out) ? ERR_OK : ERR_PARSE;
}

static void write_field(struct ben_wr *w, const struct field *f, const void *base)
{
    const void *at = (const char *)base + f->offset;

    if (f->kind == KIND_INT) {
        const struct krpc_int *v = at;

        if (v->is_set) {
            ben_put_key(w, f->key);
            ben_put_int(w, v->v);
        }
    } else {
        const struct slice *s = at;

        if (s->data == NULL)
            return;
        ben_put_key(w, f->key);
        if (f->kind == KIND_RAW)
            ben_put_raw(w, *s);
        else
            ben_put_str(w, *s);
    }
}

static void write_body(struct ben_wr *w, const char *key, const struct krpc_body *b)
{
    ben_put_key(w, key);
    ben_open_dict(w);
    for (size_t i = 0; i < COUNT(body_fields); i++)
        write_field(w, &body_fields[i], b);
    ben_close(w);
}

static void write_special(struct ben_wr *w, char key, const struct krpc_msg *m)
{
    static const char *const types[] = {"q", "r", "e"};

    if (key == 'a' && m->type == KRPC_QUERY) {
        write_body(w, "a", &m->b);
    } else if (key == 'r' && (m->type == KRPC_ANSWER || (m->code == KRPC_E_COOKIE && m->b.seq.is_set))) {
        write_body(w, "r", &m->b);
    } else if (key == 'e' && m->type == KRPC_ERROR) {
        ben_put_key(w, "e");
        ben_open_list(w);
        ben_put_int(w, m->code);
        ben_put_str(w, m->text);
        ben_close(w);
    } else if (key == 'q' && m->type == KRPC_QUERY) {
        ben_put_key(w, "q");
        ben_put_str(w, slice_str(krpc_method_name(m->method)));
    } else if (key == 'y') {
        ben_put_key(w, "y");
        ben_put_str(w, slice_str(types[m->type]));
    }
}

struct slice krpc_write(struct krpc_msg *m, uint8_t *buf, size_t size)
{
    struct ben_wr w;

    m->cut_at = m->cut_len = 0;
    ben_wr_init(&w, buf, size);
    ben_open_dict(&w);
    for (size_t i = 0; i < COUNT(top_fields); i++) {
        const struct field *f = &top_fields[i];
        size_t before = wr_len(&w.w);

        if (f->kind == KIND_BODY) {
            write_special(&w, f->key[0], m);
            continue;
        }
        write_field(&w, f, m);
        if (wr_len(&w.w) > before &&
            (f->offset == offsetof(struct krpc_msg, sig) || f->offset == offsetof(struct krpc_msg, mac))) {
            m->cut_at = (uint16_t)before;
            m->cut_len = (uint16_t)(wr_len(&w.w) - before);
        }
    }
    ben_close(&w);
    return ben_wr_done(&w);
}

size_t krpc_cut(struct slice packet, const struct krpc_msg *m, uint8_t *buf)
{
    size_t tail = (size_t)m->cut_at + m->cut_len;

    memcpy(buf, packet.data, m->cut_at);
    memcpy(buf + m->cut_at, packet.data + tail, packet.len - tail);
    return packet.len - m->cut_len;
}

bool krpc_v_string(const struct krpc_msg *m, struct slice *out)
{
    return m->b.v.len <= KRPC_V_MAX && m->b.v.data != NULL && ben_str(m->b.v, out);
}

bool krpc_read_compact(struct slice bytes, struct addr *out)
{
    uint16_t port;

    if (bytes.len != 6 && bytes.len != 18)
        return false;
    port = (uint16_t)(bytes.data[bytes.len - 2] << 8 | bytes.data[bytes.len - 1]);
    *out = bytes.len == 6 ? addr_v4(bytes.data, port) : addr_v6(bytes.data, port);
    return true;
}

size_t krpc_write_compact(const struct addr *a, uint8_t out[static 18])
{
    size_t n = addr_ip_bytes(a);

    memcpy(out, a->ip, n);
    out[n] = (uint8_t)(a->port >> 8);
    out[n + 1] = (uint8_t)a->port;
    return n + 2;
}
