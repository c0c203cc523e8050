/* nat/ice.h - one ICE agent, one stream, one component (RFC 8445, 8838 trickle, 7675 consent).
 *
 * Finds pairs of a local base and a remote address over which both sides hear each other, and says which one
 * to send on. The first pair that works is usable at once; the controlling side nominates it, and nominates
 * again when a better one works (direct over relayed), numbered so that the last nomination wins. The pair in
 * use is watched: when it falls silent and probes go unanswered, the next best valid pair takes over.
 *
 * A base that will be gone soon is left before it is (ice_leave_base()): the other pairs are asked, the first that
 * answers takes over, and the peer learns of it by a flag in checks (STUN_LEAVING), so that it sends elsewhere too.
 * Until there is another pair the old one is used.
 *
 *   base   a number the owner gives to a way of sending: 0 the UDP socket, 1.. one TURN allocation each.
 *          Candidates of one base share their pairs: host and server-reflexive ones of a socket differ only in
 *          what the peer is told
 *   in     local and remote candidates at any time; ice_input(): datagrams that stun_is_message(), with the
 *          base they came by; ice_heard() for authenticated media
 *   out    ops.send; ops.path at each change of the pair in use
 *   owner  the caller of ice_create(); ops and env are borrowed; ice_destroy() is legal in a callback
 *   trust  requests count with our password, answers with the peer's and our transaction id. A remote candidate
 *          is a claim: never asked when loopback (unless allowed), multicast, unspecified, one of our own, or
 *          private or link-local without such a host candidate of ours; packets on a base that has no local
 *          candidate are not answered, so what was not told is not revealed
 *   caps   ICE_REMOTES_MAX remote candidates including peer-reflexive ones, ICE_LOCALS_MAX local ones,
 *          ICE_BASES_MAX bases, one check each 50 ms, ICE_CHECKS_MAX unanswered checks a pair; again, at most three
 *          times, after an authentic request of the peer's from there or a late candidate of ours */
#ifndef ITO_NAT_ICE_H
#define ITO_NAT_ICE_H

#include "base/env.h"
#include "nat/candidate.h"

#define ICE_UFRAG_CHARS 8
#define ICE_PWD_CHARS   24
#define ICE_CRED_MAX    256 /* of a peer's ufrag and pwd (RFC 8839 §5.4), excluding NUL */
#define ICE_BASES_MAX   4
#define ICE_LOCALS_MAX  16
#define ICE_REMOTES_MAX 16 /* THREATS.md §4.9 */
#define ICE_PRFLX_MAX \
    8 /* of these, peer-reflexive: a NAT with endless ports leaves room for signalled ones */
#define ICE_CHECKS_MAX  7 /* THREATS.md §4.9 */
#define ICE_PACE_NS     (50 * NS_PER_MS)
#define ICE_PATIENCE_NS (15 * NS_PER_S) /* before "failed" is said, RFC 8863 */
#define ICE_CONSENT_NS  (30 * NS_PER_S) /* RFC 7675 §5.1 */

struct ice_config {
    bool is_controlling;
    uint64_t tie_breaker; /* 0: drawn at random */
    bool allow_loopback;  /* tests, two phones on one machine */
    bool is_relay_only;   /* pairs of two relayed candidates at two different relays, and no others */
    ns_t pace_ns;         /* 0: ICE_PACE_NS */
    ns_t patience_ns;     /* 0: ICE_PATIENCE_NS */
};

struct ice_path {
    uint8_t base;
    struct addr remote;
    enum candidate_type local_type, remote_type;
    bool is_relayed;   /* by us or by them */
    bool is_nominated; /* false: works, and nobody has chosen yet, or a stand-in for a silent one */
    bool is_leaving;   /* an end of it will be gone soon, and there is no other yet */
    ns_t rtt;          /* last measured; 0: not yet */
};

struct ice_stats {
    uint32_t checks_sent, checks_answered, requests_in, role_conflicts, nominations, path_changes;
    uint32_t refused_candidates; /* by class or cap */
    uint32_t bad;                /* STUN for us that did not authenticate or made no sense */
};

struct ice_ops {
    void (*send)(void *arg, uint8_t base, const struct addr *to, struct slice bytes);
    /* The path to send on is now this one. */
    void (*path)(void *arg, ns_t now, const struct ice_path *path);
    /* No pair works and none is left to try: once for each start or restart. More candidates may still help. */
    void (*failed)(void *arg, ns_t now);
    /* Nothing was heard on any pair for ICE_CONSENT_NS: stop sending (RFC 7675 §5.1), restart. */
    void (*consent_lost)(void *arg, ns_t now);
};

struct ice;

struct ice *ice_create(const struct ice_config *config, const struct ice_ops *ops, void *arg,
                       const struct env *env);
void ice_destroy(struct ice *i); /* NULL is fine */
const char *ice_ufrag(const struct ice *i);
const char *ice_pwd(const struct ice *i);
bool ice_is_controlling(const struct ice *i); /* may change: role conflict, RFC 8445 §7.3.1.1 */

/* The peer's credentials. ERR_RANGE: shorter than 4 and 22 characters (RFC 8839 §5.4), too long, or of other
 * characters. Others than before mean that the peer restarted: its candidates are forgotten. */
enum err ice_set_remote(struct ice *i, ns_t now, const char *ufrag, const char *pwd);
/* A candidate of ours; its base is what ops.send() is told. ERR_FULL, ERR_EXISTS, ERR_RANGE (base). */
enum err ice_add_local(struct ice *i, ns_t now, const struct candidate *c);
/* The base is gone (allocation lost): its candidates and pairs are dropped, the path moves if it was there. */
void ice_remove_base(struct ice *i, ns_t now, uint8_t base);
/* The base will be gone: move off it as soon as another pair has proven itself. Undone by ice_remove_base(). */
void ice_leave_base(struct ice *i, ns_t now, uint8_t base);
/* A candidate of the peer's, trickled at any time. ERR_REFUSED by class, ERR_FULL, ERR_EXISTS. */
enum err ice_add_remote(struct ice *i, ns_t now, const struct candidate *c);
void ice_end_of_local(struct ice *i, ns_t now);
void ice_end_of_remote(struct ice *i, ns_t now);

/* True when the datagram was STUN of this agent (by ufrag, or by transaction), whatever came of it. */
bool ice_input(struct ice *i, ns_t now, uint8_t base, const struct addr *from, struct slice bytes);
/* Authenticated media or session data came this way: as good as an answered probe. */
void ice_heard(struct ice *i, ns_t now, uint8_t base, const struct addr *from);
void ice_tick(struct ice *i, ns_t now);
ns_t ice_deadline(const struct ice *i);

/* The path to send on; NULL when there is none (yet, or any more). */
const struct ice_path *ice_path(const struct ice *i);
/* Where to send as well as on the path, while it is in doubt: the best valid pair that shares no relay with it, else
 * the best other one. NULL while nothing is wrong, or there is none. Media sent there is heard before the path has
 * moved: losing a relay costs what it takes to notice, and no more. */
const struct ice_path *ice_standby(struct ice *i, ns_t now);
/* How long the path in use has been silent: since the last thing heard on it; 0 without a path. */
ns_t ice_silent_ns(const struct ice *i, ns_t now);
/* Begin anew with fresh credentials (RFC 8445 §9): local candidates stay, the path stays in use until a new pair
 * works, checks under the old password are still answered. */
void ice_restart(struct ice *i, ns_t now);
const struct ice_stats *ice_get_stats(const struct ice *i);
/* Local candidates, to be written into SDP. Returns how many. */
size_t ice_locals(const struct ice *i, const struct candidate **out);

#endif
