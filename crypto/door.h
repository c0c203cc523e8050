/* crypto/door.h - who may cost us work: cookies, load, one paid handshake a second for a static key, stamps.
 *
 * The part of THREATS.md §4.6 that stands between a right mac1 and the first Diffie-Hellman.
 *
 *   in     msg1 datagrams, the path they came by, static keys, stamps
 *   out    yes or no
 *   owner  the session table, which embeds it
 *   caps   all tables are of fixed size; an old entry yields to a new one */
#ifndef ITO_CRYPTO_DOOR_H
#define ITO_CRYPTO_DOOR_H

#include "base/env.h"
#include "base/path.h"
#include "crypto/handshake.h"

#define DOOR_COOKIE_NS \
    (120 * NS_PER_S) /* a secret makes cookies this long, and is recognised twice as long */
#define DOOR_PAY_NS     NS_PER_S
#define DOOR_PAYERS     1024
#define DOOR_PAYER_WAYS 4
#define DOOR_STALE      64
#define DOOR_STAMPS     256

struct door {
    const struct env *env;
    uint32_t load_per_s;
    ns_t second_at; /* beginning of the second that is counted */
    uint32_t n_now, n_before;
    uint8_t secrets[2][32]; /* of cookies: current, before */
    ns_t secret_at;         /* when the current one was drawn; 0: never */
    uint8_t hash_key[32];
    struct door_payer {
        uint8_t key[32];
        ns_t paid_at; /* NS_NEVER: free */
    } payers[DOOR_PAYERS];
    uint64_t stale[DOOR_STALE]; /* first bytes of digests */
    uint32_t n_stale;
    struct door_stamp {
        uint8_t device[32];
        uint64_t stamp;
        ns_t at;
    } stamps[DOOR_STAMPS];
};

void door_init(struct door *d, uint32_t load_per_s, const struct env *env);
void door_fini(struct door *d);

/* One msg1 whose mac1 is right. */
void door_count(struct door *d, ns_t now);
/* More than load_per_s of them in this second or the one before. */
bool door_is_loaded(struct door *d, ns_t now);

/* Charge a static key for one handshake; false when it had one within DOOR_PAY_NS. */
bool door_pay(struct door *d, ns_t now, const uint8_t static_key[static 32]);

/* The cookie for whoever gets datagrams at this path. */
void door_cookie(struct door *d, ns_t now, const struct path *via, uint8_t cookie[static 16]);
/* mac2 was made with a cookie we gave to this path. */
bool door_mac2_is_right(struct door *d, ns_t now, const struct path *via, struct slice msg1);

/* Old messages, sent again: recognised before anything is paid, so that they cannot use up the allowance of
 * the one who once sent them. */
bool door_is_stale(const struct door *d, const uint8_t digest[static 32]);
void door_set_stale(struct door *d, const uint8_t digest[static 32]);

/* Last stamps of devices, for owners who keep none themselves. */
uint64_t door_stamp(const struct door *d, const uint8_t device[static 32]);
void door_set_stamp(struct door *d, ns_t now, const uint8_t device[static 32], uint64_t stamp);

#endif
