#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_at(const struct env *env, enum log_level level, const char *fmt, ...)
{
    char line[LOG_LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    env->ops->log(env->world, level, line);
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    return (unsigned)level < 4 ? names[level] : "debug";
}
