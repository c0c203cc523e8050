/* app/node_key.c - which key our node of the overlay has. Who relays keeps it, under which it is owed; a phone draws a
 * new one at each start (THREATS.md §4.1). */
#include "app/app_priv.h"
#include "base/file.h"
#include "base/mem.h"
#include "crypto/secret.h"
#include "crypto/zone.h"

#define PUZZLE_TRIES (1u << 22)
#define FILE_BYTES   (32 + PUZZLE_NONCE_BYTES) /* seed, nonce */

static bool is_kept(const struct app *a, const struct zone *z)
{
    return a->config.paths.node_key != NULL && !z->is_loopback &&
           (a->config.mode == APP_RELAY || config_bool(a->settings, CFG_RELAY_ON));
}

/* ERR_NOT_FOUND: there is none, or it is of no use. */
static enum err read_file(const char *path, struct zone *z, struct err_detail *detail)
{
    uint8_t *bytes;
    size_t len;
    enum err e = file_read(path, 64, &bytes, &len, detail);

    if (e != ERR_OK)
        return e;
    if (len == FILE_BYTES) {
        memcpy(z->node_seed, bytes, 32);
        memcpy(z->nonce, bytes + 32, sizeof z->nonce);
    } else {
        e = ERR_NOT_FOUND;
    }
    secret_wipe(bytes, len);
    mem_free(bytes);
    return e;
}

static enum err write_file(const char *path, const struct zone *z, struct err_detail *detail)
{
    uint8_t file[FILE_BYTES];
    enum err e;

    memcpy(file, z->node_seed, 32);
    memcpy(file + 32, z->nonce, sizeof z->nonce);
    e = file_replace(path, slice_of(file, sizeof file), 0600, detail);
    secret_wipe(file, sizeof file);
    return e;
}

enum err app_load_node_key(struct app *a, struct zone *z, struct err_detail *detail)
{
    const char *path = a->config.paths.node_key;
    struct sign_key node;
    uint8_t id[NODE_ID_BYTES], N[KEY_BYTES];
    enum err e = is_kept(a, z) ? read_file(path, z, detail) : ERR_NOT_FOUND;

    if (e == ERR_NOT_FOUND)
        env_random(a->env, z->node_seed, sizeof z->node_seed);
    else if (e != ERR_OK)
        return e;
    sign_key_from_seed(z->node_seed, &node);
    memcpy(N, node.pub, sizeof N);
    secret_wipe(&node, sizeof node);
    if (e == ERR_OK && zone_node_id(z->id, N, z->nonce, id) == ERR_OK)
        return ERR_OK;
    memset(z->nonce, 0, sizeof z->nonce); /* a new key, or one that has come to another zone */
    if (zone_puzzle_search(z->id, N, z->nonce, PUZZLE_TRIES) != ERR_OK)
        return err_set(detail, ERR_INTERNAL, "no node id found");
    return is_kept(a, z) ? write_file(path, z, detail) : ERR_OK;
}
