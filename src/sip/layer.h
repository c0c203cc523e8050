/* sip/layer.h - osip's transactions between the user agent and flows of bytes.
 *
 * libosip2 runs the four state machines of RFC 3261 §17 with their timers; this layer feeds them, sends what they
 * say by the flow of each transaction, and does what they leave out: limits before and checks after parsing,
 * matching (a transaction belongs to one flow), late copies of an answered INVITE (RFC 6026), transactions
 * that would never die, and the order of things: callbacks run only from layer_input() and layer_tick(), after
 * osip has returned, one at a time, so each of them may do anything, destroying the layer included.
 *
 *   in     bytes with their flow; messages of ours, taken over
 *   out    bytes by ops.send(); requests, responses, ACKs, time-outs by the others
 *   owner  sip/ua; a transaction is named by the pointer the layer gives, until ops.gone()
 *   trust  a message only meets transactions of the flow it came by
 *   caps   LAYER_TRANSACTIONS, LAYER_PER_FLOW (finished ones make room), LAYER_ABSORBED remembered INVITEs, LAYER_QUEUE messages that came while
 *          another was being handled; LAYER_STUCK_NS in a state without a timer */
#ifndef ITO_SIP_LAYER_H
#define ITO_SIP_LAYER_H

#include <osipparser2/osip_message.h>

#include "base/env.h"
#include "base/err.h"

#define LAYER_TRANSACTIONS 96
#define LAYER_PER_FLOW     32
#define LAYER_ABSORBED     32
#define LAYER_QUEUE        16
#define LAYER_STUCK_NS     (240 * NS_PER_S) /* above UA_RING_MAX_NS and its CANCEL */
#define LAYER_T1_NS        (500 * NS_PER_MS)
#define LAYER_T2_NS        (4 * NS_PER_S)
#define LAYER_64_T1_NS     (64 * LAYER_T1_NS)

struct sip_layer;
struct sip_txn;

struct sip_layer_ops {
    void (*send)(void *arg, void *flow, struct slice bytes);
    /* A new server transaction; answer it with layer_respond(), soon. */
    void (*request)(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg);
    /* Any response to layer_request(), repeated ones left out. */
    void (*response)(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg);
    /* No final response within 64 * T1 (timer B or F). */
    void (*timeout)(void *arg, ns_t now, struct sip_txn *txn);
    /* An ACK that acknowledges no transaction: that of a 2xx. */
    void (*ack)(void *arg, ns_t now, void *flow, const osip_message_t *msg);
    /* A 2xx for INVITE without a transaction: a repetition, or another branch of a fork. */
    void (*stray)(void *arg, ns_t now, void *flow, const osip_message_t *msg);
    /* The last word about a transaction. */
    void (*gone)(void *arg, struct sip_txn *txn);
};

struct sip_layer_stats {
    uint64_t received, sent, bad, unmatched, absorbed, full, timeouts;
    uint32_t transactions;
};

struct sip_layer *layer_create(const struct sip_layer_ops *ops, void *arg, const struct env *env);
void layer_destroy(struct sip_layer *l);
enum err layer_input(struct sip_layer *l, ns_t now, void *flow, struct slice bytes);
void layer_tick(struct sip_layer *l, ns_t now);
ns_t layer_deadline(const struct sip_layer *l);

/* A client transaction for this request; the message is taken over. NULL when LAYER_TRANSACTIONS are there. */
struct sip_txn *layer_request(struct sip_layer *l, ns_t now, void *flow, osip_message_t *msg_take,
                              void *user);
/* A response on a server transaction; ERR_STATE after a final one. */
enum err layer_respond(struct sip_layer *l, ns_t now, struct sip_txn *txn, osip_message_t *msg_take);
/* A message outside any transaction: ACK of a 2xx, the 2xx once more. */
void layer_send(struct sip_layer *l, void *flow, osip_message_t *msg);

/* The INVITE transaction a CANCEL means, or NULL. */
struct sip_txn *layer_find_invite(struct sip_layer *l, void *flow, const osip_message_t *cancel);
/* Send no more copies of this INVITE: it was given up before any answer. */
void layer_mute(struct sip_txn *txn);
/* End it now, without a message; ops.gone() follows at the next turn. */
void layer_abandon(struct sip_txn *txn);
/* No transaction names this user any more. */
void layer_forget(struct sip_layer *l, const void *user);
/* Transactions of `user` (NULL: everybody's) on `from` go on by `to`; NULL: nothing is sent any more. */
void layer_move_flow(struct sip_layer *l, const void *user, void *from, void *to);

void *txn_user(const struct sip_txn *txn);
void txn_set_user(struct sip_txn *txn, void *user);
void *txn_flow(const struct sip_txn *txn);
const osip_message_t *txn_request(const struct sip_txn *txn);
bool txn_has_final(const struct sip_txn *txn); /* server: final response given */
void layer_get_stats(const struct sip_layer *l, struct sip_layer_stats *out);

#endif
