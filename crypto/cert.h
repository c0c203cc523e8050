/* crypto/cert.h - device list, certificate of one device, proof of succession (THREATS.md §4.1, §4.11).
 *
 * There is no clock in them: readers keep the highest gen they have seen of an identity.
 *
 *   in     bytes of other phones; only *_open() and *_verify() make a struct of them, signature checked
 *   owner  the caller; everything is a plain struct, nothing allocates
 *   trust  what is in struct device_list / struct device_cert was signed by the identity key, and its
 *          Ed25519 keys are valid points
 *   caps   DEVICES_MAX devices */
#ifndef ITO_CRYPTO_CERT_H
#define ITO_CRYPTO_CERT_H

#include "base/cursor.h"
#include "crypto/identity.h"

#define DEVICES_MAX      8
#define CERT_BYTES       165
#define LIST_BYTES(n)    (4 + 32 + 1 + (n)*65 + 64)
#define LIST_MAX_BYTES   LIST_BYTES(DEVICES_MAX)
#define SUCCESSION_BYTES 96

struct device_entry {
    uint8_t slot;
    uint8_t D[KEY_BYTES]; /* X25519: ends handshakes */
    uint8_t Q[KEY_BYTES]; /* Ed25519: publishes */
};

struct device_list {
    uint32_t gen;
    uint8_t next[KEY_BYTES];
    uint8_t n; /* 1..DEVICES_MAX, slots all different */
    struct device_entry devices[DEVICES_MAX];
    uint8_t sig[SIG_BYTES];
};

struct device_cert {
    uint8_t A[KEY_BYTES];
    uint32_t gen;
    uint8_t slot;
    uint8_t D[KEY_BYTES]; /* not in the bytes: the Noise static that came with them */
    uint8_t Q[KEY_BYTES];
    uint8_t next[KEY_BYTES];
};

/* What a certificate is worth to one who knows the newest list of that identity. */
enum cert_standing {
    CERT_LISTED,  /* good */
    CERT_NEWER,   /* good; its gen is higher than the list's: fetch the list */
    CERT_REMOVED, /* its device is not in the list */
};

/* --- device list: gen4 next32 n1 n x (slot1 D32 Q32) sig64 --- */
/* Fill in list->sig over all the rest. ERR_STATE without the seed, ERR_RANGE for a bad n. */
enum err device_list_sign(const struct sign_key *identity, struct device_list *list);
void device_list_write(struct wr *w, const struct device_list *list);
/* The bytes of one list from the front of r, not looked into; empty and r failed when they are not all there. */
struct slice device_list_slice(struct rd *r);
/* Parse and verify exactly one list of identity A. ERR_PARSE, ERR_AUTH; *out is zeroed on failure. */
enum err device_list_open(struct slice bytes, const uint8_t A[static KEY_BYTES], struct device_list *out);
/* The entry of a slot, or NULL. */
const struct device_entry *device_list_find(const struct device_list *list, uint8_t slot);

/* --- certificate --- */
/* Sign for one device. ERR_STATE without the seed. */
enum err cert_make(const struct sign_key *identity, uint32_t gen, const struct device_entry *device,
                   const uint8_t next[static KEY_BYTES], uint8_t out[static CERT_BYTES]);
/* Parse and verify the certificate that came with Noise static D. ERR_PARSE for a wrong length or bad
 * point, ERR_AUTH for a bad signature; *out is zeroed on failure. ~250 us. */
enum err cert_open(struct slice bytes, const uint8_t D[static KEY_BYTES], struct device_cert *out);
enum cert_standing cert_check(const struct device_cert *cert, const struct device_list *list);

/* --- succession: next32 sig64, by the successor's key --- */
/* successor: number i+1; next: identity_next() of number i+2, the successor's own `next`. */
enum err succession_make(const struct sign_key *successor, const uint8_t old_A[static KEY_BYTES],
                         const uint8_t next[static KEY_BYTES], uint8_t out[static SUCCESSION_BYTES]);
/* new_A takes over from old_A, for which pinned_next was pinned. ERR_AUTH: it may not. */
enum err succession_verify(const uint8_t old_A[static KEY_BYTES], const uint8_t pinned_next[static KEY_BYTES],
                           const uint8_t new_A[static KEY_BYTES],
                           const uint8_t proof[static SUCCESSION_BYTES]);

#endif
