/* app/command_setup.c - verbs about the phone itself: settings, log, relay, being told, and an honest no to what is
 * not built in (UX.md §6). */
#include <stdio.h>

#include "app/command_priv.h"
#include "base/mem.h"
#include "crypto/idtext.h"
#include "crypto/phrase.h"
#include "media/audio.h"

#define GB            1000000000ull
#define CHOICES_MAX   64
#define CHOICE_BYTES  128
#define NODE_MAX_KBPS 64 /* as start_service(): a plain node carries knocks only */

/* ---- settings ---- */

/* The last changes of this run, newest last; the oldest is forgotten. */
static void remember(struct app *a, enum config_key key)
{
    if (a->n_undo == SETTINGS_UNDO_MAX) {
        mem_free(a->undo[0].value);
        memmove(a->undo, a->undo + 1, --a->n_undo * sizeof *a->undo);
    }
    a->undo[a->n_undo].key = key;
    a->undo[a->n_undo++].value = config_json(a->settings, key);
}

static void set_relay(struct app *a, ns_t now, bool on)
{
    const struct config *s = a->settings;
    bool is_for_contacts = strcmp(config_str(s, CFG_RELAY_FOR), "contacts") == 0;

    if (a->service == NULL)
        return;
    if (on && !a->service_is_relay)
        a->relay_since_ms = env_wall_ms(a->env);
    a->service_is_relay = on;
    a->advert_at = now;
    service_set_scope(a->service, on && config_bool(s, CFG_RELAY_ALLOW_LOCAL),
                      !on || config_bool(s, CFG_RELAY_HAIRPIN_ONLY));
    if (on)
        service_set_limits(a->service, now, (uint32_t)config_int(s, CFG_RELAY_MAX_CALLS),
                           (uint32_t)config_int(s, CFG_RELAY_MAX_KBPS),
                           (uint64_t)config_int(s, CFG_RELAY_MONTHLY_GB) * GB,
                           (double)config_int(s, CFG_RELAY_STRANGERS_PCT),
                           is_for_contacts ? SERVICE_FOR_CONTACTS : SERVICE_FOR_ANYONE);
    else
        service_set_limits(a->service, now, 1, NODE_MAX_KBPS, 0, 0, SERVICE_FOR_CONTACTS);
    service_drain(a->service, now, false);
    event_relay(a);
}

/* What a changed setting changes now; the others are read when they are needed, or at the next start. */
static void apply(struct app *a, ns_t now, enum config_key key)
{
    struct calls_config calls;

    if (a->calls != NULL) {
        phone_calls_config(a, &calls);
        calls_configure(a->calls, &calls);
    }
    if (key == CFG_RELAY_ON && a->config.mode != APP_RELAY)
        set_relay(a, now, config_bool(a->settings, CFG_RELAY_ON));
    else if (key == CFG_NET_ZONE_CERT)
        app_renew_member(a);
    else if (key >= CFG_RELAY_ON && key <= CFG_RELAY_FOR && a->service_is_relay)
        set_relay(a, now, true);
}

static bool needs_restart(enum config_key key)
{
    return (key >= CFG_NET_PORT && key <= CFG_NET_ZONE_CERT && key != CFG_NET_PATH) ||
           key == CFG_RELAY_PORT || key == CFG_RELAY_TURN_USERS || key == CFG_IDENTITY_NAME ||
           (key >= CFG_KEYS && key <= CFG_UI_BELL) || key == CFG_LOG_LEVEL;
}

static enum err change(struct request_ctx *r, const char *key, const char *value)
{
    struct app *a = r->a;
    enum config_key k = config_find(key);
    char *before;
    enum err e;

    if (a->config.paths.config == NULL)
        return err_set(&r->detail, ERR_STATE, "There is no configuration file here.");
    before = k < CFG_COUNT ? config_json(a->settings, k) : NULL;
    e = config_set(a->settings, a->config.paths.config, key, value, &r->detail);
    if (e == ERR_OK)
        apply(a, r->now, k);
    mem_free(before);
    return e;
}

static enum err do_config_set(struct request_ctx *r)
{
    const char *key = json_str(r->in, "key", NULL), *value = json_str(r->in, "value", NULL);
    enum config_key k;
    enum err e;

    if (key == NULL || value == NULL)
        return command_usage(r, key == NULL ? "key" : "value");
    k = config_find(key);
    if (k < CFG_COUNT)
        remember(r->a, k);
    e = change(r, key, value);
    if (e != ERR_OK && k < CFG_COUNT)
        mem_free(r->a->undo[--r->a->n_undo].value);
    if (e == ERR_OK && needs_restart(k) && !(k == CFG_NET_ZONE_CERT && r->a->zones[0].is_closed))
        json_add_str(r->out, "text", "Saved. It counts from the next start on.");
    return e;
}

static enum err do_config_undo(struct request_ctx *r)
{
    struct app *a = r->a;
    struct setting_undo u;
    char text[128];
    enum err e;

    if (a->n_undo == 0)
        return err_set(&r->detail, ERR_NOT_FOUND, "Nothing was changed since the start.");
    u = a->undo[--a->n_undo];
    e = change(r, config_info(u.key)->key, u.value);
    if (e == ERR_OK) {
        snprintf(text, sizeof text, "%s is %.60s again.", config_info(u.key)->key, u.value);
        json_add_str(r->out, "text", text);
    }
    mem_free(u.value);
    return e;
}

static enum err do_config_get(struct request_ctx *r)
{
    const char *key = json_str(r->in, "key", NULL), *near;
    enum config_key k;
    char *value;

    if (key == NULL)
        return command_usage(r, "key");
    k = config_find(key);
    near = config_suggest(key);
    if (k == CFG_COUNT)
        return err_set(&r->detail, ERR_NOT_FOUND,
                       near != NULL ? "%s: unknown key; did you mean %s?" : "%s: unknown key", key, near);
    value = config_json(r->a->settings, k);
    json_add_str(r->out, "key", key);
    cJSON_AddItemToObject(r->out, "value", cJSON_Parse(value));
    cJSON_AddItemToObject(r->out, "default", cJSON_Parse(config_info(k)->default_json));
    json_add_str(r->out, "meaning", config_info(k)->meaning);
    mem_free(value);
    return ERR_OK;
}

static enum err do_config_check(struct request_ctx *r)
{
    const char *path = json_str(r->in, "file", r->a->config.paths.config), *slash;
    struct config *c = config_create();
    struct config_errors errors = {0};
    char *text = mem_str(""), *longer;
    enum err e;

    slash = path != NULL ? strrchr(path, '/') : NULL;
    e = path != NULL ? config_load(c, path, slash != NULL ? slash + 1 : path, &errors) : ERR_OK;
    for (unsigned i = 0; i < errors.n; i++) {
        longer = mem_printf("%s%s\n", text, errors.lines[i]);
        mem_free(text);
        text = longer;
    }
    json_add_str(r->out, "text", e == ERR_OK ? "Nothing is wrong with it." : text);
    mem_free(text);
    config_errors_fini(&errors);
    config_destroy(c);
    return ERR_OK;
}

/* ---- sound devices ---- */

struct devices {
    char names[CHOICES_MAX][CHOICE_BYTES];
    size_t n;
};

static void add_device(void *arg, const char *name, const char *text)
{
    struct devices *d = arg;

    (void)text;
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->names[i], name) == 0)
            return;
    if (d->n < CHOICES_MAX && strlen(name) < CHOICE_BYTES)
        snprintf(d->names[d->n++], CHOICE_BYTES, "%s", name);
}

/* The next or previous device of the system, for calls from now on. */
static enum err do_audio_device(struct request_ctx *r)
{
    struct devices *d = mem_alloc(sizeof *d);
    const char *now_used = config_str(r->a->settings, CFG_AUDIO_INPUT);
    bool is_back = json_num(r->in, "step", 1) < 0;
    char text[CHOICE_BYTES + 40];
    size_t at = 0;
    enum err e;

    add_device(d, "default", "");
    audio_list(true, add_device, d);
    add_device(d, "null", "");
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->names[i], now_used) == 0)
            at = i;
    if (is_back)
        at = at > 0 ? at - 1 : d->n - 1;
    else
        at = at + 1 < d->n ? at + 1 : 0;
    e = change(r, "audio.input", d->names[at]);
    if (e == ERR_OK)
        e = change(r, "audio.output", d->names[at]);
    snprintf(text, sizeof text, "Sound device of the next call: %s",
             strcmp(d->names[at], "null") == 0 ? "none" : d->names[at]);
    if (e == ERR_OK)
        json_add_str(r->out, "text", text);
    mem_free(d);
    return e;
}

/* ---- relay, log, history, being told ---- */

static enum err do_relay(struct request_ctx *r)
{
    struct app *a = r->a;
    bool on = json_bool(r->in, "on", true);

    if (a->config.mode == APP_RELAY)
        return err_set(&r->detail, ERR_STATE, "This is `ito relay`: it is on until it ends.");
    if (a->service == NULL)
        return err_set(&r->detail, ERR_STATE,
                       "net.client is true: this phone only takes. Set it to false and start again.");
    if (change(r, "relay.on", on ? "true" : "false") != ERR_OK)
        return ERR_CONFIG;
    json_add_str(r->out, "text",
                 !on ? "Relay off. Calls in progress finish."
                 : dht_state(a->zones[0].dht) != DHT_JOINED
                     ? "Relay on. It is announced once the network is joined."
                     : "Relay on. Others find it within some minutes.");
    return ERR_OK;
}

static enum err do_log(struct request_ctx *r)
{
    cJSON *lines = r->a->config.ops.log_lines != NULL ? r->a->config.ops.log_lines(r->a->config.ops.arg)
                                                      : cJSON_CreateArray();

    cJSON_AddItemToObject(r->out, "lines", lines);
    return ERR_OK;
}

static enum err do_history_seen(struct request_ctx *r)
{
    r->a->missed = 0;
    return ERR_OK;
}

static enum err do_history_delete(struct request_ctx *r)
{
    const char *since = json_str(r->in, "since", NULL);
    double id = json_num(r->in, "call", 0);

    for (size_t i = 0; i < history_count(r->a->history); i++) {
        const cJSON *row = history_at(r->a->history, i);

        if (json_num(row, "id", -1) == id &&
            (since == NULL || strcmp(json_str(row, "since", ""), since) == 0))
            return history_delete(r->a->history, i, &r->detail);
    }
    return err_set(&r->detail, ERR_NOT_FOUND, "There is no such call.");
}

static enum err do_notify(struct request_ctx *r)
{
    struct contact *who;
    enum err e = command_contact(r, &who);
    struct app *a = r->a;
    char text[ID_NAME_BYTES + 40];

    if (e != ERR_OK)
        return e;
    if (reach_presence(a, who) == PRESENCE_NEWS_ONLINE) {
        snprintf(text, sizeof text, "%s is online now.", who->name);
        json_add_str(r->out, "text", text);
        return ERR_OK;
    }
    for (unsigned i = 0; i < a->n_told; i++)
        if (memcmp(a->told[i], who->id, KEY_BYTES) == 0)
            return ERR_OK;
    if (a->n_told == TOLD_MAX)
        return err_set(&r->detail, ERR_FULL, "You are waiting for %d people already.", TOLD_MAX);
    memcpy(a->told[a->n_told++], who->id, KEY_BYTES);
    return ERR_OK;
}

/* ---- keys ---- */

/* Is the typed phrase the one of this identity? It cannot be printed. */
static enum err do_keys_phrase(struct request_ctx *r)
{
    const char *text = json_str(r->in, "phrase", NULL);
    uint8_t phrase[KEY_BYTES];
    struct sign_key k;
    bool is_ours;
    enum err e;

    if (text == NULL)
        return command_usage(r, "phrase");
    e = phrase_decode(text, phrase, &r->detail);
    if (e != ERR_OK)
        return e;
    identity_derive(phrase, 0, &k);
    is_ours = memcmp(k.pub, r->a->keys->identity.pub, KEY_BYTES) == 0;
    secret_wipe(phrase, sizeof phrase);
    secret_wipe(&k, sizeof k);
    if (!is_ours)
        return err_set(&r->detail, ERR_AUTH, "These words are well written, but belong to another identity.");
    json_add_str(r->out, "text", "These are the words of this identity.");
    return ERR_OK;
}

/* ---- what is not built in ---- */

static const struct {
    const char *prefix, *sentence;
} missing[] = {
    {"message", "This ito has no messages yet."},
    {"voicemail", "This ito has no voicemail yet."},
    {"greeting", "This ito has no voicemail yet."},
    {"keys", "The key file is copied where it lies: ito keys export F."},
};

static enum err do_missing(struct request_ctx *r)
{
    const char *cmd = json_str(r->in, "cmd", "");

    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (strncmp(cmd, missing[i].prefix, strlen(missing[i].prefix)) == 0)
            return err_set(&r->detail, ERR_UNSUPPORTED, "%s", missing[i].sentence);
    return err_set(&r->detail, ERR_UNSUPPORTED, "Unknown command \"%.32s\".", cmd);
}

static const struct verb verbs[] = {
    {"config_set", do_config_set, false},
    {"config_undo", do_config_undo, false},
    {"config_get", do_config_get, false},
    {"config_check", do_config_check, false},
    {"audio_device", do_audio_device, false},
    {"relay", do_relay, true},
    {"log", do_log, false},
    {"history_seen", do_history_seen, false},
    {"history_delete", do_history_delete, false},
    {"notify", do_notify, true},
    {"keys_phrase", do_keys_phrase, false},
};

const struct verb *command_setup_find(const char *name)
{
    static const struct verb not_here = {"", do_missing, false};

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (strncmp(name, missing[i].prefix, strlen(missing[i].prefix)) == 0)
            return &not_here;
    return NULL;
}
