#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[ERR_COUNT] = {
    [ERR_OK] = "ok",
    [ERR_AGAIN] = "again",
    [ERR_PARSE] = "parse",
    [ERR_VERSION] = "version",
    [ERR_RANGE] = "range",
    [ERR_FULL] = "full",
    [ERR_NOT_FOUND] = "not_found",
    [ERR_EXISTS] = "exists",
    [ERR_DUPLICATE] = "duplicate",
    [ERR_REPLAY] = "replay",
    [ERR_LATE] = "late",
    [ERR_AUTH] = "auth",
    [ERR_REFUSED] = "refused",
    [ERR_TIMEOUT] = "timeout",
    [ERR_STATE] = "state",
    [ERR_UNSUPPORTED] = "unsupported",
    [ERR_CONFIG] = "config",
    [ERR_LOCKED] = "locked",
    [ERR_IO] = "io",
    [ERR_CANCELLED] = "cancelled",
    [ERR_INTERNAL] = "internal",
};

const char *err_name(enum err e)
{
    return (unsigned)e < ERR_COUNT ? names[e] : "unknown";
}

enum err err_set(struct err_detail *detail, enum err e, const char *fmt, ...)
{
    if (detail != NULL) {
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(detail->text, sizeof detail->text, fmt, ap);
        va_end(ap);
    }
    return e;
}
