/* base/log.h - levelled lines through the env. Never a key, a note, a text, a password: short IDs only. */
#ifndef ITO_BASE_LOG_H
#define ITO_BASE_LOG_H

#include "base/env.h"

#define LOG_LINE_BYTES 512

void log_at(const struct env *env, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *log_level_name(enum log_level level); /* "error" .. "debug" */

#define log_error(env, ...) log_at(env, LOG_ERROR, __VA_ARGS__)
#define log_warn(env, ...)  log_at(env, LOG_WARN, __VA_ARGS__)
#define log_info(env, ...)  log_at(env, LOG_INFO, __VA_ARGS__)
#define log_debug(env, ...) log_at(env, LOG_DEBUG, __VA_ARGS__)

#endif
