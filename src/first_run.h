/* first_run.h - what the four steps of the first run ask for while there is no core: the phrase, the identity,
 * the sound test (UX.md §2).
 *
 *   in     requests of the screens: phrase_new, init, audio_test
 *   out    the answer to each, from within; the identity file; name and sound devices as settings
 *   owner  first_run_create()/first_run_destroy(); cli outlives it
 *   trust  words and passphrase are wiped as soon as the identity is on disk
 *   caps   FIRST_RUN_DEVICES sound devices to choose from */
#ifndef ITO_FIRST_RUN_H
#define ITO_FIRST_RUN_H

#include "verb.h"

#define FIRST_RUN_DEVICES 32

struct first_run;

struct first_run_ops {
    void *arg;
    void (*answer)(void *arg, const char *json);
    /* The identity is on disk: start the core. The passphrase is NULL when there is none. */
    enum err (*start)(void *arg, const char *passphrase, struct err_detail *detail);
    /* Change a setting of the core that runs by now, and its file. */
    void (*set)(void *arg, const char *key, const char *value);
};

struct first_run *first_run_create(struct cli *cli, const struct env *env, const struct first_run_ops *ops);
void first_run_destroy(struct first_run *r); /* NULL is fine */
/* True when the request was one of ours, and was answered. */
bool first_run_request(struct first_run *r, const char *json);

#endif
