/* sip/dialog.h - one dialog: who, in which order, by which route (RFC 3261 §12).
 *
 * Only texts and numbers: Call-ID, tags, both parties, the remote target, the route set, two CSeq counters. It
 * composes the requests of its side; it sends nothing.
 *
 *   in     for a caller: both parties; then the first response with a To tag
 *          for a callee: the INVITE
 *   out    messages by sip_finish(); whether a request is in order
 *   owner  whoever embeds it: dialog_init_* / dialog_fini()
 *   trust  the remote texts come from checked messages and are written back as they came
 *   caps   SIP_HOPS_MAX routes, by sip_message_check() */
#ifndef ITO_SIP_DIALOG_H
#define ITO_SIP_DIALOG_H

#include "sip/msg.h"

struct dialog {
    char *call_id;
    char local_tag[SIP_TOKEN_BYTES];
    char *remote_tag;     /* NULL until a response has one */
    char *local, *remote; /* name-addr without tag, as From and To show it */
    char *remote_target;  /* URI */
    char *routes;         /* Route header value, NULL for none */
    bool is_strict;       /* the first route lacks ;lr (RFC 3261 §12.2.1.1) */
    bool has_remote_cseq;
    uint32_t local_cseq, remote_cseq;
};

/* What every request of ours carries. */
struct dialog_self {
    const char *via_transport, *via_sent_by; /* "ITO", "ito.alt" */
    const char *contact;                     /* URI */
    const char *user_agent;                  /* NULL: none */
};

/* local and remote are name-addrs: "\"Taro\" <sip:...>". */
void dialog_init_caller(struct dialog *d, const struct env *env, const char *local, const char *remote,
                        const char *target);
void dialog_init_callee(struct dialog *d, const struct env *env, const osip_message_t *invite);
/* The same call with another far end: a fork's second 2xx. */
void dialog_init_fork(struct dialog *d, const struct dialog *from, const osip_message_t *response);
void dialog_fini(struct dialog *d);

/* A response to our INVITE: remote tag, target, route set. Early dialogs are overwritten by the final one. */
void dialog_set_remote(struct dialog *d, const osip_message_t *response);
/* A target refresh: Contact of a re-INVITE, or of its 2xx. */
void dialog_refresh_target(struct dialog *d, const osip_message_t *msg);
bool dialog_is_up(const struct dialog *d); /* has a remote tag: requests can be sent inside it */
/* Does this request of theirs belong here? Call-ID and both tags. */
bool dialog_matches(const struct dialog *d, const osip_message_t *request);
/* Does this response belong to a request of ours? Call-ID and our tag; theirs may differ by a fork. */
bool dialog_matches_response(const struct dialog *d, const osip_message_t *response);
/* Take the CSeq of a request of theirs: false when it is out of order (RFC 3261 §12.2.2: answer 500). */
bool dialog_take_cseq(struct dialog *d, uint32_t cseq);

/* Request line to CSeq, Contact and User-Agent: the head of any request of ours. cseq as given (ACK) or, when 0,
 * the next one. The branch is new each time. */
void dialog_put_request(struct dialog *d, struct wr *w, const struct env *env, const struct dialog_self *self,
                        const char *method, uint32_t cseq);
/* The CANCEL of an INVITE of ours (RFC 3261 §9.1): same URI, Via, From, To, Call-ID, CSeq number, Route. */
void dialog_put_cancel(struct wr *w, const osip_message_t *invite, const char *reason);

#endif
