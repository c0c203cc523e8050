#include "unit/io/bench.h"

#include <fcntl.h>

#include "io/hook.h"

/* A named pipe that hooks write to: its end of file means that they are over. */
struct pipe_end {
    struct bench b;
    int fd;
    char text[512];
    size_t len;
    bool is_over;
};

static void on_readable(void *arg, ns_t now)
{
    struct pipe_end *p = arg;
    ssize_t n = read(p->fd, p->text + p->len, sizeof p->text - 1 - p->len);

    (void)now;
    if (n > 0)
        p->len += (size_t)n;
    else if (n == 0)
        p->is_over = true;
    if (p->is_over)
        io_unwatch_fd(p->b.io, p->fd);
}

static bool is_over(void *arg)
{
    return ((struct pipe_end *)arg)->is_over;
}

static void make(struct pipe_end *p)
{
    int writer;

    *p = (struct pipe_end){.fd = -1};
    bench_make(&p->b, "pipe");
    assert_int_equal(mkfifo(p->b.path, 0600), 0);
    p->fd = open(p->b.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writer = open(p->b.path, O_WRONLY | O_CLOEXEC); /* or the end would be there from the beginning */
    assert_true(p->fd >= 0 && writer >= 0);
    assert_int_equal(io_watch_fd(p->b.io, p->fd, on_readable, p), ERR_OK);
    setenv("PIPE", p->b.path, 1);
    p->text[0] = (char)writer; /* closed by go(), when the hooks have opened theirs */
}

static bool has_text(void *arg)
{
    return ((struct pipe_end *)arg)->len > 0;
}

static void end(struct pipe_end *p)
{
    close(p->fd);
    bench_end(&p->b);
}

static void words_and_arguments(void **state)
{
    const char *argv[] = {"/bin/sh", "-c", "echo \"$ITO_EVENT|$ITO_NAME|$1|$PIPE\" >\"$PIPE\"", "sh",
                          "a b;$HOME"};
    struct pipe_end p;
    char expected[256];
    int writer;

    (void)state;
    make(&p);
    writer = (unsigned char)p.text[0];
    p.text[0] = '\0';
    assert_int_equal(hook_run(p.b.io, argv, 5, "call", "山田 \"太郎\""), ERR_OK);
    assert_true(bench_run(&p.b, has_text, &p));
    close(writer);
    assert_true(bench_run(&p.b, is_over, &p));
    snprintf(expected, sizeof expected, "call|山田 \"太郎\"|a b;$HOME|%s\n", p.b.path);
    assert_string_equal(p.text, expected);
    assert_null(getenv("ITO_EVENT")); /* ours is as it was */
    end(&p);
}

static void no_such_program(void **state)
{
    const char *argv[] = {"/nowhere/at/all"};
    const char *many[HOOK_ARGS_MAX + 1] = {NULL};
    struct bench b;

    (void)state;
    bench_make(&b, "-");
    assert_int_equal(hook_run(b.io, argv, 1, "call", ""), ERR_IO);
    assert_int_equal(hook_run(b.io, argv, 0, "call", ""), ERR_FULL);
    assert_int_equal(hook_run(b.io, many, HOOK_ARGS_MAX + 1, "call", ""), ERR_FULL);
    bench_end(&b);
}

/* Programs that do not end: four at once, and each is ended after 5 s of real time. */
static void stuck_programs(void **state)
{
    const char *argv[] = {"/bin/sh", "-c", "exec 3>\"$PIPE\"; echo here >&3; cat <\"$NEVER\" & wait"};
    struct pipe_end p;
    char never[64];
    ns_t began = io_now();
    int writer;

    (void)state;
    make(&p);
    writer = (unsigned char)p.text[0];
    p.text[0] = '\0';
    snprintf(never, sizeof never, "%s/never", p.b.dir);
    assert_int_equal(mkfifo(never, 0600), 0);
    setenv("NEVER", never, 1);
    for (int i = 0; i < HOOKS_MAX; i++)
        assert_int_equal(hook_run(p.b.io, argv, 3, "call", ""), ERR_OK);
    assert_int_equal(hook_run(p.b.io, argv, 3, "call", ""), ERR_FULL);
    assert_true(bench_run(&p.b, has_text, &p));
    close(writer);
    assert_true(bench_run(&p.b, is_over, &p));
    assert_true(io_now() - began >= (HOOK_LIMIT_MS - 50) * NS_PER_MS);
    unlink(never);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a program gets its arguments as they are, and two words in its environment",
                 words_and_arguments),
        sentence("a program that is not there is an error, not an end", no_such_program),
        sentence("stuck programs end after 5 s with their children, more than four are not begun",
                 stuck_programs),
    };

    return run_sentences("hook", tests);
}
