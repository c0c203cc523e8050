/* app/heirs.c - identities that take the place of others (THREATS.md §4.11): ours, told to who knew the old one; a
 * contact's, believed when it is the one whose hash we pinned long before. */
#include "app/app_priv.h"
#include "base/log.h"

#define TELL_S (90ll * 86400) /* after that nobody is told any more whom we were */

bool heirs_pin(struct contact *who, const uint8_t next[static KEY_BYTES])
{
    if (secret_is_zero(who->next, KEY_BYTES))
        memcpy(who->next, next, KEY_BYTES);
    return memcmp(who->next, next, KEY_BYTES) == 0;
}

const uint8_t *heirs_proof_for(const struct app *a, const uint8_t id[static KEY_BYTES])
{
    const struct contact *who = contacts_by_id(a->contacts, id);
    int64_t wall_s = env_wall_ms(a->env) / 1000;

    if (who == NULL || who->list != CONTACT_ALLOWED || !keyring_is_successor_to(a->keys, who->told_gen) ||
        wall_s > a->keys->first_gen + TELL_S)
        return NULL;
    return a->keys->succession;
}

struct contact *heirs_take(struct app *a, const uint8_t new_id[static KEY_BYTES],
                           const uint8_t proof[static SUCCESSION_BYTES])
{
    struct contact *who = NULL;
    struct err_detail detail;
    uint8_t hash[KEY_BYTES];

    identity_next(new_id, hash);
    for (size_t i = 0; i < contacts_count(a->contacts) && who == NULL; i++) {
        struct contact *c = contacts_at(a->contacts, i);

        if (memcmp(c->next, hash, KEY_BYTES) == 0 &&
            succession_verify(c->id, c->next, new_id, proof) == ERR_OK)
            who = c;
    }
    if (who == NULL)
        return NULL;
    reach_contact_gone(a, a->now, who);
    if (contacts_succeed(a->contacts, who, new_id, proof, &detail) != ERR_OK) {
        log_error(a->env, "%s", detail.text);
        return NULL;
    }
    inbox_delete(a->inbox, false, new_id, NULL);
    log_info(a->env, "a contact has a new identity, the old one is refused");
    app_contacts_changed(a, a->now);
    event_succeeded(a, who);
    return who;
}

bool heirs_request(struct app *a, const struct request *r)
{
    struct contact *who;

    if (memcmp(r->identity, a->keys->identity.pub, KEY_BYTES) == 0 ||
        contacts_by_former(a->contacts, r->identity) != NULL)
        return true;
    if (!r->has_succession || contacts_by_id(a->contacts, r->identity) != NULL ||
        (contacts_by_id(a->contacts, r->old_identity) == NULL &&
         contacts_by_former(a->contacts, r->old_identity) == NULL))
        return false; /* we do not know whom they follow: a stranger like others */
    who = heirs_take(a, r->identity, r->succession);
    if (who != NULL) {
        who->has_S = true;
        who->S_gen = r->s_gen;
        memcpy(who->S, r->s, KEY_BYTES);
        app_save_state_soon(a);
    }
    return true;
}
