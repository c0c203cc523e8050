/* crypto/request.h - what is left for a person who is not reached: a stranger's sealed request (THREATS.md §4.5)
 * and a contact's sealed note (§4.8), 960 bytes each, with a proof of work.
 *
 *   request  0   32  e           note  0   24  nonce
 *            32  48  s, sealed         24  920 plain, sealed (XChaCha20-Poly1305, ad = d)
 *            80  880 plain, sealed     944 16  tag
 *
 *   plain of a request, 864 bytes                plain of a note, 920 bytes
 *   0    165  certificate of the sender          0    8    id     the same in all parts
 *   165  1    wants       REQUEST_WANTS_*        8    1    part   from 0
 *   166  8    made        wall clock, s          9    1    parts  1..16
 *   174  1+n  name        n <= 64, UTF-8         10   2    len
 *   then 2+n  note        n <= 400, UTF-8,       12   len  data
 *                         <= 200 characters      then      zero
 *   then 4    S_gen
 *   then 32   S
 *   then 96   old A, succession signature; all zero when there is none
 *   then      zero
 *
 *   trust  request_open() has checked the seal, the certificate and the text (no control characters); whether the
 *          sender is blocked, or its succession right, is the caller's to say
 *   owner  plain structs of the caller; struct request holds S of the sender: wipe with request_wipe() */
#ifndef ITO_CRYPTO_REQUEST_H
#define ITO_CRYPTO_REQUEST_H

#include "base/env.h"
#include "crypto/cert.h"
#include "crypto/zone.h"

#define REQUEST_BYTES      960
#define REQUEST_NAME_BYTES 64
#define REQUEST_NOTE_BYTES 400
#define REQUEST_NOTE_CHARS 200
#define REQUEST_BITS       22 /* least price of a request */
#define NOTE_BITS          18
#define POW_BITS_MAX       30
#define POW_NONCE_BYTES    8
#define NOTE_DATA_BYTES    908
#define NOTE_PARTS_MAX     16

enum request_wants { REQUEST_WANTS_CALL = 1, REQUEST_WANTS_CONTACT = 2 };

struct request {
    uint8_t identity[32]; /* of the sender, proved by its certificate */
    uint8_t device[32];   /* D of the sender: the Noise static */
    uint8_t certificate[CERT_BYTES];
    uint8_t wants;
    uint64_t made_s;
    char name[REQUEST_NAME_BYTES + 1], note[REQUEST_NOTE_BYTES + 1]; /* UTF-8, NUL-terminated */
    uint32_t s_gen;
    uint8_t s[32];
    bool has_succession;
    uint8_t old_identity[32];
    uint8_t succession[SUCCESSION_BYTES]; /* for succession_verify(): next of the certificate, signature */
};

/* Seal a request to identity `to`. `identity` is ignored; device_secret and r->device are our D, for which the
 * certificate is. Randomness from env. ERR_RANGE: name or note too long or not printable; ERR_AUTH: `to` is no
 * valid key. */
enum err request_seal(const struct request *r, const uint8_t device_secret[static 32],
                      const uint8_t to[static 32], const uint8_t drop_id[static DROP_ID_BYTES],
                      const struct env *env, uint8_t out[static REQUEST_BYTES]);
/* Open one with our identity's Ed25519 seed. ERR_AUTH: not for us, not at this drop, or the certificate is wrong;
 * ERR_PARSE: sealed well but not of the format. out is untouched on failure. */
enum err request_open(struct slice blob, const uint8_t identity_seed[static 32],
                      const uint8_t drop_id[static DROP_ID_BYTES], struct request *out);
void request_wipe(struct request *r);

struct note {
    uint8_t id[8];
    uint8_t part, parts;
    uint16_t len;
    uint8_t data[NOTE_DATA_BYTES];
};

/* Seal one part, d = pairdrop_id(). ERR_RANGE when parts, part or len are out of bounds. */
enum err note_seal(const struct note *note, const uint8_t pair[static 32], const uint8_t sender[static 32],
                   const uint8_t d[static DROP_ID_BYTES], const struct env *env,
                   uint8_t out[static REQUEST_BYTES]);
enum err note_open(struct slice blob, const uint8_t pair[static 32], const uint8_t sender[static 32],
                   const uint8_t d[static DROP_ID_BYTES], struct note *out);

/* Search for a nonce, in steps, so that no loop is blocked: 4 µs or so a hundred tries. */
struct pow {
    uint8_t text[76]; /* "itodenwa-pow-v1" NUL || drop_id || H(32, -; blob) || nonce8 */
    uint64_t next;    /* nonce tried next */
    uint8_t bits;
};

/* Price `bits` (1..POW_BITS_MAX, else the nearest); the search starts at a random nonce. */
void pow_init(struct pow *p, const uint8_t drop_id[static DROP_ID_BYTES], struct slice blob, unsigned bits,
              const struct env *env);
/* ERR_OK with the nonce; ERR_AGAIN after max_tries. */
enum err pow_search(struct pow *p, unsigned max_tries, uint8_t nonce[static POW_NONCE_BYTES]);
/* How many leading zero bits a nonce earns. */
unsigned pow_bits(const uint8_t drop_id[static DROP_ID_BYTES], struct slice blob,
                  const uint8_t nonce[static POW_NONCE_BYTES]);

#endif
