/* base/json.h - strict JSON: cJSON for the tree, and what cJSON lacks for people's files: the line of every
 * key, keys given twice, and the place of a syntax error.
 *
 *   in     UTF-8 text; a file of at most JSON_FILE_MAX bytes
 *   owner  json_parse() returns a tree the caller frees with cJSON_Delete() */
#ifndef ITO_BASE_JSON_H
#define ITO_BASE_JSON_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/slice.h"

#define JSON_FILE_MAX  (4u << 20)
#define JSON_DEPTH_MAX 32
#define JSON_PATH_MAX  256

/* One member of an object, as it stands in the text. */
struct json_key {
    const char *path;    /* dotted: "audio.input"; elements of arrays are "contacts[3].id" */
    size_t at;           /* offset of the key's opening quote in the text */
    unsigned line;       /* from 1 */
    unsigned first_line; /* when the same path was given before: the line of the first; else 0 */
};

typedef void (*json_key_cb)(void *arg, const struct json_key *key);

/* Parse text whole: no trailing bytes but white space, no comments, valid UTF-8, depth <= JSON_DEPTH_MAX.
 * each (may be NULL) is called for every member in order. On failure *out is NULL and detail is
 * "LINE: not JSON: expected , or } after "info"" (the caller puts the file name and ':' before it). */
enum err json_parse(struct slice text, json_key_cb each, void *arg, cJSON **out, struct err_detail *detail);

/* The extent of the value of the member whose key starts at key_at, in text that json_parse() took. */
struct slice json_value_at(struct slice text, size_t key_at);
/* Borrowed value of a string / number / bool member, or the default when it is missing or of another type. */
const char *json_str(const cJSON *object, const char *key, const char *otherwise);
double json_num(const cJSON *object, const char *key, double otherwise);
bool json_bool(const cJSON *object, const char *key, bool otherwise);
/* Add a string, or null when text is NULL. */
void json_add_str(cJSON *object, const char *key, const char *text);
/* The tree on one line, without white space; free with mem_free(). */
char *json_print(const cJSON *tree);

#endif
