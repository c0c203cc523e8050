#include "crypto/handshake.h"

#include <sodium.h>

#include "crypto/identity.h"

#define MSG1_BODY_BYTES 456 /* what mac1 is over */
#define MSG2_BODY_BYTES 124
#define MAC2_BODY_BYTES 472

/* --- keys of a handshake --- */

void handshake_psk(enum session_class class, const uint8_t *secret, const uint8_t responder_static[static 32],
                   uint8_t psk[static 32])
{
    struct hasher h;

    hash_begin(&h, 32, class == SESSION_NODE ? NULL : secret, class == SESSION_NODE ? 0 : 32);
    hash_text(&h, "itodenwa-psk-v1");
    hash_bytes(&h, responder_static, 32);
    hash_end(&h, psk);
}

void handshake_mac_key(const uint8_t psk[static 32], const uint8_t receiver_static[static 32],
                       uint8_t mac_key[static 32])
{
    struct hasher h;

    hash_begin(&h, 32, psk, 32);
    hash_text(&h, "itodenwa-mac1-v1");
    hash_bytes(&h, receiver_static, 32);
    hash_end(&h, mac_key);
}

void handshake_prologue(enum session_class class, const uint8_t responder[static 32],
                        uint8_t out[static HANDSHAKE_PROLOGUE_BYTES])
{
    static const char text[] = "itodenwa-session-v1";
    struct wr w;

    wr_init(&w, out, HANDSHAKE_PROLOGUE_BYTES);
    wr_bytes(&w, text, sizeof text);
    wr_u8(&w, (uint8_t) class);
    wr_bytes(&w, responder, 32);
}

/* --- payloads --- */

static void candidate_write(struct wr *w, const struct addr *a)
{
    size_t n = addr_ip_bytes(a);

    wr_u8(w, a->family);
    wr_u16(w, a->port);
    wr_bytes(w, a->ip, n);
    wr_zeros(w, 16 - n);
}

static void candidate_read(struct rd *r, struct addr *out)
{
    uint8_t family = rd_u8(r), ip[16];
    uint16_t port = rd_u16(r);
    struct rd tail;

    rd_copy(r, ip, sizeof ip);
    rd_init(&tail, slice_of(ip + 4, sizeof ip - 4));
    if (family == ADDR_V4 && rd_zeros(&tail))
        *out = addr_v4(ip, port);
    else if (family == ADDR_V6)
        *out = addr_v6(ip, port);
    else
        rd_fail(r);
    if (rd_ok(r) && out->family != family) /* a mapped IPv4 address has one form only */
        rd_fail(r);
}

static size_t proof_bytes(enum session_class class)
{
    return class == SESSION_NODE ? KEY_BYTES : CERT_BYTES;
}

enum err hello_write(enum session_class class, const struct hello *hello,
                     uint8_t out[static HANDSHAKE_MSG1_PLAIN])
{
    struct wr w;

    if (hello->n_candidates > HANDSHAKE_CANDIDATES_MAX)
        return ERR_RANGE;
    wr_init(&w, out, HANDSHAKE_MSG1_PLAIN);
    wr_u64(&w, hello->stamp);
    wr_u8(&w, hello->kind);
    wr_u8(&w, hello->flags);
    wr_bytes(&w, hello->call_id, sizeof hello->call_id);
    wr_bytes(&w, hello->certificate, proof_bytes(class));
    wr_u8(&w, hello->n_candidates);
    for (size_t i = 0; i < hello->n_candidates; i++) {
        if (addr_ip_bytes(&hello->candidates[i]) == 0)
            return ERR_RANGE;
        candidate_write(&w, &hello->candidates[i]);
    }
    if (hello->has_succession)
        wr_bytes(&w, hello->succession, sizeof hello->succession);
    wr_zeros(&w, HANDSHAKE_MSG1_PLAIN - wr_len(&w));
    return wr_ok(&w) ? ERR_OK : ERR_RANGE;
}

enum err hello_parse(enum session_class class, struct slice bytes, struct hello *out)
{
    struct hello hello = {0};
    struct rd r;

    if (bytes.len != HANDSHAKE_MSG1_PLAIN)
        return ERR_PARSE;
    rd_init(&r, bytes);
    hello.stamp = rd_u64(&r);
    hello.kind = rd_u8(&r);
    hello.flags = rd_u8(&r);
    rd_copy(&r, hello.call_id, sizeof hello.call_id);
    rd_copy(&r, hello.certificate, proof_bytes(class));
    hello.n_candidates = rd_u8(&r);
    if (hello.n_candidates > HANDSHAKE_CANDIDATES_MAX)
        return ERR_PARSE;
    for (size_t i = 0; i < hello.n_candidates; i++)
        candidate_read(&r, &hello.candidates[i]);
    rd_copy(&r, hello.succession, sizeof hello.succession);
    hello.has_succession = !secret_is_zero(hello.succession, sizeof hello.succession);
    if (!rd_zeros(&r) || !rd_done(&r) || (hello.flags & ~(HELLO_REKEY | HELLO_FLAGS_MINE)) != 0)
        return ERR_PARSE;
    *out = hello;
    return ERR_OK;
}

void hello_reply_write(const struct hello_reply *reply, uint8_t out[static HANDSHAKE_MSG2_PLAIN])
{
    struct wr w;

    wr_init(&w, out, HANDSHAKE_MSG2_PLAIN);
    wr_u32(&w, reply->gen);
    wr_u32(&w, reply->s_gen);
    wr_u8(&w, reply->flags);
    wr_zeros(&w, HANDSHAKE_MSG2_PLAIN - wr_len(&w));
}

enum err hello_reply_parse(struct slice bytes, struct hello_reply *out)
{
    struct hello_reply reply = {0};
    struct rd r;

    if (bytes.len != HANDSHAKE_MSG2_PLAIN)
        return ERR_PARSE;
    rd_init(&r, bytes);
    reply.gen = rd_u32(&r);
    reply.s_gen = rd_u32(&r);
    reply.flags = rd_u8(&r);
    if (!rd_zeros(&r) || !rd_done(&r))
        return ERR_PARSE;
    *out = reply;
    return ERR_OK;
}

/* --- MACs --- */

void handshake_digest(struct slice body, uint8_t digest[static 32])
{
    hash_once(32, NULL, 0, body, digest);
}

bool handshake_mac1_is_right(const uint8_t mac_key[static 32], const uint8_t digest[static 32],
                             struct slice mac1)
{
    uint8_t right[HANDSHAKE_MAC_BYTES];

    hash_once(sizeof right, mac_key, 32, slice_of(digest, 32), right);
    return mac1.len == sizeof right && secret_equal(right, mac1.data, sizeof right);
}

int handshake_find_key(const struct handshake_key *keys, size_t n, const uint8_t digest[static 32],
                       struct slice mac1)
{
    for (size_t i = 0; i < n; i++)
        if (handshake_mac1_is_right(keys[i].mac_key, digest, mac1))
            return (int)i;
    return -1;
}

static void mac_of(const uint8_t *key, size_t key_len, struct slice body, uint8_t *mac)
{
    uint8_t digest[32];

    handshake_digest(body, digest);
    hash_once(HANDSHAKE_MAC_BYTES, key, key_len, slice_of(digest, sizeof digest), mac);
}

void handshake_set_mac2(const uint8_t cookie[static 16], uint8_t msg1[static HANDSHAKE_MSG1_BYTES])
{
    mac_of(cookie, 16, slice_of(msg1, MAC2_BODY_BYTES), msg1 + MAC2_BODY_BYTES);
}

bool handshake_mac2_is_right(const uint8_t cookie[static 16], struct slice msg1)
{
    uint8_t right[HANDSHAKE_MAC_BYTES];

    if (msg1.len != HANDSHAKE_MSG1_BYTES)
        return false;
    mac_of(cookie, 16, slice_of(msg1.data, MAC2_BODY_BYTES), right);
    return secret_equal(right, msg1.data + MAC2_BODY_BYTES, sizeof right);
}

/* --- msg1, msg2 --- */

enum err handshake_write_msg1(struct noise *n, uint32_t sender, const uint8_t ephemeral[static 32],
                              const uint8_t plain[static HANDSHAKE_MSG1_PLAIN],
                              const uint8_t mac_key[static 32], uint8_t out[static HANDSHAKE_MSG1_BYTES])
{
    struct wr w;
    enum err e;

    wr_init(&w, out, HANDSHAKE_MSG1_BYTES);
    wr_u8(&w, HANDSHAKE_MSG1);
    wr_zeros(&w, 3);
    wr_u32(&w, sender);
    e = noise_write(n, ephemeral, slice_of(plain, HANDSHAKE_MSG1_PLAIN), &w);
    if (e != ERR_OK)
        return e;
    mac_of(mac_key, 32, slice_of(out, MSG1_BODY_BYTES), wr_room(&w, HANDSHAKE_MAC_BYTES));
    wr_zeros(&w, HANDSHAKE_MAC_BYTES);
    return wr_ok(&w) && wr_len(&w) == HANDSHAKE_MSG1_BYTES ? ERR_OK : ERR_INTERNAL;
}

enum err handshake_write_msg2(struct noise *n, uint32_t sender, uint32_t receiver,
                              const uint8_t ephemeral[static 32],
                              const uint8_t plain[static HANDSHAKE_MSG2_PLAIN],
                              const uint8_t mac_key[static 32], uint8_t out[static HANDSHAKE_MSG2_BYTES])
{
    struct wr w;
    enum err e;

    wr_init(&w, out, HANDSHAKE_MSG2_BYTES);
    wr_u8(&w, HANDSHAKE_MSG2);
    wr_zeros(&w, 3);
    wr_u32(&w, sender);
    wr_u32(&w, receiver);
    e = noise_write(n, ephemeral, slice_of(plain, HANDSHAKE_MSG2_PLAIN), &w);
    if (e != ERR_OK)
        return e;
    mac_of(mac_key, 32, slice_of(out, MSG2_BODY_BYTES), wr_room(&w, HANDSHAKE_MAC_BYTES));
    wr_zeros(&w, HANDSHAKE_MAC_BYTES);
    return wr_ok(&w) && wr_len(&w) == HANDSHAKE_MSG2_BYTES ? ERR_OK : ERR_INTERNAL;
}

/* Type and the three zero bytes that every datagram of ours begins with. */
static void read_head(struct rd *r, enum handshake_type type)
{
    if (rd_u32(r) != (uint32_t)type << 24)
        rd_fail(r);
}

enum err msg1_wire_parse(struct slice datagram, struct msg1_wire *out)
{
    struct rd r;

    rd_init(&r, datagram);
    read_head(&r, HANDSHAKE_MSG1);
    out->sender = rd_u32(&r);
    out->noise = rd_bytes(&r, MSG1_BODY_BYTES - 8);
    out->mac1 = rd_bytes(&r, HANDSHAKE_MAC_BYTES);
    out->mac2 = rd_bytes(&r, HANDSHAKE_MAC_BYTES);
    out->body = slice_of(datagram.data, MSG1_BODY_BYTES);
    return rd_done(&r) ? ERR_OK : ERR_PARSE;
}

enum err msg2_wire_parse(struct slice datagram, struct msg2_wire *out)
{
    struct rd r;

    rd_init(&r, datagram);
    read_head(&r, HANDSHAKE_MSG2);
    out->sender = rd_u32(&r);
    out->receiver = rd_u32(&r);
    out->noise = rd_bytes(&r, MSG2_BODY_BYTES - 12);
    out->mac1 = rd_bytes(&r, HANDSHAKE_MAC_BYTES);
    out->body = slice_of(datagram.data, MSG2_BODY_BYTES);
    rd_skip(&r, HANDSHAKE_MAC_BYTES);
    return rd_done(&r) ? ERR_OK : ERR_PARSE;
}

/* --- cookies --- */

void cookie_make(const uint8_t secret[static 32], struct slice source, uint8_t cookie[static 16])
{
    hash_once(16, secret, 32, source, cookie);
}

static void cookie_key(const uint8_t psk[static 32], const uint8_t responder_static[static 32],
                       uint8_t key[static 32])
{
    struct hasher h;

    hash_begin(&h, 32, psk, 32);
    hash_text(&h, "itodenwa-cookie-v1");
    hash_bytes(&h, responder_static, 32);
    hash_end(&h, key);
}

void cookie_write(const uint8_t psk[static 32], const uint8_t responder_static[static 32], uint32_t receiver,
                  const uint8_t nonce[static 24], struct slice mac1, const uint8_t cookie[static 16],
                  uint8_t out[static HANDSHAKE_COOKIE_BYTES])
{
    uint8_t key[32];
    struct wr w;

    cookie_key(psk, responder_static, key);
    wr_init(&w, out, HANDSHAKE_COOKIE_BYTES);
    wr_u8(&w, HANDSHAKE_COOKIE);
    wr_zeros(&w, 3);
    wr_u32(&w, receiver);
    wr_bytes(&w, nonce, 24);
    crypto_aead_xchacha20poly1305_ietf_encrypt(wr_room(&w, 16 + AEAD_TAG_BYTES), NULL, cookie, 16, mac1.data,
                                               mac1.len, NULL, nonce, key);
    secret_wipe(key, sizeof key);
}

enum err cookie_wire_parse(struct slice datagram, struct cookie_wire *out)
{
    struct rd r;

    rd_init(&r, datagram);
    read_head(&r, HANDSHAKE_COOKIE);
    out->receiver = rd_u32(&r);
    out->nonce = rd_bytes(&r, 24);
    out->sealed = rd_bytes(&r, 16 + AEAD_TAG_BYTES);
    return rd_done(&r) ? ERR_OK : ERR_PARSE;
}

enum err cookie_open(const uint8_t psk[static 32], const uint8_t responder_static[static 32],
                     const struct cookie_wire *wire, struct slice mac1, uint8_t cookie[static 16])
{
    uint8_t key[32];
    int failed;

    cookie_key(psk, responder_static, key);
    failed = crypto_aead_xchacha20poly1305_ietf_decrypt(
        cookie, NULL, NULL, wire->sealed.data, wire->sealed.len, mac1.data, mac1.len, wire->nonce.data, key);
    secret_wipe(key, sizeof key);
    return failed != 0 ? ERR_AUTH : ERR_OK;
}
