#include "dht/node_key.h"

#include "base/mem.h"
#include "crypto/item.h"

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
                       const uint8_t nonce[static 8], const struct node_ops *ops, unsigned max_pairs,
                       struct book *book, const struct env *env)
{
    memset(nk, 0, sizeof *nk);
    nk->env = env;
    nk->ops = ops != NULL ? ops : &node_ops_real;
    nk->book = book;
    sign_key_from_seed(seed, &nk->sign);
    memcpy(nk->zone, zone, sizeof nk->zone);
    memcpy(nk->nonce, nonce, sizeof nk->nonce);
    if (nk->ops->id(zone, nk->sign.pub, nonce, nk->id) != ERR_OK) {
        node_key_fini(nk);
        return ERR_AUTH;
    }
    env_random(env, nk->cookie_secret, sizeof nk->cookie_secret);
    env_random(env, &nk->tag_secret, sizeof nk->tag_secret);
    nk->tag_secret |= 1;
    nk->max_pairs = (uint16_t)(max_pairs > 0 && max_pairs < UINT16_MAX ? max_pairs : NODE_PAIRS);
    return ERR_OK;
}

void node_key_fini(struct node_key *nk)
{
    for (unsigned i = 0; i < nk->n_pairs; i++)
        book_drop(nk->book, nk->pairs[i].who);
    if (nk->keys != NULL)
        secret_wipe(nk->keys, (size_t)nk->cap_pairs * sizeof *nk->keys);
    mem_free(nk->keys);
    mem_free(nk->pairs);
    if (nk->members != NULL)
        mem_free(nk->members->of);
    mem_free(nk->members);
    secret_wipe(nk, sizeof *nk);
}

/* --- members */

static uint32_t until_day_of(const uint8_t *cert)
{
    struct rd r;

    rd_init(&r, slice_of(cert, 4));
    return rd_u32(&r);
}

enum err node_key_close(struct node_key *nk, const uint8_t zone_key[static KEY_BYTES],
                        const uint8_t cert[static MEMBER_CERT_BYTES])
{
    if (zone_member_verify(nk->zone, zone_key, nk->sign.pub, slice_of(cert, MEMBER_CERT_BYTES), 0) != ERR_OK)
        return ERR_AUTH;
    if (nk->members == NULL)
        nk->members = mem_alloc(sizeof *nk->members);
    memcpy(nk->members->zone_key, zone_key, KEY_BYTES);
    memcpy(nk->members->cert, cert, MEMBER_CERT_BYTES);
    nk->members->until_day = until_day_of(cert);
    return ERR_OK;
}

void node_key_date(struct node_key *nk, int64_t wall_ms)
{
    int64_t day = wall_ms > 0 ? wall_ms / 86400000 : 0;

    nk->members->day = day < nk->members->until_day ? (uint32_t)day : nk->members->until_day;
}

static const struct pair_member *member_of(const struct node_key *nk, const struct pair *p)
{
    return &nk->members->of[p - nk->pairs];
}

static bool is_same_cert(const struct pair_member *of, struct slice cert)
{
    return cert.len == KRPC_MEMBER && of->until_day == until_day_of(cert.data) &&
           memcmp(of->sig, cert.data + 4, sizeof of->sig) == 0;
}

bool node_member_known(const struct node_key *nk, const struct krpc_msg *m)
{
    const struct pair *p = nk->members != NULL && m->k.data != NULL ? node_pair(nk, m->k.data) : NULL;

    return p != NULL && is_same_cert(member_of(nk, p), m->member) &&
           nk->members->day <= member_of(nk, p)->until_day;
}

enum err node_member(const struct node_key *nk, const struct krpc_msg *m)
{
    const struct node_members *of = nk->members;

    if (of == NULL || node_member_known(nk, m))
        return ERR_OK;
    if (m->k.data == NULL || m->member.len != KRPC_MEMBER)
        return ERR_AUTH;
    if (until_day_of(m->member.data) < of->day) /* costs less than its signature */
        return ERR_LATE;
    return zone_member_verify(nk->zone, of->zone_key, m->k.data, m->member, of->day);
}

/* The pair goes by the certificate that m brought and node_member() passed. */
static void keep_member(struct node_key *nk, const struct pair *p, const struct krpc_msg *m)
{
    struct pair_member *of = nk->members != NULL ? &nk->members->of[p - nk->pairs] : NULL;

    if (of == NULL)
        return;
    of->until_day = until_day_of(m->member.data);
    memcpy(of->sig, m->member.data + 4, sizeof of->sig);
}

/* --- pairs */

static uint32_t tag_of(const struct node_key *nk, const uint8_t N[static 32])
{
    uint64_t v;

    memcpy(&v, N + 8, sizeof v);
    v = (v ^ nk->tag_secret >> 7) * nk->tag_secret;
    return (uint32_t)(v >> 32);
}

/* The first place whose tag is not smaller. */
static unsigned place_of(const struct node_key *nk, uint32_t tag)
{
    unsigned at =
        (unsigned)((uint64_t)tag * nk->n_pairs >> 32); /* tags are spread evenly: it is not far from here */

    while (at > 0 && nk->pairs[at - 1].tag >= tag)
        at--;
    while (at < nk->n_pairs && nk->pairs[at].tag < tag)
        at++;
    return at;
}

struct pair *node_pair(const struct node_key *nk, const uint8_t N[static 32])
{
    uint32_t tag = tag_of(nk, N);

    for (unsigned i = place_of(nk, tag); i < nk->n_pairs && nk->pairs[i].tag == tag; i++)
        if (memcmp(pair_contact(nk, &nk->pairs[i])->key, N, 32) == 0)
            return &nk->pairs[i];
    return NULL;
}

static uint16_t used_now(ns_t now)
{
    return (uint16_t)(now / (8 * NS_PER_S));
}

static void remove_pair(struct node_key *nk, unsigned at)
{
    book_drop(nk->book, nk->pairs[at].who);
    nk->n_pairs--;
    memmove(&nk->pairs[at], &nk->pairs[at + 1], (nk->n_pairs - at) * sizeof *nk->pairs);
    if (nk->keys != NULL) {
        memmove(nk->keys[at], nk->keys[at + 1], (nk->n_pairs - at) * sizeof *nk->keys);
        secret_wipe(nk->keys[nk->n_pairs], sizeof *nk->keys);
    }
    if (nk->members != NULL)
        memmove(&nk->members->of[at], &nk->members->of[at + 1], (nk->n_pairs - at) * sizeof *nk->members->of);
}

static unsigned oldest_pair(const struct node_key *nk, ns_t now)
{
    unsigned oldest = 0;
    uint16_t age = 0;

    for (unsigned i = 0; i < nk->n_pairs; i++) {
        uint16_t a = (uint16_t)(used_now(now) - nk->pairs[i].used_at);

        if (a > age) {
            age = a;
            oldest = i;
        }
    }
    return oldest;
}

static void grow_pairs(struct node_key *nk)
{
    unsigned cap = nk->cap_pairs + 8u + nk->cap_pairs / 8;
    uint8_t(*keys)[32];

    nk->cap_pairs = (uint16_t)(cap < nk->max_pairs ? cap : nk->max_pairs);
    nk->pairs = mem_resize(nk->pairs, nk->cap_pairs, sizeof *nk->pairs);
    if (nk->members != NULL)
        nk->members->of = mem_resize(nk->members->of, nk->cap_pairs, sizeof *nk->members->of);
    if (nk->ops->is_cheap)
        return;
    keys = mem_array(nk->cap_pairs, sizeof *keys);
    if (nk->keys != NULL) {
        memcpy(keys, nk->keys, nk->n_pairs * sizeof *keys);
        secret_wipe(nk->keys, nk->n_pairs * sizeof *keys);
    }
    mem_free(nk->keys);
    nk->keys = keys;
}

/* In place of the one that was used longest ago when there are too many. */
static struct pair *pair_add(struct node_key *nk, ns_t now, const struct contact *c,
                             const uint8_t key[static 32])
{
    struct pair p = {.tag = tag_of(nk, c->key), .used_at = used_now(now)};
    unsigned at;

    if (nk->n_pairs == nk->max_pairs)
        remove_pair(nk, oldest_pair(nk, now));
    if (nk->n_pairs == nk->cap_pairs)
        grow_pairs(nk);
    p.who = book_keep(nk->book, c);
    at = place_of(nk, p.tag);
    memmove(&nk->pairs[at + 1], &nk->pairs[at], (nk->n_pairs - at) * sizeof p);
    nk->pairs[at] = p;
    if (nk->keys != NULL) {
        memmove(nk->keys[at + 1], nk->keys[at], (nk->n_pairs - at) * sizeof *nk->keys);
        memcpy(nk->keys[at], key, sizeof *nk->keys);
    }
    if (nk->members != NULL)
        memmove(&nk->members->of[at + 1], &nk->members->of[at], (nk->n_pairs - at) * sizeof *nk->members->of);
    nk->n_pairs++;
    return &nk->pairs[at];
}

static void change_contact(struct node_key *nk, struct pair *p, const struct contact *c)
{
    uint32_t was = p->who;

    if (contact_equal(book_at(nk->book, was), c))
        return;
    p->who = book_keep(nk->book, c);
    book_drop(nk->book, was);
}

struct pair *pair_keep(struct node_key *nk, ns_t now, const struct contact *c)
{
    struct pair *p = node_pair(nk, c->key);
    uint8_t key[32] = {0};

    if (p == NULL && nk->ops->pair(&nk->sign, c->key, key) == ERR_OK)
        p = pair_add(nk, now, c, key);
    secret_wipe(key, sizeof key);
    return p;
}

void pair_prove(struct node_key *nk, ns_t now, struct pair *p, const struct addr *a)
{
    struct contact c = *pair_contact(nk, p);

    c.addr = *a;
    change_contact(nk, p, &c);
    p->proven_s = (uint32_t)(now / NS_PER_S) + 1;
}

void pair_believe(struct node_key *nk, struct pair *p, const struct addr *a)
{
    struct contact c = *pair_contact(nk, p);

    if (addr_equal(&c.addr, a))
        return;
    c.addr = *a;
    change_contact(nk, p, &c);
    p->proven_s = 0;
}

bool pair_is_proven(const struct pair *p, ns_t now, ns_t age)
{
    return p->proven_s > 0 && (uint32_t)(now / NS_PER_S) + 1 - p->proven_s < age / NS_PER_S;
}

/* Its key, in room when it is not kept. */
static const uint8_t *pair_key(const struct node_key *nk, const struct pair *p, uint8_t room[static 32])
{
    if (nk->keys != NULL)
        return nk->keys[p - nk->pairs];
    nk->ops->pair(&nk->sign, pair_contact(nk, p)->key, room);
    return room;
}

struct slice node_seal(const struct node_key *nk, struct krpc_msg *m, const uint8_t *receiver,
                       const struct pair *pair, uint8_t *buf, size_t size)
{
    static const uint8_t zeros[SIG_BYTES], nobody[ID_BYTES];
    uint8_t cut[KRPC_OUT_CLOSED], proof[SIG_BYTES], key[32];
    struct slice packet, message;
    size_t n = pair != NULL ? PAIRMAC_BYTES : SIG_BYTES;
    size_t max = nk->members != NULL ? KRPC_OUT_CLOSED : KRPC_OUT_MAX;

    m->k = slice_of(nk->sign.pub, sizeof nk->sign.pub);
    m->p = slice_of(nk->nonce, sizeof nk->nonce);
    m->z = slice_of(nk->zone, sizeof nk->zone);
    m->ts = (struct krpc_int){.v = env_wall_ms(nk->env), .is_set = true};
    m->sig = m->mac = (struct slice){0};
    if (nk->members != NULL)
        m->member = slice_of(nk->members->cert, sizeof nk->members->cert);
    if (pair != NULL)
        m->mac = slice_of(zeros, n);
    else
        m->sig = slice_of(zeros, n);
    packet = krpc_write(m, buf, size < max ? size : max);
    if (packet.len == 0)
        return packet;
    message = slice_of(cut, krpc_cut(packet, m, cut));
    if (pair != NULL)
        nk->ops->mac(pair_key(nk, pair, key), nk->zone, pair_contact(nk, pair)->id, message, proof);
    else
        nk->ops->sign(&nk->sign, nk->zone, receiver != NULL ? receiver : nobody, message, proof);
    memcpy(buf + m->cut_at + m->cut_len - n, proof, n);
    return packet;
}

static bool mac_is_right(const struct node_key *nk, const uint8_t key[static 32], struct slice packet,
                         const struct krpc_msg *m)
{
    uint8_t cut[KRPC_IN_MAX], mac[PAIRMAC_BYTES];

    nk->ops->mac(key, nk->zone, nk->id, slice_of(cut, krpc_cut(packet, m, cut)), mac);
    return secret_equal(mac, m->mac.data, sizeof mac);
}

enum err node_open_mac(struct node_key *nk, ns_t now, struct slice packet, const struct krpc_msg *m,
                       struct pair **out)
{
    struct pair *p = node_pair(nk, m->k.data);
    uint8_t key[32];
    enum err e;

    if (p == NULL)
        return ERR_NOT_FOUND;
    if (m->mac.data == NULL || !mac_is_right(nk, pair_key(nk, p, key), packet, m))
        return ERR_AUTH;
    if (m->b.id.data != NULL && !id_equal(pair_contact(nk, p)->id, m->b.id.data))
        return ERR_AUTH;
    e = node_member(nk, m);
    if (e != ERR_OK)
        return e;
    keep_member(nk, p, m);
    p->used_at = used_now(now);
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
    struct pair *p = node_pair(nk, m->k.data);
    struct contact c = {0};
    uint8_t key[32] = {0};
    enum err e = ERR_AUTH;

    if (m->mac.data != NULL && p != NULL)
        return node_open_mac(nk, now, packet, m, out);
    if (nk->ops->id(nk->zone, m->k.data, m->p.data, c.id) != ERR_OK ||
        (m->b.id.data != NULL && !id_equal(c.id, m->b.id.data)) || id_equal(c.id, nk->id))
        return ERR_AUTH;
    if (m->sig.data != NULL && !signature_is_right(nk, packet, m))
        return ERR_AUTH;
    e = node_member(nk, m);
    if (e != ERR_OK)
        return e;
    e = ERR_AUTH;
    if (p == NULL && nk->ops->pair(&nk->sign, m->k.data, key) != ERR_OK)
        goto out;
    if (m->mac.data != NULL && !mac_is_right(nk, key, packet, m))
        goto out;
    memcpy(c.key, m->k.data, sizeof c.key);
    memcpy(c.nonce, m->p.data, sizeof c.nonce);
    if (p == NULL) {
        p = pair_add(nk, now, &c, key);
    } else {
        c.addr = pair_contact(nk, p)->addr;
        change_contact(nk, p, &c); /* another puzzle solution makes another id */
    }
    keep_member(nk, p, m);
    p->used_at = used_now(now);
    *out = p;
    e = ERR_OK;
out:
    secret_wipe(key, sizeof key);
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

/* It starts unlike every packet, so neither can be taken for the other. */
static void voucher_of(const struct node_key *nk, const struct pair *p, const uint8_t *receiver,
                       uint64_t slot, const uint8_t N[static 32], const struct addr *a,
                       uint8_t out[static KRPC_ZV])
{
    static const char text[] = "itodenwa-krpc-vouch-v1";
    uint8_t message[sizeof text + 8 + 32 + 1 + 16 + 2], key[32], mac[PAIRMAC_BYTES];
    struct wr w;

    wr_init(&w, message, sizeof message);
    wr_bytes(&w, text, sizeof text);
    wr_u64(&w, slot);
    wr_bytes(&w, N, 32);
    wr_u8(&w, a->family);
    wr_bytes(&w, a->ip, sizeof a->ip);
    wr_u16(&w, a->port);
    nk->ops->mac(pair_key(nk, p, key), nk->zone, receiver, wr_done(&w), mac);
    memcpy(out, mac, KRPC_ZV);
}

static uint64_t slot_of(int64_t wall_ms)
{
    return wall_ms > 0 ? (uint64_t)wall_ms / KRPC_SLOT_MS : 0;
}

void node_vouch(const struct node_key *nk, const struct pair *p, int64_t wall_ms, const uint8_t N[static 32],
                const struct addr *a, uint8_t out[static KRPC_ZV])
{
    voucher_of(nk, p, pair_contact(nk, p)->id, slot_of(wall_ms), N, a, out);
}

struct pair *node_voucher(const struct node_key *nk, int64_t wall_ms, const uint8_t N[static 32],
                          const struct addr *a, struct slice voucher)
{
    static const uint64_t ages[] = {0, 1, UINT64_MAX};
    struct pair *p = voucher.len == KRPC_VOUCHER ? node_pair(nk, voucher.data) : NULL;
    uint8_t right[KRPC_ZV];

    for (unsigned i = 0; p != NULL && i < sizeof ages / sizeof *ages; i++) {
        voucher_of(nk, p, nk->id, slot_of(wall_ms) - ages[i], N, a, right);
        if (secret_equal(right, voucher.data + 32, sizeof right))
            return p;
    }
    return NULL;
}
