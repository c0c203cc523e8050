/* relay/care.h - what a relay or full zone node does for its clients in the overlay (THREATS.md §4.3): it puts their
 * signed items, while they are here and after they left (caretaker), and looks keys up in its own name (guard). So
 * no storing node learns the address of who owns or seeks a record, or of whose requests lie at a drop.
 *
 * It watches where requests to them are left, also after they left (dropwatch.h).
 *
 *   in     care_wire messages of clients; the overlay's answers
 *   out    items by config.items, each first soon and then at a random minute of each hour; ops.say
 *   owner  care_create(); the dht and env must outlive it
 *   trust  clients are proven by their session (account); an item counts when its signature is right. What is in it
 *          we cannot read, nor whose it is beyond the account
 *   caps   max_clients, CARE_SLOTS items of a client, CARE_ITEMS_MAX in all, CARE_V_MAX bytes each, kbps for all
 *          puts and gets, CARE_PER_MIN messages of a client, CARE_GETS look-ups at once, CARE_GETS_PER_CLIENT */
#ifndef ITO_RELAY_CARE_H
#define ITO_RELAY_CARE_H

#include "dht/items.h"
#include "relay/care_wire.h"

#define CARE_CLIENTS_MAX      4096
#define CARE_CLIENTS_NODE     16 /* of a full zone node that is no relay */
#define CARE_ITEMS_MAX        8192
#define CARE_ONCE_MAX         16 /* puts without keeping, of one client at a time */
#define CARE_GETS             32
#define CARE_GETS_PER_CLIENT  12
#define CARE_LOOKS            16 /* readings of drops at once, CARE_LOOKS_PER_CLIENT of one */
#define CARE_LOOKS_PER_CLIENT 2
#define CARE_PER_MIN          240
#define CARE_PUTS_AT_ONCE     8
#define CARE_STATE_MAX        (10 << 20)  /* bytes of care_save() at most */
#define CARE_AFTER_S          7200        /* CARE_FLAG_HERE: so long after the client left */
#define CARE_AHEAD_S          (9 * 86400) /* items for later than that are not taken */
#define CARE_NODE_KBPS        64          /* of a node that is no relay; a relay: 5 % of relay.max_kbps */

struct care;

struct care_config {
    struct dht *dht;        /* zone time, and drops */
    struct items_ops items; /* who puts and gets items: the dht itself, or it and the public DHT */
    uint32_t max_clients;
    uint32_t kbps;
};

struct care_ops {
    void (*say)(void *arg, uint64_t session_ref, struct slice bytes);
    /* When something last came by that session: who was cut off says no goodbye. */
    ns_t (*heard_at)(void *arg, uint64_t session_ref);
};

struct care_stats {
    uint32_t clients, items, gets; /* now */
    uint64_t puts, puts_failed, gets_done, refused, malformed;
};

struct care *care_create(const struct care_config *config, const struct care_ops *ops, void *arg,
                         const struct env *env);
void care_destroy(struct care *c); /* accepts NULL */
/* A message on CARE_CHAN of a session whose client proved `account`. */
void care_message(struct care *c, ns_t now, uint64_t session_ref, const uint8_t account[static KEY_BYTES],
                  struct slice bytes);
/* What is kept, for care_load() after a restart; the caller frees it with mem_free(). care_is_changed() says whether
 * anything changed since. */
uint8_t *care_save(struct care *c, size_t *len);
bool care_is_changed(const struct care *c);
/* Its owners count as having left when they were last heard. ERR_PARSE: not such a file, or damaged; what stands before
 * the damage is taken. Items that are over, or whose signature is wrong, are left out. */
enum err care_load(struct care *c, ns_t now, struct slice bytes);
/* Its items with CARE_FLAG_HERE go on for CARE_AFTER_S, the others until their time is over. */
void care_closed(struct care *c, ns_t now, uint64_t session_ref);
/* Something was put at an observed target (dht_events.notify). */
void care_notified(struct care *c, ns_t now, const uint8_t target[static DHT_ID_BYTES]);
void care_tick(struct care *c, ns_t now);
ns_t care_deadline(const struct care *c);
void care_set_kbps(struct care *c, uint32_t kbps);
void care_stats(const struct care *c, struct care_stats *out);

#endif
