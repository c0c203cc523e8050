/* nat/turn_client.h - client side of one TURN allocation over UDP (RFC 8656 §6-§12).
 *
 * After turn_start() it allocates, then keeps allocation, permissions and channels alive until turn_close().
 * Data to a peer goes by channel when one is bound, else as a Send indication; a peer that gets
 * TURN_BIND_AFTER packets is given a channel. With realm and nonce known in advance the first Allocate carries
 * credentials and takes one round trip.
 *
 *   IDLE ──start──▶ ASKING ──200──▶ READY ──close()──▶ CLOSING ──200 or 1.5 s──▶ CLOSED
 *                   ▲    │          ▲   │
 *   401, 438 (≤ 2)  └────┤  Refresh └───┤ 437, refused, or no answer in 39.5 s (RFC 8489 §6.2.1)
 *                        │  200         │
 *                        └──▶ FAILED ◀──┘
 *
 *   in     config; turn_input(): datagrams from the server's address
 *   out    ops.send to the server; ops.data from peers; ops.state once for each of READY, FAILED, CLOSED
 *   owner  the caller of turn_create(); config is copied, ops and env are borrowed. turn_destroy() is legal in a
 *          callback
 *   trust  answers count with our transaction id and, once credentials were sent, a right MESSAGE-INTEGRITY;
 *          data from peers is hearsay, and comes only from addresses we permitted
 *   caps   TURN_PEERS_MAX peers; beyond it turn_send() drops and counts */
#ifndef ITO_NAT_TURN_CLIENT_H
#define ITO_NAT_TURN_CLIENT_H

#include "base/env.h"
#include "nat/stun.h"

#define TURN_PEERS_MAX             32
#define TURN_BIND_AFTER            4
#define TURN_CLIENT_USERNAME_BYTES 256
#define TURN_CLIENT_PASSWORD_BYTES 128
#define TURN_REALM_BYTES           128
#define TURN_NONCE_BYTES           256
#define TURN_DATA_MAX              1400 /* bytes of one datagram to a peer */
#define TURN_OVERHEAD_MAX          56   /* of a Send indication over its data */

enum turn_state { TURN_IDLE, TURN_ASKING, TURN_READY, TURN_CLOSING, TURN_CLOSED, TURN_FAILED };

struct turn_client_config {
    struct addr server;
    const char *username, *password;
    const char *realm, *nonce; /* NULL or "": not known, the server will tell */
    uint32_t lifetime_s;       /* asked for; 0: 600 */
    uint8_t family;            /* ADDR_V4 or ADDR_V6 of the relayed address; ADDR_NONE: IPv4 */
};

struct turn_client_stats {
    uint64_t bytes_out, bytes_in; /* payload to and from peers */
    uint64_t dropped;             /* not ready, over a cap, too long, or from a peer not permitted */
    uint64_t bad;                 /* from the server, and not to be parsed or believed */
    ns_t rtt;                     /* of the last transaction not sent twice; 0: none yet */
};

struct turn_client_ops {
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    void (*data)(void *arg, ns_t now, const struct addr *from, struct slice bytes);
    /* READY: relayed and mapped are set. FAILED, CLOSED: see turn_error_code(). */
    void (*state)(void *arg, ns_t now, enum turn_state state, const struct addr *relayed,
                  const struct addr *mapped);
};

struct turn;

struct turn *turn_create(const struct turn_client_config *config, const struct turn_client_ops *ops,
                         void *arg, const struct env *env);
void turn_destroy(struct turn *t); /* without a word to the server; NULL is fine */
void turn_start(struct turn *t, ns_t now);
/* Let this peer address (any port) send to us. ERR_FULL at the cap, ERR_STATE when failed or closed. */
enum err turn_permit(struct turn *t, ns_t now, const struct addr *peer);
/* Bind a channel to this peer now: 4 bytes of overhead instead of 36 or more. */
enum err turn_bind(struct turn *t, ns_t now, const struct addr *peer);
/* Send to a peer, asking for its permission when there is none yet. ERR_STATE unless READY, ERR_RANGE when over
 * TURN_DATA_MAX, ERR_FULL at the cap. */
enum err turn_send(struct turn *t, ns_t now, const struct addr *peer, struct slice bytes);
/* One datagram from config.server. True when it was ours: a known transaction, Data, or ChannelData. */
bool turn_input(struct turn *t, ns_t now, struct slice bytes);
void turn_tick(struct turn *t, ns_t now);
ns_t turn_deadline(const struct turn *t);
/* Give the allocation back; CLOSED follows. */
void turn_close(struct turn *t, ns_t now);

enum turn_state turn_get_state(const struct turn *t);
uint16_t turn_error_code(const struct turn *t); /* why FAILED: the server's code, 0 for no answer */
const struct addr *turn_server(const struct turn *t);
const struct addr *turn_relayed(const struct turn *t); /* family ADDR_NONE unless READY */
const struct addr *turn_mapped(const struct turn *t);
const struct turn_client_stats *turn_get_stats(const struct turn *t);

#endif
