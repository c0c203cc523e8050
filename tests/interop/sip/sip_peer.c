/* A SIP phone without sound on a plain UDP socket: the user agent as the far end of sipp and baresip.
 *
 *   sip_peer PORT                     answers each call after 100 ms, prints what happens
 *   sip_peer PORT HOST:PORT URI SEC   calls, hangs up after SEC seconds, exits 0 when both sides agree
 *
 * Build and use: see README.md beside it. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "sip/sdp.h"
#include "sip/ua.h"

#define PEERS 64

struct deferred {
    env_defer_cb cb;
    void *arg;
};

struct peer {
    struct env env;
    int fd;
    struct ua *ua;
    struct sockaddr_in from[PEERS]; /* a flow is one of these */
    size_t n_from;
    struct deferred deferred[1024];
    size_t n_deferred;
    struct sdp local;
    struct ua_call *ringing[PEERS];
    ns_t answer_at[PEERS];
    bool is_caller, is_over, is_good;
    ns_t hang_up_at;
    struct ua_call *call;
    int hang_up_s;
};

static ns_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ns_t)t.tv_sec * NS_PER_S + (ns_t)t.tv_nsec;
}

static void random_bytes(void *world, void *out, size_t n)
{
    (void)world;
    if (getrandom(out, n, 0) != (ssize_t)n)
        abort();
}

static void defer(void *world, env_defer_cb cb, void *arg)
{
    struct peer *p = world;

    if (p->n_deferred == 1024)
        abort();
    p->deferred[p->n_deferred++] = (struct deferred){cb, arg};
}

static void on_send(void *arg, void *flow, struct slice sip)
{
    struct peer *p = arg;

    (void)sendto(p->fd, sip.data, sip.len, 0, flow, sizeof(struct sockaddr_in));
}

static struct slice write_sdp(const struct sdp *s, uint8_t *buf, size_t size)
{
    struct wr w;

    wr_init(&w, buf, size);
    sdp_write(s, &w);
    return wr_done(&w);
}

static void on_incoming(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    struct peer *p = arg;
    struct sdp offer;

    (void)msg;
    printf("incoming from %s\n", ua_call_remote_uri(call));
    if (sdp.len > 0 && sdp_parse(sdp, &offer) != ERR_OK) {
        (void)ua_reject(call, now_ns(), 488, NULL);
        return;
    }
    (void)ua_ring(call, now_ns(), NULL, 0);
    for (size_t i = 0; i < PEERS; i++)
        if (p->ringing[i] == NULL) {
            struct sdp answer = p->local;
            struct sdp *keep = NULL;

            if (sdp.len > 0 && sdp_answer(&offer, &p->local, &answer) != ERR_OK) {
                (void)ua_reject(call, now_ns(), 488, NULL);
                return;
            }
            keep = mem_dup(&answer, sizeof answer);
            ua_call_set_user(call, keep);
            p->ringing[i] = call;
            p->answer_at[i] = now_ns() + 100 * NS_PER_MS;
            return;
        }
}

static void forget(struct peer *p, struct ua_call *call)
{
    for (size_t i = 0; i < PEERS; i++)
        if (p->ringing[i] == call)
            p->ringing[i] = NULL;
    mem_free(ua_call_user(call));
    ua_call_set_user(call, NULL);
}

static void on_acked(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    (void)arg, (void)call, (void)sdp, (void)msg;
    puts("acked");
}

static void on_provisional(void *arg, struct ua_call *call, int code, struct slice sdp,
                           const struct ua_msg *msg)
{
    (void)arg, (void)call, (void)sdp, (void)msg;
    printf("provisional %d\n", code);
}

static void on_answered(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    struct peer *p = arg;
    struct sdp answer;
    enum err e = sdp_parse(sdp, &answer);

    (void)call, (void)msg;
    if (e == ERR_OK)
        e = sdp_check_answer(&p->local, &answer);
    printf("answered, description %s, codec %s\n", err_name(e),
           e == ERR_OK ? sdp_speech(&answer)->name : "-");
    p->hang_up_at = now_ns() + (ns_t)p->hang_up_s * NS_PER_S;
    p->is_good = e == ERR_OK;
}

static void on_failed(void *arg, struct ua_call *call, int code, const char *reason, const struct ua_msg *msg)
{
    struct peer *p = arg;

    (void)msg;
    printf("failed %d %s\n", code, reason);
    forget(p, call);
    p->is_over = p->is_caller;
    p->is_good = false;
}

static void on_bye(void *arg, struct ua_call *call, const struct ua_msg *msg)
{
    struct peer *p = arg;

    (void)msg;
    puts("bye");
    forget(p, call);
    p->call = NULL;
    p->is_over = p->is_caller;
}

static void on_cancelled(void *arg, struct ua_call *call, const struct ua_msg *msg)
{
    (void)msg;
    puts("cancelled");
    forget(arg, call);
}

static void on_reinvite(void *arg, struct ua_call *call, struct slice sdp, const struct ua_msg *msg)
{
    struct peer *p = arg;
    struct sdp offer, answer = p->local;
    uint8_t buf[SDP_MAX_BYTES];

    (void)msg;
    puts("reinvite");
    if (sdp.len > 0 && (sdp_parse(sdp, &offer) != ERR_OK || sdp_answer(&offer, &p->local, &answer) != ERR_OK))
        (void)ua_reinvite_reject(call, now_ns(), 488);
    else
        (void)ua_reinvite_answer(call, now_ns(), write_sdp(&answer, buf, sizeof buf));
}

static const struct ua_ops ops = {.send = on_send,
                                  .incoming = on_incoming,
                                  .provisional = on_provisional,
                                  .answered = on_answered,
                                  .acked = on_acked,
                                  .failed = on_failed,
                                  .bye = on_bye,
                                  .cancelled = on_cancelled,
                                  .reinvite = on_reinvite};

static void *flow_of(struct peer *p, const struct sockaddr_in *from)
{
    for (size_t i = 0; i < p->n_from; i++)
        if (p->from[i].sin_port == from->sin_port && p->from[i].sin_addr.s_addr == from->sin_addr.s_addr)
            return &p->from[i];
    if (p->n_from == PEERS)
        return NULL;
    p->from[p->n_from] = *from;
    return &p->from[p->n_from++];
}

static void receive(struct peer *p)
{
    uint8_t buf[65536];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t n = recvfrom(p->fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
    void *flow = n > 0 ? flow_of(p, &from) : NULL;

    if (flow != NULL)
        (void)ua_input(p->ua, now_ns(), flow, slice_of(buf, (size_t)n));
}

static void answer_due(struct peer *p)
{
    for (size_t i = 0; i < PEERS; i++) {
        struct ua_call *call = p->ringing[i];
        uint8_t buf[SDP_MAX_BYTES];

        if (call == NULL || p->answer_at[i] > now_ns())
            continue;
        (void)ua_answer(call, now_ns(), write_sdp(ua_call_user(call), buf, sizeof buf), NULL, 0);
        p->ringing[i] = NULL;
    }
}

static void turn(struct peer *p)
{
    struct pollfd pfd = {.fd = p->fd, .events = POLLIN};

    if (poll(&pfd, 1, 10) > 0)
        receive(p);
    if (ua_deadline(p->ua) <= now_ns())
        ua_tick(p->ua, now_ns());
    answer_due(p);
    if (p->call != NULL && p->hang_up_at != 0 && now_ns() >= p->hang_up_at) {
        (void)ua_bye(p->call, now_ns(), NULL);
        p->call = NULL;
        p->is_over = true;
    }
    for (size_t i = 0; i < p->n_deferred; i++)
        p->deferred[i].cb(p->deferred[i].arg);
    p->n_deferred = 0;
    fflush(stdout);
}

static void dial(struct peer *p, const char *where, const char *uri)
{
    struct addr a;
    struct sockaddr_in to = {.sin_family = AF_INET};
    uint8_t buf[SDP_MAX_BYTES];

    if (addr_parse(where, &a) != ERR_OK)
        exit(2);
    memcpy(&to.sin_addr, a.ip, 4);
    to.sin_port = htons(a.port);
    p->is_caller = true;
    p->call =
        ua_invite(p->ua, now_ns(), flow_of(p, &to), uri, write_sdp(&p->local, buf, sizeof buf), NULL, 0);
    if (p->call == NULL)
        exit(2);
}

int main(int argc, char **argv)
{
    static const struct env_ops env_ops = {.random = random_bytes, .defer = defer};
    struct peer *p = mem_alloc(sizeof *p);
    uint16_t port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 5070);
    struct sockaddr_in me = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char contact[64], sent_by[32];
    struct ua_cfg cfg = {.uri = "sip:ito@127.0.0.1",
                         .name = "ito",
                         .user_agent = "ito-peer",
                         .contact = contact,
                         .transport = "UDP",
                         .sent_by = sent_by,
                         .accepts_any = true};

    snprintf(contact, sizeof contact, "sip:ito@127.0.0.1:%u", port);
    snprintf(sent_by, sizeof sent_by, "127.0.0.1:%u", port);
    p->env = (struct env){&env_ops, p};
    p->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&me, sizeof me) != 0) {
        perror("bind");
        return 2;
    }
    sdp_local(&p->local, SDP_AVP);
    p->local.session_id = 1;
    p->local.media = addr_v4((uint8_t[]){127, 0, 0, 1}, (uint16_t)(port + 1000));
    p->local.rtcp = p->local.media;
    p->ua = ua_create(&cfg, &ops, p, &p->env);
    if (argc >= 5) {
        p->hang_up_s = atoi(argv[4]);
        dial(p, argv[2], argv[3]);
    }
    while (!p->is_over)
        turn(p);
    for (int i = 0; i < 50; i++)
        turn(p);
    return p->is_good ? 0 : 1;
}
