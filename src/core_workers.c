#include "core_workers.h"

#include "base/mem.h"

struct core_workers {
    struct workers *workers;
    struct flow_table *table;
    bool carries;   /* there are threads */
    uint32_t *back; /* by a pair's first flow, which names it: the other one */
    void (*say)(void *arg, enum log_level level, const char *line);
    void *arg;
};

static uint32_t add(void *arg, ns_t now, const struct offload_end ends[static 2])
{
    struct core_workers *cw = arg;
    uint32_t flows[2];

    (void)now;
    if (ends[0].channel == 0 || ends[1].channel == 0 || ends[0].client.family != ends[1].client.family)
        return 0;
    for (int i = 0; i < 2; i++) {
        struct flow_way way = workers_way(cw->workers, &ends[1 - i].client, ends[1 - i].channel);

        flows[i] = flow_table_add(cw->table, &ends[i].client, ends[i].channel, &way);
    }
    if (flows[0] == 0 || flows[1] == 0) {
        for (int i = 0; i < 2; i++)
            if (flows[i] != 0)
                (void)flow_table_remove(cw->table, flows[i]);
        return 0;
    }
    cw->back[flows[0]] = flows[1];
    return flows[0];
}

static uint32_t flow_of(const struct core_workers *cw, uint32_t pair, int from)
{
    return from == 0 ? pair : cw->back[pair];
}

static void renew(void *arg, uint32_t pair, int from, ns_t until, uint64_t allowed_bytes)
{
    struct core_workers *cw = arg;

    flow_table_lend(cw->table, flow_of(cw, pair, from), until, allowed_bytes);
}

static struct offload_count count(void *arg, uint32_t pair, int from)
{
    struct core_workers *cw = arg;
    struct flow_count c = flow_table_count(cw->table, flow_of(cw, pair, from));

    return (struct offload_count){c.packets, c.bytes};
}

static void take_back(void *arg, ns_t now, uint32_t pair, struct offload_count out[static 2])
{
    struct core_workers *cw = arg;

    (void)now;
    for (int i = 0; i < 2; i++) {
        struct flow_count c = flow_table_remove(cw->table, flow_of(cw, pair, i));

        out[i] = (struct offload_count){c.packets, c.bytes};
    }
}

static struct offload_loss lost(void *arg)
{
    const struct core_workers *cw = arg;
    struct workers_stats s = workers_stats(cw->workers);

    return (struct offload_loss){.unsent = {s.unsent_packets, s.unsent_bytes},
                                 .dropped = {s.dropped_packets, s.dropped_bytes}};
}

const struct offload_ops core_workers_ops = {
    .add = add, .renew = renew, .count = count, .remove = take_back, .lost = lost};

struct core_workers *core_workers_create(const struct config *settings, bool carries, struct io *io,
                                         struct udp *main, struct handover *handover,
                                         void (*say)(void *arg, enum log_level level, const char *line),
                                         void *arg)
{
    size_t max_flows = 4 * (size_t)config_int(settings, CFG_RELAY_MAX_CALLS);
    int fds[FLOW_LOOKERS_MAX], fd;
    struct workers_config config = {.io = io,
                                    .main = main,
                                    .n_threads = (unsigned)config_int(settings, CFG_RELAY_WORKERS) - 1,
                                    .max_flows = max_flows,
                                    .fds = fds};
    struct core_workers *cw;
    struct err_detail detail;
    char *line;

    if (!carries)
        config.n_threads = 0;
    while (config.n_fds < FLOW_LOOKERS_MAX &&
           (fd = handover_port(handover, HANDOVER_WORKER + (uint32_t)config.n_fds)) >= 0)
        fds[config.n_fds++] = fd;
    if (config.n_threads == 0 && config.n_fds == 0)
        return NULL;
    cw = mem_alloc(sizeof *cw);
    cw->say = say;
    cw->arg = arg;
    if (workers_open(&config, &cw->workers, &detail) != ERR_OK) {
        line = mem_printf("relay.workers: calls are carried without them: %s", detail.text);
        say(arg, LOG_WARN, line);
        mem_free(line);
        mem_free(cw);
        return NULL;
    }
    cw->table = workers_table(cw->workers);
    cw->carries = config.n_threads > 0;
    cw->back = mem_array(max_flows + 1, sizeof *cw->back);
    if (cw->carries) {
        line = mem_printf("relay.workers: %u sockets at port %u", config.n_threads + 1, udp_port(main));
        say(arg, LOG_INFO, line);
        mem_free(line);
    }
    return cw;
}

void core_workers_destroy(struct core_workers *cw)
{
    if (cw == NULL)
        return;
    workers_close(cw->workers);
    mem_free(cw->back);
    mem_free(cw);
}

bool core_workers_carry(const struct core_workers *cw)
{
    return cw != NULL && cw->carries;
}

void core_workers_turn(struct core_workers *cw)
{
    if (cw != NULL && workers_start(cw->workers) != ERR_OK)
        cw->say(cw->arg, LOG_ERROR, "relay.workers: a thread cannot be started");
}

void core_workers_stop(struct core_workers *cw)
{
    if (cw != NULL)
        workers_stop(cw->workers, io_now());
}

size_t core_workers_fds(const struct core_workers *cw, int out[static FLOW_LOOKERS_MAX])
{
    return cw != NULL ? workers_fds(cw->workers, out) : 0;
}
