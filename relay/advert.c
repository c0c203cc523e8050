#include "relay/advert.h"

#include "base/cursor.h"
#include "crypto/identity.h"

/* The relay's advert, 68 bytes and its addresses, then the signature; big-endian.
 *
 *   offset size field     notes
 *   0      4    "RLA1"    first byte no `d`: never taken for a KRPC message, which the same key signs
 *   4      8    zone_id
 *   12     32   node      N
 *   44     8    nonce     of its puzzle
 *   52     2    day       UTC
 *   54     2    minute    0..1439
 *   56     1    flags
 *   57     1    load_pct  0..255
 *   58     2    slots
 *   60     4    max_kbps
 *   64     1    n         1..ADVERT_ADDRS_MAX
 *   65     n *  addr      family1 port2 ip4/16; a global address is the relay's duty, not checked here
 *   end    64   sig       by N, as a KRPC message (THREATS.md §4.13) to the id that is the shard's key */

static void write_body(struct wr *w, const struct advert *ad)
{
    wr_text(w, "RLA1");
    wr_bytes(w, ad->zone_id, sizeof ad->zone_id);
    wr_bytes(w, ad->node, sizeof ad->node);
    wr_bytes(w, ad->nonce, sizeof ad->nonce);
    wr_u16(w, ad->day);
    wr_u16(w, ad->minute);
    wr_u8(w, ad->flags);
    wr_u8(w, ad->load_pct);
    wr_u16(w, ad->slots);
    wr_u32(w, ad->max_kbps);
    wr_u8(w, ad->n_addrs);
    for (uint8_t i = 0; i < ad->n_addrs && i < ADVERT_ADDRS_MAX; i++)
        addr_write(w, &ad->addrs[i]);
}

static bool has_right_values(const struct advert *ad)
{
    if (ad->n_addrs == 0 || ad->n_addrs > ADVERT_ADDRS_MAX || ad->minute >= 1440)
        return false;
    for (uint8_t i = 0; i < ad->n_addrs; i++) {
        if (addr_class(&ad->addrs[i]) == ADDR_UNUSABLE || ad->addrs[i].port == 0)
            return false;
    }
    return true;
}

struct slice advert_write(struct advert *ad, const uint8_t node_seed[static 32],
                          uint8_t buf[static ADVERT_BYTES_MAX])
{
    uint8_t key[ADVERT_KEY_BYTES];
    struct sign_key node;
    struct wr w;
    enum err e;

    sign_key_from_seed(node_seed, &node);
    memcpy(ad->node, node.pub, sizeof ad->node);
    wr_init(&w, buf, ADVERT_BYTES_MAX);
    write_body(&w, ad);
    advert_shard_key(ad->zone_id, advert_shard_of(ad->node), key);
    e = has_right_values(ad) ? node_sign_krpc(&node, ad->zone_id, key, wr_done(&w), ad->sig) : ERR_RANGE;
    secret_wipe(&node, sizeof node);
    wr_bytes(&w, ad->sig, sizeof ad->sig);
    return e == ERR_OK ? wr_done(&w) : slice_of(NULL, 0);
}

enum err advert_parse(struct slice bytes, struct advert *out)
{
    struct rd r;
    bool is_advert;

    memset(out, 0, sizeof *out);
    rd_init(&r, bytes);
    is_advert = slice_is(rd_bytes(&r, 4), "RLA1");
    rd_copy(&r, out->zone_id, sizeof out->zone_id);
    rd_copy(&r, out->node, sizeof out->node);
    rd_copy(&r, out->nonce, sizeof out->nonce);
    out->day = rd_u16(&r);
    out->minute = rd_u16(&r);
    out->flags = rd_u8(&r);
    out->load_pct = rd_u8(&r);
    out->slots = rd_u16(&r);
    out->max_kbps = rd_u32(&r);
    out->n_addrs = rd_u8(&r);
    for (uint8_t i = 0; i < out->n_addrs && i < ADVERT_ADDRS_MAX; i++)
        addr_read(&r, &out->addrs[i]);
    rd_copy(&r, out->sig, sizeof out->sig);
    if (is_advert && rd_done(&r) && has_right_values(out))
        return ERR_OK;
    memset(out, 0, sizeof *out);
    return ERR_PARSE;
}

enum err advert_verify(const struct advert *ad, const uint8_t zone_id[static 8], uint16_t today)
{
    uint8_t buf[ADVERT_BYTES_MAX], key[ADVERT_KEY_BYTES];
    int days = (int)ad->day - (int)today;
    struct wr w;

    if (memcmp(ad->zone_id, zone_id, sizeof ad->zone_id) != 0)
        return ERR_REFUSED;
    if (days > ADVERT_DAYS || days < -ADVERT_DAYS)
        return ERR_LATE;
    if (!ed_key_valid(ad->node))
        return ERR_AUTH;
    wr_init(&w, buf, sizeof buf);
    write_body(&w, ad);
    advert_shard_key(zone_id, advert_shard_of(ad->node), key);
    return node_verify_krpc(ad->node, zone_id, key, wr_done(&w), ad->sig);
}

void advert_shard_key(const uint8_t zone_id[static 8], uint8_t shard, uint8_t out[static ADVERT_KEY_BYTES])
{
    struct hasher h;

    hash_begin(&h, ADVERT_KEY_BYTES, NULL, 0);
    hash_text(&h, "itodenwa-relay-v1");
    hash_bytes(&h, zone_id, 8);
    hash_u8(&h, shard);
    hash_end(&h, out);
}

uint8_t advert_shard_of(const uint8_t node[static 32])
{
    return node[0] % ADVERT_SHARDS;
}
