#include "app/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "crypto/idtext.h"

struct config {
    cJSON *values[CFG_COUNT]; /* each of its key's type, in range */
};

static const struct config_info infos[CFG_COUNT] = {
#define X(name, key, type, def, min, max, choices, meaning) \
    [CFG_##name] = {key, CFG_T_##type, def, min, max, choices, meaning},
    CONFIG_KEYS(X)
#undef X
};

const struct config_info *config_info(enum config_key key)
{
    return &infos[key];
}

enum config_key config_find(const char *key)
{
    enum config_key k = 0;

    while (k < CFG_COUNT && strcmp(infos[k].key, key) != 0)
        k++;
    return k;
}

/* Edit distance (Levenshtein), texts cut to 63 bytes. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64], n = (unsigned)strnlen(b, 63), diagonal, above;

    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] != '\0' && i < 64; i++) {
        diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            above = row[j];
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[n];
}

const char *config_suggest(const char *key)
{
    unsigned best = 4; /* further away than this is no typing error */
    const char *found = NULL;

    for (int k = 0; k < CFG_COUNT; k++) {
        unsigned d = distance(key, infos[k].key);

        if (d < best) {
            best = d;
            found = infos[k].key;
        }
    }
    return found;
}

struct config *config_create(void)
{
    struct config *c = mem_alloc(sizeof *c);

    for (int k = 0; k < CFG_COUNT; k++)
        c->values[k] = cJSON_Parse(infos[k].default_json);
    return c;
}

void config_destroy(struct config *c)
{
    if (c == NULL)
        return;
    for (int k = 0; k < CFG_COUNT; k++)
        cJSON_Delete(c->values[k]);
    mem_free(c);
}

void config_errors_fini(struct config_errors *errors)
{
    for (unsigned i = 0; i < errors->n; i++)
        mem_free(errors->lines[i]);
    errors->n = errors->n_more = 0;
}

char *config_errors_text(const struct config_errors *errors)
{
    char *text = mem_str(""), *longer;

    for (unsigned i = 0; i < errors->n; i++) {
        longer = mem_printf("%s%s%s", text, i > 0 ? "\n" : "", errors->lines[i]);
        mem_free(text);
        text = longer;
    }
    if (errors->n_more > 0) {
        longer = mem_printf("%s\nand %u more", text, errors->n_more);
        mem_free(text);
        text = longer;
    }
    return text;
}

/* ---- one value ---- */

static const char *type_words(enum config_type type)
{
    switch (type) {
    case CFG_T_INT:
    case CFG_T_CHOICE:
        return "a number";
    case CFG_T_BOOL:
        return "true or false";
    case CFG_T_LIST:
    case CFG_T_PEERS:
        return "a list of texts";
    case CFG_T_MAP:
        return "an object of texts";
    default:
        return "a text";
    }
}

static bool has_type(enum config_type type, const cJSON *v)
{
    const cJSON *it;

    switch (type) {
    case CFG_T_INT:
    case CFG_T_CHOICE:
        return cJSON_IsNumber(v);
    case CFG_T_BOOL:
        return cJSON_IsBool(v);
    case CFG_T_LIST:
    case CFG_T_PEERS:
    case CFG_T_MAP:
        if (type == CFG_T_MAP ? !cJSON_IsObject(v) : !cJSON_IsArray(v))
            return false;
        cJSON_ArrayForEach(it, v)
        {
            if (!cJSON_IsString(it))
                return false;
        }
        return true;
    default:
        return cJSON_IsString(v);
    }
}

/* Is `word` one of the comma-separated choices? */
static bool is_choice(const char *choices, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = choices; p != NULL; p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

static void spaced(const char *choices, char out[static 128])
{
    size_t n = 0;

    for (; *choices != '\0' && n < 126; choices++) {
        out[n++] = *choices;
        if (*choices == ',')
            out[n++] = ' ';
    }
    out[n] = '\0';
}

/* HOST:PORT, as net.peers has them. */
static bool is_host_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long port;
    struct addr a;

    if (colon == NULL || colon == text || strlen(text) > 255)
        return false;
    if (addr_parse(text, &a) == ERR_OK)
        return a.port != 0;
    port = strtoul(colon + 1, &end, 10);
    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && port > 0 && port < 65536 &&
           strchr(text, ' ') == NULL && strchr(text, ':') == colon;
}

enum err config_loopback(const char *text, struct addr *out)
{
    char numeric[64];
    size_t n = strlen("localhost");

    snprintf(numeric, sizeof numeric, "%s%.48s", strncmp(text, "localhost:", n + 1) == 0 ? "127.0.0.1" : text,
             strncmp(text, "localhost:", n + 1) == 0 ? text + n : "");
    if (addr_parse(numeric, out) != ERR_OK || out->port == 0 || strlen(text) > 48)
        return ERR_PARSE;
    return addr_class(out) == ADDR_LOOPBACK ? ERR_OK : ERR_REFUSED;
}

/* relay.metrics: for programs of this machine, and nobody else. */
static enum err check_metrics(const char *text, struct err_detail *d)
{
    struct addr a;

    switch (text[0] != '\0' ? config_loopback(text, &a) : ERR_OK) {
    case ERR_OK:
        return ERR_OK;
    case ERR_REFUSED:
        return err_set(d, ERR_RANGE, "\"%.64s\" is not on this machine; 127.0.0.1:PORT or [::1]:PORT is",
                       text);
    default:
        return err_set(d, ERR_RANGE, "\"%.64s\" is not HOST:PORT of this machine, as 127.0.0.1:9300", text);
    }
}

/* The zone's public key, or our certificate, or nothing: in one sentence, whatever the texts have of lines. */
static enum err check_zone(enum config_key key, const char *text, struct err_detail *d)
{
    uint8_t bytes[68];
    enum err e = ERR_OK;

    if (text[0] != '\0')
        e = key == CFG_NET_ZONE_KEY ? zone_key_parse(text, bytes, d) : member_parse(text, bytes, d);
    d->text[e != ERR_OK ? strcspn(d->text, "\n") : 0] = '\0';
    return e != ERR_OK ? ERR_RANGE : ERR_OK;
}

/* given: as it was written, for the words. */
static enum err check_number(const struct config_info *info, double v, struct slice given,
                             struct err_detail *d)
{
    char word[32], choices[128];

    snprintf(word, sizeof word, "%.15g", v);
    if (info->type == CFG_T_CHOICE && !is_choice(info->choices, word)) {
        spaced(info->choices, choices);
        return err_set(d, ERR_RANGE, "%s is not one of %s", word, choices);
    }
    if (v < (double)info->min || v > (double)info->max)
        return err_set(d, ERR_RANGE, "%.*s is out of range (%ld to %ld)",
                       (int)(given.len < 64 ? given.len : 64), (const char *)given.data, info->min,
                       info->max);
    if (v != (double)(long)v)
        return err_set(d, ERR_RANGE, "%s is not a whole number", word);
    return ERR_OK;
}

static enum err check_text(const struct config_info *info, const char *text, struct err_detail *d)
{
    char choices[128];
    long n = (long)strlen(text);

    if (!utf8_valid(text, (size_t)n))
        return err_set(d, ERR_RANGE, "expected UTF-8 text");
    if (info->type == CFG_T_ENUM && !is_choice(info->choices, text)) {
        spaced(info->choices, choices);
        return err_set(d, ERR_RANGE, "\"%.64s\" is not one of %s", text, choices);
    }
    if (info->type == CFG_T_STR && (n < info->min || n > info->max))
        return err_set(d, ERR_RANGE, "%ld bytes is out of range (%ld to %ld bytes)", n, info->min, info->max);
    return ERR_OK;
}

static enum err check_members(const struct config_info *info, const cJSON *v, struct err_detail *d)
{
    const cJSON *it;

    if (cJSON_GetArraySize(v) > info->max)
        return err_set(d, ERR_RANGE, "%d entries is out of range (at most %ld)", cJSON_GetArraySize(v),
                       info->max);
    cJSON_ArrayForEach(it, v)
    {
        if (!utf8_valid(it->valuestring, strlen(it->valuestring)))
            return err_set(d, ERR_RANGE, "expected UTF-8 text");
        if (info->type == CFG_T_PEERS && !is_host_port(it->valuestring))
            return err_set(d, ERR_RANGE, "\"%.64s\" is not HOST:PORT", it->valuestring);
    }
    return ERR_OK;
}

/* What is wrong with v as the value of key, in words; ERR_OK when nothing. */
static enum err check_value(enum config_key key, const cJSON *v, struct slice given, struct err_detail *d)
{
    const struct config_info *info = &infos[key];
    char *found;

    if (!has_type(info->type, v)) {
        found = json_print(v);
        err_set(d, ERR_RANGE, "expected %s, found %.64s", type_words(info->type), found);
        mem_free(found);
        return ERR_RANGE;
    }
    if (cJSON_IsNumber(v))
        return check_number(info, v->valuedouble, given, d);
    if (cJSON_IsString(v) && key == CFG_RELAY_METRICS)
        return check_metrics(v->valuestring, d);
    if (cJSON_IsString(v) && (key == CFG_NET_ZONE_KEY || key == CFG_NET_ZONE_CERT))
        return check_zone(key, v->valuestring, d);
    if (cJSON_IsString(v))
        return check_text(info, v->valuestring, d);
    return cJSON_IsBool(v) ? ERR_OK : check_members(info, v, d);
}

/* What others would not see is dropped from the name (UX.md §1). */
static void clean_name(enum config_key key, cJSON *v)
{
    char *name = v->valuestring, clean[65 * UTF8_MAX_BYTES];

    if (key != CFG_IDENTITY_NAME)
        return;
    utf8_clean(name, strlen(name), clean, sizeof clean);
    if (strlen(clean) <= strlen(name))
        strcpy(name, clean);
}

/* What two values must keep to each other. */
static enum err check_pairs(cJSON *const values[], struct err_detail *d)
{
    double min = values[CFG_AUDIO_JITTER_MIN_MS]->valuedouble,
           max = values[CFG_AUDIO_JITTER_MAX_MS]->valuedouble;

    if (max < min)
        return err_set(d, ERR_RANGE, "%.0f is less than audio.jitter_min_ms (%.0f)", max, min);
    return ERR_OK;
}

/* ---- a whole file ---- */

struct parse {
    const char *name;
    struct slice text;
    struct config_errors *errors;
    unsigned jitter_line;
    char unknown[JSON_PATH_MAX]; /* the last one complained about: what is inside it is not told again */
    cJSON *values[CFG_COUNT];    /* those given and good */
};

static void complain(struct parse *p, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct parse *p, unsigned line, const char *fmt, ...)
{
    char text[ERR_DETAIL_BYTES];
    va_list ap;

    if (p->errors == NULL)
        return;
    if (p->errors->n == CONFIG_ERRORS_MAX) {
        p->errors->n_more++;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    p->errors->lines[p->errors->n++] = mem_printf("%s:%u: %s", p->name, line, text);
}

/* "audio" of "audio.input": a section that holds keys. */
static bool is_section(const char *path)
{
    size_t n = strlen(path);

    for (int k = 0; k < CFG_COUNT; k++)
        if (strncmp(infos[k].key, path, n) == 0 && infos[k].key[n] == '.')
            return true;
    return false;
}

static bool is_in_unknown(const struct parse *p, const char *path)
{
    size_t n = strlen(p->unknown);

    return n > 0 && strncmp(path, p->unknown, n) == 0 && (path[n] == '.' || path[n] == '[');
}

/* Inside the value of a list or map: "relay.turn_users.alice", "net.peers[0]". */
static bool is_inside(const char *path)
{
    for (int k = 0; k < CFG_COUNT; k++) {
        size_t n = strlen(infos[k].key);

        if (strncmp(path, infos[k].key, n) == 0 && (path[n] == '.' || path[n] == '['))
            return true;
    }
    return false;
}

static void on_key(void *arg, const struct json_key *key)
{
    struct parse *p = arg;
    enum config_key k = config_find(key->path);
    struct err_detail d;
    struct slice raw;
    cJSON *v;

    if (key->first_line != 0) {
        complain(p, key->line, "%s: given twice (first on line %u)", key->path, key->first_line);
        return;
    }
    raw = json_value_at(p->text, key->at);
    if (k == CFG_COUNT) {
        const char *near = config_suggest(key->path);

        if (is_section(key->path)) {
            if (raw.len > 0 && raw.data[0] != '{')
                complain(p, key->line, "%s: expected an object, found %.*s", key->path,
                         (int)(raw.len < 64 ? raw.len : 64), (const char *)raw.data);
        } else if (!is_inside(key->path) && !is_in_unknown(p, key->path)) {
            snprintf(p->unknown, sizeof p->unknown, "%s", key->path);
            complain(p, key->line, near != NULL ? "%s: unknown key; did you mean %s?" : "%s: unknown key",
                     key->path, near);
        }
        return;
    }
    v = cJSON_ParseWithLength((const char *)raw.data, raw.len);
    if (v == NULL)
        return; /* the syntax error that follows tells it */
    if (check_value(k, v, raw, &d) != ERR_OK) {
        complain(p, key->line, "%s: %s", key->path, d.text);
        cJSON_Delete(v);
        return;
    }
    clean_name(k, v);
    if (k == CFG_AUDIO_JITTER_MAX_MS || (k == CFG_AUDIO_JITTER_MIN_MS && p->jitter_line == 0))
        p->jitter_line = key->line;
    p->values[k] = v;
}

static void drop_values(struct parse *p)
{
    for (int k = 0; k < CFG_COUNT; k++)
        cJSON_Delete(p->values[k]);
}

/* Defaults for what was not given, then the rules between values; takes all into c when all is well. */
static enum err finish(struct config *c, struct parse *p)
{
    struct err_detail d;

    for (int k = 0; k < CFG_COUNT; k++)
        if (p->values[k] == NULL)
            p->values[k] = cJSON_Parse(infos[k].default_json);
    if (check_pairs(p->values, &d) != ERR_OK)
        complain(p, p->jitter_line, "audio.jitter_max_ms: %s", d.text);
    if (p->errors->n > 0) {
        drop_values(p);
        return ERR_CONFIG;
    }
    for (int k = 0; k < CFG_COUNT; k++) {
        cJSON_Delete(c->values[k]);
        c->values[k] = p->values[k];
    }
    return ERR_OK;
}

enum err config_parse(struct config *c, const char *name, struct slice text, struct config_errors *errors)
{
    struct parse p = {.name = name, .text = text, .errors = errors};
    struct err_detail d;
    cJSON *tree;

    if (json_parse(text, on_key, &p, &tree, &d) != ERR_OK) {
        if (errors->n == CONFIG_ERRORS_MAX)
            mem_free(errors->lines[--errors->n]);
        errors->lines[errors->n++] = mem_printf("%s:%s", name, d.text);
        drop_values(&p);
        return ERR_CONFIG;
    }
    if (!cJSON_IsObject(tree))
        complain(&p, 1, "not an object: expected {");
    cJSON_Delete(tree);
    return finish(c, &p);
}

enum err config_load(struct config *c, const char *path, const char *name, struct config_errors *errors)
{
    struct err_detail d;
    uint8_t *text;
    size_t len;
    enum err e = file_read(path, CONFIG_FILE_MAX, &text, &len, &d);

    errors->n = errors->n_more = 0;
    if (e == ERR_NOT_FOUND)
        return config_parse(c, name, slice_str("{}"), errors);
    if (e != ERR_OK) {
        errors->lines[errors->n++] = mem_str(d.text);
        return ERR_CONFIG;
    }
    e = config_parse(c, name, slice_of(text, len), errors);
    mem_free(text);
    return e;
}

/* ---- changing one value in the file ---- */

/* What a person typed, as JSON: itself when it is JSON of the right type, else quoted for texts. */
static cJSON *value_of(enum config_key key, const char *typed)
{
    enum config_type type = infos[key].type;
    cJSON *v = NULL;

    if (type == CFG_T_STR || type == CFG_T_ENUM) {
        if (typed[0] == '"')
            v = cJSON_Parse(typed);
        return v != NULL ? v : cJSON_CreateString(typed);
    }
    if (json_parse(slice_str(typed), NULL, NULL, &v, NULL) == ERR_OK)
        return v;
    return cJSON_CreateString(typed);
}

struct place {
    const char *key;
    size_t at;
    bool is_found;
    char parent[64];
    size_t parent_at;
    bool has_parent;
};

static void find_place(void *arg, const struct json_key *key)
{
    struct place *p = arg;

    if (strcmp(key->path, p->key) == 0) {
        p->at = key->at;
        p->is_found = true;
    } else if (strcmp(key->path, p->parent) == 0) {
        p->parent_at = key->at;
        p->has_parent = true;
    }
}

/* text with [from, from + n) replaced by `with`. */
static char *splice(struct slice text, size_t from, size_t n, const char *with)
{
    return mem_printf("%.*s%s%.*s", (int)from, (const char *)text.data, with, (int)(text.len - from - n),
                      (const char *)text.data + from + n);
}

static bool is_empty_object(struct slice text, size_t brace)
{
    size_t i = brace + 1;

    while (i < text.len && strchr(" \t\r\n", text.data[i]) != NULL)
        i++;
    return i < text.len && text.data[i] == '}';
}

/* The new text of the file: the value in its place, or a new member at the top of its section. */
static char *edit(struct slice text, const char *key, const char *json)
{
    struct place p = {.key = key};
    const char *dot = strrchr(key, '.'), *leaf = dot != NULL ? dot + 1 : key;
    struct slice value;
    size_t brace;
    char *member, *out;
    cJSON *tree;

    snprintf(p.parent, sizeof p.parent, "%.*s", dot != NULL ? (int)(dot - key) : 0, key);
    json_parse(text, find_place, &p, &tree, NULL);
    cJSON_Delete(tree);
    if (p.is_found) {
        value = json_value_at(text, p.at);
        return splice(text, (size_t)(value.data - text.data), value.len, json);
    }
    if (p.has_parent)
        brace = (size_t)(json_value_at(text, p.parent_at).data - text.data);
    else
        brace = (size_t)((const uint8_t *)memchr(text.data, '{', text.len) - text.data);
    if (dot != NULL && !p.has_parent)
        member = mem_printf("\n  \"%s\": {\"%s\": %s}%s", p.parent, leaf, json,
                            is_empty_object(text, brace) ? "\n" : ",");
    else
        member = mem_printf("%s\"%s\": %s%s", p.has_parent ? "" : "\n  ", leaf, json,
                            is_empty_object(text, brace) ? "" : ", ");
    out = splice(text, brace + 1, 0, member);
    mem_free(member);
    return out;
}

static enum err write_value(const char *path, const char *key, const char *json, struct err_detail *detail)
{
    uint8_t *old = NULL;
    size_t len = 0;
    char *text;
    enum err e = file_read(path, CONFIG_FILE_MAX, &old, &len, detail);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    text = edit(e == ERR_OK ? slice_of(old, len) : slice_str("{}\n"), key, json);
    e = file_replace(path, slice_str(text), 0600, detail);
    mem_free(text);
    mem_free(old);
    return e;
}

/* A file with errors is not edited: its other mistakes would be written again. */
static enum err write_checked(const char *path, const char *key, const cJSON *v, struct err_detail *detail)
{
    const char *slash = strrchr(path, '/');
    struct config_errors errors = {0};
    struct config *file = config_create();
    enum err e = config_load(file, path, slash != NULL ? slash + 1 : path, &errors);
    char *json = json_print(v), *text;

    config_destroy(file);
    if (e == ERR_OK) {
        e = write_value(path, key, json, detail);
    } else {
        text = config_errors_text(&errors);
        err_set(detail, e, "%s", text);
        mem_free(text);
    }
    config_errors_fini(&errors);
    mem_free(json);
    return e;
}

enum err config_set(struct config *c, const char *path, const char *key, const char *value,
                    struct err_detail *detail)
{
    enum config_key k = config_find(key);
    const char *near = config_suggest(key);
    struct err_detail d;
    cJSON *v, *old;
    enum err e;

    if (k == CFG_COUNT)
        return err_set(detail, ERR_NOT_FOUND,
                       near != NULL ? "%s: unknown key; did you mean %s?" : "%s: unknown key", key, near);
    v = value_of(k, value);
    e = check_value(k, v, slice_str(value), &d);
    if (e == ERR_OK) {
        clean_name(k, v);
        old = c->values[k];
        c->values[k] = v;
        e = check_pairs(c->values, &d);
        c->values[k] = old;
    }
    if (e != ERR_OK) {
        cJSON_Delete(v);
        return err_set(detail, ERR_CONFIG, "%s: %s", key, d.text);
    }
    if (path != NULL)
        e = write_checked(path, key, v, detail);
    if (e != ERR_OK) {
        cJSON_Delete(v);
        return e;
    }
    cJSON_Delete(c->values[k]);
    c->values[k] = v;
    return ERR_OK;
}

/* ---- reading ---- */

long config_int(const struct config *c, enum config_key key)
{
    return (long)c->values[key]->valuedouble;
}

bool config_bool(const struct config *c, enum config_key key)
{
    return cJSON_IsTrue(c->values[key]);
}

const char *config_str(const struct config *c, enum config_key key)
{
    return c->values[key]->valuestring;
}

size_t config_len(const struct config *c, enum config_key key)
{
    return (size_t)cJSON_GetArraySize(c->values[key]);
}

const char *config_item(const struct config *c, enum config_key key, size_t i)
{
    return cJSON_GetArrayItem(c->values[key], (int)i)->valuestring;
}

const char *config_item_name(const struct config *c, enum config_key key, size_t i)
{
    return cJSON_GetArrayItem(c->values[key], (int)i)->string;
}

bool config_is_default(const struct config *c, enum config_key key)
{
    cJSON *def = cJSON_Parse(infos[key].default_json);
    bool is_same = cJSON_Compare(def, c->values[key], true);

    cJSON_Delete(def);
    return is_same;
}

char *config_json(const struct config *c, enum config_key key)
{
    return json_print(c->values[key]);
}

char *config_print(const struct config *c)
{
    char *out = mem_str("{"), section[64] = "", *json, *next;

    for (int k = 0; k < CFG_COUNT; k++) {
        const char *dot = strchr(infos[k].key, '.');
        char name[64] = "";

        json = config_json(c, k);
        if (dot != NULL)
            snprintf(name, sizeof name, "%.*s", (int)(dot - infos[k].key), infos[k].key);
        if (section[0] != '\0' && strcmp(section, name) == 0)
            next = mem_printf("%s,\n    \"%s\": %s", out, dot + 1, json);
        else if (dot != NULL)
            next = mem_printf("%s%s\n  \"%s\": {\n    \"%s\": %s", out,
                              section[0] != '\0' ? "\n  },"
                              : k > 0            ? ","
                                                 : "",
                              name, dot + 1, json);
        else
            next = mem_printf("%s%s\n  \"%s\": %s", out,
                              section[0] != '\0' ? "\n  },"
                              : k > 0            ? ","
                                                 : "",
                              infos[k].key, json);
        mem_free(out);
        mem_free(json);
        out = next;
        strcpy(section, name);
    }
    next = mem_printf("%s%s\n}\n", out, section[0] != '\0' ? "\n  }" : "");
    mem_free(out);
    return next;
}
