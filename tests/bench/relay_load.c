/* A load for a TURN relay: both ends of N calls on one core, and what the relay's process spent on them.
 *
 *   relay_load [-m flood|rate|alloc] [-c CALLS] [-t SECONDS] [-P] [-F] [-D] [-x] [-b BASE] -p PID[,PID...] IP:PORT
 *
 * user ito, password secret. flood keeps WINDOW packets in flight; rate sends 50 a second and direction; alloc only
 * allocates. -P: the other end of each call is a plain UDP peer. -F: no relay but relay_floor, which needs no set-up.
 * -D: no relay at all, the clients send to each other.
 * -x adds a hostile client: unanswered requests, garbage and forged channels, HOSTILE_PER_S a second. One socket
 * plays all clients by their source addresses (BASE, 127.16.0.1 unless given, and up). Prints `name value` lines; CPU
 * time is that of the relay's threads (schedstat), or of any processes, 0 being this one. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "base/mem.h"
#include "crypto/identity.h"
#include "nat/stun.h"

#define BATCH         64
#define WINDOW        256
#define IN_FLIGHT     64
#define RETRY_NS      (500 * NS_PER_MS)
#define TRIES         8
#define DATA_BYTES    88 /* RTP header 12, Opus 60, tag 16 */
#define SAMPLES       (1 << 20)
#define HOSTILE_PER_S 20000
#define IP_BASE       0x7f100001u /* 127.16.0.1, unless told otherwise */
#define HOSTILE_BASE  0x7f400001u

enum step { STEP_ALLOCATE, STEP_BIND, STEP_READY, STEP_GONE, STEP_FAILED };
enum mode { MODE_FLOOD, MODE_RATE, MODE_ALLOC };

struct client {
    struct addr relayed; /* of a plain peer: its own address */
    bool is_plain, is_waiting;
    enum step step;
    uint8_t id[STUN_ID_BYTES], tries;
    uint16_t channel;
    ns_t sent_at;
    char nonce[128];
};

struct out {
    struct mmsghdr msgs[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in to[BATCH];
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control[BATCH];
    uint8_t data[BATCH][512];
    unsigned n;
};

struct load {
    int fd;
    enum mode mode;
    bool with_peers, is_bare, is_direct, is_hostile;
    uint32_t ip_base; /* of the first client; the others follow */
    unsigned n_calls, n_clients;
    double seconds;
    long pids[8];
    unsigned n_pids;
    struct sockaddr_in server;
    uint16_t port; /* of all clients */
    char realm[128];
    uint8_t key[STUN_SHA1_KEY_BYTES];
    bool has_key;
    struct client *clients;
    struct out out;
    uint32_t run;
    uint64_t n_sent, n_received, n_hostile;
    uint32_t *us, n_us;
};

static ns_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (ns_t)ts.tv_sec * NS_PER_S + (ns_t)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "relay_load: %s\n", what);
    exit(1);
}

/* ---- what the relay costs ---- */

static uint64_t cpu_ns(const struct load *l)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < l->n_pids; i++) {
        char path[64], file[384];
        struct dirent *e;
        DIR *tasks;

        if (l->pids[i] != 0)
            snprintf(path, sizeof path, "/proc/%ld/task", l->pids[i]);
        else
            snprintf(path, sizeof path, "/proc/self/task");
        tasks = opendir(path);
        while (tasks != NULL && (e = readdir(tasks)) != NULL) {
            unsigned long long ns;
            FILE *f;

            snprintf(file, sizeof file, "%s/%s/schedstat", path, e->d_name);
            f = e->d_name[0] == '.' ? NULL : fopen(file, "r");
            if (f != NULL && fscanf(f, "%llu", &ns) == 1)
                sum += ns;
            if (f != NULL)
                fclose(f);
        }
        if (tasks != NULL)
            closedir(tasks);
    }
    return sum;
}

static uint64_t rss_bytes(const struct load *l)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < l->n_pids; i++) {
        unsigned long long size, rss = 0;
        char path[64];
        FILE *f;

        snprintf(path, sizeof path, "/proc/%ld/statm", l->pids[i]);
        f = fopen(path, "r");
        if (f != NULL && fscanf(f, "%llu %llu", &size, &rss) == 2)
            sum += rss * (uint64_t)sysconf(_SC_PAGESIZE);
        if (f != NULL)
            fclose(f);
    }
    return sum;
}

/* -1: the relay does not let us look (io/confine.h); root may. */
static int count_fds(const struct load *l)
{
    int n = 0;

    for (unsigned i = 0; i < l->n_pids; i++) {
        char path[64];
        DIR *d;

        snprintf(path, sizeof path, "/proc/%ld/fd", l->pids[i]);
        d = opendir(path);
        if (d == NULL)
            return -1;
        while (readdir(d) != NULL)
            n++;
        closedir(d);
    }
    return n;
}

/* ---- packets ---- */

static void flush(struct load *l)
{
    unsigned at = 0;

    while (at < l->out.n) {
        int n = sendmmsg(l->fd, l->out.msgs + at, l->out.n - at, 0);

        if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOBUFS)
            die(strerror(errno));
        at += n > 0 ? (unsigned)n : 0;
    }
    l->out.n = 0;
}

/* Room for one datagram from this source. */
static uint8_t *slot(struct load *l, uint32_t source, const struct sockaddr_in *to, size_t len)
{
    struct out *o = &l->out;
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(source)};
    struct cmsghdr *c;
    unsigned i;

    if (o->n == BATCH)
        flush(l);
    i = o->n++;
    c = &o->control[i].header;
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(c), &info, sizeof info);
    o->to[i] = *to;
    o->iov[i] = (struct iovec){o->data[i], len};
    o->msgs[i].msg_hdr = (struct msghdr){.msg_name = &o->to[i],
                                         .msg_namelen = sizeof o->to[i],
                                         .msg_iov = &o->iov[i],
                                         .msg_iovlen = 1,
                                         .msg_control = o->control[i].bytes,
                                         .msg_controllen = sizeof o->control[i].bytes};
    return o->data[i];
}

static uint32_t ip_of(const struct load *l, const struct client *c)
{
    return l->ip_base + (uint32_t)(c - l->clients);
}

static void ask(struct load *l, struct client *c, ns_t now, bool again)
{
    static const uint16_t methods[] = {TURN_ALLOCATE, TURN_CHANNEL_BIND, TURN_REFRESH};
    struct client *other = &l->clients[(c - l->clients) ^ 1];
    struct stun_wr w;
    struct slice bytes;
    uint8_t buf[512];

    if (!again) {
        c->tries = 0;
        for (size_t i = 0; i < sizeof c->id; i++)
            c->id[i] = (uint8_t)rand();
    }
    c->tries++;
    c->sent_at = now;
    c->is_waiting = true;
    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, methods[c->step], c->id);
    if (c->step == STEP_ALLOCATE) {
        stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    } else if (c->step == STEP_READY) {
        stun_put_u32(&w, STUN_LIFETIME, 0);
    } else {
        stun_put_u16(&w, STUN_CHANNEL_NUMBER, c->channel);
        stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &other->relayed);
    }
    if (c->nonce[0] != '\0') {
        stun_put(&w, STUN_USERNAME, slice_str("ito"));
        stun_put(&w, STUN_REALM, slice_str(l->realm));
        stun_put(&w, STUN_NONCE, slice_str(c->nonce));
        stun_put_integrity(&w, slice_of(l->key, sizeof l->key));
    }
    bytes = stun_end(&w);
    memcpy(slot(l, ip_of(l, c), &l->server, bytes.len), bytes.data, bytes.len);
}

static void copy_text(char *out, size_t size, struct slice s)
{
    snprintf(out, size, "%.*s", (int)s.len, (const char *)s.data);
}

static void on_answer(struct load *l, struct client *c, ns_t now, struct slice bytes)
{
    struct stun_msg m;

    if (stun_parse(bytes, &m) != ERR_OK || memcmp(m.id, c->id, sizeof c->id) != 0 || !c->is_waiting)
        return;
    c->is_waiting = false;
    if (m.error_code == STUN_UNAUTHENTICATED || m.error_code == STUN_STALE_NONCE) {
        if (m.error_code == STUN_UNAUTHENTICATED && c->nonce[0] != '\0')
            die("the relay knows no user ito with password secret");
        copy_text(c->nonce, sizeof c->nonce, m.nonce);
        if (!l->has_key) {
            copy_text(l->realm, sizeof l->realm, m.realm);
            stun_long_term_key(slice_str("ito"), m.realm, slice_str("secret"), l->key);
            l->has_key = true;
        }
        ask(l, c, now, false);
    } else if (m.cls != STUN_SUCCESS) {
        c->step = STEP_FAILED;
    } else if (c->step == STEP_ALLOCATE && m.n_relayed > 0) {
        c->relayed = m.relayed[0];
        c->step = STEP_BIND;
    } else if (c->step == STEP_BIND) {
        c->step = STEP_READY;
    } else if (c->step == STEP_READY) {
        c->step = STEP_GONE;
    }
}

static void on_data(struct load *l, ns_t now, struct slice data)
{
    uint32_t run;
    ns_t sent;

    if (data.len != DATA_BYTES)
        return;
    memcpy(&run, data.data + 12, sizeof run);
    memcpy(&sent, data.data + 16, sizeof sent);
    if (run != l->run)
        return;
    l->n_received++;
    if (l->n_us < SAMPLES)
        l->us[l->n_us++] = (uint32_t)((now - sent) / NS_PER_US);
}

static unsigned receive(struct load *l)
{
    static uint8_t data[BATCH][2048];
    struct mmsghdr msgs[BATCH];
    struct iovec iov[BATCH];
    static union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control[BATCH];
    ns_t now;
    int n;

    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], sizeof data[i]};
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
                                          .msg_iovlen = 1,
                                          .msg_control = control[i].bytes,
                                          .msg_controllen = sizeof control[i].bytes};
    }
    n = recvmmsg(l->fd, msgs, BATCH, MSG_DONTWAIT, NULL);
    now = now_ns();
    for (int i = 0; i < n; i++) {
        struct slice bytes = slice_of(data[i], msgs[i].msg_len), payload;
        struct in_pktinfo info;
        uint16_t number;
        uint32_t who;

        memcpy(&info, CMSG_DATA(&control[i].header), sizeof info);
        who = ntohl(info.ipi_addr.s_addr) - l->ip_base;
        if (who >= l->n_clients)
            continue; /* an answer to the hostile one */
        if (l->clients[who].is_plain)
            on_data(l, now, bytes);
        else if (stun_is_message(bytes))
            on_answer(l, &l->clients[who], now, bytes);
        else if (stun_channel_parse(bytes, &number, &payload) == ERR_OK && number == l->clients[who].channel)
            on_data(l, now, payload);
    }
    return n > 0 ? (unsigned)n : 0;
}

static void wait_until(struct load *l, ns_t at)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    ns_t now = now_ns();
    struct timespec ts = {0, at > now ? (long)((at - now) % NS_PER_S) : 0};

    ppoll(&p, 1, &ts, NULL);
}

/* All clients through their present step, IN_FLIGHT at a time; how many came through. */
static unsigned all_through(struct load *l, enum step step)
{
    unsigned next = 0, n_busy = 0, n_done = 0, busy[IN_FLIGHT];
    ns_t give_up_at = now_ns() + 120 * NS_PER_S;

    while ((next < l->n_clients || n_busy > 0) && now_ns() < give_up_at) {
        ns_t now = now_ns();

        while (n_busy < IN_FLIGHT && next < l->n_clients) {
            struct client *c = &l->clients[next];

            if (!c->is_plain && c->step == step) {
                ask(l, c, now, false);
                busy[n_busy++] = next;
            }
            next++;
        }
        flush(l);
        if (receive(l) == 0)
            wait_until(l, now + 2 * NS_PER_MS);
        for (unsigned i = 0; i < n_busy;) {
            struct client *c = &l->clients[busy[i]];

            if (c->step != step) {
                n_done += c->step != STEP_FAILED;
                busy[i] = busy[--n_busy];
                continue;
            }
            if (c->is_waiting && now - c->sent_at > RETRY_NS && c->tries < TRIES)
                ask(l, c, now, true);
            i++;
        }
    }
    flush(l);
    return n_done;
}

/* ---- media ---- */

static void send_media(struct load *l, unsigned who, ns_t now)
{
    struct client *c = &l->clients[who], *other = &l->clients[who ^ 1];
    struct sockaddr_in relayed = {.sin_family = AF_INET, .sin_port = htons(other->relayed.port)};
    size_t head =
        (l->is_direct ? other : c)->is_plain ? 0 : STUN_CHANNEL_HEADER; /* direct: as it would arrive */
    uint8_t *p;

    memcpy(&relayed.sin_addr, other->relayed.ip, 4);
    p = slot(l, ip_of(l, c), c->is_plain || l->is_direct ? &relayed : &l->server, head + DATA_BYTES);
    if (head > 0)
        stun_channel_header(p, l->is_direct ? other->channel : c->channel, DATA_BYTES);
    memset(p + head, 0x80, DATA_BYTES);
    memcpy(p + head + 12, &l->run, sizeof l->run);
    memcpy(p + head + 16, &now, sizeof now);
    l->n_sent++;
}

/* What a client without a password can send, from many addresses: half an Allocate, noise, others' channels,
 * indications, a wrong password. */
static void send_hostile(struct load *l)
{
    uint32_t n = (uint32_t)l->n_hostile++, source = HOSTILE_BASE + n * 2654435761u % 65536;
    uint8_t id[STUN_ID_BYTES], buf[256], *p;
    struct stun_wr w;
    struct slice bytes;

    for (size_t i = 0; i < sizeof id; i++)
        id[i] = (uint8_t)rand();
    stun_begin(&w, buf, sizeof buf, n % 5 == 3 ? STUN_INDICATION : STUN_REQUEST,
               n % 5 == 3 ? TURN_SEND : TURN_ALLOCATE, id);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    if (n % 5 == 4) {
        stun_put(&w, STUN_USERNAME, slice_str("ito"));
        stun_put(&w, STUN_REALM, slice_str(l->realm));
        stun_put(&w, STUN_NONCE, slice_str(l->clients[0].nonce));
        stun_put_integrity(&w, slice_of(id, 12));
    }
    bytes = stun_end(&w);
    p = slot(l, source, &l->server, bytes.len);
    memcpy(p, bytes.data, bytes.len);
    if (n % 5 == 1)
        memcpy(p + 8, id, 12); /* cut short: length no longer fits */
    if (n % 5 == 2)
        stun_channel_header(p, (uint16_t)(0x4000 + n % 4096), (uint16_t)(bytes.len - STUN_CHANNEL_HEADER));
    if (n % 5 == 1)
        p[3] ^= 4;
}

static void run(struct load *l, double seconds)
{
    ns_t began = now_ns(), end_at = began + (ns_t)(seconds * 1e9), now = began, heard_at = began;
    double per_ns = l->n_clients * 50 / 1e9;
    uint64_t n_lost = 0, n_before = 0;
    unsigned who = 0;

    l->run = (uint32_t)(began >> 10);
    l->n_sent = l->n_received = l->n_us = 0;
    l->n_hostile = 0;
    while (now < end_at) {
        long due = l->mode == MODE_FLOOD ? WINDOW - (long)(l->n_sent - l->n_received - n_lost)
                                         : (long)((double)(now - began) * per_ns) - (long)l->n_sent;

        for (long i = 0; i < due && i < 4 * BATCH; i++) {
            send_media(l, who, now);
            who = (who + 1) % l->n_clients;
        }
        for (int i = 0;
             l->is_hostile && i < BATCH && (double)l->n_hostile < (double)(now - began) * HOSTILE_PER_S / 1e9;
             i++)
            send_hostile(l);
        flush(l);
        for (int i = 0; i < 4 && receive(l) == BATCH; i++)
            continue;
        now = now_ns();
        if (l->n_received != n_before) {
            n_before = l->n_received;
            heard_at = now;
        } else if (l->mode == MODE_FLOOD && now - heard_at > 20 * NS_PER_MS) {
            n_lost = l->n_sent - l->n_received; /* a whole window went missing */
            heard_at = now;
        }
        if (due <= 0)
            wait_until(l, l->mode == MODE_FLOOD ? now + NS_PER_MS
                                                : began + (ns_t)((double)(l->n_sent + 1) / per_ns));
    }
    for (heard_at = now_ns(); l->n_received < l->n_sent && now_ns() - heard_at < 200 * NS_PER_MS;) {
        if (receive(l) > 0)
            heard_at = now_ns();
        else
            wait_until(l, now_ns() + 5 * NS_PER_MS);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void measure(struct load *l)
{
    uint64_t cpu;
    ns_t began;

    run(l, l->seconds < 1 ? l->seconds : 0.5); /* warm */
    began = now_ns();
    cpu = cpu_ns(l);
    run(l, l->seconds);
    cpu = cpu_ns(l) - cpu;
    qsort(l->us, l->n_us, sizeof *l->us, by_size);
    printf("cpu_ns_per_packet %.0f\n", l->n_received > 0 ? (double)cpu / (double)l->n_received : 0);
    printf("loss_pct %.4f\n",
           l->n_sent > 0 ? 100.0 * (double)(l->n_sent - l->n_received) / (double)l->n_sent : 100);
    printf("packets_per_s %.0f\n", (double)l->n_received * 1e9 / (double)(now_ns() - began));
    printf("sent %llu\nreceived %llu\n", (unsigned long long)l->n_sent, (unsigned long long)l->n_received);
    printf("hostile_packets %llu\n", (unsigned long long)l->n_hostile);
    if (l->n_us > 0)
        printf("p50_us %u\np99_us %u\n", l->us[l->n_us / 2], l->us[l->n_us - 1 - l->n_us / 100]);
}

/* ---- set up ---- */

static void open_socket(struct load *l)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof any;
    int on = 1, big = 64 << 20;

    l->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(l->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (setsockopt(l->fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big) != 0)
        setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    if (setsockopt(l->fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big) != 0)
        setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&any, sizeof any) != 0 ||
        getsockname(l->fd, (struct sockaddr *)&any, &len) != 0)
        die(strerror(errno));
    l->port = ntohs(any.sin_port);
}

static void make_clients(struct load *l)
{
    l->n_clients = 2 * l->n_calls;
    l->clients = mem_array(l->n_clients, sizeof *l->clients);
    for (unsigned i = 0; i < l->n_clients; i++) {
        struct client *c = &l->clients[i];
        uint32_t ip = htonl(l->ip_base + i);

        c->is_plain = l->with_peers && i % 2 == 1;
        c->channel = (uint16_t)(0x4000 + i % 0x1000);
        if (c->is_plain || l->is_direct)
            c->relayed = addr_v4((const uint8_t *)&ip, l->port);
    }
}

/* Sessions, allocations and channels; what they cost is printed when that is all there is to do. */
static void set_up(struct load *l)
{
    unsigned n_wanted = l->with_peers ? l->n_calls : l->n_clients, n;
    int fds = count_fds(l);
    uint64_t cpu = cpu_ns(l), rss = rss_bytes(l);

    n = all_through(l, STEP_ALLOCATE);
    if (n > 0 && l->mode == MODE_ALLOC) {
        printf("cpu_us_per_allocation %.1f\n", (double)(cpu_ns(l) - cpu) / 1000 / n);
        printf("rss_bytes_per_allocation %.0f\n", ((double)rss_bytes(l) - (double)rss) / n);
        if (fds >= 0)
            printf("fds_per_allocation %.3f\n", ((double)count_fds(l) - fds) / n);
    }
    if (n < n_wanted)
        die("not all allocations came about");
    if (l->mode != MODE_ALLOC && all_through(l, STEP_BIND) < n_wanted)
        die("not all channels came about");
}

static bool parse(struct load *l, int argc, char **argv)
{
    struct addr server, base;
    int o;

    while ((o = getopt(argc, argv, "m:c:t:p:b:PFDx")) != -1) {
        switch (o) {
        case 'm':
            l->mode = strcmp(optarg, "alloc") == 0  ? MODE_ALLOC
                      : strcmp(optarg, "rate") == 0 ? MODE_RATE
                                                    : MODE_FLOOD;
            break;
        case 'c':
            l->n_calls = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            l->seconds = strtod(optarg, NULL);
            break;
        case 'p':
            for (char *s = strtok(optarg, ","); s != NULL && l->n_pids < 8; s = strtok(NULL, ","))
                l->pids[l->n_pids++] = strtol(s, NULL, 10);
            break;
        case 'P':
            l->with_peers = true;
            break;
        case 'F':
            l->is_bare = true;
            break;
        case 'D':
            l->is_bare = l->is_direct = true;
            break;
        case 'b':
            if (addr_parse(optarg, &base) != ERR_OK || base.family != ADDR_V4)
                return false;
            l->ip_base = (uint32_t)base.ip[0] << 24 | (uint32_t)base.ip[1] << 16 | (uint32_t)base.ip[2] << 8 |
                         base.ip[3];
            break;
        case 'x':
            l->is_hostile = true;
            break;
        default:
            return false;
        }
    }
    if (optind + 1 != argc || l->n_calls == 0 || l->n_pids == 0 ||
        addr_parse(argv[optind], &server) != ERR_OK)
        return false;
    l->server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(server.port)};
    memcpy(&l->server.sin_addr, server.ip, 4);
    return true;
}

int main(int argc, char **argv)
{
    static struct load l = {.n_calls = 100, .seconds = 3, .ip_base = IP_BASE};

    if (crypto_init() != ERR_OK || !parse(&l, argc, argv)) {
        fputs("usage: relay_load [-m flood|rate|alloc] [-c CALLS] [-t SECONDS] [-P] [-F] [-D] [-x] [-b BASE] "
              "-p PID[,PID...] IP:PORT\n",
              stderr);
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1000);
    l.us = mem_array(SAMPLES, sizeof *l.us);
    open_socket(&l);
    make_clients(&l);
    if (!l.is_bare)
        set_up(&l);
    if (l.mode != MODE_ALLOC)
        measure(&l);
    for (unsigned i = 0; i < l.n_clients; i++) /* what is not bound is given back, too */
        l.clients[i].step = l.clients[i].step == STEP_BIND ? STEP_READY : l.clients[i].step;
    if (!l.is_bare)
        all_through(&l, STEP_READY);
    mem_free(l.clients);
    mem_free(l.us);
    return 0;
}
