/* crypto/wordlist.h - the 2048 English words of BIP-39, in order. */
#ifndef ITO_CRYPTO_WORDLIST_H
#define ITO_CRYPTO_WORDLIST_H

#include <stddef.h>

#define WORDLIST_WORDS      2048
#define WORDLIST_WORD_BYTES 9 /* longest word and its NUL */

/* Word number i, 0..2047. */
const char *wordlist_word(unsigned i);
/* Its number, or -1. word is lower case, len bytes. */
int wordlist_find(const char *word, size_t len);
/* The word that is least typing away, or NULL when nothing is near. */
const char *wordlist_nearest(const char *word, size_t len);

#endif
