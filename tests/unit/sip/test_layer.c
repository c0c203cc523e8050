/* Transactions in virtual time: each timer of RFC 3261 at its value, and what osip leaves to us. */
#include <sys/time.h>
#include <time.h>

#include <osip2/osip_time.h>

#include "unit/sip/phones.h"

#include "sip/layer.h"
#include "sip/msg.h"
#include "sip/osip_clock.h"

/* One layer, driven by its own deadline; what it says and does is written down with the time in ms. */
struct rig {
    struct world *w;
    struct sip_layer *l;
    ns_t start;
    char log[8192];
    char last[9000];
    int flow;
    struct sip_txn *server; /* the last one begun */
    int reply;              /* answer each request with this at once */
    void (*on_event)(struct rig *r, const char *what);
    struct rig *far; /* deliver what is sent here at once, from within send() */
};

static void rig_note(struct rig *r, const char *what)
{
    char line[128];

    snprintf(line, sizeof line, "%llu %s", (unsigned long long)((r->w->now - r->start) / MS), what);
    note(r->log, sizeof r->log, "", line);
    if (r->on_event != NULL)
        r->on_event(r, what);
}

static void rig_send(void *arg, void *flow, struct slice bytes)
{
    struct rig *r = arg;
    char what[64];

    (void)flow;
    memcpy(r->last, bytes.data, bytes.len);
    r->last[bytes.len] = '\0';
    rig_note(r, label(r->last, what, sizeof what));
    if (r->far != NULL)
        (void)layer_input(r->far->l, r->w->now, &r->far->flow, bytes);
}

static osip_message_t *reply_to(struct rig *r, const osip_message_t *req, int code)
{
    uint8_t text[SIP_MESSAGE_MAX_BYTES];
    struct wr w;

    (void)r;
    wr_init(&w, text, sizeof text);
    sip_put_response(&w, req, code, NULL, "ours");
    sip_put_body(&w, NULL, slice_of(NULL, 0));
    return sip_finish(&w);
}

static void rig_request(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    struct rig *r = arg;

    r->server = txn;
    rig_note(r, "[request]");
    if (r->reply != 0)
        assert_int_equal(layer_respond(r->l, now, txn, reply_to(r, msg, r->reply)), ERR_OK);
}

static void rig_response(void *arg, ns_t now, struct sip_txn *txn, const osip_message_t *msg)
{
    char what[32];

    (void)now, (void)txn;
    snprintf(what, sizeof what, "[%d]", msg->status_code);
    rig_note(arg, what);
}

static void rig_timeout(void *arg, ns_t now, struct sip_txn *txn)
{
    (void)now, (void)txn;
    rig_note(arg, "[timeout]");
}

static void rig_flow_msg(void *arg, ns_t now, void *flow, const osip_message_t *msg)
{
    (void)now, (void)flow;
    rig_note(arg, msg->status_code != 0 ? "[stray]" : "[ack]");
}

static void rig_gone(void *arg, struct sip_txn *txn)
{
    struct rig *r = arg;

    if (r->server == txn)
        r->server = NULL;
    rig_note(r, "[gone]");
}

static const struct sip_layer_ops rig_ops = {.send = rig_send,
                                             .request = rig_request,
                                             .response = rig_response,
                                             .timeout = rig_timeout,
                                             .ack = rig_flow_msg,
                                             .stray = rig_flow_msg,
                                             .gone = rig_gone};

static struct rig *rig_create(void)
{
    struct rig *r = mem_alloc(sizeof *r);

    r->w = world_create(1);
    r->start = r->w->now;
    r->l = layer_create(&rig_ops, r, &r->w->env);
    return r;
}

static void rig_destroy(struct rig *r)
{
    layer_destroy(r->l);
    world_run_deferred(r->w);
    world_destroy(r->w);
    mem_free(r);
}

/* Only at the moments the layer asks for: a deadline too late would show. */
static unsigned rig_run(struct rig *r, ns_t d)
{
    ns_t until = r->w->now + d;
    unsigned n = 0;

    for (; r->l != NULL && layer_deadline(r->l) <= until; n++) {
        r->w->now = layer_deadline(r->l) > r->w->now ? layer_deadline(r->l) : r->w->now;
        layer_tick(r->l, r->w->now);
        world_run_deferred(r->w);
        assert_true(n < 1000);
    }
    r->w->now = until;
    return n;
}

static char *text_of(const char *line, const char *method, const char *transport, const char *branch,
                     int cseq)
{
    return mem_printf(
        "%s\r\nVia: SIP/2.0/%s h.example;branch=%s\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=a\r\n"
        "To: <sip:c@d>%s\r\nCall-ID: x\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n",
        line, transport, branch, strncmp(line, "SIP", 3) == 0 ? ";tag=b" : "", cseq, method);
}

static osip_message_t *message(const char *method, const char *transport)
{
    char line[64], *text;
    osip_message_t *msg;
    int code;

    snprintf(line, sizeof line, "%s sip:c@d SIP/2.0", method);
    text = text_of(line, method, transport, "z9hG4bKb1", 1);
    assert_int_equal(sip_msg_parse(slice_str(text), &msg, &code), ERR_OK);
    mem_free(text);
    return msg;
}

static void hear(struct rig *r, const char *line, const char *method, const char *branch)
{
    char *text = text_of(line, method, "UDP", branch, 1);

    (void)layer_input(r->l, r->w->now, &r->flow, slice_str(text));
    mem_free(text);
}

static void our_clock(void **state)
{
    struct timeval tv;

    (void)state;
    osip_clock_set(1234 * S + 567 * MS + 890 * NS_PER_US);
    /* The library's own caller finds ours: add_gettimeofday() does not read it, the timers below do. */
    osip_gettimeofday(&tv, NULL);
    assert_int_equal(tv.tv_sec, 1234);
    assert_int_equal(tv.tv_usec, 567890);
}

static void timers_a_b(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    assert_non_null(layer_request(r->l, r->w->now, &r->flow, message("INVITE", "ITO"), r));
    rig_run(r, 100 * S);
    assert_string_equal(r->log, "0 INVITE, 500 INVITE, 1500 INVITE, 3500 INVITE, 7500 INVITE, 15500 INVITE, "
                                "31500 INVITE, 32000 [timeout], 32000 [gone]");
    assert_int_equal(layer_deadline(r->l), NS_NEVER);
    rig_destroy(r);
}

static void timer_d(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    layer_request(r->l, r->w->now, &r->flow, message("INVITE", "ITO"), r);
    rig_run(r, 100 * MS);
    hear(r, "SIP/2.0 180 R", "INVITE", "z9hG4bKb1");
    rig_run(r, 100 * S - 100 * MS); /* no timer in proceeding */
    hear(r, "SIP/2.0 486 B", "INVITE", "z9hG4bKb1");
    assert_non_null(strstr(r->last, "ACK sip:c@d"));
    assert_non_null(strstr(r->last, "Max-")); /* which osip forgets */
    rig_run(r, 1 * S);
    hear(r, "SIP/2.0 486 B", "INVITE", "z9hG4bKb1");
    rig_run(r, 100 * S);
    assert_string_equal(r->log, "0 INVITE, 100 [180], 100000 ACK, 100000 [486], 101000 ACK, 132000 [gone]");
    rig_destroy(r);
}

static void timers_e_f(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    layer_request(r->l, r->w->now, &r->flow, message("OPTIONS", "ITO"), r);
    rig_run(r, 100 * S);
    assert_string_equal(r->log,
                        "0 OPTIONS, 500 OPTIONS, 1500 OPTIONS, 3500 OPTIONS, 7500 OPTIONS, 11500 OPTIONS, "
                        "15500 OPTIONS, 19500 OPTIONS, 23500 OPTIONS, 27500 OPTIONS, 31500 OPTIONS, "
                        "32000 [timeout], 32000 [gone]");
    rig_destroy(r);
}

static void timer_k(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    layer_request(r->l, r->w->now, &r->flow, message("OPTIONS", "ITO"), r);
    hear(r, "SIP/2.0 200 OK", "OPTIONS", "z9hG4bKb1");
    hear(r, "SIP/2.0 200 OK", "OPTIONS", "z9hG4bKb1");
    rig_run(r, 100 * S);
    assert_string_equal(r->log, "0 OPTIONS, 0 [200], 5000 [gone]");
    rig_destroy(r);
}

static void timers_g_h(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    r->reply = 486;
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1");
    rig_run(r, 100 * S);
    assert_string_equal(r->log,
                        "0 [request], 0 486 INVITE, 500 486 INVITE, 1500 486 INVITE, 3500 486 INVITE, "
                        "7500 486 INVITE, 11500 486 INVITE, 15500 486 INVITE, 19500 486 INVITE, "
                        "23500 486 INVITE, 27500 486 INVITE, 31500 486 INVITE, 32000 [gone]");
    rig_destroy(r);
}

static void timer_i(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    r->reply = 486;
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1");
    rig_run(r, 100 * MS);
    hear(r, "ACK sip:c@d SIP/2.0", "ACK", "z9hG4bKb1");
    hear(r, "ACK sip:c@d SIP/2.0", "ACK", "z9hG4bKb1"); /* absorbed */
    rig_run(r, 100 * S);
    assert_string_equal(r->log, "0 [request], 0 486 INVITE, 5100 [gone]");
    rig_destroy(r);
}

static void timer_j(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    r->reply = 200;
    hear(r, "OPTIONS sip:c@d SIP/2.0", "OPTIONS", "z9hG4bKb1");
    rig_run(r, 30 * S);
    hear(r, "OPTIONS sip:c@d SIP/2.0", "OPTIONS", "z9hG4bKb1");
    rig_run(r, 100 * S);
    assert_string_equal(r->log, "0 [request], 0 200 OPTIONS, 30000 200 OPTIONS, 32000 [gone]");
    rig_destroy(r);
}

static void via_tokens(void **state)
{
    static const struct {
        const char *token;
        bool repeats;
    } t[] = {{"UDP", true}, {"ITO", true}, {"TLS", false}, {"TCP", false}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct rig *r = rig_create();

        layer_request(r->l, r->w->now, &r->flow, message("INVITE", t[i].token), r);
        rig_run(r, 10 * S);
        assert_int_equal(strstr(r->log, "500 INVITE") != NULL, t[i].repeats);
        rig_destroy(r);
    }
}

static void copies_after_2xx(void **state)
{
    struct rig *r = rig_create();
    struct sip_layer_stats s;

    (void)state;
    r->reply = 200;
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1");
    assert_string_equal(r->log,
                        "0 [request], 0 200 INVITE, 0 [gone]"); /* osip forgets it at once (RFC 3261) */
    rig_run(r, 31 * S);
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1");
    assert_string_equal(r->log, "0 [request], 0 200 INVITE, 0 [gone]"); /* we do not (RFC 6026) */
    layer_get_stats(r->l, &s);
    assert_int_equal(s.absorbed, 1);
    hear(r, "ACK sip:c@d SIP/2.0", "ACK", "z9hG4bKother");
    assert_non_null(strstr(r->log, "31000 [ack]"));
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb2"); /* another one */
    assert_non_null(strstr(r->log, "31000 [request]"));
    rig_destroy(r);
}

static void copies_after_a_refusal(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    r->reply = 603;
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1");
    hear(r, "ACK sip:c@d SIP/2.0", "ACK", "z9hG4bKb1");
    rig_run(r, 20 * S);
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1");
    assert_string_equal(r->log, "0 [request], 0 603 INVITE, 5000 [gone]");
    rig_destroy(r);
}

static void stuck_in_proceeding(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    r->reply = 180;
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1");
    hear(r, "INVITE sip:c@d SIP/2.0", "INVITE", "z9hG4bKb1"); /* a copy gets the 180 again */
    rig_run(r, 1000 * S);
    assert_string_equal(r->log, "0 [request], 0 180 INVITE, 0 180 INVITE, 240000 [gone]");
    assert_int_equal(layer_deadline(r->l), NS_NEVER);
    rig_destroy(r);
}

static void strays(void **state)
{
    struct rig *r = rig_create();
    struct sip_layer_stats s;

    (void)state;
    hear(r, "SIP/2.0 200 OK", "INVITE", "z9hG4bKb9");
    assert_string_equal(r->log, "0 [stray]");
    hear(r, "SIP/2.0 200 OK", "OPTIONS", "z9hG4bKb9");
    hear(r, "SIP/2.0 180 R", "INVITE", "z9hG4bKb9");
    hear(r, "SIP/2.0 486 B", "INVITE", "z9hG4bKb9");
    layer_get_stats(r->l, &s);
    assert_int_equal(s.unmatched, 3);
    assert_string_equal(r->log, "0 [stray]");
    rig_destroy(r);
}

static void another_flow(void **state)
{
    struct rig *r = rig_create();
    char *ok = text_of("SIP/2.0 200 OK", "OPTIONS", "UDP", "z9hG4bKb1", 1);
    int other;

    (void)state;
    layer_request(r->l, r->w->now, &r->flow, message("OPTIONS", "ITO"), r);
    (void)layer_input(r->l, r->w->now, &other, slice_str(ok));
    assert_string_equal(r->log, "0 OPTIONS");
    /* A session is replaced: copies and answers go by the new one. */
    layer_move_flow(r->l, r, &r->flow, &other);
    (void)layer_input(r->l, r->w->now, &other, slice_str(ok));
    assert_string_equal(r->log, "0 OPTIONS, 0 [200]");
    mem_free(ok);
    rig_destroy(r);
}

static void the_callers_cap(void **state)
{
    struct rig *r = rig_create();
    struct sip_layer_stats s;
    int flows[4];

    (void)state;
    for (int f = 0; f < 4; f++)
        for (int i = 0; i < LAYER_PER_FLOW + 2; i++) {
            char branch[32], *text;

            snprintf(branch, sizeof branch, "z9hG4bK%d-%d", f, i);
            text = text_of("OPTIONS sip:c@d SIP/2.0", "OPTIONS", "UDP", branch, 1);
            (void)layer_input(r->l, r->w->now, &flows[f], slice_str(text));
            mem_free(text);
        }
    layer_get_stats(r->l, &s);
    assert_int_equal(s.transactions,
                     LAYER_TRANSACTIONS); /* three flows of 32 each; the fourth found no room */
    assert_int_equal(s.full, 3 * 2 + LAYER_PER_FLOW + 2);
    assert_null(layer_request(r->l, r->w->now, &r->flow, message("OPTIONS", "ITO"), r));
    rig_run(r, 300 * S);
    layer_get_stats(r->l, &s);
    assert_int_equal(s.transactions, 0);
    rig_destroy(r);
}

static void finished_ones_make_room(void **state)
{
    struct rig *r = rig_create();
    struct sip_layer_stats s;

    (void)state;
    r->reply = 200;
    for (int i = 0; i < 3 * LAYER_TRANSACTIONS; i++) {
        char branch[32];

        snprintf(branch, sizeof branch, "z9hG4bK%d", i);
        r->log[0] = '\0';
        hear(r, "OPTIONS sip:c@d SIP/2.0", "OPTIONS", branch);
        assert_non_null(strstr(r->log, "200 OPTIONS"));
    }
    layer_get_stats(r->l, &s);
    assert_int_equal(s.transactions, LAYER_PER_FLOW);
    assert_int_equal(s.full, 0);
    rig_destroy(r);
}

static void input_from_within_send(void **state)
{
    struct rig *a = rig_create(), *b = rig_create();

    (void)state;
    a->far = b;
    b->far = a;
    b->reply = 200;
    layer_request(a->l, a->w->now, &a->flow, message("OPTIONS", "ITO"), a);
    /* b answered at once, from within a's send(): a keeps the answer for its next turn. */
    assert_string_equal(a->log, "0 OPTIONS");
    assert_true(layer_deadline(a->l) <= a->w->now);
    rig_run(a, 100 * S);
    assert_string_equal(a->log, "0 OPTIONS, 0 [200], 5000 [gone]");
    rig_run(b, 100 * S);
    rig_destroy(a);
    rig_destroy(b);
}

static void destroy_yourself(struct rig *r, const char *what)
{
    if (what[0] != '[')
        return;
    layer_destroy(r->l);
    assert_int_equal(layer_deadline(r->l), NS_NEVER); /* memory stays until the end of the turn */
    r->l = NULL;
}

static void destroyed_in_a_callback(void **state)
{
    static const char *const lines[] = {"INVITE sip:c@d SIP/2.0", "SIP/2.0 200 OK", "SIP/2.0 486 B",
                                        "ACK sip:c@d SIP/2.0"};

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct rig *r = rig_create();

        layer_request(r->l, r->w->now, &r->flow, message("INVITE", "ITO"), r);
        r->on_event = destroy_yourself;
        if (i < 4)
            hear(r, lines[i], i == 3 ? "ACK" : "INVITE", "z9hG4bKb1");
        else
            rig_run(r, 32 * S);
        assert_null(r->l);
        rig_destroy(r); /* NULL is fine */
    }
}

static void two_in_one_process(void **state)
{
    struct rig *a = rig_create(), *b = rig_create();

    (void)state;
    b->w->now += 500 * S; /* their clocks differ */
    b->start = b->w->now;
    layer_request(a->l, a->w->now, &a->flow, message("INVITE", "ITO"), a);
    layer_request(b->l, b->w->now, &b->flow, message("INVITE", "ITO"), b);
    for (int i = 0; i < 40; i++) {
        rig_run(a, 1 * S);
        rig_run(b, 1 * S);
    }
    assert_string_equal(a->log, b->log);
    assert_non_null(strstr(a->log, "32000 [timeout]"));
    rig_destroy(a);
    rig_destroy(b);
}

static void few_wakeups(void **state)
{
    struct rig *r = rig_create();

    (void)state;
    layer_request(r->l, r->w->now, &r->flow, message("INVITE", "ITO"), r);
    assert_int_equal(rig_run(r, 100 * S), 7); /* six copies, one end */
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("osip reads our clock", our_clock),
        sentence("timers A and B: INVITE at 0, .5, 1.5 ... 31.5 s, over at 32 s", timers_a_b),
        sentence("timer D: a refusal is acknowledged again for 32 s", timer_d),
        sentence("timers E and F: other requests up to every 4 s, over at 32 s", timers_e_f),
        sentence("timer K: 5 s for late copies of the response", timer_k),
        sentence("timers G and H: a refusal is sent again until 32 s without ACK", timers_g_h),
        sentence("timer I: 5 s for late copies of the ACK", timer_i),
        sentence("timer J: copies of a request get the same response for 32 s", timer_j),
        sentence("a Via token of ours repeats like UDP; TLS and TCP do not", via_tokens),
        sentence("copies of an INVITE after the 2xx are absorbed for 32 s (RFC 6026)", copies_after_2xx),
        sentence("a copy of a declined INVITE does not ring again", copies_after_a_refusal),
        sentence("an INVITE left ringing ends after 240 s", stuck_in_proceeding),
        sentence("a 2xx without transaction is told, other strays are counted", strays),
        sentence("a response by another flow matches nothing, until the flow moves", another_flow),
        sentence("96 transactions, 32 a flow, then no more", the_callers_cap),
        sentence("finished transactions make room for new ones", finished_ones_make_room),
        sentence("a message that arrives from within send() waits for its turn", input_from_within_send),
        sentence("the layer may be destroyed in any callback", destroyed_in_a_callback),
        sentence("two layers with different clocks do not disturb each other", two_in_one_process),
        sentence("deadlines are exact: seven turns for seven events", few_wakeups),
    };

    return run_sentences("sip/layer", tests);
}
