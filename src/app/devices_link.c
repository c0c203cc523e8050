/* app/devices_link.c - linking one more device: the main device's side, and that of the new one. */
#include <stdio.h>

#include "app/devices_priv.h"
#include "base/log.h"
#include "crypto/code.h"

#define ASK_NS  (2 * NS_PER_S)  /* the new device asks again */
#define LOOK_NS (2 * NS_PER_S)  /* it did not find the main device: it looks again */
#define DONE_NS (60 * NS_PER_S) /* after DONE: whether TAKEN came or not, the link is over */

/* ---- main device: linking a new one ---- */

static void close_link(struct app *a, ns_t now, const char *state)
{
    struct devices *d = a->devices;
    struct session *s = d->link.session;

    if (!d->link.is_open)
        return;
    secret_wipe(&d->link, sizeof d->link);
    if (s != NULL)
        session_close(s, now);
    app_set_self(a);
    app_publish(a, now);
    if (state != NULL)
        event_device(a, state, NULL, NULL);
}

enum err devices_open_link(struct app *a, ns_t now, struct invite *inv, struct err_detail *detail)
{
    struct devices *d = a->devices;

    if (!keyring_is_main(a->keys))
        return err_set(detail, ERR_STATE, "Devices are linked on the main device.");
    if (a->keys->list.n == DEVICES_MAX)
        return err_set(detail, ERR_FULL, "%d devices are linked. Remove one first: ito devices remove N",
                       DEVICES_MAX);
    close_link(a, now, NULL);
    inv->is_link = true;
    memcpy(inv->A, a->keys->identity.pub, KEY_BYTES);
    inv->expires_s = (uint32_t)(env_wall_ms(a->env) / 1000 + DEVICES_LINK_S);
    env_random(a->env, inv->I, sizeof inv->I);
    invite_link_secret(inv->A, inv->I, d->link.X);
    d->link.is_open = true;
    d->link.ends_at = now + DEVICES_LINK_S * NS_PER_S;
    app_set_self(a);
    app_publish(a, now);
    return ERR_OK;
}

const uint8_t *devices_link_secret(const struct app *a)
{
    return a->devices->link.is_open ? a->devices->link.X : NULL;
}

bool devices_admits(const struct app *a, const struct session_hello *hello)
{
    const struct devices *d = a->devices;

    return d->link.is_open && (d->link.session == NULL ||
                               memcmp(session_peer_device(d->link.session), hello->device, KEY_BYTES) == 0);
}

bool devices_is_candidate(const struct app *a, const struct session *s)
{
    return a->devices->link.is_open && a->devices->link.session == s;
}

void devices_candidate_up(struct app *a, ns_t now, struct session *s)
{
    struct devices *d = a->devices;
    uint8_t h[64];

    if (!d->link.is_open || session_handshake_hash(s, h) != ERR_OK) {
        session_close(s, now);
        return;
    }
    d->link.session = s;
    d->link.code = link_code(h);
}

void devices_candidate_closed(struct app *a, const struct session *s)
{
    struct devices *d = a->devices;

    if (!devices_is_candidate(a, s))
        return;
    d->link.session = NULL;
    if (!d->link.is_accepted)
        event_device(a, "lost", NULL, NULL);
}

static void say_done(struct app *a, ns_t now)
{
    struct devices *d = a->devices;
    struct device_msg m = {.type = DEVICE_DONE, .S_gen = a->keys->S_gen, .has_cert = true};
    uint8_t list[LIST_MAX_BYTES];

    memcpy(m.S, a->keys->S, KEY_BYTES);
    memcpy(m.cert, d->link.cert, CERT_BYTES);
    snprintf(m.name, sizeof m.name, "%s", config_str(a->settings, CFG_IDENTITY_NAME));
    m.list = device_list_bytes(&a->keys->list, list);
    device_say(d->link.session, now, &m);
    secret_wipe(&m, sizeof m);
}

void devices_candidate_message(struct app *a, ns_t now, struct slice msg)
{
    struct devices *d = a->devices;
    struct device_msg m;

    if (device_parse(msg, &m) != ERR_OK)
        return;
    if (m.type == DEVICE_TAKEN && d->link.is_accepted) {
        close_link(a, now, "linked");
    } else if (m.type == DEVICE_ASK && d->link.is_accepted) {
        say_done(a, now);
    } else if (m.type == DEVICE_ASK) {
        if (!d->link.is_told) {
            snprintf(d->link.name, sizeof d->link.name, "%s", m.name);
            d->link.is_told = true;
            event_device(a, "asks", &d->link.code, d->link.name);
        }
        device_say_type(d->link.session, now, DEVICE_WAIT);
    }
    secret_wipe(&m, sizeof m);
}

enum err devices_accept(struct app *a, ns_t now, uint8_t *slot, struct err_detail *detail)
{
    struct devices *d = a->devices;
    const struct session_hello *hello;
    struct keyring copy = *a->keys;
    enum err e;

    if (!d->link.is_open || d->link.session == NULL || !d->link.is_told || d->link.is_accepted)
        return err_set(detail, ERR_STATE, "No device asks to be linked.");
    hello = session_hello(d->link.session);
    e = keyring_add_device(&copy, hello->device, hello->cert.Q, slot, d->link.cert);
    if (e != ERR_OK)
        err_set(detail, e, "This device cannot be listed.");
    else
        e = device_keep(a, &copy, detail);
    secret_wipe(&copy, sizeof copy);
    if (e != ERR_OK)
        return e;
    d->link.is_accepted = true;
    d->link.slot = *slot;
    d->link.ends_at = now + DONE_NS;
    log_info(a->env, "a device was linked");
    secrets_tell(a, now);
    say_done(a, now);
    return ERR_OK;
}

enum err devices_refuse(struct app *a, ns_t now, struct err_detail *detail)
{
    struct devices *d = a->devices;

    if (!d->link.is_open)
        return err_set(detail, ERR_STATE, "No device is being linked.");
    if (d->link.session != NULL)
        device_say_type(d->link.session, now, DEVICE_NO);
    close_link(a, now, "refused");
    return ERR_OK;
}
/* Nobody came, or the new device has what it needs. */
void device_link_tick(struct app *a, ns_t now)
{
    const struct devices *d = a->devices;

    if (d->link.is_open && now >= d->link.ends_at)
        close_link(a, now, d->link.is_accepted ? "linked" : "expired");
}

/* ---- new device ---- */

enum err devices_join(struct app *a, ns_t now, const struct invite *inv, struct err_detail *detail)
{
    struct devices *d = a->devices;

    if (!a->config.is_joining)
        return err_set(detail, ERR_STATE, "This device has an identity already.");
    if ((int64_t)inv->expires_s <= env_wall_ms(a->env) / 1000)
        return err_set(detail, ERR_LATE, "This link text has expired. Make a new one: ito devices link");
    if (memcmp(inv->zone_id, a->zones[0].id, sizeof inv->zone_id) != 0)
        return err_set(detail, ERR_REFUSED, "This link text is for another zone.");
    memset(&d->join, 0, sizeof d->join);
    memcpy(d->join.to.id, inv->A, KEY_BYTES);
    d->join.to.list = CONTACT_ALLOWED;
    invite_link_secret(inv->A, inv->I, d->join.X);
    d->join.state = JOIN_LOOKING;
    d->join.ends_at = now + DEVICES_LINK_S * NS_PER_S;
    d->join.look_at = now;
    d->join.ask_at = NS_NEVER;
    for (unsigned i = 0; i < inv->n_addrs; i++)
        app_add_address(a, now, &inv->addrs[i]);
    event_device(a, "looking", NULL, NULL);
    return ERR_OK;
}

const uint8_t *devices_join_secret(const struct app *a, const struct contact *who)
{
    return who == &a->devices->join.to ? a->devices->join.X : NULL;
}

const struct keyring *devices_joined_keys(const struct app *a, const char **name)
{
    const struct devices *d = a->devices;

    *name = d->join.name;
    return d->join.state == JOIN_LINKED ? &d->join.keys : NULL;
}

enum err devices_taken(struct app *a, ns_t now, struct err_detail *detail)
{
    struct devices *d = a->devices;

    if (d->join.state != JOIN_LINKED)
        return err_set(detail, ERR_STATE, "This device was not linked.");
    if (d->join.peer != NULL)
        device_say_type(d->join.peer->session, now, DEVICE_TAKEN);
    return ERR_OK;
}

static void end_join(struct app *a, ns_t now, enum join_state state, const char *word)
{
    struct devices *d = a->devices;
    struct peer *p = d->join.peer;

    d->join.state = state;
    d->join.ask_at = d->join.look_at = NS_NEVER;
    if (p != NULL && state != JOIN_LINKED) {
        d->join.peer = NULL;
        reach_stop(p, now);
    }
    event_device(a, word, NULL, NULL);
}

/* Certificate, list and S of the identity we now belong to, with the keys the session proved. */
static void take_done(struct app *a, ns_t now, const struct device_msg *m)
{
    struct devices *d = a->devices;
    struct keyring *k = &d->join.keys;

    memset(k, 0, sizeof *k);
    memcpy(k->identity.pub, d->join.to.id, KEY_BYTES);
    k->device = a->keys->device;
    k->publish = a->keys->publish;
    k->device_made_s = a->keys->device_made_s;
    memcpy(k->acct_seed, a->keys->acct_seed, KEY_BYTES);
    if (keyring_adopt(a->env, k, slice_of(m->cert, CERT_BYTES), m->list, m->S, m->S_gen) != ERR_OK) {
        secret_wipe(k, sizeof *k);
        return; /* it is sent again; what does not fit is not ours */
    }
    snprintf(d->join.name, sizeof d->join.name, "%s", m->name);
    end_join(a, now, JOIN_LINKED, "linked");
}

void device_join_message(struct app *a, ns_t now, const struct device_msg *m)
{
    struct devices *d = a->devices;

    if (d->join.state == JOIN_COMPARE && m->type == DEVICE_DONE)
        take_done(a, now, m);
    else if (d->join.state == JOIN_COMPARE && m->type == DEVICE_NO)
        end_join(a, now, JOIN_REFUSED, "refused");
}

void device_join_tick(struct app *a, ns_t now)
{
    struct devices *d = a->devices;
    struct device_msg m = {.type = DEVICE_ASK};

    if (d->join.state != JOIN_LOOKING && d->join.state != JOIN_COMPARE)
        return;
    if (now >= d->join.ends_at) {
        end_join(a, now, JOIN_EXPIRED, "expired");
        return;
    }
    if (d->join.peer != NULL && now >= d->join.ask_at) {
        d->join.ask_at = now + ASK_NS;
        snprintf(m.name, sizeof m.name, "%s", config_str(a->settings, CFG_IDENTITY_NAME));
        device_say(d->join.peer->session, now, &m);
    }
    if (d->join.peer == NULL && now >= d->join.look_at) {
        d->join.look_at = now + LOOK_NS;
        if (bridge_is_joined(a->bridge) && !reach_is_busy_with(a, &d->join.to))
            (void)reach_start(a, now, &d->join.to, &a->zones[0], NULL);
    }
}
void device_join_up(struct peer *p, ns_t now)
{
    struct app *a = p->app;
    struct devices *d = a->devices;
    uint8_t h[64];

    if (d->join.state != JOIN_LOOKING || session_handshake_hash(p->session, h) != ERR_OK) {
        reach_stop(p, now);
        return;
    }
    d->join.peer = p;
    d->join.state = JOIN_COMPARE;
    d->join.code = link_code(h);
    d->join.ask_at = now;
    event_device(a, "compare", &d->join.code, NULL);
}

void device_join_down(const struct peer *p)
{
    struct devices *d = p->app->devices;

    if (d->join.peer != p)
        return;
    d->join.peer = NULL;
    if (d->join.state == JOIN_COMPARE) {
        d->join.state = JOIN_LOOKING;
        d->join.look_at = p->app->now + LOOK_NS;
    }
}
