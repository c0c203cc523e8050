/* sip/ua_call.h - inside of the user agent: what ua.c, ua_call.c, ua_in.c and ua_out.c share.
 *
 * ua.c builds the UA and routes messages; ua_out.c does our requests and what comes back; ua_in.c their requests;
 * ua_call.c the life of a call: timers, 2xx and ACK, telling the owner, going. Nobody else includes this.
 *
 *   OUT ──2xx──▶ UP ◀──ua_answer── IN        Only call_set_state() in ua_call.c assigns ->state.
 *    │  └cancel─▶ CANCELLED          │       OVER: the owner has forgotten it; repeats are still answered
 *    └─────────────▶ OVER ◀──────────┘       for 32 s, then it is freed. */
#ifndef ITO_SIP_UA_CALL_H
#define ITO_SIP_UA_CALL_H

#include "base/list.h"
#include "sip/dialog.h"
#include "sip/layer.h"
#include "sip/ua.h"

#define UA_LINGERING    32 /* calls over whose repeats we still answer; the oldest goes first */
#define UA_GLARE_TRIES  3
#define UA_SUPPORTED    "trickle-ice" /* RFC 8840 */
#define UA_ALLOW        "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO"
#define UA_SDP_TYPE     "application/sdp"
#define UA_TRICKLE_TYPE "application/trickle-ice-sdpfrag"

enum call_state { CALL_OUT, CALL_CANCELLED, CALL_IN, CALL_UP, CALL_OVER };

enum call_timer {
    TIMER_TELL,     /* failed() is owed, but not from within the owner's own call */
    TIMER_GIVE_UP,  /* rang, waited for an answer or a 487 long enough */
    TIMER_OK_AGAIN, /* our 2xx once more (RFC 3261 §13.3.1.4) */
    TIMER_OK_END,   /* no ACK in 64 * T1 */
    TIMER_RETRY,    /* our offer again after 491 */
    TIMER_FREE,     /* end of OVER */
    CALL_TIMERS
};

struct ua_msg {
    const osip_message_t *sip;
};

struct ua_call {
    struct list link;
    struct ua *ua;
    void *user, *flow;
    enum call_state state;
    bool is_out;
    bool is_gone; /* for the owner */
    bool has_provisional, is_bye_owed;
    struct dialog dialog;
    ns_t timers[CALL_TIMERS];

    struct sip_txn *invite; /* the INVITE under way, ours or theirs; NULL for none */
    bool is_invite_ours;
    uint32_t invite_cseq; /* the initial one, of either side */
    int end_code;         /* what failed() will say */
    char *cancel_reason;

    osip_message_t *ok; /* our 2xx, sent until ->ok_cseq is acknowledged; NULL: none is waiting */
    uint32_t ok_cseq;
    ns_t ok_interval;
    bool is_first_acked; /* the initial INVITE is over, its ACK sent or seen */

    osip_message_t *ack; /* our last ACK, for repeated 2xx */
    uint32_t ack_cseq, ack_owed_cseq;
    struct ua_header ack_extra[UA_HEADERS]; /* copies */
    size_t n_ack_extra;
    char *ack_sdp;

    char *offer; /* our re-INVITE's, while it is under way or to be tried again */
    unsigned n_glares;
    char *remote_uri, *remote_name;
};

struct ua {
    const struct env *env;
    struct ua_ops ops;
    void *arg;
    struct sip_layer *layer;
    char *uri, *user_part, *local, *contact, *user_agent, *transport, *sent_by;
    struct dialog_self self;
    bool accepts_any, is_dead;
    struct list calls;
    uint64_t n_full, n_unmatched, n_timeouts;
};

/* What a response of ours says. */
struct reply {
    int code;
    const char *reason, *to_tag;
    bool is_dialog; /* Contact, Allow, Supported, Recv-Info */
    const struct ua_header *extra;
    size_t n_extra;
    struct slice sdp;
};

/* ua.c */
osip_message_t *ua_reply(struct ua *ua, const osip_message_t *req, const struct reply *r);
enum err ua_respond(struct ua *ua, ns_t now, struct sip_txn *txn, const struct reply *r);
/* A plain status, To tag of its own unless given. */
void ua_respond_code(struct ua *ua, ns_t now, struct sip_txn *txn, int code, const char *to_tag);
void ua_put_abilities(struct wr *w);

/* ua_call.c */
struct ua_call *call_create(struct ua *ua, void *flow, enum call_state state);
void call_set_state(struct ua_call *call, enum call_state state);
void call_free(struct ua_call *call);
/* The owner has heard the last of it: keep it for repeats when there is reason to, else free it. */
void call_over(struct ua_call *call, ns_t now);
/* failed() to the owner, once; then call_over(). */
void call_fail(struct ua_call *call, ns_t now, int code, const char *reason, const osip_message_t *msg);
void call_tick(struct ua_call *call, ns_t now);
ns_t call_deadline(const struct ua_call *call);
enum err call_send_ok(struct ua_call *call, ns_t now, struct slice sdp, const struct ua_header *extra,
                      size_t n);
void call_stop_ok(struct ua_call *call);
void call_send_ack(struct ua_call *call, ns_t now);
void call_send_bye(struct ua_call *call, ns_t now, const char *reason);
size_t ua_count_calls(const struct ua *ua, bool is_gone);

/* ua_out.c */
void call_send_cancel(struct ua_call *call, ns_t now);
void call_cancel(struct ua_call *call, ns_t now, int end_code);
void call_send_reinvite(struct ua_call *call, ns_t now);
void ua_on_response(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg);
void ua_on_timeout(void *arg, ns_t now, struct sip_txn *txn);
void ua_on_stray(void *arg, ns_t now, void *flow, const osip_message_t *msg);

/* ua_in.c */
void ua_on_request(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg);
void ua_on_ack(void *arg, ns_t now, void *flow, const osip_message_t *msg);

#endif
