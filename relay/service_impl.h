/* relay/service_impl.h - what the files of relay/service share; nobody else includes it. */
#ifndef ITO_RELAY_SERVICE_IMPL_H
#define ITO_RELAY_SERVICE_IMPL_H

#include <uthash.h>

#include "base/list.h"
#include "crypto/identity.h"
#include "relay/audit.h"
#include "relay/client.h"
#include "relay/service.h"

#define GRANT_TURNS        2    /* TURN allocations by one ticket: one a family, or a restart */
#define GRANT_IDLE_S       30   /* a silent one holds no slot */
#define GRANT_LIFE_S       7200 /* a ticket opens allocations so long */
#define STEP_NS            NS_PER_S
#define EMERGENCY_PREFIXES 256
#define AUDIT_MAX_S        (AUDIT_S + 15) /* then the allocation of an audit ends */
#define PAPERS_MAX         16 /* cheques a client may send in a minute: each costs a signature to check */
#define DIGEST_GAP_S       240
#define PROOFS_PER_DIGEST  CLIENT_PROOFS /* told before one digest */
#define SAVE_S             60
#define PEER_KEY_BYTES     19

/* The right to relay, for one ticket; or one allocation of an ordinary TURN user (client NULL). */
struct grant {
    struct list of_client; /* in client->grants */
    struct list all;       /* in svc->grants */
    UT_hash_handle hh;     /* by id */
    uint64_t id;           /* alloc_id as a number; turn_grant.ref */
    struct client *client;
    uint32_t number, req;
    uint8_t slots;
    enum ledger_class class;
    uint64_t prefix;
    ns_t created_at, last_at, first_at; /* first_at: of the first packet, 0: none yet */
    uint64_t turns[GRANT_TURNS];        /* turn_usage.id; 0: none */
    uint8_t n_turns;
    bool was_used, holds_slots, is_over, was_warned;
    enum wire_why move_why;  /* it alone is asked to move: WIRE_WHY_FUNDS, _FULL; 0: not */
    ns_t move_by, moved_say; /* when it stops, NS_NEVER: not; when MIGRATE is said again, 0: not said yet */
    /* Of allocations that ended; those that run are added by measure(). */
    uint64_t past_packets, past_bytes, past_lost;
    uint32_t past_seconds;
    uint32_t seconds; /* all, at the last measure */
    uint64_t bytes, packets, lost;
    uint64_t rate_bytes; /* at the last rate sample */
    ns_t rate_at;
    uint32_t kbps;
};

/* One account and, while it is connected, its session. */
struct client {
    UT_hash_handle hh_account, hh_session, hh_peer;
    struct list all;
    uint8_t account[32];
    uint64_t session_ref;
    bool is_connected;
    struct addr peer;
    uint8_t peer_key[PEER_KEY_BYTES]; /* peer once more, without holes */
    struct list grants;
    uint32_t n_grants;
    /* The pair's account */
    struct statement head; /* newest doubly signed; seq 0: none */
    uint16_t their_inc;    /* that the client told, for a first statement */
    double unbilled_s;     /* forwarded, in no doubly signed statement */
    uint64_t unbilled_bytes;
    struct statement proposal; /* seq 0: none */
    uint8_t proposal_alloc[8];
    ns_t proposed_at, asked_at; /* first and last time it was sent */
    ns_t next_propose_at, unsigned_since, stop_at;
    uint8_t reminders;
    bool was_told_to_move, last_wanted;
    ns_t digest_at;    /* of the last digest it was told */
    int64_t proof_no;  /* of the last proof it was told */
    ns_t papers_since; /* a minute in which it sent n_papers cheques */
    uint32_t n_papers;
    /* A request that waits for a slot */
    struct list queue;
    bool is_queued;
    struct wire_msg queued;
    ns_t queued_until;
};

struct service {
    struct service_ops ops;
    void *arg;
    const struct env *env;
    struct ledger_db *db;
    struct turn_server *turn;
    struct knock_proxy *knock;
    struct sign_key node;
    uint8_t zone_id[8], puzzle_nonce[8];
    struct addr external[2];
    uint32_t max_calls, max_kbps;
    uint64_t monthly_bytes;
    enum service_for serve;
    bool is_draining, has_streams;
    struct ledger_load load;
    struct client *by_account, *by_session, *by_peer;
    struct list clients, queue, grants;
    struct grant *by_id;
    uint32_t n_clients, n_static, next_number;
    struct audit_plan audited; /* by whom: one a day for a network */
    uint8_t (*guests)[32];     /* pair secrets */
    size_t n_guests;
    struct {
        uint64_t net;
        int32_t day;
    } emergencies[EMERGENCY_PREFIXES];
    ns_t now, since, next_step_at, next_save_at, rate_at;
    ns_t leave_by; /* we are gone then; 0: not planned */
    int32_t day;
    uint32_t month; /* year * 12 + month */
    uint32_t calls_today, refused_full, refused_not_allowed, failed;
    uint64_t bytes_today, bytes_month, seen_bytes, seen_wire;
    uint64_t rate_in, rate_out;
    uint32_t in_kbps, out_kbps;
    uint32_t statements, unsigned_stops;
    double proposed_s, signed_s;
    uint64_t malformed;
};

/* service.c */
void service_save_counters(struct service *svc);
/* The account's row, made when there is none. */
struct client *service_client(struct service *svc, const uint8_t account[static 32]);
int32_t service_today(const struct service *svc);
void service_say(struct service *svc, struct client *c, const struct wire_msg *m);
void service_note_change(struct service *svc);
bool service_over_budget(const struct service *svc);
void service_stop_grant(struct service *svc, struct grant *g);
void service_drop_grant(struct service *svc, struct grant *g);

void service_step_calendar(struct service *svc);

/* service_admit.c */
void admit_on_allocate(struct service *svc, struct client *c, const struct wire_msg *m);
void admit_step_queue(struct service *svc);
void admit_leave_queue(struct client *c);

/* service_bill.c */
void bill_load(struct service *svc, struct client *c);
void bill_measure(struct service *svc, struct grant *g);
void bill_step(struct service *svc, struct client *c);
/* Say MIGRATE where it is due, and stop what was given long enough. */
void bill_step_moves(struct service *svc);
void bill_on_sign(struct service *svc, struct client *c, const struct wire_msg *m);
void bill_on_sync(struct service *svc, struct client *c, const struct wire_msg *m);
void bill_send_head(struct service *svc, struct client *c);

/* service_pay.c */
void pay_on_cheque(struct service *svc, struct client *c, const struct wire_msg *m);
void pay_on_clear(struct service *svc, struct client *c, const struct wire_msg *m);
void pay_on_digest_ask(struct service *svc, struct client *c, const struct wire_msg *m);

#endif
