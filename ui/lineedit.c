#include "ui/lineedit.h"

#include "base/mem.h"
#include "base/utf8.h"

void lineedit_fini(struct lineedit *e)
{
    for (size_t i = 0; i < e->n_history; i++)
        mem_free(e->history[i]);
    mem_wipe(e, sizeof *e);
}

void lineedit_set(struct lineedit *e, const char *text)
{
    size_t n = strlen(text);

    mem_wipe(e->text, e->len);
    n = utf8_fit(text, n < LINEEDIT_BYTES ? n : LINEEDIT_BYTES - 1, SIZE_MAX, false);
    memcpy(e->text, text, n);
    e->text[n] = '\0';
    e->len = e->caret = n;
    e->at = e->n_history;
}

/* The place of the character before or after a place. */
static size_t before(const struct lineedit *e, size_t at)
{
    while (at > 0 && ((uint8_t)e->text[--at] & 0xC0) == 0x80)
        ;
    return at;
}

static size_t after(const struct lineedit *e, size_t at)
{
    if (at < e->len)
        at++;
    while (at < e->len && ((uint8_t)e->text[at] & 0xC0) == 0x80)
        at++;
    return at;
}

static size_t word_before(const struct lineedit *e)
{
    size_t at = e->caret;

    while (at > 0 && e->text[at - 1] == ' ')
        at--;
    while (at > 0 && e->text[at - 1] != ' ')
        at--;
    return at;
}

static size_t word_after(const struct lineedit *e)
{
    size_t at = e->caret;

    while (at < e->len && e->text[at] == ' ')
        at++;
    while (at < e->len && e->text[at] != ' ')
        at++;
    return at;
}

static void remove_range(struct lineedit *e, size_t from, size_t to)
{
    memmove(e->text + from, e->text + to, e->len - to);
    mem_wipe(e->text + e->len - (to - from), to - from);
    e->len -= to - from;
    e->caret = from;
}

static void cut_range(struct lineedit *e, size_t from, size_t to)
{
    if (from == to)
        return;
    memcpy(e->cut, e->text + from, to - from);
    e->cut[to - from] = '\0';
    remove_range(e, from, to);
}

static void insert(struct lineedit *e, const char *text, size_t n)
{
    if (n >= LINEEDIT_BYTES - e->len)
        return;
    memmove(e->text + e->caret + n, e->text + e->caret, e->len - e->caret);
    memcpy(e->text + e->caret, text, n);
    e->len += n;
    e->caret += n;
    e->text[e->len] = '\0';
}

void lineedit_replace(struct lineedit *e, size_t from, const char *text)
{
    if (from < e->caret)
        remove_range(e, from, e->caret);
    insert(e, text, strlen(text));
}

void lineedit_paste(struct lineedit *e, const char *text, size_t len)
{
    struct slice rest = slice_of(text, len);

    while (rest.len > 0) {
        char bytes[UTF8_MAX_BYTES];
        uint32_t c = utf8_next(&rest);

        if (c < 0x20 || (c >= 0x7F && c < 0xA0)) {
            if (rest.len == 0) /* the line end of a copied line */
                return;
            c = ' ';
        }
        insert(e, bytes, utf8_put(c, bytes));
    }
}

static void step_history(struct lineedit *e, bool is_back)
{
    size_t at = e->at;

    if (is_back ? at == 0 : at == e->n_history)
        return;
    at = is_back ? at - 1 : at + 1;
    lineedit_set(e, at < e->n_history ? e->history[at] : "");
    e->at = at;
}

void lineedit_remember(struct lineedit *e)
{
    if (e->len == 0 || (e->n_history > 0 && strcmp(e->history[e->n_history - 1], e->text) == 0))
        return;
    if (e->n_history == LINEEDIT_HISTORY) {
        mem_free(e->history[0]);
        memmove(e->history, e->history + 1, --e->n_history * sizeof *e->history);
    }
    e->history[e->n_history++] = mem_str(e->text);
}

static bool move_key(struct lineedit *e, uint32_t key)
{
    switch (key) {
    case K_LEFT:
    case K_CTRL('B'):
        e->caret = before(e, e->caret);
        return true;
    case K_RIGHT:
    case K_CTRL('F'):
        e->caret = after(e, e->caret);
        return true;
    case K_TO_START:
    case K_CTRL('A'):
        e->caret = 0;
        return true;
    case K_TO_END:
    case K_CTRL('E'):
        e->caret = e->len;
        return true;
    case K_ALT('b'):
        e->caret = word_before(e);
        return true;
    case K_ALT('f'):
        e->caret = word_after(e);
        return true;
    case K_UP:
    case K_CTRL('P'):
        step_history(e, true);
        return true;
    case K_DOWN:
    case K_CTRL('N'):
        step_history(e, false);
        return true;
    default:
        return false;
    }
}

static bool change_key(struct lineedit *e, uint32_t key)
{
    switch (key) {
    case K_ERASE:
    case K_CTRL('H'):
        remove_range(e, before(e, e->caret), e->caret);
        return true;
    case K_DELETE:
    case K_CTRL('D'):
        remove_range(e, e->caret, after(e, e->caret));
        return true;
    case K_CTRL('K'):
        cut_range(e, e->caret, e->len);
        return true;
    case K_CTRL('U'):
        cut_range(e, 0, e->caret);
        return true;
    case K_CTRL('W'):
        cut_range(e, word_before(e), e->caret);
        return true;
    case K_CTRL('Y'):
        insert(e, e->cut, strlen(e->cut));
        return true;
    default:
        return false;
    }
}

enum lineedit_result lineedit_key(struct lineedit *e, uint32_t key)
{
    char bytes[UTF8_MAX_BYTES];

    if (key == K_ENTER)
        return LINEEDIT_ENTER;
    if (key == K_ESC || key == K_CTRL('C') || key == K_CTRL('G') || (key == K_ERASE && e->len == 0))
        return LINEEDIT_CANCEL;
    if (key == K_TAB)
        return LINEEDIT_COMPLETE;
    if (move_key(e, key) || change_key(e, key))
        return LINEEDIT_TAKEN;
    if (key < 0x20 || (key >= 0x7F && key < 0xA0) || key > 0x10FFFF)
        return LINEEDIT_NONE;
    insert(e, bytes, utf8_put(key, bytes));
    return LINEEDIT_TAKEN;
}
