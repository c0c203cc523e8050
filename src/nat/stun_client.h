/* nat/stun_client.h - binding transactions: what address servers see us at, how our NAT maps.
 *
 * Ask several servers; each answers with our server-reflexive address. From the answers of two servers follows
 * whether the NAT's mapping is endpoint-independent (RFC 5780 §4.3), and by what step a sequential one counts.
 * struct stun_retry is the retransmission schedule of RFC 8489 §6.2.1, which the TURN client shares.
 *
 *   in     server addresses; datagrams that stun_is_message()
 *   out    requests through ops.send; one ops.answer for each stun_client_ask()
 *   owner  the caller of stun_client_create(); ops and env are borrowed
 *   trust  an answer counts when transaction id and source are those of a question; it is not authenticated:
 *          who sits on the path can lie about our address
 *   caps   STUN_CLIENT_MAX questions at once, 7 requests each in 39.5 s */
#ifndef ITO_NAT_STUN_CLIENT_H
#define ITO_NAT_STUN_CLIENT_H

#include "base/env.h"
#include "nat/stun.h"

#define STUN_CLIENT_MAX 8
#define STUN_RTO_NS     (500 * NS_PER_MS) /* RFC 8489 §6.2.1 */
#define STUN_STEP_MAX   16
#define STUN_RETRY_MAX  7 /* Rc; the last one is waited for 16 RTO (Rm) */

/* When to send a request again: after 0.5, 1, 2, 4, 8, 16 s, then 8 s of waiting. */
struct stun_retry {
    ns_t at; /* next thing due; NS_NEVER when idle */
    unsigned n_sent;
};

void stun_retry_start(struct stun_retry *r, ns_t now); /* the first is due at once */
void stun_retry_stop(struct stun_retry *r);
/* True: send (again) now. False: not due, or over: then stun_retry_is_over(). */
bool stun_retry_due(struct stun_retry *r, ns_t now);
bool stun_retry_is_over(const struct stun_retry *r, ns_t now);

enum stun_mapping {
    STUN_MAPPING_UNKNOWN, /* fewer than two answers of different servers */
    STUN_MAPPING_NONE,    /* no NAT: we were told our own address */
    STUN_MAPPING_SAME,    /* endpoint-independent: one address for all */
    STUN_MAPPING_VARIES   /* a new one for each destination: "symmetric" */
};

struct stun_client;

struct stun_client_ops {
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    /* result: ERR_OK with our address; ERR_TIMEOUT; ERR_REFUSED (an error response). */
    void (*answer)(void *arg, ns_t now, const struct addr *server, enum err result,
                   const struct addr *mapped);
};

struct stun_client *stun_client_create(const struct stun_client_ops *ops, void *arg, const struct env *env);
void stun_client_destroy(struct stun_client *c);
/* ERR_FULL at the cap, ERR_EXISTS while the same server is being asked. */
enum err stun_client_ask(struct stun_client *c, ns_t now, const struct addr *server);
/* True when the datagram answers a question of ours. */
bool stun_client_input(struct stun_client *c, ns_t now, const struct addr *from, struct slice bytes);
void stun_client_tick(struct stun_client *c, ns_t now);
ns_t stun_client_deadline(const struct stun_client *c);
/* What the answers so far tell. own: our host address with port, or NULL. step: the difference between the
 * ports of the last two servers' answers, in order of asking (0 when unknown or not VARIES). */
enum stun_mapping stun_client_mapping(const struct stun_client *c, const struct addr *own, int *step);
/* The next addresses a NAT that counts its ports up or down by at most STUN_STEP_MAX will show, nearest first: to
 * be offered as server-reflexive candidates. Returns how many (0..max): none for other NATs. */
size_t stun_client_predict(const struct stun_client *c, struct addr *out, size_t max);

#endif
