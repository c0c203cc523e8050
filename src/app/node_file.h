/* app/node_file.h - the file of our node's key: seed 32, puzzle nonce 8, mode 0600.
 *
 *   owner  the caller wipes the seed */
#ifndef ITO_APP_NODE_FILE_H
#define ITO_APP_NODE_FILE_H

#include "base/err.h"
#include "crypto/zone.h"

/* ERR_NOT_FOUND: there is none, or it is of no use. */
enum err node_file_read(const char *path, uint8_t seed[static KEY_BYTES],
                        uint8_t nonce[static PUZZLE_NONCE_BYTES], struct err_detail *detail);
enum err node_file_write(const char *path, const uint8_t seed[static KEY_BYTES],
                         const uint8_t nonce[static PUZZLE_NONCE_BYTES], struct err_detail *detail);

#endif
