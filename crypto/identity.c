#include "crypto/identity.h"

#include <sodium.h>

#include "base/cursor.h"

static const char *const contexts[] = {
    [SIGN_LIST] = "itodenwa-list-v1",
    [SIGN_DEVICE] = "itodenwa-device-v1",
    [SIGN_SUCCESSION] = "itodenwa-succession-v1",
    [SIGN_MEMBER] = "itodenwa-member-v1",
    [SIGN_KRPC] = "itodenwa-krpc-v1",
};

void sign_key_from_seed(const uint8_t seed[static KEY_BYTES], struct sign_key *out)
{
    uint8_t sk[crypto_sign_SECRETKEYBYTES];

    memmove(out->seed, seed, KEY_BYTES);
    crypto_sign_seed_keypair(out->pub, sk, out->seed);
    sodium_memzero(sk, sizeof sk);
}

void dh_key_from_secret(const uint8_t secret[static KEY_BYTES], struct dh_key *out)
{
    memmove(out->secret, secret, KEY_BYTES);
    if (crypto_scalarmult_base(out->pub, out->secret) != 0)
        sodium_misuse(); /* a clamped scalar times the base point is never zero */
}

bool ed_key_valid(const uint8_t pub[static KEY_BYTES])
{
    return crypto_core_ed25519_is_valid_point(pub) == 1;
}

enum err ed_to_x_public(const uint8_t pub[static KEY_BYTES], uint8_t out[static KEY_BYTES])
{
    if (crypto_sign_ed25519_pk_to_curve25519(out, pub) == 0)
        return ERR_OK;
    memset(out, 0, KEY_BYTES);
    return ERR_PARSE;
}

void ed_to_x_secret(const struct sign_key *key, uint8_t out[static KEY_BYTES])
{
    uint8_t sk[crypto_sign_SECRETKEYBYTES];

    memcpy(sk, key->seed, KEY_BYTES);
    memcpy(sk + KEY_BYTES, key->pub, KEY_BYTES);
    crypto_sign_ed25519_sk_to_curve25519(out, sk);
    sodium_memzero(sk, sizeof sk);
}

enum err dh_shared(const uint8_t secret[static KEY_BYTES], const uint8_t pub[static KEY_BYTES],
                   uint8_t out[static KEY_BYTES])
{
    if (crypto_scalarmult(out, secret, pub) == 0)
        return ERR_OK;
    sodium_memzero(out, KEY_BYTES);
    return ERR_AUTH;
}

void identity_derive(const uint8_t m[static KEY_BYTES], uint32_t number, struct sign_key *out)
{
    struct hasher h;
    uint8_t seed[KEY_BYTES];

    hash_begin(&h, sizeof seed, m, KEY_BYTES);
    hash_text(&h, "itodenwa-identity-v1");
    hash_u32(&h, number);
    hash_end(&h, seed);
    sign_key_from_seed(seed, out);
    sodium_memzero(seed, sizeof seed);
}

void identity_next(const uint8_t successor[static KEY_BYTES], uint8_t out[static KEY_BYTES])
{
    struct hasher h;

    hash_begin(&h, KEY_BYTES, NULL, 0);
    hash_text(&h, "itodenwa-next-v1");
    hash_bytes(&h, successor, KEY_BYTES);
    hash_end(&h, out);
}

enum err identity_pair_secret(const struct sign_key *own, const uint8_t theirs[static KEY_BYTES],
                              uint8_t out[static KEY_BYTES])
{
    bool own_first = memcmp(own->pub, theirs, KEY_BYTES) < 0;
    uint8_t secret[KEY_BYTES], x_theirs[KEY_BYTES], shared[KEY_BYTES];
    struct hasher h;
    enum err e;

    memset(out, 0, KEY_BYTES);
    if (secret_is_zero(own->seed, KEY_BYTES))
        return ERR_STATE;
    e = ed_to_x_public(theirs, x_theirs);
    if (e != ERR_OK)
        return e;
    ed_to_x_secret(own, secret);
    e = dh_shared(secret, x_theirs, shared);
    if (e == ERR_OK) {
        hash_begin(&h, KEY_BYTES, shared, sizeof shared);
        hash_text(&h, "itodenwa-pair-v1");
        hash_bytes(&h, own_first ? own->pub : theirs, KEY_BYTES);
        hash_bytes(&h, own_first ? theirs : own->pub, KEY_BYTES);
        hash_end(&h, out);
    }
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(shared, sizeof shared);
    return e;
}

/* context with its NUL, then the parts, in buf; its bytes, or an empty slice when they do not fit. */
static struct slice join(enum sign_context context, const struct slice *parts, size_t n,
                         uint8_t buf[static SIGN_MESSAGE_MAX])
{
    struct wr w;

    wr_init(&w, buf, SIGN_MESSAGE_MAX);
    wr_bytes(&w, contexts[context], strlen(contexts[context]) + 1);
    for (size_t i = 0; i < n; i++)
        wr_slice(&w, parts[i]);
    return wr_done(&w);
}

static enum err sign_bytes(const struct sign_key *key, struct slice message, uint8_t sig[static SIG_BYTES])
{
    uint8_t sk[crypto_sign_SECRETKEYBYTES];

    memset(sig, 0, SIG_BYTES);
    if (secret_is_zero(key->seed, KEY_BYTES))
        return ERR_STATE;
    memcpy(sk, key->seed, KEY_BYTES);
    memcpy(sk + KEY_BYTES, key->pub, KEY_BYTES);
    crypto_sign_detached(sig, NULL, message.data, message.len, sk);
    sodium_memzero(sk, sizeof sk);
    return ERR_OK;
}

enum err sign_parts(const struct sign_key *key, enum sign_context context, const struct slice *parts,
                    size_t n, uint8_t sig[static SIG_BYTES])
{
    uint8_t buf[SIGN_MESSAGE_MAX];
    struct slice message = join(context, parts, n, buf);

    return message.len == 0 ? ERR_RANGE : sign_bytes(key, message, sig);
}

enum err verify_parts(const uint8_t pub[static KEY_BYTES], enum sign_context context,
                      const struct slice *parts, size_t n, const uint8_t sig[static SIG_BYTES])
{
    uint8_t buf[SIGN_MESSAGE_MAX];
    struct slice message = join(context, parts, n, buf);

    if (message.len == 0)
        return ERR_RANGE;
    return crypto_sign_verify_detached(sig, message.data, message.len, pub) == 0 ? ERR_OK : ERR_AUTH;
}

enum err node_sign_krpc(const struct sign_key *node, const uint8_t zone_id[static 8],
                        const uint8_t receiver[static 20], struct slice message,
                        uint8_t sig[static SIG_BYTES])
{
    struct slice parts[] = {slice_of(zone_id, 8), slice_of(receiver, 20), message};

    return sign_parts(node, SIGN_KRPC, parts, 3, sig);
}

enum err node_verify_krpc(const uint8_t node[static KEY_BYTES], const uint8_t zone_id[static 8],
                          const uint8_t receiver[static 20], struct slice message,
                          const uint8_t sig[static SIG_BYTES])
{
    struct slice parts[] = {slice_of(zone_id, 8), slice_of(receiver, 20), message};

    return verify_parts(node, SIGN_KRPC, parts, 3, sig);
}

static bool is_ledger_document(struct slice document)
{
    static const char magics[4][5] = {"RLS1", "RLC1", "RLD1", "RLP1"};

    for (size_t i = 0; i < 4 && document.len >= 4; i++)
        if (memcmp(document.data, magics[i], 4) == 0)
            return true;
    return false;
}

enum err account_sign(const struct sign_key *account, struct slice document, uint8_t sig[static SIG_BYTES])
{
    memset(sig, 0, SIG_BYTES);
    return is_ledger_document(document) ? sign_bytes(account, document, sig) : ERR_REFUSED;
}

enum err account_verify(const uint8_t account[static KEY_BYTES], struct slice document,
                        const uint8_t sig[static SIG_BYTES])
{
    if (!is_ledger_document(document))
        return ERR_REFUSED;
    return crypto_sign_verify_detached(sig, document.data, document.len, account) == 0 ? ERR_OK : ERR_AUTH;
}
