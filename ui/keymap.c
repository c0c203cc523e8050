#include "ui/keymap.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

struct row {
    const char *name, *meaning;
    uint32_t keys[KEYMAP_KEYS_PER_COMMAND];
};

#define COMMAND_ROW(name, word, meaning, k1, k2, k3) {word, meaning, {k1, k2, k3}},
static const struct row rows[CMD_COUNT] = {{"", "", {0, 0, 0}}, COMMANDS(COMMAND_ROW)};
#undef COMMAND_ROW

static const struct {
    const char *name;
    uint32_t key;
} named[] = {
    {"Tab", K_TAB},       {"Enter", K_ENTER},       {"Esc", K_ESC},       {"Backspace", K_ERASE},
    {"Up", K_UP},         {"Down", K_DOWN},         {"Left", K_LEFT},     {"Right", K_RIGHT},
    {"PgUp", K_PAGE_UP},  {"PgDn", K_PAGE_DOWN},    {"Home", K_TO_START}, {"End", K_TO_END},
    {"Delete", K_DELETE}, {"Shift-Tab", K_BACKTAB}, {"Space", ' '},
};

const char *key_print(uint32_t key, char out[static KEY_TEXT_BYTES])
{
    char bytes[UTF8_MAX_BYTES];
    size_t n;

    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (named[i].key == key) {
            snprintf(out, KEY_TEXT_BYTES, "%s", named[i].name);
            return out;
        }
    }
    if (key > K_SPECIAL && (key & K_ALT_BIT) == 0 && key > K_FUNCTION(0)) {
        snprintf(out, KEY_TEXT_BYTES, "F%u", (unsigned)(key - K_FUNCTION(0)));
        return out;
    }
    if (key < 0x20) {
        snprintf(out, KEY_TEXT_BYTES, "Ctrl-%c", (char)(key + 0x40));
        return out;
    }
    n = utf8_put(key & ~K_ALT_BIT, bytes);
    snprintf(out, KEY_TEXT_BYTES, "%s%.*s", key & K_ALT_BIT ? "Alt-" : "", (int)n, bytes);
    return out;
}

uint32_t key_parse(const char *text)
{
    bool is_alt = strncmp(text, "Alt-", 4) == 0;
    struct slice rest = slice_str(is_alt ? text + 4 : text);
    uint32_t c;
    unsigned f;

    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (strcmp(named[i].name, text) == 0)
            return named[i].key;
    }
    if (strncmp(text, "Ctrl-", 5) == 0 && strlen(text) == 6 && text[5] >= '@' && text[5] <= 'z')
        return K_CTRL(text[5]);
    if (text[0] == 'F' && text[1] != '\0' && sscanf(text + 1, "%u", &f) == 1 && f >= 1 && f <= 24)
        return K_FUNCTION(f);
    if (rest.len == 0)
        return K_NONE;
    c = utf8_next(&rest);
    if (c == UTF8_BAD || c <= ' ' || c == K_ERASE || rest.len > 0)
        return K_NONE;
    return is_alt ? K_ALT(c) : c;
}

void keymap_init(struct keymap *map)
{
    for (size_t i = 0; i < CMD_COUNT; i++)
        memcpy(map->keys[i], rows[i].keys, sizeof map->keys[i]);
}

static bool is_fixed(uint32_t key)
{
    return key == K_ALT('a') || key == K_ALT('d') || key == K_ALT('x') || key == ':';
}

static void take_away(struct keymap *map, uint32_t key)
{
    for (size_t i = 0; i < CMD_COUNT; i++) {
        for (size_t k = 0; k < KEYMAP_KEYS_PER_COMMAND; k++) {
            if (map->keys[i][k] == key)
                map->keys[i][k] = K_NONE;
        }
    }
}

static enum err remap_one(struct keymap *map, const cJSON *entry, struct err_detail *detail)
{
    const char *name = entry->string, *text = cJSON_IsString(entry) ? entry->valuestring : "";
    uint32_t key = key_parse(text);
    size_t command = 1;

    while (command < CMD_COUNT && strcmp(rows[command].name, name) != 0)
        command++;
    if (command == CMD_COUNT)
        return err_set(detail, ERR_CONFIG, "keys.%s: no such command", name);
    if (key == K_NONE)
        return err_set(detail, ERR_CONFIG, "keys.%s: \"%s\" is not a key (like c, Alt-c, Ctrl-C, F2)", name,
                       text);
    if (is_fixed(key) || is_fixed(rows[command].keys[0]))
        return err_set(detail, ERR_CONFIG, "keys.%s: Alt-a, Alt-d, Alt-x and : cannot be changed", name);
    take_away(map, key);
    map->keys[command][0] = key;
    return ERR_OK;
}

enum err keymap_remap(struct keymap *map, const char *json, struct err_detail *detail)
{
    cJSON *tree = json != NULL ? cJSON_Parse(json) : NULL;
    const cJSON *entry;
    enum err result = ERR_OK;

    cJSON_ArrayForEach(entry, tree)
    {
        struct err_detail one = {{0}};
        enum err e = remap_one(map, entry, &one);

        if (e != ERR_OK && result == ERR_OK) {
            result = e;
            if (detail != NULL)
                *detail = one;
        }
    }
    cJSON_Delete(tree);
    return result;
}

enum command keymap_command(const struct keymap *map, uint32_t key)
{
    for (size_t i = 1; key != K_NONE && i < CMD_COUNT; i++) {
        for (size_t k = 0; k < KEYMAP_KEYS_PER_COMMAND; k++) {
            if (map->keys[i][k] == key)
                return (enum command)i;
        }
    }
    return CMD_NONE;
}

uint32_t keymap_key(const struct keymap *map, enum command command)
{
    for (size_t k = 0; k < KEYMAP_KEYS_PER_COMMAND; k++) {
        if (map->keys[command][k] != K_NONE)
            return map->keys[command][k];
    }
    return K_NONE;
}

const char *keymap_meaning(enum command command)
{
    return rows[command].meaning;
}
