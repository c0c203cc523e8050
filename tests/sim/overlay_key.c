#include "tests/sim/overlay_in.h"

#include <stdio.h>

#include "crypto/secret.h"
#include "crypto/zone.h"

const uint8_t ov_zone[DHT_ZONE_ID_BYTES] = {'s', 'i', 'm', 'z', 'o', 'n', 'e', '1'};

/* Eight bytes at a time, each multiplied into the state: fast, and every byte counts. */
static uint64_t fold(uint64_t h, const uint8_t *p, size_t n)
{
    uint64_t word, other = h ^ n;

    for (; n >= 16; n -= 16, p += 16) {
        memcpy(&word, p, 8);
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 32;
        memcpy(&word, p + 8, 8);
        other = (other ^ word) * 0xd6e8feb86659fd93u;
        other ^= other >> 32;
    }
    while (n > 0) {
        size_t part = n < 8 ? n : 8;

        word = 0;
        memcpy(&word, p, part);
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 32;
        n -= part;
        p += part;
    }
    return (h ^ other) * 0x9fb21c651e98df25u;
}

/* A keyed hash spread over n bytes. Whoever knows the name could forge it: the adversaries here do not try. */
static void mark(const uint8_t key[static 16], const void *more, size_t more_len, struct slice message,
                 uint8_t *out, size_t n)
{
    uint64_t h = fold(fold(fold(0x7369676e, key, 16), more, more_len), message.data, message.len);

    h ^= h >> 29;
    for (size_t i = 0; i < n; i += 8, h = h * 0xd6e8feb86659fd93u + 1)
        memcpy(out + i, &h, n - i < 8 ? n - i : 8);
}

static enum err stub_id(const uint8_t zone[8], const uint8_t N[32], const uint8_t nonce[8], uint8_t id[20])
{
    (void)zone, (void)nonce;
    memcpy(id, N, DHT_ID_BYTES);
    return ERR_OK;
}

static void stub_sign(const struct sign_key *own, const uint8_t zone[8], const uint8_t receiver[20],
                      struct slice message, uint8_t sig[64])
{
    (void)zone;
    mark(own->pub, receiver, 20, message, sig, 64);
}

static enum err stub_verify(const uint8_t N[32], const uint8_t zone[8], const uint8_t receiver[20],
                            struct slice message, const uint8_t sig[64])
{
    uint8_t right[64];

    (void)zone;
    mark(N, receiver, 20, message, right, 64);
    return memcmp(right, sig, sizeof right) == 0 ? ERR_OK : ERR_AUTH;
}

static enum err stub_pair(const struct sign_key *own, const uint8_t N[32], uint8_t key[32])
{
    for (unsigned i = 0; i < 32; i++)
        key[i] = own->pub[i] ^ N[i];
    return ERR_OK;
}

static void stub_mac(const uint8_t key[32], const uint8_t zone[8], const uint8_t receiver[20],
                     struct slice message, uint8_t mac[16])
{
    (void)zone;
    mark(key, receiver, 20, message, mac, 16);
}

static enum err stub_item(const uint8_t k[32], struct slice salt, int64_t seq, struct slice v,
                          const uint8_t sig[64])
{
    uint8_t right[64];

    (void)salt;
    mark(k, &seq, sizeof seq, v, right, 64);
    return memcmp(right, sig, sizeof right) == 0 ? ERR_OK : ERR_AUTH;
}

const struct node_ops ov_ops = {.id = stub_id,
                                .sign = stub_sign,
                                .verify = stub_verify,
                                .pair = stub_pair,
                                .mac = stub_mac,
                                .item = stub_item,
                                .is_cheap = true};

/* 448 bytes, the smallest sealed record (THREATS.md §4.3). */
void ov_make_item(const struct overlay *o, uint32_t number, int64_t seq, struct item *out)
{
    uint8_t v[512], seed[32];
    struct slice text;
    int head;

    memset(out, 0, sizeof *out);
    hash_once(32, &o->config.seed, 8, slice_of(&number, sizeof number), seed);
    out->seq = seq;
    out->v_len = 448;
    for (size_t i = 0; i < out->v_len; i++)
        out->v[i] = (uint8_t)(number + (uint64_t)seq + i);
    if (o->config.is_real || o->config.profile == DHT_MAINLINE) {
        struct sign_key key;
        struct blind_key blind;

        sign_key_from_seed(seed, &key);
        item_blind_secret(ITEM_DEV, &key, seed, 1, &blind);
        item_blind_public(ITEM_DEV, key.pub, seed, 1, out->k);
        item_sign_bep44(&blind, seq, slice_of(out->v, out->v_len), out->sig);
        return;
    }
    memcpy(out->k, seed, sizeof out->k);
    head = snprintf((char *)v, sizeof v, "%u:", out->v_len);
    memcpy(v + head, out->v, out->v_len);
    text = slice_of(v, (size_t)head + out->v_len);
    mark(out->k, &seq, sizeof seq, text, out->sig, 64);
}

void ov_solve(const struct overlay *o, const uint8_t seed[static 32], uint8_t nonce[static 8])
{
    struct sign_key key;

    if (!o->config.is_real)
        return;
    sign_key_from_seed(seed, &key);
    while (zone_puzzle_search(ov_zone, key.pub, nonce, UINT32_MAX) != ERR_OK)
        ;
}
