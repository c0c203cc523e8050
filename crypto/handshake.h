/* crypto/handshake.h - the datagrams C0, C1, C2 of THREATS.md §4.6: their bytes, their MACs, their payloads.
 *
 * Noise_IKpsk0 inside; around it mac1, without which a receiver computes nothing, and mac2, which proves an
 * address by a cookie. No state, no policy, no time: crypto/session.h has those.
 *
 *   C0  msg1, 488 bytes          C1  msg2, 156 bytes               C2  cookie, 64 bytes
 *   0    1   type, c0            0    1   type, c1                 0    1   type, c2
 *   1    3   zero                1    3   zero                     1    3   zero
 *   4    4   sender index        4    4   sender index             4    4   receiver index
 *   8    32  e                   8    4   receiver index           8    24  nonce
 *   40   48  s, sealed           12   32  e                        32   32  cookie 16, sealed, ad = the
 *   88   368 payload 352, sealed 44   80  payload 64, sealed                mac1 it answers
 *   456  16  mac1                124  16  mac1
 *   472  16  mac2                140  16  mac2, zero
 *
 *   payload of msg1, 352 bytes                           payload of msg2, 64 bytes
 *   0    8    stamp       ns, strictly up per device     0    4   gen     of the responder's device list
 *   8    1    kind        enum hello_kind                4    4   S_gen
 *   9    1    flags       HELLO_*; other bits 0          8    1   flags   the owner's
 *   10   16   call_id     zeros when it is no call       9    55  zero
 *   26   165  certificate; class node: key 32 instead, then everything moves up
 *   191  1    n           candidates, 0..2
 *   192  19·n             family 1, port 2, address 16 (IPv4: 4 and zeros)
 *   then 96   succession  next 32, signature 64 (cert.h); all zero when there is none
 *   then      zero
 *
 *   trust  what hello_parse() yields was sealed to us, and is still only the sender's word: the certificate is
 *          checked by the session layer before anybody sees a hello */
#ifndef ITO_CRYPTO_HANDSHAKE_H
#define ITO_CRYPTO_HANDSHAKE_H

#include "base/addr.h"
#include "crypto/cert.h"
#include "crypto/noise.h"

#define HANDSHAKE_MSG1_BYTES     488
#define HANDSHAKE_MSG2_BYTES     156
#define HANDSHAKE_COOKIE_BYTES   64
#define HANDSHAKE_MSG1_PLAIN     352
#define HANDSHAKE_MSG2_PLAIN     64
#define HANDSHAKE_MAC_BYTES      16
#define HANDSHAKE_CANDIDATES_MAX 2
#define HANDSHAKE_CALL_ID_BYTES  16

enum handshake_type {
    HANDSHAKE_MSG1 = 0xc0,
    HANDSHAKE_MSG2 = 0xc1,
    HANDSHAKE_COOKIE = 0xc2,
    HANDSHAKE_DATA = 0xc3
};

/* Who may speak, and which secret the psk comes from; the byte of the prologue. */
enum session_class { SESSION_CONTACT = 1, SESSION_INVITE = 2, SESSION_NODE = 3 };

enum hello_kind { HELLO_LINK = 0, /* no call: presence, cards, tickets */ HELLO_CALL = 1 };

#define HELLO_REKEY      0x01 /* new keys for a session that stands; nothing is opened */
#define HELLO_FLAGS_MINE 0xf0 /* bits for the owner */

/* Payload of msg1. */
struct hello {
    uint64_t stamp;
    uint8_t kind, flags;
    uint8_t call_id[HANDSHAKE_CALL_ID_BYTES];
    uint8_t certificate[CERT_BYTES]; /* class node: the first 32 bytes are an Ed25519 key, the rest zero */
    uint8_t n_candidates;
    struct addr candidates[HANDSHAKE_CANDIDATES_MAX];
    bool has_succession;
    uint8_t succession[SUCCESSION_BYTES]; /* for succession_verify() */
};

/* Payload of msg2. */
struct hello_reply {
    uint32_t gen, s_gen;
    uint8_t flags;
};

/* Everything about one handshake that depends on the receiver alone: made once, tried often. */
struct handshake_key {
    enum session_class class;
    uint8_t psk[32];
    uint8_t mac_key[32]; /* mk of the receiver of the message */
};

/* psk of a class. secret is S or X_I (32 bytes); NULL for class node, whose psk is public. */
void handshake_psk(enum session_class class, const uint8_t *secret, const uint8_t responder_static[static 32],
                   uint8_t psk[static 32]);
/* mk = H(32, psk; "itodenwa-mac1-v1" || static of the receiver). */
void handshake_mac_key(const uint8_t psk[static 32], const uint8_t receiver_static[static 32],
                       uint8_t mac_key[static 32]);
/* "itodenwa-session-v1" NUL || class || responder A (class node: N); 53 bytes. */
#define HANDSHAKE_PROLOGUE_BYTES 53
void handshake_prologue(enum session_class class, const uint8_t responder[static 32],
                        uint8_t out[static HANDSHAKE_PROLOGUE_BYTES]);

/* Exactly HANDSHAKE_MSG1_PLAIN bytes. ERR_RANGE when the hello cannot be written. */
enum err hello_write(enum session_class class, const struct hello *hello,
                     uint8_t out[static HANDSHAKE_MSG1_PLAIN]);
/* ERR_PARSE unless all of it is as above; out is untouched then. */
enum err hello_parse(enum session_class class, struct slice bytes, struct hello *out);
void hello_reply_write(const struct hello_reply *reply, uint8_t out[static HANDSHAKE_MSG2_PLAIN]);
enum err hello_reply_parse(struct slice bytes, struct hello_reply *out);

/* Write a whole msg1 with mac1, mac2 zero. n is a fresh initiator; ephemeral 32 random bytes. */
enum err handshake_write_msg1(struct noise *n, uint32_t sender, const uint8_t ephemeral[static 32],
                              const uint8_t plain[static HANDSHAKE_MSG1_PLAIN],
                              const uint8_t mac_key[static 32], uint8_t out[static HANDSHAKE_MSG1_BYTES]);
enum err handshake_write_msg2(struct noise *n, uint32_t sender, uint32_t receiver,
                              const uint8_t ephemeral[static 32],
                              const uint8_t plain[static HANDSHAKE_MSG2_PLAIN],
                              const uint8_t mac_key[static 32], uint8_t out[static HANDSHAKE_MSG2_BYTES]);

/* Views into a datagram whose type, length and zero bytes are right; nothing in them is proven. */
struct msg1_wire {
    uint32_t sender;
    struct slice noise, body, mac1, mac2; /* body: what mac1 is over */
};
struct msg2_wire {
    uint32_t sender, receiver;
    struct slice noise, body, mac1;
};
struct cookie_wire {
    uint32_t receiver;
    struct slice nonce, sealed;
};
enum err msg1_wire_parse(struct slice datagram, struct msg1_wire *out);
enum err msg2_wire_parse(struct slice datagram, struct msg2_wire *out);
enum err cookie_wire_parse(struct slice datagram, struct cookie_wire *out);

/* H(32, -; body), computed once for up to 37 trials. */
void handshake_digest(struct slice body, uint8_t digest[static 32]);
bool handshake_mac1_is_right(const uint8_t mac_key[static 32], const uint8_t digest[static 32],
                             struct slice mac1);
/* The key among n (in order) under which mac1 is right, or -1. */
int handshake_find_key(const struct handshake_key *keys, size_t n, const uint8_t digest[static 32],
                       struct slice mac1);

/* mac2 of a msg1 already written: over the 472 bytes before it. */
void handshake_set_mac2(const uint8_t cookie[static 16], uint8_t msg1[static HANDSHAKE_MSG1_BYTES]);
bool handshake_mac2_is_right(const uint8_t cookie[static 16], struct slice msg1);

/* The cookie of an address: H(16, secret; source). */
void cookie_make(const uint8_t secret[static 32], struct slice source, uint8_t cookie[static 16]);
void cookie_write(const uint8_t psk[static 32], const uint8_t responder_static[static 32], uint32_t receiver,
                  const uint8_t nonce[static 24], struct slice mac1, const uint8_t cookie[static 16],
                  uint8_t out[static HANDSHAKE_COOKIE_BYTES]);
/* ERR_AUTH unless it answers the msg1 that carried mac1. */
enum err cookie_open(const uint8_t psk[static 32], const uint8_t responder_static[static 32],
                     const struct cookie_wire *wire, struct slice mac1, uint8_t cookie[static 16]);

#endif
