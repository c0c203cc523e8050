/* app/phone.c - calls as the app sees them: whom they are with, what they may use, what is kept of them. */
#include <stdio.h>

#include "app/devices.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/idtext.h"

#define ECHO_ANSWER_NS NS_PER_S /* Echo answers after 1 s, and plays back 1 s later (UX.md §2) */
#define ECHO_LOOP_MS   1000

/* What the policy of a contact, or net.path, allows in the zone the call is in. */
struct call_policy phone_policy(const struct app *a, const struct contact *who, const struct zone *z)
{
    struct call_policy policy = {0};
    const char *net = config_str(a->settings, CFG_NET_PATH);
    enum contact_policy p = who != NULL ? who->policy : POLICY_DEFAULT;

    if (z->is_loopback || a->config.mode == APP_ECHO || who == a->echo)
        return (struct call_policy){.may_tell_early = true, .allow_loopback = true};
    if (p == POLICY_DEFAULT)
        p = strcmp(net, "direct") == 0       ? POLICY_DIRECT
            : strcmp(net, "relay-only") == 0 ? POLICY_RELAY_ONLY
                                             : POLICY_PRIVATE;
    policy.may_tell_early = p == POLICY_DIRECT;
    policy.is_relay_only = p == POLICY_RELAY_ONLY;
    return policy;
}

static struct zone *zone_of(struct app *a, const struct contact *who)
{
    return who != NULL && who == a->echo ? &a->zones[1] : &a->zones[0];
}

static struct peer *peer_of_call(struct app *a, const struct call *c)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].call == c)
            return &a->peers[i];
    return NULL;
}

/* ---- what calls ask of us ---- */

static void on_send(void *arg, const struct path *via, struct slice bytes)
{
    reach_path_send(arg, via, bytes);
}

static void on_sip_send(void *arg, struct session *s, struct slice sip)
{
    struct app *a = arg;

    if (s != NULL)
        session_send(s, a->now, SESSION_SIP, sip);
}

static void on_move_session(void *arg, struct session *s, const struct path *via)
{
    struct app *a = arg;

    session_set_path(s, via);
    session_ping(s, a->now);
}

static size_t on_addrs(void *arg, const struct call *c, struct addr out[static CALL_ADDRS_MAX],
                       size_t *n_host)
{
    struct app *a = arg;
    struct contact *who = app_contact_of(a, call_peer(c));
    struct zone *z = zone_of(a, who);
    size_t n = app_own_addrs(a, z, out, CALL_ADDRS_MAX, n_host);
    struct call_info info;
    struct addr relayed, mapped;

    call_info(c, &info);
    if (z->is_loopback || a->relays == NULL || info.alloc_slot < 0 || n == CALL_ADDRS_MAX ||
        !relays_alloc_is_up(a->relays, (uint16_t)info.alloc_slot, &relayed, &mapped))
        return n;
    for (size_t i = 0; i < n; i++)
        if (addr_equal(&out[i], &mapped))
            return n;
    out[n++] = mapped; /* what the relay sees us at */
    return n;
}

static int on_allocate(void *arg, const struct call *c, int other, const struct addr *avoid, size_t n_avoid,
                       bool must_avoid)
{
    struct app *a = arg;

    (void)c;
    return a->relays != NULL ? relays_allocate(a->relays, a->now, other, avoid, n_avoid, must_avoid) : -1;
}

static void on_doubt(void *arg, const struct call *c, bool is_cut)
{
    struct app *a = arg;

    if (a->relays != NULL)
        relays_doubt(a->relays, a->now);
    if (is_cut)
        reach_astray(a, a->now, c);
}

static void on_release(void *arg, int slot)
{
    struct app *a = arg;

    if (a->relays != NULL)
        relays_release(a->relays, a->now, (uint16_t)slot);
}

static void on_judged(void *arg, int slot, double loss, double jitter_ms)
{
    struct app *a = arg;

    if (a->relays != NULL)
        relays_judge(a->relays, a->now, (uint16_t)slot, loss, jitter_ms);
}

static double on_line_loss(void *arg)
{
    struct app *a = arg;

    return a->relays != NULL ? relays_line_loss(a->relays) : 0;
}

static bool is_auto_answered(const struct app *a, const struct contact *who)
{
    if (a->config.mode == APP_ECHO)
        return true;
    for (size_t i = 0; i < config_len(a->settings, CFG_CALL_AUTO_ANSWER); i++) {
        const char *name = config_item(a->settings, CFG_CALL_AUTO_ANSWER, i);
        uint8_t id[KEY_BYTES];

        if (strcmp(name, who->name) == 0 ||
            (id_parse(name, id, NULL, NULL) == ERR_OK && memcmp(id, who->id, KEY_BYTES) == 0))
            return true;
    }
    return false;
}

static enum err on_incoming(void *arg, struct session *s, struct call *c, struct call_policy *policy,
                            struct call_audio *audio)
{
    struct app *a = arg;
    struct contact *who = app_contact_of(a, session_peer_id(s));

    if (who == NULL || who->list != CONTACT_ALLOWED || devices_is_hidden(a, who))
        return ERR_REFUSED;
    if (a->config.mode == APP_RELAY)
        return ERR_REFUSED;
    if (!config_bool(a->settings, CFG_CALL_WAITING) && calls_at(a->calls, 1) != NULL)
        return ERR_FULL;
    *policy = phone_policy(a, who, &a->zones[0]);
    if (a->config.audio != NULL)
        *audio = *a->config.audio;
    if (a->config.mode == APP_ECHO)
        audio->loop_ms = ECHO_LOOP_MS;
    if (is_auto_answered(a, who)) {
        call_set_user(c, a); /* marks it for phone_tick() */
        a->answer_at = a->now + (a->config.mode == APP_ECHO ? ECHO_ANSWER_NS : 0);
    } else if (a->config.ops.notify != NULL)
        a->config.ops.notify(a->config.ops.arg, "call", who->name);
    log_info(a->env, "call %u incoming", call_id(c));
    return ERR_OK;
}

void phone_tick(struct app *a, ns_t now)
{
    struct call *c;

    if (now < a->answer_at)
        return;
    a->answer_at = NS_NEVER;
    for (size_t i = 0; (c = calls_at(a->calls, i)) != NULL; i++)
        if (call_get_state(c) == CALL_INCOMING && call_user(c) == a)
            call_answer(c, now);
}

static void on_changed(void *arg, struct call *c)
{
    event_call(arg, c);
}

/* The session of a call that is over stays as a link when it stands. */
static void leave_session(struct app *a, const struct call *c)
{
    struct peer *p = peer_of_call(a, c);

    if (p == NULL)
        return;
    p->call = NULL;
    if (!p->is_up)
        reach_stop(p, a->now);
}

static void on_branch_over(void *arg, struct call *c)
{
    leave_session(arg, c);
}

/* Every attempt is in the history with its cause, failed ones too. */
static void on_ended(void *arg, struct call *c)
{
    struct app *a = arg;
    struct contact *who = app_contact_of(a, call_peer(c));
    struct call_info info;
    cJSON *row = json_call(a, c);

    call_info(c, &info);
    log_info(a->env, "call %u ended: %s", info.id, call_cause_token(info.cause));
    if (info.cause == CAUSE_MISSED)
        a->missed++;
    if (who != NULL)
        who->last_call_ms = info.started_ms;
    app_save_state_soon(a);
    if (a->config.mode != APP_ECHO)
        history_add_take(a->history, row, NULL);
    else
        cJSON_Delete(row);
    leave_session(a, c);
}

static void on_media_fd(void *arg, struct call *c, int fd, bool is_on)
{
    struct app *a = arg;

    a->config.ops.media_fd(a->config.ops.arg, call_id(c), fd, is_on);
}

void phone_calls_config(const struct app *a, struct calls_config *out)
{
    *out = (struct calls_config){.name = config_str(a->settings, CFG_IDENTITY_NAME),
                                 .drive = a->config.drive,
                                 .input = config_str(a->settings, CFG_AUDIO_INPUT),
                                 .output = config_str(a->settings, CFG_AUDIO_OUTPUT),
                                 .ring_device = config_str(a->settings, CFG_AUDIO_RING_DEVICE),
                                 .bitrate = (uint32_t)config_int(a->settings, CFG_AUDIO_BITRATE),
                                 .frame_ms = (unsigned)config_int(a->settings, CFG_AUDIO_FRAME_MS),
                                 .jitter_min_ms = (unsigned)config_int(a->settings, CFG_AUDIO_JITTER_MIN_MS),
                                 .jitter_max_ms = (unsigned)config_int(a->settings, CFG_AUDIO_JITTER_MAX_MS),
                                 .has_fec = config_bool(a->settings, CFG_AUDIO_FEC),
                                 .is_variable = config_bool(a->settings, CFG_AUDIO_DTX),
                                 .has_echo_cancel = config_bool(a->settings, CFG_AUDIO_ECHO_CANCEL),
                                 .has_noise_suppress = config_bool(a->settings, CFG_AUDIO_NOISE_SUPPRESS),
                                 .is_silent = a->config.is_silent || a->config.mode != APP_PHONE,
                                 .ring_ns = (ns_t)config_int(a->settings, CFG_CALL_RING_S) * NS_PER_S};
    if (a->config.mode == APP_ECHO) { /* no device: it says again what it hears */
        out->input = out->output = "null";
        out->is_silent = true;
    }
}

void phone_create(struct app *a)
{
    struct calls_config config;
    struct calls_ops ops = {.arg = a,
                            .send = on_send,
                            .sip_send = on_sip_send,
                            .move_session = on_move_session,
                            .addrs = on_addrs,
                            .allocate = on_allocate,
                            .release = on_release,
                            .doubt = on_doubt,
                            .judged = on_judged,
                            .line_loss = on_line_loss,
                            .incoming = on_incoming,
                            .changed = on_changed,
                            .ended = on_ended,
                            .branch_over = on_branch_over,
                            .media_fd = a->config.ops.media_fd != NULL ? on_media_fd : NULL};
    char uri[ID_SIP_BYTES];

    phone_calls_config(a, &config);
    memcpy(config.identity, a->keys->identity.pub, 32);
    a->answer_at = NS_NEVER;
    config.uri = id_sip(a->keys->identity.pub, uri);
    a->calls = calls_create(&config, &ops, a->env);
}

/* ---- dialling ---- */

/* The Echo contact: a second phone in this process, met in a zone of its own. Started at its first call. */
static enum err echo_contact(struct app *a, ns_t now, struct err_detail *detail)
{
    struct contact *who;
    struct addr addr;
    enum err e;

    if (a->echo != NULL)
        return ERR_OK;
    if (a->config.ops.start_echo == NULL)
        return err_set(detail, ERR_NOT_FOUND, "There is no Echo contact here.");
    who = mem_alloc(sizeof *who);
    e = a->config.ops.start_echo(a->config.ops.arg, a->keys->identity.pub, who->id, who->T, &addr);
    if (e == ERR_OK)
        e = app_start_zone(a, &a->zones[1], APP_ECHO_ZONE, true, detail);
    if (e != ERR_OK) {
        mem_free(who);
        return err_set(detail, e, "The Echo contact cannot be started.");
    }
    who->has_T = true;
    snprintf(who->name, sizeof who->name, "%s", APP_ECHO_NAME);
    a->echo = who;
    dht_add_address(a->zones[1].dht, now, &addr);
    return ERR_OK;
}

static struct contact *guest_of(struct app *a, const uint8_t id[static 32])
{
    int slot = 0;

    for (int i = 0; i < GUESTS_MAX; i++)
        if (a->guests[i] == NULL)
            slot = i;
    if (a->guests[slot] != NULL) {
        reach_contact_gone(a, a->now, a->guests[slot]);
        mem_free(a->guests[slot]);
    }
    a->guests[slot] = mem_alloc(sizeof *a->guests[slot]);
    memcpy(a->guests[slot]->id, id, KEY_BYTES);
    a->guests[slot]->has_T = identity_pair_secret(&a->keys->identity, id, a->guests[slot]->T) == ERR_OK;
    return a->guests[slot];
}

static bool is_echo_name(const char *to)
{
    return strcmp(to, APP_ECHO_NAME) == 0 || strcmp(to, "Echo") == 0;
}

/* A petname, an ID, or a unique part of a petname. */
static enum err who_is(struct app *a, ns_t now, const char *to, struct contact **out,
                       struct err_detail *detail)
{
    uint8_t id[KEY_BYTES];
    enum err e;

    *out = contacts_find(a->contacts, to, detail);
    if (*out != NULL)
        return ERR_OK;
    if (is_echo_name(to)) {
        e = echo_contact(a, now, detail);
        *out = a->echo;
        return e;
    }
    if (id_parse(to, id, NULL, detail) == ERR_OK) {
        if (memcmp(id, a->keys->identity.pub, KEY_BYTES) == 0)
            return err_set(detail, ERR_REFUSED, "%s", ID_OWN_SENTENCE);
        *out = app_contact_of(a, id);
        if (*out == NULL)
            *out = guest_of(a, id);
        return ERR_OK;
    }
    if (strncasecmp(to, "ito1", 4) == 0 || strchr(to, ':') != NULL)
        return ERR_PARSE; /* meant as an ID: id_parse() said what is wrong */
    contacts_find(a->contacts, to, detail);
    return ERR_NOT_FOUND;
}

static bool is_online(const struct app *a)
{
    return dht_state(a->zones[0].dht) != DHT_ALONE || bridge_is_joined(a->bridge);
}

enum err phone_dial(struct app *a, ns_t now, const char *to, const struct call_audio *audio,
                    struct call **out, struct err_detail *detail)
{
    struct contact *who;
    struct call_policy policy;
    struct zone *z;
    enum err e = who_is(a, now, to, &who, detail);

    *out = NULL;
    if (e != ERR_OK)
        return e;
    if (who->list == CONTACT_BLOCKED)
        return err_set(detail, ERR_REFUSED, "%s is blocked. Allow first.",
                       who->name[0] ? who->name : "This ID");
    z = zone_of(a, who);
    policy = phone_policy(a, who, z);
    e = calls_dial(a->calls, now, who->id, &policy, audio != NULL ? audio : a->config.audio, out);
    if (e != ERR_OK)
        return err_set(detail, e, "Too many calls at once.");
    if (!z->is_loopback && !is_online(a)) {
        call_abort(*out, now, CAUSE_NO_NETWORK, NULL);
        return ERR_OK;
    }
    if (reach_start(a, now, who, z, *out) == NULL)
        call_abort(*out, now, CAUSE_INTERNAL, "too many sessions");
    return ERR_OK;
}

/* ---- requests ---- */

static void on_sent(void *arg, enum err e)
{
    struct peer *p = arg;
    struct call *c = p->call;
    struct app *a = p->app;
    struct inbox_entry entry = {.when_ms = env_wall_ms(a->env), .tries = 1};

    if (!p->is_used || c == NULL)
        return;
    if (e == ERR_OK) {
        memcpy(entry.id, p->id, KEY_BYTES);
        snprintf(entry.name, sizeof entry.name, "%s", p->contact != NULL ? p->contact->name : "");
        inbox_put_out(a->inbox, &entry, NULL);
    }
    p->call = NULL;
    reach_stop(p, a->now);
    call_abort(c, a->now, e == ERR_OK ? CAUSE_NOT_ALLOWED : CAUSE_NO_NETWORK, NULL);
}

/* Neither S nor a card: a stranger to them. The request is left, and the call says so when it is stored. */
enum err phone_request_sent(struct app *a, ns_t now, struct contact *who)
{
    struct peer *p = NULL;

    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].contact == who && a->peers[i].call != NULL)
            p = &a->peers[i];
    if (p == NULL)
        return ERR_STATE;
    call_connecting(p->call, now);
    return stranger_send(p->zone->stranger, now, who->id, config_str(a->settings, CFG_IDENTITY_NAME), "",
                         false, heirs_proof_for(a, who->id) != NULL, on_sent, p);
}
