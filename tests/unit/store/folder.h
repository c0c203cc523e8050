/* tests/unit/store/folder.h - a folder of its own for each test, and IDs that are keys. */
#ifndef ITO_TESTS_STORE_FOLDER_H
#define ITO_TESTS_STORE_FOLDER_H

#include "unit/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "crypto/identity.h"
#include "crypto/idtext.h"

struct folder {
    char dir[32];
    char path[2][64];
};

static inline void folder_make(struct folder *f, const char *first, const char *second)
{
    crypto_init();
    strcpy(f->dir, "/tmp/ito-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path[0], sizeof f->path[0], "%s/%s", f->dir, first);
    snprintf(f->path[1], sizeof f->path[1], "%s/%s", f->dir, second);
}

static inline void folder_remove(struct folder *f)
{
    DIR *d = opendir(f->dir);
    struct dirent *e;
    char path[400];

    chmod(f->dir, 0700);
    while ((e = readdir(d)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
        unlink(path);
    }
    closedir(d);
    assert_int_equal(rmdir(f->dir), 0);
}

static inline size_t folder_files(const struct folder *f)
{
    DIR *d = opendir(f->dir);
    struct dirent *e;
    size_t n = 0;

    while ((e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static inline void put_file(const char *path, const char *text)
{
    assert_int_equal(file_replace(path, slice_str(text), 0600, NULL), ERR_OK);
}

/* Borrowed until the next call. */
static inline const char *get_file(const char *path)
{
    static char text[65536];
    uint8_t *bytes;
    size_t len;

    assert_int_equal(file_read(path, sizeof text - 1, &bytes, &len, NULL), ERR_OK);
    memcpy(text, bytes, len + 1);
    mem_free(bytes);
    return text;
}

/* Person number n: a key, and its text. */
static inline const uint8_t *id_of(unsigned n)
{
    static struct sign_key key;
    uint8_t seed[32] = {(uint8_t)n, (uint8_t)(n >> 8), 77};

    sign_key_from_seed(seed, &key);
    return key.pub;
}

static inline const char *id_text(unsigned n)
{
    static char text[ID_TEXT_BYTES];

    return id_format(id_of(n), text);
}

#endif
