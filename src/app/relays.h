/* app/relays.h - the relays we use: found in the overlay, registered with as proxies, asked for allocations.
 *
 * A few links are held: a session of class node with our account there, renewed when it is lost. Each link gives a
 * knock token for our records, and allocations for calls. Where no relay is known, full zone nodes serve as
 * proxies: they carry knocks, no sound (THREATS.md §4.8).
 *
 *   known relay ──session──▶ link ──REGISTER──▶ proxy (token)      ──ALLOCATE──▶ ticket ──TURN──▶ allocation
 *
 *   in     adverts of the overlay, sessions' events (the owner routes them by session_user), packets of relays
 *   out    ops
 *   owner  relays_create(); all that config points to outlives it
 *   trust  an advert is hearsay until the session proved the relay's key
 *   caps   RELAYS_KNOWN, RELAYS_LINKS, RELAYS_ALLOCS */
#ifndef ITO_APP_RELAYS_H
#define ITO_APP_RELAYS_H

#include "base/path.h"
#include "crypto/item.h"
#include "crypto/session.h"
#include "dht/dht.h"
#include "relay/ledger_db.h"

#define RELAYS_KNOWN 32
#define RELAYS_LINKS 4
#define RELAYS_WANTED \
    2 /* proxies held; one more while there are allocations, to stand by for the two of a call */
#define RELAYS_ALLOCS 16

struct relays;

struct relays_config {
    uint8_t zone_id[8];
    uint8_t own_node[32]; /* N of this phone's own node: never its own proxy from outside */
    uint8_t acct_seed[32];
    const uint8_t *node_seed; /* set when we relay ourselves: the open account; else NULL */
    struct sessions *sessions;
    struct dht *dht;
    struct ledger_db *db;
    uint32_t generation; /* of knock tokens: rises when somebody who knew them is removed, for good */
    int min_score;
    bool allow_nodes; /* full zone nodes as proxies when no relay answers */
};

struct relays_ops {
    void *arg;
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    /* Our proxies or tokens changed: publish. */
    void (*changed)(void *arg, ns_t now);
    /* A knock frame for us through link `slot`. */
    void (*knock)(void *arg, ns_t now, uint16_t slot, uint32_t flow, struct slice body);
    /* Allocation `slot` is up, or gone (also when it never came up: slot is then the one given out). */
    void (*alloc_ready)(void *arg, ns_t now, uint16_t slot, const struct addr *relayed,
                        const struct addr *mapped);
    void (*alloc_gone)(void *arg, ns_t now, uint16_t slot);
    /* The relay of allocation `slot` asks to move; end_at: it stops then, NS_NEVER: not yet. */
    void (*alloc_leaving)(void *arg, ns_t now, uint16_t slot, ns_t end_at);
    void (*alloc_data)(void *arg, ns_t now, uint16_t slot, const struct addr *from, struct slice bytes);
    /* As a relay we hold a cheque on `drawee`, whom a link reaches now: which? False: none. May be NULL. */
    bool (*waiting)(void *arg, const uint8_t drawee[static 32], struct cheque *out);
    /* What the drawee said of it (relay/service: service_cleared). May be NULL with `waiting`. */
    void (*cleared)(void *arg, ns_t now, const struct cleared *answer, const struct cheque *other);
    /* We are about to end this session; no closed event follows. */
    void (*closing)(void *arg, ns_t now, struct session *s);
    /* A message of link `slot` on CARE_CHAN (relay/care_wire.h). */
    void (*care)(void *arg, ns_t now, uint16_t slot, struct slice msg);
    /* Link `slot` is about to be given up for a better one: the last moment to say something there. */
    void (*leaving)(void *arg, ns_t now, uint16_t slot);
};

/* Who is at the other end of a link. */
struct relays_link {
    uint8_t node[32];
    bool is_up, is_relay;
    ns_t up_at;
};

/* One line of the relays list (UX.md §6). */
struct relays_row {
    uint8_t node[32];
    struct addr addr;
    int score; /* -1: not shown yet */
    double answered;
    double rtt_ms;    /* negative: unknown */
    uint64_t bytes;   /* carried for us */
    const char *role; /* "active", "standby", "known", "proxy" */
    int load_pct;     /* by its advert, or its last answer */
    int admission;    /* enum ledger_class of the last allocation there; negative: none yet */
    bool is_refusing; /* it said no, and not to ask again for a while */
    double credit_s;  /* what it owes us */
    size_t n_heard;   /* contacts who told how it served them */
};

struct relays *relays_create(const struct relays_config *config, const struct relays_ops *ops,
                             const struct env *env);
void relays_destroy(struct relays *r, ns_t now); /* gives allocations back */
void relays_tick(struct relays *r, ns_t now);
ns_t relays_deadline(const struct relays *r);
/* A packet from a relay's address: STUN or ChannelData of an allocation of ours. */
bool relays_is_server(const struct relays *r, const struct addr *from);
bool relays_input(struct relays *r, ns_t now, const struct addr *from, struct slice bytes);

/* Session events: up for those whose session_user() relays_owns(), the others for those that relays_uses(). */
bool relays_owns(const struct relays *r, const void *session_user);
/* A link goes by this session, whoever opened it: two relays have one. */
bool relays_uses(const struct relays *r, const struct session *s);
void relays_session_up(struct relays *r, ns_t now, struct session *s);
void relays_session_message(struct relays *r, ns_t now, struct session *s, uint8_t chan, struct slice msg);
void relays_session_down(struct relays *r, ns_t now, struct session *s);

/* Our proxies as they go into records; returns how many. */
size_t relays_proxies(const struct relays *r, struct relay_entry *out, size_t max);
/* Link `slot` as it is now; .is_up false: nobody. */
void relays_link(const struct relays *r, uint16_t slot, struct relays_link *out);
void relays_link_send(struct relays *r, ns_t now, uint16_t slot, uint8_t chan, struct slice msg);
bool relays_is_linked_to(const struct relays *r, const uint8_t node[static 32]);
/* Is this address one of our linked relays? Then knocks to it go straight, not through its own allocation. */
bool relays_is_linked(const struct relays *r, const struct addr *addr);
void relays_knock_reply(struct relays *r, ns_t now, uint16_t slot, uint32_t flow, struct slice body);
/* New tokens everywhere: a contact was removed. */
void relays_renew_tokens(struct relays *r, ns_t now, uint32_t generation);
/* Ask the best relay for an allocation; the slot is ours until relays_release(). Not at the relay of our allocation
 * `other` (negative: any), and not at the addresses in `avoid` while there is another; with must_avoid not even then.
 * Negative when there is none. */
int relays_allocate(struct relays *r, ns_t now, int other, const struct addr *avoid, size_t n_avoid,
                    bool must_avoid);
/* Nothing comes by an allocation: those who do not answer within DOUBT_NS are dropped as if their session had ended. */
void relays_doubt(struct relays *r, ns_t now);
/* While allocations are up each link is asked every 2 s whether it is there. What all of them lose, 0..1, our own line
 * loses; 0 with less than two links. */
double relays_line_loss(const struct relays *r);
/* A call heard for an interval by that allocation: 0..1 lost both ways, jitter. What the other links lost of late is our
 * own line's and not held against it. */
void relays_judge(struct relays *r, ns_t now, uint16_t slot, double loss, double jitter_ms);
void relays_release(struct relays *r, ns_t now, uint16_t slot);
enum err relays_alloc_send(struct relays *r, ns_t now, uint16_t slot, const struct addr *to,
                           struct slice bytes);
/* N of the relay an allocation is at; NULL when the slot is free. */
const uint8_t *relays_alloc_node(const struct relays *r, uint16_t slot);
bool relays_alloc_is_up(const struct relays *r, uint16_t slot, struct addr *relayed, struct addr *mapped);
/* N of a known relay at that IP address, ours or the other side's; NULL when it is none we know. */
const uint8_t *relays_at(const struct relays *r, const struct addr *ip);
/* Is there a relay that carries sound (not merely knocks)? */
bool relays_has_relay(const struct relays *r);
/* A cheque on that relay came: present it if a link reaches its drawee; else it is presented when one does. */
void relays_present(struct relays *r, ns_t now, const struct cheque *c);
/* Our key at that relay; its seed, too, unless NULL. */
void relays_account(const struct relays *r, const uint8_t node[static 32], uint8_t pub[static 32],
                    uint8_t *seed);
size_t relays_rows(struct relays *r, struct relays_row *out, size_t max);
int relays_score(struct relays *r, const uint8_t node[static 32]);
/* A relay told by a person, a contact or a cache: N and address. What it refused before is forgotten. */
void relays_add_known(struct relays *r, ns_t now, const uint8_t node[static 32], const struct addr *addr);
void relays_never(struct relays *r, const uint8_t (*nodes)[32],
                  size_t n); /* these too: relays.never, copied */
void relays_network_changed(struct relays *r, ns_t now);
/* Somebody answers again after a time when nobody did: that relays did not is not held against them. */
void relays_network_back(struct relays *r, ns_t now);

#endif
