/* nat/stun.h - STUN and TURN message codec (RFC 8489, 8656, 8445, 5780) and ChannelData framing.
 *
 * stun_parse() turns one datagram into a struct once: every attribute is at its place or absent, unknown
 * comprehension-required ones are listed, FINGERPRINT (when there) has been verified. MESSAGE-INTEGRITY is
 * only located: who sent it is known after stun_check_integrity(). struct stun_wr writes messages.
 *
 *   in     one whole datagram or TCP frame; it must outlive the struct stun_msg, which borrows from it
 *   out    struct stun_msg; messages in the caller's buffer
 *   trust  everything but what stun_check_integrity() covered is hearsay; a response is believed only when
 *          its transaction id is one of ours
 *   caps   STUN_PEERS_MAX peers, STUN_UNKNOWN_MAX unknown attributes */
#ifndef ITO_NAT_STUN_H
#define ITO_NAT_STUN_H

#include "base/addr.h"

#define STUN_HEADER_BYTES     20
#define STUN_ID_BYTES         12
#define STUN_COOKIE           0x2112a442u
#define STUN_MESSAGE_MAX      2048 /* for buffers; a Data or Send indication may be longer */
#define STUN_PEERS_MAX        8    /* XOR-PEER-ADDRESS in one CreatePermission; more is ERR_PARSE */
#define STUN_UNKNOWN_MAX      8
#define STUN_ALGORITHMS_MAX   4
#define STUN_USERNAME_MAX     508 /* bytes, RFC 8489 §14.3 */
#define STUN_TEXT_MAX         763 /* bytes of REALM, NONCE, SOFTWARE (RFC 8489 §14.9, §14.10, §14.14) */
#define STUN_SHA1_KEY_BYTES   16  /* MD5 of user:realm:password */
#define STUN_SHA256_BYTES     32
#define STUN_TOKEN_BYTES      8
#define STUN_CHANNEL_MIN      0x4000 /* RFC 8656 §12 */
#define STUN_CHANNEL_MAX      0x4fff
#define STUN_CHANNEL_HEADER   4
#define STUN_TRANSPORT_UDP    17 /* REQUESTED-TRANSPORT */
#define STUN_FAMILY_V4        1
#define STUN_FAMILY_V6        2
#define STUN_CHANGE_IP        4 /* CHANGE-REQUEST, RFC 5780 §7.2 */
#define STUN_CHANGE_PORT      2
#define STUN_ALGORITHM_MD5    1 /* PASSWORD-ALGORITHM */
#define STUN_ALGORITHM_SHA256 2

enum stun_class { STUN_REQUEST = 0, STUN_INDICATION = 1, STUN_SUCCESS = 2, STUN_ERROR = 3 };

enum stun_method {
    STUN_BINDING = 0x001,
    TURN_ALLOCATE = 0x003,
    TURN_REFRESH = 0x004,
    TURN_SEND = 0x006,
    TURN_DATA = 0x007,
    TURN_CREATE_PERMISSION = 0x008,
    TURN_CHANNEL_BIND = 0x009
};

enum stun_attr {
    STUN_MAPPED_ADDRESS = 0x0001,
    STUN_CHANGE_REQUEST = 0x0003,
    STUN_USERNAME = 0x0006,
    STUN_MESSAGE_INTEGRITY = 0x0008,
    STUN_ERROR_CODE = 0x0009,
    STUN_UNKNOWN_ATTRIBUTES = 0x000a,
    STUN_CHANNEL_NUMBER = 0x000c,
    STUN_LIFETIME = 0x000d,
    STUN_XOR_PEER_ADDRESS = 0x0012,
    STUN_DATA = 0x0013,
    STUN_REALM = 0x0014,
    STUN_NONCE = 0x0015,
    STUN_XOR_RELAYED_ADDRESS = 0x0016,
    STUN_REQUESTED_FAMILY = 0x0017,
    STUN_EVEN_PORT = 0x0018,
    STUN_REQUESTED_TRANSPORT = 0x0019,
    STUN_DONT_FRAGMENT = 0x001a,
    STUN_MESSAGE_INTEGRITY_SHA256 = 0x001c,
    STUN_PASSWORD_ALGORITHM = 0x001d,
    STUN_USERHASH = 0x001e,
    STUN_XOR_MAPPED_ADDRESS = 0x0020,
    STUN_RESERVATION_TOKEN = 0x0022,
    STUN_PRIORITY = 0x0024,
    STUN_USE_CANDIDATE = 0x0025,
    STUN_PADDING = 0x0026,
    STUN_RESPONSE_PORT = 0x0027,
    STUN_ADDITIONAL_FAMILY = 0x8000,
    STUN_ADDRESS_ERROR = 0x8001,
    STUN_PASSWORD_ALGORITHMS = 0x8002,
    STUN_SOFTWARE = 0x8022,
    STUN_ALTERNATE_SERVER = 0x8023,
    STUN_FINGERPRINT = 0x8028,
    STUN_ICE_CONTROLLED = 0x8029,
    STUN_ICE_CONTROLLING = 0x802a,
    STUN_RESPONSE_ORIGIN = 0x802b,
    STUN_OTHER_ADDRESS = 0x802c,
    STUN_NOMINATION = 0xc001, /* u32, draft-thatcher-ice-renomination: the highest one wins */
    STUN_LEAVING = 0xc0f0     /* flag, ours: the sender is about to lose this way (nat/ice.h) */
};

enum stun_code { /* RFC 8489 §14.8, RFC 8656 §19, RFC 8445 §16.2 */
                 STUN_TRY_ALTERNATE = 300,
                 STUN_BAD_REQUEST = 400,
                 STUN_UNAUTHENTICATED = 401,
                 STUN_FORBIDDEN = 403,
                 STUN_UNKNOWN_ATTRIBUTE = 420,
                 STUN_ALLOCATION_MISMATCH = 437,
                 STUN_STALE_NONCE = 438,
                 STUN_FAMILY_UNSUPPORTED = 440,
                 STUN_WRONG_CREDENTIALS = 441,
                 STUN_TRANSPORT_UNSUPPORTED = 442,
                 STUN_FAMILY_MISMATCH = 443,
                 STUN_QUOTA_REACHED = 486,
                 STUN_ROLE_CONFLICT = 487,
                 STUN_SERVER_ERROR = 500,
                 STUN_INSUFFICIENT_CAPACITY = 508
};

/* One message. A slice whose .data is NULL, an address of family ADDR_NONE and a false has_ field mean that
 * the attribute is absent; an attribute that comes twice counts once, the first (RFC 8489 §14). */
struct stun_msg {
    enum stun_class cls;
    uint16_t method; /* enum stun_method, or one we do not know */
    uint8_t id[STUN_ID_BYTES];
    struct slice bytes; /* the whole message */

    struct slice username, realm, nonce, software, data, error_reason;
    struct slice userhash;          /* STUN_SHA256_BYTES */
    struct slice reservation_token; /* STUN_TOKEN_BYTES */
    struct addr mapped;             /* XOR-MAPPED-ADDRESS, or else MAPPED-ADDRESS */
    struct addr relayed[2];         /* XOR-RELAYED-ADDRESS: one, or one of each family */
    struct addr peers[STUN_PEERS_MAX];
    struct addr alternate_server, response_origin, other_address;
    uint8_t n_relayed, n_peers;

    uint16_t error_code;                       /* 300..699; 0: absent */
    uint16_t unknown_answer[STUN_UNKNOWN_MAX]; /* UNKNOWN-ATTRIBUTES of a 420 */
    uint16_t unknown[STUN_UNKNOWN_MAX];        /* comprehension-required attributes we do not know */
    uint8_t n_unknown_answer, n_unknown;       /* not empty: a request is answered by 420, the rest dropped */

    uint32_t lifetime_s, priority, change_request;
    uint16_t channel, response_port;
    uint8_t transport, family, additional_family; /* as on the wire: STUN_TRANSPORT_UDP, STUN_FAMILY_V4 */
    uint64_t ice_controlling, ice_controlled;     /* tie-breakers */
    uint16_t password_algorithm;                  /* 0: absent */
    uint16_t password_algorithms[STUN_ALGORITHMS_MAX];
    uint8_t n_password_algorithms;

    bool has_lifetime, has_channel, has_transport, has_family, has_additional_family;
    bool has_even_port, wants_next_port; /* EVEN-PORT and its R bit */
    bool has_dont_fragment, has_priority, has_use_candidate, has_ice_controlling, has_ice_controlled;
    uint32_t nomination;
    bool has_nomination, has_leaving;
    bool has_change_request, has_response_port, has_padding;
    bool has_fingerprint;                   /* was there, and right */
    uint16_t integrity_at, integrity256_at; /* offsets of these attributes; 0: absent */
    uint8_t integrity256_len;               /* 16..32 */
};

/* The message type of the first two bytes (RFC 8489 §5: the class bits are bits 4 and 8). */
uint16_t stun_type(enum stun_class cls, uint16_t method);

/* True when bytes may be STUN by its first byte (0..3), cookie and length; costs nothing. */
bool stun_is_message(struct slice bytes);

/* Parse one whole message. ERR_PARSE: malformed, trailing bytes, a wrong FINGERPRINT, over a cap.
 * Attributes after MESSAGE-INTEGRITY(-SHA256) other than the other one and FINGERPRINT are ignored. */
enum err stun_parse(struct slice bytes, struct stun_msg *out);

/* Check MESSAGE-INTEGRITY-SHA256 when present, else MESSAGE-INTEGRITY, in constant time.
 * key: the password (short term), or what stun_long_term_key() made. ERR_NOT_FOUND: neither is there. */
enum err stun_check_integrity(const struct stun_msg *msg, struct slice key);

/* MD5(username ":" realm ":" password), RFC 8489 §9.2.2; texts are taken as already prepared. */
void stun_long_term_key(struct slice username, struct slice realm, struct slice password,
                        uint8_t key[static STUN_SHA1_KEY_BYTES]);
/* SHA-256 of the same, for PASSWORD-ALGORITHM SHA-256 (RFC 8489 §18.5.1.2). */
void stun_long_term_key_sha256(struct slice username, struct slice realm, struct slice password,
                               uint8_t key[static STUN_SHA256_BYTES]);
/* USERHASH: SHA-256(username ":" realm), RFC 8489 §14.4. */
void stun_userhash(struct slice username, struct slice realm, uint8_t out[static STUN_SHA256_BYTES]);

/* Writes one message: stun_begin(), attributes, integrity, fingerprint, stun_end(). */
struct stun_wr {
    struct wr w;
    uint8_t id[STUN_ID_BYTES];
};

void stun_begin(struct stun_wr *w, void *buf, size_t size, enum stun_class cls, uint16_t method,
                const uint8_t id[static STUN_ID_BYTES]);
/* Begin the answer to a request: same method and id. */
void stun_begin_answer(struct stun_wr *w, void *buf, size_t size, enum stun_class cls,
                       const struct stun_msg *request);
void stun_put(struct stun_wr *w, uint16_t attr, struct slice value);
void stun_put_flag(struct stun_wr *w, uint16_t attr); /* no value: USE-CANDIDATE, DONT-FRAGMENT */
void stun_put_u8(struct stun_wr *w, uint16_t attr,
                 uint8_t v); /* then 3 zeros: REQUESTED-TRANSPORT, families */
void stun_put_u16(struct stun_wr *w, uint16_t attr, uint16_t v); /* then 2 zeros: CHANNEL-NUMBER */
void stun_put_u32(struct stun_wr *w, uint16_t attr, uint32_t v);
void stun_put_u64(struct stun_wr *w, uint16_t attr, uint64_t v);
/* XORed or plain, as the attribute wants it. */
void stun_put_addr(struct stun_wr *w, uint16_t attr, const struct addr *a);
void stun_put_error(struct stun_wr *w, uint16_t code, const char *reason);
void stun_put_unknown(struct stun_wr *w, const uint16_t *attrs, size_t n);
void stun_put_even_port(struct stun_wr *w, bool wants_next_port);
/* HMAC-SHA1 or HMAC-SHA256 over all before; only the other one and the fingerprint may follow. */
void stun_put_integrity(struct stun_wr *w, struct slice key);
void stun_put_integrity_sha256(struct stun_wr *w, struct slice key);
void stun_put_fingerprint(struct stun_wr *w);
/* The finished message; empty when it did not fit. */
struct slice stun_end(struct stun_wr *w);

/* ChannelData (RFC 8656 §12.4): channel2 len2 data; a datagram may carry padding behind it. */
enum err stun_channel_parse(struct slice bytes, uint16_t *channel, struct slice *data);
void stun_channel_header(uint8_t out[static STUN_CHANNEL_HEADER], uint16_t channel, uint16_t len);
/* Header and data into buf; empty when it does not fit. */
struct slice stun_channel_write(void *buf, size_t size, uint16_t channel, struct slice data);

/* Over a byte stream: how long the frame is that starts with these bytes (ChannelData padded to 4). 0: fewer
 * than 4 bytes are there yet; ERR_PARSE: neither STUN nor ChannelData begins here. */
enum err stun_frame_bytes(struct slice stream, size_t *out);

const char *stun_code_text(uint16_t code); /* "Stale Nonce"; never NULL */

#endif
