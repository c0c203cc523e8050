#include "store/inbox.h"

#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "crypto/secret.h"

#define INBOX_IN_MAX 1000 /* the largest requests.max */

struct box {
    struct inbox_entry *items; /* oldest first */
    size_t n;
};

struct inbox {
    char *path;
    struct box boxes[2]; /* in, out */
    unsigned dropped;
    int64_t dropped_day;
};

static const char *const box_names[2] = {"in", "out"};

struct inbox *inbox_create(const char *path)
{
    struct inbox *b = mem_alloc(sizeof *b);

    b->path = path != NULL ? mem_str(path) : NULL;
    b->boxes[0].items = mem_array(INBOX_IN_MAX, sizeof(struct inbox_entry));
    b->boxes[1].items = mem_array(INBOX_OUT_MAX, sizeof(struct inbox_entry));
    return b;
}

void inbox_destroy(struct inbox *b)
{
    if (b == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        secret_wipe(b->boxes[i].items, b->boxes[i].n * sizeof(struct inbox_entry));
        mem_free(b->boxes[i].items);
    }
    mem_free(b->path);
    mem_free(b);
}

static cJSON *entry_json(const struct inbox_entry *e)
{
    cJSON *v = cJSON_CreateObject();
    char id[ID_TEXT_BYTES], hex[KEY_BYTES * 2 + 1];

    json_add_str(v, "id", id_format(e->id, id));
    json_add_str(v, "name", e->name);
    json_add_str(v, "note", e->note);
    json_add_str(v, "wants", e->wants_contact ? "contact" : "call");
    cJSON_AddNumberToObject(v, "when", (double)e->when_ms);
    cJSON_AddNumberToObject(v, "made", (double)e->made_s);
    cJSON_AddNumberToObject(v, "tries", e->tries);
    if (e->has_S) {
        for (int i = 0; i < KEY_BYTES; i++)
            snprintf(hex + i * 2, 3, "%02x", e->S[i]);
        json_add_str(v, "s", hex);
        cJSON_AddNumberToObject(v, "s_gen", e->S_gen);
        secret_wipe(hex, sizeof hex);
    }
    return v;
}

static bool entry_read(const cJSON *v, struct inbox_entry *e)
{
    const char *hex = json_str(v, "s", "");
    unsigned byte;

    *e = (struct inbox_entry){0};
    if (id_parse(json_str(v, "id", ""), e->id, NULL, NULL) != ERR_OK)
        return false;
    snprintf(e->name, sizeof e->name, "%s", json_str(v, "name", ""));
    snprintf(e->note, sizeof e->note, "%s", json_str(v, "note", ""));
    e->wants_contact = strcmp(json_str(v, "wants", "call"), "contact") == 0;
    e->when_ms = (int64_t)json_num(v, "when", 0);
    e->made_s = (int64_t)json_num(v, "made", 0);
    e->tries = (unsigned)json_num(v, "tries", 1);
    e->has_S = strlen(hex) == KEY_BYTES * 2;
    for (int i = 0; e->has_S && i < KEY_BYTES; i++) {
        if (sscanf(hex + i * 2, "%2x", &byte) != 1)
            e->has_S = false;
        e->S[i] = (uint8_t)byte;
    }
    e->S_gen = (uint32_t)json_num(v, "s_gen", 0);
    return true;
}

enum err inbox_load(struct inbox *b, struct err_detail *detail)
{
    uint8_t *text;
    size_t len;
    cJSON *tree;
    const cJSON *v;
    struct err_detail d;
    enum err e = b->path != NULL ? file_read(b->path, JSON_FILE_MAX, &text, &len, detail) : ERR_NOT_FOUND;

    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    e = json_parse(slice_of(text, len), NULL, NULL, &tree, &d);
    mem_free(text);
    if (e != ERR_OK) {
        char *aside = mem_printf("%s.damaged", b->path);

        rename(b->path, aside);
        err_set(detail, ERR_PARSE, "%s:%s (kept as %s)", b->path, d.text, aside);
        mem_free(aside);
        return ERR_PARSE;
    }
    for (int i = 0; i < 2; i++) {
        size_t max = i == 0 ? INBOX_IN_MAX : INBOX_OUT_MAX;

        cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(tree, box_names[i]))
        {
            if (b->boxes[i].n < max && entry_read(v, &b->boxes[i].items[b->boxes[i].n]))
                b->boxes[i].n++;
        }
    }
    cJSON_Delete(tree);
    return ERR_OK;
}

static enum err save(struct inbox *b, struct err_detail *detail)
{
    cJSON *tree;
    char *text;
    enum err e;

    if (b->path == NULL)
        return ERR_OK;
    tree = cJSON_CreateObject();
    cJSON_AddNumberToObject(tree, "v", 1);
    for (int i = 0; i < 2; i++) {
        cJSON *array = cJSON_AddArrayToObject(tree, box_names[i]);

        for (size_t k = 0; k < b->boxes[i].n; k++)
            cJSON_AddItemToArray(array, entry_json(&b->boxes[i].items[k]));
    }
    text = json_print(tree);
    cJSON_Delete(tree);
    e = file_replace(b->path, slice_str(text), 0600, detail);
    secret_wipe(text, strlen(text));
    mem_free(text);
    return e;
}

static struct inbox_entry *find(const struct inbox *b, bool is_out, const uint8_t id[static KEY_BYTES])
{
    const struct box *box = &b->boxes[is_out];

    for (size_t i = 0; i < box->n; i++)
        if (memcmp(box->items[i].id, id, KEY_BYTES) == 0)
            return &box->items[i];
    return NULL;
}

enum err inbox_put(struct inbox *b, const struct inbox_entry *entry, size_t max, struct err_detail *detail)
{
    struct inbox_entry *known = find(b, false, entry->id);
    unsigned tries;
    enum err e;

    if (known != NULL) {
        if (entry->made_s <= known->made_s)
            return ERR_DUPLICATE;
        tries = known->tries + 1;
        *known = *entry;
        known->tries = tries;
        save(b, detail);
        return ERR_DUPLICATE;
    }
    if (b->boxes[0].n >= max || b->boxes[0].n >= INBOX_IN_MAX) {
        inbox_count_dropped(b, entry->when_ms);
        return ERR_FULL;
    }
    b->boxes[0].items[b->boxes[0].n++] = *entry;
    e = save(b, detail);
    if (e != ERR_OK)
        b->boxes[0].n--;
    return e;
}

enum err inbox_put_out(struct inbox *b, const struct inbox_entry *entry, struct err_detail *detail)
{
    struct inbox_entry *known = find(b, true, entry->id);
    struct box *box = &b->boxes[1];

    if (known != NULL) {
        unsigned tries = known->tries + 1;

        *known = *entry;
        known->tries = tries;
        return save(b, detail);
    }
    if (box->n == INBOX_OUT_MAX)
        memmove(box->items, box->items + 1, --box->n * sizeof *box->items);
    box->items[box->n++] = *entry;
    return save(b, detail);
}

size_t inbox_count(const struct inbox *b, bool is_out)
{
    return b->boxes[is_out].n;
}

const struct inbox_entry *inbox_at(const struct inbox *b, bool is_out, size_t i)
{
    const struct box *box = &b->boxes[is_out];

    return i < box->n ? &box->items[box->n - 1 - i] : NULL;
}

const struct inbox_entry *inbox_by_id(const struct inbox *b, bool is_out, const uint8_t id[static KEY_BYTES])
{
    return find(b, is_out, id);
}

enum err inbox_delete(struct inbox *b, bool is_out, const uint8_t id[static KEY_BYTES],
                      struct err_detail *detail)
{
    struct box *box = &b->boxes[is_out];
    struct inbox_entry *e = find(b, is_out, id);
    size_t at;

    if (e == NULL)
        return ERR_OK;
    at = (size_t)(e - box->items);
    memmove(e, e + 1, (box->n - at - 1) * sizeof *e);
    secret_wipe(&box->items[--box->n], sizeof *e);
    return save(b, detail);
}

void inbox_count_dropped(struct inbox *b, int64_t wall_ms)
{
    int64_t day = wall_ms / 86400000;

    if (day != b->dropped_day)
        b->dropped = 0;
    b->dropped_day = day;
    b->dropped++;
}

unsigned inbox_dropped_today(const struct inbox *b, int64_t wall_ms)
{
    return wall_ms / 86400000 == b->dropped_day ? b->dropped : 0;
}
