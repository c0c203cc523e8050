/* call/locate.h - from a contact to where it can be reached: card, then the record of each device (THREATS.md §4.3).
 *
 * Without S the card at the pair secret T is looked up first; it carries S and the device list. With S the `dev`
 * record of every listed device is looked up, in the epoch of zone time and then its neighbours. What does not
 * open is a squatter's: the search goes on.
 *
 *   in     what is known of the contact; one overlay node for its time, and who looks items up
 *   out    ops.card when S or the list is news, ops.record for each device found, ops.done once
 *   owner  the caller of locate_start(); everything given is copied; locate_stop() before destroying the dht
 *   trust  records were sealed under S or T by somebody who has it, and their item is signed by the blinded key;
 *          device lists are signed by the identity. Relay keys are valid points. Addresses are hearsay
 *   caps   DEVICES_MAX devices, LOCATE_MAX_NS from start to end */
#ifndef ITO_CALL_LOCATE_H
#define ITO_CALL_LOCATE_H

#include "base/env.h"
#include "dht/items.h"
#include "crypto/item.h"

#define LOCATE_MAX_NS (10 * NS_PER_S)

struct locate;

struct locate_who {
    uint8_t A[KEY_BYTES];
    uint8_t T[KEY_BYTES];    /* pair secret, or X_I of an invite: what cards are sealed under */
    uint8_t skip[KEY_BYTES]; /* Q of a device that is not looked for: this one; zero: none */
    bool has_S;
    uint8_t S[KEY_BYTES];
    bool has_devices;
    struct device_list devices;
};

struct locate_ops {
    void *arg;
    /* A card opened: S of that generation, and the list as it stands there. */
    void (*card)(void *arg, uint32_t S_gen, const uint8_t S[static KEY_BYTES],
                 const struct device_list *list);
    /* Where one device is; list is the one in the record (its gen may be newer). */
    void (*record)(void *arg, const struct device_entry *device, const struct dev_record *record,
                   const struct device_list *list);
    /* ERR_OK: at least one record; ERR_NOT_FOUND: S is known, no record; ERR_REFUSED: no S and no card;
     * ERR_TIMEOUT: the overlay has nobody to ask. The object is gone when this returns. */
    void (*done)(void *arg, enum err e);
};

struct locate *locate_start(struct dht *dht, const struct items_ops *items, ns_t now,
                            const struct locate_who *who, const struct locate_ops *ops,
                            const struct env *env);
/* No callback from now on. NULL is fine. */
void locate_stop(struct locate *l);

#endif
