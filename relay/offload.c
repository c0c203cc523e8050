#include "relay/offload.h"

#include "base/mem.h"
#include "nat/stun.h"
#include "relay/forward.h"

/* One end, and the flow that begins there. */
struct side {
    uint64_t allocation; /* allocation_id() */
    uint16_t channel;
    uint64_t packets, bytes; /* booked */
    uint64_t allowed;        /* bytes that are paid for, since the beginning; UINT64_MAX: no cap on the way */
    uint64_t credit;         /* how far `allowed` should be ahead of `bytes` */
};

struct offload_pair {
    uint32_t number; /* of ops */
    ns_t heard_at;
    struct side sides[2];
};

#define NO_CAP UINT64_MAX

void offload_init(struct offload *o, const struct offload_ops *ops, void *arg)
{
    *o = (struct offload){.ops = ops, .arg = arg, .step_at = NS_NEVER};
}

void offload_fini(struct forwarder *f)
{
    offload_drop_all(f);
    mem_free(f->offload.pairs);
    f->offload.pairs = NULL;
}

/* --- may it be carried? --- */

/* The allocation that is reached by `peer`, when that is one of our own relayed addresses. */
static struct allocation *inside(const struct forwarder *f, const struct addr *peer)
{
    int family = family_index(peer);

    return addr_equal_ip(&f->external[family], peer) ? alloc_table_by_port(&f->table, family, peer->port)
                                                     : NULL;
}

/* When this permission of a ends; 0: there is none. */
static ns_t permitted_until(const struct allocation *a, const struct addr *peer, ns_t now)
{
    for (uint8_t i = 0; i < a->n_permissions; i++) {
        if (addr_equal_ip(&a->permissions[i].ip, peer))
            return now < a->permissions[i].expires_at ? a->permissions[i].expires_at : 0;
    }
    return 0;
}

/* The channel of b that leads back to a, whose own one is ch; NULL when one of what a packet needs on its way in
 * either direction is missing (forward_on_channel()). until: when the first of it ends. */
static const struct channel *way_back(const struct forwarder *f, const struct allocation *a,
                                      const struct channel *ch, const struct allocation *b, ns_t now,
                                      ns_t *until)
{
    struct addr from = forward_relayed(f, a, family_index(&ch->peer));
    const struct channel *back = from.family == ADDR_NONE ? NULL : allocation_channel_to(b, &from, now);
    ns_t t;

    if (back == NULL || a == b || inside(f, &ch->peer) != b)
        return NULL;
    t = ns_min(ch->expires_at, back->expires_at);
    t = ns_min(t, ns_min(permitted_until(a, &ch->peer, now), permitted_until(b, &from, now)));
    *until = ns_min(t, ns_min(a->timer.at, b->timer.at));
    return now < *until ? back : NULL;
}

/* --- rate caps --- */

/* Charge `bytes` to all three caps on the way of what comes from a and goes to b: only while there is room for what
 * comes by ourselves. */
static bool prepay(struct forwarder *f, ns_t now, struct allocation *a, struct allocation *b, uint64_t bytes)
{
    if (!bucket_has_room(&a->rate[0], now) || !bucket_has_room(&b->rate[1], now) ||
        !bucket_has_room(&f->rate, now))
        return false;
    return bucket_take(&a->rate[0], now, bytes) && bucket_take(&b->rate[1], now, bytes) &&
           bucket_take(&f->rate, now, bytes);
}

static void pay_back(struct forwarder *f, struct allocation *a, struct allocation *b, const struct side *s)
{
    uint64_t bytes = s->allowed > s->bytes && s->allowed != NO_CAP ? s->allowed - s->bytes : 0;

    bucket_give(&a->rate[0], bytes);
    bucket_give(&b->rate[1], bytes);
    bucket_give(&f->rate, bytes);
}

/* `carried` bytes went by since the last time: charge for twice as many to come. */
static void allow(struct forwarder *f, ns_t now, struct allocation *a, struct allocation *b, struct side *s,
                  uint64_t carried)
{
    uint64_t ahead;

    if (a->rate[0].ns_per_kib == 0 && b->rate[1].ns_per_kib == 0 && f->rate.ns_per_kib == 0) {
        s->allowed = NO_CAP;
        return;
    }
    if (s->allowed == NO_CAP) /* there is one now */
        s->allowed = s->bytes;
    s->credit = 2 * carried > OFFLOAD_CREDIT_MIN ? 2 * carried : OFFLOAD_CREDIT_MIN;
    ahead = s->allowed > s->bytes ? s->allowed - s->bytes : 0;
    if (ahead < s->credit && prepay(f, now, a, b, s->credit - ahead))
        s->allowed = s->bytes + s->credit;
}

/* --- booking --- */

static unsigned wire_head(const struct allocation *a)
{
    return a->client.family == ADDR_V6 ? 48 : 28;
}

static void note(struct allocation *a, ns_t now, uint64_t packets)
{
    for (uint64_t i = 0; i < packets && i <= SECOND_PROBES; i++) /* more say nothing new at one moment */
        allocation_note(a, now);
}

/* What a's flow to b carried since it was booked, as forward_on_channel() would have counted it. Bytes. */
static uint64_t book(struct forwarder *f, ns_t now, struct allocation *a, struct allocation *b,
                     struct side *s, struct offload_count c)
{
    uint64_t packets = c.packets - s->packets, bytes = c.bytes - s->bytes;

    s->packets = c.packets;
    s->bytes = c.bytes;
    if (packets == 0)
        return 0;
    a->up_packets += packets;
    a->up_bytes += bytes;
    b->down_packets += packets;
    b->down_bytes += bytes;
    note(a, now, packets);
    note(b, now, packets);
    f->stats.bytes_in += bytes;
    f->stats.bytes += bytes;
    f->stats.packets += packets;
    f->stats.hairpins += packets;
    f->stats.offloaded += packets;
    f->stats.wire_bytes += 2 * bytes + packets * (STUN_CHANNEL_HEADER + wire_head(a) + wire_head(b));
    return bytes;
}

static struct allocation *end_of(const struct forwarder *f, const struct offload_pair *p, int i)
{
    return alloc_table_at(&f->table, p->sides[i].allocation);
}

static void take_back(struct forwarder *f, ns_t now, uint32_t index)
{
    struct offload *o = &f->offload;
    struct offload_pair *p = &o->pairs[index];
    struct allocation *ends[2] = {end_of(f, p, 0), end_of(f, p, 1)}; /* offload_drop() comes before they go */
    struct offload_count c[2];

    o->ops->remove(o->arg, now, p->number, c);
    for (int i = 0; i < 2; i++) {
        book(f, now, ends[i], ends[1 - i], &p->sides[i], c[i]);
        pay_back(f, ends[i], ends[1 - i], &p->sides[i]);
        ends[i]->pair = 0;
    }
    o->n_pairs--;
    if (index != o->n_pairs) { /* the last one takes its place */
        *p = o->pairs[o->n_pairs];
        for (int i = 0; i < 2; i++)
            end_of(f, p, i)->pair = index + 1;
    }
    f->stats.offload_pairs = o->n_pairs;
    if (o->n_pairs == 0)
        o->step_at = NS_NEVER;
}

void offload_drop(struct forwarder *f, ns_t now, struct allocation *a)
{
    if (a->pair != 0)
        take_back(f, now, a->pair - 1);
}

void offload_drop_all(struct forwarder *f)
{
    while (f->offload.n_pairs > 0)
        take_back(f, f->offload.now, f->offload.n_pairs - 1);
}

/* --- in and on --- */

/* What its sides carried is booked, and they go on for a while. False: it may not go on. */
static bool go_on(struct forwarder *f, ns_t now, struct offload_pair *p)
{
    struct offload *o = &f->offload;
    struct allocation *ends[2] = {end_of(f, p, 0), end_of(f, p, 1)};
    const struct channel *ch = allocation_channel(ends[0], p->sides[0].channel, now), *back;
    uint64_t carried[2];
    ns_t until;

    for (int i = 0; i < 2; i++) {
        uint64_t packets = p->sides[i].packets;

        carried[i] = book(f, now, ends[i], ends[1 - i], &p->sides[i], o->ops->count(o->arg, p->number, i));
        if (p->sides[i].packets != packets)
            p->heard_at = now;
    }
    back = ch == NULL ? NULL : way_back(f, ends[0], ch, ends[1], now, &until);
    if (back == NULL || back->number != p->sides[1].channel || now - p->heard_at >= OFFLOAD_IDLE_NS)
        return false;
    until = ns_min(until, now + OFFLOAD_LEASE_NS);
    for (int i = 0; i < 2; i++) {
        allow(f, now, ends[i], ends[1 - i], &p->sides[i], carried[i]);
        o->ops->renew(o->arg, p->number, i, until, p->sides[i].allowed);
    }
    return true;
}

void offload_step(struct forwarder *f, ns_t now)
{
    struct offload *o = &f->offload;

    if (now < o->step_at)
        return;
    o->now = now;
    o->step_at = now + OFFLOAD_STEP_NS;
    for (uint32_t i = o->n_pairs; i > 0; i--) { /* from the end: the last one may take another's place */
        if (!go_on(f, now, &o->pairs[i - 1]))
            take_back(f, now, i - 1);
    }
}

void offload_consider(struct forwarder *f, ns_t now, struct allocation *a, const struct channel *ch)
{
    struct offload *o = &f->offload;
    struct allocation *b = inside(f, &ch->peer);
    const struct channel *back;
    struct offload_pair *p;
    struct offload_end ends[2];
    uint32_t number;
    ns_t until;

    if (b == NULL || a->pair != 0 || b->pair != 0 || addr_is_stream(&a->client) || addr_is_stream(&b->client))
        return;
    back = way_back(f, a, ch, b, now, &until);
    if (back == NULL)
        return;
    o->now = now;
    ends[0] = (struct offload_end){a->client, ch->number};
    ends[1] = (struct offload_end){b->client, back->number};
    number = o->ops->add(o->arg, now, ends);
    if (number == 0)
        return;
    if (o->n_pairs == o->cap_pairs) {
        o->cap_pairs = o->cap_pairs == 0 ? 16 : 2 * o->cap_pairs;
        o->pairs = mem_resize(o->pairs, o->cap_pairs, sizeof *o->pairs);
    }
    p = &o->pairs[o->n_pairs++];
    *p = (struct offload_pair){.number = number,
                               .heard_at = now,
                               .sides = {{.allocation = allocation_id(a), .channel = ch->number},
                                         {.allocation = allocation_id(b), .channel = back->number}}};
    a->pair = b->pair = o->n_pairs;
    f->stats.offload_pairs = o->n_pairs;
    if (o->step_at == NS_NEVER)
        o->step_at = now + OFFLOAD_STEP_NS;
}
