/* relay/allocation.h - the table of allocations: 5-tuple and relayed port to allocation; permissions, channels.
 *
 * The struct is open to relay/forward and relay/turn_server only. Looking up, refreshing and forwarding allocate
 * nothing; rows and their small arrays are made by requests.
 *
 *   owner  alloc_table_init() and alloc_table_fini(), by the TURN server
 *   caps   max rows, TURN_PERMISSIONS_MAX and TURN_CHANNELS_MAX a row */
#ifndef ITO_RELAY_ALLOCATION_H
#define ITO_RELAY_ALLOCATION_H

#include "base/heap.h"
#include "relay/bucket.h"
#include "relay/second.h"
#include "relay/turn_server.h"

enum { IP4 = 0, IP6 = 1, N_FAMILIES = 2 };

struct permission {
    struct addr ip; /* its port is not looked at */
    ns_t expires_at;
};

struct channel {
    struct addr peer;
    ns_t expires_at;
    uint16_t number;
};

/* What each packet looks at comes first. */
struct allocation {
    struct addr client;
    uint32_t next;             /* in the chain of its client's hash; NO_ROW: last */
    uint16_t port[N_FAMILIES]; /* relayed port, 0: not of this family */
    bool is_open[N_FAMILIES];  /* the owner holds a socket */
    uint8_t n_permissions, n_channels;
    struct permission *permissions;
    struct channel *channels;
    struct bucket rate[2]; /* of the grant: up, down */
    uint64_t up_packets, up_bytes, down_packets, down_bytes, lost;
    struct second second;
    ns_t last_at; /* in a second that counts */
    uint32_t seconds;
    uint32_t index, generation;
    uint32_t pair;          /* that the kernel carries: place + 1 (relay/offload.h) */
    struct heap_node timer; /* when the allocation ends */
    ns_t created_at;
    uint64_t ref;
    int32_t user; /* of the config; -1: ticket */
    uint8_t alloc_id[TURN_ID_BYTES];
    uint8_t key[16];        /* long-term key; another one is another user */
    uint8_t request_id[12]; /* transaction of the Allocate, to know it when it comes again */
    uint8_t reservation[8]; /* RESERVATION-TOKEN given out; zeros: none */
};

#define NO_ROW UINT32_MAX

struct table {
    struct allocation **rows;
    uint32_t n_rows, cap_rows, max_rows, n_used; /* n_rows: places ever used */
    uint32_t *free_rows;
    uint32_t n_free;
    uint32_t *chains; /* first row of each hash */
    uint32_t n_chains;
    uint32_t *by_port[N_FAMILIES]; /* row + 1 of port_min + i */
    uint16_t port_min, port_max;
    uint32_t generation;
    uint64_t seed;
    struct heap timers;
};

void alloc_table_init(struct table *t, uint32_t max_rows, uint16_t port_min, uint16_t port_max,
                      uint64_t seed);
void alloc_table_fini(struct table *t);
/* A fresh row for this client, without ports; NULL when max_rows are used. */
struct allocation *alloc_table_add(struct table *t, const struct addr *client);
void alloc_table_remove(struct table *t, struct allocation *a);
struct allocation *alloc_table_find(const struct table *t, const struct addr *client);
struct allocation *alloc_table_by_port(const struct table *t, int family, uint16_t port);
/* Give the row this relayed port; ERR_EXISTS when it is taken, ERR_RANGE when it is none of ours. */
enum err alloc_table_set_port(struct table *t, struct allocation *a, int family, uint16_t port);
void alloc_table_clear_port(struct table *t, struct allocation *a, int family);
struct allocation *alloc_table_at(const struct table *t, uint64_t id);

static inline uint64_t allocation_id(const struct allocation *a)
{
    return (uint64_t)a->generation << 32 | a->index;
}

static inline int family_index(const struct addr *a)
{
    return a->family == ADDR_V6 ? IP6 : IP4;
}

bool allocation_permits(const struct allocation *a, const struct addr *peer, ns_t now);
/* Room for one more permission, or the peer's own: would allocation_permit() succeed? */
bool allocation_has_room(const struct allocation *a, const struct addr *peer, ns_t now);
/* Install or refresh. ERR_FULL. */
enum err allocation_permit(struct allocation *a, const struct addr *peer, ns_t now);
struct channel *allocation_channel(const struct allocation *a, uint16_t number, ns_t now);
struct channel *allocation_channel_to(const struct allocation *a, const struct addr *peer, ns_t now);
/* Bind or refresh. ERR_EXISTS: the number or the peer is bound otherwise; ERR_FULL. */
enum err allocation_bind(struct allocation *a, uint16_t number, const struct addr *peer, ns_t now);
/* Something was forwarded: note the second, when it counts (relay/second.h). */
void allocation_note(struct allocation *a, ns_t now);

#endif
