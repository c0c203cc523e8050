#include "io/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"

/* One end of a connection: bytes in, cut into lines; lines out. Shared by server and client side. */
struct stream_end {
    uv_pipe_t pipe;
    char *line;
    size_t len, cap, max;
    bool is_closed;
};

struct control_client {
    struct stream_end end;
    struct control *control;
    bool is_watching, is_used;
};

struct control {
    uv_pipe_t pipe;
    struct io *io;
    control_request_cb request;
    control_gone_cb gone;
    void *arg;
    char path[108];
    struct control_client *clients[CONTROL_CLIENTS];
};

struct control_link {
    struct stream_end end;
    struct io *io;
    control_line_cb line;
    void *arg;
};

struct outgoing {
    uv_write_t req;
    char *text;
};

static void on_written(uv_write_t *req, int status)
{
    struct outgoing *o = req->data;

    (void)status;
    mem_free(o->text);
    mem_free(o);
}

static void send_line(struct stream_end *e, const char *line)
{
    struct outgoing *o;
    uv_buf_t buf;

    if (e->is_closed)
        return;
    o = mem_alloc(sizeof *o);
    o->text = mem_printf("%s\n", line);
    o->req.data = o;
    buf = uv_buf_init(o->text, (unsigned)strlen(o->text));
    if (uv_write(&o->req, (uv_stream_t *)&e->pipe, &buf, 1, on_written) != 0) {
        mem_free(o->text);
        mem_free(o);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(mem_alloc(16384), 16384);
}

typedef void (*end_line_cb)(void *owner, const char *line);

/* Take what was read; true while the connection is good. */
static bool take_bytes(struct stream_end *e, ssize_t n, const char *data, end_line_cb cb, void *owner)
{
    for (ssize_t i = 0; i < n && !e->is_closed; i++) {
        if (e->len + 1 >= e->cap) {
            e->cap = e->cap > 0 ? e->cap * 2 : 4096;
            e->line = mem_resize(e->line, e->cap, 1);
        }
        if (data[i] == '\n') {
            e->line[e->len] = '\0';
            e->len = 0;
            cb(owner, e->line);
        } else if (e->len >= e->max) {
            return false;
        } else {
            e->line[e->len++] = data[i];
        }
    }
    return n >= 0;
}

static void free_client(uv_handle_t *handle)
{
    struct control_client *c = handle->data;

    mem_free(c->end.line);
    mem_free(c);
}

static void drop_client(struct control_client *c)
{
    if (c->end.is_closed)
        return;
    c->end.is_closed = true;
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->control->clients[i] == c)
            c->control->clients[i] = NULL;
    if (c->control->gone != NULL)
        c->control->gone(c->control->arg, c);
    uv_close((uv_handle_t *)&c->end.pipe, free_client);
}

static void client_line(void *owner, const char *line)
{
    struct control_client *c = owner;

    c->control->request(c->control->arg, c, line);
}

static void on_client_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct control_client *c = stream->data;

    if (!take_bytes(&c->end, n, buf->base, client_line, c))
        drop_client(c);
    mem_free(buf->base);
}

static bool is_same_user(uv_pipe_t *pipe)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    uv_os_fd_t fd;

    return uv_fileno((uv_handle_t *)pipe, &fd) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == getuid();
}

static void on_connection(uv_stream_t *server, int status)
{
    struct control *ctl = server->data;
    struct control_client *c;
    int slot = 0;

    if (status != 0)
        return;
    c = mem_alloc(sizeof *c);
    c->control = ctl;
    c->end.max = CONTROL_LINE_MAX;
    uv_pipe_init(server->loop, &c->end.pipe, 0);
    c->end.pipe.data = c;
    while (slot < CONTROL_CLIENTS && ctl->clients[slot] != NULL)
        slot++;
    if (uv_accept(server, (uv_stream_t *)&c->end.pipe) != 0 || slot == CONTROL_CLIENTS ||
        !is_same_user(&c->end.pipe)) {
        c->end.is_closed = true;
        uv_close((uv_handle_t *)&c->end.pipe, free_client);
        return;
    }
    ctl->clients[slot] = c;
    uv_read_start((uv_stream_t *)&c->end.pipe, on_alloc, on_client_read);
}

/* Is there a live listener behind the socket file? */
static bool is_alive(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    if (fd < 0 || strlen(path) >= sizeof sun.sun_path)
        return false;
    strcpy(sun.sun_path, path);
    ok = connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0;
    close(fd);
    return ok;
}

static void free_control(uv_handle_t *handle)
{
    mem_free(handle->data);
}

enum err control_listen(struct io *io, const char *path, control_request_cb request, control_gone_cb gone,
                        void *arg, struct control **out, struct err_detail *detail)
{
    struct control *c;
    struct stat st;
    mode_t mask;
    int r;

    *out = NULL;
    if (strlen(path) >= sizeof c->path)
        return err_set(detail, ERR_RANGE,
                       "%s: too long for a socket (107 bytes at most); give a shorter folder", path);
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return err_set(detail, ERR_REFUSED, "%s: not a socket", path);
    if (is_alive(path))
        return err_set(detail, ERR_LOCKED, "%s: another ito listens there", path);
    unlink(path);
    c = mem_alloc(sizeof *c);
    c->io = io;
    c->request = request;
    c->gone = gone;
    c->arg = arg;
    strcpy(c->path, path);
    uv_pipe_init(io_uv(io), &c->pipe, 0);
    c->pipe.data = c;
    mask = umask(0177);
    r = uv_pipe_bind(&c->pipe, path);
    umask(mask);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&c->pipe, 16, on_connection);
    if (r != 0) {
        uv_close((uv_handle_t *)&c->pipe, free_control);
        return err_set(detail, ERR_IO, "%s: cannot listen: %s", path, uv_strerror(r));
    }
    *out = c;
    return ERR_OK;
}

void control_close(struct control *c)
{
    if (c == NULL)
        return;
    c->gone = NULL;
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->clients[i] != NULL)
            drop_client(c->clients[i]);
    unlink(c->path);
    uv_close((uv_handle_t *)&c->pipe, free_control);
}

void control_answer(struct control_client *client, const char *line)
{
    if (uv_stream_get_write_queue_size((uv_stream_t *)&client->end.pipe) > CONTROL_QUEUE_MAX)
        drop_client(client);
    else
        send_line(&client->end, line);
}

void control_set_watching(struct control_client *client, bool is_watching)
{
    client->is_watching = is_watching;
}

void control_broadcast(struct control *c, const char *line)
{
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->clients[i] != NULL && c->clients[i]->is_watching)
            control_answer(c->clients[i], line);
}

static void free_link(uv_handle_t *handle)
{
    struct control_link *l = handle->data;

    mem_free(l->end.line);
    mem_free(l);
}

static void link_line(void *owner, const char *line)
{
    struct control_link *l = owner;

    l->line(l->arg, line);
}

static void on_link_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct control_link *l = stream->data;

    if (!take_bytes(&l->end, n, buf->base, link_line, l) && !l->end.is_closed) {
        uv_read_stop(stream);
        l->line(l->arg, NULL);
    }
    mem_free(buf->base);
}

enum err control_connect(struct io *io, const char *path, control_line_cb line, void *arg,
                         struct control_link **out)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct control_link *l;
    int fd;

    *out = NULL;
    if (strlen(path) >= sizeof sun.sun_path)
        return ERR_RANGE;
    strcpy(sun.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    if (connect(fd, (struct sockaddr *)&sun, sizeof sun) != 0) {
        close(fd);
        return ERR_NOT_FOUND;
    }
    l = mem_alloc(sizeof *l);
    *l = (struct control_link){.io = io, .line = line, .arg = arg};
    l->end.max = CONTROL_QUEUE_MAX;
    uv_pipe_init(io_uv(io), &l->end.pipe, 0);
    l->end.pipe.data = l;
    uv_pipe_open(&l->end.pipe, fd);
    uv_read_start((uv_stream_t *)&l->end.pipe, on_alloc, on_link_read);
    *out = l;
    return ERR_OK;
}

void control_send(struct control_link *link, const char *line)
{
    send_line(&link->end, line);
}

void control_disconnect(struct control_link *link)
{
    if (link == NULL || link->end.is_closed)
        return;
    link->end.is_closed = true;
    uv_close((uv_handle_t *)&link->end.pipe, free_link);
}
