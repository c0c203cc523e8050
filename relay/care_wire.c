#include "relay/care_wire.h"

static void read_item(struct rd *r, struct item *item)
{
    struct slice v;

    rd_copy(r, item->k, sizeof item->k);
    item->seq = (int64_t)rd_u64(r);
    rd_copy(r, item->sig, sizeof item->sig);
    item->v_len = rd_u16(r);
    v = rd_rest(r);
    if (v.len != item->v_len || v.len == 0 || v.len > CARE_V_MAX || item->seq < 0) {
        rd_fail(r);
        return;
    }
    memcpy(item->v, v.data, v.len);
}

static void put_item(struct wr *w, const struct item *item)
{
    wr_bytes(w, item->k, sizeof item->k);
    wr_u64(w, (uint64_t)item->seq);
    wr_bytes(w, item->sig, sizeof item->sig);
    wr_u16(w, item->v_len);
    wr_bytes(w, item->v, item->v_len);
}

static uint8_t flags_of(enum care_type type)
{
    switch (type) {
    case CARE_KEEP:
        return CARE_FLAG_HERE | CARE_FLAG_ONCE;
    case CARE_KEPT:
        return CARE_FLAG_TAKEN | CARE_FLAG_STORED;
    case CARE_WATCH:
        return CARE_FLAG_NO_MORE;
    default:
        return 0;
    }
}

static void read_body(struct rd *r, struct care_msg *m, uint8_t a, uint8_t b)
{
    switch (m->type) {
    case CARE_KEEP:
    case CARE_DROP:
        m->slot = a;
        if (a >= CARE_SLOTS || b != 0)
            rd_fail(r);
        if (m->type == CARE_DROP)
            break;
        m->from_s = (int64_t)rd_u64(r);
        m->until_s = (int64_t)rd_u64(r);
        if (m->from_s < 0 || m->until_s < m->from_s)
            rd_fail(r);
        read_item(r, &m->item);
        break;
    case CARE_KEPT:
    case CARE_DONE:
        m->why = a;
        m->n = b;
        if (a > CARE_WHY_ALONE)
            rd_fail(r);
        break;
    case CARE_GET:
        m->min_seq = (int64_t)rd_u64(r);
        rd_copy(r, m->key, sizeof m->key);
        if (a != 0 || b != 0 || m->min_seq < 0)
            rd_fail(r);
        break;
    case CARE_VALUE:
        if (a != 0 || b != 0)
            rd_fail(r);
        read_item(r, &m->item);
        break;
    case CARE_LOOK:
    case CARE_BLOB:
    case CARE_NEWS:
        rd_copy(r, m->drop, sizeof m->drop);
        if (m->type == CARE_BLOB) {
            rd_copy(r, m->nonce, sizeof m->nonce);
            rd_copy(r, m->blob, sizeof m->blob);
        }
        if (a != 0 || b != 0)
            rd_fail(r);
        break;
    case CARE_WATCH:
        m->week = rd_u32(r);
        for (int i = 0; i < CARE_WEEKS; i++)
            rd_copy(r, m->drops[i], CARE_DROP_BYTES);
        if (a != 0 || b != 0)
            rd_fail(r);
        break;
    }
}

bool care_is_of_client(uint8_t type)
{
    return type == CARE_KEEP || type == CARE_DROP || type == CARE_GET || type == CARE_LOOK ||
           type == CARE_WATCH;
}

enum err care_parse(struct slice bytes, struct care_msg *m)
{
    uint8_t type, a, b;
    struct rd r;

    memset(m, 0, sizeof *m);
    rd_init(&r, bytes);
    type = rd_u8(&r);
    if (bytes.len >= 8 && (type < CARE_KEEP || type > CARE_WATCH))
        return ERR_VERSION;
    m->type = type;
    m->flags = rd_u8(&r);
    a = rd_u8(&r);
    b = rd_u8(&r);
    m->req = rd_u32(&r);
    if (rd_ok(&r) && (m->flags & ~flags_of(m->type)) == 0)
        read_body(&r, m, a, b);
    else
        rd_fail(&r);
    if (rd_done(&r))
        return ERR_OK;
    memset(m, 0, sizeof *m);
    return ERR_PARSE;
}

struct slice care_write(void *buf, size_t size, const struct care_msg *m)
{
    bool is_slot = m->type == CARE_KEEP || m->type == CARE_DROP;
    bool is_answer = m->type == CARE_KEPT || m->type == CARE_DONE;
    struct wr w;

    wr_init(&w, buf, size);
    wr_u8(&w, (uint8_t)m->type);
    wr_u8(&w, m->flags);
    wr_u8(&w, is_slot ? m->slot : is_answer ? m->why : 0);
    wr_u8(&w, is_answer ? m->n : 0);
    wr_u32(&w, m->req);
    if (m->type == CARE_KEEP) {
        wr_u64(&w, (uint64_t)m->from_s);
        wr_u64(&w, (uint64_t)m->until_s);
    }
    if (m->type == CARE_GET) {
        wr_u64(&w, (uint64_t)m->min_seq);
        wr_bytes(&w, m->key, sizeof m->key);
    }
    if (m->type == CARE_KEEP || m->type == CARE_VALUE)
        put_item(&w, &m->item);
    if (m->type == CARE_LOOK || m->type == CARE_BLOB || m->type == CARE_NEWS)
        wr_bytes(&w, m->drop, sizeof m->drop);
    if (m->type == CARE_BLOB) {
        wr_bytes(&w, m->nonce, sizeof m->nonce);
        wr_bytes(&w, m->blob, sizeof m->blob);
    }
    if (m->type == CARE_WATCH) {
        wr_u32(&w, m->week);
        for (int i = 0; i < CARE_WEEKS; i++)
            wr_bytes(&w, m->drops[i], CARE_DROP_BYTES);
    }
    return wr_done(&w);
}
