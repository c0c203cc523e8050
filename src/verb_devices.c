/* `ito devices`: the devices of this identity, linking one, striking one off (UX.md §6, THREATS.md §4.11). */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "crypto/code.h"
#include "crypto/idtext.h"
#include "crypto/secret.h"
#include "tty.h"
#include "verb.h"

#define LOOK_NS   (100 * NS_PER_MS) /* how often the keyboard is looked at while the network goes on */
#define LINGER_NS NS_PER_S          /* for the last words to leave */

/* What one of the two machines heard so far. */
struct linking {
    struct cli *cli;
    bool has_asked; /* main device: somebody asks; new device: the code is known */
    bool is_over;
    char state[16], code[8], name[ID_NAME_BYTES];
    int signum;
};

static void on_event(void *arg, const char *json)
{
    struct linking *l = arg;
    cJSON *v = json != NULL ? cJSON_Parse(json) : NULL;
    const char *state = json_str(v, "state", "");

    if (json == NULL)
        l->is_over = true;
    if (strcmp(json_str(v, "ev", ""), "device") == 0) {
        snprintf(l->state, sizeof l->state, "%s", state);
        if (strcmp(state, "asks") == 0 || strcmp(state, "compare") == 0) {
            snprintf(l->code, sizeof l->code, "%s", json_str(v, "code", ""));
            snprintf(l->name, sizeof l->name, "%s", json_str(v, "name", ""));
            l->has_asked = true;
        } else if (strcmp(state, "lost") == 0) {
            l->has_asked = false;
        } else if (strcmp(state, "looking") != 0) {
            l->is_over = true;
        }
        if (l->cli->is_json)
            puts(json);
    }
    cJSON_Delete(v);
}

static void on_signal(void *arg, int signum)
{
    struct linking *l = arg;

    l->signum = signum;
    l->is_over = true;
}

static void begin(struct linking *l)
{
    struct ctl_ops ops = {.arg = l, .event = on_event, .signal = on_signal};

    ctl_set_ops(l->cli->ctl, &ops);
    io_on_signal(ctl_io(l->cli->ctl), SIGINT);
    io_on_signal(ctl_io(l->cli->ctl), SIGTERM);
}

static const char *spaced(const struct linking *l, char out[static CALL_CODE_BYTES])
{
    return call_code_print((uint32_t)strtoul(l->code, NULL, 10), out);
}

/* A line of the keyboard, while the loop goes on: 1 yes, 0 anything else, -1 not yet. */
static int typed_yes(struct linking *l)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[64];
    ssize_t n;

    ctl_run_until(l->cli->ctl, io_now() + LOOK_NS);
    if (poll(&fd, 1, 0) <= 0)
        return -1;
    n = read(STDIN_FILENO, line, sizeof line);
    return n > 0 && (line[0] == 'y' || line[0] == 'Y');
}

static int ask(struct cli *cli, const char *cmd)
{
    cJSON *answer;
    int code = verb_ask_take(cli, ctl_request(cmd), &answer);

    cJSON_Delete(answer);
    return code;
}

/* ---- on the main device ---- */

/* EXIT_DONE: the person agreed; EXIT_REFUSED: did not; EXIT_FAILED: it was lost, and waits again. */
static int compare(struct linking *l)
{
    char code[CALL_CODE_BYTES], asked[sizeof l->code];
    int yes = -1;

    if (l->cli->says_yes)
        return EXIT_DONE;
    snprintf(asked, sizeof asked, "%s", l->code);
    fprintf(stderr, "A device asks to be linked%s%s. Code: %s. Does it show the same? [y/N] ",
            l->name[0] != '\0' ? ", " : "", l->name, spaced(l, code));
    while (yes < 0 && l->has_asked && !l->is_over && strcmp(asked, l->code) == 0)
        yes = typed_yes(l);
    if (yes < 0)
        fputc('\n', stderr);
    return yes < 0 ? EXIT_FAILED : yes == 1 ? EXIT_DONE : EXIT_REFUSED;
}

static int accept_device(struct cli *cli)
{
    cJSON *answer;
    int code = verb_ask_take(cli, ctl_request("devices_accept"), &answer);

    if (code == EXIT_DONE && cli->is_json)
        print_json(answer);
    else if (code == EXIT_DONE)
        say(cli, "Linked: device %.0f. It rings with this one from now on.", json_num(answer, "n", 0));
    cJSON_Delete(answer);
    return code;
}

static int wait_for_device(struct linking *l)
{
    int agreed = EXIT_FAILED, code = EXIT_FAILED;

    while (!l->is_over && agreed == EXIT_FAILED) {
        ctl_run_until(l->cli->ctl, io_now() + LOOK_NS);
        if (l->has_asked && !l->is_over)
            agreed = compare(l);
    }
    if (agreed == EXIT_REFUSED) {
        (void)ask(l->cli, "devices_refuse");
        say(l->cli, "Not linked.");
        return EXIT_REFUSED;
    }
    if (agreed == EXIT_DONE)
        code = accept_device(l->cli);
    for (ns_t until = io_now() + 10 * NS_PER_S; code == EXIT_DONE && !l->is_over && io_now() < until;)
        ctl_run_until(l->cli->ctl,
                      io_now() + LOOK_NS); /* a core inside goes when this ends: not before it is told */
    if (code != EXIT_DONE && l->signum == 0 && strcmp(l->state, "expired") == 0)
        complain("No device asked within 10 minutes. Nothing was linked.");
    if (code != EXIT_DONE && l->signum != 0)
        (void)ask(l->cli, "devices_refuse");
    return l->signum != 0 && code != EXIT_DONE ? EXIT_SIGNAL + l->signum : code;
}

static int link_from_here(struct cli *cli)
{
    struct ctl_options options = {
        .need = CTL_NETWORK, .mode = APP_PHONE, .has_control = true, .is_silent = true};
    struct linking l = {.cli = cli};
    cJSON *answer;
    int code;

    if (!tty_can_ask() && !cli->says_yes)
        return usage_error(
            cli, "There is no terminal to compare the codes on. With -y the first device that has the "
                 "text is linked.");
    code = verb_open_with(cli, &options);
    if (code != EXIT_DONE)
        return code;
    begin(&l);
    if (!ctl_watch(cli->ctl))
        code = EXIT_NO_DAEMON;
    if (code == EXIT_DONE)
        code = verb_ask_take(cli, ctl_request("devices_link"), &answer);
    if (code == EXIT_DONE) {
        if (cli->is_json)
            print_json(answer);
        else
            puts(json_str(answer, "link", ""));
        fflush(stdout);
        cJSON_Delete(answer);
        say(cli, "On the new device, within 10 minutes: ito devices link TEXT");
        code = wait_for_device(&l);
    }
    ctl_set_ops(cli->ctl, &(struct ctl_ops){0});
    return code;
}

/* ---- on the new device ---- */

static int keep(struct linking *l, const char *passphrase)
{
    const char *name = NULL;
    const struct keyring *joined = app_joined_keys(core_app(ctl_core(l->cli->ctl)), &name);
    struct err_detail detail = {{0}};
    struct keyring k;
    char id[ID_TEXT_BYTES];
    enum err e;

    if (joined == NULL)
        return EXIT_FAILED;
    k = *joined;
    e = identity_save(l->cli, io_env(ctl_io(l->cli->ctl)), &k, name[0] != '\0' ? name : NULL, passphrase,
                      &detail);
    if (e != ERR_OK) {
        complain("%s", detail.text[0] != '\0' ? detail.text : err_name(e));
    } else {
        (void)ask(l->cli, "devices_taken");
        ctl_run_until(l->cli->ctl, io_now() + LINGER_NS);
        say(l->cli, "Linked. This device is %s now; the lists come when ito runs on both.",
            id_format(k.identity.pub, id));
        if (l->cli->is_json)
            printf("{\"v\":1,\"id\":\"%s\"}\n", id_format(k.identity.pub, id));
    }
    keyring_wipe(&k);
    return exit_of(e);
}

static int wait_for_yes(struct linking *l, const char *passphrase)
{
    char code[CALL_CODE_BYTES], shown[sizeof l->code] = "";

    say(l->cli, "Looking for the other device.");
    while (!l->is_over) {
        ctl_run_until(l->cli->ctl, io_now() + LOOK_NS);
        if (!l->has_asked || strcmp(shown, l->code) == 0)
            continue;
        snprintf(shown, sizeof shown, "%s", l->code);
        say(l->cli, "Code: %s. Say yes on the other device if it shows the same.", spaced(l, code));
    }
    if (l->signum != 0)
        return EXIT_SIGNAL + l->signum;
    if (strcmp(l->state, "linked") == 0)
        return keep(l, passphrase);
    complain(
        strcmp(l->state, "refused") == 0
            ? "The other device said no. Nothing was changed here."
            : "The other device was not found within 10 minutes. Is ito devices link still waiting there?");
    return strcmp(l->state, "refused") == 0 ? EXIT_REFUSED : EXIT_FAILED;
}

static int link_this(struct cli *cli, const char *text, const char *passphrase_file, bool has_no_passphrase)
{
    struct ctl_options options = {.need = CTL_OWN, .mode = APP_PHONE, .is_silent = true, .is_joining = true};
    struct linking l = {.cli = cli};
    char passphrase[PASSPHRASE_BYTES];
    cJSON *request, *answer;
    int code;

    if (file_exists(cli->files.identity)) {
        complain("%s: is there already, and was not touched. A device is linked before it has an identity.",
                 cli->files.identity);
        return EXIT_REFUSED;
    }
    code = passphrase_for_new(cli, passphrase_file, has_no_passphrase, passphrase);
    if (code == EXIT_DONE)
        code = verb_open_with(cli, &options);
    if (code == EXIT_DONE) {
        begin(&l);
        request = ctl_request("devices_join");
        cJSON_AddStringToObject(request, "link", text);
        code = verb_ask_take(cli, request, &answer);
        cJSON_Delete(answer);
    }
    if (code == EXIT_DONE)
        code = wait_for_yes(&l, passphrase);
    if (cli->ctl != NULL)
        ctl_set_ops(cli->ctl, &(struct ctl_ops){0});
    secret_wipe(passphrase, sizeof passphrase);
    return code;
}

/* ---- list, remove ---- */

static int list(struct cli *cli)
{
    cJSON *answer, *o;
    int code = verb_open(cli, CTL_LISTS);

    if (code == EXIT_DONE)
        code = verb_ask_take(cli, ctl_request("devices"), &answer);
    if (code != EXIT_DONE)
        return code;
    if (cli->is_json) {
        print_json(answer);
    } else {
        cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(answer, "devices"))
        {
            const cJSON *online = cJSON_GetObjectItemCaseSensitive(o, "online");

            printf("%3.0f  %-6s  %s\n", json_num(o, "n", 0), json_bool(o, "main", false) ? "main" : "linked",
                   json_bool(o, "this", false) ? "this device"
                   : cJSON_IsTrue(online)      ? "connected"
                   : cJSON_IsFalse(online)     ? "not connected"
                                               : "-");
        }
        if (json_bool(answer, "removed", false))
            say(cli, "The main device removed this one. Contacts do not hear it any more.");
    }
    cJSON_Delete(answer);
    return EXIT_DONE;
}

static int remove_device(struct cli *cli, const char *which)
{
    char question[96], line[16] = "";
    cJSON *request, *answer;
    long n;
    int code;

    if (!opt_number(cli, "N", which, 1, 256, &n))
        return EXIT_USAGE;
    snprintf(question, sizeof question, "Remove device %ld? Your contacts get a new secret. [y/N] ", n);
    if (!cli->says_yes && !tty_can_ask()) {
        complain("Removing a device needs -y.");
        return EXIT_REFUSED;
    }
    if (!cli->says_yes &&
        (!tty_ask(question, false, line, sizeof line) || (line[0] != 'y' && line[0] != 'Y')))
        return EXIT_REFUSED;
    code = verb_open(cli, CTL_LISTS);
    if (code != EXIT_DONE)
        return code;
    request = ctl_request("devices_remove");
    cJSON_AddNumberToObject(request, "n", (double)n);
    code = verb_ask_take(cli, request, &answer);
    if (code == EXIT_DONE)
        say(cli, "Device %ld is no longer yours.", n);
    cJSON_Delete(answer);
    return code;
}

int verb_devices(struct cli *cli, int argc, char **argv)
{
    const char *passphrase_file = NULL;
    bool has_no_passphrase = false;
    const struct opt opts[] = {{"--passphrase-file", &passphrase_file, NULL},
                               {"--no-passphrase", NULL, &has_no_passphrase}};

    if (!opt_take(cli, opts, sizeof opts / sizeof opts[0], &argc, argv))
        return EXIT_USAGE;
    if (argc == 0 || (argc == 1 && strcmp(argv[0], "list") == 0))
        return list(cli);
    if (strcmp(argv[0], "link") == 0 && argc == 1)
        return link_from_here(cli);
    if (strcmp(argv[0], "link") == 0 && argc == 2)
        return link_this(cli, argv[1], passphrase_file, has_no_passphrase);
    if (strcmp(argv[0], "link") == 0)
        return usage_error(cli, "One text only; put it in quotes: ito devices link [TEXT]");
    if (strcmp(argv[0], "remove") == 0 && argc == 2)
        return remove_device(cli, argv[1]);
    if (strcmp(argv[0], "remove") == 0)
        return usage_error(cli, "Which? ito devices remove N");
    return unknown_sub(cli, argv[0]);
}
