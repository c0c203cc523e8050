#include "relay/forward.h"

#include "nat/stun.h"

#define UDP4_BYTES 28 /* IP and UDP header, for what a provider bills */
#define UDP6_BYTES 48

static size_t wire_bytes(const struct addr *a, size_t payload)
{
    return payload + (a->family == ADDR_V6 ? UDP6_BYTES : UDP4_BYTES);
}

struct addr forward_relayed(const struct forwarder *f, const struct allocation *a, int family)
{
    struct addr r = {.family = ADDR_NONE};

    if (a->port[family] == 0)
        return r;
    r = f->external[family];
    r.port = a->port[family];
    return r;
}

static bool is_own_ip(const struct forwarder *f, const struct addr *peer)
{
    for (uint8_t i = 0; i < f->n_own; i++) {
        if (addr_equal_ip(&f->own[i], peer))
            return true;
    }
    return false;
}

enum peer_kind forward_peer_kind(const struct forwarder *f, const struct addr *peer, bool by_ip)
{
    int family = family_index(peer);
    const struct addr *external = &f->external[family];
    enum addr_class class;

    if (addr_equal_ip(external, peer)) {
        bool in_range = peer->port >= f->table.port_min && peer->port <= f->table.port_max;

        if (f->takes_own && peer->port == external->port && peer->port != 0)
            return PEER_OWN;
        if (alloc_table_by_port(&f->table, family, peer->port) != NULL || (by_ip && in_range))
            return PEER_INSIDE;
        if (f->allow_local && !f->hairpin_only)
            return PEER_OUTSIDE;
        /* A permission is by address: with it only our relayed ports can be reached. */
        return by_ip ? PEER_INSIDE : PEER_REFUSED;
    }
    class = addr_class(peer);
    if (f->hairpin_only || class == ADDR_UNUSABLE)
        return PEER_REFUSED;
    if (!f->allow_local && (class != ADDR_GLOBAL || is_own_ip(f, peer)))
        return PEER_REFUSED;
    return PEER_OUTSIDE;
}

/* A Data indication in place, before the payload (RFC 8656 §11.3):
 *   type2 len2 cookie4 id12 | XOR-PEER-ADDRESS: type2 len2 0 family1 port2 ip4/16 | DATA: type2 len2 */
static struct slice data_indication(struct forwarder *f, const struct addr *peer, uint8_t *payload,
                                    size_t len)
{
    size_t ip = addr_ip_bytes(peer), head = 20 + 4 + 4 + ip + 4, pad = -len & 3;
    uint8_t *begin = payload - head, mask[16];
    struct wr w;

    f->ids = f->ids * 6364136223846793005u + 1442695040888963407u;
    wr_init(&w, begin, head);
    wr_u16(&w, stun_type(STUN_INDICATION, TURN_DATA));
    wr_u16(&w, (uint16_t)(head - 20 + len + pad));
    wr_u32(&w, STUN_COOKIE);
    wr_u64(&w, f->ids);
    wr_u32(&w, (uint32_t)(f->ids >> 17));
    memcpy(mask, begin + 4, sizeof mask); /* the cookie and the id, RFC 8489 §14.2 */
    wr_u16(&w, STUN_XOR_PEER_ADDRESS);
    wr_u16(&w, (uint16_t)(4 + ip));
    wr_u16(&w, peer->family == ADDR_V6 ? STUN_FAMILY_V6 : STUN_FAMILY_V4);
    wr_u16(&w, (uint16_t)(peer->port ^ (STUN_COOKIE >> 16)));
    for (size_t i = 0; i < ip; i++)
        wr_u8(&w, peer->ip[i] ^ mask[i]);
    wr_u16(&w, STUN_DATA);
    wr_u16(&w, (uint16_t)len);
    memset(payload + len, 0, pad);
    return slice_of(begin, head + len + pad);
}

static void drop(struct forward *out, uint64_t *counter)
{
    (*counter)++;
    out->how = FORWARD_DROP;
}

/* Payload that came in and does not go out. */
static void lose(struct forwarder *f, struct forward *out, size_t len, uint64_t *counter)
{
    f->stats.bytes_lost += len;
    drop(out, counter);
}

static void count(struct forwarder *f, size_t len)
{
    f->stats.packets++;
    f->stats.bytes += len;
}

/* Set out to the client's packet: channel when it bound one to this peer, else an indication. */
static void wrap_for_client(struct forwarder *f, ns_t now, struct allocation *a, const struct addr *peer,
                            uint8_t *payload, size_t len, struct forward *out)
{
    const struct channel *ch = allocation_channel_to(a, peer, now);

    if (ch != NULL) {
        stun_channel_header(payload - STUN_CHANNEL_HEADER, ch->number, (uint16_t)len);
        out->bytes = slice_of(payload - STUN_CHANNEL_HEADER, len + STUN_CHANNEL_HEADER);
    } else {
        out->bytes = data_indication(f, peer, payload, len);
    }
    out->how = FORWARD_MAIN;
    out->to = a->client;
    a->down_packets++;
    a->down_bytes += len;
    allocation_note(a, now);
}

void forward_to_client(struct forwarder *f, ns_t now, struct allocation *a, const struct addr *peer,
                       uint8_t *payload, size_t len, struct forward *out)
{
    uint32_t seconds = a->seconds;

    if (!allocation_permits(a, peer, now)) {
        drop(out, &f->stats.no_permission);
        return;
    }
    f->stats.bytes_in += len;
    if (!bucket_take(&a->rate[1], now, len) || !bucket_take(&f->rate, now, len)) {
        a->lost++;
        lose(f, out, len, &f->stats.lost_rate);
        return;
    }
    wrap_for_client(f, now, a, peer, payload, len, out);
    count(f, len);
    f->stats.wire_bytes += wire_bytes(peer, len) + wire_bytes(&a->client, out->bytes.len);
    if (f->offload.ops != NULL && a->seconds != seconds) {
        const struct channel *ch = allocation_channel_to(a, peer, now);

        if (ch != NULL)
            offload_consider(f, now, a, ch);
    }
}

/* The peer is one of our own relayed addresses: no socket, no second trip through the kernel. */
static void hairpin(struct forwarder *f, ns_t now, struct allocation *from, struct allocation *to,
                    const struct addr *source, uint8_t *payload, size_t len, struct forward *out)
{
    if (!allocation_permits(to, source, now)) {
        lose(f, out, len, &f->stats.no_permission);
        return;
    }
    if (!bucket_take(&to->rate[1], now, len)) {
        to->lost++;
        lose(f, out, len, &f->stats.lost_rate);
        return;
    }
    wrap_for_client(f, now, to, source, payload, len, out);
    count(f, len);
    f->stats.hairpins++;
    f->stats.wire_bytes += wire_bytes(&from->client, len) + wire_bytes(&to->client, out->bytes.len);
}

/* Permission has been checked. */
static void send_up(struct forwarder *f, ns_t now, struct allocation *a, const struct addr *peer,
                    uint8_t *payload, size_t len, struct forward *out)
{
    int family = family_index(peer);
    struct allocation *inner =
        addr_equal_ip(&f->external[family], peer) ? alloc_table_by_port(&f->table, family, peer->port) : NULL;

    if (a->port[family] == 0) {
        drop(out, &f->stats.no_permission);
        return;
    }
    f->stats.bytes_in += len;
    if (!bucket_take(&a->rate[0], now, len) || !bucket_take(&f->rate, now, len)) {
        a->lost++;
        lose(f, out, len, &f->stats.lost_rate);
        return;
    }
    a->up_packets++;
    a->up_bytes += len;
    allocation_note(a, now);
    out->from = forward_relayed(f, a, family);
    if (inner != NULL) {
        hairpin(f, now, a, inner, &out->from, payload, len, out);
        return;
    }
    out->to = *peer;
    out->bytes = slice_of(payload, len);
    out->by = a;
    switch (forward_peer_kind(f, peer, false)) {
    case PEER_OWN:
        out->how = FORWARD_OWN;
        count(f, len);
        return;
    case PEER_OUTSIDE:
        out->how = a->is_open[family] ? FORWARD_PORT : FORWARD_OPEN;
        out->handle = forward_handle(family, a->port[family]);
        f->stats.wire_bytes += wire_bytes(&a->client, len) + wire_bytes(peer, len);
        count(f, len);
        return;
    default: /* a relayed address of ours that nobody has now */
        a->lost++;
        lose(f, out, len, &f->stats.lost_port);
        return;
    }
}

void forward_unsent(struct forwarder *f, struct forward *out)
{
    out->by->lost++;
    f->stats.packets--;
    f->stats.bytes -= out->bytes.len;
    lose(f, out, out->bytes.len, &f->stats.lost_port);
}

/* ChannelData: channel2 len2 data, perhaps padded (RFC 8656 §12.4). */
void forward_on_channel(struct forwarder *f, ns_t now, struct allocation *a, const struct channel *ch,
                        uint8_t *bytes, size_t len, struct forward *out)
{
    size_t n = len < STUN_CHANNEL_HEADER ? SIZE_MAX : (size_t)(bytes[2] << 8 | bytes[3]);
    uint32_t seconds = a->seconds;

    if (len < STUN_CHANNEL_HEADER || n > len - STUN_CHANNEL_HEADER) {
        drop(out, &f->stats.malformed);
        return;
    }
    /* A channel outlives its permission unless both are renewed: the permission decides (RFC 8656 §12.7). */
    if (!allocation_permits(a, &ch->peer, now)) {
        drop(out, &f->stats.no_permission);
        return;
    }
    send_up(f, now, a, &ch->peer, bytes + STUN_CHANNEL_HEADER, n, out);
    if (f->offload.ops != NULL && a->seconds != seconds &&
        (out->how == FORWARD_MAIN || out->how == FORWARD_PORT))
        offload_consider(f, now, a, ch);
}

void forward_channel(struct forwarder *f, ns_t now, const struct addr *from, uint8_t *bytes, size_t len,
                     struct forward *out)
{
    struct allocation *a = alloc_table_find(&f->table, from);
    const struct channel *ch;

    if (len < STUN_CHANNEL_HEADER || (size_t)(bytes[2] << 8 | bytes[3]) > len - STUN_CHANNEL_HEADER) {
        drop(out, &f->stats.malformed);
        return;
    }
    ch = a == NULL ? NULL : allocation_channel(a, (uint16_t)(bytes[0] << 8 | bytes[1]), now);
    if (ch == NULL)
        drop(out, &f->stats.unknown_channel);
    else
        forward_on_channel(f, now, a, ch, bytes, len, out);
}

void forward_to_peer(struct forwarder *f, ns_t now, struct allocation *a, const struct addr *peer,
                     uint8_t *payload, size_t len, struct forward *out)
{
    if (!allocation_permits(a, peer, now)) {
        drop(out, &f->stats.no_permission);
        return;
    }
    send_up(f, now, a, peer, payload, len, out);
}
