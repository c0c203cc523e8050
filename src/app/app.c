#include <stdio.h>
#include <string.h>

#include "app/devices.h"
#include "app/membership.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/idtext.h"
#include "crypto/zone.h"
#include "relay/advert.h"

#define ADVERT_NS      (600 * NS_PER_S)
#define ADVERT_SOON    (5 * NS_PER_S)
#define SAVE_NS        (5 * NS_PER_S)
#define NETWORK_NS     NS_PER_S
#define PORT_MIN       49152
#define PORT_MAX       65535
#define KNOCKS_OF_NODE 1
#define PRESENT_NS     NS_PER_S /* a cheque that came is presented so soon */

/* ---- zones ---- */

static void on_dht_state(void *arg, enum dht_state state)
{
    struct zone *z = arg;

    if (z->is_loopback)
        return;
    if (state == DHT_JOINED && z->app->joined_ms == 0)
        z->app->joined_ms = env_wall_ms(z->app->env);
    else if (state == DHT_JOINED && z->app->relays != NULL)
        relays_network_back(z->app->relays, z->app->now);
    log_info(z->app->env, "overlay %s",
             state == DHT_JOINED  ? "joined"
             : state == DHT_ALONE ? "alone"
                                  : "joining");
    z->app->network_at = 0;
}

static void on_dht_notify(void *arg, const uint8_t target[DHT_ID_BYTES])
{
    struct zone *z = arg;

    if (z->stranger != NULL)
        stranger_notified(z->stranger, z->app->now, target);
    records_notified(z->app, target);
}

static void on_request(void *arg, const struct request *r);

enum err app_start_zone(struct app *a, struct zone *z, const char *name, bool is_loopback,
                        struct err_detail *detail)
{
    struct dht_config config = {.profile = DHT_ZONE};
    struct stranger_ops stranger_ops = {.arg = z, .request = on_request};
    struct dht_membership closed;
    enum err e;

    z->app = a;
    z->is_loopback = is_loopback;
    z->is_closed = !is_loopback && a->config.mode != APP_ECHO && membership_is_closed(a->settings);
    e = membership_zone_id(a->settings, name, z->is_closed, z->id);
    if (e == ERR_OK)
        e = app_load_node_key(a, z, detail);
    if (e == ERR_OK && z->is_closed)
        e = app_join_members(a, z, &closed, detail);
    if (e != ERR_OK)
        return e;
    config.closed = z->is_closed ? &closed : NULL;
    memcpy(config.zone_id, z->id, sizeof config.zone_id);
    memcpy(config.seed, z->node_seed, sizeof config.seed);
    memcpy(config.nonce, z->nonce, sizeof config.nonce);
    config.is_client = config_bool(a->settings, CFG_NET_CLIENT) && !is_loopback;
    config.allow_loopback =
        is_loopback || a->config.mode == APP_ECHO || config_bool(a->settings, CFG_RELAY_ALLOW_LOCAL);
    config.allow_private = true;
    config.events = (struct dht_events){.arg = z, .state = on_dht_state, .notify = on_dht_notify};
    z->dht = dht_create(&config, a->env);
    if (z->dht == NULL)
        return err_set(detail, ERR_INTERNAL, "the overlay node could not be made");
    z->publish = publish_create(z->dht, a->keys, a->env);
    z->stranger = stranger_create(z->dht, a->keys, z->id, &stranger_ops, a->env);
    return ERR_OK;
}

static void stop_zone(struct zone *z)
{
    stranger_destroy(z->stranger);
    publish_destroy(z->publish);
    dht_destroy(z->dht);
    secret_wipe(z->node_seed, sizeof z->node_seed);
    z->dht = NULL;
    z->publish = NULL;
    z->stranger = NULL;
}

/* ---- requests of strangers ---- */

static void on_request(void *arg, const struct request *r)
{
    struct zone *z = arg;
    struct app *a = z->app;
    struct contact *who = contacts_by_id(a->contacts, r->identity);
    struct inbox_entry entry = {.wants_contact = r->wants == REQUEST_WANTS_CONTACT,
                                .when_ms = env_wall_ms(a->env),
                                .made_s = (int64_t)r->made_s,
                                .tries = 1,
                                .has_S = true,
                                .S_gen = r->s_gen};

    if (heirs_request(a, r))
        return;
    if (who != NULL) { /* known: their S is news, a block is a block */
        if (who->list == CONTACT_ALLOWED && !who->has_S) {
            who->has_S = true;
            who->S_gen = r->s_gen;
            memcpy(who->S, r->s, KEY_BYTES);
            snprintf(who->claimed, sizeof who->claimed, "%s", r->name);
            app_save_state_soon(a);
            app_contacts_changed(a, a->now);
        }
        return;
    }
    if (!config_bool(a->settings, CFG_REQUESTS_ACCEPT))
        return;
    memcpy(entry.id, r->identity, KEY_BYTES);
    memcpy(entry.S, r->s, KEY_BYTES);
    snprintf(entry.name, sizeof entry.name, "%s", r->name);
    snprintf(entry.note, sizeof entry.note, "%s", r->note);
    inbox_put(a->inbox, &entry, (size_t)config_int(a->settings, CFG_REQUESTS_MAX), NULL);
    secret_wipe(&entry, sizeof entry);
    event_request(a);
}

/* ---- our addresses ---- */

/* Host addresses first, then what others see us at. */
size_t app_own_addrs(struct app *a, struct zone *z, struct addr *out, size_t max, size_t *n_host)
{
    struct addr local[APP_LOCAL_ADDRS], seen;
    size_t n_local = a->config.ops.local_addrs(a->config.ops.arg, local, APP_LOCAL_ADDRS), n = 0, n_wide;
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    unsigned votes;

    if (z->is_loopback || a->config.mode == APP_ECHO) {
        *n_host = 1;
        out[0] = addr_v4(loopback, a->config.port);
        return 1;
    }
    for (size_t i = 0; i < n_local && n < max; i++) {
        enum addr_class class = addr_class(&local[i]);

        if (class == ADDR_GLOBAL || class == ADDR_PRIVATE)
            out[n++] = local[i];
    }
    n_wide = n;
    for (size_t i = 0; i < n_local && n < max && n_wide == 0;
         i++) /* a cable, and nobody who gives addresses */
        if (addr_class(&local[i]) == ADDR_LINK_LOCAL)
            out[n++] = local[i];
    *n_host = n;
    if (a->netinfo != NULL)
        n += netinfo_addrs(a->netinfo, a->now, out + n, max - n);
    for (int family = ADDR_V4; family <= ADDR_V6 && n < max; family += ADDR_V6 - ADDR_V4) {
        bool is_known = false;

        if (!dht_own_address(z->dht, (uint8_t)family, &seen, &votes) || seen.port == 0)
            continue;
        for (size_t i = 0; i < n; i++)
            is_known = is_known || addr_equal(&out[i], &seen);
        if (!is_known)
            out[n++] = seen;
    }
    return n;
}

/* Where the world reaches our relay: a global interface address, else what others see. */
void app_external(struct app *a, struct addr out[static 2])
{
    struct addr addrs[APP_LOCAL_ADDRS];
    size_t n_host, n = app_own_addrs(a, &a->zones[0], addrs, APP_LOCAL_ADDRS, &n_host);

    memset(out, 0, 2 * sizeof *out);
    for (size_t i = n; i > 0; i--) {
        int slot = addrs[i - 1].family == ADDR_V6;

        if (addr_class(&addrs[i - 1]) == ADDR_GLOBAL || out[slot].family == ADDR_NONE)
            out[slot] = addrs[i - 1];
    }
}

/* ---- sessions ---- */

static void on_session_send(void *arg, const struct path *via, struct slice datagram)
{
    reach_path_send(arg, via, datagram);
}

/* A session of class node that we opened. */
static bool is_outgoing(const struct app *a, const struct session *s)
{
    return relays_owns(a->relays, session_user(s)) || errands_owns(a->errands, session_user(s));
}

static void on_established(void *arg, struct session *s, ns_t now)
{
    struct app *a = arg;

    a->now = now;
    if (session_class(s) != SESSION_NODE) {
        reach_established(a, now, s);
        return;
    }
    /* Of two relays each may be the other's client: whoever opened the session. */
    if (!is_outgoing(a, s) || a->service_is_relay)
        service_session_open(a->service, now, (uint64_t)(uintptr_t)s, session_peer_id(s),
                             &session_path(s)->addr);
    if (relays_owns(a->relays, session_user(s)))
        relays_session_up(a->relays, now, s);
    else if (errands_owns(a->errands, session_user(s)))
        errands_session_up(a->errands, now, s);
}

static void on_ledger_message(struct app *a, struct session *s, struct slice msg, ns_t now)
{
    uint8_t type = msg.len > 0 ? msg.data[0] : 0;
    bool is_ours = relays_uses(a->relays, s), is_errand = errands_uses(a->errands, s);

    if (type == WIRE_SYNC || wire_is_of_client(type) || (!is_ours && !is_errand))
        service_session_message(a->service, now, (uint64_t)(uintptr_t)s, WIRE_CHAN_LEDGER, msg);
    if (wire_is_of_client(type))
        return;
    if (is_ours)
        relays_session_message(a->relays, now, s, WIRE_CHAN_LEDGER, msg);
    else if (is_errand)
        errands_message(a->errands, now, msg);
}

/* Care goes by its type as well; knocks name a flow, which one of the two sides knows. */
static void on_node_message(struct app *a, struct session *s, uint8_t chan, struct slice msg, ns_t now)
{
    bool is_ours = relays_uses(a->relays, s), is_theirs = !is_ours || a->service_is_relay;

    if (chan == CARE_CHAN && is_theirs && (!is_ours || (msg.len > 0 && care_is_of_client(msg.data[0])))) {
        records_care_message(a, now, s, msg);
        return;
    }
    if (is_theirs && chan != CARE_CHAN && a->service != NULL)
        service_session_message(a->service, now, (uint64_t)(uintptr_t)s, chan, msg);
    if (is_ours)
        relays_session_message(a->relays, now, s, chan, msg);
}

static void on_message(void *arg, struct session *s, uint8_t chan, struct slice msg, ns_t now)
{
    struct app *a = arg;

    a->now = now;
    if (session_class(s) != SESSION_NODE)
        reach_message(a, now, s, chan, msg);
    else if (chan == WIRE_CHAN_LEDGER && a->service != NULL)
        on_ledger_message(a, s, msg, now);
    else
        on_node_message(a, s, chan, msg, now);
}

static void on_closed(void *arg, struct session *s, enum err why, ns_t now)
{
    struct app *a = arg;

    a->now = now;
    if (session_class(s) != SESSION_NODE) {
        reach_closed(a, now, s, why);
        return;
    }
    errands_session_down(a->errands, now, s);
    if (a->service != NULL)
        records_node_closed(a, now, s);
    if (relays_uses(a->relays, s))
        relays_session_down(a->relays, now, s);
}

static const struct session_ops session_callbacks = {.send = on_session_send,
                                                     .admit = reach_admit,
                                                     .established = on_established,
                                                     .message = on_message,
                                                     .closed = on_closed,
                                                     .path_allowed = reach_path_allowed};

/* Who we are to those who open sessions: device keys, S, and the node key when we serve others. */
void app_set_self(struct app *a)
{
    struct sessions_self self = {.n_devices = 1, .n_secrets = 1};
    const struct keyring *k = a->keys;
    const uint8_t *link = devices_link_secret(a);

    devices_refresh(a);

    memcpy(self.identity, k->identity.pub, 32);
    memcpy(self.devices[0].secret, k->device.secret, 32);
    memcpy(self.devices[0].public, k->device.pub, 32);
    memcpy(self.devices[0].certificate, k->cert, CERT_BYTES);
    if (!secret_is_zero(k->old_device.secret, 32)) {
        memcpy(self.devices[1].secret, k->old_device.secret, 32);
        memcpy(self.devices[1].public, k->old_device.pub, 32);
        memcpy(self.devices[1].certificate, k->cert, CERT_BYTES);
        self.n_devices = 2;
    }
    self.secrets[0] = (struct session_secret){.class = SESSION_CONTACT, .id = 0};
    memcpy(self.secrets[0].secret, k->S, 32);
    if (!secret_is_zero(k->old_S, 32)) {
        self.secrets[1] = (struct session_secret){.class = SESSION_CONTACT, .is_previous = true, .id = 1};
        memcpy(self.secrets[1].secret, k->old_S, 32);
        self.n_secrets = 2;
    }
    if (link != NULL) {
        struct session_secret *s = &self.secrets[self.n_secrets++];

        *s = (struct session_secret){.class = SESSION_INVITE, .id = DEVICES_MARK};
        memcpy(s->secret, link, KEY_BYTES);
    }
    for (size_t i = 0; i < invites_count(a->invites, false) && self.n_secrets < SESSIONS_SECRETS_MAX; i++) {
        struct session_secret *s = &self.secrets[self.n_secrets++];

        *s = (struct session_secret){.class = SESSION_INVITE,
                                     .id = invite_row_mark(invites_at(a->invites, false, i))};
        memcpy(s->secret, invites_at(a->invites, false, i)->X, KEY_BYTES);
    }
    self.hears_node = a->service != NULL;
    memcpy(self.node_seed, a->zones[0].node_seed, 32);
    self.reply.gen = k->gen;
    self.reply.s_gen = k->S_gen;
    sessions_set_self(a->sessions, &self);
    secret_wipe(&self, sizeof self);
}

/* ---- the relay we are ---- */

static void service_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct path p = path_udp(to);

    reach_path_send(arg, &p, bytes);
}

static enum err service_open_port(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    struct app *a = arg;

    return a->config.ops.open_port != NULL ? a->config.ops.open_port(a->config.ops.arg, family, port, handle)
                                           : ERR_UNSUPPORTED;
}

static void service_port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    struct app *a = arg;

    a->config.ops.port_send(a->config.ops.arg, handle, to, bytes);
}

static void service_close_port(void *arg, uint32_t handle)
{
    struct app *a = arg;

    if (a->config.ops.close_port != NULL)
        a->config.ops.close_port(a->config.ops.arg, handle);
}

static void service_session_send(void *arg, uint64_t ref, uint8_t chan, struct slice bytes)
{
    struct app *a = arg;

    session_send((struct session *)(uintptr_t)ref, a->now, chan, bytes);
}

static void service_session_close(void *arg, uint64_t ref)
{
    struct app *a = arg;

    session_close((struct session *)(uintptr_t)ref, a->now);
}

static void service_present(void *arg, const struct cheque *c)
{
    struct app *a = arg;

    if (a->relays != NULL)
        relays_present(a->relays, a->now, c);
    if (a->errands != NULL)
        errands_wake(a->errands, a->now + PRESENT_NS);
}

static bool service_is_auditing(void *arg, const uint8_t account[static 32])
{
    struct app *a = arg;
    const uint8_t *node = errands_auditing(a->errands);

    return node != NULL && memcmp(node, account, 32) == 0;
}

static const struct service_ops service_callbacks = {.present = service_present,
                                                     .is_auditing = service_is_auditing,
                                                     .send = service_send,
                                                     .open_port = service_open_port,
                                                     .port_send = service_port_send,
                                                     .close_port = service_close_port,
                                                     .session_send = service_session_send,
                                                     .session_close = service_session_close};

/* The calls of the process before us. */
static void resume(struct app *a, ns_t now)
{
    struct rd r;
    enum err e;

    rd_init(&r, a->config.resume);
    e = service_restore(a->service, now, &r);
    if (e != ERR_OK)
        log_error(a->env,
                  "what the process before carried is of another version: not all of its calls go on");
    a->has_resumed = true;
}

/* A relay with all its caps, or, as a plain node of the zone, one that carries knocks and nothing else. */
static void start_service(struct app *a, ns_t now)
{
    struct turn_user users[64];
    struct service_config config = {.node_seed = a->zones[0].node_seed,
                                    .port_min = PORT_MIN,
                                    .port_max = PORT_MAX,
                                    .turn_users = users,
                                    .max_calls = KNOCKS_OF_NODE,
                                    .max_kbps = 64,
                                    .serve = SERVICE_FOR_CONTACTS,
                                    .hairpin_only = true,
                                    .has_streams = a->config.has_streams,
                                    .db = a->ledger};

    a->service_is_relay = a->config.mode == APP_RELAY || config_bool(a->settings, CFG_RELAY_ON);
    if (!a->service_is_relay && (config_bool(a->settings, CFG_NET_CLIENT) || a->config.mode == APP_ECHO))
        return;
    memcpy(config.zone_id, a->zones[0].id, sizeof config.zone_id);
    memcpy(config.puzzle_nonce, a->zones[0].nonce, sizeof config.puzzle_nonce);
    app_external(a, config.external);
    if (a->service_is_relay) {
        config.max_calls = (uint32_t)config_int(a->settings, CFG_RELAY_MAX_CALLS);
        config.max_kbps = (uint32_t)config_int(a->settings, CFG_RELAY_MAX_KBPS);
        config.monthly_bytes = (uint64_t)config_int(a->settings, CFG_RELAY_MONTHLY_GB) * 1000000000u;
        config.strangers_pct = (double)config_int(a->settings, CFG_RELAY_STRANGERS_PCT);
        config.serve = strcmp(config_str(a->settings, CFG_RELAY_FOR), "contacts") == 0 ? SERVICE_FOR_CONTACTS
                                                                                       : SERVICE_FOR_ANYONE;
        config.allow_local = config_bool(a->settings, CFG_RELAY_ALLOW_LOCAL);
        config.hairpin_only = config_bool(a->settings, CFG_RELAY_HAIRPIN_ONLY);
        config.offload = a->config.offload;
        config.offload_arg = a->config.offload_arg;
        for (;
             config.n_turn_users < config_len(a->settings, CFG_RELAY_TURN_USERS) && config.n_turn_users < 64;
             config.n_turn_users++)
            users[config.n_turn_users] = (struct turn_user){
                .name = config_item_name(a->settings, CFG_RELAY_TURN_USERS, config.n_turn_users),
                .password = config_item(a->settings, CFG_RELAY_TURN_USERS, config.n_turn_users)};
    }
    a->service = service_create(&config, &service_callbacks, a, a->env, now);
    if (a->service_is_relay && a->config.resume.len > 0)
        resume(a, now);
}

void app_set_confinement(struct app *a, const struct app_confinement *c)
{
    a->confinement = *c;
}

void app_say_goodbye(struct app *a, ns_t now)
{
    a->now = now;
    a->is_leaving = true;
    if (a->service != NULL)
        service_say_goodbye(a->service, now);
}

void app_leave(struct app *a, ns_t now, unsigned within_s)
{
    a->now = now;
    if (a->service != NULL && a->service_is_relay)
        service_leave(a->service, now, within_s);
}

bool app_is_carrying(const struct app *a, ns_t now)
{
    return a->service != NULL && a->service_is_relay && service_is_carrying(a->service, now);
}

uint8_t *app_hand_over(struct app *a, ns_t now, size_t *len)
{
    size_t most = a->service != NULL ? service_state_max(a->service) : 1;
    uint8_t *bytes = mem_alloc(most);
    struct wr w;

    a->now = now;
    a->is_leaving = false; /* else we are still here, and go on */
    wr_init(&w, bytes, most);
    if (a->service_is_relay)
        service_save(a->service, now, &w);
    *len = wr_done(&w).len;
    return bytes;
}

static void on_advertised(void *arg, enum err e, const struct dht_result *result)
{
    struct app *a = arg;

    (void)result;
    if (e != ERR_OK)
        a->advert_at = ns_min(a->advert_at, a->now + ADVERT_SOON);
}

static void advertise(struct app *a, ns_t now)
{
    uint8_t buf[ADVERT_BYTES_MAX], key[ADVERT_KEY_BYTES];
    struct addr external[2];
    struct slice advert;

    a->advert_at = now + ADVERT_SOON;
    if (dht_state(a->zones[0].dht) != DHT_JOINED)
        return;
    app_external(a, external);
    service_set_external(a->service, external);
    advert = service_advert(a->service, now, buf);
    if (advert.len == 0)
        return;
    advert_shard_key(a->zones[0].id, advert_shard_of(dht_key(a->zones[0].dht)), key);
    if (dht_advert_put(a->zones[0].dht, now, key, advert, on_advertised, a) != 0)
        a->advert_at = now + ADVERT_NS;
}

/* ---- the relays we use ---- */

static void relays_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct path p = path_udp(to);

    reach_path_send(arg, &p, bytes);
}

static void on_relays_changed(void *arg, ns_t now)
{
    struct app *a = arg;

    app_publish(a, now);
    if (a->keepers != NULL)
        keepers_wake(a->keepers, now);
    if (a->calls != NULL)
        calls_relay_back(a->calls, now);
}

static void on_alloc_ready(void *arg, ns_t now, uint16_t slot, const struct addr *relayed,
                           const struct addr *mapped)
{
    struct app *a = arg;

    calls_alloc_ready(a->calls, now, slot, relayed, mapped);
}

static void on_alloc_gone(void *arg, ns_t now, uint16_t slot)
{
    struct app *a = arg;

    calls_alloc_gone(a->calls, now, slot);
}

static void on_alloc_leaving(void *arg, ns_t now, uint16_t slot, ns_t end_at)
{
    struct app *a = arg;

    calls_alloc_leaving(a->calls, now, slot, end_at);
}

static void on_alloc_data(void *arg, ns_t now, uint16_t slot, const struct addr *from, struct slice bytes)
{
    struct path p = {.kind = PATH_TURN, .slot = slot};

    p.addr = *from;
    app_self_input(arg, now, &p, bytes);
}

static bool on_waiting(void *arg, const uint8_t drawee[static 32], struct cheque *out)
{
    struct app *a = arg;

    return a->service != NULL && service_waiting(a->service, drawee, out) == ERR_OK;
}

static void on_cleared(void *arg, ns_t now, const struct cleared *answer, const struct cheque *other)
{
    struct app *a = arg;

    if (a->service != NULL)
        service_cleared(a->service, now, answer, other);
}

/* ---- what our relay does at others ---- */

static void on_link_closing(void *arg, ns_t now, struct session *s)
{
    struct app *a = arg;

    errands_session_down(a->errands, now, s);
    if (a->service != NULL)
        service_session_closed(a->service, now, (uint64_t)(uintptr_t)s);
}

static bool on_errand_closing(void *arg, ns_t now, struct session *s)
{
    struct app *a = arg;

    if (relays_uses(a->relays, s))
        return false;
    service_session_closed(a->service, now, (uint64_t)(uintptr_t)s);
    return true;
}

static bool on_linked(void *arg, const uint8_t node[static 32])
{
    struct app *a = arg;

    return a->relays != NULL && relays_is_linked_to(a->relays, node);
}

static bool on_own_addr(void *arg, uint8_t family, struct addr *out)
{
    struct app *a = arg;
    struct addr external[2];

    app_external(a, external);
    *out = external[family == ADDR_V6];
    return out->family == family && out->port != 0;
}

static bool on_engaged(void *arg, const uint8_t node[static 32])
{
    struct app *a = arg;

    return on_linked(a, node) || service_has_grants(a->service, node);
}

static void start_errands(struct app *a, ns_t now)
{
    struct errands_config config = {
        .node_seed = a->zones[0].node_seed, .sessions = a->sessions, .dht = a->zones[0].dht, .db = a->ledger};
    struct errands_ops ops = {.arg = a,
                              .send = relays_send,
                              .own_addr = on_own_addr,
                              .is_linked = on_linked,
                              .is_engaged = on_engaged,
                              .closing = on_errand_closing,
                              .waiting = on_waiting,
                              .cleared = on_cleared};

    memcpy(config.zone_id, a->zones[0].id, sizeof config.zone_id);
    a->errands = errands_create(&config, &ops, a->env, now);
}

static void start_relays(struct app *a)
{
    struct relays_config config = {.sessions = a->sessions,
                                   .dht = a->zones[0].dht,
                                   .db = a->ledger,
                                   .min_score = (int)config_int(a->settings, CFG_RELAYS_MIN_SCORE),
                                   .allow_nodes = true};
    struct relays_ops ops = {.arg = a,
                             .waiting = on_waiting,
                             .cleared = on_cleared,
                             .send = relays_send,
                             .changed = on_relays_changed,
                             .knock = reach_knock_in,
                             .alloc_ready = on_alloc_ready,
                             .alloc_gone = on_alloc_gone,
                             .alloc_leaving = on_alloc_leaving,
                             .alloc_data = on_alloc_data,
                             .care = records_keeper_message,
                             .closing = on_link_closing,
                             .leaving = records_keeper_leaving};

    if (a->config.mode == APP_ECHO || a->config.mode == APP_RELAY)
        return;
    memcpy(config.zone_id, a->zones[0].id, sizeof config.zone_id);
    memcpy(config.own_node, dht_key(a->zones[0].dht), 32);
    memcpy(config.acct_seed, a->keys->acct_seed, 32);
    config.generation = a->keys->S_gen;
    if (a->service_is_relay)
        config.node_seed = a->zones[0].node_seed;
    a->relays = relays_create(&config, &ops, a->env);
    secret_wipe(&config, sizeof config);
}

/* ---- lists ---- */

/* Pair secrets of those who are new on the list; then cards and links follow. */
void app_contacts_changed(struct app *a, ns_t now)
{
    for (size_t i = 0; i < contacts_count(a->contacts); i++) {
        struct contact *who = contacts_at(a->contacts, i);

        if (!who->has_T && keyring_is_main(a->keys))
            who->has_T = identity_pair_secret(&a->keys->identity, who->id, who->T) == ERR_OK;
    }
    devices_lists_changed(a);
    if (a->config.is_offline)
        return;
    secrets_lists_changed(a, now);
    favours_set_guests(a);
    app_publish(a, now);
    a->links_at = now;
}

struct contact *app_contact_of(struct app *a, const uint8_t id[static 32])
{
    struct contact *who = contacts_by_id(a->contacts, id);

    if (who == NULL)
        who = devices_contact(a, id);
    if (who == NULL && a->echo != NULL && memcmp(a->echo->id, id, 32) == 0)
        who = a->echo;
    for (int i = 0; i < GUESTS_MAX && who == NULL; i++)
        if (a->guests[i] != NULL && memcmp(a->guests[i]->id, id, 32) == 0)
            who = a->guests[i];
    return who;
}

void app_save_state_soon(struct app *a)
{
    a->state_is_dirty = true;
    devices_lists_changed(a);
}

/* ---- create, destroy ---- */

static enum err load_files(struct app *a, struct err_detail *detail)
{
    const struct app_paths *p = &a->config.paths;
    struct err_detail aside = {{0}};
    enum err e;

    a->contacts = contacts_create(p->contacts, p->contacts_state);
    a->history = history_create(p->history);
    a->inbox = inbox_create(p->requests);
    a->invites = invites_create(p->invites);
    e = contacts_load(a->contacts, &aside);
    if (e != ERR_OK)
        return err_set(detail, e, "%s", aside.text);
    if (aside.text[0] != '\0')
        log_error(a->env, "%s", aside.text);
    e = history_load(a->history, detail);
    if (e == ERR_OK && invites_load(a->invites, &aside) != ERR_OK)
        log_error(a->env, "%s", aside.text);
    if (e == ERR_OK && inbox_load(a->inbox, &aside) != ERR_OK)
        log_error(a->env, "%s", aside.text);
    if (e != ERR_OK || a->config.is_offline)
        return e;
    aside.text[0] = '\0';
    e = ledger_db_open(p->ledger != NULL ? p->ledger : ":memory:", &a->ledger, &aside);
    if (e != ERR_OK)
        return err_set(detail, e, "%s", aside.text);
    if (aside.text[0] != '\0')
        log_error(a->env, "%s", aside.text);
    return ERR_OK;
}

/* The only person Echo knows is the phone it belongs to. */
static void add_echo_contact(struct app *a, ns_t now)
{
    struct contact *who;

    if (a->config.mode == APP_ECHO)
        contacts_add(a->contacts, now, a->config.auto_answer, "", CONTACT_ALLOWED, 0, &who, NULL);
}

static enum err start_network(struct app *a, ns_t now, struct err_detail *detail)
{
    struct sessions_config sessions = {.ops = &session_callbacks,
                                       .arg = a,
                                       .max_sessions = a->config.mode == APP_RELAY ? SESSIONS_MAX_RELAY
                                                                                   : SESSIONS_MAX_PHONE};
    const char *zone = a->config.mode == APP_ECHO ? APP_ECHO_ZONE : config_str(a->settings, CFG_NET_ZONE);
    enum err e = app_start_zone(a, &a->zones[0], zone, a->config.mode == APP_ECHO, detail);

    if (e != ERR_OK)
        return e;
    a->sessions = sessions_create(&sessions, a->env);
    start_service(a, now);
    app_set_self(a);
    start_relays(a);
    records_create(a, now);
    network_create(a);
    phone_create(a);
    a->wants_peers = a->config.ops.resolve != NULL && a->config.mode != APP_ECHO;
    if (a->config.mode != APP_RELAY && a->config.mode != APP_ECHO)
        stranger_set_listening(a->zones[0].stranger, now,
                               config_bool(a->settings, CFG_REQUESTS_ACCEPT) &&
                                   strcmp(config_str(a->settings, CFG_NET_FINDABLE), "anyone") == 0);
    return ERR_OK;
}

enum err app_create(const struct app_config *config, const struct env *env, ns_t now, struct app **out,
                    struct err_detail *detail)
{
    struct app *a = mem_alloc(sizeof *a);
    enum err e;

    *out = NULL;
    a->config = *config;
    a->env = env;
    a->keys = config->keys;
    a->settings = config->settings;
    a->now = now;
    a->started_ms = env_wall_ms(env);
    devices_create(a);
    e = load_files(a, detail);
    if (e == ERR_OK && !config->is_offline)
        e = start_network(a, now, detail);
    if (e != ERR_OK) {
        app_destroy(a, now);
        return e;
    }
    add_echo_contact(a, now);
    app_contacts_changed(a, now);
    *out = a;
    return ERR_OK;
}

static void save(struct app *a)
{
    struct err_detail detail;

    if (a->state_is_dirty && contacts_save_state(a->contacts, &detail) != ERR_OK)
        log_error(a->env, "%s", detail.text);
    a->state_is_dirty = false;
}

static void save_peers(struct app *a)
{
    struct dht_node nodes[200];
    char text[200 * ADDR_TEXT_BYTES] = "", one[ADDR_TEXT_BYTES];
    size_t n, len = 0;

    if (a->config.paths.peers == NULL || a->zones[0].dht == NULL)
        return;
    n = dht_nodes(a->zones[0].dht, nodes, 200);
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", addr_print(&nodes[i].addr, one));
    if (n > 0)
        file_replace(a->config.paths.peers, slice_of(text, len), 0600, NULL);
}

size_t app_cached_peers(struct app *a, struct addr *out, size_t max)
{
    uint8_t *bytes;
    size_t len, n = 0;
    char *line, *rest;

    if (a->config.paths.peers == NULL ||
        file_read(a->config.paths.peers, 64 * 1024, &bytes, &len, NULL) != ERR_OK)
        return 0;
    for (line = strtok_r((char *)bytes, "\n", &rest); line != NULL && n < max;
         line = strtok_r(NULL, "\n", &rest))
        n += addr_parse(line, &out[n]) == ERR_OK;
    mem_free(bytes);
    return n;
}

void app_destroy(struct app *a, ns_t now)
{
    if (a == NULL)
        return;
    a->now = now;
    if (a->sessions != NULL) {
        reach_goodbye(a, now);
        calls_destroy(a->calls, now);
        network_destroy(a, now);
        records_destroy(a);
        relays_destroy(a->relays, now);
        errands_destroy(a->errands, now);
        a->errands = NULL;
        if (a->service != NULL)
            service_say_goodbye(a->service, now); /* clients look elsewhere now, not when they miss us */
        service_destroy(a->service);
    }
    save_peers(a);
    for (int i = 0; i < APP_ZONES; i++)
        if (a->zones[i].dht != NULL)
            stop_zone(&a->zones[i]);
    sessions_destroy(a->sessions);
    a->sessions = NULL; /* what is still deferred finds nothing to do */
    if (a->contacts != NULL)
        save(a);
    for (int i = 0; i < GUESTS_MAX; i++)
        mem_free(a->guests[i]);
    for (unsigned i = 0; i < a->n_undo; i++)
        mem_free(a->undo[i].value);
    mem_free(a->echo);
    devices_destroy(a);
    contacts_destroy(a->contacts);
    history_destroy(a->history);
    inbox_destroy(a->inbox);
    invites_destroy(a->invites);
    ledger_db_close(a->ledger);
    env_defer(a->env, mem_free, a);
}

/* ---- packets ---- */

/* What comes by a path other than the overlay's: one port, told apart by the first byte (THREATS.md §4.14). */
void app_self_input(struct app *a, ns_t now, const struct path *via, struct slice bytes)
{
    uint8_t first = bytes.len > 0 ? bytes.data[0] : 0;

    a->now = now;
    if (bytes.len == 0)
        return;
    if (first < 4 || (first >= 128 && first < 192))
        calls_input(a->calls, now, via, bytes);
    else if (first == KNOCK_C9)
        reach_c9(a, now, &via->addr, bytes);
    else if (first >= 192)
        sessions_input(a->sessions, now, via, bytes);
}

void app_input(struct app *a, ns_t now, const struct addr *from, struct slice bytes)
{
    uint8_t first = bytes.len > 0 ? bytes.data[0] : 0;
    struct path via = path_udp(from);

    a->now = a->heard_at = now;
    if (bytes.len == 0 || a->sessions == NULL || (a->is_leaving && first >= 192))
        return; /* no session begins with who is gone in a moment: they ask again */
    /* ordinary TURN clients draw channels up to 0x7fff (RFC 5766), which start with 64..127, 'd' among them */
    if (first == 'd' && a->service_is_relay && service_input(a->service, now, from, bytes))
        return;
    if (first == 'd') {
        for (int i = 0; i < APP_ZONES; i++)
            if (a->zones[i].dht != NULL && dht_input(a->zones[i].dht, now, from, bytes))
                return;
        if (a->mainline != NULL)
            mainline_input(a->mainline, now, from, bytes);
        return;
    }
    if (first < 4 && a->netinfo != NULL && netinfo_input(a->netinfo, now, from, bytes))
        return;
    if ((first < 4 || (first >= 64 && first < 80)) && a->relays != NULL &&
        relays_input(a->relays, now, from, bytes))
        return;
    if ((first < 4 || (first >= 64 && first < 80)) && errands_input(a->errands, now, from, bytes))
        return;
    if (first == ERRANDS_MARK) {
        errands_mark(a->errands, from, bytes);
        return;
    }
    if (first < 4 && a->calls != NULL && calls_input(a->calls, now, &via, bytes))
        return;
    if ((first < 4 || (first >= 64 && first < 128) || first == KNOCK_C8) && a->service != NULL) {
        service_input(a->service, now, from, bytes);
        return;
    }
    app_self_input(a, now, &via, bytes);
}

void app_port_input(struct app *a, ns_t now, uint32_t handle, const struct addr *from, struct slice bytes)
{
    a->now = a->heard_at = now;
    if (a->service != NULL)
        service_port_input(a->service, now, handle, from, bytes);
}

void app_stream_gone(struct app *a, ns_t now, const struct addr *who)
{
    a->now = now;
    if (a->service != NULL)
        service_stream_gone(a->service, now, who);
}

bool app_fast_input(struct app *a, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    if (a->service == NULL || a->sessions == NULL || (a->relays != NULL && relays_is_server(a->relays, from)))
        return false;
    a->now = a->heard_at = now;
    return service_fast(a->service, now, from, bytes, len);
}

bool app_port_fast(struct app *a, ns_t now, uint32_t handle, const struct addr *from, uint8_t *bytes,
                   size_t len)
{
    if (a->service == NULL)
        return false;
    a->now = now;
    service_port_fast(a->service, now, handle, from, bytes, len);
    return true;
}

void app_media_ready(struct app *a, ns_t now, uint32_t id)
{
    struct call *c = calls_find(a->calls, id);

    a->now = now;
    if (c != NULL)
        calls_media_ready(a->calls, now, c);
}

void app_add_address(struct app *a, ns_t now, const struct addr *addr)
{
    if (a->zones[0].dht != NULL)
        dht_add_address(a->zones[0].dht, now, addr);
}

void app_network_changed(struct app *a, ns_t now)
{
    if (a->sessions == NULL)
        return;
    a->now = now;
    network_changed(a, now);
    dht_network_changed(a->zones[0].dht, now);
    if (a->relays != NULL)
        relays_network_changed(a->relays, now);
    reach_network_changed(a, now);
    calls_network_changed(a->calls, now);
    app_publish(a, now);
    publish_refresh(a->zones[0].publish, now);
}

void app_contacts_moved(struct app *a, ns_t now)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &a->peers[i];

        if (!p->is_used)
            continue;
        p->contact = app_contact_of(a, p->id);
        if (p->contact == NULL || p->contact->list != CONTACT_ALLOWED)
            reach_stop(p, now);
    }
    app_contacts_changed(a, now);
    event_presence(a, NULL);
}

enum err app_reload(struct app *a, ns_t now, struct err_detail *detail)
{
    enum err e = contacts_load(a->contacts, detail);

    if (e != ERR_OK)
        log_error(a->env, "%s", detail->text);
    else
        app_contacts_moved(a, now);
    return e;
}

/* ---- time ---- */

static void tick_zone(struct zone *z, ns_t now)
{
    if (z->dht == NULL)
        return;
    if (dht_deadline(z->dht) <= now)
        dht_tick(z->dht, now);
    if (publish_deadline(z->publish) <= now)
        publish_tick(z->publish, now);
    if (stranger_deadline(z->stranger) <= now)
        stranger_tick(z->stranger, now);
}

static void tick_slowly(struct app *a, ns_t now)
{
    if (now >= a->network_at) {
        a->network_at = now + NETWORK_NS;
        event_network(a);
        if (a->service_is_relay)
            event_relay(a);
    }
    if (now >= a->save_at) {
        a->save_at = now + SAVE_NS;
        save(a);
        if (invites_expire(a->invites, env_wall_ms(a->env) / 1000)) {
            app_set_self(a);
            app_publish(a, now);
        }
    }
    if (a->service_is_relay && now >= a->advert_at)
        advertise(a, now);
}

void app_tick(struct app *a, ns_t now)
{
    a->now = now;
    if (a->sessions == NULL)
        return;
    if (a->has_resumed) { /* said when there is somebody to hear it */
        a->has_resumed = false;
        log_info(a->env, "took over %u allocations", service_turn_stats(a->service)->allocations);
    }
    if (a->wants_peers) { /* names come back by app_add_address(), so not before the owner has us */
        a->wants_peers = false;
        for (size_t i = 0; i < config_len(a->settings, CFG_NET_PEERS); i++)
            a->config.ops.resolve(a->config.ops.arg, config_item(a->settings, CFG_NET_PEERS, i));
    }
    for (int i = 0; i < APP_ZONES; i++)
        tick_zone(&a->zones[i], now);
    if (sessions_deadline(a->sessions) <= now)
        sessions_tick(a->sessions, now);
    if (a->relays != NULL && relays_deadline(a->relays) <= now)
        relays_tick(a->relays, now);
    if (a->service_is_relay && a->errands == NULL && dht_state(a->zones[0].dht) == DHT_JOINED)
        start_errands(a, now);
    if (a->errands != NULL && a->service_is_relay && errands_deadline(a->errands) <= now)
        errands_tick(a->errands, now);
    if (a->service != NULL && service_deadline(a->service) <= now)
        service_tick(a->service, now);
    secrets_tick(a, now);
    devices_tick(a, now);
    records_tick(a, now);
    reach_tick(a, now);
    favours_tick(a, now);
    phone_tick(a, now);
    network_tick(a, now);
    if (calls_deadline(a->calls) <= now)
        calls_tick(a->calls, now);
    tick_slowly(a, now);
}

ns_t app_deadline(const struct app *a)
{
    ns_t at;

    if (a->sessions == NULL)
        return NS_NEVER;
    at = ns_min(ns_min(a->network_at, a->save_at), ns_min(sessions_deadline(a->sessions), reach_deadline(a)));
    at = ns_min(at, ns_min(calls_deadline(a->calls), a->answer_at));
    for (int i = 0; i < APP_ZONES; i++) {
        const struct zone *z = &a->zones[i];

        if (z->dht != NULL)
            at = ns_min(at, ns_min(dht_deadline(z->dht),
                                   ns_min(publish_deadline(z->publish), stranger_deadline(z->stranger))));
    }
    if (a->relays != NULL)
        at = ns_min(at, relays_deadline(a->relays));
    if (a->errands != NULL && a->service_is_relay)
        at = ns_min(at, errands_deadline(a->errands));
    if (a->service != NULL)
        at = ns_min(at, service_deadline(a->service));
    if (a->service_is_relay)
        at = ns_min(at, a->advert_at);
    at = ns_min(at, ns_min(ns_min(a->secrets_at, devices_deadline(a)), records_deadline(a)));
    return ns_min(at, network_deadline(a));
}

void app_hangup_all(struct app *a, ns_t now)
{
    struct call *c;

    a->now = now;
    while (a->calls != NULL && (c = calls_at(a->calls, 0)) != NULL)
        call_hangup(c, now);
}

bool app_has_calls(const struct app *a)
{
    return a->calls != NULL && calls_at(a->calls, 0) != NULL;
}

const uint8_t *app_zone_id(const struct app *a)
{
    return a->zones[0].id;
}

const uint8_t *app_node_key(const struct app *a)
{
    return dht_key(a->zones[0].dht);
}

const struct keyring *app_joined_keys(const struct app *a, const char **name)
{
    return devices_joined_keys(a, name);
}
