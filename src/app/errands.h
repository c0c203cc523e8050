/* app/errands.h - what a relay does at other relays for its own account: tries them out, and has its cheques paid.
 *
 * One errand at a time, over a session of class node with our node key: one that stands already (either side may have
 * opened it), else one opened for it.
 *
 *   audit    near relays without an account (relay/audit.h): an allocation for AUDIT_S, TICKS packets a second through it
 *            back to us, RELEASE; we sign for the seconds, so we owe them (LEDGER.md §6)
 *   clear    each cheque that waits, at its drawee, while that one is found (relay/clearing.h)
 *
 *   in     adverts of the overlay; session events (the owner routes them); packets that come back
 *   out    ops
 *   owner  errands_create(); all that config points to outlives it
 *   trust  an advert is hearsay until the session proved the key; what comes back must carry our marks
 *   caps   ERRANDS_KNOWN relays, one errand, those of relay/audit.h */
#ifndef ITO_APP_ERRANDS_H
#define ITO_APP_ERRANDS_H

#include "base/path.h"
#include "crypto/session.h"
#include "dht/dht.h"
#include "relay/ledger_db.h"

#define ERRANDS_KNOWN 32
#define ERRANDS_MARK \
    0xC7 /* first byte of what an audit sends; nothing else begins with it (PROTOCOL.md §2) */

struct errands;

struct errands_config {
    uint8_t zone_id[8];
    const uint8_t *node_seed; /* 32: our open account */
    struct sessions *sessions;
    struct dht *dht;
    struct ledger_db *db;
};

struct errands_ops {
    void *arg;
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    /* Where packets reach our main port. False: not known yet. */
    bool (*own_addr)(void *arg, uint8_t family, struct addr *out);
    /* We hold a link to that relay, by which its cheques go. */
    bool (*is_linked)(void *arg, const uint8_t node[static 32]);
    /* The same, or it has an allocation here right now: no audit. */
    bool (*is_engaged)(void *arg, const uint8_t node[static 32]);
    /* We are about to end this session; no closed event follows. False: it is used otherwise, leave it. */
    bool (*closing)(void *arg, ns_t now, struct session *s);
    bool (*waiting)(void *arg, const uint8_t drawee[static 32], struct cheque *out);
    void (*cleared)(void *arg, ns_t now, const struct cleared *answer, const struct cheque *other);
};

struct errands *errands_create(const struct errands_config *config, const struct errands_ops *ops,
                               const struct env *env, ns_t now);
void errands_destroy(struct errands *x, ns_t now); /* accepts NULL */
void errands_tick(struct errands *x, ns_t now);
ns_t errands_deadline(const struct errands *x);
/* A session that was opened for an errand. */
bool errands_owns(const struct errands *x, const void *session_user);
/* The errand under way goes by this session, whoever opened it. */
bool errands_uses(const struct errands *x, const struct session *s);
/* Whom it is an audit of; NULL: of nobody now. */
const uint8_t *errands_auditing(const struct errands *x);
void errands_session_up(struct errands *x, ns_t now, struct session *s);
void errands_session_down(struct errands *x, ns_t now, struct session *s);
/* What a relay says on the ledger channel. */
void errands_message(struct errands *x, ns_t now, struct slice msg);
/* From a relay's address: true when it was of our allocation there. */
bool errands_input(struct errands *x, ns_t now, const struct addr *from, struct slice bytes);
/* What began with ERRANDS_MARK. */
void errands_mark(struct errands *x, const struct addr *from, struct slice bytes);
/* A cheque came: at once, if nothing else is to be done. */
void errands_wake(struct errands *x, ns_t now);

#endif
