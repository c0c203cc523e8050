/* ctl.h - the way of a command to a core: the running one over its control socket, or one made inside.
 *
 * Both take the same requests and give the same answers and events (UX.md §7), so a command does not know
 * which it talks to. A core that somebody else is just starting or stopping is waited for a little.
 *
 *   in     requests as cJSON; "id" is added here
 *   out    answers as cJSON, owned by the caller; events as text, borrowed
 *   owner  ctl_open()/ctl_close(); it owns the loop
 *   trust  the socket belongs to the same user; a line that is not JSON is dropped
 *   caps   CTL_ANSWER_NS for an answer, CTL_LOCK_NS for another core to let go or to listen */
#ifndef ITO_CTL_H
#define ITO_CTL_H

#include "base/json.h"
#include "core.h"

#define CTL_ANSWER_NS (5 * NS_PER_S)
#define CTL_LOCK_NS   (2 * NS_PER_S)

enum ctl_need {
    CTL_LISTS,   /* a running core, else one without network */
    CTL_NETWORK, /* a running core, else one with network */
    CTL_DAEMON,  /* a running core, else ERR_STATE */
    CTL_LOOP,    /* a running core, else none yet: ctl_start() makes it */
    CTL_OWN      /* never a running one: this process becomes the core */
};

struct ctl_options {
    enum ctl_need need;
    enum app_mode mode;           /* of a core made here */
    const char *passphrase;       /* NULL: see passphrase_file */
    const char *passphrase_file;  /* NULL: ITO_PASSPHRASE_FILE, else asked for on a terminal */
    const char *new_name;         /* make an identity of that name when there is none; NULL: refuse */
    const char *const *overrides; /* key, value, ..., NULL: in place of those of the file */
    uint16_t port;
    bool has_control, logs_to_stderr, is_silent;
    bool is_joining; /* of core_config */
    const struct files *files;
    struct handover *handover; /* of core_config; NULL: none */
};

struct ctl;

/* What happens while ctl_run() runs; each may be NULL. */
struct ctl_ops {
    void *arg;
    void (*event)(void *arg, const char *json); /* NULL json: the running core is gone */
    void (*answer)(void *arg, const char *json);
    void (*signal)(void *arg, int signum);
    /* After every event and at the deadline returned before. */
    ns_t (*turn)(void *arg, ns_t now);
    void (*log)(void *arg, enum log_level level, const char *line);
};

/* On failure detail has a sentence (several lines for ERR_CONFIG): ERR_NOT_FOUND no identity, ERR_AUTH passphrase
 * missing or wrong, ERR_LOCKED another ito without a socket holds the identity (its process number is named),
 * ERR_STATE no running core. */
enum err ctl_open(const struct ctl_options *options, struct ctl **out, struct err_detail *detail);
/* A core inside, after CTL_LOOP found none running. */
enum err ctl_start(struct ctl *c, const struct ctl_options *options, struct err_detail *detail);
void ctl_close(struct ctl *c); /* NULL is fine */
void ctl_set_ops(struct ctl *c, const struct ctl_ops *ops);
struct io *ctl_io(struct ctl *c);
struct core *ctl_core(struct ctl *c);   /* NULL: the core is another process, or not there yet */
bool ctl_has_link(const struct ctl *c); /* the core is another process */
bool ctl_is_lost(const struct ctl *c);

/* {"cmd":cmd}, for members to be added. */
cJSON *ctl_request(const char *cmd);
/* Ask and wait; request is freed. NULL when no answer came. Signals and events go to the ops meanwhile. */
cJSON *ctl_ask_take(struct ctl *c, cJSON *request);
/* Send a request as it is; the answer goes to ops.answer, perhaps from within. */
void ctl_send(struct ctl *c, const char *json);
/* Events of a running core from now on (those of a core inside come anyway). */
bool ctl_watch(struct ctl *c);
/* Until ctl_stop(). */
void ctl_run(struct ctl *c);
void ctl_stop(struct ctl *c);
/* ctl_run() until that moment at the latest. */
void ctl_run_until(struct ctl *c, ns_t deadline);

#endif
