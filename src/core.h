/* core.h - a phone on the real world: loop, sockets, files, control socket around one struct app.
 *
 *   owner  core_create()/core_destroy(); the io given outlives it
 *   caps   those of the parts */
#ifndef ITO_CORE_H
#define ITO_CORE_H

#include "app/app.h"
#include "files.h"
#include "io/loop.h"

struct core;
struct handover;

struct core_config {
    enum app_mode mode;
    bool is_offline;  /* lists only: no network */
    bool has_control; /* listen on the control socket */
    bool logs_to_stderr;
    bool is_silent;
    bool is_joining;              /* to be linked: no identity is there, and none is written */
    const char *passphrase;       /* NULL: none given */
    const char *name;             /* for a new identity, when one must be made; NULL: refuse to make one */
    uint16_t port;                /* 0: as configured */
    const char *const *overrides; /* key, value, ..., NULL: of the command line, before those of the file */
    const struct files *files;
    struct handover *handover; /* sockets and state of the process before us; NULL: none. Borrowed, emptied */
};

typedef void (*core_event_cb)(void *arg, const char *json);

/* ERR_NOT_FOUND: no identity yet. ERR_LOCKED with pid set: another core owns it; ERR_LOCKED with pid 0: passphrase
 * missing or wrong. ERR_CONFIG: detail has all lines. */
enum err core_create(const struct core_config *config, struct io *io, struct core **out, long *pid,
                     struct err_detail *detail);
void core_destroy(struct core *c);
struct app *core_app(struct core *c);
struct config *core_settings(struct core *c);
/* bpf(2) was of use (relay.xdp), and will be to the process that takes our place. */
bool core_uses_bpf(const struct core *c);
void core_on_event(struct core *c, core_event_cb event, void *arg);
/* The turn of the loop, for io_ops.turn. */
ns_t core_turn(struct core *c, ns_t now);
/* Lines of the log, besides the file (the log screen). */
typedef void (*core_log_cb)(void *arg, enum log_level level, const char *line);
void core_on_log(struct core *c, core_log_cb log, void *arg);
void core_log(struct core *c, enum log_level level, const char *line); /* each line of it on one of its own */
/* `upgrade` was asked for (a relay): ERR_OK when it will be done. NULL: it cannot be. */
typedef enum err (*core_upgrade_cb)(void *arg, struct err_detail *detail);
void core_on_upgrade(struct core *c, core_upgrade_cb upgrade, void *arg);
/* First half: a word to those who are connected. */
void core_say_goodbye(struct core *c);
/* Second half, a little later: become the program at path. Comes back when that failed, and goes on as before. */
enum err core_hand_over(struct core *c, const char *path, char *const argv[], struct err_detail *detail);
void core_reload(struct core *c);     /* HUP: settings and contacts */
void core_reopen_log(struct core *c); /* USR2 */

#endif
