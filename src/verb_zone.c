/* `ito zone`: what a closed zone needs. Its key pair lies with its administrator; each member has a certificate for its
 * own node key, by that key and for a time (THREATS.md §4.13). */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "app/membership.h"
#include "app/node_file.h"
#include "base/file.h"
#include "base/mem.h"
#include "crypto/idtext.h"
#include "io/loop.h"
#include "verb.h"

#define DAYS_DEFAULT "365"
#define DAYS_MAX     3650

static int fail(enum err e, const struct err_detail *detail)
{
    complain("%s", detail->text[0] != '\0' ? detail->text : err_name(e));
    return e == ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
}

static int load(struct cli *cli, struct config **out)
{
    struct config_errors errors = {0};
    struct config *c = config_create();
    enum err e = config_load(c, cli->files.config, "config.json", &errors);

    for (unsigned i = 0; i < errors.n; i++)
        complain("%s", errors.lines[i]);
    config_errors_fini(&errors);
    if (e != ERR_OK) {
        config_destroy(c);
        return EXIT_CONFIG;
    }
    *out = c;
    return EXIT_DONE;
}

static void print_text(const struct cli *cli, const char *name, const char *text)
{
    cJSON *out;

    if (!cli->is_json) {
        puts(text);
        return;
    }
    out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, name, text);
    print_json(out);
    cJSON_Delete(out);
}

static void draw(uint8_t seed[static KEY_BYTES])
{
    struct io *io = io_create();

    env_random(io_env(io), seed, KEY_BYTES);
    io_destroy(io);
}

/* ---- the key of the zone ---- */

/* ERR_NOT_FOUND: there is none. Whoever can read it can make members. */
static enum err read_zone_key(const struct cli *cli, struct sign_key *out, struct err_detail *detail)
{
    const char *path = cli->files.zone_key;
    struct stat st;
    uint8_t *seed;
    size_t len;
    enum err e;

    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return err_set(detail, ERR_REFUSED, "%s: others can read it. chmod 600 %s", path, path);
    e = file_read(path, KEY_BYTES + 1, &seed, &len, detail);
    if (e != ERR_OK)
        return e;
    if (len == KEY_BYTES)
        sign_key_from_seed(seed, out);
    else
        e = err_set(detail, ERR_IO, "%s: this is no zone key: %zu bytes, not %d", path, len, KEY_BYTES);
    secret_wipe(seed, len);
    mem_free(seed);
    return e;
}

static enum err make_zone_key(const struct cli *cli, struct sign_key *out, struct err_detail *detail)
{
    uint8_t seed[KEY_BYTES];
    enum err e = files_make(&cli->files, detail);

    if (e != ERR_OK)
        return e;
    draw(seed);
    e = file_replace(cli->files.zone_key, slice_of(seed, sizeof seed), 0600, detail);
    sign_key_from_seed(seed, out);
    secret_wipe(seed, sizeof seed);
    if (e == ERR_OK)
        say(cli,
            "A new zone key, in %s. Keep it, and a copy elsewhere: it makes members. Every member sets\n"
            "net.zone_key to its public part:",
            cli->files.zone_key);
    return e;
}

static int zone_key(struct cli *cli)
{
    char text[ZONE_TEXT_BYTES];
    struct err_detail detail = {""};
    struct sign_key key = {0};
    enum err e = read_zone_key(cli, &key, &detail);

    if (e == ERR_NOT_FOUND)
        e = make_zone_key(cli, &key, &detail);
    if (e == ERR_OK)
        print_text(cli, "zone_key", zone_key_format(key.pub, text));
    secret_wipe(&key, sizeof key);
    return e == ERR_OK ? EXIT_DONE : fail(e, &detail);
}

/* ---- our node ---- */

/* Its key is drawn here if this phone had none to keep so far; the nonce is found when it starts. */
static int zone_node(struct cli *cli)
{
    uint8_t seed[KEY_BYTES], nonce[PUZZLE_NONCE_BYTES] = {0};
    char text[NODE_TEXT_BYTES];
    struct err_detail detail = {""};
    struct sign_key key;
    enum err e = node_file_read(cli->files.node_key, seed, nonce, &detail);

    if (e == ERR_NOT_FOUND) {
        draw(seed);
        e = files_make(&cli->files, &detail);
        if (e == ERR_OK)
            e = node_file_write(cli->files.node_key, seed, nonce, &detail);
    }
    if (e == ERR_OK) {
        sign_key_from_seed(seed, &key);
        print_text(cli, "node", node_format(key.pub, text));
        secret_wipe(&key, sizeof key);
    }
    secret_wipe(seed, sizeof seed);
    return e == ERR_OK ? EXIT_DONE : fail(e, &detail);
}

/* ---- a member ---- */

static int print_member(struct cli *cli, const struct sign_key *key, const struct config *settings,
                        const uint8_t N[static KEY_BYTES], long days)
{
    uint8_t zone[ZONE_ID_BYTES], cert[MEMBER_CERT_BYTES];
    char text[MEMBER_TEXT_BYTES], day[16];
    uint32_t until = (uint32_t)(time(NULL) / 86400 + days);

    zone_id(config_str(settings, CFG_NET_ZONE), key->pub, zone);
    if (zone_member_make(key, zone, N, until, cert) != ERR_OK)
        return EXIT_FAILED;
    print_text(cli, "member", member_format(cert, text));
    say(cli, "A member of the zone \"%s\" until %s, for that node's net.zone_cert. It cannot be taken back.",
        config_str(settings, CFG_NET_ZONE), membership_day(until, day));
    return EXIT_DONE;
}

static int zone_member(struct cli *cli, const char *node, long days)
{
    struct err_detail detail = {""};
    struct config *settings = NULL;
    struct sign_key key = {0};
    uint8_t N[KEY_BYTES];
    enum err e;
    int code;

    if (node_parse(node, N, &detail) != ERR_OK) {
        complain("%s", detail.text);
        return EXIT_USAGE;
    }
    code = load(cli, &settings);
    if (code != EXIT_DONE)
        return code;
    e = read_zone_key(cli, &key, &detail);
    if (e == ERR_NOT_FOUND) {
        complain("There is no zone key here: only the administrator of a zone makes members. "
                 "To begin a zone of your own: ito zone key");
        code = EXIT_NO_SUCH;
    } else {
        code = e == ERR_OK ? print_member(cli, &key, settings, N, days) : fail(e, &detail);
    }
    secret_wipe(&key, sizeof key);
    config_destroy(settings);
    return code;
}

int verb_zone(struct cli *cli, int argc, char **argv)
{
    const char *days_text = DAYS_DEFAULT;
    const struct opt opts[] = {{"--days", &days_text, NULL}};
    long days;
    int n_words;

    if (!opt_take(cli, opts, 1, &argc, argv) || !opt_number(cli, "--days", days_text, 1, DAYS_MAX, &days))
        return EXIT_USAGE;
    if (argc == 0)
        return usage_error(cli, "Say what to do: ito zone key|node|member NODE");
    n_words = strcmp(argv[0], "member") == 0 ? 2 : 1;
    if (n_words == 1 && strcmp(argv[0], "key") != 0 && strcmp(argv[0], "node") != 0)
        return unknown_sub(cli, argv[0]);
    if (argc != n_words)
        return usage_error(cli,
                           n_words == 2 ? "Whose? ito zone member NODE, as ito zone node names it there"
                                        : "ito zone %s takes no argument.",
                           argv[0]);
    if (crypto_init() != ERR_OK)
        return EXIT_FAILED;
    if (n_words == 2)
        return zone_member(cli, argv[1], days);
    return strcmp(argv[0], "key") == 0 ? zone_key(cli) : zone_node(cli);
}
