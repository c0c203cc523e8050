/* call/call.h - calls: SIP dialog, ICE and sound of each, and the words for what happens (UX.md §5).
 *
 *   out  LOOKING_UP ──call_connecting──▶ CONNECTING ──180──▶ RINGING ──200──┐
 *          │  (the owner looks the person up, opens a session: call_use_session)   ├─▶ IN_CALL ◀─▶ HELD_*, RECONNECTING
 *   in   INCOMING ──call_answer───────────────────────────────────────────┘         │
 *        every state ──call_hangup, failure, BYE──▶ ENDED (ops.ended, then the pointer is void)
 *
 * Before the human answers only relayed candidates are told, after it all of them are trickled (THREATS.md §4.9;
 * policy `direct` and the loopback zone tell all at once, `relay-only` never). The first path that works carries
 * sound at once; a better one takes over when ICE has proven it. Once answered, a second allocation at another relay
 * is kept warm: checks keep its pairs alive and cost nothing (relay/second.h). When five packets are missing, sound
 * goes by the warm pair as well, and stays there if the path has failed; then another relay is asked to stand by.
 * `relay-only` calls have both from the beginning, and no pair whose two ends are at one relay.
 *
 * A relay that asks to move (calls_alloc_leaving) is left before it stops: sound goes by the warm pair once that has
 * answered, the other side learns it by ICE, the old allocation is given back when nothing comes by it, and another
 * one is asked for. Without any other relay the call goes on, says so, and ends as `no_path` just before the relay does.
 *
 *   in     SIP messages of sessions, datagrams of paths, verbs
 *   out    ops; nothing of a call is revealed to a session that ops.incoming() did not admit
 *   owner  calls_create(); struct call belongs to it; ids are never used twice
 *   trust  who calls is what the session proved; SIP's From is not looked at
 *   caps   CALLS_MAX at once, CALLS_BRANCHES further devices rung by them */
#ifndef ITO_CALL_CALL_H
#define ITO_CALL_CALL_H

#include "base/path.h"
#include "crypto/session.h"
#include "media/media.h"
#include "nat/ice.h"

#define CALLS_MAX          8
#define CALLS_BRANCHES     14 /* of all calls together: a person has at most 8 devices */
#define CALL_CONNECT_NS    (15 * NS_PER_S)
#define CALL_LOOKUP_NS     (10 * NS_PER_S)
#define CALL_SILENCE_NS    (2 * NS_PER_S) /* then RECONNECTING */
#define CALL_LOST_NS       (30 * NS_PER_S)
#define CALL_ALLOC_WAIT_NS (3 * NS_PER_S)
#define CALL_ADDRS_MAX     8
#define CALL_LEGS          2 /* allocations at once: the one in use, and a warm one at another relay */
#define CALL_TEXT_BYTES    160

enum call_state {
    CALL_LOOKING_UP,
    CALL_CONNECTING,
    CALL_RINGING,
    CALL_INCOMING,
    CALL_IN_CALL,
    CALL_HELD_LOCAL,
    CALL_HELD_REMOTE,
    CALL_RECONNECTING,
    CALL_ENDED
};

enum call_cause {
    CAUSE_NONE,
    CAUSE_HANGUP_LOCAL,
    CAUSE_HANGUP_REMOTE,
    CAUSE_CANCELLED,
    CAUSE_DECLINED,
    CAUSE_BUSY,
    CAUSE_NO_ANSWER,
    CAUSE_NOT_ALLOWED,
    CAUSE_OFFLINE,
    CAUSE_NOT_FOUND,
    CAUSE_NO_NETWORK,
    CAUSE_NO_PATH,
    CAUSE_ID_MISMATCH,
    CAUSE_LOST,
    CAUSE_AUDIO,
    CAUSE_INCOMPATIBLE,
    CAUSE_INTERNAL,
    CAUSE_MISSED,    /* incoming, not answered; history only */
    CAUSE_ELSEWHERE, /* incoming, answered on another of our devices */
    CAUSE_COUNT
};

const char *call_state_token(enum call_state s); /* "looking_up" */
const char *call_cause_token(enum call_cause c); /* "hangup_local"; NULL for CAUSE_NONE */
int call_cause_exit(enum call_cause c);          /* exit code of UX.md §5 */

/* What the two policies of a call allow. */
struct call_policy {
    bool may_tell_early; /* all candidates at once: `direct`, or inside this computer */
    bool is_relay_only;  /* never host or reflexive candidates */
    bool allow_loopback; /* the Echo zone */
};

/* Where sound comes from and goes to. NULL: the configured device. */
struct call_audio {
    const char *play_file, *record_file;
    uint32_t loop_ms;       /* > 0: says again what it hears (Echo) */
    audio_source_cb source; /* tests: instead of devices */
    audio_sink_cb sink;
    void *audio_arg;
};

struct calls_config {
    uint8_t identity[32];
    const char *uri, *name; /* "sip:ID@ito.alt"; claimed name */
    enum media_drive drive;
    const char *input, *output, *ring_device; /* copied */
    uint32_t bitrate;
    unsigned frame_ms, jitter_min_ms, jitter_max_ms;
    bool has_fec, is_variable, has_echo_cancel, has_noise_suppress;
    bool is_silent; /* no ring tones of ours: headless, Echo, tests */
    ns_t ring_ns;
};

struct calls;
struct call;

#define CALL_JUDGE_NS (30 * NS_PER_S)

struct calls_ops {
    void *arg;
    void (*send)(void *arg, const struct path *via, struct slice bytes);
    void (*sip_send)(void *arg, struct session *s, struct slice sip);
    /* Send the session by this path from now on: the call's own path is proven. */
    void (*move_session)(void *arg, struct session *s, const struct path *via);
    /* Our own addresses: host (first n_host) and server-reflexive; returns how many in all. */
    size_t (*addrs)(void *arg, const struct call *c, struct addr out[static CALL_ADDRS_MAX], size_t *n_host);
    /* An allocation for this call: its slot, or negative. Not at the relay of allocation `other` (-1: any), and not
     * at one of `avoid` while there are others; with must_avoid not even then. ops.release when the call no longer
     * needs it. */
    int (*allocate)(void *arg, const struct call *c, int other, const struct addr *avoid, size_t n_avoid,
                    bool must_avoid);
    void (*release)(void *arg, int slot);
    /* Nothing comes by the path: a relay may be dead. is_cut: nor by any other, and what the session says may be lost
     * as well. May be NULL. */
    void (*doubt)(void *arg, const struct call *c, bool is_cut);
    /* What was heard in CALL_JUDGE_NS by allocation `slot`: lost both ways (the less of the two: loss one way is
     * somebody's line; less what the peer says of its own), 0..1, and jitter. May be NULL. */
    void (*judged)(void *arg, int slot, double loss, double jitter_ms);
    /* What our own line loses, 0..1, as far as can be told. May be NULL. */
    double (*line_loss)(void *arg);
    /* A new call came by this session. ERR_OK: it rings (policy, name and audio filled in); else the SIP answer is
     * 486 for ERR_FULL and 603 otherwise. */
    enum err (*incoming)(void *arg, struct session *s, struct call *c, struct call_policy *policy,
                         struct call_audio *audio);
    /* Something a person sees changed: state, path, quality. Often. */
    void (*changed)(void *arg, struct call *c);
    void (*ended)(void *arg, struct call *c);
    /* A branch of call_fork() is over, nobody sees it: the pointer is void. May be NULL when nothing is forked. */
    void (*branch_over)(void *arg, struct call *c);
    /* The media engine has something to send: watch this fd (threaded) or NULL op. */
    void (*media_fd)(void *arg, struct call *c, int fd, bool is_on);
};

/* A look at one call. Texts are borrowed until the next call of any function here. */
struct call_info {
    uint32_t id;
    uint8_t peer[32];
    bool is_outgoing;
    enum call_state state;
    enum call_cause cause;
    const char *text; /* reason or what; in a call: what is wrong with the sound; "" */
    int64_t since_ms, started_ms, answered_ms, ended_ms; /* wall clock; 0: not yet */
    int64_t rang_ms; /* how long it rang over there when it ended; 0: it did not */
    bool has_path, has_code, is_muted, has_media, has_early_lookup;
    bool has_no_input, has_no_output; /* silence stands in for a device that could not be opened */
    struct ice_path path;
    bool is_ipv6, is_same_network;
    int alloc_slot;  /* our allocation: the one the path goes through, else the first there is; or -1 */
    bool uses_alloc; /* the path goes through it */
    unsigned n_legs; /* allocations that are up */
    struct addr remote;
    uint32_t code;
    int volume_pct, gain_db;
    struct stream_stats stats;
};

struct calls *calls_create(const struct calls_config *config, const struct calls_ops *ops,
                           const struct env *env);
/* Devices, coding and ring time of calls from now on; identity, names and drive stay. */
void calls_configure(struct calls *x, const struct calls_config *config);
/* Ends all calls without a word; ended() is not called. */
void calls_destroy(struct calls *x, ns_t now);
void calls_tick(struct calls *x, ns_t now);
ns_t calls_deadline(const struct calls *x);

/* A SIP message came by this session; the session is gone. */
void calls_sip_input(struct calls *x, ns_t now, struct session *s, struct slice sip);
/* Another session with that device took its place: dialogs go on there. */
void calls_session_replaced(struct calls *x, ns_t now, struct session *old, struct session *fresh);
void calls_session_gone(struct calls *x, ns_t now, struct session *s);
/* A datagram that may be STUN or SRTP of a call: true when it was. */
bool calls_input(struct calls *x, ns_t now, const struct path *via, struct slice bytes);
void calls_alloc_ready(struct calls *x, ns_t now, int slot, const struct addr *relayed,
                       const struct addr *mapped);
void calls_alloc_gone(struct calls *x, ns_t now, int slot);
/* The relay of this allocation wants the call to go elsewhere. end_at: its last word, it stops then, and no call with it
 * comes back; NS_NEVER: it goes on for now. */
void calls_alloc_leaving(struct calls *x, ns_t now, int slot, ns_t end_at);
/* media_fd() of that call became readable. */
void calls_media_ready(struct calls *x, ns_t now, struct call *c);
/* Our own addresses changed: tell those who may know, restart ICE. */
void calls_network_changed(struct calls *x, ns_t now);
/* More is known of our own addresses, or a relay is linked again: those who know all are told, and calls that lost
 * their allocation ask for another. */
void calls_addrs_changed(struct calls *x, ns_t now);
void calls_relay_back(struct calls *x, ns_t now);

/* A call to `peer`, in LOOKING_UP. ERR_FULL. audio may be NULL. */
enum err calls_dial(struct calls *x, ns_t now, const uint8_t peer[static 32],
                    const struct call_policy *policy, const struct call_audio *audio, struct call **out);
void call_connecting(struct call *c, ns_t now);
/* The session the INVITE goes by. Its call_id must be call_hello_id(). */
void call_use_session(struct call *c, ns_t now, struct session *s);
const uint8_t *call_hello_id(const struct call *c);
/* One more device of the same person, while nobody has answered: a branch with its own session, code and path. The
 * branch that has come furthest is what people see, under the id of the call; the first 200 wins and the others are
 * cancelled with `Reason: SIP;cause=200`; a decline ends all (THREATS.md §4.11). NULL: answered, over, or no room. */
struct call *call_fork(struct call *c, ns_t now);
/* It cannot be: ends with that cause; text may be NULL. */
void call_abort(struct call *c, ns_t now, enum call_cause cause, const char *text);

enum err call_answer(struct call *c, ns_t now);
/* Hang up, cancel or decline, whatever fits the state. */
void call_hangup(struct call *c, ns_t now);
enum err call_mute(struct call *c, bool is_on);
enum err call_hold(struct call *c, ns_t now, bool is_on);
enum err call_dtmf(struct call *c, const char *keys);
enum err call_volume(struct call *c, int pct);
enum err call_gain(struct call *c, int db);
void call_silence(struct call *c); /* stop ringing here, go on there */

struct call *calls_find(const struct calls *x, uint32_t id);
struct call *calls_at(const struct calls *x, size_t i); /* NULL past the end */
/* The call a verb without an id means: incoming first, then the newest. */
struct call *calls_current(const struct calls *x);
uint32_t call_id(const struct call *c);
const uint8_t *call_peer(const struct call *c);
struct session *call_session(const struct call *c);
void call_info(const struct call *c, struct call_info *out);
void call_set_user(struct call *c, void *user);
void *call_user(const struct call *c);
enum call_state call_get_state(const struct call *c);

#endif
