/* crypto/session.h - all secure sessions of one phone or relay (THREATS.md §4.6, §4.7), sans I/O.
 *
 *   in     datagrams of type C0..C3 with the path they came by; our keys and the secrets we hear
 *   out    datagrams through ops.send, always with the path they are meant for; whole messages by channel
 *   owner  `struct sessions` belongs to its creator; a `struct session` to the table, its owner keeps the pointer
 *          until ops.closed(), session_close() or sessions_destroy(). Everything given is copied.
 *   trust  ops.admit() sees a decrypted hello with a checked certificate, and nothing was answered yet.
 *          ops.established() on the responder's side comes after the initiator's first data packet: it proves
 *          that this is no replay and that the initiator holds its keys. Only then may anything of a call happen.
 *   caps   max_sessions objects, SESSIONS_PENDING_MAX unproven ones besides, one paid handshake a second
 *          for a static key, cookies above load_per_s, 4 messages of 16 fragments for 10 s a session and
 *          SESSIONS_REASSEMBLY of them in all; stats count what was dropped
 *
 *   initiator  OPENING ──msg2──▶ ESTABLISHED ──close, or silence──▶ gone
 *   responder  HEARD ──admitted, msg2──▶ ANSWERED ──first data──▶ ESTABLISHED
 *                └── 10 s ──▶ gone         └── 10 s ──▶ gone
 *
 * New keys (60 min or 2^24 datagrams) come by a handshake of the initiator inside the same object; old keys
 * receive for 10 s more. When both sides open at once, the session whose initiator has the smaller static
 * stays: the other is closed with ERR_EXISTS, and what still comes by it is given to ops.message() as of the one
 * that stays. A fresh session with the same device replaces an older one in the same way.
 *
 * Callbacks may open, close and send; memory is freed at the end of the turn (env_defer). */
#ifndef ITO_CRYPTO_SESSION_H
#define ITO_CRYPTO_SESSION_H

#include "base/env.h"
#include "base/path.h"
#include "crypto/cert.h"
#include "crypto/fragment.h"
#include "crypto/handshake.h"

#define SESSIONS_MAX_PHONE   256
#define SESSIONS_MAX_RELAY   4096
#define SESSIONS_PENDING_MAX 256 /* HEARD or ANSWERED, above load_per_s times their 10 s; the oldest yields */
#define SESSIONS_SECRETS_MAX 18  /* S, S before, 16 invites */
#define SESSIONS_KEYS_MAX    37  /* each secret with D and old D, and class node */
#define SESSIONS_LOAD_PER_S  20  /* msg1 with a right mac1 in one second; above, mac2 is asked for */
#define SESSIONS_REASSEMBLY  64  /* messages in pieces, all sessions together */
#define SESSION_PATHS_MAX    8
#define SESSION_DATAGRAM_MAX 1200
#define SESSION_MESSAGE_MAX  FRAGMENT_MESSAGE_MAX /* 18,288 bytes in 16 datagrams */

#define SESSION_RETRY_NS    (500 * NS_PER_MS) /* then doubling */
#define SESSION_OPEN_NS     (10 * NS_PER_S)   /* from first msg1 to ERR_TIMEOUT; also of HEARD and ANSWERED */
#define SESSION_OLD_KEYS_NS (10 * NS_PER_S)
#define SESSION_REKEY_NS    (60 * 60 * NS_PER_S)
#define SESSION_REKEY_COUNT (1ull << 24)
#define SESSION_LIFE_NS     (2 * SESSION_REKEY_NS) /* of keys that could not be renewed */
#define SESSION_SILENCE_NS  (60 * NS_PER_S) /* unanswered, through pings at 10, 20 and 40 s: ERR_TIMEOUT */

/* Chan 0 is the session's own: keep-alive, first proof, close. */
enum session_channel { SESSION_SIP = 1, SESSION_LEDGER = 2, SESSION_CONTROL = 3, SESSION_KNOCK = 4 };

struct sessions;
struct session;

/* What the other side proved to be (responder) or was asked to be (initiator). */
struct session_hello {
    enum session_class class;
    struct hello said;       /* stamp, kind, flags, call_id, candidates, succession as in msg1 */
    uint32_t secret_id;      /* session_secret.id under which it was heard; 0 for class node */
    uint8_t identity[32];    /* A of the initiator; class node: its account or node key */
    uint8_t device[32];      /* Noise static of the initiator: D, or the account key converted */
    struct device_cert cert; /* checked against device; zeroed in class node, and on the initiator's side */
};

struct session_ops {
    /* One datagram by one path. It may be lost; it must not call back into this table before it returns. */
    void (*send)(void *arg, const struct path *via, struct slice datagram);
    /* Before a byte is answered: may this initiator be heard on this path? Checks whitelist or invite, gen and
     * device list, policy. Asked again for each path a copy of msg1 comes by. False: silence. The stamp is the
     * session layer's to check, after this. */
    bool (*admit)(void *arg, const struct session_hello *hello, const struct path *via);
    void (*established)(void *arg, struct session *s, ns_t now);
    void (*message)(void *arg, struct session *s, uint8_t chan, struct slice msg, ns_t now);
    /* The session is over and the pointer is void after this: ERR_TIMEOUT no answer, or silence; ERR_CANCELLED
     * the other side closed; ERR_EXISTS another session with that device stays; ERR_LATE our device key is
     * gone. Never called for what session_close() closed, or before established() on the responder's side. */
    void (*closed)(void *arg, struct session *s, enum err why, ns_t now);
    /* May the endpoint follow an authentic packet to this path? NULL: yes. */
    bool (*path_allowed)(void *arg, const struct session *s, const struct path *via);
    /* The last stamp heard from a device; 0 when none. Both NULL: stamps are kept for the life of the table
     * in DOOR_STAMPS places (door.h). */
    uint64_t (*stamp_get)(void *arg, const uint8_t device[static 32]);
    void (*stamp_set)(void *arg, const uint8_t device[static 32], uint64_t stamp);
    /* A stamp of ours is about to be used: the owner reserves ahead on disk. May be NULL. */
    void (*stamp_own)(void *arg, uint64_t stamp);
};

struct sessions_config {
    const struct session_ops *ops;
    void *arg;
    uint32_t max_sessions; /* 0: SESSIONS_MAX_PHONE; at most SESSIONS_MAX_RELAY */
    uint32_t load_per_s;   /* 0: SESSIONS_LOAD_PER_S */
    uint64_t rekey_count;  /* 0: SESSION_REKEY_COUNT; tests want less */
    uint64_t first_stamp;  /* our stamps are above this: the reservation from disk */
};

/* One secret under which handshakes are heard. */
struct session_secret {
    enum session_class class; /* SESSION_CONTACT (S) or SESSION_INVITE (X_I) */
    bool is_previous;         /* previous S: tried last, and not at all under load */
    uint32_t id;              /* the owner's name for it, in session_hello.secret_id */
    uint8_t secret[32];
};

struct session_device {
    uint8_t secret[32], public[32]; /* D */
    uint8_t certificate[CERT_BYTES];
};

/* Who we are. Zeroed parts are absent. */
struct sessions_self {
    uint8_t identity[32];             /* A, for the prologue */
    uint8_t n_devices;                /* 0: classes contact and invite are neither heard nor opened */
    struct session_device devices[2]; /* current D, which opens; old D, which is only heard */
    uint8_t n_secrets;
    struct session_secret secrets[SESSIONS_SECRETS_MAX];
    bool hears_node;          /* relay or full zone node */
    uint8_t node_seed[32];    /* Ed25519 seed of N */
    struct hello_reply reply; /* said in each msg2 */
};

/* Whom to open a session with. */
struct session_peer {
    enum session_class class;
    uint8_t responder[32];        /* A; class node: N */
    uint8_t responder_static[32]; /* D; class node: ignored, it is the conversion of N */
    uint8_t secret[32];           /* S or X_I; class node: ignored */
    uint8_t kind, flags;          /* enum hello_kind, HELLO_FLAGS_MINE */
    uint8_t call_id[HANDSHAKE_CALL_ID_BYTES];
    uint8_t n_candidates;
    struct addr candidates[HANDSHAKE_CANDIDATES_MAX];
    bool has_succession;
    uint8_t succession[SUCCESSION_BYTES];
    void *user; /* see session_user() */
};

struct sessions_stats {
    uint64_t msg1_in, msg1_bad_mac, msg1_bad, msg1_rate_limited, msg1_refused, msg1_copies, msg1_full;
    uint64_t msg2_in, msg2_bad, cookies_out, cookies_in, cookies_bad;
    uint64_t data_in, data_out, data_unknown, data_bad, data_replayed, data_malformed, reassembly_dropped;
    uint64_t dh;      /* X25519 computed, ours and for others */
    uint64_t answers; /* datagrams sent because of a msg1: msg2 and cookies */
    uint64_t established, closed;
    uint32_t n_sessions, n_pending;
};

/* env is borrowed and must outlive the table: random, wall clock (stamps), defer, log. */
struct sessions *sessions_create(const struct sessions_config *config, const struct env *env);
/* Wipes and frees all; calls nothing back. NULL is fine. */
void sessions_destroy(struct sessions *x);
/* Change who we are; sessions that stand are not touched. ERR_RANGE when counts are over, ERR_AUTH when the node
 * seed has no valid key. */
enum err sessions_set_self(struct sessions *x, const struct sessions_self *self);

/* One datagram whose first byte is 192..255. Anything not for us is dropped and counted. */
void sessions_input(struct sessions *x, ns_t now, const struct path *via, struct slice datagram);
void sessions_tick(struct sessions *x, ns_t now);
ns_t sessions_deadline(const struct sessions *x);
const struct sessions_stats *sessions_stats(const struct sessions *x);
/* The highest stamp of ours used so far. */
uint64_t sessions_last_stamp(const struct sessions *x);

/* Open: msg1 goes out on all the paths at once, the same bytes. *out is valid until closed (never called from
 * inside). ERR_FULL; ERR_STATE when we have no device key; ERR_AUTH when the responder's key is no valid one;
 * ERR_RANGE. No path is fine: see session_add_path(). */
enum err sessions_open(struct sessions *x, ns_t now, const struct session_peer *peer,
                       const struct path *paths, size_t n_paths, struct session **out);
/* The same for class node, with the key of an Ed25519 seed (account, or our own node key) as our static. */
enum err sessions_open_account(struct sessions *x, ns_t now, const struct session_peer *peer,
                               const uint8_t account_seed[static 32], const struct path *paths,
                               size_t n_paths, struct session **out);
/* The established session of that class with that peer, or NULL. static_key: its D; class node: of the peer's
 * key converted. */
struct session *sessions_find(struct sessions *x, enum session_class class,
                              const uint8_t static_key[static 32]);
/* Call each for every session the owner knows of (opening or established); it may close the one it is given. */
typedef void (*sessions_each_cb)(void *arg, struct session *s);
void sessions_each(struct sessions *x, sessions_each_cb each, void *arg);

/* While opening: one more path, tried at once. ERR_FULL, ERR_DUPLICATE; ERR_STATE when established. */
enum err session_add_path(struct session *s, ns_t now, const struct path *via);
/* Send by this path from now on, until an authentic packet comes by another. */
void session_set_path(struct session *s, const struct path *via);
/* One message, unreliable, in as many datagrams as needed. ERR_RANGE: empty channel, too long; ERR_STATE: not
 * established. */
enum err session_send(struct session *s, ns_t now, uint8_t chan, struct slice msg);
/* Ask the other side for a sign of life; session_heard_at() moves when it comes. */
void session_ping(struct session *s, ns_t now);
/* Tell the other side and forget; `closed` is not called. */
void session_close(struct session *s, ns_t now);

bool session_is_initiator(const struct session *s);
bool session_is_established(const struct session *s);
enum session_class session_class(const struct session *s);
/* The other side: A (class node: account, node key or N), and its Noise static. */
const uint8_t *session_peer_id(const struct session *s);
const uint8_t *session_peer_device(const struct session *s);
const uint8_t *session_call_id(const struct session *s);
/* What msg1 said; on the initiator's side our own words. */
const struct session_hello *session_hello(const struct session *s);
/* What msg2 said; zeroes before. */
const struct hello_reply *session_reply(const struct session *s);
/* Where the next datagram goes; kind PATH_NONE when unknown. */
const struct path *session_path(const struct session *s);
ns_t session_heard_at(const struct session *s); /* last authentic packet; 0 before */
/* E and h of THREATS.md §4.7, §4.10; ERR_STATE before established. Inside ops.message() those of the handshake
 * under which that message was sealed, else those under which session_send() seals: so both ends take the same
 * E for an INVITE when they take it as they send, and receive, it. */
enum err session_exporter(const struct session *s, uint8_t out[static 32]);
enum err session_handshake_hash(const struct session *s, uint8_t out[static 64]);
void session_set_user(struct session *s, void *user);
void *session_user(const struct session *s);

#endif
