/* app/command_priv.h - what the files of verbs share: command.c (calls, lists, requests) and command_setup.c
 * (settings, log, relay, what is not built in), command_devices.c. Nobody else includes it. */
#ifndef ITO_APP_COMMAND_PRIV_H
#define ITO_APP_COMMAND_PRIV_H

#include "app/app_priv.h"
#include "crypto/invite.h"

struct request_ctx {
    struct app *a;
    ns_t now;
    const cJSON *in;
    cJSON *out; /* the answer; verbs add members */
    struct err_detail detail;
};

struct verb {
    const char *name;
    enum err (*run)(struct request_ctx *r);
    bool needs_network;
};

enum err command_usage(struct request_ctx *r, const char *member);
/* Whom "contact" means: ERR_PARSE when it is missing, or an ID written wrongly; ERR_NOT_FOUND. */
enum err command_contact(struct request_ctx *r, struct contact **who);

/* All members of a tree move into the answer. */
void command_merge(cJSON *out, cJSON *tree);
/* First addresses of the overlay for somebody new, at most 3. */
void command_invite_addresses(struct app *a, struct invite *inv);

/* command_devices.c: the same as below. */
const struct verb *command_devices_find(const char *name);
/* command_setup.c: its verbs, NULL when there is none of that name. */
const struct verb *command_setup_find(const char *name);

#endif
