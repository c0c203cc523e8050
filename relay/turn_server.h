/* relay/turn_server.h - TURN server (RFC 8656), sans I/O: requests in, answers and packets out.
 *
 * Clients come by UDP, or by a TCP or TLS connection, which has an address with ADDR_STREAM of its own: the owner
 * cuts and makes the frames. Relayed addresses are UDP.
 *
 * Answers Binding, Allocate, Refresh, CreatePermission, ChannelBind; forwards Send and ChannelData. The inner
 * path comes first: a peer that is one of our own relayed addresses gets its packet without a socket. A socket
 * for a relayed port is asked for only when a peer outside is permitted (open_port).
 *
 *   in     datagrams at our main port (STUN 0-3, ChannelData 64-79), datagrams at opened ports
 *   out    ops->send from the main port, ops->port_send from an opened one, ops->ended with the counters
 *   owner  turn_server_create(); the config is copied; ops and env must outlive it. ops must not destroy it
 *   trust  long-term credentials (RFC 8489 §9.2): users of the config, or a ticket of relay/service, which is
 *          checked by one keyed hash. Peers: never loopback, link-local, private, multicast or this relay
 *          itself, unless allow_local; the class is looked up through 6to4, Teredo and NAT64 forms
 *   caps   max_allocations, max_per_user, TURN_PERMISSIONS_MAX and TURN_CHANNELS_MAX an allocation,
 *          max_kbps for all, the rate of the grant, TURN_RESERVATIONS_MAX reserved ports; an answer to an
 *          unproven address is not larger than its request unless is_ordinary */
#ifndef ITO_RELAY_TURN_SERVER_H
#define ITO_RELAY_TURN_SERVER_H

#include "base/cursor.h"
#include "crypto/zone.h"
#include "relay/offload.h"

#define TURN_PERMISSIONS_MAX  16 /* an allocation; more: 508 */
#define TURN_CHANNELS_MAX     16
#define TURN_ALLOCATIONS_MAX  131072
#define TURN_RESERVATIONS_MAX 64   /* EVEN-PORT with its R bit */
#define TURN_DATAGRAM_MAX     1600 /* longer packets are dropped and counted */
#define TURN_LIFETIME_S       600  /* RFC 8656 §3.2 */
#define TURN_LIFETIME_MAX_S   3600
#define TURN_PERMISSION_S     300 /* RFC 8656 §9 */
#define TURN_CHANNEL_S        600 /* RFC 8656 §12 */
#define TURN_NONCE_S          3600
#define TURN_REALM_MAX        64 /* bytes */

/* Channels are 0x4000-0x4fff (RFC 8656 §12). coturn's client, like all of RFC 5766, draws them up to 0x7fff: these
 * are taken too. */
#define TURN_CHANNEL_FIRST 0x4000
#define TURN_CHANNEL_LAST  0x7fff

struct turn_server;

struct turn_user {
    const char *name, *password;
};

struct turn_server_config {
    const char *realm;             /* NULL: "ito" */
    struct addr external[2];       /* IPv4 and IPv6: where the world reaches our main port; ADDR_NONE: none */
    uint16_t port_min, port_max;   /* relayed ports */
    const struct turn_user *users; /* relay.turn_users: ordinary TURN clients */
    size_t n_users;
    const uint8_t *secret;    /* 32 bytes: tickets, nonces */
    bool allow_local;         /* relay.allow_local */
    bool hairpin_only;        /* relay.hairpin_only: 403 for every peer outside */
    bool is_ordinary;         /* answer as RFC 8489 does even if the answer is larger than the request */
    uint32_t max_allocations; /* 1..TURN_ALLOCATIONS_MAX */
    uint32_t max_per_user;    /* users of the config; a ticket is good for two */
    uint32_t max_kbps;        /* all that is forwarded, payload; 0: no limit */
    const struct offload_ops *offload; /* who carries calls past us; NULL: nobody */
    void *offload_arg;
};

/* What a valid ticket is granted; filled by ops->admit. */
struct turn_grant {
    uint32_t max_kbps; /* each way; 0: no limit of its own */
    uint64_t ref;      /* the owner's name for it, given back in turn_usage */
};

/* Counters of one allocation. "up" is from the client to its peers, "down" the reverse; payload bytes. */
struct turn_usage {
    uint64_t id, ref; /* id: for turn_server_usage() and turn_server_close() */
    uint64_t up_packets, up_bytes, down_packets, down_bytes;
    uint64_t lost;    /* packets dropped here for a rate cap or for want of a port */
    uint32_t seconds; /* in which at least one packet was forwarded */
    ns_t created_at, last_at;
    struct addr client, relayed[2];
};

struct turn_server_ops {
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    /* Bind UDP port `port` of the family's external address; its packets come back with this handle by
     * turn_server_port_input(). NULL ops: as hairpin_only. */
    enum err (*open_port)(void *arg, uint8_t family, uint16_t port, uint32_t handle);
    void (*port_send)(void *arg, uint32_t handle, const struct addr *to, struct slice bytes);
    void (*close_port)(void *arg, uint32_t handle);
    /* May the ticket alloc_id (NULL: a user of the config) have an allocation now? NULL op: yes. */
    bool (*admit)(void *arg, ns_t now, const uint8_t *alloc_id, struct turn_grant *grant);
    /* Has whoever is at this address answered from there before (a session)? Then answers may be larger than its
     * request. NULL op: no. Those with an allocation have anyway. */
    bool (*is_proven)(void *arg, const struct addr *from);
    /* An allocation began or is gone, with its last counters. May be NULL. */
    void (*began)(void *arg, ns_t now, const struct turn_usage *usage);
    void (*ended)(void *arg, ns_t now, const struct turn_usage *usage);
    /* A packet from relayed address `from` to our own main port (a knock by way of this very relay). NULL: such
     * peers are refused. Answers go back by turn_server_inside(). */
    void (*own_input)(void *arg, ns_t now, const struct addr *from, struct slice bytes);
};

struct turn_server_stats {
    uint32_t allocations, ports_open;
    uint64_t bytes_in;       /* payload that a channel or permission let in; is bytes + bytes_lost */
    uint64_t packets, bytes; /* forwarded; a packet of the inner path counts once */
    uint64_t
        bytes_lost; /* of lost_rate, lost_port, lost_queue, and of no_permission at the other end of the inner path */
    uint64_t wire_bytes;    /* in and out with IP and UDP headers, as a provider bills */
    uint64_t hairpins;      /* packets of the inner path */
    uint64_t offloaded;     /* of these, carried by the kernel or by threads (relay/offload.h) */
    uint32_t offload_pairs; /* calls they carry now */
    uint64_t lost_rate;     /* dropped: max_kbps, or a grant's rate */
    uint64_t lost_port;     /* dropped: no socket */
    uint64_t lost_queue;    /* dropped: a queue of a thread's was full (relay.workers) */
    uint64_t no_permission; /* dropped: RFC 8656 §9 */
    uint64_t malformed, unknown_channel, too_large;
    uint64_t requests, errors_401, errors_403, errors_437, errors_438, errors_441, errors_486, errors_508;
    uint64_t unamplified; /* answers not sent since larger than the request */
};

struct turn_server *turn_server_create(const struct turn_server_config *config,
                                       const struct turn_server_ops *ops, void *arg, const struct env *env);
void turn_server_destroy(struct turn_server *ts); /* accepts NULL; closes ports, calls ended for each */
/* One datagram at the main port: STUN (first byte 0-3) or ChannelData (64-127). */
void turn_server_input(struct turn_server *ts, ns_t now, const struct addr *from, struct slice bytes);
/* The same for ChannelData of a channel that its sender bound, without a copy: true when it was that, and is done
 * with. bytes may be written, as may FORWARD_HEAD before and FORWARD_TAIL behind them (relay/forward.h). */
bool turn_server_fast(struct turn_server *ts, ns_t now, const struct addr *from, uint8_t *bytes, size_t len);
/* Does this datagram belong to a channel that its sender bound? On a shared port the question for a first byte of
 * 100, which is also that of KRPC. */
bool turn_server_has_channel(const struct turn_server *ts, ns_t now, const struct addr *from,
                             struct slice bytes);
/* One datagram at an opened port. */
void turn_server_port_input(struct turn_server *ts, ns_t now, uint32_t handle, const struct addr *from,
                            struct slice bytes);
/* The same without a copy, as turn_server_fast(). */
void turn_server_port_fast(struct turn_server *ts, ns_t now, uint32_t handle, const struct addr *from,
                           uint8_t *bytes, size_t len);
/* Deliver bytes inside when `to` is one of our relayed addresses; false when it is not. */
bool turn_server_inside(struct turn_server *ts, ns_t now, const struct addr *from, const struct addr *to,
                        struct slice bytes);
void turn_server_tick(struct turn_server *ts, ns_t now);
ns_t turn_server_deadline(const struct turn_server *ts);

/* All allocations, with keys and counters, for the process that takes our place on this machine (turn_state.c): at
 * most state_max bytes. restore: into a fresh server; began() comes for each. ERR_PARSE: not all of it was read. */
size_t turn_server_state_max(const struct turn_server *ts);
void turn_server_save(struct turn_server *ts, ns_t now,
                      struct wr *w); /* takes back what the kernel carries */
enum err turn_server_restore(struct turn_server *ts, ns_t now, struct rd *r);

/* Credentials of a ticket (THREATS.md §4.12), good until expiry_s (seconds since 1970); texts end in NUL. The
 * nonce is for the address `client` sends from; from another one a 438 brings the right one. */
#define TURN_TICKET_NONCE_BYTES 20 /* 16 characters, NUL */
struct turn_ticket {
    char realm[TURN_REALM_MAX + 1], nonce[TURN_TICKET_NONCE_BYTES];
    char username[TURN_USERNAME_BYTES], password[TURN_PASSWORD_BYTES];
};
void turn_server_ticket(struct turn_server *ts, ns_t now, const struct addr *client,
                        const uint8_t alloc_id[static TURN_ID_BYTES], uint32_t expiry_s,
                        const uint8_t account[static 32], struct turn_ticket *out);

/* The guest pass for pair secret T, under this week's K or last week's (THREATS.md §4.12). */
void turn_server_guest_pass(struct turn_server *ts, bool is_last_week, const uint8_t pair_secret[static 32],
                            uint8_t out[static GUEST_PASS_BYTES]);

enum err turn_server_usage(const struct turn_server *ts, uint64_t id, struct turn_usage *out);
/* The connection of that address is gone, and with it its allocation. */
void turn_server_client_gone(struct turn_server *ts, ns_t now, const struct addr *client);
/* End an allocation: the grant ran out, or drain's patience did. */
void turn_server_close(struct turn_server *ts, ns_t now, uint64_t id);
/* Change the caps while running (a new config). */
void turn_server_set_limits(struct turn_server *ts, uint32_t max_allocations, uint32_t max_kbps);
/* Our outside address became known or changed; relayed addresses change with it. */
/* Who may be forwarded to from now on; allocations that are there keep their permissions. */
void turn_server_set_scope(struct turn_server *ts, bool allow_local, bool hairpin_only);
void turn_server_set_external(struct turn_server *ts, const struct addr external[static 2]);
/* An address of this machine, never to be a peer; at most 16. */
enum err turn_server_add_own(struct turn_server *ts, const struct addr *own);
const struct turn_server_stats *turn_server_stats(const struct turn_server *ts);

#endif
