/* Noise rev. 34, patterns in Noise notation ("<- s" before "..." is the responder's static, known before):
 *
 *   X:          <- s     ...     -> e, es, s, ss
 *   IKpsk0:     <- s     ...     -> psk, e, es, s, ss     <- e, ee, se
 *   Npsk0:      <- s     ...     -> psk, e, es
 *   IKpsk1:     <- s     ...     -> e, es, s, ss, psk     <- e, ee, se
 *   IKpsk2:     <- s     ...     -> e, es, s, ss          <- e, ee, se, psk
 *
 * The tables below are these lines; the rest of the file is one function for each token. */
#include "crypto/noise.h"

#include <assert.h>
#include <sodium.h>

#include "crypto/identity.h"

#define BLAKE2B_BLOCK_BYTES 128

enum token { T_DONE, T_E, T_S, T_EE, T_ES, T_SE, T_SS, T_PSK, T_END /* of a message */ };

struct pattern {
    const char *name;
    bool has_psk;
    uint8_t tokens[12];
};

static const struct pattern patterns[] = {
    [NOISE_X] = {"Noise_X_25519_ChaChaPoly_BLAKE2b", false, {T_E, T_ES, T_S, T_SS, T_END, T_DONE}},
    [NOISE_IKPSK0] = {"Noise_IKpsk0_25519_ChaChaPoly_BLAKE2b",
                      true,
                      {T_PSK, T_E, T_ES, T_S, T_SS, T_END, T_E, T_EE, T_SE, T_END, T_DONE}},
    [NOISE_NPSK0] = {"Noise_Npsk0_25519_ChaChaPoly_BLAKE2b", true, {T_PSK, T_E, T_ES, T_END, T_DONE}},
    [NOISE_IKPSK1] = {"Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b",
                      true,
                      {T_E, T_ES, T_S, T_SS, T_PSK, T_END, T_E, T_EE, T_SE, T_END, T_DONE}},
    [NOISE_IKPSK2] = {"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b",
                      true,
                      {T_E, T_ES, T_S, T_SS, T_END, T_E, T_EE, T_SE, T_PSK, T_END, T_DONE}},
};

/* --- transport sealing --- */

static void nonce_of(uint64_t counter, uint8_t nonce[static crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
    memset(nonce, 0, 4);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

void noise_seal(const uint8_t key[static NOISE_KEY_BYTES], uint64_t counter, struct slice ad,
                struct slice plain, uint8_t *out)
{
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

    nonce_of(counter, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.data, plain.len, ad.data, ad.len, NULL, nonce,
                                              key);
}

enum err noise_open(const uint8_t key[static NOISE_KEY_BYTES], uint64_t counter, struct slice ad,
                    struct slice sealed, uint8_t *out)
{
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

    if (sealed.len < NOISE_TAG_BYTES)
        return ERR_PARSE;
    nonce_of(counter, nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.data, sealed.len, ad.data, ad.len,
                                                  nonce, key) != 0)
        return ERR_AUTH;
    return ERR_OK;
}

/* --- hashes --- */

void noise_hmac(const uint8_t *key, size_t key_len, struct slice data, uint8_t out[static NOISE_HASH_BYTES])
{
    uint8_t block[BLAKE2B_BLOCK_BYTES] = {0}, inner[NOISE_HASH_BYTES];
    struct hasher h;

    assert(key_len <= sizeof block);
    memcpy(block, key, key_len);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36;
    hash_begin(&h, sizeof inner, NULL, 0);
    hash_bytes(&h, block, sizeof block);
    hash_bytes(&h, data.data, data.len);
    hash_end(&h, inner);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36 ^ 0x5c;
    hash_begin(&h, NOISE_HASH_BYTES, NULL, 0);
    hash_bytes(&h, block, sizeof block);
    hash_bytes(&h, inner, sizeof inner);
    hash_end(&h, out);
    secret_wipe(block, sizeof block);
    secret_wipe(inner, sizeof inner);
}

void noise_hkdf(const uint8_t ck[static NOISE_HASH_BYTES], struct slice material,
                uint8_t out1[static NOISE_HASH_BYTES], uint8_t out2[static NOISE_HASH_BYTES], uint8_t *out3)
{
    uint8_t temp[NOISE_HASH_BYTES], last[NOISE_HASH_BYTES + 1];
    uint8_t *out[3] = {out1, out2, out3};

    noise_hmac(ck, NOISE_HASH_BYTES, material, temp);
    for (uint8_t i = 0; i < 3 && out[i] != NULL; i++) {
        last[NOISE_HASH_BYTES] = i + 1;
        noise_hmac(temp, sizeof temp,
                   i == 0 ? slice_of(&last[NOISE_HASH_BYTES], 1) : slice_of(last, sizeof last), out[i]);
        memcpy(last, out[i], NOISE_HASH_BYTES);
    }
    secret_wipe(temp, sizeof temp);
    secret_wipe(last, sizeof last);
}

/* --- symmetric state --- */

static void mix_hash(struct noise *n, struct slice data)
{
    struct hasher h;

    hash_begin(&h, NOISE_HASH_BYTES, NULL, 0);
    hash_bytes(&h, n->h, sizeof n->h);
    hash_bytes(&h, data.data, data.len);
    hash_end(&h, n->h);
}

static void set_key(struct noise *n, const uint8_t hash[static NOISE_HASH_BYTES])
{
    memcpy(n->k, hash, sizeof n->k);
    n->nonce = 0;
    n->has_key = true;
}

static void mix_key(struct noise *n, const uint8_t material[static NOISE_KEY_BYTES])
{
    uint8_t ck[NOISE_HASH_BYTES], k[NOISE_HASH_BYTES];

    noise_hkdf(n->ck, slice_of(material, NOISE_KEY_BYTES), ck, k, NULL);
    memcpy(n->ck, ck, sizeof ck);
    set_key(n, k);
    secret_wipe(ck, sizeof ck);
    secret_wipe(k, sizeof k);
}

static void mix_key_and_hash(struct noise *n, const uint8_t material[static NOISE_KEY_BYTES])
{
    uint8_t ck[NOISE_HASH_BYTES], hash[NOISE_HASH_BYTES], k[NOISE_HASH_BYTES];

    noise_hkdf(n->ck, slice_of(material, NOISE_KEY_BYTES), ck, hash, k);
    memcpy(n->ck, ck, sizeof ck);
    mix_hash(n, slice_of(hash, sizeof hash));
    set_key(n, k);
    secret_wipe(ck, sizeof ck);
    secret_wipe(hash, sizeof hash);
    secret_wipe(k, sizeof k);
}

static enum err encrypt_and_hash(struct noise *n, struct slice plain, struct wr *out)
{
    size_t len = plain.len + (n->has_key ? NOISE_TAG_BYTES : 0);
    uint8_t *room = wr_room(out, len);

    if (room == NULL)
        return ERR_FULL;
    if (n->has_key)
        noise_seal(n->k, n->nonce++, slice_of(n->h, sizeof n->h), plain, room);
    else if (len > 0)
        memcpy(room, plain.data, len);
    mix_hash(n, slice_of(room, len));
    return ERR_OK;
}

static enum err decrypt_and_hash(struct noise *n, struct slice sealed, uint8_t *out)
{
    if (!n->has_key) {
        if (sealed.len > 0)
            memcpy(out, sealed.data, sealed.len);
    } else if (noise_open(n->k, n->nonce++, slice_of(n->h, sizeof n->h), sealed, out) != ERR_OK) {
        return ERR_AUTH;
    }
    mix_hash(n, sealed);
    return ERR_OK;
}

/* --- tokens --- */

static void mix_ephemeral(struct noise *n, const uint8_t public[static NOISE_KEY_BYTES])
{
    mix_hash(n, slice_of(public, NOISE_KEY_BYTES));
    if (n->has_psk)
        mix_key(n, public);
}

static enum err mix_dh(struct noise *n, const uint8_t *secret, const uint8_t *public)
{
    uint8_t shared[NOISE_KEY_BYTES];
    enum err e = dh_shared(secret, public, shared);

    n->n_dh++;
    if (e == ERR_OK)
        mix_key(n, shared);
    secret_wipe(shared, sizeof shared);
    return e;
}

/* Tokens that read the same for both sides; the initiator's key is named first. */
static enum err do_shared_token(struct noise *n, enum token t)
{
    bool i = n->is_initiator;

    switch (t) {
    case T_EE:
        return mix_dh(n, n->e, n->remote_ephemeral);
    case T_SS:
        return mix_dh(n, n->s, n->remote_static);
    case T_ES:
        return i ? mix_dh(n, n->e, n->remote_static) : mix_dh(n, n->s, n->remote_ephemeral);
    case T_SE:
        return i ? mix_dh(n, n->s, n->remote_ephemeral) : mix_dh(n, n->e, n->remote_static);
    case T_PSK:
        mix_key_and_hash(n, n->psk);
        return ERR_OK;
    default:
        return ERR_INTERNAL;
    }
}

static enum err write_e(struct noise *n, const uint8_t *ephemeral, struct wr *out)
{
    struct dh_key e;

    if (ephemeral == NULL)
        return ERR_STATE;
    dh_key_from_secret(ephemeral, &e);
    n->n_dh++;
    memcpy(n->e, e.secret, sizeof n->e);
    memcpy(n->e_public, e.pub, sizeof n->e_public);
    secret_wipe(&e, sizeof e);
    wr_bytes(out, n->e_public, sizeof n->e_public);
    mix_ephemeral(n, n->e_public);
    return wr_ok(out) ? ERR_OK : ERR_FULL;
}

static enum err read_e(struct noise *n, struct rd *r)
{
    rd_copy(r, n->remote_ephemeral, sizeof n->remote_ephemeral);
    mix_ephemeral(n, n->remote_ephemeral);
    return rd_ok(r) ? ERR_OK : ERR_PARSE;
}

static enum err read_s(struct noise *n, struct rd *r)
{
    struct slice sealed = rd_bytes(r, sizeof n->remote_static + (n->has_key ? NOISE_TAG_BYTES : 0));

    return rd_ok(r) ? decrypt_and_hash(n, sealed, n->remote_static) : ERR_PARSE;
}

/* --- messages --- */

static enum err end_message(struct noise *n, enum err e)
{
    if (e != ERR_OK) {
        noise_fini(n);
        return e;
    }
    n->tokens++;
    n->is_writing_next = !n->is_writing_next;
    return ERR_OK;
}

enum err noise_write(struct noise *n, const uint8_t *ephemeral, struct slice payload, struct wr *out)
{
    enum err e = ERR_OK;

    if (n->is_dead || noise_is_done(n) || !n->is_writing_next)
        return ERR_STATE;
    for (; e == ERR_OK && *n->tokens != T_END; n->tokens++) {
        if (*n->tokens == T_E)
            e = write_e(n, ephemeral, out);
        else if (*n->tokens == T_S)
            e = encrypt_and_hash(n, slice_of(n->s_public, sizeof n->s_public), out);
        else
            e = do_shared_token(n, *n->tokens);
    }
    if (e == ERR_OK)
        e = encrypt_and_hash(n, payload, out);
    return end_message(n, e);
}

enum err noise_read_begin(struct noise *n, struct rd *r)
{
    enum err e = ERR_OK;

    if (n->is_dead || noise_is_done(n) || n->is_writing_next)
        return ERR_STATE;
    while (e == ERR_OK && *n->tokens != T_END) {
        enum token t = *n->tokens++;

        e = t == T_E ? read_e(n, r) : t == T_S ? read_s(n, r) : do_shared_token(n, t);
        if (t == T_S)
            break;
    }
    if (e != ERR_OK)
        noise_fini(n);
    return e;
}

enum err noise_read_end(struct noise *n, struct rd *r, struct wr *out)
{
    struct slice sealed;
    uint8_t *room;
    enum err e = ERR_OK;

    if (n->is_dead || noise_is_done(n) || n->is_writing_next)
        return ERR_STATE;
    for (; e == ERR_OK && *n->tokens != T_END; n->tokens++)
        e = do_shared_token(n, *n->tokens);
    sealed = rd_rest(r);
    if (e == ERR_OK && (!rd_ok(r) || sealed.len < NOISE_TAG_BYTES))
        e = ERR_PARSE;
    if (e == ERR_OK) {
        room = wr_room(out, sealed.len - NOISE_TAG_BYTES);
        e = room == NULL ? ERR_FULL : decrypt_and_hash(n, sealed, room);
    }
    return end_message(n, e);
}

enum err noise_read(struct noise *n, struct slice message, struct wr *out)
{
    struct rd r;
    enum err e;

    rd_init(&r, message);
    e = noise_read_begin(n, &r);
    return e == ERR_OK ? noise_read_end(n, &r, out) : e;
}

/* --- begin, end, split --- */

void noise_init(struct noise *n, const struct noise_config *c)
{
    const struct pattern *p = &patterns[c->pattern];
    size_t len = strlen(p->name);

    *n = (struct noise){.tokens = p->tokens, .is_initiator = c->is_initiator, .has_psk = p->has_psk};
    n->is_writing_next = c->is_initiator;
    if (len <= NOISE_HASH_BYTES)
        memcpy(n->h, p->name, len); /* short names are padded, not hashed (§5.2) */
    memcpy(n->ck, n->h, sizeof n->ck);
    if (c->static_secret != NULL) {
        memcpy(n->s, c->static_secret, sizeof n->s);
        memcpy(n->s_public, c->static_public, sizeof n->s_public);
    }
    if (c->remote_static != NULL)
        memcpy(n->remote_static, c->remote_static, sizeof n->remote_static);
    if (c->psk != NULL)
        memcpy(n->psk, c->psk, sizeof n->psk);
    mix_hash(n, c->prologue);
    mix_hash(n, slice_of(c->is_initiator ? n->remote_static : n->s_public, NOISE_KEY_BYTES)); /* <- s ... */
}

void noise_fini(struct noise *n)
{
    unsigned n_dh = n->n_dh;

    secret_wipe(n, sizeof *n);
    n->n_dh = n_dh;
    n->is_dead = true;
}

bool noise_is_done(const struct noise *n)
{
    return !n->is_dead && n->tokens != NULL && *n->tokens == T_DONE;
}

enum err noise_split(const struct noise *n, struct noise_keys *keys)
{
    uint8_t k1[NOISE_HASH_BYTES], k2[NOISE_HASH_BYTES];

    if (!noise_is_done(n))
        return ERR_STATE;
    noise_hkdf(n->ck, slice_of(NULL, 0), k1, k2, NULL);
    memcpy(keys->send, n->is_initiator ? k1 : k2, sizeof keys->send);
    memcpy(keys->receive, n->is_initiator ? k2 : k1, sizeof keys->receive);
    secret_wipe(k1, sizeof k1);
    secret_wipe(k2, sizeof k2);
    return ERR_OK;
}

enum err noise_exporter(const struct noise *n, const char *label, uint8_t out[static NOISE_KEY_BYTES])
{
    struct hasher h;

    if (!noise_is_done(n))
        return ERR_STATE;
    hash_begin(&h, NOISE_KEY_BYTES, n->ck, sizeof n->ck);
    hash_text(&h, label);
    hash_bytes(&h, n->h, sizeof n->h);
    hash_end(&h, out);
    return ERR_OK;
}
