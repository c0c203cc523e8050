#include "unit/test.h"

#include "dht/bencode.h"

static void is_good(const char *text)
{
    if (ben_check(slice_str(text)) != ERR_OK)
        fail_msg("refused: %s", text);
}

static void is_bad(const char *text)
{
    if (ben_check(slice_str(text)) == ERR_OK)
        fail_msg("accepted: %s", text);
}

static void published_examples(void **state)
{
    (void)state;
    /* BEP 3 */
    is_good("4:spam");
    is_good("i3e");
    is_good("i-3e");
    is_good("i0e");
    is_good("l4:spam4:eggse");
    is_good("d3:cow3:moo4:spam4:eggse");
    is_good("d4:spaml1:a1:bee");
    is_bad("i-0e");
    is_bad("i03e");
    /* the ends */
    is_good("0:");
    is_good("le");
    is_good("de");
    is_good("i9223372036854775807e");
    is_good("i-9223372036854775808e");
}

static void refused(void **state)
{
    static const char *const bad[] = {"",
                                      "i",
                                      "ie",
                                      "i-e",
                                      "i1",
                                      "i1.5e",
                                      "i 1e",
                                      "i+1e",
                                      "i9223372036854775808e",
                                      "i-9223372036854775809e",
                                      "i99999999999999999999999999999999e",
                                      "5:spam",
                                      "-1:a",
                                      "04:spam",
                                      "00:",
                                      ":",
                                      "4spam",
                                      "99999999999999999999:a",
                                      "18446744073709551615:a",
                                      "l",
                                      "l4:spam",
                                      "d",
                                      "d3:cow",
                                      "d3:cowe",
                                      "di1e3:cowe",
                                      "d4:spam4:eggs3:cow3:mooe",
                                      "d3:cow3:moo3:cow3:mooe",
                                      "d1:b1:x2:ab1:ye",
                                      "i1ei2e",
                                      "dee",
                                      "e",
                                      "x"};
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        is_bad(bad[i]);
}

static void depth(void **state)
{
    char text[2 * BEN_DEPTH + 3];
    (void)state;

    for (unsigned depth = 1; depth <= BEN_DEPTH + 1; depth++) {
        memset(text, 'l', depth);
        memset(text + depth, 'e', depth);
        text[2 * depth] = '\0';
        assert_int_equal(ben_check(slice_str(text)), depth <= BEN_DEPTH ? ERR_OK : ERR_PARSE);
    }
}

static void walk(void **state)
{
    struct slice key, value, s;
    struct ben_iter it;
    int64_t v = 0;
    (void)state;

    assert_true(ben_dict(slice_str("d1:ai-7e1:b3:xyz1:clee"), &it));
    assert_true(ben_next(&it, &key, &value) && slice_is(key, "a") && ben_int(value, &v));
    assert_int_equal(v, -7);
    assert_false(ben_str(value, &s));
    assert_true(ben_next(&it, &key, &value) && slice_is(key, "b") && ben_str(value, &s) &&
                slice_is(s, "xyz"));
    assert_false(ben_int(value, &v));
    assert_true(ben_next(&it, &key, &value) && slice_is(value, "le"));
    assert_false(ben_next(&it, &key, &value));
    assert_false(ben_list(slice_str("de"), &it));
    assert_false(ben_dict(slice_str("le"), &it));
    assert_false(ben_dict(slice_str("i1e"), &it));
}

static void written(void **state)
{
    uint8_t buf[64];
    struct ben_wr w;
    (void)state;

    ben_wr_init(&w, buf, sizeof buf);
    ben_open_dict(&w);
    ben_put_key(&w, "a");
    ben_put_int(&w, INT64_MIN);
    ben_put_key(&w, "b");
    ben_open_list(&w);
    ben_put_str(&w, slice_str("x"));
    ben_put_raw(&w, slice_str("i1e"));
    ben_close(&w);
    assert_int_equal(ben_wr_done(&w).len, 0); /* still open */
    ben_close(&w);
    assert_true(slice_is(ben_wr_done(&w), "d1:ai-9223372036854775808e1:bl1:xi1eee"));
}

static void order(void **state)
{
    uint8_t buf[64];
    struct ben_wr w;
    (void)state;

    ben_wr_init(&w, buf, sizeof buf);
    ben_open_dict(&w);
    ben_put_key(&w, "b");
    ben_put_int(&w, 1);
    ben_put_key(&w, "a");
    ben_put_int(&w, 1);
    ben_close(&w);
    assert_int_equal(ben_wr_done(&w).len, 0);
    ben_wr_init(&w, buf, sizeof buf);
    ben_open_dict(&w);
    ben_put_key(&w, "a");
    ben_put_int(&w, 1);
    ben_put_key(&w, "a");
    ben_put_int(&w, 1);
    ben_close(&w);
    assert_int_equal(ben_wr_done(&w).len, 0);
}

static void too_small(void **state)
{
    uint8_t buf[16];
    struct ben_wr w;
    (void)state;

    for (size_t size = 0; size < 11; size++) {
        ben_wr_init(&w, buf, size);
        ben_open_dict(&w);
        ben_put_key(&w, "ab");
        ben_put_str(&w, slice_str("xyz"));
        ben_close(&w);
        assert_int_equal(ben_wr_done(&w).len, 0);
    }
    ben_wr_init(&w, buf, 11);
    ben_open_dict(&w);
    ben_put_key(&w, "ab");
    ben_put_str(&w, slice_str("xyz"));
    ben_close(&w);
    assert_true(slice_is(ben_wr_done(&w), "d2:ab3:xyze"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the examples of BEP 3 are read as it says", published_examples),
        sentence("what is not canonical, cut or followed by more is refused", refused),
        sentence("nesting has a cap", depth),
        sentence("a walk gives keys, values and their types", walk),
        sentence("a dictionary is written, and not before it is closed", written),
        sentence("keys out of order or twice fail the writer", order),
        sentence("a writer without room fails and writes nothing beyond it", too_small),
    };

    return run_sentences("bencode", tests);
}
