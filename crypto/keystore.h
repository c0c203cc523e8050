/* crypto/keystore.h - the identity file: a keyring on disk.
 *
 * Written once and replaced whole (write, fsync, rename), 0600, sealed under a passphrase (Argon2id ->
 * XChaCha20-Poly1305) or plain. The phrase is never in it.
 *
 *   in     a path; struct env for random bytes
 *   owner  the caller; keystore_load() fills a struct that ends with keyring_wipe()
 *   trust  a file readable by others, a link, a device or a pipe is refused
 *   caps   KEYSTORE_FILE_MAX bytes of file; KEYSTORE_OPS_MAX, KEYSTORE_MEM_MAX_KIB of Argon2id work */
#ifndef ITO_CRYPTO_KEYSTORE_H
#define ITO_CRYPTO_KEYSTORE_H

#include "crypto/keyring.h"

#define KEYSTORE_FILE_MAX    4096
#define KEYSTORE_OPS_MAX     16
#define KEYSTORE_MEM_MAX_KIB (1024u * 1024u)

/* Seal under this passphrase from the next save on; NULL or "" for a plain file. Argon2id, 64 MiB, ~0.1 s. */
enum err keyring_set_passphrase(const struct env *env, struct keyring *k, const char *passphrase);
/* ERR_OK and *needs; ERR_NOT_FOUND when there is no file; otherwise as keystore_load(). */
enum err keystore_needs_passphrase(const char *path, bool *needs, struct err_detail *detail);
/* ERR_NOT_FOUND; ERR_LOCKED: passphrase missing or wrong; ERR_REFUSED: not a regular file of ours, or
 * readable by others; ERR_PARSE: damaged (the caller keeps it aside); ERR_VERSION; ERR_IO. detail is a whole
 * sentence with the path. k is zeroed on failure. */
enum err keystore_load(const char *path, const char *passphrase, struct keyring *k,
                       struct err_detail *detail);
/* Write a file that must not exist yet: ERR_EXISTS leaves what is there. The folder must exist. Sealed or
 * plain as keyring_set_passphrase() said. */
enum err keystore_save_new(const struct env *env, const char *path, const struct keyring *k,
                           struct err_detail *detail);
/* Replace the file whole; at every instant either the old or the new one is there. */
enum err keystore_replace(const struct env *env, const char *path, const struct keyring *k,
                          struct err_detail *detail);

#endif
