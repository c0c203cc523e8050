/* What parses is written again from its fields, and parses to the same fields. */
#include <stdlib.h>

#include "nat/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(bool is_same)
{
    if (!is_same)
        abort();
}

static void put_text(struct stun_wr *w, uint16_t attr, struct slice s)
{
    if (s.data != NULL)
        stun_put(w, attr, s);
}

static void put_addr(struct stun_wr *w, uint16_t attr, const struct addr *a)
{
    if (a->family != ADDR_NONE)
        stun_put_addr(w, attr, a);
}

static struct slice rewrite(const struct stun_msg *m, uint8_t *buf, size_t size)
{
    struct stun_wr w;

    stun_begin(&w, buf, size, m->cls, m->method, m->id);
    put_text(&w, STUN_USERNAME, m->username);
    put_text(&w, STUN_REALM, m->realm);
    put_text(&w, STUN_NONCE, m->nonce);
    put_text(&w, STUN_DATA, m->data);
    put_text(&w, STUN_USERHASH, m->userhash);
    put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &m->mapped);
    put_addr(&w, STUN_OTHER_ADDRESS, &m->other_address);
    for (int i = 0; i < m->n_peers; i++)
        put_addr(&w, STUN_XOR_PEER_ADDRESS, &m->peers[i]);
    for (int i = 0; i < m->n_relayed; i++)
        put_addr(&w, STUN_XOR_RELAYED_ADDRESS, &m->relayed[i]);
    if (m->has_lifetime)
        stun_put_u32(&w, STUN_LIFETIME, m->lifetime_s);
    if (m->has_channel)
        stun_put_u16(&w, STUN_CHANNEL_NUMBER, m->channel);
    if (m->has_priority)
        stun_put_u32(&w, STUN_PRIORITY, m->priority);
    if (m->has_ice_controlling)
        stun_put_u64(&w, STUN_ICE_CONTROLLING, m->ice_controlling);
    if (m->has_use_candidate)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    stun_put_integrity(&w, slice_str("key"));
    stun_put_fingerprint(&w);
    return stun_end(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[1 << 17];
    struct stun_msg a, b;
    struct slice data_part;
    struct slice again;
    uint16_t channel;
    size_t frame;

    (void)stun_channel_parse(slice_of(data, size), &channel, &data_part);
    (void)stun_frame_bytes(slice_of(data, size), &frame);
    if (stun_parse(slice_of(data, size), &a) != ERR_OK)
        return 0;
    (void)stun_check_integrity(&a, slice_str("VOkJxbRl1RmTxUk/WvJxBt"));
    again = rewrite(&a, buf, sizeof buf);
    if (again.len == 0)
        return 0; /* 64 KiB of data and more attributes behind them */
    same(stun_parse(again, &b) == ERR_OK && b.has_fingerprint);
    same(stun_check_integrity(&b, slice_str("key")) == ERR_OK);
    same(a.cls == b.cls && a.method == b.method && memcmp(a.id, b.id, sizeof a.id) == 0);
    same(slice_equal(a.username, b.username) && slice_equal(a.realm, b.realm) &&
         slice_equal(a.nonce, b.nonce));
    same(slice_equal(a.data, b.data) && slice_equal(a.userhash, b.userhash));
    same(addr_equal(&a.mapped, &b.mapped) && addr_equal(&a.other_address, &b.other_address));
    same(a.n_peers == b.n_peers && a.n_relayed == b.n_relayed && a.lifetime_s == b.lifetime_s);
    for (int i = 0; i < a.n_peers; i++)
        same(addr_equal(&a.peers[i], &b.peers[i]));
    same(a.channel == b.channel && a.priority == b.priority && a.ice_controlling == b.ice_controlling);
    return 0;
}
