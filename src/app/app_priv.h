/* app/app_priv.h - what the files of the app share. Nobody else includes it. */
#ifndef ITO_APP_APP_PRIV_H
#define ITO_APP_APP_PRIV_H

#include "app/app.h"
#include "app/errands.h"
#include "app/keepers.h"
#include "app/mainline.h"
#include "app/netinfo.h"
#include "app/relays.h"
#include "call/call.h"
#include "call/locate.h"
#include "call/publish.h"
#include "call/stranger.h"
#include "relay/service.h"
#include "store/contacts.h"
#include "store/history.h"
#include "store/inbox.h"
#include "store/invites.h"

#define PEERS_MAX         192 /* sessions with contacts, dialling or live */
#define GUESTS_MAX        8   /* people called by ID who are no contacts */
#define SETTINGS_UNDO_MAX 16
#define TOLD_MAX          32 /* people waited for */
#define LATER_MAX         32 /* datagrams out of a session, or to ourselves: no layer is entered twice in one call */

enum presence {
    PRESENCE_NEWS_NONE,
    PRESENCE_NEWS_ONLINE,
    PRESENCE_NEWS_AWAY,
    PRESENCE_NEWS_BUSY,
    PRESENCE_NEWS_OFFLINE
};

/* One zone of the overlay we are in. */
struct zone {
    struct app *app;
    struct dht *dht;
    uint8_t id[ZONE_ID_BYTES];
    uint8_t node_seed[32], nonce[PUZZLE_NONCE_BYTES];
    struct publish *publish;
    struct stranger *stranger;
    bool is_loopback;
    bool is_closed;     /* net.zone_key: takes members only */
    uint32_t until_day; /* then, the last day of our certificate */
};

/* An outgoing knock flow: how C8 frames to one proxy travel (THREATS.md §4.8). */
struct knock_flow {
    bool is_used;
    struct addr proxy;
    uint8_t token[KNOCK_TOKEN_BYTES];
    uint32_t flow;  /* 0 until the proxy named it */
    uint32_t index; /* of ours, in the newest msg1 that went by it: the answer names it. 0: none */
    int alloc_slot; /* sent through it; negative: straight */
    ns_t used_at;
};

/* What we are about with one person: looking up, opening sessions, or connected. */
struct peer {
    struct app *app;
    bool is_used;
    bool is_by_invite; /* opened under a held invite, or came by one of ours */
    uint8_t id[32];
    struct contact *contact; /* of the list, or of app->guests */
    struct zone *zone;
    struct call *call; /* dialled for it; NULL: presence only */
    struct locate *locate;
    struct session *session; /* opening or established */
    bool is_up, is_located, has_record, has_tried_card;
    bool wants_card; /* at retry_at: their card, not their record */
    bool is_astray;  /* up, and what it went by is gone: to be led through a proxy of the newest record */
    unsigned n_led;  /* through one after the other */
    unsigned group;  /* those who were started for one purpose, one for each device; 0: came to us */
    bool has_device;
    struct device_entry device;
    struct dev_record record; /* its list slice is not used */
    ns_t open_by;             /* wait for an allocation until then */
    ns_t started_at;
    ns_t retry_at; /* NS_NEVER: not waiting to look again */
    ns_t prove_by; /* NS_NEVER; or we were away: without a sign of life by then the session is no more */
};

struct app {
    struct app_config config;
    const struct env *env;
    ns_t now;
    struct keyring *keys;
    struct config *settings;
    struct contacts *contacts;
    struct history *history;
    struct inbox *inbox;
    struct invites *invites;
    struct ledger_db *ledger;
    struct zone zones[APP_ZONES];
    struct sessions *sessions;
    struct calls *calls;
    struct relays *relays;
    struct errands *errands;   /* NULL: we do not relay */
    struct netinfo *netinfo;   /* NULL: offline, or Echo */
    struct mainline *mainline; /* NULL: the same, or net.mainline is off */
    struct bridge *bridge;     /* items in the zone and on mainline */
    struct keepers *keepers;   /* NULL: no relays, so no caretakers */
    struct devices *devices;   /* the others of this identity */
    struct care *care;         /* what we do for others in the overlay; NULL: nothing */
    struct service *service;
    bool service_is_relay; /* else it only carries knocks */
    struct peer peers[PEERS_MAX];
    unsigned n_groups;
    struct contact *guests[GUESTS_MAX];
    struct contact *echo;
    struct knock_flow knocks[APP_KNOCKS];
    struct {
        struct path via;
        uint16_t len;
        uint8_t data[1500];
    } later[LATER_MAX]; /* taken in at the end of the turn */
    unsigned n_later;
    bool is_later_deferred;
    ns_t favours_at, advert_at, links_at, save_at, network_at, lookup_due, answer_at, secrets_at;
    ns_t heard_at; /* the last datagram, whosesoever */
    int64_t started_ms, joined_ms;
    ns_t care_saved_at; /* what we keep for others, on disk */
    enum dht_state last_state;
    unsigned missed;
    bool state_is_dirty, wants_peers, has_resumed, is_leaving;
    struct setting_undo {
        enum config_key key;
        char *value; /* as JSON */
    } undo[SETTINGS_UNDO_MAX];
    unsigned n_undo;
    uint8_t told[TOLD_MAX][KEY_BYTES]; /* we are told when they come online */
    unsigned n_told;
    int64_t relay_since_ms;
    uint32_t n_history;
    struct app_confinement confinement;
    bool had_calls;
};

/* records.c */
void app_publish(struct app *a, ns_t now);

/* app.c */
void app_set_self(struct app *a);
/* Where the world reaches our relay: IPv4, IPv6. */
void app_external(struct app *a, struct addr out[static 2]);
void app_self_input(struct app *a, ns_t now, const struct path *via, struct slice bytes);
void app_contacts_changed(struct app *a, ns_t now);
/* The same, and all pointers to contacts are void. */
void app_contacts_moved(struct app *a, ns_t now);
size_t app_own_addrs(struct app *a, struct zone *z, struct addr *out, size_t max, size_t *n_host);
/* The addresses of the peers file; at most max. */
size_t app_cached_peers(struct app *a, struct addr *out, size_t max);
enum err app_start_zone(struct app *a, struct zone *z, const char *name, bool is_loopback,
                        struct err_detail *detail);
void app_save_state_soon(struct app *a);
struct contact *app_contact_of(struct app *a, const uint8_t id[static 32]);

/* records.c: our records, who puts and gets them, and those of others */
void records_create(struct app *a, ns_t now);
void records_destroy(struct app *a);
void records_care_message(struct app *a, ns_t now, struct session *s, struct slice msg);
void records_node_closed(struct app *a, ns_t now, struct session *s);
void records_keeper_message(void *arg, ns_t now, uint16_t slot, struct slice msg);
void records_notified(struct app *a, const uint8_t target[static DHT_ID_BYTES]);
void records_keeper_leaving(void *arg, ns_t now, uint16_t slot);
void records_items(struct app *a, struct zone *z, struct items_ops *out);
bool records_is_direct(const struct app *a);
void records_tick(struct app *a, ns_t now);
ns_t records_deadline(const struct app *a);
cJSON *json_record(struct app *a); /* only with keepers */

/* secrets.c: keys that change while we run */
void secrets_tick(struct app *a, ns_t now);
void secrets_lists_changed(struct app *a, ns_t now);
/* Our keys or S are others: who is connected hears it at once, the others find it in their cards. */
void secrets_tell(struct app *a, ns_t now);

/* reach_path.c: how what sessions say travels */
void reach_path_send(struct app *a, const struct path *via, struct slice bytes);
/* Our own node: we are our own proxy in a zone of two. */
bool reach_is_self(const struct addr *a);
/* A flow to that proxy; an unused or the oldest place. alloc_slot: sent through it, negative: straight. */
uint16_t reach_knock_open(struct app *a, const struct relay_entry *proxy, int alloc_slot);
struct path reach_knock_path(uint16_t slot);
void reach_knock_in(void *arg, ns_t now, uint16_t slot, uint32_t flow, struct slice body);
void reach_c9(struct app *a, ns_t now, const struct addr *from, struct slice bytes);

/* reach.c: finding people, sessions with them, presence */
struct peer *reach_start(struct app *a, ns_t now, struct contact *who, struct zone *z, struct call *call);
void reach_stop(struct peer *p, ns_t now);
/* The session is of no use any more: closed, and another one is looked for now. */
void reach_reopen(struct peer *p, ns_t now);
void reach_tick(struct app *a, ns_t now);
/* We sit elsewhere: flows are begun anew, calls' sessions go by the other side's proxies until a path is proven. */
void reach_network_changed(struct app *a, ns_t now);
/* The session of this call may have lost its way: lead it by the other side's proxies. */
void reach_astray(struct app *a, ns_t now, const struct call *c);
ns_t reach_deadline(const struct app *a);
bool reach_admit(void *arg, const struct session_hello *hello, const struct path *via);
bool reach_path_allowed(void *arg, const struct session *s, const struct path *via);
void reach_established(struct app *a, ns_t now, struct session *s);
void reach_message(struct app *a, ns_t now, struct session *s, uint8_t chan, struct slice msg);
void reach_closed(struct app *a, ns_t now, struct session *s, enum err why);
/* Somebody is being looked for or dialled, or in a call. */
bool reach_is_busy_with(const struct app *a, const struct contact *who);
struct peer *reach_by_session(struct app *a, const struct session *s);
enum presence reach_presence(const struct app *a, const struct contact *who);
void reach_contact_gone(struct app *a, ns_t now, const struct contact *who);
void reach_goodbye(struct app *a, ns_t now);
/* S, gen or our presence changed: HELLO to all who are connected. */
void reach_tell_all(struct app *a, ns_t now);

/* node_key.c: the seed of the key of a zone's node, and the nonce that solves that zone's puzzle. A kept key stays when the
 * zone is another one: relays are owed under it. */
enum err app_load_node_key(struct app *a, struct zone *z, struct err_detail *detail);
/* Our certificate of a closed zone, for dht_create(). One whose last day is over is told of, and tried: the clock may be
 * wrong. ERR_CONFIG: there is none for our node. */
enum err app_join_members(struct app *a, struct zone *z, struct dht_membership *out,
                          struct err_detail *detail);

/* heirs.c: identities that take the place of others */
/* Is this the `next` of that contact? Who has none pinned has this one from now on. */
bool heirs_pin(struct contact *who, const uint8_t next[static KEY_BYTES]);
/* What to show to that person: NULL when they need not know whom we follow. */
const uint8_t *heirs_proof_for(const struct app *a, const uint8_t id[static KEY_BYTES]);
/* A proved identity says that it follows one of our contacts. The contact, moved there; NULL: it is not so. */
struct contact *heirs_take(struct app *a, const uint8_t new_id[static KEY_BYTES],
                           const uint8_t proof[static SUCCESSION_BYTES]);
/* A request that is no stranger's: of who says to follow a contact, rightly or not, of an identity given up, our own. */
bool heirs_request(struct app *a, const struct request *r);

/* favours.c: what contacts do for each other about relays */
void favours_hello(struct peer *p, ns_t now); /* a session with them is up */
void favours_message(struct peer *p, ns_t now, struct slice msg);
void favours_set_guests(struct app *a); /* the list is another one */
void favours_contact_gone(struct app *a, const uint8_t id[static 32]);
void favours_tick(struct app *a, ns_t now);
/* Let a contact draw line_s in per_days on what we earned; 0: not any more. */
enum err favours_sponsor(struct app *a, ns_t now, const struct contact *who, uint32_t line_s,
                         uint16_t per_days, struct err_detail *detail);

/* phone.c: calls */
void phone_create(struct app *a);
/* What the settings say about calls; strings are borrowed from them. */
void phone_calls_config(const struct app *a, struct calls_config *out);
void phone_tick(struct app *a, ns_t now); /* answers what is answered without asking */
enum err phone_dial(struct app *a, ns_t now, const char *to, const struct call_audio *audio,
                    struct call **out, struct err_detail *detail);
enum err phone_request_sent(struct app *a, ns_t now, struct contact *who);
struct call_policy phone_policy(const struct app *a, const struct contact *who, const struct zone *z);

/* network.c: what netinfo and mainline ask of us, and their part of json_network() */
void network_create(struct app *a);
void network_destroy(struct app *a, ns_t now);
void network_tick(struct app *a, ns_t now);
ns_t network_deadline(const struct app *a);
void network_changed(struct app *a, ns_t now);
void json_network_path(struct app *a, cJSON *v);

/* event.c: JSON of what there is */
void event_emit(struct app *a, cJSON *event);
void event_call(struct app *a, const struct call *c);
void event_presence(struct app *a, const struct contact *who); /* NULL: the list is another one */
/* A contact goes on under a new ID: the list is another one, and the person should hear of it. */
void event_succeeded(struct app *a, const struct contact *who);
void event_request(struct app *a);
/* A device that is being linked, on either side; code and name may be NULL. */
void event_device(struct app *a, const char *state, const uint32_t *code, const char *name);
void event_network(struct app *a);
void event_relay(struct app *a);
cJSON *json_call(struct app *a, const struct call *c);
cJSON *json_status(struct app *a);
cJSON *json_network(struct app *a);
cJSON *json_contact(struct app *a, const struct contact *who);
cJSON *json_contacts(struct app *a);
cJSON *json_requests(struct app *a);
cJSON *json_history(struct app *a);
cJSON *json_relays(struct app *a);
cJSON *json_relay(struct app *a);
cJSON *json_ledger(struct app *a);
cJSON *json_config(struct app *a);
void json_time(cJSON *object, const char *key, int64_t wall_ms); /* null when 0 */

#endif
