/* call/items.h - how items of the overlay are looked up: by a guard in its own name, or by our own node.
 *
 * The shape of dht_get() and dht_cancel(); whoever implements it decides who asks (THREATS.md §4.3).
 *
 *   trust  what value_cb gets has a right signature for the key, nothing more */
#ifndef ITO_CALL_ITEMS_H
#define ITO_CALL_ITEMS_H

#include "dht/dht.h"

struct items_ops {
    void *arg;
    /* An id for cancel, or 0: then no callback comes. Callbacks are never made from within. */
    uint32_t (*get)(void *arg, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                    dht_value_cb value_cb, dht_done_cb done_cb, void *cb_arg);
    void (*cancel)(void *arg, uint32_t id);
};

/* The same for drops of requests: the shape of dht_drop_get(), and of dht_observe() when is_observing. */
struct drops_ops {
    void *arg;
    uint32_t (*look)(void *arg, ns_t now, const uint8_t drop[static DHT_ID_BYTES], bool is_observing,
                     dht_blob_cb blob_cb, dht_done_cb done_cb, void *cb_arg);
    void (*cancel)(void *arg, uint32_t id);
};

#endif
