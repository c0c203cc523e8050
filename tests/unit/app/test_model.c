#include "unit/test.h"

#include "app/model.h"

#include <stdio.h>

static enum err answer(struct model *m, const char *cmd, const char *json)
{
    cJSON *o = cJSON_Parse(json);
    enum err e;

    assert_non_null(o);
    e = model_answer(m, cmd, o);
    cJSON_Delete(o);
    return e;
}

static enum err event(struct model *m, const char *json, struct model_change *change)
{
    cJSON *o = cJSON_Parse(json);
    enum err e;

    assert_non_null(o);
    e = model_event(m, o, change);
    cJSON_Delete(o);
    return e;
}

static void times(void **state)
{
    (void)state;
    assert_int_equal(model_time_ms("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(model_time_ms("2026-11-24T12:04:02Z"), 1795521842000);
    assert_int_equal(model_time_ms("2024-02-29T23:59:59.250Z"), 1709251199000);
    assert_int_equal(model_time_ms("2026-11-24 12:04:02Z"), MODEL_UNKNOWN);
    assert_int_equal(model_time_ms("2026-13-24T12:04:02Z"), MODEL_UNKNOWN);
    assert_int_equal(model_time_ms("2026-11-24T12:04:02"), MODEL_UNKNOWN);
    assert_int_equal(model_time_ms("never"), MODEL_UNKNOWN);
    assert_int_equal(model_time_ms(""), MODEL_UNKNOWN);
}

static void contact_order(void **state)
{
    static const char list[] =
        "{\"contacts\":[{\"id\":\"a\",\"name\":\"Old\",\"list\":\"allowed\",\"presence\":\"offline\"},"
        "{\"id\":\"b\",\"name\":\"Recent\",\"list\":\"allowed\",\"presence\":\"offline\",\"last_call\":"
        "\"2026-11-24T12:04:02Z\"},"
        "{\"id\":\"c\",\"name\":\"Bad\",\"list\":\"blocked\",\"presence\":\"online\"},"
        "{\"id\":\"d\",\"name\":\"Here\",\"list\":\"allowed\",\"presence\":\"online\"}]}";
    struct model *m = model_create();
    const struct model_contact *c;
    size_t n;

    (void)state;
    assert_int_equal(answer(m, "contacts", list), ERR_OK);
    c = model_contacts(m, &n);
    assert_int_equal(n, 4);
    assert_string_equal(c[0].name, "Here");
    assert_string_equal(c[1].name, "Recent");
    assert_string_equal(c[2].name, "Old");
    assert_string_equal(c[3].name, "Bad");
    model_sort_contacts(m, "name");
    assert_string_equal(model_contacts(m, &n)[0].name, "Bad");
    model_destroy(m);
}

static void finds(void **state)
{
    struct model *m = model_create();

    (void)state;
    answer(
        m, "contacts",
        "{\"contacts\":[{\"id\":\"ito1aa\",\"name\":\"Kenji\"},{\"id\":\"ito1bb\",\"name\":\"Kenji Sato\"},"
        "{\"id\":\"ito1cc\",\"name\":\"Hanako\"},{\"id\":\"ito1dd\",\"name\":null}]}");
    assert_string_equal(model_contact_find(m, "Kenji")->id, "ito1aa"); /* whole names win */
    assert_string_equal(model_contact_find(m, "Sato")->id, "ito1bb");
    assert_string_equal(model_contact_find(m, "ito1cc")->name, "Hanako");
    assert_null(model_contact_find(m, "n")); /* several */
    assert_null(model_contact_find(m, ""));
    assert_null(model_contact_find(m, "nobody"));
    assert_null(model_contact_by_id(m, ""));
    model_destroy(m);
}

static void unknown_is_not_offline(void **state)
{
    struct model *m = model_create();
    size_t n;

    (void)state;
    answer(m, "contacts",
           "{\"contacts\":[{\"id\":\"a\",\"name\":\"x\",\"presence\":\"from the future\"},{}]}");
    assert_int_equal(model_contacts(m, &n)[0].presence, PRESENCE_UNKNOWN);
    assert_int_equal(model_contacts(m, &n)[0].seen_ms, MODEL_UNKNOWN);
    assert_int_equal(n, 2);
    model_destroy(m);
}

static void cleaned(void **state)
{
    struct model *m = model_create();
    size_t n;

    (void)state;
    answer(m, "requests",
           "{\"in\":[{\"n\":1,\"id\":\"a\",\"name\":\"\\u202eevil\\u001b[2J\",\"note\":\"one\\ntwo\"}],"
           "\"out\":[]}");
    assert_string_equal(model_requests(m, false, &n)->name, "evil[2J");
    assert_string_equal(model_requests(m, false, &n)->note, "one two");
    assert_int_equal(model_self(m)->requests, 1);
    model_destroy(m);
}

static void call_events(void **state)
{
    struct model *m = model_create();
    struct model_change change;
    size_t n;

    (void)state;
    assert_int_equal(
        event(m, "{\"v\":1,\"ev\":\"call\",\"call\":{\"id\":7,\"peer\":\"a\",\"state\":\"ringing\"}}",
              &change),
        ERR_OK);
    assert_int_equal(change.state_before, STATE_NONE);
    assert_int_equal(change.call->state, STATE_RINGING);
    event(m,
          "{\"v\":1,\"ev\":\"call\",\"call\":{\"id\":7,\"peer\":\"a\",\"state\":\"in_call\",\"path\":"
          "\"relayed\"}}",
          &change);
    assert_int_equal(change.state_before, STATE_RINGING);
    model_calls(m, &n);
    assert_int_equal(n, 1);
    event(
        m,
        "{\"v\":1,\"ev\":\"call\",\"call\":{\"id\":7,\"peer\":\"a\",\"state\":\"ended\",\"cause\":\"lost\"}}",
        &change);
    assert_string_equal(change.path_before, "relayed");
    assert_string_equal(change.call->cause, "lost");
    model_calls(m, &n);
    assert_int_equal(n, 0);
    model_history(m, &n);
    assert_int_equal(n, 1);
    assert_string_equal(model_call_by_id(m, 7)->cause, "lost");
    assert_null(model_call_by_id(m, 8));
    model_destroy(m);
}

static void call_cap(void **state)
{
    struct model *m = model_create();
    struct model_change change;
    size_t n;

    (void)state;
    for (int i = 1; i <= MODEL_CALLS_MAX + 3; i++) {
        char json[128];

        snprintf(json, sizeof json, "{\"ev\":\"call\",\"call\":{\"id\":%d,\"state\":\"incoming\"}}", i);
        event(m, json, &change);
    }
    model_calls(m, &n);
    assert_int_equal(n, MODEL_CALLS_MAX);
    assert_null(change.call);
    model_destroy(m);
}

static void status(void **state)
{
    static const char bare[] =
        "{\"v\":1,\"id\":\"ito1me\",\"name\":\"Taro\",\"network\":{\"state\":\"joined\",\"peers\":148,"
        "\"ports\":[{\"proto\":\"udp\",\"local\":41641,\"by\":\"upnp\"},7]},\"calls\":[{\"id\":1,"
        "\"state\":\"in_call\"},{\"id\":2,\"state\":\"ended\"}],\"requests\":2,\"relay\":{\"on\":true}}";
    char wrapped[512];
    struct model *m = model_create();
    size_t n;

    (void)state;
    assert_int_equal(model_network(m)->peers, MODEL_UNKNOWN);
    assert_int_equal(answer(m, "status", bare), ERR_OK);
    assert_string_equal(model_self(m)->id, "ito1me");
    snprintf(wrapped, sizeof wrapped, "{\"id\":1,\"ok\":true,\"status\":%s}", bare);
    assert_int_equal(answer(m, "status", wrapped), ERR_OK);
    assert_string_equal(model_self(m)->id, "ito1me");
    assert_int_equal(model_network(m)->peers, 148);
    assert_string_equal(model_network(m)->ports[0].by, "upnp");
    assert_true(model_service(m)->is_on);
    model_calls(m, &n);
    assert_int_equal(n, 1);
    assert_int_equal(answer(m, "status", "{\"id\":1,\"ok\":true}"), ERR_PARSE);
    model_destroy(m);
}

static void strange_answers(void **state)
{
    static const char *const cmds[] = {"contacts",  "requests", "history",     "relays",
                                       "voicemail", "messages", "config_show", "ledger"};
    struct model *m = model_create();
    struct model_change change;

    (void)state;
    for (size_t i = 0; i < sizeof cmds / sizeof *cmds; i++) {
        assert_int_equal(answer(m, cmds[i], "{}"), ERR_PARSE);
        assert_int_equal(
            answer(m, cmds[i], "{\"contacts\":5,\"in\":{},\"calls\":null,\"relays\":\"x\",\"given\":\"y\"}"),
            ERR_PARSE);
    }
    assert_int_equal(answer(m, "mute", "{}"), ERR_OK);
    assert_int_equal(event(m, "{\"ev\":\"weather\"}", &change), ERR_PARSE);
    assert_int_equal(event(m, "{\"ev\":\"presence\",\"id\":\"nobody\"}", &change), ERR_OK);
    assert_null(change.contact);
    assert_int_equal(event(m, "{\"ev\":\"network\",\"network\":[]}", &change), ERR_OK);
    model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("times of RFC 3339 become milliseconds, anything else is unknown", times),
        sentence("contacts are ordered by presence, last call, name, blocked last", contact_order),
        sentence("a contact is found by name, ID, or a unique part", finds),
        sentence("a presence nobody knows is unknown, never offline", unknown_is_not_offline),
        sentence("texts of strangers are cleaned on the way in", cleaned),
        sentence("call events follow one call into the history", call_events),
        sentence("no more than MODEL_CALLS_MAX calls are kept", call_cap),
        sentence("a status is read bare and wrapped in an answer", status),
        sentence("answers of another shape are refused and change nothing", strange_answers),
    };

    return run_sentences("model", tests);
}
