/* unit/sip/phones.h - two and more user agents in one process, a network between them, one virtual clock.
 *
 * A `line` is one end of a path between two phones: what is sent on it arrives at `far`, after delay_ns, unless
 * the network loses or doubles it. Everything that happens is written down: messages in world.log ("alice > INVITE",
 * "bob > 180 INVITE"), callbacks in phone.events ("incoming", "acked"). */
#ifndef ITO_TESTS_UNIT_SIP_PHONES_H
#define ITO_TESTS_UNIT_SIP_PHONES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sip/ua.h"
#include "unit/test.h"

#define SDP_OFFER \
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
#define SDP_ANSWER \
    "v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"

#define MS NS_PER_MS
#define S  NS_PER_S

struct world;
struct phone;

struct line {
    struct phone *owner;
    struct line *far;
};

struct packet {
    struct packet *next;
    ns_t at;
    struct line *to;
    size_t len;
    char *data;
};

struct deferred {
    env_defer_cb cb;
    void *arg;
};

struct world {
    struct env env;
    ns_t now;
    uint64_t seed;
    struct packet *packets;
    struct deferred deferred[512];
    size_t n_deferred;
    struct phone *phones[8];
    size_t n_phones;
    unsigned loss_pct, twice_pct;
    ns_t delay_ns, jitter_ns;
    bool (*is_lost)(struct world *w, struct phone *from, const char *text); /* aimed loss */
    char log[16384], last[9000];
    unsigned n_sent;
};

struct phone {
    struct world *w;
    const char *name;
    struct ua *ua;
    struct line line; /* the first path; more are the test's */
    struct ua_call *call;
    char events[2048];
    char sdp[2048], header[128], info[512], reason[128];
    int code, info_code;
    bool rings, answers, holds_answer; /* what it does by itself */
    const char *answer_sdp;
    void (*on_event)(struct phone *p, const char *event);
};

static uint64_t world_random(struct world *w)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return w->seed;
}

static void env_random_cb(void *world, void *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)(world_random(world) >> 24);
}

static void env_defer_to_end(void *world, env_defer_cb cb, void *arg)
{
    struct world *w = world;

    assert_true(w->n_deferred < 512);
    w->deferred[w->n_deferred++] = (struct deferred){cb, arg};
}

static void world_run_deferred(struct world *w)
{
    for (size_t i = 0; i < w->n_deferred; i++)
        w->deferred[i].cb(w->deferred[i].arg);
    w->n_deferred = 0;
}

static const struct env_ops world_env_ops = {.random = env_random_cb, .defer = env_defer_to_end};

static struct world *world_create(uint64_t seed)
{
    struct world *w = mem_alloc(sizeof *w);

    w->env = (struct env){&world_env_ops, w};
    w->seed = seed * 0x9e3779b97f4a7c15ull + 1;
    w->delay_ns = 20 * MS;
    w->now = 1000 * S;
    return w;
}

/* "INVITE" or "180 INVITE". */
static const char *label(const char *text, char *out, size_t size)
{
    if (strncmp(text, "SIP/2.0 ", 8) == 0) {
        const char *cseq = strstr(text, "CSeq: "), *method = cseq ? strchr(cseq + 6, ' ') : NULL;

        snprintf(out, size, "%.3s%.*s", text + 8, method ? (int)strcspn(method, "\r") : 0,
                 method ? method : "");
    } else {
        snprintf(out, size, "%.*s", (int)strcspn(text, " "), text);
    }
    return out;
}

static void note(char *log, size_t size, const char *who, const char *what)
{
    size_t n = strlen(log);

    if (n + strlen(who) + strlen(what) + 8 < size)
        snprintf(log + n, size - n, "%s%s%s%s", n > 0 ? ", " : "", who, who[0] ? " > " : "", what);
}

static void world_put(struct world *w, struct line *to, struct slice bytes)
{
    struct packet *p = mem_alloc(sizeof *p), **at = &w->packets;

    p->at = w->now + w->delay_ns + (w->jitter_ns > 0 ? world_random(w) % w->jitter_ns : 0);
    p->to = to;
    p->len = bytes.len;
    p->data = mem_str_slice(bytes);
    while (*at != NULL && (*at)->at <= p->at)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

static void phone_send(void *arg, void *flow, struct slice bytes)
{
    struct phone *p = arg;
    struct world *w = p->w;
    struct line *line = flow;
    char what[64];

    assert_true(bytes.len < sizeof w->last);
    memcpy(w->last, bytes.data, bytes.len);
    w->last[bytes.len] = '\0';
    w->n_sent++;
    note(w->log, sizeof w->log, p->name, label(w->last, what, sizeof what));
    if (line->far == NULL || (w->is_lost != NULL && w->is_lost(w, p, w->last)) ||
        world_random(w) % 100 < w->loss_pct)
        return;
    world_put(w, line->far, bytes);
    if (world_random(w) % 100 < w->twice_pct)
        world_put(w, line->far, bytes);
}

static void event(struct phone *p, struct ua_call *call, const char *what)
{
    (void)call;
    note(p->events, sizeof p->events, "", what);
    if (p->on_event != NULL)
        p->on_event(p, what);
}

static void keep_sdp(struct phone *p, struct slice sdp)
{
    snprintf(p->sdp, sizeof p->sdp, "%.*s", (int)sdp.len, sdp.len ? (const char *)sdp.data : "");
}

static void keep_header(struct phone *p, const struct ua_msg *msg, const char *name)
{
    const char *v = ua_msg_header(msg, name);

    snprintf(p->header, sizeof p->header, "%s", v ? v : "");
}

static void on_incoming(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    struct phone *p = arg;
    static const struct ua_header nonce = {"X-Ito-Nonce", "bbbb"};

    p->call = call;
    keep_sdp(p, sdp);
    keep_header(p, msg, "X-Ito-Commit");
    event(p, call, "incoming");
    if (p->call != call)
        return;
    if (p->rings)
        assert_int_equal(ua_ring(call, p->w->now, &nonce, 1), ERR_OK);
    if (p->answers)
        assert_int_equal(
            ua_answer(call, p->w->now, slice_str(p->answer_sdp ? p->answer_sdp : SDP_ANSWER), &nonce, 1),
            ERR_OK);
}

static void on_provisional(void *arg, struct ua_call *call, int code, struct slice sdp,
                           const struct ua_msg *msg)
{
    char what[32];

    (void)sdp;
    keep_header(arg, msg, "X-Ito-Nonce");
    snprintf(what, sizeof what, "provisional %d", code);
    event(arg, call, what);
}

static void on_answered(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    keep_sdp(arg, sdp);
    keep_header(arg, msg, "X-Ito-Nonce");
    event(arg, call, "answered");
}

static void on_acked(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    keep_sdp(arg, sdp);
    keep_header(arg, msg, "X-Ito-Nonce");
    event(arg, call, "acked");
}

static void on_failed(void *arg, struct ua_call *call, int code, const char *reason, const struct ua_msg *msg)
{
    struct phone *p = arg;
    char what[32];

    (void)msg;
    p->code = code;
    snprintf(p->reason, sizeof p->reason, "%s", reason);
    snprintf(what, sizeof what, "failed %d", code);
    p->call = p->call == call ? NULL : p->call;
    event(p, call, what);
}

static void on_bye(void *arg, struct ua_call *call, const struct ua_msg *msg)
{
    struct phone *p = arg;

    keep_header(p, msg, "Reason");
    p->call = p->call == call ? NULL : p->call;
    event(p, call, "bye");
}

static void on_cancelled(void *arg, struct ua_call *call, const struct ua_msg *msg)
{
    struct phone *p = arg;

    keep_header(p, msg, "Reason");
    p->call = p->call == call ? NULL : p->call;
    event(p, call, "cancelled");
}

static int on_info(void *arg, struct ua_call *call, const char *type, struct slice body,
                   const struct ua_msg *msg)
{
    struct phone *p = arg;

    keep_header(p, msg, "Info-Package");
    snprintf(p->info, sizeof p->info, "%s|%.*s", type, (int)body.len, (const char *)body.data);
    event(p, call, "info");
    return p->info_code ? p->info_code : 200;
}

static void on_info_done(void *arg, struct ua_call *call, int code)
{
    char what[32];

    snprintf(what, sizeof what, "info_done %d", code);
    event(arg, call, what);
}

static void on_reinvite(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    struct phone *p = arg;

    (void)msg;
    keep_sdp(p, sdp);
    event(p, call, "reinvite");
    if (!p->holds_answer)
        assert_int_equal(ua_reinvite_answer(call, p->w->now, slice_str(SDP_ANSWER)), ERR_OK);
}

static void on_reinvited(void *arg, struct ua_call *call, int code, struct slice sdp,
                         const struct ua_msg *msg)
{
    char what[32];

    (void)msg;
    keep_sdp(arg, sdp);
    snprintf(what, sizeof what, "reinvited %d", code);
    event(arg, call, what);
}

static const struct ua_ops phone_ops = {.send = phone_send,
                                        .incoming = on_incoming,
                                        .provisional = on_provisional,
                                        .answered = on_answered,
                                        .acked = on_acked,
                                        .failed = on_failed,
                                        .bye = on_bye,
                                        .cancelled = on_cancelled,
                                        .info = on_info,
                                        .info_done = on_info_done,
                                        .reinvite = on_reinvite,
                                        .reinvited = on_reinvited};

static struct phone *phone_create(struct world *w, const char *name)
{
    struct phone *p = mem_alloc(sizeof *p);
    char uri[64];
    struct ua_cfg cfg = {.uri = uri, .name = name, .user_agent = "ito-test"};

    snprintf(uri, sizeof uri, "sip:%s@ito.alt", name);
    p->w = w;
    p->name = name;
    p->line.owner = p;
    p->rings = true;
    p->ua = ua_create(&cfg, &phone_ops, p, &w->env);
    assert_non_null(p->ua);
    w->phones[w->n_phones++] = p;
    return p;
}

__attribute__((unused)) static void join(struct line *a, struct line *b)
{
    a->far = b;
    b->far = a;
}

/* Let things happen until the moment given. */
static void world_run(struct world *w, ns_t until)
{
    for (;;) {
        ns_t next = w->packets != NULL ? w->packets->at : NS_NEVER;

        for (size_t i = 0; i < w->n_phones; i++)
            if (w->phones[i]->ua != NULL)
                next = ns_min(next, ua_deadline(w->phones[i]->ua));
        if (next > until)
            break;
        w->now = next > w->now ? next : w->now;
        if (w->packets != NULL && w->packets->at <= w->now) {
            struct packet *p = w->packets;

            w->packets = p->next;
            if (p->to->owner->ua != NULL)
                (void)ua_input(p->to->owner->ua, w->now, p->to, slice_of(p->data, p->len));
            mem_free(p->data);
            mem_free(p);
        }
        for (size_t i = 0; i < w->n_phones; i++)
            if (w->phones[i]->ua != NULL && ua_deadline(w->phones[i]->ua) <= w->now)
                ua_tick(w->phones[i]->ua, w->now);
        world_run_deferred(w);
    }
    w->now = until;
}

static void world_run_for(struct world *w, ns_t d)
{
    world_run(w, w->now + d);
}

static void world_destroy(struct world *w)
{
    for (size_t i = 0; i < w->n_phones; i++) {
        ua_destroy(w->phones[i]->ua);
        w->phones[i]->ua = NULL;
    }
    world_run_deferred(w);
    for (size_t i = 0; i < w->n_phones; i++)
        mem_free(w->phones[i]);
    while (w->packets != NULL) {
        struct packet *p = w->packets;

        w->packets = p->next;
        mem_free(p->data);
        mem_free(p);
    }
    mem_free(w);
}

struct pair {
    struct world *w;
    struct phone *alice, *bob;
};

__attribute__((unused)) static struct pair pair_create(uint64_t seed)
{
    struct pair p = {.w = world_create(seed)};

    p.alice = phone_create(p.w, "alice");
    p.bob = phone_create(p.w, "bob");
    join(&p.alice->line, &p.bob->line);
    return p;
}

__attribute__((unused)) static struct ua_call *dial(struct pair *p)
{
    static const struct ua_header commit = {"X-Ito-Commit", "cccc"};

    p->alice->call = ua_invite(p->alice->ua, p->w->now, &p->alice->line, "sip:bob@ito.alt",
                               slice_str(SDP_OFFER), &commit, 1);
    assert_non_null(p->alice->call);
    return p->alice->call;
}

/* A call that is up at both ends. */
__attribute__((unused)) static struct pair pair_in_call(uint64_t seed)
{
    struct pair p = pair_create(seed);

    p.bob->answers = true;
    dial(&p);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.bob->events, "incoming, acked");
    p.w->log[0] = p.alice->events[0] = p.bob->events[0] = '\0';
    return p;
}

__attribute__((unused)) static uint32_t transactions(const struct phone *p)
{
    struct ua_stats s;

    ua_get_stats(p->ua, &s);
    return s.transactions;
}

__attribute__((unused)) static uint32_t calls(const struct phone *p)
{
    struct ua_stats s;

    ua_get_stats(p->ua, &s);
    return s.calls;
}

#endif
