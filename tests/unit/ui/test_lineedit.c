#include "unit/test.h"

#include "ui/lineedit.h"

#include <stdlib.h>

static struct lineedit *fresh(void)
{
    return calloc(1, sizeof(struct lineedit));
}

static void done(struct lineedit *e)
{
    lineedit_fini(e);
    free(e);
}

static void type(struct lineedit *e, const char *text)
{
    struct slice rest = slice_str(text);

    while (rest.len > 0)
        lineedit_key(e, *rest.data < 0x80 ? *rest.data : '?'), rest.data++, rest.len--;
}

static void emacs_keys(void **state)
{
    struct lineedit *e = fresh();

    (void)state;
    type(e, "call Kenji");
    lineedit_key(e, K_CTRL('A'));
    type(e, ">");
    assert_string_equal(e->text, ">call Kenji");
    lineedit_key(e, K_CTRL('E'));
    lineedit_key(e, K_CTRL('W'));
    assert_string_equal(e->text, ">call ");
    lineedit_key(e, K_CTRL('Y'));
    assert_string_equal(e->text, ">call Kenji");
    lineedit_key(e, K_ALT('b'));
    lineedit_key(e, K_CTRL('K'));
    assert_string_equal(e->text, ">call ");
    lineedit_key(e, K_CTRL('U'));
    assert_string_equal(e->text, "");
    assert_int_equal(lineedit_key(e, K_ERASE), LINEEDIT_CANCEL);
    done(e);
}

static void whole_characters(void **state)
{
    struct lineedit *e = fresh();

    (void)state;
    lineedit_paste(e, "山田", 6);
    lineedit_key(e, 0x592A); /* 太 */
    assert_string_equal(e->text, "山田太");
    lineedit_key(e, K_LEFT);
    lineedit_key(e, K_ERASE);
    assert_string_equal(e->text, "山太");
    lineedit_key(e, K_DELETE);
    assert_string_equal(e->text, "山");
    lineedit_key(e, K_LEFT);
    lineedit_key(e, K_LEFT);
    assert_int_equal(e->caret, 0);
    done(e);
}

static void pastes(void **state)
{
    struct lineedit *e = fresh();

    (void)state;
    lineedit_paste(e, "one\ntwo\033[A\xFFx\n", 13);
    assert_string_equal(e->text, "one two [A\xEF\xBF\xBDx");
    done(e);
}

static void history(void **state)
{
    struct lineedit *e = fresh();

    (void)state;
    for (char c = 'a'; c <= 'c'; c++) {
        lineedit_set(e, (char[]){c, '\0'});
        lineedit_remember(e);
        lineedit_remember(e); /* the same twice is once */
    }
    lineedit_set(e, "");
    lineedit_key(e, K_UP);
    lineedit_key(e, K_UP);
    assert_string_equal(e->text, "b");
    lineedit_key(e, K_DOWN);
    lineedit_key(e, K_DOWN);
    assert_string_equal(e->text, "");
    for (int i = 0; i < 2 * LINEEDIT_HISTORY; i++) {
        lineedit_set(e, i % 2 ? "odd" : "even");
        lineedit_remember(e);
    }
    assert_int_equal(e->n_history, LINEEDIT_HISTORY);
    done(e);
}

static void full(void **state)
{
    struct lineedit *e = fresh();

    (void)state;
    for (int i = 0; i < LINEEDIT_BYTES + 10; i++)
        lineedit_key(e, 'x');
    assert_int_equal(e->len, LINEEDIT_BYTES - 1);
    assert_int_equal(strlen(e->text), e->len);
    lineedit_key(e, 0x5C71);
    assert_int_equal(e->len, LINEEDIT_BYTES - 1);
    done(e);
}

static void wipes(void **state)
{
    static const char zero[LINEEDIT_BYTES];
    struct lineedit *e = fresh();

    (void)state;
    type(e, "secret");
    lineedit_set(e, "");
    assert_memory_equal(e->text, zero, sizeof zero);
    type(e, "secret");
    lineedit_fini(e);
    assert_memory_equal(e->text, zero, sizeof zero);
    free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("Emacs keys move, cut and put back", emacs_keys),
        sentence("erasing and moving go by whole characters", whole_characters),
        sentence("a paste loses control characters and its last line end", pastes),
        sentence("Up and Down walk through a bounded history", history),
        sentence("a full line takes no more", full),
        sentence("a cleared line leaves nothing behind", wipes),
    };

    return run_sentences("lineedit", tests);
}
