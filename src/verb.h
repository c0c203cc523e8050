/* verb.h - what the commands share: global options, the options of one command, exit codes, words.
 *
 *   owner  struct cli lives in main(); its strings are those of argv and the environment */
#ifndef ITO_VERB_H
#define ITO_VERB_H

#include "ctl.h"
#include "tty.h"

/* UX.md §6; 9 to 22 are call_cause_exit(). */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CONFIG = 3,
    EXIT_NO_DAEMON = 4,
    EXIT_NO_SUCH = 5,
    EXIT_PASSPHRASE = 6,
    EXIT_REFUSED = 7,
    EXIT_OWNED = 8,
    EXIT_WARNINGS = 30,
    EXIT_FAILURES = 31,
    EXIT_SIGNAL = 128
};

enum cli_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* The globals, and the command that runs. */
struct cli {
    const char *dir, *config;
    bool is_json, is_plain, is_ascii, is_quiet, is_verbose, says_yes;
    enum cli_color color;
    struct files files;
    const char *verb;
    struct ctl *ctl; /* of verb_open() */
};

struct verb {
    const char *name, *args, *about;
    const char *examples;                               /* lines, each a command with what it does */
    const char *subs;                                   /* second words, separated by blanks; NULL: none */
    const char *options;                                /* the same for options */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the first word after the command */
};

/* An option of one command: `--name VALUE` or `--name=VALUE` when value is set, else a flag. */
struct opt {
    const char *name;
    const char **value;
    bool *flag;
};

/* Move options out of argv; what is left are words, their number in *argc. False: said what is wrong. */
bool opt_take(struct cli *cli, const struct opt *opts, size_t n, int *argc, char **argv);
/* A whole number within bounds; false: said so. */
bool opt_number(struct cli *cli, const char *name, const char *text, long min, long max, long *out);

/* "ito: ..." is not put before: messages are whole sentences. Ends with `try: ito help VERB`. EXIT_USAGE. */
int usage_error(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A sentence for a person, on stderr; dropped by -q. */
void say(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, never dropped: what went wrong. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Levenshtein; both shorter than 32 bytes. */
size_t word_distance(const char *a, const char *b);
size_t word_slack(const char *given);
/* "Unknown command "contacts lst". Did you mean "contacts list"?", by the table of commands. EXIT_USAGE. */
int unknown_sub(struct cli *cli, const char *given);

/* Open cli->ctl; EXIT_DONE, or the code after saying why not. */
int verb_open(struct cli *cli, enum ctl_need need);
int verb_open_with(struct cli *cli, struct ctl_options *options);
/* The sentence and the exit code of a core that cannot be opened. */
int verb_cannot_open(const struct cli *cli, enum err e, const struct err_detail *detail);
/* Ask, and say what was wrong when the answer is no. EXIT_DONE: *answer (may be NULL) is the caller's. */
int verb_ask_take(struct cli *cli, cJSON *request, cJSON **answer);
/* The exit code of an error of the core, or of ours. */
int exit_of(enum err e);
/* Data as one JSON object with "v":1 first, without the members of the answer frame. */
void print_json(const cJSON *answer);
/* A QR code on stdout, when the window is wide enough for it. */
void print_qr(const struct cli *cli, const char *what, bool is_inverted);
/* The passphrase in a file: its first line; false: said why not. Wipe it. */
bool read_passphrase(const char *path, char *out, size_t size, struct err_detail *detail);

/* Write a new identity and its name (may be NULL): ERR_EXISTS leaves what is there. */
enum err identity_save(struct cli *cli, const struct env *env, struct keyring *k, const char *name,
                       const char *passphrase, struct err_detail *detail);
/* The passphrase for a new identity file, "" for none: of a file (NULL: ITO_PASSPHRASE_FILE), or asked for twice.
 * EXIT_DONE, or the code after saying why not. Wipe it. */
int passphrase_for_new(struct cli *cli, const char *file, bool has_none, char out[static PASSPHRASE_BYTES]);
/* A copy of the identity file, sealed as it is (an existing path: ERR_EXISTS unless may_replace); and one put in its
 * place where there is none yet, after it could be opened. Both leave everything as it was on failure. */
enum err keys_export(struct cli *cli, const char *path, bool may_replace, struct err_detail *detail);
enum err keys_import(struct cli *cli, const char *path, const char *passphrase, struct err_detail *detail);
/* {"v":1,"checks":[...],"worst":"warn"}; part NULL: all of them. NULL: there is no such part. */
cJSON *doctor_checks(struct cli *cli, const char *part);

const struct verb *verb_table(size_t *n);

/* One file each. */
int verb_demo(int argc, char **argv);
int verb_phone(struct cli *cli, int argc, char **argv);
int verb_call(struct cli *cli, int argc, char **argv);
int verb_answer(struct cli *cli, int argc, char **argv);
int verb_hangup(struct cli *cli, int argc, char **argv);
int verb_mute(struct cli *cli, int argc, char **argv);
int verb_dtmf(struct cli *cli, int argc, char **argv);
int verb_daemon(struct cli *cli, int argc, char **argv);
int verb_relay(struct cli *cli, int argc, char **argv);
int verb_id(struct cli *cli, int argc, char **argv);
int verb_init(struct cli *cli, int argc, char **argv);
int verb_keys(struct cli *cli, int argc, char **argv);
int verb_contacts(struct cli *cli, int argc, char **argv);
int verb_devices(struct cli *cli, int argc, char **argv);
int verb_invite(struct cli *cli, int argc, char **argv);
int verb_requests(struct cli *cli, int argc, char **argv);
int verb_history(struct cli *cli, int argc, char **argv);
int verb_status(struct cli *cli, int argc, char **argv);
int verb_relays(struct cli *cli, int argc, char **argv);
int verb_ledger(struct cli *cli, int argc, char **argv);
int verb_log(struct cli *cli, int argc, char **argv);
int verb_watch(struct cli *cli, int argc, char **argv);
int verb_config(struct cli *cli, int argc, char **argv);
int verb_zone(struct cli *cli, int argc, char **argv);
int verb_dht(struct cli *cli, int argc, char **argv);
int verb_doctor(struct cli *cli, int argc, char **argv);
int verb_help(struct cli *cli, int argc, char **argv);
int verb_completion(struct cli *cli, int argc, char **argv);

#endif
