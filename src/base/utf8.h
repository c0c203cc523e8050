/* base/utf8.h - UTF-8 as other people write it, and the columns a terminal gives it.
 *
 * Strict decoding (no overlong forms, surrogates, or values above U+10FFFF) and a width table of Unicode 14:
 * nothing here depends on the locale, so a screen test gives the same columns everywhere. Texts are a pointer
 * and a length in bytes and may be ill-formed: an ill-formed byte counts, and prints, as one column.
 *
 *   in     bytes of unknown quality
 *   out    code points, columns, texts that are safe to show
 *   trust  utf8_clean() is the gate for every name, note and message that somebody else wrote */
#ifndef ITO_BASE_UTF8_H
#define ITO_BASE_UTF8_H

#include "base/slice.h"

#define UTF8_BAD       0xFFFFFFFFu /* what utf8_next() returns for an ill-formed byte */
#define UTF8_MAX_BYTES 4

/* The next code point of a text that is not empty, and step over it. An ill-formed sequence gives UTF8_BAD
 * and steps over one byte. */
uint32_t utf8_next(struct slice *rest);
/* Encode one code point (U+FFFD for what is none); returns 1..4 bytes, without NUL. */
size_t utf8_put(uint32_t code_point, char out[static UTF8_MAX_BYTES]);
bool utf8_valid(const char *text, size_t len);

/* Columns of one code point: 0 (control, combining, invisible), 1, or 2. East Asian "ambiguous" characters
 * (box lines, … ● ○) take 2 when ambiguous_wide (config ui.ambiguous_wide), else 1. */
unsigned utf8_width(uint32_t code_point, bool ambiguous_wide);
size_t utf8_columns(const char *text, size_t len, bool ambiguous_wide);
/* The longest prefix, in bytes, that fits in `columns`; never cuts a character or its combining marks. */
size_t utf8_fit(const char *text, size_t len, size_t columns, bool ambiguous_wide);
/* Copy text cut to `columns`; cut text ends in "…". NUL-terminated, cut at a character when out is too small.
 * Returns the columns of what was written. */
size_t utf8_clip(const char *text, size_t len, size_t columns, bool ambiguous_wide, char *out, size_t size);

/* Copy without what could deceive: control characters (line breaks and tabs become a space), bidi controls,
 * zero-width and other invisible format characters, private use; ill-formed bytes become U+FFFD. At most
 * 4 combining marks follow one character. NUL-terminated, cut at a character. Returns the bytes written. */
size_t utf8_clean(const char *text, size_t len, char *out, size_t size);

#endif
