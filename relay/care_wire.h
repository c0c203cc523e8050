/* relay/care_wire.h - messages between a caretaker or guard and its client, on session channel 3 (THREATS.md §4.3).
 *
 * The session is of class node; the client's static is its account there. One struct holds any message;
 * care_parse() fills the fields of its type and zeroes the rest. All are idempotent by `req`: the client repeats
 * until it hears, the server answers the same again. All begin type1 flags1; rsv are zero.
 *
 *   type     from    after that
 *   KEEP     client  slot1 rsv1 req4 from8 until8 k32 seq8 sig64 len2 v     put this item, each hour, between two
 *                                                                           moments of zone time (s)
 *   KEPT     server  why1 acks1 req4                                        to KEEP and DROP; again when stored
 *   DROP     client  slot1 rsv1 req4                                        no more
 *   GET      client  rsv2 req4 min_seq8 k32                                 look this key up, in your own name
 *   VALUE    server  rsv2 req4 k32 seq8 sig64 len2 v                        each better one
 *   DONE     server  why1 nodes1 req4                                       the look-up is over
 *   LOOK     client  rsv2 req4 drop20                                       read this drop of requests, a watched one from
 *                                                                           what was found; DONE ends it
 *   BLOB     server  rsv2 req4 drop20 nonce8 blob960                        each found
 *   NEWS     server  rsv2 req4 drop20                                       something new lies there; req 0
 *   WATCH    client  rsv2 req4 week4 drop20 drop20 drop20                   watch these, of last week, this and the next, for
 *                                                                           7 days after we left; KEPT, NEWS
 *
 *   trust  hearsay: of an item only item_verify() tells
 *   caps   CARE_MESSAGE_MAX bytes */
#ifndef ITO_RELAY_CARE_WIRE_H
#define ITO_RELAY_CARE_WIRE_H

#include "base/cursor.h"
#include "base/err.h"
#include "crypto/item.h"

#define CARE_CHAN        3
#define CARE_SLOTS       16
#define CARE_V_MAX       960 /* of a sealed item */
#define CARE_MESSAGE_MAX (130 + CARE_V_MAX)

enum care_type {
    CARE_KEEP = 1,
    CARE_KEPT,
    CARE_DROP,
    CARE_GET,
    CARE_VALUE,
    CARE_DONE,
    CARE_LOOK,
    CARE_BLOB,
    CARE_NEWS,
    CARE_WATCH
};

#define CARE_DROP_BYTES  20
#define CARE_WEEKS       3
#define CARE_NONCE_BYTES 8
#define CARE_BLOB_BYTES  960

#define CARE_FLAG_HERE    1 /* KEEP: only while the client is connected, and CARE_AFTER_S more */
#define CARE_FLAG_ONCE    2 /* KEEP: put once, keep nothing; the slot is ignored */
#define CARE_FLAG_NO_MORE 1 /* WATCH: none any more; the drops are zeros */
#define CARE_FLAG_TAKEN   1 /* KEPT: will be put */
#define CARE_FLAG_STORED  2 /* KEPT: was, acks nodes hold it */

enum care_why {
    CARE_WHY_NONE,
    CARE_WHY_FULL,      /* more clients or items than we take */
    CARE_WHY_BUSY,      /* over the rate for now */
    CARE_WHY_BAD,       /* wrong signature, or a time that makes no sense */
    CARE_WHY_NOT_FOUND, /* DONE: nobody has it; KEPT: nobody took it */
    CARE_WHY_ALONE      /* we have no network either */
};

struct care_msg {
    enum care_type type;
    uint8_t flags;
    uint32_t req;            /* chosen by the client */
    uint8_t slot;            /* KEEP, DROP: 0..CARE_SLOTS-1 */
    int64_t from_s, until_s; /* KEEP: zone time */
    uint8_t why;             /* KEPT, DONE: enum care_why */
    uint8_t n; /* KEPT: nodes that stored it; DONE: nodes that answered a GET, BLOBs of a LOOK; at most 255 */
    int64_t min_seq;                 /* GET */
    uint8_t key[KEY_BYTES];          /* GET */
    uint8_t drop[CARE_DROP_BYTES];   /* LOOK, BLOB, NEWS */
    uint8_t nonce[CARE_NONCE_BYTES]; /* BLOB */
    uint8_t blob[CARE_BLOB_BYTES];
    uint32_t week; /* WATCH: of the second; drop_week() */
    uint8_t drops[CARE_WEEKS][CARE_DROP_BYTES];
    struct item item; /* KEEP, VALUE */
};

/* One whole message. ERR_PARSE, or ERR_VERSION for a type we do not know. */
/* Said by clients only: over one session two relays may take care of each other's items. */
bool care_is_of_client(uint8_t type);
enum err care_parse(struct slice bytes, struct care_msg *out);
/* The message in buf; empty when it does not fit. */
struct slice care_write(void *buf, size_t size, const struct care_msg *msg);

#endif
