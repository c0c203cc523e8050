#include "first_run.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "crypto/keystore.h"
#include "crypto/phrase.h"
#include "media/audio.h"
#include "media/probe.h"
#include "tty.h"

#define DEVICE_BYTES 128

/* Of the system: one name for both ways. Of the settings: two, and a file to be played is no file to be written. */
struct device {
    char input[DEVICE_BYTES], output[DEVICE_BYTES], in_text[DEVICE_BYTES], out_text[DEVICE_BYTES];
};

struct first_run {
    struct cli *cli;
    const struct env *env;
    struct first_run_ops ops;
    struct keyring keys;
    uint8_t phrase[KEY_BYTES];
    bool has_keys, is_saved;
    struct media_probe *probe;
    char input_error[ERR_DETAIL_BYTES], output_error[ERR_DETAIL_BYTES];
    bool has_input, is_tested;
    struct device devices[FIRST_RUN_DEVICES];
    size_t n_devices, chosen;
};

static void forget(struct first_run *r)
{
    keyring_wipe(&r->keys);
    secret_wipe(r->phrase, sizeof r->phrase);
    r->has_keys = false;
}

/* ---- identity ---- */

static void make_keys(struct first_run *r)
{
    if (r->has_keys)
        return;
    keyring_create(r->env, &r->keys, r->phrase);
    r->has_keys = true;
}

static enum err phrase_new(struct first_run *r, cJSON *out)
{
    cJSON *words = cJSON_AddArrayToObject(out, "words");
    char text[PHRASE_TEXT_BYTES], *save = NULL;

    make_keys(r);
    phrase_encode(r->phrase, text);
    for (char *word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        cJSON_AddItemToArray(words, cJSON_CreateString(word));
    secret_wipe(text, sizeof text);
    return ERR_OK;
}

static enum err save(struct first_run *r, const char *name, const char *passphrase, struct err_detail *detail)
{
    const struct files *f = &r->cli->files;
    struct config *settings = config_create();
    enum err e = files_make(f, detail);

    if (e == ERR_OK && name[0] != '\0')
        e = config_set(settings, f->config, "identity.name", name, detail);
    config_destroy(settings);
    if (e == ERR_OK)
        e = keyring_set_passphrase(r->env, &r->keys, passphrase);
    if (e == ERR_OK)
        e = keystore_save_new(r->env, f->identity, &r->keys, detail);
    return e;
}

/* Asked again after the core did not start: the identity is there already. */
static enum err init(struct first_run *r, const cJSON *in, struct err_detail *detail)
{
    const char *name = json_str(in, "name", ""), *passphrase = json_str(in, "passphrase", "");
    enum err e = ERR_OK;

    if (strlen(passphrase) >= PASSPHRASE_BYTES)
        return err_set(detail, ERR_RANGE, "A passphrase has at most %d bytes.", PASSPHRASE_BYTES - 1);
    make_keys(r);
    if (!r->is_saved)
        e = save(r, name, passphrase, detail);
    if (e != ERR_OK)
        return e;
    r->is_saved = true;
    forget(r);
    return r->ops.start(r->ops.arg, passphrase[0] != '\0' ? passphrase : NULL, detail);
}

/* ---- sound test ---- */

static void set_device(struct device *d, const char *input, const char *in_text, const char *output,
                       const char *out_text)
{
    snprintf(d->input, DEVICE_BYTES, "%s", input);
    snprintf(d->output, DEVICE_BYTES, "%s", output);
    snprintf(d->in_text, DEVICE_BYTES, "%.*s", (int)strcspn(in_text, "\n"), in_text);
    snprintf(d->out_text, DEVICE_BYTES, "%.*s", (int)strcspn(out_text, "\n"), out_text);
}

static void add_device(void *arg, const char *name, const char *text)
{
    struct first_run *r = arg;

    if (r->n_devices == FIRST_RUN_DEVICES || strlen(name) >= DEVICE_BYTES || strcmp(name, "default") == 0 ||
        strcmp(name, "null") == 0)
        return;
    text = text != NULL && text[0] != '\0' ? text : name;
    set_device(&r->devices[r->n_devices++], name, text, name, text);
}

/* The device of the settings first, then what the system has; `null` ends the list: a machine without sound. */
static void find_devices(struct first_run *r)
{
    struct config *settings = config_create();
    struct config_errors errors = {0};
    const char *input, *output;

    if (r->n_devices > 0) {
        config_destroy(settings);
        return;
    }
    config_load(settings, r->cli->files.config, "config.json", &errors);
    config_errors_fini(&errors);
    input = config_str(settings, CFG_AUDIO_INPUT);
    output = config_str(settings, CFG_AUDIO_OUTPUT);
    set_device(&r->devices[0], input, input, output, output);
    r->n_devices = 1;
    config_destroy(settings);
}

/* "Microphone cannot be opened: no such device." -> "no such device" */
static void reason_of(const char *sentence, char out[static ERR_DETAIL_BYTES])
{
    const char *colon = strstr(sentence, ": ");
    size_t n;

    snprintf(out, ERR_DETAIL_BYTES, "%s", colon != NULL ? colon + 2 : sentence);
    n = strlen(out);
    if (n > 0 && out[n - 1] == '.')
        out[n - 1] = '\0';
}

static void open_probe(struct first_run *r)
{
    const char *input = r->devices[r->chosen].input, *output = r->devices[r->chosen].output;
    struct err_detail detail = {{0}};
    struct media_probe *half = NULL;

    media_probe_stop(r->probe);
    r->probe = NULL;
    r->input_error[0] = r->output_error[0] = '\0';
    r->has_input = true;
    r->is_tested = true;
    if (media_probe_start(input, output, &r->probe, &detail) == ERR_OK)
        return;
    r->has_input = media_probe_start(input, NULL, &half, &detail) == ERR_OK;
    if (r->has_input)
        r->probe = half;
    else
        reason_of(detail.text, r->input_error);
    if (media_probe_start(NULL, output, &half, &detail) != ERR_OK)
        reason_of(detail.text, r->output_error);
    else if (r->has_input)
        media_probe_stop(half);
    else
        r->probe = half;
}

/* The system is asked for its devices only now that a person looks for another one. */
static void choose(struct first_run *r, bool is_next)
{
    if (r->n_devices <= 1) {
        audio_list(true, add_device, r);
        if (r->n_devices == FIRST_RUN_DEVICES)
            r->n_devices--;
        set_device(&r->devices[r->n_devices++], "null", "none (no sound here)", "null",
                   "none (no sound here)");
    }
    r->chosen = (r->chosen + (is_next ? 1 : r->n_devices - 1)) % r->n_devices;
    r->ops.set(r->ops.arg, "audio.input", r->devices[r->chosen].input);
    r->ops.set(r->ops.arg, "audio.output", r->devices[r->chosen].output);
    open_probe(r);
}

static void tell_sound(struct first_run *r, cJSON *out)
{
    const struct device *d = &r->devices[r->chosen];
    enum media_probe_word word;
    char text[ERR_DETAIL_BYTES + 32];

    cJSON_AddStringToObject(out, "mic", d->in_text);
    cJSON_AddStringToObject(out, "speaker", d->out_text);
    if (r->has_input && r->probe != NULL) {
        cJSON_AddNumberToObject(out, "level_db", (double)(int)media_probe_level(r->probe, &word));
        cJSON_AddStringToObject(out, "heard", media_probe_text(word));
    } else {
        snprintf(text, sizeof text, "cannot open: %s", r->input_error);
        cJSON_AddNullToObject(out, "level_db");
        cJSON_AddStringToObject(out, "heard", text);
    }
    snprintf(text, sizeof text, "cannot open: %s", r->output_error);
    cJSON_AddStringToObject(out, "trouble", r->output_error[0] != '\0' ? text : "");
}

static enum err audio_test(struct first_run *r, const cJSON *in, cJSON *out)
{
    const char *what = json_str(in, "do", "level");

    if (strcmp(what, "stop") == 0) {
        media_probe_stop(r->probe);
        r->probe = NULL;
        r->is_tested = false;
        return ERR_OK;
    }
    find_devices(r);
    if (strcmp(what, "next") == 0 || strcmp(what, "previous") == 0)
        choose(r, what[0] == 'n');
    else if (!r->is_tested)
        open_probe(r);
    if (strcmp(what, "tone") == 0 && r->probe != NULL && r->output_error[0] == '\0')
        media_probe_play(r->probe, TONE_TEST);
    if (strcmp(what, "record") == 0 && r->probe != NULL && r->has_input)
        media_probe_record(r->probe);
    tell_sound(r, out);
    return ERR_OK;
}

/* ---- requests ---- */

bool first_run_request(struct first_run *r, const char *json)
{
    cJSON *in = cJSON_Parse(json), *out, *member;
    const char *cmd = json_str(in, "cmd", "");
    bool is_phrase = strcmp(cmd, "phrase_new") == 0, is_init = strcmp(cmd, "init") == 0;
    struct err_detail detail = {{0}};
    char *text;
    enum err e;

    if (!is_phrase && !is_init && strcmp(cmd, "audio_test") != 0) {
        cJSON_Delete(in);
        return false;
    }
    out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "id", json_num(in, "id", 0));
    e = is_phrase ? phrase_new(r, out) : is_init ? init(r, in, &detail) : audio_test(r, in, out);
    cJSON_AddBoolToObject(out, "ok", e == ERR_OK);
    if (e != ERR_OK) {
        json_add_str(out, "error", err_name(e));
        json_add_str(out, "text", detail.text[0] != '\0' ? detail.text : err_name(e));
    }
    text = json_print(out);
    r->ops.answer(r->ops.arg, text);
    secret_wipe(text, strlen(text));
    mem_free(text);
    cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(out, "words"))
        secret_wipe(member->valuestring, strlen(member->valuestring));
    member = cJSON_GetObjectItemCaseSensitive(in, "passphrase");
    if (cJSON_IsString(member))
        secret_wipe(member->valuestring, strlen(member->valuestring));
    cJSON_Delete(out);
    cJSON_Delete(in);
    return true;
}

/* ---- life ---- */

struct first_run *first_run_create(struct cli *cli, const struct env *env, const struct first_run_ops *ops)
{
    struct first_run *r = mem_alloc(sizeof *r);

    r->cli = cli;
    r->env = env;
    r->ops = *ops;
    return r;
}

void first_run_destroy(struct first_run *r)
{
    if (r == NULL)
        return;
    media_probe_stop(r->probe);
    forget(r);
    mem_free(r);
}
