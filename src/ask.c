/* A command and its core: opening, asking, and what it means for the exit code (verb.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "crypto/secret.h"
#include "verb.h"

int exit_of(enum err e)
{
    switch (e) {
    case ERR_OK:
        return EXIT_DONE;
    case ERR_PARSE:
    case ERR_RANGE:
    case ERR_VERSION:
        return EXIT_USAGE;
    case ERR_CONFIG:
        return EXIT_CONFIG;
    case ERR_NOT_FOUND:
        return EXIT_NO_SUCH;
    case ERR_AUTH:
        return EXIT_PASSPHRASE;
    case ERR_EXISTS:
    case ERR_DUPLICATE:
    case ERR_REFUSED:
        return EXIT_REFUSED;
    case ERR_LOCKED:
        return EXIT_OWNED;
    default:
        return EXIT_FAILED;
    }
}

static enum err err_by_name(const char *name)
{
    for (int e = ERR_AGAIN; e < ERR_COUNT; e++)
        if (strcmp(err_name((enum err)e), name) == 0)
            return (enum err)e;
    return ERR_INTERNAL;
}

/* A detail has room for some errors of a settings file; here all of them are told. */
static bool complain_about_settings(const struct cli *cli)
{
    struct config *c = config_create();
    struct config_errors errors = {0};
    const char *slash = strrchr(cli->files.config, '/');
    bool is_bad =
        config_load(c, cli->files.config, slash != NULL ? slash + 1 : cli->files.config, &errors) != ERR_OK;
    char *text = config_errors_text(&errors);

    if (is_bad)
        complain("%s", text);
    mem_free(text);
    config_errors_fini(&errors);
    config_destroy(c);
    return is_bad;
}

int verb_cannot_open(const struct cli *cli, enum err e, const struct err_detail *detail)
{
    if (e != ERR_CONFIG || !complain_about_settings(cli))
        complain("%s", detail->text[0] != '\0' ? detail->text : err_name(e));
    switch (e) {
    case ERR_STATE:
        return EXIT_NO_DAEMON;
    case ERR_CONFIG:
    case ERR_AUTH:
    case ERR_REFUSED:
    case ERR_LOCKED:
        return exit_of(e);
    default: /* a damaged file, a folder that cannot be made: nothing that was typed */
        return EXIT_FAILED;
    }
}

int verb_open_with(struct cli *cli, struct ctl_options *options)
{
    struct err_detail detail;
    enum err e;

    options->files = &cli->files;
    options->logs_to_stderr |= cli->is_verbose && cli->verb != NULL;
    e = ctl_open(options, &cli->ctl, &detail);
    if (e == ERR_OK)
        return EXIT_DONE;
    return verb_cannot_open(cli, e, &detail);
}

int verb_open(struct cli *cli, enum ctl_need need)
{
    struct ctl_options options = {
        .need = need, .mode = APP_PHONE, .is_silent = true, .has_control = need == CTL_NETWORK};

    return verb_open_with(cli, &options);
}

/* The first text in a request that could not be sent as JSON, or NULL. */
static const cJSON *not_utf8(const cJSON *request)
{
    const cJSON *it;

    cJSON_ArrayForEach(it, request)
    {
        if (cJSON_IsString(it) && !utf8_valid(it->valuestring, strlen(it->valuestring)))
            return it;
    }
    return NULL;
}

int verb_ask_take(struct cli *cli, cJSON *request, cJSON **answer)
{
    const cJSON *bad = not_utf8(request);
    cJSON *a;
    int code = EXIT_DONE;

    if (answer != NULL)
        *answer = NULL;
    if (bad != NULL) {
        code = usage_error(cli, "The %s is not UTF-8.", bad->string);
        cJSON_Delete(request);
        return code;
    }
    a = ctl_ask_take(cli->ctl, request);
    if (a == NULL) {
        complain(ctl_is_lost(cli->ctl) ? "The running ito ended."
                                       : "The running ito did not answer within 5 s.");
        return EXIT_NO_DAEMON;
    }
    if (!json_bool(a, "ok", false)) {
        code = exit_of(err_by_name(json_str(a, "error", "")));
        complain("%s", json_str(a, "text", "failed"));
        if (code == EXIT_USAGE)
            complain("try: ito help %s", cli->verb);
    }
    if (code == EXIT_DONE && answer != NULL)
        *answer = a;
    else
        cJSON_Delete(a);
    return code;
}

void print_json(const cJSON *answer)
{
    cJSON *out = cJSON_CreateObject(), *it;
    char *text;

    cJSON_AddNumberToObject(out, "v", 1);
    cJSON_ArrayForEach(it, answer)
    {
        if (strcmp(it->string, "id") != 0 && strcmp(it->string, "ok") != 0 && strcmp(it->string, "v") != 0)
            cJSON_AddItemToObject(out, it->string, cJSON_Duplicate(it, true));
    }
    text = json_print(out);
    puts(text);
    mem_free(text);
    cJSON_Delete(out);
}

/* By read(2), so that no buffer keeps it; a pipe will do as well as a file. */
bool read_passphrase(const char *path, char *out, size_t size, struct err_detail *detail)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t len = 0, end;
    ssize_t n = 1;

    while (fd >= 0 && n > 0 && len + 1 < size && memchr(out, '\n', len) == NULL) {
        n = read(fd, out + len, size - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    out[len] = '\0';
    end = strcspn(out, "\r\n");
    if (fd < 0 || n < 0)
        err_set(detail, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    else if (end + 1 == size)
        err_set(detail, ERR_RANGE, "%s: the first line is too long for a passphrase (%zu bytes at most)",
                path, size - 2);
    else
        n = 1;
    if (fd >= 0)
        close(fd);
    secret_wipe(out + end, len - end);
    out[end] = '\0';
    return fd >= 0 && n > 0 && end + 1 < size;
}
