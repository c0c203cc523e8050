#include "dht/node_key.h"

#include "base/mem.h"
#include "crypto/item.h"
#include "crypto/zone.h"

static enum err real_id(const uint8_t zone[8], const uint8_t N[32], const uint8_t nonce[8], uint8_t id[20])
{
    return zone_node_id(zone, N, nonce, id);
}

static void real_sign(const struct sign_key *own, const uint8_t zone[8], const uint8_t receiver[20],
                      struct slice message, uint8_t sig[64])
{
    if (node_sign_krpc(own, zone, receiver, message, sig) != ERR_OK)
        memset(sig, 0, SIG_BYTES);
}

static enum err real_verify(const uint8_t N[32], const uint8_t zone[8], const uint8_t receiver[20],
                            struct slice message, const uint8_t sig[64])
{
    return node_verify_krpc(N, zone, receiver, message, sig);
}

static enum err real_pair(const struct sign_key *own, const uint8_t N[32], uint8_t key[32])
{
    return ed_key_valid(N) ? zone_pairmac_key(own, N, key) : ERR_AUTH;
}

static enum err real_item(const uint8_t k[32], struct slice salt, int64_t seq, struct slice v_bencoded,
                          const uint8_t sig[64])
{
    return bep44_verify(k, salt, seq, v_bencoded, sig);
}

static void real_mac(const uint8_t key[32], const uint8_t zone[8], const uint8_t receiver[20],
                     struct slice message, uint8_t mac[16])
{
    zone_pairmac(key, zone, receiver, message, mac);
}

const struct node_ops node_ops_real = {.id = real_id,
                                       .sign = real_sign,
                                       .verify = real_verify,
                                       .pair = real_pair,
                                       .mac = real_mac,
                                       .item = real_item};

enum err node_key_init(struct node_key *nk, const uint8_t zone[static 8], const uint8_t seed[static 32],
                       const uint8_t nonce[static 8], const struct node_ops *ops, uint32_t max_pairs,
                       const struct env *env)
{
    memset(nk, 0, sizeof *nk);
    nk->env = env;
    nk->ops = ops != NULL ? ops : &node_ops_real;
    sign_key_from_seed(seed, &nk->sign);
    memcpy(nk->zone, zone, sizeof nk->zone);
    memcpy(nk->nonce, nonce, sizeof nk->nonce);
    if (nk->ops->id(zone, nk->sign.pub, nonce, nk->id) != ERR_OK) {
        node_key_fini(nk);
        return ERR_AUTH;
    }
    env_random(env, nk->cookie_secret, sizeof nk->cookie_secret);
    env_random(env, &nk->set_secret, sizeof nk->set_secret);
    nk->set_secret |= 1;
    nk->n_sets = ((max_pairs > 0 ? max_pairs : NODE_PAIRS) + NODE_WAYS - 1) / NODE_WAYS;
    nk->pairs = mem_array((size_t)nk->n_sets * NODE_WAYS, sizeof *nk->pairs);
    return ERR_OK;
}

void node_key_fini(struct node_key *nk)
{
    if (nk->pairs != NULL)
        secret_wipe(nk->pairs, (size_t)nk->n_sets * NODE_WAYS * sizeof *nk->pairs);
    mem_free(nk->pairs);
    secret_wipe(nk, sizeof *nk);
}

static struct pair *pair_set(const struct node_key *nk, const uint8_t N[static 32])
{
    uint64_t v;

    memcpy(&v, N + 8, sizeof v);
    v = (v ^ nk->set_secret >> 7) * nk->set_secret;
    return &nk->pairs[(v >> 32) % nk->n_sets * NODE_WAYS];
}

struct pair *node_pair(struct node_key *nk, const uint8_t N[static 32])
{
    struct pair *set = pair_set(nk, N);

    for (unsigned i = 0; i < NODE_WAYS; i++)
        if (set[i].used_at > 0 && memcmp(set[i].N, N, sizeof set[i].N) == 0)
            return &set[i];
    return NULL;
}

uint32_t node_pairs(const struct node_key *nk)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < nk->n_sets * NODE_WAYS; i++)
        n += nk->pairs[i].used_at > 0;
    return n;
}

/* In place of the one of its set that was used longest ago. */
static struct pair *pair_add(struct node_key *nk, ns_t now, const uint8_t N[static 32],
                             const uint8_t id[static ID_BYTES], const uint8_t key[static 32])
{
    struct pair *set = pair_set(nk, N), *p = set;

    for (unsigned i = 1; i < NODE_WAYS; i++)
        if (set[i].used_at < p->used_at)
            p = &set[i];
    memset(p, 0, sizeof *p);
    memcpy(p->N, N, sizeof p->N);
    memcpy(p->id, id, sizeof p->id);
    memcpy(p->key, key, sizeof p->key);
    p->used_at = now > 0 ? now : 1;
    return p;
}

struct slice node_seal(const struct node_key *nk, struct krpc_msg *m, const uint8_t *receiver,
                       const struct pair *pair, uint8_t *buf, size_t size)
{
    static const uint8_t zeros[SIG_BYTES], nobody[ID_BYTES];
    uint8_t cut[KRPC_OUT_MAX], proof[SIG_BYTES];
    struct slice packet, message;
    size_t n = pair != NULL ? PAIRMAC_BYTES : SIG_BYTES;

    m->k = slice_of(nk->sign.pub, sizeof nk->sign.pub);
    m->p = slice_of(nk->nonce, sizeof nk->nonce);
    m->z = slice_of(nk->zone, sizeof nk->zone);
    m->ts = (struct krpc_int){.v = env_wall_ms(nk->env), .is_set = true};
    m->sig = m->mac = (struct slice){0};
    if (pair != NULL)
        m->mac = slice_of(zeros, n);
    else
        m->sig = slice_of(zeros, n);
    packet = krpc_write(m, buf, size < sizeof cut ? size : sizeof cut);
    if (packet.len == 0)
        return packet;
    message = slice_of(cut, krpc_cut(packet, m, cut));
    if (pair != NULL)
        nk->ops->mac(pair->key, nk->zone, pair->id, message, proof);
    else
        nk->ops->sign(&nk->sign, nk->zone, receiver != NULL ? receiver : nobody, message, proof);
    memcpy(buf + m->cut_at + m->cut_len - n, proof, n);
    return packet;
}

static bool mac_is_right(const struct node_key *nk, const struct pair *p, struct slice packet,
                         const struct krpc_msg *m)
{
    uint8_t cut[KRPC_IN_MAX], mac[PAIRMAC_BYTES];

    nk->ops->mac(p->key, nk->zone, nk->id, slice_of(cut, krpc_cut(packet, m, cut)), mac);
    return secret_equal(mac, m->mac.data, sizeof mac);
}

enum err node_open_mac(struct node_key *nk, ns_t now, struct slice packet, const struct krpc_msg *m,
                       struct pair **out)
{
    struct pair *p = node_pair(nk, m->k.data);

    if (p == NULL)
        return ERR_NOT_FOUND;
    if (m->mac.data == NULL || !mac_is_right(nk, p, packet, m))
        return ERR_AUTH;
    if (m->b.id.data != NULL && !id_equal(p->id, m->b.id.data))
        return ERR_AUTH;
    p->used_at = now;
    *out = p;
    return ERR_OK;
}

static bool signature_is_right(const struct node_key *nk, struct slice packet, const struct krpc_msg *m)
{
    static const uint8_t nobody[ID_BYTES];
    uint8_t cut[KRPC_IN_MAX];
    struct slice message = slice_of(cut, krpc_cut(packet, m, cut));

    if (nk->ops->verify(m->k.data, nk->zone, nk->id, message, m->sig.data) == ERR_OK)
        return true;
    return m->type == KRPC_QUERY &&
           nk->ops->verify(m->k.data, nk->zone, nobody, message, m->sig.data) == ERR_OK;
}

enum err node_open_any(struct node_key *nk, ns_t now, struct slice packet, const struct krpc_msg *m,
                       struct pair **out)
{
    struct pair *p = node_pair(nk, m->k.data), fresh = {0};
    uint8_t id[ID_BYTES];
    enum err e = ERR_AUTH;

    if (m->mac.data != NULL && p != NULL)
        return node_open_mac(nk, now, packet, m, out);
    if (nk->ops->id(nk->zone, m->k.data, m->p.data, id) != ERR_OK ||
        (m->b.id.data != NULL && !id_equal(id, m->b.id.data)) || id_equal(id, nk->id))
        return ERR_AUTH;
    if (m->sig.data != NULL && !signature_is_right(nk, packet, m))
        return ERR_AUTH;
    if (p == NULL && nk->ops->pair(&nk->sign, m->k.data, fresh.key) != ERR_OK)
        goto out;
    if (m->mac.data != NULL && !mac_is_right(nk, &fresh, packet, m))
        goto out;
    if (p == NULL)
        p = pair_add(nk, now, m->k.data, id, fresh.key);
    memcpy(p->id, id, sizeof p->id);
    p->used_at = now;
    *out = p;
    e = ERR_OK;
out:
    secret_wipe(&fresh, sizeof fresh);
    return e;
}

static void cookie_turn(struct node_key *nk, ns_t now)
{
    if (now - nk->cookie_at < NODE_COOKIE_NS)
        return;
    if (now - nk->cookie_at < 2 * NODE_COOKIE_NS)
        memcpy(nk->cookie_secret[1], nk->cookie_secret[0], 32);
    else
        env_random(nk->env, nk->cookie_secret[1], 32);
    env_random(nk->env, nk->cookie_secret[0], 32);
    nk->cookie_at = now;
}

static void cookie_of(const struct node_key *nk, unsigned age, const struct addr *a,
                      uint8_t out[static KRPC_COOKIE])
{
    struct hasher h;

    hash_begin(&h, KRPC_COOKIE, nk->cookie_secret[age], 32);
    hash_text(&h, "itodenwa-krpc-cookie-v1");
    hash_u8(&h, a->family);
    hash_bytes(&h, a->ip, sizeof a->ip);
    hash_u16(&h, a->port);
    hash_end(&h, out);
}

void node_cookie(struct node_key *nk, ns_t now, const struct addr *a, uint8_t out[static KRPC_COOKIE])
{
    cookie_turn(nk, now);
    cookie_of(nk, 0, a, out);
}

bool node_cookie_ok(struct node_key *nk, ns_t now, const struct addr *a, struct slice cookie)
{
    uint8_t right[KRPC_COOKIE];

    cookie_turn(nk, now);
    for (unsigned age = 0; age < 2 && cookie.len == sizeof right; age++) {
        cookie_of(nk, age, a, right);
        if (secret_equal(right, cookie.data, sizeof right))
            return true;
    }
    return false;
}
