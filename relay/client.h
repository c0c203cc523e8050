/* relay/client.h - the beneficiary's side at one relay: asks for allocations, signs honest statements, knocks.
 *
 * Speaks on session channels 2 and 4. Counts its own packets, and signs a proposal only as far as that count
 * agrees within 5 % and the interval was good. What it signed is in the database before it is sent, so after a
 * crash it never signs another statement of the same seq.
 *
 *   in     channel messages of the session with that relay; the app's reports of packets and quality
 *   out    ops; requests are repeated until answered (CLIENT_TRIES), then refused(CLIENT_NO_ANSWER)
 *   owner  relay_client_create(); config is copied, the database, ops and env must outlive it
 *   trust  the session proved the relay; its numbers are checked against ours, its signatures verified
 *   caps   CLIENT_ALLOCATIONS at once */
#ifndef ITO_RELAY_CLIENT_H
#define ITO_RELAY_CLIENT_H

#include "relay/knock.h"
#include "relay/ledger_db.h"
#include "relay/wire.h"

#define CLIENT_ALLOCATIONS   4
#define CLIENT_LINES         4
#define CLIENT_PROOFS        2 /* looked at before one digest, each two signatures to check */
#define CLIENT_TRIES         4
#define CLIENT_RTO_MS        500                    /* doubles */
#define CLIENT_FUNDS_S       (2 * LEDGER_TRANCHE_S) /* kept at a relay, LEDGER.md §4 */
#define CLIENT_TOLERANCE     0.05
#define CLIENT_SLACK_BYTES   4096 /* what was on its way when the relay counted */
#define CLIENT_LOSS_BAD      0.03 /* relay-caused, LEDGER.md §4: a bad interval */
#define CLIENT_JITTER_BAD_MS 40.0
#define CLIENT_LOSS_USELESS  0.3 /* one that is not signed for, too */

struct relay_client;

enum client_refusal {
    CLIENT_BUSY,       /* retry_ms says when */
    CLIENT_POOL_EMPTY, /* for strangers, under contention */
    CLIENT_NOT_ALLOWED,
    CLIENT_NO_ANSWER,
    CLIENT_OVERCHARGED /* claimed more than it carried: stop using it */
};

struct client_credentials {
    uint32_t request; /* as relay_client_allocate() returned */
    uint8_t alloc_id[8];
    uint8_t admission; /* enum ledger_class */
    uint32_t funded_s, expiry_s;
    const char *realm, *nonce, *username, *password; /* valid during the callback */
};

/* Credit that a contact shares: cheques are drawn on its relay by our account there. */
struct client_line {
    struct sponsor_line line;
    uint8_t seed[32]; /* of the beneficiary */
};

struct relay_client_config {
    uint8_t relay[32];        /* N of the relay */
    uint8_t account_seed[32]; /* Ed25519 seed of our account there (THREATS.md §4.12), or of our node key */
    uint8_t net_id[4];
    struct ledger_db *db;
    bool is_open; /* the account is our node key: others may owe it, so it can pay by cheque */
    struct client_line lines[CLIENT_LINES];
    size_t n_lines;
};

struct relay_client_ops {
    void (*session_send)(void *arg, uint8_t chan, struct slice bytes);
    void (*allocated)(void *arg, ns_t now, const struct client_credentials *c);
    void (*refused)(void *arg, ns_t now, uint32_t request, enum client_refusal why, uint32_t retry_ms);
    /* Move to another relay within within_s; why: enum wire_why. */
    void (*migrate)(void *arg, ns_t now, const uint8_t alloc_id[static 8], uint8_t why, uint32_t within_s);
    void (*registered)(void *arg, ns_t now, const struct knock_tokens *tokens);
    void (*knock)(void *arg, ns_t now, uint32_t flow, struct slice body);
    /* A statement became doubly signed. May be NULL. */
    void (*settled)(void *arg, const struct statement *s);
    /* What became of our cheque at this relay, and what we can spend there now. May be NULL. */
    void (*paid)(void *arg, ns_t now, enum clearing_verdict verdict, uint32_t credit_s);
    /* What this relay, as drawee, says of a cheque that we presented; other: the one it paid before over the same
     * range, or NULL. Not verified: service_cleared() does. May be NULL. */
    void (*cleared)(void *arg, ns_t now, const struct cleared *answer, const struct cheque *other);
};

struct relay_client_stats {
    uint64_t proposals, signed_full, signed_less, overcharged, malformed, bad_signature, proofs;
};

struct relay_client *relay_client_create(const struct relay_client_config *config,
                                         const struct relay_client_ops *ops, void *arg,
                                         const struct env *env);
void relay_client_destroy(struct relay_client *rc); /* accepts NULL; wipes the seed */
/* Ask for an allocation of `slots` (LEDGER_SLOT_KBPS each way) for about wish_s; pass may be NULL. Returns the
 * request's number, 0 when CLIENT_ALLOCATIONS are running. */
uint32_t relay_client_allocate(struct relay_client *rc, ns_t now, uint8_t slots, uint32_t wish_s,
                               const uint8_t *guest_pass);
/* The same for AUDIT_S: we will owe it. */
uint32_t relay_client_audit(struct relay_client *rc, ns_t now);
/* Done with it (also when it was never used); the TURN allocation is the caller's to refresh to 0. */
void relay_client_release(struct relay_client *rc, ns_t now, const uint8_t alloc_id[static 8]);
/* Ask for knock delivery; a higher generation draws new tokens. Renewed by itself until destroyed. */
void relay_client_register(struct relay_client *rc, ns_t now, uint32_t generation);
/* The session was lost and is there again: pending requests and the registration are sent anew. */
void relay_client_session_renewed(struct relay_client *rc, ns_t now);
void relay_client_message(struct relay_client *rc, ns_t now, uint8_t chan, struct slice bytes);
void relay_client_knock_reply(struct relay_client *rc, uint32_t flow, struct slice body);
/* We sent or received a packet of so many bytes through allocation alloc_id. */
void relay_client_account(struct relay_client *rc, ns_t now, const uint8_t alloc_id[static 8], size_t bytes);
/* Loss and added jitter that the relay caused since the last report, an RTCP interval: was it good? Bad ones lower the
 * score; only useless ones are not signed, since who does not sign is served no longer, and blame is a guess. */
bool relay_client_quality(struct relay_client *rc, ns_t now, const uint8_t alloc_id[static 8], double loss,
                          double jitter_ms);
/* One more experience that was not sound: it does not answer. */
void relay_client_judge(struct relay_client *rc, bool is_good);
/* ledger_quality_mean() of it. */
double relay_client_quality_mean(const struct relay_client *rc);
/* The relay died under this allocation, or TURN refused its ticket: lowers the score, frees the lease. */
void relay_client_broke(struct relay_client *rc, const uint8_t alloc_id[static 8]);
/* Draw on `drawee` for this relay: the cheque is on disk before it leaves. ERR_STATE: one is under way, or our account
 * is a closed one. ops.paid says what came of it. */
enum err relay_client_pay(struct relay_client *rc, ns_t now, const uint8_t drawee[static 32],
                          uint32_t amount_s);
/* Present a cheque that is payable to us to this relay, its drawee. ERR_STATE: one is under way. */
enum err relay_client_clear(struct relay_client *rc, ns_t now, const struct cheque *c);
/* With credit for less than CLIENT_FUNDS_S here: ask on whom we may draw, and draw on the one of them who owes us
 * most, or on a sponsor. Once a session, in the background, before any call. */
void relay_client_fund(struct relay_client *rc, ns_t now);
void relay_client_tick(struct relay_client *rc, ns_t now);
ns_t relay_client_deadline(const struct relay_client *rc);
/* How full the relay said it was, %, when it last answered. */
uint8_t relay_client_load(const struct relay_client *rc);
const struct relay_client_stats *relay_client_stats(const struct relay_client *rc);

#endif
