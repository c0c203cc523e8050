/* app/bridge.h - items in two overlays at once: the zone and the public BitTorrent DHT (DESIGN.md §5; overlay.md §7).
 *
 * A relay or full node carries its clients' items and look-ups over it in its own name, so that they have both networks
 * and show their address in neither. A phone goes over it itself only when it has no guard, and puts only when its
 * addresses are in its record anyway (policy `direct`).
 *
 *   in     items_ops calls
 *   out    dht_get(), dht_put() in the zone; mainline_get(), mainline_put(); values and one done
 *   owner  bridge_create(); the dht outlives it, of mainline bridge_set_mainline() tells
 *   trust  an item has a right signature for the key, nothing more. A value of either is handed out at once, better ones
 *          after it; the zone has the last word: mainline alone may be old
 *   caps   BRIDGE_OPS at once */
#ifndef ITO_APP_BRIDGE_H
#define ITO_APP_BRIDGE_H

#include "app/mainline.h"
#include "dht/items.h"

#define BRIDGE_OPS 128

struct bridge;

struct bridge_stats {
    uint64_t n_gets, n_puts;               /* over both */
    uint64_t n_found_beyond, n_put_beyond; /* look-ups only mainline had a value for; items it took */
};

struct bridge *bridge_create(struct dht *zone);
void bridge_destroy(struct bridge *b); /* accepts NULL; no callback any more */
/* NULL: the zone alone; what runs there is given up. */
void bridge_set_mainline(struct bridge *b, struct mainline *m);
/* Over both, gets and puts; *out borrows b. A put is ERR_OK when the zone took it: an item that only mainline took has
 * acks and another error, and is put again soon. */
void bridge_items(struct bridge *b, struct items_ops *out);
/* The same for what is our own: puts go beyond the zone only while puts_beyond. */
void bridge_own_items(struct bridge *b, struct items_ops *out);
void bridge_set_puts_beyond(struct bridge *b, bool puts_beyond);
/* Is there anybody to ask, in either? */
bool bridge_is_joined(const struct bridge *b);
void bridge_stats(const struct bridge *b, struct bridge_stats *out);

#endif
