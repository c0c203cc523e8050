#include "crypto/item.h"

#include <sodium.h>
#include <stdio.h>

#define V_VERSION      1
#define V_NONCE_BYTES  24
#define V_HEAD_BYTES   (1 + V_NONCE_BYTES)
#define V_FRAME_BYTES  (V_HEAD_BYTES + AEAD_TAG_BYTES)
#define RECORD_VERSION 1
#define BENCODED_MAX   1000 /* BEP 44 */
#define SALT_MAX       64   /* BEP 44 */
#define BEP44_HEAD_MAX (SALT_MAX + 48)

/* --- epochs and keys --- */

static int64_t epoch_offset(const uint8_t P[static KEY_BYTES], const uint8_t X[static KEY_BYTES])
{
    uint8_t b[4];
    struct hasher h;

    hash_begin(&h, sizeof b, X, KEY_BYTES);
    hash_text(&h, "itodenwa-epoch-v1");
    hash_bytes(&h, P, KEY_BYTES);
    hash_end(&h, b);
    return (int64_t)(((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]) %
                     ITEM_EPOCH_S);
}

/* Times before 1970 count as 1970: zone time is never there. */
static int64_t shifted(const uint8_t P[static KEY_BYTES], const uint8_t X[static KEY_BYTES], int64_t t_s)
{
    return (t_s > 0 ? t_s : 0) + epoch_offset(P, X);
}

uint64_t item_epoch(const uint8_t P[static KEY_BYTES], const uint8_t X[static KEY_BYTES], int64_t t_s)
{
    return (uint64_t)(shifted(P, X, t_s) / ITEM_EPOCH_S);
}

int64_t item_epoch_left_s(const uint8_t P[static KEY_BYTES], const uint8_t X[static KEY_BYTES], int64_t t_s)
{
    return ITEM_EPOCH_S - shifted(P, X, t_s) % ITEM_EPOCH_S;
}

static void blind_hash(enum item_kind kind, const uint8_t P[static KEY_BYTES],
                       const uint8_t X[static KEY_BYTES], uint64_t epoch, uint8_t out[static 64])
{
    struct hasher h;

    hash_begin(&h, 64, X, KEY_BYTES);
    hash_text(&h, "itodenwa-blind-v1");
    hash_u8(&h, (uint8_t)kind);
    hash_bytes(&h, P, KEY_BYTES);
    hash_u64(&h, epoch);
    hash_end(&h, out);
}

enum err item_blind_public(enum item_kind kind, const uint8_t P[static KEY_BYTES],
                           const uint8_t X[static KEY_BYTES], uint64_t epoch, uint8_t out[static KEY_BYTES])
{
    uint8_t h[64];
    enum err e;

    blind_hash(kind, P, X, epoch, h);
    e = blind_public(h, P, out);
    sodium_memzero(h, sizeof h);
    return e;
}

enum err item_blind_secret(enum item_kind kind, const struct sign_key *key, const uint8_t X[static KEY_BYTES],
                           uint64_t epoch, struct blind_key *out)
{
    uint8_t h[64];
    enum err e;

    if (secret_is_zero(key->seed, KEY_BYTES)) {
        sodium_memzero(out, sizeof *out);
        return ERR_STATE;
    }
    blind_hash(kind, key->pub, X, epoch, h);
    e = blind_secret(h, key, out);
    sodium_memzero(h, sizeof h);
    return e;
}

/* --- BEP 44 signatures --- */

/* What is signed; empty when salt or value is too large. */
static struct slice bep44_buffer(struct slice salt, int64_t seq, struct slice v_head, struct slice v,
                                 uint8_t buf[static BEP44_HEAD_MAX + BENCODED_MAX])
{
    char head[48];
    struct wr w;

    if (salt.len > SALT_MAX || v_head.len + v.len > BENCODED_MAX)
        return (struct slice){0};
    wr_init(&w, buf, BEP44_HEAD_MAX + BENCODED_MAX);
    if (salt.len > 0) {
        snprintf(head, sizeof head, "4:salt%zu:", salt.len);
        wr_text(&w, head);
        wr_slice(&w, salt);
    }
    snprintf(head, sizeof head, "3:seqi%llde1:v", (long long)seq);
    wr_text(&w, head);
    wr_slice(&w, v_head);
    wr_slice(&w, v);
    return wr_done(&w);
}

static enum err check(const uint8_t k[static KEY_BYTES], struct slice message,
                      const uint8_t sig[static SIG_BYTES])
{
    if (message.len == 0)
        return ERR_RANGE;
    return crypto_sign_verify_detached(sig, message.data, message.len, k) == 0 ? ERR_OK : ERR_AUTH;
}

enum err bep44_sign(const struct blind_key *key, struct slice salt, int64_t seq, struct slice v_bencoded,
                    uint8_t sig[static SIG_BYTES])
{
    uint8_t buf[BEP44_HEAD_MAX + BENCODED_MAX];
    struct slice message = bep44_buffer(salt, seq, (struct slice){0}, v_bencoded, buf);

    if (message.len == 0)
        return ERR_RANGE;
    blind_sign(key, message, sig);
    return ERR_OK;
}

enum err bep44_verify(const uint8_t k[static KEY_BYTES], struct slice salt, int64_t seq,
                      struct slice v_bencoded, const uint8_t sig[static SIG_BYTES])
{
    uint8_t buf[BEP44_HEAD_MAX + BENCODED_MAX];

    return check(k, bep44_buffer(salt, seq, (struct slice){0}, v_bencoded, buf), sig);
}

/* The signed buffer of a value that is a byte string. */
static struct slice string_buffer(int64_t seq, struct slice v,
                                  uint8_t buf[static BEP44_HEAD_MAX + BENCODED_MAX])
{
    char head[24];

    snprintf(head, sizeof head, "%zu:", v.len);
    return bep44_buffer((struct slice){0}, seq, slice_str(head), v, buf);
}

enum err item_sign_bep44(const struct blind_key *key, int64_t seq, struct slice v,
                         uint8_t sig[static SIG_BYTES])
{
    uint8_t buf[BEP44_HEAD_MAX + BENCODED_MAX];
    struct slice message = string_buffer(seq, v, buf);

    if (message.len == 0)
        return ERR_RANGE;
    blind_sign(key, message, sig);
    return ERR_OK;
}

enum err item_verify(const struct item *item)
{
    uint8_t buf[BEP44_HEAD_MAX + BENCODED_MAX];

    if (item->v_len > ITEM_V_MAX)
        return ERR_RANGE;
    return check(item->k, string_buffer(item->seq, slice_of(item->v, item->v_len), buf), item->sig);
}

/* --- sealing ---
 *
 *   offset  size  field
 *   0       1     01
 *   1       24    nonce, random
 *   25      n     XChaCha20-Poly1305, ad = P': len2 plain zeros, tag; 448, 704 or 960 bytes in all */

static const uint16_t v_sizes[] = {448, 704, ITEM_SEALED_MAX};

static void seal_key(const uint8_t X[static KEY_BYTES], const uint8_t P_blind[static KEY_BYTES],
                     uint8_t out[static KEY_BYTES])
{
    struct hasher h;

    hash_begin(&h, KEY_BYTES, X, KEY_BYTES);
    hash_text(&h, "itodenwa-seal-v1");
    hash_bytes(&h, P_blind, KEY_BYTES);
    hash_end(&h, out);
}

enum err item_seal(const struct env *env, const uint8_t X[static KEY_BYTES],
                   const uint8_t P_blind[static KEY_BYTES], struct slice plain,
                   uint8_t v[static ITEM_SEALED_MAX], uint16_t *v_len)
{
    uint8_t key[KEY_BYTES], padded[ITEM_SEALED_MAX];
    struct wr w;
    size_t i = 0, room;

    *v_len = 0;
    if (plain.len > ITEM_PLAIN_MAX)
        return ERR_FULL;
    while (v_sizes[i] - V_FRAME_BYTES < (int)plain.len + 2)
        i++;
    room = v_sizes[i] - V_FRAME_BYTES;
    wr_init(&w, padded, room);
    wr_u16(&w, (uint16_t)plain.len);
    wr_slice(&w, plain);
    wr_zeros(&w, room - 2 - plain.len);
    v[0] = V_VERSION;
    env_random(env, v + 1, V_NONCE_BYTES);
    seal_key(X, P_blind, key);
    crypto_aead_xchacha20poly1305_ietf_encrypt(v + V_HEAD_BYTES, NULL, padded, room, P_blind, KEY_BYTES, NULL,
                                               v + 1, key);
    *v_len = v_sizes[i];
    sodium_memzero(key, sizeof key);
    sodium_memzero(padded, sizeof padded);
    return ERR_OK;
}

static bool is_v_size(size_t n)
{
    return n == v_sizes[0] || n == v_sizes[1] || n == v_sizes[2];
}

enum err item_open(const uint8_t X[static KEY_BYTES], const uint8_t P_blind[static KEY_BYTES], struct slice v,
                   uint8_t plain[static ITEM_PLAIN_MAX], size_t *len)
{
    uint8_t key[KEY_BYTES], padded[ITEM_SEALED_MAX];
    struct slice inside;
    struct rd r;
    enum err e = ERR_AUTH;
    int bad;

    *len = 0;
    if (!is_v_size(v.len) || v.data[0] != V_VERSION)
        return ERR_PARSE;
    seal_key(X, P_blind, key);
    bad = crypto_aead_xchacha20poly1305_ietf_decrypt(
        padded, NULL, NULL, v.data + V_HEAD_BYTES, v.len - V_HEAD_BYTES, P_blind, KEY_BYTES, v.data + 1, key);
    if (bad != 0)
        goto out;
    rd_init(&r, slice_of(padded, v.len - V_FRAME_BYTES));
    inside = rd_bytes(&r, rd_u16(&r));
    e = ERR_PARSE;
    if (!rd_zeros(&r) || inside.len > ITEM_PLAIN_MAX)
        goto out;
    memcpy(plain, inside.data, inside.len);
    *len = inside.len;
    e = ERR_OK;
out:
    sodium_memzero(key, sizeof key);
    sodium_memzero(padded, sizeof padded);
    return e;
}

enum err item_build(const struct env *env, enum item_kind kind, const struct sign_key *key,
                    const uint8_t X[static KEY_BYTES], uint64_t epoch, int64_t seq, struct slice plain,
                    struct item *out)
{
    struct blind_key blind;
    enum err e;

    memset(out, 0, sizeof *out);
    e = item_blind_secret(kind, key, X, epoch, &blind);
    if (e != ERR_OK)
        return e;
    memcpy(out->k, blind.pub, KEY_BYTES);
    out->seq = seq;
    e = item_seal(env, X, blind.pub, plain, out->v, &out->v_len);
    if (e == ERR_OK)
        e = item_sign_bep44(&blind, seq, slice_of(out->v, out->v_len), out->sig);
    sodium_memzero(&blind, sizeof blind);
    if (e != ERR_OK)
        memset(out, 0, sizeof *out);
    return e;
}

/* --- records ---
 *
 * dev                                           card
 *   0   1   version 1                             0   1   version 1
 *   1   1   flags                                 1   1   flags
 *   2   8   issued, zone time, s                  2   4   S_gen
 *   10  32  D                                     6   32  S
 *   42  1   n relays, 0..4                        38  101+65·d  signed device list
 *   43      n x relay                             then 1  n relays, 0..2
 *       1   n addresses, 0..8                     then    n x relay
 *           n x addr (family1 port2 ip4 or ip16)
 *           signed device list                  relay: N32, addr, token8 */

static void write_relays(struct wr *w, const struct relay_entry *relays, uint8_t n)
{
    wr_u8(w, n);
    for (size_t i = 0; i < n; i++) {
        wr_bytes(w, relays[i].node, KEY_BYTES);
        addr_write(w, &relays[i].addr);
        wr_bytes(w, relays[i].token, sizeof relays[i].token);
    }
}

static uint8_t read_relays(struct rd *r, struct relay_entry *relays, uint8_t max)
{
    uint8_t n = rd_u8(r);

    if (n > max) {
        rd_fail(r);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        rd_copy(r, relays[i].node, KEY_BYTES);
        addr_read(r, &relays[i].addr);
        rd_copy(r, relays[i].token, sizeof relays[i].token);
    }
    return n;
}

/* The version byte: 0 on success. */
static enum err read_version(struct slice plain)
{
    if (plain.len < 1)
        return ERR_PARSE;
    return plain.data[0] == RECORD_VERSION ? ERR_OK : ERR_VERSION;
}

static enum err written(const struct wr *w, size_t *len)
{
    *len = wr_ok(w) ? wr_len(w) : 0;
    return wr_ok(w) ? ERR_OK : ERR_FULL;
}

enum err dev_record_write(const struct dev_record *rec, uint8_t out[static ITEM_PLAIN_MAX], size_t *len)
{
    struct wr w;

    *len = 0;
    if (rec->n_relays > RECORD_RELAYS_MAX || rec->n_addrs > RECORD_ADDRS_MAX)
        return ERR_FULL;
    wr_init(&w, out, ITEM_PLAIN_MAX);
    wr_u8(&w, RECORD_VERSION);
    wr_u8(&w, rec->flags);
    wr_u64(&w, (uint64_t)rec->issued_s);
    wr_bytes(&w, rec->D, KEY_BYTES);
    write_relays(&w, rec->relays, rec->n_relays);
    wr_u8(&w, rec->n_addrs);
    for (size_t i = 0; i < rec->n_addrs; i++)
        addr_write(&w, &rec->addrs[i]);
    wr_slice(&w, rec->list);
    return written(&w, len);
}

enum err dev_record_parse(struct slice plain, struct dev_record *out)
{
    enum err e = read_version(plain);
    struct rd r;

    memset(out, 0, sizeof *out);
    if (e != ERR_OK)
        return e;
    rd_init(&r, plain);
    rd_skip(&r, 1);
    out->flags = rd_u8(&r);
    out->issued_s = (int64_t)rd_u64(&r);
    rd_copy(&r, out->D, KEY_BYTES);
    out->n_relays = read_relays(&r, out->relays, RECORD_RELAYS_MAX);
    out->n_addrs = rd_u8(&r);
    if (out->n_addrs > RECORD_ADDRS_MAX)
        rd_fail(&r);
    for (size_t i = 0; rd_ok(&r) && i < out->n_addrs; i++)
        addr_read(&r, &out->addrs[i]);
    out->list = device_list_slice(&r);
    if (rd_done(&r))
        return ERR_OK;
    memset(out, 0, sizeof *out);
    return ERR_PARSE;
}

enum err card_record_write(const struct card_record *rec, uint8_t out[static ITEM_PLAIN_MAX], size_t *len)
{
    struct wr w;

    *len = 0;
    if (rec->n_relays > CARD_RELAYS_MAX)
        return ERR_FULL;
    wr_init(&w, out, ITEM_PLAIN_MAX);
    wr_u8(&w, RECORD_VERSION);
    wr_u8(&w, rec->flags);
    wr_u32(&w, rec->S_gen);
    wr_bytes(&w, rec->S, KEY_BYTES);
    wr_slice(&w, rec->list);
    write_relays(&w, rec->relays, rec->n_relays);
    return written(&w, len);
}

enum err card_record_parse(struct slice plain, struct card_record *out)
{
    enum err e = read_version(plain);
    struct rd r;

    memset(out, 0, sizeof *out);
    if (e != ERR_OK)
        return e;
    rd_init(&r, plain);
    rd_skip(&r, 1);
    out->flags = rd_u8(&r);
    out->S_gen = rd_u32(&r);
    rd_copy(&r, out->S, KEY_BYTES);
    out->list = device_list_slice(&r);
    out->n_relays = read_relays(&r, out->relays, CARD_RELAYS_MAX);
    if (rd_done(&r))
        return ERR_OK;
    secret_wipe(out, sizeof *out);
    return ERR_PARSE;
}
