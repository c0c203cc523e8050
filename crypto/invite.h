/* crypto/invite.h - a text that lets the one who reads it first become a contact (THREATS.md §4.4):
 * "ito:ID?i=itoi1...", or a further device of the same person (§4.11): "ito:ID?l=itol1...". It is a bearer secret:
 * never logged, never holds S.
 *
 *   in     what people paste
 *   owner  the caller; wipe struct invite with secret_wipe()
 *   caps   INVITE_ADDRS_MAX addresses, INVITE_TEXT_BYTES of text */
#ifndef ITO_CRYPTO_INVITE_H
#define ITO_CRYPTO_INVITE_H

#include "base/addr.h"
#include "crypto/idtext.h"

#define INVITE_SECRET_BYTES 16
#define INVITE_ADDRS_MAX    8
#define INVITE_TEXT_BYTES   400

struct invite {
    uint8_t A[KEY_BYTES];     /* who invites */
    bool is_link;             /* a device of A's, not a contact */
    char name[ID_NAME_BYTES]; /* claimed name, from name=; "" when none. Not written by invite_format() */
    uint32_t expires_s;       /* s since 1970 UTC */
    uint8_t I[INVITE_SECRET_BYTES];
    uint8_t zone_id[8];
    uint8_t n_addrs;
    struct addr addrs[INVITE_ADDRS_MAX]; /* of full zone nodes */
};

/* Does it look like an invite (has an "i=" part)? Then invite_parse(), else id_parse(). */
bool invite_is(const char *text);
/* The same for the text that links a device ("l="). */
bool invite_is_link(const char *text);
/* ERR_RANGE when n_addrs is too large. */
enum err invite_format(const struct invite *inv, char out[static INVITE_TEXT_BYTES]);
/* ERR_PARSE, ERR_VERSION with a sentence. Any case, spaces and line breaks as in id_parse(). Does not look at
 * the clock: the caller compares expires_s. */
enum err invite_parse(const char *text, struct invite *out, struct err_detail *detail);
/* X_I = H(32, -; "itodenwa-invite-v1" || A || I) */
void invite_secret(const uint8_t A[static KEY_BYTES], const uint8_t I[static INVITE_SECRET_BYTES],
                   uint8_t out[static KEY_BYTES]);
/* X_L, the same under "itodenwa-link-v1" */
void invite_link_secret(const uint8_t A[static KEY_BYTES], const uint8_t L[static INVITE_SECRET_BYTES],
                        uint8_t out[static KEY_BYTES]);

#endif
