#include "unit/store/folder.h"

#include "store/inbox.h"

static struct inbox_entry entry_of(unsigned n, int64_t made_s)
{
    struct inbox_entry e = {.when_ms = made_s * 1000, .made_s = made_s, .tries = 1};

    memcpy(e.id, id_of(n), KEY_BYTES);
    snprintf(e.name, sizeof e.name, "stranger %u", n);
    strcpy(e.note, "Urgent! \"answer\" now\nplease");
    return e;
}

static void read_again(void **state)
{
    struct folder f;
    struct inbox *b;
    struct inbox_entry e;
    const struct inbox_entry *got;

    (void)state;
    folder_make(&f, "requests.json", "-");
    b = inbox_create(f.path[0]);
    assert_int_equal(inbox_load(b, NULL), ERR_OK);
    e = entry_of(1, 100);
    e.has_S = true;
    memset(e.S, 9, sizeof e.S);
    e.S_gen = 4;
    e.wants_contact = true;
    assert_int_equal(inbox_put(b, &e, 100, NULL), ERR_OK);
    e = entry_of(2, 101);
    assert_int_equal(inbox_put(b, &e, 100, NULL), ERR_OK);
    assert_int_equal(inbox_put_out(b, &e, NULL), ERR_OK);
    inbox_destroy(b);
    b = inbox_create(f.path[0]);
    assert_int_equal(inbox_load(b, NULL), ERR_OK);
    assert_int_equal(inbox_count(b, false), 2);
    assert_int_equal(inbox_count(b, true), 1);
    assert_memory_equal(inbox_at(b, false, 0)->id, id_of(2), KEY_BYTES);
    got = inbox_by_id(b, false, id_of(1));
    assert_non_null(got);
    assert_true(got->has_S && got->S[31] == 9 && got->S_gen == 4 && got->wants_contact);
    assert_string_equal(got->note, "Urgent! \"answer\" now\nplease");
    assert_null(inbox_at(b, false, 2));
    inbox_destroy(b);
    folder_remove(&f);
}

static void one_for_each_id(void **state)
{
    struct inbox *b = inbox_create(NULL);
    struct inbox_entry e = entry_of(1, 100);

    (void)state;
    crypto_init();
    assert_int_equal(inbox_put(b, &e, 100, NULL), ERR_OK);
    assert_int_equal(inbox_put(b, &e, 100, NULL), ERR_DUPLICATE); /* a copy from another node */
    assert_int_equal(inbox_at(b, false, 0)->tries, 1);
    e.made_s = 200;
    strcpy(e.note, "again");
    assert_int_equal(inbox_put(b, &e, 100, NULL), ERR_DUPLICATE);
    assert_int_equal(inbox_count(b, false), 1);
    assert_int_equal(inbox_at(b, false, 0)->tries, 2);
    assert_string_equal(inbox_at(b, false, 0)->note, "again");
    assert_int_equal(inbox_delete(b, false, id_of(1), NULL), ERR_OK);
    assert_int_equal(inbox_delete(b, false, id_of(1), NULL), ERR_OK);
    assert_int_equal(inbox_count(b, false), 0);
    inbox_destroy(b);
}

static void caps(void **state)
{
    struct inbox *b = inbox_create(NULL);
    struct inbox_entry e;

    (void)state;
    crypto_init();
    for (unsigned i = 0; i < 105; i++) {
        e = entry_of(i, 86400 * 3);
        assert_int_equal(inbox_put(b, &e, 100, NULL), i < 100 ? ERR_OK : ERR_FULL);
    }
    assert_int_equal(inbox_count(b, false), 100);
    assert_int_equal(inbox_dropped_today(b, 86400000ll * 3 + 5), 5);
    assert_int_equal(inbox_dropped_today(b, 86400000ll * 4), 0); /* tomorrow */
    for (unsigned i = 0; i < INBOX_OUT_MAX + 3; i++) {
        e = entry_of(i, 1);
        assert_int_equal(inbox_put_out(b, &e, NULL), ERR_OK);
    }
    assert_int_equal(inbox_count(b, true), INBOX_OUT_MAX); /* the oldest yield */
    assert_null(inbox_by_id(b, true, id_of(2)));
    assert_non_null(inbox_by_id(b, true, id_of(3)));
    inbox_destroy(b);
}

static void damaged(void **state)
{
    struct folder f;
    struct inbox *b;
    struct err_detail d = {{0}};
    char aside[80];

    (void)state;
    folder_make(&f, "requests.json", "-");
    put_file(f.path[0], "{\"in\": [{]}");
    b = inbox_create(f.path[0]);
    assert_int_equal(inbox_load(b, &d), ERR_PARSE);
    assert_non_null(strstr(d.text, "requests.json.damaged"));
    snprintf(aside, sizeof aside, "%s.damaged", f.path[0]);
    assert_string_equal(get_file(aside), "{\"in\": [{]}");
    inbox_destroy(b);
    /* well-formed nonsense is skipped, entry by entry */
    put_file(f.path[0], "{\"in\": [3, {\"id\": \"x\"}, {\"id\": null}], \"out\": 7}");
    b = inbox_create(f.path[0]);
    assert_int_equal(inbox_load(b, NULL), ERR_OK);
    assert_int_equal(inbox_count(b, false), 0);
    inbox_destroy(b);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("requests are read again as they were", read_again),
        sentence("each ID has one request; a later one counts, a copy does not", one_for_each_id),
        sentence("what does not fit is counted, for today", caps),
        sentence("a damaged file is kept aside, nonsense entries are skipped", damaged),
    };

    return run_sentences("inbox", tests);
}
