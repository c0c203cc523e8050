/* call/drops.h - how drops of requests are read: by a guard in its own name, or by our own node.
 *
 * The shape of dht_drop_get() and dht_cancel(), and of dht_observe() when is_observing; whoever implements it decides
 * who asks (THREATS.md §4.3). For items see dht/items.h.
 *
 *   trust  blobs have the proof of work they claim, nothing more */
#ifndef ITO_CALL_DROPS_H
#define ITO_CALL_DROPS_H

#include "dht/items.h"

struct drops_ops {
    void *arg;
    uint32_t (*look)(void *arg, ns_t now, const uint8_t drop[static DHT_ID_BYTES], bool is_observing,
                     dht_blob_cb blob_cb, dht_done_cb done_cb, void *cb_arg);
    void (*cancel)(void *arg, uint32_t id);
};

#endif
