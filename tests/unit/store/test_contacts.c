#include "unit/store/folder.h"

#include "store/contacts.h"

#define NOW (100 * NS_PER_S)

static struct contacts *open_list(const struct folder *f)
{
    struct contacts *c = contacts_create(f->path[0], f->path[1]);

    assert_int_equal(contacts_load(c, NULL), ERR_OK);
    return c;
}

static struct contact *add(struct contacts *c, unsigned n, const char *name)
{
    struct contact *who;

    assert_int_equal(contacts_add(c, NOW, id_of(n), name, CONTACT_ALLOWED, 1000, &who, NULL), ERR_OK);
    return who;
}

static void begin(struct folder *f, struct contacts **c)
{
    folder_make(f, "contacts.json", "contacts.state");
    *c = open_list(f);
}

static void end(struct folder *f, struct contacts *c)
{
    contacts_destroy(c);
    folder_remove(f);
}

static void what_was_written_is_read(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contact *who;

    (void)state;
    begin(&f, &c);
    who = add(c, 1, "山田 太郎");
    who->has_S = true;
    memset(who->S, 7, sizeof who->S);
    who->S_gen = 3;
    who->stamps[2] = UINT64_MAX;
    who->seen_ms = 1700000000000;
    assert_int_equal(contacts_set_verified(c, who, true, NULL), ERR_OK);
    add(c, 2, "");
    assert_int_equal(contacts_set_list(c, NOW, contacts_by_id(c, id_of(2)), CONTACT_BLOCKED, NULL), ERR_OK);
    assert_int_equal(contacts_save_state(c, NULL), ERR_OK);
    contacts_destroy(c);
    c = open_list(&f);
    assert_int_equal(contacts_count(c), 2);
    who = contacts_by_id(c, id_of(1));
    assert_string_equal(who->name, "山田 太郎");
    assert_true(who->is_verified && who->has_S && who->S[31] == 7);
    assert_int_equal(who->S_gen, 3);
    assert_true(who->stamps[2] == UINT64_MAX && who->seen_ms == 1700000000000);
    assert_int_equal(contacts_by_id(c, id_of(2))->list, CONTACT_BLOCKED);
    end(&f, c);
}

/* Their identity was given up: name and list stay, nothing that its thief knows does. */
static void a_successor(void **state)
{
    const uint8_t next[KEY_BYTES] = {5};
    struct folder f;
    struct contacts *c;
    struct contact *who;

    (void)state;
    begin(&f, &c);
    who = add(c, 1, "Kenji");
    add(c, 3, "Hanako");
    who->has_S = true;
    who->told_gen = 4;
    who->stamps[0] = 9;
    assert_int_equal(contacts_set_verified(c, who, true, NULL), ERR_OK);
    assert_int_equal(contacts_succeed(c, who, id_of(3), next, NULL), ERR_EXISTS);
    assert_memory_equal(who->id, id_of(1), KEY_BYTES);
    assert_int_equal(contacts_succeed(c, who, id_of(2), next, NULL), ERR_OK);
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_NOT_FOUND);
    contacts_destroy(c);
    c = open_list(&f);
    assert_int_equal(contacts_count(c), 2);
    assert_null(contacts_by_id(c, id_of(1)));
    who = contacts_by_id(c, id_of(2));
    assert_string_equal(who->name, "Kenji");
    assert_int_equal(who->list, CONTACT_ALLOWED);
    assert_false(who->has_S || who->has_devices || who->is_verified);
    assert_int_equal(who->told_gen, 0);
    assert_true(who->stamps[0] == 0);
    assert_memory_equal(who->next, next, KEY_BYTES);
    assert_ptr_equal(contacts_by_former(c, id_of(1)), who);
    assert_null(contacts_by_former(c, id_of(3)));
    assert_true(contacts_owes_S(c));
    end(&f, c);
}

static void files_are_for_nobody_else(void **state)
{
    struct folder f;
    struct contacts *c;
    struct stat st;

    (void)state;
    begin(&f, &c);
    add(c, 1, "Hanako");
    contacts_save_state(c, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stat(f.path[i], &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    end(&f, c);
}

static void broken(const char *body, const char *expected)
{
    struct folder f;
    struct contacts *c;
    struct err_detail d = {{0}};
    struct contact *who;
    unsigned generation;

    begin(&f, &c);
    who = add(c, 9, "Mother");
    generation = contacts_generation(c);
    put_file(f.path[0], body);
    assert_int_equal(contacts_load(c, &d), ERR_CONFIG);
    assert_string_equal(d.text, expected);
    assert_int_equal(contacts_count(c), 1);
    assert_ptr_equal(contacts_at(c, 0), who);
    assert_int_equal(contacts_generation(c), generation);
    assert_string_equal(get_file(f.path[0]), body);
    end(&f, c);
}

static void broken_edits(void **state)
{
    char body[1024], id[ID_TEXT_BYTES], expected[512];

    (void)state;
    strcpy(id, id_text(1));
    broken("{\n \"contacts\": [\n", "contacts.json:3: not JSON: expected a value after [");
    broken("[1]\n", "contacts.json:1: not an object: expected {");
    broken("{\"contacts\": 3}\n", "contacts.json:1: contacts: expected a list");
    snprintf(body, sizeof body, "{\"contacts\": [\n{\"id\": \"%s\",\n \"lits\": \"allowed\"}]}\n", id);
    broken(body, "contacts.json:3: contacts[0].lits: unknown key");
    snprintf(body, sizeof body, "{\"contacts\": [\n{\"id\": \"%s\",\n \"list\": \"friends\"}]}\n", id);
    broken(body, "contacts.json:3: contacts[0].list: \"friends\" is not one of allowed, blocked");
    snprintf(body, sizeof body, "{\"contacts\": [\n{\"id\": \"%s\"},\n{\"id\": \"%s\"}]}\n", id, id);
    broken(body, "contacts.json:3: contacts[1].id: is listed twice");
    broken("{\"contacts\": [\n\n{\"id\": \"ito1qq\"}]}\n",
           "contacts.json:3: contacts[0].id: ID has 6 characters, needs 63.");
    snprintf(body, sizeof body,
             "{\"contacts\": [\n{\"id\": \"%s\", \"name\": 7,\n\"verified\": 1,\n\"path\": "
             "\"tor\"}]}\n",
             id);
    snprintf(expected, sizeof expected, "%s\n%s\n%s",
             "contacts.json:2: contacts[0].name: expected a text, found 7",
             "contacts.json:4: contacts[0].path: \"tor\" is not one of default, private, direct, relay-only",
             "contacts.json:3: contacts[0].verified: expected true or false");
    broken(body, expected);
}

static void names(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contact *who, *other;
    struct err_detail d;
    char wide[80] = "";

    (void)state;
    begin(&f, &c);
    who = add(c, 1, "Hanako");
    add(c, 2, "Kenji");
    assert_int_equal(contacts_rename(c, NOW, who, "Kenji", &d), ERR_EXISTS);
    assert_string_equal(d.text, "Another contact is called \"Kenji\" already.");
    for (int i = 0; i < 17; i++)
        strcat(wide, "山");
    assert_int_equal(contacts_rename(c, NOW, who, wide, &d), ERR_RANGE);
    assert_string_equal(d.text, "The name is wider than 32 columns.");
    assert_int_equal(contacts_rename(c, NOW, who, "\u200b\x1b", &d), ERR_RANGE);
    assert_int_equal(contacts_rename(c, NOW, who, "Ha\u202ena\x1bko\u200b", &d), ERR_OK);
    assert_string_equal(who->name, "Hanako");
    assert_int_equal(contacts_rename(c, NOW, who, "\xff", &d), ERR_RANGE);
    assert_int_equal(contacts_add(c, NOW, id_of(3), "Kenji", CONTACT_ALLOWED, 0, &other, &d), ERR_EXISTS);
    assert_int_equal(contacts_add(c, NOW, id_of(1), "New", CONTACT_ALLOWED, 0, &other, &d), ERR_EXISTS);
    assert_ptr_equal(other, who);
    assert_string_equal(who->name, "Hanako");
    assert_int_equal(contacts_count(c), 2);
    end(&f, c);
}

static void found_by_part(void **state)
{
    struct folder f;
    struct contacts *c;
    struct err_detail d;

    (void)state;
    begin(&f, &c);
    add(c, 1, "Hanako");
    add(c, 2, "Hana");
    add(c, 3, "");
    assert_memory_equal(contacts_find(c, "Hana", &d)->id, id_of(2), KEY_BYTES);
    assert_memory_equal(contacts_find(c, "nako", &d)->id, id_of(1), KEY_BYTES);
    assert_memory_equal(contacts_find(c, id_text(3), &d)->id, id_of(3), KEY_BYTES);
    assert_null(contacts_find(c, "an", &d));
    assert_string_equal(d.text, "2 contacts match \"an\". Type more of the name.");
    assert_null(contacts_find(c, "", &d));
    assert_null(contacts_find(c, "Kenji", &d));
    assert_string_equal(d.text, "No contact is called \"Kenji\".");
    end(&f, c);
}

static void undo_brings_back(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contact *who;

    (void)state;
    begin(&f, &c);
    who = add(c, 1, "Hanako");
    who->has_S = true;
    memset(who->S, 5, sizeof who->S);
    who->stamps[0] = 42;
    assert_int_equal(contacts_remove(c, NOW, who, NULL), ERR_OK);
    assert_int_equal(contacts_save_state(c, NULL), ERR_OK);
    assert_int_equal(contacts_undo(c, NOW + CONTACTS_UNDO_NS, NULL), ERR_OK);
    who = contacts_by_id(c, id_of(1));
    assert_non_null(who);
    assert_true(who->has_S && who->S[0] == 5 && who->stamps[0] == 42);
    assert_non_null(strstr(get_file(f.path[0]), "Hanako"));
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_NOT_FOUND);
    /* and too late */
    assert_int_equal(contacts_set_list(c, NOW, who, CONTACT_BLOCKED, NULL), ERR_OK);
    assert_int_equal(contacts_undo(c, NOW + CONTACTS_UNDO_NS + 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(contacts_by_id(c, id_of(1))->list, CONTACT_BLOCKED);
    end(&f, c);
}

/* S learned, or a guest of an invite, since the change: undo takes back the change and nothing else. */
static void undo_takes_back_nothing_else(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contact *who, *guest;

    (void)state;
    begin(&f, &c);
    who = add(c, 1, "Hanako");
    assert_int_equal(contacts_save_state(c, NULL), ERR_OK);
    assert_int_equal(contacts_rename(c, NOW, who, "Mother", NULL), ERR_OK);
    who->has_S = true;
    who->S_gen = 9;
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_OK);
    who = contacts_by_id(c, id_of(1));
    assert_string_equal(who->name, "Hanako");
    assert_true(who->has_S && who->S_gen == 9);
    assert_int_equal(contacts_rename(c, NOW, who, "Mother", NULL), ERR_OK);
    assert_int_equal(contacts_add(c, 0, id_of(2), "", CONTACT_ALLOWED, 0, &guest, NULL), ERR_OK);
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_NOT_FOUND);
    assert_int_equal(contacts_count(c), 2);
    end(&f, c);
}

static void undo_in_memory(void **state)
{
    struct contacts *c = contacts_create(NULL, NULL);
    struct contact *who;

    (void)state;
    crypto_init();
    assert_int_equal(contacts_load(c, NULL), ERR_OK);
    who = add(c, 1, "Hanako");
    assert_int_equal(contacts_remove(c, NOW, who, NULL), ERR_OK);
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_OK);
    assert_int_equal(contacts_count(c), 1);
    contacts_destroy(c);
}

static void undo_of_a_name_given_away(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contact *who;

    (void)state;
    begin(&f, &c);
    who = add(c, 1, "Hanako");
    assert_int_equal(contacts_remove(c, NOW, who, NULL), ERR_OK);
    put_file(f.path[0], "{\"contacts\": []}\n");
    assert_int_equal(contacts_load(c, NULL), ERR_OK);
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_NOT_FOUND);
    assert_int_equal(contacts_count(c), 0);
    end(&f, c);
}

static void import_counts(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contacts_import n;
    char text[1024], one[ID_TEXT_BYTES], two[ID_TEXT_BYTES];

    (void)state;
    begin(&f, &c);
    add(c, 1, "Hanako")->S_gen = 5;
    add(c, 2, "Kenji");
    strcpy(one, id_text(1));
    strcpy(two, id_text(2));
    snprintf(text, sizeof text,
             "{\"contacts\": [{\"id\": \"%s\", \"name\": \"Mother\"}, {\"id\": \"%s\", \"name\": \"Kenji\"},"
             " {\"id\": \"%s\", \"name\": \"New\"}]}",
             one, two, id_text(3));
    assert_int_equal(contacts_import(c, NOW, "friends.json", slice_str(text), &n, NULL), ERR_OK);
    assert_int_equal(n.added, 1);
    assert_int_equal(n.changed, 1);
    assert_int_equal(n.same, 1);
    assert_int_equal(n.bad, 0);
    assert_int_equal(contacts_by_id(c, id_of(1))->S_gen, 5);
    assert_string_equal(contacts_by_id(c, id_of(1))->name, "Mother");
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_OK);
    assert_string_equal(contacts_by_id(c, id_of(1))->name, "Hanako");
    assert_int_equal(contacts_count(c), 2);
    end(&f, c);
}

static void import_all_or_nothing(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contacts_import n;
    struct err_detail d;
    char text[1024], three[ID_TEXT_BYTES], before[2048];

    (void)state;
    begin(&f, &c);
    add(c, 1, "Hanako");
    strcpy(before, get_file(f.path[0]));
    strcpy(three, id_text(3));
    snprintf(
        text, sizeof text,
        "{\"contacts\": [{\"id\": \"%s\", \"name\": \"New\"},\n {\"id\": \"%s\", \"name\": \"Hanako\"}]}",
        three, id_text(2));
    assert_int_equal(contacts_import(c, NOW, "a/friends.json", slice_str(text), &n, &d), ERR_CONFIG);
    assert_int_equal(n.bad, 1);
    assert_string_equal(d.text, "friends.json:2: contacts[1].name: is the name of another contact");
    assert_int_equal(contacts_count(c), 1);
    assert_string_equal(get_file(f.path[0]), before);
    /* a good one that cannot be written */
    if (geteuid() != 0) {
        snprintf(text, sizeof text, "{\"contacts\": [{\"id\": \"%s\", \"name\": \"New\"}]}", three);
        chmod(f.dir, 0500);
        assert_int_equal(contacts_import(c, NOW, "x", slice_str(text), &n, &d), ERR_IO);
        chmod(f.dir, 0700);
        assert_int_equal(contacts_count(c), 1);
    }
    end(&f, c);
}

/* Every change is refused when the file under the name is not a file of ours. */
static void a_link_in_the_way(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contact *who, *other;
    struct contacts_import n;
    struct err_detail d;
    char text[256];

    (void)state;
    begin(&f, &c);
    who = add(c, 1, "Hanako");
    unlink(f.path[0]);
    assert_int_equal(symlink("/nowhere", f.path[0]), 0);
    assert_int_equal(contacts_add(c, NOW, id_of(2), "Kenji", CONTACT_ALLOWED, 0, &other, &d), ERR_REFUSED);
    assert_int_equal(contacts_rename(c, NOW, who, "Mother", &d), ERR_REFUSED);
    assert_int_equal(contacts_set_list(c, NOW, who, CONTACT_BLOCKED, &d), ERR_REFUSED);
    assert_int_equal(contacts_set_verified(c, who, true, &d), ERR_REFUSED);
    assert_int_equal(contacts_remove(c, NOW, who, &d), ERR_REFUSED);
    snprintf(text, sizeof text, "{\"contacts\": [{\"id\": \"%s\", \"name\": \"New\"}]}", id_text(3));
    assert_int_equal(contacts_import(c, NOW, "x", slice_str(text), &n, &d), ERR_REFUSED);
    assert_int_equal(contacts_undo(c, NOW, &d), ERR_REFUSED);
    assert_int_equal(contacts_count(c), 1);
    assert_ptr_equal(contacts_at(c, 0), who);
    assert_string_equal(who->name, "Hanako");
    assert_true(who->list == CONTACT_ALLOWED && !who->is_verified && !contacts_owes_S(c));
    end(&f, c);
}

static void damaged_state_is_kept(void **state)
{
    struct folder f;
    struct contacts *c;
    struct err_detail d = {{0}};
    char aside[80];

    (void)state;
    begin(&f, &c);
    add(c, 1, "Hanako");
    contacts_destroy(c);
    put_file(f.path[1], "{\"contacts\": [");
    c = contacts_create(f.path[0], f.path[1]);
    assert_int_equal(contacts_load(c, &d), ERR_OK);
    assert_non_null(strstr(d.text, "contacts.state:1: not JSON"));
    assert_non_null(strstr(d.text, "contacts.state.damaged"));
    assert_int_equal(contacts_count(c), 1);
    snprintf(aside, sizeof aside, "%s.damaged", f.path[1]);
    assert_string_equal(get_file(aside), "{\"contacts\": [");
    assert_false(file_exists(f.path[1]));
    end(&f, c);
}

static void a_new_s_is_owed(void **state)
{
    struct folder f;
    struct contacts *c;
    struct contacts_import n;
    char text[256];

    (void)state;
    begin(&f, &c);
    assert_false(contacts_owes_S(c));
    assert_int_equal(contacts_set_list(c, NOW, add(c, 1, "a"), CONTACT_BLOCKED, NULL), ERR_OK);
    assert_true(contacts_owes_S(c));
    contacts_paid_S(c);
    /* a blocked one that goes knew nothing of the present S */
    assert_int_equal(contacts_remove(c, NOW, contacts_by_id(c, id_of(1)), NULL), ERR_OK);
    assert_false(contacts_owes_S(c));
    assert_int_equal(contacts_remove(c, NOW, add(c, 2, "b"), NULL), ERR_OK);
    assert_true(contacts_owes_S(c));
    contacts_save_state(c, NULL);
    contacts_destroy(c);
    c = open_list(&f); /* it is still owed after a restart */
    assert_true(contacts_owes_S(c));
    contacts_paid_S(c);
    add(c, 3, "c");
    snprintf(text, sizeof text, "{\"contacts\": [{\"id\": \"%s\", \"list\": \"blocked\"}]}", id_text(3));
    assert_int_equal(contacts_import(c, NOW, "x", slice_str(text), &n, NULL), ERR_OK);
    assert_true(contacts_owes_S(c));
    contacts_paid_S(c);
    add(c, 4, "d");
    assert_int_equal(contacts_undo(c, NOW, NULL), ERR_OK);
    assert_true(contacts_owes_S(c));
    contacts_paid_S(c);
    add(c, 5, "e");
    contacts_save_state(c, NULL);
    contacts_destroy(c);
    put_file(f.path[0], "{\"contacts\": []}\n"); /* by hand, while nothing ran */
    c = open_list(&f);
    assert_true(contacts_owes_S(c));
    end(&f, c);
}

static void the_cap(void **state)
{
    struct contacts *c = contacts_create(NULL, NULL);
    struct contact *who;
    struct contacts_import n;
    struct err_detail d;
    uint8_t id[KEY_BYTES] = {0};
    char text[256];

    (void)state;
    crypto_init();
    for (unsigned i = 0; i < CONTACTS_MAX; i++) {
        memcpy(id, &i, sizeof i);
        assert_int_equal(contacts_add(c, 0, id, "", CONTACT_ALLOWED, 0, &who, NULL), ERR_OK);
    }
    assert_int_equal(contacts_add(c, NOW, id_of(1), "x", CONTACT_ALLOWED, 0, &who, &d), ERR_FULL);
    snprintf(text, sizeof text, "{\"contacts\": [{\"id\": \"%s\"}]}", id_text(1));
    assert_int_equal(contacts_import(c, NOW, "x", slice_str(text), &n, &d), ERR_FULL);
    assert_string_equal(d.text, "With these there would be 4097 contacts; 4096 fit.");
    assert_int_equal(contacts_count(c), CONTACTS_MAX);
    contacts_destroy(c);
}

/* What somebody calls themselves becomes a petname, whatever it is. */
static void a_free_name(void **state)
{
    static const struct {
        const char *claimed, *first, *second;
    } cases[] = {
        {"Ann", "Ann", "Ann 2"},
        {"", "", ""},
        {"just so long that a blank is last, and more", "just so long that a blank is las",
         "just so long that a blank i 2"},
        {"cut where a blank would be left ", "cut where a blank would be left",
         "cut where a blank would be 2"},
        {"a name of forty columns, much too wide..", "a name of forty columns, much to",
         "a name of forty columns, mu 2"},
        {"山田太郎山田太郎山田太郎山田太郎山田太郎", "山田太郎山田太郎山田太郎山田太郎",
         "山田太郎山田太郎山田太郎山 2"},
        {"A\xe2\x80\xae\nB", "A B", "A B 2"},
    };
    struct folder f;
    struct contacts *c;
    char name[ID_NAME_BYTES];

    (void)state;
    begin(&f, &c);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        contacts_free_name(c, cases[i].claimed, name);
        assert_string_equal(name, cases[i].first);
        add(c, 2 * i, name);
        contacts_free_name(c, cases[i].claimed, name);
        assert_string_equal(name, cases[i].second);
        add(c, 2 * i + 1, name);
    }
    contacts_free_name(c, "Ann", name);
    assert_string_equal(name, "Ann 3");
    end(&f, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("what was written is read again, list and state", what_was_written_is_read),
        sentence("a successor keeps name and list, and nothing else of who it follows", a_successor),
        sentence("both files are readable by nobody else", files_are_for_nobody_else),
        sentence("a broken edit is named by line, and the old list stays in force", broken_edits),
        sentence("names are unique, narrow and harmless", names),
        sentence("what a stranger calls themselves fits as a petname, with a number when in use",
                 a_free_name),
        sentence("a contact is found by name, ID, or a unique part of the name", found_by_part),
        sentence("undo brings back a removed contact with all that was known, for 10 s", undo_brings_back),
        sentence("undo takes back the last change and nothing learned since", undo_takes_back_nothing_else),
        sentence("undo works without files", undo_in_memory),
        sentence("after an edit by hand there is nothing to undo", undo_of_a_name_given_away),
        sentence("an import counts added, changed and same, and is undone whole", import_counts),
        sentence("an import is all or nothing", import_all_or_nothing),
        sentence("what cannot be written changes nothing", a_link_in_the_way),
        sentence("a damaged state file is kept aside and named", damaged_state_is_kept),
        sentence("whoever stops being allowed makes a new S owed, over restarts", a_new_s_is_owed),
        sentence("4,096 contacts fit and not one more", the_cap),
    };

    return run_sentences("contacts", tests);
}
