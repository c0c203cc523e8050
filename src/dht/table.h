/* dht/table.h - k-buckets: the nodes we know to live (BEP 5).
 *
 * One bucket for each length of prefix shared with our own id. The first three are wide (128, 64, 32: they save a
 * hop, reference/overlay.md §8), the others hold k. Only nodes that answered us get in; the owner sees to that. A full
 * bucket takes a newcomer in place of, in this order: a contact that failed; one of more than TABLE_PER_NET from one
 * /24 or /48, when the newcomer's network has fewer. Others wait among the spares until a place falls free.
 *
 *   in     answers (table_seen) and failures (table_failed)
 *   out    contacts by XOR distance; whom to probe next
 *   owner  the node; the pool is allocated once
 *   trust  networks are counted for global addresses only: a LAN is one network
 *   caps   max contacts, TABLE_SPARES newcomers waiting */
#ifndef ITO_DHT_TABLE_H
#define ITO_DHT_TABLE_H

#include "base/env.h"
#include "dht/id.h"

#define TABLE_MAX      560
#define TABLE_SPARES   64
#define TABLE_PER_NET  2 /* of a bucket, once it is full */
#define TABLE_FAILS    2 /* failures in a row that make a contact bad */
#define TABLE_WIDE_MAX 128

/* Whom to send to. */
struct contact {
    uint8_t id[ID_BYTES];
    uint8_t key[32]; /* N; zeros on mainline */
    uint8_t nonce[8];
    struct addr addr;
};

struct table_entry {
    struct contact c;
    uint32_t rtt_us;
    uint32_t answers; /* how often it answered, for the cache file */
    ns_t seen_at;     /* last answer */
    ns_t probed_at;   /* last query sent to it, or its answer */
    uint8_t fails;
    uint8_t bucket;
    bool is_used;
    uint16_t next; /* in its bucket, or among the free; TABLE_NONE ends */
};

struct table_spare {
    struct contact c;
    ns_t seen_at; /* 0: empty */
    uint32_t rtt_us;
};

#define TABLE_NONE 0xffff

struct table {
    uint8_t own[ID_BYTES];
    uint8_t k;
    uint16_t max, n, free;
    uint16_t head[ID_BITS];
    uint8_t count[ID_BITS];
    struct table_entry *pool;
    struct table_spare spares[TABLE_SPARES];
};

void table_init(struct table *t, const uint8_t own[static ID_BYTES], unsigned k, unsigned max);
void table_fini(struct table *t);
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
const struct table_entry *table_find(const struct table *t, const uint8_t id[static ID_BYTES]);
/* An unknown node with this id would get a place: worth a ping. */
bool table_wants(const struct table *t, const uint8_t id[static ID_BYTES]);
/* At most n contacts that are not bad, nearest to target first; returns how many. */
size_t table_closest(const struct table *t, const uint8_t target[static ID_BYTES],
                     const struct table_entry **out, size_t n);
/* The contact whose last probe is longest ago, and before `before`; NULL: none. */
const struct table_entry *table_stalest(const struct table *t, ns_t before);
/* A contact by chance; NULL when empty. */
const struct table_entry *table_random(const struct table *t, uint32_t random);
/* Lowest bucket that has room and is not deeper than the deepest one in use, from `from` on; ID_BITS: none. */
unsigned table_room_bucket(const struct table *t, unsigned from);
/* The deepest bucket in use; 0 when empty. */
unsigned table_deepest(const struct table *t);
/* Contacts that are not bad. */
size_t table_live(const struct table *t);
/* Median round trip of at most 64 of them; `otherwise` when there is none. */
ns_t table_rtt(const struct table *t, ns_t otherwise);

#endif
