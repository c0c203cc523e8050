/* base/mem.h - zeroing allocator that aborts on exhaustion, so callers carry no out-of-memory branch.
 * What a peer can make us hold is capped by its module; packet paths do not allocate. */
#ifndef ITO_BASE_MEM_H
#define ITO_BASE_MEM_H

#include "base/slice.h"

/* n zeroed bytes (at least 1); never NULL. Free with mem_free(). */
void *mem_alloc(size_t n);
/* count * size zeroed bytes; aborts when the product overflows. */
void *mem_array(size_t count, size_t size);
/* p grown or shrunk to count * size bytes; bytes beyond the old contents are NOT zeroed. */
void *mem_resize(void *p, size_t count, size_t size);
void *mem_dup(const void *data, size_t n);
/* A NUL-terminated copy. */
char *mem_str(const char *text);
char *mem_str_slice(struct slice s);
/* A formatted, NUL-terminated string. */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p);
/* Zero bytes that held a secret; never optimised away. */
void mem_wipe(void *p, size_t n);

#endif
