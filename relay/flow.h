/* relay/flow.h - what somebody can pay at a relay, and by which way (LEDGER.md §6): bounded max-flow, pure.
 *
 * Accounts are edges: avail(v, u) is what v can still collect from u. To pay relay R, P spends an edge of its own
 * (R trusts or owes P: direct) or draws a cheque on somebody whom R can collect from and where P has credit. The
 * flow is consumed: whoever asks here books what it used before it asks again, so k identities behind one edge
 * share that edge.
 *
 *   in     edges by callback, members as numbers the owner chose
 *   out    one path for one payment
 *   caps   FLOW_TRIED common neighbours are weighed, FLOW_NEIGHBOURS are looked at */
#ifndef ITO_RELAY_FLOW_H
#define ITO_RELAY_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_TRIED      8
#define FLOW_NEIGHBOURS 64

enum flow_kind { FLOW_NONE, FLOW_DIRECT, FLOW_TWO_HOPS, FLOW_THREE_HOPS };

struct flow_edges {
    void *arg;
    /* avail_v(u): what v can collect from u. */
    double (*avail)(void *arg, uint32_t v, uint32_t u);
    /* May v be asked to clear a cheque now (it is online, no proof is known against it)? NULL: always. */
    bool (*can_clear)(void *arg, uint32_t v);
    /* Those whom v can collect from. Only for three hops; NULL: two at most. */
    size_t (*collectable)(void *arg, uint32_t v, uint32_t out[static FLOW_NEIGHBOURS]);
};

struct flow_path {
    enum flow_kind kind;
    uint32_t via[2]; /* the drawee; for three hops also the drawee's own, whom R collects from */
    double room_s;   /* the narrowest edge */
};

/* How `payer` can pay `want_s` to `relay`: directly, else over the widest of FLOW_TRIED common neighbours, else with
 * one more between. payable: those who would clear for the payer, in the order of the asker's liking (its own
 * accounts; shuffled, so that not everybody leans on the same ones). FLOW_NONE: not at all. */
enum flow_kind flow_find(const struct flow_edges *edges, uint32_t relay, uint32_t payer,
                         const uint32_t *payable, size_t n_payable, double want_s, struct flow_path *out);

#endif
