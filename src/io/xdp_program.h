/* io/xdp_program.h - the program that passes packets of running calls on before the kernel's network stack sees
 * them, and the table it reads, which is memory shared with it.
 *
 * A packet is passed on when it is one whole, unfragmented UDP datagram of at most XDP_DATAGRAM_MAX bytes to our MAC,
 * ChannelData at the main port or anything at a relayed port, without IP options, padding or a wrong checksum, of a
 * flow whose slot says so now. It leaves as ChannelData from the main port, or plain from the relayed one. What leaves is what sendto(2) of the relay would have sent: TOS 0, DF, our TTL, our address, a
 * full checksum; but the IPv4 identification (and IPv6 flow label) is 0, which nobody reads in a datagram that is
 * not fragmented (RFC 6864 §4). Anything else goes the usual way, unchanged.
 *
 * The next hop is the MAC the other client's last packet came from, by the same interface, at most XDP_HEARD_NS ago:
 * bpf_fib_lookup() answers only on hosts that forward IP, which a relay is not and should not become.
 *
 *   owner  the caller, who fills xdp_shape; nothing is kept
 *   trust  all bytes of the packet are checked before they are used, by the kernel's verifier as well */
#ifndef ITO_IO_XDP_PROGRAM_H
#define ITO_IO_XDP_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#define XDP_DATAGRAM_MAX \
    520 /* UDP header included; voice. Longer ones may meet a path MTU, which the stack knows */
#define XDP_HEARD_NS   5000000000ull
#define XDP_SLOT_BYTES 128
#define XDP_WAYS       4 /* slots a key may lie in */
#define XDP_INSNS_MAX  1200

/* One flow: from a client to the client at the other end. Addresses, ports and channels in network order. The first
 * line of memory is what a packet needs to be found and admitted. */
struct xdp_slot {
    uint64_t ip_high,
        ip_low; /* of the sender; IPv4: 1, and the address in the low half as it lies in the packet */
    uint32_t
        port_place; /* of the sender: port; its channel, or the relayed port; as in the packet; 0: the slot is free */
    uint32_t back;           /* offset in the table of the flow the other way */
    uint64_t until;          /* CLOCK_MONOTONIC, ns; later packets are not ours */
    uint64_t allowed_bytes;  /* of payload, since the beginning */
    uint64_t packets, bytes; /* written by the program */
    uint64_t mac;            /* written by the program: where the sender's last packet came from */
    uint64_t heard_at;       /* written by the program: when */
    uint32_t heard_on;       /* written by the program: index of the interface */
    uint16_t to_port;        /* of the receiver: port, */
    uint16_t to_channel;     /* its channel for the sender, or 0 */
    uint8_t local[16];       /* our address for the sender */
    uint8_t to[16];          /* the receiver */
    uint16_t from_port;      /* ours, of what leaves */
    uint8_t spare[14];
};
_Static_assert(sizeof(struct xdp_slot) == XDP_SLOT_BYTES, "the program knows the offsets");

struct xdp_shape {
    int map_fd;    /* an array of one value, xdp_table_bytes(bits) long */
    unsigned bits; /* a key's place is a number of so many bits */
    uint64_t mix[3];
    uint32_t interface;
    uint8_t mac[6];
    uint16_t port;     /* main port, host order */
    uint8_t ttl, hops; /* of what we send by IPv4, by IPv6 */
};

struct bpf_insn;

static inline size_t xdp_n_slots(unsigned bits)
{
    return ((size_t)1 << bits) + XDP_WAYS - 1;
}

static inline size_t xdp_table_bytes(unsigned bits)
{
    return xdp_n_slots(bits) * XDP_SLOT_BYTES;
}

/* The first of the XDP_WAYS slots of this key: the same sum as in the program. */
static inline size_t xdp_place(const struct xdp_shape *s, uint64_t ip_high, uint64_t ip_low,
                               uint32_t port_place)
{
    return (size_t)((ip_high * s->mix[0] + ip_low * s->mix[1] + port_place * s->mix[2]) >> (64 - s->bits));
}

/* Number of instructions written, at most XDP_INSNS_MAX. */
size_t xdp_program(const struct xdp_shape *shape, struct bpf_insn *out);

#endif
