/* base/err.h - the result of everything that can fail.
 *
 * Functions return `enum err`; what they produce goes out last. What faces a person also fills
 * `struct err_detail`: one sentence that says what failed, where, and what would be right. */
#ifndef ITO_BASE_ERR_H
#define ITO_BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_AGAIN,       /* nothing wrong, not now */
    ERR_PARSE,       /* bytes that are not of the format */
    ERR_VERSION,     /* of the format, but of a version we do not know */
    ERR_RANGE,       /* a value outside its bounds */
    ERR_FULL,        /* a named cap is reached */
    ERR_NOT_FOUND,   /* no such thing */
    ERR_EXISTS,      /* is there already */
    ERR_DUPLICATE,   /* the same once more */
    ERR_REPLAY,      /* an old authentic message, sent again */
    ERR_LATE,        /* its turn has passed */
    ERR_AUTH,        /* a signature, tag, password or proof is wrong */
    ERR_REFUSED,     /* understood, and not allowed */
    ERR_TIMEOUT,     /* no answer within the limit */
    ERR_STATE,       /* not possible in this state */
    ERR_UNSUPPORTED, /* understood, not built in */
    ERR_CONFIG,      /* a person's file or option is wrong */
    ERR_LOCKED,      /* held by another process, or by a passphrase */
    ERR_IO,          /* the operating system said no */
    ERR_CANCELLED,   /* given up on request */
    ERR_INTERNAL,    /* a bug of ours */
    ERR_COUNT
};

#define ERR_DETAIL_BYTES 4096 /* all that is wrong with a file of a person, one a line */

struct err_detail {
    char text[ERR_DETAIL_BYTES]; /* UTF-8, one or more lines, no trailing newline; empty when unset */
};

/* The name of a code for logs, as "not_found"; never NULL. */
const char *err_name(enum err e);

/* Fill detail (may be NULL) by a format, cut to fit, and return e, so that one can write
 * `return err_set(detail, ERR_CONFIG, "...")`. */
enum err err_set(struct err_detail *detail, enum err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
