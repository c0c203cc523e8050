#include "core_detour.h"

#include "base/log.h"
#include "base/mem.h"

#define RETRY_NS (10 * NS_PER_S) /* doubles with each round over TCP and TLS */

struct candidate {
    struct addr addr; /* family ADDR_NONE: free */
    unsigned trials;  /* odd ones are TLS */
    ns_t not_before;
};

struct way {
    struct addr to, stream; /* to.family ADDR_NONE: free */
    bool is_up, is_tls;
    ns_t opened_at;
};

struct detour {
    struct io *io;
    struct tcp *tcp;
    bool hears_udp;
    ns_t first_at; /* the first packet went out; 0: none did */
    struct candidate candidates[DETOUR_CANDIDATES];
    unsigned next; /* the place that is given away when all are taken */
    struct way ways[DETOURS];
};

static struct way *find_way(struct detour *d, const struct addr *to)
{
    for (int i = 0; i < DETOURS; i++)
        if (d->ways[i].to.family != ADDR_NONE && addr_equal(&d->ways[i].to, to))
            return &d->ways[i];
    return NULL;
}

static struct way *find_stream(struct detour *d, const struct addr *stream)
{
    for (int i = 0; i < DETOURS; i++)
        if (d->ways[i].to.family != ADDR_NONE && d->ways[i].stream.scope == stream->scope)
            return &d->ways[i];
    return NULL;
}

static struct candidate *find_candidate(struct detour *d, const struct addr *a)
{
    for (int i = 0; i < DETOUR_CANDIDATES; i++)
        if (d->candidates[i].addr.family != ADDR_NONE && addr_equal(&d->candidates[i].addr, a))
            return &d->candidates[i];
    return NULL;
}

static void remember(struct detour *d, const struct addr *to)
{
    struct candidate *c = NULL;

    if (addr_class(to) != ADDR_GLOBAL || find_candidate(d, to) != NULL)
        return;
    for (int i = 0; c == NULL && i < DETOUR_CANDIDATES; i++)
        c = d->candidates[i].addr.family == ADDR_NONE ? &d->candidates[i] : NULL;
    if (c == NULL) {
        c = &d->candidates[d->next];
        d->next = (d->next + 1) % DETOUR_CANDIDATES;
    }
    *c = (struct candidate){.addr = *to};
}

/* io's hook: true when the packet went by a detour and need not go by UDP. */
static bool on_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct detour *d = arg;
    struct way *w;

    if (d->hears_udp)
        return false;
    if (d->first_at == 0) {
        d->first_at = io_now();
        io_wake(d->io); /* a deadline has come to be */
    }
    w = find_way(d, to);
    if (w == NULL) {
        remember(d, to);
        return false;
    }
    tcp_send(d->tcp, &w->stream, bytes);
    return w->is_up;
}

struct detour *detour_create(struct io *io, struct tcp *tcp)
{
    struct detour *d = mem_alloc(sizeof *d);

    d->io = io;
    d->tcp = tcp;
    io_set_detour(io, on_send, d);
    return d;
}

void detour_destroy(struct detour *d)
{
    if (d == NULL)
        return;
    io_set_detour(d->io, NULL, NULL);
    mem_free(d);
}

void detour_heard(struct detour *d, const struct addr *from)
{
    if (!d->hears_udp && addr_class(from) == ADDR_GLOBAL)
        d->hears_udp = true;
}

const struct addr *detour_from(struct detour *d, const struct addr *stream)
{
    struct way *w = find_stream(d, stream);
    char text[ADDR_TEXT_BYTES];

    if (w == NULL)
        return NULL;
    if (!w->is_up)
        log_info(io_env(d->io), "no UDP here: %s is reached by %s", addr_print(&w->to, text),
                 w->is_tls ? "TLS" : "TCP");
    w->is_up = true;
    return &w->to;
}

/* The other kind is next; after both, a pause. */
static void give_up(struct detour *d, ns_t now, struct way *w)
{
    struct candidate *c = find_candidate(d, &w->to);

    if (c != NULL && !w->is_up) {
        unsigned rounds = ++c->trials / 2;

        c->not_before = c->trials % 2 != 0 ? now : now + (RETRY_NS << (rounds < 6 ? rounds : 6));
    } else if (c != NULL) {
        c->not_before = now + NS_PER_S;
    }
    w->to.family = ADDR_NONE;
}

bool detour_gone(struct detour *d, ns_t now, const struct addr *stream)
{
    struct way *w = find_stream(d, stream);

    if (w == NULL)
        return false;
    give_up(d, now, w);
    return true;
}

void detour_forget(struct detour *d)
{
    for (int i = 0; i < DETOURS; i++) {
        if (d->ways[i].to.family != ADDR_NONE)
            tcp_close(d->tcp, &d->ways[i].stream);
        d->ways[i].to.family = ADDR_NONE;
    }
    memset(d->candidates, 0, sizeof d->candidates);
    d->hears_udp = false;
    d->first_at = 0;
}

/* The one that may be tried and was tried least. */
static struct candidate *choose(struct detour *d, ns_t now)
{
    struct candidate *best = NULL;

    for (int i = 0; i < DETOUR_CANDIDATES; i++) {
        struct candidate *c = &d->candidates[i];

        if (c->addr.family != ADDR_NONE && now >= c->not_before && find_way(d, &c->addr) == NULL &&
            (best == NULL || c->trials < best->trials))
            best = c;
    }
    return best;
}

static void start_trial(struct detour *d, ns_t now, struct way *w)
{
    struct candidate *c = choose(d, now);

    if (c == NULL)
        return;
    *w = (struct way){.to = c->addr, .is_tls = c->trials % 2 != 0, .opened_at = now};
    if (tcp_connect(d->tcp, &w->to, w->is_tls, &w->stream) != ERR_OK)
        give_up(d, now, w);
}

ns_t detour_turn(struct detour *d, ns_t now)
{
    ns_t at = NS_NEVER;

    if (d->hears_udp || d->first_at == 0)
        return NS_NEVER;
    if (now < d->first_at + DETOUR_AFTER_NS)
        return d->first_at + DETOUR_AFTER_NS;
    for (int i = 0; i < DETOURS; i++) {
        struct way *w = &d->ways[i];

        if (w->to.family != ADDR_NONE && !w->is_up && now >= w->opened_at + DETOUR_TRIAL_NS) {
            tcp_close(d->tcp, &w->stream);
            give_up(d, now, w);
        }
        if (w->to.family == ADDR_NONE)
            start_trial(d, now, w);
        if (w->to.family == ADDR_NONE)
            at = ns_min(at, now + NS_PER_S);
        else if (!w->is_up)
            at = ns_min(at, w->opened_at + DETOUR_TRIAL_NS);
    }
    return at;
}
