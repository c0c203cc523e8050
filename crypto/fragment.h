/* crypto/fragment.h - what is inside a data datagram: pieces of messages, the replay window, reassembly.
 *
 *   plain of a data datagram, zero-padded to 64·n, 1152 bytes at most (THREATS.md §4.7)
 *   0  1    chan    0: the session's own; 1 SIP, 2 ledger, 3 control, 4 knocks
 *   1  4    msg     number of the message, rising by one for each sender
 *   5  1    frag    from 0, < nfrag
 *   6  1    nfrag   1..16
 *   7  2    len     of data here; all pieces but the last are full (1143)
 *   9  len  data
 *
 *   owner  struct reassembly of its creator; completed messages are borrowed until the next call
 *   trust  pieces are authentic, so they come from a known peer, which may still be hostile
 *   caps   REASSEMBLY_PER_OWNER messages at once for one owner, FRAGMENT_LIFE_NS each; when all slots are taken
 *          the oldest yields */
#ifndef ITO_CRYPTO_FRAGMENT_H
#define ITO_CRYPTO_FRAGMENT_H

#include "base/env.h"

#define PIECE_HEAD_BYTES     9
#define PIECE_PAD_BYTES      64
#define PIECE_PLAIN_MAX      1152
#define PIECE_DATA_MAX       (PIECE_PLAIN_MAX - PIECE_HEAD_BYTES)
#define PIECES_MAX           16
#define FRAGMENT_MESSAGE_MAX (PIECES_MAX * PIECE_DATA_MAX)
#define FRAGMENT_LIFE_NS     (10 * NS_PER_S)
#define REASSEMBLY_PER_OWNER 4
#define REPLAY_WINDOW        2048

struct piece {
    uint8_t chan, frag, nfrag;
    uint32_t msg;
    struct slice data; /* borrowed */
};

/* Write one piece, padded; returns the length. data.len is at most PIECE_DATA_MAX. */
size_t piece_write(const struct piece *p, uint8_t out[static PIECE_PLAIN_MAX]);
/* ERR_PARSE unless all of it is as above. */
enum err piece_parse(struct slice plain, struct piece *out);

/* Counters seen of one sender: each is accepted once, and not at all when REPLAY_WINDOW behind the highest. */
struct replay {
    uint64_t next; /* highest seen + 1 */
    uint64_t bits[REPLAY_WINDOW / 64];
};
bool replay_is_fresh(const struct replay *w, uint64_t counter);
/* After the datagram proved authentic. True when it is the newest so far. */
bool replay_set(struct replay *w, uint64_t counter);

struct reassembly;
struct reassembly *reassembly_create(uint32_t n_slots);
void reassembly_destroy(struct reassembly *a);
/* One piece from an owner (any number that names it). ERR_OK: *msg is whole. ERR_AGAIN: more to come. ERR_DUPLICATE;
 * ERR_PARSE: at odds with the pieces before it, whose message is dropped with it. */
enum err reassembly_put(struct reassembly *a, ns_t now, uint64_t owner, const struct piece *p,
                        struct slice *msg);
/* Drop what an owner has. */
void reassembly_forget(struct reassembly *a, uint64_t owner);
/* Messages given up since the beginning: too old, or pushed out. */
uint64_t reassembly_dropped(const struct reassembly *a);

#endif
