/* core_metrics.h - `relay.metrics`: the counters of a core as a page for Prometheus, while the setting says so.
 *
 *   owner  core.c; the app given outlives it
 *   trust  see io/http.h: programs of this machine only */
#ifndef ITO_CORE_METRICS_H
#define ITO_CORE_METRICS_H

#include "app/app.h"
#include "io/loop.h"

struct core_metrics;

struct core_metrics *core_metrics_create(struct io *io, struct app *app);
void core_metrics_destroy(struct core_metrics *m); /* NULL is fine */
/* Listen where the settings say now, or no longer. What cannot be had is told once, and the core goes on. */
void core_metrics_turn(struct core_metrics *m, const struct config *settings);

#endif
