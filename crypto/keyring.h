/* crypto/keyring.h - all the secrets of one phone (THREATS.md §4.1): identity, device, S, accounts, and the
 * device list and certificate that the identity signed.
 *
 *   in     struct env for random bytes and the wall clock; the phrase
 *   owner  the caller's struct; ends with keyring_wipe(). crypto/keystore.h keeps it in a file: after every
 *          change here, keystore_replace()
 *   caps   DEVICES_MAX devices; S rotates at most every S_ROTATE_MIN_S */
#ifndef ITO_CRYPTO_KEYRING_H
#define ITO_CRYPTO_KEYRING_H

#include "base/env.h"
#include "crypto/cert.h"

#define DEVICE_LIFE_S  (30 * 86400) /* a device draws new D and Q after that */
#define OLD_DEVICE_S   (7 * 86400)  /* old D is heard that long */
#define OLD_S_S        (30 * 86400) /* previous S is heard that long */
#define S_ROTATE_MIN_S 3600

/* How the file is sealed, kept so that replacing it needs no passphrase and no second Argon2id. */
struct key_lock {
    bool is_sealed;
    uint32_t ops, mem_kib;
    uint8_t salt[16];
    uint8_t key[KEY_BYTES];
};

struct keyring {
    uint32_t number;                      /* identity number i of the phrase */
    struct sign_key identity;             /* a linked device has only .pub (A): keyring_is_main() */
    uint8_t next[KEY_BYTES];              /* next_i of this identity */
    uint8_t old_identity[KEY_BYTES];      /* A_{i-1}, whose successor this is; zero when i = 0 */
    uint8_t succession[SUCCESSION_BYTES]; /* the proof of it */
    uint32_t first_gen; /* gen when it was restored: what contacts were told before is the old one's */

    struct dh_key device;     /* D */
    struct dh_key old_device; /* previous D, zero when none */
    int64_t device_made_s;    /* wall clock, s */
    int64_t old_device_until_s;
    struct sign_key publish;      /* Q */
    struct dh_key pending_device; /* a linked device's next D and Q, until the main device certified them */
    struct sign_key pending_publish;
    uint8_t slot;
    uint32_t gen;

    uint8_t S[KEY_BYTES];
    uint32_t S_gen;
    int64_t S_made_s;
    uint8_t old_S[KEY_BYTES]; /* zero when none */
    int64_t old_S_until_s;

    uint8_t acct_seed[KEY_BYTES];

    struct device_list
        list; /* signed, of this gen; holds this device, or is the newer one that does not (struck off) */
    uint8_t cert[CERT_BYTES]; /* of this device */

    struct key_lock lock;
};

/* A new phrase, identity number 0, device, S, accounts. phrase_m is the only copy of the phrase: show it,
 * wipe it. */
void keyring_create(const struct env *env, struct keyring *k, uint8_t phrase_m[static KEY_BYTES]);
/* The identity `number` of a phrase on this machine: device, S and accounts are new, gen and S_gen are taken
 * from the wall clock (seconds) so that they lie above what contacts remember. number > 0: as successor of
 * number - 1, with the proof. */
void keyring_restore(const struct env *env, struct keyring *k, const uint8_t phrase_m[static KEY_BYTES],
                     uint32_t number);
/* Is there a predecessor to be told to who knew it: a proof is here, and they confirmed no gen of ours. */
bool keyring_is_successor_to(const struct keyring *k, uint32_t told_gen);
/* Holds the identity key: may sign lists, certificates, cards. */
bool keyring_is_main(const struct keyring *k);
/* New S, S_gen + 1; the old one stays for OLD_S_S. ERR_AGAIN within S_ROTATE_MIN_S of the last time. */
enum err keyring_rotate_s(const struct env *env, struct keyring *k);
/* S as another device of ours chose it (sync); an S_gen not above ours is ERR_LATE. */
enum err keyring_set_s(const struct env *env, struct keyring *k, const uint8_t S[static KEY_BYTES],
                       uint32_t S_gen);
/* Two devices drew a new S at the same moment, and ours is to stay: under the next S_gen, so that it is newer for all. */
void keyring_confirm_s(struct keyring *k);
/* New D and Q for this device, gen + 1, list and certificate signed anew; old D stays for OLD_DEVICE_S.
 * ERR_STATE on a linked device. */
enum err keyring_rotate_device(const struct env *env, struct keyring *k);
/* DEVICE_LIFE_S is over: rotate the device. */
bool keyring_device_is_due(const struct keyring *k, int64_t wall_s);
/* Wipe old D and old S whose time is over. True when something changed: replace the file. */
bool keyring_expire(struct keyring *k, int64_t wall_s);
/* List a further device under the lowest free slot; gen + 1. cert is for it. ERR_FULL, ERR_STATE. */
enum err keyring_add_device(struct keyring *k, const uint8_t D[static KEY_BYTES],
                            const uint8_t Q[static KEY_BYTES], uint8_t *slot,
                            uint8_t cert[static CERT_BYTES]);
/* Strike a device other than this one from the list; gen + 1, new S at once. ERR_NOT_FOUND, ERR_STATE. */
enum err keyring_remove_device(const struct env *env, struct keyring *k, uint8_t slot);
/* Linked device, when keyring_device_is_due(): draw the next D and Q as pending_*, for the main device to
 * certify; the same again until keyring_adopt() brings the certificate. ERR_STATE on a main device. */
enum err keyring_offer_device(const struct env *env, struct keyring *k);
/* Main device: the listed device of that slot has new keys; gen + 1, cert is for it. ERR_NOT_FOUND, ERR_STATE,
 * ERR_REFUSED (this device: keyring_rotate_device()), ERR_PARSE, ERR_EXISTS. */
enum err keyring_renew_device(struct keyring *k, uint8_t slot, const uint8_t D[static KEY_BYTES],
                              const uint8_t Q[static KEY_BYTES], uint8_t cert[static CERT_BYTES]);
/* A device to be linked: D, Q and accounts, no identity yet. */
void keyring_create_linked(const struct env *env, struct keyring *k);
/* Take what the main device signed: our certificate (of the present or the pending keys), the list, S. ERR_AUTH, ERR_PARSE, ERR_LATE (older
 * gen); k is unchanged then. */
enum err keyring_adopt(const struct env *env, struct keyring *k, struct slice cert, struct slice list,
                       const uint8_t S[static KEY_BYTES], uint32_t S_gen);
/* Linked device: take a newer list of our identity that does not hold us. ERR_STATE on a main device, ERR_AUTH, ERR_PARSE,
 * ERR_LATE (no newer one), ERR_EXISTS (it holds us). */
enum err keyring_strike(struct keyring *k, struct slice list);
/* This device was struck off: contacts do not hear it. */
bool keyring_is_struck(const struct keyring *k);
void keyring_wipe(struct keyring *k);

#endif
