/* media/srtp.h - SRTP and SRTCP under AEAD_AES_128_GCM (RFC 7714) by libsrtp2: both directions of one stream.
 *
 *   in     two keys of SRTP_KEY_BYTES, key16 then salt12 (THREATS.md §4.10), packets in their buffers
 *   owner  the caller of srtp_pair_create(); one pair belongs to one thread
 *   trust  what unprotect lets pass is from the holder of the key and no replay (window 128); the first
 *          SSRC that passes is pinned, others are ERR_REFUSED: a peer cannot make us hold more streams
 *   caps   two receiving contexts (old and new key) for SRTP_OVERLAP_NS after a rekey
 *
 * The first pair of a process initialises libsrtp2, 31 ms with NSS: make it before it matters. */
#ifndef ITO_MEDIA_SRTP_H
#define ITO_MEDIA_SRTP_H

#include "base/env.h"
#include "base/err.h"

#define SRTP_KEY_BYTES     28
#define SRTP_GROWTH_BYTES  16 /* RTP: the tag */
#define SRTCP_GROWTH_BYTES 20 /* RTCP: tag, E bit and index */
#define SRTP_OVERLAP_NS    (2 * NS_PER_S)

struct srtp_pair;

/* Load the library now (idempotent, thread-safe): in a worker at start, or when a call begins. */
void srtp_warm_up(void);

struct srtp_pair *srtp_pair_create(const uint8_t tx_key[static SRTP_KEY_BYTES],
                                   const uint8_t rx_key[static SRTP_KEY_BYTES]);
void srtp_pair_destroy(struct srtp_pair *p);

/* New keys (either may be NULL: kept). The old receiving key stays valid for SRTP_OVERLAP_NS. */
void srtp_pair_rekey(struct srtp_pair *p, const uint8_t *tx_key, const uint8_t *rx_key, ns_t now);

/* In place; *len grows by the growth above, and cap says how much buf holds. RTCP is told from RTP by its
 * second byte. ERR_RANGE: no room; ERR_REPLAY: this sequence number went out before; ERR_PARSE. */
enum err srtp_pair_protect(struct srtp_pair *p, uint8_t *buf, size_t *len, size_t cap);
/* In place. ERR_AUTH, ERR_REPLAY (repeated or too old), ERR_REFUSED (another SSRC), ERR_PARSE. */
enum err srtp_pair_unprotect(struct srtp_pair *p, uint8_t *buf, size_t *len, ns_t now);

#endif
