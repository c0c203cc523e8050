/* The program as the kernel runs it (BPF_PROG_TEST_RUN), on frames made here, against what the relay in user space
 * answers to the same datagrams, put into frames by a few plain lines. Needs the right to load it. */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io/xdp_program.h"

#define BITS      6
#define N_FRAMES  10000
#define PORT      3478
#define INTERFACE 7
#define FRAME_MAX 1600

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 0x71};
static const uint8_t client_mac[2][6] = {{2, 0, 0, 0xaa, 1, 2}, {2, 0, 0, 0xbb, 3, 4}};

enum kind {
    CALL_V4,
    CALL_V6,
    PEER_V4,
    PEER_V6
}; /* both ends have channels, or the second is a peer outside */

struct kernel {
    enum kind kind;
    struct rig *r;
    struct turner t[2];
    uint16_t channel[2];
    struct addr local; /* our address */
    struct xdp_shape shape;
    uint8_t *table;
    int program;
    struct xdp_slot *flow[2];
    uint64_t seed;
};

struct frame {
    size_t len;
    uint8_t bytes[FRAME_MAX];
};

static int sys_bpf(int cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof *attr);
}

static uint32_t draw(struct kernel *k, uint32_t n)
{
    k->seed = k->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(k->seed >> 33) % n;
}

/* ---- frames, the plain way ---- */

static bool is_v6(const struct kernel *k)
{
    return k->kind == CALL_V6 || k->kind == PEER_V6;
}

/* Is this end the peer outside? */
static bool is_plain(const struct kernel *k, int who)
{
    return who == 1 && (k->kind == PEER_V4 || k->kind == PEER_V6);
}

/* Our address, as this end sends to it and hears from it. */
static struct addr ours(const struct kernel *k, int who)
{
    struct addr a = k->local;

    if (is_plain(k, who))
        a.port = k->t[0].relayed.port;
    return a;
}

static void put16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t sum16(uint32_t sum, const uint8_t *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static size_t ip_header(const struct addr *a)
{
    return a->family == ADDR_V6 ? 40 : 20;
}

/* Checksums of what lies in the frame. */
static void set_checksums(struct frame *f)
{
    bool is_v6 = f->bytes[12] == 0x86;
    uint8_t *ip = f->bytes + 14, *udp = ip + (is_v6 ? 40 : 20);
    size_t udp_len = f->len - (size_t)(udp - f->bytes);
    uint32_t sum = 17 + (uint32_t)udp_len;

    if (!is_v6) {
        put16(ip + 10, 0);
        put16(ip + 10, ~sum16(0, ip, 20));
    }
    put16(udp + 6, 0);
    sum = sum16(sum, is_v6 ? ip + 8 : ip + 12, is_v6 ? 32 : 8);
    sum = ~sum16(sum, udp, udp_len) & 0xffff;
    put16(udp + 6, sum == 0 ? 0xffff : sum);
}

/* A frame as sendto(2) would make it: no options, DF, identification 0. */
static void make_frame(struct frame *f, const uint8_t from_mac[6], const uint8_t to_mac[6],
                       const struct addr *from, const struct addr *to, struct slice data)
{
    size_t head = ip_header(from), ip_bytes = addr_ip_bytes(from);
    uint8_t *ip = f->bytes + 14, *udp = ip + head;

    memset(f->bytes, 0, sizeof f->bytes);
    f->len = 14 + head + 8 + data.len;
    memcpy(f->bytes, to_mac, 6);
    memcpy(f->bytes + 6, from_mac, 6);
    if (from->family == ADDR_V6) {
        put16(f->bytes + 12, 0x86dd);
        ip[0] = 0x60;
        put16(ip + 4, (uint32_t)(8 + data.len));
        ip[6] = 17;
        ip[7] = 64;
        memcpy(ip + 8, from->ip, ip_bytes);
        memcpy(ip + 24, to->ip, ip_bytes);
    } else {
        put16(f->bytes + 12, 0x0800);
        ip[0] = 0x45;
        put16(ip + 2, (uint32_t)(28 + data.len));
        put16(ip + 6, 0x4000);
        ip[8] = 64;
        ip[9] = 17;
        memcpy(ip + 12, from->ip, ip_bytes);
        memcpy(ip + 16, to->ip, ip_bytes);
    }
    put16(udp, from->port);
    put16(udp + 2, to->port);
    put16(udp + 4, (uint32_t)(8 + data.len));
    if (data.len > 0)
        memcpy(udp + 8, data.data, data.len);
    set_checksums(f);
}

/* ---- the program ---- */

static bool load(struct kernel *k)
{
    struct bpf_insn code[XDP_INSNS_MAX];
    union bpf_attr attr = {0};

    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = 4;
    attr.value_size = (uint32_t)xdp_table_bytes(BITS);
    attr.max_entries = 1;
    attr.map_flags = BPF_F_MMAPABLE;
    k->shape.map_fd = sys_bpf(BPF_MAP_CREATE, &attr);
    if (k->shape.map_fd < 0)
        return false;
    k->table = mmap(NULL, xdp_table_bytes(BITS), PROT_READ | PROT_WRITE, MAP_SHARED, k->shape.map_fd, 0);
    assert_true(k->table != MAP_FAILED);
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = (uintptr_t)code;
    attr.insn_cnt = (uint32_t)xdp_program(&k->shape, code);
    attr.license = (uintptr_t) "GPL";
    attr.expected_attach_type = BPF_XDP;
    k->program = sys_bpf(BPF_PROG_LOAD, &attr);
    return k->program >= 0;
}

/* XDP_TX or XDP_PASS; out is what the frame is then. */
static uint32_t run(struct kernel *k, const struct frame *in, struct frame *out)
{
    union bpf_attr attr = {0};

    out->len = sizeof out->bytes;
    attr.test.prog_fd = (uint32_t)k->program;
    attr.test.data_in = (uintptr_t)in->bytes;
    attr.test.data_size_in = (uint32_t)in->len;
    attr.test.data_out = (uintptr_t)out->bytes;
    attr.test.data_size_out = sizeof out->bytes;
    if (sys_bpf(BPF_PROG_TEST_RUN, &attr) != 0)
        fail_msg("BPF_PROG_TEST_RUN: %s", strerror(errno));
    out->len = attr.test.data_size_out;
    return attr.test.retval;
}

static void set_key(const struct kernel *k, struct xdp_slot *s, int who)
{
    const struct addr *a = &k->t[who].from;
    uint32_t v4;

    memcpy(&v4, a->ip, 4);
    s->ip_high = 1;
    s->ip_low = v4;
    if (a->family == ADDR_V6) {
        memcpy(&s->ip_high, a->ip, 8);
        memcpy(&s->ip_low, a->ip + 8, 8);
    }
    s->port_place =
        (uint32_t)htons(is_plain(k, who) ? ours(k, who).port : k->channel[who]) << 16 | htons(a->port);
}

/* Two flows, as xdp_add() writes them; the table is otherwise full of others. */
static void fill_table(struct kernel *k)
{
    struct xdp_slot s[2] = {{0}};
    size_t at[2];

    for (size_t i = 0; i < xdp_table_bytes(BITS); i++)
        k->table[i] = (uint8_t)draw(k, 256);
    for (int i = 0; i < 2; i++) {
        set_key(k, &s[i], i);
        at[i] = xdp_place(&k->shape, s[i].ip_high, s[i].ip_low, s[i].port_place) + (size_t)(i == 0 ? 3 : 0);
    }
    if (at[0] == at[1])
        at[1]++;
    for (int i = 0; i < 2; i++) {
        s[i].until = UINT64_MAX;
        s[i].allowed_bytes = UINT64_MAX;
        s[i].back = (uint32_t)(at[1 - i] * XDP_SLOT_BYTES);
        memcpy(s[i].local, k->local.ip, 16);
        memcpy(s[i].to, k->t[1 - i].from.ip, 16);
        s[i].to_port = htons(k->t[1 - i].from.port);
        s[i].to_channel = is_plain(k, 1 - i) ? 0 : htons(k->channel[1 - i]);
        s[i].from_port = htons(ours(k, 1 - i).port);
        k->flow[i] = (struct xdp_slot *)(void *)(k->table + at[i] * XDP_SLOT_BYTES);
        *k->flow[i] = s[i];
    }
}

/* An allocation with a relayed address of this family. */
static void allocate(struct kernel *k, struct turner *t)
{
    uint8_t buf[512];
    struct stun_wr w;
    struct stun_msg m;

    log_in(k->r, t, "ito", "secret");
    turner_begin(t, &w, buf, sizeof buf, TURN_ALLOCATE);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put_u8(&w, STUN_REQUESTED_FAMILY, is_v6(k) ? STUN_FAMILY_V6 : STUN_FAMILY_V4);
    m = ask(k->r, t, turner_end(t, &w));
    assert_int_equal(m.cls, STUN_SUCCESS);
    t->relayed = m.relayed[0];
}

static void open_kernel(struct kernel *k, enum kind kind)
{
    struct turn_server_config config = default_config();

    *k = (struct kernel){.kind = kind, .channel = {0x4001, 0x6402}, .program = -1, .seed = kind};
    k->shape = (struct xdp_shape){.bits = BITS, .interface = INTERFACE, .port = PORT, .ttl = 64, .hops = 64};
    memcpy(k->shape.mac, our_mac, 6);
    for (int i = 0; i < 3; i++)
        k->shape.mix[i] = (uint64_t)draw(k, UINT32_MAX) << 32 | draw(k, UINT32_MAX) | 1;
    if (!load(k)) {
        printf("  SKIP  the XDP program is not run: bpf(2) is refused: %s\n", strerror(errno));
        skip();
    }
    k->r = rig_with(&config);
    k->t[0].from = at(is_v6(k) ? "[2001:db8:1::5]:1111" : "203.0.113.5:1111");
    k->t[1].from = at(is_v6(k) ? "[2001:db8:2::9]:2222" : "192.0.2.9:2222");
    k->t[1].id[0] = 9;
    k->local = at(is_v6(k) ? "[2001:db8::7]:3478" : "198.51.100.7:3478");
    allocate(k, &k->t[0]);
    if (is_plain(k, 1)) {
        bind_channel(k->r, &k->t[0], k->channel[0], &k->t[1].from);
    } else {
        allocate(k, &k->t[1]);
        for (int i = 0; i < 2; i++)
            bind_channel(k->r, &k->t[i], k->channel[i], &k->t[1 - i].relayed);
    }
    fill_table(k);
}

static void close_kernel(struct kernel *k)
{
    rig_free(k->r);
    munmap(k->table, xdp_table_bytes(BITS));
    close(k->program);
    close(k->shape.map_fd);
}

/* A frame of client `who` with so many bytes of payload. */
static void draw_frame(struct kernel *k, int who, size_t n, struct frame *f)
{
    uint8_t data[FRAME_MAX];
    struct addr to;

    for (size_t i = 4; i < 4 + n; i++)
        data[i] = (uint8_t)(draw(k, 4) == 0 ? 0xff : draw(k, 256));
    to = ours(k, who);
    stun_channel_header(data, k->channel[who], (uint16_t)n);
    make_frame(f, client_mac[who], our_mac, &k->t[who].from, &to,
               is_plain(k, who) ? slice_of(data + 4, n) : slice_of(data, 4 + n));
}

static void assert_passes(struct kernel *k, const struct frame *f)
{
    uint64_t packets[2] = {k->flow[0]->packets, k->flow[1]->packets};
    struct frame out;

    assert_int_equal(run(k, f, &out), XDP_PASS);
    assert_int_equal(out.len, f->len);
    assert_memory_equal(out.bytes, f->bytes, f->len); /* untouched */
    for (int i = 0; i < 2; i++)
        assert_int_equal(k->flow[i]->packets, packets[i]);
}

/* Both were heard, so that each can be sent to. */
static void introduce(struct kernel *k)
{
    struct frame f, out;

    draw_frame(k, 0, 20, &f);
    assert_passes(k, &f); /* nobody knows where the other is */
    draw_frame(k, 1, 20, &f);
    assert_int_equal(run(k, &f, &out), XDP_TX);
    draw_frame(k, 0, 20, &f);
    assert_int_equal(run(k, &f, &out), XDP_TX);
}

/* What user space makes of the datagram in this frame. */
static void expect(struct kernel *k, int who, const struct frame *in, struct frame *out)
{
    size_t head = 14 + ip_header(&k->local) + 8, len = in->len - head, before = k->r->w.n_packets;
    uint8_t buf[FORWARD_HEAD + FRAME_MAX + FORWARD_TAIL], *bytes = buf + FORWARD_HEAD;
    struct addr from = ours(k, 1 - who);
    const struct packet *p;

    memcpy(bytes, in->bytes + head, len);
    if (is_plain(k, who))
        turn_server_port_fast(k->r->ts, k->r->w.now,
                              forward_handle(is_v6(k) ? IP6 : IP4, k->t[0].relayed.port), &k->t[who].from,
                              bytes, len);
    else
        assert_true(turn_server_fast(k->r->ts, k->r->w.now, &k->t[who].from, bytes, len));
    assert_int_equal(k->r->w.n_packets, before + 1);
    p = world_last(&k->r->w);
    assert_true(addr_equal(&p->to, &k->t[1 - who].from));
    assert_int_equal(p->handle != 0, is_plain(k, 1 - who)); /* from the relayed port, or the main one */
    make_frame(out, our_mac, client_mac[1 - who], &from, &p->to, slice_of(p->bytes, p->len));
}

static void same_frames(enum kind kind)
{
    struct kernel k;
    uint64_t packets[2], bytes[2];

    open_kernel(&k, kind);
    introduce(&k);
    for (int i = 0; i < 2; i++) {
        packets[i] = k.flow[i]->packets;
        bytes[i] = k.flow[i]->bytes;
    }
    for (int n = 0; n < N_FRAMES; n++) {
        int who = (int)draw(&k, 2);
        size_t len = 4 + draw(&k, XDP_DATAGRAM_MAX - 12 - 4 + 1);
        struct frame in, out, wanted;

        draw_frame(&k, who, len, &in);
        in.bytes[15] =
            is_v6(&k) ? in.bytes[15] : (uint8_t)draw(&k, 256); /* TOS, TTL, DF: the sender's own affair */
        in.bytes[is_v6(&k) ? 21 : 22] = (uint8_t)(1 + draw(&k, 255));
        put16(in.bytes + (is_v6(&k) ? 16 : 18), draw(&k, 65536));
        if (!is_v6(&k) && draw(&k, 2) == 0)
            put16(in.bytes + 20, 0);
        set_checksums(&in);
        if (!is_v6(&k) && draw(&k, 4) == 0)
            put16(in.bytes + 40, 0); /* without a checksum: it leaves with one, as from the stack */
        expect(&k, who, &in, &wanted);
        assert_int_equal(run(&k, &in, &out), XDP_TX);
        assert_int_equal(out.len, wanted.len);
        assert_memory_equal(out.bytes, wanted.bytes, wanted.len);
        packets[who]++;
        bytes[who] += len;
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(k.flow[i]->packets, packets[i]);
        assert_int_equal(k.flow[i]->bytes, bytes[i]);
    }
    close_kernel(&k);
}

static void same_frames_of_calls(void **state)
{
    (void)state;
    same_frames(CALL_V4);
    same_frames(CALL_V6);
}

static void same_frames_of_peers(void **state)
{
    (void)state;
    same_frames(PEER_V4);
    same_frames(PEER_V6);
}

/* One thing wrong with an otherwise good frame; the checksums are right again after `how` unless it says no. */
static bool spoil(struct kernel *k, int how, struct frame *f)
{
    bool v6 = is_v6(k);
    uint8_t *ip = f->bytes + 14, *udp = ip + (v6 ? 40 : 20), *data = udp + 8;

    switch (how) {
    case 0: /* cut somewhere */
        f->len = 14 + draw(k, (uint32_t)f->len - 14);
        return false;
    case 1: /* padded, as a short frame is */
        f->len += 1 + draw(k, 20);
        return false;
    case 2: /* to another MAC */
        f->bytes[draw(k, 6)] ^= (uint8_t)(1 + draw(k, 255));
        return true;
    case 3: /* another type: VLAN, ARP, … */
        f->bytes[12 + draw(k, 2)] ^= (uint8_t)(1 + draw(k, 255));
        return false;
    case 4: /* options, or another version */
        ip[0] = v6 ? 0x40 : (uint8_t)(0x46 + draw(k, 10));
        return true;
    case 5: /* a fragment; IPv6: an extension header */
        if (v6)
            ip[6] = 44;
        else
            put16(ip + 6, draw(k, 2) == 0 ? 0x2000 : 1 + draw(k, 0x1fff));
        return true;
    case 6: /* not UDP */
        ip[v6 ? 6 : 9] = 6;
        return true;
    case 7: /* not for us */
        ip[(v6 ? 24 : 16) + draw(k, v6 ? 16 : 4)] ^= 1;
        return true;
    case 8: /* from somebody else */
        ip[(v6 ? 8 : 12) + draw(k, v6 ? 16 : 4)] ^= 1;
        return true;
    case 9: /* from another port */
        udp[draw(k, 2)] ^= 1;
        return true;
    case 10: /* to another port */
        udp[2 + draw(k, 2)] ^= 1;
        return true;
    case 11: /* lengths that do not agree */
        put16(udp + 4, get16(udp + 4) + (draw(k, 2) == 0 ? 1 : 0xffff));
        return true;
    case 12:
        put16(data + 2, get16(data + 2) + (draw(k, 2) == 0 ? 1 : 0xffff));
        return true;
    case 13: /* another channel, or no channel */
        data[draw(k, 2)] ^= (uint8_t)(1 + draw(k, 255));
        return true;
    case 14: /* a bit flipped on the way, under the UDP checksum */
        f->bytes[(v6 ? 54 : 34) + draw(k, (uint32_t)f->len - (v6 ? 54 : 34))] ^= 0x10;
        return false;
    case 15: /* the same, under that of IPv4; IPv6: no checksum at all */
        if (v6)
            put16(udp + 6, 0);
        else
            ip[draw(k, 20)] ^= 0x20;
        return false;
    case 16: /* a sum left to the network card: of the pseudo header alone */
        put16(udp + 6, sum16(17 + get16(udp + 4), ip + (v6 ? 8 : 12), v6 ? 32 : 8));
        return false;
    default: /* too long for us, or too short */
        return true;
    }
}

static void odd_frames(enum kind kind)
{
    struct kernel k;

    open_kernel(&k, kind);
    introduce(&k);
    for (int n = 0; n < N_FRAMES; n++) {
        int who = (int)draw(&k, 2), how = n % 19;
        size_t len = 4 + draw(&k, XDP_DATAGRAM_MAX - 12 - 4);
        struct frame f;

        if (is_plain(&k, who) && (how == 12 || how == 13)) /* they have no channel to be wrong */
            continue;
        if (how == 17)
            len = XDP_DATAGRAM_MAX - 8 + 1 + draw(&k, 900);
        if (how == 18) /* too short to be moved about */
            len = draw(&k, 4);
        draw_frame(&k, who, len, &f);
        if (spoil(&k, how, &f))
            set_checksums(&f);
        assert_passes(&k, &f);
    }
    close_kernel(&k);
}

static void odd_frames_of_calls(void **state)
{
    (void)state;
    odd_frames(CALL_V4);
    odd_frames(CALL_V6);
}

static void odd_frames_of_peers(void **state)
{
    (void)state;
    odd_frames(PEER_V4);
    odd_frames(PEER_V6);
}

static ns_t coarse_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (ns_t)ts.tv_sec * NS_PER_S + (ns_t)ts.tv_nsec;
}

static void limits(void **state)
{
    struct kernel k;
    struct frame f, out;

    (void)state;
    open_kernel(&k, CALL_V4);
    introduce(&k);
    draw_frame(&k, 0, 100, &f);
    k.flow[0]->allowed_bytes = k.flow[0]->bytes + 250; /* two of them */
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    assert_passes(&k, &f);
    k.flow[0]->allowed_bytes += 50;
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    k.flow[0]->allowed_bytes = UINT64_MAX;
    k.flow[0]->until = coarse_now() - NS_PER_MS; /* its time is over */
    assert_passes(&k, &f);
    k.flow[0]->until = coarse_now() + 60 * NS_PER_S;
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    k.flow[1]->heard_at = coarse_now() - XDP_HEARD_NS - NS_PER_S; /* silent for too long to know its way */
    assert_passes(&k, &f);
    k.flow[1]->heard_at = coarse_now();
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    k.flow[1]->heard_on = INTERFACE + 1; /* behind another interface now */
    assert_passes(&k, &f);
    k.flow[1]->heard_on = INTERFACE;
    k.flow[0]->back = (uint32_t)xdp_table_bytes(BITS); /* outside: never written, and never followed */
    assert_passes(&k, &f);
    k.flow[0]->back = UINT32_MAX;
    assert_passes(&k, &f);
    close_kernel(&k);
}

static void moved(void **state)
{
    static const uint8_t other_router[6] = {2, 9, 9, 9, 9, 9};
    struct kernel k;
    struct frame f, out;

    (void)state;
    open_kernel(&k, CALL_V4);
    introduce(&k);
    draw_frame(&k, 1, 40, &f);
    memcpy(f.bytes + 6, other_router, 6); /* the way to this client leads over another router now */
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    draw_frame(&k, 0, 40, &f);
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    assert_memory_equal(out.bytes, other_router, 6);
    draw_frame(&k, 1, 40, &f);
    memset(f.bytes + 6, 9, 6);
    f.bytes[60] ^= 1; /* a forged frame without a good checksum teaches nothing */
    assert_passes(&k, &f);
    draw_frame(&k, 0, 40, &f);
    assert_int_equal(run(&k, &f, &out), XDP_TX);
    assert_memory_equal(out.bytes, other_router, 6);
    close_kernel(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the kernel's frames of a call are those of user space, byte for byte",
                 same_frames_of_calls),
        sentence("the same to and from a peer outside, as headers come and go", same_frames_of_peers),
        sentence("a frame with anything odd goes on to user space untouched", odd_frames_of_calls),
        sentence("the same to and from a peer outside", odd_frames_of_peers),
        sentence("a flow ends with its time, its allowance, and the other's silence", limits),
        sentence("packets follow a client whose router changes, not who forges one", moved),
    };

    return run_sentences("xdp_program", tests);
}
