/* app/command_devices.c - verbs about the devices of this identity (UX.md §6, `ito devices`). */
#include "app/command_priv.h"
#include "app/devices.h"

static enum err do_devices(struct request_ctx *r)
{
    command_merge(r->out, json_devices(r->a));
    return ERR_OK;
}

static enum err do_link(struct request_ctx *r)
{
    struct app *a = r->a;
    struct invite inv = {0};
    char text[INVITE_TEXT_BYTES];
    enum err e;

    memcpy(inv.zone_id, a->zones[0].id, sizeof inv.zone_id);
    command_invite_addresses(a, &inv);
    e = devices_open_link(a, r->now, &inv, &r->detail);
    if (e == ERR_OK)
        e = invite_format(&inv, text);
    if (e == ERR_OK) {
        json_add_str(r->out, "link", text);
        json_time(r->out, "expires", (int64_t)inv.expires_s * 1000);
    }
    secret_wipe(&inv, sizeof inv);
    secret_wipe(text, sizeof text);
    return e;
}

static enum err do_accept(struct request_ctx *r)
{
    uint8_t slot;
    enum err e = devices_accept(r->a, r->now, &slot, &r->detail);

    if (e == ERR_OK)
        cJSON_AddNumberToObject(r->out, "n", slot + 1);
    return e;
}

static enum err do_refuse(struct request_ctx *r)
{
    return devices_refuse(r->a, r->now, &r->detail);
}

static enum err do_remove(struct request_ctx *r)
{
    double n = json_num(r->in, "n", 0);

    if (n != (int)n || n < 1 || n > 256)
        return err_set(&r->detail, ERR_NOT_FOUND,
                       "There is no such device; ito devices shows their numbers.");
    return devices_remove(r->a, r->now, (uint8_t)(n - 1), &r->detail);
}

static enum err do_join(struct request_ctx *r)
{
    const char *text = json_str(r->in, "link", NULL);
    struct invite inv;
    enum err e;

    if (text == NULL)
        return command_usage(r, "link");
    if (!invite_is_link(text))
        return err_set(&r->detail, ERR_PARSE, "That is no link text: it has no l= part.");
    e = invite_parse(text, &inv, &r->detail);
    if (e == ERR_OK)
        e = devices_join(r->a, r->now, &inv, &r->detail);
    secret_wipe(&inv, sizeof inv);
    return e;
}

static enum err do_taken(struct request_ctx *r)
{
    return devices_taken(r->a, r->now, &r->detail);
}

static const struct verb verbs[] = {
    {"devices", do_devices, false},       {"devices_link", do_link, true},
    {"devices_accept", do_accept, true},  {"devices_refuse", do_refuse, true},
    {"devices_join", do_join, true},      {"devices_taken", do_taken, true},
    {"devices_remove", do_remove, false},
};

const struct verb *command_devices_find(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}
