/* `ito doctor`: checks that can be made here and now, each ok, warn or FAIL with a next step (UX.md §6). */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/udp.h"
#include "media/audio.h"
#include "store/contacts.h"
#include "verb.h"

#define FREE_BYTES_MIN (16u << 20)

enum result { CHECK_OK, CHECK_WARN, CHECK_FAIL };

static const char *const result_words[] = {"ok", "warn", "FAIL"};

struct report {
    struct cli *cli;
    cJSON *checks;
    enum result worst;
};

static void add(struct report *r, enum result result, const char *name, const char *text, const char *next)
{
    cJSON *c = cJSON_CreateObject();

    cJSON_AddStringToObject(c, "name", name);
    cJSON_AddStringToObject(c, "result", result_words[result]);
    cJSON_AddStringToObject(c, "text", text);
    json_add_str(c, "next", result == CHECK_OK ? NULL : next);
    cJSON_AddItemToArray(r->checks, c);
    if (result > r->worst)
        r->worst = result;
}

/* ---- files ---- */

static void check_folder(struct report *r, const char *name, const char *path)
{
    char text[512], next[600];
    struct statvfs fs;
    struct stat st;

    if (stat(path, &st) != 0) {
        snprintf(text, sizeof text, "%s: not made yet", path);
        add(r, CHECK_WARN, name, text, "ito init makes it");
    } else if (!S_ISDIR(st.st_mode) || access(path, W_OK | X_OK) != 0) {
        snprintf(text, sizeof text, "%s: cannot be written to", path);
        add(r, CHECK_FAIL, name, text, "give the folder to yourself, or use --dir");
    } else if ((st.st_mode & 077) != 0) {
        snprintf(text, sizeof text, "%s: others can look into it (mode %04o)", path, st.st_mode & 07777u);
        snprintf(next, sizeof next, "chmod 700 %s", path);
        add(r, CHECK_WARN, name, text, next);
    } else if (statvfs(path, &fs) == 0 && fs.f_bavail * fs.f_frsize < FREE_BYTES_MIN) {
        snprintf(text, sizeof text, "%s: less than 16 MB are free", path);
        add(r, CHECK_WARN, name, text, "make room on this disk");
    } else {
        add(r, CHECK_OK, name, path, NULL);
    }
}

static void check_identity(struct report *r)
{
    const char *path = r->cli->files.identity;
    struct err_detail detail;
    bool needs;
    enum err e = keystore_needs_passphrase(path, &needs, &detail);

    if (e == ERR_NOT_FOUND)
        add(r, CHECK_FAIL, "identity", "there is no identity yet", "ito init --name NAME");
    else if (e != ERR_OK)
        add(r, CHECK_FAIL, "identity", detail.text,
            e == ERR_REFUSED ? "only you may be able to read it"
                             : "restore it from the phrase: ito keys phrase");
    else
        add(r, CHECK_OK, "identity", needs ? "sealed by a passphrase" : "not sealed by a passphrase", NULL);
}

static void check_config(struct report *r)
{
    struct config *c = config_create();
    struct config_errors errors = {0};

    if (config_load(c, r->cli->files.config, "config.json", &errors) == ERR_OK)
        add(r, CHECK_OK, "config", r->cli->files.config, NULL);
    for (unsigned i = 0; i < errors.n; i++)
        add(r, CHECK_FAIL, "config", errors.lines[i], "edit the file, then: ito config check");
    config_errors_fini(&errors);
    config_destroy(c);
}

static void check_contacts(struct report *r)
{
    struct contacts *c = contacts_create(r->cli->files.contacts, r->cli->files.contacts_state);
    struct err_detail detail;
    char text[64];

    if (contacts_load(c, &detail) != ERR_OK) {
        add(r, CHECK_FAIL, "contacts", detail.text,
            "edit the file; the list before stays in force until then");
    } else {
        snprintf(text, sizeof text, "%zu on the lists", contacts_count(c));
        add(r, CHECK_OK, "contacts", text, NULL);
    }
    contacts_destroy(c);
}

static void check_files(struct report *r)
{
    const struct files *f = &r->cli->files;

    check_folder(r, "config folder", f->config_dir);
    if (strcmp(f->data_dir, f->config_dir) != 0) {
        check_folder(r, "data folder", f->data_dir);
        check_folder(r, "state folder", f->state_dir);
    }
    check_identity(r);
    check_config(r);
    check_contacts(r);
}

/* ---- net ---- */

static void check_addresses(struct report *r)
{
    struct addr addrs[32];
    size_t n = io_local_addrs(addrs, 32), v4 = 0, v6 = 0;
    char text[64];

    for (size_t i = 0; i < n; i++)
        *(addrs[i].family == ADDR_V4 ? &v4 : &v6) += 1;
    snprintf(text, sizeof text, "%zu IPv4, %zu IPv6", v4, v6);
    if (n > 0)
        add(r, CHECK_OK, "addresses", text, NULL);
    else
        add(r, CHECK_FAIL, "addresses", "no network interface is up", "connect this computer to a network");
}

static void ignore(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    (void)arg;
    (void)now;
    (void)from;
    (void)bytes;
}

static void check_socket(struct report *r)
{
    struct udp_config config = {.v4 = true, .v6 = true, .recv = ignore};
    struct err_detail detail;
    struct io *io = io_create();
    struct udp *udp;

    if (udp_open(io, &config, &udp, &detail) == ERR_OK) {
        add(r, CHECK_OK, "udp", udp_has_v6(udp) ? "IPv4 and IPv6 sockets" : "IPv4 sockets only", NULL);
        udp_close(udp);
    } else {
        add(r, CHECK_FAIL, "udp", detail.text, "a sandbox or firewall of this computer forbids UDP");
    }
    io_destroy(io);
}

/* Who puts our record and looks others' up: what storing nodes see. */
static void check_record(struct report *r, const cJSON *record)
{
    double n = json_num(record, "caretakers", 0);
    char text[96];

    if (record == NULL) /* a relay has none */
        return;
    if (json_bool(record, "puts_itself", false) && n > 0) {
        add(r, CHECK_OK, "caretakers", "your own node puts your record too, as net.path direct says", NULL);
    } else if (json_bool(record, "puts_itself", false)) {
        add(r, CHECK_WARN, "caretakers",
            "nobody takes care of your record: the nodes that store it see your address",
            "a relay or full node must be in reach: ito relays");
    } else {
        snprintf(text, sizeof text, "%.0f take care of your record%s", n,
                 json_bool(record, "read_back", false)   ? "; it was read back"
                 : json_bool(record, "published", false) ? "; it is stored"
                                                         : "; it is not stored yet");
        add(r, json_bool(record, "published", false) ? CHECK_OK : CHECK_WARN, "caretakers", text,
            "wait half a minute after the start; then: ito doctor net");
    }
    if (json_num(record, "guards", 0) > 0)
        add(r, CHECK_OK, "guards", "others look records up for you", NULL);
    else
        add(r, CHECK_WARN, "guards", "nobody looks records up for you: the nodes you ask see your address",
            "a relay or full node must be in reach: ito relays");
}

/* The status of the core of these screens, else of the running one; NULL: there is none. */
static cJSON *core_status(const struct cli *cli)
{
    struct ctl_options options = {.need = CTL_DAEMON, .files = &cli->files};
    struct err_detail detail;
    struct ctl *other;
    cJSON *answer;

    if (cli->ctl != NULL && ctl_core(cli->ctl) != NULL)
        return ctl_ask_take(cli->ctl, ctl_request("status"));
    if (ctl_open(&options, &other, &detail) != ERR_OK)
        return NULL;
    answer = ctl_ask_take(other, ctl_request("status"));
    ctl_close(other);
    return answer;
}

static void check_nat(struct report *r, const char *nat)
{
    if (nat[0] == '\0')
        add(r, CHECK_WARN, "nat", "not known yet", "again in a minute: ito doctor net");
    else if (strcmp(nat, "blocked") == 0)
        add(r, CHECK_FAIL, "nat", "blocked (no UDP)", "this network lets no UDP through: try another one");
    else if (strcmp(nat, "address-and-port-dependent") == 0)
        add(r, CHECK_WARN, "nat", nat,
            "calls to others behind such a router go through a relay; "
            "allow UPnP or PCP on the router");
    else
        add(r, CHECK_OK, "nat", nat, NULL);
}

/* What the running core sees of the network. */
static void check_core(struct report *r, bool is_net, bool is_overlay)
{
    cJSON *answer = core_status(r->cli);
    const cJSON *w;
    char text[128];

    if (answer == NULL) {
        add(r, CHECK_WARN, is_overlay ? "overlay" : "nat", "no ito is running, so nothing is known",
            is_overlay ? "ito daemon, then: ito doctor overlay" : "ito daemon, then: ito doctor net");
        return;
    }
    w = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(answer, "status"), "network");
    if (is_overlay && json_str(w, "member", NULL) != NULL)
        add(r, json_bool(w, "member_valid", false) ? CHECK_OK : CHECK_WARN, "member",
            json_str(w, "member", ""), "get a new certificate (ito zone node), or set the clock");
    if (is_net)
        check_nat(r, json_str(w, "nat", ""));
    if (!is_overlay) {
        cJSON_Delete(answer);
        return;
    }
    snprintf(text, sizeof text, "%s, %.0f peers", json_str(w, "state", "no answer"), json_num(w, "peers", 0));
    if (strcmp(json_str(w, "state", ""), "joined") == 0)
        add(r, CHECK_OK, "overlay", text, NULL);
    else
        add(r, CHECK_WARN, "overlay", text,
            "add a first address: ito config set net.peers '[\"HOST:PORT\"]'");
    check_record(r, cJSON_GetObjectItemCaseSensitive(w, "record"));
    cJSON_Delete(answer);
}

/* What the running core gave up. */
static void check_confinement(struct report *r)
{
    struct ctl_options options = {.need = CTL_DAEMON, .files = &r->cli->files};
    struct err_detail detail;
    struct ctl *ctl;
    cJSON *answer;
    const cJSON *status, *c;
    char text[128];
    bool is_relay, has_all;
    double landlock;

    if (ctl_open(&options, &ctl, &detail) != ERR_OK)
        return;
    answer = ctl_ask_take(ctl, ctl_request("status"));
    status = cJSON_GetObjectItemCaseSensitive(answer, "status");
    c = cJSON_GetObjectItemCaseSensitive(status, "confinement");
    is_relay = strcmp(json_str(status, "mode", ""), "relay") == 0;
    landlock = json_num(c, "files", 0);
    if (!cJSON_IsObject(c)) {
        add(r, CHECK_OK, "confined", "not at all: the screens' own core needs sound cards and desktops",
            NULL);
    } else {
        has_all = json_bool(c, "no_new_privileges", false) && json_bool(c, "system_calls", false) &&
                  (landlock > 0 || !is_relay);
        snprintf(text, sizeof text, "no new privileges: %s, system calls: %s, files: %s",
                 json_bool(c, "no_new_privileges", false) ? "yes" : "no",
                 json_bool(c, "system_calls", false) ? "yes" : "no",
                 landlock > 0 ? "its own only" : "as any program");
        add(r, has_all ? CHECK_OK : CHECK_WARN, "confined", text,
            has_all ? NULL : "this kernel has no seccomp or Landlock; nothing else is wrong");
    }
    cJSON_Delete(answer);
    ctl_close(ctl);
}

static void check_net(struct report *r)
{
    check_addresses(r);
    check_socket(r);
}

/* ---- audio ---- */

static void check_device(struct report *r, const char *name, const char *device, bool is_capture)
{
    struct audio_spec spec = {.name = device, .is_capture = is_capture};
    struct err_detail detail = {""};
    struct audio *audio;

    if (audio_open(&spec, &audio, &detail) == ERR_OK) {
        add(r, CHECK_OK, name, device, NULL);
        audio_close(audio);
    } else {
        add(r, CHECK_FAIL, name, detail.text,
            is_capture ? "ito config set audio.input NAME (arecord -L lists them)"
                       : "ito config set audio.output NAME (aplay -L lists them)");
    }
}

static void check_audio(struct report *r)
{
    struct config *c = config_create();
    struct config_errors errors = {0};

    config_load(c, r->cli->files.config, "config.json", &errors);
    check_device(r, "microphone", config_str(c, CFG_AUDIO_INPUT), true);
    check_device(r, "speaker", config_str(c, CFG_AUDIO_OUTPUT), false);
    config_errors_fini(&errors);
    config_destroy(c);
}

cJSON *doctor_checks(struct cli *cli, const char *part)
{
    struct report r = {.cli = cli, .checks = cJSON_CreateArray()};
    bool is_all = part == NULL || part[0] == '\0';
    bool is_files = is_all || strcmp(part, "files") == 0, is_net = is_all || strcmp(part, "net") == 0,
         is_overlay = is_all || strcmp(part, "overlay") == 0, is_audio = is_all || strcmp(part, "audio") == 0;
    cJSON *out;

    if (!is_files && !is_net && !is_overlay && !is_audio) {
        cJSON_Delete(r.checks);
        return NULL;
    }
    if (is_files) {
        check_files(&r);
        check_confinement(&r);
    }
    if (is_net)
        check_net(&r);
    if (is_net || is_overlay)
        check_core(&r, is_net, is_overlay);
    if (is_audio)
        check_audio(&r);
    out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "v", 1);
    cJSON_AddItemToObject(out, "checks", r.checks);
    cJSON_AddStringToObject(out, "worst", result_words[r.worst]);
    return out;
}

static void print_checks(const cJSON *report)
{
    const cJSON *c;

    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        const char *next = json_str(c, "next", NULL);

        printf("%-4s  %-14s %s\n", json_str(c, "result", ""), json_str(c, "name", ""),
               json_str(c, "text", ""));
        if (next != NULL)
            printf("%21s%s\n", "next: ", next);
    }
}

int verb_doctor(struct cli *cli, int argc, char **argv)
{
    const char *worst;
    cJSON *report;
    int code;

    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    if (argc > 1)
        return usage_error(cli, "One part at a time: audio, net, overlay or files.");
    report = doctor_checks(cli, argc == 1 ? argv[0] : NULL);
    if (report == NULL)
        return usage_error(cli, "Unknown part \"%.64s\": audio, net, overlay or files.", argv[0]);
    worst = json_str(report, "worst", "ok");
    code = strcmp(worst, "FAIL") == 0   ? EXIT_FAILURES
           : strcmp(worst, "warn") == 0 ? EXIT_WARNINGS
                                        : EXIT_DONE;
    if (cli->is_json)
        print_json(report);
    else
        print_checks(report);
    cJSON_Delete(report);
    return code;
}
