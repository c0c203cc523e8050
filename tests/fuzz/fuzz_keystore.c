/* The identity file: any bytes, with the check that damage would spoil put right; what is taken fits together and is
 * written again as it was. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "crypto/keystore.h"

#define CHECK_BYTES  16
#define HEADER_BYTES 73 /* salt and nonce of a plain file are not looked at */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void remove_file(void)
{
    unlink(path);
}

static void on_random(void *world, void *out, size_t n)
{
    (void)world;
    memset(out, 7, n);
}

static const struct env_ops world = {.random = on_random};
static const struct env env = {.ops = &world};

static void put(const uint8_t *data, size_t size)
{
    uint8_t check[CHECK_BYTES];
    struct hasher h;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    hash_begin(&h, sizeof check, NULL, 0);
    hash_text(&h, "itodenwa-keyfile-v1");
    hash_bytes(&h, data, size);
    hash_end(&h, check);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size &&
           write(fd, check, sizeof check) == (ssize_t)sizeof check);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct keyring none;
    struct err_detail detail = {{0}};
    struct keyring k;
    uint8_t *again;
    size_t len;
    bool needs;

    if (path[0] == '\0') {
        crypto_init();
        snprintf(path, sizeof path, "%s/ito-fuzz-key-%ld",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
        atexit(remove_file);
    }
    put(data, size);
    (void)keystore_needs_passphrase(path, &needs, &detail);
    if (keystore_load(path, NULL, &k, &detail) != ERR_OK) {
        assert(detail.text[0] != '\0' && memcmp(&k, &none, sizeof k) == 0);
        return 0;
    }
    assert(k.list.n <= DEVICES_MAX);
    assert(keystore_replace(&env, path, &k, &detail) == ERR_OK);
    assert(file_read(path, KEYSTORE_FILE_MAX, &again, &len, &detail) == ERR_OK);
    assert(len == size + CHECK_BYTES &&
           memcmp(again + HEADER_BYTES, data + HEADER_BYTES, size - HEADER_BYTES) == 0);
    mem_free(again);
    keyring_wipe(&k);
    return 0;
}
