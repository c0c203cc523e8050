#include "unit/io/bench.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "io/control.h"

struct desk {
    struct bench b;
    struct control *control;
    struct control_client *client; /* the newest that said something */
    char line[256];                /* the newest request */
    size_t longest;
    unsigned n_lines, n_gone, n_answers, n_over;
    char answer[256];
    bool echoes;
};

static void on_request(void *arg, struct control_client *client, const char *line)
{
    struct desk *d = arg;

    d->client = client;
    d->n_lines++;
    d->longest = strlen(line) > d->longest ? strlen(line) : d->longest;
    snprintf(d->line, sizeof d->line, "%s", line);
    if (strcmp(line, "watch") == 0)
        control_set_watching(client, true);
    if (d->echoes)
        control_answer(client, line);
}

static void on_gone(void *arg, struct control_client *client)
{
    struct desk *d = arg;

    (void)client;
    d->n_gone++;
}

static void on_answer(void *arg, const char *line)
{
    struct desk *d = arg;

    if (line == NULL) {
        d->n_over++;
        return;
    }
    d->n_answers++;
    snprintf(d->answer, sizeof d->answer, "%s", line);
}

static void make(struct desk *d)
{
    struct err_detail detail;

    *d = (struct desk){.echoes = true};
    bench_make(&d->b, "ctl.sock");
    assert_int_equal(control_listen(d->b.io, d->b.path, on_request, on_gone, d, &d->control, &detail),
                     ERR_OK);
}

static void end(struct desk *d)
{
    control_close(d->control);
    bench_end(&d->b);
}

static bool is_answered(void *arg)
{
    return ((struct desk *)arg)->n_answers > 0;
}

static bool is_over(void *arg)
{
    return ((struct desk *)arg)->n_over > 0;
}

static bool is_gone(void *arg)
{
    return ((struct desk *)arg)->n_gone > 0;
}

static bool has_lines(void *arg)
{
    return ((struct desk *)arg)->n_lines > 0;
}

/* A client that does what it likes. */
static int raw_client(const struct desk *d)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    strcpy(sun.sun_path, d->b.path);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
    return fd;
}

static void question_and_answer(void **state)
{
    struct desk d;
    struct control_link *link;
    struct stat st;

    (void)state;
    make(&d);
    assert_int_equal(stat(d.b.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(control_connect(d.b.io, d.b.path, on_answer, &d, &link), ERR_OK);
    control_send(link, "{\"id\":1}");
    assert_true(bench_run(&d.b, is_answered, &d));
    assert_string_equal(d.line, "{\"id\":1}");
    assert_string_equal(d.answer, "{\"id\":1}");
    control_disconnect(link);
    assert_true(bench_run(&d.b, is_gone, &d));
    end(&d);
}

static void one_at_a_time(void **state)
{
    struct desk d;
    struct control *second;
    struct err_detail detail;
    char *text;

    (void)state;
    make(&d);
    assert_int_equal(control_listen(d.b.io, d.b.path, on_request, NULL, &d, &second, &detail), ERR_LOCKED);
    assert_null(second);
    text = mem_printf("%s: another ito listens there", d.b.path);
    assert_string_equal(detail.text, text);
    mem_free(text);
    end(&d);
}

static void stale_and_strange_files(void **state)
{
    struct desk d = {.echoes = true};
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct control_link *link;
    int fd;

    (void)state;
    bench_make(&d.b, "ctl.sock");
    assert_int_equal(control_connect(d.b.io, d.b.path, on_answer, &d, &link), ERR_NOT_FOUND);
    fd = socket(AF_UNIX, SOCK_STREAM, 0); /* what a killed core leaves behind */
    strcpy(sun.sun_path, d.b.path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
    close(fd);
    assert_int_equal(control_connect(d.b.io, d.b.path, on_answer, &d, &link), ERR_NOT_FOUND);
    assert_int_equal(control_listen(d.b.io, d.b.path, on_request, NULL, &d, &d.control, NULL), ERR_OK);
    control_close(d.control);
    assert_int_not_equal(access(d.b.path, F_OK), 0);
    close(creat(d.b.path, 0600)); /* somebody's file is not ours to remove */
    assert_int_equal(control_listen(d.b.io, d.b.path, on_request, NULL, &d, &d.control, NULL), ERR_REFUSED);
    assert_int_equal(access(d.b.path, F_OK), 0);
    bench_end(&d.b);
}

/* What a client sends, as fast as the other side of this thread reads it. */
struct push {
    struct desk *d;
    int fd;
    const char *text;
    size_t at, len;
    bool (*until)(void *d);
};

static bool pushes(void *arg)
{
    struct push *p = arg;
    ssize_t n;

    while (p->at < p->len &&
           (n = send(p->fd, p->text + p->at, p->len - p->at, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        p->at += (size_t)n;
    return p->until(p->d);
}

static void the_longest_line(void **state)
{
    struct desk d;
    char *text = mem_alloc(CONTROL_LINE_MAX + 2);
    struct push p = {.d = &d, .text = text, .len = CONTROL_LINE_MAX, .until = has_lines};
    int fd;

    (void)state;
    make(&d);
    d.echoes = false;
    fd = raw_client(&d);
    memset(text, 'x', CONTROL_LINE_MAX);
    text[CONTROL_LINE_MAX - 1] = '\n'; /* fits */
    p.fd = fd;
    assert_true(bench_run(&d.b, pushes, &p));
    assert_int_equal(d.longest, CONTROL_LINE_MAX - 1);
    text[CONTROL_LINE_MAX - 1] = 'x';
    text[CONTROL_LINE_MAX] = 'x'; /* one too many, without an end */
    p.at = 0;
    p.len = CONTROL_LINE_MAX + 1;
    p.until = is_gone;
    assert_true(bench_run(&d.b, pushes, &p));
    assert_int_equal(d.n_lines, 1);
    close(fd);
    mem_free(text);
    end(&d);
}

static void a_watcher_that_does_not_read(void **state)
{
    struct desk d;
    char *event = mem_alloc(65536);
    unsigned n = 0;
    int fd;

    (void)state;
    make(&d);
    d.echoes = false;
    memset(event, 'e', 65535);
    fd = raw_client(&d);
    assert_int_equal(write(fd, "watch\n", 6), 6);
    assert_true(bench_run(&d.b, has_lines, &d));
    while (d.n_gone == 0 && n < 1000) {
        control_broadcast(d.control, event);
        n++;
    }
    assert_int_equal(d.n_gone, 1);
    assert_true(n * 65536 > CONTROL_QUEUE_MAX && n * 65536 < 2 * CONTROL_QUEUE_MAX);
    control_broadcast(d.control, event); /* nobody is left */
    close(fd);
    mem_free(event);
    end(&d);
}

static void only_watchers_hear_events(void **state)
{
    struct desk d;
    struct control_link *link;

    (void)state;
    make(&d);
    assert_int_equal(control_connect(d.b.io, d.b.path, on_answer, &d, &link), ERR_OK);
    control_send(link, "hello");
    assert_true(bench_run(&d.b, is_answered, &d));
    control_broadcast(d.control, "event 1");
    control_send(link, "watch");
    d.n_answers = 0;
    assert_true(bench_run(&d.b, is_answered, &d));
    assert_string_equal(d.answer, "watch");
    d.n_answers = 0;
    control_broadcast(d.control, "event 2");
    assert_true(bench_run(&d.b, is_answered, &d));
    assert_string_equal(d.answer, "event 2");
    control_close(d.control); /* the link learns of the end */
    d.control = NULL;
    assert_true(bench_run(&d.b, is_over, &d));
    control_disconnect(link);
    bench_end(&d.b);
}

static void too_many_clients(void **state)
{
    struct desk d;
    int fds[CONTROL_CLIENTS + 1];
    char byte;

    (void)state;
    make(&d);
    d.echoes = false;
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        fds[i] = raw_client(&d);
        d.n_lines = 0;
        assert_int_equal(write(fds[i], "x\n", 2), 2);
        assert_true(bench_run(&d.b, has_lines, &d));
    }
    fds[CONTROL_CLIENTS] = raw_client(&d);
    d.n_lines = 0;
    assert_int_equal(write(fds[CONTROL_CLIENTS], "x\n", 2), 2);
    assert_int_equal(write(fds[0], "y\n", 2), 2);
    assert_true(bench_run(&d.b, has_lines, &d));
    assert_string_equal(d.line, "y");
    fcntl(fds[CONTROL_CLIENTS], F_SETFL, 0);
    assert_true(read(fds[CONTROL_CLIENTS], &byte, 1) <= 0); /* closed at once */
    for (int i = 0; i <= CONTROL_CLIENTS; i++)
        close(fds[i]);
    end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a line goes there, an answer comes back, the socket is for nobody else",
                 question_and_answer),
        sentence("a socket somebody listens on is left alone", one_at_a_time),
        sentence("a dead socket is replaced, another kind of file is not", stale_and_strange_files),
        sentence("a line of 10 MiB is taken, one byte more ends the connection", the_longest_line),
        sentence("a watcher that does not read is cut off at 4 MiB", a_watcher_that_does_not_read),
        sentence("events go to those who asked, and the end is told", only_watchers_hear_events),
        sentence("the seventeenth client is turned away", too_many_clients),
    };

    return run_sentences("control", tests);
}
