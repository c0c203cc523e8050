#include "relay/favour_wire.h"

static void read_met(struct rd *r, struct favour_msg *m)
{
    m->n_met = rd_u8(r);
    if (m->n_met == 0 || m->n_met > FAVOUR_MET_MAX || rd_u8(r) != 0 || rd_u16(r) != 0) {
        rd_fail(r);
        return;
    }
    for (uint8_t i = 0; i < m->n_met; i++) {
        rd_copy(r, m->met[i].relay, sizeof m->met[i].relay);
        m->met[i].good = rd_u16(r);
        m->met[i].bad = rd_u16(r);
    }
}

static void read_addr(struct rd *r, struct addr *out)
{
    size_t before = rd_left(r);

    addr_read(r, out);
    /* an address of one family written as the other would not be read as it was meant */
    if (out->port == 0 || before - rd_left(r) != (out->family == ADDR_V4 ? 7u : 19u))
        rd_fail(r);
}

static void read_fields(struct rd *r, struct favour_msg *m)
{
    struct sponsor_line line;

    switch (m->type) {
    case FAVOUR_PASS:
        rd_copy(r, m->relay, sizeof m->relay);
        rd_copy(r, m->pass, sizeof m->pass);
        read_addr(r, &m->addr);
        break;
    case FAVOUR_OFFER:
        rd_copy(r, m->relay, sizeof m->relay);
        m->line_s = rd_u32(r);
        m->per_days = rd_u16(r);
        if (rd_u16(r) != 0 || m->per_days == 0)
            rd_fail(r);
        read_addr(r, &m->addr);
        break;
    case FAVOUR_ACCEPT:
        rd_copy(r, m->relay, sizeof m->relay);
        rd_copy(r, m->account, sizeof m->account);
        break;
    case FAVOUR_LINE:
        rd_copy(r, m->paper, sizeof m->paper);
        if (rd_ok(r) && sponsor_parse(slice_of(m->paper, sizeof m->paper), &line) != ERR_OK)
            rd_fail(r);
        break;
    case FAVOUR_MET:
        read_met(r, m);
        break;
    }
}

enum err favour_parse(struct slice bytes, struct favour_msg *out)
{
    struct rd r;
    uint8_t type;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    type = rd_u8(&r);
    if (rd_ok(&r) && (type < FAVOUR_FIRST || type > FAVOUR_LAST))
        return ERR_VERSION;
    out->type = (enum favour_type)type;
    if (rd_u8(&r) != 0 || rd_u16(&r) != 0)
        rd_fail(&r);
    if (rd_ok(&r))
        read_fields(&r, out);
    if (rd_ok(&r) && rd_left(&r) == 0)
        return ERR_OK;
    memset(out, 0, sizeof *out);
    return ERR_PARSE;
}

struct slice favour_write(uint8_t buf[static FAVOUR_MESSAGE_MAX], const struct favour_msg *m)
{
    struct wr w;

    wr_init(&w, buf, FAVOUR_MESSAGE_MAX);
    wr_u8(&w, (uint8_t)m->type);
    wr_u8(&w, 0);
    wr_u16(&w, 0);
    switch (m->type) {
    case FAVOUR_PASS:
        wr_bytes(&w, m->relay, sizeof m->relay);
        wr_bytes(&w, m->pass, sizeof m->pass);
        addr_write(&w, &m->addr);
        break;
    case FAVOUR_OFFER:
        wr_bytes(&w, m->relay, sizeof m->relay);
        wr_u32(&w, m->line_s);
        wr_u16(&w, m->per_days);
        wr_u16(&w, 0);
        addr_write(&w, &m->addr);
        break;
    case FAVOUR_ACCEPT:
        wr_bytes(&w, m->relay, sizeof m->relay);
        wr_bytes(&w, m->account, sizeof m->account);
        break;
    case FAVOUR_LINE:
        wr_bytes(&w, m->paper, sizeof m->paper);
        break;
    case FAVOUR_MET:
        wr_u8(&w, m->n_met);
        wr_u8(&w, 0);
        wr_u16(&w, 0);
        for (uint8_t i = 0; i < m->n_met && i < FAVOUR_MET_MAX; i++) {
            wr_bytes(&w, m->met[i].relay, sizeof m->met[i].relay);
            wr_u16(&w, m->met[i].good);
            wr_u16(&w, m->met[i].bad);
        }
        break;
    }
    return wr_done(&w);
}
