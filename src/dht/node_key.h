/* dht/node_key.h - what makes a message of a zone authentic: our node key, pairs, cookies (THREATS.md §4.13).
 *
 * The first messages between two nodes are signed. Whoever has verified a signature keeps the pair: the key of
 * `mac`, and the address the peer has proven. From then on both use `mac`. A pair pushed out of the cache costs one
 * round trip and one signature. Signatures of strangers are verified only under a valid cookie or voucher (krpc.h).
 * In a closed zone every message brings the member certificate of its sender, and without one nothing opens; the pair
 * keeps which one was verified, and until when it is good.
 *
 *   in     packets and what krpc_parse() made of them
 *   out    sealed packets; "this was said by N, whose id is ..."
 *   owner  the node; node_key_fini() wipes the secrets
 *   trust  node_open_*() is the only place where a message of a zone becomes more than hearsay
 *   caps   max_pairs pairs; the one used longest ago gives way */
#ifndef ITO_DHT_NODE_KEY_H
#define ITO_DHT_NODE_KEY_H

#include "base/env.h"
#include "crypto/identity.h"
#include "crypto/zone.h"
#include "dht/book.h"
#include "dht/krpc.h"

#define NODE_PAIRS     512
#define NODE_PROVEN_NS (7200 * NS_PER_S) /* an address stays proven this long: items come again each hour */
#define NODE_COOKIE_NS (120 * NS_PER_S)  /* a cookie secret's time; the one before it is still good */

/* Real cryptography, or the simulator's keyed hashes. */
struct node_ops {
    /* Id of N; ERR_AUTH: the puzzle is not solved. */
    enum err (*id)(const uint8_t zone[8], const uint8_t N[32], const uint8_t nonce[8], uint8_t id[20]);
    void (*sign)(const struct sign_key *own, const uint8_t zone[8], const uint8_t receiver[20],
                 struct slice message, uint8_t sig[64]);
    enum err (*verify)(const uint8_t N[32], const uint8_t zone[8], const uint8_t receiver[20],
                       struct slice message, const uint8_t sig[64]);
    /* Key of `mac`; refuses an N that is no valid point. */
    enum err (*pair)(const struct sign_key *own, const uint8_t N[32], uint8_t key[32]);
    void (*mac)(const uint8_t key[32], const uint8_t zone[8], const uint8_t receiver[20],
                struct slice message, uint8_t mac[16]);
    /* BEP 44 */
    enum err (*item)(const uint8_t k[32], struct slice salt, int64_t seq, struct slice v_bencoded,
                     const uint8_t sig[64]);
    bool is_cheap; /* pair() costs nothing: its keys are made anew instead of kept */
};

extern const struct node_ops node_ops_real;

/* 16 bytes; N, id, puzzle nonce and the address where it last proved to be are in the book. */
struct pair {
    uint32_t tag; /* they are sorted by it */
    uint32_t who;
    uint32_t proven_s; /* moment of that proof, monotonic seconds + 1; 0: never */
    uint16_t used_at;  /* in units of 8 s */
    bool knows_us;     /* it has seen a signature of ours: mac will do */
};

/* The certificate of a pair: its last day, and enough of its signature to know it again. */
struct pair_member {
    uint32_t until_day;
    uint8_t sig[12];
};

/* What makes a zone closed (THREATS.md §4.13). */
struct node_members {
    uint8_t zone_key[KEY_BYTES]; /* Z */
    uint8_t cert[MEMBER_CERT_BYTES];
    uint32_t until_day;     /* of our own */
    uint32_t day;           /* today */
    struct pair_member *of; /* the pairs, in their order */
};

struct node_key {
    const struct env *env;
    const struct node_ops *ops;
    struct sign_key sign;
    uint8_t zone[8], nonce[8], id[ID_BYTES];
    uint8_t cookie_secret[2][32];
    ns_t cookie_at;
    uint64_t tag_secret; /* nobody can aim at one tag */
    struct book *book;
    uint16_t n_pairs, cap_pairs, max_pairs;
    struct pair *pairs;
    uint8_t (*keys)[32];          /* of the pairs, in their order; NULL when ops->is_cheap */
    struct node_members *members; /* NULL: an open zone */
};

/* ERR_AUTH when nonce does not solve the puzzle. max_pairs 0: NODE_PAIRS. The book is borrowed. */
enum err node_key_init(struct node_key *nk, const uint8_t zone[static 8], const uint8_t seed[static 32],
                       const uint8_t nonce[static 8], const struct node_ops *ops, unsigned max_pairs,
                       struct book *book, const struct env *env);
void node_key_fini(struct node_key *nk);
/* From now on only members are heard, and our certificate goes with every message: before the first pair, or to put a
 * new certificate in the place of ours. ERR_AUTH: Z has not signed it for our N in this zone; its last day is not
 * looked at, the others do that. */
enum err node_key_close(struct node_key *nk, const uint8_t zone_key[static KEY_BYTES],
                        const uint8_t cert[static MEMBER_CERT_BYTES]);
/* Today, by T_z; but never later than the last day of our own certificate: then our clock is wrong, and the others'
 * tell by how much, or we are no member any more, and nobody answers. */
void node_key_date(struct node_key *nk, int64_t wall_ms);
/* Is the sender that m names a member? ERR_OK also in an open zone; ERR_AUTH; ERR_LATE. That it is that sender who
 * speaks is not looked at. */
enum err node_member(const struct node_key *nk, const struct krpc_msg *m);
/* The same where no signature has to be verified for it: the pair was made with this very certificate. */
bool node_member_known(const struct node_key *nk, const struct krpc_msg *m);

/* The pair of N, or NULL. Valid until the next node_open_any(). */
struct pair *node_pair(const struct node_key *nk, const uint8_t N[static 32]);
static inline uint32_t node_pairs(const struct node_key *nk)
{
    return nk->n_pairs;
}
static inline const struct contact *pair_contact(const struct node_key *nk, const struct pair *p)
{
    return book_at(nk->book, p->who);
}
/* As if it had just signed for us; kept once. For those who have met before, as far as a simulation is concerned. NULL:
 * its key is no valid point. */
struct pair *pair_keep(struct node_key *nk, ns_t now, const struct contact *c);
/* It has just proven to be at that address. */
void pair_prove(struct node_key *nk, ns_t now, struct pair *p, const struct addr *a);
/* Somebody vouches for that: no proof. */
void pair_believe(struct node_key *nk, struct pair *p, const struct addr *a);
/* Its proof is younger than that. */
bool pair_is_proven(const struct pair *p, ns_t now, ns_t age);

/* Fill in k, m, p, ts, z and sign (pair NULL) or mac, into buf. receiver NULL: unknown, zeros. Empty: does not fit. */
struct slice node_seal(const struct node_key *nk, struct krpc_msg *m, const uint8_t *receiver,
                       const struct pair *pair, uint8_t *buf, size_t size);

/* A mac from a pair we hold. ERR_NOT_FOUND: no pair; ERR_AUTH; else *out is the sender, used at now. */
enum err node_open_mac(struct node_key *nk, ns_t now, struct slice packet, const struct krpc_msg *m,
                       struct pair **out);
/* In a closed zone all of them also refuse (ERR_AUTH, ERR_LATE) who is no member.
 * A signature, or a mac under a pair made for it (answers only: an X25519 for strangers is what cookies are against).
 * Checks puzzle, sender's id in a or r, and the signature for us or (queries) for an unknown receiver. */
enum err node_open_any(struct node_key *nk, ns_t now, struct slice packet, const struct krpc_msg *m,
                       struct pair **out);

void node_cookie(struct node_key *nk, ns_t now, const struct addr *a, uint8_t out[static KRPC_COOKIE]);
bool node_cookie_ok(struct node_key *nk, ns_t now, const struct addr *a, struct slice cookie);

/* What tells the node of pair p that N is at a: a voucher of ours (krpc.h). */
void node_vouch(const struct node_key *nk, const struct pair *p, int64_t wall_ms, const uint8_t N[static 32],
                const struct addr *a, uint8_t out[static KRPC_ZV]);
/* Who vouches for N at a; NULL: nobody we know, or long ago. */
struct pair *node_voucher(const struct node_key *nk, int64_t wall_ms, const uint8_t N[static 32],
                          const struct addr *a, struct slice voucher);

#endif
