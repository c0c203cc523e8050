#include "unit/store/folder.h"

#include "store/invites.h"

static struct invite_row row_of(uint8_t n, unsigned uses, int64_t expires_s)
{
    struct invite_row row = {.uses = uses, .expires_s = expires_s};

    memset(row.X, n, sizeof row.X);
    memcpy(row.A, id_of(n), KEY_BYTES);
    return row;
}

static void add(struct invites *v, bool is_held, uint8_t n, unsigned uses)
{
    struct invite_row row = row_of(n, uses, 1000);

    assert_int_equal(invites_add(v, is_held, &row, NULL), ERR_OK);
}

static void used_up(void **state)
{
    struct folder f;
    struct invites *v;
    struct invite_row row = row_of(1, 2, 1000);

    (void)state;
    folder_make(&f, "invites.json", "-");
    v = invites_create(f.path[0]);
    assert_int_equal(invites_load(v, NULL), ERR_OK);
    add(v, false, 1, 2);
    invites_use(v, row.X);
    invites_destroy(v);
    v = invites_create(f.path[0]);
    assert_int_equal(invites_load(v, NULL), ERR_OK);
    assert_int_equal(invites_at(v, false, 0)->uses, 1);
    invites_use(v, row.X);
    assert_int_equal(invites_count(v, false), 0);
    invites_use(v, row.X); /* once more: nothing */
    assert_null(strstr(get_file(f.path[0]), "0101"));
    invites_destroy(v);
    folder_remove(&f);
}

static void marks_stay(void **state)
{
    struct invites *v = invites_create(NULL);
    uint32_t second;
    struct invite_row first = row_of(1, 1, 1000);

    (void)state;
    crypto_init();
    add(v, false, 1, 1);
    add(v, false, 2, 1);
    second = invite_row_mark(invites_at(v, false, 1));
    assert_true(second & INVITE_MARK);
    invites_use(v, first.X);
    assert_non_null(invites_by_mark(v, second));
    assert_int_equal(invites_by_mark(v, second)->X[0], 2);
    assert_null(invites_by_mark(v, invite_row_mark(&first)));
    invites_destroy(v);
}

static void expired(void **state)
{
    struct invites *v = invites_create(NULL);
    struct invite_row row = row_of(2, 1, 500);

    (void)state;
    crypto_init();
    add(v, false, 1, 1);
    invites_add(v, false, &row, NULL);
    invites_add(v, true, &row, NULL);
    assert_false(invites_expire(v, 499));
    assert_true(invites_expire(v, 500));
    assert_int_equal(invites_count(v, false), 1);
    assert_int_equal(invites_count(v, true), 0);
    assert_false(invites_expire(v, 500));
    invites_destroy(v);
}

static void caps(void **state)
{
    struct invites *v = invites_create(NULL);
    struct invite_row row = row_of(200, 1, 1000);
    struct err_detail d;

    (void)state;
    crypto_init();
    for (uint8_t i = 0; i < INVITES_MAX; i++)
        add(v, false, i, 1);
    assert_int_equal(invites_add(v, false, &row, &d), ERR_FULL);
    assert_string_equal(d.text, "16 invites are open, no more fit.");
    for (uint8_t i = 0; i < INVITES_HELD_MAX; i++)
        add(v, true, i, 1);
    assert_int_equal(invites_add(v, true, &row, &d), ERR_FULL);
    row = row_of(3, 1, 2000); /* another one of the same person takes its place */
    assert_int_equal(invites_add(v, true, &row, &d), ERR_OK);
    assert_int_equal(invites_count(v, true), INVITES_HELD_MAX);
    assert_int_equal(invites_held_of(v, id_of(3))->expires_s, 2000);
    invites_drop_held(v, id_of(3));
    assert_null(invites_held_of(v, id_of(3)));
    invites_destroy(v);
}

static void damaged(void **state)
{
    struct folder f;
    struct invites *v;
    struct err_detail d = {{0}};
    char hex[65], text[512], aside[80];

    (void)state;
    folder_make(&f, "invites.json", "-");
    put_file(f.path[0], "{\"ours\": ");
    v = invites_create(f.path[0]);
    assert_int_equal(invites_load(v, &d), ERR_PARSE);
    assert_non_null(strstr(d.text, "invites.json.damaged"));
    snprintf(aside, sizeof aside, "%s.damaged", f.path[0]);
    assert_string_equal(get_file(aside), "{\"ours\": ");
    assert_int_equal(invites_count(v, false), 0);
    invites_destroy(v);
    /* no uses left, or more than can be given: not an open door */
    memset(hex, 'a', 64);
    hex[64] = '\0';
    for (int uses = -1; uses <= 0; uses++) {
        snprintf(text, sizeof text,
                 "{\"ours\": [{\"x\": \"%s\", \"id\": \"%s\", \"expires\": 9e9, \"uses\": %d}]}", hex, hex,
                 uses);
        put_file(f.path[0], text);
        v = invites_create(f.path[0]);
        assert_int_equal(invites_load(v, NULL), ERR_OK);
        assert_int_equal(invites_count(v, false), 0);
        invites_destroy(v);
    }
    folder_remove(&f);
}

static void not_written_not_open(void **state)
{
    struct folder f;
    struct invites *v;
    struct invite_row row;

    (void)state;
    folder_make(&f, "invites.json", "-");
    assert_int_equal(symlink("/nowhere", f.path[0]), 0);
    v = invites_create(f.path[0]);
    row = row_of(1, 1, 1000);
    assert_int_equal(invites_add(v, false, &row, NULL), ERR_REFUSED);
    assert_int_equal(invites_count(v, false), 0);
    invites_destroy(v);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("an invite is gone, also from the file, when its uses are", used_up),
        sentence("the mark of an invite stays when another is used up", marks_stay),
        sentence("what is over is forgotten", expired),
        sentence("16 of ours and 32 of others fit; a person's newer one takes the older one's place", caps),
        sentence("a damaged file is kept aside; a row without uses opens nothing", damaged),
        sentence("an invite that cannot be written is not open", not_written_not_open),
    };

    return run_sentences("invites", tests);
}
