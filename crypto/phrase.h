/* crypto/phrase.h - 32 secret bytes as 24 words on paper (BIP-39, English, 8 bits of checksum).
 *
 *   owner  the caller; text and bytes are secrets: wipe both
 *   trust  phrase_decode() names the first word that is wrong; the checksum finds one swapped word in 256 */
#ifndef ITO_CRYPTO_PHRASE_H
#define ITO_CRYPTO_PHRASE_H

#include "crypto/secret.h"

#define PHRASE_WORDS      24
#define PHRASE_TEXT_BYTES (PHRASE_WORDS * 9) /* 8 letters and a space, or the NUL */

/* The words, lower case, one space between. */
void phrase_encode(const uint8_t m[static KEY_BYTES], char out[static PHRASE_TEXT_BYTES]);
/* Any case, any white space, and numbers as they stand on paper ("1 wool 2. anchor"). ERR_PARSE with a
 * sentence such as: word 7 "anchr" is not in the list; did you mean "anchor"? out is zeroed on failure. */
enum err phrase_decode(const char *text, uint8_t out[static KEY_BYTES], struct err_detail *detail);

#endif
