#include "leaving.h"

#define POLITE_NS (2 * NS_PER_S)
#define LINGER_NS (300 * NS_PER_MS) /* for a BYE, and its answer */
#define MOVED_NS  (100 * NS_PER_MS) /* how often it is looked whether relayed calls have moved */

void leaving_begin(struct leaving *l, struct app *app, ns_t now)
{
    l->give_up_at = now + POLITE_NS;
    l->leave_at = app_has_calls(app) ? now + LINGER_NS : now;
    app_hangup_all(app, now);
    app_leave(app, now, POLITE_NS / NS_PER_S);
}

bool leaving_is_over(const struct leaving *l, const struct app *app, ns_t now)
{
    return now >= l->give_up_at || (now >= l->leave_at && !app_has_calls(app) && !app_is_carrying(app, now));
}

ns_t leaving_deadline(const struct leaving *l, ns_t now)
{
    return now >= l->leave_at ? ns_min(l->give_up_at, now + MOVED_NS) : l->leave_at;
}
