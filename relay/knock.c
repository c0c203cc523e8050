#include "relay/knock.h"

#include <uthash.h>

#include "base/list.h"
#include "base/mem.h"
#include "relay/bucket.h"
#include "relay/ledger.h"

/* Tokens are found by hash: a flood with wrong ones costs one look-up each. */
struct token {
    UT_hash_handle hh;
    uint8_t bytes[KNOCK_TOKEN_BYTES];
    struct registration *of;
};

struct registration {
    struct list node;
    uint64_t session_ref;
    uint8_t account[32];
    uint32_t generation;
    uint64_t epoch; /* of tokens[0]; tokens[1] is of the epoch before */
    struct token tokens[2];
    ns_t new_paid_at; /* when all its new flows will be paid for */
};

struct flow {
    UT_hash_handle hh;
    struct list node; /* oldest first: they all live KNOCK_FLOW_S */
    uint32_t id;
    struct addr caller;
    uint64_t prefix; /* of the caller */
    uint64_t session_ref;
    uint8_t token[KNOCK_TOKEN_BYTES];
    bool is_proven;
    uint32_t n_in, n_out, bytes_in, bytes_out;
    ns_t expires_at;
};

struct knock_proxy {
    struct knock_ops ops;
    void *arg;
    const struct env *env;
    uint8_t secret[32];
    uint32_t max_registrations;
    struct list registrations, flows;
    struct token *by_token;
    struct flow *by_id;
    struct bucket rate;
    struct knock_stats stats;
};

/* --- frames --- */

/* C8: type1 flags1 len2 token8 flow4 body[len].  C9: type1 flags1 len2 flow4 body[len].  flags: 0. */
struct slice knock_build_c8(void *buf, size_t size, const uint8_t token[static KNOCK_TOKEN_BYTES],
                            uint32_t flow, struct slice body)
{
    struct wr w;

    wr_init(&w, buf, size);
    wr_u8(&w, KNOCK_C8);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)body.len);
    wr_bytes(&w, token, KNOCK_TOKEN_BYTES);
    wr_u32(&w, flow);
    wr_slice(&w, body);
    return body.len <= KNOCK_BODY_MAX ? wr_done(&w) : slice_of(NULL, 0);
}

struct slice knock_build_c9(void *buf, size_t size, uint32_t flow, struct slice body)
{
    struct wr w;

    wr_init(&w, buf, size);
    wr_u8(&w, KNOCK_C9);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)body.len);
    wr_u32(&w, flow);
    wr_slice(&w, body);
    return body.len <= KNOCK_BODY_MAX ? wr_done(&w) : slice_of(NULL, 0);
}

static enum err parse_frame(struct slice bytes, uint8_t type, uint8_t *token, uint32_t *flow,
                            struct slice *body)
{
    struct rd r;
    uint16_t len;
    bool is_type;

    rd_init(&r, bytes);
    is_type = rd_u8(&r) == type;
    if (rd_u8(&r) != 0)
        rd_fail(&r);
    len = rd_u16(&r);
    if (token != NULL)
        rd_copy(&r, token, KNOCK_TOKEN_BYTES);
    *flow = rd_u32(&r);
    *body = rd_bytes(&r, len);
    return is_type && rd_done(&r) && len > 0 && len <= KNOCK_BODY_MAX ? ERR_OK : ERR_PARSE;
}

enum err knock_parse_c8(struct slice bytes, uint8_t token[static KNOCK_TOKEN_BYTES], uint32_t *flow,
                        struct slice *body)
{
    return parse_frame(bytes, KNOCK_C8, token, flow, body);
}

enum err knock_parse_c9(struct slice bytes, uint32_t *flow, struct slice *body)
{
    return parse_frame(bytes, KNOCK_C9, NULL, flow, body);
}

/* --- life --- */

struct knock_proxy *knock_proxy_create(const struct knock_config *config, const struct knock_ops *ops,
                                       void *arg, const struct env *env)
{
    struct knock_proxy *kp = mem_alloc(sizeof *kp);

    kp->ops = *ops;
    kp->arg = arg;
    kp->env = env;
    memcpy(kp->secret, config->secret, sizeof kp->secret);
    kp->max_registrations = config->max_registrations < KNOCK_REGISTRATIONS_MAX ? config->max_registrations
                                                                                : KNOCK_REGISTRATIONS_MAX;
    list_init(&kp->registrations);
    list_init(&kp->flows);
    knock_set_kbps(kp, config->max_kbps);
    return kp;
}

static void drop_flow(struct knock_proxy *kp, struct flow *f)
{
    list_remove(&f->node);
    HASH_DEL(kp->by_id, f);
    kp->stats.flows--;
    mem_free(f);
}

static void forget_tokens(struct knock_proxy *kp, struct registration *reg)
{
    for (int i = 0; i < 2; i++) {
        if (reg->tokens[i].of != NULL)
            HASH_DEL(kp->by_token, &reg->tokens[i]);
        reg->tokens[i].of = NULL;
    }
}

static void drop_registration(struct knock_proxy *kp, struct registration *reg)
{
    list_each_safe(node, &kp->flows)
    {
        struct flow *f = list_item(node, struct flow, node);

        if (f->session_ref == reg->session_ref)
            drop_flow(kp, f);
    }
    forget_tokens(kp, reg);
    list_remove(&reg->node);
    kp->stats.registrations--;
    secret_wipe(reg, sizeof *reg);
    mem_free(reg);
}

void knock_proxy_destroy(struct knock_proxy *kp)
{
    if (kp == NULL)
        return;
    while (!list_is_empty(&kp->registrations))
        drop_registration(kp, list_item(kp->registrations.next, struct registration, node));
    while (!list_is_empty(&kp->flows))
        drop_flow(kp, list_item(kp->flows.next, struct flow, node));
    secret_wipe(kp->secret, sizeof kp->secret);
    mem_free(kp);
}

void knock_set_kbps(struct knock_proxy *kp, uint32_t max_kbps)
{
    bucket_set(&kp->rate, max_kbps);
    kp->rate.burst_ns = kp->rate.ns_per_kib * KNOCK_BURST_KIB; /* a call is set up in one go */
}

const struct knock_stats *knock_stats(const struct knock_proxy *kp)
{
    return &kp->stats;
}

/* --- registrations --- */

static int64_t wall_s(const struct knock_proxy *kp)
{
    return env_wall_ms(kp->env) / 1000;
}

/* A token looks random, but needs no storage: the same after a restart or a new session. */
static void make_token(const struct knock_proxy *kp, const struct registration *reg, uint64_t epoch,
                       uint8_t out[static KNOCK_TOKEN_BYTES])
{
    struct hasher h;

    hash_begin(&h, KNOCK_TOKEN_BYTES, kp->secret, sizeof kp->secret);
    hash_text(&h, "itodenwa-knock-token-v1");
    hash_bytes(&h, reg->account, sizeof reg->account);
    hash_u32(&h, reg->generation);
    hash_u64(&h, epoch);
    hash_end(&h, out);
}

static void set_tokens(struct knock_proxy *kp, struct registration *reg, uint64_t epoch)
{
    forget_tokens(kp, reg);
    reg->epoch = epoch;
    for (int i = 0; i < 2; i++) {
        struct token *t = &reg->tokens[i];

        make_token(kp, reg, epoch - (uint64_t)i, t->bytes);
        t->of = reg;
        HASH_ADD(hh, kp->by_token, bytes, KNOCK_TOKEN_BYTES, t);
    }
}

static struct registration *by_session(struct knock_proxy *kp, uint64_t session_ref)
{
    list_each(node, &kp->registrations)
    {
        struct registration *reg = list_item(node, struct registration, node);

        if (reg->session_ref == session_ref)
            return reg;
    }
    return NULL;
}

static struct registration *by_account(struct knock_proxy *kp, const uint8_t account[static 32])
{
    list_each(node, &kp->registrations)
    {
        struct registration *reg = list_item(node, struct registration, node);

        if (memcmp(reg->account, account, sizeof reg->account) == 0)
            return reg;
    }
    return NULL;
}

static struct registration *by_token(struct knock_proxy *kp, const uint8_t token[static KNOCK_TOKEN_BYTES])
{
    struct token *t;

    HASH_FIND(hh, kp->by_token, token, KNOCK_TOKEN_BYTES, t);
    return t == NULL ? NULL : t->of;
}

enum err knock_register(struct knock_proxy *kp, ns_t now, uint64_t session_ref,
                        const uint8_t account[static 32], uint32_t generation, struct knock_tokens *out)
{
    struct registration *reg = by_session(kp, session_ref);
    int64_t t = wall_s(kp);

    (void)now;
    if (reg == NULL)
        reg = by_account(kp, account);
    if (reg == NULL) {
        if (kp->stats.registrations >= kp->max_registrations)
            return ERR_FULL;
        reg = mem_alloc(sizeof *reg);
        list_append(&kp->registrations, &reg->node);
        kp->stats.registrations++;
    }
    reg->session_ref = session_ref;
    memcpy(reg->account, account, sizeof reg->account);
    reg->generation = generation;
    set_tokens(kp, reg, (uint64_t)t / KNOCK_EPOCH_S);
    memcpy(out->token, reg->tokens[0].bytes, sizeof out->token);
    memcpy(out->old, reg->tokens[1].bytes, sizeof out->old);
    out->valid_s = (uint32_t)(KNOCK_EPOCH_S - t % KNOCK_EPOCH_S);
    return ERR_OK;
}

void knock_unregister(struct knock_proxy *kp, uint64_t session_ref)
{
    struct registration *reg = by_session(kp, session_ref);

    if (reg != NULL)
        drop_registration(kp, reg);
}

/* --- flows --- */

static struct flow *flow_by_id(struct knock_proxy *kp, uint32_t id)
{
    struct flow *f;

    HASH_FIND(hh, kp->by_id, &id, sizeof id, f);
    return f;
}

/* A first frame that comes again before its answer belongs to the flow it opened. */
static struct flow *flow_opened_by(struct knock_proxy *kp, const struct addr *from,
                                   const uint8_t token[static KNOCK_TOKEN_BYTES])
{
    list_each(node, &kp->flows)
    {
        struct flow *f = list_item(node, struct flow, node);

        if (!f->is_proven && addr_equal(&f->caller, from) && memcmp(f->token, token, sizeof f->token) == 0)
            return f;
    }
    return NULL;
}

struct count {
    unsigned net, net_unproven, net_proven, unproven;
    struct flow *oldest; /* of those in net_proven */
};

/* What is open from a network (net: in all) and to a registration. */
static struct count count_flows(const struct knock_proxy *kp, uint64_t prefix, uint64_t session_ref)
{
    struct count n = {0};

    list_each(node, &kp->flows)
    {
        struct flow *f = list_item(node, struct flow, node);
        bool is_net = f->prefix == prefix, is_to = f->session_ref == session_ref;

        n.net += is_net;
        n.unproven += is_to && !f->is_proven;
        n.net_unproven += is_net && is_to && !f->is_proven;
        n.net_proven += is_net && is_to && f->is_proven;
        if (n.oldest == NULL && is_net && is_to && f->is_proven)
            n.oldest = f;
    }
    return n;
}

static bool take_new(struct registration *reg, ns_t now)
{
    ns_t gap = NS_PER_S / KNOCK_NEW_PER_S;

    if (reg->new_paid_at < now)
        reg->new_paid_at = now;
    if (reg->new_paid_at - now > (KNOCK_NEW_BURST - 1) * gap)
        return false;
    reg->new_paid_at += gap;
    return true;
}

static struct flow *open_flow(struct knock_proxy *kp, ns_t now, const struct addr *from,
                              struct registration *reg, const uint8_t token[static KNOCK_TOKEN_BYTES])
{
    uint64_t prefix = ledger_prefix_of(from);
    struct count n = count_flows(kp, prefix, reg->session_ref);
    struct flow *f;

    if (n.net_unproven >= KNOCK_UNPROVEN_PER_NET || n.unproven >= KNOCK_UNPROVEN_PER_TOKEN ||
        !take_new(reg, now))
        return NULL;
    if (n.net_proven >= KNOCK_PROVEN_PER_NET)
        drop_flow(kp, n.oldest);
    else if (n.net >= KNOCK_FLOWS_PER_NET || kp->stats.flows >= KNOCK_FLOWS_MAX)
        return NULL;
    f = mem_alloc(sizeof *f);
    do {
        f->id = env_random_u32(kp->env);
    } while (f->id == 0 || flow_by_id(kp, f->id) != NULL);
    f->caller = *from;
    f->prefix = prefix;
    f->session_ref = reg->session_ref;
    memcpy(f->token, token, sizeof f->token);
    f->expires_at = now + KNOCK_FLOW_S * NS_PER_S;
    list_append(&kp->flows, &f->node);
    HASH_ADD(hh, kp->by_id, id, sizeof f->id, f);
    kp->stats.flows++;
    return f;
}

void knock_input(struct knock_proxy *kp, ns_t now, const struct addr *from, struct slice bytes)
{
    uint8_t token[KNOCK_TOKEN_BYTES], buf[4 + KNOCK_BODY_MAX];
    struct registration *reg;
    struct slice body;
    struct flow *f;
    uint32_t id;
    struct wr w;

    if (knock_parse_c8(bytes, token, &id, &body) != ERR_OK) {
        kp->stats.malformed++;
        return;
    }
    reg = by_token(kp, token);
    if (reg == NULL) {
        kp->stats.unknown_token++;
        return;
    }
    f = id == 0 ? flow_opened_by(kp, from, token) : flow_by_id(kp, id);
    if (id == 0 && f == NULL)
        f = open_flow(kp, now, from, reg, token);
    if (f == NULL || f->session_ref != reg->session_ref || now >= f->expires_at) {
        (*(id == 0 ? &kp->stats.over_cap : &kp->stats.unknown_flow))++;
        return;
    }
    if (f->n_in >= KNOCK_FLOW_DATAGRAMS || f->bytes_in + bytes.len > KNOCK_FLOW_BYTES) {
        kp->stats.over_cap++;
        return;
    }
    if (!bucket_take(&kp->rate, now, bytes.len)) {
        kp->stats.over_rate++;
        return;
    }
    if (id != 0) { /* only someone at that address can know the flow */
        f->is_proven = f->is_proven || addr_equal(&f->caller, from);
        if (!addr_equal(&f->caller, from)) {
            kp->stats.unknown_flow++;
            return;
        }
    }
    f->n_in++;
    f->bytes_in += (uint32_t)bytes.len;
    kp->stats.delivered++;
    wr_init(&w, buf, sizeof buf);
    wr_u32(&w, f->id);
    wr_slice(&w, body);
    kp->ops.deliver(kp->arg, reg->session_ref, wr_done(&w));
}

void knock_reply(struct knock_proxy *kp, ns_t now, uint64_t session_ref, struct slice flow_and_body)
{
    uint8_t buf[KNOCK_C9_HEADER + KNOCK_BODY_MAX];
    struct slice body, frame;
    struct flow *f;
    struct rd r;

    rd_init(&r, flow_and_body);
    f = flow_by_id(kp, rd_u32(&r));
    body = rd_rest(&r);
    if (!rd_ok(&r) || body.len == 0 || body.len > KNOCK_BODY_MAX) {
        kp->stats.malformed++;
        return;
    }
    if (f == NULL || f->session_ref != session_ref || now >= f->expires_at) {
        kp->stats.unknown_flow++;
        return;
    }
    frame = knock_build_c9(buf, sizeof buf, f->id, body);
    if (f->n_out >= KNOCK_FLOW_DATAGRAMS || f->bytes_out + frame.len > KNOCK_FLOW_BYTES ||
        (!f->is_proven && f->bytes_out + frame.len > f->bytes_in)) {
        kp->stats.over_cap++;
        return;
    }
    if (!bucket_take(&kp->rate, now, frame.len)) {
        kp->stats.over_rate++;
        return;
    }
    f->n_out++;
    f->bytes_out += (uint32_t)frame.len;
    kp->stats.returned++;
    kp->ops.send(kp->arg, &f->caller, frame);
}

/* --- time --- */

void knock_tick(struct knock_proxy *kp, ns_t now)
{
    uint64_t epoch = (uint64_t)wall_s(kp) / KNOCK_EPOCH_S;

    while (!list_is_empty(&kp->flows)) {
        struct flow *f = list_item(kp->flows.next, struct flow, node);

        if (now < f->expires_at)
            break;
        drop_flow(kp, f);
    }
    list_each_safe(node, &kp->registrations)
    {
        struct registration *reg = list_item(node, struct registration, node);

        if (reg->epoch == epoch)
            continue;
        set_tokens(kp, reg, epoch);
        if (kp->ops.renewed != NULL)
            kp->ops.renewed(kp->arg, reg->session_ref, reg->generation);
    }
}

ns_t knock_deadline(const struct knock_proxy *kp)
{
    if (list_is_empty(&kp->flows))
        return NS_NEVER; /* epochs turn with any other tick */
    return list_item(kp->flows.next, struct flow, node)->expires_at;
}
