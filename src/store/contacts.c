#include "store/contacts.h"

#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "crypto/secret.h"

#define ERRORS_MAX  16
#define NUMBER_ROOM 5 /* of a name that gets one: blank and digits */

struct contacts {
    char *path, *state_path;
    struct contact **items;
    size_t n;
    unsigned generation;
    struct change *undo; /* the last change of the lists */
    size_t n_undo;
    ns_t undo_until;
    bool is_loaded, owes_S;
};

/* One person of a change, as it was before it; NULL: not on the list. */
struct change {
    uint8_t id[KEY_BYTES];
    struct contact *before;
};

static const char *const list_names[] = {"allowed", "blocked"};
static const char *const policy_names[] = {"default", "private", "direct", "relay-only"};

const char *contact_policy_name(enum contact_policy p)
{
    return policy_names[p];
}

struct contacts *contacts_create(const char *path, const char *state_path)
{
    struct contacts *c = mem_alloc(sizeof *c);

    c->path = path != NULL ? mem_str(path) : NULL;
    c->state_path = state_path != NULL ? mem_str(state_path) : NULL;
    return c;
}

static void contact_free(struct contact *who)
{
    if (who != NULL)
        secret_wipe(who, sizeof *who);
    mem_free(who);
}

static void free_all(struct contact **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        contact_free(items[i]);
    mem_free(items);
}

static void free_changes(struct change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        contact_free(changes[i].before);
    mem_free(changes);
}

/* What is there to undo from now on; none when now is 0. */
static void set_undo(struct contacts *c, ns_t now, struct change *changes, size_t n)
{
    free_changes(c->undo, c->n_undo);
    c->undo = changes;
    c->n_undo = n;
    c->undo_until = now + CONTACTS_UNDO_NS;
    if (now == 0)
        set_undo(c, 1, NULL, 0);
}

void contacts_destroy(struct contacts *c)
{
    if (c == NULL)
        return;
    free_all(c->items, c->n);
    free_changes(c->undo, c->n_undo);
    mem_free(c->path);
    mem_free(c->state_path);
    mem_free(c);
}

unsigned contacts_generation(const struct contacts *c)
{
    return c->generation;
}

size_t contacts_count(const struct contacts *c)
{
    return c->n;
}

struct contact *contacts_at(const struct contacts *c, size_t i)
{
    return i < c->n ? c->items[i] : NULL;
}

bool contacts_owes_S(const struct contacts *c)
{
    return c->owes_S;
}

void contacts_paid_S(struct contacts *c)
{
    c->owes_S = false;
}

static struct contact *by_id(struct contact *const *items, size_t n, const uint8_t id[static KEY_BYTES])
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(items[i]->id, id, KEY_BYTES) == 0)
            return items[i];
    return NULL;
}

struct contact *contacts_by_id(const struct contacts *c, const uint8_t id[static KEY_BYTES])
{
    return by_id(c->items, c->n, id);
}

static struct contact *by_name(struct contact *const *items, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (name[0] != '\0' && strcmp(items[i]->name, name) == 0)
            return items[i];
    return NULL;
}

struct contact *contacts_find(const struct contacts *c, const char *text, struct err_detail *detail)
{
    struct contact *found = by_name(c->items, c->n, text);
    uint8_t id[KEY_BYTES];
    unsigned hits = 0;

    if (found != NULL)
        return found;
    if (id_parse(text, id, NULL, NULL) == ERR_OK) {
        found = contacts_by_id(c, id);
        if (found == NULL)
            err_set(detail, ERR_NOT_FOUND, "This ID is not among your contacts.");
        return found;
    }
    for (size_t i = 0; i < c->n; i++) {
        if (text[0] != '\0' && strstr(c->items[i]->name, text) != NULL) {
            found = c->items[i];
            hits++;
        }
    }
    if (hits == 1)
        return found;
    if (hits == 0)
        err_set(detail, ERR_NOT_FOUND, "No contact is called \"%.64s\".", text);
    else
        err_set(detail, ERR_NOT_FOUND, "%u contacts match \"%.64s\". Type more of the name.", hits, text);
    return NULL;
}

/* ---- contacts.json ---- */

struct lines {
    struct {
        char *path;
        unsigned line;
    } * keys;
    size_t n, cap;
    const char *name; /* of the file, for messages */
    char errors[ERR_DETAIL_BYTES];
    unsigned n_errors;
};

static void complain(struct lines *l, unsigned line, const char *where, const char *what)
{
    size_t used = strlen(l->errors);

    if (l->n_errors++ < ERRORS_MAX)
        snprintf(l->errors + used, sizeof l->errors - used, "%s%s:%u: %s%s%s", used > 0 ? "\n" : "", l->name,
                 line, where, where[0] != '\0' ? ": " : "", what);
}

static bool is_known_key(const char *path)
{
    static const char *const members[] = {"id", "name", "list", "path", "verified"};
    unsigned index;
    int used = 0;

    if (strcmp(path, "contacts") == 0 || strcmp(path, "v") == 0)
        return true;
    if (sscanf(path, "contacts[%u].%n", &index, &used) != 1 || used == 0)
        return false;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strcmp(path + used, members[i]) == 0)
            return true;
    return false;
}

static void on_key(void *arg, const struct json_key *key)
{
    struct lines *l = arg;
    char text[64];

    if (key->first_line != 0) {
        snprintf(text, sizeof text, "given twice (first on line %u)", key->first_line);
        complain(l, key->line, key->path, text);
        return;
    }
    if (!is_known_key(key->path))
        complain(l, key->line, key->path, "unknown key");
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 64;
        l->keys = mem_resize(l->keys, l->cap, sizeof *l->keys);
    }
    l->keys[l->n].path = mem_str(key->path);
    l->keys[l->n++].line = key->line;
}

/* 0: there is no such member. */
static unsigned line_of(const struct lines *l, const char *path)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->keys[i].path, path) == 0)
            return l->keys[i].line;
    return 0;
}

/* The line of the first member of an entry, 0 when it has none. */
static unsigned line_in(const struct lines *l, unsigned index)
{
    char path[32];

    snprintf(path, sizeof path, "contacts[%u].", index);
    for (size_t i = 0; i < l->n; i++)
        if (strncmp(l->keys[i].path, path, strlen(path)) == 0)
            return l->keys[i].line;
    return 0;
}

static void lines_fini(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->keys[i].path);
    mem_free(l->keys);
}

/* A petname as it is kept, without control, bidi and zero-width characters; or what is wrong with it. */
static const char *clean_name(const char *name, char out[static ID_NAME_BYTES])
{
    char clean[2 * ID_NAME_BYTES];
    size_t n = strlen(name);

    out[0] = '\0';
    if (!utf8_valid(name, n))
        return "not UTF-8";
    n = utf8_clean(name, n, clean, sizeof clean);
    if (n >= ID_NAME_BYTES)
        return "longer than 64 bytes";
    if (utf8_columns(clean, n, false) > CONTACT_NAME_COLUMNS)
        return "wider than 32 columns";
    memcpy(out, clean, n + 1);
    return NULL;
}

/* The bytes of a name that leave room: columns of it, and rest bytes behind them. */
static size_t cut_name(const char *name, size_t columns, size_t rest)
{
    size_t len;

    do
        len = utf8_fit(name, strlen(name), columns--, false);
    while (len >= ID_NAME_BYTES - rest);
    while (len > 0 && name[len - 1] == ' ')
        len--;
    return len;
}

/* The name with the first number that nobody has; "" when all are in use. */
static void put_number(struct contact *const *items, size_t n, const char *name,
                       char out[static ID_NAME_BYTES])
{
    size_t len = cut_name(name, CONTACT_NAME_COLUMNS - NUMBER_ROOM, NUMBER_ROOM);

    for (int k = 2; k < CONTACTS_MAX + 2; k++) {
        snprintf(out, ID_NAME_BYTES, "%.*s %d", (int)len, name, k);
        if (by_name(items, n, out) == NULL)
            return;
    }
    out[0] = '\0';
}

void contacts_free_name(const struct contacts *c, const char *claimed, char out[static ID_NAME_BYTES])
{
    char clean[ID_NAME_BYTES];
    size_t len;

    utf8_clean(claimed, strlen(claimed), clean, sizeof clean);
    len = cut_name(clean, CONTACT_NAME_COLUMNS, 0);
    memcpy(out, clean, len);
    out[len] = '\0';
    if (by_name(c->items, c->n, out) != NULL)
        put_number(c->items, c->n, clean, out);
}

static int choice(const char *const *names, int n, const char *text)
{
    for (int i = 0; i < n; i++)
        if (text != NULL && strcmp(names[i], text) == 0)
            return i;
    return -1;
}

struct entry_check {
    struct lines *lines;
    unsigned index;
};

/* member NULL: the entry itself. What has no line of its own is told at another member of the entry, or at the
 * entry before. */
static void fault(struct entry_check *x, const char *member, const char *what)
{
    char path[64];
    unsigned line;

    snprintf(path, sizeof path, "contacts[%u]%s%s", x->index, member != NULL ? "." : "",
             member != NULL ? member : "");
    line = line_of(x->lines, path);
    for (unsigned i = x->index + 1; line == 0 && i > 0; i--)
        line = line_in(x->lines, i - 1);
    if (line == 0)
        line = line_of(x->lines, "contacts");
    complain(x->lines, line, path, what);
}

/* First line of a detail that may have three (crypto/idtext.h). */
static const char *first_line(struct err_detail *d)
{
    d->text[strcspn(d->text, "\n")] = '\0';
    return d->text;
}

/* The text of a member; otherwise when it is missing, or is no text (then a fault). */
static const char *text_of(const cJSON *v, struct entry_check *x, const char *member, const char *otherwise)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(v, member);
    char what[96], *found;

    if (m == NULL || cJSON_IsString(m))
        return m != NULL ? m->valuestring : otherwise;
    found = json_print(m);
    snprintf(what, sizeof what, "expected a text, found %.64s", found);
    fault(x, member, what);
    mem_free(found);
    return otherwise;
}

static int choice_of(const cJSON *v, struct entry_check *x, const char *member, const char *const *names,
                     int n, const char *all)
{
    const char *text = text_of(v, x, member, names[0]);
    int i = choice(names, n, text);
    char what[160];

    snprintf(what, sizeof what, "\"%.64s\" is not one of %s", text, all);
    if (i < 0)
        fault(x, member, what);
    return i > 0 ? i : 0;
}

static void read_entry(const cJSON *v, struct entry_check *x, struct contact *out)
{
    const cJSON *verified = cJSON_GetObjectItemCaseSensitive(v, "verified");
    const char *id, *wrong;
    struct err_detail d;

    if (!cJSON_IsObject(v)) {
        fault(x, NULL, "expected an object");
        return;
    }
    id = text_of(v, x, "id", NULL);
    if (cJSON_GetObjectItemCaseSensitive(v, "id") == NULL)
        fault(x, "id", "missing");
    else if (id != NULL && id_parse(id, out->id, NULL, &d) != ERR_OK)
        fault(x, "id", first_line(&d));
    wrong = clean_name(text_of(v, x, "name", ""), out->name);
    if (wrong != NULL)
        fault(x, "name", wrong);
    out->list = (enum contact_list)choice_of(v, x, "list", list_names, 2, "allowed, blocked");
    out->policy =
        (enum contact_policy)choice_of(v, x, "path", policy_names, 4, "default, private, direct, relay-only");
    if (verified != NULL && !cJSON_IsBool(verified))
        fault(x, "verified", "expected true or false");
    out->is_verified = cJSON_IsTrue(verified);
}

/* Within the text, and, for a text that is merged, with those who are there. */
static void check_unique(struct contact **items, size_t n, const struct contacts *there,
                         struct entry_check *x)
{
    const struct contact *other;

    for (size_t i = 0; i < n; i++) {
        if (!secret_is_zero(items[n]->id, KEY_BYTES) && memcmp(items[i]->id, items[n]->id, KEY_BYTES) == 0)
            fault(x, "id", "is listed twice");
        if (items[n]->name[0] != '\0' && strcmp(items[i]->name, items[n]->name) == 0)
            fault(x, "name", "is used twice");
    }
    if (there == NULL)
        return;
    other = by_name(there->items, there->n, items[n]->name);
    if (other != NULL && memcmp(other->id, items[n]->id, KEY_BYTES) != 0)
        fault(x, "name", "is the name of another contact");
}

/* Text to contacts; ERR_CONFIG with every fault. */
static enum err parse(const char *name, struct slice text, const struct contacts *there,
                      struct contact ***out, size_t *out_n, unsigned *bad, struct err_detail *detail)
{
    const char *slash = strrchr(name, '/');
    struct lines lines = {.name = slash != NULL ? slash + 1 : name};
    struct contact **items = NULL;
    struct err_detail d;
    const cJSON *array, *v;
    cJSON *tree;
    size_t n = 0, count;

    *out = NULL;
    *out_n = 0;
    if (json_parse(text, on_key, &lines, &tree, &d) != ERR_OK) {
        lines_fini(&lines);
        *bad = 1;
        return err_set(detail, ERR_CONFIG, "%s:%s", lines.name, d.text);
    }
    array = cJSON_GetObjectItemCaseSensitive(tree, "contacts");
    if (!cJSON_IsObject(tree))
        complain(&lines, 1, "", "not an object: expected {");
    else if (array == NULL)
        complain(&lines, 1, "contacts", "missing");
    else if (!cJSON_IsArray(array))
        complain(&lines, line_of(&lines, "contacts"), "contacts", "expected a list");
    count = (size_t)cJSON_GetArraySize(array);
    if (count > CONTACTS_MAX)
        complain(&lines, line_of(&lines, "contacts"), "contacts", "more than 4096 entries");
    items = mem_array(count, sizeof *items);
    cJSON_ArrayForEach(v, array)
    {
        struct entry_check x = {.lines = &lines, .index = (unsigned)n};

        if (n == CONTACTS_MAX)
            break;
        items[n] = mem_alloc(sizeof *items[n]);
        read_entry(v, &x, items[n]);
        check_unique(items, n, there, &x);
        n++;
    }
    cJSON_Delete(tree);
    lines_fini(&lines);
    *bad = lines.n_errors;
    if (lines.n_errors > 0) {
        free_all(items, n);
        if (lines.n_errors > ERRORS_MAX)
            return err_set(detail, ERR_CONFIG, "%s\nand %u more", lines.errors, lines.n_errors - ERRORS_MAX);
        return err_set(detail, ERR_CONFIG, "%s", lines.errors);
    }
    *out = items;
    *out_n = n;
    return ERR_OK;
}

char *contacts_print(const struct contacts *c)
{
    char *out = mem_str("{\n  \"contacts\": ["), *next, id[ID_TEXT_BYTES];

    for (size_t i = 0; i < c->n; i++) {
        const struct contact *who = c->items[i];
        cJSON *v = cJSON_CreateObject();
        char *line;

        json_add_str(v, "id", id_format(who->id, id));
        json_add_str(v, "name", who->name);
        json_add_str(v, "list", list_names[who->list]);
        if (who->policy != POLICY_DEFAULT)
            json_add_str(v, "path", policy_names[who->policy]);
        cJSON_AddBoolToObject(v, "verified", who->is_verified);
        line = json_print(v);
        next = mem_printf("%s%s\n    %s", out, i > 0 ? "," : "", line);
        mem_free(line);
        mem_free(out);
        cJSON_Delete(v);
        out = next;
    }
    next = mem_printf("%s%s]\n}\n", out, c->n > 0 ? "\n  " : "");
    mem_free(out);
    return next;
}

/* ---- contacts.state ---- */

static void put_hex(cJSON *v, const char *key, const uint8_t *data, size_t n)
{
    char *text = mem_alloc(n * 2 + 1);

    for (size_t i = 0; i < n; i++)
        snprintf(text + i * 2, 3, "%02x", data[i]);
    cJSON_AddStringToObject(v, key, text);
    secret_wipe(text, n * 2);
    mem_free(text);
}

/* Bytes of a hex member; 0 when missing, malformed or longer than max. */
static size_t get_hex(const cJSON *v, const char *key, uint8_t *out, size_t max)
{
    const char *text = json_str(v, key, "");
    size_t n = strlen(text) / 2;

    if (strlen(text) % 2 != 0 || n > max)
        return 0;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;

        if (sscanf(text + i * 2, "%2x", &byte) != 1)
            return 0;
        out[i] = (uint8_t)byte;
    }
    return n;
}

static cJSON *state_of(const struct contact *who)
{
    cJSON *v = cJSON_CreateObject(), *stamps;
    uint8_t list[LIST_MAX_BYTES];
    char id[ID_TEXT_BYTES], stamp[24];
    struct wr w;

    json_add_str(v, "id", id_format(who->id, id));
    cJSON_AddBoolToObject(v, "allowed", who->list == CONTACT_ALLOWED);
    if (who->claimed[0] != '\0')
        json_add_str(v, "claimed", who->claimed);
    if (who->has_S) {
        put_hex(v, "s", who->S, sizeof who->S);
        cJSON_AddNumberToObject(v, "s_gen", who->S_gen);
    }
    if (who->has_devices) {
        wr_init(&w, list, sizeof list);
        device_list_write(&w, &who->devices);
        put_hex(v, "devices", list, wr_len(&w));
    }
    if (!secret_is_zero(who->next, sizeof who->next))
        put_hex(v, "next", who->next, sizeof who->next);
    if (!secret_is_zero(who->former, sizeof who->former))
        put_hex(v, "former", who->former, sizeof who->former);
    if (who->is_T_kept)
        put_hex(v, "t", who->T, sizeof who->T);
    cJSON_AddNumberToObject(v, "told_s_gen", who->told_S_gen);
    cJSON_AddNumberToObject(v, "told_gen", who->told_gen);
    stamps = cJSON_AddArrayToObject(v, "stamps");
    for (int i = 0; i < DEVICES_MAX; i++) {
        snprintf(stamp, sizeof stamp, "%llu", (unsigned long long)who->stamps[i]);
        cJSON_AddItemToArray(stamps, cJSON_CreateString(stamp));
    }
    cJSON_AddNumberToObject(v, "seen", (double)who->seen_ms);
    cJSON_AddNumberToObject(v, "last_call", (double)who->last_call_ms);
    cJSON_AddNumberToObject(v, "added", (double)who->added_ms);
    return v;
}

static void take_state(struct contact *who, const cJSON *v)
{
    uint8_t list[LIST_MAX_BYTES];
    const cJSON *stamps = cJSON_GetObjectItemCaseSensitive(v, "stamps");
    size_t n = get_hex(v, "devices", list, sizeof list);

    snprintf(who->claimed, sizeof who->claimed, "%s", json_str(v, "claimed", ""));
    who->has_S = get_hex(v, "s", who->S, sizeof who->S) == sizeof who->S;
    who->S_gen = (uint32_t)json_num(v, "s_gen", 0);
    who->has_devices = n > 0 && device_list_open(slice_of(list, n), who->id, &who->devices) == ERR_OK;
    get_hex(v, "next", who->next, sizeof who->next);
    get_hex(v, "former", who->former, sizeof who->former);
    who->has_T = who->is_T_kept = get_hex(v, "t", who->T, sizeof who->T) == sizeof who->T;
    who->told_S_gen = (uint32_t)json_num(v, "told_s_gen", 0);
    who->told_gen = (uint32_t)json_num(v, "told_gen", 0);
    for (int i = 0; i < DEVICES_MAX; i++) {
        const cJSON *s = cJSON_GetArrayItem(stamps, i);
        unsigned long long stamp = 0;

        if (cJSON_IsString(s) && sscanf(s->valuestring, "%llu", &stamp) == 1)
            who->stamps[i] = stamp;
    }
    who->seen_ms = (int64_t)json_num(v, "seen", 0);
    who->last_call_ms = (int64_t)json_num(v, "last_call", 0);
    who->added_ms = (int64_t)json_num(v, "added", 0);
}

enum err contacts_save_state(struct contacts *c, struct err_detail *detail)
{
    cJSON *tree = cJSON_CreateObject(), *array = cJSON_AddArrayToObject(tree, "contacts");
    char *text;
    enum err e;

    if (c->state_path == NULL) {
        cJSON_Delete(tree);
        return ERR_OK;
    }
    cJSON_AddNumberToObject(tree, "v", 1);
    cJSON_AddBoolToObject(tree, "owes_s", c->owes_S);
    for (size_t i = 0; i < c->n; i++)
        cJSON_AddItemToArray(array, state_of(c->items[i]));
    text = json_print(tree);
    cJSON_Delete(tree);
    e = file_replace(c->state_path, slice_str(text), 0600, detail);
    secret_wipe(text, strlen(text));
    mem_free(text);
    return e;
}

/* The state of those who are on the list; a damaged file is kept aside, not silently written over. */
static enum err load_state(struct contacts *c, struct err_detail *detail)
{
    uint8_t *text, id[KEY_BYTES];
    size_t len;
    cJSON *tree;
    const cJSON *v;
    struct err_detail d;
    enum err e = file_read(c->state_path, JSON_FILE_MAX, &text, &len, detail);

    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    e = json_parse(slice_of(text, len), NULL, NULL, &tree, &d);
    secret_wipe(text, len);
    mem_free(text);
    if (e != ERR_OK) {
        char *aside = mem_printf("%s.damaged", c->state_path);

        e = rename(c->state_path, aside) == 0 ? ERR_OK : ERR_IO;
        err_set(detail, ERR_PARSE, "%s:%s (kept as %s)", c->state_path, d.text, aside);
        mem_free(aside);
        return e;
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(tree, "contacts"))
    {
        struct contact *who;

        if (id_parse(json_str(v, "id", ""), id, NULL, NULL) != ERR_OK)
            continue;
        who = contacts_by_id(c, id);
        if (who != NULL)
            take_state(who, v);
        if (json_bool(v, "allowed", false) && (who == NULL || who->list != CONTACT_ALLOWED))
            c->owes_S = true; /* struck off by hand, while we were away */
    }
    c->owes_S = c->owes_S || json_bool(tree, "owes_s", false);
    cJSON_Delete(tree);
    return ERR_OK;
}

/* ---- loading, changing ---- */

/* What the program knows of those who stay on the list. */
static void carry_over(struct contact *to, const struct contact *from)
{
    struct contact read = *to;

    *to = *from;
    memcpy(to->name, read.name, sizeof to->name);
    to->list = read.list;
    to->policy = read.policy;
    to->is_verified = read.is_verified;
    secret_wipe(&read, sizeof read);
}

/* Whoever is allowed now and will not be knows S: a new one is owed to those who stay. */
static void note_losses(struct contacts *c, struct contact *const *items, size_t n)
{
    for (size_t i = 0; i < c->n && !c->owes_S; i++) {
        const struct contact *after = by_id(items, n, c->items[i]->id);

        if (c->items[i]->list == CONTACT_ALLOWED && (after == NULL || after->list != CONTACT_ALLOWED))
            c->owes_S = true;
    }
}

static void take_items(struct contacts *c, struct contact **items, size_t n)
{
    note_losses(c, items, n);
    for (size_t i = 0; i < n; i++) {
        const struct contact *before = contacts_by_id(c, items[i]->id);

        if (before != NULL)
            carry_over(items[i], before);
    }
    free_all(c->items, c->n);
    c->items = items;
    c->n = n;
    c->generation++;
}

enum err contacts_load(struct contacts *c, struct err_detail *detail)
{
    struct contact **items = NULL;
    uint8_t *text;
    size_t len, n = 0;
    unsigned bad;
    enum err e;

    if (c->path == NULL)
        return ERR_OK;
    e = file_read(c->path, JSON_FILE_MAX, &text, &len, detail);
    if (e == ERR_OK) {
        e = parse(c->path, slice_of(text, len), NULL, &items, &n, &bad, detail);
        mem_free(text);
    } else if (e == ERR_NOT_FOUND) {
        e = ERR_OK;
    }
    if (e != ERR_OK)
        return e;
    set_undo(c, 0, NULL, 0); /* a hand came in between */
    take_items(c, items, n);
    if (c->is_loaded || c->state_path == NULL)
        return ERR_OK;
    e = load_state(c, detail);
    c->is_loaded = e == ERR_OK;
    return e;
}

enum err contacts_save(struct contacts *c, struct err_detail *detail)
{
    char *text;
    enum err e;

    if (c->path == NULL)
        return ERR_OK;
    text = contacts_print(c);
    e = file_replace(c->path, slice_str(text), 0600, detail);
    mem_free(text);
    return e;
}

static struct contact *copy_of(const struct contact *who)
{
    struct contact *copy = mem_alloc(sizeof *copy);

    *copy = *who;
    return copy;
}

/* Write the list after a change of one person; keep what was before for undo. `before` is taken. */
static enum err commit(struct contacts *c, ns_t now, const uint8_t id[static KEY_BYTES],
                       struct contact *before, struct err_detail *detail)
{
    const struct contact *after = contacts_by_id(c, id);
    enum err e = contacts_save(c, detail);
    struct change *change;

    if (e != ERR_OK) {
        contact_free(before);
        return e;
    }
    if (before != NULL && before->list == CONTACT_ALLOWED &&
        (after == NULL || after->list != CONTACT_ALLOWED))
        c->owes_S = true;
    change = mem_alloc(sizeof *change);
    memcpy(change->id, id, KEY_BYTES);
    change->before = before;
    set_undo(c, now, change, 1);
    return ERR_OK;
}

static enum err check_name(const struct contacts *c, const struct contact *self, const char *name,
                           char clean[static ID_NAME_BYTES], struct err_detail *detail)
{
    const char *wrong = clean_name(name, clean);
    const struct contact *other = by_name(c->items, c->n, clean);

    if (wrong != NULL)
        return err_set(detail, ERR_RANGE, "The name is %s.", wrong);
    if (other != NULL && other != self)
        return err_set(detail, ERR_EXISTS, "Another contact is called \"%s\" already.", clean);
    return ERR_OK;
}

enum err contacts_add(struct contacts *c, ns_t now, const uint8_t id[static KEY_BYTES], const char *name,
                      enum contact_list list, int64_t wall_ms, struct contact **out,
                      struct err_detail *detail)
{
    struct contact *who;
    char clean[ID_NAME_BYTES];
    enum err e = check_name(c, NULL, name, clean, detail);

    *out = contacts_by_id(c, id);
    if (*out != NULL)
        return err_set(detail, ERR_EXISTS, "This ID is among your contacts already, as \"%s\".",
                       (*out)->name);
    if (e != ERR_OK)
        return e;
    if (c->n == CONTACTS_MAX)
        return err_set(detail, ERR_FULL, "There are %d contacts, no more fit.", CONTACTS_MAX);
    who = mem_alloc(sizeof *who);
    memcpy(who->id, id, KEY_BYTES);
    memcpy(who->name, clean, sizeof who->name);
    who->list = list;
    who->added_ms = wall_ms;
    c->items = mem_resize(c->items, c->n + 1, sizeof(struct contact *));
    c->items[c->n++] = who;
    e = commit(c, now, id, NULL, detail);
    if (e != ERR_OK) {
        c->n--;
        contact_free(who);
        return e;
    }
    *out = who;
    return ERR_OK;
}

enum err contacts_set_list(struct contacts *c, ns_t now, struct contact *who, enum contact_list list,
                           struct err_detail *detail)
{
    enum contact_list old = who->list;
    struct contact *before = copy_of(who);
    enum err e;

    who->list = list;
    e = commit(c, now, who->id, before, detail);
    if (e != ERR_OK)
        who->list = old;
    return e;
}

enum err contacts_remove(struct contacts *c, ns_t now, struct contact *who, struct err_detail *detail)
{
    struct contact *before = copy_of(who);
    size_t at = 0;
    enum err e;

    while (c->items[at] != who)
        at++;
    memmove(c->items + at, c->items + at + 1, (c->n - at - 1) * sizeof(struct contact *));
    c->n--;
    e = commit(c, now, who->id, before, detail);
    if (e != ERR_OK) {
        memmove(c->items + at + 1, c->items + at, (c->n - at) * sizeof(struct contact *));
        c->items[at] = who;
        c->n++;
        return e;
    }
    contact_free(who);
    c->generation++;
    return ERR_OK;
}

enum err contacts_rename(struct contacts *c, ns_t now, struct contact *who, const char *name,
                         struct err_detail *detail)
{
    char old[ID_NAME_BYTES], clean[ID_NAME_BYTES];
    struct contact *before;
    enum err e = check_name(c, who, name, clean, detail);

    if (e != ERR_OK)
        return e;
    if (clean[0] == '\0')
        return err_set(detail, ERR_RANGE, "A name is needed.");
    memcpy(old, who->name, sizeof old);
    memcpy(who->name, clean, sizeof who->name);
    before = copy_of(who);
    memcpy(before->name, old, sizeof old);
    e = commit(c, now, who->id, before, detail);
    if (e != ERR_OK)
        memcpy(who->name, old, sizeof old);
    return e;
}

enum err contacts_set_verified(struct contacts *c, struct contact *who, bool is_verified,
                               struct err_detail *detail)
{
    bool old = who->is_verified;
    enum err e;

    who->is_verified = is_verified;
    e = contacts_save(c, detail);
    if (e != ERR_OK)
        who->is_verified = old;
    return e;
}

struct contact *contacts_by_former(const struct contacts *c, const uint8_t id[static KEY_BYTES])
{
    for (size_t i = 0; i < c->n; i++)
        if (!secret_is_zero(c->items[i]->former, KEY_BYTES) &&
            memcmp(c->items[i]->former, id, KEY_BYTES) == 0)
            return c->items[i];
    return NULL;
}

enum err contacts_succeed(struct contacts *c, struct contact *who, const uint8_t new_id[static KEY_BYTES],
                          const uint8_t next[static KEY_BYTES], struct err_detail *detail)
{
    struct contact before = *who;
    enum err e;

    if (contacts_by_id(c, new_id) != NULL)
        return err_set(detail, ERR_EXISTS, "The new ID is among your contacts already.");
    *who = (struct contact){.list = before.list,
                            .policy = before.policy,
                            .last_call_ms = before.last_call_ms,
                            .added_ms = before.added_ms};
    memcpy(who->id, new_id, KEY_BYTES);
    memcpy(who->name, before.name, sizeof who->name);
    memcpy(who->next, next, KEY_BYTES);
    memcpy(who->former, before.id, KEY_BYTES);
    e = contacts_save(c, detail);
    if (e != ERR_OK) {
        *who = before;
    } else {
        set_undo(c, 0, NULL, 0);
        c->owes_S = c->owes_S || who->list == CONTACT_ALLOWED; /* whoever has the old keys has S */
        e = contacts_save_state(c, detail);
    }
    secret_wipe(&before, sizeof before);
    return e;
}

/* A list of copies, with room for `extra` more: to be changed, and then taken whole or not at all. */
static struct contact **copy_all(const struct contacts *c, size_t extra)
{
    struct contact **items = mem_array(c->n + extra, sizeof(struct contact *));

    for (size_t i = 0; i < c->n; i++)
        items[i] = copy_of(c->items[i]);
    return items;
}

/* Make `items` the list and write it; when it cannot be written, all is as before. items is taken. */
static enum err swap_in(struct contacts *c, struct contact **items, size_t n, bool owes_for_losses,
                        struct err_detail *detail)
{
    struct contact **old = c->items;
    size_t n_old = c->n;
    enum err e;

    c->items = items;
    c->n = n;
    e = contacts_save(c, detail);
    if (e != ERR_OK) {
        c->items = old;
        c->n = n_old;
        free_all(items, n);
        return e;
    }
    c->items = old;
    c->n = n_old;
    if (owes_for_losses)
        note_losses(c, items, n);
    c->items = items;
    c->n = n;
    free_all(old, n_old);
    c->generation++;
    return ERR_OK;
}

static void undo_one(struct contact **items, size_t *n, const struct change *change)
{
    struct contact *now = by_id(items, *n, change->id);
    size_t at = 0;

    if (change->before != NULL && now != NULL) {
        memcpy(now->name, change->before->name, sizeof now->name);
        now->list = change->before->list;
        now->policy = change->before->policy;
        now->is_verified = change->before->is_verified;
    } else if (change->before != NULL) {
        items[(*n)++] = copy_of(change->before);
    } else if (now != NULL) {
        while (items[at] != now)
            at++;
        memmove(items + at, items + at + 1, (*n - at - 1) * sizeof(struct contact *));
        --*n;
        contact_free(now);
    }
}

enum err contacts_undo(struct contacts *c, ns_t now, struct err_detail *detail)
{
    struct contact **items;
    size_t n = c->n;
    enum err e;

    if (c->n_undo == 0 || now > c->undo_until)
        return err_set(detail, ERR_NOT_FOUND, "Nothing to undo.");
    items = copy_all(c, c->n_undo);
    for (size_t i = 0; i < c->n_undo; i++)
        undo_one(items, &n, &c->undo[i]);
    for (size_t i = 0; i < n; i++) {
        if (by_name(items, i, items[i]->name) == NULL)
            continue;
        err_set(detail, ERR_EXISTS, "Another contact is called \"%s\" by now.", items[i]->name);
        free_all(items, n);
        return ERR_EXISTS;
    }
    e = swap_in(c, items, n, true, detail);
    if (e == ERR_OK)
        set_undo(c, 0, NULL, 0);
    return e;
}

static bool is_same_entry(const struct contact *a, const struct contact *b)
{
    return strcmp(a->name, b->name) == 0 && a->list == b->list && a->policy == b->policy &&
           a->is_verified == b->is_verified;
}

/* Merge `fresh` into copies of the list; each person that changes is noted for undo. fresh is taken. */
static struct contact **merge(const struct contacts *c, struct contact **fresh, size_t n_fresh, size_t *n,
                              struct change *changes, size_t *n_changes, struct contacts_import *out)
{
    struct contact **items = copy_all(c, n_fresh);

    *n = c->n;
    *n_changes = 0;
    for (size_t i = 0; i < n_fresh; i++) {
        struct contact *mine = by_id(items, c->n, fresh[i]->id);
        struct change change = {.before = NULL};

        memcpy(change.id, fresh[i]->id, KEY_BYTES);
        if (mine == NULL) {
            items[(*n)++] = fresh[i];
            out->added++;
        } else if (is_same_entry(mine, fresh[i])) {
            out->same++;
            contact_free(fresh[i]);
            continue;
        } else {
            change.before = copy_of(mine);
            carry_over(fresh[i], mine);
            *mine = *fresh[i];
            contact_free(fresh[i]);
            out->changed++;
        }
        changes[(*n_changes)++] = change;
    }
    mem_free(fresh);
    return items;
}

enum err contacts_import(struct contacts *c, ns_t now, const char *name, struct slice text,
                         struct contacts_import *out, struct err_detail *detail)
{
    struct contact **fresh, **items;
    struct change *changes;
    size_t n_fresh, n, n_changes;
    enum err e = parse(name, text, c, &fresh, &n_fresh, &out->bad, detail);

    out->added = out->changed = out->same = 0;
    if (e != ERR_OK)
        return e;
    changes = mem_array(n_fresh + 1, sizeof *changes);
    items = merge(c, fresh, n_fresh, &n, changes, &n_changes, out);
    if (n > CONTACTS_MAX) {
        out->bad = out->added;
        free_all(items, n);
        e = err_set(detail, ERR_FULL, "With these there would be %zu contacts; %d fit.", n, CONTACTS_MAX);
    } else {
        e = swap_in(c, items, n, true, detail);
    }
    if (e == ERR_OK)
        set_undo(c, now, changes, n_changes);
    else
        free_changes(changes, n_changes);
    return e;
}

static void take_one(struct contact **items, size_t *n, const struct contact_change *change)
{
    const struct contact *entry = change->entry;
    struct contact *mine = by_id(items, *n, entry->id);
    size_t at = 0;

    if (change->is_gone && mine != NULL) {
        while (items[at] != mine)
            at++;
        memmove(items + at, items + at + 1, (*n - at - 1) * sizeof(struct contact *));
        --*n;
        contact_free(mine);
    } else if (!change->is_gone) {
        if (mine == NULL && *n == CONTACTS_MAX)
            return;
        if (mine == NULL) {
            mine = items[(*n)++] = mem_alloc(sizeof *mine);
            memcpy(mine->id, entry->id, KEY_BYTES);
            mine->added_ms = entry->added_ms;
        }
        if (clean_name(entry->name, mine->name) != NULL)
            mine->name[0] = '\0';
        mine->list = entry->list;
        mine->policy = entry->policy;
        mine->is_verified = entry->is_verified;
    }
}

/* Two of the same name: the greater ID gets a number, on every device the same one. */
static void tell_apart(struct contact **items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct contact *other = items[i]->name[0] != '\0' ? by_name(items, i, items[i]->name) : NULL;
        struct contact *later = other == NULL                                    ? NULL
                                : memcmp(items[i]->id, other->id, KEY_BYTES) > 0 ? items[i]
                                                                                 : other;
        char name[ID_NAME_BYTES];

        if (later == NULL)
            continue;
        put_number(items, n, later->name, name);
        memcpy(later->name, name, sizeof later->name);
    }
}

enum err contacts_take(struct contacts *c, const struct contact_change *changes, size_t n,
                       struct err_detail *detail)
{
    struct contact **items = copy_all(c, n);
    size_t n_items = c->n;
    enum err e;

    for (size_t i = 0; i < n; i++)
        take_one(items, &n_items, &changes[i]);
    tell_apart(items, n_items);
    e = swap_in(c, items, n_items, false, detail);
    if (e != ERR_OK)
        return e;
    set_undo(c, 0, NULL, 0);
    return contacts_save_state(c,
                               detail); /* who is in there and not on the list owes an S at the next start */
}
