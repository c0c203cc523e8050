#include "dht/items.h"

static uint32_t get(void *arg, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                    dht_value_cb value_cb, dht_done_cb done_cb, void *cb_arg)
{
    return dht_get(arg, now, key, min_seq, value_cb, done_cb, cb_arg);
}

static uint32_t put(void *arg, ns_t now, const struct item *item, dht_done_cb done_cb, void *cb_arg)
{
    return dht_put(arg, now, item, done_cb, cb_arg);
}

static void cancel(void *arg, uint32_t id)
{
    dht_cancel(arg, id);
}

void dht_items(struct dht *d, struct items_ops *out)
{
    *out = (struct items_ops){.arg = d, .get = get, .put = put, .cancel = cancel};
}
