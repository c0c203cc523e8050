/* media/rtp.h - RTP packets (RFC 3550 §5.1) and two payload formats: RED (RFC 2198), telephone-event (RFC 4733).
 *
 *   in     one datagram, already unprotected; or fields to write
 *   out    fields, and a payload that points into the datagram
 *   owner  nobody: nothing is kept
 *   trust  every length is checked; a failed parse leaves the result zeroed
 *   caps   RED_COPIES_MAX copies are read from a RED payload, the oldest first dropped */
#ifndef ITO_MEDIA_RTP_H
#define ITO_MEDIA_RTP_H

#include "base/cursor.h"
#include "base/err.h"

#define RTP_HEADER_BYTES 12
#define RTP_CLOCK_HZ     48000 /* of Opus whatever its bandwidth (RFC 7587 §4.1), and of our events */
#define RTP_PACKET_MAX   1300  /* before protection: stays under every path's MTU, fits a ring slot */
#define RED_COPIES_MAX   4
#define RED_OFFSET_MAX   16383 /* 14 bits of timestamp distance */
#define RED_LENGTH_MAX   1023  /* 10 bits of length: a copy, never the primary */
#define DTMF_BYTES       4

struct rtp_packet {
    uint8_t type; /* payload type, 0..127 */
    bool has_marker;
    uint16_t seq;
    uint32_t ts;
    uint32_t ssrc;
    struct slice payload; /* without padding; borrowed */
};

/* True for bytes that demultiplex as RTCP: second byte 192..223 (RFC 5761 §4). False for anything short. */
bool rtp_is_rtcp(struct slice bytes);

/* Read one packet; CSRCs and a header extension are skipped. ERR_VERSION or ERR_PARSE. */
enum err rtp_parse(struct slice bytes, struct rtp_packet *out);

/* Write a packet; pads with RTP padding up to total_bytes when that is larger (0: no padding), so that
 * every packet of a step has one size. The writer's failure says that it did not fit. */
void rtp_write(struct wr *w, const struct rtp_packet *p, size_t total_bytes);

/* One RED payload: copies, oldest first, and the primary. */
struct red_block {
    uint8_t type;
    uint32_t offset; /* how much older than the packet's timestamp; 0 for the primary */
    struct slice data;
};

struct red {
    unsigned n; /* copies; the primary is not counted */
    struct red_block copy[RED_COPIES_MAX];
    struct red_block primary;
};

/* ERR_PARSE when a length points outside; the copies past RED_COPIES_MAX are dropped, oldest first. */
enum err red_parse(struct slice payload, struct red *out);
void red_write(struct wr *w, const struct red *r);

/* Telephone event, 4 bytes (RFC 4733 §2.3). */
struct dtmf {
    uint8_t event; /* 0..9 digits, 10 *, 11 #, 12..15 A..D */
    bool is_end;
    uint8_t volume;    /* 0..63, -dBm0 */
    uint16_t duration; /* timestamp units since the packet's timestamp */
};

enum err dtmf_parse(struct slice payload, struct dtmf *out);
void dtmf_write(struct wr *w, const struct dtmf *d);
/* Event number of a key, or -1; key of an event number, or 0. */
int dtmf_event(char key);
char dtmf_key(uint8_t event);

#endif
