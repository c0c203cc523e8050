/* ui/plain.h - the phone as a dialogue of lines, for screen readers, dumb terminals and pipes (UX.md §8).
 *
 * The same commands and views as the screens, on a grid in memory that nobody sees: what a screen would show
 * becomes lines. An event is one line that starts with CALL, REQUEST, NOTICE, ERROR or ASK; lists are numbered,
 * and a number picks the row that `call`, `allow`, `block`, `delete` and `details` then mean.
 *
 *   in     lines as typed; answers and events of the core
 *   out    lines by say(), without a line end; requests by ui_config.core
 *   owner  plain_create()/plain_destroy(); it owns its struct ui */
#ifndef ITO_UI_PLAIN_H
#define ITO_UI_PLAIN_H

#include "ui/ui.h"

#define PLAIN_PROMPT    "ito> "
#define PLAIN_COLS      100
#define PLAIN_LIST_ROWS 500 /* of a list; what is over is not told */

struct plain;

typedef void (*plain_say_cb)(void *arg, const char *line);

struct plain *plain_create(const struct ui_config *config, const struct env *env, ns_t now, plain_say_cb say,
                           void *arg);
void plain_destroy(struct plain *p); /* NULL is fine */
void plain_line(struct plain *p, const char *text, ns_t now);
/* Nobody will type any more. */
void plain_end(struct plain *p);
void plain_answer(struct plain *p, const char *json, ns_t now);
void plain_event(struct plain *p, const char *json, ns_t now);
void plain_core_lost(struct plain *p, const char *text, ns_t now);
bool plain_wants_quit(const struct plain *p);

#endif
