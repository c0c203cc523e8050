#include "base/utf8.h"

#include "base/utf8_table.h"

#define MARKS_MAX 4 /* combining marks kept after one character */

static bool in_spans(const struct span *spans, size_t n, uint32_t c)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (c > spans[mid].last)
            low = mid + 1;
        else if (c < spans[mid].first)
            high = mid;
        else
            return true;
    }
    return false;
}

#define IN(spans, c) in_spans(spans, sizeof(spans) / sizeof *(spans), c)

/* How many bytes a sequence with this first byte has, 0 for what begins none; *low and *high bound the second
 * byte (Unicode 14, table 3-7), which keeps out overlong forms, surrogates and what is above U+10FFFF. */
static unsigned sequence_len(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    *high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

uint32_t utf8_next(struct slice *rest)
{
    const uint8_t *b = rest->data;
    uint8_t low, high;
    unsigned n = sequence_len(b[0], &low, &high);
    uint32_t c = n == 1 ? b[0] : n == 2 ? b[0] & 0x1Fu : n == 3 ? b[0] & 0x0Fu : b[0] & 0x07u;
    bool is_good = n > 0 && n <= rest->len;

    for (unsigned i = 1; is_good && i < n; i++) {
        if (b[i] < low || b[i] > high)
            is_good = false;
        c = c << 6 | (b[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    if (!is_good)
        n = 1;
    rest->data += n;
    rest->len -= n;
    return is_good ? c : UTF8_BAD;
}

size_t utf8_put(uint32_t c, char out[static UTF8_MAX_BYTES])
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = 0xFFFD;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

bool utf8_valid(const char *text, size_t len)
{
    struct slice rest = slice_of(text, len);

    while (rest.len > 0) {
        if (utf8_next(&rest) == UTF8_BAD)
            return false;
    }
    return true;
}

unsigned utf8_width(uint32_t c, bool ambiguous_wide)
{
    if (c == UTF8_BAD)
        return 1;
    if (c < 0x20 || (c >= 0x7F && c < 0xA0))
        return 0;
    if (c < 0xA0)
        return 1;
    if (IN(zero_spans, c))
        return 0;
    if (IN(wide_spans, c))
        return 2;
    return ambiguous_wide && IN(ambiguous_spans, c) ? 2 : 1;
}

size_t utf8_columns(const char *text, size_t len, bool ambiguous_wide)
{
    struct slice rest = slice_of(text, len);
    size_t columns = 0;

    while (rest.len > 0)
        columns += utf8_width(utf8_next(&rest), ambiguous_wide);
    return columns;
}

size_t utf8_fit(const char *text, size_t len, size_t columns, bool ambiguous_wide)
{
    struct slice rest = slice_of(text, len);
    size_t used = 0, fits = 0;

    while (rest.len > 0) {
        used += utf8_width(utf8_next(&rest), ambiguous_wide);
        if (used > columns)
            break;
        fits = len - rest.len;
    }
    return fits;
}

/* The longest prefix of at most max bytes that ends between characters. */
static size_t whole_bytes(const char *text, size_t len, size_t max)
{
    size_t n = len < max ? len : max;

    while (n < len && n > 0 && ((uint8_t)text[n] & 0xC0) == 0x80)
        n--;
    return n;
}

size_t utf8_clip(const char *text, size_t len, size_t columns, bool ambiguous_wide, char *out, size_t size)
{
    static const char dots[] = "\xE2\x80\xA6";
    size_t dots_columns = utf8_columns(dots, 3, ambiguous_wide), fits;
    bool is_cut = utf8_fit(text, len, columns, ambiguous_wide) < len;

    if (size == 0)
        return 0;
    if (!is_cut || columns < dots_columns || size < sizeof dots) {
        fits = whole_bytes(text, utf8_fit(text, len, columns, ambiguous_wide), size - 1);
        memcpy(out, text, fits);
        out[fits] = '\0';
        return utf8_columns(out, fits, ambiguous_wide);
    }
    fits = utf8_fit(text, len, columns - dots_columns, ambiguous_wide);
    fits = whole_bytes(text, fits, size - sizeof dots);
    memcpy(out, text, fits);
    memcpy(out + fits, dots, sizeof dots);
    return utf8_columns(out, fits + 3, ambiguous_wide);
}

/* Characters that show nothing, or change what others show: they have no place in a name. */
static bool is_deceptive(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD || c == 0x34F || c == 0x61C ||
           (c >= 0x115F && c <= 0x1160) || (c >= 0x17B4 && c <= 0x17B5) || (c >= 0x180B && c <= 0x180F) ||
           (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
           c == 0x3164 || (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFEFF || c == 0xFFA0 ||
           (c >= 0xFFF0 && c <= 0xFFFB) || (c >= 0x1D173 && c <= 0x1D17A) || (c >= 0xE000 && c <= 0xF8FF) ||
           c >= 0xE0000;
}

size_t utf8_clean(const char *text, size_t len, char *out, size_t size)
{
    struct slice rest = slice_of(text, len);
    size_t used = 0, marks = MARKS_MAX; /* a mark with nothing to stand on is dropped */

    while (rest.len > 0 && size > 0) {
        uint32_t c = utf8_next(&rest);
        char bytes[UTF8_MAX_BYTES];
        size_t n;

        if (c == '\n' || c == '\r' || c == '\t')
            c = ' ';
        if (c != UTF8_BAD && is_deceptive(c))
            continue;
        marks = utf8_width(c, false) == 0 ? marks + 1 : 0;
        if (marks > MARKS_MAX)
            continue;
        n = utf8_put(c, bytes);
        if (used + n >= size)
            break;
        memcpy(out + used, bytes, n);
        used += n;
    }
    if (size > 0)
        out[used] = '\0';
    return used;
}
