#include "store/history.h"

#include "base/file.h"
#include "base/mem.h"

#define HISTORY_FILE_MAX (8u << 20)

struct history {
    char *path;
    cJSON **calls; /* oldest first */
    size_t n, n_lines;
    unsigned damaged;
    bool is_torn; /* the last line has no end: a kill or a full disk cut it */
};

struct history *history_create(const char *path)
{
    struct history *h = mem_alloc(sizeof *h);

    h->path = path != NULL ? mem_str(path) : NULL;
    h->calls = mem_array(HISTORY_MAX + 1, sizeof *h->calls);
    return h;
}

void history_destroy(struct history *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->n; i++)
        cJSON_Delete(h->calls[i]);
    mem_free(h->calls);
    mem_free(h->path);
    mem_free(h);
}

static void push(struct history *h, cJSON *call)
{
    h->calls[h->n++] = call;
    if (h->n > HISTORY_MAX) {
        cJSON_Delete(h->calls[0]);
        memmove(h->calls, h->calls + 1, --h->n * sizeof *h->calls);
    }
}

enum err history_load(struct history *h, struct err_detail *detail)
{
    uint8_t *text;
    size_t len;
    enum err e = h->path != NULL ? file_read(h->path, HISTORY_FILE_MAX, &text, &len, detail) : ERR_NOT_FOUND;

    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    for (size_t at = 0; at < len;) {
        const uint8_t *end = memchr(text + at, '\n', len - at);
        size_t n = end != NULL ? (size_t)(end - text) - at : len - at;
        cJSON *call;

        h->n_lines++;
        if (n > 0 && json_parse(slice_of(text + at, n), NULL, NULL, &call, NULL) == ERR_OK)
            push(h, call);
        else if (n > 0)
            h->damaged++;
        at += n + 1;
    }
    h->is_torn = len > 0 && text[len - 1] != '\n';
    mem_free(text);
    return ERR_OK;
}

static enum err rewrite(struct history *h, struct err_detail *detail)
{
    char *all = mem_str(""), *next, *line;
    enum err e;

    for (size_t i = 0; i < h->n; i++) {
        line = json_print(h->calls[i]);
        next = mem_printf("%s%s\n", all, line);
        mem_free(line);
        mem_free(all);
        all = next;
    }
    e = file_replace(h->path, slice_str(all), 0600, detail);
    mem_free(all);
    if (e == ERR_OK) {
        h->n_lines = h->n;
        h->is_torn = false;
    }
    return e;
}

enum err history_add_take(struct history *h, cJSON *call, struct err_detail *detail)
{
    char *line;
    enum err e;

    push(h, call);
    if (h->path == NULL)
        return ERR_OK;
    line = json_print(call);
    if (h->n_lines >= 2 * HISTORY_MAX) {
        mem_free(line);
        return rewrite(h, detail);
    }
    if (h->is_torn) { /* what follows is a line of its own */
        char *apart = mem_printf("\n%s", line);

        mem_free(line);
        line = apart;
    }
    e = file_append_line(h->path, line, detail);
    h->is_torn = e != ERR_OK;
    h->n_lines++;
    mem_free(line);
    return e;
}

enum err history_delete(struct history *h, size_t i, struct err_detail *detail)
{
    size_t at = h->n - 1 - i;

    if (i >= h->n)
        return err_set(detail, ERR_NOT_FOUND, "There is no such call.");
    cJSON_Delete(h->calls[at]);
    memmove(h->calls + at, h->calls + at + 1, (h->n - at - 1) * sizeof *h->calls);
    h->n--;
    return h->path != NULL ? rewrite(h, detail) : ERR_OK;
}

size_t history_count(const struct history *h)
{
    return h->n;
}

const cJSON *history_at(const struct history *h, size_t i)
{
    return i < h->n ? h->calls[h->n - 1 - i] : NULL;
}

unsigned history_damaged(const struct history *h)
{
    return h->damaged;
}
