/* Our nodes for overlay.py, all in one process, each on an address of its own.
 *
 *   overlay_nodes zone|mainline COUNT BYTES      at most COUNT nodes, values of BYTES bytes
 *
 * A line a request on stdin, a line an answer on stdout, one at a time; times in ms:
 *   node ADDR PEER     a serving node, told of PEER (- for nobody)                  ok
 *   contacts           fewest contacts any node has                                 N
 *   put I V            node I puts value V: a mutable item of a key of its own      MS STORED
 *   get I V            node I gets it                                               FIRST_MS DONE_MS, -1 without it
 *   cold ADDR PEER V   a new node that knows PEER gets it                           FIRST_MS DONE_MS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "crypto/item.h"
#include "crypto/secret.h"
#include "crypto/zone.h"
#include "dht/bencode.h"
#include "dht/dht.h"
#include "io/udp.h"

#define NODES_MAX    250
#define PUZZLE_TRIES (1u << 24)
#define LINE_BYTES   256
#define VALUE_MAX    996

struct node {
    struct udp *udp;
    struct dht *dht;
    struct env env;
    struct dht_config config;
};

static struct {
    struct io *io;
    const struct env *env;
    struct node nodes[NODES_MAX];
    unsigned n_nodes, n_ready; /* ready: with a key and, in a zone, a solved puzzle */
    size_t value_bytes;
    ns_t began_at, first_at;
    char line[LINE_BYTES];
    size_t line_len;
} bed; /* a program of one bed */

/* --- the world of one node */

static void on_send(void *world, const struct addr *to, struct slice bytes)
{
    udp_send(((struct node *)world)->udp, to, bytes);
}

static void on_random(void *world, void *out, size_t n)
{
    (void)world;
    env_random(bed.env, out, n);
}

static int64_t on_wall(void *world)
{
    (void)world;
    return env_wall_ms(bed.env);
}

static void on_defer(void *world, env_defer_cb cb, void *arg)
{
    (void)world;
    env_defer(bed.env, cb, arg);
}

static void on_log(void *world, enum log_level level, const char *line)
{
    (void)world, (void)level, (void)line;
}

static void on_udp(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    dht_input(((struct node *)arg)->dht, now, from, bytes);
}

/* Key and puzzle before anything is measured: a phone keeps both in a file. */
static void make_config(struct node *n, bool is_zone)
{
    struct sign_key key;

    n->config.profile = is_zone ? DHT_ZONE : DHT_MAINLINE;
    n->config.allow_private = true;
    env_random(bed.env, n->config.seed, sizeof n->config.seed);
    if (!is_zone)
        return;
    zone_id("bench", NULL, n->config.zone_id);
    sign_key_from_seed(n->config.seed, &key);
    if (zone_puzzle_search(n->config.zone_id, key.pub, n->config.nonce, PUZZLE_TRIES) != ERR_OK)
        exit(1);
}

static struct node *make_node(const char *bind, const char *peer, ns_t now)
{
    static const struct env_ops ops = {
        .send = on_send, .random = on_random, .wall_ms = on_wall, .defer = on_defer, .log = on_log};
    struct node *n = &bed.nodes[bed.n_nodes];
    struct udp_config udp = {.v4 = true, .recv = on_udp, .arg = n};
    struct err_detail detail = {""};
    struct addr to;

    if (bed.n_nodes == bed.n_ready || addr_parse(bind, &udp.bind) != ERR_OK ||
        udp_open(bed.io, &udp, &n->udp, &detail) != ERR_OK) {
        fprintf(stderr, "overlay_nodes: %s: %s\n", bind, detail.text);
        exit(1);
    }
    bed.n_nodes++;
    n->env = (struct env){.ops = &ops, .world = n};
    n->dht = dht_create(&n->config, &n->env);
    if (n->dht == NULL)
        exit(1);
    if (addr_parse(peer, &to) == ERR_OK)
        dht_add_address(n->dht, now, &to);
    return n;
}

/* --- values */

static void make_value(unsigned v, uint8_t bytes[static VALUE_MAX + 8], struct dht_value *out)
{
    uint8_t raw[VALUE_MAX], seed[32] = {0};
    struct sign_key key;
    struct blind_key plain;
    struct ben_wr w;

    memcpy(seed, &v, sizeof v);
    memset(raw, 'a' + (int)(v % 26), bed.value_bytes);
    ben_wr_init(&w, bytes, VALUE_MAX + 8);
    ben_put_str(&w, slice_of(raw, bed.value_bytes));
    sign_key_from_seed(seed, &key);
    blind_none(&key, &plain);
    *out = (struct dht_value){.is_mutable = true, .seq = 1, .v = ben_wr_done(&w)};
    memcpy(out->k, key.pub, sizeof out->k);
    bep44_sign(&plain, out->salt, out->seq, out->v, out->sig);
}

static double ms(ns_t t)
{
    return (double)t / 1e6;
}

static bool on_value(void *arg, const struct dht_value *v)
{
    (void)arg, (void)v;
    if (bed.first_at == 0)
        bed.first_at = io_now();
    return true;
}

static void on_got(void *arg, enum err e, const struct dht_result *r)
{
    (void)arg, (void)e, (void)r;
    printf("%.2f %.2f\n", bed.first_at == 0 ? -1.0 : ms(bed.first_at - bed.began_at),
           ms(io_now() - bed.began_at));
    fflush(stdout);
}

static void on_put(void *arg, enum err e, const struct dht_result *r)
{
    (void)arg, (void)e;
    printf("%.2f %u\n", ms(io_now() - bed.began_at), (unsigned)r->n_acks);
    fflush(stdout);
}

static void get(struct node *n, unsigned value, ns_t now)
{
    uint8_t bytes[VALUE_MAX + 8], target[DHT_ID_BYTES];
    struct dht_value v;

    make_value(value, bytes, &v);
    dht_raw_target(&v, target);
    if (dht_get_raw(n->dht, now, target, v.k, v.salt, 0, on_value, on_got, NULL) == 0)
        exit(1);
}

static unsigned fewest_contacts(void)
{
    unsigned fewest = UINT32_MAX;

    for (unsigned i = 0; i < bed.n_nodes; i++) {
        struct dht_stats s;

        dht_stats(bed.nodes[i].dht, &s);
        fewest = s.peers < fewest ? s.peers : fewest;
    }
    return fewest;
}

/* --- requests */

static void request(const char *line, ns_t now)
{
    char a[64], b[64];
    unsigned i, v;

    bed.began_at = io_now();
    bed.first_at = 0;
    if (sscanf(line, "node %63s %63s", a, b) == 2) {
        make_node(a, b, now);
        puts("ok");
    } else if (strcmp(line, "contacts") == 0) {
        printf("%u\n", fewest_contacts());
    } else if (sscanf(line, "put %u %u", &i, &v) == 2 && i < bed.n_nodes) {
        uint8_t bytes[VALUE_MAX + 8];
        struct dht_value value;

        make_value(v, bytes, &value);
        if (dht_put_raw(bed.nodes[i].dht, now, &value, NULL, on_put, NULL) == 0)
            exit(1);
    } else if (sscanf(line, "get %u %u", &i, &v) == 2 && i < bed.n_nodes) {
        get(&bed.nodes[i], v, now);
    } else if (sscanf(line, "cold %63s %63s %u", a, b, &v) == 3) {
        get(make_node(a, b, now), v, now);
    } else {
        fprintf(stderr, "overlay_nodes: bad request: %s\n", line);
        exit(1);
    }
    fflush(stdout);
}

static void on_stdin(void *arg, ns_t now)
{
    ssize_t got = read(0, bed.line + bed.line_len, sizeof bed.line - 1 - bed.line_len);
    char *end;

    (void)arg;
    if (got <= 0) {
        io_unwatch_fd(bed.io, 0);
        io_stop(bed.io);
        return;
    }
    bed.line_len += (size_t)got;
    bed.line[bed.line_len] = '\0';
    while ((end = strchr(bed.line, '\n')) != NULL) {
        *end = '\0';
        request(bed.line, now);
        bed.line_len -= (size_t)(end + 1 - bed.line);
        memmove(bed.line, end + 1, bed.line_len + 1);
    }
}

static ns_t turn(void *arg, ns_t now)
{
    ns_t at = NS_NEVER;

    (void)arg;
    for (unsigned i = 0; i < bed.n_nodes; i++) {
        struct dht *d = bed.nodes[i].dht;

        if (dht_deadline(d) <= now)
            dht_tick(d, now);
        at = ns_min(at, dht_deadline(d));
    }
    return at;
}

static void log_line(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(int argc, char **argv)
{
    struct io_ops ops = {.turn = turn, .log = log_line};

    if (argc != 4 || atoi(argv[2]) > NODES_MAX || atoi(argv[3]) > VALUE_MAX || crypto_init() != ERR_OK)
        return 1;
    bed.value_bytes = (size_t)atoi(argv[3]);
    bed.io = io_create();
    io_set_ops(bed.io, &ops);
    bed.env = io_env(bed.io);
    for (int i = 0; i < atoi(argv[2]); i++)
        make_config(&bed.nodes[bed.n_ready++], strcmp(argv[1], "zone") == 0);
    puts("ready");
    fflush(stdout);
    io_watch_fd(bed.io, 0, on_stdin, NULL);
    io_run(bed.io);
    return 0;
}
