#include "crypto/device_wire.h"

#define FLAG_ANSWER 1
#define FLAG_CERT   1

static void read_name(struct rd *r, char out[static ID_NAME_BYTES])
{
    struct slice name = rd_bytes(r, rd_u8(r));

    if (name.len >= ID_NAME_BYTES || (name.len > 0 && memchr(name.data, 0, name.len) != NULL)) {
        rd_fail(r);
        return;
    }
    if (name.len > 0)
        memcpy(out, name.data, name.len);
}

static bool read_flag(struct rd *r, uint8_t flag)
{
    uint8_t flags = rd_u8(r);

    if ((flags & ~flag) != 0)
        rd_fail(r);
    return (flags & flag) != 0;
}

static void read_secret(struct rd *r, struct device_msg *m)
{
    m->S_gen = rd_u32(r);
    rd_copy(r, m->S, KEY_BYTES);
    if (m->has_cert)
        rd_copy(r, m->cert, CERT_BYTES);
}

static void read_fields(struct rd *r, struct device_msg *m)
{
    switch (m->type) {
    case DEVICE_ASK:
        read_name(r, m->name);
        break;
    case DEVICE_DONE:
        m->has_cert = true;
        read_secret(r, m);
        read_name(r, m->name);
        m->list = device_list_slice(r);
        break;
    case DEVICE_STATE:
        m->wants_answer = read_flag(r, FLAG_ANSWER);
        m->gen = rd_u32(r);
        m->S_gen = rd_u32(r);
        rd_copy(r, m->digest, sizeof m->digest);
        break;
    case DEVICE_KEYS:
        m->has_cert = read_flag(r, FLAG_CERT);
        read_secret(r, m);
        m->list = device_list_slice(r);
        break;
    case DEVICE_OFFER:
        rd_copy(r, m->D, KEY_BYTES);
        rd_copy(r, m->Q, KEY_BYTES);
        break;
    case DEVICE_REMOVED:
        m->list = device_list_slice(r);
        break;
    case DEVICE_WAIT:
    case DEVICE_NO:
    case DEVICE_TAKEN:
        break;
    }
}

enum err device_parse(struct slice bytes, struct device_msg *out)
{
    struct rd r;
    uint8_t type;
    enum err e = ERR_PARSE;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    type = rd_u8(&r);
    if (!rd_ok(&r))
        return ERR_PARSE;
    if (type < DEVICE_FIRST || type > DEVICE_LAST)
        return ERR_VERSION;
    out->type = (enum device_msg_type)type;
    read_fields(&r, out);
    if (rd_done(&r))
        e = ERR_OK;
    if (e != ERR_OK)
        secret_wipe(out, sizeof *out);
    return e;
}

static void write_name(struct wr *w, const char *name)
{
    wr_u8(w, (uint8_t)strlen(name));
    wr_text(w, name);
}

static void write_secret(struct wr *w, const struct device_msg *m)
{
    wr_u32(w, m->S_gen);
    wr_bytes(w, m->S, KEY_BYTES);
    if (m->has_cert)
        wr_bytes(w, m->cert, CERT_BYTES);
}

struct slice device_write(uint8_t buf[static DEVICE_MESSAGE_MAX], const struct device_msg *m)
{
    struct wr w;

    wr_init(&w, buf, DEVICE_MESSAGE_MAX);
    wr_u8(&w, (uint8_t)m->type);
    switch (m->type) {
    case DEVICE_ASK:
        write_name(&w, m->name);
        break;
    case DEVICE_DONE:
        write_secret(&w, m);
        write_name(&w, m->name);
        wr_slice(&w, m->list);
        break;
    case DEVICE_STATE:
        wr_u8(&w, m->wants_answer ? FLAG_ANSWER : 0);
        wr_u32(&w, m->gen);
        wr_u32(&w, m->S_gen);
        wr_bytes(&w, m->digest, sizeof m->digest);
        break;
    case DEVICE_KEYS:
        wr_u8(&w, m->has_cert ? FLAG_CERT : 0);
        write_secret(&w, m);
        wr_slice(&w, m->list);
        break;
    case DEVICE_OFFER:
        wr_bytes(&w, m->D, KEY_BYTES);
        wr_bytes(&w, m->Q, KEY_BYTES);
        break;
    case DEVICE_REMOVED:
        wr_slice(&w, m->list);
        break;
    case DEVICE_WAIT:
    case DEVICE_NO:
    case DEVICE_TAKEN:
        break;
    }
    return wr_done(&w);
}

void device_digest(const uint8_t S[static KEY_BYTES], uint8_t out[static DEVICE_DIGEST_BYTES])
{
    struct hasher h;

    hash_begin(&h, DEVICE_DIGEST_BYTES, S, KEY_BYTES);
    hash_text(&h, "itodenwa-own-state-v1");
    hash_end(&h, out);
}
