/* sip/ua.h - the user agent: calls out and in by SIP (RFC 3261), over flows that belong to somebody else.
 *
 * A flow is an opaque pointer, never NULL while it can carry bytes: a secure session, or a plain UDP peer. The
 * UA hands whole SIP messages to ops.send() and gets whole messages by ua_input(). Flows may lose, repeat and
 * reorder; UDP rules apply on all of them (timers A to K, 2xx until ACK, RFC 6026).
 *
 * What a call goes through, seen by the owner (◀ callback, ▶ function):
 *
 *   out  ▶ ua_invite  ◀ provisional*  ◀ answered  ──┬─▶ ua_bye                     (gone at once)
 *                     │  ▶ ua_cancel ◀ failed 487   ├─◀ bye                        (gone on return)
 *                     └──────────────◀ failed       └─◀ failed                     (gone on return)
 *   in   ◀ incoming   ▶ ua_ring*  ▶ ua_answer ◀ acked ─ as above
 *                     ├─▶ ua_reject                  (gone at once)
 *                     ├─◀ cancelled                  (gone on return)
 *                     └─◀ failed 408: no ACK in 32 s (gone on return)
 *   both answered:    ▶ ua_info ◀ info_done; ◀ info; ▶ ua_reinvite ◀ reinvited; ◀ reinvite ▶ ua_reinvite_answer
 *
 * "Gone" means: the pointer must not be used any more. The UA finishes what the standard asks for by itself
 * (responses, ACKs, the BYE after a crossing 200). Every callback may call any function here, ua_destroy()
 * included; none of them is called from within ua_invite().
 *
 *   in     messages with the flow they came by; time as a parameter of everything that sends
 *   out    messages by ops.send(); facts by the other ops, each about one call
 *   owner  the caller of ua_create(); strings and bodies given are copied, those received are borrowed for
 *          the time of the callback
 *   trust  the bytes are a stranger's until parsed; who is behind a flow is known to its owner, so From is
 *          never used as a proof; a request inside a dialog must come by the flow of its call
 *   caps   SIP_MESSAGE_MAX_BYTES, SIP_HEADERS_MAX; UA_CALLS calls; LAYER_TRANSACTIONS, and LAYER_PER_FLOW of
 *          them by one flow; UA_HEADERS extra headers on a message of ours */
#ifndef ITO_SIP_UA_H
#define ITO_SIP_UA_H

#include "base/env.h"
#include "base/err.h"

#define SIP_MESSAGE_MAX_BYTES 8192 /* longer ones are dropped before parsing */
#define SIP_HEADERS_MAX       64
#define UA_CALLS              16 /* at once, the finishing ones included; the next INVITE gets 486 */
#define UA_HEADERS            8
#define UA_TEXT_BYTES         256              /* longest URI, display name, header value we send */
#define UA_RING_MAX_NS        (180 * NS_PER_S) /* a call that only rings ends after this, whoever forgot it */
#define UA_CONFIRM_MAX_NS     (32 * NS_PER_S)  /* 64 * T1: 2xx without ACK, CANCEL without 487 */
#define UA_ANSWER_MAX_NS      (20 * NS_PER_S)  /* a re-INVITE the owner leaves unanswered gets 500 */

struct ua;
struct ua_call;
struct ua_msg; /* one received message, borrowed for the time of the callback */

struct ua_header {
    const char *name, *value; /* printable, no line breaks */
};

struct ua_cfg {
    const char *uri;        /* "sip:ID@ito.alt": our From, and our Contact unless given */
    const char *name;       /* display name; NULL or "" for none */
    const char *user_agent; /* NULL: none sent */
    const char *contact;    /* NULL: uri. Plain UDP: "sip:ID@192.0.2.1:5070" */
    const char *transport;  /* Via token: NULL or "ITO" in sessions, "UDP" on plain sockets */
    const char *sent_by;    /* Via host[:port]; NULL: the host of uri */
    bool accepts_any;       /* plain sockets: any user part of a Request-URI is us; else others get 404 */
};

/* All may be NULL except send and incoming. `arg` is that of ua_create(). */
struct ua_ops {
    /* One whole message; may be lost without a word. */
    void (*send)(void *arg, void *flow, struct slice sip);
    /* A new call; 100 is sent. sdp is empty when the INVITE has no offer. */
    void (*incoming)(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg);
    /* 101 to 199 for our INVITE. 180 is what "rings" means. */
    void (*provisional)(void *arg, struct ua_call *call, int code, struct slice sdp,
                        const struct ua_msg *msg);
    /* 2xx for our INVITE; the ACK leaves when this returns, with what ua_set_ack() gave. */
    void (*answered)(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg);
    /* ACK for our first 2xx, once; for a re-INVITE's only when it brings the answer. sdp is the answer when the
     * INVITE had no offer, else empty. */
    void (*acked)(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg);
    /* It ended without BYE: 3xx to 6xx for our INVITE, 487 after ua_cancel(), 408 for silence (msg NULL), 481
     * when the other side forgot the call. reason is the phrase received or the standard one. */
    void (*failed)(void *arg, struct ua_call *call, int code, const char *reason, const struct ua_msg *msg);
    void (*bye)(void *arg, struct ua_call *call, const struct ua_msg *msg);
    /* CANCEL of an incoming call; ua_msg_header(msg, "Reason") tells "SIP;cause=200" = answered elsewhere. */
    void (*cancelled)(void *arg, struct ua_call *call, const struct ua_msg *msg);
    /* INFO inside the call. Returns the code to answer it with: 200, 415 (body type), 469 (package)... */
    int (*info)(void *arg, struct ua_call *call, const char *content_type, struct slice body,
                const struct ua_msg *msg);
    void (*info_done)(void *arg, struct ua_call *call,
                      int code); /* final code of our INFO; 408 for silence */
    /* A new offer inside the call (empty: they want one): ua_reinvite_answer() or _reject(), now or later.
     * NULL: such offers get 488. */
    void (*reinvite)(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg);
    /* Our ua_reinvite() is over: 2xx with the answer, or nothing has changed (491 was tried again already). */
    void (*reinvited)(void *arg, struct ua_call *call, int code, struct slice sdp, const struct ua_msg *msg);
};

struct ua_stats {
    uint64_t received, sent;
    uint64_t bad;       /* unparsable, too large, too many headers, required header missing */
    uint64_t unmatched; /* responses and ACKs that belong to nothing */
    uint64_t absorbed;  /* late copies of an INVITE we answered */
    uint64_t full;      /* refused or dropped for a cap */
    uint64_t timeouts;
    uint32_t calls, transactions; /* now */
};

/* cfg's strings and ops are copied. NULL when cfg.uri is no SIP URI. */
struct ua *ua_create(const struct ua_cfg *cfg, const struct ua_ops *ops, void *arg, const struct env *env);
/* Forgets every call without a word: hang up first. Legal in a callback; NULL is fine. */
void ua_destroy(struct ua *ua);
/* One message as received. Bad ones are counted and answered only if the standard says so. */
enum err ua_input(struct ua *ua, ns_t now, void *flow, struct slice sip);
void ua_tick(struct ua *ua, ns_t now);
ns_t ua_deadline(const struct ua *ua);
/* The flow is closed: nothing is sent or accepted on it any more. Its calls wait for ua_call_set_flow(), or
 * end by their timers. */
void ua_flow_gone(struct ua *ua, void *flow);
void ua_get_stats(const struct ua *ua, struct ua_stats *out);

/* Call to_uri ("sip:ID@ito.alt"). sdp may be empty (the 2xx then carries the offer). NULL: UA_CALLS reached, or
 * something given cannot be put in a message. The result arrives by callbacks, never from within. */
struct ua_call *ua_invite(struct ua *ua, ns_t now, void *flow, const char *to_uri, struct slice sdp,
                          const struct ua_header *extra, size_t n_extra);
/* 180 Ringing, as often as wanted. */
enum err ua_ring(struct ua_call *call, ns_t now, const struct ua_header *extra, size_t n_extra);
/* 200 OK, sent again until the ACK. */
enum err ua_answer(struct ua_call *call, ns_t now, struct slice sdp, const struct ua_header *extra,
                   size_t n_extra);
/* 300 to 699; reason NULL: the standard phrase. The call is gone. */
enum err ua_reject(struct ua_call *call, ns_t now, int code, const char *reason);
/* Give up our unanswered call. reason: a Reason header ("SIP;cause=200;text=\"...\"") or NULL. Ends by
 * failed(487), soon or after UA_CONFIRM_MAX_NS; a 200 on its way is acknowledged and hung up. */
enum err ua_cancel(struct ua_call *call, ns_t now, const char *reason);
/* Hang up an answered call; gone. (Before our 2xx is acknowledged the BYE waits, RFC 3261 §15.) */
enum err ua_bye(struct ua_call *call, ns_t now, const char *reason);
/* Forget a call without a word; gone. For a flow known to be dead. */
void ua_drop(struct ua_call *call);
/* INFO; "application/trickle-ice-sdpfrag" also sets Info-Package: trickle-ice (RFC 8840). ERR_STATE before a
 * dialog exists. */
enum err ua_info(struct ua_call *call, ns_t now, const char *content_type, struct slice body);
/* A new offer (hold, ICE restart). ERR_AGAIN while another offer is open; glare (491) is retried here. */
enum err ua_reinvite(struct ua_call *call, ns_t now, struct slice sdp);
enum err ua_reinvite_answer(struct ua_call *call, ns_t now, struct slice sdp);
enum err ua_reinvite_reject(struct ua_call *call, ns_t now, int code);
/* What the ACK of our INVITE carries besides: callable from ua_invite() on, answered() included. */
enum err ua_set_ack(struct ua_call *call, struct slice sdp, const struct ua_header *extra, size_t n_extra);

void ua_call_set_user(struct ua_call *call, void *user);
void *ua_call_user(const struct ua_call *call);
struct ua *ua_call_ua(const struct ua_call *call);
/* Everything of this call goes by, and is accepted from, the new flow; retransmissions under way included. Both ends
 * must do so: a request of this call by another flow gets 481. */
void ua_call_set_flow(struct ua_call *call, void *flow);
void *ua_call_flow(const struct ua_call *call);
const char *ua_call_remote_uri(const struct ua_call *call);  /* "sip:ID@ito.alt", as claimed; never NULL */
const char *ua_call_remote_name(const struct ua_call *call); /* display name claimed, "" for none */
const char *ua_call_id(const struct ua_call *call);          /* Call-ID */

/* The first header of that name, in any case; NULL when there is none. Not for From, To, Via, Contact. */
const char *ua_msg_header(const struct ua_msg *msg, const char *name);
/* "type/subtype" in lower case for the types a call knows (SDP, trickle-ice-sdpfrag, dtmf, dtmf-relay, text/plain,
 * multipart/mixed), "application/octet-stream" for others, "" without a body. */
const char *ua_msg_content_type(const struct ua_msg *msg);
struct slice ua_msg_body(const struct ua_msg *msg);
/* The standard phrase of a status code ("Busy Here"); never NULL. */
const char *ua_reason(int code);

#endif
