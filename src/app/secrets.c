/* app/secrets.c - keys that change while we run: S when somebody is removed or blocked, the device keys after 30 days,
 * old ones wiped when their time is over (THREATS.md §4.1, §4.4). What is not in the file is not used. */
#include "app/app_priv.h"
#include "base/log.h"
#include "crypto/keystore.h"

#define LOOK_NS  (600 * NS_PER_S)
#define RETRY_NS (30 * NS_PER_S)
#define GRACE_NS (CONTACTS_UNDO_NS + NS_PER_S) /* a change of the lists may be taken back */

enum change { CHANGE_NONE, CHANGE_S, CHANGE_DEVICE, CHANGE_EXPIRED };

/* The next change that is due, made in `k`. *again: when to look, if it is not to be made now. */
static enum change next_change(struct app *a, struct keyring *k, ns_t *again)
{
    int64_t wall_s = env_wall_ms(a->env) / 1000;
    enum err e = ERR_OK;

    if (contacts_owes_S(a->contacts)) {
        e = keyring_rotate_s(a->env, k);
        if (e == ERR_OK)
            return CHANGE_S;
        if (e == ERR_AGAIN)
            *again = ns_min(*again, a->now + RETRY_NS);
    }
    if (keyring_is_main(k) && keyring_device_is_due(k, wall_s) && keyring_rotate_device(a->env, k) == ERR_OK)
        return CHANGE_DEVICE;
    return keyring_expire(k, wall_s) ? CHANGE_EXPIRED : CHANGE_NONE;
}

void secrets_tell(struct app *a, ns_t now)
{
    app_set_self(a);
    for (int i = 0; i < APP_ZONES; i++)
        if (a->zones[i].publish != NULL)
            publish_keys_changed(a->zones[i].publish, now);
    if (a->relays != NULL)
        relays_renew_tokens(a->relays, now, a->keys->S_gen);
    reach_tell_all(a, now);
    app_publish(a, now);
}

void secrets_tick(struct app *a, ns_t now)
{
    struct keyring copy;
    struct err_detail detail = {{0}};
    enum change change;

    if (now < a->secrets_at)
        return;
    a->secrets_at = now + LOOK_NS;
    copy = *a->keys;
    change = next_change(a, &copy, &a->secrets_at);
    if (change != CHANGE_NONE && a->config.paths.identity != NULL &&
        keystore_replace(a->env, a->config.paths.identity, &copy, &detail) != ERR_OK) {
        log_error(a->env, "%s", detail.text);
        a->secrets_at = now + RETRY_NS;
        change = CHANGE_NONE;
    }
    if (change != CHANGE_NONE) {
        *a->keys = copy;
        a->secrets_at = now + NS_PER_S; /* perhaps there is more */
        if (change == CHANGE_S) {
            contacts_paid_S(a->contacts);
            app_save_state_soon(a);
        }
        log_info(a->env, "%s",
                 change == CHANGE_S        ? "a new secret for the contacts who stay"
                 : change == CHANGE_DEVICE ? "new keys for this device"
                                           : "old keys wiped");
        secrets_tell(a, now);
    }
    secret_wipe(&copy, sizeof copy);
}

void secrets_lists_changed(struct app *a, ns_t now)
{
    if (contacts_owes_S(a->contacts))
        a->secrets_at = ns_min(a->secrets_at, now + GRACE_NS);
}
