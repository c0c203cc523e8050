#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static enum err from_errno(const char *path, const char *what, struct err_detail *detail)
{
    int e = errno;

    if (e == ENOENT)
        return err_set(detail, ERR_NOT_FOUND, "%s: no such file", path);
    if (e == ELOOP)
        return err_set(detail, ERR_REFUSED, "%s: not a regular file", path);
    return err_set(detail, ERR_IO, "%s: %s: %s", path, what, strerror(e));
}

static enum err read_all(int fd, const char *path, size_t max, uint8_t **out, size_t *out_len,
                         struct err_detail *detail)
{
    size_t cap = 4096, len = 0;
    uint8_t *buf = mem_alloc(cap + 1);
    ssize_t n;

    while ((n = read(fd, buf + len, cap - len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (len += (size_t)n) > max) {
            enum err e = n < 0 ? from_errno(path, "cannot be read", detail)
                               : err_set(detail, ERR_RANGE, "%s: larger than %zu bytes", path, max);
            mem_free(buf);
            return e;
        }
        if (len == cap)
            buf = mem_resize(buf, (cap *= 2) + 1, 1);
    }
    buf[len] = 0;
    *out = buf;
    *out_len = len;
    return ERR_OK;
}

enum err file_read(const char *path, size_t max, uint8_t **out, size_t *out_len, struct err_detail *detail)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    enum err e;

    *out = NULL;
    *out_len = 0;
    if (fd < 0)
        return from_errno(path, "cannot be opened", detail);
    if (fstat(fd, &st) != 0)
        e = from_errno(path, "cannot be read", detail);
    else if (!S_ISREG(st.st_mode))
        e = err_set(detail, ERR_REFUSED, "%s: not a regular file", path);
    else
        e = read_all(fd, path, max, out, out_len, detail);
    close(fd);
    return e;
}

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = slice_of(bytes.data + n, bytes.len - (size_t)n);
    }
    return true;
}

/* So that the rename itself survives a power cut. */
static void sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    char *slash;
    int fd;

    snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder ? 1 : 0] = '\0';
    else
        snprintf(folder, sizeof folder, ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

enum err file_replace(const char *path, struct slice bytes, unsigned mode, struct err_detail *detail)
{
    char temp[PATH_MAX];
    struct stat st;
    int fd;

    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(detail, ERR_REFUSED, "%s: not a regular file", path);
    if (snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= (int)sizeof temp)
        return err_set(detail, ERR_RANGE, "%s: name too long", path);
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return from_errno(path, "cannot be written", detail);
    if (fchmod(fd, mode) != 0 || !write_all(fd, bytes) || fsync(fd) != 0) {
        enum err e = from_errno(path, "cannot be written", detail);

        close(fd);
        unlink(temp);
        return e;
    }
    close(fd);
    if (rename(temp, path) != 0) {
        enum err e = from_errno(path, "cannot be replaced", detail);

        unlink(temp);
        return e;
    }
    sync_folder_of(path);
    return ERR_OK;
}

enum err file_append_line(const char *path, const char *line, struct err_detail *detail)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    char *text;
    struct stat st;
    enum err e = ERR_OK;

    if (fd < 0)
        return from_errno(path, "cannot be opened", detail);
    text = mem_printf("%s\n", line);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        e = err_set(detail, ERR_REFUSED, "%s: not a regular file", path);
    else if (!write_all(fd, slice_str(text)))
        e = from_errno(path, "cannot be written", detail);
    mem_free(text);
    close(fd);
    return e;
}

enum err file_make_folder(const char *path, struct err_detail *detail)
{
    char part[PATH_MAX];
    struct stat st;

    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return err_set(detail, ERR_RANGE, "%s: name too long", path);
    for (char *p = part + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return err_set(detail, ERR_IO, "%s: cannot be made: %s", part, strerror(errno));
        *p = c;
        if (c == '\0')
            break;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return err_set(detail, ERR_REFUSED, "%s: not a folder", path);
    return ERR_OK;
}

bool file_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}
