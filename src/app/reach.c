/* app/reach.c - reaching people: where they are, sessions with them, who may reach us, who is there. */
#include <stdio.h>

#include "app/devices.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/idtext.h"
#include "relay/favour_wire.h"

#define ALLOC_WAIT_NS   (1500 * NS_PER_MS) /* for our own allocation, before a knock goes straight */
#define ECHO_LOOKUP_NS  (8 * NS_PER_S)
#define ECHO_RETRY_NS   (100 * NS_PER_MS)
#define RECORD_WAIT_NS  (8 * NS_PER_S) /* within the 10 s that a look-up may take */
#define RECORD_RETRY_NS (500 * NS_PER_MS)
#define SILENCE_NS      (5 * NS_PER_S) /* asked so long, and nothing heard from anybody */
#define FRESH_MS        15000          /* since we joined */
#define ADDED_MS        120000         /* since they were put on the list */
#define CARD_WAIT_NS    (5 * NS_PER_S) /* for a new card to be put, before it is looked for */
#define LINK_NS         (3600 * NS_PER_S)
#define LINK_RETRY_NS   (10 * NS_PER_S) /* doubles */
#define OWN_RETRY_NS \
    (2 * NS_PER_S)      /* the same for a device of ours: the person may be waiting for its lists */
#define LINK_TRIES    6 /* in vain: they are not there, and will come to us */
#define PROVE_NS      (5 * NS_PER_S) /* for a session to show that it outlived a change of network, or sleep */
#define LINK_AWAY     6              /* hours: then they are looked for all the same */
#define LINKS_AT_ONCE 4
#define LINK_FIRST_NS (1 * NS_PER_S)
#define HELLO_BYTES   128

/* Control message HELLO, channel 3:
 *
 *   offset size field
 *   0      1    type         1; 2 is GOODBYE and ends here
 *   1      1    presence     enum presence
 *   2      4    gen          of our device list
 *   6      4    S_gen
 *   10     32   S
 *   42     4    known_gen    what we know of the receiver: lets it end its cards
 *   46     4    known_S_gen
 *   50     1+n  name         n <= 64, UTF-8 */
enum control_type { CONTROL_HELLO = 1, CONTROL_GOODBYE = 2 };

/* ---- who may reach us ---- */

/* The addresses of a link that ends at the next router. */
static bool is_near(const struct addr *a)
{
    enum addr_class class = addr_class(a);

    return class == ADDR_LINK_LOCAL || class == ADDR_PRIVATE;
}

static bool policy_hears(struct app *a, const struct contact *who, const struct path *via)
{
    struct call_policy policy = phone_policy(a, who, &a->zones[0]);

    if (via->kind == PATH_KNOCK || via->kind == PATH_TURN || policy.may_tell_early)
        return true;
    if (reach_is_self(&via->addr))
        return true;
    return !policy.is_relay_only && is_near(&via->addr) &&
           (a->relays == NULL || !relays_has_relay(a->relays));
}

static bool device_is_good(const struct contact *who, const struct session_hello *hello)
{
    const struct device_entry *d;

    if (!who->has_devices || hello->cert.gen > who->devices.gen)
        return true;
    d = device_list_find(&who->devices, hello->cert.slot);
    return d != NULL && memcmp(d->D, hello->device, 32) == 0;
}

static bool is_open_invite(const struct app *a, uint32_t mark)
{
    const struct invite_row *row = invites_by_mark(a->invites, mark);

    return row != NULL && row->expires_s > env_wall_ms(a->env) / 1000;
}

/* Before a byte is answered (DESIGN.md D11): the proved key, its list, its device, the path. */
bool reach_admit(void *arg, const struct session_hello *hello, const struct path *via)
{
    struct app *a = arg;
    struct contact *who;

    if (hello->class == SESSION_NODE)
        return a->service != NULL;
    if (hello->said.flags &
        HELLO_REKEY) { /* new keys for a session that stands, by no other path than its own */
        const struct session *s = sessions_find(a->sessions, hello->class, hello->device);

        return s != NULL && (path_equal(session_path(s), via) || reach_path_allowed(a, s, via));
    }
    who = app_contact_of(a, hello->identity);
    if (hello->class == SESSION_INVITE && hello->secret_id == DEVICES_MARK)
        return devices_admits(a, hello) && policy_hears(a, NULL, via);
    if (hello->class == SESSION_INVITE)
        return is_open_invite(a, hello->secret_id) && (who == NULL || who->list == CONTACT_ALLOWED) &&
               policy_hears(a, who, via);
    if (who == NULL && hello->said.has_succession)
        who = heirs_take(a, hello->identity, hello->said.succession);
    return who != NULL && who->list == CONTACT_ALLOWED && device_is_good(who, hello) &&
           policy_hears(a, who, via) && heirs_pin(who, hello->cert.next);
}

/* After the answer a call's own path may carry its session; before it, only where the policy listens. */
bool reach_path_allowed(void *arg, const struct session *s, const struct path *via)
{
    struct app *a = arg;
    const struct contact *who;

    if (session_class(s) == SESSION_NODE)
        return true;
    for (size_t i = 0; calls_at(a->calls, i) != NULL; i++) {
        struct call *c = calls_at(a->calls, i);

        if (call_session(c) == s && call_get_state(c) >= CALL_IN_CALL)
            return true;
    }
    who = app_contact_of(a, session_peer_id(s));
    return (who != NULL || devices_is_candidate(a, s)) && policy_hears(a, who, via);
}

/* ---- presence ---- */

static void set_presence(struct app *a, struct contact *who, enum presence p)
{
    bool is_news = who->presence != p;

    if (devices_is_hidden(a, who))
        return;
    if (p != PRESENCE_NEWS_OFFLINE && p != PRESENCE_NEWS_NONE)
        who->seen_ms = env_wall_ms(a->env);
    who->presence = (uint8_t)p;
    app_save_state_soon(a);
    if (is_news)
        event_presence(a, who);
}

enum presence reach_presence(const struct app *a, const struct contact *who)
{
    (void)a;
    return who->presence;
}

static void say_hello(struct peer *p, ns_t now)
{
    struct app *a = p->app;
    const char *name = config_str(a->settings, CFG_IDENTITY_NAME);
    uint8_t buf[HELLO_BYTES];
    struct wr w;

    if (strcmp(config_str(a->settings, CFG_PRESENCE_SHOW), "nobody") == 0 || p->contact == NULL)
        return;
    wr_init(&w, buf, sizeof buf);
    wr_u8(&w, CONTROL_HELLO);
    wr_u8(&w, calls_at(a->calls, 0) != NULL ? PRESENCE_NEWS_BUSY : PRESENCE_NEWS_ONLINE);
    wr_u32(&w, a->keys->gen);
    wr_u32(&w, a->keys->S_gen);
    wr_bytes(&w, a->keys->S, KEY_BYTES);
    wr_u32(&w, p->contact->has_devices ? p->contact->devices.gen : 0);
    wr_u32(&w, p->contact->has_S ? p->contact->S_gen : 0);
    wr_u8(&w, (uint8_t)strlen(name));
    wr_text(&w, name);
    if (wr_ok(&w))
        session_send(p->session, now, SESSION_CONTROL, wr_done(&w));
    secret_wipe(buf, sizeof buf);
}

static void hear_hello(struct peer *p, ns_t now, struct rd *r)
{
    struct app *a = p->app;
    struct contact *who = p->contact;
    uint8_t presence = rd_u8(r), S[KEY_BYTES];
    uint32_t gen = rd_u32(r), S_gen = rd_u32(r), known_gen, known_S_gen;
    struct slice name;
    bool is_news, is_told, has_new_list;

    rd_copy(r, S, sizeof S);
    known_gen = rd_u32(r);
    known_S_gen = rd_u32(r);
    name = rd_bytes(r, rd_u8(r));
    if (!rd_done(r) || who == NULL || name.len >= ID_NAME_BYTES || presence > PRESENCE_NEWS_OFFLINE)
        return;
    is_news = !who->has_S || S_gen > who->S_gen;
    if (is_news) {
        memcpy(who->S, S, KEY_BYTES);
        who->S_gen = S_gen;
        who->has_S = true;
    }
    secret_wipe(S, sizeof S);
    is_told = who->told_gen != known_gen || who->told_S_gen != known_S_gen;
    who->told_gen = known_gen;
    who->told_S_gen = known_S_gen;
    memset(who->claimed, 0, sizeof who->claimed);
    if (name.len > 0)
        memcpy(who->claimed, name.data, name.len);
    if (is_news && who->presence == (uint8_t)presence)
        event_presence(a, who); /* asked becomes allowed */
    set_presence(a, who, presence);
    has_new_list = !who->has_devices || gen > who->devices.gen;
    if (is_news)
        say_hello(p, now);
    if (has_new_list && a->config.mode != APP_ECHO && who != a->echo) {
        p->wants_card = true; /* the list is in it */
        p->retry_at = ns_min(p->retry_at, now + CARD_WAIT_NS + env_random_u32(a->env) % 4096 * NS_PER_MS);
    }
    if (is_told || is_news)
        app_publish(a, now);
}

void reach_tell_all(struct app *a, ns_t now)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].is_up && !devices_is_hidden(a, a->peers[i].contact))
            say_hello(&a->peers[i], now);
    devices_tell(a, now);
}

/* Another of their devices is here still. */
static bool has_other_up(const struct peer *p)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        const struct peer *q = &p->app->peers[i];

        if (q != p && q->is_used && q->is_up && q->contact == p->contact)
            return true;
    }
    return false;
}

static void hear_control(struct peer *p, ns_t now, struct slice msg)
{
    struct rd r;

    if (devices_is_hidden(p->app, p->contact)) {
        devices_message(p, now, msg);
        return;
    }
    if (msg.len > 0 && msg.data[0] >= FAVOUR_FIRST) {
        favours_message(p, now, msg);
        return;
    }
    rd_init(&r, msg);
    switch (rd_u8(&r)) {
    case CONTROL_HELLO:
        hear_hello(p, now, &r);
        break;
    case CONTROL_GOODBYE:
        if (p->contact != NULL && rd_done(&r) && !has_other_up(p))
            set_presence(p->app, p->contact, PRESENCE_NEWS_OFFLINE);
        break;
    default:
        break;
    }
}

void reach_goodbye(struct app *a, ns_t now)
{
    static const uint8_t goodbye[1] = {CONTROL_GOODBYE};

    for (int i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &a->peers[i];

        if (!p->is_used)
            continue;
        if (p->is_up)
            session_send(p->session, now, SESSION_CONTROL, slice_of(goodbye, sizeof goodbye));
        locate_stop(p->locate);
        p->locate = NULL;
    }
}

/* ---- one person ---- */

static struct peer *peer_new(struct app *a, ns_t now, struct contact *who)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &a->peers[i];

        if (p->is_used)
            continue;
        *p = (struct peer){.app = a,
                           .is_used = true,
                           .contact = who,
                           .started_at = now,
                           .retry_at = NS_NEVER,
                           .prove_by = NS_NEVER};
        memcpy(p->id, who->id, 32);
        return p;
    }
    return NULL;
}

struct peer *reach_by_session(struct app *a, const struct session *s)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].session == s)
            return &a->peers[i];
    return NULL;
}

void reach_stop(struct peer *p, ns_t now)
{
    if (!p->is_used)
        return;
    locate_stop(p->locate);
    p->locate = NULL;
    devices_down(p);
    if (p->session != NULL)
        session_close(p->session, now);
    p->is_used = false;
}

/* How long we wait before we look for them again, never all of us at once: a proxy takes few new knocks at a time.
 * Who owes or is owed a secret is looked for each hour: a card may come any day. */
static ns_t link_delay(struct app *a, struct contact *who)
{
    bool is_settled = who->has_S && who->told_S_gen == a->keys->S_gen && who->told_gen == a->keys->gen;
    ns_t delay = is_settled ? LINK_AWAY * LINK_NS : LINK_NS;

    if (who->link_tries < LINK_TRIES)
        delay = (devices_is_hidden(a, who) ? OWN_RETRY_NS : LINK_RETRY_NS) << who->link_tries++;
    return delay / 2 + env_random_u32(a->env) % (delay / NS_PER_MS) * NS_PER_MS;
}

static void link_failed(struct peer *p, ns_t now)
{
    struct contact *who = p->contact;

    if (who != NULL)
        who->link_at = now + link_delay(p->app, who);
    if (devices_is_hidden(p->app, who))
        p->app->links_at = ns_min(p->app->links_at, who->link_at);
    reach_stop(p, now);
}

/* It cannot be done: the call ends with the cause, a link waits. While others of their devices are still looked for,
 * only that one is given up. */
static void give_up(struct peer *p, ns_t now, enum call_cause cause)
{
    struct call *c = p->call;

    if (p->locate != NULL && p->session == NULL) {
        p->has_record = false;
        return;
    }
    p->call = NULL;
    link_failed(p, now);
    if (c != NULL)
        call_abort(c, now, cause, NULL);
}

/* The secret of a text they gave us, an invite or a link of devices; NULL: there is none, S is what counts. */
static const uint8_t *text_secret(const struct app *a, const struct contact *who)
{
    const struct invite_row *held = invites_held_of(a->invites, who->id);

    return held != NULL ? held->X : devices_join_secret(a, who);
}

static void open_session(struct peer *p, ns_t now)
{
    struct app *a = p->app;
    const uint8_t *X = text_secret(a, p->contact);
    struct session_peer peer = {.class = X != NULL ? SESSION_INVITE : SESSION_CONTACT,
                                .kind = p->call != NULL ? HELLO_CALL : HELLO_LINK,
                                .user = p};
    struct path paths[SESSION_PATHS_MAX];
    struct call_info info = {.alloc_slot = -1};
    struct call_policy policy = phone_policy(a, p->contact, p->zone);
    struct addr relayed, mapped;
    size_t n = 0;
    int alloc = -1;

    if (p->call != NULL) {
        call_info(p->call, &info);
        if (a->relays != NULL && info.alloc_slot >= 0 &&
            relays_alloc_is_up(a->relays, (uint16_t)info.alloc_slot, &relayed, &mapped))
            alloc = info.alloc_slot;
        memcpy(peer.call_id, call_hello_id(p->call), sizeof peer.call_id);
    }
    memcpy(peer.responder, p->id, 32);
    memcpy(peer.responder_static, p->record.D, 32);
    memcpy(peer.secret, X != NULL ? X : p->contact->S, 32);
    peer.has_succession = X == NULL && heirs_proof_for(a, p->id) != NULL;
    if (peer.has_succession)
        memcpy(peer.succession, a->keys->succession, sizeof peer.succession);
    p->is_by_invite = X != NULL;
    for (unsigned i = 0; i < p->record.n_addrs && n < SESSION_PATHS_MAX / 2; i++) {
        if (policy.may_tell_early)
            paths[n++] = path_udp(&p->record.addrs[i]);
        else if (alloc >= 0)
            paths[n++] =
                (struct path){.kind = PATH_TURN, .slot = (uint16_t)alloc, .addr = p->record.addrs[i]};
    }
    for (unsigned i = 0; i < p->record.n_relays && n < SESSION_PATHS_MAX; i++)
        paths[n++] = reach_knock_path(reach_knock_open(a, &p->record.relays[i], alloc));
    if (n == 0 || sessions_open(a->sessions, now, &peer, paths, n, &p->session) != ERR_OK) {
        p->session = NULL;
        give_up(p, now, CAUSE_OFFLINE);
        return;
    }
    if (p->call != NULL)
        call_connecting(p->call, now);
}

/* With the record in hand: when our allocation is up, or was waited for long enough. */
static void try_open(struct peer *p, ns_t now)
{
    struct call_info info;
    struct addr relayed, mapped;

    if (!p->has_record || p->session != NULL)
        return;
    if (p->record.n_relays == 0 && p->record.n_addrs == 0 && now < p->started_at + RECORD_WAIT_NS) {
        p->has_record = false; /* they have no way in yet, and will say so soon */
        p->retry_at = now + RECORD_RETRY_NS;
        return;
    }
    if (p->call != NULL && p->app->relays != NULL && now < p->open_by) {
        call_info(p->call, &info);
        if (info.alloc_slot >= 0 &&
            !relays_alloc_is_up(p->app->relays, (uint16_t)info.alloc_slot, &relayed, &mapped))
            return;
    }
    open_session(p, now);
}

static void on_card(void *arg, uint32_t S_gen, const uint8_t S[static KEY_BYTES],
                    const struct device_list *list)
{
    struct peer *p = arg;
    struct contact *who = p->contact;

    if (who == devices_contact(p->app, p->app->keys->identity.pub)) {
        devices_take_card(p->app, p->app->now, S_gen, S, list);
        return;
    }
    if (!heirs_pin(who, list->next))
        return; /* a thief's: who made the list has the key, and not the phrase */
    if (!who->has_S || S_gen > who->S_gen) {
        who->has_S = true;
        who->S_gen = S_gen;
        memcpy(who->S, S, KEY_BYTES);
    }
    if (!who->has_devices || list->gen >= who->devices.gen) {
        who->devices = *list;
        who->has_devices = true;
    }
    app_save_state_soon(p->app);
    if (p->is_up)
        say_hello(p, p->app->now); /* so that they need not keep the card */
    if (who->presence == PRESENCE_NEWS_NONE)
        event_presence(p->app, who); /* asked becomes allowed */
}

/* The session stands, its path does not: it goes on by a knock flow, from wherever we are now. */
static void lead_back(struct peer *p, ns_t now)
{
    struct path via;

    if (p->session == NULL || !p->is_up || p->record.n_relays == 0)
        return;
    p->is_astray = false;
    via = reach_knock_path(reach_knock_open(p->app, &p->record.relays[p->n_led++ % p->record.n_relays], -1));
    session_set_path(p->session, &via);
    session_ping(p->session, now);
}

/* We have a session with that very device: nothing to open for a mere link. */
static bool is_up_with(const struct app *a, const struct contact *who, const uint8_t D[static KEY_BYTES])
{
    for (int i = 0; i < PEERS_MAX; i++) {
        const struct peer *p = &a->peers[i];

        if (p->is_used && p->is_up && p->contact == who && p->session != NULL &&
            memcmp(session_peer_device(p->session), D, KEY_BYTES) == 0)
            return true;
    }
    return false;
}

/* The call that this look-up is for, whichever of its branches is left. */
static struct call *call_of_group(const struct peer *p)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (p->app->peers[i].is_used && p->app->peers[i].group == p->group && p->app->peers[i].call != NULL)
            return p->app->peers[i].call;
    return NULL;
}

/* Who opens a session with that device: p itself, one that does already, or one more with a branch of the call. NULL:
 * it is not wanted, or there is no room. */
static struct peer *peer_for_device(struct peer *p, const struct device_entry *device)
{
    struct app *a = p->app;
    struct call *call = call_of_group(p), *branch = NULL;
    struct peer *other;

    if (memcmp(device->D, a->keys->device.pub, KEY_BYTES) == 0)
        return NULL; /* that is this one */
    if (call == NULL && !p->is_up && is_up_with(a, p->contact, device->D))
        return NULL;
    if (!p->has_device || p->device.slot == device->slot)
        return p;
    for (int i = 0; i < PEERS_MAX; i++) {
        other = &a->peers[i];
        if (other->is_used && other->group == p->group && other->has_device &&
            other->device.slot == device->slot)
            return other;
    }
    if (call == NULL && p->is_up)
        return NULL;
    other = peer_new(a, a->now, p->contact);
    if (other != NULL && call != NULL) {
        branch = call_fork(call, a->now);
        if (branch == NULL) { /* answered already */
            other->is_used = false;
            return NULL;
        }
    }
    if (other != NULL) {
        other->group = p->group;
        other->zone = p->zone;
        other->call = branch;
        other->started_at = p->started_at;
        other->is_located = true;
    }
    return other;
}

static void on_record(void *arg, const struct device_entry *device, const struct dev_record *record,
                      const struct device_list *list)
{
    struct peer *p = arg;
    struct contact *who = p->contact;

    if (!heirs_pin(who, list->next))
        return;
    if (list->gen > who->devices.gen || !who->has_devices) {
        who->devices = *list;
        who->has_devices = true;
        app_save_state_soon(p->app);
    }
    p = peer_for_device(p, device);
    if (p == NULL || (p->has_record && p->record.issued_s >= record->issued_s))
        return;
    p->record = *record;
    p->record.list = (struct slice){0};
    p->device = *device;
    p->has_device = true;
    if (!p->has_record)
        p->open_by = p->app->now + ALLOC_WAIT_NS;
    p->has_record = true;
    if (p->is_astray)
        lead_back(p, p->app->now);
    try_open(p, p->app->now);
}

static void locate(struct peer *p, ns_t now, bool use_S);

/* Is there anybody to ask for records: in the zone, or in the public DHT? */
static bool has_overlay(const struct peer *p)
{
    return dht_state(p->zone->dht) == DHT_JOINED ||
           (p->zone == &p->app->zones[0] && bridge_is_joined(p->app->bridge));
}

/* Nobody at all said anything since we began to ask, but for what was on its way: it is the network, not them. */
static bool is_cut_off(const struct peer *p, ns_t now)
{
    return !has_overlay(p) ||
           (now >= p->started_at + SILENCE_NS && p->app->heard_at < p->started_at + NS_PER_S);
}

/* We have only just joined, and so may they; or have only just put them on the list, and they us: two who do so while
 * they talk. */
static bool is_fresh(const struct app *a, const struct contact *who)
{
    int64_t t = env_wall_ms(a->env);

    return t < a->joined_ms + FRESH_MS || t < who->added_ms + ADDED_MS;
}

static void on_located(void *arg, enum err e)
{
    struct peer *p = arg;
    struct app *a = p->app;
    ns_t now = a->now;

    p->locate = NULL;
    p->is_located = true;
    if (e == ERR_OK && p->session == NULL && !p->has_record && p->retry_at == NS_NEVER) {
        give_up(p, now, CAUSE_OFFLINE); /* it was, while others were looked for */
        return;
    }
    if (e == ERR_OK || p->is_up)
        return;
    if (p->zone->is_loopback && now < p->started_at + ECHO_LOOKUP_NS) {
        p->retry_at = now + ECHO_RETRY_NS; /* Echo has only just started, and publishes */
        return;
    }
    if (e == ERR_NOT_FOUND && !p->has_tried_card && !p->zone->is_loopback && p->contact->has_T) {
        p->has_tried_card = true; /* they may have a new S: the card has it */
        locate(p, now, false);
        return;
    }
    if (e == ERR_REFUSED && p->call != NULL && now < p->started_at + RECORD_WAIT_NS &&
        is_fresh(a, p->contact)) {
        p->retry_at = now + RECORD_RETRY_NS; /* their card is on its way */
        return;
    }
    if ((e == ERR_NOT_FOUND || (e == ERR_TIMEOUT && has_overlay(p))) && p->call != NULL &&
        now < p->started_at + RECORD_WAIT_NS) {
        p->retry_at =
            now + RECORD_RETRY_NS; /* they may have only just started, and publish; or our guard has */
        return;
    }
    if (e == ERR_TIMEOUT && is_cut_off(p, now)) {
        give_up(p, now, CAUSE_NO_NETWORK);
    } else if (p->call != NULL && !p->contact->has_S &&
               !p->zone->is_loopback) { /* not allowed, as far as we know */
        struct contact *who = p->contact;

        if (phone_request_sent(a, now, who) != ERR_OK)
            give_up(p, now, CAUSE_NOT_FOUND);
    } else {
        give_up(p, now, p->contact->has_S ? CAUSE_OFFLINE : CAUSE_NOT_FOUND);
    }
}

static void locate(struct peer *p, ns_t now, bool use_S)
{
    struct locate_who who = {.has_S = use_S && p->contact->has_S,
                             .has_devices = use_S && p->contact->has_devices};
    const uint8_t *X = text_secret(p->app, p->contact);
    struct locate_ops ops = {.arg = p, .card = on_card, .record = on_record, .done = on_located};
    struct items_ops items;

    memcpy(who.A, p->id, KEY_BYTES);
    memcpy(who.T, X != NULL ? X : p->contact->T, KEY_BYTES);
    memcpy(who.S, p->contact->S, KEY_BYTES);
    memcpy(who.skip, p->app->keys->publish.pub, KEY_BYTES);
    who.devices = p->contact->devices;
    p->has_tried_card = p->has_tried_card || !who.has_S || !who.has_devices;
    p->zone = p->zone != NULL ? p->zone : &p->app->zones[0];
    records_items(p->app, p->zone, &items);
    p->locate = locate_start(p->zone->dht, &items, now, &who, &ops, p->app->env);
    secret_wipe(&who, sizeof who);
}

static struct peer *start(struct app *a, ns_t now, struct contact *who, struct zone *z, struct call *call,
                          bool use_S)
{
    struct peer *p = peer_new(a, now, who);

    if (p == NULL)
        return NULL;
    p->zone = z;
    p->call = call;
    p->group = ++a->n_groups;
    locate(p, now, use_S);
    return p;
}

struct peer *reach_start(struct app *a, ns_t now, struct contact *who, struct zone *z, struct call *call)
{
    return start(a, now, who, z, call, true);
}

/* ---- sessions' events ---- */

/* The first holders of an invite, up to its uses, are allowed without a request. */
static struct contact *take_invited(struct app *a, ns_t now, const struct session *s)
{
    const struct invite_row *row = invites_by_mark(a->invites, session_hello(s)->secret_id);
    struct contact *who = NULL;

    if (row == NULL || contacts_add(a->contacts, 0, session_peer_id(s), "", CONTACT_ALLOWED,
                                    env_wall_ms(a->env), &who, NULL) != ERR_OK)
        return NULL;
    invites_use(a->invites, row->X);
    app_set_self(a);
    app_contacts_changed(a, now);
    return who;
}

void reach_established(struct app *a, ns_t now, struct session *s)
{
    struct peer *p = session_user(s);

    if (!session_is_initiator(s) && session_class(s) == SESSION_INVITE &&
        session_hello(s)->secret_id == DEVICES_MARK) {
        devices_candidate_up(a, now, s);
        return;
    }
    if (p == NULL || p->session != s) { /* they came to us */
        struct contact *who = app_contact_of(a, session_peer_id(s));

        if (who == NULL && session_class(s) == SESSION_INVITE)
            who = take_invited(a, now, s);
        p = who != NULL ? peer_new(a, now, who) : NULL;
        if (p == NULL) {
            session_close(s, now);
            return;
        }
        p->session = s;
        p->group = ++a->n_groups;
        p->has_device = true;
        p->device.slot = session_hello(s)->cert.slot;
        memcpy(p->device.D, session_peer_device(s), KEY_BYTES);
        session_set_user(s, p);
    }
    p->is_up = true;
    if (p->is_by_invite)
        invites_drop_held(a->invites, p->id);
    if (p->contact != NULL) {
        p->contact->link_tries = 0;
        p->contact->link_at = now + LINK_NS;
        set_presence(a, p->contact, PRESENCE_NEWS_ONLINE);
    }
    if (devices_is_hidden(a, p->contact)) {
        devices_up(p, now);
        return;
    }
    if (p->call != NULL)
        call_use_session(p->call, now, s);
    say_hello(p, now);
    favours_hello(p, now);
}

void reach_message(struct app *a, ns_t now, struct session *s, uint8_t chan, struct slice msg)
{
    struct peer *p = reach_by_session(a, s);

    if (chan == SESSION_SIP)
        calls_sip_input(a->calls, now, s, msg);
    else if (chan == SESSION_CONTROL && p != NULL)
        hear_control(p, now, msg);
    else if (chan == SESSION_CONTROL && devices_is_candidate(a, s))
        devices_candidate_message(a, now, msg);
}

static bool is_connected(const struct app *a, const struct contact *who)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].is_up && a->peers[i].contact == who)
            return true;
    return false;
}

/* The session was lost, not given up: they are looked for now, not when an hour is over. */
static void look_again(struct app *a, ns_t now, struct contact *who)
{
    if (who == NULL || who == a->echo)
        return;
    who->link_at = 0;
    who->link_tries = 0;
    a->links_at = now;
}

/* The place of a peer without a session is free; what it was looking up is nobody's any more. */
static void forget_peer(struct peer *p)
{
    locate_stop(p->locate);
    p->locate = NULL;
    devices_down(p);
    p->is_used = false;
}

/* The session of a call was not to be (both opened at once, say), and they are there: once more, if time is left. */
static bool call_again(struct peer *p, ns_t now, struct call *c)
{
    if (p->is_up || now >= p->started_at + RECORD_WAIT_NS)
        return false;
    p->is_used = true;
    p->call = c;
    p->session = NULL;
    p->has_record = false;
    p->retry_at = now + RECORD_RETRY_NS;
    return true;
}

void reach_closed(struct app *a, ns_t now, struct session *s, enum err why)
{
    struct peer *p = reach_by_session(a, s);
    struct session *other =
        why == ERR_EXISTS ? sessions_find(a->sessions, session_class(s), session_peer_device(s)) : NULL;

    if (other != NULL && other != s)
        calls_session_replaced(a->calls, now, s, other);
    calls_session_gone(a->calls, now, s);
    if (p == NULL) {
        devices_candidate_closed(a, s);
        return;
    }
    p->session = NULL;
    if (other != NULL && other != s) { /* both opened at once, and theirs stays: it will do */
        struct call *c = p->call;
        struct peer *q = reach_by_session(a, other);

        p->call = NULL;
        forget_peer(p);
        if (c != NULL && q != NULL && q->call == NULL) {
            q->call = c;
            if (!p->is_up) { /* else the INVITE is out already, and its dialog has moved */
                call_connecting(c, now);
                call_use_session(c, now, other);
            }
        } else if (c != NULL && !call_again(p, now, c)) {
            call_abort(c, now, CAUSE_OFFLINE, NULL);
        }
        return;
    }
    if (!p->is_up) {
        if (p->call == NULL || why == ERR_TIMEOUT || !call_again(p, now, p->call))
            give_up(p, now, CAUSE_OFFLINE);
        return;
    }
    forget_peer(p);
    if (devices_is_hidden(a, p->contact))
        look_again(a, now, p->contact);
    if (p->contact == NULL || is_connected(a, p->contact))
        return;
    if (why == ERR_CANCELLED) {
        set_presence(a, p->contact, PRESENCE_NEWS_OFFLINE);
    } else if (why == ERR_TIMEOUT) {
        set_presence(a, p->contact, PRESENCE_NEWS_NONE); /* silent: they said nothing of leaving */
        look_again(a, now, p->contact);
    }
}

void reach_reopen(struct peer *p, ns_t now)
{
    struct app *a = p->app;
    struct contact *who = p->contact;

    reach_stop(p, now);
    look_again(a, now, who);
}

void reach_astray(struct app *a, ns_t now, const struct call *c)
{
    struct peer *p = call_session(c) != NULL ? reach_by_session(a, call_session(c)) : NULL;

    if (p == NULL || p->contact == NULL || p->contact == a->echo || !p->is_up)
        return;
    p->is_astray = true;
    if (p->has_record)
        lead_back(p, now);
    p->zone = p->zone != NULL ? p->zone : &a->zones[0];
    if (p->locate == NULL)
        locate(p, now, true); /* their proxies may be others by now */
}

void reach_network_changed(struct app *a, ns_t now)
{
    struct call *c;

    for (int i = 0; i < APP_KNOCKS; i++)
        a->knocks[i].flow = 0;
    for (size_t i = 0; (c = calls_at(a->calls, i)) != NULL; i++)
        reach_astray(a, now, c);
    for (int i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &a->peers[i];

        if (!p->is_used || !p->is_up || p->session == NULL || p->call != NULL || p->contact == NULL)
            continue;
        session_ping(p->session, now);
        p->prove_by = now + PROVE_NS;
    }
    for (size_t i = 0; i < contacts_count(a->contacts); i++) { /* tell them that we are here, soon */
        contacts_at(a->contacts, i)->link_at = 0;
        contacts_at(a->contacts, i)->link_tries = 0;
    }
    a->links_at = now;
}

void reach_contact_gone(struct app *a, ns_t now, const struct contact *who)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].contact == who)
            reach_stop(&a->peers[i], now);
    favours_contact_gone(a, who->id);
}

/* ---- links: telling contacts that we are here ---- */

bool reach_is_busy_with(const struct app *a, const struct contact *who)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].contact == who &&
            (!a->peers[i].is_up || a->peers[i].call != NULL))
            return true;
    return false;
}

static bool carries_call(const struct app *a, const struct session *s)
{
    struct call *c;

    for (size_t i = 0; (c = calls_at(a->calls, i)) != NULL; i++)
        if (call_session(c) == s)
            return true;
    return false;
}

/* They did not answer since we are back: their side of the session is gone, or no way leads there. */
static void give_up_session(struct peer *p, ns_t now)
{
    struct session *s = p->session;

    p->prove_by = NS_NEVER;
    if (session_heard_at(s) + PROVE_NS >= now || p->call != NULL || carries_call(p->app, s))
        return;
    p->session = NULL;
    session_close(s, now);
    forget_peer(p);
    if (p->contact != NULL && !is_connected(p->app, p->contact))
        set_presence(p->app, p->contact, PRESENCE_NEWS_NONE);
    look_again(p->app, now, p->contact);
}

/* Connected with them: presence is told there, nothing is looked up. */
static bool tell_again(struct app *a, ns_t now, struct contact *who)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &a->peers[i];

        if (!p->is_used || p->contact != who || !p->is_up)
            continue;
        say_hello(p, now);
        return true;
    }
    return false;
}

/* Sessions with the other devices of ours, each. */
static void link_own_devices(struct app *a, ns_t now)
{
    struct contact *own = devices_contact(a, a->keys->identity.pub);
    bool by_card;

    if (reach_is_busy_with(a, own) || !devices_wants_link(a, now, &by_card))
        return;
    own->link_at = now + LINK_NS; /* sooner when it fails */
    (void)start(a, now, own, &a->zones[0], NULL, !by_card);
}

static void start_links(struct app *a, ns_t now)
{
    unsigned n_open = 0;

    for (int i = 0; i < PEERS_MAX; i++)
        n_open += a->peers[i].is_used && !a->peers[i].is_up;
    a->links_at = now + LINK_NS;
    if (!bridge_is_joined(a->bridge)) {
        a->links_at = now + LINK_FIRST_NS;
        return;
    }
    for (size_t i = 0; i < contacts_count(a->contacts); i++) {
        struct contact *who = contacts_at(a->contacts, i);

        if (who->list != CONTACT_ALLOWED || !who->has_T || reach_is_busy_with(a, who))
            continue;
        if (who->link_at == 0)
            who->link_at = now + LINK_FIRST_NS;
        if (who->link_at > now || n_open >= LINKS_AT_ONCE) {
            a->links_at = ns_min(a->links_at, who->link_at > now ? who->link_at : now + NS_PER_S);
            continue;
        }
        who->link_at = now + LINK_NS;
        if (!tell_again(a, now, who) && reach_start(a, now, who, &a->zones[0], NULL) != NULL)
            n_open++;
    }
    link_own_devices(a, now);
    a->links_at = ns_min(a->links_at, now + LINK_RETRY_NS);
}

/* A call that waits for a record, or its end; NS_NEVER: it does not. */
static ns_t looks_until(const struct peer *p)
{
    bool is_looking = p->is_used && p->call != NULL && p->session == NULL && !p->has_record &&
                      (p->locate != NULL || p->retry_at != NS_NEVER);

    return is_looking ? p->started_at + CALL_LOOKUP_NS : NS_NEVER;
}

/* The overlay keeps silent, or our guards: there is no more time. */
static void end_look_up(struct peer *p, ns_t now)
{
    locate_stop(p->locate);
    p->locate = NULL;
    p->is_located = true;
    p->retry_at = NS_NEVER;
    give_up(p, now, is_cut_off(p, now) ? CAUSE_NO_NETWORK : CAUSE_NOT_FOUND);
}

static bool wants_links(const struct app *a)
{
    return a->config.mode == APP_PHONE || a->config.mode == APP_DAEMON;
}

void reach_tick(struct app *a, ns_t now)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (looks_until(&a->peers[i]) <= now)
            end_look_up(&a->peers[i], now);
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].has_record && a->peers[i].session == NULL)
            try_open(&a->peers[i], now);
    for (int i = 0; i < PEERS_MAX; i++) {
        if (!a->peers[i].is_used || a->peers[i].retry_at > now)
            continue;
        a->peers[i].retry_at = NS_NEVER;
        if (a->peers[i].locate == NULL)
            locate(&a->peers[i], now, !a->peers[i].wants_card);
        a->peers[i].wants_card = false;
    }
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].prove_by <= now && a->peers[i].session != NULL)
            give_up_session(&a->peers[i], now);
    if (wants_links(a) && now >= a->links_at)
        start_links(a, now);
}

ns_t reach_deadline(const struct app *a)
{
    ns_t at = wants_links(a) ? a->links_at : NS_NEVER;

    for (int i = 0; i < PEERS_MAX; i++)
        at = ns_min(at, looks_until(&a->peers[i]));
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].has_record && a->peers[i].session == NULL)
            at = ns_min(at, ns_min(a->peers[i].open_by, a->now + 20 * NS_PER_MS));
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used)
            at = ns_min(at, ns_min(a->peers[i].retry_at,
                                   a->peers[i].session != NULL ? a->peers[i].prove_by : NS_NEVER));
    return at;
}
