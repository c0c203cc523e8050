#include "nat/portmap.h"

#include "base/mem.h"

#define PCP_VERSION     2
#define PMP_VERSION     0
#define PCP_OPCODE_MAP  1
#define PMP_OPCODE_ADDR 0
#define PMP_OPCODE_UDP  1
#define RESPONSE        0x80
#define UDP             17
#define PCP_MAP_BYTES   60
#define TRIES           5 /* 1, 2, 4, 8, 16 s */
#define TRIES_PCP       3 /* while it is not known that the gateway speaks it */
#define RESULT_OK       0
#define RESULT_VERSION  1 /* unsupported version, in both protocols */

enum dialect { DIALECT_PCP, DIALECT_PMP_ADDR, DIALECT_PMP_MAP };

struct portmap {
    struct portmap_config config;
    const struct portmap_ops *ops;
    void *arg;
    const struct env *env;
    bool is_dead, has_epoch;
    enum portmap_state state;
    enum dialect dialect;
    bool has_answered;
    uint8_t nonce[PORTMAP_NONCE_BYTES];
    struct addr outside, external; /* external: IP of NAT-PMP's first answer */
    unsigned n_sent;
    ns_t next_at;
    uint32_t epoch_s; /* the gateway's clock in its last answer, and when that was */
    ns_t epoch_at;
};

struct portmap *portmap_create(const struct portmap_config *config, const struct portmap_ops *ops, void *arg,
                               const struct env *env)
{
    struct portmap *p = mem_alloc(sizeof *p);

    p->config = *config;
    p->config.gateway.port = PORTMAP_PORT;
    if (p->config.lifetime_s == 0)
        p->config.lifetime_s = PORTMAP_LIFETIME_S;
    p->ops = ops;
    p->arg = arg;
    p->env = env;
    p->next_at = NS_NEVER;
    return p;
}

void portmap_destroy(struct portmap *p)
{
    if (p == NULL || p->is_dead)
        return;
    p->is_dead = true;
    env_defer(p->env, mem_free, p);
}

/* IPv4 as ::ffff:a.b.c.d (RFC 6887 §5). */
static void write_ip(struct wr *w, const struct addr *a)
{
    if (a->family == ADDR_V4) {
        wr_zeros(w, 10);
        wr_u16(w, 0xffff);
        wr_bytes(w, a->ip, 4);
    } else {
        wr_bytes(w, a->ip, 16);
    }
}

/* PCP MAP request, 60 bytes, big-endian (RFC 6887 §7.1, §11.1):
 *
 *   offset size field
 *   0      1    version 2
 *   1      1    opcode 1 (MAP); 0x80 in responses
 *   2      2    0; in responses: 0, result code
 *   4      4    lifetime, seconds; 0 deletes
 *   8      16   client address; in responses: epoch4, 12 reserved
 *   24     12   nonce
 *   36     1    protocol 17, then 3 zeros
 *   40     2    inside port
 *   42     2    outside port: suggested, in responses assigned
 *   44     16   outside address: suggested, in responses assigned */
static void write_pcp(const struct portmap *p, struct wr *w, uint32_t lifetime_s)
{
    struct addr any = {.family = p->config.inside.family};

    wr_u8(w, PCP_VERSION);
    wr_u8(w, PCP_OPCODE_MAP);
    wr_u16(w, 0);
    wr_u32(w, lifetime_s);
    write_ip(w, &p->config.inside);
    wr_bytes(w, p->nonce, sizeof p->nonce);
    wr_u8(w, UDP);
    wr_zeros(w, 3);
    wr_u16(w, p->config.inside.port);
    wr_u16(w, p->outside.family != ADDR_NONE ? p->outside.port : p->config.inside.port);
    write_ip(w, p->outside.family != ADDR_NONE ? &p->outside : &any);
}

/* NAT-PMP (RFC 6886 §3.2, §3.3): version 0, opcode 0 asks for the outside address; opcode 1: 2 zeros, inside port2,
 * outside port2, lifetime4. */
static void write_pmp(const struct portmap *p, struct wr *w, uint32_t lifetime_s)
{
    wr_u8(w, PMP_VERSION);
    wr_u8(w, p->dialect == DIALECT_PMP_ADDR ? PMP_OPCODE_ADDR : PMP_OPCODE_UDP);
    if (p->dialect == DIALECT_PMP_ADDR)
        return;
    wr_u16(w, 0);
    wr_u16(w, p->config.inside.port);
    wr_u16(w, lifetime_s == 0 ? 0 : p->outside.family != ADDR_NONE ? p->outside.port : p->config.inside.port);
    wr_u32(w, lifetime_s);
}

static void transmit(struct portmap *p, uint32_t lifetime_s)
{
    uint8_t buf[PCP_MAP_BYTES];
    struct wr w;

    wr_init(&w, buf, sizeof buf);
    if (p->dialect == DIALECT_PCP)
        write_pcp(p, &w, lifetime_s);
    else
        write_pmp(p, &w, lifetime_s);
    p->ops->send(p->arg, &p->config.gateway, wr_done(&w));
}

static void ask(struct portmap *p, ns_t now)
{
    p->next_at = now + (NS_PER_S << p->n_sent);
    p->n_sent++;
    transmit(p, p->config.lifetime_s);
}

static void ask_anew(struct portmap *p, ns_t now, enum dialect dialect)
{
    p->dialect = dialect;
    p->n_sent = 0;
    ask(p, now);
}

void portmap_start(struct portmap *p, ns_t now)
{
    if (p->state != PORTMAP_IDLE)
        return;
    p->state = PORTMAP_ASKING;
    env_random(p->env, p->nonce, sizeof p->nonce);
    ask_anew(p, now, DIALECT_PCP);
}

static void set_state(struct portmap *p, ns_t now, enum portmap_state state)
{
    p->state = state;
    if (state != PORTMAP_MAPPED)
        p->outside.family = ADDR_NONE;
    p->ops->state(p->arg, now, state, &p->outside);
}

void portmap_stop(struct portmap *p, ns_t now)
{
    if (p->state == PORTMAP_MAPPED)
        transmit(p, 0);
    p->next_at = NS_NEVER;
    if (p->state != PORTMAP_IDLE)
        set_state(p, now, PORTMAP_IDLE);
}

static void refused(struct portmap *p, ns_t now)
{
    p->next_at = now + PORTMAP_RETRY_NS;
    p->n_sent = 0;
    if (p->state != PORTMAP_FAILED)
        set_state(p, now, PORTMAP_FAILED);
}

static void mapped(struct portmap *p, ns_t now, const struct addr *outside, uint32_t lifetime_s)
{
    bool is_same = p->state == PORTMAP_MAPPED && addr_equal(outside, &p->outside);

    if (outside->port == 0 || lifetime_s == 0 || addr_class(outside) == ADDR_UNUSABLE) {
        refused(p, now);
        return;
    }
    p->n_sent = 0;
    p->next_at = now + (ns_t)(lifetime_s / 2 + 1) * NS_PER_S;
    p->outside = *outside;
    if (!is_same)
        set_state(p, now, PORTMAP_MAPPED);
}

/* The gateway's clock went back: it restarted, and forgot us (RFC 6887 §8.5, RFC 6886 §3.6). */
static bool has_restarted(struct portmap *p, ns_t now, uint32_t epoch_s)
{
    uint64_t expected_s = p->epoch_s + (now - p->epoch_at) / NS_PER_S * 7 / 8;
    bool went_back = p->has_epoch && (uint64_t)epoch_s + 2 < expected_s;

    p->has_epoch = true;
    p->epoch_s = epoch_s;
    p->epoch_at = now;
    return went_back;
}

static bool input_pcp(struct portmap *p, ns_t now, struct rd *r)
{
    uint8_t opcode, result, ip[16], protocol;
    uint16_t inside_port, outside_port;
    uint32_t lifetime_s, epoch_s;
    struct slice nonce;
    struct addr outside;

    opcode = rd_u8(r);
    rd_skip(r, 1);
    result = rd_u8(r);
    lifetime_s = rd_u32(r);
    epoch_s = rd_u32(r);
    rd_skip(r, 12);
    if (!rd_ok(r) || opcode != (RESPONSE | PCP_OPCODE_MAP) || p->dialect != DIALECT_PCP)
        return false;
    nonce = rd_bytes(r, PORTMAP_NONCE_BYTES);
    protocol = rd_u8(r);
    rd_skip(r, 3);
    inside_port = rd_u16(r);
    outside_port = rd_u16(r);
    rd_copy(r, ip, sizeof ip);
    if (!rd_ok(r) || !slice_equal(nonce, slice_of(p->nonce, sizeof p->nonce)) || protocol != UDP ||
        inside_port != p->config.inside.port)
        return false;
    p->has_answered = true;
    (void)has_restarted(p, now, epoch_s);
    outside = addr_v6(ip, outside_port);
    if (result != RESULT_OK)
        refused(p, now);
    else
        mapped(p, now, &outside, lifetime_s);
    return true;
}

static bool input_pmp(struct portmap *p, ns_t now, struct rd *r)
{
    uint8_t opcode = rd_u8(r);
    uint16_t result = rd_u16(r), inside_port, outside_port;
    uint32_t epoch_s = rd_u32(r), lifetime_s;
    uint8_t ip[4];

    if (rd_ok(r) && p->dialect == DIALECT_PCP && result == RESULT_VERSION) {
        p->has_answered = true; /* "I speak version 0 only" (RFC 6887 §9) */
        ask_anew(p, now, DIALECT_PMP_ADDR);
        return true;
    }
    if (!rd_ok(r) || p->dialect == DIALECT_PCP)
        return false;
    if (opcode == (RESPONSE | PMP_OPCODE_ADDR) && p->dialect == DIALECT_PMP_ADDR) {
        rd_copy(r, ip, sizeof ip);
        if (!rd_done(r) || result != RESULT_OK) {
            refused(p, now);
            return true;
        }
        (void)has_restarted(p, now, epoch_s);
        p->external = addr_v4(ip, 0);
        ask_anew(p, now, DIALECT_PMP_MAP);
        return true;
    }
    inside_port = rd_u16(r);
    outside_port = rd_u16(r);
    lifetime_s = rd_u32(r);
    if (!rd_done(r) || opcode != (RESPONSE | PMP_OPCODE_UDP) || p->dialect != DIALECT_PMP_MAP ||
        inside_port != p->config.inside.port)
        return false;
    p->external.port = outside_port;
    if (result != RESULT_OK)
        refused(p, now);
    else
        mapped(p, now, &p->external, lifetime_s);
    return true;
}

/* NAT-PMP's unasked-for word of a new outside address, or of a restart (RFC 6886 §3.2.1). */
static bool input_announcement(struct portmap *p, ns_t now, struct slice bytes)
{
    struct rd r;
    uint32_t epoch_s;

    if (bytes.len != 12 || bytes.data[1] != (RESPONSE | PMP_OPCODE_ADDR) || p->state != PORTMAP_MAPPED)
        return false;
    rd_init(&r, slice_of(bytes.data + 4, 4));
    epoch_s = rd_u32(&r);
    if (has_restarted(p, now, epoch_s) ||
        (p->external.family == ADDR_V4 && memcmp(p->external.ip, bytes.data + 8, 4) != 0))
        ask_anew(p, now, p->dialect == DIALECT_PCP ? DIALECT_PCP : DIALECT_PMP_ADDR);
    return true;
}

bool portmap_input(struct portmap *p, ns_t now, const struct addr *from, struct slice bytes)
{
    struct rd r;
    uint8_t version;

    if (p->is_dead || p->state == PORTMAP_IDLE || !addr_equal(from, &p->config.gateway) || bytes.len < 8)
        return false;
    if (p->state == PORTMAP_MAPPED && p->n_sent == 0)
        return input_announcement(p, now, bytes); /* nothing was asked */
    rd_init(&r, bytes);
    version = rd_u8(&r);
    if (version == PCP_VERSION)
        return input_pcp(p, now, &r);
    return version == PMP_VERSION && input_pmp(p, now, &r);
}

void portmap_tick(struct portmap *p, ns_t now)
{
    if (p->is_dead || now < p->next_at)
        return;
    if (p->n_sent == TRIES_PCP && p->dialect == DIALECT_PCP && !p->has_answered) {
        ask_anew(p, now, DIALECT_PMP_ADDR); /* some old routers drop what they do not know */
    } else if (p->n_sent == TRIES) {
        refused(p, now);
    } else if (p->n_sent == 0 && p->state == PORTMAP_FAILED) {
        ask_anew(p, now, DIALECT_PCP);
    } else if (p->n_sent == 0) {
        ask_anew(p, now, p->dialect == DIALECT_PCP ? DIALECT_PCP : DIALECT_PMP_ADDR);
    } else {
        ask(p, now);
    }
}

ns_t portmap_deadline(const struct portmap *p)
{
    return p->is_dead ? NS_NEVER : p->next_at;
}

const struct addr *portmap_outside(const struct portmap *p)
{
    return &p->outside;
}

const char *portmap_protocol(const struct portmap *p)
{
    if (!p->has_answered && p->dialect == DIALECT_PCP)
        return "none";
    return p->dialect == DIALECT_PCP ? "pcp" : "nat-pmp";
}
