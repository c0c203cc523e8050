/* call/publish.h - our own records in the overlay: one `dev` item, and a card for each contact that needs one.
 *
 * Puts are made when something changed (after PUBLISH_SETTLE_NS of quiet: never before addresses and proxies have
 * settled), at a random minute of each hour, and for the next epoch too in the last two hours of this one.
 * Until caretakers exist (THREATS.md §4.3) the owner puts its items itself.
 *
 *   in     keyring, contacts' pair secrets, proxies with tokens, addresses (policy `direct` only)
 *   out    items by dht_put()
 *   owner  publish_create(); the dht and keyring outlive it
 *   caps   PUBLISH_CARDS_MAX cards in one round, PUBLISH_AT_ONCE puts in flight */
#ifndef ITO_CALL_PUBLISH_H
#define ITO_CALL_PUBLISH_H

#include "crypto/item.h"
#include "crypto/keystore.h"
#include "dht/dht.h"

#define PUBLISH_SETTLE_NS (300 * NS_PER_MS)
#define PUBLISH_CARDS_MAX 64
#define PUBLISH_AT_ONCE   8

struct publish;

/* What stands in the `dev` record. */
struct publish_place {
    uint8_t n_relays, n_addrs;
    struct relay_entry relays[RECORD_RELAYS_MAX];
    struct addr addrs[RECORD_ADDRS_MAX];
};

struct publish_stats {
    uint64_t puts, acks, failures;
    bool is_published; /* the current record was stored by at least one node */
};

typedef void (*publish_stored_cb)(void *arg);

struct publish *publish_create(struct dht *dht, const struct keyring *keys, const struct env *env);
void publish_destroy(struct publish *p);
/* Called each time the current `dev` record was stored. */
void publish_on_stored(struct publish *p, publish_stored_cb cb, void *arg);
/* The place changed. An empty one is published too: it says "no way in right now". */
void publish_set_place(struct publish *p, ns_t now, const struct publish_place *place);
/* S, gen or the device changed: everything again. */
void publish_keys_changed(struct publish *p, ns_t now);
/* The secrets (T or X_I) cards stand under; those new since last time are put soon. At most PUBLISH_CARDS_MAX. */
void publish_set_cards(struct publish *p, ns_t now, const uint8_t (*secrets)[KEY_BYTES], size_t n);
void publish_tick(struct publish *p, ns_t now);
ns_t publish_deadline(const struct publish *p);
void publish_stats(const struct publish *p, struct publish_stats *out);

#endif
