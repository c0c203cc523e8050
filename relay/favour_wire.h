/* relay/favour_wire.h - what contacts tell each other about relays, on the control channel of their session.
 *
 * A contact who runs a relay gives a pass for it (THREATS.md §4.12), or lets its own credit be drawn on (LEDGER.md
 * §3, RLP1); all contacts tell what they met at relays (§6). One struct holds any message; favour_parse() fills the
 * fields of its type and zeroes the rest.
 *
 *   type name    after type1 flags1 rsv2
 *   16   PASS    relay32 pass16 addr(family1 port2 ip4|16)
 *   17   OFFER   relay32 line_s4 per_days2 rsv2 addr: a sponsor line; line_s 0: it is taken back
 *   18   ACCEPT  relay32 account32: the account at that relay which the line is for
 *   19   LINE    rlp1_148, signed for that account
 *   20   MET     n1 rsv3, then n x (relay32 good2 bad2), observations in tenths, n <= FAVOUR_MET_MAX
 *
 *   trust  the session proved the contact; a LINE counts when receipt.h verified it; MET is hearsay
 *   caps   FAVOUR_MESSAGE_MAX bytes */
#ifndef ITO_RELAY_FAVOUR_WIRE_H
#define ITO_RELAY_FAVOUR_WIRE_H

#include "base/addr.h"
#include "base/cursor.h"
#include "base/err.h"
#include "crypto/zone.h"
#include "relay/receipt.h"

#define FAVOUR_FIRST       16 /* of the control channel's types, those from here to FAVOUR_LAST are ours */
#define FAVOUR_LAST        20
#define FAVOUR_MET_MAX     16
#define FAVOUR_MESSAGE_MAX 640

enum favour_type { FAVOUR_PASS = FAVOUR_FIRST, FAVOUR_OFFER, FAVOUR_ACCEPT, FAVOUR_LINE, FAVOUR_MET };

struct favour_met {
    uint8_t relay[32];
    uint16_t good, bad; /* tenths */
};

struct favour_msg {
    enum favour_type type;
    uint8_t relay[32];              /* PASS, OFFER, ACCEPT */
    uint8_t pass[GUEST_PASS_BYTES]; /* PASS */
    struct addr addr;               /* PASS, OFFER */
    uint32_t line_s;                /* OFFER */
    uint16_t per_days;
    uint8_t account[32];               /* ACCEPT */
    uint8_t paper[RECEIPT_RLP1_BYTES]; /* LINE */
    uint8_t n_met;                     /* MET */
    struct favour_met met[FAVOUR_MET_MAX];
};

/* One whole message. ERR_PARSE, or ERR_VERSION for a type we do not know. */
enum err favour_parse(struct slice bytes, struct favour_msg *out);
struct slice favour_write(uint8_t buf[static FAVOUR_MESSAGE_MAX], const struct favour_msg *m);

#endif
