/* io/control.h - the control socket: a UNIX stream socket, one JSON object a line (UX.md §7).
 *
 * Server side: mode 0600 in a 0700 folder, the peer's user is checked (SO_PEERCRED); lines of a client are
 * handed to request(), answers go back with control_answer(), events to every client that asked to watch.
 * Client side: the same lines the other way round.
 *
 *   caps   CONTROL_CLIENTS clients, CONTROL_LINE_MAX bytes a request, CONTROL_QUEUE_MAX bytes unsent: a
 *          client that does not read is cut off, it never blocks the core */
#ifndef ITO_IO_CONTROL_H
#define ITO_IO_CONTROL_H

#include "io/loop.h"

#define CONTROL_CLIENTS   16
#define CONTROL_LINE_MAX  (10u << 20) /* a whole contacts file to import, quoted */
#define CONTROL_QUEUE_MAX (4u << 20)

struct control;
struct control_client;

typedef void (*control_request_cb)(void *arg, struct control_client *client, const char *line);
typedef void (*control_gone_cb)(void *arg, struct control_client *client);
typedef void (*control_line_cb)(void *arg, const char *line); /* NULL line: the connection ended */

/* A stale socket file without a listener is replaced; a live one is ERR_LOCKED, any other file ERR_REFUSED. */
enum err control_listen(struct io *io, const char *path, control_request_cb request, control_gone_cb gone,
                        void *arg, struct control **out, struct err_detail *detail);
void control_close(struct control *c);
void control_answer(struct control_client *client, const char *line);
void control_set_watching(struct control_client *client, bool is_watching);
void control_broadcast(struct control *c, const char *line);

struct control_link;
/* Connect as a client; ERR_NOT_FOUND when nobody listens there. Lines arrive on the loop. */
enum err control_connect(struct io *io, const char *path, control_line_cb line, void *arg,
                         struct control_link **out);
void control_send(struct control_link *link, const char *line);
void control_disconnect(struct control_link *link);

#endif
