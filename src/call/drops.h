/* call/drops.h - how drops of requests are watched and read: by caretakers and guards in their own name, or by our own node.
 *
 * watch() is for as long as it is not said again, whether we are there or not; who watches tells of news, which look()
 * then fetches. Where nobody watches, look() has the shape of dht_drop_get(), and of dht_observe() when is_observing;
 * whoever implements it decides who asks (THREATS.md §4.3, §4.5). For items see dht/items.h.
 *
 *   trust  blobs have the proof of work they claim, nothing more */
#ifndef ITO_CALL_DROPS_H
#define ITO_CALL_DROPS_H

#include "dht/items.h"

#define DROPS_WEEKS 3 /* last, this, next */

enum drops_watched {
    DROPS_UNWATCHED,
    DROPS_ASKED, /* somebody may be about to, or does already: not known yet */
    DROPS_WATCHED
};

struct drops_ops {
    void *arg;
    /* Have these watched; drops NULL: none any more. week: the second one's, drop_week(). */
    void (*watch)(void *arg, ns_t now, uint32_t week, const uint8_t (*drops)[DHT_ID_BYTES]);
    enum drops_watched (*watched)(void *arg);
    uint32_t (*look)(void *arg, ns_t now, const uint8_t drop[static DHT_ID_BYTES], bool is_observing,
                     dht_blob_cb blob_cb, dht_done_cb done_cb, void *cb_arg);
    void (*cancel)(void *arg, uint32_t id);
};

#endif
