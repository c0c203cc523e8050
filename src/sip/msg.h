/* sip/msg.h - SIP messages: bytes to osip's struct and back, with the checks osip leaves out.
 *
 * Incoming bytes are measured before osip sees them (size, lines, stray control characters, the blank line), and
 * what it accepted is checked again after: libosip2 takes a request without any header, a body shorter than its
 * Content-Length, a negative one. Outgoing messages are composed as text and parsed once by osip, so that what
 * a transaction sends again is exactly what was written.
 *
 *   in     bytes; or a request to answer; all texts given are checked not to break a line
 *   out    an osip_message_t, freed with osip_message_free()
 *   owner  the caller owns every message returned
 *   trust  a message that passed has From, To, Call-ID, CSeq, Via with a host, a version we speak, a
 *          Content-Length that is true; nothing is said about what they mean
 *   caps   SIP_MESSAGE_MAX_BYTES, SIP_HEADERS_MAX, SIP_HOPS_MAX Via, Route, Record-Route entries */
#ifndef ITO_SIP_MSG_H
#define ITO_SIP_MSG_H

#include <osipparser2/osip_message.h>

#include "base/cursor.h"
#include "base/err.h"
#include "sip/ua.h"

#define SIP_HOPS_MAX    16
#define SIP_TOKEN_BYTES 32 /* room for any tag, branch or Call-ID of ours, NUL included */

/* Silence osip, give it our allocator. Cheap; before anything else of osip. */
void sip_msg_setup(void);

/* ERR_OK: *out is the message. ERR_REFUSED: *out is a request that may be answered with *code (400, 505,
 * 513...) and nothing else. ERR_PARSE, ERR_RANGE: to be dropped, *out is NULL. */
enum err sip_msg_parse(struct slice bytes, osip_message_t **out, int *code);
/* The checks after osip: ERR_OK, ERR_REFUSED or ERR_PARSE as above. body_bytes: what came after the blank line. */
enum err sip_message_check(const osip_message_t *msg, size_t body_bytes, int *code);

uint32_t sip_msg_cseq(const osip_message_t *msg);
/* The tag of a From or To, "" when there is none. */
const char *sip_tag(const osip_from_t *from);
/* The branch of the topmost Via, "" when there is none. */
const char *sip_branch(const osip_message_t *msg);
/* What makes a retransmission the same request (RFC 3261 §17.2.3, and for branches of older phones): branch,
 * sent-by, Call-ID, From tag, CSeq number. ACK, CANCEL and their INVITE have one key. Allocated. */
char *sip_msg_key(const osip_message_t *msg);
/* sip: or sips:, with a host. */
bool sip_uri_is_sip(const osip_uri_t *uri);
/* A SIP URI of ours; NULL when it is none, or could not stand between < and >. Free with osip_uri_free(). */
osip_uri_t *sip_uri_parse(const char *text);
/* As text that can stand between < and >, allocated; NULL when it cannot. */
char *sip_uri_text(const osip_uri_t *uri);
/* The body of this type ("application", "sdp"), also as a part of a multipart; empty when there is none. */
struct slice sip_msg_body(const osip_message_t *msg, const char *type, const char *subtype);
/* The first header of that name among those osip keeps as text. */
const char *sip_msg_header(const osip_message_t *msg, const char *name);
const char *sip_reason(int code);

/* Printable without line breaks, 1 to max bytes. */
bool sip_is_line(const char *text, size_t max_bytes);
bool sip_is_token(const char *text);
/* A random text of lower-case letters and digits, 96 bits. */
void sip_random_token(const struct env *env, char out[static SIP_TOKEN_BYTES]);

/* "Name: value\r\n"; nothing for a NULL value. */
void sip_put(struct wr *w, const char *name, const char *value);
void sip_put_u32(struct wr *w, uint32_t v);
/* Each entry of an osip list as a header of its own; to_str is osip's. */
void sip_put_list(struct wr *w, const char *name, const osip_list_t *list,
                  int (*to_str)(const void *, char **));
/* The owner's extra headers; marks the writer as failed when one would break the message. */
void sip_put_extra(struct wr *w, const struct ua_header *extra, size_t n_extra);
/* Content-Type, Content-Length, blank line, body. */
void sip_put_body(struct wr *w, const char *type, struct slice body);
/* Status line, Via, From, To (with to_tag when the request has none), Call-ID, CSeq, and Record-Route where a
 * dialog may begin. */
void sip_put_response(struct wr *w, const osip_message_t *req, int code, const char *reason,
                      const char *to_tag);
/* What was written, as a message; NULL when the writer failed or it is longer than SIP_MESSAGE_MAX_BYTES. */
osip_message_t *sip_finish(const struct wr *w);

#endif
