/* relay/service.h - what `ito relay` runs: TURN server, knock proxy, the ledger's serving side, caps, drain.
 *
 * The owner brings the sockets, the sessions of class node (client static = account key) and the overlay; this
 * decides who is served, hands out tickets, proposes statements for the seconds actually forwarded, and tells
 * the screens.
 *
 *   in     packets at the main port that are STUN, ChannelData or C8; packets at relayed ports; sessions
 *   out    ops
 *   owner  service_create(); config is copied, the database, ops and env must outlive it
 *   trust  sessions are proven; TURN by ticket or by relay.turn_users; the rest is counted and dropped
 *   caps   max_calls slots, max_kbps, monthly_bytes: over them new work is refused, running calls are asked to move
 *          and finish where they cannot;
 *          SERVICE_SESSIONS_MAX, SERVICE_GRANTS_PER_SESSION */
#ifndef ITO_RELAY_SERVICE_H
#define ITO_RELAY_SERVICE_H

#include "relay/advert.h"
#include "relay/knock.h"
#include "relay/ledger_db.h"
#include "relay/turn_server.h"
#include "relay/wire.h"

#define SERVICE_SESSIONS_MAX        8192
#define SERVICE_GRANTS_PER_SESSION  4
#define SERVICE_GUESTS_MAX          4096
#define SERVICE_GRANT_UNUSED_S      60 /* a ticket not used by then is void */
#define SERVICE_FIRST_S             10 /* first statement; then every SERVICE_TICK_S */
#define SERVICE_TICK_S              60
#define SERVICE_UNSIGNED_S          90 /* then SIGN_REQUIRED; strangers 30 */
#define SERVICE_UNSIGNED_STRANGER_S 30
#define SERVICE_REMIND_S            10
#define SERVICE_MIGRATE_S           30
#define SERVICE_GRACE_S             180 /* funding ended under contention */
#define SERVICE_LAST_WORD_S         5   /* MIGRATE once a second with so little left: then it stops */
#define SERVICE_MOVE_AGAIN_S        10  /* MIGRATE is said again while a call has not moved */
#define SERVICE_QUIET_MS            300 /* no packet for so long: a call has moved */
#define SERVICE_UNSIGNED_MAX        150 /* slot-seconds lost at most */

struct service;

enum service_for { SERVICE_FOR_ANYONE, SERVICE_FOR_CONTACTS };

struct service_config {
    const uint8_t *node_seed; /* 32: the node key, also our open account */
    uint8_t zone_id[8];       /* net_id is its first 4 bytes */
    uint8_t puzzle_nonce[8];  /* for the advert */
    struct addr external[2];  /* IPv4, IPv6 with the main port; ADDR_NONE: none (yet) */
    uint16_t port_min, port_max;
    const struct turn_user *turn_users; /* relay.turn_users */
    size_t n_turn_users;
    uint32_t max_calls, max_kbps; /* relay.max_calls, relay.max_kbps */
    uint64_t monthly_bytes;       /* relay.monthly_gb; 0: no limit */
    double strangers_pct;         /* relay.strangers_pct */
    enum service_for serve;       /* relay.for */
    bool allow_local, hairpin_only;
    bool has_streams; /* reached by TCP and TLS, too: said in the advert */
    struct ledger_db *db;
    const struct offload_ops
        *offload; /* who carries calls past us (relay.xdp, relay.workers); NULL: nobody */
    void *offload_arg;
};

struct service_ops {
    void (*send)(void *arg, const struct addr *to, struct slice bytes); /* from the main port */
    enum err (*open_port)(void *arg, uint8_t family, uint16_t port, uint32_t handle);
    void (*port_send)(void *arg, uint32_t handle, const struct addr *to, struct slice bytes);
    void (*close_port)(void *arg, uint32_t handle);
    void (*session_send)(void *arg, uint64_t session_ref, uint8_t chan, struct slice bytes);
    /* A cheque was taken at risk: present it to its drawee when there is a session with it, by
     * relay_client_clear(); then service_cleared(). May be NULL: it waits, service_waiting(). */
    void (*present)(void *arg, const struct cheque *c);
    /* Are we trying out that relay just now? Then it does not try us out: one statement of a pair at a time. May be
     * NULL. */
    bool (*is_auditing)(void *arg, const uint8_t account[static 32]);
    /* End it, and tell the other side. May be NULL. */
    void (*session_close)(void *arg, uint64_t session_ref);
    /* Something on the relay screen changed (a call began, ended, was refused). May be NULL. */
    void (*changed)(void *arg);
};

/* The relay screen (UX.md §3); counters of "today" start at midnight UTC. */
struct service_stats {
    bool is_draining, is_over_budget;
    ns_t since;
    uint32_t calls, max_calls, max_kbps;
    uint32_t in_kbps, out_kbps;
    uint32_t calls_today, refused_full_today, refused_not_allowed_today, failed_today;
    uint64_t bytes_today, bytes_month;
    uint64_t packets, lost;
    uint8_t load_pct;
    int my_score; /* -1: not known yet */
    uint32_t sessions, registrations, statements, unsigned_stops;
    uint64_t malformed;
    struct ledger_totals ledger;
};

/* One row of the relay screen: never who. */
struct service_call {
    uint32_t number;
    ns_t age;
    uint32_t kbps;
    uint64_t packets, lost;
    uint8_t admission; /* enum ledger_class */
};

struct service *service_create(const struct service_config *config, const struct service_ops *ops, void *arg,
                               const struct env *env, ns_t now);
void service_destroy(struct service *svc); /* accepts NULL; last counters are written */
/* A session of class node is up, its client proved account key `account`; peer is where it comes from. ERR_FULL. */
enum err service_session_open(struct service *svc, ns_t now, uint64_t session_ref,
                              const uint8_t account[static 32], const struct addr *peer);
void service_session_message(struct service *svc, ns_t now, uint64_t session_ref, uint8_t chan,
                             struct slice bytes);
/* Its running allocations go on (SERVICE_UNSIGNED_S), its knock registration ends. */
void service_session_closed(struct service *svc, ns_t now, uint64_t session_ref);
/* Has this account an allocation here? */
bool service_has_grants(struct service *svc, const uint8_t account[static 32]);
/* A datagram at the main port: true when it was ours: a STUN request or Send (0-3), ChannelData (64-127; of those
 * that begin with `d` as KRPC does, only the channels their sender bound), C8. */
bool service_input(struct service *svc, ns_t now, const struct addr *from, struct slice bytes);
void service_port_input(struct service *svc, ns_t now, uint32_t handle, const struct addr *from,
                        struct slice bytes);
/* The TCP or TLS connection of that address is gone, and its allocation with it. */
void service_stream_gone(struct service *svc, ns_t now, const struct addr *who);
/* The hot path: packets of running calls, rewritten where they lie (turn_server_fast()), with the same outcome on
 * the wire. False: not one of those, nothing was done. */
bool service_fast(struct service *svc, ns_t now, const struct addr *from, uint8_t *bytes, size_t len);
void service_port_fast(struct service *svc, ns_t now, uint32_t handle, const struct addr *from,
                       uint8_t *bytes, size_t len);
/* The oldest cheque that waits for this drawee, who can be asked now. ERR_NOT_FOUND. */
enum err service_waiting(struct service *svc, const uint8_t drawee[static 32], struct cheque *out);
/* What a drawee answered; other: the cheque over the same range that it paid before, or NULL. */
void service_cleared(struct service *svc, ns_t now, const struct cleared *answer, const struct cheque *other);
void service_tick(struct service *svc, ns_t now);
ns_t service_deadline(const struct service *svc);

/* Take no new calls, ask the running ones to move, and let those finish that cannot; is_drained when the last has gone. */
void service_drain(struct service *svc, ns_t now, bool on);
/* The same, and we are gone within_s from now. */
void service_leave(struct service *svc, ns_t now, uint32_t within_s);
/* Did a packet of a call pass just now? */
bool service_is_carrying(const struct service *svc, ns_t now);
/* End all sessions with a word, so that clients come back to whoever is here next at once. Allocations stay. */
void service_say_goodbye(struct service *svc, ns_t now);
/* Running grants and allocations, for the process that takes our place on this machine (service_state.c): at most
 * state_max bytes, with keys. restore: into a fresh service, before its first packet. ERR_VERSION, ERR_PARSE: what
 * could be read is there. */
size_t service_state_max(const struct service *svc);
void service_save(struct service *svc, ns_t now, struct wr *w);
enum err service_restore(struct service *svc, ns_t now, struct rd *r);
bool service_is_drained(const struct service *svc);
void service_set_limits(struct service *svc, ns_t now, uint32_t max_calls, uint32_t max_kbps,
                        uint64_t monthly_bytes, double strangers_pct, enum service_for serve);
/* relay.allow_local, relay.hairpin_only, for work from now on. */
void service_set_scope(struct service *svc, bool allow_local, bool hairpin_only);
void service_set_external(struct service *svc, const struct addr external[static 2]);
enum err service_add_own(struct service *svc, const struct addr *own);
/* Guest pass for a contact with pair secret T, to be given to it in a session (THREATS.md §4.12). */
void service_guest_pass(struct service *svc, const uint8_t pair_secret[static 32],
                        uint8_t out[static GUEST_PASS_BYTES]);
/* The pair secrets whose passes are honoured; copied. At most SERVICE_GUESTS_MAX. */
void service_set_guests(struct service *svc, const uint8_t (*pair_secrets)[32], size_t n);
void service_stats(struct service *svc, ns_t now, struct service_stats *out);
size_t service_calls(struct service *svc, ns_t now, struct service_call *out, size_t max);
const struct turn_server_stats *service_turn_stats(const struct service *svc);
const struct knock_stats *service_knock_stats(const struct service *svc);
/* Our signed advert for the overlay as of now; empty while no external address is known. */
struct slice service_advert(struct service *svc, ns_t now, uint8_t buf[static ADVERT_BYTES_MAX]);

#endif
