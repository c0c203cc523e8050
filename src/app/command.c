/* app/command.c - the verbs: one table for screens, commands, scripts and tests (UX.md §6, §7). */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "app/command_priv.h"
#include "app/membership.h"
#include "base/mem.h"
#include "crypto/idtext.h"
#include "crypto/invite.h"

#define SPONSOR_MINUTES_MAX 1440 /* a day */
#define LINK_SENTENCE                                                                                      \
    "This text links another device of that person. On the device that is to be linked: ito devices link " \
    "TEXT"

void command_merge(cJSON *out, cJSON *tree)
{
    while (tree->child != NULL) {
        cJSON *item = cJSON_DetachItemViaPointer(tree, tree->child);

        cJSON_AddItemToObject(out, item->string, item);
    }
    cJSON_Delete(tree);
}

enum err command_usage(struct request_ctx *r, const char *member)
{
    return err_set(&r->detail, ERR_PARSE, "\"%s\" is missing.", member);
}

/* ---- looking ---- */

static enum err do_status(struct request_ctx *r)
{
    cJSON_AddItemToObject(r->out, "status", json_status(r->a)); /* its "id" is ours, not the request's */
    return ERR_OK;
}

/* The control socket marks who watches; here it is only a command like others. */
static enum err do_watch(struct request_ctx *r)
{
    (void)r;
    return ERR_OK;
}

static enum err do_contacts(struct request_ctx *r)
{
    command_merge(r->out, json_contacts(r->a));
    return ERR_OK;
}

static enum err do_requests(struct request_ctx *r)
{
    command_merge(r->out, json_requests(r->a));
    return ERR_OK;
}

static enum err do_history(struct request_ctx *r)
{
    if (!json_bool(r->in, "keep", false)) /* "keep": nobody looks at it yet */
        r->a->missed = 0;
    command_merge(r->out, json_history(r->a));
    return ERR_OK;
}

static enum err do_relays(struct request_ctx *r)
{
    command_merge(r->out, json_relays(r->a));
    return ERR_OK;
}

static enum err do_ledger(struct request_ctx *r)
{
    command_merge(r->out, json_ledger(r->a));
    return ERR_OK;
}

static enum err do_config_show(struct request_ctx *r)
{
    command_merge(r->out, json_config(r->a));
    return ERR_OK;
}

static enum err do_messages(struct request_ctx *r)
{
    cJSON_AddArrayToObject(r->out, "messages");
    return ERR_OK;
}

static enum err do_voicemail(struct request_ctx *r)
{
    cJSON_AddArrayToObject(r->out, "voicemail");
    return ERR_OK;
}

/* ---- calls ---- */

static enum err do_call(struct request_ctx *r)
{
    const char *to = json_str(r->in, "to", NULL);
    struct call_audio audio = {.play_file = json_str(r->in, "play", NULL),
                               .record_file = json_str(r->in, "record", NULL)};
    bool has_files = audio.play_file != NULL || audio.record_file != NULL;
    struct call *c;
    enum err e;

    if (to == NULL)
        return command_usage(r, "to");
    e = phone_dial(r->a, r->now, to, has_files ? &audio : NULL, &c, &r->detail);
    if (e == ERR_OK && c != NULL)
        cJSON_AddNumberToObject(r->out, "call", call_id(c));
    return e;
}

/* The call that is meant: by number, or the obvious one. */
static struct call *the_call(struct request_ctx *r)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->in, "call");
    struct call *c =
        cJSON_IsNumber(id) ? calls_find(r->a->calls, (uint32_t)id->valuedouble) : calls_current(r->a->calls);

    if (c == NULL)
        err_set(&r->detail, ERR_NOT_FOUND, "There is no call.");
    return c;
}

/* The call people talk in: by number, else the newest one that is not held by us, else the newest. */
static struct call *talking_call(struct request_ctx *r)
{
    struct call *best = NULL, *c;

    if (cJSON_GetObjectItemCaseSensitive(r->in, "call") != NULL)
        return the_call(r);
    for (size_t i = 0; (c = calls_at(r->a->calls, i)) != NULL; i++) {
        enum call_state s = call_get_state(c);

        if (s == CALL_INCOMING || s == CALL_ENDED)
            continue;
        if (best == NULL || call_get_state(best) == CALL_HELD_LOCAL ||
            (s != CALL_HELD_LOCAL && call_id(c) > call_id(best)))
            best = c;
    }
    if (best == NULL)
        err_set(&r->detail, ERR_NOT_FOUND, "There is no call.");
    return best;
}

/* Answering a second call holds the first. */
static enum err do_answer(struct request_ctx *r)
{
    struct call *c = the_call(r), *other;

    if (c == NULL)
        return ERR_NOT_FOUND;
    if (call_answer(c, r->now) != ERR_OK)
        return err_set(&r->detail, ERR_STATE, "No call is ringing.");
    for (size_t i = 0; (other = calls_at(r->a->calls, i)) != NULL; i++)
        if (other != c && call_get_state(other) == CALL_IN_CALL)
            call_hold(other, r->now, true);
    return ERR_OK;
}

static enum err do_hangup(struct request_ctx *r)
{
    struct call *c = the_call(r);

    if (c == NULL)
        return ERR_NOT_FOUND;
    call_hangup(c, r->now);
    return ERR_OK;
}

static enum err do_silence(struct request_ctx *r)
{
    struct call *c = the_call(r);

    if (c == NULL)
        return ERR_NOT_FOUND;
    call_silence(c);
    return ERR_OK;
}

static enum err in_call(struct request_ctx *r, enum err e)
{
    return e == ERR_OK ? e : err_set(&r->detail, ERR_STATE, "Not in a call.");
}

static enum err do_mute(struct request_ctx *r)
{
    struct call *c = talking_call(r);

    return c == NULL ? ERR_NOT_FOUND : in_call(r, call_mute(c, json_bool(r->in, "on", true)));
}

static enum err do_hold(struct request_ctx *r)
{
    struct call *c = talking_call(r);

    return c == NULL ? ERR_NOT_FOUND : in_call(r, call_hold(c, r->now, json_bool(r->in, "on", true)));
}

static enum err do_volume(struct request_ctx *r)
{
    struct call *c = talking_call(r);
    int pct = (int)json_num(r->in, "pct", 100);

    if (c == NULL)
        return ERR_NOT_FOUND;
    if (pct < 0 || pct > 200)
        return err_set(&r->detail, ERR_RANGE, "Volume is 0 to 200.");
    return in_call(r, call_volume(c, pct));
}

static enum err do_gain(struct request_ctx *r)
{
    struct call *c = talking_call(r);
    int db = (int)json_num(r->in, "db", 0);

    if (c == NULL)
        return ERR_NOT_FOUND;
    if (db < -20 || db > 20)
        return err_set(&r->detail, ERR_RANGE, "Gain is -20 to 20 dB.");
    return in_call(r, call_gain(c, db));
}

static enum err do_dtmf(struct request_ctx *r)
{
    struct call *c = talking_call(r);
    const char *digits = json_str(r->in, "digits", NULL);

    if (c == NULL)
        return ERR_NOT_FOUND;
    if (digits == NULL)
        return command_usage(r, "digits");
    return call_dtmf(c, digits) == ERR_OK
               ? ERR_OK
               : err_set(&r->detail, ERR_RANGE, "Tones are 0 to 9, *, # and A to D, in a call.");
}

/* ---- lists ---- */

enum err command_contact(struct request_ctx *r, struct contact **who)
{
    const char *text = json_str(r->in, "contact", NULL);
    uint8_t id[KEY_BYTES];

    *who = NULL;
    if (text == NULL)
        return command_usage(r, "contact");
    *who = contacts_find(r->a->contacts, text, &r->detail);
    if (*who != NULL)
        return ERR_OK;
    if (strcmp(text, APP_ECHO_NAME) == 0 || strcmp(text, "Echo") == 0)
        return err_set(&r->detail, ERR_REFUSED, "Echo is part of this phone and stays as it is.");
    if (strncasecmp(text, "ito1", 4) == 0 && id_parse(text, id, NULL, &r->detail) != ERR_OK)
        return ERR_PARSE; /* meant as an ID */
    return ERR_NOT_FOUND;
}

/* Whom a text means. */
static enum err do_contacts_find(struct request_ctx *r)
{
    struct contact *who;
    enum err e = command_contact(r, &who);
    char id[ID_TEXT_BYTES];

    if (e != ERR_OK)
        return e;
    json_add_str(r->out, "peer", id_format(who->id, id));
    json_add_str(r->out, "name", who->name);
    return ERR_OK;
}

static enum err add_contact(struct request_ctx *r, const uint8_t id[static 32], const char *name,
                            enum contact_list list, struct contact **out)
{
    const struct contact *heir;
    enum err e;

    if (memcmp(id, r->a->keys->identity.pub, 32) == 0)
        return err_set(&r->detail, ERR_REFUSED, "%s", ID_OWN_SENTENCE);
    heir = contacts_by_former(r->a->contacts, id);
    if (heir != NULL)
        return err_set(&r->detail, ERR_REFUSED,
                       "%s gave this ID up for a new one, which is among your contacts.",
                       heir->name[0] != '\0' ? heir->name : "Somebody");
    e = contacts_add(r->a->contacts, r->now, id, name, list, env_wall_ms(r->a->env), out, &r->detail);
    if (e != ERR_OK)
        return e;
    inbox_delete(r->a->inbox, false, id, NULL);
    app_contacts_changed(r->a, r->now);
    event_presence(r->a, *out);
    return ERR_OK;
}

/* An invite somebody gave us: its person is allowed, and we are theirs once we reach them. */
static enum err add_invite(struct request_ctx *r, const char *text, const char *name)
{
    struct invite_row row = {.uses = 1};
    struct contact *who;
    struct invite inv;
    enum err e = invite_parse(text, &inv, &r->detail);

    if (e != ERR_OK)
        return e;
    if ((int64_t)inv.expires_s <= env_wall_ms(r->a->env) / 1000)
        return err_set(&r->detail, ERR_LATE, "This invite has expired. Ask for a new one.");
    if (r->a->sessions != NULL && memcmp(inv.zone_id, r->a->zones[0].id, sizeof inv.zone_id) != 0)
        return err_set(
            &r->detail, ERR_REFUSED,
            "This invite is for another zone. net.zone, and net.zone_key if it takes members only, must be "
            "those of who made it.");
    e = add_contact(r, inv.A, name[0] != '\0' ? name : inv.name, CONTACT_ALLOWED, &who);
    if (e != ERR_OK)
        return e;
    memcpy(row.A, inv.A, KEY_BYTES);
    row.expires_s = inv.expires_s;
    invite_secret(inv.A, inv.I, row.X);
    e = invites_add(r->a->invites, true, &row, &r->detail);
    for (unsigned i = 0; i < inv.n_addrs; i++)
        app_add_address(r->a, r->now, &inv.addrs[i]);
    secret_wipe(&row, sizeof row);
    secret_wipe(&inv, sizeof inv);
    return e;
}

/* "7d", "12h", "30m", "45s" or plain seconds; 0 when it is none. */
static int64_t duration_s(const char *text)
{
    char *end;
    double n = strtod(text, &end), unit = 1;

    if (*end == 'd')
        unit = 86400;
    else if (*end == 'h')
        unit = 3600;
    else if (*end == 'm')
        unit = 60;
    else if (*end != 's' && *end != '\0')
        return 0;
    return n * unit >= 1 && n * unit <= 400 * 86400.0 && (*end == '\0' || end[1] == '\0')
               ? (int64_t)(n * unit)
               : 0;
}

/* Where the overlay begins for somebody new: full nodes we know, those of the cache while we have no network; our
 * own address only under net.path direct, or when no other is known. */
void command_invite_addresses(struct app *a, struct invite *inv)
{
    struct dht_node nodes[INVITE_ADDRS_MAX];
    struct addr own[2];
    size_t n = a->zones[0].dht != NULL ? dht_nodes(a->zones[0].dht, nodes, INVITE_ADDRS_MAX) : 0, n_host;
    size_t n_own = a->zones[0].dht != NULL ? app_own_addrs(a, &a->zones[0], own, 2, &n_host) : 0;

    if (n_own > 0 && (records_is_direct(a) || n == 0))
        inv->addrs[inv->n_addrs++] = own[0];
    for (size_t i = 0; i < n && inv->n_addrs < 3; i++)
        inv->addrs[inv->n_addrs++] = nodes[i].addr;
    if (a->zones[0].dht == NULL)
        inv->n_addrs = (uint8_t)app_cached_peers(a, inv->addrs, 3);
}

/* A text to hand over: a secret, and where the overlay begins (THREATS.md §4.4). */
static enum err do_invite(struct request_ctx *r)
{
    const char *expires = json_str(r->in, "expires", "7d");
    double uses = json_num(r->in, "uses", 1);
    struct invite_row row = {0};
    struct invite inv = {0};
    char text[INVITE_TEXT_BYTES];
    bool is_closed;
    enum err e;

    if (!keyring_is_main(r->a->keys))
        return err_set(&r->detail, ERR_STATE, "Invites are made on the main device of this identity.");
    if (duration_s(expires) == 0)
        return err_set(&r->detail, ERR_RANGE, "\"%.16s\" is no duration. Try 7d, 12h or 30m.", expires);
    if (uses < 1 || uses > INVITE_USES_MAX || uses != (unsigned)uses)
        return err_set(&r->detail, ERR_RANGE, "Uses are 1 to %d.", INVITE_USES_MAX);
    memcpy(inv.A, r->a->keys->identity.pub, KEY_BYTES);
    inv.expires_s = (uint32_t)(env_wall_ms(r->a->env) / 1000 + duration_s(expires));
    env_random(r->a->env, inv.I, sizeof inv.I);
    is_closed = membership_is_closed(r->a->settings);
    e = membership_zone_id(r->a->settings, config_str(r->a->settings, CFG_NET_ZONE), is_closed, inv.zone_id);
    if (e != ERR_OK)
        return e;
    command_invite_addresses(r->a, &inv);
    e = invite_format(&inv, text);
    row.expires_s = inv.expires_s;
    row.uses = (unsigned)uses;
    memcpy(row.A, inv.A, KEY_BYTES);
    invite_secret(inv.A, inv.I, row.X);
    if (e == ERR_OK)
        e = invites_add(r->a->invites, false, &row, &r->detail);
    if (e == ERR_OK) {
        json_add_str(r->out, "invite", text);
        json_time(r->out, "expires", (int64_t)inv.expires_s * 1000);
        cJSON_AddNumberToObject(r->out, "uses", uses);
        if (is_closed) { /* what the invite cannot bring: only the administrator certifies */
            json_add_str(r->out, "zone", config_str(r->a->settings, CFG_NET_ZONE));
            json_add_str(r->out, "zone_key", config_str(r->a->settings, CFG_NET_ZONE_KEY));
        }
        if (r->a->sessions != NULL) {
            app_set_self(r->a);
            app_publish(r->a, r->now);
        }
    }
    secret_wipe(&row, sizeof row);
    secret_wipe(&inv, sizeof inv);
    secret_wipe(text, sizeof text);
    return e;
}

/* Whom or what it is about: the member of that name, or a text called "id" (the number of the request may come
 * before it). */
static const char *subject(const struct request_ctx *r, const char *key)
{
    const char *text = json_str(r->in, key, NULL);
    const cJSON *it;

    cJSON_ArrayForEach(it, r->in)
    {
        if (text == NULL && cJSON_IsString(it) && strcmp(it->string, "id") == 0)
            text = it->valuestring;
    }
    return text;
}

/* Adding allows, and asks (UX.md §3). */
static enum err do_contacts_add(struct request_ctx *r)
{
    const char *text = subject(r, "contact"), *given = json_str(r->in, "name", "");
    char name[ID_NAME_BYTES];
    uint8_t id[KEY_BYTES];
    struct contact *who;
    enum err e;

    if (text == NULL)
        return command_usage(r, "contact");
    if (invite_is_link(text))
        return err_set(&r->detail, ERR_REFUSED, LINK_SENTENCE);
    if (invite_is(text))
        return add_invite(r, text, given);
    e = id_parse(text, id, name, &r->detail);
    if (e == ERR_OK)
        e = add_contact(r, id, given[0] != '\0' ? given : name, CONTACT_ALLOWED, &who);
    if (e == ERR_OK && r->a->zones[0].stranger != NULL && r->a->config.mode != APP_RELAY)
        stranger_send(r->a->zones[0].stranger, r->now, id, config_str(r->a->settings, CFG_IDENTITY_NAME), "",
                      true, heirs_proof_for(r->a, id) != NULL, NULL, NULL);
    return e;
}

/* Whether a text could be added: asked while a name for it is being typed. */
static enum err do_contacts_check(struct request_ctx *r)
{
    const char *text = subject(r, "contact");
    uint8_t id[KEY_BYTES];
    struct contact *who;
    struct invite inv;
    enum err e;

    if (text == NULL)
        return command_usage(r, "contact");
    if (invite_is_link(text))
        return err_set(&r->detail, ERR_REFUSED, LINK_SENTENCE);
    if (invite_is(text)) {
        e = invite_parse(text, &inv, &r->detail);
        secret_wipe(&inv, sizeof inv);
        return e;
    }
    e = id_parse(text, id, NULL, &r->detail);
    if (e != ERR_OK)
        return e;
    who = contacts_by_id(r->a->contacts, id);
    if (who != NULL)
        return err_set(&r->detail, ERR_EXISTS, "This ID is among your contacts already, as \"%s\".",
                       who->name);
    if (memcmp(id, r->a->keys->identity.pub, KEY_BYTES) == 0)
        return err_set(&r->detail, ERR_REFUSED, "%s", ID_OWN_SENTENCE);
    return ERR_OK;
}

static enum err set_list(struct request_ctx *r, enum contact_list list)
{
    const char *text = json_str(r->in, "contact", "");
    uint8_t id[KEY_BYTES];
    struct contact *who;
    enum err e = command_contact(r, &who);

    if (e != ERR_OK) { /* an ID that is no contact yet can be put on either list */
        if (id_parse(text, id, NULL, NULL) != ERR_OK)
            return e;
        return add_contact(r, id, "", list, &who);
    }
    e = contacts_set_list(r->a->contacts, r->now, who, list, &r->detail);
    if (e != ERR_OK)
        return e;
    if (list == CONTACT_BLOCKED)
        reach_contact_gone(r->a, r->now, who);
    app_contacts_changed(r->a, r->now);
    event_presence(r->a, who);
    return ERR_OK;
}

static enum err do_contacts_allow(struct request_ctx *r)
{
    return set_list(r, CONTACT_ALLOWED);
}

static enum err do_contacts_block(struct request_ctx *r)
{
    return set_list(r, CONTACT_BLOCKED);
}

static enum err do_contacts_remove(struct request_ctx *r)
{
    struct contact *who;
    enum err e = command_contact(r, &who);

    if (e != ERR_OK)
        return e;
    reach_contact_gone(r->a, r->now, who);
    e = contacts_remove(r->a->contacts, r->now, who, &r->detail);
    if (e != ERR_OK)
        return e;
    app_contacts_changed(r->a, r->now);
    event_presence(r->a, NULL);
    return ERR_OK;
}

static enum err do_contacts_rename(struct request_ctx *r)
{
    struct contact *who;
    const char *name = json_str(r->in, "name", NULL);
    enum err e = command_contact(r, &who);

    if (e != ERR_OK)
        return e;
    if (name == NULL)
        return command_usage(r, "name");
    e = contacts_rename(r->a->contacts, r->now, who, name, &r->detail);
    if (e == ERR_OK)
        event_presence(r->a, who);
    return e;
}

static enum err do_contacts_undo(struct request_ctx *r)
{
    enum err e = contacts_undo(r->a->contacts, r->now, &r->detail);

    if (e == ERR_OK)
        app_contacts_moved(r->a, r->now);
    return e;
}

static enum err do_contacts_import(struct request_ctx *r)
{
    const char *text = json_str(r->in, "text", NULL), *name = json_str(r->in, "file", "import");
    struct contacts_import n;
    enum err e;

    if (text == NULL)
        return command_usage(r, "text");
    e = contacts_import(r->a->contacts, r->now, name, slice_str(text), &n, &r->detail);
    cJSON_AddNumberToObject(r->out, "added", n.added);
    cJSON_AddNumberToObject(r->out, "changed", n.changed);
    cJSON_AddNumberToObject(r->out, "same", n.same);
    cJSON_AddNumberToObject(r->out, "bad", n.bad);
    if (e == ERR_OK)
        app_contacts_moved(r->a, r->now);
    return e;
}

static enum err do_contacts_export(struct request_ctx *r)
{
    char *text = contacts_print(r->a->contacts);

    json_add_str(r->out, "text", text);
    mem_free(text);
    return ERR_OK;
}

static enum err do_verify(struct request_ctx *r)
{
    struct contact *who;
    enum err e = command_contact(r, &who);

    if (e != ERR_OK)
        return e;
    e = contacts_set_verified(r->a->contacts, who, json_bool(r->in, "on", true), &r->detail);
    if (e == ERR_OK)
        event_presence(r->a, who);
    return e;
}

/* ---- requests ---- */

static const struct inbox_entry *request_arg(struct request_ctx *r)
{
    double n = json_num(r->in, "n", 0);
    const struct inbox_entry *e = n >= 1 ? inbox_at(r->a->inbox, false, (size_t)n - 1) : NULL;

    if (e == NULL)
        err_set(&r->detail, ERR_NOT_FOUND, "There is no request %.0f.", n);
    return e;
}

static enum err decide_request(struct request_ctx *r, enum contact_list list)
{
    const struct inbox_entry *found = request_arg(r);
    struct inbox_entry entry;
    char name[ID_NAME_BYTES];
    struct contact *who;
    enum err e;

    if (found == NULL)
        return ERR_NOT_FOUND;
    entry = *found;
    contacts_free_name(r->a->contacts, list == CONTACT_ALLOWED ? entry.name : "", name);
    e = add_contact(r, entry.id, name, list, &who);
    if (e != ERR_OK)
        return e;
    snprintf(who->claimed, sizeof who->claimed, "%s", entry.name);
    if (list == CONTACT_ALLOWED && entry.has_S) {
        who->has_S = true;
        who->S_gen = entry.S_gen;
        memcpy(who->S, entry.S, KEY_BYTES);
    }
    secret_wipe(&entry, sizeof entry);
    contacts_save_state(r->a->contacts, NULL);
    event_presence(r->a, who);
    event_request(r->a);
    return ERR_OK;
}

static enum err do_requests_allow(struct request_ctx *r)
{
    return decide_request(r, CONTACT_ALLOWED);
}

static enum err do_requests_block(struct request_ctx *r)
{
    return decide_request(r, CONTACT_BLOCKED);
}

static enum err do_requests_delete(struct request_ctx *r)
{
    const struct inbox_entry *found = request_arg(r);
    uint8_t id[KEY_BYTES];
    enum err e;

    if (found == NULL)
        return ERR_NOT_FOUND;
    memcpy(id, found->id, sizeof id);
    e = inbox_delete(r->a->inbox, false, id, &r->detail);
    event_request(r->a);
    return e;
}

static enum err do_requests_send(struct request_ctx *r)
{
    const char *text = subject(r, "to"), *note = json_str(r->in, "note", "");
    uint8_t id[KEY_BYTES];
    struct inbox_entry entry = {.when_ms = env_wall_ms(r->a->env), .tries = 1, .wants_contact = true};
    enum err e;

    if (text == NULL)
        return command_usage(r, "to");
    e = id_parse(text, id, NULL, &r->detail);
    if (e != ERR_OK)
        return e;
    if (memcmp(id, r->a->keys->identity.pub, 32) == 0)
        return err_set(&r->detail, ERR_REFUSED, "%s", ID_OWN_SENTENCE);
    e = stranger_send(r->a->zones[0].stranger, r->now, id, config_str(r->a->settings, CFG_IDENTITY_NAME),
                      note, true, heirs_proof_for(r->a, id) != NULL, NULL, NULL);
    if (e == ERR_RANGE)
        return err_set(&r->detail, e, "A note has at most 200 characters.");
    if (e != ERR_OK)
        return err_set(&r->detail, e, "The request cannot be sent now.");
    memcpy(entry.id, id, sizeof entry.id);
    snprintf(entry.note, sizeof entry.note, "%s", note);
    return inbox_put_out(r->a->inbox, &entry, &r->detail);
}

/* ---- settings, network ---- */

static enum err do_peer_add(struct request_ctx *r)
{
    const char *text = json_str(r->in, "addr", NULL);

    if (text == NULL)
        return command_usage(r, "addr");
    if (r->a->config.ops.resolve == NULL)
        return err_set(&r->detail, ERR_UNSUPPORTED, "No names can be resolved here.");
    r->a->config.ops.resolve(r->a->config.ops.arg, text);
    return ERR_OK;
}

static enum err do_rejoin(struct request_ctx *r)
{
    app_network_changed(r->a, r->now);
    return ERR_OK;
}

static enum err do_relays_never(struct request_ctx *r)
{
    const char *text = subject(r, "relay");
    uint8_t node[1][32];
    enum err e;

    if (text == NULL)
        return command_usage(r, "relay");
    e = node_parse(text, node[0], &r->detail);
    if (e == ERR_OK && r->a->relays != NULL)
        relays_never(r->a->relays, (const uint8_t(*)[32])node, 1);
    return e;
}

/* Minutes a week, by default, of what our relay earned. */
static enum err do_sponsor(struct request_ctx *r)
{
    double minutes = json_num(r->in, "minutes", 30), days = json_num(r->in, "days", 7);
    struct contact *who;
    enum err e = command_contact(r, &who);

    if (e != ERR_OK)
        return e;
    if (minutes < 5 || minutes > SPONSOR_MINUTES_MAX || days < 1 || days > 30)
        return err_set(&r->detail, ERR_RANGE, "5 to %d minutes in 1 to 30 days.", SPONSOR_MINUTES_MAX);
    return favours_sponsor(r->a, r->now, who, (uint32_t)(60 * minutes), (uint16_t)days, &r->detail);
}

static enum err do_unsponsor(struct request_ctx *r)
{
    struct contact *who;
    enum err e = command_contact(r, &who);

    return e == ERR_OK ? favours_sponsor(r->a, r->now, who, 0, 7, &r->detail) : e;
}

static enum err do_drain(struct request_ctx *r)
{
    if (!r->a->service_is_relay)
        return err_set(&r->detail, ERR_STATE, "This is no relay.");
    service_drain(r->a->service, r->now, json_bool(r->in, "on", true));
    return ERR_OK;
}

static enum err do_upgrade(struct request_ctx *r)
{
    if (r->a->config.ops.upgrade == NULL)
        return err_set(&r->detail, ERR_STATE, "This is no relay.");
    return r->a->config.ops.upgrade(r->a->config.ops.arg, &r->detail);
}

static enum err do_reload(struct request_ctx *r)
{
    return app_reload(r->a, r->now, &r->detail);
}

static const struct verb verbs[] = {
    {"status", do_status, false},
    {"watch", do_watch, false},
    {"contacts", do_contacts, false},
    {"contacts_list", do_contacts, false},
    {"contacts_find", do_contacts_find, false},
    {"contacts_check", do_contacts_check, false},
    {"contacts_add", do_contacts_add, false},
    {"contacts_allow", do_contacts_allow, false},
    {"contacts_block", do_contacts_block, false},
    {"contacts_remove", do_contacts_remove, false},
    {"contacts_rename", do_contacts_rename, false},
    {"contacts_undo", do_contacts_undo, false},
    {"contacts_import", do_contacts_import, false},
    {"contacts_export", do_contacts_export, false},
    {"invite", do_invite, false},
    {"verify", do_verify, false},
    {"requests", do_requests, false},
    {"requests_allow", do_requests_allow, false},
    {"requests_block", do_requests_block, false},
    {"requests_delete", do_requests_delete, false},
    {"requests_send", do_requests_send, true},
    {"history", do_history, false},
    {"relays", do_relays, false},
    {"ledger", do_ledger, false},
    {"messages", do_messages, false},
    {"voicemail", do_voicemail, false},
    {"config_show", do_config_show, false},
    {"call", do_call, true},
    {"answer", do_answer, true},
    {"decline", do_hangup, true},
    {"hangup", do_hangup, true},
    {"silence", do_silence, true},
    {"mute", do_mute, true},
    {"hold", do_hold, true},
    {"volume", do_volume, true},
    {"gain", do_gain, true},
    {"dtmf", do_dtmf, true},
    {"peer_add", do_peer_add, true},
    {"rejoin", do_rejoin, true},
    {"relays_never", do_relays_never, true},
    {"sponsor", do_sponsor, true},
    {"unsponsor", do_unsponsor, true},
    {"drain", do_drain, true},
    {"upgrade", do_upgrade, true},
    {"reload", do_reload, false},
};

static enum err run(struct request_ctx *r)
{
    const char *cmd = json_str(r->in, "cmd", NULL);
    const struct verb *v = NULL;

    if (cmd == NULL)
        return command_usage(r, "cmd");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && v == NULL; i++)
        if (strcmp(verbs[i].name, cmd) == 0)
            v = &verbs[i];
    if (v == NULL)
        v = command_devices_find(cmd);
    if (v == NULL)
        v = command_setup_find(cmd);
    if (v != NULL && v->needs_network && r->a->sessions == NULL)
        return err_set(&r->detail, ERR_STATE, "This needs a running core.");
    if (v != NULL)
        return v->run(r);
    return err_set(&r->detail, ERR_UNSUPPORTED, "Unknown command \"%.32s\".", cmd);
}

void app_request(struct app *a, ns_t now, const char *json, app_reply_cb reply, void *arg)
{
    struct request_ctx r = {.a = a, .now = now, .out = cJSON_CreateObject()};
    const cJSON *id = NULL;
    struct err_detail syntax;
    cJSON *in = NULL;
    char *text;
    enum err e;

    a->now = now;
    e = json_parse(slice_str(json), NULL, NULL, &in, &syntax);
    r.in = in;
    if (e != ERR_OK)
        err_set(&r.detail, e, "%s", syntax.text);
    id = cJSON_GetObjectItemCaseSensitive(in, "id");
    cJSON_AddItemToObject(r.out, "id", cJSON_IsNumber(id) ? cJSON_Duplicate(id, true) : cJSON_CreateNull());
    if (e == ERR_OK)
        e = run(&r);
    cJSON_AddBoolToObject(r.out, "ok", e == ERR_OK);
    if (e != ERR_OK) {
        json_add_str(r.out, "error", err_name(e));
        json_add_str(r.out, "text", r.detail.text[0] != '\0' ? r.detail.text : err_name(e));
    }
    text = json_print(r.out);
    cJSON_Delete(r.out);
    cJSON_Delete(in);
    reply(arg, text);
    mem_free(text);
}
