/* dht/store.h - items held for others (BEP 44), and the tokens that writers must bring.
 *
 * The order of checks is BEP 44's: size (205), salt (207), token (203), signature (206), cas (301), seq (302). The
 * same seq again is accepted, and refreshes the expiry, only with the same signature; otherwise it is 302. Zones hold
 * byte strings under keys only; mainline any value, also immutable ones. A value is kept, and given, as it came.
 *
 *   in     put messages whose sender's address answered once (the token says so)
 *   out    items as they were put; KRPC error codes
 *   owner  the node; items are allocated one by one, in their own size
 *   trust  every item held has a right signature; by whom it was put is remembered for `route`
 *   caps   max items; STORE_PER_NET of them from one /24 or /48 of global addresses. When full, the item that lies
 *          farthest from our id gives way to a nearer one. Each expires STORE_LIFE_NS after its last put */
#ifndef ITO_DHT_STORE_H
#define ITO_DHT_STORE_H

#include "base/env.h"
#include "dht/id.h"
#include "dht/krpc.h"
#include "dht/node_key.h"

#define STORE_MAX         1024
#define STORE_PER_NET     256
#define STORE_LIFE_NS     (2 * 3600 * NS_PER_S)
#define STORE_V_MAX       1000 /* of the bencoded value */
#define STORE_SALT_MAX    64
#define STORE_TOKEN_BYTES 8
#define STORE_TOKEN_NS    (300 * NS_PER_S) /* a token is good for 5 to 10 min */

struct stored {
    uint8_t target[ID_BYTES];
    bool is_mutable;
    uint8_t k[32], sig[64]; /* and seq, salt: of mutable ones */
    int64_t seq;
    ns_t expires_at;
    struct addr put_from;
    uint8_t put_by[32]; /* N; zeros on mainline */
    uint16_t v_len;
    uint8_t salt_len;
    uint8_t salt[STORE_SALT_MAX];
    uint16_t next;
    uint8_t v[]; /* bencoded */
};

struct store {
    const struct env *env;
    const struct node_ops *ops;
    uint8_t own[ID_BYTES];
    uint8_t secret[2][32];
    ns_t secret_at, next_expiry;
    uint16_t max, n, cap;
    uint16_t *heads;      /* cap of them */
    struct stored **pool; /* cap places, NULL where nothing is */
    uint64_t cap_drops;
};

void store_init(struct store *s, const uint8_t own[static ID_BYTES], unsigned max, const struct node_ops *ops,
                const struct env *env);
void store_fini(struct store *s);

/* The token of an address (not its port, BEP 5) for a target. */
void store_token(struct store *s, ns_t now, const struct addr *a, const uint8_t target[static ID_BYTES],
                 uint8_t out[static STORE_TOKEN_BYTES]);
bool store_token_ok(struct store *s, ns_t now, const struct addr *a, const uint8_t target[static ID_BYTES],
                    struct slice token);

/* One put. N given: a node of a zone whose address is proven, so it may come without a token. 0 when it is stored, else the KRPC error code. target out: where it belongs (ID_BYTES). N may be NULL. */
int store_put(struct store *s, ns_t now, const struct addr *from, const uint8_t *N, const struct krpc_msg *m,
              uint8_t target[static ID_BYTES]);
/* Where an item belongs: SHA-1 of key and salt (at most STORE_SALT_MAX), immutable: of the value. */
void store_target(const struct krpc_msg *m, uint8_t target[static ID_BYTES]);
/* NULL: nothing there. */
const struct stored *store_get(const struct store *s, ns_t now, const uint8_t target[static ID_BYTES]);
/* Drop what expired. */
void store_tick(struct store *s, ns_t now);
ns_t store_deadline(const struct store *s);

#endif
