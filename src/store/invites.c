#include "store/invites.h"

#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"

struct list_of {
    struct invite_row rows[INVITES_HELD_MAX];
    size_t n, max;
};

struct invites {
    char *path;
    struct list_of lists[2]; /* ours, held */
};

static const char *const names[2] = {"ours", "held"};

struct invites *invites_create(const char *path)
{
    struct invites *v = mem_alloc(sizeof *v);

    v->path = path != NULL ? mem_str(path) : NULL;
    v->lists[0].max = INVITES_MAX;
    v->lists[1].max = INVITES_HELD_MAX;
    return v;
}

void invites_destroy(struct invites *v)
{
    if (v == NULL)
        return;
    mem_free(v->path);
    secret_wipe(v, sizeof *v);
    mem_free(v);
}

static void put_hex(cJSON *v, const char *key, const uint8_t bytes[static KEY_BYTES])
{
    char hex[KEY_BYTES * 2 + 1];

    for (int i = 0; i < KEY_BYTES; i++)
        snprintf(hex + i * 2, 3, "%02x", bytes[i]);
    json_add_str(v, key, hex);
    secret_wipe(hex, sizeof hex);
}

static bool get_hex(const cJSON *v, const char *key, uint8_t out[static KEY_BYTES])
{
    const char *hex = json_str(v, key, "");
    unsigned byte;

    if (strlen(hex) != KEY_BYTES * 2)
        return false;
    for (int i = 0; i < KEY_BYTES; i++) {
        if (sscanf(hex + i * 2, "%2x", &byte) != 1)
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

static enum err save(const struct invites *v, struct err_detail *detail)
{
    cJSON *tree;
    char *text;
    enum err e;

    if (v->path == NULL)
        return ERR_OK;
    tree = cJSON_CreateObject();
    for (int k = 0; k < 2; k++) {
        cJSON *array = cJSON_AddArrayToObject(tree, names[k]);

        for (size_t i = 0; i < v->lists[k].n; i++) {
            cJSON *row = cJSON_CreateObject();

            put_hex(row, "x", v->lists[k].rows[i].X);
            put_hex(row, "id", v->lists[k].rows[i].A);
            cJSON_AddNumberToObject(row, "expires", (double)v->lists[k].rows[i].expires_s);
            cJSON_AddNumberToObject(row, "uses", v->lists[k].rows[i].uses);
            cJSON_AddItemToArray(array, row);
        }
    }
    text = json_print(tree);
    cJSON_Delete(tree);
    e = file_replace(v->path, slice_str(text), 0600, detail);
    secret_wipe(text, strlen(text));
    mem_free(text);
    return e;
}

enum err invites_load(struct invites *v, struct err_detail *detail)
{
    uint8_t *text;
    size_t len;
    double uses;
    cJSON *tree, *row;
    struct err_detail d;
    enum err e = v->path != NULL ? file_read(v->path, JSON_FILE_MAX, &text, &len, detail) : ERR_NOT_FOUND;

    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    e = json_parse(slice_of(text, len), NULL, NULL, &tree, &d);
    secret_wipe(text, len);
    mem_free(text);
    if (e != ERR_OK) {
        char *aside = mem_printf("%s.damaged", v->path);

        rename(v->path, aside);
        err_set(detail, ERR_PARSE, "%s:%s (kept as %s)", v->path, d.text, aside);
        mem_free(aside);
        return ERR_PARSE;
    }
    for (int k = 0; k < 2; k++) {
        struct list_of *l = &v->lists[k];

        cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(tree, names[k]))
        {
            struct invite_row *r = &l->rows[l->n];

            if (l->n == l->max || !get_hex(row, "x", r->X) || !get_hex(row, "id", r->A))
                continue;
            uses = json_num(row, "uses", 1);
            if (uses < 1 || uses > INVITE_USES_MAX)
                continue;
            r->expires_s = (int64_t)json_num(row, "expires", 0);
            r->uses = (unsigned)uses;
            l->n++;
        }
    }
    cJSON_Delete(tree);
    return ERR_OK;
}

static void remove_at(struct list_of *l, size_t i)
{
    memmove(&l->rows[i], &l->rows[i + 1], (l->n - i - 1) * sizeof l->rows[0]);
    secret_wipe(&l->rows[--l->n], sizeof l->rows[0]);
}

enum err invites_add(struct invites *v, bool is_held, const struct invite_row *row, struct err_detail *detail)
{
    struct list_of *l = &v->lists[is_held];
    enum err e;

    if (is_held)
        invites_drop_held(v, row->A);
    if (l->n == l->max)
        return err_set(detail, ERR_FULL, "%zu invites are open, no more fit.", l->n);
    l->rows[l->n++] = *row;
    e = save(v, detail);
    if (e != ERR_OK)
        remove_at(l, l->n - 1);
    return e;
}

size_t invites_count(const struct invites *v, bool is_held)
{
    return v->lists[is_held].n;
}

const struct invite_row *invites_at(const struct invites *v, bool is_held, size_t i)
{
    return i < v->lists[is_held].n ? &v->lists[is_held].rows[i] : NULL;
}

uint32_t invite_row_mark(const struct invite_row *row)
{
    uint8_t mark[4];

    hash_once(sizeof mark, NULL, 0, slice_of(row->X, KEY_BYTES), mark);
    return INVITE_MARK | (uint32_t)mark[0] << 16 | (uint32_t)mark[1] << 8 | mark[2];
}

const struct invite_row *invites_by_mark(const struct invites *v, uint32_t mark)
{
    for (size_t i = 0; i < v->lists[0].n; i++)
        if (invite_row_mark(&v->lists[0].rows[i]) == mark)
            return &v->lists[0].rows[i];
    return NULL;
}

const struct invite_row *invites_held_of(const struct invites *v, const uint8_t A[static KEY_BYTES])
{
    for (size_t i = 0; i < v->lists[1].n; i++)
        if (memcmp(v->lists[1].rows[i].A, A, KEY_BYTES) == 0)
            return &v->lists[1].rows[i];
    return NULL;
}

void invites_use(struct invites *v, const uint8_t X[static KEY_BYTES])
{
    struct list_of *l = &v->lists[0];

    for (size_t i = 0; i < l->n; i++) {
        if (!secret_equal(l->rows[i].X, X, KEY_BYTES))
            continue;
        if (--l->rows[i].uses == 0)
            remove_at(l, i);
        save(v, NULL);
        return;
    }
}

void invites_drop_held(struct invites *v, const uint8_t A[static KEY_BYTES])
{
    struct list_of *l = &v->lists[1];

    for (size_t i = 0; i < l->n; i++) {
        if (memcmp(l->rows[i].A, A, KEY_BYTES) == 0) {
            remove_at(l, i);
            save(v, NULL);
            return;
        }
    }
}

bool invites_expire(struct invites *v, int64_t wall_s)
{
    bool is_changed = false;

    for (int k = 0; k < 2; k++) {
        struct list_of *l = &v->lists[k];

        for (size_t i = l->n; i > 0; i--) {
            if (l->rows[i - 1].expires_s > wall_s)
                continue;
            remove_at(l, i - 1);
            is_changed = true;
        }
    }
    if (is_changed)
        save(v, NULL);
    return is_changed;
}
