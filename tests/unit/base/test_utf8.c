#include "unit/test.h"

#include "base/utf8.h"

static uint32_t only(const char *bytes, size_t n)
{
    struct slice rest = slice_of(bytes, n);
    uint32_t c = utf8_next(&rest);

    if (c != UTF8_BAD)
        assert_int_equal(rest.len, 0);
    return c;
}

static void first_and_last(void **state)
{
    (void)state;
    assert_int_equal(only("\x7F", 1), 0x7F);
    assert_int_equal(only("\xC2\x80", 2), 0x80);
    assert_int_equal(only("\xDF\xBF", 2), 0x7FF);
    assert_int_equal(only("\xE0\xA0\x80", 3), 0x800);
    assert_int_equal(only("\xED\x9F\xBF", 3), 0xD7FF);
    assert_int_equal(only("\xEE\x80\x80", 3), 0xE000);
    assert_int_equal(only("\xEF\xBF\xBF", 3), 0xFFFF);
    assert_int_equal(only("\xF0\x90\x80\x80", 4), 0x10000);
    assert_int_equal(only("\xF4\x8F\xBF\xBF", 4), 0x10FFFF);
}

static void ill_formed(void **state)
{
    static const char *const bad[] = {"\x80",         "\xBF",         "\xC0\x80",         "\xC1\xBF",
                                      "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
                                      "\xF5\x80",     "\xFF",         "\xE3\x81",         "\xC2"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct slice rest = slice_str(bad[i]);

        assert_int_equal(utf8_next(&rest), UTF8_BAD);
        assert_int_equal(rest.len, strlen(bad[i]) - 1);
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_true(utf8_valid("山田 太郎", strlen("山田 太郎")));
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[UTF8_MAX_BYTES];
        size_t n = utf8_put(c, bytes);

        assert_int_equal(only(bytes, n), c >= 0xD800 && c < 0xE000 ? 0xFFFD : c);
    }
}

static size_t columns(const char *text)
{
    return utf8_columns(text, strlen(text), false);
}

static void widths(void **state)
{
    (void)state;
    assert_int_equal(columns("山田 太郎"), 9);
    assert_int_equal(columns("Zoe\xCC\x88"), 3);              /* combining diaeresis */
    assert_int_equal(columns("ｱｲ"), 2);                       /* half-width katakana */
    assert_int_equal(columns("Ａ"), 2);                       /* full-width */
    assert_int_equal(columns("\xF0\x9F\x98\x80"), 2);         /* emoji */
    assert_int_equal(columns("\xE2\x80\x8B"), 0);             /* zero width space */
    assert_int_equal(columns("가"), 2);                       /* Hangul */
    assert_int_equal(columns("\xED\x95\x9C\xE1\x85\xA1"), 2); /* a joining vowel takes none */
    assert_int_equal(columns("●◐○…─│"), 6);
    assert_int_equal(utf8_columns("●", 3, true), 2);
    assert_int_equal(utf8_columns("山", 3, true), 2);
    assert_int_equal(utf8_columns("a\xFF", 2, false), 2);
}

static const char *clip(const char *text, size_t to)
{
    static char out[64];
    size_t n = utf8_clip(text, strlen(text), to, false, out, sizeof out);

    assert_int_equal(n, columns(out));
    assert_true(n <= to);
    return out;
}

static void clips(void **state)
{
    char small[6];

    (void)state;
    assert_string_equal(clip("Kenji", 5), "Kenji");
    assert_string_equal(clip("Kenji", 4), "Ken…");
    assert_string_equal(clip("山田 太郎", 9), "山田 太郎");
    assert_string_equal(clip("山田 太郎", 8), "山田 太…");
    assert_string_equal(clip("山田 太郎", 7), "山田 …"); /* half a character is not shown */
    assert_string_equal(clip("山田", 1), "…");
    assert_string_equal(clip("山田", 0), "");
    utf8_clip("山田 太郎", strlen("山田 太郎"), 9, false, small, sizeof small);
    assert_string_equal(small, "山");
}

static const char *clean(const char *text)
{
    static char out[64];

    size_t n = utf8_clean(text, strlen(text), out, sizeof out);

    assert_int_equal(n, strlen(out));
    return out;
}

static void cleans(void **state)
{
    char small[4];

    (void)state;
    assert_string_equal(clean("\x1b[2Jbot"), "[2Jbot");
    assert_string_equal(clean("a\xE2\x80\xAE"
                              "b\xE2\x81\xA6"),
                        "ab");
    assert_string_equal(clean("Ken\xE2\x80\x8Bji\xEF\xBB\xBF"), "Kenji");
    assert_string_equal(clean("one\ntwo\tthree"), "one two three");
    assert_string_equal(clean("\xFF!"), "\xEF\xBF\xBD!");
    assert_string_equal(clean("\xCC\x88"
                              "z\xCC\x88\xCC\x88\xCC\x88\xCC\x88\xCC\x88"),
                        "z\xCC\x88\xCC\x88\xCC\x88\xCC\x88");
    assert_int_equal(utf8_clean("山田", 6, small, sizeof small), 3);
    assert_string_equal(small, "山");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the first and last code point of each length decode", first_and_last),
        sentence("overlong forms, surrogates and cut sequences are one bad byte", ill_formed),
        sentence("every code point comes back from its bytes", every_code_point),
        sentence("columns follow East Asian width and combining marks", widths),
        sentence("cut text ends in an ellipsis and never in half a character", clips),
        sentence("control, bidi and zero-width characters are dropped from names", cleans),
    };

    return run_sentences("utf8", tests);
}
