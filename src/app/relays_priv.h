/* app/relays_priv.h - the relays we know, our links to some, our allocations there: for relays.c and relays_alloc.c. */
#ifndef ITO_APP_RELAYS_PRIV_H
#define ITO_APP_RELAYS_PRIV_H

#include "app/relays.h"
#include "crypto/zone.h"
#include "nat/turn_client.h"
#include "relay/client.h"

#define NEVER_MAX 256

/* What an advert, a cache or a person told. */
struct known {
    bool is_used, is_node; /* is_node: a full zone node, carries knocks only */
    uint8_t node[32];
    struct addr addr;
    uint8_t load_pct;
    int admission; /* of the last allocation; negative: none */
    ns_t refused_until;
    ns_t rtt; /* 0: unknown */
    unsigned failures;
    ns_t not_before;
    uint64_t bytes;
};

struct link {
    struct relays *owner;
    struct known *known; /* NULL: free */
    uint16_t slot;
    struct session *session;
    bool was_node;           /* when it came up; its advert may say more */
    bool is_up, is_borrowed; /* is_borrowed: the other side opened the session, or an errand did */
    ns_t opened_at, up_at, ping_at, doubt_at; /* doubt_at: asked then whether it is there; 0: no doubt */
    ns_t leaving_until;                       /* it asked us to move: for new work another one */
    ns_t busy_until;                          /* it refused: not asked again before */
    ns_t fund_at;                             /* when it is looked whether we can pay there */
    ns_t probe_at;                            /* during calls: when it is asked next whether it is there */
    double unheard;                           /* of these, 0..1, of late */
    struct relay_client *client;
    bool has_token;
    uint8_t token[KNOCK_TOKEN_BYTES];
};

struct alloc {
    struct relays *owner;
    uint16_t slot;
    struct link *link; /* NULL: free */
    uint32_t request;  /* at the relay client; 0 when answered */
    bool has_ticket, is_up, is_gone;
    uint8_t alloc_id[8];
    struct turn *turn;
};

struct relays {
    struct relays_config config;
    struct relays_ops ops;
    const struct env *env;
    struct known known[RELAYS_KNOWN];
    struct link links[RELAYS_LINKS];
    struct alloc allocs[RELAYS_ALLOCS];
    uint8_t never[NEVER_MAX][32];
    size_t n_never;
    ns_t started_at, search_at, step_at;
    unsigned n_searching;
    uint32_t generation;
    ns_t now;
};

/* For new work another one: it asked us to move, or was busy. */
bool link_is_away(const struct link *l, ns_t now);
/* While calls run: is it there? Tells our own line's losses from those of the relay a call goes by. */
void link_probe(struct link *l, ns_t now);
/* It was worse than a new one is believed to be. */
bool link_is_poor(const struct link *l);

#endif
