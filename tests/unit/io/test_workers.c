/* One thread beside the loop, on loopback: which packets it passes on, which it hands over, and what it counts as lost. */
#include "unit/io/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

#include "io/workers.h"

#define CLIENTS 40 /* the kernel gives each sender to one of two sockets, by a hash: some go to each */
#define CHANNEL 0x4001
#define FARTHER 0x4002
#define PAYLOAD 100
#define LONG_NS (3600 * NS_PER_S)

struct party {
    struct bench b;
    struct udp *main;
    struct workers *workers;
    int clients[CLIENTS], receiver;
    unsigned n_heard, wanted; /* by the loop */
    size_t heard_len;
};

static void on_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct party *p = arg;

    (void)now, (void)from;
    p->n_heard++;
    p->heard_len = bytes.len;
}

static bool has_all(void *arg)
{
    const struct party *p = arg;

    return p->n_heard >= p->wanted;
}

static struct addr loopback(bool v6, uint16_t port)
{
    static const uint8_t v4_ip[4] = {127, 0, 0, 1}, v6_ip[16] = {[15] = 1};

    return v6 ? addr_v6(v6_ip, port) : addr_v4(v4_ip, port);
}

static socklen_t sockaddr_of(const struct addr *a, struct sockaddr_storage *ss)
{
    return addr_to_sockaddr(a, false, ss);
}

static int open_client(bool v6)
{
    struct addr a = loopback(v6, 0);
    struct sockaddr_storage ss;
    socklen_t len = sockaddr_of(&a, &ss);
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

static struct addr addr_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr a;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &a), ERR_OK);
    return a;
}

static void begin(struct party *p, bool v6)
{
    struct udp_config config = {.v4 = true, .v6 = v6, .bind = loopback(v6, 0), .recv = on_recv, .arg = p};
    struct workers_config workers = {.n_threads = 1, .max_flows = 2 * CLIENTS};
    struct err_detail detail;

    *p = (struct party){0};
    bench_make(&p->b, "-");
    assert_int_equal(udp_open(p->b.io, &config, &p->main, &detail), ERR_OK);
    workers.io = p->b.io;
    workers.main = p->main;
    assert_int_equal(workers_open(&workers, &p->workers, &detail), ERR_OK);
    for (int i = 0; i < CLIENTS; i++)
        p->clients[i] = open_client(v6);
    p->receiver = open_client(v6);
}

static void end(struct party *p)
{
    workers_close(p->workers);
    for (int i = 0; i < CLIENTS; i++)
        close(p->clients[i]);
    close(p->receiver);
    udp_close(p->main);
    bench_end(&p->b);
}

/* ChannelData, or whatever the first byte makes of it. */
static void say(struct party *p, int i, uint8_t first, bool v6)
{
    uint8_t bytes[4 + PAYLOAD] = {first, CHANNEL & 0xff, 0, PAYLOAD, (uint8_t)i};
    struct addr to = loopback(v6, udp_port(p->main));
    struct sockaddr_storage ss;
    socklen_t len = sockaddr_of(&to, &ss);

    assert_int_equal(sendto(p->clients[i], bytes, sizeof bytes, 0, (struct sockaddr *)&ss, len),
                     sizeof bytes);
}

/* All that its clients say on the channel goes to that address. */
static uint32_t lend(struct party *p, int i, const struct addr *to)
{
    struct addr from = addr_of(p->clients[i]);
    struct flow_way way = workers_way(p->workers, to, FARTHER);
    uint32_t flow = flow_table_add(workers_table(p->workers), &from, CHANNEL, &way);

    assert_int_not_equal(flow, 0);
    flow_table_lend(workers_table(p->workers), flow, io_now() + LONG_NS, UINT64_MAX);
    return flow;
}

/* The thread has dealt with so many; no loop runs meanwhile. */
static bool wait_for(struct party *p, uint64_t n)
{
    ns_t until = io_now() + BENCH_MAX_NS;
    struct workers_stats s;

    do {
        sched_yield();
        s = workers_stats(p->workers);
    } while (s.packets + s.handed + s.dropped_packets + s.unsent_packets < n && io_now() < until);
    return s.packets + s.handed + s.dropped_packets + s.unsent_packets >= n;
}

/* Which clients' channel data the kernel gives to the thread; nothing is lost, whoever has it. */
static void find_ours(struct party *p, int ours[static CLIENTS], bool v6)
{
    unsigned n = 0;

    for (int i = 0; i < CLIENTS; i++) {
        uint64_t before = workers_stats(p->workers).handed;

        say(p, i, CHANNEL >> 8, v6);
        p->wanted = (unsigned)i + 1;
        assert_true(bench_run(&p->b, has_all, p));
        if (workers_stats(p->workers).handed > before)
            ours[n++] = i;
    }
    assert_int_equal(p->n_heard, CLIENTS);
    assert_in_range(n, 2, CLIENTS - 1);
}

static void begin_running(struct party *p, int ours[static CLIENTS], bool v6)
{
    begin(p, v6);
    assert_int_equal(workers_start(p->workers), ERR_OK);
    find_ours(p, ours, v6);
}

static void passed_on(bool v6)
{
    struct party p;
    int ours[CLIENTS];
    uint8_t got[256];
    uint32_t flow;
    struct flow_count count;
    struct addr to;

    begin_running(&p, ours, v6);
    to = addr_of(p.receiver);
    flow = lend(&p, ours[0], &to);
    for (int i = 0; i < 10; i++)
        say(&p, ours[0], CHANNEL >> 8, v6);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(recv(p.receiver, got, sizeof got, 0), 4 + PAYLOAD);
        assert_int_equal(got[0] << 8 | got[1], FARTHER);
        assert_int_equal(got[4], ours[0]);
    }
    assert_true(wait_for(&p, workers_stats(p.workers).handed + 10));
    count = flow_table_remove(workers_table(p.workers), flow);
    assert_int_equal(count.packets, 10);
    assert_int_equal(count.bytes, 10 * PAYLOAD);
    assert_int_equal(workers_stats(p.workers).packets, 10);
    assert_int_equal(p.n_heard, CLIENTS); /* the loop saw none of them */
    say(&p, ours[0], CHANNEL >> 8, v6);   /* and all of what is not lent */
    p.wanted = CLIENTS + 1;
    assert_true(bench_run(&p.b, has_all, &p));
    end(&p);
}

static void both_families(void **state)
{
    (void)state;
    passed_on(false);
    passed_on(true);
}

/* Whatever is no channel data comes to the main socket: STUN, knocks, KRPC, nothing at all. */
static void all_else(void **state)
{
    static const uint8_t first[] = {0, 1, 'd', 0xc0, 0xff};
    struct party p;

    (void)state;
    begin(&p, false);
    assert_int_equal(workers_start(p.workers), ERR_OK);
    for (int i = 0; i < CLIENTS; i++) {
        struct addr to = loopback(false, udp_port(p.main));
        struct sockaddr_storage ss;
        socklen_t len = sockaddr_of(&to, &ss);

        for (size_t n = 0; n < sizeof first; n++)
            say(&p, i, first[n], false);
        assert_int_equal(sendto(p.clients[i], "", 0, 0, (struct sockaddr *)&ss, len), 0);
    }
    p.wanted = CLIENTS * ((unsigned)sizeof first + 1);
    assert_true(bench_run(&p.b, has_all, &p));
    assert_int_equal(workers_stats(p.workers).handed, 0);
    end(&p);
}

static void full_queue(void **state)
{
    struct party p;
    struct workers_stats s;
    int ours[CLIENTS];
    uint64_t before;

    (void)state;
    begin_running(&p, ours, false);
    before = workers_stats(p.workers).handed;
    for (unsigned i = 0; i < WORKERS_QUEUE + 40; i++) {
        say(&p, ours[0], CHANNEL >> 8, false);
        assert_true(wait_for(&p, before + i + 1));
    }
    s = workers_stats(p.workers);
    assert_int_equal(s.handed, before + WORKERS_QUEUE);
    assert_int_equal(s.dropped_packets, 40);
    assert_int_equal(s.dropped_bytes, 0); /* of no flow */
    p.wanted = CLIENTS + WORKERS_QUEUE;
    assert_true(bench_run(&p.b, has_all, &p));
    assert_int_equal(p.n_heard, CLIENTS + WORKERS_QUEUE);
    say(&p, ours[0], CHANNEL >> 8, false); /* there is room again */
    p.wanted++;
    assert_true(bench_run(&p.b, has_all, &p));
    end(&p);
}

/* The bytes of a flow that is used up are counted when they are dropped. */
static void full_queue_of_a_flow(void **state)
{
    struct party p;
    int ours[CLIENTS];
    uint64_t before;
    struct addr to;

    (void)state;
    begin_running(&p, ours, false);
    to = addr_of(p.receiver);
    flow_table_lend(workers_table(p.workers), lend(&p, ours[0], &to), io_now() + LONG_NS, 0);
    before = workers_stats(p.workers).handed;
    for (unsigned i = 0; i < WORKERS_QUEUE + 3; i++) {
        say(&p, ours[0], CHANNEL >> 8, false);
        assert_true(wait_for(&p, before + i + 1));
    }
    assert_int_equal(workers_stats(p.workers).dropped_bytes, 3 * PAYLOAD);
    end(&p);
}

/* What the kernel does not take is skipped, and those behind it go out. */
static void refused_by_the_kernel(void **state)
{
    static const uint8_t everybody[4] = {255, 255, 255, 255}; /* not without SO_BROADCAST */
    struct party p;
    struct workers_stats s;
    int ours[CLIENTS];
    uint64_t before;
    uint8_t got[256];
    struct addr nowhere = addr_v4(everybody, 9), to;

    (void)state;
    begin_running(&p, ours, false);
    to = addr_of(p.receiver);
    lend(&p, ours[0], &nowhere);
    lend(&p, ours[1], &to);
    before = workers_stats(p.workers).handed;
    for (int i = 0; i < 5; i++) {
        say(&p, ours[0], CHANNEL >> 8, false);
        say(&p, ours[1], CHANNEL >> 8, false);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(recv(p.receiver, got, sizeof got, 0), 4 + PAYLOAD);
    assert_true(wait_for(&p, before + 10));
    s = workers_stats(p.workers);
    assert_int_equal(s.unsent_packets, 5);
    assert_int_equal(s.unsent_bytes, 5 * PAYLOAD);
    assert_int_equal(s.packets, 5);
    end(&p);
}

/* When the threads end, the loop gets what they had, and the socket keeps the rest for who comes after. */
static void stop_and_go(void **state)
{
    struct party p;
    int ours[CLIENTS];
    uint64_t before;

    (void)state;
    begin_running(&p, ours, false);
    before = workers_stats(p.workers).handed;
    for (int i = 0; i < 5; i++)
        say(&p, ours[0], CHANNEL >> 8, false);
    assert_true(wait_for(&p, before + 5));
    workers_stop(p.workers, io_now());
    assert_int_equal(p.n_heard, CLIENTS + 5);
    say(&p, ours[0], CHANNEL >> 8, false);
    assert_int_equal(workers_stats(p.workers).handed, before + 5);
    assert_int_equal(workers_start(p.workers), ERR_OK);
    p.wanted = CLIENTS + 6;
    assert_true(bench_run(&p.b, has_all, &p));
    end(&p);
}

/* Sockets of a process that had more: what lies in them is not lost. */
static void fewer_than_before(void **state)
{
    struct party p;
    struct workers_config config = {.n_threads = 0, .max_flows = 4};
    struct err_detail detail;
    int ours[CLIENTS], fds[FLOW_LOOKERS_MAX];

    (void)state;
    begin_running(&p, ours, false);
    workers_stop(p.workers, io_now());
    for (int i = 0; i < CLIENTS; i++)
        say(&p, i, CHANNEL >> 8, false);
    config.io = p.b.io;
    config.main = p.main;
    config.fds = fds;
    config.n_fds = workers_fds(p.workers, fds);
    assert_int_equal(config.n_fds, 1);
    fds[0] = dup(fds[0]);
    workers_close(p.workers);
    assert_int_equal(workers_open(&config, &p.workers, &detail), ERR_OK);
    assert_int_equal(workers_start(p.workers), ERR_OK);
    for (int i = 0; i < CLIENTS; i++)
        say(&p, i, CHANNEL >> 8, false);
    p.wanted = 3 * CLIENTS;
    assert_true(bench_run(&p.b, has_all, &p));
    assert_int_equal(p.n_heard, 3 * CLIENTS);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a lent flow goes on with its new channel, over IPv4 and IPv6, and nothing else does",
                 both_families),
        sentence("what is no channel data comes to the main socket", all_else),
        sentence("a full queue drops and counts; what fitted arrives", full_queue),
        sentence("bytes of a used-up flow are counted when they are dropped", full_queue_of_a_flow),
        sentence("a datagram the kernel refuses holds none up", refused_by_the_kernel),
        sentence("stopped threads leave nothing behind", stop_and_go),
        sentence("with fewer sockets than before, nothing that lay in them is lost", fewer_than_before),
    };

    return run_sentences("workers", tests);
}
