/* crypto/idtext.h - keys as text: Bech32m (BIP-350) with the prefixes ito, iton, itoz, itom and itoi (UX.md §1).
 *
 *   ito1q...   63 characters, a person's ID: version symbol 0, 52 symbols of key, 6 of checksum
 *   iton1q...  64 characters, a node or relay, in the same shape
 *   itoz1q...  64 characters, the public key of a closed zone, in the same shape
 *   itom1q...  121 characters, a member certificate of one: version symbol 0, 109 symbols, 6 of checksum
 *   itoi1...   the secret part of an invite, crypto/invite.h
 *
 *   in     what people type and paste; at most ID_INPUT_MAX bytes are looked at
 *   trust  id_parse() gives only keys that are valid points; nothing is corrected silently */
#ifndef ITO_CRYPTO_IDTEXT_H
#define ITO_CRYPTO_IDTEXT_H

#include "crypto/secret.h"

#define ID_TEXT_CHARS     63
#define NODE_TEXT_CHARS   64
#define ID_TEXT_BYTES     64 /* with NUL */
#define NODE_TEXT_BYTES   65
#define ZONE_TEXT_BYTES   65
#define MEMBER_TEXT_BYTES 122
#define ID_SHORT_BYTES    16 /* 8 characters, an ellipsis of 3 bytes, 4 characters, NUL */
#define ID_SIP_BYTES      (4 + ID_TEXT_CHARS + 8 + 1)
#define ID_SPACED_BYTES   (ID_TEXT_CHARS + 15 + 1)
#define ID_NAME_BYTES     65 /* 64 bytes of UTF-8 and NUL */
#define ID_INPUT_MAX      1024

#define BECH32M_HRP_MAX 83

/* --- Bech32m in general: symbols are 0..31 --- */
/* Writes hrp, '1', data and checksum, NUL-terminated: strlen(hrp) + 1 + n + 6 + 1 bytes must fit in size,
 * else ERR_FULL. hrp is lower case. */
enum err bech32m_encode(const char *hrp, const uint8_t *symbols, size_t n, char *out, size_t size);
/* Strict (BIP-350 but for the length): one case, known characters, checksum. hrp out in lower case. max_chars
 * is 90 by the standard. ERR_PARSE for form, ERR_AUTH for the checksum, ERR_FULL when symbols do not fit. */
enum err bech32m_decode(const char *text, size_t max_chars, char hrp[static BECH32M_HRP_MAX + 1],
                        uint8_t *symbols, size_t size, size_t *n);
/* Bytes to symbols, zero bits at the end; returns the number of symbols, (8n + 4) / 5. */
size_t bech32m_from_bytes(struct slice bytes, uint8_t *symbols);
/* Symbols to bytes; false when more than 4 bits are left over, or one of them is set. */
bool bech32m_to_bytes(const uint8_t *symbols, size_t n, uint8_t *out, size_t size, size_t *len);

/* --- IDs --- */
const char *id_format(const uint8_t A[static KEY_BYTES], char out[static ID_TEXT_BYTES]);
const char *node_format(const uint8_t N[static KEY_BYTES], char out[static NODE_TEXT_BYTES]);
const char *zone_key_format(const uint8_t Z[static KEY_BYTES], char out[static ZONE_TEXT_BYTES]);
/* The 68 bytes of crypto/zone.h. */
const char *member_format(const uint8_t cert[static 68], char out[static MEMBER_TEXT_BYTES]);
/* Display only: "ito1q3l6...8qju" with one ellipsis character, or ".." when ascii. text is an ID or a node. */
const char *id_short(const char *text, bool ascii, char out[static ID_SHORT_BYTES]);
/* "sip:ID@ito.alt" */
const char *id_sip(const uint8_t A[static KEY_BYTES], char out[static ID_SIP_BYTES]);
/* Groups of four, for reading aloud. */
const char *id_spaced(const uint8_t A[static KEY_BYTES], char out[static ID_SPACED_BYTES]);

/* Read an ID as a person gives it: any case, spaces, hyphens, line breaks; ID, ito:ID, ito:ID?name=Taro,
 * sip:ID@ito.alt. name (may be NULL, else ID_NAME_BYTES) gets the decoded name= without control, bidi and zero-width characters,
 * cut to 64 bytes, or "". ERR_PARSE or ERR_VERSION with the sentence of UX.md §1; for a typing error that can
 * be placed, detail has three lines: the sentence, the cleaned text, and a '^' under each wrong character. */
enum err id_parse(const char *text, uint8_t A[static KEY_BYTES], char *name, struct err_detail *detail);
/* The same for a node; the plain form only. */
enum err node_parse(const char *text, uint8_t N[static KEY_BYTES], struct err_detail *detail);

/* The same for the key of a zone. */
enum err zone_key_parse(const char *text, uint8_t Z[static KEY_BYTES], struct err_detail *detail);
/* A member certificate, in any case, with spaces and line breaks. Well formed, nothing more. ERR_PARSE, ERR_VERSION. */
enum err member_parse(const char *text, uint8_t cert[static 68], struct err_detail *detail);

/* Of a text in one of those forms: the parameter `key` after '?', still percent-encoded; false when missing. */
bool id_param(const char *text, const char *key, struct slice *value);
/* Lower case, without spaces, hyphens and line breaks; other than printable ASCII becomes '?', an ellipsis
 * "..". Returns the number of characters; what is beyond size - 1 is counted and not written. */
size_t id_clean(struct slice text, char *out, size_t size);

/* For whoever compares with its own key. */
#define ID_OWN_SENTENCE "That is your own ID."

#endif
