/* crypto/device_wire.h - what two devices of one identity tell each other (THREATS.md §4.11), on the control channel of
 * their session: while one is linked, and afterwards to keep list and S the same.
 *
 * One struct holds any message; device_parse() fills the fields of its type and zeroes the rest.
 *
 *   type name    after type1
 *   64   ASK     n1 name: the new device asks to be linked, again until it hears DONE or NO
 *   65   WAIT    nobody has decided yet
 *   66   DONE    S_gen4 S32 cert165 n1 name, then the signed list: it is one of ours now, and so are we called
 *   67   NO
 *   68   TAKEN   the new device has written down what DONE said
 *   69   STATE   flags1 gen4 S_gen4 digest8 of S: what the sender holds; flag 1: an answer is wanted
 *   70   KEYS    flags1 S_gen4 S32 [cert165], then the signed list; flag 1: a certificate for the receiver is in it
 *   71   OFFER   D32 Q32: new keys of the sender, to be certified
 *   72   REMOVED the signed list, in which the receiver is not any more
 *
 *   trust  the session proved a device of ours, or one that holds the secret of a link text; a list counts when
 *          device_list_open() verified it
 *   caps   DEVICE_MESSAGE_MAX bytes */
#ifndef ITO_CRYPTO_DEVICE_WIRE_H
#define ITO_CRYPTO_DEVICE_WIRE_H

#include "crypto/cert.h"
#include "crypto/idtext.h"

#define DEVICE_FIRST        64 /* of the control channel's types, those from here to DEVICE_LAST are ours */
#define DEVICE_LAST         72
#define DEVICE_DIGEST_BYTES 8
#define DEVICE_MESSAGE_MAX  (1 + 1 + 4 + KEY_BYTES + CERT_BYTES + 1 + ID_NAME_BYTES + LIST_MAX_BYTES)

enum device_msg_type {
    DEVICE_ASK = DEVICE_FIRST,
    DEVICE_WAIT,
    DEVICE_DONE,
    DEVICE_NO,
    DEVICE_TAKEN,
    DEVICE_STATE,
    DEVICE_KEYS,
    DEVICE_OFFER,
    DEVICE_REMOVED
};

struct device_msg {
    enum device_msg_type type;
    char name[ID_NAME_BYTES];            /* ASK, DONE */
    bool wants_answer;                   /* STATE */
    uint32_t gen;                        /* STATE */
    uint32_t S_gen;                      /* STATE, DONE, KEYS */
    uint8_t digest[DEVICE_DIGEST_BYTES]; /* STATE: device_digest() */
    uint8_t S[KEY_BYTES];                /* DONE, KEYS */
    bool has_cert;                       /* DONE: always; KEYS */
    uint8_t cert[CERT_BYTES];
    struct slice list;                  /* DONE, KEYS, REMOVED: bytes of one list, borrowed */
    uint8_t D[KEY_BYTES], Q[KEY_BYTES]; /* OFFER */
};

/* One whole message. ERR_PARSE, or ERR_VERSION for a type we do not know. */
enum err device_parse(struct slice bytes, struct device_msg *out);
struct slice device_write(uint8_t buf[static DEVICE_MESSAGE_MAX], const struct device_msg *m);
/* H(8, S; "itodenwa-own-state-v1"): the same S, without saying it. */
void device_digest(const uint8_t S[static KEY_BYTES], uint8_t out[static DEVICE_DIGEST_BYTES]);

#endif
