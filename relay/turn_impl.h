/* relay/turn_impl.h - what the files of relay/turn_server share; nobody else includes it. */
#ifndef ITO_RELAY_TURN_IMPL_H
#define ITO_RELAY_TURN_IMPL_H

#include "nat/stun.h"
#include "relay/forward.h"
#include "relay/turn_auth.h"

#define ANSWER_MAX 512

struct reservation {
    uint8_t token[8];
    uint16_t port;
    uint8_t family;
    ns_t expires_at;
};

struct turn_server {
    struct forwarder f;
    struct turn_auth auth;
    struct turn_server_ops ops;
    void *arg;
    const struct env *env;
    bool is_ordinary;
    uint32_t max_allocations, max_per_user;
    struct reservation reservations[TURN_RESERVATIONS_MAX];
    uint8_t scratch[FORWARD_HEAD + TURN_DATAGRAM_MAX + FORWARD_TAIL];
};

/* One request on its way to an answer. */
struct request {
    ns_t now;
    const struct addr *from;
    const struct stun_msg *msg;
    struct turn_who who;
    bool is_known; /* who is set: the address is proven */
    struct allocation *a;
};

/* turn_server.c */
int64_t turn_wall_s(const struct turn_server *ts);
/* Integrity (when the asker is known), fingerprint (when it sent one), and off: unless an unproven address would
 * get more than it gave; then false. */
bool turn_finish(struct turn_server *ts, const struct request *q, struct stun_wr *w);
void turn_refuse(struct turn_server *ts, const struct request *q, uint16_t code);
struct turn_usage turn_usage_of(const struct turn_server *ts, const struct allocation *a);

/* turn_allocate.c */
void turn_on_allocate(struct turn_server *ts, const struct request *q);
uint32_t turn_lifetime_of(const struct stun_msg *m);

#endif
