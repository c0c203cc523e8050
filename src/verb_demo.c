/* `ito --demo SCENE`: the screens on fixed data and a fixed clock, without network or sound.
 *
 *   ito --demo contacts|incoming|request|in_call|lost|network|relay [--text COLSxROWS] [--ascii]
 *
 * On a terminal the keys work and the demo core answers; `--text`, or a stdout that is no terminal, prints one
 * frame as text: for tests/screens and for the README. The clock stands at Tue 2026-11-24 12:04:02 UTC. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/model.h"
#include "base/mem.h"
#include "ui/keys.h"
#include "ui/ui.h"

int verb_demo(int argc, char **argv);

#define WALL_MS    1795521842000 /* 2026-11-24T12:04:02Z */
#define ANSWER_MAX 64

#define TARO   "ito1q3l6ww5yq8zn0l9n7s9d0f5e4g6k2h8j3c7v5b4x6z9a8s7d6f5g4h38qju"
#define YAMADA "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5"
#define KENJI  "ito1qk4e8g5w9x2v7n3m6t0r5y8u2p4a7s9d3f6h0j5l8z2c4v7n9m3q6w8kjn7"
#define MOTHER "ito1qm0t7h3e8r5x2n9c4v6b8z3l7k5j2h4g9f6d3s8a5p0y7u4r2t6w9q8mthr"
#define DESK   "ito1qd3s5k7p9h2n4e6x8v3c5z7l9j2g4f6d8s3a5y7u9r2t4w6q8m3n5b7dsk4"
#define BOT    "ito1qb0t5s3p6m8x2v4n7c9z3l5k8j2h6g4f9d7s3a5y8u2r4t6w9q7m3n5b8t4"
#define HANAKO "ito1qh4n8k5w3x7v2n9m6t4r8y5u3p7a2s9d6f4h8j5l3z7c2v9n6m4q8w5hnk2"
#define RELAY7 "iton1qnexs5w9x2v7n3m6t0r5y8u2p4a7s9d3f6h0j5l8z2c4v7n9m3q6w8jttf"
#define SPARE  "iton1qady5w9x2v7n3m6t0r5y8u2p4a7s9d3f6h0j5l8z2c4v7n9m3q6w82sy9r"

static const char contacts[] =
    "\"contacts\":["
    "{\"id\":\"" YAMADA
    "\",\"name\":\"山田 太郎\",\"list\":\"allowed\",\"verified\":true,\"presence\":\"online\","
    "\"seen\":\"2026-11-24T12:04:00Z\",\"last_call\":\"2026-11-24T09:12:00Z\",\"last_length\":521},"
    "{\"id\":\"" KENJI "\",\"name\":\"Kenji\",\"list\":\"allowed\",\"verified\":true,\"presence\":\"busy\","
    "\"seen\":\"2026-11-24T12:04:00Z\",\"last_call\":\"2026-11-21T18:20:00Z\",\"last_cause\":\"no_answer\","
    "\"last_dir\":\"in\"},"
    "{\"id\":\"" MOTHER
    "\",\"name\":\"Mother\",\"list\":\"allowed\",\"verified\":true,\"presence\":\"offline\","
    "\"seen\":\"2026-11-24T10:00:00Z\",\"last_call\":\"2026-11-12T19:00:00Z\",\"last_length\":3725},"
    "{\"id\":\"" DESK
    "\",\"name\":\"Desk phone\",\"list\":\"asked\",\"verified\":false,\"presence\":\"unknown\","
    "\"seen\":null,\"last_call\":null},"
    "{\"id\":\"" BOT "\",\"name\":null,\"claimed\":\"bot\",\"list\":\"blocked\",\"verified\":false,"
    "\"presence\":\"unknown\",\"seen\":null,\"last_call\":null}]";

static const char requests[] =
    "\"in\":["
    "{\"n\":1,\"id\":\"ito1q3t9w5x7v2n8m4k6j3h9g5f7d2s8a4p6y3u9r5t7w2q8z4c6v3n9m5u24d\",\"name\":\"Bank "
    "support\","
    "\"when\":\"2026-11-24T11:58:00Z\",\"wants\":\"call\",\"tries\":4,\"note\":\"Urgent! answer now\"},"
    "{\"n\":2,\"id\":\"ito1qa34w5x7v2n8m4k6j3h9g5f7d2s8a4p6y3u9r5t7w2q8z4c6v3n9m5lsy4\",\"name\":\"Yuki\","
    "\"when\":\"2026-11-21T15:30:00Z\",\"wants\":\"contact\",\"tries\":1,\"note\":\"Yuki from the club\"}],"
    "\"out\":[{\"n\":1,\"id\":\"" DESK "\",\"name\":\"Desk phone\",\"when\":\"2026-11-23T17:00:00Z\","
    "\"wants\":\"contact\",\"tries\":1,\"note\":\"\"}],\"dropped_today\":37";

static const char history[] =
    "\"calls\":["
    "{\"id\":6,\"peer\":\"" KENJI "\",\"name\":\"Kenji\",\"dir\":\"in\",\"state\":\"ended\","
    "\"since\":\"2026-11-24T11:02:00Z\",\"end\":\"2026-11-24T11:03:00Z\",\"length\":0,\"cause\":\"no_"
    "answer\"},"
    "{\"id\":5,\"peer\":\"" YAMADA "\",\"name\":\"山田 太郎\",\"dir\":\"out\",\"state\":\"ended\","
    "\"since\":\"2026-11-24T09:12:00Z\",\"end\":\"2026-11-24T09:20:41Z\",\"length\":521,\"cause\":\"hangup_"
    "local\","
    "\"path\":\"direct_punched\",\"quality\":\"good\"},"
    "{\"id\":4,\"peer\":\"" HANAKO "\",\"name\":\"Hanako\",\"dir\":\"out\",\"state\":\"ended\","
    "\"since\":\"2026-11-21T18:03:00Z\",\"end\":\"2026-11-21T18:05:07Z\",\"length\":127,\"cause\":\"lost\","
    "\"path\":\"relayed\",\"quality\":\"poor\"}]";

static const char relays[] =
    "\"relays\":["
    "{\"id\":\"" RELAY7
    "\",\"name\":\"relay7\",\"score\":93,\"answer\":0.99,\"rtt_ms\":31,\"bytes\":14889779,"
    "\"role\":\"active\",\"parts\":\"answered 99%, stayed up 98%, added delay 12 ms, kept promises 97%\"},"
    "{\"id\":\"" SPARE "\",\"name\":null,\"score\":88,\"answer\":0.98,\"rtt_ms\":44,\"bytes\":0,"
    "\"role\":\"standby\"}]";

static const char ledger[] = "\"given\":1262485504,\"used\":63963136,\"balance\":1198522368,\"peers\":[]";

static const char voicemail[] =
    "\"voicemail\":["
    "{\"n\":1,\"id\":\"" KENJI "\",\"name\":\"Kenji\",\"when\":\"2026-11-24T11:03:00Z\",\"length\":24,"
    "\"state\":\"new\",\"position\":12},"
    "{\"n\":2,\"id\":\"" MOTHER "\",\"name\":\"Mother\",\"when\":\"2026-11-20T20:00:00Z\",\"length\":41,"
    "\"state\":\"heard\"}]";

static const char messages[] =
    "\"messages\":["
    "{\"n\":1,\"peer\":\"" YAMADA "\",\"dir\":\"out\",\"when\":\"2026-11-21T18:03:00Z\","
    "\"text\":\"明日の練習は何時？\",\"state\":\"delivered\"},"
    "{\"n\":2,\"peer\":\"" YAMADA "\",\"dir\":\"out\",\"when\":\"2026-11-24T11:20:00Z\","
    "\"text\":\"見えたら教えて\",\"state\":\"waiting\"}]";

static const char settings[] =
    "\"file\":\"config.json\",\"keys\":["
    "{\"key\":\"audio.bitrate\",\"value\":\"32000\",\"default\":\"24000\",\"meaning\":\"speech quality, "
    "bit/s\"},"
    "{\"key\":\"call.ring_s\",\"value\":\"60\",\"default\":\"60\",\"meaning\":\"ring this long, s\"},"
    "{\"key\":\"net.path\",\"value\":\"private\",\"default\":\"private\",\"meaning\":\"who may see your "
    "address\"}]";

static const char network[] =
    "\"network\":{\"state\":\"joined\",\"since\":\"2026-11-24T09:53:02Z\",\"peers\":148,\"size_est\":4300,"
    "\"size_low\":3100,\"size_high\":5900,\"nat\":\"address-dependent\",\"ipv6\":\"public\",\"reachable\":"
    "true,"
    "\"reach_by\":\"mapped port\",\"lookups_ok\":0.97,\"lookup_s\":0.8,\"ports\":["
    "{\"proto\":\"udp\",\"local\":41641,\"external\":41641,\"by\":\"upnp\",\"until\":\"2026-11-24T14:02:"
    "00Z\"},"
    "{\"proto\":\"tcp\",\"local\":41641,\"external\":null,\"by\":null}]}";

static const char relay_on[] =
    "\"relay\":{\"on\":true,\"since\":\"2026-11-21T18:00:00Z\",\"reachable\":true,\"score\":91,\"calls\":3,"
    "\"max_calls\":20,\"kbps_in\":212,\"kbps_out\":209,\"max_kbps\":2000,\"today\":{\"calls\":61,"
    "\"bytes\":1262485504,\"refused\":2,\"refused_full\":2,\"refused_not_allowed\":0,\"failed\":1},"
    "\"forwards\":["
    "{\"n\":1,\"since\":\"2026-11-24T11:55:21Z\",\"kbps\":48,\"packets\":26050,\"lost\":0},"
    "{\"n\":2,\"since\":\"2026-11-24T11:40:02Z\",\"kbps\":96,\"packets\":71940,\"lost\":2},"
    "{\"n\":3,\"since\":\"2026-11-24T12:03:10Z\",\"kbps\":68,\"packets\":2600,\"lost\":0}]}";

static const char in_call[] =
    "{\"id\":7,\"peer\":\"" YAMADA "\",\"name\":\"山田 太郎\",\"dir\":\"out\",\"state\":\"in_call\","
    "\"since\":\"2026-11-24T11:55:21Z\",\"cause\":null,\"path\":\"relayed\",\"relay\":\"" RELAY7
    "\",\"score\":93,"
    "\"direct_failed\":\"their NAT\",\"codec\":\"opus\",\"kbps_out\":24.0,\"kbps_in\":23.6,\"fec\":true,"
    "\"loss_in\":0.004,\"loss_out\":0.001,\"jitter_ms\":6,\"rtt_ms\":48,\"delay_ms\":92,\"level_in_db\":-12,"
    "\"level_out_db\":-18,\"quality\":\"good\",\"code\":\"482913\",\"verified\":true,\"volume_pct\":70,"
    "\"mic\":\"USB headset\",\"speaker\":\"USB headset\",\"list\":\"allowed\"}";

static const char incoming[] =
    "{\"id\":8,\"peer\":\"" YAMADA "\",\"name\":\"山田 太郎\",\"dir\":\"in\",\"state\":\"incoming\","
    "\"since\":\"2026-11-24T12:03:56Z\",\"cause\":null,\"ring_s\":60,\"verified\":true,\"list\":\"allowed\"}";

static const char lost_call[] =
    "{\"id\":7,\"peer\":\"" KENJI "\",\"name\":\"Kenji\",\"dir\":\"out\",\"state\":\"ended\","
    "\"since\":\"2026-11-24T11:55:21Z\",\"end\":\"2026-11-24T12:04:02Z\",\"length\":521,\"cause\":\"lost\","
    "\"path\":\"relayed\",\"quality\":\"poor\",\"verified\":true}";

/* The demo's core: it answers from the texts above, after the request has returned. */
struct demo {
    struct ui *ui;
    char *waiting[ANSWER_MAX];
    size_t n_waiting;
    bool is_relaying;
};

static void on_request(void *arg, const char *json)
{
    struct demo *d = arg;

    if (d->n_waiting < ANSWER_MAX)
        d->waiting[d->n_waiting++] = mem_str(json);
}

static char *status_body(const struct demo *d)
{
    return mem_printf("\"status\":{\"v\":1,\"id\":\"" TARO
                      "\",%s,\"calls\":[],\"requests\":2,\"missed\":1,\"voicemail\":1,\"mode\":\"demo\","
                      "\"name\":\"Taro\",%s}",
                      network, d->is_relaying ? relay_on : "\"relay\":{\"on\":false}");
}

/* One call of the demo's person: to whom, and how it goes. Every key of a call can be tried on it. */
static void play_call(struct demo *d, const char *cmd, const cJSON *request, ns_t now)
{
    char *event;

    if (strcmp(cmd, "call") == 0 || strcmp(cmd, "answer") == 0) {
        event = mem_printf("{\"v\":1,\"ev\":\"call\",\"call\":%s}", in_call);
    } else if (strcmp(cmd, "hangup") == 0 || strcmp(cmd, "decline") == 0) {
        event = mem_printf("{\"v\":1,\"ev\":\"call\",\"call\":{\"id\":%d,\"peer\":\"" YAMADA
                           "\",\"name\":\"山田 太郎\","
                           "\"dir\":\"out\",\"state\":\"ended\",\"length\":521,\"cause\":\"%s\"}}",
                           (int)json_num(request, "call", 7), cmd[0] == 'h' ? "hangup_local" : "declined");
    } else {
        return;
    }
    if (strcmp(cmd, "answer") == 0) {
        char *end = mem_printf("{\"v\":1,\"ev\":\"call\",\"call\":{\"id\":8,\"peer\":\"" YAMADA
                               "\",\"name\":\"山田 太郎\","
                               "\"dir\":\"in\",\"state\":\"ended\",\"cause\":\"hangup_remote\"}}");

        ui_event(d->ui, end, now);
        mem_free(end);
    }
    ui_event(d->ui, event, now);
    mem_free(event);
}

static void answer_one(struct demo *d, const char *json, ns_t now)
{
    static const struct {
        const char *cmd, *body;
    } bodies[] = {
        {"contacts", contacts}, {"requests", requests},   {"history", history},   {"relays", relays},
        {"ledger", ledger},     {"voicemail", voicemail}, {"messages", messages}, {"config_show", settings},
    };
    cJSON *request = cJSON_Parse(json);
    const char *cmd = json_str(request, "cmd", ""), *body = NULL;
    char *status = strcmp(cmd, "status") == 0 ? status_body(d) : NULL, *answer;

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        if (strcmp(cmd, bodies[i].cmd) == 0)
            body = bodies[i].body;
    }
    if (status != NULL)
        body = status;
    answer = mem_printf("{\"id\":%d,\"ok\":true%s%s}", (int)json_num(request, "id", 0),
                        body != NULL ? "," : "", body != NULL ? body : "");
    ui_answer(d->ui, answer, now);
    play_call(d, cmd, request, now);
    mem_free(answer);
    mem_free(status);
    cJSON_Delete(request);
}

static void answer_all(struct demo *d, ns_t now)
{
    while (d->n_waiting > 0) {
        char *json = d->waiting[0];

        memmove(d->waiting, d->waiting + 1, --d->n_waiting * sizeof *d->waiting);
        answer_one(d, json, now);
        mem_free(json);
    }
}

/* ---- the world of the demo ---- */

static void no_send(void *world, const struct addr *to, struct slice bytes)
{
    (void)world;
    (void)to;
    (void)bytes;
}

static void no_random(void *world, void *out, size_t n)
{
    (void)world;
    memset(out, 0, n);
}

static int64_t fixed_wall(void *world)
{
    (void)world;
    return WALL_MS;
}

static void no_defer(void *world, env_defer_cb cb, void *arg)
{
    (void)world;
    cb(arg);
}

static void no_log(void *world, enum log_level level, const char *line)
{
    (void)world;
    (void)level;
    (void)line;
}

static ns_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ns_t)t.tv_sec * NS_PER_S + (ns_t)t.tv_nsec;
}

static volatile sig_atomic_t was_resized, was_stopped;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        was_resized = 1;
    else
        was_stopped = 1;
}

/* ---- scenes ---- */

static void call_event(struct demo *d, const char *call, ns_t now)
{
    char *event = mem_printf("{\"v\":1,\"ev\":\"call\",\"call\":%s}", call);

    ui_event(d->ui, event, now);
    mem_free(event);
}

static bool set_scene(struct demo *d, const char *scene, ns_t now)
{
    if (strcmp(scene, "contacts") == 0) {
        ui_event(d->ui, "{\"v\":1,\"ev\":\"presence\",\"id\":\"" YAMADA "\",\"presence\":\"away\"}", now);
        ui_event(d->ui, "{\"v\":1,\"ev\":\"presence\",\"id\":\"" YAMADA "\",\"presence\":\"online\"}", now);
    } else if (strcmp(scene, "incoming") == 0) {
        call_event(d, incoming, now);
    } else if (strcmp(scene, "request") == 0) {
        ui_key(d->ui, '2', now);
    } else if (strcmp(scene, "in_call") == 0) {
        call_event(d, in_call, now);
    } else if (strcmp(scene, "lost") == 0) {
        call_event(d, in_call, now);
        call_event(d, lost_call, now);
    } else if (strcmp(scene, "network") == 0) {
        ui_key(d->ui, '6', now);
    } else if (strcmp(scene, "relay") == 0) {
        d->is_relaying = true;
        ui_key(d->ui, '7', now);
    } else {
        return false;
    }
    return true;
}

static int run_screens(struct demo *d)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct err_detail detail;

    if (ui_start_curses(d->ui, &detail) != ERR_OK) {
        fprintf(stderr, "%s\n", detail.text);
        return 1;
    }
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    while (!ui_wants_quit(d->ui) && !was_stopped) {
        struct pollfd fd = {.fd = ui_fd(d->ui), .events = POLLIN};
        ns_t now = monotonic(), at = ui_deadline(d->ui);
        int wait_ms = at <= now                        ? 0
                      : (at - now) / NS_PER_MS > 60000 ? 60000
                                                       : (int)((at - now) / NS_PER_MS) + 1;

        if (poll(&fd, 1, wait_ms) > 0 && fd.revents != 0) {
            if ((fd.revents & (POLLHUP | POLLERR)) != 0)
                break;
            ui_keys_ready(d->ui, monotonic());
        }
        if (was_resized) {
            was_resized = 0;
            ui_resize(d->ui, monotonic());
        }
        answer_all(d, monotonic());
        if (ui_deadline(d->ui) <= monotonic())
            ui_tick(d->ui, monotonic());
    }
    return 0;
}

static int print_text(struct demo *d, unsigned cols, unsigned rows)
{
    char *text;

    ui_start_text(d->ui, (uint16_t)rows, (uint16_t)cols);
    ui_tick(d->ui, monotonic());
    text = ui_text(d->ui);
    fputs(text, stdout);
    mem_free(text);
    return 0;
}

static int usage(void)
{
    fputs("ito --demo needs a scene: contacts, incoming, request, in_call, lost, network, relay\ntry: ito "
          "help demo\n",
          stderr);
    return 2;
}

int verb_demo(int argc, char **argv)
{
    static const struct env_ops ops = {no_send, no_random, fixed_wall, no_defer, no_log};
    const struct env env = {&ops, NULL};
    const char *scene = NULL, *no_color = getenv("NO_COLOR");
    unsigned cols = 80, rows = 24;
    bool is_text = !isatty(STDOUT_FILENO);
    struct demo d = {0};
    struct ui_config config = {.core = {&d, on_request},
                               .is_ascii = getenv("ITO_ASCII") != NULL,
                               .has_color = no_color == NULL || no_color[0] == '\0',
                               .has_daemon = true};
    int result;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--text") == 0 && i + 1 < argc) {
            is_text = true;
            if (sscanf(argv[++i], "%ux%u", &cols, &rows) != 2 || cols < 1 || rows < 1 || cols > 500 ||
                rows > 500)
                return usage();
        } else if (strcmp(argv[i], "--ascii") == 0) {
            config.is_ascii = true;
        } else if (strcmp(argv[i], "--color") == 0 && i + 1 < argc) {
            config.has_color = strcmp(argv[++i], "never") != 0;
        } else if (argv[i][0] != '-') {
            scene = argv[i];
        }
    }
    if (scene == NULL)
        return usage();
    d.ui = ui_create(&config, &env, monotonic());
    answer_all(&d, monotonic());
    result = set_scene(&d, scene, monotonic()) ? 0 : usage();
    answer_all(&d, monotonic());
    if (result == 0)
        result = is_text ? print_text(&d, cols, rows) : run_screens(&d);
    ui_destroy(d.ui);
    for (size_t i = 0; i < d.n_waiting; i++)
        mem_free(d.waiting[i]);
    return result;
}
