/* A relay on loopback for other people's TURN clients: relay/service on real sockets, one user.
 *
 *   turnd PORT [MAX_CALLS]      user ito, password secret, realm ito, relayed ports 20000 to 30000
 *
 * Runs until SIGTERM or SIGINT; prints its counters then. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crypto/secret.h"
#include "io/loop.h"
#include "io/tcp.h"
#include "io/udp.h"
#include "relay/service.h"

#define PORTS 131072

struct turnd {
    struct io *io;
    struct udp *main, *ports[PORTS];
    struct tcp *tcp;
    struct service *svc;
};

struct port {
    struct turnd *d;
    uint32_t handle;
};

static void on_main(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct turnd *d = arg;

    service_input(d->svc, now, from, bytes);
}

static bool fast_main(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    return service_fast(((struct turnd *)arg)->svc, now, from, bytes, len);
}

static void on_port(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct port *p = arg;

    service_port_input(p->d->svc, now, p->handle, from, bytes);
}

static bool fast_port(void *arg, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    struct port *p = arg;

    service_port_fast(p->d->svc, now, p->handle, from, bytes, len);
    return true;
}

static void send_main(void *arg, const struct addr *to, struct slice bytes)
{
    struct turnd *d = arg;

    env_send(io_env(d->io), to, bytes);
}

static void gone(void *arg, ns_t now, const struct addr *who)
{
    service_stream_gone(((struct turnd *)arg)->svc, now, who);
}

static enum err open_port(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    struct turnd *d = arg;
    struct port *p = mem_alloc(sizeof *p);
    struct err_detail detail;
    struct udp_config config = {.port = port,
                                .v4 = family == ADDR_V4,
                                .v6 = family == ADDR_V6,
                                .recv = on_port,
                                .fast = fast_port,
                                .arg = p};
    enum err e;

    p->d = d;
    p->handle = handle;
    e = udp_open(d->io, &config, &d->ports[handle % PORTS], &detail);
    if (e != ERR_OK) {
        fprintf(stderr, "turnd: port %u: %s\n", port, detail.text);
        mem_free(p);
    }
    return e;
}

static void port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    udp_send(((struct turnd *)arg)->ports[handle % PORTS], to, bytes);
}

static void close_port(void *arg, uint32_t handle)
{
    struct turnd *d = arg;

    udp_close(d->ports[handle % PORTS]);
    d->ports[handle % PORTS] = NULL;
}

static void no_session(void *arg, uint64_t session_ref, uint8_t chan, struct slice bytes)
{
    (void)arg;
    (void)session_ref;
    (void)chan;
    (void)bytes;
}

static ns_t turn(void *arg, ns_t now)
{
    struct turnd *d = arg;

    service_tick(d->svc, now);
    return service_deadline(d->svc);
}

static void on_signal(void *arg, int signum)
{
    (void)signum;
    io_stop(((struct turnd *)arg)->io);
}

static void print_counters(const struct turnd *d)
{
    const struct turn_server_stats *s = service_turn_stats(d->svc);

    printf("tcp %llu tls %llu ", (unsigned long long)tcp_stats(d->tcp)->accepted,
           (unsigned long long)tcp_stats(d->tcp)->accepted_tls);
    printf("packets %llu hairpins %llu lost %llu malformed %llu no_permission %llu allocations %u ports %u\n",
           (unsigned long long)s->packets, (unsigned long long)s->hairpins,
           (unsigned long long)(s->lost_rate + s->lost_port), (unsigned long long)s->malformed,
           (unsigned long long)s->no_permission, s->allocations, s->ports_open);
}

int main(int argc, char **argv)
{
    static const struct turn_user user = {"ito", "secret"};
    static const uint8_t seed[32] = {1};
    static const struct service_ops ops = {.send = send_main,
                                           .open_port = open_port,
                                           .port_send = port_send,
                                           .close_port = close_port,
                                           .session_send = no_session};
    struct turnd *d = mem_alloc(sizeof *d);
    struct udp_config udp = {.v4 = true,
                             .v6 = true,
                             .is_main = true,
                             .is_relay = true,
                             .recv = on_main,
                             .fast = fast_main,
                             .arg = d};
    struct service_config config = {.node_seed = seed,
                                    .port_min = 20000,
                                    .port_max = 30000,
                                    .turn_users = &user,
                                    .n_turn_users = 1,
                                    .max_calls = argc > 2 ? (uint32_t)atoi(argv[2]) : 5000,
                                    .allow_local = true,
                                    .strangers_pct = 10};
    struct io_ops io_ops = {.turn = turn, .signal = on_signal, .arg = d};
    struct err_detail detail;

    if (argc < 2 || crypto_init() != ERR_OK)
        return 2;
    udp.port = (uint16_t)atoi(argv[1]);
    d->io = io_create();
    if (udp_open(d->io, &udp, &d->main, &detail) != ERR_OK ||
        ledger_db_open(":memory:", &config.db, &detail) != ERR_OK) {
        fprintf(stderr, "turnd: %s\n", detail.text);
        return 1;
    }
    d->tcp = tcp_create(d->io, &(struct tcp_ops){.recv = on_main, .gone = gone, .arg = d});
    if (tcp_listen(d->tcp, udp.port, true, true, &detail) != ERR_OK) {
        fprintf(stderr, "turnd: %s\n", detail.text);
        return 1;
    }
    io_set_main_udp(d->io, d->main);
    io_set_tcp(d->io, d->tcp);
    addr_parse("127.0.0.1", &config.external[0]);
    addr_parse("::1", &config.external[1]);
    config.external[0].port = config.external[1].port = udp.port;
    d->svc = service_create(&config, &ops, d, io_env(d->io), io_now());
    io_set_ops(d->io, &io_ops);
    io_on_signal(d->io, SIGTERM);
    io_on_signal(d->io, SIGINT);
    io_run(d->io);
    print_counters(d);
    service_destroy(d->svc);
    ledger_db_close(config.db);
    tcp_destroy(d->tcp);
    udp_close(d->main);
    io_destroy(d->io);
    mem_free(d);
    return 0;
}
