#include "core_xdp.h"

#include "base/mem.h"

static uint32_t add(void *arg, ns_t now, const struct offload_end ends[static 2])
{
    const struct xdp_end e[2] = {{ends[0].client, ends[0].channel, ends[0].port},
                                 {ends[1].client, ends[1].channel, ends[1].port}};

    return xdp_add(arg, now, e);
}

static void renew(void *arg, uint32_t pair, int from, ns_t until, uint64_t allowed_bytes)
{
    xdp_renew(arg, pair, from, until, allowed_bytes);
}

static struct offload_count count(void *arg, uint32_t pair, int from)
{
    struct xdp_count c = xdp_count(arg, pair, from);

    return (struct offload_count){c.packets, c.bytes};
}

static void take_back(void *arg, ns_t now, uint32_t pair, struct offload_count out[static 2])
{
    struct xdp_count c[2];

    xdp_remove(arg, now, pair, c);
    for (int i = 0; i < 2; i++)
        out[i] = (struct offload_count){c[i].packets, c[i].bytes};
}

const struct offload_ops core_xdp_ops = {.add = add, .renew = renew, .count = count, .remove = take_back};

struct xdp *core_xdp_create(const struct config *settings, uint16_t port,
                            void (*say)(void *arg, enum log_level level, const char *line), void *arg)
{
    struct xdp_config config = {.port = port,
                                .max_pairs = 2 * (size_t)config_int(settings, CFG_RELAY_MAX_CALLS),
                                .with_loopback = config_bool(settings, CFG_RELAY_ALLOW_LOCAL)};
    struct xdp_link links[XDP_INTERFACES];
    struct err_detail detail;
    struct xdp *x;
    char *line;

    if (!config_bool(settings, CFG_RELAY_XDP))
        return NULL;
    if (xdp_open(&config, &x, &detail) != ERR_OK) {
        line = mem_printf("relay.xdp: calls are carried without it: %s", detail.text);
        say(arg, LOG_WARN, line);
        mem_free(line);
        return NULL;
    }
    for (size_t i = 0, n = xdp_links(x, links); i < n; i++) {
        line = mem_printf("relay.xdp: %s, %s", links[i].name, links[i].is_native ? "native" : "generic");
        say(arg, LOG_INFO, line);
        mem_free(line);
    }
    return x;
}
