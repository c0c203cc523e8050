/* app/records.c - our records in the overlay: what they say, who puts and gets them; and what we do for others. */
#include "app/devices.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/care.h"

#define CARE_SAVE_NS (600 * NS_PER_S) /* it is synced to the disk, and calls wait for that */

/* ---- what we do for others ---- */

static void on_care_say(void *arg, uint64_t ref, struct slice bytes)
{
    struct app *a = arg;

    session_send((struct session *)(uintptr_t)ref, a->now, CARE_CHAN, bytes);
}

static ns_t on_heard_at(void *arg, uint64_t ref)
{
    (void)arg;
    return session_heard_at((struct session *)(uintptr_t)ref);
}

static uint32_t care_kbps(const struct app *a)
{
    return a->service_is_relay ? (uint32_t)config_int(a->settings, CFG_RELAY_MAX_KBPS) / 20 : CARE_NODE_KBPS;
}

void records_care_message(struct app *a, ns_t now, struct session *s, struct slice msg)
{
    if (a->care != NULL)
        care_message(a->care, now, (uint64_t)(uintptr_t)s, session_peer_id(s), msg);
}

void records_node_closed(struct app *a, ns_t now, struct session *s)
{
    if (a->care != NULL)
        care_closed(a->care, now, (uint64_t)(uintptr_t)s);
    service_session_closed(a->service, now, (uint64_t)(uintptr_t)s);
}

/* So that an owner who is away loses nothing when we start again. */
static void care_load_file(struct app *a, ns_t now)
{
    uint8_t *bytes;
    size_t len;

    if (a->care == NULL || a->config.paths.care == NULL || !file_exists(a->config.paths.care) ||
        file_read(a->config.paths.care, CARE_STATE_MAX, &bytes, &len, NULL) != ERR_OK)
        return;
    if (care_load(a->care, now, slice_of(bytes, len)) != ERR_OK)
        log_warn(a->env, "%s is damaged: what we kept for others is lost, in part or whole",
                 a->config.paths.care);
    mem_free(bytes);
}

static void care_save_file(struct app *a, ns_t now)
{
    struct care_stats stats = {0};
    struct err_detail detail;
    uint8_t *bytes;
    size_t len;

    if (a->care != NULL)
        care_stats(a->care, &stats);
    if (a->care == NULL || a->config.paths.care == NULL || (stats.items == 0 && !care_is_changed(a->care)))
        return; /* nothing, as before */
    a->care_saved_at = now;
    bytes = care_save(a->care, &len);
    if (file_replace(a->config.paths.care, slice_of(bytes, len), 0600, &detail) != ERR_OK)
        log_error(a->env, "%s", detail.text);
    mem_free(bytes);
}

/* ---- who puts and gets ours ---- */

/* By guards; in the zone of Echo, and where we have no links at all, by our own node. */
void records_items(struct app *a, struct zone *z, struct items_ops *out)
{
    dht_items(z->dht, out);
    if (a->keepers != NULL && z == &a->zones[0])
        keepers_items(a->keepers, out);
}

void records_keeper_message(void *arg, ns_t now, uint16_t slot, struct slice msg)
{
    struct app *a = arg;

    a->now = now;
    if (a->keepers != NULL)
        keepers_message(a->keepers, now, slot, msg);
}

void records_keeper_leaving(void *arg, ns_t now, uint16_t slot)
{
    struct app *a = arg;

    if (a->keepers != NULL)
        keepers_leave(a->keepers, now, slot);
}

static void on_news(void *arg, ns_t now, const uint8_t drop[static DHT_ID_BYTES])
{
    struct app *a = arg;

    a->now = now;
    stranger_notified(a->zones[0].stranger, now, drop);
}

static void on_unwatched(void *arg, ns_t now)
{
    struct app *a = arg;

    stranger_unwatched(a->zones[0].stranger, now);
}

void records_notified(struct app *a, const uint8_t target[static DHT_ID_BYTES])
{
    if (a->care != NULL)
        care_notified(a->care, a->now, target);
}

void records_create(struct app *a, ns_t now)
{
    struct care_config care = {.dht = a->zones[0].dht,
                               .max_clients = a->service_is_relay ? CARE_CLIENTS_MAX : CARE_CLIENTS_NODE,
                               .kbps = care_kbps(a)};
    struct care_ops care_ops = {.say = on_care_say, .heard_at = on_heard_at};
    struct keepers_config config = {.dht = a->zones[0].dht,
                                    .publish = a->zones[0].publish,
                                    .relays = a->relays,
                                    .puts_itself = records_is_direct(a),
                                    .news = on_news,
                                    .unwatched = on_unwatched,
                                    .arg = a};
    struct items_ops items;
    struct drops_ops drops;

    config.bridge = a->bridge = bridge_create(a->zones[0].dht);
    if (a->service_is_relay)
        bridge_items(a->bridge, &care.items);
    else
        bridge_own_items(a->bridge, &care.items); /* a phone's address belongs to nothing on mainline */
    if (a->service != NULL)
        a->care = care_create(&care, &care_ops, a, a->env);
    care_load_file(a, now);
    if (a->relays == NULL) {
        /* Echo is met inside this computer; a mere relay has nobody to tell where it is */
        publish_set_ways(a->zones[0].publish, now, false, a->config.mode == APP_ECHO);
        return;
    }
    bridge_set_puts_beyond(a->bridge, records_is_direct(a));
    bridge_own_items(a->bridge, &items);
    publish_set_own(a->zones[0].publish, &items);
    a->keepers = keepers_create(&config, a->env, now);
    keepers_items(a->keepers, &items);
    publish_set_items(a->zones[0].publish, &items);
    keepers_drops(a->keepers, &drops);
    stranger_set_drops(a->zones[0].stranger, &drops);
}

void records_destroy(struct app *a)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        locate_stop(a->peers[i].locate);
        a->peers[i].locate = NULL;
    }
    for (int i = 0; i < APP_ZONES; i++) {
        publish_destroy(a->zones[i].publish);
        stranger_destroy(a->zones[i].stranger);
        a->zones[i].publish = NULL;
        a->zones[i].stranger = NULL;
    }
    keepers_destroy(a->keepers);
    a->keepers = NULL;
    care_save_file(a, a->now);
    care_destroy(a->care);
    a->care = NULL;
    bridge_destroy(a->bridge);
    a->bridge = NULL;
}

void records_tick(struct app *a, ns_t now)
{
    if (a->care != NULL && care_deadline(a->care) <= now)
        care_tick(a->care, now);
    if (a->care != NULL && care_is_changed(a->care) && now >= a->care_saved_at + CARE_SAVE_NS)
        care_save_file(a, now);
    if (a->keepers != NULL && keepers_deadline(a->keepers) <= now)
        keepers_tick(a->keepers, now);
}

ns_t records_deadline(const struct app *a)
{
    return ns_min(a->care != NULL ? care_deadline(a->care) : NS_NEVER,
                  a->keepers != NULL ? keepers_deadline(a->keepers) : NS_NEVER);
}

/* ---- what they say ---- */

bool records_is_direct(const struct app *a)
{
    return strcmp(config_str(a->settings, CFG_NET_PATH), "direct") == 0;
}

/* What our `dev` record says now, and who gets a card. */
void app_publish(struct app *a, ns_t now)
{
    uint8_t cards[PUBLISH_CARDS_MAX][KEY_BYTES];
    struct publish_place place;
    size_t n_host, n_cards;

    for (int i = 0; i < APP_ZONES; i++) {
        struct zone *z = &a->zones[i];

        if (z->dht == NULL || (i > 0 && a->config.mode != APP_ECHO))
            continue;
        memset(&place, 0, sizeof place); /* compared bytewise */
        if (a->relays != NULL)
            place.n_relays = (uint8_t)relays_proxies(a->relays, place.relays, RECORD_RELAYS_MAX);
        if (records_is_direct(a) || a->config.mode == APP_ECHO)
            place.n_addrs = (uint8_t)app_own_addrs(a, z, place.addrs, RECORD_ADDRS_MAX, &n_host);
        n_cards = 0;
        if (devices_link_secret(a) != NULL) /* first: somebody waits for it */
            memcpy(cards[n_cards++], devices_link_secret(a), KEY_BYTES);
        for (size_t k = 0; k < contacts_count(a->contacts) && n_cards < PUBLISH_CARDS_MAX; k++) {
            struct contact *who = contacts_at(a->contacts, k);

            if (who->list != CONTACT_ALLOWED || !who->has_T ||
                (who->told_S_gen == a->keys->S_gen && who->told_gen == a->keys->gen))
                continue;
            memcpy(cards[n_cards++], who->T, KEY_BYTES);
        }
        n_cards += devices_card_secrets(a, cards + n_cards, PUBLISH_CARDS_MAX - n_cards);
        for (size_t k = 0; k < invites_count(a->invites, false) && n_cards < PUBLISH_CARDS_MAX; k++)
            memcpy(cards[n_cards++], invites_at(a->invites, false, k)->X, KEY_BYTES);
        publish_set_place(z->publish, now, &place);
        publish_set_cards(z->publish, now, (const uint8_t(*)[KEY_BYTES])cards, n_cards);
        secret_wipe(cards, sizeof cards);
    }
}

/* How our record does, for `ito status` and the doctor. */
cJSON *json_record(struct app *a)
{
    cJSON *v = cJSON_CreateObject();
    struct publish_stats p;
    struct keepers_stats k;

    publish_stats(a->zones[0].publish, &p);
    keepers_stats(a->keepers, &k);
    cJSON_AddBoolToObject(v, "published", p.is_published);
    cJSON_AddBoolToObject(v, "read_back", p.is_read_back);
    cJSON_AddNumberToObject(v, "caretakers", k.caretakers);
    cJSON_AddNumberToObject(v, "guards", k.guards);
    cJSON_AddBoolToObject(v, "puts_itself", k.puts_itself);
    return v;
}
