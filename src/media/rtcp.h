/* media/rtcp.h - RTCP compound packets: SR, RR, SDES CNAME, APP, BYE (RFC 3550 §6), and reception arithmetic.
 *
 *   in     one datagram, already unprotected
 *   out    the sender's report and the block that is about us
 *   owner  struct rtcp_source belongs to its embedder; nothing is allocated
 *   trust  figures are the peer's word about its own reception: shown, and steer redundancy within caps
 *   caps   31 blocks a report (5 bits); other packet types are skipped */
#ifndef ITO_MEDIA_RTCP_H
#define ITO_MEDIA_RTCP_H

#include "base/cursor.h"
#include "base/env.h"
#include "base/err.h"

#define RTCP_CNAME_MAX  32
#define RTCP_PACKET_MAX 160 /* what rtcp_write() needs at most */

/* One report block (RFC 3550 §6.4.1). */
struct rtcp_block {
    uint32_t ssrc;
    uint8_t fraction;  /* lost since the last report, /256 */
    int32_t lost;      /* cumulative, 24 bits signed */
    uint32_t highest;  /* extended highest sequence number */
    uint32_t jitter;   /* timestamp units */
    uint32_t last_sr;  /* middle 32 bits of the NTP time of the last SR */
    uint32_t delay_sr; /* since then, 1/65536 s */
};

struct rtcp_report {
    uint32_t ssrc; /* of the sender */
    bool has_sr;   /* the four fields below are set */
    uint64_t ntp;  /* 32.32 fixed point; of the monotonic clock, as RFC 3550 §6.4.1 allows */
    uint32_t ts;
    uint32_t n_packets, n_bytes;
    bool has_block;
    struct rtcp_block block; /* parse: the one about `about` */
    bool
        has_line; /* APP "LINE": what the sender says its own access line loses, so that no relay is blamed for it */
    uint8_t line_lost; /* /256 */
    bool is_bye;
    char cname[RTCP_CNAME_MAX + 1]; /* cut; write: empty means no SDES */
};

/* Read a compound; `about` is our SSRC. ERR_PARSE, ERR_VERSION: nothing of it counts. */
enum err rtcp_parse(struct slice bytes, uint32_t about, struct rtcp_report *out);
/* SR or RR, SDES, and BYE if is_bye. */
void rtcp_write(struct wr *w, const struct rtcp_report *r);

/* Reception of one source (RFC 3550 appendix A.1, A.3, A.8). */
struct rtcp_source {
    bool is_started;
    uint32_t ssrc;
    uint16_t max_seq, base_seq;
    uint32_t cycles; /* shifted by 16 */
    uint32_t n_received;
    uint32_t expected_prior, received_prior;
    double jitter; /* timestamp units */
    int64_t transit;
    uint32_t last_sr; /* 0: none yet */
    ns_t last_sr_at;
};

/* Count one received packet; a new SSRC starts over. Reordered and repeated packets count as received. */
void rtcp_source_packet(struct rtcp_source *s, uint32_t ssrc, uint16_t seq, uint32_t ts, ns_t now);
void rtcp_source_sr(struct rtcp_source *s, uint64_t ntp, ns_t now);
/* The block to send, and the start of the next interval. */
void rtcp_source_block(struct rtcp_source *s, ns_t now, struct rtcp_block *out);
uint32_t rtcp_source_expected(const struct rtcp_source *s);

uint64_t rtcp_ntp(ns_t now);
/* Round-trip time by a block about us: 0 when it names no SR of ours or makes no sense (RFC 3550 §6.4.1). */
ns_t rtcp_rtt(const struct rtcp_block *b, ns_t now);

#endif
