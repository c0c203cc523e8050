#include "tests/sim/clock.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"

#define STUCK_TICKS 10000 /* of one driver without time moving: a deadline that its tick does not move */

struct event {
    ns_t at;
    uint64_t seq; /* equal moments keep the order of their calls */
    clock_cb cb;
    void *arg;
};

struct deferred {
    struct list link;
    env_defer_cb cb;
    void *arg;
};

struct clock_driver {
    struct heap_node node;
    struct list link;
    const struct clock_ops *ops;
    void *arg;
    unsigned n_stuck;
    bool is_dead; /* undriven within this turn */
};

struct clock {
    ns_t now;
    struct heap drivers; /* by deadline */
    struct list all;     /* drivers */
    struct list deferred;
    size_t n_drivers;
    struct event **events; /* binary heap by (moment, seq) */
    size_t n_events, cap_events;
    uint64_t next_seq;
};

struct clock *clock_create(void)
{
    struct clock *c = mem_alloc(sizeof *c);

    c->now = CLOCK_START_NS;
    list_init(&c->all);
    list_init(&c->deferred);
    return c;
}

static void run_deferred(struct clock *c)
{
    while (!list_is_empty(&c->deferred)) {
        struct deferred *d = list_item(c->deferred.next, struct deferred, link);

        list_remove(&d->link);
        d->cb(d->arg);
        mem_free(d);
    }
}

void clock_destroy(struct clock *c)
{
    if (c == NULL)
        return;
    run_deferred(c);
    list_each_safe(l, &c->all)
    {
        struct clock_driver *d = list_item(l, struct clock_driver, link);

        heap_remove(&c->drivers, &d->node);
        mem_free(d);
    }
    for (size_t i = 0; i < c->n_events; i++)
        mem_free(c->events[i]);
    mem_free(c->events);
    heap_fini(&c->drivers);
    mem_free(c);
}

ns_t clock_now(const struct clock *c)
{
    return c->now;
}

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void sift_up(struct clock *c, size_t i)
{
    while (i > 0 && is_before(c->events[i], c->events[(i - 1) / 2])) {
        struct event *e = c->events[i];

        c->events[i] = c->events[(i - 1) / 2];
        c->events[(i - 1) / 2] = e;
        i = (i - 1) / 2;
    }
}

static void sift_down(struct clock *c)
{
    size_t i = 0;

    for (;;) {
        size_t least = i, left = 2 * i + 1;

        for (size_t k = left; k < left + 2 && k < c->n_events; k++)
            if (is_before(c->events[k], c->events[least]))
                least = k;
        if (least == i)
            return;
        struct event *e = c->events[i];

        c->events[i] = c->events[least];
        c->events[least] = e;
        i = least;
    }
}

void clock_at(struct clock *c, ns_t at, clock_cb cb, void *arg)
{
    struct event *e = mem_alloc(sizeof *e);

    e->at = at < c->now ? c->now : at;
    e->seq = c->next_seq++;
    e->cb = cb;
    e->arg = arg;
    if (c->n_events == c->cap_events) {
        c->cap_events = c->cap_events > 0 ? 2 * c->cap_events : 64;
        c->events = mem_resize(c->events, c->cap_events, sizeof *c->events);
    }
    c->events[c->n_events++] = e;
    sift_up(c, c->n_events - 1);
}

void clock_defer(struct clock *c, env_defer_cb cb, void *arg)
{
    struct deferred *d = mem_alloc(sizeof *d);

    d->cb = cb;
    d->arg = arg;
    list_append(&c->deferred, &d->link);
}

struct clock_driver *clock_drive(struct clock *c, const struct clock_ops *ops, void *arg)
{
    struct clock_driver *d = mem_alloc(sizeof *d);

    d->ops = ops;
    d->arg = arg;
    list_append(&c->all, &d->link);
    c->n_drivers++;
    return d;
}

void clock_undrive(struct clock *c, struct clock_driver *d)
{
    if (d == NULL || d->is_dead)
        return;
    d->is_dead = true;
    heap_remove(&c->drivers, &d->node);
    list_remove(&d->link);
    c->n_drivers--;
    clock_defer(c, mem_free, d);
}

void clock_touch(struct clock *c, struct clock_driver *d)
{
    if (!d->is_dead)
        heap_set(&c->drivers, &d->node, d->ops->deadline(d->arg));
}

static void touch_all(struct clock *c)
{
    list_each(l, &c->all) clock_touch(c, list_item(l, struct clock_driver, link));
}

static void run_event(struct clock *c)
{
    struct event *e = c->events[0];

    c->events[0] = c->events[--c->n_events];
    sift_down(c);
    if (e->at > c->now)
        c->now = e->at;
    e->cb(e->arg, c->now);
    mem_free(e);
}

static void run_driver(struct clock *c, ns_t due)
{
    struct heap_node *node = heap_pop_due(&c->drivers, due > c->now ? due : c->now);
    struct clock_driver *d = heap_item(node, struct clock_driver, node);

    d->n_stuck = due > c->now ? 0 : d->n_stuck + 1;
    if (d->n_stuck > STUCK_TICKS) {
        fprintf(stderr, "clock: a driver's deadline stays at %llu ns: its tick does not move it\n",
                (unsigned long long)due);
        abort();
    }
    if (due > c->now)
        c->now = due;
    d->ops->tick(d->arg, c->now);
    clock_touch(c, d);
}

/* One event or tick; false when nothing is due until `until`. */
static bool step(struct clock *c, ns_t until)
{
    ns_t event = c->n_events > 0 ? c->events[0]->at : NS_NEVER;
    ns_t driver = heap_deadline(&c->drivers);

    if (ns_min(event, driver) > until)
        return false;
    if (event <= driver)
        run_event(c);
    else
        run_driver(c, driver);
    run_deferred(c);
    if (c->n_drivers <= CLOCK_POLL_ALL)
        touch_all(c);
    return true;
}

bool clock_run(struct clock *c, ns_t until, clock_stop_cb stop, void *arg)
{
    run_deferred(c);
    touch_all(c);
    if (stop != NULL && stop(arg))
        return true;
    while (step(c, until)) {
        if (stop != NULL && stop(arg))
            return true;
    }
    if (until > c->now && until != NS_NEVER)
        c->now = until;
    return false;
}
