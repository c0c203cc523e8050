/* tests/unit/ui/harness.h - one ui on a text screen, with a core that writes down what it is asked, a fixed
 * wall clock (Tue 2026-11-24 12:04:02 UTC) and a time that only the test moves. */
#ifndef ITO_TESTS_UNIT_UI_HARNESS_H
#define ITO_TESTS_UNIT_UI_HARNESS_H

#include "unit/test.h"

#include "base/mem.h"
#include "ui/keys.h"
#include "ui/ui.h"

#include <stdio.h>
#include <stdlib.h>

#define WALL_MS   1795521842000
#define YAMADA    "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5"
#define KENJI     "ito1qk4e8g5w9x2v7n3m6t0r5y8u2p4a7s9d3f6h0j5l8z2c4v7n9m3q6w8kjn7"
#define ASKED_MAX 64

struct harness {
    struct ui *ui;
    ns_t now;
    int64_t wall_ms;
    char *asked[ASKED_MAX]; /* since the last forget() */
    size_t n_asked;
    char *text;
    struct env env;
};

static inline void harness_request(void *arg, const char *json)
{
    struct harness *h = arg;

    assert_true(h->n_asked < ASKED_MAX);
    h->asked[h->n_asked++] = mem_str(json);
}

static inline int64_t harness_wall(void *world)
{
    return ((struct harness *)world)->wall_ms;
}

static inline void forget(struct harness *h)
{
    while (h->n_asked > 0)
        mem_free(h->asked[--h->n_asked]);
}

/* Was something like this asked since forget()? */
static inline bool was_asked(const struct harness *h, const char *part)
{
    for (size_t i = 0; i < h->n_asked; i++) {
        if (strstr(h->asked[i], part) != NULL)
            return true;
    }
    return false;
}

/* Answer "ok" with these members to the newest request of that command. */
static inline void answer(struct harness *h, const char *cmd, const char *members)
{
    char quoted[64], *json;

    snprintf(quoted, sizeof quoted, "\"cmd\":\"%s\"", cmd);
    for (size_t i = h->n_asked; i-- > 0;) {
        if (strstr(h->asked[i], quoted) == NULL)
            continue;
        json = mem_printf("{\"id\":%d,\"ok\":true%s%s}", atoi(strstr(h->asked[i], "\"id\":") + 5),
                          members[0] != '\0' ? "," : "", members);
        ui_answer(h->ui, json, h->now);
        mem_free(json);
        return;
    }
    fail_msg("%s was not asked", cmd);
}

static inline void refuse(struct harness *h, const char *cmd, const char *text)
{
    char quoted[64], *json;

    snprintf(quoted, sizeof quoted, "\"cmd\":\"%s\"", cmd);
    for (size_t i = h->n_asked; i-- > 0;) {
        if (strstr(h->asked[i], quoted) == NULL)
            continue;
        json = mem_printf("{\"id\":%d,\"ok\":false,\"error\":\"parse\",\"text\":\"%s\"}",
                          atoi(strstr(h->asked[i], "\"id\":") + 5), text);
        ui_answer(h->ui, json, h->now);
        mem_free(json);
        return;
    }
    fail_msg("%s was not asked", cmd);
}

/* The screen as text, drawn now. */
static inline const char *screen(struct harness *h)
{
    mem_free(h->text);
    ui_tick(h->ui, h->now);
    h->text = ui_text(h->ui);
    return h->text;
}

#define assert_shown(h, part)                                       \
    do {                                                            \
        if (strstr(screen(h), part) == NULL)                        \
            fail_msg("not on the screen: %s\n%s", part, (h)->text); \
    } while (0)
#define assert_not_shown(h, part)                               \
    do {                                                        \
        if (strstr(screen(h), part) != NULL)                    \
            fail_msg("on the screen: %s\n%s", part, (h)->text); \
    } while (0)

/* Press a key a second after the one before. */
static inline void press(struct harness *h, uint32_t key)
{
    h->now += NS_PER_S;
    ui_key(h->ui, key, h->now);
}

static inline void type(struct harness *h, const char *text)
{
    for (; *text != '\0'; text++)
        press(h, (uint8_t)*text);
}

static inline void call_event(struct harness *h, const char *members)
{
    char *json = mem_printf("{\"v\":1,\"ev\":\"call\",\"call\":{%s}}", members);

    ui_event(h->ui, json, h->now);
    mem_free(json);
}

#define STATUS                                                                                      \
    "\"status\":{\"v\":1,\"id\":\"" YAMADA "\",\"name\":\"Taro\",\"mode\":\"inside\",\"network\":"  \
    "{\"state\":\"joined\",\"peers\":148,\"nat\":\"address-dependent\",\"ports\":[]},\"calls\":[]," \
    "\"requests\":0,\"missed\":0,\"voicemail\":0,\"relay\":{\"on\":false}}"
#define CONTACTS                                                                                     \
    "\"contacts\":[{\"id\":\"" KENJI "\",\"name\":\"Kenji\",\"list\":\"allowed\",\"verified\":true," \
    "\"presence\":\"busy\",\"seen\":\"2026-11-24T10:00:00Z\",\"last_call\":null},"                   \
    "{\"id\":\"" YAMADA "\",\"name\":\"山田 太郎\",\"list\":\"allowed\",\"verified\":false,"     \
    "\"presence\":\"online\",\"seen\":null,\"last_call\":null}]"
#define IN_CALL                                                                                              \
    "\"id\":7,\"peer\":\"" KENJI "\",\"name\":\"Kenji\",\"dir\":\"out\",\"state\":\"in_call\","              \
    "\"since\":\"2026-11-24T11:55:21Z\",\"path\":\"direct_punched\",\"codec\":\"opus\",\"code\":\"482913\"," \
    "\"quality\":\"good\",\"loss_in\":0.004,\"rtt_ms\":48,\"jitter_ms\":6,\"volume_pct\":70"
#define INCOMING                                                                                \
    "\"id\":8,\"peer\":\"" KENJI "\",\"name\":\"Kenji\",\"dir\":\"in\",\"state\":\"incoming\"," \
    "\"since\":\"2026-11-24T12:03:56Z\",\"list\":\"allowed\",\"verified\":true"

static inline void harness_init(struct harness *h, uint16_t rows, uint16_t cols, bool is_first_run)
{
    static const struct env_ops ops = {.wall_ms = harness_wall};
    struct ui_config config = {.core = {h, harness_request}, .is_first_run = is_first_run};

    memset(h, 0, sizeof *h);
    h->now = 1000 * NS_PER_S;
    h->wall_ms = WALL_MS;
    h->env = (struct env){&ops, h};
    h->ui = ui_create(&config, &h->env, h->now);
    ui_start_text(h->ui, rows, cols);
    if (!is_first_run) {
        answer(h, "status", STATUS);
        answer(h, "contacts", CONTACTS);
        forget(h);
    }
}

static inline void harness_fini(struct harness *h)
{
    forget(h);
    mem_free(h->text);
    ui_destroy(h->ui);
}

#endif
