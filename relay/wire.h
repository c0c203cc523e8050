/* relay/wire.h - messages between a relay and its client, on session channel 2; knocks on channel 4.
 *
 * The session (class node, the client's static is its account key) proves who speaks; these are only bytes.
 * One struct holds any message; wire_parse() fills the fields of its type and zeroes the rest.
 *
 *   client to relay   ALLOCATE, SIGN, SYNC, REGISTER, RELEASE, CHEQUE, CLEAR, DIGEST_ASK
 *   relay to client   OK, BUSY, POOL_EMPTY, PROPOSE, DONE, SIGN_REQUIRED, MIGRATE, SYNC, REGISTERED, CREDITED,
 *                     CLEARED, DIGEST, PROOF
 *
 *   trust  hearsay until relay/receipt has checked the signatures; requests are idempotent by `req`
 *   caps   WIRE_MESSAGE_MAX bytes */
#ifndef ITO_RELAY_WIRE_H
#define ITO_RELAY_WIRE_H

#include "base/cursor.h"
#include "base/err.h"
#include "crypto/zone.h"
#include "relay/clearing.h"
#include "relay/digest.h"
#include "relay/receipt.h"

#define WIRE_CHAN_LEDGER 2
#define WIRE_CHAN_KNOCK  4
#define WIRE_MESSAGE_MAX 640 /* DIGEST with DIGEST_ENTRIES is 604 */
#define WIRE_TEXT_MAX    64

enum wire_type {
    WIRE_ALLOCATE = 1,
    WIRE_OK,
    WIRE_BUSY,
    WIRE_POOL_EMPTY,
    WIRE_PROPOSE,
    WIRE_SIGN,
    WIRE_DONE,
    WIRE_SIGN_REQUIRED,
    WIRE_MIGRATE,
    WIRE_SYNC,
    WIRE_RELEASE,
    WIRE_REGISTER,
    WIRE_REGISTERED,
    WIRE_CHEQUE,     /* paid to the relay */
    WIRE_CREDITED,   /* what it did with it */
    WIRE_CLEAR,      /* presented to its drawee, by its payee */
    WIRE_CLEARED,    /* what the drawee says, signed */
    WIRE_DIGEST_ASK, /* on whom may I draw? */
    WIRE_DIGEST,
    WIRE_PROOF /* said before the DIGEST that answers the same question: somebody spent a claim twice */
};

enum wire_why {                       /* of BUSY and MIGRATE */
                WIRE_WHY_FULL = 1,    /* no slot free */
                WIRE_WHY_NOT_ALLOWED, /* relay.for contacts */
                WIRE_WHY_BUDGET,      /* the month's bytes are used up */
                WIRE_WHY_DRAIN,       /* the relay is going away */
                WIRE_WHY_UNSIGNED,    /* statements were not signed */
                WIRE_WHY_FUNDS,       /* credit ended under contention */
                WIRE_WHY_LATER        /* asked too often */
};

#define WIRE_FLAG_PASS      1 /* ALLOCATE: `pass` is there */
#define WIRE_FLAG_EMERGENCY 2 /* ALLOCATE */
#define WIRE_FLAG_AUDIT     4 /* ALLOCATE: a minute that the asker will owe (relay/audit.h) */
#define WIRE_FLAG_LAST      1 /* PROPOSE: the allocation is over */
#define WIRE_FLAG_LINE      1 /* CHEQUE: `line` is there, and its beneficiary drew */
#define WIRE_FLAG_OTHER     1 /* CLEARED: `cheque` is there, the other one over the same range */

struct wire_msg {
    enum wire_type type;
    uint8_t flags;
    uint32_t req; /* ALLOCATE, OK, BUSY, POOL_EMPTY, REGISTER, REGISTERED: chosen by the client */

    uint8_t slots;     /* ALLOCATE, OK */
    uint32_t wish_s;   /* ALLOCATE: how long the call may last */
    uint16_t head_inc; /* ALLOCATE, OK: newest doubly signed statement of the pair; 0,0: none */
    uint32_t head_seq;
    uint8_t pass[GUEST_PASS_BYTES]; /* ALLOCATE with WIRE_FLAG_PASS */

    uint8_t alloc_id[8]; /* OK, PROPOSE, SIGN, DONE, SIGN_REQUIRED, MIGRATE, RELEASE */
    uint8_t admission;   /* OK: class 0 guest, 1 creditor, 2 stranger, 3 audit */
    uint32_t funded_s;   /* OK: what the pair's credit covers */
    uint32_t expiry_s;   /* OK: seconds since 1970; the ticket opens no allocation later */
    char realm[WIRE_TEXT_MAX + 1], nonce[WIRE_TEXT_MAX + 1];
    char username[WIRE_TEXT_MAX + 1], password[WIRE_TEXT_MAX + 1];

    uint8_t why;       /* BUSY, MIGRATE */
    uint32_t retry_ms; /* BUSY, POOL_EMPTY */
    uint8_t load_pct;  /* BUSY, POOL_EMPTY, OK */

    uint8_t body[RECEIPT_BODY_BYTES];      /* PROPOSE, SIGN: the first 128 bytes of the statement */
    uint8_t sig[RECEIPT_SIG_BYTES];        /* SIGN: the client's; DONE: the relay's */
    uint8_t statement[RECEIPT_RLS1_BYTES]; /* SYNC */
    uint32_t seq;                          /* DONE */
    uint64_t total_bytes;                  /* DONE: all the relay ever counted for this pair, both ways */
    uint32_t unsigned_s;                   /* SIGN_REQUIRED */
    uint32_t within_s;                     /* MIGRATE: until then the old allocation goes on */

    uint32_t generation;              /* REGISTER: a higher one draws new tokens (a contact was removed) */
    uint8_t token[KNOCK_TOKEN_BYTES]; /* REGISTERED: put this into the record */
    uint8_t token_old[KNOCK_TOKEN_BYTES]; /* REGISTERED: still heard */
    uint32_t valid_s;                     /* REGISTERED: until `token` becomes the old one */

    uint8_t verdict;                     /* CREDITED, CLEARED: enum clearing_verdict */
    uint32_t credit_s;                   /* CREDITED: what the account can spend at the relay now */
    uint8_t cheque[RECEIPT_RLC1_BYTES];  /* CHEQUE, CLEAR, CLEARED with WIRE_FLAG_OTHER */
    uint8_t line[RECEIPT_RLP1_BYTES];    /* CHEQUE with WIRE_FLAG_LINE */
    uint8_t cleared[RECEIPT_RLD1_BYTES]; /* CLEARED */
    uint8_t digest[DIGEST_BYTES_MAX];    /* DIGEST */
    uint16_t digest_len;
    uint8_t proof[CLEARING_PROOF_BYTES]; /* PROOF */
};

/* Said by clients only. Two relays may be client and relay of each other over one session: each message goes to the part
 * that hears its type, SYNC to both. */
bool wire_is_of_client(uint8_t type);
/* One whole message. ERR_PARSE, or ERR_VERSION for a type we do not know. */
enum err wire_parse(struct slice bytes, struct wire_msg *out);
/* The message in buf; empty when a text is too long or it does not fit. */
struct slice wire_write(void *buf, size_t size, const struct wire_msg *msg);

#endif
