#include "crypto/keystore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* Identity file.
 *
 *   offset size field      notes
 *   0      24   magic      "itodenwa identity key 1\n"; another digit is ERR_VERSION
 *   24     1    is_sealed  0 or 1
 *   25     4    ops        Argon2id; 0 when plain
 *   29     4    mem_kib    Argon2id; 0 when plain
 *   33     16   salt       zero when plain
 *   49     24   nonce      zero when plain
 *   73     n    body       below; sealed: XChaCha20-Poly1305, ad = the 73 bytes before, tag behind
 *   73+n   16   check      H(16, -; "itodenwa-keyfile-v1" || all before): damage is no
 *                        wrong passphrase
 *
 * Body: number4 seed32 A32 next32 D32 old_D32 (secrets) device_made8 old_device_until8 Q_seed32
 * pending_D32 pending_Q_seed32 slot1 gen4 S32 S_gen4 S_made8 old_S32 old_S_until8 acct_seed32
 * cert165 list_len2 list. Seed is zero on a linked device; A and cert are zero, and the list empty, before it is linked. */
#define MAGIC          "itodenwa identity key 1\n"
#define MAGIC_BYTES    24
#define MAGIC_COMMON   22 /* without the version digit */
#define NONCE_BYTES    24
#define HEADER_BYTES   (MAGIC_BYTES + 1 + 4 + 4 + 16 + NONCE_BYTES)
#define CHECK_BYTES    16
#define HEIR_BYTES     (KEY_BYTES + SIG_BYTES + 4)
#define BODY_MAX       (564 + LIST_MAX_BYTES + HEIR_BYTES)
#define FILE_BYTES_MAX (HEADER_BYTES + BODY_MAX + AEAD_TAG_BYTES + CHECK_BYTES)
#define ARGON_OPS      crypto_pwhash_OPSLIMIT_INTERACTIVE
#define ARGON_MEM_KIB  (crypto_pwhash_MEMLIMIT_INTERACTIVE / 1024)

_Static_assert(FILE_BYTES_MAX <= KEYSTORE_FILE_MAX, "an identity file fits its cap");
_Static_assert(NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");

struct header {
    uint8_t bytes[HEADER_BYTES];
    struct key_lock lock; /* without its key */
    uint8_t nonce[NONCE_BYTES];
};

/* --- body --- */

static void body_write(struct wr *w, const struct keyring *k)
{
    wr_u32(w, k->number);
    wr_bytes(w, k->identity.seed, KEY_BYTES);
    wr_bytes(w, k->identity.pub, KEY_BYTES);
    wr_bytes(w, k->next, KEY_BYTES);
    wr_bytes(w, k->device.secret, KEY_BYTES);
    wr_bytes(w, k->old_device.secret, KEY_BYTES);
    wr_u64(w, (uint64_t)k->device_made_s);
    wr_u64(w, (uint64_t)k->old_device_until_s);
    wr_bytes(w, k->publish.seed, KEY_BYTES);
    wr_bytes(w, k->pending_device.secret, KEY_BYTES);
    wr_bytes(w, k->pending_publish.seed, KEY_BYTES);
    wr_u8(w, k->slot);
    wr_u32(w, k->gen);
    wr_bytes(w, k->S, KEY_BYTES);
    wr_u32(w, k->S_gen);
    wr_u64(w, (uint64_t)k->S_made_s);
    wr_bytes(w, k->old_S, KEY_BYTES);
    wr_u64(w, (uint64_t)k->old_S_until_s);
    wr_bytes(w, k->acct_seed, KEY_BYTES);
    wr_bytes(w, k->cert, CERT_BYTES);
    wr_u16(w, k->list.n > 0 ? (uint16_t)LIST_BYTES(k->list.n) : 0);
    if (k->list.n > 0)
        device_list_write(w, &k->list);
    if (!secret_is_zero(k->old_identity, KEY_BYTES)) { /* the end of a file without */
        wr_bytes(w, k->old_identity, KEY_BYTES);
        wr_bytes(w, k->succession + KEY_BYTES, SIG_BYTES);
        wr_u32(w, k->first_gen);
    }
}

static struct slice body_read(struct rd *r, struct keyring *k)
{
    struct slice list;

    k->number = rd_u32(r);
    rd_copy(r, k->identity.seed, KEY_BYTES);
    rd_copy(r, k->identity.pub, KEY_BYTES);
    rd_copy(r, k->next, KEY_BYTES);
    rd_copy(r, k->device.secret, KEY_BYTES);
    rd_copy(r, k->old_device.secret, KEY_BYTES);
    k->device_made_s = (int64_t)rd_u64(r);
    k->old_device_until_s = (int64_t)rd_u64(r);
    rd_copy(r, k->publish.seed, KEY_BYTES);
    rd_copy(r, k->pending_device.secret, KEY_BYTES);
    rd_copy(r, k->pending_publish.seed, KEY_BYTES);
    k->slot = rd_u8(r);
    k->gen = rd_u32(r);
    rd_copy(r, k->S, KEY_BYTES);
    k->S_gen = rd_u32(r);
    k->S_made_s = (int64_t)rd_u64(r);
    rd_copy(r, k->old_S, KEY_BYTES);
    k->old_S_until_s = (int64_t)rd_u64(r);
    rd_copy(r, k->acct_seed, KEY_BYTES);
    rd_copy(r, k->cert, CERT_BYTES);
    list = rd_bytes(r, rd_u16(r));
    if (rd_left(r) > 0) {
        rd_copy(r, k->old_identity, KEY_BYTES);
        memcpy(k->succession, k->next, KEY_BYTES);
        rd_copy(r, k->succession + KEY_BYTES, SIG_BYTES);
        k->first_gen = rd_u32(r);
        if (secret_is_zero(k->old_identity, KEY_BYTES)) /* it is not written then */
            rd_fail(r);
    }
    return list;
}

/* A predecessor that is there was signed for by this identity. */
static bool succession_fits(const struct keyring *k)
{
    uint8_t own[KEY_BYTES];

    identity_next(k->identity.pub, own);
    return secret_is_zero(k->old_identity, KEY_BYTES) ||
           succession_verify(k->old_identity, own, k->identity.pub, k->succession) == ERR_OK;
}

/* Public halves from secret ones, and all of it fits together. */
static bool body_complete(struct keyring *k, struct slice list)
{
    uint8_t A[KEY_BYTES];
    struct device_cert cert;

    dh_key_from_secret(k->device.secret, &k->device);
    if (!secret_is_zero(k->old_device.secret, KEY_BYTES))
        dh_key_from_secret(k->old_device.secret, &k->old_device);
    sign_key_from_seed(k->publish.seed, &k->publish);
    if (!secret_is_zero(k->pending_device.secret, KEY_BYTES)) {
        dh_key_from_secret(k->pending_device.secret, &k->pending_device);
        sign_key_from_seed(k->pending_publish.seed, &k->pending_publish);
    }
    memcpy(A, k->identity.pub, KEY_BYTES);
    if (keyring_is_main(k)) {
        sign_key_from_seed(k->identity.seed, &k->identity);
        if (memcmp(A, k->identity.pub, KEY_BYTES) != 0)
            return false;
    }
    if (secret_is_zero(A, KEY_BYTES))
        return list.len == 0 && secret_is_zero(k->old_identity, KEY_BYTES); /* not linked yet */
    return device_list_open(list, A, &k->list) == ERR_OK && succession_fits(k) &&
           cert_open(slice_of(k->cert, CERT_BYTES), k->device.pub, &cert) == ERR_OK &&
           memcmp(cert.A, A, KEY_BYTES) == 0 &&
           (cert_check(&cert, &k->list) == CERT_LISTED || (keyring_is_struck(k) && k->list.gen > k->gen));
}

static enum err body_parse(struct slice body, struct keyring *k)
{
    struct slice list;
    struct rd r;

    rd_init(&r, body);
    list = body_read(&r, k);
    return rd_done(&r) && body_complete(k, list) ? ERR_OK : ERR_PARSE;
}

/* --- sealing --- */

static enum err derive(struct key_lock *lock, const char *passphrase)
{
    int bad = crypto_pwhash(lock->key, KEY_BYTES, passphrase, strlen(passphrase), lock->salt, lock->ops,
                            (size_t)lock->mem_kib * 1024, crypto_pwhash_ALG_ARGON2ID13);

    return bad == 0 ? ERR_OK : ERR_IO;
}

enum err keyring_set_passphrase(const struct env *env, struct keyring *k, const char *passphrase)
{
    struct key_lock lock = {0};
    enum err e = ERR_OK;

    if (passphrase != NULL && passphrase[0] != '\0') {
        lock.is_sealed = true;
        lock.ops = ARGON_OPS;
        lock.mem_kib = ARGON_MEM_KIB;
        env_random(env, lock.salt, sizeof lock.salt);
        e = derive(&lock, passphrase);
    }
    if (e == ERR_OK)
        k->lock = lock;
    secret_wipe(&lock, sizeof lock);
    return e;
}

static void file_check(struct slice before, uint8_t out[static CHECK_BYTES])
{
    struct hasher h;

    hash_begin(&h, CHECK_BYTES, NULL, 0);
    hash_text(&h, "itodenwa-keyfile-v1");
    hash_bytes(&h, before.data, before.len);
    hash_end(&h, out);
}

static void header_write(struct wr *w, const struct env *env, const struct key_lock *lock)
{
    uint8_t nonce[NONCE_BYTES] = {0};

    if (lock->is_sealed)
        env_random(env, nonce, sizeof nonce);
    wr_bytes(w, MAGIC, MAGIC_BYTES);
    wr_u8(w, lock->is_sealed);
    wr_u32(w, lock->ops);
    wr_u32(w, lock->mem_kib);
    wr_bytes(w, lock->salt, sizeof lock->salt);
    wr_bytes(w, nonce, sizeof nonce);
}

/* The whole file, in buf; wipe it after use. */
static struct slice file_write(const struct env *env, const struct keyring *k,
                               uint8_t buf[static FILE_BYTES_MAX])
{
    uint8_t body[BODY_MAX];
    struct slice plain, before;
    struct wr w, b;

    wr_init(&b, body, sizeof body);
    body_write(&b, k);
    plain = wr_done(&b);
    wr_init(&w, buf, FILE_BYTES_MAX);
    header_write(&w, env, &k->lock);
    if (k->lock.is_sealed) {
        uint8_t *out = wr_room(&w, plain.len + AEAD_TAG_BYTES);

        crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain.data, plain.len, buf, HEADER_BYTES, NULL,
                                                   buf + HEADER_BYTES - NONCE_BYTES, k->lock.key);
    } else {
        wr_slice(&w, plain);
    }
    before = wr_done(&w);
    file_check(before, wr_room(&w, CHECK_BYTES));
    secret_wipe(body, sizeof body);
    return wr_done(&w);
}

/* --- reading --- */

static enum err damaged(const char *path, struct err_detail *detail)
{
    return err_set(
        detail, ERR_PARSE,
        "%s: damaged, and left as it is. Put back a copy of it, or restore your identity from the 24 "
        "words: ito keys phrase",
        path);
}

/* Sizes are capped, so that a foreign file cannot make us compute for hours. */
static bool header_is_sane(const struct key_lock *lock)
{
    if (!lock->is_sealed)
        return lock->ops == 0 && lock->mem_kib == 0;
    return lock->ops >= 1 && lock->ops <= KEYSTORE_OPS_MAX && lock->mem_kib >= 8 &&
           lock->mem_kib <= KEYSTORE_MEM_MAX_KIB;
}

/* Take the file apart: header, and the body as it stands there. */
static enum err file_parse(const char *path, struct slice file, struct header *h, struct slice *body,
                           struct err_detail *detail)
{
    uint8_t check[CHECK_BYTES], flag;
    struct rd r;

    memset(h, 0, sizeof *h);
    if (file.len < HEADER_BYTES + CHECK_BYTES || memcmp(file.data, MAGIC, MAGIC_COMMON) != 0)
        return damaged(path, detail);
    if (memcmp(file.data, MAGIC, MAGIC_BYTES) != 0)
        return err_set(detail, ERR_VERSION, "%s: written by a newer ito. Update ito.", path);
    file_check(slice_of(file.data, file.len - CHECK_BYTES), check);
    if (memcmp(check, file.data + file.len - CHECK_BYTES, CHECK_BYTES) != 0)
        return damaged(path, detail);
    memcpy(h->bytes, file.data, HEADER_BYTES);
    rd_init(&r, slice_of(file.data, file.len - CHECK_BYTES));
    rd_skip(&r, MAGIC_BYTES);
    flag = rd_u8(&r);
    h->lock.is_sealed = flag == 1;
    h->lock.ops = rd_u32(&r);
    h->lock.mem_kib = rd_u32(&r);
    rd_copy(&r, h->lock.salt, sizeof h->lock.salt);
    rd_copy(&r, h->nonce, NONCE_BYTES);
    *body = rd_rest(&r);
    return rd_ok(&r) && flag <= 1 && header_is_sane(&h->lock) ? ERR_OK : damaged(path, detail);
}

static enum err refuse_errno(const char *path, struct err_detail *detail)
{
    int e = errno;

    if (e == ENOENT)
        return err_set(detail, ERR_NOT_FOUND, "%s: no such file", path);
    if (e == ELOOP)
        return err_set(detail, ERR_REFUSED, "%s: is a link; the identity file must be a regular file", path);
    return err_set(detail, ERR_IO, "%s: cannot be read: %s", path, strerror(e));
}

static enum err check_mode(const char *path, const struct stat *st, struct err_detail *detail)
{
    if (!S_ISREG(st->st_mode))
        return err_set(detail, ERR_REFUSED, "%s: not a regular file", path);
    if ((st->st_mode & 077) != 0)
        return err_set(detail, ERR_REFUSED, "%s: others can read it (mode %04o). Run: chmod 600 %s", path,
                       (unsigned)(st->st_mode & 07777), path);
    if (st->st_uid != geteuid() && geteuid() != 0)
        return err_set(detail, ERR_REFUSED, "%s: belongs to another user", path);
    return ERR_OK;
}

static enum err read_fd(int fd, const char *path, uint8_t buf[static KEYSTORE_FILE_MAX + 1], size_t *len,
                        struct err_detail *detail)
{
    *len = 0;
    while (*len <= KEYSTORE_FILE_MAX) {
        ssize_t n = read(fd, buf + *len, KEYSTORE_FILE_MAX + 1 - *len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_errno(path, detail);
        if (n == 0)
            return ERR_OK;
        *len += (size_t)n;
    }
    return damaged(path, detail);
}

/* Never follows a link, never blocks on a pipe. */
static enum err read_private(const char *path, uint8_t buf[static KEYSTORE_FILE_MAX + 1], size_t *len,
                             struct err_detail *detail)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    enum err e;

    *len = 0;
    if (fd < 0)
        return refuse_errno(path, detail);
    e = fstat(fd, &st) == 0 ? check_mode(path, &st, detail) : refuse_errno(path, detail);
    if (e == ERR_OK)
        e = read_fd(fd, path, buf, len, detail);
    close(fd);
    return e;
}

enum err keystore_needs_passphrase(const char *path, bool *needs, struct err_detail *detail)
{
    uint8_t buf[KEYSTORE_FILE_MAX + 1];
    struct header h;
    struct slice body;
    size_t len;
    enum err e;

    *needs = false;
    e = read_private(path, buf, &len, detail);
    if (e == ERR_OK)
        e = file_parse(path, slice_of(buf, len), &h, &body, detail);
    if (e == ERR_OK)
        *needs = h.lock.is_sealed;
    secret_wipe(buf, sizeof buf);
    return e;
}

/* The body in the clear, in plain. */
static enum err unseal(const char *path, struct header *h, struct slice body, const char *passphrase,
                       uint8_t plain[static KEYSTORE_FILE_MAX], struct slice *out, struct err_detail *detail)
{
    unsigned long long len;

    if (!h->lock.is_sealed) {
        memcpy(plain, body.data, body.len);
        *out = slice_of(plain, body.len);
        return ERR_OK;
    }
    if (passphrase == NULL || passphrase[0] == '\0')
        return err_set(detail, ERR_LOCKED, "%s: protected by a passphrase, and none was given", path);
    if (body.len < AEAD_TAG_BYTES)
        return damaged(path, detail);
    if (derive(&h->lock, passphrase) != ERR_OK)
        return err_set(detail, ERR_IO, "%s: not enough memory to open it (%u MiB)", path,
                       h->lock.mem_kib / 1024);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &len, NULL, body.data, body.len, h->bytes,
                                                   HEADER_BYTES, h->nonce, h->lock.key) != 0)
        return err_set(detail, ERR_LOCKED, "%s: wrong passphrase", path);
    *out = slice_of(plain, (size_t)len);
    return ERR_OK;
}

enum err keystore_load(const char *path, const char *passphrase, struct keyring *k, struct err_detail *detail)
{
    uint8_t buf[KEYSTORE_FILE_MAX + 1], plain[KEYSTORE_FILE_MAX];
    struct slice body, clear;
    struct header h = {0};
    size_t len;
    enum err e;

    memset(k, 0, sizeof *k);
    e = read_private(path, buf, &len, detail);
    if (e == ERR_OK)
        e = file_parse(path, slice_of(buf, len), &h, &body, detail);
    if (e == ERR_OK)
        e = unseal(path, &h, body, passphrase, plain, &clear, detail);
    if (e == ERR_OK && body_parse(clear, k) != ERR_OK)
        e = damaged(path, detail);
    if (e == ERR_OK)
        k->lock = h.lock;
    else
        keyring_wipe(k);
    secret_wipe(buf, sizeof buf);
    secret_wipe(plain, sizeof plain);
    secret_wipe(&h, sizeof h);
    return e;
}

/* --- writing --- */

enum err keystore_replace(const struct env *env, const char *path, const struct keyring *k,
                          struct err_detail *detail)
{
    uint8_t buf[FILE_BYTES_MAX];
    enum err e = file_replace(path, file_write(env, k, buf), 0600, detail);

    secret_wipe(buf, sizeof buf);
    return e;
}

/* So that the new name survives a power cut. */
static void sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = mem_str(path);
    int fd;

    folder[slash == NULL ? 0 : slash == path ? 1 : slash - path] = '\0';
    fd = open(folder[0] != '\0' ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mem_free(folder);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* Give a whole file its final name, unless something has that name. */
static enum err name_new(const char *temp, const char *path, struct err_detail *detail)
{
    enum err e = ERR_OK;

    if (link(temp, path) != 0) {
        /* a file system without hard links: the window between look and rename is as good as it gets */
        if (errno == EEXIST || file_exists(path))
            e = err_set(detail, ERR_EXISTS, "%s: is there already, and was not touched", path);
        else if (rename(temp, path) != 0)
            e = err_set(detail, ERR_IO, "%s: cannot be made: %s", path, strerror(errno));
    }
    unlink(temp);
    sync_folder_of(path);
    return e;
}

enum err keystore_save_new(const struct env *env, const char *path, const struct keyring *k,
                           struct err_detail *detail)
{
    uint8_t buf[FILE_BYTES_MAX];
    char *temp;
    enum err e;

    if (file_exists(path))
        return err_set(detail, ERR_EXISTS, "%s: is there already, and was not touched", path);
    temp = mem_printf("%s.%08x", path, env_random_u32(env));
    e = file_replace(temp, file_write(env, k, buf), 0600, detail);
    if (e == ERR_OK)
        e = name_new(temp, path, detail);
    mem_free(temp);
    secret_wipe(buf, sizeof buf);
    return e;
}
