#include "unit/store/folder.h"

#include "store/history.h"

static cJSON *call_of(int n)
{
    cJSON *v = cJSON_CreateObject();

    cJSON_AddNumberToObject(v, "id", n);
    return v;
}

static int id_at(const struct history *h, size_t i)
{
    return (int)json_num(history_at(h, i), "id", -1);
}

static size_t lines_in(const char *path)
{
    size_t n = 0;

    for (const char *p = get_file(path); *p != '\0'; p++)
        n += *p == '\n';
    return n;
}

static void newest_first(void **state)
{
    struct folder f;
    struct history *h;

    (void)state;
    folder_make(&f, "history.jsonl", "-");
    h = history_create(f.path[0]);
    assert_int_equal(history_load(h, NULL), ERR_OK);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(history_add_take(h, call_of(i), NULL), ERR_OK);
    history_destroy(h);
    h = history_create(f.path[0]);
    assert_int_equal(history_load(h, NULL), ERR_OK);
    assert_int_equal(history_count(h), 3);
    assert_int_equal(id_at(h, 0), 3);
    assert_int_equal(id_at(h, 2), 1);
    assert_null(history_at(h, 3));
    history_destroy(h);
    folder_remove(&f);
}

static void damaged_lines(void **state)
{
    struct folder f;
    struct history *h = NULL;

    (void)state;
    folder_make(&f, "history.jsonl", "-");
    put_file(f.path[0], "{\"id\":1}\n{\"id\":2\n\xff\xfe\n\n{\"id\":3}\n{\"id\":4");
    h = history_create(f.path[0]);
    assert_int_equal(history_load(h, NULL), ERR_OK);
    assert_int_equal(history_count(h), 2);
    assert_int_equal(history_damaged(h), 3);
    assert_int_equal(id_at(h, 0), 3);
    /* the next line does not grow together with the torn one */
    assert_int_equal(history_add_take(h, call_of(5), NULL), ERR_OK);
    history_destroy(h);
    h = history_create(f.path[0]);
    assert_int_equal(history_load(h, NULL), ERR_OK);
    assert_int_equal(id_at(h, 0), 5);
    history_destroy(h);
    folder_remove(&f);
}

static void the_cap(void **state)
{
    struct folder f;
    struct history *h;
    char *all = mem_alloc(HISTORY_MAX * 2 * 16);
    size_t n = 0;

    (void)state;
    folder_make(&f, "history.jsonl", "-");
    for (int i = 0; i < 2 * HISTORY_MAX; i++)
        n += (size_t)sprintf(all + n, "{\"id\":%d}\n", i);
    put_file(f.path[0], all);
    mem_free(all);
    h = history_create(f.path[0]);
    assert_int_equal(history_load(h, NULL), ERR_OK);
    assert_int_equal(history_count(h), HISTORY_MAX);
    assert_int_equal(id_at(h, 0), 2 * HISTORY_MAX - 1);
    assert_int_equal(history_add_take(h, call_of(9999), NULL), ERR_OK);
    assert_int_equal(lines_in(f.path[0]), HISTORY_MAX);
    assert_int_equal(history_count(h), HISTORY_MAX);
    assert_int_equal(id_at(h, 0), 9999);
    history_destroy(h);
    folder_remove(&f);
}

static void kept_without_disk(void **state)
{
    struct folder f;
    struct history *h;

    (void)state;
    folder_make(&f, "history.jsonl", "-");
    assert_int_equal(mkdir(f.path[0], 0700), 0);
    h = history_create(f.path[0]);
    assert_int_not_equal(history_add_take(h, call_of(1), NULL), ERR_OK);
    assert_int_equal(history_count(h), 1);
    history_destroy(h);
    rmdir(f.path[0]);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("calls are read again, the newest first", newest_first),
        sentence("a damaged line is skipped and counted, also a torn last one", damaged_lines),
        sentence("above twice the cap the file is rewritten with the newest", the_cap),
        sentence("a call is kept in memory when the disk refuses it", kept_without_disk),
    };

    return run_sentences("history", tests);
}
