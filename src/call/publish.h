/* call/publish.h - our own records in the overlay: one `dev` item, and a card for each contact that needs one.
 *
 * Two ways, which may go together (THREATS.md §4.3). Tended: what caretakers shall hold is offered as a table of
 * signed items, `dev` for this epoch and the next, cards for as many epochs ahead as there is room; whoever talks
 * to caretakers keeps them equal to it, and puts cards for which there is no room once an hour. Ourselves: puts of
 * our own node, at a random minute of each hour, and for the next epoch too in the last two hours of this one.
 *
 * Anything changes PUBLISH_SETTLE_NS after the last news: never before addresses and proxies have settled. The
 * record is read back after each change and about once an hour; when it is not found it is signed anew and put again.
 *
 *   in     keyring, contacts' pair secrets, proxies with tokens, addresses (policy `direct` only)
 *   out    the table; items by dht_put(), or whoever publish_set_own() named
 *   owner  publish_create(); the dht and keyring outlive it
 *   caps   PUBLISH_CARDS_MAX cards in one round, CARE_SLOTS items in the table, PUBLISH_AT_ONCE puts in flight */
#ifndef ITO_CALL_PUBLISH_H
#define ITO_CALL_PUBLISH_H

#include "dht/items.h"
#include "crypto/item.h"
#include "crypto/keystore.h"
#include "relay/care_wire.h"

#define PUBLISH_SETTLE_NS   (300 * NS_PER_MS)
#define PUBLISH_EMPTY_NS    (10 * NS_PER_S) /* so long without a way in, before the record says so */
#define PUBLISH_CARDS_MAX   64
#define PUBLISH_AT_ONCE     8
#define PUBLISH_CARD_EPOCHS 8          /* e .. e+7 */
#define PUBLISH_SPREAD_S    (8 * 3600) /* so much earlier or later than it must a key of a day comes or goes */

struct publish;

/* What stands in the `dev` record. */
struct publish_place {
    uint8_t n_relays, n_addrs;
    struct relay_entry relays[RECORD_RELAYS_MAX];
    struct addr addrs[RECORD_ADDRS_MAX];
};

struct publish_stats {
    uint64_t puts, acks, failures;
    uint64_t checks, missed; /* reading back */
    bool is_published;       /* the current record was stored by at least one node */
    bool is_read_back;       /* and found there */
};

/* One item that caretakers shall hold. */
struct publish_kept {
    uint32_t version;        /* 0: none; another number: another item */
    uint8_t flags;           /* CARE_FLAG_HERE for `dev` */
    int64_t from_s, until_s; /* zone time in which it is put */
    struct item item;
};

struct publish *publish_create(struct dht *dht, const struct keyring *keys, const struct env *env);
void publish_destroy(struct publish *p);
/* Who looks our own record up, to see that it is there; copied. Without, it is not read back. */
void publish_set_items(struct publish *p, const struct items_ops *items);
/* Who puts when our own node does, if not the dht itself; copied. Before the first put. */
void publish_set_own(struct publish *p, const struct items_ops *own);
/* Are there caretakers; and does our own node put (policy `direct`, or nobody takes care). Neither at first. */
void publish_set_ways(struct publish *p, ns_t now, bool is_tended, bool puts_itself);
/* The place changed. An empty one is published too: it says "no way in right now". */
void publish_set_place(struct publish *p, ns_t now, const struct publish_place *place);
/* S, gen or the device changed: everything again. */
void publish_keys_changed(struct publish *p, ns_t now);
/* The secrets (T or X_I) cards stand under; those new since last time are put soon. At most PUBLISH_CARDS_MAX. */
void publish_set_cards(struct publish *p, ns_t now, const uint8_t (*secrets)[KEY_BYTES], size_t n);
/* Slot 0..CARE_SLOTS-1 of the table, valid until the next publish_ call. */
const struct publish_kept *publish_kept(const struct publish *p, size_t slot);
/* A caretaker says that n nodes hold what stands in that slot as that version. */
void publish_note_stored(struct publish *p, ns_t now, size_t slot, uint32_t version, unsigned n);
/* A card without room in the table that is due: the item, to be put once. Returns its handle for
 * publish_once_done(), 0 when there is none. */
uint32_t publish_next_once(struct publish *p, ns_t now, struct item *out);
void publish_once_done(struct publish *p, ns_t now, uint32_t handle, bool is_stored);
/* We sit elsewhere, or slept: everything is signed anew and put again. */
void publish_refresh(struct publish *p, ns_t now);
void publish_tick(struct publish *p, ns_t now);
ns_t publish_deadline(const struct publish *p);
void publish_stats(const struct publish *p, struct publish_stats *out);

#endif
