#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

static void *must(void *p)
{
    if (p == NULL) {
        fputs("ito: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n)
{
    return must(calloc(1, n > 0 ? n : 1));
}

void *mem_array(size_t count, size_t size)
{
    return must(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *mem_resize(void *p, size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / size)
        must(NULL);
    return must(realloc(p, count * size > 0 ? count * size : 1));
}

void *mem_dup(const void *data, size_t n)
{
    void *p = mem_alloc(n);

    if (n > 0)
        memcpy(p, data, n);
    return p;
}

char *mem_str(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

char *mem_str_slice(struct slice s)
{
    char *p = mem_alloc(s.len + 1);

    if (s.len > 0)
        memcpy(p, s.data, s.len);
    return p;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    int n;
    char *p;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        must(NULL);
    p = mem_alloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

void mem_free(void *p)
{
    free(p);
}

void mem_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}
