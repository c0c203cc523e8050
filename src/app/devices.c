#include "app/devices_priv.h"

#include "base/log.h"
#include "base/mem.h"

#define STATE_NS      (5 * NS_PER_S) /* they are behind, or we are: said again */
#define STATE_TRIES   3 /* then the way is lost: a proxy that got a new token, say; another is looked for */
#define NOTICE_NS     NS_PER_S /* no two answers to STATE in less */
#define OFFER_LOOK_NS (3600 * NS_PER_S)
#define MIRROR_NS     NS_PER_S /* several changes go together */
#define MAIN_SLOT     0        /* of the device that made, or restored, the identity */

struct slice device_list_bytes(const struct device_list *list, uint8_t buf[static LIST_MAX_BYTES])
{
    struct wr w;

    wr_init(&w, buf, LIST_MAX_BYTES);
    device_list_write(&w, list);
    return wr_done(&w);
}

void device_say(struct session *s, ns_t now, const struct device_msg *m)
{
    uint8_t buf[DEVICE_MESSAGE_MAX];

    session_send(s, now, SESSION_CONTROL, device_write(buf, m));
    secret_wipe(buf, sizeof buf);
}

void device_say_type(struct session *s, ns_t now, enum device_msg_type type)
{
    struct device_msg m = {.type = type};

    device_say(s, now, &m);
}

enum err device_keep(struct app *a, const struct keyring *k, struct err_detail *detail)
{
    enum err e = a->config.paths.identity != NULL
                     ? keystore_replace(a->env, a->config.paths.identity, k, detail)
                     : ERR_OK;

    if (e == ERR_OK)
        *a->keys = *k;
    return e;
}

/* ---- contacts, kept the same ---- */

static struct other *other_of(struct devices *d, uint8_t slot)
{
    for (int i = 0; i < DEVICES_MAX; i++)
        if (d->others[i].peer != NULL && d->others[i].slot == slot)
            return &d->others[i];
    return NULL;
}

static void mirror_send(void *arg, uint8_t slot, struct slice msg)
{
    struct app *a = arg;
    struct other *o = other_of(a->devices, slot);

    if (o != NULL)
        session_send(o->peer->session, a->now, SESSION_CONTROL, msg);
}

static void mirror_leaving(void *arg, struct contact *who)
{
    struct app *a = arg;

    reach_contact_gone(a, a->now, who);
}

static void mirror_applied(void *arg)
{
    struct app *a = arg;

    app_save_state_soon(a);
    app_contacts_moved(a, a->now);
}

static void start_mirror(struct app *a, ns_t now)
{
    struct mirror_config config = {.contacts = a->contacts,
                                   .path = a->config.paths.mirror,
                                   .slot = a->keys->slot,
                                   .is_main = keyring_is_main(a->keys)};
    struct mirror_ops ops = {
        .arg = a, .send = mirror_send, .leaving = mirror_leaving, .applied = mirror_applied};
    struct devices *d = a->devices;

    if (d->mirror != NULL || a->keys->list.n < 2 || a->config.is_joining || a->sessions == NULL)
        return;
    memcpy(config.self, a->keys->identity.pub, KEY_BYTES);
    d->mirror = mirror_create(&config, &ops, a->env);
    for (int i = 0; i < DEVICES_MAX; i++)
        if (d->others[i].peer != NULL)
            mirror_up(d->mirror, now, d->others[i].slot);
}

void devices_lists_changed(struct app *a)
{
    if (a->devices != NULL && a->devices->mirror != NULL)
        a->devices->mirror_at = ns_min(a->devices->mirror_at, a->now + MIRROR_NS);
}

static void mirror_turn(struct app *a, ns_t now)
{
    struct devices *d = a->devices;

    start_mirror(a, now);
    if (d->mirror == NULL)
        return;
    if (now >= d->mirror_at) {
        d->mirror_at = NS_NEVER;
        mirror_changed(d->mirror, now);
    }
    if (mirror_deadline(d->mirror) <= now)
        mirror_tick(d->mirror, now);
}

void devices_create(struct app *a)
{
    a->devices = mem_alloc(sizeof *a->devices);
    a->devices->own.list = CONTACT_ALLOWED;
    a->devices->mirror_at = NS_NEVER;
    for (int i = 0; i < DEVICES_MAX; i++)
        a->devices->others[i].tell_at = NS_NEVER;
    devices_refresh(a);
}

void devices_destroy(struct app *a)
{
    if (a->devices == NULL)
        return;
    mirror_destroy(a->devices->mirror);
    secret_wipe(a->devices, sizeof *a->devices);
    mem_free(a->devices);
    a->devices = NULL;
}

void devices_refresh(struct app *a)
{
    struct contact *own = &a->devices->own;
    const struct keyring *k = a->keys;

    memcpy(own->id, k->identity.pub, KEY_BYTES);
    memcpy(own->S, k->S, KEY_BYTES);
    memcpy(own->next, k->next, KEY_BYTES);
    own->has_S = own->has_devices = true;
    own->S_gen = k->S_gen;
    own->devices = k->list;
    own->has_T = !keyring_is_main(k) && identity_pair_secret(&k->publish, k->identity.pub, own->T) == ERR_OK;
}

struct contact *devices_contact(struct app *a, const uint8_t id[static KEY_BYTES])
{
    struct devices *d = a->devices;

    if (memcmp(id, d->own.id, KEY_BYTES) == 0)
        return &d->own;
    return d->join.state != JOIN_NONE && memcmp(id, d->join.to.id, KEY_BYTES) == 0 ? &d->join.to : NULL;
}

bool devices_is_hidden(const struct app *a, const struct contact *who)
{
    return who != NULL && (who == &a->devices->own || who == &a->devices->join.to);
}

/* ---- a device struck off ---- */

enum err devices_remove(struct app *a, ns_t now, uint8_t slot, struct err_detail *detail)
{
    struct keyring copy = *a->keys;
    struct device_msg m = {.type = DEVICE_REMOVED};
    uint8_t list[LIST_MAX_BYTES];
    struct other *o;
    enum err e = keyring_remove_device(a->env, &copy, slot);

    if (e == ERR_STATE)
        err_set(detail, e, "Devices are removed on the main device.");
    else if (e == ERR_NOT_FOUND)
        err_set(detail, e, "There is no device %u.", slot + 1u);
    else if (e == ERR_REFUSED)
        err_set(detail, e, "This is the main device; it is what the others hang on.");
    if (e == ERR_OK)
        e = device_keep(a, &copy, detail);
    secret_wipe(&copy, sizeof copy);
    if (e != ERR_OK)
        return e;
    o = a->sessions != NULL ? other_of(a->devices, slot) : NULL;
    if (o != NULL) { /* a courtesy: whoever has it hears nothing new */
        struct peer *p = o->peer;

        m.list = device_list_bytes(&a->keys->list, list);
        device_say(p->session, now, &m);
        reach_stop(p, now);
    }
    log_info(a->env, "a device was removed");
    if (a->sessions != NULL)
        secrets_tell(a, now);
    return ERR_OK;
}

/* ---- sessions with others of ours ---- */

bool devices_wants_link(struct app *a, ns_t now, bool *by_card)
{
    struct devices *d = a->devices;

    if (keyring_is_struck(a->keys) || a->keys->list.n < 2 || d->own.link_at > now)
        return false;
    d->is_card_turn = !d->is_card_turn && d->own.has_T && other_of(d, MAIN_SLOT) == NULL;
    *by_card = d->is_card_turn;
    for (int i = 0; i < a->keys->list.n; i++)
        if (a->keys->list.devices[i].slot != a->keys->slot &&
            other_of(d, a->keys->list.devices[i].slot) == NULL)
            return true;
    return false;
}

/* It holds what we hold, as far as it said. */
static bool is_current(struct devices *d, uint8_t slot)
{
    const struct other *o = other_of(d, slot);

    return o != NULL && o->tell_at == NS_NEVER;
}

size_t devices_card_secrets(const struct app *a, uint8_t (*out)[KEY_BYTES], size_t max)
{
    const struct keyring *k = a->keys;
    size_t n = 0;

    for (int i = 0; keyring_is_main(k) && i < k->list.n && n < max; i++)
        if (k->list.devices[i].slot != k->slot && !is_current(a->devices, k->list.devices[i].slot))
            n += identity_pair_secret(&k->identity, k->list.devices[i].Q, out[n]) == ERR_OK;
    return n;
}

static void say_state(struct app *a, ns_t now, struct other *o, bool wants_answer)
{
    struct device_msg m = {
        .type = DEVICE_STATE, .wants_answer = wants_answer, .gen = a->keys->gen, .S_gen = a->keys->S_gen};

    device_digest(a->keys->S, m.digest);
    o->told_at = now;
    device_say(o->peer->session, now, &m);
}

/* cert NULL: theirs is good as it is. */
static void say_keys(struct app *a, ns_t now, const struct other *o, const uint8_t *cert)
{
    struct device_msg m = {.type = DEVICE_KEYS, .S_gen = a->keys->S_gen, .has_cert = cert != NULL};
    uint8_t list[LIST_MAX_BYTES];

    memcpy(m.S, a->keys->S, KEY_BYTES);
    if (cert != NULL)
        memcpy(m.cert, cert, CERT_BYTES);
    m.list = device_list_bytes(&a->keys->list, list);
    device_say(o->peer->session, now, &m);
    secret_wipe(&m, sizeof m);
}

static void say_offer(struct app *a, ns_t now, const struct other *o)
{
    struct device_msg m = {.type = DEVICE_OFFER};

    memcpy(m.D, a->keys->pending_device.pub, KEY_BYTES);
    memcpy(m.Q, a->keys->pending_publish.pub, KEY_BYTES);
    device_say(o->peer->session, now, &m);
}

static bool has_offer(const struct app *a)
{
    return !secret_is_zero(a->keys->pending_device.secret, KEY_BYTES);
}

void devices_up(struct peer *p, ns_t now)
{
    struct app *a = p->app;
    struct devices *d = a->devices;
    struct other *o;

    if (p->contact == &d->join.to) {
        device_join_up(p, now);
        return;
    }
    o = other_of(d, p->device.slot);
    for (int i = 0; i < DEVICES_MAX && o == NULL; i++)
        if (d->others[i].peer == NULL)
            o = &d->others[i];
    if (o == NULL) {
        reach_stop(p, now);
        return;
    }
    *o = (struct other){.peer = p, .slot = p->device.slot, .tell_at = now + STATE_NS};
    say_state(a, now, o, true);
    if (has_offer(a))
        say_offer(a, now, o);
    if (d->mirror != NULL)
        mirror_up(d->mirror, now, o->slot);
}

void devices_down(struct peer *p)
{
    struct devices *d = p->app->devices;

    for (int i = 0; i < DEVICES_MAX; i++) {
        if (d->others[i].peer != p)
            continue;
        if (d->mirror != NULL)
            mirror_down(d->mirror, d->others[i].slot);
        d->others[i].peer = NULL;
        d->others[i].tell_at = NS_NEVER;
    }
    device_join_down(p);
}

void devices_tell(struct app *a, ns_t now)
{
    struct devices *d = a->devices;

    for (int i = 0; i < DEVICES_MAX; i++) {
        struct other *o = &d->others[i];

        if (o->peer == NULL)
            continue;
        o->tries = 0;
        o->tell_at = now + STATE_NS;
        say_state(a, now, o, true);
    }
}

/* Both drew a new S at the same moment: the main device's stays, else that of the greater digest. > 0: theirs. */
static int compare_twins(const struct app *a, const struct other *o, const struct device_msg *m)
{
    uint8_t digest[DEVICE_DIGEST_BYTES];
    int order;

    if (m->S_gen != a->keys->S_gen)
        return 0;
    device_digest(a->keys->S, digest);
    order = memcmp(m->digest, digest, sizeof digest);
    return order == 0 ? 0 : o->slot == MAIN_SLOT ? 1 : keyring_is_main(a->keys) ? -1 : order;
}

/* True when something was news, and is kept. */
static bool take_keys(struct app *a, ns_t now, const struct keyring *k)
{
    const struct keyring *own = a->keys;
    struct err_detail detail = {{0}};

    if (k->gen == own->gen && k->S_gen == own->S_gen && memcmp(k->S, own->S, KEY_BYTES) == 0 &&
        memcmp(k->cert, own->cert, CERT_BYTES) == 0)
        return false;
    if (device_keep(a, k, &detail) != ERR_OK) {
        log_error(a->env, "%s", detail.text);
        return false;
    }
    log_info(a->env, "keys of another of our devices taken");
    secrets_tell(a, now);
    return true;
}

static void confirm_S(struct app *a, ns_t now)
{
    struct keyring copy = *a->keys;

    keyring_confirm_s(&copy);
    (void)take_keys(a, now, &copy);
    secret_wipe(&copy, sizeof copy);
}

static void hear_state(struct app *a, ns_t now, struct other *o, const struct device_msg *m)
{
    int twins = compare_twins(a, o, m);
    bool is_behind = m->gen < a->keys->gen || m->S_gen < a->keys->S_gen;
    bool is_ahead = m->gen > a->keys->gen || m->S_gen > a->keys->S_gen || twins > 0;

    if (twins < 0) {
        confirm_S(a, now); /* and STATE says so to all */
        return;
    }
    if (!is_behind && !is_ahead) {
        if (o->tell_at != NS_NEVER) {
            o->tell_at = NS_NEVER;
            app_publish(a, now); /* it needs no card any more */
        }
        if (m->wants_answer)
            say_state(a, now, o, false);
        return;
    }
    if (is_behind)
        say_keys(a, now, o, NULL);
    if (is_ahead && now >= o->told_at + NOTICE_NS)
        say_state(a, now, o, false);
    o->tell_at = ns_min(o->tell_at, now + STATE_NS);
}

/* A main device takes S only: no list is newer than its own. Of a linked one that is not the main device S counts as that
 * of an equal. */
static void hear_keys(struct app *a, ns_t now, struct other *o, const struct device_msg *m)
{
    struct slice cert = slice_of(m->has_cert ? m->cert : a->keys->cert, CERT_BYTES);
    struct keyring copy = *a->keys;

    if (!keyring_is_main(a->keys))
        (void)keyring_adopt(a->env, &copy, cert, m->list, o->slot == MAIN_SLOT ? m->S : copy.S,
                            o->slot == MAIN_SLOT ? m->S_gen : copy.S_gen);
    if (o->slot != MAIN_SLOT)
        (void)keyring_set_s(a->env, &copy, m->S, m->S_gen);
    if (!take_keys(a, now, &copy))
        say_state(a, now, o, false);
    secret_wipe(&copy, sizeof copy);
}

void devices_take_card(struct app *a, ns_t now, uint32_t S_gen, const uint8_t S[static KEY_BYTES],
                       const struct device_list *list)
{
    struct contact *own = &a->devices->own;
    struct keyring copy = *a->keys;
    uint8_t bytes[LIST_MAX_BYTES];

    if (keyring_is_main(a->keys))
        return;
    if (keyring_adopt(a->env, &copy, slice_of(a->keys->cert, CERT_BYTES), device_list_bytes(list, bytes), S,
                      S_gen) == ERR_OK)
        (void)take_keys(a, now, &copy);
    own->S_gen = S_gen;
    memcpy(own->S, S, KEY_BYTES);
    secret_wipe(&copy, sizeof copy);
}

/* A linked device has drawn new keys, as it does every 30 days. Heard twice: it did not get the certificate. */
static void hear_offer(struct app *a, ns_t now, struct other *o, const struct device_msg *m)
{
    const struct device_entry *entry = device_list_find(&a->keys->list, o->slot);
    struct err_detail detail = {{0}};
    uint8_t cert[CERT_BYTES];
    struct keyring copy = *a->keys;
    enum err e;

    if (!keyring_is_main(a->keys) || entry == NULL)
        return;
    if (memcmp(entry->D, m->D, KEY_BYTES) == 0 && memcmp(entry->Q, m->Q, KEY_BYTES) == 0) {
        e = cert_make(&a->keys->identity, a->keys->gen, entry, a->keys->next, cert);
    } else {
        e = keyring_renew_device(&copy, o->slot, m->D, m->Q, cert);
        if (e == ERR_OK)
            e = device_keep(a, &copy, &detail);
        if (e == ERR_OK)
            secrets_tell(a, now);
    }
    secret_wipe(&copy, sizeof copy);
    if (e == ERR_OK)
        say_keys(a, now, o, cert);
}

/* Kept in the key file, so that we know it when we start again. */
static void hear_removed(struct app *a, const struct device_msg *m)
{
    struct keyring copy = *a->keys;
    struct err_detail detail;
    bool is_news = !keyring_is_struck(&copy) && keyring_strike(&copy, m->list) == ERR_OK;

    if (is_news && device_keep(a, &copy, &detail) != ERR_OK)
        log_error(a->env, "%s", detail.text);
    secret_wipe(&copy, sizeof copy);
    if (!is_news)
        return;
    devices_refresh(a);
    log_warn(a->env, "the main device removed this one: contacts do not hear it any more");
    event_device(a, "removed", NULL, NULL);
}

void devices_message(struct peer *p, ns_t now, struct slice msg)
{
    struct app *a = p->app;
    struct other *o = NULL;
    struct device_msg m;

    for (int i = 0; i < DEVICES_MAX && o == NULL; i++)
        if (a->devices->others[i].peer == p)
            o = &a->devices->others[i];
    if (o != NULL && a->devices->mirror != NULL && msg.len > 0 && msg.data[0] >= MIRROR_FIRST) {
        mirror_message(a->devices->mirror, now, o->slot, msg);
        return;
    }
    if (device_parse(msg, &m) != ERR_OK)
        return;
    if (p->contact == &a->devices->join.to) {
        device_join_message(a, now, &m);
    } else {
        if (o != NULL)
            o->tries = 0;
        if (o != NULL && m.type == DEVICE_STATE)
            hear_state(a, now, o, &m);
        else if (o != NULL && m.type == DEVICE_KEYS)
            hear_keys(a, now, o, &m);
        else if (o != NULL && m.type == DEVICE_OFFER)
            hear_offer(a, now, o, &m);
        else if (o != NULL && m.type == DEVICE_REMOVED)
            hear_removed(a, &m);
    }
    secret_wipe(&m, sizeof m);
}

/* ---- time ---- */

static void say_offers(struct app *a, ns_t now)
{
    for (int i = 0; i < DEVICES_MAX; i++)
        if (a->devices->others[i].peer != NULL)
            say_offer(a, now, &a->devices->others[i]);
}

/* A linked device cannot certify its own next keys: it offers them to the main device. */
static void look_for_offer(struct app *a, ns_t now)
{
    struct keyring copy = *a->keys;
    struct err_detail detail;

    a->devices->offer_at = now + OFFER_LOOK_NS;
    if (keyring_is_main(a->keys) || a->config.is_joining ||
        !keyring_device_is_due(a->keys, env_wall_ms(a->env) / 1000))
        return;
    if (has_offer(a) ||
        (keyring_offer_device(a->env, &copy) == ERR_OK && device_keep(a, &copy, &detail) == ERR_OK))
        say_offers(a, now);
    secret_wipe(&copy, sizeof copy);
}

void devices_tick(struct app *a, ns_t now)
{
    struct devices *d = a->devices;

    device_link_tick(a, now);
    device_join_tick(a, now);
    mirror_turn(a, now);
    if (now >= d->offer_at)
        look_for_offer(a, now);
    for (int i = 0; i < DEVICES_MAX; i++) {
        struct other *o = &d->others[i];

        if (o->peer == NULL || now < o->tell_at)
            continue;
        if (++o->tries > STATE_TRIES) {
            reach_reopen(o->peer, now);
            continue;
        }
        o->tell_at = now + STATE_NS;
        say_state(a, now, o, true);
        if (has_offer(a))
            say_offer(a, now, o);
    }
}

ns_t devices_deadline(const struct app *a)
{
    const struct devices *d = a->devices;
    ns_t at = d->offer_at;

    if (d->mirror != NULL)
        at = ns_min(at, ns_min(d->mirror_at, mirror_deadline(d->mirror)));
    if (d->link.is_open)
        at = ns_min(at, d->link.ends_at);
    if (d->join.state == JOIN_LOOKING || d->join.state == JOIN_COMPARE)
        at = ns_min(at, ns_min(d->join.ends_at, d->join.peer != NULL ? d->join.ask_at : d->join.look_at));
    for (int i = 0; i < DEVICES_MAX; i++)
        if (d->others[i].peer != NULL)
            at = ns_min(at, d->others[i].tell_at);
    return at;
}

/* ---- what people see ---- */

cJSON *json_devices(struct app *a)
{
    cJSON *v = cJSON_CreateObject(), *list;

    list = cJSON_AddArrayToObject(v, "devices");
    for (int i = 0; i < a->keys->list.n; i++) {
        const struct device_entry *e = &a->keys->list.devices[i];
        bool is_this = e->slot == a->keys->slot;
        cJSON *o = cJSON_CreateObject();

        cJSON_AddNumberToObject(o, "n", e->slot + 1);
        cJSON_AddBoolToObject(o, "main", e->slot == MAIN_SLOT);
        cJSON_AddBoolToObject(o, "this", is_this);
        if (a->sessions == NULL && !is_this)
            cJSON_AddNullToObject(o, "online"); /* nobody looks, without a network */
        else
            cJSON_AddBoolToObject(o, "online", is_this || other_of(a->devices, e->slot) != NULL);
        cJSON_AddItemToArray(list, o);
    }
    cJSON_AddBoolToObject(v, "removed", keyring_is_struck(a->keys));
    return v;
}
