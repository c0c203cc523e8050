#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "crypto/secret.h"

#define VARIABLE   "ITO_HANDOVER"
#define MAGIC      0x49744f31u /* "ItO1" */
#define FILE_MAX   (256u << 20)
#define PATH_BYTES 4096
#define ARGV_BYTES 65536

extern char **environ;

/* magic4 main_fd4 n4, then handle4 fd4 each; the app's state to the end. */
static struct handover *parse(uint8_t *bytes, size_t len)
{
    struct handover *h = mem_alloc(sizeof *h);
    struct rd r;

    h->bytes = bytes;
    h->main_fd = -1;
    rd_init(&r, slice_of(bytes, len));
    if (rd_u32(&r) != MAGIC)
        rd_fail(&r);
    h->main_fd = (int)rd_u32(&r);
    h->n_ports = rd_u32(&r);
    if (!rd_ok(&r) || h->n_ports > HANDOVER_PORTS || rd_left(&r) < 8 * h->n_ports) {
        mem_free(h);
        return NULL;
    }
    h->ports = mem_array(h->n_ports, sizeof *h->ports);
    for (size_t i = 0; i < h->n_ports; i++) {
        h->ports[i].handle = rd_u32(&r);
        h->ports[i].fd = (int)rd_u32(&r);
    }
    h->state = rd_rest(&r);
    return h;
}

static void set_cloexec(int fd, bool is_on)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, is_on ? FD_CLOEXEC : 0);
}

static void set_all(const struct handover *h, bool is_on)
{
    set_cloexec(h->main_fd, is_on);
    for (size_t i = 0; i < h->n_ports; i++)
        set_cloexec(h->ports[i].fd, is_on);
}

/* Only what is a socket is ours. */
static int checked(int fd)
{
    struct stat st;

    return fd > 2 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? fd : -1;
}

struct handover *handover_take(struct err_detail *detail)
{
    const char *text = getenv(VARIABLE);
    int fd = text != NULL ? atoi(text) : -1;
    struct handover *h = NULL;
    uint8_t *bytes = NULL;
    struct stat st;

    detail->text[0] = '\0';
    unsetenv(VARIABLE);
    if (fd <= 2)
        return NULL;
    if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= FILE_MAX) {
        bytes = mem_alloc((size_t)st.st_size);
        if (pread(fd, bytes, (size_t)st.st_size, 0) == st.st_size)
            h = parse(bytes, (size_t)st.st_size);
    }
    close(fd);
    if (h == NULL) {
        mem_free(bytes);
        err_set(detail, ERR_VERSION, "What the process before left cannot be read: its calls end.");
        return NULL;
    }
    h->main_fd = checked(h->main_fd);
    for (size_t i = 0; i < h->n_ports; i++)
        h->ports[i].fd = checked(h->ports[i].fd);
    set_all(h, true);
    return h;
}

void handover_free(struct handover *h)
{
    if (h == NULL)
        return;
    if (h->main_fd >= 0)
        close(h->main_fd);
    for (size_t i = 0; i < h->n_ports; i++)
        if (h->ports[i].fd >= 0)
            close(h->ports[i].fd);
    if (h->state.len > 0)
        secret_wipe((uint8_t *)h->state.data, h->state.len);
    mem_free(h->bytes);
    mem_free(h->ports);
    mem_free(h);
}

int handover_port(struct handover *h, uint32_t handle)
{
    for (size_t i = 0; h != NULL && i < h->n_ports; i++) {
        int fd = h->ports[i].fd;

        if (h->ports[i].handle != handle || fd < 0)
            continue;
        h->ports[i].fd = -1;
        return fd;
    }
    return -1;
}

char *handover_path(void)
{
    char path[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    if (n <= 0)
        return NULL;
    path[n] = '\0';
    return mem_str(path);
}

char **handover_argv(void)
{
    char text[ARGV_BYTES];
    char **argv;
    size_t n = 0, len;
    FILE *f = fopen("/proc/self/cmdline", "re");

    if (f == NULL)
        return NULL;
    len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[len] = '\0';
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\0';
    argv = mem_array(n + 1, sizeof *argv);
    n = 0;
    for (size_t i = 0; i < len; i += strlen(text + i) + 1)
        argv[n++] = mem_str(text + i);
    return argv;
}

void handover_argv_free(char **argv)
{
    for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
        mem_free(argv[i]);
    mem_free(argv);
}

bool handover_is_sound(const char *path)
{
    char *argv[] = {(char *)path, "--version", NULL};
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;
    bool ok;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    ok = posix_spawn(&pid, path, &actions, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid &&
         WIFEXITED(status) && WEXITSTATUS(status) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return ok;
}

static bool write_all(int fd, const uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);

        if (done <= 0)
            return false;
        data += done;
        n -= (size_t)done;
    }
    return true;
}

enum err handover_exec(const char *path, char *const argv[], const struct handover *h,
                       struct err_detail *detail)
{
    size_t head = 12 + 8 * h->n_ports;
    uint8_t *bytes = mem_alloc(head);
    char number[16];
    struct wr w;
    int fd = memfd_create("ito-handover", 0), why;

    wr_init(&w, bytes, head);
    wr_u32(&w, MAGIC);
    wr_u32(&w, (uint32_t)h->main_fd);
    wr_u32(&w, (uint32_t)h->n_ports);
    for (size_t i = 0; i < h->n_ports; i++) {
        wr_u32(&w, h->ports[i].handle);
        wr_u32(&w, (uint32_t)h->ports[i].fd);
    }
    if (fd < 0 || !write_all(fd, bytes, head) || !write_all(fd, h->state.data, h->state.len)) {
        why = errno;
    } else {
        snprintf(number, sizeof number, "%d", fd);
        setenv(VARIABLE, number, 1);
        set_all(h, false);
        execv(path, argv);
        why = errno;
        set_all(h, true);
        unsetenv(VARIABLE);
    }
    if (fd >= 0)
        close(fd);
    mem_free(bytes);
    return err_set(detail, ERR_IO, "%s: cannot be started: %s", path, strerror(why));
}
