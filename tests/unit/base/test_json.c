#include "unit/test.h"

#include <stdio.h>

#include "base/json.h"

static void parse_error(const char *text, const char *expected)
{
    struct err_detail d = {0};
    cJSON *tree;

    assert_int_equal(json_parse(slice_str(text), NULL, NULL, &tree, &d), ERR_PARSE);
    assert_null(tree);
    assert_string_equal(d.text, expected);
}

static void errors_name_the_line(void **state)
{
    (void)state;
    parse_error("{\n\"a\": \"info\" \"b\"", "2: not JSON: expected , or } after \"info\"");
    parse_error("{\"a\": }", "1: not JSON: expected a value after :");
    parse_error("{\"a\": 01}", "1: not JSON: expected , or } after 0");
    parse_error("{\"a\": 1,\n}", "2: not JSON: expected a key after ,");
    parse_error("[1] x", "1: not JSON: expected the end after ]");
    parse_error("{\"a\":\"\xff\"}", "1: not JSON: expected UTF-8 text after :");
    parse_error("", "1: not JSON: the file is empty");
}

struct keys {
    char text[512];
};

static void collect(void *arg, const struct json_key *key)
{
    struct keys *k = arg;
    size_t n = strlen(k->text);

    snprintf(k->text + n, sizeof k->text - n, "%s:%u:%u ", key->path, key->line, key->first_line);
}

static void keys_have_lines_and_repeats(void **state)
{
    const char *text = "{\n \"a\": {\"b\": 1,\n  \"b\": 2},\n \"c\": [{\"id\": 1}, 2]\n}\n";
    struct keys k = {{0}};
    cJSON *tree;

    (void)state;
    assert_int_equal(json_parse(slice_str(text), collect, &k, &tree, NULL), ERR_OK);
    assert_string_equal(k.text, "a:2:0 a.b:2:0 a.b:3:2 c:4:0 c[0].id:4:0 ");
    cJSON_Delete(tree);
}

static void depth_is_capped(void **state)
{
    char deep[200];
    struct err_detail d;
    cJSON *tree;

    (void)state;
    memset(deep, '[', sizeof deep);
    assert_int_equal(json_parse(slice_of(deep, sizeof deep), NULL, NULL, &tree, &d), ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a syntax error names its line and what was expected", errors_name_the_line),
        sentence("every key is reported with its line, repeats with the first", keys_have_lines_and_repeats),
        sentence("nesting deeper than the cap is refused", depth_is_capped),
    };

    return run_sentences("json", tests);
}
