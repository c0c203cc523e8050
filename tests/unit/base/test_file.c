#include "unit/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define BIG (256u << 10)

static char dir[32], path[64];

static int make(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/ito-file-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/file", dir);
    return 0;
}

static int clean(void **state)
{
    char *command = mem_printf("rm -rf '%s'", dir);
    int r = system(command);

    (void)state;
    mem_free(command);
    return r;
}

static void holds(const char *expected)
{
    uint8_t *text;
    size_t len;

    assert_int_equal(file_read(path, 1 << 20, &text, &len, NULL), ERR_OK);
    assert_int_equal(len, strlen(expected));
    assert_string_equal((char *)text, expected);
    mem_free(text);
}

static void replaced_whole(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(file_replace(path, slice_str("one"), 0600, NULL), ERR_OK);
    assert_int_equal(file_replace(path, slice_str("two, longer"), 0640, NULL), ERR_OK);
    holds("two, longer");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(file_append_line(path, "and", NULL), ERR_OK);
    holds("two, longerand\n");
}

static void limits(void **state)
{
    struct err_detail d;
    uint8_t *text;
    size_t len;

    (void)state;
    assert_int_equal(file_read(path, 10, &text, &len, &d), ERR_NOT_FOUND);
    assert_null(text);
    assert_int_equal(file_replace(path, slice_str("0123456789"), 0600, NULL), ERR_OK);
    assert_int_equal(file_read(path, 10, &text, &len, &d), ERR_OK);
    mem_free(text);
    assert_int_equal(file_read(path, 9, &text, &len, &d), ERR_RANGE);
    assert_null(text);
    assert_non_null(strstr(d.text, "larger than 9 bytes"));
}

static void not_a_file(void **state)
{
    struct err_detail d;
    char real[80];
    uint8_t *text;
    size_t len;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(path, 10, &text, &len, &d), ERR_REFUSED); /* and does not wait for a writer */
    assert_int_equal(file_replace(path, slice_str("x"), 0600, &d), ERR_REFUSED);
    assert_int_not_equal(file_append_line(path, "x", &d), ERR_OK);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(file_replace(path, slice_str("x"), 0600, &d), ERR_REFUSED);
    assert_int_equal(file_read(path, 10, &text, &len, &d), ERR_REFUSED);
    rmdir(path);
    snprintf(real, sizeof real, "%s/real", dir);
    assert_int_equal(file_replace(real, slice_str("real"), 0600, NULL), ERR_OK);
    assert_int_equal(symlink(real, path), 0);
    assert_int_equal(file_replace(path, slice_str("x"), 0600, &d), ERR_REFUSED);
    assert_int_not_equal(file_append_line(path, "x", &d), ERR_OK);
    assert_int_equal(file_read(real, 10, &text, &len, &d), ERR_OK);
    assert_string_equal((char *)text, "real");
    mem_free(text);
}

static void folders(void **state)
{
    char *deep = mem_printf("%s/a/b/c", dir), *under = mem_printf("%s/file/x", dir);
    struct stat st;

    (void)state;
    assert_int_equal(file_make_folder(deep, NULL), ERR_OK);
    assert_int_equal(file_make_folder(deep, NULL), ERR_OK);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(file_replace(path, slice_str("x"), 0600, NULL), ERR_OK);
    assert_int_not_equal(file_make_folder(path, NULL), ERR_OK);
    assert_int_not_equal(file_make_folder(under, NULL), ERR_OK);
    mem_free(deep);
    mem_free(under);
}

/* All of one letter: which file it is, whole or not. */
static char letter_of_file(void)
{
    uint8_t *text;
    size_t len;
    char c;

    assert_int_equal(file_read(path, 2 * BIG, &text, &len, NULL), ERR_OK);
    assert_int_equal(len, BIG);
    c = (char)text[0];
    for (size_t i = 0; i < len; i++)
        assert_int_equal(text[i], c);
    mem_free(text);
    return c;
}

/* A process writes one version after the other and is killed at any instruction. */
static void killed(void **state)
{
    char *text = mem_alloc(BIG + 1);
    unsigned n_changed = 0;

    (void)state;
    memset(text, 'a', BIG);
    assert_int_equal(file_replace(path, slice_of((uint8_t *)text, BIG), 0600, NULL), ERR_OK);
    for (unsigned round = 0; round < 40; round++) {
        char before = letter_of_file();
        int ready[2], byte = 0;
        pid_t pid;

        assert_int_equal(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
            for (char c = 'b';; c = c == 'z' ? 'b' : (char)(c + 1)) {
                memset(text, c, BIG);
                if (write(ready[1], &byte, 1) != 1 ||
                    file_replace(path, slice_of((uint8_t *)text, BIG), 0600, NULL) != ERR_OK)
                    _exit(1);
            }
        }
        close(ready[1]);
        for (unsigned i = 0; i <= round % 3; i++) /* it is in its first, second, third replacement */
            assert_int_equal(read(ready[0], &byte, 1), 1);
        for (volatile unsigned spin = 0; spin < round * 20000; spin++)
            continue;
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close(ready[0]);
        n_changed += letter_of_file() != before;
    }
    assert_true(n_changed > 0);
    mem_free(text);
}

/* No room: the old contents stay, and nothing is left lying about. */
static void a_full_disk(void **state)
{
    struct rlimit old, small = {.rlim_cur = 1000};
    struct err_detail d;
    uint8_t *big = mem_alloc(5000);
    char *command;

    (void)state;
    assert_int_equal(file_replace(path, slice_str("old"), 0600, NULL), ERR_OK);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    assert_int_equal(file_replace(path, slice_of(big, 5000), 0600, &d), ERR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_non_null(strstr(d.text, "cannot be written: File too large"));
    holds("old");
    command = mem_printf("test \"$(ls -A '%s')\" = file", dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    mem_free(big);
}

#define with_folder(text, function)       \
    {                                     \
        text, function, make, clean, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_folder("a file is replaced whole, with the mode asked for", replaced_whole),
        with_folder("reading ends at the limit, to the byte", limits),
        with_folder("links, pipes and folders under the name are refused", not_a_file),
        with_folder("folders are made with their parents, 0700", folders),
        with_folder("a kill during replacement leaves the old file or the new one", killed),
        with_folder("a full disk leaves the old file and no other", a_full_disk),
    };

    return run_sentences("file", tests);
}
