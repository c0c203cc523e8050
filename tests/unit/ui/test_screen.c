#include "unit/test.h"

#include "base/mem.h"
#include "ui/keymap.h"
#include "ui/listbox.h"
#include "ui/meter.h"
#include "ui/qr.h"
#include "ui/screen_text.h"

#include <stdio.h>

static void expect(struct screen *s, const char *lines)
{
    char *text = screen_text(s);

    assert_string_equal(text, lines);
    mem_free(text);
}

static void wide_characters(void **state)
{
    struct screen *s = screen_create(2, 10, false, false);

    (void)state;
    assert_int_equal(screen_put(s, 0, 0, 10, 0, "山田|"), 5);
    expect(s, "山田|\n\n");
    screen_put(s, 0, 1, 1, 0, "x"); /* the right half of 山 */
    expect(s, " x田|\n\n");
    screen_put(s, 1, 9, 10, 0, "山"); /* does not fit in the last column */
    expect(s, " x田|\n\n");
    screen_clear(s);
    screen_put(s, 0, 0, 3, 0, "山田");
    expect(s, "山…\n\n");
    screen_destroy(s);
}

static void outside(void **state)
{
    struct screen *s = screen_create(2, 4, false, false);
    uint16_t row, col;

    (void)state;
    screen_put(s, -1, 0, 4, 0, "up");
    screen_put(s, 2, 0, 4, 0, "down");
    screen_put(s, 0, -2, 6, 0, "abcdef");
    screen_put(s, 1, 3, 9, 0, "xyz");
    expect(s, "cdef\n   x\n");
    screen_set_cursor(s, 5, 5);
    assert_false(screen_cursor(s, &row, &col));
    screen_destroy(s);
}

static void ascii(void **state)
{
    struct screen *s = screen_create(3, 12, true, false);

    (void)state;
    screen_box(s, 0, 0, 3, 12, 0, NULL, NULL);
    screen_put(s, 1, 1, 10, 0, "● ◐ ○ 山 é…");
    expect(s, "+----------+\n|* ~ - ? ..|\n+----------+\n");
    screen_put(s, 1, 1, 5, 0, "ito1q3l6…8qju");
    expect(s, "+----------+\n|ito.. ? ..|\n+----------+\n");
    screen_destroy(s);
}

static void ambiguous(void **state)
{
    struct screen *s = screen_create(1, 8, false, true);

    (void)state;
    assert_int_equal(screen_columns(s, "●x"), 3);
    screen_put(s, 0, 0, 8, 0, "●x─");
    expect(s, "●x-\n");
    screen_destroy(s);
}

static void combining(void **state)
{
    struct screen *s = screen_create(1, 8, false, false);

    (void)state;
    screen_put(s, 0, 0, 8, 0, "e\xCC\x81|");
    expect(s, "e\xCC\x81|\n");
    assert_int_equal(screen_cell(s, 0, 1)->ch, '|');
    screen_destroy(s);
}

static void meters(void **state)
{
    char out[METER_BYTES];

    (void)state;
    assert_string_equal(meter_level(-18, 20, out), "[############--------]");
    assert_string_equal(meter_level(-12, 20, out), "[################----]");
    assert_string_equal(meter_level(-21, 20, out), "[##########----------]");
    assert_string_equal(meter_level(-18, 10, out), "[######----]");
    assert_string_equal(meter_level(-90, 10, out), "[----------]");
    assert_string_equal(meter_level(3, 10, out), "[##########]");
    assert_string_equal(meter_bar(1, 0, 4, out), "[----]");
    assert_string_equal(meter_bar(9, 4, 4, out), "[####]");
}

static void qr_codes(void **state)
{
    static const char id[] = "ITO1QQWSS00LNECGTU8TSM5VWWJ7QN9N7F43SNWJS6HCAMJRXGYJ4XXUQYW8KN5";
    struct qr_options options = {0};
    char *text = qr_text(id, &options);
    size_t lines = 0;

    (void)state;
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 17); /* 29 modules and the margin, two to a line */
    mem_free(text);
    options.is_ascii = true;
    text = qr_text(id, &options);
    assert_int_equal(strcspn(text, "\n"), 66);
    assert_non_null(strstr(text, "##"));
    mem_free(text);
    options = (struct qr_options){.has_color = true};
    text = qr_text(id, &options);
    assert_non_null(strstr(text, "\033[30;47m"));
    mem_free(text);
}

static const char *letter(void *arg, size_t i)
{
    static char one[2];

    one[0] = ((const char *)arg)[i];
    return one;
}

static void lists(void **state)
{
    struct listbox l = {0};
    char first[] = "abcd", second[] = "dcba";

    (void)state;
    listbox_set(&l, 4, letter, first);
    listbox_move(&l, 2);
    listbox_keep(&l, letter, first);
    listbox_set(&l, 4, letter, second);
    assert_int_equal(l.selected, 1); /* still c */
    listbox_set(&l, 1, letter, first);
    assert_int_equal(l.selected, 0);
    listbox_set(&l, 0, letter, first);
    listbox_move(&l, 5);
    assert_int_equal(l.selected, 0);
    listbox_set(&l, 100, NULL, NULL);
    listbox_to(&l, 1000);
    assert_int_equal(l.selected, 99);
    assert_int_equal(listbox_scroll(&l, 10), 90);
    listbox_to(&l, 0);
    assert_int_equal(listbox_scroll(&l, 10), 0);
}

static void keys(void **state)
{
    static const char *const names[] = {"c",   "Alt-a",     "Ctrl-L", "F1",   "Enter", "Esc",
                                        "Tab", "Shift-Tab", "?",      "PgUp", "é"};
    struct keymap map;
    char text[KEY_TEXT_BYTES];
    struct err_detail detail = {{0}};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(key_print(key_parse(names[i]), text), names[i]);
    assert_int_equal(key_parse(""), K_NONE);
    assert_int_equal(key_parse("cc"), K_NONE);
    assert_int_equal(key_parse("Alt-"), K_NONE);
    keymap_init(&map);
    for (size_t a = 1; a < CMD_COUNT; a++) { /* no key means two things */
        for (size_t k = 0; k < KEYMAP_KEYS_PER_COMMAND; k++) {
            if (map.keys[a][k] != K_NONE)
                assert_int_equal(keymap_command(&map, map.keys[a][k]), a);
        }
    }
    assert_int_equal(keymap_remap(&map, "{\"mute\":\"c\"}", &detail), ERR_OK);
    assert_int_equal(keymap_command(&map, 'c'), CMD_MUTE);
    assert_int_equal(keymap_key(&map, CMD_CALL), K_NONE);
    assert_int_equal(keymap_remap(&map, "{\"nonsense\":\"c\"}", &detail), ERR_CONFIG);
    assert_string_equal(detail.text, "keys.nonsense: no such command");
    assert_int_equal(keymap_remap(&map, "{\"hold\":\":\"}", &detail), ERR_CONFIG);
    assert_int_equal(keymap_command(&map, ':'), CMD_LINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a wide character is never cut in half", wide_characters),
        sentence("what is written outside the grid is cut off", outside),
        sentence("without UTF-8 marks and lines have stand-ins", ascii),
        sentence("ambiguous characters may be wide, box lines then are ASCII", ambiguous),
        sentence("combining marks stay on their character", combining),
        sentence("meters fill by 1.5 dB a cell", meters),
        sentence("an ID is a QR code of 33 columns", qr_codes),
        sentence("a list keeps its selection and its scroll place", lists),
        sentence("keys print as they parse, and each has one meaning", keys),
    };

    return run_sentences("screen", tests);
}
