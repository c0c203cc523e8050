/* leaving.h - the end of a phone, daemon or relay that has calls: they are hung up, and calls of others that its relay
 * carries get two seconds to go elsewhere (UX.md §7).
 *
 *   owner  the caller's struct; app must be the same throughout */
#ifndef ITO_LEAVING_H
#define ITO_LEAVING_H

#include "app/app.h"

struct leaving {
    ns_t leave_at, give_up_at;
};

void leaving_begin(struct leaving *l, struct app *app, ns_t now);
/* True: the loop may end. */
bool leaving_is_over(const struct leaving *l, const struct app *app, ns_t now);
/* When it is to be looked again. */
ns_t leaving_deadline(const struct leaving *l, ns_t now);

#endif
