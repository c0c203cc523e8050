/* dht/items.h - how items of the overlay are put and got, whoever does it: our own node, a guard in its own name, a
 * bridge over two overlays.
 *
 * The shapes of dht_get(), dht_put() and dht_cancel(), and their promises about callbacks.
 *
 *   trust  what value_cb gets has a right signature for the key, nothing more */
#ifndef ITO_DHT_ITEMS_H
#define ITO_DHT_ITEMS_H

#include "dht/dht.h"

struct items_ops {
    void *arg;
    /* An id for cancel, or 0: then no callback comes. Callbacks are never made from within. */
    uint32_t (*get)(void *arg, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                    dht_value_cb value_cb, dht_done_cb done_cb, void *cb_arg);
    /* The same. NULL: only gets. */
    uint32_t (*put)(void *arg, ns_t now, const struct item *item, dht_done_cb done_cb, void *cb_arg);
    void (*cancel)(void *arg, uint32_t id);
};

/* By this node, in its own name; *out borrows d. */
void dht_items(struct dht *d, struct items_ops *out);

#endif
