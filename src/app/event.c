/* app/event.c - what there is, and what happened, as JSON (UX.md §6). */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "app/devices.h"
#include "app/membership.h"
#include "base/mem.h"
#include "crypto/code.h"
#include "crypto/idtext.h"
#include "relay/favour_db.h"

#define FORWARDS_SHOWN 100

void json_time(cJSON *object, const char *key, int64_t wall_ms)
{
    char text[40];
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (wall_ms <= 0) {
        cJSON_AddNullToObject(object, key);
        return;
    }
    gmtime_r(&s, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    cJSON_AddStringToObject(object, key, text);
}

static cJSON *new_object(void)
{
    cJSON *v = cJSON_CreateObject();

    cJSON_AddNumberToObject(v, "v", 1);
    return v;
}

static void add_id(cJSON *v, const char *key, const uint8_t id[static 32])
{
    char text[ID_TEXT_BYTES];

    json_add_str(v, key, id_format(id, text));
}

static void add_node(cJSON *v, const char *key, const uint8_t *node)
{
    char text[NODE_TEXT_BYTES];

    json_add_str(v, key, node != NULL ? node_format(node, text) : NULL);
}

static void add_num(cJSON *v, const char *key, double value, bool is_known)
{
    if (is_known && isfinite(value))
        cJSON_AddNumberToObject(v, key, value);
    else
        cJSON_AddNullToObject(v, key);
}

static double rounded(double value, double unit)
{
    return round(value / unit) * unit;
}

void event_emit(struct app *a, cJSON *event)
{
    char *text;

    if (a->config.ops.event != NULL) {
        text = json_print(event);
        a->config.ops.event(a->config.ops.arg, text);
        mem_free(text);
    }
    cJSON_Delete(event);
}

static cJSON *new_event(const char *name)
{
    cJSON *v = new_object();

    cJSON_AddStringToObject(v, "ev", name);
    return v;
}

/* ---- calls ---- */

/* Our end of it is a port the router maps to us, the other's is no host beside us. */
static bool is_mapped(const struct app *a, const struct call_info *i)
{
    struct netinfo_mapping m;

    return i->path.local_type == CANDIDATE_SRFLX && !i->is_same_network && a->netinfo != NULL &&
           netinfo_mapping(a->netinfo, &m);
}

static const char *path_token(const struct app *a, const struct call_info *i)
{
    if (!i->has_path)
        return i->state >= CALL_IN_CALL && i->state < CALL_ENDED ? "checking" : NULL;
    if (i->path.is_relayed)
        return "relayed";
    if (i->is_ipv6)
        return "direct_ipv6";
    if (i->path.local_type == CANDIDATE_HOST && i->path.remote_type == CANDIDATE_HOST && i->is_same_network)
        return "direct_lan";
    return is_mapped(a, i) ? "direct_mapped" : "direct_punched";
}

static void add_stats(cJSON *v, const struct call_info *i)
{
    const struct stream_stats *s = &i->stats;
    bool is_known = i->has_media && s->n_in > 0, is_out = i->has_media && s->n_out > 0;

    json_add_str(v, "codec", i->has_media ? "opus" : NULL);
    add_num(v, "kbps_out", rounded(s->kbps_out, 0.1), is_out);
    add_num(v, "kbps_in", rounded(s->kbps_in, 0.1), is_known);
    add_num(v, "loss_in", rounded(s->loss_in, 0.001), is_known);
    add_num(v, "loss_out", rounded(s->loss_out, 0.001), is_known);
    add_num(v, "jitter_ms", round(s->jitter_ms), is_known);
    add_num(v, "rtt_ms", round(s->rtt_ms), s->rtt_ms >= 0 && is_known);
    add_num(v, "level_in_db", round(s->level_in_db), is_known);
    add_num(v, "level_out_db", round(s->level_out_db), is_out);
    json_add_str(v, "quality", i->has_media ? stream_quality_name(s->quality) : NULL);
}

static void add_extra(struct app *a, cJSON *v, const struct call_info *i, const uint8_t *relay)
{
    const struct contact *who = app_contact_of(a, i->peer);

    json_add_str(v, "text", i->text[0] != '\0' ? i->text : NULL);
    add_num(v, "delay_ms", round(i->stats.delay_ms), i->has_media && i->stats.delay_ms >= 0);
    cJSON_AddBoolToObject(v, "muted", i->is_muted);
    add_num(v, "volume_pct", i->volume_pct, true);
    json_add_str(v, "mic", i->has_no_input ? "none" : config_str(a->settings, CFG_AUDIO_INPUT));
    json_add_str(v, "speaker", i->has_no_output ? "none" : config_str(a->settings, CFG_AUDIO_OUTPUT));
    cJSON_AddBoolToObject(v, "fec", i->stats.has_fec);
    if (relay != NULL) {
        int score = relays_score(a->relays, relay);

        add_num(v, "score", score, score >= 0);
    }
    add_num(v, "ring_s",
            i->rang_ms > 0 ? (double)((i->rang_ms + 999) / 1000)
                           : (double)config_int(a->settings, CFG_CALL_RING_S),
            true);
    json_add_str(v, "list", who == NULL ? NULL : who->list == CONTACT_BLOCKED ? "blocked" : "allowed");
}

cJSON *json_call(struct app *a, const struct call *c)
{
    cJSON *v = cJSON_CreateObject();
    const struct contact *who;
    const uint8_t *relay = NULL;
    struct call_info i;
    char code[8];

    call_info(c, &i);
    who = app_contact_of(a, i.peer);
    if (i.has_path && i.path.is_relayed && a->relays != NULL) {
        relay =
            i.uses_alloc && i.alloc_slot >= 0 ? relays_alloc_node(a->relays, (uint16_t)i.alloc_slot) : NULL;
        relay = relay != NULL ? relay : relays_at(a->relays, &i.remote);
    }
    cJSON_AddNumberToObject(v, "id", i.id);
    add_id(v, "peer", i.peer);
    json_add_str(v, "name", who != NULL && who->name[0] != '\0' ? who->name : NULL);
    json_add_str(v, "dir", i.is_outgoing ? "out" : "in");
    json_add_str(v, "state", call_state_token(i.state));
    json_time(v, "since",
              i.state == CALL_IN_CALL ? i.answered_ms
              : i.state == CALL_ENDED ? i.started_ms
                                      : i.since_ms);
    json_add_str(v, "cause", call_cause_token(i.cause));
    json_add_str(v, "path", path_token(a, &i));
    add_node(v, "relay", relay);
    add_stats(v, &i);
    snprintf(code, sizeof code, "%06u", i.code % 1000000);
    json_add_str(v, "code", i.has_code ? code : NULL);
    cJSON_AddBoolToObject(v, "verified", who != NULL && who->is_verified);
    if (i.state == CALL_ENDED) {
        json_time(v, "end", i.ended_ms);
        add_num(v, "length", i.answered_ms > 0 ? (double)((i.ended_ms - i.answered_ms) / 1000) : 0, true);
    }
    add_extra(a, v, &i, relay);
    return v;
}

void event_call(struct app *a, const struct call *c)
{
    cJSON *v;

    if (a->config.ops.event == NULL)
        return;
    v = new_event("call");
    cJSON_AddItemToObject(v, "call", json_call(a, c));
    event_emit(a, v);
}

/* ---- contacts ---- */

static const char *presence_token(const struct app *a, const struct contact *who)
{
    static const char *const tokens[] = {NULL, "online", "away", "busy", "offline"};

    if (who == a->echo)
        return "online";
    return tokens[reach_presence(a, who)];
}

/* How the last call with them went; Echo has a new ID at each start, so it is known by its name. */
static void add_last_call(const struct app *a, cJSON *v, const char *peer, const char *name)
{
    const cJSON *row, *last = NULL;

    for (size_t i = 0; last == NULL && (row = history_at(a->history, i)) != NULL; i++) {
        const char *key = peer != NULL ? "peer" : "name";

        if (strcmp(json_str(row, key, ""), peer != NULL ? peer : name) == 0)
            last = row;
    }
    json_add_str(v, "last_call", json_str(last, "since", NULL));
    add_num(v, "last_length", json_num(last, "length", 0), json_num(last, "length", 0) > 0);
    json_add_str(v, "last_cause", json_str(last, "cause", NULL));
    json_add_str(v, "last_dir", json_str(last, "dir", NULL));
}

static cJSON *echo_json(struct app *a)
{
    cJSON *v = cJSON_CreateObject();

    if (a->echo != NULL)
        add_id(v, "id", a->echo->id);
    else
        json_add_str(v, "id", NULL);
    json_add_str(v, "name", APP_ECHO_NAME);
    json_add_str(v, "list", "allowed");
    cJSON_AddBoolToObject(v, "verified", false);
    json_add_str(v, "presence", "online");
    json_time(v, "seen", env_wall_ms(a->env));
    add_last_call(a, v, NULL, APP_ECHO_NAME);
    return v;
}

cJSON *json_contact(struct app *a, const struct contact *who)
{
    cJSON *v = cJSON_CreateObject();
    char code[SAFETY_NUMBER_BYTES], id[ID_TEXT_BYTES];

    json_add_str(v, "id", id_format(who->id, id));
    json_add_str(v, "name", who->name[0] != '\0' ? who->name : NULL);
    json_add_str(v, "list", who->list == CONTACT_BLOCKED ? "blocked" : who->has_S ? "allowed" : "asked");
    cJSON_AddBoolToObject(v, "verified", who->is_verified);
    json_add_str(v, "presence", presence_token(a, who));
    json_time(v, "seen", who->seen_ms);
    add_last_call(a, v, id, NULL);
    json_add_str(v, "claimed", who->claimed[0] != '\0' ? who->claimed : NULL);
    json_add_str(v, "former", secret_is_zero(who->former, KEY_BYTES) ? NULL : id_format(who->former, id));
    if (a->keys != NULL)
        json_add_str(v, "code", safety_number(a->keys->identity.pub, who->id, code));
    return v;
}

cJSON *json_contacts(struct app *a)
{
    cJSON *v = new_object(), *list = cJSON_AddArrayToObject(v, "contacts");

    for (size_t i = 0; i < contacts_count(a->contacts); i++)
        cJSON_AddItemToArray(list, json_contact(a, contacts_at(a->contacts, i)));
    if (a->config.ops.start_echo != NULL)
        cJSON_AddItemToArray(list, echo_json(a));
    return v;
}

/* Asked by `notify`, and here now: told once. */
static bool is_waited_for(struct app *a, const struct contact *who)
{
    if (reach_presence(a, who) != PRESENCE_NEWS_ONLINE)
        return false;
    for (unsigned i = 0; i < a->n_told; i++) {
        if (memcmp(a->told[i], who->id, KEY_BYTES) != 0)
            continue;
        memmove(a->told[i], a->told[--a->n_told], KEY_BYTES);
        return true;
    }
    return false;
}

void event_device(struct app *a, const char *state, const uint32_t *code, const char *name)
{
    cJSON *event = new_object();
    char digits[8];

    json_add_str(event, "ev", "device");
    json_add_str(event, "state", state);
    if (code != NULL)
        snprintf(digits, sizeof digits, "%06u", *code % 1000000);
    json_add_str(event, "code", code != NULL ? digits : NULL);
    json_add_str(event, "name", name);
    event_emit(a, event);
}

void event_presence(struct app *a, const struct contact *who)
{
    if (devices_is_hidden(a, who))
        return;
    devices_lists_changed(a); /* a name, or a mark, may be another one */
    cJSON *v;

    if (a->config.ops.event == NULL)
        return;
    v = new_event("presence");
    cJSON_AddItemToObject(v, "contact", who != NULL ? json_contact(a, who) : cJSON_CreateNull());
    if (who != NULL && is_waited_for(a, who)) {
        cJSON_AddBoolToObject(v, "notify", true);
        if (a->config.ops.notify != NULL)
            a->config.ops.notify(a->config.ops.arg, "online", who->name);
    }
    event_emit(a, v);
}

void event_succeeded(struct app *a, const struct contact *who)
{
    char id[ID_TEXT_BYTES];
    cJSON *v, *heir;

    if (a->config.ops.event == NULL)
        return;
    v = new_event("presence");
    cJSON_AddItemToObject(v, "contact", cJSON_CreateNull());
    heir = cJSON_AddObjectToObject(v, "succeeded");
    json_add_str(heir, "id", id_format(who->id, id));
    json_add_str(heir, "name", who->name[0] != '\0' ? who->name : NULL);
    json_add_str(heir, "former", id_format(who->former, id));
    event_emit(a, v);
}

/* ---- requests ---- */

static cJSON *request_json(const struct inbox_entry *e, size_t n)
{
    cJSON *v = cJSON_CreateObject();

    cJSON_AddNumberToObject(v, "n", (double)n);
    add_id(v, "id", e->id);
    json_add_str(v, "name", e->name[0] != '\0' ? e->name : NULL);
    json_time(v, "when", e->when_ms);
    json_add_str(v, "wants", e->wants_contact ? "contact" : "call");
    cJSON_AddNumberToObject(v, "tries", e->tries);
    json_add_str(v, "note", e->note);
    return v;
}

cJSON *json_requests(struct app *a)
{
    static const char *const names[2] = {"in", "out"};
    cJSON *v = new_object();

    for (int out = 0; out < 2; out++) {
        cJSON *list = cJSON_AddArrayToObject(v, names[out]);

        for (size_t i = 0; i < inbox_count(a->inbox, out); i++)
            cJSON_AddItemToArray(list, request_json(inbox_at(a->inbox, out, i), i + 1));
    }
    cJSON_AddNumberToObject(v, "dropped_today", inbox_dropped_today(a->inbox, env_wall_ms(a->env)));
    return v;
}

void event_request(struct app *a)
{
    const struct inbox_entry *newest = inbox_at(a->inbox, false, 0);
    cJSON *v = new_event("request");

    cJSON_AddNumberToObject(v, "requests", (double)inbox_count(a->inbox, false));
    if (newest != NULL)
        cJSON_AddItemToObject(v, "request", request_json(newest, 1));
    event_emit(a, v);
}

/* Until when we are a member of a closed zone, in words when that is over. */
static void json_member(const struct app *a, cJSON *v)
{
    struct err_detail words = {""};
    bool is_valid = membership_is_valid(a->zones[0].until_day, env_wall_ms(a->env), &words);
    char day[16];

    if (is_valid)
        snprintf(words.text, sizeof words.text, "of the zone until %s",
                 membership_day(a->zones[0].until_day, day));
    json_add_str(v, "member", words.text);
    cJSON_AddBoolToObject(v, "member_valid", is_valid);
}

/* ---- network, relays, ledger ---- */

cJSON *json_network(struct app *a)
{
    static const char *const states[] = {"joining", "joined", "offline"};
    cJSON *v = cJSON_CreateObject();
    struct dht_stats s = {0};
    bool is_online = !a->config.is_offline;

    if (is_online)
        dht_stats(a->zones[0].dht, &s);
    if (a->zones[0].is_closed)
        json_member(a, v);
    json_add_str(v, "state", is_online ? states[dht_state(a->zones[0].dht)] : "offline");
    add_num(v, "peers", s.peers, is_online);
    add_num(v, "size_est", s.size, s.size > 0);
    add_num(v, "size_low", s.size_low, s.size > 0);
    add_num(v, "size_high", s.size_high, s.size > 0);
    json_network_path(a, v);
    if (a->keepers != NULL)
        cJSON_AddItemToObject(v, "record", json_record(a));
    json_time(v, "since", a->joined_ms);
    add_num(v, "lookups_ok", s.lookups > 0 ? (double)s.lookups_ok / (double)s.lookups : 0, s.lookups > 0);
    add_num(v, "lookup_s", (double)s.lookup_ns / NS_PER_S, s.lookups_ok > 0);
    return v;
}

void event_network(struct app *a)
{
    cJSON *v;

    if (a->config.ops.event == NULL || a->config.mode == APP_ECHO)
        return;
    if (dht_state(a->zones[0].dht) == a->last_state && a->now > 0 && a->now < a->lookup_due)
        return; /* the numbers move slowly: once in ten seconds, the state at once */
    a->last_state = dht_state(a->zones[0].dht);
    a->lookup_due = a->now + 10 * NS_PER_S;
    v = new_event("network");
    cJSON_AddItemToObject(v, "network", json_network(a));
    event_emit(a, v);
}

void event_relay(struct app *a)
{
    cJSON *v;

    if (a->config.ops.event == NULL || a->service == NULL)
        return;
    v = new_event("relay");
    cJSON_AddItemToObject(v, "relay", json_relay(a));
    event_emit(a, v);
}

/* Whose calls they are is not known here, and not said. */
static void add_forwards(struct app *a, cJSON *v)
{
    struct service_call calls[FORWARDS_SHOWN];
    size_t n = service_calls(a->service, a->now, calls, FORWARDS_SHOWN);
    cJSON *list = cJSON_AddArrayToObject(v, "forwards");

    for (size_t i = 0; i < n; i++) {
        cJSON *f = cJSON_CreateObject();

        cJSON_AddNumberToObject(f, "n", calls[i].number);
        json_time(f, "since", env_wall_ms(a->env) - (int64_t)(calls[i].age / NS_PER_MS));
        cJSON_AddNumberToObject(f, "kbps", calls[i].kbps);
        cJSON_AddNumberToObject(f, "packets", (double)calls[i].packets);
        cJSON_AddNumberToObject(f, "lost", (double)calls[i].lost);
        cJSON_AddItemToArray(list, f);
    }
}

cJSON *json_relay(struct app *a)
{
    cJSON *v = cJSON_CreateObject(), *today, *month;
    struct service_stats s;

    cJSON_AddBoolToObject(v, "on", a->service_is_relay);
    if (!a->service_is_relay)
        return v;
    service_stats(a->service, a->now, &s);
    json_time(v, "since", a->relay_since_ms > 0 ? a->relay_since_ms : a->started_ms);
    cJSON_AddBoolToObject(v, "draining", s.is_draining);
    add_num(v, "score", s.my_score, s.my_score >= 0);
    cJSON_AddNumberToObject(v, "calls", s.calls);
    cJSON_AddNumberToObject(v, "max_calls", s.max_calls);
    cJSON_AddNumberToObject(v, "kbps_in", s.in_kbps);
    cJSON_AddNumberToObject(v, "kbps_out", s.out_kbps);
    cJSON_AddNumberToObject(v, "max_kbps", s.max_kbps);
    today = cJSON_AddObjectToObject(v, "today");
    cJSON_AddNumberToObject(today, "calls", s.calls_today);
    cJSON_AddNumberToObject(today, "bytes", (double)s.bytes_today);
    cJSON_AddNumberToObject(today, "refused", s.refused_full_today + s.refused_not_allowed_today);
    cJSON_AddNumberToObject(today, "refused_full", s.refused_full_today);
    cJSON_AddNumberToObject(today, "refused_not_allowed", s.refused_not_allowed_today);
    cJSON_AddNumberToObject(today, "failed", s.failed_today);
    month = cJSON_AddObjectToObject(v, "month");
    cJSON_AddNumberToObject(month, "bytes", (double)s.bytes_month);
    cJSON_AddNumberToObject(month, "max_bytes", (double)config_int(a->settings, CFG_RELAY_MONTHLY_GB) * 1e9);
    cJSON_AddBoolToObject(month, "is_used_up", s.is_over_budget);
    cJSON_AddNumberToObject(v, "load_pct", s.load_pct);
    add_forwards(a, v);
    return v;
}

/* As whom a relay served us, or we somebody: words of LEDGER.md §7. */
static const char *class_word(int admission)
{
    static const char *const words[] = {"guest", "creditor", "stranger", "audit"};

    return admission >= 0 && admission < 4 ? words[admission] : NULL;
}

cJSON *json_relays(struct app *a)
{
    cJSON *v = new_object(), *list = cJSON_AddArrayToObject(v, "relays");
    struct relays_row rows[RELAYS_KNOWN];
    size_t n = a->relays != NULL ? relays_rows(a->relays, rows, RELAYS_KNOWN) : 0;

    for (size_t i = 0; i < n; i++) {
        cJSON *r = cJSON_CreateObject();

        add_node(r, "id", rows[i].node);
        json_add_str(r, "name", NULL);
        add_num(r, "score", rows[i].score, rows[i].score >= 0);
        add_num(r, "answer", rows[i].answered, rows[i].score >= 0);
        add_num(r, "rtt_ms", round(rows[i].rtt_ms), rows[i].rtt_ms >= 0);
        cJSON_AddNumberToObject(r, "bytes", (double)rows[i].bytes);
        json_add_str(r, "role", rows[i].role);
        json_add_str(r, "class", class_word(rows[i].admission));
        add_num(r, "load", rows[i].load_pct / 100.0, rows[i].load_pct > 0 || rows[i].admission >= 0);
        cJSON_AddNumberToObject(r, "credit_min", round(rows[i].credit_s / 6) / 10);
        cJSON_AddBoolToObject(r, "refusing", rows[i].is_refusing);
        cJSON_AddNumberToObject(r, "heard", (double)rows[i].n_heard);
        cJSON_AddItemToArray(list, r);
    }
    return v;
}

struct ledger_list {
    cJSON *rows;
    struct app *app;
    double owed_s; /* to us, by all who owe */
};

static double minutes(double slot_s)
{
    return round(slot_s / 6) / 10;
}

static void ledger_row_json(void *arg, const struct ledger_row *row)
{
    struct ledger_list *list = arg;
    cJSON *v = cJSON_CreateObject();
    const struct statement *s = &row->head;
    struct ledger_account account = row->account;
    double avail;

    add_node(v, "id", row->peer);
    cJSON_AddNumberToObject(v, "given", (double)row->given_bytes);
    cJSON_AddNumberToObject(v, "used", (double)row->used_bytes);
    if (row->has_head) {
        int me = memcmp(s->pk[0], row->me, 32) == 0 ? 0 : 1;

        cJSON_AddNumberToObject(v, "given_s", (double)s->served[me]);
        cJSON_AddNumberToObject(v, "used_s", (double)s->served[me ^ 1]);
        cJSON_AddNumberToObject(v, "seq", s->seq);
    }
    ledger_age(&account, (int32_t)(env_wall_ms(list->app->env) / 86400000));
    avail = ledger_avail(&account, LEDGER_KAPPA_LO);
    list->owed_s += account.debt_s > 0 ? account.debt_s : 0;
    cJSON_AddNumberToObject(v, "owes_us_min", minutes(account.debt_s)); /* negative: we owe */
    cJSON_AddNumberToObject(v, "credit_here_min", minutes(avail));      /* what we would let it use */
    json_add_str(v, "class", class_word(avail >= LEDGER_TRANCHE_S ? LEDGER_CREDITOR : LEDGER_STRANGER));
    cJSON_AddItemToArray(list->rows, v);
}

static void pass_json(void *arg, const struct favour_pass *p)
{
    struct ledger_list *list = arg;
    cJSON *v = cJSON_CreateObject();
    char id[ID_TEXT_BYTES];

    add_node(v, "relay", p->relay);
    json_add_str(v, "contact", id_format(p->contact, id));
    cJSON_AddItemToArray(list->rows, v);
}

static void line_json(void *arg, const struct sponsor_line *line)
{
    struct ledger_list *list = arg;
    cJSON *v = cJSON_CreateObject();
    int32_t today = (int32_t)(env_wall_ms(list->app->env) / 86400000);

    add_node(v, "sponsor", line->sponsor);
    cJSON_AddNumberToObject(v, "minutes", minutes(line->line_s));
    cJSON_AddNumberToObject(v, "days", line->per_days);
    cJSON_AddNumberToObject(
        v, "drawn_min",
        minutes(favour_db_drawn(list->app->ledger, line->sponsor, today - (int32_t)line->per_days)));
    cJSON_AddItemToArray(list->rows, v);
}

static void given_json(void *arg, const struct favour_given *g)
{
    struct ledger_list *list = arg;
    cJSON *v;
    char id[ID_TEXT_BYTES];
    struct ledger_row row = {0};

    if (g->line_s == 0)
        return;
    v = cJSON_CreateObject();
    json_add_str(v, "contact", id_format(g->contact, id));
    cJSON_AddNumberToObject(v, "minutes", minutes(g->line_s));
    cJSON_AddNumberToObject(v, "days", g->per_days);
    cJSON_AddBoolToObject(v, "taken", g->has_account);
    if (g->has_account)
        ledger_db_get(list->app->ledger, dht_key(list->app->zones[0].dht), g->account, &row);
    cJSON_AddNumberToObject(v, "covered_min", minutes(row.account.sponsor_s)); /* by what others owe us */
    cJSON_AddNumberToObject(v, "used_min", minutes(row.account.debt_s));
    cJSON_AddItemToArray(list->rows, v);
}

cJSON *json_ledger(struct app *a)
{
    struct ledger_list list = {.app = a};
    cJSON *v = new_object();
    struct ledger_totals t = {0};

    if (a->ledger != NULL)
        ledger_db_totals(a->ledger, &t);
    cJSON_AddNumberToObject(v, "given", (double)t.given_bytes);
    cJSON_AddNumberToObject(v, "used", (double)t.used_bytes);
    cJSON_AddNumberToObject(v, "balance", (double)t.given_bytes - (double)t.used_bytes);
    list.rows = cJSON_AddArrayToObject(v, "peers");
    if (a->ledger != NULL)
        ledger_db_each(a->ledger, ledger_row_json, &list);
    cJSON_AddNumberToObject(v, "credit_min", minutes(list.owed_s));
    list.rows = cJSON_AddArrayToObject(v, "passes");
    if (a->ledger != NULL)
        favour_db_each_pass(a->ledger, pass_json, &list);
    list.rows = cJSON_AddArrayToObject(v, "sponsored_by");
    if (a->ledger != NULL)
        favour_db_each_line(a->ledger, line_json, &list);
    list.rows = cJSON_AddArrayToObject(v, "sponsors");
    if (a->ledger != NULL)
        favour_db_each_given(a->ledger, given_json, &list);
    return v;
}

/* ---- the rest ---- */

/* "files": the ABI of Landlock, or null. */
static void add_confinement(const struct app *a, cJSON *v)
{
    const struct app_confinement *c = &a->confinement;
    cJSON *o;

    if (!c->is_known) {
        cJSON_AddNullToObject(v, "confinement");
        return;
    }
    o = cJSON_AddObjectToObject(v, "confinement");
    cJSON_AddBoolToObject(o, "no_new_privileges", c->no_new_privileges);
    cJSON_AddBoolToObject(o, "system_calls", c->has_filter);
    add_num(o, "files", c->landlock, c->landlock > 0);
}

cJSON *json_status(struct app *a)
{
    static const char *const modes[] = {"phone", "daemon", "relay", "echo"};
    cJSON *v = new_object(), *list;
    struct call *c;

    add_id(v, "id", a->keys->identity.pub);
    json_add_str(v, "name", config_str(a->settings, CFG_IDENTITY_NAME));
    json_add_str(v, "mode", modes[a->config.mode]);
    cJSON_AddItemToObject(v, "network", json_network(a));
    list = cJSON_AddArrayToObject(v, "calls");
    for (size_t i = 0; a->calls != NULL && (c = calls_at(a->calls, i)) != NULL; i++)
        cJSON_AddItemToArray(list, json_call(a, c));
    cJSON_AddNumberToObject(v, "requests", (double)inbox_count(a->inbox, false));
    cJSON_AddNumberToObject(v, "missed", a->missed);
    cJSON_AddNumberToObject(v, "voicemail", 0);
    cJSON_AddItemToObject(v, "relay", json_relay(a));
    add_confinement(a, v);
    return v;
}

cJSON *json_history(struct app *a)
{
    cJSON *v = new_object(), *list = cJSON_AddArrayToObject(v, "calls");

    for (size_t i = 0; i < history_count(a->history); i++)
        cJSON_AddItemToArray(list, cJSON_Duplicate(history_at(a->history, i), true));
    return v;
}

cJSON *json_config(struct app *a)
{
    cJSON *v = new_object(), *list;

    json_add_str(v, "file", "config.json");
    list = cJSON_AddArrayToObject(v, "keys");
    for (int k = 0; k < CFG_COUNT; k++) {
        cJSON *row = cJSON_CreateObject();
        char *value = config_json(a->settings, k);
        cJSON *text = cJSON_Parse(value);

        json_add_str(row, "key", config_info(k)->key);
        json_add_str(row, "value", cJSON_IsString(text) ? text->valuestring : value);
        json_add_str(row, "default", config_info(k)->default_json);
        json_add_str(row, "meaning", config_info(k)->meaning);
        cJSON_AddItemToArray(list, row);
        cJSON_Delete(text);
        mem_free(value);
    }
    return v;
}
