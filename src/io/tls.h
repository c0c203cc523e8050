/* io/tls.h - TLS over memory, by OpenSSL: a coat, not a lock (THREATS.md §4.14).
 *
 * Relays show a certificate made for the first who asks, and nobody checks it: what proves a relay is the session inside, and
 * a ticket's keyed hash. TLS is there for networks that let nothing else out.
 *
 *   in     bytes of the stream by tls_input(), bytes for the other side by tls_write()
 *   out    bytes for the stream by tls_output(), bytes of the other side by tls_read()
 *   owner  struct tls_context: whoever made it, longer than its struct tls */
#ifndef ITO_IO_TLS_H
#define ITO_IO_TLS_H

#include "base/err.h"
#include "base/slice.h"

#define TLS_PENDING_MAX (64 * 1024) /* bytes taken in and not read, or made and not taken */

struct tls_context;
struct tls;

/* NULL when the library fails. */
struct tls_context *tls_context_create(bool is_server);
void tls_context_destroy(struct tls_context *c);
struct tls *tls_create(struct tls_context *c);
void tls_destroy(struct tls *t);
/* ERR_IO: not TLS, broken, or over TLS_PENDING_MAX; the stream is to be closed. Works on the handshake too. */
enum err tls_input(struct tls *t, struct slice bytes);
enum err tls_write(struct tls *t, struct slice bytes);
/* How many bytes there were; 0: none (now). */
size_t tls_read(struct tls *t, void *buf, size_t size);
size_t tls_output(struct tls *t, void *buf, size_t size);
bool tls_is_ready(const struct tls *t); /* the handshake is done */

#endif
