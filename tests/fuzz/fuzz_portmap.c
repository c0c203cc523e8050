/* Whatever a gateway says, in whatever order: the mapping has an outside address exactly when it is MAPPED, and
 * there is always a next moment or an end. Input: records of len1 bytes. */
#include <stdlib.h>

#include "nat/portmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    enum portmap_state state;
};

static void no_send(void *arg, const struct addr *to, struct slice bytes)
{
    (void)arg;
    (void)to;
    (void)bytes;
}

static void fixed_random(void *world, void *out, size_t n)
{
    (void)world;
    memset(out, 'n', n);
}

static void now_or_never(void *world, env_defer_cb cb, void *arg)
{
    (void)world;
    cb(arg);
}

static void on_state(void *arg, ns_t now, enum portmap_state state, const struct addr *outside)
{
    (void)now;
    ((struct world *)arg)->state = state;
    if ((outside->family != ADDR_NONE) != (state == PORTMAP_MAPPED))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct env_ops env_ops = {.random = fixed_random, .defer = now_or_never};
    static const struct portmap_ops ops = {no_send, on_state};
    const uint8_t gateway_ip[4] = {192, 168, 1, 1}, own_ip[4] = {192, 168, 1, 2};
    struct portmap_config c = {.gateway = addr_v4(gateway_ip, PORTMAP_PORT),
                               .inside = addr_v4(own_ip, 0x6e6e)};
    struct world world = {0};
    struct env env = {&env_ops, &world};
    struct portmap *p = portmap_create(&c, &ops, &world, &env);
    ns_t now = 1;

    portmap_start(p, now);
    while (size > 0) {
        size_t n = data[0] < size - 1 ? data[0] : size - 1;

        (void)portmap_input(p, now, &c.gateway, slice_of(data + 1, n));
        now += NS_PER_S;
        if (portmap_deadline(p) <= now)
            portmap_tick(p, now);
        if (portmap_deadline(p) <= now)
            abort();
        data += n + 1;
        size -= n + 1;
    }
    portmap_destroy(p);
    return 0;
}
