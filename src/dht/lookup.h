/* dht/lookup.h - one iterative lookup towards a key (BEP 5), over 1 to 8 disjoint paths (S/Kademlia).
 *
 * Asks the closest nodes it knows of, alpha at a time; ends when the k closest that live have answered. It sends
 * nothing itself: the owner sends what lookup_next() names, and reports what came of it. A contact belongs to the path
 * that named it first; each path ends by itself. When what was found is not to be trusted (lookup_is_sparse, or nothing
 * found where something should be) the owner relaunches: other paths, from other first contacts, which ask nobody twice;
 * what all paths found counts together. Whom an old path named and never asked, a new one may name for itself.
 *
 *   NEW ──asked──▶ ASKED ──answer──▶ ANSWERED
 *                   │  ▲    ▲           ▲
 *                  late│ retry (≤ 2, while few have answered)
 *                   ▼  │                │
 *                  LATE ──late answer───┘       LATE, ASKED ──dead──▶ FAILED
 *
 *   in     a key, first contacts from table_closest(), contacts named in answers
 *   out    whom to ask next; at the end the contacts that answered, by XOR distance
 *   owner  the caller of lookup_create(); everything given is copied
 *   trust  contacts are hearsay: at most LOOKUP_PER_NET from one /24 or /48 of global addresses are asked
 *   caps   LOOKUP_CANDIDATES or LOOKUP_PATH_NEW contacts that wait, a path; LOOKUP_NODES in all */
#ifndef ITO_DHT_LOOKUP_H
#define ITO_DHT_LOOKUP_H

#include "dht/krpc.h"
#include "dht/table.h"

#define LOOKUP_CANDIDATES 64 /* contacts not asked yet of a lookup with one path */
#define LOOKUP_PATH_NEW   32 /* of each path, when there are more */
#define LOOKUP_FREE_NEW   16 /* and of those with free ids, where these matter */
#define LOOKUP_PATHS_MAX  8  /* at one time */
#define LOOKUP_NODES      640
#define LOOKUP_ALPHA      5
#define LOOKUP_ALPHA_MORE 3  /* of each path begun anew */
#define LOOKUP_ALPHA_SURE 10 /* while a value was found, and may be an old one: see lookup_check() */
#define LOOKUP_PER_NAMER  3  /* then, of those whom one node named first */
#define LOOKUP_PER_NET    6
#define LOOKUP_TOKEN_MAX  32
#define LOOKUP_TRIES      3
#define LOOKUP_K_MORE     14 /* nearest of each path begun anew; the k of all count together */
#define LOOKUP_FEW        8  /* while fewer have answered, those that were late are asked again */

enum lookup_state { LOOKUP_NEW, LOOKUP_ASKED, LOOKUP_LATE, LOOKUP_ANSWERED, LOOKUP_FAILED, LOOKUP_SKIPPED };

struct lookup_node {
    uint8_t state, tries, path; /* what is looked at most stands first, with the id */
    uint8_t token_len;
    uint16_t namer;  /* who named it first: 2 bytes of its id; 0: it was in our table */
    bool is_written; /* the owner's: a write was sent to it */
    bool has_ours;   /* the owner's: it holds the value we put */
    bool is_free;    /* its id does not follow from its address, as far as we look at that */
    bool is_vouched; /* by who named it: it need not prove our address with a cookie */
    struct contact c;
    uint8_t token[LOOKUP_TOKEN_MAX], voucher[KRPC_VOUCHER];
};

struct lookup {
    uint8_t target[ID_BYTES], own[ID_BYTES];
    uint8_t k, n_paths, alpha;
    uint8_t first_path; /* paths before it have ended */
    bool is_checking;
    double reach; /* then */
    uint8_t
        free_max; /* mainline: so many of the k nearest may have ids chosen at will (BEP 42), while others can be asked;
                         0: any */
    uint16_t n, cap;
    struct lookup_node *nodes; /* by distance, nearest first */
};

/* alpha: queries in flight, shared by the paths (at least one each). */
struct lookup *lookup_create(const uint8_t target[static ID_BYTES], const uint8_t own[static ID_BYTES],
                             unsigned k, unsigned n_paths, unsigned alpha);
void lookup_destroy(struct lookup *l);
/* One more contact. path: of the node that named it; a first contact: first_path + any number. Our own id, ids that
 * belong to another path, and what is farther than all of a full path are dropped: false. */
bool lookup_add(struct lookup *l, const struct contact *c, unsigned path);
/* Who named it first. */
void lookup_name(struct lookup_node *n, const uint8_t by[static ID_BYTES]);
/* Something was found, of which a newer one may exist that who gave it hides: from now on more are asked at a time, and
 * few of those that any one of them names, and nobody farther from the target than `reach` (a share of the id space), where
 * nobody stores it. */
void lookup_check(struct lookup *l, double reach);
/* What by (N) gave with the name of a contact (krpc.h, zv); zeros are nothing. */
void lookup_vouch(struct lookup_node *n, const uint8_t by[static 32], const uint8_t voucher[static KRPC_ZV]);
/* All paths end; n_paths others begin, without first contacts: lookup_add() them. */
void lookup_relaunch(struct lookup *l, unsigned n_paths);
struct lookup_node *lookup_find(struct lookup *l, const uint8_t id[static ID_BYTES]);
/* Whom to ask now (mark it with lookup_asked); NULL: nobody until something happens. */
struct lookup_node *lookup_next(struct lookup *l);
/* The same whatever is in flight, but only one of the k nearest in play, at most so far (a share of the id space) from
 * the target. */
struct lookup_node *lookup_next_near(struct lookup *l, double distance);
void lookup_asked(struct lookup_node *n);
void lookup_late(struct lookup_node *n);
void lookup_failed(struct lookup_node *n);
/* token may be empty, and is dropped when longer than LOOKUP_TOKEN_MAX. */
void lookup_answered(struct lookup_node *n, struct slice token);
/* Nothing is in flight that could matter and nobody is left to ask. */
bool lookup_is_done(struct lookup *l);
/* Those that answered, nearest first, at most n. */
size_t lookup_closest(struct lookup *l, struct lookup_node **out, size_t n);
unsigned lookup_answers(const struct lookup *l);
/* The density check: the k nearest that answered reach farther than 1.6 times what a zone of `size` nodes would
 * need. False when the zone is too small, or too few answered, to say. */
bool lookup_is_sparse(struct lookup *l, double size);
/* Of a hundred nodes whose fate is known, how many answered; 100 when none is. */
unsigned lookup_alive_pct(const struct lookup *l);

#endif
