/* app/keepers.h - our caretakers and guards: relays, else full zone nodes, that we hold a link to (THREATS.md §4.3).
 *
 * As caretakers, at most KEEPERS_WANTED of them hold what publish_kept() offers, and put it while we are here and
 * after we left, and watch the drops of requests to us; as guards they look items up for us. So no storing node sees our address. With no link at all for
 * KEEPERS_WAIT_NS our own node puts and gets.
 *
 *   in     the links of app/relays, their messages on CARE_CHAN
 *   out    messages through relays_link_send(); publish_set_ways(), publish_note_stored()
 *   owner  keepers_create(); config is copied, all it points to outlives it
 *   trust  a link's other end is proven, what it says is hearsay: an item counts when its signature is right and its
 *          key the one asked for, and our record is read back
 *   caps   KEEPERS_GETS look-ups at once, KEEPERS_ONCE puts, KEEPERS_LOOKS readings, each with its own end */
#ifndef ITO_APP_KEEPERS_H
#define ITO_APP_KEEPERS_H

#include "app/bridge.h"
#include "app/relays.h"
#include "call/drops.h"
#include "call/publish.h"

#define KEEPERS_WANTED  2
#define KEEPERS_GETS    64
#define KEEPERS_ONCE    8
#define KEEPERS_LOOKS   4               /* drops read at once */
#define KEEPERS_WAIT_NS (15 * NS_PER_S) /* nobody takes care: we put ourselves */
#define KEEPERS_GUARD_NS \
    (6 * NS_PER_S) /* a look-up waits so long for a first guard, counted from the last one */
#define KEEPERS_HEDGE_NS   (2 * NS_PER_S) /* a guard is silent: the next one is asked too */
#define KEEPERS_GET_MAX_NS (10 * NS_PER_S)

struct keepers;

struct keepers_config {
    struct dht *dht;
    struct bridge *bridge; /* look-ups without a guard go over it */
    struct publish *publish;
    struct relays *relays;
    bool puts_itself; /* policy `direct`: our address is in the record anyway */
    /* A caretaker has something for us that lay at a drop. */
    void (*news)(void *arg, ns_t now, const uint8_t drop[static DHT_ID_BYTES]);
    /* Nobody watches our drops any more. */
    void (*unwatched)(void *arg, ns_t now);
    void *arg;
};

struct keepers_stats {
    unsigned caretakers;   /* that hold our record now */
    unsigned guards;       /* links that look up for us */
    bool puts_itself;      /* our own node puts: storing nodes see our address */
    uint64_t gets_guarded; /* look-ups by guards, and by our own node */
    uint64_t gets_direct;
};

struct keepers *keepers_create(const struct keepers_config *config, const struct env *env, ns_t now);
void keepers_destroy(struct keepers *k); /* accepts NULL; before the dht, publish and relays */
/* How items are got through us; *out borrows k. */
void keepers_items(struct keepers *k, struct items_ops *out);
/* How drops are watched and read through us; the same. */
void keepers_drops(struct keepers *k, struct drops_ops *out);
void keepers_set_puts_itself(struct keepers *k, bool puts_itself);
/* A message of link `slot` on CARE_CHAN. */
void keepers_message(struct keepers *k, ns_t now, uint16_t slot, struct slice msg);
/* That link will be given up: what it holds of ours is not to be put any more. */
void keepers_leave(struct keepers *k, ns_t now, uint16_t slot);
/* Links or the table changed: look soon. */
void keepers_wake(struct keepers *k, ns_t now);
void keepers_tick(struct keepers *k, ns_t now);
ns_t keepers_deadline(const struct keepers *k);
void keepers_stats(const struct keepers *k, struct keepers_stats *out);

#endif
