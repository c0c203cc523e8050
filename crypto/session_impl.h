/* crypto/session_impl.h - the objects behind crypto/session.h, shared by the three files that make the module:
 * session.c (table, ends, timers), session_shake.c (C0, C1, C2), session_data.c (C3). For nobody else.
 *
 * A `run` is one handshake and the keys that come of it, found by its local index; a session is what the owner
 * holds, and has one run that sends (current), perhaps one that is to replace it (next), and old ones that only
 * receive. Runs move between sessions when one session replaces another.
 *
 *   OPENING ──msg2──▶ LIVE ──replaced──▶ OLD ──10 s──▶ gone           initiator
 *   HEARD ──admitted──▶ ANSWERED ──first data──▶ LIVE ──replaced──▶ OLD     responder
 *
 *   owner  the table; drop_session() and drop_run() unlink at once and free at the end of the turn */
#ifndef ITO_CRYPTO_SESSION_IMPL_H
#define ITO_CRYPTO_SESSION_IMPL_H

#include <uthash.h>

#include "base/heap.h"
#include "base/list.h"
#include "crypto/door.h"
#include "crypto/identity.h"
#include "crypto/session.h"

#define OLD_RUNS_MAX   4
#define REKEY_PAUSE_NS (60 * NS_PER_S) /* from a failed renewal to the next */
#define ASK_FIRST_NS   (10 * NS_PER_S) /* unanswered for so long: ping */

/* Chan 0, one byte. */
enum own_message { OWN_PING = 1, OWN_PONG = 2, OWN_CLOSE = 3 };

enum run_state { RUN_OPENING, RUN_HEARD, RUN_ANSWERED, RUN_LIVE, RUN_OLD };

/* Needed only until the keys are proven. */
struct shake {
    struct noise noise;
    uint8_t mac_key[32]; /* of what we send */
    uint8_t psk[32], responder_static[32];
    union {
        uint8_t msg1[HANDSHAKE_MSG1_BYTES]; /* initiator */
        uint8_t msg2[HANDSHAKE_MSG2_BYTES]; /* responder, ANSWERED */
    };
    uint8_t digest[32]; /* responder: of the msg1 heard */
    uint8_t n_paths;    /* initiator */
    struct path paths[SESSION_PATHS_MAX];
    bool has_cookie[SESSION_PATHS_MAX];
    uint8_t cookies[SESSION_PATHS_MAX][16];
};

struct run {
    UT_hash_handle hh;
    uint32_t local, remote;
    enum run_state state;
    bool is_initiator;
    bool is_proven; /* an authentic datagram came under these keys */
    bool is_worn;   /* new keys are due because of the number of datagrams */
    ns_t began_at, live_at;
    struct session *session;
    struct list of_session;
    struct list pending; /* HEARD or ANSWERED, oldest first */
    struct shake *shake;
    struct noise_keys keys;
    uint8_t exporter[32], hash[64];
    uint64_t n_sent;
    struct replay replay;

    struct heap_node timer; /* the earliest of: */
    ns_t retry_at;          /* msg1 or ping again */
    ns_t end_at;            /* give up */
    ns_t rekey_at;          /* initiator: begin new keys */
    ns_t retry_ns;          /* pause before the retry after the next */
    ns_t life_end_at;
    bool is_unanswered; /* something was sent since the last sign of life */
};

struct session {
    struct sessions *table;
    struct list link;
    uint64_t id; /* rising */
    bool is_initiator, is_known /* to the owner */, is_gone;
    enum session_class class;
    uint8_t peer_id[32], peer_device[32];
    struct session_hello hello;
    struct hello_reply reply;
    void *user;
    struct path path;
    ns_t heard_at;
    uint32_t next_msg;
    struct run *current, *next;
    const struct run *receiving; /* the run of the message now handed up */
    struct list runs;
    /* Initiator: what new keys are asked for with. */
    uint8_t psk[32], own_public[32];
    bool is_account;
    uint8_t account_secret[32]; /* X25519 */
};

/* One mk to try, and who we are under it. */
struct hearing {
    enum session_class class;
    uint32_t secret_id;
    int8_t device; /* of self; -1: node key */
    uint8_t psk[32];
};

struct sessions {
    const struct env *env;
    struct sessions_config config;
    struct sessions_self self;
    struct dh_key node_dh;
    uint8_t node_id[32];
    size_t n_hearings;
    struct hearing hearings[SESSIONS_KEYS_MAX];
    struct handshake_key keys[SESSIONS_KEYS_MAX]; /* of the same index */

    struct run *runs; /* by local */
    struct list sessions, pending;
    struct heap timers;
    struct door door;
    struct reassembly *reassembly;
    uint64_t stamp, last_id;
    bool is_gone;
    struct sessions_stats stats;
    uint8_t plain[SESSION_DATAGRAM_MAX];
};

/* --- session.c --- */
struct session *new_session(struct sessions *x, enum session_class class);
struct run *new_run(struct session *s, enum run_state state, ns_t now);
struct run *find_run(struct sessions *x, uint32_t local);
void drop_run(struct run *r);
void drop_session(struct session *s);
/* Tell the owner, if it knows of s, and drop. */
void end_session(struct session *s, enum err why, ns_t now);
void schedule(struct run *r);
/* The handshake is over for both: wipe what only it needed. */
void drop_shake(struct run *r);
/* Replace s->current; the run before it only receives, for SESSION_OLD_KEYS_NS. */
void set_current(struct session *s, struct run *r, ns_t now);
void retire_run(struct run *r, ns_t now);
/* The keys stand: responder, proven by data; initiator, unproven until something comes back. */
void go_live(struct run *r, ns_t now);
void move_run(struct run *r, struct session *to);
/* A session of ours with the same device that stands in the way of the responder's run r: the one r renews, or the
 * one we opened at the same time with the smaller static. NULL when there is none. */
struct session *find_keeper(const struct run *r);
/* s is established: every other session with that device that must yield ends with ERR_EXISTS, and its keys
 * receive for s. */
void settle(struct session *s, ns_t now);
void send_on(struct sessions *x, const struct path *via, struct slice datagram);

/* --- session_shake.c --- */
void input_msg1(struct sessions *x, ns_t now, const struct path *via, struct slice datagram);
void input_msg2(struct sessions *x, ns_t now, const struct path *via, struct slice datagram);
void input_cookie(struct sessions *x, ns_t now, const struct path *via, struct slice datagram);
void send_msg1(struct run *r, size_t path);
/* Ask for new keys; ERR_LATE when the device key is gone. */
enum err begin_rekey(struct session *s, ns_t now);

/* --- session_data.c --- */
void input_data(struct sessions *x, ns_t now, const struct path *via, struct slice datagram);
void send_own(struct run *r, ns_t now, enum own_message what);

#endif
