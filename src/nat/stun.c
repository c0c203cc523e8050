#include "nat/stun.h"

#include "crypto/digest.h"
#include "crypto/secret.h"

#define FINGERPRINT_XOR 0x5354554eu /* RFC 8489 §14.7 */
#define ATTR_HEADER     4

/* Message: header, then attributes, each padded to 4 bytes (RFC 8489 §5, §14), big-endian.
 *
 *   offset size field
 *   0      2    type       00, then method bits 11-7, class bit 1, method 6-4, class bit 0, method 3-0
 *   2      2    length     of all attributes with their headers; a multiple of 4
 *   4      4    cookie     STUN_COOKIE
 *   8      12   id         transaction id
 *   20     2    attribute type, < 0x8000: comprehension-required
 *   22     2    attribute length, without padding
 *   24     n    value, then 0..3 bytes of padding that are ignored */

uint16_t stun_type(enum stun_class cls, uint16_t method)
{
    return (uint16_t)((method & 0x000f) | (method & 0x0070) << 1 | (method & 0x0f80) << 2 |
                      ((unsigned)cls & 1) << 4 | ((unsigned)cls & 2) << 7);
}

static void split_type(uint16_t type, struct stun_msg *out)
{
    out->cls = (enum stun_class)((type >> 4 & 1) | (type >> 7 & 2));
    out->method = (uint16_t)((type & 0x000f) | (type >> 1 & 0x0070) | (type >> 2 & 0x0f80));
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

bool stun_is_message(struct slice bytes)
{
    return bytes.len >= STUN_HEADER_BYTES && bytes.data[0] <= 3 && be32(bytes.data + 4) == STUN_COOKIE &&
           ((size_t)bytes.data[2] << 8 | bytes.data[3]) == bytes.len - STUN_HEADER_BYTES;
}

/* CRC-32 of ISO 3309, reflected, a nibble at a time. */
static uint32_t crc32_of(struct slice bytes)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < bytes.len; i++) {
        crc = crc >> 4 ^ nibble[(crc ^ bytes.data[i]) & 15];
        crc = crc >> 4 ^ nibble[(crc ^ bytes.data[i] >> 4) & 15];
    }
    return crc ^ 0xffffffff;
}

static uint32_t fingerprint_of(struct slice before)
{
    return crc32_of(before) ^ FINGERPRINT_XOR;
}

/* Cookie and id, or nothing, laid over a port and an address (RFC 8489 §14.2). */
static void xor_addr(uint8_t ip[16], uint16_t *port, const uint8_t id[static STUN_ID_BYTES])
{
    static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

    *port ^= (uint16_t)(STUN_COOKIE >> 16);
    for (int i = 0; i < 16; i++)
        ip[i] ^= i < 4 ? cookie[i] : id[i - 4];
}

static bool attr_is_xored(uint16_t attr)
{
    return attr == STUN_XOR_MAPPED_ADDRESS || attr == STUN_XOR_PEER_ADDRESS ||
           attr == STUN_XOR_RELAYED_ADDRESS;
}

/* zero1 family1 port2 address4/16 */
static struct addr read_addr(struct rd *r, uint16_t attr, const uint8_t id[static STUN_ID_BYTES])
{
    struct addr none = {.family = ADDR_NONE};
    uint8_t ip[16] = {0};
    uint8_t family;
    uint16_t port;

    rd_skip(r, 1);
    family = rd_u8(r);
    port = rd_u16(r);
    if (family == STUN_FAMILY_V4)
        rd_copy(r, ip, 4);
    else if (family == STUN_FAMILY_V6)
        rd_copy(r, ip, 16);
    else
        rd_fail(r);
    if (!rd_done(r)) {
        rd_fail(r);
        return none;
    }
    if (attr_is_xored(attr))
        xor_addr(ip, &port, id);
    return family == STUN_FAMILY_V4 ? addr_v4(ip, port) : addr_v6(ip, port);
}

static void read_error(struct rd *r, struct stun_msg *m)
{
    unsigned cls, number;

    rd_skip(r, 2);
    cls = rd_u8(r) & 7;
    number = rd_u8(r);
    if (cls < 3 || cls > 6 || number > 99)
        rd_fail(r);
    if (rd_left(r) > STUN_TEXT_MAX)
        rd_fail(r);
    m->error_reason = rd_rest(r);
    m->error_code = (uint16_t)(cls * 100 + number);
}

/* algorithm2 length2 parameters, padded to 4; as many as there are. */
static void read_algorithms(struct rd *r, struct stun_msg *m)
{
    while (rd_left(r) > 0 && rd_ok(r)) {
        uint16_t algorithm = rd_u16(r), len = rd_u16(r);
        size_t padded = (len + 3u) & ~3u;

        rd_skip(r, padded < rd_left(r) ? padded : rd_left(r) >= len ? rd_left(r) : padded);
        if (m->n_password_algorithms < STUN_ALGORITHMS_MAX)
            m->password_algorithms[m->n_password_algorithms++] = algorithm;
    }
}

static void read_unknown_answer(struct rd *r, struct stun_msg *m)
{
    while (rd_left(r) >= 2) {
        uint16_t attr = rd_u16(r);

        if (m->n_unknown_answer < STUN_UNKNOWN_MAX)
            m->unknown_answer[m->n_unknown_answer++] = attr;
    }
}

/* A value of the given size, once: a repeat is skipped. */
static bool first(struct rd *r, bool *has, size_t size)
{
    if (rd_left(r) != size)
        rd_fail(r);
    if (*has || !rd_ok(r)) {
        (void)rd_rest(r);
        return false;
    }
    *has = true;
    return true;
}

static void text(struct rd *r, struct slice *out, size_t max)
{
    struct slice value = rd_rest(r);

    if (value.len > max)
        rd_fail(r);
    else if (out->data == NULL)
        *out = value;
}

static void keep_addr(struct rd *r, uint16_t attr, struct stun_msg *m, struct addr *out)
{
    struct addr a = read_addr(r, attr, m->id);

    if (out->family == ADDR_NONE)
        *out = a;
}

/* Attributes of texts, addresses and lists. False: not one of them. */
static bool read_wide(uint16_t attr, struct rd *r, struct stun_msg *m)
{
    switch (attr) {
    case STUN_USERNAME:
        text(r, &m->username, STUN_USERNAME_MAX);
        return true;
    case STUN_REALM:
        text(r, &m->realm, STUN_TEXT_MAX);
        return true;
    case STUN_NONCE:
        text(r, &m->nonce, STUN_TEXT_MAX);
        return true;
    case STUN_SOFTWARE:
        text(r, &m->software, STUN_TEXT_MAX);
        return true;
    case STUN_DATA:
        text(r, &m->data, 65535);
        return true;
    case STUN_USERHASH:
        if (rd_left(r) != STUN_SHA256_BYTES)
            rd_fail(r);
        text(r, &m->userhash, STUN_SHA256_BYTES);
        return true;
    case STUN_RESERVATION_TOKEN:
        if (rd_left(r) != STUN_TOKEN_BYTES)
            rd_fail(r);
        text(r, &m->reservation_token, STUN_TOKEN_BYTES);
        return true;
    case STUN_XOR_MAPPED_ADDRESS:
        m->mapped = read_addr(r, attr, m->id);
        return true;
    case STUN_MAPPED_ADDRESS:
        keep_addr(r, attr, m, &m->mapped);
        return true;
    case STUN_ALTERNATE_SERVER:
        keep_addr(r, attr, m, &m->alternate_server);
        return true;
    case STUN_RESPONSE_ORIGIN:
        keep_addr(r, attr, m, &m->response_origin);
        return true;
    case STUN_OTHER_ADDRESS:
        keep_addr(r, attr, m, &m->other_address);
        return true;
    case STUN_ERROR_CODE:
        read_error(r, m);
        return true;
    case STUN_UNKNOWN_ATTRIBUTES:
        read_unknown_answer(r, m);
        return true;
    case STUN_PASSWORD_ALGORITHMS:
        read_algorithms(r, m);
        return true;
    default:
        return false;
    }
}

/* Attributes of a fixed size, as RFC 8656 has them. False: not one of them. */
static bool read_turn(uint16_t attr, struct rd *r, struct stun_msg *m)
{
    switch (attr) {
    case STUN_LIFETIME:
        if (first(r, &m->has_lifetime, 4))
            m->lifetime_s = rd_u32(r);
        return true;
    case STUN_CHANNEL_NUMBER:
        if (first(r, &m->has_channel, 4))
            m->channel = rd_u16(r);
        return true;
    case STUN_REQUESTED_TRANSPORT:
        if (first(r, &m->has_transport, 4))
            m->transport = rd_u8(r);
        return true;
    case STUN_REQUESTED_FAMILY:
        if (first(r, &m->has_family, 4))
            m->family = rd_u8(r);
        return true;
    case STUN_ADDITIONAL_FAMILY:
        if (first(r, &m->has_additional_family, 4))
            m->additional_family = rd_u8(r);
        return true;
    case STUN_EVEN_PORT:
        if (first(r, &m->has_even_port, 1))
            m->wants_next_port = rd_u8(r) >> 7;
        return true;
    case STUN_DONT_FRAGMENT:
        (void)first(r, &m->has_dont_fragment, 0);
        return true;
    case STUN_XOR_PEER_ADDRESS:
        if (m->n_peers == STUN_PEERS_MAX)
            rd_fail(r);
        else
            m->peers[m->n_peers++] = read_addr(r, attr, m->id);
        return true;
    case STUN_XOR_RELAYED_ADDRESS:
        if (m->n_relayed < 2)
            m->relayed[m->n_relayed++] = read_addr(r, attr, m->id);
        return true;
    case STUN_ADDRESS_ERROR: /* which family of two was refused: nothing to do about it */
        return true;
    default:
        return false;
    }
}

/* Attributes of a fixed size of ICE and RFC 5780, and PASSWORD-ALGORITHM. False: not one of them. */
static bool read_ice(uint16_t attr, struct rd *r, struct stun_msg *m)
{
    bool has_algorithm = m->password_algorithm != 0;

    switch (attr) {
    case STUN_PRIORITY:
        if (first(r, &m->has_priority, 4))
            m->priority = rd_u32(r);
        return true;
    case STUN_USE_CANDIDATE:
        (void)first(r, &m->has_use_candidate, 0);
        return true;
    case STUN_ICE_CONTROLLING:
        if (first(r, &m->has_ice_controlling, 8))
            m->ice_controlling = rd_u64(r);
        return true;
    case STUN_ICE_CONTROLLED:
        if (first(r, &m->has_ice_controlled, 8))
            m->ice_controlled = rd_u64(r);
        return true;
    case STUN_NOMINATION:
        if (first(r, &m->has_nomination, 4))
            m->nomination = rd_u32(r);
        return true;
    case STUN_LEAVING:
        (void)first(r, &m->has_leaving, 0);
        return true;
    case STUN_CHANGE_REQUEST:
        if (first(r, &m->has_change_request, 4))
            m->change_request = rd_u32(r);
        return true;
    case STUN_RESPONSE_PORT:
        if (first(r, &m->has_response_port, 4))
            m->response_port = rd_u16(r);
        return true;
    case STUN_PADDING:
        m->has_padding = true;
        return true;
    case STUN_PASSWORD_ALGORITHM:
        if (rd_left(r) < 4)
            rd_fail(r);
        if (!has_algorithm)
            m->password_algorithm = rd_u16(r);
        return true;
    default:
        return false;
    }
}

static void note_unknown(uint16_t attr, struct stun_msg *m)
{
    if (attr < 0x8000 && m->n_unknown < STUN_UNKNOWN_MAX)
        m->unknown[m->n_unknown++] = attr;
}

/* MESSAGE-INTEGRITY, its SHA-256 sister and FINGERPRINT: what they cover depends on where they stand. */
static bool read_guard(uint16_t attr, struct slice value, size_t at, struct stun_msg *m, struct rd *whole)
{
    switch (attr) {
    case STUN_MESSAGE_INTEGRITY:
        if (value.len != SHA1_BYTES)
            rd_fail(whole);
        if (m->integrity_at == 0 && m->integrity256_at == 0)
            m->integrity_at = (uint16_t)at;
        return true;
    case STUN_MESSAGE_INTEGRITY_SHA256:
        if (value.len < 16 || value.len > STUN_SHA256_BYTES || value.len % 4 != 0)
            rd_fail(whole);
        if (m->integrity256_at == 0) {
            m->integrity256_at = (uint16_t)at;
            m->integrity256_len = (uint8_t)value.len;
        }
        return true;
    case STUN_FINGERPRINT:
        if (value.len != 4 || rd_left(whole) != 0 ||
            be32(value.data) != fingerprint_of(slice_of(m->bytes.data, at)))
            rd_fail(whole);
        m->has_fingerprint = true;
        return true;
    default:
        return false;
    }
}

static void read_attr(struct rd *whole, struct stun_msg *m)
{
    size_t at = (size_t)(whole->at - m->bytes.data);
    uint16_t attr = rd_u16(whole), len = rd_u16(whole);
    struct slice value = rd_bytes(whole, len);
    struct rd r;

    rd_skip(whole, (4 - len % 4u) % 4);
    if (!rd_ok(whole) || read_guard(attr, value, at, m, whole))
        return;
    if (m->integrity_at != 0 || m->integrity256_at != 0)
        return; /* not covered: RFC 8489 §14.5 */
    rd_init(&r, value);
    if (!read_wide(attr, &r, m) && !read_turn(attr, &r, m) && !read_ice(attr, &r, m))
        note_unknown(attr, m);
    if (!rd_ok(&r))
        rd_fail(whole);
}

enum err stun_parse(struct slice bytes, struct stun_msg *out)
{
    struct rd r;
    uint16_t type;

    memset(out, 0, sizeof *out);
    if (!stun_is_message(bytes) || bytes.len % 4 != 0)
        return ERR_PARSE;
    out->bytes = bytes;
    rd_init(&r, bytes);
    type = rd_u16(&r);
    rd_skip(&r, 6);
    rd_copy(&r, out->id, sizeof out->id);
    split_type(type, out);
    while (rd_left(&r) > 0 && rd_ok(&r))
        read_attr(&r, out);
    if (!rd_done(&r)) {
        memset(out, 0, sizeof *out);
        return ERR_PARSE;
    }
    return ERR_OK;
}

/* The HMAC over the first `at` bytes, with the header's length reaching to the end of an attribute of
 * mac_bytes at that place (RFC 8489 §14.5). */
static void mac_of(struct slice message, size_t at, size_t mac_bytes, struct slice key, bool is_sha256,
                   uint8_t out[static SHA256_BYTES])
{
    uint8_t head[4] = {message.data[0], message.data[1]};
    const struct slice parts[2] = {slice_of(head, 4), slice_of(message.data + 4, at - 4)};

    put_be16(head + 2, at + ATTR_HEADER + mac_bytes - STUN_HEADER_BYTES);
    if (is_sha256)
        digest_hmac_sha256(key, parts, 2, out);
    else
        digest_hmac_sha1(key, parts, 2, out);
}

enum err stun_check_integrity(const struct stun_msg *msg, struct slice key)
{
    bool is_sha256 = msg->integrity256_at != 0;
    size_t at = is_sha256 ? msg->integrity256_at : msg->integrity_at;
    size_t n = is_sha256 ? msg->integrity256_len : SHA1_BYTES;
    uint8_t mac[STUN_SHA256_BYTES];
    bool is_equal;

    if (at == 0)
        return ERR_NOT_FOUND;
    mac_of(msg->bytes, at, n, key, is_sha256, mac);
    is_equal = secret_equal(mac, msg->bytes.data + at + ATTR_HEADER, n);
    secret_wipe(mac, sizeof mac);
    return is_equal ? ERR_OK : ERR_AUTH;
}

/* username ":" realm [":" password], into buf. */
static struct slice join(struct wr *w, struct slice username, struct slice realm, struct slice password)
{
    wr_slice(w, username);
    wr_u8(w, ':');
    wr_slice(w, realm);
    if (password.data != NULL) {
        wr_u8(w, ':');
        wr_slice(w, password);
    }
    return wr_done(w);
}

void stun_long_term_key(struct slice username, struct slice realm, struct slice password,
                        uint8_t key[static STUN_SHA1_KEY_BYTES])
{
    uint8_t buf[STUN_MESSAGE_MAX];
    struct wr w;

    wr_init(&w, buf, sizeof buf);
    digest_md5(join(&w, username, realm, password), key);
    secret_wipe(buf, sizeof buf);
}

void stun_long_term_key_sha256(struct slice username, struct slice realm, struct slice password,
                               uint8_t key[static STUN_SHA256_BYTES])
{
    uint8_t buf[STUN_MESSAGE_MAX];
    struct wr w;

    wr_init(&w, buf, sizeof buf);
    digest_sha256(join(&w, username, realm, password), key);
    secret_wipe(buf, sizeof buf);
}

void stun_userhash(struct slice username, struct slice realm, uint8_t out[static STUN_SHA256_BYTES])
{
    uint8_t buf[STUN_MESSAGE_MAX];
    struct wr w;

    wr_init(&w, buf, sizeof buf);
    digest_sha256(join(&w, username, realm, slice_of(NULL, 0)), out);
}

void stun_begin(struct stun_wr *w, void *buf, size_t size, enum stun_class cls, uint16_t method,
                const uint8_t id[static STUN_ID_BYTES])
{
    memcpy(w->id, id, sizeof w->id);
    wr_init(&w->w, buf, size);
    wr_u16(&w->w, stun_type(cls, method));
    wr_u16(&w->w, 0);
    wr_u32(&w->w, STUN_COOKIE);
    wr_bytes(&w->w, id, STUN_ID_BYTES);
}

void stun_begin_answer(struct stun_wr *w, void *buf, size_t size, enum stun_class cls,
                       const struct stun_msg *request)
{
    stun_begin(w, buf, size, cls, request->method, request->id);
}

/* Keep the header's length right after each attribute. */
static void close_attr(struct stun_wr *w)
{
    if (wr_len(&w->w) % 4 != 0)
        wr_zeros(&w->w, 4 - wr_len(&w->w) % 4);
    if (wr_len(&w->w) - STUN_HEADER_BYTES > UINT16_MAX)
        w->w.failed = true;
    if (wr_ok(&w->w))
        put_be16(w->w.begin + 2, wr_len(&w->w) - STUN_HEADER_BYTES);
}

void stun_put(struct stun_wr *w, uint16_t attr, struct slice value)
{
    if (value.len > UINT16_MAX)
        w->w.failed = true;
    wr_u16(&w->w, attr);
    wr_u16(&w->w, (uint16_t)value.len);
    wr_slice(&w->w, value);
    close_attr(w);
}

void stun_put_flag(struct stun_wr *w, uint16_t attr)
{
    stun_put(w, attr, slice_of(NULL, 0));
}

void stun_put_u8(struct stun_wr *w, uint16_t attr, uint8_t v)
{
    stun_put_u32(w, attr, (uint32_t)v << 24);
}

void stun_put_u16(struct stun_wr *w, uint16_t attr, uint16_t v)
{
    stun_put_u32(w, attr, (uint32_t)v << 16);
}

void stun_put_u32(struct stun_wr *w, uint16_t attr, uint32_t v)
{
    wr_u16(&w->w, attr);
    wr_u16(&w->w, 4);
    wr_u32(&w->w, v);
    close_attr(w);
}

void stun_put_u64(struct stun_wr *w, uint16_t attr, uint64_t v)
{
    wr_u16(&w->w, attr);
    wr_u16(&w->w, 8);
    wr_u64(&w->w, v);
    close_attr(w);
}

void stun_put_addr(struct stun_wr *w, uint16_t attr, const struct addr *a)
{
    uint8_t ip[16];
    uint16_t port = a->port;
    size_t n = addr_ip_bytes(a);

    if (n == 0)
        w->w.failed = true;
    memcpy(ip, a->ip, sizeof ip);
    if (attr_is_xored(attr))
        xor_addr(ip, &port, w->id);
    wr_u16(&w->w, attr);
    wr_u16(&w->w, (uint16_t)(4 + n));
    wr_u16(&w->w, n == 4 ? STUN_FAMILY_V4 : STUN_FAMILY_V6);
    wr_u16(&w->w, port);
    wr_bytes(&w->w, ip, n);
    close_attr(w);
}

void stun_put_error(struct stun_wr *w, uint16_t code, const char *reason)
{
    wr_u16(&w->w, STUN_ERROR_CODE);
    wr_u16(&w->w, (uint16_t)(4 + strlen(reason)));
    wr_u16(&w->w, 0);
    wr_u8(&w->w, (uint8_t)(code / 100));
    wr_u8(&w->w, (uint8_t)(code % 100));
    wr_text(&w->w, reason);
    close_attr(w);
}

void stun_put_unknown(struct stun_wr *w, const uint16_t *attrs, size_t n)
{
    wr_u16(&w->w, STUN_UNKNOWN_ATTRIBUTES);
    wr_u16(&w->w, (uint16_t)(2 * n));
    for (size_t i = 0; i < n; i++)
        wr_u16(&w->w, attrs[i]);
    close_attr(w);
}

void stun_put_even_port(struct stun_wr *w, bool wants_next_port)
{
    uint8_t v = wants_next_port ? 0x80 : 0;

    stun_put(w, STUN_EVEN_PORT, slice_of(&v, 1));
}

static void put_mac(struct stun_wr *w, uint16_t attr, size_t mac_bytes, struct slice key)
{
    uint8_t mac[STUN_SHA256_BYTES] = {0};

    if (wr_ok(&w->w))
        mac_of(wr_done(&w->w), wr_len(&w->w), mac_bytes, key, attr == STUN_MESSAGE_INTEGRITY_SHA256, mac);
    stun_put(w, attr, slice_of(mac, mac_bytes));
}

void stun_put_integrity(struct stun_wr *w, struct slice key)
{
    put_mac(w, STUN_MESSAGE_INTEGRITY, SHA1_BYTES, key);
}

void stun_put_integrity_sha256(struct stun_wr *w, struct slice key)
{
    put_mac(w, STUN_MESSAGE_INTEGRITY_SHA256, STUN_SHA256_BYTES, key);
}

void stun_put_fingerprint(struct stun_wr *w)
{
    if (!wr_ok(&w->w))
        return;
    /* The CRC covers the length that counts the fingerprint itself (RFC 8489 §14.7). */
    put_be16(w->w.begin + 2, wr_len(&w->w) + ATTR_HEADER + 4 - STUN_HEADER_BYTES);
    stun_put_u32(w, STUN_FINGERPRINT, fingerprint_of(wr_done(&w->w)));
}

struct slice stun_end(struct stun_wr *w)
{
    return wr_done(&w->w);
}

enum err stun_channel_parse(struct slice bytes, uint16_t *channel, struct slice *data)
{
    struct rd r;
    uint16_t len;

    rd_init(&r, bytes);
    *channel = rd_u16(&r);
    len = rd_u16(&r);
    *data = rd_bytes(&r, len);
    if (!rd_ok(&r) || *channel < STUN_CHANNEL_MIN || *channel > STUN_CHANNEL_MAX)
        return ERR_PARSE;
    return ERR_OK;
}

void stun_channel_header(uint8_t out[static STUN_CHANNEL_HEADER], uint16_t channel, uint16_t len)
{
    put_be16(out, channel);
    put_be16(out + 2, len);
}

struct slice stun_channel_write(void *buf, size_t size, uint16_t channel, struct slice data)
{
    struct wr w;

    wr_init(&w, buf, size);
    wr_u16(&w, channel);
    wr_u16(&w, (uint16_t)data.len);
    wr_slice(&w, data);
    return data.len > UINT16_MAX ? slice_of(NULL, 0) : wr_done(&w);
}

enum err stun_frame_bytes(struct slice stream, size_t *out)
{
    size_t len;

    *out = 0;
    if (stream.len > 0 && stream.data[0] > 3 && (stream.data[0] < 64 || stream.data[0] > 79))
        return ERR_PARSE;
    if (stream.len < 4)
        return ERR_OK;
    len = (size_t)stream.data[2] << 8 | stream.data[3];
    *out = stream.data[0] <= 3 ? STUN_HEADER_BYTES + len : STUN_CHANNEL_HEADER + ((len + 3) & ~(size_t)3);
    return ERR_OK;
}

const char *stun_code_text(uint16_t code)
{
    switch (code) {
    case STUN_TRY_ALTERNATE:
        return "Try Alternate";
    case STUN_BAD_REQUEST:
        return "Bad Request";
    case STUN_UNAUTHENTICATED:
        return "Unauthenticated";
    case STUN_FORBIDDEN:
        return "Forbidden";
    case STUN_UNKNOWN_ATTRIBUTE:
        return "Unknown Attribute";
    case STUN_ALLOCATION_MISMATCH:
        return "Allocation Mismatch";
    case STUN_STALE_NONCE:
        return "Stale Nonce";
    case STUN_FAMILY_UNSUPPORTED:
        return "Address Family not Supported";
    case STUN_WRONG_CREDENTIALS:
        return "Wrong Credentials";
    case STUN_TRANSPORT_UNSUPPORTED:
        return "Unsupported Transport Protocol";
    case STUN_FAMILY_MISMATCH:
        return "Peer Address Family Mismatch";
    case STUN_QUOTA_REACHED:
        return "Allocation Quota Reached";
    case STUN_ROLE_CONFLICT:
        return "Role Conflict";
    case STUN_SERVER_ERROR:
        return "Server Error";
    case STUN_INSUFFICIENT_CAPACITY:
        return "Insufficient Capacity";
    default:
        return "Error";
    }
}
