/* nat/checklist.h - the check list of one ICE agent: candidates, their pairs, how they rank, who is next.
 *
 * One pair for each base and remote address that may be asked by class; pairs are not frozen, since there is
 * one component of one stream (RFC 8445 §6.1.2.6 would unfreeze them all). Pure data: ice.c sends and times.
 *
 *   trust  remote candidates are claims, see ice.h; the class rules are applied here, in one place
 *   caps   those of ice.h */
#ifndef ITO_NAT_CHECKLIST_H
#define ITO_NAT_CHECKLIST_H

#include "nat/ice.h"
#include "nat/stun.h"

#define CHECK_SLOTS     8 /* checks of one pair that can still be answered */
#define CHECK_PAIRS_MAX (ICE_BASES_MAX * ICE_REMOTES_MAX)

enum pair_state { PAIR_CHECKING, PAIR_VALID, PAIR_FAILED };

/* Checks of a pair share an id but for its last byte, their number: so each answer tells its own round trip. */
struct pair {
    uint8_t base, remote; /* index in checklist.remotes */
    bool is_relayed;
    enum pair_state state;
    enum candidate_type local_type; /* as what the peer sees us here, once valid */
    uint64_t priority;
    uint8_t id[STUN_ID_BYTES];
    struct {
        ns_t sent_at;
        uint32_t nomination;  /* carried; 0: none */
        bool was_controlling; /* our role in it */
    } slots[CHECK_SLOTS];
    unsigned n_sent;    /* since the last answer */
    unsigned n_revived; /* times it was taken up again after failing */
    bool is_triggered;  /* by a request of the peer's: goes first */
    ns_t next_at;       /* next check; NS_NEVER: none */
    ns_t doubt_at;      /* first unanswered check since the last answer; 0: none */
    ns_t heard_at;      /* anything authentic */
    ns_t media_at;      /* media alone */
    ns_t answered_at;   /* a check: consent (RFC 7675) */
    ns_t avoid_until;   /* it let us down: no new choice before */
    unsigned n_let_down;
    ns_t rtt;
};

struct checklist {
    bool is_controlling, allow_loopback, is_relay_only;
    struct candidate locals[ICE_LOCALS_MAX], remotes[ICE_REMOTES_MAX];
    unsigned n_locals, n_remotes;
    bool base_leaves[ICE_BASES_MAX], remote_leaves[ICE_REMOTES_MAX]; /* will be gone soon: the last choice */
    struct pair pairs[CHECK_PAIRS_MAX];
    unsigned n_pairs;
    unsigned turn; /* who goes first next */
};

bool checklist_has_base(const struct checklist *l, uint8_t base);
bool checklist_base_is_relayed(const struct checklist *l, uint8_t base);
/* ERR_FULL, ERR_EXISTS, ERR_RANGE; then checklist_pair_all(). */
enum err checklist_add_local(struct checklist *l, const struct candidate *c);
/* ERR_REFUSED by class, ERR_FULL, ERR_EXISTS: the type and priority of a known address are brought up to date. */
enum err checklist_add_remote(struct checklist *l, const struct candidate *c);
/* Make the pairs that are not there yet. The caller draws ids for the new ones: those from the old n_pairs on. */
void checklist_pair_all(struct checklist *l);
void checklist_remove_base(struct checklist *l, uint8_t base);
void checklist_forget_remotes(struct checklist *l);
void checklist_set_role(struct checklist *l, bool is_controlling); /* priorities follow */
struct pair *checklist_find(struct checklist *l, uint8_t base, const struct addr *remote);
/* The pair that was asked by this id, and the slot of the check; NULL: none. */
struct pair *checklist_find_id(struct checklist *l, const uint8_t id[static STUN_ID_BYTES], unsigned *slot);
/* Whose check is due: triggered ones first, direct and relayed in turn, by priority. `but` is left out. */
struct pair *checklist_next(struct checklist *l, ns_t now, const struct pair *but);
ns_t checklist_deadline(const struct checklist *l, const struct pair *but);
/* The best valid pair, direct before relayed, then by priority; one that leaves, or is to be avoided, only when there
 * is no other.
 * fresh: heard at this moment or later; 0: any. */
struct pair *checklist_best(struct checklist *l, ns_t now, ns_t fresh, const struct pair *but);
/* Does the same relay (IP address) carry both pairs? */
bool checklist_shares_relay(const struct checklist *l, const struct pair *a, const struct pair *b);
/* One of its ends will be gone soon. */
bool checklist_leaves(const struct checklist *l, const struct pair *p);
/* When it was last asked; 0: never. */
ns_t pair_sent_last_at(const struct pair *p);
/* a is a better kind of pair than b, or the same kind with a higher priority. */
bool pair_is_better(const struct pair *a, const struct pair *b);

#endif
