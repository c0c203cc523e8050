/* ito - a telephone in the terminal: the table of commands, and the options they share (UX.md §6). */
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "io/confine.h"
#include "verb.h"

#define ITO_VERSION "0.1"

/* clang-format off */
static const struct verb verbs[] = {
    {"call", "CONTACT [--wait] [--for SEC] [--play F] [--record F]", "call somebody; Ctrl-C hangs up",
     "ito call Kenji\n"
     "ito call Echo --play in.wav --record out.wav --for 5    a first call: no network, no sound card\n"
     "ito call Kenji --wait                                   again until Kenji can be reached\n",
     NULL, "--wait --for --play --record", verb_call},
    {"answer", "[--auto CONTACT]", "answer the call that rings",
     "ito answer\nito answer --auto Hanako    from now on, Hanako's calls are answered without asking\n",
     NULL, "--auto", verb_answer},
    {"hangup", "", "end, cancel or decline the call", "ito hangup\n", NULL, NULL, verb_hangup},
    {"mute", "on|off", "microphone off, and on again", "ito mute on\n", "on off", NULL, verb_mute},
    {"dtmf", "DIGITS", "send tones: 0 to 9, * # A to D", "ito dtmf '1234#'\n", NULL, NULL, verb_dtmf},
    {"daemon", "[--foreground]", "the phone without screens; commands and screens attach to it",
     "ito daemon                 goes to the background when it is ready\n"
     "ito daemon --foreground    for systemd, and to see the log\n",
     NULL, "--foreground", verb_daemon},
    {"relay", "[--max-kbps N] [--max-calls N] [--port P] | drain [on|off] | upgrade",
     "carry calls of others; needs no sound",
     "ito relay\nito relay --max-kbps 5000 --max-calls 50 --port 41641\n"
     "ito relay drain      take no new calls, finish those there are\n"
     "ito relay upgrade    become the program at its path; calls go on\n",
     "drain upgrade", "--max-kbps --max-calls --port", verb_relay},
    {"id", "[--qr] [--invert] [--spaced] [--sip]", "your own ID",
     "ito id\nito id --qr        to be scanned\nito id --spaced    to be read aloud\nito id --sip       as a SIP address\n",
     NULL, "--qr --invert --spaced --sip", verb_id},
    {"init", "[--name N] [--passphrase-file F | --no-passphrase]", "make an identity",
     "ito init --name Taro                      asks for a passphrase\n"
     "ito init --name Taro --no-passphrase      for machines that start unattended\n",
     NULL, "--name --passphrase-file --no-passphrase", verb_init},
    {"contacts", "list|add ID [NAME]|allow|block|remove CONTACT|rename OLD NEW|import F|export [F]",
     "who may ring you, and who may not",
     "ito contacts add ito1... Kenji    allow Kenji and send a contact request\n"
     "ito contacts rename Kenji \"Kenji (work)\"\nito contacts block bot\nito contacts import friends.json\n",
     "list add allow block remove rename import export", NULL, verb_contacts},
    {"invite", "[--expires 7d] [--uses 1] [--qr] [--invert]", "a text to hand over: who reads it first may ring you",
     "ito invite                          good for one person, for 7 days\n"
     "ito invite --uses 5 --expires 2d    for the first five who read it\n"
     "ito invite --qr                     to be scanned\n",
     NULL, "--expires --uses --qr --invert", verb_invite},
    {"requests", "[list|allow N|block N|delete N|send ID NOTE]", "people who asked; they cannot ring you",
     "ito requests\nito requests allow 1\nito requests send ito1... \"Yuki from the club\"\n",
     "list allow block delete send", NULL, verb_requests},
    {"history", "", "all calls, failed ones too", "ito history\nito history --json\n", NULL, NULL, verb_history},
    {"status", "", "one look at everything", "ito status\nito status --json\n", NULL, NULL, verb_status},
    {"relays", "", "relays you use, and their scores", "ito relays\n", NULL, NULL, verb_relays},
    {"ledger", "[sponsor CONTACT [MINUTES] | unsponsor CONTACT]", "what you gave and used; share what your relay earned",
     "ito ledger\n"
     "ito ledger sponsor Kenji       30 minutes a week, of your surplus, on all relays that know you\n"
     "ito ledger unsponsor Kenji\n",
     "sponsor unsponsor", NULL, verb_ledger},
    {"log", "[-f]", "the log file", "ito log\nito log -f    and what is added to it\n", NULL, "-f", verb_log},
    {"watch", "", "events as they come, one JSON object a line", "ito watch | jq .ev\n", NULL, NULL, verb_watch},
    {"config", "check [F]|show|get KEY|set KEY VALUE", "settings",
     "ito config show\nito config set audio.bitrate 32000\nito config check\n",
     "check show get set", NULL, verb_config},
    {"keys", "export F|import F|phrase [--succeed ID]", "keep a copy of the key file; check a recovery phrase, or restore from it",
     "ito keys export /media/stick/ito.key    sealed by the passphrase it has\n"
     "ito keys import /media/stick/ito.key    on a machine without an identity\n"
     "ito keys phrase                         asks for the 24 words; pipes work too\n"
     "ito keys phrase --succeed ito1...       its key was stolen: the next identity, which contacts follow\n",
     "export import phrase", "--name --passphrase-file --no-passphrase --succeed", verb_keys},
    {"devices", "[list|link [TEXT]|remove N]", "the devices of this identity: all of them ring",
     "ito devices link                        prints a text for the new device, and waits for it\n"
     "ito devices link 'ito:ito1...?l=itol1...'   on the new device, before it has an identity\n"
     "ito devices remove 2                    lost or sold: contacts get a new secret\n",
     "list link remove", "--passphrase-file --no-passphrase", verb_devices},
    {"dht", "[--zone Z | --mainline] [--peer HOST:PORT]... ping|node|find KEY|get KEY|put|announce HASH|peers HASH",
     "a look at the overlay, for people who build on it",
     "ito dht --peer 192.0.2.7:41641 ping\n"
     "ito dht --mainline put --seed 00..1f --value hello --salt news    KEY, HEX and HASH in hexadecimal\n"
     "ito dht --mainline get 03a107bf..31b8 --salt news --json\n"
     "ito dht --mainline put --value hello       immutable: without --seed\n"
     "ito dht --mainline announce HASH --port 6881\n",
     "ping node find get put announce peers",
     "--zone --mainline --peer --seed --value --value-file --salt --seq --cas --port", verb_dht},
    {"zone", "key|node|member NODE [--days N]", "a closed zone: its key, this node's name, certificates of members",
     "ito zone key                          the administrator: makes the zone's key, then shows its public part\n"
     "ito zone node                         every member: the name of this node, for the administrator\n"
     "ito zone member iton1... --days 90    the administrator: that node's certificate, for its net.zone_cert\n",
     "key node member", "--days", verb_zone},
    {"doctor", "[audio|net|overlay|files]", "checks, each ok, warn or FAIL with a next step",
     "ito doctor\nito doctor audio\n", "audio net overlay files", NULL, verb_doctor},
    {"completion", "bash|zsh|fish", "completion for your shell", "eval \"$(ito completion bash)\"\n", "bash zsh fish", NULL, verb_completion},
    {"help", "[COMMAND]", "this, or more on one command", "ito help call\n", NULL, NULL, verb_help},
};
/* clang-format on */

#define N_VERBS (sizeof verbs / sizeof *verbs)

const struct verb *verb_table(size_t *n)
{
    *n = N_VERBS;
    return verbs;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int unknown_verb(struct cli *cli, const char *name)
{
    const char *best = NULL;
    size_t least = word_slack(name);

    for (size_t i = 0; i < N_VERBS; i++) {
        size_t d = word_distance(name, verbs[i].name);

        if (d < least) {
            least = d;
            best = verbs[i].name;
        }
    }
    if (best != NULL)
        return usage_error(cli, "Unknown command \"%.64s\". Did you mean \"%s\"?", name, best);
    return usage_error(cli, "Unknown command \"%.64s\".", name);
}

/* ---- help ---- */

static void help_globals(void)
{
    puts("\nGlobal options:\n"
         "  --dir DIR                  everything under one folder (also ITO_DIR)\n"
         "  --config F                 this configuration file\n"
         "  --json                     one JSON object, or one a line\n"
         "  --plain                    the phone as a line dialogue, for screen readers and pipes\n"
         "  --color auto|always|never  colours in the screens\n"
         "  --ascii                    no character beyond ASCII\n"
         "  -v  -q  -y                 say more, say less, answer yes\n"
         "  --help  --version");
}

static int help_all(void)
{
    puts("Examples:\n"
         "  ito                    the telephone\n"
         "  ito call Echo          a first call: nobody and no network needed\n"
         "  ito id --qr            your ID, to be scanned\n"
         "  ito contacts add ito1... Kenji\n"
         "\nito [GLOBAL] [COMMAND]\n");
    for (size_t i = 0; i < N_VERBS; i++)
        printf("  %-12s %s\n", verbs[i].name, verbs[i].about);
    help_globals();
    puts("\nito help COMMAND says more. Exit codes are in ito(1).");
    return EXIT_DONE;
}

static int help_one(const struct verb *v)
{
    const char *at = v->examples;

    puts("Examples:");
    while (*at != '\0') {
        int n = (int)strcspn(at, "\n");

        printf("  %.*s\n", n, at);
        at += n + (at[n] == '\n');
    }
    printf("\nito %s %s\n  %s\n", v->name, v->args, v->about);
    return EXIT_DONE;
}

int verb_help(struct cli *cli, int argc, char **argv)
{
    const struct verb *v;

    if (argc == 0)
        return help_all();
    v = find_verb(argv[0]);
    if (v != NULL)
        return help_one(v);
    cli->verb = NULL;
    return unknown_verb(cli, argv[0]);
}

static int version(void)
{
    puts("ito " ITO_VERSION "\nfeatures: opus alsa wav ice turn relay dht libuv ncursesw sqlite speexdsp qr");
    return EXIT_DONE;
}

/* ---- globals ---- */

enum taken { TAKEN_NOT, TAKEN_ONE, TAKEN_TWO, TAKEN_BAD };

static enum taken take_text(struct cli *cli, int argc, char **argv, const char *name, const char **out)
{
    size_t n = strlen(name);

    if (strncmp(argv[0], name, n) != 0 || (argv[0][n] != '\0' && argv[0][n] != '='))
        return TAKEN_NOT;
    if (argv[0][n] == '=')
        *out = argv[0] + n + 1;
    else
        *out = argc > 1 ? argv[1] : "";
    if ((*out)[0] == '\0') {
        usage_error(cli, "Option %s needs a value.", name);
        return TAKEN_BAD;
    }
    return argv[0][n] == '=' ? TAKEN_ONE : TAKEN_TWO;
}

static enum taken take_flag(struct cli *cli, const char *word)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--json", &cli->is_json}, {"--plain", &cli->is_plain}, {"--ascii", &cli->is_ascii},
                 {"-v", &cli->is_verbose},  {"-q", &cli->is_quiet},      {"-y", &cli->says_yes}};

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(flags[i].name, word) == 0) {
            *flags[i].flag = true;
            return TAKEN_ONE;
        }
    return TAKEN_NOT;
}

static enum taken take_color(struct cli *cli, int argc, char **argv)
{
    const char *word = NULL;
    enum taken t = take_text(cli, argc, argv, "--color", &word);

    if (t != TAKEN_ONE && t != TAKEN_TWO)
        return t;
    if (strcmp(word, "auto") == 0)
        cli->color = COLOR_AUTO;
    else if (strcmp(word, "always") == 0)
        cli->color = COLOR_ALWAYS;
    else if (strcmp(word, "never") == 0)
        cli->color = COLOR_NEVER;
    else
        return usage_error(cli, "Option --color: \"%s\" is not one of auto, always, never.", word), TAKEN_BAD;
    return t;
}

static enum taken take_global(struct cli *cli, int argc, char **argv)
{
    enum taken t = take_flag(cli, argv[0]);

    if (t == TAKEN_NOT)
        t = take_text(cli, argc, argv, "--dir", &cli->dir);
    if (t == TAKEN_NOT)
        t = take_text(cli, argc, argv, "--config", &cli->config);
    return t != TAKEN_NOT ? t : take_color(cli, argc, argv);
}

struct wanted {
    bool help, version;
};

/* Take the globals out of argv, wherever they stand before "--". False: said what is wrong. */
static bool take_globals(struct cli *cli, int *argc, char **argv, struct wanted *wanted)
{
    int kept = 0, i = 0;

    while (i < *argc) {
        enum taken t = TAKEN_NOT;

        if (strcmp(argv[i], "--") == 0)
            break;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            wanted->help = true, t = TAKEN_ONE;
        else if (strcmp(argv[i], "--version") == 0)
            wanted->version = true, t = TAKEN_ONE;
        else
            t = take_global(cli, *argc - i, argv + i);
        if (t == TAKEN_BAD)
            return false;
        if (t == TAKEN_NOT)
            argv[kept++] = argv[i];
        i += t == TAKEN_TWO ? 2 : 1;
    }
    while (i < *argc)
        argv[kept++] = argv[i++];
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

/* A file that was named has to be there, but for those who make it. */
static bool is_config_missing(const struct cli *cli)
{
    static const char *const makers[] = {"init", "config", "help", "completion"};

    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (strcmp(cli->verb, makers[i]) == 0)
            return false;
    return cli->config != NULL && !file_exists(cli->config);
}

static int run(struct cli *cli, int argc, char **argv, const struct wanted *wanted)
{
    const struct verb *v;

    if (wanted->version)
        return version();
    if (argc == 0)
        return wanted->help ? help_all() : verb_phone(cli, 0, argv);
    if (argv[0][0] == '-')
        return usage_error(cli, "Unknown option \"%s\".", argv[0]);
    v = find_verb(argv[0]);
    if (v == NULL)
        return unknown_verb(cli, argv[0]);
    if (wanted->help)
        return help_one(v);
    cli->verb = v->name;
    if (is_config_missing(cli)) {
        complain("%s: no such file", cli->config);
        return EXIT_CONFIG;
    }
    return v->run(cli, argc - 1, argv + 1);
}

static bool has_demo(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--demo") == 0)
            return true;
    return false;
}

/* ITO_LOG as given, "debug" by -v; false: said that it is no level. */
static bool check_log_level(struct cli *cli)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const char *level = getenv("ITO_LOG");

    if (cli->is_verbose)
        setenv("ITO_LOG", "debug", 1);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (level == NULL || level[0] == '\0' || strcmp(level, levels[i]) == 0)
            return true;
    usage_error(cli, "ITO_LOG: \"%.64s\" is not one of error, warn, info, debug.", level);
    return false;
}

int main(int argc, char **argv)
{
    const char *ascii = getenv("ITO_ASCII");
    struct cli cli = {0};
    struct wanted wanted = {0};
    int code = EXIT_USAGE;

    confine_memory();
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    if (has_demo(argc, argv))
        return verb_demo(argc, argv);
    argc--;
    argv++;
    if (take_globals(&cli, &argc, argv, &wanted) && check_log_level(&cli)) {
        cli.is_ascii |=
            (ascii != NULL && strcmp(ascii, "1") == 0) || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
        files_init(&cli.files, cli.dir, cli.config);
        code = run(&cli, argc, argv, &wanted);
        ctl_close(cli.ctl);
        files_fini(&cli.files);
    }
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        code = EXIT_FAILED;
    return code;
}
