#include "local.h"

#include <string.h>

#include "base/mem.h"

/* "NAME is no part" as an answer; else the checks are members of it. */
static enum err doctor(struct cli *cli, const cJSON *in, cJSON *out, struct err_detail *detail)
{
    const char *part = json_str(in, "part", NULL);
    cJSON *report = doctor_checks(cli, part);

    if (report == NULL)
        return err_set(detail, ERR_PARSE, "Unknown part \"%.64s\": audio, net, overlay or files.", part);
    cJSON_AddItemToObject(out, "checks", cJSON_DetachItemFromObjectCaseSensitive(report, "checks"));
    cJSON_AddItemToObject(out, "worst", cJSON_DetachItemFromObjectCaseSensitive(report, "worst"));
    cJSON_Delete(report);
    return ERR_OK;
}

static enum err keys(struct cli *cli, const cJSON *in, bool is_export, struct err_detail *detail)
{
    const char *path = json_str(in, "file", NULL);

    if (path == NULL)
        return err_set(detail, ERR_PARSE, "\"file\" is missing.");
    return is_export ? keys_export(cli, path, false, detail) : keys_import(cli, path, NULL, detail);
}

bool local_request(struct cli *cli, const char *json, void (*answer)(void *arg, const char *json), void *arg)
{
    cJSON *in = cJSON_Parse(json), *out;
    const char *cmd = json_str(in, "cmd", "");
    bool is_doctor = strcmp(cmd, "doctor") == 0, is_export = strcmp(cmd, "keys_export") == 0;
    struct err_detail detail = {{0}};
    char *text;
    enum err e;

    if (!is_doctor && !is_export && strcmp(cmd, "keys_import") != 0) {
        cJSON_Delete(in);
        return false;
    }
    out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "id", json_num(in, "id", 0));
    e = is_doctor ? doctor(cli, in, out, &detail) : keys(cli, in, is_export, &detail);
    cJSON_AddBoolToObject(out, "ok", e == ERR_OK);
    if (e != ERR_OK)
        json_add_str(out, "error", err_name(e));
    if (detail.text[0] != '\0')
        json_add_str(out, "text", detail.text);
    text = json_print(out);
    cJSON_Delete(out);
    cJSON_Delete(in);
    answer(arg, text);
    mem_free(text);
    return true;
}
