#include "io/hook.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"

extern char **environ;

struct hook {
    uv_process_t process;
    uv_timer_t timer;
    unsigned n_open; /* handles not closed yet */
};

static void on_closed(uv_handle_t *handle)
{
    struct hook *h = handle->data;

    if (--h->n_open == 0)
        mem_free(h);
}

static void on_exit_cb(uv_process_t *process, int64_t status, int signum)
{
    struct hook *h = process->data;

    (void)status;
    (void)signum;
    uv_close((uv_handle_t *)&h->process, on_closed);
    uv_close((uv_handle_t *)&h->timer, on_closed);
}

static void on_limit(uv_timer_t *timer)
{
    struct hook *h = timer->data;

    uv_kill(-h->process.pid, SIGKILL); /* with what it started: it leads a group */
}

static void end_one(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (handle->type == UV_PROCESS && !uv_is_closing(handle))
        on_exit_cb((uv_process_t *)handle, 0, 0);
}

void hook_forget(struct io *io)
{
    uv_walk(io_uv(io), end_one, NULL);
}

struct count {
    unsigned n;
};

static void count_one(uv_handle_t *handle, void *arg)
{
    struct count *c = arg;

    c->n += handle->type == UV_PROCESS && !uv_is_closing(handle);
}

static unsigned count_processes(struct io *io)
{
    struct count c = {0};

    uv_walk(io_uv(io), count_one, &c);
    return c.n;
}

/* Our environment with two variables more; free the last two and the array. */
static char **with_event(const char *event, const char *name, size_t *n)
{
    char **env;

    for (*n = 0; environ[*n] != NULL; (*n)++)
        continue;
    env = mem_array(*n + 3, sizeof *env);
    memcpy(env, environ, *n * sizeof *env);
    env[*n] = mem_printf("ITO_EVENT=%s", event);
    env[*n + 1] = mem_printf("ITO_NAME=%s", name);
    return env;
}

enum err hook_run(struct io *io, const char *const *argv, size_t n_args, const char *event, const char *name)
{
    char *args[HOOK_ARGS_MAX + 1] = {0};
    uv_process_options_t options = {.exit_cb = on_exit_cb, .args = args, .flags = UV_PROCESS_DETACHED};
    struct hook *h;
    char **env;
    size_t n;
    int r;

    if (n_args == 0 || n_args > HOOK_ARGS_MAX || count_processes(io) >= HOOKS_MAX)
        return ERR_FULL;
    for (size_t i = 0; i < n_args; i++)
        args[i] = (char *)(uintptr_t)argv[i]; /* uv copies nothing and changes nothing */
    env = with_event(event, name, &n);
    options.file = args[0];
    options.env = env;
    h = mem_alloc(sizeof *h);
    h->process.data = h->timer.data = h;
    h->n_open = 2;
    uv_timer_init(io_uv(io), &h->timer);
    uv_unref((uv_handle_t *)&h->timer);
    r = uv_spawn(io_uv(io), &h->process, &options);
    mem_free(env[n]);
    mem_free(env[n + 1]);
    mem_free(env);
    if (r != 0) {
        uv_close((uv_handle_t *)&h->process, on_closed);
        uv_close((uv_handle_t *)&h->timer, on_closed);
        return ERR_IO;
    }
    uv_timer_start(&h->timer, on_limit, HOOK_LIMIT_MS, 0);
    return ERR_OK;
}
