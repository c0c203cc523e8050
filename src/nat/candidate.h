/* nat/candidate.h - ICE candidate: what it is, how it ranks (RFC 8445 §5.1), how it is written (RFC 8839 §5.1).
 *
 * One component only: RTP and RTCP share it (RFC 5761), so the component on the wire is always 1.
 *
 *   trust  a parsed candidate is a peer's claim; which claims are acted on is ice.h's matter
 *   caps   CANDIDATE_TEXT_BYTES a line; host names (also *.local) and TCP candidates are refused */
#ifndef ITO_NAT_CANDIDATE_H
#define ITO_NAT_CANDIDATE_H

#include "base/addr.h"

#define CANDIDATE_FOUNDATION_BYTES 33 /* 1..32 characters of A-Z a-z 0-9 + / and a NUL */
#define CANDIDATE_TEXT_BYTES       256

enum candidate_type { CANDIDATE_HOST, CANDIDATE_SRFLX, CANDIDATE_PRFLX, CANDIDATE_RELAYED };

struct candidate {
    enum candidate_type type;
    struct addr addr;    /* where packets are sent to reach it */
    struct addr related; /* raddr and rport: the base, or for a relayed one the mapped address; or none */
    uint8_t base;        /* local candidates: the number ice_ops.send() and ice_input() know the way by */
    uint32_t priority;   /* 1..2^31-1 */
    char foundation[CANDIDATE_FOUNDATION_BYTES];
};

/* A local candidate with priority and foundation filled in. preference: 65535 for the first address of a kind,
 * less for later ones (RFC 8445 §5.1.2.1); related may be NULL, and is then written as 0.0.0.0:9. */
struct candidate candidate_make(enum candidate_type type, const struct addr *addr, const struct addr *related,
                                uint8_t base, uint16_t preference);
/* (type preference << 24) + (preference << 8) + 255, RFC 8445 §5.1.2.1. */
uint32_t candidate_priority(enum candidate_type type, uint16_t preference);
/* Pair priority of the controlling and the controlled side's candidates, RFC 8445 §6.1.2.3. */
uint64_t candidate_pair_priority(uint32_t controlling, uint32_t controlled);

/* The value of a=candidate, with or without "candidate:" in front:
 *   candidate:F 1 udp PRI IP PORT typ host|srflx|prflx|relay [raddr IP rport PORT] [name value]...
 * ERR_PARSE: malformed. ERR_UNSUPPORTED: well-formed, but TCP, another component, or a host name. */
enum err candidate_parse(struct slice text, struct candidate *out);
/* Writes "candidate:..." and returns out. */
const char *candidate_print(const struct candidate *c, char out[static CANDIDATE_TEXT_BYTES]);
const char *candidate_type_name(enum candidate_type type); /* "host", "srflx", "prflx", "relay" */

#endif
