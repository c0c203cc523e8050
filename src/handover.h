/* handover.h - one process of `ito relay` takes the place of another without losing a packet: exec(2) in place.
 *
 * The running one writes what it serves (app_hand_over()) and the numbers of its open sockets to a memory file, lets
 * these stay open over exec, and becomes the program that lies under its own path now. That one finds the file by
 * ITO_HANDOVER, binds nothing anew, and goes on. Packets wait in the sockets meanwhile. Process number, lock and
 * systemd's idea of the service stay.
 *
 *   owner  handover_take()/handover_free(), by main's verb; core.c takes the sockets out
 *   trust  the file is of ourselves, and its format may still be another version's: parsed whole or not at all
 *   caps   HANDOVER_PORTS sockets */
#ifndef ITO_HANDOVER_H
#define ITO_HANDOVER_H

#include "base/err.h"
#include "base/slice.h"

#define HANDOVER_PORTS (16384 + 16) /* relayed ports, and workers */
/* Handles from here on name sockets of relay.workers, not relayed ports. A program that knows none closes them, and the
 * main socket has all packets again. */
#define HANDOVER_WORKER 0xff000000u

struct handover_port {
    uint32_t handle;
    int fd; /* -1: taken */
};

struct handover {
    int main_fd; /* -1: none, or taken */
    size_t n_ports;
    struct handover_port *ports;
    struct slice state; /* of the app, with keys */
    uint8_t *bytes;     /* what state points into */
};

/* What a process before us left; NULL when there is none, or when it cannot be read (then detail says so). */
struct handover *handover_take(struct err_detail *detail);
/* Wipes; closes what nobody took. NULL is fine. */
void handover_free(struct handover *h);
/* The socket of that handle, the caller's from now on; -1: none. */
int handover_port(struct handover *h, uint32_t handle);
/* The path of this program, to be asked while it still is what it was at the start; for mem_free(). */
char *handover_path(void);
/* The words this process was started with, ended by NULL; handover_argv_free() frees them. NULL: not to be had. */
char **handover_argv(void);
void handover_argv_free(char **argv);
/* Does the program at `path` run at all (`--version`)? */
bool handover_is_sound(const char *path);
/* Become the program at `path`. Comes back only when that failed, and all is as before. */
enum err handover_exec(const char *path, char *const argv[], const struct handover *h,
                       struct err_detail *detail);

#endif
