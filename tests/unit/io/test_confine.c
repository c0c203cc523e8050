#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/confine.h"

/* A folder with a file in it, and one beside it that nobody named. */
struct places {
    char own[32], other[32], own_file[64], other_file[64];
};

static void make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void begin(struct places *p)
{
    strcpy(p->own, "/tmp/ito-own-XXXXXX");
    strcpy(p->other, "/tmp/ito-other-XXXXXX");
    assert_non_null(mkdtemp(p->own));
    assert_non_null(mkdtemp(p->other));
    snprintf(p->own_file, sizeof p->own_file, "%s/file", p->own);
    snprintf(p->other_file, sizeof p->other_file, "%s/file", p->other);
    make(p->own_file);
    make(p->other_file);
}

static void end(struct places *p)
{
    unlink(p->own_file);
    unlink(p->other_file);
    rmdir(p->own);
    rmdir(p->other);
}

/* What the confined child found: its exit code. Nothing of it can be undone, so it is a process of its own. */
static int in_child(const struct places *p, bool with_bpf,
                    int (*look)(const struct places *p, const struct confine_result *result))
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct confine_place places[] = {
            {p->own, CONFINE_WRITE}, {NULL, CONFINE_READ}, {"/nowhere", CONFINE_RUN}};
        struct confine_result result;

        confine(places, 3, with_bpf, &result);
        _exit(look(p, &result));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool is_refused(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EACCES;
}

static int look_at_files(const struct places *p, const struct confine_result *result)
{
    char made[80], moved[80];

    snprintf(made, sizeof made, "%s/made", p->own);
    snprintf(moved, sizeof moved, "%s/moved", p->own);
    if (result->landlock == 0)
        return 77; /* this kernel has none, or forbids it */
    if (is_refused(p->own_file, O_RDWR) || is_refused("/etc/hosts", O_RDONLY) ||
        is_refused("/dev/null", O_WRONLY))
        return 1;
    if (is_refused(made, O_WRONLY | O_CREAT) || rename(made, moved) != 0 || unlink(moved) != 0)
        return 2;
    if (!is_refused(p->other_file, O_RDONLY) || !is_refused(p->other_file, O_WRONLY) ||
        !is_refused("/etc/passwd", O_RDONLY))
        return 3;
    if (unlink(p->other_file) == 0 || rename(p->own_file, p->other_file) == 0)
        return 4;
    execl("/bin/true", "true", (char *)NULL);
    return errno == EACCES ? 0 : 5;
}

static void files(void **state)
{
    struct places p;
    int code;

    (void)state;
    begin(&p);
    code = in_child(&p, false, look_at_files);
    end(&p);
    if (code == 77)
        skip();
    assert_int_equal(code, 0);
}

static int look_at_calls(const struct places *p, const struct confine_result *result)
{
    (void)p;
    if (!result->no_new_privileges || !result->has_filter)
        return 1;
    if (mount("none", "/tmp", "tmpfs", 0, NULL) == 0 || errno != EPERM)
        return 2;
    if (syscall(SYS_unshare, 0) == 0 || errno != EPERM)
        return 3;
    if (syscall(SYS_keyctl, 0, 0, 0, 0, 0) == 0 || errno != EPERM)
        return 4;
    if (syscall(SYS_bpf, -1, NULL, 0) == 0 || errno != EPERM)
        return 6;
    return getpid() > 0 && access("/", F_OK) == 0 ? 0 : 5;
}

static void calls(void **state)
{
    struct places p;

    (void)state;
    begin(&p);
    assert_int_equal(in_child(&p, false, look_at_calls), 0);
    end(&p);
}

/* The kernel itself refuses bpf(2) to others than root with EPERM. */
static int look_at_bpf(const struct places *p, const struct confine_result *result)
{
    (void)p;
    if (!result->has_filter || syscall(SYS_keyctl, 0, 0, 0, 0, 0) == 0 || errno != EPERM ||
        syscall(SYS_ptrace, -1, 0, 0, 0) == 0)
        return 1;
    return syscall(SYS_bpf, -1, NULL, 0) != 0 && errno != EPERM ? 0 : geteuid() != 0 ? 77 : 2;
}

static void bpf(void **state)
{
    struct places p;
    int code;

    (void)state;
    begin(&p);
    code = in_child(&p, true, look_at_bpf);
    end(&p);
    if (code == 77)
        skip();
    assert_int_equal(code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("its own files open, those of others do not, and nothing runs", files),
        sentence("system calls of the list are refused, the rest works", calls),
        sentence("bpf(2) is let through for who has use of it, the others are refused as before", bpf),
    };

    return run_sentences("confine", tests);
}
