/* crypto/secret.h - ground of the room: sizes, hashing H(n, key; ...), wiping and comparing secrets.
 *
 * Every hash of THREATS.md §4 is BLAKE2b with n output bytes (n is part of the hash: H(8) is no prefix of
 * H(32)), an optional key, and a context: a text with its NUL. Integers go in big-endian.
 *
 *   owner  the caller of everything; nothing here allocates or keeps state
 *   trust  crypto_init() once per process, before anything else of this room */
#ifndef ITO_CRYPTO_SECRET_H
#define ITO_CRYPTO_SECRET_H

#include "base/err.h"
#include "base/slice.h"

#define KEY_BYTES      32 /* Ed25519 public key or seed, X25519 public or secret key, S, T, X_I */
#define SIG_BYTES      64
#define HASH_MAX_BYTES 64
#define AEAD_TAG_BYTES 16

/* Room for libsodium's BLAKE2b state, so that its types stay in this folder's .c files. */
struct hasher {
    _Alignas(64) uint8_t state[384];
    size_t n;
};

/* Start libsodium; may be called again. ERR_INTERNAL: this machine gives no random bytes. */
enum err crypto_init(void);

/* H(n, key; ...) in steps: begin, any number of parts, end. n is 1..64; key may be NULL with key_len 0,
 * else key_len is 1..64. hash_end() writes n bytes and wipes the state. */
void hash_begin(struct hasher *h, size_t n, const void *key, size_t key_len);
/* The text and its NUL: every context string. */
void hash_text(struct hasher *h, const char *text);
void hash_bytes(struct hasher *h, const void *data, size_t len);
void hash_u8(struct hasher *h, uint8_t v);
void hash_u16(struct hasher *h, uint16_t v);
void hash_u32(struct hasher *h, uint32_t v);
void hash_u64(struct hasher *h, uint64_t v);
void hash_end(struct hasher *h, void *out);
/* H(n, key; data) in one go, no context. */
void hash_once(size_t n, const void *key, size_t key_len, struct slice data, void *out);

/* Overwrite; the compiler may not leave it out. p may be NULL when n is 0. */
void secret_wipe(void *p, size_t n);
/* Equal, in a time that does not depend on the bytes. */
bool secret_equal(const void *a, const void *b, size_t n);
/* All bytes zero, in constant time: an unset key. */
bool secret_is_zero(const void *p, size_t n);

/* base64url without padding (RFC 4648 §5), NUL-terminated: (4n + 2) / 3 + 1 bytes must fit in size. */
void base64url_write(struct slice bytes, char *out, size_t size);
/* False when text is not such, or gives more than size bytes. */
bool base64url_read(struct slice text, void *out, size_t size, size_t *len);

#endif
