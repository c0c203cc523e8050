/* local.h - what the screens ask of the program they run in, not of the core: checks of this machine, and copies of
 * the key file, which a core never gives away.
 *
 *   in     requests of the screens: doctor, keys_export, keys_import
 *   out    the answer to each, from within */
#ifndef ITO_LOCAL_H
#define ITO_LOCAL_H

#include "verb.h"

/* True when the request was one of ours, and was answered. */
bool local_request(struct cli *cli, const char *json, void (*answer)(void *arg, const char *json), void *arg);

#endif
