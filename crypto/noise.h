/* crypto/noise.h - Noise handshakes (rev. 34) over 25519, ChaChaPoly and BLAKE2b, token by token.
 *
 *   NOISE_X        <- s   ...   -> e, es, s, ss                          one message, to a known key (§4.5)
 *   NOISE_IKPSK0   <- s   ...   -> psk, e, es, s, ss   <- e, ee, se      sessions (§4.6)
 *   NOISE_NPSK0    <- s   ...   -> psk, e, es                            \
 *   NOISE_IKPSK1   <- s   ...   -> e, es, s, ss, psk   <- e, ee, se       > only for published vectors: nobody
 *   NOISE_IKPSK2   <- s   ...   -> e, es, s, ss        <- e, ee, se, psk / published one for IKpsk0 with BLAKE2b
 *
 *   in     keys and an ephemeral secret drawn by the caller, so that a test can repeat a handshake
 *   out    messages, payloads, two transport keys, the handshake hash, one exporter key
 *   owner  the caller's struct; noise_fini() wipes it and may be called at any time, also twice
 *   trust  a failed noise_read() or noise_write() leaves a state that only noise_fini() accepts
 *   caps   none of its own: message sizes are the caller's; every Diffie-Hellman is counted in n_dh */
#ifndef ITO_CRYPTO_NOISE_H
#define ITO_CRYPTO_NOISE_H

#include "base/cursor.h"
#include "base/err.h"

#define NOISE_KEY_BYTES  32
#define NOISE_HASH_BYTES 64
#define NOISE_TAG_BYTES  16

enum noise_pattern { NOISE_X, NOISE_IKPSK0, NOISE_NPSK0, NOISE_IKPSK1, NOISE_IKPSK2 };

/* All pointers are borrowed for the call of noise_init() only. */
struct noise_config {
    enum noise_pattern pattern;
    bool is_initiator;
    struct slice prologue;
    const uint8_t *static_secret; /* our X25519 pair; NULL where the pattern gives us none */
    const uint8_t *static_public;
    const uint8_t *remote_static; /* initiator: the responder's static */
    const uint8_t *psk;           /* patterns with psk */
};

/* Fields are noise.c's own, but for those a caller may read: remote_static after it was received, n_dh, h. */
struct noise {
    const uint8_t *tokens; /* the next token of the pattern, in noise.c's table */
    bool is_initiator, has_psk, has_key, is_writing_next, is_dead;
    uint64_t nonce; /* of k */
    unsigned n_dh;  /* X25519 computed so far, key generation included */
    uint8_t ck[NOISE_HASH_BYTES], h[NOISE_HASH_BYTES], k[NOISE_KEY_BYTES];
    uint8_t s[NOISE_KEY_BYTES], s_public[NOISE_KEY_BYTES];
    uint8_t e[NOISE_KEY_BYTES], e_public[NOISE_KEY_BYTES];
    uint8_t remote_static[NOISE_KEY_BYTES], remote_ephemeral[NOISE_KEY_BYTES];
    uint8_t psk[NOISE_KEY_BYTES];
};

struct noise_keys {
    uint8_t send[NOISE_KEY_BYTES], receive[NOISE_KEY_BYTES];
};

void noise_init(struct noise *n, const struct noise_config *config);
/* Wipes everything but n_dh. */
void noise_fini(struct noise *n);

/* Our next message, appended to out.
 *
 *   ephemeral  32 fresh random bytes, or NULL when the message has no e token
 *   payload    sealed (plain only if the pattern has no key yet, which none of ours does)
 *
 * ERR_OK; ERR_AUTH when a DH gives zero; ERR_FULL when out is too small; ERR_STATE when it is not our turn. */
enum err noise_write(struct noise *n, const uint8_t *ephemeral, struct slice payload, struct wr *out);

/* The other side's next message. noise_read() reads it whole and appends the payload to out.
 * noise_read_begin() reads up to and including the token s, so that a responder knows remote_static after one
 * DH and can decide whether it pays for the next; noise_read_end() does the rest. r is left empty.
 *
 * ERR_OK; ERR_PARSE when too short; ERR_AUTH when a tag is wrong or a DH gives zero; ERR_STATE. */
enum err noise_read(struct noise *n, struct slice message, struct wr *out);
enum err noise_read_begin(struct noise *n, struct rd *r);
enum err noise_read_end(struct noise *n, struct rd *r, struct wr *out);

/* True when all messages of the pattern are done. */
bool noise_is_done(const struct noise *n);
/* Transport keys (Split). One-way patterns use only the initiator's send key. ERR_STATE before the end. */
enum err noise_split(const struct noise *n, struct noise_keys *keys);
/* E = H(32, ck; label NUL || h) of THREATS.md §4.7; ERR_STATE before the end. */
enum err noise_exporter(const struct noise *n, const char *label, uint8_t out[static NOISE_KEY_BYTES]);

/* Transport sealing: ChaCha20-Poly1305, nonce = 4 zero bytes || little-endian counter. out has room for
 * plain.len + NOISE_TAG_BYTES, and may be where plain lies. */
void noise_seal(const uint8_t key[static NOISE_KEY_BYTES], uint64_t counter, struct slice ad,
                struct slice plain, uint8_t *out);
/* sealed.len - NOISE_TAG_BYTES bytes to out; ERR_PARSE or ERR_AUTH leave out undefined. */
enum err noise_open(const uint8_t key[static NOISE_KEY_BYTES], uint64_t counter, struct slice ad,
                    struct slice sealed, uint8_t *out);

/* HMAC-BLAKE2b-512 on a 128-byte block, and HKDF of Noise §4.3 with two or three outputs (out3 may be NULL);
 * not static only so that their vectors can be tested. */
void noise_hmac(const uint8_t *key, size_t key_len, struct slice data, uint8_t out[static NOISE_HASH_BYTES]);
void noise_hkdf(const uint8_t ck[static NOISE_HASH_BYTES], struct slice material,
                uint8_t out1[static NOISE_HASH_BYTES], uint8_t out2[static NOISE_HASH_BYTES], uint8_t *out3);

#endif
