/* base/cursor.h - bounded reader and writer for every packet and file.
 *
 * A reader's failure sticks: read all fields, then ask once rd_done() (everything read, nothing left over)
 * or rd_ok(). A failed read yields zeroes or an empty slice. A writer that runs out of room keeps counting
 * nothing and wr_ok() says so. Integers are big-endian. Neither owns its buffer. */
#ifndef ITO_BASE_CURSOR_H
#define ITO_BASE_CURSOR_H

#include "base/slice.h"

struct rd {
    const uint8_t *at, *end;
    bool failed;
};

struct wr {
    uint8_t *begin, *at, *end;
    bool failed;
};

void rd_init(struct rd *r, struct slice bytes);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* The next n bytes, borrowed; empty and failed when fewer are left. */
struct slice rd_bytes(struct rd *r, size_t n);
/* Copy the next n bytes to out; zeroes out when fewer are left. */
void rd_copy(struct rd *r, void *out, size_t n);
void rd_skip(struct rd *r, size_t n);
/* Mark as failed: for a value that is well-formed but out of range. */
void rd_fail(struct rd *r);
size_t rd_left(const struct rd *r);
/* All bytes not yet read. */
struct slice rd_rest(struct rd *r);
bool rd_ok(const struct rd *r);
bool rd_done(const struct rd *r);
/* True when every byte left is zero; consumes them. */
bool rd_zeros(struct rd *r);

void wr_init(struct wr *w, void *buf, size_t size);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, const void *data, size_t n);
void wr_slice(struct wr *w, struct slice s);
void wr_text(struct wr *w, const char *text);
void wr_zeros(struct wr *w, size_t n);
/* Room for n bytes to be filled by the caller; NULL when there is none. */
uint8_t *wr_room(struct wr *w, size_t n);
bool wr_ok(const struct wr *w);
size_t wr_len(const struct wr *w);
/* What was written so far; empty after a failure. */
struct slice wr_done(const struct wr *w);

#endif
