/* `ito call`: one call in the foreground, one line for each state (UX.md §6); and what acts on a running one.
 *
 *   ──ctl_open──▶ ASKED ──answer──▶ the states of the call, as events ──ended──▶ LINGER ──▶ exit code
 *                   ▲                                                    │
 *                   └─────────── --wait: try again, WAIT_RETRY_NS ───────┘ */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/model.h"
#include "base/mem.h"
#include "call/call.h"
#include "ui/screen_curses.h"
#include "ui/words.h"
#include "verb.h"

#define WAIT_RETRY_NS (15 * NS_PER_S)
#define LINGER_NS     (300 * NS_PER_MS) /* for the goodbye to get through */
#define PATH_WAIT_NS  (2 * NS_PER_S)    /* "In call" waits that long to name the path */
#define POLITE_NS     (2 * NS_PER_S)

struct caller {
    struct cli *cli;
    struct ctl *ctl;
    struct model *model;
    const char *to;
    char *play, *record;
    long for_s; /* 0: until somebody hangs up */
    bool is_waiting;

    int64_t call; /* 0: not asked yet */
    enum model_state state;
    char path[MODEL_WORD_BYTES];
    bool has_said_in_call, is_ended, is_interrupted;
    int signum;
    ns_t in_call_at, hangup_at, retry_at, leave_at;
    int code;
};

static int64_t wall_ms(const struct caller *c)
{
    return env_wall_ms(io_env(ctl_io(c->ctl)));
}

/* "12:04:02 Ringing" */
static void line(const struct caller *c, const char *text)
{
    struct words_time t = {wall_ms(c), term_utc_offset_s};
    char clock[WORDS_BYTES];

    printf("%s %s\n", words_clock(&t, t.now_ms, true, clock), text);
    fflush(stdout);
}

static void say_in_call(struct caller *c, const struct model_call *call)
{
    char path[WORDS_BYTES], code[WORDS_BYTES], *text;

    c->has_said_in_call = true;
    words_path(call, path);
    if (call->code[0] != '\0')
        text = mem_printf("In call, %s, call code %s", path, words_code(call->code, code));
    else
        text = mem_printf("In call, %s", path);
    line(c, text);
    mem_free(text);
}

/* "8 min 41 s" */
static void length_words(int64_t s, char out[static WORDS_BYTES])
{
    if (s < 60)
        snprintf(out, WORDS_BYTES, "%lld s", (long long)s);
    else if (s < 3600)
        snprintf(out, WORDS_BYTES, "%lld min %02lld s", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(out, WORDS_BYTES, "%lld h %02lld min", (long long)(s / 3600), (long long)(s % 3600 / 60));
}

static void say_ended(struct caller *c, const struct model_call *call)
{
    struct words_time t = {wall_ms(c), term_utc_offset_s};
    char cause[WORDS_BYTES], length[WORDS_BYTES], quality[WORDS_BYTES], *text;

    words_cause(call, model_contact_by_id(c->model, call->peer), &t, cause);
    if (c->in_call_at != 0) {
        length_words(call->length_s > 0 ? call->length_s : 0, length);
        text = mem_printf("Ended: %s %s, quality %s", cause, length, words_quality(call, quality));
    } else {
        text = mem_printf("Ended: %s", cause);
    }
    line(c, text);
    mem_free(text);
}

static int exit_of_cause(const char *token)
{
    for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++)
        if (strcmp(call_cause_token((enum call_cause)i), token) == 0)
            return call_cause_exit((enum call_cause)i);
    return EXIT_FAILED;
}

/* --wait goes on when another try may help. */
static bool is_worth_waiting(const char *token)
{
    static const char *const causes[] = {"offline", "busy", "not_found", "no_network", "no_path"};

    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (strcmp(causes[i], token) == 0)
            return true;
    return false;
}

static void ended(struct caller *c, const struct model_call *call, ns_t now)
{
    c->code = exit_of_cause(call->cause);
    c->is_ended = true;
    if (c->is_waiting && !c->is_interrupted && is_worth_waiting(call->cause))
        c->retry_at = now + WAIT_RETRY_NS;
    else
        c->leave_at = now + (ctl_core(c->ctl) != NULL ? LINGER_NS : 0);
}

/* The words of a change of state or path. */
static void speak(struct caller *c, const struct model_call *call)
{
    char words[WORDS_BYTES];
    bool is_known = call->path[0] != '\0' && strcmp(call->path, "checking") != 0;

    if (call->state == STATE_ENDED) {
        say_ended(c, call);
    } else if (call->state == STATE_IN_CALL && !c->has_said_in_call) {
        if (is_known)
            say_in_call(c, call);
    } else if (call->state == STATE_LOOKING_UP && c->state != call->state) {
        char who[WORDS_BYTES], *text = mem_printf("Looking up %s", words_peer(call, who));

        line(c, text);
        mem_free(text);
    } else if (call->state != c->state) {
        line(c, words_state(call, 2, words));
    } else if (is_known && c->path[0] != '\0' && strcmp(c->path, call->path) != 0) {
        snprintf(words, sizeof words, "Path changed: now %s.", words_path_short(call->path));
        line(c, words);
    }
    if (is_known)
        snprintf(c->path, sizeof c->path, "%s", call->path);
}

static void on_call(struct caller *c, const cJSON *json)
{
    ns_t now = io_now();
    const struct model_call *call = model_call_by_id(c->model, (int64_t)json_num(json, "id", 0));
    bool is_change = call != NULL && (call->state != c->state || strcmp(call->path, c->path) != 0);

    if (call == NULL || c->is_ended)
        return;
    if (c->cli->is_json && is_change) {
        char *text = json_print(json);

        puts(text);
        fflush(stdout);
        mem_free(text);
        snprintf(c->path, sizeof c->path, "%s", call->path);
    } else if (!c->cli->is_json) {
        speak(c, call);
    }
    if (call->state == STATE_IN_CALL && c->in_call_at == 0) {
        c->in_call_at = now;
        c->hangup_at = c->for_s > 0 ? now + (ns_t)c->for_s * NS_PER_S : NS_NEVER;
    }
    c->state = call->state;
    if (call->state == STATE_ENDED)
        ended(c, call, now);
}

static void on_event(void *arg, const char *json)
{
    struct caller *c = arg;
    struct model_change change;
    cJSON *event;

    if (json == NULL) {
        complain("The running ito ended.");
        c->code = EXIT_NO_DAEMON;
        c->leave_at = 0;
        return;
    }
    event = cJSON_Parse(json);
    if (model_event(c->model, event, &change) == ERR_OK && change.call != NULL &&
        (c->call == 0 ? change.call->is_outgoing && !c->is_ended : change.call->id == c->call)) {
        if (c->call == 0 && change.state_before == STATE_NONE)
            c->call = change.call->id; /* told before the answer to our request */
        if (c->call == change.call->id)
            on_call(c, cJSON_GetObjectItemCaseSensitive(event, "call"));
    } else if (c->retry_at != NS_NEVER && change.contact != NULL &&
               change.presence_before != PRESENCE_ONLINE && change.contact->presence == PRESENCE_ONLINE) {
        c->retry_at = io_now();
    }
    cJSON_Delete(event);
}

static void hang_up(struct caller *c)
{
    cJSON *o = ctl_request("hangup");
    char *text;

    c->hangup_at = NS_NEVER;
    cJSON_AddNumberToObject(o, "id", 0);
    if (c->call != 0)
        cJSON_AddNumberToObject(o, "call", (double)c->call);
    text = json_print(o);
    ctl_send(c->ctl, text);
    mem_free(text);
    cJSON_Delete(o);
}

/* The first one hangs up and the call's own code is returned (TERM: 143); a second one leaves at once. */
static void on_signal(void *arg, int signum)
{
    struct caller *c = arg;

    if (c->is_interrupted) {
        fflush(stdout);
        _exit(EXIT_SIGNAL + signum);
    }
    c->is_interrupted = true;
    c->signum = signum;
    if (c->call == 0 || c->is_ended) {
        c->leave_at = 0;
        c->code = c->is_ended && signum == SIGINT ? c->code : EXIT_SIGNAL + signum;
        return;
    }
    hang_up(c);
    if (!c->is_ended)
        c->leave_at = io_now() + POLITE_NS;
}

static cJSON *call_request(const struct caller *c)
{
    cJSON *o = ctl_request("call");

    cJSON_AddStringToObject(o, "to", c->to);
    if (c->play != NULL)
        cJSON_AddStringToObject(o, "play", c->play);
    if (c->record != NULL)
        cJSON_AddStringToObject(o, "record", c->record);
    return o;
}

static void forget_call(struct caller *c)
{
    c->call = 0;
    c->state = STATE_NONE;
    c->path[0] = '\0';
    c->has_said_in_call = c->is_ended = false;
    c->in_call_at = 0;
    c->hangup_at = c->retry_at = NS_NEVER;
}

static ns_t on_turn(void *arg, ns_t now)
{
    struct caller *c = arg;
    const struct model_call *call;
    ns_t path_at = NS_NEVER;

    if (now >= c->hangup_at)
        hang_up(c);
    if (!c->has_said_in_call && !c->cli->is_json && c->state == STATE_IN_CALL) {
        path_at = c->in_call_at + PATH_WAIT_NS;
        call = model_call_by_id(c->model, c->call);
        if (now >= path_at && call != NULL) {
            say_in_call(c, call);
            path_at = NS_NEVER;
        }
    }
    if (now >= c->leave_at || now >= c->retry_at)
        ctl_stop(c->ctl);
    return ns_min(ns_min(c->hangup_at, path_at), ns_min(c->leave_at, c->retry_at));
}

/* The names and presences, so that words can name people. */
static int learn_contacts(struct caller *c)
{
    cJSON *answer;
    int code = verb_ask_take(c->cli, ctl_request("contacts"), &answer);

    if (code != EXIT_DONE)
        return code;
    model_answer(c->model, "contacts", answer);
    cJSON_Delete(answer);
    return EXIT_DONE;
}

static int run_call(struct caller *c)
{
    int code;

    do {
        cJSON *answer;

        forget_call(c);
        code = verb_ask_take(c->cli, call_request(c), &answer);
        if (code != EXIT_DONE)
            return code;
        if (c->call == 0)
            c->call = (int64_t)json_num(answer, "call", 0);
        cJSON_Delete(answer);
        if (c->leave_at != 0)
            ctl_run(c->ctl);
    } while (io_now() < c->leave_at && !ctl_is_lost(c->ctl));
    if (c->signum == SIGTERM)
        return EXIT_SIGNAL + SIGTERM;
    return c->code;
}

/* The core may live in another folder: a file name must mean the same there. */
static char *absolute(const char *path)
{
    char *cwd, *out;

    if (path == NULL || path[0] == '/')
        return path != NULL ? mem_str(path) : NULL;
    cwd = getcwd(NULL, 0);
    out = mem_printf("%s/%s", cwd != NULL ? cwd : ".", path);
    free(cwd);
    return out;
}

int verb_call(struct cli *cli, int argc, char **argv)
{
    struct caller c = {.cli = cli, .leave_at = NS_NEVER, .retry_at = NS_NEVER, .hangup_at = NS_NEVER};
    struct ctl_options options = {.need = CTL_NETWORK, .mode = APP_PHONE, .has_control = true};
    const char *seconds = NULL, *play = NULL, *record = NULL;
    const struct opt opts[] = {{"--wait", NULL, &c.is_waiting},
                               {"--for", &seconds, NULL},
                               {"--play", &play, NULL},
                               {"--record", &record, NULL}};
    struct ctl_ops ops = {.arg = &c, .event = on_event, .signal = on_signal, .turn = on_turn};
    int code;

    if (!opt_take(cli, opts, 4, &argc, argv) ||
        (seconds != NULL && !opt_number(cli, "--for", seconds, 1, 86400, &c.for_s)))
        return EXIT_USAGE;
    if (argc != 1)
        return usage_error(cli, argc == 0 ? "Whom? ito call CONTACT"
                                          : "One CONTACT only; put a name of several words in quotes.");
    if (play != NULL && access(play, R_OK) != 0) {
        complain("%s: cannot be read", play);
        return EXIT_FAILED;
    }
    options.is_silent = play != NULL || record != NULL;
    code = verb_open_with(cli, &options);
    if (code != EXIT_DONE)
        return code;
    c.ctl = cli->ctl;
    c.to = argv[0];
    c.play = absolute(play);
    c.record = absolute(record);
    c.model = model_create();
    code = learn_contacts(&c);
    ctl_set_ops(c.ctl, &ops);
    io_on_signal(ctl_io(c.ctl), SIGINT);
    io_on_signal(ctl_io(c.ctl), SIGTERM);
    if (code == EXIT_DONE && !ctl_watch(c.ctl))
        code = EXIT_NO_DAEMON;
    if (code == EXIT_DONE)
        code = run_call(&c);
    ctl_set_ops(c.ctl, &(struct ctl_ops){0});
    model_destroy(c.model);
    mem_free(c.play);
    mem_free(c.record);
    return code;
}

/* ---- on the running call ---- */

static int act_take(struct cli *cli, cJSON *request)
{
    int code = verb_open(cli, CTL_DAEMON);

    if (code == EXIT_DONE)
        return verb_ask_take(cli, request, NULL);
    cJSON_Delete(request);
    return code;
}

/* Add a contact to call.auto_answer, by ID: a name may change. */
static int auto_answer(struct cli *cli, const char *contact)
{
    cJSON *answer, *list = NULL, *row, *it, *request;
    char *text, who[128];
    int code = verb_open(cli, CTL_LISTS);

    if (code != EXIT_DONE)
        return code;
    request = ctl_request("contacts_find");
    cJSON_AddStringToObject(request, "contact", contact);
    code = verb_ask_take(cli, request, &answer);
    if (code != EXIT_DONE)
        return code;
    snprintf(who, sizeof who, "%s", json_str(answer, "peer", contact));
    cJSON_Delete(answer);
    code = verb_ask_take(cli, ctl_request("config_show"), &answer);
    if (code != EXIT_DONE)
        return code;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(answer, "keys"))
    {
        if (strcmp(json_str(row, "key", ""), "call.auto_answer") == 0)
            list = cJSON_Parse(json_str(row, "value", "[]"));
    }
    cJSON_Delete(answer);
    if (list == NULL)
        list = cJSON_CreateArray();
    cJSON_ArrayForEach(it, list)
    {
        if (strcmp(it->valuestring, who) == 0) {
            cJSON_Delete(list);
            return EXIT_DONE;
        }
    }
    cJSON_AddItemToArray(list, cJSON_CreateString(who));
    text = json_print(list);
    cJSON_Delete(list);
    request = ctl_request("config_set");
    cJSON_AddStringToObject(request, "key", "call.auto_answer");
    cJSON_AddStringToObject(request, "value", text);
    mem_free(text);
    return verb_ask_take(cli, request, NULL);
}

int verb_answer(struct cli *cli, int argc, char **argv)
{
    const char *who = NULL;
    const struct opt opts[] = {{"--auto", &who, NULL}};

    if (!opt_take(cli, opts, 1, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito answer takes no argument \"%s\".", argv[0]);
    return who != NULL ? auto_answer(cli, who) : act_take(cli, ctl_request("answer"));
}

int verb_hangup(struct cli *cli, int argc, char **argv)
{
    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito hangup takes no argument \"%s\".", argv[0]);
    return act_take(cli, ctl_request("hangup"));
}

int verb_mute(struct cli *cli, int argc, char **argv)
{
    cJSON *request;

    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    if (argc != 1 || (strcmp(argv[0], "on") != 0 && strcmp(argv[0], "off") != 0))
        return usage_error(cli, "Say on or off: ito mute on|off");
    request = ctl_request("mute");
    cJSON_AddBoolToObject(request, "on", strcmp(argv[0], "on") == 0);
    return act_take(cli, request);
}

int verb_dtmf(struct cli *cli, int argc, char **argv)
{
    cJSON *request;

    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    if (argc != 1 || argv[0][strspn(argv[0], "0123456789*#ABCDabcd")] != '\0' || argv[0][0] == '\0')
        return usage_error(cli, "Tones are 0 to 9, *, # and A to D: ito dtmf DIGITS");
    request = ctl_request("dtmf");
    cJSON_AddStringToObject(request, "digits", argv[0]);
    return act_take(cli, request);
}
