/* Settings: the file is checked and read here; a running core is asked to change them (UX.md §9). */
#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "ui/keymap.h"
#include "verb.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* ---- keys: their names are those of the screens ---- */

struct key_line {
    const char *path;
    unsigned line;
};

static void on_key(void *arg, const struct json_key *key)
{
    struct key_line *l = arg;

    if (strcmp(l->path, key->path) == 0)
        l->line = key->line;
}

static unsigned line_of(const char *file, const char *name)
{
    char *path = mem_printf("keys.%s", name);
    struct key_line found = {.path = path, .line = 1};
    cJSON *tree = NULL;
    uint8_t *text;
    size_t len;

    if (file_read(file, CONFIG_FILE_MAX, &text, &len, NULL) == ERR_OK) {
        json_parse(slice_of(text, len), on_key, &found, &tree, NULL);
        cJSON_Delete(tree);
        mem_free(text);
    }
    mem_free(path);
    return found.line;
}

/* What is wrong with the values of `keys`, one a line; file NULL: without the place. */
static int check_keys(const cJSON *keys, const char *file)
{
    struct err_detail detail;
    const cJSON *it;
    int code = EXIT_DONE;

    cJSON_ArrayForEach(it, keys)
    {
        cJSON *one = cJSON_CreateObject();
        struct keymap map;
        char *text;

        cJSON_AddItemToObject(one, it->string, cJSON_Duplicate(it, true));
        text = json_print(one);
        cJSON_Delete(one);
        keymap_init(&map);
        if (keymap_remap(&map, text, &detail) != ERR_OK) {
            if (file != NULL)
                complain("%s:%u: %s", base_name(file), line_of(file, it->string), detail.text);
            else
                complain("%s", detail.text);
            code = EXIT_CONFIG;
        }
        mem_free(text);
    }
    return code;
}

/* All errors, one a line, on stderr. */
static int load(const char *path, struct config *c)
{
    struct config_errors errors = {0};
    enum err e = config_load(c, path, base_name(path), &errors);
    cJSON *keys;
    char *text;
    int code;

    text = config_errors_text(&errors);
    if (e != ERR_OK)
        complain("%s", text);
    mem_free(text);
    config_errors_fini(&errors);
    if (e != ERR_OK)
        return EXIT_CONFIG;
    text = config_json(c, CFG_KEYS);
    keys = cJSON_Parse(text);
    code = check_keys(keys, path);
    cJSON_Delete(keys);
    mem_free(text);
    return code;
}

static void print_value(const struct config *c, enum config_key key, bool is_bare)
{
    char *json = config_json(c, key);
    enum config_type type = config_info(key)->type;

    puts(is_bare && (type == CFG_T_STR || type == CFG_T_ENUM) ? config_str(c, key) : json);
    mem_free(json);
}

static int show(struct cli *cli, const struct config *c)
{
    if (cli->is_json) {
        cJSON *out = cJSON_CreateObject(), *tree, *it;
        char *text = config_print(c);

        cJSON_AddNumberToObject(out, "v", 1);
        tree = cJSON_Parse(text);
        mem_free(text);
        while ((it = tree->child) != NULL)
            cJSON_AddItemToObject(out, it->string, cJSON_DetachItemViaPointer(tree, it));
        text = json_print(out);
        puts(text);
        mem_free(text);
        cJSON_Delete(tree);
        cJSON_Delete(out);
        return EXIT_DONE;
    }
    for (int k = 0; k < CFG_COUNT; k++) {
        char *json = config_json(c, (enum config_key)k);

        printf("%-24s %-16s %s%s\n", config_info((enum config_key)k)->key, json,
               config_info((enum config_key)k)->meaning,
               config_is_default(c, (enum config_key)k) ? "" : " (changed)");
        mem_free(json);
    }
    return EXIT_DONE;
}

static int unknown_key(struct cli *cli, const char *key)
{
    const char *near = config_suggest(key);

    (void)cli;
    complain(near != NULL ? "%s: unknown key; did you mean %s?" : "%s: unknown key", key, near);
    return EXIT_CONFIG;
}

static int get(struct cli *cli, const struct config *c, const char *name)
{
    enum config_key key = config_find(name);

    if (key == CFG_COUNT)
        return unknown_key(cli, name);
    if (cli->is_json) {
        char *json = config_json(c, key);

        printf("{\"v\":1,\"key\":\"%s\",\"value\":%s}\n", config_info(key)->key, json);
        mem_free(json);
    } else {
        print_value(c, key, true);
    }
    return EXIT_DONE;
}

/* A running core writes it and goes by it at once; else the file is changed here. */
static int set(struct cli *cli, const char *key, const char *value)
{
    struct ctl_options options = {.need = CTL_DAEMON, .files = &cli->files};
    struct err_detail detail = {""};
    struct config *c;
    cJSON *request, *keys;
    enum err e;
    int code;

    if (config_find(key) == CFG_COUNT)
        return unknown_key(cli, key);
    if (!utf8_valid(value, strlen(value))) {
        complain("%s: expected UTF-8 text", key);
        return EXIT_CONFIG;
    }
    if (config_find(key) == CFG_KEYS) {
        keys = cJSON_Parse(value);
        code = check_keys(keys, NULL);
        cJSON_Delete(keys);
        if (code != EXIT_DONE)
            return code;
    }
    if (ctl_open(&options, &cli->ctl, &detail) == ERR_OK) {
        request = ctl_request("config_set");
        cJSON_AddStringToObject(request, "key", key);
        cJSON_AddStringToObject(request, "value", value);
        return verb_ask_take(cli, request, NULL);
    }
    c = config_create();
    e = files_make(&cli->files, &detail);
    if (e == ERR_OK && load(cli->files.config, c) != EXIT_DONE) {
        config_destroy(c);
        return EXIT_CONFIG;
    }
    if (e == ERR_OK)
        e = config_set(c, cli->files.config, key, value, &detail);
    if (e != ERR_OK)
        complain("%s", detail.text);
    config_destroy(c);
    return exit_of(e);
}

int verb_config(struct cli *cli, int argc, char **argv)
{
    struct config *c;
    const char *path = cli->files.config;
    int code;

    if (argc == 0)
        return usage_error(cli, "Say what to do: ito config check [F]|show|get KEY|set KEY VALUE");
    if (strcmp(argv[0], "set") == 0) /* a value may begin with "-" */
        return argc == 3 ? set(cli, argv[1], argv[2])
                         : usage_error(cli, "Needs a key and a value: ito config set KEY VALUE");
    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    if (strcmp(argv[0], "get") == 0 && argc != 2)
        return usage_error(cli, "Needs one key: ito config get KEY");
    if (strcmp(argv[0], "show") == 0 && argc != 1)
        return usage_error(cli, "ito config show takes no argument \"%s\".", argv[1]);
    if (strcmp(argv[0], "check") == 0 && argc > 2)
        return usage_error(cli, "One file at a time: ito config check [F]");
    if (strcmp(argv[0], "get") != 0 && strcmp(argv[0], "show") != 0 && strcmp(argv[0], "check") != 0)
        return unknown_sub(cli, argv[0]);
    if (strcmp(argv[0], "check") == 0 && argc == 2)
        path = argv[1];
    if ((path == cli->files.config ? cli->config != NULL : true) && !file_exists(path)) {
        complain("%s: no such file", path);
        return EXIT_CONFIG;
    }
    c = config_create();
    code = load(path, c);
    if (code == EXIT_DONE && strcmp(argv[0], "show") == 0)
        code = show(cli, c);
    else if (code == EXIT_DONE && strcmp(argv[0], "get") == 0)
        code = get(cli, c, argv[1]);
    else if (code == EXIT_DONE)
        say(cli, "%s: ok", path);
    config_destroy(c);
    return code;
}
