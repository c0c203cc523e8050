/* app/node_key.c - which key our node of the overlay has. Who relays keeps it, under which it is owed; a phone draws a
 * new one at each start (THREATS.md §4.1), but in a closed zone: there the certificate names the key. */
#include "app/app_priv.h"
#include "app/membership.h"
#include "app/node_file.h"
#include "base/log.h"
#include "crypto/secret.h"
#include "crypto/zone.h"

#define PUZZLE_TRIES (1u << 22)

static bool is_kept(const struct app *a, const struct zone *z)
{
    return a->config.paths.node_key != NULL && !z->is_loopback &&
           (a->config.mode == APP_RELAY || z->is_closed || config_bool(a->settings, CFG_RELAY_ON));
}

enum err app_load_node_key(struct app *a, struct zone *z, struct err_detail *detail)
{
    const char *path = a->config.paths.node_key;
    struct sign_key node;
    uint8_t id[NODE_ID_BYTES], N[KEY_BYTES];
    enum err e = is_kept(a, z) ? node_file_read(path, z->node_seed, z->nonce, detail) : ERR_NOT_FOUND;

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
    return is_kept(a, z) ? node_file_write(path, z->node_seed, z->nonce, detail) : ERR_OK;
}

enum err app_join_members(struct app *a, struct zone *z, struct dht_membership *out,
                          struct err_detail *detail)
{
    struct sign_key node;
    struct err_detail late = {""};
    enum err e;

    sign_key_from_seed(z->node_seed, &node);
    e = membership_read(a->settings, z->id, node.pub, out, &z->until_day, detail);
    secret_wipe(&node, sizeof node);
    if (e == ERR_OK && !membership_is_valid(z->until_day, env_wall_ms(a->env), &late))
        log_warn(a->env, "%s", late.text);
    return e;
}

void app_renew_member(struct app *a)
{
    struct zone *z = &a->zones[0];
    struct dht_membership m;
    struct err_detail detail = {""};
    uint32_t until_day;

    if (z->dht == NULL || !z->is_closed)
        return;
    if (membership_read(a->settings, z->id, dht_key(z->dht), &m, &until_day, &detail) != ERR_OK ||
        dht_set_member(z->dht, m.cert) != ERR_OK) {
        log_warn(a->env, "%s The one before stays in use.", detail.text);
        return;
    }
    z->until_day = until_day;
    if (!membership_is_valid(until_day, env_wall_ms(a->env), &detail))
        log_warn(a->env, "%s", detail.text);
}
