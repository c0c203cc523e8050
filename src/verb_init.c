/* Identities: make one, show it, restore one from its phrase (UX.md §1, §2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "crypto/idtext.h"
#include "crypto/phrase.h"
#include "tty.h"
#include "ui/qr.h"
#include "verb.h"

struct init_options {
    const char *name, *passphrase_file;
    const char *given_up; /* the ID whose successor is wanted */
    bool has_no_passphrase;
};

#define NUMBERS_MAX 256 /* identities of one phrase that are looked through */

static bool take_options(struct cli *cli, struct init_options *o, bool is_keys, int *argc, char **argv)
{
    const struct opt opts[] = {{"--name", &o->name, NULL},
                               {"--passphrase-file", &o->passphrase_file, NULL},
                               {"--no-passphrase", NULL, &o->has_no_passphrase},
                               {"--succeed", &o->given_up, NULL}}; /* of `keys` alone */

    if (!opt_take(cli, opts, is_keys ? 4 : 3, argc, argv))
        return false;
    if (o->passphrase_file != NULL && o->has_no_passphrase) {
        usage_error(cli, "--passphrase-file and --no-passphrase cannot be given together.");
        return false;
    }
    if (o->name != NULL && (strlen(o->name) > 64 || !utf8_valid(o->name, strlen(o->name)))) {
        usage_error(cli, "A name has at most 64 bytes of UTF-8.");
        return false;
    }
    return true;
}

int passphrase_for_new(struct cli *cli, const char *file, bool has_none, char out[static PASSPHRASE_BYTES])
{
    const char *path = file != NULL ? file : getenv("ITO_PASSPHRASE_FILE");
    char again[PASSPHRASE_BYTES];
    struct err_detail detail;
    int code = EXIT_DONE;

    out[0] = '\0';
    if (has_none)
        return EXIT_DONE;
    if (path != NULL) {
        if (read_passphrase(path, out, PASSPHRASE_BYTES, &detail))
            return EXIT_DONE;
        complain("%s", detail.text);
        return EXIT_FAILED;
    }
    if (!tty_can_ask())
        return usage_error(cli, "There is no terminal to ask for a passphrase. Give --passphrase-file F or "
                                "--no-passphrase.");
    if (!tty_ask("Passphrase for the key file (empty = none): ", true, out, PASSPHRASE_BYTES) ||
        (out[0] != '\0' && !tty_ask("again: ", true, again, sizeof again)))
        code = EXIT_FAILED;
    else if (out[0] != '\0' && strcmp(out, again) != 0) {
        complain("The two passphrases differ.");
        code = EXIT_FAILED;
    }
    secret_wipe(again, sizeof again);
    return code;
}

static void print_phrase(const uint8_t phrase[static KEY_BYTES])
{
    char text[PHRASE_TEXT_BYTES], *save = NULL, *word;
    int n = 0;

    phrase_encode(phrase, text);
    fputs("Recovery phrase (24 words, write them down; shown only now):\n", stderr);
    for (word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        n++;
        fprintf(stderr, "%5d %-9s%s", n, word, n % 4 == 0 ? "\n" : "");
    }
    secret_wipe(text, sizeof text);
}

enum err identity_save(struct cli *cli, const struct env *env, struct keyring *k, const char *name,
                       const char *passphrase, struct err_detail *detail)
{
    struct config *settings = config_create();
    enum err e = files_make(&cli->files, detail);

    if (e == ERR_OK && file_exists(cli->files.identity))
        e = err_set(detail, ERR_EXISTS, "%s: is there already, and was not touched", cli->files.identity);
    if (e == ERR_OK && name != NULL)
        e = config_set(settings, cli->files.config, "identity.name", name, detail);
    if (e == ERR_OK)
        e = keyring_set_passphrase(env, k, passphrase);
    if (e == ERR_OK)
        e = keystore_save_new(env, cli->files.identity, k, detail);
    config_destroy(settings);
    return e;
}

static void show_id(struct cli *cli, const uint8_t id[static KEY_BYTES])
{
    char text[ID_TEXT_BYTES];

    printf(cli->is_json ? "{\"v\":1,\"id\":\"%s\"}\n" : "%s\n", id_format(id, text));
}

/* phrase NULL: a new one, shown once. number: which identity of it. */
static int make_identity(struct cli *cli, const struct init_options *o, const uint8_t *phrase,
                         uint32_t number)
{
    struct io *io;
    struct keyring k = {0};
    struct err_detail detail = {""};
    uint8_t words[KEY_BYTES] = {0};
    char passphrase[PASSPHRASE_BYTES];
    enum err e = ERR_OK;
    int code;

    if (file_exists(cli->files.identity)) {
        complain("%s: is there already, and was not touched", cli->files.identity);
        return EXIT_REFUSED;
    }
    code = passphrase_for_new(cli, o->passphrase_file, o->has_no_passphrase, passphrase);
    if (code != EXIT_DONE)
        goto out;
    io = io_create();
    if (phrase != NULL)
        keyring_restore(io_env(io), &k, phrase, number);
    else
        keyring_create(io_env(io), &k, words);
    e = identity_save(cli, io_env(io), &k, o->name, passphrase, &detail);
    io_destroy(io);
    code = exit_of(e);
    if (e != ERR_OK) {
        complain("%s", detail.text[0] != '\0' ? detail.text : err_name(e));
    } else {
        if (phrase == NULL)
            print_phrase(words);
        say(cli, "Your ID:");
        show_id(cli, k.identity.pub);
    }
out:
    secret_wipe(passphrase, sizeof passphrase);
    secret_wipe(words, sizeof words);
    keyring_wipe(&k);
    return code;
}

int verb_init(struct cli *cli, int argc, char **argv)
{
    struct init_options o = {0};

    if (!take_options(cli, &o, false, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito init takes no argument \"%s\".", argv[0]);
    if (crypto_init() != ERR_OK)
        return EXIT_FAILED;
    return make_identity(cli, &o, NULL, 0);
}

/* ---- keys phrase ---- */

/* All words from the terminal or the pipe, until there are 24 or the input ends. */
static void read_words(char *out, size_t size)
{
    size_t n = 0, words = 0;
    bool in_word = false;
    char c;

    if (tty_can_ask())
        fputs("Recovery phrase (24 words): ", stderr);
    while (n + 1 < size && read(STDIN_FILENO, &c, 1) == 1) {
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (in_word && !is_letter)
            words++;
        in_word = is_letter;
        out[n++] = c;
        if (c == '\n' && words >= PHRASE_WORDS)
            break;
    }
    out[n] = '\0';
}

/* Which identity of the phrase that ID is; NUMBERS_MAX: none. */
static uint32_t number_of(const uint8_t phrase[static KEY_BYTES], const uint8_t id[static KEY_BYTES])
{
    struct sign_key key;
    uint32_t i;

    for (i = 0; i < NUMBERS_MAX; i++) {
        identity_derive(phrase, i, &key);
        if (memcmp(key.pub, id, KEY_BYTES) == 0)
            break;
    }
    secret_wipe(&key, sizeof key);
    return i;
}

/* The identity after the one whose key was stolen, or may have been. */
static int succeed(struct cli *cli, const struct init_options *o, const uint8_t phrase[static KEY_BYTES])
{
    struct err_detail detail;
    uint8_t id[KEY_BYTES];
    uint32_t number;

    if (id_parse(o->given_up, id, NULL, &detail) != ERR_OK) {
        complain("%s", detail.text);
        return EXIT_USAGE;
    }
    number = number_of(phrase, id);
    if (number == NUMBERS_MAX) {
        complain("These words are well written, but that ID is none of theirs.");
        return EXIT_FAILED;
    }
    if (file_exists(cli->files.identity)) {
        complain("%s: is there already, and was not touched. Stop ito, and move it away first.",
                 cli->files.identity);
        return EXIT_REFUSED;
    }
    return make_identity(cli, o, phrase, number + 1);
}

/* Is it the phrase of the identity that is here? */
static int compare_phrase(struct cli *cli, const uint8_t phrase[static KEY_BYTES])
{
    struct sign_key from_phrase;
    cJSON *answer;
    char text[ID_TEXT_BYTES];
    uint8_t id[KEY_BYTES];
    bool is_same;
    int code = verb_open(cli, CTL_LISTS);

    if (code == EXIT_DONE)
        code = verb_ask_take(cli, ctl_request("status"), &answer);
    if (code != EXIT_DONE)
        return code;
    identity_derive(phrase, 0, &from_phrase);
    id_format(from_phrase.pub, text);
    is_same = id_parse(json_str(cJSON_GetObjectItemCaseSensitive(answer, "status"), "id", ""), id, NULL,
                       NULL) == ERR_OK &&
              number_of(phrase, id) < NUMBERS_MAX;
    secret_wipe(&from_phrase, sizeof from_phrase);
    cJSON_Delete(answer);
    if (!is_same) {
        complain("These words are well written, but belong to another identity: %s", text);
        return EXIT_FAILED;
    }
    say(cli, "These are the words of this identity.");
    return EXIT_DONE;
}

enum err keys_export(struct cli *cli, const char *path, bool may_replace, struct err_detail *detail)
{
    uint8_t *bytes;
    size_t len;
    bool is_sealed;
    enum err e = keystore_needs_passphrase(cli->files.identity, &is_sealed, detail);

    if (e == ERR_NOT_FOUND)
        return err_set(detail, e, "There is no identity here yet (%s). Make one: ito init",
                       cli->files.identity);
    if (e == ERR_OK && file_exists(path) && !may_replace)
        e = err_set(detail, ERR_EXISTS, "%s: is there already. Give -y to replace it.", path);
    if (e == ERR_OK)
        e = file_read(cli->files.identity, KEYSTORE_FILE_MAX, &bytes, &len, detail);
    if (e != ERR_OK)
        return e;
    e = file_replace(path, slice_of(bytes, len), 0600, detail);
    secret_wipe(bytes, len);
    mem_free(bytes);
    if (e == ERR_OK)
        err_set(detail, e,
                is_sealed ? "Saved as %s. It is sealed by your passphrase."
                          : "Saved as %s. It is not sealed: whoever reads it is you.",
                path);
    return e;
}

/* It is opened under a name of its own first: what cannot be opened never becomes the identity. */
enum err keys_import(struct cli *cli, const char *path, const char *passphrase, struct err_detail *detail)
{
    struct keyring k = {0};
    struct err_detail d;
    uint8_t *bytes;
    size_t len;
    char *trial;
    enum err e = ERR_OK;

    if (file_exists(cli->files.identity))
        return err_set(detail, ERR_EXISTS, "%s: is there already, and was not touched", cli->files.identity);
    e = file_read(path, KEYSTORE_FILE_MAX, &bytes, &len, detail);
    if (e != ERR_OK)
        return e;
    trial = mem_printf("%s.import", cli->files.identity);
    e = files_make(&cli->files, detail);
    if (e == ERR_OK)
        e = file_replace(trial, slice_of(bytes, len), 0600, detail);
    secret_wipe(bytes, len);
    mem_free(bytes);
    if (e == ERR_OK) {
        e = keystore_load(trial, passphrase, &k, &d);
        if (e == ERR_LOCKED)
            err_set(detail, e,
                    passphrase != NULL ? "%s: wrong passphrase"
                                       : "%s: protected by a passphrase. Give --passphrase-file F.",
                    path);
        else if (e != ERR_OK)
            err_set(detail, e, "%s: damaged, or no key file of ito", path);
        if (e == ERR_OK && link(trial, cli->files.identity) != 0)
            e = err_set(detail, ERR_IO, "%s: cannot be written", cli->files.identity);
        unlink(trial);
    }
    keyring_wipe(&k);
    mem_free(trial);
    return e;
}

static int run_export(struct cli *cli, const char *path)
{
    struct err_detail detail;
    enum err e = crypto_init();

    if (e == ERR_OK)
        e = keys_export(cli, path, cli->says_yes, &detail);
    if (e != ERR_OK)
        complain("%s", detail.text);
    else
        say(cli, "%s", detail.text);
    return e == ERR_EXISTS || e == ERR_REFUSED ? EXIT_REFUSED : e == ERR_OK ? EXIT_DONE : EXIT_FAILED;
}

static int run_import(struct cli *cli, const struct init_options *o, const char *path)
{
    const char *file = o->passphrase_file != NULL ? o->passphrase_file : getenv("ITO_PASSPHRASE_FILE");
    char passphrase[PASSPHRASE_BYTES] = "";
    struct err_detail detail;
    bool is_sealed = false;
    enum err e = crypto_init();

    if (e != ERR_OK)
        return EXIT_FAILED;
    if (file != NULL && !read_passphrase(file, passphrase, sizeof passphrase, &detail)) {
        complain("%s", detail.text);
        return EXIT_FAILED;
    }
    if (file == NULL && keystore_needs_passphrase(path, &is_sealed, NULL) == ERR_OK && is_sealed)
        tty_ask("Passphrase of the key file: ", true, passphrase, sizeof passphrase);
    e = keys_import(cli, path, passphrase[0] != '\0' ? passphrase : NULL, &detail);
    secret_wipe(passphrase, sizeof passphrase);
    if (e == ERR_OK) {
        say(cli, "Restored. ito id shows the ID.");
        return EXIT_DONE;
    }
    complain("%s", detail.text);
    return e == ERR_LOCKED                       ? EXIT_PASSPHRASE
           : e == ERR_EXISTS || e == ERR_REFUSED ? EXIT_REFUSED
                                                 : EXIT_FAILED;
}

int verb_keys(struct cli *cli, int argc, char **argv)
{
    struct init_options o = {0};
    struct err_detail detail;
    uint8_t phrase[KEY_BYTES];
    char words[1024];
    int code;

    if (!take_options(cli, &o, true, &argc, argv))
        return EXIT_USAGE;
    if (o.given_up != NULL && (argc == 0 || strcmp(argv[0], "phrase") != 0))
        return usage_error(cli, "--succeed belongs to ito keys phrase.");
    if (argc == 0)
        return usage_error(cli, "Say what to do: ito keys export F|import F|phrase");
    if (strcmp(argv[0], "export") == 0 || strcmp(argv[0], "import") == 0) {
        if (argc != 2)
            return usage_error(cli, "Needs one file: ito keys %s F", argv[0]);
        return argv[0][0] == 'e' ? run_export(cli, argv[1]) : run_import(cli, &o, argv[1]);
    }
    if (strcmp(argv[0], "phrase") != 0)
        return unknown_sub(cli, argv[0]);
    if (argc > 1)
        return usage_error(cli, "ito keys phrase takes no argument: the words are asked for.");
    if (crypto_init() != ERR_OK)
        return EXIT_FAILED;
    read_words(words, sizeof words);
    if (phrase_decode(words, phrase, &detail) != ERR_OK) {
        complain("%s", detail.text);
        code = EXIT_FAILED;
    } else if (o.given_up != NULL) {
        code = succeed(cli, &o, phrase);
    } else if (file_exists(cli->files.identity)) {
        code = compare_phrase(cli, phrase);
    } else {
        code = make_identity(cli, &o, phrase, 0);
    }
    secret_wipe(words, sizeof words);
    secret_wipe(phrase, sizeof phrase);
    return code;
}

/* ---- id ---- */

/* Columns of the terminal that stdout is; 0: it is none. */
static unsigned columns(void)
{
    struct winsize w;

    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

void print_qr(const struct cli *cli, const char *what, bool is_inverted)
{
    const char *no_color = getenv("NO_COLOR");
    bool allows_color = isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0');
    struct qr_options o = {.is_ascii = cli->is_ascii,
                           .has_color =
                               cli->color == COLOR_ALWAYS || (cli->color == COLOR_AUTO && allows_color),
                           .is_inverted = is_inverted};
    char *text = qr_text(what, &o);
    unsigned n_lines = 0, wide;

    for (const char *at = text; at != NULL && (at = strchr(at, '\n')) != NULL; at++)
        n_lines++;
    wide = o.is_ascii ? n_lines * 2 : n_lines * 2 - 1; /* a square of an odd number of modules */
    if (text != NULL && columns() > 0 && (unsigned)columns() < wide)
        complain("Window too narrow for the QR code (%u columns).", wide);
    else if (text != NULL)
        fputs(text, stdout);
    mem_free(text);
}

/* The upper-case ID alone makes the smallest code (alphanumeric mode). */
static void print_id_qr(const struct cli *cli, const char *id, bool is_inverted)
{
    char upper[ID_TEXT_BYTES];

    for (size_t i = 0; i < sizeof upper; i++)
        upper[i] = (char)(id[i] >= 'a' && id[i] <= 'z' ? id[i] - 'a' + 'A' : id[i]);
    print_qr(cli, upper, is_inverted);
}

int verb_id(struct cli *cli, int argc, char **argv)
{
    bool has_qr = false, is_inverted = false, is_spaced = false, is_sip = false;
    const struct opt opts[] = {{"--qr", NULL, &has_qr},
                               {"--invert", NULL, &is_inverted},
                               {"--spaced", NULL, &is_spaced},
                               {"--sip", NULL, &is_sip}};
    char spaced[ID_SPACED_BYTES], sip[ID_SIP_BYTES];
    uint8_t id[KEY_BYTES];
    const char *text;
    cJSON *answer;
    int code;

    if (!opt_take(cli, opts, 4, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito id takes no argument \"%s\".", argv[0]);
    code = verb_open(cli, CTL_LISTS);
    if (code == EXIT_DONE)
        code = verb_ask_take(cli, ctl_request("status"), &answer);
    if (code != EXIT_DONE)
        return code;
    text = json_str(cJSON_GetObjectItemCaseSensitive(answer, "status"), "id", "");
    if (id_parse(text, id, NULL, NULL) != ERR_OK)
        code = EXIT_FAILED;
    else if (cli->is_json)
        show_id(cli, id);
    else if (is_spaced)
        puts(id_spaced(id, spaced));
    else if (is_sip)
        puts(id_sip(id, sip));
    else
        puts(text);
    if (code == EXIT_DONE && has_qr && !cli->is_json)
        print_id_qr(cli, text, is_inverted);
    cJSON_Delete(answer);
    return code;
}
