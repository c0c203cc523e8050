/* files.h - where everything is kept (UX.md §7): XDG folders, or one folder with --dir or ITO_DIR.
 *
 *   owner  files_init() fills it with strings of its own; files_fini() frees them */
#ifndef ITO_FILES_H
#define ITO_FILES_H

#include "base/err.h"

struct files {
    char *config_dir, *data_dir, *state_dir, *cache_dir, *run_dir;
    char *config, *contacts;                                                  /* config */
    char *identity, *contacts_state, *requests, *invites, *ledger, *node_key; /* data */
    char *zone_key, *mirror;                                                  /* the same */
    char *log, *history, *lock;                                               /* state */
    char *peers, *relays, *mainline, *care;                                   /* cache */
    char *socket;                                                             /* runtime */
};

/* dir and config (of --dir, --config) may be NULL. Makes no folder. */
void files_init(struct files *f, const char *dir, const char *config);
void files_fini(struct files *f);
/* Make the folders, 0700. */
enum err files_make(const struct files *f, struct err_detail *detail);

/* The lock of one identity: ERR_LOCKED with the holder's process number in *pid. *fd stays open while held. */
enum err files_lock(const struct files *f, int *fd, long *pid, struct err_detail *detail);

#endif
