#include "io/workers.h"

#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define WINDOW_NS     (100 * NS_PER_MS)
#define HEADER        4    /* ChannelData: channel2 len2 (RFC 8656 §12.4) */
#define CHANNEL_FIRST 0x40 /* first byte of ChannelData */
#define CHANNEL_LAST  0x7f
#define KRPC_FIRST    'd' /* a dictionary of the overlay begins like a channel */
#define IN_BYTES      (UDP_HEADROOM + UDP_DATAGRAM_BYTES + UDP_HEADROOM)

struct item {
    struct addr from;
    size_t len;
    uint8_t data[IN_BYTES];
};

/* From one thread to the loop. */
struct queue {
    _Atomic uint32_t head; /* only the thread stores */
    _Atomic uint32_t tail; /* only the loop stores */
    _Atomic bool is_told;  /* the loop will look */
    struct item items[WORKERS_QUEUE];
};

struct worker {
    struct workers *all;
    unsigned number;
    int fd;
    bool is_running;
    pthread_t thread;
    ns_t window_at;
    uint32_t in_window, per_window;
    _Atomic uint64_t packets, handed, unsent_packets, unsent_bytes, dropped_packets, dropped_bytes;
    struct queue queue;
    struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
    struct iovec in_iov[UDP_BATCH], out_iov[UDP_BATCH];
    struct sockaddr_storage from[UDP_BATCH];
    struct flow_way ways[UDP_BATCH];
    uint8_t data[UDP_BATCH][UDP_DATAGRAM_BYTES];
};

struct workers {
    struct io *io;
    struct udp *main;
    struct flow_table *table;
    struct worker *workers[FLOW_LOOKERS_MAX];
    unsigned n;
    int extra[FLOW_LOOKERS_MAX]; /* of a process that had more; closed at the start */
    size_t n_extra;
    int loop_fd, stop_fd; /* eventfds: the loop should look; the threads should end */
    _Atomic bool is_stopping;
};

/* ---- a thread ---- */

/* Who sees this count sees those made before it: bytes come before their packet. */
static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_release);
}

/* False: no room. */
static bool hand_over(struct worker *w, const struct addr *from, const uint8_t *bytes, size_t len)
{
    struct queue *q = &w->queue;
    uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    struct item *item = &q->items[head % WORKERS_QUEUE];

    if (head - atomic_load_explicit(&q->tail, memory_order_acquire) >= WORKERS_QUEUE)
        return false;
    item->from = *from;
    item->len = len;
    if (len > 0)
        memcpy(item->data + UDP_HEADROOM, bytes, len);
    atomic_store(&q->head, head + 1);
    add(&w->handed, 1);
    return true;
}

static void tell_loop(struct worker *w)
{
    static const uint64_t one = 1;

    if (!atomic_exchange(&w->queue.is_told, true))
        (void)!write(w->all->loop_fd, &one, sizeof one);
}

/* The payload's length, when it is ChannelData and whole; else SIZE_MAX. */
static size_t payload_of(const uint8_t *bytes, size_t len)
{
    size_t n;

    if (len < HEADER || bytes[0] < CHANNEL_FIRST || bytes[0] > CHANNEL_LAST)
        return SIZE_MAX;
    n = (size_t)(bytes[2] << 8 | bytes[3]);
    return n <= len - HEADER ? n : SIZE_MAX;
}

/* Datagram i of the batch: out by our socket as number `at` (true), or to the loop. */
static bool pass_one(struct worker *w, ns_t now, int i, unsigned at, bool *tells)
{
    uint8_t *bytes = w->data[i];
    size_t len = w->in[i].msg_len, n = payload_of(bytes, len);
    struct flow_way *way = &w->ways[at];
    enum flow_answer answer = FLOW_UNKNOWN;
    struct addr from;

    w->in[i].msg_hdr.msg_namelen = sizeof w->from[i]; /* for the next batch */
    if ((w->in[i].msg_hdr.msg_flags & MSG_TRUNC) ||
        addr_from_sockaddr((struct sockaddr *)&w->from[i], &from) != ERR_OK)
        return false;
    if (n != SIZE_MAX)
        answer = flow_table_take(w->all->table, now, &from, (uint16_t)(bytes[0] << 8 | bytes[1]), n, way);
    if (answer == FLOW_TAKEN) {
        bytes[0] = (uint8_t)(way->channel >> 8);
        bytes[1] = (uint8_t)way->channel;
        w->out_iov[at] = (struct iovec){.iov_base = bytes, .iov_len = HEADER + n};
        w->out[at].msg_hdr.msg_name = &way->to;
        w->out[at].msg_hdr.msg_namelen = way->to_len;
        return true;
    }
    if (hand_over(w, &from, bytes, len)) {
        *tells = true;
    } else {
        add(&w->dropped_bytes, answer == FLOW_REFUSED ? n : 0);
        add(&w->dropped_packets, 1);
    }
    return false;
}

static void note_unsent(struct worker *w, unsigned at)
{
    add(&w->unsent_bytes, w->out_iov[at].iov_len - HEADER);
    add(&w->unsent_packets, 1);
}

/* A datagram the kernel refuses is skipped, the ones behind it go out; a full socket takes none. */
static void send_all(struct worker *w, unsigned n)
{
    unsigned at = 0;

    while (at < n) {
        int sent = sendmmsg(w->fd, w->out + at, n - at, MSG_DONTWAIT);

        if (sent > 0) {
            at += (unsigned)sent;
            add(&w->packets, (uint64_t)sent);
        } else if (errno == EAGAIN) {
            while (at < n)
                note_unsent(w, at++);
        } else if (errno != EINTR) {
            note_unsent(w, at++);
        }
    }
}

static void pass(struct worker *w, ns_t now, int n_in)
{
    bool tells = false;
    unsigned n = 0;

    flow_table_begin(w->all->table, w->number);
    for (int i = 0; i < n_in; i++)
        n += pass_one(w, now, i, n, &tells);
    flow_table_end(w->all->table, w->number);
    if (tells)
        tell_loop(w);
    send_all(w, n);
}

/* A wake-up costs as much as several packets: with more than UDP_BUSY_PER_S it is better to wait for some. */
static bool is_busy(struct worker *w, ns_t now, int n)
{
    w->in_window += (uint32_t)n;
    if (now - w->window_at >= WINDOW_NS) {
        w->per_window = now - w->window_at < 2 * WINDOW_NS ? w->in_window : 0;
        w->in_window = 0;
        w->window_at = now;
    }
    return w->per_window >= UDP_BUSY_PER_S * WINDOW_NS / NS_PER_S;
}

static void nap(void)
{
    static const struct timespec ts = {0, UDP_NAP_NS};

    nanosleep(&ts, NULL);
}

static void wait_for_packets(struct worker *w)
{
    struct pollfd fds[2] = {{.fd = w->fd, .events = POLLIN}, {.fd = w->all->stop_fd, .events = POLLIN}};

    (void)poll(fds, 2, -1);
}

static void *run(void *arg)
{
    struct worker *w = arg;

    while (!atomic_load(&w->all->is_stopping)) {
        int n = recvmmsg(w->fd, w->in, UDP_BATCH, MSG_DONTWAIT, NULL);
        ns_t now = io_now();

        if (n > 0) {
            pass(w, now, n);
            if (is_busy(w, now, n) && n < UDP_BATCH)
                nap();
        } else if (errno == EAGAIN) {
            wait_for_packets(w);
        } else if (errno != EINTR) {
            nap(); /* out of memory, say */
        }
    }
    return NULL;
}

/* ---- the loop ---- */

/* Hand in what waits now. True: none of it was more than a packet to pass on. */
static bool read_queue(struct workers *all, struct queue *q, ns_t now)
{
    uint32_t head, tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    bool is_quiet = true;

    atomic_store(&q->is_told, false); /* who comes after this tells again */
    head = atomic_load(&q->head);
    for (; tail != head; tail++) {
        struct item *item = &q->items[tail % WORKERS_QUEUE];

        is_quiet = udp_hand_in(all->main, now, &item->from, item->data + UDP_HEADROOM, item->len) && is_quiet;
        atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
    }
    return is_quiet;
}

static bool read_queues(struct workers *all, ns_t now)
{
    bool is_quiet = true;

    for (unsigned i = 0; i < all->n; i++)
        is_quiet = read_queue(all, &all->workers[i]->queue, now) && is_quiet;
    return is_quiet;
}

static void on_told(void *arg, ns_t now)
{
    struct workers *all = arg;
    uint64_t n;

    (void)!read(all->loop_fd, &n, sizeof n);
    if (read_queues(all, now))
        io_stay_quiet(all->io);
}

/* ---- the group of sockets ---- */

/* Channel data by the kernel's own choice, all else (or simply all) to the main socket, which is the group's first. */
static void set_filter(const struct workers *all, bool is_shared)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), /* of the payload; none: number 0 */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CHANNEL_FIRST, 0, 3),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, CHANNEL_LAST, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KRPC_FIRST, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, is_shared ? UINT32_MAX : 0), /* no such socket: by the sender's hash */
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    setsockopt(udp_fd(all->main), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

/* What a socket holds that nobody will read any more. */
static void read_out(struct workers *all, int fd)
{
    uint8_t buf[IN_BYTES];
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr from;
    ssize_t n;

    while ((n = recvfrom(fd, buf + UDP_HEADROOM, UDP_DATAGRAM_BYTES, MSG_DONTWAIT | MSG_TRUNC,
                         (struct sockaddr *)&ss, &len)) >= 0) {
        if (n <= UDP_DATAGRAM_BYTES && addr_from_sockaddr((struct sockaddr *)&ss, &from) == ERR_OK)
            (void)udp_hand_in(all->main, io_now(), &from, buf + UDP_HEADROOM, (size_t)n);
        len = sizeof ss;
    }
}

static void close_extra(struct workers *all)
{
    if (all->n_extra == 0)
        return;
    set_filter(all, false); /* nothing more comes to them while they are read */
    for (size_t i = 0; i < all->n_extra; i++) {
        read_out(all, all->extra[i]);
        close(all->extra[i]);
    }
    all->n_extra = 0;
    set_filter(all, all->n > 0);
}

/* ---- open and close ---- */

static void add_worker(struct workers *all, int fd)
{
    struct worker *w = mem_alloc(sizeof *w);

    w->all = all;
    w->number = all->n;
    w->fd = fd;
    for (int i = 0; i < UDP_BATCH; i++) {
        w->in_iov[i] = (struct iovec){.iov_base = w->data[i], .iov_len = UDP_DATAGRAM_BYTES};
        w->in[i].msg_hdr = (struct msghdr){.msg_name = &w->from[i],
                                           .msg_namelen = sizeof w->from[i],
                                           .msg_iov = &w->in_iov[i],
                                           .msg_iovlen = 1};
        w->out[i].msg_hdr = (struct msghdr){.msg_iov = &w->out_iov[i], .msg_iovlen = 1};
    }
    all->workers[all->n++] = w;
}

static enum err open_sockets(struct workers *all, const struct workers_config *config,
                             struct err_detail *detail)
{
    for (size_t i = 0; i < config->n_fds; i++) {
        if (all->n < config->n_threads)
            add_worker(all, config->fds[i]);
        else
            all->extra[all->n_extra++] = config->fds[i];
    }
    while (all->n < config->n_threads) {
        int fd = udp_open_beside(all->main);

        if (fd < 0)
            return err_set(detail, ERR_IO, "UDP port %u cannot be shared: %s", udp_port(all->main),
                           strerror(errno));
        add_worker(all, fd);
    }
    set_filter(all, true);
    return ERR_OK;
}

enum err workers_open(const struct workers_config *config, struct workers **out, struct err_detail *detail)
{
    struct workers *all = mem_alloc(sizeof *all);
    uint64_t mix[3];
    enum err e;

    *out = NULL;
    all->io = config->io;
    all->main = config->main;
    all->loop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    all->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e = open_sockets(all, config, detail);
    if (e == ERR_OK && (getrandom(mix, sizeof mix, 0) != (ssize_t)sizeof mix || all->loop_fd < 0 ||
                        all->stop_fd < 0 || io_watch_fd(all->io, all->loop_fd, on_told, all) != ERR_OK))
        e = err_set(detail, ERR_IO, "no descriptors, or no random bytes");
    if (e != ERR_OK) {
        workers_close(all);
        return e;
    }
    all->table = flow_table_create(config->max_flows, mix);
    *out = all;
    return ERR_OK;
}

void workers_close(struct workers *w)
{
    if (w == NULL)
        return;
    workers_stop(w, io_now());
    for (unsigned i = 0; i < w->n; i++) {
        close(w->workers[i]->fd);
        mem_free(w->workers[i]);
    }
    for (size_t i = 0; i < w->n_extra; i++)
        close(w->extra[i]);
    if (w->loop_fd >= 0) {
        io_unwatch_fd(w->io, w->loop_fd);
        close(w->loop_fd);
    }
    if (w->stop_fd >= 0)
        close(w->stop_fd);
    flow_table_destroy(w->table);
    mem_free(w);
}

struct flow_table *workers_table(struct workers *w)
{
    return w->table;
}

struct flow_way workers_way(const struct workers *w, const struct addr *to, uint16_t channel)
{
    struct flow_way way = {.channel = channel};
    struct sockaddr_storage ss;

    way.to_len = addr_to_sockaddr(to, udp_has_v6(w->main), &ss);
    memcpy(&way.to, &ss, sizeof way.to);
    return way;
}

/* Signals are the loop's. */
static enum err start_one(struct worker *w)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->is_running = pthread_create(&w->thread, NULL, run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w->is_running ? ERR_OK : ERR_IO;
}

/* A socket that nobody reads takes its share of the packets with it: then rather none but the main one. */
static void retire(struct workers *w, ns_t now)
{
    workers_stop(w, now);
    while (w->n > 0) {
        struct worker *last = w->workers[--w->n];

        w->extra[w->n_extra++] = last->fd;
        mem_free(last);
    }
    close_extra(w);
}

enum err workers_start(struct workers *w)
{
    enum err e = ERR_OK;

    close_extra(w);
    for (unsigned i = 0; e == ERR_OK && i < w->n; i++)
        if (!w->workers[i]->is_running)
            e = start_one(w->workers[i]);
    if (e != ERR_OK)
        retire(w, io_now());
    return e;
}

void workers_stop(struct workers *w, ns_t now)
{
    static const uint64_t one = 1;
    uint64_t n;

    atomic_store(&w->is_stopping, true);
    (void)!write(w->stop_fd, &one, sizeof one);
    for (unsigned i = 0; i < w->n; i++) {
        if (w->workers[i]->is_running)
            pthread_join(w->workers[i]->thread, NULL);
        w->workers[i]->is_running = false;
    }
    (void)!read(w->stop_fd, &n, sizeof n);
    atomic_store(&w->is_stopping, false);
    (void)read_queues(w, now);
}

size_t workers_fds(const struct workers *w, int out[static FLOW_LOOKERS_MAX])
{
    for (unsigned i = 0; i < w->n; i++)
        out[i] = w->workers[i]->fd;
    return w->n;
}

struct workers_stats workers_stats(const struct workers *w)
{
    struct workers_stats s = {0};

    for (unsigned i = 0; i < w->n; i++) {
        const struct worker *one = w->workers[i];

        s.packets += atomic_load(&one->packets);
        s.handed += atomic_load(&one->handed);
        s.unsent_packets += atomic_load(&one->unsent_packets);
        s.unsent_bytes += atomic_load(&one->unsent_bytes);
        s.dropped_packets += atomic_load(&one->dropped_packets);
        s.dropped_bytes += atomic_load(&one->dropped_bytes);
    }
    return s;
}
