/* relay/dropwatch.h - drops of strangers' requests, watched for clients who are here or away (THREATS.md §4.5).
 *
 * This week's drop is observed, and read when something was put there; last week's is read once a day: in our own name,
 * and in the same way whether the owner is connected or not, so nobody near the drop can tell. What lies there is kept
 * for the owner, who fetches it without a look at the overlay.
 *
 *   in     WATCH messages of clients; what the overlay answers and tells
 *   out    ops.news when there is something to fetch, again until it was fetched
 *   owner  dropwatch_create(); dht, rate and env outlive it
 *   trust  whose drops they are nobody says; a blob counts with REQUEST_BITS of work in it
 *   caps   DROPWATCH_MAX clients, DROPWATCH_BLOBS of each drop (the dearest stay), DROPWATCH_READS at once, the rate */
#ifndef ITO_RELAY_DROPWATCH_H
#define ITO_RELAY_DROPWATCH_H

#include "relay/bucket.h"
#include "relay/care_wire.h"

#define DROPWATCH_MAX    512
#define DROPWATCH_BLOBS  32 /* as many as a node keeps of one drop */
#define DROPWATCH_READS  16
#define DROPWATCH_DAYS   7              /* so long after the client was last heard */
#define DROPWATCH_GAP_NS (5 * NS_PER_S) /* between two readings of one drop */

struct dht;
struct dropwatch;

struct dropwatch_ops {
    void *arg;
    /* Something new was found there for that client. */
    void (*news)(void *arg, const uint8_t account[static KEY_BYTES],
                 const uint8_t drop[static CARE_DROP_BYTES]);
    /* When that client was last heard. */
    ns_t (*heard_at)(void *arg, const uint8_t account[static KEY_BYTES]);
    /* That client is watched for no more. */
    void (*over)(void *arg, const uint8_t account[static KEY_BYTES]);
};

/* What a reading may cost is taken from rate, and what it did not is given back. */
struct dropwatch *dropwatch_create(struct dht *dht, struct bucket *rate, const struct dropwatch_ops *ops,
                                   const struct env *env);
void dropwatch_destroy(struct dropwatch *w); /* accepts NULL */
/* Watch what a WATCH message names, from `at` on; CARE_WHY_NONE, _FULL, or _BAD (another week than ours). Its drops replace those
 * of before; what they held and is named again stays. */
enum care_why dropwatch_set(struct dropwatch *w, ns_t now, ns_t at, const uint8_t account[static KEY_BYTES],
                            const struct care_msg *m);
void dropwatch_stop(struct dropwatch *w, const uint8_t account[static KEY_BYTES]);
/* Hand out what lies at that drop. False: it is not watched for them. */
bool dropwatch_fetch(struct dropwatch *w, const uint8_t account[static KEY_BYTES],
                     const uint8_t drop[static CARE_DROP_BYTES],
                     void (*cb)(void *arg, const uint8_t nonce[static CARE_NONCE_BYTES],
                                const uint8_t blob[static CARE_BLOB_BYTES]),
                     void *arg);
/* Each one as the message that asks for it, for a file. */
void dropwatch_each(const struct dropwatch *w,
                    void (*cb)(void *arg, const uint8_t account[static KEY_BYTES], const struct care_msg *m),
                    void *arg);
unsigned dropwatch_count(const struct dropwatch *w);
/* Something was put at an observed target (dht_events.notify). */
void dropwatch_notified(struct dropwatch *w, ns_t now, const uint8_t target[static CARE_DROP_BYTES]);
void dropwatch_tick(struct dropwatch *w, ns_t now);
ns_t dropwatch_deadline(const struct dropwatch *w);

#endif
