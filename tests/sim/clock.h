/* tests/sim/clock.h - virtual time: jumps from one event to the next, never sleeps.
 *
 * Two kinds of events: a one-shot callback (clock_at) and a driver, an object with the project's deadline/tick
 * pair. A driver is ticked when its deadline has come, and asked again after each event, so a test may call
 * straight into its objects. With more than CLOCK_POLL_ALL drivers only those touched by an event are asked;
 * whoever reaches into another object then calls clock_touch().
 *
 *   owner  the test; drivers are borrowed until clock_undrive()
 *   trust  none needed: a driver whose deadline stays in the past aborts the test with its index */
#ifndef ITO_SIM_CLOCK_H
#define ITO_SIM_CLOCK_H

#include "base/env.h"

#define CLOCK_START_NS (1000 * NS_PER_S) /* not 0, so that "unset" and "now" differ */
#define CLOCK_POLL_ALL 256

struct clock;
struct clock_driver;

struct clock_ops {
    ns_t (*deadline)(void *arg); /* NS_NEVER when it waits for nothing */
    void (*tick)(void *arg, ns_t now);
};

typedef void (*clock_cb)(void *arg, ns_t now);
typedef bool (*clock_stop_cb)(void *arg);

struct clock *clock_create(void);
void clock_destroy(struct clock *c);
ns_t clock_now(const struct clock *c);
/* Call cb(arg, now) once at the moment `at`, or at once when that has passed; equal moments in call order. */
void clock_at(struct clock *c, ns_t at, clock_cb cb, void *arg);
/* Call cb(arg) at the end of the turn that runs now. */
void clock_defer(struct clock *c, env_defer_cb cb, void *arg);
struct clock_driver *clock_drive(struct clock *c, const struct clock_ops *ops, void *arg);
void clock_undrive(struct clock *c, struct clock_driver *d);
void clock_touch(struct clock *c, struct clock_driver *d);
/* Run until the moment `until` (the clock then stands there), or until stop(arg), asked after each event, is
 * true. stop may be NULL. Returns whether stop said so. */
bool clock_run(struct clock *c, ns_t until, clock_stop_cb stop, void *arg);

#endif
