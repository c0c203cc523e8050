#include "app/node_file.h"

#include "base/file.h"
#include "base/mem.h"
#include "crypto/secret.h"

#define FILE_BYTES (KEY_BYTES + PUZZLE_NONCE_BYTES)

enum err node_file_read(const char *path, uint8_t seed[static KEY_BYTES],
                        uint8_t nonce[static PUZZLE_NONCE_BYTES], struct err_detail *detail)
{
    uint8_t *bytes;
    size_t len;
    enum err e = file_read(path, 64, &bytes, &len, detail);

    if (e != ERR_OK)
        return e;
    if (len == FILE_BYTES) {
        memcpy(seed, bytes, KEY_BYTES);
        memcpy(nonce, bytes + KEY_BYTES, PUZZLE_NONCE_BYTES);
    } else {
        e = ERR_NOT_FOUND;
    }
    secret_wipe(bytes, len);
    mem_free(bytes);
    return e;
}

enum err node_file_write(const char *path, const uint8_t seed[static KEY_BYTES],
                         const uint8_t nonce[static PUZZLE_NONCE_BYTES], struct err_detail *detail)
{
    uint8_t file[FILE_BYTES];
    enum err e;

    memcpy(file, seed, KEY_BYTES);
    memcpy(file + KEY_BYTES, nonce, PUZZLE_NONCE_BYTES);
    e = file_replace(path, slice_of(file, sizeof file), 0600, detail);
    secret_wipe(file, sizeof file);
    return e;
}
