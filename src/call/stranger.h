/* call/stranger.h - requests: ours to people who have not allowed us, and strangers' to us (THREATS.md §4.5).
 *
 * Sending: seal, work, put at the drop of the person's week. "Sent" means overlay nodes stored it; the callee
 * takes no part. Work is done in slices of a tick, so that no loop is blocked. Receiving: caretakers watch our drops
 * and tell of news; where there is none, the drop of this week is observed and read when something lies there, last
 * week's once a day. Only a device that holds `a` reads.
 *
 *   in     keyring, one overlay node; who reads drops for us: whoever stores ours knows whose it is, and is not to
 *          see our address (THREATS.md §4.5)
 *   out    ops.request for each request that opened, once for each blob; ops of a sending when it is stored
 *   owner  stranger_create(); dht and keyring outlive it
 *   trust  what ops.request gets is sealed to us with a checked certificate; whether the sender is blocked, known
 *          or new is the owner's to say
 *   caps   STRANGER_SENDING at once, STRANGER_SEEN blobs remembered */
#ifndef ITO_CALL_STRANGER_H
#define ITO_CALL_STRANGER_H

#include "call/drops.h"
#include "crypto/keystore.h"
#include "crypto/request.h"
#include "crypto/zone.h"
#include "dht/dht.h"

#define STRANGER_SENDING     8
#define STRANGER_SEEN        256
#define STRANGER_WORK_TRIES  20000 /* a slice of proof of work: about 10 ms */
#define STRANGER_STORED_MIN  1     /* nodes that must have stored it: 3, or all if fewer */
#define STRANGER_SEND_MAX_NS (120 * NS_PER_S)

struct stranger;

struct stranger_ops {
    void *arg;
    void (*request)(void *arg, const struct request *r);
};

/* ERR_OK: stored. ERR_TIMEOUT: no node answered, ERR_FULL: too many are being sent, ERR_AUTH: `to` is no key. */
typedef void (*stranger_sent_cb)(void *arg, enum err e);

struct stranger *stranger_create(struct dht *dht, const struct keyring *keys, const uint8_t zone_id[static 8],
                                 const struct stranger_ops *ops, const struct env *env);
void stranger_destroy(struct stranger *x);
/* name and note as request_seal() wants them; tells_old: with the proof whom we follow, when we follow somebody;
 * cb may be NULL and is never called from within. */
enum err stranger_send(struct stranger *x, ns_t now, const uint8_t to[static KEY_BYTES], const char *name,
                       const char *note, bool wants_contact, bool tells_old, stranger_sent_cb cb, void *arg);
/* Who reads our drops; copied. Before, they are not read. */
void stranger_set_drops(struct stranger *x, const struct drops_ops *drops);
/* net.findable and requests.accept: read our drop or not. */
void stranger_set_listening(struct stranger *x, ns_t now, bool is_listening);
/* There is something new at an observed target, or at a watched one. */
void stranger_notified(struct stranger *x, ns_t now, const uint8_t target[static DROP_ID_BYTES]);
/* Who watched for us is gone. */
void stranger_unwatched(struct stranger *x, ns_t now);
void stranger_tick(struct stranger *x, ns_t now);
ns_t stranger_deadline(const struct stranger *x);

#endif
