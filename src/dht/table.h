/* dht/table.h - k-buckets: the nodes we know to live (BEP 5).
 *
 * One bucket for each length of prefix shared with our own id. The first three are wide (128, 64, 32: they save a
 * hop, reference/overlay.md §8), the others hold k. Only nodes that answered us get in; the owner sees to that. A full
 * bucket takes a newcomer in place of, in this order: a contact that failed; one of more than TABLE_PER_NET from one
 * /24 or /48, when the newcomer's network has fewer. Others wait among the spares until a place falls free.
 *
 * An entry is 16 bytes, the contact itself lies in the book; buckets lie one after the other in one array that grows
 * with them. Times are kept to 8 s and wrap after six days: contacts are asked far more often than that.
 *
 *   in     answers (table_seen) and failures (table_failed)
 *   out    contacts by XOR distance; whom to probe next
 *   owner  the node; the book is borrowed
 *   trust  networks are counted for global addresses only: a LAN is one network
 *   caps   max contacts, TABLE_SPARES newcomers waiting */
#ifndef ITO_DHT_TABLE_H
#define ITO_DHT_TABLE_H

#include "base/env.h"
#include "dht/book.h"

#define TABLE_MAX      560
#define TABLE_SPARES   64
#define TABLE_PER_NET  2 /* of a bucket, once it is full */
#define TABLE_FAILS    2 /* failures in a row that make a contact bad */
#define TABLE_WIDE_MAX 128
#define TABLE_TICK_NS  (8 * NS_PER_S)

struct table_entry {
    uint32_t who;       /* in the book */
    uint32_t head;      /* the first 4 bytes of its id: most comparisons end here */
    uint16_t seen_at;   /* last answer, in TABLE_TICK_NS */
    uint16_t probed_at; /* last query sent to it, or its answer */
    uint16_t rtt;       /* in 100 us, saturated */
    uint8_t fails;
    uint8_t answers; /* how often it answered, saturated, for the cache file */
};

struct table {
    struct book *book;
    const uint8_t *own; /* our id, borrowed */
    uint8_t k;
    uint8_t deepest; /* bucket in use */
    uint16_t max, n, cap, n_spares, cap_spares;
    uint8_t count[ID_BITS];
    struct table_entry *entries;
    struct table_entry *spares; /* newest last; fails and answers unused */
};

/* own and book must outlive the table. */
void table_init(struct table *t, struct book *book, const uint8_t *own, unsigned k, unsigned max);
void table_fini(struct table *t);
static inline const struct contact *table_contact(const struct table *t, const struct table_entry *e)
{
    return book_at(t->book, e->who);
}
/* 0: none was measured. */
static inline ns_t table_entry_rtt(const struct table_entry *e)
{
    return e->rtt * 100 * NS_PER_US;
}
/* The moment of its last answer, to TABLE_TICK_NS. */
ns_t table_seen_at(const struct table_entry *e, ns_t now);
/* It answered us: insert or refresh. Another address for a known id, or another id at a known address, replaces what
 * was there: the answer proves the new one. ERR_OK; ERR_FULL: it is among the spares; ERR_REFUSED: our own id. */
enum err table_seen(struct table *t, ns_t now, const struct contact *c, ns_t rtt);
/* It was asked (to order probes). */
void table_probed(struct table *t, ns_t now, const uint8_t id[static ID_BYTES]);
/* A proven query of it came from where we know it to be: no need to probe it soon. */
void table_heard(struct table *t, ns_t now, const uint8_t id[static ID_BYTES], const struct addr *from);
/* It did not answer. After TABLE_FAILS in a row a spare of its bucket takes its place; without a spare it stays, last
 * in every order, until it has failed 5 times. */
void table_failed(struct table *t, ns_t now, const uint8_t id[static ID_BYTES]);
void table_forget(struct table *t, const uint8_t id[static ID_BYTES]);
/* Entries are valid until the table changes. */
const struct table_entry *table_find(const struct table *t, const uint8_t id[static ID_BYTES]);
/* An unknown node with this id would get a place: worth a ping. */
bool table_wants(const struct table *t, const uint8_t id[static ID_BYTES]);
/* At most n contacts that are not bad, nearest to target first; returns how many. */
size_t table_closest(const struct table *t, const uint8_t target[static ID_BYTES],
                     const struct table_entry **out, size_t n);
/* The contact whose last probe is longest ago, and at least `age`; NULL: none. */
const struct table_entry *table_stalest(const struct table *t, ns_t now, ns_t age);
/* A contact by chance; NULL when empty. */
const struct table_entry *table_random(const struct table *t, uint32_t random);
/* Lowest bucket worth filling and not deeper than the deepest one in use, from `from` on; ID_BITS: none. A wide one is
 * from less than k, or 3/8 of its places, on; what comes by itself does the rest. */
unsigned table_room_bucket(const struct table *t, unsigned from);
/* The deepest bucket in use; 0 when empty. */
unsigned table_deepest(const struct table *t);
/* Contacts that are not bad. */
size_t table_live(const struct table *t);
/* Median round trip of at most 64 of them; `otherwise` when there is none. */
ns_t table_rtt(const struct table *t, ns_t otherwise);

#endif
