#include "relay/offload.h"

#include "base/mem.h"
#include "nat/stun.h"
#include "relay/forward.h"

/* One end, and the flow that begins there. */
struct side {
    bool is_peer;        /* outside: no allocation, no channel */
    uint64_t allocation; /* allocation_id() */
    uint16_t channel;
    uint64_t packets, bytes; /* booked */
    uint64_t allowed;        /* bytes that are paid for, since the beginning; UINT64_MAX: no cap on the way */
    uint64_t credit;         /* how far `allowed` should be ahead of `bytes` */
};

struct offload_pair {
    uint32_t number; /* of ops */
    ns_t heard_at;
    struct addr peer; /* of the first side's channel */
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

/* Where a channel of a leads, and until when a packet has all that it needs on its way there and back, as
 * forward_on_channel() and forward_to_client() have it: 0, not so. */
struct way {
    struct allocation *b; /* NULL: a peer outside */
    const struct channel *back;
    ns_t until;
};

static struct way find_way(const struct forwarder *f, const struct allocation *a, const struct channel *ch,
                           ns_t now)
{
    int family = family_index(&ch->peer);
    struct addr from = forward_relayed(f, a, family);
    struct way w = {.b = inside(f, &ch->peer)};
    ns_t until = ns_min(ch->expires_at, ns_min(permitted_until(a, &ch->peer, now), a->timer.at));

    if (from.family == ADDR_NONE || w.b == a)
        return w;
    if (w.b == NULL) {
        w.until = a->is_open[family] && forward_peer_kind(f, &ch->peer, false) == PEER_OUTSIDE ? until : 0;
        return w;
    }
    w.back = allocation_channel_to(w.b, &from, now);
    if (w.back != NULL)
        w.until = ns_min(ns_min(until, w.back->expires_at),
                         ns_min(permitted_until(w.b, &from, now), w.b->timer.at));
    return w;
}

/* --- rate caps --- */

/* The caps on the way of what comes from a and goes to b; either is NULL for a peer outside. */
static size_t caps_of(struct forwarder *f, struct allocation *a, struct allocation *b,
                      struct bucket *out[static 3])
{
    size_t n = 0;

    out[n++] = &f->rate;
    if (a != NULL)
        out[n++] = &a->rate[0];
    if (b != NULL)
        out[n++] = &b->rate[1];
    return n;
}

/* Charge `bytes` to all of them: only while there is room for what comes by ourselves. */
static bool prepay(struct bucket *const caps[], size_t n, ns_t now, uint64_t bytes)
{
    for (size_t i = 0; i < n; i++) {
        if (!bucket_has_room(caps[i], now))
            return false;
    }
    for (size_t i = 0; i < n; i++)
        (void)bucket_take(caps[i], now, bytes); /* there is room */
    return true;
}

static void pay_back(struct forwarder *f, struct allocation *a, struct allocation *b, const struct side *s)
{
    uint64_t bytes = s->allowed > s->bytes && s->allowed != NO_CAP ? s->allowed - s->bytes : 0;
    struct bucket *caps[3];

    for (size_t n = caps_of(f, a, b, caps); n > 0; n--)
        bucket_give(caps[n - 1], bytes);
}

/* `carried` bytes went by since the last time: charge for twice as many to come. */
static void allow(struct forwarder *f, ns_t now, struct allocation *a, struct allocation *b, struct side *s,
                  uint64_t carried)
{
    struct bucket *caps[3];
    size_t n = caps_of(f, a, b, caps);
    bool is_free = true;
    uint64_t ahead;

    for (size_t i = 0; i < n; i++)
        is_free = is_free && caps[i]->ns_per_kib == 0;
    if (is_free) {
        s->allowed = NO_CAP;
        return;
    }
    if (s->allowed == NO_CAP) /* there is one now */
        s->allowed = s->bytes;
    s->credit = 2 * carried > OFFLOAD_CREDIT_MIN ? 2 * carried : OFFLOAD_CREDIT_MIN;
    ahead = s->allowed > s->bytes ? s->allowed - s->bytes : 0;
    if (ahead < s->credit && prepay(caps, n, now, s->credit - ahead))
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

/* What the flow from a to b carried since it was booked, as relay/forward would have counted it. Bytes. */
static uint64_t book(struct forwarder *f, ns_t now, struct allocation *a, struct allocation *b,
                     struct side *s, struct offload_count c)
{
    uint64_t packets = c.packets - s->packets, bytes = c.bytes - s->bytes;

    s->packets = c.packets;
    s->bytes = c.bytes;
    if (packets == 0)
        return 0;
    if (a != NULL) {
        a->up_packets += packets;
        a->up_bytes += bytes;
        note(a, now, packets);
    }
    if (b != NULL) {
        b->down_packets += packets;
        b->down_bytes += bytes;
        note(b, now, packets);
    }
    f->stats.bytes_in += bytes;
    f->stats.bytes += bytes;
    f->stats.packets += packets;
    f->stats.hairpins += a != NULL && b != NULL ? packets : 0;
    f->stats.offloaded += packets;
    f->stats.wire_bytes += /* both ends are of one family */
        2 * bytes + packets * (2 * wire_head(a != NULL ? a : b) + (b != NULL ? STUN_CHANNEL_HEADER : 0));
    return bytes;
}

static struct offload_loss lost(const struct offload *o)
{
    return o->ops != NULL && o->ops->lost != NULL ? o->ops->lost(o->arg) : o->loss;
}

/* What was lost until `l`, which was read before the flows were: all that is unsent of it has been booked. */
static void book_loss(struct forwarder *f, struct offload_loss l)
{
    struct offload_loss *was = &f->offload.loss;
    uint64_t unsent = l.unsent.packets - was->unsent.packets,
             unsent_bytes = l.unsent.bytes - was->unsent.bytes,
             dropped_bytes = l.dropped.bytes - was->dropped.bytes;

    f->stats.packets -= unsent;
    f->stats.hairpins -= unsent;
    f->stats.offloaded -= unsent;
    f->stats.bytes -= unsent_bytes;
    f->stats.bytes_in += dropped_bytes;
    f->stats.bytes_lost += unsent_bytes + dropped_bytes;
    f->stats.lost_queue += unsent + l.dropped.packets - was->dropped.packets;
    *was = l;
}

static struct allocation *end_of(const struct forwarder *f, const struct offload_pair *p, int i)
{
    return p->sides[i].is_peer ? NULL : alloc_table_at(&f->table, p->sides[i].allocation);
}

/* The pair at this place is its allocations'. */
static void set_place(struct forwarder *f, struct offload_pair *p, uint32_t place)
{
    for (int i = 0; i < 2; i++) {
        struct allocation *a = end_of(f, p, i);

        if (a != NULL)
            a->pair = place;
    }
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
    }
    set_place(f, p, 0);
    o->n_pairs--;
    if (index != o->n_pairs) { /* the last one takes its place */
        *p = o->pairs[o->n_pairs];
        set_place(f, p, index + 1);
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
    const struct channel *ch = allocation_channel(ends[0], p->sides[0].channel, now);
    struct way w = {.until = 0};
    uint64_t carried[2];

    for (int i = 0; i < 2; i++) {
        uint64_t packets = p->sides[i].packets;

        carried[i] = book(f, now, ends[i], ends[1 - i], &p->sides[i], o->ops->count(o->arg, p->number, i));
        if (p->sides[i].packets != packets)
            p->heard_at = now;
    }
    if (ch != NULL && addr_equal(&ch->peer, &p->peer))
        w = find_way(f, ends[0], ch, now);
    if (now >= w.until || w.b != ends[1] || (w.back != NULL && w.back->number != p->sides[1].channel) ||
        now - p->heard_at >= OFFLOAD_IDLE_NS)
        return false;
    w.until = ns_min(w.until, now + OFFLOAD_LEASE_NS);
    for (int i = 0; i < 2; i++) {
        allow(f, now, ends[i], ends[1 - i], &p->sides[i], carried[i]);
        o->ops->renew(o->arg, p->number, i, w.until, p->sides[i].allowed);
    }
    return true;
}

void offload_step(struct forwarder *f, ns_t now)
{
    struct offload *o = &f->offload;
    struct offload_loss loss;

    if (o->n_pairs == 0)
        book_loss(f, lost(o));
    if (now < o->step_at)
        return;
    loss = lost(o);
    o->now = now;
    o->step_at = now + OFFLOAD_STEP_NS;
    for (uint32_t i = o->n_pairs; i > 0; i--) { /* from the end: the last one may take another's place */
        if (!go_on(f, now, &o->pairs[i - 1]))
            take_back(f, now, i - 1);
    }
    book_loss(f, loss);
}

void offload_consider(struct forwarder *f, ns_t now, struct allocation *a, const struct channel *ch)
{
    struct offload *o = &f->offload;
    struct way w = find_way(f, a, ch, now);
    struct offload_end ends[2] = {{.client = a->client, .channel = ch->number},
                                  {.client = ch->peer, .port = a->port[family_index(&ch->peer)]}};
    struct offload_pair *p;
    uint32_t number;

    if (now >= w.until || a->pair != 0 || addr_is_stream(&a->client))
        return;
    if (w.b != NULL) {
        if (w.b->pair != 0 || addr_is_stream(&w.b->client))
            return;
        ends[1] = (struct offload_end){.client = w.b->client, .channel = w.back->number};
    }
    o->now = now;
    number = o->ops->add(o->arg, now, ends);
    if (number == 0)
        return;
    if (o->n_pairs == o->cap_pairs) {
        o->cap_pairs = o->cap_pairs == 0 ? 16 : 2 * o->cap_pairs;
        o->pairs = mem_resize(o->pairs, o->cap_pairs, sizeof *o->pairs);
    }
    p = &o->pairs[o->n_pairs++];
    *p = (struct offload_pair){.number = number, .heard_at = now, .peer = ch->peer};
    p->sides[0] = (struct side){.allocation = allocation_id(a), .channel = ch->number};
    p->sides[1] = w.b == NULL ? (struct side){.is_peer = true}
                              : (struct side){.allocation = allocation_id(w.b), .channel = w.back->number};
    set_place(f, p, o->n_pairs);
    f->stats.offload_pairs = o->n_pairs;
    if (o->step_at == NS_NEVER)
        o->step_at = now + OFFLOAD_STEP_NS;
}
