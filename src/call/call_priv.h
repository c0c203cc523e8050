/* call/call_priv.h - what call.c (dialog) and call_path.c (ICE, sound) share. Nobody else includes it. */
#ifndef ITO_CALL_CALL_PRIV_H
#define ITO_CALL_CALL_PRIV_H

#include "call/call.h"
#include "sip/sdp.h"
#include "sip/ua.h"

#define BASE_UDP  0
#define BASE_TURN 1 /* and one more for each leg */
#define LEGS      CALL_LEGS

#define CALLS_SLOTS (CALLS_MAX + CALLS_BRANCHES)

/* One allocation of a call, each at another relay: the first to begin with, the second warm once answered. */
struct leg {
    int slot; /* -1: none */
    bool is_up;
    struct addr relayed;
    bool is_leaving; /* the relay asks to move: given back when nothing comes by it any more */
    ns_t media_at;   /* last sound by it */
    ns_t end_at;     /* the relay's last word: a call that has no other way ends before it does; NS_NEVER */
};

struct call {
    struct calls *owner;
    uint32_t id;
    struct call *lead; /* a branch: the call people see; NULL: this is it */
    enum call_cause
        fallback; /* what a branch ended with that tells more than how the last one ends; CAUSE_NONE */
    uint8_t peer[32], hello_id[16];
    bool is_outgoing;
    struct call_policy policy;
    struct call_audio audio;
    char *play_file, *record_file;

    enum call_state state;
    enum call_cause cause;
    char text[CALL_TEXT_BYTES];
    ns_t state_at, deadline; /* when this state gives up */
    int64_t since_ms, started_ms, answered_ms, ended_ms, rang_ms;

    struct session *session;
    uint8_t exporter[32], handshake[64];
    struct ua_call *ua;
    bool wants_invite, wants_answer;                    /* waiting for the allocation */
    bool wants_offer;                                   /* an offer of ours waits for the one that is open */
    bool is_answered, is_acked, is_told;                /* told: all candidates went out */
    ns_t offer_at;                                      /* when wants_offer is tried again */
    ns_t alloc_wait_until, tell_at;                     /* tell_at: then all candidates are trickled */
    uint8_t nonce[32], peer_commit[32], peer_nonce[32]; /* call code: nA or nB; the other side's */
    bool has_commit, has_code;
    uint32_t code;

    struct ice *ice;
    struct ice_path last_path; /* for the history, after ICE is gone */
    bool has_last_path;
    struct leg legs[LEGS];
    ns_t leg_at;              /* a missing leg is asked for then; NS_NEVER: not wanted (yet) */
    struct addr theirs[LEGS]; /* relays the other side told of last */
    unsigned n_theirs;
    ns_t doubt_at;        /* not before: tell the owner that a relay of ours may be dead */
    ns_t told_to_move_at; /* a relay of the path said that it will stop; 0: none */
    bool says_leaving;    /* c->text is about that */
    int judged_slot;      /* the allocation that is listened to, or -1; and what was heard by it so far */
    unsigned n_judged;
    double sum_loss, sum_jitter_ms;
    ns_t judge_at;
    int told_line;                  /* /256: what the peer was told of our line */
    const struct ice_path *standby; /* while the path is in doubt, and only during path_pump() */
    struct sdp offer;               /* theirs, when they called */
    struct sdp local;               /* what we said */
    uint64_t sdp_version;
    uint8_t payload_type, event_type, red_type;

    struct media *media;
    bool has_no_input, has_no_output; /* silence stands in for the device */
    struct media_tone *tone;
    bool is_muted;
    int volume_pct, gain_db;
    struct stream_stats last_stats;
    ns_t stats_at, media_since;
    bool is_over;
    void *user;
};

struct calls {
    struct calls_config config;
    char *uri, *name, *input, *output, *ring_device;
    struct calls_ops ops;
    const struct env *env;
    struct ua *ua;
    struct call *calls[CALLS_SLOTS];
    uint32_t next_id, next_branch;
    ns_t now;
};

/* call.c */
void call_enter(struct call *c, ns_t now, enum call_state s);
void call_end(struct call *c, ns_t now, enum call_cause cause, const char *text);
void call_changed(struct call *c);
/* End the dialog as fits its state; reason: of a CANCEL, or NULL. */
void call_close_dialog(struct call *c, ns_t now, enum call_cause cause, const char *reason);
/* The tone of that state, when it is for people to hear. */
void call_set_tone(struct call *c, enum call_state s);
/* Over, off the table; freed at the end of the turn. */
void call_forget(struct call *c);

/* call_fork.c: the branches of a call to somebody with several devices. One of them is what people see, the one that
 * has come furthest; the others are not heard of (RFC 3261 §16.7). */
/* Before it enters that state: it may have come furthest now. */
void fork_advance(struct call *c, ns_t now, enum call_state s);
/* It is about to end: true when that was all, as only a branch is gone. Else the whole call ends, its branches are
 * gone, and *cause is what to tell. */
bool fork_takes_end(struct call *c, ns_t now, enum call_cause *cause);
/* It was answered: people see this one, the others are cancelled. */
void fork_won(struct call *c, ns_t now);
/* What a Reason of the caller means to a device that rang; `other` when it says nothing of branches. */
enum call_cause fork_cause(const char *reason, enum call_cause other);

/* call_path.c */
enum err path_open(struct call *c, ns_t now); /* ICE agent and allocation */
void path_close(struct call *c, ns_t now);
bool path_is_waiting(const struct call *c, ns_t now); /* for the allocation */
/* An allocation is missing, and there may be a relay for it now. */
void path_want_legs(struct call *c, ns_t now);
bool path_has_leg(const struct call *c); /* an allocation, up or asked for */
bool path_has_leg_up(const struct call *c);
/* Our description: with all candidates we may tell now. */
void path_describe(struct call *c, ns_t now, const struct sdp *offer, struct sdp *out);
void path_take_remote(struct call *c, ns_t now, const struct sdp_ice *ice);
/* All candidates may be told now: gather the rest and trickle it. */
void path_tell_all(struct call *c, ns_t now);
enum err path_start_media(struct call *c, ns_t now, const struct sdp *theirs);
void path_stop_media(struct call *c, ns_t now);
void path_pump(struct call *c, ns_t now);
/* The human answered: when the rest of our candidates may follow. */
void path_answered(struct call *c, ns_t now);
void path_tick(struct call *c, ns_t now);
ns_t path_deadline(const struct call *c);
bool path_input(struct call *c, ns_t now, const struct path *via, struct slice bytes);

#endif
