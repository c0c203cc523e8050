/* relay/forward.h - what to do with one packet: the decisions of the hot path, apart from sockets, so that
 * batches (relay/fastpath_*) take the same ones.
 *
 * Headers are written in place: the payload lies in a buffer of the caller with FORWARD_HEAD bytes free before
 * it and FORWARD_TAIL behind it. Counters of the allocations and of struct turn_server_stats move here.
 *
 *   in     a ChannelData datagram, a Send indication's peer and data, or a packet at a relayed port
 *   out    struct forward: what to send, to whom, by which socket; FORWARD_DROP has been counted */
#ifndef ITO_RELAY_FORWARD_H
#define ITO_RELAY_FORWARD_H

#include "relay/allocation.h"
#include "relay/offload.h"

#define FORWARD_HEAD 48 /* STUN header 20, XOR-PEER-ADDRESS 24, DATA 4 */
#define FORWARD_TAIL 4

enum forward_how {
    FORWARD_DROP,
    FORWARD_MAIN, /* from the main port to `to` */
    FORWARD_PORT, /* from the opened port `handle` to `to` */
    FORWARD_OPEN, /* the same, but the port has to be opened first */
    FORWARD_OWN   /* for ourselves: `from` is the relayed address it came by */
};

struct forward {
    enum forward_how how;
    struct addr to, from;
    uint32_t handle;
    struct allocation *by; /* FORWARD_PORT, FORWARD_OPEN: whose port */
    struct slice bytes;
};

/* Why a peer may be no peer (THREATS.md §4.9). */
enum peer_kind { PEER_REFUSED, PEER_INSIDE, PEER_OWN, PEER_OUTSIDE };

struct forwarder {
    struct table table;
    struct turn_server_stats stats;
    struct bucket rate;
    struct offload offload;
    struct addr external[N_FAMILIES];
    struct addr own[16];
    uint8_t n_own;
    bool allow_local, hairpin_only, takes_own;
    uint64_t ids; /* for Data indications */
};

/* May `peer` be a peer at all, and which path leads there? `by_ip` asks for a permission, where the port is only
 * a hint. */
enum peer_kind forward_peer_kind(const struct forwarder *f, const struct addr *peer, bool by_ip);
struct addr forward_relayed(const struct forwarder *f, const struct allocation *a, int family);
static inline uint32_t forward_handle(int family, uint16_t port)
{
    return (uint32_t)family << 16 | port;
}

/* ChannelData from a client, bytes[0..len): the whole datagram. */
void forward_channel(struct forwarder *f, ns_t now, const struct addr *from, uint8_t *bytes, size_t len,
                     struct forward *out);
/* The same where the client's allocation and channel are known already. */
void forward_on_channel(struct forwarder *f, ns_t now, struct allocation *a, const struct channel *ch,
                        uint8_t *bytes, size_t len, struct forward *out);
/* A client's payload for a peer (Send indication; permission is checked here). */
void forward_to_peer(struct forwarder *f, ns_t now, struct allocation *a, const struct addr *peer,
                     uint8_t *payload, size_t len, struct forward *out);
/* A peer's payload for the client of a relayed port. */
void forward_to_client(struct forwarder *f, ns_t now, struct allocation *a, const struct addr *peer,
                       uint8_t *payload, size_t len, struct forward *out);
/* A packet of FORWARD_OPEN whose port could not be opened: it is lost after all. */
void forward_unsent(struct forwarder *f, struct forward *out);

#endif
