#include "io/xdp_program.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <string.h>

/* A small assembler. One label can be jumped to before it is known; it is put in by land(). */

#define JUMPS_MAX 128

enum {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    CTX,
    DATA,
    END,
    SLOT,
    FRAME
}; /* the last five survive calls; FRAME is the stack */

struct label {
    uint16_t from[JUMPS_MAX];
    unsigned n;
};

struct assembler {
    struct bpf_insn *out;
    size_t n;
    struct label pass;
};

static void put(struct assembler *a, uint8_t code, int dst, int src, int off, int32_t imm)
{
    assert(a->n < XDP_INSNS_MAX);
    a->out[a->n++] = (struct bpf_insn){
        .code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm};
}

static void put_wide(struct assembler *a, int dst, int src, uint64_t value)
{
    put(a, BPF_LD | BPF_IMM | BPF_DW, dst, src, 0, (int32_t)(uint32_t)value);
    put(a, 0, 0, 0, 0, (int32_t)(value >> 32));
}

static void land(struct assembler *a, struct label *l)
{
    for (unsigned i = 0; i < l->n; i++)
        a->out[l->from[i]].off = (int16_t)(a->n - l->from[i] - 1);
    l->n = 0;
}

static void put_jump(struct assembler *a, uint8_t code, int dst, int src, int32_t imm, struct label *to)
{
    assert(to->n < JUMPS_MAX);
    to->from[to->n++] = (uint16_t)a->n;
    put(a, code, dst, src, 0, imm);
}

#define LOAD(size, dst, src, off)  put(a, BPF_LDX | BPF_MEM | (size), dst, src, off, 0)
#define STORE(size, dst, off, src) put(a, BPF_STX | BPF_MEM | (size), dst, src, off, 0)
#define STORE_K(size, dst, off, k) put(a, BPF_ST | BPF_MEM | (size), dst, 0, off, k)
#define ATOMIC_ADD(dst, off, src)  put(a, BPF_STX | BPF_ATOMIC | BPF_DW, dst, src, off, BPF_ADD)
#define MOVE(dst, src)             put(a, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define MOVE_K(dst, k)             put(a, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, k)
#define OP(op, dst, src)           put(a, BPF_ALU64 | (op) | BPF_X, dst, src, 0, 0)
#define OP_K(op, dst, k)           put(a, BPF_ALU64 | (op) | BPF_K, dst, 0, 0, k)
#define OP32_K(op, dst, k)         put(a, BPF_ALU | (op) | BPF_K, dst, 0, 0, k)
#define HOST16(dst)                put(a, BPF_ALU | BPF_END | BPF_TO_BE, dst, 0, 0, 16)
#define CALL(helper)               put(a, BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define IF(cond, dst, src, l)      put_jump(a, BPF_JMP | (cond) | BPF_X, dst, src, 0, l)
#define IF_K(cond, dst, k, l)      put_jump(a, BPF_JMP | (cond) | BPF_K, dst, 0, k, l)
#define PASS(cond, dst, src)       IF(cond, dst, src, &a->pass)
#define PASS_K(cond, dst, k)       IF_K(cond, dst, k, &a->pass)

#define B  BPF_B
#define H  BPF_H
#define W  BPF_W
#define DW BPF_DW

/* On the stack. */
#define KEPT_NOW  (-8)
#define KEPT_SUM  (-16) /* of the payload */
#define KEPT_SIZE (-24) /* of the payload */

#define IN_SLOT(field) ((int)offsetof(struct xdp_slot, field))

/* Where things lie in a frame, by family of IP. */
#define ETH 14 /* Ethernet header: destination 6, source 6, type 2 */

struct layout {
    bool is_v6;
    int source, dest, ip_bytes; /* addresses */
    int udp, channel, end;      /* end: the least a frame has */
};

static const struct layout v4 = {false, ETH + 12, ETH + 16, 4, ETH + 20, ETH + 28, ETH + 32};
static const struct layout v6 = {true, ETH + 8, ETH + 24, 16, ETH + 40, ETH + 48, ETH + 52};

/* r = r folded to 16 bits, as one's complement sums are. */
static void fold(struct assembler *a, int r, int scratch)
{
    MOVE(scratch, r); /* the two halves of 64 bits: 33 bits */
    OP_K(BPF_RSH, scratch, 32);
    OP32_K(BPF_AND, r, -1); /* 32-bit operations clear the upper half */
    OP(BPF_ADD, r, scratch);
    for (int i = 0; i < 3; i++) { /* 33 bits to 18, to 17, to 16 */
        MOVE(scratch, r);
        OP_K(BPF_RSH, scratch, 16);
        OP_K(BPF_AND, r, 0xffff);
        OP(BPF_ADD, r, scratch);
    }
}

/* sum += the word of this size at base + off */
static void add(struct assembler *a, int sum, int size, int base, int off, int scratch)
{
    LOAD(size, scratch, base, off);
    OP(BPF_ADD, sum, scratch);
}

/* One IP header, valid and plain: else the packet is not ours. Leaves the length of the UDP datagram in R5. */
static void check_ip(struct assembler *a, const struct layout *l)
{
    if (l->is_v6) {
        LOAD(B, R0, DATA, ETH); /* version, upper half of the traffic class */
        OP_K(BPF_AND, R0, 0xf0);
        PASS_K(BPF_JNE, R0, 0x60);
        LOAD(B, R0, DATA, ETH + 6); /* next header: extensions are not UDP */
        PASS_K(BPF_JNE, R0, IPPROTO_UDP);
        LOAD(H, R5, DATA, ETH + 4); /* payload length */
        HOST16(R5);
        return;
    }
    LOAD(B, R0, DATA, ETH); /* version 4, header of 20 bytes: no options */
    PASS_K(BPF_JNE, R0, 0x45);
    LOAD(H, R0, DATA, ETH + 6);       /* flags and fragment offset: */
    OP_K(BPF_AND, R0, htons(0xbfff)); /* all but DF are 0 */
    PASS_K(BPF_JNE, R0, 0);
    LOAD(B, R0, DATA, ETH + 9); /* protocol */
    PASS_K(BPF_JNE, R0, IPPROTO_UDP);
    MOVE_K(R0, 0); /* the header's checksum: */
    for (int at = 0; at < 20; at += 4)
        add(a, R0, W, DATA, ETH + at, R1); /* all of it, */
    fold(a, R0, R1);
    PASS_K(BPF_JNE, R0, 0xffff); /* sums up to 0 in one's complement */
    LOAD(H, R5, DATA, ETH + 2);  /* total length */
    HOST16(R5);
    OP_K(BPF_SUB, R5, 20);
}

/* R4 = what of ours the packet is for, in memory order: the channel at the main port, else the relayed port. Channels
 * begin with 0x40 to 0x7f, relayed ports with 0xc0 to 0xff. */
static void find_place(struct assembler *a, const struct layout *l, const struct xdp_shape *s)
{
    struct label is_main = {.n = 0}, known = {.n = 0};

    LOAD(H, R4, DATA, l->udp + 2);
    IF_K(BPF_JEQ, R4, htons(s->port), &is_main);
    MOVE(R0, R4); /* the first byte of what lies in the packet is the low one */
    OP_K(BPF_AND, R0, 0xc0);
    PASS_K(BPF_JNE, R0, 0xc0);
    IF_K(BPF_JA, 0, 0, &known);
    land(a, &is_main);
    LOAD(H, R4, DATA, l->channel);
    MOVE(R0, R4);
    OP_K(BPF_AND, R0, 0xc0);
    PASS_K(BPF_JNE, R0, 0x40);
    land(a, &known);
}

/* The datagram ends where the frame does; ChannelData ends there, too. At least 4 bytes of payload, so that there is a
 * place for each field whichever way the headers move. */
static void check_lengths(struct assembler *a, const struct layout *l)
{
    struct label is_plain = {.n = 0};

    PASS_K(BPF_JGT, R5, XDP_DATAGRAM_MAX); /* also what was less than 20 */
    MOVE(R1, DATA);                        /* end of the datagram */
    OP_K(BPF_ADD, R1, l->udp);
    OP(BPF_ADD, R1, R5);
    PASS(BPF_JGT, R1, END);        /* cut short */
    PASS(BPF_JLT, R1, END);        /* padded */
    LOAD(H, R0, DATA, l->udp + 4); /* length in the UDP header */
    HOST16(R0);
    PASS(BPF_JNE, R0, R5);
    MOVE(R0, R4);
    OP_K(BPF_AND, R0, 0x80);
    IF_K(BPF_JNE, R0, 0, &is_plain);
    LOAD(H, R0, DATA, l->channel + 2); /* length in the ChannelData header */
    HOST16(R0);
    MOVE(R1, R5); /* without 8 of UDP and 4 of ChannelData */
    OP_K(BPF_SUB, R1, 12);
    PASS(BPF_JNE, R0, R1);
    PASS_K(BPF_JLT, R0, 4);
    land(a, &is_plain);
}

/* SLOT = the flow of this packet. */
static void find_slot(struct assembler *a, const struct layout *l, const struct xdp_shape *s)
{
    struct label found = {.n = 0};

    if (l->is_v6) {
        LOAD(DW, R2, DATA, l->source); /* R2, R3: address */
        LOAD(DW, R3, DATA, l->source + 8);
    } else {
        MOVE_K(R2, 1); /* no IPv6 client begins so (RFC 6666) */
        LOAD(W, R3, DATA, l->source);
    }
    OP_K(BPF_LSH, R4, 16); /* R4: port, then place, as 32 bits in memory order */
    LOAD(H, R0, DATA, l->udp);
    OP(BPF_OR, R4, R0);
    put_wide(a, R0, 0, s->mix[0]); /* the place: xdp_place() */
    OP(BPF_MUL, R0, R2);
    put_wide(a, R1, 0, s->mix[1]);
    OP(BPF_MUL, R1, R3);
    OP(BPF_ADD, R0, R1);
    put_wide(a, R1, 0, s->mix[2]);
    OP(BPF_MUL, R1, R4);
    OP(BPF_ADD, R0, R1);
    OP_K(BPF_RSH, R0, 64 - (int)s->bits);
    OP_K(BPF_LSH, R0, 7);                                         /* of slots of 128 bytes */
    put_wide(a, SLOT, BPF_PSEUDO_MAP_VALUE, (uint32_t)s->map_fd); /* the table */
    OP(BPF_ADD, SLOT, R0);
    for (int way = 0; way < XDP_WAYS; way++) {
        struct label next = {.n = 0};

        LOAD(W, R0, SLOT, IN_SLOT(port_place));
        IF(BPF_JNE, R0, R4, &next);
        LOAD(DW, R0, SLOT, IN_SLOT(ip_low));
        IF(BPF_JNE, R0, R3, &next);
        LOAD(DW, R0, SLOT, IN_SLOT(ip_high));
        IF(BPF_JEQ, R0, R2, &found); /* it is this one */
        land(a, &next);
        if (way < XDP_WAYS - 1)
            OP_K(BPF_ADD, SLOT, XDP_SLOT_BYTES);
    }
    PASS_K(BPF_JA, 0, 0); /* none */
    land(a, &found);
}

/* R0 = sum of the data of the UDP datagram, which is no longer than XDP_DATAGRAM_MAX. */
static void sum_data(struct assembler *a, const struct layout *l)
{
    struct label tail = {.n = 0};
    size_t again;

    MOVE_K(R0, 0);
    /* R2 goes through it. It is made by adding a 0 that the verifier does not know to be one: what it
     * learns of R2 is then not of DATA as well, and what comes behind the loop is verified once, not for each way
     * out of it. */
    LOAD(H, R1, DATA, l->udp + 4);
    LOAD(H, R4, DATA, l->udp + 4);
    OP(BPF_SUB, R1, R4);
    OP_K(BPF_AND, R1, 4);
    MOVE(R2, DATA);
    OP_K(BPF_ADD, R2, l->channel);
    OP(BPF_ADD, R2, R1);
    MOVE_K(R4, XDP_DATAGRAM_MAX / 16 + 1); /* R4: rounds, for the verifier */
    again = a->n;
    MOVE(R3, R2); /* 16 bytes a round */
    OP_K(BPF_ADD, R3, 16);
    IF(BPF_JGT, R3, END, &tail);
    for (int at = 0; at < 16; at += 4)
        add(a, R0, W, R2, at, R1);
    MOVE(R2, R3);
    OP_K(BPF_SUB, R4, 1);
    put(a, BPF_JMP | BPF_JNE | BPF_K, R4, 0, (int)again - (int)a->n - 1, 0); /* next round */
    land(a, &tail);
    for (int step = 8; step > 0; step /= 2) { /* what is left, by its bits */
        struct label skip = {.n = 0};

        MOVE(R3, R2);
        OP_K(BPF_ADD, R3, step);
        IF(BPF_JGT, R3, END, &skip);
        if (step == 8)
            add(a, R0, W, R2, 4, R1);                             /* the second word */
        add(a, R0, step >= 4 ? W : step == 2 ? H : B, R2, 0, R1); /* a last byte counts as the first of two */
        MOVE(R2, R3);
        land(a, &skip);
    }
    for (int r = R1; r <= R4; r++)
        MOVE_K(r, 0); /* forgotten, so that all ways here look the same */
}

/* R1 = 0 when the sender uses a channel, else something else. */
static void is_plain_sender(struct assembler *a)
{
    LOAD(B, R1, SLOT, IN_SLOT(port_place) + 2);
    OP_K(BPF_AND, R1, 0x80);
}

/* The UDP checksum is right, or there is none; keeps the sum and the size of the payload. */
static void check_sum(struct assembler *a, const struct layout *l)
{
    struct label zero = {.n = 0}, checked = {.n = 0}, is_plain = {.n = 0};

    sum_data(a, l);
    MOVE(R3, R0); /* R3: with all that is summed up besides */
    OP_K(BPF_ADD, R3, htons(IPPROTO_UDP));
    add(a, R3, H, DATA, l->udp + 4, R1); /* pseudo header: protocol, length, */
    for (int at = 0; at < 2 * l->ip_bytes; at += 4)
        add(a, R3, W, DATA, l->source + at, R1); /* both addresses, which are neighbours; */
    add(a, R3, W, DATA, l->udp, R1);             /* the header: ports, */
    add(a, R3, W, DATA, l->udp + 4, R1);         /* length and checksum */
    LOAD(H, R2, DATA, l->udp + 6);
    IF_K(BPF_JEQ, R2, 0, &zero);
    fold(a, R3, R1);
    PASS_K(BPF_JNE, R3, 0xffff); /* wrong, or left to a network card: the stack knows */
    IF_K(BPF_JA, 0, 0, &checked);
    land(a, &zero); /* it gets one, as from the stack */
    if (l->is_v6)
        PASS_K(BPF_JA, 0, 0); /* not allowed (RFC 8200 §8.1) */
    land(a, &checked);
    LOAD(H, R2, DATA, l->udp + 4); /* R2: size */
    HOST16(R2);
    OP_K(BPF_SUB, R2, 8);
    is_plain_sender(a);
    IF_K(BPF_JNE, R1, 0, &is_plain);
    OP_K(BPF_SUB, R2, 4); /* without the ChannelData header, which leaves the sum, too */
    LOAD(W, R1, DATA, l->channel);
    OP_K(BPF_XOR, R1, -1);
    OP32_K(BPF_AND, R1, -1);
    OP(BPF_ADD, R0, R1);
    land(a, &is_plain);
    STORE(DW, FRAME, KEPT_SUM, R0);
    STORE(DW, FRAME, KEPT_SIZE, R2);
}

/* R3 = the slot of the flow the other way. */
static void find_back(struct assembler *a, const struct xdp_shape *s, struct label *none)
{
    LOAD(W, R1, SLOT, IN_SLOT(back));
    OP_K(BPF_AND, R1, -XDP_SLOT_BYTES);
    IF_K(BPF_JGT, R1, (int32_t)(xdp_table_bytes(s->bits) - XDP_SLOT_BYTES), none);
    put_wide(a, R3, BPF_PSEUDO_MAP_VALUE, (uint32_t)s->map_fd);
    OP(BPF_ADD, R3, R1);
}

/* The flow may go on, this packet is as it should be, and it is known where to send it. */
static void admit(struct assembler *a, const struct layout *l, const struct xdp_shape *s)
{
    CALL(BPF_FUNC_ktime_get_coarse_ns); /* R0: CLOCK_MONOTONIC, to some ms */
    LOAD(DW, R1, SLOT, IN_SLOT(until));
    PASS(BPF_JGE, R0, R1); /* it has ended */
    STORE(DW, FRAME, KEPT_NOW, R0);
    for (int at = 0; at < l->ip_bytes; at += 4) {
        LOAD(W, R0, DATA, l->dest + at); /* to the address of ours that this sender is answered from */
        LOAD(W, R1, SLOT, IN_SLOT(local) + at);
        PASS(BPF_JNE, R0, R1);
    }
    check_sum(a, l);
    LOAD(DW, R2, FRAME, KEPT_NOW);
    LOAD(H, R1, DATA, 6); /* heard of this sender: the MAC, in memory order */
    LOAD(H, R3, DATA, 8);
    OP_K(BPF_LSH, R3, 16);
    OP(BPF_OR, R1, R3);
    LOAD(H, R3, DATA, 10);
    OP_K(BPF_LSH, R3, 32);
    OP(BPF_OR, R1, R3);
    STORE(DW, SLOT, IN_SLOT(mac), R1); /* in one piece, as another core may read it */
    STORE(DW, SLOT, IN_SLOT(heard_at), R2);
    STORE_K(W, SLOT, IN_SLOT(heard_on), (int32_t)s->interface);
    find_back(a, s, &a->pass);
    LOAD(W, R1, R3, IN_SLOT(heard_on)); /* the receiver is behind this interface, too */
    PASS_K(BPF_JNE, R1, (int32_t)s->interface);
    LOAD(DW, R1, R3, IN_SLOT(heard_at)); /* and was heard of late */
    put_wide(a, R4, 0, XDP_HEARD_NS);
    OP(BPF_ADD, R1, R4);
    PASS(BPF_JGT, R2, R1);
    LOAD(DW, R2, FRAME, KEPT_SIZE);
    LOAD(DW, R1, SLOT, IN_SLOT(bytes)); /* within what user space has paid for */
    OP(BPF_ADD, R1, R2);
    LOAD(DW, R4, SLOT, IN_SLOT(allowed_bytes));
    PASS(BPF_JGT, R1, R4);
}

static void load_bounds(struct assembler *a)
{
    LOAD(W, DATA, CTX, (int)offsetof(struct xdp_md, data));    /* first byte of the frame */
    LOAD(W, END, CTX, (int)offsetof(struct xdp_md, data_end)); /* behind its last */
}

/* The frame begins later when the ChannelData header goes, earlier when one comes. From here on it leaves: counted. */
static void move_head(struct assembler *a, const struct layout *l, struct label *drop)
{
    struct label from_plain = {.n = 0}, to_plain = {.n = 0}, fits = {.n = 0};

    MOVE_K(R2, 0); /* R2: by how much */
    is_plain_sender(a);
    IF_K(BPF_JNE, R1, 0, &from_plain);
    OP_K(BPF_ADD, R2, 4);
    land(a, &from_plain);
    LOAD(H, R1, SLOT, IN_SLOT(to_channel));
    IF_K(BPF_JEQ, R1, 0, &to_plain);
    OP_K(BPF_SUB, R2, 4);
    land(a, &to_plain);
    IF_K(BPF_JEQ, R2, 0, &fits);
    MOVE(R1, CTX);
    CALL(BPF_FUNC_xdp_adjust_head);
    PASS_K(BPF_JNE, R0, 0); /* no room before it: it is as it was */
    load_bounds(a);
    land(a, &fits);
    MOVE(R1, DATA); /* never false, but the verifier wants to be told */
    OP_K(BPF_ADD, R1, l->end);
    IF(BPF_JGT, R1, END, drop);
    LOAD(DW, R2, FRAME, KEPT_SIZE);
    ATOMIC_ADD(SLOT, IN_SLOT(bytes), R2);
    MOVE_K(R2, 1);
    ATOMIC_ADD(SLOT, IN_SLOT(packets), R2);
}

/* An address from slot to packet, and into the sum. */
static void write_address(struct assembler *a, const struct layout *l, int packet_at, int slot, int slot_at)
{
    for (int at = 0; at < l->ip_bytes; at += 4) {
        LOAD(W, R1, slot, slot_at + at);
        STORE(W, DATA, packet_at + at, R1);
        OP(BPF_ADD, R0, R1);
    }
}

static void write_port(struct assembler *a, int packet_at, int slot_at)
{
    LOAD(H, R1, SLOT, slot_at);
    STORE(H, DATA, packet_at, R1);
    OP(BPF_ADD, R0, R1);
}

/* ChannelData header, if there is one, and UDP header. R3 is the slot of the other way. */
static void write_udp(struct assembler *a, const struct layout *l)
{
    struct label is_plain = {.n = 0}, done = {.n = 0};

    LOAD(DW, R0, FRAME, KEPT_SUM);  /* R0: the sum, of all that the checksum covers in the end */
    LOAD(DW, R4, FRAME, KEPT_SIZE); /* R4: payload, R5: datagram */
    MOVE(R5, R4);
    OP_K(BPF_ADD, R5, 8);
    LOAD(H, R1, SLOT, IN_SLOT(to_channel));
    IF_K(BPF_JEQ, R1, 0, &is_plain);
    OP_K(BPF_ADD, R5, 4);
    STORE(H, DATA, l->channel, R1);
    OP(BPF_ADD, R0, R1);
    HOST16(R4);
    STORE(H, DATA, l->channel + 2, R4);
    OP(BPF_ADD, R0, R4);
    land(a, &is_plain);
    MOVE(R1, R5); /* length of the IP packet, or of its payload */
    if (!l->is_v6)
        OP_K(BPF_ADD, R1, 20);
    HOST16(R1);
    STORE(H, DATA, ETH + (l->is_v6 ? 4 : 2), R1);
    HOST16(R5);
    STORE(H, DATA, l->udp + 4, R5);
    OP(BPF_ADD, R0, R5); /* once in the header, */
    OP(BPF_ADD, R0, R5); /* once in the pseudo header, */
    OP_K(BPF_ADD, R0, htons(IPPROTO_UDP));
    write_address(a, l, l->source, R3, IN_SLOT(local)); /* from our address for the receiver */
    write_address(a, l, l->dest, SLOT, IN_SLOT(to));
    write_port(a, l->udp, IN_SLOT(from_port));
    write_port(a, l->udp + 2, IN_SLOT(to_port));
    fold(a, R0, R1);
    OP_K(BPF_XOR, R0, 0xffff);
    IF_K(BPF_JNE, R0, 0, &done); /* 0 would mean: none */
    MOVE_K(R0, 0xffff);
    land(a, &done);
    STORE(H, DATA, l->udp + 6, R0);
}

/* The rest of the headers. */
static void write_head(struct assembler *a, const struct layout *l, const struct xdp_shape *s)
{
    uint16_t mac[3];

    memcpy(mac, s->mac, sizeof mac);
    LOAD(DW, R1, R3, IN_SLOT(mac)); /* Ethernet: to where the receiver was heard */
    STORE(H, DATA, 0, R1);
    OP_K(BPF_RSH, R1, 16);
    STORE(H, DATA, 2, R1);
    OP_K(BPF_RSH, R1, 16);
    STORE(H, DATA, 4, R1);
    for (int i = 0; i < 3; i++)
        STORE_K(H, DATA, 6 + 2 * i, mac[i]); /* from us */
    STORE_K(H, DATA, 12, htons(l->is_v6 ? 0x86dd : 0x0800));
    if (l->is_v6) {
        STORE_K(H, DATA, ETH, htons(0x6000)); /* version; traffic class and flow label 0 */
        STORE_K(H, DATA, ETH + 2, 0);
        STORE_K(B, DATA, ETH + 6, IPPROTO_UDP);
        STORE_K(B, DATA, ETH + 7, s->hops);
        return;
    }
    STORE_K(H, DATA, ETH, htons(0x4500));     /* version, length of the header, TOS */
    STORE_K(H, DATA, ETH + 4, 0);             /* identification */
    STORE_K(H, DATA, ETH + 6, htons(0x4000)); /* DF */
    STORE_K(B, DATA, ETH + 8, s->ttl);
    STORE_K(B, DATA, ETH + 9, IPPROTO_UDP);
    STORE_K(H, DATA, ETH + 10, 0); /* the header's checksum, of all of it */
    MOVE_K(R0, 0);
    for (int at = 0; at < 20; at += 4)
        add(a, R0, W, DATA, ETH + at, R1);
    fold(a, R0, R1);
    OP_K(BPF_XOR, R0, 0xffff);
    STORE(H, DATA, ETH + 10, R0);
}

static void leave(struct assembler *a, int with)
{
    MOVE_K(R0, with);
    put(a, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void one_family(struct assembler *a, const struct layout *l, const struct xdp_shape *s)
{
    struct label drop = {.n = 0};

    MOVE(R1, DATA); /* all headers are there */
    OP_K(BPF_ADD, R1, l->end);
    PASS(BPF_JGT, R1, END);
    find_place(a, l, s);
    check_ip(a, l);
    check_lengths(a, l);
    find_slot(a, l, s);
    admit(a, l, s);
    move_head(a, l, &drop);
    find_back(a, s, &drop); /* once more: calls lose R3 */
    write_udp(a, l);
    write_head(a, l, s);
    leave(a, XDP_TX); /* out again where it came in */
    land(a, &drop);
    leave(a, XDP_DROP);
}

size_t xdp_program(const struct xdp_shape *s, struct bpf_insn *out)
{
    struct assembler assembler = {.out = out}, *a = &assembler;
    struct label is_v6 = {.n = 0};
    uint16_t mac[3];

    memcpy(mac, s->mac, sizeof mac);
    MOVE(CTX, R1); /* R1: struct xdp_md */
    load_bounds(a);
    MOVE(R1, DATA); /* an Ethernet header is there */
    OP_K(BPF_ADD, R1, ETH);
    PASS(BPF_JGT, R1, END);
    for (int i = 0; i < 3; i++) { /* to our own MAC: */
        LOAD(H, R0, DATA, 2 * i);
        PASS_K(BPF_JNE, R0, mac[i]); /* not what a promiscuous card lets in */
    }
    LOAD(H, R0, DATA, 12); /* type */
    IF_K(BPF_JEQ, R0, htons(0x86dd), &is_v6);
    PASS_K(BPF_JNE, R0, htons(0x0800)); /* neither: ARP, VLAN, … */
    one_family(a, &v4, s);
    land(a, &is_v6);
    one_family(a, &v6, s);
    land(a, &a->pass);
    leave(a, XDP_PASS); /* as if we were not here */
    return a->n;
}
