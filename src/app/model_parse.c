#include "app/model_parse.h"

#include "base/utf8.h"

/* ---- members of JSON objects ---- */

void take_text(const cJSON *o, const char *key, char *out, size_t size)
{
    const char *text = json_str(o, key, "");

    utf8_clean(text, strlen(text), out, size);
}

int64_t take_int(const cJSON *o, const char *key)
{
    double d = json_num(o, key, -9e18);

    return d > -9e15 && d < 9e15 ? (int64_t)d : MODEL_UNKNOWN;
}

int64_t take_count(const cJSON *o, const char *key)
{
    int64_t n = take_int(o, key);

    return n == MODEL_UNKNOWN ? 0 : n;
}

int64_t take_time(const cJSON *o, const char *key)
{
    return model_time_ms(json_str(o, key, ""));
}

static double take_part(const cJSON *o, const char *key)
{
    return json_num(o, key, -1);
}

/* "yes", "no" or empty, from a bool or from one of these words. */
static void take_yes_no(const cJSON *o, const char *key, char out[static 8])
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

    out[0] = '\0';
    if (cJSON_IsBool(v))
        memcpy(out, cJSON_IsTrue(v) ? "yes" : "no", cJSON_IsTrue(v) ? 4 : 3);
    else
        take_text(o, key, out, 8);
}

static int digits(const char *at, int n)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        v = v * 10 + (at[i] - '0');
    }
    return v;
}

int64_t model_time_ms(const char *t)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    int64_t y, m, d, days;

    if (strlen(t) < sizeof shape || strchr(t, 'Z') == NULL)
        return MODEL_UNKNOWN;
    for (size_t i = 0; i + 1 < sizeof shape; i++) {
        if (shape[i] == 'd' ? t[i] < '0' || t[i] > '9' : t[i] != shape[i])
            return MODEL_UNKNOWN;
    }
    y = digits(t, 4);
    m = digits(t + 5, 2);
    d = digits(t + 8, 2);
    if (m < 1 || m > 12 || d < 1 || d > 31 || digits(t + 11, 2) > 23 || digits(t + 14, 2) > 59)
        return MODEL_UNKNOWN;
    /* Days of the proleptic Gregorian calendar since 1970: years begin in March, so that leap days end them. */
    y -= m <= 2;
    days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1 - 719468;
    return (((days * 24 + digits(t + 11, 2)) * 60 + digits(t + 14, 2)) * 60 + digits(t + 17, 2)) * 1000;
}

/* The place of a word in a list that ends in NULL, 0 when it is not there. */
static unsigned word_index(const char *word, const char *const *words)
{
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(word, words[i]) == 0)
            return i;
    }
    return 0;
}

enum model_presence parse_presence(const char *word)
{
    static const char *const words[] = {"unknown", "online", "away", "busy", "offline", NULL};

    return word_index(word, words);
}

static enum model_list list_of(const char *word)
{
    static const char *const words[] = {"", "allowed", "asked", "blocked", NULL};

    return word_index(word, words);
}

enum model_state parse_state(const char *word)
{
    static const char *const words[] = {"",        "looking_up", "connecting",  "ringing",      "incoming",
                                        "in_call", "held_local", "held_remote", "reconnecting", "ended",
                                        NULL};

    return word_index(word, words);
}

/* ---- one object each ---- */

void parse_contact(const cJSON *o, void *out)
{
    struct model_contact *c = out;
    const char *cause = json_str(o, "last_cause", "");

    TAKE(o, "id", c->id);
    TAKE(o, "name", c->name);
    TAKE(o, "claimed", c->claimed);
    TAKE(o, "former", c->former);
    TAKE(o, "code", c->safety);
    c->list = list_of(json_str(o, "list", ""));
    c->presence = parse_presence(json_str(o, "presence", ""));
    c->is_verified = json_bool(o, "verified", false);
    c->seen_ms = take_time(o, "seen");
    c->last_call_ms = take_time(o, "last_call");
    c->last_length_s = take_int(o, "last_length");
    c->last_missed = cause[0] != '\0' && strncmp(cause, "hangup", 6) != 0 &&
                     strcmp(json_str(o, "last_dir", "in"), "in") == 0;
}

static void parse_call_numbers(const cJSON *o, struct model_call *c)
{
    c->score = take_int(o, "score");
    c->volume_pct = take_int(o, "volume_pct");
    c->gain_pct = take_int(o, "gain_pct");
    c->ring_s = take_int(o, "ring_s");
    c->lost_s = take_int(o, "lost_s");
    c->jitter_ms = take_int(o, "jitter_ms");
    c->rtt_ms = take_int(o, "rtt_ms");
    c->delay_ms = take_int(o, "delay_ms");
    c->level_in_db = take_int(o, "level_in_db");
    c->level_out_db = take_int(o, "level_out_db");
    c->kbps_out = take_part(o, "kbps_out");
    c->kbps_in = take_part(o, "kbps_in");
    c->loss_in = take_part(o, "loss_in");
    c->loss_out = take_part(o, "loss_out");
}

void parse_call(const cJSON *o, void *out)
{
    struct model_call *c = out;

    c->id = take_count(o, "id");
    TAKE(o, "peer", c->peer);
    TAKE(o, "name", c->name);
    c->is_outgoing = strcmp(json_str(o, "dir", ""), "out") == 0;
    c->is_verified = json_bool(o, "verified", false);
    c->is_muted = json_bool(o, "muted", false);
    c->has_fec = json_bool(o, "fec", false);
    c->list = list_of(json_str(o, "list", ""));
    c->state = parse_state(json_str(o, "state", ""));
    c->since_ms = take_time(o, "since");
    c->end_ms = take_time(o, "end");
    c->length_s = take_int(o, "length");
    TAKE(o, "cause", c->cause);
    TAKE(o, "text", c->text);
    TAKE(o, "path", c->path);
    TAKE(o, "relay", c->relay);
    TAKE(o, "relay_name", c->relay_name);
    TAKE(o, "direct_failed", c->direct_failed);
    TAKE(o, "codec", c->codec);
    TAKE(o, "quality", c->quality);
    TAKE(o, "code", c->code);
    TAKE(o, "mic", c->mic);
    TAKE(o, "speaker", c->speaker);
    parse_call_numbers(o, c);
}

void parse_past_call(const cJSON *o, void *out)
{
    parse_call(o, out);
    ((struct model_call *)out)->state = STATE_ENDED;
}

void parse_request(const cJSON *o, void *out)
{
    struct model_request *r = out;

    r->n = take_count(o, "n");
    r->when_ms = take_time(o, "when");
    r->tries = take_int(o, "tries");
    TAKE(o, "id", r->id);
    TAKE(o, "name", r->name);
    TAKE(o, "wants", r->wants);
    TAKE(o, "state", r->state);
    TAKE(o, "note", r->note);
}

void parse_relay(const cJSON *o, void *out)
{
    struct model_relay *r = out;

    TAKE(o, "id", r->id);
    TAKE(o, "name", r->name);
    TAKE(o, "role", r->role);
    TAKE(o, "parts", r->parts);
    r->score = take_int(o, "score");
    r->rtt_ms = take_int(o, "rtt_ms");
    r->bytes = take_int(o, "bytes");
    r->answer = take_part(o, "answer");
}

void parse_voicemail(const cJSON *o, void *out)
{
    struct model_voicemail *v = out;

    v->n = take_count(o, "n");
    v->when_ms = take_time(o, "when");
    v->length_s = take_int(o, "length");
    v->position_s = take_count(o, "position");
    TAKE(o, "id", v->id);
    TAKE(o, "name", v->name);
    v->is_new = strcmp(json_str(o, "state", ""), "new") == 0;
    v->is_playing = json_bool(o, "playing", false);
}

void parse_message(const cJSON *o, void *out)
{
    struct model_message *g = out;

    g->n = take_count(o, "n");
    g->when_ms = take_time(o, "when");
    TAKE(o, "peer", g->peer);
    TAKE(o, "state", g->state);
    TAKE(o, "cause", g->cause);
    TAKE(o, "text", g->text);
    g->is_outgoing = strcmp(json_str(o, "dir", ""), "out") == 0;
}

/* A value as people write it: strings bare, everything else as JSON. */
static void take_value(const cJSON *o, const char *key, char *out, size_t size)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    char *text;

    if (v == NULL || cJSON_IsString(v)) {
        take_text(o, key, out, size);
        return;
    }
    text = cJSON_PrintUnformatted(v);
    if (text != NULL)
        utf8_clean(text, strlen(text), out, size);
    cJSON_free(text);
}

void parse_setting(const cJSON *o, void *out)
{
    struct model_setting *s = out;

    TAKE(o, "key", s->key);
    TAKE(o, "meaning", s->meaning);
    take_value(o, "value", s->value, sizeof s->value);
    take_value(o, "default", s->standard, sizeof s->standard);
}

void parse_forward(const cJSON *o, void *out)
{
    struct model_forward *f = out;

    f->n = take_count(o, "n");
    f->since_ms = take_time(o, "since");
    f->packets = take_int(o, "packets");
    f->lost = take_int(o, "lost");
    f->kbps = take_part(o, "kbps");
}

void parse_network(const cJSON *o, struct model_network *w)
{
    const cJSON *port, *ports = cJSON_GetObjectItemCaseSensitive(o, "ports");

    memset(w, 0, sizeof *w);
    TAKE(o, "state", w->state);
    TAKE(o, "nat", w->nat);
    TAKE(o, "ipv6", w->ipv6);
    TAKE(o, "reach_by", w->reach_by);
    take_yes_no(o, "reachable", w->reachable);
    w->since_ms = take_time(o, "since");
    w->peers = take_int(o, "peers");
    w->size_est = take_int(o, "size_est");
    w->size_low = take_int(o, "size_low");
    w->size_high = take_int(o, "size_high");
    w->tried = take_int(o, "tried");
    w->to_try = take_int(o, "to_try");
    w->lookups_ok = take_part(o, "lookups_ok");
    w->lookup_s = take_part(o, "lookup_s");
    cJSON_ArrayForEach(port, ports)
    {
        struct model_port *p = &w->ports[w->n_ports];

        if (w->n_ports == MODEL_PORTS_MAX)
            break;
        w->n_ports++;
        TAKE(port, "proto", p->proto);
        TAKE(port, "by", p->by);
        p->local = take_int(port, "local");
        p->external = take_int(port, "external");
        p->until_ms = take_time(port, "until");
    }
}

void parse_service(const cJSON *o, struct model_service *s)
{
    const cJSON *today = cJSON_GetObjectItemCaseSensitive(o, "today");
    const cJSON *month = cJSON_GetObjectItemCaseSensitive(o, "month");

    s->month_bytes = take_count(month, "bytes");
    s->month_max_bytes = take_int(month, "max_bytes");
    s->is_on = json_bool(o, "on", false);
    take_yes_no(o, "reachable", s->reachable);
    s->since_ms = take_time(o, "since");
    s->score = take_int(o, "score");
    s->calls = take_count(o, "calls");
    s->max_calls = take_int(o, "max_calls");
    s->max_kbps = take_int(o, "max_kbps");
    s->is_draining = json_bool(o, "draining", false);
    s->kbps_in = take_part(o, "kbps_in");
    s->kbps_out = take_part(o, "kbps_out");
    s->today_calls = take_count(today, "calls");
    s->today_bytes = take_count(today, "bytes");
    s->refused = take_count(today, "refused");
    s->refused_full = take_count(today, "refused_full");
    s->refused_not_allowed = take_count(today, "refused_not_allowed");
    s->failed = take_count(today, "failed");
}

void parse_totals(const cJSON *o, struct model_totals *t)
{
    t->given = take_int(o, "given");
    t->used = take_int(o, "used");
    t->balance = take_int(o, "balance");
}
