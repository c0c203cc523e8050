#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define NAME "itodenwa"

static const char *home(void)
{
    const char *h = getenv("HOME");
    const struct passwd *pw;

    if (h != NULL && h[0] == '/')
        return h;
    pw = getpwuid(getuid());
    return pw != NULL ? pw->pw_dir : "/";
}

/* $variable/itodenwa when set to an absolute path, else ~/fallback/itodenwa (XDG base directories). */
static char *xdg(const char *variable, const char *fallback)
{
    const char *v = getenv(variable);

    if (v != NULL && v[0] == '/')
        return mem_printf("%s/" NAME, v);
    return fallback != NULL ? mem_printf("%s/%s/" NAME, home(), fallback) : NULL;
}

static char *in(const char *dir, const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

void files_init(struct files *f, const char *dir, const char *config)
{
    if (dir == NULL)
        dir = getenv("ITO_DIR");
    *f = (struct files){0};
    if (dir != NULL && dir[0] != '\0') {
        f->config_dir = mem_str(dir);
        f->data_dir = mem_str(dir);
        f->state_dir = mem_str(dir);
        f->cache_dir = mem_str(dir);
        f->run_dir = mem_str(dir);
    } else {
        f->config_dir = xdg("XDG_CONFIG_HOME", ".config");
        f->data_dir = xdg("XDG_DATA_HOME", ".local/share");
        f->state_dir = xdg("XDG_STATE_HOME", ".local/state");
        f->cache_dir = xdg("XDG_CACHE_HOME", ".cache");
        f->run_dir = xdg("XDG_RUNTIME_DIR", NULL);
        if (f->run_dir == NULL)
            f->run_dir = mem_str(f->state_dir);
    }
    f->config = config != NULL ? mem_str(config) : in(f->config_dir, "config.json");
    f->contacts = in(f->config_dir, "contacts.json");
    f->identity = in(f->data_dir, "identity.key");
    f->contacts_state = in(f->data_dir, "contacts.state");
    f->requests = in(f->data_dir, "requests.json");
    f->invites = in(f->data_dir, "invites.json");
    f->ledger = in(f->data_dir, "ledger.db");
    f->node_key = in(f->data_dir, "node.key");
    f->zone_key = in(f->data_dir, "zone.key");
    f->log = in(f->state_dir, "ito.log");
    f->history = in(f->state_dir, "history.jsonl");
    f->lock = in(f->state_dir, "lock");
    f->peers = in(f->cache_dir, "peers");
    f->relays = in(f->cache_dir, "relays");
    f->mainline = in(f->cache_dir, "mainline");
    f->care = in(f->data_dir, "care.items");
    f->mirror = in(f->data_dir, "mirror.state");
    f->socket = in(f->run_dir, "ctl.sock");
}

void files_fini(struct files *f)
{
    char **all = (char **)f;

    for (size_t i = 0; i < sizeof *f / sizeof(char *); i++)
        mem_free(all[i]);
    *f = (struct files){0};
}

enum err files_make(const struct files *f, struct err_detail *detail)
{
    const char *const dirs[] = {f->config_dir, f->data_dir, f->state_dir, f->cache_dir, f->run_dir};

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        enum err e = file_make_folder(dirs[i], detail);

        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

enum err files_lock(const struct files *f, int *fd, long *pid, struct err_detail *detail)
{
    char text[24] = "";
    ssize_t n;

    *pid = 0;
    *fd = open(f->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return err_set(detail, ERR_IO, "%s: cannot be opened: %s", f->lock, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        n = read(*fd, text, sizeof text - 1);
        *pid = n > 0 ? strtol(text, NULL, 10) : 0;
        close(*fd);
        *fd = -1;
        return err_set(detail, ERR_LOCKED, "Another ito (process %ld) owns this identity.", *pid);
    }
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(*fd, 0) != 0 || pwrite(*fd, text, (size_t)n, 0) != n)
        return err_set(detail, ERR_IO, "%s: cannot be written: %s", f->lock, strerror(errno));
    return ERR_OK;
}
