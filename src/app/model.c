#include "app/model.h"

#include <stdlib.h>

#include "app/model_parse.h"
#include "base/mem.h"

#define HISTORY_MAX  1000
#define MESSAGES_MAX 500

struct model {
    struct model_self self;
    struct model_network network;
    struct model_service service;
    struct model_totals totals;
    struct model_contact *contacts;
    struct model_call calls[MODEL_CALLS_MAX], ended, *history;
    struct model_request *in, *out;
    struct model_relay *relays;
    struct model_voicemail *voicemails;
    struct model_message *messages, news;
    struct model_setting *settings;
    size_t n_contacts, n_calls, n_history, n_in, n_out, n_relays, n_voicemails, n_messages, n_settings;
    int64_t dropped;
    char settings_file[MODEL_TEXT_BYTES];
    int (*contact_order)(const void *, const void *);
};

static bool has(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key) != NULL;
}

/* Every object of an array through parse(); at most max; the old array is freed. */
static void replace_list(const cJSON *array, size_t max, size_t size, void (*parse)(const cJSON *, void *),
                         void **rows, size_t *n)
{
    const cJSON *o;

    mem_free(*rows);
    *rows = mem_array((size_t)cJSON_GetArraySize(array) + 1, size);
    *n = 0;
    cJSON_ArrayForEach(o, array)
    {
        if (cJSON_IsObject(o) && *n < max)
            parse(o, (char *)*rows + size * (*n)++);
    }
}

#define REPLACE(array, max, parse, rows, n)                        \
    do {                                                           \
        void *rows_ = rows;                                        \
        replace_list(array, max, sizeof *rows, parse, &rows_, &n); \
        rows = rows_;                                              \
    } while (0)

/* ---- status ---- */

static void take_service(const cJSON *o, struct model_service *s)
{
    const cJSON *forwards = cJSON_GetObjectItemCaseSensitive(o, "forwards");

    parse_service(o, s);
    REPLACE(forwards, MODEL_ROWS_MAX, parse_forward, s->forwards, s->n_forwards);
}

static enum err take_status(struct model *m, const cJSON *answer)
{
    /* Wrapped in an answer, where "id" is the number of the request; bare in `ito status --json`. */
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(answer, "status"),
                *o = inner != NULL ? inner : answer;
    const cJSON *network = cJSON_GetObjectItemCaseSensitive(o, "network"), *call;
    const cJSON *relay = cJSON_GetObjectItemCaseSensitive(o, "relay");

    TAKE(o, "id", m->self.id);
    TAKE(o, "name", m->self.name);
    TAKE(o, "mode", m->self.mode);
    m->self.requests = take_count(o, "requests");
    m->self.missed = take_count(o, "missed");
    m->self.voicemail = take_count(o, "voicemail");
    parse_network(network, &m->network);
    if (relay != NULL)
        take_service(relay, &m->service);
    m->n_calls = 0;
    memset(m->calls, 0, sizeof m->calls);
    cJSON_ArrayForEach(call, cJSON_GetObjectItemCaseSensitive(o, "calls"))
    {
        if (m->n_calls < MODEL_CALLS_MAX && parse_state(json_str(call, "state", "")) != STATE_ENDED)
            parse_call(call, &m->calls[m->n_calls++]);
    }
    return cJSON_IsObject(network) ? ERR_OK : ERR_PARSE;
}

/* ---- contacts ---- */

static int by_name(const void *a, const void *b)
{
    const struct model_contact *x = a, *y = b;
    int order = strcmp(x->name[0] ? x->name : x->claimed, y->name[0] ? y->name : y->claimed);

    return order != 0 ? order : strcmp(x->id, y->id);
}

static int later_first(int64_t a, int64_t b)
{
    return (a < b) - (a > b);
}

static int by_seen(const void *a, const void *b)
{
    const struct model_contact *x = a, *y = b;
    int order = later_first(x->presence == PRESENCE_ONLINE ? INT64_MAX : x->seen_ms,
                            y->presence == PRESENCE_ONLINE ? INT64_MAX : y->seen_ms);

    return order != 0 ? order : by_name(a, b);
}

/* Online first, then those whose device is on, then the others, blocked ones last. */
static int rank(const struct model_contact *c)
{
    if (c->list == LIST_BLOCKED)
        return 3;
    return c->presence == PRESENCE_ONLINE                                 ? 0
           : c->presence == PRESENCE_AWAY || c->presence == PRESENCE_BUSY ? 1
                                                                          : 2;
}

static int by_state(const void *a, const void *b)
{
    const struct model_contact *x = a, *y = b;
    int order = rank(x) - rank(y);

    if (order == 0)
        order = later_first(x->last_call_ms, y->last_call_ms);
    return order != 0 ? order : by_name(a, b);
}

static void sort_contacts(struct model *m)
{
    if (m->n_contacts > 1)
        qsort(m->contacts, m->n_contacts, sizeof *m->contacts, m->contact_order);
}

void model_sort_contacts(struct model *m, const char *by)
{
    m->contact_order = strcmp(by, "name") == 0 ? by_name : strcmp(by, "seen") == 0 ? by_seen : by_state;
    sort_contacts(m);
}

static struct model_contact *contact_at(const struct model *m, const char *id)
{
    for (size_t i = 0; i < m->n_contacts; i++) {
        if (id[0] != '\0' && strcmp(m->contacts[i].id, id) == 0)
            return &m->contacts[i];
    }
    return NULL;
}

const struct model_contact *model_contact_by_id(const struct model *m, const char *id)
{
    return contact_at(m, id);
}

const struct model_contact *model_contact_find(const struct model *m, const char *text)
{
    const struct model_contact *found = contact_at(m, text);
    size_t n = 0;

    for (size_t i = 0; found == NULL && i < m->n_contacts; i++) {
        if (text[0] != '\0' && strcmp(m->contacts[i].name, text) == 0)
            return &m->contacts[i];
    }
    for (size_t i = 0; n < 2 && i < m->n_contacts && text[0] != '\0'; i++) {
        if (strstr(m->contacts[i].name, text) != NULL) {
            n++;
            found = &m->contacts[i];
        }
    }
    return n < 2 ? found : NULL;
}

/* ---- answers and events ---- */

static enum err take_requests(struct model *m, const cJSON *o)
{
    const cJSON *in = cJSON_GetObjectItemCaseSensitive(o, "in");
    const cJSON *out = cJSON_GetObjectItemCaseSensitive(o, "out");

    if (in == NULL)
        in = cJSON_GetObjectItemCaseSensitive(o, "requests");
    if (!cJSON_IsArray(in))
        return ERR_PARSE;
    REPLACE(in, MODEL_ROWS_MAX, parse_request, m->in, m->n_in);
    REPLACE(out, MODEL_ROWS_MAX, parse_request, m->out, m->n_out);
    m->dropped = take_count(o, "dropped_today");
    m->self.requests = (int64_t)m->n_in;
    return ERR_OK;
}

enum err model_answer(struct model *m, const char *cmd, const cJSON *o)
{
    static const char *const lists[][2] = {{"contacts", "contacts"}, {"history", "calls"},
                                           {"relays", "relays"},     {"voicemail", "voicemail"},
                                           {"messages", "messages"}, {"config_show", "keys"}};
    const cJSON *list = NULL;

    if (strcmp(cmd, "status") == 0)
        return take_status(m, o);
    if (strcmp(cmd, "requests") == 0)
        return take_requests(m, o);
    if (strcmp(cmd, "ledger") == 0) {
        parse_totals(o, &m->totals);
        return m->totals.given != MODEL_UNKNOWN ? ERR_OK : ERR_PARSE;
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists && list == NULL; i++) {
        if (strcmp(cmd, lists[i][0]) != 0)
            continue;
        list = cJSON_GetObjectItemCaseSensitive(o, lists[i][1]);
        if (!cJSON_IsArray(list))
            return ERR_PARSE;
    }
    if (list == NULL)
        return ERR_OK;
    switch (cmd[0]) {
    case 'c':
        if (cmd[3] == 'f') {
            REPLACE(list, MODEL_ROWS_MAX, parse_setting, m->settings, m->n_settings);
            TAKE(o, "file", m->settings_file);
            break;
        }
        REPLACE(list, MODEL_ROWS_MAX, parse_contact, m->contacts, m->n_contacts);
        sort_contacts(m);
        break;
    case 'h':
        REPLACE(list, HISTORY_MAX, parse_past_call, m->history, m->n_history);
        break;
    case 'r':
        REPLACE(list, MODEL_ROWS_MAX, parse_relay, m->relays, m->n_relays);
        break;
    case 'v':
        REPLACE(list, MODEL_ROWS_MAX, parse_voicemail, m->voicemails, m->n_voicemails);
        break;
    default:
        REPLACE(list, MESSAGES_MAX, parse_message, m->messages, m->n_messages);
        break;
    }
    return ERR_OK;
}

/* Put an ended call before the others of the history, once. */
static void history_add(struct model *m, const struct model_call *c)
{
    for (size_t i = 0; i < m->n_history; i++) {
        if (m->history[i].id == c->id && m->history[i].since_ms == c->since_ms)
            return;
    }
    if (m->n_history == HISTORY_MAX)
        m->n_history--;
    m->history = mem_resize(m->history, m->n_history + 1, sizeof *m->history);
    memmove(m->history + 1, m->history, m->n_history * sizeof *m->history);
    m->history[0] = *c;
    m->n_history++;
}

static void event_call(struct model *m, const cJSON *o, struct model_change *out)
{
    struct model_call call = {0};
    size_t i = 0;

    parse_call(o, &call);
    while (i < m->n_calls && m->calls[i].id != call.id)
        i++;
    if (i < m->n_calls) {
        out->state_before = m->calls[i].state;
        memcpy(out->path_before, m->calls[i].path, sizeof out->path_before);
    }
    if (call.state == STATE_ENDED) {
        if (i < m->n_calls)
            memmove(&m->calls[i], &m->calls[i + 1], (--m->n_calls - i) * sizeof *m->calls);
        m->ended = call;
        history_add(m, &call);
        out->call = &m->ended;
        return;
    }
    if (i == MODEL_CALLS_MAX)
        return;
    m->calls[i] = call;
    if (i == m->n_calls)
        m->n_calls++;
    out->call = &m->calls[i];
}

/* Echo has an ID only while it is called, and none on the list. */
static struct model_contact *without_id(struct model *m, const char *name)
{
    for (size_t i = 0; i < m->n_contacts; i++)
        if (m->contacts[i].id[0] == '\0' && strcmp(m->contacts[i].name, name) == 0)
            return &m->contacts[i];
    return NULL;
}

/* Somebody known as told now, or somebody new; what was known of when they were seen stays. */
static struct model_contact *whole_contact(struct model *m, struct model_contact *c, const cJSON *o)
{
    int64_t seen_ms = c != NULL ? c->seen_ms : MODEL_UNKNOWN;

    if (c == NULL && m->n_contacts == MODEL_ROWS_MAX)
        return NULL;
    if (c == NULL) {
        m->contacts = mem_resize(m->contacts, m->n_contacts + 1, sizeof *m->contacts);
        c = &m->contacts[m->n_contacts++];
    }
    memset(c, 0, sizeof *c);
    parse_contact(o, c);
    if (c->seen_ms == MODEL_UNKNOWN)
        c->seen_ms = seen_ms;
    return c;
}

static void event_presence(struct model *m, const cJSON *event, struct model_change *out)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(event, "contact");
    struct model_contact *c;
    char id[MODEL_ID_BYTES];

    if (!cJSON_IsObject(o))
        o = event;
    TAKE(o, "id", id);
    c = contact_at(m, id);
    if (c == NULL && without_id(m, json_str(o, "name", "")) != NULL)
        return;
    if (c != NULL)
        out->presence_before = c->presence;
    if (json_str(o, "list", NULL) != NULL)
        c = whole_contact(m, c, o);
    if (c == NULL)
        return;
    c->presence = parse_presence(json_str(o, "presence", ""));
    if (take_time(o, "seen") != MODEL_UNKNOWN)
        c->seen_ms = take_time(o, "seen");
    sort_contacts(m);
    out->contact = contact_at(m, id);
}

/* The object an event carries under its own name, or the event itself when its members are not wrapped. */
static const cJSON *body_of(const cJSON *event, const char *name)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(event, name);

    return cJSON_IsObject(o) ? o : event;
}

enum err model_event(struct model *m, const cJSON *event, struct model_change *out)
{
    const char *ev = json_str(event, "ev", "");

    memset(out, 0, sizeof *out);
    if (strcmp(ev, "call") == 0 && cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(event, "call"))) {
        event_call(m, cJSON_GetObjectItemCaseSensitive(event, "call"), out);
    } else if (strcmp(ev, "presence") == 0) {
        event_presence(m, event, out);
    } else if (strcmp(ev, "request") == 0) {
        m->self.requests = has(event, "requests") ? take_count(event, "requests") : m->self.requests + 1;
    } else if (strcmp(ev, "message") == 0) {
        memset(&m->news, 0, sizeof m->news);
        parse_message(body_of(event, "message"), &m->news);
        out->message = &m->news;
    } else if (strcmp(ev, "voicemail") == 0) {
        int64_t n = take_int(event, "voicemail");

        m->self.voicemail = n != MODEL_UNKNOWN ? n : m->self.voicemail + 1;
    } else if (strcmp(ev, "network") == 0) {
        parse_network(body_of(event, "network"), &m->network);
    } else if (strcmp(ev, "relay") == 0) {
        if (has(body_of(event, "relay"), "on"))
            take_service(body_of(event, "relay"), &m->service);
    } else {
        return ERR_PARSE;
    }
    take_text(event, "ev", out->ev, sizeof out->ev);
    return ERR_OK;
}

/* ---- what the views read ---- */

struct model *model_create(void)
{
    struct model *m = mem_alloc(sizeof *m);

    m->contact_order = by_state;
    m->totals = (struct model_totals){MODEL_UNKNOWN, MODEL_UNKNOWN, MODEL_UNKNOWN};
    parse_network(NULL, &m->network);
    take_service(NULL, &m->service);
    return m;
}

void model_destroy(struct model *m)
{
    if (m == NULL)
        return;
    mem_free(m->contacts);
    mem_free(m->history);
    mem_free(m->in);
    mem_free(m->out);
    mem_free(m->relays);
    mem_free(m->voicemails);
    mem_free(m->messages);
    mem_free(m->settings);
    mem_free(m->service.forwards);
    mem_free(m);
}

const struct model_self *model_self(const struct model *m)
{
    return &m->self;
}

const struct model_network *model_network(const struct model *m)
{
    return &m->network;
}

const struct model_service *model_service(const struct model *m)
{
    return &m->service;
}

const struct model_totals *model_totals(const struct model *m)
{
    return &m->totals;
}

const struct model_contact *model_contacts(const struct model *m, size_t *n)
{
    *n = m->n_contacts;
    return m->contacts;
}

const struct model_call *model_calls(const struct model *m, size_t *n)
{
    *n = m->n_calls;
    return m->calls;
}

const struct model_call *model_history(const struct model *m, size_t *n)
{
    *n = m->n_history;
    return m->history;
}

const struct model_request *model_requests(const struct model *m, bool is_out, size_t *n)
{
    *n = is_out ? m->n_out : m->n_in;
    return is_out ? m->out : m->in;
}

int64_t model_requests_dropped(const struct model *m)
{
    return m->dropped;
}

const struct model_relay *model_relays(const struct model *m, size_t *n)
{
    *n = m->n_relays;
    return m->relays;
}

const struct model_voicemail *model_voicemails(const struct model *m, size_t *n)
{
    *n = m->n_voicemails;
    return m->voicemails;
}

const struct model_message *model_messages(const struct model *m, size_t *n)
{
    *n = m->n_messages;
    return m->messages;
}

const struct model_setting *model_settings(const struct model *m, size_t *n)
{
    *n = m->n_settings;
    return m->settings;
}

const char *model_settings_file(const struct model *m)
{
    return m->settings_file[0] != '\0' ? m->settings_file : "config.json";
}

const struct model_call *model_call_by_id(const struct model *m, int64_t id)
{
    for (size_t i = 0; i < m->n_calls; i++) {
        if (m->calls[i].id == id)
            return &m->calls[i];
    }
    return m->ended.state == STATE_ENDED && m->ended.id == id ? &m->ended : NULL;
}
