#include "core_metrics.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/http.h"

struct core_metrics {
    struct io *io;
    struct app *app;
    struct http *http; /* NULL: off, or it cannot be had */
    char *at;          /* as the settings said last */
};

static char *on_page(void *arg)
{
    struct core_metrics *m = arg;

    return app_metrics(m->app, io_now());
}

struct core_metrics *core_metrics_create(struct io *io, struct app *app)
{
    struct core_metrics *m = mem_alloc(sizeof *m);

    m->io = io;
    m->app = app;
    m->at = mem_str("");
    return m;
}

void core_metrics_destroy(struct core_metrics *m)
{
    if (m == NULL)
        return;
    http_close(m->http);
    mem_free(m->at);
    mem_free(m);
}

void core_metrics_turn(struct core_metrics *m, const struct config *settings)
{
    struct http_config config = {
        .path = "/metrics", .type = "text/plain; version=0.0.4; charset=utf-8", .page = on_page, .arg = m};
    const char *at = config_str(settings, CFG_RELAY_METRICS);
    struct err_detail detail;

    if (strcmp(at, m->at) == 0)
        return;
    http_close(m->http);
    m->http = NULL;
    mem_free(m->at);
    m->at = mem_str(at);
    if (at[0] == '\0' || config_loopback(at, &config.bind) != ERR_OK)
        return;
    if (http_listen(m->io, &config, &m->http, &detail) != ERR_OK)
        log_error(io_env(m->io), "relay.metrics: %s", detail.text);
    else
        log_info(io_env(m->io), "metrics at http://%s/metrics", at);
}
