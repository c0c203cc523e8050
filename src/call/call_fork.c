/* call/call_fork.c - the branches of a call to somebody with several devices. */
#include "call/call_priv.h"

#define ELSEWHERE "SIP;cause=200;text=\"Call completed elsewhere\""
#define DECLINED  "SIP;cause=603;text=\"Decline\""

/* How far a call has come, as people see it. */
static int rank_of(enum call_state s)
{
    return s == CALL_LOOKING_UP ? 0 : s == CALL_CONNECTING ? 1 : s == CALL_RINGING ? 2 : 3;
}

/* Of two branches that failed, which one tells the caller more. */
static int weight_of(enum call_cause cause)
{
    switch (cause) {
    case CAUSE_BUSY:
        return 4;
    case CAUSE_NO_ANSWER:
        return 3;
    case CAUSE_INCOMPATIBLE:
    case CAUSE_NO_PATH:
        return 2;
    case CAUSE_NONE:
        return 0;
    default:
        return 1;
    }
}

/* No branch needs to be asked any more. */
static bool ends_all(const struct call *c, enum call_cause cause)
{
    return c->is_answered || cause == CAUSE_HANGUP_LOCAL || cause == CAUSE_CANCELLED ||
           cause == CAUSE_DECLINED || cause == CAUSE_NOT_ALLOWED || cause == CAUSE_ID_MISMATCH ||
           cause == CAUSE_NO_NETWORK;
}

static struct call *branch_of(const struct call *c, int i)
{
    struct call *b = c->owner->calls[i];

    return b != NULL && b->lead == c ? b : NULL;
}

/* People see this one from now on: under the same id, as they set it. */
static void promote(struct call *c)
{
    struct calls *x = c->owner;
    struct call *old = c->lead;
    uint32_t id = c->id;

    c->id = old->id;
    old->id = id;
    c->fallback = old->fallback;
    c->started_ms = old->started_ms;
    c->is_muted = old->is_muted;
    c->volume_pct = old->volume_pct;
    c->gain_db = old->gain_db;
    call_silence(old);
    for (int i = 0; i < CALLS_SLOTS; i++)
        if (x->calls[i] != NULL && x->calls[i]->lead == old)
            x->calls[i]->lead = c;
    old->lead = c;
    c->lead = NULL;
}

/* A branch is gone, without a word to anybody here. */
static void drop(struct call *c, ns_t now, enum call_cause cause, const char *reason)
{
    struct calls *x = c->owner;

    call_close_dialog(c, now, cause, reason);
    path_close(c, now);
    c->is_over = true;
    if (x->ops.branch_over != NULL)
        x->ops.branch_over(x->ops.arg, c);
    call_forget(c);
}

static void drop_all(struct call *c, ns_t now, enum call_cause cause, const char *reason)
{
    for (int i = 0; i < CALLS_SLOTS; i++)
        if (branch_of(c, i) != NULL)
            drop(branch_of(c, i), now, cause, reason);
}

static struct call *furthest(const struct call *c)
{
    struct call *best = NULL;

    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *b = branch_of(c, i);

        if (b != NULL && (best == NULL || rank_of(b->state) > rank_of(best->state)))
            best = b;
    }
    return best;
}

void fork_advance(struct call *c, ns_t now, enum call_state s)
{
    (void)now;
    if (c->lead != NULL && rank_of(s) > rank_of(c->lead->state))
        promote(c);
}

bool fork_takes_end(struct call *c, ns_t now, enum call_cause *cause)
{
    struct call *heir = NULL;

    if (ends_all(c, *cause)) {
        if (c->lead != NULL)
            promote(c);
        drop_all(c, now, *cause, *cause == CAUSE_DECLINED ? DECLINED : NULL);
        return false;
    }
    if (c->lead == NULL) {
        heir = furthest(c);
        if (heir == NULL) {
            *cause = weight_of(c->fallback) > weight_of(*cause) ? c->fallback : *cause;
            return false;
        }
        promote(heir);
    }
    if (weight_of(*cause) > weight_of(c->lead->fallback))
        c->lead->fallback = *cause;
    drop(c, now, *cause, NULL);
    if (heir != NULL) {
        call_set_tone(heir, heir->state);
        call_changed(heir);
    }
    return true;
}

void fork_won(struct call *c, ns_t now)
{
    if (c->lead != NULL)
        promote(c);
    drop_all(c, now, CAUSE_CANCELLED, ELSEWHERE);
}

enum call_cause fork_cause(const char *reason, enum call_cause other)
{
    if (reason == NULL)
        return other;
    return strncmp(reason, "SIP;cause=200", 13) == 0   ? CAUSE_ELSEWHERE
           : strncmp(reason, "SIP;cause=603", 13) == 0 ? CAUSE_DECLINED
                                                       : other;
}
