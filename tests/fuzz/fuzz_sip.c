/* A stream of messages into a user agent that rings, answers and hangs up by itself.
 *
 * The input is cut at each 0xff into messages and pauses. First alone: what parses is printed and parsed again to
 * the same text. Then all to a UA: nothing it sends is unparsable, and 400 s later nothing is left. */
#include <stdlib.h>

#include <osipparser2/osip_parser.h>

#include "base/mem.h"
#include "sip/msg.h"
#include "sip/ua.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct box {
    struct env env;
    uint32_t seed;
    struct {
        env_defer_cb cb;
        void *arg;
    } deferred[1024];
    size_t n_deferred;
    ns_t now;
    unsigned n_calls;
};

static void random_bytes(void *world, void *out, size_t n)
{
    struct box *b = world;

    for (size_t i = 0; i < n; i++) {
        b->seed = b->seed * 1103515245 + 12345;
        ((uint8_t *)out)[i] = (uint8_t)(b->seed >> 16);
    }
}

static void defer(void *world, env_defer_cb cb, void *arg)
{
    struct box *b = world;

    if (b->n_deferred == 1024)
        abort();
    b->deferred[b->n_deferred].cb = cb;
    b->deferred[b->n_deferred++].arg = arg;
}

static void run_deferred(struct box *b)
{
    for (size_t i = 0; i < b->n_deferred; i++)
        b->deferred[i].cb(b->deferred[i].arg);
    b->n_deferred = 0;
}

static void on_send(void *arg, void *flow, struct slice sip)
{
    osip_message_t *msg;
    int code;

    (void)arg, (void)flow;
    if (sip_msg_parse(sip, &msg, &code) != ERR_OK && code != 505)
        abort();
    osip_message_free(msg);
}

static void on_incoming(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    struct box *b = arg;

    (void)sdp;
    (void)ua_msg_header(msg, "X-Ito-Commit");
    if (b->n_calls % 4 != 3)
        (void)ua_ring(call, b->now, NULL, 0);
    if (b->n_calls % 4 == 0)
        (void)ua_answer(call, b->now, slice_str("v=0\r\n"), NULL, 0);
    else if (b->n_calls % 4 == 1)
        (void)ua_reject(call, b->now, 603, NULL);
    b->n_calls++;
}

static int on_info(void *arg, struct ua_call *call, const char *type, struct slice body,
                   const struct ua_msg *msg)
{
    (void)arg, (void)call, (void)body, (void)msg;
    return type[0] == 'a' ? 200 : 415;
}

static void on_reinvite(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    struct box *b = arg;

    (void)msg;
    if (sdp.len % 2 == 0)
        (void)ua_reinvite_answer(call, b->now, slice_str("v=0\r\n"));
}

static void on_answered(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    (void)arg, (void)sdp, (void)msg;
    if (sdp.len % 2 == 1)
        (void)ua_bye(call, ((struct box *)arg)->now, NULL);
}

static void alone(struct slice bytes)
{
    osip_message_t *msg, *again;
    char *one = NULL, *two = NULL;
    size_t n, m;
    int code;

    if (sip_msg_parse(bytes, &msg, &code) != ERR_OK) {
        osip_message_free(msg);
        return;
    }
    osip_message_force_update(msg);
    /* osip refuses to print some of what it reads; what it prints must read. */
    if (osip_message_to_str(msg, &one, &n) == 0 && sip_msg_parse(slice_of(one, n), &again, &code) == ERR_OK) {
        osip_message_force_update(again);
        if (osip_message_to_str(again, &two, &m) == 0 && sip_msg_cseq(msg) != sip_msg_cseq(again))
            abort();
        osip_message_free(again);
    }
    mem_free(one);
    mem_free(two);
    osip_message_free(msg);
}

static void advance(struct box *b, struct ua *ua, ns_t until)
{
    for (ns_t due = ua_deadline(ua); due <= until; due = ua_deadline(ua)) {
        b->now = due > b->now ? due : b->now;
        ua_tick(ua, b->now);
        run_deferred(b);
    }
    b->now = until;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct env_ops env_ops = {.random = random_bytes, .defer = defer};
    static const struct ua_ops ops = {.send = on_send,
                                      .incoming = on_incoming,
                                      .answered = on_answered,
                                      .info = on_info,
                                      .reinvite = on_reinvite};
    struct ua_cfg cfg = {.uri = "sip:bob@ito.alt", .accepts_any = true, .transport = "UDP"};
    struct box *b = mem_alloc(sizeof *b);
    struct ua_stats stats;
    struct ua *ua;
    int flow;

    b->env = (struct env){&env_ops, b};
    b->now = NS_PER_S;
    ua = ua_create(&cfg, &ops, b, &b->env);
    (void)ua_invite(ua, b->now, &flow, "sip:alice@ito.alt", slice_str("v=0\r\n"), NULL, 0);
    for (size_t i = 0, n; i < size; i += n + 1) {
        const uint8_t *end = memchr(data + i, 0xff, size - i);

        n = end != NULL ? (size_t)(end - data) - i : size - i;
        alone(slice_of(data + i, n));
        (void)ua_input(ua, b->now, &flow, slice_of(data + i, n));
        run_deferred(b);
        advance(b, ua, b->now + (n % 7) * 300 * NS_PER_MS);
    }
    advance(b, ua, b->now + 20 * NS_PER_S);
    ua_flow_gone(ua, &flow);
    advance(b, ua, b->now + 400 * NS_PER_S);
    ua_get_stats(ua, &stats);
    if (stats.transactions != 0)
        abort();
    ua_destroy(ua);
    run_deferred(b);
    mem_free(b);
    return 0;
}
