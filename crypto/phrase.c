#include "crypto/phrase.h"

#include <sodium.h>

#include "crypto/wordlist.h"

#define WORD_BITS  11
#define WORD_CHARS 24 /* looked at, of what was typed for one word */

/* BIP-39: the first 8 bits of SHA-256 follow the 256 bits of entropy. */
static uint8_t check_byte(const uint8_t m[static KEY_BYTES])
{
    uint8_t hash[crypto_hash_sha256_BYTES], first;

    crypto_hash_sha256(hash, m, KEY_BYTES);
    first = hash[0];
    secret_wipe(hash, sizeof hash);
    return first;
}

void phrase_encode(const uint8_t m[static KEY_BYTES], char out[static PHRASE_TEXT_BYTES])
{
    uint8_t bits[KEY_BYTES + 1];
    char *at = out;

    memcpy(bits, m, KEY_BYTES);
    bits[KEY_BYTES] = check_byte(m);
    for (unsigned i = 0; i < PHRASE_WORDS; i++) {
        unsigned index = 0;
        size_t len;
        const char *word;

        for (unsigned b = i * WORD_BITS; b < (i + 1) * WORD_BITS; b++)
            index = index << 1 | (bits[b / 8] >> (7 - b % 8) & 1u);
        word = wordlist_word(index);
        len = strlen(word);
        if (i > 0)
            *at++ = ' ';
        memcpy(at, word, len);
        at += len;
    }
    *at = '\0';
    secret_wipe(bits, sizeof bits);
}

/* One word as typed, in lower case. */
struct typed {
    char text[WORD_CHARS + 1];
    size_t len;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Numbers in front of words, and what stands between: "1. wool, 2) anchor". */
static bool is_between(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '.' || c == ',' || c == ')' || c == ':' ||
           (c >= '0' && c <= '9');
}

/* The next word from *at on; false at the end. */
static bool next_word(const char **at, struct typed *word)
{
    const char *p = *at;

    memset(word, 0, sizeof *word);
    while (is_between(*p))
        p++;
    for (; *p != '\0' && !is_between(*p); p++)
        if (word->len < WORD_CHARS)
            word->text[word->len++] = is_letter(*p) ? (char)(*p | 0x20) : *p;
    *at = p;
    return word->len > 0;
}

static enum err unknown_word(unsigned number, const struct typed *word, struct err_detail *detail)
{
    const char *nearest = wordlist_nearest(word->text, word->len);

    if (nearest != NULL)
        return err_set(detail, ERR_PARSE, "word %u \"%s\" is not in the list; did you mean \"%s\"?", number,
                       word->text, nearest);
    return err_set(detail, ERR_PARSE, "word %u \"%s\" is not in the list", number, word->text);
}

static unsigned count_words(const char *text)
{
    struct typed word;
    unsigned n = 0;

    while (next_word(&text, &word))
        n++;
    secret_wipe(&word, sizeof word);
    return n;
}

/* All words into bits; they are PHRASE_WORDS. */
static enum err read_words(const char *text, uint8_t bits[static KEY_BYTES + 1], struct err_detail *detail)
{
    struct typed word;
    enum err e = ERR_OK;

    for (unsigned i = 0; e == ERR_OK && next_word(&text, &word); i++) {
        int index = wordlist_find(word.text, word.len);

        if (index < 0)
            e = unknown_word(i + 1, &word, detail);
        for (unsigned b = 0; e == ERR_OK && b < WORD_BITS; b++) {
            unsigned at = i * WORD_BITS + b;

            bits[at / 8] |= (uint8_t)(((unsigned)index >> (WORD_BITS - 1 - b) & 1u) << (7 - at % 8));
        }
    }
    secret_wipe(&word, sizeof word);
    return e;
}

enum err phrase_decode(const char *text, uint8_t out[static KEY_BYTES], struct err_detail *detail)
{
    uint8_t bits[KEY_BYTES + 1] = {0};
    unsigned n = count_words(text);
    enum err e;

    memset(out, 0, KEY_BYTES);
    if (n != PHRASE_WORDS)
        return err_set(detail, ERR_PARSE, "the phrase has %u words, needs %d", n, PHRASE_WORDS);
    e = read_words(text, bits, detail);
    if (e == ERR_OK && bits[KEY_BYTES] != check_byte(bits))
        e = err_set(detail, ERR_PARSE, "all words are in the list, but one is wrong or two are swapped");
    if (e == ERR_OK)
        memcpy(out, bits, KEY_BYTES);
    secret_wipe(bits, sizeof bits);
    return e;
}
