/* io/flow_table.h - which flows may be passed on, shared by one thread that decides and several that look.
 *
 * A flow is what comes from one client on one channel; it goes on to another client on another channel. The decider
 * adds, lends and removes; a looker asks for each packet, and gets a copy of where it goes. Lookers take no lock: each
 * has an epoch, odd while it looks. What is removed is first made unfindable, and its place is used again only when
 * every looker that was looking then has left off: a few microseconds, unless it lost its core. Both sides are
 * sequentially consistent: either a looker sees that the flow is gone, or the decider sees that it is looking.
 *
 *   in     flows, how long and how many bytes each may carry
 *   out    where a packet goes; what each flow has carried
 *   owner  flow_table_create(); add, lend, count, remove by one thread, begin, take, end by a looker's own
 *   caps   max_flows; FLOW_LOOKERS_MAX */
#ifndef ITO_IO_FLOW_TABLE_H
#define ITO_IO_FLOW_TABLE_H

#include <netinet/in.h>

#include "base/env.h"

#define FLOW_LOOKERS_MAX 15

struct flow_table;

/* Where a packet goes: its channel there, its address as the socket wants it. */
struct flow_way {
    struct sockaddr_in6 to; /* or a sockaddr_in in its place */
    socklen_t to_len;
    uint16_t channel;
};

struct flow_count {
    uint64_t packets, bytes; /* payload */
};

struct flow_table *flow_table_create(size_t max_flows, const uint64_t mix[static 3]);
void flow_table_destroy(struct flow_table *t); /* accepts NULL; nobody looks any more */

/* A flow from `from` on `channel`; it carries nothing before it is lent. 0: no place, or there is one already. */
uint32_t flow_table_add(struct flow_table *t, const struct addr *from, uint16_t channel,
                        const struct flow_way *way);
/* It may go on until `until`, and carry so many bytes since its beginning. */
void flow_table_lend(struct flow_table *t, uint32_t flow, ns_t until, uint64_t allowed_bytes);
struct flow_count flow_table_count(const struct flow_table *t, uint32_t flow);
/* From here on nobody takes it; the count is final. */
struct flow_count flow_table_remove(struct flow_table *t, uint32_t flow);

enum flow_answer {
    FLOW_UNKNOWN, /* none of that name */
    FLOW_REFUSED, /* known, but its time or its bytes are used up */
    FLOW_TAKEN    /* counted; way says where it goes */
};

/* A looker's turn: what it takes between the two is of flows that are there. */
void flow_table_begin(struct flow_table *t, unsigned looker);
void flow_table_end(struct flow_table *t, unsigned looker);
enum flow_answer flow_table_take(struct flow_table *t, ns_t now, const struct addr *from, uint16_t channel,
                                 size_t bytes, struct flow_way *way);

#endif
